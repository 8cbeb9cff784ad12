//! Tests of domains with their own normalisation.

use super::*;
use mail_address::LocalPartPolicy;

const RULES: &str = "\
ACCOUNT foo, Bar MATCHES %account%-%alnum%-%code% WITH CHAR(1,-), CHARS();
ACCOUNT alice MATCHES a+%alpha%+%code% WITH CHARS();
ACCOUNT nobody MATCHES b.%alpha%.%code% WITH CHARS();
ACCOUNT a MATCHES twice-%alpha%-%code% WITH CHARS();
ACCOUNT b MATCHES twice-%ident%-%code% WITH CHARS();
";

fn normal(case_sensitive: bool, delimiters: &str, remove: &str, nfkc: bool) -> LocalPartPolicy {
    LocalPartPolicy { case_sensitive, delimiters: delimiters.into(), remove: remove.into(), nfkc }
}

fn resolver(accounts: Arc<Accounts>) -> Resolver {
    resolver_of(accounts)
}

fn resolver_of(accounts: Arc<AccountSource>) -> Resolver {
    let load = |fold| {
        let options = Options { fold, dialect: Dialect::Any, ..Options::default() };
        Arc::new(alias_rules::load(&[Text::new("test.rules", RULES)], &options).expect("rules").rules)
    };
    let ways = [
        ("dash.test", normal(false, "-", "", false)),
        ("both.test", normal(false, "+-", ".", true)),
        ("exact.test", normal(true, "+", "", false)),
    ];
    let settings = Settings {
        domains: ways.iter().map(|(domain, _)| *domain).chain(["plain.test"]).map(String::from).collect(),
        origin: "plain.test".into(),
        normal: ways.into_iter().map(|(domain, normal)| (domain.into(), normal)).collect(),
        ..Settings::default()
    };
    Resolver::new(settings, load(true), accounts).with_other_case(Some(load(false).into()))
}

#[tokio::test]
async fn resolves_recipients() {
    let accounts = Arc::new(Accounts::default());
    let resolver = resolver(accounts.clone());
    // recipient, outcome, local parts that were looked up
    for (recipient, want, want_asked) in [
        // Without settings, names are not normalised.
        ("foo+x@plain.test", "no: account not found", "foo+x"),
        ("f.oo@plain.test", "no: account not found", "f.oo"),
        ("ｆｏｏ@plain.test", "no: account not found", "ｆｏｏ"),
        ("foo-macys-m5@plain.test", "-> foo@plain.test", "foo"),
        // An account keeps its extension: it may be part of the name, so the whole name is looked up first.
        ("foo@dash.test", "keep", "foo"),
        ("Foo-Shop@dash.test", "keep", "foo-shop foo"),
        ("foo-@dash.test", "keep", "foo- foo"),
        ("nobody-foo@dash.test", "no: account not found", "nobody-foo nobody"),
        ("-foo@dash.test", "no: account not found", "-foo"),
        ("mary-ann@dash.test", "keep", "mary-ann"),
        ("Mary-Ann@dash.test", "keep", "mary-ann"),
        ("mary-anne@dash.test", "no: account not found", "mary-anne mary"),
        ("mary-ann-x@dash.test", "no: account not found", "mary-ann-x mary"),
        // A temporary failure for the whole name is not resolved by a part of it.
        ("foo-doubt@dash.test", "later: down", "foo-doubt"),
        ("doubtful-x@dash.test", "later: down", "doubtful-x doubtful"),
        // Lists have no extension.
        ("owner-list@dash.test", "keep", "owner-list"),
        ("owner-foo@dash.test", "no: account not found", "owner-foo"),
        ("foo-request@dash.test", "no: account not found", "foo-request"),
        ("foo-requests@dash.test", "keep", "foo-requests foo"),
        // A text that looks like an extension may be part of an alias.
        ("foo-macys-m5@dash.test", "-> foo@dash.test", "foo"),
        ("foo-macys-m6@dash.test", "keep", "foo-macys-m6 foo"),
        ("bar-macys-m5@dash.test", "-> Bar@dash.test", "Bar"),
        // Two accounts: as if no rule had matched; then the extension belongs to the name itself.
        ("twice-abc-3@dash.test", "no: account not found", "twice-abc-3 twice"),
        // An alias loses its extension.
        ("a+abc+3@both.test", "-> alice@both.test", "alice"),
        ("foo-macys-m5+x@both.test", "keep", "foo-macys-m5+x foo"),
        // A name that the server does not know is replaced, and the extension is kept.
        ("f.oo@both.test", "-> foo@both.test", "foo"),
        ("f.oo+Shop@both.test", "-> foo+Shop@both.test", "foo+shop foo"),
        ("mary.-ann@both.test", "-> mary-ann@both.test", "mary-ann"),
        ("ＦＯＯ@both.test", "-> foo@both.test", "foo"),
        ("FOO+X@both.test", "keep", "foo+x foo"),
        ("f.oo-macys-m5@both.test", "-> foo@both.test", "foo"),
        ("nob.ody@both.test", "no: account not found", "nobody"),
        // A rule that needs a removed character does not match.
        ("b.abc.3@both.test", "no: account not found", "babc3"),
        // A name is not normalised to an empty one.
        ("...@both.test", "no: account not found", "..."),
        (".+foo@both.test", "no: account not found", "+foo"),
        // Case sensitivity by domain, for rules and accounts.
        ("foo-macys-m5@exact.test", "-> foo@exact.test", "foo"),
        ("Foo-macys-m5@exact.test", "no: account not found", "Foo-macys-m5"),
        ("Bar+x@exact.test", "keep", "Bar+x Bar"),
        ("bar+x@exact.test", "no: account not found", "bar+x bar"),
        ("Bar-macys-m5@exact.test", "-> Bar@exact.test", "Bar"),
        ("foo-macys-m5+x@exact.test", "-> foo@exact.test", "foo"),
    ] {
        let got = ask(&resolver, recipient.as_bytes(), None).await;
        let asked = std::mem::take(&mut *accounts.asked.lock().expect("lock"));
        let locals: Vec<_> = asked.iter().map(|asked| Address::from_rcpt(asked.as_bytes())).collect();
        let locals = locals.iter().map(Address::local).collect::<Vec<_>>().join(" ");
        assert_eq!((&*show(&got.outcome), &*locals), (want, want_asked), "{recipient}");
        let absent: Vec<_> = got.absent.iter().map(ToString::to_string).collect();
        assert_eq!(
            [&absent[..], &[got.account.expect("an account").to_string()]].concat(),
            asked,
            "{recipient}"
        );
    }
}

/// Normalisation does not create a route: a mail server does not check whether it may relay a recipient
/// that a milter adds.
#[tokio::test]
async fn normalisation_creates_no_routes() {
    let accounts = Arc::new(Accounts::default());
    let resolver = resolver(accounts.clone());
    for recipient in
        ["user％victim.example@both.test", "victim.example！user@both.test", "user＠victim.example@both.test"]
    {
        let got = ask(&resolver, recipient.as_bytes(), None).await.outcome;
        let Outcome::TempFail(DeferReason::Destination(why)) = &got else { panic!("{recipient}: {got:?}") };
        assert!(why.ends_with("its local part may be a route"), "{why}");
        assert!(accounts.asked.lock().expect("lock").is_empty(), "{recipient}");
    }
}

/// The result of the rules for the whole name is used, unless it is expired or ambiguous and the name
/// without extension is an alias of one account.
#[tokio::test]
async fn whole_name_takes_precedence_in_the_rules() {
    let resolver = resolver(Arc::default());
    for (recipient, want) in [
        ("foo-macys-m5@dash.test", RuleTrace::Matched(0)),
        ("twice-abc-3@dash.test", RuleTrace::Ambiguous(3)),
        ("foo-macys-m5+x@exact.test", RuleTrace::Matched(0)),
        ("foo-macys-m6+x@exact.test", RuleTrace::None),
    ] {
        assert_eq!(ask(&resolver, recipient.as_bytes(), None).await.rule, want, "{recipient}");
    }
}

/// The owner of an existing address is the whole name, or the name before the extension if the source
/// accepts any extension.
#[tokio::test]
async fn finds_owner_with_and_without_extension() {
    /// Source that has some names and ignores extensions.
    #[derive(Debug)]
    struct Server(&'static [&'static str], Option<char>);

    impl Source<Address, Verification> for Server {
        fn look_up<'a>(&'a self, account: &'a Address) -> LookupFuture<'a, Verification> {
            let known = |name: &str| self.0.contains(&name);
            let split = self.1.and_then(|delimiter| account.local().split_once(delimiter));
            let exists = known(account.local()) || split.is_some_and(|(name, _)| known(name));
            let down = account.local() == "down" || known("down") && account.local().contains("probe");
            let verdict = match (down, exists) {
                (true, _) => Lookup::TempFail(Reason::new("down")),
                (false, true) => Lookup::Found(()),
                (false, false) => Lookup::NotFound,
            };
            Box::pin(async move { Verification::new(verdict, &"server".into()) })
        }
    }

    for (known, splits, account, want) in [
        (&["mary-ann", "mary"] as &[&str], None, "mary-ann", Ok("mary-ann")),
        (&["mary-ann"], None, "mary-ann", Ok("mary-ann")),
        (&["mary"], Some('-'), "mary-ann", Ok("mary")),
        (&["mary"], None, "mary", Ok("mary")),
        (&["owner-list", "owner"], Some('-'), "owner-list", Ok("owner-list")),
        (&["down", "foo-x"], Some('-'), "foo-x", Err("down")),
    ] {
        let resolver = resolver_of(Arc::new(Server(known, splits)));
        let account = Address::new(account, "dash.test").expect("an address");
        let got = resolver.owner(&account).await;
        let got = got.as_ref().map(Address::local).map_err(Reason::as_str);
        assert_eq!(got, want, "{account} of {known:?}");
    }
}

#[tokio::test]
async fn explains_each_lookup() {
    let resolver = resolver(Arc::default());
    for (recipient, want) in [
        ("Foo@plain.test", &["foo"] as &[&str]),
        ("foo-macys-m5@dash.test", &["foo-macys-m5"]),
        ("Foo-Macys-m6@dash.test", &["foo-macys-m6", "foo"]),
        ("Foo-Macys-m5+x@exact.test", &["Foo-Macys-m5+x", "Foo-Macys-m5"]),
        ("foo@elsewhere.test", &[]),
    ] {
        let question = Question { recipient: Address::from_rcpt(recipient.as_bytes()), mta_route: None };
        let (resolution, steps) = resolver.explain(&question).await;
        assert_eq!(resolution.outcome, resolver.resolve(&question).await.outcome);
        let notes = steps.iter().flat_map(|step| &step.notes);
        let names: Vec<&str> = notes
            .filter_map(|note| match note {
                Note::Rules(rules) => Some(&*rules.name),
                Note::Script(_) => None,
            })
            .collect();
        assert_eq!(names, want, "{recipient}");
    }
}

//! One outcome, and what the milter, tcp_table and socketmap make of it: whatever the rules, the recipient and the
//! state of the account source, the answers agree.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // a test that panics has done its work

use alias_rules::{Dialect, Options};
use diagnostics::Text;
use mail_address::{Address, LocalPartPolicy, Malformed, fold};
use proptest::prelude::*;
use rcptd::account::{Lookup, LookupFuture, Reason, Source, Verification, Verification as Told};
use rcptd::map::search::SearchStrategy;
use rcptd::map::served::{Map, Reading};
use rcptd::resolve::view::{Resolved, ResolverView};
use rcptd::resolve::{Outcome, Question, Resolver, Settings};
use rcptd::server::maps::MapReply;
use rcptd::server::milter::session::{Action, Edit, Policy, Rcpt, Reply, Session};
use rcptd::server::socketmap::Socketmap;
use rcptd::server::{maps::Maps, tcp_table};
use std::sync::Arc;
use std::time::Duration;

const REFUSAL: &str = "550 5.1.1 User unknown";

/// A source in some state: who exists, or that it cannot say.
#[derive(Clone, Debug)]
struct State {
    accounts: Vec<String>,
    tempfail: Option<bool>,
}

impl Source<Address, Verification> for State {
    fn look_up<'a>(&'a self, account: &'a Address) -> LookupFuture<'a, Verification> {
        let verdict = match self.tempfail {
            Some(true) => Lookup::TempFail(Reason::new("down").accepting()),
            Some(false) => Lookup::TempFail(Reason::new("down")),
            None if self.accounts.iter().any(|name| *name == fold(account.local())) => Lookup::Found(()),
            None => Lookup::NotFound,
        };
        Box::pin(async move { Told::new(verdict, &Arc::from("state")) })
    }
}

/// What a protocol said: a value, none, or that nobody can say.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Value(String),
    Nothing,
    Later,
}

fn by_tcp_table(found: &MapReply) -> Said {
    let mut line = Vec::new();
    tcp_table::reply(found, &mut line);
    let line = String::from_utf8(line).unwrap();
    match line.trim_end().split_once(' ').unwrap() {
        ("200", value) => Said::Value(percent_decoded(value)),
        ("500", _) => Said::Nothing,
        ("400", _) => Said::Later,
        other => panic!("{other:?}"),
    }
}

fn percent_decoded(text: &str) -> String {
    match lookup_protocols::tcp_table::response(format!("200 {text}").as_bytes()).unwrap() {
        lookup_protocols::tcp_table::Response::Found(value) => String::from_utf8(value).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn by_socketmap(server: &Socketmap, found: &MapReply) -> Said {
    let mut bytes = Vec::new();
    server.reply(found, &mut bytes);
    let (payload, _) = lookup_protocols::netstring::read(&bytes, 100_000).unwrap().unwrap();
    match lookup_protocols::socketmap::Reply::read(payload).unwrap() {
        lookup_protocols::socketmap::Reply::Ok(value) => {
            Said::Value(String::from_utf8(value.to_vec()).unwrap())
        }
        lookup_protocols::socketmap::Reply::NotFound => Said::Nothing,
        lookup_protocols::socketmap::Reply::Temp(_) | lookup_protocols::socketmap::Reply::Timeout(_) => {
            Said::Later
        }
        lookup_protocols::socketmap::Reply::Perm(_) => panic!("PERM"),
    }
}

fn policy() -> Policy {
    Policy {
        reject_reply: REFUSAL.parse().unwrap(),
        defer_reply: "451 4.3.0 Later".parse().unwrap(),
        max_recipients: 100,
        header: None,
        case_sensitive: false.into(),
        dry_run: false,
        origin: "example.test".into(),
    }
}

const RULES: [&str; 10] = [
    "ACCOUNT foo, bar MATCHES %account%-%alnum%-%code% WITH CHAR(1,-), CHARS();",
    "ACCOUNT foo MATCHES %account%+%alpha%+%code% WITH CHARS();",
    "ACCOUNT bar MATCHES %alpha%.%code% WITH CHARS();",
    "ACCOUNT foo MATCHES %ident%.%code% WITH CHARS();",
    "ACCOUNT bar MATCHES %account%_%number%_%code% WITH DIGITS();",
    "ACCOUNT away MATCHES %account%-%alpha%-%code% WITH CHARS() DELIVER TO someone@elsewhere.test;",
    // Accounts that are aliases themselves, one in a circle.
    "ACCOUNT foo-macys-m5 MATCHES up=%alpha%=%code% WITH CHARS();",
    "ACCOUNT up=shop=4, Zed-Shop-4 MATCHES top=%account%=%code% WITH CHARS(account);",
    "ACCOUNT ringb.x.1 MATCHES ringa.%alpha%.%code% WITH CHARS();",
    "ACCOUNT ringa.x.1 MATCHES ringb.%alpha%.%code% WITH CHARS();",
];

fn address() -> impl Strategy<Value = String> {
    let local = prop_oneof![
        "(foo|bar|away|zed)[-+._](macys|shop|a1)[-+._]?[a-z]?[0-9]{0,2}",
        "[a-zA-Z]{1,5}\\.[0-9]",
        Just("foo".to_owned()),
        Just("BAR".to_owned()),
        Just("foo-macys-m5".to_owned()),
        Just("foo-macys-m5+x".to_owned()),
        Just("f.oo+Shop".to_owned()),
        "(foo|bar|owner|mary)[-+](request|shop|list|ann)",
        "(up=(shop|macys)=[45]|TOP=up=shop=4=9|top=zed-shop-4=10|ring[ab].x.1)",
        Just("Foo-Macys-M5".to_owned()),
        Just("\"foo-macys-m5\"".to_owned()),
        Just("\"foo macys\"".to_owned()),
        Just("foo%bar".to_owned()),
        "(grüße|GRÜSSE|grüsse|GRÜẞE|\u{212a}im|re\u{301}mi|RÉMI|Σίσυφος)",
        Just("x".repeat(300)),
        "[ -~]{0,8}",
    ];
    let domain = prop_oneof![
        4 => Just("example.test"),
        1 => Just("Example.TEST."),
        1 => Just("elsewhere.test"),
    ];
    (local, domain).prop_map(|(local, domain)| format!("{local}@{domain}"))
}

/// Where a mail server that asks tables takes a recipient: it looks up again what it was told, until there is no more
/// of it (Postfix: cleanup(8); Sendmail: virtusertable). `None`: some answer was no answer.
async fn recursion(map: &Map, recipient: &str) -> Option<String> {
    let mut at = recipient.to_owned();
    // Postfix gives up at 1000, and what takes more than the milter follows ends nowhere.
    for _ in 0..=rcptd::resolve::MAX_HOPS {
        match by_tcp_table(&MapReply::Answer(map.find(at.as_bytes()).await)) {
            Said::Value(next) if next == at => return Some(at),
            Said::Value(next) => at = next,
            Said::Nothing => return Some(at),
            Said::Later => return None,
        }
    }
    panic!("{recipient}: the tables do not come to an end at {at}");
}

/// How the domain reads local parts, in these tests.
fn readings() -> [LocalPartPolicy; 4] {
    let normal = |delimiters: &str, remove: &str, nfkc| LocalPartPolicy {
        case_sensitive: false,
        delimiters: delimiters.into(),
        remove: remove.into(),
        nfkc,
    };
    [LocalPartPolicy::plain(false), normal("+", "", false), normal("-", "", false), normal("+-", ".", true)]
}

/// Whether tables and milter are asked the same. A quote that does not end takes the domain with it: to a table that
/// is none, and no server asks for it. Without a name it asks a table for a catch-all, and a milter sees what the
/// server makes of it.
fn is_asked(recipient: &Address) -> bool {
    let open_quote = recipient.malformed() == Some(Malformed::UnclosedQuote);
    !open_quote && recipient.domain().is_some() && !recipient.local().is_empty()
}

/// The recipients that the milter adds at the end of the message.
fn added(session: &mut Session) -> Vec<String> {
    let edits = session.end_of_message().edits.into_iter();
    edits.filter_map(|edit| if let Edit::Add { path, .. } = edit { Some(path) } else { None }).collect()
}

/// The owner of an account as a login name, or the reason of a temporary failure.
async fn owner(resolver: &Resolver, account: Option<&Address>) -> String {
    let Some(account) = account else { return String::new() };
    resolver.owner(account).await.map_or_else(|why| why.to_string(), |own| own.to_string())
}

async fn agree(
    rules: &[&str],
    normal: LocalPartPolicy,
    state: State,
    address: &str,
) -> Result<(), TestCaseError> {
    let recipient = Address::from_server(address.as_bytes());
    // In a path, this is a route and another address: no server looks it up under this key.
    let has_route = address.starts_with('@') && address.contains(':');
    if has_route || !is_asked(&recipient) {
        return Ok(());
    }
    let text = Text::new("rules", &rules.join("\n"));
    let options = Options { fold: true, dialect: Dialect::Any, ..Options::default() };
    let loaded = alias_rules::load(&[text], &options).expect("rules");
    let domains = vec!["example.test".to_owned()];
    let (origin, delimiters) = ("example.test".to_owned(), normal.delimiters.clone());
    let normal = [(origin.clone(), normal)].into();
    let settings = Settings { domains, origin, normal, ..Settings::default() };
    let resolver = Arc::new(Resolver::new(settings, Arc::new(loaded.rules), Arc::new(state)));
    let argument = format!("<{address}>");
    let recipient = Address::from_rcpt(argument.as_bytes()).with_mailbox_of(recipient);
    let resolution = resolver.resolve(&Question { recipient, mta_route: None }).await;

    // The milter.
    let mut session = Session::new(Arc::new(policy()));
    // The server says what it reads, as it does to tables.
    let rcpt = Rcpt { argument: argument.as_bytes(), mta_route: Some(address.as_bytes()), ..Rcpt::default() };
    let Action::Resolve(question) = session.recipient(rcpt, &[] as &[&[u8]]) else { return Ok(()) };
    let asked = resolver.resolve(&question).await;
    prop_assert_eq!(&asked.outcome, &resolution.outcome, "{}", address);
    let say = session.resolved(&asked.outcome, asked.mailbox.clone());
    let added = added(&mut session);
    let code = match &say {
        Reply::Continue => 250,
        Reply::Error(reply) => reply.code(),
    };

    // The tables, over both protocols, however the key is spelled.
    let server = Socketmap {
        maps: Maps::new(Vec::new(), Arc::default(), Arc::default()),
        names: None,
        sendmail: false,
        deadline: Duration::from_secs(1),
    };
    let mut said = Vec::new();
    // A profile searches without the extension, too, and must find nothing that the milter does not.
    let reading = Arc::new(Reading {
        delimiters: [("example.test".to_owned(), delimiters)].into(),
        ..Reading::default()
    });
    for purpose in [
        ResolverView::VirtualAlias,
        ResolverView::Recipients,
        ResolverView::Access,
        ResolverView::SenderLogin,
        ResolverView::Transport,
    ] {
        let table = Arc::new(Resolved::new(resolver.clone(), purpose, REFUSAL));
        let map = Map::new("m".into(), table, SearchStrategy::Plain, Arc::new(Reading::default()));
        let found = MapReply::Answer(map.find(address.as_bytes()).await);
        let (tcp, socket) = (by_tcp_table(&found), by_socketmap(&server, &found));
        prop_assert_eq!(&tcp, &socket, "{} {}", purpose, address);
        // smtpd asks folded. Where that changes more than case it is another name to the accounts.
        if fold(address) == mail_address::lower(address) {
            let folded = MapReply::Answer(map.find(fold(address).as_bytes()).await);
            // The extension stays as it is written in the key.
            let in_lower_case = |said: &Said| match said {
                Said::Value(value) => Said::Value(fold(value).into_owned()),
                other => other.clone(),
            };
            let (folded, tcp) = (in_lower_case(&by_tcp_table(&folded)), in_lower_case(&tcp));
            prop_assert_eq!(folded, tcp, "{} {}", purpose, address);
        }
        said.push(tcp);
    }
    // What the milter puts in the place of a recipient is where a mail server gets that follows the tables.
    for profile in [SearchStrategy::Plain, SearchStrategy::VirtualAlias] {
        let table = Arc::new(Resolved::new(resolver.clone(), ResolverView::VirtualAlias, REFUSAL));
        let map = Map::new("m".into(), table, profile, reading.clone());
        let end = recursion(&map, address).await;
        match &asked.outcome {
            Outcome::Rewrite(to) => prop_assert_eq!(end, Some(to.to_string()), "{} {}", profile, address),
            Outcome::TempFail(_) => prop_assert_eq!(end, None, "{} {}", profile, address),
            Outcome::NotOurs | Outcome::Keep | Outcome::NoSuchUser(_) => {
                prop_assert_eq!(end.as_deref(), Some(address), "{} {}", profile, address);
            }
        }
    }
    let value = |text: &str| Said::Value(text.to_owned());
    let own = asked.account.as_ref().map(ToString::to_string).unwrap_or_default();
    let owner = owner(&resolver, asked.account.as_ref()).await;
    let (want_code, want_added, want) = match &asked.outcome {
        Outcome::NotOurs => {
            (250, vec![], [Said::Nothing, Said::Nothing, Said::Nothing, Said::Nothing, Said::Nothing])
        }
        Outcome::Keep => {
            (250, vec![], [Said::Nothing, value(&own), value("DUNNO"), value(&owner), value(":")])
        }
        Outcome::Rewrite(to) => {
            let login = if resolver.is_ours(to) { value(&owner) } else { Said::Nothing };
            let to = to.to_string();
            (250, vec![format!("<{to}>")], [value(&to), value(&to), value("DUNNO"), login, value(":")])
        }
        Outcome::NoSuchUser(_) => {
            (550, vec![], [Said::Nothing, Said::Nothing, value(REFUSAL), Said::Nothing, Said::Nothing])
        }
        Outcome::TempFail(_) => {
            (451, vec![], [Said::Later, Said::Later, Said::Later, Said::Later, Said::Later])
        }
    };
    prop_assert_eq!((code, added), (want_code, want_added), "{}: {:?}", address, asked.outcome);
    prop_assert_eq!(&said[..], &want[..], "{}: {:?}", address, asked.outcome);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn all_answers_agree(
        rules in proptest::sample::subsequence(RULES.to_vec(), 0..=RULES.len()),
        normal in proptest::sample::select(readings().to_vec()),
        accounts in proptest::sample::subsequence(
            vec!["foo", "bar", "away", "grüsse", "foo macys", "mary-ann", "mary", "owner-list", "zed-shop-4"],
            0..=9,
        ),
        tempfail in prop_oneof![4 => Just(None), 1 => any::<bool>().prop_map(Some)],
        address in address(),
    ) {
        let state = State { accounts: accounts.into_iter().map(String::from).collect(), tempfail };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(agree(&rules, normal, state, &address))?;
    }
}

/// Each outcome occurs among what is tried, so that none is agreed on by default.
#[test]
fn every_outcome_is_met() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let accounts = vec!["foo".to_owned()];
    for (address, tempfail) in [
        ("foo-macys-m5@example.test", None),
        ("foo@example.test", None),
        ("bar-macys-m5@example.test", None),
        ("foo-macys-m5@elsewhere.test", None),
        ("foo-macys-m5@example.test", Some(false)),
        ("foo-macys-m5@example.test", Some(true)),
        ("away-shop-4@example.test", None),
        // Through an account that is an alias, in case that differs; in a circle.
        ("up=macys=5@example.test", None),
        ("top=up=shop=4=9@example.test", None),
        ("ringa.x.1@example.test", None),
    ] {
        let state = State { accounts: accounts.clone(), tempfail };
        runtime.block_on(agree(&RULES, LocalPartPolicy::plain(false), state, address)).unwrap();
    }
}

use super::*;
use crate::account::Reason;
use crate::resolve::{Doubt, NoUser};
use proptest::prelude::*;
use std::collections::HashSet;

fn policy() -> Policy {
    Policy {
        unknown: "550 5.1.1 User unknown".parse().expect("reply"),
        later: "451 4.3.0 Try later".parse().expect("reply"),
        max_recipients: 1000,
        header: Some("X-Alias".into()),
        case_sensitive: false.into(),
        observe: false,
        origin: "d.test".into(),
    }
}

fn at(path: &str) -> Address {
    Address::from_rcpt(path.as_bytes())
}

fn rewrite(path: &str) -> Outcome {
    Outcome::Rewrite(at(path))
}

fn missing() -> Outcome {
    Outcome::NoSuchUser(NoUser::Missing)
}

fn unknown() -> Outcome {
    Outcome::TryLater(Doubt::Account(Reason::new("down")))
}

/// One recipient: its RCPT arguments and its outcome.
fn rcpt(session: &mut Session, arguments: &str, outcome: &Outcome) -> Say {
    let mut arguments = arguments.split(' ').map(str::as_bytes);
    let argument = arguments.next().unwrap_or_default();
    let parameters: Vec<&[u8]> = arguments.collect();
    match session.recipient(Rcpt { argument, ..Rcpt::default() }, &parameters) {
        Step::Resolve(question) => {
            let mailbox = (*outcome != Outcome::NotOurs).then(|| question.recipient.clone());
            session.resolved(outcome, mailbox)
        }
        Step::Reply(say, _) => say,
    }
}

/// `-path`, `+path parameters`, `name: value`
fn show(edits: &[Edit]) -> Vec<String> {
    let line = |edit: &Edit| match edit {
        Edit::Delete(raw) => format!("-{}", String::from_utf8_lossy(raw)),
        Edit::Add { path, parameters } => format!("+{path} {parameters}"),
        Edit::Header { name, value } => format!("{name}: {value}"),
    };
    edits.iter().map(line).collect()
}

/// What it is, recipients with their outcomes, the edits.
type Case<'a> = (&'a str, &'a [(&'a str, Outcome)], &'a [&'a str]);

#[test]
fn edits() {
    let foo = rewrite("<foo@d.test>");
    let cases: &[Case] = &[
        (
            "an alias",
            &[("<foo-macys-m5@d.test>", foo.clone())],
            &[
                "-<foo-macys-m5@d.test>",
                "+<foo@d.test> ORCPT=rfc822;foo-macys-m5@d.test",
                "X-Alias: foo-macys-m5@d.test",
            ],
        ),
        ("none that is ours", &[("<a@e.test>", Outcome::NotOurs), ("<foo@d.test>", Outcome::Keep)], &[]),
        ("none that exists", &[("<x@d.test>", missing()), ("<y@d.test>", unknown())], &[]),
        (
            "the spelling is repeated to the letter",
            &[("<@relay.test:\"Foo-Macys-M5\"@D.TEST.>", foo.clone())],
            &[
                "-<@relay.test:\"Foo-Macys-M5\"@D.TEST.>",
                "-<\"Foo-Macys-M5\"@D.TEST.>",
                "+<foo@d.test> ORCPT=rfc822;Foo-Macys-M5@d.test",
                "X-Alias: Foo-Macys-M5@d.test",
            ],
        ),
        (
            "two aliases of one account, and no header that would tell",
            &[("<foo-a-1@d.test>", foo.clone()), ("<foo-b-2@d.test> NOTIFY=NEVER", foo.clone())],
            &[
                "-<foo-a-1@d.test>",
                "-<foo-b-2@d.test>",
                "+<foo@d.test> NOTIFY=FAILURE,DELAY ORCPT=rfc822;foo-a-1@d.test",
            ],
        ),
        (
            "an alias and its account",
            &[("<foo-a-1@d.test>", foo.clone()), ("<FOO@d.test>", Outcome::Keep)],
            &["-<foo-a-1@d.test>"],
        ),
        (
            "all deletions come first",
            &[("<foo-a-1@d.test>", foo.clone()), ("<bar-a-1@d.test>", rewrite("<bar@d.test>"))],
            &[
                "-<foo-a-1@d.test>",
                "-<bar-a-1@d.test>",
                "+<foo@d.test> ORCPT=rfc822;foo-a-1@d.test",
                "+<bar@d.test> ORCPT=rfc822;bar-a-1@d.test",
            ],
        ),
        (
            "an alias typed twice is deleted once",
            &[("<foo-a-1@d.test>", foo.clone()), ("<foo-a-1@d.test>", foo.clone())],
            &["-<foo-a-1@d.test>", "+<foo@d.test> ORCPT=rfc822;foo-a-1@d.test"],
        ),
        (
            "the sender's wishes are kept",
            &[("<foo-a-1@d.test> NOTIFY=SUCCESS ORCPT=rfc822;orig@e.test FOO=BAR", foo.clone())],
            &[
                "-<foo-a-1@d.test>",
                "+<foo@d.test> NOTIFY=SUCCESS ORCPT=rfc822;orig@e.test",
                "X-Alias: foo-a-1@d.test",
            ],
        ),
        (
            "a refused recipient leaves no trace, and the one that is left is a single one",
            &[("<x@d.test>", missing()), ("<foo-a-1@d.test>", foo.clone())],
            &["-<foo-a-1@d.test>", "+<foo@d.test> ORCPT=rfc822;foo-a-1@d.test", "X-Alias: foo-a-1@d.test"],
        ),
    ];
    for (what, recipients, want) in cases {
        let mut session = Session::new(policy().into());
        session.mail();
        for (arguments, outcome) in *recipients {
            let say = rcpt(&mut session, arguments, outcome);
            let refused = matches!(outcome, Outcome::NoSuchUser(_) | Outcome::TryLater(_));
            assert_eq!(say != Say::Continue, refused, "{what}: {arguments}");
        }
        assert_eq!(show(&session.end_of_message()), *want, "{what}");
        assert!(session.end_of_message().is_empty(), "{what}: edits twice");
    }
}

#[test]
fn replies() {
    for (outcome, want) in [
        (Outcome::NotOurs, Say::Continue),
        (Outcome::Keep, Say::Continue),
        (rewrite("<foo@d.test>"), Say::Continue),
        (missing(), Say::Error(policy().unknown)),
        (unknown(), Say::Error(policy().later)),
        (Outcome::TryLater(Doubt::Deadline), Say::Error(policy().later)),
    ] {
        assert_eq!(rcpt(&mut Session::new(policy().into()), "<a@d.test>", &outcome), want, "{outcome:?}");
        let mut observing = Session::new(Policy { observe: true, ..policy() }.into());
        assert_eq!(rcpt(&mut observing, "<a@d.test>", &outcome), Say::Continue);
        assert!(observing.end_of_message().is_empty(), "{outcome:?}");
    }
}

#[test]
fn a_message_begins_anew_at_mail_and_abort() {
    let resets: [fn(&mut Session); 3] = [Session::mail, Session::abort, |s| drop(s.end_of_message())];
    for reset in resets {
        let mut session = Session::new(policy().into());
        let _ = rcpt(&mut session, "<foo-a-1@d.test>", &rewrite("<foo@d.test>"));
        assert!(session.is_busy());
        reset(&mut session);
        assert!(!session.is_busy());
        assert!(session.end_of_message().is_empty());
    }
}

#[test]
fn recipients_are_limited() {
    let mut session = Session::new(Policy { max_recipients: 2, ..policy() }.into());
    for (i, want) in [Say::Continue, Say::Continue, Say::Error(Reply::too_many())].into_iter().enumerate() {
        assert_eq!(rcpt(&mut session, &format!("<a{i}@d.test>"), &Outcome::Keep), want);
    }
}

/// Where case matters two targets that differ by it are two mailboxes, and none of them goes without its copy.
#[test]
fn case_counts_by_domain() {
    let cases = Cases::new([("d.test", false), ("s.test", true)], true);
    let policy = Policy { case_sensitive: cases, header: None, ..policy() };
    for (targets, want) in [
        (["<Foo@d.test>", "<foo@d.test>"], 1),
        (["<Foo@s.test>", "<foo@s.test>"], 2),
        (["<Foo@elsewhere.test>", "<foo@elsewhere.test>"], 2),
        (["<foo@elsewhere.test>", "<foo@Elsewhere.test>"], 1),
    ] {
        let mut session = Session::new(policy.clone().into());
        for (alias, target) in ["<one@d.test>", "<two@d.test>"].into_iter().zip(targets) {
            assert_eq!(rcpt(&mut session, alias, &rewrite(target)), Say::Continue);
        }
        let added = session.end_of_message().iter().filter(|edit| matches!(edit, Edit::Add { .. })).count();
        assert_eq!(added, want, "{targets:?}");
    }
}

#[test]
fn local_submission_is_never_refused() {
    let submit = |argument: &str, outcome: &Outcome, mailbox: &str| {
        let mut session = Session::new(policy().into());
        let rcpt = Rcpt { argument: argument.as_bytes(), origin: Origin::Local, ..Rcpt::default() };
        let Step::Resolve(_) = session.recipient(rcpt, &[] as &[&[u8]]) else { panic!("not asked") };
        let say = session.resolved(outcome, Some(at(mailbox)));
        (say, show(&session.end_of_message()))
    };
    for outcome in [missing(), unknown()] {
        assert_eq!(submit("x@d.test", &outcome, "x@d.test"), (Say::Continue, vec![]));
    }
    // Both names, since what was typed may have been either.
    let (say, edits) = submit("foo-a-1@d.test", &rewrite("<foo@d.test>"), "foo-a-1@d.test");
    assert_eq!(say, Say::Continue);
    assert_eq!(edits[..3], ["-foo-a-1@d.test", "-foo-a-1", "+<foo@d.test> ORCPT=rfc822;foo-a-1@d.test"]);
    // Nobody is called by a bare name in another domain.
    let (_, edits) = submit("foo-a-1@e.test", &rewrite("<foo@e.test>"), "foo-a-1@e.test");
    assert_eq!(edits[..2], ["-foo-a-1@e.test", "+<foo@e.test> ORCPT=rfc822;foo-a-1@e.test"]);
}

#[test]
fn a_bare_name_that_may_be_another_s_is_not_deleted() {
    let mut session = Session::new(policy().into());
    for (argument, outcome) in
        [("foo-a-1@d.test", rewrite("<foo@d.test>")), ("Foo-A-1@e.test", Outcome::NotOurs)]
    {
        let rcpt = Rcpt { argument: argument.as_bytes(), origin: Origin::Local, ..Rcpt::default() };
        let Step::Resolve(question) = session.recipient(rcpt, &[] as &[&[u8]]) else { panic!("not asked") };
        let _ = session.resolved(&outcome, Some(question.recipient));
    }
    assert_eq!(show(&session.end_of_message())[..1], ["-foo-a-1@d.test"]);
}

#[test]
fn an_argument_longer_than_any_address_is_not_kept() {
    let long = format!("<{}@d.test>", "x".repeat(MAX_ARGUMENT));
    let mut session = Session::new(policy().into());
    assert_eq!(rcpt(&mut session, &long, &Outcome::Keep), Say::Error(policy().later));
    assert!(!session.is_busy());
}

#[derive(Clone, Debug)]
enum Input {
    Mail,
    Abort,
    Rcpt(String, Vec<String>, bool),
    Resolved(Outcome),
    End,
}

fn inputs() -> impl Strategy<Value = Vec<Input>> {
    let local = prop_oneof!["(foo|bar|FOO|\"foo\")(-[ab]-1)?", "\\PC{0,6}"];
    let path =
        (local, prop_oneof![Just("@d.test"), Just("@D.TEST."), Just("@e.test"), Just("")], any::<bool>())
            .prop_map(|(l, d, b)| if b { format!("<{l}{d}>") } else { format!("{l}{d}") });
    let outcome = prop_oneof![
        Just(Outcome::NotOurs),
        Just(Outcome::Keep),
        Just(missing()),
        Just(unknown()),
        prop_oneof![Just("<foo@d.test>"), Just("<Foo@d.test>"), Just("<bar@d.test>")].prop_map(rewrite),
    ];
    let parameter = prop_oneof!["NOTIFY=[A-Z,]{0,9}", "ORCPT=[a-z8;-]{0,9}", "\\PC{0,9}"];
    let input = prop_oneof![
        1 => Just(Input::Mail),
        1 => Just(Input::Abort),
        6 => (path, proptest::collection::vec(parameter, 0..3), any::<bool>()).prop_map(|(p, a, l)| Input::Rcpt(p, a, l)),
        6 => outcome.prop_map(Input::Resolved),
        2 => Just(Input::End),
    ];
    proptest::collection::vec(input, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever comes in whatever order: no edit for a recipient that was refused, nothing added that is there
    /// or was added, everything replaced is deleted, deletions first.
    #[test]
    fn any_order_of_inputs(inputs in inputs(), observe in any::<bool>()) {
        let mut session = Session::new(Policy { observe, ..policy() }.into());
        // What the message under way is known to hold: (as typed, mailbox, target).
        let mut accepted: Vec<(Vec<u8>, String, Option<String>)> = Vec::new();
        let mut pending: Option<(Question, bool)> = None;
        for input in inputs {
            match input {
                Input::Mail => { session.mail(); accepted.clear(); pending = None; }
                Input::Abort => { session.abort(); accepted.clear(); pending = None; }
                Input::Rcpt(path, parameters, local) => {
                    let origin = if local { Origin::Local } else { Origin::Smtp };
                    pending = match session.recipient(Rcpt { argument: path.as_bytes(), routed: None, origin }, &parameters) {
                        Step::Resolve(question) => Some((question, local)),
                        Step::Reply(..) => None,
                    };
                }
                Input::Resolved(outcome) => {
                    let asked = pending.take();
                    let say = session.resolved(&outcome, None);
                    if let (Some((question, _)), Say::Continue, false) = (asked, say, observe) {
                        let target = match &outcome { Outcome::Rewrite(to) => Some(to.key(false)), _ => None };
                        accepted.push((question.recipient.raw().to_vec(), question.recipient.key(false), target));
                    }
                }
                Input::End => {
                    let edits = session.end_of_message();
                    let position = |edit: &Edit| match edit { Edit::Delete(_) => 0, Edit::Add { .. } => 1, Edit::Header { .. } => 2 };
                    prop_assert!(edits.is_sorted_by_key(position));
                    let mut present: HashSet<String> =
                        accepted.iter().filter(|a| a.2.is_none()).map(|a| a.1.clone()).collect();
                    let mut deleted: HashSet<Vec<u8>> = HashSet::new();
                    for edit in &edits {
                        match edit {
                            Edit::Delete(raw) => prop_assert!(deleted.insert(raw.to_vec()), "deleted twice"),
                            Edit::Add { path, .. } => {
                                let added = Address::from_rcpt(path.as_bytes()).key(false);
                                prop_assert!(accepted.iter().any(|a| a.2.as_ref() == Some(&added)), "added from nowhere");
                                prop_assert!(present.insert(added), "added twice");
                            }
                            Edit::Header { .. } => prop_assert_eq!(accepted.len(), 1),
                        }
                    }
                    for (raw, _, target) in &accepted {
                        prop_assert_eq!(target.is_some() , deleted.contains(raw) && target.is_some());
                        if let Some(target) = target {
                            prop_assert!(present.contains(target), "lost");
                        }
                    }
                    accepted.clear();
                    pending = None;
                }
            }
        }
    }
}

use super::*;
use crate::account::Reason;
use crate::resolve::{DeferReason, RejectReason};
use alias_rules::Day;
use mail_address::Malformed;
use proptest::prelude::*;
use std::collections::HashSet;

fn policy() -> Policy {
    Policy {
        reject_reply: "550 5.1.1 User unknown".parse().expect("reply"),
        defer_reply: "451 4.3.0 Try later".parse().expect("reply"),
        max_recipients: 1000,
        header: Some("X-Alias".into()),
        case_sensitive: false.into(),
        dry_run: false,
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
    Outcome::NoSuchUser(RejectReason::NotFound)
}

fn day() -> Day {
    Day::new(2026, 1, 31).expect("a day")
}

fn unknown() -> Outcome {
    Outcome::TempFail(DeferReason::Account(Reason::new("down")))
}

/// Sends one RCPT with its arguments, and returns the reply to this outcome.
fn rcpt(session: &mut Session, arguments: &str, outcome: &Outcome) -> Reply {
    let mut arguments = arguments.split(' ').map(str::as_bytes);
    let argument = arguments.next().unwrap_or_default();
    let parameters: Vec<&[u8]> = arguments.collect();
    match session.recipient(Rcpt { argument, ..Rcpt::default() }, &parameters) {
        Action::Resolve(question) => {
            let mailbox = (*outcome != Outcome::NotOurs).then(|| question.recipient.clone());
            session.resolved(outcome, mailbox)
        }
        Action::Reply(say, _) => say,
    }
}

/// Formats edits as `-path`, `+path parameters`, `name: value`.
fn show(edits: &[Edit]) -> Vec<String> {
    let line = |edit: &Edit| match edit {
        Edit::Delete(raw) => format!("-{}", String::from_utf8_lossy(raw)),
        Edit::Add { path, parameters } => format!("+{path} {parameters}"),
        Edit::RemoveHeader { name, index } => format!("{name} {index} removed"),
        Edit::Header { name, value } => format!("{name}: {value}"),
    };
    edits.iter().map(line).collect()
}

/// Description, recipients with their outcomes, edits.
type Case<'a> = (&'a str, &'a [(&'a str, Outcome)], &'a [&'a str]);

#[test]
fn replaces_recipients() {
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
            let reply = rcpt(&mut session, arguments, outcome);
            let refused = matches!(outcome, Outcome::NoSuchUser(_) | Outcome::TempFail(_));
            assert_eq!(reply != Reply::Continue, refused, "{what}: {arguments}");
        }
        assert_eq!(show(&session.end_of_message().edits), *want, "{what}");
        assert!(session.end_of_message().edits.is_empty(), "{what}: edits twice");
    }
}

#[test]
fn replies_follow_the_outcome() {
    for (outcome, want) in [
        (Outcome::NotOurs, Reply::Continue),
        (Outcome::Keep, Reply::Continue),
        (rewrite("<foo@d.test>"), Reply::Continue),
        // All of them get the same reply: it does not show how close a guess was.
        (missing(), Reply::Error(policy().reject_reply)),
        (
            Outcome::NoSuchUser(RejectReason::Malformed(Malformed::TooLong)),
            Reply::Error(policy().reject_reply),
        ),
        (Outcome::NoSuchUser(RejectReason::Expired(day())), Reply::Error(policy().reject_reply)),
        (Outcome::TempFail(DeferReason::Guessing), Reply::Error(SmtpReply::too_many_unknown())),
        (unknown(), Reply::Error(policy().defer_reply)),
        (Outcome::TempFail(DeferReason::Deadline), Reply::Error(policy().defer_reply)),
    ] {
        assert_eq!(rcpt(&mut Session::new(policy().into()), "<a@d.test>", &outcome), want, "{outcome:?}");
        let mut dry = Session::new(Policy { dry_run: true, ..policy() }.into());
        assert_eq!(rcpt(&mut dry, "<a@d.test>", &outcome), Reply::Continue);
        assert!(dry.end_of_message().edits.is_empty(), "{outcome:?}");
    }
}

#[test]
fn mail_and_abort_reset_the_message() {
    let resets: [fn(&mut Session); 3] = [Session::mail, Session::abort, |s| drop(s.end_of_message())];
    for reset in resets {
        let mut session = Session::new(policy().into());
        let _ = rcpt(&mut session, "<foo-a-1@d.test>", &rewrite("<foo@d.test>"));
        assert!(session.is_busy());
        reset(&mut session);
        assert!(!session.is_busy());
        assert!(session.end_of_message().edits.is_empty());
    }
}

#[test]
fn limits_recipients_of_a_message() {
    let mut session = Session::new(Policy { max_recipients: 2, ..policy() }.into());
    for (i, want) in
        [Reply::Continue, Reply::Continue, Reply::Error(SmtpReply::too_many())].into_iter().enumerate()
    {
        assert_eq!(rcpt(&mut session, &format!("<a{i}@d.test>"), &Outcome::Keep), want);
    }
}

/// In a case-sensitive domain, two targets that differ by case are two mailboxes, and each gets its copy.
#[test]
fn case_sensitivity_depends_on_the_domain() {
    let cases = CaseSensitivity::new([("d.test", false), ("s.test", true)], true);
    let policy = Policy { case_sensitive: cases, header: None, ..policy() };
    for (targets, want) in [
        (["<Foo@d.test>", "<foo@d.test>"], 1),
        (["<Foo@s.test>", "<foo@s.test>"], 2),
        (["<Foo@elsewhere.test>", "<foo@elsewhere.test>"], 2),
        (["<foo@elsewhere.test>", "<foo@Elsewhere.test>"], 1),
    ] {
        let mut session = Session::new(policy.clone().into());
        for (alias, target) in ["<one@d.test>", "<two@d.test>"].into_iter().zip(targets) {
            assert_eq!(rcpt(&mut session, alias, &rewrite(target)), Reply::Continue);
        }
        let added =
            session.end_of_message().edits.iter().filter(|edit| matches!(edit, Edit::Add { .. })).count();
        assert_eq!(added, want, "{targets:?}");
    }
}

/// Submits recipients as sendmail(1) does.
fn submit(session: &mut Session, recipients: &[(&str, Outcome)]) {
    for (argument, outcome) in recipients {
        let rcpt = Rcpt { argument: argument.as_bytes(), origin: SubmissionPath::Local, ..Rcpt::default() };
        let say = match session.recipient(rcpt, &[] as &[&[u8]]) {
            Action::Resolve(question) => session.resolved(outcome, Some(question.recipient)),
            Action::Reply(say, _) => say,
        };
        // Postfix treats any other reply as an error of the milter, and keeps the message forever.
        assert_eq!(say, Reply::Continue, "{argument}");
    }
}

#[test]
fn local_temporary_failure_defers_the_message() {
    let alias = ("foo-a-1@d.test", rewrite("<foo@d.test>"));
    let cases = [
        (vec![("x@d.test", missing())], None),
        (vec![("x@d.test", unknown())], Some(DeferReason::Account(Reason::new("down")))),
        (vec![alias.clone(), ("x@d.test", missing())], None),
        (vec![alias.clone(), ("x@d.test", unknown())], Some(DeferReason::Account(Reason::new("down")))),
        (
            vec![
                ("x@d.test", Outcome::TempFail(DeferReason::Spelling)),
                alias.clone(),
                ("y@d.test", unknown()),
            ],
            Some(DeferReason::Spelling),
        ),
        // Above the limit: without resolution they would be unknown users.
        (vec![alias.clone(), alias.clone(), alias.clone(), alias.clone()], Some(DeferReason::TooMany)),
    ];
    for (recipients, want) in cases {
        let mut session = Session::new(Policy { max_recipients: 3, ..policy() }.into());
        submit(&mut session, &recipients);
        let end = session.end_of_message();
        assert_eq!(end.deferred, want, "{recipients:?}");
        assert_eq!(end.edits.is_empty(), want.is_some() || recipients.len() == 1, "{recipients:?}");
        // The state of the next message is independent.
        submit(&mut session, &[("bob@d.test", Outcome::Keep)]);
        assert_eq!(session.end_of_message().deferred, None);

        let mut dry = Session::new(Policy { dry_run: true, ..policy() }.into());
        submit(&mut dry, &recipients);
        assert_eq!(dry.end_of_message().deferred, None);
    }
    let long = format!("{}@d.test", "x".repeat(MAX_ARGUMENT));
    let mut session = Session::new(policy().into());
    submit(&mut session, &[(&long, Outcome::Keep)]);
    assert_eq!(session.end_of_message().deferred, Some(DeferReason::Argument));
}

/// The original form may be any of these.
#[test]
fn deletes_local_recipient_by_every_form() {
    for (alias, target, want) in [
        (
            "foo-a-1@d.test",
            "<foo@d.test>",
            &[
                "-foo-a-1@d.test",
                "-foo-a-1%d.test",
                "-d.test!foo-a-1",
                "-foo-a-1@d.test.",
                "-foo-a-1@d",
                "-foo-a-1",
                "+<foo@d.test> ORCPT=rfc822;foo-a-1@d.test",
            ][..],
        ),
        // A bare name cannot be the form of a recipient in another domain.
        (
            "\"foo a\"@e.test",
            "<foo@e.test>",
            &[
                "-\"foo a\"@e.test",
                "-\"foo a%e.test\"",
                "-\"e.test!foo a\"",
                "-\"foo a\"@e.test.",
                "-\"foo a\"@e",
                "+<foo@e.test> ORCPT=rfc822;\"foo+20a\"@e.test",
            ],
        ),
    ] {
        let mut session = Session::new(Policy { header: None, ..policy() }.into());
        submit(&mut session, &[(alias, rewrite(target))]);
        assert_eq!(show(&session.end_of_message().edits), want);
    }
}

#[test]
fn deletes_recipient_as_typed_and_as_read_by_the_server() {
    let mut session = Session::new(Policy { header: None, ..policy() }.into());
    let recipients = [
        ("<<foo-a-1@d.test>>", rewrite("<foo@d.test>")),
        ("<foo-b-2@d.test;>", rewrite("<foo@d.test>")),
        ("<Foo(x)@d.test>", Outcome::Keep),
    ];
    for (argument, outcome) in recipients {
        assert_eq!(rcpt(&mut session, argument, &outcome), Reply::Continue);
    }
    let want = ["-<<foo-a-1@d.test>>", "-<foo-a-1@d.test>", "-<foo-b-2@d.test;>", "-foo-b-2@d.test;"];
    assert_eq!(show(&session.end_of_message().edits), want);
}

/// Macros remain set until the server sends others: those of one recipient must not be used for another.
#[test]
fn ignores_macros_of_the_previous_recipient() {
    let mut session = Session::new(policy().into());
    let mut ask = |argument: &str, mta_route: Option<&str>| {
        let rcpt = Rcpt {
            argument: argument.as_bytes(),
            mta_route: mta_route.map(str::as_bytes),
            ..Rcpt::default()
        };
        match session.recipient(rcpt, &[] as &[&[u8]]) {
            Action::Resolve(question) => {
                question.mta_route.filter(Address::is_certain).map(|server| server.to_string())
            }
            Action::Reply(..) => panic!("not asked"),
        }
    };
    for (argument, mta_route, want) in [
        ("<foo(x)@d.test>", Some("foo@d.test"), Some("foo@d.test")),
        ("<FOO@d.test;>", Some("foo@d.test"), Some("foo@d.test")),
        ("<foo%d.test@e.test>", Some("foo@d.test"), Some("foo@d.test")),
        ("<bar(x)@d.test>", Some("foo@d.test"), None),
        ("<foo(x)@e.test>", Some("foo@d.test"), None),
        ("<bar(x)@d.test>", None, None),
        ("<bar(x)@d.test>", Some("foo@d.test"), Some("foo@d.test")),
    ] {
        assert_eq!(ask(argument, mta_route).as_deref(), want, "{argument}");
    }
    session.mail();
    let rcpt = Rcpt { argument: b"<bar(x)@d.test>", mta_route: Some(b"foo@d.test"), ..Rcpt::default() };
    let Action::Resolve(question) = session.recipient(rcpt, &[] as &[&[u8]]) else { panic!("not asked") };
    assert!(question.mta_route.is_some_and(|server| server.is_certain()));
}

/// Incoming fields with our header's name are removed for all recipients.
#[test]
fn removes_incoming_headers() {
    let alias = ("<foo-a-1@d.test>", rewrite("<foo@d.test>"));
    let set = "X-Alias: foo-a-1@d.test";
    for (recipients, fields, want) in [
        (vec![alias.clone()], vec!["X-Alias"], vec![set]),
        (
            vec![alias.clone()],
            vec!["x-alias", "X-ALIAS", "X-Alias"],
            vec!["X-Alias 3 removed", "X-Alias 2 removed", set],
        ),
        (vec![alias.clone(), ("<a@e.test>", Outcome::NotOurs)], vec!["X-Alias"], vec!["X-Alias 1 removed"]),
        (
            vec![("<foo@d.test>", Outcome::Keep)],
            vec!["X-Alias", "X-Alias"],
            vec!["X-Alias 2 removed", "X-Alias 1 removed"],
        ),
        (vec![("<a@e.test>", Outcome::NotOurs)], vec!["X-Alias"], vec!["X-Alias 1 removed"]),
        (vec![("<a@e.test>", Outcome::NotOurs)], vec!["X-Aliases", "X-Alia", "Subject", ""], vec![]),
    ] {
        let run = |policy: Policy| {
            let mut session = Session::new(policy.into());
            session.mail();
            for (argument, outcome) in &recipients {
                assert_eq!(rcpt(&mut session, argument, outcome), Reply::Continue);
            }
            for field in &fields {
                session.header(field.as_bytes());
            }
            show(&session.end_of_message().edits)
        };
        let edits = run(policy());
        let got: Vec<&String> = edits.iter().filter(|edit| edit.starts_with("X-")).collect();
        assert_eq!(got, want, "{recipients:?} {fields:?}");
        assert_eq!(run(Policy { dry_run: true, ..policy() }), [""; 0]);
        assert!(!run(Policy { header: None, ..policy() }).iter().any(|edit| edit.starts_with("X-")));
    }
}

#[test]
fn counts_and_limits_headers_by_message() {
    let mut session = Session::new(policy().into());
    for (fields, want) in [(MAX_HEADERS, None), (MAX_HEADERS + 1, Some(DeferReason::Headers)), (0, None)] {
        session.mail();
        assert_eq!(rcpt(&mut session, "<foo@d.test>", &Outcome::Keep), Reply::Continue);
        (0..fields).for_each(|_| session.header(b"X-Alias"));
        let end = session.end_of_message();
        assert_eq!((end.edits.len(), &end.deferred), (if want.is_none() { fields } else { 0 }, &want));
    }
}

#[test]
fn end_of_message_lists_replacements() {
    for dry_run in [false, true] {
        let mut session = Session::new(Policy { dry_run, ..policy() }.into());
        for (argument, outcome) in [
            ("<foo-a-1@d.test>", rewrite("<foo@d.test>")),
            ("<x@e.test>", Outcome::NotOurs),
            ("<y@d.test>", missing()),
        ] {
            let _ = rcpt(&mut session, argument, &outcome);
        }
        let end = session.end_of_message();
        let replaced: Vec<String> = end.replaced.iter().map(|(from, to)| format!("{from} {to}")).collect();
        assert_eq!(replaced, ["foo-a-1@d.test foo@d.test"]);
        assert_eq!(end.recipients, if dry_run { 3 } else { 2 });
        assert_eq!(end.edits.is_empty(), dry_run);
    }
}

#[test]
fn keeps_a_bare_name_of_another_recipient() {
    let mut session = Session::new(policy().into());
    for (argument, outcome) in
        [("foo-a-1@d.test", rewrite("<foo@d.test>")), ("Foo-A-1@e.test", Outcome::NotOurs)]
    {
        let rcpt = Rcpt { argument: argument.as_bytes(), origin: SubmissionPath::Local, ..Rcpt::default() };
        let Action::Resolve(question) = session.recipient(rcpt, &[] as &[&[u8]]) else { panic!("not asked") };
        let _ = session.resolved(&outcome, Some(question.recipient));
    }
    assert_eq!(show(&session.end_of_message().edits)[..1], ["-foo-a-1@d.test"]);
}

#[test]
fn defers_overlong_arguments() {
    let long = format!("<{}@d.test>", "x".repeat(MAX_ARGUMENT));
    let mut session = Session::new(policy().into());
    assert_eq!(rcpt(&mut session, &long, &Outcome::Keep), Reply::Error(policy().defer_reply));
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

    /// Invariants for any order of events: a rejected recipient has no edit, no recipient is added twice or
    /// while present, every replaced one is deleted, deletions come first.
    #[test]
    fn invariants_hold_for_any_order_of_events(inputs in inputs(), dry_run in any::<bool>()) {
        let mut session = Session::new(Policy { dry_run, ..policy() }.into());
        // The recipients of the current message: (as typed, mailbox, target).
        let mut accepted: Vec<(Vec<u8>, String, Option<String>)> = Vec::new();
        let mut pending: Option<(Question, bool)> = None;
        let mut deferred = false;
        for input in inputs {
            match input {
                Input::Mail => { session.mail(); accepted.clear(); pending = None; deferred = false; }
                Input::Abort => { session.abort(); accepted.clear(); pending = None; deferred = false; }
                Input::Rcpt(path, parameters, local) => {
                    let origin = if local { SubmissionPath::Local } else { SubmissionPath::Smtp };
                    pending = match session.recipient(Rcpt { argument: path.as_bytes(), mta_route: None, origin }, &parameters) {
                        Action::Resolve(question) => Some((question, local)),
                        Action::Reply(..) => None,
                    };
                }
                Input::Resolved(outcome) => {
                    let asked = pending.take();
                    let say = session.resolved(&outcome, None);
                    let is_doubt = matches!(outcome, Outcome::TempFail(_));
                    deferred |= is_doubt && !dry_run && asked.as_ref().is_some_and(|(_, local)| *local);
                    if let (Some((question, _)), Reply::Continue, false) = (asked, say, dry_run) {
                        let target = match &outcome { Outcome::Rewrite(to) => Some(to.key(false)), _ => None };
                        accepted.push((question.recipient.raw().to_vec(), question.recipient.key(false), target));
                    }
                }
                Input::End => {
                    let end = session.end_of_message();
                    prop_assert_eq!(end.deferred.is_some(), deferred);
                    if std::mem::take(&mut deferred) {
                        prop_assert!(end.edits.is_empty());
                        accepted.clear();
                        pending = None;
                        continue;
                    }
                    let edits = end.edits;
                    let position = |edit: &Edit| match edit { Edit::Delete(_) => 0, Edit::Add { .. } => 1, Edit::RemoveHeader { .. } => 2, Edit::Header { .. } => 3 };
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
                            Edit::RemoveHeader { .. } => prop_assert!(false, "no header came in"),
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

/// Only the server knows where a route leads; if it does not report that, the mailbox is uncertain.
#[test]
fn route_is_certain_only_if_the_server_reports_it() {
    for (argument, mta_route, want) in [
        ("<foo@d.test>", None, true),
        ("<foo%e.test@d.test>", None, false),
        ("<d.test!foo>", None, false),
        ("<\"foo@d.test\">", None, false),
        ("<foo@e.test@d.test>", None, false),
        ("<foo%e.test@d.test>", Some("foo@e.test"), true),
        ("<foo!bar@d.test>", Some("foo!bar@d.test"), true),
    ] {
        let mut session = Session::new(policy().into());
        let rcpt = Rcpt {
            argument: argument.as_bytes(),
            mta_route: mta_route.map(str::as_bytes),
            ..Rcpt::default()
        };
        let Action::Resolve(question) = session.recipient(rcpt, &[] as &[&[u8]]) else { panic!("not asked") };
        assert_eq!(question.recipient.is_certain(), want, "{argument} {mta_route:?}");
    }
}

//! `script = "exec:…"` and `"unix:…"`: a plug-in before and after the rules, with the examples in install/plug-ins and
//! with programs that misbehave on purpose. What its answers mean is tested in `src/resolve/tests/script.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // a test panics when it fails

mod common;
#[path = "common/plugin.rs"]
mod plugin;

use alias_rules::Options;
use common::mta::OFFER;
use common::{Daemon, RULES, Site, rcptd, run};
use diagnostics::Text;
use mail_address::Address;
use plugin::{Asks, Fault, HELLO, PATIENT, SHORT, eventually, example, processes, script};
use rcptd::account::settings::{CacheSettings, Settings as AccountSettings, SourceSettings};
use rcptd::account::{Lookup, Source};
use rcptd::plugin::{Settings as PluginSettings, Target};
use rcptd::resolve::view::{Resolved, ResolverView};
use rcptd::resolve::{DeferReason, Form, Outcome, Question, Resolver, Settings};
use rcptd::script::{Hook, Plugin};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

const ALIAS: &str = "foo-macys-m5@example.test";
const WANT: &str = "-> foo@example.test";

/// A program that changes nothing.
const GOOD: &str = "while read -r id word address; do echo \"$id same\"; done\n";
/// The answer to the first question of an alias, which is `preprocess`; the second one is `postprocess`.
const FIRST: &str = "read -r id word address; echo \"$id same\"\n";

/// A resolver that calls the program at `path`, and for which every account exists.
async fn resolver(path: &Path) -> Resolver {
    let text = format!("exec:{}", path.display());
    let target = Target::named(&text).unwrap().unwrap();
    let plugin = Plugin::start(&PluginSettings { name: text.into(), target, deadline: SHORT });
    let options = Options { fold: true, ..Options::default() };
    let rules = alias_rules::load(&[Text::new("a.rules", RULES)], &options).unwrap().rules;
    let form = Form { rules: Arc::new(rules), hook: Some(Hook::Plugin(Arc::new(plugin))) };
    let source = SourceSettings::new("none:".parse().unwrap());
    let accounts = AccountSettings::new(vec![source], CacheSettings::default());
    let accounts = rcptd::account::build(&accounts, false).await.unwrap();
    let settings = Settings { domains: vec!["example.test".into()], ..Settings::default() };
    Resolver::new(settings, form, accounts)
}

/// The address that gets the mail, or the reason of a failure of the plug-in. Nothing else may happen.
async fn ask(resolver: &Resolver, recipient: &str) -> String {
    let question = Question { recipient: Address::from_rcpt(recipient.as_bytes()), mta_route: None };
    match resolver.resolve(&question).await.outcome {
        Outcome::Rewrite(to) => format!("-> {to}"),
        Outcome::Keep => "keep".into(),
        Outcome::TempFail(DeferReason::Script(why)) => format!("later: {why}"),
        other => panic!("{recipient}: {other:?}"),
    }
}

/// Asks until the program works again; until then it must be a temporary failure.
async fn becomes(resolver: &Resolver, recipient: &str, want: &str) {
    let begin = Instant::now();
    loop {
        let got = ask(resolver, recipient).await;
        if got == want {
            return;
        }
        assert!(got.starts_with("later: exec:"), "{recipient}: {got}");
        assert!(begin.elapsed() < PATIENT, "{recipient}: {got}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The faults of one of the two questions, and of their answers.
const FAULTS: &[Fault] = &[
    ("crashes", "HELLO read -r q; exit 4", "preprocess: the plug-in failed: it has ended (exit status: 4)"),
    (
        "crashes in the second",
        "HELLO FIRST read -r q; exit 5",
        "postprocess: the plug-in failed: it has ended",
    ),
    ("is late", "HELLO sleep 60", "preprocess: no answer within 300ms"),
    ("is late in the second", "HELLO FIRST sleep 60", "postprocess: no answer within 300ms"),
    (
        "an answer about an account",
        "HELLO while read -r id q; do echo \"$id found\"; done",
        "not an answer to \"preprocess\": 1 found",
    ),
    (
        "no such account",
        "HELLO while read -r id q; do echo \"$id notfound\"; done",
        "not an answer to \"preprocess\": 1 notfound",
    ),
    (
        "no such account in the second",
        "HELLO FIRST while read -r id q; do echo \"$id notfound\"; done",
        "not an answer to \"postprocess\": 2 notfound",
    ),
    ("no address", "HELLO while read -r id q; do echo \"$id use\"; done", "not an answer: 1 use"),
    ("empty address", "HELLO while read -r id q; do echo \"$id use \"; done", "not an answer: 1 use"),
    (
        "contradicts",
        "HELLO read -r id q; printf '1 same\\n1 use foo@example.test\\n'; sleep 60",
        "the question 1 was not",
    ),
];

struct Rules(Resolver);

impl Asks for Rules {
    const FAILURE: &str = "later: exec:";
    const VALID: &str = "same";
    const GOOD: &str = GOOD;
    const FIRST: &str = FIRST;

    async fn of(program: &Path) -> Self {
        Rules(resolver(program).await)
    }

    async fn ask(&self) -> String {
        ask(&self.0, ALIAS).await
    }

    async fn works(&self) {
        becomes(&self.0, ALIAS, WANT).await;
        assert_eq!(ask(&self.0, "alice@example.test").await, "keep");
    }
}

#[tokio::test]
async fn faults_are_temporary_failures() {
    plugin::faults_are_temporary_failures::<Rules>(FAULTS).await;
}

/// A late answer belongs to its own question, and does no harm.
#[tokio::test]
async fn late_answers_are_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("late");
    let late = "read -r id q; sleep 0.45; echo \"$id noalias\"\n";
    script(&path, &[HELLO, late, GOOD].concat());
    let resolver = resolver(&path).await;
    // Until the hello has come.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let got = ask(&resolver, ALIAS).await;
    assert!(got.ends_with("preprocess: no answer within 300ms"), "{got}");
    becomes(&resolver, ALIAS, WANT).await;
}

/// An answer of the protocol that no mail can follow concerns one recipient: the program goes on.
#[tokio::test]
async fn a_bad_address_concerns_one_recipient() {
    const PICKY: &str = "while read -r id word address; do
      case $word/$address in
        preprocess/none*) echo \"$id use foo\";;
        preprocess/blank*) echo \"$id use  foo@example.test\";;
        preprocess/other*) echo \"$id use foo@elsewhere.test\";;
        preprocess/down*) echo \"$id tempfail it is down\";;
        *) echo \"$id same\";;
      esac
    done\n";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picky");
    script(&path, &[HELLO, PICKY].concat());
    let resolver = resolver(&path).await;
    becomes(&resolver, ALIAS, WANT).await;
    let name = path.display().to_string();
    let before = processes(&name);
    for (recipient, want) in [
        ("none@example.test", "preprocess: it replied \"use foo\": it has no domain"),
        ("blank@example.test", "it has a blank outside of quotes"),
        ("other@example.test", "preprocess leads to elsewhere.test, which is not one of domains"),
        ("down@example.test", "preprocess: tempfail it is down"),
    ] {
        let got = ask(&resolver, recipient).await;
        assert!(got.starts_with("later: ") && got.contains(want), "{recipient}: {got}");
        assert_eq!(ask(&resolver, ALIAS).await, WANT);
    }
    assert_eq!((before.len(), processes(&name)), (1, before));
    drop(resolver);
    eventually("the program ends", || processes(&name).is_empty()).await;
}

/// A map of the resolver asks the plug-in, too, and fails temporarily with it.
#[tokio::test]
async fn maps_ask_the_plugin() {
    const AWAY: &str = "while read -r id word address; do
      case $word/$address in
        postprocess/foo@*) echo \"$id use alice@${address#foo@}\";;
        preprocess/down*) echo \"$id tempfail it is down\";;
        *) echo \"$id same\";;
      esac
    done\n";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("away");
    script(&path, &[HELLO, AWAY].concat());
    let resolver = resolver(&path).await;
    becomes(&resolver, ALIAS, "-> alice@example.test").await;
    let map = Resolved::new(Arc::new(resolver), ResolverView::VirtualAlias, "550 5.1.1 unknown");
    for (key, want) in [
        (ALIAS, "alice@example.test"),
        ("bar-macys-m5@example.test", "bar@example.test"),
        ("down@example.test", "temporary failure: exec:"),
    ] {
        let got = match map.look_up(key).await {
            Lookup::Found(value) => value,
            Lookup::NotFound => "not found".into(),
            Lookup::TempFail(why) => format!("temporary failure: {}", why.as_str()),
        };
        assert!(got.starts_with(want), "{key}: {got}");
    }
}

/// A site whose script is this example. The last argument tells its process from others.
fn site(name: &str) -> (Site, String) {
    let site = Site::new("", "");
    let mark = site.path("mark").display().to_string();
    let line = format!("script = \"exec:{} {mark}\"\ndomains =", example(name).display());
    site.configure("domains =", &line);
    (site, mark)
}

fn output(site: &Site, arguments: &[&str]) -> (i32, String) {
    let mut command = rcptd();
    command.arg(arguments[0]).arg("-c").arg(site.path("rcptd.conf")).args(&arguments[1..]);
    let (code, output, error) = run(command, "");
    (code, format!("{output}{error}"))
}

#[test]
fn the_commands_call_the_examples() {
    for name in ["processor.py", "processor.sh"] {
        let (site, mark) = site(name);
        let (code, said) = output(&site, &["check"]);
        assert!(code == 0 && said.contains(": good"), "{said}");
        let (_, said) = output(&site, &["explain", "joe-macys-m5@example.test", "bar-macys-m5@example.test"]);
        for want in [
            "script    preprocess(\"joe-macys-m5\", \"example.test\") = \"foo-macys-m5\"",
            "replaced by foo@example.test",
            "script    postprocess(\"bar\", \"example.test\") = \"alice\"",
            "replaced by alice@example.test",
        ] {
            assert!(said.contains(want), "{name} {want}: {said}");
        }
        let (code, said) = output(&site, &["make", "foo", "macys"]);
        assert_eq!((code, &*said), (0, "foo-macys-m5@example.test\n"));
        let (code, said) = output(&site, &["make", "bar", "macys"]);
        assert!(code == 1 && said.contains("would send bar-macys-m5@example.test to alice@"), "{said}");
        wait("all programs end", || processes(&mark).is_empty());
    }
}

/// A plug-in that fails now is no error, since it may work later; but it is reported.
#[test]
fn check_reports_a_plugin_that_fails() {
    let site = Site::new("", "");
    let path = site.path("broken");
    script(&path, "echo nonsense");
    site.configure("domains =", &format!("script = \"exec:{}\"\ndomains =", path.display()));
    let (code, said) = output(&site, &["check"]);
    assert_eq!(code, 0, "{said}");
    for want in [
        "warning: script: mail is deferred while the plug-in fails: exec:",
        "the first line is not",
        "nonsense",
    ] {
        assert!(said.contains(want), "{want}: {said}");
    }
}

/// Replies to these recipients in one message, and the edits at its end.
fn message(daemon: &Daemon, recipients: &[&str]) -> (Vec<String>, Vec<String>) {
    let mut mta = daemon.connect();
    mta.negotiate(OFFER);
    mta.mail();
    let replies = recipients.iter().map(|to| mta.rcpt(&[&format!("<{to}@example.test>")])).collect();
    (replies, mta.end())
}

#[test]
fn the_daemon_calls_the_examples() {
    for name in ["processor.py", "processor.sh"] {
        let (site, mark) = site(name);
        let mut daemon = Daemon::start(site);
        let ready = format!("detail=\"{name}\" the plug-in is ready");
        daemon.log.wait_for(0, &ready);
        daemon.check("with a plug-in");
        let (replies, edits) = message(&daemon, &["joe-macys-m5", "bar-macys-m5", "nobody-macys-m5"]);
        assert_eq!(replies[..2], ["c", "c"]);
        assert!(replies[2].starts_with("y 550 5.1.1 "), "{replies:?}");
        for want in ["- <joe-macys-m5@", "2 <foo@example.test>", "- <bar-macys-m5@", "2 <alice@example.test>"]
        {
            assert!(edits.iter().any(|edit| edit.starts_with(want)), "{want}: {edits:?}");
        }

        // A change of the rules is no reason to start another one.
        let running = processes(&mark);
        assert_eq!(running.len(), 1);
        let from = daemon.log.len();
        daemon.site.write("aliases.rules", &format!("{RULES}# changed\n"));
        daemon.log.wait_for(from, "configuration reloaded (file changed)");
        daemon.check("after a change of the rules");
        assert_eq!(processes(&mark), running);

        // The operator asks for a new one, and has it.
        let from = daemon.log.len();
        daemon.signal("HUP");
        daemon.log.wait_for(from, &ready);
        daemon.check("after a reload");
        wait("the old program ends", || processes(&mark).len() == 1 && processes(&mark) != running);

        // It is killed: mail is deferred, and nothing else.
        for process in processes(&mark) {
            assert!(Command::new("kill").args(["-9", &process]).status().unwrap().success());
        }
        wait("it works again", || {
            let reply = message(&daemon, &["joe-macys-m5"]).0.remove(0);
            assert!(reply == "c" || reply.starts_with("y 451 4.3.0 "), "{reply}");
            reply == "c"
        });
        daemon.check("after a restart");

        // A configuration without it may be incomplete.
        let from = daemon.log.len();
        daemon.site.configure("script = ", "#script = ");
        daemon.log.wait_for(from, "rcptd.conf has shrunk from 1 script to 0");
        assert_eq!(message(&daemon, &["joe-macys-m5"]).0, ["c"]);

        daemon.stop();
        wait("the program ends", || processes(&mark).is_empty());
    }
}

/// The deadline in the documents is that of the program.
#[test]
fn the_documents_have_the_deadline() {
    let seconds = format!("{} s", rcptd::script::DEADLINE.as_secs());
    for (document, want) in [
        (include_str!("../docs/plug-ins.md"), format!("A question has {seconds}, or less")),
        (include_str!("../docs/plug-ins.md"), format!("twice the {seconds} of `script`")),
        (
            include_str!("../milter.conf.sample"),
            format!("answer within {seconds}, the recipient is deferred"),
        ),
        (
            include_str!("../install/rcptd.conf.5"),
            format!("does not answer within {seconds}, or answers with"),
        ),
    ] {
        let text = document.replace("\n# ", " ").replace('\n', " ");
        assert!(text.contains(&want), "{want}");
    }
}

fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < PATIENT, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

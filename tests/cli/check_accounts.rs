//! `rcptd check --accounts`, with a mail server whose replies are given by the test.

use super::{Run, path, run};
use crate::common::Site;
use crate::fake::{Act, Fake};
use serde_json::Value;

const RULES: &str = "ACCOUNT foo, bar MATCHES %account%-%alnum%-%code% WITH CHAR(1,-), CHARS();\n";

/// A server that replies by the local part: `postmaster`, `foo`, `bar`, and any other.
async fn server([postmaster, first, second]: [&'static str; 3]) -> Fake {
    Fake::start(move |line, _, _| match line.strip_prefix("VRFY <") {
        Some(name) if name.starts_with("postmaster@") => Act::say(postmaster),
        Some(name) if name.starts_with("foo@") => Act::say(first),
        Some(name) if name.starts_with("bar@") => Act::say(second),
        Some(_) => Act::say(NO),
        None => Act::Usual,
    })
    .await
}

const YES: &str = "250 2.1.5 yes";
const NO: &str = "550 5.1.1 no such user";
const LATER: &str = "450 4.3.0 later";

/// A site with this account source.
fn site(source: &str) -> Site {
    let site = Site::new("", "");
    site.configure(&format!("file:{}", path(&site, "accounts")), source);
    site
}

async fn check(site: &Site, more: &'static [&'static str]) -> Run {
    let conf = path(site, "rcptd.conf");
    let checked =
        tokio::task::spawn_blocking(move || run(&[&["check", "-c", &conf, "--accounts"], more].concat()));
    checked.await.unwrap()
}

/// The replies, the exit code, and texts that must and must not be in the output.
#[tokio::test(flavor = "multi_thread")]
async fn check_asks_for_the_accounts_of_the_rules() {
    type Case = ([&'static str; 3], i32, &'static [&'static str], &'static [&'static str]);
    let cases: &[Case] = &[
        (
            [YES, YES, YES],
            0,
            &["works: it does not find a random name", "2 accounts in the rules: 2 exist\n", ": good\n"],
            &["temporary failure", "ACCOUNT"],
        ),
        (
            [YES, YES, NO],
            78,
            &[
                "bar@example.test  aliases.rules:1  account not found: VRFY <bar@example.test>: 550 5.1.1 no such user\n",
                "2 accounts in the rules: 1 exists, 1 not found\nMail to aliases of accounts that are not found is rejected.\n",
            ],
            &["temporary failure", "foo@", ": good"],
        ),
        (
            [YES, YES, LATER],
            75,
            &["bar@example.test  aliases.rules:1  temporary failure: ", "1 exists, 1 not known\n"],
            &["account not found", "1 not found", "foo@"],
        ),
        // The server has lost its users: its rejections do not count.
        (
            [NO, NO, NO],
            75,
            &[
                "does not count: ",
                "does not find the witness",
                "example.test  deferred: ",
                "0 exist, 2 not known",
            ],
            &["account not found", "2 not found"],
        ),
    ];
    for (replies, code, wanted, unwanted) in cases {
        let server = server(*replies).await;
        let site = site(&server.spec());
        site.write("aliases.rules", RULES);
        let got = check(&site, &[]).await;
        let out = got.out.replace(&format!("{}/", site.path("").display()).replace("//", "/"), "");
        assert_eq!(got.code, *code, "{out}{}", got.err);
        for want in *wanted {
            assert!(out.contains(want), "{want} in {out}");
        }
        for unwanted in *unwanted {
            assert!(!out.contains(unwanted), "{unwanted} in {out}");
        }
        // Witness, canary, random names, accounts.
        assert!(server.vrfys().len() <= 12, "{:?}", server.vrfys());
    }
}

/// If no server answers, accounts are "not known", never "not found".
#[tokio::test(flavor = "multi_thread")]
async fn accounts_of_a_source_that_is_down_are_not_known() {
    let site = site("vrfy:127.0.0.1:1");
    let got = check(&site, &[]).await;
    assert_eq!(got.code, 75, "{}{}", got.out, got.err);
    for want in [
        "vrfy:127.0.0.1:1  example.test  temporary failure: ",
        "check that its server runs, and that this user may connect to it",
        "2 accounts in the rules: 0 exist, 2 not known\n",
    ] {
        assert!(got.out.contains(want), "{want} in {}", got.out);
    }
    assert!(!got.out.contains("2 not found") && !got.out.contains("account not found"), "{}", got.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_of_several_domains_and_targets() {
    let site = Site::new("", "");
    site.configure("\"example.test\"", "\"example.test\", \"other.test\"");
    site.write("accounts", "foo@example.test\nbox@other.test\nalice\n");
    site.write(
        "aliases.rules",
        "ACCOUNT foo MATCHES a.%code% WITH CHARS(account);\n\
         ACCOUNT alice MATCHES b.%code% WITH CHARS(account);\n\
         ACCOUNT gone DOMAINS other.test MATCHES c.%code% WITH CHARS(account);\n\
         ACCOUNT away MATCHES d.%code% WITH CHARS(account) DELIVER TO away@elsewhere.test;\n\
         ACCOUNT moved MATCHES e.%code% WITH CHARS(account) DELIVER TO box@other.test;\n",
    );
    let got = check(&site, &[]).await;
    assert_eq!(got.code, 78, "{}{}", got.out, got.err);
    for want in [
        "(exists in another domain of its rules)",
        "foo@other.test ",
        "gone@other.test ",
        "4 accounts in the rules: 3 exist, 1 not found\n",
    ] {
        assert!(got.out.contains(want), "{want} in {}", got.out);
    }
    for unwanted in ["gone@example.test", "away", "box@", "alice@"] {
        assert!(!got.out.contains(unwanted), "{unwanted} in {}", got.out);
    }
    let got = check(&site, &["--json"]).await;
    assert_eq!(got.code, 78, "{}", got.err);
    let objects: Vec<Value> = got.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let accounts: Vec<_> = objects
        .iter()
        .filter(|object| object["kind"] == "account")
        .map(|object| (object["address"].as_str().unwrap(), object["result"].as_str().unwrap()))
        .collect();
    assert_eq!(
        accounts,
        [
            ("foo@example.test", "exists"),
            ("foo@other.test", "not_found"),
            ("alice@example.test", "exists"),
            ("alice@other.test", "exists"),
            ("gone@other.test", "not_found"),
            ("box@other.test", "exists"),
        ]
    );
    let kinds = |kind: &str| objects.iter().filter(|object| object["kind"] == kind).count();
    assert_eq!((kinds("source"), kinds("domain")), (2, 2), "{}", got.out);
    let works = objects.iter().filter(|object| object["kind"] == "source" && object["result"] == "works");
    assert_eq!(works.count(), 2, "{}", got.out);
}

/// Two sources: the report shows the one that fails, and the result of both for the domain.
#[tokio::test(flavor = "multi_thread")]
async fn domains_without_a_working_source_are_named() {
    let site = Site::new("", "");
    let file = format!("\"file:{}\"", path(&site, "accounts"));
    site.configure(&file, &format!("[\"vrfy:127.0.0.1:1\", {file}]"));
    let got = check(&site, &[]).await;
    // As configured, the list is asked if the server fails: foo and bar exist.
    assert_eq!(got.code, 75, "{}{}", got.out, got.err);
    assert!(got.out.contains("2 accounts in the rules: 2 exist\n"), "{}", got.out);
    assert!(got.out.contains("example.test  deferred: "), "{}", got.out);
    site.configure("[account]", "[account]\non_tempfail = \"accept\"");
    let got = check(&site, &[]).await;
    assert!(got.out.contains("example.test  accepted (on_tempfail): "), "{}", got.out);
}

/// Without --accounts, too: nobody gets mail while a list is empty.
#[tokio::test(flavor = "multi_thread")]
async fn check_reports_an_empty_list() {
    let site = Site::new("", "");
    site.write("accounts", "# none yet\n");
    let conf = path(&site, "rcptd.conf");
    let got = tokio::task::spawn_blocking(move || run(&["check", "-c", &conf])).await.unwrap();
    assert_eq!(got.code, 0, "{}{}", got.out, got.err);
    let want = "mail for example.test will be deferred: the list names no account";
    assert!(got.err.contains(want), "{}{}", got.out, got.err);
}

/// The server of a map is down: a temporary failure, after which the accounts are still looked up. A map that cannot
/// work is an error of the configuration, whatever the accounts are.
#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_asked_although_a_map_is_down() {
    let map = |more: &str| format!("[[map]]\nname = \"m\"\nsource = \"tcp:127.0.0.1:1\"\n{more}\n[account]");
    let impossible = "domain = [\"y.test\"]\nresult_format = \"%3\"";
    for (more, code, is_asked) in [("", 75, true), (impossible, 78, false)] {
        let site = Site::new("", "");
        site.configure("[account]", &map(more));
        let got = check(&site, &["--maps"]).await;
        assert_eq!(got.code, code, "{more}: {}{}", got.out, got.err);
        assert_eq!(got.out.contains("2 accounts in the rules: 2 exist\n"), is_asked, "{more}: {}", got.out);
        let is_down = got.out.contains("map m: tcp:127.0.0.1:1: ") && got.out.contains("(check hosts");
        assert_eq!(is_down, is_asked, "{more}: {}", got.out);
    }
}

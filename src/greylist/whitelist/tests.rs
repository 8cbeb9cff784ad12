//! Tests of whitelists.

use super::*;
use crate::greylist::SpfResult;
use mail_address::Address;
use proptest::prelude::*;

fn address(text: &str) -> Address {
    Address::from_server(text.as_bytes())
}

fn read(content: &str, format: Format, regex: bool) -> (Whitelist, Vec<Problem>) {
    let mut whitelist = Whitelist::default();
    let problems = whitelist.add(&Text::new("list", content), format, regex);
    (whitelist, problems)
}

/// A request: client, name, sender, recipient.
type Request<'a> = (&'a str, &'a str, &'a str, &'a str);

fn find(
    whitelist: &Whitelist,
    (client, name, sender, recipient): Request<'_>,
    spf: Option<SpfResult>,
) -> String {
    let (from, to) = (address(sender), address(recipient));
    let facts = Facts {
        client: client.parse().unwrap(),
        client_name: (!name.is_empty()).then_some(name),
        reverse_name: None,
        helo: "helo.example.org",
        sender: (!sender.is_empty()).then_some(&from),
        recipient: &to,
        spf,
    };
    match whitelist.find(&facts) {
        Found::Listed(entry) => format!("{}:{entry}", entry.line),
        Found::NeedsSpf => "spf?".into(),
        Found::NotListed => "-".into(),
    }
}

const ANY: Request<'_> = ("192.0.2.7", "mx.example.org", "bob@example.org", "foo@example.test");

#[test]
fn entries_apply() {
    let pass = Some(SpfResult::Pass);
    for (content, request, spf, want) in [
        ("client=192.0.2.0/24", ANY, None, "1:client=192.0.2.0/24"),
        ("client=192.0.3.0/24", ANY, None, "-"),
        ("client=2001:db8::/32", ("2001:db8::1", "", "", "foo@example.test"), None, "1:client=2001:db8::/32"),
        ("# c\n\n  name=.Example.org  \n", ANY, None, "3:name=example.org"),
        ("name=example.org", ("192.0.2.7", "badexample.org", "", "x@y.test"), None, "-"),
        ("name=example.org", ("192.0.2.7", "", "", "x@y.test"), None, "-"),
        ("recipient=foo@example.test", ANY, None, "1:recipient=foo@example.test"),
        ("recipient=foo@", ("192.0.2.7", "", "", "FOO+x@example.net"), None, "1:recipient=foo@"),
        ("recipient=@example.test", ("192.0.2.7", "", "", "x@sub.example.test"), None, "-"),
        (
            "recipient=example.test",
            ("192.0.2.7", "", "", "x@sub.example.test"),
            None,
            "1:recipient=example.test",
        ),
        // Conditions are ANDed, and negated.
        ("client=192.0.2.0/24 !sender=@example.org", ANY, None, "-"),
        ("client=192.0.2.0/24 !sender=@example.com", ANY, None, "1:client=192.0.2.0/24 !sender=@example.com"),
        ("name=example.org !helo=helo.example.org", ANY, None, "-"),
        ("name=example.org helo=example.org", ANY, None, "1:name=example.org helo=example.org"),
        (
            "client=192.0.2.7 sender=<>",
            ("192.0.2.7", "", "", "x@y.test"),
            None,
            "1:client=192.0.2.7 sender=<>",
        ),
        ("client=192.0.2.7 !sender=<>", ("192.0.2.7", "", "", "x@y.test"), None, "-"),
        // SPF is looked up only if it matters.
        ("sender=@example.org spf=pass", ANY, None, "spf?"),
        ("sender=@example.org spf=pass", ANY, pass, "1:sender=@example.org spf=pass"),
        ("sender=@example.org spf=pass", ANY, Some(SpfResult::Fail), "-"),
        ("sender=@example.com spf=pass", ANY, None, "-"),
        ("name=example.org !spf=fail", ANY, Some(SpfResult::Neutral), "1:name=example.org !spf=fail"),
        // A failure is no result.
        ("name=example.org !spf=fail", ANY, Some(SpfResult::Unknown), "-"),
        ("sender=@example.org spf=pass\nname=example.org", ANY, None, "2:name=example.org"),
        // Regular expressions, and values with blanks.
        (r"name=/^MX\.example/", ANY, None, r"1:name=/^MX\.example/"),
        (r"recipient=/^foo@/ client=192.0.2.0/24", ANY, None, r"1:recipient=/^foo@/ client=192.0.2.0/24"),
        (
            "recipient=\"a b@example.test\"",
            ("192.0.2.7", "", "", "\"a b\"@example.test"),
            None,
            "1:recipient=\"a b@example.test\"",
        ),
    ] {
        let (whitelist, problems) = read(content, Format::Entries, true);
        assert_eq!(problems, [], "{content}");
        assert_eq!(find(&whitelist, request, spf), want, "{content} {request:?} {spf:?}");
    }
}

#[test]
fn lists_of_postgrey_apply() {
    use Format::{Clients, Recipients};
    for (content, format, request, want) in [
        ("example.org # big sender", Clients, ANY, "1:name=example.org"),
        (".example.org", Clients, ANY, "1:name=example.org"),
        ("192.0.2.7", Clients, ANY, "1:client=192.0.2.7"),
        ("192.0.2", Clients, ANY, "1:client=192.0.2.0/24"),
        ("192.0.2.", Clients, ANY, "1:client=192.0.2.0/24"),
        ("192.0", Clients, ANY, "1:client=192.0.0.0/16"),
        ("192.0.2.0/25", Clients, ANY, "1:client=192.0.2.0/25"),
        ("2001:db8::/32", Clients, ("2001:db8::1", "", "", "x@y.test"), "1:client=2001:db8::/32"),
        (r"/^mx\d*\.example\.org$/", Clients, ANY, r"1:name=/^mx\d*\.example\.org$/"),
        (
            "postmaster@",
            Recipients,
            ("192.0.2.7", "", "", "Postmaster@example.test"),
            "1:recipient=postmaster@",
        ),
        ("foo@example.test", Recipients, ANY, "1:recipient=foo@example.test"),
        (
            "foo@example.test",
            Recipients,
            ("192.0.2.7", "", "", "foo+x@example.test"),
            "1:recipient=foo@example.test",
        ),
        ("example.test", Recipients, ANY, "1:recipient=example.test"),
        ("/^fo+@/", Recipients, ANY, "1:recipient=/^fo+@/"),
    ] {
        let (whitelist, problems) = read(content, format, true);
        assert_eq!(problems, [], "{content}");
        assert_eq!(find(&whitelist, request, None), want, "{content}");
    }
}

#[test]
fn the_json_of_tprt_applies() {
    let json = r#"{"name": "ours", "nets": [{"type": "ipv4_net", "net": "192.0.2.9", "mask": 24},
        {"type": "ipv6_net", "net": "2001:db8::", "mask": "32"}],
        "recipient_literal": [{"recipient": "Foo@example.test"}, {"recipient": "bar"}],
        "regex": [{"type": "remote_regex", "regex": "^mx\\.example\\.net$"},
                  {"type": "recipient_regex", "regex": "^baz@"}]}"#;
    let (whitelist, problems) = read(json, Format::Entries, true);
    assert_eq!(problems, []);
    for (request, want) in [
        (("192.0.2.7", "", "", "x@y.test"), "client=192.0.2.0/24"),
        (("2001:db8::1", "", "", "x@y.test"), "client=2001:db8::/32"),
        (("198.51.100.1", "", "", "foo@example.test"), "recipient=foo@example.test"),
        (("198.51.100.1", "", "", "bar@y.test"), "recipient=bar@"),
        (("198.51.100.1", "mx.example.net", "", "x@y.test"), r"name=/^mx\.example\.net$/"),
        (("198.51.100.1", "", "", "baz@y.test"), "recipient=/^baz@/"),
        (("198.51.100.1", "", "", "x@y.test"), "-"),
    ] {
        let found = find(&whitelist, request, None);
        assert_eq!(found.split_once(':').map_or(&*found, |(_, entry)| entry), want, "{request:?}");
    }
}

#[test]
fn errors_name_the_remedy() {
    use Format::{Clients, Entries, Recipients};
    for (content, format, want) in [
        ("example.org", Entries, "\"example.org\" is not a condition (write \"name=example.org\""),
        ("192.0.2.1", Entries, "\"192.0.2.1\" is not a condition (write \"client=192.0.2.1\""),
        ("a@b.test", Entries, "\"a@b.test\" is not a condition (write \"recipient=a@b.test\" or"),
        ("clent=192.0.2.1", Entries, "there is no condition \"clent\" (did you mean client=?)"),
        ("client=192.0.2.300", Entries, "client=192.0.2.300 cannot be used (write a network"),
        ("name=\"a", Entries, "the quoted value does not end (write a second \""),
        ("sender=@ spf=pass", Entries, "sender=@ cannot be used (write an address"),
        ("recipient=<>", Entries, "recipient=<> cannot be used (no recipient is <>)"),
        ("client=192.0.2.1 spf=good", Entries, "spf=good cannot be used (write one of pass, fail"),
        ("name=/(/", Entries, "the regular expression cannot be used"),
        ("a@b.test", Clients, "\"a@b.test\" is not a client (this is the list of clients"),
        ("192.0.2.1/24", Clients, "\"192.0.2.1/24\" is not a client (write \"192.0.2.0/24\")"),
        ("/x", Clients, "the regular expression does not end"),
        ("192.0.2.0/24", Recipients, "\"192.0.2.0/24\" is not a recipient (this is the list of recipients"),
        ("{", Entries, "this is not the JSON of a whitelist"),
        (
            r#"{"x": [{"type": "sender_regex"}]}"#,
            Entries,
            "section \"x\", entry 1: there is no type \"sender_regex\"",
        ),
        (
            r#"{"ipv4_net": [{"net": "::1"}]}"#,
            Entries,
            "section \"ipv4_net\", entry 1: \"net\" is of the other family",
        ),
        (
            r#"{"ipv4_net": [{"net": "192.0.2.0", "mask": 33}]}"#,
            Entries,
            "section \"ipv4_net\", entry 1: \"mask\" is not",
        ),
        (r#"{"ipv4_net": [7]}"#, Entries, "section \"ipv4_net\", entry 1: it is not an object"),
        (r#"{"x": {}}"#, Entries, "section \"x\" is not a list"),
    ] {
        let (_, problems) = read(content, format, true);
        let shown = problems.first().map(ToString::to_string).unwrap_or_default();
        let shown = shown.split_once("error: ").map_or(&*shown, |(_, rest)| rest);
        assert!(shown.starts_with(want), "{content}: {shown}");
    }
    let (_, problems) = read("name=/x/", Entries, false);
    assert!(problems[0].to_string().contains("set greylist.allow_regex = true"), "{}", problems[0]);
    let (_, problems) = read(&"x\n".repeat(50), Entries, false);
    assert_eq!(problems.len(), MAX_PROBLEMS + 1);
    assert!(problems[MAX_PROBLEMS].message.contains("30 more errors"));
}

#[test]
fn entries_that_disable_greylisting_are_refused() {
    use Format::{Clients, Entries, Recipients};
    for (content, format) in [
        ("client=0.0.0.0/0", Entries),
        ("client=128.0.0.0/1", Entries),
        ("client=192.0.0.0/7", Entries),
        ("client=::/0", Entries),
        ("client=2000::/3", Entries),
        ("name=com", Entries),
        ("name=.co.uk", Entries),
        ("!client=192.0.2.1", Entries),
        ("!name=example.org !sender=@example.com", Entries),
        ("sender=bob@example.org", Entries),
        ("sender=<>", Entries),
        ("sender=<> spf=pass", Entries),
        ("spf=pass", Entries),
        ("spf=none !client=192.0.2.1", Entries),
        ("helo=example.org", Entries),
        ("helo=example.org spf=pass", Entries),
        ("recipient=com", Entries),
        ("recipient=@co.uk", Entries),
        ("name=/./", Entries),
        ("name=/.*/", Entries),
        ("name=/[a-z]/", Entries),
        ("name=/^/", Entries),
        ("recipient=/@|x/", Entries),
        ("recipient=/e/", Entries),
        ("sender=/@example\\.org$/", Entries),
        ("com", Clients),
        ("0.0.0.0/0", Clients),
        ("/.+/", Clients),
        ("org", Recipients),
        ("/\\S/", Recipients),
        (r#"{"ipv4_net": [{"net": "0.0.0.0", "mask": 0}]}"#, Entries),
        (r#"{"ipv6_net": [{"net": "::", "mask": 0}]}"#, Entries),
        (r#"{"remote_regex": [{"regex": ".*"}]}"#, Entries),
    ] {
        let (whitelist, problems) = read(content, format, true);
        assert!(whitelist.is_empty() && problems.len() == 1, "{content}: {problems:?}");
        assert!(problems[0].help.is_some(), "{content}");
    }
    for content in [
        "client=10.0.0.0/8",
        "client=2001::/16",
        "sender=@example.org spf=pass",
        "helo=x.example.org client=192.0.2.1",
    ] {
        let (whitelist, problems) = read(content, Entries, true);
        assert_eq!((whitelist.len(), problems), (1, vec![]), "{content}");
    }
}

#[test]
fn limits_hold() {
    let many = "name=/^x$/\n".repeat(MAX_SCANNED + 1);
    let (_, problems) = read(&many, Format::Entries, true);
    assert!(problems[0].message.contains("more than 500 entries"), "{}", problems[0]);
    let long = "client=192.0.2.1 ".repeat(MAX_CONDITIONS + 1);
    let (_, problems) = read(&long, Format::Entries, true);
    assert!(problems[0].message.contains("too long"), "{}", problems[0]);
    let regex = format!("name=/{}/", "x".repeat(MAX_REGEX + 1));
    let (_, problems) = read(&regex, Format::Entries, true);
    assert!(problems[0].message.contains("too long"), "{}", problems[0]);
    let (_, problems) = read("name=/(x{100}){100}/", Format::Entries, true);
    assert!(problems[0].message.contains("cannot be used"), "{}", problems[0]);
}

#[test]
fn maps_are_asked_for_these_keys() {
    let to = address("Foo+x@example.test");
    let facts = |client: &str, client_name| Facts {
        client: client.parse().unwrap(),
        client_name,
        reverse_name: None,
        helo: "",
        sender: None,
        recipient: &to,
        spf: None,
    };
    for (client, name, want) in [
        (
            "192.0.2.7",
            Some("a.b.c.d.e.example.org"),
            "192.0.2.7 192.0.2 192.0 a.b.c.d.e.example.org d.e.example.org e.example.org example.org \
             foo+x@example.test foo+x@ example.test",
        ),
        (
            "2001:db8:1::2",
            None,
            "2001:db8:1::2 2001:db8:1:0 2001:db8:1 2001:db8 foo+x@example.test foo+x@ example.test",
        ),
        (
            "192.0.2.7",
            Some("localhost"),
            "192.0.2.7 192.0.2 192.0 localhost foo+x@example.test foo+x@ example.test",
        ),
    ] {
        let keys = keys::keys(&facts(client, name));
        assert_eq!(keys.join(" "), want);
        assert!(keys.len() <= keys::MAX_KEYS);
    }
    for (value, want) in [("OK", true), ("yes", true), ("dunno", false), ("NO", false), ("DUNNO x", false)] {
        assert_eq!(keys::is_listed(value), want, "{value}");
    }
}

fn some_entry() -> impl Strategy<Value = String> {
    let condition = prop_oneof![
        (0_u8..4, 8_u8..=32).prop_map(|(a, prefix)| {
            let network = Network::around([10, a, a, a].into(), prefix, prefix);
            format!("client={network}")
        }),
        "[ab]\\.example\\.(org|net)".prop_map(|name| format!("name={name}")),
        "[ab]@[cd]\\.example".prop_map(|mailbox| format!("sender={mailbox} spf=pass")),
        "([ab]|)@[cd]\\.example".prop_map(|mailbox| format!("recipient={mailbox}")),
        "!sender=[ab]@",
        "helo=[ab]\\.example",
        "client=10\\.[0-3]\\.1\\.1 sender=<>",
    ];
    proptest::collection::vec(condition, 1..4).prop_map(|conditions| conditions.join(" "))
}

proptest! {
    #[test]
    fn any_text_is_read(content in ".{0,200}", bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for format in [Format::Entries, Format::Clients, Format::Recipients] {
            read(&content, format, true);
            read(&String::from_utf8_lossy(&bytes), format, true);
        }
    }

    #[test]
    fn entries_are_written_as_they_are_read(content in some_entry()) {
        let (first, _) = read(&content, Format::Entries, true);
        for entry in first.entries() {
            let (second, problems) = read(&entry.to_string(), Format::Entries, true);
            prop_assert_eq!(problems, vec![]);
            prop_assert_eq!(&second.entries()[0].terms, &entry.terms);
        }
    }

    /// The index finds an entry exactly if one applies.
    #[test]
    fn the_index_misses_nothing(
        contents in proptest::collection::vec(some_entry(), 1..20),
        client in (0_u8..4).prop_map(|a| format!("10.{a}.{a}.{a}")),
        name in "[ab]\\.example\\.(org|net)",
        sender in "|[ab]@[cd]\\.example",
        recipient in "[ab]@[cd]\\.example",
        passes: bool,
    ) {
        let (whitelist, _) = read(&contents.join("\n"), Format::Entries, true);
        let request = (&*client, &*name, &*sender, &*recipient);
        for spf in [None, Some(if passes { SpfResult::Pass } else { SpfResult::None })] {
            let got = find(&whitelist, request, spf);
            let mut each = Vec::new();
            for entry in whitelist.entries() {
                let mut alone = Whitelist::default();
                alone.entries.push(entry.clone());
                alone.scanned.push(0);
                each.push(find(&alone, request, spf));
            }
            let applies = |what: &str| each.iter().any(|found| found == what);
            if each.iter().any(|found| found != "-" && found != "spf?") {
                prop_assert!(applies(&got), "{} {:?}", got, each);
            } else {
                prop_assert_eq!(got, if applies("spf?") { "spf?" } else { "-" });
            }
        }
    }
}

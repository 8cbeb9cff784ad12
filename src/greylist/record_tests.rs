//! Tests of records.

use super::*;
use proptest::prelude::*;

const TIMES: Times = Times { delay: 300, window: 172_800, max_age: 3_024_000 };
const T: u64 = 1_764_550_000;

#[test]
fn lines_are_as_documented() {
    let passed = Triplet::Passed { first: T, delayed: 310, last: T + 310, passes: 1 };
    let client = Client { passes: 5, last: T + 310 };
    let hashed = Record::from_entry("cAAAAAAAAAAAAAAAA", "5 1764550310").unwrap();
    let documented = include_str!("record.rs").lines().filter_map(|line| line.strip_prefix("//! {\"kind"));
    let documented: Vec<String> = documented.map(|line| format!("{{\"kind{line}")).collect();
    let records = [
        Record::triplet("192.0.2.0/24", "bob@example.org", "foo@example.com", Triplet::Waiting { first: T }),
        Record::triplet("192.0.2.0/24", "<>", "foo@example.com", passed),
        Record::client("name:example.org", client),
        Record::correspondent("bob@example.org", "foo@example.com", T + 310),
        hashed,
    ];
    assert_eq!(records.each_ref().map(ToString::to_string), documented[..]);
    for (record, line) in records.iter().zip(&documented) {
        assert_eq!(Record::parse(line).as_ref(), Ok(record));
    }
}

#[test]
fn times_may_be_readable() {
    let line = r#"{"kind":"client","client":"192.0.2.0/24","passes":5,"last":"2025-12-01T01:46:40+01:00"}"#;
    let want = Client { passes: 5, last: T };
    assert_eq!(Record::parse(line).unwrap().state(), State::Client(want));
}

#[test]
fn broken_lines_have_a_remedy() {
    for (line, want) in [
        (
            "{",
            "the line is not JSON at column 1: EOF while parsing an object (each line has one whole object)",
        ),
        ("[]", "the line is no object (write {\"kind\": …})"),
        ("{}", "kind is missing (write \"triplet\", \"client\" or \"correspondent\")"),
        (r#"{"kind":1}"#, "kind is no string (write \"triplet\", \"client\" or \"correspondent\")"),
        (r#"{"kind":"x\n"}"#, "kind is \"x\\x0a\" (write \"triplet\", \"client\" or \"correspondent\")"),
        (r#"{"kind":"client"}"#, "passes is missing (write a number)"),
        (r#"{"kind":"client","passes":-1,"last":1}"#, "passes is no number from 0 (write a whole number)"),
        (
            r#"{"kind":"client","passes":1,"last":"yesterday"}"#,
            "last is no time (write seconds since 1970, or a time such as \"2026-12-01T03:00:00Z\")",
        ),
        (
            r#"{"kind":"client","passes":1,"last":1.5}"#,
            "last is no time (write seconds since 1970, or a time such as \"2026-12-01T03:00:00Z\")",
        ),
        (
            r#"{"kind":"client","passes":1,"last":"1960-01-01T00:00:00Z"}"#,
            "last is no time (write seconds since 1970, or a time such as \"2026-12-01T03:00:00Z\")",
        ),
        (r#"{"kind":"client","passes":1,"last":1}"#, "client is missing (write a string)"),
        (r#"{"kind":"client","client":"","passes":1,"last":1}"#, "client is empty (write a name)"),
        (
            r#"{"kind":"client","client":"a\u0000b","passes":1,"last":1}"#,
            "client has the character U+0000 (remove it)",
        ),
        (
            r#"{"kind":"client","client":"a","passes":1,"last":1,"first":1}"#,
            "the field \"first\" is unknown here (remove it; known are passes, last, kind, client)",
        ),
        (
            r#"{"kind":"client","key":"tAAAAAAAAAAAAAAAA","passes":1,"last":1}"#,
            "key is no key of this kind (the key of a client is \"c\" and 16 letters of base64url)",
        ),
        (
            r#"{"kind":"client","key":"cAAAAAAAAAAAAAAA","passes":1,"last":1}"#,
            "key is no key of this kind (the key of a client is \"c\" and 16 letters of base64url)",
        ),
        (
            r#"{"kind":"client","key":"cAAAAAAAAAAAAAAAA","client":"x","passes":1,"last":1}"#,
            "client and key are both present (write the names or the key)",
        ),
        (r#"{"kind":"triplet","state":"x"}"#, "state is \"x\" (write \"waiting\" or \"passed\")"),
        (
            r#"{"kind":"triplet","client":"a","sender":"","recipient":"b","state":"waiting","first":1}"#,
            "sender is empty (the null sender is \"<>\")",
        ),
    ] {
        assert_eq!(Record::parse(line).unwrap_err().to_string(), want, "{line}");
    }
    let client = |name: &str| format!(r#"{{"kind":"client","client":"{name}","passes":1,"last":1}}"#);
    assert!(Record::parse(&client(&"a".repeat(MAX_NAME))).is_ok());
    assert!(Record::parse(&client(&"a".repeat(MAX_NAME + 1))).is_err());
    assert!(Record::parse(&format!("{}{}", client("a"), " ".repeat(MAX_LINE))).is_err());
}

#[test]
fn errors_are_collected_and_bounded() {
    let mut lines = Lines::default();
    assert_eq!(lines.line(b""), None);
    for _ in 0..MAX_ERRORS + 5 {
        assert_eq!(lines.line(b"x"), None);
    }
    assert!(lines.line(br#"{"kind":"client","client":"a","passes":1,"last":1}"#).is_some());
    assert_eq!(lines.line(b"\xff"), None);
    assert_eq!((lines.errors().len(), lines.faulty()), (MAX_ERRORS, MAX_ERRORS + 6));
    assert_eq!(lines.errors()[0].0, 2);
}

#[test]
fn the_longest_names_fit_into_a_line() {
    let name = "\u{1}".repeat(MAX_NAME);
    let passed = Triplet::Passed { first: u64::MAX, delayed: u64::MAX, last: u64::MAX, passes: u64::MAX };
    let record = Record::triplet(&name, &name, &name, passed);
    assert_eq!(Record::parse(&record.to_string()), Ok(record));
}

#[test]
fn expiry_is_what_is_left() {
    let waiting = |first| State::Triplet(Triplet::Waiting { first });
    let client = |last| State::Client(Client { passes: 1, last });
    for (state, want) in [
        (waiting(T), Some(172_800)),
        (waiting(T - 1), Some(172_799)),
        (waiting(T + 9), Some(172_800)),
        (waiting(T - 172_800), None),
        (waiting(0), None),
        (client(T - 10), Some(3_023_990)),
        (client(T - 3_024_000), None),
        (State::Correspondent(T - 3_023_999), Some(1)),
    ] {
        assert_eq!(state.ttl(T, &TIMES), want, "{state:?}");
    }
}

#[test]
fn merging_keeps_passes() {
    let waiting = |first| State::Triplet(Triplet::Waiting { first });
    let passed = |first, last, passes| State::Triplet(Triplet::Passed { first, delayed: 300, last, passes });
    let client = |passes, last| State::Client(Client { passes, last });
    for (one, two, want) in [
        (waiting(1), waiting(2), waiting(2)),
        (waiting(9), passed(1, 5, 2), passed(1, 5, 2)),
        (passed(1, 5, 2), passed(3, 9, 1), passed(1, 9, 2)),
        (client(5, 1), client(1, 7), client(5, 7)),
        (State::Correspondent(1), State::Correspondent(2), State::Correspondent(2)),
    ] {
        assert_eq!((one.merge(two), two.merge(one)), (want, want), "{one:?} {two:?}");
    }
}

#[test]
fn names_must_have_the_key() {
    let record = Record::client("192.0.2.0/24", Client { passes: 1, last: T });
    let (key, text) = record.entry(true);
    assert_eq!(text, "1 1764550000 [\"192.0.2.0/24\"]");
    assert_eq!(Record::from_entry(&key, &text), Some(record.clone()));
    assert_eq!(Record::from_entry(&key, &record.entry(false).1).unwrap().names(), None);
    for text in
        ["1 1764550000 [\"192.0.3.0/24\"]", "1 1764550000 [\"a\",\"b\"]", "1 1764550000 [", "1 1764550000 x"]
    {
        assert_eq!(Record::from_entry(&key, text).unwrap().names(), None, "{text}");
    }
    for (key, text) in [("", "1 2"), ("x", "1 2"), (&*key, ""), (&*key, "w 1"), ("tAAAAAAAAAAAAAAAA", "1 2")]
    {
        assert_eq!(Record::from_entry(key, text), None, "{key} {text}");
    }
}

const ODD_NAMES: [&str; 6] =
    ["<>", "\"a b\"@example.org", "jürgen@exämple.de", "a[b]@example.org", "\\\"@x", "name:example.org"];

fn record() -> impl Strategy<Value = Record> {
    let name =
        || prop_oneof![proptest::sample::select(&ODD_NAMES[..]).prop_map(str::to_owned), "[^\0]{1,60}"];
    let state = prop_oneof![
        any::<u64>().prop_map(|first| Triplet::Waiting { first }),
        any::<(u64, u64, u64, u64)>().prop_map(|(first, delayed, last, passes)| Triplet::Passed {
            first,
            delayed,
            last,
            passes
        }),
    ];
    prop_oneof![
        (name(), name(), name(), state)
            .prop_map(|(client, sender, rcpt, state)| Record::triplet(&client, &sender, &rcpt, state)),
        (name(), any::<(u64, u64)>())
            .prop_map(|(client, (passes, last))| Record::client(&client, Client { passes, last })),
        (name(), name(), any::<u64>())
            .prop_map(|(address, account, last)| Record::correspondent(&address, &account, last)),
        ("c[A-Za-z0-9_-]{16}", any::<(u64, u64)>()).prop_map(|(key, (passes, last))| {
            Record { about: About::Key(key.into()), state: State::Client(Client { passes, last }) }
        }),
    ]
}

proptest! {
    #[test]
    fn records_survive_a_line_and_a_store(record in record()) {
        let line = record.to_string();
        prop_assert!(!line.contains('\n'));
        prop_assert_eq!(&Record::parse(&line), &Ok(record.clone()));
        let (key, text) = record.entry(true);
        prop_assert_eq!(&Record::from_entry(&key, &text), &Some(record.clone()));
        prop_assert_eq!(State::parse(record.kind(), &text), Some(record.state()));
        let hashed = Record::from_entry(&key, &record.entry(false).1).unwrap();
        prop_assert_eq!(hashed.key(), record.key());
    }

    #[test]
    fn any_line_is_read_without_panic(line: Vec<u8>, text: String) {
        Lines::default().line(&line);
        let _ = Record::parse(&text);
        let _ = names_of(&text);
        Record::from_entry("cAAAAAAAAAAAAAAAA", &text);
    }
}

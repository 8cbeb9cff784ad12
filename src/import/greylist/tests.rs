//! Tests with dumps of postgrey and of sqlite3, with texts in the formats of the other programs, and with broken ones.

use super::*;
use proptest::prelude::*;
use std::fmt::Write;

const SETTINGS: Settings = Settings {
    times: Times { delay: 3, window: 172_800, max_age: 3_024_000 },
    ipv4_prefix: 24,
    ipv6_prefix: 64,
    enough: 5,
};

/// The records of a file, in short: names and state; and what was skipped.
fn import(kind: Option<Kind>, bytes: &[u8]) -> Result<(Vec<String>, Report), Error> {
    let mut records = Vec::new();
    let report = read(kind, bytes, SETTINGS, &mut |record| {
        let names = record.names().unwrap_or_default().join(" ");
        records.push(format!("{names}: {}", record.state()));
    })?;
    assert_eq!(report.records(), records.len() as u64);
    Ok((records, report))
}

fn skipped(report: &Report) -> String {
    let mut out = String::new();
    for Skipped { reason, count, examples } in &report.skipped {
        let lines: Vec<String> = examples.iter().map(|(line, _)| line.to_string()).collect();
        write!(out, "{count} {reason} @{};", lines.join(",")).unwrap();
    }
    out
}

#[test]
fn dumps_are_imported() {
    let sqlgrey = [
        "192.0.2.0/24 bob@example.org foo@example.test: w 1764550000",
        "198.51.100.0/24 <> foo@example.test: w 1764550001",
        "2001:db8:1:2::/64 o'hara@example.net bar@example.test: w 1764550002",
        "203.0.113.0/24: 1 1764550000",
        "203.0.114.0/24: 5 1764550000",
    ];
    let postgrey = [
        "192.0.2.0/24 <> foo@example.test: p 1796094067 3 1796094071 1",
        "192.0.2.0/24 bob@example.org foo@example.test: p 1796094067 3 1796094071 1",
        "198.51.100.0/24 carol@example.net bar@example.test: p 1796094067 3 1796094071 1",
        "2001:db8:1:2::/64 list-return-#-*@lists.example.com foo@example.test: w 1796094067",
        "203.0.113.0/24 a/b@example.org c/d@example.test: p 1796094067 3 1796094071 1",
        "203.0.113.0/24 jür'g q@example.org foo@example.test: w 1796094067",
    ];
    let clients = [
        "192.0.2.0/24: 1 1796094071",
        "192.0.2.0/24: 1 1796094071",
        "198.51.100.0/24: 1 1796094071",
        "203.0.113.0/24: 1 1796094071",
    ];
    for (kind, text, want, want_skipped) in [
        (
            Kind::Postgrey,
            include_str!("../../../tests/data/import-greylist/postgrey-print.dump"),
            &postgrey[..],
            "",
        ),
        (
            Kind::Postgrey,
            include_str!("../../../tests/data/import-greylist/postgrey-hex.dump"),
            &postgrey,
            "",
        ),
        (
            Kind::Postgrey,
            include_str!("../../../tests/data/import-greylist/postgrey-clients.dump"),
            &clients,
            "",
        ),
        (
            Kind::Postgrey,
            include_str!("../../../tests/data/import-greylist/postgrey-clients-hex.dump"),
            &clients,
            "",
        ),
        (Kind::Sqlgrey, include_str!("../../../tests/data/import-greylist/sqlgrey.tsv"), &sqlgrey, ""),
        (Kind::Sqlgrey, include_str!("../../../tests/data/import-greylist/sqlgrey-sqlite.sql"), &sqlgrey, ""),
        (Kind::Sqlgrey, include_str!("../../../tests/data/import-greylist/sqlgrey-mysql.sql"), &sqlgrey, ""),
        (
            Kind::MilterGreylist,
            include_str!("../../../tests/data/import-greylist/milter-greylist.db"),
            &[
                "192.0.2.0/24 bob@example.org foo@example.test: w 1764550297",
                "198.51.100.0/24 <> foo@example.test: w 1764550298",
                "2001:db8:1:2::/64 carol@example.net bar@example.test: p 1764550000 0 1764550000 1",
            ],
            "",
        ),
        (
            Kind::TprtGdbm,
            include_str!("../../../tests/data/import-greylist/tprt.gdbm-dump"),
            &[
                "198.51.100.0/24 carol@example.net bar@example.test: p 1764550001 0 1764550001 3",
                "203.0.113.0/24: 7 1764550004",
                "192.0.2.0/24 bob@example.org foo@example.test: w 1764550000",
                "2001:db8:1::/64 dave@example.com foo@example.test: p 1764550002 0 1764550002 1",
            ],
            "1 the key is a digest (hash_grey_db), from which no names can be found @27;",
        ),
        (
            Kind::TprtRedis,
            include_str!("../../../tests/data/import-greylist/tprt-redis.txt"),
            &[
                "203.0.113.0/24: 7 1764550004",
                "192.0.2.0/24 bob@example.org foo@example.test: w 1764550000",
                "198.51.100.0/24 carol@example.net bar@example.test: p 1764550001 0 1764550001 3",
            ],
            "",
        ),
    ] {
        let (records, report) = import(None, text.as_bytes()).unwrap();
        assert_eq!(records, want, "{kind}");
        assert_eq!(report.kind, Some(kind));
        assert_eq!(skipped(&report), want_skipped, "{kind}");
        assert!(!report.differences.is_empty(), "{kind}");
        // The lines may end as on Windows.
        assert_eq!(import(Some(kind), text.replace('\n', "\r\n").as_bytes()).unwrap().0, want, "{kind}");
    }
}

#[test]
fn an_export_is_imported() {
    let line = r#"{"kind":"client","client":"192.0.2.0/24","passes":5,"last":1764550310}"#;
    let (records, report) = import(None, format!("{line}\n\n{{}}\n").as_bytes()).unwrap();
    assert_eq!(records, ["192.0.2.0/24: 5 1764550310"]);
    assert_eq!(skipped(&report), "1 the line is no record @3;");
    assert!(report.skipped[0].examples[0].1.starts_with("kind is missing (write"));
    // All errors are counted, and each example is its own error.
    let report = import(Some(Kind::Records), &b"{}\n".repeat(100)).unwrap().1;
    assert_eq!(skipped(&report), "100 the line is no record @1,2,3;");
}

const POSTGREY: &str = "VERSION=3\nformat=print\nHEADER=END\n";

#[test]
fn broken_entries_are_counted() {
    let dump = |data: &str| format!("{POSTGREY}{data}DATA=END\n");
    let gdbm = |data: &str| format!("# GDBM dump file\n# End of header\n{data}#:count=1\n# End of data\n");
    let header = "sender_name\tsender_domain\tsrc\trcpt\tfirst_seen\n";
    for (text, want) in [
        (dump(" 192.0.2.0/a@b/c@d\n 1,2\n"), ""),
        (dump(" 192.0.2.0/a@b/c@d\n"), "1 the last key has no value @5;"),
        (dump(" 192.0.2.0/a@b/c@d\n x\n"), "1 the value is not FIRST,LAST @5;"),
        (dump(" 192.0.2.0/a@b\n 1,2\n"), "1 the key has no sender and recipient @5;"),
        (dump(" 192.0.2.0/a@b/\n 1,2\n"), "1 the key has no sender and recipient @5;"),
        (dump(" mail/a@b/c@d\n 1,2\n"), "1 the client is no address @5;"),
        (dump(" last_maintenance\n 1764550000\n"), "1 the key is none of a triplet or a client @5;"),
        (dump(" 192.0.2.1\n 5\n"), "1 the value is not COUNT,LAST @5;"),
        (dump("x\n 192.0.2.1\n 5,1\n"), "1 the line is no key and no value of a dump @4;"),
        (dump(" \\x\n 5,1\n"), "1 the key or its value is not written as in a dump, or too long @5;"),
        (
            dump(&format!(" {}\n 5,1\n", "a".repeat(5000))),
            "1 the key or its value is not written as in a dump, or too long @5;",
        ),
        (format!("{POSTGREY} 192.0.2.1\n 5,1\n"), "1 the file ends too early: write the dump again @6;"),
        (gdbm("#:len=14\nMjAzLjAuMTEzLjAvMjQ=\n#:len=3\nNywx\n"), ""),
        // Base64 on several lines.
        (gdbm("#:len=14\nMjAzLjAu\nMTEzLjAvMjQ=\n#:len=3\nNywx\n"), ""),
        (gdbm("#:len=14\nMjAzLjAuMTEzLjAvMjQ=\n"), "1 the last key has no value @5;"),
        (
            gdbm("#:len=13\nMjAzLjAuMTEzLjAvMjQ=\n#:len=3\nNywx\n"),
            "1 the key or its value is not written as in a dump, or too long @7;",
        ),
        (
            gdbm("#:len=x\n!\n#:len=3\nNywx\n"),
            "1 the key or its value is not written as in a dump, or too long @7;",
        ),
        (gdbm("x\n"), "1 the line is no part of a key or a value @3;"),
        (gdbm("#:len=3\nNywx\n#:len=3\nNywx\n"), "1 the key is no network @7;"),
        ("#:version=1.1\n".into(), "1 the file ends too early: write the dump again @2;"),
        (format!("{header}a\tb\t192.0.2\tc@d\t1\n"), ""),
        (format!("{header}a\tb\t192.0.2\tc@d\n"), "1 the row has another number of columns @2;"),
        (format!("{header}a\tb\tx\tc@d\t1\n"), "1 src is no address @2;"),
        (format!("{header}a\tb\t192.0.2\t\t1\n"), "1 the sender or the recipient is no address @2;"),
        (
            format!("{header}a\tb\t192.0.2\tc@d\tnow\n"),
            "1 the time is neither a number nor YYYY-MM-DD HH:MM:SS @2;",
        ),
        (
            "src\tfirst_seen\n1\t2\n".into(),
            "1 the columns are those of no table @1;1 no line with the names of the \
                                            columns is before it @2;",
        ),
        ("INSERT INTO connect VALUES('a','b".into(), "1 the statement does not end as it should @1;"),
        ("INSERT INTO connect VALUES('a','b')".into(), "1 the row has another number of columns @1;"),
        ("INSERT INTO other VALUES('a','b')".into(), ""),
        ("192.0.2.1\t<a@b>\t<c@d>\t1 # x\n".into(), ""),
        ("192.0.2.1\t<a@b>\t<c@d>\tx # x\n".into(), "1 the time is no number @1;"),
        (
            "192.0.2.1\t<a@b>\t<c@d>\t1 TARPIT # x\n".into(),
            "1 the word after the time is not AUTO: it is no entry of a sender @1;",
        ),
        ("192.0.2.1\t<a@b>\t<>\t1\n".into(), "1 the sender or the recipient is no address @1;"),
        (
            "192.0.2.1\t<a@b>\t<c@d>\t1\nx\ty\tz\t1\n192.0.2.1 <a@b>\n".into(),
            "1 the client is no address @2;1 the line has not four fields with tabs between them @3;",
        ),
        ("192.0.2.0/24\t1,2\n192.0.2.0/24\tx\n".into(), "1 the value is not COUNT,LAST @2;"),
        ("192.0.2.0/24\t1,2\n192.0.2.0\n".into(), "1 the line has no tab between key and value @2;"),
        ("192.0.2.0/24/a@b\t1,2\n".into(), "1 the key has no sender and recipient @1;"),
        ("192.0.2.0/x\t1,2\n".into(), "1 the key is no network @1;"),
    ] {
        let (_, report) = import(None, text.as_bytes()).unwrap();
        assert_eq!(skipped(&report), want, "{text}");
    }
}

#[test]
fn long_lines_are_skipped() {
    let long = format!("192.0.2.1\t<a@b>\t<c@d>\t1 # {}", "x".repeat(MAX_LINE));
    let text = format!("192.0.2.1\t<a@b>\t<c@d>\t1\n{long}\n192.0.2.1\t<a@b>\t<c@d>\t1\n");
    let (records, report) = import(None, text.as_bytes()).unwrap();
    assert_eq!((records.len(), &*skipped(&report)), (2, "1 the line is too long @2;"));
}

#[test]
fn examples_are_bounded() {
    let text = format!("{}\n", "é\t".repeat(500)).repeat(9);
    let (_, report) = import(Some(Kind::MilterGreylist), text.as_bytes()).unwrap();
    let [Skipped { count: 9, examples, .. }] = &report.skipped[..] else { panic!("{report:?}") };
    assert_eq!(examples.len(), MAX_EXAMPLES);
    assert!(examples.iter().all(|(_, text)| text.len() <= report::MAX_EXAMPLE));
    assert!(!report.skipped[0].to_string().contains('\t'));
}

#[test]
fn databases_and_unknown_files_have_a_remedy() {
    let postgrey = include_bytes!("../../../tests/data/import-greylist/postgrey-binary.db");
    let mut hash = [0; 16];
    hash[12..].copy_from_slice(&0x0006_1561_u32.to_be_bytes());
    for (bytes, want) in [
        (
            &postgrey[..],
            "this is a Berkeley DB file, not its text (install db5.3-util and write the text: db5.3_dump -p -h FOLDER FILE)",
        ),
        (
            &hash,
            "this is a Berkeley DB file, not its text (install db5.3-util and write the text: db5.3_dump -p -h FOLDER FILE)",
        ),
        (
            b"\xcf\x9aW\x13\0\x10\0\0",
            "this is a gdbm file, not its text (install gdbmtool and write the text: gdbm_dump FOLDER/FILE -)",
        ),
        (
            b"SQLite format 3\0",
            "this is an SQLite file, not its text (install sqlite3 and write the text: sqlite3 -readonly FOLDER/FILE .dump)",
        ),
        (
            b"hello\n",
            "the format is unknown (known are records, postgrey, sqlgrey, milter-greylist, tprt-gdbm, tprt-redis; \
             rcptd.policy(5) shows how to write such files)",
        ),
    ] {
        assert_eq!(import(None, bytes).unwrap_err().to_string(), want);
    }
    assert_eq!(import(None, b"").unwrap_err(), Error::Unknown);
    assert_eq!(import(None, b"# a comment\n").unwrap_err(), Error::Unknown);
}

#[test]
fn kinds_have_names() {
    for kind in Kind::ALL {
        assert_eq!(Kind::named(kind.name()), Some(kind));
    }
    assert_eq!(Kind::named("x"), None);
}

fn near_miss() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        "VERSION=3\n",
        "format=print\n",
        "HEADER=END\n",
        " ",
        "192.0.2.0",
        "/",
        "a@b",
        "\n",
        "1,2",
        "DATA=END\n",
        "\t",
        "# GDBM dump file\n",
        "#:len=3\n",
        "NywX",
        "#:count=1\n",
        "INSERT INTO connect VALUES(",
        "'",
        ",",
        ")",
        ";",
        "`",
        "\\",
        "src",
        "first_seen",
        "AUTO",
        "#",
        "é",
        "\0",
        "2001:db8::",
        "{\"kind\":",
    ];
    proptest::collection::vec(proptest::sample::select(words.to_vec()), 0..40)
        .prop_map(|words| words.concat().into_bytes())
}

proptest! {
    #[test]
    fn nothing_panics(bytes in prop_oneof![near_miss(), any::<Vec<u8>>()]) {
        for kind in Kind::ALL.map(Some).into_iter().chain([None]) {
            if let Ok((records, report)) = import(kind, &bytes) {
                prop_assert!(records.len() <= bytes.len());
                prop_assert!(report.skipped.iter().all(|skipped| skipped.examples.len() <= MAX_EXAMPLES));
            }
        }
    }
}

use super::super::build;
use super::super::settings::{CacheSettings, Settings, SourceSettings};
use super::super::testing::account;
use super::*;
use mail_address::fold;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

/// Entries that Postfix and rcptd read alike.
const ALIASES: &str = "# Our aliases\n\npostmaster: root\nFoo-Request: bar\n\"a b\": x\n\"c:d\" : y\n\
                       \"e\\\"f\\\\g\": y\nowner-foo: bar, baz,\n   quux\ncontinued\n  : foo\n\"with@at\": y\n\
                       # among the lines of an entry\n  z\n    # indented\n\tz\nbang!path: x\na.b: y\n\
                       foo+ext: y\ngrüße: y\nlist: :include:/etc/list\npipe: \"|/bin/program a, b\"\n\
                       file:/var/mail/file\ntight:value\nspaced :\tvalue\nFOO: x\ncolons: a:b: c\n\
                       cr: x\r\ncr2: y\r\nlast: y";

fn list(text: &str) -> Result<List, Vec<String>> {
    parse("x", text.into(), &false.into())
}

#[test]
fn finds_names_on_the_left() {
    let list = list(&format!("{ALIASES}\nuser@example.test: x\n\"a b\"@example.test: x\n")).unwrap();
    // address, whether it is listed, whether its local part is listed at another domain
    for (text, listed, elsewhere) in [
        ("postmaster@example.test", true, false),
        ("POSTMASTER@other.test", true, false),
        ("foo-request@example.test", true, false),
        ("owner-foo@example.test", true, false),
        ("\"a b\"@example.test", true, true),
        ("\"a b\"@other.test", true, true),
        ("\"c:d\"@example.test", true, false),
        ("\"e\\\"f\\\\g\"@example.test", true, false),
        ("\"with@at\"@example.test", true, false),
        ("continued@example.test", true, false),
        ("foo+ext@example.test", true, false),
        ("foo@example.test", true, false),
        ("GRÜSSE@example.test", true, false),
        ("cr2@example.test", true, false),
        ("user@example.test", true, true),
        ("User@EXAMPLE.test", true, true),
        ("user@other.test", false, true),
        // Values, comments and continuation lines are not names.
        ("root@example.test", false, false),
        ("quux@example.test", false, false),
        ("z@example.test", false, false),
        ("indented@example.test", false, false),
        ("Our@example.test", false, false),
        ("a@example.test", false, false),
        ("foo+other@example.test", false, false),
    ] {
        let address = account(text);
        assert_eq!(list.has(&address, &false.into()), listed, "{text}");
        assert_eq!(list.is_elsewhere(&address), elsewhere, "{text}");
    }
    assert_eq!(list.not_followed, 3);
}

#[test]
fn errors_name_file_and_line() {
    for (content, want) in [
        ("a: b\nfoo\nb: c\n", "x:2:1: error: there is no colon after the name"),
        ("a: b\nfoo:\n\nb: c\n", "x:2:1: error: the name has no value"),
        (": value", "x:1:1: error: the name is missing"),
        ("\"\": value", "x:1:1: error: the name is missing"),
        ("@example.test: value", "x:1:1: error: the name is missing"),
        ("a b: c", "x:1:1: error: the name has white space"),
        ("a (comment): c", "x:1:1: error: the name has white space"),
        ("a,b: c", "x:1:1: error: the name has ,"),
        ("per%cent: c", "x:1:1: error: the name has %"),
        ("<a>: c", "x:1:1: error: the name has <"),
        ("a\\b: c", "x:1:1: error: the name has \\"),
        ("a\"b\": c", "x:1:1: error: the name has \""),
        ("\"a: c", "x:1:1: error: the quoted name does not end"),
        ("\"a\\", "x:1:1: error: the quoted name does not end"),
        ("\"a\"b: c", "x:1:1: error: there is no colon after the name"),
        ("\"a\u{7}b\": c", "x:1:1: error: control character in the address"),
        ("a@b: c\na@b@c: d", "x:2:1: error: the domain is invalid"),
        ("a@: c", "x:1:1: error: the domain is invalid"),
        ("a@example.test", "x:1:1: error: there is no colon after the name"),
        ("# comment\n  a: b\n", "x:2:1: error: this line begins with a blank, but no entry"),
        ("\u{feff}a: b", "x:1:1: error: mail servers take the byte order mark"),
        ("a: b\n\u{feff}c: d", "x:2:1: error: the name has the invisible character U+FEFF"),
        ("a: b\n\u{a0}c: d", "x:2:1: error: the name has the invisible character U+00A0"),
        ("a: b\n\u{a0}\nc: d", "x:2:1: error: the name has the invisible character U+00A0"),
        ("a: b\n\u{a0}# c\nc: d", "x:2:1: error: the name has the invisible character U+00A0"),
        ("a: b\n\u{85}c: d", "x:2:1: error: the name has the invisible character U+0085"),
        ("a\u{3000}: b", "x:1:1: error: the name has the invisible character U+3000"),
        ("a\u{200b}: b", "x:1:1: error: the name has the invisible character U+200B"),
        ("a: b\n\u{b}c: d", "x:2:1: error: this line begins with a control character"),
        ("a: b\n\rc: d", "x:2:1: error: this line begins with a control character"),
        ("a\u{b}: b", "x:1:1: error: the name has white space"),
        ("\"a\" \u{b}: b", "x:1:1: error: there is no colon after the name"),
        ("a: b\0c", "x:1:1: error: Postfix ignores the rest of an entry after a NUL"),
        ("root:x:0:0:root:/root:/bin/sh\nfoo", "x:2:1: error: there is no colon"),
    ] {
        let got = list(content).unwrap_err();
        assert!(got[0].starts_with(want) && got[0].contains("(write name: value"), "{content}: {got:?}");
    }
    // Only comments need not be UTF-8.
    assert_eq!(parse("x", b"# M\xfcller\na: b\n # M\xfcller\n".to_vec(), &false.into()).unwrap().len(), 1);
    for content in [&b"a: b\nM\xfcller: a\n"[..], b"a: b\nc: M\xfcller\n", b"a: b\nc: d,\n  M\xfcller\n"] {
        let got = parse("x", content.to_vec(), &false.into()).unwrap_err();
        assert!(got[0].starts_with("x:2:1: error: the entry is not UTF-8"), "{got:?}");
    }
}

#[test]
fn limits_entries_and_problems() {
    let long = |length: usize| format!("a: {}\n", "x".repeat(length - 3));
    assert_eq!(list(&long(syntax::MAX_ENTRY)).unwrap().len(), 1);
    assert!(list(&long(syntax::MAX_ENTRY + 1)).unwrap_err()[0].contains("longer than 1048576 bytes"));
    let lines = format!("a: {}\n", "x,\n  ".repeat(syntax::MAX_ENTRY / 3 + 1));
    assert!(list(&lines).unwrap_err()[0].contains("longer than 1048576 bytes"));
    let got = list(&"a\n".repeat(1000)).unwrap_err();
    assert_eq!((got.len(), &*got[20]), (21, "x: these are the first 20 problems, there are more"));
}

/// The keys of the database that Postfix makes of a file, and its warnings.
fn postalias(content: &[u8]) -> (BTreeSet<String>, String) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("main.cf"), "compatibility_level = 3.6\n").unwrap();
    fs::write(folder.path().join("aliases"), content).unwrap();
    let table = format!("hash:{}", folder.path().join("aliases").display());
    let run = |arguments: &[&str]| {
        let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap());
        let mut command = Command::new("/usr/sbin/postalias");
        command.env("PATH", path).arg("-c").arg(folder.path()).args(arguments);
        let output = command.output().expect("postalias runs");
        assert!(output.status.success(), "{output:?}");
        output
    };
    let warnings = String::from_utf8_lossy(&run(&[&table]).stderr).into_owned();
    let keys = String::from_utf8(run(&["-s", &table]).stdout).unwrap();
    // An entry begins with its key; a value may have the ends of lines of other standards, but no newline.
    let keys =
        keys.split_terminator('\n').map(|line| line.split_once(":\t").expect("key and value").0.to_owned());
    (keys.filter(|key| !key.starts_with("YP_") && key != "@").collect(), warnings)
}

/// The names that rcptd reads; `None` if there is an error.
fn names(content: &[u8]) -> Option<BTreeSet<String>> {
    let mut names = Some(BTreeSet::new());
    syntax::entries(&String::from_utf8_lossy(content), &mut |_, entry| {
        match (entry, &mut names) {
            (Ok(entry), Some(names)) => _ = names.insert(fold(entry.name.local()).into_owned()),
            _ => names = None,
        }
        true
    });
    names
}

#[test]
fn reads_the_names_that_postalias_reads() {
    let (theirs, warnings) = postalias(ALIASES.as_bytes());
    assert_eq!((names(ALIASES.as_bytes()), &*warnings), (Some(theirs), ""));
}

/// Characters that are blanks in one standard and not in another, and octets that are not UTF-8.
const ODD: [&[u8]; 14] = [
    b" ",
    b"\t",
    b"\r",
    b"\x0b",
    b"\x0c",
    b"\x1c",
    b"\0",
    b"\xf6",
    "\u{85}".as_bytes(),
    "\u{a0}".as_bytes(),
    "\u{200b}".as_bytes(),
    "\u{2028}".as_bytes(),
    "\u{3000}".as_bytes(),
    "\u{feff}".as_bytes(),
];

/// Places of such a character, `~`, in a part of a file, and whether a space, a character that is no control
/// character, or an octet that is not UTF-8 is read there without an error.
const PLACES: [(&str, bool, bool, bool); 12] = [
    ("foo: x\n# ~\nbaz: y\n", true, true, true),
    ("foo: x\n  #~\nbaz: y\n", true, true, true),
    ("foo: x~y\nbaz: y\n", true, true, false),
    ("foo: x~\nbaz: y\n", true, true, false),
    ("foo: x,\n  ~y\nbaz: y\n", true, true, false),
    ("foo: ~x\nbaz: y\n", true, true, false),
    ("\"foo~o\": x\nbaz: y\n", true, true, false),
    ("foo~: x\nbaz: y\n", true, false, false),
    ("\"foo\"~: x\nbaz: y\n", true, false, false),
    ("foo: x\n~\nbaz: y\n", true, false, false),
    ("foo: x\n~# c\nbaz: y\n", true, false, false),
    ("foo: x\n~baz~: y\nbar: z\n", true, false, false),
];

/// rcptd reads the same names as Postfix, or reports an error; always an error if Postfix ignores a line.
#[test]
fn reads_other_blanks_as_postalias_does_or_reports_them() {
    // One file has all parts, since each run of postalias waits for the disk. No line belongs to two parts.
    let (mut file, mut parts, mut begin) = (Vec::new(), Vec::new(), 1);
    for (place, space, visible, octet) in PLACES {
        for odd in ODD {
            let tag = format!("-{}-", parts.len());
            let place = place.replace("foo", &format!("foo{tag}")).replace("ba", &format!("ba{tag}"));
            let part = place.split('~').map(str::as_bytes).collect::<Vec<_>>().join(odd);
            let is_read = match std::str::from_utf8(odd) {
                Ok(" ") => Some(space),
                // Control characters are errors in some places.
                Ok(odd) => (!odd.contains(char::is_control)).then_some(visible),
                Err(_) => Some(octet),
            };
            file.extend_from_slice(&part);
            let end = begin + part.split(|b| *b == b'\n').count() - 1;
            parts.push((tag, part, is_read, begin..end));
            begin = end;
        }
    }
    let (theirs, warnings) = postalias(&file);
    for (tag, part, is_read, lines) in parts {
        let shown = part.escape_ascii();
        let theirs: BTreeSet<_> = theirs.iter().filter(|key| key.contains(&tag)).cloned().collect();
        let ignored = lines.into_iter().any(|line| warnings.contains(&format!("line {line}:")));
        let ours = names(&part);
        assert!(
            ours.as_ref().is_none_or(|ours| *ours == theirs && !ignored),
            "{shown}: rcptd reads {ours:?}, Postfix {theirs:?}, {ignored}"
        );
        assert!(is_read.is_none_or(|is_read| ours.is_some() == is_read), "{shown}: {ours:?}");
    }
}

fn settings(path: &str) -> Settings {
    let source = SourceSettings::new(format!("aliases:{path}").parse().unwrap());
    let ttl = Duration::ZERO;
    let cache = CacheSettings {
        positive_ttl: ttl,
        negative_ttl: ttl,
        stale_ttl: ttl,
        size: 1,
        ..CacheSettings::default()
    };
    Settings::new(vec![source], cache)
}

/// The list is watched like that of `file:`, and has the same protection.
#[tokio::test]
async fn follows_changes_and_keeps_the_last_valid_list() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("aliases");
    let replace = |text: &str| {
        let next = folder.path().join("next");
        fs::write(&next, text).unwrap();
        File::open(&next).unwrap().set_modified(SystemTime::now() - Duration::from_mins(1)).unwrap();
        fs::rename(next, &path).unwrap();
    };
    replace("a: x\nb: x\nc: x\nuser@example.test: x\n");
    // Case never matters in aliases.
    let source = build(&settings(path.to_str().unwrap()), true).await.unwrap();
    let says = async |name: &str| source.look_up(&account(name)).await.result.to_string();
    let becomes = async |name: &str, want: &str| {
        let begin = Instant::now();
        while !says(name).await.contains(want) {
            assert!(begin.elapsed() < Duration::from_secs(10), "{name}: {}", says(name).await);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    for (name, want) in [
        ("A@example.test", "exists"),
        ("x@example.test", "not found"),
        ("user@example.test", "exists"),
        ("user@other.test", "temporary failure: the list has user at another domain only"),
    ] {
        assert!(says(name).await.starts_with(want), "{name}: {}", says(name).await);
    }
    replace("a: x\nb: x\nnew: x\n");
    becomes("new@example.test", "exists").await;
    becomes("c@example.test", "not found").await;
    replace("a: x\nbroken\n");
    becomes("other@example.test", "aliases:2:1: error: there is no colon after the name").await;
    assert_eq!(says("new@example.test").await, "exists");
    let reload = build(&settings(path.to_str().unwrap()), true).await.unwrap_err();
    assert!(reload[0].contains("aliases:2:1: error: there is no colon after the name"), "{reload:?}");
    replace("a: x\n");
    becomes("other@example.test", "temporary failure: the list has shrunk from 3 accounts to 1").await;
    assert_eq!(says("new@example.test").await, "exists");
    replace("# none\n");
    becomes("a@example.test", "temporary failure: the list names no account").await;
}

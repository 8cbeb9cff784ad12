//! The descriptions of the keys against the program, and the files that are generated from them.

use super::{SMALLEST, bless, doc, load, manual, meaning, refused, root, sample, with, without};
use rcptd::account::spec::Spec;
use rcptd::config::{self, Change, DefaultValue, Key, entries, needs_restart, sections};
use rcptd::map::search::SearchStrategy;
use rcptd::map::settings::Kind;
use rcptd::map::source::SourceSpec;
use rcptd::resolve::view::ResolverView;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

/// The sample, the seed of the fuzz target, and the lists in the manual pages say what the descriptions say.
#[test]
fn sample_and_manual_are_generated() {
    let mut stale = Vec::new();
    for name in [
        "milter.conf.sample",
        "fuzz/seeds/config/sample",
        "install/rcptd.conf.5",
        "install/rcptd.maps.5",
        "install/rcptd.policy.5",
    ] {
        let there = fs::read_to_string(root(name)).unwrap();
        let want = if name.ends_with("sample") { sample::sample() } else { manual::manual(&there) };
        if bless() {
            fs::write(root(name), want).unwrap();
        } else if there != want {
            stale.push(name);
        }
    }
    assert!(stale.is_empty(), "run this test with RCPTD_BLESS=1 to write {stale:?}");
}

/// All keys outside of entries.
fn all_keys() -> Vec<Key> {
    sections().into_iter().flat_map(|section| section.keys).collect()
}

#[test]
fn the_sample_says_what_the_program_does() {
    let want = meaning(load(SMALLEST).unwrap());
    let sample = fs::read_to_string(root("milter.conf.sample")).unwrap();
    let as_it_is = load(&sample).unwrap();
    assert_eq!(as_it_is.problems, []);
    assert_eq!(meaning(as_it_is), want);
    // A default has no blank after the "#".
    let default = |line: &str| {
        line.strip_prefix('#')
            .filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))
            .map(str::to_owned)
    };
    assert_eq!(sample.lines().filter_map(default).count() + 4, all_keys().len());
    let uncommented: Vec<String> = sample.lines().map(|line| default(line).unwrap_or(line.into())).collect();
    assert_eq!(meaning(load(&uncommented.join("\n")).unwrap()), want);
}

/// The default of a key has the same effect as its absence.
#[test]
fn every_default_is_that_of_the_program() {
    for key in all_keys() {
        match key.default {
            DefaultValue::Value(value) => {
                let set = load(&with(key.section, key.name, &value))
                    .unwrap_or_else(|p| panic!("{}: {p:?}", key.name));
                assert_eq!(
                    meaning(set),
                    meaning(
                        load(&if key.section == "greylist" {
                            SMALLEST.to_owned()
                        } else {
                            without(key.name)
                        })
                        .unwrap()
                    ),
                    "{}.{}",
                    key.section,
                    key.name
                );
            }
            DefaultValue::Required | DefaultValue::Unset => {
                assert!(key.sample.is_some() && key.doc.contains("Required, unless"), "{}", key.name);
                let problems = load(&without(key.name)).unwrap_err();
                assert!(problems[0].message.ends_with(&format!("{} is missing", key.name)), "{problems:?}");
            }
        }
    }
}

/// Keys of a map that count only with a directory.
const OF_DIRECTORIES: [&str; 2] = ["scope", "recursion_limit"];

/// A configuration with one entry of a list, whose keys are those that it needs and `line`; `None` if its
/// database is not built in.
fn with_entry(list: &str, key: &str, line: &str) -> Option<String> {
    let needed = match list {
        "normalise" => vec![],
        "map" if OF_DIRECTORIES.contains(&key) => {
            vec![
                "name = \"m\"",
                "source = \"database:d\"",
                "base = \"dc=x\"",
                "filter = \"(mail=%s)\"",
                "attribute = \"uid\"",
            ]
        }
        "map" => vec!["name = \"m\"", "source = \"static:x\""],
        "database" => vec!["name = \"d\"", "kind = \"postgresql\"", "hosts = \"h\""],
        "tcp_table" => vec!["listen = \"inet:127.0.0.1:1\"", "map = \"m\""],
        "socketmap" | "policy" => vec!["listen = \"inet:127.0.0.1:1\""],
        "account.source" => return None,
        _ => panic!("{list}: which keys does an entry need?"),
    };
    let kept = needed.iter().filter(|needed| !needed.starts_with(&format!("{key} =")));
    let mut text = format!("{SMALLEST}[[{list}]]\n{line}\n");
    kept.for_each(|line| writeln!(text, "{line}").unwrap());
    if list == "tcp_table" {
        text += "[[map]]\nname = \"m\"\nsource = \"static:x\"\n";
    }
    if OF_DIRECTORIES.contains(&key) {
        text += "[[database]]\nname = \"d\"\nkind = \"ldap\"\nhosts = \"h\"\n";
    }
    let built_in = cfg!(feature = "ldap") && cfg!(feature = "sql-postgres");
    (built_in || (list != "database" && !OF_DIRECTORIES.contains(&key))).then_some(text)
}

#[test]
fn defaults_and_bounds_of_entries_are_those_of_the_program() {
    for key in entries().into_iter().flat_map(|entry| entry.keys) {
        let (list, name) = (key.section, key.name);
        let Some(absent) = with_entry(list, name, "") else { continue };
        for bound in key.bounds.iter().flat_map(|(least, most)| [least, most]) {
            let value = if key.syntax == "time" { format!("\"{bound}\"") } else { bound.clone() };
            let got = load(&with_entry(list, name, &format!("{name} = {value}")).unwrap());
            assert!(got.is_ok(), "{list}.{name} = {value}: {got:?}");
        }
        match key.default {
            DefaultValue::Value(value) => {
                let set = with_entry(list, name, &format!("{name} = {value}")).unwrap();
                let set = load(&set).unwrap_or_else(|problems| panic!("{list}.{name}: {problems:?}"));
                assert_eq!(meaning(set), meaning(load(&absent).unwrap()), "{list}.{name}");
            }
            DefaultValue::Required => {
                let problems = load(&absent).unwrap_err();
                let want = format!(" without {name}");
                assert!(problems.iter().any(|problem| problem.message.ends_with(&want)), "{problems:?}");
            }
            DefaultValue::Unset => (),
        }
    }
}

/// The mark of a list applies to the keys of its entries.
#[test]
fn an_entry_needs_what_its_list_needs() {
    for entry in entries() {
        let (section, name) = entry.name.rsplit_once('.').unwrap_or(("", entry.name));
        let list = all_keys().into_iter().find(|key| (key.section, key.name) == (section, name)).unwrap();
        assert!(entry.keys.iter().all(|key| key.change == list.change), "{}", entry.name);
    }
}

/// A source may have the keys of `[account]` and `[account.smtp]`, with the same values.
#[test]
fn a_source_has_the_keys_of_the_sections() {
    let source = entries().into_iter().find(|entry| entry.name == "account.source").unwrap();
    for own in source.keys.iter().filter(|key| !["source", "domains"].contains(&key.name)) {
        let key = all_keys().into_iter().find(|key| {
            ["account", "account.smtp", "account.dovecot"].contains(&key.section) && key.name == own.name
        });
        let key = key.unwrap_or_else(|| panic!("{} is not in the sections", own.name));
        assert_eq!((own.syntax, &own.bounds), (key.syntax, &key.bounds), "{}", own.name);
        assert!(own.doc.contains(&format!("`{}.{}`", key.section, key.name)), "{}", own.name);
    }
}

/// The words in the syntax of a key are all that it accepts.
#[test]
fn every_word_of_a_syntax_is_accepted() {
    let mut seen = 0;
    for key in all_keys() {
        let words: Vec<&str> = key.syntax.split(" | ").filter(|word| word.starts_with('"')).collect();
        for word in &words {
            let got = load(&with(key.section, key.name, word));
            assert!(got.is_ok(), "{} = {word}: {got:?}", key.name);
            seen += 1;
        }
        if !words.is_empty() {
            let problems = load(&with(key.section, key.name, "\"?\"")).unwrap_err();
            let help = problems[0].help.as_deref().unwrap_or_default();
            assert_eq!(help, format!("write one of {}", words.join(", ").replace('"', "")), "{}", key.name);
        }
    }
    assert!(seen >= 15, "only {seen} words");
}

#[test]
fn the_examples_in_the_prose_work() {
    let mut examples = 0;
    for key in all_keys() {
        for example in doc::terms_and_examples(&key).1 {
            let value = example.strip_prefix(&format!("{} = ", key.name)).unwrap();
            let mut text = with(key.section, key.name, value);
            if value.contains("map:users") {
                text += "[[map]]\nname = \"users\"\nsource = \"tcp:127.0.0.1:1\"\n";
            }
            if value.contains("dovecot:") {
                text = format!("normalise = [{{ delimiters = \"+\" }}]\n{text}");
            }
            let config = load(&text).unwrap_or_else(|p| panic!("{example}: {p:?}"));
            // The prose names what else an example needs.
            let told: Vec<&str> = config.problems.iter().map(|problem| &*problem.message).collect();
            assert!(told.iter().all(|told| *told == "no listener serves the maps"), "{example}: {told:?}");
            examples += 1;
        }
    }
    assert_eq!(examples, 13);
}

/// The sources that are described can be written.
#[test]
fn the_sample_names_sources_that_there_are() {
    let source = all_keys().into_iter().find(|key| key.section == "account" && key.name == "source").unwrap();
    let terms = doc::terms_and_examples(&source).0;
    assert_eq!(terms.len(), 17);
    for term in terms {
        let name = term.trim_matches('`').replace("PORT", "25");
        assert!(name.parse::<Spec>().is_ok(), "{name}");
    }
}

/// A list in the prose has every word that the program knows.
#[test]
fn lists_in_the_prose_are_complete() {
    let all: Vec<Key> = sections().into_iter().chain(entries()).flat_map(|section| section.keys).collect();
    let doc = |section: &str, name: &str| {
        all.iter().find(|key| (key.section, key.name) == (section, name)).unwrap().doc
    };
    let types = |error: &str| -> Vec<String> {
        let known = error.split_once("(there are: ").unwrap().1.split(';').next().unwrap();
        known.split(", ").map(|word| format!("`{word}:")).collect()
    };
    let quoted = |words: Vec<&str>| -> Vec<String> { words.iter().map(|word| format!("`{word}`")).collect() };
    for (section, name, words) in [
        ("account", "source", types(&"?:".parse::<Spec>().unwrap_err())),
        ("map", "source", types(&"?:".parse::<SourceSpec>().unwrap_err())),
        ("map", "source", quoted(ResolverView::ALL.map(|(word, _)| word).to_vec())),
        ("map", "search", quoted(SearchStrategy::ALL.map(|(word, _)| word).to_vec())),
        ("database", "kind", Kind::ALL.map(|(word, _)| format!("`\"{word}\"`")).to_vec()),
    ] {
        assert!(words.len() >= 5, "{words:?}");
        for word in words {
            assert!(
                doc(section, name).contains(&word),
                "{word} is not in the documentation of {section}.{name}"
            );
        }
    }
    // Limits are those of the program.
    let (least, most) = (alias_rules::MIN_SECRET, alias_rules::MAX_SECRETS);
    assert!(doc("", "secrets").contains(&format!("of {least} octets or more, at most {most}.")));
    assert!(doc("map", "name").contains(&format!("up to {} letters", config::MAX_MAP_NAME)));
    // The words in a syntax are explained, too.
    for key in all.iter().filter(|key| key.section != "account.source") {
        for word in key.syntax.split(" | ").filter(|word| word.starts_with('"')) {
            let plain = word.trim_matches('"');
            assert!(
                key.doc.contains(plain),
                "{word} is not in the documentation of {}.{}",
                key.section,
                key.name
            );
        }
    }
}

fn known_keys() -> BTreeSet<(String, String)> {
    all_keys().into_iter().map(|key| (key.section.into(), key.name.into())).collect()
}

/// Every key with a value that is not its default.
pub const CHANGES: &[(&str, &str, &str)] = &[
    ("", "domains", "[\"Example.ORG.\", \"grün.example\"]"),
    ("", "origin", "\"example.net\""),
    ("", "rules", "[]"),
    ("", "case_sensitive", "true"),
    ("", "debug_account", "\"postmaster\""),
    ("", "secrets", "\"secrets\""),
    ("", "guessable", "0.5"),
    ("", "script", "\"script.rhai\""),
    ("", "normalise", "[{ delimiters = \"+\", remove = \".\" }]"),
    ("", "dry_run", "true"),
    ("", "watch", "false"),
    ("", "workers", "2"),
    ("", "map", "[{ name = \"list\", source = \"inline:{ a=b }\" }]"),
    ("", "database", "[{ name = \"users\", kind = \"sqlite\", file = \"users.db\" }]"),
    (
        "",
        "tcp_table",
        "[{ listen = \"inet:127.0.0.1:3048\", map = \"list\" }]\nmap = [{ name = \"list\", source = \"static:x\" }]",
    ),
    ("", "socketmap", "[{ listen = \"inet:127.0.0.1:2224\" }]"),
    ("", "policy", "[{ listen = \"inet:127.0.0.1:10023\" }]"),
    ("greylist", "enabled", "true\nstore = \"/tmp/greylist.redb\""),
    ("greylist", "store", "\"/tmp/other.redb\""),
    ("greylist", "delay", "\"10m\""),
    ("greylist", "retry_window", "\"1d\""),
    ("greylist", "max_age", "\"60d\""),
    ("greylist", "client_key", "[]"),
    ("greylist", "ipv4_prefix", "32"),
    ("greylist", "ipv6_prefix", "48"),
    ("greylist", "auto_whitelist", "0"),
    ("greylist", "correspondents", "false"),
    ("greylist", "null_sender", "\"pass\""),
    ("greylist", "domains", "\"example.org\""),
    ("greylist", "dry_run", "\"example.com\""),
    ("greylist", "opt_out", "\"recipients\""),
    ("greylist", "opt_in", "\"recipients\""),
    ("greylist", "whitelist", "\"entries\""),
    ("greylist", "whitelist_clients", "\"clients\""),
    ("greylist", "whitelist_recipients", "\"recipients\""),
    ("greylist", "allow_regex", "true\nwhitelist_clients = \"regexes\""),
    ("greylist", "dns_deadline", "\"1s\""),
    ("greylist", "dnswl", "\"list.dnswl.org\""),
    ("greylist", "hash", "false"),
    ("greylist", "max_entries", "5000"),
    ("greylist", "max_new", "0"),
    ("greylist", "on_store_failure", "\"defer\""),
    ("greylist", "action", "\"450\""),
    ("greylist", "text", "\"4.7.1 later\""),
    ("greylist", "header", "\"\""),
    ("greylist", "hostname", "\"mx.example.com\""),
    ("milter", "listen", "[\"unix:/run/rcptd/milter.sock\", \"inet6:[::1]:3047\"]"),
    ("milter", "socket_mode", "\"0600\""),
    ("milter", "socket_group", "\"postfix\""),
    ("milter", "deadline", "\"9s\""),
    ("milter", "max_connections", "200"),
    ("milter", "idle_timeout", "\"1h\""),
    ("milter", "max_recipients", "100"),
    ("milter", "reject_reply", "\"550 5.1.1 Never heard of\""),
    ("milter", "defer_reply", "\"450 4.1.1 Not now\""),
    ("milter", "header", "\"X-Alias\""),
    ("guessing", "misses", "20"),
    ("guessing", "window", "\"1h\""),
    ("guessing", "exempt", "[\"192.0.2.0/24\", \"2001:db8::25\"]"),
    ("guessing", "ipv4_prefix", "24"),
    ("guessing", "ipv6_prefix", "48"),
    ("account", "source", "[\"file:/etc/vips\", { source = \"vrfy:mail.example.com:25\", deadline = 2 }]"),
    ("account", "deadline", "\"1s\""),
    ("account", "concurrency", "5"),
    ("account", "on_tempfail", "\"accept\""),
    ("account", "combine", "\"union\""),
    ("account", "control_interval", "\"1d\""),
    ("account.cache", "positive_ttl", "\"0s\""),
    ("account.cache", "negative_ttl", "0"),
    ("account.cache", "size", "2"),
    ("account.cache", "stale_ttl", "\"1d\""),
    ("account.cache", "file", "\"known\""),
    (
        "account.cache",
        "shared",
        "\"database:known\"\n[[database]]\nname = \"known\"\nkind = \"redis\"\nhosts = \"localhost\"",
    ),
    ("account.smtp", "helo", "\"mx.example.com\""),
    ("account.smtp", "per_connection", "100000"),
    ("account.smtp", "idle_connections", "0"),
    ("account.smtp", "idle_timeout", "\"2m\""),
    ("account.smtp", "code_250", "\"exists\""),
    ("account.smtp", "code_252", "{ \"example.com\" = \"exists\" }"),
    ("account.smtp", "witness", "\"info\""),
    ("account.smtp", "starttls", "\"required\""),
    ("account.smtp", "tls_name", "\"mail.example.com\""),
    ("account.smtp", "tls_ca", "\"aliases.rules\""),
    ("account.dovecot", "service", "\"lda\""),
    ("account.dovecot", "witness", "\"info\""),
    ("statistics", "enabled", "false"),
    ("statistics", "log_interval", "\"1m\""),
    ("metrics", "listen", "\"inet:127.0.0.1:9177\""),
    ("control", "listen", "\"unix:/run/other.sock\""),
    ("control", "socket_mode", "\"0660\""),
    ("control", "socket_group", "\"adm\""),
    ("log", "target", "\"file:/tmp/rcptd.log\""),
    ("log", "level", "\"debug\""),
];

#[test]
fn every_key_counts() {
    let old = load(SMALLEST).unwrap();
    let mut seen = BTreeSet::new();
    for &(section, key, value) in CHANGES {
        seen.insert((section.to_owned(), key.to_owned()));
        if key == "shared" && !cfg!(feature = "redis") {
            refused(section, key, value, "build it with --features redis");
            continue;
        }
        if key == "database" && !cfg!(feature = "sql-sqlite") {
            refused(section, key, value, "build it with --features sql-sqlite");
            continue;
        }
        // Greylisting counts only if it is on.
        let on = [("enabled", "true"), ("store", "\"/tmp/greylist.redb\"")];
        let on = on.iter().filter(|(other, _)| section == "greylist" && key != "enabled" && *other != key);
        let on: String = on.map(|(key, value)| format!("\n{key} = {value}")).collect();
        let small = if on.is_empty() {
            SMALLEST.into()
        } else {
            with("greylist", "enabled", "true\nstore = \"/tmp/greylist.redb\"")
        };
        let old = load(&small).unwrap();
        let value = format!("{value}{on}");
        let new = load(&with(section, key, &value)).unwrap_or_else(|problems| panic!("{key}: {problems:?}"));
        let name = format!("{section}.{key}");
        let described =
            all_keys().into_iter().find(|known| (known.section, known.name) == (section, key)).unwrap();
        let want = match described.change {
            Change::Restart => vec![name.trim_start_matches('.')],
            Change::Reload => vec![],
        };
        assert_eq!(needs_restart(&old, &new), want);
        // The last one is for sources of another type: see `each_type_has_its_witness`.
        if !["rules", "debug_account", "secrets"].contains(&key) && name != "account.dovecot.witness" {
            assert_ne!(meaning(new), meaning(old.clone()), "{name}");
        }
    }
    assert_eq!(seen, known_keys());
    assert_eq!(needs_restart(&old, &old), Vec::<&str>::new());
}

#[test]
fn bounds() {
    let mut seen = BTreeSet::new();
    for (section, key, good, bad) in [
        ("", "guessable", vec!["0", "0.0", "1e-3", "100"], vec!["-1", "101", "100.5", "nan", "inf"]),
        ("", "workers", vec!["0", "256"], vec!["257", "-1", "99999999999999999999"]),
        ("milter", "deadline", vec!["\"100ms\"", "29"], vec!["0", "30", "\"99ms\""]),
        ("milter", "max_connections", vec!["1", "100000"], vec!["0", "100001"]),
        ("milter", "idle_timeout", vec!["1", "\"1w\""], vec!["0", "\"8d\""]),
        ("milter", "max_recipients", vec!["1", "1_000_000"], vec!["0", "1_000_001"]),
        ("guessing", "misses", vec!["0", "1000000"], vec!["1000001"]),
        ("guessing", "window", vec!["1", "\"1d\""], vec!["0", "\"25h\""]),
        ("guessing", "ipv4_prefix", vec!["8", "32"], vec!["7", "33", "256"]),
        ("guessing", "ipv6_prefix", vec!["16", "128"], vec!["15", "129"]),
        ("greylist", "delay", vec!["1", "\"1d\""], vec!["0", "\"25h\""]),
        ("greylist", "retry_window", vec!["\"10m\"", "\"30d\""], vec!["\"9m\"", "\"31d\""]),
        ("greylist", "max_age", vec!["\"1h\"", "\"3660d\""], vec!["\"59m\"", "\"3661d\""]),
        ("greylist", "ipv4_prefix", vec!["8", "32"], vec!["7", "33"]),
        ("greylist", "ipv6_prefix", vec!["16", "128"], vec!["15", "129"]),
        ("greylist", "auto_whitelist", vec!["0", "1000"], vec!["1001"]),
        ("greylist", "dns_deadline", vec!["\"100ms\"", "10"], vec!["0", "11"]),
        ("greylist", "max_entries", vec!["1000", "1000000000"], vec!["999", "1000000001"]),
        ("greylist", "max_new", vec!["0", "10000000"], vec!["10000001"]),
        ("statistics", "log_interval", vec!["0", "\"1d\""], vec!["\"25h\""]),
        ("account", "deadline", vec!["\"10ms\"", "\"1m\""], vec!["\"9ms\"", "61"]),
        ("account", "concurrency", vec!["1", "10000"], vec!["0", "10001"]),
        ("account.cache", "positive_ttl", vec!["0", "\"7d\""], vec!["\"8d\""]),
        ("account.cache", "negative_ttl", vec!["0", "\"7d\""], vec!["\"8d\""]),
        ("account.cache", "stale_ttl", vec!["0", "\"30d\""], vec!["\"31d\""]),
        ("account.cache", "size", vec!["1", "4096"], vec!["0", "4097"]),
        ("account.smtp", "per_connection", vec!["1", "1000000"], vec!["0", "1000001", "4294967297"]),
        ("account.smtp", "idle_connections", vec!["0", "1000"], vec!["1001"]),
        ("account.smtp", "idle_timeout", vec!["1", "\"1h\""], vec!["0", "\"61m\""]),
        ("account", "control_interval", vec!["1", "\"1d\""], vec!["0", "\"25h\""]),
    ] {
        seen.insert((section.to_owned(), key.to_owned()));
        for good in good {
            let text = with(section, key, good);
            assert!(load(&text).is_ok(), "{key} = {good}: {:?}", load(&text));
        }
        for bad in bad {
            refused(section, key, bad, "is out of range");
        }
    }
    // The bounds in the descriptions are accepted, too.
    let mut described = BTreeSet::new();
    for key in all_keys() {
        let Some((least, most)) = key.bounds else { continue };
        described.insert((key.section.to_owned(), key.name.to_owned()));
        for bound in [least, most] {
            let value = if key.syntax == "time" { format!("\"{bound}\"") } else { bound };
            let got = load(&with(key.section, key.name, &value));
            assert!(got.is_ok(), "{} = {value}: {got:?}", key.name);
        }
    }
    assert_eq!(seen, described);
}

//! Conversion of values: several columns and rows, empty ones, `result_format`, `domain`, `expansion_limit`.

use super::stores::slapd;
use super::{Postfix, PostmapResult, imported, server_settings};
use crate::servers::Make;
use crate::site::Site;
use rcptd::map::Source;
use rcptd::map::settings::Kind;
use std::fmt::Write;

/// More than 1000, whose values fit into 100,000 octets.
const MANY: usize = 2500;

/// The keys have a type that ignores case.
fn tables(kind: Kind) -> Vec<String> {
    let key = match kind {
        Kind::Postgresql => "citext",
        Kind::Mysql => "varchar(99)",
        _ => "varchar(99) COLLATE NOCASE",
    };
    let mut all = vec![
        format!("CREATE TABLE results (k {key}, a text, b text, n int)"),
        "INSERT INTO results VALUES ('ann@one.test', 'x@a.test', 'y@b.test', 1), ('ann@one.test', NULL, 'z', 2),
         ('ann@one.test', '', NULL, 3), ('ann@one.test', '@c.test', 'w@', 4)"
            .into(),
        "INSERT INTO results VALUES ('bob@one.test', 'only', '', 1), ('null@one.test', NULL, NULL, 1),
         ('empty@one.test', '', '', 1), ('comma@one.test', 'a,b', ',', 1), ('blank@one.test', ' ', ' c ', 1),
         ('MiXed@One.Test', 'mixed', 'case', 1), ('mixed@one.test', 'lower', 'too', 2),
         ('percent@one.test', '%s', '%d@%u', 1), ('ann@sub.one.test', 'sub', 's', 1),
         ('ann@two.test', 'two', 't', 1), ('one.test', 'domain', 'd', 1), ('@one.test', 'all', 'a', 1),
         ('ann', 'bare', 'b', 1), ('ann@', 'odd', 'o', 1), ('ann@x@one.test', 'twice', 't', 1)"
            .into(),
    ];
    let mut many = "INSERT INTO results VALUES ".to_owned();
    for n in 0..MANY {
        write!(many, "{}('many@one.test', 'v{n}', NULL, {n})", if n > 0 { ", " } else { "" }).unwrap();
    }
    all.push(many);
    if kind == Kind::Postgresql {
        all.insert(0, "CREATE EXTENSION citext".into());
    }
    all
}

const KEYS: &[&str] = &[
    "ann@one.test",
    "Ann@ONE.test",
    "bob@one.test",
    "null@one.test",
    "empty@one.test",
    "comma@one.test",
    "blank@one.test",
    "mixed@one.test",
    "MIXED@ONE.TEST",
    "percent@one.test",
    "many@one.test",
    "ann@sub.one.test",
    "ann@two.test",
    "ann@three.test",
    "one.test",
    "@one.test",
    "ann",
    "ann@",
    "@",
    "ann@x@one.test",
    "nobody@one.test",
];

/// Parts of queries, and further settings.
const CASES: &[(&str, &str)] = &[
    ("a", ""),
    ("a, b", ""),
    ("b, a, b", ""),
    ("NULL, a", ""),
    ("n, a", ""),
    ("a", "result_format = smtp:[%s]"),
    ("a, b", "result_format = smtp:[%s]"),
    ("a, b", "result_format = %u"),
    ("a, b", "result_format = %d"),
    ("a, b", "result_format = %u+%d"),
    ("a", "result_format = %s%%%S"),
    ("a", "result_format = %U:%D:%s"),
    ("a", "result_format = %U"),
    ("a", "result_format = %2-%1-%s"),
    ("a", "result_format = %3"),
    ("a", "result_format = constant"),
    ("a", "domain = one.test"),
    ("a", "domain = ONE.test, three.test"),
    ("a", "domain = !one.test one.test two.test"),
    ("a", "domain = two.test, one.test, !one.test"),
    ("a", "domain = test"),
    ("a", "domain = .one.test"),
    ("a", "domain = one.test\nresult_format = %D %s"),
    ("a", "domain ="),
    ("a", "expansion_limit = 1"),
    ("a, b", "expansion_limit = 2"),
    ("a, b", "expansion_limit = 3"),
    ("a, b", "expansion_limit = 1\nresult_format = %d"),
    ("a", "expansion_limit = 0"),
    ("a", "expansion_limit = 1000"),
    ("a", "expansion_limit = 2500"),
    ("a", "expansion_limit = 2147483647"),
];

/// The results of Postfix with each of these settings, some of them at once, since a failure takes seconds.
fn theirs(kind: &str, all: &[String], keys: &[&str]) -> Vec<Vec<PostmapResult>> {
    const AT_ONCE: usize = 3;
    let said = |settings: &[String]| {
        std::thread::scope(|scope| {
            let one = |settings: &String| {
                let settings = settings.clone();
                scope.spawn(move || Postfix::begin().results(kind, &settings, keys))
            };
            let asked: Vec<_> = settings.iter().map(one).collect();
            asked.into_iter().map(|asked| asked.join().unwrap()).collect::<Vec<_>>()
        })
    };
    all.chunks(AT_ONCE).flat_map(said).collect()
}

/// Compares the answers to each key with each of these settings of Postfix; at least `least` are found.
pub async fn compare(kind: &str, all: &[String], keys: &[&str], least: usize) {
    let (mut found, mut faults) = (0, Vec::new());
    for (settings, theirs) in all.iter().zip(theirs(kind, all, keys)) {
        let table = imported(kind, settings);
        for (key, theirs) in keys.iter().zip(theirs) {
            let answer = table.look_up(key).await;
            let ours = PostmapResult::from(answer.clone());
            found += usize::from(matches!(ours, PostmapResult::Value(_)));
            if ours != theirs {
                faults
                    .push(format!("{kind} {settings} {key:?}: Postfix returns {theirs:?}, rcptd {answer:?}"));
            }
        }
    }
    assert!(found > least && faults.is_empty(), "{found} found:\n{}", faults.join("\n"));
}

async fn compare_all(site: Site) {
    let mut admin = site.admin().await;
    for statement in tables(site.kind()) {
        admin.run(&statement).await;
    }
    let (kind, server) = server_settings(&site);
    let settings = |(columns, more): &(&str, &str)| {
        format!("{server}query = SELECT {columns} FROM results WHERE k = '%s' ORDER BY n, a\n{more}\n")
    };
    compare(kind, &CASES.iter().map(settings).collect::<Vec<_>>(), KEYS, 200).await;
}

#[tokio::test]
async fn results_of_postgresql() {
    compare_all(Site::server(Make::Postgresql)).await;
}

#[tokio::test]
async fn results_of_mariadb() {
    compare_all(Site::server(Make::Mariadb)).await;
}

#[tokio::test]
async fn results_of_sqlite() {
    compare_all(Site::file()).await;
}

const ENTRIES: &str = "\
dn: dc=example,dc=test
objectClass: dcObject
objectClass: organization
dc: example
o: example

dn: uid=ann,dc=example,dc=test
objectClass: inetOrgPerson
uid: ann
cn: Ann
sn: One
mail: ann@one.test
mail: ann@two.test
mail: ann@sub.one.test
description: x@a.test
description: y@b.test
description: z
employeeType: @c.test

";

#[tokio::test]
async fn results_of_a_directory() {
    let folder = tempfile::Builder::new().prefix("rcptd-ldap-").tempdir().unwrap();
    let server = slapd(folder.path(), ENTRIES);
    let cases = ["description", "employeeType"]
        .iter()
        .flat_map(|attribute| CASES.iter().map(move |(_, more)| (*attribute, *more)))
        .chain([("description", "result_filter = old:%s")]);
    let settings = |(attribute, more)| {
        format!(
            "server_host = ldap://127.0.0.1:{}\nversion = 3\nbind = no\nsearch_base = dc=example,dc=test\n\
             query_filter = (mail=%s)\nresult_attribute = {attribute}\n{more}\n",
            server.port
        )
    };
    compare("ldap", &cases.map(settings).collect::<Vec<_>>(), KEYS, 50).await;
}

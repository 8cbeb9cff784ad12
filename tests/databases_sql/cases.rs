//! What is true of all databases that are asked in SQL.

use super::site::{Said, Site, get};
use super::stores::open;
use rcptd::map::MAX_VALUE;
use rcptd::map::settings::{Kind, Query};

/// Most rows that are read: more values do not fit into one value of a map.
const MOST_ROWS: usize = MAX_VALUE / 2;

/// A question, a key, and what is to be said.
pub struct Case(pub Query, pub &'static str, pub Said);

pub fn found(value: &str) -> Said {
    Said::Found(value.into())
}

pub fn missing() -> Said {
    Said::NotFound
}

/// Unknown, with a reason that contains this.
pub fn unknown(part: &str) -> Said {
    Said::Unknown(part.into())
}

pub fn columns(table: &str, key: &str, value: Option<&str>, reason: Option<&str>) -> Query {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    Query::Columns { table: table.into(), key: key.into(), value: owned(value), reason: owned(reason) }
}

pub fn sql(text: &str) -> Query {
    Query::Sql(text.into())
}

/// Keys that would do harm if they were ever a part of a query. Each is stored, with a value of its own; none of
/// them is another one to any of the databases.
const NASTY: &[&str] = &[
    "'",
    "''",
    "\"",
    "`",
    "\\",
    "\\'",
    "' OR '1'='1",
    "' OR 1=1 -- ",
    "'; DROP TABLE aliases; --",
    "\\'; DROP TABLE aliases; #",
    "x' UNION SELECT 'evil' --",
    "\" OR \"\"=\"",
    "` OR 1=1 #",
    "/* comment */",
    "--",
    "$1",
    "?",
    ":name",
    "@name",
    "%",
    "%s",
    "_",
    "%25",
    "a_c",
    "a%c",
    "[a-c]",
    "$$x$$",
    "E'\\''",
    "{0}",
    "a\nb",
    "a\tb",
    "ünï@exämple.test",
    "用户@例子.测试",
    "😀@example.test",
    "\u{7f}",
    "\u{feff}x",
    "a\\",
    "null",
    "true",
    "0",
    "1e0",
    "0x31",
];
/// Keys that are not, though one of those above would be found by a query that takes wildcards, numbers, escapes
/// or quotes for what they are elsewhere.
const ABSENT: &[&str] = &[
    "abc",
    "aXc",
    "'''",
    "\\\\",
    "\\\\'",
    " '",
    "' ",
    "%%",
    "__",
    "NULL'",
    "00",
    "+0",
    "0.0",
    "1",
    "2",
    "1.0",
    "evil",
    "' OR '1'='2",
    "; DROP TABLE aliases",
    "😀",
    "uni@example.test",
    "a\\n",
    "a\\nb",
];

pub async fn all(site: &Site) {
    fill(site).await;
    answers(site).await;
    nasty_keys(site).await;
    refused_queries(site);
}

async fn fill(site: &Site) {
    let mut admin = site.admin().await;
    for statement in [
        "CREATE TABLE aliases (address varchar(200), goto varchar(200), reason varchar(200))",
        "CREATE TABLE nasty (address varchar(200), goto varchar(200))",
        "CREATE TABLE members (address varchar(200), member varchar(200))",
        "CREATE TABLE kinds (k varchar(9), t text, i integer, b bigint, s smallint)",
        "INSERT INTO kinds VALUES ('k', 'text', -2147483648, 9223372036854775807, 7)",
    ] {
        admin.run(statement).await;
    }
    for row in [
        ["a@example.test", "b@example.test", "for a while"].map(Some),
        [Some("noreason@example.test"), Some("b@example.test"), None],
        [Some("emptyreason@example.test"), Some("b@example.test"), Some("")],
        [Some("null@example.test"), None, Some("for a while")],
        [Some("empty@example.test"), Some(""), Some("for a while")],
        [Some("half@example.test"), None, None],
        [Some("@example.test"), Some("all@example.test"), None],
        [Some("half@example.test"), Some("c@example.test"), None],
    ] {
        admin.add("aliases", &row).await;
    }
    for member in ["x@example.test", "y@example.test"] {
        admin.add("members", &[Some("list@example.test"), Some(member)]).await;
    }
    // The text of MySQL ends at 65,535 octets.
    let text = if site.kind() == Kind::Mysql { "mediumtext" } else { "text" };
    admin.run(&format!("CREATE TABLE long_one (k varchar(9), v {text})")).await;
    for (key, count) in [("many", MOST_ROWS + 1), ("most", MOST_ROWS)] {
        let rows = vec![format!("('{key}', 'm')"); count].join(", ");
        admin.run(&format!("INSERT INTO members VALUES {rows}")).await;
    }
    let fits = "v".repeat(MAX_VALUE);
    for (key, more) in [("fits", ""), ("long", "v")] {
        admin.add("long_one", &[Some(key), Some(&format!("{fits}{more}"))]).await;
    }
    for (number, key) in NASTY.iter().enumerate() {
        admin.add("nasty", &[Some(key), Some(&format!("v{number}"))]).await;
    }
}

async fn answers(site: &Site) {
    let alias = || columns("aliases", "address", Some("goto"), None);
    let reason = || columns("aliases", "address", Some("goto"), Some("reason"));
    let member = || sql("SELECT member FROM members WHERE address = %s ORDER BY member");
    // Of SQLite the first column counts, as with Postfix; and its files are only read.
    let (columns_of, no_result) = match site.kind() {
        Kind::Sqlite => ("text", "readonly"),
        _ => ("text,-2147483648,7", "no result set"),
    };
    // Catch-alls that spare those with an address of their own.
    let catch_all = || {
        sql("SELECT goto FROM aliases WHERE address = %s \
             AND NOT EXISTS (SELECT 1 FROM members WHERE address = %u AND member = %d)")
    };
    let most = vec!["m"; MOST_ROWS].join(",");
    let fits = "v".repeat(MAX_VALUE);
    check(
        site,
        &[
            Case(alias(), "a@example.test", found("b@example.test")),
            Case(alias(), "absent@example.test", missing()),
            Case(alias(), "", missing()),
            Case(alias(), "null@example.test", missing()),
            Case(alias(), "half@example.test", found("c@example.test")),
            Case(alias(), "empty@example.test", unknown("database users: ")),
            Case(alias(), "empty@example.test", unknown("the value of this key is empty")),
            Case(columns("aliases", "address", None, None), "a@example.test", found("a@example.test")),
            Case(columns("aliases", "address", None, None), "null@example.test", found("null@example.test")),
            Case(columns("aliases", "address", None, None), "absent@example.test", missing()),
            Case(reason(), "a@example.test", found("b@example.test for a while")),
            Case(reason(), "noreason@example.test", found("b@example.test")),
            Case(reason(), "emptyreason@example.test", found("b@example.test")),
            Case(reason(), "null@example.test", missing()),
            Case(reason(), "empty@example.test", unknown("empty")),
            Case(
                columns("members", "address", None, None),
                "list@example.test",
                found("list@example.test,list@example.test"),
            ),
            Case(member(), "list@example.test", found("x@example.test,y@example.test")),
            Case(member(), "absent", missing()),
            Case(alias(), "@example.test", found("all@example.test")),
            Case(catch_all(), "a@example.test", found("b@example.test")),
            Case(catch_all(), "@example.test", missing()),
            Case(catch_all(), "@", missing()),
            Case(catch_all(), "a@", missing()),
            Case(catch_all(), "a", missing()),
            Case(member(), "many", unknown("more than 50000 rows")),
            Case(member(), "most", found(&most)),
            Case(
                columns("members", "address", Some("member"), None),
                "many",
                unknown("more than 50000 rows"),
            ),
            Case(columns("members", "address", Some("member"), None), "most", found(&most)),
            Case(columns("long_one", "k", Some("v"), None), "fits", found(&fits)),
            Case(columns("long_one", "k", Some("v"), None), "long", unknown("longer than 100000 octets")),
            Case(columns("kinds", "k", Some("t"), None), "k", found("text")),
            Case(columns("kinds", "k", Some("i"), None), "k", found("-2147483648")),
            Case(columns("kinds", "k", Some("b"), None), "k", found("9223372036854775807")),
            Case(sql("SELECT t, i, s FROM kinds WHERE k = %s"), "k", found(columns_of)),
            Case(sql("SELECT goto FROM aliases WHERE address = %s"), "empty@example.test", missing()),
            Case(sql("SELECT goto FROM aliases WHERE address = %s"), "null@example.test", missing()),
            Case(sql("UPDATE members SET member = 'q' WHERE address = %s"), "nobody", unknown(no_result)),
            Case(sql("UPDATE members SET member = 'm' WHERE address = %s"), "many", unknown(no_result)),
            Case(together(site), "a@example.test", found("b@example.test")),
            Case(
                sql("SELECT goto FROM aliases WHERE address = %s AND '%%' = '%%';"),
                "a@example.test",
                found("b@example.test"),
            ),
            Case(sql("SELECT goto FROM no_such_table WHERE address = %s AND %d = 'x'"), "nobody", missing()),
            Case(
                columns("no_such_table", "address", Some("goto"), None),
                "a@example.test",
                unknown("no_such_table"),
            ),
            Case(columns("aliases", "adress", Some("goto"), None), "a@example.test", unknown("adress")),
            Case(columns("aliases", "address", Some("gotu"), None), "a@example.test", unknown("gotu")),
            Case(sql("SELEKT goto FROM aliases WHERE address = %s"), "a@example.test", unknown("syntax")),
        ],
    )
    .await;
}

async fn nasty_keys(site: &Site) {
    let database = open(&site.settings()).unwrap();
    for query in [
        columns("nasty", "address", Some("goto"), None),
        columns("nasty", "address", Some("goto"), Some("goto")),
        sql("SELECT goto FROM nasty WHERE address = %s"),
        sql("SELECT goto FROM nasty WHERE %s = address AND 'it''s' <> %u"),
    ] {
        let twice = matches!(query, Query::Columns { reason: Some(_), .. });
        let of_user = matches!(&query, Query::Sql(text) if text.contains("%u"));
        let table = database.table(&query).unwrap();
        for (number, key) in NASTY.iter().enumerate() {
            let value = if twice { format!("v{number} v{number}") } else { format!("v{number}") };
            // Where the query wants a user, there has to be one.
            let want = if of_user && key.starts_with('@') { missing() } else { found(&value) };
            assert_eq!(get(&table, key).await, want, "{query:?} {key:?}");
        }
        for key in ABSENT {
            // What a collation of MySQL takes for equal is sorted out where rcptd knows what the key is.
            let loose = matches!(query, Query::Sql(_)) && site.kind() == Kind::Mysql;
            if !(loose && ["' ", "😀", "uni@example.test"].contains(key)) {
                assert_eq!(get(&table, key).await, missing(), "{query:?} {key:?}");
            }
        }
        let harmless = database.table(&columns("aliases", "address", Some("goto"), None)).unwrap();
        assert_eq!(get(&harmless, "a@example.test").await, found("b@example.test"));
    }
}

fn refused_queries(site: &Site) {
    let database = open(&site.settings()).unwrap();
    for (query, want) in [
        (
            sql("SELECT goto FROM aliases WHERE address = '%s'"),
            "write %s without quotes: rcptd passes the value separately",
        ),
        (sql("SELECT goto FROM aliases WHERE address = 'a'"), "no place for the key"),
        (sql("SELECT goto FROM aliases WHERE address = %k"), "write %s for the key"),
    ] {
        let why = database.table(&query).unwrap_err();
        assert!(why.contains(want), "{why}");
    }
}

/// The address put together again, as each database does it.
fn together(site: &Site) -> Query {
    let address = if site.kind() == Kind::Mysql { "concat(%u, '@', %d)" } else { "%u || '@' || %d" };
    sql(&format!("SELECT goto FROM aliases WHERE address = {address}"))
}

/// All of these in one database, so on connections that others have used before.
pub async fn check(site: &Site, cases: &[Case]) {
    let database = open(&site.settings()).unwrap();
    for Case(query, key, want) in cases {
        let said = get(&database.table(query).unwrap(), key).await;
        assert!(said.agrees(want), "{query:?} {key:?}: {said:?} instead of {want:?}");
    }
}

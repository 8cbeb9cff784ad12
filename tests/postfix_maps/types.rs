//! Columns of all types: the text of their values, and comparisons of a key with them.

use super::results::compare;
use super::server_settings;
use crate::servers::Make;
use crate::site::Site;
use rcptd::map::settings::Kind;
use std::fmt::Write;

/// The type of a column and two values; a third one is NULL.
type Column = (&'static str, &'static str, &'static str);

/// Not tested: blanks at the end of a `char(n)`, and characters that are not ASCII, which Postfix 3.7 reads as LATIN1
/// (rcptd.maps(5)).
const POSTGRESQL: &[Column] = &[
    ("smallint", "-5", "0"),
    ("integer", "2147483647", "7"),
    ("bigint", "-9223372036854775808", "8"),
    ("numeric", "12345678901234567890.1250", "1e-7"),
    ("numeric(9,3)", "1.5", "-0.0004"),
    ("real", "3.14", "16777217"),
    ("double precision", "0.1", "1e300"),
    ("money", "'12.34'", "-1"),
    ("boolean", "true", "false"),
    ("char(5)", "'bcdef'", "'abcde'"),
    ("varchar(9)", "'ab '", "''"),
    ("text", "'a,b'", "' '"),
    ("bytea", "'\\xdeadbeef'", "''"),
    ("date", "'2026-11-30'", "'0044-03-15 BC'"),
    ("time", "'12:34:56.700'", "'00:00'"),
    ("timetz", "'12:34:56+02'", "'00:00Z'"),
    ("timestamp", "'2026-11-30 12:34:56.5'", "'infinity'"),
    ("timestamp(0)", "'2026-11-30 12:34:56.5'", "'2000-01-01'"),
    ("timestamptz", "'2026-11-30 12:34:56+05'", "'-infinity'"),
    ("interval", "'1 year 2 days 03:04:05.6'", "'-1 hour'"),
    ("uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "'{A0EEBC999C0B4EF8BB6D6BB9BD380A11}'"),
    ("inet", "'192.0.2.5'", "'2001:db8::1/64'"),
    ("cidr", "'192.0.2.0/24'", "'2001:db8::/32'"),
    ("macaddr", "'08:00:2b:01:02:03'", "'08002b010204'"),
    ("json", "'{\"a\":  [1, null]}'", "'\"x\"'"),
    ("jsonb", "'{\"b\":  1, \"a\": 2}'", "'null'"),
    ("xml", "'<a>b</a>'", "'c'"),
    ("text[]", "'{a,\"b c\",NULL}'", "'{}'"),
    ("integer[]", "'{{1,2},{3,4}}'", "'[2:3]={5,6}'"),
    ("int4range", "'[1,5)'", "'empty'"),
    ("bit(3)", "B'101'", "B'000'"),
    ("bit varying", "B'10'", "B''"),
    ("point", "'(1,2.5)'", "'(0,0)'"),
    ("oid", "5", "4294967295"),
    ("name", "'ab'", "''"),
    ("tsvector", "'a b'", "''"),
    ("mood", "'glad'", "'sad'"),
    ("pair", "'(1,x)'", "'(,\"a b\")'"),
    ("positive", "5", "7"),
];

const MARIADB: &[Column] = &[
    ("tinyint", "-128", "0"),
    ("tinyint unsigned", "255", "0"),
    ("smallint zerofill", "5", "0"),
    ("int", "-2147483648", "7"),
    ("int unsigned", "4294967295", "0"),
    ("int(8) unsigned zerofill", "42", "0"),
    ("bigint", "9223372036854775807", "-1"),
    ("bigint unsigned", "18446744073709551615", "0"),
    ("boolean", "true", "false"),
    ("decimal(30,10)", "12345678901234567890.125", "-0.0000000001"),
    ("decimal(5,0) zerofill", "12", "0"),
    ("float", "3.14", "16777217"),
    ("float(7,2)", "3.14159", "1000"),
    ("double", "0.1", "1e300"),
    ("double(10,3)", "1.5", "-2"),
    ("date", "'2026-11-30'", "'0000-00-00'"),
    ("time", "'12:34:56.7'", "'-838:59:59'"),
    ("time(3)", "'12:34:56'", "'-00:00:00.5'"),
    ("datetime", "'2026-11-30 12:34:56'", "'0000-00-00'"),
    ("datetime(6)", "'2026-11-30 12:34:56'", "'2026-11-30 12:34:56.000001'"),
    ("timestamp", "'2026-11-30 12:34:56'", "'2000-01-01'"),
    ("timestamp(2)", "'2026-11-30 12:34:56.789'", "'2000-01-01'"),
    ("year", "2026", "0"),
    ("bit(1)", "b'1'", "b'0'"),
    ("bit(8)", "b'1000001'", "b'0'"),
    ("bit(16)", "0x4142", "0x4100"),
    ("char(5)", "'ab '", "'abcde'"),
    ("varchar(9)", "'ab '", "''"),
    ("varchar(9) CHARACTER SET latin1", "'größe'", "''"),
    ("text", "'größe'", "' '"),
    ("binary(5)", "'ab'", "''"),
    ("varbinary(9)", "'ab'", "''"),
    ("blob", "'größe'", "''"),
    ("enum('x','y')", "'x'", "2"),
    ("set('x','y')", "'x,y'", "''"),
    ("json", "'{\"a\":  1}'", "'\"x\"'"),
    ("uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "'00000000-0000-0000-0000-000000000000'"),
    ("inet6", "'2001:db8::1'", "'::'"),
];

const SQLITE: &[Column] = &[
    ("integer", "-9223372036854775808", "0"),
    ("real", "0.1", "1e300"),
    ("real", "3", "1.0e-7"),
    ("numeric", "1.50", "'x'"),
    ("text", "'größe'", "''"),
    ("blob", "x'6162'", "x''"),
    ("blob", "5", "2.5"),
    ("boolean", "true", "false"),
    ("datetime", "'2026-11-30 12:34:56'", "1700000000"),
];

fn columns(kind: Kind) -> &'static [Column] {
    match kind {
        Kind::Postgresql => POSTGRESQL,
        Kind::Mysql => MARIADB,
        _ => SQLITE,
    }
}

/// The name of each column is its number.
fn tables(kind: Kind) -> Vec<String> {
    let (mut create, mut first, mut second) = (String::new(), String::new(), String::new());
    for (at, (kind, one, two)) in columns(kind).iter().enumerate() {
        // A timestamp of MariaDB is not NULL otherwise.
        write!(create, ", c{at} {kind} NULL").unwrap();
        write!(first, ", {one}").unwrap();
        write!(second, ", {two}").unwrap();
    }
    let mut all: Vec<String> = match kind {
        Kind::Postgresql => vec![
            "CREATE TYPE mood AS ENUM ('glad', 'sad')".into(),
            "CREATE TYPE pair AS (a int, b text)".into(),
            "CREATE DOMAIN positive AS int CHECK (VALUE > 0)".into(),
        ],
        // Otherwise a zero date cannot be stored.
        Kind::Mysql => vec!["SET sql_mode = ''".into()],
        _ => Vec::new(),
    };
    all.push(format!("CREATE TABLE types (k varchar(9){create})"));
    all.push(format!("INSERT INTO types VALUES ('first'{first})"));
    all.push(format!("INSERT INTO types VALUES ('second'{second})"));
    all.push("INSERT INTO types (k) VALUES ('third')".into());
    all.push("CREATE TABLE numbers (id int, v varchar(9))".into());
    all.push("INSERT INTO numbers VALUES (5, 'five'), (-7, 'minus'), (0, 'zero')".into());
    if kind == Kind::Postgresql {
        all.push("CREATE TABLE nets (net inet, v text)".into());
        all.push("INSERT INTO nets VALUES ('192.0.2.0/24', 'net'), ('192.0.2.5', 'host')".into());
    }
    all
}

/// Keys that are compared with numbers and addresses.
const KEYS: &[&str] = &[
    "first",
    "second",
    "third",
    "5",
    "05",
    " 5",
    "5 ",
    "5x",
    "5.0",
    "5e0",
    "-7",
    "0",
    "x",
    "99999999999999999999",
    "192.0.2.5",
    "192.0.2.5/32",
    "192.0.2.9",
    "2001:db8::1",
    "NULL",
    "ann@one.test",
];

/// Queries about numbers and addresses, in the form of Postfix.
fn comparisons(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Postgresql => &[
            "SELECT v FROM numbers WHERE id = '%s'",
            "SELECT v FROM numbers WHERE id::text = '%s'",
            "SELECT v FROM nets WHERE net >>= '%s' ORDER BY v",
            "SELECT net FROM nets WHERE net = '%s'",
            "SELECT v FROM numbers WHERE '%s' IN ('5', 'x')",
            "SELECT '%s' || id FROM numbers WHERE id = 5",
            "SELECT now() > '2020-01-01', ARRAY[id, 1], row(id, v) FROM numbers WHERE id = '%s'",
        ],
        Kind::Mysql => &[
            "SELECT v FROM numbers WHERE id = '%s'",
            "SELECT v FROM numbers WHERE CAST(id AS CHAR) = '%s'",
            "SELECT '%s' + 1, '%s' * 1.5 FROM numbers WHERE id = 5",
            "SELECT AVG(id), SUM(id), COUNT(*), MAX(v), 1/3, 0.5e0, NULL FROM numbers WHERE id = '%s'",
            "SELECT CAST('2026-11-30' AS DATE), SEC_TO_TIME(5), TIME'10:00:00.5' FROM numbers WHERE id = '%s'",
            "CALL by_number('%s')",
        ],
        _ => &[
            "SELECT v FROM numbers WHERE id = '%s'",
            "SELECT v FROM numbers WHERE id + 0 = '%s'",
            "SELECT id / 3.0 FROM numbers WHERE id = '%s'",
            "SELECT avg(id) FROM numbers WHERE id = '%s'",
        ],
    }
}

async fn compare_types(site: Site) {
    let mut admin = site.admin().await;
    for statement in tables(site.kind()) {
        admin.run(&statement).await;
    }
    if site.kind() == Kind::Mysql {
        admin
            .run("CREATE PROCEDURE by_number(IN n varchar(99)) SELECT v, id * 1e0 FROM numbers WHERE id = n")
            .await;
    }
    let (kind, server) = server_settings(&site);
    let columns = (0..columns(site.kind()).len()).map(|at| format!("SELECT c{at} FROM types WHERE k = '%s'"));
    let queries = columns.chain(comparisons(site.kind()).iter().map(|query| (*query).to_owned()));
    let settings: Vec<String> = queries.map(|query| format!("{server}query = {query}\n")).collect();
    compare(kind, &settings, KEYS, 20).await;
}

#[tokio::test]
async fn types_of_postgresql() {
    compare_types(Site::server(Make::Postgresql)).await;
}

#[tokio::test]
async fn types_of_mariadb() {
    compare_types(Site::server(Make::Mariadb)).await;
}

#[tokio::test]
async fn types_of_sqlite() {
    compare_types(Site::file()).await;
}

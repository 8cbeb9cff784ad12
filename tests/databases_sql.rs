//! Tables in real databases: PostgreSQL and MariaDB, which these tests start themselves, and SQLite.
//!
//! `cases.rs` has what is true of all three of them; what each has of its own, and what happens when a server
//! goes away, is here. All is asked through the tables that maps have, and nothing behind them.

#![cfg(all(feature = "sql-postgres", feature = "sql-mysql", feature = "sql-sqlite"))]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)] // a test that panics has done its work

#[path = "databases_sql/cases.rs"]
mod cases;
#[path = "databases_sql/check_maps.rs"]
mod check_maps;
#[path = "databases_sql/outages.rs"]
mod outages;
#[path = "common/programs.rs"]
mod programs;
#[path = "common/servers.rs"]
mod servers;
#[path = "databases_sql/sessions.rs"]
mod sessions;
#[path = "databases_sql/site.rs"]
mod site;
#[path = "common/stores.rs"]
mod stores;

use cases::{Case, check, columns, found, missing, sql, unknown};
use rcptd::map::settings::{Kind, Password};
use rcptd::net::host::Host;
use servers::Make;
use site::{Admin, Site, get, settings};
use std::fs;
use stores::open;

#[tokio::test]
async fn postgresql() {
    let mut site = Site::server(Make::Postgresql);
    cases::all(&site).await;
    let mut admin = site.admin().await;
    for statement in [
        "CREATE EXTENSION citext",
        "CREATE TYPE place AS ENUM ('here', 'there')",
        "CREATE DOMAIN mailbox AS text",
        "CREATE SCHEMA \"Mail; --\"",
        "CREATE TABLE \"Mail; --\".\"A\"\"B\" (\"K'\" citext, v citext, p place, n name, m mailbox, c char(9), b bool,
                                             i2 smallint, num numeric, u uuid, a text[])",
        "INSERT INTO \"Mail; --\".\"A\"\"B\" VALUES ('Foo@Example.test', 'Bar', 'there', 'nm', 'mb', 'c', true, -2, 1.50,
                                             '00000000-0000-0000-0000-000000000000', '{a}')",
        "CREATE TABLE other (p place, n name, m mailbox, c char(9), i int, u uuid)",
        "INSERT INTO other VALUES ('here', 'nm', 'mb', 'c', 1633837924, '00000000-0000-0000-0000-000000000000')",
    ] {
        admin.run(statement).await;
    }
    let of = |value| columns("Mail; --.A\"B", "K'", Some(value), None);
    check(
        &site,
        &[
            Case(of("v"), "foo@example.test", found("Bar")),
            Case(of("p"), "FOO@example.test", found("there")),
            Case(of("n"), "foo@example.test", found("nm")),
            Case(of("m"), "foo@example.test", found("mb")),
            Case(of("c"), "foo@example.test", found("c")),
            Case(of("b"), "foo@example.test", found("t")),
            Case(of("i2"), "foo@example.test", found("-2")),
            Case(of("num"), "foo@example.test", found("1.50")),
            Case(of("u"), "foo@example.test", found("00000000-0000-0000-0000-000000000000")),
            Case(of("a"), "foo@example.test", found("{a}")),
            Case(of("v"), "foo@example.test ", missing()),
            Case(of("v"), "", missing()),
            Case(columns("other", "p", Some("n"), None), "here", found("nm")),
            Case(columns("other", "p", Some("n"), None), "nowhere", unknown("invalid input value for enum")),
            Case(columns("other", "n", Some("p"), None), "nm", found("here")),
            Case(columns("other", "m", Some("n"), None), "mb", found("nm")),
            Case(columns("other", "c", Some("n"), None), "c", found("nm")),
            // What could be the octets of a number is not read as one.
            Case(
                columns("other", "i", Some("n"), None),
                "abcd",
                unknown("invalid input syntax for type integer"),
            ),
            Case(columns("other", "i", Some("n"), None), "1633837924", found("nm")),
            Case(columns("other", "u", Some("n"), None), "0123456789abcdef", unknown("for type uuid")),
            Case(sql("SELECT n FROM other WHERE i::text = %s"), "1633837924", found("nm")),
            Case(
                sql("SELECT v, 'x' || %u, 'y' FROM \"Mail; --\".\"A\"\"B\" WHERE \"K'\" = %s"),
                "FOO@example.test",
                found("Bar,xFOO,y"),
            ),
            Case(
                sql("SELECT num::text FROM \"Mail; --\".\"A\"\"B\" WHERE \"K'\" = %s"),
                "foo@example.test",
                found("1.50"),
            ),
            // Where nothing else tells, it is a text, as a literal is.
            Case(sql("SELECT concat('x', %s)"), "a", found("xa")),
            Case(sql("SELECT concat('x', %s, %u) WHERE %d = 'b'"), "a@b", found("xa@ba")),
            Case(sql("SELECT num_nulls(%s, %s)"), "a", found("0")),
            Case(sql("SELECT 1 WHERE %s = 'a' FOR UPDATE"), "a", found("1")),
            Case(columns("aliases", "address", Some("goto"), None), "nul\0", missing()),
            Case(sql("SELECT goto FROM aliases WHERE address = %s"), "nul\0", unknown("NUL")),
        ],
    )
    .await;
    encodings(&site, &mut admin).await;
    check_maps::postgresql(&site);
    tls(&site).await;
    sessions::postgresql(&site).await;
    outages::all(&mut site).await;
}

/// Where the database has an encoding in which the key cannot be spelt, it has no such key. That says nothing of a
/// value, or of the names in the statement.
async fn encodings(site: &Site, admin: &mut Admin) {
    admin.run("CREATE DATABASE windows ENCODING 'WIN1252' LOCALE 'C' TEMPLATE template0").await;
    let mut settings = site.settings();
    settings.database = "windows".into();
    let mut windows = Admin::open(&settings).await;
    windows.run("CREATE TABLE aliases (address text, goto text)").await;
    // This octet is no character, but a client with the encoding of the database can store it.
    windows.run("INSERT INTO aliases VALUES ('é', 'ü'), ('bad', convert_from('\\x9d', 'WIN1252'))").await;
    let pooler = site.pooler();
    for port in [site.port(), pooler.port] {
        settings.hosts = vec![Host::Inet("127.0.0.1".into(), port)];
        let database = open(&settings).unwrap();
        for (table, key, want) in [
            ("aliases", "é", found("ü")),
            ("aliases", "中", missing()),
            ("aliases", "bad", unknown("has no equivalent in encoding \"UTF8\"")),
            ("中", "é", unknown("has no equivalent in encoding \"WIN1252\"")),
        ] {
            let table = database.table(&columns(table, "address", Some("goto"), None)).unwrap();
            let answer = get(&table, key).await;
            assert!(answer.agrees(&want), "{key}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn mariadb() {
    let mut site = Site::server(Make::Mariadb);
    cases::all(&site).await;
    let mut admin = site.admin().await;
    for statement in [
        "CREATE TABLE odd (k varchar(100), v enum('x', 'y'), s set('x', 'y'), t tinyint unsigned, b boolean,
                           u bigint unsigned, d decimal(5,2), vb varbinary(9), c char(9), f double, day date, z int zerofill)",
        "INSERT INTO odd VALUES ('abc', 'y', 'x,y', 255, true, 18446744073709551615, 1.50, 'vb', 'c', 1.5, '2026-11-30',
                               42)",
        "INSERT INTO odd VALUES ('Bär@example.test', 'x', 'x', 0, false, 0, 0, x'ff', 'c', 0, now(), 0)",
        "CREATE TABLE numbers (n int, f double, v varchar(9))",
        "INSERT INTO numbers VALUES (0, 0, 'zero'), (5, 5, 'five')",
        "CREATE TABLE latin (k varchar(100), v varchar(9)) CHARACTER SET latin1",
        "INSERT INTO latin VALUES ('é', 'ü')",
        "CREATE TABLE `we``ird` (`k; --` varchar(9), `v'` varchar(9))",
        "INSERT INTO `we``ird` VALUES ('k', 'v')",
    ] {
        admin.run(statement).await;
    }
    let of = |value| columns("odd", "k", Some(value), None);
    let by_number = columns("numbers", "n", Some("v"), None);
    check(
        &site,
        &[
            Case(of("v"), "abc", found("y")),
            Case(of("s"), "abc", found("x,y")),
            Case(of("t"), "abc", found("255")),
            Case(of("b"), "abc", found("1")),
            Case(of("u"), "abc", found("18446744073709551615")),
            Case(of("d"), "abc", found("1.50")),
            Case(of("vb"), "abc", found("vb")),
            Case(of("c"), "abc", found("c")),
            Case(of("f"), "abc", found("1.5")),
            Case(of("day"), "abc", found("2026-11-30")),
            Case(of("z"), "abc", found("0000000042")),
            // The server converts them to text, on connections that others use before and after.
            Case(columns("odd", "z", Some("day"), Some("f")), "0000000042", found("2026-11-30 1.5")),
            Case(columns("odd", "z", Some("day"), None), "42", missing()),
            Case(
                sql("SELECT day, f, concat(%u, '''', %d) FROM odd WHERE k = 'abc'"),
                "a'b@\\c",
                found("2026-11-30,1.5,a'b'\\c"),
            ),
            Case(sql("SELECT f FROM odd WHERE k = %s"), "abc", found("1.5")),
            Case(sql("SELECT f FROM odd WHERE k = %s"), "nobody", missing()),
            Case(of("vb"), "bär@example.test", unknown("column vb holds something that is not UTF-8")),
            // Its collation says that all of these are equal; they are other keys.
            Case(of("v"), "ABC", found("y")),
            Case(of("v"), "abc ", missing()),
            Case(of("v"), "àbc", missing()),
            Case(of("v"), "BÄR@example.test", found("x")),
            Case(of("v"), "bar@example.test", missing()),
            Case(of("v"), "0", missing()),
            Case(by_number.clone(), "5", found("five")),
            Case(by_number.clone(), "5abc", missing()),
            Case(by_number.clone(), "abc", missing()),
            Case(by_number, "05", missing()),
            Case(columns("latin", "k", Some("v"), None), "é", found("ü")),
            Case(columns("mail.latin", "k", Some("v"), None), "é", found("ü")),
            Case(columns("we`ird", "k; --", Some("v'"), None), "k", found("v")),
            Case(sql("SELECT v, concat('x', %u) FROM odd WHERE k = %s"), "abc", found("y,xabc")),
            Case(
                sql("SELECT concat(v, %d) FROM odd WHERE k = %s"),
                "Bär@example.test",
                found("xexample.test"),
            ),
        ],
    )
    .await;
    let latin = open(&site.settings()).unwrap().table(&columns("latin", "k", Some("v"), None)).unwrap();
    // That it cannot be spelt there is an error of the comparison, which others may cause too.
    assert!(get(&latin, "中").await.agrees(&unknown("Illegal mix of collations")));
    procedures(&site, &mut admin).await;
    logins(&site, &mut admin).await;
    check_maps::mariadb(&site);
    tls(&site).await;
    sessions::mariadb(&site).await;
    outages::all(&mut site).await;
}

/// Procedures, and names of functions as columns.
async fn procedures(site: &Site, admin: &mut Admin) {
    for procedure in [
        "CREATE PROCEDURE look(IN a varchar(100)) SELECT v FROM odd WHERE k = a",
        "CREATE PROCEDURE nothing(IN a varchar(100)) SET @a = a",
        "CREATE PROCEDURE some(IN a varchar(100)) IF a = 'abc' THEN SELECT 1.5e0; END IF",
        "CREATE TABLE counts (k varchar(100) CHARACTER SET latin1, n int unsigned)",
        "INSERT INTO counts VALUES ('é', 7)",
        "CREATE TABLE words (position varchar(9), count varchar(9))",
        "INSERT INTO words VALUES ('p', 'c')",
    ] {
        admin.run(procedure).await;
    }
    check(
        site,
        &[
            Case(sql("CALL look(%s)"), "abc", found("y")),
            Case(sql("CALL look(%s)"), "nobody", missing()),
            Case(sql("CALL nothing(%s)"), "abc", unknown("no result set")),
            Case(sql("CALL some(%s)"), "abc", found("1.5")),
            Case(sql("CALL some(%s)"), "nobody", unknown("no result set")),
            Case(sql("SELECT n FROM counts WHERE k = %s"), "é", found("7")),
            Case(sql("SELECT n FROM counts WHERE k = %s"), "nobody", missing()),
            // These are names of functions, and reserved only in a mode that the session does not have.
            Case(sql("SELECT count FROM words WHERE position = %s"), "p", found("c")),
        ],
    )
    .await;
    // The connection knows from the first key that the server converts the columns to text.
    let some = open(&site.settings()).unwrap().table(&sql("CALL some(%s)")).unwrap();
    for (key, want) in [("abc", found("1.5")), ("nobody", unknown("no result set")), ("abc", found("1.5"))] {
        assert!(get(&some, key).await.agrees(&want), "{key}");
    }
}

/// Methods of authentication: plugin of the server, the clause of CREATE USER, whether it is by the socket.
async fn logins(site: &Site, admin: &mut Admin) {
    let me = nix::unistd::User::from_uid(nix::unistd::Uid::effective()).unwrap().unwrap().name;
    admin.run("INSTALL SONAME 'auth_ed25519'").await;
    for statement in [
        "CREATE USER ed25519 IDENTIFIED VIA ed25519 USING PASSWORD('p')".to_owned(),
        "CREATE USER native IDENTIFIED VIA mysql_native_password USING PASSWORD('p')".to_owned(),
        format!("CREATE OR REPLACE USER '{me}'@'localhost' IDENTIFIED VIA unix_socket"),
    ] {
        admin.run(&statement).await;
    }
    for user in ["ed25519@'%'", "native@'%'", &format!("'{me}'@'localhost'")] {
        admin.run(&format!("GRANT SELECT ON mail.* TO {user}")).await;
    }
    let query = columns("aliases", "address", Some("goto"), None);
    let inet = Host::Inet("127.0.0.1".into(), site.port());
    let Site::Server(_, server) = site else { panic!("no server") };
    let socket = Host::Unix(server.socket());
    for (user, password, host, want) in [
        ("native", Some("p"), &inet, found("b@example.test")),
        ("native", Some("q"), &inet, unknown("Access denied for user 'native'")),
        ("ed25519", Some("p"), &inet, unknown("method client_ed25519, which rcptd does not support")),
        ("ed25519", Some("p"), &inet, unknown("ALTER USER")),
        (&*me, None, &socket, found("b@example.test")),
    ] {
        let mut settings = site.settings();
        settings.hosts = vec![host.clone()];
        settings.user = Some(user.into());
        settings.password = password.map(Password::new);
        let answer = get(&open(&settings).unwrap().table(&query).unwrap(), "a@example.test").await;
        assert!(answer.agrees(&want), "{user} {host}: {answer:?}");
    }
}

/// The certificate is one for 127.0.0.1, of an authority that the system does not know.
async fn tls(site: &Site) {
    let ca = [env!("CARGO_MANIFEST_DIR"), "tests/data/account/ca.pem"].iter().collect();
    let query = columns("aliases", "address", Some("goto"), None);
    for (host, ca, fits) in
        [("127.0.0.1", Some(&ca), true), ("localhost", Some(&ca), false), ("127.0.0.1", None, false)]
    {
        let mut settings = site.settings();
        settings.tls = true;
        settings.tls_ca = ca.cloned();
        settings.hosts = vec![Host::Inet(host.into(), site.port())];
        let table = open(&settings).unwrap().table(&query).unwrap();
        let answer = get(&table, "a@example.test").await;
        let want = if fits { found("b@example.test") } else { unknown("certificate") };
        assert!(answer.agrees(&want), "{host} {ca:?}: {answer:?}");
    }
}

#[tokio::test]
async fn sqlite() {
    let site = Site::file();
    let file = site.settings().file.unwrap();
    let query = columns("aliases", "address", Some("goto"), None);
    let table = open(&site.settings()).unwrap().table(&query).unwrap();
    let answer = get(&table, "a@example.test").await;
    assert!(answer.agrees(&unknown("No such file")), "{answer:?}");
    assert!(!file.exists(), "a file was made");

    cases::all(&site).await;
    assert_eq!(get(&table, "a@example.test").await, found("b@example.test"));
    let mut admin = site.admin().await;
    for statement in [
        "CREATE TABLE odd (k, v, i INTEGER PRIMARY KEY, folded TEXT COLLATE NOCASE)",
        "INSERT INTO odd VALUES ('abc', 1.5, 5, 'Abc')",
        "INSERT INTO odd VALUES ('blob', x'ff', 6, '')",
        "INSERT INTO odd VALUES ('nul' || char(0) || 'x', 'nul', 7, '')",
        "CREATE TABLE `we``ird` (`k; --` TEXT, `v'` TEXT)",
        "INSERT INTO `we``ird` VALUES ('k', 'v')",
    ] {
        admin.run(statement).await;
    }
    let of = |value| columns("odd", "k", Some(value), None);
    check(
        &site,
        &[
            Case(of("v"), "abc", found("1.5")),
            Case(of("i"), "abc", found("5")),
            Case(of("v"), "ABC", missing()),
            Case(of("v"), "blob", unknown("column v holds something that is not UTF-8")),
            Case(of("v"), "nul\0x", found("nul")),
            Case(of("v"), "nul", missing()),
            Case(columns("odd", "folded", Some("k"), None), "abc", found("abc")),
            Case(columns("odd", "folded", None, None), "abc", found("Abc")),
            Case(columns("odd", "i", Some("k"), None), "5", found("abc")),
            Case(columns("odd", "i", Some("k"), None), "05", missing()),
            Case(columns("we`ird", "k; --", Some("v'"), None), "k", found("v")),
            Case(sql("INSERT INTO odd (k) VALUES (%s)"), "abc", unknown("readonly")),
        ],
    )
    .await;

    outages::empty(&site).await;
    check_maps::sqlite(&site).await;
    // Another file of its name takes its place; it goes away.
    let other = Site::file();
    let mut admin = other.admin().await;
    admin.run("CREATE TABLE aliases (address TEXT, goto TEXT)").await;
    admin.run("INSERT INTO aliases VALUES ('a@example.test', 'd@example.test')").await;
    drop(admin);
    fs::rename(other.settings().file.unwrap(), &file).unwrap();
    site::until(&table, "a@example.test", &found("d@example.test")).await;
    fs::remove_file(&file).unwrap();
    site::until(&table, "a@example.test", &unknown("No such file")).await;
    assert!(!file.exists(), "a file was made");

    // While it is written, it can be read.
    let site = Site::file();
    let mut admin = site.admin().await;
    admin.run("PRAGMA journal_mode = WAL").await;
    admin.run("CREATE TABLE aliases (address TEXT, goto TEXT)").await;
    admin.run("INSERT INTO aliases VALUES ('a@example.test', 'd@example.test')").await;
    admin.run("BEGIN IMMEDIATE").await;
    admin.run("UPDATE aliases SET goto = 'e@example.test'").await;
    let table = open(&site.settings()).unwrap().table(&query).unwrap();
    assert_eq!(get(&table, "a@example.test").await, found("d@example.test"));
    admin.run("COMMIT").await;
    assert_eq!(get(&table, "a@example.test").await, found("e@example.test"));
    // Without such a log a writer may keep readers out.
    let site = Site::file();
    let mut admin = site.admin().await;
    admin.run("CREATE TABLE aliases (address TEXT, goto TEXT); BEGIN EXCLUSIVE").await;
    let mut settings = site.settings();
    settings.deadline = std::time::Duration::from_secs(1);
    let table = open(&settings).unwrap().table(&query).unwrap();
    let answer = get(&table, "a@example.test").await;
    assert!(answer.agrees(&unknown("database is locked")), "{answer:?}");
}

#[test]
fn settings_that_lack_something() {
    for kind in [Kind::Postgresql, Kind::Mysql, Kind::Sqlite] {
        let why = open(&settings(kind)).unwrap_err();
        let key = if kind == Kind::Sqlite { "set file to the path" } else { "set hosts to the servers" };
        assert!(why.starts_with(key), "{why}");
    }
}

/// Nothing is connected before the first question, so it need not run.
#[tokio::test]
async fn nothing_is_connected_at_first() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    for kind in [Kind::Postgresql, Kind::Mysql] {
        let mut settings = settings(kind);
        settings.hosts = vec![Host::Inet("127.0.0.1".into(), listener.local_addr().unwrap().port())];
        let _table = open(&settings).unwrap().table(&columns("t", "k", None, None)).unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        assert!(listener.accept().is_err(), "{}", kind.name());
    }
}

/// On a machine of somebody else the temporary folder may be closed to the users that servers run as, and its name
/// long.
#[test]
fn servers_start_where_the_temporary_folder_is_closed() {
    use servers::{Server, folder};
    use std::os::unix::fs::PermissionsExt;
    let closed = tempfile::tempdir().unwrap();
    fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let long = closed.path().join("x".repeat(100));
    fs::create_dir(&long).unwrap();
    let places = [closed.path().to_owned(), long, "/nowhere".into(), "/var/tmp".into(), "/dev/shm".into()];
    for (make, user) in [(Make::Postgresql, "postgres"), (Make::Mariadb, "mysql")] {
        let folder = folder::folder_in(&places, "rcptd-closed-", user);
        let elsewhere = !folder.path().starts_with(closed.path());
        assert_eq!(elsewhere, nix::unistd::Uid::effective().is_root(), "{folder:?}");
        drop(Server::start_in(make, folder));
    }
}

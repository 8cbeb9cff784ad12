//! What a session is like: as the server and the role have it; and that it may be one of a pooler.

use super::cases::{Case, check, columns, found, missing, sql, unknown};
use super::site::{Admin, Said, Site, get};
use super::stores::open;
use rcptd::map::MAX_VALUE;
use rcptd::map::settings::DatabaseSettings;
use rcptd::net::host::Host;
use sqlx::{ConnectOptions, Executor};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

pub async fn postgresql(site: &Site) {
    let mut admin = site.admin().await;
    for setting in ["TimeZone = 'Asia/Tokyo'", "DateStyle = 'German'", "IntervalStyle = 'iso_8601'"] {
        admin.run(&format!("ALTER ROLE {} SET {setting}", super::servers::ADMIN)).await;
    }
    check(
        site,
        &[
            Case(sql("SELECT current_setting('TimeZone') WHERE %s <> ''"), "k", found("Asia/Tokyo")),
            Case(sql("SELECT date '2026-11-28' WHERE %s <> ''"), "k", found("28.11.2026")),
            Case(sql("SELECT interval '1 day' WHERE %s <> ''"), "k", found("P1D")),
            // Local time without a zone, as accounts that expire have it.
            Case(
                sql("SELECT 'alive' WHERE %s <> '' AND \
                     (now() AT TIME ZONE 'Asia/Tokyo' + interval '1 hour')::timestamp > now()"),
                "k",
                found("alive"),
            ),
            Case(
                sql("SELECT 'dead' WHERE %s <> '' AND \
                     (now() AT TIME ZONE 'Asia/Tokyo' - interval '1 hour')::timestamp > now()"),
                "k",
                missing(),
            ),
            Case(sql("SELECT current_setting('client_encoding') WHERE %s <> ''"), "k", found("UTF8")),
        ],
    )
    .await;
    pooled(site).await;
    for setting in ["TimeZone", "DateStyle", "IntervalStyle"] {
        admin.run(&format!("ALTER ROLE {} RESET {setting}", super::servers::ADMIN)).await;
    }
}

pub async fn mariadb(site: &Site) {
    let mut admin = site.admin().await;
    for (modes, or, pipes) in [
        ("STRICT_TRANS_TABLES", found("1"), found("1")),
        ("ANSI", missing(), found("xy")),
        ("", found("1"), found("1")),
    ] {
        admin.run(&format!("SET GLOBAL sql_mode = '{modes}', GLOBAL time_zone = '+09:00'")).await;
        check(
            site,
            &[
                Case(sql("SELECT @@sql_mode = @@GLOBAL.sql_mode WHERE %s <> ''"), "k", found("1")),
                Case(sql("SELECT @@time_zone WHERE %s <> ''"), "k", found("+09:00")),
                Case(sql("SELECT @@autocommit WHERE %s <> ''"), "k", found("1")),
                Case(sql("SELECT 1 WHERE %s = 'k' AND (2 = 1 || 2 = 2) = 1"), "k", or),
                Case(
                    sql("SELECT %s || 'y' FROM (SELECT 1) AS one WHERE 1"),
                    if modes == "ANSI" { "x" } else { "1" },
                    pipes,
                ),
                Case(
                    sql("SELECT 'alive' WHERE %s <> '' AND \
                         DATE_ADD(CONVERT_TZ(UTC_TIMESTAMP(), '+00:00', '+09:00'), INTERVAL 1 HOUR) > now()"),
                    "k",
                    found("alive"),
                ),
                Case(
                    sql("SELECT 'dead' WHERE %s <> '' AND \
                         DATE_SUB(CONVERT_TZ(UTC_TIMESTAMP(), '+00:00', '+09:00'), INTERVAL 1 HOUR) > now()"),
                    "k",
                    missing(),
                ),
                Case(
                    sql("SELECT CAST(@@max_statement_time AS CHAR) WHERE %s <> ''"),
                    "k",
                    found("21.000000"),
                ),
            ],
        )
        .await;
    }
    admin
        .run("SET GLOBAL max_statement_time = 2, GLOBAL sql_mode = DEFAULT, GLOBAL time_zone = 'SYSTEM'")
        .await;
    check(
        site,
        &[Case(sql("SELECT CAST(@@max_statement_time AS CHAR) WHERE %s <> ''"), "k", found("2.000000"))],
    )
    .await;
    admin.run("SET GLOBAL max_statement_time = 0").await;
    whole_texts(site, &mut admin).await;
}

/// Texts are neither padded nor cut, whatever the server is set to.
async fn whole_texts(site: &Site, admin: &mut Admin) {
    for statement in [
        "CREATE TABLE padded (k char(99), v char(9))",
        "INSERT INTO padded VALUES ('a@example.test', 'v')",
        "SET GLOBAL sql_mode = 'ANSI_QUOTES,PAD_CHAR_TO_FULL_LENGTH,PIPES_AS_CONCAT'",
        "SET GLOBAL group_concat_max_len = 1024",
    ] {
        admin.run(statement).await;
    }
    let repeated = |times: usize| sql(&format!("SELECT GROUP_CONCAT(REPEAT(%s, {times}))"));
    check(
        site,
        &[
            Case(sql("SELECT @@sql_mode WHERE %s <> ''"), "k", found("PIPES_AS_CONCAT,ANSI_QUOTES")),
            Case(columns("padded", "k", Some("v"), None), "a@example.test", found("v")),
            Case(columns("padded", "k", Some("v"), None), "a@example.test ", missing()),
            Case(sql("SELECT v FROM padded WHERE k = %s"), "a@example.test", found("v")),
            Case(repeated(2000), "k", found(&"k".repeat(2000))),
            Case(repeated(MAX_VALUE / 2), "é", found(&"é".repeat(MAX_VALUE / 2))),
            Case(repeated(MAX_VALUE / 2 + 1), "é", unknown("longer than 100000")),
            // Four octets each for the limit, and one in the value.
            Case(
                sql("SELECT GROUP_CONCAT(CONVERT(REPEAT(%s, 100001) USING utf32))"),
                "k",
                unknown("longer than 100000"),
            ),
        ],
    )
    .await;
    admin.run("SET GLOBAL sql_mode = DEFAULT, GLOBAL group_concat_max_len = DEFAULT").await;
}

/// Behind PgBouncer, which lends a server for one transaction, no answer is that of another question: neither of
/// those asked here, nor of what other clients prepare under names of their own.
async fn pooled(site: &Site) {
    const QUESTIONS: usize = 100_000;
    const ASKERS: usize = 20;
    let mut admin = site.admin().await;
    admin.run("CREATE TABLE pooled (map varchar(9), k varchar(99), v varchar(99))").await;
    admin
        .run(
            "INSERT INTO pooled SELECT 'm' || m, 'k' || k, 'v' || m || '-' || k \
             FROM generate_series(0, 9) AS m, generate_series(0, 99, 2) AS k",
        )
        .await;
    let pooler = site.pooler();
    let settings =
        || DatabaseSettings { hosts: vec![Host::Inet("127.0.0.1".into(), pooler.port)], ..site.settings() };
    // Two databases of ten maps each, so that the same texts come over many connections.
    let maps = |_| -> Vec<_> {
        let database = open(&settings()).unwrap();
        (0..10)
            .map(|map| {
                database
                    .table(&sql(&format!("SELECT v FROM pooled WHERE map = 'm{map}' AND k = %s")))
                    .unwrap()
            })
            .collect()
    };
    let maps: Arc<Vec<_>> = Arc::new([0, 1].into_iter().flat_map(maps).collect());
    let (wrong, failed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    // Another client, with named statements; what comes of them there is its own matter.
    let other = tokio::spawn({
        let options = sqlx::postgres::PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(pooler.port)
            .username(super::servers::ADMIN)
            .password(super::servers::PASSWORD)
            .database("postgres")
            .extra_float_digits(None);
        async move {
            loop {
                let Ok(mut connection) = options.connect().await else { continue };
                for number in 0..20 {
                    let text = sqlx::AssertSqlSafe(format!("SELECT 'other {number}', $1::text"));
                    let _ = connection.fetch_all(sqlx::query(text).bind("x")).await;
                }
            }
        }
    });
    let askers: Vec<_> = (0..ASKERS)
        .map(|asker| {
            let (maps, wrong, failed) = (maps.clone(), wrong.clone(), failed.clone());
            tokio::spawn(async move {
                for number in 0..QUESTIONS / ASKERS {
                    let (map, k) = ((number * 7 + asker) % maps.len(), (number * 13 + asker) % 100);
                    let want = if k % 2 == 0 { found(&format!("v{}-{k}", map % 10)) } else { missing() };
                    match get(&maps[map], &format!("k{k}")).await {
                        said if said == want => (),
                        Said::Unknown(why) => {
                            failed.fetch_add(1, Relaxed);
                            assert!(why.len() > 10, "{why}");
                        }
                        _ => {
                            wrong.fetch_add(1, Relaxed);
                        }
                    }
                }
            })
        })
        .collect();
    for asker in askers {
        asker.await.unwrap();
    }
    other.abort();
    assert_eq!((wrong.load(Relaxed), failed.load(Relaxed)), (0, 0), "of {QUESTIONS}");

    let table = open(&settings()).unwrap().table(&columns("pooled", "k", Some("map"), None)).unwrap();
    assert_eq!(get(&table, "k1").await, missing());
    given_up_through(site, &mut admin, settings()).await;
    assert_eq!(get(&table, "k1").await, missing());
}

/// What is given up through a pooler ends in the server behind it, and the pooler lives on: no cancel request is sent
/// to it, since PgBouncer 1.18 ends when the answer comes while it passes one on.
async fn given_up_through(site: &Site, admin: &mut Admin, settings: DatabaseSettings) {
    let mut hasty = settings.clone();
    hasty.deadline = std::time::Duration::from_secs(2);
    let sleep = open(&hasty).unwrap().table(&sql("SELECT 'pooled', pg_sleep(60) WHERE %s <> ''")).unwrap();
    let given_up: Vec<_> = (0..6)
        .map(|_| {
            let sleep = sleep.clone();
            tokio::spawn(async move { get(&sleep, "k").await })
        })
        .collect();
    for said in given_up {
        let said = said.await.unwrap();
        assert!(said.agrees(&super::cases::unknown("within 2s")), "{said:?}");
    }
    let still =
        sql("SELECT pid FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%%pooled%%pg_sleep%%' \
         AND pid <> pg_backend_pid() AND %s <> ''");
    let still = open(&site.settings()).unwrap().table(&still).unwrap();
    super::site::until(&still, "x", &missing()).await;
    let limit = sql("SELECT current_setting('statement_timeout') WHERE %s <> ''");
    let limits = |settings| open(&settings).unwrap().table(&limit).unwrap();
    assert_eq!(get(&limits(settings), "k").await, found("21s"));
    assert_eq!(get(&limits(hasty), "k").await, found("3s"));
    assert_eq!(get(&limits(site.settings()), "k").await, found("0"), "not of the session");
    // A shorter one of the role holds; the servers that the pooler has keep the one they began with.
    admin.run(&format!("ALTER ROLE {} SET statement_timeout = '300ms'", super::servers::ADMIN)).await;
    let pooler = site.pooler();
    let anew =
        DatabaseSettings { hosts: vec![Host::Inet("127.0.0.1".into(), pooler.port)], ..site.settings() };
    assert_eq!(get(&limits(anew), "k").await, found("300ms"));
    admin.run(&format!("ALTER ROLE {} RESET statement_timeout", super::servers::ADMIN)).await;
}

//! Servers that go away, come back, hang, or refuse.

use super::cases::{columns, found, missing, sql, unknown};
use super::servers::{PASSWORD, free_port};
use super::site::{Said, Site, get};
use super::stores::open;
use rcptd::map::settings::{DatabaseSettings, Kind, Password, Query};
use rcptd::map::{Lookup, Table};
use rcptd::net::host::Host;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

const KEY: &str = "a@example.test";
const VALUE: &str = "b@example.test";

fn table(settings: &DatabaseSettings) -> Arc<Table> {
    let query = columns("aliases", "address", Some("goto"), None);
    open(settings).unwrap().table(&query).unwrap()
}

fn here(port: u16) -> Host {
    Host::Inet("127.0.0.1".into(), port)
}

pub async fn all(site: &mut Site) {
    refused(site).await;
    sockets(site).await;
    several_hosts(site).await;
    killed(site).await;
    altered(site).await;
    crowded(site).await;
    dropped(site).await;
    slow(site).await;
    given_up(site).await;
    full(site).await;
    empty(site).await;
    restarted(site).await;
}

async fn refused(site: &Site) {
    let mut settings = site.settings();
    settings.password = Some(Password::new("wrong-secret"));
    let Said::Unknown(why) = get(&table(&settings), KEY).await else { panic!("not unknown") };
    let who = format!("database users: 127.0.0.1:{}: ", site.port());
    assert!(why.starts_with(&who) && why.contains("admin"), "{why}");
    assert!(!why.contains("wrong-secret") && !why.contains(PASSWORD), "{why}");
    settings.password = None;
    assert!(get(&table(&settings), KEY).await.agrees(&unknown(&who)));
    let mut settings = site.settings();
    settings.database = "no_such_database".into();
    assert!(get(&table(&settings), KEY).await.agrees(&unknown("no_such_database")));
    let shown = format!("{:?} {:?}", open(&settings).unwrap(), table(&settings));
    assert!(!shown.contains(PASSWORD), "{shown}");
}

async fn sockets(site: &mut Site) {
    let mut settings = site.settings();
    // Encryption is for the other hosts.
    settings.tls = true;
    settings.hosts = vec![Host::Unix(site.process().socket())];
    assert_eq!(get(&table(&settings), KEY).await, found(VALUE));
    settings.hosts = vec![Host::Unix("/no/such/folder".into())];
    assert!(get(&table(&settings), KEY).await.agrees(&unknown("unix:/no/such/folder: No such file")));
}

async fn several_hosts(site: &Site) {
    let mut settings = site.settings();
    settings.connect_timeout = Duration::from_secs(1);
    // One that refuses connections, one that takes them and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let (closed, hanging) = (free_port(), silent.local_addr().unwrap().port());
    for first in [closed, hanging] {
        settings.hosts = vec![here(first), here(site.port())];
        let table = table(&settings);
        for round in 0..20 {
            let asked = Instant::now();
            assert_eq!(get(&table, KEY).await, found(VALUE));
            assert!(round == 0 || asked.elapsed() < settings.connect_timeout, "asked again");
        }
    }
    settings.hosts = vec![here(closed), here(hanging)];
    let Said::Unknown(why) = get(&table(&settings), KEY).await else { panic!("not unknown") };
    let want = [
        format!("127.0.0.1:{closed}: Connection refused"),
        format!("127.0.0.1:{hanging}: no connection within 1s"),
    ];
    assert!(want.iter().all(|part| why.contains(part)), "{why}");
}

/// All connections but that of the administrator.
async fn kill_all(site: &Site) {
    let mut admin = site.admin().await;
    match site.kind() {
        Kind::Postgresql => {
            admin
                .run(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'rcptd'",
                )
                .await;
        }
        _ => {
            admin
                .run(
                    "BEGIN NOT ATOMIC FOR c IN (SELECT id FROM information_schema.processlist
                     WHERE id <> connection_id() AND db = 'mail') DO EXECUTE IMMEDIATE concat('KILL ', c.id);
                     END FOR; END",
                )
                .await;
        }
    }
}

async fn killed(site: &Site) {
    let table = table(&site.settings());
    for _ in 0..3 {
        let asked = (0..8).map(|_| {
            let table = Arc::clone(&table);
            tokio::spawn(async move { get(&table, KEY).await })
        });
        for answer in asked.collect::<Vec<_>>() {
            assert_eq!(answer.await.unwrap(), found(VALUE));
        }
        kill_all(site).await;
        assert_eq!(get(&table, KEY).await, found(VALUE));
    }
}

/// A table that gets other columns while its questions are prepared.
async fn altered(site: &Site) {
    let mut admin = site.admin().await;
    admin.run("CREATE TABLE changing (k varchar(9), v integer)").await;
    admin.run("INSERT INTO changing VALUES ('k', 5)").await;
    let database = open(&site.settings()).unwrap();
    let all = database.table(&sql("SELECT * FROM changing WHERE k = %s")).unwrap();
    let one = database.table(&columns("changing", "k", Some("v"), None)).unwrap();
    assert_eq!(get(&all, "k").await, found("k,5"));
    assert_eq!(get(&one, "k").await, found("5"));
    admin.run("ALTER TABLE changing ADD COLUMN w varchar(9) DEFAULT 'w'").await;
    admin
        .run(match site.kind() {
            Kind::Postgresql => "ALTER TABLE changing ALTER COLUMN v TYPE varchar(9)",
            _ => "ALTER TABLE changing MODIFY v varchar(9)",
        })
        .await;
    assert_eq!(get(&one, "k").await, found("5"));
    assert_eq!(get(&all, "k").await, found("k,5,w"));
}

/// More questions than connections: they wait.
async fn crowded(site: &Site) {
    let mut settings = site.settings();
    settings.connections = 2;
    let table = table(&settings);
    let ask = |number: usize| {
        let table = Arc::clone(&table);
        tokio::spawn(async move { get(&table, if number.is_multiple_of(2) { KEY } else { "absent" }).await })
    };
    let asked: Vec<_> = (0..200).map(ask).collect();
    for (number, answer) in asked.into_iter().enumerate() {
        let want = if number.is_multiple_of(2) { found(VALUE) } else { missing() };
        assert_eq!(answer.await.unwrap(), want);
    }
    let count = match site.kind() {
        Kind::Postgresql => {
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND state = 'idle'"
        }
        _ => "SELECT count(*) FROM information_schema.processlist WHERE user = %s AND command = 'Sleep'",
    };
    let who = if site.kind() == Kind::Postgresql { "rcptd" } else { "admin" };
    let counter = open(&site.settings()).unwrap().table(&sql(count)).unwrap();
    let Said::Found(connections) = get(&counter, who).await else { panic!("no count") };
    // Those of the test before may still be closing.
    assert!(connections.parse::<u32>().unwrap() <= 8, "{connections}");
}

/// A question that nobody waits for any more does not leave its answer to the next.
async fn dropped(site: &Site) {
    let mut settings = site.settings();
    settings.connections = 1;
    let database = open(&settings).unwrap();
    let table = database.table(&sql("SELECT concat('of ', %s)")).unwrap();
    let mut answered = 0;
    for number in 0..400 {
        let key = number.to_string();
        // Each gives up at another moment, from the first poll to long after the answer.
        let patience = async {
            for _ in 0..number * 7 % 400 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            answer = table.look_up(&key) => {
                assert_eq!(answer, Lookup::Found(format!("of {key}")));
                answered += 1;
            }
            () = patience => (),
        }
    }
    assert_eq!(get(&table, "last").await, found("of last"));
    assert!(answered < 400, "none was dropped");
}

/// A deadline ends a question, and the next is answered.
async fn slow(site: &Site) {
    let mut settings = site.settings();
    settings.connections = 1;
    settings.deadline = Duration::from_millis(500);
    let sleep = match site.kind() {
        Kind::Postgresql => "SELECT pg_sleep(30)::text || %s",
        _ => "SELECT concat(sleep(30), %s)",
    };
    let database = open(&settings).unwrap();
    let table = database.table(&sql(sleep)).unwrap();
    let asked = Instant::now();
    let both = tokio::join!(get(&table, "a"), get(&table, "b"));
    assert!(asked.elapsed() < Duration::from_secs(20), "the deadline did not hold");
    for said in [both.0, both.1] {
        assert!(said.agrees(&unknown("within 500ms")), "{said:?}");
    }
    let query = Query::Sql("SELECT goto FROM aliases WHERE address = %s".into());
    super::site::until(&database.table(&query).unwrap(), KEY, &found(VALUE)).await;
}

/// Questions of these that are under way in the server.
const UNDER_WAY: [&str; 2] = [
    "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%%given up%%' AND pid <> \
     pg_backend_pid() AND %s <> ''",
    "SELECT count(*) FROM information_schema.processlist WHERE command <> 'Sleep' AND info LIKE '%%given up%%' \
     AND id <> connection_id() AND %s <> ''",
];

/// What is given up ends in the server, and until then counts as a connection.
async fn given_up(site: &Site) {
    let mut settings = site.settings();
    settings.connections = 3;
    settings.deadline = Duration::from_secs(1);
    let is_postgresql = site.kind() == Kind::Postgresql;
    let sleep = if is_postgresql {
        "SELECT 'given up' || pg_sleep(60)::text || %s"
    } else {
        "SELECT concat('given up', sleep(60), %s)"
    };
    let table = open(&settings).unwrap().table(&sql(sleep)).unwrap();
    let counter =
        open(&site.settings()).unwrap().table(&sql(UNDER_WAY[usize::from(!is_postgresql)])).unwrap();
    let count = async || match get(&counter, "x").await {
        Said::Found(count) => count.parse::<u32>().unwrap(),
        other => panic!("{other:?}"),
    };
    let mut most = 0;
    for _ in 0..4 {
        let asked: Vec<_> = (0..6)
            .map(|_| {
                let table = Arc::clone(&table);
                tokio::spawn(async move { get(&table, "x").await })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(700)).await;
        most = most.max(count().await);
        for asked in asked {
            let said = asked.await.unwrap();
            assert!(said.agrees(&unknown("within 1s")), "{said:?}");
        }
        most = most.max(count().await);
    }
    assert!((1..=3).contains(&most), "{most} at once");
    let until = Instant::now() + Duration::from_secs(10);
    while count().await > 0 {
        assert!(Instant::now() < until, "they go on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A server that has no room for another connection answers on those that it has.
async fn full(site: &Site) {
    let mut admin = site.admin().await;
    let (make, grant) = match site.kind() {
        Kind::Postgresql => {
            ("CREATE ROLE few LOGIN CONNECTION LIMIT 2 PASSWORD 'few'", "GRANT SELECT ON aliases TO few")
        }
        _ => (
            "CREATE USER few IDENTIFIED BY 'few' WITH MAX_USER_CONNECTIONS 2",
            "GRANT SELECT ON mail.* TO few",
        ),
    };
    admin.run(make).await;
    admin.run(grant).await;
    let mut settings = site.settings();
    settings.user = Some("few".into());
    settings.password = Some(Password::new("few"));
    settings.connections = 10;
    // Ten at once take their time on a busy machine.
    settings.connect_timeout = Duration::from_secs(15);
    let sleep =
        if site.kind() == Kind::Postgresql { "pg_sleep(0.02)::text <> 'x'" } else { "sleep(0.02) = 0" };
    let query = sql(&format!("SELECT goto FROM aliases WHERE address = %s AND {sleep}"));
    let table = open(&settings).unwrap().table(&query).unwrap();
    let asked: Vec<_> = (0..60)
        .map(|_| {
            let table = Arc::clone(&table);
            tokio::spawn(async move { get(&table, KEY).await })
        })
        .collect();
    for asked in asked {
        assert_eq!(asked.await.unwrap(), found(VALUE));
    }
}

/// A server that has its tables and nothing in them, as a replica may be: what it does not find is not certain.
pub async fn empty(site: &Site) {
    const EVERY: Duration = Duration::from_secs(2);
    let mut admin = site.admin().await;
    for statement in [
        "CREATE TABLE replica (k varchar(99), v varchar(99))",
        "CREATE TABLE replica_domains (domain varchar(99))",
    ] {
        admin.run(statement).await;
    }
    let mut settings = site.settings();
    settings.witness = Some("postmaster@example.test".into());
    settings.control_interval = EVERY;
    let database = open(&settings).unwrap();
    // The map that has the witness is not the first.
    let domains = database.table(&columns("replica_domains", "domain", None, None)).unwrap();
    let table = database.table(&columns("replica", "k", Some("v"), None)).unwrap();
    let missing_witness = unknown("does not find the witness postmaster@example.test");
    for (table, key) in [(&table, "a@example.test"), (&domains, "example.test"), (&table, "b@example.test")] {
        let said = get(table, key).await;
        assert!(said.agrees(&missing_witness), "{said:?}");
    }
    // Without a witness it is believed.
    let alone = open(&site.settings()).unwrap().table(&columns("replica", "k", Some("v"), None)).unwrap();
    assert_eq!(get(&alone, "a@example.test").await, missing());
    // What is found is found, and shows that there is something.
    admin.add("replica", &[Some("a@example.test"), Some("a")]).await;
    assert_eq!(get(&table, "a@example.test").await, found("a"));
    assert_eq!(get(&table, "b@example.test").await, missing());
    assert_eq!(get(&domains, "example.test").await, missing());
    // For an interval; then the witness is asked for.
    tokio::time::sleep(EVERY).await;
    assert!(get(&domains, "example.test").await.agrees(&missing_witness));
    admin.add("replica", &[Some("postmaster@example.test"), Some("p")]).await;
    tokio::time::sleep(EVERY).await;
    assert_eq!(get(&domains, "example.test").await, missing());
    assert_eq!(get(&table, "b@example.test").await, missing());
}

async fn restarted(site: &mut Site) {
    let table = table(&site.settings());
    assert_eq!(get(&table, KEY).await, found(VALUE));
    // Restarted between two questions, it is as if nothing had been.
    site.process().stop();
    site.process().run();
    super::site::until(&table, KEY, &found(VALUE)).await;
    site.process().stop();
    for key in [KEY, "absent"] {
        let said = get(&table, key).await;
        assert!(said.agrees(&unknown("Connection refused")), "{said:?}");
    }
    site.process().run();
    super::site::until(&table, KEY, &found(VALUE)).await;
    assert_eq!(get(&table, "absent").await, missing());
}

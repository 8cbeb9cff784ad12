//! The databases, which are sources by `map:`.

use super::rows::{ACCOUNTS, Failure, Site, Tls, inet};
use super::servers::{self, ADMIN, Make, PASSWORD};
use super::site;
use super::stores::{self, Served};
use super::{Opened, fixtures, map_source};
use rcptd::map::settings::{DatabaseSettings, Kind, Password, Query, Scope};
use rcptd::map::{Table, database};
use rcptd::net::host::Host;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

const WITNESS: &str = ACCOUNTS[2];

/// The settings of a database with a witness at one place.
fn database_settings(kind: Kind, at: &Host, deadline: Duration, tls: Tls) -> DatabaseSettings {
    DatabaseSettings {
        hosts: vec![at.clone()],
        connections: 4,
        connect_timeout: deadline,
        deadline,
        witness: Some(WITNESS.into()),
        tls: tls != Tls::Off,
        tls_ca: (tls != Tls::Off).then(|| stores::certificate(tls.authority())),
        ..DatabaseSettings::new("users", kind)
    }
}

fn table(settings: &DatabaseSettings, query: &Query) -> Arc<Table> {
    database::open(settings, &Arc::default()).unwrap().table(query).unwrap()
}

/// `map:` over PostgreSQL and MariaDB.
pub struct Sql(site::Site);

impl Sql {
    pub fn start(make: Make) -> Self {
        let site = site::Site::server(make);
        fixtures().block_on(async {
            let mut admin = site.admin().await;
            admin.run("CREATE TABLE accounts (address varchar(99) PRIMARY KEY)").await;
            for account in ACCOUNTS {
                admin.add("accounts", &[Some(account)]).await;
            }
        });
        Sql(site)
    }

    fn is_postgresql(&self) -> bool {
        self.0.kind() == Kind::Postgresql
    }
}

/// The message of an error of PostgreSQL, and that the session is ready.
fn postgresql_error(code: &str, text: &str) -> Vec<u8> {
    let fields = format!("SERROR\0VERROR\0C{code}\0M{text}\0\0");
    let length = u32::try_from(fields.len() + 4).unwrap().to_be_bytes();
    [b"E".as_slice(), &length, fields.as_bytes(), b"Z\0\0\0\x05I"].concat()
}

/// The packet of an error of MariaDB.
fn mariadb_error(code: u16, text: &str) -> Vec<u8> {
    let payload = [b"\xff".as_slice(), &code.to_le_bytes(), b"#", text.as_bytes()].concat();
    let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
    [&length[..3], b"\x01", &payload].concat()
}

impl Site for Sql {
    fn name(&self) -> &'static str {
        if self.is_postgresql() { "map: PostgreSQL" } else { "map: MariaDB" }
    }

    fn place(&self, _: Tls) -> Host {
        inet(self.0.port())
    }

    fn has_tls(&self) -> bool {
        true
    }

    fn lingers(&self) -> bool {
        !self.is_postgresql()
    }

    fn open(&self, at: &Host, deadline: Duration, tls: Tls) -> Opened {
        let common = database_settings(self.0.kind(), at, deadline, tls);
        let database = self.0.settings().database;
        let password = Some(Password::new(PASSWORD));
        let settings = DatabaseSettings { user: Some(ADMIN.into()), password, database, ..common };
        let query =
            Query::Columns { table: "accounts".into(), key: "address".into(), value: None, reason: None };
        map_source(table(&settings, &query), deadline)
    }

    fn fail(&self) -> fn(&[u8], Failure) -> Option<Vec<u8>> {
        if self.is_postgresql() {
            |request, failure| {
                // Parse or Bind, to the Sync at their end.
                let is_question = matches!(request.first(), Some(b'P' | b'B'));
                is_question.then(|| match failure {
                    Failure::Temporary => postgresql_error("57014", "canceling statement due to timeout"),
                    Failure::Permanent => postgresql_error("42501", "permission denied"),
                    Failure::Garbage(octets) => octets.to_vec(),
                })
            }
        } else {
            |request, failure| {
                // COM_STMT_PREPARE or COM_STMT_EXECUTE.
                let is_question = matches!(request.get(4), Some(0x16 | 0x17));
                is_question.then(|| match failure {
                    Failure::Temporary => mariadb_error(1205, "HY000Lock wait timeout exceeded"),
                    Failure::Permanent => mariadb_error(1142, "42000SELECT command denied"),
                    Failure::Garbage(octets) => octets.to_vec(),
                })
            }
        }
    }

    fn restart(&mut self) -> bool {
        self.0.process().stop();
        self.0.process().run();
        true
    }

    fn empty(&mut self) {
        fixtures().block_on(async { self.0.admin().await.run("DELETE FROM accounts").await });
    }
}

/// `map:` over Redis, which has another port for TLS.
pub struct Redis {
    server: Served,
    tls_port: u16,
    _folder: TempDir,
}

impl Redis {
    pub fn start() -> Self {
        let folder = TempDir::with_prefix("rcptd-faults-").unwrap();
        let tls_port = servers::free_port();
        let file = |name| stores::certificate(name).display().to_string();
        let (port, pem, key, ca) =
            (tls_port.to_string(), file("server.pem"), file("server.key"), file("ca.pem"));
        let tls = ["--tls-port", &port, "--tls-cert-file", &pem, "--tls-key-file", &key];
        let more = ["--tls-ca-cert-file", &ca, "--tls-auth-clients", "no"];
        let server = stores::redis(folder.path(), &[tls.as_slice(), &more].concat());
        for account in ACCOUNTS {
            stores::tell_redis(server.port, &[&["SET", account, "yes"]]);
        }
        Redis { server, tls_port, _folder: folder }
    }
}

impl Site for Redis {
    fn name(&self) -> &'static str {
        "map: Redis"
    }

    fn place(&self, tls: Tls) -> Host {
        inet(if tls == Tls::Off { self.server.port } else { self.tls_port })
    }

    fn has_tls(&self) -> bool {
        true
    }

    fn open(&self, at: &Host, deadline: Duration, tls: Tls) -> Opened {
        let settings = database_settings(Kind::Redis, at, deadline, tls);
        map_source(table(&settings, &Query::Redis { key: "%s".into(), field: None }), deadline)
    }

    fn fail(&self) -> fn(&[u8], Failure) -> Option<Vec<u8>> {
        |request, failure| {
            let is_question = request.windows(5).any(|octets| octets == b"GET\r\n");
            is_question.then(|| match failure {
                Failure::Temporary => b"-LOADING Redis is loading the dataset in memory\r\n".to_vec(),
                Failure::Permanent => b"-NOPERM this user has no permissions\r\n".to_vec(),
                Failure::Garbage(octets) => octets.to_vec(),
            })
        }
    }

    fn restart(&mut self) -> bool {
        self.server.stop();
        self.server.start();
        // It listens before it has read its file.
        while stores::tell_redis_once(self.server.port, &["PING"]) != "+PONG\r\n" {}
        true
    }

    fn empty(&mut self) {
        stores::tell_redis(self.server.port, &[&["FLUSHALL"]]);
    }
}

/// `map:` over a directory.
pub struct Ldap {
    server: Served,
    folders: Vec<TempDir>,
}

const BASE: &str = "dn: dc=example,dc=test\nobjectClass: dcObject\nobjectClass: organization\n\
                    dc: example\no: example\n\n";

impl Ldap {
    pub fn start() -> Self {
        let folder = TempDir::with_prefix("rcptd-faults-").unwrap();
        let person = |account: &&str| {
            let name = account.split_once('@').unwrap().0;
            format!(
                "dn: uid={name},dc=example,dc=test\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\n\
                 sn: {name}\nmail: {account}\n\n"
            )
        };
        let people: String = ACCOUNTS.iter().map(person).collect();
        let server = stores::slapd(folder.path(), &format!("{BASE}{people}"));
        Ldap { server, folders: vec![folder] }
    }
}

impl Site for Ldap {
    fn name(&self) -> &'static str {
        "map: LDAP"
    }

    fn place(&self, _: Tls) -> Host {
        inet(self.server.port)
    }

    fn has_tls(&self) -> bool {
        true
    }

    fn open(&self, at: &Host, deadline: Duration, tls: Tls) -> Opened {
        let query = Query::Ldap {
            base: "dc=example,dc=test".into(),
            filter: "(mail=%s)".into(),
            attributes: "uid".into(),
            scope: Scope::Sub,
        };
        map_source(table(&database_settings(Kind::Ldap, at, deadline, tls), &query), deadline)
    }

    fn fail(&self) -> fn(&[u8], Failure) -> Option<Vec<u8>> {
        |request, failure| {
            // A search, but not that of the root, which has the empty name.
            let is_question = request.get(5) == Some(&0x63) && request.get(8) != Some(&0);
            let done = |code| vec![0x30, 12, 2, 1, request[4], 0x65, 7, 10, 1, code, 4, 0, 4, 0];
            is_question.then(|| match failure {
                Failure::Temporary => done(51),
                Failure::Permanent => done(50),
                Failure::Garbage(octets) => octets.to_vec(),
            })
        }
    }

    fn restart(&mut self) -> bool {
        self.server.stop();
        self.server.start();
        true
    }

    fn empty(&mut self) {
        let folder = TempDir::with_prefix("rcptd-faults-").unwrap();
        self.server = stores::slapd(folder.path(), BASE);
        self.folders.push(folder);
    }
}

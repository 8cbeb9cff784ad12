//! A database for a test, and somebody who may write to it.

use super::servers::{ADMIN, Make, PASSWORD, Pooler, Server};
use rcptd::map::settings::{DatabaseSettings, Kind, Password};
use rcptd::map::{Lookup, Table};
use rcptd::net::host::Host;
use sqlx::{AssertSqlSafe, Connection, MySqlConnection, PgConnection, SqliteConnection};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// What a table says, so that reasons can be compared by a part of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Found(String),
    NotFound,
    Unknown(String),
}

impl Said {
    /// Whether it is as wanted: a reason only has to contain the wanted one.
    pub fn agrees(&self, want: &Said) -> bool {
        match (self, want) {
            (Said::Unknown(why), Said::Unknown(part)) => why.contains(part),
            _ => self == want,
        }
    }
}

pub async fn get(table: &Arc<Table>, key: &str) -> Said {
    match table.look_up(key).await {
        Lookup::Found(value) => Said::Found(value),
        Lookup::NotFound => Said::NotFound,
        Lookup::TempFail(reason) => Said::Unknown(reason.to_string()),
    }
}

/// Asks until the answer is as wanted.
pub async fn until(table: &Arc<Table>, key: &str, want: &Said) {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let said = get(table, key).await;
        if said.agrees(want) {
            return;
        }
        assert!(Instant::now() < end, "{key}: {said:?} instead of {want:?}");
        sleep(Duration::from_millis(50)).await;
    }
}

pub enum Site {
    Server(Kind, Box<Server>),
    File(tempfile::TempDir),
}

/// Settings without a place.
pub fn settings(kind: Kind) -> DatabaseSettings {
    DatabaseSettings {
        user: Some(ADMIN.into()),
        password: Some(Password::new(PASSWORD)),
        database: if kind == Kind::Mysql { "mail" } else { "postgres" }.into(),
        connections: 4,
        // Longer than that of the product: the machine of a test may be slow.
        deadline: Duration::from_secs(20),
        ..DatabaseSettings::new("users", kind)
    }
}

impl Site {
    pub fn server(make: Make) -> Self {
        let kind = if make == Make::Mariadb { Kind::Mysql } else { Kind::Postgresql };
        Site::Server(kind, Box::new(Server::start(make)))
    }

    /// A file that is not there yet.
    pub fn file() -> Self {
        Site::File(tempfile::tempdir().unwrap())
    }

    pub fn kind(&self) -> Kind {
        match self {
            Site::Server(kind, _) => *kind,
            Site::File(_) => Kind::Sqlite,
        }
    }

    pub fn port(&self) -> u16 {
        match self {
            Site::Server(_, server) => server.port(),
            Site::File(_) => 0,
        }
    }

    pub fn process(&mut self) -> &mut Server {
        match self {
            Site::Server(_, server) => server,
            Site::File(_) => panic!("SQLite has no server"),
        }
    }

    pub fn pooler(&self) -> Pooler {
        match self {
            Site::Server(_, server) => server.pooler(),
            Site::File(_) => panic!("SQLite has no server"),
        }
    }

    pub fn settings(&self) -> DatabaseSettings {
        let mut settings = settings(self.kind());
        match self {
            Site::Server(_, server) => settings.hosts = vec![Host::Inet("127.0.0.1".into(), server.port())],
            Site::File(folder) => settings.file = Some(folder.path().join("users ?#%.db")),
        }
        settings
    }

    pub async fn admin(&self) -> Admin {
        Admin::open(&self.settings()).await
    }
}

/// A connection that may write.
pub enum Admin {
    Postgresql(PgConnection),
    Mysql(MySqlConnection),
    Sqlite(SqliteConnection),
}

impl Admin {
    pub async fn open(settings: &DatabaseSettings) -> Self {
        use sqlx::{mysql, postgres, sqlite};
        let port = match settings.hosts.first() {
            Some(Host::Inet(_, port)) => *port,
            _ => 0,
        };
        match settings.kind {
            Kind::Postgresql => {
                let options = postgres::PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(port);
                let options = options.username(ADMIN).password(PASSWORD).database(&settings.database);
                Admin::Postgresql(PgConnection::connect_with(&options).await.unwrap())
            }
            Kind::Mysql => {
                let options = mysql::MySqlConnectOptions::new().host("127.0.0.1").port(port);
                let options = options.username(ADMIN).password(PASSWORD).database(&settings.database);
                let options = options.ssl_mode(mysql::MySqlSslMode::Disabled);
                Admin::Mysql(MySqlConnection::connect_with(&options).await.unwrap())
            }
            _ => {
                let options = sqlite::SqliteConnectOptions::new().create_if_missing(true);
                let options = options.filename(settings.file.as_ref().unwrap());
                Admin::Sqlite(SqliteConnection::connect_with(&options).await.unwrap())
            }
        }
    }

    pub async fn run(&mut self, statement: &str) {
        let text = AssertSqlSafe(statement.to_owned());
        let done = match self {
            Admin::Postgresql(connection) => sqlx::raw_sql(text).execute(connection).await.map(drop),
            Admin::Mysql(connection) => sqlx::raw_sql(text).execute(connection).await.map(drop),
            Admin::Sqlite(connection) => sqlx::raw_sql(text).execute(connection).await.map(drop),
        };
        done.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    /// Closes the connection cleanly.
    pub async fn close(self) {
        match self {
            Admin::Postgresql(connection) => connection.close().await,
            Admin::Mysql(connection) => connection.close().await,
            Admin::Sqlite(connection) => connection.close().await,
        }
        .unwrap();
    }

    /// Adds a row of texts to `table`.
    pub async fn add(&mut self, table: &str, values: &[Option<&str>]) {
        let sign = |number: usize| match self {
            Admin::Postgresql(_) => format!("${number}"),
            _ => "?".into(),
        };
        let signs: Vec<String> = (1..=values.len()).map(sign).collect();
        let text = AssertSqlSafe(format!("INSERT INTO {table} VALUES ({})", signs.join(", ")));
        let done = match self {
            Admin::Postgresql(connection) => {
                let query = values.iter().fold(sqlx::query(text), |query, value| query.bind(*value));
                query.execute(connection).await.map(drop)
            }
            Admin::Mysql(connection) => {
                let query = values.iter().fold(sqlx::query(text), |query, value| query.bind(*value));
                query.execute(connection).await.map(drop)
            }
            Admin::Sqlite(connection) => {
                let query = values.iter().fold(sqlx::query(text), |query, value| query.bind(*value));
                query.execute(connection).await.map(drop)
            }
        };
        done.unwrap_or_else(|error| panic!("{table}: {error}"));
    }
}

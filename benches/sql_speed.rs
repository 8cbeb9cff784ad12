//! How many questions per second a database answers through a table, for comparison with the database's own
//! tool.
//!
//! ```sh
//! cargo bench --features sql-postgres --bench sql_speed -- \
//!     postgresql unix:/run/postgresql/.s.PGSQL.5432 mail 20 10 100000
//! ```
//!
//! asks for 10 s on 20 connections for random ones of 100,000 keys `key0@example.test`, which a table `speed` has
//! with values in `goto`. The password of the user `admin` is in the variable `PASSWORD`. A file of SQLite is
//! named as `file:/PATH`. The same in PostgreSQL's own:
//!
//! ```sh
//! echo "\set n random(0, 99999)
//! SELECT goto FROM speed WHERE address = 'key' || :n || '@example.test'" >q.sql
//! pgbench -n -M prepared -f q.sql -c 20 -j 2 -T 10 mail
//! ```

use rcptd::map::settings::{DatabaseSettings, Kind, Password, Query};
use rcptd::map::{Lookup, database};
use rcptd::net::host::Host;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The user of the database.
const USER: &str = "admin";

fn main() -> ExitCode {
    match run() {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<String, String> {
    // cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let [kind, place, name, tasks, seconds, keys] = &arguments[..] else {
        return Err("usage: sql_speed KIND HOST|FILE DATABASE CONNECTIONS SECONDS KEYS".into());
    };
    let number = |text: &str| text.parse::<u32>().map_err(|error| format!("{text}: {error}"));
    let (tasks, seconds, keys) = (number(tasks)?, number(seconds)?, number(keys)?.max(1));
    let (_, kind) = Kind::ALL.into_iter().find(|(word, _)| word == kind).ok_or(format!("{kind}: unknown"))?;
    let settings = DatabaseSettings {
        hosts: vec![host(place, kind)?],
        user: Some(USER.into()),
        password: std::env::var("PASSWORD").ok().map(Password::new),
        database: name.clone(),
        file: place.strip_prefix("file:").map(Into::into),
        connections: tasks,
        ..DatabaseSettings::new("speed", kind)
    };
    let query = Query::Columns {
        table: "speed".into(),
        key: "address".into(),
        value: Some("goto".into()),
        reason: None,
    };
    let table = database::open(&settings, &Arc::default())?.table(&query)?;
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let asked = Arc::new(AtomicU64::new(0));
        // The first question of each connection takes longer, for it is made and the statement prepared.
        let begin = Instant::now() + Duration::from_secs(1);
        let end = begin + Duration::from_secs(seconds.into());
        let tasks: Vec<_> = (0..tasks)
            .map(|task| {
                let (table, asked) = (Arc::clone(&table), Arc::clone(&asked));
                tokio::spawn(async move {
                    let mut seed = u64::from(task) + 1;
                    loop {
                        // Knuth's MMIX: random enough to spread over the keys.
                        seed = seed
                            .wrapping_mul(6_364_136_223_846_793_005)
                            .wrapping_add(1_442_695_040_888_963_407);
                        let key = format!("key{}@example.test", (seed >> 33) % u64::from(keys));
                        match table.look_up(&key).await {
                            Lookup::Found(_) => (),
                            Lookup::NotFound => return Err(format!("{key} is not there")),
                            Lookup::TempFail(reason) => return Err(reason.to_string()),
                        }
                        let now = Instant::now();
                        if now >= end {
                            return Ok(());
                        }
                        if now >= begin {
                            asked.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.map_err(|error| error.to_string())??;
        }
        let asked = asked.load(Ordering::Relaxed);
        Ok(format!("{} questions per second", asked / u64::from(seconds.max(1))))
    })
}

fn host(place: &str, kind: Kind) -> Result<Host, String> {
    if let Some(path) = place.strip_prefix("unix:").or_else(|| place.strip_prefix("file:")) {
        return Ok(Host::Unix(path.into()));
    }
    match place.rsplit_once(':') {
        Some((host, port)) => {
            Ok(Host::Inet(host.into(), port.parse().map_err(|error| format!("{place}: {error}"))?))
        }
        None => Ok(Host::Inet(place.into(), kind.port())),
    }
}

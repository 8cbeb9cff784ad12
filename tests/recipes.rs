//! The recipes of docs/recipes.md, as they are written there: rcptd runs with them and with tables of the mail systems
//! in MariaDB and PostgreSQL. Clients of Postfix and a Postfix send the lookups.
//!
//! The packages of Debian that this needs: postgresql, mariadb-server, postfix, and dovecot-core. The servers are started
//! by the test; those of the system do not run.

#![cfg(all(feature = "sql-postgres", feature = "sql-mysql", feature = "sql-sqlite"))]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

#[path = "recipes/checks.rs"]
mod checks;
mod common;
#[path = "recipes/logins.rs"]
mod logins;
#[path = "common/postfix.rs"]
mod postfix_server;
#[path = "common/programs.rs"]
mod programs;
#[path = "recipes/schemas.rs"]
mod schemas;
#[path = "common/servers.rs"]
mod servers;
#[path = "databases_sql/site.rs"]
#[allow(dead_code, reason = "another test needs the rest of it")]
mod site;
#[path = "recipes/transport.rs"]
mod transport;

use common::Daemon;
use postfix_server::{Postfix, PostmapResult, rcpt};
use programs::free_port;
use rcptd::map::settings::Kind;
use schemas::{CASES, Exists, Schema};
use servers::{ADMIN, Make, PASSWORD};
use site::{Admin, Site};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// The first characters of the replies to RCPT.
const FOUND: &str = "250 2.1.5";
const NOT_FOUND: &str = "550 5.1.1";
const LATER: &str = "451 4.3.0";

/// Longest wait for a database after its restart.
const WAIT: Duration = Duration::from_secs(30);

const RULES: &str = "ACCOUNT ann, off, later MATCHES %account%-%alnum%-%code% WITH CHAR(1,-), CHARS();\n";

/// The part of the document under this heading, up to the next.
fn section(heading: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/recipes.md");
    let text = fs::read_to_string(path).unwrap();
    let (_, rest) = text.split_once(&format!("# {heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    rest.split("\n#").next().unwrap().to_owned()
}

/// The texts in this language in a part of the document.
fn texts(section: &str, language: &str) -> Vec<String> {
    let begin = format!("```{language}\n");
    section.split(&*begin).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// Replaces a text, which must exist.
fn replace(text: &mut String, old: &str, new: &str) {
    assert!(text.contains(old), "no {old} in:\n{text}");
    *text = text.replace(old, new);
}

/// Hides a file from other users, as required for a file with a password.
fn private(file: &Path) {
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}

/// The codes of a reply, which are the same from Postfix and from rcptd.
fn codes(reply: &str) -> String {
    reply.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// Creates the database of a mail system.
async fn create(site: &Site, schema: &Schema) {
    let charset =
        if site.kind() == Kind::Mysql { format!("CHARACTER SET {}", schema.charset) } else { String::new() };
    site.admin().await.run(&format!("CREATE DATABASE {} {charset}", schema.database())).await;
    let mut settings = site.settings();
    settings.database = schema.database();
    let mut admin = Admin::open(&settings).await;
    for statement in schema.tables {
        admin.run(statement).await;
    }
}

/// A running rcptd with the recipe of a mail system.
struct Recipe {
    schema: &'static Schema,
    with_catch_all: bool,
    daemon: Daemon,
    milter: u16,
    socketmap: u16,
    tcp_table: u16,
    /// The ports of an smtpd with the milter, one whose recipients are those of the resolver, and one whose recipients
    /// are those of the map itself.
    smtpd: [u16; 3],
}

/// The ways to look up an address: with the rules, or only in the database.
const WAYS: [(&str, bool); 5] =
    [("milter", true), ("table", true), ("socketmap", true), ("tcp_table", true), ("map", false)];

impl Recipe {
    fn start(site: &Site, schema: &'static Schema, with_catch_all: bool) -> Self {
        let [milter, socketmap, tcp_table] = [0; 3].map(|_| free_port());
        let folder = common::Site::new("", "");
        folder.write("aliases.rules", RULES);
        folder.write("password", PASSWORD);
        private(&folder.path("password"));
        let general = texts(&section("Accounts in the database of a mail system"), "toml");
        let own = section(schema.name);
        let mut config = [&general[0], &texts(&own, "toml")[0], &general[1]].map(String::as_str).concat();
        if with_catch_all {
            let lines = format!("{}\"\"\"", texts(&own, "sql")[0]);
            let end = config.rfind("\"\"\"").unwrap();
            config.replace_range(end..end + 3, &lines);
        }
        // A domain without any entry, for the test.
        replace(&mut config, "\"example.org\"]", "\"example.org\", \"example.net\"]");
        replace(&mut config, "inet:127.0.0.1:3047", &format!("inet:127.0.0.1:{milter}"));
        replace(&mut config, "inet:127.0.0.1:2224", &format!("inet:127.0.0.1:{socketmap}"));
        replace(&mut config, "\"mysql\"", &format!("\"{}\"", site.kind().name()));
        replace(&mut config, "[\"127.0.0.1\"]", &format!("[\"127.0.0.1:{}\"]", site.port()));
        replace(&mut config, "user = \"rcptd\"", &format!("user = \"{ADMIN}\""));
        replace(&mut config, "/etc/rcptd/mail.password", &folder.path("password").display().to_string());
        replace(&mut config, "database = \"mail\"", &format!("database = \"{}\"", schema.database()));
        writeln!(config, "[[tcp_table]]\nlisten = \"inet:127.0.0.1:{tcp_table}\"\nmap = \"recipients\"")
            .unwrap();
        folder.write("rcptd.conf", &config);
        let smtpd = [0; 3].map(|_| free_port());
        let daemon = Daemon::start(folder);
        Recipe { schema, with_catch_all, daemon, milter, socketmap, tcp_table, smtpd }
    }

    /// Its services in master.cf.
    fn services(&self) -> String {
        let [milter, table, map] = self.smtpd;
        let place = format!("socketmap:inet:127.0.0.1:{}", self.socketmap);
        format!(
            "127.0.0.1:{milter} inet n - n - - smtpd\n  -o smtpd_milters=inet:127.0.0.1:{}\n  \
             -o smtpd_reject_unlisted_recipient=no\n\
             127.0.0.1:{table} inet n - n - - smtpd\n  -o virtual_mailbox_maps={place}:recipients\n\
             127.0.0.1:{map} inet n - n - - smtpd\n  -o virtual_mailbox_maps={place}:accounts\n",
            self.milter
        )
    }

    /// The results for addresses in each of the ways, as the first characters of a reply to RCPT.
    fn ask(&self, postfix: &Postfix, addresses: &[&str]) -> [Vec<String>; 5] {
        let replies = |port| rcpt(port, addresses).iter().map(|reply| codes(reply)).collect::<Vec<_>>();
        let code = |result| match result {
            PostmapResult::Value(_) => FOUND.to_owned(),
            PostmapResult::NotFound => NOT_FOUND.to_owned(),
            PostmapResult::Failure => LATER.to_owned(),
        };
        let look_up = |table: String| postfix.postmap(&table, addresses).into_iter().map(code).collect();
        let [milter, table, map] = self.smtpd;
        let place = format!("socketmap:inet:127.0.0.1:{}", self.socketmap);
        let direct: Vec<String> = look_up(format!("{place}:accounts"));
        assert_eq!(direct, replies(map), "{addresses:?}: the map, and a Postfix with it");
        [
            replies(milter),
            replies(table),
            look_up(format!("{place}:recipients")),
            look_up(format!("tcp:127.0.0.1:{}", self.tcp_table)),
            direct,
        ]
    }

    fn exists(&self, exists: Exists, by_rules: bool) -> bool {
        match exists {
            Exists::Yes => true,
            Exists::ByRule => by_rules || self.with_catch_all,
            Exists::ByCatchAll => self.with_catch_all,
            Exists::No => false,
        }
    }

    /// Compares the results for addresses with the expected ones, which depend on whether rules apply.
    fn compare(&self, postfix: &Postfix, cases: &[(&str, [&str; 2])]) -> Vec<String> {
        let addresses: Vec<&str> = cases.iter().map(|(address, _)| *address).collect();
        let mut faults = Vec::new();
        for ((way, by_rules), answers) in WAYS.iter().zip(self.ask(postfix, &addresses)) {
            for ((address, want), answer) in cases.iter().zip(answers) {
                let want = want[usize::from(*by_rules)];
                if answer != want {
                    let name = format!("{} (catch-all: {})", self.schema.name, self.with_catch_all);
                    faults.push(format!("{name} {address} by {way}: {answer}, want {want}"));
                }
            }
        }
        faults
    }
}

fn check(faults: &[String], recipes: &[Recipe], postfix: &Postfix) {
    let logs = || recipes.iter().map(|recipe| recipe.daemon.log.text()).collect::<Vec<_>>().concat();
    assert!(faults.is_empty(), "{}\n{}\n{}", faults.join("\n"), logs(), postfix.log());
}

async fn recipes(mut site: Site, make: Make) {
    let mut all = Vec::new();
    for schema in schemas::ALL.iter().filter(|schema| make == Make::Mariadb || schema.has_postgresql) {
        create(&site, schema).await;
        all.extend([false, true].map(|with_catch_all| Recipe::start(&site, schema, with_catch_all)));
    }
    let main = "virtual_mailbox_domains = example.com, example.org, example.net\n";
    let services = all.iter().map(Recipe::services).collect::<Vec<_>>().concat();
    let postfix = Postfix::start(main, &services, &[], all.last().unwrap().smtpd[2]);

    let faults = each(&all, |recipe| {
        let code = |exists| if exists { FOUND } else { NOT_FOUND };
        let case = |(address, exists): &(&'static str, Exists)| {
            (*address, [false, true].map(|by_rules| code(recipe.exists(*exists, by_rules))))
        };
        let cases: Vec<_> = CASES.iter().chain(recipe.schema.cases).map(case).collect();
        recipe.compare(&postfix, &cases)
    });
    check(&faults, &all, &postfix);

    // Without its database, rcptd knows only the accounts that it has found.
    site.process().stop();
    let cases = [
        ("ann@example.com", [LATER, FOUND]),
        ("later@example.com", [LATER; 2]),
        ("later-macys-m5@example.com", [LATER; 2]),
    ];
    check(&each(&all, |recipe| recipe.compare(&postfix, &cases)), &all, &postfix);

    site.process().run();
    let faults = each(&all, |recipe| {
        let begin = Instant::now();
        let cases = [("later@example.com", [if recipe.with_catch_all { FOUND } else { NOT_FOUND }; 2])];
        loop {
            let faults = recipe.compare(&postfix, &cases);
            if faults.is_empty() || begin.elapsed() > WAIT {
                return faults;
            }
        }
    });
    check(&faults, &all, &postfix);
}

/// Asks all recipes at the same time, since a client waits for a second after a failure.
fn each(all: &[Recipe], ask: impl Fn(&Recipe) -> Vec<String> + Sync) -> Vec<String> {
    thread::scope(|scope| {
        let asked: Vec<_> = all.iter().map(|recipe| scope.spawn(|| ask(recipe))).collect();
        asked.into_iter().flat_map(|asked| asked.join().unwrap()).collect()
    })
}

#[tokio::test]
async fn accounts_in_mariadb() {
    recipes(Site::server(Make::Mariadb), Make::Mariadb).await;
}

#[tokio::test]
async fn accounts_in_postgresql() {
    recipes(Site::server(Make::Postgresql), Make::Postgresql).await;
}

/// Each recipe in the document is tested.
#[test]
fn all_recipes_are_tested() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/recipes.md");
    let text = fs::read_to_string(document).unwrap();
    let headings: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let tested: Vec<&str> = schemas::ALL.iter().map(|schema| schema.name).collect();
    assert_eq!(headings, tested);
}

//! `rcptd check --accounts`: asks the account sources once, to show whether they work and whether the accounts in the
//! rules exist.

use crate::account::{Lookup, Reason, Sources};
use crate::cli::{exit, terminal};
use crate::config::Config;
use crate::daemon;
use crate::lookup::Answer;
use crate::lookup::control::canary_name;
use crate::resolve::{Outcome, Question, Resolution, Resolver};
use diagnostics::count;
use mail_address::{Address, Malformed, one_line};
use serde_json::json;
use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// Most domains for which the sources are asked, since the lookups are made one after the other.
const MAX_DOMAINS: usize = 100;
/// Most accounts that are looked up, each in each domain of its rules.
const MAX_LOOKUPS: usize = 10_000;
/// Most lookups at the same time. The sources have limits of their own (`account.concurrency`).
const CONCURRENCY: usize = 16;
/// Time limit of the lookups in the sources, and again of those of the accounts. Lookups without a result after this time
/// are reported as "not asked".
const TIME: Duration = Duration::from_mins(1);
/// Most rows of a table; the others are counted.
const MAX_ROWS: usize = 100;

/// Asks, prints the tables or JSON, and returns the exit code.
pub fn run(config: &Config, json: bool) -> u8 {
    let runtime = match terminal::runtime() {
        Ok(runtime) => runtime,
        Err(code) => return code,
    };
    let report = runtime.block_on(ask(config));
    // A name service may hang in a thread.
    runtime.shutdown_background();
    let report = match report {
        Ok(report) => report,
        Err(lines) => {
            terminal::show(&lines.iter().map(|line| config.places.error(line)).collect::<Vec<_>>());
            return exit::CONFIG;
        }
    };
    let text = if json { report.json() } else { report.text() };
    terminal::print(&text).err().unwrap_or(report.code())
}

/// The results.
#[derive(Debug, Default)]
struct Report {
    sources: Vec<Asked>,
    domains: Vec<Asked>,
    accounts: Vec<Account>,
    /// Number of accounts of the rules that were not looked up, since there are too many.
    skipped: usize,
}

/// The result for an account that does not exist, from one source or from all sources of a domain.
#[derive(Debug)]
struct Asked {
    source: Arc<str>,
    domain: String,
    /// `None`: not asked within the time limit.
    result: Option<Lookup<()>>,
}

/// An account that the rules name.
#[derive(Debug)]
struct Account {
    name: String,
    /// Its rule: file and line.
    place: String,
    /// The recipients of its aliases, and their results.
    results: Vec<(Address, State)>,
}

/// The result for a recipient that the rules name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Exists,
    /// With the quote of the source.
    NotFound(String),
    TempFail(String),
    /// The name in the rule cannot be an address: its mail is deferred.
    Invalid(Malformed),
    /// There was no result within the time limit.
    NotAsked,
}

impl State {
    fn of(resolution: &Resolution) -> Self {
        let why = || resolution.why().unwrap_or_default();
        match &resolution.outcome {
            Outcome::Keep | Outcome::Rewrite(_) | Outcome::NotOurs => match accepted_unverified(resolution) {
                Some(reason) => State::TempFail(format!("{reason}; mail is accepted (on_tempfail)")),
                None => State::Exists,
            },
            Outcome::NoSuchUser(_) => State::NotFound(why()),
            Outcome::TempFail(_) => State::TempFail(why()),
        }
    }

    fn word(&self) -> &'static str {
        match self {
            State::Exists => "exists",
            State::NotFound(_) => "not_found",
            State::TempFail(_) => "tempfail",
            State::Invalid(_) => "invalid",
            State::NotAsked => "not_asked",
        }
    }
}

/// The failure of the sources, if mail is accepted in spite of it (`on_tempfail = "accept"`).
fn accepted_unverified(resolution: &Resolution) -> Option<&Reason> {
    resolution.answer.as_ref().and_then(|answer| answer.failure())
}

async fn ask(config: &Config) -> Result<Report, Vec<String>> {
    let (sources, _maps) = daemon::accounts(config, &Arc::default(), None).await?;
    let resolver = Arc::new(daemon::resolver(config, sources.composed.clone(), None));
    let (mut accounts, skipped) = accounts_in_rules(config, &resolver);
    let (asked, domains) = probe(config, &sources).await?;
    look_up(&resolver, &mut accounts).await;
    Ok(Report { sources: asked, domains, accounts, skipped })
}

/// Asks each source, and then all of them together as the daemon does, for a random name in each domain.
async fn probe(config: &Config, sources: &Sources) -> Result<(Vec<Asked>, Vec<Asked>), Vec<String>> {
    let name = canary_name().map_err(|why| vec![why.to_owned()])?;
    let end = Instant::now() + TIME;
    let (mut asked, mut domains) = (Vec::new(), Vec::new());
    let account = |domain: &String| Address::from_rcpt(format!("<{name}@{domain}>").as_bytes());
    for (settings, member) in config.account.sources.iter().zip(&sources.members) {
        // Users of this host are the same at every domain.
        let most = if settings.spec.kind() == "passwd" { 1 } else { MAX_DOMAINS };
        for domain in config.domains.iter().filter(|domain| member.is_for(&account(domain))).take(most) {
            let answer = timeout_at(end, member.source.look_up(&account(domain))).await;
            let result = answer.ok().map(|answer| answer.result);
            // The lookup would fail for the next domain, too.
            let is_last = match &result {
                None => true,
                Some(Lookup::TempFail(why)) => !why.is_uncontrolled(),
                Some(Lookup::Found(()) | Lookup::NotFound) => false,
            };
            asked.push(Asked { source: settings.spec.name().clone(), domain: domain.clone(), result });
            if is_last {
                break;
            }
        }
    }
    for domain in config.domains.iter().take(MAX_DOMAINS) {
        let answer = timeout_at(end, sources.composed.look_up(&account(domain))).await;
        let result = answer.ok().map(|answer| answer.result);
        domains.push(Asked { source: "".into(), domain: domain.clone(), result });
    }
    Ok((asked, domains))
}

/// The accounts in the rules with the recipients of their aliases in the configured domains, and the number of accounts
/// that are skipped, since there are too many.
fn accounts_in_rules(config: &Config, resolver: &Resolver) -> (Vec<Account>, usize) {
    let rules = &config.rules;
    let mut accounts: Vec<Account> = Vec::new();
    let (mut places, mut seen, mut lookups) = (HashMap::new(), HashSet::new(), 0);
    let debug = rules.debug_account().map(|name| (None, name));
    for (statement, name) in rules.account_names().map(|(i, name)| (Some(i), name)).chain(debug) {
        if lookups >= MAX_LOOKUPS {
            break;
        }
        let at = *places.entry(name.to_owned()).or_insert_with(|| {
            let place = statement
                .map_or("debug_account".to_owned(), |statement| rules.statement(statement).to_string());
            accounts.push(Account { name: name.to_owned(), place, results: Vec::new() });
            accounts.len() - 1
        });
        for domain in &config.domains {
            let destination = match statement {
                Some(statement) => rules.destination(statement, name, domain),
                None => Some(Address::new(name, domain)),
            };
            let (address, found) = match destination {
                Some(Ok(address)) if resolver.is_ours(&address) => (address, State::NotAsked),
                Some(Err(why)) => {
                    (Address::from_rcpt(format!("<@{domain}>").as_bytes()), State::Invalid(why))
                }
                // The recipient is in another domain, or depends on the alias.
                _ => continue,
            };
            if seen.insert((at, address.key(true))) {
                accounts[at].results.push((address, found));
                lookups += 1;
            }
        }
    }
    let skipped = rules.accounts().saturating_sub(accounts.len());
    accounts.retain(|account| !account.results.is_empty());
    (accounts, skipped)
}

/// Looks the accounts up as the daemon would for mail to them.
async fn look_up(resolver: &Arc<Resolver>, accounts: &mut [Account]) {
    let end = Instant::now() + TIME;
    let mut places: Vec<(usize, usize)> = Vec::new();
    for (i, account) in accounts.iter().enumerate() {
        let asked = account.results.iter().enumerate().filter(|(_, (_, found))| *found == State::NotAsked);
        places.extend(asked.map(|(j, _)| (i, j)));
    }
    let (mut places, mut running) = (places.into_iter(), JoinSet::new());
    loop {
        while running.len() < CONCURRENCY
            && let Some((i, j)) = places.next()
        {
            let (resolver, recipient) = (resolver.clone(), accounts[i].results[j].0.clone());
            let question = Question { recipient, mta_route: None };
            running.spawn(async move { (i, j, State::of(&resolver.resolve(&question).await)) });
        }
        match timeout_at(end, running.join_next()).await {
            Ok(Some(Ok((i, j, found)))) => accounts[i].results[j].1 = found,
            // A lookup that panicked is reported as not asked.
            Ok(Some(Err(_))) => (),
            Ok(None) | Err(_) => return,
        }
    }
}

impl Account {
    fn any(&self, is: impl Fn(&State) -> bool) -> bool {
        self.results.iter().any(|(_, found)| is(found))
    }

    fn exists(&self) -> bool {
        self.any(|found| *found == State::Exists)
    }

    /// Whether it certainly does not exist in any of its domains: its aliases are rejected or deferred.
    fn is_missing(&self) -> bool {
        self.results.iter().all(|(_, found)| matches!(found, State::NotFound(_) | State::Invalid(_)))
    }

    /// The results that the operator should see.
    fn rows(&self) -> impl Iterator<Item = [String; 3]> {
        self.results.iter().filter(|(_, found)| *found != State::Exists).map(|(address, found)| {
            let state = match found {
                State::Exists => "exists".to_owned(),
                State::NotFound(why) if self.exists() => {
                    format!("{why} (exists in another domain of its rules)")
                }
                State::NotFound(why) => why.clone(),
                State::TempFail(why) => format!("temporary failure: {why}"),
                State::Invalid(why) => format!("cannot be an address: {why}"),
                State::NotAsked => not_asked(),
            };
            let address = match found {
                State::Invalid(_) => self.name.clone(),
                _ => address.to_string(),
            };
            [address, self.place.clone(), state]
        })
    }
}

fn not_asked() -> String {
    format!("not asked within {} s", TIME.as_secs())
}

impl Asked {
    /// The state of a source.
    fn of_source(&self) -> (&'static str, String) {
        match &self.result {
            Some(Lookup::NotFound) => ("works", "works: it does not find a random name".to_owned()),
            Some(Lookup::Found(())) => ("accepts_all", "accepts every name".to_owned()),
            Some(Lookup::TempFail(why)) if why.is_uncontrolled() => {
                ("uncontrolled", format!("result does not count: {why}"))
            }
            Some(Lookup::TempFail(why)) => ("tempfail", format!("temporary failure: {why}")),
            None => ("not_asked", not_asked()),
        }
    }

    /// The result of mail to a name that does not exist.
    fn of_domain(&self) -> (&'static str, String) {
        match &self.result {
            Some(Lookup::NotFound) => ("rejected", "rejected".to_owned()),
            Some(Lookup::Found(())) => ("accepted", "accepted: no source rejects a name".to_owned()),
            Some(Lookup::TempFail(why)) if why.is_accepting() => {
                ("accepted", format!("accepted (on_tempfail): {why}"))
            }
            Some(Lookup::TempFail(why)) => ("deferred", format!("deferred: {why}")),
            None => ("not_asked", not_asked()),
        }
    }
}

impl Report {
    /// 78 if an account certainly does not exist, else 75 if a result is not known, else 0.
    fn code(&self) -> u8 {
        let asked = self.sources.iter().chain(&self.domains);
        let is_unknown = |found: &State| matches!(found, State::TempFail(_) | State::NotAsked);
        if self.accounts.iter().any(Account::is_missing) {
            exit::CONFIG
        } else if asked.clone().any(|one| !matches!(one.result, Some(Lookup::Found(()) | Lookup::NotFound)))
            || self.accounts.iter().any(|account| account.any(is_unknown))
            || self.skipped > 0
        {
            exit::TEMPORARY
        } else {
            exit::OK
        }
    }

    fn text(&self) -> String {
        let mut out = String::new();
        let sources =
            self.sources.iter().map(|one| [one.source.to_string(), one.domain.clone(), one.of_source().1]);
        table(&mut out, ["SOURCE", "DOMAIN", "STATE"], sources.collect());
        if self.sources.iter().any(|one| one.of_source().0 == "tempfail") {
            out.push_str(
                "If a source fails, check that its server runs, and that this user may connect to it. Run this command \
                 as the user of rcptd.\n\n",
            );
        }
        let domains = self.domains.iter().map(|one| [one.domain.clone(), String::new(), one.of_domain().1]);
        table(&mut out, ["DOMAIN", "", "MAIL TO UNKNOWN NAMES"], domains.collect());
        table(
            &mut out,
            ["ACCOUNT", "RULE", "RESULT"],
            self.accounts.iter().flat_map(Account::rows).collect(),
        );
        if self.domains.iter().any(|one| one.of_domain().0 == "accepted") {
            out.push_str(
                "Where mail to unknown names is accepted, aliases with a wrong check code are accepted, too, and \"exist\" \
                 below proves nothing.\n\n",
            );
        }
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{}", self.summary());
        out
    }

    /// The numbers of accounts in the rules, and an explanation of each number.
    fn summary(&self) -> String {
        let all = self.accounts.len();
        let missing = self.accounts.iter().filter(|account| account.is_missing()).count();
        let exist = self.accounts.iter().filter(|account| account.exists()).count();
        let unknown = all - missing - exist;
        let all_accounts = count(all + self.skipped, "account");
        let mut line =
            format!("{all_accounts} in the rules: {exist} {}", if exist == 1 { "exists" } else { "exist" });
        for (number, text) in [(missing, "not found"), (unknown, "not known"), (self.skipped, "not asked")] {
            if number > 0 {
                // Writing to a String cannot fail.
                let _ = write!(line, ", {number} {text}");
            }
        }
        for (number, text) in [
            (missing, "Mail to aliases of accounts that are not found is rejected."),
            (unknown, "\"Not known\": the lookup failed temporarily. The account may exist."),
            (self.skipped, "\"Not asked\": the rules have too many accounts to look up all of them."),
        ] {
            if number > 0 {
                line.push('\n');
                line.push_str(text);
            }
        }
        line
    }

    fn json(&self) -> String {
        let mut out = String::new();
        for one in &self.sources {
            let (result, detail) = one.of_source();
            out += &terminal::json(&json!({
                "kind": "source", "source": &*one.source, "domain": one.domain, "result": result, "detail": detail,
            }));
        }
        for one in &self.domains {
            let (result, detail) = one.of_domain();
            out += &terminal::json(&json!({
                "kind": "domain", "domain": one.domain, "unknown_names": result, "detail": detail,
            }));
        }
        for account in &self.accounts {
            for (address, found) in &account.results {
                let detail = match found {
                    State::NotFound(why) | State::TempFail(why) => Some(why.clone()),
                    State::Invalid(why) => Some(why.to_string()),
                    State::Exists | State::NotAsked => None,
                };
                out += &terminal::json(&json!({
                    "kind": "account", "account": account.name, "rule": account.place, "address": address.to_string(),
                    "result": found.word(), "detail": detail,
                }));
            }
        }
        out
    }
}

/// Adds a table with a heading, if it has rows. Columns without a heading are omitted.
fn table(out: &mut String, heading: [&str; 3], rows: Vec<[String; 3]>) {
    if rows.is_empty() {
        return;
    }
    let more = rows.len().saturating_sub(MAX_ROWS);
    let shown: Vec<[String; 3]> =
        rows.into_iter().take(MAX_ROWS).map(|row| row.map(|cell| one_line(&cell).into_owned())).collect();
    let width = |at: usize| {
        shown.iter().map(|row| row[at].chars().count()).chain([heading[at].len()]).max().unwrap_or_default()
    };
    let (first, second) = (width(0), width(1));
    let mut line = |cells: [&str; 3]| {
        let second = if heading[1].is_empty() { String::new() } else { format!("{:second$}  ", cells[1]) };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{:first$}  {second}{}", cells[0], cells[2]);
    };
    line(heading);
    for row in &shown {
        line([&row[0], &row[1], &row[2]]);
    }
    let _ = if more > 0 { writeln!(out, "and {more} more\n") } else { writeln!(out) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(results: &[State]) -> Account {
        let address = |i: usize| Address::from_rcpt(format!("<foo@d{i}.test>").as_bytes());
        let results = results.iter().enumerate().map(|(i, found)| (address(i), found.clone())).collect();
        Account { name: "foo".into(), place: "a.rules:1".into(), results }
    }

    /// A temporary failure is never "not found".
    #[test]
    fn exit_codes_follow_the_results() {
        let no = || State::NotFound("account not found".into());
        let later = || State::TempFail("down".into());
        for (results, missing, code) in [
            (vec![State::Exists], false, exit::OK),
            (vec![State::Exists, no()], false, exit::OK),
            (vec![no(), no()], true, exit::CONFIG),
            (vec![no(), State::Invalid(Malformed::TooLong)], true, exit::CONFIG),
            (vec![no(), later()], false, exit::TEMPORARY),
            (vec![no(), State::NotAsked], false, exit::TEMPORARY),
            (vec![later(), State::Exists], false, exit::TEMPORARY),
        ] {
            let account = account(&results);
            assert_eq!(account.is_missing(), missing, "{results:?}");
            let report = Report { accounts: vec![account], ..Report::default() };
            assert_eq!(report.code(), code, "{results:?}");
        }
        let report = Report { skipped: 1, ..Report::default() };
        assert_eq!(report.code(), exit::TEMPORARY);
        for (result, code) in [
            (Some(Lookup::NotFound), exit::OK),
            (Some(Lookup::Found(())), exit::OK),
            (Some(Lookup::temp_fail("down")), exit::TEMPORARY),
            (None, exit::TEMPORARY),
        ] {
            let asked = Asked { source: "vrfy:x".into(), domain: "d.test".into(), result };
            let report = Report { sources: vec![asked], ..Report::default() };
            assert_eq!(report.code(), code);
        }
    }

    #[test]
    fn tables_are_aligned_and_limited() {
        let mut out = String::new();
        table(&mut out, ["A", "B", "C"], vec![["long".into(), "x\ny".into(), "z".into()]; MAX_ROWS + 2]);
        assert!(out.starts_with("A     B       C\nlong  x\\x0ay  z\n"), "{out}");
        assert!(out.ends_with("\nand 2 more\n\n"), "{out}");
        assert_eq!(out.lines().count(), 1 + MAX_ROWS + 2);
        out.clear();
        table(&mut out, ["A", "B", "C"], Vec::new());
        assert_eq!(out, "");
    }
}

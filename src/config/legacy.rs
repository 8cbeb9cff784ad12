//! Server statements of trualias, which has them in one file with the rules.
//!
//! Each statement sets the key that replaced it, unless the configuration has that key itself. So a site
//! that used trualias can start with `rules = ["milter_server.conf"]` alone. A statement becomes a value of
//! the raw form, with its own position, and is checked like any other.

use super::raw::{Field, Given, List, Source, Top};
use alias_rules::{Logging, Setting, Settings};
use diagnostics::{Problem, Text};
use std::collections::HashSet;
use std::ops::Range;
use toml::Spanned;

/// Default address of trualias' servers.
pub(super) const HOST: &str = "127.0.0.1";
/// Default port of trualias' servers.
pub(super) const PORT: u16 = 3047;
/// The port of SMTP.
pub(super) const SMTP_PORT: u16 = 25;

/// Sets the keys that `raw` does not have, and reports each statement.
pub(super) fn fill(raw: &mut Top, legacy: &Settings, problems: &mut Vec<Problem>) {
    let mut fill = Fill { problems };
    fill.listen(&mut raw.milter.listen, legacy);
    fill.source(&mut raw.account.source, legacy);
    fill.domains(&mut raw.domains, legacy);
    if let Some(name) = &legacy.local_host {
        let key = Key { name: "account.vrfy.helo", value: quoted(&name.value) };
        fill.one(&mut raw.account.vrfy.helo, &key, &[Statement::new("LOCAL HOST", name)], |_| {
            name.value.clone()
        });
    }
    if let Some(logging) = &legacy.logging {
        let level = level(logging.value);
        let key = Key { name: "log.level", value: quoted(level) };
        fill.one(&mut raw.log.level, &key, &[Statement::new("LOGGING", logging)], |_| level.into());
    }
    if let (Some(there), Some(given)) = (&legacy.debug_account, raw.debug_account.given())
        && there.value != given.value
        && !given.value.is_empty()
    {
        fill.in_vain(&Statement::new("DEBUG ACCOUNT", there), "debug_account");
    }
}

/// Whether rules that could not be parsed to the end may contain a statement for a required key.
pub(super) fn may_stand_in(text: &Text) -> bool {
    text.content.lines().any(|line| {
        let word = line.split_whitespace().next().unwrap_or_default();
        ["SMTP", "LOCAL", "ALIAS"].contains(&word)
    })
}

/// A statement in the rules.
struct Statement<'l> {
    name: &'static str,
    text: &'l Text,
    span: Range<usize>,
}

impl<'l> Statement<'l> {
    fn new<T>(name: &'static str, setting: &'l Setting<T>) -> Self {
        Statement { name, text: &setting.text, span: setting.span.clone() }
    }
}

/// A key and the value to write for it.
struct Key {
    name: &'static str,
    value: String,
}

impl Key {
    /// Returns the remedy: the key to write, and its section.
    fn remedy(&self) -> String {
        match self.name.rsplit_once('.') {
            Some((section, key)) => format!("write {key} = {} below [{section}] instead", self.value),
            None => format!("write {} = {} at the top of the configuration instead", self.name, self.value),
        }
    }
}

struct Fill<'p> {
    problems: &'p mut Vec<Problem>,
}

impl Fill<'_> {
    /// Sets `field` to the combined value of `statements`, at the position of the first of them.
    fn one<T>(
        &mut self,
        field: &mut Field<T>,
        key: &Key,
        statements: &[Statement<'_>],
        value: impl FnOnce(&Range<usize>) -> T,
    ) {
        if !matches!(field, Field::Absent) {
            for statement in statements {
                self.in_vain(statement, key.name);
            }
            return;
        }
        let Some(first) = statements.first() else { return };
        for statement in statements {
            let message = format!("{} is used for {}", statement.name, key.name);
            self.problems
                .push(Problem::note(statement.text, statement.span.clone(), message).help(key.remedy()));
        }
        *field = Field::Given(Given {
            key: key.name,
            text: first.text.clone(),
            span: first.span.clone(),
            value: value(&first.span),
        });
    }

    fn in_vain(&mut self, statement: &Statement<'_>, key: &str) {
        let message = format!("{} has no effect, since the configuration has {key}", statement.name);
        self.problems
            .push(Problem::warning(statement.text, statement.span.clone(), message).help("remove it"));
    }

    fn listen(&mut self, field: &mut Field<List<String>>, legacy: &Settings) {
        let host = legacy.host.as_ref().map_or_else(|| HOST.to_owned(), |host| host.value.to_string());
        let port = legacy.port.as_ref().map_or(PORT, |port| port.value);
        let kind = if host.contains(':') { "inet6" } else { "inet" };
        let endpoint = format!("{kind}:{}:{port}", bracketed(&host));
        let statements: Vec<Statement<'_>> = [
            legacy.host.as_ref().map(|host| Statement::new("HOST", host)),
            legacy.port.as_ref().map(|port| Statement::new("PORT", port)),
        ]
        .into_iter()
        .flatten()
        .collect();
        let key = Key { name: "milter.listen", value: quoted(&endpoint) };
        self.one(field, &key, &statements, |span| list([(span, endpoint)]));
    }

    fn source(&mut self, field: &mut Field<List<Source>>, legacy: &Settings) {
        let Some(host) = &legacy.smtp_host else {
            if let Some(port) = &legacy.smtp_port {
                let message = "SMTP PORT has no effect without SMTP HOST";
                self.problems.push(
                    Problem::warning(&port.text, port.span.clone(), message)
                        .help("write source = \"vrfy:HOST:PORT\" below [account] instead"),
                );
            }
            return;
        };
        let port = legacy.smtp_port.as_ref().map_or(SMTP_PORT, |port| port.value);
        let source = format!("vrfy:{}:{port}", bracketed(&host.value));
        let mut statements = vec![Statement::new("SMTP HOST", host)];
        statements.extend(legacy.smtp_port.as_ref().map(|port| Statement::new("SMTP PORT", port)));
        let key = Key { name: "account.source", value: quoted(&source) };
        self.one(field, &key, &statements, |span| list([(span, Source::Name(source))]));
    }

    /// Sets the domains from the statements of both kinds of server. Without any, the domain of the milter
    /// is its own name.
    fn domains(&mut self, field: &mut Field<List<String>>, legacy: &Settings) {
        let mut statements = Vec::new();
        let mut domains: Vec<String> = Vec::new();
        for (name, setting) in
            [("LOCAL DOMAINS", &legacy.local_domains), ("ALIAS DOMAINS", &legacy.alias_domains)]
        {
            if let Some(setting) = setting {
                statements.push(Statement::new(name, setting));
                domains.extend(setting.value.iter().cloned());
            }
        }
        if let (true, Some(host)) = (statements.is_empty(), &legacy.local_host) {
            if !matches!(field, Field::Absent) {
                // This statement is primarily the name for EHLO, and was reported for that.
                return;
            }
            statements.push(Statement::new("LOCAL HOST", host));
            domains.push(host.value.clone());
        }
        let mut seen = HashSet::new();
        domains.retain(|domain| seen.insert(domain.to_lowercase()));
        let key = Key { name: "domains", value: format!("{domains:?}") };
        self.one(field, &key, &statements, |span| list(domains.into_iter().map(|domain| (span, domain))));
    }
}

fn list<'s, T>(items: impl IntoIterator<Item = (&'s Range<usize>, T)>) -> List<T> {
    let items = items.into_iter().map(|(span, item)| Spanned::new(span.clone(), item)).collect();
    List { items, complete: true }
}

pub(super) fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

fn quoted(text: &str) -> String {
    format!("{text:?}")
}

/// Returns the level that corresponds to a level of trualias' log.
pub(super) fn level(logging: Logging) -> &'static str {
    match logging {
        Logging::Debug => "debug",
        Logging::Info => "info",
        Logging::Warning => "warn",
        Logging::Error | Logging::Critical => "error",
    }
}

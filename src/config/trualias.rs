//! Server statements of trualias, which has them in one file with the rules.
//!
//! Each statement sets the key that replaced it, unless the configuration has that key itself. So a site
//! that used trualias can start with its file alone: such a file in place of the configuration is read as one with
//! `rules = ["milter_server.conf"]` and nothing else. A statement becomes a value of the raw form, with its own position, and is
//! checked like any other.

use super::keys::Top;
use super::read;
use super::value::{Field, Given, List, Source};
use alias_rules::{Logging, Setting, Settings};
use diagnostics::{Problem, Text};
use std::collections::HashSet;
use std::ops::Range;
use toml::Spanned;

/// Default address of trualias' servers.
const HOST: &str = "127.0.0.1";
/// Default port of trualias' servers.
const PORT: u16 = 3047;
/// The port of SMTP.
const SMTP_PORT: u16 = 25;

/// The domain of the names in a table of local parts, whose file names no domain.
const NO_DOMAIN: &str = "localhost";

/// The server that a configuration of trualias is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// `tcp_table_server`: local parts, for `tcp:` in Postfix' `alias_maps` and similar.
    Table,
    /// `tcp_virtual_server`: addresses, for `virtual_alias_maps`.
    Virtual,
    /// `milter_server`: the milter.
    Milter,
}

/// Returns the server that these statements belong to, or else the one that the name of the file suggests.
/// Also returns whether neither is conclusive.
pub(crate) fn server(file: &str, settings: &Settings) -> (Server, bool) {
    let name = file.rsplit('/').next().unwrap_or(file);
    let milter = settings.smtp_host.is_some()
        || settings.smtp_port.is_some()
        || settings.local_host.is_some()
        || settings.local_domains.is_some()
        || settings.case_sensitive.is_some();
    if milter || name.starts_with("milter_server") {
        (Server::Milter, false)
    } else if settings.alias_domains.is_some() || name.starts_with("tcp_virtual_server") {
        (Server::Virtual, false)
    } else {
        (Server::Table, !name.starts_with("tcp_table_server"))
    }
}

/// Returns the sections that serve what a table server of trualias served, where it listened.
pub(crate) fn table(name: &str, view: &str, settings: &Settings) -> String {
    let (name, listen) = (quoted(name), quoted(&endpoint(settings)));
    format!(
        "\n[[map]]\nname = {name}\nsource = \"resolver:{view}\"\n\n\
         [[tcp_table]]\nlisten = {listen}\nmap = {name}\n\n\
         [account]\n# Nothing is verified, as before. To verify accounts, name sources here, such as\n\
         # \"vrfy:127.0.0.1:5025\", \"passwd:\" or \"file:/etc/rcptd/accounts\".\n\
         source = \"none:\"\n",
    )
}

/// Whether this is a configuration of trualias and not of rcptd, by its first line: that of rcptd is in TOML, a key
/// with `=` or a section in brackets, and that of trualias begins with a word in capitals.
pub(super) fn is_configuration(content: &str) -> bool {
    // The parser of the rules says how to save the file.
    let content = content.trim_start_matches('\u{feff}');
    let mut lines = content.lines().map(str::trim);
    let Some(first) = lines.find(|line| !line.is_empty() && !line.starts_with('#')) else { return false };
    let word = first.split(|c: char| c == ':' || c.is_whitespace()).next().unwrap_or_default();
    let rest = first[word.len()..].trim_start();
    word.len() > 1
        && word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
        && !rest.starts_with('=')
}

/// Returns the configuration for a file of trualias, without the keys that its statements set: see [`fill`].
pub(super) fn stand_in(text: &Text) -> Text {
    Text::new(&text.file, "# Upper and lower case differ, as before.\ncase_sensitive = true\n")
}

/// Sets the keys that `raw` does not have, and reports each statement. `alone` is the name of a file of trualias
/// that is the configuration itself. Returns whether it is that of a table of local parts, and names no domain.
pub(super) fn fill(
    raw: &mut Top,
    settings: &Settings,
    alone: Option<&Text>,
    problems: &mut Vec<Problem>,
) -> bool {
    let served = alone.and_then(|text| serve(raw, settings, text, problems));
    let mut fill = Fill { problems };
    if served.is_none() {
        fill.listen(&mut raw.milter.listen, settings);
    }
    fill.source(&mut raw.account.source, settings);
    fill.domains(&mut raw.domains, settings);
    if let Some(name) = &settings.local_host {
        let key = Key { name: "account.smtp.helo", value: quoted(&name.value) };
        fill.one(&mut raw.account.smtp.helo, &key, &[Statement::new("LOCAL HOST", name)], |_| {
            name.value.clone()
        });
    }
    if let Some(logging) = &settings.logging {
        let level = level(logging.value);
        let key = Key { name: "log.level", value: quoted(level) };
        fill.one(&mut raw.log.level, &key, &[Statement::new("LOGGING", logging)], |_| level.into());
    }
    if let (Some(there), Some(given)) = (&settings.debug_account, raw.debug_account.given())
        && there.value != given.value
        && !given.value.is_empty()
    {
        fill.without_effect(&Statement::new("DEBUG ACCOUNT", there), "debug_account");
    }
    served.is_some_and(|server| is_nowhere(server, settings))
}

/// Whether the file is that of a table of local parts, and names no domain.
fn is_nowhere(server: Server, settings: &Settings) -> bool {
    settings.alias_domains.is_none() && server == Server::Table
}

/// Adds the table of a table server to `raw`; returns `None` for a milter.
fn serve(raw: &mut Top, settings: &Settings, text: &Text, problems: &mut Vec<Problem>) -> Option<Server> {
    let (server, assumed) = server(&text.file, settings);
    let (name, view) = match server {
        Server::Table => ("account", "account"),
        Server::Virtual => ("virtual", "virtual_alias"),
        Server::Milter => return None,
    };
    let mut sections = table(name, view, settings);
    let nowhere = is_nowhere(server, settings);
    if nowhere {
        sections.insert_str(0, &format!("domains = [{NO_DOMAIN:?}]\n"));
    }
    let read = read::read(&Text::new(&text.file, &sections));
    (raw.map, raw.tcp_table, raw.account.source) =
        (read.raw.map, read.raw.tcp_table, read.raw.account.source);
    if nowhere {
        raw.domains = read.raw.domains;
    }
    let note = |message: String, help: &str| Problem::note(text, 0..0, message).help(help);
    if assumed {
        let message = "the file is read as one of tcp_table_server, a table of local parts".to_owned();
        let help = "rename it to milter_server.conf or tcp_virtual_server.conf if it belongs to that server";
        problems.push(note(message, help));
    }
    let message =
        format!("the map {view} is served as a tcp_table at {}; it verifies no accounts", endpoint(settings));
    problems.push(note(message, "to verify accounts, convert the file once: rcptd import trualias"));
    Some(server)
}

/// Returns what to add to a file of trualias where this key is missing.
pub(super) fn remedy(key: &str) -> &'static str {
    match key {
        "domains" => {
            "add LOCAL DOMAINS: example.com, with your domains, or convert the file: rcptd import trualias"
        }
        "account.source" => {
            "add SMTP HOST: HOST, the mail server that verifies accounts by VRFY, or convert the file: \
             rcptd import trualias"
        }
        _ => "convert the file: rcptd import trualias",
    }
}

/// Whether rules that could not be parsed to the end may contain a statement for a required key.
pub(super) fn may_set_required_key(text: &Text) -> bool {
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
                self.without_effect(statement, key.name);
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

    fn without_effect(&mut self, statement: &Statement<'_>, key: &str) {
        let message = format!("{} has no effect, since the configuration has {key}", statement.name);
        self.problems
            .push(Problem::warning(statement.text, statement.span.clone(), message).help("remove it"));
    }

    fn listen(&mut self, field: &mut Field<List<String>>, settings: &Settings) {
        let endpoint = endpoint(settings);
        let statements: Vec<Statement<'_>> = [
            settings.host.as_ref().map(|host| Statement::new("HOST", host)),
            settings.port.as_ref().map(|port| Statement::new("PORT", port)),
        ]
        .into_iter()
        .flatten()
        .collect();
        let key = Key { name: "milter.listen", value: quoted(&endpoint) };
        self.one(field, &key, &statements, |span| list([(span, endpoint)]));
    }

    fn source(&mut self, field: &mut Field<List<Source>>, settings: &Settings) {
        let Some(host) = &settings.smtp_host else {
            if let Some(port) = &settings.smtp_port {
                let message = "SMTP PORT has no effect without SMTP HOST";
                self.problems.push(
                    Problem::warning(&port.text, port.span.clone(), message)
                        .help("write source = \"vrfy:HOST:PORT\" below [account] instead"),
                );
            }
            return;
        };
        let source = source(host, settings);
        let mut statements = vec![Statement::new("SMTP HOST", host)];
        statements.extend(settings.smtp_port.as_ref().map(|port| Statement::new("SMTP PORT", port)));
        let key = Key { name: "account.source", value: quoted(&source) };
        self.one(field, &key, &statements, |span| list([(span, Source::Name(source))]));
    }

    /// Sets the domains from the statements of both kinds of server. Without any, the domain of the milter
    /// is its own name.
    fn domains(&mut self, field: &mut Field<List<String>>, settings: &Settings) {
        let mut statements = Vec::new();
        let mut domains: Vec<String> = Vec::new();
        for (name, setting) in
            [("LOCAL DOMAINS", &settings.local_domains), ("ALIAS DOMAINS", &settings.alias_domains)]
        {
            if let Some(setting) = setting {
                statements.push(Statement::new(name, setting));
                domains.extend(setting.value.iter().cloned());
            }
        }
        if let (true, Some(host)) = (statements.is_empty(), &settings.local_host) {
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

/// Returns the endpoint that trualias' server listened on.
pub(crate) fn endpoint(settings: &Settings) -> String {
    let host = settings.host.as_ref().map_or_else(|| HOST.to_owned(), |host| host.value.to_string());
    let port = settings.port.as_ref().map_or(PORT, |port| port.value);
    let kind = if host.contains(':') { "inet6" } else { "inet" };
    format!("{kind}:{}:{port}", bracketed(&host))
}

/// Returns the account source for the mail server that trualias' milter queried.
pub(crate) fn source(host: &Setting<String>, settings: &Settings) -> String {
    let port = settings.smtp_port.as_ref().map_or(SMTP_PORT, |port| port.value);
    format!("vrfy:{}:{port}", bracketed(&host.value))
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

fn quoted(text: &str) -> String {
    format!("{text:?}")
}

/// Returns the level that corresponds to a level of trualias' log.
pub(crate) fn level(logging: Logging) -> &'static str {
    match logging {
        Logging::Debug => "debug",
        Logging::Info => "info",
        Logging::Warning => "warn",
        Logging::Error | Logging::Critical => "error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_trualias_is_told_from_a_configuration() {
        for (content, trualias) in [
            ("", false),
            ("# nothing\n", false),
            ("domains = []", false),
            ("DOMAINS = []", false),
            ("DOMAINS=[]", false),
            ("[milter]", false),
            ("\"HOST\" = 1", false),
            ("Host: x", false),
            ("A = 1", false),
            ("A b", false),
            ("1: 2", false),
            ("HOST: ::1", true),
            ("HOST:::1", true),
            ("# of mx\n\n  SMTP HOST: mx=1", true),
            ("ACCOUNT foo\nMATCHES %account%", true),
            ("PYTHON_IS_311: true", true),
            ("ALIASED foo = bar", true),
            ("\u{feff}HOST: ::1", true),
            ("\u{feff}domains = []", false),
        ] {
            assert_eq!(is_configuration(content), trualias, "{content:?}");
        }
    }
}

//! Converts settings of other programs to a configuration.
//!
//! This module converts those of trualias' servers permanently, which [`legacy`](super::legacy) only reads in
//! place of keys; [`sockmapd`] converts those of sockmapd. Settings without a counterpart are reported.

mod sockmapd;

pub use sockmapd::{Postmap, SOCKMAPD_PORT, Sockmapd, import_sockmapd};

use super::legacy::{HOST, PORT, SMTP_PORT, bracketed, level};
use super::time::show;
use alias_rules::{Difference, Setting, Settings};
use mail_address::{canonical_domain, escape, is_domain};
use std::fmt::Write;
use std::time::Duration;

/// Longest interval between two lines of statistics that is converted: a day.
const MAX_LOG_INTERVAL: Duration = Duration::from_hours(24);

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

/// Writes a configuration with the settings of `legacy`, found in the file called `file`, for rules in
/// `aliases.rules`. It is for `server`, or else for the server that its statements belong to. Also returns
/// the differences.
pub fn import_trualias(file: &str, legacy: &Settings, server: Option<Server>) -> (String, Vec<Difference>) {
    let (was, guessed) = which(file, legacy);
    let (server, guessed) = server.map_or((was, guessed), |server| (server, false));
    let mut import = Import { server, differences: Vec::new() };
    if guessed {
        let text = "is taken for tcp_table_server, a table of local parts: nothing in the file is of another one. If \
                    it was, say so by --server";
        import.say_of_file("the server", text);
    }
    if server == Server::Milter && was != server {
        let text = "becomes a milter: remove tcp: tables from main.cf and add the milter; it rewrites the recipient \
                    itself, and the commands get, stats and jstats are gone";
        import.say_of_file("the table", text);
    }
    let domains = import.domains(legacy);
    let mut out = format!("# Made of {} by \"rcptd import trualias\"; see rcptd.conf(5).\n\n", escape(file));
    // Writing to a String cannot fail.
    let _ = match &domains[..] {
        [] => writeln!(out, "# To be written: the domains of your aliases.\n#domains = [\"example.com\"]"),
        domains => {
            let domains: Vec<String> = domains.iter().map(|domain| quoted(domain)).collect();
            writeln!(out, "domains = [{}]", domains.join(", "))
        }
    };
    out.push_str(
        "rules = [\"aliases.rules\"]\n# Upper and lower case differ, as they did.\ncase_sensitive = true\n",
    );
    if let Some(account) = legacy.debug_account.as_ref().filter(|setting| !setting.value.is_empty()) {
        let _ = writeln!(out, "debug_account = {}", quoted(&account.value));
    }
    match import.server {
        Server::Milter => import.milter(legacy, &mut out),
        Server::Table => import.table(was, legacy, ("account", "account"), &mut out),
        Server::Virtual => import.table(was, legacy, ("virtual", "virtual_alias"), &mut out),
    }
    import.statistics(legacy, &mut out);
    if let Some(logging) = &legacy.logging {
        let level = level(logging.value);
        let _ = writeln!(out, "\n[log]\nlevel = \"{level}\"");
        if level == "warn" || level == "error" {
            let text =
                format!("log.level = \"{level}\" logs no decisions; \"info\" has a line for each recipient");
            import.say("LOGGING", logging, &text);
        }
    }
    import.without_counterpart(legacy);
    (out, import.differences)
}

/// Returns the server that these statements belong to, or else the one that the name of the file suggests.
/// Also returns whether neither is conclusive.
fn which(file: &str, legacy: &Settings) -> (Server, bool) {
    let name = file.rsplit('/').next().unwrap_or(file);
    let milter = legacy.smtp_host.is_some()
        || legacy.smtp_port.is_some()
        || legacy.local_host.is_some()
        || legacy.local_domains.is_some()
        || legacy.case_sensitive.is_some();
    if milter || name.starts_with("milter_server") {
        (Server::Milter, false)
    } else if legacy.alias_domains.is_some() || name.starts_with("tcp_virtual_server") {
        (Server::Virtual, false)
    } else {
        (Server::Table, !name.starts_with("tcp_table_server"))
    }
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn difference(about: &str, text: String) -> Difference {
    Difference { line: None, about: about.into(), text, examples: Vec::new() }
}

struct Import {
    server: Server,
    differences: Vec<Difference>,
}

impl Import {
    fn say<T>(&mut self, about: &str, setting: &Setting<T>, text: &str) {
        let line = Some(setting.text.place(setting.span.start).0);
        self.differences.push(Difference { line, ..difference(about, text.into()) });
    }

    fn say_of_file(&mut self, about: &str, text: &str) {
        self.differences.push(difference(about, text.into()));
    }

    /// Writes the settings of the milter and its account source.
    fn milter(&mut self, legacy: &Settings, out: &mut String) {
        let source = self.source(legacy);
        let _ = writeln!(out, "\n[milter]\nlisten = {}\n\n[account]", quoted(&listen(legacy)));
        let _ = match source {
            Some(source) => writeln!(out, "source = {}", quoted(&source)),
            None => writeln!(
                out,
                "# To be written: who knows which accounts exist.\n#source = \"vrfy:127.0.0.1:5025\""
            ),
        };
        if let Some(name) = &legacy.local_host {
            let _ = writeln!(out, "\n[account.vrfy]\nhelo = {}", quoted(&name.value));
        }
    }

    /// Writes a table of this name and resolver view that is served where the server listened, and nothing else.
    fn table(&mut self, was: Server, legacy: &Settings, (name, view): (&str, &str), out: &mut String) {
        let place = if was == Server::Milter {
            "is served where the milter was: write tcp:HOST:PORT in main.cf and remove the milter there"
        } else {
            "is served where it was, so main.cf stays as it is; no milter is, for that write listen below [milter]"
        };
        let text = format!(
            "{place}. Keys and values are written as tcp_table(5) says (%20 is a blank), which trualias did not do; \
             the commands stats and jstats are the same"
        );
        self.say_of_file("the table", &text);
        let text = "is \"static:exists\": trualias' tables verified nothing, and neither does this one. To verify, \
                    write source = \"vrfy:HOST:PORT\", \"passwd:\" or \"file:/PATH\"";
        self.say_of_file("account.source", text);
        // These are present only if the operator named another server than the statements suggest.
        let text = "is of the milter and left out: the tables asked nobody";
        if let Some(host) = &legacy.smtp_host {
            self.say("SMTP HOST", host, text);
        }
        if let Some(port) = &legacy.smtp_port {
            self.say("SMTP PORT", port, text);
        }
        let is_domain = legacy.local_domains.is_none() && legacy.alias_domains.is_none();
        if let Some(host) = legacy.local_host.as_ref().filter(|_| !is_domain) {
            self.say("LOCAL HOST", host, text);
        }
        let _ = write!(
            out,
            "\n[[map]]\nname = {}\nsource = {}\n\n[[tcp_table]]\nlisten = {}\nmap = {0}\n",
            quoted(name),
            quoted(&format!("resolver:{view}")),
            quoted(&listen(legacy)),
        );
        out.push_str(
            "\n[account]\n# Nothing is verified, as it was. Who is to say which accounts exist, such as\n\
             # \"vrfy:127.0.0.1:5025\", \"passwd:\" or \"file:/etc/rcptd/accounts\", is written here instead.\n\
             source = \"static:exists\"\n",
        );
    }

    fn statistics(&mut self, legacy: &Settings, out: &mut String) {
        let Some(statistics) = &legacy.statistics else { return };
        let Some(seconds) = statistics.value else {
            out.push_str("\n[statistics]\nenabled = false\n");
            return;
        };
        let interval = Duration::from_secs(seconds);
        let _ = write!(
            out,
            "\n[statistics]\nenabled = true\nlog_interval = {}\n",
            quoted(&show(interval.min(MAX_LOG_INTERVAL)))
        );
        let mut text =
            "is [statistics] now; with listen below [control], \"rcptd status\" shows them".to_owned();
        if interval > MAX_LOG_INTERVAL {
            let _ = write!(text, ". They are logged every {}, which is the longest", show(MAX_LOG_INTERVAL));
        }
        self.say("STATISTICS", statistics, &text);
    }

    fn source(&mut self, legacy: &Settings) -> Option<String> {
        let Some(host) = legacy.smtp_host.as_ref() else {
            if let Some(port) = &legacy.smtp_port {
                self.say("SMTP PORT", port, "has no meaning without SMTP HOST and is left out");
            }
            let text = "is to be written: rcptd lets no recipient pass of whom nobody says that he exists";
            self.say_of_file("account.source", text);
            return None;
        };
        let text = "is asked by VRFY as before, but 252 counts only where a random name is refused, and what is not a \
                    clear answer defers the recipient";
        self.say("SMTP HOST", host, text);
        let port = legacy.smtp_port.as_ref().map_or(SMTP_PORT, |port| port.value);
        Some(format!("vrfy:{}:{port}", bracketed(&host.value)))
    }

    fn domains(&mut self, legacy: &Settings) -> Vec<String> {
        let mut domains: Vec<String> = Vec::new();
        let lists = [("LOCAL DOMAINS", &legacy.local_domains), ("ALIAS DOMAINS", &legacy.alias_domains)];
        for (about, setting) in lists {
            let Some(setting) = setting else { continue };
            for domain in &setting.value {
                let canonical = canonical_domain(domain).into_owned();
                if !is_domain(&canonical) {
                    let text = format!("\"{}\" is not a domain and is left out", escape(domain));
                    self.say(about, setting, &text);
                } else if !domains.contains(&canonical) {
                    domains.push(canonical);
                }
            }
        }
        let none = legacy.local_domains.is_none() && legacy.alias_domains.is_none();
        if let Some(host) = legacy.local_host.as_ref().filter(|_| none) {
            let canonical = canonical_domain(&host.value).into_owned();
            if is_domain(&canonical) {
                self.say(
                    "LOCAL HOST",
                    host,
                    "was the only domain, since no other was written; it is in domains",
                );
                domains.push(canonical);
            }
        }
        if domains.is_empty() {
            let text = match self.server {
                Server::Table => {
                    "is to be written: the table did not see domains, rcptd does; a name without one is in the first"
                }
                Server::Virtual | Server::Milter => "is to be written: there is no domain in the file",
            };
            self.say_of_file("domains", text);
        }
        domains
    }

    fn without_counterpart(&mut self, legacy: &Settings) {
        if let Some(processor) = &legacy.processor {
            let text = format!(
                "the Python module {} is not called; \"domains\", \"case_sensitive\" and the account sources do what \
                 such modules did. Look what it did before you go on",
                escape(&processor.value)
            );
            self.say("PROCESSOR", processor, &text);
        }
        if let Some(case) = &legacy.case_sensitive {
            let text = if case.value {
                "was never obeyed, and now it is what it always was"
            } else {
                "was never obeyed: names were compared exactly. To let case not count, set case_sensitive = false"
            };
            self.say("CASE SENSITIVE", case, text);
        }
        if let Some(python) = &legacy.python_is_311 {
            self.say("PYTHON_IS_311", python, "is gone: there is no Python");
        }
    }
}

/// The address that the server listened on.
fn listen(legacy: &Settings) -> String {
    let host = legacy.host.as_ref().map_or_else(|| HOST.to_owned(), |host| host.value.to_string());
    let port = legacy.port.as_ref().map_or(PORT, |port| port.value);
    let kind = if host.contains(':') { "inet6" } else { "inet" };
    format!("{kind}:{}:{port}", bracketed(&host))
}

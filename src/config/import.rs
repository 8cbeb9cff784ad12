//! The settings of the predecessor's servers written down as a configuration: what [`legacy`](super::legacy)
//! lets stand in for a key, for good. What has no counterpart is said.

use super::legacy::{HOST, PORT, SMTP_PORT, bracketed, level};
use crate::addr::{canonical_domain, escape, is_domain};
use crate::rules::{Difference, Legacy, Setting};
use std::fmt::Write;

/// Which of the servers a configuration was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Server {
    /// One of local parts, for `tcp:` in Postfix' `local_recipient_maps` and the like.
    Table,
    /// One of addresses, for `virtual_alias_maps`.
    Virtual,
    Milter,
}

/// Writes a configuration with the settings of `legacy`, found in the file called `file`, for rules in
/// `aliases.rules`. Beside it, what is not as it was.
pub fn import(file: &str, legacy: &Legacy) -> (String, Vec<Difference>) {
    let mut import = Import { server: server(file, legacy), differences: Vec::new() };
    let (domains, listen, source) = (import.domains(legacy), import.listen(legacy), import.source(legacy));
    let mut out = format!("# Made of {} by \"rcptd rules import\"; see rcptd.conf(5).\n\n", escape(file));
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
    let _ = writeln!(out, "\n[milter]\nlisten = {}\n\n[account]", quoted(&listen));
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

/// The server whose statements these are; where they do not say, its file does.
fn server(file: &str, legacy: &Legacy) -> Server {
    let name = file.rsplit('/').next().unwrap_or(file);
    let milter = legacy.smtp_host.is_some()
        || legacy.smtp_port.is_some()
        || legacy.local_host.is_some()
        || legacy.local_domains.is_some()
        || legacy.case_sensitive.is_some();
    if milter || name.starts_with("milter_server") {
        Server::Milter
    } else if legacy.alias_domains.is_some() || name.starts_with("tcp_virtual_server") {
        Server::Virtual
    } else {
        Server::Table
    }
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

struct Import {
    server: Server,
    differences: Vec<Difference>,
}

impl Import {
    fn say<T>(&mut self, about: &str, setting: &Setting<T>, text: &str) {
        let line = Some(setting.text.place(setting.span.start).0);
        let (about, text) = (about.into(), text.into());
        self.differences.push(Difference { line, about, text, examples: Vec::new() });
    }

    fn say_of_file(&mut self, about: &str, text: &str) {
        let (about, text) = (about.into(), text.into());
        self.differences.push(Difference { line: None, about, text, examples: Vec::new() });
    }

    fn listen(&mut self, legacy: &Legacy) -> String {
        let default = format!("inet:{HOST}:{PORT}");
        if self.server != Server::Milter {
            let text = "rcptd is a milter: remove tcp: tables from main.cf and add the milter; it rewrites the \
                        recipient itself, and the commands get, stats and jstats are gone";
            self.say_of_file("the table server", text);
            let text = "was the port of the table; the milter has a port of its own, milter.listen";
            if let Some(host) = &legacy.host {
                self.say("HOST", host, text);
            }
            if let Some(port) = &legacy.port {
                self.say("PORT", port, text);
            }
            return default;
        }
        let host = legacy.host.as_ref().map_or_else(|| HOST.to_owned(), |host| host.value.to_string());
        let port = legacy.port.as_ref().map_or(PORT, |port| port.value);
        let kind = if host.contains(':') { "inet6" } else { "inet" };
        format!("{kind}:{}:{port}", bracketed(&host))
    }

    fn source(&mut self, legacy: &Legacy) -> Option<String> {
        let Some(host) = legacy.smtp_host.as_ref() else {
            if let Some(port) = &legacy.smtp_port {
                self.say("SMTP PORT", port, "has no meaning without SMTP HOST and is left out");
            }
            let text = "is to be written: trualias' tables verified nothing, rcptd lets no recipient pass of whom \
                        nobody says that he exists";
            self.say_of_file("account.source", text);
            return None;
        };
        let text = "is asked by VRFY as before, but 252 counts only where a random name is refused, and what is not a \
                    clear answer defers the recipient";
        self.say("SMTP HOST", host, text);
        let port = legacy.smtp_port.as_ref().map_or(SMTP_PORT, |port| port.value);
        Some(format!("vrfy:{}:{port}", bracketed(&host.value)))
    }

    fn domains(&mut self, legacy: &Legacy) -> Vec<String> {
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
                Server::Table => "is to be written: the table did not see domains, the milter does",
                Server::Virtual | Server::Milter => "is to be written: there is no domain in the file",
            };
            self.say_of_file("domains", text);
        }
        domains
    }

    fn without_counterpart(&mut self, legacy: &Legacy) {
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
        if let Some(statistics) = &legacy.statistics {
            self.say("STATISTICS", statistics, "is gone: rcptd counts always and tells on stopping");
        }
        if let Some(python) = &legacy.python_is_311 {
            self.say("PYTHON_IS_311", python, "is gone: there is no Python");
        }
    }
}

//! Imports a configuration of trualias' servers, which is one file with the rules.
//!
//! `config::trualias` applies these statements at each start; this module converts them once.

use super::{CONFIG, File, Imported, RULES, difference, quoted};
use crate::config::time::show;
pub use crate::config::trualias::Server;
use crate::config::trualias::{self, endpoint, level, source};
use alias_rules::{Difference, Setting, Settings};
use diagnostics::{Problem, Text, count};
use mail_address::{canonical_domain, escape, is_domain};
use std::fmt::Write;
use std::time::Duration;

/// Longest interval between two lines of statistics that is converted: a day.
const MAX_LOG_INTERVAL: Duration = Duration::from_hours(24);

/// Imports a file for `server`, or else for the server that its statements belong to. The error lists all
/// problems, if there is an error.
pub fn import(text: &Text, server: Option<Server>) -> Result<Imported, Vec<Problem>> {
    let alias_rules::Imported { rules, statements, settings, differences: of_rules } =
        alias_rules::import(text)?;
    let (configuration, mut differences) = configuration(&text.file, &settings, server);
    differences.extend(of_rules);
    let files = vec![File::public(CONFIG, configuration), File::public(RULES, rules)];
    Ok(Imported { count: count(statements, "rule"), files, differences })
}

/// Writes a configuration with the settings of `settings`, found in the file called `file`, for rules in
/// [`RULES`]. Also returns the differences.
fn configuration(file: &str, settings: &Settings, server: Option<Server>) -> (String, Vec<Difference>) {
    let (was, guessed) = trualias::server(file, settings);
    let (server, guessed) = server.map_or((was, guessed), |server| (server, false));
    let mut import = Import { server, differences: Vec::new() };
    if guessed {
        let text = "is assumed to be tcp_table_server, a table of local parts: the file has no setting of \
                    another server. If it was another one, name it with --server";
        import.say_of_file("the server", text);
    }
    if server == Server::Milter && was != server {
        let text = "becomes a milter: remove tcp: tables from main.cf and add the milter; it rewrites the recipient \
                    itself, and the commands get, stats and jstats no longer exist";
        import.say_of_file("the table", text);
    }
    let domains = import.domains(settings);
    let mut out =
        format!("# Made from {} by \"rcptd import trualias\"; see rcptd.conf(5).\n\n", escape(file));
    // Writing to a String cannot fail.
    let _ = match &domains[..] {
        [] => writeln!(out, "# Missing: the domains of your aliases.\n#domains = [\"example.com\"]"),
        domains => {
            let domains: Vec<String> = domains.iter().map(|domain| quoted(domain)).collect();
            writeln!(out, "domains = [{}]", domains.join(", "))
        }
    };
    let _ = writeln!(
        out,
        "rules = [{}]\n# Upper and lower case differ, as before.\ncase_sensitive = true",
        quoted(RULES)
    );
    if let Some(account) = settings.debug_account.as_ref().filter(|setting| !setting.value.is_empty()) {
        let _ = writeln!(out, "debug_account = {}", quoted(&account.value));
    }
    match import.server {
        Server::Milter => import.milter(settings, &mut out),
        Server::Table => import.table(was, settings, ("account", "account"), &mut out),
        Server::Virtual => import.table(was, settings, ("virtual", "virtual_alias"), &mut out),
    }
    import.statistics(settings, &mut out);
    if let Some(logging) = &settings.logging {
        let level = level(logging.value);
        let _ = writeln!(out, "\n[log]\nlevel = \"{level}\"");
        if level == "warn" || level == "error" {
            let text =
                format!("log.level = \"{level}\" logs no decisions; \"info\" logs a line for each recipient");
            import.say("LOGGING", logging, &text);
        }
    }
    import.without_counterpart(settings);
    (out, import.differences)
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
    fn milter(&mut self, settings: &Settings, out: &mut String) {
        let source = self.source(settings);
        let _ = writeln!(out, "\n[milter]\nlisten = {}\n\n[account]", quoted(&endpoint(settings)));
        let _ = match source {
            Some(source) => writeln!(out, "source = {}", quoted(&source)),
            None => writeln!(
                out,
                "# Missing: the source that knows which accounts exist.\n#source = \"vrfy:127.0.0.1:5025\""
            ),
        };
        if let Some(name) = &settings.local_host {
            let _ = writeln!(out, "\n[account.smtp]\nhelo = {}", quoted(&name.value));
        }
    }

    /// Writes a table of this name and resolver view that is served where the server listened, and nothing else.
    fn table(&mut self, was: Server, settings: &Settings, (name, view): (&str, &str), out: &mut String) {
        let place = if was == Server::Milter {
            "is served at the address of the milter: write tcp:HOST:PORT in main.cf and remove the milter \
             there"
        } else {
            "is served at the same address, so main.cf needs no change; there is no milter: to run one, \
             write listen below [milter]"
        };
        let text = format!(
            "{place}. Keys and values are encoded as in tcp_table(5) (%20 is a space), which trualias did \
             not do; the commands stats and jstats are unchanged"
        );
        self.say_of_file("the table", &text);
        let text = "is \"none:\": trualias' tables verified nothing, and neither does this one. To verify, \
                    write source = \"vrfy:HOST:PORT\", \"passwd:\" or \"file:/PATH\"";
        self.say_of_file("account.source", text);
        // These are present only if the operator named another server than the statements suggest.
        let text = "belongs to the milter and is left out: the tables verified no accounts";
        if let Some(host) = &settings.smtp_host {
            self.say("SMTP HOST", host, text);
        }
        if let Some(port) = &settings.smtp_port {
            self.say("SMTP PORT", port, text);
        }
        let is_domain = settings.local_domains.is_none() && settings.alias_domains.is_none();
        if let Some(host) = settings.local_host.as_ref().filter(|_| !is_domain) {
            self.say("LOCAL HOST", host, text);
        }
        out.push_str(&trualias::table(name, view, settings));
    }

    fn statistics(&mut self, settings: &Settings, out: &mut String) {
        let Some(statistics) = &settings.statistics else { return };
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
        let mut text = "is log_interval below [statistics] now".to_owned();
        if interval > MAX_LOG_INTERVAL {
            let _ = write!(text, ". They are logged every {}, the longest interval", show(MAX_LOG_INTERVAL));
        }
        self.say("STATISTICS", statistics, &text);
    }

    fn source(&mut self, settings: &Settings) -> Option<String> {
        let Some(host) = settings.smtp_host.as_ref() else {
            if let Some(port) = &settings.smtp_port {
                self.say("SMTP PORT", port, "has no meaning without SMTP HOST and is left out");
            }
            let text = "is missing: rcptd accepts a recipient only if a source confirms that the account \
                        exists";
            self.say_of_file("account.source", text);
            return None;
        };
        let text = "is queried with VRFY as before, but 252 counts only where a random name is rejected, and \
                    an unclear reply defers the recipient";
        self.say("SMTP HOST", host, text);
        Some(source(host, settings))
    }

    fn domains(&mut self, settings: &Settings) -> Vec<String> {
        let mut domains: Vec<String> = Vec::new();
        let lists = [("LOCAL DOMAINS", &settings.local_domains), ("ALIAS DOMAINS", &settings.alias_domains)];
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
        let none = settings.local_domains.is_none() && settings.alias_domains.is_none();
        if let Some(host) = settings.local_host.as_ref().filter(|_| none) {
            let canonical = canonical_domain(&host.value).into_owned();
            if is_domain(&canonical) {
                self.say(
                    "LOCAL HOST",
                    host,
                    "was the only domain, since the file named no other; it is now in domains",
                );
                domains.push(canonical);
            }
        }
        if domains.is_empty() {
            let text = match self.server {
                Server::Table => {
                    "is missing: the table ignored domains, rcptd does not; a name without a domain belongs \
                     to the first one"
                }
                Server::Virtual | Server::Milter => "is missing: the file names no domain",
            };
            self.say_of_file("domains", text);
        }
        domains
    }

    fn without_counterpart(&mut self, settings: &Settings) {
        if let Some(processor) = &settings.processor {
            let text = format!(
                "the Python module {} is not called; \"domains\", \"case_sensitive\" and the account sources \
                 replace most such modules. Check what it did before you go on. To call its functions as before, \
                 write them into the plug-in install/plug-ins/processor.py, and its path in \
                 script = \"exec:/PATH\" (docs/plug-ins.md)",
                escape(&processor.value)
            );
            self.say("PROCESSOR", processor, &text);
        }
        if let Some(case) = &settings.case_sensitive {
            let text = if case.value {
                "had no effect: names were always compared exactly, and still are"
            } else {
                "had no effect: names were compared exactly. To ignore case, set case_sensitive = false"
            };
            self.say("CASE SENSITIVE", case, text);
        }
        if let Some(python) = &settings.python_is_311 {
            self.say("PYTHON_IS_311", python, "is left out: rcptd does not use Python");
        }
    }
}

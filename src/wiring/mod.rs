//! Compares main.cf and master.cf of Postfix with rcptd.conf.
//!
//! Pure: the input is the output of postconf(1) and the state of sockets; the output is a list of
//! [`Finding`]s. Each describes the effect on mail, and the line to write.
//!
//! | file | contents |
//! | --- | --- |
//! | `postfix` | main.cf and master.cf: services, and the value of a parameter for each |
//! | `expand` | expansion of parameters in a value |
//! | `maps` | lists, and the tables in them |
//! | `content` | the content of tables, as far as it is known |
//! | `pattern` | patterns of regexp_table(5) and pcre_table(5) |
//! | `hosts` | whether a client reaches a listener, and whether it is in a network |
//! | `restrictions` | the clients that a service rejects; findings: services that relay for any client |
//! | `ours` | the relevant part of rcptd.conf; recognises milters and tables of rcptd |
//! | `classes` | the address class of a domain |
//! | `domains` | findings: address classes of the domains, and delimiters of extensions |
//! | `recipients` | findings: recipients that a service accepts without rcptd, or rejects before it asks rcptd |
//! | `users` | findings: users of this host that are not in a list of recipients |
//! | `rewriting` | findings: aliases that are accepted but not replaced |
//! | `catch_all` | findings: tables that replace every name of a domain |
//! | `milter` | findings: effects of a milter that does not reply, and settings that prevent it from working |
//! | `tables` | findings: tables of rcptd in Postfix parameters, and tables that Postfix rejects |
//! | `vrfy` | findings: the server that rcptd asks by VRFY or RCPT, and other clients that may send VRFY |
//! | `sockets` | findings: UNIX sockets that Postfix cannot connect to |
//! | `place` | the line of main.cf or master.cf for a finding |

mod catch_all;
mod classes;
mod content;
mod domains;
mod expand;
mod hosts;
mod maps;
mod milter;
mod ours;
mod pattern;
mod place;
mod postfix;
mod recipients;
mod restrictions;
mod rewriting;
mod sockets;
mod tables;
mod users;
mod vrfy;

pub use content::TableText;
pub use ours::Ours;
pub use place::Files;
pub use postfix::{Output, Postfix, Service};
pub use sockets::{Facts, Reach, named as sockets_named};
pub use tables::texts as tables_named;

use content::Content;
use diagnostics::Severity;

/// A problem in the configuration of Postfix and rcptd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The kind of finding, a stable word for tests and scripts.
    pub id: &'static str,
    /// `Error` if mail is lost, misdirected, or wrongly rejected or accepted.
    pub severity: Severity,
    /// The service with the problem; `None` for main.cf or rcptd.conf.
    pub service: Option<String>,
    /// The Postfix parameter with the problem.
    pub parameter: &'static str,
    /// The effect on mail.
    pub message: String,
    /// The remedy, with the line to write.
    pub help: String,
}

/// Collects findings.
struct Findings<'c> {
    postfix: &'c Postfix,
    ours: &'c Ours,
    facts: &'c Facts,
    all: Vec<Finding>,
}

/// A parameter that a finding is about.
#[derive(Clone, Copy)]
struct Parameter<'s> {
    /// The service whose value it is; `None` for that of main.cf.
    service: Option<&'s Service>,
    name: &'static str,
}

impl<'s> Parameter<'s> {
    fn of(service: Option<&'s Service>, name: &'static str) -> Self {
        Parameter { service, name }
    }
}

impl<'c> Findings<'c> {
    /// The content of the tables of `service`, or of main.cf.
    fn content<'s>(&self, service: Option<&'s Service>) -> Content<'s>
    where
        'c: 's,
    {
        Content::new(self.postfix, self.ours, self.facts, service)
    }

    fn add(
        &mut self,
        id: &'static str,
        severity: Severity,
        at: Parameter<'_>,
        message: String,
        help: String,
    ) {
        let Parameter { service, name: parameter } = at;
        let service = service.map(Service::title);
        let message = match &service {
            Some(service) => format!("{service}: {message}"),
            None => message,
        };
        let finding = Finding { id, severity, service, parameter, message, help };
        if !self.all.contains(&finding) {
            self.all.push(finding);
        }
    }

    fn error(&mut self, id: &'static str, at: Parameter<'_>, message: String, help: String) {
        self.add(id, Severity::Error, at, message, help);
    }

    fn warning(&mut self, id: &'static str, at: Parameter<'_>, message: String, help: String) {
        self.add(id, Severity::Warning, at, message, help);
    }
}

/// Runs all checks. Returns the findings, errors first.
pub fn check(postfix: &Postfix, ours: &Ours, facts: &Facts) -> Vec<Finding> {
    let mut findings = Findings { postfix, ours, facts, all: Vec::new() };
    domains::check(&mut findings);
    recipients::check(&mut findings);
    milter::check(&mut findings);
    tables::check(&mut findings);
    catch_all::check(&mut findings);
    restrictions::check(&mut findings);
    vrfy::check(&mut findings);
    sockets::check(&mut findings);
    findings.all.sort_by_key(|finding| finding.severity);
    findings.all
}

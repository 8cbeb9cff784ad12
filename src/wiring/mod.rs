//! Compares main.cf and master.cf of Postfix with rcptd.conf.
//!
//! Pure: the input is the output of postconf(1) and the state of sockets, the output is [`Finding`]s. Each
//! says what happens to mail, and the line to write.
//!
//! | file | owns |
//! | --- | --- |
//! | `postfix` | main.cf and master.cf: parameters, services, what a parameter is for a service |
//! | `expand` | the parameters named in a value |
//! | `maps` | lists and the tables in them |
//! | `content` | what tables have, as far as it is known |
//! | `pattern` | patterns of regexp_table(5) and pcre_table(5) |
//! | `hosts` | which listener a client reaches, and which networks it is in |
//! | `restrictions` | which clients the restrictions of a service refuse; findings: those that relay for any client |
//! | `ours` | the relevant part of rcptd.conf, and which milters and tables are rcptd's |
//! | `classes` | the address class of a domain |
//! | `domains` | findings: our domains, and the delimiters of extensions in them |
//! | `recipients` | findings: recipients that a service accepts without rcptd, or refuses before asking it |
//! | `users` | findings: users of this host that a list of recipients lacks |
//! | `rewriting` | findings: aliases that are accepted and not replaced |
//! | `catch_all` | findings: tables that replace every name of a domain |
//! | `milter` | findings: what Postfix does while the milter does not answer, and what keeps it from working |
//! | `tables` | findings: tables by which Postfix asks rcptd, and those that Postfix refuses |
//! | `vrfy` | findings: the server to which rcptd sends VRFY, and which other clients may send VRFY |
//! | `sockets` | findings: UNIX sockets that Postfix cannot reach |
//! | `place` | the line of main.cf or master.cf that a finding is about |

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

/// A problem of the wiring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The kind of finding, a word for tests and scripts.
    pub id: &'static str,
    /// An error if mail is lost, misdirected, or wrongly refused or accepted.
    pub severity: Severity,
    /// The service that it is about; none for main.cf or rcptd.conf.
    pub service: Option<String>,
    /// The parameter of Postfix to look at.
    pub parameter: &'static str,
    /// What happens to mail.
    pub message: String,
    /// What to do, with the line to write.
    pub help: String,
}

/// Collects findings.
struct Findings<'c> {
    postfix: &'c Postfix,
    ours: &'c Ours,
    facts: &'c Facts,
    all: Vec<Finding>,
}

impl<'c> Findings<'c> {
    /// The content of tables that `service` names, or main.cf.
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
        at: (Option<&Service>, &'static str),
        message: String,
        help: String,
    ) {
        let (service, parameter) = at;
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

    fn error(
        &mut self,
        id: &'static str,
        at: (Option<&Service>, &'static str),
        message: String,
        help: String,
    ) {
        self.add(id, Severity::Error, at, message, help);
    }

    fn warning(
        &mut self,
        id: &'static str,
        at: (Option<&Service>, &'static str),
        message: String,
        help: String,
    ) {
        self.add(id, Severity::Warning, at, message, help);
    }
}

/// All findings, errors first.
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

//! Restrictions of smtpd(8): the clients that a service rejects, and whether it relays mail of any client.

use super::content::Entry;
use super::hosts::is_in_networks;
use super::maps::{Map, words};
use super::postfix::{Postfix, Service};
use super::{Findings, Parameter};
use mail_address::BLANKS;
use std::net::{IpAddr, Ipv4Addr};

/// The lists that smtpd(8) evaluates for a recipient, and for VRFY.
pub const BEFORE_RECIPIENT: [&str; 5] = [
    "smtpd_client_restrictions",
    "smtpd_helo_restrictions",
    "smtpd_sender_restrictions",
    "smtpd_relay_restrictions",
    "smtpd_recipient_restrictions",
];

/// Maximum nesting of restriction classes.
const MAX_CLASSES: usize = 8;
/// Maximum length of a list with its classes.
const MAX_LENGTH: usize = 1 << 16;
/// An address for documentation, which no client in the networks of this host has.
const STRANGER: Client = Client { from: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 77)), encrypts: true };

/// A client that has not logged in.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// Its address.
    pub from: IpAddr,
    /// Whether it uses STARTTLS.
    pub encrypts: bool,
}

/// The effect of a list of restrictions on a client that sends mail to a domain of rcptd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The list does not reject the client.
    Passes,
    /// This word rejects it.
    Refused(String),
    /// This word rejects it, unless a table or program with unknown content permits it.
    Perhaps(String),
}

impl Decision {
    /// The word that rejects in any case.
    pub fn refused_by(&self) -> Option<&str> {
        match self {
            Decision::Refused(word) => Some(word),
            _ => None,
        }
    }
}

/// The value of a parameter, with restriction classes replaced by their members.
pub fn expanded(postfix: &Postfix, service: Option<&Service>, parameter: &str) -> String {
    let mut list = postfix.value(service, parameter);
    let classes = postfix.value(service, "smtpd_restriction_classes");
    if classes.is_empty() || !parameter.ends_with("_restrictions") {
        return list;
    }
    for _ in 0..MAX_CLASSES {
        let expand = |word: &str| {
            if words(&classes).contains(&word) { postfix.value(service, word) } else { word.to_owned() }
        };
        let next = words(&list).into_iter().map(expand).collect::<Vec<_>>().join(", ");
        if next == list || next.len() > MAX_LENGTH {
            break;
        }
        list = next;
    }
    list
}

/// A word of a list, with its table if it takes one.
struct Step<'l> {
    /// The word in lower case.
    word: String,
    table: Option<Map<'l>>,
}

/// The words of a list that decide. Those after warn_if_reject only log.
fn steps(list: &str) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    let mut words = words(list).into_iter();
    let mut only_logs = false;
    while let Some(word) = words.next() {
        let word = word.to_ascii_lowercase();
        if word == "warn_if_reject" {
            only_logs = true;
            continue;
        }
        let asks_table = word.starts_with("check_") && word.ends_with("_access");
        let table = if asks_table { words.next().and_then(Map::parse) } else { None };
        let refuses = word.starts_with("reject") || word.starts_with("defer");
        if !(std::mem::take(&mut only_logs) && refuses) {
            steps.push(Step { word, table });
        }
    }
    steps
}

/// The effect of an access(5) table that matches every key.
#[derive(PartialEq, Eq)]
enum Access {
    Permits,
    Refuses,
    Differs,
}

fn access(findings: &Findings<'_>, service: &Service, table: Option<&Map<'_>>) -> Access {
    let Some(table) = table else { return Access::Differs };
    let Entry::Found(Some(action)) = findings.content(Some(service)).everything(table) else {
        return Access::Differs;
    };
    let action = action.to_ascii_lowercase();
    let first = action.split(BLANKS).find(|word| !word.is_empty()).unwrap_or_default();
    match first {
        "ok" | "permit" => Access::Permits,
        "reject" | "defer" | "discard" => Access::Refuses,
        code if code.len() == 3 && (code.starts_with('4') || code.starts_with('5')) => Access::Refuses,
        number if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => Access::Permits,
        _ => Access::Differs,
    }
}

/// Evaluates a list for `client`.
pub(super) fn decide(
    findings: &Findings<'_>,
    service: &Service,
    parameter: &str,
    client: Client,
) -> Decision {
    let postfix = findings.postfix;
    let list = expanded(postfix, Some(service), parameter);
    let mut sure = true;
    let refused = |word: &str, sure| {
        if sure { Decision::Refused(word.to_owned()) } else { Decision::Perhaps(word.to_owned()) }
    };
    for Step { word, table } in &steps(&list) {
        match word.as_str() {
            "permit" | "permit_auth_destination" => return Decision::Passes,
            "permit_mynetworks" => {
                match is_in_networks(&postfix.value(Some(service), "mynetworks"), client.from) {
                    Some(true) => return Decision::Passes,
                    Some(false) => (),
                    None => sure = false,
                }
            }
            "permit_inet_interfaces" if client.from.is_loopback() => return Decision::Passes,
            "permit_sasl_authenticated" | "permit_tls_clientcerts" | "permit_tls_all_clientcerts" => (),
            "reject" | "defer" => return refused(word, sure),
            "reject_plaintext_session" if !client.encrypts => return refused(word, sure),
            // Policy servers, DNS lists and the like.
            "check_policy_service" => sure = false,
            word if word.starts_with("permit_") => sure = false,
            _ if word.starts_with("check_") => match access(findings, service, table.as_ref()) {
                Access::Permits => return Decision::Passes,
                Access::Refuses => return refused(word, sure),
                Access::Differs => sure = false,
            },
            _ => (),
        }
    }
    Decision::Passes
}

/// The remote clients that may send mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strangers {
    /// All clients.
    Accepted,
    /// Clients that log in.
    LogIn,
    /// Only clients in tables or mynetworks.
    Refused,
}

/// The remote clients from which `service` accepts mail for the domains of rcptd.
pub(super) fn strangers(findings: &Findings<'_>, service: &Service) -> Strangers {
    let refuses = |parameter: &&str| decide(findings, service, parameter, STRANGER) != Decision::Passes;
    let Some(list) = BEFORE_RECIPIENT.iter().find(|parameter| refuses(parameter)) else {
        return Strangers::Accepted;
    };
    let list = expanded(findings.postfix, Some(service), list);
    let logs_in = steps(&list).iter().any(|step| step.word == "permit_sasl_authenticated");
    if logs_in { Strangers::LogIn } else { Strangers::Refused }
}

/// How a list treats mail for other hosts.
enum Relays {
    /// It rejects it.
    No,
    /// Nothing in the list rejects it.
    Unrestricted,
    /// This table permits it.
    By(String),
}

fn relays(findings: &Findings<'_>, service: &Service, parameter: &str) -> Relays {
    let list = expanded(findings.postfix, Some(service), parameter);
    for Step { word, table } in &steps(&list) {
        match word.as_str() {
            "reject" | "defer" | "reject_unauth_destination" | "defer_unauth_destination" => {
                return Relays::No;
            }
            "permit" => return Relays::Unrestricted,
            _ => match access(findings, service, table.as_ref()) {
                Access::Permits => {
                    return Relays::By(table.as_ref().map_or(String::new(), |map| map.text.to_owned()));
                }
                Access::Refuses => return Relays::No,
                Access::Differs => (),
            },
        }
    }
    Relays::Unrestricted
}

/// Reports tables by which a service relays mail of any client.
pub(super) fn check(findings: &mut Findings<'_>) {
    let services: Vec<Service> = findings.postfix.smtpds().cloned().collect();
    for service in &services {
        if findings.postfix.is_local(service) || strangers(findings, service) != Strangers::Accepted {
            continue;
        }
        let lists = ["smtpd_relay_restrictions", "smtpd_recipient_restrictions"];
        let relays = lists.map(|list| (list, relays(findings, service, list)));
        if relays.iter().any(|(_, relays)| matches!(relays, Relays::No)) {
            continue;
        }
        for (list, relays) in relays {
            let Relays::By(table) = relays else { continue };
            findings.error(
                "open-relay",
                Parameter::of(Some(service), list),
                format!(
                    "{table} permits every recipient, including those at other hosts: this host relays mail \
                     from any client"
                ),
                format!("put reject_unauth_destination before it in {list}"),
            );
        }
    }
}

//! Checks the server to which rcptd sends VRFY, and which other clients may send VRFY.

use super::Findings;
use super::maps::{Map, words};
use super::milter::has_milter;
use super::postfix::{Service, is_loopback};
use super::recipients;
use crate::map::purpose::Purpose;

/// Purposes that need the account source, which sends VRFY.
const ASK_ACCOUNTS: &[Purpose] = &[
    Purpose::VirtualAlias,
    Purpose::Recipients,
    Purpose::Account,
    Purpose::SenderLogin,
    Purpose::SenderLoginName,
    Purpose::Access,
];

pub(super) fn check(findings: &mut Findings<'_>) {
    let services: Vec<Service> = findings.postfix.smtpds().cloned().collect();
    for service in &services {
        if !findings.postfix.is_local(service)
            && !findings.postfix.is_yes(Some(service), "disable_vrfy_command")
        {
            findings.warning(
                "vrfy-for-all",
                (Some(service), "disable_vrfy_command"),
                "anybody may ask by VRFY which accounts and aliases exist, without sending mail".to_owned(),
                "main.cf: disable_vrfy_command = yes, with -o disable_vrfy_command=no for the server that rcptd asks \
                 alone"
                    .to_owned(),
            );
        }
    }
    for (source, place) in findings.ours.vrfy.clone() {
        let Some((host, port)) = place else {
            if !source.starts_with("vrfy:unix:") {
                findings.warning(
                    "vrfy-cannot-tell",
                    (None, "smtpd_milters"),
                    format!(
                        "cannot tell which server {source} is: if it is this Postfix, it must not ask rcptd in turn, \
                         or recipients are deferred"
                    ),
                    "name the host and the port in rcptd.conf, source = \"vrfy:127.0.0.1:5025\"".to_owned(),
                );
            }
            continue;
        };
        match services.iter().find(|service| is_at(findings, service, &host, port)) {
            Some(service) => target(findings, service, &source),
            None if is_loopback(&host) => {
                // postscreen(8) replies 252 to VRFY, or passes the client to an smtpd.
                let screened =
                    |service: &Service| service.command == "postscreen" && service.address().1 == Some(port);
                let who = if findings.postfix.services.iter().any(screened) {
                    "postscreen(8) is"
                } else {
                    "no smtpd of master.cf is"
                };
                findings.warning(
                    "vrfy-nobody",
                    (None, "smtpd_milters"),
                    format!(
                        "{source}: {who} at port {port} of this host; unless another mail server is, no account can be \
                         verified and recipients are deferred"
                    ),
                    "take over the service in install/postfix/master.cf.snippet".to_owned(),
                );
            }
            None => (),
        }
    }
}

/// Whether rcptd asks this service.
pub(super) fn is_asked(findings: &Findings<'_>, service: &Service) -> bool {
    let mut places = findings.ours.vrfy.iter().filter_map(|(_, place)| place.as_ref());
    places.any(|(host, port)| is_at(findings, service, host, *port))
}

/// Whether a service is at this host and port.
fn is_at(findings: &Findings<'_>, service: &Service, host: &str, port: u16) -> bool {
    let (at, listens) = service.address();
    let same_host = match at {
        Some(at) => at.eq_ignore_ascii_case(host) || is_loopback(at) && is_loopback(host),
        None => is_here(findings, host),
    };
    service.kind == "inet" && listens == Some(port) && same_host
}

/// Whether a service without an address is bound to this host.
fn is_here(findings: &Findings<'_>, host: &str) -> bool {
    let interfaces = findings.postfix.value(None, "inet_interfaces");
    is_loopback(host)
        || host.eq_ignore_ascii_case(&findings.postfix.value(None, "myhostname"))
        || words(&interfaces).iter().any(|interface| interface.eq_ignore_ascii_case(host))
}

/// The service that rcptd asks.
fn target(findings: &mut Findings<'_>, service: &Service, source: &str) {
    let postfix = findings.postfix;
    let value = |parameter| postfix.value(Some(service), parameter);
    if postfix.is_yes(Some(service), "disable_vrfy_command") {
        findings.error(
            "vrfy-off",
            (Some(service), "disable_vrfy_command"),
            format!("{source} asks this service, which answers 502 to VRFY: all recipients are deferred"),
            "master.cf, for this service: -o disable_vrfy_command=no".to_owned(),
        );
    }
    if has_milter(findings, service) {
        findings.error(
            "vrfy-asks-milter",
            (Some(service), "smtpd_milters"),
            format!(
                "{source} asks this service, whose recipients rcptd's milter is to verify: it lets every name pass to \
                 rcptd, so that VRFY proves nothing and recipients are deferred"
            ),
            "ask an smtpd of its own, with -o smtpd_milters= ; see install/postfix/master.cf.snippet".to_owned(),
        );
    }
    for parameter in [
        "local_recipient_maps",
        "relay_recipient_maps",
        "virtual_mailbox_maps",
        "virtual_alias_maps",
        "recipient_canonical_maps",
        "canonical_maps",
        "smtpd_recipient_restrictions",
        "smtpd_relay_restrictions",
    ] {
        if findings.ours.asks(&value(parameter), Some(service), postfix, ASK_ACCOUNTS) {
            let without = match parameter {
                "local_recipient_maps" => {
                    "-o { local_recipient_maps = unix:passwd.byname $alias_maps }".to_owned()
                }
                "smtpd_recipient_restrictions" => {
                    "-o smtpd_recipient_restrictions=permit_mynetworks,reject".to_owned()
                }
                _ => format!("-o {parameter}="),
            };
            findings.error(
                "vrfy-circle",
                (Some(service), parameter),
                format!(
                    "{source} asks this service, which asks rcptd ({parameter}), which asks this service: no recipient \
                     gets an answer, all are deferred"
                ),
                format!("master.cf, for this service: {without}"),
            );
        }
    }
    says_yes_to_all(findings, service, source);
    says_later(findings, service, source);
}

/// Reports settings that make the service reply 252 for every name.
fn says_yes_to_all(findings: &mut Findings<'_>, service: &Service, source: &str) {
    if has_milter(findings, service) {
        return;
    }
    for (class, _) in recipients::classes(findings) {
        let list = findings.postfix.value(Some(service), class.recipients());
        let opened = Map::all(&list)
            .iter()
            .flat_map(Map::inline_keys)
            .find(|key| key.strip_prefix('@').is_some_and(|domain| findings.ours.has_domain(domain)))
            .map(|key| format!("{} has every name of {key}", class.recipients()));
        let Some(why) = recipients::open_because(findings, service, class).or(opened) else { continue };
        findings.error(
            "vrfy-open",
            (Some(service), class.recipients()),
            format!(
                "{source} asks this service, and {why}: it says 252 to names that do not exist, so that recipients are \
                 deferred"
            ),
            format!(
                "master.cf, for this service: {}, with smtpd_reject_unlisted_recipient = yes",
                recipients::known_line(class)
            ),
        );
    }
}

/// Reports settings that make the service reply 4xx for names that do not exist.
fn says_later(findings: &mut Findings<'_>, service: &Service, source: &str) {
    let postfix = findings.postfix;
    let code = postfix.value(Some(service), "unknown_local_recipient_reject_code");
    let soft = postfix.is_yes(Some(service), "soft_bounce");
    if soft || code.starts_with('4') {
        let (parameter, line) = if soft {
            ("soft_bounce", "-o soft_bounce=no")
        } else {
            ("unknown_local_recipient_reject_code", "-o unknown_local_recipient_reject_code=550")
        };
        findings.warning(
            "vrfy-soft",
            (Some(service), parameter),
            format!(
                "{source} asks this service, which says 450 to names that do not exist: they are deferred instead of \
                 refused"
            ),
            format!("master.cf, for this service: {line}"),
        );
    }
}

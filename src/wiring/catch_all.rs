//! Checks for tables that replace every name of a domain of rcptd.

use super::content::Entry;
use super::maps::Map;
use super::postfix::Service;
use super::rewriting::{REWRITING, is_for_recipients};
use super::vrfy::is_asked;
use super::{Findings, Parameter};

pub(super) fn check(findings: &mut Findings<'_>) {
    let cleanups: Vec<Service> =
        findings.postfix.services.iter().filter(|service| service.command == "cleanup").cloned().collect();
    // `vrfy` reports the tables of the service that rcptd asks.
    let smtpds: Vec<Service> =
        findings.postfix.smtpds().filter(|service| !is_asked(findings, service)).cloned().collect();
    for (parameter, classes) in REWRITING {
        let own = cleanups.iter().chain(&smtpds).filter(|service| service.sets(parameter)).map(Some);
        for service in std::iter::once(None).chain(own) {
            if is_for_recipients(findings.postfix, service, classes) {
                one(findings, service, parameter);
            }
        }
    }
}

fn one(findings: &mut Findings<'_>, service: Option<&Service>, parameter: &'static str) {
    let list = findings.postfix.value(service, parameter);
    let at = Parameter::of(service, parameter);
    // Resolve the paths of sockets as cleanup(8) does.
    let asking = service.or_else(|| findings.postfix.internal("cleanup"));
    let content = findings.content(asking);
    let domains: Vec<&str> = findings.ours.domains.iter().map(|(domain, _)| domain.as_str()).collect();
    for map in Map::listed(&list) {
        let has_all = |domain: &&&str| matches!(content.covers(&map, domain), Entry::Found(_));
        let may_have = |domain: &&&str| content.covers(&map, domain) == Entry::CannotTell;
        if let Some(domain) = domains.iter().find(has_all) {
            let whose = match content.everything(&map) {
                Entry::Found(_) => "every address".to_owned(),
                _ => format!("@{domain}"),
            };
            findings.error(
                "catch-all",
                at,
                format!(
                    "{} matches {whose}: mail to mistyped aliases and to names that do not exist is \
                     delivered there instead of being rejected",
                    map.text
                ),
                format!("take it out of {parameter}"),
            );
        } else if let Some(domain) = domains.iter().find(may_have) {
            findings.warning(
                "catch-all-cannot-tell",
                at,
                format!(
                    "cannot tell whether {} matches every name at {domain}: if it does, mail to mistyped \
                     aliases and to names that do not exist is delivered there instead of being rejected",
                    map.text
                ),
                format!("check that postmap -q @{domain} {} prints nothing", map.text),
            );
        }
    }
}

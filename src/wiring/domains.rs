//! Checks the address classes of the domains of rcptd, and the delimiters of extensions.

use super::classes::{Class, Classified, Has, class_of, has};
use super::maps::Map;
use super::{Findings, Parameter};

pub(super) fn check(findings: &mut Findings<'_>) {
    let domains = findings.ours.domains.clone();
    let delimiters = findings.postfix.value(None, "recipient_delimiter");
    for (domain, ours) in &domains {
        of_a_class(findings, domain);
        extensions(findings, domain, ours, &delimiters);
    }
    separators(findings, &delimiters);
    every_domain(findings);
}

/// Reports tables that make every domain a local one.
fn every_domain(findings: &mut Findings<'_>) {
    for class in Class::ALL {
        let postfix = findings.postfix;
        let list = postfix.value(None, class.domains());
        let content = findings.content(postfix.internal("rewrite"));
        let maps = Map::listed(&list);
        let Some(map) = maps.iter().find(|map| content.has_every_domain(map)) else { continue };
        let help = format!("main.cf: take {} out of {}", map.text, class.domains());
        if class == Class::Relay {
            findings.error(
                "open-relay",
                Parameter::of(None, class.domains()),
                format!(
                    "{} matches every domain: this host relays mail from any client to any domain",
                    map.text
                ),
                help,
            );
        } else {
            findings.error(
                "every-domain",
                Parameter::of(None, class.domains()),
                format!(
                    "{} matches every domain: mail to other hosts is treated as mail to this one",
                    map.text
                ),
                help,
            );
        }
    }
}

fn of_a_class(findings: &mut Findings<'_>, domain: &str) {
    let postfix = findings.postfix;
    match class_of(findings, domain) {
        Classified::As(class) => {
            let second = Class::ALL
                .into_iter()
                .filter(|other| *other > class)
                .find(|other| has(findings, *other, domain) == Has::Yes);
            if let Some(second) = second.filter(|second| *second != Class::Relay) {
                let (first, second) = (class.domains(), second.domains());
                findings.warning(
                    "domain-in-two-classes",
                    Parameter::of(None, second),
                    format!("{domain} is in {first} and in {second}: Postfix delivers by {first} and logs a warning"),
                    format!("take {domain} out of {second}"),
                );
            }
        }
        Classified::Foreign => findings.error(
            "domain-not-here",
            Parameter::of(None, "mydestination"),
            format!(
                "{domain} is in none of mydestination, virtual_alias_domains, virtual_mailbox_domains and \
                 relay_domains: Postfix rejects its recipients with \"Relay access denied\", or relays their \
                 mail to another host"
            ),
            format!(
                "main.cf: mydestination = {}, or take {domain} out of domains in rcptd.conf",
                with(&postfix.value(None, "mydestination"), domain)
            ),
        ),
        Classified::CannotTell(lists) => {
            let (class, list) = &lists[0];
            let test = if list.starts_with('/') {
                format!("check whether {list} has it")
            } else {
                format!("check whether postmap -q {domain} {list} finds it")
            };
            findings.warning(
                "domain-cannot-tell",
                Parameter::of(None, class.domains()),
                format!(
                    "cannot tell whether {domain} is in {}, which is looked up in {}: if it is not, its mail \
                     is rejected or goes elsewhere",
                    class.domains(),
                    lists.iter().map(|(_, list)| list.as_str()).collect::<Vec<_>>().join(", ")
                ),
                format!("{test}, or name it in main.cf"),
            );
        }
    }
}

/// Appends a word to a list.
fn with(list: &str, word: &str) -> String {
    if list.is_empty() { word.to_owned() } else { format!("{list}, {word}") }
}

fn extensions(findings: &mut Findings<'_>, domain: &str, ours: &str, postfix: &str) {
    let missing: String = postfix.chars().filter(|c| !ours.contains(*c)).collect();
    let extra: String = ours.chars().filter(|c| !postfix.contains(*c)).collect();
    if !missing.is_empty() {
        let c = missing.chars().next().unwrap_or('+');
        findings.error(
            "delimiter-missing",
            Parameter::of(None, "recipient_delimiter"),
            format!(
                "Postfix delivers user{c}extension@{domain} to user, but the delimiters of rcptd do \
                 not include {}: rcptd rejects such recipients with 550",
                list(&missing)
            ),
            format!("rcptd.conf: [[normalise]] delimiters = \"{ours}{missing}\""),
        );
    }
    if !extra.is_empty() {
        let c = extra.chars().next().unwrap_or('+');
        findings.error(
            "delimiter-extra",
            Parameter::of(None, "recipient_delimiter"),
            format!(
                "rcptd treats user{c}extension@{domain} as user, but recipient_delimiter of Postfix does \
                 not include {}: such mail is accepted, and bounces because user{c}extension does not exist",
                list(&extra)
            ),
            format!("main.cf: recipient_delimiter = {postfix}{extra}, or rcptd.conf: delimiters = \"{}\"", {
                ours.chars().filter(|c| postfix.contains(*c)).collect::<String>()
            }),
        );
    }
}

fn list(marks: &str) -> String {
    marks.chars().map(|c| format!("\"{c}\"")).collect::<Vec<_>>().join(" and ")
}

/// Reports rules in which a delimiter of Postfix separates the parts of a name.
fn separators(findings: &mut Findings<'_>, delimiters: &str) {
    let Some((rule, prefix, account, more)) = findings.ours.unprotected(delimiters) else { return };
    let more = if more == 0 { String::new() } else { format!(" and of {more} more") };
    findings.warning(
        "delimiter-in-rules",
        Parameter::of(None, "recipient_delimiter"),
        format!(
            "the check code of the rule {rule}{more} protects nothing: Postfix treats everything after \
             \"{prefix}\" as an extension and delivers the mail to {account}"
        ),
        format!(
            "separate the parts of the rule with another character, or main.cf: remove the separator of the \
             rule from recipient_delimiter, which has {}",
            list(delimiters)
        ),
    );
}

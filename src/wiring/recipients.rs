//! Checks which recipients a service accepts without asking rcptd, and which it rejects before it asks rcptd.
//!
//! smtpd(8) accepts a recipient that is not in the list of recipients only if that list is empty. So for each
//! service and each class of the domains, one of these is right: the list matches all names of the domains
//! and the milter decides; the list asks rcptd, and the milter or cleanup(8) replaces aliases; the list is
//! closed, and the service does not use rcptd.

use super::classes::{Class, Classified, class_of, others, parents_match};
use super::content::Entry;
use super::maps::{Map, words};
use super::milter::has_milter;
use super::postfix::Service;
use super::restrictions::{Strangers, strangers};
use super::rewriting::{self, REWRITING, never_resolved, resolves};
use super::users::local_users;
use super::vrfy::is_asked;
use super::{Findings, Parameter};
use crate::resolve::view::ResolverView;
use diagnostics::Severity;
use std::collections::BTreeSet;

/// The maps of rcptd by which Postfix knows that an alias exists.
const KNOWS: &[ResolverView] = &[ResolverView::Recipients, ResolverView::VirtualAlias, ResolverView::Account];

pub(super) fn check(findings: &mut Findings<'_>) {
    let classes = classes(findings);
    let services: Vec<Service> = findings.postfix.smtpds().cloned().collect();
    let mut wired = Vec::new();
    let mut left_out = Vec::new();
    for service in &services {
        let (postfix, ours) = (findings.postfix, findings.ours);
        let list = |class: Class| postfix.value(Some(service), class.recipients());
        let asks = has_milter(findings, service)
            || Class::ALL.into_iter().any(|class| ours.asks(&list(class), Some(service), postfix, KNOWS));
        // A service for clients of this site, not for mail to aliases: for VRFY, or for mail from a content
        // filter.
        let is_inner = strangers(findings, service) == Strangers::Refused
            && (is_asked(findings, service)
                || classes.iter().all(|(class, _)| open_because(findings, service, *class).is_some()));
        for (class, domains) in &classes {
            class_at(findings, service, *class, domains);
        }
        if asks {
            wired.push(service);
        } else if !findings.postfix.is_local(service) && !is_inner {
            left_out.push(service);
        }
    }
    let names =
        findings.ours.domains.iter().map(|(domain, _)| domain.as_str()).collect::<Vec<_>>().join(", ");
    if names.is_empty() {
        return;
    }
    if wired.is_empty() {
        findings.error(
            "not-wired",
            Parameter::of(None, "smtpd_milters"),
            format!(
                "no service in master.cf asks rcptd, by smtpd_milters or by a table: aliases at {names} are \
                 rejected or bounce"
            ),
            "copy the lines in install/postfix for one of the wirings in MILTER_README.md".to_owned(),
        );
        return;
    }
    for service in left_out {
        findings.warning(
            "service-not-wired",
            Parameter::of(Some(service), "smtpd_milters"),
            format!("this service does not ask rcptd: mail to an alias at {names} is rejected with 550"),
            format!("add the -o lines of {} to it, if its clients send mail to aliases", wired[0].title()),
        );
    }
}

/// The classes of the domains of rcptd, each with its domains. If the class of a domain is unknown, all
/// possible classes.
pub(super) fn classes(findings: &Findings<'_>) -> Vec<(Class, Vec<String>)> {
    let mut all: Vec<(Class, Vec<String>)> = Vec::new();
    for (domain, _) in &findings.ours.domains {
        let of = match class_of(findings, domain) {
            Classified::As(class) => vec![class],
            Classified::Foreign => Vec::new(),
            Classified::CannotTell(lists) => {
                lists.into_iter().map(|(class, _)| class).collect::<BTreeSet<_>>().into_iter().collect()
            }
        };
        for class in of {
            match all.iter_mut().find(|(known, _)| *known == class) {
                Some((_, domains)) => domains.push(domain.clone()),
                None => all.push((class, vec![domain.clone()])),
            }
        }
    }
    all
}

/// The reason why a service accepts every recipient of a class.
pub(super) fn open_because(findings: &Findings<'_>, service: &Service, class: Class) -> Option<String> {
    let postfix = findings.postfix;
    let value = |parameter| postfix.value(Some(service), parameter);
    let list = value(class.recipients());
    // In a virtual alias domain, only addresses in the list exist.
    if list.is_empty() && class != Class::VirtualAlias {
        return Some(format!("{} is empty", class.recipients()));
    }
    let content = findings.content(Some(service));
    let everything = |map: &&Map<'_>| matches!(content.everything(map), Entry::Found(_));
    if let Some(map) = Map::listed(&list).iter().find(everything) {
        return Some(format!("{} has {}, which matches every name", class.recipients(), map.text));
    }
    let named = ["smtpd_recipient_restrictions", "smtpd_relay_restrictions"]
        .iter()
        .any(|restrictions| words(&value(restrictions)).contains(&"reject_unlisted_recipient"));
    if !named && !postfix.is_yes(Some(service), "smtpd_reject_unlisted_recipient") {
        return Some("smtpd_reject_unlisted_recipient is no".to_owned());
    }
    let options = value("receive_override_options");
    (!named && words(&options).contains(&"no_unknown_recipient_checks"))
        .then(|| "receive_override_options has no_unknown_recipient_checks".to_owned())
}

fn opens_domains(findings: &mut Findings<'_>, at: Parameter<'_>, class: Class, domains: &str, milter: bool) {
    let why =
        if milter { "rcptd decides about its own domains only" } else { "this service does not ask rcptd" };
    findings.error(
        "opens-domain",
        at,
        format!(
            "{} accepts every name at {domains}, and {why}: mail to names that do not exist there is \
             accepted and bounces to senders that are often forged",
            class.recipients()
        ),
        format!("take {domains} out of the table"),
    );
}

fn open_in_dry_run(findings: &mut Findings<'_>, at: Parameter<'_>, class: Class) {
    findings.error(
        "open-in-dry-run",
        at,
        "dry_run is on, so rcptd rejects no recipient, and the list of recipients matches every name: mail \
         to names that do not exist is accepted and bounces"
            .to_owned(),
        format!("close {} until dry_run = false is in rcptd.conf", class.recipients()),
    );
}

/// Checks one class at one service.
fn class_at(findings: &mut Findings<'_>, service: &Service, class: Class, domains: &[String]) {
    let (postfix, ours) = (findings.postfix, findings.ours);
    let at = Parameter::of(Some(service), class.recipients());
    let list = postfix.value(Some(service), class.recipients());
    let aliases = postfix.value(Some(service), "virtual_alias_maps");
    let asked_aliases = REWRITING.iter().any(|(parameter, _)| {
        ours.asks(&postfix.value(Some(service), parameter), Some(service), postfix, KNOWS)
    });
    if class == Class::VirtualAlias {
        virtual_alias(findings, service, domains, &aliases);
        return;
    }
    let asked = ours.asks(&list, Some(service), postfix, KNOWS);
    let milter = has_milter(findings, service);
    let open = open_because(findings, service, class);
    let maps = Map::all(&list);
    let listed = Map::listed(&list);
    let opened = opened(findings, service, &listed, domains);
    match (&open, milter) {
        (Some(why), true) => opens_others(findings, at, class, domains, why),
        // `vrfy` reports it.
        (Some(_), false) if is_asked(findings, service) => (),
        (Some(why), false) => open_without_rcptd(findings, at, class, domains, why),
        (None, _) => {
            let asked_here = !milter && is_asked(findings, service);
            let foreign: Vec<&str> =
                opened.iter().map(String::as_str).filter(|d| !milter || !ours.has_domain(d)).collect();
            if !foreign.is_empty() && !asked_here {
                opens_domains(findings, at, class, &foreign.join(", "), milter);
            }
            if milter && !asked && !asked_aliases {
                let closed: Vec<&String> =
                    domains.iter().filter(|d| !opened.iter().any(|o| o.eq_ignore_ascii_case(d))).collect();
                closed_before_milter(findings, at, class, &closed, &listed);
            }
        }
    }
    let ours_opened = open.is_some() || opened.iter().any(|domain| ours.has_domain(domain));
    if milter && ours.dry_run && ours_opened {
        open_in_dry_run(findings, at, class);
    }
    if class == Class::Local && open.is_none() {
        local_users(findings, at, &list, &maps, !opened.is_empty() || asked);
    }
    if (asked || asked_aliases)
        && !milter
        && !resolves(findings, service)
        && !rewriting::resolves_after_filter(findings, service)
    {
        never_resolved(findings, service, class);
    }
}

/// The domains for which a list matches every name, among those in `inline:` tables and those of rcptd.
fn opened(findings: &Findings<'_>, service: &Service, listed: &[Map<'_>], domains: &[String]) -> Vec<String> {
    let content = findings.content(Some(service));
    let mut named: Vec<String> = domains.to_vec();
    for map in listed.iter().flat_map(|map| Map::all(map.text)) {
        let keys = map.inline_keys().into_iter().filter_map(|key| key.strip_prefix('@'));
        let new: Vec<String> = keys
            .filter(|key| !named.iter().any(|name| name.eq_ignore_ascii_case(key)))
            .map(str::to_owned)
            .collect();
        named.extend(new);
    }
    let has_all =
        |domain: &String| listed.iter().any(|map| matches!(content.covers(map, domain), Entry::Found(_)));
    named.into_iter().filter(has_all).collect()
}

/// The line that opens the domains of rcptd only.
fn closing_line(class: Class, domains: &[String]) -> String {
    let keys = domains.iter().map(|domain| format!("{{@{domain} = OK}}")).collect::<Vec<_>>().join(", ");
    let known = match class {
        Class::Local => "unix:passwd.byname $alias_maps ",
        _ => "",
    };
    format!("-o {{ {} = {known}inline:{{ {keys} }} }}", class.recipients())
}

/// The line by which Postfix knows the recipients of a class.
pub(super) fn known_line(class: Class) -> String {
    match class {
        Class::Local => "local_recipient_maps = proxy:unix:passwd.byname $alias_maps".to_owned(),
        _ => format!("{} = the table of its recipients", class.recipients()),
    }
}

/// Reports other domains that are open, for a service with the milter and an open list.
fn opens_others(findings: &mut Findings<'_>, at: Parameter<'_>, class: Class, domains: &[String], why: &str) {
    let (names, tables) = others(findings, class);
    let mut open: Vec<String> = names;
    if class == Class::Local {
        open.push("the addresses of this host, as in nobody@[127.0.0.1]".to_owned());
    }
    if class == Class::Relay && parents_match(findings.postfix) {
        open.push("domains below ours".to_owned());
    }
    let help = format!("master.cf, for this service: {}", closing_line(class, domains));
    if !open.is_empty() {
        findings.error(
            "opens-others",
            at,
            format!(
                "{why}, and rcptd decides about its own domains only: mail to names that do not exist at {} \
                 is accepted and bounces to senders that are often forged",
                open.join(", ")
            ),
            help,
        );
    } else if !tables.is_empty() {
        findings.warning(
            "opens-others-cannot-tell",
            at,
            format!(
                "{why}, and rcptd decides about its own domains only; cannot tell which other domains {} \
                 has: mail to names that do not exist there is accepted and bounces",
                tables.join(", ")
            ),
            help,
        );
    }
}

fn open_without_rcptd(
    findings: &mut Findings<'_>,
    at: Parameter<'_>,
    class: Class,
    domains: &[String],
    why: &str,
) {
    let Some(service) = at.service else { return };
    let names = domains.join(", ");
    let local = findings.postfix.is_local(service);
    let (id, severity, whose) = match strangers(findings, service) {
        // Mail from a content filter was checked by another service. That is the usual configuration.
        _ if local => ("open-to-this-host", Severity::Note, "programs on this host may send"),
        Strangers::Refused => ("open-to-networks", Severity::Note, "clients in its networks may send"),
        Strangers::LogIn => ("open-to-users", Severity::Warning, "users who log in may send"),
        Strangers::Accepted => ("open-without-rcptd", Severity::Error, "any client may send"),
    };
    let help = if severity == Severity::Note {
        "correct for mail that comes back from a content filter; otherwise leave the list as it is in main.cf"
            .to_owned()
    } else {
        format!("wire it like the other services, or main.cf: {}", known_line(class))
    };
    findings.add(
        id,
        severity,
        at,
        format!(
            "{why}, and this service does not ask rcptd's milter: {whose} mail to names that do not exist at \
             {names}, which is accepted and bounces"
        ),
        help,
    );
}

fn closed_before_milter(
    findings: &mut Findings<'_>,
    at: Parameter<'_>,
    class: Class,
    closed: &[&String],
    maps: &[Map<'_>],
) {
    let domains: Vec<String> = closed.iter().map(|domain| (*domain).clone()).collect();
    if domains.is_empty() {
        return;
    }
    let names = domains.join(", ");
    let help = format!("master.cf, for this service: {}", closing_line(class, &domains));
    let content = findings.content(at.service);
    let may_have =
        |map: &&Map<'_>| domains.iter().any(|domain| content.covers(map, domain) == Entry::CannotTell);
    let unknown: Vec<&str> = maps.iter().filter(may_have).map(|map| map.text).collect();
    if findings.ours.dry_run {
        findings.add(
            "closed-while-observing",
            Severity::Note,
            at,
            format!(
                "aliases at {names} are rejected before rcptd sees them; dry_run sees only other recipients"
            ),
            format!("when dry_run is off: {help}"),
        );
    } else if unknown.is_empty() {
        findings.error(
            "closed-before-rcptd",
            at,
            format!(
                "{} does not have the aliases at {names}: they are rejected with 550 before rcptd is asked",
                class.recipients()
            ),
            help,
        );
    } else {
        findings.warning(
            "closed-cannot-tell",
            at,
            format!(
                "cannot tell whether {} has all names at {names}: if it does not, aliases are rejected with \
                 550 before rcptd is asked",
                unknown.join(", ")
            ),
            format!("check what postmap -q @{} {} prints; if nothing, {help}", domains[0], unknown[0]),
        );
    }
}

/// Checks a virtual alias domain, to which lists of recipients do not apply.
fn virtual_alias(findings: &mut Findings<'_>, service: &Service, domains: &[String], aliases: &str) {
    let (postfix, ours) = (findings.postfix, findings.ours);
    let names = domains.join(", ");
    let at = Parameter::of(Some(service), "virtual_alias_domains");
    if !ours.asks(aliases, Some(service), postfix, KNOWS) {
        if has_milter(findings, service) {
            findings.error(
                "virtual-alias-domain",
                at,
                format!(
                    "{names} is in virtual_alias_domains: Postfix rejects every recipient that \
                     virtual_alias_maps does not have, including aliases, before the milter is asked"
                ),
                format!("main.cf: take {names} out of virtual_alias_domains and add it to mydestination"),
            );
        }
    } else if Map::all(aliases).iter().all(|map| ours.asked(map, Some(service), postfix).is_some()) {
        findings.error(
            "virtual-alias-domain",
            at,
            format!(
                "{names} is in virtual_alias_domains, and only rcptd is in virtual_alias_maps: rcptd maps an \
                 alias to an account at {names}, which maps to nothing, so all mail bounces"
            ),
            format!("main.cf: take {names} out of virtual_alias_domains and add it to mydestination"),
        );
    }
}

//! Checks tables of rcptd in main.cf and master.cf: those that it does not serve, those with the wrong
//! purpose, and types that Postfix refuses there.

use super::Findings;
use super::classes::Class;
use super::maps::{Map, words};
use super::ours::{Asked, word};
use super::postfix::Service;
use crate::map::purpose::Purpose;

/// The tables that smtpd(8) or cleanup(8) ask about recipients, and the purposes that fit; an empty list
/// means all.
const TABLES: [(&str, &[Purpose]); 6] = [
    ("local_recipient_maps", &[Purpose::Recipients]),
    ("relay_recipient_maps", &[Purpose::Recipients]),
    ("virtual_mailbox_maps", &[Purpose::Recipients]),
    ("virtual_alias_maps", &[Purpose::VirtualAlias, Purpose::Recipients, Purpose::Account]),
    ("smtpd_sender_login_maps", &[Purpose::SenderLogin]),
    ("recipient_canonical_maps", &[]),
];

/// Tables that decide about the user or the command of a delivery: Postfix does not look them up in other
/// programs or by proxymap(8) ("map is not allowed for security sensitive data"). The second text is the
/// transport that uses them; empty: always in use.
const SENSITIVE: [(&str, &str); 5] = [
    ("alias_maps", ""),
    ("mailbox_command_maps", ""),
    ("virtual_mailbox_maps", "virtual"),
    ("virtual_uid_maps", "virtual"),
    ("virtual_gid_maps", "virtual"),
];

/// Restrictions of smtpd(8) that name tables.
const RESTRICTIONS: [&str; 6] = [
    "smtpd_client_restrictions",
    "smtpd_helo_restrictions",
    "smtpd_sender_restrictions",
    "smtpd_relay_restrictions",
    "smtpd_recipient_restrictions",
    "smtpd_data_restrictions",
];

pub(super) fn check(findings: &mut Findings<'_>) {
    let services: Vec<Service> = findings.postfix.smtpds().cloned().collect();
    for service in &services {
        for (parameter, purposes) in TABLES {
            let list = findings.postfix.value(Some(service), parameter);
            served(findings, (Some(service), parameter), &list, purposes);
            proxied(findings, (Some(service), parameter), &list);
        }
        for parameter in RESTRICTIONS {
            let list = findings.postfix.value(Some(service), parameter);
            served(findings, (Some(service), parameter), &list, &[]);
            proxied(findings, (Some(service), parameter), &list);
        }
    }
    for (parameter, transport) in SENSITIVE {
        sensitive(findings, parameter, transport);
    }
    catch_all(findings);
}

/// Checks tables at an address where rcptd listens.
fn served(
    findings: &mut Findings<'_>,
    at: (Option<&Service>, &'static str),
    list: &str,
    purposes: &[Purpose],
) {
    let maps = Map::all(list);
    for map in &maps {
        match findings.ours.asked(map, at.0, findings.postfix) {
            Some(Asked::Nothing) => findings.error(
                "map-not-served",
                at,
                format!("rcptd has no such map as {}: recipients are deferred with 451", map.text),
                "give the name of a [[map]] in rcptd.conf, or add one".to_owned(),
            ),
            Some(Asked::Map(asked))
                if !purposes.is_empty()
                    && !asked.is_empty()
                    && !purposes.iter().any(|purpose| asked.contains(word(*purpose))) =>
            {
                // Aliases together with the users of this host are a list of recipients as well.
                let aliases = asked.contains(word(Purpose::VirtualAlias));
                if aliases && maps.iter().any(Map::is_passwd) {
                    continue;
                }
                let got = asked.iter().copied().collect::<Vec<_>>().join(", ");
                let want = word(purposes[0]);
                findings.error(
                    "wrong-map",
                    at,
                    format!(
                        "{} is the map of rcptd for {got}, {} wants the one for {want}: accounts that exist are refused \
                         with 550, or unknown ones are taken",
                        map.text, at.1
                    ),
                    format!("name a [[map]] with from = \"resolver:{want}\""),
                );
            }
            _ => (),
        }
    }
}

/// Reports `proxy:` before a table that proxymap(8) may not read.
fn proxied(findings: &mut Findings<'_>, at: (Option<&Service>, &'static str), list: &str) {
    // If master.cf does not name the table, main.cf does, and the default of proxy_read_maps includes it.
    let postfix = findings.postfix;
    let proxymap = postfix.internal("proxymap");
    let allowed = postfix.value(proxymap, "proxy_read_maps");
    let allowed: Vec<&str> = words(&allowed);
    for map in Map::all(list).iter().filter(|map| map.proxied) {
        if allowed.contains(&map.text) {
            continue;
        }
        findings.error(
            "proxy-not-allowed",
            at,
            format!(
                "proxymap(8) may not read {}, which is in none of the parameters that proxy_read_maps names: recipients \
                 are deferred with 451",
                map.text
            ),
            format!(
                "write {}:{} without proxy:, with n in the fifth column of master.cf, or main.cf: proxy_read_maps = {} \
                 and what it has by default",
                map.kind, map.argument, map.text
            ),
        );
    }
}

fn sensitive(findings: &mut Findings<'_>, parameter: &'static str, transport: &str) {
    let postfix = findings.postfix;
    if !transport.is_empty() {
        let used = postfix.value(None, "virtual_transport");
        if used.split(':').next() != Some(transport) {
            return;
        }
    }
    let list = postfix.value(postfix.internal(transport), parameter);
    // Most sites have only static: for ids.
    for map in Map::all(&list) {
        if !map.proxied && !matches!(map.kind, "tcp" | "socketmap") {
            continue;
        }
        let kind = if map.proxied { "proxy" } else { map.kind };
        let help = match parameter {
            "alias_maps" => {
                "put rcptd's map into virtual_alias_maps and local_recipient_maps, and leave alias_maps to aliases(5)"
                    .to_owned()
            }
            _ => format!("{parameter}: name a file, or deliver by lmtp: instead of virtual(8)"),
        };
        findings.error(
            "map-type-refused",
            (None, parameter),
            format!(
                "Postfix does not allow {kind}: in {parameter} when it delivers (\"map is not allowed for security \
                 sensitive data\"): mail is accepted and stays in the queue"
            ),
            help,
        );
    }
}

/// Reports another table of virtual_alias_maps that has every name of one of our domains.
fn catch_all(findings: &mut Findings<'_>) {
    let list = findings.postfix.value(None, "virtual_alias_maps");
    for map in Map::all(&list) {
        let keys = map.inline_keys();
        let ours = |key: &&&str| key.strip_prefix('@').is_some_and(|domain| findings.ours.has_domain(domain));
        let whose = match keys.iter().find(ours) {
            Some(key) => (*key).to_owned(),
            None if map.has_everything() => "every address".to_owned(),
            None => continue,
        };
        findings.error(
            "catch-all",
            (None, Class::VirtualAlias.recipients()),
            format!(
                "{} stands for {whose}: mistyped aliases and names that do not exist are delivered there instead of \
                 being refused",
                map.text
            ),
            "main.cf: take it out of virtual_alias_maps".to_owned(),
        );
    }
}

//! Checks tables of rcptd in main.cf and master.cf: tables that rcptd does not serve, tables with the wrong
//! view, and types that Postfix rejects in a parameter.

use super::content;
use super::maps::{Map, words};
use super::ours::{Asked, word};
use super::postfix::{Postfix, Service};
use super::restrictions;
use super::rewriting::REWRITING;
use super::{Findings, Parameter};
use crate::resolve::view::ResolverView;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// The programs that look up tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// Each smtpd(8).
    Smtpd,
    /// Each cleanup(8).
    Cleanup,
    /// trivial-rewrite(8).
    Rewrite,
    /// Delivery agents, which take their parameters from main.cf.
    Delivery,
}

/// The results that a table of rcptd must have if it asks the resolver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fits {
    /// Any result.
    Every,
    /// Only results for one of these views. The text is the effect of others.
    Only(&'static [ResolverView], &'static str),
}

/// The parameters with tables, their programs, and the suitable views.
const TABLES: [(&str, By, Fits); 28] = [
    ("local_recipient_maps", By::Smtpd, Fits::Only(&[ResolverView::Recipients], REFUSED)),
    ("relay_recipient_maps", By::Smtpd, Fits::Only(&[ResolverView::Recipients], REFUSED)),
    ("virtual_mailbox_maps", By::Smtpd, Fits::Only(&[ResolverView::Recipients], REFUSED)),
    ("virtual_alias_maps", By::Smtpd, Fits::Only(ADDRESSES, REFUSED)),
    (
        "smtpd_sender_login_maps",
        By::Smtpd,
        Fits::Only(&[ResolverView::SenderLogin, ResolverView::SenderLoginName], REFUSED),
    ),
    ("recipient_canonical_maps", By::Smtpd, Fits::Only(ADDRESSES, NO_ADDRESS)),
    ("canonical_maps", By::Smtpd, Fits::Only(ADDRESSES, NO_ADDRESS)),
    ("mynetworks", By::Smtpd, Fits::Every),
    ("smtpd_client_restrictions", By::Smtpd, Fits::Only(&[ResolverView::Access], NO_ACTION)),
    ("smtpd_helo_restrictions", By::Smtpd, Fits::Only(&[ResolverView::Access], NO_ACTION)),
    ("smtpd_sender_restrictions", By::Smtpd, Fits::Only(&[ResolverView::Access], NO_ACTION)),
    ("smtpd_relay_restrictions", By::Smtpd, Fits::Only(&[ResolverView::Access], NO_ACTION)),
    ("smtpd_recipient_restrictions", By::Smtpd, Fits::Only(&[ResolverView::Access], NO_ACTION)),
    ("smtpd_data_restrictions", By::Smtpd, Fits::Only(&[ResolverView::Access], NO_ACTION)),
    ("smtpd_end_of_data_restrictions", By::Smtpd, Fits::Only(&[ResolverView::Access], NO_ACTION)),
    ("sender_canonical_maps", By::Cleanup, Fits::Only(SENDERS, NO_ADDRESS)),
    ("sender_bcc_maps", By::Cleanup, Fits::Only(SENDERS, NO_ADDRESS)),
    ("recipient_bcc_maps", By::Cleanup, Fits::Only(&[], "each recipient gets its mail twice")),
    ("header_checks", By::Cleanup, Fits::Only(&[], NO_CHECK)),
    ("body_checks", By::Cleanup, Fits::Only(&[], NO_CHECK)),
    (
        "transport_maps",
        By::Rewrite,
        Fits::Only(&[ResolverView::Transport], "its values are not transports, and mail stays in the queue"),
    ),
    ("relocated_maps", By::Rewrite, Fits::Only(&[], "mail to recipients that exist bounces")),
    ("mydestination", By::Rewrite, Fits::Only(&[ResolverView::Domains], NO_DOMAIN)),
    ("virtual_alias_domains", By::Rewrite, Fits::Only(&[ResolverView::Domains], NO_DOMAIN)),
    ("virtual_mailbox_domains", By::Rewrite, Fits::Only(&[ResolverView::Domains], NO_DOMAIN)),
    ("relay_domains", By::Rewrite, Fits::Only(&[ResolverView::Domains], NO_DOMAIN)),
    ("smtp_generic_maps", By::Delivery, Fits::Every),
    ("sender_dependent_relayhost_maps", By::Delivery, Fits::Every),
];

const ADDRESSES: &[ResolverView] =
    &[ResolverView::VirtualAlias, ResolverView::Recipients, ResolverView::Account];
const SENDERS: &[ResolverView] =
    &[ResolverView::VirtualAlias, ResolverView::Recipients, ResolverView::Account, ResolverView::SenderLogin];

const REFUSED: &str = "accounts that exist are rejected with 550, or unknown ones are accepted";
const NO_ADDRESS: &str = "its values are not the addresses that replace its keys";
const NO_ACTION: &str =
    "its values are not actions of access(5), and Postfix replies 451 4.3.5 to each address that it has";
const NO_CHECK: &str = "its values are not actions of header_checks(5), and Postfix ignores them";
const NO_DOMAIN: &str = "its keys are addresses, so it has none of rcptd's domains";

/// By default, Postfix looks up domains in the table of addresses, in which rcptd has no domains.
const DEFAULT_DOMAINS: [(&str, &str); 2] =
    [("virtual_alias_domains", "virtual_alias_maps"), ("virtual_mailbox_domains", "virtual_mailbox_maps")];

/// The parameters with tables, each with the programs that look them up.
pub(super) fn askers(postfix: &Postfix) -> Vec<(Option<&Service>, &'static str)> {
    let mut all = Vec::new();
    for (parameter, by, _) in TABLES {
        all.extend(programs(postfix, by).into_iter().map(|service| (service, parameter)));
        // smtpd(8) checks whether the recipient is in it, and cleanup(8) uses the value.
        if REWRITING.iter().any(|(rewriting, _)| *rewriting == parameter) {
            all.extend(programs(postfix, By::Cleanup).into_iter().map(|service| (service, parameter)));
        }
    }
    all
}

fn programs(postfix: &Postfix, by: By) -> Vec<Option<&Service>> {
    match by {
        By::Smtpd => postfix.smtpds().map(Some).collect(),
        By::Cleanup => {
            let mut all: Vec<_> =
                postfix.services.iter().filter(|service| service.command == "cleanup").map(Some).collect();
            if all.is_empty() {
                all.push(None);
            }
            all
        }
        By::Rewrite => vec![postfix.internal("rewrite")],
        By::Delivery => vec![None],
    }
}

/// The text files of the tables in these parameters.
pub fn texts(postfix: &Postfix) -> BTreeSet<PathBuf> {
    let lists = askers(postfix).into_iter();
    lists
        .flat_map(|(service, parameter)| content::texts(&restrictions::expanded(postfix, service, parameter)))
        .collect()
}

/// Tables that determine the user or the command of a delivery. Postfix does not look them up in other
/// programs or by proxymap(8) ("map is not allowed for security sensitive data"). The second text is the
/// transport that uses the table; if empty, the table is always in use.
const SENSITIVE: [(&str, &str); 5] = [
    ("alias_maps", ""),
    ("mailbox_command_maps", ""),
    ("virtual_mailbox_maps", "virtual"),
    ("virtual_uid_maps", "virtual"),
    ("virtual_gid_maps", "virtual"),
];

pub(super) fn check(findings: &mut Findings<'_>) {
    let postfix = findings.postfix;
    for (parameter, by, fits) in TABLES {
        let mut all = programs(postfix, by);
        if by == By::Smtpd && REWRITING.iter().any(|(rewriting, _)| *rewriting == parameter) {
            all.extend(
                programs(postfix, By::Cleanup)
                    .into_iter()
                    .filter(|one| one.is_some_and(|one| one.sets(parameter))),
            );
        }
        for service in all {
            let list = restrictions::expanded(postfix, service, parameter);
            // Programs that use the same tables for the same view have one finding.
            let at = match service {
                Some(one) if by != By::Smtpd && !one.sets(parameter) => None,
                other => other,
            };
            let is_default = DEFAULT_DOMAINS
                .iter()
                .any(|(domains, maps)| *domains == parameter && postfix.value(None, maps) == list);
            if is_default {
                continue;
            }
            served(findings, service, Parameter::of(at, parameter), &list, fits);
            if by == By::Smtpd {
                proxied(findings, Parameter::of(at, parameter), &list);
            }
        }
    }
    for (parameter, transport) in SENSITIVE {
        sensitive(findings, parameter, transport);
    }
}

/// Checks tables at an address on which rcptd listens.
fn served(findings: &mut Findings<'_>, asking: Option<&Service>, at: Parameter<'_>, list: &str, fits: Fits) {
    let maps = Map::all(list);
    for map in &maps {
        match (findings.ours.asked(map, asking, findings.postfix), fits) {
            (Some(Asked::Nothing), _) => findings.error(
                "map-not-served",
                at,
                format!(
                    "rcptd does not serve the map {}: mail is deferred with 451, or stays in the queue",
                    map.text
                ),
                "use the name of a [[map]] in rcptd.conf, or add one".to_owned(),
            ),
            (Some(Asked::Map(asked)), Fits::Only(views, otherwise))
                if !asked.answers.is_empty()
                    && !views.iter().any(|view| asked.answers.contains(word(*view))) =>
            {
                // Aliases together with the users of this host are a valid list of recipients.
                let aliases = asked.answers.contains(word(ResolverView::VirtualAlias));
                if aliases && at.name == "local_recipient_maps" && maps.iter().any(Map::is_passwd) {
                    continue;
                }
                let got = asked.answers.iter().copied().collect::<Vec<_>>().join(", ");
                let (wants, help) = match views.first() {
                    Some(view) => {
                        let want = word(*view);
                        (
                            format!("the one for {want}"),
                            format!("name a [[map]] with source = \"resolver:{want}\""),
                        )
                    }
                    None => ("another".to_owned(), format!("take it out of {}", at.name)),
                };
                findings.error(
                    "wrong-map",
                    at,
                    format!(
                        "{} is rcptd's map for {got}, but {} requires {wants}: {otherwise}",
                        map.text, at.name
                    ),
                    help,
                );
            }
            _ => (),
        }
    }
}

/// Reports `proxy:` before a table that proxymap(8) may not read.
fn proxied(findings: &mut Findings<'_>, at: Parameter<'_>, list: &str) {
    // If master.cf does not set the table, main.cf does, and the default of proxy_read_maps includes it.
    let postfix = findings.postfix;
    let proxymap = postfix.internal("proxymap");
    let allowed = postfix.value(proxymap, "proxy_read_maps");
    let allowed: Vec<&str> = words(&allowed);
    // `proxy:` may precede a union or one of its members.
    let unions = Map::listed(list).into_iter().filter(|map| matches!(map.kind, "unionmap" | "pipemap"));
    for map in Map::all(list).into_iter().chain(unions).filter(|map| map.proxied) {
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
                "write {}:{} without proxy:, with n in the fifth column of master.cf, or main.cf: \
                 proxy_read_maps = {} and its default value",
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
    // Most sites use `static:` only.
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
            Parameter::of(None, parameter),
            format!(
                "Postfix does not allow {kind}: in {parameter} when it delivers (\"map is not allowed for security \
                 sensitive data\"): mail is accepted and stays in the queue"
            ),
            help,
        );
    }
}

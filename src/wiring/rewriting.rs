//! Checks whether an alias that Postfix accepts is replaced by its account.

use super::classes::Class;
use super::maps::words;
use super::milter::has_milter;
use super::postfix::{Postfix, Service};
use super::restrictions::{Strangers, strangers};
use super::{Findings, Parameter};
use crate::resolve::view::ResolverView;

/// The maps of rcptd that return the replacement of an alias.
const RESOLVES: &[ResolverView] =
    &[ResolverView::VirtualAlias, ResolverView::Recipients, ResolverView::Account];

/// The tables with which cleanup(8) replaces recipients, and the parameters that select addresses. smtpd(8)
/// accepts a recipient that is in one of them.
pub(super) const REWRITING: [(&str, &str); 3] = [
    ("virtual_alias_maps", ""),
    ("recipient_canonical_maps", "recipient_canonical_classes"),
    ("canonical_maps", "canonical_classes"),
];

/// Whether a rewriting table applies to recipients.
pub(super) fn is_for_recipients(postfix: &Postfix, service: Option<&Service>, classes: &str) -> bool {
    let classes = postfix.value(service, classes);
    classes.is_empty() || words(&classes).contains(&"envelope_recipient")
}

/// The parameter of cleanup(8) by which rcptd replaces aliases.
pub(super) fn table_of(findings: &Findings<'_>, cleanup: Option<&Service>) -> Option<&'static str> {
    let postfix = findings.postfix;
    let mut tables = REWRITING.into_iter();
    let asks = |(parameter, classes): &(&'static str, &str)| {
        is_for_recipients(postfix, cleanup, classes)
            && findings.ours.asks(&postfix.value(cleanup, parameter), cleanup, postfix, RESOLVES)
    };
    tables.find(asks).map(|(parameter, _)| parameter)
}

/// Whether cleanup(8) replaces aliases by accounts in mail of this service.
pub(super) fn resolves(findings: &Findings<'_>, service: &Service) -> bool {
    let postfix = findings.postfix;
    let options = postfix.value(Some(service), "receive_override_options");
    if words(&options).contains(&"no_address_mappings") {
        return false;
    }
    let name = postfix.value(Some(service), "cleanup_service_name");
    table_of(findings, postfix.internal(&name)).is_some()
}

/// Whether mail of this service goes through a content filter to another service of this Postfix, which
/// replaces aliases (FILTER_README). The configuration does not show which service gets it, so any suitable
/// one counts.
pub(super) fn resolves_after_filter(findings: &Findings<'_>, service: &Service) -> bool {
    let postfix = findings.postfix;
    let filters = |service: &Service| {
        ["content_filter", "smtpd_proxy_filter"]
            .iter()
            .any(|parameter| !postfix.value(Some(service), parameter).is_empty())
    };
    filters(service)
        && postfix.smtpds().any(|back| {
            back.title() != service.title()
                && !filters(back)
                && (postfix.is_local(back) || strangers(findings, back) == Strangers::Refused)
                && (resolves(findings, back) || has_milter(findings, back))
        })
}

/// Reports an alias that Postfix accepts but does not replace.
pub(super) fn never_resolved(findings: &mut Findings<'_>, service: &Service, class: Class) {
    let options = findings.postfix.value(Some(service), "receive_override_options");
    let (why, help) = if words(&options).contains(&"no_address_mappings") {
        (
            "receive_override_options has no_address_mappings",
            "take no_address_mappings out, or add the milter",
        )
    } else if words(&options).contains(&"no_milters") {
        (
            "receive_override_options has no_milters, and virtual_alias_maps does not ask rcptd",
            "take no_milters out",
        )
    } else {
        (
            "neither a milter here nor virtual_alias_maps in cleanup(8) replaces it with its account",
            "add rcptd to smtpd_milters, or its map resolver:virtual_alias to virtual_alias_maps",
        )
    };
    findings.error(
        "never-resolved",
        Parameter::of(Some(service), class.recipients()),
        format!("an alias is accepted, because rcptd has it, and bounces: {why}"),
        help.to_owned(),
    );
}

//! Checks the milter: what Postfix does while rcptd does not reply, and settings that prevent the milter from
//! replacing recipients.

use super::maps::{unbraced, words};
use super::postfix::Service;
use super::rewriting::{self, resolves};
use super::{Findings, Parameter};
use crate::resolve::view::ResolverView;
use diagnostics::Severity;
use mail_address::BLANKS;
use std::time::Duration;

/// The milters of a program that are rcptd, each with its own settings, if it has any.
fn milters(findings: &Findings<'_>, service: Option<&Service>, parameter: &str) -> Vec<String> {
    let postfix = findings.postfix;
    let options = postfix.value(service, "receive_override_options");
    if words(&options).contains(&"no_milters") {
        return Vec::new();
    }
    let list = postfix.value(service, parameter);
    let ours = words(&list).into_iter().filter(|one| findings.ours.is_milter(one, service, postfix));
    ours.map(str::to_owned).collect()
}

/// Whether a service passes its recipients to the milter of rcptd.
pub(super) fn has_milter(findings: &Findings<'_>, service: &Service) -> bool {
    !milters(findings, Some(service), "smtpd_milters").is_empty()
}

pub(super) fn check(findings: &mut Findings<'_>) {
    let services: Vec<Service> = findings.postfix.smtpds().cloned().collect();
    for service in &services {
        for milter in milters(findings, Some(service), "smtpd_milters") {
            default_action(findings, Some(service), &milter);
            timeouts(findings, Some(service), &milter);
            hindrances(findings, service);
            protocol(findings, Some(service));
            others_follow(findings, service);
            if replaces_aliases(findings, service) {
                named_twice(findings, Some(service), "smtpd_milters");
            }
        }
    }
    // cleanup(8) passes mail by sendmail(1) to the milter.
    let cleanup = findings.postfix.internal("cleanup").cloned();
    let cleanup = cleanup.as_ref();
    for milter in milters(findings, cleanup, "non_smtpd_milters") {
        default_action(findings, cleanup, &milter);
        timeouts(findings, cleanup, &milter);
        protocol(findings, cleanup);
        if rewriting::table_of(findings, cleanup).is_some() {
            named_twice(findings, cleanup, "non_smtpd_milters");
        }
    }
}

/// A setting of a milter, and where it is set.
struct Setting {
    value: String,
    /// The parameter that contains it.
    parameter: &'static str,
    /// The file, with the beginning of the line to write.
    place: String,
}

/// Finds a setting of a milter: its own (`{ inet:host:port, name=value, { name = value } }`), or the default
/// for all milters (`milter_name`).
fn setting(
    findings: &Findings<'_>,
    service: Option<&Service>,
    milter: &str,
    name: &str,
    all: &'static str,
) -> Setting {
    let own = own_settings(milter).into_iter().rfind(|(key, _)| key == name);
    match own {
        Some((_, value)) => {
            let is_smtpd = service.is_some_and(|service| service.command == "smtpd");
            let parameter = if is_smtpd { "smtpd_milters" } else { "non_smtpd_milters" };
            Setting {
                value,
                parameter,
                place: format!("{parameter}, in the braces of rcptd's milter: {name}="),
            }
        }
        None => Setting {
            value: findings.postfix.value(service, all),
            parameter: all,
            place: format!("main.cf: {all} = "),
        },
    }
}

/// Parses the settings of one milter. If a name occurs more than once, the last one counts.
fn own_settings(milter: &str) -> Vec<(String, String)> {
    let (mut settings, mut plain) = (Vec::new(), Vec::new());
    let pair = |text: &str| {
        text.split_once('=').map(|(name, value)| {
            (name.trim_matches(BLANKS).to_owned(), value.trim_matches(BLANKS).to_owned())
        })
    };
    for word in words(unbraced(milter)) {
        let inside = unbraced(word);
        if inside == word {
            plain.push(word);
        } else {
            settings.extend(pair(inside));
        }
    }
    // Spaces around the sign are allowed even without braces: { inet:h:1, default_action = accept }.
    let plain = plain.join(" ").replace(" = ", "=").replace("= ", "=").replace(" =", "=");
    settings.extend(plain.split(' ').filter_map(pair));
    settings
}

/// Warns of milters after that of rcptd. Postfix asks them in order, and rcptd does not learn that a later one has
/// rejected a recipient: at the end it would still add the account of the rejected alias.
fn others_follow(findings: &mut Findings<'_>, service: &Service) {
    let postfix = findings.postfix;
    let list = postfix.value(Some(service), "smtpd_milters");
    let mut milters = words(&list).into_iter();
    let is_ours = |one: &&str| findings.ours.is_milter(one, Some(service), postfix);
    if milters.by_ref().any(|one| is_ours(&one)) && !milters.all(|one| is_ours(&one)) {
        findings.warning(
            "milter-not-last",
            Parameter::of(Some(service), "smtpd_milters"),
            "rcptd does not learn whether a milter after it rejects a recipient, and adds the account of a rejected \
             alias nevertheless"
                .to_owned(),
            "write rcptd's milter last, unless the others never reject single recipients".to_owned(),
        );
    }
}

fn default_action(findings: &mut Findings<'_>, service: Option<&Service>, milter: &str) {
    let Setting { value: action, parameter, place } =
        setting(findings, service, milter, "default_action", "milter_default_action");
    let (severity, what) = match action.to_ascii_lowercase().as_str() {
        "tempfail" => return,
        "accept" => (
            Severity::Error,
            "while rcptd does not answer, aliases and unknown names are accepted unresolved and bounce, and \
             if rcptd exits in the middle of its changes, a recipient is lost",
        ),
        "reject" => {
            (Severity::Error, "while rcptd does not answer, all mail is rejected permanently with 5xx")
        }
        "quarantine" => (Severity::Warning, "while rcptd does not answer, mail stays in the hold queue"),
        "shutdown" => (
            Severity::Warning,
            "while rcptd does not answer, Postfix disconnects clients; Postfix before 3.8 does not know it",
        ),
        _ => (Severity::Warning, "Postfix does not know this action, and defers all mail"),
    };
    findings.add(
        "default-action",
        severity,
        Parameter::of(service, parameter),
        format!("the default action of rcptd's milter is \"{action}\": {what}"),
        format!("{place}tempfail"),
    );
}

/// Parses a time of Postfix: `30s`, `5m`, `1h`; without a unit, seconds.
fn time(text: &str) -> Option<Duration> {
    let text = text.trim_matches(BLANKS);
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let unit = match unit {
        "s" | "" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    Some(Duration::from_secs(number.parse::<u64>().ok()?.checked_mul(unit)?))
}

fn timeouts(findings: &mut Findings<'_>, service: Option<&Service>, milter: &str) {
    let deadline = findings.ours.deadline;
    for (name, parameter) in
        [("command_timeout", "milter_command_timeout"), ("content_timeout", "milter_content_timeout")]
    {
        let Setting { value: text, parameter: set_by, place } =
            setting(findings, service, milter, name, parameter);
        if time(&text).is_some_and(|limit| limit <= deadline) {
            findings.error(
                "milter-timeout",
                Parameter::of(service, set_by),
                format!(
                    "Postfix waits {text} for an answer ({parameter}), but rcptd may take {} s \
                     (milter.deadline): Postfix gives up first, for the rest of the session, and its log \
                     does not say why",
                    deadline.as_secs_f32()
                ),
                format!("{place}30s, or set a shorter deadline in [milter] of rcptd.conf"),
            );
        }
    }
}

/// Reports settings that prevent the milter from working.
fn hindrances(findings: &mut Findings<'_>, service: &Service) {
    let value = |parameter| findings.postfix.value(Some(service), parameter);
    let (proxy, exceptions) = (value("smtpd_proxy_filter"), value("smtpd_milter_maps"));
    if !proxy.is_empty() {
        findings.error(
            "proxy-filter",
            Parameter::of(Some(service), "smtpd_proxy_filter"),
            "Postfix does not let a milter change anything where smtpd_proxy_filter is set: an alias is \
             accepted, is not replaced, and bounces"
                .to_owned(),
            "move smtpd_milters to the service that takes the mail back from the filter, or use the wiring \
             by tables"
                .to_owned(),
        );
    }
    if !exceptions.is_empty() {
        findings.warning(
            "milter-exceptions",
            Parameter::of(Some(service), "smtpd_milter_maps"),
            format!(
                "clients listed in {exceptions} bypass rcptd, cannot tell which: their mail to aliases \
                 bounces, and so does their mail to unknown names where the list of recipients is open"
            ),
            "name rcptd's milter in its entries as well".to_owned(),
        );
    }
}

fn protocol(findings: &mut Findings<'_>, service: Option<&Service>) {
    let protocol = findings.postfix.value(service, "milter_protocol");
    // Version 6 is the first that can add a recipient with its DSN arguments.
    if protocol
        .split(BLANKS)
        .find(|word| !word.is_empty())
        .and_then(|p| p.parse::<u32>().ok())
        .is_some_and(|version| version < 6)
    {
        findings.error(
            "milter-protocol",
            Parameter::of(service, "milter_protocol"),
            format!(
                "milter_protocol is {protocol}: rcptd needs 6 to replace recipients, and mail is deferred"
            ),
            "main.cf: milter_protocol = 6".to_owned(),
        );
    }
}

/// Whether a table replaces aliases in mail of a service, or tells Postfix that they exist.
fn replaces_aliases(findings: &Findings<'_>, service: &Service) -> bool {
    let postfix = findings.postfix;
    let list = postfix.value(Some(service), "virtual_alias_maps");
    findings.ours.asks(&list, Some(service), postfix, &[ResolverView::VirtualAlias])
        || resolves(findings, service)
}

/// Reports aliases that both a table and the milter replace.
fn named_twice(findings: &mut Findings<'_>, service: Option<&Service>, milters: &str) {
    let postfix = findings.postfix;
    let cleanup = match service {
        Some(service) if service.command == "smtpd" => {
            postfix.internal(&postfix.value(Some(service), "cleanup_service_name"))
        }
        other => other,
    };
    let table = rewriting::table_of(findings, cleanup).unwrap_or("virtual_alias_maps");
    let help = format!("take rcptd's map out of {table}, or its milter out of {milters}");
    if postfix.is_yes(cleanup, "enable_original_recipient") {
        findings.warning(
            "aliases-twice",
            Parameter::of(service, table),
            format!(
                "{table} and the milter replace the same aliases: a sender who asks for a delivery report \
                 gets two, and with enable_original_recipient = no, mail would be lost"
            ),
            help,
        );
    } else {
        findings.error(
            "aliases-twice-lost",
            Parameter::of(service, "enable_original_recipient"),
            format!(
                "{table} and the milter replace the same aliases, and enable_original_recipient is no: the \
                 mail is lost, although the client received 250"
            ),
            help,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_settings_of_one_milter() {
        for (milter, want) in [
            ("inet:h:1", &[][..]),
            ("{ inet:h:1, default_action=accept }", &[("default_action", "accept")]),
            ("{ inet:h:1, default_action = accept }", &[("default_action", "accept")]),
            (
                "{inet:h:1, {default_action = accept}, command_timeout=3s}",
                &[("default_action", "accept"), ("command_timeout", "3s")],
            ),
        ] {
            let got = own_settings(milter);
            let got: Vec<_> = got.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!(got, want, "{milter}");
        }
    }

    #[test]
    fn parses_times() {
        for (text, want) in [
            ("30s", Some(30)),
            ("5m", Some(300)),
            ("1h", Some(3600)),
            ("2d", Some(172_800)),
            ("1w", Some(604_800)),
            ("45", Some(45)),
            ("x", None),
            ("3y", None),
            ("99999999999999999999s", None),
        ] {
            assert_eq!(time(text), want.map(Duration::from_secs), "{text}");
        }
    }
}

//! Checks the server that rcptd asks by VRFY or RCPT, and which other clients may send VRFY.

use super::content::Entry;
use super::hosts::{addresses, is_loopback, is_reached};
use super::maps::{Map, words};
use super::milter::has_milter;
use super::ours::{AskedServer, SmtpQuestion};
use super::postfix::Service;
use super::recipients;
use super::restrictions::{self, Client, Strangers, decide, strangers};
use super::rewriting::REWRITING;
use super::{Findings, Parameter};
use crate::resolve::view::ResolverView;

/// Purposes that need the account source, which asks the server.
const ASK_ACCOUNTS: &[ResolverView] = &[
    ResolverView::VirtualAlias,
    ResolverView::Recipients,
    ResolverView::Account,
    ResolverView::SenderLogin,
    ResolverView::SenderLoginName,
    ResolverView::Access,
    ResolverView::Transport,
];

/// Parameters with tables in which smtpd(8) looks up a recipient at VRFY or RCPT.
const LOOKED_UP: [&str; 11] = [
    "local_recipient_maps",
    "relay_recipient_maps",
    "virtual_mailbox_maps",
    "virtual_alias_maps",
    "recipient_canonical_maps",
    "canonical_maps",
    "smtpd_client_restrictions",
    "smtpd_helo_restrictions",
    "smtpd_sender_restrictions",
    "smtpd_recipient_restrictions",
    "smtpd_relay_restrictions",
];

pub(super) fn check(findings: &mut Findings<'_>) {
    let services: Vec<Service> = findings.postfix.smtpds().cloned().collect();
    open_to_all(findings, &services);
    for asked in findings.ours.asked.clone() {
        let Some((host, port)) = &asked.place else {
            if !asked.is_socket() {
                unknown(findings, &asked);
            }
            continue;
        };
        match services.iter().find(|service| is_at(findings, service, host, *port)) {
            Some(service) => target(findings, service, &asked),
            None if is_loopback(host) => nobody(findings, &asked, *port),
            None => (),
        }
    }
}

/// Reports services on which any client may send VRFY.
fn open_to_all(findings: &mut Findings<'_>, services: &[Service]) {
    for service in services {
        if !findings.postfix.is_local(service)
            && !findings.postfix.is_yes(Some(service), "disable_vrfy_command")
            && strangers(findings, service) == Strangers::Accepted
        {
            findings.warning(
                "vrfy-for-all",
                Parameter::of(Some(service), "disable_vrfy_command"),
                "any client can ask by VRFY which accounts and aliases exist without sending mail".to_owned(),
                "main.cf: disable_vrfy_command = yes, with -o disable_vrfy_command=no only for the server \
                 that rcptd asks"
                    .to_owned(),
            );
        }
    }
}

/// Reports a server whose host and port are not known here.
fn unknown(findings: &mut Findings<'_>, asked: &AskedServer) {
    let (source, question) = (&asked.source, asked.question);
    findings.warning(
        question.of("vrfy-cannot-tell", "rcpt-cannot-tell"),
        Parameter::of(None, "smtpd_milters"),
        format!(
            "cannot tell which server {source} is: if it is this Postfix, it must not ask rcptd in turn, or recipients \
             are deferred"
        ),
        format!(
            "name the host and the port in rcptd.conf, source = \"{}:127.0.0.1:5025\"",
            question.of("vrfy", "rcpt")
        ),
    );
}

/// Reports a port of this host on which no smtpd listens.
fn nobody(findings: &mut Findings<'_>, asked: &AskedServer, port: u16) {
    let (source, question) = (&asked.source, asked.question);
    // postscreen(8) replies 252 to VRFY, or passes the client to an smtpd.
    let screened = |service: &Service| service.command == "postscreen" && service.address().1 == Some(port);
    let who = if findings.postfix.services.iter().any(screened) {
        "postscreen(8) listens"
    } else {
        "no smtpd in master.cf listens"
    };
    findings.warning(
        question.of("vrfy-nobody", "rcpt-nobody"),
        Parameter::of(None, "smtpd_milters"),
        format!(
            "{source}: {who} on port {port} of this host; unless another mail server does, no account can be verified \
             and recipients are deferred"
        ),
        "copy the service from install/postfix/master.cf.snippet".to_owned(),
    );
}

/// Whether rcptd asks this service.
pub(super) fn is_asked(findings: &Findings<'_>, service: &Service) -> bool {
    let mut places = findings.ours.asked.iter().filter_map(|asked| asked.place.as_ref());
    places.any(|(host, port)| is_at(findings, service, host, *port))
}

/// Whether a service listens on this host and port.
fn is_at(findings: &Findings<'_>, service: &Service, host: &str, port: u16) -> bool {
    let (at, listens) = service.address();
    let same_host = match at {
        Some(at) => is_reached(host, at),
        None => is_here(findings, host),
    };
    service.kind == "inet" && listens == Some(port) && same_host
}

/// Whether a service without an address listens on this host.
fn is_here(findings: &Findings<'_>, host: &str) -> bool {
    let interfaces = findings.postfix.value(None, "inet_interfaces");
    let is_own_name = host.eq_ignore_ascii_case(&findings.postfix.value(None, "myhostname"));
    words(&interfaces).iter().any(|interface| match *interface {
        "all" => is_loopback(host) || is_own_name,
        "loopback-only" => is_reached(host, "localhost"),
        interface => is_reached(host, interface) || is_own_name,
    })
}

/// Checks the service that rcptd asks.
fn target(findings: &mut Findings<'_>, service: &Service, asked: &AskedServer) {
    let postfix = findings.postfix;
    let (source, question) = (&asked.source, asked.question);
    if question == SmtpQuestion::Vrfy && postfix.is_yes(Some(service), "disable_vrfy_command") {
        findings.error(
            "vrfy-off",
            Parameter::of(Some(service), "disable_vrfy_command"),
            format!("{source} asks this service, which answers 502 to VRFY: all recipients are deferred"),
            "master.cf, for this service: -o disable_vrfy_command=no".to_owned(),
        );
    }
    if has_milter(findings, service) {
        findings.error(
            question.of("vrfy-asks-milter", "rcpt-asks-milter"),
            Parameter::of(Some(service), "smtpd_milters"),
            format!(
                "{source} asks this service, whose recipients rcptd's milter verifies: {}",
                question.of(
                    "it passes every name to rcptd, so VRFY proves nothing and recipients are deferred",
                    "at RCPT it asks rcptd, which asks this service: no recipient gets an answer, all are deferred",
                )
            ),
            "ask a separate smtpd, with -o smtpd_milters= ; see install/postfix/master.cf.snippet".to_owned(),
        );
    }
    refuses(findings, service, asked);
    circle(findings, service, asked);
    circle_of_transports(findings, service, asked);
    accepts_every_name(findings, service, asked);
    says_later(findings, service, asked);
}

/// Reports tables and restrictions of the service that ask rcptd.
fn circle(findings: &mut Findings<'_>, service: &Service, asked: &AskedServer) {
    let postfix = findings.postfix;
    let (source, question) = (&asked.source, asked.question);
    for parameter in LOOKED_UP {
        let list = restrictions::expanded(postfix, Some(service), parameter);
        if findings.ours.asks(&list, Some(service), postfix, ASK_ACCOUNTS) {
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
                question.of("vrfy-circle", "rcpt-circle"),
                Parameter::of(Some(service), parameter),
                format!(
                    "{source} asks this service, which asks rcptd ({parameter}), which asks this service: no recipient \
                     gets an answer, all are deferred"
                ),
                format!("master.cf, for this service: {without}"),
            );
        }
    }
}

/// Reports transport_maps that ask rcptd: trivial-rewrite(8) looks them up for each address in VRFY and RCPT, too.
fn circle_of_transports(findings: &mut Findings<'_>, service: &Service, asked: &AskedServer) {
    let (source, question) = (&asked.source, asked.question);
    let rewrite = findings.postfix.internal("rewrite");
    let list = restrictions::expanded(findings.postfix, rewrite, "transport_maps");
    if findings.ours.asks(&list, rewrite, findings.postfix, ASK_ACCOUNTS) {
        findings.error(
            question.of("vrfy-circle", "rcpt-circle"),
            Parameter::of(Some(service), "transport_maps"),
            format!(
                "{source} asks this service, which asks rcptd (transport_maps), which asks this service: no recipient \
                 gets an answer, all are deferred"
            ),
            "remove rcptd from transport_maps, or set another account source, such as lmtp: or map:".to_owned(),
        );
    }
}

/// A parameter with which the service rejects VRFY or RCPT from rcptd, the reason, and the remedy.
type Refusal = (&'static str, String, String);

/// What the service expects before the first command and rcptd does not do.
fn encryption(findings: &Findings<'_>, service: &Service, source: &str) -> Vec<Refusal> {
    let postfix = findings.postfix;
    let value = |parameter| postfix.value(Some(service), parameter);
    let encrypts = findings.ours.starttls.contains(source);
    let enforces =
        value("smtpd_tls_security_level") == "encrypt" || postfix.is_yes(Some(service), "smtpd_enforce_tls");
    let mut found = Vec::new();
    if postfix.is_yes(Some(service), "smtpd_tls_wrappermode") {
        found.push((
            "smtpd_tls_wrappermode",
            "which expects TLS from the first byte on, but rcptd starts without it".to_owned(),
            "-o smtpd_tls_wrappermode=no".to_owned(),
        ));
    }
    let proxy = value("smtpd_upstream_proxy_protocol");
    if !proxy.is_empty() {
        found.push((
            "smtpd_upstream_proxy_protocol",
            format!("which expects a line of {proxy} before the session, but rcptd sends none"),
            "-o smtpd_upstream_proxy_protocol=".to_owned(),
        ));
    }
    if enforces && !encrypts {
        found.push((
            "smtpd_tls_security_level",
            "which requires STARTTLS, but rcptd does not encrypt".to_owned(),
            "-o smtpd_tls_security_level=may -o smtpd_enforce_tls=no".to_owned(),
        ));
    }
    found
}

/// Reports settings with which the service does not support VRFY or RCPT from rcptd, or rejects it.
fn refuses(findings: &mut Findings<'_>, service: &Service, asked: &AskedServer) {
    let postfix = findings.postfix;
    let (source, question) = (&asked.source, asked.question);
    let encrypts = findings.ours.starttls.contains(source);
    let mut found = encryption(findings, service, source);
    // A client that connects to an address of this host has the same address itself; for all of 127.0.0.0/8
    // it is 127.0.0.1.
    let host = asked.place.as_ref().map_or("localhost", |(host, _)| host);
    let client = match addresses(host) {
        from if !from.is_empty() && from.iter().all(|address| address.is_loopback() && address.is_ipv4()) => {
            addresses("127.0.0.1")
        }
        from => from,
    };
    for parameter in restrictions::BEFORE_RECIPIENT {
        let delays = !postfix.value(Some(service), "smtpd_delay_reject").eq_ignore_ascii_case("no");
        if parameter == "smtpd_sender_restrictions" && !delays && question == SmtpQuestion::Vrfy {
            // They apply at MAIL.
            continue;
        }
        // At least one address must be permitted; localhost may be either of two.
        let decisions: Vec<_> = client
            .iter()
            .map(|from| decide(findings, service, parameter, Client { from: *from, encrypts }))
            .collect();
        let refused = decisions.iter().find_map(|decision| decision.refused_by());
        if let Some(word) = refused.filter(|_| decisions.iter().all(|one| one.refused_by().is_some())) {
            let line = match parameter {
                "smtpd_recipient_restrictions" => {
                    "-o smtpd_recipient_restrictions=permit_mynetworks,reject".to_owned()
                }
                _ => format!("-o {parameter}="),
            };
            let networks =
                if word == "reject" { "; mynetworks must include the address of rcptd" } else { "" };
            let why = format!("which rejects {} from {host} by {word} in {parameter}", question.command());
            found.push((parameter, why, format!("{line}{networks}")));
        }
    }
    for (parameter, why, line) in found {
        findings.error(
            question.of("vrfy-refused", "rcpt-refused"),
            Parameter::of(Some(service), parameter),
            format!("{source} asks this service, {why}: no account can be verified and all recipients are deferred"),
            format!("master.cf, for this service: {line}"),
        );
    }
}

/// Reports settings with which the service accepts every name.
fn accepts_every_name(findings: &mut Findings<'_>, service: &Service, asked: &AskedServer) {
    let (source, question) = (&asked.source, asked.question);
    if has_milter(findings, service) {
        return;
    }
    for (class, domains) in recipients::classes(findings) {
        let list = recipients::open_because(findings, service, class).map(|why| (class.recipients(), why));
        let Some((parameter, why)) = list.or_else(|| opened(findings, service, class.recipients(), &domains))
        else {
            continue;
        };
        findings.error(
            question.of("vrfy-open", "rcpt-open"),
            Parameter::of(Some(service), parameter),
            format!(
                "{source} asks this service, and {why}: it replies {} to names that do not exist, so recipients are \
                 deferred",
                question.of(252, 250)
            ),
            if parameter == class.recipients() {
                format!(
                    "master.cf, for this service: {}, with smtpd_reject_unlisted_recipient = yes",
                    recipients::known_line(class)
                )
            } else {
                format!("master.cf, for this service: -o {parameter}=")
            },
        );
    }
}

/// The table that matches every name of one of these domains, among the lists of recipients and the tables
/// that replace recipients.
fn opened(
    findings: &Findings<'_>,
    service: &Service,
    recipients: &'static str,
    domains: &[String],
) -> Option<(&'static str, String)> {
    let content = findings.content(Some(service));
    let rewriting = REWRITING.iter().map(|(parameter, _)| *parameter);
    std::iter::once(recipients).chain(rewriting).find_map(|parameter| {
        let list = findings.postfix.value(Some(service), parameter);
        let maps = Map::listed(&list);
        let has_all =
            |domain: &&String| maps.iter().any(|map| matches!(content.covers(map, domain), Entry::Found(_)));
        let domain = domains.iter().find(has_all)?;
        Some((parameter, format!("{parameter} matches every name at {domain}")))
    })
}

/// Reports settings with which the service replies 4xx for names that do not exist.
fn says_later(findings: &mut Findings<'_>, service: &Service, asked: &AskedServer) {
    let (source, question) = (&asked.source, asked.question);
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
            question.of("vrfy-soft", "rcpt-soft"),
            Parameter::of(Some(service), parameter),
            format!(
                "{source} asks this service, which replies 450 to names that do not exist: they are deferred \
                 instead of rejected"
            ),
            format!("master.cf, for this service: {line}"),
        );
    }
}

//! The configuration of Postfix, as postconf(1) prints it.

use super::expand::{by_level, expand};
use super::hosts::is_loopback;
use mail_address::BLANKS;
use std::collections::BTreeMap;

/// The output of postconf(1).
#[derive(Clone, Copy, Debug, Default)]
pub struct Output<'t> {
    /// `postconf`: all parameters with their values or defaults.
    pub all: &'t str,
    /// `postconf -n`: the parameters that main.cf sets, including user-defined ones.
    pub set: &'t str,
    /// `postconf -M`: the services of master.cf.
    pub services: &'t str,
    /// `postconf -P`: the parameters that master.cf sets for one service.
    pub overrides: &'t str,
}

/// A service of master.cf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The first column: a port, an address and a port, or the name of a socket.
    pub name: String,
    /// The second column: `inet`, `unix`, `pass` or `fifo`.
    pub kind: String,
    /// Whether it runs in the chroot of the queue directory.
    pub chroot: bool,
    /// The program, without arguments.
    pub command: String,
    overrides: BTreeMap<String, String>,
}

impl Service {
    /// Its name in messages: `smtp inet`.
    pub fn title(&self) -> String {
        format!("{} {}", self.name, self.kind)
    }

    /// Whether master.cf sets this parameter for it.
    pub fn sets(&self, parameter: &str) -> bool {
        self.overrides.contains_key(parameter)
    }

    /// The host to which a service of type `inet` is bound, if it has one, and its port.
    pub fn address(&self) -> (Option<&str>, Option<u16>) {
        let (host, port) = match self.name.rsplit_once(':') {
            Some((host, port)) => (Some(host.trim_start_matches('[').trim_end_matches(']')), port),
            None => (None, &*self.name),
        };
        (host.filter(|host| !host.is_empty()), port_number(port))
    }
}

/// Parses a port: a number, or one of the usual names in master.cf. services(5) has more names, but not on
/// every host.
fn port_number(port: &str) -> Option<u16> {
    match port {
        "smtp" => Some(25),
        "submission" => Some(587),
        "smtps" | "submissions" | "urd" => Some(465),
        number => number.parse().ok(),
    }
}

/// The configuration of one Postfix.
#[derive(Clone, Debug, Default)]
pub struct Postfix {
    parameters: BTreeMap<String, String>,
    set: Vec<String>,
    /// The services in the order of master.cf.
    pub services: Vec<Service>,
}

impl Postfix {
    /// Parses the output of postconf(1). Lines in another format are skipped, since later versions may print
    /// more.
    pub fn read(output: Output<'_>) -> Self {
        let mut postfix = Postfix::default();
        let pairs = |text: &str| -> Vec<(String, String)> {
            text.lines().filter_map(pair).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
        };
        postfix.parameters.extend(pairs(output.all));
        for (name, value) in pairs(output.set) {
            postfix.set.push(name.clone());
            postfix.parameters.insert(name, value);
        }
        // Before Postfix 3.0 (compatibility level 1), services without a value in this column ran in the chroot.
        let level = postfix.value(None, "compatibility_level");
        let chroot = by_level(&level, "1").is_lt();
        postfix.services = output.services.lines().filter_map(|line| service(line, chroot)).collect();
        for (name, value) in output.overrides.lines().filter_map(pair) {
            let mut parts = name.rsplitn(3, '/');
            let (Some(parameter), Some(kind), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
                continue;
            };
            for service in &mut postfix.services {
                if service.name == name && service.kind == kind {
                    service.overrides.insert(parameter.to_owned(), value.to_owned());
                }
            }
        }
        postfix
    }

    /// Whether main.cf sets this parameter.
    pub fn sets(&self, parameter: &str) -> bool {
        self.set.iter().any(|name| name == parameter)
    }

    /// The value of a parameter for a service, or for programs without settings in master.cf. Parameters in
    /// it are expanded. It is empty if the parameter is not set.
    pub fn value(&self, service: Option<&Service>, parameter: &str) -> String {
        let lookup = |name: &str| {
            let own = service.and_then(|service| service.overrides.get(name));
            own.or_else(|| self.parameters.get(name)).map(String::as_str)
        };
        lookup(parameter)
            .map(|value| expand(value, &lookup))
            .unwrap_or_default()
            .trim_matches(BLANKS)
            .to_owned()
    }

    /// The value of a boolean parameter.
    pub fn is_yes(&self, service: Option<&Service>, parameter: &str) -> bool {
        self.value(service, parameter).eq_ignore_ascii_case("yes")
    }

    /// The services that accept mail by SMTP. One of type `pass` only counts together with postscreen(8).
    pub fn smtpds(&self) -> impl Iterator<Item = &Service> {
        let screened = self.services.iter().any(|service| service.command == "postscreen");
        self.services.iter().filter(move |service| {
            service.command == "smtpd" && (service.kind == "inet" || service.kind == "pass" && screened)
        })
    }

    /// The service of type `unix` with this name, such as `cleanup`.
    pub fn internal(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name == name && service.kind != "inet")
    }

    /// Whether only programs on this host can reach a service.
    pub fn is_local(&self, service: &Service) -> bool {
        let host = match (service.kind.as_str(), service.address().0) {
            ("inet", Some(host)) => host.to_owned(),
            ("inet", None) => {
                let interfaces = self.value(None, "inet_interfaces");
                let mut interfaces = super::maps::words(&interfaces).into_iter().peekable();
                return interfaces.peek().is_some()
                    && interfaces.all(|one| one == "loopback-only" || is_loopback(one));
            }
            // The client comes from postscreen, which serves remote clients.
            _ => return false,
        };
        is_loopback(&host)
    }
}

/// Splits `name = value`; the value may be empty.
fn pair(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once('=')?;
    Some((name.trim_matches(BLANKS), value.trim_matches(BLANKS)))
}

/// Parses a line of `postconf -M`: eight columns and arguments.
fn service(line: &str, chroot: bool) -> Option<Service> {
    // Unlike lines, columns have four kinds of blanks.
    let columns: Vec<&str> =
        line.split([' ', '\t', '\r', '\n']).filter(|column| !column.is_empty()).take(8).collect();
    let [name, kind, _, _, in_chroot, _, _, command] = columns[..] else { return None };
    Some(Service {
        name: name.to_owned(),
        kind: kind.to_owned(),
        chroot: in_chroot == "y" || in_chroot == "-" && chroot,
        command: command.rsplit('/').next().unwrap_or(command).to_owned(),
        overrides: BTreeMap::new(),
    })
}

//! Checks whether the programs of Postfix can connect to the UNIX sockets of rcptd.

use super::content::TableText;
use super::maps::{Map, words};
use super::ours::{Ours, Place};
use super::postfix::{Postfix, Service};
use super::restrictions;
use super::{Findings, Parameter};
use crate::server::endpoint::Endpoint;
use diagnostics::Severity;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Whether Postfix can connect to a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It can.
    Yes,
    /// The path does not exist.
    Missing,
    /// The path is not a socket.
    NotASocket,
    /// Permission denied, with the reason.
    Denied(String),
    /// The check failed, with the reason.
    CannotTell(String),
}

/// The state of this host.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The sockets by path, outside of any chroot.
    pub sockets: BTreeMap<PathBuf, Reach>,
    /// The text files of tables by path, without those that cannot be read.
    pub tables: BTreeMap<PathBuf, TableText>,
    /// Whether the chroot of the queue directory has an `/etc/passwd`.
    pub chroot_has_passwd: bool,
}

/// A use of a socket in the configuration.
struct Use {
    service: Option<Service>,
    parameter: &'static str,
    text: String,
    path: PathBuf,
}

/// All milters and tables in the configuration of Postfix that use sockets, each with its program.
fn uses(postfix: &Postfix) -> Vec<Use> {
    let mut all = Vec::new();
    let mut add = |service: Option<&Service>, parameter: &'static str, text: &str, place: Option<Place>| {
        if let Some(Place::Unix(path)) = place {
            all.push(Use { service: service.cloned(), parameter, text: text.to_owned(), path });
        }
    };
    let cleanup = postfix.internal("cleanup");
    let smtpds: Vec<Option<&Service>> = postfix.smtpds().map(Some).collect();
    for service in smtpds.iter().copied() {
        for milter in words(&postfix.value(service, "smtpd_milters")) {
            add(service, "smtpd_milters", milter, Place::milter(milter, service, postfix));
        }
    }
    for milter in words(&postfix.value(cleanup, "non_smtpd_milters")) {
        add(cleanup, "non_smtpd_milters", milter, Place::milter(milter, cleanup, postfix));
    }
    let tables = super::tables::askers(postfix);
    for (service, parameter) in tables {
        let list = restrictions::expanded(postfix, service, parameter);
        for map in Map::all(&list).iter().filter(|map| map.kind == "socketmap") {
            let asking = if map.proxied { postfix.internal("proxymap") } else { service };
            let place =
                map.argument.rsplit_once(':').and_then(|(socket, _)| Place::parse(socket, asking, postfix));
            add(asking, parameter, map.text, place);
        }
    }
    all
}

/// The sockets whose state [`check`](super::check) needs.
pub fn named(postfix: &Postfix, ours: &Ours) -> BTreeSet<PathBuf> {
    uses(postfix).into_iter().map(|one| one.path).filter(|path| is_ours(ours, path)).collect()
}

fn endpoints(ours: &Ours) -> impl Iterator<Item = &Path> {
    ours.endpoints().filter_map(|at| match at {
        Endpoint::Unix(path) => Some(path.as_path()),
        _ => None,
    })
}

fn is_ours(ours: &Ours, path: &Path) -> bool {
    endpoints(ours).any(|at| at == path) || Ours::is_named_for_us(path)
}

pub(super) fn check(findings: &mut Findings<'_>) {
    let (postfix, ours) = (findings.postfix, findings.ours);
    let queue = PathBuf::from(postfix.value(None, "queue_directory"));
    for one in uses(postfix) {
        let at = Parameter::of(one.service.as_ref(), one.parameter);
        let listens = endpoints(ours).any(|at| at == one.path);
        let by_systemd = ours.endpoints().any(|at| matches!(at, Endpoint::Systemd(_)));
        let may_listen = by_systemd && Ours::is_named_for_us(&one.path);
        if !listens && !may_listen {
            not_listening(findings, &one, &queue);
            continue;
        }
        let (path, text) = (one.path.display(), &one.text);
        let group =
            "rcptd.conf: socket_group = \"postfix\", and SupplementaryGroups=postfix in the unit of rcptd";
        match findings.facts.sockets.get(&one.path) {
            Some(Reach::Yes) | None => (),
            Some(Reach::Missing) => findings.add(
                "socket-missing",
                Severity::Warning,
                at,
                format!("{text} is {path}, which does not exist: mail is deferred with 451 until rcptd runs"),
                "start rcptd, and run rcptd check to see whether it may open the socket".to_owned(),
            ),
            Some(Reach::NotASocket) => findings.error(
                "socket-is-none",
                at,
                format!("{text} is {path}, which is not a socket: mail is deferred with 451"),
                "use the path of listen in rcptd.conf".to_owned(),
            ),
            Some(Reach::Denied(why)) => findings.error(
                "socket-denied",
                at,
                format!("Postfix may not connect to {path} ({why}): mail is deferred with 451"),
                group.to_owned(),
            ),
            Some(Reach::CannotTell(why)) => findings.warning(
                "socket-cannot-tell",
                at,
                format!("cannot tell whether Postfix may connect to {path}: {why}"),
                "run rcptd check --postfix as root".to_owned(),
            ),
        }
    }
}

/// Reports a socket on which rcptd does not listen, but on which it would in another chroot, or according to
/// its name.
fn not_listening(findings: &mut Findings<'_>, one: &Use, queue: &Path) {
    let ours: Vec<&Path> = endpoints(findings.ours).collect();
    let at = Parameter::of(one.service.as_ref(), one.parameter);
    let chroot = one.service.as_ref().is_some_and(|service| service.chroot);
    // The path with the opposite chroot setting.
    let other = match one.path.strip_prefix(queue) {
        Ok(below) if chroot => Path::new("/").join(below),
        _ => queue.join(one.path.strip_prefix("/").unwrap_or(&one.path)),
    };
    if chroot && ours.iter().any(|at| *at == other) {
        findings.error(
            "socket-outside-chroot",
            at,
            format!(
                "{} is {} for this program, which runs in the chroot {}; rcptd listens at {}: the program \
                 cannot reach it, and mail is deferred with 451",
                one.text,
                one.path.display(),
                queue.display(),
                other.display()
            ),
            format!(
                "rcptd.conf: listen = \"unix:{}\"; Postfix: unix:rcptd/milter.sock",
                queue.join("rcptd/milter.sock").display()
            ),
        );
    } else if Ours::is_named_for_us(&one.path) {
        findings.error(
            "socket-not-listening",
            at,
            format!(
                "{} is {}, where rcptd does not listen: mail is deferred with 451",
                one.text,
                one.path.display()
            ),
            match ours.first() {
                Some(at) => format!("rcptd listens at {}", at.display()),
                None => format!("rcptd.conf: listen = \"unix:{}\"", one.path.display()),
            },
        );
    }
}

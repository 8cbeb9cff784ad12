//! Checks `[[tcp_table]]` and `[[socketmap]]`, the listeners that serve maps, and `[[policy]]`.

use super::check::Check;
use super::inspect::CONTROL;
use super::keys;
use super::milter::{CONNECTIONS, DEADLINE, DEADLINES, MAX_CONNECTIONS, SOCKET_MODE};
use super::section::{DefaultValue, word};
use super::value::{Field, Given, List};
use crate::server::endpoint::Endpoint;
use crate::server::milter::reply::MAX_TEXT;
use crate::server::policy::Purpose;
use mail_address::escape;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::time::Duration;

/// Most listeners of a protocol.
pub const MAX_LISTENERS: usize = 100;
/// Default of `idle_timeout`. Postfix keeps its connections open as long as its processes live and closes
/// them itself (`max_idle`, 100 s; `max_ttl`); with a shorter timeout some tcp: lookups take a second more.
pub const IDLE_TIMEOUT: Duration = Duration::from_hours(1);
/// Bounds of `idle_timeout`.
pub(super) const IDLE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(7 * 24);

/// Values of `mta`: whether it is Sendmail.
pub(super) const MTA: [(&str, bool); 2] = [("postfix", false), ("sendmail", true)];

/// Limits of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// Longest time from request to reply.
    pub deadline: Duration,
    /// Most connections at once.
    pub max_connections: usize,
    /// How long a connection may be silent.
    pub idle_timeout: Duration,
}

/// A `[[tcp_table]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpTableSettings {
    /// Addresses to listen on.
    pub listen: Vec<Endpoint>,
    /// The map it serves.
    pub map: Arc<str>,
    /// Its limits.
    pub served: Served,
}

/// A `[[socketmap]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketmapSettings {
    /// Addresses to listen on.
    pub listen: Vec<Endpoint>,
    /// The maps it serves; `None`: all maps.
    pub maps: Option<Vec<Arc<str>>>,
    /// Whether the client is Sendmail, which treats PERM as "not found".
    pub sendmail: bool,
    /// Permissions of UNIX sockets.
    pub socket_mode: u32,
    /// Group of UNIX sockets.
    pub socket_group: Option<String>,
    /// Its limits.
    pub served: Served,
}

/// Values of `purpose`.
const PURPOSE: [(&str, Purpose); 2] = [("mx", Purpose::Mx), ("submission", Purpose::Submission)];
/// The value of `on_trouble` with which a connection ends, as SMTPD_POLICY_README recommends.
pub(super) const HANG_UP: &str = "hang_up";

pub(super) fn purpose() -> DefaultValue {
    word(&PURPOSE, &Purpose::Mx)
}

/// A `[[policy]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicySettings {
    /// Addresses to listen on.
    pub listen: Vec<Endpoint>,
    /// Which mail it is asked about.
    pub purpose: Purpose,
    /// The action if there is no decision; `None`: the connection ends.
    pub on_trouble: Option<Arc<str>>,
    /// Permissions of UNIX sockets.
    pub socket_mode: u32,
    /// Group of UNIX sockets.
    pub socket_group: Option<String>,
    /// Its limits.
    pub served: Served,
}

impl Check<'_> {
    /// Checks all `[[policy]]`.
    pub(super) fn policies(&mut self, field: &Field<List<keys::PolicyTable>>) -> Vec<PolicySettings> {
        let Some(given) = field.given() else { return Vec::new() };
        self.at_most(given, MAX_LISTENERS);
        let mut all = Vec::new();
        for item in given.value.items.iter().take(MAX_LISTENERS) {
            let table = item.get_ref();
            all.push(PolicySettings {
                listen: self.places(&table.listen, given, item.span(), "inet:127.0.0.1:10023"),
                purpose: self.choice(&table.purpose, Purpose::Mx, &PURPOSE),
                on_trouble: self.on_trouble(&table.on_trouble),
                socket_mode: self.socket_mode(&table.socket_mode, SOCKET_MODE),
                socket_group: self.socket_group(&table.socket_group),
                served: self.served(&table.deadline, &table.max_connections, &table.idle_timeout),
            });
        }
        all
    }

    fn on_trouble(&mut self, field: &Field<String>) -> Option<Arc<str>> {
        let given = field.given().filter(|given| given.value != HANG_UP)?;
        let value = given.value.trim();
        let action = value.split_whitespace().next().unwrap_or_default();
        // With OK, restrictions that follow would not be asked, and a doubt must not reject.
        let is_known = ["DUNNO", "DEFER", "DEFER_IF_PERMIT", "DEFER_IF_REJECT"].contains(&action)
            || (action.len() == 3 && action.starts_with('4') && action.bytes().all(|b| b.is_ascii_digit()));
        if is_known && !value.chars().any(char::is_control) && value.len() <= MAX_TEXT {
            return Some(value.into());
        }
        let message = format!("{} = \"{}\" cannot be used", given.key, escape(&given.value));
        let help = "write hang_up, DEFER_IF_PERMIT, DEFER, DUNNO or a code from 400 to 499, and a text: without an answer \
                    of the sources, mail must neither be rejected nor accepted by OK";
        self.error(given, message, help);
        None
    }

    /// Checks all `[[tcp_table]]`. `names` are those of the maps; all of them if `complete`.
    pub(super) fn tcp_tables(
        &mut self,
        field: &Field<List<keys::TcpTable>>,
        names: &[Arc<str>],
        complete: bool,
    ) -> Vec<TcpTableSettings> {
        let Some(given) = field.given() else { return Vec::new() };
        self.at_most(given, MAX_LISTENERS);
        let mut all = Vec::new();
        for item in given.value.items.iter().take(MAX_LISTENERS) {
            let table = item.get_ref();
            let listen = self.places(&table.listen, given, item.span(), "inet:127.0.0.1:3048");
            let map = match &table.map {
                Field::Given(map) => {
                    self.map_name(map, map.span.clone(), &map.value, names, complete);
                    Some(map.value.as_str().into())
                }
                Field::Absent => {
                    let help = "write the name of the map it serves: a tcp_table(5) request does not name a \
                                map";
                    self.error_in(given, item.span(), "a tcp_table without map", help);
                    None
                }
                Field::Broken => None,
            };
            let served = self.served(&table.deadline, &table.max_connections, &table.idle_timeout);
            all.extend(map.map(|map| TcpTableSettings { listen, map, served }));
        }
        all
    }

    /// Checks all `[[socketmap]]`; see [`tcp_tables`](Check::tcp_tables).
    pub(super) fn socketmaps(
        &mut self,
        field: &Field<List<keys::Socketmap>>,
        names: &[Arc<str>],
        complete: bool,
    ) -> Vec<SocketmapSettings> {
        let Some(given) = field.given() else { return Vec::new() };
        self.at_most(given, MAX_LISTENERS);
        let mut all = Vec::new();
        for item in given.value.items.iter().take(MAX_LISTENERS) {
            let table = item.get_ref();
            let maps = table.maps.given().map(|maps| {
                if maps.value.items.is_empty() && maps.value.complete {
                    let help = "leave it out to serve all maps";
                    self.error(maps, format!("{} is empty", maps.key), help);
                }
                let mut served: Vec<Arc<str>> = Vec::new();
                for name in &maps.value.items {
                    self.map_name(maps, name.span(), name.get_ref(), names, complete);
                    served.push(name.get_ref().as_str().into());
                }
                served
            });
            all.push(SocketmapSettings {
                listen: self.places(&table.listen, given, item.span(), "unix:/run/rcptd/map.sock"),
                maps,
                sendmail: self.choice(&table.mta, false, &MTA),
                socket_mode: self.socket_mode(&table.socket_mode, SOCKET_MODE),
                socket_group: self.socket_group(&table.socket_group),
                served: self.served(&table.deadline, &table.max_connections, &table.idle_timeout),
            });
        }
        all
    }

    /// Checks the addresses of a listener, which have no default.
    fn places<T>(
        &mut self,
        field: &Field<List<String>>,
        list: &Given<List<T>>,
        span: Range<usize>,
        example: &str,
    ) -> Vec<Endpoint> {
        let help = format!("write the address where the mail server connects, such as \"{example}\"");
        match field {
            Field::Given(given) if given.value.items.is_empty() && given.value.complete => {
                self.error(given, format!("{} is empty", given.key), help);
                Vec::new()
            }
            Field::Given(given) => self.endpoints(given),
            Field::Absent => {
                self.error_in(list, span, format!("a {} without listen", list.key), help);
                Vec::new()
            }
            Field::Broken => Vec::new(),
        }
    }

    fn served(
        &mut self,
        deadline: &Field<Duration>,
        max_connections: &Field<u64>,
        idle_timeout: &Field<Duration>,
    ) -> Served {
        Served {
            deadline: self.time(deadline, DEADLINE, &DEADLINES),
            max_connections: self.number(max_connections, MAX_CONNECTIONS, &CONNECTIONS),
            idle_timeout: self.time(idle_timeout, IDLE_TIMEOUT, &IDLE),
        }
    }
}

/// Reports addresses that more than one listener uses. `milter` are the addresses of the milter.
pub(super) fn places_taken_twice(check: &mut Check<'_>, raw: &keys::Top, milter: &[Endpoint]) {
    let mut seen: Vec<Endpoint> = Vec::new();
    let mut lists: Vec<&Given<List<String>>> = Vec::new();
    match raw.milter.listen.given() {
        Some(given) => lists.push(given),
        // The default.
        None => seen.extend_from_slice(milter),
    }
    for table in raw.tcp_table.given().into_iter().flat_map(|given| &given.value.items) {
        lists.extend(table.get_ref().listen.given());
    }
    for table in raw.socketmap.given().into_iter().flat_map(|given| &given.value.items) {
        lists.extend(table.get_ref().listen.given());
    }
    for table in raw.policy.given().into_iter().flat_map(|given| &given.value.items) {
        lists.extend(table.get_ref().listen.given());
    }
    lists.extend(raw.metrics.listen.given());
    let control = raw.control.listen.given();
    if control.is_none() {
        seen.extend(CONTROL.parse::<Endpoint>());
    }
    for given in lists {
        let mut own = Vec::new();
        for item in &given.value.items {
            let Ok(endpoint) = item.get_ref().parse::<Endpoint>() else { continue };
            if let Some(other) = seen.iter().find(|other| endpoint.excludes(other)) {
                let message = format!("{}: another listener uses {other}", given.key);
                check.error_in(given, item.span(), message, "give each its own address");
            }
            own.push(endpoint);
        }
        seen.extend(own);
    }
    let Some(given) = control else { return };
    let endpoint = given.value.parse::<Endpoint>().ok().filter(|endpoint| seen.contains(endpoint));
    if let Some(endpoint) = endpoint {
        let message = format!("{}: another listener uses {endpoint}", given.key);
        check.error(given, message, "give each its own address");
    }
}

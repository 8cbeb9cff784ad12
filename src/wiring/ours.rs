//! The part of rcptd's configuration that must agree with the mail server.

use super::content::{Entry, any, pipe};
use super::hosts::is_reached;
use super::maps::{Map, unbraced};
use super::postfix::{Postfix, Service};
use crate::account::settings::StartTls;
use crate::config::Config;
use crate::map::case_folded::folded;
use crate::map::list::List;
use crate::map::search::{Context, SearchStrategy};
use crate::map::source::{MAX_DEPTH, SourceSpec};
use crate::net::host::host_and_port;
use crate::resolve::view::ResolverView;
use crate::server::endpoint::Endpoint;
use alias_rules::Rules;
use mail_address::{LocalPartPolicy, escape};
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A socket whose path contains this text is one of rcptd if systemd opens the socket, since rcptd.conf then
/// has no path.
const OUR_NAME: &str = "rcptd";

/// A map of rcptd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnMap {
    name: String,
    /// The views for which it asks the resolver.
    pub views: BTreeSet<&'static str>,
    /// The views whose result is the value of the map. In a pipe, only those of the last member.
    pub answers: BTreeSet<&'static str>,
    sources: Vec<SourceSpec>,
    search: SearchStrategy,
}

/// The relevant part of a configuration of rcptd.
#[derive(Clone, Debug, Default)]
pub struct Ours {
    /// The domains, each with its delimiters of extensions.
    pub domains: Vec<(String, String)>,
    /// Whether rcptd only logs its decisions.
    pub dry_run: bool,
    /// The endpoints of the milter.
    pub milter: Vec<Endpoint>,
    /// The maximum time until the milter replies.
    pub deadline: Duration,
    maps: Vec<OwnMap>,
    /// The text files of maps, parsed.
    lists: HashMap<PathBuf, Arc<List>>,
    /// The endpoints of socketmap_table(5), each with the names of its maps; `None` is all maps.
    socketmaps: Vec<(Endpoint, Option<Vec<String>>)>,
    /// The endpoints of tcp_table(5), each with its map.
    tcp_tables: Vec<(Endpoint, String)>,
    /// The mail servers that are asked for accounts.
    pub asked: Vec<AskedServer>,
    /// The servers among them with which rcptd may use STARTTLS.
    pub starttls: BTreeSet<String>,
    /// The alias rules.
    rules: Arc<Rules>,
    /// Whether local parts are case-sensitive.
    case_sensitive: bool,
}

impl Ours {
    /// Extracts the relevant part of `config`.
    pub fn new(config: &Config) -> Self {
        let delimiters = |domain: &String| {
            config.normal.get(domain).map(|normal| normal.delimiters.to_string()).unwrap_or_default()
        };
        let names = |maps: &[Arc<str>]| maps.iter().map(ToString::to_string).collect();
        let tables = &config.tables;
        Ours {
            domains: config.domains.iter().map(|domain| (domain.clone(), delimiters(domain))).collect(),
            dry_run: config.dry_run,
            milter: config.milter.listen.clone(),
            deadline: config.milter.deadline,
            maps: tables
                .maps
                .iter()
                .map(|map| OwnMap {
                    name: map.name.to_string(),
                    views: views(config, &map.name, &every_member),
                    answers: views(config, &map.name, &last_member),
                    sources: map.sources.clone(),
                    search: map.search,
                })
                .collect(),
            lists: tables.lists.clone(),
            socketmaps: tables
                .socketmaps
                .iter()
                .flat_map(|served| {
                    let maps: Option<Vec<String>> = served.maps.as_deref().map(names);
                    served.listen.iter().map(move |at| (at.clone(), maps.clone()))
                })
                .collect(),
            tcp_tables: tables
                .tcp_tables
                .iter()
                .flat_map(|served| served.listen.iter().map(|at| (at.clone(), served.map.to_string())))
                .collect(),
            asked: config
                .account
                .sources
                .iter()
                .filter_map(|source| AskedServer::new(source.spec.name()))
                .collect(),
            starttls: config
                .account
                .sources
                .iter()
                .filter(|source| source.smtp.starttls != StartTls::Never)
                .map(|source| source.spec.name().to_string())
                .collect(),
            rules: config.rules.clone(),
            case_sensitive: config.case_sensitive,
        }
    }

    /// The first rule whose check codes are ineffective if these characters begin an extension in the mail
    /// server: the rule, the beginning of its names, the account of the mail, and the number of further
    /// rules.
    pub fn unprotected(&self, delimiters: &str) -> Option<(String, String, String, usize)> {
        let normal =
            LocalPartPolicy { delimiters: delimiters.into(), ..LocalPartPolicy::plain(self.case_sensitive) };
        let domains: Vec<String> = self.domains.iter().map(|(domain, _)| domain.clone()).collect();
        let found = alias_rules::unprotected(&self.rules, &normal, Some(&domains));
        let first = found.first()?;
        let statement = self.rules.statement(first.statement);
        let rule = format!("\"{}\" at {statement}", escape(statement.text));
        Some((rule, escape(&first.prefix).to_string(), escape(&first.account).to_string(), found.len() - 1))
    }

    /// All endpoints that Postfix may connect to.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        let maps = self.socketmaps.iter().map(|(at, _)| at).chain(self.tcp_tables.iter().map(|(at, _)| at));
        self.milter.iter().chain(maps)
    }

    /// Whether the path of a socket contains the name of rcptd.
    pub fn is_named_for_us(path: &Path) -> bool {
        path.to_string_lossy().contains(OUR_NAME)
    }

    /// Whether rcptd.conf has this domain, in any case.
    pub fn has_domain(&self, domain: &str) -> bool {
        self.domains.iter().any(|(ours, _)| ours.eq_ignore_ascii_case(domain))
    }

    /// Whether a milter in a parameter of `service` is rcptd.
    pub fn is_milter(&self, text: &str, service: Option<&Service>, postfix: &Postfix) -> bool {
        let place = Place::milter(text, service, postfix);
        place.is_some_and(|place| self.milter.iter().any(|at| place.is_meant_for(at, postfix)))
    }

    /// The map of rcptd that this table looks up; `None` if the table is not one of rcptd.
    pub fn asked(&self, map: &Map<'_>, service: Option<&Service>, postfix: &Postfix) -> Option<Asked<'_>> {
        let service = if map.proxied { postfix.internal("proxymap") } else { service };
        match map.kind {
            "socketmap" => {
                let (socket, name) = map.argument.rsplit_once(':')?;
                let place = Place::parse(socket, service, postfix)?;
                let of = |is: &dyn Fn(&Endpoint) -> bool| self.socketmaps.iter().find(|(at, _)| is(at));
                let exact = of(&|at| place.is(at));
                let (_, served) = exact.or_else(|| of(&|at| place.is_meant_for(at, postfix)))?;
                let is_served = served.as_ref().is_none_or(|names| names.iter().any(|served| served == name));
                let found = self.maps.iter().find(|map| is_served && map.name == name);
                Some(found.map_or(Asked::Nothing, Asked::Map))
            }
            "tcp" => {
                let place = Place::inet(map.argument)?;
                let (_, name) = self.tcp_tables.iter().find(|(at, _)| place.is(at))?;
                let found = self.maps.iter().find(|map| map.name == *name);
                Some(found.map_or(Asked::Nothing, Asked::Map))
            }
            _ => None,
        }
    }

    /// Whether a list of tables asks the resolver, for one of `views` if any are given.
    pub fn asks(
        &self,
        list: &str,
        service: Option<&Service>,
        postfix: &Postfix,
        views: &[ResolverView],
    ) -> bool {
        let wanted = |map: &Map<'_>| match self.asked(map, service, postfix) {
            Some(Asked::Map(map)) if views.is_empty() => !map.views.is_empty(),
            Some(Asked::Map(map)) => views.iter().any(|view| map.views.contains(word(*view))),
            _ => false,
        };
        Map::all(list).iter().any(wanted)
    }

    /// Looks up a key of Postfix in a map. It is only called for addresses that do not exist, so the resolver
    /// finds nothing.
    pub fn entry(&self, map: &OwnMap, key: &str) -> Entry {
        self.map_entry(map, key, MAX_DEPTH)
    }

    fn map_entry(&self, map: &OwnMap, key: &str, depth: usize) -> Entry {
        let context = Context { delimiters: "", is_local: &|_| false };
        let candidates = map.search.candidates(key, &context);
        any(
            candidates.iter().flat_map(|candidate| map.sources.iter().map(move |source| (source, candidate))),
            |(source, candidate)| self.source_entry(source, &candidate.key, depth),
        )
    }

    fn source_entry(&self, source: &SourceSpec, key: &str, depth: usize) -> Entry {
        // Maps may refer to each other.
        let Some(depth) = depth.checked_sub(1) else { return Entry::CannotTell };
        match source {
            SourceSpec::Resolver(view) if ResolverView::named(view) == Some(ResolverView::Domains) => {
                if self.has_domain(key) { Entry::Found(Some(key.to_owned())) } else { Entry::NotFound }
            }
            SourceSpec::Resolver(_) | SourceSpec::Fail(_) => Entry::NotFound,
            SourceSpec::Inline(entries) => {
                let entry = entries.iter().find(|(entry, _)| folded(entry, true) == folded(key, true));
                entry.map_or(Entry::NotFound, |(_, value)| Entry::Found(Some(value.clone())))
            }
            SourceSpec::Static(value) => Entry::Found(Some(value.clone())),
            SourceSpec::Texthash(path) => self.lists.get(path).map_or(Entry::CannotTell, |list| {
                list.get(&folded(key, true))
                    .map_or(Entry::NotFound, |value| Entry::Found(Some(value.to_owned())))
            }),
            SourceSpec::Map(name) => {
                let map = self.maps.iter().find(|map| map.name == *name);
                map.map_or(Entry::NotFound, |map| self.map_entry(map, key, depth))
            }
            SourceSpec::Union(members) => any(members, |member| self.source_entry(member, key, depth)),
            SourceSpec::Pipe(members) => {
                pipe(members, key, |member, key| self.source_entry(member, key, depth))
            }
            SourceSpec::Lmdb(_)
            | SourceSpec::Database(_)
            | SourceSpec::TcpTable(_)
            | SourceSpec::Socketmap(..) => Entry::CannotTell,
        }
    }
}

/// The result of matching a table with the maps of rcptd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked<'o> {
    /// The table is this map.
    Map(&'o OwnMap),
    /// The table is not a map that rcptd serves at this endpoint.
    Nothing,
}

/// The name of a view in the configuration.
pub fn word(view: ResolverView) -> &'static str {
    ResolverView::ALL.iter().find(|(_, one)| *one == view).map_or("", |(word, _)| word)
}

/// Calls a function with the relevant members of a source.
type Members = dyn Fn(&SourceSpec, &mut dyn FnMut(&SourceSpec));

/// The views for which the map `name` asks the resolver, also through other maps. `members` calls its
/// argument with the relevant members of a source.
fn views(config: &Config, name: &str, members: &Members) -> BTreeSet<&'static str> {
    let (mut found, mut seen, mut next) = (BTreeSet::new(), BTreeSet::new(), vec![name.to_owned()]);
    while let Some(name) = next.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        let map = config.tables.maps.iter().find(|map| *map.name == *name);
        for source in map.into_iter().flat_map(|map| &map.sources) {
            members(source, &mut |source| match source {
                SourceSpec::Resolver(view) => found.extend(ResolverView::named(view).map(word)),
                SourceSpec::Map(other) => next.push(other.clone()),
                _ => (),
            });
        }
    }
    found
}

fn every_member(source: &SourceSpec, f: &mut dyn FnMut(&SourceSpec)) {
    source.walk(&mut |source| f(source));
}

/// Visits the members whose values are those of the whole source.
fn last_member(source: &SourceSpec, f: &mut dyn FnMut(&SourceSpec)) {
    match source {
        SourceSpec::Union(members) => members.iter().for_each(|member| last_member(member, f)),
        SourceSpec::Pipe(members) => {
            if let Some(member) = members.last() {
                last_member(member, f);
            }
        }
        source => f(source),
    }
}

/// A server that is asked by SMTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedServer {
    /// The source, as written.
    pub source: String,
    /// The command.
    pub question: SmtpQuestion,
    /// Host and port; `None` for names in DNS and sockets.
    pub place: Option<(String, u16)>,
}

/// The command with which a mail server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpQuestion {
    /// `vrfy:`
    Vrfy,
    /// `rcpt:`
    Rcpt,
}

impl SmtpQuestion {
    /// The command.
    pub fn command(self) -> &'static str {
        self.of("VRFY", "RCPT")
    }

    /// Returns the value for this command.
    pub fn of<T>(self, vrfy: T, rcpt: T) -> T {
        match self {
            SmtpQuestion::Vrfy => vrfy,
            SmtpQuestion::Rcpt => rcpt,
        }
    }
}

impl AskedServer {
    /// Parses a `vrfy:` or `rcpt:` source. Returns `None` for other sources; Postfix does not serve LMTP.
    fn new(source: &str) -> Option<Self> {
        const SMTP: u16 = 25;
        let (question, target) = match source.split_once(':')? {
            ("vrfy", target) => (SmtpQuestion::Vrfy, target),
            ("rcpt", target) => (SmtpQuestion::Rcpt, target),
            _ => return None,
        };
        let named = ["mx:", "srv:", "unix:"].iter().any(|kind| target.starts_with(kind));
        let place = if named { None } else { host_and_port(target, Some(SMTP)).ok() };
        Some(AskedServer { source: source.to_owned(), question, place })
    }

    /// Whether the server listens at a UNIX socket.
    pub fn is_socket(&self) -> bool {
        self.source.split_once(':').is_some_and(|(_, target)| target.starts_with("unix:"))
    }
}

/// The address at which Postfix looks for another program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A TCP port.
    Inet(String, u16),
    /// A UNIX socket, by its path outside of any chroot.
    Unix(PathBuf),
}

impl Place {
    /// Parses the place of a milter: `inet:host:port`, `unix:path`, or `{ place, settings }`.
    pub fn milter(text: &str, service: Option<&Service>, postfix: &Postfix) -> Option<Self> {
        let first = super::maps::words(unbraced(text)).into_iter().next()?;
        Place::parse(first, service, postfix)
    }

    /// Parses `inet:host:port` or `unix:path`, with the chroot of `service`.
    pub fn parse(text: &str, service: Option<&Service>, postfix: &Postfix) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        match kind {
            "inet" => Place::inet(rest),
            "unix" | "local" => {
                let queue = PathBuf::from(postfix.value(None, "queue_directory"));
                let chroot = service.is_some_and(|service| service.chroot);
                let path = match rest.strip_prefix('/') {
                    Some(below) if chroot => queue.join(below),
                    Some(_) => PathBuf::from(rest),
                    None => queue.join(rest),
                };
                Some(Place::Unix(path))
            }
            _ => None,
        }
    }

    fn inet(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Some(Place::Inet(host.to_owned(), port.parse().ok()?))
    }

    /// Whether the place is one of rcptd, even with a wrong path: rcptd listens there, the path contains the
    /// name of rcptd, or the path is right outside of the chroot. A wrong path defers mail, and is a separate
    /// finding.
    fn is_meant_for(&self, endpoint: &Endpoint, postfix: &Postfix) -> bool {
        let in_chroot = match (self, endpoint) {
            (Place::Unix(path), Endpoint::Unix(at)) => path
                .strip_prefix(postfix.value(None, "queue_directory"))
                .is_ok_and(|below| Path::new("/").join(below) == *at),
            _ => false,
        };
        self.is(endpoint) || in_chroot || matches!(self, Place::Unix(path) if Ours::is_named_for_us(path))
    }

    /// Whether rcptd listens there.
    fn is(&self, endpoint: &Endpoint) -> bool {
        match (self, endpoint) {
            (Place::Inet(host, port), Endpoint::Inet { host: at, port: listens }) => {
                port == listens && is_reached(host, at)
            }
            (Place::Unix(path), Endpoint::Unix(at)) => path == at,
            // rcptd.conf has no path in this case: a socket with rcptd in its path counts.
            (Place::Unix(path), Endpoint::Systemd(_)) => Ours::is_named_for_us(path),
            _ => false,
        }
    }
}

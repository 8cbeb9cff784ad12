//! Directories: searches by LDAP version 3 (RFC 4511), and returns the values of attributes of the entries.
//!
//! `entry` decides which values of an entry count, `walk` follows the references between entries, and `url` parses the
//! references that are URLs.
//!
//! Every query has its own connection. LDAP numbers its messages, so several queries could share one, but the
//! library keeps an abandoned query, and the directory continues it. So a connection returns to the pool only
//! after the last message of a result. It is closed if the query is dropped, which abandons the query in the
//! directory (RFC 4511, section 5.3).

mod entry;
mod url;
mod walk;

use self::entry::{Item, Roles};
use self::walk::{ANYTHING, Search, Walk};
use super::database::Database;
use super::hosts::Hosts;
use super::results::ResultSettings;
use super::settings::{DatabaseSettings, MAX_ROWS, Query, Scope};
use super::template::{Part, Template};
use super::value::quoted;
use super::witness::Witness;
use super::{Lookup, LookupFuture, Source, Table};
use crate::net::connect::{Socket, connect};
use crate::net::host::Host;
use crate::net::idle::{IdlePool, Limits};
use crate::net::tls;
use crate::observe::Metrics;
use ldap3::{
    Ldap, LdapConnAsync, LdapConnSettings, LdapError, LdapResult, SearchOptions, StdStream, dn_escape,
    ldap_escape,
};
use rustls::ClientConfig;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// Result codes that are handled separately (RFC 4511, appendix A).
const SUCCESS: u32 = 0;
const SIZE_LIMIT_EXCEEDED: u32 = 4;
const REFERRAL: u32 = 10;
const NO_SUCH_OBJECT: u32 = 32;

/// The attribute name that means "no attributes" (RFC 4511, section 4.5.1.8).
const NO_ATTRIBUTES: &str = "1.1";

/// The servers of a directory.
struct Directory {
    hosts: Hosts,
    servers: Vec<Server>,
    user: Option<(String, super::settings::Password)>,
    /// Whether connections are encrypted by STARTTLS, except to servers of `ldaps:`.
    starts_tls: bool,
    tls: Option<Arc<ClientConfig>>,
    limit: Duration,
    deadline: Duration,
    witness: Witness<Question>,
}

/// One server and its connections.
struct Server {
    host: Host,
    /// Whether connections are encrypted from the first octet.
    is_ldaps: bool,
    idle: Arc<IdlePool<Session>>,
    slots: Semaphore,
}

/// A connection and the task that reads and writes on it.
struct Session {
    ldap: Ldap,
    driver: JoinHandle<()>,
    /// Time at which it was opened.
    born: Instant,
    /// The address of the peer.
    peer: String,
}

impl Drop for Session {
    fn drop(&mut self) {
        // If the server does not read, the task would wait forever.
        self.driver.abort();
    }
}

/// The search of a map.
struct LdapTable {
    directory: Arc<Directory>,
    question: Arc<Question>,
}

/// The search of a map: templates, scope and attributes.
#[derive(Debug, PartialEq, Eq)]
struct Question {
    base: Template,
    filter: Template,
    scope: Scope,
    roles: Roles,
    /// The names of all attributes.
    attributes: Arc<[String]>,
    recursion_limit: usize,
    /// Number of names at the end of the base that are the same for all keys, at least one. If these are not
    /// found, the directory is empty or the wrong one, and its "not found" does not count.
    fixed: usize,
    results: Arc<ResultSettings>,
}

/// What a directory returned for one search.
enum Reply {
    /// The items of all entries; `None` if there are no entries.
    Items(Option<Vec<Item>>),
    /// There is no such base; the number of names at its end that exist.
    NoBase(usize),
    /// The reason of a temporary failure.
    Failed(String),
}

pub(super) fn open(settings: &DatabaseSettings, metrics: &Arc<Metrics>) -> Result<Arc<dyn Database>, String> {
    let user = match (&settings.user, &settings.password) {
        (None, None) => None,
        (Some(user), Some(password)) if !password.reveal().is_empty() => {
            Some((user.clone(), password.clone()))
        }
        // RFC 4513, section 5.1.2: a name without a password is an anonymous bind, which is easily
        // overlooked.
        (Some(user), _) => {
            return Err(format!("a bind as {user} needs a password: set password_file, or leave out user"));
        }
        (None, Some(_)) => {
            return Err("a password needs a user: set user to a DN".into());
        }
    };
    // At least 1: with no connections at all, every query would wait forever.
    let slots =
        usize::try_from(settings.connections.max(1)).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
    // There are never more than slots: whoever returns a connection still holds one.
    let idle = || IdlePool::new(Limits::of(slots), drop);
    let server = |host: &Host| Server {
        host: host.clone(),
        is_ldaps: settings.ldaps.contains(host),
        idle: idle(),
        slots: Semaphore::new(slots),
    };
    let tls = (settings.tls || !settings.ldaps.is_empty()).then(|| tls::client(settings.tls_ca.as_deref()));
    Ok(Arc::new(Shared(Arc::new(Directory {
        hosts: Hosts::new(settings, metrics)?,
        servers: settings.hosts.iter().map(server).collect(),
        user,
        starts_tls: settings.tls,
        tls: tls.transpose()?,
        limit: settings.connect_limit(),
        deadline: settings.deadline,
        witness: Witness::new(settings, metrics),
    }))))
}

#[derive(Debug)]
struct Shared(Arc<Directory>);

impl Database for Shared {
    fn table_with(&self, query: &Query, results: &Arc<ResultSettings>) -> Result<Arc<Table>, String> {
        let Query::Ldap { base, filter, attributes, scope } = query else {
            return Err("a database of type ldap is searched: write base, filter and attribute".into());
        };
        let base = Template::parse(base).map_err(|remedy| format!("base: {remedy}"))?;
        let filter = Template::parse(filter).map_err(|remedy| format!("filter: {remedy}"))?;
        if !base.has_key() && !filter.has_key() {
            return Err("every key would have the same value: write %s into filter".into());
        }
        let roles = Roles::of(attributes);
        let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ';');
        let is_name = |name: &str| !name.is_empty() && name.chars().all(part) && name != NO_ATTRIBUTES;
        if let Some(name) = roles.names().find(|name| !is_name(name)) {
            return Err(format!("\"{name}\" is not the name of an attribute: write one such as mail"));
        }
        if attributes.plain.is_empty() && attributes.leaf.is_empty() && attributes.terminal.is_empty() {
            return Err("no key would have a value: write the attribute with the values".into());
        }
        let question = Question {
            fixed: fixed(&base),
            base,
            filter,
            scope: *scope,
            attributes: roles.names().map(str::to_owned).collect(),
            roles,
            recursion_limit: attributes.recursion_limit,
            results: results.clone(),
        };
        // The sample may be any key, since keys are escaped.
        let sample = question.expand("user@example.com").map(|search| search.filter).unwrap_or_default();
        if ldap3::parse_filter(&sample).is_err() {
            return Err(format!("filter {sample} violates RFC 4515: write one such as (mail=%s)"));
        }
        let question = Arc::new(question);
        self.0.witness.add(&question);
        Ok(Arc::new(LdapTable { directory: self.0.clone(), question }))
    }
}

impl Question {
    /// The search for a key; `None` if the key is not looked up.
    fn search(&self, key: &str) -> Option<Search> {
        self.expand(key).filter(|_| self.results.admits(key))
    }

    /// The search for any key; `None` if it needs a user or a domain that the key does not have.
    fn expand(&self, key: &str) -> Option<Search> {
        let base = self.base.expand(key, dn_escape)?;
        let filter = self.filter.expand(key, ldap_escape)?;
        Some(Search { base, filter, scope: self.scope, attributes: self.attributes.clone() })
    }
}

impl Source<str, Lookup<String>> for LdapTable {
    fn look_up<'a>(&'a self, key: &'a str) -> LookupFuture<'a, Lookup<String>> {
        Box::pin(async move {
            if key.contains('\0') {
                // OpenLDAP 2.5 compares addresses (IA5 strings) only up to the first NUL.
                return Lookup::temp_fail("the key contains a NUL, at which directories may stop reading");
            }
            if self.question.search(key).is_none() {
                return Lookup::NotFound;
            }
            self.directory.hosts.ask(|at, came| self.ask(at, came, key)).await
        })
    }
}

impl LdapTable {
    async fn ask(&self, at: usize, came: Instant, key: &str) -> Result<Lookup<String>, String> {
        let directory = &*self.directory;
        let server = directory.servers.get(at).ok_or("no such server")?;
        let _slot = server.slots.acquire().await.map_err(|error| error.to_string())?;
        // A server that was restarted has closed its connections, which may only show when one is used.
        if let Some(session) = server.take() {
            match self.run(server, session, key).await {
                Ok(answer) => return Ok(answer),
                // The other idle connections are probably closed, too.
                Err(_) => server.idle.clear(),
            }
        }
        if let Some(why) = directory.hosts.failed_since(at, came) {
            return Err(why);
        }
        let session = timeout(directory.limit, directory.dial(server))
            .await
            .map_err(|_| format!("no connection within {:?}", directory.limit))??;
        self.run(server, session, key).await
    }

    /// Searches, and returns the connection to the pool if its result was read completely. `Err` if the
    /// connection broke.
    async fn run(&self, server: &Server, mut session: Session, key: &str) -> Result<Lookup<String>, String> {
        let directory = &*self.directory;
        let (mut answer, mut is_whole) = directory.values(&mut session, &self.question, key).await?;
        let peer = session.peer.clone();
        match answer {
            Lookup::Found(_) => directory.witness.found(&peer),
            Lookup::NotFound => {
                let asked = tokio::sync::Mutex::new((&mut session, is_whole));
                let ask = |question: Arc<Question>, key: Arc<str>| {
                    let asked = &asked;
                    async move {
                        let (session, is_whole) = &mut *asked.lock().await;
                        let asked = directory.values(session, &question, &key).await;
                        let (answer, whole) = asked.unwrap_or_else(|why| (Lookup::temp_fail(why), false));
                        *is_whole &= whole;
                        answer
                    }
                };
                answer = directory.witness.vouch(&peer, ask).await;
                is_whole = asked.into_inner().1;
            }
            Lookup::TempFail(_) => (),
        }
        if is_whole {
            let born = session.born;
            server.idle.put(session, born);
        }
        Ok(answer)
    }
}

impl Directory {
    /// Searches, follows the references in the result, and returns the values. Also returns whether all results
    /// were read completely. `Err` if the connection broke.
    async fn values(
        &self,
        session: &mut Session,
        question: &Question,
        key: &str,
    ) -> Result<(Lookup<String>, bool), String> {
        let Some(mut search) = question.search(key) else { return Ok((Lookup::NotFound, true)) };
        let mut walk = Walk::new(question, key);
        loop {
            let (reply, is_whole) = self.search(session, &search, &mut walk).await?;
            match reply {
                // Some directories hide an entry like this, and others like one that is gone.
                Reply::Items(None) if walk.must_find(&search) => walk.skip(&search),
                Reply::Items(items) => walk.enter(search, items.unwrap_or_default()),
                Reply::NoBase(matched) if walk.is_at_key() => {
                    let is_known = question.base.has_key() && matched >= question.fixed;
                    let answer =
                        if is_known { Lookup::NotFound } else { Lookup::temp_fail(no_base(&search)) };
                    return Ok((answer, is_whole));
                }
                // The entry does not exist. If the entry above it does not exist either, the directory may be incomplete.
                Reply::NoBase(matched) if matched + 1 == names(&search.base) => walk.skip(&search),
                Reply::NoBase(_) => return Ok((Lookup::temp_fail(no_base(&search)), is_whole)),
                Reply::Failed(why) => return Ok((Lookup::temp_fail(why), is_whole)),
            }
            search = match walk.next() {
                Ok(Some(next)) => next,
                Ok(None) => return Ok((walk.answer(), true)),
                Err(why) => return Ok((Lookup::temp_fail(why), true)),
            };
        }
    }

    /// Sends one search. Also returns whether its result was read completely. `Err` if the connection broke.
    async fn search(
        &self,
        session: &mut Session,
        search: &Search,
        walk: &mut Walk<'_>,
    ) -> Result<(Reply, bool), String> {
        let limit = i32::try_from(MAX_ROWS).unwrap_or(i32::MAX);
        // The directory need not search longer than the caller waits.
        let seconds = i32::try_from(self.deadline.as_secs() + 1).unwrap_or(i32::MAX);
        let options = SearchOptions::new().sizelimit(limit).timelimit(seconds);
        session.ldap.with_search_options(options);
        let scope = match search.scope {
            Scope::Base => ldap3::Scope::Base,
            Scope::One => ldap3::Scope::OneLevel,
            Scope::Sub => ldap3::Scope::Subtree,
        };
        let searching =
            session.ldap.streaming_search(&search.base, scope, &search.filter, &*search.attributes);
        let mut stream = match searching.await {
            Ok(stream) => stream,
            Err(LdapError::FilterParsing) => {
                return Ok((Reply::Failed(format!("filter {} cannot be read", search.filter)), false));
            }
            Err(error) => return Err(error.to_string()),
        };
        let (mut items, mut is_found) = (Vec::new(), false);
        while let Some(entry) = stream.next().await.map_err(|error| error.to_string())? {
            // References to other directories are ignored, as in Postfix: Active Directory adds some to each
            // search at its root.
            if entry.is_ref() || entry.is_intermediate() {
                continue;
            }
            is_found = true;
            if let Err(why) = walk.read(entry, &mut items) {
                return Ok((Reply::Failed(why), false));
            }
        }
        let result = stream.finish().await;
        drop(stream);
        let is_whole = matches!(result.rc, SUCCESS | NO_SUCH_OBJECT);
        let reply = match result.rc {
            SUCCESS => Reply::Items(is_found.then_some(items)),
            NO_SUCH_OBJECT => Reply::NoBase(names(&result.matched)),
            _ => Reply::Failed(refused(&result)),
        };
        Ok((reply, is_whole))
    }
}

fn no_base(search: &Search) -> String {
    format!("there is no base {}, or it may not be read: check base and user", quoted(search.base.as_bytes()))
}

/// Number of names at the end of a base that do not contain the key.
fn fixed(base: &Template) -> usize {
    match base.parts().last() {
        // The first name of the text continues the name with the key.
        Some(Part::Text(text)) if base.has_key() => names(text).saturating_sub(1).max(1),
        Some(Part::Text(text)) => names(text),
        _ => 1,
    }
}

/// Number of names in a DN (RFC 4514). They are separated by commas that are neither escaped nor in quotes.
fn names(dn: &str) -> usize {
    let (mut count, mut quoted, mut escaped) = (usize::from(!dn.trim().is_empty()), false, false);
    for c in dn.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            ',' | ';' if !quoted => count += 1,
            _ => (),
        }
    }
    count
}

/// The reason why a directory returned no result.
fn refused(result: &LdapResult) -> String {
    match result.rc {
        SIZE_LIMIT_EXCEEDED => format!("there are more entries than {MAX_ROWS} or than the directory allows"),
        REFERRAL => {
            let to = result.refs.first().map_or("another directory", String::as_str);
            format!("the directory refers to {}: use that one", quoted(to.as_bytes()))
        }
        _ => quoted(format!("the directory returned {result}").as_bytes()),
    }
}

impl Directory {
    /// Connects, starts TLS, and binds.
    async fn dial(&self, server: &Server) -> Result<Session, String> {
        let host = &server.host;
        let born = Instant::now();
        let socket = connect(host, self.limit).await.map_err(|error| error.to_string())?;
        let peer = socket.peer(host);
        let settings = LdapConnSettings::new();
        let (settings, url) = match socket {
            Socket::Tcp(stream) => {
                let stream = stream.into_std().map_err(|error| error.to_string())?;
                let settings = match &self.tls {
                    Some(config) => {
                        let starts_tls = self.starts_tls && !server.is_ldaps;
                        settings.set_starttls(starts_tls).set_config(config.clone())
                    }
                    None => settings,
                };
                let scheme = if server.is_ldaps { "ldaps" } else { "ldap" };
                (settings.set_std_stream(StdStream::Tcp(stream)), format!("{scheme}://{host}"))
            }
            // Data on a UNIX socket does not leave the host.
            Socket::Unix(stream) => {
                let stream = stream.into_std().map_err(|error| error.to_string())?;
                (settings.set_std_stream(StdStream::Unix(stream)), "ldapi:///".into())
            }
        };
        let (connection, ldap) =
            LdapConnAsync::with_settings(settings, &url).await.map_err(|error| error.to_string())?;
        let driver = tokio::spawn(async move {
            // The caller gets the error as well.
            let _ = connection.drive().await;
        });
        let mut session = Session { ldap, driver, born, peer };
        let Some((user, password)) = &self.user else {
            // No anonymous bind: some directories reject it. Any reply shows that the directory is up.
            let root = session.ldap.search("", ldap3::Scope::Base, ANYTHING, [NO_ATTRIBUTES]);
            return root.await.map(|_| session).map_err(|error| error.to_string());
        };
        let bound = session.ldap.simple_bind(user, password.reveal()).await;
        match bound.map_err(|error| error.to_string())? {
            LdapResult { rc: SUCCESS, .. } => Ok(session),
            refusal => Err(format!("bind as {user}: {}", refused(&refusal))),
        }
    }
}

impl Server {
    /// Takes the idle connection that was used last, except closed ones.
    fn take(&self) -> Option<Session> {
        loop {
            let mut session = self.idle.take(|_| true)?;
            if !session.ldap.is_closed() {
                return Some(session);
            }
        }
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

impl fmt::Debug for LdapTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookup")
            .field("directory", &self.directory)
            .field("question", &self.question)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_names_of_a_dn() {
        for (dn, want) in [
            ("", 0),
            (" ", 0),
            ("dc=test", 1),
            ("ou=people,dc=example,dc=test", 3),
            ("ou=a\\,b,dc=test", 2),
            ("ou=a\\2Cb,dc=test", 2),
            ("ou=\"a,b\",dc=test", 2),
            ("ou=a\\\\,dc=test", 2),
        ] {
            assert_eq!(names(dn), want, "{dn}");
        }
        for (base, want) in [
            ("dc=example,dc=test", 2),
            ("uid=%u,ou=people,dc=test", 2),
            ("uid=%u,ou=%d,dc=test", 1),
            ("uid=%u@x,dc=test", 1),
            ("uid=x,dc=%d", 1),
            ("%s", 1),
        ] {
            assert_eq!(fixed(&Template::parse(base).unwrap()), want, "{base}");
        }
    }
}

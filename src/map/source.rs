//! The source of a map's values in the configuration: `type:arguments`.
//!
//! Types and braces are those of Postfix (DATABASE_README), so that tables can be copied from main.cf:
//! `inline:{ key=value, { key = text with blanks } }`, `static:{ text with blanks }`, `unionmap:{ type:name,
//! type:name }`. Braces must be balanced, and spaces at their inner edges are ignored.

use super::{MAX_MEMBERS, MAX_VALUE};
use crate::net::host::{Host, host_and_port};
use diagnostics::nearest;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Maximum nesting of sources. Each level is a recursive call, and deeper ones are not readable.
pub const MAX_DEPTH: usize = 8;

/// A parsed source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceSpec {
    /// The resolver, for a view: `resolver:virtual_alias`.
    Resolver(String),
    /// Keys and values as they are written in the configuration.
    Inline(Vec<(String, String)>),
    /// The same value for every key.
    Static(String),
    /// A temporary failure with this reason for every key, for testing.
    Fail(String),
    /// A text file in the format of postmap(1), by its absolute path.
    Texthash(PathBuf),
    /// An LMDB file made by postmap(1), by its absolute path.
    Lmdb(PathBuf),
    /// Another map, by its name.
    Map(String),
    /// A database of the configuration, by its name.
    Database(String),
    /// A tcp_table(5) server; always [`Host::Inet`].
    TcpTable(Host),
    /// A socketmap_table(5) server, and the name of the map on it.
    Socketmap(Host, String),
    /// The joined values of all members.
    Union(Vec<SourceSpec>),
    /// A chain of lookups: the value of each member is the key of the next.
    Pipe(Vec<SourceSpec>),
}

/// The types with their syntax.
const KINDS: [(&str, &str); 12] = [
    ("resolver", "resolver:PURPOSE, as in resolver:virtual_alias"),
    ("inline", "inline:{ KEY=VALUE, { KEY = VALUE WITH BLANKS } }"),
    ("static", "static:VALUE or static:{ VALUE WITH BLANKS }"),
    ("fail", "fail:REASON"),
    ("texthash", "texthash:/PATH"),
    ("lmdb", "lmdb:/PATH"),
    ("map", "map:NAME"),
    ("database", "database:NAME"),
    ("tcp", "tcp:HOST:PORT or tcp:[IPV6]:PORT"),
    ("socketmap", "socketmap:inet:HOST:PORT:NAME or socketmap:unix:/PATH:NAME"),
    ("unionmap", "unionmap:{ TYPE:ARGUMENTS, TYPE:ARGUMENTS }"),
    ("pipemap", "pipemap:{ TYPE:ARGUMENTS, TYPE:ARGUMENTS }"),
];

/// Types of Postfix that have another name in rcptd.
const ELSEWHERE: [(&[&str], &str); 6] = [
    (&["hash", "btree", "cdb", "dbm", "sdbm"], "write texthash:/PATH with the text that postmap reads"),
    (&["mysql", "pgsql", "sqlite", "ldap"], "describe it as a [[database]] and write database:NAME"),
    (&["memcache"], "it is only a cache; write the table in its parameter backup, and set cache_ttl"),
    (&["proxy"], "write only what follows proxy:"),
    (&["regexp", "pcre", "cidr"], "patterns are for the rules: write them there"),
    (&["randmap", "environ", "unix", "nis", "nisplus", "netinfo", "internal"], "rcptd does not support it"),
];

/// Characters that separate members, and are ignored at the edges.
const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

/// The file of `lmdb:path`: like Postfix, with `.lmdb` at the end of `path` if it does not end with that.
pub fn lmdb_file(path: &Path) -> PathBuf {
    let mut path = path.to_path_buf();
    if path.extension().is_none_or(|extension| extension != "lmdb") {
        path.as_mut_os_string().push(".lmdb");
    }
    path
}

impl SourceSpec {
    /// Calls `f` for this source and, recursively, for its members.
    pub fn walk(&self, f: &mut impl FnMut(&SourceSpec)) {
        f(self);
        if let SourceSpec::Union(members) | SourceSpec::Pipe(members) = self {
            for member in members {
                member.walk(f);
            }
        }
    }
}

impl FromStr for SourceSpec {
    type Err = String;

    /// The error is a sentence with the remedy.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains(|c: char| c.is_control() && !BLANKS.contains(&c)) {
            return Err("it contains a control character: remove it".into());
        }
        if !is_balanced(text) {
            return Err(format!("\"{text}\": braces must come in pairs: write a }} for every {{"));
        }
        read(text, MAX_DEPTH)
    }
}

fn read(text: &str, depth: usize) -> Result<SourceSpec, String> {
    let text = text.trim_matches(BLANKS);
    let (word, arguments) = match text.split_once(':') {
        Some((word, arguments)) => (word, Some(arguments.trim_matches(BLANKS))),
        None => (text, None),
    };
    let Some((_, usage)) = KINDS.iter().find(|(name, _)| *name == word) else { return Err(unknown(word)) };
    let Some(arguments) = arguments else {
        return Err(format!("\"{text}\" lacks the colon after the type: write {usage}"));
    };
    let Some(depth) = depth.checked_sub(1) else {
        return Err(format!("sources can be nested {MAX_DEPTH} deep at most: name the inner one as a map"));
    };
    let members = || members(arguments, depth);
    match word {
        "unionmap" => return Ok(SourceSpec::Union(members()?)),
        "pipemap" => return Ok(SourceSpec::Pipe(members()?)),
        _ => (),
    }
    leaf(word, arguments).map_err(|error| format!("\"{text}\" {error}: write {usage}"))
}

/// Parses a source without members. The error is the problem with its remedy.
fn leaf(word: &str, arguments: &str) -> Result<SourceSpec, String> {
    if word == "inline" {
        return entries(arguments).map(SourceSpec::Inline);
    }
    let argument = braced(arguments).unwrap_or(arguments);
    Ok(match word {
        "resolver" => SourceSpec::Resolver(name(argument, "view")?),
        "static" if argument.is_empty() => return Err("has no value".into()),
        "static" if argument.len() > MAX_VALUE => return Err(too_long()),
        "static" => SourceSpec::Static(argument.into()),
        "fail" if argument.is_empty() => return Err("has no reason".into()),
        "fail" => SourceSpec::Fail(argument.into()),
        "texthash" => SourceSpec::Texthash(path(argument)?),
        "lmdb" => SourceSpec::Lmdb(path(argument)?),
        "map" => SourceSpec::Map(name(argument, "name")?),
        "database" => SourceSpec::Database(name(argument, "name")?),
        "tcp" => SourceSpec::TcpTable(inet(argument)?),
        _ => {
            let (host, map) = argument.rsplit_once(':').ok_or("names no map")?;
            let map = name(map, "name of the map")?;
            let host = match host.split_once(':') {
                Some(("inet", host)) => inet(host)?,
                Some(("unix", socket)) => Host::Unix(path(socket)?),
                _ => return Err("names neither inet: nor unix:".into()),
            };
            SourceSpec::Socketmap(host, map)
        }
    })
}

fn unknown(word: &str) -> String {
    if let Some((_, remedy)) = ELSEWHERE.iter().find(|(words, _)| words.contains(&word)) {
        return format!("\"{word}\" is not a type of source here: {remedy}");
    }
    let known = KINDS.map(|(name, _)| name);
    let meant = nearest(word, known).map_or(String::new(), |meant| format!(", did you mean \"{meant}\"?"));
    let known = known.join(", ");
    format!("\"{word}\" is not a type of source{meant} (there are: {known}; write TYPE:ARGUMENTS)")
}

fn too_long() -> String {
    format!("has a value of more than {MAX_VALUE} octets, which no mail server takes")
}

fn members(arguments: &str, depth: usize) -> Result<Vec<SourceSpec>, String> {
    let inside = braced(arguments).ok_or_else(|| {
        format!("\"{arguments}\" is not in braces: write {{ TYPE:ARGUMENTS, TYPE:ARGUMENTS }}")
    })?;
    let members = items(inside);
    match members.len() {
        0 => Err("no source is in the braces: write { TYPE:ARGUMENTS, TYPE:ARGUMENTS }".into()),
        1..=MAX_MEMBERS => members.into_iter().map(|member| read(member, depth)).collect(),
        _ => Err(format!("more than {MAX_MEMBERS} sources are in the braces: put some of them into a map")),
    }
}

fn entries(arguments: &str) -> Result<Vec<(String, String)>, String> {
    let inside = braced(arguments).ok_or("has no braces")?;
    let entries: Vec<_> = items(inside).into_iter().map(entry).collect::<Result<_, _>>()?;
    if entries.is_empty() { Err("has no entry".into()) } else { Ok(entries) }
}

fn entry(item: &str) -> Result<(String, String), String> {
    let item = braced(item).unwrap_or(item);
    let mut quoted = false;
    let equals = item.char_indices().find(|(_, c)| {
        quoted ^= *c == '"';
        *c == '=' && !quoted
    });
    let (at, _) = equals.ok_or_else(|| format!("has an entry without = (\"{item}\")"))?;
    let (key, value) = (item[..at].trim_matches(BLANKS), item[at + 1..].trim_matches(BLANKS));
    match (key.is_empty(), value.len()) {
        (true, _) => Err(format!("has an entry without a key (\"{item}\")")),
        (_, 0) => Err(format!("has an entry without a value (\"{item}\")")),
        (_, 1..=MAX_VALUE) => Ok((key.into(), value.into())),
        _ => Err(too_long()),
    }
}

fn name(text: &str, what: &str) -> Result<String, String> {
    let fits = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    match text {
        "" => Err(format!("lacks the {what}")),
        text if text.chars().all(fits) => Ok(text.into()),
        text => Err(format!("has a {what} with characters besides letters, digits, -, _ and . (\"{text}\")")),
    }
}

/// The path must be absolute, so that it does not depend on the working directory of rcptd.
fn path(text: &str) -> Result<PathBuf, String> {
    if text.starts_with('/') {
        Ok(text.into())
    } else {
        Err("needs an absolute path, which begins with /".into())
    }
}

fn inet(text: &str) -> Result<Host, String> {
    host_and_port(text, None).map(|(host, port)| Host::Inet(host, port))
}

fn is_balanced(text: &str) -> bool {
    let mut depth = 0_usize;
    text.bytes().all(|b| match b {
        b'{' => {
            depth += 1;
            true
        }
        b'}' if depth == 0 => false,
        b'}' => {
            depth -= 1;
            true
        }
        _ => true,
    }) && depth == 0
}

/// The text in the braces, if `text` is exactly one pair of braces.
fn braced(text: &str) -> Option<&str> {
    let inside = text.strip_prefix('{')?.strip_suffix('}')?;
    // The first and the last brace may belong to different pairs: {a} {b}.
    is_balanced(inside).then(|| inside.trim_matches(BLANKS))
}

/// Splits a text at commas and spaces outside of braces, like a list in main.cf.
pub fn items(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    let separates = |c: char| {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => (),
        }
        depth == 0 && (c == ',' || BLANKS.contains(&c))
    };
    text.split(separates).filter(|item| !item.is_empty()).collect()
}

/// Formats the source so that it can be parsed again, also as a member.
impl fmt::Display for SourceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SourceSpec::Resolver(view) => write!(f, "resolver:{view}"),
            SourceSpec::Inline(entries) => list(f, "inline", entries, |f, (key, value)| {
                if is_plain(key) && is_plain(value) {
                    write!(f, "{key}={value}")
                } else {
                    write!(f, "{{ {key} = {value} }}")
                }
            }),
            SourceSpec::Static(value) => argument(f, "static", value),
            SourceSpec::Fail(reason) => argument(f, "fail", reason),
            SourceSpec::Texthash(path) => argument(f, "texthash", &path.to_string_lossy()),
            SourceSpec::Lmdb(path) => argument(f, "lmdb", &path.to_string_lossy()),
            SourceSpec::Map(name) => write!(f, "map:{name}"),
            SourceSpec::Database(name) => write!(f, "database:{name}"),
            SourceSpec::TcpTable(host) => write!(f, "tcp:{host}"),
            SourceSpec::Socketmap(host @ Host::Inet(..), map) => write!(f, "socketmap:inet:{host}:{map}"),
            SourceSpec::Socketmap(host, map) => argument(f, "socketmap", &format!("{host}:{map}")),
            SourceSpec::Union(members) => list(f, "unionmap", members, |f, member| write!(f, "{member}")),
            SourceSpec::Pipe(members) => list(f, "pipemap", members, |f, member| write!(f, "{member}")),
        }
    }
}

fn is_plain(text: &str) -> bool {
    !text.contains(|c| BLANKS.contains(&c) || ",{}".contains(c))
}

fn argument(f: &mut fmt::Formatter<'_>, word: &str, text: &str) -> fmt::Result {
    if is_plain(text) { write!(f, "{word}:{text}") } else { write!(f, "{word}:{{{text}}}") }
}

fn list<T>(
    f: &mut fmt::Formatter<'_>,
    word: &str,
    members: &[T],
    one: impl Fn(&mut fmt::Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    write!(f, "{word}:{{ ")?;
    for (i, member) in members.iter().enumerate() {
        if i > 0 {
            f.write_str(", ")?;
        }
        one(f, member)?;
    }
    f.write_str(" }")
}

#[cfg(test)]
mod tests;

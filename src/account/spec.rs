//! The types of account sources in the configuration, written as `type:arguments`.
//!
//! Each type is one file with one [`SourceType`]; `TYPES` lists them.

use super::settings::{Settings, SourceSettings};
use super::{AccountSource, aliases, dovecot, file, fixed, map, passwd, plugin, smtp};
use crate::map::served::Maps;
use crate::observe::Metrics;
use diagnostics::nearest;
use mail_address::CaseSensitivity;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;

/// All types; add a new one here.
const TYPES: &[&SourceType] = &[
    &smtp::VRFY,
    &smtp::RCPT,
    &smtp::LMTP,
    &dovecot::TYPE,
    &map::TYPE,
    &file::TYPE,
    &aliases::TYPE,
    &passwd::TYPE,
    &plugin::EXEC,
    &plugin::UNIX,
    &fixed::NONE,
    &fixed::STATIC,
    &fixed::FAIL,
];

/// Sources with another name in development versions: the old and the new one.
const RENAMED: [(&str, &str); 1] = [("static:exists", "none:")];

/// Whether sources of this type may have a witness (see [`crate::lookup::control`]).
pub fn may_have_witness(kind: &str) -> bool {
    asks_mail_server(kind) || ["dovecot", "passwd", "map", "exec", "unix"].contains(&kind)
}

/// Whether sources of this type ask a mail server. They have the settings in `[account.smtp]`.
pub fn asks_mail_server(kind: &str) -> bool {
    smtp::is_type(kind)
}

/// A type of source.
pub struct SourceType {
    /// The word before the colon.
    pub name: &'static str,
    /// Its syntax for messages, such as `file:PATH`.
    pub usage: &'static str,
    /// Parses the text after the colon. The error is a sentence with the remedy.
    pub read: fn(&str) -> Result<Arc<dyn SourceConfig>, String>,
}

/// The parsed and checked arguments of a source, from which it is built.
pub trait SourceConfig: fmt::Debug + Send + Sync {
    /// Builds the source. The errors are sentences with the remedy.
    fn open<'a>(&'a self, context: BuildContext<'a>) -> OpenFuture<'a>;
}

/// The future of a source that is being built.
pub type OpenFuture<'a> = Pin<Box<dyn Future<Output = Result<Arc<AccountSource>, Vec<String>>> + Send + 'a>>;

/// The context in which a source is built, in addition to its own arguments.
#[derive(Clone, Copy, Debug)]
pub struct BuildContext<'a> {
    /// The source as the operator wrote it, which is also its name.
    pub name: &'a Arc<str>,
    /// The settings of this source.
    pub source: &'a SourceSettings,
    /// The settings of all sources.
    pub settings: &'a Settings,
    /// Whether local parts that differ only by case are two accounts.
    pub cases: &'a CaseSensitivity,
    /// The maps with values of their own, by name.
    pub maps: &'a Maps,
    /// The counters of the daemon.
    pub metrics: &'a Arc<Metrics>,
}

/// A source as it is written in the configuration.
#[derive(Clone, Debug)]
pub struct Spec {
    name: Arc<str>,
    config: Arc<dyn SourceConfig>,
}

impl Spec {
    /// The name of the source: its text in the configuration.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The type of the source: the word before the colon.
    pub fn kind(&self) -> &str {
        self.name.split(':').next().unwrap_or_default()
    }

    /// Builds the source itself, without wrappers.
    pub(super) fn open<'a>(&'a self, context: BuildContext<'a>) -> OpenFuture<'a> {
        self.config.open(context)
    }
}

impl PartialEq for Spec {
    /// The name determines everything else.
    fn eq(&self, other: &Spec) -> bool {
        self.name == other.name
    }
}

impl Eq for Spec {}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl FromStr for Spec {
    type Err = String;

    /// The error is a sentence with the remedy.
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Some((old, new)) = RENAMED.iter().find(|(old, _)| *old == text) {
            return Err(format!("\"{old}\" has another name now: write {new}"));
        }
        let (word, arguments) = match text.split_once(':') {
            Some((word, arguments)) => (word, Some(arguments)),
            None => (text, None),
        };
        let Some(kind) = TYPES.iter().find(|kind| kind.name == word) else {
            return Err(unknown(word));
        };
        let Some(arguments) = arguments else {
            return Err(format!("\"{text}\" lacks the colon after the type: write {}", kind.usage));
        };
        let config = (kind.read)(arguments).map_err(|error| format!("{error}: write {}", kind.usage))?;
        Ok(Spec { name: text.into(), config })
    }
}

fn unknown(word: &str) -> String {
    let known: Vec<_> = TYPES.iter().map(|kind| kind.name).collect();
    let meant = nearest(word, known.iter().copied())
        .map_or(String::new(), |meant| format!(", did you mean \"{meant}\"?"));
    let known = known.join(", ");
    format!("\"{word}\" is not a type of account source{meant} (there are: {known}; write TYPE:ARGUMENTS)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_formats_every_type() {
        for text in [
            "vrfy:127.0.0.1",
            "vrfy:mail.example.test:5025",
            "vrfy:[::1]:25",
            "vrfy:mx:example.test",
            "vrfy:srv:_smtp._tcp.example.test",
            "vrfy:unix:/run/smtp.sock",
            "rcpt:127.0.0.1",
            "rcpt:mail.example.test:5025",
            "rcpt:mx:example.test",
            "rcpt:srv:_smtp._tcp.example.test",
            "rcpt:unix:/run/smtp.sock",
            "lmtp:127.0.0.1:24",
            "lmtp:[::1]:24",
            "lmtp:srv:_lmtp._tcp.example.test",
            "lmtp:unix:/run/dovecot/lmtp",
            "dovecot:/run/dovecot/rcptd-userdb",
            "map:users",
            "file:/etc/rcptd/accounts",
            "aliases:/etc/aliases",
            "passwd:",
            "exec:/usr/lib/rcptd/accounts.py",
            "exec:/usr/lib/rcptd/accounts.py /etc/accounts -v",
            "unix:/run/accounts.sock",
            "none:",
            "static:notfound",
            "fail:",
        ] {
            let got = text.parse::<Spec>().map(|spec| spec.to_string());
            assert_eq!(got.as_deref(), Ok(text));
        }
    }

    /// Longer than the 108 octets of an address of a socket.
    const LONG_PATH: &str = "unix:/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
                             aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    #[test]
    fn errors_name_the_remedy() {
        for (text, want) in [
            (
                "",
                "\"\" is not a type of account source (there are: vrfy, rcpt, lmtp, dovecot, map, file, \
                  aliases, passwd, exec, unix, none, static, fail; write TYPE:ARGUMENTS)",
            ),
            ("verfy:host", "did you mean \"vrfy\"?"),
            ("VRFY:host", "did you mean \"vrfy\"?"),
            ("pass:", "did you mean \"passwd\"?"),
            ("stat1c:notfound", "did you mean \"static\"?"),
            ("ldap:localhost", "\"ldap\" is not a type of account source (there are"),
            ("sql:x", "\"sql\" is not a type of account source (there are"),
            ("passwd", "\"passwd\" lacks the colon after the type: write passwd:"),
            ("passwd:x", "write passwd:"),
            ("static:yes", "write static:notfound"),
            ("static:", "write static:notfound"),
            ("static:exists", "\"static:exists\" has another name now: write none:"),
            ("none:x", "it takes no arguments: write none:"),
            ("none", "\"none\" lacks the colon after the type: write none:"),
            ("fail:x", "write fail:"),
            ("map:", "write map:NAME"),
            ("exec:", "it names no program: write exec:/PATH [ARGUMENT...]"),
            ("exec:accounts.py", "the path of a program must be absolute: write exec:/PATH [ARGUMENT...]"),
            ("exec", "lacks the colon after the type: write exec:/PATH [ARGUMENT...]"),
            ("unix:", "the path of a socket must be absolute: write unix:/PATH"),
            ("unix:accounts.sock", "the path of a socket must be absolute: write unix:/PATH"),
            (LONG_PATH, "cannot be a socket"),
            ("dovecot:", "the path of a socket must be absolute: write dovecot:/PATH"),
            ("dovecot:auth-userdb", "the path of a socket must be absolute: write dovecot:/PATH"),
            ("dovecott:/x", "did you mean \"dovecot\"?"),
            ("file:", "write file:/PATH"),
            ("file:accounts", "write file:/PATH"),
            ("aliases:", "write aliases:/PATH"),
            ("aliases:aliases", "write aliases:/PATH"),
            ("alias:/x", "did you mean \"aliases\"?"),
            ("vrfy:", "write vrfy:HOST[:PORT]"),
            ("rcpt:", "write rcpt:HOST[:PORT]"),
            ("lmtp:", "write lmtp:HOST:PORT"),
            ("lmtp:127.0.0.1", "\"127.0.0.1\" has no port: write lmtp:HOST:PORT"),
            ("lmtp:unix:run/lmtp", "the path of a socket must be absolute: write lmtp:HOST:PORT"),
            ("lmpt:host:24", "did you mean \"lmtp\"?"),
            ("smtp:host", "\"smtp\" is not a type of account source"),
        ] {
            let got = text.parse::<Spec>().map(|spec| spec.to_string());
            assert!(got.as_ref().is_err_and(|error| error.contains(want)), "{text}: {got:?}");
        }
    }
}

//! The types of account sources in the configuration, written as `type:arguments`.
//!
//! Each type is one file with one [`SourceType`]; `TYPES` lists them.

use super::settings::{Settings, SourceSettings};
use super::{AccountSource, file, fixed, map, passwd, vrfy};
use crate::map::served::Maps;
use diagnostics::nearest;
use mail_address::CaseSensitivity;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;

/// All types; add a new one here.
const TYPES: &[&SourceType] =
    &[&vrfy::TYPE, &map::TYPE, &file::TYPE, &passwd::TYPE, &fixed::STATIC, &fixed::FAIL];

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
    pub(super) fn open<'a>(
        &'a self,
        source: &'a SourceSettings,
        settings: &'a Settings,
        cases: &'a CaseSensitivity,
        maps: &'a Maps,
    ) -> OpenFuture<'a> {
        self.config.open(BuildContext { name: &self.name, source, settings, cases, maps })
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
            "map:users",
            "file:/etc/rcptd/accounts",
            "passwd:",
            "static:exists",
            "static:notfound",
            "fail:",
        ] {
            let got = text.parse::<Spec>().map(|spec| spec.to_string());
            assert_eq!(got.as_deref(), Ok(text));
        }
    }

    #[test]
    fn errors_name_the_remedy() {
        for (text, want) in [
            (
                "",
                "\"\" is not a type of account source (there are: vrfy, map, file, passwd, static, fail; write \
                  TYPE:ARGUMENTS)",
            ),
            ("verfy:host", "did you mean \"vrfy\"?"),
            ("VRFY:host", "did you mean \"vrfy\"?"),
            ("pass:", "did you mean \"passwd\"?"),
            ("stat1c:exists", "did you mean \"static\"?"),
            ("ldap:localhost", "\"ldap\" is not a type of account source (there are"),
            ("sql:x", "\"sql\" is not a type of account source (there are"),
            ("passwd", "\"passwd\" lacks the colon after the type: write passwd:"),
            ("passwd:x", "write passwd:"),
            ("static:yes", "write static:exists or static:notfound"),
            ("static:", "write static:exists or static:notfound"),
            ("fail:x", "write fail:"),
            ("map:", "write map:NAME"),
            ("file:", "write file:/PATH"),
            ("file:accounts", "write file:/PATH"),
            ("vrfy:", "write vrfy:HOST[:PORT]"),
        ] {
            let got = text.parse::<Spec>().map(|spec| spec.to_string());
            assert!(got.as_ref().is_err_and(|error| error.contains(want)), "{text}: {got:?}");
        }
    }
}

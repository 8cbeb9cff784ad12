//! Imports the configuration of other programs: converts their text to files of rcptd, and lists the
//! differences in behaviour.
//!
//! | module | program |
//! | --- | --- |
//! | [`trualias`] | the servers of trualias, with their rules |
//! | [`greylist`] | the entries of other greylisters, and the configuration of TPRT |
//! | [`sockmapd`] | sockmapd, which serves tables of MariaDB and MySQL |
//! | [`postfix`] | the clients of Postfix for MariaDB, MySQL, PostgreSQL, SQLite and LDAP |
//!
//! The importers only convert texts; `cli` reads and writes the files. [`source`] reads the entries of other greylisters,
//! since such files can have any size. Settings without a counterpart are differences.

pub mod greylist;
pub mod postfix;
pub mod sockmapd;
pub mod source;
pub mod trualias;

use alias_rules::Difference;

/// Name of the configuration file.
pub const CONFIG: &str = "rcptd.conf";
/// Name of the rules file.
const RULES: &str = "aliases.rules";
/// Name of the file with the password of the databases.
const PASSWORD: &str = "database.password";

/// The result of an import.
#[derive(Clone)]
pub struct Imported {
    /// The number of what was imported, with its noun: `3 rules`.
    pub count: String,
    /// The files, in the order in which they are to be written.
    pub files: Vec<File>,
    /// The differences in behaviour.
    pub differences: Vec<Difference>,
}

/// A file to be written. It has no `Debug`, since its content may be a password.
#[derive(Clone)]
pub struct File {
    /// The name.
    pub name: String,
    /// The content.
    pub content: String,
    /// Whether it contains a password, so that only its owner may read it.
    pub private: bool,
}

impl File {
    fn public(name: impl Into<String>, content: String) -> Self {
        File { name: name.into(), content, private: false }
    }

    fn private(name: impl Into<String>, content: String) -> Self {
        File { name: name.into(), content, private: true }
    }
}

/// Where an error is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A line and a column of the text, from 1.
    Text(usize, usize),
    /// A path such as `postmaps[2].table`; empty for the whole text.
    Key(String),
}

/// An error in a text with a password, with its position and remedy. Unlike a
/// [`Problem`](diagnostics::Problem) it never quotes the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The position.
    pub place: Place,
    /// The error.
    pub message: String,
    /// The remedy.
    pub help: String,
}

impl Fault {
    /// Formats the error for this file.
    pub fn of(&self, file: &str) -> String {
        let Fault { place, message, help } = self;
        let place = match place {
            Place::Text(line, column) => format!(":{line}:{column}"),
            Place::Key(key) if key.is_empty() => String::new(),
            Place::Key(key) => format!(": {key}"),
        };
        format!("{file}{place}: error: {message} ({help})")
    }
}

/// Writes a text as a string of TOML.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// A difference that concerns a setting or the whole file.
fn difference(about: &str, text: String) -> Difference {
    Difference { line: None, about: about.into(), text, examples: Vec::new() }
}

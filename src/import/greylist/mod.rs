//! Imports what other greylisters know, so that mail that has passed there is not delayed again.
//!
//! | kind | what is read |
//! | --- | --- |
//! | [`Kind::Records`] | an export of rcptd: JSON lines |
//! | [`Kind::Postgrey`] | `db5.3_dump` of `postgrey.db` or `postgrey_clients.db`, with or without `-p` |
//! | [`Kind::Sqlgrey`] | the tables `connect`, `from_awl` and `domain_awl`: see the module `sqlgrey` |
//! | [`Kind::MilterGreylist`] | its dump, `greylist.db` |
//! | [`Kind::TprtGdbm`] | `gdbm_dump` of its databases |
//! | [`Kind::TprtRedis`] | keys and values of its Redis, see [`tprt`] |
//!
//! [`Importer`] takes one line after the other, whatever their number, and holds one of them at most. Entries that
//! cannot be taken over are counted by their reason, with the first examples.
//!
//! Imported clients are networks, since no other greylister has a better key. rcptd looks for a triplet with the network
//! of the client, too, when the client has a better key.

mod db_dump;
mod gdbm_dump;
mod milter;
mod names;
mod postgrey;
mod report;
mod sql;
mod sqlgrey;
pub mod tprt;

pub use report::{MAX_EXAMPLES, Report, Skipped};
pub use sqlgrey::COMMANDS as SQLGREY_COMMANDS;

use crate::greylist::entry::Times;
use crate::greylist::record::{self, Record};
use std::fmt;

/// Longest line that is read, in octets: mysqldump writes rows of a table into one line of up to about 1 MiB.
pub const MAX_LINE: usize = 2 * 1024 * 1024;

/// Formats that are imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// JSON lines of rcptd.
    Records,
    /// A text dump of a Berkeley DB of postgrey.
    Postgrey,
    /// Tables of sqlgrey.
    Sqlgrey,
    /// The dump of milter-greylist.
    MilterGreylist,
    /// A text dump of a gdbm file of TPRT.
    TprtGdbm,
    /// Keys and values of TPRT's Redis.
    TprtRedis,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 6] =
        [Kind::Records, Kind::Postgrey, Kind::Sqlgrey, Kind::MilterGreylist, Kind::TprtGdbm, Kind::TprtRedis];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Records => "records",
            Kind::Postgrey => "postgrey",
            Kind::Sqlgrey => "sqlgrey",
            Kind::MilterGreylist => "milter-greylist",
            Kind::TprtGdbm => "tprt-gdbm",
            Kind::TprtRedis => "tprt-redis",
        }
    }

    /// The kind with this name.
    pub fn named(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The kind that a line shows; `None` if it may be in a file of any kind.
    ///
    /// # Errors
    /// It is in none.
    fn of(line: &str) -> Result<Option<Kind>, Error> {
        if line.starts_with("# GDBM dump file") || line.starts_with("#:") {
            return Ok(Some(Kind::TprtGdbm));
        }
        if line.trim().is_empty() || line.starts_with('#') || line.starts_with("--") {
            return Ok(None);
        }
        let found = if line.starts_with('{') {
            Kind::Records
        } else if line.starts_with("VERSION=") {
            Kind::Postgrey
        } else if sqlgrey::is_header(line) || sql::is_statement(line) {
            Kind::Sqlgrey
        } else if tprt::is_pair(line) {
            Kind::TprtRedis
        } else if milter::is_line(line) {
            Kind::MilterGreylist
        } else {
            return Err(Error::Unknown);
        };
        Ok(Some(found))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How entries are taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The times of rcptd. An entry of postgrey has passed if its last attempt came after the delay.
    pub times: Times,
    /// Length of the prefix of an IPv4 network.
    pub ipv4_prefix: u8,
    /// Length of the prefix of an IPv6 network.
    pub ipv6_prefix: u8,
    /// Passes after which a client passes without delay; 0: never.
    pub enough: u64,
}

/// Why nothing of a file is imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// Its first line is that of no known format.
    Unknown,
    /// It is a database that another program has to write as text.
    Database(Database),
}

/// Formats the error with its remedy.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Unknown => {
                let names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
                write!(
                    f,
                    "the format is unknown (known are {}; rcptd.policy(5) shows how to write such files)",
                    names.join(", ")
                )
            }
            Error::Database(database) => {
                let command = database.commands("FILE", "FOLDER").into_iter().next().unwrap_or_default();
                write!(
                    f,
                    "this is {}, not its text (install {} and write the text: {})",
                    database.name(),
                    database.package(),
                    command.join(" ")
                )
            }
        }
    }
}

/// A database file that has a program of its own to write it as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    /// Berkeley DB, a B-tree or a hash table.
    Berkeley,
    /// GNU dbm.
    Gdbm,
    /// SQLite.
    Sqlite,
}

/// Octets at the beginning of a file that [`Database::of`] needs.
pub const MAGIC: usize = 16;

impl Database {
    /// The kind of database that a file is, by its first [`MAGIC`] octets.
    pub fn of(begin: &[u8]) -> Option<Database> {
        if begin.starts_with(b"SQLite format 3\0") {
            return Some(Database::Sqlite);
        }
        // Either order of octets: the file may come from another machine.
        let number = |at: usize| {
            let octets = begin.get(at..at + 4)?;
            Some(u32::from_le_bytes(octets.try_into().ok()?))
        };
        let is = |at, magic: u32| number(at).is_some_and(|n| n == magic || n == magic.swap_bytes());
        // A B-tree, a hash table.
        if [0x0005_3162, 0x0006_1561].into_iter().any(|magic| is(12, magic)) {
            return Some(Database::Berkeley);
        }
        // Without and with support of large files, of other order, and with numbered synchronisation.
        let gdbm = [0x1357_9ace, 0x1357_9acd, 0x1357_9acf, 0x1357_9ad0, 0x1357_9ad1];
        gdbm.into_iter().any(|magic| is(0, magic)).then_some(Database::Gdbm)
    }

    /// A name for messages.
    pub fn name(self) -> &'static str {
        match self {
            Database::Berkeley => "a Berkeley DB file",
            Database::Gdbm => "a gdbm file",
            Database::Sqlite => "an SQLite file",
        }
    }

    /// The package of Debian with the program.
    pub fn package(self) -> &'static str {
        match self {
            Database::Berkeley => "db5.3-util",
            Database::Gdbm => "gdbmtool",
            Database::Sqlite => "sqlite3",
        }
    }

    /// The commands that write the text of `file` in `folder` to standard output, the best first; the next ones are
    /// other names of the same program.
    ///
    /// The folder is needed, since a running postgrey has written part of its data to log files there only, not to the
    /// database.
    pub fn commands(self, file: &str, folder: &str) -> Vec<Vec<String>> {
        let command = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        match self {
            Database::Berkeley => vec![
                command(&["db5.3_dump", "-p", "-h", folder, file]),
                command(&["db_dump", "-p", "-h", folder, file]),
            ],
            Database::Gdbm => vec![command(&["gdbm_dump", &format!("{folder}/{file}"), "-"])],
            Database::Sqlite => {
                vec![command(&["sqlite3", "-readonly", &format!("{folder}/{file}"), ".dump"])]
            }
        }
    }
}

/// A parser of one format.
#[derive(Debug)]
enum Parser {
    Records(record::Lines),
    Postgrey(db_dump::Pairs),
    Sqlgrey(sqlgrey::Tables),
    MilterGreylist,
    TprtGdbm(gdbm_dump::Pairs),
    TprtRedis,
}

impl Parser {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Records => Parser::Records(record::Lines::default()),
            Kind::Postgrey => Parser::Postgrey(db_dump::Pairs::default()),
            Kind::Sqlgrey => Parser::Sqlgrey(sqlgrey::Tables::default()),
            Kind::MilterGreylist => Parser::MilterGreylist,
            Kind::TprtGdbm => Parser::TprtGdbm(gdbm_dump::Pairs::default()),
            Kind::TprtRedis => Parser::TprtRedis,
        }
    }
}

/// Takes a file line by line.
#[derive(Debug)]
pub struct Importer {
    settings: Settings,
    kind: Option<Kind>,
    parser: Option<Parser>,
    report: Report,
}

/// Where a parser puts what it finds.
struct Out<'a> {
    settings: &'a Settings,
    report: &'a mut Report,
    each: &'a mut dyn FnMut(Record),
}

impl Out<'_> {
    fn record(&mut self, record: Record) {
        self.report.count(record.kind());
        (self.each)(record);
    }

    /// Counts an entry that is not taken over.
    fn skip(&mut self, reason: &'static str, example: &str) {
        self.report.skip(reason, example);
    }
}

impl Importer {
    /// Takes a file of this kind, or of the kind that its lines show.
    pub fn new(kind: Option<Kind>, settings: Settings) -> Self {
        Importer { settings, kind, parser: kind.map(Parser::new), report: Report::default() }
    }

    /// Takes the next line, without its end. Of a line that is longer than [`MAX_LINE`], the beginning is enough.
    ///
    /// # Errors
    /// The format is unknown: no line after it is taken.
    pub fn line(&mut self, line: &[u8], each: &mut dyn FnMut(Record)) -> Result<(), Error> {
        self.report.lines += 1;
        let text = String::from_utf8_lossy(&line[..line.len().min(MAX_LINE)]);
        let text = text.strip_suffix('\r').unwrap_or(&text);
        let mut out = Out { settings: &self.settings, report: &mut self.report, each };
        let parser = match &mut self.parser {
            Some(parser) => parser,
            None => match Kind::of(text.strip_prefix('\u{feff}').unwrap_or(text))? {
                None => return Ok(()),
                Some(kind) => {
                    self.kind = Some(kind);
                    self.parser.insert(Parser::new(kind))
                }
            },
        };
        if line.len() > MAX_LINE {
            out.skip("the line is too long", &text[..text.floor_char_boundary(report::MAX_EXAMPLE)]);
            return Ok(());
        }
        match parser {
            Parser::Records(lines) => read_record(lines, line, &mut out),
            Parser::Postgrey(pairs) => {
                if let Some((key, value)) = pairs.line(text, &mut out) {
                    postgrey::pair(&key, &value, &mut out);
                }
            }
            Parser::Sqlgrey(tables) => tables.line(text, &mut out),
            Parser::MilterGreylist => milter::line(text, &mut out),
            Parser::TprtGdbm(pairs) => {
                if let Some((key, value)) = pairs.line(text, &mut out) {
                    tprt::pair(&key, &value, &mut out);
                }
            }
            Parser::TprtRedis => tprt::line(text, &mut out),
        }
        Ok(())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// It had no line that shows its format.
    pub fn finish(mut self) -> Result<Report, Error> {
        let (Some(kind), Some(parser)) = (self.kind, self.parser) else { return Err(Error::Unknown) };
        let whole = match parser {
            Parser::Postgrey(pairs) => pairs.is_whole(),
            Parser::TprtGdbm(pairs) => pairs.is_whole(),
            _ => true,
        };
        if !whole {
            self.report.skip("the file ends too early: write the dump again", "");
        }
        self.report.kind = Some(kind);
        self.report.differences = report::differences(kind, &self.settings);
        Ok(self.report)
    }
}

fn read_record(lines: &mut record::Lines, line: &[u8], out: &mut Out<'_>) {
    let before = lines.faulty();
    match lines.line(line) {
        Some(record) => out.record(record),
        None if lines.faulty() > before => {
            let error = lines.errors().last().map(|(_, fault)| fault.to_string()).unwrap_or_default();
            out.skip("the line is no record", &error);
        }
        None => (),
    }
}

/// Imports a whole file from memory.
///
/// # Errors
/// Nothing of it can be imported.
pub fn read(
    kind: Option<Kind>,
    bytes: &[u8],
    settings: Settings,
    each: &mut dyn FnMut(Record),
) -> Result<Report, Error> {
    if let Some(database) = Database::of(bytes) {
        return Err(Error::Database(database));
    }
    let mut importer = Importer::new(kind, settings);
    for line in bytes.split(|b| *b == b'\n') {
        importer.line(line, each)?;
    }
    importer.finish()
}

#[cfg(test)]
mod tests;

//! The tables of sqlgrey: as text with tabs and a line of column names, as [`COMMANDS`] write it, or as a dump of
//! `INSERT` statements.
//!
//! | table | columns | becomes |
//! | --- | --- | --- |
//! | `connect` | `sender_name`, `sender_domain`, `src`, `rcpt`, `first_seen` | a triplet that waits |
//! | `from_awl` | `sender_name`, `sender_domain`, `src`, `first_seen`, `last_seen` | a client with one pass |
//! | `domain_awl` | `sender_domain`, `src`, `first_seen`, `last_seen` | a client that passes |

use super::sql::{self, Insert};
use super::{Out, names};
use crate::greylist::entry::{Client, Triplet};
use crate::greylist::record::Record;

/// The databases, and for each the command that writes the tables as text. Times are written as seconds since 1970, since
/// the zone of the texts depends on the server.
pub const COMMANDS: [(&str, &str); 3] = [
    (
        "MySQL and MariaDB",
        "mysql --batch sqlgrey -e \"SELECT sender_name, sender_domain, src, rcpt, UNIX_TIMESTAMP(first_seen) AS first_seen \
         FROM connect; SELECT sender_name, sender_domain, src, UNIX_TIMESTAMP(first_seen) AS first_seen, \
         UNIX_TIMESTAMP(last_seen) AS last_seen FROM from_awl; SELECT sender_domain, src, UNIX_TIMESTAMP(first_seen) AS \
         first_seen, UNIX_TIMESTAMP(last_seen) AS last_seen FROM domain_awl\"",
    ),
    (
        "PostgreSQL",
        "psql sqlgrey -A -F \"$(printf '\\t')\" -P footer=off -c \"SELECT sender_name, sender_domain, src, rcpt, EXTRACT(EPOCH \
         FROM first_seen)::bigint AS first_seen FROM connect\" -c \"SELECT sender_name, sender_domain, src, EXTRACT(EPOCH FROM \
         first_seen)::bigint AS first_seen, EXTRACT(EPOCH FROM last_seen)::bigint AS last_seen FROM from_awl\" -c \"SELECT \
         sender_domain, src, EXTRACT(EPOCH FROM first_seen)::bigint AS first_seen, EXTRACT(EPOCH FROM last_seen)::bigint AS \
         last_seen FROM domain_awl\"",
    ),
    (
        "SQLite",
        "sqlite3 -readonly -header -separator \"$(printf '\\t')\" sqlgrey.db \"SELECT sender_name, sender_domain, src, rcpt, \
         strftime('%s', first_seen) AS first_seen FROM connect; SELECT sender_name, sender_domain, src, strftime('%s', \
         first_seen) AS first_seen, strftime('%s', last_seen) AS last_seen FROM from_awl; SELECT sender_domain, src, \
         strftime('%s', first_seen) AS first_seen, strftime('%s', last_seen) AS last_seen FROM domain_awl\"",
    ),
];

/// What sqlgrey writes for a sender that is empty.
const UNDEFINED: &str = "-undef-";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Table {
    Connect,
    FromAwl,
    DomainAwl,
}

impl Table {
    const ALL: [Table; 3] = [Table::Connect, Table::FromAwl, Table::DomainAwl];

    fn name(self) -> &'static str {
        match self {
            Table::Connect => "connect",
            Table::FromAwl => "from_awl",
            Table::DomainAwl => "domain_awl",
        }
    }

    /// The columns in the order in which sqlgrey creates them.
    fn columns(self) -> &'static [&'static str] {
        match self {
            Table::Connect => &["sender_name", "sender_domain", "src", "rcpt", "first_seen"],
            Table::FromAwl => &["sender_name", "sender_domain", "src", "first_seen", "last_seen"],
            Table::DomainAwl => &["sender_domain", "src", "first_seen", "last_seen"],
        }
    }
}

/// Whether a line has the names of the columns.
pub fn is_header(line: &str) -> bool {
    let has = |name: &str| line.split('\t').any(|column| column.trim() == name);
    has("src") && has("first_seen")
}

/// Takes lines of tables.
#[derive(Debug, Default)]
pub struct Tables {
    current: Option<(Table, Vec<String>)>,
}

impl Tables {
    /// Takes a line.
    pub fn line(&mut self, line: &str, out: &mut Out<'_>) {
        if line.trim().is_empty() {
            return;
        }
        if is_header(line) {
            let columns: Vec<String> = line.split('\t').map(|column| column.trim().to_owned()).collect();
            let fits = |table: &Table| {
                table.columns().iter().all(|name| columns.iter().any(|column| column == name))
            };
            self.current = Table::ALL.into_iter().find(fits).map(|table| (table, columns));
            if self.current.is_none() {
                out.skip("the columns are those of no table", line);
            }
            return;
        }
        if let Some(insert) = Insert::parse(line) {
            return inserted(insert, line, out);
        }
        match &self.current {
            Some((table, columns)) => {
                let values: Vec<&str> = line.split('\t').collect();
                let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
                row(*table, &columns, &values, line, out);
            }
            // Other statements of a dump, which may have several lines.
            None if is_of_dump(line) => (),
            None => out.skip("no line with the names of the columns is before it", line),
        }
    }
}

fn is_of_dump(line: &str) -> bool {
    sql::is_statement(line) || line.ends_with([';', ',', '(']) || line.starts_with(['-', ' ', ')'])
}

fn inserted(insert: Insert<'_>, line: &str, out: &mut Out<'_>) {
    let Some(table) = Table::ALL.into_iter().find(|table| table.name() == insert.table) else {
        // sqlgrey has a table for its own settings, and another database may have any.
        return;
    };
    let named = insert.columns.clone();
    let columns: Vec<&str> = match &named[..] {
        [] => table.columns().to_vec(),
        named => named.iter().map(String::as_str).collect(),
    };
    for values in insert {
        match values {
            Ok(values) => {
                let values: Vec<&str> = values.iter().map(String::as_str).collect();
                row(table, &columns, &values, &values.join("\t"), out);
            }
            Err(()) => out.skip("the statement does not end as it should", line),
        }
    }
}

fn row(table: Table, columns: &[&str], values: &[&str], line: &str, out: &mut Out<'_>) {
    if columns.len() != values.len() {
        return out.skip("the row has another number of columns", line);
    }
    let get = |name: &str| {
        let at = columns.iter().position(|column| *column == name)?;
        values.get(at).map(|value| value.trim())
    };
    let Some(client) = get("src").and_then(|src| names::client(src, out.settings)) else {
        return out.skip("src is no address", line);
    };
    let seen = if table == Table::Connect { "first_seen" } else { "last_seen" };
    let Some(seen) = get(seen).and_then(time) else {
        return out.skip("the time is neither a number nor YYYY-MM-DD HH:MM:SS", line);
    };
    let passes = match table {
        Table::Connect => {
            let of = |name| get(name).filter(|value| *value != UNDEFINED).unwrap_or_default();
            let (local, domain) = (of("sender_name"), of("sender_domain"));
            let sender = if domain.is_empty() { local.to_owned() } else { format!("{local}@{domain}") };
            let Some((sender, recipient)) = names::addresses(&sender, of("rcpt")) else {
                return out.skip("the sender or the recipient is no address", line);
            };
            let state = Triplet::Waiting { first: seen };
            return out.record(Record::triplet(&client, &sender, &recipient, state));
        }
        Table::FromAwl => 1,
        Table::DomainAwl => out.settings.enough.max(1),
    };
    out.record(Record::client(&client, Client { passes, last: seen }));
}

/// Seconds since 1970, or a time as databases write it: `2026-12-01 03:00:00`, with a fraction and an offset or without,
/// which is UTC then.
fn time(text: &str) -> Option<u64> {
    if let Ok(seconds) = text.parse() {
        return Some(seconds);
    }
    let (date, time) = text.split_once([' ', 'T'])?;
    let (clock, offset) = match time.find(['+', '-', 'Z']) {
        Some(at) => time.split_at(at),
        None => (time, "Z"),
    };
    // PostgreSQL writes +02 for +02:00.
    let minutes = if offset.len() == 3 { ":00" } else { "" };
    let timestamp: jiff::Timestamp = format!("{date}T{clock}{offset}{minutes}").parse().ok()?;
    timestamp.as_second().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        const T: Option<u64> = Some(1_764_550_000);
        for (text, want) in [
            ("1764550000", T),
            ("2025-12-01 00:46:40", T),
            ("2025-12-01T00:46:40Z", T),
            ("2025-12-01 00:46:40.123456", T),
            ("2025-12-01 01:46:40+01", T),
            ("2025-12-01 01:46:40.5+01:00", T),
            ("2025-11-30 19:16:40-05:30", T),
            ("", None),
            ("0000-00-00 00:00:00", None),
            ("1960-01-01 00:00:00", None),
            ("2025-12-01", None),
            ("-1", None),
        ] {
            assert_eq!(time(text), want, "{text}");
        }
    }
}

//! Renders the descriptions of the keys as `milter.conf.sample`.

use super::doc::{Block, blocks, entry_of};
use rcptd::config::{Change, DefaultValue, Key, sections};
use std::fmt::Write as _;

/// Longest line of the sample.
const WIDTH: usize = 108;
/// A blank at which no line is broken.
const NO_BREAK: &str = "\u{a0}";

/// The lines of the sample before the first key.
const HEADER: &str = "\
# rcptd.conf - configuration of rcptd, which resolves and verifies recipients for a mail server
#
# This is the reference: every key is here. A line that begins with \"#\" and a key shows the default of that
# key; remove the \"#\" to change it. Four keys are set, because every site has its own values for them:
# domains, rules, milter.listen and account.source. All others are optional.
#
# The syntax is TOML, https://toml.io. Keys are below the heading of their section; keys before the first
# heading are global. Times are a number and one of ms, s, m, h, d, w, as in \"8s\"; a number alone is in
# seconds. If a string may be empty, the empty string means \"none\". If a key takes a list of strings, a single
# string is a list of one. File names are relative to the folder of this file.
#
# Check the file before you use it; the check reports all errors at once:
#
#     rcptd check
#
# A running rcptd reads this file and the rules again when they change, or on SIGHUP. If there is an error,
# nothing changes and the error is logged. Keys marked \"restart\" below take effect only after a restart of
# rcptd. The smallest and the largest value of a key are in parentheses, too.
";

/// The smallest and the largest value of a key, and whether a change needs a restart.
fn notes(key: &Key, restart: bool) -> String {
    let bounds = key.bounds.iter().map(|(least, most)| format!("{least} to {most}"));
    let restart = (restart && key.change == Change::Restart).then(|| "restart".to_owned());
    let notes: Vec<String> = bounds.chain(restart).collect();
    if notes.is_empty() { String::new() } else { format!(" ({})", notes.join("; ").replace(' ', NO_BREAK)) }
}

/// The sample file.
pub fn sample() -> String {
    let mut out = HEADER.to_owned();
    for section in sections() {
        if !section.name.is_empty() {
            out += "\n\n";
            comment(&mut out, &blocks(section.doc), "");
            writeln!(out, "#\n[{}]", section.name).unwrap();
        }
        for key in &section.keys {
            out += "\n";
            comment(&mut out, &blocks(key.doc), &notes(key, true));
            if let Some(entry) = entry_of(key) {
                out += "#\n";
                comment(&mut out, &blocks(entry.doc), "");
                out += "#\n";
                rows(&mut out, &entry.keys.iter().map(row).collect::<Vec<_>>());
            }
            match (key.sample, &key.default) {
                (Some(value), _) => writeln!(out, "#\n{} = {value}", key.name).unwrap(),
                (None, DefaultValue::Value(value)) => writeln!(out, "#\n#{} = {value}", key.name).unwrap(),
                (None, _) => panic!("{} has neither a default nor a value in the sample", key.name),
            }
        }
    }
    out
}

/// A key of an entry, with its definition.
fn row(key: &Key) -> (String, String) {
    let Some(Block::Paragraph(text)) = blocks(key.doc).into_iter().next() else {
        panic!("{} has no definition", key.name)
    };
    let default = match &key.default {
        DefaultValue::Required => " Required.".to_owned(),
        DefaultValue::Unset => String::new(),
        DefaultValue::Value(value) => format!(" Default:{NO_BREAK}{value}"),
    };
    (key.name.to_owned(), format!("{text}{default}{}", notes(key, false)))
}

/// Writes documentation as comments. The notes are at the end of the first paragraph.
fn comment(out: &mut String, blocks: &[Block], notes: &str) {
    for (n, block) in blocks.iter().enumerate() {
        if n > 0 {
            out.push_str("#\n");
        }
        match block {
            Block::Paragraph(text) if n == 0 => wrap(out, "", "", &format!("{}{notes}", plain(text))),
            Block::Paragraph(text) => wrap(out, "", "", &plain(text)),
            Block::List(items) => rows(out, items),
            Block::Example(lines) => lines.iter().for_each(|line| writeln!(out, "#     {line}").unwrap()),
        }
    }
}

/// Writes terms and their texts in two columns.
fn rows(out: &mut String, items: &[(String, String)]) {
    let term = |term: &str| term.replace('`', "");
    let width = items.iter().map(|item| term(&item.0).chars().count()).max().unwrap_or_default() + 4;
    for (name, text) in items {
        wrap(out, &format!("    {:width$}", term(name)), &" ".repeat(4 + width), &plain(text));
    }
}

/// Writes a text as lines of a comment: the first begins with `first`, the others with `indent`.
fn wrap(out: &mut String, first: &str, indent: &str, text: &str) {
    let mut line = format!("# {first}");
    let mut is_empty = true;
    for word in text.split(' ') {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            writeln!(out, "{}", line.trim_end().replace(NO_BREAK, " ")).unwrap();
            line = format!("# {indent}");
            is_empty = true;
        }
        line += if is_empty { "" } else { " " };
        line += word;
        is_empty = false;
    }
    writeln!(out, "{}", line.trim_end().replace(NO_BREAK, " ")).unwrap();
}

/// A text without backquotes: code is in quotes where it would not be recognised otherwise.
fn plain(text: &str) -> String {
    let is_plain = |code: &str| {
        let good = |c: char| c.is_alphanumeric() || "_.$/[]{}*@%=:-+".contains(c);
        let is_word = code.contains(char::is_alphanumeric) && !code.ends_with(':');
        code.contains(['"', '{', '(', ',']) || code.starts_with("https:") || {
            is_word && (code.chars().all(good) || !code.contains(char::is_lowercase))
        }
    };
    let parts = text.split('`').enumerate();
    parts
        .map(|(n, part)| if n % 2 == 0 || is_plain(part) { part.into() } else { format!("\"{part}\"") })
        .collect()
}

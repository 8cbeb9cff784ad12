//! Renders the descriptions of the keys as lists of the manual pages, in mdoc(7).

use super::doc::{Block, blocks, entry_of};
use rcptd::config::{Change, DefaultValue, Description, Key, entries, sections};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Longest line of text.
const WIDTH: usize = 80;
/// Begin of the line before a list; the rest is the name of the page or of the section.
const BEGIN: &str = ".\\\" Keys of ";
/// The line after a list.
const END: &str = ".\\\" End of keys.";

/// Returns a manual page with the lists of keys between its marks replaced.
pub fn manual(old: &str) -> String {
    let mut page = Page { keys: names(), ..Page::default() };
    let mut lines = old.lines();
    while let Some(line) = lines.next() {
        page.line(line);
        let Some(rest) = line.strip_prefix(BEGIN) else { continue };
        match rest.split(',').next().unwrap() {
            "rcptd.conf" => sections().iter().for_each(|section| page.section(section)),
            heading => {
                let name = heading.trim_matches(['[', ']']);
                let entry = entries().into_iter().find(|entry| entry.name == name).unwrap();
                page.entry_keys(&entry.keys);
            }
        }
        assert!(lines.any(|line| line == END), "{line} without an end");
        page.line(END);
    }
    page.out
}

/// The names of all keys.
fn names() -> BTreeSet<&'static str> {
    sections().iter().chain(&entries()).flat_map(|section| &section.keys).map(|key| key.name).collect()
}

/// A page that is being written.
#[derive(Default)]
struct Page {
    out: String,
    /// The line of text that is not full yet.
    text: String,
    /// The names of all keys.
    keys: BTreeSet<&'static str>,
}

impl Page {
    /// Ends the line of text.
    fn flush(&mut self) {
        if !self.text.is_empty() {
            writeln!(self.out, "{}", std::mem::take(&mut self.text)).unwrap();
        }
    }

    /// Writes a line as it is.
    fn line(&mut self, line: &str) {
        self.flush();
        writeln!(self.out, "{line}").unwrap();
    }

    /// Writes a section of rcptd.conf(5).
    fn section(&mut self, section: &Description) {
        match section.name {
            "" => self.line(".Ss Top of the file"),
            name => self.line(&format!(".Ss [{name}]")),
        }
        self.blocks(&blocks(section.doc));
        self.line(".Bl -tag -width Ds");
        for key in &section.keys {
            self.key(key);
            if key.change == Change::Restart {
                self.line(".Em Restart .");
            }
        }
        self.line(".El");
    }

    /// Writes the keys of an entry. The list is marked if they need a restart.
    fn entry_keys(&mut self, keys: &[Key]) {
        self.line(".Bl -tag -width Ds");
        for key in keys {
            self.key(key);
        }
        self.line(".El");
    }

    /// Writes a key.
    fn key(&mut self, key: &Key) {
        self.line(&format!(".It Ic {} No = {}", key.name, syntax(key.syntax)));
        let mut blocks = blocks(key.doc);
        let entry = entry_of(key);
        let (here, elsewhere) = match entry {
            Some(entry) if entry.name == "normalise" => (Some(entry), None),
            other => (None, other),
        };
        if let (Some(entry), Some(Block::Paragraph(text))) = (elsewhere, blocks.first_mut()) {
            let page = if entry.name == "policy" { "rcptd.policy" } else { "rcptd.maps" };
            write!(text, " {page}(5) describes the keys of an entry.").unwrap();
        }
        self.blocks(&blocks);
        if let Some(entry) = &here {
            self.line(".Pp");
            self.blocks(&self::blocks(entry.doc));
            self.entry_keys(&entry.keys);
        }
        let bounds = key.bounds.as_ref().map(|(least, most)| format!("; from {least} to {most}"));
        let default = match &key.default {
            DefaultValue::Value(value) => format!("Default: `{value}`{}.", bounds.unwrap_or_default()),
            DefaultValue::Required => "Required.".to_owned(),
            DefaultValue::Unset => return,
        };
        if here.is_some() || blocks.len() > 1 {
            self.line(".Pp");
        }
        self.paragraph(&default);
    }

    /// Writes documentation.
    fn blocks(&mut self, blocks: &[Block]) {
        for (n, block) in blocks.iter().enumerate() {
            match block {
                Block::Paragraph(text) => {
                    if n > 0 {
                        self.line(".Pp");
                    }
                    self.paragraph(text);
                }
                Block::List(items) => {
                    self.line(".Bl -tag -width Ds");
                    for (term, text) in items {
                        self.line(&format!(".It Li {}", arguments(&term.replace('`', ""))));
                        self.paragraph(text);
                    }
                    self.line(".El");
                }
                Block::Example(lines) => {
                    self.line(".Bd -literal -offset indent");
                    for line in lines {
                        self.line(&line.replace('\\', "\\e"));
                    }
                    self.line(".Ed");
                }
            }
        }
    }

    /// Writes a text: each sentence begins a line; code and names of manual pages are macros.
    fn paragraph(&mut self, text: &str) {
        for word in words(text) {
            let bare = word.trim_end_matches(['.', ',', ';', ':']);
            if let Some((before, rest)) = word.split_once('`') {
                let (code, after) = rest.split_once('`').unwrap();
                self.line(&macro_line(self.style(code), before, &arguments(code), after));
            } else if let Some((name, section)) = manual_page(bare) {
                self.line(&macro_line("Xr", "", &format!("{name} {section}"), &word[bare.len()..]));
            } else {
                self.word(&escape(word));
            }
        }
        self.flush();
    }

    /// The macro for code.
    fn style(&self, code: &str) -> &'static str {
        let name = code.rsplit('.').next().unwrap_or_default();
        match code {
            url if url.starts_with("https:") => "Lk",
            _ if self.keys.contains(name) => "Ic",
            // Punctuation is in quotes.
            mark if !mark.contains(|c: char| c.is_alphanumeric() || "\"([".contains(c)) => "Ql",
            _ => "Li",
        }
    }

    /// Adds a word to the line of text.
    fn word(&mut self, word: &str) {
        if !self.text.is_empty() && self.text.len() + 1 + word.len() > WIDTH {
            self.flush();
        }
        self.text += if self.text.is_empty() { "" } else { " " };
        self.text += word;
        if word.ends_with('.') {
            self.flush();
        }
    }
}

/// Splits a text at its blanks, but not in code.
fn words(text: &str) -> Vec<&str> {
    let mut in_code = false;
    text.split(|c| {
        in_code ^= c == '`';
        c == ' ' && !in_code
    })
    .collect()
}

/// The name and section of a manual page, as in `tcp_table(5)`.
fn manual_page(word: &str) -> Option<(&str, &str)> {
    let (name, section) = word.strip_suffix(')')?.split_once('(')?;
    let is_page = !name.is_empty() && section.len() == 1 && section.chars().all(|c| c.is_ascii_digit());
    is_page.then_some((name, section))
}

/// A macro with the punctuation around its arguments.
fn macro_line(name: &str, before: &str, arguments: &str, after: &str) -> String {
    assert!(before.chars().all(|c| c == '(') && after.chars().all(|c| ".,;:)".contains(c)), "{arguments}");
    let before: String = before.chars().map(|c| format!("{c} ")).collect();
    let after: String = after.chars().map(|c| format!(" {c}")).collect();
    format!(".{name} {before}{arguments}{after}")
}

/// The syntax of a key in the head of a list.
fn syntax(syntax: &str) -> String {
    let list = syntax.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let mut out = String::from(if list.is_some() { "Bq" } else { "" });
    let mut current = "";
    for word in list.unwrap_or(syntax).replace(',', " ,").split_whitespace() {
        let style = if word.starts_with('"') || ["true", "false"].contains(&word) { "Cm" } else { "Ar" };
        if word.contains(char::is_alphanumeric) && style != current {
            current = style;
            write!(out, " {style}").unwrap();
        }
        write!(out, " {}", escape(word)).unwrap();
    }
    out.trim_start().to_owned()
}

/// Words as arguments of a macro.
fn arguments(text: &str) -> String {
    let words = text.split(' ').map(|word| {
        let is_macro = (2..=3).contains(&word.len())
            && match word.as_bytes() {
                [b'%', rest @ ..] => rest.iter().all(u8::is_ascii_uppercase),
                [first, rest @ ..] => first.is_ascii_uppercase() && rest.iter().all(u8::is_ascii_lowercase),
                [] => false,
            };
        let is_delimiter = word.len() == 1 && ".,:;()[]?!|".contains(word);
        if is_macro || is_delimiter { format!("\\&{word}") } else { escape(word) }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// A word without characters that mdoc interprets.
fn escape(word: &str) -> String {
    let mut out = String::new();
    for c in word.chars() {
        match c {
            '\\' => out += "\\e",
            '"' => out += "\\(dq",
            c if c.is_ascii() => out.push(c),
            c => write!(out, "\\[u{:04X}]", u32::from(c)).unwrap(),
        }
    }
    out
}

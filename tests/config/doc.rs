//! The documentation of keys, in the part of Markdown that the descriptions use.

use rcptd::config::{Description, Key, entries};

/// A part of the documentation of a key.
pub enum Block {
    /// Text, on one line.
    Paragraph(String),
    /// Terms, each with its text.
    List(Vec<(String, String)>),
    /// Lines as they are.
    Example(Vec<String>),
}

/// Parses documentation: a blank line is between two blocks.
pub fn blocks(doc: &str) -> Vec<Block> {
    let lines: Vec<&str> = doc.lines().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    lines.join("\n").split("\n\n").map(block).collect()
}

fn block(text: &str) -> Block {
    let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some(example) = text.strip_prefix("```toml\n").and_then(|rest| rest.strip_suffix("\n```")) {
        return Block::Example(example.lines().map(str::to_owned).collect());
    }
    let Some(items) = text.strip_prefix("- ") else { return Block::Paragraph(flat(text)) };
    let item = |item: &str| {
        let item = flat(item);
        let (term, text) = item.split_once("`: ").unwrap_or_else(|| panic!("no term in {item}"));
        (format!("{term}`"), text.to_owned())
    };
    Block::List(items.split("\n- ").map(item).collect())
}

/// The terms of the lists, and the examples, of a key.
pub fn terms_and_examples(key: &Key) -> (Vec<String>, Vec<String>) {
    let (mut terms, mut examples) = (Vec::new(), Vec::new());
    for block in blocks(key.doc) {
        match block {
            Block::Paragraph(_) => (),
            Block::List(items) => terms.extend(items.into_iter().map(|(term, _)| term)),
            Block::Example(lines) => examples.extend(lines),
        }
    }
    (terms, examples)
}

/// The description of the entries of a list, if they are tables with keys of their own.
pub fn entry_of(key: &Key) -> Option<Description> {
    entries().into_iter().find(|entry| key.section.is_empty() && entry.name == key.name)
}

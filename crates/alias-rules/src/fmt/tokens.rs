//! Splits a parsed text into its words and comments, in order.

use crate::compile::trees::Tree;
use crate::syntax::cursor::Cursor;
use crate::syntax::{Name, Statement, settings};
use crate::vocabulary::is_blank;
use diagnostics::Text;
use std::borrow::Cow;
use std::ops::Range;

/// A comment, a configuration statement, or an alias statement.
#[derive(Clone, Debug)]
pub(crate) struct Entry<'t> {
    /// Whether a blank line precedes it.
    pub blank: bool,
    pub kind: Kind<'t>,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind<'t> {
    Comment(&'t str),
    Setting {
        /// Comments between its words.
        comments: Vec<&'t str>,
        words: String,
        value: &'t str,
    },
    Statement {
        tokens: Vec<Token<'t>>,
        /// Whether it is on one line.
        on_line: bool,
        /// The keywords whose lists have an extra comma.
        commas: Vec<String>,
    },
}

/// A word of an alias statement.
#[derive(Clone, Debug)]
pub(crate) struct Token<'t> {
    /// The comments before it.
    pub comments: Vec<&'t str>,
    pub sort: Sort,
    pub text: Cow<'t, str>,
}

/// The kind of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    Keyword,
    /// A name of a list, a class, or an address.
    Name,
    Expression,
    Call,
    /// The semicolon.
    End,
}

/// The words that begin a part of a statement, unless they are names of a list.
const KEYWORDS: [&str; 8] = ["ACCOUNT", "USING", "ALIASED", "DOMAINS", "MATCHES", "WITH", "DELIVER", "TO"];

/// Returns the entries of `text`, which was parsed to `tree` without errors. `None` if text and tree do not
/// agree.
pub(crate) fn read<'t>(text: &'t Text, tree: &Tree<'t>) -> Option<Vec<Entry<'t>>> {
    let mut reader = Reader { cursor: Cursor::new(&text.content), comments: Vec::new() };
    let mut statements = tree.statements.iter().peekable();
    let mut entries: Vec<Entry<'t>> = Vec::new();
    loop {
        let before = reader.cursor.pos();
        let is_comment = reader.blanks();
        let at = reader.cursor.pos();
        let blank = !entries.is_empty() && line_ends(reader.cursor.slice(&(before..at))) > 1;
        if reader.cursor.peek().is_none() {
            break;
        }
        let kind = if is_comment {
            Kind::Comment(reader.comment())
        } else if let Some(statement) = statements.next_if(|statement| statement.keyword.start == at) {
            reader.statement(statement)?
        } else {
            reader.setting()?
        };
        entries.push(Entry { blank, kind });
    }
    statements.next().is_none().then_some(entries)
}

/// All comments, in order.
pub(crate) fn comments<'e>(entries: &'e [Entry<'_>]) -> impl Iterator<Item = &'e str> {
    entries.iter().flat_map(|entry| match &entry.kind {
        Kind::Comment(comment) => vec![*comment],
        Kind::Setting { comments, .. } => comments.clone(),
        Kind::Statement { tokens, .. } => tokens.iter().flat_map(|token| token.comments.clone()).collect(),
    })
}

/// The words and value of all configuration statements, in order.
pub(crate) fn settings<'e>(entries: &'e [Entry<'_>]) -> impl Iterator<Item = (&'e str, &'e str)> {
    entries.iter().filter_map(|entry| match &entry.kind {
        Kind::Setting { words, value, .. } => Some((&**words, *value)),
        Kind::Comment(_) | Kind::Statement { .. } => None,
    })
}

/// The number of line ends in `text`.
fn line_ends(text: &str) -> usize {
    text.replace("\r\n", "\n").matches(['\n', '\r']).count()
}

struct Reader<'t> {
    cursor: Cursor<'t>,
    /// Comments that have been read but not yet assigned to a word.
    comments: Vec<&'t str>,
}

impl<'t> Reader<'t> {
    /// Skips white space and returns whether a comment is next.
    fn blanks(&mut self) -> bool {
        self.cursor.run(|c| !is_blank(c));
        self.cursor.peek() == Some('#') && self.cursor.begins_line()
    }

    /// Consumes the comment that is next.
    fn comment(&mut self) -> &'t str {
        let span = self.cursor.rest_of_line();
        self.cursor.slice(&span)
    }

    /// Skips white space and stores comments.
    fn comments(&mut self) {
        while self.blanks() {
            let comment = self.comment();
            self.comments.push(comment);
        }
    }

    fn setting(&mut self) -> Option<Kind<'t>> {
        let first = self.cursor.word()?;
        let (words, value) = settings::parts(&mut self.cursor, &first)?;
        let mut rest = Reader { cursor: self.cursor, comments: Vec::new() };
        rest.cursor.seek(first.start);
        while rest.cursor.pos() < value.start {
            rest.comments();
            if rest.cursor.pos() < value.start {
                rest.cursor.run(is_blank);
            }
        }
        Some(Kind::Setting { comments: rest.comments, words, value: self.cursor.slice(&value) })
    }

    fn statement(&mut self, statement: &Statement<'t>) -> Option<Kind<'t>> {
        let start = self.cursor.pos();
        let mut marks = marks(statement).into_iter().peekable();
        let mut tokens: Vec<Token<'t>> = Vec::new();
        // The last keyword, keywords whose lists have an extra comma, and the number of consecutive commas.
        let (mut keyword, mut commas, mut in_a_row) = (String::new(), Vec::new(), 0);
        loop {
            self.comments();
            let at = self.cursor.pos();
            let (sort, text) = match self.cursor.peek()? {
                _ if marks.peek().is_some_and(|mark| mark.1.start == at) => {
                    let (sort, span) = marks.next()?;
                    (sort, if sort == Sort::Call { self.call(&span)? } else { self.word(&span) })
                }
                ',' => {
                    self.cursor.eat(',');
                    in_a_row += 1;
                    let first = tokens.last().is_some_and(|token| token.sort == Sort::Keyword);
                    if (first || in_a_row > 1) && commas.last() != Some(&keyword) {
                        commas.push(keyword.clone());
                    }
                    continue;
                }
                ';' => {
                    self.cursor.eat(';');
                    self.push(&mut tokens, Sort::End, ";".into());
                    break;
                }
                _ => {
                    let span = self.cursor.run(|c| is_blank(c) || c == ',' || c == ';');
                    let word = self.cursor.slice(&span);
                    let sort = if KEYWORDS.contains(&word) { Sort::Keyword } else { Sort::Name };
                    (sort, word.into())
                }
            };
            in_a_row = 0;
            if sort == Sort::Keyword {
                text.as_ref().clone_into(&mut keyword);
            }
            self.push(&mut tokens, sort, text);
        }
        let on_line = line_ends(self.cursor.slice(&(start..self.cursor.pos()))) == 0;
        marks.next().is_none().then_some(Kind::Statement { tokens, on_line, commas })
    }

    /// Adds a word with the comments before it. A word that begins with `#` must not begin a line, as it
    /// would after a comment, so its comments go to the next word.
    fn push(&mut self, tokens: &mut Vec<Token<'t>>, sort: Sort, text: Cow<'t, str>) {
        let comments = if text.starts_with('#') { Vec::new() } else { std::mem::take(&mut self.comments) };
        tokens.push(Token { comments, sort, text });
    }

    fn word(&mut self, span: &Range<usize>) -> Cow<'t, str> {
        self.cursor.seek(span.end);
        self.cursor.slice(span).into()
    }

    /// Reads a call and drops its blanks; its comments are stored.
    fn call(&mut self, span: &Range<usize>) -> Option<Cow<'t, str>> {
        let mut text = String::new();
        loop {
            self.comments();
            if self.cursor.pos() >= span.end {
                return Some(text.into());
            }
            let c = self.cursor.peek()?;
            self.cursor.eat(c);
            text.push(c);
            if self.cursor.pos() == span.end {
                return Some(text.into());
            }
        }
    }
}

/// The words of a statement whose spans are known from the tree.
fn marks(statement: &Statement<'_>) -> Vec<(Sort, Range<usize>)> {
    let lists = [Some(&statement.accounts), statement.aliases.as_ref(), statement.domains.as_ref()];
    let names = lists.into_iter().flatten().flatten().chain(statement.deliver.iter().map(|d| &d.target));
    let mut marks: Vec<_> = names.map(|name: &Name<'_>| (Sort::Name, name.span())).collect();
    marks.push((Sort::Expression, statement.expression.span.clone()));
    marks.extend(statement.calls.iter().map(|call| (Sort::Call, call.span.clone())));
    marks.sort_by_key(|(_, span)| span.start);
    marks
}

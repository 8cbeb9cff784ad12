//! Reads a text word by word and skips blanks and comment lines.

use crate::vocabulary::is_blank;
use std::ops::Range;

/// A position in a text.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'t> {
    text: &'t str,
    pos: usize,
}

impl<'t> Cursor<'t> {
    pub fn new(text: &'t str) -> Self {
        Cursor { text, pos: 0 }
    }

    pub fn pos(&self) -> usize {
        self.pos
    }

    /// Moves to `pos`, which must be a character boundary, as the ends of all returned spans are.
    pub fn seek(&mut self, pos: usize) {
        self.pos = pos;
    }

    pub fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Consumes `c` if it is next.
    pub fn eat(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        if found {
            self.pos += c.len_utf8();
        }
        found
    }

    pub fn slice(&self, span: &Range<usize>) -> &'t str {
        self.text.get(span.clone()).unwrap_or_default()
    }

    /// An empty span at the end of the text.
    pub fn end(&self) -> Range<usize> {
        self.text.len()..self.text.len()
    }

    /// Skips white space and comment lines.
    pub fn skip_blank(&mut self) {
        while let Some(c) = self.peek() {
            if is_blank(c) {
                self.pos += c.len_utf8();
            } else if c == '#' && self.begins_line() {
                self.rest_of_line();
            } else {
                break;
            }
        }
    }

    /// Whether the line has only blanks before the cursor.
    pub fn begins_line(&self) -> bool {
        let before = self
            .text
            .get(..self.pos)
            .unwrap_or_default()
            .trim_end_matches(|c| is_blank(c) && !is_line_end(c));
        before.is_empty() || before.ends_with(is_line_end)
    }

    /// Consumes all characters before the next one that `ends` the run.
    pub fn run(&mut self, ends: impl Fn(char) -> bool) -> Range<usize> {
        let start = self.pos;
        self.pos += self.rest().find(ends).unwrap_or(self.rest().len());
        start..self.pos
    }

    /// Consumes the next word; `None` at the end of the text.
    pub fn word(&mut self) -> Option<Range<usize>> {
        self.skip_blank();
        let span = self.run(is_blank);
        (!span.is_empty()).then_some(span)
    }

    /// The next word, without consuming it.
    pub fn peek_word(&mut self) -> Option<Range<usize>> {
        self.skip_blank();
        Cursor { ..*self }.word()
    }

    /// Consumes the rest of the line and returns it without the blanks around it.
    pub fn rest_of_line(&mut self) -> Range<usize> {
        let span = self.run(is_line_end);
        let line = self.slice(&span);
        let start = span.end - line.trim_start_matches(is_blank).len();
        start..start + line.trim_matches(is_blank).len()
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.pos..).unwrap_or_default()
    }
}

fn is_line_end(c: char) -> bool {
    matches!(c, '\n' | '\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_skip_comment_lines() {
        let text = " a#b\r\n\t# c d\rx\u{a0}#y\n#z";
        let mut cursor = Cursor::new(text);
        let mut got = Vec::new();
        while let Some(span) = cursor.word() {
            got.push(cursor.slice(&span));
        }
        assert_eq!(got, ["a#b", "x", "#y"]);
    }

    #[test]
    fn rest_of_line_is_trimmed() {
        let mut cursor = Cursor::new("PORT :  42 # x \r\n7");
        cursor.seek(6);
        let span = cursor.rest_of_line();
        assert_eq!(cursor.slice(&span), "42 # x");
        assert_eq!(cursor.word().map(|span| cursor.slice(&span)), Some("7"));
        assert_eq!(cursor.word(), None);
        assert_eq!(cursor.rest_of_line(), cursor.end());
    }
}

//! Parses `DELIVER TO` and the end of a statement.

use super::{ACCOUNT, Deliver, Fault, Name, Parser, Stop};
use crate::vocabulary::is_blank;

impl Parser<'_, '_> {
    /// Consumes the semicolon. Without it, the statement still ends where another one begins.
    pub fn semicolon(&mut self, expected: &str, help: &str) -> Result<(), Stop> {
        self.cursor.skip_blank();
        if self.cursor.eat(';') {
            return Ok(());
        }
        let Some(span) = self.cursor.peek_word() else { return self.ended("a semicolon") };
        let found = self.cursor.slice(&span);
        let next = found == ACCOUNT || self.is_setting(&span);
        let fault = Fault::new(span.clone(), format!("expected {expected}, found \"{found}\""));
        let fault = fault.help(if next { "end the statement above with a semicolon" } else { help });
        if found == ACCOUNT {
            // The next statement begins here, even within a line.
            self.faults.push(fault);
            self.cursor.seek(span.start);
            return Ok(());
        }
        self.error(fault, span.start)
    }
}

impl<'t> Parser<'t, '_> {
    /// Parses the text after `DELIVER`, up to the semicolon.
    pub fn deliver(&mut self) -> Result<Deliver<'t>, Stop> {
        self.keyword("TO", "deliver")?;
        self.cursor.skip_blank();
        let span = self.cursor.run(|c| is_blank(c) || c == ';');
        if span.is_empty() {
            let Some(found) = self.cursor.peek_word() else { return self.ended("an address") };
            let text = self.cursor.slice(&found);
            let fault = Fault::new(found.clone(), format!("expected an address, found \"{text}\""));
            return self.error(fault.help(SUCH_AS), found.start);
        }
        let target = Name { value: self.cursor.slice(&span), start: span.start };
        self.semicolon("\";\"", "an address is one word; a semicolon ends the statement")?;
        Ok(Deliver { target })
    }
}

const SUCH_AS: &str = "write local@domain, such as %account%@example.com";

//! Parses the functions after `WITH`.

use super::{Call, Deliver, Fault, Parser, Stop, Subject};
use crate::vocabulary::{Function, integer, is_blank};
use diagnostics::nearest;
use std::ops::Range;

/// An argument of a function; blanks are removed.
#[derive(Clone, Debug)]
struct Argument {
    value: String,
    span: Range<usize>,
}

impl<'t> Parser<'t, '_> {
    /// Parses the functions and `DELIVER TO`, up to the semicolon.
    pub fn calls(&mut self) -> Result<(Vec<Call>, Option<Deliver<'t>>), Stop> {
        let mut calls = Vec::new();
        loop {
            calls.extend(self.call()?);
            self.cursor.skip_blank();
            if self.cursor.eat(',') {
                continue;
            }
            if self.eat_word("DELIVER") {
                return Ok((calls, Some(self.deliver()?)));
            }
            let next = self.cursor.peek_word().map(|span| self.cursor.slice(&span));
            let meant = next.is_some_and(|word| nearest(word, ["DELIVER"]).is_some());
            let help = "functions are separated by commas; a semicolon ends the statement";
            self.semicolon("\",\" or \";\"", if meant { "did you mean DELIVER?" } else { help })?;
            return Ok((calls, None));
        }
    }

    /// Parses one function. `None` after reporting an error in its arguments.
    fn call(&mut self) -> Result<Option<Call>, Stop> {
        self.cursor.skip_blank();
        let name = self.cursor.run(|c| is_blank(c) || "(),;".contains(c));
        let word = self.cursor.slice(&name);
        let Some(function) = Function::from_name(word) else {
            let Some(found) = self.cursor.peek_word().filter(|_| word.is_empty()) else {
                if word.is_empty() {
                    return self.ended("a function");
                }
                let fault = Fault::new(name.clone(), format!("unknown function \"{word}\""));
                let fault = match nearest(word, Function::ALL.map(Function::name)) {
                    Some(near) => fault.help(format!("did you mean {near}?")),
                    None => fault.help(
                        "known are CHARS, DIGITS, ALPHAS, VOWELS, LABELS, ANY, NONE, CHAR, HMAC; a code has no \
                         literals",
                    ),
                };
                return self.error(fault, name.start);
            };
            let text = self.cursor.slice(&found);
            let fault = Fault::new(found.clone(), format!("expected a function, found \"{text}\""));
            return self.error(fault.help("such as CHARS()"), found.start);
        };
        if !self.cursor.eat('(') {
            let fault = Fault::new(name.clone(), format!("no \"(\" after {word}"));
            return self.error(fault.help(format!("write {word}(…) without a blank in between")), name.start);
        }
        let Some(arguments) = self.arguments() else {
            let fault = Fault::new(name.clone(), format!("the parenthesis after {word} is not closed"));
            return self.error(fault, name.start);
        };
        let span = name.start..self.cursor.pos();
        match call(function, &arguments, span) {
            Ok(call) => Ok(Some(call)),
            Err(fault) => {
                let (runaway, resume) = (arguments.iter().any(|a| a.value.contains(['(', ';'])), name.start);
                if runaway {
                    let fault = Fault::new(name, format!("the parenthesis after {word} is not closed"));
                    return self.error(fault.help("a closing parenthesis ends the arguments"), resume);
                }
                self.faults.push(fault);
                Ok(None)
            }
        }
    }

    /// Parses the arguments up to the closing parenthesis; `None` if it is missing.
    fn arguments(&mut self) -> Option<Vec<Argument>> {
        let mut arguments = Vec::new();
        let mut value = String::new();
        self.cursor.skip_blank();
        let mut start = self.cursor.pos();
        let mut end = start;
        loop {
            let c = self.cursor.peek()?;
            if is_blank(c) {
                self.cursor.skip_blank();
                continue;
            }
            self.cursor.eat(c);
            if c == ',' || c == ')' {
                arguments.push(Argument { value: std::mem::take(&mut value), span: start..end.max(start) });
                start = self.cursor.pos();
                end = start;
                if c == ')' {
                    return Some(arguments);
                }
                continue;
            }
            if value.is_empty() {
                start = self.cursor.pos() - c.len_utf8();
            }
            end = self.cursor.pos();
            value.push(c);
        }
    }
}

/// The remedy for a wrong call of `HMAC`.
pub(crate) const HMAC_USAGE: &str = "write HMAC(n), where n is the number of characters";

/// Converts the arguments of `function`.
fn call(function: Function, arguments: &[Argument], span: Range<usize>) -> Result<Call, Fault> {
    let name = function.name();
    let (subjects, default) = match arguments {
        _ if function != Function::Char => (arguments, String::new()),
        [subjects @ .., default] if !subjects.is_empty() => (subjects, default.value.clone()),
        _ => {
            return Err(Fault::new(span, "CHAR has too few arguments")
                .help("write CHAR(index, default), or CHAR(identifier, index, default)"));
        }
    };
    if function != Function::Char && arguments.len() > 1 {
        return Err(Fault::new(span, format!("{name} has more than one argument")).help(
            if function == Function::Hmac {
                HMAC_USAGE.into()
            } else {
                format!("write {name}() or {name}(identifier)")
            },
        ));
    }
    // CHAR takes a name only where it could also take the index of an identifier.
    let named = match function {
        Function::Char => arguments.len() == 3,
        _ => function != Function::Hmac,
    };
    let arguments = subjects.iter().enumerate().map(|(i, argument)| {
        let Argument { value, span } = argument;
        match &*value.to_lowercase() {
            "" => Ok(Subject::Unspecified),
            "account" if named && i == 0 => Ok(Subject::Account),
            "alias" if named && i == 0 => Ok(Subject::Alias),
            _ => integer(value).map(Subject::Index).ok_or_else(|| {
                let what = if named && i == 0 { "a number, account or alias" } else { "a number" };
                Fault::new(span.clone(), format!("\"{value}\" is not {what}")).help(
                    if function == Function::Hmac {
                        HMAC_USAGE
                    } else {
                        "identifiers are numbered from 1, from the left"
                    },
                )
            }),
        }
    });
    Ok(Call { function, arguments: arguments.collect::<Result<_, _>>()?, default, span })
}

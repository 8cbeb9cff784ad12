//! Explains why a name matches or does not match.

pub(crate) mod near_miss;
pub(crate) mod render;

use crate::date::{Day, last_day};
use crate::ir::{CompiledCall, NeverMatches, Op, Piece, Program, Target};
use crate::matcher::budget::Budget;
use crate::matcher::expiry::expired_match;
use crate::matcher::rules::{Decision, MAX_NAME, Query, Rules};
use crate::matcher::{Binding, Matcher, StatementMatch, operations};
use mail_address::escape;
use std::fmt;
use std::ops::Range;

/// The result of every statement for a name, and the decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The name as compared: case-folded if configured.
    pub name: String,
    /// One trace for each statement, in order.
    pub statements: Vec<Trace>,
    /// The decision of all statements.
    pub outcome: Outcome,
}

/// The result of one statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Its file and line, `aliases.rules:3`.
    pub place: String,
    /// Its expression.
    pub expression: String,
    /// Whether and why it matches.
    pub finding: Finding,
}

/// Whether and why a statement matches a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It matches.
    Matched {
        /// The account.
        account: String,
        /// Whether it matches for other accounts, too.
        several: bool,
        /// Whether there is more than one match.
        ambiguous: bool,
        /// One split of the name that matches; `None` if finding one took too long.
        split: Option<Split>,
    },
    /// It matches, but its last day has passed.
    Expired {
        /// The account.
        account: String,
        /// Its last day.
        last: Day,
        /// The split of the name that matched last; `None` if finding it took too long.
        split: Option<Split>,
    },
    /// It would match with another code.
    WrongCode(Split),
    /// It might match if the text were in its list of accounts or aliases.
    Unlisted {
        /// `account` or `alias`.
        what: &'static str,
        /// The text in the position of the account or alias.
        text: String,
    },
    /// The name does not match the expression.
    Unfit {
        /// The beginning of the name that matches.
        fits: String,
        /// The next part of the expression, which does not match; `None` if the name is longer than the
        /// expression.
        part: Option<String>,
        /// The rest of the name.
        rest: String,
    },
    /// It does not apply in this domain.
    OtherDomain,
    /// It never matches any name.
    Never(NeverMatches),
    /// Matching would exceed the step limit.
    TempFail,
}

/// A name split into the parts of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// The account.
    pub account: String,
    /// The names of the expression, such as `%ident%`, each with its text.
    pub parts: Vec<(String, String)>,
    /// The last day according to its `%date%`.
    pub last: Option<Day>,
    /// The code in the name.
    pub code: String,
    /// The correct code; `?` represents a character that is secret or has several correct values.
    pub computed: String,
    /// The value of each function.
    pub values: Vec<Value>,
}

/// The value of a function for a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The function and its arguments.
    pub call: String,
    /// The text that it looks at.
    pub text: String,
    /// Its value; `None` if no character of the code is a correct value.
    pub value: Option<String>,
    /// The part of the code in its position.
    pub given: String,
    /// Whether that part is correct.
    pub right: bool,
}

/// An owned [`Decision`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The name is not an alias.
    NoMatch,
    /// The name is an alias of one account, or ambiguous and for the debug account.
    Account {
        /// The account.
        name: String,
        /// The address of `DELIVER TO`; `None` for the account in the domain of the alias.
        target: Option<String>,
        /// Whether there is more than one match.
        ambiguous: bool,
        /// Whether it is the debug account.
        by_debug: bool,
    },
    /// The name was an alias of this account.
    Expired {
        /// The account.
        name: String,
        /// Its last day.
        last: Day,
    },
    /// The name is an alias of several accounts or targets, and there is no debug account.
    Ambiguous,
    /// The lookup would exceed its step limit.
    TempFail,
}

impl From<Decision<'_>> for Outcome {
    fn from(decision: Decision<'_>) -> Self {
        match decision {
            Decision::NoMatch => Outcome::NoMatch,
            Decision::Account { name, target, ambiguous, by_debug, .. } => {
                Outcome::Account { name: name.into(), target: target.map(Into::into), ambiguous, by_debug }
            }
            Decision::Expired { name, last, .. } => Outcome::Expired { name: name.into(), last },
            Decision::Ambiguous { .. } => Outcome::Ambiguous,
            Decision::TempFail { .. } => Outcome::TempFail,
        }
    }
}

/// Matches a name against each statement and explains the results.
pub(crate) fn explain(rules: &Rules, query: Query<'_>) -> Explanation {
    let outcome = rules.find(query).into();
    let name = rules.key(query.name);
    let mut matcher = Matcher::new(&name).on(query.today);
    let mut spare = Budget::of(name.len()).lookup;
    let mut statements = Vec::with_capacity(rules.len());
    for i in 0..rules.len() {
        let statement = rules.statement(i);
        statements.push(Trace {
            place: statement.to_string(),
            expression: statement.text.into(),
            finding: finding(rules.program(i), query.domain, &mut matcher, &name, &mut spare),
        });
    }
    Explanation { statements, name: name.to_string(), outcome }
}

/// Matches `name` against one statement. Finding a split uses steps of `spare`.
fn finding(
    program: Program<'_>,
    domain: Option<&str>,
    matcher: &mut Matcher<'_>,
    name: &str,
    spare: &mut u64,
) -> Finding {
    if let Some(never) = program.never {
        return Finding::Never(never);
    }
    if !program.scope().includes(domain) {
        return Finding::OtherDomain;
    }
    if name.len() > MAX_NAME {
        return Finding::TempFail;
    }
    let store = program.store();
    let expired = match matcher.statement(program) {
        Err(_) => return Finding::TempFail,
        Ok(Some(found)) => {
            let account = store.spelling(found.account).to_owned();
            let split =
                find_split(program, found, Matcher::with_steps(name, *spare).on(matcher.today), spare);
            return Finding::Matched { account, several: found.several, ambiguous: found.ambiguous, split };
        }
        Ok(None) => expired_match(matcher, program),
    };
    match expired {
        Err(_) => Finding::TempFail,
        Ok(None) => near_miss::find(program, name, spare),
        Ok(Some((found, last))) => {
            let account = store.spelling(found.account).to_owned();
            let split = find_split(program, found, Matcher::with_steps(name, *spare).on(Some(last)), spare);
            Finding::Expired { account, last, split }
        }
    }
}

/// Finds a split of the name for a match. Uses steps of `spare`.
fn find_split(
    program: Program<'_>,
    found: StatementMatch,
    mut matcher: Matcher<'_>,
    spare: &mut u64,
) -> Option<Split> {
    let binding = Binding::of(program, Some(found.account), found.alias);
    let ends = matcher.witness(binding).ok().flatten();
    *spare = matcher.steps();
    ends.map(|ends| split(binding, matcher.name, &ends))
}

/// The HMAC code of `len` characters at the beginning of `rest`, and what follows it. `code` is the range of all
/// codes in the name.
fn hmac<'r>(
    binding: Binding<'_>,
    call: &CompiledCall,
    name: &str,
    code: &Range<usize>,
    rest: &'r str,
    len: usize,
) -> (Value, &'r str) {
    let input = binding.hmac_input(name, code.start, code.end);
    let secrets = binding.program.scope().secrets();
    let code = rest.get(..len).filter(|code| secrets.verify(code.as_bytes(), &input));
    let (given, tail) = rest.split_at(rest.char_indices().nth(len).map_or(rest.len(), |(at, _)| at));
    let value = Value {
        call: call.to_string(),
        text: [input.before, input.after].concat(),
        // A correct code is never shown.
        value: Some(code.map_or_else(|| "?".repeat(len), Into::into)),
        given: given.into(),
        right: code.is_some(),
    };
    (value, tail)
}

/// Creates the split of `name` whose pieces end at `ends`.
pub(crate) fn split(binding: Binding<'_>, name: &str, ends: &[usize]) -> Split {
    let program = binding.program;
    let mut split = Split {
        account: binding.account.into(),
        parts: Vec::new(),
        last: None,
        code: String::new(),
        computed: String::new(),
        values: Vec::new(),
    };
    let mut identifiers = Vec::new();
    let mut start = 0;
    for (piece, end) in program.pieces.iter().zip(ends) {
        let text = name.get(start..*end).unwrap_or_default();
        start = *end;
        match piece {
            Piece::Literal(_) => continue,
            Piece::Code => split.code = text.into(),
            Piece::Identifier(..) => identifiers.push(text),
            Piece::Date => split.last = last_day(text.as_bytes()),
            Piece::Account | Piece::Alias | Piece::Shape => {}
        }
        split.parts.push((format_piece(program, piece), text.into()));
    }
    let mut rest = &*split.code;
    let end = ends.get(program.code).copied().unwrap_or_default();
    let code = end - split.code.len()..end;
    for call in &program.calls {
        if let Op::Hmac(len) = call.op {
            let (value, tail) = hmac(binding, call, name, &code, rest, len);
            split.computed.extend(value.value.as_deref());
            split.values.push(value);
            rest = tail;
            continue;
        }
        let text = match call.target {
            Target::Account => binding.account,
            Target::Alias => binding.alias,
            Target::Name => name,
            Target::Identifier(i) => identifiers.get(i).copied().unwrap_or_default(),
        };
        let value = operations::value(&call.op, text, rest);
        let after = value.as_deref().and_then(|value| rest.strip_prefix(value));
        split.computed.push_str(value.as_deref().unwrap_or("?"));
        // After a wrong value, the next function is compared where a correct value would have ended.
        let len = value.as_deref().unwrap_or("?").chars().count();
        let given = rest.char_indices().nth(len).map_or(rest, |(at, _)| &rest[..at]);
        rest = after.unwrap_or(&rest[given.len()..]);
        split.values.push(Value {
            call: call.to_string(),
            text: text.into(),
            given: given.into(),
            value: value.map(Into::into),
            right: after.is_some(),
        });
    }
    split
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::NoMatch => f.write_str("no alias"),
            Outcome::Account { name, by_debug: true, .. } => {
                write!(f, "ambiguous: goes to the debug account \"{}\"", escape(name))
            }
            Outcome::Account { name, target, ambiguous, .. } => {
                let how = if *ambiguous { "ambiguous, but " } else { "" };
                write!(f, "{how}an alias of \"{}\"", escape(name))?;
                target.as_ref().map_or(Ok(()), |target| write!(f, ", delivered to {}", escape(target)))
            }
            Outcome::Expired { name, last } => {
                write!(f, "was an alias of \"{}\" until {last}", escape(name))
            }
            Outcome::Ambiguous => f.write_str(
                "ambiguous: an alias of several accounts or for several targets, no debug account",
            ),
            Outcome::TempFail => f.write_str("temporary failure: the lookup takes too long"),
        }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {} {}", escape(&self.place), escape(&self.expression))?;
        match &self.finding {
            Finding::Matched { account, several, ambiguous, split } => {
                let others = if *several { " and others" } else { "" };
                let how = match (ambiguous, several) {
                    (true, false) => ", in more than one way",
                    _ => "",
                };
                writeln!(f, "    matches for account \"{}\"{others}{how}", escape(account))?;
                show_split(f, split.as_ref())
            }
            Finding::Expired { account, last, split } => {
                writeln!(f, "    matches for account \"{}\", but expired on {last}", escape(account))?;
                show_split(f, split.as_ref())
            }
            Finding::WrongCode(split) => {
                let (code, computed) = (escape(&split.code), escape(&split.computed));
                writeln!(f, "    no match: the code is \"{code}\", computed \"{computed}\"")?;
                write!(f, "{split}")
            }
            Finding::Unlisted { what, text } => {
                writeln!(f, "    no match: {what} \"{}\" is not in the list", escape(text))
            }
            Finding::Unfit { fits, part, rest } => {
                f.write_str("    no match: ")?;
                match (part, &**fits, &**rest) {
                    (Some(part), "", "") => {
                        write!(f, "\"{}\" does not match an empty name", escape(part))?;
                    }
                    (Some(part), fits, "") => {
                        write!(f, "the name ends after \"{}\", expected \"{}\"", escape(fits), escape(part))?;
                    }
                    (Some(part), "", rest) => {
                        write!(f, "\"{}\" does not match \"{}\"", escape(part), escape(rest))?;
                    }
                    (Some(part), fits, rest) => {
                        let (fits, part, rest) = (escape(fits), escape(part), escape(rest));
                        write!(f, "after \"{fits}\", \"{part}\" does not match \"{rest}\"")?;
                    }
                    (None, fits, rest) => {
                        write!(f, "\"{}\" matches, \"{}\" is left over", escape(fits), escape(rest))?;
                    }
                }
                writeln!(f)
            }
            Finding::OtherDomain => writeln!(f, "    is for other domains"),
            Finding::Never(never) => writeln!(f, "    never matches: {never}"),
            Finding::TempFail => writeln!(f, "    temporary failure: the lookup takes too long"),
        }
    }
}

fn show_split(f: &mut fmt::Formatter<'_>, split: Option<&Split>) -> fmt::Result {
    match split {
        Some(split) => write!(f, "{split}"),
        None => writeln!(f, "    there are too many splits to find_split one"),
    }
}

pub(crate) const DATE: &str = "%date%";

/// Formats a piece as in an expression.
pub(crate) fn format_piece(program: Program<'_>, piece: &Piece) -> String {
    match piece {
        Piece::Literal(number) => program.literal(*number).into(),
        Piece::Account => "%account%".into(),
        Piece::Alias => "%alias%".into(),
        Piece::Identifier(class, _) => format!("%{}%", class.name()),
        Piece::Date => DATE.into(),
        Piece::Shape | Piece::Code => "%code%".into(),
    }
}

//! Why a name matches or does not: what `explain` shows.

pub(crate) mod near_miss;
pub(crate) mod render;

use crate::date::{Day, last_day};
use crate::ir::{Never, Op, Piece, Program, Target};
use crate::matcher::budget::Budget;
use crate::matcher::expiry::expired_match;
use crate::matcher::rules::{Decision, MAX_NAME, Query, Rules};
use crate::matcher::{Binding, Matcher, StatementMatch, operations};
use mail_address::escape;
use std::fmt;

/// What every statement says of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The name as it was compared.
    pub name: String,
    /// One for each statement, in order.
    pub statements: Vec<Trace>,
    /// What follows from them.
    pub outcome: Outcome,
}

/// What one statement says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Its file and line, `aliases.rules:3`.
    pub place: String,
    /// Its expression.
    pub expression: String,
    /// What it says.
    pub finding: Finding,
}

/// What a statement says of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It matches.
    Matched {
        /// For this account.
        account: String,
        /// Whether for others as well.
        several: bool,
        /// Whether in more than one way.
        ambiguous: bool,
        /// One of the ways, unless looking for it took too long.
        split: Option<Split>,
    },
    /// It matches, but its last day has passed.
    Expired {
        /// For this account.
        account: String,
        /// Its last day.
        last: Day,
        /// The way that matched last, unless looking for it took too long.
        split: Option<Split>,
    },
    /// It would, if the code were another one.
    WrongCode(Split),
    /// It might, if the text in the place of the account or the alias were one of its accounts or aliases.
    Unlisted {
        /// `account` or `alias`.
        what: &'static str,
        /// What stands in that place.
        text: String,
    },
    /// The expression does not fit the name.
    Unfit {
        /// What fits, from the beginning.
        fits: String,
        /// The part of the expression that does not fit behind it; `None` if there is text left over.
        part: Option<String>,
        /// The rest of the name.
        rest: String,
    },
    /// It is only for certain domains, and this one is not of them.
    OtherDomain,
    /// It matches nothing at all.
    Never(Never),
    /// Nobody knows: finding out would take too long.
    TempFail,
}

/// A name split into the parts of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// The account tried.
    pub account: String,
    /// The names of the expression, such as `%ident%`, each with its text.
    pub parts: Vec<(String, String)>,
    /// The day that its `%date%` means.
    pub last: Option<Day>,
    /// The code in the name.
    pub code: String,
    /// The code computed; `?` stands for a character that may be any of several.
    pub computed: String,
    /// The functions that make it up.
    pub values: Vec<Value>,
}

/// A function of a calc expression at work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The function and its arguments.
    pub call: String,
    /// The text it looked at.
    pub text: String,
    /// What it gave; `None` where nothing in the code can be it.
    pub value: Option<String>,
    /// What the code has at its place.
    pub given: String,
    /// Whether the code has it at this place.
    pub right: bool,
}

/// What follows for a name: a [`Decision`] to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is not an alias.
    NoMatch,
    /// It goes to this account.
    Account {
        /// The account.
        name: String,
        /// Where its mail goes, if not to the account in the domain of the alias.
        target: Option<String>,
        /// Whether a statement matched in more than one way, or several accounts were meant.
        ambiguous: bool,
        /// Whether it is the debug account.
        by_debug: bool,
    },
    /// It was an alias of this account.
    Expired {
        /// The account.
        name: String,
        /// Its last day.
        last: Day,
    },
    /// It is an alias of more than one account, and there is no debug account.
    Ambiguous,
    /// It would take too long to find out.
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

/// Explains the decision about a name: what each statement says of it.
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

/// What a statement says of `name`. The steps to show it come out of `spare`.
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
            let split = show(program, found, Matcher::with_steps(name, *spare).on(matcher.since), spare);
            return Finding::Matched { account, several: found.several, ambiguous: found.ambiguous, split };
        }
        Ok(None) => expired_match(matcher, program),
    };
    match expired {
        Err(_) => Finding::TempFail,
        Ok(None) => near_miss::find(program, name, spare),
        Ok(Some((found, last))) => {
            let account = store.spelling(found.account).to_owned();
            let split = show(program, found, Matcher::with_steps(name, *spare).on(Some(last)), spare);
            Finding::Expired { account, last, split }
        }
    }
}

/// One way in which `program` matches for `found`. Steps come out of `spare`.
fn show(
    program: Program<'_>,
    found: StatementMatch,
    mut showing: Matcher<'_>,
    spare: &mut u64,
) -> Option<Split> {
    let binding = Binding::of(program, Some(found.account), found.alias);
    let ends = showing.witness(binding).ok().flatten();
    *spare = showing.steps();
    ends.map(|ends| split(binding, showing.name, &ends))
}

/// The split of `name` whose pieces end at `ends`.
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
        split.parts.push((shown(program, piece), text.into()));
    }
    let mut rest = &*split.code;
    // The code stands where the pieces in front of it end.
    let end = ends.get(program.code).copied().unwrap_or_default();
    let bound = binding.bound(name, end - split.code.len(), end);
    for call in &program.calls {
        if let Op::Hmac(len) = call.op {
            let code =
                rest.get(..len).filter(|code| program.scope().secrets().verify(code.as_bytes(), &bound));
            // Nobody is told the right one.
            let value = code.map_or_else(|| "?".repeat(len), Into::into);
            split.computed.push_str(&value);
            let (given, behind) =
                rest.split_at(rest.char_indices().nth(len).map_or(rest.len(), |(at, _)| at));
            rest = behind;
            split.values.push(Value {
                call: call.to_string(),
                text: [bound.before, bound.after].concat(),
                value: Some(value),
                given: given.into(),
                right: code.is_some(),
            });
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
        // Behind a wrong value the code goes on where a right one would have ended.
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
                let how = if *ambiguous { "ambiguous, but all the same " } else { "" };
                write!(f, "{how}an alias of \"{}\"", escape(name))?;
                target.as_ref().map_or(Ok(()), |target| write!(f, ", delivered to {}", escape(target)))
            }
            Outcome::Expired { name, last } => {
                write!(f, "was an alias of \"{}\" until {last}", escape(name))
            }
            Outcome::Ambiguous => f.write_str(
                "ambiguous: an alias of several accounts or for several targets, no debug account",
            ),
            Outcome::TempFail => f.write_str("cannot say: finding out would take too long"),
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
                    (Some(part), "", "") => write!(f, "\"{}\" does not fit nothing", escape(part))?,
                    (Some(part), fits, "") => {
                        write!(f, "behind \"{}\" the name ends, wanted \"{}\"", escape(fits), escape(part))?;
                    }
                    (Some(part), "", rest) => {
                        write!(f, "\"{}\" does not fit \"{}\"", escape(part), escape(rest))?;
                    }
                    (Some(part), fits, rest) => {
                        let (fits, part, rest) = (escape(fits), escape(part), escape(rest));
                        write!(f, "behind \"{fits}\", \"{part}\" does not fit \"{rest}\"")?;
                    }
                    (None, fits, rest) => {
                        write!(f, "\"{}\" fits, \"{}\" is left over", escape(fits), escape(rest))?;
                    }
                }
                writeln!(f)
            }
            Finding::OtherDomain => writeln!(f, "    is for other domains"),
            Finding::Never(never) => writeln!(f, "    never matches: {never}"),
            Finding::TempFail => writeln!(f, "    finding out would take too long"),
        }
    }
}

fn show_split(f: &mut fmt::Formatter<'_>, split: Option<&Split>) -> fmt::Result {
    match split {
        Some(split) => write!(f, "{split}"),
        None => writeln!(f, "    there are too many ways to show one"),
    }
}

pub(crate) const DATE: &str = "%date%";

/// A piece as in an expression.
pub(crate) fn shown(program: Program<'_>, piece: &Piece) -> String {
    match piece {
        Piece::Literal(number) => program.literal(*number).into(),
        Piece::Account => "%account%".into(),
        Piece::Alias => "%alias%".into(),
        Piece::Identifier(class, _) => format!("%{}%", class.name()),
        Piece::Date => DATE.into(),
        Piece::Shape | Piece::Code => "%code%".into(),
    }
}

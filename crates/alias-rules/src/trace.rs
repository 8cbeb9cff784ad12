//! Why a name matches or does not: what `explain` shows.

use super::check::{Formula, Never, Probe, Target};
use super::cost::Limits;
use super::date::last_day;
use super::eval::{Hit, Lookup, Pair};
use super::store::{Piece, Program};
use super::{Day, Decision, MAX_NAME, Query, Rules, compute, nearest};
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
        cut: Option<Cut>,
    },
    /// It matches, but its last day has passed.
    Expired {
        /// For this account.
        account: String,
        /// Its last day.
        last: Day,
        /// The way that matched last, unless looking for it took too long.
        cut: Option<Cut>,
    },
    /// It would, if the code were another one.
    WrongCode(Cut),
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
    CannotSay,
}

/// A name cut into the parts of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
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
    CannotSay,
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
            Decision::CannotSay { .. } => Outcome::CannotSay,
        }
    }
}

impl Rules {
    /// Says why [`find`](Rules::find) decides about `name` as it does.
    pub fn explain<'q>(&self, query: impl Into<Query<'q>>) -> Explanation {
        let query = query.into();
        let outcome = self.find(query).into();
        let facts = self.facts(query.name);
        let mut lookup = Lookup::new(&facts.name).on(query.today);
        let mut spare = Limits::of(facts.name.len()).lookup;
        let statements = (0..self.len()).map(|i| Trace {
            place: self.statement(i).to_string(),
            expression: self.statement(i).text.into(),
            finding: self.finding(self.program(i), query.domain, &mut lookup, &facts.name, &mut spare),
        });
        Explanation { statements: statements.collect(), name: facts.name.to_string(), outcome }
    }

    fn finding(
        &self,
        program: Program<'_>,
        domain: Option<&str>,
        lookup: &mut Lookup<'_>,
        name: &str,
        spare: &mut u64,
    ) -> Finding {
        if let Some(never) = program.never {
            return Finding::Never(never);
        }
        if !program.terms().hold_in(domain) {
            return Finding::OtherDomain;
        }
        if name.len() > MAX_NAME {
            return Finding::CannotSay;
        }
        let expired = match lookup.statement(program) {
            Err(_) => return Finding::CannotSay,
            Ok(Some(hit)) => {
                let account = self.store.spelling(hit.account).to_owned();
                let cut = show(program, hit, Lookup::with_steps(name, *spare).on(lookup.since), spare);
                return Finding::Matched { account, several: hit.several, ambiguous: hit.ambiguous, cut };
            }
            Ok(None) => lookup.expired(program),
        };
        match expired {
            Err(_) => Finding::CannotSay,
            Ok(None) => nearest::find(program, name, spare),
            Ok(Some((hit, last))) => {
                let account = self.store.spelling(hit.account).to_owned();
                let cut = show(program, hit, Lookup::with_steps(name, *spare).on(Some(last)), spare);
                Finding::Expired { account, last, cut }
            }
        }
    }
}

/// One way in which `program` matches for `hit`. Steps come out of `spare`.
fn show(program: Program<'_>, hit: Hit, mut showing: Lookup<'_>, spare: &mut u64) -> Option<Cut> {
    let pair = Pair::of(program, Some(hit.account), hit.alias);
    let ends = showing.witness(pair).ok().flatten();
    *spare = showing.steps();
    ends.map(|ends| cut(pair, showing.name, &ends))
}

/// The cut of `name` whose pieces end at `ends`.
pub(super) fn cut(pair: Pair<'_>, name: &str, ends: &[usize]) -> Cut {
    let program = pair.program;
    let mut cut = Cut {
        account: pair.account.into(),
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
            Piece::Code => cut.code = text.into(),
            Piece::Identifier(..) => identifiers.push(text),
            Piece::Date => cut.last = last_day(text.as_bytes()),
            Piece::Account | Piece::Alias | Piece::Shape => {}
        }
        cut.parts.push((shown(program, piece), text.into()));
    }
    let mut rest = &*cut.code;
    // The code stands where the pieces in front of it end.
    let end = ends.get(program.code).copied().unwrap_or_default();
    let bound = pair.bound(name, end - cut.code.len(), end);
    for probe in &program.calls {
        if let Formula::Hmac(len) = probe.formula {
            let code =
                rest.get(..len).filter(|code| program.terms().secrets().verify(code.as_bytes(), &bound));
            // Nobody is told the right one.
            let value = code.map_or_else(|| "?".repeat(len), Into::into);
            cut.computed.push_str(&value);
            let (given, behind) =
                rest.split_at(rest.char_indices().nth(len).map_or(rest.len(), |(at, _)| at));
            rest = behind;
            cut.values.push(Value {
                call: probe.to_string(),
                text: [bound.before, bound.after].concat(),
                value: Some(value),
                given: given.into(),
                right: code.is_some(),
            });
            continue;
        }
        let text = match probe.target {
            Target::Account => pair.account,
            Target::Alias => pair.alias,
            Target::Name => name,
            Target::Identifier(i) => identifiers.get(i).copied().unwrap_or_default(),
        };
        let value = compute::value(&probe.formula, text, rest);
        let after = value.as_deref().and_then(|value| rest.strip_prefix(value));
        cut.computed.push_str(value.as_deref().unwrap_or("?"));
        // Behind a wrong value the code goes on where a right one would have ended.
        let len = value.as_deref().unwrap_or("?").chars().count();
        let given = rest.char_indices().nth(len).map_or(rest, |(at, _)| &rest[..at]);
        rest = after.unwrap_or(&rest[given.len()..]);
        cut.values.push(Value {
            call: probe.to_string(),
            text: text.into(),
            given: given.into(),
            value: value.map(Into::into),
            right: after.is_some(),
        });
    }
    cut
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
            Outcome::CannotSay => f.write_str("cannot say: finding out would take too long"),
        }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {} {}", escape(&self.place), escape(&self.expression))?;
        match &self.finding {
            Finding::Matched { account, several, ambiguous, cut } => {
                let others = if *several { " and others" } else { "" };
                let how = match (ambiguous, several) {
                    (true, false) => ", in more than one way",
                    _ => "",
                };
                writeln!(f, "    matches for account \"{}\"{others}{how}", escape(account))?;
                show_cut(f, cut.as_ref())
            }
            Finding::Expired { account, last, cut } => {
                writeln!(f, "    matches for account \"{}\", but expired on {last}", escape(account))?;
                show_cut(f, cut.as_ref())
            }
            Finding::WrongCode(cut) => {
                let (code, computed) = (escape(&cut.code), escape(&cut.computed));
                writeln!(f, "    no match: the code is \"{code}\", computed \"{computed}\"")?;
                write!(f, "{cut}")
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
            Finding::CannotSay => writeln!(f, "    finding out would take too long"),
        }
    }
}

fn show_cut(f: &mut fmt::Formatter<'_>, cut: Option<&Cut>) -> fmt::Result {
    match cut {
        Some(cut) => write!(f, "{cut}"),
        None => writeln!(f, "    there are too many ways to show one"),
    }
}

pub(super) const DATE: &str = "%date%";

/// A piece as in an expression.
pub(super) fn shown(program: Program<'_>, piece: &Piece) -> String {
    match piece {
        Piece::Literal(number) => program.literal(*number).into(),
        Piece::Account => "%account%".into(),
        Piece::Alias => "%alias%".into(),
        Piece::Identifier(class, _) => format!("%{}%", class.name()),
        Piece::Date => DATE.into(),
        Piece::Shape | Piece::Code => "%code%".into(),
    }
}

/// As in a calc expression, with every argument.
impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.function.name())?;
        match self.target {
            Target::Identifier(i) => write!(f, "{}", i + 1)?,
            Target::Account => f.write_str("account")?,
            Target::Alias => f.write_str("alias")?,
            Target::Name => {}
        }
        match &self.formula {
            Formula::Count(_) | Formula::Any | Formula::None => {}
            Formula::Hmac(len) => write!(f, "{len}")?,
            Formula::Char { at, default } => write!(f, ",{at},{default}")?,
            Formula::LabelChar { label, at, default } => write!(f, ",{label},{at},{default}")?,
        }
        f.write_str(")")
    }
}

//! Reports the findings.

use super::instances::{Source, Subject};
use super::pairs::{Compared, Comparison, Effort};
use super::search::{Differ, Parts};
use super::{Clash, Limits, always, guess_rate};
use crate::matcher::rules::Rules;
use crate::syntax::expression::Item;
use crate::vocabulary::Class;
use diagnostics::{Problem, Text};
use foldhash::{HashSet, HashSetExt};
use mail_address::escape;
use std::ops::Range;

/// Most clashes reported one by one; fixing these usually fixes others.
pub(crate) const MAX_TOLD: usize = 20;

/// Most accounts and aliases of a form that are tried for a name that can be read in two ways.
const TRIED: usize = 4;

/// Most kinds of rules that are searched for such names. Real ones are a handful; these take a few seconds.
const MAX_FORMS: usize = 5_000;

pub(crate) struct Report<'r> {
    sources: &'r [Source<'r>],
    rules: &'r Rules,
    problems: Vec<Problem>,
}

impl<'r> Report<'r> {
    pub fn new(sources: &'r [Source<'r>], rules: &'r Rules) -> Self {
        Report { sources, rules, problems: Vec::new() }
    }

    /// The problems, in the order of the texts.
    pub fn sorted(mut self, texts: &[Text]) -> Vec<Problem> {
        self.problems.sort_by_cached_key(|problem| {
            let file = texts.iter().position(|text| text.file == problem.text.file);
            (file, problem.span.start)
        });
        self.problems
    }

    /// The clashes, and what was not compared.
    pub fn compared(&mut self, done: &Compared) {
        for (clash, members) in done.clashes.iter().take(MAX_TOLD) {
            self.clash(clash, *members);
        }
        for (clash, _) in done.ways.iter().take(MAX_TOLD) {
            self.ways(clash, "for several of its aliases");
        }
        let Some(first) = self.sources.first() else { return };
        let mut say = |make: fn(&Text, Range<usize>, String) -> Problem, message: String, help: &str| {
            let span = first.checked.statement.keyword.clone();
            self.problems.push(make(first.text, span, message).help(help));
        };
        let more = done.clashes.len().saturating_sub(MAX_TOLD);
        if more > 0 {
            say(
                Problem::note,
                format!("{more} more pairs of rules clash"),
                "mend these first, and check again",
            );
        }
        let (pairs, compared) = done.pairs;
        let help = "a name can still be an alias of two accounts; it is refused then, and logged";
        if compared < pairs {
            let message = format!("{compared} of {pairs} pairs of rules and accounts were compared");
            say(Problem::warning, message, help);
        }
        if done.given_up > 0 {
            let (n, shorter) = (done.given_up, done.shorter);
            let message = format!(
                "{n} of {compared} comparisons were given up at names of {shorter} characters, with too many to \
                 try"
            );
            say(Problem::warning, message, help);
        }
        if done.unsplit > 0 {
            let n = done.unsplit;
            let message = format!("{n} rules were not searched for names that can be read in two ways");
            let help = "such a name is delivered if it is of one account, and logged as ambiguous";
            say(Problem::warning, message, help);
        }
    }

    fn subject(&self, clash: &Clash, which: usize, member: usize) -> Subject<'_> {
        self.sources[clash.statements[which]].subject(member)
    }

    /// A name of two destinations.
    fn clash(&mut self, clash: &Clash, members: [usize; 2]) {
        let (one, two) = (self.subject(clash, 0, members[0]), self.subject(clash, 1, members[1]));
        let name = shown(clash);
        let [first, second] = &clash.destinations;
        let within = clash.statements[0] == clash.statements[1];
        // Within a statement the accounts tell the places apart.
        let place = |subject: &Subject<'_>| -> Range<usize> {
            let statement = &subject.source.checked.statement;
            match subject.account {
                Some(account) if within && first != second => account.name.span(),
                _ => statement.expression.span.clone(),
            }
        };
        let other = if within {
            String::new()
        } else {
            format!(" by {}:{}", escape(&*one.source.text.file), one.source.line())
        };
        let outcome = match self.rules.debug_account() {
            Some(account) => format!("so it goes to the debug account {}", escape(account)),
            None => "so it is refused".into(),
        };
        let all = match (covers(&two, &one), covers(&one, &two)) {
            (true, _) => format!("; no alias of that rule reaches {} alone", escape(first)),
            (_, true) => format!("; no alias of this rule reaches {} alone", escape(second)),
            _ => String::new(),
        };
        let all = if within { String::new() } else { all };
        let message = format!(
            "\"{name}\" is an alias of {} and{other} of {}, {outcome}{all}",
            escape(second),
            escape(first)
        );
        let help = if within
            && one.source.items.iter().any(|item| matches!(item, Item::Account | Item::Alias))
        {
            "put a separator behind the name that none of the names holds, or give one of them a statement of its \
             own"
        } else if within {
            "put %account% into the expression"
        } else {
            "give each a literal or a separator that the other cannot match"
        };
        let make = if self.rules.debug_account().is_some() { Problem::warning } else { Problem::error };
        let problem = make(two.source.text, place(&two), message)
            .related(one.source.text, place(&one), format!("of {} here", escape(first)))
            .help(help);
        self.problems.push(problem);
    }

    /// A name that is an alias of one account in two ways.
    fn ways(&mut self, clash: &Clash, why: &str) {
        let source = &self.sources[clash.statements[0]];
        let message = format!(
            "\"{}\" is an alias of {} {why}: it is delivered, and logged as ambiguous",
            shown(clash),
            escape(&clash.destinations[0])
        );
        let span = source.checked.statement.expression.span.clone();
        self.problems.push(Problem::note(source.text, span, message).help(APART));
    }

    /// Findings without a name.
    pub fn shapes(&mut self) {
        self.problems.extend(self.sources.iter().flat_map(always::problems));
    }

    /// Statements for which a random name is an alias too often.
    pub fn guesses(&mut self, limits: &Limits) {
        let Some(limit) = limits.guessable else { return };
        let mut known = guess_rate::Known::default();
        let (mut told, mut more) = (0, 0);
        for (i, source) in self.sources.iter().enumerate() {
            let guess = known.guess(i, source);
            let calls = &source.checked.statement.calls;
            let (Some(first), Some(last)) = (calls.first(), calls.last()) else { continue };
            if guess.share <= limit {
                continue;
            }
            if told == MAX_TOLD {
                more += 1;
                continue;
            }
            told += 1;
            let message = format!("aliases are easy to guess: of random names of this shape {guess} is one");
            let problem = Problem::warning(source.text, first.span.start..last.span.end, message);
            self.problems.push(
                problem.help("let a function follow, such as CHAR(1,-): a longer code is harder to guess"),
            );
        }
        if let Some(first) = self.sources.first().filter(|_| more > 0) {
            let span = first.checked.statement.keyword.clone();
            let message = format!("aliases of {more} more rules are easy to guess");
            self.problems.push(Problem::warning(first.text, span, message).help("see rcptd check --guess"));
        }
    }

    /// Names of one statement that can be read in two ways.
    pub fn splits(&mut self, comparison: &mut Comparison<'_>) {
        let mut known = HashSet::new();
        for (number, form) in comparison.forms().to_vec().into_iter().enumerate() {
            let source = &self.sources[form[0]];
            // The common beginning is read in one way only, so the rest is the same for many statements.
            if !source.cut_form().is_none_or(|form| known.insert(form)) {
                continue;
            }
            if known.len() > MAX_FORMS || comparison.is_over() {
                comparison.done.unsplit += form.len();
                continue;
            }
            if !comparison.can_be_cut_twice(number) {
                continue;
            }
            for member in 0..source.members().min(TRIED) {
                let subject = source.subject(member);
                let clash = |name: String| Clash {
                    witness: name,
                    domain: source.domain(source).ok().flatten().map(Into::into),
                    statements: [form[0], form[0]],
                    destinations: [subject.shown(), subject.shown()],
                };
                let both = comparison.witness([subject; 2], Differ::Split, [true, true], Effort::All);
                if let Ok(Some((name, parts))) = &both {
                    let clash = clash(name.clone());
                    if comparison.is_real(&clash, true) {
                        self.ways(&clash, &format!("in two ways, {}", splits(name, parts)));
                        break;
                    }
                }
                let one = comparison.witness([subject; 2], Differ::Split, [true, false], Effort::All);
                if let Ok(Some((name, parts))) = one {
                    let message = format!(
                        "\"{}\" can be read in two ways, {}: only the code tells which is meant",
                        escape(&name),
                        splits(&name, &parts)
                    );
                    let span = source.checked.statement.expression.span.clone();
                    self.problems.push(Problem::note(source.text, span, message).help(APART));
                    break;
                }
                if both.is_err() || one.is_err() {
                    comparison.done.unsplit += form.len();
                    break;
                }
            }
        }
    }
}

const APART: &str = "separate identifiers with a character that they cannot hold themselves";

/// The name, with the domain if that matters.
fn shown(clash: &Clash) -> String {
    let name = escape(&clash.witness);
    clash.domain.as_ref().map_or_else(|| name.to_string(), |domain| format!("{name}@{}", escape(domain)))
}

/// `a|b_c and a_b|c`: the name with a bar between its parts, in both readings.
fn splits(name: &str, parts: &Parts) -> String {
    let split = |parts: &[u16]| {
        let mut out = String::new();
        for (i, c) in name.chars().enumerate() {
            if i > 0 && parts.get(i) != parts.get(i - 1) {
                out.push('|');
            }
            out.push(c);
        }
        out
    };
    format!("{} and {}", escape(&split(&parts[0])), escape(&split(&parts[1])))
}

/// Whether `whole` matches every name that `part` matches; `true` is certain.
fn covers(whole: &Subject<'_>, part: &Subject<'_>) -> bool {
    let looks = |subject: &Subject<'_>| -> Vec<(String, String)> {
        let calls = subject.calls().iter();
        calls
            .map(|call| {
                let text =
                    subject.looked_at(call.target).map_or_else(|| format!("{:?}", call.target), Into::into);
                (format!("{:?}", call.op), text)
            })
            .collect()
    };
    let items = |subject: &Subject<'_>| -> Vec<Result<String, Item>> {
        let mut out: Vec<Result<String, Item>> = Vec::new();
        for item in &subject.source.items {
            match (subject.fixed(item), out.last_mut()) {
                (Some(text), Some(Ok(last))) => last.push_str(text),
                (Some(text), _) => out.push(Ok(text.into())),
                (None, _) => out.push(Err(item.clone())),
            }
        }
        out
    };
    let (outer, inner) = (items(whole), items(part));
    whole.source.applies_with(part.source)
        && looks(whole) == looks(part)
        && outer.len() == inner.len()
        && outer.iter().zip(&inner).all(|pair| match pair {
            (Err(Item::Identifier(outer)), Err(Item::Identifier(inner))) => holds(*outer, *inner),
            (outer, inner) => outer == inner,
        })
}

/// Whether every text of `inner` is one of `outer`.
fn holds(outer: Class, inner: Class) -> bool {
    let rank = |class| match class {
        Class::Alpha | Class::Number => 0,
        Class::Alnum => 1,
        Class::Ident => 2,
        Class::Fqdn => 3,
    };
    outer == inner || outer != Class::Fqdn && inner != Class::Fqdn && rank(outer) > rank(inner)
}

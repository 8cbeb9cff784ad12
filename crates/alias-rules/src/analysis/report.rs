//! Formats the findings as problems.

use super::instances::{Source, Subject};
use super::pairs::{Compared, Comparison, Effort};
use super::search::{Differ, Parts};
use super::{Clash, Limits, always, guess_rate};
use crate::matcher::rules::Rules;
use crate::syntax::expression::Item;
use crate::vocabulary::Class;
use diagnostics::{Problem, Text, count};
use foldhash::{HashSet, HashSetExt};
use mail_address::escape;
use std::ops::Range;

/// Maximum number of findings of a kind that are reported. Fixing these usually fixes the others.
pub(crate) const MAX_REPORTED: usize = 20;

/// Maximum number of instances of a form that are searched for names that can be split in two ways.
const TRIED: usize = 4;

/// Maximum number of forms that are searched for such names, which takes a few seconds. Real rules have a few
/// forms.
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

    /// All problems, in the order of the texts.
    pub fn sorted(mut self, texts: &[Text]) -> Vec<Problem> {
        self.problems.sort_by_cached_key(|problem| {
            let file = texts.iter().position(|text| text.file == problem.text.file);
            (file, problem.span.start)
        });
        self.problems
    }

    /// Reports the clashes, and the comparisons that were not finished.
    pub fn compared(&mut self, done: &Compared) {
        for (clash, instances) in done.clashes.iter().take(MAX_REPORTED) {
            self.clash(clash, *instances);
        }
        for (clash, _) in done.same_account.iter().take(MAX_REPORTED) {
            self.ways(clash, "for several of its aliases");
        }
        let Some(first) = self.sources.first() else { return };
        let mut add = |problem: fn(&Text, Range<usize>, String) -> Problem, message: String, help: &str| {
            let span = first.checked.statement.keyword.clone();
            self.problems.push(problem(first.text, span, message).help(help));
        };
        let more = done.clashes.len().saturating_sub(MAX_REPORTED);
        if more > 0 {
            add(
                Problem::note,
                format!("{more} more pairs of rules clash"),
                "fix the others first, then check again",
            );
        }
        let (pairs, compared) = done.pairs;
        let help = "a name may still be an alias of two accounts; such a name is refused and logged";
        if compared < pairs {
            let message = format!("{compared} of {pairs} pairs of rules and accounts were compared");
            add(Problem::warning, message, help);
        }
        if done.unfinished > 0 {
            let (n, shorter) = (done.unfinished, done.shorter);
            let message = format!(
                "{n} of {compared} comparisons were stopped at names of {shorter} characters, since there are too \
                 many"
            );
            add(Problem::warning, message, help);
        }
        if done.unsearched > 0 {
            let n = count(done.unsearched, "rule");
            let message = format!("not searched for names that can be split in two ways: {n}");
            let help = "such a name is delivered if it belongs to one account, and logged as ambiguous";
            add(Problem::warning, message, help);
        }
    }

    fn subject(&self, clash: &Clash, which: usize, number: usize) -> Subject<'_> {
        self.sources[clash.statements[which]].subject(number)
    }

    /// Reports a name with two destinations.
    fn clash(&mut self, clash: &Clash, instances: [usize; 2]) {
        let (one, two) = (self.subject(clash, 0, instances[0]), self.subject(clash, 1, instances[1]));
        let name = address_of(clash);
        let [first, second] = &clash.destinations;
        let within = clash.statements[0] == clash.statements[1];
        // Within one statement, the places are those of the accounts.
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
            "put a separator after the name that no name contains, or write a separate statement for one of them"
        } else if within {
            "put %account% into the expression"
        } else {
            "give each a literal or a separator that the other cannot match"
        };
        let problem = if self.rules.debug_account().is_some() { Problem::warning } else { Problem::error };
        let problem = problem(two.source.text, place(&two), message)
            .related(one.source.text, place(&one), format!("of {} here", escape(first)))
            .help(help);
        self.problems.push(problem);
    }

    /// Reports a name that is an alias of one account in two ways.
    fn ways(&mut self, clash: &Clash, why: &str) {
        let source = &self.sources[clash.statements[0]];
        let message = format!(
            "\"{}\" is an alias of {} {why}: it is delivered, and logged as ambiguous",
            address_of(clash),
            escape(&clash.destinations[0])
        );
        let span = source.checked.statement.expression.span.clone();
        self.problems.push(Problem::note(source.text, span, message).help(APART));
    }

    /// Reports the findings that need no name.
    pub fn shapes(&mut self) {
        self.problems.extend(self.sources.iter().flat_map(always::problems));
    }

    /// Reports statements for which a random name is an alias too often.
    pub fn guesses(&mut self, limits: &Limits) {
        let Some(limit) = limits.guessable else { return };
        let mut cache = guess_rate::Cache::default();
        let (mut reported, mut more) = (0, 0);
        for (i, source) in self.sources.iter().enumerate() {
            let rate = cache.guess_rate(i, source);
            let calls = &source.checked.statement.calls;
            let (Some(first), Some(last)) = (calls.first(), calls.last()) else { continue };
            if rate.share <= limit {
                continue;
            }
            if reported == MAX_REPORTED {
                more += 1;
                continue;
            }
            reported += 1;
            let message =
                format!("aliases are easy to guess: of random names of this form, {rate} is an alias");
            let problem = Problem::warning(source.text, first.span.start..last.span.end, message);
            self.problems
                .push(problem.help("add a function such as CHAR(1,-): a longer code is harder to guess"));
        }
        if let Some(first) = self.sources.first().filter(|_| more > 0) {
            let span = first.checked.statement.keyword.clone();
            let message = format!("aliases of {more} more rules are easy to guess");
            self.problems.push(Problem::warning(first.text, span, message).help("see rcptd check --guess"));
        }
    }

    /// Reports names that one statement can split in two ways.
    pub fn splits(&mut self, comparison: &mut Comparison<'_>) {
        let mut seen = HashSet::new();
        for (number, form) in comparison.forms().to_vec().into_iter().enumerate() {
            let source = &self.sources[form[0]];
            // The fixed beginning can be split in one way only, so statements with the same rest are alike.
            if !source.split_form().is_none_or(|form| seen.insert(form)) {
                continue;
            }
            if seen.len() > MAX_FORMS || comparison.is_over() {
                comparison.done.unsearched += form.len();
                continue;
            }
            if !comparison.can_split_twice(number) {
                continue;
            }
            for number in 0..source.instance_count().min(TRIED) {
                let subject = source.subject(number);
                let clash = |name: String| Clash {
                    witness: name,
                    domain: source.domain(source).ok().flatten().map(Into::into),
                    statements: [form[0], form[0]],
                    destinations: [subject.display(), subject.display()],
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
                        "\"{}\" can be split in two ways, {}: only the code determines which",
                        escape(&name),
                        splits(&name, &parts)
                    );
                    let span = source.checked.statement.expression.span.clone();
                    self.problems.push(Problem::note(source.text, span, message).help(APART));
                    break;
                }
                if both.is_err() || one.is_err() {
                    comparison.done.unsearched += form.len();
                    break;
                }
            }
        }
    }
}

const APART: &str = "separate identifiers with a character that they cannot contain";

/// The name, with its domain if the clash depends on it.
fn address_of(clash: &Clash) -> String {
    let name = escape(&clash.witness);
    clash.domain.as_ref().map_or_else(|| name.to_string(), |domain| format!("{name}@{}", escape(domain)))
}

/// Formats both splits of a name with bars between the parts: `a|b_c and a_b|c`.
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

/// Whether `whole` certainly matches every name that `part` matches.
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
            (Err(Item::Identifier(outer)), Err(Item::Identifier(inner))) => includes(*outer, *inner),
            (outer, inner) => outer == inner,
        })
}

/// Whether every text of `inner` is also of the class `outer`.
fn includes(outer: Class, inner: Class) -> bool {
    let rank = |class| match class {
        Class::Alpha | Class::Number => 0,
        Class::Alnum => 1,
        Class::Ident => 2,
        Class::Fqdn => 3,
    };
    outer == inner || outer != Class::Fqdn && inner != Class::Fqdn && rank(outer) > rank(inner)
}

//! A naive reference implementation of the rules: enumerates every split, computes the code, and compares.
//! `random` generates the rules and names.

use crate::*;
use std::collections::BTreeSet;
use std::fmt::Write;

#[derive(Clone, Debug)]
pub(crate) enum Part {
    Literal(String),
    Account,
    Alias,
    Code,
    Date,
    Class(&'static str),
}

/// A statement.
#[derive(Clone, Debug)]
pub(crate) struct NaiveStatement {
    pub accounts: Vec<String>,
    pub aliases: Vec<String>,
    /// Empty for all domains.
    pub domains: Vec<&'static str>,
    pub parts: Vec<Part>,
    /// Function, the text it looks at (`account`, `alias` or the number of an identifier), and other
    /// arguments.
    pub calls: Vec<(&'static str, String, Vec<String>)>,
    pub deliver: Option<&'static str>,
}

/// A match of a name.
struct Match {
    account: String,
    target: Option<String>,
    last: Option<Day>,
}

impl NaiveStatement {
    pub fn classes(&self) -> Vec<&'static str> {
        let class = |part: &Part| if let Part::Class(class) = part { Some(*class) } else { None };
        self.parts.iter().filter_map(class).collect()
    }

    pub fn text(&self) -> String {
        let mut text = format!("ACCOUNT {}", self.accounts.join(", "));
        if !self.aliases.is_empty() {
            write!(text, " ALIASED {}", self.aliases.join(",")).expect("a string takes all");
        }
        if !self.domains.is_empty() {
            write!(text, " DOMAINS {}", self.domains.join(", ")).expect("a string takes all");
        }
        text += " MATCHES ";
        for part in &self.parts {
            text += &match part {
                Part::Literal(literal) => literal.replace('%', "%%"),
                Part::Account => "%account%".into(),
                Part::Alias => "%alias%".into(),
                Part::Code => "%code%".into(),
                Part::Date => "%date%".into(),
                Part::Class(class) => ["%", class, "%"].concat(),
            };
        }
        let one_fqdn = self.classes() == ["fqdn"];
        let calls = self.calls.iter().map(|(name, target, rest)| {
            // If the only identifier is a %fqdn%, the label is the first argument.
            let target = (!one_fqdn || *name != "CHAR" || target != "1").then_some(target);
            let arguments: Vec<&str> = target.into_iter().chain(rest).map(|s| &**s).collect();
            format!("{name}({})", arguments.join(","))
        });
        write!(text, " WITH {}", calls.collect::<Vec<_>>().join(", ")).expect("a string takes all");
        if let Some(target) = self.deliver {
            write!(text, " DELIVER TO {target}").expect("a string takes all");
        }
        text + ";\n"
    }

    /// All matches of the name, regardless of the day.
    fn find(&self, name: &str) -> Vec<Match> {
        let own = [String::new()];
        let aliases = if self.aliases.is_empty() { &own[..] } else { &self.aliases[..] };
        let mut matches = Vec::new();
        for account in &self.accounts {
            for alias in aliases {
                let alias = if alias.is_empty() { account } else { alias };
                let write = |text: &str| {
                    let text = text.replace("%account%", account).replace("%alias%", alias);
                    text.replace("%%", "%")
                };
                self.splits(name, account, alias, &mut Vec::new(), &mut |split| {
                    if self.is_right(split, account, alias) {
                        let date = self.parts.iter().position(|part| matches!(part, Part::Date));
                        matches.push(Match {
                            account: account.clone(),
                            target: self.deliver.map(write),
                            last: date.and_then(|at| last_day(split[at])),
                        });
                    }
                });
            }
        }
        matches
    }

    fn splits<'n>(
        &self,
        rest: &'n str,
        account: &str,
        alias: &str,
        split: &mut Vec<&'n str>,
        each: &mut dyn FnMut(&[&str]),
    ) {
        let Some(part) = self.parts.get(split.len()) else {
            if rest.is_empty() {
                each(split);
            }
            return;
        };
        for end in 1..=rest.len() {
            let Some((text, tail)) = rest.split_at_checked(end) else { continue };
            let fits = match part {
                Part::Literal(literal) => text == literal,
                Part::Account => text == account,
                Part::Alias => text == alias,
                Part::Code => true,
                Part::Date => last_day(text).is_some(),
                Part::Class(class) => of_class(class, text),
            };
            if fits {
                split.push(text);
                self.splits(tail, account, alias, split, each);
                split.pop();
            }
        }
    }

    fn is_right(&self, split: &[&str], account: &str, alias: &str) -> bool {
        let Some(code) = self.parts.iter().rposition(|part| matches!(part, Part::Code)) else { return false };
        let mut rest = split[code];
        for call in &self.calls {
            let Some(next) = rest.chars().next() else { return false };
            let value = self.value(call, split, account, alias, Some(next));
            let Some(tail) = value.and_then(|value| rest.strip_prefix(&*value)) else { return false };
            rest = tail;
        }
        rest.is_empty()
    }

    /// A correct code for this split.
    pub fn code(&self, split: &[&str], account: &str, alias: &str) -> String {
        self.calls.iter().filter_map(|call| self.value(call, split, account, alias, None)).collect()
    }

    /// The value of a function. `next` is the next character of the code, if the code is known.
    fn value(
        &self,
        (name, target, others): &(&'static str, String, Vec<String>),
        split: &[&str],
        account: &str,
        alias: &str,
        next: Option<char>,
    ) -> Option<String> {
        let identifiers: Vec<(&str, &str)> = self
            .parts
            .iter()
            .zip(split)
            .filter_map(
                |(part, text)| if let Part::Class(class) = part { Some((*class, *text)) } else { None },
            )
            .collect();
        let (class, text) = match &**target {
            "account" => ("", account),
            "alias" => ("", alias),
            number => identifiers[number.parse::<usize>().expect("a number") - 1],
        };
        let number = |of: &dyn Fn(char) -> bool| text.chars().filter(|c| of(*c)).count().to_string();
        let value = match *name {
            "CHARS" => number(&|_| true),
            "DIGITS" => number(&|c| c.is_ascii_digit()),
            "ALPHAS" => number(&|c| c.is_ascii_lowercase()),
            "VOWELS" => number(&|c| "aeiou".contains(c)),
            "LABELS" if class == "fqdn" => text.split('.').count().to_string(),
            "LABELS" => return None,
            "ANY" => next.or_else(|| text.chars().last()).filter(|c| text.contains(*c)).map(String::from)?,
            "NONE" => next.or(Some('z')).filter(|c| !text.contains(*c)).map(String::from)?,
            _ => character(text, class, others),
        };
        Some(value).filter(|value| !value.is_empty())
    }
}

/// The value of `CHAR`.
fn character(text: &str, class: &str, arguments: &[String]) -> String {
    fn item<T: Clone>(of: &[T], at: i64) -> Option<T> {
        let len = i64::try_from(of.len()).expect("short");
        let at = if at < 0 { at + len } else { (at - 1).max(0) };
        usize::try_from(at).ok().and_then(|at| of.get(at)).cloned()
    }
    let Some((default, numbers)) = arguments.split_last() else { return String::new() };
    let numbers: Vec<i64> = numbers.iter().map(|text| text.parse().expect("a number")).collect();
    let label = match (class, &numbers[..]) {
        ("fqdn", [label, _]) => item(&text.split('.').collect::<Vec<_>>(), *label),
        _ => Some(text),
    };
    let at = numbers.last().copied().unwrap_or(1);
    let c = label.and_then(|label| item(&label.chars().collect::<Vec<_>>(), at));
    c.map_or_else(|| default.clone(), String::from)
}

fn of_class(class: &str, text: &str) -> bool {
    let edge = |c: char| match class {
        "alpha" => c.is_ascii_alphabetic(),
        "number" => c.is_ascii_digit(),
        _ => c.is_ascii_alphanumeric(),
    };
    let inner = |c: char| match class {
        "ident" => edge(c) || c == '_',
        "fqdn" => edge(c) || ".-".contains(c),
        _ => edge(c),
    };
    text.starts_with(edge)
        && text.ends_with(edge)
        && text.chars().all(inner)
        && (class != "fqdn" || text.contains('.'))
}

/// The last day of a date. Days are counted from January 1, 2000, a Saturday.
fn last_day(text: &str) -> Option<Day> {
    let number = |text: &str| -> Option<u32> {
        if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
    };
    if !text.is_ascii() {
        return None;
    }
    let leap = |year: u32| u32::from(year.is_multiple_of(4));
    let new_year = |year: u32| (0..year).map(|y| 365 + leap(y)).sum::<u32>();
    let lengths = |year: u32| [31, 28 + leap(year), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let year = number(text.get(..2)?)?;
    let (mut month, mut day);
    let mut year_of_day = year;
    match text.get(2..)? {
        rest if rest.len() == 2 || rest.len() == 4 => {
            month = number(&rest[..2])?;
            let length = *lengths(year).get(usize::try_from(month.checked_sub(1)?).ok()?)?;
            day = if rest.len() == 2 { length } else { number(&rest[2..])? };
            if day == 0 || day > length {
                return None;
            }
        }
        rest if rest.len() == 3 && rest.starts_with(['w', 'W']) => {
            // January 4 is in the first week. A week belongs to the year of its Thursday.
            let january4 = new_year(year) + 3;
            let monday = january4 - (january4 + 5) % 7;
            let thursday = monday + 7 * number(&rest[1..])?.checked_sub(1)? + 3;
            if thursday >= new_year(year + 1) {
                return None;
            }
            let mut left = thursday + 3;
            year_of_day = u32::from(left >= new_year(year + 1)) + year;
            left -= new_year(year_of_day);
            (month, day) = (1, left + 1);
            for length in lengths(year_of_day) {
                if day > length {
                    (month, day) = (month + 1, day - length);
                } else {
                    break;
                }
            }
        }
        _ => return None,
    }
    let small = |n: u32| i8::try_from(n).ok();
    Day::new(i16::try_from(2000 + year_of_day).ok()?, small(month)?, small(day)?)
}

/// The expected decision. For an expired alias of several accounts, one of `names`.
#[derive(Debug)]
pub(crate) enum Want {
    Decision(Decision<'static>),
    Expired { statement: usize, names: BTreeSet<String> },
}

/// The expected decision for all statements.
pub(crate) fn decide(statements: &[NaiveStatement], query: Query<'_>) -> Want {
    let mut live: Vec<(usize, Vec<Match>)> = Vec::new();
    let mut expired: Vec<(usize, BTreeSet<String>, Day)> = Vec::new();
    for (i, statement) in statements.iter().enumerate() {
        if !statement.domains.is_empty()
            && !query.domain.is_some_and(|domain| statement.domains.contains(&domain))
        {
            continue;
        }
        let is_live = |found: &Match| found.last.zip(query.today).is_none_or(|(last, today)| last >= today);
        let (valid, past): (Vec<_>, Vec<_>) = statement.find(query.name).into_iter().partition(is_live);
        if !valid.is_empty() {
            live.push((i, valid));
        } else if let Some(last) = past.iter().filter_map(|found| found.last).max() {
            let latest = past.into_iter().filter(|found| found.last == Some(last));
            expired.push((i, latest.map(|found| found.account).collect(), last));
        }
    }
    let destinations: BTreeSet<(&str, Option<&str>)> = live
        .iter()
        .flat_map(|(_, matches)| matches)
        .map(|found| (&*found.account, found.target.as_deref()))
        .collect();
    let statements = || live.iter().map(|(i, _)| *i).collect::<Vec<_>>();
    if destinations.len() > 1 {
        return Want::Decision(Decision::Ambiguous { statements: statements() });
    }
    if let Some((name, target)) = destinations.first() {
        return Want::Decision(Decision::Account {
            name: name.to_string().leak(),
            target: target.map(|target| target.to_owned().into()),
            statement: statements()[0],
            ambiguous: live.iter().any(|(_, matches)| matches.len() > 1),
            by_debug: false,
        });
    }
    let Some((statement, names, _)) = expired.first() else { return Want::Decision(Decision::NoMatch) };
    if expired.iter().any(|(_, names, _)| names.len() > 1) {
        return Want::Expired { statement: *statement, names: names.clone() };
    }
    let last = expired.iter().filter(|(_, other, _)| other == names).map(|(_, _, last)| *last).max();
    Want::Decision(Decision::Expired {
        name: names.first().expect("one").clone().leak(),
        statement: *statement,
        last: last.expect("one"),
    })
}

//! The reasons that no address is generated.

use super::MAX_NAMED;
use crate::date::Day;
use crate::ir::NeverMatches;
use crate::vocabulary::Class;
use mail_address::{MAX_LOCAL_PART, escape};
use std::fmt;

/// The reason that no statement can be tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoStatement {
    /// No statement has the account.
    Account {
        /// The account.
        account: String,
        /// The account that was probably meant.
        near: Option<String>,
    },
    /// No statement of the account has the alias.
    Alias {
        /// The account.
        account: String,
        /// The alias.
        alias: String,
        /// The alias that was probably meant.
        near: Option<String>,
    },
    /// The statement of this number does not exist, or does not have the account and the alias.
    Rule {
        /// Its number, from 1.
        rule: usize,
        /// The number of statements.
        rules: usize,
        /// The numbers of some statements of the account.
        of_account: Vec<usize>,
    },
}

/// The reason that a statement generates no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It never matches any name.
    Never(NeverMatches),
    /// It has several aliases, and the request specifies none.
    WhichAlias {
        /// Some of them.
        aliases: Vec<String>,
        /// The number of others.
        more: usize,
    },
    /// The account or the alias is not of the class that `USING` requires.
    Using {
        /// The account or the alias.
        name: String,
        /// The class.
        class: Class,
    },
    /// The expression has another number of identifiers.
    Words {
        /// The classes of the identifiers.
        wanted: Vec<Class>,
        /// The number of words.
        got: usize,
    },
    /// A word is not of the class of its identifier.
    Misfit {
        /// Its number, from 1.
        number: usize,
        /// The word.
        word: String,
        /// The class.
        class: Class,
        /// A description of the problem.
        why: String,
        /// A similar word of the class.
        could: Option<String>,
    },
    /// The statement does not apply in the domain.
    Domain {
        /// The domain of the request.
        wanted: String,
        /// Some domains of the statement.
        domains: Vec<String>,
    },
    /// The expression has a `%date%`, but the request specifies no last day.
    NoDay,
    /// The request specifies a last day, but the expression has no `%date%`.
    NoDate,
    /// The code needs a secret.
    NoSecrets,
    /// A function has no value.
    NoValue {
        /// The function with its arguments.
        call: String,
        /// The text that it looks at.
        text: String,
    },
    /// No code is possible.
    NoChoice,
    /// The name is longer than a local part can be.
    TooLong {
        /// The name.
        name: String,
    },
    /// The name has other matches, too.
    Ambiguous {
        /// The name.
        name: String,
        /// Place, expression and account of some other statements that match it.
        others: Vec<(String, String, String)>,
        /// If the statement itself has several matches: whether for several accounts, and the parts of one
        /// split.
        own: Option<(bool, Vec<(String, String)>)>,
    },
    /// The rules do not match the name.
    NoMatch {
        /// The name.
        name: String,
    },
    /// The last day has passed.
    Expired {
        /// The name.
        name: String,
        /// The day.
        last: Day,
    },
    /// The lookup would exceed its step limit.
    TempFail {
        /// The name.
        name: String,
    },
    /// `%date%` cannot express this day.
    NoNotation(Day),
}

fn did_you_mean(f: &mut fmt::Formatter<'_>, near: Option<&String>) -> fmt::Result {
    near.map_or(Ok(()), |near| write!(f, "; did you mean \"{}\"?", escape(near)))
}

impl fmt::Display for NoStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoStatement::Account { account, near } => {
                write!(f, "no rule names account \"{}\"", escape(account))?;
                did_you_mean(f, near.as_ref())
            }
            NoStatement::Alias { account, alias, near } => {
                write!(f, "no rule of \"{}\" has alias \"{}\"", escape(account), escape(alias))?;
                did_you_mean(f, near.as_ref())
            }
            NoStatement::Rule { rule, rules, .. } if !(1..=*rules).contains(rule) => {
                write!(f, "there is no rule {rule}: they are numbered from 1 to {rules}")
            }
            NoStatement::Rule { rule, of_account, .. } => {
                let numbers: Vec<String> = of_account.iter().map(ToString::to_string).collect();
                write!(f, "rule {rule} is not for this account and alias; ")?;
                let more = if of_account.len() == MAX_NAMED { ", …" } else { "" };
                write!(f, "rules of the account: {}{more}", numbers.join(", "))
            }
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Never(never) => write!(f, "the rule never matches: {never}"),
            Reason::WhichAlias { aliases, more } => {
                write!(f, "the rule has several aliases; choose one with --alias: {}", list(aliases))?;
                if *more > 0 { write!(f, " and {more} more") } else { Ok(()) }
            }
            Reason::Using { name, class } => write!(
                f,
                "\"{}\" is not {}, as USING requires: {} only",
                escape(name),
                class.name(),
                class.describe()
            ),
            Reason::Words { wanted, got } => {
                let classes: Vec<String> = wanted.iter().map(|class| format!("%{}%", class.name())).collect();
                match wanted.len() {
                    0 => write!(f, "the rule needs no words")?,
                    1 => write!(f, "the rule needs 1 word: {}", classes.join(", "))?,
                    n => write!(f, "the rule needs {n} words: {}", classes.join(", "))?,
                }
                write!(f, "; given {}", if *got == 0 { "none".into() } else { got.to_string() })
            }
            Reason::Misfit { number, word, class, why, could } => {
                write!(f, "word {number}, \"{}\", is not %{}%: {why}", escape(word), class.name())?;
                could.as_ref().map_or(Ok(()), |could| write!(f, "; you could write \"{}\"", escape(could)))
            }
            Reason::Domain { wanted, domains } => {
                write!(f, "the rule is not for {}, but for {}", escape(wanted), list(domains))
            }
            Reason::NoDay => f.write_str("the address has a last day; set it with --until YYYY-MM-DD"),
            Reason::NoDate => f.write_str("addresses of this rule do not expire: it has no %date%"),
            Reason::NoSecrets => {
                f.write_str("the code is computed with a secret; set its file with --secrets")
            }
            Reason::NoValue { call, text } => {
                write!(f, "{} has no value for \"{}\"", escape(call), escape(text))
            }
            Reason::NoChoice => f.write_str("no code is possible"),
            Reason::TooLong { name } => write!(
                f,
                "\"{}\" would have {} octets, but a local part has at most {MAX_LOCAL_PART}",
                escape(name),
                name.len()
            ),
            Reason::Ambiguous { name, others, own } => ambiguous(f, name, others, own.as_ref()),
            Reason::NoMatch { name } => {
                write!(f, "\"{}\" does not match; see rcptd explain", escape(name))
            }
            Reason::Expired { name, last } => {
                write!(f, "\"{}\" is valid until {last} only", escape(name))
            }
            Reason::TempFail { name } => {
                write!(f, "\"{}\" takes too long to look up; it would be deferred", escape(name))
            }
            Reason::NoNotation(day) => {
                write!(f, "%date% cannot express {day}: years are 2000 to 2099")
            }
        }
    }
}

fn ambiguous(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    others: &[(String, String, String)],
    own: Option<&(bool, Vec<(String, String)>)>,
) -> fmt::Result {
    write!(f, "\"{}\" is ambiguous", escape(name))?;
    match own {
        Some((true, _)) => f.write_str("; the rule matches it for several accounts")?,
        Some((false, parts)) => {
            f.write_str("; the rule matches it in more than one way")?;
            for (i, (part, text)) in parts.iter().enumerate() {
                let before = if i == 0 { ", one is" } else { "," };
                write!(f, "{before} {part} = \"{}\"", escape(text))?;
            }
        }
        None => {}
    }
    for (place, expression, account) in others {
        let (place, expression) = (escape(place), escape(expression));
        write!(f, "; {place} {expression} makes it an alias of \"{}\"", escape(account))?;
    }
    Ok(())
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| format!("\"{}\"", escape(name))).collect::<Vec<_>>().join(", ")
}

/// The reason that `word` is not of the class.
pub(crate) fn misfit(class: Class, word: &str) -> Option<String> {
    let is = |c: char, fits: fn(Class, u8) -> bool| u8::try_from(c).is_ok_and(|b| fits(class, b));
    let Some(first) = word.chars().next() else { return Some("it is empty".into()) };
    if let Some((i, c)) = word.chars().enumerate().find(|(_, c)| !is(*c, Class::inner)) {
        return Some(format!(
            "character {} is \"{}\", but allowed are {}",
            i + 1,
            escaped(c),
            class.describe()
        ));
    }
    let last = word.chars().next_back().unwrap_or(first);
    for (c, verb) in [(first, "begins"), (last, "ends")] {
        if !is(c, Class::edge) {
            return Some(format!("it {verb} with \"{}\", which is allowed inside only", escaped(c)));
        }
    }
    (class == Class::Fqdn && !word.contains('.')).then(|| "it has no dot".into())
}

fn escaped(c: char) -> String {
    escape(c.encode_utf8(&mut [0; 4])).to_string()
}

/// A similar word of the class: without characters that are not allowed, and with a dot if it is missing.
pub(crate) fn could_write(class: Class, word: &str) -> Option<String> {
    let kept: String = word.chars().filter(|c| u8::try_from(*c).is_ok_and(|b| class.inner(b))).collect();
    let is_edge = |c: char| u8::try_from(c).is_ok_and(|b| class.edge(b));
    let mut kept = kept.trim_matches(|c| !is_edge(c)).to_owned();
    if class == Class::Fqdn && !kept.contains('.') && !kept.is_empty() {
        kept.push_str(".com");
    }
    misfit(class, &kept).is_none().then_some(kept)
}

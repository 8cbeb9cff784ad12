//! Why there is no address, in words.

use super::MAX_NAMED;
use crate::date::Day;
use crate::ir::Never;
use crate::vocabulary::Class;
use mail_address::{MAX_LOCAL_PART, escape};
use std::fmt;

/// Why no statement can be tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// No statement names the account.
    Account {
        /// The account.
        account: String,
        /// What may have been meant.
        near: Option<String>,
    },
    /// No statement of the account has the alias.
    Alias {
        /// The account.
        account: String,
        /// The alias.
        alias: String,
        /// What may have been meant.
        near: Option<String>,
    },
    /// The statement of this number is not there, or not for the account and the alias.
    Rule {
        /// Its number.
        rule: usize,
        /// How many statements there are.
        rules: usize,
        /// The numbers of some that are for the account.
        of_account: Vec<usize>,
    },
}

/// Why a statement makes no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It matches nothing at all.
    Never(Never),
    /// It has several aliases, and none was named.
    WhichAlias {
        /// Some of them.
        aliases: Vec<String>,
        /// How many others there are.
        more: usize,
    },
    /// The account or the alias is not what `USING` demands.
    Using {
        /// The account or the alias.
        name: String,
        /// The class.
        class: Class,
    },
    /// The statement wants another number of words.
    Words {
        /// Of these classes.
        wanted: Vec<Class>,
        /// How many there are.
        got: usize,
    },
    /// A word does not fit its identifier.
    Misfit {
        /// Its number, from 1.
        number: usize,
        /// The word.
        word: String,
        /// What it should be.
        class: Class,
        /// What is wrong with it.
        why: String,
        /// What would fit.
        could: Option<String>,
    },
    /// The statement is for other domains.
    Domain {
        /// The domain wanted.
        wanted: String,
        /// Some of those it is for.
        domains: Vec<String>,
    },
    /// The address has a last day, and none was named.
    NoDay,
    /// A last day was named, and the address has none.
    NoDate,
    /// There is no secret to compute the code with.
    NoSecrets,
    /// A function gives nothing.
    NoValue {
        /// The function with its arguments.
        call: String,
        /// What it looks at.
        text: String,
    },
    /// No code is left to be tried.
    NoChoice,
    /// The name is longer than a local part can be.
    TooLong {
        /// The name.
        name: String,
    },
    /// The name is an alias in other ways too.
    Ambiguous {
        /// The name.
        name: String,
        /// Place, expression and account of some other statements that match it.
        others: Vec<(String, String, String)>,
        /// Whether the statement itself matches in several ways: for several accounts or not, and the texts of
        /// one way to split the name.
        own: Option<(bool, Vec<(String, String)>)>,
    },
    /// The name is not an alias after all.
    NoMatch {
        /// The name.
        name: String,
    },
    /// The last day is over.
    Expired {
        /// The name.
        name: String,
        /// The day.
        last: Day,
    },
    /// It would take too long to find out.
    TempFail {
        /// The name.
        name: String,
    },
    /// This cannot be computed here.
    NoNotation(Day),
}

fn did_you_mean(f: &mut fmt::Formatter<'_>, near: Option<&String>) -> fmt::Result {
    near.map_or(Ok(()), |near| write!(f, "; did you mean \"{}\"?", escape(near)))
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unknown::Account { account, near } => {
                write!(f, "no rule names account \"{}\"", escape(account))?;
                did_you_mean(f, near.as_ref())
            }
            Unknown::Alias { account, alias, near } => {
                write!(f, "no rule of \"{}\" has alias \"{}\"", escape(account), escape(alias))?;
                did_you_mean(f, near.as_ref())
            }
            Unknown::Rule { rule, rules, .. } if !(1..=*rules).contains(rule) => {
                write!(f, "there is no rule {rule}: they are numbered from 1 to {rules}")
            }
            Unknown::Rule { rule, of_account, .. } => {
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
                write!(f, "the rule has several aliases; say which, with --alias: {}", list(aliases))?;
                if *more > 0 { write!(f, " and {more} more") } else { Ok(()) }
            }
            Reason::Using { name, class } => write!(
                f,
                "\"{}\" is not {}, as USING demands: {} alone",
                escape(name),
                class.name(),
                class.describe()
            ),
            Reason::Words { wanted, got } => {
                let classes: Vec<String> = wanted.iter().map(|class| format!("%{}%", class.name())).collect();
                match wanted.len() {
                    0 => write!(f, "the rule wants no words")?,
                    1 => write!(f, "the rule wants 1 word: {}", classes.join(", "))?,
                    n => write!(f, "the rule wants {n} words: {}", classes.join(", "))?,
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
            Reason::NoDay => f.write_str("the address has a last day; say which, with --until YYYY-MM-DD"),
            Reason::NoDate => f.write_str("addresses of this rule do not expire: it has no %date%"),
            Reason::NoSecrets => {
                f.write_str("the code is computed with a secret; name its file with --secrets")
            }
            Reason::NoValue { call, text } => {
                write!(f, "{} gives nothing for \"{}\"", escape(call), escape(text))
            }
            Reason::NoChoice => f.write_str("there is no code for it"),
            Reason::TooLong { name } => write!(
                f,
                "\"{}\" would have {} octets, and a local part has {MAX_LOCAL_PART} at most",
                escape(name),
                name.len()
            ),
            Reason::Ambiguous { name, others, own } => ambiguous(f, name, others, own.as_ref()),
            Reason::NoMatch { name } => {
                write!(f, "\"{}\" does not match: rcptd explain tells how it is split", escape(name))
            }
            Reason::Expired { name, last } => {
                write!(f, "\"{}\" was good until {last} only", escape(name))
            }
            Reason::TempFail { name } => {
                write!(f, "\"{}\" takes too long to look up; it would be deferred", escape(name))
            }
            Reason::NoNotation(day) => {
                write!(f, "%date% has no way to write {day}; years go from 2000 to 2099")
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
        Some((true, _)) => f.write_str("; the rule gives it to several accounts")?,
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

/// What keeps `word` from being of the class.
pub(crate) fn misfit(class: Class, word: &str) -> Option<String> {
    let is = |c: char, fits: fn(Class, u8) -> bool| u8::try_from(c).is_ok_and(|b| fits(class, b));
    let Some(first) = word.chars().next() else { return Some("it is empty".into()) };
    if let Some((i, c)) = word.chars().enumerate().find(|(_, c)| !is(*c, Class::inner)) {
        return Some(format!(
            "character {} is \"{}\", and it is made of {}",
            i + 1,
            shown(c),
            class.describe()
        ));
    }
    let last = word.chars().next_back().unwrap_or(first);
    for (c, verb) in [(first, "begins"), (last, "ends")] {
        if !is(c, Class::edge) {
            return Some(format!("it {verb} with \"{}\", which may stand inside only", shown(c)));
        }
    }
    (class == Class::Fqdn && !word.contains('.')).then(|| "it holds no dot".into())
}

fn shown(c: char) -> String {
    escape(c.encode_utf8(&mut [0; 4])).to_string()
}

/// The word made to fit: without what may not stand in it, with what is missing.
pub(crate) fn could_write(class: Class, word: &str) -> Option<String> {
    let kept: String = word.chars().filter(|c| u8::try_from(*c).is_ok_and(|b| class.inner(b))).collect();
    let is_edge = |c: char| u8::try_from(c).is_ok_and(|b| class.edge(b));
    let mut kept = kept.trim_matches(|c| !is_edge(c)).to_owned();
    if class == Class::Fqdn && !kept.contains('.') && !kept.is_empty() {
        kept.push_str(".com");
    }
    misfit(class, &kept).is_none().then_some(kept)
}

//! The rules once more, as simply as can be: list every cut, compute the code, compare. Rules and names made
//! at random must come out the same; and nothing, however odd, may break anything.

use super::super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::fmt::Write;

#[derive(Clone, Debug)]
enum Part {
    Literal(String),
    Account,
    Alias,
    Code,
    Class(&'static str),
}

#[derive(Clone, Debug)]
struct Made {
    accounts: Vec<String>,
    aliases: Vec<String>,
    parts: Vec<Part>,
    /// Name, what it looks at (`account`, `alias` or the number of an identifier), other arguments.
    calls: Vec<(&'static str, String, Vec<String>)>,
}

impl Made {
    fn classes(&self) -> Vec<&'static str> {
        let class = |part: &Part| if let Part::Class(class) = part { Some(*class) } else { None };
        self.parts.iter().filter_map(class).collect()
    }

    fn text(&self) -> String {
        let mut text = format!("ACCOUNT {}", self.accounts.join(", "));
        if !self.aliases.is_empty() {
            write!(text, " ALIASED {}", self.aliases.join(",")).expect("a string takes all");
        }
        text += " MATCHES ";
        for part in &self.parts {
            text += &match part {
                Part::Literal(literal) => literal.replace('%', "%%"),
                Part::Account => "%account%".into(),
                Part::Alias => "%alias%".into(),
                Part::Code => "%code%".into(),
                Part::Class(class) => ["%", class, "%"].concat(),
            };
        }
        let one_fqdn = self.classes() == ["fqdn"];
        let calls = self.calls.iter().map(|(name, target, rest)| {
            // Where the only identifier is a %fqdn%, its label stands first.
            let target = (!one_fqdn || *name != "CHAR" || target != "1").then_some(target);
            let arguments: Vec<&str> = target.into_iter().chain(rest).map(|s| &**s).collect();
            format!("{name}({})", arguments.join(","))
        });
        text + " WITH " + &calls.collect::<Vec<_>>().join(", ") + ";"
    }

    /// Every account the name is an alias of, with the number of ways.
    fn find(&self, name: &str) -> Vec<(String, usize)> {
        let own = [String::new()];
        let aliases = if self.aliases.is_empty() { &own[..] } else { &self.aliases[..] };
        let mut found = Vec::new();
        for account in &self.accounts {
            let mut ways = 0;
            for alias in aliases {
                let alias = if alias.is_empty() { account } else { alias };
                self.cuts(name, account, alias, &mut Vec::new(), &mut |cut| {
                    ways += usize::from(self.is_right(cut, account, alias));
                });
            }
            if ways > 0 {
                found.push((account.clone(), ways));
            }
        }
        found
    }

    fn cuts<'n>(
        &self,
        rest: &'n str,
        account: &str,
        alias: &str,
        cut: &mut Vec<&'n str>,
        each: &mut dyn FnMut(&[&str]),
    ) {
        let Some(part) = self.parts.get(cut.len()) else {
            if rest.is_empty() {
                each(cut);
            }
            return;
        };
        for end in 1..=rest.len() {
            let Some((text, behind)) = rest.split_at_checked(end) else { continue };
            let fits = match part {
                Part::Literal(literal) => text == literal,
                Part::Account => text == account,
                Part::Alias => text == alias,
                Part::Code => true,
                Part::Class(class) => of_class(class, text),
            };
            if fits {
                cut.push(text);
                self.cuts(behind, account, alias, cut, each);
                cut.pop();
            }
        }
    }

    fn is_right(&self, cut: &[&str], account: &str, alias: &str) -> bool {
        let Some(code) = self.parts.iter().rposition(|part| matches!(part, Part::Code)) else { return false };
        let mut rest = cut[code];
        for call in &self.calls {
            let Some(next) = rest.chars().next() else { return false };
            let value = self.value(call, cut, account, alias, Some(next));
            let Some(behind) = value.and_then(|value| rest.strip_prefix(&*value)) else { return false };
            rest = behind;
        }
        rest.is_empty()
    }

    /// A code that is right for this cut.
    fn code(&self, cut: &[&str], account: &str, alias: &str) -> String {
        self.calls.iter().filter_map(|call| self.value(call, cut, account, alias, None)).collect()
    }

    /// What a function gives; `next` is the next character of the code, if there is one already.
    fn value(
        &self,
        (name, target, others): &(&'static str, String, Vec<String>),
        cut: &[&str],
        account: &str,
        alias: &str,
        next: Option<char>,
    ) -> Option<String> {
        let identifiers: Vec<(&str, &str)> = self
            .parts
            .iter()
            .zip(cut)
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

/// A statement over a small alphabet, so that names can be cut in many ways.
fn made() -> impl Strategy<Value = Made> {
    let name = prop_oneof!["[ab1]{1,2}", Just("é".to_owned()), Just("a-b".to_owned())];
    let class = prop::sample::select(vec!["alnum", "alpha", "number", "ident", "fqdn"]);
    let variable = prop_oneof![
        4 => class.prop_map(Part::Class),
        1 => Just(Part::Account),
        1 => Just(Part::Alias),
    ];
    let literal = prop::sample::select(vec!["a", "b", "1", "-", ".", "aa", "a1", "--", "_", "é", "%"]);
    let parts = (prop::collection::vec((variable, literal), 1..4), 0..4_usize, any::<[bool; 2]>());
    let parts = parts.prop_map(|(pairs, code, [first, last])| {
        let mut parts = Vec::new();
        let code = code.min(pairs.len());
        for (i, (variable, literal)) in pairs.into_iter().enumerate() {
            if i == code {
                parts.extend([Part::Code, Part::Literal("-".into())]);
            }
            parts.extend([variable, Part::Literal(literal.into())]);
        }
        if !parts.iter().any(|part| matches!(part, Part::Code)) {
            parts.push(Part::Code);
        } else if first {
            parts.pop();
        }
        if last {
            parts.insert(0, Part::Literal("a".into()));
        }
        parts
    });
    let function =
        prop::sample::select(vec!["CHARS", "DIGITS", "ALPHAS", "VOWELS", "LABELS", "ANY", "NONE", "CHAR"]);
    let call = (
        function,
        0..4_usize,
        -2..4_i64,
        -2..4_i64,
        prop::sample::select(vec!["a", "1", "-", "a1", "é", ""]),
    );
    let accounts = prop::collection::vec(name.clone(), 1..3);
    let aliases = prop::collection::vec(name, 0..3);
    (accounts, aliases, parts, prop::collection::vec(call, 1..4)).prop_map(
        |(accounts, aliases, parts, calls)| {
            let mut made = Made { accounts, aliases, parts, calls: Vec::new() };
            let classes = made.classes();
            let one_fqdn = classes == ["fqdn"];
            made.calls = calls
                .into_iter()
                .map(|(name, target, label, at, default)| {
                    let target = match target.checked_sub(1).filter(|i| *i < classes.len()) {
                        Some(i) => (i + 1).to_string(),
                        None if target == 0 && !made.aliases.is_empty() => "alias".into(),
                        None if one_fqdn && name == "CHAR" => "1".into(),
                        None => "account".into(),
                    };
                    let class = target.parse::<usize>().ok().map(|i| classes[i - 1]);
                    let others = match (name, class) {
                        ("CHAR", Some("fqdn")) => vec![label.to_string(), at.to_string(), default.into()],
                        ("CHAR", _) => vec![at.to_string(), default.into()],
                        _ => Vec::new(),
                    };
                    (name, target, others)
                })
                .collect();
            made
        },
    )
}

/// A name that may well match: texts in the place of the parts.
fn name_for(made: &Made) -> impl Strategy<Value = String> + use<> {
    let texts: Vec<BoxedStrategy<String>> = made
        .parts
        .iter()
        .map(|part| match part {
            Part::Literal(text) => Just(text.clone()).boxed(),
            Part::Account => prop::sample::select(made.accounts.clone()).boxed(),
            Part::Alias if made.aliases.is_empty() => prop::sample::select(made.accounts.clone()).boxed(),
            Part::Alias => prop::sample::select(made.aliases.clone()).boxed(),
            Part::Code => "[0-3]{1,3}|[ab1é-]{1,3}".boxed(),
            Part::Class("fqdn") => "[ab1]\\.[ab1.-]{0,2}[ab1]".boxed(),
            Part::Class("number") => "1{1,3}".boxed(),
            Part::Class(_) => "[ab]{1,3}".boxed(),
        })
        .collect();
    let made = made.clone();
    (texts, any::<prop::sample::Index>(), 0..6_u8, any::<bool>()).prop_map(
        move |(mut texts, at, change, right)| {
            if right {
                // The first text in the place of a name is the name; without one, any is.
                let text_of =
                    |is: fn(&Part) -> bool| made.parts.iter().position(is).map(|at| texts[at].clone());
                let account = text_of(|part| matches!(part, Part::Account));
                let account = account.unwrap_or_else(|| made.accounts[0].clone());
                let alias = text_of(|part| matches!(part, Part::Alias));
                let alias =
                    alias.or_else(|| made.aliases.first().cloned()).unwrap_or_else(|| account.clone());
                let cut: Vec<&str> = texts.iter().map(|text| &**text).collect();
                let code = made.code(&cut, &account, &alias);
                for (part, text) in made.parts.iter().zip(&mut texts) {
                    if matches!(part, Part::Code) && !code.is_empty() {
                        text.clone_from(&code);
                    }
                }
            }
            let mut name: Vec<char> = texts.concat().chars().collect();
            let at = at.index(name.len());
            match change {
                0 => name[at] = 'a',
                1 => name.insert(at, '1'),
                _ => {}
            }
            name.into_iter().collect()
        },
    )
}

fn loaded(made: &Made) -> Option<Rules> {
    load(&[Text::new("t", &made.text())], &Options::default()).ok().map(|loaded| loaded.rules)
}

proptest! {
    #![proptest_config(ProptestConfig { max_global_rejects: 1_000_000, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn the_naive_way_gives_the_same(
        (made, names) in made().prop_flat_map(|made| {
            let names = prop::collection::vec(prop_oneof![4 => name_for(&made).boxed(), 1 => "[ab1é.-]{0,10}".boxed()], 4);
            (Just(made), names)
        })
    ) {
        let Some(rules) = loaded(&made) else { return Err(TestCaseError::reject("refused")) };
        for name in names {
            let want = made.find(&name);
            let accounts: BTreeSet<&str> = want.iter().map(|(account, _)| &**account).collect();
            let ambiguous = want.iter().map(|(_, ways)| ways).sum::<usize>() > 1;
            let want = match accounts.iter().next() {
                None => Decision::NoMatch,
                Some(name) if accounts.len() == 1 => {
                    Decision::Account { name, target: None, statement: 0, ambiguous, by_debug: false }
                }
                Some(_) => Decision::Ambiguous { statements: vec![0] },
            };
            prop_assert_eq!(rules.find(&name), want, "{} {}", made.text(), name);
            let explained = rules.explain(&name);
            prop_assert_eq!(explained.outcome, rules.find(&name).into());
            match &explained.statements[0].finding {
                Finding::Matched { cut: Some(cut), .. } => {
                    prop_assert!(cut.values.iter().all(|value| value.right) && cut.code == cut.computed);
                }
                Finding::Matched { cut: None, .. } | Finding::CannotSay => prop_assert!(false, "nothing shown"),
                _ => prop_assert_eq!(rules.find(&name), Decision::NoMatch),
            }
        }
    }
}

proptest! {
    /// Whatever the text, every problem lies in it; whatever the name, there is a decision.
    #[test]
    fn any_text_and_any_name(
        text in "(ACCOUNT|MATCHES|WITH|USING|ALIASED|PORT:|DEBUG|CHARS\\(|\\)|CHAR\\(1|,|;|%account%|%code%|%|#|\n|\r| |é|foo|\\PC){0,40}",
        name in "\\PC{0,30}",
        fold in any::<bool>(),
    ) {
        let text = Text::new("t", &text);
        for dialect in [Dialect::TcpTable, Dialect::Any] {
            match load(std::slice::from_ref(&text), &Options { fold, dialect, ..Options::default() }) {
                Ok(loaded) => {
                    let _ = loaded.rules.find(&name);
                }
                Err(problems) => {
                    prop_assert!(diag::any_error(&problems));
                    for problem in problems {
                        prop_assert!(text.content.get(problem.span.clone()).is_some(), "{problem:?}");
                        prop_assert!(!problem.render(false).is_empty());
                    }
                }
            }
        }
    }

    /// Any name, with any statement.
    #[test]
    fn any_name(made in made(), name in "\\PC{0,30}", fold in any::<bool>()) {
        let Ok(loaded) = load(&[Text::new("t", &made.text())], &Options { fold, ..Options::default() }) else {
            return Ok(());
        };
        prop_assert_eq!(loaded.rules.explain(&name).outcome, loaded.rules.find(&name).into());
        prop_assert!(!loaded.rules.explain(&name).to_string().chars().any(|c| c.is_control() && c != '\n'));
    }
}

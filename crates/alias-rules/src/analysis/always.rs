//! Findings that need no name: functions that have no value or a constant one, and statements that never
//! match.

use super::instances::Source;
use crate::ir::{CompiledCall, Op, Target};
use crate::syntax::expression::Item;
use crate::vocabulary::{Class, Function};
use diagnostics::Problem;
use mail_address::MAX_LOCAL_PART;

/// Finds problems in a valid statement.
pub(crate) fn problems(source: &Source<'_>) -> Vec<Problem> {
    let statement = &source.checked.statement;
    let mut problems = Vec::new();
    if source.checked.never.is_some() {
        // This was reported when the statement was loaded, and some of its calls are missing.
        return problems;
    }
    let classes: Vec<Class> = statement.expression.identifiers().collect();
    let calls = || source.calls.iter().zip(&statement.calls);
    let mut never = false;
    for (compiled, call) in calls() {
        let text = source.text;
        if let Some(why) = no_value(compiled, source, &classes) {
            never = true;
            let message = format!("the statement never matches: {why}, and CHAR has no default");
            problems.push(
                Problem::warning(text, call.span.clone(), message)
                    .help("give CHAR a default such as -, or another index"),
            );
        } else if let Some(why) = constant(compiled, &classes) {
            let message = format!("{} is always 0 here: {why}", call.function.name());
            problems.push(
                Problem::note(text, call.span.clone(), message)
                    .help("remove it, or use it with another text; it does not make codes harder to guess"),
            );
        }
    }
    let length = min_len(source, &classes);
    if !never && source.instance_count() > 0 && length > MAX_LOCAL_PART {
        let message = format!(
            "the statement never matches: its names have at least {length} characters, but a local part has at \
             most {MAX_LOCAL_PART}"
        );
        let span = statement.expression.span.clone();
        problems.push(Problem::warning(source.text, span, message).help("shorten the expression"));
    }
    if source.accounts.is_empty() {
        problems.push(no_name_of_class(source, "account"));
    } else if statement.aliases.is_some() && source.aliases.is_empty() {
        problems.push(no_name_of_class(source, "alias"));
    }
    problems
}

fn no_name_of_class(source: &Source<'_>, what: &str) -> Problem {
    let statement = &source.checked.statement;
    let class = statement.using.map_or("ident", Class::name);
    let message = format!("the statement never matches: it has no {what} of class {class}");
    Problem::warning(source.text, statement.expression.span.clone(), message)
        .help("write another class after USING, or remove USING")
}

/// The reason if a function never has a value.
fn no_value(call: &CompiledCall, source: &Source<'_>, classes: &[Class]) -> Option<String> {
    let (Op::Char { default, .. } | Op::LabelChar { default, .. }) = &call.op else {
        return None;
    };
    if !default.is_empty() {
        return None;
    }
    let list = match call.target {
        Target::Account => &source.accounts,
        Target::Alias => &source.aliases,
        Target::Identifier(_) | Target::Name => {
            let length = needed(call, classes);
            return (length > MAX_LOCAL_PART)
                .then(|| format!("no local part has the {length} characters that it needs"));
        }
    };
    let Op::Char { at, .. } = call.op else { return None };
    let needed = at.unsigned_abs().max(1);
    let long = |key: &str| key.chars().count() as u64 >= needed;
    let what = if call.target == Target::Alias { "alias" } else { "account" };
    (!list.iter().any(|entry| long(&entry.key)))
        .then(|| format!("no {what} has the {needed} characters that it needs"))
}

/// The minimum number of characters of an identifier for which a function has a value.
fn needed(call: &CompiledCall, classes: &[Class]) -> usize {
    let Target::Identifier(i) = call.target else { return 0 };
    let class = classes.get(i).copied().unwrap_or(Class::Alnum);
    let size = |n: i64| usize::try_from(n.unsigned_abs()).unwrap_or(usize::MAX).max(1);
    let needed = match &call.op {
        Op::Char { at, default } if default.is_empty() => size(*at),
        // The first and the last label need a dot and another character. Other labels also need the labels
        // between them and the edge, of which all but the outermost may be empty.
        Op::LabelChar { label, at, default } if default.is_empty() => match size(*label) {
            1 => size(*at).saturating_add(2),
            label => size(*at).saturating_add(label),
        },
        _ => 1,
    };
    needed.max(class.min_len())
}

/// The minimum number of characters of a name that matches.
fn min_len(source: &Source<'_>, classes: &[Class]) -> usize {
    let shortest = |list: &[crate::analysis::instances::Entry<'_>]| {
        list.iter().map(|entry| entry.key.chars().count()).min()
    };
    let mut identifiers = 0;
    let lengths = source.items.iter().map(|item| match item {
        Item::Literal(text) => text.chars().count(),
        Item::Account => shortest(&source.accounts).unwrap_or_default(),
        Item::Alias => shortest(&source.aliases).unwrap_or_default(),
        Item::Date => 4,
        Item::Code => source.calls.len(),
        Item::Identifier(class) => {
            identifiers += 1;
            let own = source.calls.iter().filter(|call| call.target == Target::Identifier(identifiers - 1));
            own.map(|call| needed(call, classes)).max().unwrap_or_default().max(class.min_len())
        }
    });
    lengths.fold(0, usize::saturating_add)
}

/// The reason if a count is always 0.
fn constant(call: &CompiledCall, classes: &[Class]) -> Option<&'static str> {
    let Target::Identifier(i) = call.target else { return None };
    match (&call.op, classes.get(i)?) {
        (Op::Count(Function::Digits), Class::Alpha) => Some("an %alpha% contains no digits"),
        (Op::Count(Function::Alphas | Function::Vowels), Class::Number) => {
            Some("a %number% contains no letters")
        }
        _ => None,
    }
}

//! Finds errors in parsed statements, such as calls without a text to look at, and warns about probable
//! mistakes.

use super::scope;
use crate::ir::{CompiledCall, NeverMatches, Op, Scope, Target};
use crate::secrets::{HMAC_LENGTHS, Secrets};
use crate::syntax::expression::Item;
use crate::syntax::functions::HMAC_USAGE;
use crate::syntax::{Call, Fault, Name, Statement, Subject};
use crate::vocabulary::{Class, Function};
use mail_address::MAX_LOCAL_PART;

/// A statement whose calls are compiled.
#[derive(Debug)]
pub(crate) struct Checked<'t> {
    pub statement: Statement<'t>,
    pub calls: Vec<CompiledCall>,
    pub never: Option<NeverMatches>,
    pub scope: Scope,
}

/// Checks a single statement.
pub(crate) fn statement<'t>(
    statement: Statement<'t>,
    secrets: &Secrets,
    faults: &mut Vec<Fault>,
) -> Checked<'t> {
    let classes: Vec<Class> = statement.expression.identifiers().collect();
    let mut never = None;
    let mut compiled = Vec::new();
    for call in &statement.calls {
        match compile_call(call, &classes, statement.aliases.is_some()) {
            Ok(Ok(compiled_call)) => {
                if compiled_call.function == Function::Hmac && secrets.is_empty() {
                    let fault = Fault::new(call.span.clone(), "HMAC needs a secret, but there is none");
                    faults.push(fault.help(
                        "set the file of secrets: the key \"secrets\" of rcptd.conf, or --secrets FILE",
                    ));
                }
                compiled.push(compiled_call);
            }
            Ok(Err(reason)) => {
                never = never.or(Some(reason));
                let fault =
                    Fault::warning(call.span.clone(), format!("the statement never matches: {reason}"));
                faults.push(match reason {
                    NeverMatches::NoIdentifier(f) => fault.help(format!(
                        "write {}(account), or put an identifier such as %ident% into the expression",
                        f.name()
                    )),
                    _ => fault.help("remove LABELS, or use it with a %fqdn%"),
                });
            }
            Err((message, help)) => faults.push(Fault::new(call.span.clone(), message).help(help)),
        }
    }
    let codes = statement.expression.items.iter().filter(|item| **item == Item::Code).count();
    let span = || statement.expression.span.clone();
    if statement.expression.faulty {
        // The %code% may be the part with the error.
    } else if codes == 0 {
        never = Some(NeverMatches::NoCode);
        let fault = Fault::warning(span(), format!("the statement never matches: {}", NeverMatches::NoCode));
        faults.push(fault.help("put %code% where the code is in the address"));
    } else if codes > 1 {
        let fault = Fault::warning(span(), "of several %code% only the last one is verified");
        faults.push(fault.help("keep one %code%"));
    }
    let shortest: usize = compiled.iter().map(CompiledCall::shortest).sum();
    if statement.calls.len().max(shortest).max(statement.expression.items.len()) > MAX_LOCAL_PART {
        never = Some(NeverMatches::TooLong);
        faults
            .push(Fault::warning(span(), format!("the statement never matches: {}", NeverMatches::TooLong)));
    }
    names(&statement, &compiled, faults);
    let scope = scope::check(&statement, &compiled, secrets, faults);
    Checked { statement, calls: compiled, never, scope }
}

/// The compiled call, the reason that the statement never matches, or an error with its remedy.
type Resolved = Result<Result<CompiledCall, NeverMatches>, (String, String)>;

/// Compiles a call: resolves the text that it looks at.
fn compile_call(call: &Call, classes: &[Class], aliased: bool) -> Resolved {
    let name = call.function.name();
    if !aliased && call.arguments.contains(&Subject::Alias) {
        let message = format!("{name} looks at the alias, but the statement has none");
        return Err((message, "write account instead of alias, or add ALIASED".into()));
    }
    if call.function == Function::Hmac {
        return hmac(call);
    }
    if call.function == Function::Char {
        return char(call, classes);
    }
    let function = call.function;
    let target = match (call.arguments.first().copied().unwrap_or(Subject::Unspecified), classes.len()) {
        (Subject::Account, _) => Target::Account,
        (Subject::Alias, _) => Target::Alias,
        (Subject::Unspecified, 0) => return Ok(Err(NeverMatches::NoIdentifier(function))),
        (Subject::Unspecified, 1) => Target::Identifier(0),
        (Subject::Unspecified, n) => {
            return Err((format!("{name} does not specify an identifier"), numbers(name, n)));
        }
        (Subject::Index(i), n) => Target::Identifier(index(name, i, n)?),
    };
    let fqdn = matches!(target, Target::Identifier(i) if classes.get(i) == Some(&Class::Fqdn));
    let op = match function {
        Function::Labels if !fqdn => return Ok(Err(NeverMatches::NoLabels)),
        Function::Any => Op::Any,
        Function::None => Op::None,
        _ => Op::Count(function),
    };
    Ok(Ok(CompiledCall { function, op, target }))
}

/// Compiles `HMAC`, which looks at the whole name.
fn hmac(call: &Call) -> Resolved {
    let [Subject::Index(given)] = call.arguments[..] else {
        return Err(("HMAC does not specify the number of characters".into(), HMAC_USAGE.into()));
    };
    let Some(len) = usize::try_from(given).ok().filter(|len| HMAC_LENGTHS.contains(len)) else {
        let (least, most) = HMAC_LENGTHS.into_inner();
        return Err((format!("HMAC has {least} to {most} characters, not {given}"), HMAC_USAGE.into()));
    };
    Ok(Ok(CompiledCall { function: Function::Hmac, op: Op::Hmac(len), target: Target::Name }))
}

fn numbers(name: &str, n: usize) -> String {
    match n {
        0 => format!("the expression has no identifier; write {name}(account)"),
        1 => "the only identifier is number 1".into(),
        n => format!("identifiers are numbered from 1 to {n}, from the left"),
    }
}

/// The index from 0 of identifier `i`, which is numbered from 1 to `n`.
fn index(name: &str, i: i64, n: usize) -> Result<usize, (String, String)> {
    usize::try_from(i)
        .ok()
        .filter(|i| (1..=n).contains(i))
        .map(|i| i - 1)
        .ok_or_else(|| (format!("{name} looks at identifier {i}, which does not exist"), numbers(name, n)))
}

/// Compiles `CHAR`, whose arguments depend on the identifiers of the expression.
fn char(call: &Call, classes: &[Class]) -> Resolved {
    use Subject::{Account, Alias, Index, Unspecified};
    let default = call.default.clone();
    let compiled = |target, op| Ok(Ok(CompiledCall { function: Function::Char, op, target }));
    let plain = |target, at| compiled(target, Op::Char { at, default: default.clone() });
    let label =
        |i, label, at| compiled(Target::Identifier(i), Op::LabelChar { label, at, default: default.clone() });
    let error = |message: &str, help: &str| Err((message.into(), help.into()));
    let args = &call.arguments[..];
    let numbers_in = |args: &[Subject]| args.iter().all(|arg| matches!(arg, Index(_)));
    match (args, classes) {
        ([_, _, _, _, ..], _) => error(
            "CHAR has too many arguments",
            "write CHAR(identifier, index, default); for a %fqdn%, CHAR(identifier, label, index, default)",
        ),
        ([Account, Index(at)], [] | [_, _, ..]) => plain(Target::Account, *at),
        ([Alias, Index(at)], [] | [_, _, ..]) => plain(Target::Alias, *at),
        ([Index(_)], []) => Ok(Err(NeverMatches::NoIdentifier(Function::Char))),
        (_, []) => error(
            "CHAR looks at an identifier, but the expression has none",
            "write CHAR(account, index, default)",
        ),
        ([Index(l), Index(at)], [Class::Fqdn]) => label(0, *l, *at),
        ([Index(i), Index(l), Index(at)], [Class::Fqdn]) => label(index("CHAR", *i, 1)?, *l, *at),
        (_, [Class::Fqdn]) => error(
            "CHAR does not specify a label and a character",
            "if the only identifier is a %fqdn%, write CHAR(label, index, default)",
        ),
        ([Index(at)], [_]) => plain(Target::Identifier(0), *at),
        ([Account, Index(at)], [_]) => plain(Target::Account, *at),
        ([Alias, Index(at)], [_]) => plain(Target::Alias, *at),
        ([Index(i), Index(at)], [_]) => plain(Target::Identifier(index("CHAR", *i, 1)?), *at),
        ([_, _, _], [_]) => {
            error("CHAR specifies a label, but there is no %fqdn%", "write CHAR(index, default) here")
        }
        ([_] | [Unspecified, ..], [_, _, ..]) => {
            Err(("CHAR does not specify an identifier".into(), numbers("CHAR", classes.len())))
        }
        ([Index(i), rest @ ..], [_, _, ..]) if numbers_in(rest) => {
            let i = index("CHAR", *i, classes.len())?;
            match (classes.get(i) == Some(&Class::Fqdn), rest) {
                (false, [Index(at)]) => plain(Target::Identifier(i), *at),
                (true, [Index(l), Index(at)]) => label(i, *l, *at),
                (true, _) => error(
                    "CHAR looks at a %fqdn% and needs a label",
                    "write CHAR(identifier, label, index, default) here",
                ),
                (false, _) => error(
                    "CHAR specifies a label, but the identifier is not a %fqdn%",
                    "write CHAR(identifier, index, default) here",
                ),
            }
        }
        _ => error("CHAR has an index that is not a number", "write CHAR(identifier, index, default)"),
    }
}

/// Reports the first name of a list that does not fit, with the number of the others.
fn misfit<'n>(
    list: &[Name<'n>],
    faults: &mut Vec<Fault>,
    fits: impl Fn(&Name<'n>) -> bool,
    fault: impl Fn(&Name<'n>, String) -> Fault,
) {
    let mut misfits = list.iter().filter(|name| !fits(name));
    if let Some(first) = misfits.next() {
        let more = match misfits.count() {
            0 => String::new(),
            n => format!(" (and {n} more)"),
        };
        faults.push(fault(first, more));
    }
}

/// Warns about names in the lists.
fn names(statement: &Statement<'_>, compiled: &[CompiledCall], faults: &mut Vec<Fault>) {
    let Statement { accounts, aliases, expression, using, .. } = statement;
    // Without `ALIASED` the account is the alias.
    let own = aliases.is_none() && expression.has(&Item::Alias);
    let placed = expression.has(&Item::Account) || own;
    let lists =
        [("account", Some(accounts), placed), ("alias", aliases.as_ref(), expression.has(&Item::Alias))];
    for (what, list, placed) in lists {
        let Some(list) = list else { continue };
        if what == "account"
            && let Some(name) = list.iter().find(|name| name.value == "*")
        {
            let fault = Fault::new(name.span(), "\"*\" is not an account, and does not mean all accounts");
            faults.push(fault.help(
                "list each account, as in ACCOUNT ann, bob; a program can write the list of all accounts into a \
                 file of rules",
            ));
            continue;
        }
        match using {
            Some(class) if placed => misfit(
                list,
                faults,
                |name| class.spells(name.value),
                |name, more| {
                    let message =
                        format!("{what} \"{}\"{more} never matches: it is not {}", name.value, class.name());
                    Fault::warning(name.span(), message).help(format!(
                        "{} are {}",
                        class.name(),
                        class.describe()
                    ))
                },
            ),
            None if placed => misfit(
                list,
                faults,
                |name| Class::Ident.spells(name.value),
                |name, more| {
                    let message = format!(
                        "{what} \"{}\"{more} has other characters than letters, digits and \"_\"",
                        name.value
                    );
                    Fault::note(name.span(), message).help("it is matched like a literal")
                },
            ),
            _ => {}
        }
        let plausible = |name: &Name<'_>| !name.value.contains(['@', '"', '\'', '%', ';', '*', '?']);
        misfit(list, faults, plausible, |name, more| {
            let message = format!("{what} \"{}\"{more} is probably not the name of a mailbox", name.value);
            Fault::warning(name.span(), message).help("write the local part alone, without quotes")
        });
    }
    undistinguished(statement, compiled, placed, faults);
}

/// Whether no match could say which of several accounts is meant.
fn undistinguished(
    statement: &Statement<'_>,
    compiled: &[CompiledCall],
    placed: bool,
    faults: &mut Vec<Fault>,
) {
    let Statement { accounts, expression, .. } = statement;
    let distinguished = placed
        || compiled
            .iter()
            .any(|compiled_call| matches!(compiled_call.target, Target::Account | Target::Name));
    if !distinguished && accounts.iter().any(|name| name.value != accounts[0].value) {
        let fault = Fault::warning(
            expression.span.clone(),
            "every match is ambiguous: the statement has several accounts and does not distinguish them",
        );
        faults.push(fault.help("put %account% into the expression"));
    }
}

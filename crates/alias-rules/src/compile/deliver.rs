//! Checks the address after `DELIVER TO`.

use crate::ir::{DeliverTo, Part};
use crate::syntax::{Fault, Name, Statement};
use diagnostics::nearest;
use mail_address::{MAX_LOCAL_PART, Malformed, parse_domain};

const SUCH_AS: &str = "write local@domain, such as %account%@example.com";

/// Characters that an unquoted local part cannot contain.
const ODD: [char; 12] = ['"', '\\', '<', '>', '(', ')', '[', ']', ',', ':', '@', '!'];

/// Parses and checks the address of a statement.
pub(crate) fn check(statement: &Statement<'_>, faults: &mut Vec<Fault>) -> Option<DeliverTo> {
    let target = statement.deliver.as_ref()?.target;
    let known = faults.len();
    let Some((local, domain)) = target.value.rsplit_once('@').filter(|(local, _)| !local.is_empty()) else {
        let fault = Fault::new(target.span(), format!("\"{}\" is not an address", target.value));
        faults.push(fault.help(SUCH_AS));
        return None;
    };
    let at_domain = target.span().end - domain.len()..target.span().end;
    let canonical = parse_domain(domain).map_err(|help| {
        let help = if domain.contains('%') { "names are allowed in the local part only" } else { help };
        faults.push(Fault::new(at_domain, format!("\"{domain}\" is not a domain")).help(help));
    });
    if let Some((at, c)) = local.char_indices().find(|(_, c)| ODD.contains(c) || c.is_control()) {
        let at = target.start + at;
        let fault =
            Fault::new(at..at + c.len_utf8(), format!("\"{c}\" is not allowed in an unquoted local part"));
        faults.push(fault.help("write local@domain, without quotes and brackets"));
    }
    let parts = parts(local, target.start, statement.aliases.is_some(), faults);
    let (Ok(domain), true) = (canonical, faults.len() == known) else { return None };
    let address = DeliverTo::new(parts, domain.into());
    check_names(&address, statement, target, faults);
    Some(address)
}

/// Parses the local part, which begins at `start`.
fn parts(local: &str, start: usize, aliased: bool, faults: &mut Vec<Fault>) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = local;
    while let Some((before, after)) = rest.split_once('%') {
        literal.push_str(before);
        let at = start + (local.len() - after.len());
        let Some((name, tail)) = after.split_once('%') else {
            let fault = Fault::new(at - 1..at, "the name has no closing \"%\"");
            faults.push(fault.help("write %account% or %alias%"));
            return parts;
        };
        rest = tail;
        let span = at..at + name.len();
        let part = match name {
            "" => {
                let fault = Fault::new(at - 1..at + 1, "a percent sign in an address may be read as a route");
                faults.push(fault.help("use an address without a percent sign"));
                continue;
            }
            "account" => Part::Account,
            "alias" if aliased => Part::Alias,
            "alias" => {
                let fault = Fault::new(span, "the address names the alias, but the statement has none");
                faults.push(fault.help("write %account% instead of %alias%, or add ALIASED"));
                continue;
            }
            _ => {
                let fault = Fault::new(span, format!("unknown name \"{name}\" in the address"));
                faults.push(fault.help(match nearest(name, ["account", "alias"]) {
                    Some(near) => format!("did you mean %{near}%?"),
                    None => "known are account and alias".into(),
                }));
                continue;
            }
        };
        if !literal.is_empty() {
            parts.push(Part::Literal(std::mem::take(&mut literal)));
        }
        parts.push(part);
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    parts
}

/// Checks that the address is valid for all names of the lists.
fn check_names(address: &DeliverTo, statement: &Statement<'_>, target: Name<'_>, faults: &mut Vec<Fault>) {
    let mut longest = [""; 2];
    let lists = [(Part::Account, Some(&statement.accounts)), (Part::Alias, statement.aliases.as_ref())];
    for ((part, list), longest) in lists.into_iter().zip(&mut longest) {
        let Some(list) = list.filter(|_| address.names(&part)) else { continue };
        *longest = list.iter().map(|name| name.value).max_by_key(|name| name.len()).unwrap_or_default();
        if let Some(name) = list.iter().find(|name| name.value.contains(char::is_control)) {
            let message = format!("\"{}\" contains a control character", name.value);
            faults.push(Fault::new(name.span(), message).help("an address has no control characters"));
        }
        if let Some(name) = list.iter().find(|name| name.value.contains(['%', '!', '@', '\\'])) {
            let message = format!("\"{}\" may be read as a route in an address", name.value);
            faults.push(Fault::new(name.span(), message).help("leave it out of this statement"));
        }
    }
    let [account, alias] = longest;
    if address.expand(account, alias) == Err(Malformed::TooLong) {
        let longest = if alias.is_empty() { account } else { alias };
        let message = if longest.is_empty() {
            "the address is too long".into()
        } else {
            format!("the address is too long with \"{longest}\"")
        };
        let help = format!("a local part has {MAX_LOCAL_PART} octets at most");
        faults.push(Fault::new(target.span(), message).help(help));
    }
}

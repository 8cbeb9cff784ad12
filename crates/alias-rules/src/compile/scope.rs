//! Checks where a statement applies.

use super::deliver;
use crate::ir::{CompiledCall, Scope};
use crate::secrets::Secrets;
use crate::syntax::{Fault, Name, Statement};
use crate::vocabulary::Function;
use foldhash::{HashSet, HashSetExt};
use mail_address::{canonical_domain, parse_domain};
use std::borrow::Cow;

/// Most domains of one statement: whether an alias has several owners is looked at in each of them.
pub const MAX_DOMAINS: usize = 1000;

/// Checks the domains and the address of a statement.
pub(crate) fn check(
    statement: &Statement<'_>,
    calls: &[CompiledCall],
    secrets: &Secrets,
    faults: &mut Vec<Fault>,
) -> Scope {
    check_domains(statement.domains.as_deref().unwrap_or_default(), faults);
    let domains = statement.domains.as_deref();
    let domains = domains.map(|list| self::domains(Some(list)).map(Into::into).collect());
    let is_signed = calls.iter().any(|call| call.function == Function::Hmac);
    let secrets = if is_signed { secrets.clone() } else { Secrets::default() };
    Scope::new(domains, deliver::check(statement, faults), secrets)
}

/// The domains of a statement, as they are compared.
pub(crate) fn domains<'t>(list: Option<&[Name<'t>]>) -> impl Iterator<Item = Cow<'t, str>> {
    list.unwrap_or_default().iter().take(MAX_DOMAINS).map(|name| canonical_domain(name.value))
}

/// Checks the list of domains.
fn check_domains(list: &[Name<'_>], faults: &mut Vec<Fault>) {
    if let Some(name) = list.get(MAX_DOMAINS) {
        let message = format!("the statement has more than {MAX_DOMAINS} domains");
        faults.push(Fault::new(name.span(), message).help("write the statement once more for the others"));
    }
    let mut seen = HashSet::new();
    for name in list.iter().take(MAX_DOMAINS) {
        match parse_domain(name.value) {
            Ok(domain) => {
                if !seen.insert(domain) {
                    let message = format!("domain \"{}\" stands in the list twice", name.value);
                    faults.push(Fault::warning(name.span(), message).help("leave it once"));
                }
            }
            Err(help) => {
                let fault = Fault::new(name.span(), format!("\"{}\" is not a domain", name.value));
                faults.push(fault.help(help));
            }
        }
    }
}

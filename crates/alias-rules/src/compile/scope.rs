//! Checks the domains of a statement.

use super::deliver;
use crate::ir::{CompiledCall, Scope};
use crate::secrets::Secrets;
use crate::syntax::{Fault, Name, Statement};
use crate::vocabulary::Function;
use foldhash::{HashSet, HashSetExt};
use mail_address::{canonical_domain, parse_domain};
use std::borrow::Cow;

/// Maximum number of domains of a statement: ambiguity of aliases is checked in each of them.
pub const MAX_DOMAINS: usize = 1000;

/// Checks the domains and the target of a statement.
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

/// The domains of a statement in canonical spelling.
pub(crate) fn domains<'t>(list: Option<&[Name<'t>]>) -> impl Iterator<Item = Cow<'t, str>> {
    list.unwrap_or_default().iter().take(MAX_DOMAINS).map(|name| canonical_domain(name.value))
}

fn check_domains(list: &[Name<'_>], faults: &mut Vec<Fault>) {
    if let Some(name) = list.get(MAX_DOMAINS) {
        let message = format!("the statement has more than {MAX_DOMAINS} domains");
        faults.push(Fault::new(name.span(), message).help("repeat the statement for the others"));
    }
    let mut seen = HashSet::new();
    for name in list.iter().take(MAX_DOMAINS) {
        match parse_domain(name.value) {
            Ok(domain) => {
                if !seen.insert(domain) {
                    let message = format!("domain \"{}\" is in the list twice", name.value);
                    faults.push(Fault::warning(name.span(), message).help("remove one of them"));
                }
            }
            Err(help) => {
                let fault = Fault::new(name.span(), format!("\"{}\" is not a domain", name.value));
                faults.push(fault.help(help));
            }
        }
    }
}

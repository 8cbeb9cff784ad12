//! Checks the values of each search strategy.

use super::content::{self, Part};
use super::{Candidate, SearchStrategy, access, keys};
use crate::map::MAX_VALUE;
use mail_address::{Address, BLANKS, canonical_domain, is_domain};
use std::borrow::{Borrow, Cow};
use std::fmt::Write;

/// Maximum number of addresses of one value: Postfix's default (`virtual_alias_expansion_limit`). With more,
/// Postfix would defer the mail.
pub const MAX_ADDRESSES: usize = 1000;

/// Returns the value for the mail server. The error is the reason why it is invalid.
pub(super) fn value(
    profile: SearchStrategy,
    candidate: &Candidate<'_>,
    key: &str,
    value: &str,
) -> Result<String, String> {
    if value.is_empty() {
        return Err("the value is empty".into());
    }
    if profile != SearchStrategy::Plain && value.contains(|c: char| c.is_control() && c != '\t') {
        return Err("the value contains a control character".into());
    }
    let good = match profile {
        SearchStrategy::Transport => {
            transport(value)?;
            value.into()
        }
        SearchStrategy::Access => {
            access::action(value)?;
            value.into()
        }
        SearchStrategy::HeaderChecks => {
            content::action(value, Part::Header)?;
            value.into()
        }
        SearchStrategy::BodyChecks => {
            content::action(value, Part::Body)?;
            value.into()
        }
        SearchStrategy::Canonical => one(value, key, extension(candidate, key).as_deref())?,
        SearchStrategy::Generic => one(value, key, None)?,
        SearchStrategy::SenderBcc | SearchStrategy::RecipientBcc => {
            if value.starts_with('@') {
                return Err("a user is missing before the @".into());
            }
            one(value, key, None)?
        }
        // The value for a domain is arbitrary; Postfix ignores it (virtual(5)).
        SearchStrategy::VirtualAlias if keys::at(key).is_none() => value.into(),
        SearchStrategy::VirtualAlias => {
            let extension = extension(candidate, key);
            let addresses = items(value);
            if addresses.len() > MAX_ADDRESSES {
                return Err(format!("more than {MAX_ADDRESSES} addresses, which Postfix does not take"));
            }
            let made = addresses.into_iter().map(|text| resulting(text, key, extension.as_deref()));
            join(&made.collect::<Result<Vec<_>, _>>()?)?
        }
        SearchStrategy::SenderLogin => join(&items(value))?,
        SearchStrategy::Plain
        | SearchStrategy::Relocated
        | SearchStrategy::VirtualMailbox
        | SearchStrategy::VirtualMailboxDomains => value.into(),
    };
    if good.len() > MAX_VALUE { Err(format!("more than {MAX_VALUE} octets")) } else { Ok(good) }
}

fn join<M: Borrow<str>>(members: &[M]) -> Result<String, String> {
    if members.is_empty() { Err("nothing but commas and blanks".into()) } else { Ok(members.join(",")) }
}

/// Checks `transport:nexthop`, where each side may be empty. The format of the next hop depends on the
/// transport: a text with spaces for `error:`, several hosts for `smtp:`.
pub(super) fn transport(value: &str) -> Result<(), String> {
    let (transport, _) =
        value.split_once(':').ok_or("a transport needs a colon, as in smtp:[mx.example.com]")?;
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if transport.chars().all(fits) {
        Ok(())
    } else {
        Err("the name of a transport may have only letters, digits, -, _ and . in it".into())
    }
}

/// Checks that the value is one address.
fn one(value: &str, key: &str, extension: Option<&str>) -> Result<String, String> {
    match items(value).as_slice() {
        [text] => resulting(text, key, extension),
        _ => Err("it must be one address".into()),
    }
}

/// The extension of the candidate as it is written in `key`. Folding does not change delimiters, so the
/// extension begins at the first delimiter of this kind.
fn extension(candidate: &Candidate<'_>, key: &str) -> Option<String> {
    let delimiter = candidate.extension.as_ref()?.chars().next()?;
    let at = keys::at(key).unwrap_or(key.len());
    let local = keys::unquoted(&key[..at]);
    local.find(delimiter).map(|at| local[at..].to_owned())
}

/// The address that results from an address of a value.
fn resulting(text: &str, key: &str, extension: Option<&str>) -> Result<String, String> {
    if let Some(domain) = text.strip_prefix('@') {
        domain_of(domain)?;
        let local = keys::unquoted(keys::at(key).map_or(key, |at| &key[..at]));
        let local = keys::quoted(&local).map_or(local, Cow::Owned);
        return Ok(format!("{local}@{domain}"));
    }
    let mailbox = address(text)?;
    let Some(extension) = extension else { return Ok(text.into()) };
    let local = [mailbox.local(), extension].concat();
    let at = keys::at(text);
    // The domain stays as it is written.
    let mut made = Address::new(&local, "").map_err(|why| format!("with its extension, {why}"))?.to_string();
    if let Some(at) = at {
        let _ = write!(made, "{}", &text[at..]);
    }
    Ok(made)
}

/// Parses an address with or without a domain.
pub(super) fn address(text: &str) -> Result<Address, String> {
    let at = keys::at(text);
    let local = &text[..at.unwrap_or(text.len())];
    if local.is_empty() {
        return Err("a user is missing before the @".into());
    }
    if !local.starts_with('"') && local.contains(|c: char| c.is_whitespace() || "<>()[]:;,\\\"".contains(c)) {
        return Err("an address has a character that only quotes allow".into());
    }
    if let Some(at) = at {
        domain_of(&text[at + 1..])?;
    }
    let address = Address::from_server(text.as_bytes());
    match address.malformed() {
        Some(why) => Err(why.to_string()),
        None if address.local().is_empty() => Err("a user is missing before the @".into()),
        None => Ok(address),
    }
}

fn domain_of(domain: &str) -> Result<(), String> {
    if is_domain(&canonical_domain(domain)) {
        Ok(())
    } else {
        Err("the part after an @ is not a domain".into())
    }
}

/// Splits a value at commas and spaces outside of quotes.
fn items(value: &str) -> Vec<&str> {
    let (mut quoted, mut escaped) = (false, false);
    let separates = |c: char| {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            c => return !quoted && (c == ',' || BLANKS.contains(&c)),
        }
        false
    };
    value.split(separates).filter(|item| !item.is_empty()).collect()
}

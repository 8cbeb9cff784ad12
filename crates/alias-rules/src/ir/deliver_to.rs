//! The address after `DELIVER TO` and its expansion.

use mail_address::{Address, Malformed};
use std::borrow::Cow;

/// Maximum number of redirections of a recipient. Each is another lookup, and longer chains are probably
/// mistakes.
pub const MAX_HOPS: usize = 10;

/// A component of the local part.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    Literal(String),
    Account,
    Alias,
}

/// The address after `DELIVER TO`, with placeholders for account and alias.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct DeliverTo {
    parts: Vec<Part>,
    domain: String,
    /// The whole address if it has no placeholders.
    fixed: Option<Box<str>>,
}

impl DeliverTo {
    pub fn new(parts: Vec<Part>, domain: String) -> Self {
        let mut address = DeliverTo { parts, domain, fixed: None };
        if !address.names(&Part::Account) && !address.names(&Part::Alias) {
            address.fixed = address.write("", "").ok().map(Into::into);
        }
        address
    }

    pub fn names(&self, part: &Part) -> bool {
        self.parts.contains(part)
    }

    /// Replaces the placeholders.
    pub fn expand(&self, account: &str, alias: &str) -> Result<Cow<'_, str>, Malformed> {
        match &self.fixed {
            Some(fixed) => Ok(Cow::Borrowed(fixed)),
            None => self.write(account, alias).map(Cow::Owned),
        }
    }

    fn write(&self, account: &str, alias: &str) -> Result<String, Malformed> {
        let parts = self.parts.iter().map(|part| match part {
            Part::Literal(text) => text,
            Part::Account => account,
            Part::Alias => alias,
        });
        Address::new(&parts.collect::<String>(), &self.domain).map(|address| address.to_string())
    }
}

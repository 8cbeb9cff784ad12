//! The address after `DELIVER TO`, and what it is for the names that matched.

use mail_address::{Address, Malformed};
use std::borrow::Cow;

/// How often mail for a recipient may be redirected. More rules in a chain are not intended, and each is
/// another look-up.
pub const MAX_HOPS: usize = 10;

/// A part of the local part.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    Literal(String),
    Account,
    Alias,
}

/// The address after `DELIVER TO`, with places for the names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct DeliverTo {
    parts: Vec<Part>,
    domain: String,
    /// The whole address if it is the same for all names.
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

    /// The address for this account and this alias.
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

//! Addresses and results for tests.

use super::{Lookup, Verification};
use mail_address::Address;

pub(super) fn account(text: &str) -> Address {
    Address::from_rcpt(text.as_bytes())
}

/// A result of the source `double:`.
pub(super) fn answer(result: Lookup<()>) -> Verification {
    Verification::new(result, &"double:".into())
}

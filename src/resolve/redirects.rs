//! The chain of addresses through which the rules redirect the mail.

use super::DeferReason;
use mail_address::Address;

pub use alias_rules::MAX_HOPS;

/// The addresses so far, the recipient first.
pub(super) struct RedirectChain {
    behind: Vec<Address>,
    here: Address,
}

impl RedirectChain {
    /// Creates a chain with the recipient only.
    pub fn new(recipient: Address) -> Self {
        RedirectChain { behind: Vec::new(), here: recipient }
    }

    /// The last address.
    pub fn here(&self) -> &Address {
        &self.here
    }

    /// Whether the last address is the recipient itself.
    pub fn is_at_recipient(&self) -> bool {
        self.behind.is_empty()
    }

    /// Adds `next`, unless it is in the chain already or the chain is too long. `same` compares two
    /// addresses; if it misses a loop, the maximum length ends it.
    pub fn go(
        &mut self,
        next: Address,
        same: impl Fn(&Address, &Address) -> bool,
    ) -> Result<(), DeferReason> {
        let is_loop = self.behind.iter().chain([&self.here]).any(|address| same(address, &next));
        self.behind.push(std::mem::replace(&mut self.here, next));
        if !is_loop && self.behind.len() <= MAX_HOPS {
            return Ok(());
        }
        Err(DeferReason::Loop(self.behind.iter().chain([&self.here]).cloned().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(i: usize) -> Address {
        Address::new(&format!("a{i}"), "example.test").expect("an address")
    }

    /// Adds each of these after a0; returns the addresses if they form a loop or are too many.
    fn go(numbers: impl IntoIterator<Item = usize>) -> Option<String> {
        let mut chain = RedirectChain::new(address(0));
        let same = |a: &Address, b: &Address| a.same_mailbox(b, false);
        numbers.into_iter().find_map(|i| chain.go(address(i), same).err()).map(|reason| reason.to_string())
    }

    #[test]
    fn rejects_loops_and_long_chains() {
        assert_eq!(go(1..=MAX_HOPS), None);
        for (numbers, want) in [
            (vec![0], "<a0@example.test> <a0@example.test>"),
            (vec![1, 2, 1], "<a0@example.test> <a1@example.test> <a2@example.test> <a1@example.test>"),
        ] {
            assert_eq!(go(numbers), Some(format!("redirects in a loop, or too many of them: {want}")));
        }
        let long = go(1..=MAX_HOPS + 1).expect("too long");
        assert_eq!(long.matches('@').count(), MAX_HOPS + 2);
    }
}

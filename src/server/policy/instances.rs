//! The messages that got a header already: each recipient is a request of its own, and the header belongs to the
//! message.

use std::collections::{HashSet, VecDeque};

/// Number of messages that are remembered. All recipients of a message arrive within seconds, and few messages have
/// been delayed.
pub const MAX_INSTANCES: usize = 10_000;

/// Longest name of a message that is remembered, in octets. Those of Postfix have about 30; a message with a longer one
/// gets a header for each recipient.
const MAX_NAME: usize = 200;

/// The messages that got the header, by their `instance`; the oldest are forgotten.
#[derive(Debug, Default)]
pub struct Instances {
    known: HashSet<Box<[u8]>>,
    order: VecDeque<Box<[u8]>>,
}

impl Instances {
    /// Whether this is the first call for the message. A message without a name is always new.
    pub fn is_new(&mut self, instance: &[u8]) -> bool {
        if instance.is_empty() || instance.len() > MAX_NAME {
            return true;
        }
        if self.known.contains(instance) {
            return false;
        }
        if self.order.len() >= MAX_INSTANCES
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.known.insert(instance.into());
        self.order.push_back(instance.into());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_is_new_once() {
        let mut instances = Instances::default();
        for (instance, want) in
            [(&b"a.1"[..], true), (b"a.1", false), (b"a.2", true), (b"a.1", false), (b"", true), (b"", true)]
        {
            assert_eq!(instances.is_new(instance), want, "{}", String::from_utf8_lossy(instance));
        }
        let long = [b'x'; MAX_NAME + 1];
        assert!(instances.is_new(&long) && instances.is_new(&long));
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let mut instances = Instances::default();
        for n in 0..=MAX_INSTANCES {
            assert!(instances.is_new(n.to_string().as_bytes()));
            assert!(instances.known.len() <= MAX_INSTANCES && instances.order.len() <= MAX_INSTANCES);
        }
        assert!(!instances.is_new(b"1"));
        assert!(instances.is_new(b"0"));
    }
}

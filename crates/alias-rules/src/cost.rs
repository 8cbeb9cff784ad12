//! What a look-up may cost and what it does cost, in steps.
//!
//! A step is a handful of instructions. How long the dearest of them take is measured, not reckoned:
//!
//! ```sh
//! cargo run --release -p alias-rules --example worst_case -- 60 rate
//! ```
//!
//! makes up rules and names with which a step takes as long as it can find. On the machine the limits were
//! made on, with other work going on beside it, that was 9 ns.

use super::eval::Lookup;
use super::{Query, Rules};

/// Most steps for one statement with a name of up to [`ORDINARY_NAME`] bytes: at 9 ns each no statement takes
/// longer than 1 ms.
pub const MAX_STATEMENT_STEPS: u64 = 100_000;

/// Most steps for all statements together with such a name: no look-up takes longer than 50 ms, again with
/// some to spare.
pub const MAX_LOOKUP_STEPS: u64 = 50 * MAX_STATEMENT_STEPS;

/// A local part has 255 bytes at most, and a name so long is decided as fast as that; what is longer comes by
/// a table protocol, and may take longer, in proportion.
pub const ORDINARY_NAME: usize = 320;

/// What a look-up cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// The steps it took, or had taken when it was given up.
    pub steps: u64,
    /// The steps it may take.
    pub limit: u64,
}

/// The steps that a look-up may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub statement: u64,
    pub lookup: u64,
}

impl Limits {
    /// For a name of this length.
    pub fn of(len: usize) -> Self {
        let times = len.div_ceil(ORDINARY_NAME).max(1) as u64;
        Limits { statement: MAX_STATEMENT_STEPS * times, lookup: MAX_LOOKUP_STEPS * times }
    }
}

impl Rules {
    /// What [`find`](Rules::find) costs for this name, as the same rules and name always do.
    pub fn cost<'q>(&self, query: impl Into<Query<'q>>) -> Cost {
        let query = query.into();
        let facts = self.facts(query.name);
        let mut lookup = Lookup::new(&facts.name).on(query.today);
        // What is decided is no matter here.
        let _ = self.decide(&facts, &query, &mut lookup);
        Cost { steps: lookup.used(), limit: Limits::of(facts.name.len()).lookup }
    }
}

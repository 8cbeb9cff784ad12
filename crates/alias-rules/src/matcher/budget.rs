//! What a look-up may cost and what it does cost, in steps.
//!
//! A step is a handful of instructions. How long the dearest of them take is measured, not reckoned:
//!
//! ```sh
//! cargo run --release --example worst_case -- 60 rate
//! ```
//!
//! makes up rules and names with which a step takes as long as it can find. On the machine the limits were
//! made on, with other work going on beside it, that was 9 ns.

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
pub(crate) struct Budget {
    pub statement: u64,
    pub lookup: u64,
}

impl Budget {
    /// For a name of this length.
    pub fn of(len: usize) -> Self {
        let times = len.div_ceil(ORDINARY_NAME).max(1) as u64;
        Budget { statement: MAX_STATEMENT_STEPS * times, lookup: MAX_LOOKUP_STEPS * times }
    }
}

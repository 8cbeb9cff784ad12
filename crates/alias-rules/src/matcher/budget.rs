//! The cost of a lookup and its limits, in steps.
//!
//! A step is a few instructions. The duration of the slowest steps is measured: the command
//!
//! ```sh
//! cargo run --release -p alias-rules --example worst_case -- 60 rate
//! ```
//!
//! searches rules and names whose steps take longest. On the machine on which the limits were set, under
//! load, the worst case was 9 ns for a step.

/// Maximum number of steps for one statement and a name of up to [`ORDINARY_NAME`] bytes. At 9 ns for a step,
/// no statement takes longer than 1 ms.
pub const MAX_STATEMENT_STEPS: u64 = 100_000;

/// Maximum number of steps for all statements and a name of up to [`ORDINARY_NAME`] bytes. At 9 ns for a
/// step, no lookup takes longer than 50 ms.
pub const MAX_LOOKUP_STEPS: u64 = 50 * MAX_STATEMENT_STEPS;

/// Length up to which names have the same limits, in bytes. A local part has at most 255 bytes. Longer names
/// arrive by table protocols only; their limits grow in proportion to the length.
pub const ORDINARY_NAME: usize = 320;

/// The cost of a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// The steps taken, until the result or until the limit.
    pub steps: u64,
    /// The maximum number of steps.
    pub limit: u64,
}

/// The step limits of a lookup.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    pub statement: u64,
    pub lookup: u64,
}

impl Budget {
    /// The limits for a name of this length.
    pub fn of(len: usize) -> Self {
        let times = len.div_ceil(ORDINARY_NAME).max(1) as u64;
        Budget { statement: MAX_STATEMENT_STEPS * times, lookup: MAX_LOOKUP_STEPS * times }
    }
}

//! The compiled form of rules: flat and immutable data that the matcher and the tools read.
//!
//! | file | contents |
//! | --- | --- |
//! | `store` | statements, their templates and names, in few allocations |
//! | `call` | compiled calls of functions |
//! | `evaluation_order` | the pieces of an expression that can be matched before the whole code is read |
//! | `scope`, `deliver_to` | the domains of a statement, and the address after `DELIVER TO` |

mod call;
mod deliver_to;
mod evaluation_order;
mod scope;
mod store;

pub use call::NeverMatches;
pub(crate) use call::{CompiledCall, MAX_DIGITS, Op, Target};
pub use deliver_to::MAX_HOPS;
pub(crate) use deliver_to::{DeliverTo, Part};
pub(crate) use evaluation_order::{EvaluationOrder, Side};
use foldhash::fast::FixedState;
pub(crate) use scope::Scope;
pub(crate) use store::{
    Entry, Form, Lengths, MAX_ENTRY, NONE, Piece, Program, Record, Span, Store, Template, Use,
};

/// The hash function of tables of texts.
///
/// The seed is fixed, so a lookup takes the same steps in every run. A sender cannot cause collisions: tables
/// contain names of the operator only, and lookups do not add any.
pub(crate) const HASHER: FixedState = FixedState::with_seed(0);

/// The set of ASCII characters in `text`, as bits.
pub(crate) fn characters(text: &str) -> u128 {
    text.bytes().filter(u8::is_ascii).fold(0, |set, b| set | 1 << b)
}

//! The compiled form of rules: flat, immutable, and known to every part that looks names up.
//!
//! | file | owns |
//! | --- | --- |
//! | `store` | statements, their templates and names, in few allocations |
//! | `call` | a function, with what it looks at |
//! | `evaluation_order` | the parts of an expression that are known before its code is read |
//! | `scope`, `deliver_to` | the domains of a statement, and the address after `DELIVER TO` |

mod call;
mod deliver_to;
mod evaluation_order;
mod scope;
mod store;

pub use call::Never;
pub(crate) use call::{CompiledCall, MAX_DIGITS, Op, Target};
pub use deliver_to::MAX_HOPS;
pub(crate) use deliver_to::{DeliverTo, Part};
pub(crate) use evaluation_order::{EvaluationOrder, Side};
use foldhash::fast::FixedState;
pub(crate) use scope::Scope;
pub(crate) use store::{
    Entry, Form, Lengths, MAX_ENTRY, NONE, Piece, Program, Record, Span, Store, Template, Use,
};

/// How tables of texts hash.
///
/// The seed is the same in every run, so that a look-up takes the same steps. A sender cannot fill a table with
/// colliding texts: tables hold the names of the operator, and a look-up adds nothing to them.
pub(crate) const HASHER: FixedState = FixedState::with_seed(0);

/// The ASCII characters of `text`, as a set.
pub(crate) fn characters(text: &str) -> u128 {
    text.bytes().filter(u8::is_ascii).fold(0, |set, b| set | 1 << b)
}

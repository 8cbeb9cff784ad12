//! How the tables of texts hash.

use foldhash::fast::FixedState;

/// Seeds that are the same in every run, so that a look-up takes the same steps. Nobody can choose texts that
/// meet in one place of a table: what is put in is the operator's own, and to look up a name of somebody else's
/// puts nothing in.
pub(super) const HASHES: FixedState = FixedState::with_seed(0);

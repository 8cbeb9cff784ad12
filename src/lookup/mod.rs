//! Code shared by all look-ups, of accounts and of keys in maps.
//!
//! | module | owns |
//! | --- | --- |
//! | [`control`] | whether a server has proved able to answer "exists" and "not found" |

pub mod control;

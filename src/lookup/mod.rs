//! What all look-ups share, whether they ask for an account or for the value of a key.
//!
//! | module | owns |
//! | --- | --- |
//! | [`control`] | whether a server was shown able to say "yes" and "no" |

pub mod control;

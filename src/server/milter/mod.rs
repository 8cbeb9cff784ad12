//! The milter.
//!
//! [`session`] is the protocol as a pure state machine, [`adapter`] connects it to the milter library, and
//! [`wire`] is the stream of that library. [`guessing`] counts unknown recipients by client, for
//! [`guard`]. [`dsn`] and [`reply`] are parts of the SMTP protocol; `edits`
//! returns the edits of a message.

pub mod adapter;
pub mod dsn;
mod edits;
pub mod guard;
pub mod guessing;
pub mod reply;
pub mod session;
pub mod wire;

//! The milter.
//!
//! [`session`] is the protocol as a pure state machine, [`adapter`] ties it to the library that speaks it,
//! [`wire`] is the stream below that, [`dsn`] and [`reply`] are what goes over it; which edits a message needs is
//! decided by a file of its own.

pub mod adapter;
pub mod dsn;
mod edits;
pub mod reply;
pub mod session;
pub mod wire;

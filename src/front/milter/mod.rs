//! The milter: `session` is the protocol as a pure state machine, `adapter` ties it to indymilter.

pub mod reply;

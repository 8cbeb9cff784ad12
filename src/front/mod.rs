//! The protocols in which a mail server can ask; each has a pure part and a thin adapter.

pub mod endpoint;
pub mod listen;
pub mod milter;

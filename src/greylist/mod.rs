//! Greylisting: whether a client has to try again later.
//!
//! The first attempt to deliver a message from an unknown client, sender and recipient is deferred. Mail servers try
//! again; most programs that send spam do not.

pub mod client;
pub mod decide;
pub mod entry;
mod facts;
pub mod key;
pub mod record;
pub mod sender;
pub mod service;
pub mod text;
pub mod throttle;
pub mod whitelist;

pub use crate::net::spf::SpfResult;
pub use facts::Facts;

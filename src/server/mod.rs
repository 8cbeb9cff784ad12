//! The protocols in which a mail server can ask; each has a pure part and a thin adapter.
//!
//! [`milter`] is one of a kind. The protocols of requests and answers share one accept loop, [`serve`], and the maps
//! in service, [`maps`]; [`tcp_table`] and [`socketmap`] are what remains to say of each. [`metrics`] and
//! [`control`] are for people and their tools, [`tap`] is what they look through.

pub mod accept;
pub mod control;
pub mod endpoint;
pub mod listen;
pub mod maps;
pub mod metrics;
pub mod milter;
pub mod socketmap;
pub mod tcp_table;
pub mod trace;

//! Servers for the protocols in which a mail server sends requests; each has a pure part and a thin
//! adapter.
//!
//! [`milter`] has its own session handling. The request-response protocols, [`tcp_table`], [`socketmap`] and
//! [`policy`], share one accept loop, [`accept`], and the course of a connection, [`conversation`]; the first two
//! serve maps, [`maps`]. [`metrics`] serves
//! monitoring systems, and [`control`] the commands of the operator; [`trace`] is the live view of
//! requests.

pub mod accept;
pub mod control;
pub mod conversation;
pub mod endpoint;
pub mod listen;
pub mod maps;
pub mod metrics;
pub mod milter;
mod open;
pub mod policy;
pub mod socketmap;
pub mod tcp_table;
pub mod trace;

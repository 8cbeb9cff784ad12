//! rcptd answers one question for a mail server: who is this recipient, really?
//!
//! The library exists so that the program, its tests, its benches and its fuzz targets share one code
//! base. No promise is made about its interface, but for [`account::AccountSource`], which is where a
//! site adds a source of its own (see `examples/account_source.rs`).
//!
//! What is pure, and of use without the daemon, is a library of its own, in `crates`: `mail_address`, `diagnostics`,
//! `alias_rules` and `lookup_protocols`.
//!
//! A file imports only from levels below its own; `tests/layering.rs` checks it:
//!
//! | level | folder | owns |
//! | --- | --- | --- |
//! | 0 | [`observe`] | what is logged and counted: one function per event |
//! | 0 | [`net`] | the address of a server, DNS, TLS, connections |
//! | 1 | [`lookup`] | the three-valued result of a look-up, and the wrappers of all sources: timeout, limit, cache, control |
//! | 1 | [`watch`] | files: whether one is being written, whether it has changed since it was read |
//! | 2 | [`map`] | key to value: lists, databases, other servers, and the search that Postfix leaves to a server |
//! | 3 | [`account`] | does this account exist: the sources and what they are combined with |
//! | 4 | [`script`] | the operator's script, before and after the rules; pure, bounded |
//! | 5 | [`resolve`] | rules and accounts make one [`resolve::Outcome`] of a recipient |
//! | 6 | [`server`] | the protocols; each a pure part and a thin adapter |
//! | 7 | [`config`] | what the operator wrote, checked |
//! | 8 | [`daemon`] | build, run, reload, stop |
//! | 8 | [`wiring`] | what Postfix is configured to do, compared with what rcptd does; pure |
//! | 9 | [`cli`] | the commands an operator types |

pub mod account;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod lookup;
pub mod map;
pub mod net;
pub mod observe;
pub mod resolve;
pub mod script;
pub mod server;
pub mod watch;
pub mod wiring;

//! rcptd resolves computed mail aliases for Postfix and Sendmail: a milter, tcp_table(5), socketmap_table(5), and
//! the policy server, which greylists.
//!
//! This library exists so that the program, its tests, benchmarks and fuzz targets share one code base. Its
//! interface may change at any time, except [`account::AccountSource`], the interface of account sources (see
//! `examples/account_source.rs`).
//!
//! The parts that are pure and useful without the daemon are libraries of their own, in `crates`: `alias_rules`,
//! the rule engine; `mail_address`; `lookup_protocols`; `diagnostics`.
//!
//! A file imports only from levels below its own, which `tests/layering.rs` checks:
//!
//! | level | folder | contents |
//! | --- | --- | --- |
//! | 0 | [`observe`] | log and counters, which are passed in: one function for each event |
//! | 1 | [`lookup`] | the three-valued result of a lookup; the wrappers of all sources: timeout, limit, cache, control |
//! | 1 | [`net`] | clients of other servers: DNS, TLS, connections, idle connections, back-off |
//! | 1 | [`watch`] | changes of files, and whether a file is being written |
//! | 2 | [`store`] | texts with an expiry that outlive a restart |
//! | 3 | [`map`] | key to value: lists, databases, other servers, and the searches that Postfix leaves to a server |
//! | 3 | [`plugin`] | programs of the operator that answer questions about addresses |
//! | 4 | [`account`] | whether an account exists: the sources, and how they are combined |
//! | 4 | [`greylist`] | whether a client has to try again later |
//! | 5 | [`script`] | the script or the plug-in of the operator, before and after the rules |
//! | 6 | [`resolve`] | the [`resolve::Outcome`] of a recipient, from rules and accounts |
//! | 7 | [`server`] | the protocols, each with a pure part and a thin adapter |
//! | 8 | [`config`] | the configuration: read and checked |
//! | 9 | [`import`] | the configuration of other programs, converted |
//! | 10 | [`daemon`] | start, reload, stop |
//! | 10 | [`wiring`] | comparison with the configuration of Postfix |
//! | 11 | [`cli`] | the commands |

pub mod account;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod greylist;
pub mod import;
pub mod lookup;
pub mod map;
pub mod net;
pub mod observe;
pub mod plugin;
pub mod resolve;
pub mod script;
pub mod server;
pub mod store;
pub mod watch;
pub mod wiring;

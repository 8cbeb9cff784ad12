//! What every client of another server needs.
//!
//! | module | contents |
//! | --- | --- |
//! | `host` | a server by its host and port, or by its socket |
//! | `dns` | addresses, mail exchangers and services in DNS |
//! | `spf` | whether a domain lets a client send mail for it |
//! | `dnswl` | whether a client is in a list of good ones in DNS |
//! | `cached` | the limits of lookups for each message |
//! | `connect` | a connection to the first address that accepts one |
//! | `tls` | TLS client configuration |
//! | `back_off` | which of several servers is tried first |
//! | `network` | networks of IP addresses |
//! | `line` | numbers and quotes of line protocols |
//! | `idle`, `age` | how long a connection is used |

#[cfg(any(feature = "redis", feature = "sql-postgres", feature = "sql-mysql", feature = "sql-sqlite"))]
pub mod age;
#[cfg_attr(
    not(any(
        test,
        feature = "redis",
        feature = "ldap",
        feature = "sql-postgres",
        feature = "sql-mysql",
        feature = "sql-sqlite"
    )),
    expect(dead_code, reason = "without databases, the reason of a failure is not shared")
)]
pub mod back_off;
mod cached;
pub mod connect;
pub mod dns;
pub mod dnswl;
pub mod host;
pub mod idle;
pub mod line;
pub mod network;
pub mod spf;
#[cfg(test)]
mod testing;
pub mod tls;

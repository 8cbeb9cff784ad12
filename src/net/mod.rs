//! What every client of another server needs: its address, DNS, TLS, and a connection.

pub mod connect;
pub mod dns;
pub mod host;
pub mod idle;
pub mod tls;

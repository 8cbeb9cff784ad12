//! What is known of a recipient that a client wants to deliver to.

use crate::net::spf::SpfResult;
use mail_address::Address;
use std::net::IpAddr;

/// What the mail server says of a recipient, and what was found out about the client.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The address of the client. An IPv4 address is not mapped to IPv6.
    pub client: IpAddr,
    /// The name of the client in canonical spelling, if the name leads back to the address.
    pub client_name: Option<&'a str>,
    /// The name that the address of the client has, which the owner of the address may choose.
    pub reverse_name: Option<&'a str>,
    /// The argument of HELO or EHLO.
    pub helo: &'a str,
    /// The sender; `None` for `MAIL FROM:<>`.
    pub sender: Option<&'a Address>,
    /// The recipient.
    pub recipient: &'a Address,
    /// The result of SPF; `None` if it was not looked up.
    pub spf: Option<SpfResult>,
}

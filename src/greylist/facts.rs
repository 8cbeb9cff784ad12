//! What is known of a recipient that a client wants to deliver to.

use mail_address::Address;
use std::net::IpAddr;

/// What the mail server says of a recipient, and what was found out about the client.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The address of the client. An IPv4 address is not mapped to IPv6.
    pub client: IpAddr,
    /// The name of the client in canonical spelling, if the name leads back to the address.
    pub client_name: Option<&'a str>,
    /// The name that the address of the client has, which whoever owns the address may choose.
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

/// The result of SPF for the client and the sender (RFC 7208, section 2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpfResult {
    /// The domain says that the client may send for it.
    Pass,
    /// The domain says that it may not.
    Fail,
    /// The domain says that it probably may not.
    SoftFail,
    /// The domain says nothing about the client.
    Neutral,
    /// The domain has no SPF record, or there is no domain.
    None,
    /// The record or its lookup failed, or took too long: no result.
    Unknown,
}

impl SpfResult {
    /// The results that a condition may name.
    pub const ALL: [SpfResult; 5] =
        [SpfResult::Pass, SpfResult::Fail, SpfResult::SoftFail, SpfResult::Neutral, SpfResult::None];

    /// The word of RFC 7208, section 2.6.
    pub fn name(self) -> &'static str {
        match self {
            SpfResult::Pass => "pass",
            SpfResult::Fail => "fail",
            SpfResult::SoftFail => "softfail",
            SpfResult::Neutral => "neutral",
            SpfResult::None => "none",
            SpfResult::Unknown => "unknown",
        }
    }
}

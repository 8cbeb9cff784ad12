//! What a request of the policy protocol says. No I/O.

use lookup_protocols::policy::Attributes;
use mail_address::{Address, canonical_domain};
use std::net::IpAddr;

/// When the mail server asks (SMTPD_POLICY_README, `protocol_state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A recipient.
    Rcpt,
    /// The recipient that a client wants to have verified. No mail follows.
    Verify,
    /// After all recipients: the request has a recipient only if there is just one.
    Data,
    /// There is no recipient yet.
    Other,
}

/// A request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// When the mail server asks.
    pub state: State,
    /// The address of the client; `None` if it has none, as mail by sendmail(1).
    pub client: Option<IpAddr>,
    /// The verified name of the client.
    pub client_name: Option<&'a str>,
    /// The name of the client that is not verified.
    pub reverse_name: Option<&'a str>,
    /// The argument of HELO or EHLO.
    pub helo: &'a str,
    /// The sender, as Postfix reads it.
    pub sender: &'a [u8],
    /// The recipient, as Postfix reads it: without quotes, and as typed.
    pub recipient: &'a [u8],
    /// The same for all recipients of a message; empty if unknown.
    pub instance: &'a [u8],
    /// The queue id; `None` before the first accepted recipient.
    pub queue_id: Option<&'a [u8]>,
    /// The name with which the client has logged in; empty if it has not.
    pub login: &'a [u8],
}

/// A request that is none of Postfix, or of another protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAPolicyRequest;

impl<'a> Request<'a> {
    /// Reads the attributes. Those that are not known are ignored, and those that are missing are empty
    /// (SMTPD_POLICY_README).
    pub fn read(attributes: Attributes<'a>) -> Result<Self, NotAPolicyRequest> {
        let mut request = Request {
            state: State::Other,
            client: None,
            client_name: None,
            reverse_name: None,
            helo: "",
            sender: b"",
            recipient: b"",
            instance: b"",
            queue_id: None,
            login: b"",
        };
        let mut is_policy = false;
        for (name, value) in attributes.iter() {
            match name {
                b"request" => is_policy = value == b"smtpd_access_policy",
                b"protocol_state" => request.state = State::named(value),
                b"client_address" => request.client = address(value),
                b"client_name" => request.client_name = host(value),
                b"reverse_client_name" => request.reverse_name = host(value),
                b"helo_name" => request.helo = std::str::from_utf8(value).unwrap_or_default(),
                b"sender" => request.sender = value,
                b"recipient" => request.recipient = value,
                b"instance" => request.instance = value,
                b"queue_id" => request.queue_id = (!value.is_empty()).then_some(value),
                b"sasl_username" => request.login = value,
                _ => (),
            }
        }
        if is_policy { Ok(request) } else { Err(NotAPolicyRequest) }
    }

    /// The sender; `None` for `MAIL FROM:<>`.
    pub fn sender(&self) -> Option<Address> {
        (!self.sender.is_empty()).then(|| unquoted(self.sender))
    }

    /// The recipient; `None` if the request has none.
    pub fn recipient(&self) -> Option<Address> {
        (!self.recipient.is_empty()).then(|| unquoted(self.recipient))
    }
}

impl State {
    fn named(word: &[u8]) -> State {
        match word {
            b"RCPT" => State::Rcpt,
            b"VRFY" => State::Verify,
            b"DATA" | b"END-OF-MESSAGE" => State::Data,
            _ => State::Other,
        }
    }

    /// The word for the log.
    pub fn name(self) -> &'static str {
        match self {
            State::Rcpt => "RCPT",
            State::Verify => "VRFY",
            State::Data => "DATA",
            State::Other => "OTHER",
        }
    }
}

/// An address that Postfix has read, so that its last `@` begins the domain, and nothing in it is quoted. An address
/// that cannot be a mailbox stays as it is.
fn unquoted(text: &[u8]) -> Address {
    let as_is = || Address::from_server(text);
    let Ok(text) = std::str::from_utf8(text) else { return as_is() };
    let Some((local, domain)) = text.rsplit_once('@') else { return as_is() };
    if local.starts_with('"') && local.ends_with('"') && local.len() > 1 {
        return as_is();
    }
    Address::new(local, domain).unwrap_or_else(|_| as_is())
}

/// The address of a client; Postfix writes `unknown` if there is none.
fn address(value: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(value).ok()?;
    Some(text.parse::<IpAddr>().ok()?.to_canonical())
}

/// The name of a host; Postfix writes `unknown` if there is none.
fn host(value: &[u8]) -> Option<&str> {
    let name = std::str::from_utf8(value).ok()?;
    (!name.is_empty() && name != "unknown").then_some(name)
}

/// The canonical spelling of the name of a host.
pub fn spelled(name: Option<&str>) -> Option<String> {
    name.map(|name| canonical_domain(name).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lookup_protocols::policy::{read, write_request};
    use std::net::Ipv4Addr;

    #[test]
    fn attributes_are_read() {
        let mut bytes = Vec::new();
        write_request(
            &mut bytes,
            &[
                ("request", "smtpd_access_policy"),
                ("protocol_state", "RCPT"),
                ("client_address", "::ffff:192.0.2.7"),
                ("client_name", "MX.example.org"),
                ("reverse_client_name", "unknown"),
                ("helo_name", "mx"),
                ("sender", ""),
                ("recipient", "a b@Example.TEST"),
                ("instance", "1.2.0"),
                ("queue_id", ""),
                ("unheard_of", "x"),
            ],
        );
        let (attributes, _) = read(&bytes).unwrap().unwrap();
        let request = Request::read(attributes).unwrap();
        assert_eq!(request.state, State::Rcpt);
        assert_eq!(request.client, Some(Ipv4Addr::new(192, 0, 2, 7).into()));
        assert_eq!(spelled(request.client_name).as_deref(), Some("mx.example.org"));
        assert_eq!((request.reverse_name, request.queue_id), (None, None));
        assert_eq!((request.helo, request.instance, request.login), ("mx", &b"1.2.0"[..], &b""[..]));
        assert!(request.sender().is_none());
        let recipient = request.recipient().unwrap();
        assert_eq!((recipient.local(), recipient.domain()), ("a b", Some("example.test")));
    }

    #[test]
    fn other_requests_are_refused() {
        for (bytes, want) in [
            (&b"request=smtpd_access_policy\n\n"[..], true),
            (b"request=other\n\n", false),
            (b"recipient=a@b\n\n", false),
        ] {
            let (attributes, _) = read(bytes).unwrap().unwrap();
            assert_eq!(Request::read(attributes).is_ok(), want);
        }
    }

    #[test]
    fn addresses_have_no_quotes() {
        for (text, local, domain) in [
            ("alice", "alice", None),
            ("Alice+x@Example.TEST", "Alice+x", Some("example.test")),
            ("a b@example.test", "a b", Some("example.test")),
            ("a@b@example.test", "a@b", Some("example.test")),
            ("\"a b\"@example.test", "a b", Some("example.test")),
            ("a\"b@example.test", "a\"b", Some("example.test")),
            ("grüße@example.test", "grüße", Some("example.test")),
        ] {
            let address = unquoted(text.as_bytes());
            assert_eq!((address.local(), address.domain()), (local, domain), "{text}");
        }
    }
}

//! The protocols with which a mail server is asked whether it has an account. Pure.
//!
//! | type | commands | port |
//! | --- | --- | --- |
//! | `vrfy:` | EHLO, then VRFY for each question (RFC 5321, section 4.1.1.6) | 25 |
//! | `rcpt:` | EHLO, then MAIL, RCPT and RSET for each question | 25 |
//! | `lmtp:` | LHLO (RFC 2033), then as for `rcpt:` | none |
//!
//! No message follows: DATA is never sent. RSET ends the transaction, and if it fails, the connection is
//! closed, which ends it as well. The sender is empty, as in a bounce, so that the server checks no sender.

/// How a server is asked. See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Vrfy,
    Rcpt,
    Lmtp,
}

impl Protocol {
    pub const ALL: [Protocol; 3] = [Protocol::Vrfy, Protocol::Rcpt, Protocol::Lmtp];

    /// The type of source in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Protocol::Vrfy => "vrfy",
            Protocol::Rcpt => "rcpt",
            Protocol::Lmtp => "lmtp",
        }
    }

    /// The port of a server whose port is not configured. LMTP has none, and must not use that of SMTP
    /// (RFC 2033).
    pub const fn port(self) -> Option<u16> {
        match self {
            Protocol::Vrfy | Protocol::Rcpt => Some(25),
            Protocol::Lmtp => None,
        }
    }

    /// The command that begins a session.
    pub const fn hello(self) -> &'static str {
        match self {
            Protocol::Vrfy | Protocol::Rcpt => "EHLO",
            Protocol::Lmtp => "LHLO",
        }
    }

    /// The command that begins a session with a server that does not know [`Protocol::hello`].
    pub const fn old_hello(self) -> Option<&'static str> {
        match self {
            Protocol::Vrfy | Protocol::Rcpt => Some("HELO"),
            Protocol::Lmtp => None,
        }
    }

    /// The question for `path`, an address in brackets, as quoted in reasons.
    pub fn question(self, path: &str) -> String {
        match self {
            Protocol::Vrfy => format!("VRFY {path}"),
            Protocol::Rcpt | Protocol::Lmtp => format!("RCPT TO:{path}"),
        }
    }

    /// The commands of the question for `path`, in order; the reply to the last one is the answer. The
    /// parameter SMTPUTF8 announces an address with other letters than those of ASCII (RFC 6531, sections
    /// 3.4 and 3.7.4.2).
    pub fn commands(self, path: &str) -> Vec<String> {
        let utf8 = if path.is_ascii() { "" } else { " SMTPUTF8" };
        let question = self.question(path);
        match self {
            Protocol::Vrfy => vec![question + utf8],
            Protocol::Rcpt | Protocol::Lmtp => vec![format!("MAIL FROM:<>{utf8}"), question],
        }
    }

    /// Whether a question begins a transaction, which RSET ends.
    pub const fn has_transaction(self) -> bool {
        matches!(self, Protocol::Rcpt | Protocol::Lmtp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announces_utf8_in_the_first_command() {
        for (protocol, path, want) in [
            (Protocol::Vrfy, "<a@b.test>", &["VRFY <a@b.test>"][..]),
            (Protocol::Vrfy, "<ä@b.test>", &["VRFY <ä@b.test> SMTPUTF8"]),
            (Protocol::Rcpt, "<a@b.test>", &["MAIL FROM:<>", "RCPT TO:<a@b.test>"]),
            (Protocol::Rcpt, "<ä@b.test>", &["MAIL FROM:<> SMTPUTF8", "RCPT TO:<ä@b.test>"]),
            (Protocol::Lmtp, "<a@b.test>", &["MAIL FROM:<>", "RCPT TO:<a@b.test>"]),
            (Protocol::Lmtp, "<ä@b.test>", &["MAIL FROM:<> SMTPUTF8", "RCPT TO:<ä@b.test>"]),
        ] {
            assert_eq!(protocol.commands(path), want, "{protocol:?}");
        }
    }
}

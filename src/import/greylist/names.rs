//! Names of other programs, as rcptd has them.

use super::Settings;
use crate::greylist::key::NULL_SENDER;
use crate::greylist::record::MAX_NAME;
use crate::greylist::sender::stable;
use crate::net::network::Network;
use mail_address::Address;
use std::net::{IpAddr, Ipv6Addr};

/// The network of a client as rcptd has it.
///
/// | text | what it is |
/// | --- | --- |
/// | `192.0.2.1`, `2001:db8::1` | an address, or the first one of a network |
/// | `192.0.2.0/24` | a network |
/// | `192.0.2` | the first three octets |
/// | `2001:db8:1:2` | the first four groups |
pub fn client(text: &str, settings: &Settings) -> Option<String> {
    let address = text.split_once('/').map_or(text, |(address, _)| address);
    let whole = || address.parse::<IpAddr>().ok();
    let three = || format!("{address}.0").parse::<IpAddr>().ok();
    let groups = || format!("{}::", address.trim_end_matches(':')).parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    let address = whole().or_else(three).or_else(groups)?;
    if address.is_unspecified() {
        return None;
    }
    Some(Network::around(address, settings.ipv4_prefix, settings.ipv6_prefix).to_string())
}

/// Sender and recipient as they are in a key. The sender may be empty, or `<>`.
pub fn addresses(sender: &str, recipient: &str) -> Option<(String, String)> {
    let recipient = recipient.trim_start_matches('<').trim_end_matches('>');
    let usable = |name: &str| name.len() <= MAX_NAME && !name.contains(char::is_control);
    if recipient.is_empty() || !usable(recipient) || !usable(sender) {
        return None;
    }
    let recipient = Address::from_server(recipient.as_bytes());
    let bare = sender.strip_prefix('<').and_then(|sender| sender.strip_suffix('>')).unwrap_or(sender);
    let sender = if bare.is_empty() {
        NULL_SENDER.to_owned()
    } else {
        stable(&Address::from_server(bare.as_bytes()), &recipient)
    };
    let recipient = recipient.to_string();
    (!sender.is_empty() && sender.len() <= MAX_NAME && recipient.len() <= MAX_NAME)
        .then_some((sender, recipient))
}

/// Splits `SENDER/RECIPIENT`. Both may have a slash: the sender ends at the first one after its `@`, or at the first one
/// if only the recipient has an `@`.
pub fn split(text: &str) -> Option<(&str, &str)> {
    if let Some(recipient) = text.strip_prefix('/') {
        return Some(("", recipient));
    }
    let after_at = text.find('@').and_then(|at| text[at..].find('/').map(|slash| at + slash));
    let slash = after_at.or_else(|| text.find('/'))?;
    Some((&text[..slash], &text[slash + 1..]))
}

/// Two numbers with a comma between them.
pub fn two_numbers(text: &str) -> Option<(u64, u64)> {
    let (one, two) = text.trim().split_once(',')?;
    Some((one.trim().parse().ok()?, two.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::greylist::entry::Times;

    const SETTINGS: Settings = Settings {
        times: Times { delay: 300, window: 172_800, max_age: 3_024_000 },
        ipv4_prefix: 24,
        ipv6_prefix: 64,
        enough: 5,
    };

    #[test]
    fn clients_are_networks() {
        for (text, want) in [
            ("192.0.2.0", Some("192.0.2.0/24")),
            ("192.0.2.17", Some("192.0.2.0/24")),
            ("192.0.2", Some("192.0.2.0/24")),
            ("192.0.2.0/24", Some("192.0.2.0/24")),
            ("2001:db8:1:2:0:0:0:0", Some("2001:db8:1:2::/64")),
            ("2001:db8:1:2:", Some("2001:db8:1:2::/64")),
            ("2001:db8:1:2", Some("2001:db8:1:2::/64")),
            ("2001:db8:1:2::5", Some("2001:db8:1:2::/64")),
            ("::ffff:192.0.2.1", Some("192.0.2.0/24")),
            ("", None),
            ("192.0", None),
            ("0.0.0.0", None),
            ("::", None),
            ("mail.example.org", None),
        ] {
            assert_eq!(client(text, &SETTINGS).as_deref(), want, "{text}");
        }
    }

    #[test]
    fn addresses_are_normalised() {
        for (sender, recipient, want) in [
            ("Bob@Example.org", "foo@example.test", Some(("bob@example.org", "foo@example.test"))),
            ("<bob+x@example.org>", "<foo@example.test>", Some(("bob@example.org", "foo@example.test"))),
            ("", "foo@example.test", Some(("<>", "foo@example.test"))),
            ("<>", "foo@example.test", Some(("<>", "foo@example.test"))),
            ("list-#-x@example.org", "foo", Some(("list-#-x@example.org", "foo"))),
            ("a@b", "", None),
            ("a@b", "<>", None),
            ("a\0@b", "c@d", None),
        ] {
            let got = addresses(sender, recipient);
            let got = got.as_ref().map(|(sender, recipient)| (&**sender, &**recipient));
            assert_eq!(got, want, "{sender} {recipient}");
        }
        assert_eq!(addresses(&"a".repeat(MAX_NAME + 1), "c@d"), None);
    }

    #[test]
    fn slashes_are_found() {
        for (text, want) in [
            ("a@b/c@d", Some(("a@b", "c@d"))),
            ("/c@d", Some(("", "c@d"))),
            ("/c/x@d", Some(("", "c/x@d"))),
            ("a/b@x/c/d@y", Some(("a/b@x", "c/d@y"))),
            ("a/c@d", Some(("a", "c@d"))),
            ("a@b", None),
            ("", None),
        ] {
            assert_eq!(split(text), want, "{text}");
        }
    }
}

//! The part of a sender address that stays the same from message to message.
//!
//! Many senders have a new address for each message or each recipient: tags of BATV, forwarders with SRS, mailing
//! lists that encode the recipient or a number (VERP). With the whole address each message would be a new one.

use mail_address::{Address, fold};
use std::borrow::Cow;

/// Letters of an address that are tags if they are mixed with digits, and at least this many: message numbers in base
/// 16, 32 or 36. Names of people with a year are shorter.
const TAG: usize = 10;
/// Length of a UUID.
const UUID: usize = 36;
/// Digits that a tag has at least.
const TAG_DIGITS: usize = 3;

/// Returns the stable part of a sender, in lower case. `recipient` is removed from it.
///
/// | sender | stable part |
/// | --- | --- |
/// | `prvs=1234abcdef=bob@example.org` (BATV) | `bob@example.org` |
/// | `SRS0=HHHH=TT=example.org=bob@forward.example` | `srs0=example.org=bob@forward.example` |
/// | `list-return-812-foo=example.com@lists.example` (VERP, to foo@example.com) | `list-return-#-*@lists.example` |
/// | `bob+extension@example.org` | `bob@example.org` |
/// | `bounce-0102018b5c2d3e4f-9@example.org` | `bounce-#-#@example.org` |
pub fn stable(sender: &Address, recipient: &Address) -> String {
    let local = fold(sender.local());
    let domain = sender.domain().unwrap_or_default();
    let local = without_batv(&local);
    let local = match without_srs(local) {
        Some(local) => Cow::Owned(local),
        None => without_recipient(local, recipient),
    };
    let local = without_extension(&local);
    let mut stable = without_numbers(local);
    if !domain.is_empty() {
        stable.push('@');
        stable.push_str(domain);
    }
    stable
}

/// Removes the tag of BATV (draft-levine-smtp-batv): `prvs=TAG=local`; some servers write `prvs=local/TAG`, and
/// `btv1==TAG==local`.
fn without_batv(local: &str) -> &str {
    if let Some(rest) = local.strip_prefix("btv1==") {
        return rest.split_once("==").map_or(local, |(_, name)| name);
    }
    let Some(rest) = local.strip_prefix("prvs=") else { return local };
    let is_tag = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric());
    match (rest.split_once('='), rest.rsplit_once('/')) {
        (Some((tag, name)), _) if is_tag(tag) && !name.is_empty() => name,
        (_, Some((name, tag))) if is_tag(tag) && !name.is_empty() => name,
        _ => local,
    }
}

/// Removes the hash and the time of SRS, which change from day to day: `srs0=HASH=TIME=domain=local`,
/// `srs1=HASH=forwarder==HASH=TIME=domain=local`. The separator after the first word may be `+` or `-`, too.
fn without_srs(local: &str) -> Option<String> {
    let separated = |word: &str| local.strip_prefix(word).and_then(|rest| rest.strip_prefix(['=', '+', '-']));
    if let Some(rest) = separated("srs0") {
        let mut parts = rest.splitn(3, '=');
        let (_hash, _time) = (parts.next()?, parts.next()?);
        return Some(format!("srs0={}", parts.next()?));
    }
    let (_hash, rest) = separated("srs1")?.split_once('=')?;
    let (forwarder, rest) = rest.split_once(['=', '+', '-'])?;
    let rest = rest.strip_prefix(['=', '+', '-']).unwrap_or(rest);
    let mut parts = rest.splitn(3, '=');
    let (_hash, _time) = (parts.next()?, parts.next()?);
    Some(format!("srs1={forwarder}={}", parts.next()?))
}

/// Replaces the recipient, as VERP encodes it, by `*`: `local=domain`, or `local#domain` as some lists write.
fn without_recipient<'l>(local: &'l str, recipient: &Address) -> Cow<'l, str> {
    let Some(domain) = recipient.domain() else { return local.into() };
    let name = fold(recipient.local());
    if name.is_empty() {
        return local.into();
    }
    for separator in ["=", "#", "%", "_at_"] {
        let encoded = [&*name, separator, domain].concat();
        if let Some(at) = local.find(&encoded) {
            return [&local[..at], "*", &local[at + encoded.len()..]].concat().into();
        }
    }
    local.into()
}

/// Removes what follows the first `+`, which mail systems use for extensions, and mailing lists for VERP.
fn without_extension(local: &str) -> &str {
    match local.split_once('+') {
        Some((name, _)) if !name.is_empty() => name,
        _ => local,
    }
}

/// Replaces each UUID (RFC 9562, section 4), and each word that is a number or a tag, by `#`. A word consists of letters
/// and digits.
fn without_numbers(local: &str) -> String {
    let mut stable = String::with_capacity(local.len());
    let mut rest = local;
    while let Some(c) = rest.chars().next() {
        if rest.as_bytes().get(..UUID).is_some_and(is_uuid) {
            stable.push('#');
            rest = &rest[UUID..];
            continue;
        }
        let end = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
        if end == 0 {
            stable.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        }
        let word = &rest[..end];
        stable.push_str(if is_number_or_tag(word) { "#" } else { word });
        rest = &rest[end..];
    }
    stable
}

fn is_uuid(text: &[u8]) -> bool {
    text.iter().enumerate().all(|(at, b)| match at {
        8 | 13 | 18 | 23 => *b == b'-',
        _ => b.is_ascii_hexdigit(),
    })
}

fn is_number_or_tag(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    digits == word.len() || (word.len() >= TAG && digits >= TAG_DIGITS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address(text: &str) -> Address {
        Address::from_server(text.as_bytes())
    }

    #[test]
    fn tags_and_numbers_are_removed() {
        for (sender, want) in [
            ("bob@example.org", "bob@example.org"),
            ("Bob@Example.ORG", "bob@example.org"),
            ("bob", "bob"),
            ("a@b@c", "a@b@c"),
            // Extensions.
            ("bob+x@example.org", "bob@example.org"),
            ("+x@example.org", "+x@example.org"),
            ("bounces+foo=example.com@lists.example", "bounces@lists.example"),
            // BATV.
            ("prvs=1234abcdef=bob@example.org", "bob@example.org"),
            ("PRVS=1234ABCDEF=bob+x@example.org", "bob@example.org"),
            ("prvs=bob/1234abcdef@example.org", "bob@example.org"),
            ("btv1==0639e4c1e1b==bob@example.org", "bob@example.org"),
            ("prvs=bob@example.org", "prvs=bob@example.org"),
            ("prvs==bob@example.org", "prvs==bob@example.org"),
            ("prvs=1234=@example.org", "prvs=#=@example.org"),
            // SRS.
            ("SRS0=ab1C=4f=example.org=bob@fwd.example", "srs0=example.org=bob@fwd.example"),
            ("SRS0=Zz9+=5G=example.org=bob@fwd.example", "srs0=example.org=bob@fwd.example"),
            ("SRS0+ab1C=4f=example.org=bob@fwd.example", "srs0=example.org=bob@fwd.example"),
            (
                "SRS1=xY2z=fwd.example==ab1C=4f=example.org=bob@other.example",
                "srs1=fwd.example=example.org=bob@other.example",
            ),
            ("srs0=x@fwd.example", "srs0=x@fwd.example"),
            ("srs1=x@fwd.example", "srs1=x@fwd.example"),
            // VERP.
            ("list-return-812-foo=example.com@lists.example", "list-return-#-*@lists.example"),
            ("bounce-FOO=example.com-77@lists.example", "bounce-*-#@lists.example"),
            ("bounce-bar=example.com@lists.example", "bounce-bar=example.com@lists.example"),
            // Numbers and tags.
            ("bounce-0102018b5c2d3e4f-9@example.org", "bounce-#-#@example.org"),
            ("user.2024.11@example.org", "user.#.#@example.org"),
            ("mary1985@example.org", "mary1985@example.org"),
            ("12345@qq.example", "#@qq.example"),
            (
                "0100018c3d1e4f2a-0a1b2c3d-abcd-4bcd-9b7c-0a1b2c3d4e5f-000000@mail.example",
                "#-#-#@mail.example",
            ),
            ("jean.françois@example.org", "jean.françois@example.org"),
        ] {
            assert_eq!(stable(&address(sender), &address("foo@example.com")), want, "{sender}");
        }
    }

    proptest! {
        #[test]
        fn any_sender_has_a_stable_part(sender: Vec<u8>, recipient: Vec<u8>) {
            let recipient = Address::from_server(&recipient);
            let once = stable(&Address::from_server(&sender), &recipient);
            prop_assert!(once.len() <= sender.len().max(8) * 3 + 8);
        }

        #[test]
        fn numbers_do_not_matter(a in 0_u64.., b in 0_u64..) {
            let of = |n: u64| stable(&address(&format!("bounce-{n}-x@example.org")), &address("foo@example.com"));
            prop_assert_eq!(of(a), of(b));
        }
    }
}

//! What a reply to VRFY means. Pure.
//!
//! | reply | meaning |
//! | --- | --- |
//! | 250, 251 | the account exists |
//! | 252 | perhaps: Postfix says so for every address it would not reject, others for all |
//! | 550, 551, 553 with an enhanced code 5.1.x, or with none | the account is missing |
//! | everything else | the server cannot say |
//!
//! Two kinds of refusal among the 55x are not about the account, and so say nothing: the enhanced codes
//! 5.1.7 and 5.1.8, which are about a sender (RFC 3463, section 3.2), and replies without an enhanced code
//! whose text clearly forbids the question (see [`FORBIDS`]), the asked address left out of account: one
//! `disabled-user@relay.example` may be as missing as any other.

/// Longest text of a reply that is quoted in a reason.
const MAX_QUOTED: usize = 300;

/// What Exim, which has no enhanced codes, and its like say when an access rule forbids the question; the
/// same 550 as for an account that does not exist.
///
/// Each is of several words. One word would be found in the names that servers quote, and "not allowed" is
/// no prohibition in the text of 553 in RFC 5321, "mailbox name not allowed".
const FORBIDS: &[&str] = &[
    "administrative prohibition",
    "administratively prohibited",
    "access denied",
    "permission denied",
    "authentication required",
    "command rejected",
    "command disabled",
    "command is disabled",
    "command not allowed",
    "command not permitted",
    "not allowed to",
    "not permitted to",
    "vrfy disabled",
    "vrfy is disabled",
    "vrfy not",
    "vrfy is not",
    "verification not",
    "relay not permitted",
    "relay not allowed",
    "relay denied",
    "relay prohibited",
    "relaying not permitted",
    "relaying not allowed",
    "relaying denied",
    "relaying prohibited",
    "unable to relay",
    "do not relay",
    "not relay for",
    "allowed rcpthosts",
];

/// A reply: its code and its lines, joined by blanks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub code: u16,
    pub text: String,
}

/// What a reply says about an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Exists,
    Missing,
    /// "Cannot VRFY user, but will accept message and attempt delivery" (RFC 5321, section 3.5.3).
    Perhaps,
    CannotSay,
}

impl Reply {
    /// What it says about the account of `path`, which was asked.
    pub fn meaning(&self, path: &str) -> Meaning {
        match self.code {
            250 | 251 => Meaning::Exists,
            252 => Meaning::Perhaps,
            550 | 551 | 553 => match self.enhanced() {
                Some([5, 1, 7 | 8]) => Meaning::CannotSay,
                Some([5, 1, _]) => Meaning::Missing,
                Some(_) => Meaning::CannotSay,
                None if self.forbids(path) => Meaning::CannotSay,
                None => Meaning::Missing,
            },
            _ => Meaning::CannotSay,
        }
    }

    /// Code and text, as a server says them, for a reason.
    pub fn quoted(&self) -> String {
        format!("{} {}", self.code, quoted(&self.text))
    }

    /// The enhanced status code at the beginning (RFC 2034, section 4), also one in the punctuation that
    /// some products put round it, or at the end as qmail writes it, `(#5.1.1)`.
    fn enhanced(&self) -> Option<[u16; 3]> {
        let mut words = self.text.split_whitespace();
        let first = words.next()?;
        let last = words.next_back().filter(|word| word.starts_with("(#") && word.ends_with(')'));
        enhanced(first).or_else(|| enhanced(last?))
    }

    fn forbids(&self, path: &str) -> bool {
        let text = unquoted(&self.text.to_ascii_lowercase(), &path.to_ascii_lowercase());
        FORBIDS.iter().any(|phrase| text.contains(phrase))
    }
}

/// The enhanced status code that a word is, punctuation apart.
fn enhanced(word: &str) -> Option<[u16; 3]> {
    let mut parts = word.trim_matches(|c: char| !c.is_ascii_digit()).split('.').map(|part| part.parse().ok());
    let code = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(code)
}

/// `text` without what stands in angle brackets and without the address of `path`, in brackets or not.
///
/// Brackets stay in the place of each, so that what stood before and behind does not become a phrase. A local
/// part alone goes only if it holds a phrase, which takes a quoted one: else the account `relay` would make
/// of "relay not permitted" that it is missing. No domain has a blank, and so none holds a phrase.
fn unquoted(text: &str, path: &str) -> String {
    let address = path.trim_matches(['<', '>']);
    let text = if address.is_empty() { text.into() } else { text.replace(address, "<>") };
    let (mut left, mut rest) = (String::with_capacity(text.len()), &*text);
    while let Some((before, behind)) = rest.split_once('<') {
        left.push_str(before);
        left.push_str("<>");
        // What is not closed is no address.
        rest = behind.split_once('>').map_or(behind, |(_, behind)| behind);
    }
    left.push_str(rest);
    let local = address.rsplit_once('@').map_or(address, |(local, _)| local).trim_matches('"');
    if FORBIDS.iter().any(|phrase| local.contains(phrase)) {
        left = left.replace(local, "<>");
    }
    left
}

/// The text of a reply for a reason, shortened.
pub(super) fn quoted(text: &str) -> String {
    let text = text.trim_end();
    // A character boundary, and so within the text.
    let end = text.floor_char_boundary(MAX_QUOTED);
    let more = if end < text.len() { "…" } else { "" };
    format!("{}{more}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::Meaning::{CannotSay, Exists, Missing, Perhaps};
    use super::*;

    #[test]
    fn meanings() {
        for (code, text, want) in [
            // Postfix
            (252, "2.0.0 alice", Perhaps),
            (
                550,
                "5.1.1 <bogus@example.test>: Recipient address rejected: User unknown in local recipient \
                   table",
                Missing,
            ),
            (
                450,
                "4.1.1 <bogus>: Recipient address rejected: User unknown in local recipient table",
                CannotSay,
            ),
            (451, "4.3.0 <alice>: Temporary lookup failure", CannotSay),
            (454, "4.7.1 <x@remote.test>: Relay access denied", CannotSay),
            (554, "5.7.1 <alice>: Recipient address rejected: Access denied", CannotSay),
            (554, "5.7.1 <client>: Client host rejected: Access denied", CannotSay),
            (501, "5.1.3 Bad recipient address syntax", CannotSay),
            (502, "5.5.1 VRFY command is disabled", CannotSay),
            (421, "4.7.0 mx.example.test Error: too many errors", CannotSay),
            // Sendmail
            (250, "2.1.5 <alice@mx.example.test>", Exists),
            (550, "5.1.1 bogus... User unknown", Missing),
            (252, "2.1.5 <x@remote.test>", Perhaps),
            (252, "2.5.2 Cannot VRFY user; try RCPT to attempt delivery (or try finger)", Perhaps),
            (553, "5.1.3 <a b>... Invalid route address", Missing),
            (553, "5.0.0 unbalanced", CannotSay),
            (503, "5.0.0 I demand that you introduce yourself first", CannotSay),
            // Exim
            (250, "<alice@example.test> is deliverable", Exists),
            (550, "<bogus@example.test> Unknown user", Missing),
            (252, "Administrative prohibition", Perhaps),
            (550, "Administrative prohibition", CannotSay),
            (550, "relay not permitted", CannotSay),
            (451, "Cannot resolve <alice@example.test> at this time", CannotSay),
            (554, "Too many nonmail commands", CannotSay),
            // OpenSMTPD
            (500, "5.5.1 Invalid command: Command unrecognized", CannotSay),
            (550, "Invalid recipient: <bogus@example.test>", Missing),
            // Dovecot
            (252, "2.3.3 Try RCPT instead", Perhaps),
            (550, "5.1.1 <bogus@example.test> User doesn't exist: bogus", Missing),
            // others
            (251, "User not local; will forward to <foo@other.test>", Exists),
            (551, "User not local; please try <foo@other.test>", Missing),
            (551, "5.7.1 not for you", CannotSay),
            (550, "5.7.1 Command rejected", CannotSay),
            (550, "5.1.2 no such system", Missing),
            (550, "5.1.10 null MX", Missing),
            (550, "5.1.7 bad sender", CannotSay),
            (550, "5.1.8 sender's domain does not exist", CannotSay),
            (550, "#5.1.1 no such user", Missing),
            (550, "#5.7.1 blocked", CannotSay),
            (550, "[5.1.1]: no such user", Missing),
            (550, "4.1.1 contradicts its code", CannotSay),
            (550, "5.1.1.1 is not an enhanced code", Missing),
            (550, "", Missing),
            (552, "5.2.2 mailbox full", CannotSay),
            (556, "5.1.10 null MX", CannotSay),
            (200, "ok", CannotSay),
            (299, "ok", CannotSay),
            (354, "go ahead", CannotSay),
        ] {
            let reply = Reply { code, text: text.into() };
            assert_eq!(reply.meaning("<bogus@example.test>"), want, "{code} {text}");
        }
    }

    #[test]
    fn the_asked_address_forbids_nothing() {
        for (path, code, text, want) in [
            // Exim
            ("<nobody@relay.test>", 550, "<nobody@relay.test> Unknown user", Missing),
            ("<disabled-user@a.test>", 550, "<disabled-user@a.test> Unknown user", Missing),
            ("<disabled-user@a.test>", 550, "Unknown user disabled-user@a.test", Missing),
            ("<disabled-user@a.test>", 550, "disabled-user: Unrouteable address", Missing),
            ("<relay@a.test>", 550, "relay not permitted", CannotSay),
            ("<access@a.test>", 550, "<access@a.test> access denied", CannotSay),
            ("<bogus@a.test>", 550, "relay not permitted to <bogus@a.test>", CannotSay),
            ("<bogus@a.test>", 550, "Administrative prohibition", CannotSay),
            ("<bogus@a.test>", 550, "Relaying denied", CannotSay),
            // OpenSMTPD
            ("<relay@a.test>", 550, "Invalid recipient: <relay@a.test>", Missing),
            ("<x@not.allowed.test>", 550, "Invalid recipient: <X@not.allowed.test>", Missing),
            ("<bogus@a.test>", 550, "Command rejected", CannotSay),
            // Postfix with soft codes rewritten by a filter that drops enhanced ones
            ("<relay@a.test>", 550, "<relay@a.test>: Recipient address rejected: User unknown", Missing),
            ("<bogus@a.test>", 550, "<bogus@a.test>: Relay access denied", CannotSay),
            ("<bogus@a.test>", 550, "<bogus@a.test>: Recipient address rejected: Access denied", CannotSay),
            // qmail
            ("<bogus@a.test>", 550, "sorry, no mailbox here by that name (#5.1.1)", Missing),
            ("<bogus@a.test>", 550, "sorry, no mailbox here by that name", Missing),
            (
                "<bogus@a.test>",
                553,
                "sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)",
                CannotSay,
            ),
            ("<bogus@a.test>", 553, "sorry, that domain isn't in my list of allowed rcpthosts", CannotSay),
            ("<bogus@a.test>", 252, "send some mail, i'll try my best", Perhaps),
            // RFC 5321, section 4.2.2
            ("<bogus@a.test>", 553, "Requested action not taken: mailbox name not allowed", Missing),
            // Phrases in names, whole and in halves
            ("<\"access denied\"@a.test>", 550, "\"Access Denied\"@a.test unknown", Missing),
            ("<\"access denied\"@a.test>", 550, "no user access denied here", Missing),
            ("<\"access denied\"@a.test>", 550, "access denied: permission denied", CannotSay),
            ("<bogus@a.test>", 550, "no access <bogus@a.test> denied", Missing),
            ("<bogus@a.test>", 550, "<bogus access denied", CannotSay),
            ("<\"a>access denied\"@a.test>", 550, "<\"a>access denied\"@a.test> unknown", Missing),
            ("<>", 550, "access denied", CannotSay),
        ] {
            let reply = Reply { code, text: text.into() };
            assert_eq!(reply.meaning(path), want, "{path} {code} {text}");
        }
        assert!(FORBIDS.iter().all(|phrase| phrase.contains(' ') && !phrase.contains(char::is_uppercase)));
    }

    #[test]
    fn quotes_are_short() {
        let reply = Reply { code: 550, text: "ü".repeat(1000) };
        assert_eq!(reply.quoted(), format!("550 {}…", "ü".repeat(150)));
        assert_eq!(Reply { code: 550, text: "no".into() }.quoted(), "550 no");
    }
}

//! The meaning of a reply to VRFY or RCPT. Pure.
//!
//! The code decides. The text is used for one purpose only: it may turn a rejection into a temporary failure,
//! never the other way round.
//!
//! | reply | meaning | reason |
//! | --- | --- | --- |
//! | 250, 251 | exists | RFC 5321, section 3.5.3 |
//! | 252 to VRFY | perhaps | Postfix sends it for every address that it would not reject, other servers for all |
//! | 252 to RCPT | exists | the server accepts the recipient; the code says nothing more (RFC 5321, section 4.3.2 lists only 250 and 251) |
//! | 550 5.1.1 | not found | "bad destination mailbox address" is about the account and nothing else (RFC 3463, 3.2) |
//! | 550 without enhanced code, a `KNOWN` phrase | not found | Exim, OpenSMTPD and older servers |
//! | the same two, with a word that may be about something else (`ELSEWHERE`) | refused | `550 5.1.1 LDAP server down` |
//! | 550 without enhanced code, no text or another | refused | ambiguous; it is "not found" if the server sends the same text for an account that does not exist |
//! | the same four, with a phrase that makes it doubtful (`DOUBTS`) | temporary failure | `550 Database error`, `550 Please try again later`; a mailing list exists (RFC 5321, section 3.5.2) |
//! | 550 with different enhanced codes | temporary failure | contradicts itself |
//! | 550 5.1.0, 5.1.2, 5.1.3, 5.1.10 | temporary failure | about the domain or the syntax: an account that exists may forward to a host that does not |
//! | 550 5.1.4 | temporary failure | ambiguous: several accounts match |
//! | 550 5.1.5, 4.x.x | temporary failure | contradicts itself |
//! | 550 5.1.6 | temporary failure | moved: a mailbox that is being moved between two servers will soon exist again |
//! | 550 5.1.7, 5.1.8, 5.1.9 | temporary failure | about the sender |
//! | 550 5.2.x | temporary failure | the mailbox exists: it is full, disabled, or a mailing list (5.2.4) |
//! | 550 5.3.x, 5.4.x, 5.5.x, 5.6.x, 5.7.x | temporary failure | about the server, the network, the protocol, the content, the policy |
//! | 551 5.1.1, 553 5.1.1 to RCPT | as 550 5.1.1 | the enhanced code is about the account, and mail for it is rejected |
//! | other 551 | temporary failure | the account exists elsewhere (RFC 5321, section 3.4) |
//! | other 553 | temporary failure | ambiguous, or a matter of syntax (RFC 5321, sections 3.5.1 and 4.2.3; Domino: a name that is not unique) |
//! | 552 | temporary failure | the mailbox is full, so it exists; but a server may reply so for other reasons |
//! | everything else | temporary failure | failure or greylisting (4xx), VRFY not supported (500 to 504), no mail here (521), authentication (530, 535), policy (554) |

use super::protocol::Protocol;
use super::words::{DOUBTS, ELSEWHERE, KNOWN, has_any, without_address, without_local_part, without_tables};

/// Maximum length of the reply text quoted in a reason.
const MAX_QUOTED: usize = 300;

/// A reply: its code and the texts of its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub code: u16,
    pub lines: Vec<String>,
}

/// The class of a reply: its meaning for an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReplyClass {
    Exists,
    /// "Cannot VRFY user, but will accept message and attempt delivery" (RFC 5321, section 3.5.3).
    Perhaps,
    NotFound,
    /// Not found, if the server sends the same text for an account that does not exist.
    Refused,
    TempFail,
}

impl Reply {
    /// The texts of its lines, joined by spaces.
    pub fn text(&self) -> String {
        self.lines.join(" ")
    }

    /// The class for the account of `path`, an address in brackets.
    pub fn class(&self, protocol: Protocol, path: &str) -> ReplyClass {
        let text = self.text();
        match (self.code, protocol) {
            (252, Protocol::Vrfy) => return ReplyClass::Perhaps,
            (250..=252, _) => return ReplyClass::Exists,
            (550, _) => (),
            (551 | 553, Protocol::Rcpt | Protocol::Lmtp) if enhanced_codes(&text).next().is_some() => (),
            _ => return ReplyClass::TempFail,
        }
        let mut coded = false;
        for code in enhanced_codes(&text) {
            if code != [5, 1, 1] {
                return ReplyClass::TempFail;
            }
            coded = true;
        }
        let left = without_address(&text, path);
        let bare = without_local_part(&left, path);
        // The local part is removed first: for the account `unknown`, "user unknown is locked" does not mean
        // "not found", and for the account `error`, "error: unknown user" is not doubtful.
        if coded || has_any(&bare, KNOWN) {
            if has_any(&bare, DOUBTS) {
                ReplyClass::TempFail
            } else if has_any(&without_tables(&bare), ELSEWHERE) {
                ReplyClass::Refused
            } else {
                ReplyClass::NotFound
            }
        } else if has_any(&left, DOUBTS) || has_any(&left, ELSEWHERE) {
            ReplyClass::TempFail
        } else {
            ReplyClass::Refused
        }
    }

    /// The text without the address that was sent: the wording of this server for such accounts.
    pub fn wording(&self, path: &str) -> String {
        without_local_part(&without_address(&self.text(), path), path)
    }

    /// Whether this reply about `path` has the same wording as `other` about `other_path`. The local part may
    /// occur as a word of either.
    pub fn is_worded_like(&self, path: &str, other: &Reply, other_path: &str) -> bool {
        let others = without_local_part(&other.wording(other_path), path);
        self.code == other.code && self.wording(path) == others
    }

    /// Code and text as the server sent them, truncated, for a reason.
    pub fn quoted(&self) -> String {
        let text = self.text();
        let text = text.trim_end();
        // Rounds down to a character boundary.
        let end = text.floor_char_boundary(MAX_QUOTED);
        let more = if end < text.len() { "…" } else { "" };
        let blank = if text.is_empty() { "" } else { " " };
        format!("{}{blank}{}{more}", self.code, &text[..end])
    }

    /// Whether a reply to EHLO lists this extension. The first line has the name of the server.
    pub fn offers(&self, extension: &str) -> bool {
        let keyword = |line: &String| line.split_ascii_whitespace().next().map(str::to_ascii_uppercase);
        self.lines.iter().skip(1).filter_map(keyword).any(|keyword| keyword == extension)
    }
}

/// The enhanced status codes of a text. They may be at the beginning (RFC 2034, section 4), at the beginning
/// of each line, or within the text, such as the `(#5.1.1)` of qmail.
fn enhanced_codes(text: &str) -> impl Iterator<Item = [u16; 3]> {
    text.split_whitespace().filter_map(enhanced_code)
}

/// Parses a word as an enhanced status code (RFC 3463, section 2), ignoring punctuation around it.
pub(super) fn enhanced_code(word: &str) -> Option<[u16; 3]> {
    // A word with such a character is an address.
    if word.contains(['<', '@']) {
        return None;
    }
    let word = word.trim_matches(|c: char| !c.is_ascii_digit());
    let mut parts = word.split('.').map(|part| part.parse().ok().filter(|_| part.len() <= 3));
    let code = [parts.next()??, parts.next()??, parts.next()??];
    (parts.next().is_none() && matches!(code[0], 2 | 4 | 5)).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::ReplyClass::{Exists, NotFound, Perhaps, Refused, TempFail};
    use super::*;

    fn reply(code: u16, text: &str) -> Reply {
        Reply { code, lines: text.split('\n').map(Into::into).collect() }
    }

    #[test]
    #[allow(clippy::too_many_lines, reason = "a table")]
    fn interprets_replies_of_mail_servers() {
        for (code, text, want) in [
            // Postfix
            (252, "2.0.0 alice", Perhaps),
            (
                550,
                "5.1.1 <bogus@a.test>: Recipient address rejected: User unknown in local recipient table",
                NotFound,
            ),
            (
                550,
                "5.1.1 <bogus@a.test>: Recipient address rejected: User unknown in relay recipient table",
                NotFound,
            ),
            (550, "5.1.1 <bogus@a.test>: Recipient address rejected: User temporarily unknown", TempFail),
            (
                450,
                "4.1.1 <bogus>: Recipient address rejected: User unknown in local recipient table",
                TempFail,
            ),
            (451, "4.3.0 <alice>: Temporary lookup failure", TempFail),
            (454, "4.7.1 <x@remote.test>: Relay access denied", TempFail),
            (554, "5.7.1 <alice>: Recipient address rejected: Access denied", TempFail),
            (554, "5.7.1 <client>: Client host rejected: Access denied", TempFail),
            (501, "5.1.3 Bad recipient address syntax", TempFail),
            (502, "5.5.1 VRFY command is disabled", TempFail),
            (421, "4.7.0 mx.example.test Error: too many errors", TempFail),
            (550, "<bogus@a.test>: Recipient address rejected: User unknown", NotFound),
            (550, "<bogus@a.test>: Relay access denied", TempFail),
            (550, "<bogus@a.test>: Recipient address rejected: Access denied", TempFail),
            // Sendmail
            (250, "2.1.5 <alice@mx.example.test>", Exists),
            (550, "5.1.1 bogus... User unknown", NotFound),
            (550, "bogus... User unknown", NotFound),
            (
                550,
                "5.1.2 <x@nowhere.test>... Host unknown (Name server: nowhere.test: host not found)",
                TempFail,
            ),
            (252, "2.1.5 <x@remote.test>", Perhaps),
            (252, "2.5.2 Cannot VRFY user; try RCPT to attempt delivery (or try finger)", Perhaps),
            (553, "5.1.3 <a b>... Invalid route address", TempFail),
            (553, "5.0.0 unbalanced", TempFail),
            (503, "5.0.0 I demand that you introduce yourself first", TempFail),
            // Exim
            (250, "<alice@example.test> is deliverable", Exists),
            (550, "<bogus@a.test> Unknown user", NotFound),
            (550, "Unrouteable address", NotFound),
            (252, "Administrative prohibition", Perhaps),
            (550, "Administrative prohibition", TempFail),
            (550, "relay not permitted", TempFail),
            (451, "Cannot resolve <alice@example.test> at this time", TempFail),
            (554, "Too many nonmail commands", TempFail),
            // OpenSMTPD
            (500, "5.5.1 Invalid command: Command unrecognized", TempFail),
            (550, "Invalid recipient: <bogus@a.test>", NotFound),
            // Dovecot
            (252, "2.3.3 Try RCPT instead", Perhaps),
            (550, "5.1.1 <bogus@a.test> User doesn't exist: bogus", NotFound),
            // qmail
            (550, "sorry, no mailbox here by that name (#5.1.1)", NotFound),
            (550, "sorry, no mailbox here by that name", NotFound),
            (553, "sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)", TempFail),
            (252, "send some mail, i'll try my best", Perhaps),
            // Google
            (
                550,
                "5.1.1 The email account that you tried to reach does not exist. Please try\n5.1.1 double-checking the \
                 recipient's email address for typos or\n5.1.1 unnecessary spaces.",
                NotFound,
            ),
            // RFC 5321, sections 3.4, 3.5 and 4.2.2
            (251, "User not local; will forward to <foo@other.test>", Exists),
            (551, "User not local; please try <foo@other.test>", TempFail),
            (553, "User ambiguous", TempFail),
            (
                553,
                "Ambiguous; Possibilities are\nJoe Smith <jsmith@a.test>\nHarry Smith <hsmith@a.test>",
                TempFail,
            ),
            (550, "That is a mailing list, not a user", TempFail),
            (550, "5.1.1 That is a mailing list, not a user", TempFail),
            (550, "String does not match anything.", Refused),
            (550, "Requested action not taken: mailbox unavailable", Refused),
            (550, "Access Denied to You", TempFail),
            (553, "Requested action not taken: mailbox name not allowed", TempFail),
            // temporary failures and faults
            (550, "Please try again later", TempFail),
            (550, "5.1.1 Please try again later", TempFail),
            (550, "User unknown, try later", TempFail),
            (550, "Database error", TempFail),
            (550, "Cannot connect to LDAP server", TempFail),
            (550, "internal error: user not found", TempFail),
            (550, "Lookup failed", TempFail),
            (550, "Greylisted, come back in 5 minutes", TempFail),
            (550, "Mailbox temporarily unavailable", TempFail),
            (550, "5.1.1 Mailbox temporarily disabled", TempFail),
            (550, "Service unavailable", TempFail),
            (550, "Too many connections", TempFail),
            (550, "mailbox full", TempFail),
            (550, "Error: no such user", NotFound),
            // other wording, other languages, no text
            (550, "Benutzer unbekannt", Refused),
            (550, "J\u{fffd}rg gibt es hier nicht", Refused),
            (550, "no", Refused),
            (550, "", Refused),
            (550, "\n", Refused),
            (550, "...", Refused),
            (550, "\u{2717}", Refused),
            (550, "5.1.1", NotFound),
            (550, "bogus", Refused),
            // a known phrase, with words that may be about something else
            (550, "User not found: directory is down", TempFail),
            (550, "No such user: can't contact LDAP server", TempFail),
            (550, "5.1.1 LDAP server down", TempFail),
            (550, "5.1.1 user database is locked", TempFail),
            (550, "5.1.1 unverified address: connect to mx[192.0.2.1]: Connection refused", TempFail),
            (
                550,
                "5.1.1 <bogus@a.test>: unverified address: host 192.0.2.1[192.0.2.1] said: 550 5.1.1 \
                 <bogus@a.test> User doesn't exist",
                Refused,
            ),
            (550, "5.1.1 Access denied", Refused),
            (550, "5.1.1 too many connections", TempFail),
            (550, "5.1.1 quota exceeded", TempFail),
            (550, "5.1.1 Mailbox is full", TempFail),
            (550, "5.1.1 Account suspended", TempFail),
            (550, "unknown mailbox state: migrating", TempFail),
            (550, "Not an unknown user, but over-quota", TempFail),
            (550, "No such user in LDAP", Refused),
            (
                550,
                "5.1.1 <bogus@a.test>: Recipient address rejected: User unknown in virtual alias table",
                NotFound,
            ),
            (551, "", TempFail),
            (553, "", TempFail),
            // enhanced codes
            (551, "5.1.1 contradicts itself", TempFail),
            (551, "5.7.1 not for you", TempFail),
            (550, "5.7.1 Command rejected", TempFail),
            (550, "5.0.0 no such user", TempFail),
            (550, "5.1.0 address rejected", TempFail),
            (550, "5.1.2 no such system", TempFail),
            (550, "5.1.3 bad syntax", TempFail),
            (550, "5.1.4 ambiguous", TempFail),
            (550, "5.1.5 valid", TempFail),
            (550, "5.1.6 moved", TempFail),
            (550, "5.1.7 bad sender", TempFail),
            (550, "5.1.8 sender's domain does not exist", TempFail),
            (550, "5.1.9 converted", TempFail),
            (550, "5.1.10 null MX", TempFail),
            (550, "5.2.1 mailbox disabled", TempFail),
            (550, "5.2.4 mailing list expansion problem", TempFail),
            (550, "5.4.1 no answer from host", TempFail),
            (550, "#5.1.1 no such user", NotFound),
            (550, "#5.7.1 blocked", TempFail),
            (550, "[5.1.1]: no such user", NotFound),
            (550, "4.1.1 no such user", TempFail),
            (550, "5.1.1.1 is not an enhanced code", Refused),
            (550, "mx 192.0.2.1 says no", Refused),
            (550, "5.1.1 <bogus@a.test>\n5.7.1 Zugriff verweigert", TempFail),
            (550, "5.1.1 unknown user\n4.3.0 nein", TempFail),
            (550, "user unknown\n4.7.1 Zugriff verweigert", TempFail),
            (550, "5.1.1 unknown user\n5.1.1 unknown user", NotFound),
            (550, "mx.example.test 5.7.1 nein", TempFail),
            (550, "nein (5.7.1)", TempFail),
            (550, "nein [5.7.1]", TempFail),
            (550, "nein #5.7.1", TempFail),
            (550, "5.1.1 <5.7.1@a.test> unknown user", NotFound),
            (552, "5.2.2 mailbox full", TempFail),
            (556, "5.1.10 null MX", TempFail),
            (200, "ok", TempFail),
            (299, "ok", TempFail),
            (354, "go ahead", TempFail),
            (250, "", Exists),
            (250, "J\u{fffd}rg <u@a.test>", Exists),
            (252, "", Perhaps),
        ] {
            let got = Protocol::ALL.map(|protocol| reply(code, text).class(protocol, "<bogus@a.test>"));
            // RCPT differs in one code.
            let rcpt = if code == 252 { Exists } else { want };
            let rcpt = if (code, text) == (551, "5.1.1 contradicts itself") { NotFound } else { rcpt };
            assert_eq!(got, [want, rcpt, rcpt], "{code} {text}");
        }
    }

    /// What servers reply to RCPT, and not to VRFY.
    #[test]
    fn interprets_replies_to_rcpt() {
        for (code, text, want) in [
            (250, "2.1.5 Ok", Exists),
            (251, "2.1.5 User not local; will forward to <foo@other.test>", Exists),
            (252, "2.1.5 Cannot VRFY user, but will accept message", Exists),
            (551, "5.1.1 <bogus@a.test> unknown user", NotFound),
            (553, "5.1.1 <bogus@a.test> unknown user", NotFound),
            (553, "sorry, no mailbox here by that name (#5.1.1)", NotFound),
            (551, "5.1.1 User not local; please try <foo@other.test>", Refused),
            (551, "5.1.6 User has moved; please try <foo@other.test>", TempFail),
            (553, "5.1.1 user ambiguous", TempFail),
            (553, "5.1.1 unknown user\n5.7.1 nein", TempFail),
            (553, "5.1.3 Bad recipient address syntax", TempFail),
            (553, "5.1.8 sender's domain does not exist", TempFail),
            (551, "unknown user", TempFail),
            (553, "unknown user", TempFail),
            (554, "5.1.1 unknown user", TempFail),
            (552, "5.1.1 unknown user", TempFail),
            (450, "4.2.0 <a@a.test>: Recipient address rejected: Greylisted", TempFail),
            (451, "4.7.1 Greylisting in action, please come back later", TempFail),
            (451, "4.3.0 <a@a.test> Temporary internal error", TempFail),
            (452, "4.2.2 <a@a.test> Mailbox is full / Quota exceeded", TempFail),
            (452, "4.5.3 Error: too many recipients", TempFail),
            (503, "5.5.1 Error: need MAIL command", TempFail),
            (521, "5.3.2 host does not accept mail", TempFail),
            (530, "5.7.0 Must issue a STARTTLS command first", TempFail),
            (535, "5.7.8 authentication credentials invalid", TempFail),
            (550, "5.7.1 Relaying denied", TempFail),
            (550, "5.7.1 <a@a.test>: Relay access denied", TempFail),
            (550, "5.5.0 <a@a.test> rejected", TempFail),
            (554, "5.7.1 <a@a.test>: Relay access denied", TempFail),
            (554, "5.7.1 Service unavailable; Client host [192.0.2.1] blocked", TempFail),
            (556, "5.1.10 recipient domain has null MX", TempFail),
            // The empty sender, which an account may not get mail from.
            (550, "5.7.1 this account does not send mail, so it gets no bounces", TempFail),
            (550, "5.1.1 Null sender not accepted for <bogus@a.test>", Refused),
            (550, "Invalid recipient for bounces", Refused),
            (550, "Sender verify failed", TempFail),
        ] {
            for protocol in [Protocol::Rcpt, Protocol::Lmtp] {
                let got = reply(code, text).class(protocol, "<bogus@a.test>");
                assert_eq!(got, want, "{protocol:?} {code} {text}");
            }
        }
    }

    #[test]
    fn ignores_phrases_in_the_local_part() {
        for (path, text, want) in [
            ("<nobody@relay.test>", "<nobody@relay.test> Unknown user", NotFound),
            ("<disabled-user@a.test>", "<disabled-user@a.test> Unknown user", NotFound),
            ("<disabled-user@a.test>", "Unknown user disabled-user@a.test", NotFound),
            ("<disabled-user@a.test>", "disabled-user: Unrouteable address", NotFound),
            ("<relay@a.test>", "Invalid recipient: <relay@a.test>", NotFound),
            ("<x@not.allowed.test>", "Invalid recipient: <X@not.allowed.test>", NotFound),
            ("<error@a.test>", "5.1.1 error... User unknown", NotFound),
            ("<error@a.test>", "5.1.1 <error@a.test> User doesn't exist: error", NotFound),
            ("<Later@a.test>", "later: unknown user", NotFound),
            ("<\"access denied\"@a.test>", "\"Access Denied\"@a.test unknown user", NotFound),
            ("<\"a>access denied\"@a.test>", "<\"a>access denied\"@a.test> unknown user", NotFound),
            // The local part in a text about something else does not make it "not found".
            ("<error@a.test>", "Database error", TempFail),
            ("<relay@a.test>", "relay not permitted", TempFail),
            ("<access@a.test>", "<access@a.test> access denied", TempFail),
            ("<denied@a.test>", "access denied", TempFail),
            ("<bogus@a.test>", "relay not permitted to <bogus@a.test>", TempFail),
            ("<bogus@a.test>", "<bogus access denied", TempFail),
            ("<>", "access denied", TempFail),
            // The local part does not complete a known phrase either.
            ("<user@a.test>", "unknown user", Refused),
            ("<unknown@a.test>", "unknown problem", Refused),
            ("<unknown@a.test>", "user unknown ist gesperrt", Refused),
            ("<5.7.1@a.test>", "<5.7.1@a.test> unknown user", NotFound),
        ] {
            assert_eq!(reply(550, text).class(Protocol::Vrfy, path), want, "{path} {text}");
        }
        for phrase in KNOWN.iter().chain(DOUBTS).chain(ELSEWHERE) {
            assert!(!phrase.contains(char::is_uppercase) && phrase.trim() == *phrase, "{phrase}");
        }
        assert!(KNOWN.iter().all(|phrase| phrase.contains(' ')), "one word is found in names");
    }

    #[test]
    fn compares_the_wording_for_two_accounts() {
        for (one, other, want) in [
            ("nobody of the name bogus", "nobody of the name canary", true),
            ("5.9.9 <bogus@a.test> ist unbekannt", "5.9.9 <canary@a.test> ist unbekannt", true),
            ("bogus@a.test?", "canary@a.test?", true),
            ("Bogus ist unbekannt", "canary ist unbekannt", true),
            ("unbekannt", "gestört", false),
            ("bogus", "bogus", true),
            ("unknown bogus", "unknown bogus", true),
            ("bogus unknown", "canary unknown", true),
            ("the bogus is locked", "the canary is not there", false),
        ] {
            let (one, other) = (reply(550, one), reply(550, other));
            let got = one.is_worded_like("<bogus@a.test>", &other, "<canary@a.test>");
            assert_eq!(got, want, "{one:?} {other:?}");
        }
    }

    #[test]
    fn truncates_quoted_replies() {
        assert_eq!(reply(550, &"ü".repeat(1000)).quoted(), format!("550 {}…", "ü".repeat(150)));
        assert_eq!(reply(550, "no").quoted(), "550 no");
        assert_eq!(reply(550, "").quoted(), "550");
        assert_eq!(reply(550, "5.1.1 no\n5.1.1 user").quoted(), "550 5.1.1 no 5.1.1 user");
    }

    #[test]
    fn extension_must_match_a_whole_keyword() {
        for (lines, want) in [
            ("mx.test\nSIZE\nSTARTTLS", true),
            ("mx.test\nstarttls\nSIZE", true),
            ("mx.test\nSTARTTLS x", true),
            ("STARTTLS\nSIZE", false),
            ("mx.test\nXSTARTTLS", false),
            ("mx.test\nHELP STARTTLS", false),
            ("mx.test\n\n \u{fffd}", false),
            ("mx.test", false),
            ("", false),
        ] {
            assert_eq!(reply(250, lines).offers("STARTTLS"), want, "{lines}");
        }
    }
}

//! Finds the mailbox of a recipient: the one that the mail server will deliver to.
//!
//! A server parses the argument of RCPT by its own rules, and reports the result: `{rcpt_addr}` of the
//! milter protocol. Postfix reports the whole address, in lower case. Sendmail reports the whole address
//! for other hosts, and the name alone for its local users, with any domain.
//!
//! | the spelling | the server's reading | the mailbox |
//! | --- | --- | --- |
//! | certain, ours | any | as written |
//! | certain, not ours | ours | the server's |
//! | certain, not ours | not ours, or not reported | not ours |
//! | a route, or no domain | any | the server's |
//! | a route, or no domain | not reported | as written |
//! | not certain | the same, or a route in it | as written |
//! | not certain | another | the server's, unless our reading is ours and the server's is not |
//! | not certain | not reported, or not certain itself | unknown: deferred |
//!
//! The server's reading may have lost the case of the letters, so if the two differ only in case, the name
//! is used as written.

use super::Question;
use mail_address::{Address, fold};

/// The properties of domains that decide about mailboxes.
pub(super) trait Domains {
    /// Whether an address is in one of our domains.
    fn is_ours(&self, address: &Address) -> bool;
    /// Whether case matters in the domain of an address.
    fn is_case_sensitive(&self, address: &Address) -> bool;
}

/// Returns the mailbox, in our domains or not; `None` if only the server knows it and does not report it.
/// `origin` is the domain of a recipient without one.
pub(super) fn mailbox(question: &Question, origin: &str, domains: &impl Domains) -> Option<Address> {
    let Question { recipient, mta_route } = question;
    let has_domain = recipient.domain().is_some();
    let written = if has_domain { recipient.clone() } else { recipient.clone().with_domain(origin) };
    let Some(server) = mta_route else { return recipient.is_certain().then_some(written) };
    let (ours, server_ours) = (domains.is_ours(&written), domains.is_ours(server));
    let is_plain = recipient.is_certain() && has_domain && !recipient.may_be_rerouted();
    // With an unambiguous spelling, any difference comes from the server's own routing, which it repeats
    // for the recipient that the milter adds.
    if is_plain && (ours || !server_ours) {
        return Some(written);
    }
    if !server.is_certain() {
        return None;
    }
    let same_name = |address: &Address| fold(address.local()) == fold(server.local());
    // For this server, characters that are special elsewhere may be part of the name.
    let letters = || Some(Address::from_server(recipient.unbracketed())).filter(same_name);
    let letters = || letters().filter(|_| server.domain().is_some());
    let written_as = written.hops().find(same_name).or_else(letters);
    let meaning = match (server.domain(), written_as) {
        (Some(domain), Some(address)) => address.with_domain(domain),
        // The server lost the case of letters, and folding may have changed some of them.
        (Some(_), None) if recipient.may_lose_case(domains.is_case_sensitive(server)) => return None,
        (Some(_), None) => server.clone(),
        // A local user of Sendmail. All local domains have the same users, so use the domain as written.
        (None, Some(address)) if recipient.is_certain() || domains.is_ours(&address) => address,
        (None, None) if ours => server.clone().with_domain(written.domain().unwrap_or_default()),
        (None, None) if recipient.is_certain() => written.clone(),
        (None, _) => return None,
    };
    // One of our domains in brackets or in quotes: this server may send the mail elsewhere, and the next
    // server may send it back.
    let names_us = has_domain && ours && !recipient.may_be_rerouted();
    if !recipient.is_certain() && names_us && !domains.is_ours(&meaning) {
        return None;
    }
    Some(recipient.clone().with_mailbox_of(meaning))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Ours;

    impl Domains for Ours {
        fn is_ours(&self, address: &Address) -> bool {
            matches!(address.domain(), Some("d.test" | "case.test"))
        }

        fn is_case_sensitive(&self, address: &Address) -> bool {
            address.domain() == Some("case.test")
        }
    }

    /// Argument of RCPT, the server's reading, the mailbox.
    #[test]
    fn finds_mailbox_by_argument_and_server() {
        let none = None;
        for (argument, server, want) in [
            // Certain.
            ("<Foo@d.test>", none, Some("Foo@d.test")),
            ("<Foo@d.test>", Some("foo@d.test"), Some("Foo@d.test")),
            ("<Foo@d.test>", Some("foo"), Some("Foo@d.test")),
            ("<foo@d.test>", Some("x@e.test"), Some("foo@d.test")),
            ("<foo@d.test>", Some(""), Some("foo@d.test")),
            ("<foo@e.test>", none, Some("foo@e.test")),
            ("<foo@e.test>", Some("foo@e.test"), Some("foo@e.test")),
            ("<foo@e.test>", Some("foo"), Some("foo@e.test")),
            // append_dot_mydomain
            ("<Foo@d>", Some("foo@d.test"), Some("Foo@d.test")),
            ("<foo@d>", Some("foo@d"), Some("foo@d")),
            ("<foo@e.test>", Some("foo@\"d.test\""), Some("foo@e.test")),
            // No domain.
            ("<Foo>", none, Some("Foo@d.test")),
            ("<Foo>", Some("foo"), Some("Foo@d.test")),
            ("<Foo>", Some("foo@e.test"), Some("Foo@e.test")),
            // Routes.
            ("<a%Foo%e.test@d.test>", none, Some("a%Foo%e.test@d.test")),
            ("<Foo%d.test@d.test>", Some("foo@d.test"), Some("Foo@d.test")),
            ("<Foo%d.test@d.test>", Some("foo"), Some("Foo@d.test")),
            ("<d.test!Foo>", Some("foo"), Some("Foo@d.test")),
            ("<\"Foo@d.test\">", Some("foo"), Some("Foo@d.test")),
            ("<foo%e.test@d.test>", Some("foo@e.test"), Some("foo@e.test")),
            ("<foo%d.test@e.test>", Some("foo@d.test"), Some("foo@d.test")),
            ("<foo%f.test@e.test>", Some("foo"), Some("foo@f.test")),
            ("<@d.test>", Some("mailer-daemon@d.test"), Some("mailer-daemon@d.test")),
            ("<foo@e.test@d.test>", Some("foo@e.test@"), None),
            // Spellings that are not certain.
            ("<Foo(x)@d.test>", none, None),
            ("<foo(x)@e.test>", none, None),
            ("<Foo(x)@d.test>", Some("foo@d.test"), Some("Foo@d.test")),
            ("<Foo(x)@d.test>", Some("foo"), Some("Foo@d.test")),
            ("<<Foo@d.test>>", Some("foo@d.test"), Some("Foo@d.test")),
            ("<0;@e.test>", Some("0;@e.test"), Some("0;@e.test")),
            ("<foo@e.test(d.test)>", Some("foo@e.test"), Some("foo@e.test")),
            ("<foo@\"d.test\">", Some("foo@\"d.test\""), None),
            ("<foo@[d.test]>", Some("foo@[d.test]"), None),
            ("<foo@\"d.test\">", Some("foo@e.test"), None),
            ("<grp:foo@d.test;>", Some("grp:foo"), Some("grp:foo@d.test")),
            ("<g:Foo@case.test>", Some("\"g:foo\"@case.test"), Some("g:Foo@case.test")),
            ("<g:grüße@d.test>", Some("\"g:grüsse\"@d.test"), Some("g:grüße@d.test")),
            ("<foo@d.test..>", Some("foo"), Some("foo@d.test")),
            ("<foo@e.test;>", Some("foo"), None),
            ("<\\foo@d.test>", Some("\\foo"), Some("foo@d.test")),
            ("<<grüße@d.test>>", Some("grüsse@d.test"), Some("grüße@d.test")),
            ("<foo@d.test><>", Some(""), Some("@d.test")),
            // The server reads a name that is not in the text: its case is lost.
            ("<,Foo,@d.test,>", Some("bar@d.test"), Some("bar@d.test")),
            ("<,Foo,@d.test,>", Some("bar@case.test"), None),
            ("<,foo,@d.test,>", Some("bar@case.test"), Some("bar@case.test")),
            ("<,ß,@d.test,>", Some("ss.bar@d.test"), None),
        ] {
            let question = Question {
                recipient: Address::from_rcpt(argument.as_bytes()),
                mta_route: server.map(|text: &str| Address::from_server(text.as_bytes())),
            };
            let got = mailbox(&question, "d.test", &Ours);
            let got = got.map(|got| format!("{}@{}", got.local(), got.domain().unwrap_or_default()));
            assert_eq!(got.as_deref(), want, "{argument} {server:?}");
        }
    }
}

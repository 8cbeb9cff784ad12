//! Tests the search and the values of each strategy.

use super::*;
use crate::map::list::List;
use SearchStrategy::*;
use diagnostics::{Text, any_error};
use proptest::prelude::*;
use std::collections::HashSet;

fn context(is_local: &dyn Fn(&str) -> bool) -> Context<'_> {
    Context { delimiters: "+-", is_local }
}

/// The candidates in order, for a server whose local domain is `local.example`.
fn keys(profile: SearchStrategy, key: &str) -> Vec<String> {
    let is_local = |domain: &str| domain == "local.example";
    let candidates = profile.candidates(key, &context(&is_local));
    candidates.into_iter().map(|candidate| candidate.key.into_owned()).collect()
}

/// The result for a map with these entries: the value, `-` for not found, or `!` and a reason.
fn says(profile: SearchStrategy, entries: &str, key: &str) -> String {
    let (list, problems) = List::parse(&Text::new("list", entries), true);
    // A database may have a value with a control character, a list may not.
    assert_eq!(any_error(&problems), entries.contains('\u{7}'), "{entries}");
    let is_local = |domain: &str| domain == "local.example";
    let folded = mail_address::fold(key);
    for candidate in profile.candidates(&folded, &context(&is_local)) {
        if let Some(value) = list.get(&candidate.key) {
            return profile.value(&candidate, key, value).unwrap_or_else(|why| format!("! {why}"));
        }
    }
    "-".into()
}

#[test]
fn parses_strategies() {
    for (name, profile) in SearchStrategy::ALL {
        assert_eq!((name.parse(), profile.name()), (Ok(profile), name));
    }
    for (name, want) in [
        ("virtual_alias_maps", "did you mean \"virtual_alias\"?"),
        ("smtpd_sender_login_maps", "did you mean \"sender_login\"?"),
        ("smtp_generic_maps", "did you mean \"generic\"?"),
        ("Transport", "did you mean \"transport\"?"),
        ("x", "\"x\" is not a profile (there are: plain, transport,"),
    ] {
        let got = name.parse::<SearchStrategy>();
        assert!(got.as_ref().is_err_and(|error| error.contains(want)), "{name}: {got:?}");
    }
}

#[test]
fn candidates_are_in_the_order_of_postfix() {
    let by_address = ["u+x@local.example", "u@local.example", "u+x", "u", "@local.example"];
    for profile in [SenderBcc, RecipientBcc, Canonical, Relocated, Generic, VirtualAlias, SenderLogin] {
        assert_eq!(keys(profile, "u+x@local.example"), by_address, "{profile}");
    }
    let cases: &[(SearchStrategy, &str, &[&str])] = &[
        (Plain, "u+x@local.example", &["u+x@local.example"]),
        (VirtualMailboxDomains, "a.example", &["a.example"]),
        (HeaderChecks, "To: u+x@local.example", &["To: u+x@local.example"]),
        (BodyChecks, "u+x@local.example", &["u+x@local.example"]),
        (VirtualMailbox, "u+x@local.example", &["u+x@local.example", "u@local.example", "@local.example"]),
        (VirtualMailbox, "a-b.example", &["a-b.example"]),
        // A domain has no extension.
        (VirtualAlias, "a-b.example", &["a-b.example"]),
        (VirtualAlias, "u+x@a.example", &["u+x@a.example", "u@a.example", "@a.example"]),
        (VirtualAlias, "u@a.example", &["u@a.example", "@a.example"]),
        (VirtualAlias, "u-x+y@a.example", &["u-x+y@a.example", "u@a.example", "@a.example"]),
        (VirtualAlias, "+x@a.example", &["+x@a.example", "@a.example"]),
        (VirtualAlias, "owner-list@a.example", &["owner-list@a.example", "@a.example"]),
        (VirtualAlias, "list-request@a.example", &["list-request@a.example", "@a.example"]),
        (VirtualAlias, "double-bounce@a.example", &["double-bounce@a.example", "@a.example"]),
        (VirtualAlias, "@a.example", &["@a.example"]),
        (VirtualAlias, "u@", &["u@"]),
        (
            VirtualAlias,
            "\"a b+x\"@local.example",
            &[
                "\"a b+x\"@local.example",
                "a b+x@local.example",
                "a b@local.example",
                "\"a b\"@local.example",
                "a b+x",
                "\"a b+x\"",
                "a b",
                "\"a b\"",
                "@local.example",
            ],
        ),
        (VirtualAlias, "a b@a.example", &["a b@a.example", "\"a b\"@a.example", "@a.example"]),
        (VirtualAlias, "\"ab\"@a.example", &["\"ab\"@a.example", "ab@a.example", "@a.example"]),
        (VirtualAlias, "\"a@b\"@a.example", &["\"a@b\"@a.example", "a@b@a.example", "@a.example"]),
        (VirtualAlias, "\"a@a.example", &["\"a@a.example", "\"\\\"a\"@a.example", "@a.example"]),
        (
            Transport,
            "u+x@a.b.example",
            &["u+x@a.b.example", "u@a.b.example", "a.b.example", ".b.example", ".example", "*"],
        ),
        (Transport, "a.b.example", &["a.b.example", ".b.example", ".example", "*"]),
        (Transport, "u@*", &["u@*", "*"]),
        (Transport, "*", &["*"]),
        (
            Access,
            "u+x@a.b.example",
            &[
                "u+x@a.b.example",
                "u@a.b.example",
                "a.b.example",
                ".b.example",
                "b.example",
                ".example",
                "example",
                "u+x@",
                "u@",
            ],
        ),
        (Access, "a.b.example", &["a.b.example", ".b.example", "b.example", ".example", "example"]),
        (Access, "a..example", &["a..example", ".example", "example"]),
        (Access, "localhost", &["localhost"]),
        (Access, "192.0.2.1", &["192.0.2.1", "192.0.2", "192.0", "192"]),
        (Access, "2001:db8::1", &["2001:db8::1", "2001:db8", "2001"]),
        (
            Access,
            "2001:db8:1:2:3:4:5:6",
            &[
                "2001:db8:1:2:3:4:5:6",
                "2001:db8:1:2:3:4:5",
                "2001:db8:1:2:3:4",
                "2001:db8:1:2:3",
                "2001:db8:1:2",
                "2001:db8:1",
                "2001:db8",
                "2001",
            ],
        ),
        (Access, "::1", &["::1"]),
        (Access, "<>", &["<>"]),
        (Access, "u@[192.0.2.1]", &["u@[192.0.2.1]", "[192.0.2.1]", "u@"]),
    ];
    for (profile, key, want) in cases {
        assert_eq!(keys(*profile, key), *want, "{profile} {key}");
    }
    for (_, profile) in SearchStrategy::ALL {
        assert!(keys(profile, "").is_empty(), "{profile}");
    }
}

#[test]
fn long_names_do_not_evade_an_entry() {
    // Longer than a domain can be, with invalid labels.
    for host in [format!("{}spam.example", "a.".repeat(1000)), format!("{}spam.example", ".".repeat(1000))] {
        assert_eq!(says(Access, "spam.example REJECT", &host), "REJECT");
        assert_eq!(says(Access, "spam.example REJECT", &format!("u@{host}")), "REJECT");
    }
}

/// strategy, entries, key, result
const CASES: &[(SearchStrategy, &str, &str, &str)] = &[
    (Plain, "u@a.example  any thing", "u@a.example", "any thing"),
    (Plain, "u@a.example x", "u+y@a.example", "-"),
    (Plain, "@a.example x", "u@a.example", "-"),
    // transports
    (Transport, "a.example smtp:[mx.a.example]:25", "u@a.example", "smtp:[mx.a.example]:25"),
    (Transport, "u@a.example local:\na.example smtp:x", "U+y@A.example", "local:"),
    (Transport, "a.example smtp:x", "u@b.a.example", "-"),
    (Transport, ".a.example smtp:x", "u@b.a.example", "smtp:x"),
    (Transport, ".a.example smtp:x", "u@a.example", "-"),
    (Transport, ".a.example smtp:x\n* :", "u@c.example", ":"),
    (Transport, "* relay:[gw.example]", "*", "relay:[gw.example]"),
    (Transport, "a.example error:no mail here", "u@a.example", "error:no mail here"),
    (Transport, "a.example smtp:x.example, y.example", "u@a.example", "smtp:x.example, y.example"),
    (Transport, "a.example smtp", "u@a.example", "! a transport needs a colon"),
    (Transport, "a.example s p:x", "u@a.example", "! the name of a transport may have only letters"),
    // addresses and extensions
    (VirtualAlias, "u@a.example v@b.example", "u@a.example", "v@b.example"),
    (VirtualAlias, "u@a.example v@b.example", "U+Shop@a.example", "v+Shop@b.example"),
    (
        VirtualAlias,
        "u@a.example v@b.example, root  w@c.example",
        "u+x@a.example",
        "v+x@b.example,root+x,w+x@c.example",
    ),
    (VirtualAlias, "u+x@a.example v@b.example", "u+x@a.example", "v@b.example"),
    (VirtualAlias, "u v@b.example", "u+x@local.example", "v+x@b.example"),
    (VirtualAlias, "u v@b.example", "u+x@a.example", "-"),
    (VirtualAlias, "@a.example v@b.example", "u+x@a.example", "v@b.example"),
    (VirtualAlias, "@a.example @b.example", "U+X@a.example", "U+X@b.example"),
    (VirtualAlias, "u@a.example @b.example, v@c.example", "u+x@a.example", "u+x@b.example,v+x@c.example"),
    (VirtualAlias, "@a.example @b.example", "a b@a.example", "\"a b\"@b.example"),
    (VirtualAlias, "u@a.example \"v w\"@B.Example", "u+x@a.example", "\"v w+x\"@B.Example"),
    (VirtualAlias, "u@a.example \"v, w\"@b.example x", "u@a.example", "\"v, w\"@b.example,x"),
    (VirtualAlias, "\"a b\"@a.example v", "a b@a.example", "v"),
    (VirtualAlias, "\"a b\"@a.example v", "\"a b\"@a.example", "v"),
    (VirtualAlias, "\"a b\"@a.example v", "\"A B+x\"@a.example", "v+x"),
    (VirtualAlias, "ab@a.example v", "\"ab\"@a.example", "v"),
    (VirtualAlias, "a.example any thing <at all>", "a.example", "any thing <at all>"),
    (VirtualAlias, "u@a.example ,", "u@a.example", "! nothing but commas"),
    (VirtualAlias, "u@a.example v@b..example", "u@a.example", "! the part after an @ is not a domain"),
    (VirtualAlias, "u@a.example <v@b.example>", "u@a.example", "! an address has a character"),
    (VirtualAlias, "u@a.example v@", "u@a.example", "! the part after an @"),
    (VirtualAlias, "u@a.example \"\"@b.example", "u@a.example", "! a user is missing"),
    (VirtualAlias, "u@a.example \"v@b.example", "u@a.example", "! quoted string does not end"),
    (VirtualAlias, "u@a.example v\u{7}@b.example", "u@a.example", "! the value contains a control character"),
    (VirtualAlias, "u@a.example v@bücher.example", "u+x@a.example", "v+x@bücher.example"),
    (VirtualAlias, "u@a.example v@[192.0.2.1]", "u+x@a.example", "v+x@[192.0.2.1]"),
    (Canonical, "u@a.example First.Last@a.example", "u+x@a.example", "First.Last+x@a.example"),
    (Canonical, "u@a.example v w", "u@a.example", "! it must be one address"),
    (Canonical, "@a.example @b.example", "u@a.example", "u@b.example"),
    (Generic, "u@a.example v@b.example", "u+x@a.example", "v@b.example"),
    (Generic, "u@a.example @b.example", "u+x@a.example", "u+x@b.example"),
    (Generic, "u v@b.example", "u@local.example", "v@b.example"),
    (SenderBcc, "@a.example archive", "u@a.example", "archive"),
    (RecipientBcc, "u@a.example b@c.example", "u+x@a.example", "b@c.example"),
    (RecipientBcc, "u@a.example b@c.example, d@c.example", "u@a.example", "! it must be one address"),
    (RecipientBcc, "u@a.example @c.example", "u@a.example", "! a user is missing"),
    // texts and lists
    (Relocated, "@a.example Some Street 1, Town", "u@a.example", "Some Street 1, Town"),
    (VirtualMailbox, "u@a.example a/u/", "u+x@a.example", "a/u/"),
    (VirtualMailbox, "u x", "u@local.example", "-"),
    (VirtualMailbox, "a.example x", "a.example", "x"),
    (VirtualMailboxDomains, "a.example x", "b.a.example", "-"),
    (SenderLogin, "u@a.example u, v  w", "u@a.example", "u,v,w"),
    (SenderLogin, "@a.example u", "u+x@a.example", "u"),
    (SenderLogin, "@a.example ,", "u@a.example", "! nothing but commas"),
    // Only ASCII has blanks.
    (
        VirtualAlias,
        "u@a.example v@b.example\u{2003}w@b.example",
        "u@a.example",
        "! virtual_alias for \"u@a.example\": an address has a character that only quotes",
    ),
    (VirtualMailbox, "u@a.example a\u{2060}b\u{a0}", "u@a.example", "a\u{2060}b\u{a0}"),
    (Access, "a.example REJECT\u{a0}no", "u@a.example", "! "),
    // actions
    (HeaderChecks, "subject REJECT", "Subject", "REJECT"),
    (HeaderChecks, "subject REJCT", "Subject", "! header_checks for \"subject\": not an action"),
    (BodyChecks, "buy REPLACE (removed)", "buy", "REPLACE (removed)"),
    (Access, "a.example OK", "u@b.a.example", "OK"),
    (Access, "a.example ok\n.a.example REJECT no", "u@b.a.example", "REJECT no"),
    (Access, "a.example ok\n.a.example REJECT no", "u@a.example", "ok"),
    (Access, "u@ REJECT", "u+x@a.example", "REJECT"),
    (Access, "a.example DUNNO\nu@ REJECT", "u@a.example", "DUNNO"),
    (Access, "192.0 554 5.7.1 go away", "192.0.2.1", "554 5.7.1 go away"),
    (Access, "192.0 REJECT", "192.1.2.1", "-"),
    (Access, "2001:db8 4.7.1", "2001:db8::1", "! a reply code is 4NN or 5NN with a text"),
    (Access, "<> DEFER_IF_PERMIT later", "<>", "DEFER_IF_PERMIT later"),
];

#[test]
fn returns_values_as_in_the_table() {
    for (profile, entries, key, want) in CASES {
        let got = says(*profile, entries, key);
        let fits = match want.strip_prefix("! ") {
            Some(why) => got.starts_with('!') && got.contains(why),
            None => got == *want,
        };
        assert!(fits, "{profile} {key} in {entries:?}: {got}, not {want}");
    }
}

#[test]
fn checks_actions() {
    for good in [
        "OK",
        "dunno",
        "REJECT",
        "Reject go away",
        "DEFER",
        "DEFER_IF_REJECT x",
        "DISCARD",
        "HOLD x",
        "WARN x",
        "INFO",
        "1234567890",
        "0",
        "250",
        "450 4.7.1 later",
        "550 no",
        "PREPEND X-Spam: yes",
        "FILTER smtp:[127.0.0.1]:10025",
        "FILTER smtp:",
        "REDIRECT u@a.example",
        "BCC u@a.example",
        "reject_unauth_destination",
        "permit_sasl_authenticated, reject",
        "my-class",
        "greylist2 reject",
        "check_policy_service inet:127.0.0.1:10023",
        "reject_rbl_client zen.example, permit",
        "check_policy_service { inet:127.0.0.1:10023, timeout=10s } reject",
        "sleep 1, reject",
    ] {
        assert_eq!(access::action(good), Ok(()), "{good}");
    }
    for (bad, want) in [
        ("REJCT", "perhaps REJECT"),
        ("REJECT,", "perhaps REJECT"),
        ("Hello there", "neither an action"),
        ("550", "needs a text"),
        ("250 ok", "4NN or 5NN"),
        ("4500 x", "4NN or 5NN"),
        ("5xx no", "4NN or 5NN"),
        ("PREPEND", "needs a header field"),
        ("PREPEND X-Spam", "needs a header field"),
        ("PREPEND X Spam: yes", "needs a header field"),
        ("FILTER", "needs a transport"),
        ("FILTER smtp", "needs a transport"),
        ("FILTER :x", "needs a transport"),
        ("REDIRECT", "needs one address"),
        ("REDIRECT u", "needs one address"),
        ("BCC u@a.example, v@a.example", "needs one address"),
        ("check_client_access", "needs something after it"),
        ("check_policy_service { inet:x:1", "needs a }"),
        (",", "nothing but commas"),
    ] {
        let got = access::action(bad);
        assert!(got.as_ref().is_err_and(|why| why.contains(want)), "{bad}: {got:?}");
    }
}

#[test]
fn checks_actions_for_content() {
    use super::content::{Part, action};
    for (value, header, body) in [
        ("DUNNO", "", ""),
        ("ok", "", ""),
        ("Reject", "", ""),
        ("REJECT 5.7.1 go away", "", ""),
        ("DISCARD", "", ""),
        ("HOLD x", "", ""),
        ("IGNORE", "", ""),
        ("STRIP", "", ""),
        ("INFO x", "", ""),
        ("PASS", "", ""),
        ("WARN\tx", "", ""),
        ("FILTER smtp:[127.0.0.1]:10025", "", ""),
        ("REDIRECT u@a.example", "", ""),
        ("BCC u@a.example", "", ""),
        ("PREPEND X-Spam: yes", "", ""),
        ("REPLACE X-Spam: yes", "", ""),
        ("PREPEND some text", "needs a header field", ""),
        ("REPLACE some text", "needs a header field", ""),
        ("REPLACE", "needs a header field", "needs a text"),
        ("REJCT no", "perhaps REJECT", "perhaps REJECT"),
        ("reject,", "perhaps REJECT", "perhaps REJECT"),
        ("550 5.7.1 no", "not an action", "not an action"),
        ("reject_unauth_destination", "not an action", "not an action"),
        ("DEFER x", "not an action", "not an action"),
        ("FILTER", "needs a transport", "needs a transport"),
        ("REDIRECT u", "needs one address", "needs one address"),
        ("BCC u@a.example, v@a.example", "needs one address", "needs one address"),
    ] {
        for (part, want) in [(Part::Header, header), (Part::Body, body)] {
            let got = action(value, part).err().unwrap_or_default();
            let fits = if want.is_empty() { got.is_empty() } else { got.contains(want) };
            assert!(fits, "{value} {part:?}: {got}");
        }
    }
}

#[test]
fn limits_candidates_and_values() {
    let is_local = |_: &str| true;
    let value = |profile: SearchStrategy, key: &str, value: &str| {
        let candidates = profile.candidates(key, &context(&is_local));
        profile.value(candidates.last().unwrap(), key, value)
    };
    for (_, profile) in SearchStrategy::ALL {
        for empty in ["", " \t"] {
            assert!(
                value(profile, "u@a.example", empty).is_err_and(|why| why.contains("empty")),
                "{profile}"
            );
        }
        // Longer than `MAX_VALUE`.
        let got = value(profile, "u@a.example", &"x".repeat(crate::map::MAX_VALUE + 1));
        assert!(got.is_err(), "{profile}");
    }
    let many = |count: usize| value(VirtualAlias, "u@a.example", &"v ".repeat(count));
    assert!(many(MAX_ADDRESSES).is_ok());
    assert!(many(MAX_ADDRESSES + 1).is_err_and(|why| why.contains("more than 1000 addresses")));
    // the maximum number of candidates
    let key = format!("a.\" b+x\"@{}", "a.".repeat(MAX_PARENTS + 10));
    let most = Access.candidates(&key, &context(&is_local)).len();
    assert_eq!(most, MAX_CANDIDATES - 1, "all but the one for everything");
}

proptest! {
    #[test]
    fn candidates_are_unique_and_not_empty(
        key in "[ab+\\-.@\" \\\\:<>1éß\\[\\]*]{0,24}|\"?[a-c +]{1,6}\"?@([a-c]{1,2}\\.){0,140}[a-c]{0,2}|\\PC{0,12}",
        local in any::<bool>(),
        delimiters in "[+=-]{0,2}",
    ) {
        let is_local = |_: &str| local;
        let context = Context { delimiters: &delimiters, is_local: &is_local };
        for (_, profile) in SearchStrategy::ALL {
            let candidates = profile.candidates(&key, &context);
            prop_assert!(candidates.len() <= MAX_CANDIDATES);
            prop_assert!(candidates.iter().all(|candidate| !candidate.key.is_empty()));
            if !key.is_empty() {
                prop_assert_eq!(&candidates[0].key, &key, "{}", profile);
                prop_assert_eq!(&candidates[0].extension, &None);
            }
            let distinct: HashSet<&str> = candidates.iter().map(|candidate| &*candidate.key).collect();
            prop_assert_eq!(distinct.len(), candidates.len(), "{}", profile);
            for candidate in &candidates {
                prop_assert!(candidate.extension.as_ref().is_none_or(|it| it.starts_with(|c| delimiters.contains(c))));
            }
        }
    }

    /// The same entries are found, however the local part is quoted.
    #[test]
    fn quotes_do_not_matter(local in "[a-b+ .]{1,8}", local_domain in any::<bool>()) {
        let address = mail_address::Address::new(&local, "a.example").unwrap();
        let is_local = |_: &str| local_domain;
        for (_, profile) in SearchStrategy::ALL.into_iter().filter(|(_, profile)| {
            !matches!(profile, Plain | VirtualMailboxDomains | HeaderChecks | BodyChecks)
        }) {
            let found = |key: &str| {
                let candidates = profile.candidates(key, &context(&is_local));
                candidates.into_iter().map(|candidate| candidate.key.into_owned()).collect::<HashSet<_>>()
            };
            let bare = format!("{local}@a.example");
            prop_assert_eq!(found(&address.to_string()), found(&bare), "{} {}", profile, bare);
        }
    }

    #[test]
    fn returned_values_are_valid(
        value in "[a-c@. ,\"+\\\\<]{0,20}",
        key in "[a-c+ ]{1,6}@a\\.example",
    ) {
        let is_local = |_: &str| true;
        for (_, profile) in SearchStrategy::ALL {
            for candidate in profile.candidates(&key, &context(&is_local)) {
                let Ok(made) = profile.value(&candidate, &key, &value) else { continue };
                prop_assert!(!made.is_empty());
                // A value that was returned is valid itself, and does not change.
                let whole = Candidate { key: candidate.key.clone(), extension: None };
                prop_assert_eq!(profile.value(&whole, &key, &made), Ok(made.clone()), "{} {:?}", profile, value);
            }
        }
    }
}

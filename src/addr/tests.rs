use super::*;
use proptest::prelude::*;

/// argument, local part, domain, printed
const SPELLINGS: &[(&str, &str, &str, &str)] = &[
    ("<foo@example.test>", "foo", "example.test", "foo@example.test"),
    ("foo@example.test", "foo", "example.test", "foo@example.test"),
    ("<Foo-Macys-M5@Example.TEST>", "Foo-Macys-M5", "example.test", "Foo-Macys-M5@example.test"),
    ("<foo@example.test.>", "foo", "example.test", "foo@example.test"),
    ("<foo@example.test..>", "foo", "example.test..", "foo@example.test.."),
    ("<foo@bücher。example。>", "foo", "xn--bcher-kva.example", "foo@xn--bcher-kva.example"),
    ("<\"foo\"@example.test>", "foo", "example.test", "foo@example.test"),
    ("<\"a b\"@example.test>", "a b", "example.test", "\"a b\"@example.test"),
    ("<\"a@b\"@example.test>", "a@b", "example.test", "\"a@b\"@example.test"),
    ("<a@b@example.test>", "a@b", "example.test", "\"a@b\"@example.test"),
    ("<\"a\\\"b\"@example.test>", "a\"b", "example.test", "\"a\\\"b\"@example.test"),
    ("<a.\"b c\".d@example.test>", "a.b c.d", "example.test", "\"a.b c.d\"@example.test"),
    ("<@one.test,@two.test:foo@example.test>", "foo", "example.test", "foo@example.test"),
    ("<@[IPv6:2001:db8::1],@two.test:foo@example.test>", "foo", "example.test", "foo@example.test"),
    ("<@example.test>", "", "example.test", "\"\"@example.test"),
    ("<foo>", "foo", "", "foo"),
    ("<>", "", "", "\"\""),
    ("", "", "", "\"\""),
    ("<foo @example.test\t>", "foo", "example.test", "foo@example.test"),
    ("<a\\@b@example.test>", "a\\@b", "example.test", "\"a\\\\@b\"@example.test"),
    ("<foo%two.test@example.test>", "foo%two.test", "example.test", "foo%two.test@example.test"),
    ("<two.test!foo@example.test>", "two.test!foo", "example.test", "two.test!foo@example.test"),
    ("<.foo@example.test>", ".foo", "example.test", "\".foo\"@example.test"),
    ("<fo..o@example.test>", "fo..o", "example.test", "\"fo..o\"@example.test"),
    ("<grüße@BÜCHER.example>", "grüße", "xn--bcher-kva.example", "grüße@xn--bcher-kva.example"),
    ("<foo@[127.0.0.1]>", "foo", "[127.0.0.1]", "foo@[127.0.0.1]"),
    ("<foo@example.test", "foo", "example.test", "foo@example.test"),
];

#[test]
fn spellings() {
    for (argument, local, domain, printed) in SPELLINGS {
        let got = Address::from_rcpt(argument.as_bytes());
        assert_eq!((got.local(), got.domain().unwrap_or("")), (*local, *domain), "{argument}");
        assert_eq!(got.to_string(), *printed, "{argument}");
        assert_eq!(got.raw(), argument.as_bytes());
        assert_eq!(got.malformed(), None, "{argument}");
    }
}

#[test]
fn malformed_ones_keep_their_domain() {
    let long = format!("<{}@example.test>", "x".repeat(MAX_LOCAL_PART + 1));
    let longest = format!("<{}@example.test>", "x".repeat(MAX_LOCAL_PART));
    let cases: [(&[u8], Option<Malformed>); 6] = [
        (b"<fo\x01o@example.test>", Some(Malformed::Control)),
        (b"<fo\r\nNOOP@example.test>", Some(Malformed::Control)),
        (b"<fo\xfco@example.test>", Some(Malformed::NotUtf8)),
        (b"<\"foo@example.test>", Some(Malformed::Quote)),
        (long.as_bytes(), Some(Malformed::TooLong)),
        (longest.as_bytes(), None),
    ];
    for (argument, want) in cases {
        let got = Address::from_rcpt(argument);
        assert_eq!(got.malformed(), want, "{}", escape(argument));
        if want != Some(Malformed::Quote) {
            assert_eq!(got.domain(), Some("example.test"));
        }
    }
}

#[test]
fn a_domain_holds_no_control_either() {
    assert_eq!(Address::from_rcpt(b"<foo@example.test\r\nNOOP>").malformed(), Some(Malformed::Control));
}

#[test]
fn routes_come_off() {
    for (raw, want) in [
        ("<@a.test,@b.test:\"x y\"@d.test>", "<\"x y\"@d.test>"),
        ("@a.test:x@d.test", "x@d.test"),
        ("<x@d.test>", "<x@d.test>"),
        ("<\"@a.test:x\"@d.test>", "<\"@a.test:x\"@d.test>"),
    ] {
        let got = Address::from_rcpt(raw.as_bytes()).raw_without_route();
        assert_eq!(String::from_utf8_lossy(&got), want);
    }
}

#[test]
fn routes_are_noticed() {
    for routed in ["a%b@d", "b!a@d", "a@b@d", "a\\@b@d", "@d", "\"a@b\"@d"] {
        assert!(Address::from_rcpt(routed.as_bytes()).may_be_rerouted(), "{routed}");
    }
    assert!(!Address::from_rcpt(b"<foo+bar.baz-1@d>").may_be_rerouted());
}

#[test]
fn mailboxes_compare() {
    let a = |s: &str| Address::from_rcpt(s.as_bytes());
    assert!(a("<Foo@D.test>").same_mailbox(&a("<\"foo\"@d.TEST.>"), false));
    assert!(!a("<Foo@d.test>").same_mailbox(&a("<foo@d.test>"), true));
    assert!(a("<grüße@d.test>").same_mailbox(&a("<GRÜẞE@d.test>"), false));
    // They compare as equal, and may still be two.
    assert!(!a("<grüße@d.test>").same_mailbox(&a("<grüsse@d.test>"), false));
    assert_eq!(a("<grüße@d.test>").folded_key(false), a("<GRÜSSE@d.test>").folded_key(false));
    assert!(!a("<foo@d.test>").same_mailbox(&a("<foo@e.test>"), false));
}

#[test]
fn nothing_dangerous_becomes_an_address_of_ours() {
    assert_eq!(Address::new("x\r\nNOOP", "d.test"), Err(Malformed::Control));
    assert_eq!(Address::new("x", "d.test\n"), Err(Malformed::Control));
    assert_eq!(Address::new(&"x".repeat(256), "d.test"), Err(Malformed::TooLong));
    assert_eq!(Address::new("x y", "d.test").map(|a| a.path()), Ok("<\"x y\"@d.test>".into()));
}

#[test]
fn escaping() {
    let show = |b: &[u8]| escape(b).to_string();
    assert_eq!(show(b"<foo@example.test>"), "<foo@example.test>");
    assert_eq!(show(b"a\r\nb\"c\\d\x1b[31m\xff"), "a\\x0d\\x0ab\\\"c\\\\d\\x1b[31m\\xff");
    assert_eq!(show("grüße\u{202e}x\u{200b}".as_bytes()), "grüße\\u{202e}x\\u{200b}");
    assert_eq!(show(&[b'x'; 1000]).chars().count(), escape::MAX_SHOWN + 1);
}

proptest! {
    /// What is printed is read back as the same mailbox.
    #[test]
    fn printing_round_trips(local in "\\PC{1,40}", domain in "[a-z0-9]{1,10}(\\.[a-z]{1,5}){0,2}") {
        prop_assume!(local.trim_matches([' ', '\t']) == local || !super::is_dot_string(&local));
        let Ok(address) = Address::new(&local, &domain) else { return Ok(()) };
        let again = Address::from_rcpt(address.path().as_bytes());
        prop_assert_eq!(again.local(), &*local);
        prop_assert_eq!(again.domain(), Some(&*domain));
    }

    /// Any bytes have a reading, and none of them leaves a control in the escaped form.
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let address = Address::from_rcpt(&bytes);
        prop_assert_eq!(address.raw(), &*bytes);
        prop_assert!(!escape(&bytes).to_string().chars().any(char::is_control));
    }

    #[test]
    fn folding_is_stable(text in "\\PC{0,40}") {
        let once = fold(&text).into_owned();
        prop_assert_eq!(&*fold(&once), &*once);
    }
}

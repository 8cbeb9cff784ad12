use super::*;
use proptest::prelude::*;

/// argument, local part, domain, printed
const SPELLINGS: &[(&str, &str, &str, &str)] = &[
    ("<foo@example.test>", "foo", "example.test", "foo@example.test"),
    ("foo@example.test", "foo", "example.test", "foo@example.test"),
    ("<Foo-Macys-M5@Example.TEST>", "Foo-Macys-M5", "example.test", "Foo-Macys-M5@example.test"),
    ("<foo@example.test.>", "foo", "example.test", "foo@example.test"),
    ("<foo@example.test..>", "foo", "example.test", "foo@example.test"),
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
    ("<a\\@b@example.test>", "a@b", "example.test", "\"a@b\"@example.test"),
    ("<foo%two.test@example.test>", "foo%two.test", "example.test", "foo%two.test@example.test"),
    ("<two.test!foo@example.test>", "two.test!foo", "example.test", "two.test!foo@example.test"),
    ("<.foo@example.test>", ".foo", "example.test", "\".foo\"@example.test"),
    ("<fo..o@example.test>", "fo..o", "example.test", "\"fo..o\"@example.test"),
    ("<grüße@BÜCHER.example>", "grüße", "xn--bcher-kva.example", "grüße@xn--bcher-kva.example"),
    ("<foo@[127.0.0.1]>", "foo", "[127.0.0.1]", "foo@[127.0.0.1]"),
    ("<foo@example.test", "foo", "example.test", "foo@example.test"),
];

#[test]
fn parses_and_prints_all_spellings() {
    for (argument, local, domain, printed) in SPELLINGS {
        let got = Address::from_rcpt(argument.as_bytes());
        assert_eq!((got.local(), got.domain().unwrap_or("")), (*local, *domain), "{argument}");
        assert_eq!(got.to_string(), *printed, "{argument}");
        assert_eq!(got.raw(), argument.as_bytes());
        assert_eq!(got.malformed(), None, "{argument}");
    }
}

#[test]
fn malformed_addresses_keep_their_domain() {
    let long = format!("<{}@example.test>", "x".repeat(MAX_LOCAL_PART + 1));
    let longest = format!("<{}@example.test>", "x".repeat(MAX_LOCAL_PART));
    let cases: [(&[u8], Option<Malformed>); 6] = [
        (b"<fo\x01o@example.test>", Some(Malformed::Control)),
        (b"<fo\r\nNOOP@example.test>", Some(Malformed::Control)),
        (b"<fo\xfco@example.test>", Some(Malformed::NotUtf8)),
        (b"<\"foo@example.test>", Some(Malformed::UnclosedQuote)),
        (long.as_bytes(), Some(Malformed::TooLong)),
        (longest.as_bytes(), None),
    ];
    for (argument, want) in cases {
        let got = Address::from_rcpt(argument);
        assert_eq!(got.malformed(), want, "{}", escape(argument));
        if want != Some(Malformed::UnclosedQuote) {
            assert_eq!(got.domain(), Some("example.test"));
        }
    }
}

#[test]
fn control_characters_in_the_domain_are_malformed() {
    for argument in ["<foo@example.test\r\nNOOP>", "<foo@example.test\x01NOOP>"] {
        let address = Address::from_rcpt(argument.as_bytes());
        assert_eq!((address.malformed(), address.is_certain()), (Some(Malformed::Control), false));
    }
}

#[test]
fn spellings_that_servers_parse_differently_are_not_certain() {
    for (argument, want) in [
        ("<foo@example.test>", true),
        ("<\"a (b)\"@example.test.>", true),
        ("<@a.test,@[IPv6:2001:db8::1]:foo@example.test>", true),
        ("<a@b%c!d@example.test>", true),
        ("<foo..@example.test>", true),
        ("foo", true),
        ("<>", true),
        ("<foo@example.test", false),
        ("foo@example.test>", false),
        ("<<foo@example.test>>", false),
        ("<foo(x)@example.test>", false),
        ("<foo@example.test\r>", false),
        ("<foo @example.test>", false),
        ("<foo@>", false),
        ("<foo@\"example.test\">", false),
        ("<@a(x).test:foo@example.test>", false),
        ("<\"foo@example.test>", false),
        ("Name <foo@example.test>", false),
    ] {
        assert_eq!(Address::from_rcpt(argument.as_bytes()).is_certain(), want, "{argument}");
    }
}

/// text, local part, domain, certain
#[test]
fn from_server_keeps_special_characters() {
    for (text, local, domain, certain) in [
        ("foo@d.test", "foo", Some("d.test"), true),
        ("\"a b\"@d.test", "a b", Some("d.test"), true),
        ("g:foo(x)@d.test", "g:foo(x)", Some("d.test"), true),
        ("@a.test:foo@d.test", "@a.test:foo", Some("d.test"), true),
        ("foo@\"d.test\"", "foo", Some("\"d.test\""), false),
        ("foo@d.test@", "foo@d.test", None, false),
        ("\\foo", "foo", None, true),
        ("\"a b\"", "a b", None, true),
        ("", "", None, true),
    ] {
        let got = Address::from_server(text.as_bytes());
        assert_eq!((got.local(), got.domain(), got.is_certain()), (local, domain, certain), "{text}");
    }
}

#[test]
fn other_names_lack_route_or_brackets() {
    for (raw, want) in [
        ("<@a.test,@b.test:\"x y\"@d.test>", Some("<\"x y\"@d.test>")),
        ("@a.test:x@d.test", Some("x@d.test")),
        ("<x@d.test>", None),
        ("x@d.test", None),
        ("<\"@a.test:x\"@d.test>", None),
        ("<<x@d.test>>", Some("<x@d.test>")),
        ("<x@d.test;>", Some("x@d.test;")),
        ("<@a(x).test:<x@d.test>>", Some("<x@d.test>")),
        ("g:x@d.test;", None),
        ("<><x@d.test>", None),
    ] {
        let got = Address::from_rcpt(raw.as_bytes()).other_names();
        let got: Vec<_> = got.iter().map(|name| String::from_utf8_lossy(name)).collect();
        assert_eq!(got, want.as_slice(), "{raw}");
    }
}

#[test]
fn routed_local_parts_may_be_rerouted() {
    for routed in ["a%b@d", "b!a@d", "a@b@d", "a\\@b@d", "@d", "\"a@b\"@d"] {
        assert!(Address::from_rcpt(routed.as_bytes()).may_be_rerouted(), "{routed}");
    }
    assert!(!Address::from_rcpt(b"<foo+bar.baz-1@d>").may_be_rerouted());
}

#[test]
fn same_mailbox_compares_in_lower_case_only() {
    let a = |s: &str| Address::from_rcpt(s.as_bytes());
    assert!(a("<Foo@D.test>").same_mailbox(&a("<\"foo\"@d.TEST.>"), false));
    assert!(!a("<Foo@d.test>").same_mailbox(&a("<foo@d.test>"), true));
    assert!(a("<grüße@d.test>").same_mailbox(&a("<GRÜẞE@d.test>"), false));
    // Equal when folded, but possibly two mailboxes.
    assert!(!a("<grüße@d.test>").same_mailbox(&a("<grüsse@d.test>"), false));
    assert_eq!(a("<grüße@d.test>").folded_key(false), a("<GRÜSSE@d.test>").folded_key(false));
    assert!(!a("<foo@d.test>").same_mailbox(&a("<foo@e.test>"), false));
}

#[test]
fn new_refuses_controls_and_excessive_length() {
    assert_eq!(Address::new("x\r\nNOOP", "d.test"), Err(Malformed::Control));
    assert_eq!(Address::new("x", "d.test\n"), Err(Malformed::Control));
    assert_eq!(Address::new(&"x".repeat(256), "d.test"), Err(Malformed::TooLong));
    assert_eq!(Address::new("x y", "d.test").map(|a| a.path()), Ok("<\"x y\"@d.test>".into()));
}

#[test]
fn escape_shows_controls_and_truncates() {
    let show = |b: &[u8]| escape(b).to_string();
    assert_eq!(show(b"<foo@example.test>"), "<foo@example.test>");
    assert_eq!(show(b"a\r\nb\"c\\d\x1b[31m\xff"), "a\\x0d\\x0ab\\\"c\\\\d\\x1b[31m\\xff");
    assert_eq!(show("grüße\u{202e}x\u{200b}".as_bytes()), "grüße\\u{202e}x\\u{200b}");
    assert_eq!(show(&[b'x'; 1000]).chars().count(), escape::MAX_SHOWN + 1);
}

proptest! {
    #[test]
    fn a_printed_address_parses_to_the_same_mailbox(local in "\\PC{1,40}", domain in "[a-z0-9]{1,10}(\\.[a-z]{1,5}){0,2}") {
        prop_assume!(local.trim_matches([' ', '\t']) == local || !super::is_dot_string(&local));
        let Ok(address) = Address::new(&local, &domain) else { return Ok(()) };
        let again = Address::from_rcpt(address.path().as_bytes());
        prop_assert_eq!(again.local(), &*local);
        prop_assert_eq!(again.domain(), Some(&*domain));
    }

    #[test]
    fn any_bytes_parse_and_escape_without_controls(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let address = Address::from_rcpt(&bytes);
        prop_assert_eq!(address.raw(), &*bytes);
        prop_assert!(!escape(&bytes).to_string().chars().any(char::is_control));
    }

    #[test]
    fn folding_is_idempotent(text in "\\PC{0,40}") {
        let once = fold(&text).into_owned();
        prop_assert_eq!(&*fold(&once), &*once);
    }
}

use super::*;
use proptest::prelude::*;

fn inline(entries: &[(&str, &str)]) -> SourceSpec {
    SourceSpec::Inline(entries.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect())
}

#[test]
fn parses_and_formats_sources() {
    let host = |host: &str, port| Host::Inet(host.into(), port);
    // text, parsed source, its formatted text if that differs
    for (text, want, shown) in [
        ("resolver:virtual_alias", SourceSpec::Resolver("virtual_alias".into()), None),
        (" static:OK ", SourceSpec::Static("OK".into()), Some("static:OK")),
        ("static:{ two words }", SourceSpec::Static("two words".into()), Some("static:{two words}")),
        ("static:two words", SourceSpec::Static("two words".into()), Some("static:{two words}")),
        ("static:{{a}}", SourceSpec::Static("{a}".into()), None),
        ("static:{a} {b}", SourceSpec::Static("{a} {b}".into()), Some("static:{{a} {b}}")),
        ("static:a:b=c", SourceSpec::Static("a:b=c".into()), None),
        ("fail:{out of order}", SourceSpec::Fail("out of order".into()), None),
        ("texthash:/etc/aliases", SourceSpec::Texthash("/etc/aliases".into()), None),
        ("texthash:{/etc/my aliases}", SourceSpec::Texthash("/etc/my aliases".into()), None),
        ("lmdb:/etc/postfix/virtual", SourceSpec::Lmdb("/etc/postfix/virtual".into()), None),
        ("map:aliases-2.x", SourceSpec::Map("aliases-2.x".into()), None),
        ("database:users", SourceSpec::Database("users".into()), None),
        ("tcp:localhost:3048", SourceSpec::TcpTable(host("localhost", 3048)), None),
        ("tcp:[::1]:3048", SourceSpec::TcpTable(host("::1", 3048)), None),
        ("socketmap:inet:127.0.0.1:2224:a", SourceSpec::Socketmap(host("127.0.0.1", 2224), "a".into()), None),
        ("socketmap:inet:[::1]:2224:a", SourceSpec::Socketmap(host("::1", 2224), "a".into()), None),
        ("socketmap:unix:/run/a:b:c", SourceSpec::Socketmap(Host::Unix("/run/a:b".into()), "c".into()), None),
        (
            "inline:{a@b=c,{ d e = f, g }\n h=i=j}",
            inline(&[("a@b", "c"), ("d e", "f, g"), ("h", "i=j")]),
            Some("inline:{ a@b=c, { d e = f, g }, h=i=j }"),
        ),
        (
            "inline:{{\"a = b\"@c = d}}",
            inline(&[("\"a = b\"@c", "d")]),
            Some("inline:{ { \"a = b\"@c = d } }"),
        ),
        ("inline:{{a}=b}", inline(&[("{a}", "b")]), Some("inline:{ { {a} = b } }")),
        (
            "pipemap:{inline:{a=b, c=d} unionmap:{static:{x y},map:z}}",
            SourceSpec::Pipe(vec![
                inline(&[("a", "b"), ("c", "d")]),
                SourceSpec::Union(vec![SourceSpec::Static("x y".into()), SourceSpec::Map("z".into())]),
            ]),
            Some("pipemap:{ inline:{ a=b, c=d }, unionmap:{ static:{x y}, map:z } }"),
        ),
    ] {
        assert_eq!(text.parse(), Ok(want.clone()), "{text}");
        assert_eq!(want.to_string(), shown.unwrap_or(text));
        assert_eq!(want.to_string().parse(), Ok(want), "{text}");
    }
}

#[test]
fn errors_name_the_remedy() {
    for (text, want) in [
        ("", "\"\" is not a type of source (there are: resolver, inline,"),
        ("statik:x", "did you mean \"static\"?"),
        ("union:{}", "did you mean \"unionmap\"?"),
        ("hash:/etc/postfix/virtual", "write texthash:/PATH"),
        ("proxy:mysql:/x", "write only what follows proxy:"),
        ("mysql:/etc/postfix/m.cf", "write database:NAME"),
        (
            "memcache:/etc/postfix/m.cf",
            "it is only a cache; write the table in its parameter backup, and set cache_ttl",
        ),
        ("pcre:/x", "patterns are for the rules"),
        ("static", "lacks the colon after the type: write static:VALUE"),
        ("static:", "has no value: write static:VALUE"),
        ("static:{ }", "has no value"),
        ("static:a}b{", "braces must come in pairs"),
        ("static:{a", "braces must come in pairs"),
        ("static:\u{7}", "control character"),
        ("fail:", "has no reason: write fail:REASON"),
        ("resolver:", "lacks the view"),
        ("map:a b", "besides letters"),
        ("texthash:virtual", "needs an absolute path, which begins with /: write texthash:/PATH"),
        ("lmdb:./x", "needs an absolute path"),
        ("tcp:localhost", "has no port"),
        ("tcp:localhost:smtp", "not a number from 1 to 65535"),
        ("tcp:localhost:0", "not a number from 1 to 65535"),
        ("tcp:::1:3048", "without brackets"),
        ("tcp:[x]:3048", "not an IPv6 address"),
        ("tcp::3048", "has no host"),
        ("tcp:a b:3048", "has an invalid host name"),
        ("socketmap:inet:a:1", "write socketmap:inet:HOST:PORT:NAME"),
        ("socketmap:unix:/run/a:", "lacks the name of the map"),
        ("socketmap:a:1:b", "names neither inet: nor unix:"),
        ("inline:a=b", "has no braces"),
        ("inline:{}", "has no entry"),
        ("inline:{a}", "has an entry without = (\"a\")"),
        ("inline:{=a}", "has an entry without a key"),
        ("inline:{a=}", "has an entry without a value"),
        ("inline:{a b = c}", "has an entry without ="),
        ("unionmap:static:x", "is not in braces"),
        ("pipemap:{ , }", "no source is in the braces"),
        ("pipemap:{ static:a, hash:b }", "write texthash:/PATH"),
    ] {
        let got = text.parse::<SourceSpec>();
        assert!(got.as_ref().is_err_and(|error| error.contains(want)), "{text}: {got:?}");
    }
}

#[test]
fn limits_nesting_and_members() {
    let nested = |depth: usize| {
        format!("{}static:x{}", "unionmap:{".repeat(depth - 1), "}".repeat(depth - 1)).parse::<SourceSpec>()
    };
    assert!(nested(MAX_DEPTH).is_ok());
    assert!(nested(MAX_DEPTH + 1).is_err_and(|error| error.contains("8 deep at most")));
    assert!(nested(100_000).is_err());
    let wide = |count: usize| format!("unionmap:{{{}}}", "map:x ".repeat(count)).parse::<SourceSpec>();
    assert!(wide(MAX_MEMBERS).is_ok());
    assert!(wide(MAX_MEMBERS + 1).is_err_and(|error| error.contains("put some of them into a map")));
    let long = |length: usize| format!("static:{}", "x".repeat(length)).parse::<SourceSpec>();
    assert!(long(MAX_VALUE).is_ok() && long(MAX_VALUE + 1).is_err());
    let long = |length: usize| format!("inline:{{x={}}}", "x".repeat(length)).parse::<SourceSpec>();
    assert!(long(MAX_VALUE).is_ok() && long(MAX_VALUE + 1).is_err());
}

#[test]
fn walk_visits_all_members() {
    let source: SourceSpec = "pipemap:{unionmap:{map:a,map:b},unionmap:{map:c}}".parse().unwrap();
    let mut seen = String::new();
    source.walk(&mut |source| match source {
        SourceSpec::Map(name) => seen.push_str(name),
        _ => seen.push('('),
    });
    assert_eq!(seen, "((ab(c");
}

fn source() -> impl Strategy<Value = SourceSpec> {
    let text = || "[a-zé@.:]{1,6}([ ,]{1,2}[a-z=]{1,4}|\\{[a-z ]{0,3}\\}){0,2}";
    let key = "[a-zé@.:]{1,6}([ ,]{1,2}[a-z]{1,4}|\\{[a-z ]{0,3}\\}){0,2}";
    let host = prop_oneof![
        ("[a-z]{1,4}(\\.[a-z_]{1,2}){0,1}", 1..=u16::MAX).prop_map(|(host, port)| Host::Inet(host, port)),
        (1..=u16::MAX).prop_map(|port| Host::Inet("2001:db8::1".into(), port)),
    ];
    let path = || text().prop_map(|text| PathBuf::from(format!("/{text}")));
    let leaf = prop_oneof![
        "[a-z_]{1,6}".prop_map(SourceSpec::Resolver),
        prop::collection::vec((key, text()), 1..4).prop_map(SourceSpec::Inline),
        text().prop_map(SourceSpec::Static),
        text().prop_map(SourceSpec::Fail),
        path().prop_map(SourceSpec::Texthash),
        path().prop_map(SourceSpec::Lmdb),
        "[a-z0-9._-]{1,6}".prop_map(SourceSpec::Map),
        "[a-z0-9._-]{1,6}".prop_map(SourceSpec::Database),
        host.clone().prop_map(SourceSpec::TcpTable),
        (host, "[a-z]{1,4}").prop_map(|(host, map)| SourceSpec::Socketmap(host, map)),
        (path(), "[a-z]{1,4}").prop_map(|(path, map)| SourceSpec::Socketmap(Host::Unix(path), map)),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        let members = || prop::collection::vec(inner.clone(), 1..4);
        prop_oneof![members().prop_map(SourceSpec::Union), members().prop_map(SourceSpec::Pipe)]
    })
}

proptest! {
    #[test]
    fn formatted_sources_parse_as_the_same(source in source()) {
        prop_assert_eq!(source.to_string().parse(), Ok(source));
    }

    #[test]
    fn parsed_texts_format_and_parse_as_the_same(
        text in "(static|inline|unionmap|pipemap|tcp|socketmap|fail):[a-z{}:=, /\"]{0,30}",
    ) {
        if let Ok(source) = text.parse::<SourceSpec>() {
            prop_assert_eq!(source.to_string().parse(), Ok(source));
        }
    }
}

use super::*;
use alias_rules::{Options, load};
use proptest::prelude::*;

const RULES: &str = "ACCOUNT foo, bar MATCHES %account%-%alpha%-%code% WITH CHARS();
ACCOUNT foo ALIASED pinky MATCHES %alias%-%alpha%-%code% WITH CHARS();";

fn compiled(script: &str) -> Result<Script, Vec<String>> {
    let options = Options { fold: true, ..Options::default() };
    let rules = load(&[Text::new("a.rules", RULES)], &options).expect("rules").rules;
    Script::load(&Text::new("script.rhai", script), &Arc::new(rules), "example.test")
        .map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

/// Calls `preprocess` and formats the result: `name`, `name@domain`, `-` for no alias, `fault: …`.
fn call(script: &Script, local: &str) -> String {
    match script.call(ScriptFunction::Preprocess, local, "example.test") {
        None => "undefined".into(),
        Some(Ok(Returned::NoAlias)) => "-".into(),
        Some(Ok(Returned::Same)) => "a script never returns this".into(),
        Some(Ok(Returned::Name { local, domain: None })) => local,
        Some(Ok(Returned::Name { local, domain: Some(domain) })) => format!("{local}@{domain}"),
        Some(Err(fault)) => format!("fault: {fault}"),
    }
}

/// Scripts, each with names and their results. A script is the body of `fn preprocess(alias, domain)`, and must
/// pass the trial call with postmaster.
#[test]
fn converts_names() {
    let cases: &[(&str, &[(&str, &str)])] = &[
        ("alias", &[("foo", "foo"), ("FOO", "FOO"), ("grüße", "grüße")]),
        ("[alias, domain]", &[("foo", "foo@example.test")]),
        ("[alias, ()]", &[("foo", "foo")]),
        ("()", &[("foo", "-")]),
        ("\"\"", &[("foo", "-")]),
        ("[\"\", domain]", &[("foo", "-")]),
        ("[(), ()]", &[("foo", "-")]),
        ("alias + \"-x\"", &[("foo", "foo-x")]),
        ("`${alias}.${domain}`", &[("foo", "foo.example.test")]),
        ("alias.replace(\".\", \"\"); alias", &[("f.o.o", "foo")]),
        ("alias.to_upper()", &[("foo", "FOO")]),
        ("if alias in ACCOUNTS { alias } else { () }", &[("foo", "foo"), ("FOO", "FOO"), ("pinky", "-")]),
        ("if alias in ALIASES { alias } else { () }", &[("foo", "-"), ("pinky", "pinky")]),
        ("if ACCOUNTS.contains(alias) { `${ACCOUNTS.len()}${ALIASES.len()}` }", &[("foo", "21"), ("x", "-")]),
        (
            "let parts = alias.split(\"--\"); if parts.len() == 2 { [parts[1], parts[0] + \".test\"] } else { alias }",
            &[("shop--foo", "foo@shop.test"), ("foo", "foo")],
        ),
        (
            "switch alias { \"a\" => \"foo\", \"b\" => \"bar\", _ => alias }",
            &[("a", "foo"), ("b", "bar"), ("c", "c")],
        ),
        (
            "if alias == \"1\" { 1 } else if alias == \"2\" { [alias] } else if alias == \"3\" { [alias, 3] } \
             else if alias == \"4\" { #{} } else if alias == \"5\" { [3, domain] } else { alias }",
            &[
                (
                    "1",
                    "fault: script.rhai: preprocess: it returned i64 instead of a text, [text, domain] or ()",
                ),
                (
                    "2",
                    "fault: script.rhai: preprocess: it returned a list of 1 instead of a text, [text, domain] or ()",
                ),
                ("3", "fault: script.rhai: preprocess: it returned a list of other things instead of"),
                ("4", "fault: script.rhai: preprocess: it returned map instead of"),
                ("5", "fault: script.rhai: preprocess: it returned a list of other things instead of"),
            ],
        ),
    ];
    for (body, names) in cases {
        let script = compiled(&format!("fn preprocess(alias, domain) {{ {body} }}"))
            .unwrap_or_else(|p| panic!("{p:?}"));
        for (name, want) in *names {
            let got = call(&script, name);
            assert!(
                got == *want || want.starts_with("fault") && got.starts_with(want),
                "{body}: {name}: {got}"
            );
        }
        assert_eq!(script.call(ScriptFunction::Postprocess, "foo", "example.test"), None);
    }
}

/// Errors at run time are reported with their position, if the engine knows it, and have no other effect.
#[test]
fn reports_run_time_errors() {
    let mut wrong = Vec::new();
    for (body, want) in [
        ("no_such(alias)", "fault: script.rhai:2:1: preprocess: Function not found: no_such"),
        ("alias + no_such", "fault: script.rhai:2:9: preprocess: Variable not found: no_such"),
        ("1 / 0", "fault: script.rhai:2:3: preprocess: Division by zero"),
        ("9223372036854775807 + 1", "fault: script.rhai:2:21: preprocess: Addition overflow"),
        ("[1][5]", "fault: script.rhai:2:5: preprocess: Array index 5 out of bounds"),
        ("\"foo\"[7]", "fault: script.rhai:2:7: preprocess: String index 7 out of bounds"),
        ("throw \"a\\nb\" + alias", "fault: script.rhai:2:1: preprocess: Runtime error: a\nbfoo"),
        ("ACCOUNTS = 1; alias", "fault: script.rhai:2:"),
        ("3 in ACCOUNTS; alias", "fault: script.rhai:2:"),
        ("for x in ACCOUNTS { }; alias", "fault: script.rhai:2:"),
        ("inner(alias)", "fault: script.rhai:4:21: preprocess: Division by zero"),
        // Endless loops.
        ("loop { }", "fault: script.rhai: preprocess: Too many operations"),
        ("while true { let x = 1; }", "fault: script.rhai: preprocess: Too many operations"),
        ("for x in 0..9223372036854775807 { } alias", "fault: script.rhai: preprocess: Too many operations"),
        ("recurse(alias)", "fault: script.rhai: preprocess: Stack overflow"),
        ("preprocess(alias, domain)", "fault: script.rhai: preprocess: Stack overflow"),
        (
            "let f = |x| x; f.call(1); Fn(\"recurse\").call(alias)",
            "fault: script.rhai: preprocess: Stack overflow",
        ),
        // Unlimited data.
        ("let s = alias; loop { s += s; }", "fault: script.rhai: preprocess: Length of string too large"),
        (
            "let s = alias; s.pad(1000000, 'x'); s",
            "fault: script.rhai: preprocess: Length of string too large",
        ),
        (
            "let s = \"\"; s.pad(2048, 'x'); s.replace(\"x\", s); s",
            "fault: script.rhai: preprocess: Length of string too large",
        ),
        ("let l = [alias]; loop { l += l; }", "fault: script.rhai: preprocess: Length of string too large"),
        ("let l = []; loop { l.push(alias); }", "fault: script.rhai: preprocess: Length of string too large"),
        (
            "let l = []; l.pad(1000000, 0); alias",
            "fault: script.rhai: preprocess: Size of array/BLOB too large",
        ),
        (
            "let m = #{}; let i = 0; loop { m[`${i}`] = i; i += 1; }",
            "fault: script.rhai: preprocess: Too many operations",
        ),
        // Functions that are not available.
        ("sleep(1); alias", "fault: script.rhai:2:1: preprocess: Function not found: sleep"),
        ("exit(alias)", "fault: script.rhai:2:1: preprocess: Function not found: exit"),
        ("timestamp(); alias", "fault: script.rhai:2:1: preprocess: Function not found: timestamp"),
        ("open_file(alias)", "fault: script.rhai:2:1: preprocess: Function not found: open_file"),
        ("parse_json(alias)", "fault: script.rhai:2:1: preprocess: Function not found: parse_json"),
        ("Fn(\"eval\").call(alias)", "fault: script.rhai: preprocess: Syntax error: 'eval'"),
        ("blob(1000000); alias", "fault: script.rhai:2:1: preprocess: Function not found: blob"),
    ] {
        // The trial call with postmaster does not find these errors.
        let script = format!(
            "fn preprocess(alias, domain) {{ if alias == \"postmaster\" {{ return alias; }}\n{body}\n}}\n\
             fn inner(alias) {{ 1 / 0 }}\nfn recurse(alias) {{ recurse(alias) + recurse(alias) }}\n"
        );
        let script = compiled(&script).unwrap_or_else(|problems| panic!("{body}: {problems:?}"));
        let got = call(&script, "foo");
        if !got.starts_with(want) {
            wrong.push(format!("{body}: {got}"));
        }
        assert_eq!(call(&script, "postmaster"), "postmaster");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Lists and maps hold exactly as many entries as the limit.
#[test]
fn limits_lists_and_maps() {
    let script = compiled(
        "fn preprocess(alias, domain) {\n\
             if alias == \"postmaster\" { return alias; }\n\
             let l = []; l.pad(parse_int(alias), 0); `${l.len()}`\n}",
    );
    let script = script.expect("a script");
    assert_eq!(call(&script, &MAX_LIST.to_string()), MAX_LIST.to_string());
    let got = call(&script, &(MAX_LIST + 1).to_string());
    assert!(got.contains("Size of array/BLOB too large"), "{got}");
}

/// The engine rejects a list literal one entry earlier.
#[test]
fn limits_list_literals() {
    let list = |n: usize| format!("[{}]", "0,".repeat(n));
    let map = |n: usize| {
        let entries: Vec<String> = (0..n).map(|i| format!("a{i}: 0")).collect();
        format!("#{{{}}}", entries.join(","))
    };
    let load = |value: String| compiled(&format!("const L = {value};\nfn preprocess(a, d) {{ a }}"));
    for (good, many) in [(list(MAX_LIST - 1), list(MAX_LIST + 1)), (map(MAX_LIST - 1), map(MAX_LIST + 1))] {
        assert_eq!(load(good).err(), None);
        let problems = load(many).expect_err("too many");
        assert!(problems[0].contains("exceeds the maximum limit (1024)"), "{problems:?}");
    }
}

/// The deepest script that can be loaded does not exhaust a stack of 2 MiB, the size in threads of tokio.
#[test]
fn deepest_script_fits_the_stack() {
    let nested = |n: usize| format!("{}recurse(x){}", "(1 + ".repeat(n), ")".repeat(n));
    let depth = (1..=2 * MAX_DEPTH).rev().find(|n| {
        compiled(&format!("fn preprocess(a, d) {{ a }} fn recurse(x) {{ {} }}", nested(*n))).is_ok()
    });
    let body = nested(depth.expect("some depth"));
    let script = format!(
        "fn preprocess(a, d) {{ if a == \"foo\" {{ recurse(1) }} else {{ a }} }}\nfn recurse(x) {{ {body} }}"
    );
    let got = call(&compiled(&script).expect("a script"), "foo");
    assert!(got.contains("Stack overflow"), "{got}");
}

#[test]
fn rejects_invalid_scripts() {
    for (script, want) in [
        (
            "",
            &[
                "script.rhai:1:1: error: the script defines no function (write fn preprocess(alias, domain) or fn postprocess(account, domain))",
            ] as &[_],
        ),
        ("fn other(a, b) { a }", &["script.rhai:1:1: error: the script defines no function"]),
        (
            "fn preprocess(alias) { alias }\nfn postprocess() { () }",
            &[
                "script.rhai:1:4: error: preprocess has 1 parameters instead of 2 (write fn preprocess(alias, domain))",
                "script.rhai:2:4: error: postprocess has 0 parameters instead of 2",
            ],
        ),
        (
            "fn preprocess(alias, domain) {\n  1 +\n}",
            &["script.rhai:3:1: error: the script cannot be read: "],
        ),
        ("fn preprocess(a, d) { a", &["script.rhai:1:24: error: the script cannot be read: "]),
        (
            "fn preprocess(a, d) { eval(a) }",
            &["script.rhai:1:23: error: the script cannot be read: reserved keyword 'eval'"],
        ),
        (
            "fn preprocess(a, d) { print(a) }",
            &["script.rhai:1:23: error: the script cannot be read: reserved keyword 'print'"],
        ),
        (
            "import \"x\" as x;\nfn preprocess(a, d) { a }",
            &["script.rhai:1:1: error: the script cannot be read: "],
        ),
        (
            "const X = no_such();\nfn preprocess(a, d) { a }",
            &["script.rhai:1:11: error: the script fails outside of its functions: Function not found"],
        ),
        ("loop {}\nfn preprocess(a, d) { a }", &["script.rhai:1:"]),
        // Errors in the trial call.
        (
            "fn preprocess(a, d) {\n a.lenght() }",
            &[
                "script.rhai:2:4: error: preprocess(\"postmaster\", \"example.test\") fails: Function not found: lenght",
            ],
        ),
        (
            "fn postprocess(a, d) { 3 }",
            &["script.rhai:1:1: error: postprocess(\"postmaster\", \"example.test\") fails: it returned i64"],
        ),
    ] {
        let got = compiled(script).expect_err(script);
        assert_eq!(got.len(), want.len(), "{script}: {got:?}");
        assert!(got.iter().zip(want).all(|(got, want)| got.starts_with(want)), "{script}: {got:?}");
    }
    let many = |n: usize| (0..n).fold(String::new(), |all, i| format!("{all}fn f{i}() {{ }}\n"));
    let hook = "fn preprocess(a, d) { a }";
    assert!(compiled(&(many(MAX_FUNCTIONS - 1) + hook)).is_ok());
    assert!(compiled(&(many(MAX_FUNCTIONS) + hook)).expect_err("many")[0].contains("functions"));
    let variables = |n: usize| (0..n).fold(String::new(), |all, i| format!("{all} let v{i} = a;"));
    let with = |n: usize| compiled(&format!("fn preprocess(a, d) {{ {} a }}", variables(n)));
    // The two parameters count as variables.
    assert!(with(MAX_VARIABLES - 2).is_ok());
    assert!(with(MAX_VARIABLES - 1).expect_err("many")[0].contains("Too many variables"));
    let deep = "(".repeat(4000) + "1" + ")".repeat(4000).as_str();
    assert!(compiled(&format!("fn preprocess(a, d) {{ {deep} }}")).is_err());
}

#[test]
fn functions_see_variables_outside_of_them() {
    let script = "const TABLE = #{ \"a\": \"foo\", \"b\": \"bar\" };\nlet count = ACCOUNTS.len();\n\
                  fn preprocess(alias, domain) { if alias == \"n\" { `${count}` } else { TABLE[alias] } }\n\
                  fn postprocess(account, domain) { TABLE = 3; account }";
    // The trial call reports that a constant cannot be changed.
    assert!(compiled(script).expect_err("a constant")[0].starts_with("script.rhai:4:"));
    let script = compiled(&script.replace("TABLE = 3; ", "")).expect("a script");
    for (name, want) in [("a", "foo"), ("b", "bar"), ("c", "-"), ("n", "2")] {
        assert_eq!(call(&script, name), want, "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// For any name a script only returns a result, and the result does not depend on earlier calls.
    #[test]
    fn result_depends_on_the_arguments_only(names in proptest::collection::vec("\\PC{0,20}|[a-z.]{0,300}", 1..5)) {
        let script = "fn preprocess(alias, domain) {
            let out = \"\";
            for c in alias { if c != '.' { out += c; } }
            if out in ACCOUNTS { [out, domain] } else { out }
        }";
        let script = compiled(script).expect("a script");
        let first: Vec<String> = names.iter().map(|name| call(&script, name)).collect();
        for (name, first) in names.iter().zip(&first) {
            prop_assert_eq!(&call(&script, name), first);
            let plain = name.replace('.', "");
            prop_assert!(first.starts_with("fault") || first == "-" || first.starts_with(&plain), "{}", first);
        }
    }
}

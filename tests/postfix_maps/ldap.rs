//! Directories.

use super::stores::{certificate, fake_directory, free_port, open, slapd, slapd_with};
use super::{Postfix, PostmapResult, imported};
use rcptd::map::Source;
use rcptd::map::case_folded::CaseFolded;
use rcptd::map::database::Database;
use rcptd::map::settings::{Attributes, DatabaseSettings, Kind, Query, Scope};
use rcptd::net::host::Host;
use std::fmt::Write as _;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

const ENTRIES: &str = "\
dn: dc=example,dc=test
objectClass: dcObject
objectClass: organization
dc: example
o: example

dn: ou=one.test,dc=example,dc=test
objectClass: organizationalUnit
ou: one.test
description: virtual

dn: ou=elsewhere,dc=example,dc=test
objectClass: referral
objectClass: extensibleObject
ou: elsewhere
ref: ldap://other.example.test/dc=other

dn: uid=ann,ou=one.test,dc=example,dc=test
objectClass: inetOrgPerson
uid: ann
cn: Ann
cn;lang-de: Anna
sn: One
mail: ann@one.test
mail: ann@two.test
description: ann@store.test
description;lang-de: falsch@store.test

dn: uid=bob,ou=one.test,dc=example,dc=test
objectClass: inetOrgPerson
uid: bob
cn: Bob
sn: One
mail: bob@one.test
mail: both@one.test
description;lang-de: bob@store.test

dn: uid=cyn,ou=one.test,dc=example,dc=test
objectClass: inetOrgPerson
uid: cyn
cn: Cyn
sn: One
mail: cyn@one.test
mail: both@one.test
description: cyn@store.test

";

const TREE: &str = "dc=example,dc=test";

/// A base, a filter, an attribute, a scope.
const SEARCHES: &[(&str, &str, &str, Scope)] = &[
    (TREE, "(mail=%s)", "description", Scope::Sub),
    (TREE, "(mail=%s)", "DESCRIPTION", Scope::Sub),
    (TREE, "(mail=%s)", "description;lang-de", Scope::Sub),
    (TREE, "(mail=%s)", "mail", Scope::Sub),
    (TREE, "(mail=%s)", "cn", Scope::Sub),
    (TREE, "(mail=%s)", "name", Scope::Sub),
    (TREE, "(mail=%s)", "commonName", Scope::Sub),
    (TREE, "(mail=%s)", "2.5.4.13", Scope::Sub),
    (TREE, "(mail=%s)", "noSuchAttribute", Scope::Sub),
    (TREE, "(&(uid=%u)(mail=*@%d))", "description", Scope::Sub),
    (TREE, "(&(uid=%U)(mail=*@%2.%1))", "description", Scope::Sub),
    ("ou=%2.%1,dc=example,dc=test", "(mail=%S)", "description", Scope::Sub),
    (TREE, "(|(mail=%s)(uid=%u))", "description", Scope::One),
    ("ou=%d,dc=example,dc=test", "(mail=%s)", "description", Scope::Sub),
    ("ou=%d,dc=example,dc=test", "(objectClass=*)", "description", Scope::Base),
    ("uid=%u,ou=one.test,dc=example,dc=test", "(objectClass=*)", "description", Scope::Base),
    ("uid=%u,ou=%d,dc=example,dc=test", "(objectClass=*)", "description", Scope::Base),
    ("uid=%u,ou=nothing,dc=example,dc=test", "(objectClass=*)", "description", Scope::Base),
    ("ou=nothing,dc=example,dc=test", "(mail=%s)", "description", Scope::Sub),
    ("uid=%u,dc=other", "(objectClass=*)", "description", Scope::Base),
    // Another directory.
    ("ou=elsewhere,dc=example,dc=test", "(mail=%s)", "description", Scope::Sub),
    ("uid=%u,ou=elsewhere,dc=example,dc=test", "(mail=%s)", "description", Scope::Base),
];

const KEYS: &[&str] = &[
    "ann@one.test",
    "Ann@One.Test",
    "ann@two.test",
    "bob@one.test",
    "cyn@one.test",
    "both@one.test",
    "nobody@one.test",
    "x@three.test",
    "@one.test",
    "@",
    "ann@",
    "ann",
    "one.test",
    "*",
    "*@one.test",
    "(",
    ")(uid=*",
    "a\\2a@one.test",
    "ann,ou=one.test@one.test",
];

/// Where rcptd does not answer on purpose (rcptd.maps(5)): the attribute is another one's name or a number, so that
/// nothing that Postfix reads has it; the tree is not on this server.
fn is_meant(base: &str, attribute: &str, theirs: &PostmapResult) -> bool {
    let other_name = ["name", "commonName", "2.5.4.13"].contains(&attribute);
    let no_tree = base.contains('%') && (base.contains("dc=other") || base.contains("ou=nothing"));
    *theirs == PostmapResult::NotFound && (other_name || no_tree)
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Compares one map, imported and not, with Postfix. Adds differences to `faults`, except those for which `is_meant`
/// holds. Returns how many keys have a value, and how many differ on purpose.
async fn compare(
    (database, port): (&Arc<dyn Database>, u16),
    postfix: &Postfix,
    (base, filter, attributes, scope): (&str, &str, &Attributes, Scope),
    keys: &[&str],
    (is_meant, faults): (impl Fn(&str, &PostmapResult, &PostmapResult) -> bool, &mut Vec<String>),
) -> (usize, usize) {
    let query =
        Query::Ldap { base: base.into(), filter: filter.into(), attributes: attributes.clone(), scope };
    let table = CaseFolded::new(database.table(&query).unwrap(), true);
    let scope = match scope {
        Scope::Base => "base",
        Scope::One => "one",
        Scope::Sub => "sub",
    };
    let mut settings = format!(
        "server_host = ldap://127.0.0.1:{port}\nversion = 3\nbind = no\nsearch_base = {base}\nquery_filter = {filter}\n\
         scope = {scope}\nresult_attribute = {}\n",
        attributes.plain.join(" "),
    );
    let Attributes { special, leaf, terminal, recursion_limit, .. } = attributes;
    for (name, names) in [("special", special), ("leaf", leaf), ("terminal", terminal)] {
        if !names.is_empty() {
            writeln!(settings, "{name}_result_attribute = {}", names.join(", ")).unwrap();
        }
    }
    if *recursion_limit != Attributes::default().recursion_limit {
        writeln!(settings, "recursion_limit = {recursion_limit}").unwrap();
    }
    let imported = imported("ldap", &settings);
    let (mut found, mut meant) = (0, 0);
    for (key, theirs) in keys.iter().zip(postfix.results("ldap", &settings, keys)) {
        let ours = PostmapResult::from(table.look_up(key).await);
        found += usize::from(matches!(ours, PostmapResult::Value(_)));
        let same = PostmapResult::from(imported.look_up(key).await);
        let about = format!("{base} {filter} {attributes:?} {key:?}");
        if same != ours {
            faults.push(format!("{about}: imported {same:?}, rcptd {ours:?}"));
        }
        if ours == theirs {
            continue;
        }
        if is_meant(key, &ours, &theirs) {
            meant += 1;
        } else {
            faults.push(format!("{about}: Postfix returns {theirs:?}, rcptd {ours:?}"));
        }
    }
    (found, meant)
}

fn directory_at(port: u16) -> Arc<dyn Database> {
    let hosts = vec![Host::Inet("127.0.0.1".into(), port)];
    open(&DatabaseSettings { hosts, ..DatabaseSettings::new("users", Kind::Ldap) }).unwrap()
}

#[tokio::test]
async fn directory() {
    let folder = tempfile::Builder::new().prefix("rcptd-ldap-").tempdir().unwrap();
    let server = slapd(folder.path(), ENTRIES);
    let postfix = Postfix::begin();
    let database = directory_at(server.port);
    let mut faults = Vec::new();
    let (mut found, mut meant) = (0, 0);
    for (base, filter, attribute, scope) in SEARCHES {
        let meaning = (base, attribute);
        let is_meant = |_: &str, ours: &PostmapResult, theirs: &PostmapResult| {
            *ours == PostmapResult::Failure && is_meant(meaning.0, meaning.1, theirs)
        };
        let question = (*base, *filter, &Attributes::from(*attribute), *scope);
        let counts =
            compare((&database, server.port), &postfix, question, KEYS, (is_meant, &mut faults)).await;
        found += counts.0;
        meant += counts.1;
    }
    assert!(found > 20 && meant > 5, "{found} found, {meant} meant");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Groups: each has an address like its name, these attributes, and what extensibleObject allows. `DN` is the end of
/// each name; members of the group "team" are in `ENTRIES`.
const GROUPS: &[(&str, &[&str])] = &[
    (
        "team",
        &["description: team@store.test", "member: uid=ann,ou=one.test,DN", "member: uid=bob,ou=one.test,DN"],
    ),
    ("nested", &["member: cn=team,DN", "member: uid=cyn,ou=one.test,DN", "member: uid=ann,ou=one.test,DN"]),
    (
        "mixed",
        &["member: cn=nested,DN", "labeledURI: ldap:///DN??sub?(mail=both@one.test)", "description: mixed"],
    ),
    ("bare", &["description: bare@store.test"]),
    // References to nothing.
    ("partly", &["member: uid=gone,ou=one.test,DN", "member: uid=cyn,ou=one.test,DN"]),
    ("gone", &["member: uid=gone,ou=one.test,DN"]),
    ("kept", &["member: uid=gone,ou=one.test,DN", "description: kept@store.test"]),
    ("lost", &["member: uid=x,ou=nowhere,DN", "member: uid=cyn,ou=one.test,DN"]),
    ("foreign", &["member: uid=x,dc=other", "member: uid=cyn,ou=one.test,DN"]),
    ("lost-url", &["labeledURI: ldap:///ou=nowhere,DN??sub?(uid=ann)", "member: uid=cyn,ou=one.test,DN"]),
    // Entries that have no values, and an entry that is no person.
    ("valueless", &["member: cn=nothing,DN"]),
    ("nothing", &[]),
    ("unit", &["member: ou=one.test,DN"]),
    // Circles.
    ("self", &["member: cn=self,DN", "description: self@store.test"]),
    ("ring1", &["member: cn=ring2,DN"]),
    ("ring2", &["member: uid=ann,ou=one.test,DN", "member: cn=ring1,DN"]),
    ("self-url", &["labeledURI: ldap:///DN??sub?(mail=self-url@one.test)"]),
    // A chain.
    ("deep1", &["member: cn=deep2,DN"]),
    ("deep2", &["member: cn=deep3,DN"]),
    ("deep3", &["member: uid=ann,ou=one.test,DN"]),
    // Twice the same.
    ("double", &["member: cn=team,DN", "labeledURI: ldap:///cn=team,DN"]),
    // URLs.
    ("url", &["labeledURI: ldap:///ou=one.test,DN?description?sub?(mail=both@one.test)"]),
    ("url-all", &["labeledURI: ldap:///ou=one.test,DN??one?(%7C(mail=ann@one.test)(uid=cyn))"]),
    ("url-base", &["labeledURI: ldap:///uid=ann,ou=one.test,DN?mail"]),
    ("url-bare", &["labeledURI: ldap:///uid=ann,ou=one.test,DN"]),
    ("url-host", &["labeledURI: ldap://other.example:1/uid=ann,ou=one.test,DN?MAIL,cn?base"]),
    ("url-other", &["labeledURI: ldap:///uid=ann,ou=one.test,DN?uid"]),
    ("url-option", &["labeledURI: ldap:///uid=ann,ou=one.test,DN?description;lang-de"]),
    ("url-member", &["labeledURI: ldap:///DN?member,mail?sub?(cn=team)"]),
    ("url-scope", &["labeledURI: ldap:///DN??tree?(cn=team)"]),
    ("url-filter", &["labeledURI: ldap:///DN??sub?(cn=team"]),
    ("url-percent", &["labeledURI: ldap:///DN??sub?(cn=%zz)"]),
    ("url-case", &["labeledURI: LDAP:///uid=ann%2Cou=one.test,DN"]),
    ("no-dn", &["labeledURI: http://www.example.test/"]),
    ("label", &["labeledURI: ldap:///uid=ann,ou=one.test,DN Ann"]),
    // Terminal attributes.
    ("host", &["member: cn=team,DN", "destinationIndicator: host@lists.test", "description: host"]),
    ("above", &["member: cn=host,DN", "member: uid=cyn,ou=one.test,DN"]),
    // Two entries with the same address.
    ("twin1", &["mail: twins@one.test", "destinationIndicator: twin1@lists.test"]),
    ("twin2", &["mail: twins@one.test", "description: twin2@store.test"]),
    ("pair1", &["mail: pair@one.test", "member: cn=team,DN"]),
    ("pair2", &["mail: pair@one.test", "description: pair2@store.test"]),
];

/// Attributes: plain, special, leaf, terminal.
const ATTRIBUTES: &[[&str; 4]] = &[
    ["mail description", "", "", ""],
    ["description mail cn", "", "", ""],
    ["description;lang-de mail", "", "", ""],
    ["description description;lang-de", "", "", ""],
    ["description", "member", "", ""],
    ["description", "member labeledURI", "", ""],
    ["mail description", "member labeledURI", "", ""],
    ["", "member labeledURI", "mail", ""],
    ["", "labeledURI member", "mail description", ""],
    ["description", "member labeledURI", "mail", ""],
    ["description", "member labeledURI", "mail", "destinationIndicator"],
    ["", "member labeledURI", "mail", "destinationIndicator"],
    ["", "", "mail", "destinationIndicator"],
    ["", "", "", "destinationIndicator"],
    ["description", "", "", "mail"],
    ["description;lang-de", "member labeledURI", "mail", ""],
    ["mail", "mail member", "", ""],
    ["MAIL", "MEMBER", "", ""],
];

/// Keys for which rcptd differs on purpose (rcptd.maps(5)): an entry that others refer to may be one that this directory
/// lacks; the values of an entry that count do not depend on the entry before it.
fn is_meant_of_groups(key: &str, ours: &PostmapResult, theirs: &PostmapResult) -> bool {
    match key.split('@').next().unwrap() {
        "gone" | "kept" => *ours == PostmapResult::Failure && *theirs == PostmapResult::NotFound,
        "lost" | "foreign" | "lost-url" | "label" => {
            *ours == PostmapResult::Failure && *theirs != PostmapResult::Failure
        }
        "twins" | "pair" => matches!(ours, PostmapResult::Value(_)) && *theirs != PostmapResult::Failure,
        _ => false,
    }
}

#[tokio::test]
async fn groups() {
    let mut entries = ENTRIES.to_owned();
    for (name, lines) in GROUPS {
        write!(
            entries,
            "dn: cn={name},{TREE}\nobjectClass: device\nobjectClass: extensibleObject\ncn: {name}\n\
             mail: {name}@one.test\n{}\n\n",
            lines.join("\n").replace("DN", TREE)
        )
        .unwrap();
    }
    let folder = tempfile::Builder::new().prefix("rcptd-ldap-").tempdir().unwrap();
    let server = slapd(folder.path(), &entries);
    let (postfix, database) = (Postfix::begin(), directory_at(server.port));
    let keys: Vec<String> = GROUPS.iter().map(|(name, _)| format!("{name}@one.test")).collect();
    let mut keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    keys.extend(["twins@one.test", "pair@one.test", "ann@one.test", "both@one.test", "nobody@one.test"]);
    let default = Attributes::default().recursion_limit;
    let all = ATTRIBUTES.iter().map(|names| (names, default, &*keys));
    let deep = ["deep1@one.test", "deep2@one.test", "deep3@one.test", "bare@one.test", "url-other@one.test"];
    let limited = (1..=5).map(|limit| (&ATTRIBUTES[7], limit, &deep[..]));
    let mut faults = Vec::new();
    let (mut found, mut meant) = (0, 0);
    for ([plain, special, leaf, terminal], recursion_limit, keys) in all.chain(limited) {
        let (plain, special, leaf, terminal) = (words(plain), words(special), words(leaf), words(terminal));
        let attributes = Attributes { plain, special, leaf, terminal, recursion_limit };
        let question = (TREE, "(mail=%s)", &attributes, Scope::Sub);
        let is_meant = (is_meant_of_groups, &mut faults);
        let counts = compare((&database, server.port), &postfix, question, keys, is_meant).await;
        found += counts.0;
        meant += counts.1;
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(found > 200 && meant > 10, "{found} found, {meant} meant");
}

/// Asks Postfix in a thread, since it waits for a second before it fails.
fn asked(settings: String, keys: &'static [&'static str]) -> JoinHandle<Vec<PostmapResult>> {
    thread::spawn(move || Postfix::begin().results("ldap", &settings, keys))
}

/// Whether Postfix and rcptd return a result, or fail.
const FAILS: bool = false;
const ANSWERS: bool = true;

/// Servers, logins and bases, as lines of the file of Postfix, and whether the lookup has a result.
const SERVERS: &[(&str, bool)] = &[
    ("server_host = ldap://127.0.0.1:PORT/", ANSWERS),
    ("server_host = 127.0.0.1\nserver_port = PORT", ANSWERS),
    ("server_host = ldap://127.0.0.1:CLOSED 127.0.0.1:PORT", ANSWERS),
    ("server_host = ldap://127.0.0.1:CLOSED", FAILS),
    ("server_host = ldapi://SOCKET/", ANSWERS),
    ("server_host = ldapi://SOCKETx/", FAILS),
    ("server_host = ldaps://127.0.0.1:TLS\ntls_ca_cert_file = CA\ntls_require_cert = yes", ANSWERS),
    ("server_host = ldaps://localhost:TLS\ntls_ca_cert_file = CA\ntls_require_cert = yes", FAILS),
    ("server_host = ldaps://127.0.0.1:PORT\ntls_ca_cert_file = CA\ntls_require_cert = yes", FAILS),
    ("server_host = ldap://127.0.0.1:TLS", FAILS),
    (
        "server_host = ldap://127.0.0.1:PORT\nstart_tls = yes\ntls_ca_cert_file = CA\ntls_require_cert = yes",
        ANSWERS,
    ),
    (
        "server_host = ldap://localhost:PORT\nstart_tls = yes\ntls_ca_cert_file = CA\ntls_require_cert = yes",
        FAILS,
    ),
    (
        "server_host = ldap://127.0.0.1:PORT\nbind = yes\nbind_dn = cn=manager,dc=example,dc=test\nbind_pw = secret",
        ANSWERS,
    ),
    (
        "server_host = ldap://127.0.0.1:PORT\nbind = yes\nbind_dn = cn=manager,dc=example,dc=test\nbind_pw = wrong",
        FAILS,
    ),
    (
        "server_host = ldap://127.0.0.1:PORT\nbind = yes\nbind_dn = cn=nobody,dc=example,dc=test\nbind_pw = x",
        FAILS,
    ),
    ("server_host = ldap://127.0.0.1:PORT\nbind = yes\nbind_dn = nobody\nbind_pw = x", FAILS),
    ("server_host = ldap://127.0.0.1:PORT\nsearch_base = ou=nowhere,dc=example,dc=test", FAILS),
    ("server_host = ldap://127.0.0.1:PORT\nsearch_base = dc=other", FAILS),
    ("server_host = ldap://127.0.0.1:PORT\nsearch_base = no DN", FAILS),
    // The server allows two entries, and there are three.
    ("server_host = ldap://127.0.0.1:PORT\nquery_filter = (|(mail=%s)(objectClass=inetOrgPerson))", FAILS),
];

#[tokio::test]
async fn servers() {
    let folder = tempfile::Builder::new().prefix("rcptd-ldap-").tempdir().unwrap();
    let server = slapd_with(folder.path(), ENTRIES, "limits anonymous size=2\n");
    let keys = &["ann@one.test", "nobody@one.test"];
    let socket = folder.path().join("ldapi").display().to_string().replace('/', "%2F");
    let ca = certificate("ca.pem").display().to_string();
    let settings = |lines: &str| {
        let own = lines
            .replace("PORT", &server.port.to_string())
            .replace("TLS", &server.tls_port.to_string())
            .replace("CLOSED", &free_port().to_string())
            .replace("SOCKET", &socket)
            .replace("= CA", &format!("= {ca}"));
        // The last value of a parameter counts.
        format!(
            "version = 3\nbind = no\nsearch_base = {TREE}\nquery_filter = (mail=%s)\nresult_attribute = uid\n{own}\n"
        )
    };
    let all: Vec<_> = SERVERS.iter().map(|(lines, answers)| (lines, answers, settings(lines))).collect();
    let asked: Vec<_> = all.iter().map(|(.., settings)| asked(settings.clone(), keys)).collect();
    let mut faults = Vec::new();
    for ((lines, answers, settings), asked) in all.iter().zip(asked) {
        let table = imported("ldap", settings);
        let want = if **answers == ANSWERS {
            [PostmapResult::Value("ann".into()), PostmapResult::NotFound]
        } else {
            [PostmapResult::Failure, PostmapResult::Failure]
        };
        let theirs = asked.join().unwrap();
        for ((key, theirs), want) in keys.iter().zip(theirs).zip(want) {
            let ours = PostmapResult::from(table.look_up(key).await);
            if ours != want || theirs != want {
                faults.push(format!("{lines:?} {key}: Postfix returns {theirs:?}, rcptd {ours:?}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Each result code of a search (RFC 4511, appendix A), with an entry before it and without: a code other than "success"
/// is a temporary failure.
#[tokio::test]
async fn result_codes() {
    /// The name "x", and description with the value "ok".
    const ENTRY: &[u8] = b"\x04\x01x\x30\x15\x30\x13\x04\x0bdescription\x31\x04\x04\x02ok";
    let mut asking = Vec::new();
    for (code, name) in [
        (0, "success"),
        (1, "operationsError"),
        (2, "protocolError"),
        (3, "timeLimitExceeded"),
        (4, "sizeLimitExceeded"),
        (8, "strongerAuthRequired"),
        (10, "referral"),
        (11, "adminLimitExceeded"),
        (12, "unavailableCriticalExtension"),
        (32, "noSuchObject"),
        (34, "invalidDNSyntax"),
        (50, "insufficientAccessRights"),
        (51, "busy"),
        (52, "unavailable"),
        (53, "unwillingToPerform"),
        (80, "other"),
        (123, "unknown"),
    ] {
        for entry in [None, Some(ENTRY)] {
            let fake = fake_directory(entry, code);
            let settings = format!(
                "server_host = ldap://127.0.0.1:{}\nversion = 3\nbind = no\nsearch_base = {TREE}\n\
                 query_filter = (mail=%s)\nresult_attribute = description\n",
                fake.port
            );
            let want = match (code, entry) {
                (0, None) => PostmapResult::NotFound,
                (0, Some(_)) => PostmapResult::Value("ok".into()),
                _ => PostmapResult::Failure,
            };
            let asked = asked(settings.clone(), &["ann@one.test"]);
            asking.push((format!("{name} {}", entry.is_some()), fake, settings, want, asked));
        }
    }
    let mut faults = Vec::new();
    for (about, _fake, settings, want, asked) in asking {
        let ours = PostmapResult::from(imported("ldap", &settings).look_up("ann@one.test").await);
        let theirs = asked.join().unwrap().remove(0);
        if ours != want || theirs != want {
            faults.push(format!("{about}: Postfix returns {theirs:?}, rcptd {ours:?}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

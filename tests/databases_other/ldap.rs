//! Directories.

use super::Want::{Found, NotFound, Unknown};
use super::stores::{Act, Fake, Served, certificate, fake_directory, open, slapd};
use super::{expect, folder, inet, settings, with_password, with_tls};
use rcptd::map::settings::{Attributes, DatabaseSettings, Kind, MAX_ROWS, Query, Scope};
use rcptd::map::{Lookup, MAX_VALUE, Table};
use rcptd::net::host::Host;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const BASE: &str = "ou=people,dc=example,dc=test";
const MANAGER: &str = "cn=manager,dc=example,dc=test";

fn query(base: &str, filter: &str, attribute: &str, scope: Scope) -> Query {
    Query::Ldap { base: base.into(), filter: filter.into(), attributes: attribute.into(), scope }
}

/// The usual search.
fn plain(settings: &DatabaseSettings) -> Arc<Table> {
    open(settings).unwrap().table(&query(BASE, "(mail=%s)", "description", Scope::Sub)).unwrap()
}

/// A person with a mail address and descriptions; `uid` is also the name.
fn person(out: &mut String, uid: &str, mail: &str, descriptions: &[&str]) {
    writeln!(
        out,
        "dn: uid={uid},{BASE}\nobjectClass: inetOrgPerson\nuid: {uid}\ncn: {uid}\nsn: {uid}\nmail: {mail}"
    )
    .unwrap();
    for description in descriptions {
        writeln!(out, "description: {description}").unwrap();
    }
    out.push('\n');
}

fn entries() -> String {
    let mut out = format!(
        "dn: dc=example,dc=test\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: example\n\n\
         dn: {BASE}\nobjectClass: organizationalUnit\nou: people\n\n\
         dn: ou=example.test,dc=example,dc=test\nobjectClass: organizationalUnit\nou: example.test\n\
         description: of the domain\n\n\
         dn: ou=a\\,b,dc=example,dc=test\nobjectClass: organizationalUnit\nou: a,b\ndescription: of a comma\n\n\
         dn: ou=elsewhere,dc=example,dc=test\nobjectClass: referral\nobjectClass: extensibleObject\n\
         ou: elsewhere\nref: ldap://other.example.test/dc=other\n\n"
    );
    for (uid, mail, descriptions) in [
        ("foo", "foo@example.test", &["bar@example.test"][..]),
        ("multi", "multi@example.test", &["a@example.test", "b@example.test"]),
        ("both1", "both@example.test", &["one"]),
        ("both2", "both@example.test", &["two"]),
        ("none", "none@example.test", &[]),
        ("star", "a*b@example.test", &["star"]),
        ("inject", ")(uid=*@example.test", &["injected"]),
        ("back", "back\\slash@example.test", &["backslash"]),
        ("long", "long@example.test", &[&"a".repeat(MAX_VALUE)]),
        ("longer", "longer@example.test", &[&"a".repeat(MAX_VALUE), "b"]),
    ] {
        person(&mut out, uid, mail, descriptions);
    }
    // The address is "nul\0x".
    let nul = format!("dn: uid=nul,{BASE}\nobjectClass: inetOrgPerson\nuid: nul\ncn: nul\nsn: nul\n");
    writeln!(out, "{nul}mail:: bnVsAHg=\ndescription: nul\n").unwrap();
    // And the password is no UTF-8.
    let word = format!("dn: uid=word,{BASE}\nobjectClass: inetOrgPerson\nuid: word\ncn: word\nsn: word\n");
    writeln!(out, "{word}mail: word@example.test\nuserPassword:: /P8=\n").unwrap();
    let most: Vec<String> = (0..MAX_ROWS).map(|n| format!("{n}")).collect();
    person(&mut out, "most", "most@example.test", &most.iter().map(String::as_str).collect::<Vec<_>>());
    person(
        &mut out,
        "more",
        "more@example.test",
        &most.iter().map(String::as_str).chain(["x"]).collect::<Vec<_>>(),
    );
    for n in 0..=MAX_ROWS {
        person(&mut out, &format!("crowd{n}"), "crowd@example.test", &["crowd"]);
    }
    out
}

#[tokio::test]
async fn look_ups() {
    let folder = folder();
    let server = slapd(folder.path(), &entries());
    let database = open(&settings(Kind::Ldap, &[inet(server.port)])).unwrap();
    let table = |base: &str, filter: &str, attribute: &str, scope| {
        database.table(&query(base, filter, attribute, scope)).unwrap()
    };
    let people = table(BASE, "(mail=%s)", "description", Scope::Sub);
    let one = table(BASE, "(&(mail=%s)(uid=%u))", "description", Scope::One);
    let upper = table(BASE, "(mail=%s)", "DESCRIPTION", Scope::One);
    let by_number = table(BASE, "(mail=%s)", "2.5.4.13", Scope::One);
    let too_high = table("dc=example,dc=test", "(mail=%s)", "description", Scope::One);
    let domains = table("ou=%d,dc=example,dc=test", "(objectClass=*)", "description", Scope::Base);
    let persons = table("uid=%u,ou=people,dc=example,dc=test", "(objectClass=*)", "description", Scope::Base);
    let elsewhere = table("uid=%u,dc=other", "(objectClass=*)", "description", Scope::Base);
    let nothing =
        table("uid=%u,ou=nothing,dc=example,dc=test", "(objectClass=*)", "description", Scope::Base);
    let no_base = table("ou=nothing,dc=example,dc=test", "(mail=%s)", "description", Scope::Sub);
    let no_directory = table("dc=other", "(mail=%s)", "description", Scope::Sub);
    let bad_base = table("no DN", "(mail=%s)", "description", Scope::Sub);
    let all = table("dc=example,dc=test", "(mail=%s)", "description", Scope::Sub);
    let referred = table("ou=elsewhere,dc=example,dc=test", "(mail=%s)", "description", Scope::Sub);
    let words = table(BASE, "(mail=%s)", "userPassword", Scope::Sub);
    let unix = plain(&settings(Kind::Ldap, &[Host::Unix(folder.path().join("ldapi"))]));
    let most: Vec<String> = (0..MAX_ROWS).map(|n| format!("{n}")).collect();
    let (most, long) = (most.join(","), "a".repeat(MAX_VALUE));
    for (table, key, want) in [
        (&people, "foo@example.test", Found("bar@example.test")),
        (&people, "FOO@example.test", Found("bar@example.test")),
        (&people, "nobody@example.test", NotFound),
        (&people, "multi@example.test", Found("a@example.test,b@example.test")),
        (&people, "both@example.test", Found("one,two")),
        (&people, "none@example.test", NotFound),
        (&people, "*", NotFound),
        (&people, "f*", NotFound),
        (&people, "a*b@example.test", Found("star")),
        (&people, "a*@example.test", NotFound),
        (&people, ")(uid=*@example.test", Found("injected")),
        (&people, ")(uid=*", NotFound),
        (&people, "foo@example.test)(uid=foo", NotFound),
        (&people, "*)(|(uid=*", NotFound),
        (&people, "back\\slash@example.test", Found("backslash")),
        (&people, "\\", NotFound),
        (&people, "\\2a", NotFound),
        (&people, "nul\0x", Unknown("contains a NUL")),
        (&people, "foo@example.test\0", Unknown("contains a NUL")),
        (&people, "foo@example.test\0x", Unknown("contains a NUL")),
        (&people, "grüße@example.test", NotFound),
        (&people, "most@example.test", Found(&most)),
        (&people, "more@example.test", Unknown("more than 1000 values")),
        (&people, "crowd@example.test", Unknown("more entries than 1000")),
        (&people, "long@example.test", Found(&long)),
        (&people, "longer@example.test", Unknown("longer than 100000")),
        (&one, "foo@example.test", Found("bar@example.test")),
        (&one, "both@example.test", NotFound),
        (&upper, "foo@example.test", Found("bar@example.test")),
        (&by_number, "foo@example.test", Unknown("returned description for the attribute 2.5.4.13")),
        (&by_number, "nobody@example.test", NotFound),
        (&elsewhere, "foo@example.test", Unknown("there is no base uid=foo,dc=other")),
        (&nothing, "foo@example.test", Unknown("there is no base uid=foo,ou=nothing")),
        // References to other directories are ignored.
        (&too_high, "foo@example.test", NotFound),
        (&domains, "x@example.test", Found("of the domain")),
        (&domains, "x@other.test", NotFound),
        (&domains, "x@a,b", Found("of a comma")),
        (&domains, "x@example.test,dc=example", NotFound),
        (&domains, "x@people", NotFound),
        (&domains, "x", NotFound),
        (&persons, "foo@example.test", Found("bar@example.test")),
        (&persons, "foo,ou=people@example.test", NotFound),
        // Blanks round a name are nothing to a directory (RFC 4518, section 2.6.1).
        (&persons, " foo@example.test", Found("bar@example.test")),
        (&persons, "f\0o@example.test", Unknown("contains a NUL")),
        (&persons, "@example.test", NotFound),
        (&persons, "@", NotFound),
        (&domains, "foo@", NotFound),
        (&persons, "#666f6f@example.test", NotFound),
        (&no_base, "foo@example.test", Unknown("there is no base ou=nothing")),
        (&no_directory, "foo@example.test", Unknown("there is no base dc=other")),
        (&bad_base, "foo@example.test", Unknown("invalidDNSyntax")),
        (&all, "foo@example.test", Found("bar@example.test")),
        (&all, "nobody@example.test", NotFound),
        (&referred, "foo@example.test", Unknown("refers to ldap://other.example.test/dc=other")),
        (&words, "word@example.test", Unknown("not UTF-8")),
        (&words, "foo@example.test", NotFound),
        (&unix, "foo@example.test", Found("bar@example.test")),
        (&unix, "nobody@example.test", NotFound),
    ] {
        expect(&**table, key, want).await;
    }
}

/// Groups whose members are entries, up to the limit of references.
#[tokio::test]
async fn large_groups() {
    const MEMBERS: usize = 300;
    let mut entries = small();
    for n in 0..MEMBERS {
        person(&mut entries, &format!("m{n}"), &format!("m{n}@example.test"), &[&format!("{n}")]);
    }
    for (name, members) in [("group", MEMBERS), ("huge", 2 * MAX_ROWS + 1)] {
        writeln!(
            entries,
            "dn: cn={name},{BASE}\nobjectClass: device\nobjectClass: extensibleObject\ncn: {name}\n\
             mail: {name}@example.test"
        )
        .unwrap();
        for n in 0..members {
            writeln!(entries, "member: uid=m{n},{BASE}").unwrap();
        }
        entries.push('\n');
    }
    let folder = folder();
    let server = slapd(folder.path(), &entries);
    let attributes = Attributes { special: vec!["member".into()], ..Attributes::from("description") };
    let query = Query::Ldap { base: BASE.into(), filter: "(mail=%s)".into(), attributes, scope: Scope::Sub };
    let settings =
        DatabaseSettings { deadline: Duration::from_secs(7), ..settings(Kind::Ldap, &[inet(server.port)]) };
    let table = open(&settings).unwrap().table(&query).unwrap();
    let all = table.look_up("group@example.test").await;
    let Lookup::Found(all) = all else { panic!("{all:?}") };
    // slapd keeps the order of values.
    let want: Vec<String> = (0..MEMBERS).map(|n| n.to_string()).collect();
    assert_eq!(all, want.join(","));
    expect(&*table, "huge@example.test", Unknown("more than 2000 references")).await;
}

/// A small directory is enough for the rest.
fn small() -> String {
    let all = entries();
    all[..all.find("dn: uid=multi").unwrap()].to_owned()
}

fn ldaps(host: &str, port: u16, ca: &Path) -> DatabaseSettings {
    let hosts = vec![Host::Inet(host.into(), port)];
    let settings = settings(Kind::Ldap, &hosts);
    DatabaseSettings { ldaps: hosts, tls_ca: Some(ca.into()), ..settings }
}

#[tokio::test]
async fn who_asks() {
    let folder = folder();
    let server = slapd(folder.path(), &small());
    let (ca, other) = (certificate("ca.pem"), certificate("server.pem"));
    let good = || settings(Kind::Ldap, &[inet(server.port)]);
    let by_name = || settings(Kind::Ldap, &[Host::Inet("localhost".into(), server.port)]);
    let mut system = good();
    system.tls = true;
    // A certificate is for names and addresses, not for files.
    let unix = settings(Kind::Ldap, &[Host::Unix(folder.path().join("ldapi"))]);
    for (settings, want) in [
        (good(), Found("bar@example.test")),
        (by_name(), Found("bar@example.test")),
        (with_password(good(), Some(MANAGER), "secret"), Found("bar@example.test")),
        (with_password(good(), Some(MANAGER), "wrong"), Unknown("invalidCredentials")),
        (with_password(good(), Some("cn=nobody"), "wrong"), Unknown("bind as cn=nobody")),
        (with_password(good(), Some("nobody"), "wrong"), Unknown("invalidDNSyntax")),
        (with_tls(good(), &ca), Found("bar@example.test")),
        (with_password(with_tls(good(), &ca), Some(MANAGER), "secret"), Found("bar@example.test")),
        (with_tls(by_name(), &ca), Unknown("certificate")),
        (with_tls(good(), &other), Unknown("certificate")),
        (system, Unknown("certificate")),
        (with_tls(unix, &ca), Found("bar@example.test")),
        (ldaps("127.0.0.1", server.tls_port, &ca), Found("bar@example.test")),
        (
            with_password(ldaps("127.0.0.1", server.tls_port, &ca), Some(MANAGER), "wrong"),
            Unknown("invalidCredentials"),
        ),
        (with_tls(ldaps("127.0.0.1", server.tls_port, &ca), &ca), Found("bar@example.test")),
        (ldaps("localhost", server.tls_port, &ca), Unknown("certificate")),
        (ldaps("127.0.0.1", server.tls_port, &other), Unknown("certificate")),
        (ldaps("127.0.0.1", server.port, &ca), Unknown("database users: 127.0.0.1")),
        (settings(Kind::Ldap, &[inet(server.tls_port)]), Unknown("database users: 127.0.0.1")),
    ] {
        expect(&*plain(&settings), "foo@example.test", want).await;
    }
}

#[tokio::test]
async fn restarts_and_other_hosts() {
    let folder = folder();
    let server = slapd(folder.path(), &small());
    let kinds: [super::Open; 2] = [
        |hosts| plain(&settings(Kind::Ldap, hosts)),
        |hosts| plain(&with_tls(settings(Kind::Ldap, hosts), &certificate("ca.pem"))),
    ];
    super::restarts_and_other_hosts(
        server,
        Served::start,
        &kinds,
        ("foo@example.test", Found("bar@example.test")),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_ask_at_once() {
    let folder = folder();
    let server = slapd(folder.path(), &small());
    let table = plain(&settings(Kind::Ldap, &[inet(server.port)]));
    let mut asking = Vec::new();
    for n in 0..300 {
        let table = table.clone();
        asking.push(tokio::spawn(async move {
            match n % 3 {
                0 => expect(&*table, "foo@example.test", Found("bar@example.test")).await,
                1 => expect(&*table, &format!("nobody{n}"), NotFound).await,
                // Some are given up in the middle.
                _ => {
                    let hasty = Duration::from_micros(n * 10);
                    let _ = tokio::time::timeout(hasty, table.look_up("foo@example.test")).await;
                }
            }
        }));
    }
    for asked in asking {
        asked.await.unwrap();
    }
}

#[tokio::test]
async fn refusals() {
    /// The name "x", and description with the values "" and "b".
    const EMPTY: &[u8] = b"\x04\x01x\x30\x15\x30\x13\x04\x0bdescription\x31\x04\x04\x00\x04\x00";
    const GOOD: &[u8] = b"\x04\x01x\x30\x15\x30\x13\x04\x0bdescription\x31\x04\x04\x02ok";
    const NO_LIST: &[u8] = b"\x04\x01x\x04\x00";
    const NO_SET: &[u8] = b"\x04\x01x\x30\x11\x30\x0f\x04\x0bdescription\x04\x00";
    for (entry, code, want) in [
        (Some(GOOD), 0, Found("ok")),
        (None, 0, NotFound),
        (Some(EMPTY), 0, Unknown("a value is empty")),
        (Some(NO_LIST), 0, Unknown("violates RFC 4511")),
        (Some(NO_SET), 0, Unknown("violates RFC 4511")),
        (Some(b"" as &[u8]), 0, Unknown("violates RFC 4511")),
        (Some(GOOD), 3, Unknown("timeLimitExceeded")),
        (Some(GOOD), 4, Unknown("more entries than 1000")),
        (None, 11, Unknown("adminLimitExceeded")),
        (None, 10, Unknown("refers to another directory")),
        (None, 50, Unknown("insufficientAccessRights")),
        (None, 51, Unknown("busy")),
        (None, 52, Unknown("unavailable")),
        (None, 53, Unknown("unwillingToPerform")),
        (None, 32, Unknown("there is no base")),
    ] {
        let fake = fake_directory(entry, code);
        let table = plain(&settings(Kind::Ldap, &[inet(fake.port)]));
        expect(&*table, "foo", want).await;
        expect(&*table, "foo", want).await;
    }
    let garbage = Fake::new(|_| true, |_| Act::SayAndClose(b"HTTP/1.1 400 Bad Request\r\n".to_vec()));
    expect(&*plain(&settings(Kind::Ldap, &[inet(garbage.port)])), "foo", Unknown("database users: ")).await;
    expect(&*plain(&settings(Kind::Ldap, &[inet(Fake::silent().port)])), "foo", Unknown("within 1s")).await;
}

/// Connections are reused where their answer was read to its end, and only there.
#[tokio::test]
async fn connections() {
    for (entry, code, want, connections) in
        [(None, 0, NotFound, 1), (None, 32, Unknown("there is no base"), 1), (None, 51, Unknown("busy"), 5)]
    {
        let fake = fake_directory(entry, code);
        let table = plain(&settings(Kind::Ldap, &[inet(fake.port)]));
        for _ in 0..5 {
            expect(&*table, "foo", want).await;
        }
        assert_eq!(fake.connections(), connections, "{want:?}");
        fake.close_connections();
        expect(&*table, "foo", want).await;
    }
}

#[test]
fn wrong_settings() {
    let good = || settings(Kind::Ldap, &[inet(1)]);
    let mut user = good();
    user.user = Some(MANAGER.into());
    for (settings, want) in [
        (user, "set password_file"),
        (with_password(good(), Some(MANAGER), ""), "set password_file"),
        (with_password(good(), None, "secret"), "set user"),
        (settings(Kind::Ldap, &[]), "set hosts"),
        (with_tls(good(), &certificate("missing")), "name a file of certificates"),
    ] {
        let error = open(&settings).unwrap_err();
        assert!(error.contains(want), "{error}");
    }
    let database = open(&good()).unwrap();
    let special = Attributes { special: vec!["member".into()], ..Attributes::default() };
    let only_special =
        Query::Ldap { base: BASE.into(), filter: "(mail=%s)".into(), attributes: special, scope: Scope::Sub };
    for (query, want) in [
        (query(BASE, "(mail=foo)", "cn", Scope::Sub), "write %s"),
        (query(BASE, "mail=%s)", "cn", Scope::Sub), "RFC 4515"),
        (query(BASE, "(mail=%x)", "cn", Scope::Sub), "filter: write %s"),
        (query("%", "(mail=%s)", "cn", Scope::Sub), "base: write %s"),
        (query(BASE, "(mail=%s)", "", Scope::Sub), "not the name of an attribute"),
        (query(BASE, "(mail=%s)", "*", Scope::Sub), "not the name of an attribute"),
        (query(BASE, "(mail=%s)", "1.1", Scope::Sub), "not the name of an attribute"),
        (query(BASE, "(mail=%s)", "mail cn", Scope::Sub), "not the name of an attribute"),
        (only_special, "write the attribute with the values"),
        (Query::Sql("SELECT 1".into()), "base, filter and attribute"),
    ] {
        let error = database.table(&query).unwrap_err();
        assert!(error.contains(want), "{error}");
    }
}

/// A directory that has its suffix and nothing below it, as a replica may have.
#[tokio::test]
async fn an_empty_directory_is_not_believed() {
    const EVERY: Duration = Duration::from_secs(2);
    let (folder, filled) = (folder(), folder());
    let all = small();
    let empty = slapd(folder.path(), &all[..all.find("dn: uid=foo").unwrap()]);
    let full = slapd(filled.path(), &all);
    let doubt = Unknown("does not find the witness foo@example.test");
    for (port, witness, want) in [
        (empty.port, Some("foo@example.test"), doubt),
        (empty.port, None, NotFound),
        (full.port, Some("foo@example.test"), NotFound),
        (full.port, Some("nobody@example.test"), Unknown("does not find the witness nobody@example.test")),
    ] {
        let mut settings = settings(Kind::Ldap, &[inet(port)]);
        settings.witness = witness.map(str::to_owned);
        settings.control_interval = EVERY;
        let table = plain(&settings);
        for _ in 0..3 {
            expect(&*table, "absent@example.test", want).await;
        }
    }
    // What it has found is a witness.
    let mut settings = settings(Kind::Ldap, &[inet(full.port)]);
    settings.witness = Some("nobody@example.test".into());
    let table = plain(&settings);
    expect(&*table, "foo@example.test", Found("bar@example.test")).await;
    expect(&*table, "absent@example.test", NotFound).await;
}

//! Directories that lack or hide entries: empty directories, a missing base, entries and attributes that access rules
//! hide. A directory does not report that it hides an entry (RFC 4511, appendix A), so "not found" counts only from a
//! directory that finds the witness.

use super::Want::{Found, NotFound, Unknown};
use super::stores::{fill_slapd, open, slapd, slapd_with};
use super::{expect, folder, inet, settings, with_password};
use rcptd::map::Table;
use rcptd::map::settings::{DatabaseSettings, Kind, Query, Scope};
use std::sync::Arc;

const MANAGER: &str = "cn=manager,dc=example,dc=test";
const WITNESS: &str = "postmaster@example.test";

/// The directory with its people.
const FULL: &str = "\
dn: dc=example,dc=test
objectClass: dcObject
objectClass: organization
dc: example
o: example

dn: ou=people,dc=example,dc=test
objectClass: organizationalUnit
ou: people

dn: uid=postmaster,ou=people,dc=example,dc=test
objectClass: inetOrgPerson
uid: postmaster
cn: Postmaster
sn: Postmaster
mail: postmaster@example.test

dn: uid=ann,ou=people,dc=example,dc=test
objectClass: inetOrgPerson
uid: ann
cn: Ann
sn: Ann
mail: ann@example.test
seeAlso: uid=postmaster,ou=people,dc=example,dc=test

";

/// Its entries before this line.
fn before(line: &str) -> &'static str {
    &FULL[..FULL.find(line).unwrap()]
}

fn table(settings: &DatabaseSettings, base: &str) -> Arc<Table> {
    let (base, filter) = (base.into(), "(mail=%s)".into());
    let query = Query::Ldap { base, filter, attributes: "uid".into(), scope: Scope::Sub };
    open(settings).unwrap().table(&query).unwrap()
}

fn with_witness(port: u16) -> DatabaseSettings {
    DatabaseSettings { witness: Some(WITNESS.into()), ..settings(Kind::Ldap, &[inet(port)]) }
}

/// Rules for access (slapd.access(5)), the results for an account, and for an unknown name with a witness and without
/// one, if rcptd does not bind.
#[tokio::test]
async fn hidden_entries() {
    let (lost, gone) = (Unknown("does not find the witness"), Unknown("there is no base"));
    for (access, account, with, without) in [
        ("", Found("ann"), NotFound, NotFound),
        // Only the entries.
        (
            "access to dn.children=\"ou=people,dc=example,dc=test\" by users read by * none\naccess to * by * read\n",
            lost,
            lost,
            NotFound,
        ),
        // The attribute in the filter.
        ("access to attrs=mail by users read by * none\naccess to * by * read\n", lost, lost, NotFound),
        // It may be read, but no search may use it.
        ("access to attrs=mail by users read by * =r\naccess to * by * read\n", lost, lost, NotFound),
        // The attribute with the values.
        ("access to attrs=uid by users read by * none\naccess to * by * read\n", lost, lost, NotFound),
        // The base, whose existence is not disclosed.
        ("access to * by users read by * none\n", gone, gone, gone),
        (
            "access to dn.subtree=\"ou=people,dc=example,dc=test\" by users read by * none\naccess to * by * read\n",
            gone,
            gone,
            gone,
        ),
        // Its existence is disclosed.
        (
            "access to * by users read by * disclose\n",
            Unknown("insufficientAccessRights"),
            Unknown("insufficientAccessRights"),
            Unknown("insufficientAccessRights"),
        ),
        // Everything but the witness.
        (
            "access to dn.exact=\"uid=postmaster,ou=people,dc=example,dc=test\" by users read by * none\naccess to * by * read\n",
            Found("ann"),
            NotFound,
            NotFound,
        ),
    ] {
        let folder = folder();
        let server = slapd_with(folder.path(), FULL, access);
        let (believing, alone) = (with_witness(server.port), settings(Kind::Ldap, &[inet(server.port)]));
        let base = "ou=people,dc=example,dc=test";
        println!("{access}");
        let first = table(&believing, base);
        expect(&*first, "ann@example.test", account).await;
        expect(&*first, "nobody@example.test", with).await;
        expect(&*table(&alone, base), "nobody@example.test", without).await;
        // The bound user may read everything.
        let bound = table(&with_password(believing, Some(MANAGER), "secret"), base);
        expect(&*bound, "nobody@example.test", NotFound).await;
        expect(&*bound, "ann@example.test", Found("ann")).await;
    }
}

/// The lookup fails temporarily if an entry refers to a hidden one.
#[tokio::test]
async fn a_hidden_member() {
    for (rights, want) in [
        ("none", "there is no base uid=postmaster"),
        // A search succeeds without entries, as in 389 Directory Server.
        (
            "search",
            "refers to uid=postmaster,ou=people,dc=example,dc=test, which is not found or may not be read",
        ),
    ] {
        hidden_member(rights, want).await;
    }
}

async fn hidden_member(rights: &str, want: &'static str) {
    let folder = folder();
    let hidden = format!(
        "access to dn.exact=\"uid=postmaster,ou=people,dc=example,dc=test\" by * {rights}\naccess to * by * read\n"
    );
    let server = slapd_with(folder.path(), FULL, &hidden);
    let mut attributes = rcptd::map::settings::Attributes { leaf: vec!["uid".into()], ..Default::default() };
    attributes.special.push("seeAlso".into());
    let query = Query::Ldap {
        base: "dc=example,dc=test".into(),
        filter: "(mail=%s)".into(),
        attributes,
        scope: Scope::Sub,
    };
    let table = open(&settings(Kind::Ldap, &[inet(server.port)])).unwrap().table(&query).unwrap();
    expect(&*table, "ann@example.test", Unknown(want)).await;
}

/// The directory is replaced while rcptd runs. Each state is seen by a client with a control of its own, since a server
/// that found a key is trusted for `control_interval`.
#[tokio::test]
async fn a_base_that_vanishes() {
    let folder = folder();
    let mut server = slapd(folder.path(), FULL);
    let base = "ou=people,dc=example,dc=test";
    let old = table(&with_witness(server.port), base);
    for (entries, account, unknown) in [
        (FULL, Found("ann"), NotFound),
        // The base is empty.
        (before("dn: uid="), Unknown("does not find the witness"), Unknown("does not find the witness")),
        // There is only the suffix.
        (before("dn: ou=people"), Unknown("there is no base"), Unknown("there is no base")),
        // The directory is empty.
        ("", Unknown("there is no base"), Unknown("there is no base")),
        (FULL, Found("ann"), NotFound),
    ] {
        server.stop();
        fill_slapd(folder.path(), entries);
        server.start();
        let new = table(&with_witness(server.port), base);
        expect(&*new, "nobody@example.test", unknown).await;
        expect(&*new, "ann@example.test", account).await;
        if !entries.contains("ou=people") {
            expect(&*old, "ann@example.test", account).await;
        }
    }
    expect(&*old, "ann@example.test", Found("ann")).await;
}

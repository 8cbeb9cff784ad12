//! Directories.

use super::stores::slapd;
use super::{Postfix, Says};
use rcptd::map::Source;
use rcptd::map::case_folded::CaseFolded;
use rcptd::map::database::open;
use rcptd::map::settings::{DatabaseSettings, Kind, Query, Scope};
use rcptd::net::host::Host;

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
    (TREE, "(|(mail=%s)(uid=%u))", "description", Scope::One),
    ("ou=%d,dc=example,dc=test", "(mail=%s)", "description", Scope::Sub),
    ("ou=%d,dc=example,dc=test", "(objectClass=*)", "description", Scope::Base),
    ("uid=%u,ou=one.test,dc=example,dc=test", "(objectClass=*)", "description", Scope::Base),
    ("uid=%u,ou=%d,dc=example,dc=test", "(objectClass=*)", "description", Scope::Base),
    ("uid=%u,ou=nothing,dc=example,dc=test", "(objectClass=*)", "description", Scope::Base),
    ("ou=nothing,dc=example,dc=test", "(mail=%s)", "description", Scope::Sub),
    ("uid=%u,dc=other", "(objectClass=*)", "description", Scope::Base),
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
fn is_meant(base: &str, attribute: &str, theirs: &Says) -> bool {
    let other_name = ["name", "commonName", "2.5.4.13"].contains(&attribute);
    let no_tree = base.contains("dc=other") || base.contains("ou=nothing");
    *theirs == Says::Nothing && (other_name || no_tree)
}

#[tokio::test]
async fn directory() {
    let folder = tempfile::Builder::new().prefix("rcptd-ldap-").tempdir().unwrap();
    let server = slapd(folder.path(), ENTRIES);
    let postfix = Postfix::begin();
    let database = open(&DatabaseSettings {
        hosts: vec![Host::Inet("127.0.0.1".into(), server.port)],
        ..DatabaseSettings::new("users", Kind::Ldap)
    })
    .unwrap();
    let mut faults = Vec::new();
    let (mut found, mut meant) = (0, 0);
    for (base, filter, attribute, scope) in SEARCHES {
        let query = Query::Ldap {
            base: (*base).into(),
            filter: (*filter).into(),
            attribute: (*attribute).into(),
            scope: *scope,
        };
        let table = CaseFolded::new(database.table(&query).unwrap(), true);
        let scope = match scope {
            Scope::Base => "base",
            Scope::One => "one",
            Scope::Sub => "sub",
        };
        let settings = format!(
            "server_host = ldap://127.0.0.1:{}\nversion = 3\nbind = no\nsearch_base = {base}\nquery_filter = {filter}\n\
             result_attribute = {attribute}\nscope = {scope}\n",
            server.port
        );
        for (key, theirs) in KEYS.iter().zip(postfix.says("ldap", &settings, KEYS)) {
            let ours = Says::from(table.look_up(key).await);
            found += usize::from(matches!(ours, Says::Value(_)));
            if ours == Says::Failure && is_meant(base, attribute, &theirs) {
                meant += 1;
            } else if ours != theirs {
                faults.push(format!(
                    "{base} {filter} {attribute} {key:?}: Postfix says {theirs:?}, rcptd {ours:?}"
                ));
            }
        }
    }
    assert!(found > 20 && meant > 5, "{found} found, {meant} meant");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

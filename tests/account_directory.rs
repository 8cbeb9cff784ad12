//! The recipes of MILTER_README.md for accounts in a directory, with a real slapd: each address is a recipient of the
//! running daemon.
//!
//! The package of Debian that this needs: slapd.

#![cfg(feature = "ldap")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod common;
#[path = "common/programs.rs"]
mod programs;
#[path = "common/stores.rs"]
mod stores;

use common::mta::OFFER;
use common::{Daemon, Site};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use stores::{Served, certificate, slapd_with};

/// Attributes of qmail-ldap and of Active Directory.
const SCHEMA: &str = "\
attributetype ( 1.3.6.1.4.1.7914.1.2.1.6 NAME 'mailAlternateAddress' EQUALITY caseIgnoreIA5Match \
SUBSTR caseIgnoreIA5SubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.26 )
attributetype ( 1.2.840.113556.1.2.210 NAME 'proxyAddresses' EQUALITY caseIgnoreMatch \
SUBSTR caseIgnoreSubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 1.2.840.113556.1.4.221 NAME 'sAMAccountName' EQUALITY caseIgnoreMatch \
SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
";

/// Access rules: the user of rcptd may read entries, anonymous users may not.
const ACCESS: &str =
    "access to attrs=userPassword by anonymous auth by * none\naccess to * by users read by * none\n";

const TREE: &str = "dc=example,dc=test";

/// The local parts of accounts, as they are in an entry: the first is `mail`.
const ACCOUNTS: &[&[&str]] = &[
    &["postmaster"],
    &["ann", "ann.other", "grüße"],
    &["a*b", "star*"],
    &["\"x)(uid=*\"", "\"(y\""],
    &["\"back\\\\slash\"", "\"2a\\\\2a\""],
    &["\"a,b=c+d\"", "\"blank blank\""],
];

/// Recipients, and whether the account is there.
const RECIPIENTS: &[(&str, bool)] = &[
    ("postmaster", true),
    ("ann", true),
    ("ANN", true),
    ("ann.other", true),
    ("nobody", false),
    ("a*b", true),
    ("star*", true),
    ("*", false),
    ("a*", false),
    ("*n", false),
    ("ann*", false),
    ("a*c", false),
    ("\"x)(uid=*\"", true),
    ("\"(y\"", true),
    ("\"x)(uid=\"", false),
    ("\")(uid=*\"", false),
    ("\"*)(uid=*\"", false),
    ("\"ann)(mail=*\"", false),
    ("\"*))(|(mail=*\"", false),
    ("\"ann@example.test)(|(mail=*\"", false),
    ("\"back\\\\slash\"", true),
    ("\"2a\\\\2a\"", true),
    ("\"\\\\2a\"", false),
    ("\"\\\\\"", false),
    ("\"a\\\\2ab\"", false),
    ("\"an\\\\6e\"", false),
    ("\"a,b=c+d\"", true),
    ("\"blank blank\"", true),
    ("\"(\"", false),
    ("&", false),
    ("|", false),
    ("!", false),
    ("%s", false),
    ("%u", false),
    ("grusse", false),
    ("grüsse", false),
];

/// The directory, with an entry for each account and a user for rcptd in `users`.
fn directory(folder: &Path, users: &str, address: fn(usize, &str) -> String) -> Served {
    let mut entries = format!(
        "dn: {TREE}\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: example\n\n\
         dn: ou=people,{TREE}\nobjectClass: organizationalUnit\nou: people\n\n\
         dn: {users},{TREE}\nobjectClass: device\nobjectClass: extensibleObject\ncn: users\nou: services\n\n\
         dn: cn=rcptd,{users},{TREE}\nobjectClass: device\nobjectClass: simpleSecurityObject\ncn: rcptd\n\
         userPassword: secret\n\n"
    );
    for (n, names) in ACCOUNTS.iter().enumerate() {
        write!(
            entries,
            "dn: cn=account{n},ou=people,{TREE}\nobjectClass: device\nobjectClass: extensibleObject\ncn: account{n}\n\
             sAMAccountName: account{n}\n"
        )
        .unwrap();
        for (n, name) in names.iter().enumerate() {
            let line = address(n, &format!("{name}@example.test"));
            writeln!(entries, "{line}").unwrap();
        }
        entries.push('\n');
    }
    slapd_with(folder, &entries, &format!("{SCHEMA}{ACCESS}"))
}

/// The recipe in MILTER_README.md that has this attribute, for the server.
fn recipe(attribute: &str, server: &Served) -> String {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("MILTER_README.md")).unwrap();
    let mut fences = text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let found = fences.find(|fence| fence.contains(attribute)).unwrap();
    let mut recipe = String::new();
    for line in found.replace("example.com", "example.test").replace("dc=com", "dc=test").lines() {
        match line {
            line if line.starts_with("hosts = [\"ldaps://") => {
                let ca = certificate("ca.pem");
                let port = server.tls_port;
                writeln!(recipe, "hosts = \"ldaps://127.0.0.1:{port}\"\ntls_ca = \"{}\"", ca.display())
                    .unwrap();
            }
            line => writeln!(recipe, "{line}").unwrap(),
        }
    }
    recipe
}

/// Starts the daemon with a recipe.
fn daemon(recipe: &str) -> Daemon {
    let site = Site::new("", "");
    let accounts = format!("[account]\nsource = \"file:{}\"\n", site.path("accounts").display());
    let (account, tables) = recipe.split_once("\n\n").unwrap();
    site.configure(&accounts, &format!("{account}\n"));
    site.configure("[log]", &format!("{tables}\n[log]"));
    site.write("directory.password", "secret\n");
    let only_owner = fs::Permissions::from_mode(0o600);
    fs::set_permissions(site.path("directory.password"), only_owner).unwrap();
    Daemon::start(site)
}

fn reply(daemon: &Daemon, local: &str) -> String {
    let mut mta = daemon.connect();
    mta.negotiate(OFFER);
    mta.mail();
    mta.rcpt(&[&format!("<{local}@example.test>")])
}

fn check(daemon: &Daemon, more: &[(&str, bool)]) {
    let mut faults = Vec::new();
    for (local, is_there) in RECIPIENTS.iter().chain(more) {
        let got = reply(daemon, local);
        let is_right = if *is_there { got == "c" } else { got.starts_with("y 550 5.1.1 ") };
        if !is_right {
            faults.push(format!("{local}: {got}"));
        }
    }
    assert!(faults.is_empty(), "{}\n{}", faults.join("\n"), daemon.log.text());
}

#[test]
fn openldap() {
    let folder = tempfile::tempdir().unwrap();
    let server = directory(folder.path(), "ou=services", |n, address| match n {
        // Both are ASCII only.
        _ if !address.is_ascii() => format!("description: {address}"),
        0 => format!("mail: {address}"),
        _ => format!("mailAlternateAddress: {address}"),
    });
    check(&daemon(&recipe("mailAlternateAddress", &server)), &[("grüße", false)]);
}

#[test]
fn active_directory() {
    let folder = tempfile::tempdir().unwrap();
    let server = directory(folder.path(), "cn=users", |n, address| match n {
        0 => format!("proxyAddresses: SMTP:{address}"),
        _ => format!("proxyAddresses: smtp:{address}"),
    });
    check(&daemon(&recipe("proxyAddresses", &server)), &[("grüße", true), ("GRÜSSE", false)]);
}

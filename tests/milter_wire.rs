//! The running milter as a mail server sees it: what is asked of the server, and the edits to the octet.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // a test that panics has done its work

mod common;

use common::mta::{
    ADD_HEADERS, ADD_RCPT, ADD_RCPT_PAR, Agreed, CHANGE_HEADERS, DEL_RCPT, MACROS, Mta, OFFER, strings,
};
use common::{Daemon, Site, rcptd};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::process::Command;

/// The steps that rcptd does without, and the reply to MAIL.
const SKIPPED: u32 = 0x4373;
/// The same where it looks for header fields of its own name, to which it does not reply.
const SKIPPED_BUT_HEADERS: u32 = SKIPPED & !0x20 | 0x80;

const NEEDED: u32 = ADD_RCPT | DEL_RCPT;

fn open(daemon: &Daemon, offer: (u32, u32, u32)) -> Mta {
    let mut mta = daemon.connect();
    mta.negotiate(offer);
    mta.mail();
    mta
}

/// A message to these recipients, each by its arguments, and what becomes of it.
fn message(mta: &mut Mta, recipients: &[&[&str]]) -> Vec<String> {
    for arguments in recipients {
        assert_eq!(mta.rcpt(arguments), "c", "{arguments:?}");
    }
    mta.end()
}

#[test]
fn nothing_is_asked_that_was_not_offered() {
    let wished = ADD_RCPT_PAR | MACROS;
    for (header, wished, skipped) in
        [("", wished, SKIPPED), ("header = \"X-Alias\"", wished | CHANGE_HEADERS, SKIPPED_BUT_HEADERS)]
    {
        let daemon = Daemon::start(Site::new("", header));
        let more = [0, ADD_RCPT_PAR, MACROS, CHANGE_HEADERS, ADD_HEADERS, 0x1f3, 0x3ff, 0xffff_fff3];
        // Those of versions 2, 3, 4, 6, of a server to come, and single ones.
        let steps = [0x3f, 0x7f, 0x3ff, 0x1f_ffff, u32::MAX, 0x1, 0x10, 0x4000, 0x20_0001];
        for version in [2, 3, 4, 5, 6, 7] {
            for (more, steps) in more.iter().flat_map(|m| steps.map(|s| (m, s))) {
                let offered = NEEDED | more;
                let mut mta = daemon.connect();
                let got = mta.negotiate((version, offered, steps));
                let macros = if offered & MACROS == 0 {
                    Vec::new()
                } else {
                    [
                        (0, "{client_name} {client_addr}"),
                        (2, "i {mail_addr} {auth_type} {auth_authen}"),
                        (3, "i {rcpt_addr} {rcpt_mailer}"),
                        (5, "i"),
                    ]
                    .map(|(stage, names)| (stage, names.to_string()))
                    .into()
                };
                let want = Agreed {
                    version: version.min(6),
                    actions: NEEDED | offered & wished,
                    steps: steps & skipped,
                    macros,
                };
                assert_eq!(got, want, "{version} {offered:x} {steps:x}");
                mta.send(b'Q', b"");
            }
        }
    }
}

/// The steps of each version and what servers of that version send.
#[test]
fn servers_of_every_version_are_served() {
    let daemon = Daemon::start(Site::new("", ""));
    for offer in
        [(2, 0x3f, 0x7f), (3, 0x3f, 0x1ff), (4, 0x3f, 0x3ff), (5, 0x7f, 0x3ff), (6, 0x1ff, 0x1f_ffff)]
    {
        let mut mta = open(&daemon, offer);
        let edits = message(&mut mta, &[&["<foo-macys-m5@example.test>", "NOTIFY=NEVER"]]);
        let added = match offer.1 & ADD_RCPT_PAR {
            0 => "+ <foo@example.test>",
            _ => "2 <foo@example.test> NOTIFY=NEVER ORCPT=rfc822;foo-macys-m5@example.test",
        };
        assert_eq!(edits, ["- <foo-macys-m5@example.test>", added, "c"], "{offer:?}");
    }
}

/// The recipients as they are typed: what is replied, what is taken out and put in. `None`: refused.
#[test]
fn recipients() {
    let daemon = Daemon::start(Site::new("", ""));
    let cases: &[(&[&str], Option<&[&str]>)] = &[
        (&["<alice@example.test>"], Some(&[])),
        (&["<ALICE@EXAMPLE.TEST.>"], Some(&[])),
        (&["<friend@elsewhere.test>"], Some(&[])),
        (&["<nobody@example.test>"], None),
        (&["<foo-macys-m6@example.test>"], None),
        (&["<foo-macys-m5@sub.example.test>"], Some(&[])),
        (
            &["<foo-macys-m5@example.test>"],
            Some(&[
                "- <foo-macys-m5@example.test>",
                "2 <foo@example.test> ORCPT=rfc822;foo-macys-m5@example.test",
            ]),
        ),
        // To the octet, whatever the spelling.
        (
            &["<Foo-Macys-M5@Example.TEST.>"],
            Some(&[
                "- <Foo-Macys-M5@Example.TEST.>",
                "2 <foo@example.test> ORCPT=rfc822;Foo-Macys-M5@example.test",
            ]),
        ),
        (
            &["<\"foo-macys-m5\"@example.test>"],
            Some(&[
                "- <\"foo-macys-m5\"@example.test>",
                "2 <foo@example.test> ORCPT=rfc822;foo-macys-m5@example.test",
            ]),
        ),
        (
            &["<@relay.test:foo-macys-m5@example.test>"],
            Some(&[
                "- <@relay.test:foo-macys-m5@example.test>",
                // The name Postfix knows it by.
                "- <foo-macys-m5@example.test>",
                "2 <foo@example.test> ORCPT=rfc822;foo-macys-m5@example.test",
            ]),
        ),
        (
            &["<foo-macys-m5>"],
            Some(&["- <foo-macys-m5>", "2 <foo@example.test> ORCPT=rfc822;foo-macys-m5@example.test"]),
        ),
        // The sender's wishes go along, and nothing else.
        (
            &["<bar-x-x1@example.test>", "notify=success,delay", "ORCPT=rfc822;a+2Bb@c.test", "SIZE=7"],
            Some(&[
                "- <bar-x-x1@example.test>",
                "2 <bar@example.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+2Bb@c.test",
            ]),
        ),
    ];
    let mut mta = open(&daemon, OFFER);
    for (arguments, want) in cases {
        let reply = mta.rcpt(arguments);
        match want {
            None => {
                assert_eq!(reply, "y 550 5.1.1 Recipient address rejected: User unknown", "{arguments:?}");
            }
            Some(_) => assert_eq!(reply, "c", "{arguments:?}"),
        }
        // A message cannot end without a recipient.
        assert_eq!(mta.rcpt(&["<friend@elsewhere.test>"]), "c");
        let mut edits = mta.end();
        assert_eq!(edits.pop().as_deref(), Some("c"), "{arguments:?}");
        assert_eq!(edits, want.unwrap_or_default(), "{arguments:?}");
        mta.mail();
    }
}

#[test]
fn recipients_of_one_message_are_edited_together() {
    let daemon = Daemon::start(Site::new("", ""));
    let mut mta = open(&daemon, OFFER);
    let edits = message(
        &mut mta,
        &[
            &["<foo-a-a1@example.test>"],
            &["<alice@example.test>"],
            &["<foo-b-b1@example.test>", "NOTIFY=NEVER"],
            &["<bar-a-a1@example.test>"],
            &["<bar@example.test>"],
        ],
    );
    // All deletions first; foo added once, bar not at all since it is there.
    let want = [
        "- <foo-a-a1@example.test>",
        "- <foo-b-b1@example.test>",
        "- <bar-a-a1@example.test>",
        "2 <foo@example.test> NOTIFY=FAILURE,DELAY ORCPT=rfc822;foo-a-a1@example.test",
        "c",
    ];
    assert_eq!(edits, want);
}

#[test]
fn percent_signs_are_doubled() {
    let replies = "reject_reply = \"550 5.1.1 100% unknown, %s\"\ndefer_reply = \"451 4.3.0 50% later\"";
    let daemon = Daemon::start(Site::new("", replies));
    let mut mta = open(&daemon, OFFER);
    assert_eq!(mta.rcpt(&["<nobody@example.test>"]), "y 550 5.1.1 100%% unknown, %%s");
    let accounts = format!("file:{}", daemon.site.path("accounts").display());
    daemon.site.configure(&accounts, "fail:");
    daemon.reload();
    let mut mta = open(&daemon, OFFER);
    assert_eq!(mta.rcpt(&["<alice@example.test>"]), "y 451 4.3.0 50%% later");
}

#[test]
fn a_header_only_where_it_is_wanted_and_offered() {
    let alias: &[&str] = &["<foo-macys-m5@example.test>"];
    let other: &[&str] = &["<alice@example.test>"];
    for (setting, actions, recipients, want) in [
        ("header = \"X-Alias\"", 0x1ff, &[alias][..], true),
        ("header = \"X-Alias\"", 0x1ff, &[alias, other], false),
        ("header = \"X-Alias\"", 0x1ff & !CHANGE_HEADERS, &[alias], false),
        ("", 0x1ff, &[alias], false),
    ] {
        let daemon = Daemon::start(Site::new("", setting));
        let mut mta = open(&daemon, (6, actions, 0x1f_ffff));
        let edits = message(&mut mta, recipients);
        // Index 1 in four octets, then name and value.
        let header = "m \u{1}X-Alias foo-macys-m5@example.test";
        let squeezed = |edit: &String| edit.split_whitespace().collect::<Vec<_>>().join(" ");
        let got = edits.iter().any(|edit| squeezed(edit) == header);
        assert_eq!(got, want, "{setting:?} {actions:x} {recipients:?}: {edits:?}");
        assert_eq!(edits.len(), 3 + usize::from(want), "{edits:?}");
        assert_eq!(edits.last().map(String::as_str), Some("c"));
    }
}

/// The macros that Postfix sends with a recipient, and Sendmail with a local one.
fn postfix(read: &str) -> [&str; 4] {
    ["{rcpt_addr}", read, "{rcpt_mailer}", "local"]
}

/// The address is the one that the server reads; what it deletes is named as it reads it.
#[test]
fn the_server_s_reading_decides() {
    let daemon = Daemon::start(Site::new("", ""));
    let alias = "foo-macys-m5@example.test";
    let added = "2 <foo@example.test> ORCPT=rfc822;foo-macys-m5@example.test";
    let refused = "y 550 5.1.1 Recipient address rejected: User unknown";
    let deferred = "y 451 4.3.0 Recipient address lookup failed, please try again later";
    // The argument, with NAME for the name, and how Postfix and Sendmail name it; the other form to delete.
    let spellings: &[(&str, &[&str], &str)] = &[
        ("<NAME@example.test(x)>", &["NAME@example.test", "NAME"], "NAME@example.test(x)"),
        ("<NAME(x)@example.test>", &["NAME@example.test", "NAME"], "NAME(x)@example.test"),
        ("<<NAME@example.test>>", &["NAME@example.test", "NAME"], "<NAME@example.test>"),
        ("<Name <NAME@example.test>>", &["NAME@example.test", "NAME"], "Name <NAME@example.test>"),
        ("<NAME@example.test;>", &["NAME@example.test", "NAME"], "NAME@example.test;"),
        ("<NAME@example.test\r>", &["NAME@example.test", "NAME"], "NAME@example.test\r"),
        ("<NAME@\"example.test\">", &["NAME@example.test"], "NAME@\"example.test\""),
        ("<NAME@example.test..>", &["NAME"], "NAME@example.test.."),
        ("NAME@example.test;", &["NAME@example.test", "NAME"], ""),
    ];
    for (spelling, readings, other) in spellings {
        for reading in *readings {
            let typed = |name: &str| spelling.replace("NAME", name);
            let read = |name: &str| reading.replace("NAME", name);
            let mut mta = open(&daemon, OFFER);
            assert_eq!(mta.rcpt_with(&postfix(&read("nobody")), &[&typed("nobody")]), refused, "{spelling}");
            assert_eq!(mta.rcpt_with(&[], &[&typed("alice")]), deferred, "{spelling} unread");
            assert_eq!(mta.rcpt_with(&postfix(&read("alice")), &[&typed("alice")]), "c", "{spelling}");
            let name = "foo-macys-m5";
            assert_eq!(mta.rcpt_with(&postfix(&read(name)), &[&typed(name)]), "c", "{spelling}");
            let mut want = vec![format!("- {}", typed(name))];
            want.extend((!other.is_empty()).then(|| format!("- {}", other.replace("NAME", name))));
            want.extend([added.to_owned(), "c".to_owned()]);
            assert_eq!(mta.end(), want, "{spelling}");
        }
    }
    // What the server takes elsewhere is none of ours; what it takes to us is, however it is written.
    let mut mta = open(&daemon, OFFER);
    for (argument, read, want) in [
        ("<nobody(@example.test)@elsewhere.test>", "nobody@elsewhere.test", "c"),
        ("<nobody@\"example.test\">", "nobody@\"example.test\"", deferred),
        ("<nobody@example>", "nobody@example.test", refused),
        // The same macro again may be about the one before.
        ("<nobody@elsewhere.test>", "nobody@example.test", deferred),
        ("<somebody@elsewhere.test>", "somebody@example.test", refused),
        ("<nobody%example.test@elsewhere.test>", "nobody@example.test", refused),
        ("<nobody@example.test><>", "", deferred),
    ] {
        assert_eq!(mta.rcpt_with(&postfix(read), &[argument]), want, "{argument}");
    }
    assert_eq!(mta.rcpt_with(&postfix(alias), &["<foo-macys-m5@example>"]), "c");
    assert_eq!(mta.end(), ["- <foo-macys-m5@example>", added, "c"]);
}

/// sendmail(1) through Postfix: no brackets, no mailer. Nobody is refused, since that would keep the whole
/// message in the queue for ever; a doubt defers the message.
#[test]
fn local_submission_is_never_refused() {
    let daemon = Daemon::start(Site::new("", "max_recipients = 3"));
    let mut mta = open(&daemon, OFFER);
    let submit = |mta: &mut Mta, recipients: &[&str]| {
        for recipient in recipients {
            assert_eq!(mta.rcpt_with(&["{rcpt_addr}", recipient], &[recipient]), "c", "{recipient}");
        }
        mta.end()
    };
    let edits = submit(&mut mta, &["nobody@example.test", "foo-macys-m5@example.test", "alice@example.test"]);
    assert_eq!(
        edits,
        [
            "- foo-macys-m5@example.test",
            "- foo-macys-m5%example.test",
            "- example.test!foo-macys-m5",
            "- foo-macys-m5@example.test.",
            "- foo-macys-m5@example",
            "- foo-macys-m5",
            "2 <foo@example.test> ORCPT=rfc822;foo-macys-m5@example.test",
            "c"
        ]
    );
    // Above the limit, too: unresolved it would be an unknown user.
    mta.mail();
    let deferred = "y 451 4.3.0 Recipient address lookup failed, please try again later";
    let many =
        ["alice@example.test", "bob@example.test", "carol@elsewhere.test", "bar-macys-m5@example.test"];
    assert_eq!(submit(&mut mta, &many), [deferred]);
    daemon.log.wait_for(0, "stage=EOM verdict=defer");
    // And while no account can be looked up.
    let accounts = format!("file:{}", daemon.site.path("accounts").display());
    daemon.site.configure(&accounts, "fail:");
    daemon.reload();
    let mut mta = open(&daemon, OFFER);
    assert_eq!(submit(&mut mta, &["friend@elsewhere.test", "foo-macys-m5@example.test"]), [deferred]);
    daemon.site.configure("fail:", &accounts);
    daemon.reload();
    // What is one of SMTP in any respect is no local submission.
    let nobody = "nobody@example.test";
    for (macros, argument) in [
        (&["{rcpt_addr}", nobody, "{rcpt_mailer}", "local"][..], nobody),
        (&["{rcpt_addr}", nobody], "<nobody@example.test>"),
        (&["i", "x"], nobody),
    ] {
        let mut mta = open(&daemon, OFFER);
        assert!(mta.rcpt_with(macros, &[argument]).starts_with("y 550"), "{macros:?} {argument}");
    }
}

#[test]
fn an_observer_touches_nothing() {
    let daemon = Daemon::start(Site::new("dry_run = true", "header = \"X-Alias\"\nmax_recipients = 4"));
    let mut mta = open(&daemon, OFFER);
    let edits = message(
        &mut mta,
        &[
            &["<foo-macys-m5@example.test>"],
            &["<nobody@example.test>"],
            &["<alice@example.test>"],
            &["<x@elsewhere.test>"],
            &["<one-too-many@example.test>"],
        ],
    );
    assert_eq!(edits, ["c"]);
    for want in ["verdict=would_rewrite", "verdict=would_reject", "newto=<foo@example.test>"] {
        daemon.log.wait_for(0, want);
    }
}

/// What a sender writes under the name of our header does not reach anybody.
#[test]
fn header_fields_of_our_name_are_taken_out() {
    for (site, recipients, fields, want) in [
        ("", &["<foo-macys-m5@example.test>"][..], 1, 0),
        ("", &["<foo-macys-m5@example.test>"], 3, 2),
        ("", &["<foo-macys-m5@example.test>", "<alice@example.test>"], 2, 2),
        ("", &["<alice@example.test>"], 1, 1),
        ("", &["<friend@elsewhere.test>"], 2, 2),
        ("dry_run = true", &["<foo-macys-m5@example.test>"], 2, 0),
    ] {
        let daemon = Daemon::start(Site::new(site, "header = \"X-Alias\""));
        let mut mta = open(&daemon, OFFER);
        for recipient in recipients {
            assert_eq!(mta.rcpt(&[recipient]), "c");
        }
        for field in ["Subject", "x-alias", "X-Alias", "X-ALIAS", "Received"].iter().take(fields + 1) {
            mta.send(b'L', &strings(&[field, " forged@example.test"]));
        }
        let edits = mta.end();
        let index =
            |edit: &String| edit.strip_prefix("m ").map(|rest| rest.as_bytes().get(3).copied().unwrap_or(0));
        let removed: Vec<u8> =
            edits.iter().filter(|edit| edit.trim_end().ends_with("X-Alias")).filter_map(index).collect();
        assert_eq!(removed.len(), want, "{recipients:?} {fields}: {edits:?}");
        // From behind, so that none is counted anew.
        assert!(removed.is_sorted_by(|a, b| a > b), "{edits:?}");
    }
}

/// Postfix has no queue id before the second recipient.
#[test]
fn the_end_of_a_message_links_queue_id_and_session() {
    for (site, verdict) in [("", "rewrite"), ("dry_run = true", "would_rewrite")] {
        let daemon = Daemon::start(Site::new(site, ""));
        let mut mta = open(&daemon, OFFER);
        assert_eq!(mta.rcpt(&["<alice@example.test>"]), "c");
        assert_eq!(mta.rcpt(&["<foo-macys-m5@example.test>"]), "c");
        mta.macros(b'E', &["i", "4XyZ13"]);
        mta.end();
        daemon.log.wait_for(
            0,
            &format!(
                "INFO 4XyZ13: session=1 listener=milter stage=EOM verdict={verdict} recipients=2 replaced=1 \
                 names=\"<foo-macys-m5@example.test> -> <foo@example.test>\""
            ),
        );
    }
}

/// Sendmail names the family of an address in front of it.
#[test]
fn clients_of_every_kind_connect() {
    let daemon = Daemon::start(Site::new("", ""));
    for client in [
        &b"mx.test\x006\0\x19IPv6:2001:db8::1\0"[..],
        b"mx.test\x006\0\x192001:db8::1\0",
        b"mx.test\x004\0\x19192.0.2.1\0",
        b"localhost\0L\0\0/run/x\0",
        b"localhost\0U",
    ] {
        let mut mta = daemon.connect();
        // All steps but "no connect": the server sends it, and waits for the reply.
        mta.negotiate((6, 0x1ff, 0x1f_fffe));
        mta.send(b'C', client);
        assert_eq!(mta.reply().0, b'c');
        mta.mail();
        assert_eq!(message(&mut mta, &[&["<foo-macys-m5@example.test>"]]).len(), 3);
    }
}

fn socket(site: &Site) -> std::path::PathBuf {
    site.path("milter.sock")
}

/// A site that listens at a UNIX socket in its folder.
fn unix_site(milter: &str) -> Site {
    let site = Site::listening("PLACE", "", milter);
    let place = format!("unix:{}", socket(&site).display());
    site.configure("PLACE", &place);
    site
}

#[test]
fn a_unix_socket_has_its_mode_and_group_and_goes_with_the_daemon() {
    // A group to give it to: one of ours that is not the first, or by right of root any.
    let id = |option: &str| {
        let output = Command::new("id").args(["-n", option]).output().expect("id");
        String::from_utf8(output.stdout).expect("text").trim().to_string()
    };
    let groups = id("-G");
    let group = if id("-u") == "root" { "daemon" } else { groups.split(' ').next_back().expect("a group") };
    for (mode, bits) in [("0660", 0o660), ("0600", 0o600), ("0666", 0o666)] {
        let site = unix_site(&format!("socket_mode = \"{mode}\"\nsocket_group = \"{group}\""));
        let path = socket(&site);
        let mut daemon = Daemon::start(site);
        let meta = fs::metadata(&path).expect("a socket");
        assert_eq!(meta.permissions().mode() & 0o777, bits);
        let gid = nix::unistd::Group::from_name(group).expect("groups").expect("it exists").gid;
        assert_eq!(meta.gid(), gid.as_raw());
        Mta::unix(&path).check("a UNIX socket");
        daemon.stop();
        assert!(!path.exists(), "left behind");
    }
}

/// What the program says when it does not start, with this exit code.
fn refused(site: &Site, code: i32) -> String {
    let output = rcptd().arg("-c").arg(site.path("rcptd.conf")).output().expect("the program");
    let text = String::from_utf8_lossy(&output.stderr).into();
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

#[test]
fn a_socket_left_behind_is_replaced() {
    let site = unix_site("");
    drop(UnixListener::bind(socket(&site)).expect("a socket"));
    assert!(socket(&site).exists());
    let path = socket(&site);
    let daemon = Daemon::start(site);
    Mta::unix(&path).check("a socket left behind");
    // Another one does not take it away, and it is not taken from its folder by that one's end.
    assert!(refused(&daemon.site, 69).contains("is rcptd running already?"));
    Mta::unix(&path).check("another daemon");
}

/// A program that does not accept, since it was stopped, still listens.
#[test]
fn a_socket_whose_queue_is_full_is_in_use() {
    use nix::sys::socket::{
        AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket,
    };
    use std::os::fd::AsRawFd;
    let site = unix_site("");
    let address = UnixAddr::new(&self::socket(&site)).expect("an address");
    let new =
        || socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_NONBLOCK, None).expect("a socket");
    let server = new();
    bind(server.as_raw_fd(), &address).expect("bound");
    listen(&server, Backlog::new(1).expect("a backlog")).expect("listening");
    let clients: Vec<_> = (0..8).map(|_| new()).collect();
    let full = clients.iter().any(|client| connect(client.as_raw_fd(), &address).is_err());
    assert!(full);
    assert!(refused(&site, 69).contains("is rcptd running already?"));
}

#[test]
fn what_is_no_socket_is_left_alone() {
    let site = unix_site("");
    fs::write(socket(&site), "precious").expect("written");
    // The configuration is checked before the socket is opened.
    assert!(refused(&site, 78).contains("exists and is not a socket"));
    assert_eq!(fs::read_to_string(socket(&site)).expect("still there"), "precious");
}

#[test]
fn a_group_there_is_not_is_named() {
    let site = unix_site("socket_group = \"no-such-group\"");
    assert!(refused(&site, 69).contains("there is no group no-such-group"));
    assert!(!socket(&site).exists(), "left behind");
}

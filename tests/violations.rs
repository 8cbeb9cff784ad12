//! The milter protocol kept badly, against the running daemon. A connection may be lost by it, the daemon
//! never: after each dialog it answers a well-behaved session as if nothing had been.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // a test that panics has done its work

mod common;

use common::inside::Inside;
use common::mta::{Mta, OFFER, shown};
use common::{Daemon, Site};
use mail_address::Address;
use rcptd::account::{Lookup, LookupFuture, Source, Verification};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

const DIALOGS: &str = include_str!("data/violations/dialogs.txt");
const BROKEN: &str = "milter session broken";

/// A dialog: what it is, and its lines with their numbers.
struct Dialog {
    name: &'static str,
    lines: Vec<(usize, &'static str)>,
}

fn dialogs() -> Vec<Dialog> {
    let mut dialogs: Vec<Dialog> = Vec::new();
    for (i, line) in DIALOGS.lines().enumerate() {
        if let Some(name) = line.strip_prefix("== ") {
            dialogs.push(Dialog { name, lines: Vec::new() });
        } else if !line.is_empty() && !line.starts_with('#') {
            dialogs.last_mut().expect("a dialog has a name").lines.push((i + 1, line));
        }
    }
    dialogs
}

/// The octets a text stands for.
fn octets(text: &str, count: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'\\' {
            out.push(*first);
            continue;
        }
        let (kind, tail) = tail.split_first().expect("an escape");
        rest = tail;
        match kind {
            b'0' => out.push(0),
            b'#' => out.extend_from_slice(count.to_string().as_bytes()),
            b'x' => {
                let (digits, tail) = rest.split_at(2);
                let digits = std::str::from_utf8(digits).expect("digits");
                out.push(u8::from_str_radix(digits, 16).expect("digits"));
                rest = tail;
            }
            other => panic!("escape {other}"),
        }
    }
    out
}

fn word(text: &str) -> [u8; 4] {
    u32::from_str_radix(text, 16).expect("a number in hex").to_be_bytes()
}

/// Says or hears one line; whether the milter is heard to hang up.
fn act(mta: &mut Mta, line: &str, count: usize, place: &str) {
    let (kind, text) = line.split_once(' ').unwrap_or((line, ""));
    match kind {
        ">" => {
            let (letter, data) = text.split_once(' ').unwrap_or((text, ""));
            let letter = octets(letter, count);
            let words: Vec<&str> = data.split(' ').collect();
            match (&*letter, &*words) {
                (b"O", [version, actions, steps]) => {
                    mta.send(b'O', &[word(version), word(actions), word(steps)].concat());
                }
                ([letter], _) => mta.send(*letter, &octets(data, count)),
                _ => panic!("{place}: a letter is one octet"),
            }
        }
        ">>" => mta.raw(&octets(text, count)),
        "fill" => mta.raw(&vec![b'x'; text.parse().expect("a number")]),
        "<" if text == "closed" => assert_eq!(mta.receive(), None, "{place}"),
        "<" => {
            let frame = mta.receive().unwrap_or_else(|| panic!("{place}: the milter hung up"));
            let want = octets(text, count);
            // The beginning of an octet string is compared as it is, the rest in its readable form.
            match want.strip_suffix(b"...") {
                Some(want) => {
                    let raw = [&[frame.0, b' '][..], &frame.1].concat();
                    let want = want.strip_suffix(b" ").unwrap_or(want);
                    assert!(raw.starts_with(want), "{place}: {}", shown(&frame));
                }
                None => assert_eq!(shown(&frame), String::from_utf8_lossy(&want), "{place}"),
            }
        }
        "pieces" => mta.in_pieces = true,
        "close" => mta.close(),
        "broken" => (),
        other => panic!("{place}: {other}?"),
    }
}

fn broken(log: &str) -> usize {
    log.matches(BROKEN).count()
}

fn play(daemon: &Daemon, dialog: &Dialog) {
    let mut mta = daemon.connect();
    for (number, line) in &dialog.lines {
        let place = format!("{}, line {number}", dialog.name);
        // Shown when it fails.
        println!("{place}");
        let (times, line) = match line.strip_prefix('*').and_then(|line| line.split_once(' ')) {
            Some((times, line)) => (times.parse().expect("a number"), line),
            None => (1, *line),
        };
        for count in 0..times {
            act(&mut mta, line, count, &place);
        }
    }
}

#[test]
fn broken_dialogs_break_nothing_else() {
    let mut daemon = Daemon::start(Site::new("", "max_recipients = 2000"));
    let dialogs = dialogs();
    assert!(dialogs.len() > 50);
    let mut want = 0;
    for dialog in &dialogs {
        let from = daemon.log.len();
        play(&daemon, dialog);
        if dialog.lines.iter().any(|(_, line)| *line == "broken") {
            daemon.log.wait_for(from, BROKEN);
            want += 1;
        }
        daemon.check(dialog.name);
    }
    let log = daemon.stop();
    // Neither missed nor made up, nor anything worse.
    assert_eq!(broken(&log), want, "{log}");
    assert!(log.contains(&format!("session_errors={want}")), "{log}");
    assert!(!log.contains("defect"), "{log}");
    assert!(!log.contains("Noreply"), "{log}");
}

/// No server for those that cannot replace recipients: the operator is told.
#[test]
fn a_server_without_replacement_is_reported() {
    let daemon = Daemon::start(Site::new("", ""));
    daemon.connect().send(b'O', &[6, 0x1fb, 0x1f_ffff].map(u32::to_be_bytes).concat());
    daemon.log.wait_for(0, "the mail server does not let milters replace recipients");
    daemon.check("a server without ADDRCPT");
}

/// A random number generator (splitmix64): the same octets in each run.
struct Octets(u64);

impl Octets {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[test]
fn random_octets_from_several_sides() {
    let mut daemon = Daemon::start(Site::new("", ""));
    thread::scope(|scope| {
        for seed in 0..10 {
            let daemon = &daemon;
            scope.spawn(move || {
                let mut octets = Octets(seed);
                for round in 0..20 {
                    let mut mta = daemon.connect();
                    if round % 2 == 0 {
                        mta.negotiate(OFFER);
                    }
                    for _ in 0..20 {
                        let data: Vec<u8> =
                            (0..octets.next() % 40).map(|_| octets.next().to_le_bytes()[0]).collect();
                        // Frames that are whole get further than others.
                        match octets.next() % 4 {
                            0 => mta.raw(&data),
                            _ => mta.send(b"ABCDEHKLMNORTU"[(octets.next() % 14) as usize], &data),
                        }
                    }
                    mta.close();
                    while mta.receive().is_some() {}
                }
            });
        }
    });
    daemon.check("random octets");
    let log = daemon.stop();
    assert!(!log.contains("defect"), "{log}");
}

/// Whoever connects and says nothing does not keep others from being served.
#[test]
fn silent_connections_wait() {
    let daemon = Daemon::start(Site::new("", ""));
    let silent: Vec<Mta> = (0..20).map(|_| daemon.connect()).collect();
    daemon.check("silent connections");
    drop(silent);
    daemon.check("silent connections gone");
}

/// The limit of connections makes further ones wait, and they are served in the end.
#[test]
fn connections_above_the_limit_wait() {
    let daemon = Daemon::start(Site::new("", "max_connections = 2"));
    let mut first = daemon.connect();
    let mut second = daemon.connect();
    first.negotiate(OFFER);
    second.negotiate(OFFER);
    let mut third = daemon.connect();
    daemon.log.wait_for(0, "(max_connections)");
    first.send(b'Q', b"");
    third.negotiate(OFFER);
    drop((second, third));
    daemon.check("the limit");
}

/// A connection that is silent for too long is closed and logged.
#[test]
fn a_silent_connection_is_closed_in_the_end() {
    let daemon = Daemon::start(Site::new("", "idle_timeout = \"1s\""));
    let mut mta = daemon.connect();
    assert_eq!(mta.receive(), None);
    daemon.log.wait_for(0, BROKEN);
    daemon.check("a silent connection");
}

/// A source with a defect: it panics at `panic`, never answers about `hang`, and knows the rest.
#[derive(Debug)]
struct Defective;

impl Source<Address, Verification> for Defective {
    fn look_up<'a>(&'a self, account: &'a Address) -> LookupFuture<'a, Verification> {
        Box::pin(async move {
            let verdict = match account.local() {
                "panic" => panic!("the defect this test is about"),
                "hang" => std::future::pending().await,
                "foo" | "alice" => Lookup::Found(()),
                _ => Lookup::NotFound,
            };
            Verification::new(verdict, &"defective".into())
        })
    }
}

#[test]
fn a_panic_costs_one_session() {
    let inside = Inside::start(Arc::new(Defective), common::WAIT);
    let mut bystander = Mta::tcp(inside.address);
    bystander.negotiate(OFFER);
    bystander.mail();
    assert_eq!(bystander.rcpt(&["<alice@example.test>"]), "c");

    let mut unlucky = Mta::tcp(inside.address);
    unlucky.negotiate(OFFER);
    unlucky.mail();
    unlucky.send(b'R', b"<panic@example.test>\0");
    assert_eq!(unlucky.receive(), None);

    assert_eq!(bystander.rcpt(&["<foo-macys-m5@example.test>"]), "c");
    assert_eq!(bystander.end().len(), 3);
    Mta::tcp(inside.address).check("a panic");
    // The message that died with its session does not count as under way for ever.
    while inside.milter.busy() > 0 {
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_source_that_hangs_costs_one_deferral() {
    let inside = Inside::start(Arc::new(Defective), Duration::from_millis(300));
    let mut mta = Mta::tcp(inside.address);
    mta.negotiate(OFFER);
    mta.mail();
    assert_eq!(mta.rcpt(&["<hang@example.test>"]), "y 451 4.3.0 Try later");
    // The session goes on.
    assert_eq!(mta.rcpt(&["<foo-macys-m5@example.test>"]), "c");
    assert_eq!(mta.end().len(), 3);
    Mta::tcp(inside.address).check("a source that hangs");
}

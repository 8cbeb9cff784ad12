//! Names of other servers, while /etc/hosts and resolv.conf(5) change. Each test runs again in namespaces, with an
//! /etc and a network of its own; so it can write both files and be the name servers on port 53.

#![allow(clippy::unwrap_used)]
#![cfg(target_os = "linux")]

mod common;

use common::mta::OFFER;
use common::namespace::with_etc_and_network;
use common::{Daemon, Site};
use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::op::MessageType;
use hickory_resolver::proto::rr::{RData, Record, RecordType};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::Path;
use std::thread;

/// Set in the namespaces.
const INSIDE: &str = "RCPTD_TEST_INSIDE";

/// The server of the map with the accounts, and its port.
const NAME: &str = "accounts.example.test";
const PORT: u16 = 4711;

/// Two such servers. Each has one account, of this name.
const ONE: (&str, Ipv4Addr) = ("one", Ipv4Addr::new(127, 0, 1, 1));
const TWO: (&str, Ipv4Addr) = ("two", Ipv4Addr::new(127, 0, 1, 2));
/// No server.
const NOWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 3);

/// Name servers: the first has the address of server one, the second that of server two.
const DNS_ONE: &str = "nameserver 127.0.0.11\n";
const DNS_TWO: &str = "nameserver 127.0.0.12\n";

/// Whether this is the process in the namespaces. If not, runs the test of this name there.
fn is_inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let etc = tempfile::tempdir().unwrap();
    let mut command = with_etc_and_network(etc.path(), &std::env::current_exe().unwrap());
    let output = command.args(["--exact", test]).env(INSIDE, "1").output().unwrap();
    let printed = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && printed.contains("1 passed"), "{printed}");
    false
}

/// A tcp_table server with this account.
fn serve_accounts((account, address): (&'static str, Ipv4Addr)) {
    let listener = TcpListener::bind((address, PORT)).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = String::new();
            let _ = BufReader::new(&stream).read_line(&mut request);
            let is_account = request.starts_with(&format!("get {account}@"));
            // The connection is closed after the reply, so that the next request looks the name up.
            let _ = stream.write_all(if is_account { b"200 there\n" } else { b"500 not found\n" });
        }
    });
}

/// A name server that returns this address for all names.
fn serve_names(name_server: &str, address: Ipv4Addr) {
    let ip = name_server.trim().strip_prefix("nameserver ").unwrap().parse::<Ipv4Addr>().unwrap();
    let socket = UdpSocket::bind((ip, 53)).unwrap();
    thread::spawn(move || {
        let mut bytes = [0; 512];
        while let Ok((n, client)) = socket.recv_from(&mut bytes) {
            let mut message = Message::from_vec(&bytes[..n]).unwrap();
            message.metadata.message_type = MessageType::Response;
            let query = message.queries[0].clone();
            if query.query_type() == RecordType::A {
                message.add_answer(Record::from_rdata(query.name().clone(), 3600, RData::A(address.into())));
            }
            socket.send_to(&message.to_vec().unwrap(), client).unwrap();
        }
    });
}

/// Starts all servers, and the daemon, whose accounts are in the map of the server called [`NAME`].
fn start() -> Daemon {
    for server in [ONE, TWO] {
        serve_accounts(server);
    }
    serve_names(DNS_ONE, ONE.1);
    serve_names(DNS_TWO, TWO.1);
    let map = format!("map = [{{ name = \"accounts\", source = \"tcp:{NAME}:{PORT}\" }}]");
    let site = Site::new(&map, "");
    let list = format!("file:{}", site.path("accounts").display());
    site.configure(&list, "map:accounts");
    Daemon::start(site)
}

/// Checks the replies to RCPT for the account of server one, then for that of server two.
fn expect(daemon: &Daemon, want: [&str; 2], after: &str) {
    for (account, want) in ["one", "two"].into_iter().zip(want) {
        let mut mta = daemon.connect();
        mta.negotiate(OFFER);
        mta.mail();
        let reply = mta.rcpt(&[&format!("<{account}@example.test>")]);
        let got = reply.split(' ').nth(1).unwrap_or("accepted");
        assert_eq!(got, want, "{account} after {after}: {}", daemon.log.text());
    }
}

const AT_ONE: [&str; 2] = ["accepted", "550"];
const AT_TWO: [&str; 2] = ["550", "accepted"];
const FAILED: [&str; 2] = ["451", "451"];

/// Writes a file in place.
fn write(file: &str, content: &str) {
    fs::write(Path::new("/etc").join(file), content).unwrap();
}

/// Replaces a file by a new one.
fn replace(file: &str, content: &str) {
    write("new", content);
    fs::rename("/etc/new", Path::new("/etc").join(file)).unwrap();
}

fn hosts(address: Ipv4Addr) -> String {
    format!("127.0.0.1 localhost\n{address} {NAME}\n")
}

#[test]
fn reads_hosts_again() {
    if !is_inside("reads_hosts_again") {
        return;
    }
    let daemon = start();
    expect(&daemon, FAILED, "the start without files");
    for (how, change) in [("replaced", replace as fn(&str, &str)), ("written in place", write)] {
        for (address, want) in [(NOWHERE, FAILED), (ONE.1, AT_ONE), (TWO.1, AT_TWO), (NOWHERE, FAILED)] {
            change("hosts", &hosts(address));
            expect(&daemon, want, &format!("hosts was {how}: {address}"));
        }
    }
    // While the file cannot be used, its names stay as they were.
    write("hosts", &hosts(ONE.1));
    expect(&daemon, AT_ONE, "hosts was written");
    write("hosts", "");
    expect(&daemon, AT_ONE, "hosts became empty");
    fs::remove_file("/etc/hosts").unwrap();
    fs::create_dir("/etc/hosts").unwrap();
    expect(&daemon, AT_ONE, "hosts cannot be read");
    fs::remove_dir("/etc/hosts").unwrap();
    fs::write("/etc/hosts", [b"# caf\xe9\n", hosts(TWO.1).as_bytes()].concat()).unwrap();
    expect(&daemon, AT_TWO, "hosts is not UTF-8");
    // An invalid resolv.conf does not matter.
    write("resolv.conf", "nameserver 127.0.0.\n");
    write("hosts", &hosts(ONE.1));
    expect(&daemon, AT_ONE, "resolv.conf became invalid");
    fs::remove_file("/etc/hosts").unwrap();
    expect(&daemon, FAILED, "hosts was removed");
}

#[test]
fn reads_resolv_conf_again() {
    if !is_inside("reads_resolv_conf_again") {
        return;
    }
    let daemon = start();
    expect(&daemon, FAILED, "the start without resolv.conf");
    for (how, change) in [("replaced", replace as fn(&str, &str)), ("written in place", write)] {
        for (content, want) in [(DNS_ONE, AT_ONE), (DNS_TWO, AT_TWO)] {
            change("resolv.conf", content);
            expect(&daemon, want, &format!("resolv.conf was {how}: {content}"));
        }
    }
}

#[test]
fn keeps_name_servers_while_resolv_conf_is_unusable() {
    if !is_inside("keeps_name_servers_while_resolv_conf_is_unusable") {
        return;
    }
    write("resolv.conf", DNS_ONE);
    let daemon = start();
    expect(&daemon, AT_ONE, "the start");
    for unusable in ["", "# nothing\n", "nameserver 127.0.0.\n", "nameserver \0\n"] {
        write("resolv.conf", unusable);
        expect(&daemon, AT_ONE, unusable);
        // Nor does a change of the other file forget them.
        write("hosts", &format!("127.0.0.1 localhost\n# {unusable:?}\n"));
        expect(&daemon, AT_ONE, unusable);
    }
    write("resolv.conf", DNS_TWO);
    expect(&daemon, AT_TWO, "resolv.conf was written");
    fs::remove_file("/etc/resolv.conf").unwrap();
    expect(&daemon, AT_TWO, "resolv.conf was removed");
    write("resolv.conf", DNS_ONE);
    expect(&daemon, AT_ONE, "resolv.conf was written");
}

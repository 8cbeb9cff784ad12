//! The look-up protocols as a mail server meets them: what is answered to each request, at which limits, and what a
//! reload, a stop and a crowd do to it.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // a test that panics has done its work

mod common;

use common::{Daemon, Site, WAIT, rcptd};
use lookup_protocols::{socketmap, tcp_table};
use rcptd::server::conversation::MAX_BATCH;
use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

/// Maps of every purpose, a list, and one that never knows.
const MAPS: &str = "
watch = false
map = [
  { name = \"virtual\", source = \"resolver:virtual_alias\" },
  { name = \"recipients\", source = \"resolver:recipients\" },
  { name = \"account\", source = \"resolver:account\" },
  { name = \"sender_login\", source = \"resolver:sender_login\" },
  { name = \"login_name\", source = \"resolver:sender_login_name\" },
  { name = \"access\", source = \"resolver:access\" },
  { name = \"transport\", source = \"resolver:transport\" },
  { name = \"domains\", source = \"resolver:domains\" },
  { name = \"list\", source = \"inline:{ key=value, { text = a text with blanks, 100% of it }, { KEEPALIVE = yes } }\" },
  { name = \"broken\", source = \"fail:by choice\" },
]
";

const LISTENERS: &str = "
[[tcp_table]]
listen = \"inet:127.0.0.1:0\"
map = \"virtual\"
[[tcp_table]]
listen = \"inet:127.0.0.1:0\"
map = \"list\"
[[tcp_table]]
listen = \"inet:127.0.0.1:0\"
map = \"broken\"
[[socketmap]]
listen = \"inet:127.0.0.1:0\"
[[socketmap]]
listen = \"inet:127.0.0.1:0\"
maps = [\"list\"]
mta = \"sendmail\"
";

/// The listeners of [`LISTENERS`] behind the milter, by their place in the log.
const VIRTUAL: usize = 1;
const LIST: usize = 2;
const BROKEN: usize = 3;
const SOCKETMAP: usize = 4;
const SENDMAIL: usize = 5;

fn start() -> Daemon {
    Daemon::start(Site::new(&format!("{MAPS}{LISTENERS}"), ""))
}

/// Where the listeners listen, in the order in which they were opened.
fn addresses(daemon: &Daemon) -> Vec<SocketAddr> {
    daemon.log.wait_for(0, "ready: ");
    let log = daemon.log.text();
    let lines = log.lines().filter(|line| line.ends_with(" listening"));
    lines
        .filter_map(|line| line.split("listener=inet:").nth(1)?.strip_suffix(" listening")?.parse().ok())
        .collect()
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(WAIT)).expect("a limit");
    stream.set_nodelay(true).expect("at once");
    stream
}

/// Sends, closes its side, and reads what comes until the other side closes.
fn whole(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(address);
    stream.write_all(bytes).expect("sent");
    stream.shutdown(Shutdown::Write).expect("closed");
    let mut got = Vec::new();
    stream.read_to_end(&mut got).expect("answered");
    got
}

/// One request of tcp_table on a connection that stays open.
fn ask(stream: &mut TcpStream, request: &str) -> String {
    stream.write_all(format!("{request}\n").as_bytes()).expect("sent");
    line(stream)
}

fn line(stream: &mut TcpStream) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.last() != Some(&b'\n') {
        assert_eq!(stream.read(&mut byte).expect("answered"), 1, "closed after {line:?}");
        line.push(byte[0]);
    }
    String::from_utf8(line).expect("UTF-8").trim_end().to_owned()
}

fn netstring(text: &str) -> String {
    format!("{}:{text},", text.len())
}

/// One request of socketmap on a connection that stays open.
fn look_up(stream: &mut (impl Read + Write), request: &str) -> String {
    stream.write_all(netstring(request).as_bytes()).expect("sent");
    let mut length = String::new();
    let mut byte = [0];
    loop {
        stream.read_exact(&mut byte).expect("answered");
        match byte[0] {
            b':' => break,
            digit => length.push(char::from(digit)),
        }
    }
    let mut payload = vec![0; length.parse::<usize>().expect("a length") + 1];
    stream.read_exact(&mut payload).expect("answered");
    assert_eq!(payload.pop(), Some(b','));
    String::from_utf8(payload).expect("UTF-8")
}

/// Map, key, and the answer: `=value`, `-` for none, `?` for nobody can say.
const CASES: &[(&str, &str, &str)] = &[
    ("virtual", "foo-macys-m5@example.test", "=foo@example.test"),
    ("virtual", "Foo-Macys-M5@Example.TEST", "=foo@example.test"),
    ("virtual", "\"foo-macys-m5\"@example.test", "=foo@example.test"),
    ("virtual", "foo-macys-m6@example.test", "-"),
    // cleanup asks for the address as it was typed, Postfix delivers to where the route ends.
    ("virtual", "foo-macys-m5%example.test@example.test", "=foo@example.test"),
    ("virtual", "example.test!foo-macys-m5@example.test", "=foo@example.test"),
    ("virtual", "\"foo-macys-m5@example.test\"@Example.test", "=foo@example.test"),
    ("virtual", "\"foo-macys-m5%example.test@example.test\"@example.test", "=foo@example.test"),
    ("virtual", "foo-macys-m5%elsewhere.test@example.test", "-"),
    ("virtual", "foo-macys-m5%example.test@elsewhere.test", "-"),
    ("virtual", "foo-macys-m6%example.test@example.test", "-"),
    ("virtual", "foo%example.test@example.test", "-"),
    ("virtual", "%example.test@example.test", "-"),
    ("virtual", "foo@example.test", "-"),
    ("virtual", "mallory-macys-m5@example.test", "-"),
    ("virtual", "foo-macys-m5@elsewhere.test", "-"),
    ("virtual", "foo-macys-m5", "-"),
    ("virtual", "example.test", "-"),
    ("virtual", "@example.test", "-"),
    ("virtual", "*", "-"),
    ("virtual", "", "-"),
    // Without its quotes it is a name, and no argument of RCPT.
    ("virtual", "<foo-macys-m5@example.test", "-"),
    ("virtual", "@x:foo-macys-m5@example.test", "-"),
    ("virtual", " foo-macys-m5@example.test", "-"),
    ("recipients", "foo-macys-m5@example.test", "=foo@example.test"),
    ("recipients", "ALICE@example.test", "=alice@example.test"),
    ("recipients", "foo-macys-m6@example.test", "-"),
    ("recipients", "mallory@example.test", "-"),
    ("recipients", "alice@elsewhere.test", "-"),
    ("recipients", "alice", "-"),
    ("recipients", "alice@", "-"),
    ("account", "foo-macys-m5", "=foo"),
    ("account", "foo", "-"),
    ("account", "foo-macys-m6", "-"),
    ("account", "foo-macys-m5@example.test", "-"),
    ("sender_login", "foo-macys-m5@example.test", "=foo@example.test"),
    ("sender_login", "alice@example.test", "=alice@example.test"),
    ("sender_login", "mallory@example.test", "-"),
    ("login_name", "foo-macys-m5@example.test", "=foo"),
    ("login_name", "alice@example.test", "=alice"),
    ("access", "foo-macys-m5@example.test", "=DUNNO"),
    ("access", "alice@example.test", "=DUNNO"),
    ("access", "mallory@example.test", "=550 5.1.1 Recipient address rejected: User unknown"),
    ("access", "alice@elsewhere.test", "-"),
    ("access", "192.0.2.1", "-"),
    ("access", "example.test", "-"),
    ("transport", "foo-macys-m5@example.test", "=:"),
    ("transport", "foo-macys-m6@example.test", "-"),
    ("transport", "Alice@Example.test", "=:"),
    ("transport", "mallory@example.test", "-"),
    ("transport", "alice@elsewhere.test", "-"),
    ("transport", "example.test", "-"),
    ("transport", "*", "-"),
    ("domains", "example.test", "=example.test"),
    ("domains", "EXAMPLE.test", "=example.test"),
    ("domains", "sub.example.test", "-"),
    ("domains", "alice@example.test", "-"),
    ("list", "key", "=value"),
    ("list", "KEY", "=value"),
    ("list", "text", "=a text with blanks, 100% of it"),
    ("list", "other", "-"),
    ("broken", "anything", "?"),
];

#[test]
fn every_map_over_socketmap() {
    let daemon = start();
    let mut stream = connect(addresses(&daemon)[SOCKETMAP]);
    for (map, key, want) in CASES {
        let got = look_up(&mut stream, &format!("{map} {key}"));
        let got = match got.split_once(' ') {
            Some(("OK", value)) => format!("={value}"),
            Some(("NOTFOUND", "")) => "-".into(),
            Some(("TEMP", _)) => "?".into(),
            _ => got,
        };
        assert_eq!(got, *want, "{map} {key}");
    }
    // A map that there is not is a mistake of the operator's, and says so to Postfix.
    assert_eq!(look_up(&mut stream, "nowhere alice@example.test"), "PERM no such map");
    assert_eq!(look_up(&mut stream, "nowhere"), "PERM no such map");
    // Sendmail would take that for "not found".
    let mut stream = connect(addresses(&daemon)[SENDMAIL]);
    assert_eq!(look_up(&mut stream, "list key"), "OK value");
    for request in ["nowhere x", "virtual foo-macys-m5@example.test", "nowhere"] {
        assert_eq!(look_up(&mut stream, request), "TEMP no such map", "{request}");
    }
}

#[test]
fn every_map_over_tcp_table() {
    let daemon = start();
    let addresses = addresses(&daemon);
    for (map, at) in [("virtual", VIRTUAL), ("list", LIST), ("broken", BROKEN)] {
        let mut stream = connect(addresses[at]);
        for (_, key, want) in CASES.iter().filter(|(of, key, _)| *of == map && !key.is_empty()) {
            let mut request = Vec::new();
            tcp_table::write_request(&mut request, key);
            stream.write_all(&request).expect("sent");
            let line = line(&mut stream);
            let got = match tcp_table::response(line.as_bytes()) {
                Ok(tcp_table::Response::Found(value)) => format!("={}", String::from_utf8(value).unwrap()),
                Ok(tcp_table::Response::NotFound) => "-".into(),
                Ok(tcp_table::Response::TempFail(_)) => "?".into(),
                Err(e) => format!("{e}: {line}"),
            };
            assert_eq!(got, *want, "{map} {key}");
        }
    }
    let mut stream = connect(addresses[LIST]);
    assert_eq!(ask(&mut stream, "get text"), "200 a%20text%20with%20blanks,%20100%25%20of%20it");
}

/// Requests of the old transcripts that are answered otherwise, and why; also in the manual page.
const DIFFERENCES: &[(&str, &str, &str, &str)] = &[
    (
        "w-table-basic",
        "get foo%2dabc-3\n",
        "200 foo\n",
        "keys are decoded and values encoded, as in tcp_table(5)",
    ),
    (
        "w-table-basic",
        "get foo-abc%2D3\n",
        "200 foo\n",
        "keys are decoded and values encoded, as in tcp_table(5)",
    ),
    (
        "w-virtual-basic",
        "get foo-abc-3%40example.com\n",
        "200 foo@example.com\n",
        "keys are decoded and values encoded, as in tcp_table(5)",
    ),
    ("w-table-utf8", "get foo\u{c2}\u{a0}x\n", "500 not found\n", "only ASCII blanks separate words"),
    (
        "w-table-utf8",
        "get \u{ff}\u{fe}\n",
        "500 not found\n",
        "a name that is not UTF-8 is not found, and the connection stays open",
    ),
    ("w-table-limit-1025", "", "500 not found\n", "a line may have 4096 octets (tcp_table(5))"),
    (
        "w-virtual-basic",
        "get foo-abc-3@EXAMPLE.com\n",
        "200 foo@example.com\n",
        "domains in values are in lower case",
    ),
    (
        "w-virtual-debug",
        "get abc+3@Example.Com\n",
        "200 dbg@example.com\n",
        "domains in values are in lower case",
    ),
    (
        "w-virtual-basic",
        "get foo-abc-3@example.com.\n",
        "200 foo@example.com\n",
        "a dot at the end does not matter",
    ),
];

/// The word of the list of domains that is none, in a transcript that has one.
const COMMA: &str = "w-virtual-comma";

#[test]
fn what_trualias_answered() {
    let transcripts = include_str!("data/wire/tcp_table.jsonl");
    let mut used = 0;
    let mut played = 0;
    for text in transcripts.lines() {
        let transcript: Value = serde_json::from_str(text).expect("JSON");
        let get = |value: &Value, name: &str| value[name].as_str().expect("a text").to_owned();
        let id = get(&transcript, "id");
        // "example.com," was taken for a domain; it is an error of the configuration now.
        if id == COMMA {
            continue;
        }
        let is_virtual = get(&transcript, "server") == "virtual";
        let site = Site::new("", "");
        site.write("old.conf", &get(&transcript, "config"));
        let purpose = if is_virtual { "virtual_alias" } else { "account" };
        // Without ALIAS DOMAINS nothing matched.
        let domains = if get(&transcript, "config").contains("ALIAS DOMAINS") {
            String::new()
        } else {
            "domains = [\"unused.test\"]\n".to_owned()
        };
        let statistics = !id.contains("nostats");
        site.write(
            "rcptd.conf",
            &format!(
                "{domains}rules = [\"old.conf\"]\ncase_sensitive = true\n\
                 [[map]]\nname = \"old\"\nsource = \"resolver:{purpose}\"\n\
                 [[tcp_table]]\nlisten = \"inet:127.0.0.1:0\"\nmap = \"old\"\n\
                 [statistics]\nenabled = {statistics}\n[account]\nsource = \"none:\"\n"
            ),
        );
        let daemon = Daemon::start(site);
        let mut stream = connect(addresses(&daemon)[0]);
        for step in transcript["steps"].as_array().expect("steps") {
            let (send, mut want) = (get(step, "send"), get(step, "recv"));
            let difference = DIFFERENCES
                .iter()
                .find(|(of, request, ..)| *of == id && (*request == send || request.is_empty()));
            if let Some((_, _, ours, _)) = difference {
                assert_ne!(want, *ours, "{id}: {send:?} is no difference");
                (*ours).clone_into(&mut want);
                used += 1;
            }
            // Each character of the encoding is an octet.
            let bytes: Vec<u8> = send.chars().map(|c| u8::try_from(u32::from(c)).expect("latin-1")).collect();
            stream.write_all(&bytes).expect("sent");
            let mut got = String::new();
            for _ in want.lines() {
                let _ = writeln!(got, "{}", line(&mut stream));
            }
            assert_eq!(got, want, "{id}: {send:?}");
            played += 1;
        }
        // Nothing is left over, and the connection is open.
        assert_eq!(ask(&mut stream, "put x"), "400 unrecognized command", "{id}");
    }
    assert_eq!(used, DIFFERENCES.len());
    assert!(played > 40, "{played}");
    let manual = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/install/rcptd.maps.5")).unwrap();
    let manual = manual.replace("\\-", "-").split_whitespace().collect::<Vec<_>>().join(" ");
    for (_, _, _, why) in DIFFERENCES {
        assert!(manual.contains(why), "rcptd.maps(5) does not say: {why}");
    }
}

/// Files of trualias as the configuration; they are read again after a change.
#[test]
fn a_file_of_trualias_alone_is_served() {
    const RULE: &str = "ACCOUNT foo MATCHES %account%-%ident%-%code% WITH CHAR(1,-), CHARS();\n";
    let cases = [
        ("tcp_table_server.conf", "", "foo-macys-m5", "foo-macys-m6"),
        (
            "tcp_virtual_server.conf",
            "ALIAS DOMAINS: example.com\n",
            "foo-macys-m5@example.com",
            "foo-macys-m5@example.org",
        ),
    ];
    for (name, statements, found, other) in cases {
        let site = Site::new("", "");
        site.write(name, &format!("HOST: 127.0.0.1\nPORT: 0\n{statements}{RULE}"));
        let mut command = common::rcptd();
        command.args(["serve", "--trualias"]).arg(site.path(name));
        let daemon = Daemon::start_by(site, command);
        let mut stream = connect(daemon.address());
        let account = if statements.is_empty() { "200 foo" } else { "200 foo@example.com" };
        assert_eq!(ask(&mut stream, &format!("get {found}")), account, "{name}");
        assert_eq!(ask(&mut stream, &format!("get {other}")), "500 not found", "{name}");
        daemon.site.write(name, &format!("HOST: 127.0.0.1\nPORT: 0\n{statements}"));
        daemon.reload();
        assert_eq!(ask(&mut stream, &format!("get {found}")), "500 not found", "{name}");
    }
}

#[test]
fn limits_of_lines_and_netstrings() {
    let daemon = start();
    let addresses = addresses(&daemon);
    // A line of as many octets as there may be, and one more.
    let long = |length: usize| format!("get {}\n", "x".repeat(length - "get \n".len()));
    let mut stream = connect(addresses[LIST]);
    assert_eq!(ask(&mut stream, long(tcp_table::MAX_LINE).trim_end()), "500 not found");
    assert_eq!(ask(&mut stream, "get key"), "200 value");
    let got = whole(addresses[LIST], long(tcp_table::MAX_LINE + 1).as_bytes());
    assert_eq!(String::from_utf8_lossy(&got), "400 request too long\n");
    // One that never ends, from a client that does not stop sending.
    let got = whole(addresses[LIST], &vec![b'x'; 100_000]);
    assert_eq!(String::from_utf8_lossy(&got), "400 request too long\n");

    let mut stream = connect(addresses[SOCKETMAP]);
    let key = "x".repeat(socketmap::MAX_REQUEST - "list ".len());
    assert_eq!(look_up(&mut stream, &format!("list {key}")), "NOTFOUND ");
    for broken in [
        netstring(&format!("list {key}y")).as_str(),
        "999999999999:",
        "4294967296:list x",
        "-1:x,",
        "3:list",
        "9:list keyx;",
        "get key\n",
        "\0\0\0\x0d",
    ] {
        // Nothing is said: whatever was, it could be taken for an answer.
        assert_eq!(whole(addresses[SOCKETMAP], broken.as_bytes()), b"", "{broken:.20}");
    }
    // What came before is answered.
    let got = whole(addresses[SOCKETMAP], format!("{}x", netstring("list key")).as_bytes());
    assert_eq!(String::from_utf8_lossy(&got), netstring("OK value"));
}

#[test]
fn values_longer_than_an_answer_cannot_be_told() {
    let site = Site::new(&format!("{MAPS}{LISTENERS}"), "");
    let lists = site.path("long");
    let values = [
        ("tcp_just", tcp_table::MAX_LINE - "200 \n".len()),
        ("tcp_more", tcp_table::MAX_LINE - "200 \n".len() + 1),
        ("map_just", socketmap::MAX_REPLY - "OK ".len()),
        ("map_more", socketmap::MAX_REPLY - "OK ".len() + 1),
    ];
    let text: String = values.iter().fold(String::new(), |mut text, (key, length)| {
        let _ = writeln!(text, "{key} {}", "v".repeat(*length));
        text
    });
    site.write("long", &text);
    let list =
        "source = \"inline:{ key=value, { text = a text with blanks, 100% of it }, { KEEPALIVE = yes } }\"";
    site.configure(list, &format!("source = \"texthash:{}\"", lists.display()));
    let daemon = Daemon::start(site);
    let addresses = addresses(&daemon);
    let mut tcp = connect(addresses[LIST]);
    let mut map = connect(addresses[SOCKETMAP]);
    assert_eq!(ask(&mut tcp, "get tcp_just").len(), tcp_table::MAX_LINE - 1);
    for key in ["tcp_more", "map_just"] {
        assert_eq!(ask(&mut tcp, &format!("get {key}")), "400 the value is too long for this protocol");
    }
    assert_eq!(look_up(&mut map, "list map_just").len(), socketmap::MAX_REPLY);
    assert_eq!(look_up(&mut map, "list map_more"), "TEMP the value is too long for this protocol");
    assert!(look_up(&mut map, "list tcp_more").starts_with("OK vvv"));
}

/// A client may send as much as it likes before it reads, and has an answer to each in its order.
#[test]
fn pipelining() {
    let daemon = start();
    let addresses = addresses(&daemon);
    let count = 10 * MAX_BATCH + 1;
    let (mut request, mut want) = (String::new(), String::new());
    for i in 0..count {
        let (key, answer) = if i % 3 == 0 { ("key", "200 value") } else { ("none", "500 not found") };
        let _ = writeln!(request, "get {key}");
        let _ = writeln!(want, "{answer}");
    }
    assert_eq!(String::from_utf8(whole(addresses[LIST], request.as_bytes())).unwrap(), want);
    let request = [netstring("list key"), netstring("virtual foo-macys-m5@example.test")].concat();
    let want = [netstring("OK value"), netstring("OK foo@example.test")].concat();
    let got = whole(addresses[SOCKETMAP], request.repeat(count).as_bytes());
    assert_eq!(String::from_utf8(got).unwrap(), want.repeat(count));
    // In the smallest pieces.
    let mut stream = connect(addresses[SOCKETMAP]);
    for byte in netstring("list key").bytes() {
        stream.write_all(&[byte]).unwrap();
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(look_up(&mut stream, "list none"), "OK value");
}

/// Connections stay open over a reload, and see what it brought; a bad one changes nothing.
#[test]
fn a_reload_reaches_open_connections() {
    let site = Site::new(&format!("{MAPS}{LISTENERS}"), "");
    let list = site.path("list");
    site.write("list", "key one\n");
    let inline =
        "source = \"inline:{ key=value, { text = a text with blanks, 100% of it }, { KEEPALIVE = yes } }\"";
    site.configure(inline, &format!("source = \"texthash:{}\"", list.display()));
    let daemon = Daemon::start(site);
    let addresses = addresses(&daemon);
    let mut tcp = connect(addresses[LIST]);
    let mut map = connect(addresses[SOCKETMAP]);
    assert_eq!(ask(&mut tcp, "get key"), "200 one");
    daemon.site.write("list", "key two\n");
    daemon.reload();
    assert_eq!(
        (ask(&mut tcp, "get key"), look_up(&mut map, "list key")),
        ("200 two".into(), "OK two".into())
    );
    // A key without a value: refused, with its place.
    let from = daemon.log.len();
    daemon.site.write("list", "key three\nother\n");
    daemon.reload();
    daemon.log.wait_for(from, "/list:2:1: error: ");
    daemon.log.wait_for(from, "the old configuration stays in force");
    assert_eq!(
        (ask(&mut tcp, "get key"), look_up(&mut map, "list key")),
        ("200 two".into(), "OK two".into())
    );
    // A listener that is open serves a map by its name: that cannot go from under it.
    daemon.site.write("list", "key four\n");
    daemon.site.configure("name = \"broken\"", "name = \"renamed\"");
    daemon.site.configure("map = \"broken\"", "map = \"renamed\"");
    let from = daemon.log.len();
    daemon.reload();
    daemon
        .log
        .wait_for(from, "an open listener serves the map broken, which no longer exists: restart rcptd");
    assert_eq!(
        (ask(&mut tcp, "get key"), look_up(&mut map, "list key")),
        ("200 two".into(), "OK two".into())
    );
    // Others may come and go.
    daemon.site.configure("name = \"renamed\"", "name = \"broken\"");
    daemon.site.configure("map = \"renamed\"", "map = \"broken\"");
    daemon.site.configure("name = \"domains\"", "name = \"more\"");
    daemon.reload();
    assert_eq!(look_up(&mut map, "domains example.test"), "PERM no such map");
    assert_eq!(look_up(&mut map, "more example.test"), "OK example.test");
    assert_eq!(ask(&mut tcp, "get key"), "200 four");
    // What a file that was cut short by accident looks like.
    daemon.site.write("list", "# nothing\n");
    daemon.reload();
    assert_eq!(ask(&mut tcp, "get key"), "500 not found");
}

#[test]
fn a_stop_closes_what_is_idle() {
    let mut daemon = start();
    let addresses = addresses(&daemon);
    let mut tcp = connect(addresses[LIST]);
    let mut map = connect(addresses[SOCKETMAP]);
    assert_eq!(
        (ask(&mut tcp, "get key"), look_up(&mut map, "list key")),
        ("200 value".into(), "OK value".into())
    );
    daemon.signal("TERM");
    let mut rest = Vec::new();
    assert_eq!((tcp.read_to_end(&mut rest).unwrap(), map.read_to_end(&mut rest).unwrap()), (0, 0));
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(TcpStream::connect(addresses[LIST]).is_err());
}

/// A request in hand is answered before the end, and one that takes too long is given up in time.
#[test]
fn deadlines() {
    let mute = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let at = mute.local_addr().unwrap();
    let site = Site::new(&format!("{MAPS}{LISTENERS}"), "");
    site.configure("source = \"fail:by choice\"", &format!("source = \"tcp:{at}\""));
    site.configure("map = \"broken\"", "map = \"broken\"\ndeadline = \"300ms\"");
    site.configure("[[socketmap]]\nlisten", "[[socketmap]]\ndeadline = \"300ms\"\nlisten");
    let mut daemon = Daemon::start(site);
    let addresses = addresses(&daemon);
    let mut tcp = connect(addresses[BROKEN]);
    assert_eq!(ask(&mut tcp, "get x"), "400 temporary lookup failure, try again later");
    let mut map = connect(addresses[SOCKETMAP]);
    assert_eq!(look_up(&mut map, "broken x"), "TIMEOUT temporary lookup failure, try again later");
    daemon.log.wait_for(0, "verdict=tempfail key=\"x\" detail=\"no answer within 300ms\"");
    // Nobody else waits meanwhile.
    map.write_all(netstring("broken y").as_bytes()).unwrap();
    let mut other = connect(addresses[SOCKETMAP]);
    assert_eq!(look_up(&mut other, "list key"), "OK value");
    daemon.signal("TERM");
    let mut rest = String::new();
    map.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("TIMEOUT"), "{rest}");
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn more_connections_than_allowed_wait() {
    let site = Site::new(&format!("{MAPS}{LISTENERS}"), "");
    site.configure("map = \"list\"", "map = \"list\"\nmax_connections = 2");
    let daemon = Daemon::start(site);
    let address = addresses(&daemon)[LIST];
    let (mut a, mut b) = (connect(address), connect(address));
    assert_eq!((ask(&mut a, "get key"), ask(&mut b, "get key")), ("200 value".into(), "200 value".into()));
    let mut c = connect(address);
    c.write_all(b"get key\n").unwrap();
    daemon.log.wait_for(0, "2 connections are open, which is the limit");
    drop(a);
    assert_eq!(line(&mut c), "200 value");
    // Who asks nothing for longest gives the place to another.
    let mut d = connect(address);
    assert_eq!(ask(&mut c, "get key"), "200 value");
    assert_eq!(ask(&mut d, "get key"), "200 value");
    let mut rest = Vec::new();
    assert_eq!(b.read_to_end(&mut rest).unwrap(), 0);
    daemon.log.wait_for(0, "closed for a new connection, because max_connections is reached");
    assert_eq!(ask(&mut d, "get key"), "200 value");
}

#[test]
fn who_is_silent_for_too_long_is_closed() {
    let site = Site::new(&format!("{MAPS}{LISTENERS}"), "");
    site.configure("map = \"list\"", "map = \"list\"\nidle_timeout = \"1s\"");
    let daemon = Daemon::start(site);
    let mut silent = connect(addresses(&daemon)[LIST]);
    assert_eq!(ask(&mut silent, "get key"), "200 value");
    let mut rest = Vec::new();
    assert_eq!(silent.read_to_end(&mut rest).unwrap(), 0);
    daemon.log.wait_for(0, "idle timeout");
}

/// Clients that ask nothing, or half of something, do not keep a mail server out, nor one that works.
#[test]
fn idle_clients_do_not_fill_a_listener() {
    const MOST: usize = 100;
    let site = Site::new(&format!("{MAPS}{LISTENERS}"), "");
    site.configure("map = \"list\"", &format!("map = \"list\"\nmax_connections = {MOST}"));
    let daemon = Daemon::start(site);
    let address = addresses(&daemon)[LIST];
    let mut working = connect(address);
    assert_eq!(ask(&mut working, "get key"), "200 value");
    let mut idle: Vec<TcpStream> = (1..MOST).map(|_| connect(address)).collect();
    for half in idle.iter_mut().step_by(2) {
        half.write_all(b"get k").unwrap();
    }
    let begun = std::time::Instant::now();
    let mut more: Vec<TcpStream> = Vec::new();
    for i in 0..20 {
        let mut new = connect(address);
        assert_eq!(ask(&mut new, "get key"), "200 value", "{i}");
        assert_eq!(ask(&mut working, "get none"), "500 not found", "{i}");
        more.push(new);
    }
    assert!(begun.elapsed() < WAIT / 2, "{:?}", begun.elapsed());
    for new in &mut more {
        assert_eq!(ask(new, "get key"), "200 value");
    }
}

/// Ten thousand connections, each of which is answered, also while the others are open.
#[test]
fn a_crowd() {
    const CROWD: usize = 10_000;
    // Both ends are in files of two processes, so each needs as many; where the system allows fewer, as many as
    // it does.
    let (_, hard) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    assert!(hard > CROWD as u64 + 100, "ulimit -Hn {hard} is too low for this test");
    let site = Site::new(&format!("workers = 1\n{MAPS}{LISTENERS}"), "");
    site.configure("map = \"list\"", "map = \"list\"\nmax_connections = 20000");
    site.configure("level = \"debug\"", "level = \"info\"");
    let daemon = Daemon::start(site);
    let address = addresses(&daemon)[LIST];
    let mut crowd: Vec<TcpStream> = (0..CROWD).map(|_| connect(address)).collect();
    for _ in 0..2 {
        for stream in &mut crowd {
            stream.write_all(b"get key\n").unwrap();
        }
        for stream in &mut crowd {
            assert_eq!(line(stream), "200 value");
        }
    }
    let mut new = connect(address);
    assert_eq!(ask(&mut new, "get none"), "500 not found");
}

#[test]
fn unix_sockets_have_their_mode() {
    let site = Site::new("", "");
    let socket = site.path("map.sock");
    let table = format!("[[socketmap]]\nlisten = \"unix:{}\"\nsocket_mode = \"0666\"\n", socket.display());
    site.configure("[milter]", &format!("{MAPS}{table}[milter]"));
    let daemon = Daemon::start(site);
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o666);
    let mut stream = UnixStream::connect(&socket).unwrap();
    assert_eq!(look_up(&mut stream, "list key"), "OK value");
    drop(daemon);
}

/// Statistics in band, and switched off.
#[test]
fn statistics_in_band() {
    let daemon = start();
    let mut stream = connect(addresses(&daemon)[LIST]);
    for request in ["get key", "get none", "put x"] {
        ask(&mut stream, request);
    }
    let mut seen = 0;
    // The figures are of whole seconds that have passed.
    while seen != 3 {
        stream.write_all(b"jstats\n").unwrap();
        let json = line(&mut stream);
        let figures: Value = serde_json::from_str(json.strip_prefix("210 ").expect("210")).expect("JSON");
        let names: Vec<&str> =
            figures.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["connections", "reads", "writes", "success", "not_found", "bad", "stats"]);
        let most = |name: &str| {
            let one = figures.as_array().unwrap().iter().find(|one| one["name"] == name).unwrap();
            one["n_per_sec"]["maximum"].as_u64().unwrap()
        };
        seen = [most("success"), most("not_found"), most("bad")].iter().filter(|n| **n == 1).count();
        thread::sleep(Duration::from_millis(50));
    }
    stream.write_all(b"stats\n").unwrap();
    let lines: Vec<String> = (0..7).map(|_| line(&mut stream)).collect();
    assert!(lines[0].starts_with("210 bad: emin="), "{lines:?}");
    assert!(lines[1..].iter().all(|line| line.starts_with("212 ")), "{lines:?}");
    assert!(lines[1].contains("connections: ") && lines[1].contains(" dmax=1 d1=1.0000 "), "{lines:?}");
}

/// What is logged, by the clock, if the operator wants it.
#[test]
fn statistics_in_the_log() {
    let site = Site::new(&format!("{MAPS}{LISTENERS}[statistics]\nlog_interval = \"1s\"\n"), "");
    let daemon = Daemon::start(site);
    daemon.log.wait_for(0, " map=list success: emin=");
    daemon.log.wait_for(0, " map=list tempfail: emin=");
    daemon.log.wait_for(0, " connections: emin=");
}

/// `rcptd status` and `rcptd trace` of the running program.
#[test]
fn the_daemon_can_be_looked_into() {
    let site = Site::new(&format!("{MAPS}{LISTENERS}"), "");
    let socket = site.path("control.sock");
    site.configure("[milter]", &format!("[control]\nlisten = \"unix:{}\"\n[milter]", socket.display()));
    let daemon = Daemon::start(site);
    let addresses = addresses(&daemon);
    let command = |name: &str, more: &[&str]| {
        let mut command = rcptd();
        command.arg(name).arg("-c").arg(daemon.site.path("rcptd.conf")).args(more);
        command
    };
    // The owner's alone.
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);

    let trace = |more: &[&str]| {
        let mut command = command("trace", more);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let mut child = command.spawn().expect("the program");
        let log = common::Log::default();
        log.collect(child.stderr.take().unwrap());
        log.wait_for(0, "tracing");
        child
    };
    let all = trace(&["--count", "4"]);
    let some = trace(&["--map", "list", "--key", "EY", "--json", "--count", "1"]);
    let mut tcp = connect(addresses[VIRTUAL]);
    ask(&mut tcp, "get foo-macys-m5@example.test");
    let mut map = connect(addresses[SOCKETMAP]);
    // The key of health checks is not shown.
    assert_eq!(look_up(&mut map, "list KEEPALIVE"), "OK yes");
    look_up(&mut map, "broken x\ny");
    look_up(&mut map, "list key");
    daemon.check("the milter is traced, too");
    let said = |child: std::process::Child| {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let text = said(all);
    let lines: Vec<&str> = text.lines().collect();
    for (line, want) in lines.iter().zip([
        ["virtual ", "foo-macys-m5@example.test", "found foo@example.test", "inet:127.0.0.1"],
        ["broken ", "x\\x0ay", "tempfail fail: by choice", "inet:127.0.0.1"],
        ["list ", "key", "found value", "inet:127.0.0.1"],
        ["milter ", "<foo-macys-m5@example.test>", "rewrite foo@example.test", "milter"],
    ]) {
        assert!(want.iter().all(|part| line.contains(part)), "{want:?} in {line}");
    }
    assert_eq!(lines.len(), 4);
    let one: Value = serde_json::from_str(&said(some)).unwrap();
    assert_eq!(
        (&one["map"], &one["key"], &one["verdict"], &one["text"]),
        (&"list".into(), &"key".into(), &"found".into(), &"value".into())
    );

    let text = String::from_utf8(command("status", &[]).output().unwrap().stdout).unwrap();
    for want in
        ["1 rule, 1 domain", "milter: sessions ", "map list (plain): found 2,", "temporary failures 1"]
    {
        assert!(text.contains(want), "{want} in {text}");
    }
    let json: Value =
        serde_json::from_slice(&command("status", &["--json"]).output().unwrap().stdout).unwrap();
    assert_eq!(json["last_reload_failed"], Value::Null);
    daemon.site.write("aliases.rules", "ACCOUNT");
    daemon.reload();
    let text = String::from_utf8(command("status", &[]).output().unwrap().stdout).unwrap();
    assert!(text.contains("the last reload FAILED") && text.contains("aliases.rules:1:"), "{text}");
}

/// What monitoring sees, from the start and after some requests; no address is among it.
#[test]
fn metrics_over_http() {
    let top = format!("{MAPS}{LISTENERS}[metrics]\nlisten = \"inet:127.0.0.1:0\"\n");
    let daemon = Daemon::start(Site::new(&top, ""));
    let addresses = addresses(&daemon);
    let scrape = || {
        let mut stream = connect(addresses[SENDMAIL + 1]);
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut got = String::new();
        stream.read_to_string(&mut got).unwrap();
        got
    };
    let figure = |text: &str, series: &str| -> u64 {
        let line = text.lines().find(|line| line.starts_with(series));
        let line = line.unwrap_or_else(|| panic!("no {series} in {text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    let list = addresses[LIST];
    let found = format!("rcptd_requests_total{{listener=\"inet:{list}\",op=\"get\",verdict=\"found\"}}");
    let later = "rcptd_map_requests_total{map=\"broken\",result=\"tempfail\"}";
    let text = scrape();
    assert!(
        text.starts_with("HTTP/1.1 200 OK\r\n") && text.contains("application/openmetrics-text"),
        "{text}"
    );
    assert!(figure(&text, &found) == 0 && figure(&text, later) == 0);
    let mut stream = connect(list);
    ask(&mut stream, "get key");
    let mut map = connect(addresses[SOCKETMAP]);
    look_up(&mut map, "broken secret@example.test");
    look_up(&mut map, "virtual foo-macys-m5@example.test");
    daemon.check("the milter is counted, too");
    let text = scrape();
    assert!(figure(&text, &found) == 1 && figure(&text, later) == 1, "{text}");
    assert!(figure(&text, "rcptd_requests_total{listener=\"milter\",op=\"rcpt\",verdict=\"rewrite\"}") > 0);
    assert!(figure(&text, "rcptd_config_last_reload_success") == 1);
    assert!(!text.contains('@') && !text.contains("secret"), "{text}");
    daemon.site.write("aliases.rules", "ACCOUNT");
    daemon.reload();
    assert!(figure(&scrape(), "rcptd_config_last_reload_success") == 0);
}

#[test]
fn commands_say_what_is_missing() {
    let site = Site::new("", "");
    for (config, want, code) in [
        (String::new(), "names no control socket", 78),
        (
            format!("[control]\nlisten = \"unix:{}\"\n", site.path("none.sock").display()),
            "is rcptd running",
            69,
        ),
    ] {
        site.configure("[milter]", &format!("{config}[milter]"));
        for name in ["status", "trace"] {
            let output = rcptd().arg(name).arg("-c").arg(site.path("rcptd.conf")).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(code), "{said}");
            assert!(said.contains(want), "{said}");
        }
    }
}

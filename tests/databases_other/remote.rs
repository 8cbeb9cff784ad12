//! Servers of tcp_table and socketmap.

use super::Want::{self, Found, NotFound, Unknown};
use super::stores::{Act, Fake, free_port};
use super::{expect, folder, inet};
use rcptd::map::{Table, remote};
use rcptd::net::host::Host;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

#[derive(Clone, Copy, Debug)]
enum Protocol {
    TcpTable,
    Socketmap,
}

use Protocol::{Socketmap, TcpTable};

impl Protocol {
    fn table(self, host: &Host) -> Arc<Table> {
        match self {
            TcpTable => remote::tcp_table(host),
            Socketmap => remote::socketmap(host, "aliases"),
        }
    }

    fn is_complete(self, request: &[u8]) -> bool {
        request.ends_with(match self {
            TcpTable => b"\n",
            Socketmap => b",",
        })
    }

    /// A server that does the same about every request.
    fn fake(self, act: impl Fn(&[u8]) -> Act + Send + Sync + 'static) -> Fake {
        Fake::new(move |request| self.is_complete(request), act)
    }

    fn good(self) -> &'static [u8] {
        match self {
            TcpTable => b"200 good\n",
            Socketmap => b"7:OK good,",
        }
    }
}

fn netstring(payload: &[u8]) -> Vec<u8> {
    [payload.len().to_string().as_bytes(), b":", payload, b","].concat()
}

#[tokio::test]
async fn answers() {
    let long_line = [b"200 ".as_slice(), &b"a".repeat(4091), b"\n"].concat();
    let longer_line = [b"200 ".as_slice(), &b"a".repeat(4092), b"\n"].concat();
    let long = netstring(&[b"OK ".as_slice(), &b"a".repeat(99_997)].concat());
    let longer = netstring(&[b"OK ".as_slice(), &b"a".repeat(99_998)].concat());
    let cases: Vec<(Protocol, &[u8], Want<'_>)> = vec![
        (TcpTable, b"200 foo@example.test\n", Found("foo@example.test")),
        (TcpTable, b"200 a%20b%0Ac\n", Found("a b\nc")),
        (TcpTable, b"200 foo\r\n", Found("foo")),
        (TcpTable, b"500 not found\n", NotFound),
        (TcpTable, b"500\n", NotFound),
        (TcpTable, b"400 try again\n", Unknown("it replied 400 try again")),
        (TcpTable, b"501 bad request\n", Unknown("it replied 501 bad request")),
        (TcpTable, b"550 database error\n", Unknown("it replied 550 database error")),
        (TcpTable, b"554\n", Unknown("it replied 554")),
        (TcpTable, b"200 \n", Unknown("the value is empty")),
        (TcpTable, b"200\n", Unknown("the value is empty")),
        (TcpTable, b"200 gr%FC%DFe\n", Unknown("not UTF-8")),
        (TcpTable, b"200 gr\xfc\xdfe\n", Unknown("not UTF-8")),
        (TcpTable, b"\n", Unknown("invalid reply")),
        (TcpTable, b"hello\n", Unknown("invalid reply")),
        (TcpTable, b"300 x\n", Unknown("invalid reply")),
        (TcpTable, b"200 100%\n", Unknown("invalid reply")),
        (TcpTable, b"200 a\n200 b\n", Unknown("it sent more than the answer")),
        (TcpTable, b"500 not found\n5", Unknown("it sent more than the answer")),
        (TcpTable, &long_line, Found(std::str::from_utf8(&long_line[4..4095]).unwrap())),
        (TcpTable, &longer_line, Unknown("longer than allowed")),
        (Socketmap, b"19:OK foo@example.test,", Found("foo@example.test")),
        (Socketmap, b"8:OK a b\nc,", Found("a b\nc")),
        (Socketmap, b"9:NOTFOUND ,", NotFound),
        (Socketmap, b"8:NOTFOUND,", NotFound),
        (Socketmap, b"22:NOTFOUND database down,", Unknown("invalid reply")),
        (Socketmap, b"11:notfound it,", Unknown("invalid reply")),
        (Socketmap, b"10:TEMP later,", Unknown("it replied TEMP later")),
        (Socketmap, b"12:TIMEOUT late,", Unknown("it replied TIMEOUT late")),
        (Socketmap, b"7:PERM no,", Unknown("it replied PERM no")),
        (Socketmap, b"3:OK ,", Unknown("the value is empty")),
        // For Postfix, the key is not found.
        (Socketmap, b"2:OK,", Unknown("the value is empty")),
        // Postfix accepts leading zeros.
        (Socketmap, b"0006:OK foo,", Found("foo")),
        (Socketmap, b"5:OK \xfc\xdf,", Unknown("not UTF-8")),
        (Socketmap, b"5:MAYBE,", Unknown("invalid reply")),
        (Socketmap, b"0:,", Unknown("invalid reply")),
        (Socketmap, b"hello", Unknown("has no valid length")),
        (Socketmap, b"7:OK good;", Unknown("does not end in a comma")),
        (Socketmap, b"7:OK good,9:NOTFOUND ,", Unknown("it sent more than the answer")),
        (Socketmap, &long, Found(std::str::from_utf8(&long[10..long.len() - 1]).unwrap())),
        (Socketmap, &longer, Unknown("longer than allowed")),
        (Socketmap, b"99999999999:", Unknown("has no valid length")),
    ];
    for (protocol, reply, want) in cases {
        let bytes = reply.to_vec();
        let fake = protocol.fake(move |_| Act::Reply(bytes.clone()));
        let table = protocol.table(&inet(fake.port));
        assert_eq!(fake.connections(), 0, "nobody asked yet");
        // Twice, since a bad answer must not stay in a connection.
        expect(&*table, "key", want).await;
        expect(&*table, "key", want).await;
        let is_kept = matches!(want, Found(_) | NotFound);
        assert_eq!(fake.connections(), if is_kept { 1 } else { 2 }, "{protocol:?} {want:?}");
    }
    for protocol in [TcpTable, Socketmap] {
        for (reply, want) in [
            (protocol.good(), Found("good")),
            (&protocol.good()[..5], Unknown("the answer is incomplete")),
            (b"", Unknown("it closed the connection")),
        ] {
            let bytes = reply.to_vec();
            let fake = protocol.fake(move |_| Act::SayAndClose(bytes.clone()));
            let table = protocol.table(&inet(fake.port));
            for _ in 0..3 {
                expect(&*table, "key", want).await;
            }
        }
        let down = protocol.table(&inet(free_port()));
        expect(&*down, "key", Unknown("onnection refused")).await;
    }
}

#[tokio::test]
async fn questions() {
    let echo = |protocol: Protocol| {
        protocol.fake(move |request| {
            let text = String::from_utf8_lossy(request).trim().replace([' ', '%'], "_");
            Act::Reply(match protocol {
                TcpTable => format!("200 {text}\n").into_bytes(),
                Socketmap => netstring(format!("OK {text}").as_bytes()),
            })
        })
    };
    let (long, longer) = ("k".repeat(4091), "k".repeat(4092));
    let (most, more) = ("k".repeat(9992), "k".repeat(9993));
    let long_wanted = format!("get_{}", &long[..4087]);
    let most_wanted = format!("10000:aliases_{most},");
    for (protocol, key, want) in [
        (TcpTable, "foo@example.test", Found("get_foo@example.test")),
        (TcpTable, "a b", Found("get_a_20b")),
        (TcpTable, "a\nget b\r\n", Found("get_a_0Aget_20b_0D_0A")),
        (TcpTable, "grüße", Found("get_gr_C3_BC_C3_9Fe")),
        (TcpTable, "", Unknown("empty key")),
        // The answer has to fit into a line as well.
        (TcpTable, &long[..4087], Found(&long_wanted)),
        (TcpTable, &longer, Unknown("a request may have 4096 octets")),
        (TcpTable, &"é".repeat(700), Unknown("a request may have 4096 octets")),
        (Socketmap, "foo@example.test", Found("24:aliases_foo@example.test,")),
        (Socketmap, "a b,c\n", Found("14:aliases_a_b,c\n,")),
        (Socketmap, "", Found("8:aliases_,")),
        (Socketmap, &most, Found(&most_wanted)),
        (Socketmap, &more, Unknown("a request may have 10000 octets")),
    ] {
        let fake = echo(protocol);
        expect(&*protocol.table(&inet(fake.port)), key, want).await;
    }
}

#[tokio::test]
async fn connections_are_reused() {
    for protocol in [TcpTable, Socketmap] {
        let fake = protocol.fake(move |_| Act::Reply(protocol.good().to_vec()));
        let table = protocol.table(&inet(fake.port));
        for _ in 0..10 {
            expect(&*table, "key", Found("good")).await;
        }
        assert_eq!(fake.connections(), 1);
        // Closed while idle.
        fake.close_connections();
        expect(&*table, "key", Found("good")).await;
        assert_eq!(fake.connections(), 2);
        // What comes unasked is no answer.
        fake.say(match protocol {
            TcpTable => b"200 bad\n",
            Socketmap => b"6:OK bad,",
        });
        tokio::time::sleep(Duration::from_millis(100)).await;
        expect(&*table, "key", Found("good")).await;
        assert_eq!(fake.connections(), 3);
        // Closed in the face of the question, as by a server that was restarted: asked once more.
        let count = Arc::new(AtomicUsize::new(0));
        let odd = protocol.fake({
            let count = count.clone();
            move |_| match count.fetch_add(1, Ordering::SeqCst) {
                1 => Act::SayAndClose(Vec::new()),
                _ => Act::Reply(protocol.good().to_vec()),
            }
        });
        let table = protocol.table(&inet(odd.port));
        expect(&*table, "key", Found("good")).await;
        expect(&*table, "key", Found("good")).await;
        assert_eq!((odd.connections(), count.load(Ordering::SeqCst)), (2, 3));
    }
}

/// An answer that comes too late is not taken for that to the next question.
#[tokio::test(flavor = "multi_thread")]
async fn given_up_in_the_middle() {
    for protocol in [TcpTable, Socketmap] {
        let fake = protocol.fake(move |request| {
            let text = String::from_utf8_lossy(request);
            let number: u64 = text
                .trim_matches(|c: char| !c.is_ascii_digit())
                .rsplit("key")
                .next()
                .unwrap()
                .parse()
                .unwrap();
            thread::sleep(Duration::from_millis(number % 5));
            Act::Reply(match protocol {
                TcpTable => format!("200 value{number}\n").into_bytes(),
                Socketmap => netstring(format!("OK value{number}").as_bytes()),
            })
        });
        let table = protocol.table(&inet(fake.port));
        let mut asking = Vec::new();
        for n in 0..400_u64 {
            let table = table.clone();
            asking.push(tokio::spawn(async move {
                let key = format!("key{n}");
                if n % 4 == 3 {
                    let _ = tokio::time::timeout(Duration::from_micros(n * 20), table.look_up(&key)).await;
                } else {
                    expect(&*table, &key, Found(&format!("value{n}"))).await;
                }
            }));
        }
        for asked in asking {
            asked.await.unwrap();
        }
        for _ in 0..20 {
            expect(&*table, "key7", Found("value7")).await;
        }
    }
}

#[tokio::test]
async fn hanging_servers() {
    let (silent, other) = (Fake::silent(), Fake::silent());
    // Half an answer, and nothing more.
    let half = TcpTable.fake(|_| Act::Reply(b"200 hal".to_vec()));
    let (tcp, socketmap) = (TcpTable.table(&inet(silent.port)), Socketmap.table(&inet(other.port)));
    let half = TcpTable.table(&inet(half.port));
    tokio::join!(
        expect(&*tcp, "key", Unknown("no answer within 5s")),
        expect(&*socketmap, "key", Unknown("no answer within 5s")),
        expect(&*half, "key", Unknown("no answer within 5s")),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_bounded() {
    let fake = TcpTable.fake(|_| {
        thread::sleep(Duration::from_millis(10));
        Act::Reply(b"200 good\n".to_vec())
    });
    let table = TcpTable.table(&inet(fake.port));
    let asking: Vec<_> = (0..200)
        .map(|_| {
            let table = table.clone();
            tokio::spawn(async move { expect(&*table, "key", Found("good")).await })
        })
        .collect();
    for asked in asking {
        asked.await.unwrap();
    }
    assert_eq!(fake.connections(), remote::CONNECTIONS);
}

#[tokio::test]
async fn unix_sockets() {
    let folder = folder();
    let path = folder.path().join("socket");
    let table = Socketmap.table(&Host::Unix(path.clone()));
    expect(&*table, "key", Unknown("/socket:aliases: No such file")).await;
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 100];
        let n = stream.read(&mut request).unwrap();
        assert_eq!(&request[..n], b"11:aliases key,");
        stream.write_all(b"7:OK good,").unwrap();
    });
    expect(&*table, "key", Found("good")).await;
}

//! The fuzz target of the look-up protocols. `tests/regressions.rs` calls it with the seeds and with the inputs that
//! once failed.
//!
//! ```sh
//! RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir crates/lookup-protocols/fuzz protocols
//! fuzz/long 30 protocols
//! ```
//!
//! The second command is that of all fuzz packages; see `fuzz/src/lib.rs`.

use lookup_protocols::tcp_table::{self, Response};
use lookup_protocols::{netstring, policy, socketmap};

/// A target.
pub type Target = fn(&[u8]);

/// All targets by name, which is also the name of their folders.
pub const TARGETS: [(&str, Target); 1] = [("protocols", protocols)];

/// Any bytes as netstrings, as a request and a reply of socketmap, as lines of tcp_table, and as requests of the policy
/// protocol; any text as what is written. Nothing panics, what is written is read, and a reading never returns more than was given.
pub fn protocols(data: &[u8]) {
    let mut rest = data;
    while let Some((payload, length)) = check_netstring(rest) {
        check_socketmap(payload);
        rest = &rest[length..];
    }
    check_socketmap(data);
    for line in data.split(|b| *b == b'\n') {
        check_line(line);
    }
    let mut rest = data;
    while let Some(length) = check_policy(rest) {
        rest = &rest[length..];
    }
    if let Ok(text) = std::str::from_utf8(data) {
        check_written(text);
    }
}

/// Checks the first netstring of `bytes` and returns its payload and length. A reading of fewer bytes is incomplete
/// or the same.
fn check_netstring(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let reading = netstring::read(bytes, socketmap::MAX_REPLY);
    let whole = reading.ok().flatten();
    let most = whole.map_or(bytes.len(), |(_, length)| length);
    assert!(most <= bytes.len());
    for length in 0..most {
        let early = netstring::read(&bytes[..length], socketmap::MAX_REPLY);
        assert!(early == Ok(None) || (early.is_err() && early == reading), "{length} bytes: {early:?}");
    }
    let (payload, length) = whole?;
    let digits = bytes.iter().position(|b| *b == b':').expect("a colon");
    let zeros = bytes.iter().take_while(|b| **b == b'0').count().min(digits - 1);
    assert_eq!(written(|out| netstring::write(out, &[payload])), &bytes[zeros..length]);
    if let Some(limit) = payload.len().checked_sub(1) {
        assert_eq!(netstring::read(bytes, limit), Err(lookup_protocols::ProtocolError::TooLong));
    }
    Some((payload, length))
}

fn check_socketmap(payload: &[u8]) {
    if let Some((map, key)) = socketmap::request(payload) {
        assert!(!map.contains(&b' '));
        assert_eq!([map, b" ", key].concat(), payload);
    }
    let Ok(reply) = socketmap::Reply::read(payload) else { return };
    let text: &[u8] = match reply {
        socketmap::Reply::NotFound => b"",
        socketmap::Reply::Ok(text)
        | socketmap::Reply::Temp(text)
        | socketmap::Reply::Timeout(text)
        | socketmap::Reply::Perm(text) => text,
    };
    assert!(payload.ends_with(text));
    check_reply(reply);
}

fn check_reply(reply: socketmap::Reply<'_>) {
    let bytes = written(|out| reply.write(out));
    assert_eq!(socketmap::Reply::read(only_netstring(&bytes)), Ok(reply));
}

fn check_line(line: &[u8]) {
    if let tcp_table::Request::Get(key) = tcp_table::request(line) {
        assert!(!key.is_empty() && key.len() + "get ".len() <= line.len());
    }
    match tcp_table::response(line) {
        Ok(Response::Found(value)) => assert!(value.len() <= line.len().saturating_sub("200 ".len())),
        // The code, a space and the text; the space is there even if the line has no text.
        Ok(Response::TempFail(reply)) => assert!(reply.len() <= line.len().max("400 ".len())),
        Ok(Response::NotFound) | Err(_) => (),
    }
}

/// Checks the first policy request of `bytes` and returns its length. A reading of fewer bytes is incomplete, and what
/// was read has all the bytes.
fn check_policy(bytes: &[u8]) -> Option<usize> {
    let (attributes, length) = policy::read(bytes).ok().flatten()?;
    assert!(bytes[..length].ends_with(b"\n\n"));
    for length in 0..length {
        assert_eq!(policy::read(&bytes[..length]), Ok(None));
    }
    let mut again = Vec::new();
    for (name, value) in attributes.iter() {
        assert!(!name.is_empty());
        again.extend_from_slice(&[name, b"=", value, b"\n"].concat());
    }
    again.push(b'\n');
    assert_eq!(again, &bytes[..length]);
    Some(length)
}

fn check_written(text: &str) {
    let bytes =
        written(|out| policy::write_request(out, &[("request", "smtpd_access_policy"), ("sender", text)]));
    match policy::read(&bytes) {
        Ok(Some((attributes, length))) => {
            assert_eq!((length, attributes.iter().count()), (bytes.len(), 2));
            assert_eq!(attributes.get("sender").map(<[u8]>::len), Some(text.len()));
        }
        other => assert!(bytes.len() > policy::MAX_REQUEST, "{other:?}"),
    }
    let bytes = written(|out| policy::write_reply(out, text));
    assert!(matches!(policy::read_reply(&bytes), Ok(Some((_, length))) if length == bytes.len()));

    let bytes = written(|out| netstring::write(out, &[text.as_bytes(), b":", text.as_bytes()]));
    assert_eq!(only_netstring(&bytes), [text, ":", text].concat().as_bytes());

    let bytes = written(|out| socketmap::write_request(out, "map", text));
    assert_eq!(socketmap::request(only_netstring(&bytes)), Some((&b"map"[..], text.as_bytes())));
    for reply in
        [socketmap::Reply::Ok, socketmap::Reply::Temp, socketmap::Reply::Timeout, socketmap::Reply::Perm]
    {
        check_reply(reply(text.as_bytes()));
    }
    check_reply(socketmap::Reply::NotFound);

    if !text.is_empty() {
        let bytes = written(|out| tcp_table::write_request(out, text));
        assert_eq!(tcp_table::request(only_line(&bytes)), tcp_table::Request::Get(text.as_bytes().into()));
    }
    let bytes = written(|out| tcp_table::Reply::Found(text).write(out));
    assert_eq!(tcp_table::response(only_line(&bytes)), Ok(Response::Found(text.into())));
    let bytes = written(|out| tcp_table::Reply::NotFound.write(out));
    assert_eq!(tcp_table::response(only_line(&bytes)), Ok(Response::NotFound));
    let bytes = written(|out| tcp_table::Reply::TempFail(text).write(out));
    let reply = ["400 ", text].concat().into_bytes();
    assert_eq!(tcp_table::response(only_line(&bytes)), Ok(Response::TempFail(reply)));
}

/// What `write` appends.
fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = b"before".to_vec();
    write(&mut out);
    assert!(out.starts_with(b"before"));
    out.split_off(b"before".len())
}

/// The payload of the netstring that is all of `bytes`.
fn only_netstring(bytes: &[u8]) -> &[u8] {
    match netstring::read(bytes, bytes.len()) {
        Ok(Some((payload, length))) if length == bytes.len() => payload,
        // The finding: the writer has written something else than one netstring.
        other => panic!("{other:?}"),
    }
}

/// The line that is all of `bytes`, without its end.
fn only_line(bytes: &[u8]) -> &[u8] {
    match bytes.split_last() {
        Some((b'\n', line)) if !line.contains(&b'\n') => line,
        _ => panic!("not one line: {}", String::from_utf8_lossy(bytes)),
    }
}

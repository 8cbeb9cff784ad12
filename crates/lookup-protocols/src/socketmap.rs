//! socketmap_table(5): the request is a netstring `NAME KEY`, the reply another netstring.

use super::{ProtocolError, netstring};

/// Longest request that is read, in octets: the longest header that Postfix keeps (`header_size_limit`, 102400
/// octets), as a key of header_checks, and the name of a map. A longer one would defer the message.
pub const MAX_REQUEST: usize = 103_000;
/// Longest request to another server, in octets. Postfix (3.12 and later) does not send longer ones; addresses are
/// shorter.
pub const MAX_SENT: usize = 10_000;
/// Longest reply, in octets (socketmap_table(5): "Postfix will not accept" more).
pub const MAX_REPLY: usize = 100_000;

/// Splits a request into map and key; the key may contain blanks. `None` if there is no blank.
pub fn request(payload: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = payload.iter().position(|b| *b == b' ')?;
    Some((&payload[..at], &payload[at + 1..]))
}

/// Appends a request.
pub fn write_request(out: &mut Vec<u8>, map: &str, key: &str) {
    netstring::write(out, &[map.as_bytes(), b" ", key.as_bytes()]);
}

/// A reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// `OK value`
    Ok(&'a [u8]),
    /// `NOTFOUND `
    NotFound,
    /// `TEMP reason`: the lookup failed temporarily.
    Temp(&'a [u8]),
    /// `TIMEOUT reason`: the lookup timed out.
    Timeout(&'a [u8]),
    /// `PERM reason`: the request is invalid. Sendmail treats it as "not found".
    Perm(&'a [u8]),
}

impl<'a> Reply<'a> {
    /// Appends the reply as a netstring.
    pub fn write(self, out: &mut Vec<u8>) {
        let (word, text): (&[u8], &[u8]) = match self {
            Reply::Ok(value) => (b"OK ", value),
            // The blank is required although no text follows.
            Reply::NotFound => (b"NOTFOUND ", b""),
            Reply::Temp(reason) => (b"TEMP ", reason),
            Reply::Timeout(reason) => (b"TIMEOUT ", reason),
            Reply::Perm(reason) => (b"PERM ", reason),
        };
        netstring::write(out, &[word, text]);
    }

    /// Decodes the payload of a reply's netstring.
    pub fn read(payload: &'a [u8]) -> Result<Self, ProtocolError> {
        // Some servers omit the blank after NOTFOUND.
        let (word, text) = request(payload).unwrap_or((payload, b""));
        match word {
            b"OK" => Ok(Reply::Ok(text)),
            // NOTFOUND has no text (socketmap_table(5)). With one, the server may mean an error.
            b"NOTFOUND" if text.trim_ascii().is_empty() => Ok(Reply::NotFound),
            b"TEMP" => Ok(Reply::Temp(text)),
            b"TIMEOUT" => Ok(Reply::Timeout(text)),
            b"PERM" => Ok(Reply::Perm(text)),
            _ => Err(ProtocolError::Reply),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_requests_at_the_first_blank() {
        for (payload, want) in [
            (&b"map key"[..], Some((&b"map"[..], &b"key"[..]))),
            (b"map a b,c", Some((b"map", b"a b,c"))),
            (b"map ", Some((b"map", b""))),
            (b" key", Some((b"", b"key"))),
            (b"map", None),
            (b"", None),
        ] {
            assert_eq!(request(payload), want, "{}", String::from_utf8_lossy(payload));
        }
    }

    #[test]
    fn writes_and_reads_replies() {
        for (reply, want) in [
            (Reply::Ok(b"foo@example.test"), "19:OK foo@example.test,"),
            (Reply::NotFound, "9:NOTFOUND ,"),
            (Reply::Temp(b"later"), "10:TEMP later,"),
            (Reply::Timeout(b"late"), "12:TIMEOUT late,"),
            (Reply::Perm(b"no"), "7:PERM no,"),
        ] {
            let mut bytes = Vec::new();
            reply.write(&mut bytes);
            assert_eq!(String::from_utf8_lossy(&bytes), want);
            let (payload, _) = netstring::read(&bytes, MAX_REPLY).unwrap().unwrap();
            assert_eq!(Reply::read(payload), Ok(reply));
        }
        assert_eq!(Reply::read(b"NOTFOUND"), Ok(Reply::NotFound));
        for bad in [&b""[..], b"ok x", b"MAYBE", b" OK", b"NOTFOUND database down", b"NOTFOUNDX"] {
            assert_eq!(Reply::read(bad), Err(ProtocolError::Reply));
        }
    }
}

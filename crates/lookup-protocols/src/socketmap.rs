//! socketmap_table(5): `NAME KEY` in a netstring, and the answer in another.

use super::{Broken, netstring};

/// Longest request, in octets. Postfix refuses to ask for more than 10,000 octets (from 3.12 on); no address is
/// as long.
pub const MAX_REQUEST: usize = 10_000;
/// Longest answer, in octets (socketmap_table(5): "Postfix will not accept" more).
pub const MAX_REPLY: usize = 100_000;

/// A request: the map and the key, which may hold blanks. `None` where there is no blank between them.
pub fn request(payload: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = payload.iter().position(|b| *b == b' ')?;
    Some((&payload[..at], &payload[at + 1..]))
}

/// Appends a request.
pub fn write_request(out: &mut Vec<u8>, map: &str, key: &str) {
    netstring::write(out, &[map.as_bytes(), b" ", key.as_bytes()]);
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// `OK value`
    Ok(&'a [u8]),
    /// `NOTFOUND `
    NotFound,
    /// `TEMP reason`: nobody can say now.
    Temp(&'a [u8]),
    /// `TIMEOUT reason`: nobody could say in time.
    Timeout(&'a [u8]),
    /// `PERM reason`: the question itself is wrong. Sendmail takes it for "not found".
    Perm(&'a [u8]),
}

impl<'a> Reply<'a> {
    /// Appends its netstring.
    pub fn write(self, out: &mut Vec<u8>) {
        let (word, text): (&[u8], &[u8]) = match self {
            Reply::Ok(value) => (b"OK ", value),
            // The blank has to be there even where nothing follows.
            Reply::NotFound => (b"NOTFOUND ", b""),
            Reply::Temp(why) => (b"TEMP ", why),
            Reply::Timeout(why) => (b"TIMEOUT ", why),
            Reply::Perm(why) => (b"PERM ", why),
        };
        netstring::write(out, &[word, text]);
    }

    /// Reads the payload of its netstring.
    pub fn read(payload: &'a [u8]) -> Result<Self, Broken> {
        // Some servers leave out the blank behind NOTFOUND.
        let (word, text) = request(payload).unwrap_or((payload, b""));
        match word {
            b"OK" => Ok(Reply::Ok(text)),
            // A text behind it (socketmap_table(5): there is none) may be an error that has found the wrong word.
            b"NOTFOUND" if text.trim_ascii().is_empty() => Ok(Reply::NotFound),
            b"TEMP" => Ok(Reply::Temp(text)),
            b"TIMEOUT" => Ok(Reply::Timeout(text)),
            b"PERM" => Ok(Reply::Perm(text)),
            _ => Err(Broken::Answer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests() {
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
    fn replies() {
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
            assert_eq!(Reply::read(bad), Err(Broken::Answer));
        }
    }
}

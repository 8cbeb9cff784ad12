//! Netstrings: `24:rcptd alice@example.test,` (D. J. Bernstein, <https://cr.yp.to/proto/netstrings.txt>).

use super::ProtocolError;

/// Most digits of a length, leading zeros included; Postfix accepts these, too.
const MAX_DIGITS: usize = 10;

/// Decodes the first netstring in `bytes` and returns its payload and its total size, or `None` if it is
/// incomplete. A payload of more than `limit` octets is an error as soon as its length is known.
pub fn read(bytes: &[u8], limit: usize) -> Result<Option<(&[u8], usize)>, ProtocolError> {
    let digits = bytes.iter().take(MAX_DIGITS + 1).take_while(|b| b.is_ascii_digit()).count();
    if digits > MAX_DIGITS {
        return Err(ProtocolError::Length);
    }
    let Some(colon) = bytes.get(digits) else { return Ok(None) };
    if *colon != b':' || digits == 0 {
        return Err(ProtocolError::Length);
    }
    let length = bytes[..digits].iter().fold(0_u64, |sum, b| sum * 10 + u64::from(b - b'0'));
    let length =
        usize::try_from(length).ok().filter(|length| *length <= limit).ok_or(ProtocolError::TooLong)?;
    let begin = digits + 1;
    match bytes.get(begin + length) {
        None => Ok(None),
        Some(b',') => Ok(Some((&bytes[begin..begin + length], begin + length + 1))),
        Some(_) => Err(ProtocolError::Comma),
    }
}

/// Appends one netstring whose payload is the concatenation of `parts`.
pub fn write(out: &mut Vec<u8>, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    // Digits from the last to the first; a usize has at most 20.
    let (mut digits, mut rest, mut at) = ([b'0'; 20], length, 20);
    while at > 0 && (rest > 0 || at == 20) {
        at -= 1;
        digits[at] = b"0123456789"[rest % 10];
        rest /= 10;
    }
    out.extend_from_slice(&digits[at..]);
    out.push(b':');
    for part in parts {
        out.extend_from_slice(part);
    }
    out.push(b',');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_complete_netstrings_and_refuses_invalid_ones() {
        for (bytes, want) in [
            (&b""[..], Ok(None)),
            (b"1", Ok(None)),
            (b"12:", Ok(None)),
            (b"3:abc", Ok(None)),
            (b"3:abc,", Ok(Some((&b"abc"[..], 6)))),
            (b"3:abc,4:", Ok(Some((b"abc", 6)))),
            (b"0:,", Ok(Some((b"", 3)))),
            (b"5:a,b c,", Ok(Some((b"a,b c", 8)))),
            (b"3:abcd", Err(ProtocolError::Comma)),
            (b"03:abc,", Ok(Some((b"abc", 7)))),
            (b"0000000003:abc,", Ok(Some((b"abc", 15)))),
            (b"00000000003:abc,", Err(ProtocolError::Length)),
            (b":abc,", Err(ProtocolError::Length)),
            (b"-1:a,", Err(ProtocolError::Length)),
            (b"x", Err(ProtocolError::Length)),
            (b"3 :abc,", Err(ProtocolError::Length)),
            (b"11:", Err(ProtocolError::TooLong)),
            (b"9999999999:", Err(ProtocolError::TooLong)),
            (b"99999999999", Err(ProtocolError::Length)),
            (b"99999999999:", Err(ProtocolError::Length)),
        ] {
            // The third case is within its limit but incomplete; 11 exceeds the limit by one.
            let limit = if bytes == b"12:" { 12 } else { 10 };
            assert_eq!(read(bytes, limit), want, "{}", String::from_utf8_lossy(bytes));
        }
    }

    proptest! {
        #[test]
        fn reads_its_own_output(a in any::<Vec<u8>>(), b in any::<Vec<u8>>(), rest in any::<Vec<u8>>()) {
            let mut bytes = Vec::new();
            write(&mut bytes, &[&a, &b]);
            let length = bytes.len();
            for short in 0..length {
                prop_assert_eq!(read(&bytes[..short], 1000), Ok(None));
            }
            bytes.extend(rest);
            prop_assert_eq!(read(&bytes, 1000), Ok(Some((&[a, b].concat()[..], length))));
        }
    }
}

//! Netstrings: `24:rcptd alice@example.test,` (D. J. Bernstein, <https://cr.yp.to/proto/netstrings.txt>).

use super::Broken;

/// Most digits of a length that can be right: more would be more than [`usize`] holds, or leading zeros.
const MAX_DIGITS: usize = 10;

/// The first netstring in `bytes`: its payload and how many bytes it takes in all; `None` while it is not
/// complete. A payload of more than `limit` octets is refused as soon as its length is known.
pub fn read(bytes: &[u8], limit: usize) -> Result<Option<(&[u8], usize)>, Broken> {
    let digits = bytes.iter().take(MAX_DIGITS + 1).take_while(|b| b.is_ascii_digit()).count();
    if digits > MAX_DIGITS {
        return Err(Broken::Length);
    }
    let Some(colon) = bytes.get(digits) else { return Ok(None) };
    // No digits, too many, or a zero in front of others.
    if *colon != b':' || digits == 0 || (digits > 1 && bytes[0] == b'0') {
        return Err(Broken::Length);
    }
    let length = bytes[..digits].iter().fold(0_u64, |sum, b| sum * 10 + u64::from(b - b'0'));
    let length = usize::try_from(length).ok().filter(|length| *length <= limit).ok_or(Broken::TooLong)?;
    let begin = digits + 1;
    match bytes.get(begin + length) {
        None => Ok(None),
        Some(b',') => Ok(Some((&bytes[begin..begin + length], begin + length + 1))),
        Some(_) => Err(Broken::Comma),
    }
}

/// Appends the netstring of `parts`, one behind the other.
pub fn write(out: &mut Vec<u8>, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    // The digits from the last to the first; no usize has more than 20.
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
    fn readings() {
        for (bytes, want) in [
            (&b""[..], Ok(None)),
            (b"1", Ok(None)),
            (b"12:", Ok(None)),
            (b"3:abc", Ok(None)),
            (b"3:abc,", Ok(Some((&b"abc"[..], 6)))),
            (b"3:abc,4:", Ok(Some((b"abc", 6)))),
            (b"0:,", Ok(Some((b"", 3)))),
            (b"5:a,b c,", Ok(Some((b"a,b c", 8)))),
            (b"3:abcd", Err(Broken::Comma)),
            (b"03:abc,", Err(Broken::Length)),
            (b":abc,", Err(Broken::Length)),
            (b"-1:a,", Err(Broken::Length)),
            (b"x", Err(Broken::Length)),
            (b"3 :abc,", Err(Broken::Length)),
            (b"11:", Err(Broken::TooLong)),
            (b"9999999999:", Err(Broken::TooLong)),
            (b"99999999999", Err(Broken::Length)),
            (b"99999999999:", Err(Broken::Length)),
        ] {
            // 11 is one more than is allowed, 12 in the third case waits for nothing.
            let limit = if bytes == b"12:" { 12 } else { 10 };
            assert_eq!(read(bytes, limit), want, "{}", String::from_utf8_lossy(bytes));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(a in any::<Vec<u8>>(), b in any::<Vec<u8>>(), rest in any::<Vec<u8>>()) {
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

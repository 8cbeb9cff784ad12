//! The text of a Berkeley DB file, as `db_dump` writes it: a header, then a line for each key and each value in turn,
//! after a blank. With `-p` they are text in which `\xx` is an octet and `\\` a backslash, else hexadecimal.

use super::Out;

/// Longest key or value, in octets: three names.
const MAX_ITEM: usize = 4096;

/// Puts keys and values together.
#[derive(Debug, Default)]
pub struct Pairs {
    in_data: bool,
    ended: bool,
    printable: bool,
    /// The key of which the value follows; an error, if it cannot be read.
    key: Option<Result<Vec<u8>, ()>>,
}

impl Pairs {
    /// Takes a line, and returns a pair with the line of its value.
    pub fn line(&mut self, line: &str, out: &mut Out<'_>) -> Option<(String, String)> {
        if !self.in_data {
            match line.trim() {
                "format=print" => self.printable = true,
                "format=bytevalue" => self.printable = false,
                "HEADER=END" => self.in_data = true,
                _ => (),
            }
            return None;
        }
        if line.trim() == "DATA=END" {
            if self.key.take().is_some() {
                out.skip("the last key has no value", "");
            }
            // A file with several databases has a header for each.
            (self.in_data, self.ended) = (false, true);
            return None;
        }
        let Some(item) = line.strip_prefix(' ') else {
            if !line.is_empty() {
                out.skip("the line is no key and no value of a dump", line);
            }
            return None;
        };
        let item = if self.printable { printable(item) } else { hexadecimal(item) };
        let item = item.filter(|item| item.len() <= MAX_ITEM);
        let Some(key) = self.key.take() else {
            self.key = Some(item.ok_or(()));
            return None;
        };
        let (Ok(key), Some(value)) = (key, item) else {
            out.skip("the key or its value is not written as in a dump, or too long", line);
            return None;
        };
        let text = |bytes: &[u8]| {
            // Some programs store the NUL after a text.
            String::from_utf8_lossy(bytes.strip_suffix(b"\0").unwrap_or(bytes)).into_owned()
        };
        Some((text(&key), text(&value)))
    }

    /// Whether the dump had an end.
    pub fn is_whole(&self) -> bool {
        self.ended && !self.in_data
    }
}

fn nibble(b: u8) -> Option<u8> {
    char::from(b).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.trim_end().as_bytes().as_chunks::<2>();
    let octets = pairs.iter().map(|[high, low]| Some(nibble(*high)? << 4 | nibble(*low)?));
    if rest.is_empty() { octets.collect() } else { None }
}

fn printable(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len().min(MAX_ITEM));
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b != b'\\' {
            out.push(b);
            continue;
        }
        match bytes.next()? {
            b'\\' => out.push(b'\\'),
            high => out.push(nibble(high)? << 4 | nibble(bytes.next()?)?),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_decoded() {
        for (text, want) in [
            ("", Some("")),
            ("a b", Some("a b")),
            ("j\\c3\\bcr", Some("jür")),
            ("a\\\\b", Some("a\\b")),
            ("a\\", None),
            ("a\\c", None),
            ("a\\xx", None),
        ] {
            assert_eq!(printable(text).as_deref(), want.map(str::as_bytes), "{text}");
        }
        for (text, want) in
            [("", Some("")), ("6120C3bc", Some("a ü")), ("612", None), ("6x", None), ("6 1", None)]
        {
            assert_eq!(hexadecimal(text).as_deref(), want.map(str::as_bytes), "{text}");
        }
    }
}

//! The text of a gdbm file, as `gdbm_dump` writes it: a header of comments, then for each key and each value in turn a
//! line `#:len=OCTETS`, and lines of Base64.

use super::Out;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Longest key or value, in octets of Base64: three names.
const MAX_ITEM: usize = 6144;

/// Puts keys and values together.
#[derive(Debug, Default)]
pub struct Pairs {
    /// The length of the item that is being read, and its Base64.
    item: Option<(usize, String)>,
    /// The key of which the value follows; an error, if it cannot be read.
    key: Option<Result<Vec<u8>, ()>>,
    ended: bool,
}

impl Pairs {
    /// Takes a line, and returns a pair with the line after its value.
    pub fn line(&mut self, line: &str, out: &mut Out<'_>) -> Option<(String, String)> {
        let Some(comment) = line.strip_prefix('#') else {
            match &mut self.item {
                // One octet more than the limit shows that it is too long.
                Some((_, text)) if text.len() <= MAX_ITEM => text.push_str(line.trim()),
                Some(_) => (),
                None if line.trim().is_empty() => (),
                None => out.skip("the line is no part of a key or a value", line),
            }
            return None;
        };
        let pair = self.end_item(out);
        if let Some(len) = comment.strip_prefix(":len=") {
            // A length that cannot be read fits to no item.
            self.item = Some((len.trim().parse().unwrap_or(usize::MAX), String::new()));
        } else if comment.trim() == "End of data" || comment.starts_with(":count=") {
            if self.key.take().is_some() {
                out.skip("the last key has no value", "");
            }
            self.ended = true;
        }
        pair
    }

    fn end_item(&mut self, out: &mut Out<'_>) -> Option<(String, String)> {
        let (len, text) = self.item.take()?;
        let octets =
            STANDARD.decode(&text).ok().filter(|octets| octets.len() == len && text.len() <= MAX_ITEM);
        let Some(key) = self.key.take() else {
            self.key = Some(octets.ok_or(()));
            return None;
        };
        let (Ok(key), Some(value)) = (key, octets) else {
            out.skip("the key or its value is not written as in a dump, or too long", &text);
            return None;
        };
        Some((String::from_utf8_lossy(&key).into_owned(), String::from_utf8_lossy(&value).into_owned()))
    }

    /// Whether the dump had an end.
    pub fn is_whole(&self) -> bool {
        self.ended
    }
}

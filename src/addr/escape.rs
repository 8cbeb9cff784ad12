//! Untrusted text made fit for a log line or a terminal.

use std::fmt::{self, Write};

/// Longest text shown, in characters; longer ones end in `…`. A log line stays a line.
pub const MAX_SHOWN: usize = 300;

/// Bytes from outside, shown with everything escaped that could forge or garble a log line: controls, what
/// is not UTF-8, quotes, backslashes, and the invisible characters that turn or hide text on a terminal.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(&'a [u8]);

/// Shows `text` escaped.
pub fn escape<T: AsRef<[u8]> + ?Sized>(text: &T) -> Escaped<'_> {
    Escaped(text.as_ref())
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Nearly all text is plain and short.
        if self.0.len() <= MAX_SHOWN && self.0.iter().all(|b| is_plain(*b)) {
            return std::str::from_utf8(self.0).map_or(Err(fmt::Error), |text| f.write_str(text));
        }
        let mut shown = 0;
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if shown == MAX_SHOWN {
                    return f.write_char('…');
                }
                shown += 1;
                match c {
                    ' '..='~' if is_plain(c as u8) => f.write_char(c)?,
                    ' '..='~' => write!(f, "\\{c}")?,
                    '\0'..='\x7f' => write!(f, "\\x{:02x}", u32::from(c))?,
                    c if c.is_control() || is_invisible(c) => write!(f, "\\u{{{:x}}}", u32::from(c))?,
                    c => f.write_char(c)?,
                }
            }
            for b in chunk.invalid() {
                if shown == MAX_SHOWN {
                    return f.write_char('…');
                }
                shown += 1;
                write!(f, "\\x{b:02x}")?;
            }
        }
        Ok(())
    }
}

fn is_plain(b: u8) -> bool {
    matches!(b, b' '..=b'~') && !matches!(b, b'"' | b'\\')
}

/// Format characters that change how their neighbours look, or look like nothing themselves.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

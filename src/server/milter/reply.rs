//! SMTP replies that reject or defer a recipient.

use std::fmt;
use std::str::FromStr;

/// Longest text of a reply, in octets. RFC 5321, section 4.5.3.1.5 allows a reply line of 512, which
/// includes the code, the enhanced code, the text that Sendmail adds and the line end.
pub const MAX_TEXT: usize = 400;

/// A reply that rejects (5xx) or defers (4xx), with its enhanced code (RFC 3463) and one line of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmtpReply {
    code: u16,
    enhanced: Box<str>,
    text: Box<str>,
}

impl SmtpReply {
    /// The three-digit code, 400 to 559.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The enhanced status code, of the same class as the code.
    pub fn enhanced(&self) -> &str {
        &self.enhanced
    }

    /// The text that the client sees.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The reply to a recipient beyond the limit of a message (RFC 5321, section 4.5.3.1.10).
    pub fn too_many() -> Self {
        SmtpReply { code: 452, enhanced: "4.5.3".into(), text: "Too many recipients".into() }
    }

    /// The reply to a client whose network has too many unknown recipients. It is the same for each recipient.
    pub fn too_many_unknown() -> Self {
        let text = "Too many unknown recipients from your network, please try again later";
        SmtpReply { code: 450, enhanced: "4.7.1".into(), text: text.into() }
    }

    /// Whether the reply rejects permanently (5xx).
    pub fn is_permanent(&self) -> bool {
        self.code >= 500
    }
}

impl FromStr for SmtpReply {
    type Err = String;

    /// Parses `550 5.1.1 text`. The error is a sentence with the remedy.
    fn from_str(line: &str) -> Result<Self, String> {
        const WANT: &str = "write a code, an enhanced code and a text, such as \"550 5.1.1 User unknown\"";
        let mut parts = line.splitn(3, ' ');
        let (Some(code), Some(enhanced), Some(text)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(WANT.into());
        };
        let code = match code.as_bytes() {
            // RFC 5321, section 4.2.1. 421 would end the whole SMTP session.
            [b'4' | b'5', b'0'..=b'5', b'0'..=b'9'] if code != "421" => code.parse().map_err(|_| WANT)?,
            _ => {
                return Err(format!(
                    "\"{code}\" is not a reply code for a recipient: use 4xx or 5xx, but not 421"
                ));
            }
        };
        let digits = |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        let classes: Vec<&str> = enhanced.split('.').collect();
        if classes.len() != 3 || !classes.iter().all(|part| digits(part)) {
            return Err(WANT.into());
        }
        if classes[0] != line[..1].to_owned() {
            return Err(format!(
                "the enhanced code {enhanced} and the code {code} must begin with the same digit"
            ));
        }
        if text.trim().is_empty() || text.len() > MAX_TEXT || text.chars().any(char::is_control) {
            return Err(format!("the text must be one line of 1 to {MAX_TEXT} octets"));
        }
        Ok(SmtpReply { code, enhanced: enhanced.into(), text: text.into() })
    }
}

impl fmt::Display for SmtpReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.code, self.enhanced, self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_valid_replies_only() {
        for good in ["550 5.1.1 User unknown", "451 4.3.0 50% is not enough", "450 4.1.1 später"] {
            assert_eq!(good.parse::<SmtpReply>().map(|r| r.to_string()).as_deref(), Ok(good));
        }
        let long = format!("550 5.1.1 {}", "x".repeat(MAX_TEXT + 1));
        for bad in [
            "",
            "550",
            "550 5.1.1",
            "550 5.1.1  ",
            "250 2.1.5 ok",
            "421 4.3.0 bye",
            "550 4.1.1 x",
            "560 5.1.1 x",
            "550 5.1 x",
            "550 User unknown",
            "550 5.1.1 a\r\nb",
            &long,
        ] {
            assert!(bad.parse::<SmtpReply>().is_err(), "{bad}");
        }
    }
}

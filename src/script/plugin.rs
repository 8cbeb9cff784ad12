//! A plug-in in place of the script: a program of the operator in any language, with the protocol in
//! `docs/plug-ins.md`.

use super::{Returned, ScriptError, ScriptFunction, TRIAL};
use crate::plugin::protocol::{Answer, Word, address_field};
use crate::plugin::{Client, Settings};
use mail_address::Address;
use std::time::Duration;

/// Time limit of a question. A program without I/O answers within a millisecond, and one that asks a database
/// within a fraction of this. It leaves time for several questions and the account before `milter.deadline`
/// (8 s by default).
pub const DEADLINE: Duration = Duration::from_secs(2);

/// A running plug-in, which ends when this is dropped. It has both functions.
#[derive(Debug)]
pub struct Plugin {
    settings: Settings,
    client: Client,
}

impl Plugin {
    /// Starts the program, or connects to the socket, in the background.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn start(settings: &Settings) -> Self {
        Plugin { settings: settings.clone(), client: Client::start(settings) }
    }

    /// The settings with which it was started.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Tries both functions with postmaster at `domain`, as a script is tried when it is loaded.
    pub async fn try_out(&self, domain: &str) -> Result<(), ScriptError> {
        for function in ScriptFunction::ALL {
            self.call(function, TRIAL, domain).await?;
        }
        Ok(())
    }

    /// Calls a function.
    pub(super) async fn call(
        &self,
        function: ScriptFunction,
        local: &str,
        domain: &str,
    ) -> Result<Returned, ScriptError> {
        let answer = self.ask(function, local, domain).await;
        answer
            .map_err(|why| ScriptError(format!("{}: {}: {why}", self.settings.name, function.name()).into()))
    }

    async fn ask(&self, function: ScriptFunction, local: &str, domain: &str) -> Result<Returned, String> {
        let address = Address::new(local, domain).map_err(|why| why.to_string());
        // It is normalised already, or an address that the operator wrote.
        let field = address.and_then(|address| address_field(&address, true));
        let field = field.map_err(|why| format!("not asked: {why}"))?;
        let word = match function {
            ScriptFunction::Preprocess => Word::Preprocess,
            ScriptFunction::Postprocess => Word::Postprocess,
        };
        match self.client.ask_in_time(word, field).await {
            Ok(Answer::Same) => Ok(Returned::Same),
            Ok(Answer::NoAlias) => Ok(Returned::NoAlias),
            Ok(Answer::Use(address)) => used(&address, domain),
            // The protocol rejects the last two.
            Ok(answer @ (Answer::TempFail(_) | Answer::Found | Answer::NotFound)) => Err(answer.to_string()),
            Err(why) => Err(why.to_string()),
        }
    }
}

/// Converts the address of the answer `use`. Like every text from outside it may be anything. Whether mail can
/// be sent to it is checked as for a script; here, only the two parts must be certain.
fn used(text: &str, domain: &str) -> Result<Returned, String> {
    let wrong = |why: &str| format!("it replied \"use {text}\": {why}");
    let address = Address::from_server(text.as_bytes());
    if let Some(why) = address.malformed() {
        return Err(wrong(&why.to_string()));
    }
    let Some(to) = address.domain() else { return Err(wrong("it has no domain")) };
    if address.local().is_empty() {
        return Err(wrong("it has no local part"));
    }
    // One blank too many in the line, most likely.
    if address.local().contains(' ') && !text.starts_with('"') {
        return Err(wrong("it has a blank outside of quotes"));
    }
    let other = (to != domain).then(|| to.to_owned());
    Ok(Returned::Name { local: address.local().to_owned(), domain: other })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(local: &str, domain: Option<&str>) -> Returned {
        Returned::Name { local: local.into(), domain: domain.map(Into::into) }
    }

    #[test]
    fn reads_the_address_of_an_answer() {
        for (text, want) in [
            ("foo@example.test", Ok(name("foo", None))),
            ("Foo@Example.TEST", Ok(name("Foo", None))),
            ("foo@example.test.", Ok(name("foo", None))),
            ("foo@b.test", Ok(name("foo", Some("b.test")))),
            ("foo@bücher.example", Ok(name("foo", Some("xn--bcher-kva.example")))),
            ("\"a b\"@example.test", Ok(name("a b", None))),
            ("\"a\\\"b\"@example.test", Ok(name("a\"b", None))),
            ("grüße@example.test", Ok(name("grüße", None))),
            // Needs no quotes, as in the question.
            ("a\u{2000}b@example.test", Ok(name("a\u{2000}b", None))),
            // Checked as for a script: these cannot be delivered to.
            ("a@b@example.test", Ok(name("a@b", None))),
            ("<foo@example.test>", Ok(name("<foo", Some("example.test>")))),
            ("foo@else where", Ok(name("foo", Some("else where")))),
            ("foo", Err("it has no domain")),
            ("foo@", Err("it has no domain")),
            ("@example.test", Err("it has no local part")),
            ("\"\"@example.test", Err("it has no local part")),
            (" ", Err("it has no domain")),
            (" foo@example.test", Err("it has a blank outside of quotes")),
            ("a b@example.test", Err("it has a blank outside of quotes")),
            ("foo @example.test", Err("it has a blank outside of quotes")),
            ("foo@example.test\r", Err("control character in the address")),
            ("foo\0@example.test", Err("control character in the address")),
            ("\"foo@example.test", Err("quoted string does not end")),
        ] {
            let want = want.map_err(|why| format!("it replied \"use {text}\": {why}"));
            assert_eq!(used(text, "example.test"), want, "{text:?}");
        }
        let long = used(&format!("{}@example.test", "x".repeat(256)), "example.test");
        assert!(long.is_err_and(|why| why.ends_with("address is too long")));
    }

    proptest! {
        /// Whatever the text is, an address has two parts, and neither can break a line.
        #[test]
        fn reads_any_text(text in "\\PC{0,30}|[ -~\\x00-\\x1f@\"]{0,12}") {
            if let Ok(Returned::Name { local, domain }) = used(&text, "example.test") {
                prop_assert!(!local.is_empty() && domain.as_deref() != Some(""), "{:?}", text);
                let mut parts = local.chars().chain(domain.iter().flat_map(|domain| domain.chars()));
                prop_assert!(!parts.any(char::is_control), "{:?}", text);
            }
        }

        /// A program that replies with the address in the question changes nothing.
        #[test]
        fn the_address_of_the_question_is_read_back(local in "\\PC{1,20}|[ \"@\\\\a.]{1,9}", domain in "[a-z]{1,9}\\.[a-z]{2}") {
            let Ok(address) = Address::new(&local, &domain) else { return Ok(()) };
            let Ok(field) = address_field(&address, true) else { return Ok(()) };
            prop_assert_eq!(used(&field, &domain), Ok(Returned::Name { local, domain: None }));
        }
    }
}

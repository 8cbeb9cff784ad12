//! A table whose keys are in one spelling.

use super::{AnswerFuture, Table};
use crate::addr::fold;
use std::borrow::Cow;
use std::sync::Arc;

/// Asks `inner` for the one spelling of a key. smtpd(8) asks in lower case, cleanup(8) as it was typed, and both must
/// have the same answer.
#[derive(Debug)]
pub struct Folded {
    inner: Arc<dyn Table>,
    local: bool,
}

impl Folded {
    /// `inner`, asked with domains in lower case and without a dot at their end; `local`: local parts and keys that
    /// are no addresses are folded, too.
    pub fn new(inner: Arc<dyn Table>, local: bool) -> Self {
        Folded { inner, local }
    }
}

/// The spelling of a key that stands for all that do not differ.
pub fn folded(key: &str, local: bool) -> Cow<'_, str> {
    match key.rsplit_once('@') {
        None if local => fold(key),
        None => Cow::Borrowed(key),
        Some((user, domain)) => {
            let bare = domain.strip_suffix('.').filter(|rest| !rest.is_empty() && !rest.ends_with('.'));
            let (folded, user) = (fold(bare.unwrap_or(domain)), if local { fold(user) } else { user.into() });
            if *folded == *domain && matches!(user, Cow::Borrowed(_)) {
                return Cow::Borrowed(key);
            }
            Cow::Owned([&*user, "@", &*folded].concat())
        }
    }
}

impl Table for Folded {
    fn get<'a>(&'a self, key: &'a str) -> AnswerFuture<'a> {
        match folded(key, self.local) {
            Cow::Borrowed(key) => self.inner.get(key),
            Cow::Owned(key) => Box::pin(async move { self.inner.get(&key).await }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings() {
        for (key, local, want) in [
            ("foo@example.com", true, "foo@example.com"),
            ("Foo@Example.COM", true, "foo@example.com"),
            ("Foo@Example.COM", false, "Foo@example.com"),
            ("foo@example.com.", true, "foo@example.com"),
            ("foo@example.com..", true, "foo@example.com.."),
            ("@Example.com", false, "@example.com"),
            ("foo@.", true, "foo@."),
            ("GRÜSSE@x", true, "grüsse@x"),
            ("Example.COM", true, "example.com"),
            ("Example.COM", false, "Example.COM"),
            ("*", true, "*"),
        ] {
            let got = folded(key, local);
            assert_eq!(got, want, "{key}");
            assert_eq!(folded(&got, local), want, "{key}");
        }
    }
}

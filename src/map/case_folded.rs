//! Normalises the case of keys.

use super::{Lookup, LookupFuture, Source, Table};
use mail_address::{fold, lower};
use std::borrow::Cow;
use std::sync::Arc;

/// A function that normalises the case of a text.
pub type Spelling = fn(&str) -> Cow<'_, str>;

/// Normalises the case of each key for `inner`. smtpd(8) sends keys in lower case, cleanup(8) as the client
/// sent them, and both must get the same result.
#[derive(Debug)]
pub struct CaseFolded {
    inner: Arc<Table>,
    local: bool,
    spelling: Spelling,
}

impl CaseFolded {
    /// Wraps `inner`, whose keys are compared by rcptd: domains are case-folded and lose a trailing dot. With
    /// `local`, local parts and keys that are not addresses are case-folded, too.
    pub fn new(inner: Arc<Table>, local: bool) -> Self {
        CaseFolded { inner, local, spelling: fold }
    }

    /// Wraps `inner`, a server that compares keys itself: the same in lower case. Full case folding might
    /// produce a different key there (`grüsse` for `grüße`).
    pub fn lowered(inner: Arc<Table>, local: bool) -> Self {
        CaseFolded { inner, local, spelling: lower }
    }
}

/// Returns the spelling that represents all keys that compare equal.
pub fn folded(key: &str, local: bool) -> Cow<'_, str> {
    spelled(key, local, fold)
}

fn spelled(key: &str, local: bool, spelling: Spelling) -> Cow<'_, str> {
    match key.rsplit_once('@') {
        None if local => spelling(key),
        None => Cow::Borrowed(key),
        Some((user, domain)) => {
            let bare = domain.strip_suffix('.').filter(|rest| !rest.is_empty() && !rest.ends_with('.'));
            let (domain_of, user) =
                (spelling(bare.unwrap_or(domain)), if local { spelling(user) } else { user.into() });
            if *domain_of == *domain && matches!(user, Cow::Borrowed(_)) {
                return Cow::Borrowed(key);
            }
            Cow::Owned([&*user, "@", &*domain_of].concat())
        }
    }
}

impl Source<str, Lookup<String>> for CaseFolded {
    fn look_up<'a>(&'a self, key: &'a str) -> LookupFuture<'a, Lookup<String>> {
        match spelled(key, self.local, self.spelling) {
            Cow::Borrowed(key) => self.inner.look_up(key),
            Cow::Owned(key) => Box::pin(async move { self.inner.look_up(&key).await }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lookup::testing::Double;

    #[test]
    fn folds_keys() {
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

    /// Keys for a server are in lower case, keys for a comparison are folded. They differ where folding
    /// changes more than case.
    #[tokio::test]
    async fn lower_case_and_folding_differ() {
        use crate::map::testing::answer;
        for (key, local, asked, compared) in [
            ("Foo@Example.COM.", true, "foo@example.com", "foo@example.com"),
            ("Foo@Example.COM", false, "Foo@example.com", "Foo@example.com"),
            ("Grüße@Example.COM", true, "grüße@example.com", "grüsse@example.com"),
            ("Grüße@Straße.example", false, "Grüße@straße.example", "Grüße@strasse.example"),
            ("ΣΊΣΥΦΟΣ@x", true, "σίσυφος@x", "σίσυφοσ@x"),
            ("\u{130}pek@x", true, "i\u{307}pek@x", "i\u{307}pek@x"),
            ("\u{212a}@x", true, "k@x", "k@x"),
            ("re\u{301}@x", true, "re\u{301}@x", "re\u{301}@x"),
            ("GRÜSSE", true, "grüsse", "grüsse"),
        ] {
            let double = Arc::new(Double::new(answer("-")));
            CaseFolded::lowered(double.clone(), local).look_up(key).await;
            CaseFolded::new(double.clone(), local).look_up(key).await;
            assert_eq!(*double.asked(), [asked, compared], "{key}");
        }
    }
}

//! Normalises the local parts of a domain.
//!
//! `Foo+shop`, `foo` and, if the operator configures it, `f.oo` may be one mailbox. [`LocalPartPolicy`] is
//! this policy of a domain; rules and accounts are looked up in the normalised form. The steps are, in this
//! order: Unicode normalisation, removing characters, lower case, splitting off the extension.
//!
//! A name that is looked up is only converted to lower case. Full case folding turns `grüße` into `grüsse`,
//! which may be another account: it is used to compare two names (see [`fold`](super::fold)), never to look
//! one up.
//!
//! No name becomes empty or is refused: if removal would leave nothing, the name is kept, and an extension
//! begins after the first character. Whether `...` exists is for the accounts to decide. Normalisation is
//! idempotent.

use super::{Forms, lower};
use icu_normalizer::ComposingNormalizerBorrowed;
use std::borrow::Cow;

/// Maximum number of rounds of normalisation and lower case. They are repeated until neither changes the
/// text, since one may undo the other; no existing character needs more than three rounds.
const MAX_ROUNDS: usize = 8;

/// How the local parts of a domain are normalised.
///
/// ```
/// use mail_address::LocalPartPolicy;
///
/// let policy = LocalPartPolicy { delimiters: "+".into(), remove: ".".into(), ..LocalPartPolicy::default() };
/// let forms = policy.typed("F.oo+Shop");
/// assert_eq!((forms.whole(), forms.bare()), ("foo+shop", Some("foo")));
/// assert_eq!(policy.delivered("F.oo+Shop", &forms), "foo+Shop");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalPartPolicy {
    /// Whether local parts that differ by case only are different mailboxes.
    pub case_sensitive: bool,
    /// Characters that begin an extension.
    pub delimiters: Box<str>,
    /// Characters that are ignored.
    pub remove: Box<str>,
    /// Whether local parts are converted to Unicode's normalisation form NFKC.
    pub nfkc: bool,
}

/// Whether a character can be a delimiter or be removed: ASCII punctuation except `@`, `"` and `\`.
/// Normalisation does not produce such characters again after their removal, and they are not part of
/// characters of several code points.
pub fn is_mark(c: char) -> bool {
    c.is_ascii_punctuation() && !matches!(c, '@' | '"' | '\\')
}

impl LocalPartPolicy {
    /// Normalises case only, or nothing if case matters.
    pub fn plain(case_sensitive: bool) -> Self {
        LocalPartPolicy { case_sensitive, ..LocalPartPolicy::default() }
    }

    /// Normalises a local part that a sender wrote: in lower case unless case matters.
    pub fn typed<'n>(&self, local: &'n str) -> Forms<'n> {
        self.read(local, !self.case_sensitive)
    }

    /// Normalises a local part that the operator wrote in a rule or a script. Its case is kept, since a
    /// case-sensitive server knows an account by its exact spelling only.
    pub fn written<'n>(&self, local: &'n str) -> Forms<'n> {
        self.read(local, false)
    }

    /// The local part to deliver to, for `local` that was normalised to `forms`.
    ///
    /// The mail server must find the same names in it. The server knows delimiters and case sensitivity, but
    /// not Unicode normalisation and removed characters. If these changed nothing, the result is the original
    /// text; otherwise the extension keeps its original spelling if only its case was changed.
    pub fn delivered<'n>(&self, local: &'n str, forms: &Forms<'n>) -> Cow<'n, str> {
        let same = |a: &str, b: &str| if self.case_sensitive { a == b } else { lower(a) == lower(b) };
        if same(local, forms.whole()) {
            return Cow::Borrowed(local);
        }
        if let (Some(bare), Some(extension)) = (forms.bare(), forms.extension()) {
            let text = self.composed(Cow::Borrowed(local));
            let begins = extension.chars().next().and_then(|delimiter| text.find(delimiter));
            let written = begins.map(|at| &text[at..]).filter(|written| same(written, extension));
            return Cow::Owned([bare, written.unwrap_or(extension)].concat());
        }
        Cow::Owned(forms.whole().to_owned())
    }

    fn read<'n>(&self, local: &'n str, lowered: bool) -> Forms<'n> {
        // Lower case comes last: whether a sigma is the final one depends on what is left.
        let text = self.removed(self.composed(Cow::Borrowed(local)));
        let text = if lowered { self.lowered(text) } else { text };
        Forms::of(text, &self.delimiters)
    }

    /// Converts to NFKC, if configured.
    fn composed<'n>(&self, text: Cow<'n, str>) -> Cow<'n, str> {
        // ASCII text is already in NFKC.
        if !self.nfkc || text.is_ascii() {
            return text;
        }
        Cow::Owned(ComposingNormalizerBorrowed::new_nfkc().normalize(&text).into_owned())
    }

    fn lowered<'n>(&self, mut text: Cow<'n, str>) -> Cow<'n, str> {
        for _ in 0..MAX_ROUNDS {
            let next = match lower(&text) {
                Cow::Borrowed(_) => break,
                Cow::Owned(lowered) => self.composed(Cow::Owned(lowered)),
            };
            if next == text {
                break;
            }
            text = next;
        }
        text
    }

    /// Removes the ignored characters, unless nothing would be left.
    fn removed<'n>(&self, text: Cow<'n, str>) -> Cow<'n, str> {
        if self.remove.is_empty() || !text.contains(|c| self.remove.contains(c)) {
            return text;
        }
        let kept: String = text.chars().filter(|c| !self.remove.contains(*c)).collect();
        // Code points that are now adjacent may combine.
        if kept.is_empty() { text } else { self.composed(Cow::Owned(kept)) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fold;
    use super::*;
    use proptest::prelude::*;

    fn normal(case_sensitive: bool, delimiters: &str, remove: &str, nfkc: bool) -> LocalPartPolicy {
        LocalPartPolicy { case_sensitive, delimiters: delimiters.into(), remove: remove.into(), nfkc }
    }

    #[test]
    fn normalises_typed_local_parts() {
        let plain = LocalPartPolicy::plain(false);
        let exact = LocalPartPolicy::plain(true);
        let all = normal(false, "+-", ".", true);
        let keep_case = normal(true, "+", "._", true);
        // policy, local part, whole name, name without extension, where its mail goes
        for (how, local, whole, bare, to) in [
            (&plain, "Foo+Shop", "foo+shop", None, "Foo+Shop"),
            (&plain, "ｆｏｏ", "ｆｏｏ", None, "ｆｏｏ"),
            (&exact, "Foo", "Foo", None, "Foo"),
            (&all, "Foo+Shop", "foo+shop", Some("foo"), "Foo+Shop"),
            (&all, "foo-macys-m5", "foo-macys-m5", Some("foo"), "foo-macys-m5"),
            (&all, "F.o.o", "foo", None, "foo"),
            (&all, "f.oo+Shop", "foo+shop", Some("foo"), "foo+Shop"),
            // Removed characters are also lost in an extension.
            (&all, "f.oo+A.b", "foo+ab", Some("foo"), "foo+ab"),
            (&all, "foo+", "foo+", Some("foo"), "foo+"),
            // At the beginning there is no extension, as in Postfix.
            (&all, "+foo", "+foo", None, "+foo"),
            (&all, "-foo+x", "-foo+x", None, "-foo+x"),
            (&all, "++", "++", None, "++"),
            (&all, "Owner-list", "owner-list", None, "Owner-list"),
            (&all, "owner.-list", "owner-list", None, "owner-list"),
            // If nothing would be left, the name stays.
            (&all, "...", "...", None, "..."),
            (&all, ".+x", "+x", None, "+x"),
            // Full width letters, a ligature, an ellipsis.
            (&all, "Ｆｏｏ＋Ｘ", "foo+x", Some("foo"), "foo+X"),
            (&all, "o\u{fb03}ce", "office", None, "office"),
            (&all, "a\u{2026}b", "ab", None, "ab"),
            // The accent joins its letter.
            (&all, "e.\u{301}", "é", None, "é"),
            (&keep_case, "F_o.o+X", "Foo+X", Some("Foo"), "Foo+X"),
            (&all, "", "", None, ""),
        ] {
            let got = how.typed(local);
            assert_eq!((got.whole(), got.bare()), (whole, bare), "{local}");
            assert_eq!(how.delivered(local, &got), to, "{local}");
        }
    }

    /// Spellings that fold to the same text may be different names for a server: each is looked up as
    /// written, in lower case.
    #[test]
    fn looks_up_in_lower_case_and_compares_case_folded() {
        let (plain, nfkc) = (LocalPartPolicy::plain(false), normal(false, "", "", true));
        // the local part, the name looked up, the same with NFKC, the text for comparison
        for (local, asked, composed, compared) in [
            ("Foo", "foo", "foo", "foo"),
            ("grüße", "grüße", "grüße", "grüsse"),
            ("GRÜSSE", "grüsse", "grüsse", "grüsse"),
            ("GRÜ\u{1e9e}E", "grüße", "grüße", "grüsse"),
            // The dotted I keeps its dot: ipek is another name.
            ("\u{130}pek", "i\u{307}pek", "i\u{307}pek", "i\u{307}pek"),
            ("ıpek", "ıpek", "ıpek", "ıpek"),
            // Final sigma.
            ("σίσυφος", "σίσυφος", "σίσυφος", "σίσυφοσ"),
            ("ΣΊΣΥΦΟΣ", "σίσυφος", "σίσυφος", "σίσυφοσ"),
            // Kelvin, long s.
            ("\u{212a}elvin", "kelvin", "kelvin", "kelvin"),
            ("\u{17f}am", "\u{17f}am", "sam", "sam"),
            // A letter with its accent, and a letter and an accent.
            ("RÉSUMÉ", "résumé", "résumé", "résumé"),
            ("re\u{301}sume\u{301}", "re\u{301}sume\u{301}", "résumé", "re\u{301}sume\u{301}"),
            ("\u{fb03}", "\u{fb03}", "ffi", "ffi"),
        ] {
            assert_eq!(plain.typed(local).whole(), asked, "{local}");
            assert_eq!(plain.written(local).whole(), local);
            assert_eq!(LocalPartPolicy::plain(true).typed(local).whole(), local);
            assert_eq!(nfkc.typed(local).whole(), composed, "{local}");
            assert_eq!(fold(local), compared, "{local}");
            assert_eq!(fold(asked), compared, "{local}: the name looked up folds to the same text");
        }
    }

    #[test]
    fn marks_are_ascii_punctuation() {
        for (c, want) in
            [('+', true), ('-', true), ('.', true), ('@', false), ('"', false), ('a', false), ('é', false)]
        {
            assert_eq!(is_mark(c), want, "{c}");
        }
    }

    fn check(how: &LocalPartPolicy, local: &str) -> Result<(), TestCaseError> {
        for (read, again) in [
            (how.typed(local), how.typed(how.typed(local).whole()).into_owned()),
            (how.written(local), how.written(how.written(local).whole()).into_owned()),
        ] {
            prop_assert_eq!(local.is_empty(), read.whole().is_empty(), "{:?}", local);
            prop_assert!(read.each().all(|(name, _)| local.is_empty() || !name.is_empty()), "{:?}", local);
            prop_assert_eq!(&again, &read, "{:?}", local);
            // The new local part is normalised to the same names.
            let to = how.delivered(local, &read);
            prop_assert_eq!(&how.typed(&to), &how.typed(local), "{:?}", local);
        }
        let typed = how.typed(local);
        // Normalising it again changes nothing.
        let to = how.delivered(local, &typed);
        prop_assert_eq!(&how.delivered(&to, &typed), &to, "{:?}", local);
        Ok(())
    }

    /// Tests all characters in the planes in use, and that the name looked up folds to the same text.
    #[test]
    fn normalisation_of_every_character_is_idempotent() {
        let hows =
            [normal(false, "+", ".", true), normal(true, "+", ".", true), normal(false, "", "", false)];
        for c in ('\0'..='\u{33fff}').chain('\u{e0000}'..='\u{e0fff}') {
            let text = c.to_string();
            for how in &hows {
                check(how, &text).expect("normal");
            }
            assert_eq!(fold(&lower(&text)), fold(&text), "{c:?}");
        }
    }

    proptest! {
        #[test]
        fn normalisation_is_idempotent(
            local in "[a-cA-C+._\\-ﬀßſKΣςİ\u{301}\u{308}\u{345}ⅨＡ\u{338}=\u{2026}]{0,8}|\\PC{0,8}",
            case_sensitive in any::<bool>(),
            nfkc in any::<bool>(),
            delimiters in "[+=.-]{0,2}",
            remove in "[._+-]{0,2}",
        ) {
            // The configuration refuses a character that is in both.
            let remove: String = remove.chars().filter(|c| !delimiters.contains(*c)).collect();
            check(&normal(case_sensitive, &delimiters, &remove, nfkc), &local)?;
        }

        #[test]
        fn the_name_looked_up_folds_to_the_same_text(text in "[a-cA-CßẞΣσςİıſKÉ\u{301}.+-]{0,8}|\\PC{0,20}") {
            let asked = lower(&text);
            prop_assert_eq!(fold(&asked), fold(&text));
            prop_assert_eq!(lower(&asked), &*asked);
        }
    }
}

//! How a domain reads local parts.
//!
//! The mail server may take `Foo+shop` and `foo` for one mailbox, and a site may take `f.oo` for it as well.
//! [`Normal`] says what a domain does of that; the rules are asked with what it makes of a local part, and so
//! are the accounts. The steps are, in this order: Unicode normalisation, removing characters, lower
//! case, cutting off the extension.
//!
//! Lower case is all that is done to case: what is asked is a name that somebody may have. Full case folding
//! makes `grüsse` of `grüße`, which may be somebody else; whoever compares names folds both (see
//! [`fold`](super::fold)), and whoever asks for one does not.
//!
//! Nothing becomes empty: a name of which removal would leave nothing keeps what it has, and an extension begins
//! after the first character. `...` may well be nobody, but that is for the accounts to say; no name is refused
//! here for what we make of it. So the form of the form is the form again.

use super::{Forms, lower};
use icu_normalizer::ComposingNormalizerBorrowed;
use std::borrow::Cow;

/// How often normalisation and lower case are repeated until neither changes anything. One may undo what the
/// other did; no character that there is needs more than three rounds.
const MAX_ROUNDS: usize = 8;

/// How the local parts of a domain are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Normal {
    /// Whether those that differ by case only are different.
    pub case_sensitive: bool,
    /// Each of these characters begins an extension.
    pub delimiters: Box<str>,
    /// These characters do not count.
    pub remove: Box<str>,
    /// Whether they are brought to Unicode's form NFKC.
    pub nfkc: bool,
}

/// Whether a character can be a delimiter or be removed: a mark of ASCII. Of these no other character is made
/// by normalisation once they are gone, and none of them belongs to a character of several code points.
pub fn is_mark(c: char) -> bool {
    c.is_ascii_punctuation() && !matches!(c, '@' | '"' | '\\')
}

impl Normal {
    /// Local parts that are what they are but for their case.
    pub fn plain(case_sensitive: bool) -> Self {
        Normal { case_sensitive, ..Normal::default() }
    }

    /// What to ask for a local part that a sender wrote: in lower case, unless case matters here.
    pub fn typed<'n>(&self, local: &'n str) -> Forms<'n> {
        self.read(local, !self.case_sensitive)
    }

    /// What to ask for a local part that the operator wrote, in a rule or a script: as it is spelled there. A
    /// server that tells upper from lower case knows an account by its own spelling.
    pub fn written<'n>(&self, local: &'n str) -> Forms<'n> {
        self.read(local, false)
    }

    /// Where mail for `local` goes that was read as `forms`. The mail server finds the same names in it: it knows
    /// its delimiters and what it thinks of case, but not what we normalise or remove. Where we did neither it is
    /// the text as it came; else the extension stays as it was written, if it was changed by case only.
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

    /// Normalised, if it is wanted.
    fn composed<'n>(&self, text: Cow<'n, str>) -> Cow<'n, str> {
        // What is ASCII is normalised.
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

    /// Without the characters that do not count, unless nothing would be left.
    fn removed<'n>(&self, text: Cow<'n, str>) -> Cow<'n, str> {
        if !text.contains(|c| self.remove.contains(c)) {
            return text;
        }
        let kept: String = text.chars().filter(|c| !self.remove.contains(*c)).collect();
        // What was apart may now make one character.
        if kept.is_empty() { text } else { self.composed(Cow::Owned(kept)) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fold;
    use super::*;
    use proptest::prelude::*;

    fn normal(case_sensitive: bool, delimiters: &str, remove: &str, nfkc: bool) -> Normal {
        Normal { case_sensitive, delimiters: delimiters.into(), remove: remove.into(), nfkc }
    }

    #[test]
    fn forms() {
        let plain = Normal::plain(false);
        let exact = Normal::plain(true);
        let all = normal(false, "+-", ".", true);
        let keep_case = normal(true, "+", "._", true);
        // how, the local part, all of it, without its extension, where its mail goes
        for (how, local, whole, bare, to) in [
            (&plain, "Foo+Shop", "foo+shop", None, "Foo+Shop"),
            (&plain, "ｆｏｏ", "ｆｏｏ", None, "ｆｏｏ"),
            (&exact, "Foo", "Foo", None, "Foo"),
            (&all, "Foo+Shop", "foo+shop", Some("foo"), "Foo+Shop"),
            (&all, "foo-macys-m5", "foo-macys-m5", Some("foo"), "foo-macys-m5"),
            (&all, "F.o.o", "foo", None, "foo"),
            (&all, "f.oo+Shop", "foo+shop", Some("foo"), "foo+Shop"),
            // What does not count in an extension is lost with the rest of it.
            (&all, "f.oo+A.b", "foo+ab", Some("foo"), "foo+ab"),
            (&all, "foo+", "foo+", Some("foo"), "foo+"),
            // At the beginning there is no extension, as Postfix has it.
            (&all, "+foo", "+foo", None, "+foo"),
            (&all, "-foo+x", "-foo+x", None, "-foo+x"),
            (&all, "++", "++", None, "++"),
            (&all, "Owner-list", "owner-list", None, "Owner-list"),
            (&all, "owner.-list", "owner-list", None, "owner-list"),
            // What would leave nothing leaves all.
            (&all, "...", "...", None, "..."),
            (&all, ".+x", "+x", None, "+x"),
            // Full width letters, a ligature, an ellipsis.
            (&all, "Ｆｏｏ＋Ｘ", "foo+x", Some("foo"), "foo+X"),
            (&all, "o\u{fb03}ce", "office", None, "office"),
            (&all, "a\u{2026}b", "ab", None, "ab"),
            // The accent meets its letter.
            (&all, "e.\u{301}", "é", None, "é"),
            (&keep_case, "F_o.o+X", "Foo+X", Some("Foo"), "Foo+X"),
            (&all, "", "", None, ""),
        ] {
            let got = how.typed(local);
            assert_eq!((got.whole(), got.bare()), (whole, bare), "{local}");
            assert_eq!(how.delivered(local, &got), to, "{local}");
        }
    }

    /// Spellings that compare equal are not one name to a server: each is asked as it was written but for its case.
    #[test]
    fn asked_and_compared() {
        let (plain, nfkc) = (Normal::plain(false), normal(false, "", "", true));
        // the local part, what is asked, with NFKC, what it is compared by
        for (local, asked, composed, compared) in [
            ("Foo", "foo", "foo", "foo"),
            ("grüße", "grüße", "grüße", "grüsse"),
            ("GRÜSSE", "grüsse", "grüsse", "grüsse"),
            ("GRÜ\u{1e9e}E", "grüße", "grüße", "grüsse"),
            // The dotted I keeps its dot: ipek is somebody else.
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
            assert_eq!(Normal::plain(true).typed(local).whole(), local);
            assert_eq!(nfkc.typed(local).whole(), composed, "{local}");
            assert_eq!(fold(local), compared, "{local}");
            assert_eq!(fold(asked), compared, "{local}: what is asked is a spelling of what was written");
        }
    }

    #[test]
    fn marks() {
        for (c, want) in
            [('+', true), ('-', true), ('.', true), ('@', false), ('"', false), ('a', false), ('é', false)]
        {
            assert_eq!(is_mark(c), want, "{c}");
        }
    }

    fn check(how: &Normal, local: &str) -> Result<(), TestCaseError> {
        for (read, again) in [
            (how.typed(local), how.typed(how.typed(local).whole()).into_owned()),
            (how.written(local), how.written(how.written(local).whole()).into_owned()),
        ] {
            prop_assert_eq!(local.is_empty(), read.whole().is_empty(), "{:?}", local);
            prop_assert!(read.each().all(|(name, _)| local.is_empty() || !name.is_empty()), "{:?}", local);
            prop_assert_eq!(&again, &read, "{:?}", local);
            // Mail that goes somewhere is read there as it was here.
            let to = how.delivered(local, &read);
            prop_assert_eq!(&how.typed(&to), &how.typed(local), "{:?}", local);
        }
        let typed = how.typed(local);
        // It goes nowhere else from there.
        let to = how.delivered(local, &typed);
        prop_assert_eq!(&how.delivered(&to, &typed), &to, "{:?}", local);
        Ok(())
    }

    /// The form of the form is the form, for every character there is in the planes that hold any, and what is asked
    /// compares as what was written.
    #[test]
    fn every_character_is_normal_in_the_end() {
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
        fn normal_in_the_end(
            local in "[a-cA-C+._\\-ﬀßſKΣςİ\u{301}\u{308}\u{345}ⅨＡ\u{338}=\u{2026}]{0,8}|\\PC{0,8}",
            case_sensitive in any::<bool>(),
            nfkc in any::<bool>(),
            delimiters in "[+=.-]{0,2}",
            remove in "[._+-]{0,2}",
        ) {
            // The configuration refuses a character that is both.
            let remove: String = remove.chars().filter(|c| !delimiters.contains(*c)).collect();
            check(&normal(case_sensitive, &delimiters, &remove, nfkc), &local)?;
        }

        #[test]
        fn what_is_asked_compares_as_what_was_written(text in "[a-cA-CßẞΣσςİıſKÉ\u{301}.+-]{0,8}|\\PC{0,20}") {
            let asked = lower(&text);
            prop_assert_eq!(fold(&asked), fold(&text));
            prop_assert_eq!(lower(&asked), &*asked);
        }
    }
}

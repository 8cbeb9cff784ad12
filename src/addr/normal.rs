//! The one form of a local part that stands for all its spellings.
//!
//! The mail server may take `Foo+shop` and `foo` for one mailbox, and a site may take `f.oo` for it as well.
//! [`Normal`] says what a domain does of that; the rules are asked with what it makes of a local part, and so
//! are the accounts. The steps are, in this order: Unicode normalisation, case folding, cutting off the
//! extension, removing characters.
//!
//! Nothing becomes empty: an extension begins behind the first character at the earliest, and a name of which
//! removal would leave nothing keeps what it has. `...` may well be nobody, but that is for the accounts to
//! say; no name is refused here for what we make of it. So the form of the form is the form again.

use super::fold;
use icu_normalizer::ComposingNormalizerBorrowed;
use std::borrow::Cow;

/// How often normalisation and folding are repeated until neither changes anything. Folding may undo what
/// normalisation did and the other way round; no character that there is needs more than three rounds.
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

/// What becomes of a local part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Normalised<'n> {
    /// All of it. A computed alias may hold what looks like an extension, so the rules are asked with this
    /// first.
    pub whole: Cow<'n, str>,
    /// It without its extension.
    pub bare: Cow<'n, str>,
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

    /// What becomes of a local part.
    pub fn of<'n>(&self, local: &'n str) -> Normalised<'n> {
        let text = self.letters(Cow::Borrowed(local));
        let bare = match self.extension(&text) {
            Some(at) => self.removed(Cow::Owned(text[..at].to_owned())),
            None => self.removed(text.clone()),
        };
        Normalised { whole: self.removed(text), bare }
    }

    /// Whether the mail server takes `local` for the mailbox `bare` without being told: it knows its
    /// delimiters, and what it thinks of case, but not what we normalise or remove.
    pub fn is_known_as(&self, local: &str, bare: &str) -> bool {
        let cut = self.extension(local).map_or(local, |at| &local[..at]);
        if self.case_sensitive { cut == bare } else { fold(cut) == fold(bare) }
    }

    /// Where the extension begins: at the first delimiter that is not the first character.
    fn extension(&self, text: &str) -> Option<usize> {
        if self.delimiters.is_empty() {
            return None;
        }
        text.char_indices().skip(1).find(|(_, c)| self.delimiters.contains(*c)).map(|(at, _)| at)
    }

    /// Normalised and folded, each if it is wanted.
    fn letters<'n>(&self, text: Cow<'n, str>) -> Cow<'n, str> {
        // What is ASCII is normalised.
        if !self.nfkc || text.is_ascii() {
            return self.folded(text);
        }
        let normalizer = ComposingNormalizerBorrowed::new_nfkc();
        let mut text = text.into_owned();
        for _ in 0..MAX_ROUNDS {
            let next = self.folded(Cow::Owned(normalizer.normalize(&text).into_owned())).into_owned();
            if next == text {
                break;
            }
            text = next;
        }
        Cow::Owned(text)
    }

    fn folded<'n>(&self, text: Cow<'n, str>) -> Cow<'n, str> {
        match text {
            text if self.case_sensitive => text,
            Cow::Borrowed(text) => fold(text),
            Cow::Owned(text) => Cow::Owned(fold(&text).into_owned()),
        }
    }

    /// Without the characters that do not count, unless nothing would be left.
    fn removed<'n>(&self, text: Cow<'n, str>) -> Cow<'n, str> {
        if !text.contains(|c| self.remove.contains(c)) {
            return text;
        }
        let kept: String = text.chars().filter(|c| !self.remove.contains(*c)).collect();
        // What was apart may now make one character.
        if kept.is_empty() { text } else { self.letters(Cow::Owned(kept)) }
    }
}

#[cfg(test)]
mod tests {
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
        // how, the local part, all of it, without its extension
        for (how, local, whole, bare) in [
            (&plain, "Foo+Shop", "foo+shop", "foo+shop"),
            (&plain, "GRÜSSE", "grüsse", "grüsse"),
            (&plain, "ｆｏｏ", "ｆｏｏ", "ｆｏｏ"),
            (&exact, "Foo", "Foo", "Foo"),
            (&all, "Foo+Shop", "foo+shop", "foo"),
            (&all, "foo-macys-m5", "foo-macys-m5", "foo"),
            (&all, "F.o.o", "foo", "foo"),
            (&all, "f.oo+a.b", "foo+ab", "foo"),
            (&all, "foo+", "foo+", "foo"),
            // At the beginning there is no extension.
            (&all, "+foo", "+foo", "+foo"),
            (&all, "-foo+x", "-foo+x", "-foo"),
            (&all, "++", "++", "+"),
            // What would leave nothing leaves all.
            (&all, "...", "...", "..."),
            (&all, ".+x", "+x", "."),
            // Full width letters, a ligature, an accent that is a character of its own, a Kelvin sign.
            (&all, "Ｆｏｏ＋ｘ", "foo+x", "foo"),
            (&all, "o\u{fb03}ce", "office", "office"),
            (&all, "Re\u{301}sume\u{301}", "résumé", "résumé"),
            (&all, "\u{212a}", "k", "k"),
            // The accent meets its letter.
            (&all, "e.\u{301}", "é", "é"),
            // An ellipsis is three dots.
            (&all, "a\u{2026}b", "ab", "ab"),
            (&keep_case, "F_o.o+X", "Foo+X", "Foo"),
            (&all, "", "", ""),
        ] {
            let got = how.of(local);
            assert_eq!((&*got.whole, &*got.bare), (whole, bare), "{local}");
        }
    }

    #[test]
    fn what_the_server_knows_by_itself() {
        let all = normal(false, "+-", ".", true);
        let exact = normal(true, "+", ".", true);
        for (how, local, want) in [
            (&all, "foo", true),
            (&all, "Foo+Shop", true),
            (&all, "foo-", true),
            (&all, "f.oo", false),
            (&all, "ｆｏｏ", false),
            (&all, "foo＋x", false),
            (&exact, "foo+X", true),
            (&exact, "Foo", false),
        ] {
            assert_eq!(how.is_known_as(local, "foo"), want, "{local}");
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
        let once = how.of(local);
        prop_assert_eq!(local.is_empty(), once.whole.is_empty(), "{:?}", local);
        prop_assert_eq!(local.is_empty(), once.bare.is_empty(), "{:?}", local);
        let (whole, bare) = (how.of(&once.whole), how.of(&once.bare));
        prop_assert_eq!(&whole.whole, &once.whole, "{:?}", local);
        prop_assert_eq!(&bare.bare, &once.bare, "{:?}", local);
        prop_assert_eq!(&bare.whole, &once.bare, "{:?}", local);
        // The server never takes what it is asked for as something else.
        prop_assert!(how.is_known_as(&once.bare, &once.bare), "{:?}", local);
        Ok(())
    }

    /// The form of the form is the form, for every character there is in the planes that hold any.
    #[test]
    fn every_character_is_normal_in_the_end() {
        let hows =
            [normal(false, "+", ".", true), normal(true, "+", ".", true), normal(false, "", "", false)];
        for c in ('\0'..='\u{33fff}').chain('\u{e0000}'..='\u{e0fff}') {
            for how in &hows {
                check(how, c.encode_utf8(&mut [0; 4])).expect("normal");
            }
        }
    }

    proptest! {
        #[test]
        fn normal_in_the_end(
            local in "[a-cA-C+._\\-ﬀßſK\u{301}\u{308}\u{345}ⅨＡ\u{338}=\u{2026}]{0,8}|\\PC{0,8}",
            case_sensitive in any::<bool>(),
            nfkc in any::<bool>(),
            delimiters in "[+=.-]{0,2}",
            remove in "[._+-]{0,2}",
        ) {
            check(&normal(case_sensitive, &delimiters, &remove, nfkc), &local)?;
        }
    }
}

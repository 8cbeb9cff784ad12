//! Finds the extension of a local part, and the names to look up for it.

use std::borrow::Cow;

/// Names that Postfix never splits, whatever the delimiters are.
const UNSPLIT: [&str; 3] = ["postmaster", "mailer-daemon", "double-bounce"];

/// The names to look up for a local part, in the order of Postfix: the whole name first, then the part before
/// its extension. `mary-ann` may be a name of its own, or `mary` with the extension `-ann`; if the whole name
/// exists, it gets the mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forms<'n> {
    whole: Cow<'n, str>,
    split: Option<usize>,
}

impl<'n> Forms<'n> {
    /// The forms of `local`, in which each of `delimiters` begins an extension.
    pub fn of(local: impl Into<Cow<'n, str>>, delimiters: &str) -> Self {
        let whole = local.into();
        let split = split(&whole, delimiters);
        Forms { whole, split }
    }

    /// All of the local part.
    pub fn whole(&self) -> &str {
        &self.whole
    }

    /// It without its extension, if it has one.
    pub fn bare(&self) -> Option<&str> {
        self.split.map(|at| &self.whole[..at])
    }

    /// Its extension with its delimiter, if it has one.
    pub fn extension(&self) -> Option<&str> {
        self.split.map(|at| &self.whole[at..])
    }

    /// Each name, with the extension that was removed.
    pub fn each(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let bare = self.split.map(|at| self.whole.split_at(at));
        std::iter::once((&*self.whole, None)).chain(bare.map(|(name, extension)| (name, Some(extension))))
    }

    /// The same, independent of the text it was made of.
    pub fn into_owned(self) -> Forms<'static> {
        Forms { whole: self.whole.into_owned().into(), split: self.split }
    }
}

/// The start of the extension, as in `split_addr` of Postfix: the first delimiter of any kind. A local part
/// that begins with a delimiter has no extension, nor have the system names. If `-` is a delimiter, names
/// that manage a list (`owner-list`, `list-request`) have none either: that is `owner_request_special`, on by
/// default.
fn split(local: &str, delimiters: &str) -> Option<usize> {
    let at = local.find(|c| delimiters.contains(c)).filter(|at| *at > 0)?;
    if UNSPLIT.iter().any(|name| local.eq_ignore_ascii_case(name)) {
        return None;
    }
    let begins = |with: &str| local.get(..with.len()).is_some_and(|it| it.eq_ignore_ascii_case(with));
    let ends = |with: &str| {
        let before = local.len().checked_sub(with.len()).filter(|before| *before > 0);
        before.and_then(|before| local.get(before..)).is_some_and(|it| it.eq_ignore_ascii_case(with))
    };
    let manages_list = delimiters.contains('-') && (begins("owner-") || ends("-request"));
    (!manages_list).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row was compared with Postfix 3.7.11: a VRFY of the local part, with only the name before the
    /// extension in `local_recipient_maps`. That does not test the system names, which smtpd always accepts,
    /// and names that begin with `-`, which it refuses.
    #[test]
    fn splits_as_postfix_does() {
        // delimiters, local part, the part before the extension
        for (delimiters, local, want) in [
            ("", "mary+ann", None),
            ("+", "mary+ann", Some("mary")),
            ("+", "mary-ann", None),
            ("+", "mary+", Some("mary")),
            ("+", "+mary", None),
            ("+", "+mary+ann", None),
            ("+", "++", None),
            ("-", "mary-ann", Some("mary")),
            ("-", "mary-ann-x", Some("mary")),
            ("-", "-mary-ann", None),
            // The first delimiter of any kind.
            ("+-", "mary-ann+x", Some("mary")),
            ("-+", "mary+ann-x", Some("mary")),
            (".+", "mary.ann+x", Some("mary")),
            // Lists, only if - is a delimiter.
            ("-", "owner-list", None),
            ("-", "OWNER-list", None),
            ("-", "owner-", None),
            ("-", "owner-list-x", None),
            ("-", "owner", None),
            ("-", "owners-list", Some("owners")),
            ("-", "list-request", None),
            ("-", "List-Request", None),
            ("-", "a-list-request", None),
            ("-", "list-requests", Some("list")),
            ("-", "list-request-x", Some("list")),
            ("-", "-request", None),
            ("+", "owner-list+x", Some("owner-list")),
            ("+", "list+x-request", Some("list")),
            ("+-", "owner-list+x", None),
            ("+-", "list+x-request", None),
            // Names of the system.
            ("-", "mailer-daemon", None),
            ("-", "Double-Bounce", None),
            ("-", "mailer-daemon-x", Some("mailer")),
            ("o", "postmaster", None),
            ("+", "postmaster+x", Some("postmaster")),
            // Beyond ASCII.
            ("+", "grüße+x", Some("grüße")),
            ("-", "ß-request", None),
            ("-", "-ßrequest", None),
        ] {
            let forms = Forms::of(local, delimiters);
            assert_eq!(forms.bare(), want, "{local} with {delimiters}");
            let rest = forms.extension().unwrap_or("");
            assert_eq!([forms.bare().unwrap_or(local), rest].concat(), local, "{local} with {delimiters}");
            let each: Vec<&str> = forms.each().map(|(name, _)| name).collect();
            assert_eq!(each, [&[local][..], &Vec::from_iter(want)].concat(), "{local} with {delimiters}");
        }
    }
}

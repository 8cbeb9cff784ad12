//! Splits off the extension of a local part and lists the names to look up.

use std::borrow::Cow;

/// Names that Postfix never splits, regardless of the delimiters.
const UNSPLIT: [&str; 3] = ["postmaster", "mailer-daemon", "double-bounce"];

/// The names to look up for a local part, in the order of Postfix: the whole name, then the part before its
/// extension.
///
/// `mary-ann` may be an account, or `mary` with the extension `-ann`; if an account of the whole name exists,
/// it gets the mail.
///
/// ```
/// use mail_address::Forms;
///
/// let forms = Forms::of("mary-ann", "+-");
/// assert_eq!((forms.whole(), forms.bare(), forms.extension()), ("mary-ann", Some("mary"), Some("-ann")));
/// assert_eq!(Forms::of("owner-list", "+-").bare(), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forms<'n> {
    whole: Cow<'n, str>,
    split: Option<usize>,
}

impl<'n> Forms<'n> {
    /// Splits `local` at the first of `delimiters`.
    pub fn of(local: impl Into<Cow<'n, str>>, delimiters: &str) -> Self {
        let whole = local.into();
        let split = split(&whole, delimiters);
        Forms { whole, split }
    }

    /// The whole local part.
    pub fn whole(&self) -> &str {
        &self.whole
    }

    /// The part before the extension, if there is an extension.
    pub fn bare(&self) -> Option<&str> {
        self.split.map(|at| &self.whole[..at])
    }

    /// The extension with its delimiter, if there is one.
    pub fn extension(&self) -> Option<&str> {
        self.split.map(|at| &self.whole[at..])
    }

    /// Each name to look up, with the extension that was removed from it.
    pub fn each(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let bare = self.split.map(|at| self.whole.split_at(at));
        std::iter::once((&*self.whole, None)).chain(bare.map(|(name, extension)| (name, Some(extension))))
    }

    /// Copies borrowed text.
    pub fn into_owned(self) -> Forms<'static> {
        Forms { whole: self.whole.into_owned().into(), split: self.split }
    }
}

/// Finds the start of the extension as Postfix does (`split_addr`): the first delimiter of any kind.
///
/// A local part that begins with a delimiter and the system names have no extension. If `-` is a delimiter,
/// the administrative names of a list (`owner-list`, `list-request`) have none either: Postfix's
/// `owner_request_special`, which is on by default.
fn split(local: &str, delimiters: &str) -> Option<usize> {
    if delimiters.is_empty() {
        return None;
    }
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

    /// Each row was compared with Postfix 3.7.11: VRFY of the local part, with only the name before the
    /// extension in `local_recipient_maps`. Not compared: the system names, which smtpd always accepts, and
    /// names that begin with `-`, which it refuses.
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

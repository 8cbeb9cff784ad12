//! Finds check codes without effect: if everything after the account is an extension for the mail server, a
//! name with any code reaches the account.

use crate::ir::{Piece, Program};
use crate::matcher::rules::Rules;
use mail_address::LocalPartPolicy;
use std::ops::Range;

/// Maximum number of names of a statement to check: the largest expected number of accounts. Usually the
/// first name is enough.
const MAX_TRIED: usize = 1_000_000;

/// A statement whose check codes have no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unprotected {
    /// The index of the statement.
    pub statement: usize,
    /// The beginning of its names, up to the first part that varies.
    pub prefix: String,
    /// The account that all names with this beginning reach.
    pub account: String,
}

/// Finds the statements whose check codes have no effect in one of `domains`, which are in canonical
/// spelling; `None` is for all domains. For each statement the first such account is returned.
///
/// `policy` is the policy of the mail server. If the characters of `delimiters` begin an extension, it is
/// `LocalPartPolicy { delimiters, ..LocalPartPolicy::plain(case_sensitive) }`.
pub fn unprotected(rules: &Rules, policy: &LocalPartPolicy, domains: Option<&[String]>) -> Vec<Unprotected> {
    if policy.delimiters.is_empty() {
        return Vec::new();
    }
    let applies = |program: &Program<'_>| {
        let includes = |domain: &String| program.scope().includes(Some(domain));
        program.never.is_none() && domains.is_none_or(|domains| domains.iter().any(includes))
    };
    let programs = (0..rules.len()).map(|i| (i, rules.program(i))).filter(|(_, program)| applies(program));
    programs
        .filter_map(|(statement, program)| {
            let (prefix, account) = reached(rules, &program, policy)?;
            Some(Unprotected { statement, prefix, account })
        })
        .collect()
}

/// Finds a beginning of names that the mail server splits into an account and an extension, and the account.
fn reached(rules: &Rules, program: &Program<'_>, policy: &LocalPartPolicy) -> Option<(String, String)> {
    let fixed = |piece: &&Piece| matches!(piece, Piece::Literal(_) | Piece::Account | Piece::Alias);
    let fixed: Vec<Piece> = program.pieces.iter().take_while(fixed).copied().collect();
    let store = program.store();
    // A list that does not occur in the beginning makes no difference: try once without a name.
    let names = |piece: Piece, list: Range<u32>| -> Vec<Option<u32>> {
        if fixed.contains(&piece) { list.map(Some).collect() } else { vec![None] }
    };
    let aliases = names(Piece::Alias, program.aliases());
    let accounts = names(Piece::Account, program.accounts());
    let each = accounts.iter().flat_map(|account| aliases.iter().map(move |alias| (*account, *alias)));
    let name = |entry: Option<u32>| entry.map_or("", |entry| store.name(entry));
    // Most names contain no delimiter, so the literals decide for all of them. NFKC may create delimiters.
    let delimits = |text: &str| policy.nfkc || text.contains(|c| policy.delimiters.contains(c));
    let always = fixed.iter().any(|piece| program.literal_of(Some(piece)).is_some_and(delimits));
    let may = |(account, alias): &(Option<u32>, Option<u32>)| {
        always || delimits(name(*account)) || delimits(name(*alias))
    };
    each.take(MAX_TRIED).filter(may).find_map(|(account, alias)| {
        let text = |piece: &Piece| match piece {
            Piece::Account => name(account),
            Piece::Alias => name(alias),
            _ => program.literal_of(Some(piece)).unwrap_or_default(),
        };
        let prefix: String = fixed.iter().map(text).collect();
        // The text that follows is part of the extension, if there is one.
        let read = policy.typed(&prefix);
        let bare = read.bare()?;
        (bare == name(account) || rules.is_account(bare)).then(|| (prefix.clone(), bare.to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use crate::load::Options;
    use crate::load::load;
    use diagnostics::Text;
    use mail_address::LocalPartPolicy;

    #[test]
    fn finds_accounts_that_any_code_reaches() {
        let foo = |expression: &str| format!("ACCOUNT foo, bar MATCHES {expression} WITH CHARS(1);");
        for (rules, delimiters, domain, want) in [
            (foo("%account%-%ident%-%code%"), "-", None, Some(("foo-", "foo"))),
            (foo("%account%-%ident%-%code%"), "+-", None, Some(("foo-", "foo"))),
            (foo("%account%-%ident%-%code%"), "+", None, None),
            (foo("%account%-%ident%-%code%"), "", None, None),
            (foo("%account%+%ident%.%code%"), "+", None, Some(("foo+", "foo"))),
            (foo("%account%+x.%ident%.%code%"), "+", None, Some(("foo+x.", "foo"))),
            (foo("%account%.%ident%+%code%"), "+", None, None),
            (foo("%account%.%ident%.%code%"), "+", None, None),
            (foo("%account%.%code%+%ident%"), "+", None, None),
            (foo("%account%x+%ident%.%code%"), "+", None, None),
            // Other orders of the parts.
            (foo("%account%-%code%-%ident%"), "-", None, Some(("foo-", "foo"))),
            (foo("%ident%-%account%-%code%"), "-", None, None),
            (foo("%code%-%account%.%ident%"), "-", None, None),
            // An extension does not begin at the first character.
            (foo("-%account%.%ident%.%code%"), "-", None, None),
            (foo("-%account%-%ident%.%code%"), "-", None, None),
            ("ACCOUNT -foo MATCHES %account%-%ident%.%code% WITH CHARS();".into(), "-", None, None),
            // Without %account%, and with the account of another statement.
            ("ACCOUNT foo MATCHES foo-%ident%-%code% WITH CHARS();".into(), "-", None, Some(("foo-", "foo"))),
            ("ACCOUNT foo MATCHES shop-%ident%-%code% WITH CHARS();".into(), "-", None, None),
            ("ACCOUNT foo MATCHES bar-%ident%.%code% WITH CHARS();\nACCOUNT bar MATCHES %account%.%ident%.%code% WITH CHARS();".into(), "-", None, Some(("bar-", "bar"))),
            // Without ALIASED the alias is the account; with it, an alias counts only if it is also an
            // account.
            (foo("%alias%-%ident%-%code%"), "-", None, Some(("foo-", "foo"))),
            ("ACCOUNT foo ALIASED shop MATCHES %alias%-%ident%-%code% WITH CHARS();".into(), "-", None, None),
            ("ACCOUNT foo ALIASED shop, foo MATCHES %alias%-%ident%-%code% WITH CHARS();".into(), "-", None, Some(("foo-", "foo"))),
            // Only some of the accounts.
            ("ACCOUNT mary-ann, joe MATCHES %account%-%ident%-%code% WITH CHARS();".into(), "-", None, Some(("joe-", "joe"))),
            ("ACCOUNT mary-ann MATCHES %account%-%ident%-%code% WITH CHARS();".into(), "-", None, None),
            ("ACCOUNT mary-ann, mary MATCHES %account%.%ident%.%code% WITH CHARS();".into(), "-", None, Some(("mary-ann.", "mary"))),
            // Statements that never match, and statements for other domains, are not reported.
            ("ACCOUNT foo MATCHES %account%-%ident% WITH CHARS();".into(), "-", None, None),
            ("ACCOUNT foo DOMAINS a.test MATCHES %account%-%ident%-%code% WITH CHARS();".into(), "-", Some("a.test"), Some(("foo-", "foo"))),
            ("ACCOUNT foo DOMAINS a.test MATCHES %account%-%ident%-%code% WITH CHARS();".into(), "-", Some("b.test"), None),
            ("ACCOUNT foo DOMAINS a.test MATCHES %account%-%ident%-%code% WITH CHARS();".into(), "-", None, Some(("foo-", "foo"))),
            // Upper case.
            ("ACCOUNT Foo MATCHES %account%-%ident%-%code% WITH CHARS();".into(), "-", None, Some(("foo-", "foo"))),
        ] {
            let loaded = load(&[Text::new("t", &rules)], &Options { fold: true, ..Options::default() });
            let loaded = loaded.unwrap_or_else(|problems| panic!("{rules} {problems:?}")).rules;
            let normal = LocalPartPolicy { delimiters: delimiters.into(), ..LocalPartPolicy::plain(false) };
            let domains = domain.map(|domain: &str| ["c.test".to_owned(), domain.to_owned()]);
            let found = super::unprotected(&loaded, &normal, domains.as_ref().map(|domains| &domains[..]));
            let got = found.first().map(|found| (&*found.prefix, &*found.account));
            assert_eq!(got, want, "{rules} {delimiters:?} {domain:?}");
        }
    }

    #[test]
    fn the_policy_applies_to_the_prefix() {
        let text = Text::new("t", "ACCOUNT Foo MATCHES F.oo-%ident%.%code% WITH CHARS();");
        let rules = load(&[text], &Options::default()).expect("rules").rules;
        for (case_sensitive, remove, want) in [(true, ".", 1), (true, "", 0), (false, ".", 0)] {
            let normal = LocalPartPolicy {
                delimiters: "-".into(),
                remove: remove.into(),
                ..LocalPartPolicy::plain(case_sensitive)
            };
            assert_eq!(super::unprotected(&rules, &normal, None).len(), want, "{case_sensitive} {remove}");
        }
    }
}

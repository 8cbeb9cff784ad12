//! Detects delimiters of `[[normalise]]` that are also part of a rule, and missing ones.

use super::check::Check;
use super::keys::NormaliseTable;
use super::value::{Field, List, Source};
use crate::account::settings::SourceSettings;
use alias_rules::Rules;
use diagnostics::Problem;
use mail_address::{LocalPartPolicy, canonical_domain, escape};
use std::collections::HashSet;

impl Check<'_> {
    /// Warns of rules whose check codes give no protection: if a delimiter follows the account, a name with
    /// a wrong code is not an alias, but is delivered as the account with an extension. `case_sensitive` is
    /// the setting with which the rules were read, `domains` are ours.
    pub fn unprotected_rules(
        &mut self,
        field: &Field<List<NormaliseTable>>,
        domains: &[String],
        case_sensitive: bool,
        rules: &Rules,
    ) {
        let Some(given) = field.given() else { return };
        let named = |table: &NormaliseTable| -> Option<Vec<String>> {
            let named = table.domains.given()?.value.items.iter();
            Some(named.map(|domain| canonical_domain(domain.get_ref()).into_owned()).collect())
        };
        let all_named: HashSet<String> =
            given.value.items.iter().filter_map(|item| named(item.get_ref())).flatten().collect();
        for item in &given.value.items {
            let table = item.get_ref();
            let Some(delimiters) = table.delimiters.given().filter(|given| !given.value.is_empty()) else {
                continue;
            };
            let normal = LocalPartPolicy {
                delimiters: (&*delimiters.value).into(),
                remove: table.remove.given().map_or("", |remove| &*remove.value).into(),
                nfkc: table.nfkc.given().is_some_and(|nfkc| nfkc.value),
                case_sensitive,
            };
            let others = || domains.iter().filter(|domain| !all_named.contains(*domain)).cloned().collect();
            let concerned: Vec<String> = named(table).unwrap_or_else(others);
            // Without our domains, any domain may be ours.
            let found =
                alias_rules::unprotected(rules, &normal, Some(&*concerned).filter(|_| !domains.is_empty()));
            let Some(first) = found.first() else { continue };
            let rule = rules.statement(first.statement);
            let (others, protect) = match found.len() - 1 {
                0 => (String::new(), "protects"),
                n => (format!(" and {n} more"), "protect"),
            };
            let message = format!(
                "{}: the check code of the rule \"{}\" at {rule}{others} {protect} nothing: anything after \
                 \"{}\" is treated as an extension and delivered to {}",
                delimiters.key,
                escape(rule.text),
                escape(&first.prefix),
                escape(&first.account),
            );
            self.problems.push(Problem::warning(&delimiters.text, delimiters.span.clone(), message).help(
                "separate the parts of the rule with a character that is not a delimiter; or, if such \
                     aliases are already in use, remove that character from delimiters here and in the mail \
                     server",
            ));
        }
    }

    /// Warns if Dovecot is a source and no delimiters are given: its auth service does not find `user+extension`,
    /// to which its LMTP server delivers by default.
    pub fn without_delimiters(
        &mut self,
        normalise: &Field<List<NormaliseTable>>,
        source: &Field<List<Source>>,
        sources: &[SourceSettings],
    ) {
        let asks_dovecot = sources.iter().any(|source| source.spec.kind() == "dovecot");
        let is_set = match normalise {
            Field::Given(given) => {
                given.value.items.iter().any(|item| !matches!(item.get_ref().delimiters, Field::Absent))
            }
            Field::Absent => false,
            Field::Broken => true,
        };
        if let (Field::Given(given), true, false) = (source, asks_dovecot, is_set) {
            self.warning(
                given,
                "mail to user+extension is rejected: the auth service of Dovecot does not find such a name, although \
                 its LMTP server delivers the mail",
                "write normalise = [{ delimiters = \"+\" }] before the first section, with recipient_delimiter of Dovecot, \
                 or delimiters = \"\" if it is empty there",
            );
        }
    }
}

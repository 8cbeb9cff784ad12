//! Checks `[[normalise]]`: how the local parts of domains are normalised.

use super::check::Check;
use super::keys::NormaliseTable;
use super::value::{Field, Given, List};
use alias_rules::Rules;
use diagnostics::{Problem, nearest};
use mail_address::{LocalPartPolicy, canonical_domain, escape, is_mark};
use std::collections::{BTreeMap, HashSet};

impl Check<'_> {
    /// Returns the policy of each domain that an entry names or that the entry for all other domains
    /// applies to, and the policy of that entry. `case_sensitive` is the default.
    pub fn normalise(
        &mut self,
        field: &Field<List<NormaliseTable>>,
        domains: &[String],
        case_sensitive: bool,
    ) -> (BTreeMap<String, LocalPartPolicy>, Option<LocalPartPolicy>) {
        let mut normal = BTreeMap::new();
        let mut others = None;
        let Some(given) = field.given() else { return (normal, others) };
        // Their number is limited only by the size of the file.
        let ours: HashSet<&str> = domains.iter().map(String::as_str).collect();
        for item in &given.value.items {
            let entry = self.entry(item.get_ref(), case_sensitive);
            if matches!(item.get_ref().domains, Field::Absent) {
                if others.replace(entry).is_some() {
                    let message = format!("{} has two entries without domains", given.key);
                    self.error_in(
                        given,
                        item.span(),
                        message,
                        "only one entry can apply to all domains that no other entry names",
                    );
                }
                continue;
            }
            let Some(named) = item.get_ref().domains.given() else { continue };
            if named.value.items.is_empty() && named.value.complete {
                let help = "leave it out for all domains that no other entry names";
                self.error(named, format!("{} is empty", named.key), help);
            }
            for domain in &named.value.items {
                let Some(canonical) = self.our_domain(named, domain.span(), domain.get_ref(), &ours) else {
                    continue;
                };
                if normal.insert(canonical, entry.clone()).is_some() {
                    let message = format!("{}: {} is listed twice", named.key, escape(domain.get_ref()));
                    self.error_in(named, domain.span(), message, "name each domain in one entry only");
                }
            }
        }
        if let Some(entry) = &others {
            for domain in domains {
                normal.entry(domain.clone()).or_insert_with(|| entry.clone());
            }
        }
        (normal, others)
    }

    fn entry(&mut self, table: &NormaliseTable, case_sensitive: bool) -> LocalPartPolicy {
        let yes = |field: &Field<bool>, default| field.given().map_or(default, |given| given.value);
        let (delimiters, remove) = (self.marks(&table.delimiters), self.marks(&table.remove));
        if let (Some(both), Some(given)) =
            (remove.chars().find(|c| delimiters.contains(*c)), table.remove.given())
        {
            let message = format!("{}: \"{both}\" is one of the delimiters", given.key);
            self.error(given, message, "a character begins an extension or is removed, not both");
        }
        LocalPartPolicy {
            case_sensitive: yes(&table.case_sensitive, case_sensitive),
            delimiters: delimiters.into(),
            remove: remove.into(),
            nfkc: yes(&table.nfkc, false),
        }
    }

    fn marks(&mut self, field: &Field<String>) -> String {
        let Some(given) = field.given() else { return String::new() };
        if let Some(bad) = given.value.chars().find(|c| !is_mark(*c)) {
            let message = format!("{}: \"{}\" cannot be used", given.key, escape(&bad.to_string()));
            self.error(given, message, "write punctuation such as \"+-\", but not @, \" or \\");
        }
        given.value.clone()
    }

    /// Checks that a domain is one of ours.
    pub fn our_domain<T>(
        &mut self,
        at: &Given<T>,
        span: std::ops::Range<usize>,
        domain: &str,
        ours: &HashSet<&str>,
    ) -> Option<String> {
        let canonical = canonical_domain(domain);
        // If our domains could not be read, this would only be a consequence of that error.
        if ours.is_empty() || ours.contains(&*canonical) {
            return Some(canonical.into_owned());
        }
        let help = nearest(&canonical, ours.iter().copied())
            .map_or_else(|| "add it to domains".into(), |near| format!("did you mean {near}?"));
        let message = format!("{}: {} is not one of domains", at.key, escape(domain));
        self.error_in(at, span, message, help);
        None
    }

    /// Warns of rules for domains that are not ours: there they never apply.
    pub fn foreign_rules<T>(&mut self, field: &Field<List<T>>, domains: &[String], rules: &Rules) {
        let Some(given) = field.given().filter(|given| given.value.complete) else { return };
        let ours: HashSet<&str> = domains.iter().map(String::as_str).collect();
        let mut reported = HashSet::new();
        for i in 0..rules.len() {
            for domain in rules.domains(i).filter(|domain| !ours.contains(domain)) {
                if ours.is_empty() || !reported.insert(domain) {
                    continue;
                }
                let statement = rules.statement(i);
                let message = format!(
                    "domains: the rule \"{}\" at {statement} names {}, which is not one of them, so it never applies \
                     there",
                    escape(statement.text),
                    escape(domain),
                );
                let help = nearest(domain, ours.iter().copied()).map_or_else(
                    || "add it to domains, or remove it from the rule".into(),
                    |near| format!("did you mean {near}?"),
                );
                self.warning(given, message, help);
            }
        }
    }

    /// Warns of rules that contain a character that is removed before they are searched: aliases that were
    /// handed out would be rejected.
    pub fn removed_from_rules(&mut self, field: &Field<List<NormaliseTable>>, rules: &Rules) {
        let Some(given) = field.given() else { return };
        for item in &given.value.items {
            let Some(remove) = item.get_ref().remove.given().filter(|remove| !remove.value.is_empty()) else {
                continue;
            };
            let gone = |c: char| remove.value.contains(c);
            let wants = |i: &usize| {
                let text = rules.statement(*i).text;
                literals(text).contains(gone) || gone('.') && text.contains("%fqdn%")
            };
            let mut wanting = (0..rules.len()).filter(wants);
            let Some(first) = wanting.next() else { continue };
            let (first, more) = (rules.statement(first), wanting.count());
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            let message = format!(
                "{}: the rule \"{}\" at {first}{more} needs a character that is removed, so it never matches",
                remove.key,
                escape(first.text),
            );
            self.problems.push(
                Problem::warning(&remove.text, remove.span.clone(), message)
                    .help("leave it out of remove if such aliases are in use in these domains"),
            );
        }
        for item in &given.value.items {
            self.unread_names(item.get_ref(), rules);
        }
    }

    /// Warns of accounts and aliases in expressions that a normalised local part cannot equal: in these
    /// domains they never match.
    fn unread_names(&mut self, table: &NormaliseTable, rules: &Rules) {
        let nfkc = table.nfkc.given().filter(|nfkc| nfkc.value);
        let remove = table.remove.given().filter(|remove| !remove.value.is_empty());
        let normal = LocalPartPolicy {
            case_sensitive: true,
            delimiters: String::new().into(),
            remove: remove.map_or("", |remove| &*remove.value).into(),
            nfkc: nfkc.is_some(),
        };
        let (text, span, key) = match (remove, nfkc) {
            (Some(remove), _) => (&remove.text, &remove.span, &remove.key),
            (None, Some(nfkc)) => (&nfkc.text, &nfkc.span, &nfkc.key),
            (None, None) => return,
        };
        let mut changed = rules.placed_names().filter(|(_, name)| normal.typed(name).whole() != *name);
        let Some((statement, name)) = changed.next() else { return };
        let more = match changed.count() {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        let (name, statement) = (escape(name), rules.statement(statement));
        let message = format!(
            "{key}: the name \"{name}\" at {statement}{more} is normalised to another one, so it never \
             matches"
        );
        self.problems.push(
            Problem::warning(text, span.clone(), message)
                .help("write it in its normalised form, or leave its characters out of remove"),
        );
    }
}

/// Returns the literal text of an expression: everything outside of percent signs, with `%%` as one percent
/// sign.
fn literals(expression: &str) -> String {
    let parts = expression.split('%').enumerate();
    parts
        .map(|(i, part)| {
            if i % 2 == 0 {
                part
            } else if part.is_empty() {
                "%"
            } else {
                ""
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::literals;

    #[test]
    fn extracts_literal_text() {
        for (expression, want) in [
            ("%account%-%alnum%.%code%", "-."),
            ("twice%%+%alpha%", "twice%+"),
            ("plain", "plain"),
            ("%ident%", ""),
        ] {
            assert_eq!(literals(expression), want, "{expression}");
        }
    }
}

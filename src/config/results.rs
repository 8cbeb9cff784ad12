//! Checks the settings for the values of a query: `result_format`, `domain` and `expansion_limit` of a map.

use super::check::{Check, text};
use super::keys::MapTable;
use super::query::{NO_DATABASE, databases_in};
use super::value::Given;
use crate::map::MAX_VALUE;
use crate::map::results::{DomainList, EXPANSION_LIMIT, ResultFormat, ResultSettings};
use crate::map::source::SourceSpec;
use mail_address::escape;
use std::ops::RangeInclusive;

/// Bounds of `expansion_limit`: more values do not fit into a value of [`MAX_VALUE`] octets.
pub(super) const EXPANSION_LIMITS: RangeInclusive<usize> = 0..=MAX_VALUE;

impl Check<'_> {
    /// Returns the settings for the values of a map.
    pub(super) fn results(&mut self, table: &MapTable, sources: &[SourceSpec]) -> ResultSettings {
        if databases_in(sources).is_empty() {
            let MapTable { result_format, domain, expansion_limit, .. } = table;
            self.has_no_effect(result_format.given());
            self.has_no_effect(domain.given());
            self.has_no_effect(expansion_limit.given());
        }
        let format = text(&table.result_format).map(|given| {
            self.parsed::<ResultFormat, _>(given, given.span.clone(), &given.value).unwrap_or_default()
        });
        let mut domains = DomainList::default();
        if let Some(given) = table.domain.given() {
            for entry in &given.value.items {
                if let Err(help) = domains.add(entry.get_ref()) {
                    let message = format!("{}: \"{}\" cannot be used", given.key, escape(entry.get_ref()));
                    self.error_in(given, entry.span(), message, help);
                }
            }
            if given.value.items.is_empty() && given.value.complete {
                let help = "without this key, every key is looked up";
                self.warning(given, format!("{} is empty: every key is looked up", given.key), help);
            }
        }
        ResultSettings {
            domains,
            format: format.unwrap_or_default(),
            expansion_limit: self.number(&table.expansion_limit, EXPANSION_LIMIT, &EXPANSION_LIMITS),
        }
    }

    fn has_no_effect<T>(&mut self, given: Option<&Given<T>>) {
        if let Some(given) = given {
            self.warning(given, format!("{} has no effect", given.key), NO_DATABASE);
        }
    }
}

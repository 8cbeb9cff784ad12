//! Converts the parameters for the values of a table: `result_format`, `domain`, `expansion_limit`.

use super::settings::Settings;
use crate::map::MAX_VALUE;
use crate::map::results::{DomainList, ResultSettings};

/// Returns the settings for the values.
pub fn results(settings: &mut Settings) -> ResultSettings {
    let mut results = ResultSettings::default();
    // The older name, of LDAP only.
    for name in ["result_filter", "result_format"] {
        match settings.text(name).map(|text| text.parse()) {
            Some(Ok(format)) => results.format = format,
            Some(Err(help)) => settings.fault(name, "has a percent sign without a placeholder", &help),
            None => (),
        }
    }
    results.domains = domains(settings);
    if let Some(limit) = settings.number("expansion_limit") {
        // A higher limit is never reached.
        results.expansion_limit = usize::try_from(limit).unwrap_or(MAX_VALUE).min(MAX_VALUE);
    }
    results
}

fn domains(settings: &mut Settings) -> DomainList {
    let mut domains = DomainList::default();
    for entry in settings.list("domain") {
        if let Err(help) = domains.add(&entry) {
            let text = format!(
                "it contains more than names of domains, so keys of other domains would also be looked up ({help})"
            );
            settings.gap("domain", &text);
            return DomainList::default();
        }
    }
    domains
}

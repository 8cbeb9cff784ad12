//! On what terms a statement counts: for which domains, where its mail goes, who can make its codes.

use super::check::Probe;
use super::deliver::{self, Template};
use super::secret::Secrets;
use super::syntax::{Fault, Name, Statement};
use super::words::Function;
use foldhash::{HashSet, HashSetExt};
use mail_address::{canonical_domain, checked_domain};
use std::borrow::Cow;

/// Most domains of one statement: whether an alias has several owners is looked at in each of them.
pub const MAX_DOMAINS: usize = 1000;

/// On what terms a statement counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Terms {
    /// In canonical spelling and in order; `None` for all that are ours.
    domains: Option<Box<[Box<str>]>>,
    target: Option<Template>,
    /// Those of `HMAC`; none for a statement without it.
    secrets: Secrets,
}

impl Terms {
    /// Those of a statement.
    pub fn check(
        statement: &Statement<'_>,
        probes: &[Probe],
        secrets: &Secrets,
        faults: &mut Vec<Fault>,
    ) -> Self {
        check_domains(statement.domains.as_deref().unwrap_or_default(), faults);
        let domains = statement.domains.is_some().then(|| {
            let mut domains: Vec<Box<str>> = domains(statement.domains.as_deref()).map(Into::into).collect();
            domains.sort_unstable();
            domains.dedup();
            domains.into_boxed_slice()
        });
        let signed = probes.iter().any(|probe| probe.function == Function::Hmac);
        Terms {
            domains,
            target: deliver::check(statement, faults),
            secrets: if signed { secrets.clone() } else { Secrets::default() },
        }
    }

    /// Whether the statement counts for names of `domain`.
    pub fn hold_in(&self, domain: Option<&str>) -> bool {
        let Some(domains) = &self.domains else { return true };
        domain.is_some_and(|domain| domains.binary_search_by(|own| (**own).cmp(domain)).is_ok())
    }
}

impl Terms {
    /// What `HMAC` computes with; none where the statement has no `HMAC`.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Where the mail goes, if not to the account.
    pub fn target(&self) -> Option<&Template> {
        self.target.as_ref()
    }

    /// Whether another alias is another destination.
    pub fn tell_aliases(&self) -> bool {
        self.target.as_ref().is_some_and(Template::names_alias)
    }
}

/// The domains of a statement, as they are compared.
pub(super) fn domains<'t>(list: Option<&[Name<'t>]>) -> impl Iterator<Item = Cow<'t, str>> {
    list.unwrap_or_default().iter().take(MAX_DOMAINS).map(|name| canonical_domain(name.value))
}

/// Checks the list of domains.
fn check_domains(list: &[Name<'_>], faults: &mut Vec<Fault>) {
    if let Some(name) = list.get(MAX_DOMAINS) {
        let message = format!("the statement has more than {MAX_DOMAINS} domains");
        faults.push(Fault::new(name.span(), message).help("write the statement once more for the others"));
    }
    let mut seen = HashSet::new();
    for name in list.iter().take(MAX_DOMAINS) {
        match checked_domain(name.value) {
            Ok(domain) => {
                if !seen.insert(domain) {
                    let message = format!("domain \"{}\" stands in the list twice", name.value);
                    faults.push(Fault::warning(name.span(), message).help("leave it once"));
                }
            }
            Err(help) => {
                let fault = Fault::new(name.span(), format!("\"{}\" is not a domain", name.value));
                faults.push(fault.help(help));
            }
        }
    }
}

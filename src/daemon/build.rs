//! From a checked configuration to what serves.

use super::clock::today;
use crate::account::{AccountSource, Sources};
use crate::config::Config;
use crate::front::milter::adapter::Service;
use crate::front::milter::session::Policy;
use crate::resolve::{Form, Resolver, Settings};
use std::sync::Arc;

/// Everything a milter session works with. The errors are sentences with the remedy, all of them.
pub async fn build(config: &Config) -> Result<Service, Vec<String>> {
    let sources = Sources::build(&config.account, config.cases.clone()).await?;
    Ok(Service {
        resolver: resolver(config, sources.composed),
        policy: Arc::new(policy(config)),
        deadline: config.milter.deadline,
    })
}

/// The resolver of a configuration over these accounts.
pub fn resolver(config: &Config, accounts: Arc<dyn AccountSource>) -> Resolver {
    let settings = Settings {
        domains: config.domains.clone(),
        origin: config.origin.clone(),
        case_sensitive: config.case_sensitive,
        normal: config.normal.clone(),
        today,
    };
    let form = Form { rules: config.rules.clone(), hooks: config.hooks.clone() };
    Resolver::new(settings, form, accounts).with_other_case(config.other_case.clone())
}

/// What a session may do.
pub fn policy(config: &Config) -> Policy {
    Policy {
        unknown: config.milter.unknown_reply.clone(),
        later: config.milter.later_reply.clone(),
        max_recipients: config.milter.max_recipients,
        header: config.milter.header.clone(),
        // Of a mailbox elsewhere nobody here knows; taking two for one would lose a copy.
        case_sensitive: config.cases.clone().and_elsewhere(true),
        observe: config.observe,
        origin: config.origin.clone(),
    }
}

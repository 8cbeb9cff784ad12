//! `rcptd explain --rules`: searches the rules, without a configuration.

use super::super::{args, exit, input, terminal};
use super::trace;
use crate::daemon;
use alias_rules::{Explanation, Outcome, Query};
use mail_address::{Address, canonical_domain};
use serde_json::json;

pub fn run(args: &args::Explain) -> u8 {
    let rules = match input::rules(&args.rules, args.secrets.as_deref(), args.fold) {
        Ok(source) => source.rules,
        Err(code) => return code,
    };
    let domain = args.domain.as_deref().map(canonical_domain);
    let today = args.today.or_else(daemon::today);
    let mut worst = exit::OK;
    for given in &args.addresses {
        let address = Address::from_rcpt(given.as_bytes());
        // A name is used as it is.
        let address = if address.is_certain() { address } else { Address::from_server(given.as_bytes()) };
        let query = Query { name: address.local(), domain: address.domain().or(domain.as_deref()), today };
        let explanation = rules.explain(query);
        let text =
            if args.json { terminal::json(&object(given, &explanation)) } else { format!("{explanation}\n") };
        if let Err(code) = terminal::print(&text) {
            return code;
        }
        worst = worst.max(match explanation.outcome {
            Outcome::Account { .. } => exit::OK,
            Outcome::NoMatch | Outcome::Expired { .. } | Outcome::Ambiguous => exit::NOT_FOUND,
            Outcome::TempFail => exit::TEMPORARY,
        });
    }
    worst
}

fn object(given: &str, explanation: &Explanation) -> serde_json::Value {
    let (outcome, account) = match &explanation.outcome {
        Outcome::NoMatch => ("no_match", None),
        Outcome::Account { name, .. } => ("account", Some(name)),
        Outcome::Expired { name, .. } => ("expired", Some(name)),
        Outcome::Ambiguous => ("ambiguous", None),
        Outcome::TempFail => ("tempfail", None),
    };
    json!({
        "address": given,
        "name": explanation.name,
        "outcome": outcome,
        "account": account,
        "text": explanation.outcome.to_string(),
        "rules": explanation.to_string(),
        "statements": trace::statements(explanation),
    })
}

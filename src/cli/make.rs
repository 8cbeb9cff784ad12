//! `rcptd make`

mod resolver;

use super::{args, exit, input, terminal};
use crate::config::{self, Config};
use crate::daemon;
use alias_rules::{
    Day, Decision, Dialect, GenerateRequest, Generated, GeneratedAddress, Options, Query, Reason, Rules,
};
use diagnostics::{Text, nearest};
use mail_address::{Address, canonical_domain, escape};
use resolver::DaemonResolver;
use serde_json::json;
use std::fmt::Write;
use std::sync::Arc;

pub fn run(args: &args::Make) -> u8 {
    match made(args) {
        Ok(code) | Err(code) => code,
    }
}

/// Rules, domain and checks for making addresses.
struct Source {
    texts: Vec<Text>,
    rules: Arc<Rules>,
    options: Options,
    /// The domain of the addresses; always set with a configuration.
    domain: Option<String>,
    /// Whether the addresses are printed without their domain, since the operator has named none.
    without_domain: bool,
    /// Resolves them as the daemon does; `None` without a configuration.
    resolver: Option<DaemonResolver>,
}

impl Source {
    /// Formats an address as it is handed out: the local part as it is looked up, or the whole address.
    fn address(&self, good: &GeneratedAddress) -> String {
        let domain = good.domain.as_deref().filter(|_| !self.without_domain);
        let whole = domain.and_then(|domain| Address::new(&good.name, domain).ok());
        whole.map_or_else(|| good.name.clone(), |address| address.to_string())
    }

    /// Checks that an address has not expired, and that the daemon resolves it to `account`.
    fn holds(&self, good: &GeneratedAddress, account: &str, today: Option<Day>) -> Result<(), String> {
        let query = Query { name: &good.name, domain: good.domain.as_deref(), today };
        if let Decision::Expired { last, .. } = self.rules.find(query) {
            let expired = Reason::Expired { name: good.name.clone(), last };
            return Err(format!("{expired}: it has already expired"));
        }
        match (&self.resolver, good.domain.as_deref().or(self.domain.as_deref())) {
            (Some(resolver), Some(domain)) => resolver.leads(&good.name, domain, account),
            _ => Ok(()),
        }
    }
}

fn made(args: &args::Make) -> Result<u8, u8> {
    let source = if args.rules.is_empty() { configured(args)? } else { alone(args)? };
    let order = GenerateRequest {
        account: &args.account,
        alias: args.alias.as_deref(),
        words: &args.words,
        rule: args.rule,
        domain: source.domain.as_deref(),
        until: args.until,
    };
    let made = match alias_rules::generate(&source.texts, &source.rules, &source.options, &order) {
        Ok(made) => made,
        Err(unknown) => {
            terminal::say(format_args!("rcptd: {unknown}"));
            return Err(exit::NOT_FOUND);
        }
    };
    let today = daemon::today();
    let mut code = exit::NOT_FOUND;
    for one in &made {
        let result = match &one.result {
            Ok(good) => source.holds(good, &args.account, today).map(|()| good),
            Err(reason) => Err(reason.to_string()),
        };
        if result.is_ok() {
            code = exit::OK;
        }
        let result = result.map(|good| (good, source.address(good)));
        let out =
            if args.json { terminal::json(&object(one, result)) } else { told(one, result, args.explain) };
        terminal::print(&out)?;
    }
    Ok(code)
}

fn alone(args: &args::Make) -> Result<Source, u8> {
    let input::Source { texts, options, rules } =
        input::rules(&args.rules, args.secrets.as_deref(), args.fold)?;
    let domain = args.domain.clone();
    Ok(Source { texts, rules, options, domain, without_domain: false, resolver: None })
}

fn configured(args: &args::Make) -> Result<Source, u8> {
    let config = config::load(&args.config).map_err(|problems| {
        terminal::show(&problems);
        exit::CONFIG
    })?;
    let domain = domain(&config, args.domain.as_deref())?;
    let case_sensitive =
        config.normal.get(&domain).map_or(config.case_sensitive, |normal| normal.case_sensitive);
    let resolver = DaemonResolver::new(&config, case_sensitive)?;
    let options = Options { fold: !case_sensitive, dialect: Dialect::Any, secrets: config.secrets.clone() };
    let rules = match config.other_case {
        Some(form) if case_sensitive != config.case_sensitive => form.rules,
        _ => config.rules,
    };
    let texts = config::rules_of(&args.config);
    let without_domain = !config.names_domain;
    Ok(Source { texts, rules, options, domain: Some(domain), without_domain, resolver: Some(resolver) })
}

/// Returns the domain `given`, which must be in the configuration, or else the first one there.
fn domain(config: &Config, given: Option<&str>) -> Result<String, u8> {
    let Some(given) = given else {
        return config.domains.first().cloned().ok_or_else(|| {
            terminal::say(format_args!("rcptd: {}: it has no domains", config.path.display()));
            exit::CONFIG
        });
    };
    let domain = canonical_domain(given);
    if config.domains.iter().any(|ours| *ours == domain) {
        return Ok(domain.into_owned());
    }
    let help = nearest(&domain, config.domains.iter().map(|ours| &**ours))
        .map_or_else(|| "add it there first".into(), |near| format!("did you mean {near}?"));
    terminal::say(format_args!(
        "rcptd: {} is not one of domains in {}; {help}",
        escape(given),
        escape(&config.path.display().to_string())
    ));
    Err(exit::NOT_FOUND)
}

/// Formats the text for standard output; remarks and reasons go to standard error.
fn told(made: &Generated, result: Result<(&GeneratedAddress, String), String>, explain: bool) -> String {
    let rule = format!("rule {} ({} {})", made.rule, escape(&made.place), escape(&made.expression));
    let (good, address) = match result {
        Ok(good) => good,
        Err(reason) => {
            terminal::say(format_args!("rcptd: {rule}: {reason}"));
            return String::new();
        }
    };
    for remark in &good.remarks {
        terminal::say(format_args!("rcptd: {rule}: {remark}"));
    }
    let mut out = format!("{address}\n");
    if explain {
        for (i, step) in good.steps.iter().enumerate() {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "  {}. {step}", i + 1);
        }
    }
    out
}

fn object(made: &Generated, result: Result<(&GeneratedAddress, String), String>) -> serde_json::Value {
    let (good, address, reason) = match result {
        Ok((good, address)) => (Some(good), Some(address), None),
        Err(reason) => (None, None, Some(reason)),
    };
    json!({
        "rule": made.rule,
        "place": made.place,
        "expression": made.expression,
        "name": good.map(|good| &good.name),
        "address": address,
        "remarks": good.map_or(&[][..], |good| &good.remarks),
        "steps": good.map_or(&[][..], |good| &good.steps),
        "reason": reason,
    })
}

//! `rcptd make`

use super::{args, exit, input, terminal};
use crate::addr::{Address, escape};
use crate::diag::Text;
use crate::rules::{self, Day, Decision, Dialect, Good, Made, Options, Order, Query, Reason, Rules};
use crate::{config, daemon};
use serde_json::json;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

pub fn run(args: &args::Make) -> u8 {
    match made(args) {
        Ok(code) | Err(code) => code,
    }
}

/// What the rules are, wherever they come from.
struct Source {
    texts: Vec<Text>,
    rules: Arc<Rules>,
    options: Options,
    domain: Option<String>,
}

fn made(args: &args::Make) -> Result<u8, u8> {
    let source = if args.rules.is_empty() { configured(&args.config)? } else { alone(args)? };
    let order = Order {
        account: &args.account,
        alias: args.alias.as_deref(),
        words: &args.words,
        rule: args.rule,
        domain: args.domain.as_deref().or(source.domain.as_deref()),
        until: args.until,
    };
    let mut made = match rules::make(&source.texts, &source.rules, &source.options, &order) {
        Ok(made) => made,
        Err(unknown) => {
            eprintln!("rcptd: {unknown}");
            return Err(exit::NOT_FOUND);
        }
    };
    let today = daemon::today();
    for one in &mut made {
        one.result = good_today(&source.rules, one.result.clone(), today);
    }
    for one in &made {
        let out = if args.json { format!("{}\n", object(one)) } else { told(one, args.explain) };
        terminal::print(&out)?;
    }
    Ok(if made.iter().any(|one| one.result.is_ok()) { exit::OK } else { exit::NOT_FOUND })
}

/// Nothing that has expired already is handed out.
fn good_today(rules: &Rules, result: Result<Good, Reason>, today: Option<Day>) -> Result<Good, Reason> {
    let good = result?;
    let query = Query { name: &good.name, domain: good.domain.as_deref(), today };
    match rules.find(query) {
        Decision::Expired { last, .. } => Err(Reason::Expired { name: good.name, last }),
        _ => Ok(good),
    }
}

fn alone(args: &args::Make) -> Result<Source, u8> {
    let input::Source { texts, options, rules } =
        input::rules(&args.rules, args.secrets.as_deref(), args.fold)?;
    Ok(Source { texts, rules, options, domain: None })
}

fn configured(path: &Path) -> Result<Source, u8> {
    let config = config::load(path).map_err(|problems| {
        terminal::show(&problems);
        exit::CONFIG
    })?;
    let options =
        Options { fold: !config.case_sensitive, dialect: Dialect::Any, secrets: config.secrets.clone() };
    let domain = config.domains.into_iter().next();
    Ok(Source { texts: config::rules_of(path), rules: config.rules, options, domain })
}

/// As it is handed out: the local part as it is looked up, or the whole address.
fn address(name: &str, domain: Option<&str>) -> String {
    let whole = domain.and_then(|domain| Address::new(name, domain).ok());
    whole.map_or_else(|| name.to_owned(), |address| address.to_string())
}

/// What goes to standard output; remarks and reasons go to standard error.
fn told(made: &Made, explain: bool) -> String {
    let rule = format!("rule {} ({} {})", made.rule, escape(&made.place), escape(&made.expression));
    let good = match &made.result {
        Ok(good) => good,
        Err(reason) => {
            let already =
                if matches!(reason, Reason::Expired { .. }) { ": it has expired already" } else { "" };
            eprintln!("rcptd: {rule}: {reason}{already}");
            return String::new();
        }
    };
    for remark in &good.remarks {
        eprintln!("rcptd: {rule}: {remark}");
    }
    let mut out = format!("{}\n", address(&good.name, good.domain.as_deref()));
    if explain {
        for (i, step) in good.steps.iter().enumerate() {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "  {}. {step}", i + 1);
        }
    }
    out
}

fn object(made: &Made) -> serde_json::Value {
    let good = made.result.as_ref().ok();
    json!({
        "rule": made.rule,
        "place": made.place,
        "expression": made.expression,
        "name": good.map(|good| &good.name),
        "address": good.map(|good| address(&good.name, good.domain.as_deref())),
        "remarks": good.map_or(&[][..], |good| &good.remarks),
        "steps": good.map_or(&[][..], |good| &good.steps),
        "reason": made.result.as_ref().err().map(ToString::to_string),
    })
}

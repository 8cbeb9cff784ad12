//! `rcptd sources` and `rcptd cache`: the account sources of a running daemon, and what it knows of accounts.

use super::args::{self, CacheAction};
use super::inspect::{ago, answered, number, text, told};
use super::{exit, terminal};
use diagnostics::count;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// `rcptd sources`
pub fn sources(args: &args::Sources) -> u8 {
    let mut fails = false;
    let code = told(&args.daemon, "status", |_, value| {
        let mut out = String::new();
        for source in value.get("sources").and_then(Value::as_array).into_iter().flatten() {
            fails |= source.get("failing_seconds").is_some_and(Value::is_u64);
            // Writing to a String cannot fail.
            let _ = if args.json { writeln!(out, "{source}") } else { report(source, &mut out) };
        }
        terminal::print(&out)?;
        Ok(false)
    });
    if code == exit::OK && fails { exit::NOT_FOUND } else { code }
}

fn report(source: &Value, out: &mut String) -> std::fmt::Result {
    let (name, server) = (text(source, "source"), text(source, "server"));
    let place = if server.is_empty() { terminal::label(&name) } else { format!("{name} at {server}:") };
    match source.get("failing_seconds").and_then(Value::as_u64) {
        Some(seconds) => writeln!(out, "{place} FAILING for {}: {}", ago(seconds), text(source, "detail"))?,
        None => writeln!(out, "{place} works")?,
    }
    let breaker = text(source, "breaker");
    let skipped = number(source, "skipped");
    if source.get("answered").is_some_and(Value::is_object) {
        writeln!(out, "    asked: {}", answered(source))?;
        let times: Vec<String> = ["50", "90", "99"]
            .iter()
            .filter_map(|part| {
                let within = source.pointer(&format!("/within_ms/{part}"))?.as_f64()?;
                Some(format!("{part} % within {within} ms"))
            })
            .collect();
        if !times.is_empty() {
            writeln!(out, "    times: {}", times.join(", "))?;
        }
        writeln!(
            out,
            "    breaker: {breaker}; {skipped} not asked; {}",
            count(number(source, "failures"), "failure")
        )?;
    } else {
        writeln!(out, "    {}", count(number(source, "failures"), "failure"))?;
    }
    Ok(())
}

/// `rcptd cache`
pub fn cache(args: &args::Cache) -> u8 {
    let action = match args.action {
        CacheAction::List => "list",
        CacheAction::Flush => "flush",
        CacheAction::Pin => "pin",
        CacheAction::Unpin => "unpin",
    };
    let request = json!({ "action": action, "what": args.what });
    told(&args.daemon, &format!("cache {request}"), |line, value| {
        let out = if args.json { format!("{line}\n") } else { told_of(value) };
        terminal::print(&out)?;
        Ok(false)
    })
}

fn told_of(value: &Value) -> String {
    if let Some(flushed) = value.get("flushed").and_then(Value::as_u64) {
        let failure = match &*text(value, "shared_error") {
            "" => String::new(),
            why => format!("shared accounts are not forgotten: {why}\n"),
        };
        return format!("{} forgotten\n{failure}", count(flushed, "account"));
    }
    for word in ["pinned", "unpinned"] {
        if value.get(word).is_some() {
            let saved = value.get("saved").and_then(Value::as_bool).unwrap_or(true);
            let note =
                if saved { "" } else { "It is not saved, and ends with rcptd: see account.cache.file.\n" };
            return format!("{word} {}\n{note}", text(value, word));
        }
    }
    let mut out = String::new();
    let accounts = value.get("accounts").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for account in accounts {
        let is = |name: &str| account.get(name).and_then(Value::as_bool).unwrap_or_default();
        let mut words = Vec::new();
        match &*text(account, "cached") {
            "exists" => words.push("exists (cached)".to_owned()),
            "not_found" => words.push("not found (cached)".to_owned()),
            _ => (),
        }
        let age = ago(number(account, "age_seconds"));
        if is("pinned") {
            words.push(format!("pinned {age} ago"));
        } else if is("known") {
            words.push(format!("found {age} ago"));
        }
        let source = text(account, "source");
        let by = if source.is_empty() { String::new() } else { format!(" by {source}") };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{:40} {}{by}", text(account, "account"), words.join(", "));
    }
    let total = number(value, "total");
    let more = total.saturating_sub(accounts.len() as u64);
    if more > 0 {
        let _ = writeln!(out, "and {more} more: name a domain or an address");
    } else if total == 0 {
        out.push_str("no accounts\n");
    }
    out
}

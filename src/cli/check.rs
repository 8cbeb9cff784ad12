//! `rcptd check`

mod accounts;
mod maps;

use super::{args, exit, postfix, running, terminal};
use crate::account::settings::Witness;
use crate::account::spec::may_have_witness;
use crate::account::{Lookup, Sources};
use crate::config::{self, Checked, Config};
use crate::lookup::control::canary_name;
use crate::resolve::Resolver;
use diagnostics::{Problem, any_error, remarks};
use mail_address::{Address, escape, one_line};
use serde_json::{Value, json};
use std::fmt::Write;
use std::sync::Arc;

pub fn run(args: &args::Check) -> u8 {
    let (file, postfix) = args.files();
    let (mut checked, name) = if args.rules.is_empty() {
        (config::check(file, args.guess), file.display().to_string())
    } else {
        let names: Vec<String> = args.rules.iter().map(|p| p.display().to_string()).collect();
        (config::check_rules(&args.rules, args.secrets.as_deref(), args.fold, args.guess), names.join(", "))
    };
    if let Err(code) = sources(&mut checked) {
        return code;
    }
    // Errors of rcptd.conf come first: without it there is nothing to compare.
    if let (Some(folder), Some(config)) = (postfix, &checked.config) {
        checked.problems.extend(postfix::check(folder, config));
    }
    let problems = &checked.problems;
    if args.json {
        for problem in problems {
            if let Err(code) = terminal::print(&format!("{}\n", object(problem))) {
                return code;
            }
        }
    } else {
        terminal::show(problems);
    }
    if args.guess
        && let Err(code) = terminal::print(&guesses(&checked, args.json))
    {
        return code;
    }
    if any_error(problems) {
        return exit::CONFIG;
    }
    let mut code = exit::OK;
    if let Some(config) = &checked.config {
        if args.maps {
            code = ask_maps(config, args.json).unwrap_or_else(|code| code);
        }
        // That a database is down says nothing about the accounts.
        if args.accounts && [exit::OK, exit::TEMPORARY].contains(&code) {
            code = accounts::run(config, args.json).max(code);
        }
    }
    if code != exit::OK {
        return code;
    }
    if !args.json {
        let remarks = Some(remarks(problems)).filter(|text| !text.is_empty());
        let remarks = remarks.map_or_else(String::new, |text| format!(", {text}"));
        return terminal::print(&format!("{name}: good{remarks}\n")).err().unwrap_or(exit::OK);
    }
    exit::OK
}

/// Reports why account sources and maps of a configuration cannot be built.
fn sources(checked: &mut Checked) -> Result<(), u8> {
    let Some(config) = &checked.config else { return Ok(()) };
    let runtime = terminal::runtime()?;
    let built = runtime.block_on(crate::daemon::build(config, &Arc::default()));
    let places = &config.places;
    match built {
        Err(lines) => checked.problems.extend(lines.iter().map(|line| places.error(line))),
        Ok(live) => {
            let uncontrolled = runtime.block_on(uncontrolled(config, &live.accounts));
            checked.problems.extend(uncontrolled.iter().map(|line| places.warning(line)));
            let failed = runtime.block_on(plugin_fails(config, &live.service.resolver));
            checked.problems.extend(failed.map(|line| places.warning(&line)));
        }
    }
    let differs = runtime.block_on(daemon_differs(config));
    checked.problems.extend(differs.iter().map(|line| places.warning(line)));
    // A name service may hang in a thread.
    runtime.shutdown_background();
    Ok(())
}

/// Reports why the plug-in of `script` does not answer now. It may do so later: then it is no error.
async fn plugin_fails(config: &Config, resolver: &Resolver) -> Option<String> {
    let why = resolver.plugin()?.try_out(config.domains.first()?).await.err()?;
    Some(format!("script: mail is deferred while the plug-in fails: {}", escape(&why.to_string())))
}

/// Prints whether each map works, and returns the exit code.
fn ask_maps(config: &Config, as_json: bool) -> Result<u8, u8> {
    let reports = terminal::runtime()?.block_on(maps::check(config));
    let line = |report: &maps::Report| {
        let maps::Report { map, source, fault } = report;
        if as_json {
            let (ok, text) = (fault.is_none(), fault.as_ref().map(|fault| &fault.text));
            terminal::json(&json!({ "kind": "map", "map": **map, "source": source, "ok": ok, "fault": text }))
        } else {
            format!("{}\n", one_line(&report.to_string()))
        }
    };
    terminal::print(&reports.iter().map(line).collect::<String>())?;
    let codes = reports
        .iter()
        .filter_map(|report| report.fault.as_ref())
        .map(|fault| if fault.is_down { exit::TEMPORARY } else { exit::CONFIG });
    Ok(codes.max().unwrap_or(exit::OK))
}

/// Most domains for which each source is checked, since the lookups are made one after the other.
const MAX_DOMAINS: usize = 100;

/// Reports sources that would defer mail: their "not found" would not be used, because the witness is not
/// found or the server accepts every name, or a list of accounts is empty. A server that does not answer now is not
/// reported.
async fn uncontrolled(config: &Config, sources: &Sources) -> Vec<String> {
    let Ok(name) = canary_name() else { return Vec::new() };
    let mut lines = Vec::new();
    for (source, member) in config.account.sources.iter().zip(&sources.members) {
        let is_list = ["file", "aliases"].contains(&source.spec.kind());
        if !may_have_witness(source.spec.kind()) && !is_list {
            continue;
        }
        // Users of this host are the same at every domain.
        let domains = if source.spec.kind() == "passwd" { 1 } else { MAX_DOMAINS };
        let its = config.domains.iter().filter(|name| {
            source.domains.as_ref().is_none_or(|all| all.contains(*name))
                // Without a witness there is nothing to learn from a map.
                && (source.spec.kind() != "map" || source.witness.of(name) != &Witness::Default)
        });
        for domain in its.take(domains) {
            let account = Address::from_rcpt(format!("<{name}@{domain}>").as_bytes());
            match member.source.look_up(&account).await.result {
                Lookup::TempFail(why) if why.is_uncontrolled() || is_list => {
                    lines.push(format!(
                        "account source \"{}\": mail for {domain} will be deferred: {why}",
                        source.spec
                    ));
                    // A list is the same for every domain.
                    if is_list {
                        break;
                    }
                }
                Lookup::Found(()) | Lookup::NotFound => (),
                // The lookup would fail for the next domain, too.
                Lookup::TempFail(_) => break,
            }
        }
    }
    lines
}

/// Reports what the running daemon does not use: single files in their current state, or the whole
/// configuration after a failed reload. The files alone do not show that.
async fn daemon_differs(config: &Config) -> Vec<String> {
    let Some(status) = running::ask(config, "status").await else { return Vec::new() };
    let each = |name: &str| status.get(name).and_then(Value::as_array).into_iter().flatten();
    let files = each("files").map(|file| {
        let text = |name: &str| file.get(name).and_then(Value::as_str).unwrap_or_default();
        format!("{}: the running daemon does not use its current version: {}", text("path"), text("detail"))
    });
    let reload = each("last_reload_failed")
        .filter_map(Value::as_str)
        .map(|line| format!("the running daemon could not reload: {line}"));
    files.chain(reload).collect()
}

/// Formats a line for each statement: how easy its aliases are to guess.
fn guesses(checked: &Checked, json: bool) -> String {
    let mut out = String::new();
    for guess in &checked.guesses {
        let statement = checked.rules.statement(guess.statement);
        // Writing to a String cannot fail.
        let _ = if json {
            let object = json!({
                "kind": "guess",
                "file": statement.file,
                "line": statement.line,
                "expression": statement.text,
                "share": guess.share,
                "exact": guess.exact,
            });
            writeln!(out, "{object}")
        } else {
            writeln!(out, "{statement}: {}: {guess}", escape(statement.text))
        };
    }
    out
}

fn object(problem: &Problem) -> serde_json::Value {
    let (line, column) = problem.place();
    let related = problem.related.iter().map(|label| {
        let (line, column) = label.text.place(label.span.start);
        json!({ "file": &*label.text.file, "line": line, "column": column, "message": label.message })
    });
    json!({
        "kind": "problem",
        "file": &*problem.text.file,
        "line": line,
        "column": column,
        "severity": problem.severity.name(),
        "message": problem.message,
        "help": problem.help,
        "related": related.collect::<Vec<_>>(),
    })
}

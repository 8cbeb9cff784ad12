//! `rcptd check`

use super::{args, exit, terminal};
use crate::addr::escape;
use crate::config::{self, Checked};
use crate::diag::{Problem, Text, any_error};
use serde_json::json;
use std::fmt::Write;

pub fn run(args: &args::Check) -> u8 {
    let (mut checked, name) = if args.rules.is_empty() {
        (config::check(&args.config, args.guess), args.config.display().to_string())
    } else {
        let names: Vec<String> = args.rules.iter().map(|p| p.display().to_string()).collect();
        (config::check_rules(&args.rules, args.secrets.as_deref(), args.fold, args.guess), names.join(", "))
    };
    if let Err(code) = sources(&mut checked) {
        return code;
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
    if !args.json {
        let warnings = match problems.len() {
            0 => String::new(),
            1 => ", 1 remark".into(),
            n => format!(", {n} remarks"),
        };
        return terminal::print(&format!("{name}: good{warnings}\n")).err().unwrap_or(exit::OK);
    }
    exit::OK
}

/// What keeps the account sources and the maps of a configuration from being built.
fn sources(checked: &mut Checked) -> Result<(), u8> {
    let Some(config) = &checked.config else { return Ok(()) };
    let runtime = terminal::runtime()?;
    let built = runtime.block_on(crate::daemon::build(config));
    if let Err(lines) = built {
        let text = Text::new(&config.path.display().to_string(), "");
        checked.problems.extend(lines.into_iter().map(|line| Problem::error(&text, 0..0, line)));
    }
    Ok(())
}

/// A line for each statement: how easy its aliases are to guess.
fn guesses(checked: &Checked, json: bool) -> String {
    let mut out = String::new();
    for guess in &checked.guesses {
        let statement = checked.rules.statement(guess.statement);
        // Writing to a string does not fail.
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

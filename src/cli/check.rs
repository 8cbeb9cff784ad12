//! `rcptd check`

use super::{args, exit, terminal};
use crate::config;
use crate::diag::{Problem, any_error};
use serde_json::json;

pub fn run(args: &args::Check) -> u8 {
    let (problems, checked) = if args.rules.is_empty() {
        let problems = match config::load(&args.config) {
            Ok(config) => sources(config),
            Err(problems) => Ok(problems),
        };
        (problems, args.config.display().to_string())
    } else {
        let names: Vec<String> = args.rules.iter().map(|p| p.display().to_string()).collect();
        (Ok(config::check_rules(&args.rules, args.secrets.as_deref(), false)), names.join(", "))
    };
    let problems = match problems {
        Ok(problems) => problems,
        Err(code) => return code,
    };
    if args.json {
        for problem in &problems {
            if let Err(code) = terminal::print(&format!("{}\n", object(problem))) {
                return code;
            }
        }
    } else {
        terminal::show(&problems);
    }
    if any_error(&problems) {
        return exit::CONFIG;
    }
    if !args.json {
        let warnings = match problems.len() {
            0 => String::new(),
            1 => ", 1 remark".into(),
            n => format!(", {n} remarks"),
        };
        return terminal::print(&format!("{checked}: good{warnings}\n")).err().unwrap_or(exit::OK);
    }
    exit::OK
}

/// The warnings of a configuration, and what keeps its account sources from being built.
fn sources(config: config::Config) -> Result<Vec<Problem>, u8> {
    let runtime = terminal::runtime()?;
    let built = runtime.block_on(crate::account::build(&config.account, config.cases.clone()));
    let mut problems = config.problems;
    if let Err(lines) = built {
        let text = crate::diag::Text::new(&config.path.display().to_string(), "");
        problems.extend(lines.into_iter().map(|line| Problem::error(&text, 0..0, line)));
    }
    Ok(problems)
}

fn object(problem: &Problem) -> serde_json::Value {
    let (line, column) = problem.place();
    let related = problem.related.iter().map(|label| {
        let (line, column) = label.text.place(label.span.start);
        json!({ "file": &*label.text.file, "line": line, "column": column, "message": label.message })
    });
    json!({
        "file": &*problem.text.file,
        "line": line,
        "column": column,
        "severity": problem.severity.name(),
        "message": problem.message,
        "help": problem.help,
        "related": related.collect::<Vec<_>>(),
    })
}

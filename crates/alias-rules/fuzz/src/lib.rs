//! The fuzz targets of the rules. `tests/regressions.rs` calls them with the seeds and with the inputs that once
//! failed.
//!
//! ```sh
//! RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir crates/alias-rules/fuzz cost
//! fuzz/long 30 cost
//! ```
//!
//! The second command is that of all fuzz packages; see `fuzz/src/lib.rs`.

mod common;

use alias_rules::{Day, Decision, Dialect, Finding, Options, Query, Rules};
use common::{RULES, check_problems, secrets};
use diagnostics::{Text, any_error};
use std::sync::OnceLock;

/// A target.
pub type Target = fn(&[u8]);

/// All targets by name, which is also the name of their folders.
pub const TARGETS: [(&str, Target); 3] = [("cost", cost), ("lookup", lookup), ("rules_text", rules_text)];

/// Most names taken from one input: a look-up may be slow, and further names seldom find more.
const MAX_NAMES: usize = 8;

/// Loads any text as rules and looks up its words.
pub fn rules_text(data: &[u8]) {
    let Ok(content) = std::str::from_utf8(data) else { return };
    check_tools(&Text::new("fuzz.rules", content));
    for fold in [false, true] {
        for dialect in [Dialect::Any, Dialect::TcpTable] {
            let text = Text::new("fuzz.rules", content);
            match alias_rules::load(&[text], &Options { fold, dialect, secrets: secrets() }) {
                Ok(loaded) => {
                    assert!(!any_error(&loaded.problems));
                    check_problems(&loaded.problems);
                    for word in content.split_whitespace().take(MAX_NAMES) {
                        check_name(&loaded.rules, word);
                        let name = word.replace("%account%", "foo").replace("%date%", "2611");
                        check_name(&loaded.rules, &name.replace('%', ""));
                    }
                }
                Err(problems) => {
                    assert!(any_error(&problems), "refused without an error");
                    check_problems(&problems);
                }
            }
        }
    }
}

/// Checks that a text without errors can be formatted and imported, and that formatting it again changes nothing.
fn check_tools(text: &Text) {
    match alias_rules::format(text) {
        Ok(out) => assert_eq!(alias_rules::format(&Text::new("fuzz.rules", &out)), Ok(out)),
        Err(problems) => {
            check_problems(&problems);
            assert!(problems.iter().all(|problem| !problem.message.starts_with("this cannot be laid out")));
        }
    }
    if let Err(problems) = alias_rules::import(text) {
        check_problems(&problems);
        assert!(problems.iter().all(|problem| !problem.message.starts_with("this cannot be taken over")));
    }
}

/// Looks up the first line in the rules of the other lines: no look-up takes more steps than its limit.
pub fn cost(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (name, content) = text.split_once('\n').unwrap_or((text, ""));
    let text = Text::new("fuzz.rules", content);
    let Ok(loaded) = alias_rules::load(&[text], &Options { dialect: Dialect::Any, ..Options::default() })
    else {
        return;
    };
    let cost = loaded.rules.cost(name);
    // Parts that several statements share have a limit of their own.
    let each = name.len().div_ceil(alias_rules::ORDINARY_NAME).max(1) * 2 * loaded.rules.len();
    assert!(
        cost.steps <= cost.limit.min(each as u64 * alias_rules::MAX_STATEMENT_STEPS),
        "{cost:?} {name:?}"
    );
}

/// Looks up any name in [`RULES`].
pub fn lookup(data: &[u8]) {
    static LOADED: OnceLock<[Rules; 3]> = OnceLock::new();
    let loaded = LOADED.get_or_init(|| {
        let load = |fold| {
            let text = Text::new("fixed.rules", RULES);
            match alias_rules::load(&[text], &Options { fold, dialect: Dialect::Any, secrets: secrets() }) {
                Ok(loaded) => loaded.rules,
                // The rules are a constant of this file: an error in them is one of the harness.
                Err(problems) => panic!("{problems:#?}"),
            }
        };
        [load(false), load(true), load(true).with_debug_account(Some("debug".into()))]
    });
    let Ok(name) = std::str::from_utf8(data) else { return };
    for rules in loaded {
        check_name(rules, name);
    }
}

/// Checks that finding and explaining agree with each other and with the trace of each statement.
fn check_name(rules: &Rules, name: &str) {
    check_query(rules, name.into());
    check_query(rules, Query { name, domain: Some("d.test"), today: Day::new(2026, 11, 20) });
}

fn check_query(rules: &Rules, name: Query<'_>) {
    let decision = rules.find(name);
    let explanation = rules.explain(name);
    assert!(!explanation.to_string().is_empty());
    if matches!(decision, Decision::TempFail { .. }) {
        return;
    }
    assert_eq!(explanation.outcome, rules.find(name).into(), "{name:?}");
    let (mut matched, mut expired) = (Vec::new(), Vec::new());
    for (i, trace) in explanation.statements.iter().enumerate() {
        match &trace.finding {
            Finding::Matched { split, .. } => {
                matched.push(i);
                if let Some(split) = split {
                    assert_eq!(split.code, split.computed, "{name:?}");
                    assert!(split.values.iter().all(|value| value.right), "{name:?}");
                }
            }
            Finding::Expired { split, last, .. } => {
                expired.push(i);
                if let Some(split) = split {
                    assert_eq!((&split.code, split.last), (&split.computed, Some(*last)), "{name:?}");
                }
            }
            Finding::WrongCode(split) => {
                let wrong = split.code != split.computed || split.values.iter().any(|value| !value.right);
                assert!(wrong, "{name:?}");
            }
            // Explaining takes more steps than finding.
            Finding::TempFail => return,
            _ => (),
        }
    }
    match decision {
        Decision::NoMatch => assert!(matched.is_empty() && expired.is_empty(), "{name:?}"),
        Decision::Account { statement, .. } => assert_eq!(matched.first(), Some(&statement), "{name:?}"),
        Decision::Ambiguous { statements } => assert_eq!(matched, statements, "{name:?}"),
        Decision::Expired { statement, .. } => {
            assert!(matched.is_empty() && expired.first() == Some(&statement), "{name:?}");
        }
        Decision::TempFail { .. } => (),
    }
}

//! `rcptd explain`

mod alone;
mod trace;

use super::{args, exit, running, terminal};
use crate::account::{Lookup, Progress, Sources, Verification};
use crate::config::{self, Config};
use crate::daemon;
use crate::resolve::{self, Note, Outcome, RejectReason, Resolution, Resolver};
use crate::server::milter::session::{Action, Edit, Rcpt, Reply, Session};
use mail_address::one_line;
use serde_json::json;
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub fn run(args: &args::Explain) -> u8 {
    if !args.rules.is_empty() {
        return alone::run(args);
    }
    let config = match config::load(&args.config) {
        Ok(config) => config,
        Err(problems) => {
            terminal::show(&problems);
            return exit::CONFIG;
        }
    };
    let runtime = match terminal::runtime() {
        Ok(runtime) => runtime,
        Err(code) => return code,
    };
    let code = runtime.block_on(explain(args, &config));
    runtime.shutdown_background();
    code
}

async fn explain(args: &args::Explain, config: &Config) -> u8 {
    let sources = match daemon::accounts(config, &Arc::default(), None).await {
        Ok((sources, _)) => sources,
        Err(lines) => {
            terminal::show(&lines.iter().map(|line| config.places.error(line)).collect::<Vec<_>>());
            return exit::CONFIG;
        }
    };
    let resolver = daemon::resolver(config, sources.composed.clone(), None);
    let mut worst = exit::OK;
    for address in &args.addresses {
        let mut found = Explained::new(address, config, &resolver, &sources).await;
        found.daemon = ask_daemon(config, address).await;
        let text = if args.json { terminal::json(&found.json()) } else { found.text() };
        if let Err(code) = terminal::print(&text) {
            return code;
        }
        worst = worst.max(match found.resolution.outcome {
            Outcome::NotOurs | Outcome::Keep | Outcome::Rewrite(_) => exit::OK,
            Outcome::NoSuchUser(_) => exit::NOT_FOUND,
            Outcome::TempFail(_) => exit::TEMPORARY,
        });
    }
    worst
}

/// The explanation of one address.
struct Explained {
    address: String,
    steps: Vec<resolve::Step>,
    answers: Vec<(Verification, Duration)>,
    /// Names of the sources that were not asked, since the answer of an earlier one counts.
    unasked: Vec<String>,
    resolution: Resolution,
    /// The reply of the milter and its changes. `None` without a milter.
    milter: Option<(String, Vec<Edit>)>,
    /// The decision of the running daemon, as a word and as a text. `None` without a daemon.
    daemon: Option<(String, String)>,
}

/// Returns the decision about `address` of the daemon that runs with this configuration. It may differ from
/// that of the files: one may be incomplete, or was rejected at the last reload.
async fn ask_daemon(config: &Config, address: &str) -> Option<(String, String)> {
    let value = running::ask(config, &format!("resolve {}", json!(address))).await?;
    let text = |name: &str| value.get(name).and_then(|text| text.as_str()).map(str::to_owned);
    Some((text("outcome")?, text("text")?))
}

impl Explained {
    async fn new(address: &str, config: &Config, resolver: &Resolver, sources: &Sources) -> Self {
        // Uses the session code of the daemon, so that the results cannot differ.
        let mut session = Session::new(Arc::new(daemon::policy(config)));
        let rcpt = Rcpt { argument: address.as_bytes(), ..Rcpt::default() };
        let none: [&[u8]; 0] = [];
        let mut steps = Vec::new();
        let (resolution, say) = match session.recipient(rcpt, &none) {
            Action::Resolve(question) => {
                let (resolution, looked_at) = resolver.explain(&question).await;
                steps = looked_at;
                let say = session.resolved(&resolution.outcome, resolution.mailbox.clone());
                (resolution, say)
            }
            Action::Reply(say, doubt) => (Resolution::bare(Outcome::TempFail(doubt)), say),
        };
        let reply = match say {
            Reply::Continue => "250 2.1.5 (no objection)".to_owned(),
            Reply::Error(reply) => reply.to_string(),
        };
        let (mut answers, mut unasked) = (Vec::new(), Vec::new());
        if let Some(account) = &resolution.account {
            let mut progress = Progress::new(config.account.combine);
            for (settings, member) in config.account.sources.iter().zip(&sources.members) {
                if !member.is_for(account) {
                    continue;
                }
                if progress.is_over() {
                    unasked.push(settings.spec.name().to_string());
                    continue;
                }
                let began = Instant::now();
                let answer = member.source.look_up(account).await;
                progress.add(&answer, member);
                answers.push((answer, began.elapsed()));
            }
        }
        let milter = (!config.milter.listen.is_empty()).then(|| (reply, session.end_of_message().edits));
        Explained { address: address.into(), steps, answers, unasked, resolution, milter, daemon: None }
    }

    fn outcome(&self) -> String {
        daemon::outcome_text(&self.resolution)
    }

    fn text(&self) -> String {
        let mut out = String::new();
        let mut part = |name: &str, text: &str| {
            for (i, line) in text.trim_end().lines().enumerate() {
                // Writing to a String cannot fail.
                let _ = writeln!(out, "  {:9} {}", if i == 0 { name } else { "" }, one_line(line));
            }
        };
        for (i, step) in self.steps.iter().enumerate() {
            if i > 0 {
                part("goes on", &format!("to {}", step.address));
            }
            for note in &step.notes {
                match note {
                    Note::Script(called) => part("script", &called.to_string()),
                    Note::Rules(rules) => part("rules", &rules.to_string()),
                }
            }
        }
        for name in &self.resolution.absent {
            part("account", &format!("{name} does not exist; it is looked up without the extension"));
        }
        if let Some(account) = &self.resolution.account {
            part("account", &account.to_string());
        }
        for (answer, took) in &self.answers {
            part("", &format!("{} ({} ms)", told(&answer.source, &verdict(answer).1), took.as_millis()));
        }
        for name in &self.unasked {
            part("", &format!("{name} is not asked: the answer above counts (see account.combine)"));
        }
        part("outcome", &self.outcome());
        if let Some((word, text)) = &self.daemon {
            let same = *word == daemon::outcome_word(&self.resolution) && *text == self.outcome();
            part("daemon", if same { "the same" } else { text });
        }
        if let Some((reply, edits)) = &self.milter {
            part("milter", &format!("RCPT   {reply}"));
            for edit in edits {
                part("", &format!("end    {edit}"));
            }
        }
        format!("{}\n{out}", one_line(&self.address))
    }

    fn json(&self) -> serde_json::Value {
        let answers = self.answers.iter().map(|(answer, took)| {
            let (word, text) = verdict(answer);
            let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            let mut object = json!({ "source": &*answer.source, "verdict": word, "text": text, "ms": ms });
            // Only if the source quotes a reply.
            if let Some(detail) = answer.detail.as_deref() {
                object["detail"] = detail.into();
            }
            object
        });
        let outcome = daemon::outcome_word(&self.resolution);
        let (mut rules, mut statements, mut hooks) = (Vec::new(), Vec::new(), Vec::new());
        for note in self.steps.iter().flat_map(|step| &step.notes) {
            match note {
                Note::Script(called) => hooks.push(called.to_string()),
                Note::Rules(explanation) => {
                    rules.push(explanation.to_string());
                    statements.extend(trace::statements(explanation));
                }
            }
        }
        let statements = (!rules.is_empty()).then_some(statements);
        let mut object = json!({
            "address": self.address,
            "mailbox": self.resolution.mailbox.as_ref().map(ToString::to_string),
            "rules": (!rules.is_empty()).then(|| rules.join("\n")),
            "statements": statements,
            "account": self.resolution.account.as_ref().map(ToString::to_string),
            "answers": answers.collect::<Vec<_>>(),
            "outcome": outcome,
            "text": self.outcome(),
            "reply": self.milter.as_ref().map(|(reply, _)| reply),
            "edits": self.milter.iter().flat_map(|(_, edits)| edits).map(ToString::to_string).collect::<Vec<_>>(),
        });
        // Only if there are further addresses.
        if let [_, on @ ..] = &self.steps[..]
            && !on.is_empty()
        {
            object["goes_on"] = on.iter().map(|step| step.address.to_string()).collect();
        }
        if !self.resolution.absent.is_empty() {
            object["absent"] = self.resolution.absent.iter().map(ToString::to_string).collect();
        }
        if let Some((word, text)) = &self.daemon {
            object["daemon"] = json!({ "outcome": word, "text": text });
        }
        if !hooks.is_empty() {
            object["hooks"] = hooks.into();
        }
        if let Outcome::NoSuchUser(RejectReason::Expired(last)) = &self.resolution.outcome {
            object["expired"] = last.to_string().into();
        }
        object
    }
}

/// The name of a source and its result, without a second colon after `passwd:`, and without the address of the
/// server in the result if the name has it.
fn told(source: &str, result: &str) -> String {
    const FAILED: &str = "temporary failure: ";
    let label = terminal::label(source);
    let address = source.split_once(':').map(|(_, address)| address).filter(|address| !address.is_empty());
    let why =
        address.and_then(|address| result.strip_prefix(FAILED)?.strip_prefix(address)?.strip_prefix(": "));
    why.map_or_else(|| format!("{label} {result}"), |why| format!("{label} {FAILED}{why}"))
}

/// The result of a source: the word for programs, and the text for operators with the quoted reply.
fn verdict(answer: &Verification) -> (&'static str, String) {
    let detail = answer.detail.as_deref().map(|detail| format!(": {}", one_line(detail))).unwrap_or_default();
    match &answer.result {
        Lookup::Found(()) => ("exists", format!("exists{detail}")),
        Lookup::NotFound => ("not_found", format!("not found{detail}")),
        Lookup::TempFail(why) => {
            let policy =
                if why.is_accepting() { "; accepted nevertheless, by account.on_tempfail" } else { "" };
            ("tempfail", format!("temporary failure: {}{detail}{policy}", one_line(why.as_str())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_name_the_source_once() {
        for (source, result, want) in [
            ("passwd:", "exists", "passwd: exists"),
            ("file:/a", "not found", "file:/a: not found"),
            ("vrfy:a:25", "temporary failure: a:25: refused", "vrfy:a:25: temporary failure: refused"),
            ("vrfy:a:25", "temporary failure: b:25: refused", "vrfy:a:25: temporary failure: b:25: refused"),
            ("fail:", "temporary failure: : x", "fail: temporary failure: : x"),
            ("make", "exists", "make: exists"),
        ] {
            assert_eq!(told(source, result), want);
        }
    }
}

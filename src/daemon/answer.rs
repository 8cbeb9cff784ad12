//! The decision of the running daemon about a recipient, for `rcptd explain`.
//!
//! It may differ from the configuration files: a file may be incomplete, or the last reload failed, so that
//! the daemon uses older contents.

use crate::resolve::{DeferReason, Outcome, Resolution};
use crate::server::milter::adapter::Milter;
use crate::server::milter::session::{Action, Rcpt, Session};
use mail_address::one_line;
use serde_json::json;
use tokio::time::timeout;

/// Returns the current outcome of the milter for a recipient, as a line of JSON. Nothing is logged or
/// counted.
pub(super) async fn decide(milter: &Milter, address: &str) -> String {
    let service = milter.service();
    let mut session = Session::new(service.policy.clone());
    let rcpt = Rcpt { argument: address.as_bytes(), ..Rcpt::default() };
    let none: [&[u8]; 0] = [];
    let resolution = match session.recipient(rcpt, &none) {
        Action::Resolve(question) => timeout(service.deadline, service.resolver.resolve(&question))
            .await
            .unwrap_or_else(|_| Resolution::bare(Outcome::TempFail(DeferReason::Deadline))),
        Action::Reply(_, doubt) => Resolution::bare(Outcome::TempFail(doubt)),
    };
    json!({ "outcome": outcome_word(&resolution), "text": outcome_text(&resolution) }).to_string()
}

/// The outcome as a word, for JSON.
pub fn outcome_word(resolution: &Resolution) -> &'static str {
    match resolution.outcome {
        Outcome::NotOurs => "not_ours",
        Outcome::Keep => "keep",
        Outcome::Rewrite(_) => "rewrite",
        Outcome::NoSuchUser(_) => "no_such_user",
        Outcome::TempFail(_) => "tempfail",
    }
}

/// The outcome as a sentence fragment in one line.
pub fn outcome_text(resolution: &Resolution) -> String {
    let why = || resolution.why().unwrap_or_default();
    match &resolution.outcome {
        Outcome::NotOurs => "not in one of our domains; left alone".into(),
        Outcome::Keep => "the name of an account; kept".into(),
        Outcome::Rewrite(to) => format!("replaced by {to}"),
        Outcome::NoSuchUser(_) => format!("rejected: {}", one_line(&why())),
        Outcome::TempFail(_) => format!("deferred: {}", one_line(&why())),
    }
}

//! One milter session as a state machine, without I/O, clock or milter library.
//!
//! Inputs are the events of the protocol in any order. [`Session::recipient`] returns a recipient to
//! resolve, [`Session::resolved`] takes the outcome and returns the reply, and [`Session::end_of_message`]
//! returns the edits. The state belongs to one message: MAIL, the end of a message and ABORT all reset it,
//! since Postfix and Sendmail differ in which of them they send.

use super::dsn::Parameters;
use super::edits::{self, Accepted};
use super::reply::SmtpReply;
use crate::resolve::{DeferReason, Outcome, Question};
use mail_address::{Address, CaseSensitivity};
use std::sync::Arc;

pub use super::edits::Edit;

/// Settings of sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Reply for a recipient that does not exist.
    pub reject_reply: SmtpReply,
    /// Reply when verification fails temporarily.
    pub defer_reply: SmtpReply,
    /// Most recipients of one message; further ones are deferred. Limits the memory of a session.
    pub max_recipients: usize,
    /// Name of the header that records the alias.
    pub header: Option<String>,
    /// Whether local parts that differ by case only are different.
    pub case_sensitive: CaseSensitivity,
    /// Decide and log, but change nothing.
    pub dry_run: bool,
    /// Domain that the mail server adds to a recipient without one.
    pub origin: String,
}

/// Longest accepted argument of RCPT, in octets: more than a command line may have (RFC 5321, section
/// 4.5.3.1.4: 512; Postfix: 2048). Limits the memory of a session, since a frame may have a megabyte.
pub const MAX_ARGUMENT: usize = 4096;

/// Most header fields with our header's name that are removed from a message: more than any chain of
/// servers adds. Postfix reads the header again for each, and a sender may write a million.
pub const MAX_HEADERS: usize = 100;

/// How the message is submitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SubmissionPath {
    /// By SMTP; recipients may be rejected.
    #[default]
    Smtp,
    /// By sendmail(1), through Postfix' `non_smtpd_milters`. A milter cannot reject or defer a recipient
    /// there, so a temporary failure defers the whole message at its end: it stays in the maildrop queue,
    /// and Postfix tries again. Unknown recipients are left to Postfix, which sends a report to the sender.
    Local,
}

/// The arguments of one RCPT event.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rcpt<'a> {
    /// The recipient as typed.
    pub argument: &'a [u8],
    /// `{rcpt_addr}`: the address as the server reads it.
    pub mta_route: Option<&'a [u8]>,
    /// How it was submitted.
    pub origin: SubmissionPath,
}

/// The next action after a RCPT event.
#[derive(Clone, Debug)]
#[must_use]
pub enum Action {
    /// Resolve it, then call [`Session::resolved`].
    Resolve(Question),
    /// Reply at once; the reason is for the log.
    Reply(Reply, DeferReason),
}

/// The reply to a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Reply {
    /// No objection.
    Continue,
    /// Reject or defer with this reply.
    Error(SmtpReply),
}

/// The decision about a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct End {
    /// The edits of the message.
    pub edits: Vec<Edit>,
    /// Why the message is deferred, if it is; then it has no edits.
    pub deferred: Option<DeferReason>,
    /// The number of known recipients.
    pub recipients: usize,
    /// The replaced recipients with their replacements; in a dry run, those that would be replaced.
    pub replaced: Vec<(Address, Address)>,
}

/// The state of one session.
#[derive(Debug)]
pub struct Session {
    policy: Arc<Policy>,
    pending: Option<(Question, Parameters, SubmissionPath)>,
    accepted: Vec<Accepted>,
    /// The first temporary failure of a recipient that could not be deferred alone.
    deferred: Option<DeferReason>,
    /// Number of incoming header fields with our header's name.
    headers: usize,
    /// The last `{rcpt_addr}` of the server.
    mta_route: Option<Box<[u8]>>,
}

impl Session {
    /// Creates a session with this policy.
    pub fn new(policy: Arc<Policy>) -> Self {
        Session { policy, pending: None, accepted: Vec::new(), deferred: None, headers: 0, mta_route: None }
    }

    /// MAIL: a new message begins, and the previous one is dropped.
    pub fn mail(&mut self) {
        self.reset();
    }

    /// ABORT, or the connection is closing: drops the current message.
    pub fn abort(&mut self) {
        self.reset();
    }

    fn reset(&mut self) {
        self.pending = None;
        // Free the memory: a message with a thousand recipients must not burden the rest of a long session.
        self.accepted = Vec::new();
        self.deferred = None;
        self.headers = 0;
        self.mta_route = None;
    }

    /// Whether the current message has a recipient.
    pub fn is_busy(&self) -> bool {
        self.pending.is_some() || !self.accepted.is_empty()
    }

    /// Handles RCPT with its ESMTP parameters.
    pub fn recipient<A: AsRef<[u8]>>(&mut self, rcpt: Rcpt<'_>, parameters: &[A]) -> Action {
        self.pending = None;
        if self.accepted.len() >= self.policy.max_recipients {
            return Action::Reply(
                self.defer(DeferReason::TooMany, rcpt.origin, SmtpReply::too_many()),
                DeferReason::TooMany,
            );
        }
        if rcpt.argument.len() > MAX_ARGUMENT {
            let later = self.policy.defer_reply.clone();
            return Action::Reply(
                self.defer(DeferReason::Argument, rcpt.origin, later),
                DeferReason::Argument,
            );
        }
        let recipient = Address::from_rcpt(rcpt.argument);
        // Only the server knows where a route leads, and this server does not report it.
        let is_unreported = rcpt.mta_route.is_none() && recipient.may_be_rerouted();
        let recipient = if is_unreported { recipient.uncertain() } else { recipient };
        // Macros remain set until the server sends others. If they are the same as for the previous
        // recipient, they may not belong to this one, and count only if they agree with the argument.
        let is_new = self.mta_route.as_deref() != rcpt.mta_route;
        self.mta_route = rcpt.mta_route.map(Into::into);
        let mta_route = rcpt.mta_route.map(Address::from_server);
        let mta_route = mta_route.map(|server| {
            if is_new || recipient.may_be_read_as(&server) { server } else { server.uncertain() }
        });
        let question = Question { recipient, mta_route };
        self.pending = Some((question.clone(), Parameters::parse(parameters), rcpt.origin));
        Action::Resolve(question)
    }

    /// Defers a recipient, or the message if a recipient cannot be deferred alone.
    fn defer(&mut self, doubt: DeferReason, origin: SubmissionPath, reply: SmtpReply) -> Reply {
        match origin {
            _ if self.policy.dry_run => Reply::Continue,
            SubmissionPath::Local => {
                self.deferred.get_or_insert(doubt);
                Reply::Continue
            }
            SubmissionPath::Smtp => Reply::Error(reply),
        }
    }

    /// Takes the outcome of the last recipient and returns the reply. `mailbox` is its mailbox in our
    /// domains, if any; without one the reply is to continue.
    pub fn resolved(&mut self, outcome: &Outcome, mailbox: Option<Address>) -> Reply {
        let Some((question, parameters, origin)) = self.pending.take() else { return Reply::Continue };
        let reply = match outcome {
            Outcome::TempFail(DeferReason::Guessing) => {
                self.defer(DeferReason::Guessing, origin, SmtpReply::too_many_unknown())
            }
            Outcome::TempFail(doubt) => self.defer(doubt.clone(), origin, self.policy.defer_reply.clone()),
            Outcome::NoSuchUser(_) if origin == SubmissionPath::Smtp && !self.policy.dry_run => {
                Reply::Error(self.policy.reject_reply.clone())
            }
            Outcome::NoSuchUser(_) | Outcome::NotOurs | Outcome::Keep | Outcome::Rewrite(_) => {
                Reply::Continue
            }
        };
        if reply == Reply::Continue {
            let target = match outcome {
                Outcome::Rewrite(target) => Some(target.clone()),
                _ => None,
            };
            let typed = question.recipient.clone();
            let recipient = mailbox.unwrap_or(question.recipient);
            self.accepted.push(Accepted { recipient, typed, target, parameters, origin });
        }
        reply
    }

    /// Handles a header field of the message: counts incoming fields with the name of our header.
    pub fn header(&mut self, name: &[u8]) {
        let ours = self.policy.header.as_ref();
        if ours.is_some_and(|ours| ours.as_bytes().eq_ignore_ascii_case(name)) {
            self.headers = self.headers.saturating_add(1);
        }
    }

    /// Handles the end of the message and returns the decision about it.
    pub fn end_of_message(&mut self) -> End {
        let accepted = std::mem::take(&mut self.accepted);
        let headers = std::mem::take(&mut self.headers);
        let mut deferred = self.deferred.take();
        self.pending = None;
        self.mta_route = None;
        let mut edits = Vec::new();
        if !self.policy.dry_run {
            if headers > MAX_HEADERS {
                deferred.get_or_insert(DeferReason::Headers);
            }
            if deferred.is_none() {
                edits = edits::plan(&self.policy, &accepted, headers);
            }
        }
        let recipients = accepted.len();
        let replaced = accepted.into_iter().filter_map(|one| Some((one.recipient, one.target?))).collect();
        End { edits, deferred, recipients, replaced }
    }
}

#[cfg(test)]
mod tests;

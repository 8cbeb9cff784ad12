//! The decision about a request: the recipient, then greylisting.

use super::request::{Request, State, spelled};
use crate::greylist::Facts;
use crate::greylist::decide::{PassReason, Verdict};
use crate::greylist::service::Greylist;
use crate::greylist::text::{Name, Template, write_date};
use crate::resolve::{Outcome, Question, Resolution, Resolver, RuleTrace};
use crate::server::milter::reply::SmtpReply;
use mail_address::Address;
use std::fmt::Write;
use std::sync::Arc;

/// Which mail a listener is asked about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// Mail from other servers.
    #[default]
    Mx,
    /// Mail of our users: it is not greylisted, and shows with whom they correspond.
    Submission,
}

/// What becomes of a request.
#[derive(Clone, Debug)]
pub enum Decided {
    /// There is nothing to decide, for the reason given.
    LeftAlone(&'static str),
    /// One of our accounts writes to an address outside, which is stored.
    Learned,
    /// The recipient does not exist.
    Rejected {
        /// The reason.
        why: String,
        /// Whether this is a dry run.
        only_logged: bool,
    },
    /// There is no decision, for the reason given.
    Trouble(String),
    /// Greylisting has decided.
    Greylisted {
        /// The verdict.
        verdict: Verdict,
        /// The recipient.
        recipient: Address,
        /// Whether this is a dry run.
        only_logged: bool,
    },
}

/// The texts of replies.
#[derive(Clone, Debug)]
pub struct Replies {
    /// The reply to a recipient that does not exist.
    pub reject: Box<str>,
    /// The action for a client that has to wait, such as `DEFER_IF_PERMIT`.
    pub action: Box<str>,
    /// The text that follows the action.
    pub text: Template,
    /// The header of a message that was delayed, if it gets one.
    pub header: Option<Template>,
    /// The name of this host.
    pub hostname: Box<str>,
    /// The delay that is configured, in seconds.
    pub delay: u64,
}

/// What decides; a reload replaces it.
#[derive(Debug)]
pub struct Deciding {
    /// Resolves recipients.
    pub resolver: Arc<Resolver>,
    /// Whether everything is only logged.
    pub dry_run: bool,
    /// Greylisting, if it is enabled.
    pub greylist: Option<Arc<Greylist>>,
    /// The texts of replies.
    pub replies: Replies,
}

/// What Postfix writes before the text of a reply to a recipient. It is not repeated.
const PREFIX: &str = "Recipient address rejected: ";

impl Replies {
    /// The reject reply of the milter as an action of access(5).
    pub fn reject(reply: &SmtpReply) -> Box<str> {
        let text = reply.text();
        let text = text.strip_prefix(PREFIX).filter(|rest| !rest.is_empty()).unwrap_or(text);
        format!("{} {} {text}", reply.code(), reply.enhanced()).into()
    }

    /// The action for a client that has to wait for this number of seconds.
    pub(super) fn wait(&self, wait: u64, recipient: &Address) -> String {
        let text = self.text.fill(|name, out| match name {
            Name::Wait => write!(out, "{wait}"),
            Name::Delay => write!(out, "{}", self.delay),
            other => self.common(other, recipient, out),
        });
        format!("{} {text}", self.action)
    }

    /// The header of a message that was delayed by this number of seconds.
    pub(super) fn header(&self, delayed: u64, recipient: &Address, now: u64) -> Option<String> {
        Some(self.header.as_ref()?.fill(|name, out| match name {
            Name::Wait => write!(out, "0"),
            Name::Delay => write!(out, "{delayed}"),
            Name::Date => write_date(now, out),
            other => self.common(other, recipient, out),
        }))
    }

    fn common(&self, name: Name, recipient: &Address, out: &mut String) -> std::fmt::Result {
        match name {
            Name::Hostname => write!(out, "{}", self.hostname),
            Name::Recipient => write!(out, "{recipient}"),
            Name::Wait | Name::Delay | Name::Date => Ok(()),
        }
    }
}

impl Deciding {
    /// Decides about a request at the time `now`, in seconds since 1970.
    pub(super) async fn decide(&self, request: &Request<'_>, purpose: Purpose, now: u64) -> Decided {
        let Some(recipient) = request.recipient().filter(|_| request.state != State::Other) else {
            return Decided::LeftAlone("the request has no recipient");
        };
        let question = Question { recipient: recipient.clone(), mta_route: None };
        let resolution = self.resolver.resolve(&question).await;
        let is_ours = match &resolution.outcome {
            Outcome::NoSuchUser(_) => {
                let why = resolution.why().unwrap_or_default();
                return Decided::Rejected { why, only_logged: self.dry_run };
            }
            Outcome::TempFail(_) => return Decided::Trouble(resolution.why().unwrap_or_default()),
            Outcome::NotOurs => false,
            Outcome::Keep | Outcome::Rewrite(_) => true,
        };
        if request.state == State::Verify {
            return Decided::LeftAlone("no mail follows VRFY");
        }
        let Some(greylist) = &self.greylist else { return Decided::LeftAlone("greylisting is off") };
        if purpose == Purpose::Submission || !request.login.is_empty() {
            return if is_ours {
                Decided::LeftAlone("mail of our users")
            } else {
                self.learn(request, &recipient, greylist, now).await
            };
        }
        self.greylist(request, greylist, recipient, &resolution, now).await
    }

    async fn greylist(
        &self,
        request: &Request<'_>,
        greylist: &Greylist,
        recipient: Address,
        resolution: &Resolution,
        now: u64,
    ) -> Decided {
        let Some(client) = request.client else { return Decided::LeftAlone("the client has no address") };
        let (client_name, reverse_name) = (spelled(request.client_name), spelled(request.reverse_name));
        let sender = request.sender();
        let facts = Facts {
            client,
            client_name: client_name.as_deref(),
            reverse_name: reverse_name.as_deref(),
            helo: request.helo,
            sender: sender.as_ref(),
            // All names of an account are one recipient.
            recipient: resolution.account.as_ref().unwrap_or(&recipient),
            spf: None,
        };
        let verdict = greylist.verdict(facts, is_alias(resolution), now).await;
        if verdict == Verdict::Pass(PassReason::NotGreylisted) && resolution.outcome == Outcome::NotOurs {
            return Decided::LeftAlone("not in one of our domains");
        }
        let only_logged = self.dry_run || greylist.is_dry_run(&recipient);
        Decided::Greylisted { verdict, recipient, only_logged }
    }

    /// One of our users writes to an address outside.
    async fn learn(&self, request: &Request<'_>, to: &Address, greylist: &Greylist, now: u64) -> Decided {
        const ALONE: Decided = Decided::LeftAlone("mail of our users");
        if !greylist.settings().correspondents || to.domain().is_none() {
            return ALONE;
        }
        let Some(sender) = request.sender() else { return ALONE };
        let owner = self.resolver.resolve(&Question { recipient: sender, mta_route: None }).await;
        let (Outcome::Keep | Outcome::Rewrite(_), Some(account)) = (owner.outcome, owner.account) else {
            return ALONE;
        };
        if greylist.learn(to, &account, now).await { Decided::Learned } else { ALONE }
    }
}

/// Whether the recipient is an alias that a rule computed. A spelling that is normalised to an account is none.
fn is_alias(resolution: &Resolution) -> bool {
    matches!(resolution.outcome, Outcome::Rewrite(_))
        && matches!(
            resolution.rule,
            RuleTrace::Matched(_) | RuleTrace::MatchedTwice(_) | RuleTrace::DebugAccount(_)
        )
}

//! One milter session as a state machine: no I/O, no clock, nothing of the library that speaks the wire.
//!
//! Inputs are the events of the protocol in whatever order a peer sends them; [`Session::recipient`] asks
//! for a recipient to be resolved, [`Session::resolved`] takes the outcome and says what to reply, and
//! [`Session::end_of_message`] hands out the edits. What the state holds is one message's: MAIL, the end of
//! a message and ABORT all reset it, since Postfix and Sendmail differ in which of them they send.

use super::dsn::Parameters;
use super::reply::Reply;
use crate::addr::{Address, Cases, escape, fold};
use crate::resolve::{Doubt, Outcome, Question};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

/// What the operator chose for sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Said to a recipient that does not exist.
    pub unknown: Reply,
    /// Said to a recipient of whom nobody can tell now.
    pub later: Reply,
    /// Most recipients of one message that are looked at; the rest are deferred. Bounds what a session holds.
    pub max_recipients: usize,
    /// Name of the header that records the alias.
    pub header: Option<String>,
    /// Whether local parts that differ by case only are different.
    pub case_sensitive: Cases,
    /// Decide and log, but touch nothing.
    pub observe: bool,
    /// The domain a mail server adds to a recipient that comes without one.
    pub origin: String,
}

/// Longest argument of RCPT that is looked at, in octets: more than a command line may have (RFC 5321, section
/// 4.5.3.1.4: 512; Postfix: 2048). Bounds what a session holds, since a frame may have a megabyte.
pub const MAX_ARGUMENT: usize = 4096;

/// How the message is being submitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// By SMTP; recipients may be refused.
    #[default]
    Smtp,
    /// By sendmail(1), through Postfix' `non_smtpd_milters`: a recipient that is refused or deferred keeps
    /// the whole message in the maildrop queue for ever, so none is.
    Local,
}

/// The arguments of one RCPT event.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rcpt<'a> {
    /// The recipient as typed.
    pub argument: &'a [u8],
    /// `{rcpt_addr}`: where the server itself would take it.
    pub routed: Option<&'a [u8]>,
    /// How it was submitted.
    pub origin: Origin,
}

/// What is to be done about a RCPT event.
#[derive(Clone, Debug)]
#[must_use]
pub enum Step {
    /// Find out, then call [`Session::resolved`].
    Resolve(Question),
    /// Reply at once; the doubt is for the log.
    Reply(Say, Doubt),
}

/// The reply to a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Say {
    /// No objection.
    Continue,
    /// Refused or deferred with this text.
    Error(Reply),
}

/// One change of the message, to be applied in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Take out a recipient, named by exactly these bytes.
    Delete(Arc<[u8]>),
    /// Put in a recipient, a path in angle brackets, with its ESMTP parameters.
    Add {
        /// The path.
        path: String,
        /// `NOTIFY=… ORCPT=…`, for servers that take them.
        parameters: String,
    },
    /// Set the first header of this name.
    Header {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
}

/// As `explain` shows it: `delete <alias>`, `add <account> NOTIFY=…`.
impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Edit::Delete(raw) => write!(f, "delete {}", escape(raw)),
            Edit::Add { path, parameters } => write!(f, "add {} {parameters}", escape(path)),
            Edit::Header { name, value } => write!(f, "header {name}: {}", escape(value)),
        }
    }
}

/// A recipient that was let in.
#[derive(Debug)]
struct Accepted {
    recipient: Address,
    raw: Arc<[u8]>,
    target: Option<Address>,
    parameters: Parameters,
    origin: Origin,
}

/// The state of one session.
#[derive(Debug)]
pub struct Session {
    policy: Arc<Policy>,
    pending: Option<(Question, Parameters, Origin)>,
    accepted: Vec<Accepted>,
}

impl Session {
    /// A session under `policy`, for as long as it lasts.
    pub fn new(policy: Arc<Policy>) -> Self {
        Session { policy, pending: None, accepted: Vec::new() }
    }

    /// MAIL: a message begins, whatever became of the one before.
    pub fn mail(&mut self) {
        self.reset();
    }

    /// ABORT, or the connection is closing.
    pub fn abort(&mut self) {
        self.reset();
    }

    fn reset(&mut self) {
        self.pending = None;
        // A message of a thousand recipients must not cost the rest of a long session.
        self.accepted = Vec::new();
    }

    /// Whether a message is under way that has a recipient.
    pub fn is_busy(&self) -> bool {
        self.pending.is_some() || !self.accepted.is_empty()
    }

    /// RCPT, with its ESMTP parameters.
    pub fn recipient<A: AsRef<[u8]>>(&mut self, rcpt: Rcpt<'_>, parameters: &[A]) -> Step {
        self.pending = None;
        let spared = self.policy.observe || rcpt.origin == Origin::Local;
        let defer = |reply: Reply| if spared { Say::Continue } else { Say::Error(reply) };
        if self.accepted.len() >= self.policy.max_recipients {
            return Step::Reply(defer(Reply::too_many()), Doubt::TooMany);
        }
        if rcpt.argument.len() > MAX_ARGUMENT {
            return Step::Reply(defer(self.policy.later.clone()), Doubt::Argument);
        }
        let question = Question {
            recipient: Address::from_rcpt(rcpt.argument),
            routed: rcpt.routed.map(Address::from_rcpt),
        };
        self.pending = Some((question.clone(), Parameters::parse(parameters), rcpt.origin));
        Step::Resolve(question)
    }

    /// The outcome for the recipient asked last; `mailbox` is the mailbox it stands for, where that is ours.
    /// Without such a recipient there is nothing to say.
    pub fn resolved(&mut self, outcome: &Outcome, mailbox: Option<Address>) -> Say {
        let Some((question, parameters, origin)) = self.pending.take() else { return Say::Continue };
        if self.policy.observe {
            return Say::Continue;
        }
        let target = match (outcome, origin) {
            (Outcome::Rewrite(target), _) => Some(target.clone()),
            (Outcome::NotOurs | Outcome::Keep, _)
            | (Outcome::NoSuchUser(_) | Outcome::TryLater(_), Origin::Local) => None,
            (Outcome::NoSuchUser(_), Origin::Smtp) => return Say::Error(self.policy.unknown.clone()),
            (Outcome::TryLater(_), Origin::Smtp) => return Say::Error(self.policy.later.clone()),
        };
        let raw = question.recipient.shared_raw();
        let recipient = mailbox.unwrap_or(question.recipient);
        self.accepted.push(Accepted { recipient, raw, target, parameters, origin });
        Say::Continue
    }

    /// The message is complete: what is to be changed, deletions first. Postfix undoes an addition by a later
    /// deletion of the same address, and delivers twice to an address that is added while it is there.
    pub fn end_of_message(&mut self) -> Vec<Edit> {
        let accepted = std::mem::take(&mut self.accepted);
        self.pending = None;
        if accepted.iter().all(|a| a.target.is_none()) {
            return Vec::new();
        }
        let local = accepted.iter().any(|a| a.origin == Origin::Local);
        let staying = accepted.iter().filter(|a| local && a.target.is_none());
        let staying: HashSet<Cow<'_, str>> = staying.map(|a| fold(a.recipient.local())).collect();
        let key = |address: &Address| address.key(self.policy.case_sensitive.of(address));
        let mut edits = Vec::with_capacity(2 * accepted.len() + 1);
        let mut deleted: HashSet<Arc<[u8]>> = HashSet::new();
        // Those that stay, then those that were added: none of them is added again.
        let mut present: HashMap<String, Option<usize>> = HashMap::new();
        for one in &accepted {
            if one.target.is_none() {
                present.insert(key(&one.recipient), None);
                continue;
            }
            for raw in self.names(one, &staying) {
                if deleted.insert(raw.clone()) {
                    edits.push(Edit::Delete(raw));
                }
            }
        }
        let mut additions: Vec<(&Address, &Address, Parameters)> = Vec::new();
        for one in &accepted {
            let Some(target) = &one.target else { continue };
            match present.get(&key(target)) {
                Some(None) => (),
                Some(Some(i)) => {
                    if let Some((_, _, parameters)) = additions.get_mut(*i) {
                        parameters.merge(&one.parameters);
                    }
                }
                None => {
                    present.insert(key(target), Some(additions.len()));
                    additions.push((target, &one.recipient, one.parameters.clone()));
                }
            }
        }
        edits.extend(additions.into_iter().map(|(target, alias, parameters)| Edit::Add {
            path: target.path(),
            parameters: parameters.for_alias(alias),
        }));
        edits.extend(self.header(&accepted));
        edits
    }

    /// The names under which the server may know a recipient: what it was given first of all, to the octet.
    /// Postfix forgets the source route, though, and then does not know the recipient by it. sendmail(1)
    /// shows a milter `user@origin` for what was typed as `user`, yet deletes only by what was typed; a
    /// deletion of what is not there is ignored. `staying` are the folded local parts of those who stay:
    /// somebody who could be meant by the bare name must not go with it.
    fn names(&self, one: &Accepted, staying: &HashSet<Cow<'_, str>>) -> Vec<Arc<[u8]>> {
        let local = one.recipient.local();
        let at_origin = one.recipient.domain() == Some(&*self.policy.origin);
        let mut names = vec![one.raw.clone()];
        let without_route = one.recipient.raw_without_route();
        if *without_route != *one.raw {
            names.push(without_route.into());
        }
        if one.origin == Origin::Local && at_origin && !staying.contains(&fold(local)) {
            names.push(local.as_bytes().into());
        }
        names
    }

    /// The alias, for the recipient's own filters: the server's trace of it (X-Original-To) is lost by the
    /// replacement. Only for a message to one recipient; else it would tell one of the others.
    fn header(&self, accepted: &[Accepted]) -> Option<Edit> {
        let (name, [only]) = (self.policy.header.as_ref()?, accepted) else { return None };
        let value = only.recipient.to_string();
        // A header takes UTF-8 only in messages that were announced to hold it, and a control would end it.
        let plain = value.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
        (only.target.is_some() && plain).then(|| Edit::Header { name: name.clone(), value })
    }
}

#[cfg(test)]
mod tests;

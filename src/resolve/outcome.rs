//! The outcome for a recipient, and its reasons.

use crate::account::{Reason, Verification};
use alias_rules::Day;
use mail_address::{Address, Malformed};
use std::fmt;

/// What to do with a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Not in one of our domains: let it pass.
    NotOurs,
    /// An account by its own name: leave it as it is.
    Keep,
    /// An alias of this account.
    Rewrite(Address),
    /// It certainly does not exist: refuse it permanently.
    NoSuchUser(RejectReason),
    /// Temporary failure: defer it.
    TempFail(DeferReason),
}

/// Why there is no such user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RejectReason {
    /// The account source replied "not found".
    NotFound,
    /// Such an address cannot name a mailbox.
    Malformed(Malformed),
    /// It was an alias until the end of this day.
    Expired(Day),
}

/// Why a recipient is deferred.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeferReason {
    /// No account source gave a definite answer.
    Account(Reason),
    /// The rule engine ran out of its budget for this statement.
    Rules(usize),
    /// A rule names an account that no address can have.
    Target(Malformed),
    /// A rule sends the mail to an invalid address; the reason in words.
    Destination(Box<str>),
    /// The rules form a loop, or too many steps; the addresses in order.
    Loop(Box<[Address]>),
    /// The script failed, or returned an invalid result; in words.
    Script(Box<str>),
    /// The deadline passed first.
    Deadline,
    /// The message has too many recipients.
    TooMany,
    /// The argument of RCPT is longer than any address.
    Argument,
    /// Mail servers read the spelling differently, and this one does not report how it does.
    Spelling,
    /// The mail server does not let a recipient be replaced.
    Server,
    /// The message has too many header fields with our name to remove.
    Headers,
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RejectReason::NotFound => f.write_str("no such account"),
            RejectReason::Malformed(why) => why.fmt(f),
            RejectReason::Expired(last) => write!(f, "the alias has expired, its last day was {last}"),
        }
    }
}

impl fmt::Display for DeferReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeferReason::Account(reason) => reason.fmt(f),
            DeferReason::Rules(_) => f.write_str("the rules need too many steps for this address"),
            DeferReason::Target(why) => write!(f, "the account named by the rule: {why}"),
            DeferReason::Destination(why) | DeferReason::Script(why) => f.write_str(why),
            DeferReason::Loop(met) => {
                f.write_str("redirects in a loop, or too many of them:")?;
                met.iter().try_for_each(|address| write!(f, " <{address}>"))
            }
            DeferReason::Deadline => f.write_str("no answer within the deadline"),
            DeferReason::TooMany => f.write_str("more recipients than milter.max_recipients"),
            DeferReason::Spelling => {
                f.write_str("ambiguous spelling, and the mail server did not send {rcpt_addr}")
            }
            DeferReason::Argument => f.write_str("the argument of RCPT is too long"),
            DeferReason::Headers => {
                f.write_str("the message has too many header fields of the name in milter.header")
            }
            DeferReason::Server => f.write_str("the mail server does not let recipients be replaced"),
        }
    }
}

/// The result of the rules for a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleTrace {
    /// They were not searched, or none matched.
    None,
    /// This statement names the account.
    Matched(usize),
    /// It matched in more than one way, for one account.
    MatchedTwice(usize),
    /// Several accounts; the debug account was taken. The first statement concerned.
    DebugAccount(usize),
    /// Several accounts and no debug account: as if none had matched. The first statement concerned.
    Ambiguous(usize),
    /// This statement named the account until its last day.
    Expired(usize),
}

/// An outcome and its reasons.
#[derive(Clone, Debug)]
pub struct Resolution {
    /// What is to be done.
    pub outcome: Outcome,
    /// The mailbox in our domains that the recipient names.
    pub mailbox: Option<Address>,
    /// What the rules said.
    pub rule: RuleTrace,
    /// The possible names of the recipient that certainly do not exist, and were looked up before
    /// [`account`](Resolution::account).
    pub absent: Vec<Address>,
    /// The account that was looked up last.
    pub account: Option<Address>,
    /// The answer of the sources about it.
    pub answer: Option<Verification>,
}

impl Resolution {
    /// An outcome that needed neither rules nor accounts.
    pub fn bare(outcome: Outcome) -> Self {
        let (mailbox, account, answer) = Default::default();
        Resolution { outcome, mailbox, rule: RuleTrace::None, absent: Vec::new(), account, answer }
    }

    /// Why the recipient is refused or deferred, with the quote of the account source (see
    /// [`Verification::detail`]); `None` if it is neither. Text for the log and for `explain`; escape it.
    pub fn why(&self) -> Option<String> {
        let detail = self.answer.as_ref().and_then(|answer| answer.detail.as_deref());
        match (&self.outcome, detail) {
            (Outcome::NoSuchUser(why @ RejectReason::NotFound), Some(detail)) => {
                Some(format!("{why}: {detail}"))
            }
            (Outcome::NoSuchUser(why), _) => Some(why.to_string()),
            (Outcome::TempFail(why @ DeferReason::Account(_)), Some(detail)) => {
                Some(format!("{why}: {detail}"))
            }
            (Outcome::TempFail(why), _) => Some(why.to_string()),
            (Outcome::NotOurs | Outcome::Keep | Outcome::Rewrite(_), _) => None,
        }
    }
}

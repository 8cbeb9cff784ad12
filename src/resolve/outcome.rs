//! The outcome for a recipient, and its reasons.

use crate::account::{Reason, Verification};
use alias_rules::Day;
use mail_address::{Address, Malformed};
use std::fmt;

/// The decision about a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Not in one of our domains: the milter does not interfere.
    NotOurs,
    /// An account under its own name: left unchanged.
    Keep,
    /// An alias of this account: replaced by it.
    Rewrite(Address),
    /// Certainly does not exist: rejected.
    NoSuchUser(RejectReason),
    /// Temporary failure: deferred.
    TempFail(DeferReason),
}

/// Why a recipient is rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RejectReason {
    /// The account source replied "not found".
    NotFound,
    /// The address cannot name a mailbox.
    Malformed(Malformed),
    /// The address was an alias until the end of this day.
    Expired(Day),
}

/// Why a recipient is deferred.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeferReason {
    /// No account source returned a definite result.
    Account(Reason),
    /// The rule engine exceeded its budget for this statement.
    Rules(usize),
    /// A rule names an account that is not a valid address.
    Target(Malformed),
    /// A rule redirects the mail to an invalid address, for the reason given.
    Destination(Box<str>),
    /// The redirects form a loop or are too many; the addresses in order.
    Loop(Box<[Address]>),
    /// The script or plug-in failed or returned an invalid result, for the reason given.
    Script(Box<str>),
    /// The deadline passed.
    Deadline,
    /// The message has too many recipients.
    TooMany,
    /// The argument of RCPT is longer than any address.
    Argument,
    /// Mail servers read the spelling differently, and this server does not report its reading.
    Spelling,
    /// The mail server does not let a milter replace recipients.
    Server,
    /// The message has too many header fields to remove with the name of our header.
    Headers,
    /// The network of the client has too many unknown recipients, so no source was asked.
    Guessing,
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RejectReason::NotFound => f.write_str("account not found"),
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
                f.write_str("ambiguous spelling, which {rcpt_addr} of the mail server does not settle")
            }
            DeferReason::Argument => f.write_str("the argument of RCPT is too long"),
            DeferReason::Headers => {
                f.write_str("the message has too many header fields of the name in milter.header")
            }
            DeferReason::Server => f.write_str("the mail server does not let recipients be replaced"),
            DeferReason::Guessing => {
                f.write_str("too many unknown recipients from the network of the client")
            }
        }
    }
}

/// The result of the rules for a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleTrace {
    /// The rules were not searched, or did not match.
    None,
    /// This statement names the account.
    Matched(usize),
    /// This statement matched in more than one way, for one account.
    MatchedTwice(usize),
    /// Several accounts matched; the debug account is used. Holds the first of their statements.
    DebugAccount(usize),
    /// Several accounts matched and there is no debug account: treated as no match. Holds the first of
    /// their statements.
    Ambiguous(usize),
    /// This statement named the account until its last day.
    Expired(usize),
}

/// An outcome with its reasons.
#[derive(Clone, Debug)]
pub struct Resolution {
    /// The outcome.
    pub outcome: Outcome,
    /// The mailbox in our domains that the recipient names.
    pub mailbox: Option<Address>,
    /// The result of the rules.
    pub rule: RuleTrace,
    /// Possible names of the recipient that certainly do not exist, and were looked up before
    /// [`account`](Resolution::account).
    pub absent: Vec<Address>,
    /// The account that was looked up last.
    pub account: Option<Address>,
    /// The result of the sources for that account.
    pub answer: Option<Verification>,
}

impl Resolution {
    /// A resolution that used neither rules nor accounts.
    pub fn bare(outcome: Outcome) -> Self {
        let (mailbox, account, answer) = Default::default();
        Resolution { outcome, mailbox, rule: RuleTrace::None, absent: Vec::new(), account, answer }
    }

    /// Why the recipient is rejected or deferred, with the quote of the account source (see
    /// [`Verification::detail`]); `None` for other outcomes. Text for the log and for `explain`, not
    /// escaped.
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

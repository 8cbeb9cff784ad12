//! What becomes of a recipient, and how that came about.

use crate::account::{Answer, Reason};
use crate::addr::{Address, Malformed};
use crate::rules::Day;
use std::fmt;

/// What is to be done about a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Not in one of our domains: none of our business.
    NotOurs,
    /// An account by its own name: leave it as it is.
    Keep,
    /// An alias of this account.
    Rewrite(Address),
    /// Certainly nobody: refuse it for good.
    NoSuchUser(NoUser),
    /// Nobody can say now: defer it.
    TryLater(Doubt),
}

/// Why there is no such user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoUser {
    /// The account source says so.
    Missing,
    /// Such an address cannot name a mailbox.
    Malformed(Malformed),
    /// It was an alias until the end of this day.
    Expired(Day),
}

/// Why nobody can say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// No account source gave a definite answer.
    Account(Reason),
    /// The rule engine ran out of its budget for this statement.
    Rules(usize),
    /// A rule names an account that no address can have.
    Target(Malformed),
    /// A rule sends the mail to what is no address, in words.
    Destination(Box<str>),
    /// The rules send the mail from address to address without an end; the addresses as they were met.
    Loop(Box<[Address]>),
    /// The script failed, or said what cannot be; in words.
    Hook(Box<str>),
    /// Time ran out before all of it was known.
    Deadline,
    /// The message has more recipients than are looked at.
    TooMany,
    /// The argument of RCPT is longer than any address.
    Argument,
    /// Mail servers read the spelling differently, and this one does not say how it does.
    Spelling,
    /// The mail server does not let a recipient be replaced.
    Server,
    /// The message has more header fields of the name of ours than are taken out.
    Headers,
}

impl fmt::Display for NoUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoUser::Missing => f.write_str("no such account"),
            NoUser::Malformed(why) => why.fmt(f),
            NoUser::Expired(last) => write!(f, "the alias has expired, its last day was {last}"),
        }
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Doubt::Account(reason) => reason.fmt(f),
            Doubt::Rules(_) => f.write_str("the rules need too many steps for this address"),
            Doubt::Target(why) => write!(f, "the account named by the rule: {why}"),
            Doubt::Destination(why) | Doubt::Hook(why) => f.write_str(why),
            Doubt::Loop(met) => {
                f.write_str("the rules do not come to an end:")?;
                met.iter().try_for_each(|address| write!(f, " <{address}>"))
            }
            Doubt::Deadline => f.write_str("no answer within the deadline"),
            Doubt::TooMany => f.write_str("more recipients than milter.max_recipients"),
            Doubt::Spelling => f.write_str(
                "only the mail server knows which address such a spelling is, and it does not say",
            ),
            Doubt::Argument => f.write_str("the argument of RCPT is too long"),
            Doubt::Headers => f.write_str("too many header fields of the name of milter.header"),
            Doubt::Server => f.write_str("the mail server does not let recipients be replaced"),
        }
    }
}

/// What the rules said of a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleTrace {
    /// They were not asked, or none matched.
    None,
    /// This statement names the account.
    Matched(usize),
    /// It matched in more than one way, for the one account.
    MatchedTwice(usize),
    /// Several accounts; the debug account was taken. The first statement concerned.
    DebugAccount(usize),
    /// Several accounts and no debug account: as if none had matched. The first statement concerned.
    Ambiguous(usize),
    /// This statement named the account until its last day.
    Expired(usize),
}

/// An outcome and how it came about.
#[derive(Clone, Debug)]
pub struct Resolution {
    /// What is to be done.
    pub outcome: Outcome,
    /// The mailbox of ours that the recipient stands for.
    pub mailbox: Option<Address>,
    /// What the rules said.
    pub rule: RuleTrace,
    /// The names that the recipient might have stood for and that certainly do not exist, before
    /// [`account`](Resolution::account) was asked for.
    pub absent: Vec<Address>,
    /// The account that was asked for last.
    pub account: Option<Address>,
    /// What the sources said of it.
    pub answer: Option<Answer>,
}

impl Resolution {
    /// An outcome that needed neither rules nor accounts.
    pub fn bare(outcome: Outcome) -> Self {
        let (mailbox, account, answer) = Default::default();
        Resolution { outcome, mailbox, rule: RuleTrace::None, absent: Vec::new(), account, answer }
    }

    /// Why the recipient is refused or deferred, with what the source of accounts quotes (see [`Answer::detail`]);
    /// `None` where it is neither. Text for the log and for `explain`, to be escaped.
    pub fn why(&self) -> Option<String> {
        let detail = self.answer.as_ref().and_then(|answer| answer.detail.as_deref());
        match (&self.outcome, detail) {
            (Outcome::NoSuchUser(why @ NoUser::Missing), Some(detail)) => Some(format!("{why}: {detail}")),
            (Outcome::NoSuchUser(why), _) => Some(why.to_string()),
            (Outcome::TryLater(why @ Doubt::Account(_)), Some(detail)) => Some(format!("{why}: {detail}")),
            (Outcome::TryLater(why), _) => Some(why.to_string()),
            (Outcome::NotOurs | Outcome::Keep | Outcome::Rewrite(_), _) => None,
        }
    }
}

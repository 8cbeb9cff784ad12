//! Who is this recipient, really? The rules and the accounts make one [`Outcome`] of a recipient.
//!
//! This is where the one rule of the house is kept: nothing but a certain "no" refuses a recipient, and
//! nothing but a certain "yes" (or the operator's word, source by source) lets one in.

use crate::account::{AccountSource, Answer, Reason, Verdict};
use crate::addr::{Address, Malformed, canonical_domain};
use crate::rules::{Decision, Rules};
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

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
    /// Time ran out before all of it was known.
    Deadline,
    /// The message has more recipients than are looked at.
    TooMany,
    /// The argument of RCPT is longer than any address.
    Argument,
    /// The mail server does not let a recipient be replaced.
    Server,
}

impl fmt::Display for NoUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoUser::Missing => f.write_str("no such account"),
            NoUser::Malformed(why) => why.fmt(f),
        }
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Doubt::Account(reason) => reason.fmt(f),
            Doubt::Rules(_) => f.write_str("the rules need too many steps for this address"),
            Doubt::Target(why) => write!(f, "the account named by the rule: {why}"),
            Doubt::Deadline => f.write_str("no answer within the deadline"),
            Doubt::TooMany => f.write_str("more recipients than milter.max_recipients"),
            Doubt::Argument => f.write_str("the argument of RCPT is too long"),
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
    /// The account that was asked for.
    pub account: Option<Address>,
    /// What the sources said of it.
    pub answer: Option<Answer>,
}

impl Resolution {
    /// An outcome that needed neither rules nor accounts.
    pub fn bare(outcome: Outcome) -> Self {
        Resolution { outcome, mailbox: None, rule: RuleTrace::None, account: None, answer: None }
    }
}

/// A recipient to be resolved.
#[derive(Clone, Debug)]
pub struct Question {
    /// The recipient as the mail server was given it.
    pub recipient: Address,
    /// Where the mail server itself would take it, if it said so. Asked only where the spelling leaves that
    /// to the server: no domain, or a route in the local part.
    pub routed: Option<Address>,
}

/// Which recipients are ours and how they compare.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Our domains.
    pub domains: Vec<String>,
    /// The domain of a recipient that comes without one; empty: such a recipient is left alone.
    pub origin: String,
    /// Whether local parts that differ by case only are different.
    pub case_sensitive: bool,
}

/// The rules, the accounts, and our domains.
#[derive(Debug)]
pub struct Resolver {
    domains: HashSet<Box<str>>,
    settings: Settings,
    rules: Arc<Rules>,
    accounts: Arc<dyn AccountSource>,
}

impl Resolver {
    /// A resolver for good; a reload makes a new one. `rules` must have been loaded to fold the case
    /// exactly if `settings` say that it does not matter.
    pub fn new(settings: Settings, rules: Arc<Rules>, accounts: Arc<dyn AccountSource>) -> Self {
        let domains = settings.domains.iter().map(|d| canonical_domain(d).into()).collect();
        Resolver { domains, settings, rules, accounts }
    }

    /// The rules, for `explain` and the log.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Whether local parts that differ by case only are different.
    pub fn is_case_sensitive(&self) -> bool {
        self.settings.case_sensitive
    }

    /// The mailbox a recipient stands for, and what follows at once if no mailbox of ours does.
    pub fn mailbox(&self, question: &Question) -> Result<Address, Outcome> {
        let Question { recipient, routed } = question;
        // Every server has to take mail for its postmaster (RFC 5321, section 4.5.1); whoever that is, the
        // server knows best.
        if recipient.domain().is_none() && recipient.local().eq_ignore_ascii_case("postmaster") {
            return Err(Outcome::NotOurs);
        }
        // What the spelling leaves to the mail server only the mail server can read: it alone knows whether
        // `user%host@ours` is a route or a name. Where it does not say, the name is taken literally.
        let left_to_server = recipient.domain().is_none() || recipient.may_be_rerouted();
        let meaning = match routed {
            Some(routed) if left_to_server && routed.domain().is_some() => {
                recipient.clone().meaning(routed.clone())
            }
            _ if recipient.domain().is_none() => recipient.clone().at(&self.settings.origin),
            _ => recipient.clone(),
        };
        if !meaning.domain().is_some_and(|domain| self.domains.contains(domain)) {
            return Err(Outcome::NotOurs);
        }
        match meaning.malformed().or(recipient.malformed()) {
            Some(why) => Err(Outcome::NoSuchUser(NoUser::Malformed(why))),
            // `<@example.com>`: no name of ours; servers take it for the postmaster or refuse it.
            None if meaning.local().is_empty() => Err(Outcome::NotOurs),
            None => Ok(meaning),
        }
    }

    /// Resolves a recipient. May take as long as the account sources do; whoever awaits it sets the limit.
    pub async fn resolve(&self, question: &Question) -> Resolution {
        let recipient = match self.mailbox(question) {
            Ok(recipient) => recipient,
            Err(outcome) => return Resolution::bare(outcome),
        };
        let (rule, name) = match self.rules.find(recipient.local()) {
            Decision::NoMatch => (RuleTrace::None, None),
            Decision::Account { name, statement, by_debug: true, .. } => {
                (RuleTrace::DebugAccount(statement), Some(name))
            }
            Decision::Account { name, statement, ambiguous: true, .. } => {
                (RuleTrace::MatchedTwice(statement), Some(name))
            }
            Decision::Account { name, statement, .. } => (RuleTrace::Matched(statement), Some(name)),
            Decision::Ambiguous { statements } => {
                (RuleTrace::Ambiguous(statements.first().copied().unwrap_or_default()), None)
            }
            // Nothing expires yet.
            Decision::Expired { statement, .. } | Decision::CannotSay { statement } => {
                let outcome = Outcome::TryLater(Doubt::Rules(statement));
                return Resolution { mailbox: Some(recipient), ..Resolution::bare(outcome) };
            }
        };
        let account = match self.account(&recipient, name) {
            Ok(account) => account,
            Err(why) => {
                let outcome = Outcome::TryLater(Doubt::Target(why));
                return Resolution { mailbox: Some(recipient), rule, ..Resolution::bare(outcome) };
            }
        };
        let answer = self.accounts.verify(&account).await;
        let outcome = decide(&answer.verdict, &recipient, &account, self.settings.case_sensitive);
        Resolution { outcome, mailbox: Some(recipient), rule, account: Some(account), answer: Some(answer) }
    }

    /// The account to ask for: the rule's at the recipient's domain, or the recipient itself in the one
    /// spelling that stands for all those that do not differ to us.
    fn account(&self, recipient: &Address, name: Option<&str>) -> Result<Address, Malformed> {
        let domain = recipient.domain().unwrap_or_default();
        match name {
            Some(name) => Address::new(name, domain),
            None if self.settings.case_sensitive => Ok(recipient.clone()),
            None => Address::new(&crate::addr::fold(recipient.local()), domain),
        }
    }
}

/// The outcome of a verdict.
fn decide(verdict: &Verdict, recipient: &Address, account: &Address, case_sensitive: bool) -> Outcome {
    match verdict {
        Verdict::Missing => Outcome::NoSuchUser(NoUser::Missing),
        Verdict::Unknown(reason) if !reason.is_accepting() => {
            Outcome::TryLater(Doubt::Account(reason.clone()))
        }
        Verdict::Exists | Verdict::Unknown(_) if recipient.same_mailbox(account, case_sensitive) => {
            Outcome::Keep
        }
        Verdict::Exists | Verdict::Unknown(_) => Outcome::Rewrite(account.clone()),
    }
}

#[cfg(test)]
mod tests;

//! Who is this recipient, really? The rules and the accounts make one [`Outcome`] of a recipient.
//!
//! This is where the one rule of the house is kept: nothing but a certain "no" refuses a recipient, and
//! nothing but a certain "yes" (or the operator's word, source by source) lets one in.
//!
//! A rule may send the mail on to an address. In one of our domains that address is a recipient like any
//! other, resolved in its turn and verified in the end; elsewhere the operator's word is all there is.

mod decision;
mod outcome;
mod way;

pub use outcome::{Doubt, NoUser, Outcome, Resolution, RuleTrace};
pub use way::MAX_HOPS;

use crate::account::{AccountSource, Verdict};
use crate::addr::{Address, Malformed, canonical_domain};
use crate::rules::{Day, Explanation, Query, Rules};
use decision::Next;
use std::collections::HashSet;
use std::sync::Arc;
use way::Way;

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
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our domains.
    pub domains: Vec<String>,
    /// The domain of a recipient that comes without one; empty: such a recipient is left alone.
    pub origin: String,
    /// Whether local parts that differ by case only are different.
    pub case_sensitive: bool,
    /// What day it is, for aliases that expire. The clock is the caller's.
    pub today: fn() -> Option<Day>,
}

/// No domains, and no clock: nothing expires.
impl Default for Settings {
    fn default() -> Self {
        Settings { domains: Vec::new(), origin: String::new(), case_sensitive: false, today: || None }
    }
}

/// An address on the way of a recipient, and what the rules say of it.
#[derive(Clone, Debug)]
pub struct Step {
    /// The address; the recipient itself first.
    pub address: Address,
    /// What the rules say of it.
    pub rules: Explanation,
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
        if !self.is_ours(&meaning) {
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
        self.follow(question, &mut |_| ()).await
    }

    /// The same, and what was looked at on the way.
    pub async fn explain(&self, question: &Question) -> (Resolution, Vec<Step>) {
        let mut steps = Vec::new();
        let resolution = self.follow(question, &mut |address| steps.push(self.step(address))).await;
        (resolution, steps)
    }

    fn step(&self, address: &Address) -> Step {
        let today = (self.settings.today)();
        let query = Query { name: address.local(), domain: address.domain(), today };
        Step { address: address.clone(), rules: self.rules.explain(query) }
    }

    /// Resolves a recipient and shows each address whose rules are asked.
    async fn follow(&self, question: &Question, show: &mut (dyn FnMut(&Address) + Send)) -> Resolution {
        let recipient = match self.mailbox(question) {
            Ok(recipient) => recipient,
            Err(outcome) => return Resolution::bare(outcome),
        };
        let case_sensitive = self.settings.case_sensitive;
        let today = (self.settings.today)();
        let mut way = Way::new(recipient.clone());
        let mut rule = RuleTrace::None;
        let stop = |rule, outcome| Resolution {
            mailbox: Some(recipient.clone()),
            rule,
            ..Resolution::bare(outcome)
        };
        // Each round either ends here or adds to the way, which is bounded.
        let account = loop {
            let at = way.here();
            show(at);
            let domain = at.domain().unwrap_or_default();
            let query = Query { name: at.local(), domain: Some(domain), today };
            let (trace, next) = decision::next(self.rules.find(query), domain);
            // What the recipient itself is an alias of says most; but for a refusal, which is explained
            // by nothing else.
            if rule == RuleTrace::None || matches!(trace, RuleTrace::Expired(_)) {
                rule = trace;
            }
            match next {
                Next::Account(account) => break account,
                Next::Own => match self.own_account(at) {
                    Ok(account) => break account,
                    Err(why) => return stop(rule, Outcome::TryLater(Doubt::Target(why))),
                },
                Next::Stop(outcome) => return stop(rule, outcome),
                Next::Target(target) if !self.is_ours(&target) => {
                    return stop(rule, Outcome::Rewrite(target));
                }
                Next::Target(target) => {
                    let same = |a: &Address, b: &Address| a.same_mailbox(b, case_sensitive);
                    if let Err(doubt) = way.go(target, same) {
                        return stop(rule, Outcome::TryLater(doubt));
                    }
                }
            }
        };
        let answer = self.accounts.verify(&account).await;
        let outcome = decide(&answer.verdict, &recipient, way.here(), &account, case_sensitive);
        Resolution { outcome, mailbox: Some(recipient), rule, account: Some(account), answer: Some(answer) }
    }

    fn is_ours(&self, address: &Address) -> bool {
        address.domain().is_some_and(|domain| self.domains.contains(domain))
    }

    /// The account to ask for where no rule names one: the recipient itself, in the one spelling that stands
    /// for all those that do not differ to us.
    fn own_account(&self, recipient: &Address) -> Result<Address, Malformed> {
        if self.settings.case_sensitive {
            return Ok(recipient.clone());
        }
        Address::new(&crate::addr::fold(recipient.local()), recipient.domain().unwrap_or_default())
    }
}

/// The outcome of a verdict on the account that mail to `recipient` goes to, by way of `last`.
fn decide(
    verdict: &Verdict,
    recipient: &Address,
    last: &Address,
    account: &Address,
    case_sensitive: bool,
) -> Outcome {
    match verdict {
        Verdict::Missing => Outcome::NoSuchUser(NoUser::Missing),
        Verdict::Unknown(reason) if !reason.is_accepting() => {
            Outcome::TryLater(Doubt::Account(reason.clone()))
        }
        Verdict::Exists | Verdict::Unknown(_) if recipient.same_mailbox(account, case_sensitive) => {
            Outcome::Keep
        }
        // As the operator spells it.
        Verdict::Exists | Verdict::Unknown(_) if last.same_mailbox(account, case_sensitive) => {
            Outcome::Rewrite(last.clone())
        }
        Verdict::Exists | Verdict::Unknown(_) => Outcome::Rewrite(account.clone()),
    }
}

#[cfg(test)]
mod tests;

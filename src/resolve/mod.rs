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
use crate::addr::{Address, Normal, Normalised, canonical_domain};
use crate::rules::{Day, Decision, Explanation, Query, Rules};
use decision::Next;
use std::collections::{BTreeMap, HashMap};
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
    /// How the local parts of single domains are read, by their canonical spelling. Those of all others are
    /// what they are but for their case.
    pub normal: BTreeMap<String, Normal>,
    /// What day it is, for aliases that expire. The clock is the caller's.
    pub today: fn() -> Option<Day>,
}

/// No domains, and no clock: nothing expires.
impl Default for Settings {
    fn default() -> Self {
        let (domains, origin, normal) = Default::default();
        Settings { domains, origin, case_sensitive: false, normal, today: || None }
    }
}

/// An address on the way of a recipient, and what the rules say of it.
#[derive(Clone, Debug)]
pub struct Step {
    /// The address; the recipient itself first.
    pub address: Address,
    /// What the rules say of it; where they do not know it, also without its extension.
    pub rules: Vec<Explanation>,
}

/// The rules, the accounts, and our domains.
#[derive(Debug)]
pub struct Resolver {
    domains: HashMap<Box<str>, Arc<Normal>>,
    /// How local parts are read where nothing else is said.
    plain: Arc<Normal>,
    settings: Settings,
    rules: Arc<Rules>,
    /// For domains that differ from the others in whether case matters.
    other_case: Option<Arc<Rules>>,
    accounts: Arc<dyn AccountSource>,
}

impl Resolver {
    /// A resolver for good; a reload makes a new one. `rules` must have been loaded to fold the case
    /// exactly if `settings` say that it does not matter.
    pub fn new(settings: Settings, rules: Arc<Rules>, accounts: Arc<dyn AccountSource>) -> Self {
        let plain = Arc::new(Normal::plain(settings.case_sensitive));
        let normal = |domain: &str| settings.normal.get(domain).cloned().map_or(plain.clone(), Arc::new);
        let domains = settings.domains.iter().map(|domain| {
            let domain = canonical_domain(domain);
            (domain.as_ref().into(), normal(&domain))
        });
        let domains = domains.collect();
        Resolver { domains, plain, settings, rules, other_case: None, accounts }
    }

    /// The same with these rules for the domains in which case matters where it does not elsewhere, or the other
    /// way round. They must be those that [`new`](Resolver::new) was given, loaded accordingly.
    #[must_use]
    pub fn with_other_case(self, rules: Option<Arc<Rules>>) -> Self {
        Resolver { other_case: rules, ..self }
    }

    /// The rules, for `explain` and the log.
    pub fn rules(&self) -> &Rules {
        &self.rules
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
        self.follow(question, &mut |_, _| ()).await
    }

    /// The same, and what was looked at on the way.
    pub async fn explain(&self, question: &Question) -> (Resolution, Vec<Step>) {
        let mut steps = Vec::new();
        let resolution =
            self.follow(question, &mut |address, names| steps.push(self.step(address, names))).await;
        (resolution, steps)
    }

    fn step(&self, address: &Address, names: &Normalised<'_>) -> Step {
        let today = (self.settings.today)();
        let (domain, rules) = (address.domain(), self.rules_of(address));
        let whole = rules.explain(Query { name: &names.whole, domain, today });
        let rules = match &whole.outcome {
            crate::rules::Outcome::NoMatch if names.bare != names.whole => {
                vec![whole, rules.explain(Query { name: &names.bare, domain, today })]
            }
            _ => vec![whole],
        };
        Step { address: address.clone(), rules }
    }

    /// How the local part of an address is read.
    fn normal(&self, address: &Address) -> &Normal {
        address.domain().and_then(|domain| self.domains.get(domain)).unwrap_or(&self.plain)
    }

    /// The rules in the form for the domain of an address.
    fn rules_of(&self, address: &Address) -> &Rules {
        let usual = self.normal(address).case_sensitive == self.settings.case_sensitive;
        self.other_case.as_ref().filter(|_| !usual).unwrap_or(&self.rules)
    }

    /// What the rules say of an address. A computed alias may hold what looks like an extension, so they are
    /// asked without it only if they do not know all of it.
    fn ask(&self, address: &Address, names: &Normalised<'_>, today: Option<Day>) -> Decision<'_> {
        let (domain, rules) = (address.domain(), self.rules_of(address));
        match rules.find(Query { name: &names.whole, domain, today }) {
            Decision::NoMatch if names.bare != names.whole => {
                rules.find(Query { name: &names.bare, domain, today })
            }
            decision => decision,
        }
    }

    /// Resolves a recipient and shows each address whose rules are asked.
    async fn follow(&self, question: &Question, show: &mut Show<'_>) -> Resolution {
        let recipient = match self.mailbox(question) {
            Ok(recipient) => recipient,
            Err(outcome) => return Resolution::bare(outcome),
        };
        let today = (self.settings.today)();
        let mut way = Way::new(recipient.clone());
        let mut rule = RuleTrace::None;
        let stop = |rule, outcome| Resolution {
            mailbox: Some(recipient.clone()),
            rule,
            ..Resolution::bare(outcome)
        };
        // Each round either ends here or adds to the way, which is bounded.
        let (account, stays) = loop {
            let at = way.here();
            let normal = self.normal(at);
            let names = normal.of(at.local());
            show(at, &names);
            let domain = at.domain().unwrap_or_default();
            let (trace, next) = decision::next(self.ask(at, &names, today), domain);
            // What the recipient itself is an alias of says most; but for a refusal, which is explained
            // by nothing else.
            if rule == RuleTrace::None || matches!(trace, RuleTrace::Expired(_)) {
                rule = trace;
            }
            match next {
                Next::Account(account) => {
                    let stays = at.same_mailbox(&account, normal.case_sensitive);
                    break (account, stays);
                }
                // The one spelling that stands for all those that do not differ to us.
                Next::Own => match Address::new(&names.bare, domain) {
                    Ok(account) => break (account, normal.is_known_as(at.local(), &names.bare)),
                    Err(why) => return stop(rule, Outcome::TryLater(Doubt::Target(why))),
                },
                Next::Stop(outcome) => return stop(rule, outcome),
                Next::Target(target) if !self.is_ours(&target) => {
                    return stop(rule, Outcome::Rewrite(target));
                }
                Next::Target(target) => {
                    let same = |a: &Address, b: &Address| a.same_mailbox(b, self.normal(b).case_sensitive);
                    if let Err(doubt) = way.go(target, same) {
                        return stop(rule, Outcome::TryLater(doubt));
                    }
                }
            }
        };
        let answer = self.accounts.verify(&account).await;
        let last = way.here();
        // What the mail server takes for the account by itself goes there as it is written.
        let to = if stays { last } else { &account };
        let is_there = to.same_mailbox(&recipient, self.normal(to).case_sensitive);
        let outcome = decide(&answer.verdict, to, is_there);
        Resolution { outcome, mailbox: Some(recipient), rule, account: Some(account), answer: Some(answer) }
    }

    fn is_ours(&self, address: &Address) -> bool {
        address.domain().is_some_and(|domain| self.domains.contains_key(domain))
    }
}

/// What is shown of each address: itself, and the names by which the rules are asked.
type Show<'s> = dyn FnMut(&Address, &Normalised<'_>) + Send + 's;

/// The outcome of a verdict on the account that mail goes to if it is sent to `to`; `is_there`: which is what the
/// recipient says already.
fn decide(verdict: &Verdict, to: &Address, is_there: bool) -> Outcome {
    match verdict {
        Verdict::Missing => Outcome::NoSuchUser(NoUser::Missing),
        Verdict::Unknown(reason) if !reason.is_accepting() => {
            Outcome::TryLater(Doubt::Account(reason.clone()))
        }
        Verdict::Exists | Verdict::Unknown(_) if is_there => Outcome::Keep,
        Verdict::Exists | Verdict::Unknown(_) => Outcome::Rewrite(to.clone()),
    }
}

#[cfg(test)]
mod tests;

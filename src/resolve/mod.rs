//! Resolves a recipient to its [`Outcome`], with the rules and the accounts.
//!
//! A recipient is rejected only if the account source certainly does not have it, and accepted only if the
//! source certainly has it (or is configured with `on_tempfail = "accept"`).
//!
//! A rule may redirect the mail to an address. In our domains that address is resolved and verified like a
//! recipient; elsewhere it is not verified. The operator's script or plug-in may run before the rules, and after
//! them, where it may redirect the mail as a rule can.

mod look_up;
mod outcome;
mod owner;
mod reading;
mod redirects;
pub mod view;

pub use look_up::Form;
pub use outcome::{DeferReason, Outcome, RejectReason, Resolution, RuleTrace};
pub use redirects::MAX_HOPS;

use crate::account::{AccountSource, Lookup, Verification};
use crate::script::{Hook, Plugin, Returned, ScriptError, ScriptFunction};
use alias_rules::{Day, Explanation, Rules};
use foldhash::quality::RandomState;
use look_up::{Event, Next, Show};
use mail_address::{Address, Forms, LocalPartPolicy, Malformed, canonical_domain, escape};
use redirects::RedirectChain;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

/// A recipient to be resolved.
#[derive(Clone, Debug)]
pub struct Question {
    /// The recipient as the client sent it.
    pub recipient: Address,
    /// The address as the mail server reads it, if the server reports that.
    pub mta_route: Option<Address>,
}

/// Which recipients are ours, and how they compare.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our domains.
    pub domains: Vec<String>,
    /// Domain of a recipient without one; empty: such a recipient is not resolved.
    pub origin: String,
    /// Whether local parts that differ by case only are different.
    pub case_sensitive: bool,
    /// Normalisation of local parts, by domain in canonical spelling. In all other domains only case is
    /// normalised.
    pub normal: BTreeMap<String, LocalPartPolicy>,
    /// Returns the current day, for aliases that expire.
    pub today: fn() -> Option<Day>,
}

/// No domains, and no current day: aliases do not expire.
impl Default for Settings {
    fn default() -> Self {
        let (domains, origin, normal) = Default::default();
        Settings { domains, origin, case_sensitive: false, normal, today: || None }
    }
}

/// One address in the resolution of a recipient, with notes about it.
#[derive(Clone, Debug)]
pub struct Step {
    /// The address; the first step has the recipient itself.
    pub address: Address,
    /// The notes, in order.
    pub notes: Vec<Note>,
}

/// An intermediate result for an address.
#[derive(Clone, Debug)]
pub enum Note {
    /// The script or plug-in was called.
    Script(Called),
    /// The rules were searched. If they do not have the address, they are searched again without its
    /// extension.
    Rules(Explanation),
}

/// A call of the script or the plug-in.
#[derive(Clone, Debug)]
pub struct Called {
    /// The function that was called.
    pub function: ScriptFunction,
    /// The local part it was called with.
    pub local: String,
    /// The domain it was called with.
    pub domain: String,
    /// The result of the call.
    pub said: Result<Returned, ScriptError>,
}

/// Formats the call as `preprocess("foo", "example.com") = "bar"`.
impl fmt::Display for Called {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Called { function, local, domain, said } = self;
        write!(f, "{}(\"{}\", \"{}\") ", function.name(), escape(local), escape(domain))?;
        match said {
            Ok(Returned::NoAlias) => f.write_str("= (), no alias"),
            Ok(Returned::Same) => f.write_str("= the same"),
            Ok(Returned::Name { local, domain: None }) => write!(f, "= \"{}\"", escape(local)),
            Ok(Returned::Name { local, domain: Some(domain) }) => {
                write!(f, "= [\"{}\", \"{}\"]", escape(local), escape(domain))
            }
            Err(fault) => write!(f, "fails: {}", escape(&fault.to_string())),
        }
    }
}

/// Resolves recipients with the rules, the accounts, and our domains.
#[derive(Debug)]
pub struct Resolver {
    domains: HashMap<Box<str>, Arc<LocalPartPolicy>, RandomState>,
    /// The default normalisation of local parts.
    plain: Arc<LocalPartPolicy>,
    settings: Settings,
    form: Form,
    /// The rules for domains whose case sensitivity differs from the default.
    other_case: Option<Form>,
    accounts: Arc<AccountSource>,
}

impl Resolver {
    /// Creates an immutable resolver; a reload creates a new one. `rules` must have been loaded with case
    /// folding exactly if `settings` are not case-sensitive.
    pub fn new(settings: Settings, rules: impl Into<Form>, accounts: Arc<AccountSource>) -> Self {
        let plain = Arc::new(LocalPartPolicy::plain(settings.case_sensitive));
        let normal = |domain: &str| settings.normal.get(domain).cloned().map_or(plain.clone(), Arc::new);
        let domains = settings.domains.iter().map(|domain| {
            let domain = canonical_domain(domain);
            (domain.as_ref().into(), normal(&domain))
        });
        let domains = domains.collect();
        Resolver { domains, plain, settings, form: rules.into(), other_case: None, accounts }
    }

    /// Adds the rules for the domains whose case sensitivity differs from the default. They must be the
    /// same rules as in [`new`](Resolver::new), loaded accordingly.
    #[must_use]
    pub fn with_other_case(self, rules: Option<Form>) -> Self {
        Resolver { other_case: rules, ..self }
    }

    /// The rules, for `explain` and the log.
    pub fn rules(&self) -> &Rules {
        &self.form.rules
    }

    /// The plug-in that runs before and after the rules, if there is one.
    pub fn plugin(&self) -> Option<&Arc<Plugin>> {
        match &self.form.hook {
            Some(Hook::Plugin(plugin)) => Some(plugin),
            Some(Hook::Script(_)) | None => None,
        }
    }

    /// Whether a domain, in canonical spelling, is one of ours.
    pub fn has_domain(&self, domain: &str) -> bool {
        self.domains.contains_key(domain)
    }

    /// The domain of a recipient without one; empty if not set.
    pub fn origin(&self) -> &str {
        &self.settings.origin
    }

    /// Returns the mailbox of a recipient in our domains; the error is the outcome of any other recipient.
    pub fn mailbox(&self, question: &Question) -> Result<Address, Outcome> {
        let Question { recipient, .. } = question;
        // Every server must accept mail for its postmaster (RFC 5321, section 4.5.1), so the decision is
        // left to the mail server.
        if recipient.is_certain()
            && recipient.domain().is_none()
            && recipient.local().eq_ignore_ascii_case("postmaster")
        {
            return Err(Outcome::NotOurs);
        }
        // `<>` does not name a mailbox.
        if recipient.raw().is_empty() || recipient.raw() == b"<>" {
            return Err(Outcome::NotOurs);
        }
        let Some(meaning) = reading::mailbox(question, &self.settings.origin, self) else {
            return Err(Outcome::TempFail(DeferReason::Spelling));
        };
        if !self.is_ours(&meaning) {
            return Err(Outcome::NotOurs);
        }
        match meaning.malformed() {
            Some(why) => Err(Outcome::NoSuchUser(RejectReason::Malformed(why))),
            // `<@example.com>`: some servers deliver it to the postmaster, others discard or reject it.
            None if meaning.local().is_empty() => Err(Outcome::TempFail(DeferReason::Spelling)),
            None => Ok(meaning),
        }
    }

    /// Resolves a recipient. This may take as long as the account sources and a plug-in take; the caller sets a
    /// deadline.
    pub async fn resolve(&self, question: &Question) -> Resolution {
        self.follow(question, &mut |_| ()).await
    }

    /// Resolves a recipient, and returns all steps, too.
    pub async fn explain(&self, question: &Question) -> (Resolution, Vec<Step>) {
        let mut steps = Vec::new();
        let mut show = |event: Event<'_>| {
            let note = match event {
                Event::Address(address) => {
                    return steps.push(Step { address: address.clone(), notes: Vec::new() });
                }
                Event::Script(function, local, domain, said) => Note::Script(Called {
                    function,
                    local: local.into(),
                    domain: domain.into(),
                    said: said.clone(),
                }),
                Event::Rules(rules, query) => Note::Rules(rules.explain(query)),
            };
            // The event with the address is always the first.
            if let Some(step) = steps.last_mut() {
                step.notes.push(note);
            }
        };
        let resolution = self.follow(question, &mut show).await;
        (resolution, steps)
    }

    /// Resolves a recipient and reports each step to `show`.
    async fn follow(&self, question: &Question, show: &mut Show<'_>) -> Resolution {
        let recipient = match self.mailbox(question) {
            Ok(recipient) => recipient,
            Err(outcome) => return Resolution::bare(outcome),
        };
        let mut chain = RedirectChain::new(recipient.clone());
        let mut rule = RuleTrace::None;
        let decided = match self.redirect(&mut chain, &mut rule, show).await {
            Ok(account) => self.deliver(&recipient, &chain, account.as_ref()).await,
            Err(outcome) => Err(outcome),
        };
        let mailbox = Some(recipient);
        match decided {
            Ok((outcome, asked)) => Resolution {
                outcome,
                mailbox,
                rule,
                absent: asked.absent,
                account: Some(asked.account),
                answer: Some(asked.answer),
            },
            Err(outcome) => Resolution { mailbox, rule, ..Resolution::bare(outcome) },
        }
    }

    /// Follows the rules from the recipient to the account, which is returned if it is not the last name of
    /// the chain itself. The error is the outcome where no account is asked for.
    async fn redirect(
        &self,
        chain: &mut RedirectChain,
        rule: &mut RuleTrace,
        show: &mut Show<'_>,
    ) -> Result<Option<Address>, Outcome> {
        let today = (self.settings.today)();
        // Each round either ends the loop or extends the chain, which has a maximum length.
        loop {
            let at = chain.here();
            let found = self.look_up(at, today, show).await;
            // Keep the rule of the recipient itself, which explains most. Exception: an expired alias
            // explains the rejection.
            if *rule == RuleTrace::None || matches!(found.rule, RuleTrace::Expired(_)) {
                *rule = found.rule;
            }
            let next = match found.next {
                Next::Own => return Ok(None),
                Next::Account(account) => {
                    if self.is_same(at, &account) || !self.leads_on(&account, today).await {
                        return Ok(Some(account));
                    }
                    account
                }
                Next::Target(next) => next,
                Next::Stop(outcome) => return Err(outcome),
            };
            if !self.is_ours(&next) {
                return Err(Outcome::Rewrite(next));
            }
            chain.go(next, |a, b| self.is_same(a, b)).map_err(Outcome::TempFail)?;
        }
    }

    /// Verifies the account, or the last name of the chain. The error is the outcome where no account is
    /// asked for.
    async fn deliver(
        &self,
        recipient: &Address,
        chain: &RedirectChain,
        account: Option<&Address>,
    ) -> Result<(Outcome, Asked), Outcome> {
        let doubt = |why| Outcome::TempFail(DeferReason::Target(why));
        let here = chain.here();
        let at = account.unwrap_or(here);
        let normal = self.normal(at.domain().unwrap_or_default());
        // Names that the operator wrote are looked up as they are spelled.
        let is_typed = account.is_none() && chain.is_at_recipient();
        let forms = if is_typed { normal.typed(at.local()) } else { normal.written(at.local()) };
        let to = match account {
            // If the mail server itself delivers the recipient to the account, it stays as written.
            Some(account) if self.is_same(account, here) => here.clone(),
            _ => delivered(normal, at, &forms).map_err(doubt)?,
        };
        let is_there = self.is_same(&to, recipient);
        // A name built by the rules or the normalisation may contain a route that the recipient did not
        // have, and a mail server does not check whether it may relay a recipient that a milter adds.
        if let Some(why) = look_up::unfit(&to).filter(|_| !is_there) {
            let why = format!("mail would go to \"{}\": {why}", escape(&to.to_string()));
            return Err(Outcome::TempFail(DeferReason::Destination(why.into())));
        }
        let asked = self.verify(at, &forms).await.map_err(doubt)?;
        Ok((decide(&asked.answer.result, to, is_there), asked))
    }

    /// Looks up the forms of a name in order, until one is not certainly absent. After a temporary failure
    /// for the whole name the shorter forms are not used: they may belong to another account.
    async fn verify(&self, at: &Address, forms: &Forms<'_>) -> Result<Asked, Malformed> {
        let domain = at.domain().unwrap_or_default();
        let mut account = Address::new(forms.whole(), domain)?;
        let mut answer = self.accounts.look_up(&account).await;
        let mut absent = Vec::new();
        if let (Lookup::NotFound, Some(bare)) = (&answer.result, forms.bare()) {
            absent.push(std::mem::replace(&mut account, Address::new(bare, domain)?));
            answer = self.accounts.look_up(&account).await;
        }
        Ok(Asked { account, answer, absent })
    }

    /// Whether an address is in one of our domains.
    pub fn is_ours(&self, address: &Address) -> bool {
        address.domain().is_some_and(|domain| self.domains.contains_key(domain))
    }

    /// Whether two addresses are the same mailbox by the rules of their domain.
    fn is_same(&self, a: &Address, b: &Address) -> bool {
        a.same_mailbox(b, self.normal(b.domain().unwrap_or_default()).case_sensitive)
    }
}

/// The destination of mail for `at`, whose local part was normalised to `forms`.
fn delivered(normal: &LocalPartPolicy, at: &Address, forms: &Forms<'_>) -> Result<Address, Malformed> {
    let local = normal.delivered(at.local(), forms);
    if local == at.local() { Ok(at.clone()) } else { Address::new(&local, at.domain().unwrap_or_default()) }
}

/// The result of looking up an account.
struct Asked {
    account: Address,
    answer: Verification,
    absent: Vec<Address>,
}

impl reading::Domains for Resolver {
    fn is_ours(&self, address: &Address) -> bool {
        Resolver::is_ours(self, address)
    }

    fn is_case_sensitive(&self, address: &Address) -> bool {
        self.normal(address.domain().unwrap_or_default()).case_sensitive
    }
}

/// The outcome for the result of an account lookup. `to` receives the mail; `is_there`: the recipient is
/// already that address.
fn decide(result: &Lookup<()>, to: Address, is_there: bool) -> Outcome {
    match result {
        Lookup::NotFound => Outcome::NoSuchUser(RejectReason::NotFound),
        Lookup::TempFail(reason) if !reason.is_accepting() => {
            Outcome::TempFail(DeferReason::Account(reason.clone()))
        }
        Lookup::Found(()) | Lookup::TempFail(_) if is_there => Outcome::Keep,
        Lookup::Found(()) | Lookup::TempFail(_) => Outcome::Rewrite(to),
    }
}

#[cfg(test)]
mod tests;

//! Checks that the configured daemon resolves an address to the account it was made for.
//!
//! The rules alone do not show that: a domain may remove characters of a name, and a script or a plug-in may run
//! before and after the rules.

use super::super::terminal;
use crate::account::{Lookup, LookupFuture, Source, Verification};
use crate::config::Config;
use crate::daemon;
use crate::resolve::{Note, Outcome, Question, Resolver, RuleTrace};
use mail_address::{Address, escape};
use std::sync::Arc;
use tokio::runtime::Runtime;

/// A source in which every account exists, since accounts do not matter here.
#[derive(Debug)]
struct Anybody;

impl Source<Address, Verification> for Anybody {
    fn look_up<'a>(&'a self, _: &'a Address) -> LookupFuture<'a, Verification> {
        Box::pin(async { Verification::new(Lookup::Found(()), &Arc::from("make")) })
    }
}

/// Resolves recipients as the daemon does.
pub struct DaemonResolver {
    resolver: Resolver,
    runtime: Runtime,
    case_sensitive: bool,
}

impl DaemonResolver {
    /// Creates a resolver for the recipients in a domain. `case_sensitive`: whether case matters there.
    pub fn new(config: &Config, case_sensitive: bool) -> Result<Self, u8> {
        let runtime = terminal::runtime()?;
        // A plug-in is a task of the runtime.
        let inside = runtime.enter();
        let resolver = daemon::resolver(config, Arc::new(Anybody), None);
        drop(inside);
        Ok(DaemonResolver { resolver, runtime, case_sensitive })
    }

    /// Checks that mail to `name` at `domain` reaches `account` there; the error is the reason if it does
    /// not.
    pub fn leads(&self, name: &str, domain: &str, account: &str) -> Result<(), String> {
        let address = Address::new(name, domain).map_err(|why| why.to_string())?;
        let wanted = Address::new(account, domain).map_err(|why| format!("the account: {why}"))?;
        // The address as the mail server passes it.
        let recipient = Address::from_rcpt(format!("<{address}>").as_bytes());
        let question = Question { recipient, mta_route: None };
        let (resolution, steps) = self.runtime.block_on(self.resolver.explain(&question));
        match &resolution.outcome {
            Outcome::NotOurs => return Err(format!("{address} is not in one of domains")),
            Outcome::NoSuchUser(why) => return Err(format!("{address} would be rejected: {why}")),
            Outcome::TempFail(why) => {
                return Err(format!("{address} would be deferred: {}", escape(&why.to_string())));
            }
            Outcome::Keep | Outcome::Rewrite(_) => (),
        }
        let first = steps.first().map_or(&[][..], |step| &step.notes);
        // The rules are searched again without the extension only if they do not have the whole name.
        let said = first.iter().rev().find_map(|note| match note {
            Note::Rules(explanation) => Some(explanation),
            Note::Script(_) => None,
        });
        let same = |name: &str| {
            Address::new(name, domain).is_ok_and(|found| found.same_mailbox(&wanted, self.case_sensitive))
        };
        match (resolution.rule, said.map(|said| (&said.outcome, &said.name))) {
            (
                RuleTrace::Matched(_) | RuleTrace::MatchedTwice(_),
                Some((alias_rules::Outcome::Account { name: found, target, .. }, asked)),
            ) => {
                if !same(found) {
                    return Err(format!(
                        "{address} would be read as \"{}\", an alias of \"{}\"",
                        escape(asked),
                        escape(found)
                    ));
                }
                // A redirect by a rule is intended.
                if target.is_some() {
                    return Ok(());
                }
            }
            (_, Some((_, asked))) => {
                return Err(format!(
                    "{address} would be read as \"{}\", which is not an alias of this account alone",
                    escape(asked)
                ));
            }
            (_, None) => return Err(format!("the script would not pass {address} to the rules")),
        }
        match (&resolution.account, &resolution.outcome) {
            (Some(to), _) if to.same_mailbox(&wanted, self.case_sensitive) => Ok(()),
            (Some(to), _) | (None, Outcome::Rewrite(to)) => {
                Err(format!("the script or another rule would send {address} to {to}"))
            }
            (None, _) => Err(format!("{address} would not go to {wanted}")),
        }
    }
}

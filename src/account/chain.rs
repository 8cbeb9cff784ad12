//! Asks several sources of accounts in order, until one returns a definite result.
//!
//! The first definite result counts, and later members are not asked. After a temporary failure only "exists"
//! counts:
//!
//! | earlier members | this member | the chain |
//! | --- | --- | --- |
//! | – | exists | stops with exists |
//! | – | not found | stops with not found |
//! | temporary failure | exists | stops with exists |
//! | temporary failure | not found | asks the next member; still a temporary failure, since the failed member might have found the account |
//! | any | temporary failure | asks the next member |
//!
//! If the chain fails, its reason is that of the first member that failed. It is accepting only if the
//! failures of all members are: one with `tempfail_action = "defer"` must not be overruled.
//!
//! The sources of a map are combined the other way round ([`crate::map::combine::FirstOf`]): the first
//! *value* counts, and a temporary failure ends the search, since that source might have had another value.

use super::{AccountSource, Lookup, LookupFuture, Reason, Source, Verification};
use mail_address::Address;
use std::sync::Arc;

/// Asks its members in order.
#[derive(Debug)]
pub struct Chain {
    members: Vec<Arc<AccountSource>>,
}

impl Chain {
    /// Creates a chain of `members`, in the order in which they are asked.
    pub fn new(members: Vec<Arc<AccountSource>>) -> Self {
        Chain { members }
    }

    async fn ask(&self, account: &Address) -> Verification {
        let mut failed: Option<(Verification, Reason)> = None;
        for member in &self.members {
            let answer = member.look_up(account).await;
            match (&answer.result, failed.take()) {
                (Lookup::NotFound, None) => return answer,
                // This member was asked only because the earlier ones failed, so the result depends on them
                // as well.
                (Lookup::Found(()), before) => {
                    let basis = before.map(|(answer, _)| answer.basis).unwrap_or_default();
                    return answer.depending_on(&basis);
                }
                (Lookup::NotFound, Some((first, reason))) => {
                    failed = Some((first.depending_on(&answer.basis), reason));
                }
                (Lookup::TempFail(other), Some((first, reason))) => {
                    failed = Some((first.depending_on(&answer.basis), reason.and(other)));
                }
                (Lookup::TempFail(reason), None) => {
                    let reason = reason.clone();
                    failed = Some((answer, reason));
                }
            }
        }
        match failed {
            Some((first, reason)) => Verification { result: Lookup::TempFail(reason), ..first },
            None => Verification::new(Lookup::temp_fail("no source to ask"), &Arc::from("chain")),
        }
    }
}

impl Source<Address, Verification> for Chain {
    fn look_up<'a>(&'a self, account: &'a Address) -> LookupFuture<'a, Verification> {
        Box::pin(self.ask(account))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{account, answer};
    use super::*;
    use crate::lookup::testing::Double;

    /// Result of each member: `e` exists, `m` not found, `u` temporary failure, `a` accepting temporary
    /// failure. Then the result of the chain, its source, and the number of members asked.
    const TABLE: &[(&str, char, &str, usize)] = &[
        ("", 'u', "chain", 0),
        ("e", 'e', "0", 1),
        ("m", 'm', "0", 1),
        ("u", 'u', "0", 1),
        ("a", 'a', "0", 1),
        ("ee", 'e', "0", 1),
        ("em", 'e', "0", 1),
        ("me", 'm', "0", 1),
        ("mu", 'm', "0", 1),
        ("ue", 'e', "1", 2),
        ("ae", 'e', "1", 2),
        ("um", 'u', "0", 2),
        ("am", 'a', "0", 2),
        ("uu", 'u', "0", 2),
        ("ua", 'u', "0", 2),
        ("au", 'u', "0", 2),
        ("aa", 'a', "0", 2),
        ("ume", 'e', "2", 3),
        ("amu", 'u', "0", 3),
        ("ama", 'a', "0", 3),
        ("umm", 'u', "0", 3),
        ("uue", 'e', "2", 3),
        ("aaum", 'u', "0", 4),
    ];

    #[tokio::test]
    async fn combines_results_as_in_the_table() {
        for (members, want, by, asked) in TABLE {
            let doubles: Vec<_> = members
                .chars()
                .enumerate()
                .map(|(i, says)| {
                    let reason = Reason::new(format!("reason {i}"));
                    let verdict = match says {
                        'e' => Lookup::Found(()),
                        'm' => Lookup::NotFound,
                        'u' => Lookup::TempFail(reason),
                        _ => Lookup::TempFail(reason.accepting()),
                    };
                    Arc::new(Double::new(Verification::new(verdict, &i.to_string().into())))
                })
                .collect();
            let chain = Chain::new(doubles.iter().map(|d| d.clone() as Arc<AccountSource>).collect());
            let answer = chain.look_up(&account("foo@example.test")).await;
            let got = match &answer.result {
                Lookup::Found(()) => 'e',
                Lookup::NotFound => 'm',
                Lookup::TempFail(reason) if reason.is_accepting() => 'a',
                Lookup::TempFail(_) => 'u',
            };
            assert_eq!((got, &*answer.source), (*want, *by), "{members}");
            assert_eq!(doubles.iter().map(|d| d.count()).sum::<usize>(), *asked, "{members}");
            if let (Lookup::TempFail(reason), false) = (&answer.result, members.is_empty()) {
                assert_eq!(reason.as_str(), "reason 0", "{members}");
            }
        }
    }

    /// A result depends on the members that were asked, not on later ones.
    #[tokio::test]
    async fn result_depends_on_the_members_asked() {
        // The members on which the result depends.
        for (members, drops) in
            [("ee", "0"), ("me", "0"), ("ue", "01"), ("uum", "012"), ("uem", "01"), ("mu", "0")]
        {
            let verdict = |says| match says {
                'e' => Lookup::Found(()),
                'm' => Lookup::NotFound,
                _ => Lookup::TempFail(Reason::new("down")),
            };
            let doubles: Vec<_> =
                members.chars().map(|says| Arc::new(Double::new(answer(verdict(says))))).collect();
            let chain = Chain::new(doubles.iter().map(|d| d.clone() as Arc<AccountSource>).collect());
            for (i, double) in doubles.iter().enumerate() {
                let answer = chain.look_up(&account("foo@example.test")).await;
                assert!(answer.basis.holds(), "{members}");
                double.revision.bump();
                assert_eq!(answer.basis.holds(), !drops.contains(&i.to_string()), "{members} {i}");
            }
        }
    }
}

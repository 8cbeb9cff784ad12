//! Asks several sources of accounts in order, and combines their results.
//!
//! A member is asked only if it is for the domain of the account ([`Member::domains`]). "Exists" always counts,
//! and later members are not asked. What "not found" means depends on [`Combine`]:
//!
//! | earlier members | this member | `Fallback` | `Union` |
//! | --- | --- | --- | --- |
//! | any | exists | stops with exists | stops with exists |
//! | – | not found | stops with not found | asks the next member |
//! | temporary failure | not found | asks the next member | asks the next member |
//! | any | temporary failure | as [`OnTempFail`] says | as [`OnTempFail`] says |
//!
//! A chain in which a member failed is never "not found": the failed member might have found the account. Its
//! reason is that of the first member that failed. It is accepting only if the failures of all members are: one
//! that defers must not be overruled.
//!
//! The sources of a map are combined the other way round ([`crate::map::combine::FirstOf`]): the first
//! *value* counts, and a temporary failure ends the search, since that source might have had another value.

use super::settings::{Combine, OnTempFail};
use super::{AccountSource, Lookup, LookupFuture, Reason, Source, Verification};
use mail_address::Address;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A source in a chain.
#[derive(Clone, Debug)]
pub struct Member {
    /// The source, with its wrappers.
    pub source: Arc<AccountSource>,
    /// The domains whose accounts it has, in lower case; `None` for all.
    pub domains: Option<BTreeSet<String>>,
    /// What happens after a temporary failure.
    pub on_tempfail: OnTempFail,
}

impl Member {
    /// Whether the source has the accounts of the domain of `account`.
    pub fn is_for(&self, account: &Address) -> bool {
        let Some(domains) = &self.domains else { return true };
        account.domain().is_some_and(|domain| domains.contains(&domain.to_lowercase()))
    }
}

impl From<Arc<AccountSource>> for Member {
    /// A source for all domains; after a temporary failure, the next one is asked.
    fn from(source: Arc<AccountSource>) -> Self {
        Member { source, domains: None, on_tempfail: OnTempFail::Next }
    }
}

/// Which members of a chain are asked: it is over when the remaining ones cannot change the result.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    combine: Combine,
    failed: bool,
    over: bool,
}

impl Progress {
    /// No member was asked yet.
    pub fn new(combine: Combine) -> Self {
        Progress { combine, failed: false, over: false }
    }

    /// Whether no further member is asked.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Records the answer of a member.
    pub fn add(&mut self, answer: &Verification, member: &Member) {
        self.over = match &answer.result {
            Lookup::Found(()) => true,
            // After a failure, only "exists" counts.
            Lookup::NotFound => !self.failed && self.combine == Combine::Fallback,
            Lookup::TempFail(_) => member.on_tempfail == OnTempFail::Defer,
        };
        self.failed |= matches!(answer.result, Lookup::TempFail(_));
    }
}

/// Asks its members in order.
#[derive(Debug)]
pub struct Chain {
    members: Vec<Member>,
    combine: Combine,
}

impl Chain {
    /// Creates a chain of `members`, in the order in which they are asked.
    pub fn new(members: Vec<Member>, combine: Combine) -> Self {
        Chain { members, combine }
    }

    async fn ask(&self, account: &Address) -> Verification {
        // The first failure, and the last "not found", each with what all members so far depend on.
        let mut failed: Option<(Verification, Reason)> = None;
        let mut absent: Option<Verification> = None;
        let mut progress = Progress::new(self.combine);
        let mut denied = Vec::new();
        for member in self.members.iter().filter(|member| member.is_for(account)) {
            let answer = member.source.look_up(account).await;
            progress.add(&answer, member);
            match &answer.result {
                // The members before were asked as well, so the result depends on them.
                Lookup::Found(()) => {
                    let before = failed.map(|(first, _)| first.basis).unwrap_or_default();
                    let before = absent.map(|other| other.basis.and(&before)).unwrap_or(before);
                    return answer.depending_on(&before);
                }
                Lookup::NotFound => {
                    denied.push(answer.source.clone());
                    match &mut failed {
                        Some((first, _)) => first.basis = first.basis.clone().and(&answer.basis),
                        None => absent = Some(answer.after(absent)),
                    }
                }
                Lookup::TempFail(reason) => {
                    let reason = match member.on_tempfail {
                        OnTempFail::Accept => reason.clone().accepting(),
                        OnTempFail::Next | OnTempFail::Defer => reason.clone(),
                    };
                    failed = Some(if let Some((first, all)) = failed.take() {
                        (first.depending_on(&answer.basis), all.and(&reason))
                    } else {
                        let before = absent.take().map(|other| other.basis).unwrap_or_default();
                        (answer.depending_on(&before), reason)
                    });
                }
            }
            if progress.is_over() {
                break;
            }
        }
        match (failed, absent) {
            (Some((first, reason)), _) => Verification { result: Lookup::TempFail(reason), denied, ..first },
            (None, Some(absent)) => absent,
            (None, None) => Verification::new(
                Lookup::temp_fail("no account source is for this domain"),
                &Arc::from("chain"),
            ),
        }
    }
}

impl Verification {
    /// This "not found" of a union, after that of earlier members: it depends on both, and is valid as long as
    /// both are.
    fn after(self, earlier: Option<Verification>) -> Self {
        let Some(earlier) = earlier else { return self };
        let ttl = match (self.ttl, earlier.ttl) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        Verification { ttl, ..self }.depending_on(&earlier.basis)
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
    use std::time::Duration;

    type Want = (char, &'static str, usize);

    /// Result of each member: `e` exists, `m` not found, `u` temporary failure, `a` accepting temporary
    /// failure, `d` temporary failure that defers. Then, for a fallback and for a union: the result of the
    /// chain, its source, and the number of members asked.
    const TABLE: &[(&str, Want, Want)] = &[
        ("", ('u', "chain", 0), ('u', "chain", 0)),
        ("e", ('e', "0", 1), ('e', "0", 1)),
        ("m", ('m', "0", 1), ('m', "0", 1)),
        ("u", ('u', "0", 1), ('u', "0", 1)),
        ("a", ('a', "0", 1), ('a', "0", 1)),
        ("d", ('u', "0", 1), ('u', "0", 1)),
        ("ee", ('e', "0", 1), ('e', "0", 1)),
        ("em", ('e', "0", 1), ('e', "0", 1)),
        ("me", ('m', "0", 1), ('e', "1", 2)),
        ("mm", ('m', "0", 1), ('m', "1", 2)),
        ("mu", ('m', "0", 1), ('u', "1", 2)),
        ("ma", ('m', "0", 1), ('a', "1", 2)),
        ("ue", ('e', "1", 2), ('e', "1", 2)),
        ("ae", ('e', "1", 2), ('e', "1", 2)),
        ("de", ('u', "0", 1), ('u', "0", 1)),
        ("ud", ('u', "0", 2), ('u', "0", 2)),
        ("ad", ('u', "0", 2), ('u', "0", 2)),
        ("da", ('u', "0", 1), ('u', "0", 1)),
        ("um", ('u', "0", 2), ('u', "0", 2)),
        ("am", ('a', "0", 2), ('a', "0", 2)),
        ("uu", ('u', "0", 2), ('u', "0", 2)),
        ("ua", ('u', "0", 2), ('u', "0", 2)),
        ("au", ('u', "0", 2), ('u', "0", 2)),
        ("aa", ('a', "0", 2), ('a', "0", 2)),
        ("ume", ('e', "2", 3), ('e', "2", 3)),
        ("mue", ('m', "0", 1), ('e', "2", 3)),
        ("mum", ('m', "0", 1), ('u', "1", 3)),
        ("mde", ('m', "0", 1), ('u', "1", 2)),
        ("mmm", ('m', "0", 1), ('m', "2", 3)),
        ("amu", ('u', "0", 3), ('u', "0", 3)),
        ("ama", ('a', "0", 3), ('a', "0", 3)),
        ("umm", ('u', "0", 3), ('u', "0", 3)),
        ("uue", ('e', "2", 3), ('e', "2", 3)),
        ("aaum", ('u', "0", 4), ('u', "0", 4)),
    ];

    fn doubles(members: &str) -> Vec<Arc<Double<Verification>>> {
        let double = |(i, says): (usize, char)| {
            let result = match says {
                'e' => Lookup::Found(()),
                'm' => Lookup::NotFound,
                _ => Lookup::TempFail(Reason::new(format!("reason {i}"))),
            };
            let source = i.to_string().into();
            Arc::new(Double::new(Verification { source, ..answer(result) }))
        };
        members.chars().enumerate().map(double).collect()
    }

    fn chain(members: &str, doubles: &[Arc<Double<Verification>>], combine: Combine) -> Chain {
        let member = |(says, double): (char, &Arc<Double<Verification>>)| {
            let on_tempfail = match says {
                'a' => OnTempFail::Accept,
                'd' => OnTempFail::Defer,
                _ => OnTempFail::Next,
            };
            Member { on_tempfail, ..Member::from(double.clone() as Arc<AccountSource>) }
        };
        Chain::new(members.chars().zip(doubles).map(member).collect(), combine)
    }

    #[tokio::test]
    async fn combines_results_as_in_the_table() {
        for (members, fallback, union) in TABLE {
            for (combine, want) in [(Combine::Fallback, fallback), (Combine::Union, union)] {
                let doubles = doubles(members);
                let chain = chain(members, &doubles, combine);
                let answer = chain.look_up(&account("foo@example.test")).await;
                let got = match &answer.result {
                    Lookup::Found(()) => 'e',
                    Lookup::NotFound => 'm',
                    Lookup::TempFail(reason) if reason.is_accepting() => 'a',
                    Lookup::TempFail(_) => 'u',
                };
                let asked = doubles.iter().map(|double| double.count()).sum::<usize>();
                assert_eq!((got, &*answer.source, asked), *want, "{members} {combine:?}");
                if let (Lookup::TempFail(reason), false) = (&answer.result, members.is_empty()) {
                    assert_eq!(reason.as_str(), format!("reason {}", answer.source), "{members}");
                }
            }
        }
    }

    /// No sequence of results makes a chain in which a member failed "not found", or finds an account that no
    /// member found.
    #[tokio::test]
    async fn a_failure_is_never_not_found() {
        for length in 1..=5_u32 {
            for number in 0..5_usize.pow(length) {
                let says = |place| ['e', 'm', 'u', 'a', 'd'][number / 5_usize.pow(place) % 5];
                let members: String = (0..length).map(says).collect();
                for combine in [Combine::Fallback, Combine::Union] {
                    let doubles = doubles(&members);
                    let result =
                        chain(&members, &doubles, combine).look_up(&account("foo@example.test")).await;
                    let asked: Vec<char> = members
                        .chars()
                        .zip(&doubles)
                        .filter(|(_, d)| d.count() > 0)
                        .map(|(says, _)| says)
                        .collect();
                    let want = match result.result {
                        Lookup::Found(()) => asked.contains(&'e'),
                        Lookup::NotFound => asked.iter().all(|says| *says == 'm'),
                        Lookup::TempFail(reason) => {
                            let accepts = asked.iter().all(|says| "am".contains(*says));
                            !asked.contains(&'e') && reason.is_accepting() == accepts
                        }
                    };
                    assert!(want, "{members} {combine:?}");
                }
            }
        }
    }

    /// A result depends on the members that were asked, not on later ones.
    #[tokio::test]
    async fn result_depends_on_the_members_asked() {
        // The members on which the result depends.
        for (members, combine, drops) in [
            ("ee", Combine::Fallback, "0"),
            ("me", Combine::Fallback, "0"),
            ("ue", Combine::Fallback, "01"),
            ("uum", Combine::Fallback, "012"),
            ("uem", Combine::Fallback, "01"),
            ("mu", Combine::Fallback, "0"),
            ("me", Combine::Union, "01"),
            ("mm", Combine::Union, "01"),
            ("mum", Combine::Union, "012"),
            ("mue", Combine::Union, "012"),
            ("eme", Combine::Union, "0"),
        ] {
            let doubles = doubles(members);
            let chain = chain(members, &doubles, combine);
            for (i, double) in doubles.iter().enumerate() {
                let answer = chain.look_up(&account("foo@example.test")).await;
                assert!(answer.basis.holds(), "{members}");
                double.revision.bump();
                assert_eq!(
                    answer.basis.holds(),
                    !drops.contains(&i.to_string()),
                    "{members} {combine:?} {i}"
                );
            }
        }
    }

    #[tokio::test]
    async fn not_found_of_a_union_is_valid_as_long_as_all_its_parts() {
        let doubles = doubles("mmm");
        let ttls = [Some(9), Some(5), None];
        for (double, ttl) in doubles.iter().zip(ttls) {
            double.set(Verification { ttl: ttl.map(Duration::from_secs), ..answer(Lookup::NotFound) });
        }
        let answer = chain("mmm", &doubles, Combine::Union).look_up(&account("foo@example.test")).await;
        assert_eq!(answer.ttl, Some(Duration::from_secs(5)));
    }

    #[tokio::test]
    async fn asks_only_the_members_of_the_domain() {
        let domains = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
        let doubles = doubles("eme");
        let scopes = [domains(&["a.test"]), domains(&["b.test", "c.test"]), domains(&["c.test"])];
        let member = |(double, domains): (&Arc<Double<Verification>>, _)| Member {
            domains,
            ..Member::from(double.clone() as Arc<AccountSource>)
        };
        let chain = Chain::new(doubles.iter().zip(scopes).map(member).collect(), Combine::Union);
        for (address, want) in [
            ("foo@a.test", "exists"),
            ("foo@A.Test", "exists"),
            ("foo@b.test", "not found"),
            ("foo@c.test", "exists"),
            ("foo@d.test", "temporary failure: no account source is for this domain"),
        ] {
            assert_eq!(chain.look_up(&account(address)).await.result.to_string(), want, "{address}");
        }
    }
}

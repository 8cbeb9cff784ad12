//! Asks several sources one after the other.
//!
//! The first definite answer counts, and later members are not asked. After an unknown only "exists" counts:
//!
//! | before | this member says | the chain |
//! | --- | --- | --- |
//! | – | exists | exists, and stops |
//! | – | missing | missing, and stops |
//! | some unknown | exists | exists, and stops |
//! | some unknown | missing | stays unknown: the unknown member might have said "exists" |
//! | – or some unknown | unknown | notes it and goes on |
//!
//! The reason of an unknown chain is that of its first unknown member. It is accepting only if all its
//! unknown members are: a member with `unknown = "defer"` must not be overruled.

use super::{AccountSource, Answer, AnswerFuture, Reason, Verdict};
use mail_address::Address;
use std::sync::Arc;

/// Asks its members in order.
#[derive(Debug)]
pub struct Chain {
    members: Vec<Arc<dyn AccountSource>>,
}

impl Chain {
    /// `members` in the order in which they are asked.
    pub fn new(members: Vec<Arc<dyn AccountSource>>) -> Self {
        Chain { members }
    }

    async fn ask(&self, account: &Address) -> Answer {
        let mut unknown: Option<(Answer, Reason)> = None;
        for member in &self.members {
            let answer = member.verify(account).await;
            match (&answer.verdict, &mut unknown) {
                (Verdict::Missing, None) => return answer,
                // It is asked only because those before it were unknown.
                (Verdict::Exists, before) => {
                    let before = before.take().map(|(answer, _)| answer.basis).unwrap_or_default();
                    return answer.resting_on(&before);
                }
                (Verdict::Missing, Some((first, _))) => {
                    first.basis = std::mem::take(&mut first.basis).and(&answer.basis);
                }
                (Verdict::Unknown(reason), Some((answered, first))) => {
                    first.accept &= reason.accept;
                    answered.basis = std::mem::take(&mut answered.basis).and(&answer.basis);
                }
                (Verdict::Unknown(reason), None) => {
                    let reason = reason.clone();
                    unknown = Some((answer, reason));
                }
            }
        }
        match unknown {
            Some((first, reason)) => Answer { verdict: Verdict::Unknown(reason), ..first },
            None => Answer::new(Verdict::Unknown(Reason::new("no source to ask")), &Arc::from("chain")),
        }
    }
}

impl AccountSource for Chain {
    fn verify<'a>(&'a self, account: &'a Address) -> AnswerFuture<'a> {
        Box::pin(self.ask(account))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Double, account};
    use super::*;

    /// What each member says: `e`xists, `m`issing, `u`nknown, `a`ccepting unknown; what the chain says; who
    /// says so; how many were asked.
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
    async fn table() {
        for (members, want, by, asked) in TABLE {
            let doubles: Vec<_> = members
                .chars()
                .enumerate()
                .map(|(i, says)| {
                    let reason = Reason::new(format!("reason {i}"));
                    let verdict = match says {
                        'e' => Verdict::Exists,
                        'm' => Verdict::Missing,
                        'u' => Verdict::Unknown(reason),
                        _ => Verdict::Unknown(reason.accepting()),
                    };
                    Arc::new(Double::says(verdict).called(&i.to_string()))
                })
                .collect();
            let chain = Chain::new(doubles.iter().map(|d| d.clone() as Arc<dyn AccountSource>).collect());
            let answer = chain.verify(&account("foo@example.test")).await;
            let got = match &answer.verdict {
                Verdict::Exists => 'e',
                Verdict::Missing => 'm',
                Verdict::Unknown(reason) if reason.is_accepting() => 'a',
                Verdict::Unknown(_) => 'u',
            };
            assert_eq!((got, &*answer.source), (*want, *by), "{members}");
            assert_eq!(doubles.iter().map(|d| d.asked()).sum::<usize>(), *asked, "{members}");
            if let (Verdict::Unknown(reason), false) = (&answer.verdict, members.is_empty()) {
                assert_eq!(reason.as_str(), "reason 0", "{members}");
            }
        }
    }

    /// An answer depends on the members that were asked, and on no later ones.
    #[tokio::test]
    async fn what_an_answer_rests_on() {
        // Which members have to change for the answer to be dropped.
        for (members, drops) in
            [("ee", "0"), ("me", "0"), ("ue", "01"), ("uum", "012"), ("uem", "01"), ("mu", "0")]
        {
            let verdict = |says| match says {
                'e' => Verdict::Exists,
                'm' => Verdict::Missing,
                _ => Verdict::Unknown(Reason::new("down")),
            };
            let doubles: Vec<_> = members.chars().map(|says| Arc::new(Double::says(verdict(says)))).collect();
            let chain = Chain::new(doubles.iter().map(|d| d.clone() as Arc<dyn AccountSource>).collect());
            for (i, double) in doubles.iter().enumerate() {
                let answer = chain.verify(&account("foo@example.test")).await;
                assert!(answer.basis.holds(), "{members}");
                double.revision.bump();
                assert_eq!(answer.basis.holds(), !drops.contains(&i.to_string()), "{members} {i}");
            }
        }
    }
}

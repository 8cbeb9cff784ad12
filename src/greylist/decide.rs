//! The decision about a recipient, from what the store has. No I/O, and no clock: the time is an argument.

use super::entry::{Attempt, Change, Client, Times, Triplet};

/// What the store has about an attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Whether the recipient has written to the sender.
    pub corresponds: bool,
    /// The client.
    pub client: Option<Client>,
    /// The triplet.
    pub triplet: Option<Triplet>,
    /// The triplet with the network of the client, if the client has another key. An earlier attempt has it whose
    /// client could not be identified.
    pub by_network: Option<Triplet>,
}

/// Why mail passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PassReason {
    /// Greylisting does not apply to the recipient.
    NotGreylisted,
    /// The client has no address, or is on this host.
    Local,
    /// The sender is `<>`, and the operator lets it pass.
    NullSender,
    /// An entry of a whitelist, as the operator wrote it.
    Whitelisted(Box<str>),
    /// The recipient is a computed alias, which its owner gave to someone.
    Alias,
    /// The recipient has written to the sender.
    Correspondent,
    /// The client has passed often enough.
    Client,
    /// The triplet has passed before.
    Triplet,
    /// The client is on a public list of known mail servers.
    Listed,
    /// The store failed.
    StoreFailed,
}

/// Why mail is deferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitReason {
    /// It is the first attempt.
    New,
    /// It is the first attempt, and not stored, since its client has too many first attempts.
    Throttled,
    /// It comes too early.
    Early,
    /// The store failed.
    StoreFailed,
}

/// What happens to the mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It passes.
    Pass(PassReason),
    /// It passes, and was delayed by this number of seconds.
    FirstPass(u64),
    /// The client has to try again after this number of seconds.
    Wait(u64, WaitReason),
}

/// A verdict, and what to write into the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The verdict.
    pub verdict: Verdict,
    /// The new state of the triplet.
    pub triplet: Change,
    /// The new state of the client, if it changes.
    pub client: Option<Client>,
}

/// Decides about an attempt at the time `now`. A client passes without a look at its triplets after `enough` passes; 0:
/// never.
pub fn decide(stored: &Stored, now: u64, times: &Times, enough: u64) -> Decision {
    let passes = |verdict| Decision { verdict, triplet: Change::Same, client: None };
    if stored.corresponds {
        return passes(Verdict::Pass(PassReason::Correspondent));
    }
    let counted = || if enough == 0 { None } else { Client::passes(stored.client, now, enough, times) };
    let is_known = |client: &Client| client.passes >= enough && client.is_current(now, times);
    if enough > 0 && stored.client.as_ref().is_some_and(is_known) {
        return Decision { client: counted(), ..passes(Verdict::Pass(PassReason::Client)) };
    }
    let (attempt, change) = best(stored, now, times);
    let verdict = match attempt {
        Attempt::New => Verdict::Wait(times.delay, WaitReason::New),
        Attempt::Early(wait) => Verdict::Wait(wait, WaitReason::Early),
        Attempt::First(delayed) => Verdict::FirstPass(delayed),
        Attempt::Known => Verdict::Pass(PassReason::Triplet),
    };
    let client = match attempt {
        Attempt::First(_) | Attempt::Known => counted(),
        Attempt::New | Attempt::Early(_) => None,
    };
    Decision { verdict, triplet: change, client }
}

/// The attempt as a try of the triplet that brings it further.
fn best(stored: &Stored, now: u64, times: &Times) -> (Attempt, Change) {
    let own = Triplet::attempt(stored.triplet, now, times);
    let Some(other) = stored.by_network else { return own };
    let other = Triplet::attempt(Some(other), now, times);
    let rank = |attempt: Attempt| match attempt {
        Attempt::Known => (0, 0),
        Attempt::First(_) => (1, 0),
        Attempt::Early(wait) => (2, wait),
        Attempt::New => (3, 0),
    };
    if rank(own.0) <= rank(other.0) { own } else { other }
}

impl PassReason {
    /// The words of the log, which are those of postgrey where it has the same reason.
    pub fn name(&self) -> &'static str {
        match self {
            PassReason::NotGreylisted => "not greylisted",
            PassReason::Local => "local client",
            PassReason::NullSender => "null sender",
            PassReason::Whitelisted(_) => "whitelist",
            PassReason::Alias => "computed alias",
            PassReason::Correspondent => "correspondent",
            PassReason::Client => "client AWL",
            PassReason::Triplet => "triplet found",
            PassReason::Listed => "DNSWL",
            PassReason::StoreFailed => "store failed",
        }
    }
}

impl WaitReason {
    /// The words of the log, see [`PassReason::name`].
    pub fn name(self) -> &'static str {
        match self {
            WaitReason::New => "new",
            WaitReason::Throttled => "new, not stored",
            WaitReason::Early => "early-retry",
            WaitReason::StoreFailed => "store failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: Times = Times { delay: 300, window: 172_800, max_age: 3_024_000 };
    const T: u64 = 1_764_550_000;

    #[test]
    fn what_is_stored_decides() {
        let waiting = |first| Some(Triplet::Waiting { first });
        let passed = |last| Some(Triplet::Passed { first: T - 400, delayed: 300, last, passes: 1 });
        let client = |passes, last| Some(Client { passes, last });
        let none = Stored::default();
        let new = Verdict::Wait(300, WaitReason::New);
        let pass = Verdict::Pass;
        for (name, stored, enough, verdict, writes_client) in [
            ("nothing", none, 5, new.clone(), None),
            ("correspondent", Stored { corresponds: true, ..none }, 5, pass(PassReason::Correspondent), None),
            ("client", Stored { client: client(5, T - 100), ..none }, 5, pass(PassReason::Client), None),
            (
                "client, an hour later",
                Stored { client: client(5, T - 3600), ..none },
                5,
                pass(PassReason::Client),
                client(5, T),
            ),
            ("client not often enough", Stored { client: client(4, T - 100), ..none }, 5, new.clone(), None),
            ("client too old", Stored { client: client(5, T - 3_024_000), ..none }, 5, new.clone(), None),
            ("clients do not count", Stored { client: client(5, T), ..none }, 0, new.clone(), None),
            (
                "early",
                Stored { triplet: waiting(T - 10), ..none },
                5,
                Verdict::Wait(290, WaitReason::Early),
                None,
            ),
            ("first", Stored { triplet: waiting(T - 310), ..none }, 5, Verdict::FirstPass(310), client(1, T)),
            (
                "first, not counted",
                Stored { triplet: waiting(T - 310), ..none },
                0,
                Verdict::FirstPass(310),
                None,
            ),
            (
                "known",
                Stored { triplet: passed(T - 10), client: client(1, T - 10), ..none },
                5,
                pass(PassReason::Triplet),
                None,
            ),
            (
                "known, an hour later",
                Stored { triplet: passed(T - 3600), client: client(1, T - 3600), ..none },
                5,
                pass(PassReason::Triplet),
                client(2, T),
            ),
            (
                "by network",
                Stored { by_network: waiting(T - 310), ..none },
                5,
                Verdict::FirstPass(310),
                client(1, T),
            ),
            (
                "by network, earlier",
                Stored { by_network: waiting(T - 20), triplet: waiting(T - 10), ..none },
                5,
                Verdict::Wait(280, WaitReason::Early),
                None,
            ),
            (
                "by network, later",
                Stored { by_network: waiting(T - 10), triplet: passed(T - 10), ..none },
                5,
                pass(PassReason::Triplet),
                client(1, T),
            ),
        ] {
            let got = decide(&stored, T, &TIMES, enough);
            assert_eq!((&got.verdict, got.client), (&verdict, writes_client), "{name}");
            let is_written = got.triplet != Change::Same;
            let want = matches!(got.verdict, Verdict::Wait(_, WaitReason::New) | Verdict::FirstPass(_))
                || name == "known, an hour later";
            assert_eq!(is_written, want, "{name}");
        }
    }
}

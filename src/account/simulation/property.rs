//! Checks that no sequence of events turns a temporary failure into a rejection.
//!
//! The oracle does not use the tree. It reads the answers of the servers, and requires of each result:
//!
//! - "not found": each deciding source has itself answered "not found" for this account, in this lookup or in the one
//!   that is cached. Of the sources for the domain, the first one decides in a fallback, and all of them in a union. A
//!   source with a witness has also found an account of the domain within the control interval before that answer, or
//!   in the lookup itself.
//! - "exists": a source for the domain has answered "exists" at some time.
//! - An accepting failure: a source for the domain is configured to accept.

use super::*;
use proptest::prelude::*;

/// The accounts of each server, in one or two domains.
const ACCOUNTS: &[&[&str]] = &[
    &["foo@a.test", "postmaster@a.test", "bar@b.test", "postmaster@b.test"],
    &["bar@a.test", "postmaster@a.test", "foo@b.test", "postmaster@b.test"],
    &["foo@a.test", "bar@a.test", "postmaster@a.test"],
];
const NAMES: [&str; 6] =
    ["foo@a.test", "bar@a.test", "nobody@a.test", "foo@b.test", "bar@b.test", "nobody@b.test"];

#[derive(Clone, Debug)]
enum Event {
    Set(usize, State),
    /// This many callers look up an account at the same time; each gives up after the time, if it is given.
    Ask(usize, usize, Option<Duration>),
    Sleep(Duration),
    Flush,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let short = prop_oneof![Just(0), Just(1), 2..9_u64].prop_map(Duration::from_secs);
    let state = prop_oneof![
        4 => short.clone().prop_map(State::Up),
        2 => Just(State::Fails),
        2 => Just(State::Silent),
        2 => Just(State::Empty),
    ];
    let times = prop_oneof![Just(1), 1..40_u64, 250..400_u64].prop_map(Duration::from_secs);
    let patience = prop_oneof![4 => Just(None), 1 => short.prop_map(Some)];
    let event = prop_oneof![
        4 => (0..3_usize, state).prop_map(|(server, state)| Event::Set(server, state)),
        8 => (0..NAMES.len(), 1..4_usize, patience).prop_map(|(name, n, p)| Event::Ask(name, n, p)),
        3 => times.prop_map(Event::Sleep),
        1 => Just(Event::Flush),
    ];
    proptest::collection::vec(event, 1..60)
}

/// The servers, with or without a witness, for one domain or all.
fn places() -> impl Strategy<Value = Vec<Place>> {
    let on_tempfail = prop_oneof![Just(OnTempFail::Next), Just(OnTempFail::Defer), Just(OnTempFail::Accept)];
    let domains = prop_oneof![3 => Just(None), 1 => Just(Some("a.test")), 1 => Just(Some("b.test"))];
    let place = (any::<bool>(), domains, on_tempfail);
    proptest::collection::vec(place, 1..=3).prop_map(|places| {
        let place = |(number, (has_witness, domain, on_tempfail)): (usize, (bool, Option<&str>, _))| Place {
            server: Simulated::new(&format!("vrfy:{number}"), ACCOUNTS[number], has_witness),
            domains: domain.map(|domain| BTreeSet::from([domain.to_owned()])),
            on_tempfail,
        };
        places.into_iter().enumerate().map(place).collect()
    })
}

/// Caches that are off, or keep all entries until they are flushed.
fn caches() -> impl Strategy<Value = CacheSettings> {
    let long = Duration::from_hours(1000);
    let some = move |keeps: bool| if keeps { long } else { Duration::ZERO };
    (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(move |(positive, negative, stale)| CacheSettings {
        positive_ttl: some(positive),
        negative_ttl: some(negative),
        stale_ttl: some(stale),
        ..CacheSettings::default()
    })
}

/// The servers, how they are combined, and the time since which results may be cached.
struct Oracle<'a> {
    places: &'a [Place],
    combine: Combine,
    /// The earliest time of a "not found" in the cache.
    cached_since: Instant,
}

impl Oracle<'_> {
    /// Whether a "not found" for callers that asked at `asked` is proven.
    fn is_proven(&self, account: &Address, is_cached: bool, asked: Instant) -> bool {
        let mut responsible = self.places.iter().filter(|place| place.is_for(account));
        // A lookup may have begun before, for a caller that has given up: each member has a deadline.
        let earliest = asked.checked_sub(DEADLINE * 3).unwrap_or(asked);
        let since = if is_cached { self.cached_since.min(earliest) } else { earliest };
        match self.combine {
            Combine::Fallback => responsible.next().is_some_and(|first| has_denied(first, account, since)),
            Combine::Union => {
                let mut all = responsible.peekable();
                all.peek().is_some() && all.all(|place| has_denied(place, account, since))
            }
        }
    }

    fn check(&self, account: &Address, answer: &Verification, asked: Instant) {
        let what = || format!("{account}: {answer:?} of {:?}, {:?}", self.combine, self.places);
        let mut responsible = self.places.iter().filter(|place| place.is_for(account));
        match &answer.result {
            Lookup::NotFound => assert!(self.is_proven(account, answer.cached, asked), "{}", what()),
            Lookup::Found(()) => assert!(
                responsible.any(|place| {
                    place.server.answered().iter().any(|one| one.account == *account && one.exists)
                }),
                "{}",
                what()
            ),
            Lookup::TempFail(reason) if reason.is_accepting() => {
                assert!(responsible.any(|place| place.on_tempfail == OnTempFail::Accept), "{}", what());
            }
            Lookup::TempFail(_) => (),
        }
    }
}

/// Whether the server of `place` has answered "not found" after `since`, while its control was valid.
fn has_denied(place: &Place, account: &Address, since: Instant) -> bool {
    let answered = place.server.answered();
    let mut denials = answered.iter().filter(|one| one.account == *account && !one.exists && one.at >= since);
    denials.any(|denial| {
        let finds = |one: &Answered| {
            let (earliest, latest) = (one.at + INTERVAL, denial.at + DEADLINE);
            one.exists
                && one.account.domain() == account.domain()
                && earliest >= denial.at
                && one.at <= latest
        };
        !place.server.has_witness || answered.iter().any(finds)
    })
}

async fn run(places: Vec<Place>, combine: Combine, cache: CacheSettings, events: Vec<Event>) -> usize {
    let tree = Arc::new(Tree::new(&places, combine, cache));
    let mut oracle = Oracle { places: &places, combine, cached_since: Instant::now() };
    let mut rejections = 0;
    for event in events {
        match event {
            Event::Set(server, state) => {
                if let Some(place) = places.get(server) {
                    place.server.set(state);
                }
            }
            Event::Sleep(time) => sleep(time).await,
            Event::Flush => {
                tree.cache.flush(|_, _| true).await;
                oracle.cached_since = Instant::now().checked_sub(DEADLINE * 3).unwrap_or(Instant::now());
            }
            Event::Ask(name, callers, patience) => {
                let (address, asked) = (account(NAMES[name]), Instant::now());
                let asking: Vec<_> = (0..callers)
                    .map(|_| {
                        let (tree, address) = (tree.clone(), address.clone());
                        tokio::spawn(async move {
                            let patience = patience.unwrap_or(TOTAL_DEADLINE * 2);
                            tokio::time::timeout(patience, tree.ask(&address)).await.ok()
                        })
                    })
                    .collect();
                for caller in asking {
                    if let Some(answer) = caller.await.unwrap() {
                        rejections += usize::from(answer.result == Lookup::NotFound);
                        oracle.check(&address, &answer, asked);
                    }
                }
            }
        }
    }
    rejections
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn temporary_failure_is_never_a_rejection(
        places in places(),
        is_union in any::<bool>(),
        cache in caches(),
        events in events(),
    ) {
        let combine = if is_union { Combine::Union } else { Combine::Fallback };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.unwrap().block_on(run(places, combine, cache, events));
    }
}

/// The property is not vacuous: some results are rejections, and the oracle detects a wrong one.
#[tokio::test(start_paused = true)]
async fn oracle_detects_wrong_rejections() {
    let server = Simulated::new("vrfy:0", ACCOUNTS[0], true);
    let place = Place { server: server.clone(), domains: None, on_tempfail: OnTempFail::Next };
    let ask = |name| vec![Event::Ask(name, 2, None)];
    let rejections = run(vec![place.clone()], Combine::Fallback, CacheSettings::default(), ask(2)).await;
    assert_eq!(rejections, 2);
    let places = [place];
    let oracle = Oracle { places: &places, combine: Combine::Fallback, cached_since: Instant::now() };
    let (nobody, foo) = (account(NAMES[2]), account(NAMES[0]));
    assert!(oracle.is_proven(&nobody, false, Instant::now()));
    assert!(!oracle.is_proven(&foo, false, Instant::now()), "it was not asked for");
    // The server has lost its accounts long after it found one.
    sleep(INTERVAL * 2).await;
    assert!(!oracle.is_proven(&nobody, false, Instant::now()), "it was asked long ago");
    server.set(State::Empty);
    assert!(matches!(server.ask(&nobody).await, Reply::NotFound(_)));
    assert!(!oracle.is_proven(&nobody, false, Instant::now()), "it finds no account");
}

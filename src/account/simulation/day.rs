//! A backup MX whose primary is away for a day.

use super::*;
use crate::lookup::breaker::LONGEST_WAIT;

const ACCOUNTS: [&str; 4] =
    ["foo@example.test", "bar@example.test", "alice@example.test", "postmaster@example.test"];
/// Accounts that exist, but got no mail before the outage.
const NEW: &str = "new@example.test";
const ABSENT: &str = "nobody@example.test";
/// Time between two messages to each account.
const EVERY: Duration = Duration::from_mins(4);
const DAY: Duration = Duration::from_hours(24);

const ALL: &[&str] = &[ACCOUNTS[0], ACCOUNTS[1], ACCOUNTS[2], ACCOUNTS[3], NEW];

/// Nothing is cached, since what is cached would not expire in simulated time.
fn uncached() -> CacheSettings {
    CacheSettings { positive_ttl: Duration::ZERO, negative_ttl: Duration::ZERO, ..CacheSettings::default() }
}

/// The states of a primary during an outage: it refuses connections, does not answer, answers slowly, and has lost its
/// accounts in a restore.
fn away(hour: u64) -> State {
    match hour % 6 {
        0 | 3 => State::Silent,
        2 => State::Up(DEADLINE * 3),
        4 => State::Empty,
        _ => State::Fails,
    }
}

#[tokio::test(start_paused = true)]
async fn primary_is_down_for_a_day() {
    let server = Simulated::new("vrfy:primary", ALL, true);
    let place = Place { server: server.clone(), domains: None, on_tempfail: OnTempFail::Next };
    let tree = Tree::new(&[place], Combine::Fallback, uncached());
    for name in ACCOUNTS {
        assert_eq!(tree.ask(&account(name)).await.result, Lookup::Found(()), "{name}");
    }
    assert_eq!(tree.ask(&account(ABSENT)).await.result, Lookup::NotFound);
    server.set(State::Silent);
    // The loss of the accounts is detected when the control of the server has expired.
    tokio::time::sleep(INTERVAL).await;

    let begun = Instant::now();
    let (mut accepted, mut deferred) = (0, 0);
    while begun.elapsed() < DAY {
        server.set(away(begun.elapsed().as_secs() / 3600));
        for name in ACCOUNTS {
            let answer = tree.ask(&account(name)).await;
            assert!(answer.result == Lookup::Found(()) && answer.stale, "{name}: {answer:?}");
            accepted += 1;
        }
        for name in [NEW, ABSENT] {
            let answer = tree.ask(&account(name)).await.result;
            assert!(matches!(answer, Lookup::TempFail(_)), "{name}: {answer:?}");
            deferred += 1;
        }
        sleep(EVERY).await;
    }
    assert!(accepted > 1000 && deferred > 500, "{accepted} {deferred}");

    server.set(State::Up(Duration::ZERO));
    // Wait for the next probe, with its jitter.
    sleep(LONGEST_WAIT * 2).await;
    for name in ALL {
        let answer = tree.ask(&account(name)).await;
        assert!(answer.result == Lookup::Found(()) && !answer.stale, "{name}: {answer:?}");
    }
    assert_eq!(tree.ask(&account(ABSENT)).await.result, Lookup::NotFound);
}

/// The circuit breaker prevents each message from waiting for a primary that does not answer.
#[tokio::test(start_paused = true)]
async fn silent_primary_is_rarely_asked() {
    let server = Simulated::new("vrfy:primary", ALL, true);
    let place = Place { server: server.clone(), domains: None, on_tempfail: OnTempFail::Next };
    let tree = Tree::new(&[place], Combine::Fallback, uncached());
    server.set(State::Silent);
    let (begun, mut waited, mut asked) = (Instant::now(), Duration::ZERO, 0_u32);
    while begun.elapsed() < DAY / 24 {
        let before = Instant::now();
        tree.ask(&account(ABSENT)).await;
        waited += before.elapsed();
        asked += 1;
        sleep(Duration::from_secs(1)).await;
    }
    assert!(waited < DEADLINE * asked / 20, "{waited:?} for {asked}");
}

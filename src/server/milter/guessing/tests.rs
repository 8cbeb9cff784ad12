use super::*;
use proptest::prelude::*;
use std::collections::HashSet;

const WINDOW: Duration = Duration::from_secs(100);

fn settings(misses: u32) -> Settings {
    Settings {
        misses,
        window: WINDOW,
        exempt: vec!["198.51.100.0/24".parse().unwrap(), "2001:db8:9::/48".parse().unwrap()],
        ipv4_prefix: 32,
        ipv6_prefix: 64,
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A table with a clock in seconds.
struct Run {
    table: Guessing,
    start: Instant,
}

impl Run {
    fn new(misses: u32) -> Self {
        let start = Instant::now();
        Run { table: Guessing::new(settings(misses), start), start }
    }

    fn defers(&mut self, client: &str, second: u64) -> bool {
        self.table.defers(ip(client), self.start + Duration::from_secs(second)).0
    }

    /// One recipient as the milter handles it; true if it was deferred.
    fn recipient(&mut self, client: &str, known: Known, second: u64) -> bool {
        let now = self.start + Duration::from_secs(second);
        let (defers, _) = self.table.defers(ip(client), now);
        if !defers {
            self.table.count(ip(client), known, now);
        }
        defers
    }
}

/// Steps of one client: hits and misses, each with its second; and whether a recipient at the last second is
/// deferred.
#[test]
fn defers_above_the_limit() {
    use Known::{Hit, Miss};
    type Case = (&'static str, &'static [(Known, u64)], u64, bool);
    let cases: &[Case] = &[
        ("nothing", &[], 0, false),
        ("below the limit", &[(Miss, 0), (Miss, 1)], 2, false),
        ("at the limit", &[(Miss, 0), (Miss, 1), (Miss, 2)], 3, true),
        ("as many hits", &[(Hit, 0), (Hit, 0), (Hit, 0), (Miss, 1), (Miss, 2), (Miss, 3)], 4, false),
        ("one hit less", &[(Hit, 0), (Hit, 0), (Miss, 1), (Miss, 2), (Miss, 3)], 4, true),
        ("a hit does not help later", &[(Miss, 0), (Miss, 1), (Miss, 2), (Hit, 3)], 4, true),
        ("until the window has passed", &[(Miss, 0), (Miss, 0), (Miss, 0)], 99, true),
        ("not after it", &[(Miss, 0), (Miss, 0), (Miss, 0)], 100, false),
        ("misses too far apart", &[(Miss, 0), (Miss, 50), (Miss, 100)], 101, false),
        // The hits leave the window before the misses.
        (
            "a network without recipients is not deferred",
            &[(Hit, 0), (Hit, 0), (Hit, 0), (Miss, 50), (Miss, 50), (Miss, 50)],
            110,
            false,
        ),
        (
            "the next miss is deferred",
            &[(Hit, 0), (Hit, 0), (Hit, 0), (Miss, 50), (Miss, 50), (Miss, 50), (Miss, 110)],
            111,
            true,
        ),
    ];
    for (name, steps, second, want) in cases {
        let mut run = Run::new(3);
        for (known, second) in *steps {
            run.recipient("192.0.2.1", *known, *second);
        }
        assert_eq!(run.defers("192.0.2.1", *second), *want, "{name}");
    }
}

/// Clients that guess, and clients of the same network or of another one.
#[test]
fn counts_by_network() {
    for (guesses, asks, want) in [
        ("192.0.2.1", "192.0.2.1", true),
        ("192.0.2.1", "::ffff:192.0.2.1", true),
        ("192.0.2.1", "192.0.2.2", false),
        ("2001:db8::1", "2001:db8::2:3:4:5", true),
        ("2001:db8::1", "2001:db8:0:1::1", false),
        // Exempt.
        ("127.0.0.1", "127.0.0.1", false),
        ("::1", "::1", false),
        ("::ffff:127.0.0.1", "127.0.0.1", false),
        ("198.51.100.7", "198.51.100.7", false),
        ("2001:db8:9:1::1", "2001:db8:9:1::1", false),
    ] {
        let mut run = Run::new(2);
        for second in 0..5 {
            run.recipient(guesses, Known::Miss, second);
        }
        assert_eq!(run.defers(asks, 6), want, "{guesses} {asks}");
    }
}

#[test]
fn reports_begin_and_end_once() {
    let mut run = Run::new(2);
    let at = |second| run.start + Duration::from_secs(second);
    let (client, network) = (ip("192.0.2.1"), "192.0.2.1".parse().unwrap());
    assert_eq!(run.table.count(client, Known::Miss, at(0)), []);
    assert_eq!(run.table.count(client, Known::Hit, at(0)), []);
    let begins = Event::Begins { network, misses: 2, hits: 1 };
    assert_eq!(run.table.count(client, Known::Miss, at(1)), [begins]);
    assert_eq!(run.table.over(), 1);
    for second in 2..5 {
        assert_eq!(run.table.defers(client, at(second)), (true, vec![]));
    }
    // Another client notices the end.
    let ends = Event::Ends { network, deferred: 3 };
    assert_eq!(run.table.defers(ip("192.0.2.2"), at(100)), (false, vec![ends]));
    assert_eq!(run.table.over(), 0);
    assert!(run.table.networks.is_empty());
    // Results of recipients that were asked for at the same time still count.
    run.table.count(client, Known::Miss, at(200));
    run.table.count(client, Known::Miss, at(200));
    assert_eq!(run.table.count(client, Known::Hit, at(200)), []);
    assert_eq!(run.table.count(client, Known::Hit, at(200)), [Event::Ends { network, deferred: 0 }]);
}

#[test]
fn other_settings_apply_at_once() {
    for (change, keeps) in [
        ((|s| s.misses = 3) as fn(&mut Settings), true),
        (|s| s.misses = 0, false),
        (|s| s.window *= 2, false),
        (|s| s.ipv4_prefix = 24, false),
        (|s| s.exempt.clear(), true),
    ] {
        let mut run = Run::new(2);
        for second in 0..3 {
            run.recipient("192.0.2.1", Known::Miss, second);
        }
        let mut new = settings(2);
        change(&mut new);
        let events = run.table.set(new.clone(), run.start + Duration::from_secs(3));
        assert_eq!(events.is_empty(), keeps, "{new:?}");
        assert_eq!(run.table.networks.is_empty(), !keeps, "{new:?}");
        run.table.set(Settings { exempt: vec![ip_network()], ..new }, run.start);
        assert!(!run.defers("192.0.2.1", 4), "exempt now");
    }
}

fn ip_network() -> Network {
    "192.0.2.0/24".parse().unwrap()
}

/// A full table keeps its counts, so no honest network is deferred.
#[test]
fn a_full_table_counts_no_further_network() {
    let mut run = Run::new(2);
    run.table.capacity = 3;
    for client in ["192.0.2.1", "192.0.2.2", "192.0.2.3"] {
        assert!(!run.recipient(client, Known::Miss, 0));
    }
    // A busy sender that is not counted.
    let late = run.start + Duration::from_secs(50);
    for _ in 0..50 {
        assert_eq!(run.table.count(ip("192.0.2.4"), Known::Hit, late), [Event::Full]);
    }
    assert_eq!(run.table.networks.len(), 3);
    // The networks in the table are still limited.
    run.recipient("192.0.2.1", Known::Miss, 51);
    assert!(run.defers("192.0.2.1", 52));
    // The table has room again, but earlier hits were not counted: no deferral until they have left the window.
    for second in 101..104 {
        assert!(!run.recipient("192.0.2.4", Known::Miss, second), "{second}");
    }
    assert!(!run.defers("192.0.2.4", 104));
    run.recipient("192.0.2.4", Known::Miss, 150);
    assert!(run.defers("192.0.2.4", 151));
}

/// One step of a random history: the client, the result, and the time since the step before.
fn step() -> impl Strategy<Value = (u8, bool, u64)> {
    (0..12_u8, prop::bool::weighted(0.4), prop_oneof![4 => 0..3_u64, 1 => 0..40_u64, 1 => 80..230_u64])
}

proptest! {
    /// Compares with a list of all recipients: at its last miss, a deferred network had enough misses, and more misses
    /// than hits, in the window; the table has a maximum size; no count outlasts the window.
    #[test]
    fn never_defers_a_network_with_as_many_hits(
        steps in prop::collection::vec(step(), 1..300),
        limit in 1..6_u32,
        capacity in 1..12_usize,
    ) {
        let mut run = Run::new(limit);
        run.table.capacity = capacity;
        let slot_length = WINDOW.as_secs() / SLOTS as u64;
        // All recipients that an account source was asked for: network, slot, hit.
        let mut asked: Vec<(String, u64, bool)> = Vec::new();
        let mut second = 0;
        for (client, hit, passes) in steps {
            second += passes;
            let slot = second / slot_length;
            let client = format!("192.0.2.{client}");
            let known = if hit { Known::Hit } else { Known::Miss };
            let count = |is_hit: bool| {
                let since = |at: u64| slot - at < SLOTS as u64;
                asked.iter().filter(|(c, at, h)| *c == client && *h == is_hit && since(*at)).count()
            };
            let (hits, misses) = (count(true), count(false));
            if run.recipient(&client, known, second) {
                prop_assert!(misses > hits && misses >= limit as usize, "{client}: {hits} {misses}");
            } else {
                asked.push((client, slot, hit));
            }
            prop_assert!(run.table.networks.len() <= capacity);
            let recent: HashSet<&String> = asked
                .iter()
                .filter(|(_, at, _)| slot - at < SLOTS as u64)
                .map(|(client, ..)| client)
                .collect();
            prop_assert!(run.table.networks.len() <= recent.len(), "a network outlasts its window");
        }
    }

    /// If the table has room, a client that only guesses gets no more results within a window than the limit.
    #[test]
    fn answers_no_more_guesses_than_the_limit(
        pauses in prop::collection::vec(0..30_u64, 1..200),
        limit in 1..6_u32,
    ) {
        let mut run = Run::new(limit);
        let slot_length = WINDOW.as_secs() / SLOTS as u64;
        let (mut second, mut answered) = (0, Vec::new());
        for pause in pauses {
            second += pause;
            if !run.recipient("192.0.2.1", Known::Miss, second) {
                answered.push(second / slot_length);
            }
            let slot = second / slot_length;
            let within = answered.iter().filter(|at| slot - **at < SLOTS as u64).count();
            prop_assert!(within <= limit as usize, "{within}");
        }
    }
}

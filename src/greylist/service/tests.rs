//! Tests of greylisting with a store in memory.

use super::*;
use crate::greylist::client::By;
use crate::greylist::whitelist::Format::{Entries, Recipients};
use crate::lookup::Source;
use crate::lookup::testing::Double;
use crate::observe::Metrics;
use crate::store::testing::Memory;
use diagnostics::Text;
use proptest::prelude::*;
use std::sync::atomic::Ordering::Relaxed;

const T: u64 = 1_764_550_000;
const TIMES: Times = Times { delay: 300, window: 172_800, max_age: 3_024_000 };

fn settings() -> Settings {
    Settings {
        times: TIMES,
        identification: Identification { by: [By::Name, By::Spf].into(), ipv4_prefix: 24, ipv6_prefix: 64 },
        enough: 5,
        hash: true,
        null_sender_passes: false,
        passes_without_store: true,
        correspondents: true,
        scope: Scope::default(),
        whitelist: Whitelist::default(),
    }
}

/// SPF that has one result for all.
#[derive(Debug)]
struct Spf(SpfResult);

impl SpfSource for Spf {
    fn check<'a>(&'a self, _: IpAddr, _: &'a str, _: Option<&'a Address>) -> LookupFuture<'a, SpfResult> {
        Box::pin(std::future::ready(self.0))
    }
}

/// A list of one client.
#[derive(Debug)]
struct Listing(IpAddr);

impl ListSource for Listing {
    fn lists(&self, client: IpAddr) -> LookupFuture<'_, bool> {
        Box::pin(std::future::ready(client == self.0))
    }
}

/// A map of one entry.
#[derive(Debug)]
struct OneEntry(&'static str, &'static str);

impl Source<str, Lookup<String>> for OneEntry {
    fn look_up<'a>(&'a self, key: &'a str) -> LookupFuture<'a, Lookup<String>> {
        let found = if key == self.0 { Lookup::Found(self.1.into()) } else { Lookup::NotFound };
        Box::pin(std::future::ready(found))
    }
}

fn sources(store: &Arc<Memory>, spf: SpfResult) -> Sources {
    Sources {
        store: store.clone(),
        maps: Vec::new(),
        spf: Some(Arc::new(Spf(spf))),
        list: None,
        outage: Metrics::default().outage("greylist", None),
    }
}

fn host(store: &Arc<Memory>, settings: Settings) -> Greylist {
    Greylist::new(settings, sources(store, SpfResult::None), Arc::new(Mutex::new(Throttle::new(0))))
}

fn address(text: &str) -> Address {
    Address::from_server(text.as_bytes())
}

/// Asks about a message from `client` (an address, or a name and an address) and `sender` at the time `now`.
async fn ask(
    greylist: &Greylist,
    store: &Memory,
    client: &str,
    sender: &str,
    recipient: &str,
    now: u64,
) -> Verdict {
    store.now.store(now, Relaxed);
    let (name, client) =
        client.rsplit_once(' ').map_or((None, client), |(name, client)| (Some(name), client));
    let (from, to) = (address(sender), address(recipient));
    let facts = Facts {
        client: client.parse().unwrap(),
        client_name: name,
        reverse_name: None,
        helo: "helo.example.org",
        sender: (!sender.is_empty()).then_some(&from),
        recipient: &to,
        spf: None,
    };
    greylist.verdict(facts, recipient.starts_with("alias"), now).await
}

fn shown(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Pass(why) => why.name().to_owned(),
        Verdict::FirstPass(delayed) => format!("passes after {delayed}"),
        Verdict::Wait(wait, why) => format!("{} {wait}", why.name()),
    }
}

#[tokio::test]
async fn a_message_is_delayed_once() {
    let store = Arc::new(Memory::default());
    let greylist = host(&store, settings());
    for (after, client, sender, recipient, want) in [
        (0, "192.0.2.1", "bob@example.org", "foo@example.test", "new 300"),
        (10, "192.0.2.9", "Bob+x@example.org", "FOO@example.test", "early-retry 290"),
        (10, "192.0.3.1", "bob@example.org", "foo@example.test", "new 300"),
        (10, "192.0.2.1", "bob@example.org", "bar@example.test", "new 300"),
        (10, "192.0.2.1", "", "foo@example.test", "new 300"),
        (10, "192.0.2.1", "", "alias-x@example.test", "computed alias"),
        (299, "192.0.2.1", "bob@example.org", "foo@example.test", "early-retry 1"),
        (300, "192.0.2.1", "bob@example.org", "foo@example.test", "passes after 300"),
        (301, "192.0.2.1", "bob@example.org", "foo@example.test", "triplet found"),
        (310, "192.0.2.1", "", "foo@example.test", "passes after 300"),
        (400, "127.0.0.1", "bob@example.org", "foo@example.test", "local client"),
        (400, "192.0.2.1", "bob@example.org", "foo", "not greylisted"),
        // Too late.
        (172_810, "192.0.2.1", "bob@example.org", "bar@example.test", "new 300"),
        // Its age counts from the last use.
        (3_000_000, "192.0.2.1", "bob@example.org", "foo@example.test", "triplet found"),
        (6_000_000, "192.0.2.1", "bob@example.org", "foo@example.test", "triplet found"),
        (9_024_000, "192.0.2.1", "bob@example.org", "foo@example.test", "new 300"),
    ] {
        let verdict = ask(&greylist, &store, client, sender, recipient, T + after).await;
        assert_eq!(shown(&verdict), want, "{after} {client} {sender} {recipient}");
    }
}

#[tokio::test]
async fn a_client_passes_after_five_passes() {
    let store = Arc::new(Memory::default());
    let greylist = host(&store, settings());
    let rcpt = |n: u64| format!("foo{n}@example.test");
    for n in 0..5 {
        let begin = T + n * 4000;
        let verdict = ask(&greylist, &store, "192.0.2.1", "bob@example.org", &rcpt(n), begin).await;
        assert_eq!(shown(&verdict), "new 300", "{n}");
        // Many messages in one hour are one pass.
        for more in 0..5 {
            ask(&greylist, &store, "192.0.2.1", "bob@example.org", &rcpt(n), begin + 300 + more).await;
        }
    }
    let verdict =
        ask(&greylist, &store, "192.0.2.7", "eve@example.com", "bar@example.test", T + 20_000).await;
    assert_eq!(shown(&verdict), "client AWL");
    let verdict =
        ask(&greylist, &store, "192.0.3.7", "eve@example.com", "bar@example.test", T + 20_000).await;
    assert_eq!(shown(&verdict), "new 300");
    let never = host(&store, Settings { enough: 0, ..settings() });
    let verdict = ask(&never, &store, "192.0.2.7", "eve@example.com", "bar@example.test", T + 20_000).await;
    assert_eq!(shown(&verdict), "new 300");
}

/// Twenty addresses of a provider: the second attempt passes, whichever address it has.
#[tokio::test]
async fn a_sender_pool_passes_on_the_second_try() {
    for (name, spf, want) in [
        ("mail-{}.google.com ", SpfResult::None, "passes after 310"),
        ("", SpfResult::Pass, "passes after 310"),
        ("", SpfResult::Unknown, "new 300"),
        ("c{}.dsl.example.net ", SpfResult::None, "new 300"),
    ] {
        let store = Arc::new(Memory::default());
        let greylist =
            Greylist::new(settings(), sources(&store, spf), Arc::new(Mutex::new(Throttle::new(0))));
        for at in 0..20_u64 {
            let client = format!("{}198.51.{at}.1", name.replace("{}", &format!("f{at}")));
            let rcpt = format!("foo{at}@example.test");
            let verdict = ask(&greylist, &store, &client, "bob@example.org", &rcpt, T).await;
            assert_eq!(shown(&verdict), "new 300", "{client}");
            let client = format!("{}203.0.{at}.1", name.replace("{}", &format!("g{at}")));
            let verdict = ask(&greylist, &store, &client, "bob@example.org", &rcpt, T + 310).await;
            // After five passes the client is known.
            let got = shown(&verdict);
            assert!(got == want || (want == "passes after 310" && got == "client AWL"), "{client}: {got}");
        }
    }
}

/// The first attempt has no result of SPF, the second one has: it is the same attempt.
#[tokio::test]
async fn an_attempt_by_network_counts_for_the_domain() {
    let store = Arc::new(Memory::default());
    let throttle = Arc::new(Mutex::new(Throttle::new(0)));
    let with = |spf| Greylist::new(settings(), sources(&store, spf), throttle.clone());
    let (first, second) = (with(SpfResult::Unknown), with(SpfResult::Pass));
    let verdict = ask(&first, &store, "192.0.2.1", "bob@example.org", "foo@example.test", T).await;
    assert_eq!(shown(&verdict), "new 300");
    let verdict = ask(&second, &store, "192.0.2.1", "bob@example.org", "foo@example.test", T + 300).await;
    assert_eq!(shown(&verdict), "passes after 300");
    // From then on for all addresses of the domain.
    let verdict = ask(&second, &store, "198.51.100.1", "bob@example.org", "foo@example.test", T + 301).await;
    assert_eq!(shown(&verdict), "triplet found");
}

#[tokio::test]
async fn scopes_and_lists_come_first() {
    let store = Arc::new(Memory::default());
    let list = |content: &str, format| {
        let mut list = Whitelist::default();
        assert_eq!(list.add(&Text::new("list", content), format, false), []);
        list
    };
    let mut settings = settings();
    settings.scope.domains = Some(["example.test", "example.net"].map(Box::from).into());
    settings.scope.opt_out = list("out@example.test", Recipients);
    settings.scope.dry_run = [Box::from("example.net")].into();
    settings.whitelist = list("client=192.0.2.0/24 !recipient=bar@example.test", Entries);
    settings.null_sender_passes = true;
    let mut sources = sources(&store, SpfResult::None);
    let map = |key, value| -> Arc<Table> { Arc::new(OneEntry(key, value)) };
    sources.maps = vec![
        ("down".into(), Arc::new(Double::new(Lookup::temp_fail("down")))),
        ("no".into(), map("198.51.101", "DUNNO")),
        ("yes".into(), map("198.51", "OK")),
    ];
    sources.list = Some(Arc::new(Listing("203.0.113.9".parse().unwrap())));
    let greylist = Greylist::new(settings.clone(), sources, Arc::new(Mutex::new(Throttle::new(0))));
    for (client, sender, recipient, want) in [
        ("203.0.113.1", "bob@example.org", "foo@example.com", "not greylisted"),
        ("203.0.113.1", "bob@example.org", "out+x@example.test", "not greylisted"),
        ("203.0.113.1", "", "foo@example.test", "null sender"),
        ("192.0.2.1", "bob@example.org", "foo@example.test", "whitelist"),
        ("192.0.2.1", "bob@example.org", "bar@example.test", "new 300"),
        ("198.51.100.1", "bob@example.org", "foo@example.test", "whitelist"),
        ("198.51.101.1", "bob@example.org", "foo@example.test", "new 300"),
        ("203.0.113.9", "bob@example.org", "foo@example.test", "DNSWL"),
        ("203.0.113.1", "bob@example.org", "foo@example.net", "new 300"),
    ] {
        let verdict = ask(&greylist, &store, client, sender, recipient, T).await;
        assert_eq!(shown(&verdict), want, "{client} {sender} {recipient}");
    }
    assert!(
        greylist.is_dry_run(&address("foo@example.net"))
            && !greylist.is_dry_run(&address("foo@example.test"))
    );
    settings.scope.opt_in = list("in@example.test", Recipients);
    let greylist = host(&store, settings);
    for (recipient, want) in [("foo@example.test", "not greylisted"), ("in@example.test", "new 300")] {
        let verdict = ask(&greylist, &store, "203.0.113.1", "bob@example.org", recipient, T).await;
        assert_eq!(shown(&verdict), want, "{recipient}");
    }
}

#[tokio::test]
async fn a_correspondent_passes() {
    let store = Arc::new(Memory::default());
    let greylist = host(&store, settings());
    store.now.store(T, Relaxed);
    assert!(greylist.learn(&address("Bob@example.org"), &address("foo@example.test"), T).await);
    for (sender, recipient, after, want) in [
        ("bob@example.org", "foo@example.test", 1, "correspondent"),
        ("bob@example.org", "bar@example.test", 1, "new 300"),
        ("eve@example.org", "foo@example.test", 1, "new 300"),
        ("bob@example.org", "foo@example.test", 3_024_000, "new 300"),
    ] {
        let verdict = ask(&greylist, &store, "192.0.2.1", sender, recipient, T + after).await;
        assert_eq!(shown(&verdict), want, "{sender} {recipient} {after}");
    }
    let off = host(&store, Settings { correspondents: false, ..settings() });
    assert!(!off.learn(&address("bob@example.org"), &address("foo@example.test"), T).await);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_never_blocks_mail() {
    let store = Arc::new(Memory::default());
    let passes = host(&store, settings());
    let defers = host(&store, Settings { passes_without_store: false, ..settings() });
    for (state, want, deferred) in [
        ('-', "store failed", "store failed 300"),
        ('.', "store failed", "store failed 300"),
        // What cannot be stored would wait for ever.
        ('r', "store failed", "store failed 300"),
        ('+', "new 300", "early-retry 300"),
    ] {
        *store.state.lock().unwrap() = state;
        let verdict = ask(&passes, &store, "192.0.2.1", "bob@example.org", "foo@example.test", T).await;
        assert_eq!(shown(&verdict), want, "{state}");
        let verdict = ask(&defers, &store, "192.0.2.1", "bob@example.org", "foo@example.test", T).await;
        assert_eq!(shown(&verdict), deferred, "{state}");
    }
    *store.state.lock().unwrap() = 'r';
    let verdict = ask(&passes, &store, "192.0.2.1", "bob@example.org", "foo@example.test", T + 300).await;
    assert_eq!(shown(&verdict), "passes after 300");
}

#[tokio::test]
async fn a_client_has_a_limit_of_new_entries() {
    let store = Arc::new(Memory::default());
    let throttle = Arc::new(Mutex::new(Throttle::new(3)));
    let greylist = Greylist::new(settings(), sources(&store, SpfResult::None), throttle);
    let mut verdicts = Vec::new();
    for n in 0..5 {
        let sender = format!("spam{n}x@example.org");
        verdicts.push(shown(&ask(&greylist, &store, "192.0.2.1", &sender, "foo@example.test", T).await));
    }
    assert_eq!(verdicts, ["new 300", "new 300", "new 300", "new, not stored 300", "new, not stored 300"]);
    assert_eq!(store.texts.lock().unwrap().len(), 3);
    let verdict = ask(&greylist, &store, "198.51.100.1", "bob@example.org", "foo@example.test", T).await;
    assert_eq!(shown(&verdict), "new 300");
}

#[tokio::test]
async fn names_are_stored_if_they_may_be() {
    for hash in [true, false] {
        let store = Arc::new(Memory::default());
        let greylist = host(&store, Settings { hash, ..settings() });
        ask(&greylist, &store, "192.0.2.1", "bob@example.org", "foo@example.test", T).await;
        let texts = store.texts.lock().unwrap();
        let (text, _) = texts.values().next().unwrap();
        assert_eq!(text.contains("foo@example.test"), !hash, "{text}");
    }
}

proptest! {
    /// Several hosts with one store, whose requests interleave in any way: an attempt never passes before the delay after
    /// the first one, and always after it.
    #[test]
    fn hosts_agree(steps in proptest::collection::vec((0_u64..200, 1_usize..5), 1..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let store = Arc::new(Memory::default());
            let hosts: Vec<_> = (0..5).map(|_| Arc::new(host(&store, settings()))).collect();
            let (mut now, mut begun) = (T, None);
            for (step, at_once) in steps {
                now += step;
                let mut asking = tokio::task::JoinSet::new();
                for host in &hosts[..at_once] {
                    let (host, store) = (host.clone(), store.clone());
                    asking.spawn(async move {
                        ask(&host, &store, "192.0.2.1", "bob@example.org", "foo@example.test", now).await
                    });
                }
                let first = *begun.get_or_insert(now);
                while let Some(verdict) = asking.join_next().await {
                    let waits = matches!(verdict.unwrap(), Verdict::Wait(..));
                    assert_eq!(waits, now < first + TIMES.delay, "{} s after the first", now - first);
                }
            }
        });
    }
}

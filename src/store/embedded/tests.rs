//! Tests of the embedded store.

use super::*;
use crate::observe::Metrics;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const LONG: Duration = Duration::from_secs(1_000_000);

fn clock() -> u64 {
    1_764_550_000
}

/// A clock that tests set. Tests with the same number share it.
fn set_clock() -> &'static AtomicU64 {
    static NOW: AtomicU64 = AtomicU64::new(1_764_550_000);
    &NOW
}

fn open_with(path: &Path, settings: Settings) -> (Embedded, Option<String>) {
    Embedded::open(path, settings, Metrics::default().outage("store", None)).unwrap()
}

fn open(path: &Path) -> Embedded {
    let (store, moved) = open_with(path, Settings { max_entries: 1_000_000, clock });
    assert_eq!(moved, None);
    store
}

#[tokio::test]
async fn what_is_written_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = open(&path);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(store.get("ta").await, Lookup::NotFound);
    store.set("ta", "one", LONG).await.unwrap();
    store.set("tb", "two", LONG).await.unwrap();
    assert_eq!(store.add("ta", "other", LONG).await, Ok(false));
    assert_eq!(store.add("tc", "three", LONG).await, Ok(true));
    store.set("xd", "four", LONG).await.unwrap();
    store.remove("tb").await.unwrap();
    // Before and after a commit, and after the file was opened again.
    let check = async |store: &Embedded, is_committed: bool| {
        let texts = store.get_all(&["ta", "tb", "tc", "none"]).await.unwrap();
        assert_eq!(texts, [Some("one".into()), None, Some("three".into()), None]);
        if is_committed {
            let page = store.page("t", "").await.unwrap();
            assert_eq!((page.keys.join(" "), page.next), ("ta tc".into(), None));
            assert_eq!(store.len(), Ok(3));
        }
    };
    check(&store, false).await;
    store.flush().await.unwrap();
    check(&store, true).await;
    assert_eq!(store.add("tc", "other", LONG).await, Ok(false));
    let why = Embedded::open(&path, Settings { max_entries: 1, clock }, Metrics::default().outage("x", None));
    assert!(why.unwrap_err().contains("in use by another process"));
    drop(store);
    check(&open(&path), true).await;
}

#[tokio::test]
async fn a_damaged_file_is_moved_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    for bytes in [&b"not a store"[..], &[0; 10_000], b"redb\x1a\x0a\xa9\x0d\x0a and more"] {
        std::fs::write(&path, bytes).unwrap();
        let (store, moved) = open_with(&path, Settings { max_entries: 1000, clock });
        let moved = moved.unwrap();
        assert!(moved.contains(".broken-"), "{moved}");
        store.set("ta", "one", LONG).await.unwrap();
        drop(store);
        assert_eq!(open(&path).get("ta").await, Lookup::Found("one".into()));
        std::fs::remove_file(&path).unwrap();
    }
    let why = Embedded::open(
        &folder.path().join("none/store"),
        Settings { max_entries: 1, clock },
        Metrics::default().outage("x", None),
    );
    assert!(why.unwrap_err().contains("create its folder"));
}

#[tokio::test]
async fn entries_expire() {
    let folder = tempfile::tempdir().unwrap();
    let now = || set_clock().load(Relaxed);
    let (store, _) = open_with(&folder.path().join("store"), Settings { max_entries: 1000, clock: now });
    store.set("ta", "one", Duration::from_secs(10)).await.unwrap();
    store.set("tb", "two", Duration::from_secs(100)).await.unwrap();
    for committed in [false, true] {
        set_clock().store(1_764_550_000, Relaxed);
        if committed {
            store.flush().await.unwrap();
        }
        for (after, a, b) in [(9, true, true), (10, false, true), (99, false, true), (100, false, false)] {
            set_clock().store(1_764_550_000 + after, Relaxed);
            let texts = store.get_all(&["ta", "tb"]).await.unwrap();
            assert_eq!((texts[0].is_some(), texts[1].is_some()), (a, b), "{after} {committed}");
        }
    }
    // They are removed without a request.
    assert_eq!(store.page("", "").await.unwrap().keys.len(), 0);
    let begun = Instant::now();
    while store.len() != Ok(0) {
        assert!(begun.elapsed() < Duration::from_secs(30));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(store.add("ta", "three", Duration::from_secs(10)).await, Ok(true));
}

#[tokio::test]
async fn the_entries_nearest_to_their_expiry_go_first() {
    const MOST: u64 = 2000;
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open_with(&folder.path().join("store"), Settings { max_entries: MOST, clock });
    // As the keys of greylisting: a letter and a digest.
    let name = |n: u32| {
        let digest = foldhash::quality::FixedState::default().hash_one(n);
        let digits = digest.to_be_bytes().map(|octet| char::from(b'0' + octet % 74));
        format!("t{}", String::from_iter(digits))
    };
    for n in 0..1000 {
        store.set(&name(n), "passed", LONG).await.unwrap();
    }
    store.flush().await.unwrap();
    for n in 1000..50_000 {
        store.set(&name(n), "waiting", LONG / 100).await.unwrap();
        if n % 5000 == 0 {
            store.flush().await.unwrap();
            assert!(store.len().unwrap() <= MOST);
        }
    }
    store.flush().await.unwrap();
    assert!(store.len().unwrap() <= MOST && store.len().unwrap() > MOST * 9 / 10);
    let mut left = 0;
    for n in 0..1000 {
        left += u32::from(store.get(&name(n)).await != Lookup::NotFound);
    }
    assert_eq!(left, 1000, "those that passed");
}

#[tokio::test]
async fn one_of_several_adds() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(open(&folder.path().join("store")));
    for round in 0..50 {
        let mut adding = tokio::task::JoinSet::new();
        for n in 0..10 {
            let store = store.clone();
            adding.spawn(async move { store.add(&format!("t{round}"), &n.to_string(), LONG).await });
        }
        if round % 5 == 0 {
            store.flush().await.unwrap();
        }
        let added = adding.join_all().await.into_iter().filter(|added| *added == Ok(true)).count();
        assert_eq!(added, 1);
    }
}

#[test]
fn changes_are_bounded() {
    let mut changes = Changes::default();
    for n in 0..MAX_CHANGES {
        let urgent = changes.put(&n.to_string(), Some(("x", 1))).unwrap();
        assert_eq!(urgent, n + 1 >= FLUSH_AT);
    }
    assert!(changes.put("one more", None).unwrap_err().contains("could not be written"));
    changes.put("0", None).unwrap();
    // Those that are being committed count.
    let batch = changes.take().unwrap();
    assert!(changes.put("one more", None).is_err());
    drop(batch);
    changes.failed("disk full");
    assert_eq!(changes.failure(), Some("disk full"));
    changes.committed();
    // A commit that fails loses nothing, and newer changes count.
    let mut changes = Changes::default();
    for key in ["0", "1", "2"] {
        changes.put(key, Some(("x", 9))).unwrap();
    }
    let batch = changes.take().unwrap();
    changes.put("1", Some(("newer", 9))).unwrap();
    drop(batch);
    changes.failed("disk full");
    let texts = ["0", "1", "2"].map(|key| changes.get(key, 0));
    assert_eq!(texts, [Held::Text("x"), Held::Text("newer"), Held::Text("x")]);
    assert_eq!((changes.get("1", 9), changes.get("3", 0)), (Held::Nothing, Held::Unchanged));
}

/// A step of the model test.
#[derive(Clone, Debug)]
enum Step {
    Set(u8, u16),
    Add(u8, u16),
    Remove(u8),
    Flush,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u8..20, any::<u16>()).prop_map(|(key, text)| Step::Set(key, text)),
        4 => (0_u8..20, any::<u16>()).prop_map(|(key, text)| Step::Add(key, text)),
        2 => (0_u8..20).prop_map(Step::Remove),
        1 => Just(Step::Flush),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_is_a_map(steps in proptest::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("store");
            let mut store = Some(open(&path));
            let mut model: BTreeMap<String, String> = BTreeMap::new();
            for step in steps {
                let here = store.as_ref().unwrap();
                match step {
                    Step::Set(key, text) => {
                        let (key, text) = (format!("t{key}"), text.to_string());
                        here.set(&key, &text, LONG).await.unwrap();
                        model.insert(key, text);
                    }
                    Step::Add(key, text) => {
                        let (key, text) = (format!("t{key}"), text.to_string());
                        let added = here.add(&key, &text, LONG).await.unwrap();
                        assert_eq!(added, !model.contains_key(&key));
                        model.entry(key).or_insert(text);
                    }
                    Step::Remove(key) => {
                        here.remove(&format!("t{key}")).await.unwrap();
                        model.remove(&format!("t{key}"));
                    }
                    Step::Flush => here.flush().await.unwrap(),
                    Step::Reopen => {
                        drop(store.take());
                        store = Some(open(&path));
                    }
                }
                let here = store.as_ref().unwrap();
                for key in 0..20 {
                    let key = format!("t{key}");
                    let want = model.get(&key).cloned().map_or(Lookup::NotFound, Lookup::Found);
                    assert_eq!(here.get(&key).await, want, "{key}");
                }
            }
        });
    }
}

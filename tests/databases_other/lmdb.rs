//! Files of LMDB.

use super::Want::{Found, NotFound, Unknown};
use super::stores::mdb_load;
use super::{expect, folder};
use rcptd::map::{Lookup, MAX_VALUE, Table, lmdb};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

/// Makes or updates a file; `nul` stands behind keys and values.
fn make(file: &Path, nul: &str, pairs: &[(&str, &str)]) {
    let pairs: Vec<_> =
        pairs.iter().map(|(key, value)| (format!("{key}{nul}"), format!("{value}{nul}"))).collect();
    mdb_load(file, &pairs);
}

fn open(file: &Path) -> Arc<Table> {
    lmdb::open(file).unwrap()
}

#[tokio::test]
async fn look_ups() {
    let folder = folder();
    let long = "a".repeat(MAX_VALUE);
    let page = "b".repeat(5000);
    for nul in ["\0", ""] {
        let file = folder.path().join(format!("virtual{}.lmdb", nul.len()));
        let pairs = [
            ("foo@example.test", "bar@example.test"),
            ("grüße", "x y"),
            ("@example.test", "catch"),
            ("empty", ""),
            ("page", &page),
            ("long", &long),
            ("longer", &format!("{long}a")),
        ];
        make(&file, nul, &pairs);
        // Postfix leaves out the end of the name.
        for path in [file.clone(), file.with_extension("")] {
            let table = open(&path);
            for (key, want) in [
                ("foo@example.test", Found("bar@example.test")),
                ("foo@example.tes", NotFound),
                ("foo@example.test2", NotFound),
                ("foo@example.test\0", NotFound),
                ("FOO@example.test", NotFound),
                ("grüße", Found("x y")),
                ("@example.test", Found("catch")),
                ("", NotFound),
                ("~", NotFound),
                ("page", Found(&page)),
                ("long", Found(&long)),
                ("longer", Unknown("longer than 100000")),
                ("empty", Unknown("the value is empty")),
                (&"k".repeat(10_000), NotFound),
            ] {
                if nul.is_empty() && (key == "empty" || key.ends_with('\0')) {
                    continue;
                }
                expect(&*table, key, want).await;
            }
        }
    }
    // With both, that with a NUL counts, as it does to Postfix.
    let file = folder.path().join("both.lmdb");
    make(&file, "\0", &[("a", "with")]);
    make(&file, "", &[("a", "without"), ("b", "without")]);
    let table = open(&file);
    expect(&*table, "a", Found("with")).await;
    expect(&*table, "b", Found("without")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_key_of_many() {
    let folder = folder();
    let file = folder.path().join("many.lmdb");
    // Long keys make a deep tree; every seventh value has pages of its own.
    let pair = |n: usize| {
        let key = format!("{}{n}@example.test\0", "k".repeat(n * 37 % 400));
        (key, format!("value{n}{}\0", "v".repeat(if n.is_multiple_of(7) { 3000 } else { 0 })))
    };
    let pairs: Vec<_> = (0..5000).map(pair).collect();
    mdb_load(&file, &pairs);
    let table = open(&file);
    for (key, value) in &pairs {
        let (key, value) = (key.trim_end_matches('\0'), value.trim_end_matches('\0'));
        expect(&*table, key, Found(value)).await;
        expect(&*table, &format!("{key}x"), NotFound).await;
    }
}

#[tokio::test]
async fn replaced_and_updated() {
    let folder = folder();
    let (file, other) = (folder.path().join("virtual.lmdb"), folder.path().join("other.lmdb"));
    make(&file, "\0", &[("foo", "one")]);
    let table = open(&file);
    expect(&*table, "foo", Found("one")).await;
    make(&file, "\0", &[("foo", "two"), ("bar", "new")]);
    expect(&*table, "foo", Found("two")).await;
    expect(&*table, "bar", Found("new")).await;
    make(&other, "\0", &[("bar", "other")]);
    fs::rename(&other, &file).unwrap();
    expect(&*table, "foo", NotFound).await;
    expect(&*table, "bar", Found("other")).await;
    fs::remove_file(&file).unwrap();
    expect(&*table, "bar", Unknown("No such file")).await;
    fs::write(&file, "").unwrap();
    expect(&*table, "bar", Unknown("virtual.lmdb: ")).await;
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    expect(&*table, "bar", Unknown("directory")).await;
}

/// While somebody writes, nothing is seen that was never there.
#[tokio::test(flavor = "multi_thread")]
async fn updated_all_the_time() {
    let folder = folder();
    let file = folder.path().join("virtual.lmdb");
    let stable: Vec<_> = (0..1000).map(|n| (format!("stable{n}\0"), format!("value{n}\0"))).collect();
    mdb_load(&file, &stable);
    let table = open(&file);
    let (begin, is_over) = (Arc::new(Barrier::new(2)), Arc::new(AtomicBool::new(false)));
    let writer = thread::spawn({
        let (begin, is_over, file) = (begin.clone(), is_over.clone(), file.clone());
        move || {
            begin.wait();
            for round in 0..30 {
                let changing: Vec<_> = (0..1000)
                    .map(|n| (format!("stable{n}x\0"), format!("{round} {}\0", "v".repeat(n))))
                    .collect();
                mdb_load(&file, &changing);
            }
            is_over.store(true, Ordering::SeqCst);
        }
    });
    begin.wait();
    let mut n = 0;
    while !is_over.load(Ordering::SeqCst) {
        n = (n + 7) % 1000;
        expect(&*table, &format!("stable{n}"), Found(&format!("value{n}"))).await;
        expect(&*table, &format!("stable{n}y"), NotFound).await;
    }
    writer.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_files() {
    let folder = folder();
    let file = folder.path().join("virtual.lmdb");
    let pairs: Vec<_> = (0..300)
        .map(|n| (format!("key{n}{}\0", "k".repeat(n)), format!("value{n}{}\0", "v".repeat(n * 20))))
        .collect();
    mdb_load(&file, &pairs);
    let good = fs::read(&file).unwrap();
    let table = open(&file);
    // Cut short: what is there is found, and what is not is never said to be missing.
    for length in (0..good.len()).step_by(1021) {
        fs::write(&file, &good[..length]).unwrap();
        for (key, value) in pairs.iter().step_by(61) {
            match table.look_up(key.trim_end_matches('\0')).await {
                Lookup::Found(found) => assert_eq!(found, value.trim_end_matches('\0'), "{length}"),
                Lookup::TempFail(_) => (),
                Lookup::NotFound => panic!("{key} is said to be missing from a file of {length} octets"),
            }
        }
    }
    // Zeros in the place of any page in use: the same.
    for at in (0..good.len()).step_by(4096) {
        let mut bad = good.clone();
        bad[at..at + 4096].fill(0);
        fs::write(&file, &bad).unwrap();
        for (key, _) in pairs.iter().step_by(61) {
            let answer = table.look_up(key.trim_end_matches('\0')).await;
            assert!(answer != Lookup::NotFound, "{key} is said to be missing without page {}", at / 4096);
        }
    }
    // Any octet otherwise: there is an answer.
    let mut random = 1_u64;
    for _ in 0..3000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let mut bad = good.clone();
        let at =
            usize::try_from(random >> 33).unwrap() % if random.is_multiple_of(2) { 8192 } else { bad.len() };
        bad[at] ^= 1 << (random >> 20 & 7);
        fs::write(&file, &bad).unwrap();
        for (key, _) in pairs.iter().step_by(149) {
            let _ = table.look_up(key.trim_end_matches('\0')).await;
        }
    }
    // Random octets, of which some look like a file.
    for length in [10, 4096, 20_000, 100_000] {
        let noise: Vec<u8> = (0..length)
            .map(|_| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (random >> 40).to_le_bytes()[0]
            })
            .collect();
        fs::write(&file, &noise).unwrap();
        expect(&*table, "foo", Unknown("virtual.lmdb: ")).await;
        assert!(lmdb::open(&file).unwrap_err().contains("postmap lmdb:"), "{length}");
        let headed = [&good[..8192], &noise].concat();
        fs::write(&file, &headed).unwrap();
        expect(&*table, "foo", Unknown("virtual.lmdb: ")).await;
    }
}

#[test]
fn files_that_are_none() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("text.lmdb"), "foo bar\n").unwrap();
    fs::write(path("long.lmdb"), "foo bar\n".repeat(2000)).unwrap();
    for (name, want) in [
        ("missing", "create it with postmap lmdb:"),
        ("missing", "missing.lmdb: No such file"),
        ("text", "text.lmdb: "),
        ("long.lmdb", "not an LMDB file"),
    ] {
        let error = lmdb::open(&path(name)).unwrap_err();
        assert!(error.contains(want), "{error}");
    }
}

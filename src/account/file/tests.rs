use super::super::build;
use super::super::settings::{CacheSettings, Settings, SourceSettings};
use super::super::testing::account;
use super::*;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;
use tempfile::TempDir;

struct BuildContext {
    directory: TempDir,
    source: FileSource,
}

fn open(path: &Path) -> FileSource {
    FileSource::open("file:test".into(), path, false.into(), &FORMAT).unwrap()
}

fn site(content: &str) -> BuildContext {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("accounts");
    fs::write(&path, content).unwrap();
    age(&path, QUIET);
    let source = open(&path);
    source.keep_looking();
    BuildContext { directory, source }
}

/// Settings with this list alone, without caching.
fn settings(path: &Path) -> Settings {
    let source = SourceSettings::new(format!("file:{}", path.display()).parse().unwrap());
    let cache = CacheSettings {
        positive_ttl: Duration::ZERO,
        negative_ttl: Duration::ZERO,
        ..CacheSettings::default()
    };
    Settings::new(vec![source], cache)
}

/// Sets the modification time of a file to this long ago.
fn age(path: &Path, age: Duration) {
    File::open(path).unwrap().set_modified(SystemTime::now() - age).unwrap();
}

const WRITTEN: &str = "temporary failure: the list is being written";

impl BuildContext {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    async fn says(&self, user: &str) -> String {
        self.source.look_up(&account(&format!("{user}@example.test"))).await.result.to_string()
    }

    /// Waits until the result for `user` begins with `want`.
    async fn becomes(&self, user: &str, want: &str) {
        let begin = Instant::now();
        while !self.says(user).await.starts_with(want) {
            assert!(
                begin.elapsed() < Duration::from_secs(5),
                "{user} is {}, not {want}: {:?} {:?}",
                self.says(user).await,
                self.source.list.view(),
                self.source.list.file.heard()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test]
async fn handles_replaced_deleted_and_invalid_files() {
    let site = site("foo\n");
    let (list, other) = (site.path("accounts"), site.path("new"));
    assert_eq!(site.says("foo").await, "exists");
    assert_eq!(site.says("bar").await, "not found");

    fs::write(&other, "foo\nbar\n").unwrap();
    fs::rename(&other, &list).unwrap();
    site.becomes("bar", "exists").await;

    fs::write(&list, "bar\nbaz\n").unwrap();
    site.becomes("baz", "exists").await;
    site.becomes("foo", "not found").await;

    fs::remove_file(&list).unwrap();
    site.becomes("bar", "temporary failure: cannot read the list: No such file").await;
    assert!(site.says("foo").await.starts_with("temporary failure: "));

    fs::write(&list, "foo\n").unwrap();
    site.becomes("foo", "exists").await;
    assert_eq!(site.says("bar").await, "not found");

    fs::write(&list, "").unwrap();
    site.becomes("foo", "temporary failure: the list names no account").await;
    fs::write(&list, "# nobody\n").unwrap();
    site.becomes("foo", "temporary failure: the list names no account").await;

    fs::write(&list, "foo\nbar\n").unwrap();
    site.becomes("bar", "exists").await;
    fs::write(&list, "foo\nbar baz\n").unwrap();
    site.becomes("baz", "temporary failure: /").await;
    assert!(site.says("baz").await.contains("accounts:2:1: error: the line has more than one account"));
    assert_eq!(site.says("bar").await, "exists");

    fs::remove_file(&list).unwrap();
    fs::create_dir(&list).unwrap();
    site.becomes("bar", "temporary failure: cannot read the list: not a file").await;
}

#[tokio::test]
async fn half_written_list_is_temporary_failure() {
    let site = site("foo\nbar\n");
    assert_eq!(site.says("baz").await, "not found");
    let mut writer = File::create(site.path("accounts")).unwrap();
    for half in ["", "foo\nb", "az\n"] {
        writer.write_all(half.as_bytes()).unwrap();
        site.becomes("baz", WRITTEN).await;
        // Longer than events are collected, and the file looks older than `QUIET`.
        tokio::time::sleep(SETTLE * 3).await;
        age(&site.path("accounts"), QUIET * 2);
        tokio::time::sleep(SETTLE * 3).await;
        let got = [site.says("foo").await, site.says("bar").await, site.says("baz").await];
        assert_eq!(got, ["exists", "exists", WRITTEN], "{half}");
    }
    drop(writer);
    site.becomes("baz", "exists").await;
    site.becomes("bar", "not found").await;

    // As soon as the file is open for writing, no account is "not found", whatever the last list was.
    let writer = File::create(site.path("accounts")).unwrap();
    site.becomes("bar", WRITTEN).await;
    assert_eq!(site.says("foo").await, "exists");
    drop(writer);
    site.becomes("foo", "temporary failure: the list names no account").await;
}

#[tokio::test]
async fn reads_a_renamed_file_at_once() {
    let site = site("foo\n");
    fs::write(site.path("new"), "bar\n").unwrap();
    let begin = Instant::now();
    fs::rename(site.path("new"), site.path("accounts")).unwrap();
    site.becomes("bar", "exists").await;
    site.becomes("foo", "not found").await;
    assert!(begin.elapsed() < QUIET, "however young the file is");
    // A hard link raises no event of a write, so only its age shows that the file is finished.
    fs::write(site.path("old"), "baz\n").unwrap();
    age(&site.path("old"), QUIET);
    fs::remove_file(site.path("accounts")).unwrap();
    fs::hard_link(site.path("old"), site.path("accounts")).unwrap();
    site.becomes("baz", "exists").await;
    site.becomes("bar", "not found").await;
}

#[tokio::test]
async fn waits_for_a_file_written_just_before_opening() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("accounts");
    let mut writer = File::create(&path).unwrap();
    writer.write_all(b"foo\n").unwrap();
    let source = open(&path);
    source.keep_looking();
    let site = BuildContext { directory, source };
    assert_eq!((site.says("foo").await, site.says("bar").await), ("exists".into(), WRITTEN.into()));
    writer.write_all(b"bar\n").unwrap();
    drop(writer);
    site.becomes("bar", "exists").await;
    site.becomes("baz", "not found").await;

    // A list without further changes.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("accounts");
    fs::write(&path, "foo\n").unwrap();
    let source = open(&path);
    source.keep_looking();
    let site = BuildContext { directory, source };
    assert_eq!(site.says("bar").await, WRITTEN);
    site.becomes("bar", "not found").await;
}

#[tokio::test]
async fn opening_waits_a_limited_time_for_the_writer() {
    let directory = tempfile::tempdir().unwrap();
    for (held, want) in [(false, "not found"), (true, WRITTEN)] {
        let path = directory.path().join(held.to_string());
        fs::write(&path, "foo\n").unwrap();
        let settings = settings(&path);
        let writing = Arc::new(AtomicBool::new(held));
        let (still, list) = (writing.clone(), path.clone());
        let writer = std::thread::spawn(move || {
            let mut list = fs::OpenOptions::new().append(true).open(list).unwrap();
            while still.load(Ordering::SeqCst) {
                list.write_all(b"bar\n").unwrap();
                std::thread::sleep(SETTLE / 2);
            }
        });
        let begin = Instant::now();
        let source = build(&settings, false).await.unwrap();
        let got = source.look_up(&account("baz@example.test")).await.result.to_string();
        assert!(begin.elapsed() < QUIET * 3, "{held} {:?}", begin.elapsed());
        writing.store(false, Ordering::SeqCst);
        writer.join().unwrap();
        assert_eq!(got, want);
    }
}

#[tokio::test]
async fn follows_a_changed_symlink() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::create_dir(path("v1")).unwrap();
    fs::create_dir(path("v2")).unwrap();
    fs::write(path("v1/accounts"), "foo\n").unwrap();
    fs::write(path("v2/accounts"), "bar\n").unwrap();
    std::os::unix::fs::symlink("v1", path("current")).unwrap();
    std::os::unix::fs::symlink("current/accounts", path("accounts")).unwrap();
    let source = open(&path("accounts"));
    source.keep_looking();
    let site = BuildContext { directory, source };
    assert_eq!(site.says("foo").await, "exists");
    std::os::unix::fs::symlink("v2", site.path("next")).unwrap();
    fs::rename(site.path("next"), site.path("current")).unwrap();
    site.becomes("bar", "exists").await;
}

/// As on a file server, where changes by other hosts raise no event.
#[tokio::test]
#[allow(clippy::await_holding_lock, reason = "it keeps the looks of the other threads away")]
async fn periodic_check_detects_changes_without_events() {
    let site = site("foo\n");
    let list = site.source.list.clone();
    let real = site.path("accounts");
    assert_eq!((site.says("foo").await, site.says("bar").await), ("exists".into(), "not found".into()));
    // Make the watcher believe that it has handled all events.
    let unheard = || {
        let mut view = list.view();
        view.read = view.read.map(|read| AsRead { events: list.file.heard().events, ..read });
        list.show(view);
    };
    let looking = lock(&list.looking);
    fs::write(&real, "foo\nbar\n").unwrap();
    tokio::time::sleep(SETTLE * 2).await;
    unheard();
    assert_eq!(site.says("bar").await, "not found", "no event");
    drop(looking);
    // The file is young, so it may not be finished.
    assert_eq!(list.look(), QUIET);
    assert_eq!((site.says("foo").await, site.says("bar").await), ("exists".into(), WRITTEN.into()));
    let long = std::time::Duration::from_hours(1);
    File::open(&real)
        .unwrap()
        .set_times(
            fs::FileTimes::new()
                .set_accessed(SystemTime::now() - long)
                .set_modified(SystemTime::now() - long),
        )
        .unwrap();
    site.becomes("bar", "exists").await;
    // The events of the new modification time count once.
    list.look();
    site.becomes("baz", "not found").await;
    let before = Arc::as_ptr(&list.view().list);
    list.look();
    assert_eq!(Arc::as_ptr(&list.view().list), before, "an unchanged file is not read again");
}

/// Setting the modification time raises the event of a write, but not that of its end.
#[tokio::test]
async fn touched_list_counts_as_finished_after_a_while() {
    let site = site("foo\n");
    age(&site.path("accounts"), QUIET * 2);
    site.becomes("bar", WRITTEN).await;
    site.becomes("bar", "not found").await;
    assert_eq!(site.says("foo").await, "exists");
}

#[tokio::test]
async fn reading_does_not_trigger_another_read() {
    let site = site("foo\n");
    let before = Arc::as_ptr(&site.source.list.view().list);
    for _ in 0..3 {
        fs::read(site.path("accounts")).unwrap();
        tokio::time::sleep(SETTLE / 2).await;
    }
    tokio::time::sleep(SETTLE).await;
    assert_eq!(Arc::as_ptr(&site.source.list.view().list), before);
}

/// Also if the list is a link to a file that is written in place elsewhere.
#[tokio::test]
async fn detects_half_written_target_of_a_link() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::create_dir(path("data")).unwrap();
    fs::write(path("data/list"), "foo\nbar\n").unwrap();
    age(&path("data/list"), QUIET);
    std::os::unix::fs::symlink("data/list", path("accounts")).unwrap();
    let source = open(&path("accounts"));
    source.keep_looking();
    let site = BuildContext { directory, source };
    assert_eq!(site.says("baz").await, "not found");
    let mut writer = File::create(site.path("data/list")).unwrap();
    writer.write_all(b"foo\n").unwrap();
    site.becomes("baz", WRITTEN).await;
    age(&site.path("data/list"), QUIET * 2);
    tokio::time::sleep(SETTLE * 3).await;
    assert_eq!((site.says("bar").await, site.says("baz").await), ("exists".into(), WRITTEN.into()));
    drop(writer);
    site.becomes("bar", "not found").await;
}

/// All configurations with the same list share its state.
#[tokio::test]
async fn reload_keeps_the_state_of_a_half_written_list() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("accounts");
    fs::write(&path, "foo\nbar\n").unwrap();
    age(&path, QUIET);
    let settings = settings(&path);
    let old = build(&settings, false).await.unwrap();
    let says = |source: Arc<AccountSource>, user: &'static str| async move {
        source.look_up(&account(&format!("{user}@example.test"))).await.result.to_string()
    };
    let mut writer = File::create(&path).unwrap();
    writer.write_all(b"foo\n").unwrap();
    let begin = Instant::now();
    while says(old.clone(), "baz").await != WRITTEN {
        assert!(begin.elapsed() < Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    age(&path, QUIET * 2);
    let new = build(&settings, false).await.unwrap();
    drop(old);
    for user in ["foo", "bar"] {
        assert_eq!(says(new.clone(), user).await, "exists", "{user}");
    }
    assert_eq!(says(new.clone(), "baz").await, WRITTEN);
    writer.write_all(b"baz\nbar\n").unwrap();
    drop(writer);
    while says(new.clone(), "baz").await != "exists" {
        assert!(begin.elapsed() < Duration::from_secs(15));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(says(new, "none").await, "not found");
}

#[tokio::test]
async fn shrunk_list_needs_a_reload_by_the_operator() {
    let site = site("a\nb\nc\nd\n");
    // Up to half of the accounts may disappear.
    fs::write(site.path("accounts"), "a\nb\n").unwrap();
    site.becomes("d", "not found").await;
    fs::write(site.path("accounts"), "a\nb\nc\nd\ne\n").unwrap();
    site.becomes("e", "exists").await;
    fs::write(site.path("accounts"), "a\nf\n").unwrap();
    site.becomes("f", "temporary failure: the list has shrunk from 5 accounts to 2").await;
    assert_eq!((site.says("a").await, site.says("e").await), ("exists".into(), "exists".into()));
    // The next check does not accept it, nor does one after a reload for another list.
    site.source.list.look();
    assert_eq!(site.says("e").await, "exists");
    watch::accept();
    site.becomes("f", "exists").await;
    assert_eq!(site.says("e").await, "not found");
    // The request applied to that list only.
    fs::write(site.path("accounts"), "").unwrap();
    site.becomes("a", "temporary failure: the list names no account").await;
    fs::write(site.path("accounts"), "a\nb\nc\n").unwrap();
    site.becomes("c", "exists").await;
    fs::write(site.path("accounts"), "c\n").unwrap();
    site.becomes("f", "temporary failure: the list has shrunk from 3 accounts to 1").await;
    // The list is complete again.
    fs::write(site.path("accounts"), "c\nd\n").unwrap();
    site.becomes("a", "not found").await;
}

#[tokio::test]
async fn handles_a_replaced_folder() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    for (folder, list) in [("lists", "foo\n"), ("next", "bar\n")] {
        fs::create_dir(path(folder)).unwrap();
        fs::write(path(folder).join("accounts"), list).unwrap();
        age(&path(folder).join("accounts"), QUIET);
    }
    let source = open(&path("lists/accounts"));
    source.keep_looking();
    let site = BuildContext { directory, source };
    assert_eq!(site.says("foo").await, "exists");
    fs::rename(site.path("lists"), site.path("old")).unwrap();
    fs::rename(site.path("next"), site.path("lists")).unwrap();
    site.becomes("bar", "exists").await;
    // The new folder is watched now: the end of a write there raises an event.
    tokio::time::sleep(watch::LOOK_UNWATCHED * 2).await;
    assert!(site.source.list.file.is_watched());
    let mut writer = File::create(site.path("lists/accounts")).unwrap();
    writer.write_all(b"baz\n").unwrap();
    site.becomes("foo", WRITTEN).await;
    drop(writer);
    site.becomes("baz", "exists").await;
    // The folder is deleted for a while.
    fs::remove_dir_all(site.path("lists")).unwrap();
    site.becomes("baz", "temporary failure: cannot read the list").await;
    fs::create_dir(site.path("lists")).unwrap();
    fs::write(site.path("lists/accounts"), "baz\nnew\n").unwrap();
    site.becomes("new", "exists").await;
}

/// The cache drops the results of the old list.
#[tokio::test]
async fn changed_list_invalidates_the_cache() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("accounts");
    fs::write(&path, "foo\nbar\n").unwrap();
    age(&path, QUIET);
    let mut settings = settings(&path);
    settings.cache = CacheSettings::default();
    let cached = build(&settings, false).await.unwrap();
    let says = async |user: &str| {
        let answer = cached.look_up(&account(&format!("{user}@example.test"))).await;
        (answer.result.to_string(), answer.cached)
    };
    for again in [false, true] {
        assert_eq!(says("bar").await, ("exists".into(), again));
        assert_eq!(says("new").await, ("not found".into(), again));
    }
    fs::write(directory.path().join("next"), "foo\nnew\n").unwrap();
    fs::rename(directory.path().join("next"), &path).unwrap();
    let begin = Instant::now();
    while says("new").await.0 != "exists" || says("bar").await.0 != "not found" {
        assert!(begin.elapsed() < QUIET, "{:?} {:?}", says("new").await, says("bar").await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn rejects_unusable_lists_at_start() {
    let directory = tempfile::tempdir().unwrap();
    let open = |name: &str| {
        FileSource::open("file:test".into(), &directory.path().join(name), false.into(), &FORMAT)
    };
    assert!(open("none").unwrap_err()[0].starts_with("cannot read the list: No such file"));
    assert!(open("").unwrap_err()[0].starts_with("cannot read the list: not a file"));
    // Opening a FIFO would block.
    nix::unistd::mkfifo(&directory.path().join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(open("fifo").unwrap_err()[0].starts_with("cannot read the list: not a file"));
    assert!(open("/dev/zero").unwrap_err()[0].starts_with("cannot read the list: not a file"));
    fs::write(directory.path().join("bad"), "a b\nok\nc d\n").unwrap();
    assert_eq!(open("bad").unwrap_err().len(), 2);
    // With an empty list, no account is "not found".
    fs::write(directory.path().join("empty"), "").unwrap();
    let got = open("empty").unwrap().look_up(&account("foo@example.test")).await.result;
    assert_eq!(got.to_string(), "temporary failure: the list names no account");
}

#[tokio::test]
async fn dropping_the_source_ends_its_tasks() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("accounts");
    fs::write(&path, "foo\n").unwrap();
    let source = open(&path);
    source.keep_looking();
    let file = Arc::downgrade(&source.list);
    drop(source);
    let begin = Instant::now();
    while file.strong_count() > 0 {
        assert!(begin.elapsed() < Duration::from_secs(5), "{} still hold it", file.strong_count());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// After a change of `case_sensitive` two sources have the same file for a while. The end of the old one does not hide
/// the trouble of the new one from `rcptd status`.
#[tokio::test]
async fn trouble_stays_when_another_source_of_the_file_ends() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("accounts");
    fs::write(&path, "foo\n").unwrap();
    age(&path, QUIET);
    let [old, new] = [false, true].map(|cases| {
        let (source, is_new) = FileSource::shared("file:test".into(), &path, cases.into(), &FORMAT).unwrap();
        assert!(is_new, "{cases}");
        source.keep_looking();
        source
    });
    fs::write(&path, "foo bar\n").unwrap();
    let begin = Instant::now();
    while [&old, &new].iter().any(|source| source.list.view().trouble.is_none()) {
        assert!(begin.elapsed() < Duration::from_secs(20), "no trouble");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let is_told = || watch::troubles().iter().any(|(of, _)| *of == path);
    drop(old);
    assert!(is_told());
    drop(new);
    assert!(!is_told());
}

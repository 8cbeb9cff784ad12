use super::super::build;
use super::super::settings::{CacheSettings, Settings, SourceSettings, VrfySettings};
use super::super::testing::account;
use super::*;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;

struct Site {
    directory: TempDir,
    source: FileSource,
}

fn site(content: &str) -> Site {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("accounts");
    fs::write(&path, content).unwrap();
    age(&path, QUIET);
    let mut source = FileSource::open("file:test".into(), path, false.into()).unwrap();
    source.keep_looking();
    Site { directory, source }
}

/// Makes a file as if it had been written so long ago.
fn age(path: &Path, age: Duration) {
    File::open(path).unwrap().set_modified(SystemTime::now() - age).unwrap();
}

const WRITTEN: &str = "unknown: the list is being written";

impl Site {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    async fn says(&self, user: &str) -> String {
        self.source.verify(&account(&format!("{user}@example.test"))).await.verdict.to_string()
    }

    /// Waits until the watcher has brought `user` to a verdict that begins with `want`.
    async fn becomes(&self, user: &str, want: &str) {
        let begin = Instant::now();
        while !self.says(user).await.starts_with(want) {
            assert!(
                begin.elapsed() < Duration::from_secs(5),
                "{user} is {}, not {want}",
                self.says(user).await
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test]
async fn survives_what_happens_to_files() {
    let site = site("foo\n");
    let (list, other) = (site.path("accounts"), site.path("new"));
    assert_eq!(site.says("foo").await, "exists");
    assert_eq!(site.says("bar").await, "missing");

    fs::write(&other, "foo\nbar\n").unwrap();
    fs::rename(&other, &list).unwrap();
    site.becomes("bar", "exists").await;

    fs::write(&list, "bar\nbaz\n").unwrap();
    site.becomes("baz", "exists").await;
    site.becomes("foo", "missing").await;

    fs::remove_file(&list).unwrap();
    site.becomes("bar", "unknown: cannot read the list: No such file").await;
    assert!(site.says("foo").await.starts_with("unknown: "));

    fs::write(&list, "foo\n").unwrap();
    site.becomes("foo", "exists").await;
    assert_eq!(site.says("bar").await, "missing");

    fs::write(&list, "").unwrap();
    site.becomes("foo", "unknown: the list names no account").await;
    fs::write(&list, "# nobody\n").unwrap();
    site.becomes("foo", "unknown: the list names no account").await;

    fs::write(&list, "foo\nbar\n").unwrap();
    site.becomes("bar", "exists").await;
    fs::write(&list, "foo\nbar baz\n").unwrap();
    site.becomes("baz", "unknown: /").await;
    assert!(site.says("baz").await.contains("accounts:2:1: error: the line is more than one account"));
    assert_eq!(site.says("bar").await, "exists");

    fs::remove_file(&list).unwrap();
    fs::create_dir(&list).unwrap();
    site.becomes("bar", "unknown: cannot read the list: not a file").await;
}

#[tokio::test]
async fn nobody_is_missing_from_half_a_list() {
    let site = site("foo\nbar\n");
    assert_eq!(site.says("baz").await, "missing");
    let mut writer = File::create(site.path("accounts")).unwrap();
    for half in ["", "foo\nb", "az\n"] {
        writer.write_all(half.as_bytes()).unwrap();
        site.becomes("baz", WRITTEN).await;
        // Longer than changes are gathered, and longer than an old file is young.
        tokio::time::sleep(SETTLE * 3).await;
        age(&site.path("accounts"), QUIET * 2);
        tokio::time::sleep(SETTLE * 3).await;
        let got = [site.says("foo").await, site.says("bar").await, site.says("baz").await];
        assert_eq!(got, ["exists", "exists", WRITTEN], "{half}");
    }
    drop(writer);
    site.becomes("baz", "exists").await;
    site.becomes("bar", "missing").await;

    // No sooner is it opened for writing than nobody is missing, the view of the last list or not.
    let writer = File::create(site.path("accounts")).unwrap();
    site.becomes("bar", WRITTEN).await;
    assert_eq!(site.says("foo").await, "exists");
    drop(writer);
    site.becomes("foo", "unknown: the list names no account").await;
}

#[tokio::test]
async fn a_new_name_is_enough() {
    let site = site("foo\n");
    fs::write(site.path("new"), "bar\n").unwrap();
    let begin = Instant::now();
    fs::rename(site.path("new"), site.path("accounts")).unwrap();
    site.becomes("bar", "exists").await;
    site.becomes("foo", "missing").await;
    assert!(begin.elapsed() < QUIET, "however young the file is");
    // A link is created finished, which only its age tells.
    fs::write(site.path("old"), "baz\n").unwrap();
    age(&site.path("old"), QUIET);
    fs::remove_file(site.path("accounts")).unwrap();
    fs::hard_link(site.path("old"), site.path("accounts")).unwrap();
    site.becomes("baz", "exists").await;
    site.becomes("bar", "missing").await;
}

#[tokio::test]
async fn a_file_as_young_as_the_source() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("accounts");
    let mut writer = File::create(&path).unwrap();
    writer.write_all(b"foo\n").unwrap();
    let mut source = FileSource::open("file:test".into(), path, false.into()).unwrap();
    source.keep_looking();
    let site = Site { directory, source };
    assert_eq!((site.says("foo").await, site.says("bar").await), ("exists".into(), WRITTEN.into()));
    writer.write_all(b"bar\n").unwrap();
    drop(writer);
    site.becomes("bar", "exists").await;
    site.becomes("baz", "missing").await;

    // One that nobody touches any more.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("accounts");
    fs::write(&path, "foo\n").unwrap();
    let mut source = FileSource::open("file:test".into(), path, false.into()).unwrap();
    source.keep_looking();
    let site = Site { directory, source };
    assert_eq!(site.says("bar").await, WRITTEN);
    site.becomes("bar", "missing").await;
}

#[tokio::test]
async fn a_source_opens_when_its_list_is_finished_or_after_a_while() {
    let directory = tempfile::tempdir().unwrap();
    for (held, want) in [(false, "missing"), (true, WRITTEN)] {
        let path = directory.path().join(held.to_string());
        fs::write(&path, "foo\n").unwrap();
        let mut settings = Settings {
            sources: vec![SourceSettings::new(format!("file:{}", path.display()).parse().unwrap())],
            cache: CacheSettings::default(),
            vrfy: VrfySettings::default(),
        };
        settings.cache.missing = Duration::ZERO;
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
        let got = source.verify(&account("baz@example.test")).await.verdict.to_string();
        assert!(begin.elapsed() < QUIET * 3, "{held} {:?}", begin.elapsed());
        writing.store(false, Ordering::SeqCst);
        writer.join().unwrap();
        assert_eq!(got, want);
    }
}

#[test]
fn ages() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let hour = Duration::from_hours(1);
    let long_seen = Instant::now().checked_sub(QUIET);
    for (written, since, want) in [
        (SystemTime::now() - QUIET, None, true),
        (SystemTime::now() - QUIET / 2, None, false),
        (SystemTime::now() - QUIET / 2, Some(Instant::now()), false),
        (SystemTime::now() - QUIET / 2, long_seen, true),
        (SystemTime::UNIX_EPOCH - hour, None, true),
        // By the clock of another host.
        (SystemTime::now() + hour, None, false),
        (SystemTime::now() + hour, long_seen, true),
    ] {
        file.as_file().set_modified(written).unwrap();
        let stamp = Stamp::of(&file.as_file().metadata().unwrap());
        assert_eq!(stamp.is_quiet(since), want, "{written:?} {since:?}");
    }
}

#[tokio::test]
async fn a_link_that_is_turned_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::create_dir(path("v1")).unwrap();
    fs::create_dir(path("v2")).unwrap();
    fs::write(path("v1/accounts"), "foo\n").unwrap();
    fs::write(path("v2/accounts"), "bar\n").unwrap();
    std::os::unix::fs::symlink("v1", path("current")).unwrap();
    std::os::unix::fs::symlink("current/accounts", path("accounts")).unwrap();
    let mut source = FileSource::open("file:test".into(), path("accounts"), false.into()).unwrap();
    source.keep_looking();
    let site = Site { directory, source };
    assert_eq!(site.says("foo").await, "exists");
    std::os::unix::fs::symlink("v2", site.path("next")).unwrap();
    fs::rename(site.path("next"), site.path("current")).unwrap();
    site.becomes("bar", "exists").await;
}

#[tokio::test]
async fn a_change_without_an_event_is_seen_at_the_next_look() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("accounts");
    fs::write(&path, "foo\n").unwrap();
    age(&path, QUIET);
    let file = Arc::new(Watched::new("file:test".into(), path.clone(), false.into()));
    assert!(!file.look());
    let source = FileSource { file: file.clone(), _watcher: None, look: None };
    let site = Site { directory, source };
    assert_eq!((site.says("foo").await, site.says("bar").await), ("exists".into(), "missing".into()));
    fs::write(&path, "foo\nbar\n").unwrap();
    // Young, and so perhaps not finished.
    assert!(file.look());
    assert_eq!((site.says("foo").await, site.says("bar").await), ("exists".into(), WRITTEN.into()));
    age(&path, QUIET);
    assert!(!file.look());
    assert_eq!(site.says("bar").await, "exists");
    let before = Arc::as_ptr(&file.state().view.list);
    assert!(!file.look());
    assert_eq!(Arc::as_ptr(&file.state().view.list), before, "an unchanged file is not read again");
}

#[tokio::test]
async fn reading_it_does_not_read_it_again() {
    let site = site("foo\n");
    let before = Arc::as_ptr(&site.source.file.state().view.list);
    for _ in 0..3 {
        fs::read(site.path("accounts")).unwrap();
        tokio::time::sleep(SETTLE / 2).await;
    }
    tokio::time::sleep(SETTLE).await;
    assert_eq!(Arc::as_ptr(&site.source.file.state().view.list), before);
}

#[tokio::test]
async fn unusable_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let open = |name: &str| FileSource::open("file:test".into(), directory.path().join(name), false.into());
    assert!(open("none").unwrap_err()[0].starts_with("cannot read the list: No such file"));
    assert!(open("").unwrap_err()[0].starts_with("cannot read the list: not a file"));
    // Opening a FIFO would wait for ever.
    nix::unistd::mkfifo(&directory.path().join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(open("fifo").unwrap_err()[0].starts_with("cannot read the list: not a file"));
    assert!(open("/dev/zero").unwrap_err()[0].starts_with("cannot read the list: not a file"));
    fs::write(directory.path().join("bad"), "a b\nok\nc d\n").unwrap();
    assert_eq!(open("bad").unwrap_err().len(), 2);
    // Nobody is missing from an empty list.
    fs::write(directory.path().join("empty"), "").unwrap();
    let got = open("empty").unwrap().verify(&account("foo@example.test")).await.verdict;
    assert_eq!(got.to_string(), "unknown: the list names no account");
}

#[tokio::test]
async fn nothing_is_left_running() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("accounts");
    fs::write(&path, "foo\n").unwrap();
    let mut source = FileSource::open("file:test".into(), path, false.into()).unwrap();
    source.keep_looking();
    let file = Arc::downgrade(&source.file);
    drop(source);
    let begin = Instant::now();
    while file.strong_count() > 0 {
        assert!(begin.elapsed() < Duration::from_secs(5), "{} still hold it", file.strong_count());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

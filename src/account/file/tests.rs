use super::super::testing::account;
use super::*;
use std::time::Instant;
use tempfile::TempDir;

struct Site {
    directory: TempDir,
    source: FileSource,
}

fn site(content: &str) -> Site {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("accounts");
    fs::write(&path, content).unwrap();
    let source = FileSource::open("file:test".into(), path, false).unwrap();
    Site { directory, source }
}

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
    assert_eq!(site.says("foo").await, "missing");

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
    site.becomes("baz", "unknown: ").await;
    assert!(site.says("baz").await.contains("accounts:2:1: error: the line is more than one account"));
    assert_eq!(site.says("bar").await, "exists");

    fs::remove_file(&list).unwrap();
    fs::create_dir(&list).unwrap();
    site.becomes("bar", "unknown: cannot read the list: not a file").await;
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
    let source = FileSource::open("file:test".into(), path("accounts"), false).unwrap();
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
    let (view, reading) = Default::default();
    let name = "file:test".into();
    let file = Watched { name, path: path.clone(), case_sensitive: false, view, reading };
    file.look(false);
    assert!(file.view().list.has("foo\0"));
    fs::write(&path, "foo\nbar\n").unwrap();
    file.look(false);
    assert!(file.view().list.has("bar\0"));
    let before = Arc::as_ptr(&file.view().list);
    file.look(false);
    assert_eq!(Arc::as_ptr(&file.view().list), before, "an unchanged file is not read again");
}

#[tokio::test]
async fn reading_it_does_not_read_it_again() {
    let site = site("foo\n");
    let before = Arc::as_ptr(&site.source.file.view().list);
    for _ in 0..3 {
        fs::read(site.path("accounts")).unwrap();
        tokio::time::sleep(SETTLE / 2).await;
    }
    tokio::time::sleep(SETTLE).await;
    assert_eq!(Arc::as_ptr(&site.source.file.view().list), before);
}

#[tokio::test]
async fn unusable_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let open = |name: &str| FileSource::open("file:test".into(), directory.path().join(name), false);
    assert!(open("none").unwrap_err()[0].starts_with("cannot read the list: No such file"));
    assert!(open("").unwrap_err()[0].starts_with("cannot read the list: not a file"));
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
    let mut source = FileSource::open("file:test".into(), path, false).unwrap();
    source.look_now_and_then();
    let file = Arc::downgrade(&source.file);
    drop(source);
    let begin = Instant::now();
    while file.strong_count() > 0 {
        assert!(begin.elapsed() < Duration::from_secs(5), "{} still hold it", file.strong_count());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

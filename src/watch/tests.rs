use super::*;
use std::fs::File;
use std::io::Write;

fn age(path: &Path) {
    let then = std::time::SystemTime::now() - QUIET;
    File::open(path).unwrap().set_modified(then).unwrap();
}

/// Waits until the file has this condition.
fn becomes(file: &WatchedFile, read: Option<&Read>, want: fn(Condition) -> bool) {
    let begin = Instant::now();
    loop {
        file.tend();
        let got = file.compare(read);
        if want(got) {
            return;
        }
        assert!(begin.elapsed() < Duration::from_secs(10), "{got:?} {:?}", file.heard());
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn read(file: &WatchedFile) -> Read {
    file.mark()
}

#[test]
fn readers_of_a_path_share_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list");
    let one = WatchedFile::of(&path);
    let two = WatchedFile::of(&path);
    assert!(Arc::ptr_eq(&one, &two) && !Arc::ptr_eq(&one, &WatchedFile::of(&folder.path().join("other"))));
    let weak = Arc::downgrade(&one);
    drop((one, two));
    assert_eq!(weak.strong_count(), 0);
}

#[test]
fn detects_writes_touches_and_removal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list");
    let file = WatchedFile::of(&path);
    assert!(!file.is_watched());
    file.tend();
    assert!(file.is_watched());
    // A missing file has a state, too.
    becomes(&file, None, |got| got == Condition::Ready);
    assert_eq!(file.compare(Some(&read(&file))), Condition::Unchanged);
    let (nothing, basis) = (read(&file), file.revision().basis());
    let mut writer = File::create(&path).unwrap();
    writer.write_all(b"a").unwrap();
    becomes(&file, Some(&nothing), |got| matches!(got, Condition::Writing(_)));
    assert!(!basis.holds());
    // Even if it looks old.
    age(&path);
    std::thread::sleep(SETTLE);
    assert!(matches!(file.compare(Some(&nothing)), Condition::Writing(_)));
    drop(writer);
    becomes(&file, Some(&nothing), |got| got == Condition::Ready);
    let whole = read(&file);
    assert_eq!(file.compare(Some(&whole)), Condition::Unchanged);
    // Only its time changes, which looks like the start of a write. Then a real write starts.
    age(&path);
    becomes(&file, Some(&whole), |got| matches!(got, Condition::Touched(_)));
    let Condition::Touched(whole) = file.compare(Some(&whole)) else { panic!("{:?}", file.heard()) };
    assert_eq!(file.compare(Some(&whole)), Condition::Unchanged);
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().write_all(b"b").unwrap();
    becomes(&file, Some(&whole), |got| got == Condition::Ready);
    let whole = read(&file);
    std::fs::remove_file(&path).unwrap();
    becomes(&file, Some(&whole), |got| got == Condition::Ready);
}

/// A link that is replaced by one to another file: whether the new target is finished depends on its age.
#[test]
fn replaced_link_may_lead_to_an_unfinished_file() {
    let folder = tempfile::tempdir().unwrap();
    let [path, one, two, link] = ["list", "one", "two", "link"].map(|name| folder.path().join(name));
    std::fs::write(&one, "a").unwrap();
    age(&one);
    std::os::unix::fs::symlink(&one, &path).unwrap();
    let file = WatchedFile::of(&path);
    file.tend();
    becomes(&file, None, |got| got == Condition::Ready);
    let read = read(&file);
    let mut writer = File::create(&two).unwrap();
    writer.write_all(b"half").unwrap();
    std::os::unix::fs::symlink(&two, &link).unwrap();
    std::fs::rename(&link, &path).unwrap();
    becomes(&file, Some(&read), |got| got == Condition::Young);
    // From here on, events are those of the new target.
    writer.write_all(b", more").unwrap();
    becomes(&file, Some(&read), |got| matches!(got, Condition::Writing(_)));
    drop(writer);
    becomes(&file, Some(&read), |got| got == Condition::Ready);
}

#[test]
fn change_without_event_is_ready_after_a_while() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list");
    std::fs::write(&path, "a").unwrap();
    age(&path);
    // Nothing is watched.
    let file = WatchedFile::of(&path);
    let old = read(&file);
    assert_eq!(file.compare(Some(&old)), Condition::Unchanged);
    std::fs::write(&path, "ab").unwrap();
    assert_eq!(file.compare(Some(&old)), Condition::Young);
    age(&path);
    assert_eq!(file.compare(Some(&old)), Condition::Ready);
}

/// Replaces the folder itself, or its parent.
#[test]
fn watches_a_replaced_folder_again() {
    for depth in ["a", ""] {
        let root = tempfile::tempdir().unwrap();
        for folder in ["old/a/b", "new/a/b"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let path = root.path().join("old/a/b/list");
        let file = WatchedFile::of(&path);
        file.tend();
        std::fs::rename(root.path().join("old").join(depth), root.path().join("gone")).unwrap();
        file.tend();
        assert!(!file.is_watched());
        std::fs::rename(root.path().join("new").join(depth), root.path().join("old").join(depth)).unwrap();
        let nothing = read(&file);
        std::thread::sleep(RETRY.0);
        file.tend();
        assert!(file.is_watched(), "{depth}");
        let writer = File::create(&path).unwrap();
        (&writer).write_all(b"a").unwrap();
        becomes(&file, Some(&nothing), |got| matches!(got, Condition::Writing(_)));
    }
}

#[test]
fn file_has_shrunk_if_less_than_half_is_left() {
    for (before, now, want) in [
        (0, 0, false),
        (0, 5, false),
        (1, 1, false),
        (1, 0, true),
        (2, 1, false),
        (2, 0, true),
        (3, 2, false),
        (3, 1, true),
        (100, 50, false),
        (100, 49, true),
        (100, 200, false),
    ] {
        assert_eq!(has_shrunk(before, now), want, "{before} {now}");
    }
}

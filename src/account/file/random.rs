//! Tests random histories of a list with its writers, reloads and lookups. The cached and the uncached source
//! agree at all times, an account that is always in the list is never "not found", and an account that was
//! never in it never exists.

use super::super::settings::{CacheSettings, Settings, SourceSettings};
use super::super::testing::account;
use super::super::{Source, Sources};
use crate::map::served::Maps;
use crate::watch::{self, has_shrunk};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

type Names = BTreeSet<&'static str>;

const ALL: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];

#[derive(Clone, Debug)]
enum Step {
    /// A new list is renamed over the old one.
    Replace(Names),
    /// The list is written in place and closed.
    Write(Names),
    /// The list is written in place up to this percentage.
    Begin(Names, usize),
    /// The writer finishes the list and closes it.
    End,
    Remove,
    Break,
    /// A reload; true if the operator asked for it, false if something else changed.
    Reload(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let names = || {
        let most = proptest::sample::subsequence(ALL.to_vec(), 1..=ALL.len());
        most.prop_map(|names| names.into_iter().collect::<Names>())
    };
    prop_oneof![
        3 => names().prop_map(Step::Replace),
        3 => names().prop_map(Step::Write),
        3 => (names(), 1..100_usize).prop_map(|(names, share)| Step::Begin(names, share)),
        3 => Just(Step::End),
        1 => Just(Step::Remove),
        1 => Just(Step::Break),
        3 => any::<bool>().prop_map(Step::Reload),
    ]
}

fn text(names: &Names) -> String {
    names.iter().flat_map(|name| [*name, "\n"]).collect()
}

/// The content of the file.
#[derive(Clone, Debug)]
enum Content {
    List(Names),
    Unfinished,
    Broken,
    Nothing,
}

struct History {
    path: PathBuf,
    settings: Settings,
    sources: Sources,
    /// The last valid list.
    good: Names,
    content: Content,
    /// Whether the list was deleted at the last check.
    gone: bool,
    writer: Option<(File, Names, usize)>,
}

impl History {
    fn apply(&mut self, step: &Step) {
        match step {
            Step::Replace(names) => {
                let next = self.path.with_extension("next");
                fs::write(&next, text(names)).unwrap();
                fs::rename(&next, &self.path).unwrap();
                // The writer continues with a file that is no longer in the directory.
                self.writer = None;
                self.content = Content::List(names.clone());
            }
            Step::Write(names) => {
                self.writer = None;
                fs::write(&self.path, text(names)).unwrap();
                self.content = Content::List(names.clone());
            }
            Step::Begin(names, share) => {
                self.writer = None;
                let whole = text(names);
                let mut cut = (whole.len() * share / 100).max(1);
                // A beginning that equals the last valid list looks like that list after touch(1), and counts as it.
                cut -= usize::from(whole[..cut] == text(&self.good));
                let mut file = File::create(&self.path).unwrap();
                file.write_all(&whole.as_bytes()[..cut]).unwrap();
                self.writer = Some((file, names.clone(), cut));
                self.content = Content::Unfinished;
            }
            Step::End => {
                let Some((mut file, names, cut)) = self.writer.take() else { return };
                file.write_all(&text(&names).as_bytes()[cut..]).unwrap();
                self.content = Content::List(names);
            }
            Step::Remove => {
                self.writer = None;
                let _ = fs::remove_file(&self.path);
                self.content = Content::Nothing;
            }
            Step::Break => {
                self.writer = None;
                fs::write(&self.path, "a b\n").unwrap();
                self.content = Content::Broken;
            }
            Step::Reload(_) => (),
        }
    }

    /// The expected result for each name after all changes have been read; `None` is a temporary failure.
    fn settled(&mut self) -> impl Fn(&'static str) -> Option<bool> + use<> {
        let mut certain = false;
        match &self.content {
            Content::List(names) if has_shrunk(self.good.len(), names.len()) => self.gone = false,
            Content::List(names) => {
                self.good = names.clone();
                (certain, self.gone) = (true, false);
            }
            Content::Unfinished => (),
            Content::Broken => self.gone = false,
            Content::Nothing => self.gone = true,
        }
        let (good, gone) = (self.good.clone(), self.gone);
        move |name| match (gone, good.contains(name)) {
            (true, _) => None,
            (false, true) => Some(true),
            (false, false) => certain.then_some(false),
        }
    }
}

fn word(verdict: &str) -> Option<bool> {
    match verdict {
        "exists" => Some(true),
        "not found" => Some(false),
        _ => None,
    }
}

impl History {
    /// Reloads the configuration, as an operator does (`asked`) or by itself.
    async fn reload(&mut self, asked: bool) {
        if asked {
            watch::accept();
            // The operator accepts a list that is finished, however short it is.
            if let Content::List(names) = &self.content {
                self.good = names.clone();
            }
        }
        let (maps, metrics, before) = (Maps::new(), Arc::default(), Some(&self.sources));
        // Fails if the list cannot be used. The old configuration stays.
        if let Ok(new) = Sources::rebuild(&self.settings, false, &maps, None, &metrics, before).await {
            self.sources = new;
        }
    }
}

async fn live(path: &Path, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let good: Names = ALL[..3].iter().copied().collect();
    fs::write(path, text(&good)).unwrap();
    File::open(path).unwrap().set_modified(std::time::SystemTime::now() - watch::QUIET).unwrap();
    let source = SourceSettings::new(format!("file:{}", path.display()).parse().unwrap());
    let settings = Settings::new(vec![source], CacheSettings::default());
    let sources = Sources::build(&settings, false).await.unwrap();
    let content = Content::List(good.clone());
    let mut history =
        History { path: path.to_owned(), settings, sources, good, content, gone: false, writer: None };
    for (i, step) in steps.iter().enumerate() {
        let before = history.good.clone();
        history.apply(step);
        if let Step::Reload(asked) = step {
            history.reload(*asked).await;
        }
        let settled = history.settled();
        let begun = Instant::now();
        loop {
            let mut open = Vec::new();
            for name in ALL {
                let account = account(&format!("{name}@example.test"));
                let member = &history.sources.members[0].source;
                let first = word(&member.look_up(&account).await.result.to_string());
                let cached = word(&history.sources.look_up(&account).await.result.to_string());
                let second = word(&member.look_up(&account).await.result.to_string());
                prop_assert!(first != second || cached == first, "{i} {step:?}: {name} {first:?} {cached:?}");
                if before.contains(name) && history.good.contains(name) {
                    prop_assert_ne!(cached, Some(false), "{} {:?}: {}", i, step, name);
                }
                if !before.contains(name) && !history.good.contains(name) {
                    prop_assert_ne!(cached, Some(true), "{} {:?}: {}", i, step, name);
                }
                if cached != settled(name) {
                    open.push((name, cached, settled(name)));
                }
            }
            if open.is_empty() {
                break;
            }
            prop_assert!(begun.elapsed() < Duration::from_secs(20), "{i} {step:?}: {open:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 12, failure_persistence: None, max_shrink_iters: 20, ..ProptestConfig::default()
    })]
    #[test]
    fn cached_and_uncached_results_agree(steps in proptest::collection::vec(step(), 1..10)) {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(live(&folder.path().join("accounts"), steps))?;
    }
}

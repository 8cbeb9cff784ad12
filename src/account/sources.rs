//! Builds the tree of sources from the settings.

use super::settings::{Settings, SourceSettings};
use super::{AcceptUnknown, AccountSource, Answer, AnswerFuture, Cache, Chain, Deadline, Limit, Watched};
use mail_address::{Address, CaseSensitivity};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Builds the tree for `settings`: a cache over a chain of sources, each with its deadline and its limit.
///
/// `cases` tell whether local parts that differ by case only are two accounts. All errors are returned at
/// once, each a sentence that names the source. Whatever the tree runs in the background (watchers, idle
/// connections, questions under way) ends when its last `Arc` is dropped.
pub async fn build(
    settings: &Settings,
    cases: impl Into<CaseSensitivity>,
) -> Result<Arc<dyn AccountSource>, Vec<String>> {
    Sources::build(settings, cases).await.map(|sources| sources.composed)
}

/// A built tree, and its single members, to show the answer of each.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The source used in service: cache and chain.
    pub composed: Arc<dyn AccountSource>,
    /// The members of the chain in their order, each with its deadline and limit, without the cache.
    pub members: Vec<Arc<dyn AccountSource>>,
    cache: Arc<Cache>,
    made_of: (Settings, CaseSensitivity),
}

impl Sources {
    /// As [`build`].
    pub async fn build(settings: &Settings, cases: impl Into<CaseSensitivity>) -> Result<Self, Vec<String>> {
        Sources::rebuild(settings, cases, None).await
    }

    /// The same, with the cache from `before` if its sources are the same.
    pub async fn rebuild(
        settings: &Settings,
        cases: impl Into<CaseSensitivity>,
        before: Option<&Sources>,
    ) -> Result<Self, Vec<String>> {
        let cases = cases.into();
        let (mut members, mut errors) = (Vec::new(), Vec::new());
        if settings.sources.is_empty() {
            errors.push("no account source is given: name one, such as \"passwd:\"".into());
        }
        for source in &settings.sources {
            match member(source, settings, &cases).await {
                Ok(member) => members.push(member),
                Err(mut more) => errors.append(&mut more),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let chain: Arc<dyn AccountSource> = match &members[..] {
            [only] => only.clone(),
            several => Arc::new(Chain::new(several.to_vec())),
        };
        let made_of = (settings.clone(), cases.clone());
        let cache = Arc::new(match before.filter(|before| before.made_of == made_of) {
            Some(before) => before.cache.over(chain),
            None => Cache::new(&settings.cache, chain),
        });
        Ok(Sources { composed: cache.clone(), members, cache, made_of })
    }

    /// The answer of each member about `account`, also of those that the chain would not ask; the cache is
    /// not used.
    pub async fn verify_each(&self, account: &Address) -> Vec<Answer> {
        let mut answers = Vec::with_capacity(self.members.len());
        for member in &self.members {
            answers.push(member.verify(account).await);
        }
        answers
    }
}

impl AccountSource for Sources {
    fn verify<'a>(&'a self, account: &'a Address) -> AnswerFuture<'a> {
        self.composed.verify(account)
    }
}

/// One source with its wrappers.
async fn member(
    source: &SourceSettings,
    settings: &Settings,
    cases: &CaseSensitivity,
) -> Result<Arc<dyn AccountSource>, Vec<String>> {
    let name = source.spec.name();
    let told = |error: String| format!("account source \"{name}\": {error}");
    let mut errors = Vec::new();
    if source.deadline < MIN_DEADLINE {
        errors.push(told(format!(
            "a deadline of {:?} leaves no time to answer: give it a second or more",
            source.deadline
        )));
    }
    if !(1..=Semaphore::MAX_PERMITS).contains(&source.concurrency) {
        errors.push(told(format!(
            "{} questions at once is not a limit: give one from 1 on",
            source.concurrency
        )));
    }
    let opened = source.spec.open(source, settings, cases).await;
    let asked = match opened {
        Ok(asked) if errors.is_empty() => asked,
        Ok(_) => return Err(errors),
        Err(more) => {
            errors.extend(more.into_iter().map(told));
            return Err(errors);
        }
    };
    let limited = Arc::new(Limit::new(source.concurrency, asked));
    let timed = Arc::new(Deadline::new(name.clone(), source.deadline, limited));
    let watched = Arc::new(Watched::new(name, timed));
    Ok(if source.accept_unknown { Arc::new(AcceptUnknown::new(watched)) } else { watched })
}

/// Shortest useful deadline; tests use short ones.
const MIN_DEADLINE: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::super::testing::account;
    use super::super::{Reason, Verdict};
    use super::*;

    fn settings(specs: &[&str]) -> Settings {
        Settings {
            sources: specs.iter().map(|s| SourceSettings::new(s.parse().unwrap())).collect(),
            cache: super::super::settings::CacheSettings::default(),
        }
    }

    #[tokio::test]
    async fn composed_and_one_by_one() {
        for (specs, want, each) in [
            (&["static:exists"][..], "exists", &["exists"][..]),
            (&["fail:", "static:exists"], "exists", &["unknown: fail: source", "exists"]),
            (&["fail:", "static:missing"], "unknown: fail: source", &["unknown: fail: source", "missing"]),
            (&["static:missing", "static:exists"], "missing", &["missing", "exists"]),
            (
                &["static:unknown", "fail:"],
                "unknown: static: source",
                &["unknown: static: source", "unknown: fail: source"],
            ),
        ] {
            let foo = account("foo@example.test");
            let sources = Sources::build(&settings(specs), false).await.unwrap();
            assert_eq!(sources.verify(&foo).await.verdict.to_string(), want, "{specs:?}");
            let got: Vec<_> = sources.verify_each(&foo).await;
            assert_eq!(got.iter().map(|a| a.verdict.to_string()).collect::<Vec<_>>(), each, "{specs:?}");
            assert_eq!(got.iter().map(|a| &*a.source).collect::<Vec<_>>(), specs);
            let built = build(&settings(specs), false).await.unwrap();
            assert_eq!(built.verify(&foo).await.verdict.to_string(), want, "{specs:?}");
        }
    }

    #[tokio::test]
    async fn accepting_by_choice() {
        let mut settings = settings(&["fail:"]);
        settings.sources[0].accept_unknown = true;
        let got = build(&settings, false).await.unwrap().verify(&account("foo@example.test")).await.verdict;
        assert_eq!(got, Verdict::Unknown(Reason::new("fail: source").accepting()));
    }

    #[tokio::test]
    async fn all_errors_in_one_run() {
        assert!(Sources::build(&settings(&[]), false).await.unwrap_err()[0].contains("passwd:"));
        let mut settings = settings(&["static:exists", "file:/nonexistent/accounts", "fail:"]);
        settings.sources[0].deadline = Duration::ZERO;
        settings.sources[2].concurrency = 0;
        let got = Sources::build(&settings, false).await.unwrap_err();
        assert_eq!(got.len(), 3, "{got:?}");
        for (got, want) in got.iter().zip(["static:exists", "file:/nonexistent/accounts", "fail:"]) {
            assert!(got.starts_with(&format!("account source \"{want}\": ")), "{got}");
        }
    }
}

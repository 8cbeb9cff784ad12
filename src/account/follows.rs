//! A source whose answers another program makes from files, such as the C library from passwd(5).

use super::{AccountSource, AnswerFuture, Reason, Verdict};
use crate::watch::Followed;
use mail_address::Address;
use std::sync::Arc;

/// Ties the answers of `inner` to its files: a change of one drops cached answers. While one is being
/// written, "missing" becomes unknown, since the account may be in the unwritten half.
#[derive(Debug)]
pub struct Follows {
    inner: Arc<dyn AccountSource>,
    files: Followed,
}

impl Follows {
    /// `inner`, which is made from these files. To be called within the runtime.
    pub fn new(files: &[&str], inner: Arc<dyn AccountSource>) -> Self {
        Follows { inner, files: Followed::new(files) }
    }
}

impl AccountSource for Follows {
    fn verify<'a>(&'a self, account: &'a Address) -> AnswerFuture<'a> {
        Box::pin(async move {
            let basis = self.files.basis();
            let mut answer = self.inner.verify(account).await.resting_on(&basis);
            if answer.verdict == Verdict::Missing
                && let Some(file) = self.files.unfinished()
            {
                answer.verdict =
                    Verdict::Unknown(Reason::new(format!("{} is being written", file.display())));
            }
            answer
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Cache;
    use super::super::settings::CacheSettings;
    use super::super::testing::{Double, account};
    use super::*;
    use crate::watch::QUIET;
    use std::fs::{self, File};
    use std::io::Write;
    use std::time::{Duration, Instant};

    async fn says(cache: &Cache) -> String {
        cache.verify(&account("foo@example.test")).await.verdict.to_string()
    }

    async fn becomes(cache: &Cache, want: &str) {
        let begin = Instant::now();
        while says(cache).await != want {
            assert!(begin.elapsed() < Duration::from_secs(10), "{} is not {want}", says(cache).await);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn a_change_drops_what_is_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passwd");
        fs::write(&path, "root\n").unwrap();
        File::open(&path).unwrap().set_modified(std::time::SystemTime::now() - QUIET).unwrap();
        let double = Arc::new(Double::says(Verdict::Missing));
        let source = Follows::new(&[path.to_str().unwrap()], double.clone());
        let cache = Cache::new(&CacheSettings::default(), Arc::new(source));
        // Once the watch has begun, cached answers stay.
        tokio::time::sleep(Duration::from_millis(500)).await;
        for _ in 0..2 {
            assert_eq!(says(&cache).await, "missing");
        }
        let asked = double.asked();
        assert_eq!(says(&cache).await, "missing");
        assert_eq!(double.asked(), asked, "it is remembered");
        // Renamed over, as useradd(8) does it.
        fs::write(folder.path().join("passwd+"), "root\nfoo\n").unwrap();
        fs::rename(folder.path().join("passwd+"), &path).unwrap();
        double.say(Verdict::Exists);
        becomes(&cache, "exists").await;
        // In place: half of it may lack the account.
        let mut writer = File::create(&path).unwrap();
        writer.write_all(b"root\n").unwrap();
        double.say(Verdict::Missing);
        becomes(&cache, &format!("unknown: {} is being written", path.display())).await;
        double.say(Verdict::Exists);
        becomes(&cache, "exists").await;
        double.say(Verdict::Missing);
        drop(writer);
        becomes(&cache, "missing").await;
        // It is checked when there are no events for a moment.
        tokio::time::sleep(crate::watch::SETTLE * 10).await;
        // Setting the modification time looks like the beginning of a write that does not end.
        File::open(&path).unwrap().set_modified(std::time::SystemTime::now() - QUIET).unwrap();
        tokio::time::sleep(QUIET).await;
        assert_eq!(says(&cache).await, "missing");
    }
}

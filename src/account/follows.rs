//! Makes the results of a source depend on the files that another program reads, such as passwd(5).

use super::{AccountSource, Lookup, LookupFuture, Reason, Source, Verification};
use crate::watch::Followed;
use mail_address::Address;
use std::sync::Arc;

/// Makes the results of `inner` depend on files: a change of one drops cached results. While one is being
/// written, "not found" becomes a temporary failure, since the account may be in the part that is not written
/// yet.
#[derive(Debug)]
pub struct Follows {
    inner: Arc<AccountSource>,
    files: Followed,
}

impl Follows {
    /// Wraps `inner`, whose results come from these files. Must be called within the runtime.
    pub fn new(files: &[&str], inner: Arc<AccountSource>) -> Self {
        Follows { inner, files: Followed::new(files) }
    }
}

impl Source<Address, Verification> for Follows {
    fn look_up<'a>(&'a self, account: &'a Address) -> LookupFuture<'a, Verification> {
        Box::pin(async move {
            let basis = self.files.basis();
            let mut answer = self.inner.look_up(account).await.depending_on(&basis);
            if answer.result == Lookup::NotFound
                && let Some(file) = self.files.unfinished()
            {
                answer.result = Lookup::TempFail(Reason::new(format!("{} is being written", file.display())));
            }
            answer
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::account_cache;
    use super::super::settings::CacheSettings;
    use super::super::testing::{account, answer};
    use super::*;
    use crate::lookup::testing::Double;
    use crate::watch::QUIET;
    use std::fs::{self, File};
    use std::io::Write;
    use std::time::{Duration, Instant};

    async fn says(cache: &AccountSource) -> String {
        cache.look_up(&account("foo@example.test")).await.result.to_string()
    }

    async fn becomes(cache: &AccountSource, want: &str) {
        let begin = Instant::now();
        while says(cache).await != want {
            assert!(begin.elapsed() < Duration::from_secs(10), "{} is not {want}", says(cache).await);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn file_change_drops_cached_results() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passwd");
        fs::write(&path, "root\n").unwrap();
        File::open(&path).unwrap().set_modified(std::time::SystemTime::now() - QUIET).unwrap();
        let double = Arc::new(Double::new(answer(Lookup::NotFound)));
        let source = Follows::new(&[path.to_str().unwrap()], double.clone());
        let cache = account_cache(&CacheSettings::default(), Arc::new(source));
        // Results stay cached only after the watch has started.
        tokio::time::sleep(Duration::from_millis(500)).await;
        for _ in 0..2 {
            assert_eq!(says(&cache).await, "not found");
        }
        let asked = double.count();
        assert_eq!(says(&cache).await, "not found");
        assert_eq!(double.count(), asked, "it is cached");
        // Replaced by rename, as useradd(8) does.
        fs::write(folder.path().join("passwd+"), "root\nfoo\n").unwrap();
        fs::rename(folder.path().join("passwd+"), &path).unwrap();
        double.set(answer(Lookup::Found(())));
        becomes(&cache, "exists").await;
        // Written in place: the account may be in the part that is not written yet.
        let mut writer = File::create(&path).unwrap();
        writer.write_all(b"root\n").unwrap();
        double.set(answer(Lookup::NotFound));
        becomes(&cache, &format!("temporary failure: {} is being written", path.display())).await;
        double.set(answer(Lookup::Found(())));
        becomes(&cache, "exists").await;
        double.set(answer(Lookup::NotFound));
        drop(writer);
        becomes(&cache, "not found").await;
        // The file is checked again when there have been no events for `SETTLE`.
        tokio::time::sleep(crate::watch::SETTLE * 10).await;
        // Setting the modification time raises the event of a write, but not that of its end.
        File::open(&path).unwrap().set_modified(std::time::SystemTime::now() - QUIET).unwrap();
        tokio::time::sleep(QUIET).await;
        assert_eq!(says(&cache).await, "not found");
    }
}

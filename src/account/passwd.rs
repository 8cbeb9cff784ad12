//! `passwd:`, the users of this host.
//!
//! Asks the name service switch (nsswitch.conf(5)), so that LDAP, SSSD and the like count as well as
//! /etc/passwd. Only the local part is asked, at whatever domain: which domains are ours is for the rules.
//! System users such as `daemon` exist here too.
//!
//! To getpwnam_r(3) a name service that is down may look like one that has no such user. Where users come from
//! elsewhere, let nsswitch.conf say so: `passwd: files sss [UNAVAIL=return TRYAGAIN=return]`.

use super::spec::{Kind, OpenFuture, Plan, Site};
use super::{AccountSource, Answer, AnswerFuture, Reason, Verdict};
use crate::addr::{self, Address, Cases};
use nix::unistd::User;
use std::borrow::Cow;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Most lookups at once. Each holds a thread, also after its asker has given up, since getpwnam_r(3) cannot
/// be interrupted; a name service that hangs must not eat the threads of everybody else.
const LOOKUPS: usize = 8;

/// One set for the whole process: with one for each source, every reload during such a hang would strand
/// [`LOOKUPS`] more threads.
static PERMITS: Semaphore = Semaphore::const_new(LOOKUPS);

/// `passwd:`
pub(super) const KIND: Kind = Kind {
    name: "passwd",
    usage: "passwd:",
    read: |arguments| match arguments {
        "" => Ok(Arc::new(NameService)),
        _ => Err("it takes no arguments".into()),
    },
};

#[derive(Debug)]
struct NameService;

impl Plan for NameService {
    fn open<'a>(&'a self, site: Site<'a>) -> OpenFuture<'a> {
        let source =
            Passwd { name: site.name.clone(), cases: site.cases.clone(), lookups: &PERMITS, find: find_user };
        Box::pin(async { Ok(Arc::new(source) as Arc<dyn AccountSource>) })
    }
}

/// Whether there is a user of this name; the error says why nobody knows.
type Find = fn(&str) -> Result<bool, String>;

fn find_user(name: &str) -> Result<bool, String> {
    User::from_name(name).map(|user| user.is_some()).map_err(|error| error.desc().to_string())
}

#[derive(Debug)]
struct Passwd {
    name: Arc<str>,
    cases: Cases,
    lookups: &'static Semaphore,
    find: Find,
}

impl Passwd {
    async fn ask(&self, account: &Address) -> Verdict {
        let unknown = |why: &str| Verdict::Unknown(Reason::new(format!("getpwnam_r: {why}")));
        // A NUL would end the name early, and so name somebody else.
        if account.local().is_empty() || account.local().contains('\0') {
            return unknown("this local part cannot be asked");
        }
        // Mail servers deliver to the name in lower case, unless case matters.
        let user = if self.cases.of(account) {
            Cow::Borrowed(account.local())
        } else {
            addr::lower(account.local())
        };
        let (user, find) = (user.into_owned(), self.find);
        let Ok(permit) = self.lookups.acquire().await else {
            return unknown("no thread for it");
        };
        let found = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            find(&user)
        });
        match found.await {
            Ok(Ok(true)) => Verdict::Exists,
            Ok(Ok(false)) => Verdict::Missing,
            Ok(Err(why)) => unknown(&why),
            Err(_) => unknown("the lookup was given up"),
        }
    }
}

impl AccountSource for Passwd {
    fn verify<'a>(&'a self, account: &'a Address) -> AnswerFuture<'a> {
        Box::pin(async move { Answer::new(self.ask(account).await, &self.name) })
    }
}

#[cfg(test)]
mod tests {
    use super::super::build;
    use super::super::settings::{CacheSettings, Settings, SourceSettings, VrfySettings};
    use super::super::testing::account;
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::time::Duration;

    fn passwd(case_sensitive: bool, find: Find) -> Arc<Passwd> {
        // Its own, so that no test waits for another.
        let lookups = Box::leak(Box::new(Semaphore::new(LOOKUPS)));
        Arc::new(Passwd { name: "passwd:".into(), cases: case_sensitive.into(), lookups, find })
    }

    #[tokio::test]
    async fn the_real_one() {
        for (user, want) in [
            ("root@example.test", "exists"),
            ("Root@anywhere.test", "exists"),
            ("nosuchuser9@example.test", "missing"),
            ("ro\0ot@example.test", "unknown: getpwnam_r: this local part cannot be asked"),
            ("@example.test", "unknown: getpwnam_r: this local part cannot be asked"),
        ] {
            let got = passwd(false, find_user).ask(&account(user)).await.to_string();
            assert_eq!(got, want, "{user}");
        }
        assert_eq!(passwd(true, find_user).ask(&account("Root@example.test")).await, Verdict::Missing);
    }

    #[tokio::test]
    async fn errors_are_unknown() {
        let got = passwd(false, |_| Err("Connection refused".into())).ask(&account("foo")).await;
        assert_eq!(got.to_string(), "unknown: getpwnam_r: Connection refused");
        let got = passwd(false, |_| panic!("in the name service")).ask(&account("foo")).await;
        assert_eq!(got.to_string(), "unknown: getpwnam_r: the lookup was given up");
    }

    #[tokio::test]
    async fn a_reload_brings_no_more_threads() {
        let hung = PERMITS.acquire_many(u32::try_from(LOOKUPS).unwrap()).await.unwrap();
        let mut source = SourceSettings::new("passwd:".parse().unwrap());
        source.deadline = Duration::from_millis(50);
        let (cache, vrfy) = (CacheSettings::default(), VrfySettings::default());
        let reloaded = build(&Settings { sources: vec![source], cache, vrfy }, false).await.unwrap();
        let root = account("root@example.test");
        assert_eq!(reloaded.verify(&root).await.verdict.to_string(), "unknown: no answer within 50ms");
        drop(hung);
        assert_eq!(PERMITS.available_permits(), LOOKUPS, "who gave up waiting holds none");
    }

    static RUNNING: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);
    /// Whether the name service answers.
    static OPEN: AtomicBool = AtomicBool::new(false);

    #[tokio::test]
    async fn threads_are_bounded_also_by_askers_who_gave_up() {
        let slow = passwd(false, |_| {
            MOST.fetch_max(RUNNING.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            while !OPEN.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
            RUNNING.fetch_sub(1, Ordering::SeqCst);
            Ok(true)
        });
        let ask = |patience| {
            let slow = slow.clone();
            tokio::spawn(async move {
                tokio::time::timeout(Duration::from_millis(patience), slow.ask(&account("foo"))).await.ok()
            })
        };
        let hasty: Vec<_> = (0..LOOKUPS).map(|_| ask(20)).collect();
        for asker in hasty {
            assert_eq!(asker.await.unwrap(), None);
        }
        OPEN.store(true, Ordering::SeqCst);
        let patient: Vec<_> = (0..4).map(|_| ask(60_000)).collect();
        for asker in patient {
            assert_eq!(asker.await.unwrap(), Some(Verdict::Exists));
        }
        assert_eq!(MOST.load(Ordering::SeqCst), LOOKUPS);
    }
}

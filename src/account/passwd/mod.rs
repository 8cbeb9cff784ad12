//! `passwd:`, the users of this host.
//!
//! Asks the name service switch (nsswitch.conf(5)), which besides /etc/passwd may include LDAP, SSSD and
//! others. It looks up the local part only, in any domain: the resolver decides which domains are local.
//! System users such as `daemon` exist here too.
//!
//! "Not found" counts only if
//!
//! - a user that certainly exists is found ([`WITNESS`], see [`crate::lookup::control`]),
//! - /etc/passwd is complete, if the name service switch reads it,
//! - every other name service replies "not found" (see `proof`): getpwnam_r(3) does not distinguish a service
//!   that is down from one without that user.

mod proof;
mod services;
mod users;

use super::settings::{Scoped, Witness};
use super::spec::{BuildContext, OpenFuture, SourceConfig, SourceType};
use super::{AccountSource, Follows, Lookup, LookupFuture, Reason, Source, Verification};
use crate::lookup::control::{Control, Reply, Server};
use mail_address::{Address, CaseSensitivity};
use nix::unistd::User;
use services::{NSSWITCH, Services};
use std::borrow::Cow;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use tokio::sync::Semaphore;
use users::UserFile;

/// Maximum number of concurrent lookups. Each occupies a thread, even after the caller has timed out, since
/// getpwnam_r(3) cannot be interrupted. A name service that hangs must not use up the threads of others.
const LOOKUPS: usize = 8;

/// One semaphore for the whole process: with one for each source, every reload during such a hang would block
/// [`LOOKUPS`] more threads.
static PERMITS: Semaphore = Semaphore::const_new(LOOKUPS);

/// The default witness.
const WITNESS: &str = "root";

/// The state of /etc/passwd.
static USERS: LazyLock<UserFile> = LazyLock::new(|| UserFile::new(Path::new("/etc/passwd")));

/// The server of the controls. Its scope is empty, since there is one table of users for all domains.
const SERVER: Server<'_> = Server { peer: "getpwnam_r", scope: "" };

/// `passwd:`
pub(super) const TYPE: SourceType = SourceType {
    name: "passwd",
    usage: "passwd:",
    read: |arguments| match arguments {
        "" => Ok(Arc::new(NameService)),
        _ => Err("it takes no arguments".into()),
    },
};

/// The files on this host that the C library reads. Changes of a remote name service are not detected.
const FILES: [&str; 2] = ["/etc/passwd", "/etc/nsswitch.conf"];

#[derive(Debug)]
struct NameService;

impl SourceConfig for NameService {
    fn open<'a>(&'a self, context: BuildContext<'a>) -> OpenFuture<'a> {
        let source = Passwd {
            name: context.name.clone(),
            cases: context.cases.clone(),
            lookups: &PERMITS,
            find: find_user,
            witness: context.source.witness.clone(),
            control: Control::new(context.name.clone(), context.source.control_interval, context.metrics),
        };
        Box::pin(async {
            // If it panics, the first lookup counts the users.
            let _ = tokio::task::spawn_blocking(|| USERS.begin()).await;
            Ok(Arc::new(Follows::new(&FILES, Arc::new(source))) as Arc<AccountSource>)
        })
    }
}

/// Looks up a user by name. The error is the reason of a temporary failure.
type Find = fn(&str) -> Result<bool, String>;

fn find_user(name: &str) -> Result<bool, String> {
    User::from_name(name).map(|user| user.is_some()).map_err(|error| error.desc().to_string())
}

/// Reads the configured services. Must be called before getpwnam_r(3) reads the same file: glibc 2.36 crashes
/// if a line without services comes first.
fn services() -> Result<Services, String> {
    let text = match std::fs::read_to_string(NSSWITCH) {
        Ok(text) => text,
        // Without the file, the defaults of glibc apply.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(format!("{NSSWITCH}: {error}")),
    };
    Services::read(&text)
}

#[derive(Debug)]
struct Passwd {
    name: Arc<str>,
    cases: CaseSensitivity,
    lookups: &'static Semaphore,
    find: Find,
    witness: Scoped<Witness>,
    control: Control,
}

impl Passwd {
    async fn ask(&self, account: &Address) -> Result<Lookup<()>, Reason> {
        // A NUL would truncate the name, which may then be that of another user.
        if account.local().is_empty() || account.local().contains('\0') {
            return Err(Reason::new("getpwnam_r: this local part cannot be looked up"));
        }
        // Mail servers deliver to the name in lower case, unless case matters.
        let user = if self.cases.of(account) {
            Cow::Borrowed(account.local())
        } else {
            mail_address::lower(account.local())
        };
        let uncertain = |why: &str| Reason::uncontrolled(format!("getpwnam_r({user}): not found, but {why}"));
        let services =
            self.blocking(services).await?.map_err(|why| Reason::new(format!("getpwnam_r: {why}")))?;
        if self.find(user.clone().into_owned()).await? {
            self.control.found(SERVER);
            return Ok(Lookup::Found(()));
        }
        let witness = match self.witness.of(account.domain().unwrap_or_default()) {
            Witness::Off => None,
            Witness::Default => Some(WITNESS),
            Witness::Account(witness) => Some(&**witness),
        };
        if let Some(witness) = witness {
            let asked = self.control.witness(SERVER, witness, || self.ask_witness(witness)).await;
            asked.map_err(|why| uncertain(&why.to_string()))?;
        }
        if services.has_files() {
            self.blocking(|| USERS.is_whole()).await?.map_err(|why| uncertain(&why))?;
        }
        if !services.is_files() {
            proof::prove(&services, &user).await.map_err(|why| uncertain(&why))?;
        }
        Ok(Lookup::NotFound)
    }

    async fn ask_witness(&self, witness: &str) -> Reply {
        match self.find(witness.to_owned()).await {
            Ok(true) => Reply::Exists("found".into()),
            Ok(false) => Reply::NotFound("not found".into()),
            Err(why) => Reply::TempFail(why.to_string()),
        }
    }

    async fn find(&self, user: String) -> Result<bool, Reason> {
        let find = self.find;
        let found = self.blocking(move || find(&user)).await?;
        found.map_err(|why| Reason::new(format!("getpwnam_r: {why}")))
    }

    /// Runs blocking code with a permit, which it holds even after the caller has timed out.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Reason> {
        let permit = self.lookups.acquire().await.map_err(|_| Reason::new("getpwnam_r: no free thread"))?;
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        done.await.map_err(|_| Reason::new("getpwnam_r: the lookup was abandoned"))
    }
}

impl Source<Address, Verification> for Passwd {
    fn look_up<'a>(&'a self, account: &'a Address) -> LookupFuture<'a, Verification> {
        Box::pin(async move {
            let verdict = self.ask(account).await.unwrap_or_else(Lookup::TempFail);
            let answer = Verification::new(verdict, &self.name);
            match answer.result {
                Lookup::NotFound => answer
                    .with_detail(&format!("getpwnam_r({}): not found", account.local()))
                    .with_ttl(self.control.interval()),
                _ => answer,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::build;
    use super::super::settings::{CacheSettings, Settings, SourceSettings};
    use super::super::testing::account;
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::time::Duration;

    fn passwd(case_sensitive: bool, find: Find) -> Arc<Passwd> {
        // A separate semaphore, so that tests do not wait for each other.
        let lookups = Box::leak(Box::new(Semaphore::new(LOOKUPS)));
        Arc::new(Passwd {
            name: "passwd:".into(),
            cases: case_sensitive.into(),
            lookups,
            find,
            witness: Scoped::default(),
            control: Control::new("passwd:".into(), Duration::from_mins(5), &Arc::default()),
        })
    }

    #[tokio::test]
    async fn looks_up_users_of_this_host() {
        for (user, want) in [
            ("root@example.test", "exists"),
            ("Root@anywhere.test", "exists"),
            ("nosuchuser9@example.test", "not found"),
            ("ro\0ot@example.test", "temporary failure: getpwnam_r: this local part cannot be looked up"),
            ("@example.test", "temporary failure: getpwnam_r: this local part cannot be looked up"),
        ] {
            let got = passwd(false, find_user).look_up(&account(user)).await.result.to_string();
            assert_eq!(got, want, "{user}");
        }
        assert_eq!(
            passwd(true, find_user).look_up(&account("Root@example.test")).await.result,
            Lookup::NotFound
        );
    }

    #[tokio::test]
    async fn errors_are_temporary_failures() {
        let got = passwd(false, |_| Err("Connection refused".into())).look_up(&account("foo")).await.result;
        assert_eq!(got.to_string(), "temporary failure: getpwnam_r: Connection refused");
        let got = passwd(false, |_| panic!("in the name service")).look_up(&account("foo")).await.result;
        assert_eq!(got.to_string(), "temporary failure: getpwnam_r: the lookup was abandoned");
    }

    #[tokio::test]
    async fn sources_share_the_limit_of_threads() {
        let hung = PERMITS.acquire_many(u32::try_from(LOOKUPS).unwrap()).await.unwrap();
        let mut source = SourceSettings::new("passwd:".parse().unwrap());
        source.deadline = Duration::from_millis(50);
        let cache = CacheSettings::default();
        let reloaded = build(&Settings::new(vec![source], cache), false).await.unwrap();
        let root = account("root@example.test");
        assert_eq!(
            reloaded.look_up(&root).await.result.to_string(),
            "temporary failure: no answer within 50ms"
        );
        drop(hung);
        assert_eq!(PERMITS.available_permits(), LOOKUPS, "who gave up waiting holds none");
    }

    #[tokio::test]
    async fn not_found_needs_the_witness() {
        let account = account("nosuchuser9@example.test");
        for (find, witness, want) in [
            (
                (|_| Ok(false)) as Find,
                Witness::Default,
                "temporary failure: getpwnam_r(nosuchuser9): not found, but getpwnam_r does not find the witness root either (not found)",
            ),
            (|_| Ok(false), Witness::Off, "not found"),
            (|name| Ok(name == "root"), Witness::Default, "not found"),
            (|name| Ok(name == "alice"), Witness::Account("alice".into()), "not found"),
            (
                |name| Ok(name == "root"),
                Witness::Account("alice".into()),
                "temporary failure: getpwnam_r(nosuchuser9): not found",
            ),
            (
                |name| if name == "root" { Err("down".into()) } else { Ok(false) },
                Witness::Default,
                "temporary failure: getpwnam_r(nosuchuser9): not found, but getpwnam_r gave no answer for the witness root",
            ),
        ] {
            let mut source = Arc::into_inner(passwd(false, find)).unwrap();
            source.witness = witness.into();
            let got = source.look_up(&account).await.result;
            assert!(got.to_string().starts_with(want), "{got}");
            let uncontrolled = matches!(&got, Lookup::TempFail(why) if why.is_uncontrolled());
            assert_eq!(uncontrolled, want != "not found");
        }
    }

    static RUNNING: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);
    /// Whether the name service answers.
    static OPEN: AtomicBool = AtomicBool::new(false);

    #[tokio::test]
    async fn callers_that_time_out_count_towards_the_limit_of_threads() {
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
                tokio::time::timeout(Duration::from_millis(patience), slow.ask(&account("foo")))
                    .await
                    .ok()
                    .map(Result::unwrap)
            })
        };
        let hasty: Vec<_> = (0..LOOKUPS).map(|_| ask(20)).collect();
        for asker in hasty {
            assert_eq!(asker.await.unwrap(), None);
        }
        OPEN.store(true, Ordering::SeqCst);
        let patient: Vec<_> = (0..4).map(|_| ask(60_000)).collect();
        for asker in patient {
            assert_eq!(asker.await.unwrap(), Some(Lookup::Found(())));
        }
        assert_eq!(MOST.load(Ordering::SeqCst), LOOKUPS);
    }
}

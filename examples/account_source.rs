//! An account source of one's own, complete: an account exists if it has a directory below a mail root,
//! `ROOT/DOMAIN/USER`, as many virtual-mailbox sites have it.
//!
//! Try it:
//!
//! ```sh
//! mkdir -p /tmp/mail/example.test/foo
//! cargo run --example account_source -- /tmp/mail foo@example.test bar@example.test foo@other.test ../x@y
//! ```
//!
//! which says
//!
//! ```text
//! foo@example.test: exists (maildirs:/tmp/mail)
//! bar@example.test: not found (maildirs:/tmp/mail)
//! foo@other.test: temporary failure: /tmp/mail/other.test: No such file or directory (os error 2) (maildirs:/tmp/mail)
//! ../x@y: temporary failure: not the name of a directory (maildirs:/tmp/mail)
//! ```
//!
//! The third line is what a source is judged by. `other.test` has no directory at all: perhaps the domain is
//! not ours, perhaps the file system is not mounted. Only where the directory of the domain is there does the
//! lack of one for the user mean that the user does not exist. **"I don't know" is never "no".**

use mail_address::{Address, escape, fold};
use rcptd::account::settings::{CacheSettings, Combine};
use rcptd::account::{AccountSource, Chain, Verification, account_cache};
use rcptd::lookup::{Limit, Lookup, LookupFuture, Source, Timeout};
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// The source. It holds what it needs to ask, and its name, which every answer carries into the log.
#[derive(Debug)]
struct Maildirs {
    name: Arc<str>,
    root: PathBuf,
}

impl Maildirs {
    fn new(root: &Path) -> Self {
        Maildirs { name: format!("maildirs:{}", root.display()).into(), root: root.into() }
    }

    /// The question proper. Everything that is not a clear yes or no leaves as `Err` with its reason, which
    /// is a fragment of a sentence for the log; `?` then does the right thing by itself.
    async fn ask(&self, account: &Address) -> Result<Lookup<()>, String> {
        // An address is text from a stranger. Whatever its characters mean to the world behind this source,
        // here to a file system, is to be dealt with before they get there.
        let domain = account.domain().ok_or("the address has no domain")?;
        let user = fold(account.local());
        let (domain, user) = (file_name(domain)?, file_name(&user)?);

        // tokio::fs, not std::fs: a source must not block the runtime. (A library that blocks goes into
        // tokio::task::spawn_blocking.)
        let domain = self.root.join(domain);
        if !is_directory(&domain).await? {
            return Err(format!("{}: not a directory", domain.display()));
        }
        match tokio::fs::metadata(domain.join(user)).await {
            Ok(found) if found.is_dir() => Ok(Lookup::Found(())),
            Ok(_) => Err("there is a file in place of the directory".into()),
            // The one error that means no. A permission denied, a stale NFS handle and the like do not.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Lookup::NotFound),
            Err(error) => Err(error.to_string()),
        }
    }
}

async fn is_directory(path: &Path) -> Result<bool, String> {
    let found = tokio::fs::metadata(path).await.map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(found.is_dir())
}

/// `text`, if it is the name of a file and not a way to somewhere else.
fn file_name(text: &str) -> Result<&str, String> {
    let mut parts = Path::new(text).components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(name)), None) if name == text && !text.contains('\0') => Ok(text),
        _ => Err("not the name of a directory".into()),
    }
}

/// The seam. This is all that rcptd knows of a source.
impl Source<Address, Verification> for Maildirs {
    fn look_up<'a>(&'a self, account: &'a Address) -> LookupFuture<'a, Verification> {
        Box::pin(async move {
            let result = self.ask(account).await.unwrap_or_else(Lookup::temp_fail);
            Verification::new(result, &self.name)
        })
    }
}

/// A source does not time, limit or cache anything. These boxes do, each a source itself.
fn compose(own: Maildirs) -> Arc<AccountSource> {
    let name = own.name.clone();
    // At most 20 questions at once. The wait for a permit counts towards the timeout, so the limit is inside.
    let limited = Arc::new(Limit::new(20, Arc::new(own)));
    let timed = Arc::new(Timeout::new(name, Duration::from_secs(5), limited));
    // A second source in the chain would be asked when this one fails temporarily.
    let only: Arc<AccountSource> = timed;
    let chain = Arc::new(Chain::new(vec![only.into()], Combine::Fallback));
    Arc::new(account_cache(&CacheSettings::default(), chain))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(root) = arguments.next() else {
        eprintln!("usage: account_source ROOT ADDRESS...");
        return ExitCode::from(2);
    };
    let source = compose(Maildirs::new(Path::new(&root)));
    for argument in arguments {
        let account = Address::from_rcpt(argument.as_bytes());
        let Verification { result, source, .. } = source.look_up(&account).await;
        // A reason may quote what a stranger wrote, so it is escaped on its way to a terminal.
        println!("{}: {} ({})", escape(&argument), escape(&result.to_string()), escape(&*source));
    }
    ExitCode::SUCCESS
}

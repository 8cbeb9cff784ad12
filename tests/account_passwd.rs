//! `passwd:` over a name service that is down, and over a file of users that is not whole: a module of the test's own
//! in a mount namespace with its own /etc.

#![allow(clippy::unwrap_used)]
#![cfg(target_os = "linux")]

mod common;

use common::mta::{Mta, OFFER};
use common::namespace::with_etc;
use common::{Daemon, Site};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

/// A name service that knows carol, or does not answer, as its file says.
const MODULE: &str = r#"
#include <errno.h>
#include <nss.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

enum nss_status GETPWNAM(const char *name, struct passwd *user, char *buffer, size_t size, int *error)
{
    char state[32] = "";
    FILE *file = fopen(STATE, "r");
    if (file) {
        if (fscanf(file, "%31s", state) != 1) state[0] = 0;
        fclose(file);
    }
    if (!strcmp(state, "unavail")) { *error = 0; return NSS_STATUS_UNAVAIL; }
    if (!strcmp(state, "refused")) { *error = errno = ECONNREFUSED; return NSS_STATUS_UNAVAIL; }
    if (!strcmp(state, "absent")) { *error = errno = ENOENT; return NSS_STATUS_UNAVAIL; }
    if (!strcmp(state, "tryagain")) { *error = errno = EAGAIN; return NSS_STATUS_TRYAGAIN; }
    if (!strcmp(state, "tryagain0")) { *error = 0; return NSS_STATUS_TRYAGAIN; }
    if (strcmp(state, "up") || strcmp(name, "carol") || size < 64) return NSS_STATUS_NOTFOUND;
    memset(user, 0, sizeof *user);
    strcpy(buffer, "carol");
    user->pw_name = user->pw_passwd = user->pw_gecos = user->pw_dir = user->pw_shell = buffer;
    user->pw_uid = user->pw_gid = 4711;
    return NSS_STATUS_SUCCESS;
}
"#;

const USERS: &str = "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/:/bin/sh\n";

struct Host {
    folder: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        let host = Host { folder: tempfile::tempdir().unwrap() };
        let path = |name: &str| host.folder.path().join(name);
        fs::create_dir(path("etc")).unwrap();
        fs::write(path("module.c"), MODULE).unwrap();
        for service in ["maybe", "last"] {
            let built = Command::new("cc")
                .args(["-shared", "-fPIC", "-Wall", "-Werror", "-o"])
                .arg(path(&format!("libnss_{service}.so.2")))
                .arg(format!("-DGETPWNAM=_nss_{service}_getpwnam_r"))
                .arg(format!("-DSTATE=\"{}\"", path(service).display()))
                .arg(path("module.c"))
                .status();
            assert!(built.unwrap().success(), "cc, which links this test, builds the module");
        }
        let conf = "domains = [\"example.test\"]\nrules = []\n[milter]\nlisten = \"inet:127.0.0.1:1\"\n[account]\nsource = \"passwd:\"\n";
        fs::write(path("rcptd.conf"), conf).unwrap();
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file of this host, left alone since the age.
    fn write(&self, name: &str, text: &str, age: Duration) {
        fs::write(self.path(name), text).unwrap();
        let file = File::options().write(true).open(self.path(name)).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    }

    /// The program, on this host.
    fn rcptd(&self) -> Command {
        let mut command = with_etc(&self.path("etc"), Path::new(env!("CARGO_BIN_EXE_rcptd")));
        command.env("LD_LIBRARY_PATH", self.folder.path());
        command
    }

    /// What `rcptd explain` says of an account there.
    fn explain(&self, account: &str) -> String {
        let output = self
            .rcptd()
            .args(["explain", "-c"])
            .arg(self.path("rcptd.conf"))
            .args(["--", &format!("{account}@example.test")])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find(|line| line.contains("passwd: "));
        let line = line.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
        line.trim().strip_prefix("passwd: ").unwrap().to_string()
    }
}

const OLD: Duration = Duration::from_mins(1);

/// The line of nsswitch.conf(5), the state of the service `maybe`, and what is said of alice, who is in /etc/passwd,
/// of carol, whom `maybe` knows, and of a user that does not exist.
#[test]
fn a_name_service_that_is_down_is_no_missing_user() {
    const YES: &str = "exists";
    const NO: &str = "not found";
    const UNSURE: &str = "temporary failure";
    let host = Host::new();
    host.write("etc/passwd", USERS, OLD);
    for (services, state, wants) in [
        ("files", "up", [YES, NO, NO]),
        ("files maybe", "up", [YES, YES, NO]),
        ("files maybe last", "up", [YES, YES, NO]),
        ("maybe files", "up", [YES, YES, NO]),
        ("files [NOTFOUND=return] maybe last", "unavail", [YES, NO, NO]),
        ("files maybe last", "unavail", [YES, UNSURE, UNSURE]),
        ("files maybe last", "refused", [YES, UNSURE, UNSURE]),
        ("files maybe last", "absent", [YES, UNSURE, UNSURE]),
        ("files maybe last", "tryagain", [YES, UNSURE, UNSURE]),
        ("files maybe last", "tryagain0", [YES, UNSURE, UNSURE]),
        ("files maybe", "unavail", [YES, UNSURE, UNSURE]),
        ("files maybe", "tryagain", [YES, UNSURE, UNSURE]),
        ("maybe files", "unavail", [YES, UNSURE, UNSURE]),
        ("files maybe [UNAVAIL=return TRYAGAIN=return] last", "unavail", [YES, UNSURE, UNSURE]),
        ("files [UNAVAIL=continue] maybe [UNAVAIL=continue] last", "unavail", [YES, UNSURE, UNSURE]),
        // It may be on its way to be replaced.
        ("files not-installed last", "up", [YES, UNSURE, UNSURE]),
    ] {
        host.write("etc/nsswitch.conf", &format!("passwd: {services}\n"), OLD);
        host.write("maybe", state, OLD);
        for (account, want) in ["alice", "carol", "nobody9"].into_iter().zip(wants) {
            let got = host.explain(account);
            assert!(got.starts_with(want), "{services} {state} {account}: {got}");
        }
    }
    // Names that getent(1) would take for something else.
    host.write("etc/nsswitch.conf", "passwd: files maybe last\n", OLD);
    for (state, want) in [("up", NO), ("unavail", UNSURE)] {
        host.write("maybe", state, OLD);
        for account in ["0", "1000", "99999", "-1", "+0", "-x", "--help"] {
            let got = host.explain(account);
            assert!(got.starts_with(want), "{state} {account}: {got}");
        }
    }
}

#[test]
fn half_of_the_users_are_no_missing_ones() {
    let host = Host::new();
    for services in ["files", "files last"] {
        host.write("etc/nsswitch.conf", &format!("passwd: {services}\n"), OLD);
        for (users, age, want) in [
            (Some(USERS), OLD, "not found"),
            (
                Some(USERS),
                Duration::ZERO,
                "temporary failure: getpwnam_r(nobody9): not found, but /etc/passwd: it was changed",
            ),
            (
                Some(&USERS[..40]),
                OLD,
                "temporary failure: getpwnam_r(nobody9): not found, but /etc/passwd: it ends within",
            ),
            (
                Some(""),
                OLD,
                "temporary failure: getpwnam_r(nobody9): not found, but getpwnam_r does not find the witness root",
            ),
            (
                Some("alice:x:1000:1000::/:/bin/sh\n"),
                OLD,
                "temporary failure: getpwnam_r(nobody9): not found, but getpwnam_r",
            ),
            (None, OLD, "temporary failure: getpwnam_r"),
        ] {
            match users {
                Some(users) => host.write("etc/passwd", users, age),
                None => fs::remove_file(host.path("etc/passwd")).unwrap(),
            }
            let got = host.explain("nobody9");
            assert!(got.starts_with(want), "{services} {users:?}: {got}");
        }
    }
}

/// While the daemon runs: the C library reads nsswitch.conf anew, and dies of some lines.
#[test]
fn files_that_change_under_the_daemon() {
    let host = Host::new();
    let users = |count: usize| {
        let more = (2..count).map(|n| format!("u{n}:x:{n}:{n}::/:/bin/sh\n"));
        format!("{USERS}{}", more.collect::<String>())
    };
    host.write("etc/passwd", &users(40), OLD);
    host.write("etc/nsswitch.conf", "passwd: files\n", OLD);
    let site = Site::new("", "");
    let list = format!("file:{}", site.path("accounts").display());
    site.configure(&list, "passwd:");
    let mut command = host.rcptd();
    command.args(["serve", "-c"]).arg(site.path("rcptd.conf"));
    let daemon = Daemon::start_by(site, command);
    let ask = |account: &str| -> String {
        let mut mta: Mta = daemon.connect();
        mta.negotiate(OFFER);
        mta.mail();
        let reply = mta.rcpt(&[&format!("<{account}@example.test>")]);
        reply.split(' ').nth(1).unwrap_or("accepted").to_owned()
    };
    let becomes = |account: &str, want: &str, what: &str| {
        let begin = std::time::Instant::now();
        while ask(account) != want {
            assert!(begin.elapsed() < common::WAIT, "{what}: {account} is {}", ask(account));
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    let replace = |name: &str, text: &str| {
        host.write("etc/new", text, OLD);
        fs::rename(host.path("etc/new"), host.path(&format!("etc/{name}"))).unwrap();
    };
    assert_eq!((&*ask("u39"), &*ask("nobody9")), ("accepted", "550"));
    for line in
        ["passwd:", "passwd: [!UNAVAIL=return] files", "passwd: files [NOTFOUND", "passwd: files [x] files"]
    {
        replace("nsswitch.conf", &format!("{line}\n"));
        becomes("nobody9", "451", line);
        replace("nsswitch.conf", "passwd: files\n");
        becomes("nobody9", "550", line);
        assert_eq!(ask("alice"), "accepted");
    }
    // Cut short at the end of a line.
    replace("passwd", &users(10));
    becomes("u39", "451", "shrunk");
    assert_eq!((&*ask("u9"), &*ask("nobody9")), ("accepted", "451"));
    replace("passwd", &users(40));
    becomes("nobody9", "550", "whole again");
    // It is meant.
    replace("passwd", &users(10));
    becomes("u39", "451", "shrunk");
    daemon.signal("HUP");
    becomes("u39", "550", "accepted by the operator");
}

//! Programs in Linux namespaces of their own, where a folder of the test is /etc.

#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc)]

use std::path::Path;
use std::process::Command;

/// A command that runs `program` where the folder `etc` is /etc.
pub fn with_etc(etc: &Path, program: &Path) -> Command {
    unshare(&[], "mount --bind \"$0\" /etc && exec \"$@\"", etc, program)
}

/// The same in a network without other hosts, where every port is free and the program may open it.
pub fn with_etc_and_network(etc: &Path, program: &Path) -> Command {
    unshare(&["--net"], "ip link set lo up && mount --bind \"$0\" /etc && exec \"$@\"", etc, program)
}

/// A command that runs `program` with each of these folders mounted at the path next to it.
pub fn with_folders(places: &[(&Path, &str)], program: &Path) -> Command {
    let script =
        "while [ \"$1\" != -- ]; do mount --bind \"$1\" \"$2\" || exit; shift 2; done; shift; exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh"]);
    for (folder, place) in places {
        command.arg(folder).arg(place);
    }
    command.arg("--").arg(program);
    command
}

fn unshare(namespaces: &[&str], script: &str, etc: &Path, program: &Path) -> Command {
    let mut command = Command::new("unshare");
    if !nix::unistd::Uid::effective().is_root() {
        // Mounts need a privilege, which a user has in a user namespace of its own.
        command.arg("--map-root-user");
    }
    command.arg("--mount").args(namespaces).args(["sh", "-c", script]).arg(etc).arg(program);
    command
}

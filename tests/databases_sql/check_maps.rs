//! `rcptd check --maps` with real servers.

use super::servers::folder::{command_as, folder, other_user};
use super::servers::{ADMIN, PASSWORD};
use super::site::Site;
use rcptd::map::settings::Kind;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// The exit code, standard output and standard error of `rcptd check --maps` with this configuration.
fn checked(
    database: &str,
    maps: &[(&str, String)],
    more: &[&str],
    variables: &[(&str, &str)],
) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut text =
        format!("[[socketmap]]\nlisten = \"inet:127.0.0.1:1\"\n[[database]]\nname = \"users\"\n{database}\n");
    for (name, keys) in maps {
        write!(text, "[[map]]\nname = \"{name}\"\nsource = \"database:users\"\n{keys}\n").unwrap();
    }
    for (name, text) in [("rcptd.conf", &*text), ("good", PASSWORD), ("wrong", "x")] {
        fs::write(folder.path().join(name), text).unwrap();
        fs::set_permissions(folder.path().join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_rcptd"));
    command.args(["check", "--maps", "-c"]).arg(folder.path().join("rcptd.conf")).args(more);
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let text = |octets| String::from_utf8(octets).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// A part of the line of a map whose server is down.
const DOWN: &str = "(check hosts";

/// Each map, and a part of its line in the output.
fn expect(database: &str, cases: &[(&str, &str, &str)]) {
    let maps: Vec<_> = cases.iter().map(|(name, keys, _)| (*name, (*keys).to_owned())).collect();
    let (code, out, err) = checked(database, &maps, &[], &[]);
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines.len(), cases.len() + usize::from(code == Some(0)), "{out}{err}");
    for ((name, _, want), line) in cases.iter().zip(lines) {
        let begin = format!("map {name}: database:users: ");
        let fits = if *want == "ok" { line.strip_prefix(&begin) == Some("ok") } else { line.contains(want) };
        assert!(line.starts_with(&begin) && fits, "{name}: {line} instead of {want}");
    }
    let codes = cases.iter().map(|(_, _, want)| match *want {
        "ok" => 0,
        DOWN => 75,
        _ => 78,
    });
    assert_eq!(code, codes.max(), "{out}{err}");
}

fn server(site: &Site, password: &str) -> String {
    let (kind, database) =
        if site.kind() == Kind::Mysql { ("mysql", "mail") } else { ("postgresql", "postgres") };
    format!(
        "kind = \"{kind}\"\nhosts = \"127.0.0.1:{}\"\nuser = \"{ADMIN}\"\ndatabase = \"{database}\"\n\
         password_file = \"{password}\"\nconnect_timeout = \"10s\"\ndeadline = \"20s\"",
        site.port()
    )
}

/// The errors of maps of every kind of server.
const BOTH: [(&str, &str, &str); 7] = [
    ("columns", "table = \"aliases\"\nkey = \"address\"\nvalue = \"goto\"", "ok"),
    ("query", "query = \"SELECT goto FROM aliases WHERE address = %s AND %9 = %u\"", "ok"),
    ("no-table", "query = \"SELECT goto FROM alliases WHERE address = %s\"", "(check the names in the query"),
    ("no-column", "table = \"aliases\"\nkey = \"adress\"\nvalue = \"goto\"", "(check the names in the query"),
    ("syntax", "query = \"SELEKT goto FROM aliases WHERE address = %s\"", "(check the query"),
    (
        "in-domain",
        "query = \"SELECT goto FROM aliases WHERE address = %s\"\ndomain = [\"!x.test\", \"y.test\"]",
        "ok",
    ),
    ("never", "query = \"SELECT goto FROM aliases WHERE %3 = %s\"\ndomain = [\"y.test\"]", "is never sent"),
];

pub fn postgresql(site: &Site) {
    let mut cases = BOTH.to_vec();
    cases.extend([
        ("number", "query = \"SELECT n FROM other WHERE i = %s\"", "ok"),
        ("untyped", "query = \"SELECT concat('x', %u)\"", "ok"),
        ("ambiguous", "query = \"SELECT goto FROM aliases WHERE address = lower(%s) + 1\"", "(check"),
    ]);
    expect(&server(site, "good"), &cases);
    expect(&server(site, "wrong"), &[("m", BOTH[0].1, "(check user, password_file")]);
    expect(&server(site, "good").replace("127.0.0.1:", "127.0.0.2:"), &[("m", BOTH[0].1, DOWN)]);
    let (code, out, _) = checked(&server(site, "good"), &[("m", BOTH[0].1.into())], &["--json"], &[]);
    let want = "{\"fault\":null,\"kind\":\"map\",\"map\":\"m\",\"ok\":true,\"source\":\"database:users\"}\n";
    assert_eq!((code, out.lines().last()), (Some(0), Some(want.trim_end())));
}

/// The socket of `localhost` is that of the environment, whatever the port.
pub fn mariadb(site: &Site) {
    expect(&server(site, "good"), &BOTH);
    expect(&server(site, "wrong"), &[("m", BOTH[0].1, "(check user, password_file")]);
    let Site::Server(_, process) = site else { panic!("no server") };
    let socket = process.socket().display().to_string();
    let local = server(site, "good").replace("127.0.0.1:", "localhost:");
    for (path, want) in [(&*socket, ": ok"), ("/nowhere", "No such file")] {
        let maps = [("m", BOTH[0].1.to_owned())];
        let (_, out, err) = checked(&local, &maps, &[], &[("MYSQL_UNIX_PORT", path)]);
        assert!(out.contains(want), "{path}: {out}{err}");
    }
}

pub async fn sqlite(site: &Site) {
    let file = site.settings().file.unwrap();
    expect(&format!("kind = \"sqlite\"\nfile = {:?}", file.display().to_string()), &BOTH);
    without_permission().await;
}

/// A file in WAL mode, in a folder that the user cannot write to; the program runs as a user who may not do everything.
async fn without_permission() {
    let user = "postgres";
    let folder = folder("rcptd-wal-", user);
    let site = Site::File(folder);
    let file = site.settings().file.unwrap();
    let folder = file.parent().unwrap();
    let mut admin = site.admin().await;
    admin.run("PRAGMA journal_mode = WAL").await;
    admin.run("CREATE TABLE aliases (address TEXT, goto TEXT)").await;
    admin.close().await;
    let program = folder.join("rcptd");
    fs::copy(env!("CARGO_BIN_EXE_rcptd"), &program).unwrap();
    let text = format!(
        "[[socketmap]]\nlisten = \"inet:127.0.0.1:1\"\n[[database]]\nname = \"users\"\nkind = \"sqlite\"\nfile = {:?}\n\
         [[map]]\nname = \"m\"\nsource = \"database:users\"\n{}\n",
        file.display().to_string(),
        BOTH[0].1
    );
    fs::write(folder.join("rcptd.conf"), text).unwrap();
    let check = |folder: &Path| {
        let mut command = command_as(other_user(user).as_ref());
        let output =
            command.arg(&program).args(["check", "--maps", "-c"]).arg(folder.join("rcptd.conf")).output();
        let output = output.unwrap();
        let text = |octets| String::from_utf8(octets).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    for (mode, want) in [(0o555, Some("journal_mode = DELETE")), (0o755, None)] {
        fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
        let (code, out, err) = check(folder);
        match want {
            Some(want) => assert!(
                code == Some(78) && out.contains(want) && err.contains("warning: database.file"),
                "{out}{err}"
            ),
            None => assert!(code == Some(0) && out.contains("map m: database:users: ok"), "{out}{err}"),
        }
    }
}

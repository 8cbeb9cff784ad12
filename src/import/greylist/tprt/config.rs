//! Converts the configuration of TPRT, a JSON file with the sections `log`, `server` and `service`.

use crate::config::time::show;
use crate::import::{CONFIG, Fault, File, Imported, PASSWORD, Place, difference, quoted};
use alias_rules::Difference;
use diagnostics::{Text, count};
use mail_address::escape;
use serde_json::{Map, Value};
use std::fmt::Write;
use std::time::Duration;

/// The port on which TPRT listens.
const PORT: u64 = 10_023;

/// The length of an IPv6 prefix in TPRT. rcptd's is longer, since a provider gives a /48 to one customer, and a /32 has
/// many.
const IPV6_PREFIX: u64 = 48;

/// Options without a counterpart, by section, and the reason.
const WITHOUT: [(&str, &str, &str); 24] = [
    ("log", "log_type", "is left out: set [log] target"),
    ("log", "log_level", "is left out: set [log] level; \"info\" has a line for each decision"),
    ("log", "log_file", "is left out: set [log] target = \"file:/PATH\""),
    (
        "log",
        "log_facility",
        "is left out: rcptd logs to standard error, the journal or a file, which set the facility",
    ),
    ("log", "log_syslog_dest", "is left out: rcptd logs to standard error, the journal or a file"),
    ("log", "config", "is left out: it is for Python's logging"),
    ("server", "listen_queue_size", "is left out: the kernel's limit net.core.somaxconn is used"),
    ("server", "reuse_socket", "had no effect"),
    ("server", "daemonize", "is left out: systemd runs rcptd in the background"),
    ("server", "chroot", "is left out: the systemd unit restricts what rcptd can see"),
    ("server", "chroot_dir", "is left out: the systemd unit restricts what rcptd can see"),
    ("server", "user", "is left out: User= of the systemd unit"),
    ("server", "group", "is left out: Group= of the systemd unit; the group of the socket is socket_group"),
    ("server", "pid_file_path", "is left out: systemd knows the process"),
    ("server", "userdir", "had no effect"),
    (
        "service",
        "maintenance_interval",
        "is left out: entries expire by themselves, without a run over all of them",
    ),
    ("service", "grey_db_maintenance_disable", "is left out: several hosts on one store need no maintenance"),
    ("service", "awl_db_maintenance_disable", "is left out: several hosts on one store need no maintenance"),
    ("service", "awl_db", "is left out: both kinds of entries are in one store"),
    ("service", "grey_db", ""),
    ("service", "wl_sources", ""),
    ("service", "awl_client_count", ""),
    ("service", "grey_text", ""),
    ("service", "hash_grey_db", ""),
];

/// Imports a file. The error lists all errors of it.
///
/// # Errors
/// The text is no JSON, or a value has another type than TPRT needs.
pub fn import(text: &Text) -> Result<Imported, Vec<Fault>> {
    let value: Value = serde_json::from_str(&text.content).map_err(|error| {
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        vec![Fault {
            place: Place::Text(error.line(), error.column()),
            message: format!("this is not JSON: {message}"),
            help: "fix it there or just before; TPRT ignored such a file, with a message".into(),
        }]
    })?;
    let Value::Object(root) = value else {
        return Err(vec![Fault {
            place: Place::Key(String::new()),
            message: "this is no object".into(),
            help: "write {\"service\": {…}}".into(),
        }]);
    };
    let mut import = Import { root: &root, faults: Vec::new(), differences: Vec::new(), files: Vec::new() };
    let options = import.unknown();
    let mut out =
        format!("# Made from {} by \"rcptd import tprt\"; see rcptd.conf(5).\n", escape(&*text.file));
    import.policy(&mut out);
    import.greylist(&mut out);
    if !import.faults.is_empty() {
        return Err(import.faults);
    }
    // The password first: a configuration without it is useless.
    let mut files = import.files;
    files.push(File::public(CONFIG, out));
    Ok(Imported { count: count(options, "option"), files, differences: import.differences })
}

struct Import<'j> {
    root: &'j Map<String, Value>,
    faults: Vec<Fault>,
    differences: Vec<Difference>,
    files: Vec<File>,
}

/// The options that are converted.
const CONVERTED: [(&str, &[&str]); 3] = [
    ("log", &[]),
    ("server", &["socket_type", "socket_mode", "socket_path", "socket_listen_host", "socket_listen_port"]),
    (
        "service",
        &[
            "grey_hostname",
            "grey_delay",
            "ipv4_mask",
            "ipv6_mask",
            "grey_action",
            "grey_max_age",
            "grey_retry_window",
            "grey_smtp_header",
            "allow_wl_regex",
        ],
    ),
];

impl<'j> Import<'j> {
    fn say(&mut self, about: &str, text: impl Into<String>) {
        self.differences.push(difference(about, text.into()));
    }

    fn fault(&mut self, section: &str, name: &str, message: impl Into<String>, help: impl Into<String>) {
        let place = Place::Key(format!("{section}.{name}"));
        self.faults.push(Fault { place, message: message.into(), help: help.into() });
    }

    fn get(&self, section: &str, name: &str) -> Option<&'j Value> {
        self.root.get(section)?.as_object()?.get(name).filter(|value| !value.is_null())
    }

    fn text(&mut self, section: &str, name: &str) -> Option<&'j str> {
        let value = self.get(section, name)?;
        if value.as_str().is_none() {
            self.fault(section, name, "is no string", "write it in quotes");
        }
        value.as_str()
    }

    fn number(&mut self, section: &str, name: &str) -> Option<u64> {
        let value = self.get(section, name)?;
        if value.as_u64().is_none() {
            self.fault(section, name, "is no number from 0", "write a whole number without quotes");
        }
        value.as_u64()
    }

    /// Reports what has no counterpart, and returns the number of options.
    fn unknown(&mut self) -> usize {
        let mut options = 0;
        for (section, value) in self.root {
            let Some((section, converted)) = CONVERTED.iter().find(|(name, _)| name == section) else {
                self.say(&escape(section).to_string(), "was ignored by TPRT and is left out");
                continue;
            };
            let Value::Object(object) = value else {
                self.faults.push(Fault {
                    place: Place::Key((*section).into()),
                    message: "is no object".into(),
                    help: "write {…}".into(),
                });
                continue;
            };
            for name in object.keys() {
                options += 1;
                let about = format!("{section}.{}", escape(name));
                let known =
                    WITHOUT.iter().find(|(in_section, known, _)| in_section == section && known == name);
                match known {
                    Some((_, _, "")) => (),
                    Some((_, _, text)) => self.say(&about, *text),
                    None if converted.contains(&name.as_str()) => (),
                    None => self.say(&about, "was ignored by TPRT and is left out"),
                }
            }
        }
        options
    }

    fn policy(&mut self, out: &mut String) {
        let kind = self.text("server", "socket_type").unwrap_or("unix");
        let listen = match kind {
            "unix" => {
                let path = self.text("server", "socket_path").unwrap_or("/var/run/tprt/socket");
                format!("unix:{path}")
            }
            // The example of TPRT says "tcp", its code wants "inet".
            "inet" | "tcp" => {
                let host = self.text("server", "socket_listen_host").unwrap_or("localhost");
                let port = self.number("server", "socket_listen_port").unwrap_or(PORT);
                let host = match host {
                    "localhost" => "127.0.0.1".to_owned(),
                    host if host.contains(':') && !host.starts_with('[') => format!("[{host}]"),
                    host => host.to_owned(),
                };
                format!("inet:{host}:{port}")
            }
            other => {
                let message = format!("is \"{}\"", escape(other));
                return self.fault("server", "socket_type", message, "write \"unix\" or \"inet\"");
            }
        };
        // Writing to a String cannot fail.
        let _ = write!(out, "\n[[policy]]\nlisten = [{}]\n", quoted(&listen));
        if kind == "unix" {
            let mode = self.text("server", "socket_mode").unwrap_or("0660");
            let _ = writeln!(out, "socket_mode = {}", quoted(mode));
            if let Some(group) = self.text("server", "group") {
                let _ = writeln!(out, "socket_group = {}", quoted(group));
            }
            self.say(
                "server.socket_path",
                "must be in a folder that rcptd may write to: see RuntimeDirectory= of its unit",
            );
        }
        self.say(
            "requests",
            "may follow each other on one connection: remove smtpd_policy_service_request_limit = 1 from main.cf",
        );
    }

    fn greylist(&mut self, out: &mut String) {
        self.store(out);
        let times =
            [("grey_delay", "delay"), ("grey_retry_window", "retry_window"), ("grey_max_age", "max_age")];
        for (name, key) in times {
            if let Some(seconds) = self.number("service", name) {
                let _ = writeln!(out, "{key} = {}", quoted(&show(Duration::from_secs(seconds))));
            }
        }
        if let Some(prefix) = self.number("service", "ipv4_mask") {
            let _ = writeln!(out, "ipv4_prefix = {prefix}");
        }
        let prefix = self.number("service", "ipv6_mask").unwrap_or(IPV6_PREFIX);
        let _ = writeln!(out, "ipv6_prefix = {prefix}");
        let same = [("grey_action", "action"), ("grey_hostname", "hostname"), ("grey_smtp_header", "header")];
        for (name, key) in same {
            if let Some(text) = self.text("service", name) {
                let _ = writeln!(out, "{key} = {}", quoted(text));
            }
        }
        if let Some(text) = self.text("service", "grey_text") {
            let _ = writeln!(out, "text = {}", quoted(text));
        }
        self.clients(out);
        self.whitelists(out);
        self.say(
            "the null sender",
            "was never greylisted, since TPRT did not answer requests without a sender; rcptd has a setting for it",
        );
    }

    fn clients(&mut self, out: &mut String) {
        let passes = self.number("service", "awl_client_count").unwrap_or(0);
        let _ = writeln!(out, "auto_whitelist = {passes}");
        if passes > 0 {
            let text = "counts passes of a client once an hour at most; TPRT counted each message";
            self.say("service.awl_client_count", text);
        }
        let hashed = self.get("service", "hash_grey_db").map_or(Some(true), Value::as_bool);
        match hashed {
            Some(hashed) => {
                let _ = writeln!(out, "hash = {hashed}");
            }
            None => self.fault("service", "hash_grey_db", "is no boolean", "write true or false"),
        }
        if hashed == Some(true) {
            let text = "entries have SHA-1 digests of their names as keys and cannot be imported: all triplets wait once more";
            self.say("service.hash_grey_db", text);
        }
    }

    /// The store: a file of rcptd, or the Redis of TPRT with other keys. The database is written before the section.
    fn store(&mut self, out: &mut String) {
        let redis = self.text("service", "grey_db").and_then(Redis::parse);
        let Some(redis) = redis else {
            let _ = write!(out, "\n[greylist]\nenabled = true\n");
            return self.say("service.grey_db", "is the file of rcptd now; import the old one");
        };
        let _ = write!(
            out,
            "\n[[database]]\nname = \"greylist\"\nkind = \"redis\"\nhosts = [{}]\n",
            quoted(&redis.host)
        );
        if let Some(user) = redis.user {
            let _ = writeln!(out, "user = {}", quoted(user));
        }
        if let Some(password) = redis.password {
            let _ = writeln!(out, "password_file = {}", quoted(PASSWORD));
            self.files.push(File::private(PASSWORD, format!("{password}\n")));
            let text = format!(
                "is in {PASSWORD}, which only its owner can read: let rcptd read it. %XX is not decoded"
            );
            self.say("the password of Redis", text);
        }
        if let Some(number) = redis.number {
            let _ = writeln!(out, "database = {}", quoted(number));
        }
        let _ = write!(out, "\n[greylist]\nenabled = true\nstore = \"database:greylist\"\n");
        let text = "is used with keys of its own, which begin with rcptd:. The old entries stay: import and remove them";
        self.say("service.grey_db", text);
    }

    fn whitelists(&mut self, out: &mut String) {
        let mut files = Vec::new();
        match self.get("service", "wl_sources") {
            None => files.push("/var/db/tprt/whitelist".to_owned()),
            Some(Value::Array(sources)) => {
                for source in sources {
                    match source.as_str().map(|source| (source, source.strip_prefix("file://"))) {
                        Some((_, Some(path))) => files.push(path.to_owned()),
                        Some((url, None)) if url.starts_with("redis-") => self.say(
                            "service.wl_sources",
                            format!(
                                "{} is left out: write its entries into a file",
                                escape(&without_login(url))
                            ),
                        ),
                        _ => {
                            let help = "write file:///PATH";
                            self.fault(
                                "service",
                                "wl_sources",
                                "has an entry that is no URL of a file or Redis",
                                help,
                            );
                        }
                    }
                }
            }
            Some(_) => self.fault("service", "wl_sources", "is no list", "write [\"file:///PATH\"]"),
        }
        let files: Vec<String> = files.iter().map(|file| quoted(file)).collect();
        let _ = writeln!(out, "whitelist = [{}]", files.join(", "));
        match self.get("service", "allow_wl_regex") {
            None => (),
            Some(Value::Bool(allowed)) => {
                let _ = writeln!(out, "allow_regex = {allowed}");
                if *allowed {
                    let text = "expressions are those of Rust: the few that need backtracking are reported as errors";
                    self.say("service.allow_wl_regex", text);
                }
            }
            Some(_) => self.fault("service", "allow_wl_regex", "is no boolean", "write true or false"),
        }
    }
}

/// The URL without user and password.
fn without_login(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        _ => url.to_owned(),
    }
}

/// What a URL of Redis says: `redis-tcp://USER:PASSWORD@HOST:PORT/NUMBER?db=NUMBER`, or `redis-unix://…@/PATH?db=NUMBER`.
struct Redis<'u> {
    host: String,
    user: Option<&'u str>,
    password: Option<&'u str>,
    number: Option<&'u str>,
}

impl<'u> Redis<'u> {
    /// `None` if the URL is that of another database.
    fn parse(url: &'u str) -> Option<Self> {
        let (scheme, rest) = url.strip_prefix("redis-")?.split_once("://")?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (login, place) = rest.rsplit_once('@').unwrap_or(("", rest));
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let in_query = query.split('&').find_map(|part| part.strip_prefix("db="));
        let (host, number) = if scheme == "unix" {
            (format!("unix:{place}"), in_query)
        } else {
            let (host, number) = place.split_once('/').unwrap_or((place, ""));
            (host.to_owned(), in_query.or(Some(number)))
        };
        let some = |text: &'u str| Some(text).filter(|text| !text.is_empty());
        let number = number.and_then(some);
        Some(Redis { host, user: some(user), password: some(password), number })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> Result<(String, Vec<String>, Option<String>), Vec<String>> {
        match import(&Text::new("tprt.conf", text)) {
            Ok(imported) => {
                let password =
                    imported.files.iter().find(|file| file.private).map(|file| file.content.clone());
                let config = imported.files.last().unwrap();
                assert_eq!(config.name, CONFIG);
                let lines = config.content.lines().skip(1).filter(|line| !line.is_empty());
                let config: Vec<&str> = lines.collect();
                let about = imported.differences.into_iter().map(|difference| difference.about).collect();
                Ok((config.join("\n"), about, password))
            }
            Err(faults) => Err(faults.iter().map(|fault| fault.of("f")).collect()),
        }
    }

    #[test]
    fn defaults_are_those_of_tprt() {
        let (config, about, password) = run("{}").unwrap();
        assert_eq!(
            config,
            "[[policy]]\nlisten = [\"unix:/var/run/tprt/socket\"]\nsocket_mode = \"0660\"\n[greylist]\nenabled = true\n\
             ipv6_prefix = 48\nauto_whitelist = 0\nhash = true\nwhitelist = [\"/var/db/tprt/whitelist\"]"
        );
        assert_eq!(password, None);
        let want =
            ["server.socket_path", "requests", "service.grey_db", "service.hash_grey_db", "the null sender"];
        assert_eq!(about, want);
    }

    #[test]
    fn all_options_are_converted_or_reported() {
        let text = r#"{"log": {"log_type": "syslog", "log_level": 3, "x": 1}, "more": {},
            "server": {"socket_type": "tcp", "socket_listen_host": "::1", "socket_listen_port": 10024,
                "daemonize": true, "pid_file_path": "/x"},
            "service": {"grey_hostname": "mx.example.com", "grey_delay": 55, "ipv4_mask": 20, "ipv6_mask": 64,
                "grey_action": "DEFER", "grey_text": "Wait {wait}", "grey_max_age": 3024000, "maintenance_interval": 9,
                "hash_grey_db": false, "grey_retry_window": 172800, "grey_smtp_header": "X-G: {delay}",
                "grey_db": "redis-tcp://u:p@192.0.2.9:6380/?db=2", "awl_client_count": 7, "awl_db": "gdbm:///x",
                "wl_sources": ["file:///w", "redis-tcp://:q@h/"], "allow_wl_regex": true}}"#;
        let (config, about, password) = run(text).unwrap();
        assert_eq!(
            config,
            "[[policy]]\nlisten = [\"inet:[::1]:10024\"]\n[[database]]\nname = \"greylist\"\nkind = \"redis\"\nhosts = \
             [\"192.0.2.9:6380\"]\nuser = \"u\"\npassword_file = \"database.password\"\ndatabase = \"2\"\n[greylist]\n\
             enabled = true\nstore = \"database:greylist\"\ndelay = \"55s\"\nretry_window = \"2d\"\nmax_age = \"5w\"\n\
             ipv4_prefix = 20\nipv6_prefix = 64\naction = \"DEFER\"\nhostname = \"mx.example.com\"\nheader = \
             \"X-G: {delay}\"\ntext = \"Wait {wait}\"\nauto_whitelist = 7\nhash = false\nwhitelist = [\"/w\"]\n\
             allow_regex = true"
        );
        assert_eq!(password.as_deref(), Some("p\n"));
        let mut want = vec![
            "log.log_type",
            "log.log_level",
            "log.x",
            "more",
            "server.daemonize",
            "server.pid_file_path",
            "service.maintenance_interval",
            "service.awl_db",
            "requests",
            "the password of Redis",
            "service.grey_db",
            "service.awl_client_count",
            "service.wl_sources",
            "service.allow_wl_regex",
            "the null sender",
        ];
        let mut about: Vec<&str> = about.iter().map(String::as_str).collect();
        want.sort_unstable();
        about.sort_unstable();
        assert_eq!(about, want);
    }

    #[test]
    fn urls_of_redis_are_read() {
        for (url, want) in [
            ("redis-tcp://localhost:6379/?db=2", "localhost:6379   2"),
            ("redis-tcp://:p@localhost/3", "localhost  p 3"),
            ("redis-tcp://localhost", "localhost   "),
            ("redis-unix://user:password@/var/db/redis", "unix:/var/db/redis user password "),
            ("redis-unix:///var/db/redis?db=1", "unix:/var/db/redis   1"),
        ] {
            let Redis { host, user, password, number } = Redis::parse(url).unwrap();
            let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
            assert_eq!(format!("{host} {} {} {}", text(user), text(password), text(number)), want, "{url}");
        }
        assert!(Redis::parse("gdbm:///x").is_none());
        assert_eq!(without_login("redis-tcp://:p@h/"), "redis-tcp://h/");
    }

    #[test]
    fn errors_are_collected() {
        for (text, want) in [
            (
                "{",
                &[
                    "f:1:1: error: this is not JSON: EOF while parsing an object (fix it there or just before; TPRT \
                     ignored such a file, with a message)",
                ][..],
            ),
            ("[]", &["f: error: this is no object (write {\"service\": {…}})"]),
            (
                r#"{"log": 1, "server": {"socket_type": "x", "socket_mode": 1},
                    "service": {"grey_delay": "5", "grey_text": 1, "wl_sources": ["x"], "hash_grey_db": 1,
                    "allow_wl_regex": "x"}}"#,
                &[
                    "f: log: error: is no object (write {…})",
                    "f: server.socket_type: error: is \"x\" (write \"unix\" or \"inet\")",
                    "f: service.grey_delay: error: is no number from 0 (write a whole number without quotes)",
                    "f: service.grey_text: error: is no string (write it in quotes)",
                    "f: service.hash_grey_db: error: is no boolean (write true or false)",
                    "f: service.wl_sources: error: has an entry that is no URL of a file or Redis (write file:///PATH)",
                    "f: service.allow_wl_regex: error: is no boolean (write true or false)",
                ],
            ),
        ] {
            assert_eq!(run(text).unwrap_err(), want, "{text}");
        }
    }
}

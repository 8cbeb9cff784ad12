//! Checks `[milter]`.

use super::check::{Check, text};
use super::files::has_folder;
use super::keys;
use super::section::Section;
use super::value::{Field, Given, List};
use crate::server::endpoint::Endpoint;
use crate::server::listen::has_group;
use crate::server::milter::reply::SmtpReply;
use diagnostics::Problem;
use mail_address::escape;
use std::fs;
use std::ops::{Range, RangeInclusive};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::Duration;

/// Settings of the milter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Milter {
    /// Addresses to listen on.
    pub listen: Vec<Endpoint>,
    /// Permissions of UNIX sockets.
    pub socket_mode: u32,
    /// Group of UNIX sockets.
    pub socket_group: Option<String>,
    /// Longest time from request to reply.
    pub deadline: Duration,
    /// Most connections at once.
    pub max_connections: usize,
    /// How long a connection may be silent.
    pub idle_timeout: Duration,
    /// Most recipients of one message; further ones are deferred.
    pub max_recipients: usize,
    /// Reply that rejects a recipient whose account does not exist.
    pub reject_reply: SmtpReply,
    /// Reply that defers a recipient when the lookup fails temporarily.
    pub defer_reply: SmtpReply,
    /// The header that records the alias of a message to one recipient.
    pub header: Option<String>,
}

/// Default of `milter.listen`: this host only, since every client of the port can test which accounts
/// exist.
pub const LISTEN: &str = "inet:127.0.0.1:3047";
/// Default of `milter.socket_mode`: owner and group; the mail server's user is added to the group.
pub const SOCKET_MODE: u32 = 0o660;
/// Default of `milter.deadline`: Sendmail waits 10 s for a reply (timeout `R` of `INPUT_MAIL_FILTER`),
/// Postfix 30 s; after that Postfix applies `milter_default_action`.
pub const DEADLINE: Duration = Duration::from_secs(8);
/// Default of `milter.max_connections`: well above Postfix's `default_process_limit` of 100, since each of
/// its smtpd and cleanup processes may keep one.
pub const MAX_CONNECTIONS: usize = 1000;
/// Default of `milter.idle_timeout`: a milter connection lives as long as the SMTP session, in which a client
/// may be silent for 5 minutes at a time (RFC 5321, section 4.5.3.2) and a message may take long.
pub const IDLE_TIMEOUT: Duration = Duration::from_hours(2);
/// Default of `milter.max_recipients`: Postfix' `smtpd_recipient_limit` is 1000; list servers may set it
/// higher.
pub const MAX_RECIPIENTS: usize = 10_000;
/// Default of `milter.reject_reply`.
pub const REJECT_REPLY: &str = "550 5.1.1 Recipient address rejected: User unknown";
/// Default of `milter.defer_reply`.
pub const DEFER_REPLY: &str = "451 4.3.0 Recipient address lookup failed, please try again later";

/// Longest path of a UNIX socket in octets (unix(7): 108 with the NUL at its end).
const MAX_SOCKET_PATH: usize = 107;
/// Most addresses to listen on; more are a mistake, and each needs a task.
pub const MAX_LISTEN: usize = 32;
/// Bounds of `milter.deadline`: it must be below Postfix' `milter_command_timeout` of 30 s.
pub(super) const DEADLINES: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(29);
/// Bounds of `milter.max_connections`: each is a file descriptor and some memory.
pub(super) const CONNECTIONS: RangeInclusive<usize> = 1..=100_000;
/// Bounds of `milter.idle_timeout`.
pub(super) const IDLE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(7 * 24);
/// Bounds of `milter.max_recipients`: each is an address in memory until the message ends.
pub(super) const RECIPIENTS: RangeInclusive<usize> = 1..=1_000_000;
/// Longest silence that an SMTP client is allowed (RFC 5321, section 4.5.3.2).
const CLIENT_SILENCE: Duration = Duration::from_mins(5);
/// Longest name of a header: the line with a short value stays below the 78 characters that RFC 5322,
/// section 2.1.1 recommends.
pub const MAX_HEADER: usize = 64;
/// Headers that have a meaning already: those of RFC 5322, section 3.6, and the one by which Postfix
/// detects mail loops.
const TAKEN: [&str; 24] = [
    "Bcc",
    "Cc",
    "Comments",
    "Date",
    "Delivered-To",
    "From",
    "In-Reply-To",
    "Keywords",
    "Message-ID",
    "Received",
    "References",
    "Reply-To",
    "Resent-Bcc",
    "Resent-Cc",
    "Resent-Date",
    "Resent-From",
    "Resent-Message-ID",
    "Resent-Reply-To",
    "Resent-Sender",
    "Resent-To",
    "Return-Path",
    "Sender",
    "Subject",
    "To",
];

impl Check<'_> {
    /// Checks the whole section. `tables`: whether there are maps.
    pub fn milter(&mut self, raw: &keys::Milter, tables: bool) -> Milter {
        let listen = self.listen(raw, tables);
        let milter = Milter {
            listen,
            socket_mode: self.socket_mode(&raw.socket_mode, SOCKET_MODE),
            socket_group: self.socket_group(&raw.socket_group),
            deadline: self.time(&raw.deadline, DEADLINE, &DEADLINES),
            max_connections: self.number(&raw.max_connections, MAX_CONNECTIONS, &CONNECTIONS),
            idle_timeout: self.time(&raw.idle_timeout, IDLE_TIMEOUT, &IDLE),
            max_recipients: self.number(&raw.max_recipients, MAX_RECIPIENTS, &RECIPIENTS),
            reject_reply: self.reply(&raw.reject_reply, REJECT_REPLY, true),
            defer_reply: self.reply(&raw.defer_reply, DEFER_REPLY, false),
            header: self.header(&raw.header),
        };
        if let Some(given) = raw.idle_timeout.given().filter(|given| given.value < CLIENT_SILENCE) {
            let help = "an SMTP client may be silent for 5m, and the mail server then loses its milter";
            self.warning(given, format!("{} is short", given.key), help);
        }
        milter
    }

    /// Warns of `socket_mode` and `socket_group` if no UNIX socket uses them. `socket_mode` also applies to
    /// `others`, the endpoints of tcp_table and metrics.
    pub fn without_sockets(&mut self, raw: &keys::Milter, milter: &Milter, others: &[&Endpoint]) {
        let is_unix = |endpoint: &Endpoint| matches!(endpoint, Endpoint::Unix(_));
        let used = |mode: bool| {
            milter.listen.is_empty()
                || milter.listen.iter().any(is_unix)
                || (mode && others.iter().any(|endpoint| is_unix(endpoint)))
        };
        for (field, mode) in [(&raw.socket_mode, true), (&raw.socket_group, false)] {
            if let Some(given) = text(field).filter(|_| !used(mode)) {
                self.warning(
                    given,
                    format!("{} has no effect", given.key),
                    "it applies only to unix: in milter.listen",
                );
            }
        }
    }

    /// Returns the addresses of the milter: those set by the operator, or else [`LISTEN`], unless there are
    /// maps and no settings of the milter.
    fn listen(&mut self, raw: &keys::Milter, tables: bool) -> Vec<Endpoint> {
        match &raw.listen {
            Field::Given(given) => {
                if given.value.items.is_empty() && given.value.complete && !tables {
                    let help =
                        format!("write the address where the mail server connects, such as \"{LISTEN}\"");
                    self.error(given, format!("{} is empty", given.key), help);
                }
                self.endpoints(given)
            }
            Field::Absent if tables && raw.is_absent() => Vec::new(),
            Field::Absent | Field::Broken => LISTEN.parse().into_iter().collect(),
        }
    }

    /// Checks addresses to listen on.
    pub(super) fn endpoints(&mut self, given: &Given<List<String>>) -> Vec<Endpoint> {
        let mut listen: Vec<Endpoint> = Vec::new();
        if given.value.items.len() > MAX_LISTEN {
            let help = format!("at most {MAX_LISTEN} are allowed");
            self.error(given, format!("{} has too many entries", given.key), help);
        }
        for item in given.value.items.iter().take(MAX_LISTEN) {
            let Some(endpoint) = self.parsed(given, item.span(), item.get_ref()) else { continue };
            if listen.contains(&endpoint) {
                let message = format!("{}: {} is listed twice", given.key, escape(item.get_ref()));
                self.error_in(given, item.span(), message, "remove one of them");
            } else {
                if let Endpoint::Unix(path) = &endpoint {
                    self.socket_path(given, item.span(), path);
                }
                listen.push(endpoint);
            }
        }
        listen
    }

    /// Checks the path of a UNIX socket. That its folder does not exist is only a warning, since it may be created before
    /// the start, as systemd creates those below /run.
    pub(super) fn socket_path<T>(&mut self, given: &Given<T>, span: Range<usize>, path: &Path) {
        let shown = path.display().to_string();
        let says = |what: &str| format!("{}: {} {what}", given.key, escape(&shown));
        if path.as_os_str().len() > MAX_SOCKET_PATH {
            let help = format!("a path of a UNIX socket has at most {MAX_SOCKET_PATH} octets (unix(7))");
            self.error_in(given, span, says("is too long"), help);
        } else if fs::symlink_metadata(path).is_ok_and(|file| !file.file_type().is_socket()) {
            self.error_in(
                given,
                span,
                says("exists and is not a socket"),
                "move it away, or choose another path",
            );
        } else if !has_folder(path) && !["/run", "/var/run"].iter().any(|run| path.starts_with(run)) {
            let problem = Problem::warning(&given.text, span, says("is in a folder that does not exist"));
            self.problems.push(problem.help("create the folder before rcptd starts"));
        }
    }

    /// Checks the group of UNIX sockets.
    pub(super) fn socket_group(&mut self, field: &Field<String>) -> Option<String> {
        let given = text(field)?;
        // If the name service does not answer, the group may exist.
        if has_group(&given.value) == Some(false) {
            let message = format!("{}: there is no group {} on this host", given.key, escape(&given.value));
            self.warning(given, message, "create it, or rcptd does not start");
        }
        Some(given.value.clone())
    }

    /// Checks the permissions of a UNIX socket.
    pub(super) fn socket_mode(&mut self, field: &Field<String>, default: u32) -> u32 {
        let Some(given) = field.given() else { return default };
        match u32::from_str_radix(&given.value, 8) {
            Ok(mode) if mode <= 0o777 && given.value.bytes().all(|b| b.is_ascii_digit()) => mode,
            _ => {
                let message = format!("{} = \"{}\" is not a file mode", given.key, escape(&given.value));
                self.error(given, message, "write octal digits, such as \"0660\"");
                default
            }
        }
    }

    fn reply(&mut self, field: &Field<String>, default: &str, permanent: bool) -> SmtpReply {
        let written = field.given().and_then(|given| {
            let reply: SmtpReply = self.parsed(given, given.span.clone(), &given.value)?;
            if reply.is_permanent() == permanent {
                return Some(reply);
            }
            let (kind, help) = if permanent {
                ("a rejection", "write a code from 500 on, such as 550 5.1.1")
            } else {
                ("a deferral", "write a code below 500, such as 451 4.3.0, so that no mail is lost")
            };
            self.error(given, format!("{} = {} is not {kind}", given.key, reply.code()), help);
            None
        });
        written.unwrap_or_else(|| {
            #[expect(clippy::expect_used, reason = "the two defaults are constants, and a test reads both")]
            default.parse().expect("a default reply") // proof: see the reason above
        })
    }

    fn header(&mut self, field: &Field<String>) -> Option<String> {
        let given = text(field)?;
        let name = &given.value;
        // RFC 5322, section 2.2: printable characters except the colon.
        let help = if !name.bytes().all(|b| b.is_ascii_graphic() && b != b':') {
            "write printable ASCII without blanks and colons, such as \"X-Alias\"".to_owned()
        } else if name.len() > MAX_HEADER {
            format!("write at most {MAX_HEADER} characters")
        } else if TAKEN.iter().any(|taken| taken.eq_ignore_ascii_case(name)) {
            "that header has a meaning of its own; write one such as \"X-Alias\"".to_owned()
        } else {
            return Some(name.clone());
        };
        self.error(given, format!("{} = \"{}\" cannot be used", given.key, escape(name)), help);
        None
    }
}

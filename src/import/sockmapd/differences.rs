//! The differences between sockmapd and rcptd.

use super::Sockmapd;
use crate::import::{PASSWORD, difference};
use alias_rules::Difference;

/// Returns all differences for these settings.
pub fn of(sockmapd: &Sockmapd) -> Vec<Difference> {
    let mut out = Vec::new();
    let mut say = |about: &str, text: String| out.push(difference(about, text));
    let port = sockmapd.port;
    say(
        "listen",
        format!(
            "sockmapd listened on all IPv4 addresses of the host; rcptd listens on 127.0.0.1 only. If mail \
             servers on other hosts use it, add \"inet:ADDRESS:{port}\" with the address they connect to, \
             and block all other clients with a firewall: the socketmap protocol has no authentication"
        ),
    );
    if sockmapd.password.is_some() {
        let text = format!(
            "is in {PASSWORD}, which only its owner can read. Let rcptd read it: chgrp it to the group \
             rcptd runs with, then chmod 640"
        );
        say("database.password", text);
    }
    if sockmapd.maps.iter().any(|map| map.value.is_some()) {
        let text = "values other than OK and REJECT were sent unchanged, so each had to begin with a status \
                    word (OK, NOTFOUND, TEMP, PERM); rcptd replies OK and the value, whatever it is. Remove \
                    such words from the column";
        say("postmaps[].value", text.into());
    }
    for (about, text) in ALWAYS {
        say(about, text.into());
    }
    if sockmapd.run_as {
        let text = "are left out: User= and Group= of the systemd unit set the user and group of rcptd";
        say("sysconfig.run_as_user, run_as_group", text.into());
    }
    if sockmapd.log_file {
        let text =
            "is left out: rcptd logs to standard error or, by [log] target = \"journald\", to the journal";
        say("sysconfig.logfile", text.into());
    }
    if sockmapd.log_level {
        say("sysconfig.loglevel", "had no effect; rcptd has [log] level".into());
    }
    for place in &sockmapd.unknown {
        say(place, "was ignored by sockmapd and is left out".into());
    }
    out
}

/// Differences for any settings.
const ALWAYS: [(&str, &str); 9] = [
    (
        "postmaps[].table, key, value, reason",
        "sockmapd inserted them and the key into the text of the SQL query, so a sender could inject SQL; \
         rcptd quotes names and passes the key as a parameter",
    ),
    (
        "several rows of one key",
        "sockmapd used the first row that the database returned; rcptd joins their values with commas, as \
         Postfix does",
    ),
    (
        "errors of the database",
        "were answered with OK without a value, as if the key existed; rcptd replies TEMP, and the mail is \
         tried again",
    ),
    (
        "unknown maps",
        "were answered with TEMP, now with PERM; write mta = \"sendmail\" below [[socketmap]] if Sendmail \
         uses it, which treats PERM as \"not found\"",
    ),
    ("keys with a comma or a blank", "were rejected with PERM; now they are looked up"),
    (
        "connections of mail servers",
        "sockmapd served one at a time, and the others waited; rcptd serves up to max_connections at once",
    ),
    ("SIGHUP", "sockmapd exited if the file was invalid; rcptd logs the error and keeps its configuration"),
    (
        "the character set",
        "was utf8, with at most three octets per character; it is now utf8mb4, which has every character",
    ),
    (
        "connections to the database",
        "are not encrypted, as before; write tls = true below [[database]] for that",
    ),
];

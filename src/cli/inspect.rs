//! `rcptd status` and `rcptd trace`: query a running daemon.

use super::args::{self, Daemon};
use super::{exit, terminal};
use crate::config;
use crate::server::control::Filter;
use diagnostics::count;
use mail_address::one_line;
use serde_json::Value;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// Longest wait for the first line of the reply.
const PATIENCE: Duration = Duration::from_secs(10);

/// `rcptd status`
pub fn status(args: &args::Status) -> u8 {
    told(&args.daemon, "status", |line, value| {
        let text = if args.json { format!("{line}\n") } else { report(value) };
        terminal::print(&text)?;
        Ok(false)
    })
}

/// `rcptd trace`
pub fn trace(args: &args::Trace) -> u8 {
    let filter = Filter { listener: args.listener.clone(), map: args.map.clone(), key: args.key.clone() };
    let mut left = args.count;
    told(&args.daemon, &format!("trace {}", filter.to_json()), |line, value| {
        if value.get("tracing").is_some() {
            // Tells scripts that read the output when tracing has begun.
            terminal::say(format_args!("rcptd: tracing"));
            return Ok(true);
        }
        if let Some(lost) = value.get("lost") {
            let lost = lost.as_u64().unwrap_or_default();
            terminal::say(format_args!(
                "rcptd: not shown, since they came faster than they were read: {}",
                count(lost, "request")
            ));
            return Ok(true);
        }
        terminal::print(&if args.json { format!("{line}\n") } else { event(value) })?;
        left = left.map(|left| left.saturating_sub(1));
        Ok(left != Some(0))
    })
}

/// Sends a command, and passes each line of the reply to `take` until that returns false.
pub(super) fn told(
    daemon: &Daemon,
    command: &str,
    mut take: impl FnMut(&str, &Value) -> Result<bool, u8>,
) -> u8 {
    let path = match socket(daemon) {
        Ok(path) => path,
        Err(code) => return code,
    };
    let shown = path.display();
    let stream = UnixStream::connect(&path).and_then(|mut stream| {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(format!("{command}\n").as_bytes())?;
        Ok(stream)
    });
    let stream = match stream {
        Ok(stream) => stream,
        Err(e) => {
            let help = match e.kind() {
                ErrorKind::PermissionDenied => "run this as the user of rcptd or as root",
                _ => "is rcptd running, with this configuration?",
            };
            terminal::say(format_args!("rcptd: no daemon answers at {shown}: {e} ({help})"));
            return exit::UNAVAILABLE;
        }
    };
    let mut lines = BufReader::new(stream);
    let mut any = false;
    loop {
        let mut line = String::new();
        match lines.read_line(&mut line) {
            Ok(0) if any => return exit::OK,
            Ok(n) if n > 0 => (),
            _ => {
                terminal::say(format_args!("rcptd: no answer from {shown}: was rcptd stopped?"));
                return exit::UNAVAILABLE;
            }
        }
        // No time limit for further lines.
        if !any && lines.get_ref().set_read_timeout(None).is_err() {
            return exit::UNAVAILABLE;
        }
        any = true;
        let line = line.trim_end();
        let value: Value = serde_json::from_str(line).unwrap_or_default();
        if value.get("error").is_some() {
            terminal::say(format_args!("rcptd: {}", text(&value, "error")));
            return match &*text(&value, "kind") {
                "input" => exit::USAGE,
                "not_found" => exit::NOT_FOUND,
                _ => exit::UNAVAILABLE,
            };
        }
        match take(line, &value) {
            Ok(true) => (),
            Ok(false) => return exit::OK,
            Err(code) => return code,
        }
    }
}

/// Returns the path of the daemon's control socket.
fn socket(daemon: &Daemon) -> Result<PathBuf, u8> {
    if let Some(path) = &daemon.socket {
        return Ok(path.clone());
    }
    let path = config::control_of(&daemon.config).map_err(|problems| {
        terminal::show(&problems);
        exit::CONFIG
    })?;
    path.ok_or_else(|| {
        terminal::say(format_args!(
            "rcptd: {} names no control socket: write [control] listen = \"unix:/run/rcptd/control.sock\" and \
             restart rcptd, or use --socket",
            daemon.config.display()
        ));
        exit::CONFIG
    })
}

pub(super) fn text<'v>(value: &'v Value, name: &str) -> Cow<'v, str> {
    one_line(value.get(name).and_then(Value::as_str).unwrap_or_default())
}

pub(super) fn number(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or_default()
}

/// Formats a trace event:
/// `aliases  foo-macys-m5@example.com  found foo@example.com  (socketmap at unix:… from pid:7, 0.031 ms)`
fn event(value: &Value) -> String {
    let us = number(value, "us");
    let answer = format!("{} {}", text(value, "verdict"), text(value, "text"));
    let answer = answer.trim_end();
    format!(
        "{:16} {:40} {answer}  ({} #{} {}, {}.{:03} ms)\n",
        text(value, "map"),
        text(value, "key"),
        text(value, "listener"),
        number(value, "connection"),
        text(value, "peer"),
        us / 1000,
        us % 1000
    )
}

/// Formats the status for operators.
fn report(value: &Value) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "rcptd {} pid {}, up {}; {}: {}, {}, loaded {} ago",
        text(value, "version"),
        number(value, "pid"),
        ago(number(value, "up_seconds")),
        text(value, "configuration"),
        count(number(value, "rules"), "rule"),
        count(number(value, "domains"), "domain"),
        ago(number(value, "loaded_seconds_ago")),
    );
    if let Some(why) = value.get("last_reload_failed").and_then(Value::as_array) {
        let _ = writeln!(out, "the last reload FAILED, the previous configuration is in force:");
        for line in why.iter().filter_map(Value::as_str) {
            let _ = writeln!(out, "    {}", one_line(line));
        }
    }
    let restart = value.get("needs_restart").and_then(Value::as_array).into_iter().flatten();
    let restart: Vec<&str> = restart.filter_map(Value::as_str).collect();
    if !restart.is_empty() {
        let _ = writeln!(out, "changed, but not in force until rcptd is restarted: {}", restart.join(", "));
    }
    for file in value.get("files").and_then(Value::as_array).into_iter().flatten() {
        let _ = writeln!(out, "{}: current version NOT USED: {}", text(file, "path"), text(file, "detail"));
    }
    let milter = value.get("milter").cloned().unwrap_or_default();
    let figures = ["sessions", "recipients", "rewritten", "rejected", "deferred"];
    let figures: Vec<String> =
        figures.iter().map(|name| format!("{name} {}", number(&milter, name))).collect();
    let dry_run = milter.get("dry_run").and_then(Value::as_bool).unwrap_or_default();
    let mode =
        if dry_run { " (dry_run is on: it only logs its decisions, and rejects no recipient)" } else { "" };
    let _ = writeln!(out, "milter: {}{mode}", figures.join(", "));
    guessing(&milter, &mut out);
    sources(value, &mut out);
    for listener in value.get("listeners").and_then(Value::as_array).into_iter().flatten() {
        let _ = writeln!(
            out,
            "{} {}: {} open of {}, {}",
            text(listener, "protocol"),
            text(listener, "name"),
            number(listener, "open"),
            count(number(listener, "connections"), "connection"),
            answered(listener)
        );
    }
    for map in value.get("maps").and_then(Value::as_array).into_iter().flatten() {
        let _ = writeln!(out, "map {} ({}): {}", text(map, "name"), text(map, "search"), answered(map));
    }
    out
}

/// Formats the state of the defence against guessing, if rcptd has deferred recipients by it.
fn guessing(milter: &Value, out: &mut String) {
    let (networks, deferred) = (number(milter, "guessing_networks"), number(milter, "guessing_deferred"));
    if networks > 0 || deferred > 0 {
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "guessing: {} over the limit, {} deferred without a lookup",
            count(networks, "network"),
            count(deferred, "recipient")
        );
    }
}

fn sources(value: &Value, out: &mut String) {
    for source in value.get("sources").and_then(Value::as_array).into_iter().flatten() {
        let (name, server) = (text(source, "source"), text(source, "server"));
        let place = if server.is_empty() { terminal::label(&name) } else { format!("{name} at {server}:") };
        let failures = count(number(source, "failures"), "failure");
        let _ = match source.get("failing_seconds").and_then(Value::as_u64) {
            Some(seconds) => {
                writeln!(out, "{place} FAILING for {}, {failures}: {}", ago(seconds), text(source, "detail"))
            }
            None => writeln!(out, "{place} works, {failures}"),
        };
    }
}

/// Formats the results of requests since the start, and the rate in the last minute.
pub(super) fn answered(of: &Value) -> String {
    let counts = of.get("answered").cloned().unwrap_or_default();
    let words = [
        ("found", "found"),
        ("not found", "not_found"),
        ("temporary failures", "tempfail"),
        ("bad", "bad"),
        ("stats", "stats"),
    ];
    let counts: Vec<String> = words
        .iter()
        .filter(|(_, name)| !matches!(*name, "bad" | "stats") || number(&counts, name) > 0)
        .map(|(word, name)| format!("{word} {}", number(&counts, name)))
        .collect();
    let rate: f64 = of
        .get("figures")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|figure| matches!(&*text(figure, "name"), "success" | "not_found" | "bad"))
        .filter_map(|figure| figure.pointer("/n_per_sec/sixty")?.as_f64())
        .sum();
    format!("{} ({rate:.1}/s in the last minute)", counts.join(", "))
}

pub(super) fn ago(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

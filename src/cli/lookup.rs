//! `rcptd lookup`

use super::{args, exit, input};
use crate::addr::canonical_domain;
use crate::daemon;
use crate::rules::{Decision, Query, Rules};
use serde_json::json;
use std::io::{self, BufRead, BufWriter, Write};

pub fn run(args: &args::Lookup) -> u8 {
    let rules = match input::rules(&args.rules, args.secrets.as_deref(), args.fold) {
        Ok(source) => source.rules,
        Err(code) => return code,
    };
    let mut out = BufWriter::new(io::stdout().lock());
    match names(args, &rules, &mut out).and_then(|code| out.flush().map(|()| code)) {
        Ok(code) => code,
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => exit::OK,
        Err(e) => {
            eprintln!("rcptd: {e}");
            exit::IO_ERROR
        }
    }
}

fn names(args: &args::Lookup, rules: &Rules, out: &mut impl Write) -> io::Result<u8> {
    let mut worst = exit::OK;
    let domain = args.domain.as_deref().map(canonical_domain);
    let today = args.today.or_else(daemon::today);
    let about = Query { name: "", domain: domain.as_deref(), today };
    let mut one = |name: &[u8]| one(name, &about, args.json, rules, out);
    for name in &args.names {
        if name != "-" {
            worst = worst.max(one(name.as_bytes())?);
            continue;
        }
        let mut input = io::stdin().lock();
        let mut line = Vec::new();
        while input.read_until(b'\n', &mut line)? > 0 {
            let name = line.strip_suffix(b"\n").unwrap_or(&line);
            worst = worst.max(one(name)?);
            line.clear();
        }
    }
    Ok(worst)
}

fn one(name: &[u8], about: &Query<'_>, json: bool, rules: &Rules, out: &mut impl Write) -> io::Result<u8> {
    // No rule matches what is not text.
    let decision =
        std::str::from_utf8(name).map_or(Decision::NoMatch, |name| rules.find(Query { name, ..*about }));
    let (account, ambiguous, code) = match decision {
        Decision::NoMatch | Decision::Expired { .. } => (None, false, exit::NOT_FOUND),
        Decision::Account { name, ambiguous, .. } => (Some(name), ambiguous, exit::OK),
        Decision::Ambiguous { .. } => (None, true, exit::NOT_FOUND),
        Decision::CannotSay { statement } => {
            let statement = rules.statement(statement);
            eprintln!(
                "rcptd: {}:{}: too many steps for this name; the daemon would defer it",
                statement.file, statement.line
            );
            (None, false, exit::TEMPORARY)
        }
    };
    if json {
        let q = String::from_utf8_lossy(name);
        writeln!(out, "{}", json!({ "q": q, "account": account, "ambiguous": ambiguous }))?;
    } else {
        writeln!(out, "{}", account.unwrap_or_default())?;
    }
    Ok(code)
}

//! `rcptd lookup`

use super::{args, exit, input, terminal};
use crate::daemon;
use alias_rules::{Decision, MAX_NAME, Query, Rules};
use mail_address::{canonical_domain, escape};
use serde_json::json;
use std::io::{self, BufRead, BufWriter, Read, Write};

/// Longest line of standard input that is kept, with its end: a little more than the longest name for the
/// rules, so that a truncated name never matches.
const MAX_LINE: u64 = MAX_NAME as u64 + 2;

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
            terminal::say(format_args!("rcptd: {e}"));
            exit::IO_ERROR
        }
    }
}

fn names(args: &args::Lookup, rules: &Rules, out: &mut impl Write) -> io::Result<u8> {
    let mut worst = exit::OK;
    let domain = args.domain.as_deref().map(canonical_domain);
    let today = args.today.or_else(daemon::today);
    let about = Query { name: "", domain: domain.as_deref(), today };
    for name in &args.names {
        if name != "-" {
            let code = one(name.as_bytes(), &about, args.json, rules, out)?;
            if code == exit::NOT_FOUND
                && let Some((local, domain)) = name.rsplit_once('@')
            {
                let [local, domain] = [local, domain].map(escape);
                terminal::say(format_args!(
                    "rcptd: names are local parts: did you mean --domain {domain} {local}?"
                ));
            }
            worst = worst.max(code);
            continue;
        }
        let mut input = io::stdin().lock();
        for number in 1_u64.. {
            let code = match line(&mut input)? {
                Line::End => break,
                Line::Name(name) => one(&name, &about, args.json, rules, out)?,
                Line::TooLong(start) => {
                    terminal::say(format_args!(
                        "rcptd: line {number}: longer than {MAX_NAME} octets; not looked up"
                    ));
                    answer(&start, None, false, args.json, out)?;
                    exit::TEMPORARY
                }
            };
            worst = worst.max(code);
        }
    }
    Ok(worst)
}

fn one(name: &[u8], about: &Query<'_>, json: bool, rules: &Rules, out: &mut impl Write) -> io::Result<u8> {
    // Names that are not UTF-8 never match.
    let decision =
        std::str::from_utf8(name).map_or(Decision::NoMatch, |name| rules.find(Query { name, ..*about }));
    let (account, ambiguous, code) = match decision {
        Decision::NoMatch | Decision::Expired { .. } => (None, false, exit::NOT_FOUND),
        Decision::Account { name, ambiguous, .. } => (Some(name), ambiguous, exit::OK),
        Decision::Ambiguous { .. } => (None, true, exit::NOT_FOUND),
        Decision::TempFail { statement } => {
            let statement = rules.statement(statement);
            terminal::say(format_args!(
                "rcptd: {}:{}: too many steps for this name; the daemon would defer it",
                statement.file, statement.line
            ));
            (None, false, exit::TEMPORARY)
        }
    };
    answer(name, account, ambiguous, json, out)?;
    Ok(code)
}

fn answer(
    name: &[u8],
    account: Option<&str>,
    ambiguous: bool,
    json: bool,
    out: &mut impl Write,
) -> io::Result<()> {
    if json {
        let q = String::from_utf8_lossy(name);
        let answer = json!({ "q": q, "account": account, "ambiguous": ambiguous });
        out.write_all(terminal::json(&answer).as_bytes())
    } else {
        writeln!(out, "{}", account.unwrap_or_default())
    }
}

/// A line of standard input.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    End,
    Name(Vec<u8>),
    /// The beginning of a line longer than [`MAX_LINE`]; the rest of it is skipped.
    TooLong(Vec<u8>),
}

/// Reads a line, and keeps at most the length of a name.
fn line(input: &mut impl BufRead) -> io::Result<Line> {
    let mut line = Vec::new();
    input.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(Line::End);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if line.len() as u64 == MAX_LINE && input.skip_until(b'\n')? > 0 {
        return Ok(Line::TooLong(line));
    }
    Ok(Line::Name(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_lines() {
        let max = MAX_NAME + 2;
        let long = |len| vec![b'x'; len];
        for (first, want) in [
            (long(0), Line::Name(long(0))),
            (long(MAX_NAME), Line::Name(long(MAX_NAME))),
            (long(max - 1), Line::Name(long(max - 1))),
            (long(max), Line::TooLong(long(max))),
            (long(max + 1), Line::TooLong(long(max))),
            (long(max * 100), Line::TooLong(long(max))),
            (b"x\r".to_vec(), Line::Name(b"x\r".to_vec())),
        ] {
            let text = [&first[..], b"\ny"].concat();
            let mut input = &text[..];
            assert_eq!(line(&mut input).expect("read"), want, "{}", first.len());
            assert_eq!(line(&mut input).expect("read"), Line::Name(b"y".to_vec()), "{}", first.len());
            assert_eq!(line(&mut input).expect("read"), Line::End);
        }
        assert_eq!(line(&mut &long(max)[..]).expect("read"), Line::Name(long(max)));
        assert_eq!(line(&mut &long(max + 1)[..]).expect("read"), Line::TooLong(long(max)));
    }
}

//! The fuzz targets that need the daemon. `tests/regressions.rs` calls them with the seeds and with the inputs that
//! once failed.
//!
//! ```sh
//! mkdir -p fuzz/corpus/session
//! RUSTC_BOOTSTRAP=1 cargo fuzz run session fuzz/corpus/session fuzz/seeds/session
//! fuzz/long 30 session
//! ```
//!
//! The second command runs the target for 30 minutes and keeps the inputs that reach the most code in `corpora/`.
//! `fuzz/long` finds a target by its name in any fuzz package.
//!
//! The targets of a library are in its own fuzz package, `crates/*/fuzz`, which builds without the daemon. All fuzz
//! packages have the same folders: `seeds/TARGET` has inputs written by hand, `regressions/TARGET` inputs that failed
//! once, `corpora/TARGET.tar.gz` what long runs kept. Write seeds as text where possible.

#[path = "../../crates/alias-rules/fuzz/src/common.rs"]
mod common;

use alias_rules::Options;
use common::{RULES, check_problems, secrets};
use diagnostics::{Text, any_error};
use mail_address::{Address, is_domain};
use rcptd::account::aliases_syntax::entries;
use rcptd::account::dovecot_protocol as dovecot_wire;
use rcptd::account::known::{KnownAccount, file as known};
use rcptd::account::{Lookup, LookupFuture, Reason, Source, Verification, aliases_have, ask_over};
use rcptd::config;
use rcptd::daemon::policy as policy_of;
use rcptd::greylist::entry::Times;
use rcptd::greylist::record::Record;
use rcptd::import::greylist as grey;
use rcptd::map::list::List;
use rcptd::map::search::{Context, SearchStrategy};
use rcptd::map::source::SourceSpec;
use rcptd::observe::Metrics;
use rcptd::plugin::protocol::{Answer, Conversation, Word};
use rcptd::resolve::{DeferReason, Outcome, Question, RejectReason, Resolver, Settings};
use rcptd::server::accept::{Parsed, Service};
use rcptd::server::maps::Maps;
use rcptd::server::milter::session::{
    Action, Edit, End, MAX_HEADERS, Policy, Rcpt, Reply, Session, SubmissionPath,
};
use rcptd::server::socketmap::Socketmap;
use rcptd::server::tcp_table::TcpTable;
use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A target.
pub type Target = fn(&[u8]);

/// All targets by name, which is also the name of their folders.
pub const TARGETS: [(&str, Target); 12] = [
    ("aliases", aliases),
    ("config", config),
    ("dovecot", dovecot),
    ("greylist_import", greylist_import),
    ("known_accounts", known_accounts),
    ("map", map),
    ("plugin", plugin),
    ("reading", reading),
    ("session", session),
    ("smtp_reply", smtp_reply),
    ("socketmap", socketmap),
    ("tcp_table", tcp_table),
];

/// Most names taken from one input: further names seldom find more.
const MAX_NAMES: usize = 8;

/// One input of a session: a line, its first letter tells which.
///
/// | line | input |
/// | --- | --- |
/// | `M`, `A`, `E` | MAIL, ABORT, end of message |
/// | `H name` | a header field |
/// | `R path parameter…` | RCPT |
/// | `L path parameter…` | the same from sendmail(1) |
/// | `n`, `k`, `x`, `u` | resolved: not ours, kept, missing, nobody can say |
/// | `w path` | resolved: an alias of this account |
fn outcome(line: &[u8]) -> Option<Outcome> {
    let (letter, rest) = line.split_first()?;
    Some(match letter {
        b'n' => Outcome::NotOurs,
        b'k' => Outcome::Keep,
        b'x' => Outcome::NoSuchUser(RejectReason::NotFound),
        b'u' => Outcome::TempFail(DeferReason::Account(Reason::new("down"))),
        b'w' => {
            // A resolver rewrites to what it has made by `new`, never to what somebody typed, and only where mail can
            // go.
            let typed = Address::from_rcpt(rest.trim_ascii());
            let made = Address::new(typed.local(), typed.domain().unwrap_or("d.test")).ok()?;
            Outcome::Rewrite(Some(made).filter(|to| to.domain().is_some_and(is_domain))?)
        }
        _ => return None,
    })
}

/// Most recipients of a message here: few, so that a short input reaches the limit.
const MAX_RECIPIENTS: usize = 6;

/// The inputs of a session in any order. No edit for a recipient that was refused, nothing added that is there
/// or was added, everything replaced is deleted, nothing replaced is lost, deletions first, and nothing that
/// could be taken for more than one word of the protocol.
pub fn session(data: &[u8]) {
    for dry_run in [false, true] {
        run_session(data, dry_run);
    }
}

fn run_session(data: &[u8], dry_run: bool) {
    let policy = Policy {
        reject_reply: "550 5.1.1 User unknown".parse().expect("a reply"),
        defer_reply: "451 4.3.0 Try later".parse().expect("a reply"),
        max_recipients: MAX_RECIPIENTS,
        header: Some("X-Alias".into()),
        case_sensitive: false.into(),
        dry_run,
        origin: "d.test".into(),
    };
    let mut session = Session::new(Arc::new(policy));
    // What the message under way is known to hold: as typed, the mailbox, its target.
    let mut accepted: Vec<(Vec<u8>, String, Option<String>)> = Vec::new();
    let mut pending: Option<(Question, bool)> = None;
    // How many recipients it has, how many header fields of our name, and whether it has to be deferred.
    let (mut count, mut headers, mut deferred) = (0, 0, false);
    for line in data.split(|b| *b == b'\n') {
        match line.first() {
            Some(b'M') => session.mail(),
            Some(b'A') => session.abort(),
            Some(letter @ (b'R' | b'L')) => {
                let mut words = line[1..].trim_ascii_start().split(|b| *b == b' ' || *b == 0);
                let argument = words.next().unwrap_or_default();
                let parameters: Vec<&[u8]> = words.collect();
                let local = *letter == b'L';
                let origin = if local { SubmissionPath::Local } else { SubmissionPath::Smtp };
                let rcpt = Rcpt { argument, mta_route: None, origin };
                pending = match session.recipient(rcpt, &parameters) {
                    Action::Resolve(question) => {
                        assert!(count < MAX_RECIPIENTS);
                        Some((question, local))
                    }
                    Action::Reply(say, why) => {
                        assert!(count == MAX_RECIPIENTS || why == DeferReason::Argument);
                        assert_eq!(say == Reply::Continue, local || dry_run);
                        deferred |= local && !dry_run;
                        None
                    }
                };
                continue;
            }
            Some(b'H') => {
                let name = line[1..].trim_ascii();
                session.header(name);
                headers += usize::from(name.eq_ignore_ascii_case(b"X-Alias"));
                continue;
            }
            Some(b'E') => {
                let end = session.end_of_message();
                assert_eq!(end.recipients, count);
                assert_eq!(end.deferred.is_some(), deferred || (headers > MAX_HEADERS && !dry_run));
                if end.deferred.is_some() || dry_run {
                    assert!(end.edits.is_empty());
                } else {
                    check_edits(&end.edits, &accepted, headers);
                }
            }
            _ => {
                let Some(outcome) = outcome(line) else { continue };
                let asked = pending.take();
                let say = session.resolved(&outcome, None);
                let Some((question, local)) = asked else {
                    assert_eq!(say, Reply::Continue);
                    continue;
                };
                let refused = matches!(outcome, Outcome::NoSuchUser(_) | Outcome::TempFail(_));
                assert_eq!(say != Reply::Continue, refused && !local && !dry_run);
                deferred |= matches!(outcome, Outcome::TempFail(_)) && local && !dry_run;
                count += usize::from(say == Reply::Continue);
                if say == Reply::Continue && !dry_run {
                    let target = match &outcome {
                        Outcome::Rewrite(to) => Some(to.key(false)),
                        _ => None,
                    };
                    accepted.push((question.recipient.raw().to_vec(), question.recipient.key(false), target));
                }
                continue;
            }
        }
        // MAIL, ABORT and the end leave nothing behind.
        accepted.clear();
        pending = None;
        (count, headers, deferred) = (0, 0, false);
        assert!(!session.is_busy());
        assert_eq!(session.end_of_message(), End::default());
    }
}

fn check_edits(edits: &[Edit], accepted: &[(Vec<u8>, String, Option<String>)], headers: usize) {
    assert!(edits.is_sorted_by_key(|edit| match edit {
        Edit::Delete(_) => 0,
        Edit::Add { .. } => 1,
        Edit::RemoveHeader { .. } => 2,
        Edit::Header { .. } => 3,
    }));
    // Each field of our name goes or is replaced.
    let gone = edits.iter().filter(|edit| matches!(edit, Edit::RemoveHeader { .. })).count();
    let set = edits.iter().filter(|edit| matches!(edit, Edit::Header { .. })).count();
    assert_eq!(gone, headers.saturating_sub(set));
    let kept = accepted.iter().filter(|one| one.2.is_none()).map(|one| one.1.clone());
    let mut present: HashSet<String> = kept.collect();
    let mut deleted: HashSet<&[u8]> = HashSet::new();
    for edit in edits {
        match edit {
            Edit::Delete(raw) => assert!(deleted.insert(raw), "deleted twice"),
            Edit::Add { path, parameters } => {
                assert!(!path.chars().chain(parameters.chars()).any(char::is_control), "{path} {parameters}");
                assert!(parameters.split(' ').all(|p| p.starts_with("NOTIFY=") || p.starts_with("ORCPT=")));
                let added = Address::from_rcpt(path.as_bytes()).key(false);
                assert!(accepted.iter().any(|one| one.2.as_ref() == Some(&added)), "added from nowhere");
                assert!(present.insert(added), "added twice");
            }
            Edit::RemoveHeader { index, .. } => assert!((1..=headers).contains(index)),
            Edit::Header { value, .. } => {
                assert_eq!(accepted.len(), 1);
                assert!(value.is_ascii() && !value.contains(['\r', '\n', '\0']), "{value:?}");
            }
        }
    }
    for (raw, _, target) in accepted {
        if let Some(target) = target {
            assert!(deleted.contains(&**raw), "not deleted");
            assert!(present.contains(target), "lost");
        }
    }
}

/// Contains no account.
#[derive(Debug)]
struct Nobody;

impl Source<Address, Verification> for Nobody {
    fn look_up<'a>(&'a self, _: &'a Address) -> LookupFuture<'a, Verification> {
        Box::pin(async { Verification::new(Lookup::NotFound, &"nobody".into()) })
    }
}

/// Any argument of RCPT in the first line, and in the second, if there is one, how the mail server reads it. An
/// address that the server reads as one of our domains is never classified as not ours.
pub fn reading(data: &[u8]) {
    static RESOLVER: OnceLock<Resolver> = OnceLock::new();
    let mut lines = data.splitn(2, |b| *b == b'\n');
    let (argument, server) = (lines.next().unwrap_or_default(), lines.next());
    let resolver = RESOLVER.get_or_init(|| {
        let loaded = match alias_rules::load(
            &[Text::new("fixed.rules", RULES)],
            &Options { secrets: secrets(), ..Options::default() },
        ) {
            Ok(loaded) => loaded.rules,
            Err(problems) => panic!("{problems:#?}"),
        };
        let settings =
            Settings { domains: vec!["d.test".into()], origin: "d.test".into(), ..Settings::default() };
        Resolver::new(settings, Arc::new(loaded), Arc::new(Nobody))
    });
    let question =
        Question { recipient: Address::from_rcpt(argument), mta_route: server.map(Address::from_server) };
    let (recipient, mta_route) = (&question.recipient, &question.mta_route);
    let is_postmaster = recipient.domain().is_none() && recipient.local().eq_ignore_ascii_case("postmaster");
    let is_nothing = matches!(argument, b"" | b"<>");
    if resolver.mailbox(&question) != Err(Outcome::NotOurs) || is_postmaster || is_nothing {
        return;
    }
    // It passes: the server takes it elsewhere, or it says nothing and there is nothing to be said.
    match mta_route {
        Some(mta_route) if mta_route.domain().is_some() => assert!(!resolver.is_ours(mta_route)),
        _ => assert!(recipient.is_certain()),
    }
}

/// A mail server with arbitrary replies: it sends the text before the n-th NUL before the n-th command. A certain result
/// needs one complete reply of its kind to the lookup, and nothing after it. For VRFY that is the third reply, or the
/// fourth after HELO; for RCPT it is one later, after a 250 to MAIL.
pub fn smtp_reply(data: &[u8]) {
    for kind in ["vrfy", "rcpt", "lmtp"] {
        one_smtp_reply(kind, data);
    }
}

fn one_smtp_reply(kind: &str, data: &[u8]) {
    let replies: Vec<&[u8]> = data.split(|b| *b == 0).collect();
    let kinds: &[&[u8]] = match (verdict(kind, data), kind) {
        (Lookup::TempFail(_), _) => return,
        (Lookup::Found(()), "vrfy") => &[b"250", b"251"],
        // To RCPT, 252 means the same.
        (Lookup::Found(()), _) => &[b"250", b"251", b"252"],
        (Lookup::NotFound, "vrfy") => &[b"550"],
        // To RCPT also these, with an enhanced status code.
        (Lookup::NotFound, _) => &[b"550", b"551", b"553"],
    };
    let refused_ehlo = replies.get(1).is_some_and(|reply| reply.starts_with(b"5"));
    assert!(kind != "lmtp" || !refused_ehlo, "LMTP has no HELO");
    let hello = 1 + usize::from(refused_ehlo);
    let transaction = usize::from(kind != "vrfy");
    if transaction == 1 {
        let mail = replies.get(hello + 1).expect("MAIL was sent");
        assert!(mail.starts_with(b"250"), "{mail:?}");
    }
    let reply = replies.get(hello + transaction + 1).expect("it was asked");
    let lines: Vec<&[u8]> = reply.split_inclusive(|b| *b == b'\n').collect();
    let (last, before) = lines.split_last().expect("there was a reply");
    assert!(kinds.iter().any(|code| last.starts_with(code)), "{last:?}");
    assert!(last.get(3) != Some(&b'-') && last.ends_with(b"\r\n"), "{last:?}");
    assert!(before.iter().all(|line| line.get(..3) == last.get(..3) && line.get(3) == Some(&b'-')));
}

/// The result of a source of this type for the replies of that server.
pub fn verdict(kind: &str, data: &[u8]) -> Lookup<()> {
    // A clock that jumps ahead where both wait for each other, as they do when a reply does not end.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(async {
        // Large enough for whatever is said at once, so that no one waits for the other to read.
        let (ours, mut theirs) = tokio::io::duplex(data.len() + 4096);
        let server = async move {
            let mut command = [0; 4096];
            for said in data.split(|b| *b == 0) {
                theirs.write_all(said).await.ok()?;
                if theirs.read(&mut command).await.ok()? == 0 {
                    break;
                }
            }
            Some(())
        };
        tokio::join!(ask_over(kind, ours, "<alice@d.test>"), server).0
    })
}

/// Any text as the configuration file, beside a file with rules.
pub fn config(data: &[u8]) {
    thread_local! {
        static FOLDER: tempfile::TempDir = tempfile::tempdir().expect("a folder");
    }
    FOLDER.with(|folder| {
        let path = folder.path().join("rcptd.conf");
        std::fs::write(&path, data).expect("written");
        std::fs::write(folder.path().join("aliases.rules"), RULES).expect("written");
        match config::load(&path) {
            Ok(config) => {
                assert!(!any_error(&config.problems));
                check_problems(&config.problems);
                assert!(config::needs_restart(&config, &config).is_empty());
                assert!(!config.domains.is_empty() && !config.milter.listen.is_empty());
                let policy = policy_of(&config);
                assert!((500..600).contains(&policy.reject_reply.code()));
                assert!((400..500).contains(&policy.defer_reply.code()));
            }
            Err(problems) => {
                assert!(any_error(&problems), "refused without an error");
                check_problems(&problems);
            }
        }
    });
}

/// The output of a plug-in; the first octet is the size of the pieces in which it comes. Each question has at most
/// one answer, and a definite one is a line of the output.
pub fn plugin(data: &[u8]) {
    const QUESTIONS: u64 = 20;
    let word = |id: u64| match id {
        11..=13 => Word::Preprocess,
        14..=15 => Word::Postprocess,
        _ => Word::Exists,
    };
    let Some((size, output)) = data.split_first() else { return };
    let mut conversation = Conversation::new(100);
    let mut in_flight: HashSet<u64> = (1..=QUESTIONS).collect();
    for id in 1..=QUESTIONS {
        let asked = conversation.ask(word(id), "foo@example.com", id);
        assert_eq!(asked, Ok(format!("{id} {} foo@example.com\n", word(id).name())));
    }
    let text = String::from_utf8_lossy(output);
    for piece in output.chunks(usize::from(*size).max(1)) {
        let Ok(answers) = conversation.receive(piece) else { break };
        assert!(answers.is_empty() || conversation.name().is_some(), "an answer before the hello");
        for (id, answer) in answers {
            assert!(in_flight.remove(&id), "two answers to the question {id}");
            assert!(word(id).takes(&answer), "not an answer to the question {id}: {answer}");
            let line = format!("{id} {answer}");
            assert!(matches!(answer, Answer::TempFail(_)) || text.split('\n').any(|l| l == line), "{line}");
        }
    }
    assert_eq!(conversation.into_callers().collect::<HashSet<_>>(), in_flight);
}

/// The output of Dovecot's auth service; the first octet is the size of the pieces in which it arrives. A request has at
/// most one answer, after the version, and a definite answer is the last line that was read.
pub fn dovecot(data: &[u8]) {
    let Some((size, output)) = data.split_first() else { return };
    let mut conversation = dovecot_wire::Conversation::default();
    let mut id = 1;
    conversation.ask("foo@example.com", "lmtp").expect("a short name");
    let mut read = Vec::new();
    for piece in output.chunks(usize::from(*size).max(1)) {
        read.extend_from_slice(piece);
        let Ok(answer) = conversation.receive(piece) else { return };
        let Some(answer) = answer else { continue };
        assert!(read.starts_with(b"VERSION\t1\t"), "an answer before the version");
        let line = read.strip_suffix(b"\n").expect("a whole line");
        let line = line.rsplit(|octet| *octet == b'\n').next().unwrap_or(line);
        let word = match answer {
            dovecot_wire::Answer::Found => "USER",
            dovecot_wire::Answer::NotFound => "NOTFOUND",
            dovecot_wire::Answer::TempFail(_) => "FAIL",
        };
        let begin = format!("{word}\t{id}");
        let rest = line.strip_prefix(begin.as_bytes()).expect("the line of the answer");
        assert!(rest.is_empty() || rest.starts_with(b"\t"), "{rest:?}");
        id += 1;
        let asked = conversation.ask("bar@example.com", "lmtp").expect("a short name");
        assert_eq!(asked, format!("USER\t{id}\tbar@example.com\tservice=lmtp\n"));
    }
}

/// A file of aliases(5). A name that was read is in the list, and is read again if it is written in quotes. A file with
/// an error has no list.
pub fn aliases(data: &[u8]) {
    let content = String::from_utf8_lossy(data);
    let (mut names, mut is_broken, mut start) = (Vec::new(), false, 0);
    entries(&content, &mut |span, entry| {
        assert!(span.start >= start && content.get(span.clone()).is_some(), "{span:?}");
        start = span.start;
        match entry {
            Ok(entry) => names.push(entry.name),
            Err(why) => is_broken |= !why.is_empty(),
        }
        true
    });
    for name in names.iter().take(MAX_NAMES) {
        let domain = name.domain().unwrap_or("example.test");
        assert!(!name.local().is_empty() && is_domain(domain), "{name}");
        let account = Address::new(name.local(), domain).expect("an address");
        assert_eq!(aliases_have(data, &account), (!is_broken).then_some(true), "{account}");
        let quoted = name.local().replace('\\', "\\\\").replace('"', "\\\"");
        let domain = name.domain().map_or(String::new(), |domain| format!("@{domain}"));
        let mut again = Vec::new();
        entries(&format!("\"{quoted}\"{domain}: x\n"), &mut |_, entry| {
            again.push(entry.map(|entry| entry.name));
            true
        });
        assert_eq!(again, [Ok(name.clone())], "{name}");
    }
}

/// A file of known accounts, with the maps for which it was written and with others. Reading, writing and reading again
/// gives the same accounts, and no account was found in the future.
pub fn known_accounts(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let now = UNIX_EPOCH + Duration::from_secs(2_000_000_000);
    let plain = |all: &[(String, KnownAccount)]| -> Vec<_> {
        all.iter().map(|(key, known)| (key.clone(), known.source.clone(), known.since)).collect()
    };
    for maps in ["maps", "other maps"] {
        let Ok(parsed) = known::parse(text, maps, now) else { continue };
        let mut all = parsed.accounts;
        assert!(all.iter().all(|(_, known)| known.since <= now));
        // A name that no address can have is not written.
        all.retain(|(key, _)| Address::from_key(key).is_some());
        let written = known::format(&all, maps);
        let again = known::parse(&written, maps, now).expect("what was written");
        assert_eq!(again.why, None, "{written}");
        assert_eq!(plain(&again.accounts), plain(&all), "{written}");
        let rest = known::parse(&written, "none of them", now).expect("what was written").accounts;
        let is_of_map =
            |known: &KnownAccount| known.source.as_ref().is_some_and(|name| name.starts_with("map:"));
        assert_eq!(rest.len(), all.iter().filter(|(_, known)| !is_of_map(known)).count());
    }
}

/// Requests over a connection of tcp_table, in pieces.
pub fn tcp_table(data: &[u8]) {
    static SERVICE: OnceLock<TcpTable> = OnceLock::new();
    let service = SERVICE.get_or_init(|| TcpTable {
        maps: Maps::new(Vec::new(), Arc::default(), Arc::default()),
        map: "map".into(),
        deadline: Duration::from_secs(1),
        meter: Metrics::default().map("fuzz"),
    });
    in_pieces(service, data, lookup_protocols::tcp_table::MAX_LINE);
}

/// Requests over a connection of socketmap, in pieces.
pub fn socketmap(data: &[u8]) {
    static SERVICE: OnceLock<Socketmap> = OnceLock::new();
    let service = SERVICE.get_or_init(|| Socketmap {
        maps: Maps::new(Vec::new(), Arc::default(), Arc::default()),
        names: None,
        sendmail: false,
        deadline: Duration::from_secs(1),
    });
    // The length and what stands round it.
    in_pieces(service, data, lookup_protocols::socketmap::MAX_REQUEST + "103000:,".len());
}

/// However the bytes come, the requests are the same, and no more than `most` of them are kept.
fn in_pieces<S: Service>(service: &S, data: &[u8], most: usize)
where
    S::Request: Debug,
{
    let whole = requests(service, data, data.len().max(1), usize::MAX);
    for size in [1, 7] {
        assert_eq!(requests(service, data, size, most + size), whole, "in pieces of {size}");
    }
}

fn requests<S: Service>(service: &S, data: &[u8], size: usize, most: usize) -> Vec<String>
where
    S::Request: Debug,
{
    let (mut requests, mut input) = (Vec::new(), Vec::new());
    let mut pieces = data.chunks(size).peekable();
    loop {
        let piece = pieces.next().unwrap_or_default();
        input.extend_from_slice(piece);
        assert!(input.len() <= most, "{} bytes are kept", input.len());
        let at_end = pieces.peek().is_none();
        loop {
            match service.parse(&input, at_end) {
                Parsed::Incomplete => break,
                Parsed::Request(request, length) => {
                    assert!((1..=input.len()).contains(&length));
                    requests.push(format!("{request:?}"));
                    input.drain(..length);
                }
                Parsed::Broken(why) => {
                    requests.push(why.to_string());
                    return requests;
                }
            }
        }
        if at_end {
            return requests;
        }
    }
}

/// A source of a map in the first line, a list in the rest, and each word of it as a key of every profile.
pub fn map(data: &[u8]) {
    let Ok(content) = std::str::from_utf8(data) else { return };
    let (source, rest) = content.split_once('\n').unwrap_or((content, ""));
    if let Ok(source) = source.parse::<SourceSpec>() {
        assert_eq!(source.to_string().parse::<SourceSpec>().as_ref(), Ok(&source), "{source}");
    }
    let text = Text::new("fuzz.list", rest);
    for fold in [false, true] {
        let (list, problems) = List::parse(&text, fold);
        check_problems(&problems);
        for key in rest.split_whitespace().take(MAX_NAMES) {
            for (_, profile) in SearchStrategy::ALL {
                let reading = Context { delimiters: "+-", is_local: &|domain| domain == "example.test" };
                let candidates = profile.candidates(key, &reading);
                let mut seen = HashSet::new();
                for candidate in &candidates {
                    assert!(!candidate.key.is_empty() && seen.insert(candidate.key.clone()), "{key}");
                    let value = list.get(&candidate.key).unwrap_or(key);
                    if let Ok(value) = profile.value(candidate, key, value) {
                        assert!(!value.is_empty(), "{key}");
                    }
                }
            }
        }
    }
}

/// Entries of other greylisters, in each format and in the one that the content shows; then the configuration of TPRT. Each
/// record survives a line of JSON and an entry of the store.
pub fn greylist_import(data: &[u8]) {
    let times = Times { delay: 300, window: 172_800, max_age: 3_024_000 };
    let settings = grey::Settings { times, ipv4_prefix: 24, ipv6_prefix: 64, enough: 5 };
    for kind in grey::Kind::ALL.map(Some).into_iter().chain([None]) {
        let _ = grey::read(kind, data, settings, &mut |record| {
            assert_eq!(Record::parse(&record.to_string()).as_ref(), Ok(&record));
            let (key, text) = record.entry(true);
            assert_eq!(Record::from_entry(&key, &text).as_ref(), Some(&record));
            record.state().ttl(1_764_550_000, &times);
        });
    }
    if let Ok(text) = str::from_utf8(data) {
        let _ = grey::tprt::import(&Text::new("tprt.conf", text));
    }
}

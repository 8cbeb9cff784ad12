//! One scenario against one mail server: what it works with, and how its steps are carried out.

#[path = "files.rs"]
mod files;

use crate::Outcome;
use crate::books::{Books, Copies, Mail, settle, submitted};
use crate::log::wait;
use crate::mta::Mta;
use crate::random::Recipient;
use crate::rcptd::Rcptd;
use crate::redis::Redis;
use crate::relay::{Relay, Way};
use crate::script::{self, Script, Step, Vrfy};
use crate::smtp::{Reply, Smtp, glob};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The sender of messages whose sender does not matter.
pub const SENDER: &str = "sender@remote.test";

/// What Sendmail's sendmail(1) exits with when a recipient was refused (sysexits.h); it then sends a report.
const EX_NOUSER: i32 = 67;
/// For a line that a log should have by now.
const LOG_LIMIT: Duration = Duration::from_secs(10);

/// The alias of `account` for `word`, by the rules all scenarios share.
pub fn alias(account: &str, word: &str) -> String {
    let first = word.chars().next().unwrap_or('-');
    format!("{account}-{word}-{first}{}", word.len())
}

/// Everything a scenario may touch.
pub struct Stage<'a> {
    pub mta: &'a Mta,
    pub rcptd: Rcptd,
    pub relay: &'a mut Relay,
    redis: Redis,
    pub books: &'a mut Books,
    /// The folder of the scenario under `tests/mta/`.
    data: PathBuf,
    /// What its clients send.
    pub post: Post,
    /// The folder of rcptd's configuration and of what is kept for a reader.
    pub folder: PathBuf,
    clients: BTreeMap<String, Client>,
    /// Queue ids of the messages that were accepted.
    accepted: BTreeSet<String>,
    /// Where the mail server's log was when the scenario began.
    mark: usize,
    /// How long the last reply took that was read.
    took: Duration,
}

/// A message the mail server has accepted, and who has to get it.
pub struct Sent {
    pub name: String,
    pub want: Copies,
}

impl Sent {
    /// A message to these recipients.
    pub fn new(name: &str, recipients: &[Recipient]) -> Self {
        let mut want = Copies::new();
        for mailbox in recipients.iter().filter_map(|(_, mailbox)| *mailbox) {
            let copies = want.entry(mailbox.to_owned()).or_default();
            // Each recipient elsewhere is another; an account gets one copy, however often it was named.
            *copies = if mailbox == "remote" { *copies + 1 } else { 1 };
        }
        Sent { name: name.to_owned(), want }
    }
}

/// The messages of a scenario.
#[derive(Clone, Debug)]
pub struct Post {
    pub server: SocketAddr,
    scenario: String,
}

impl Post {
    /// A connection to the mail server.
    pub fn connect(&self) -> Outcome<Smtp> {
        Smtp::connect(self.server)
    }

    /// The subject of the message that the scenario calls `name`.
    pub fn subject(&self, name: &str) -> String {
        format!("{}/{name}", self.scenario)
    }

    /// That message, each line ended by CRLF, without the final dot.
    pub fn text(&self, name: &str) -> String {
        let subject = self.subject(name);
        format!(
            "From: <{SENDER}>\r\nTo: undisclosed-recipients:;\r\nSubject: {subject}\r\n\r\nText of {name}.\r\n"
        )
    }
}

/// A connection with what was written and read ahead.
struct Client {
    smtp: Smtp,
    unsent: String,
    unread: Option<Reply>,
}

impl<'a> Stage<'a> {
    /// Sets the stage: VRFY server up, rcptd configured and running.
    pub fn new(
        mta: &'a Mta,
        relay: &'a mut Relay,
        books: &'a mut Books,
        data: &Path,
        folder: &Path,
    ) -> Outcome<Self> {
        let scenario = data.file_name().unwrap_or_default().to_string_lossy().into_owned();
        fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let mark = mta.log.mark();
        let rcptd = Rcptd::new(folder)?;
        let mut stage = Stage {
            mta,
            rcptd,
            relay,
            redis: Redis::default(),
            books,
            data: data.to_owned(),
            post: Post { server: mta.smtp, scenario },
            folder: folder.to_owned(),
            clients: BTreeMap::new(),
            accepted: BTreeSet::new(),
            mark,
            took: Duration::ZERO,
        };
        stage.list_accounts()?;
        stage.install("rcptd.conf", None)?;
        stage.install("aliases.rules", None)?;
        stage.hold_socket()?;
        stage.relay.set(mta.vrfy().map_or(Way::Down, Way::To))?;
        stage.rcptd.start()?;
        Ok(stage)
    }

    /// Notes that the mail server took a message, if `reply` says so.
    pub fn note(&mut self, reply: &Reply) {
        self.accepted.extend(reply.queue_id());
    }

    /// Waits until the mail server has dealt with all mail of the scenario.
    pub fn settle(&self) -> Outcome {
        settle(self.mta, self.mark, &self.accepted)
    }

    /// Waits until all is done; the message called `name` must then be in these mailboxes and no others.
    pub fn delivered(&mut self, name: &str, want: &Copies) -> Outcome {
        let subject = self.post.subject(name);
        self.settle()?;
        let got = self.books.copies(&subject)?;
        if got == *want { Ok(()) } else { Err(format!("deliveries of {name}: got {got:?}, want {want:?}")) }
    }

    /// Waits until all is done; these messages must then be where they are wanted, no others of the scenario
    /// anywhere, and no reports. Returns the number of copies.
    pub fn balance(&mut self, sent: &[Sent]) -> Outcome<usize> {
        self.settle()?;
        let mut got = self.books.of(&self.post.subject(""))?;
        for message in sent {
            let got = got.remove(&message.name).unwrap_or_default();
            if got != message.want {
                return Err(format!("deliveries of {}: got {got:?}, want {:?}", message.name, message.want));
            }
        }
        match got.first_key_value() {
            Some((name, copies)) => Err(format!("{name} was not accepted but delivered: {copies:?}")),
            None => Ok(sent.iter().map(|message| message.want.values().sum::<usize>()).sum()),
        }
    }

    /// Carries out a scenario file.
    pub fn play(&mut self, script: &Script) -> Outcome {
        for line in script.lines(&self.mta.kind) {
            self.step(&line.step).map_err(|e| format!("line {}: {e}", line.number))?;
        }
        Ok(())
    }

    /// What ends every scenario.
    pub fn finish(&mut self) -> Outcome {
        self.clients.clear();
        self.rcptd.finish()
    }

    /// All that was said over SMTP.
    pub fn transcript(&self) -> String {
        self.clients.iter().fold(String::new(), |mut text, (name, client)| {
            let _ = writeln!(text, "--- client {name}\n{}", client.smtp.transcript);
            text
        })
    }

    fn client(&mut self, name: &str) -> Outcome<&mut Client> {
        self.clients.get_mut(name).ok_or_else(|| format!("no connection {name:?}; connect comes first"))
    }

    fn step(&mut self, step: &Step) -> Outcome {
        match step {
            Step::Connect { client } => {
                let smtp = self.post.connect()?;
                self.clients.insert(client.clone(), Client { smtp, unsent: String::new(), unread: None });
                Ok(())
            }
            Step::Send { client, line } => {
                let _ = write!(self.client(client)?.unsent, "{line}\r\n");
                Ok(())
            }
            Step::Flush { client } => self.client(client)?.flush(),
            Step::Reply { client, pattern } => {
                let begin = Instant::now();
                let reply = self.client(client)?.read()?;
                self.took = begin.elapsed();
                self.note(&reply);
                if reply.matches(pattern) {
                    Ok(())
                } else {
                    Err(format!("reply: got {:?}, want {pattern:?}", reply.0))
                }
            }
            Step::Message { client, name } => {
                let text = self.post.text(name);
                let client = self.client(client)?;
                client.unread = Some(client.smtp.message(&text)?);
                Ok(())
            }
            Step::Text { name } => {
                let text = self.post.text(name);
                self.client("")?.smtp.send(&format!("{text}.\r\n"))
            }
            Step::Bdat { name, chunks } => self.bdat(name, *chunks),
            Step::Mail { name, to } => self.mail(name, to),
            Step::Submit { name, from, to } => self.submit(name, from, to),
            Step::Delivered { name, copies } => self.delivered(name, &copies.iter().cloned().collect()),
            Step::Envelope { name, mailbox, address } => {
                self.has_header(name, mailbox, &format!("X-Envelope-To: {address}"), true)
            }
            Step::Header { name, mailbox, pattern } => self.has_header(name, mailbox, pattern, true),
            Step::NoHeader { name, mailbox, pattern } => self.has_header(name, mailbox, pattern, false),
            Step::Report { name, mailbox, pattern } => self.has_report(name, mailbox, pattern),
            Step::NoReport { name } => self.has_no_report(name),
            Step::Took { least, most } => {
                let took = self.took.as_secs_f32();
                if (*least..=*most).contains(&took) {
                    Ok(())
                } else {
                    Err(format!("the reply took {took:.1} s, want {least} to {most} s"))
                }
            }
            Step::Postmap { map, key, want } => self.postmap(map, key, want),
            Step::Rcptd(script::Rcptd::Start) => self.rcptd.start(),
            Step::Rcptd(script::Rcptd::Stop) => self.rcptd.stop(),
            Step::Rcptd(script::Rcptd::Kill) => self.rcptd.kill(),
            Step::Rcptd(script::Rcptd::Reload) => self.rcptd.reload(),
            Step::Rules(file) => self.install("aliases.rules", Some(file)),
            Step::Config(file) => self.install("rcptd.conf", Some(file)),
            Step::Put { file, name } => self.install(name, Some(file)),
            Step::RedisEntry { key, value } => {
                self.redis.put(key, value);
                Ok(())
            }
            Step::Redis { up: true } => {
                self.relay.set(Way::Down)?;
                self.redis.start(self.relay.address())
            }
            Step::Redis { up: false } => {
                self.redis.stop();
                Ok(())
            }
            Step::Accounts { gone } => {
                let (list, aside) = (self.folder.join("accounts"), self.folder.join("accounts.aside"));
                let moved = if *gone { fs::rename(list, aside) } else { fs::rename(aside, list) };
                moved.map_err(|e| format!("list of accounts: {e}"))
            }
            Step::Vrfy(vrfy) => self.relay.set(match vrfy {
                Vrfy::Up => Way::To(self.mta.vrfy().ok_or("this server is wired without VRFY")?),
                Vrfy::Open => Way::To(self.mta.open),
                Vrfy::Hang => Way::Hang,
                Vrfy::Down => Way::Down,
            }),
            Step::Log(pattern) => has_line(&self.rcptd.log, 0, pattern, LOG_LIMIT),
            Step::NoLog(pattern) => match has_line(&self.rcptd.log, 0, pattern, Duration::ZERO) {
                Ok(()) => Err(format!("rcptd's log has a line {pattern:?}")),
                Err(_) => Ok(()),
            },
            Step::MtaLog(pattern) => has_line(&self.mta.log, self.mark, pattern, LOG_LIMIT),
        }
    }

    /// The message by CHUNKING (RFC 3030): all replies but the last must accept their chunk.
    fn bdat(&mut self, name: &str, chunks: usize) -> Outcome {
        let text = self.post.text(name);
        let client = self.client("")?;
        let size = text.len().div_ceil(chunks.max(1));
        let mut rest = text.as_str();
        while rest.len() > size {
            let (chunk, others) = rest.split_at(size);
            client.smtp.send(&format!("BDAT {}\r\n{chunk}", chunk.len()))?;
            client.smtp.expect("250")?;
            rest = others;
        }
        client.smtp.send(&format!("BDAT {} LAST\r\n{rest}", rest.len()))
    }

    fn mail(&mut self, name: &str, to: &[String]) -> Outcome {
        let text = self.post.text(name);
        let client = self.client("")?;
        client.smtp.ask(&format!("MAIL FROM:<{SENDER}>"), "250")?;
        for address in to {
            client.smtp.ask(&format!("RCPT TO:<{address}>"), "250")?;
        }
        let reply = client.smtp.message(&text)?;
        self.note(&reply);
        if reply.matches("250") {
            Ok(())
        } else {
            Err(format!("message {name}: got {:?}, want 250", reply.0))
        }
    }

    fn submit(&mut self, name: &str, from: &str, to: &[String]) -> Outcome {
        let mut words = vec!["sendmail", "-i", "-f", from];
        words.extend(to.iter().map(String::as_str));
        let mark = self.mta.log.mark();
        match self.mta.exec(&words, &self.post.text(name).replace('\r', ""))? {
            0 | EX_NOUSER => submitted(self.mta, mark),
            code => Err(format!("{words:?} ended with exit code {code}")),
        }
    }

    fn has_header(&mut self, name: &str, mailbox: &str, pattern: &str, wanted: bool) -> Outcome {
        let subject = self.post.subject(name);
        let is_copy = |mail: &&Mail| mail.mailbox == mailbox && !mail.is_report() && mail.is_about(&subject);
        let copies: Vec<_> = self.books.all()?.filter(is_copy).collect();
        let has = |mail: &&Mail| mail.head().any(|line| glob(pattern, line));
        if copies.is_empty() || copies.iter().any(has) != wanted {
            let seen = copies.iter().map(|mail| mail.text.as_str()).collect::<Vec<_>>().join("\n");
            return Err(format!(
                "{name} in {mailbox}: header field {pattern:?}, wanted: {wanted}; copies:\n{seen}"
            ));
        }
        Ok(())
    }

    fn has_report(&mut self, name: &str, mailbox: &str, pattern: &str) -> Outcome {
        let subject = self.post.subject(name);
        self.settle()?;
        let mut seen = String::new();
        for mail in self.books.all()?.filter(|mail| mail.mailbox == mailbox && mail.is_report()) {
            if mail.is_about(&subject) {
                if mail.text.lines().any(|line| glob(pattern, line)) {
                    return Ok(());
                }
                seen.push_str(&mail.text);
            }
        }
        Err(format!("no report about {name} with a line {pattern:?} in {mailbox}; reports about it:\n{seen}"))
    }

    fn has_no_report(&mut self, name: &str) -> Outcome {
        let subject = self.post.subject(name);
        self.settle()?;
        match self.books.all()?.find(|mail| mail.is_report() && mail.is_about(&subject)) {
            Some(mail) => Err(format!("a report about {name} is in {}:\n{}", mail.mailbox, mail.text)),
            None => Ok(()),
        }
    }
}

impl Client {
    /// Sends what was collected and reads the next reply.
    fn read(&mut self) -> Outcome<Reply> {
        if let Some(reply) = self.unread.take() {
            return Ok(reply);
        }
        self.flush()?;
        self.smtp.reply()
    }

    fn flush(&mut self) -> Outcome {
        let unsent = std::mem::take(&mut self.unsent);
        if unsent.is_empty() { Ok(()) } else { self.smtp.send(&unsent) }
    }
}

fn has_line(log: &crate::log::Log, mark: usize, pattern: &str, limit: Duration) -> Outcome {
    let pattern = format!("*{pattern}*");
    wait(limit, &format!("log line {pattern:?}"), || {
        Ok(log.since(mark).lines().any(|line| glob(&pattern, line)).then_some(()))
    })
}

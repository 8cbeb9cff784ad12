//! What was delivered: the mailboxes, and what the mail server's log says is still under way.

use crate::Outcome;
use crate::log::wait;
use crate::mta::Mta;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// From the acceptance of a message to its delivery; a second on an idle host.
const DELIVERY_LIMIT: Duration = Duration::from_secs(90);

/// A delivered message.
#[derive(Debug)]
pub struct Mail {
    pub mailbox: String,
    pub text: String,
}

impl Mail {
    /// The lines of the header.
    pub fn head(&self) -> impl Iterator<Item = &str> {
        self.text.lines().take_while(|line| !line.is_empty())
    }

    /// The value of the first header field called `name`.
    pub fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head();
        fields
            .filter_map(|line| line.split_once(": "))
            .find(|(got, _)| got.eq_ignore_ascii_case(name))
            .map(|p| p.1)
    }

    /// Whether it is a report (RFC 3464) of the mail server.
    pub fn is_report(&self) -> bool {
        self.header("Content-Type").is_some_and(|kind| kind.starts_with("multipart/report"))
    }

    /// Whether `subject` is its subject or, for a report, that of the message reported on.
    pub fn is_about(&self, subject: &str) -> bool {
        let line = format!("Subject: {subject}");
        if self.is_report() {
            self.text.lines().any(|got| got == line)
        } else {
            self.header("Subject") == Some(subject)
        }
    }
}

/// Copies per mailbox; a mailbox without any is not in it.
pub type Copies = BTreeMap<String, usize>;

/// The mailboxes below a folder.
pub struct Books {
    folder: PathBuf,
    /// A file in a mailbox never changes, so it is read once.
    read: HashMap<PathBuf, Mail>,
}

impl Books {
    pub fn new(folder: &Path) -> Self {
        Books { folder: folder.to_owned(), read: HashMap::new() }
    }

    /// All mail that has been delivered by now.
    pub fn all(&mut self) -> Outcome<impl Iterator<Item = &Mail>> {
        let entries = |path: &Path| {
            let read = fs::read_dir(path).map_err(|e| format!("{}: {e}", path.display()))?;
            read.map(|entry| entry.map_err(|e| e.to_string())).collect::<Outcome<Vec<_>>>()
        };
        for mailbox in entries(&self.folder)? {
            for file in entries(&mailbox.path().join("new"))? {
                if self.read.contains_key(&file.path()) {
                    continue;
                }
                let bytes = fs::read(file.path()).map_err(|e| format!("{}: {e}", file.path().display()))?;
                let text = String::from_utf8_lossy(&bytes).replace('\r', "");
                let mailbox = mailbox.file_name().to_string_lossy().into_owned();
                self.read.insert(file.path(), Mail { mailbox, text });
            }
        }
        Ok(self.read.values())
    }

    /// Copies of each message whose subject begins with `prefix`, by the rest of the subject. A report about
    /// one of them is an error.
    pub fn of(&mut self, prefix: &str) -> Outcome<BTreeMap<String, Copies>> {
        let mut messages: BTreeMap<String, Copies> = BTreeMap::new();
        let reported = format!("Subject: {prefix}");
        for mail in self.all()? {
            if mail.is_report() {
                if mail.text.lines().any(|line| line.starts_with(&reported)) {
                    return Err(format!("a report in {}:\n{}", mail.mailbox, mail.text));
                }
            } else if let Some(name) = mail.header("Subject").and_then(|subject| subject.strip_prefix(prefix))
            {
                *messages.entry(name.to_owned()).or_default().entry(mail.mailbox.clone()).or_default() += 1;
            }
        }
        Ok(messages)
    }

    /// Copies of the message called `subject`, reports about it not counted.
    pub fn copies(&mut self, subject: &str) -> Outcome<Copies> {
        let mut copies = Copies::new();
        for mail in self.all()?.filter(|mail| !mail.is_report() && mail.is_about(subject)) {
            *copies.entry(mail.mailbox.clone()).or_default() += 1;
        }
        Ok(copies)
    }
}

/// Waits until `mta` has dealt with all messages of `accepted` and with those its log since `mark` speaks of.
pub fn settle(mta: &Mta, mut mark: usize, accepted: &BTreeSet<String>) -> Outcome {
    let mut open = accepted.clone();
    let mut done = BTreeSet::new();
    let settled = wait(DELIVERY_LIMIT, "mail queue is done", || {
        for line in mta.log.next(&mut mark).lines() {
            open.extend(announced(line));
            done.extend(finished(line));
        }
        Ok(open.is_subset(&done).then_some(()))
    });
    settled.map_err(|e| format!("{e}; left: {:?}", open.difference(&done).take(10).collect::<Vec<_>>()))
}

/// Waits until the log since `mark` tells of mail that sendmail(1) handed over.
pub fn submitted(mta: &Mta, mut mark: usize) -> Outcome {
    wait(DELIVERY_LIMIT, "mail by sendmail(1) is taken", || {
        Ok(mta.log.next(&mut mark).lines().find_map(announced).map(drop))
    })
}

/// The part of a log line that follows the name of the program.
fn after_program(line: &str) -> Option<&str> {
    line.split_once("]: ").map(|(_, text)| text)
}

/// The queue id of a message that a log line says is new: a report, or mail by sendmail(1).
fn announced(line: &str) -> Option<String> {
    let text = after_program(line)?;
    let id = if line.contains("postfix/pickup[") {
        text.split_once(": uid=")?.0
    } else if let Some((_, id)) = text.split_once(" notification: ") {
        id
    } else if let Some((_, rest)) = text.split_once("stat=Sent (") {
        // Sendmail's submission program, to which the server said "<id> Message accepted for delivery".
        rest.split_once(" Message accepted")?.0
    } else {
        // Sendmail: "<id>: <id of the report>: DSN: User unknown".
        let (_, rest) = text.split_once(": ")?;
        let (id, what) = rest.split_once(": ")?;
        let is_report = ["DSN: ", "return to sender: ", "sender notify: ", "postmaster notify: "]
            .iter()
            .any(|kind| what.starts_with(kind));
        if !is_report {
            return None;
        }
        id
    };
    Some(id.trim().to_owned())
}

/// The queue id of a message that a log line says has left the queue.
fn finished(line: &str) -> Option<String> {
    let (id, what) = after_program(line)?.split_once(": ")?;
    // Postfix's words, those for a message that a milter refused or deferred at its end, then Sendmail's.
    let ended = ["done; ", "milter-reject: END-OF-MESSAGE "];
    (what == "removed" || ended.iter().any(|words| what.starts_with(words))).then(|| id.to_owned())
}

//! Keeps a plug-in running: one task, which starts or connects to it, and restarts it after every failure.
//!
//! After a failure all questions in flight fail temporarily. The plug-in is started again after a pause that
//! grows; until then, questions fail temporarily at once. The task ends when
//! its [`super::Client`] is dropped.

use super::Target;
use super::program::{GRACE, LAST_MOMENT, Program};
use super::protocol::{Answer, Conversation, MAX_QUESTIONS, Word, hello};
use crate::net::connect::connect;
use crate::observe;
use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

/// How many deadlines a plug-in has for its hello and for the oldest question in flight. One that takes longer
/// hangs, and is restarted. More than one deadline, so that a single slow answer is no reason to restart it.
pub(super) const PATIENCE: u32 = 2;

/// The pause before the first restart.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause: a program that is repaired soon works again, and one that fails at each start does not
/// keep the machine busy.
const LAST_PAUSE: Duration = Duration::from_secs(10);

/// A plug-in that has run for this long was good: the next pause is the first one again.
const GOOD: Duration = Duration::from_secs(10);

/// Octets read at once. Answers that are read together count together.
const PIECE: usize = 4096;

/// A question, and where the answer goes.
#[derive(Debug)]
pub(super) struct Question {
    pub word: Word,
    /// See [`super::protocol::address_field`].
    pub address: String,
    /// The error is the reason of a temporary failure.
    pub reply: oneshot::Sender<Result<Answer, Arc<str>>>,
}

/// The caller of a question in flight.
#[derive(Debug)]
struct Caller {
    reply: oneshot::Sender<Result<Answer, Arc<str>>>,
    since: Instant,
}

/// The task of one plug-in.
#[derive(Debug)]
pub(super) struct Runner {
    /// The name of the plug-in in the log.
    pub source: Arc<str>,
    pub target: Target,
    /// Time limit of the hello, and of the oldest question in flight.
    pub patience: Duration,
    pub questions: mpsc::Receiver<Question>,
}

/// Why a conversation ended.
enum End {
    /// The client was dropped.
    Dropped,
    /// The plug-in has closed its input or output.
    Closed,
    /// It hangs, or violates the protocol.
    Fault(String),
}

impl Runner {
    /// Runs until the client is dropped.
    pub async fn run(mut self) {
        let mut failures = 0;
        loop {
            let begun = Instant::now();
            let Some(why) = self.run_once().await else { return };
            failures = if begun.elapsed() < GOOD { failures + 1 } else { 1 };
            let pause = pause(failures, RandomState::new().hash_one(failures));
            observe::plugin::failed(&self.source, &why, pause, failures == 1);
            if !self.refuse(Instant::now() + pause, &why).await {
                return;
            }
        }
    }

    /// Refuses all questions until `end`. Returns whether the client still exists.
    async fn refuse(&mut self, end: Instant, why: &str) -> bool {
        let why: Arc<str> = format!("the plug-in is being restarted: {why}").into();
        while let Ok(question) = timeout_at(end, self.questions.recv()).await {
            let Some(question) = question else { return false };
            // Fails if the caller has timed out.
            let _ = question.reply.send(Err(why.clone()));
        }
        true
    }

    /// Starts the plug-in, and returns why it has ended; `None`: since the client was dropped.
    async fn run_once(&mut self) -> Option<String> {
        let mut session = Session::new(self);
        let why = match session.runner.target.clone() {
            Target::Program(line) => match Program::start(&line, &session.runner.source) {
                Err(error) => format!("{} cannot be started: {error}", line.path().display()),
                Ok((program, mut stdin, mut stdout)) => {
                    let end = session.converse(&mut stdout, &mut stdin).await;
                    drop((stdin, stdout));
                    match end {
                        End::Dropped => {
                            program.end(GRACE).await;
                            return None;
                        }
                        End::Closed => match program.end(LAST_MOMENT).await {
                            Some(status) => format!("it has ended ({status})"),
                            None => "it has closed its input or output".into(),
                        },
                        End::Fault(why) => {
                            program.end(Duration::ZERO).await;
                            why
                        }
                    }
                }
            },
            Target::Socket(host) => {
                let limit = session.runner.patience;
                match timeout(limit, connect(&host, limit)).await {
                    Err(_) => format!("no connection within {limit:?}"),
                    Ok(Err(error)) => format!("{host}: {error}"),
                    Ok(Ok(socket)) => {
                        let (mut reader, mut writer) = split(socket.boxed());
                        match session.converse(&mut reader, &mut writer).await {
                            End::Dropped => return None,
                            End::Closed => "it has closed the connection".into(),
                            End::Fault(why) => why,
                        }
                    }
                }
            }
        };
        session.fail(&why);
        Some(why)
    }
}

/// One run of the program, or one connection.
struct Session<'a> {
    runner: &'a mut Runner,
    begun: Instant,
    conversation: Conversation<Caller>,
    /// Questions that wait for the hello.
    early: VecDeque<Question>,
    /// Octets to be written.
    output: Vec<u8>,
}

impl<'a> Session<'a> {
    fn new(runner: &'a mut Runner) -> Self {
        Session {
            runner,
            begun: Instant::now(),
            conversation: Conversation::new(MAX_QUESTIONS),
            early: VecDeque::new(),
            output: hello().into(),
        }
    }

    async fn converse(
        &mut self,
        reader: &mut (impl AsyncRead + Unpin),
        writer: &mut (impl AsyncWrite + Unpin),
    ) -> End {
        let mut piece = [0; PIECE];
        loop {
            let limit = self.limit();
            tokio::select! {
                question = self.runner.questions.recv() => match question {
                    Some(question) => self.take(question),
                    None => return End::Dropped,
                },
                read = reader.read(&mut piece) => match read {
                    Ok(0) => return End::Closed,
                    Ok(octets) => {
                        if let Err(why) = self.receive(&piece[..octets]) {
                            return End::Fault(why);
                        }
                    }
                    Err(error) => return End::Fault(format!("reading from it: {error}")),
                },
                written = writer.write(&self.output), if !self.output.is_empty() => match written {
                    Ok(octets) => drop(self.output.drain(..octets)),
                    // It has closed its input, most likely because it has ended: then its last output or the exit
                    // status says more.
                    Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                        let rest = self.last_output(reader);
                        return timeout(LAST_MOMENT, rest).await.unwrap_or(End::Closed);
                    }
                    Err(error) => return End::Fault(format!("writing to it: {error}")),
                },
                () = sleep_until(limit.unwrap_or(self.begun)), if limit.is_some() => {
                    return End::Fault(self.hangs());
                }
            }
        }
    }

    /// Reads to the end.
    async fn last_output(&mut self, reader: &mut (impl AsyncRead + Unpin)) -> End {
        let mut piece = [0; PIECE];
        loop {
            match reader.read(&mut piece).await {
                Ok(octets) if octets > 0 => {
                    if let Err(why) = self.receive(&piece[..octets]) {
                        return End::Fault(why);
                    }
                }
                Ok(_) | Err(_) => return End::Closed,
            }
        }
    }

    /// When the plug-in hangs, unless it sends something before; `None` if nothing is expected from it.
    fn limit(&self) -> Option<Instant> {
        let since = match self.conversation.name() {
            None => Some(self.begun),
            Some(_) => self.conversation.oldest().map(|caller| caller.since),
        };
        since.map(|since| since + self.runner.patience)
    }

    fn hangs(&self) -> String {
        let patience = self.runner.patience;
        match self.conversation.name() {
            None => format!("no hello within {patience:?}"),
            Some(_) => format!("a question was not answered within {patience:?}"),
        }
    }

    /// Takes a question from the client. Before the hello it waits: the program may be any other, such as a
    /// shell, which would run a line from outside.
    fn take(&mut self, question: Question) {
        if self.conversation.name().is_some() {
            return self.ask(question);
        }
        if self.early.len() >= MAX_QUESTIONS {
            // Those whose callers have timed out.
            self.early.retain(|early| !early.reply.is_closed());
        }
        if self.early.len() >= MAX_QUESTIONS {
            return refuse(question.reply);
        }
        self.early.push_back(question);
    }

    fn ask(&mut self, Question { word, address, reply }: Question) {
        if reply.is_closed() {
            return;
        }
        match self.conversation.ask(word, &address, Caller { reply, since: Instant::now() }) {
            Ok(line) => self.output.extend_from_slice(line.as_bytes()),
            Err(caller) => refuse(caller.reply),
        }
    }

    fn receive(&mut self, octets: &[u8]) -> Result<(), String> {
        let before = self.conversation.name().is_some();
        let answers = self.conversation.receive(octets).map_err(|error| error.to_string())?;
        for (caller, answer) in answers {
            // Fails if the caller has timed out.
            let _ = caller.reply.send(Ok(answer));
        }
        if let (false, Some(name)) = (before, self.conversation.name()) {
            observe::plugin::ready(&self.runner.source, name);
            for question in std::mem::take(&mut self.early) {
                self.ask(question);
            }
        }
        Ok(())
    }

    /// Ends the session: all questions fail temporarily.
    fn fail(self, why: &str) {
        let why: Arc<str> = format!("the plug-in failed: {why}").into();
        let early = self.early.into_iter().map(|question| question.reply);
        for reply in self.conversation.into_callers().map(|caller| caller.reply).chain(early) {
            let _ = reply.send(Err(why.clone()));
        }
    }
}

fn refuse(reply: oneshot::Sender<Result<Answer, Arc<str>>>) {
    let why = format!("{MAX_QUESTIONS} questions wait for answers of the plug-in, which is the limit");
    let _ = reply.send(Err(why.into()));
}

/// The pause after this number of failures in a row: each is twice as long as the one before. The random part
/// is up to a half, so that plug-ins that failed together are not restarted together.
fn pause(failures: u32, random: u64) -> Duration {
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
    let whole = FIRST_PAUSE.saturating_mul(doubled).min(LAST_PAUSE);
    // 0 to 255
    let random = u32::from(random.to_le_bytes()[0]);
    whole / 2 + whole / 2 * (256 - random) / 256
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit() {
        for (failures, random, want) in [
            (1, 0, 100),
            (2, 0, 200),
            (3, 0, 400),
            (7, 0, 6400),
            (8, 0, 10_000),
            (u32::MAX, 0, 10_000),
            (1, 128, 75),
            (8, 128, 7500),
            (1, 0xff00, 100),
        ] {
            assert_eq!(pause(failures, random), Duration::from_millis(want), "{failures} {random}");
        }
        assert!(pause(1, 255) > FIRST_PAUSE / 2);
    }

    /// What a program wrote before it ended tells why it failed, whichever is noticed first.
    #[tokio::test]
    async fn last_output_counts() {
        for _ in 0..50 {
            let (_client, questions) = mpsc::channel(1);
            let target = Target::unix("/nowhere").unwrap();
            let patience = Duration::from_secs(10);
            let mut runner = Runner { source: "unix:/nowhere".into(), target, patience, questions };
            let (ours, mut theirs) = tokio::io::duplex(1024);
            theirs.write_all(b"nonsense\n").await.unwrap();
            drop(theirs);
            let (mut reader, mut writer) = split(ours);
            let end = Session::new(&mut runner).converse(&mut reader, &mut writer).await;
            assert!(matches!(&end, End::Fault(why) if why.contains("nonsense")));
        }
    }
}

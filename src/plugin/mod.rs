//! Plug-ins: programs of the operator that answer questions about addresses.
//!
//! rcptd starts the program (`exec:`) or connects to its socket (`unix:`), and asks it with the line protocol
//! in `docs/plug-ins.md`. An account source asks whether an account exists; the resolver asks in place of a script.
//!
//! | file | contents |
//! | --- | --- |
//! | `protocol` | lines, and the questions in flight |
//! | `runner` | the task that talks to the plug-in, and restarts it |
//! | `program` | the process of `exec:` |
//! | `messages` | its standard error |

mod messages;
mod program;
pub mod protocol;
mod runner;

pub use program::CommandLine;

use crate::net::host::{Host, socket_path};
use protocol::{Answer, Word};
use runner::{PATIENCE, Question, Runner};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Number of questions between the callers and the task; further callers wait, within their deadline.
const QUEUE: usize = 64;

/// What runs or listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `exec:`
    Program(CommandLine),
    /// `unix:`
    Socket(Host),
}

impl Target {
    /// The syntax of [`Target::exec`] for messages, with its word.
    pub const EXEC_USAGE: &str = "exec:/PATH [ARGUMENT...]";
    /// The syntax of [`Target::unix`] for messages, with its word.
    pub const UNIX_USAGE: &str = "unix:/PATH";

    /// Parses the text after `exec:`.
    pub fn exec(arguments: &str) -> Result<Self, String> {
        Ok(Target::Program(arguments.parse()?))
    }

    /// Parses the text after `unix:`.
    pub fn unix(path: &str) -> Result<Self, String> {
        Ok(Target::Socket(Host::Unix(socket_path(path)?)))
    }

    /// Parses the text with its word; `None`: it names no plug-in. The error is what is wrong, and the syntax.
    pub fn named(text: &str) -> Option<Result<Self, (String, &'static str)>> {
        let (word, arguments) = text.split_once(':')?;
        match word {
            "exec" => Some(Target::exec(arguments).map_err(|why| (why, Target::EXEC_USAGE))),
            "unix" => Some(Target::unix(arguments).map_err(|why| (why, Target::UNIX_USAGE))),
            _ => None,
        }
    }

    /// Checks whether the program can be run. A server may come later. The error is what is wrong, and the
    /// remedy.
    pub fn check(&self) -> Result<(), (String, &'static str)> {
        match self {
            Target::Program(line) => line.check(),
            Target::Socket(_) => Ok(()),
        }
    }
}

/// A plug-in as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Its text in the configuration, which is its name in the log.
    pub name: Arc<str>,
    /// The program or the socket.
    pub target: Target,
    /// Time limit of a question. One that has no answer after twice this time shows that the plug-in hangs.
    pub deadline: Duration,
}

/// A running plug-in, which ends when this is dropped.
#[derive(Debug)]
pub struct Client {
    deadline: Duration,
    questions: mpsc::Sender<Question>,
}

impl Client {
    /// Starts the program, or connects to the socket, in the background.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn start(settings: &Settings) -> Self {
        let Settings { name, target, deadline } = settings.clone();
        let (sender, questions) = mpsc::channel(QUEUE);
        let runner = Runner { source: name, target, patience: deadline.saturating_mul(PATIENCE), questions };
        // The task ends when the sender of the questions is dropped.
        tokio::spawn(runner.run());
        Client { deadline, questions: sender }
    }

    /// Asks the plug-in; `address` comes from [`protocol::address_field`]. The answer suits the word. The error
    /// is the reason of a temporary failure. If this is dropped, the question stays in flight until its answer
    /// comes.
    pub async fn ask(&self, word: Word, address: String) -> Result<Answer, Arc<str>> {
        const GONE: &str = "the task of the plug-in has ended";
        let (reply, answer) = oneshot::channel();
        self.questions.send(Question { word, address, reply }).await.map_err(|_| GONE)?;
        answer.await.map_err(|_| GONE)?
    }

    /// The same within the deadline of the plug-in.
    pub async fn ask_in_time(&self, word: Word, address: String) -> Result<Answer, Arc<str>> {
        let answer = timeout(self.deadline, self.ask(word, address)).await;
        answer.unwrap_or_else(|_| Err(format!("no answer within {:?}", self.deadline).into()))
    }
}

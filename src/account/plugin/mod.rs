//! `exec:` and `unix:`, a program of the operator that knows the accounts.
//!
//! rcptd starts the program (`exec:`) or connects to its socket (`unix:`), and asks it with the line protocol
//! in `docs/plug-ins.md`.
//!
//! | file | contents |
//! | --- | --- |
//! | `protocol` | lines, and the questions in flight |
//! | `runner` | the task that talks to the plug-in, and restarts it |
//! | `program` | the process of `exec:` |
//! | `messages` | its standard error |
//!
//! Everything but an answer to the question is a temporary failure. The answers "found" and "notfound" count
//! as they are, unless the source has a witness: then "notfound" counts only if the plug-in finds the witness
//! at the same domain.

mod messages;
mod program;
pub mod protocol;
mod runner;

use super::settings::{Scoped, Witness};
use super::spec::{BuildContext, OpenFuture, SourceConfig, SourceType};
use super::{AccountSource, Lookup, LookupFuture, Reason, Source, Verification};
use crate::lookup::control::{Control, Reply, Server};
use crate::net::host::{Host, socket_path};
use mail_address::{Address, CaseSensitivity};
use protocol::{Answer, address_field};
use runner::{PATIENCE, Question, Runner, Target};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Number of questions between the callers and the task; further callers wait, within their deadline.
const QUEUE: usize = 64;

/// `exec:/PATH [ARGUMENT...]`
pub(super) const EXEC: SourceType = SourceType {
    name: "exec",
    usage: "exec:/PATH [ARGUMENT...]",
    read: |arguments| Ok(Arc::new(Target::Program(arguments.parse()?))),
};

/// `unix:/PATH`
pub(super) const UNIX: SourceType = SourceType {
    name: "unix",
    usage: "unix:/PATH",
    read: |path| Ok(Arc::new(Target::Socket(Host::Unix(socket_path(path)?)))),
};

impl SourceConfig for Target {
    /// Starts the program, or connects to the socket, in the background.
    fn open<'a>(&'a self, context: BuildContext<'a>) -> OpenFuture<'a> {
        Box::pin(async move {
            if let Target::Program(line) = self {
                line.check().map_err(|error| vec![error])?;
            }
            let (sender, questions) = mpsc::channel(QUEUE);
            let runner = Runner {
                source: context.name.clone(),
                target: self.clone(),
                patience: context.source.deadline.saturating_mul(PATIENCE),
                questions,
            };
            let interval = context.source.control_interval;
            let source = Plugin {
                name: context.name.clone(),
                cases: context.cases.clone(),
                witness: context.source.witness.clone(),
                control: Control::new(context.name.clone(), interval, context.metrics),
                questions: sender,
            };
            // The task ends when the source is dropped, and so the sender of the questions.
            tokio::spawn(runner.run());
            Ok(Arc::new(source) as Arc<AccountSource>)
        })
    }
}

#[derive(Debug)]
struct Plugin {
    name: Arc<str>,
    cases: CaseSensitivity,
    witness: Scoped<Witness>,
    control: Control,
    questions: mpsc::Sender<Question>,
}

impl Plugin {
    async fn verify(&self, account: &Address) -> Result<Verification, Reason> {
        let address = address_field(account, self.cases.of(account))
            .map_err(|why| Reason::new(format!("not asked: {why}")))?;
        let domain = account.domain().unwrap_or_default();
        let server = Server { peer: &self.name, scope: domain };
        let witness = match self.witness.of(domain) {
            Witness::Account(local) => Some(format!("{local}@{domain}")),
            Witness::Default | Witness::Off => None,
        };
        let answer = self.ask(address.clone()).await?;
        let quoted = format!("{address}: {answer}");
        let result = match answer {
            Answer::TempFail(_) => return Err(Reason::new(quoted)),
            Answer::Found => Lookup::Found(()),
            Answer::NotFound => Lookup::NotFound,
        };
        let verification = Verification::new(result, &self.name).with_detail(&quoted);
        let Some(witness) = witness else { return Ok(verification) };
        if verification.result == Lookup::Found(()) {
            self.control.found(server);
            return Ok(verification);
        }
        let passed = self.control.witness(server, &witness, || self.ask_witness(&witness)).await;
        passed.map_err(|why| Reason::uncontrolled(format!("{quoted}, but {why}")))?;
        Ok(verification.with_ttl(self.control.interval()))
    }

    async fn ask_witness(&self, witness: &str) -> Reply {
        let account = Address::from_rcpt(witness.as_bytes());
        let answer = match address_field(&account, self.cases.of(&account)) {
            Ok(address) => self.ask(address).await,
            Err(why) => return Reply::TempFail(why),
        };
        match answer {
            Ok(Answer::Found) => Reply::Exists("found".into()),
            Ok(Answer::NotFound) => Reply::NotFound("notfound".into()),
            Ok(Answer::TempFail(why)) => Reply::TempFail(why),
            Err(why) => Reply::TempFail(why.to_string()),
        }
    }

    /// Asks the plug-in. If this is dropped, the question stays in flight until its answer comes.
    async fn ask(&self, address: String) -> Result<Answer, Reason> {
        const GONE: &str = "the task of the plug-in has ended";
        let (reply, answer) = oneshot::channel();
        self.questions.send(Question { address, reply }).await.map_err(|_| Reason::new(GONE))?;
        answer.await.map_err(|_| Reason::new(GONE))?.map_err(Reason::new)
    }
}

impl Source<Address, Verification> for Plugin {
    fn look_up<'a>(&'a self, account: &'a Address) -> LookupFuture<'a, Verification> {
        Box::pin(async move {
            let verified = self.verify(account).await;
            verified.unwrap_or_else(|why| Verification::new(Lookup::TempFail(why), &self.name))
        })
    }
}

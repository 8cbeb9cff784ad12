//! `exec:` and `unix:`, a program of the operator that knows the accounts (see [`crate::plugin`]).
//!
//! Everything but an answer to the question is a temporary failure. The answers "found" and "notfound" count
//! as they are, unless the source has a witness: then "notfound" counts only if the plug-in finds the witness
//! at the same domain.

use super::settings::{Scoped, Witness};
use super::spec::{BuildContext, OpenFuture, SourceConfig, SourceType};
use super::{AccountSource, Lookup, LookupFuture, Reason, Source, Verification};
use crate::lookup::control::{Control, Reply, Server};
use crate::plugin::protocol::{Answer, Word, address_field};
use crate::plugin::{Client, Settings, Target};
use mail_address::{Address, CaseSensitivity};
use std::sync::Arc;

/// `exec:/PATH [ARGUMENT...]`
pub(super) const EXEC: SourceType = SourceType {
    name: "exec",
    usage: Target::EXEC_USAGE,
    read: |arguments| Ok(Arc::new(Target::exec(arguments)?)),
};

/// `unix:/PATH`
pub(super) const UNIX: SourceType =
    SourceType { name: "unix", usage: Target::UNIX_USAGE, read: |path| Ok(Arc::new(Target::unix(path)?)) };

impl SourceConfig for Target {
    /// Starts the program, or connects to the socket, in the background.
    fn open<'a>(&'a self, context: BuildContext<'a>) -> OpenFuture<'a> {
        Box::pin(async move {
            self.check().map_err(|(why, help)| vec![format!("{why}: {help}")])?;
            let settings = Settings {
                name: context.name.clone(),
                target: self.clone(),
                deadline: context.source.deadline,
            };
            let interval = context.source.control_interval;
            let source = Plugin {
                name: context.name.clone(),
                cases: context.cases.clone(),
                witness: context.source.witness.clone(),
                control: Control::new(context.name.clone(), interval, context.metrics),
                client: Client::start(&settings),
            };
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
    client: Client,
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
            Answer::Found => Lookup::Found(()),
            Answer::NotFound => Lookup::NotFound,
            // The protocol rejects the last three.
            Answer::TempFail(_) | Answer::Use(_) | Answer::Same | Answer::NoAlias => {
                return Err(Reason::new(quoted));
            }
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
            Ok(unfit @ (Answer::Use(_) | Answer::Same | Answer::NoAlias)) => {
                Reply::TempFail(unfit.to_string())
            }
            Err(why) => Reply::TempFail(why.to_string()),
        }
    }

    async fn ask(&self, address: String) -> Result<Answer, Reason> {
        self.client.ask(Word::Exists, address).await.map_err(Reason::new)
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

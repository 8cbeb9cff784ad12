//! `vrfy:`, a mail server that supports VRFY.
//!
//! | file | contents |
//! | --- | --- |
//! | `target` | the server in the configuration, and the order in which hosts are tried |
//! | `dns` | addresses, mail exchangers and services in DNS |
//! | `dial` | connection, STARTTLS, EHLO |
//! | `wire` | the stream on which commands and replies alternate |
//! | `connection` | one session for VRFY commands |
//! | `pool` | idle sessions |
//! | `reply` | the meaning of a reply |
//! | `words` | classification of the text of a rejection |
//! | `source` | the lookup, and the control lookups that make a reply count |
//!
//! Nothing is sent that could be more than one command or more than one address. An address with a control
//! character, without a domain, or with an invalid domain is a temporary failure, and nothing is sent.

mod connection;
mod dial;
mod pool;
mod reply;
mod source;
mod target;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod wire;
mod words;

use super::spec::{BuildContext, OpenFuture, SourceConfig, SourceType};
use super::{AccountSource, Lookup, Reason};
use crate::lookup::control::Control;
use crate::net::back_off::BackOffs;
use crate::net::dns::{Dns, SystemDns};
use crate::observe::outage::Servers;
use connection::{Connection, Peer};
use dial::{Dialer, Limits, Tls};
use lettre::transport::smtp::extension::ClientId;
use pool::Pool;
use reply::Meaning;
use source::VrfySource;
use std::hash::RandomState;
use std::sync::Arc;
use target::Target;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use wire::Wire;

/// `vrfy:HOST[:PORT]`, `vrfy:mx:DOMAIN[:PORT]`, `vrfy:srv:NAME`, `vrfy:unix:/PATH`
pub(super) const TYPE: SourceType = SourceType {
    name: "vrfy",
    usage: "vrfy:HOST[:PORT], vrfy:[IPV6][:PORT], vrfy:mx:DOMAIN[:PORT], vrfy:srv:NAME or vrfy:unix:/PATH",
    read: |arguments| Ok(Arc::new(Server { target: arguments.parse()? })),
};

#[derive(Debug)]
struct Server {
    target: Target,
}

impl SourceConfig for Server {
    fn open<'a>(&'a self, context: BuildContext<'a>) -> OpenFuture<'a> {
        let source = open(&self.target, context, None);
        Box::pin(async { Ok(Arc::new(source?) as Arc<AccountSource>) })
    }
}

/// Builds the source, with the DNS of the system if `lookup` is `None`.
fn open(
    target: &Target,
    context: BuildContext<'_>,
    lookup: Option<Arc<dyn Dns>>,
) -> Result<VrfySource, Vec<String>> {
    let settings = &context.source.vrfy;
    let lookup = match lookup {
        Some(lookup) => Ok(lookup),
        None if target.is_name() => SystemDns::new().map(|system| Arc::new(system) as Arc<dyn Dns>),
        // Never used. A host without name servers can still ask a server by address.
        None => Ok(Arc::new(crate::net::dns::NoDns) as Arc<dyn Dns>),
    };
    match (lookup, dial::helo_name(settings), Tls::new(settings)) {
        (Ok(lookup), Ok(me), Ok(tls)) => {
            let limits = Limits::within(context.source.deadline);
            let interval = context.source.control_interval;
            Ok(VrfySource {
                name: context.name.clone(),
                code_250: settings.code_250.clone(),
                code_252: settings.code_252.clone(),
                witness: context.source.witness.clone(),
                command: limits.command,
                control: Control::new(context.name.clone(), interval),
                words: Control::new(context.name.clone(), interval),
                digests: RandomState::new(),
                pool: Pool::new(
                    settings.per_connection,
                    settings.idle_connections,
                    settings.idle_timeout,
                    interval,
                ),
                dialer: Dialer {
                    target: target.clone(),
                    lookup,
                    back_offs: BackOffs::new(limits.connect),
                    limits,
                    me,
                    tls,
                    servers: Servers::of(context.name.clone()),
                },
            })
        }
        (lookup, me, tls) => {
            let mut errors: Vec<_> = lookup.err().into_iter().chain(me.err()).collect();
            errors.extend(tls.err().unwrap_or_default());
            Err(errors)
        }
    }
}

/// Sends VRFY for `path` over one connection, and interprets the reply: for the fuzz target. It does no
/// control lookups: controls count as passed, except for 252 and unknown texts.
#[doc(hidden)]
pub async fn ask_over<S>(stream: S, path: &str) -> Lookup<()>
where
    S: AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static,
{
    let limit = super::settings::DEADLINE;
    let exchange = async {
        let server = Arc::new(dial::Server::Unix("fuzz".into()));
        let peer = Peer { server, since: Instant::now() };
        let wire = Wire::new(Box::new(stream));
        let mut connection = Connection::open(wire, peer, &ClientId::default(), limit).await?;
        connection.vrfy(path, limit).await
    };
    let why = match exchange.await {
        Err(failure) => failure.to_string(),
        Ok(reply) => match reply.meaning(path) {
            Meaning::Exists => return Lookup::Found(()),
            Meaning::NotFound => return Lookup::NotFound,
            Meaning::Perhaps | Meaning::Refused | Meaning::TempFail => source::quoted(path, &reply),
        },
    };
    Lookup::TempFail(Reason::new(why))
}

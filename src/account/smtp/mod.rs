//! `vrfy:`, `rcpt:` and `lmtp:`, a mail server that is asked with VRFY or RCPT.
//!
//! | file | contents |
//! | --- | --- |
//! | `protocol` | the commands of the three types |
//! | `target` | the server in the configuration, and the order in which hosts are tried |
//! | `dial` | connection, STARTTLS, EHLO or LHLO |
//! | `wire` | the stream on which commands and replies alternate |
//! | `connection` | one session, in which accounts are asked for |
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
mod protocol;
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
use protocol::Protocol;
use reply::ReplyClass;
use source::SmtpSource;
use std::hash::RandomState;
use std::sync::Arc;
use target::Target;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use wire::Wire;

/// `vrfy:HOST[:PORT]`, `vrfy:mx:DOMAIN[:PORT]`, `vrfy:srv:NAME`, `vrfy:unix:/PATH`
pub(super) const VRFY: SourceType = SourceType {
    name: Protocol::Vrfy.name(),
    usage: "vrfy:HOST[:PORT], vrfy:[IPV6][:PORT], vrfy:mx:DOMAIN[:PORT], vrfy:srv:NAME or vrfy:unix:/PATH",
    read: |arguments| read(Protocol::Vrfy, arguments),
};

/// As [`VRFY`]
pub(super) const RCPT: SourceType = SourceType {
    name: Protocol::Rcpt.name(),
    usage: "rcpt:HOST[:PORT], rcpt:[IPV6][:PORT], rcpt:mx:DOMAIN[:PORT], rcpt:srv:NAME or rcpt:unix:/PATH",
    read: |arguments| read(Protocol::Rcpt, arguments),
};

/// As [`VRFY`], but the port is required.
pub(super) const LMTP: SourceType = SourceType {
    name: Protocol::Lmtp.name(),
    usage: "lmtp:HOST:PORT, lmtp:[IPV6]:PORT, lmtp:mx:DOMAIN:PORT, lmtp:srv:NAME or lmtp:unix:/PATH",
    read: |arguments| read(Protocol::Lmtp, arguments),
};

/// Whether this is the name of one of these types.
pub(super) fn is_type(name: &str) -> bool {
    Protocol::ALL.iter().any(|protocol| protocol.name() == name)
}

fn read(protocol: Protocol, arguments: &str) -> Result<Arc<dyn SourceConfig>, String> {
    Ok(Arc::new(Server { protocol, target: Target::parse(arguments, protocol.port())? }))
}

#[derive(Debug)]
struct Server {
    protocol: Protocol,
    target: Target,
}

impl SourceConfig for Server {
    fn open<'a>(&'a self, context: BuildContext<'a>) -> OpenFuture<'a> {
        let source = open(self.protocol, &self.target, context, None);
        Box::pin(async { Ok(Arc::new(source?) as Arc<AccountSource>) })
    }
}

/// Builds the source, with the DNS of the system if `lookup` is `None`.
fn open(
    protocol: Protocol,
    target: &Target,
    context: BuildContext<'_>,
    lookup: Option<Arc<dyn Dns>>,
) -> Result<SmtpSource, Vec<String>> {
    let settings = &context.source.smtp;
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
            Ok(SmtpSource {
                name: context.name.clone(),
                protocol,
                code_250: settings.code_250.clone(),
                code_252: settings.code_252.clone(),
                witness: context.source.witness.clone(),
                limits,
                control: Control::new(context.name.clone(), interval, context.metrics),
                words: Control::new(context.name.clone(), interval, context.metrics),
                digests: RandomState::new(),
                pool: Pool::new(
                    settings.per_connection,
                    settings.idle_connections,
                    settings.idle_timeout,
                    interval,
                ),
                dialer: Dialer {
                    protocol,
                    target: target.clone(),
                    lookup,
                    back_offs: BackOffs::new(limits.connect),
                    limits,
                    me,
                    tls,
                    servers: Servers::of(context.name.clone(), context.metrics),
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

/// Looks up `path` over one connection as sources of type `kind` do, and interprets the reply, for the fuzz target. It
/// does no control lookups: controls count as passed, except for 252 and unknown texts.
#[doc(hidden)]
pub async fn ask_over<S>(kind: &str, stream: S, path: &str) -> Lookup<()>
where
    S: AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static,
{
    let Some(protocol) = Protocol::ALL.into_iter().find(|protocol| protocol.name() == kind) else {
        return Lookup::TempFail(Reason::new("not the type of a mail server"));
    };
    let limits = Limits::within(super::settings::DEADLINE);
    let exchange = async {
        let server = Arc::new(dial::Server::Unix("fuzz".into()));
        let peer = Peer { server, since: Instant::now() };
        let wire = Wire::new(Box::new(stream));
        let mut connection =
            Connection::open(wire, protocol, peer, &ClientId::default(), limits.hello).await?;
        connection.ask(path, limits).await
    };
    let why = match exchange.await {
        Err(failure) => failure.to_string(),
        Ok(reply) => match reply.class(protocol, path) {
            ReplyClass::Exists => return Lookup::Found(()),
            ReplyClass::NotFound => return Lookup::NotFound,
            ReplyClass::Perhaps | ReplyClass::Refused | ReplyClass::TempFail => {
                source::quoted(protocol, path, &reply)
            }
        },
    };
    Lookup::TempFail(Reason::new(why))
}

//! A connection to PostgreSQL, in version 3.0 of its protocol ("Frontend/Backend Protocol" in the manual).
//!
//! A query is one batch, from Parse to Sync, with the unnamed statement and portal. A pooler that assigns a
//! server for one transaction (PgBouncer) assigns it for a whole batch, so the statement that is executed is
//! the one that was parsed. Another client might have prepared a named statement under the same name.
//!
//! Keys and values are texts in the format of the server: a key is read like a literal in the query, and a
//! value of any type is formatted as in psql(1) and Postfix. The session keeps the settings of the server and
//! the role; rcptd sets only the encoding and the application name.
//!
//! An abandoned query is ended with a cancel request if the peer is PostgreSQL itself. Poolers do not get
//! one: PgBouncer 1.18 to 1.20 crashes if the reply arrives while it forwards a cancel request (its issues
//! 822 and 904). There each batch limits its own time instead.

use super::super::super::settings::Password;
use super::super::super::value::quoted;
use crate::net::connect::{Socket, Stream, connect};
use crate::net::host::Host;
use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::{md5_hash, sasl};
use postgres_protocol::message::backend::{DataRowBody, ErrorResponseBody, Field, Header, Message};
use postgres_protocol::message::frontend;
use postgres_protocol::{IsNull, Oid};
use rustls::pki_types::ServerName;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

/// Maximum length of a message in octets: a value of [`MAX_VALUE`](super::super::super::MAX_VALUE) with some
/// further columns. A longer row is useless, and must not fill the memory.
const MAX_MESSAGE: usize = 1 << 20;
/// Octets read at once.
const PIECE: usize = 8192;
/// The reply of a server that supports encryption ("Message Formats", SSLRequest).
const ENCRYPTS: u8 = b'S';
/// The type `text`.
pub(super) const TEXT: Oid = 25;
/// The type `char(n)` ("System Catalog Initial Data"). It is padded with spaces, which do not belong to the
/// value ("Character Types").
const PADDED: Oid = 1042;
/// The server is not in a transaction ("Message Formats", ReadyForQuery).
const IDLE: u8 = b'I';
/// The process id of the server. A pooler reports another number at login.
const WHO: &str = "SELECT pg_backend_pid()";
/// Limits the time of the later statements in the same batch, which is one transaction ("Pipelining"). A
/// shorter limit of the role stays.
const LIMIT: &str = "SELECT set_config('statement_timeout', $1, true) \
                     WHERE current_setting('statement_timeout')::interval NOT BETWEEN '1us' AND $1::interval";

/// Login data and settings of a connection.
pub(super) struct Login {
    pub user: String,
    pub password: Option<Password>,
    /// Empty: the database with the name of the user.
    pub database: String,
    pub tls: Option<TlsConnector>,
    /// How long the caller waits for a connection.
    pub connect_timeout: Duration,
    /// How long the server may work on a query that cannot be cancelled.
    pub limit: Duration,
}

pub(super) struct Wire {
    stream: Box<dyn Stream>,
    buffer: BytesMut,
    cancel: Cancel,
    /// The value for [`LIMIT`], if there is a pooler.
    limit: Option<String>,
    /// False while a result is not read completely: the next query would read the rest.
    in_step: bool,
}

/// Identifies a connection in its server, so that another connection can cancel its query.
#[derive(Clone)]
pub(in super::super) struct Cancel {
    /// The address of the connection, since another address of the same name may be another server.
    peer: Host,
    /// The name in the certificate.
    host: Host,
    tls: Option<TlsConnector>,
    connect_timeout: Duration,
    process: i32,
    secret: i32,
}

/// The reason why there is no result.
#[derive(Debug)]
pub(super) enum Error {
    /// The server rejected the query. The connection can be used again. `binding` is whether it had parsed the
    /// statement, and rejected the values.
    Refused { code: String, why: String, binding: bool },
    /// The connection can no longer be used.
    Broken(String),
    /// The result was not read completely.
    Unread(String),
}

/// One row: its columns in the order of the query, `None` for NULL.
pub(super) struct Row<'r> {
    body: &'r DataRowBody,
    columns: &'r [(String, Oid)],
}

/// The name of a column, and its text.
pub(super) type Cell<'r> = (&'r str, Option<&'r [u8]>);

impl Row<'_> {
    /// The columns, each with its name.
    pub fn cells(&self) -> io::Result<Vec<Cell<'_>>> {
        let ranges: Vec<_> = self.body.ranges().collect()?;
        let cell = |(at, range): (usize, Option<std::ops::Range<usize>>)| {
            let (name, kind) = self.columns.get(at).map_or(("", 0), |(name, kind)| (name.as_str(), *kind));
            let text = range.and_then(|range| self.body.buffer().get(range));
            let blanks = |text: &[u8]| text.iter().rev().take_while(|octet| **octet == b' ').count();
            (name, text.map(|text| if kind == PADDED { &text[..text.len() - blanks(text)] } else { text }))
        };
        Ok(ranges.into_iter().enumerate().map(cell).collect())
    }
}

/// Writes a statement and its values, bound to the unnamed portal.
fn bound(text: &str, types: &[Oid], values: &[&str], out: &mut BytesMut) -> io::Result<()> {
    frontend::parse("", text, types.iter().copied(), out)?;
    let value = |value: &&str, out: &mut BytesMut| {
        out.extend_from_slice(value.as_bytes());
        Ok(IsNull::No)
    };
    // Without formats, all values are texts.
    frontend::bind("", "", [], values, value, [], out).map_err(|error| match error {
        frontend::BindError::Serialization(error) => error,
        frontend::BindError::Conversion(error) => io::Error::other(error),
    })
}

/// The messages of a query, after one that limits its time if there is a `limit`.
fn batch(limit: Option<&str>, text: &str, types: &[Oid], values: &[&str]) -> io::Result<BytesMut> {
    let mut out = BytesMut::new();
    if let Some(limit) = limit {
        bound(LIMIT, &[TEXT], &[limit], &mut out)?;
        frontend::execute("", 0, &mut out)?;
    }
    bound(text, types, values, &mut out)?;
    frontend::describe(b'P', "", &mut out)?;
    frontend::execute("", 0, &mut out)?;
    frontend::sync(&mut out);
    Ok(out)
}

fn broken(error: &io::Error) -> Error {
    Error::Broken(error.to_string())
}

impl Wire {
    /// Connects, starts TLS, and logs in. The error is the reason of a failure.
    pub async fn open(host: &Host, login: &Login) -> Result<Self, String> {
        let (stream, peer) = dial(host, host, login.tls.as_ref(), login.connect_timeout).await?;
        let cancel = Cancel {
            peer,
            host: host.clone(),
            tls: login.tls.clone(),
            connect_timeout: login.connect_timeout,
            process: 0,
            secret: 0,
        };
        let mut wire = Wire { stream, buffer: BytesMut::new(), cancel, limit: None, in_step: true };
        let begun = async {
            wire.log_in(login).await?;
            if !wire.is_direct().await? {
                wire.limit = Some(format!("{}ms", login.limit.as_millis()));
            }
            Ok(())
        };
        begun.await.map_err(|error| match error {
            Error::Refused { why, .. } | Error::Broken(why) | Error::Unread(why) => why,
        })?;
        Ok(wire)
    }

    /// Whether the server process is the one reported at login.
    async fn is_direct(&mut self) -> Result<bool, Error> {
        let announced = self.cancel.process.to_string();
        let mut is_same = false;
        let read = |row: &Row<'_>| {
            is_same = row.cells().is_ok_and(
                |cells| matches!(cells[..], [(_, Some(process))] if process == announced.as_bytes()),
            );
            true
        };
        self.ask(WHO, &[], &[], read).await?;
        Ok(is_same)
    }

    async fn log_in(&mut self, login: &Login) -> Result<(), Error> {
        let mut out = BytesMut::new();
        let mut parameters =
            vec![("user", login.user.as_str()), ("client_encoding", "UTF8"), ("application_name", "rcptd")];
        if !login.database.is_empty() {
            parameters.push(("database", &login.database));
        }
        frontend::startup_message(parameters, &mut out).map_err(|error| broken(&error))?;
        self.send(&out).await?;
        let mut scram = None;
        loop {
            let mut out = BytesMut::new();
            match self.message().await? {
                Message::AuthenticationCleartextPassword => {
                    frontend::password_message(login.secret()?, &mut out).map_err(|error| broken(&error))?;
                }
                Message::AuthenticationMd5Password(body) => {
                    let hash = md5_hash(login.user.as_bytes(), login.secret()?, body.salt());
                    frontend::password_message(hash.as_bytes(), &mut out).map_err(|error| broken(&error))?;
                }
                Message::AuthenticationSasl(body) => {
                    let offered = body.mechanisms().any(|mechanism| Ok(mechanism == sasl::SCRAM_SHA_256));
                    if !offered.map_err(|error| broken(&error))? {
                        return Err(Error::Broken("the server does not offer SCRAM-SHA-256".into()));
                    }
                    let begun = sasl::ScramSha256::new(login.secret()?, sasl::ChannelBinding::unsupported());
                    frontend::sasl_initial_response(sasl::SCRAM_SHA_256, begun.message(), &mut out)
                        .map_err(|error| broken(&error))?;
                    scram = Some(begun);
                }
                Message::AuthenticationSaslContinue(body) => {
                    let begun = scram.as_mut().ok_or_else(out_of_order)?;
                    begun.update(body.data()).map_err(|error| broken(&error))?;
                    frontend::sasl_response(begun.message(), &mut out).map_err(|error| broken(&error))?;
                }
                Message::AuthenticationSaslFinal(body) => {
                    // The server has proved that it knows the password.
                    let mut begun = scram.take().ok_or_else(out_of_order)?;
                    begun.finish(body.data()).map_err(|error| broken(&error))?;
                }
                Message::AuthenticationOk if scram.is_some() => return Err(out_of_order()),
                Message::AuthenticationOk
                | Message::ParameterStatus(_)
                | Message::NoticeResponse(_)
                | Message::NotificationResponse(_) => (),
                Message::BackendKeyData(body) => {
                    (self.cancel.process, self.cancel.secret) = (body.process_id(), body.secret_key());
                }
                Message::ReadyForQuery(_) => return Ok(()),
                Message::ErrorResponse(body) => return Err(refusal(&body, false)),
                _ => return Err(Error::Broken("it asks for a login that rcptd does not support".into())),
            }
            if !out.is_empty() {
                self.send(&out).await?;
            }
        }
    }

    /// The address of the server.
    pub fn peer(&self) -> String {
        self.cancel.peer.to_string()
    }

    /// The handle that cancels the query on this connection; `None` if [`Login::limit`] ends it.
    pub fn cancel(&self) -> Option<Cancel> {
        self.limit.is_none().then(|| self.cancel.clone())
    }

    /// Runs `text` with `values` for its parameters. `types` are their types (0: the server determines it, as
    /// for a literal). `row` gets each row, and returns false to stop. Returns whether the statement is of a
    /// kind that returns rows, even if there are none.
    pub async fn ask(
        &mut self,
        text: &str,
        types: &[Oid],
        values: &[&str],
        mut row: impl FnMut(&Row<'_>) -> bool,
    ) -> Result<bool, Error> {
        let mut limiting = self.limit.is_some();
        // If this is dropped from here on, a part of the result is unread.
        if !std::mem::replace(&mut self.in_step, false) {
            return Err(Error::Broken("the previous answer was not read to its end".into()));
        }
        let batch = batch(self.limit.as_deref(), text, types, values);
        self.send(&batch.map_err(|error| Error::Unread(error.to_string()))?).await?;
        let (mut columns, mut has_rows, mut binding, mut refused) = (Vec::new(), false, false, None);
        loop {
            match self.message().await {
                Ok(Message::RowDescription(body)) => {
                    has_rows = true;
                    let named = |field: Field<'_>| Ok((field.name().to_owned(), field.type_oid()));
                    columns = body.fields().map(named).collect().map_err(|error| broken(&error))?;
                }
                Ok(Message::DataRow(_)) if limiting => (),
                Ok(Message::CommandComplete(_)) if limiting => limiting = false,
                Ok(Message::DataRow(body)) if row(&Row { body: &body, columns: &columns }) => (),
                Ok(Message::DataRow(_)) => return Err(Error::Unread("there are too many rows".into())),
                Ok(Message::ParseComplete) => binding = !limiting,
                Ok(Message::BindComplete) => binding = false,
                Ok(Message::ErrorResponse(body)) => refused = Some(refusal(&body, binding)),
                Ok(Message::ReadyForQuery(body)) => {
                    self.in_step = body.status() == IDLE;
                    return match refused {
                        Some(refused) => Err(refused),
                        None if self.in_step => Ok(has_rows),
                        // The next query would be part of its transaction.
                        None => Err(Error::Unread("the query begins a transaction: write a SELECT".into())),
                    };
                }
                // The server waits for data, and ignores everything else.
                Ok(Message::CopyInResponse(_)) => {
                    return Err(Error::Unread("the query expects data: write a SELECT".into()));
                }
                Ok(
                    Message::NoData
                    | Message::CommandComplete(_)
                    | Message::EmptyQueryResponse
                    | Message::NoticeResponse(_)
                    | Message::NotificationResponse(_)
                    | Message::ParameterStatus(_)
                    | Message::CopyOutResponse(_)
                    | Message::CopyData(_)
                    | Message::CopyDone,
                ) => (),
                Ok(_) => return Err(out_of_order()),
                // The server ends the connection after a fatal error.
                Err(error) => return Err(refused.map_or(error, dying)),
            }
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let sent = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        match sent.await {
            Ok(()) => Ok(()),
            // The server may have sent the reason before it closed the connection.
            Err(error) => match self.message().await {
                Ok(Message::ErrorResponse(body)) => Err(dying(refusal(&body, false))),
                _ => Err(broken(&error)),
            },
        }
    }

    async fn message(&mut self) -> Result<Message, Error> {
        loop {
            let header = Header::parse(&self.buffer).map_err(|error| broken(&error))?;
            if header.is_some_and(|header| usize::try_from(header.len()).is_ok_and(|len| len > MAX_MESSAGE)) {
                return Err(Error::Unread(format!("it answers with more than {MAX_MESSAGE} octets at once")));
            }
            if let Some(message) = Message::parse(&mut self.buffer).map_err(|error| broken(&error))? {
                return Ok(message);
            }
            self.buffer.reserve(PIECE);
            if self.stream.read_buf(&mut self.buffer).await.map_err(|error| broken(&error))? == 0 {
                return Err(Error::Broken("the server closed the connection".into()));
            }
        }
    }
}

impl Login {
    fn secret(&self) -> Result<&[u8], Error> {
        let password = self.password.as_ref().map(|password| password.reveal().as_bytes());
        password.ok_or_else(|| Error::Broken("the server requires a password: set password_file".into()))
    }
}

impl Cancel {
    /// Requests the server to cancel the query, and returns when the server has read the request. The result
    /// is only visible on the connection of the query.
    pub async fn send(&self) -> Result<(), String> {
        let (mut stream, _) = dial(&self.peer, &self.host, self.tls.as_ref(), self.connect_timeout).await?;
        let mut out = BytesMut::new();
        frontend::cancel_request(self.process, self.secret, &mut out);
        let sent = async {
            stream.write_all(&out).await?;
            stream.flush().await?;
            // The server then closes the connection.
            stream.read(&mut [0]).await
        };
        sent.await.map(drop).map_err(|error| error.to_string())
    }
}

/// Connects to `peer`, encrypted for the host name in `host`. Also returns the address of the peer.
async fn dial(
    peer: &Host,
    host: &Host,
    tls: Option<&TlsConnector>,
    limit: Duration,
) -> Result<(Box<dyn Stream>, Host), String> {
    let mut stream = match connect(peer, limit).await.map_err(|error| error.to_string())? {
        // Data on a UNIX socket does not leave the host.
        Socket::Unix(stream) => return Ok((Box::new(stream), peer.clone())),
        Socket::Tcp(stream) => stream,
    };
    let address = stream.peer_addr().map_err(|error| error.to_string())?;
    let peer = Host::Inet(address.ip().to_string(), address.port());
    let (Some(tls), Host::Inet(name, _)) = (tls, host) else { return Ok((Box::new(stream), peer)) };
    let name = ServerName::try_from(name.clone())
        .map_err(|_| format!("no certificate can have the name {name}: use another name for the host"))?;
    let mut out = BytesMut::new();
    frontend::ssl_request(&mut out);
    stream.write_all(&out).await.map_err(|error| error.to_string())?;
    // Read exactly one octet: later plaintext must not be taken as encrypted.
    if stream.read_u8().await.map_err(|error| error.to_string())? != ENCRYPTS {
        return Err("the server does not encrypt: set it up with a certificate, or tls = false".into());
    }
    let encrypted = tls.connect(name, stream).await.map_err(|error| format!("TLS: {error}"))?;
    Ok((Box::new(encrypted), peer))
}

fn out_of_order() -> Error {
    Error::Broken("it sent messages out of order".into())
}

/// An error after which the connection ended.
fn dying(error: Error) -> Error {
    match error {
        Error::Refused { why, .. } => Error::Broken(why),
        error => error,
    }
}

fn refusal(body: &ErrorResponseBody, binding: bool) -> Error {
    let (mut code, mut message) = (String::new(), String::new());
    let mut fields = body.fields();
    while let Ok(Some(field)) = fields.next() {
        match field.type_() {
            b'C' => code = quoted(field.value_bytes()),
            b'M' => message = quoted(field.value_bytes()),
            _ => (),
        }
    }
    let why = format!("{message} (code {code})");
    Error::Refused { code, why, binding }
}

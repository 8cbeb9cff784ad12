//! Connects the session to indymilter; the only file that uses that library.
//!
//! No decision is made here. A callback unpacks the event, calls the session, awaits the resolver, and
//! converts the session's reply into the library's.

use super::guard::{Client, Guard};
use super::guessing;
use super::reply::SmtpReply;
use super::session::{Action, Edit, End, Policy, Rcpt, Reply, Session, SubmissionPath};
use super::wire::{MtaStream, Shared};
use crate::account::Verification;
use crate::observe::{self, Decided, Metrics};
use crate::resolve::{DeferReason, Outcome, Question, Resolution, Resolver, RuleTrace};
use crate::server::listen::Listener;
use crate::server::trace::{TraceBus, TraceEvent, shown};
use arc_swap::ArcSwap;
use indymilter::{
    ActionError, Actions, Callbacks, Config, Context, ContextActions, EomContext, MacroStage, Macros,
    NegotiateContext, ProtoOpts, SetErrorReply, Status,
};
use mail_address::Address;
use std::ffi::{CStr, CString};
use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// Configuration of sessions; a reload replaces it.
#[derive(Debug)]
pub struct Service {
    /// Resolves recipients.
    pub resolver: Arc<Resolver>,
    /// The operator's settings.
    pub policy: Arc<Policy>,
    /// Longest wait for a decision; after it the recipient is deferred. It is shorter than the mail
    /// server's own limit.
    pub deadline: Duration,
    /// The defence against clients that guess recipients.
    pub guessing: guessing::Settings,
}

/// Limits of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most sessions at once; further ones wait to be accepted.
    pub connections: usize,
    /// Longest wait for the next command of a session.
    pub idle: Duration,
}

/// The state shared by all sessions of the process.
#[derive(Debug)]
pub struct Milter {
    service: ArcSwap<Service>,
    metrics: Arc<Metrics>,
    trace: Arc<TraceBus>,
    guard: Guard,
    sessions: AtomicU64,
    busy: AtomicUsize,
}

/// Protocol steps that are not needed: DATA among others, and all replies except those to RCPT and the end
/// of the message.
const SKIPPED: ProtoOpts = ProtoOpts::NO_CONNECT
    .union(ProtoOpts::NO_HELO)
    .union(ProtoOpts::NO_DATA)
    .union(ProtoOpts::NO_HEADER)
    .union(ProtoOpts::NO_EOH)
    .union(ProtoOpts::NO_BODY)
    .union(ProtoOpts::NO_UNKNOWN)
    .union(ProtoOpts::NOREPLY_MAIL);

/// Macros to request, by stage, if the server allows it. Sendmail sends the queue id at MAIL only.
const MACROS: [(MacroStage, &CStr); 4] = [
    (MacroStage::Connect, c"{client_name} {client_addr}"),
    (MacroStage::Mail, c"i {mail_addr} {auth_type} {auth_authen}"),
    (MacroStage::Rcpt, c"i {rcpt_addr} {rcpt_mailer}"),
    (MacroStage::Eom, c"i"),
];

impl Milter {
    /// Creates a milter with its first configuration, the counters of the daemon, and the bus that receives
    /// its trace events.
    pub fn new(service: Service, metrics: Arc<Metrics>, trace: Arc<TraceBus>) -> Arc<Self> {
        let guard = Guard::new(service.guessing.clone(), metrics.clone());
        Arc::new(Milter {
            service: ArcSwap::from_pointee(service),
            metrics,
            trace,
            guard,
            sessions: 0.into(),
            busy: 0.into(),
        })
    }

    /// Uses `service` for new sessions; open sessions keep theirs.
    pub fn replace(&self, service: Service) {
        self.guard.set(&service.guessing);
        self.service.store(Arc::new(service));
    }

    /// The configuration of new sessions.
    pub fn service(&self) -> Arc<Service> {
        self.service.load_full()
    }

    /// The number of current messages with a recipient.
    pub fn busy(&self) -> usize {
        self.busy.load(Relaxed)
    }

    /// Serves a listener. When `stop` completes, it accepts no more connections, and each session ends
    /// after its current message, or at once without one. When `end` completes, each session ends after its
    /// pending command.
    pub async fn serve(
        self: Arc<Self>,
        listener: Listener,
        limits: Limits,
        stop: impl Future<Output = ()> + Send + 'static,
        end: impl Future<Output = ()>,
    ) -> io::Result<()> {
        let shared = Arc::new(Shared::new(listener.name().clone(), self.metrics.clone()));
        let mut stopped = shared.last.subscribe();
        let accept = Accept {
            listener: Some(listener),
            shared: shared.clone(),
            stop: Box::pin(async move {
                let _ = stopped.wait_for(|raised| *raised).await;
            }),
            limit: limits.connections,
        };
        let config = Config {
            max_connections: limits.connections,
            connection_timeout: limits.idle,
            ..Config::default()
        };
        let end = async {
            end.await;
            shared.stopping.store(true, Relaxed);
        };
        let stop_requested = async {
            stop.await;
            shared.last.send_replace(true);
            std::future::pending().await
        };
        tokio::select! {
            ended = indymilter::run(accept, self.callbacks(), config, end) => ended,
            ended = stop_requested => ended,
        }
    }

    fn callbacks(self: Arc<Self>) -> Callbacks<Conn> {
        let [a, b] = [self.clone(), self];
        // No on_connect: the library ends a session whose address Sendmail labels "IPv6:".
        Callbacks::new()
            .on_negotiate(move |cx, actions, opts| {
                let milter = a.clone();
                Box::pin(async move { negotiate(cx, &milter, actions, opts) })
            })
            .on_mail(|cx, _| Box::pin(async move { mail(cx) }))
            .on_rcpt(move |cx, args| {
                let milter = b.clone();
                Box::pin(async move { rcpt(cx, &milter, &args).await })
            })
            .on_header(|cx, name, _| Box::pin(async move { header(cx, &name) }))
            .on_eom(|cx| Box::pin(eom(cx)))
            .on_abort(|cx| Box::pin(async move { forget(cx) }))
            // The negotiated options stay valid after QUIT_NC, when the server continues with another
            // client.
            .on_close(|cx| Box::pin(async move { close(cx) }))
    }
}

/// State of a connection. It lasts longer than a message, so only the session in it is reset.
struct Conn {
    milter: Arc<Milter>,
    service: Arc<Service>,
    session: Session,
    number: u64,
    terms: Terms,
    busy: bool,
}

/// Options negotiated with the server.
#[derive(Clone, Copy)]
#[allow(clippy::struct_excessive_bools, reason = "each is one offer of the protocol")]
struct Terms {
    /// The server wants no reply to MAIL.
    silent_mail: bool,
    /// The server wants no reply to a header field.
    silent_headers: bool,
    /// The server sends header fields.
    headers: bool,
    /// The server accepts parameters for added recipients.
    extended_add: bool,
    /// The server lets a milter replace recipients.
    can_replace: bool,
}

impl Conn {
    fn new(milter: &Arc<Milter>) -> Self {
        let service = milter.service.load_full();
        let number = milter.sessions.fetch_add(1, Relaxed) + 1;
        observe::session_begun(&milter.metrics, number);
        let session = Session::new(service.policy.clone());
        let milter = milter.clone();
        // Without negotiation, use the options that every server supports.
        let terms = Terms {
            silent_mail: false,
            silent_headers: false,
            headers: true,
            extended_add: false,
            can_replace: true,
        };
        Conn { milter, service, session, number, terms, busy: false }
    }

    fn count_busy(&mut self) {
        match (self.busy, self.session.is_busy()) {
            (false, true) => drop(self.milter.busy.fetch_add(1, Relaxed)),
            (true, false) => drop(self.milter.busy.fetch_sub(1, Relaxed)),
            _ => (),
        }
        self.busy = self.session.is_busy();
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.session.abort();
        self.count_busy();
    }
}

fn negotiate(
    cx: &mut NegotiateContext<Conn>,
    milter: &Arc<Milter>,
    actions: Actions,
    opts: ProtoOpts,
) -> Status {
    let mut conn = Conn::new(milter);
    let needed = Actions::ADD_RCPT | Actions::DELETE_RCPT;
    conn.terms.can_replace = actions.contains(needed);
    if !conn.terms.can_replace {
        observe::cannot_replace(conn.number);
    }
    let (header, steps) = match conn.service.policy.header {
        // Incoming fields with our header's name are removed, so the session needs to see them.
        Some(_) => (Actions::CHANGE_HEADER, (SKIPPED - ProtoOpts::NO_HEADER) | ProtoOpts::NOREPLY_HEADER),
        None => (Actions::empty(), SKIPPED),
    };
    if !actions.contains(header) {
        observe::cannot_change_headers(conn.number);
    }
    let wished = Actions::ADD_RCPT_EXT | Actions::REQUEST_MACROS | header;
    // Request only options that the server offers: the library would end the session for others.
    cx.requested_actions = actions & (needed | wished);
    cx.requested_opts = opts & steps;
    if actions.contains(Actions::REQUEST_MACROS) {
        cx.requested_macros = MACROS.iter().map(|(stage, names)| (*stage, CString::from(*names))).collect();
    }
    conn.terms.silent_mail = cx.requested_opts.contains(ProtoOpts::NOREPLY_MAIL);
    conn.terms.silent_headers = cx.requested_opts.contains(ProtoOpts::NOREPLY_HEADER);
    conn.terms.headers = !cx.requested_opts.contains(ProtoOpts::NO_HEADER);
    conn.terms.extended_add = cx.requested_actions.contains(Actions::ADD_RCPT_EXT);
    cx.data = Some(conn);
    Status::Continue
}

fn mail(cx: &mut Context<Conn>) -> Status {
    let Some(conn) = &mut cx.data else { return Status::Continue };
    conn.session.mail();
    conn.count_busy();
    if conn.terms.silent_mail { Status::Noreply } else { Status::Continue }
}

fn header(cx: &mut Context<Conn>, name: &CStr) -> Status {
    let Some(conn) = &mut cx.data else { return Status::Continue };
    conn.session.header(name.to_bytes());
    if conn.terms.silent_headers { Status::Noreply } else { Status::Continue }
}

fn forget(cx: &mut Context<Conn>) -> Status {
    if let Some(conn) = &mut cx.data {
        conn.session.abort();
        conn.count_busy();
    }
    Status::Continue
}

fn close(cx: &mut Context<Conn>) -> Status {
    let status = forget(cx);
    if let Some(conn) = &mut cx.data {
        let service = conn.milter.service.load_full();
        // A header that was configured later needs options that were not negotiated.
        if service.policy.header.is_none() || conn.terms.headers {
            conn.service = service;
        }
        conn.session = Session::new(conn.service.policy.clone());
    }
    status
}

async fn rcpt(cx: &mut Context<Conn>, milter: &Arc<Milter>, args: &[CString]) -> Status {
    let Context { data, macros, reply, .. } = cx;
    let conn = data.get_or_insert_with(|| Conn::new(milter));
    let argument = args.first().map_or(&b""[..], |a| a.as_bytes());
    let mta_route = get(macros, c"{rcpt_addr}");
    // sendmail(1) through Postfix: an address without a RCPT command, and no mailer. A server that sends no
    // macros at all is a different case.
    let local = mta_route.is_some() && get(macros, c"{rcpt_mailer}").is_none() && !argument.starts_with(b"<");
    let origin = if local { SubmissionPath::Local } else { SubmissionPath::Smtp };
    let parameters: Vec<&[u8]> = args.iter().skip(1).map(CString::as_bytes).collect();

    let say = match conn.session.recipient(Rcpt { argument, mta_route, origin }, &parameters) {
        Action::Reply(say, doubt) => {
            let resolution = Resolution::bare(Outcome::TempFail(doubt));
            log(conn, macros, argument, &resolution, &say, Duration::ZERO);
            say
        }
        Action::Resolve(question) => {
            conn.count_busy();
            let began = Instant::now();
            let mut resolution = resolve(conn, &question, stranger(conn, macros, origin)).await;
            if !conn.terms.can_replace && matches!(resolution.outcome, Outcome::Rewrite(_)) {
                resolution.outcome = Outcome::TempFail(DeferReason::Server);
            }
            let say = conn.session.resolved(&resolution.outcome, resolution.mailbox.clone());
            log(conn, macros, argument, &resolution, &say, began.elapsed());
            say
        }
    };
    conn.count_busy();
    match &say {
        Reply::Continue => Status::Continue,
        Reply::Error(text) => set_reply(reply, text),
    }
}

/// Resolves a recipient. The recipients of a network with too many unknown ones are deferred without a lookup.
async fn resolve(conn: &Conn, question: &Question, client: Option<Client<'_>>) -> Resolution {
    let Service { resolver, deadline, .. } = &*conn.service;
    let defer = |why| Resolution::bare(Outcome::TempFail(why));
    if let Some(client) = &client
        && resolver.mailbox(question) != Err(Outcome::NotOurs)
        && conn.milter.guard.defers(client)
    {
        return defer(DeferReason::Guessing);
    }
    let resolution = timeout(*deadline, resolver.resolve(question)).await;
    let resolution = resolution.unwrap_or_else(|_| defer(DeferReason::Deadline));
    if let Some(client) = &client {
        conn.milter.guard.count(client, &resolution.outcome);
    }
    resolution
}

/// The client, if its unknown recipients are counted: not if it has logged in, or is a program on this host.
fn stranger<'m>(conn: &Conn, macros: &'m Macros, origin: SubmissionPath) -> Option<Client<'m>> {
    let is_set = |name: &&CStr| get(macros, name).is_some_and(|value| !value.is_empty());
    let has_logged_in = [c"{auth_type}", c"{auth_authen}"].iter().any(is_set);
    if conn.service.guessing.misses == 0 || origin == SubmissionPath::Local || has_logged_in {
        return None;
    }
    Some(Client {
        name: get(macros, c"{client_name}"),
        address: get(macros, c"{client_addr}")?,
        queue_id: get(macros, c"i"),
        session: conn.number,
        only_logged: conn.service.policy.dry_run,
    })
}

async fn eom(cx: &mut EomContext<Conn>) -> Status {
    let Some(conn) = &mut cx.data else { return Status::Continue };
    let End { edits, deferred, recipients, replaced } = conn.session.end_of_message();
    conn.count_busy();
    let (number, extended) = (conn.number, conn.terms.extended_add);
    let queue_id = get(&cx.macros, c"i");
    for edit in edits {
        if let Err(why) = apply(&cx.actions, edit, extended).await {
            observe::edit_failed(&conn.milter.metrics, queue_id, number, &why);
            return Status::Tempfail;
        }
    }
    if recipients > 0 || deferred.is_some() {
        observe::message(
            &conn.milter.metrics,
            &observe::Message {
                queue_id,
                session: number,
                recipients,
                replaced: &replaced,
                only_logged: conn.service.policy.dry_run,
                deferred: deferred.as_ref().map(|why| why as &dyn fmt::Display),
            },
        );
    }
    if deferred.is_none() {
        return Status::Continue;
    }
    set_reply(&mut cx.reply, &conn.service.policy.defer_reply)
}

/// Sets the reply to an event, and returns the matching status.
fn set_reply(to: &mut impl SetErrorReply, reply: &SmtpReply) -> Status {
    let code = reply.code().to_string();
    // % is special in both servers.
    let text = reply.text().replace('%', "%%");
    // If the text is too long, the server's default text is used; the class of the reply matters.
    let _ = to.set_error_reply(&code, Some(reply.enhanced()), [text.as_str()]);
    if code.starts_with('5') { Status::Reject } else { Status::Tempfail }
}

async fn apply(actions: &impl ContextActions, edit: Edit, extended: bool) -> Result<(), ActionError> {
    match edit {
        Edit::Delete(raw) => actions.delete_recipient(text(&raw)).await,
        Edit::Add { path, parameters } if extended => {
            actions.add_recipient_ext(text(path.as_bytes()), Some(text(parameters.as_bytes()))).await
        }
        Edit::Add { path, .. } => actions.add_recipient(text(path.as_bytes())).await,
        Edit::RemoveHeader { name, index } => change_header(actions, &name, index, None).await,
        Edit::Header { name, value } => change_header(actions, &name, 1, Some(&value)).await,
    }
}

/// Changes a header field. Skipped if the server does not offer it: the header is a convenience.
async fn change_header(
    actions: &impl ContextActions,
    name: &str,
    index: usize,
    value: Option<&str>,
) -> Result<(), ActionError> {
    // An index is at most the limit of header fields, so the conversion succeeds.
    let index = i32::try_from(index).unwrap_or(i32::MAX);
    match actions.change_header(text(name.as_bytes()), index, value.map(|value| text(value.as_bytes()))).await
    {
        Err(ActionError::NotAvailable) => Ok(()),
        other => other,
    }
}

/// A C string of bytes without NUL: they come from a C string, or from an [`Address`], which has no control
/// characters.
fn text(bytes: &[u8]) -> CString {
    CString::new(bytes).unwrap_or_default()
}

fn get<'m>(macros: &'m Macros, name: &CStr) -> Option<&'m [u8]> {
    macros.get(name).map(CStr::to_bytes)
}

fn log(conn: &Conn, macros: &Macros, argument: &[u8], resolution: &Resolution, say: &Reply, took: Duration) {
    let Resolution { outcome, rule, answer, .. } = resolution;
    let reason = ReasonText { resolver: &conn.service.resolver, outcome, rule: *rule };
    let detail = resolution.why().or_else(|| stale_detail(answer.as_ref()));
    let (decided, new_to): (_, Option<&Address>) = match outcome {
        Outcome::NotOurs => (Decided::NotOurs, None),
        Outcome::Keep => (Decided::Keep, None),
        Outcome::Rewrite(to) => (Decided::Rewrite, Some(to)),
        Outcome::NoSuchUser(_) => (Decided::Reject, None),
        Outcome::TempFail(_) => (Decided::Defer, None),
    };
    // A milter cannot reject an unknown recipient in mail submitted by sendmail(1).
    let only_logged = conn.service.policy.dry_run || (*say == Reply::Continue && decided == Decided::Reject);
    if conn.milter.trace.is_wanted() {
        let text = new_to.map(Address::to_string).or_else(|| detail.clone()).unwrap_or_default();
        conn.milter.trace.put(TraceEvent {
            listener: "milter".into(),
            connection: conn.number,
            peer: shown(get(macros, c"{client_addr}").unwrap_or_default()),
            map: "milter".into(),
            key: shown(argument),
            verdict: decided.name(),
            text: shown(text.as_bytes()),
            took,
        });
    }
    let decided = observe::Recipient {
        queue_id: get(macros, c"i"),
        session: conn.number,
        decided,
        only_logged,
        reason: &reason,
        code: match say {
            Reply::Error(reply) => Some((reply.code(), reply.enhanced())),
            Reply::Continue => None,
        },
        from: get(macros, c"{mail_addr}"),
        to: argument,
        new_to: new_to.map(|a| a as &dyn fmt::Display),
        client: (get(macros, c"{client_name}"), get(macros, c"{client_addr}")),
        source: match (answer, outcome) {
            (Some(answer), _) => Some((&*answer.source, Some(answer.cache_word()))),
            // No account was looked up: the rule names the destination.
            (None, Outcome::Rewrite(_)) => Some(("rule", None)),
            (None, _) => None,
        },
        detail: detail.as_ref().map(|text| text as &dyn fmt::Display),
        took,
    };
    observe::recipient(&conn.milter.metrics, &decided);
}

/// Why an account counts as existing although its source fails.
fn stale_detail(answer: Option<&Verification>) -> Option<String> {
    answer.filter(|answer| answer.stale).and_then(|answer| answer.detail.as_deref()).map(str::to_owned)
}

/// Displays the reason of a decision.
struct ReasonText<'a> {
    resolver: &'a Resolver,
    outcome: &'a Outcome,
    rule: RuleTrace,
}

impl fmt::Display for ReasonText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |f: &mut fmt::Formatter<'_>, kind: &str, i: usize| {
            let statement = self.resolver.rules().statement(i);
            write!(f, "{kind}:{}:{}", statement.file, statement.line)
        };
        match (self.outcome, self.rule) {
            (Outcome::NotOurs, _) => f.write_str("domain"),
            (Outcome::TempFail(DeferReason::Rules(i)), _) => place(f, "rule-budget", *i),
            (Outcome::TempFail(DeferReason::Script(_)), _) => f.write_str("script"),
            (Outcome::TempFail(DeferReason::Guessing), _) => f.write_str("guessing"),
            (_, RuleTrace::None) => f.write_str("account"),
            (_, RuleTrace::Matched(i)) => place(f, "rule", i),
            (_, RuleTrace::MatchedTwice(i)) => place(f, "rule-twice", i),
            (_, RuleTrace::DebugAccount(i)) => place(f, "debug-account", i),
            (_, RuleTrace::Expired(i)) => place(f, "rule-expired", i),
            (_, RuleTrace::Ambiguous(i)) => place(f, "rule-ambiguous", i),
        }
    }
}

/// A listener that stops accepting on request and then closes its socket.
struct Accept {
    listener: Option<Listener>,
    shared: Arc<Shared>,
    stop: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>,
    limit: usize,
}

impl indymilter::Listener for Accept {
    type Io = MtaStream;

    fn poll_accept(&mut self, cx: &mut std::task::Context<'_>) -> Poll<io::Result<MtaStream>> {
        let Some(listener) = &mut self.listener else { return Poll::Pending };
        if self.stop.as_mut().poll(cx).is_ready() {
            self.listener = None;
            return Poll::Pending;
        }
        listener.poll_accept(cx).map(|stream| {
            let stream = MtaStream::new(stream, self.shared.clone());
            let open = self.shared.open.load(Relaxed);
            if open >= self.limit {
                observe::connection_limit(
                    &self.shared.full,
                    &self.shared.listener,
                    open,
                    "further ones wait",
                );
            }
            Ok(stream)
        })
    }
}

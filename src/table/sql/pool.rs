//! The connections to one server.
//!
//! sqlx has a pool of its own, which does three things that are wrong here: it pings each connection when it is
//! given back, which is a second round trip per question; it tries a server that refuses connections again and
//! again until its time is up, so that the next server is asked two seconds later than need be; and it then
//! says `pool timed out`, whatever was the matter. The connections themselves are sqlx'.
//!
//! A connection is given back only after a whole answer has been read from it, so there is none that is out of step.
//! A question that is given up is ended in the server, and its connection counts until it has ended: otherwise a
//! slow database would be asked by more and more connections, each of which makes it slower.

use super::super::Answer;
use super::super::dial::Age;
use super::super::witness::Witness;
use super::query::Statement;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, sleep, timeout};

/// How much longer than the deadline a server may work on a question where it has to end it by itself: what ends the
/// question is then the deadline, and the log says so.
pub(super) const GRACE: Duration = Duration::from_secs(1);
/// How long a question that was given up is waited for and counted. The server ends it when it is told to, or by
/// its own limit (the deadline, of which 1 m is the most); one that does neither in this time is gone without a word.
const LINGER: Duration = Duration::from_mins(2);
/// How often the server is told to end it: the first time may be too early, before the question has begun.
const END_AGAIN: Duration = Duration::from_secs(1);

/// What differs from one kind of database to the other.
pub(super) trait Driver: Send + Sync + 'static {
    /// A connection.
    type Connection: Send + 'static;
    /// What ends the question on a connection.
    type Stop: Send + Sync + 'static;

    /// A connection made; the error is why there is none.
    fn connect(&self) -> impl Future<Output = Result<Self::Connection, String>> + Send;

    /// Whether a connection still leads to where a new one would.
    fn is_current(&self, connection: &mut Self::Connection) -> impl Future<Output = bool> + Send;

    /// What a connection leads to, so that two that lead to the same server are known as such.
    fn peer(connection: &Self::Connection) -> Arc<str>;

    /// What ends the question that will be on this connection next.
    fn stop(connection: &Self::Connection) -> Self::Stop;

    /// Tells the server to end the question. What comes of it shows on the connection; where nothing does it is told
    /// again.
    fn end(stop: &Self::Stop) -> impl Future<Output = ()> + Send;

    /// What the database says of `key`, for which `bindings` are those of `statement`.
    fn ask<'c>(
        connection: &'c mut Self::Connection,
        statement: &'c Statement,
        key: &'c str,
        bindings: &'c [&'c str],
    ) -> impl Future<Output = Result<Answer, Failure>> + Send + 'c;
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The connection broke: on another one there may be an answer.
    Broken(String),
    /// The database has understood, and will say the same again.
    Refused(String),
    /// The same, but the connection has not been read to its end.
    Spoiled(String),
}

/// One server, or the file of SQLite.
pub(super) struct Server<D: Driver> {
    name: String,
    driver: D,
    /// One for each connection that may be open.
    permits: Arc<Semaphore>,
    connect_timeout: Duration,
    witness: Arc<Witness<Statement>>,
    state: Mutex<State<D::Connection>>,
    /// A connection was given back or closed.
    changed: Notify,
}

struct State<C> {
    /// The last one used is used next, so that those that are not needed grow old.
    idle: Vec<Idle<C>>,
    /// Connections on which a question is under way that somebody waits for.
    answering: usize,
    /// Connections that are being made.
    dialing: usize,
    /// Counts how often connections lost our trust: those of before do not come back.
    generation: u64,
    /// The last failure to connect.
    failed: Option<(Instant, Dial)>,
    /// Until when other servers are asked instead.
    passed_over: Option<Instant>,
    /// Somebody comes to close what is idle.
    reaped: bool,
}

/// A connection that is being made, until this is dropped.
struct Dialing<'s, D: Driver>(&'s Server<D>);

impl<'s, D: Driver> Dialing<'s, D> {
    fn new(server: &'s Server<D>) -> Self {
        server.state().dialing += 1;
        Dialing(server)
    }
}

impl<D: Driver> Drop for Dialing<'_, D> {
    fn drop(&mut self) {
        self.0.state().dialing -= 1;
        self.0.changed.notify_waiters();
    }
}

/// Why there is no new connection.
#[derive(Clone)]
enum Dial {
    /// The server, or the system, said no.
    Refused(String),
    /// Nothing was said.
    TimedOut(String),
}

struct Idle<C> {
    connection: C,
    age: Age,
}

/// A connection on loan. Dropped, it is closed.
pub(super) struct Lease<D: Driver> {
    server: Arc<Server<D>>,
    /// There until it is given back.
    connection: Option<D::Connection>,
    age: Age,
    generation: u64,
    /// Somebody waits for what comes over it.
    awaited: bool,
    _permit: OwnedSemaphorePermit,
}

impl<D: Driver> Server<D> {
    /// A server called `name` in messages, with at most so many connections, none of which is made now.
    pub fn new(
        name: String,
        driver: D,
        connections: u32,
        connect_timeout: Duration,
        witness: Arc<Witness<Statement>>,
    ) -> Self {
        let permits = usize::try_from(connections).unwrap_or(usize::MAX).clamp(1, Semaphore::MAX_PERMITS);
        let state = State {
            idle: Vec::new(),
            answering: 0,
            dialing: 0,
            generation: 0,
            failed: None,
            passed_over: None,
            reaped: false,
        };
        Server {
            name,
            driver,
            permits: Arc::new(Semaphore::new(permits)),
            connect_timeout,
            witness,
            state: Mutex::new(state),
            changed: Notify::new(),
        }
    }

    /// What messages call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn state(&self) -> MutexGuard<'_, State<D::Connection>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether others are to be asked first. The one who finds that this time is up tries the server; until he
    /// knows, the others still go elsewhere, since a server that hangs costs each of them the time-out.
    pub fn is_passed_over(&self, now: Instant) -> bool {
        let mut state = self.state();
        match state.passed_over {
            None => false,
            Some(until) if now < until => true,
            Some(_) => {
                state.passed_over = Some(now + self.connect_timeout);
                false
            }
        }
    }

    /// Has others asked first, for so long.
    pub fn pass_over(&self, period: Duration) {
        self.state().passed_over = Some(Instant::now() + period);
    }

    /// Closes what is idle, and has those on loan closed when they come back: what is wrong with one connection
    /// is likely to be wrong with all of them.
    pub fn distrust(&self) {
        let idle = {
            let mut state = self.state();
            state.generation += 1;
            std::mem::take(&mut state.idle)
        };
        drop(idle);
    }

    /// A connection, for a question that was put at `asked`. Waits for one while all are on loan; the error is why
    /// none can be made.
    ///
    /// A server that refuses a new connection while it answers on others is full, not down: then one of those is
    /// waited for, as long as for a connection.
    pub async fn lend(self: &Arc<Self>, asked: Instant) -> Result<Lease<D>, String> {
        let permits = Arc::clone(&self.permits);
        let permit = permits.acquire_owned().await.map_err(|_| "its connections are closed".to_owned())?;
        let mut refused: Option<(String, Instant)> = None;
        loop {
            let mut changed = pin!(self.changed.notified());
            // From here on no change is missed.
            changed.as_mut().enable();
            while let Some((mut idle, generation)) = self.idle() {
                if self.driver.is_current(&mut idle.connection).await {
                    self.state().answering += 1;
                    return Ok(self.lease(idle.connection, idle.age, generation, permit));
                }
                self.distrust();
            }
            if refused.is_none() || !self.is_busy() {
                match self.dial(asked, refused.is_some()).await {
                    Ok((connection, generation)) => {
                        return Ok(self.lease(connection, Age::new(), generation, permit));
                    }
                    Err(Dial::Refused(why)) => refused = Some((why, Instant::now() + self.connect_timeout)),
                    Err(Dial::TimedOut(why)) => return Err(why),
                }
            }
            let Some((why, until)) = &refused else { continue };
            if !self.is_busy() || tokio::time::timeout_at(*until, changed).await.is_err() {
                return Err(why.clone());
            }
        }
    }

    /// Whether there is a connection that will answer, or one that is being made.
    fn is_busy(&self) -> bool {
        let state = self.state();
        state.answering > 0 || state.dialing > 0
    }

    /// A connection on loan, which is counted among those that answer.
    fn lease(
        self: &Arc<Self>,
        connection: D::Connection,
        age: Age,
        generation: u64,
        permit: OwnedSemaphorePermit,
    ) -> Lease<D> {
        Lease {
            server: Arc::clone(self),
            connection: Some(connection),
            age,
            generation,
            awaited: true,
            _permit: permit,
        }
    }

    /// A new connection, and the generation it is of. One that failed since `asked` is not tried again, unless it is
    /// `again`.
    async fn dial(&self, asked: Instant, again: bool) -> Result<(D::Connection, u64), Dial> {
        let generation = {
            let state = self.state();
            // Of those who waited for one that could not connect, not everybody has to find that out himself.
            if let Some((_, why)) = state.failed.as_ref().filter(|(at, _)| *at > asked && !again) {
                return Err(why.clone());
            }
            state.generation
        };
        let _dialing = Dialing::new(self);
        let connected = match timeout(self.connect_timeout, self.driver.connect()).await {
            Ok(connected) => connected.map_err(Dial::Refused),
            Err(_) => Err(Dial::TimedOut(format!("no connection within {:?}", self.connect_timeout))),
        };
        let mut state = self.state();
        match connected {
            Ok(connection) => {
                state.failed = None;
                state.passed_over = None;
                // Before it is no longer one that is being made: others look at both.
                state.answering += 1;
                Ok((connection, generation))
            }
            Err(why) => {
                state.failed = Some((Instant::now(), why.clone()));
                Err(why)
            }
        }
    }

    fn idle(&self) -> Option<(Idle<D::Connection>, u64)> {
        let (idle, old) = {
            let mut state = self.state();
            let old = match state.idle.last() {
                Some(last) if !last.age.is_fresh() => std::mem::take(&mut state.idle),
                _ => Vec::new(),
            };
            (state.idle.pop().map(|idle| (idle, state.generation)), old)
        };
        drop(old);
        idle
    }

    /// Closes what has been idle too long. False if nothing is left.
    fn reap(&self) -> bool {
        let (old, more) = {
            let mut state = self.state();
            let (fresh, old) =
                std::mem::take(&mut state.idle).into_iter().partition(|idle| idle.age.is_fresh());
            state.idle = fresh;
            state.reaped = !state.idle.is_empty();
            (old, state.reaped)
        };
        drop::<Vec<_>>(old);
        more
    }
}

impl<D: Driver> Lease<D> {
    /// Puts a question in a task of its own, which gives the connection back after a whole answer. Where the answer is
    /// not waited for, because the receiver is dropped, the question is ended.
    pub fn put(self, statement: Arc<Statement>, key: String) -> oneshot::Receiver<Result<Answer, Failure>> {
        let (reply, answer) = oneshot::channel();
        tokio::spawn(self.carry(statement, key, reply));
        answer
    }

    async fn carry(
        mut self,
        statement: Arc<Statement>,
        key: String,
        mut reply: oneshot::Sender<Result<Answer, Failure>>,
    ) {
        let Some(mut connection) = self.connection.take() else { return };
        let stop = D::stop(&connection);
        let witness = Arc::clone(&self.server.witness);
        let answer = {
            let mut asking = pin!(believed::<D>(&mut connection, &witness, &statement, &key));
            tokio::select! {
                biased;
                answer = &mut asking => Some(answer),
                () = reply.closed() => {
                    self.is_given_up();
                    let ending = async {
                        loop {
                            let _ = timeout(END_AGAIN, D::end(&stop)).await;
                            sleep(END_AGAIN).await;
                        }
                    };
                    tokio::select! {
                        _ = asking => (),
                        _ = timeout(LINGER, ending) => (),
                    }
                    // Whoever was told to end this question may be late, and end the next one: there is none.
                    None
                }
            }
        };
        let Some(answer) = answer else { return };
        if matches!(answer, Ok(_) | Err(Failure::Refused(_))) {
            self.give_back(connection);
        }
        let _ = reply.send(answer);
    }

    /// The question goes on, but nobody waits for what comes over this connection.
    fn is_given_up(&mut self) {
        if std::mem::take(&mut self.awaited) {
            self.server.state().answering -= 1;
            self.server.changed.notify_waiters();
        }
    }

    /// Gives a connection back for others to use, after a whole answer.
    fn give_back(self, connection: D::Connection) {
        let mut age = self.age;
        age.renew();
        let mut state = self.server.state();
        if state.generation != self.generation || !age.is_fresh() {
            drop(state);
            return;
        }
        state.idle.push(Idle { connection, age });
        if !std::mem::replace(&mut state.reaped, true) {
            tokio::spawn(reap(Arc::downgrade(&self.server)));
        }
    }
}

impl<D: Driver> Drop for Lease<D> {
    fn drop(&mut self) {
        self.is_given_up();
    }
}

/// What is known of a key on this connection: that it is not there only where its server would find others.
async fn believed<D: Driver>(
    connection: &mut D::Connection,
    witness: &Witness<Statement>,
    statement: &Statement,
    key: &str,
) -> Result<Answer, Failure> {
    let peer = D::peer(connection);
    let answer = asked::<D>(connection, statement, key).await?;
    match answer {
        Answer::Found(_) => witness.found(&peer),
        Answer::NotFound => {
            let connection = tokio::sync::Mutex::new(connection);
            let broken = Mutex::new(None);
            let ask = |statement: Arc<Statement>, key: Arc<str>| {
                let (connection, broken) = (&connection, &broken);
                async move {
                    let mut connection = connection.lock().await;
                    match asked::<D>(&mut connection, &statement, &key).await {
                        Ok(answer) => answer,
                        Err(Failure::Refused(why)) => Answer::unknown(why),
                        Err(failure) => {
                            let (Failure::Broken(why) | Failure::Spoiled(why) | Failure::Refused(why)) =
                                &failure;
                            let answer = Answer::unknown(why.as_str());
                            *broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
                            answer
                        }
                    }
                }
            };
            let worth = witness.vouch(&peer, ask).await;
            return match broken.into_inner().unwrap_or_else(PoisonError::into_inner) {
                Some(failure) => Err(failure),
                None => Ok(worth),
            };
        }
        Answer::Unknown(_) => (),
    }
    Ok(answer)
}

async fn asked<D: Driver>(
    connection: &mut D::Connection,
    statement: &Statement,
    key: &str,
) -> Result<Answer, Failure> {
    let Some(bindings) = statement.bindings(key) else { return Ok(Answer::NotFound) };
    D::ask(connection, statement, key, &bindings).await
}

/// Closes idle connections for as long as there are any.
async fn reap<D: Driver>(server: Weak<Server<D>>) {
    loop {
        sleep(Age::LOOK).await;
        if !server.upgrade().is_some_and(|server| server.reap()) {
            return;
        }
    }
}

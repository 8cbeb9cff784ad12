//! The policy delegation protocol of Postfix (SMTPD_POLICY_README): verifies recipients, and greylists.
//!
//! | decision | reply |
//! | --- | --- |
//! | not about a recipient of ours | `DUNNO` |
//! | the recipient does not exist | the reject reply, as `550 5.1.1 …` |
//! | it cannot be verified now | none: the connection ends; or the action of `on_trouble` |
//! | greylisting passes | `DUNNO` |
//! | it passes for the first time | `PREPEND` with the header, once for each message |
//! | the client has to wait | the action of greylisting, as `DEFER_IF_PERMIT …` |
//!
//! `REJECT` with an enhanced code would be code 554, so that a rejection is written with its code.
//!
//! | module | contents |
//! | --- | --- |
//! | `request` | what a request says |
//! | `decide` | the decision |
//! | `instances` | the messages that have the header |

mod decide;
mod instances;
mod request;

pub use decide::{Decided, Deciding, Purpose, Replies};

use self::instances::Instances;
use self::request::Request;
use super::accept::{Answered, Client, Parsed, Service};
use super::trace::{TraceBus, TraceEvent, shown};
use crate::greylist::decide::{PassReason, Verdict, WaitReason};
use crate::lookup::timeout::within;
use crate::observe::meter::Counted;
use crate::observe::policy::{Greylisted, PolicyDecision};
use crate::observe::{self, Metrics, RateLimit};
use arc_swap::ArcSwap;
use lookup_protocols::{ProtocolError, policy};
use std::borrow::Cow;
use std::fmt::Display;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What all listeners share. A reload replaces what decides; the messages that have their header stay known.
#[derive(Debug)]
pub struct Policies {
    deciding: ArcSwap<Deciding>,
    instances: Mutex<Instances>,
    trouble: RateLimit,
    metrics: Arc<Metrics>,
    trace: Arc<TraceBus>,
}

/// The service of a listener.
#[derive(Debug)]
pub struct Policy {
    /// What all listeners share.
    pub policies: Arc<Policies>,
    /// Which mail it is asked about.
    pub purpose: Purpose,
    /// The action when there is no decision; `None`: the connection ends.
    pub on_trouble: Option<Arc<str>>,
    /// Longest time from request to reply.
    pub deadline: Duration,
}

impl Policies {
    /// Decisions by `deciding`.
    pub fn new(deciding: Deciding, metrics: Arc<Metrics>, trace: Arc<TraceBus>) -> Arc<Self> {
        Arc::new(Policies {
            deciding: ArcSwap::from_pointee(deciding),
            instances: Mutex::default(),
            trouble: RateLimit::default(),
            metrics,
            trace,
        })
    }

    /// Replaces what decides.
    pub fn replace(&self, deciding: Deciding) {
        self.deciding.store(Arc::new(deciding));
    }

    /// What decides now.
    pub fn deciding(&self) -> Arc<Deciding> {
        self.deciding.load_full()
    }

    fn is_first_of(&self, instance: &[u8]) -> bool {
        self.instances.lock().unwrap_or_else(PoisonError::into_inner).is_new(instance)
    }
}

/// The time in seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Service for Policy {
    type Request = Vec<u8>;

    fn parse(&self, input: &[u8], _: bool) -> Parsed<Vec<u8>> {
        match policy::read(input) {
            Ok(None) => Parsed::Incomplete,
            Ok(Some((_, length))) => Parsed::Request(input[..length].into(), length),
            Err(broken) => Parsed::Broken(broken),
        }
    }

    async fn answer(&self, client: &Client, bytes: Vec<u8>, began: Instant, out: &mut Vec<u8>) -> Answered {
        // It was read before.
        let Ok(Some((attributes, _))) = policy::read(&bytes) else { return Answered::HangUp(Counted::Bad) };
        let Ok(request) = Request::read(attributes) else {
            let why =
                "the attribute request is not smtpd_access_policy: this is not a policy client of Postfix";
            return self.trouble(client, &why, b"", Counted::Bad, out);
        };
        let deciding = self.policies.deciding();
        let now = now();
        let deciding_it = deciding.decide(&request, self.purpose, now);
        let decided = within(self.deadline, deciding_it).await;
        let decided = decided.unwrap_or_else(|| Decided::Trouble("no answer within the deadline".into()));
        self.reply(client, &request, &deciding, &decided, now, began, out)
    }

    fn broken(&self, _: ProtocolError, _: &mut Vec<u8>) {}
}

impl Policy {
    #[allow(clippy::too_many_arguments, reason = "the parts of one answer")]
    fn reply(
        &self,
        client: &Client,
        request: &Request<'_>,
        deciding: &Deciding,
        decided: &Decided,
        now: u64,
        began: Instant,
        out: &mut Vec<u8>,
    ) -> Answered {
        let (action, counted, verdict) = match decided {
            Decided::LeftAlone(why) => {
                observe::policy::policy_left_alone(
                    &client.listener,
                    client.connection,
                    request.state.name(),
                    why,
                );
                ("DUNNO".to_owned(), Counted::Found, "left_alone")
            }
            Decided::Trouble(why) => {
                self.trace(client, request, "trouble", why, began);
                if deciding.dry_run {
                    self.log_trouble(client, why, request.recipient);
                    policy::write_reply(out, "DUNNO");
                    return Answered::Reply(Counted::TempFail);
                }
                return self.trouble(client, why, request.recipient, Counted::TempFail, out);
            }
            Decided::Learned => {
                observe::policy::learned_correspondent(&self.policies.metrics);
                ("DUNNO".to_owned(), Counted::Found, "learned")
            }
            Decided::Rejected { why, only_logged } => {
                let line =
                    PolicyDecision { only_logged: *only_logged, ..line_of(client, request, "reject", why) };
                observe::policy::policy_decided(&line);
                let action =
                    if *only_logged { "DUNNO".to_owned() } else { deciding.replies.reject.to_string() };
                (action, Counted::NotFound, "reject")
            }
            Decided::Greylisted { verdict, recipient, only_logged } => {
                self.count(verdict);
                let waits = matches!(verdict, Verdict::Wait(..));
                let only_logged = *only_logged && waits;
                log(client, request, verdict, only_logged);
                let action = match verdict {
                    Verdict::Wait(wait, _) if !only_logged => deciding.replies.wait(*wait, recipient),
                    Verdict::FirstPass(delayed) => {
                        let header = deciding.replies.header(*delayed, recipient, now);
                        let header = header.filter(|_| self.policies.is_first_of(request.instance));
                        header.map_or_else(|| "DUNNO".to_owned(), |header| format!("PREPEND {header}"))
                    }
                    Verdict::Pass(_) | Verdict::Wait(..) => "DUNNO".to_owned(),
                };
                let counted = if waits { Counted::TempFail } else { Counted::Found };
                (action, counted, if waits { "greylist" } else { "pass" })
            }
        };
        self.trace(client, request, verdict, &action, began);
        policy::write_reply(out, &action);
        Answered::Reply(counted)
    }

    fn log_trouble(&self, client: &Client, why: &dyn Display, recipient: &[u8]) {
        let rate_limit = &self.policies.trouble;
        observe::policy::policy_trouble(rate_limit, &client.listener, client.connection, why, recipient);
    }

    fn trouble(
        &self,
        client: &Client,
        why: &dyn Display,
        recipient: &[u8],
        counted: Counted,
        out: &mut Vec<u8>,
    ) -> Answered {
        self.log_trouble(client, why, recipient);
        match &self.on_trouble {
            Some(action) => {
                policy::write_reply(out, action);
                Answered::Reply(counted)
            }
            None => Answered::HangUp(counted),
        }
    }

    fn count(&self, verdict: &Verdict) {
        let counters = &self.policies.metrics.greylist;
        counters.count(match verdict {
            Verdict::FirstPass(delayed) => {
                counters.delay.fetch_add(*delayed, Relaxed);
                Greylisted::Delayed
            }
            Verdict::Wait(_, WaitReason::New) => Greylisted::New,
            Verdict::Wait(_, WaitReason::Throttled) => Greylisted::Throttled,
            Verdict::Wait(_, WaitReason::Early) => Greylisted::Early,
            Verdict::Wait(_, WaitReason::StoreFailed) | Verdict::Pass(PassReason::StoreFailed) => {
                Greylisted::StoreFailed
            }
            Verdict::Pass(PassReason::Triplet) => Greylisted::Known,
            Verdict::Pass(PassReason::Client) => Greylisted::Client,
            Verdict::Pass(PassReason::Whitelisted(_) | PassReason::Listed) => Greylisted::Whitelisted,
            Verdict::Pass(PassReason::Alias) => Greylisted::Alias,
            Verdict::Pass(PassReason::Correspondent) => Greylisted::Correspondent,
            Verdict::Pass(PassReason::NotGreylisted | PassReason::Local | PassReason::NullSender) => {
                Greylisted::Exempt
            }
        });
    }

    fn trace(
        &self,
        client: &Client,
        request: &Request<'_>,
        verdict: &'static str,
        text: &str,
        began: Instant,
    ) {
        if !self.policies.trace.is_wanted() {
            return;
        }
        self.policies.trace.put(TraceEvent {
            listener: client.listener.clone(),
            connection: client.connection,
            peer: client.peer.clone(),
            map: "policy".into(),
            key: shown(request.recipient),
            verdict,
            text: shown(text.as_bytes()),
            took: began.elapsed(),
        });
    }
}

/// A log line without details.
fn line_of<'a>(
    client: &'a Client,
    request: &Request<'a>,
    action: &'static str,
    reason: &'a dyn Display,
) -> PolicyDecision<'a> {
    PolicyDecision {
        queue_id: request.queue_id,
        listener: &client.listener,
        connection: client.connection,
        stage: request.state.name(),
        action,
        only_logged: false,
        reason,
        delay: None,
        client_name: request.client_name,
        client: request.client,
        sender: request.sender,
        recipient: request.recipient,
        detail: None,
    }
}

/// Logs a verdict, with the words of postgrey.
fn log(client: &Client, request: &Request<'_>, verdict: &Verdict, only_logged: bool) {
    let (action, reason, delay, detail): (_, Cow<'_, str>, _, Option<&Box<str>>) = match verdict {
        Verdict::Wait(wait, WaitReason::Early) => {
            ("greylist", format!("{} ({wait}s missing)", WaitReason::Early.name()).into(), None, None)
        }
        Verdict::Wait(_, why) => ("greylist", why.name().into(), None, None),
        Verdict::FirstPass(delayed) => ("pass", PassReason::Triplet.name().into(), Some(*delayed), None),
        Verdict::Pass(why @ PassReason::Whitelisted(entry)) => ("pass", why.name().into(), None, Some(entry)),
        Verdict::Pass(why) => ("pass", why.name().into(), None, None),
    };
    let line = PolicyDecision {
        only_logged,
        delay,
        detail: detail.map(|entry| entry as &dyn Display),
        ..line_of(client, request, action, &reason)
    };
    observe::policy::policy_decided(&line);
}

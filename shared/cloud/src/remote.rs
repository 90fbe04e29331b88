//! Accounts in which an executor makes the calls: it is told what to do by signed tasks over HTTPS, and does what its
//! own policy lets it. Here stands the hub's end of that.

use std::{sync::Arc, time::Duration};

use amend_domain::{
    AccountId,
    ports::{Clock, Ids},
    task::{Hello, Order, Step, Task, What},
};
use amend_http::{Client, Hosts, HttpError, Request};
use amend_models::{Call, Texts};
use async_trait::async_trait;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{CallError, Cloud, Lasts, Place};

pub use amend_http::signed::{Checker, Signer};

/// The path below an executor's address that takes tasks.
pub const PATH: &str = "/tasks";
/// What was not begun after this is not begun any more: long enough to start a function that sleeps, and for clocks
/// that are not quite right.
const BEGIN_WITHIN: SignedDuration = SignedDuration::from_secs(45);
/// What was not done after this is broken off: well before the lease ends of whoever sends it (150 s).
const END_WITHIN: SignedDuration = SignedDuration::from_secs(100);
/// So long an answer is waited for.
const ANSWER: Duration = Duration::from_secs(110);

/// Where an executor is, and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutorAt {
    /// Its name: what tasks are addressed to.
    pub name: String,
    /// Its address.
    pub url: String,
    /// The accounts that are reached through it, and in no other way.
    pub accounts: Vec<AccountId>,
}

/// What an executor answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// Who it is.
    Hello(Hello),
    /// The answer of the cloud.
    Value(Value),
    /// That the resource is as the plan says.
    Attest(Box<str>),
    /// Why it was not done, or is not known to be.
    Failed(CallError),
}

/// An executor that does not take a task at all says so like this.
#[derive(Deserialize)]
struct Refusal {
    code: String,
    message: String,
}

/// The clouds, where some accounts are reached through executors.
pub struct Executors {
    direct: Arc<dyn Cloud>,
    all: Vec<Remote>,
}

/// One executor.
pub struct Remote {
    at: ExecutorAt,
    client: Client,
    signer: Signer,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
}

impl Executors {
    /// These executors, and for every other account, `direct`.
    #[must_use]
    pub fn new(direct: Arc<dyn Cloud>, all: Vec<Remote>) -> Self {
        Self { direct, all }
    }

    /// Where the hub has no rights in an account, an executor may have been meant.
    fn no_executor_for(&self, place: &Place, error: CallError) -> CallError {
        match (error, &place.account) {
            (CallError::NotReached { call, reason }, Some(account)) => {
                let reason = format!("no executor is for `{account}` (`hub.executors`), and the hub itself: {reason}");
                CallError::NotReached { call, reason }
            }
            (error, _) => error,
        }
    }

    /// Who reaches an account.
    fn of(&self, place: &Place) -> Option<&Remote> {
        let account = place.account.as_ref()?;
        self.all.iter().find(|remote| remote.at.accounts.contains(account))
    }
}

#[async_trait]
impl Cloud for Executors {
    async fn call(&self, place: &Place, call: &Call, args: &Value) -> Result<Value, CallError> {
        let Some(remote) = self.of(place) else {
            let called = self.direct.call(place, call, args).await;
            return called.map_err(|error| self.no_executor_for(place, error));
        };
        fits(call, args)?;
        let account = place.account.clone().ok_or_else(|| remote.unexpected(&call.name()))?;
        let what = What::Read { account, region: place.region.clone(), call: call.name().into(), with: args.clone() };
        match remote.ask(what, &call.name()).await? {
            Reply::Value(value) => Ok(value),
            Reply::Failed(error) => Err(error),
            Reply::Hello(_) | Reply::Attest(_) => Err(remote.unexpected(&call.name())),
        }
    }

    async fn write(&self, place: &Place, call: &Call, order: &Order, step: &Step) -> Result<Value, CallError> {
        let Some(remote) = self.of(place) else { return self.direct.write(place, call, order, step).await };
        fits(call, &step.call.with)?;
        let what = What::Write { order: Box::new(order.clone()), step: Box::new(step.clone()) };
        match remote.ask(what, &call.name()).await? {
            Reply::Value(value) => Ok(value),
            Reply::Failed(error) => Err(error),
            Reply::Hello(_) | Reply::Attest(_) => Err(remote.unexpected(&call.name())),
        }
    }

    async fn attest(&self, place: &Place, order: &Order) -> Result<Option<Box<str>>, CallError> {
        let Some(remote) = self.of(place) else { return self.direct.attest(place, order).await };
        let name = order.first_call();
        match remote.ask(What::Attest { order: Box::new(order.clone()) }, name).await? {
            Reply::Attest(attest) => Ok(Some(attest)),
            Reply::Failed(error) => Err(error),
            Reply::Hello(_) | Reply::Value(_) => Err(remote.unexpected(name)),
        }
    }
}

/// Whether an executor may be asked at an address: by TLS, or on this machine.
///
/// # Errors
/// When it may not.
pub fn address(url: &str) -> Result<(), String> {
    // INVARIANT: what may be a password, or a key, is not shown.
    if url.contains(['@', '?', '#']) {
        return Err("the address of an executor holds no user, no password and no query".into());
    }
    if url.trim_end_matches('/').ends_with(PATH) {
        return Err(format!("`{url}` names `{PATH}`: that is added"));
    }
    let uri: http::Uri = url.parse().map_err(|_| format!("`{url}` is no address"))?;
    let (scheme, host) = uri.scheme_str().zip(uri.host()).ok_or_else(|| format!("`{url}` is no address"))?;
    match (scheme, uri.port()) {
        ("https", None) => Ok(()),
        ("https", Some(_)) => Err(format!("`{url}` names a port: only 443 is asked")),
        // Without TLS nobody would know who answers, but on this machine.
        ("http", _) if ["127.0.0.1", "[::1]", "localhost"].contains(&host) => Ok(()),
        _ => Err(format!("`{url}` is not asked: it is not `https://HOST`")),
    }
}

/// What does not fit its description is not sent to anybody.
fn fits(call: &Call, args: &Value) -> Result<(), CallError> {
    let wrong = call.check(args, Texts::Final);
    if wrong.is_empty() { Ok(()) } else { Err(CallError::Args { call: call.name(), wrong }) }
}

impl Remote {
    /// An executor that is told by tasks with this signature.
    ///
    /// # Errors
    /// When its address cannot be used.
    pub fn new(at: ExecutorAt, signer: Signer, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Result<Self, String> {
        address(&at.url)?;
        let uri: http::Uri = at.url.parse().map_err(|_| format!("`{}` is no address", at.url))?;
        let of_tls = uri.host().filter(|_| uri.scheme_str() == Some("https"));
        let hosts = of_tls.map_or_else(Hosts::loopback, |host| Hosts::of([host]));
        let client = Client::new(hosts).map_err(|error| error.to_string())?.waiting(ANSWER);
        Ok(Self { at, client, signer, clock, ids })
    }

    /// Where it is.
    #[must_use]
    pub fn at(&self) -> &ExecutorAt {
        &self.at
    }

    /// Asks who it is.
    ///
    /// # Errors
    /// When it does not say.
    pub async fn hello(&self) -> Result<Hello, CallError> {
        match self.ask(What::Hello, "hello").await? {
            Reply::Hello(hello) => Ok(hello),
            Reply::Failed(error) => Err(error),
            Reply::Value(_) | Reply::Attest(_) => Err(self.unexpected("hello")),
        }
    }

    /// Sends a task, once.
    async fn ask(&self, what: What, call: &str) -> Result<Reply, CallError> {
        let now = self.clock.now();
        let later = |by| now.checked_add(by).map_err(|error| not_sent(call, &error.to_string()));
        let (expires, ends) = (later(BEGIN_WITHIN)?, later(END_WITHIN)?);
        let id = format!("t-{}", self.ids.next(now));
        let task = Task { version: 1, id: id.as_str().into(), to: self.at.name.as_str().into(), expires, ends, what };
        let body = serde_json::to_vec(&task).map_err(|error| not_sent(call, &error.to_string()))?;
        let mut headers = self.signer.headers(&id, now, &body);
        headers.push(("content-type".into(), "application/json".into()));
        let url = format!("{}{PATH}", self.at.url.trim_end_matches('/'));
        let sent = self.client.send(Request { method: "POST".into(), url, headers, body }).await;
        let response = match sent {
            Ok(response) => response,
            Err(error) => return Err(self.unanswered(call, &error)),
        };
        match response.status {
            200 => serde_json::from_slice(&response.body).map_err(|error| CallError::Unreadable {
                call: call.to_owned(),
                reason: self.says(&error.to_string()),
            }),
            // Somebody on the way sent it twice, and the first may have been done.
            409 => Err(self.untold(call, "the task was there before")),
            // Whatever an executor does, it answers with success: this is about the task, or of somebody before it.
            status @ 400..500 => {
                let refusal = serde_json::from_slice::<Refusal>(&response.body).ok();
                let refusal = refusal.filter(|refusal| refusal.code.starts_with("task."));
                // What stands on the way, clocks, keys and versions may be put right.
                let for_good = refusal.as_ref().is_some_and(|refusal| refusal.code == "task.addressee");
                let lasts = if for_good { Lasts::ForGood } else { Lasts::ForNow };
                let why = refusal.map_or_else(
                    || format!("status {status}, from somebody who is no executor"),
                    |refusal| refusal.message,
                );
                Err(CallError::Declined { call: call.to_owned(), by: self.at.name.clone(), why, lasts })
            }
            status => Err(self.untold(call, &format!("status {status}"))),
        }
    }

    /// Nobody knows what was done.
    fn untold(&self, call: &str, why: &str) -> CallError {
        CallError::NoAnswer { call: call.to_owned(), reason: self.says(why), unsent: false }
    }

    fn says(&self, what: &str) -> String {
        format!("the executor `{}`: {what}", self.at.name)
    }

    fn unanswered(&self, call: &str, error: &HttpError) -> CallError {
        let unsent = match error {
            HttpError::Unreachable { unsent, .. } => *unsent,
            HttpError::Client(_) | HttpError::Url(_) | HttpError::Host { .. } => true,
            HttpError::TooLong { .. } => false,
        };
        let causes = std::iter::successors(std::error::Error::source(error), |error| error.source());
        let why = std::iter::once(error.to_string()).chain(causes.map(ToString::to_string)).collect::<Vec<_>>();
        CallError::NoAnswer { call: call.to_owned(), reason: self.says(&why.join(": ")), unsent }
    }

    fn unexpected(&self, call: &str) -> CallError {
        CallError::Unreadable { call: call.to_owned(), reason: self.says("it answers something else") }
    }
}

fn not_sent(call: &str, reason: &str) -> CallError {
    CallError::NotReached { call: call.to_owned(), reason: reason.to_owned() }
}

//! An executor: it makes the calls in accounts that the hub has no rights in. It keeps nothing, and trusts the hub no
//! further than it must: what it does follows from its own fixes, its own policy, and the resource as it finds it.
//!
//! [`Executor::answer`] is the story of a task. Whether the hub signed it is asked before, of the raw bytes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use amend_catalog::Catalogue;
use amend_cloud::{CallError, Cloud, Place, facts, remote::Reply};
use amend_domain::{
    AccountId, Cloud as CloudName, digest,
    fix::Step as Purpose,
    plan::Plan,
    policy::{NotAllowed, Policy},
    ports::Clock,
    task::{Hello, Order, Step, Task, What},
};
use amend_models::Call;
use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::{
    fixer::{Where, at},
    guard,
    remedy::{NotDue, Remedy, RemedyError, in_time},
};

/// No task may live longer than this.
const LONGEST: SignedDuration = SignedDuration::from_mins(5);
/// So many tasks are known again at most. Where there are more, no more is done until some have expired.
const MOST: usize = 100_000;

/// Tells the policy as it is now.
///
/// Its error says why there is none.
pub type TellPolicy = Box<dyn Fn() -> Result<Policy, String> + Send + Sync>;

/// What makes the calls in some accounts.
pub struct Executor {
    name: Box<str>,
    catalogue: Arc<Catalogue>,
    cloud: Arc<dyn Cloud>,
    policy: TellPolicy,
    keys: AttestKeys,
    clock: Arc<dyn Clock>,
    /// The calls that may be made to look.
    reads: BTreeSet<String>,
    seen: Arc<Seen>,
}

/// What an executor is put together from.
pub struct Parts {
    /// Its name: what tasks are addressed to.
    pub name: String,
    /// The fixes that it knows.
    pub catalogue: Arc<Catalogue>,
    /// Everything that calls a cloud.
    pub cloud: Arc<dyn Cloud>,
    /// What it may do.
    pub policy: TellPolicy,
    /// What it knows its own word by.
    pub keys: AttestKeys,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The tasks that it has had, also before it was put together anew.
    pub seen: Arc<Seen>,
}

/// The tasks that a process has had and that have not expired.
///
/// It makes a replay within minutes quiet. That a replay is harmless in any case follows from the resource: it is not
/// as the plan says any more.
#[derive(Default)]
pub struct Seen(Mutex<BTreeMap<Box<str>, Timestamp>>);

impl Seen {
    /// Notes a task. Returns whether it is new.
    fn note(&self, task: &Task, now: Timestamp) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MOST {
            seen.retain(|_, expires| *expires > now);
        }
        seen.len() < MOST && seen.insert(task.id.clone(), task.expires).is_none()
    }
}

/// Why a task is not taken at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// It is of another version of Amend.
    #[error("this executor does not know tasks of this version: bring it and the hub to one version")]
    Version,
    /// It is for somebody else.
    #[error("this task is for another executor")]
    Addressee,
    /// It has expired, or would live too long.
    #[error("this task has expired, or expires in more than five minutes: are the clocks right?")]
    Expired,
    /// It was here before.
    #[error("this task was here before")]
    Seen,
}

/// What an executor knows its own word by: the first key signs, each is known.
#[derive(Clone, Default)]
pub struct AttestKeys(Vec<(hmac::Key, [u8; 32])>);

// INVARIANT: a key is not shown.
impl fmt::Debug for AttestKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AttestKeys({})", self.0.len())
    }
}

impl PartialEq for AttestKeys {
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().map(|(_, name)| name).eq(other.0.iter().map(|(_, name)| name))
    }
}

impl AttestKeys {
    /// Reads keys: 32 bytes in base64 each.
    ///
    /// # Errors
    /// Says which of them is none, without repeating it.
    pub fn read(texts: &[String]) -> Result<Self, String> {
        let read = |(at, text): (usize, &String)| {
            let bytes = STANDARD.decode(text.trim()).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
            let bytes = bytes.ok_or_else(|| format!("key {} is not 32 bytes in base64", at.saturating_add(1)))?;
            let mut name = [0; 32];
            name.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes).as_ref());
            Ok((hmac::Key::new(hmac::HMAC_SHA256, &bytes), name))
        };
        texts.iter().enumerate().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Its word about something.
    fn attest(&self, said: &[u8]) -> Option<Box<str>> {
        self.0.first().map(|(key, _)| STANDARD.encode(hmac::sign(key, said)).into())
    }

    /// Whether it is its own word.
    fn knows(&self, said: &[u8], attest: &str) -> bool {
        let Ok(bytes) = STANDARD.decode(attest) else { return false };
        self.0.iter().any(|(key, _)| hmac::verify(key, said, &bytes).is_ok())
    }
}

impl Executor {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let fixes = parts.catalogue.iter().flat_map(|file| file.fix.calls());
        let mut reads: BTreeSet<String> =
            fixes.filter(|(_, purpose)| *purpose == Purpose::Read).map(|(call, _)| call.to_owned()).collect();
        for cloud in [CloudName::Azure, CloudName::Aws, CloudName::Gcp] {
            reads.extend(guard::calls(cloud).iter().chain(facts::calls(cloud)).map(|call| (*call).to_owned()));
        }
        let Parts { name, catalogue, cloud, policy, keys, clock, seen } = parts;
        Self { name: name.into(), catalogue, cloud, policy, keys, clock, reads, seen }
    }

    /// Does a task that the hub signed. What came of it is an answer, also where it was not done.
    ///
    /// Nothing is begun that might not end by `deadline`.
    ///
    /// # Errors
    /// When the task is not for this executor, not for now, or was here before.
    pub async fn answer(&self, task: &Task, deadline: Option<Timestamp>) -> Result<Reply, NotTaken> {
        let now = self.clock.now();
        if task.version != 1 {
            return Err(NotTaken::Version);
        }
        if task.to != self.name {
            return Err(NotTaken::Addressee);
        }
        if task.expires <= now || task.expires.duration_since(now) > LONGEST {
            return Err(NotTaken::Expired);
        }
        if !self.seen.note(task, now) {
            return Err(NotTaken::Seen);
        }
        let policy = (self.policy)();
        let call = match &task.what {
            What::Hello => return Ok(Reply::Hello(self.hello(policy))),
            What::Read { call, .. } => call,
            What::Attest { order } => order.plan.calls.first().map_or(&order.plan.fix, |planned| &planned.call),
            What::Write { step, .. } => &step.call.call,
        };
        let declined = |not: NotAllowed| self.declined(call, not.why, not.may_pass);
        let policy = match policy {
            Ok(policy) => policy,
            Err(why) => {
                tracing::error!("the policy cannot be used, and so nothing is done: {why}");
                return Ok(Reply::Failed(self.declined(
                    call,
                    "its policy cannot be used: its log says why".into(),
                    true,
                )));
            }
        };
        let in_time = || in_time(self.clock.now(), task.expires, deadline);
        let done = match &task.what {
            What::Hello => return Ok(Reply::Hello(self.hello(Ok(policy)))),
            What::Read { account, region, call, with } => match policy.lets_in(Some(account)) {
                Ok(()) => self.read(account, region.as_deref(), call, with).await,
                Err(not) => Err(declined(not)),
            },
            What::Attest { order } => self.attest(&policy, order).await,
            What::Write { order, step } => self.write(&policy, order, step, in_time).await,
        };
        self.log(task, call, done.as_ref().err());
        Ok(done.unwrap_or_else(Reply::Failed))
    }

    fn hello(&self, policy: Result<Policy, String>) -> Hello {
        let (accounts, most, stopped) = match policy {
            Ok(Policy { accounts, most, stopped, .. }) => (accounts, most, stopped),
            Err(why) => {
                tracing::error!("the policy cannot be used, and so nothing is done: {why}");
                let why = "its policy cannot be used: its log says why";
                (Vec::new(), amend_domain::rule::Mode::Observe, Some(why.into()))
            }
        };
        let version = env!("CARGO_PKG_VERSION").into();
        Hello { name: self.name.clone(), version, fixes: self.catalogue.digest().into(), accounts, most, stopped }
    }

    /// Looks: what fixes, guards and facts look at, and nothing else.
    async fn read(
        &self,
        account: &AccountId,
        region: Option<&str>,
        call: &str,
        with: &Value,
    ) -> Result<Reply, CallError> {
        let unknown = || self.declined(call, "it makes no such call to look".into(), false);
        let found = Call::find(call).map_err(|_| unknown())?;
        // INVARIANT: nothing that writes is called to look.
        if !self.reads.contains(call) || !found.only_reads() {
            return Err(unknown());
        }
        let place = Place { account: Some(account.clone()), region: region.map(Into::into), ..Place::default() };
        self.cloud.call(&place, &found, with).await.map(Reply::Value)
    }

    async fn attest(&self, policy: &Policy, order: &Order) -> Result<Reply, CallError> {
        let call = order.plan.calls.first().map_or(&order.plan.fix, |planned| &planned.call);
        let remedy = self.allowed(policy, order, call)?;
        remedy.agrees(&order.plan).await.map_err(|not| self.not_due(call, not))?;
        let said = self.said(order).map_err(|error| self.declined(call, error.to_string(), false))?;
        let attest = self.keys.attest(&said);
        attest.map(Reply::Attest).ok_or_else(|| self.declined(call, "it has no key to attest with".into(), false))
    }

    async fn write(
        &self,
        policy: &Policy,
        order: &Order,
        step: &Step,
        in_time: impl Fn() -> bool,
    ) -> Result<Reply, CallError> {
        let call = &step.call.call;
        let remedy = self.allowed(policy, order, call)?;
        // INVARIANT: nothing is written, and nothing brought back, that this executor did not see for itself before.
        let said = self.said(order).map_err(|error| self.declined(call, error.to_string(), false))?;
        if !step.attest.as_deref().is_some_and(|attest| self.keys.knows(&said, attest)) {
            let why = "it never said that the resource was as the plan says".to_owned();
            return Err(self.declined(call, why, false));
        }
        let answer = remedy.do_step(order, step, in_time).await;
        answer.map(Reply::Value).map_err(|not| self.not_due(call, not))
    }

    /// What is attested: which remediation found what before it began.
    fn said(&self, order: &Order) -> Result<Vec<u8>, serde_json::Error> {
        let said = ("amend-attest-1", &self.name, &order.remediation, order.plan.digest_of()?);
        digest::digest(&said).map(String::into_bytes)
    }

    /// The fix of a plan, where it is allowed.
    fn allowed(&self, policy: &Policy, order: &Order, call: &str) -> Result<Remedy, CallError> {
        let plan = &order.plan;
        let no = |why: String| self.declined(call, why, false);
        let file = self.catalogue.get(&plan.fix);
        let file = file.ok_or_else(|| no(format!("it has no fix `{}`", plan.fix)))?;
        if file.fix.digest != plan.fix_digest {
            return Err(no(format!("its fix `{}` is another than the hub's: bring both to one version", plan.fix)));
        }
        self.is_whole(plan).map_err(&no)?;
        policy
            .lets_write(&file.fix, &plan.at, &order.word, Some(&plan.params))
            .map_err(|not| self.declined(call, not.why, not.may_pass))?;
        let fix = Arc::new(file.fix.clone());
        let at = plan.at.clone();
        Remedy::new(fix, at, &plan.params, Arc::clone(&self.cloud), Arc::clone(&self.clock))
            .map_err(|error| no(error.to_string()))
    }

    /// Whether a plan says what its digest says, and the resource is where it says.
    fn is_whole(&self, plan: &Plan) -> Result<(), String> {
        let digest = plan.digest_of().map_err(|error| error.to_string())?;
        if *digest != *plan.digest {
            return Err("the digest of the plan does not fit".into());
        }
        let file = self.catalogue.get(&plan.fix).ok_or("there is no such fix")?;
        let place = Where {
            resource: plan.at.resource.to_string(),
            account: plan.at.account.as_ref().map(|account| account.native().to_owned()),
            region: plan.at.region.as_deref().map(ToOwned::to_owned),
        };
        // INVARIANT: the account that the policy is asked about is that of the resource.
        let mut found = at(&file.fix, &place).map_err(|error| error.to_string())?;
        found.via.clone_from(&plan.at.via);
        if found == plan.at { Ok(()) } else { Err("the resource is not where the plan says".into()) }
    }

    fn declined(&self, call: &str, why: String, may_pass: bool) -> CallError {
        CallError::Declined { call: call.to_owned(), by: self.name.to_string(), why, may_pass }
    }

    fn not_due(&self, call: &str, not: NotDue) -> CallError {
        match not {
            NotDue::Failed(error) => error,
            NotDue::Changed(why) => {
                CallError::Changed { call: call.to_owned(), by: self.name.to_string(), why: why.to_owned() }
            }
            NotDue::Late => self.declined(call, "it was too late to begin".into(), true),
            NotDue::Untold(error) => {
                let may_pass = matches!(&error, RemedyError::Read { source, .. } if source.may_pass());
                let why = match &error {
                    RemedyError::Read { source, .. } => source.to_string(),
                    _ => error.to_string(),
                };
                self.declined(call, why, may_pass)
            }
        }
    }

    /// What the account's own team wants to know.
    fn log(&self, task: &Task, call: &str, failed: Option<&CallError>) {
        let id = &*task.id;
        let (order, what) = match &task.what {
            What::Hello => return,
            What::Read { account, .. } => {
                match failed {
                    Some(error @ CallError::Declined { .. }) => {
                        tracing::warn!(task = id, call, account = account.as_str(), %error, "declined");
                    }
                    _ => tracing::debug!(task = id, call, account = account.as_str(), "read"),
                }
                return;
            }
            What::Attest { order } => (order, "attested"),
            What::Write { order, step } if step.undo => (order, "undone"),
            What::Write { order, .. } => (order, "written"),
        };
        let resource = order.plan.at.resource.as_str();
        let (remediation, revision, fix) = (&*order.remediation, order.revision, &*order.plan.fix);
        let word = match &order.word {
            amend_domain::task::Word::Rule => "a rule",
            amend_domain::task::Word::Person { name } => name,
        };
        match failed {
            None => tracing::info!(task = id, remediation, revision, fix, resource, call, word, "{what}"),
            Some(error) => {
                tracing::warn!(task = id, remediation, revision, fix, resource, call, word, %error, "not {what}")
            }
        }
    }
}

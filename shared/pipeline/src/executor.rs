//! An executor: it makes the calls in accounts that the hub has no rights in. It keeps nothing, and trusts the hub no
//! further than it must: what it does follows from its own fixes, its own policy, and the resource as it finds it.
//!
//! [`Executor::answer`] is the story of a task. Whether the hub signed it is asked before, of the raw bytes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use amend_catalog::Catalogue;
use amend_cloud::{CallError, Cloud, Lasts, Place, facts, graph, remote::Reply};
use amend_domain::{
    AccountId, Cloud as CloudName, digest,
    fix::{Fix, Step as Purpose},
    plan::Plan,
    policy::{self, NotAllowed, Policy},
    ports::Clock,
    rule::Mode,
    task::{Hello, Order, Step, Task, What, Word},
};
use amend_models::Call;
use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::{
    fixer::{Where, at},
    guard,
    remedy::{NotDue, Remedy, RemedyError, time_left},
};

/// No task may live longer than this.
const LONGEST: SignedDuration = SignedDuration::from_secs(90);
/// No task may be under way longer than this, by our clock.
const ENDS: SignedDuration = SignedDuration::from_secs(145);
/// What was attested longer ago is not begun any more.
const FRESH: SignedDuration = SignedDuration::from_hours(24);
/// What the hub is told of a policy that is wrong.
const UNUSABLE: &str = "its policy cannot be used: its log says why";
/// No name is longer.
const NAME: usize = 64;
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
/// It makes a replay within the minute quiet. Where this memory is gone, a replay finds the resource as the first left
/// it, and so does nothing, unless the resource was brought back within that minute.
#[derive(Default)]
pub struct Seen(Mutex<BTreeMap<Box<str>, Timestamp>>);

impl Seen {
    /// Notes a task that is new.
    fn note(&self, task: &Task, now: Timestamp) -> Result<(), NotTaken> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MOST {
            seen.retain(|_, expires| *expires > now);
        }
        if seen.contains_key(&task.id) {
            return Err(NotTaken::Seen);
        }
        if seen.len() >= MOST {
            return Err(NotTaken::Busy);
        }
        seen.insert(task.id.clone(), task.expires);
        Ok(())
    }
}

/// Why a task is not taken at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// It is of another version of Amend.
    #[error("this executor does not know tasks of this version: bring it and the hub to one version")]
    Version,
    /// It is for somebody else.
    #[error("this task is for `{to}`, and this executor is `{name}`")]
    Addressee {
        /// Whom it is for.
        to: Box<str>,
        /// Who this is.
        name: Box<str>,
    },
    /// It has expired, or would live too long.
    #[error("this task has expired, or has too long to live: are the clocks of the hub and the executor right?")]
    Expired,
    /// Its name, or that of its remediation, is none.
    #[error("this task has no proper name")]
    Id,
    /// It was here before.
    #[error("this task was here before")]
    Seen,
    /// There were too many.
    #[error("too many tasks came within a minute")]
    Busy,
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
        // A query looks at all that this identity sees.
        reads.remove(graph::QUERY);
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
        self.take(task)?;
        let policy = (self.policy)().inspect_err(|why| {
            tracing::error!("the policy cannot be used, and so nothing is done: {why}");
        });
        let Some(call) = task.what.call() else { return Ok(Reply::Hello(self.hello(policy.ok()))) };
        let done = match policy {
            Ok(policy) => self.carry_out(task, &policy, deadline).await,
            Err(_) => Err(self.declined(call, UNUSABLE.into(), Lasts::WhileStopped)),
        };
        self.log(task, call, done.as_ref().err());
        Ok(done.unwrap_or_else(Reply::Failed))
    }

    /// Takes a task that is for this executor, for now, and new.
    fn take(&self, task: &Task) -> Result<(), NotTaken> {
        let now = self.clock.now();
        if task.version != 1 {
            return Err(NotTaken::Version);
        }
        if task.to != self.name {
            return Err(NotTaken::Addressee { to: task.to.clone(), name: self.name.clone() });
        }
        let order = task.what.order();
        if !is_name(&task.id, "t-") || order.is_some_and(|order| !is_name(&order.remediation, "r-")) {
            return Err(NotTaken::Id);
        }
        let after = |time: Timestamp| time.duration_since(now);
        if task.expires <= now || after(task.expires) > LONGEST || after(task.ends) > ENDS {
            return Err(NotTaken::Expired);
        }
        self.seen.note(task, now)
    }

    async fn carry_out(&self, task: &Task, policy: &Policy, deadline: Option<Timestamp>) -> Result<Reply, CallError> {
        match &task.what {
            What::Hello => Ok(Reply::Hello(self.hello(Some(policy.clone())))),
            What::Read { account, region, call, with } => {
                policy.lets_in(Some(account)).map_err(|not| self.not_allowed(call, not))?;
                self.read(account, region.as_deref(), call, with).await
            }
            What::Attest { order } => self.attest(policy, order).await,
            What::Write { order, step } => {
                self.write(policy, order, step, || time_left(self.clock.now(), task, deadline)).await
            }
        }
    }

    fn hello(&self, policy: Option<Policy>) -> Hello {
        let (accounts, most, stopped) = match policy {
            Some(Policy { accounts, most, stopped, .. }) => (accounts, most, stopped),
            None => (Vec::new(), Mode::Observe, Some(UNUSABLE.into())),
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
        let unknown = || self.declined(call, "it makes no such call to look".into(), Lasts::ForGood);
        let found = Call::find(call).map_err(|_| unknown())?;
        // INVARIANT: nothing that writes is called to look.
        if !self.reads.contains(call) || !found.only_reads() {
            return Err(unknown());
        }
        // INVARIANT: what is looked at is in the account that the policy was asked about.
        if !stays_in(account, with) {
            return Err(self.declined(call, format!("it looks beyond `{account}`"), Lasts::ForGood));
        }
        let place = Place { account: Some(account.clone()), region: region.map(Into::into), ..Place::default() };
        self.cloud.call(&place, &found, with).await.map(Reply::Value)
    }

    async fn attest(&self, policy: &Policy, order: &Order) -> Result<Reply, CallError> {
        let (plan, call) = (&order.plan, order.first_call());
        let remedy = self.remedy(order, call)?;
        self.lets_write(policy, &remedy, order, call)?;
        remedy.agrees(plan).await.map_err(|not| self.not_due(call, not))?;
        let now = self.clock.now().as_second();
        let said = self.said(order, now).map_err(|error| self.declined(call, error.to_string(), Lasts::ForGood))?;
        let attest = self.keys.attest(&said).map(|attest| format!("{now}.{attest}").into());
        attest
            .map(Reply::Attest)
            .ok_or_else(|| self.declined(call, "it has no key to attest with".into(), Lasts::ForGood))
    }

    async fn write(
        &self,
        policy: &Policy,
        order: &Order,
        step: &Step,
        left: impl Fn() -> Option<Duration>,
    ) -> Result<Reply, CallError> {
        let call = &step.call.call;
        let remedy = self.remedy(order, call)?;
        // INVARIANT: nothing is written, and nothing brought back, that this executor did not see for itself before.
        let attested = step.attest.as_deref().and_then(|attest| self.attested(order, attest)).ok_or_else(|| {
            let why = "it never said that the resource was as the plan says, or with a key that is not in its `executor.keys` any more".to_owned();
            self.declined(call, why, Lasts::ForGood)
        })?;
        let now = self.clock.now();
        if step.undo {
            let lets = policy.lets_undo(&order.plan.at, attested, now);
            lets.map_err(|not| self.not_allowed(call, not))?;
        } else {
            self.lets_write(policy, &remedy, order, call)?;
            if now.duration_since(attested) > FRESH {
                return Err(self.changed(call, "the plan was attested too long ago"));
            }
        }
        // What a call names may be another resource than the one that is assessed.
        let names = policy::texts(&step.call.with);
        policy.spares(names).map_err(|not| self.not_allowed(call, not))?;
        let answer = remedy.do_step(order, step, left).await;
        answer.map(Reply::Value).map_err(|not| self.not_due(call, not))
    }

    fn lets_write(&self, policy: &Policy, remedy: &Remedy, order: &Order, call: &str) -> Result<(), CallError> {
        let plan = &order.plan;
        let lets = policy.lets_write(remedy.fix(), &plan.at, &order.word, Some(&plan.params));
        let named = plan.calls.iter().flat_map(|planned| policy::texts(&planned.with));
        lets.and_then(|()| policy.spares(named)).map_err(|not| self.not_allowed(call, not))
    }

    /// When it attested what an order says, where it did.
    fn attested(&self, order: &Order, attest: &str) -> Option<Timestamp> {
        let (second, signed) = attest.split_once('.')?;
        let second = second.parse().ok()?;
        let said = self.said(order, second).ok()?;
        self.keys.knows(&said, signed).then(|| Timestamp::from_second(second).ok()).flatten()
    }

    /// What is attested: which remediation found what before it began, and when.
    fn said(&self, order: &Order, second: i64) -> Result<Vec<u8>, serde_json::Error> {
        let said = ("amend-attest-1", &self.name, &order.remediation, order.plan.digest_of()?, second);
        digest::digest(&said).map(String::into_bytes)
    }

    /// The fix of a plan that is whole, as this executor has it.
    fn remedy(&self, order: &Order, call: &str) -> Result<Remedy, CallError> {
        let plan = &order.plan;
        let no = |why: String| self.declined(call, why, Lasts::ForGood);
        let file = self.catalogue.get(&plan.fix);
        let file = file.ok_or_else(|| no(format!("it has no fix `{}`", plan.fix)))?;
        if file.fix.digest != plan.fix_digest {
            let why = format!("its fix `{}` is another than the hub's: bring both to one version", plan.fix);
            return Err(self.declined(call, why, Lasts::ForNow));
        }
        self.is_whole(plan, &file.fix).map_err(&no)?;
        let (fix, at) = (Arc::new(file.fix.clone()), plan.at.clone());
        Remedy::new(fix, at, &plan.params, Arc::clone(&self.cloud), Arc::clone(&self.clock))
            .map_err(|error| no(error.to_string()))
    }

    /// Whether a plan says what its digest says, and the resource is where it says.
    fn is_whole(&self, plan: &Plan, fix: &Fix) -> Result<(), String> {
        let digest = plan.digest_of().map_err(|error| error.to_string())?;
        if *digest != *plan.digest {
            return Err("the digest of the plan does not fit".into());
        }
        // A second name for one resource would be one that the policy does not know.
        let partition = plan.at.resource.as_str().strip_prefix("arn:").and_then(|rest| rest.split(':').next());
        if partition.is_some_and(|partition| partition != partition_of(plan.at.region.as_deref().unwrap_or_default())) {
            return Err("the partition of the resource is not that of its region".into());
        }
        let place = Where {
            resource: plan.at.resource.to_string(),
            account: plan.at.account.as_ref().map(|account| account.native().to_owned()),
            region: plan.at.region.as_deref().map(ToOwned::to_owned),
        };
        // INVARIANT: the account that the policy is asked about is that of the resource.
        let mut found = at(fix, &place).map_err(|error| error.to_string())?;
        found.via.clone_from(&plan.at.via);
        if found == plan.at { Ok(()) } else { Err("the resource is not where the plan says".into()) }
    }

    fn declined(&self, call: &str, why: String, lasts: Lasts) -> CallError {
        CallError::Declined { call: call.to_owned(), by: self.name.to_string(), why, lasts }
    }

    fn not_allowed(&self, call: &str, not: NotAllowed) -> CallError {
        self.declined(call, not.why, if not.stopped { Lasts::WhileStopped } else { Lasts::ForGood })
    }

    fn changed(&self, call: &str, why: &str) -> CallError {
        CallError::Changed { call: call.to_owned(), by: self.name.to_string(), why: why.to_owned() }
    }

    fn not_due(&self, call: &str, not: NotDue) -> CallError {
        match not {
            NotDue::Failed(error) => error,
            NotDue::Changed(why) => self.changed(call, why),
            NotDue::Late => self.declined(call, "it was too late to begin".into(), Lasts::ForNow),
            NotDue::Untold(error) => {
                let may_pass = matches!(&error, RemedyError::Read { source, .. } if source.may_pass());
                let lasts = if may_pass { Lasts::ForNow } else { Lasts::ForGood };
                let why = match &error {
                    RemedyError::Read { source, .. } => source.to_string(),
                    _ => error.to_string(),
                };
                self.declined(call, why, lasts)
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
            Word::Rule => "a rule",
            Word::Person { name } => name,
        };
        match failed {
            None => tracing::info!(task = id, remediation, revision, fix, resource, call, word, "{what}"),
            Some(error) => {
                tracing::warn!(task = id, remediation, revision, fix, resource, call, word, %error, "not {what}")
            }
        }
    }
}

/// Whether a text can be a name of a task or a remediation: it stands in logs, and names sessions in clouds.
fn is_name(text: &str, begins: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    text.len() <= NAME && text.starts_with(begins) && text.chars().all(plain)
}

/// The partition of AWS that a region is in.
fn partition_of(region: &str) -> &'static str {
    match region {
        region if region.starts_with("cn-") => "aws-cn",
        region if region.starts_with("us-gov-") => "aws-us-gov",
        region if region.starts_with("us-iso-") => "aws-iso",
        region if region.starts_with("us-isob-") => "aws-iso-b",
        region if region.starts_with("eu-isoe-") => "aws-iso-e",
        region if region.starts_with("us-isof-") => "aws-iso-f",
        region if region.starts_with("eusc-") => "aws-eusc",
        _ => "aws",
    }
}

/// Whether what is looked at stays in an account. What AWS shows is that of the credentials, and of Azure that of the
/// path; Google's calls name whole organizations, too.
fn stays_in(account: &AccountId, with: &Value) -> bool {
    if !account.as_str().starts_with("gcp:") {
        return true;
    }
    let inside = |text: &str| {
        let project = text.strip_prefix("projects/").and_then(|rest| rest.split('/').next());
        project.is_some_and(|project| project.eq_ignore_ascii_case(account.native()))
    };
    let named = ["scope", "parent"].iter().filter_map(|name| with.get(name));
    let listed = with.get("body").and_then(|body| body.get("resourceNames")).and_then(Value::as_array);
    named.chain(listed.into_iter().flatten()).all(|value| value.as_str().is_some_and(inside))
}

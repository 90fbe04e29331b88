//! Systems that problems come from: they are asked what they say, and told what became of them. Each problem is looked
//! at when something of it changed, and once a day: what stands there is read first, and only what differs is written.
//! What a person wrote there stays. Read [`Syncer::work`]; what each system is told stands in a file of its own.

mod defender;
mod scc;
mod security_hub;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use amend_cloud::{CallError, Clouds};
use amend_domain::{
    AccountId, Problem, Settings,
    audit::Entry,
    owners::Owners,
    plan::{Remediation, State as Step_},
    ports::{Clock, Ids},
    said::{Assigned, Said, Unheard},
    sync::{Changed, Synced, System, Told, Values},
    work::{After, Lease, Work, WorkKind},
};
use amend_store::{Store, StoreError, Syncs};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tracing::{info, warn};

use crate::{
    PipelineError,
    advance::{add, put_off},
};

/// So long a problem is one worker's.
const LEASE: SignedDuration = SignedDuration::from_secs(150);
/// The first wait after a system did not answer; each doubles the last, up to the longest.
const FIRST_WAIT: SignedDuration = SignedDuration::from_secs(30);
const LONGEST_WAIT: SignedDuration = SignedDuration::from_mins(15);
/// How often it is asked whether something was not looked at for a day.
const LOOKED: SignedDuration = SignedDuration::from_hours(1);

/// Whose word counts about owners and dates, where both have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// Defender's: its assignments are read and taken over, and never written.
    Defender,
    /// Amend's: its owners, dates and tickets are written into them.
    Amend {
        /// Also over what another machine wrote there.
        overrides: bool,
    },
}

/// What Security Hub is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hub {
    /// What became of its findings.
    pub findings: bool,
    /// What Defender says of resources in AWS.
    pub import: bool,
}

/// Which systems are told what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Systems {
    /// Defender, and whose word counts there.
    pub defender: Option<Authority>,
    /// Security Hub.
    pub hub: Hub,
    /// Security Command Center: marks of its findings.
    pub scc: bool,
    /// Whether owners get Amend's digest by mail, so that they need none of Defender.
    pub mails: bool,
}

impl Systems {
    /// Those in use.
    #[must_use]
    pub fn in_use(&self) -> BTreeSet<System> {
        let used = |system: &System| match system {
            System::Defender => self.defender.is_some(),
            System::SecurityHub => self.hub != Hub::default(),
            System::Scc => self.scc,
        };
        System::ALL.into_iter().filter(used).collect()
    }

    /// The calls that are made in a cloud, for the roles.
    #[must_use]
    pub fn calls(&self, cloud: amend_domain::Cloud) -> Vec<&'static str> {
        use amend_cloud::{aws::security_hub, governance, marks};
        use amend_domain::Cloud;
        match cloud {
            Cloud::Azure => match self.defender {
                None => Vec::new(),
                Some(Authority::Defender) => governance::READS.to_vec(),
                Some(Authority::Amend { .. }) => governance::WRITES.to_vec(),
            },
            Cloud::Aws => {
                let updates = security_hub::UPDATES.iter().filter(|_| self.hub.findings);
                let all: BTreeSet<&str> =
                    updates.chain(security_hub::IMPORTS.iter().filter(|_| self.hub.import)).copied().collect();
                all.into_iter().collect()
            }
            Cloud::Gcp if self.scc => marks::WRITES.to_vec(),
            Cloud::Gcp | Cloud::Other => Vec::new(),
        }
    }
}

/// What came of looking at one assessment or finding.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// With which system.
    pub system: System,
    /// What it calls it.
    pub target: Box<str>,
    /// What is new there, where it is told something.
    pub changes: Vec<Changed>,
    /// What it was told, as far as that stands there yet.
    told: Told,
    /// What it was being told, and heard.
    heard: Vec<Changed>,
    /// What is to be done about it, where anything is.
    act: Option<Act>,
}

/// How it is done.
#[derive(Clone, Debug, PartialEq)]
enum Act {
    /// What Defender says is taken over; with all that was read.
    TakeOver { assigned: Assigned, read: Values },
    /// An assignment of this name is written.
    Assign { name: String, properties: serde_json::Value },
    /// A finding of Security Hub is updated.
    Update { finding: Box<amend_cloud::aws::security_hub::Finding>, workflow: Option<String>, note: Option<String> },
    /// A finding is imported there.
    Import(Box<security_hub::Ours>),
    /// A finding is marked.
    Mark(BTreeMap<&'static str, Option<String>>),
}

impl Look {
    /// What is taken over with it, where it writes nothing.
    #[must_use]
    pub fn taken_over(&self) -> Option<&Assigned> {
        match &self.act {
            Some(Act::TakeOver { assigned, .. }) => Some(assigned),
            _ => None,
        }
    }

    /// What its target is being told: null is what is taken back.
    fn telling(&self) -> Values {
        self.changes.iter().map(|change| (change.path.clone(), change.to.clone())).collect()
    }
}

/// A system in an account and region.
type There = (System, Option<AccountId>, Option<Box<str>>);

fn there(system: System, problem: &Problem) -> There {
    (system, problem.resource.account.clone(), problem.resource.region.clone())
}

/// What is known of a problem when systems are told of it.
struct Sight<'p> {
    problem: &'p Problem,
    synced: &'p Synced,
    ticket: Option<amend_domain::ticket::Entry>,
    /// The remediation that ended last, where one did.
    last: Option<Remediation>,
    now: Timestamp,
}

impl Sight<'_> {
    /// What a target was told.
    fn told(&self, target: &str) -> Told {
        self.synced.targets.get(target).cloned().unwrap_or_default()
    }

    /// The remediation by which it is set, and reads back so.
    fn set_by(&self) -> Option<&Remediation> {
        self.last.as_ref().filter(|r| matches!(r.state, Step_::Set | Step_::Healthy))
    }
}

/// Whoever tells systems what became of problems.
#[derive(Clone)]
pub struct Syncer {
    store: Arc<dyn Store>,
    syncs: Arc<dyn Syncs>,
    clouds: Arc<Clouds>,
    systems: Systems,
    /// Which recommendations speak of one setting.
    settings: Arc<Settings>,
    owners: Arc<Owners>,
    clock: Arc<dyn Clock>,
    holder: Arc<str>,
    looked: Arc<Mutex<Option<Timestamp>>>,
    /// Systems that do not answer in an account, and until when they are left alone.
    quiet: Arc<Mutex<BTreeMap<There, (Timestamp, String)>>>,
}

impl Syncer {
    /// Puts the parts together.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        syncs: Arc<dyn Syncs>,
        clouds: Arc<Clouds>,
        systems: Systems,
        settings: Settings,
        clock: Arc<dyn Clock>,
        ids: &dyn Ids,
    ) -> Self {
        let holder = ids.next(clock.now()).into();
        let (settings, owners, looked, quiet) = (Arc::new(settings), Arc::default(), Arc::default(), Arc::default());
        Self { store, syncs, clouds, systems, settings, owners, clock, holder, looked, quiet }
    }

    /// The same, where it is known who is who.
    #[must_use]
    pub fn with_owners(self, owners: Arc<Owners>) -> Self {
        Self { owners, ..self }
    }

    /// Looks at the most urgent problem that is due, with one system. Nothing, where none is.
    ///
    /// # Errors
    /// When the store does not answer; whatever was begun goes on later.
    pub async fn work(&self) -> Result<Option<(Work, After)>, PipelineError> {
        if self.systems.in_use().is_empty() || self.store.stopped().await?.is_some() {
            return Ok(None);
        }
        self.look_again().await?;
        let now = self.clock.now();
        let Some((work, lease)) = self.store.claim(WorkKind::SYNCS, &self.holder, now, add(now, LEASE)).await? else {
            return Ok(None);
        };
        let after = match Box::pin(self.sync(&work, &lease)).await {
            Ok(after) => after,
            // Something of it changed meanwhile, and it is to be looked at again; or another is at it.
            Err(PipelineError::Store(StoreError::Overtaken { .. })) => return Ok(Some((work, After::Done))),
            Err(PipelineError::Store(error)) => {
                After::Again { at: add(self.clock.now(), FIRST_WAIT), why: error.to_string() }
            }
            Err(error) => put_off(&work, &error, self.clock.now()),
        };
        self.store.leave(&lease, &after, self.clock.now()).await?;
        info!(work = work.key, ?after, "work");
        Ok(Some((work, after)))
    }

    /// What would be done about a problem now, with each system that knows it. Nothing is written.
    ///
    /// # Errors
    /// When a system or the store does not answer.
    pub async fn preview(&self, problem: &Problem) -> Result<Vec<Look>, PipelineError> {
        let mut all = Vec::new();
        for system in self.systems.in_use().into_iter().filter(|system| system.knows(problem)) {
            let synced = self.syncs.synced(system, &problem.id).await?;
            let looks = self.looks(system, problem, &synced).await?;
            all.extend(looks.into_iter().filter(|look| look.act.is_some()));
        }
        Ok(all)
    }

    /// Now and then, has what nobody looked at for a day looked at.
    async fn look_again(&self) -> Result<(), PipelineError> {
        let now = self.clock.now();
        let last = *self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| now < add(last, LOOKED)) {
            return Ok(());
        }
        let queued = self.syncs.look_again(&self.systems.in_use(), now).await?;
        info!(queued, "problems to be looked at where they come from");
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        Ok(())
    }

    async fn sync(&self, work: &Work, lease: &Lease) -> Result<After, PipelineError> {
        let Some((system, id)) = System::of_subject(&work.subject) else { return Ok(After::Done) };
        let found = self.store.find(id).await?.into_iter().find(|problem| problem.id.as_str() == id);
        let Some(problem) = found.filter(|_| self.systems.in_use().contains(&system)) else { return Ok(After::Done) };
        if let Some((at, why)) = self.left_alone(system, &problem) {
            return Ok(After::Held { at, why });
        }
        match self.tell(system, &problem, lease).await {
            Ok(true) => Ok(After::Later { at: self.clock.now() }),
            Ok(false) => Ok(After::Done),
            Err(PipelineError::System { source, .. }) if source.may_pass() || source.is_denied() => {
                Ok(self.later(work, system, &problem, &source))
            }
            Err(error) => Err(error),
        }
    }

    /// Asks a system what it says of a problem, and tells it what differs, one target after the other. Returns whether
    /// there is more to say of what came to be there by that.
    async fn tell(&self, system: System, problem: &Problem, lease: &Lease) -> Result<bool, PipelineError> {
        let mut synced = self.syncs.synced(system, &problem.id).await?;
        let looks = self.looks(system, problem, &synced).await?;
        let (mut entries, mut first_error, mut again) = (Vec::new(), None, false);
        for look in looks {
            let now = self.clock.now();
            let mut told = look.told.clone();
            if !look.heard.is_empty() {
                // It heard that, and only the answer was lost.
                told.at = Some(now);
                let detail = json!({ "target": look.target, "changes": look.heard, "found": true });
                entries.push(self.entry(system, problem, detail));
            }
            synced.targets.insert(look.target.clone(), told.clone());
            match &look.act {
                None => {}
                Some(Act::TakeOver { assigned, read }) => {
                    match self.store.hear(problem.id.as_str(), &Said::Assigned(assigned.clone()), now).await? {
                        // The problem changed, so it is looked at again: then it is kept that this is no news.
                        Some(Ok(_)) => info!(problem = %problem.id, "taken over from Defender"),
                        Some(Err(Unheard::Same)) => {}
                        // It is no time to say so: it is said when it is.
                        None | Some(Err(_)) => continue,
                    }
                    synced.targets.insert(look.target.clone(), Told { read: read.clone(), ..told });
                }
                Some(act) => {
                    let telling = look.telling();
                    synced.targets.insert(look.target.clone(), Told { telling: Some(telling.clone()), ..told.clone() });
                    self.syncs.keep_synced(lease, add(now, LEASE), &synced, std::mem::take(&mut entries), now).await?;
                    match self.act(act, &look, problem).await {
                        Ok(()) => {
                            info!(system = system.as_str(), problem = %problem.id, target = &*look.target, "told");
                            // A finding that was not there before has a workflow of its own.
                            let is_new = matches!(act, Act::Import(_)) && told.values.is_empty();
                            again = again || is_new && self.systems.hub.findings;
                            let detail = json!({ "target": look.target, "changes": look.changes });
                            let entry = vec![self.entry(system, problem, detail)];
                            synced.targets.insert(look.target.clone(), told.heard(telling, now));
                            self.syncs.keep_synced(lease, add(now, LEASE), &synced, entry, now).await?;
                        }
                        // It is not there any more: there is nobody to tell.
                        Err(CallError::Refused { status: 404, .. }) if system == System::Scc => {
                            synced.targets.remove(&look.target);
                        }
                        // Others hear all the same.
                        Err(error) => first_error = first_error.or(Some(error)),
                    }
                }
            }
        }
        let now = self.clock.now();
        self.syncs.keep_synced(lease, add(now, LEASE), &synced, entries, now).await?;
        match first_error {
            Some(error) => Err(failed(system, problem, error)),
            None => Ok(again),
        }
    }

    /// What comes of looking at a problem with a system, as things are now.
    async fn looks(&self, system: System, problem: &Problem, synced: &Synced) -> Result<Vec<Look>, PipelineError> {
        let ended = |r: &Remediation| {
            matches!(r.state, Step_::Set | Step_::Healthy | Step_::Undone | Step_::Failed | Step_::Parked)
        };
        let mut remediations = self.store.remediations_of(problem.id.as_str()).await?;
        // Those by hand are of a resource and a fix, not of a problem.
        let by_hand = self.store.remediations(Some(problem.resource.id.as_str()), None, 100).await?;
        let same = |r: &Remediation| r.problem.is_none() && *r.plan.fix == *problem.setting.as_str();
        remediations.extend(by_hand.into_iter().filter(same));
        // What was set before it came back says nothing of now.
        let now_so = |r: &Remediation| r.begun >= problem.opened;
        let last = remediations
            .into_iter()
            .filter(|r| ended(r) && now_so(r))
            .max_by(|a, b| (a.begun, &a.id).cmp(&(b.begun, &b.id)));
        let sight =
            Sight { problem, synced, ticket: self.syncs.entry_of(&problem.id).await?, last, now: self.clock.now() };
        match system {
            System::Defender => self.defender(&sight).await,
            System::SecurityHub => Box::pin(self.security_hub(&sight)).await,
            System::Scc => Ok(scc::looks(&sight)),
        }
    }

    /// Does what is to be done.
    async fn act(&self, act: &Act, look: &Look, problem: &Problem) -> Result<(), CallError> {
        match act {
            Act::TakeOver { .. } => Ok(()),
            Act::Assign { name, properties } => {
                amend_cloud::governance::put(&*self.clouds, &look.target, name, properties).await
            }
            Act::Update { finding, workflow, note } => {
                let hub = self.hub_of(problem).await?;
                hub.update(finding, workflow.as_deref(), note.as_deref()).await
            }
            Act::Import(ours) => self.hub_of(problem).await?.import(&ours.import(self.clock.now())).await,
            Act::Mark(marks) => {
                let call = look.system.name().to_owned();
                let unknown = || CallError::NotReached { call, reason: "its project is not known".into() };
                let project = problem.resource.account.as_ref().ok_or_else(unknown)?;
                amend_cloud::marks::set(&*self.clouds, project, &look.target, marks).await
            }
        }
    }

    /// What the audit trail tells of what a system was told.
    fn entry(&self, system: System, problem: &Problem, detail: serde_json::Value) -> Entry {
        Entry {
            at: self.clock.now(),
            who: "amend".into(),
            what: system.told().into(),
            subject: problem.id.as_str().into(),
            resource: Some(problem.resource.id.clone()),
            account: problem.resource.account.clone(),
            detail,
        }
    }

    /// Until when a system is left alone in the account of a problem, and why.
    fn left_alone(&self, system: System, problem: &Problem) -> Option<(Timestamp, String)> {
        let quiet = self.quiet.lock().unwrap_or_else(PoisonError::into_inner);
        let until = quiet.get(&there(system, problem)).cloned();
        until.filter(|(until, _)| *until > self.clock.now())
    }

    /// What becomes of telling that did not get on. What else is to be told there waits, too: nothing of it is lost.
    fn later(&self, work: &Work, system: System, problem: &Problem, error: &CallError) -> After {
        let doublings = work.attempts.saturating_sub(1).min(8);
        let wait = FIRST_WAIT.saturating_mul(1_i32.checked_shl(doublings).unwrap_or(i32::MAX)).min(LONGEST_WAIT);
        let wait = if error.is_denied() { LONGEST_WAIT } else { wait };
        let (at, why) = (add(self.clock.now(), wait), format!("{}: {error}", system.name()));
        warn!(work = work.key, why, "work did not get on");
        let mut quiet = self.quiet.lock().unwrap_or_else(PoisonError::into_inner);
        quiet.insert(there(system, problem), (at, why.clone()));
        // Others come first then: they may fare better.
        After::Again { at: add(at, FIRST_WAIT), why }
    }
}

/// Why a system was not asked or told.
fn failed(system: System, problem: &Problem, source: CallError) -> PipelineError {
    PipelineError::System { system, problem: problem.id.to_string(), source: Box::new(source) }
}

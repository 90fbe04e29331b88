//! Fixes, clouds and the store, put together: from a problem or a resource to a plan, and from a plan to
//! a remediation. What is done step by step stands in [`crate::remedy`].

use std::sync::Arc;

use amend_catalog::{Catalogue, fix_file::FixFile};
use amend_cloud::{Cloud, CloudFacts, FactSource};
use amend_domain::{
    AccountId, Problem, RecommendationKey, ResourceId, Setting,
    fix::{Ceiling, Fix},
    guard::About,
    plan::{At, Plan, Remediation, State},
    ports::{Clock, Ids},
    problem::State as ProblemState,
    rule::Mode,
    work::{After, Lease},
};
use amend_store::{Filter, Store, StoreError};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use crate::{
    PipelineError,
    advance::{LATER, add, whole},
    exempt::Terms,
    guard,
    remedy::{LEASE, Next, Remedy, RemedyError, StoreJournal, locate, target_of},
};

/// What plans and fixes.
#[derive(Clone)]
pub struct Fixer {
    catalogue: Arc<Catalogue>,
    cloud: Arc<dyn Cloud>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    /// Who this is, among all that take up work.
    holder: Arc<str>,
    pub(crate) limits: Limits,
    /// Tells the tags that guards look at.
    pub(crate) facts: Arc<dyn FactSource>,
}

/// How far work goes by itself. By default nothing is begun.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// The most that is done by itself, whatever rules say; nothing is begun, if absent.
    pub most: Option<Mode>,
    /// What the guards go by.
    pub guards: guard::Settings,
    /// How long the source of truth has to say so, too.
    pub confirm_within: SignedDuration,
    /// How long people have to say whether a plan may be done.
    pub approve_within: SignedDuration,
    /// How long exemptions last.
    pub exemptions: Terms,
    /// Whether people have names: then only one of them can say that a plan may be done.
    pub named: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            most: None,
            guards: guard::Settings::default(),
            confirm_within: SignedDuration::from_hours(24),
            approve_within: SignedDuration::from_hours(7 * 24),
            exemptions: Terms::default(),
            named: false,
        }
    }
}

/// Which resource, as a person says it.
#[derive(Clone, Debug, Default)]
pub struct Where {
    /// Its native name.
    pub resource: String,
    /// Its account, where its name does not tell.
    pub account: Option<String>,
    /// Its region, where its name does not tell.
    pub region: Option<String>,
}

impl Fixer {
    /// Puts the parts together.
    #[must_use]
    pub fn new(
        catalogue: Arc<Catalogue>,
        cloud: Arc<dyn Cloud>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
    ) -> Self {
        let holder = ids.next(clock.now()).into();
        let facts = Arc::new(CloudFacts::new(Arc::clone(&cloud), None));
        Self { catalogue, cloud, store, clock, ids, holder, limits: Limits::default(), facts }
    }

    /// With these limits for what is done by itself.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Everything that calls a cloud.
    pub(crate) fn cloud(&self) -> &Arc<dyn Cloud> {
        &self.cloud
    }

    /// Another who takes up work beside this one.
    #[must_use]
    pub fn another(&self) -> Self {
        Self { holder: self.ids.next(self.clock.now()).into(), ..self.clone() }
    }

    /// Who this is, among all that take up work.
    pub(crate) fn holder(&self) -> &str {
        &self.holder
    }

    /// A new id for a remediation.
    pub(crate) fn next_id(&self) -> String {
        self.next_id_of("r")
    }

    /// A new id that begins with this letter.
    pub(crate) fn next_id_of(&self, letter: &str) -> String {
        format!("{letter}-{}", self.ids.next(self.clock.now()))
    }

    /// The fixes.
    #[must_use]
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A fix by its id, or the one that closes a recommendation.
    ///
    /// # Errors
    /// When there is none.
    pub fn fix(&self, name: &str) -> Result<&Arc<FixFile>, PipelineError> {
        let closing = || RecommendationKey::parse(name).and_then(|key| self.catalogue.closing(&key));
        self.catalogue.get(name).or_else(closing).ok_or_else(|| {
            let near = amend_domain::settings::nearest(name, self.catalogue.iter().map(|file| &*file.fix.id));
            match near {
                Some(near) => PipelineError::Unknown { what: "fix", name: name.to_owned(), near: near.to_owned() },
                None => PipelineError::NotFound {
                    what: "fix",
                    name: name.to_owned(),
                    hint: "`amend catalog list` shows the fixes and what they close",
                },
            }
        })
    }

    /// Where a resource is: what its name tells, and what was said.
    ///
    /// # Errors
    /// When the fix is not for such a resource.
    pub fn at(&self, file: &FixFile, place: &Where) -> Result<At, RemedyError> {
        at(&file.fix, place)
    }

    /// The plan of a fix for a resource, or for the one that it leads to.
    ///
    /// # Errors
    /// When the resource cannot be read, or the fix cannot tell what to do.
    pub async fn plan(&self, file: &FixFile, at: At, params: &Map<String, Value>) -> Result<Plan, RemedyError> {
        if let Some(name) = params.keys().find(|name| file.fix.parameters.iter().all(|known| *known.name != ***name)) {
            let known: Vec<&str> = file.fix.parameters.iter().map(|known| &*known.name).collect();
            let known =
                if known.is_empty() { "it has none".to_owned() } else { format!("it has {}", known.join(", ")) };
            return Err(RemedyError::NoParameter { fix: file.fix.id.to_string(), name: name.clone(), known });
        }
        let at = locate(&file.fix, at, &*self.cloud).await?;
        self.remedy(file, at, params)?.plan().await
    }

    /// The plan for a problem: the fix of its setting, on its resource.
    ///
    /// # Errors
    /// When no fix closes it, or as for [`Self::plan`].
    pub async fn plan_problem(&self, problem: &Problem, params: &Map<String, Value>) -> Result<Plan, PipelineError> {
        let file = self.fix_of(problem)?;
        let resource = &problem.resource;
        let place = Where {
            resource: resource.id.to_string(),
            account: resource.account.as_ref().map(|account| account.native().to_owned()),
            region: resource.region.as_deref().map(ToOwned::to_owned),
        };
        let at = self.at(file, &place)?;
        Ok(self.plan(file, at, params).await?)
    }

    /// The fix of a problem's setting.
    ///
    /// # Errors
    /// When there is none.
    pub fn fix_of(&self, problem: &Problem) -> Result<&Arc<FixFile>, PipelineError> {
        self.catalogue.of_setting(&problem.setting).ok_or_else(|| PipelineError::NotFound {
            what: "a fix for",
            name: problem.setting.to_string(),
            hint: "no fix closes this recommendation; `amend catalog list` shows those that there are",
        })
    }

    /// The open problems that a fix would close, most urgent first.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn open_problems(&self, file: &FixFile) -> Result<Vec<Problem>, PipelineError> {
        let setting = Setting::new(&file.fix.id);
        let all = self.store.problems(&Filter { open: Some(true), ..Filter::default() }).await?;
        Ok(all
            .into_iter()
            .filter(|problem| problem.setting == setting && problem.state == ProblemState::Open)
            .collect())
    }

    /// The fix of a plan that is as it was made.
    ///
    /// # Errors
    /// When the plan was changed since, or its fix was.
    pub fn checked(&self, plan: &Plan) -> Result<&Arc<FixFile>, PipelineError> {
        let file = self.fix(&plan.fix)?;
        let refuse = |why: &'static str| PipelineError::PlanRefused { fix: plan.fix.to_string(), why };
        if plan.version != 1 {
            return Err(refuse("the plan is of another version of Amend; plan again"));
        }
        let digest = plan.digest_of().map_err(RemedyError::from)?;
        if *plan.digest != *digest {
            return Err(refuse("the plan was changed after it was made: its digest does not fit"));
        }
        if file.fix.digest != plan.fix_digest {
            return Err(refuse("the fix has changed since the plan was made; plan again"));
        }
        let fix = &file.fix;
        if (&plan.title, &plan.impact, &plan.undo_loses) != (&fix.title, &fix.impact, &fix.undo_loses) {
            return Err(refuse("the plan was changed after it was made: it does not say what its fix says"));
        }
        Ok(file)
    }

    /// A remediation that does what `plan` says: recorded, and nothing written yet.
    ///
    /// # Errors
    /// When the plan is not as it was made, its fix is another by now or may only be a ticket, it has
    /// nothing to write, or somebody holds or exempted the resource.
    pub async fn begin(&self, plan: Plan, by: &str) -> Result<Remediation, PipelineError> {
        let file = self.checked(&plan)?;
        let refuse = |why: &'static str| PipelineError::PlanRefused { fix: plan.fix.to_string(), why };
        if file.fix.most() == Ceiling::Ticket {
            return Err(refuse("this fix is never done by a machine: it is a ticket"));
        }
        let others = self.store.remediations(Some(plan.at.resource.as_str()), None, 100).await?;
        if let Some(other) = others.iter().find(|other| !other.state.is_final()) {
            return Err(PipelineError::Busy { resource: plan.at.resource.to_string(), id: other.id.to_string() });
        }
        self.let_be(&plan).await?;
        let id = self.next_id();
        let remedy = self.remedy(file, plan.at.clone(), &plan.params)?;
        let lease = self.take_up(&id, plan.at.resource.as_str()).await?;
        let begun = remedy.begin(&id, plan, by, &StoreJournal { store: &*self.store, lease: &lease }).await;
        if let Err(error) = &begun {
            // Where the store broke off, it may have been kept: then it goes on, or else ends there.
            let broke = matches!(error, RemedyError::Store(StoreError::Failed { .. }));
            let again = After::Again { at: self.now(), why: whole(error) };
            self.store.leave(&lease, if broke { &again } else { &After::Done }, self.now()).await?;
        }
        Ok(begun?)
    }

    /// Holds, exemptions and objections are for people, too.
    async fn let_be(&self, plan: &Plan) -> Result<(), PipelineError> {
        let now = self.now();
        let resource = plan.at.resource.as_str();
        let assessed = plan.at.via.as_ref().map_or(resource, ResourceId::as_str);
        let account = plan.at.account.as_ref();
        let about = About { setting: &plan.fix, assessed, changed: resource, account, rule: None, since: now, now };
        let tally = self.store.tally(&about).await?;
        let resource = resource.to_owned();
        let tagged = match tally.holds.iter().any(|hold| hold.tag().is_some()) {
            true => guard::Tagged::read(&plan.at, None, &*self.facts, now).await,
            false => guard::Tagged::default(),
        };
        if let Some((hold, unread)) = guard::holding(&tally.holds, &tagged) {
            return Err(PipelineError::Held { resource, unread, hold: Box::new(hold.clone()) });
        }
        let approved = tally.exemptions.into_iter().filter(|exemption| exemption.approved.is_some());
        if let Some(exemption) = approved.max_by_key(|exemption| exemption.until) {
            return Err(PipelineError::Exempted { resource, exemption: Box::new(exemption) });
        }
        for problem in self.store.find(assessed).await? {
            let objected = problem.announced.as_ref().and_then(|announced| announced.objected.as_ref());
            if let Some(word) = objected.filter(|_| problem.setting.as_str() == &*plan.fix) {
                let why = word.why.as_deref().unwrap_or("without a reason").to_owned();
                return Err(PipelineError::Opposed {
                    resource,
                    by: word.by.to_string(),
                    why,
                    problem: problem.id.to_string(),
                });
            }
        }
        Ok(())
    }

    /// Takes up a remediation, unless somebody else is at it.
    pub(crate) async fn take_up(&self, id: &str, resource: &str) -> Result<Lease, PipelineError> {
        let now = self.now();
        let until = now.saturating_add(LEASE).unwrap_or(Timestamp::MAX);
        let lease = self.store.lease(id, &self.holder, now, until).await?;
        lease.ok_or_else(|| PipelineError::Taken { id: id.to_owned(), resource: resource.to_owned() })
    }

    /// Takes a remediation on until it is done or has to wait.
    ///
    /// # Errors
    /// When reading fails or the record cannot be kept: the next call goes on from there.
    pub async fn advance(&self, r: &mut Remediation, deadline: Option<Timestamp>) -> Result<Next, PipelineError> {
        let lease = self.take_up(&r.id, r.plan.at.resource.as_str()).await?;
        // INVARIANT: what was not asked for by hand is written only where the guards let it, whoever goes on.
        if self.needs_permit(r)
            && let Some(after) = self.permit(r, &lease).await?
        {
            self.store.leave(&lease, &after, self.now()).await?;
            return Ok(Next::Done);
        }
        let next = self.advance_with(r, &lease, deadline).await;
        self.hand_back(&lease, r, &next).await?;
        next
    }

    /// Gives a lease back after a step, unless there is more to do at once.
    async fn hand_back<E: std::error::Error>(
        &self,
        lease: &Lease,
        r: &Remediation,
        next: &Result<Next, E>,
    ) -> Result<(), PipelineError> {
        let after = match next {
            Ok(Next::Again { .. }) => return Ok(()),
            Ok(Next::Done) => self.after(r),
            // It goes on by itself where that is allowed, else by the same command, which need not wait until
            // the lease runs out.
            Err(error) => After::Again { at: self.now(), why: whole(error) },
        };
        let left = self.store.leave(lease, &after, self.now()).await;
        // The first error is the one to tell.
        if next.is_ok() { Ok(left?) } else { Ok(()) }
    }

    /// The same for whoever has the lease.
    pub(crate) async fn advance_with(
        &self,
        r: &mut Remediation,
        lease: &Lease,
        deadline: Option<Timestamp>,
    ) -> Result<Next, PipelineError> {
        let journal = StoreJournal { store: &*self.store, lease };
        Ok(self.remedy_of(r)?.advance(r, &journal, deadline).await?)
    }

    /// What is to be done about a remediation when nothing more is written: what closes a problem is
    /// confirmed by its source.
    pub(crate) fn after(&self, r: &Remediation) -> After {
        match (&r.problem, r.state) {
            // The resource changed since: whoever was asked is asked again, with what is there now. Where nobody
            // answered in time, somebody must say first that they will.
            (Some(problem), State::Superseded) if r.answer.as_ref().is_none_or(|answer| answer.approved) => {
                let late = r.answer.is_none() && r.until.is_some_and(|until| until <= self.now());
                let parked = r.why.clone().filter(|_| late);
                After::Afresh { problem: problem.to_string(), at: add(self.now(), LATER), parked }
            }
            // What was denied or undone is left alone for a while, and then looked at again.
            (Some(problem), State::Superseded | State::Undone) => {
                let at = add(r.changed, self.limits.guards.undone);
                After::Afresh { problem: problem.to_string(), at, parked: None }
            }
            (_, State::Parked) => After::Parked { why: r.why.clone().unwrap_or_else(|| "a person must look".into()) },
            (Some(_), State::Set) => {
                After::Later { at: r.changed.saturating_add(self.limits.confirm_within).unwrap_or(Timestamp::MAX) }
            }
            (_, State::AwaitingApproval) => After::Later { at: r.until.unwrap_or_else(|| self.now()) },
            (_, state) if state.is_at_it() => After::Later { at: self.now() },
            _ => After::Done,
        }
    }

    /// Undoes a remediation for somebody, as far as it can be done now; [`Self::advance`] goes on.
    ///
    /// # Errors
    /// When there is nothing to undo, or as for [`Self::advance`].
    pub async fn undo(
        &self,
        r: &mut Remediation,
        by: &str,
        deadline: Option<Timestamp>,
    ) -> Result<Next, PipelineError> {
        let remedy = self.remedy_of(r)?;
        // Before anything is taken up: what cannot be undone goes its own way.
        remedy.can_be_undone(r)?;
        let others = self.store.remediations(Some(r.plan.at.resource.as_str()), None, 100).await?;
        if let Some(other) = others.iter().find(|other| other.id != r.id && other.state.is_at_it()) {
            return Err(PipelineError::Busy { resource: r.plan.at.resource.to_string(), id: other.id.to_string() });
        }
        let lease = self.take_up(&r.id, r.plan.at.resource.as_str()).await?;
        let journal = StoreJournal { store: &*self.store, lease: &lease };
        if r.state != State::Undoing {
            r.undo_by = Some(by.into());
        }
        let next = remedy.undo(r, &journal, deadline).await;
        self.hand_back(&lease, r, &next).await?;
        Ok(next?)
    }

    /// The remediation whose id starts with `id`.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub async fn remediation(&self, id: &str) -> Result<Remediation, PipelineError> {
        let mut found = self.store.find_remediations(id).await?;
        match (found.pop(), found.is_empty()) {
            (Some(one), true) => Ok(one),
            (Some(_), false) => Err(PipelineError::NotFound {
                what: "remediation",
                name: id.to_owned(),
                hint: "more than one id starts like this: write more of it",
            }),
            (None, _) => Err(PipelineError::NotFound {
                what: "remediation",
                name: id.to_owned(),
                hint: "`amend remediations` lists them",
            }),
        }
    }

    pub(crate) fn remedy(&self, file: &FixFile, at: At, params: &Map<String, Value>) -> Result<Remedy, RemedyError> {
        let fix = Arc::new(file.fix.clone());
        Remedy::new(fix, at, params, Arc::clone(&self.cloud), Arc::clone(&self.clock))
    }

    /// The engine for a remediation that was begun with the fix as it was then.
    fn remedy_of(&self, r: &Remediation) -> Result<Remedy, PipelineError> {
        let file = self.fix(&r.plan.fix)?;
        // INVARIANT: what one fix began is not gone on with by another.
        if file.fix.digest != r.plan.fix_digest {
            let why = "the fix has changed since the remediation was begun; go on with the version of Amend that began it, or by hand";
            return Err(PipelineError::PlanRefused { fix: r.plan.fix.to_string(), why });
        }
        Ok(self.remedy(file, r.plan.at.clone(), &r.plan.params)?)
    }
}

/// Where a resource is: what its name tells, and what was said.
///
/// # Errors
/// When the fix is not for such a resource, or what is said contradicts its name.
pub(crate) fn at(fix: &Fix, place: &Where) -> Result<At, RemedyError> {
    let resource = ResourceId::new(&place.resource);
    let target = match fix.assessed(&resource) {
        Some(target) => target,
        None => target_of(fix, &resource)?,
    };
    let cloud = fix.cloud();
    let fails = |message: String, hint: &'static str| RemedyError::Place { message, hint };
    // What is said may add to what the name tells, and not contradict it.
    let settle = |what: &str, told: Option<&str>, said: Option<&str>| match (told, said) {
        (Some(told), Some(said)) if !told.eq_ignore_ascii_case(said) => Err(fails(
            format!("`{resource}` is in {what} {told}, not {said}"),
            "leave it out, or name the other resource",
        )),
        (told, said) => Ok(told.or(said).map(ToOwned::to_owned)),
    };
    let word = cloud.account_word();
    let account = match cloud {
        amend_domain::Cloud::Aws => {
            let number = settle(word, target.part("account"), place.account.as_deref())?;
            let number = number
                .ok_or_else(|| fails(format!("the account of `{resource}` is not known"), "say it with `--account`"))?;
            let account = AccountId::aws(&number);
            Some(account.ok_or_else(|| fails(format!("`{number}` is no AWS account"), "it has twelve digits"))?)
        }
        amend_domain::Cloud::Azure => {
            let native = AccountId::azure(resource.as_str());
            settle(word, native.as_ref().map(AccountId::native), place.account.as_deref())?;
            native
        }
        _ => settle(word, target.part("project"), place.account.as_deref())?.as_deref().and_then(AccountId::gcp),
    };
    let region =
        settle("region", target.part("region"), place.region.as_deref())?.map(|region| region.to_ascii_lowercase());
    if let Some(region) = &region
        && !region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    {
        return Err(fails(format!("`{region}` is no region"), "such as `eu-west-1`"));
    }
    if cloud == amend_domain::Cloud::Aws && region.is_none() {
        return Err(fails(format!("the region of `{resource}` is not known"), "say it with `--region`"));
    }
    let region = region.map(Into::into);
    Ok(At { resource, cloud, account, region, via: None })
}

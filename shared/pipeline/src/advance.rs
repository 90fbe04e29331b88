//! What happens after a decision, when its time has come: plan, go as far as the rule lets, read back,
//! have the source confirm it. One piece of work at a time, each by whoever takes it up.

use amend_domain::{
    Problem,
    guard::{Check, Says, strictest},
    plan::{Asked, Decided, Plan, Remediation, State, Verdict},
    problem::{Closed, State as ProblemState},
    rule::Mode,
    work::{After, Lease, Work, WorkKind},
};
use amend_store::StoreError;
use jiff::{SignedDuration, Timestamp};
use serde_json::Map;
use tracing::{info, warn};

use crate::{
    PipelineError, WhatNow,
    fixer::Fixer,
    guard,
    remedy::{FirstRecord, LEASE, Next, RemedyError},
};

/// The first wait before work is tried again; each next one is twice as long.
const FIRST_WAIT: SignedDuration = SignedDuration::from_secs(30);
/// The longest.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(1);
/// After so many attempts that did not get on, a person must look.
const MOST_ATTEMPTS: u32 = 12;
/// When what was only shown is looked at again: more may be allowed by then.
const SHOWN: SignedDuration = SignedDuration::from_hours(24);
/// When work is looked at again that somebody or something else must end first.
pub(crate) const LATER: SignedDuration = SignedDuration::from_mins(2);

impl Fixer {
    /// Does the most urgent piece of work that is due. Starts no write near the `deadline`. Returns what
    /// it was; nothing, where nothing is due, or nothing may be begun.
    ///
    /// # Errors
    /// When the store does not answer; whatever was begun goes on later.
    pub async fn work(&self, deadline: Option<Timestamp>) -> Result<Option<(Work, After)>, PipelineError> {
        if self.limits.most.is_none() || self.store().stopped().await?.is_some() {
            return Ok(None);
        }
        let now = self.now();
        let Some((work, lease)) = self.store().claim(WorkKind::FIXING, self.holder(), now, add(now, LEASE)).await?
        else {
            return Ok(None);
        };
        let done = match work.kind {
            WorkKind::Remedy => self.remedy_problem(&work, &lease).await,
            _ => self.advance_remediation(&work, &lease, deadline).await,
        };
        let after = match done {
            Ok(after) => after,
            // The lease is somebody else's by now, and so is the work.
            Err(PipelineError::Store(StoreError::Overtaken { .. })) => return Ok(Some((work, After::Done))),
            Err(PipelineError::Remedy(RemedyError::Store(StoreError::Overtaken { .. }))) => {
                return Ok(Some((work, After::Done)));
            }
            Err(error) => put_off(&work, &error, self.now()),
        };
        self.store().leave(&lease, &after, self.now()).await?;
        info!(work = work.key, ?after, "work");
        Ok(Some((work, after)))
    }

    /// Plans what would close a problem, and begins what its rule lets.
    async fn remedy_problem(&self, work: &Work, lease: &Lease) -> Result<After, PipelineError> {
        let Some(problem) = self.problem(&work.subject).await? else { return Ok(After::Done) };
        // What was wanted then may not be wanted now.
        let Some(begins) = problem.fix_begins() else { return Ok(After::Done) };
        if begins > self.now() {
            return Ok(After::Later { at: begins });
        }
        // A setting without a fix is for a ticket.
        let Ok(file) = self.fix_of(&problem) else { return Ok(After::Done) };
        let ours = self.store().remediations_of(problem.id.as_str()).await?;
        // The source may say for a day what is not so any more.
        let window = |r: &Remediation| r.state == State::Set && add(r.changed, self.limits.confirm_within) > self.now();
        if ours.iter().any(|r| window(r) || !r.state.is_final()) {
            return Ok(After::Done);
        }
        let plan = self.plan_problem(&problem, &Map::new()).await?;
        match &plan.verdict {
            Verdict::Compliant => return Ok(After::Done),
            Verdict::Refused { why } => return Ok(After::Parked { why: why.clone() }),
            Verdict::Write => {}
        }
        let policy = problem.decision.fix.map_or(Mode::Observe, |policy| policy.mode);
        let ceiling = match file.fix.most() {
            amend_domain::fix::Ceiling::Ticket => Mode::Observe,
            amend_domain::fix::Ceiling::Approve => Mode::Approve,
            amend_domain::fix::Ceiling::Enforce => Mode::Enforce,
        };
        let mode = policy.min(ceiling).min(self.limits.most.unwrap_or(Mode::Observe));
        // The same plan shown again is no news.
        let shown = |r: &Remediation| r.state == State::Observed && r.plan.digest == plan.digest;
        if mode == Mode::Observe && ours.iter().any(shown) {
            return Ok(After::Later { at: add(self.now(), SHOWN) });
        }
        let earlier = self.store().remediations(Some(plan.at.resource.as_str()), None, 100).await?;
        let checks = self.guards(&problem, &plan, &earlier).await?;
        let mode = match strictest(&checks) {
            // What is only shown may be shown.
            _ if mode == Mode::Observe => mode,
            None => mode,
            Some(Check { says: Says::Pass | Says::Ask, .. }) => mode.min(Mode::Approve),
            Some(Check { says: Says::Wait { until }, guard, why }) => {
                return Ok(After::Held { at: *until, why: format!("{guard}: {why}") });
            }
            Some(Check { says: Says::No, guard, why }) => return Ok(After::Parked { why: format!("{guard}: {why}") }),
        };
        // Who is asked needs no announcement, and is asked when the rule says.
        match problem.fix_is_wanted().filter(|wanted| *wanted > self.now()) {
            Some(wanted) if mode != Mode::Enforce => return Ok(After::Later { at: wanted }),
            _ => {}
        }
        if mode == Mode::Enforce
            && let Some(after) = self.announce(&problem, &plan, &ours).await?
        {
            return Ok(after);
        }
        self.begin_for(&problem, plan, mode, checks, lease).await
    }

    /// Begins a remediation of a problem. The work that it came of ends in the same transaction.
    async fn begin_for(
        &self,
        problem: &Problem,
        plan: Plan,
        mode: Mode,
        checks: Vec<Check>,
        lease: &Lease,
    ) -> Result<After, PipelineError> {
        let file = self.fix_of(problem)?;
        let asked = Asked {
            by: "amend".into(),
            problem: Some(problem.id.clone()),
            rule: problem.decision.rule.clone(),
            decided: Some(Decided { rule_set: problem.decision.rule_set.clone(), why: problem.decision.why.clone() }),
            mode: Some(mode),
            checks,
            until: (mode == Mode::Approve).then(|| add(self.now(), self.limits.approve_within)),
        };
        let remedy = self.remedy(file, plan.at.clone(), &plan.params)?;
        let budget = self.limits.guards.budget(self.now());
        let first = FirstRecord { store: self.store(), from: lease, budget };
        match remedy.begin(&self.next_id(), plan, asked, &first).await {
            Ok(_) => Ok(After::Done),
            // Another remediation of the resource goes on: it may do this, too.
            Err(RemedyError::Store(StoreError::Overtaken { .. })) => Ok(After::Later { at: add(self.now(), LATER) }),
            // Others began as much as may be since the guards were asked.
            Err(RemedyError::Store(StoreError::Spent { why })) => {
                Ok(After::Held { at: add(self.now(), guard::SPENT), why: format!("budget: {why}") })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Takes a remediation from its state to the next.
    async fn advance_remediation(
        &self,
        work: &Work,
        lease: &Lease,
        deadline: Option<Timestamp>,
    ) -> Result<After, PipelineError> {
        let Some(mut r) =
            self.store().find_remediations(&work.subject).await?.into_iter().find(|r| *r.id == *work.subject)
        else {
            return Ok(After::Done);
        };
        match r.state {
            State::Set => return self.confirm_late(&mut r, lease).await,
            State::AwaitingApproval => return self.nobody_answered(&mut r, lease).await,
            _ if self.needs_permit(&r) => {
                if let Some(after) = self.permit(&mut r, lease).await? {
                    return Ok(after);
                }
            }
            _ => {}
        }
        Ok(match self.advance_with(&mut r, lease, deadline).await? {
            Next::Again { at } => After::Later { at },
            Next::Done => self.after(&r),
        })
    }

    /// Asks every guard.
    async fn guards(
        &self,
        problem: &Problem,
        plan: &Plan,
        earlier: &[Remediation],
    ) -> Result<Vec<Check>, PipelineError> {
        let now = self.now();
        let tally = self.store().tally(&guard::about(problem, plan, now)).await?;
        let settings = &self.limits.guards;
        let closes = self.fix_of(problem)?.fix.closes.as_slice();
        let sight = guard::Sight { settings, problem, plan, closes, earlier, tally: &tally, now };
        Ok(guard::ask(&sight, self.cloud(), &*self.facts).await)
    }

    /// Whether guards must let it before it goes on: what a person asked for by hand needs none, and what
    /// has begun to write goes on.
    pub(crate) fn needs_permit(&self, r: &Remediation) -> bool {
        let begins = r.state == State::Planned || r.state == State::Applying && r.made.is_empty();
        begins && r.problem.is_some()
    }

    /// Asks the guards again, just before it begins to write. Nothing, where all let it.
    pub(crate) async fn permit(&self, r: &mut Remediation, lease: &Lease) -> Result<Option<After>, PipelineError> {
        let Some(id) = r.problem.clone() else { return Ok(None) };
        let problem = self.problem(id.as_str()).await?.filter(|problem| problem.state == ProblemState::Open);
        let gone = match &problem {
            None => Some("the problem is not there any more"),
            Some(problem) if problem.fix_begins().is_none() => Some("its rule does not want it any more"),
            Some(problem) if r.mode == Some(Mode::Enforce) && problem.fix_begins() > Some(self.now()) => {
                Some("it was put off")
            }
            Some(problem) if problem.decision.fix.is_none_or(|fix| fix.mode == Mode::Observe) => {
                Some("its rule only observes by now")
            }
            Some(_) => None,
        };
        let Some(problem) = problem.filter(|_| gone.is_none()) else {
            self.step(r, State::Superseded, gone.map(Into::into), lease).await?;
            // It may be wanted again since: that is looked at afresh.
            return Ok(Some(self.after(r)));
        };
        if self.limits.most.is_none_or(|most| most < Mode::Approve) {
            let why = "`remediate.most` lets nothing be written".to_owned();
            return Ok(Some(After::Held { at: add(self.now(), SignedDuration::from_mins(10)), why }));
        }
        let mut earlier = self.store().remediations(Some(r.plan.at.resource.as_str()), None, 100).await?;
        earlier.retain(|other| other.id != r.id);
        let mut checks = self.guards(&problem, &r.plan, &earlier).await?;
        let approved = r.answer.as_ref().is_some_and(|answer| answer.approved);
        // It counts against the budget since it was begun; what a person approved does not.
        checks.retain(|check| &*check.guard != "budget");
        let seen = std::mem::replace(&mut r.checks, checks);
        // INVARIANT: a person's word counts for what they saw: a guard that asks since then asks anew.
        let answered = |check: &Check| {
            let same = |other: &Check| other.guard == check.guard && other.says == Says::Ask && other.why == check.why;
            approved && check.says == Says::Ask && seen.iter().any(same)
        };
        let open: Vec<Check> = r.checks.iter().filter(|check| !answered(check)).cloned().collect();
        let Some(said) = strictest(&open).cloned() else { return Ok(None) };
        let why = format!("{}: {}", said.guard, said.why);
        match said.says {
            Says::Wait { until } => Ok(Some(After::Held { at: until, why })),
            Says::Pass | Says::Ask => {
                r.answer = None;
                r.until = Some(add(self.now(), self.limits.approve_within));
                self.step(r, State::AwaitingApproval, Some(why), lease).await?;
                Ok(r.until.map(|at| After::Later { at }))
            }
            Says::No => {
                self.step(r, State::Blocked, Some(why), lease).await?;
                Ok(Some(After::Done))
            }
        }
    }

    /// The time in which a person had to say whether it may be done is over: it is not done.
    async fn nobody_answered(&self, r: &mut Remediation, lease: &Lease) -> Result<After, PipelineError> {
        if let Some(until) = r.until.filter(|until| *until > self.now()) {
            return Ok(After::Later { at: until });
        }
        let problem = match &r.problem {
            Some(id) => self.problem(id.as_str()).await?,
            None => None,
        };
        if problem.is_none_or(|problem| problem.state != ProblemState::Open) {
            r.until = None;
            self.step(r, State::Superseded, Some("the problem is not there any more".into()), lease).await?;
            return Ok(After::Done);
        }
        warn!(remediation = &*r.id, "nobody said whether it may be done");
        let hours = self.limits.approve_within.as_hours();
        let why = format!("nobody said within {hours} h whether it may be done, so it was not");
        self.step(r, State::Superseded, Some(why), lease).await?;
        Ok(self.after(r))
    }

    /// Takes a remediation to a state without asking a cloud.
    async fn step(
        &self,
        r: &mut Remediation,
        state: State,
        why: Option<String>,
        lease: &Lease,
    ) -> Result<(), PipelineError> {
        self.keep_step(r, state, why, lease, self.now()).await
    }

    pub(crate) async fn keep_step(
        &self,
        r: &mut Remediation,
        state: State,
        why: Option<String>,
        lease: &Lease,
        now: Timestamp,
    ) -> Result<(), PipelineError> {
        (r.state, r.why, r.changed) = (state, why, now);
        r.revision = r.revision.saturating_add(1);
        Ok(self.store().keep_remediation(r, lease, add(now, LEASE)).await?)
    }

    /// The time in which the source had to say so, too, is over.
    async fn confirm_late(&self, r: &mut Remediation, lease: &Lease) -> Result<After, PipelineError> {
        let ends = add(r.changed, self.limits.confirm_within);
        let problem = match &r.problem {
            Some(id) => self.problem(id.as_str()).await?,
            None => None,
        };
        match problem.map(|problem| problem.state) {
            Some(ProblemState::Open) => {}
            // Whoever recorded that could not open this.
            Some(ProblemState::Closed(Closed::Healthy)) => {
                self.step(r, State::Healthy, None, lease).await?;
                return Ok(After::Done);
            }
            _ => return Ok(After::Done),
        }
        if ends > self.now() {
            return Ok(After::Later { at: ends });
        }
        let hours = self.limits.confirm_within.as_hours();
        let why = format!("the setting reads back as planned, and after {hours} h the source still says otherwise");
        self.step(r, State::Parked, Some(why), lease).await?;
        Ok(self.after(r))
    }

    async fn problem(&self, id: &str) -> Result<Option<Problem>, PipelineError> {
        let found = self.store().find(id).await?;
        Ok(found.into_iter().find(|problem| problem.id.as_str() == id))
    }
}

/// An error with its causes, on one line.
pub(crate) fn whole(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    std::iter::once(error.to_string()).chain(causes.map(ToString::to_string)).collect::<Vec<_>>().join(": ")
}

/// What becomes of work that did not get on.
pub(crate) fn put_off(work: &Work, error: &PipelineError, now: Timestamp) -> After {
    let why = whole(error);
    warn!(work = work.key, why, "work did not get on");
    // Whoever stopped it, here or where its executor is, lets it go on.
    let stopped = match error {
        PipelineError::Store(StoreError::Stopped(_))
        | PipelineError::Remedy(RemedyError::Store(StoreError::Stopped(_))) => true,
        PipelineError::Remedy(RemedyError::Read { source, .. } | RemedyError::NotAttested { source, .. }) => {
            source.is_stopped()
        }
        _ => false,
    };
    match error.what_now() {
        WhatNow::Retry if stopped => After::Later { at: add(now, LATER) },
        WhatNow::Retry if work.attempts < MOST_ATTEMPTS => {
            let doublings = work.attempts.saturating_sub(1).min(16);
            let wait = FIRST_WAIT.saturating_mul(1_i32.checked_shl(doublings).unwrap_or(i32::MAX)).min(LONGEST_WAIT);
            After::Again { at: add(now, wait), why }
        }
        WhatNow::Retry | WhatNow::Park | WhatNow::Refuse => After::Parked { why },
    }
}

/// `at` and some time.
pub(crate) fn add(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.saturating_add(by).unwrap_or(Timestamp::MAX)
}

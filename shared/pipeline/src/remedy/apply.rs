//! From a plan to settings that read back as planned, one kept step after the other.

use std::time::Duration;

use amend_cloud::{CallError, Effect};
use amend_domain::{
    digest,
    plan::{Asked, Change, Made, MadeOutcome, Plan, PlannedCall, Remediation, Standing, State, Verdict},
    rule::Mode,
    task::{Order, Step},
};
use amend_models::Call;
use jiff::{SignedDuration, Timestamp};
use serde_json::Map;

use super::{
    Journal, Next, Observed, Remedy, RemedyError,
    journal::{Kept, LEASE},
};

/// How often a call is sent that reading shows not to have been done.
pub(super) const MOST_TRIES: usize = 2;
/// No call is waited for any longer. Well below what a lease lasts.
const LONGEST_CALL: Duration = Duration::from_secs(120);

/// So long before its lease ends nobody waits for a call any more.
const SPARE: SignedDuration = SignedDuration::from_secs(10);
/// No call is begun with less than this left until the deadline.
pub(super) const MARGIN: Duration = Duration::from_secs(10);

impl Remedy {
    /// A remediation that does what `plan` says. Nothing is written yet.
    ///
    /// # Errors
    /// When the plan has nothing to write, or the record cannot be kept.
    pub async fn begin(
        &self,
        id: &str,
        plan: Plan,
        asked: impl Into<Asked>,
        journal: &dyn Journal,
    ) -> Result<Remediation, RemedyError> {
        let now = self.now();
        let Asked { by, problem, rule, decided, mode, until, checks } = asked.into();
        let mut remediation = Remediation {
            id: id.into(),
            plan,
            by,
            problem,
            rule,
            decided,
            mode,
            checks,
            undo_by: None,
            answer: None,
            state: match mode {
                Some(Mode::Observe) => State::Observed,
                Some(Mode::Approve) => State::AwaitingApproval,
                Some(Mode::Enforce) | None => State::Planned,
            },
            revision: 0,
            begun: now,
            changed: now,
            set: None,
            made: Vec::new(),
            due: None,
            until,
            failing: false,
            attest: None,
            back: Vec::new(),
            why: None,
            found: Map::new(),
        };
        if remediation.plan.verdict != Verdict::Write {
            return Err(self.state(&remediation, "its plan has nothing to write"));
        }
        let _: Kept = self.keep(&mut remediation, journal).await?;
        Ok(remediation)
    }

    /// Takes a remediation on until it is done or has to wait. Starts no write near the `deadline`.
    ///
    /// # Errors
    /// When reading fails or the record cannot be kept: the next call goes on from there.
    pub async fn advance(
        &self,
        remediation: &mut Remediation,
        journal: &dyn Journal,
        deadline: Option<Timestamp>,
    ) -> Result<Next, RemedyError> {
        // INVARIANT: whatever was known before a pause is looked at again before anything is written.
        if remediation.state == State::Applying {
            if remediation.made.is_empty() {
                remediation.state = State::Planned;
            } else if self.paused(remediation) {
                self.look_after_pause(remediation, journal).await?;
            }
        }
        loop {
            let wait = match remediation.state {
                State::Planned => self.confirm_plan(remediation, journal).await?,
                State::Applying => self.next_call(remediation, journal, deadline).await?,
                State::Applied => self.verify(remediation, journal).await?,
                State::Undoing => self.go_back(remediation, journal, deadline).await?,
                // A person must say something first, or nothing happens any more.
                State::AwaitingApproval
                | State::Observed
                | State::Set
                | State::Healthy
                | State::Failed
                | State::Blocked
                | State::Undone
                | State::Superseded
                | State::Parked => return Ok(Next::Done),
            };
            if let Some(at) = wait {
                return Ok(Next::Again { at });
            }
        }
    }

    /// Whether somebody stopped, or died, between two calls.
    fn paused(&self, r: &Remediation) -> bool {
        let since = self.now().duration_since(r.changed);
        since > LEASE && r.made.last().is_some_and(|made| made.outcome == MadeOutcome::Accepted)
    }

    /// After a pause the next call must still be what the resource needs, or it goes back.
    async fn look_after_pause(&self, r: &mut Remediation, journal: &dyn Journal) -> Result<(), RemedyError> {
        let accepted = r.made.iter().filter(|made| made.outcome == MadeOutcome::Accepted).count();
        let Some(next) = r.plan.calls.get(accepted) else { return Ok(()) };
        let observed = self.observe().await?;
        if self.plan_for(&observed)?.calls.contains(next) {
            return Ok(());
        }
        let why = "it was interrupted, and the resource changed meanwhile".to_owned();
        self.fail(r, why, journal).await.map(|_| ())
    }

    /// Reads again, just before the first write. A resource that changed since needs a new plan.
    async fn confirm_plan(&self, r: &mut Remediation, journal: &dyn Journal) -> Result<Option<Timestamp>, RemedyError> {
        let observed = self.observe().await?;
        let fresh = self.plan_for(&observed)?;
        // INVARIANT: what is written is what was planned, to a resource that is as it was planned for.
        if fresh.digest == r.plan.digest {
            self.have_it_attested(r).await?;
        } else {
            r.state = State::Superseded;
            r.why = Some(match fresh.verdict {
                Verdict::Compliant => "the resource is as it should be by now".to_owned(),
                Verdict::Refused { why } => why,
                Verdict::Write => CHANGED.to_owned(),
            });
        }
        let _: Kept = self.keep(r, journal).await?;
        Ok(None)
    }

    /// Where somebody else writes, they look for themselves before it begins, and what they say is kept: they undo
    /// nothing else.
    async fn have_it_attested(&self, r: &mut Remediation) -> Result<(), RemedyError> {
        (r.state, r.why) = match self.cloud.attest(&self.place(Some(r), 0), &Order::of(r)).await {
            Ok(attest) => {
                r.attest = attest;
                (State::Applying, None)
            }
            Err(CallError::Changed { .. }) => (State::Superseded, Some(CHANGED.to_owned())),
            Err(error) if error.may_pass() => {
                let (fix, resource) = (self.fix.id.to_string(), self.at.resource.to_string());
                return Err(RemedyError::NotAttested { fix, resource, source: Box::new(error) });
            }
            Err(error @ CallError::Declined { .. }) => (State::Blocked, Some(error.to_string())),
            Err(error) => (State::Failed, Some(error.to_string())),
        };
        Ok(())
    }

    async fn next_call(
        &self,
        r: &mut Remediation,
        journal: &dyn Journal,
        deadline: Option<Timestamp>,
    ) -> Result<Option<Timestamp>, RemedyError> {
        if let Some(last) = r.made.last()
            && last.outcome == MadeOutcome::Sent
        {
            return self.find_out(r, journal).await;
        }
        let accepted = r.made.iter().filter(|made| made.outcome == MadeOutcome::Accepted).count();
        if let Some(wait) = self.wait_for(r, accepted, journal).await? {
            return Ok(Some(wait));
        }
        if r.state != State::Applying {
            return Ok(None);
        }
        let Some(planned) = r.plan.calls.get(accepted).cloned() else {
            r.state = State::Applied;
            r.until = Some(later(self.now(), self.fix.verify_within));
            let _: Kept = self.keep(r, journal).await?;
            return Ok(None);
        };
        self.send(r, &planned, accepted, false, journal, deadline).await
    }

    /// Makes one call: kept as sent before it is, and with its outcome after.
    pub(super) async fn send(
        &self,
        r: &mut Remediation,
        planned: &PlannedCall,
        index: usize,
        undo: bool,
        journal: &dyn Journal,
        deadline: Option<Timestamp>,
    ) -> Result<Option<Timestamp>, RemedyError> {
        let now = self.now();
        if deadline.is_some_and(|deadline| later(now, MARGIN) > deadline) {
            return Ok(Some(now));
        }
        let call = Call::find(&planned.call)?;
        r.made.push(Made {
            call: planned.call.clone(),
            digest: digest::digest(&planned.with)?.into(),
            changes: planned.changes.clone(),
            index,
            undo,
            at: now,
            outcome: MadeOutcome::Sent,
        });
        r.until = Some(later(now, self.fix.verify_within));
        let kept = self.keep(r, journal).await?;
        let step = Step { call: planned.clone(), index, undo, attest: r.attest.clone() };
        let outcome = self.write(kept, r, &call, &step).await;
        // Where nobody knows, only reading tells, and not at once.
        let look = match outcome {
            Ok(outcome) => {
                if let Some(made) = r.made.last_mut() {
                    made.outcome = outcome;
                }
                None
            }
            // The executor found another resource, and nothing was sent before: it is to be planned again.
            Err(Unknown { why, changed: true, .. }) if !undo && r.made.len() == 1 => {
                if let Some(made) = r.made.last_mut() {
                    made.outcome = MadeOutcome::Refused { why };
                }
                (r.state, r.why) = (State::Superseded, Some(CHANGED.to_owned()));
                let _: Kept = self.keep(r, journal).await?;
                return Ok(None);
            }
            Err(Unknown { why, throttled, .. }) => {
                r.why = Some(why);
                let now = self.now();
                // What goes on at the cloud has its time from now on. A cloud that is busy is left alone.
                let (until, look) = if throttled {
                    (later(now, THROTTLED), later(now, THROTTLED))
                } else {
                    (later(now, self.fix.verify_within), later(now, Duration::from_secs(1)))
                };
                r.until = Some(until);
                Some(look)
            }
        };
        let _: Kept = self.keep(r, journal).await?;
        if let Some(MadeOutcome::Refused { why }) = r.made.last().map(|made| made.outcome.clone()) {
            return self.fail(r, why, journal).await;
        }
        Ok(look)
    }

    /// The one place where anything is written. INVARIANT: a write needs a kept record, which holds
    /// what was there before.
    ///
    /// Where nobody knows whether it was done, that is the error.
    async fn write(&self, _: Kept, r: &Remediation, call: &Call, step: &Step) -> Result<MadeOutcome, Unknown> {
        let unknown = |why: String| Unknown { why, throttled: false, changed: false };
        // INVARIANT: a call ends before the lease does, or nobody waits for it any more; whoever slept or
        // waited for the store meanwhile sends nothing.
        let left = LEASE.saturating_sub(self.now().duration_since(r.changed)).saturating_sub(SPARE);
        let Some(left) = Duration::try_from(left).ok().filter(|left| !left.is_zero()) else {
            return Err(unknown(format!("`{}` was not sent: keeping its record took too long", call.name())));
        };
        let longest = LONGEST_CALL.min(left);
        let place = self.place(Some(r), step.index);
        let order = Order::of(r);
        let Ok(answer) = tokio::time::timeout(longest, self.cloud.write(&place, call, &order, step)).await else {
            return Err(unknown(format!("`{}` gave no answer within {} s", call.name(), longest.as_secs())));
        };
        match answer {
            Ok(_) => Ok(MadeOutcome::Accepted),
            // Reading tells how it stands, and whether that is our own doing.
            Err(error @ CallError::Changed { .. }) => {
                Err(Unknown { why: error.to_string(), throttled: false, changed: true })
            }
            // It was not done, and may be later.
            Err(error) if error.effect() == Effect::None && error.may_pass() => {
                Err(Unknown { why: error.to_string(), throttled: true, changed: false })
            }
            Err(error) if error.effect() == Effect::None => Ok(MadeOutcome::Refused { why: error.to_string() }),
            Err(error) => {
                tracing::warn!(remediation = %r.id, call = %call.name(), %error, "it is not known whether a call was done");
                Err(unknown(error.to_string()))
            }
        }
    }

    /// Whether a call was done whose answer nobody has: a plan for what is there now tells. It was done
    /// where it is no longer needed.
    async fn find_out(&self, r: &mut Remediation, journal: &dyn Journal) -> Result<Option<Timestamp>, RemedyError> {
        let observed = self.observe().await?;
        let fresh = self.plan_for(&observed)?;
        let Some(made) = r.made.last().cloned() else { return Ok(None) };
        let planned = r.plan.calls.get(made.index);
        let needed = planned.is_some_and(|planned| fresh.calls.contains(planned));
        // The same step with other arguments: it was not done, and the resource is another by now.
        let once = |step: usize| self.fix.writes.get(step).is_some_and(|write| write.for_each.is_none());
        let changed = planned.is_some_and(|planned| {
            !needed && once(planned.step) && fresh.calls.iter().any(|other| other.step == planned.step)
        });
        // Where a precondition does not hold, there is no plan to tell: the settings do.
        let untold = matches!(fresh.verdict, Verdict::Refused { .. })
            && standing(&r.plan, &observed, &made.changes) != Standing::Ours;
        let late = r.until.is_none_or(|until| self.now() >= until);
        let outcome = match needed || changed || untold {
            false => MadeOutcome::Accepted,
            true if late => {
                let why = r.why.take().unwrap_or_else(|| format!("`{}` was interrupted", made.call));
                MadeOutcome::Refused { why: format!("{why}; reading shows that it was not done") }
            }
            true => return Ok(Some(later(self.now(), Duration::from_secs(2)))),
        };
        if let Some(last) = r.made.last_mut() {
            last.outcome = outcome.clone();
        }
        if let MadeOutcome::Refused { why } = outcome
            && (changed || untold || tries(r, &made) >= MOST_TRIES)
        {
            return self.fail(r, why, journal).await;
        }
        let _: Kept = self.keep(r, journal).await?;
        Ok(None)
    }

    /// Waits for what the last accepted call asks for before the next.
    async fn wait_for(
        &self,
        r: &mut Remediation,
        accepted: usize,
        journal: &dyn Journal,
    ) -> Result<Option<Timestamp>, RemedyError> {
        let last = accepted.checked_sub(1).and_then(|last| r.plan.calls.get(last));
        let write = last.and_then(|planned| self.fix.writes.get(planned.step));
        let Some((check, within)) = write.and_then(|write| write.wait_until.as_ref()) else { return Ok(None) };
        let observed = self.observe().await?;
        let scope = observed.scope.with("now", observed.now.into()).with("then", r.plan.then().into());
        if check.holds(&scope).map_err(|error| self.formula("wait_until", error))? {
            return Ok(None);
        }
        let since = r.made.last().map_or(r.changed, |made| made.at);
        if self.now() >= later(since, *within) {
            let why = format!("`{}` did not come true within {} s", check.source(), within.as_secs());
            return self.fail(r, why, journal).await;
        }
        let at = later(self.now(), Duration::from_secs(5));
        r.due = Some(at);
        let _: Kept = self.keep(r, journal).await?;
        Ok(Some(at))
    }

    /// Reads back until the settings are as planned, or too much time has passed.
    async fn verify(&self, r: &mut Remediation, journal: &dyn Journal) -> Result<Option<Timestamp>, RemedyError> {
        let observed = self.observe().await?;
        let names: Vec<Box<str>> = r.plan.changes.iter().map(|change| change.setting.clone()).collect();
        let as_planned = standing(&r.plan, &observed, &names) == Standing::Ours;
        if as_planned && observed.compliant {
            (r.state, r.set) = (State::Set, Some(self.now()));
            (r.due, r.until, r.why) = (None, None, None);
            let _: Kept = self.keep(r, journal).await?;
            return Ok(None);
        }
        if r.until.is_some_and(|until| self.now() < until) {
            let at = later(self.now(), Duration::from_secs(2));
            r.due = Some(at);
            let _: Kept = self.keep(r, journal).await?;
            return Ok(Some(at));
        }
        let within = self.fix.verify_within.as_secs();
        let why = if as_planned {
            format!("the settings are as planned, but after {within} s the resource is still not as it should be")
        } else {
            format!("the settings did not read back as planned within {within} s")
        };
        self.fail(r, why, journal).await
    }

    /// Goes back where something was written; ends where nothing was.
    async fn fail(
        &self,
        r: &mut Remediation,
        why: String,
        journal: &dyn Journal,
    ) -> Result<Option<Timestamp>, RemedyError> {
        let undoing = r.state == State::Undoing;
        let wrote = r.made.iter().any(|made| made.outcome == MadeOutcome::Accepted && !made.undo);
        r.why = Some(why);
        r.due = None;
        r.state = match (wrote, undoing) {
            (_, true) => State::Parked,
            (false, _) if is_forbidden(r.why.as_deref().unwrap_or_default()) => State::Blocked,
            (false, _) => State::Failed,
            (true, _) if self.fix.undo.is_empty() => State::Parked,
            (true, _) => {
                r.failing = true;
                r.until = Some(later(self.now(), self.fix.verify_within));
                State::Undoing
            }
        };
        let _: Kept = self.keep(r, journal).await?;
        Ok(None)
    }

    /// Leaves it to a person, with what was found.
    pub(super) async fn park(
        &self,
        r: &mut Remediation,
        observed: &Observed,
        why: &str,
        journal: &dyn Journal,
    ) -> Result<Option<Timestamp>, RemedyError> {
        let before = r.why.take().map_or_else(String::new, |before| format!("{before}; then: "));
        r.why = Some(format!("{before}{why}"));
        r.found = observed.now.clone();
        r.due = None;
        r.state = State::Parked;
        let _: Kept = self.keep(r, journal).await?;
        Ok(None)
    }

    pub(super) fn state(&self, r: &Remediation, message: &'static str) -> RemedyError {
        RemedyError::State { id: r.id.to_string(), state: r.state.as_str(), message }
    }
}

/// Why a plan is not done.
const CHANGED: &str = "the resource, or the fix, changed since this was planned; plan again";

/// Why a call is not known to have been done.
struct Unknown {
    why: String,
    /// The cloud was busy: it was not done, and reading tells whether it is still needed later.
    throttled: bool,
    /// Whoever was to do it found another resource than it was planned for.
    changed: bool,
}

/// How long a cloud that is busy is left alone.
const THROTTLED: Duration = Duration::from_mins(1);

/// What clouds say where a person or a policy forbids a call: trying again does not help, and it says
/// nothing about whether fixes work. Sources: <https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/error-policy-requestdisallowedbypolicy>,
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html>,
/// <https://cloud.google.com/resource-manager/docs/organization-policy/overview#violations>.
const FORBIDDEN: [&str; 7] = [
    // What an executor says of its policy: `CallError::Declined`.
    "` declines: its policy ",
    "RequestDisallowedByPolicy",
    "ScopeLocked",
    "DenyAssignmentAuthorizationFailed",
    "explicit deny in a service control policy",
    "explicit deny in a resource control policy",
    "violates constraint constraints/",
];

fn is_forbidden(why: &str) -> bool {
    FORBIDDEN.iter().any(|words| why.contains(words))
}

/// How often a call was sent.
pub(super) fn tries(r: &Remediation, made: &Made) -> usize {
    r.made.iter().filter(|other| other.index == made.index && other.undo == made.undo).count()
}

/// How settings stand together: ours where all are, as before where all are, else something else.
pub(super) fn standing(plan: &Plan, observed: &Observed, names: &[Box<str>]) -> Standing {
    let real = plan.changes.iter().filter(|change| change.is_real() && names.contains(&change.setting));
    let mut each = real.map(|change| standing_of(observed, change));
    let first = each.next().unwrap_or(Standing::Ours);
    if each.all(|one| one == first) { first } else { Standing::Other }
}

/// How a setting stands now. One that cannot be told is not as anybody left it.
pub(super) fn standing_of(observed: &Observed, change: &Change) -> Standing {
    observed.now.get(&*change.setting).map_or(Standing::Other, |now| change.standing(now))
}

/// `at` and some time.
pub(super) fn later(at: Timestamp, by: Duration) -> Timestamp {
    jiff::SignedDuration::try_from(by).ok().and_then(|by| at.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
}

//! Going back: per setting, to what was there before, and never over what somebody else changed.

use amend_domain::plan::{MadeOutcome, Plan, PlannedCall, Remediation, Standing, State};
use jiff::Timestamp;

use super::{
    Journal, Next, Observed, Remedy, RemedyError,
    apply::{MOST_TRIES, later, standing_of, tries},
    journal::Kept,
};

impl Remedy {
    /// Undoes what a remediation wrote, as far as it can be done now.
    ///
    /// # Errors
    /// When there is nothing to undo, the fix has no way back, reading fails or the record cannot be
    /// kept.
    pub async fn undo(
        &self,
        remediation: &mut Remediation,
        journal: &dyn Journal,
        deadline: Option<Timestamp>,
    ) -> Result<Next, RemedyError> {
        self.can_be_undone(remediation)?;
        match remediation.state {
            State::Set | State::Healthy | State::Applied | State::Parked => {
                remediation.state = State::Undoing;
                remediation.failing = false;
                (remediation.why, remediation.due) = (None, None);
                remediation.found.clear();
                remediation.back.clear();
                remediation.made.retain(|made| !made.undo);
                remediation.until = Some(later(self.now(), self.fix.verify_within));
                let _: Kept = self.keep(remediation, journal).await?;
            }
            _ => {}
        }
        self.advance(remediation, journal, deadline).await
    }

    /// Whether there is something to undo, and a way.
    ///
    /// # Errors
    /// When there is not.
    pub fn can_be_undone(&self, r: &Remediation) -> Result<(), RemedyError> {
        match r.state {
            State::Undoing => Ok(()),
            State::Set | State::Healthy | State::Applied | State::Parked if self.fix.undo.is_empty() => {
                Err(self.state(r, "its fix cannot be undone"))
            }
            State::Set | State::Healthy | State::Applied | State::Parked => Ok(()),
            State::Observed
            | State::AwaitingApproval
            | State::Planned
            | State::Applying
            | State::Failed
            | State::Blocked
            | State::Undone
            | State::Superseded => Err(self.state(r, "nothing of it is there to be undone")),
        }
    }

    /// One step back. Before the first call every setting must be ours, as before, or on its way from
    /// one to the other; then the calls are made, one after the other, and read back.
    pub(super) async fn go_back(
        &self,
        r: &mut Remediation,
        journal: &dyn Journal,
        deadline: Option<Timestamp>,
    ) -> Result<Option<Timestamp>, RemedyError> {
        let observed = self.observe().await?;
        let late = r.until.is_none_or(|until| self.now() >= until);
        let real = r.plan.changes.iter().filter(|change| change.is_real());
        let standings: Vec<_> = real.map(|change| (&change.setting, standing_of(&observed, change))).collect();
        if standings.iter().all(|(_, standing)| *standing == Standing::Before) {
            r.state = if r.failing { State::Failed } else { State::Undone };
            (r.due, r.until) = (None, None);
            let _: Kept = self.keep(r, journal).await?;
            return Ok(None);
        }
        if r.back.is_empty() {
            // INVARIANT: what somebody else changed is never overwritten.
            if standings.iter().any(|(name, standing)| self.is_theirs(name, *standing)) {
                let why = "a setting is neither as it was nor as we wrote it: somebody changed it, nothing was written";
                return self.park(r, &observed, why, journal).await;
            }
            let back = |name: &str| {
                standings.iter().any(|(known, standing)| ***known == *name && *standing != Standing::Before)
            };
            let mut calls = self.calls_back(&r.plan, &observed)?;
            calls.retain(|planned| planned.changes.is_empty() || planned.changes.iter().any(|name| back(name)));
            if calls.is_empty() {
                return self.park(r, &observed, "the fix has no way back from this state", journal).await;
            }
            r.back = calls;
        }
        if let Some(last) = r.made.last().filter(|made| made.undo && made.outcome == MadeOutcome::Sent) {
            // Nobody knows whether it was done, and the settings do not tell yet.
            if !late {
                return self.look_again(r, journal).await;
            }
            if tries(r, last) >= MOST_TRIES {
                return self.park(r, &observed, "a call of the undo got no answer", journal).await;
            }
        }
        let accepted = r.made.iter().filter(|made| made.undo && made.outcome == MadeOutcome::Accepted).count();
        match r.back.get(accepted).cloned() {
            Some(planned) => self.send(r, &planned, accepted, true, journal, deadline).await,
            None if !late => self.look_again(r, journal).await,
            None => {
                let why = "undoing was accepted, but the settings do not read back as they were";
                self.park(r, &observed, why, journal).await
            }
        }
    }

    /// Whether a setting is as somebody else made it. Only where a fix changes a list element by element
    /// can it be half-way for our own sake.
    pub(super) fn is_theirs(&self, setting: &str, standing: Standing) -> bool {
        standing == Standing::Other || standing == Standing::Between && !self.is_one_by_one(setting)
    }

    /// Whether the fix changes a setting element by element.
    pub(super) fn is_one_by_one(&self, setting: &str) -> bool {
        self.fix.writes.iter().any(|write| {
            write.for_each.is_some()
                && (write.changes.is_empty() || write.changes.iter().any(|name| **name == *setting))
        })
    }

    async fn look_again(&self, r: &mut Remediation, journal: &dyn Journal) -> Result<Option<Timestamp>, RemedyError> {
        let at = later(self.now(), std::time::Duration::from_secs(2));
        r.due = Some(at);
        let _: Kept = self.keep(r, journal).await?;
        Ok(Some(at))
    }

    /// The calls that bring back what was there before `plan`, as things stand.
    pub(super) fn calls_back(&self, plan: &Plan, observed: &Observed) -> Result<Vec<PlannedCall>, RemedyError> {
        let scope = observed
            .scope
            .clone()
            .with("now", observed.now.clone().into())
            .with("then", plan.then().into())
            .with("before", plan.before().into());
        let mut calls = self.calls(&self.fix.undo, "undo", &scope)?;
        for planned in &mut calls {
            let Some(write) = self.fix.undo.get(planned.step).filter(|write| write.changes.is_empty()) else {
                continue;
            };
            // What a call of the undo changes is what it takes from `before`.
            let formulas = write.formulas();
            planned.changes =
                formulas.iter().flat_map(|formula| formula.members_of("before")).map(Into::into).collect();
        }
        Ok(calls)
    }
}

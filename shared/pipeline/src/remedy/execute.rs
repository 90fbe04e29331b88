//! What an executor makes of a step that it is told to do: it looks for itself, and does only what the fix, as the
//! executor has it, says of the resource as it is.

use std::time::Duration;

use amend_cloud::CallError;
use amend_domain::{
    plan::{Change, Plan, Standing, Verdict},
    task::{Order, Step, Task},
};
use amend_models::Call;
use jiff::Timestamp;
use serde_json::Value;

use super::{Observed, Remedy, RemedyError, apply::standing_of};

/// Why a step is not done. Nothing was written, but where the call itself failed: its error tells what is known then.
#[derive(Debug, thiserror::Error)]
pub enum NotDue {
    /// The resource is not as the plan says, or the step is not the next.
    #[error("{0}")]
    Changed(&'static str),
    /// It was too late to begin.
    #[error("it was too late to begin")]
    Late,
    /// It cannot be told.
    #[error(transparent)]
    Untold(#[from] RemedyError),
    /// The call was made, and failed.
    #[error(transparent)]
    Failed(CallError),
}

impl Remedy {
    /// Whether the resource is as a plan says, and the plan what the fix makes of that.
    ///
    /// # Errors
    /// When it is not.
    pub async fn agrees(&self, plan: &Plan) -> Result<(), NotDue> {
        let observed = self.observe().await?;
        self.agrees_with(plan, &observed)
    }

    fn agrees_with(&self, plan: &Plan, observed: &Observed) -> Result<(), NotDue> {
        let fresh = self.plan_for(observed)?;
        // INVARIANT: what a plan says of a resource is what whoever writes read themselves.
        if fresh.verdict == Verdict::Write && fresh.digest == plan.digest {
            return Ok(());
        }
        Err(NotDue::Changed("the resource is not as the plan says"))
    }

    /// Does one step of an order, where the fix says so of the resource as it is. The plan of the order was attested.
    ///
    /// # Errors
    /// When it is not to be done, or not in time, or fails.
    pub async fn do_step(
        &self,
        order: &Order,
        step: &Step,
        left: impl Fn() -> Option<Duration>,
    ) -> Result<Value, NotDue> {
        let call = Call::find(&step.call.call).map_err(RemedyError::from)?;
        let observed = self.observe().await?;
        if step.undo {
            self.is_way_back(&order.plan, step, &observed)?
        } else {
            self.is_next(&order.plan, step, &observed)?
        }
        let left = left().ok_or(NotDue::Late)?;
        let place = self.place_of(Some(&order.remediation), step.index);
        let made = tokio::time::timeout(left, self.cloud.call(&place, &call, &step.call.with)).await;
        let late = |_| CallError::NoAnswer { call: call.name(), reason: "it took too long".into(), unsent: false };
        made.unwrap_or_else(|over| Err(late(over))).map_err(NotDue::Failed)
    }

    /// INVARIANT: what is written is the next call of a plan that was attested, and the resource is as it was then, but
    /// for the calls before it.
    fn is_next(&self, plan: &Plan, step: &Step, observed: &Observed) -> Result<(), NotDue> {
        let not_next = || NotDue::Changed("the call is not what the fix makes of the resource as it is");
        let (before, rest) = plan.calls.split_at_checked(step.index).unwrap_or((&plan.calls, &[]));
        if rest.first() != Some(&step.call) {
            return Err(not_next());
        }
        if step.index == 0 {
            return self.agrees_with(plan, observed);
        }
        let fresh = self.plan_for(observed)?;
        if before.iter().any(|call| fresh.calls.contains(call)) {
            return Err(NotDue::Changed("a call before it is not done yet"));
        }
        // A resource may be as it should be before all is done that was planned.
        let real = || plan.changes.iter().filter(|change| change.is_real());
        let wanted = match fresh.verdict {
            Verdict::Write => fresh.calls.contains(&step.call),
            Verdict::Compliant => real().any(|change| standing_of(observed, change) != Standing::Ours),
            Verdict::Refused { .. } => false,
        };
        if wanted && !self.has_theirs(plan, step, observed) { Ok(()) } else { Err(not_next()) }
    }

    /// INVARIANT: what is brought back is what was read before, and nobody's change is lost.
    fn is_way_back(&self, plan: &Plan, step: &Step, observed: &Observed) -> Result<(), NotDue> {
        if self.has_theirs(plan, step, observed) {
            return Err(NotDue::Changed("a setting is neither as it was nor as it was written"));
        }
        let mut real = plan.changes.iter().filter(|change| change.is_real());
        if real.all(|change| standing_of(observed, change) == Standing::Before) {
            return Err(NotDue::Changed("the resource is as it was by now"));
        }
        if self.calls_back(plan, observed)?.contains(&step.call) {
            return Ok(());
        }
        Err(NotDue::Changed("the call is not a way back from the resource as it is"))
    }

    /// Whether a setting is as somebody else made it. What is changed element by element is anything while that goes
    /// on; the calls themselves tell then what is left to do.
    fn has_theirs(&self, plan: &Plan, step: &Step, observed: &Observed) -> bool {
        let goes_on = |change: &Change| step.index > 0 && self.is_one_by_one(&change.setting);
        let theirs = |change: &Change| self.is_theirs(&change.setting, standing_of(observed, change));
        plan.changes.iter().filter(|change| change.is_real()).any(|change| !goes_on(change) && theirs(change))
    }
}

/// How long something may take that is begun now; nothing, where it is too late to begin: before it expires, and with
/// enough of the platform's time left.
#[must_use]
pub(crate) fn time_left(now: Timestamp, task: &Task, deadline: Option<Timestamp>) -> Option<Duration> {
    let in_time = now < task.expires
        && deadline.is_none_or(|deadline| super::apply::later(now, super::apply::MARGIN) <= deadline);
    Duration::try_from(task.ends.duration_since(now)).ok().filter(|_| in_time)
}

//! What an executor makes of a step that it is told to do: it looks for itself, and does only what the fix, as the
//! executor has it, says of the resource as it is.

use amend_cloud::CallError;
use amend_domain::{
    plan::{Plan, Standing, Verdict},
    task::{Order, Step},
};
use amend_models::Call;
use jiff::Timestamp;
use serde_json::Value;

use super::{Observed, Remedy, RemedyError, apply::standing_of};

/// Why a step is not done. Nothing was written.
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
    pub async fn do_step(&self, order: &Order, step: &Step, in_time: impl Fn() -> bool) -> Result<Value, NotDue> {
        let call = Call::find(&step.call.call).map_err(RemedyError::from)?;
        let observed = self.observe().await?;
        if step.undo {
            self.is_way_back(&order.plan, step, &observed)?
        } else {
            self.is_next(&order.plan, step, &observed)?
        }
        if !in_time() {
            return Err(NotDue::Late);
        }
        let place = self.place_of(Some(&order.remediation), step.index);
        self.cloud.call(&place, &call, &step.call.with).await.map_err(NotDue::Failed)
    }

    /// INVARIANT: what is written is what the fix makes of the resource as it is now.
    fn is_next(&self, plan: &Plan, step: &Step, observed: &Observed) -> Result<(), NotDue> {
        if step.index == 0 {
            self.agrees_with(plan, observed)?;
        }
        let fresh = self.plan_for(observed)?;
        let next =
            if step.index == 0 { fresh.calls.first() == Some(&step.call) } else { fresh.calls.contains(&step.call) };
        if fresh.verdict == Verdict::Write && next {
            return Ok(());
        }
        Err(NotDue::Changed("the call is not what the fix makes of the resource as it is"))
    }

    /// INVARIANT: what is brought back is what was read before, and nobody's change is lost.
    fn is_way_back(&self, plan: &Plan, step: &Step, observed: &Observed) -> Result<(), NotDue> {
        let real = plan.changes.iter().filter(|change| change.is_real());
        let standings: Vec<Standing> = real.map(|change| standing_of(observed, change)).collect();
        if standings.contains(&Standing::Other) {
            return Err(NotDue::Changed("a setting is neither as it was nor as it was written"));
        }
        if standings.iter().all(|standing| *standing == Standing::Before) {
            return Err(NotDue::Changed("the resource is as it was by now"));
        }
        if self.calls_back(plan, observed)?.contains(&step.call) {
            return Ok(());
        }
        Err(NotDue::Changed("the call is not a way back from the resource as it is"))
    }
}

/// Whether something can still be begun: before it expires, and with enough of the platform's time left.
#[must_use]
pub(crate) fn in_time(now: Timestamp, expires: Timestamp, deadline: Option<Timestamp>) -> bool {
    now < expires && deadline.is_none_or(|deadline| super::apply::later(now, super::apply::MARGIN) <= deadline)
}

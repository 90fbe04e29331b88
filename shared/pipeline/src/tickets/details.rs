//! What a ticket tells of the first of its problems: how it is mended by hand, and what Amend would change.

use amend_catalog::script;
use amend_domain::{
    Problem,
    plan::{State, Verdict},
    ticket::{Details, Ticket},
};

use super::{Desk, steps};
use crate::{PipelineError, remedy::show::change_lines};

impl Desk {
    /// What is known of the most urgent of a ticket's problems.
    pub(super) async fn details(&self, ticket: &Ticket) -> Result<Details, PipelineError> {
        let open = ticket.members.iter().filter(|(_, member)| member.is_open());
        let first = open.max_by_key(|(id, member)| (member.risk, member.severity, std::cmp::Reverse(*id)));
        let Some((id, _)) = first else { return Ok(Details::default()) };
        let found = self.store.find(id.as_str()).await?;
        let Some(problem) = found.into_iter().find(|problem| problem.id == *id) else { return Ok(Details::default()) };
        let decisions = self.store.decisions(id.as_str()).await?;
        let assessment = decisions.iter().map(|one| &one.assessment).find(|one| one.id == problem.decided_by);
        let remediations = self.store.remediations_of(id.as_str()).await?;
        // What is being done, or would be: not what was.
        let current = remediations.iter().find(|one| {
            matches!(one.state, State::Observed | State::AwaitingApproval | State::Planned)
                && one.plan.verdict == Verdict::Write
        });
        let changes = current.map(|one| one.plan.changes.iter().flat_map(change_lines).collect());
        let secret = current.is_some_and(|one| one.plan.calls.iter().any(|call| call.sensitive));
        let script = current.filter(|_| !secret).and_then(|one| script::render(std::slice::from_ref(&one.plan)).ok());
        Ok(Details {
            problem: Some(id.clone()),
            factors: assessment.and_then(|one| one.risk.as_ref()).map(|risk| risk.factors.clone()).unwrap_or_default(),
            link: assessment.and_then(|one| one.link.clone()),
            steps: self.steps(&problem, assessment.and_then(|one| one.recommendation.remediation.as_deref())),
            changes: changes.unwrap_or_default(),
            awaits: current.filter(|one| one.state == State::AwaitingApproval).map(|one| one.id.clone()),
            script,
        })
    }

    /// The steps of the fix; else those that its source gives.
    fn steps(&self, problem: &Problem, given: Option<&str>) -> Option<String> {
        let fix = self.catalogue.of_setting(&problem.setting);
        fix.map(|file| file.fix.manual.to_string()).or_else(|| given.and_then(steps::markdown))
    }
}

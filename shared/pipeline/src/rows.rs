//! A problem as people and other tools see it: one flat row, the same in tables, JSON and the API.

use amend_domain::{
    Problem,
    problem::{Place, State},
    timeframe::is_overdue,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::backlog::rule_word;

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProblemRow {
    /// Its id: `p-` and 20 hexadecimal digits.
    pub id: String,
    /// What people call the resource.
    pub resource: String,
    /// The resource's native id.
    pub resource_id: String,
    /// `azure`, `aws`, `gcp`, `other`.
    pub cloud: String,
    /// The subscription, account or project.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The recommendation's title.
    pub recommendation: String,
    /// The setting that is wrong: a fix's id, or the recommendation's key.
    pub setting: String,
    /// The risk level; absent where Defender CSPM did not evaluate it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub risk: Option<String>,
    /// The severity, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    /// `open` or `closed`; `why` says how it was closed.
    pub state: String,
    /// `live`, `backlog` or `released`.
    pub place: String,
    /// The rule that governs it; `none`, or the rule that might with `(undetermined)`.
    pub rule: String,
    /// Who owns it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// How the owner was found.
    pub owner_from: String,
    /// When it is due. For a problem in the backlog: when it would be, if released now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub due: Option<Timestamp>,
    /// Whether it is past that date.
    pub overdue: bool,
    /// Who moved that date last, and why, where somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_moved: Option<String>,
    /// The day on which its owner means to be done, where they said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta: Option<String>,
    /// What happens.
    pub action: String,
    /// Why.
    pub why: String,
    /// Who reports it, and what each says.
    pub sources: Vec<String>,
    /// Whether the sources agree.
    pub sources_agree: bool,
    /// Since when it is there.
    #[schema(value_type = String, format = DateTime)]
    pub opened: Timestamp,
    /// How often it has come: 1, and one more with each regression.
    pub period: u32,
}

impl ProblemRow {
    /// The row of `problem`.
    #[must_use]
    pub fn new(problem: &Problem, now: Timestamp) -> Self {
        let open = problem.state == State::Open;
        let backlog = open && problem.place == Place::Backlog;
        let due = if backlog { problem.due_if_begun(now) } else { problem.due };
        Self {
            id: problem.id.to_string(),
            resource: problem.resource.name.to_string(),
            resource_id: problem.resource.id.to_string(),
            cloud: problem.resource.cloud.to_string(),
            account: problem.resource.account.as_ref().map(ToString::to_string),
            recommendation: problem.title.to_string(),
            setting: problem.setting.to_string(),
            risk: problem.risk.map(|risk| risk.to_string()),
            severity: problem.severity.map(|severity| severity.to_string()),
            state: match problem.state {
                State::Open => "open".to_owned(),
                State::Closed(_) => "closed".to_owned(),
            },
            place: match problem.place {
                Place::Live => "live",
                Place::Backlog => "backlog",
                Place::Released(_) => "released",
            }
            .to_owned(),
            rule: rule_word(problem),
            owner: problem.decision.owner.name.as_ref().map(ToString::to_string),
            owner_from: problem.decision.owner.from.to_string(),
            due: due.filter(|_| open),
            overdue: open && !backlog && problem.due.is_some_and(|due| is_overdue(due, now)),
            due_moved: problem.moved.as_ref().filter(|_| open).map(|moved| format!("{}: {}", moved.by, moved.why)),
            eta: problem.eta.as_ref().filter(|_| open).map(|eta| eta.on.strftime("%Y-%m-%d").to_string()),
            action: match (open, backlog) {
                (false, _) => "nothing".to_owned(),
                (true, true) => format!("backlog ({})", problem.decision.action()),
                (true, false) => problem.decision.action(),
            },
            why: match problem.state {
                State::Open => problem.decision.why.to_string(),
                State::Closed(how) => how.words().to_owned(),
            },
            sources: problem
                .findings
                .values()
                .map(|finding| format!("{}: {}", finding.source, state_word(finding.state)))
                .collect(),
            sources_agree: problem.sources_agree(),
            opened: problem.opened,
            period: problem.period,
        }
    }
}

fn state_word(state: amend_domain::problem::FindingState) -> &'static str {
    use amend_domain::problem::FindingState as S;
    match state {
        S::Unhealthy => "unhealthy",
        S::Healthy => "healthy",
        S::Exempt => "exempt",
        S::NotApplicable => "not applicable",
        S::Deleted => "deleted",
    }
}

//! What a snapshot or an import brought: counted, and let go slice by slice.

use std::collections::BTreeMap;

use amend_domain::{Outcome, Problem, ScopeId, problem::State};
use amend_store::{Filter, Input};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{Pipeline, PipelineError};

/// How many problems stand in the backlog, seen from four sides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Backlog {
    /// All of them.
    pub total: usize,
    /// By rule; `none` and `undetermined` where no rule governs.
    pub by_rule: BTreeMap<String, usize>,
    /// By owner.
    pub by_owner: BTreeMap<String, usize>,
    /// By account.
    pub by_account: BTreeMap<String, usize>,
    /// By risk; `not evaluated` without Defender CSPM.
    pub by_risk: BTreeMap<String, usize>,
}

/// An account that has gone quiet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Deaf {
    /// The account.
    pub account: String,
    /// When the last snapshot came, if ever.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_snapshot: Option<Timestamp>,
    /// When anything came.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_heard: Option<Timestamp>,
}

/// After how long without a snapshot an account counts as deaf. Defender sends one every week.
pub const DEAF_AFTER: SignedDuration = SignedDuration::from_hours(8 * 24);

/// Which slice of the backlog to release.
#[derive(Clone, Debug)]
pub struct Slice {
    /// Of this rule.
    pub rule: String,
    /// At most this many, most urgent first.
    pub limit: u32,
    /// In this scope.
    pub scope: Option<ScopeId>,
}

impl Pipeline {
    /// Counts the backlog.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn backlog(&self) -> Result<Backlog, PipelineError> {
        let problems =
            self.store.problems(&Filter { open: Some(true), backlog: Some(true), ..Filter::default() }).await?;
        let mut backlog = Backlog { total: problems.len(), ..Backlog::default() };
        for problem in &problems {
            let count = |table: &mut BTreeMap<String, usize>, key: String| {
                let entry = table.entry(key).or_default();
                *entry = entry.saturating_add(1);
            };
            count(&mut backlog.by_rule, rule_word(problem));
            let owner = problem.decision.owner.name.as_deref().unwrap_or("unspecified").to_owned();
            count(&mut backlog.by_owner, owner);
            let account = problem.resource.account.as_ref().map_or_else(|| "not known".to_owned(), ToString::to_string);
            count(&mut backlog.by_account, account);
            count(
                &mut backlog.by_risk,
                problem.risk.map_or_else(|| "not evaluated".to_owned(), |risk| risk.to_string()),
            );
        }
        Ok(backlog)
    }

    /// Lets a slice of the backlog go for somebody, most urgent first; its dates are set now.
    ///
    /// # Errors
    /// When the rule is not known, or the store does not answer.
    pub async fn release(&self, slice: &Slice, by: &str) -> Result<Vec<Problem>, PipelineError> {
        if self.rules().get(&slice.rule).is_none() {
            let hint = "`amend backlog` lists the rules with a backlog";
            return Err(PipelineError::NotFound { what: "the rule", name: slice.rule.clone(), hint });
        }
        let filter =
            Filter { open: Some(true), backlog: Some(true), rule: Some(slice.rule.clone()), ..Filter::default() };
        let held = self.store.problems(&filter).await?;
        let inside = |problem: &&Problem| {
            // What no rule governs yet has no dates to set.
            problem.decision.outcome == Outcome::Governed
                && slice.scope.as_ref().is_none_or(|scope| self.lies_in(problem, scope))
        };
        let limit = usize::try_from(slice.limit).unwrap_or(usize::MAX);
        let ids: Vec<String> = held.iter().filter(inside).take(limit).map(|problem| problem.id.to_string()).collect();
        Ok(self.store.release(&ids, by, self.now()).await?)
    }

    fn lies_in(&self, problem: &Problem, scope: &ScopeId) -> bool {
        let account = problem.resource.account.as_ref().map(amend_domain::AccountId::as_str);
        scope.holds(problem.resource.id.as_str())
            || account == Some(scope.as_str())
            || problem.resource.connector.as_deref().is_some_and(|connector| scope.holds(connector))
            || account.is_some_and(|account| self.decider.facts().ancestors_of(account).contains(scope))
    }

    /// The accounts that have gone quiet: no snapshot for eight days.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn deaf(&self) -> Result<Vec<Deaf>, PipelineError> {
        let now = self.now();
        let quiet = |input: &Input| {
            input.last_snapshot.or(input.last_event).is_none_or(|at| now.duration_since(at) > DEAF_AFTER)
        };
        let inputs = self.store.inputs().await?;
        Ok(inputs
            .into_iter()
            .filter(quiet)
            .map(|input| Deaf {
                last_heard: input.last_event.max(input.last_snapshot),
                account: input.account,
                last_snapshot: input.last_snapshot,
            })
            .collect())
    }
}

/// The rule that governs a problem, or the word for there being none.
#[must_use]
pub fn rule_word(problem: &Problem) -> String {
    match (&problem.decision.outcome, &problem.decision.rule) {
        (Outcome::Undetermined { .. }, Some(rule)) => format!("{rule} (undetermined)"),
        (_, Some(rule)) => rule.to_string(),
        (Outcome::NothingToDo, None) if problem.state != State::Open => "closed".to_owned(),
        (_, None) => "none".to_owned(),
    }
}

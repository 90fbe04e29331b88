//! Why it was decided so: the whole walk through the rules that were in force then, with each fact,
//! its source and its age.

use amend_catalog::{SourceText, rule_file};
use amend_domain::{
    Facts, Problem, explain,
    facts::Need,
    plan::Remediation,
    work::{Work, WorkKind},
};
use amend_store::StoredDecision;
use jiff::Timestamp;
use serde::Serialize;

use crate::{Pipeline, PipelineError};

/// Everything that explains a problem.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// The problem as it stands.
    pub problem: Problem,
    /// The last decision about each of its findings, newest first.
    pub decisions: Vec<Explained>,
    /// Whether the rules in force now are those that were asked.
    pub rules_changed: bool,
    /// What is to be done about it next, or about what was begun for it; or why that waits.
    pub work: Option<Work>,
    /// What was done about it, newest first.
    pub remediations: Vec<Remediation>,
}

/// Everything that explains one decision.
#[derive(Clone, Debug, Serialize)]
pub struct Explained {
    /// The decision, with its assessment and facts.
    pub stored: StoredDecision,
    /// What every rule said, in order; empty where nothing was asked of them.
    pub walk: Vec<explain::Step>,
    /// What was known, in words.
    pub facts: Vec<FactLine>,
}

/// One fact, with where it came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FactLine {
    /// What it is.
    pub fact: &'static str,
    /// Its value; nothing where it is not known.
    pub value: Option<String>,
    /// Where it was read.
    pub source: Option<String>,
    /// How old it was when the decision was made, in seconds.
    pub age_seconds: Option<i64>,
    /// Why it is not known, where it was asked for.
    pub unread: Option<String>,
}

impl Pipeline {
    /// Explains the problem that `name` names: a problem's id or the start of it, an assessment's
    /// id, or a resource's id.
    ///
    /// # Errors
    /// When there is none or there are several, or the store does not answer.
    pub async fn explain(&self, name: &str) -> Result<Explanation, PipelineError> {
        let mut found = self.store.find(name).await?;
        if found.len() > 1 {
            let ids = found.iter().take(5).map(|problem| problem.id.to_string()).collect();
            return Err(PipelineError::Ambiguous { name: name.to_owned(), count: found.len(), ids });
        }
        let Some(problem) = found.pop() else {
            let hint = "`amend list` shows the ids of problems; a resource's or assessment's full id does, too";
            return Err(PipelineError::NotFound { what: "the problem", name: name.to_owned(), hint });
        };
        let mut decisions = Vec::new();
        let mut rules_changed = false;
        for stored in self.store.decisions(problem.id.as_str()).await? {
            // One decision per finding: the newest.
            let seen = |explained: &Explained| explained.stored.assessment.id == stored.assessment.id;
            if decisions.iter().any(seen) {
                continue;
            }
            rules_changed |= *stored.decision.rule_set != *self.rules().digest();
            let walk = self.walk(&stored).await?;
            let facts = fact_lines(&stored.facts, stored.at);
            decisions.push(Explained { stored, walk, facts });
        }
        let mut work = self.store.one_work(&WorkKind::Remedy.key(problem.id.as_str())).await?;
        let remediations = self.store.remediations_of(problem.id.as_str()).await?;
        if let (None, Some(last)) = (&work, remediations.first()) {
            work = self.store.one_work(&WorkKind::Advance.key(&last.id)).await?;
        }
        Ok(Explanation { problem, decisions, rules_changed, work, remediations })
    }

    /// The walk through the rules that were in force when a decision was made.
    async fn walk(&self, stored: &StoredDecision) -> Result<Vec<explain::Step>, PipelineError> {
        if !stored.assessment.is_open() {
            return Ok(Vec::new());
        }
        let digest = &*stored.decision.rule_set;
        if digest == self.rules().digest() {
            return Ok(explain::walk(self.rules(), &stored.assessment, &stored.facts));
        }
        let Some(text) = self.store.archived_rules(digest).await? else { return Ok(Vec::new()) };
        let files: Vec<SourceText> = serde_json::from_str(&text)
            .map_err(|source| PipelineError::Damaged { what: format!("the archived rules {digest}"), source })?;
        let (loaded, _) = rule_file::load(&files).map_err(PipelineError::Rules)?;
        Ok(explain::walk(&loaded.rules, &stored.assessment, &stored.facts))
    }
}

/// What was known, line by line.
#[must_use]
pub fn fact_lines(facts: &Facts, at: Timestamp) -> Vec<FactLine> {
    fn line<T>(
        fact: &'static str,
        known: &amend_domain::Fact<T>,
        unread: Option<String>,
        at: Timestamp,
        show: impl Fn(&T) -> String,
    ) -> FactLine {
        FactLine {
            fact,
            value: known.as_ref().map(|known| show(&known.value)),
            source: known.as_ref().map(|known| known.source.to_string()),
            age_seconds: known.as_ref().map(|known| at.duration_since(known.read).as_secs().max(0)),
            unread,
        }
    }
    let unread = |need: Need| facts.unread.iter().find(|(of, _)| *of == need).map(|(_, why)| why.to_string());
    let tags = |tags: &amend_domain::Tags| {
        let list: Vec<String> = tags.0.iter().map(|(key, value)| format!("{key}={value}")).collect();
        if list.is_empty() { "none".to_owned() } else { list.join(", ") }
    };
    vec![
        line("management scopes", &facts.ancestors, unread(Need::Ancestors), at, |scopes| {
            scopes.iter().map(amend_domain::ScopeId::as_str).collect::<Vec<_>>().join(" > ")
        }),
        line("tags of the resource", &facts.tags, unread(Need::Tags), at, tags),
        line("tags of the group", &facts.group_tags, unread(Need::GroupTags), at, tags),
        line("tags of the account", &facts.account_tags, unread(Need::AccountTags), at, tags),
    ]
}

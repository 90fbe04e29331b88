//! The whole walk, said aloud: every rule asked, one by one, with no index.
//!
//! Slow and plain on purpose. It is what `amend explain` prints, and what the index is held equal
//! to by a property test.

use serde::{Deserialize, Serialize};

use crate::{
    assessment::Assessment,
    facts::{Facts, Needs},
    rule::{Answer, Rule},
    ruleset::{RuleSet, Verdict, order, verdict},
    truth::Truth,
};

/// What was said of one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The rule's id.
    pub rule: String,
    /// Its name.
    pub name: String,
    /// Its priority.
    pub priority: u32,
    /// What happened.
    pub result: StepResult,
    /// Why, condition by condition.
    pub reasons: Vec<Reason>,
}

/// What happened to a rule on the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepResult {
    /// It governs.
    Governs,
    /// It might hold, so the walk stopped here.
    Undetermined,
    /// It does not hold.
    DoesNotHold,
    /// It holds or might, but another goes before it.
    ComesLater,
    /// It is switched off.
    Disabled,
}

/// One thing that was asked of an assessment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// What was asked.
    pub asked: String,
    /// The answer.
    pub truth: Truth,
    /// What was not known.
    #[serde(default, skip_serializing_if = "Needs::is_empty")]
    pub needs: Needs,
    /// How an expression failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The rule that governs, found by asking all of them.
#[must_use]
pub fn decide_naively<'r>(rules: &'r RuleSet, assessment: &Assessment, facts: &Facts) -> Verdict<'r> {
    verdict(ranked(rules, assessment, facts).into_iter().find(|(_, answer)| answer.truth != Truth::False))
}

/// Every enabled rule with its answer, in the order that holds for this assessment.
fn ranked<'r>(rules: &'r RuleSet, assessment: &Assessment, facts: &Facts) -> Vec<(&'r Rule, Answer)> {
    let mut all: Vec<_> =
        rules.rules().iter().filter(|rule| rule.enabled).map(|rule| (rule, rule.answer(assessment, facts))).collect();
    all.sort_by(|(a, one), (b, two)| {
        let depth = |rule: &Rule, answer: &Answer| match order(rule).0 {
            crate::scope::ScopeClass::Management => answer.depth,
            crate::scope::ScopeClass::Single => 0,
        };
        order(a).cmp(&order(b)).then(depth(a, one).cmp(&depth(b, two))).then_with(|| a.id.cmp(&b.id))
    });
    all
}

/// What every rule says of `assessment`, in order.
#[must_use]
pub fn walk(rules: &RuleSet, assessment: &Assessment, facts: &Facts) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut stopped = false;
    for (rule, answer) in ranked(rules, assessment, facts) {
        let result = match (answer.truth, stopped) {
            (Truth::False, _) => StepResult::DoesNotHold,
            (_, true) => StepResult::ComesLater,
            (Truth::True, false) => StepResult::Governs,
            (Truth::Unknown, false) => StepResult::Undetermined,
        };
        stopped |= answer.truth != Truth::False;
        steps.push(step(rule, result, reasons(rule, assessment, facts)));
    }
    let disabled = rules.rules().iter().filter(|rule| !rule.enabled);
    steps.extend(disabled.map(|rule| step(rule, StepResult::Disabled, Vec::new())));
    steps
}

fn step(rule: &Rule, result: StepResult, reasons: Vec<Reason>) -> Step {
    Step { rule: rule.id.to_string(), name: rule.name.to_string(), priority: rule.priority, result, reasons }
}

fn reasons(rule: &Rule, assessment: &Assessment, facts: &Facts) -> Vec<Reason> {
    let mut reasons = Vec::new();
    for (scopes, word) in [(&rule.scope.within, "in"), (&rule.scope.except, "not in")] {
        if scopes.is_empty() {
            continue;
        }
        let mut one = rule.clone();
        one.when.clear();
        one.scope = match word {
            "in" => crate::rule::Scope { within: scopes.clone(), except: Vec::new() },
            _ => crate::rule::Scope { within: Vec::new(), except: scopes.clone() },
        };
        let answer = one.answer(assessment, facts);
        let list: Vec<&str> = scopes.iter().map(crate::scope::ScopeId::as_str).collect();
        let asked = format!("{word} {}", list.join(" or "));
        reasons.push(Reason { asked, truth: answer.truth, needs: answer.needs, error: None });
    }
    for (at, set) in rule.when.iter().enumerate() {
        for condition in &set.0 {
            let mut needs = Needs::NONE;
            let truth = condition.holds(assessment, facts, &mut needs);
            let error = match condition {
                crate::rule::Condition::Expr(program) => program.holds(assessment, facts).error,
                _ => None,
            };
            let prefix = if rule.when.len() > 1 { format!("set {}: ", at.saturating_add(1)) } else { String::new() };
            reasons.push(Reason { asked: format!("{prefix}{condition}"), truth, needs, error });
        }
    }
    reasons
}

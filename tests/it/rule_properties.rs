//! What must hold for any rules, any assessment, any facts.

use amend_domain::{Decision, Facts, RuleSet, Verdict, explain, owners::Owners, rule::Mode};
use amend_tests::{harness::long, random};
use proptest::prelude::*;

/// How much a decision lets happen: how far a fix may go, a ticket, a notice.
fn strength(decision: &Decision) -> (Option<Mode>, bool, bool) {
    (decision.strength(), decision.ticket, !decision.notify.is_empty())
}

fn without(facts: &Facts, which: u8) -> Facts {
    let mut less = facts.clone();
    if which & 1 != 0 {
        less.ancestors = None;
    }
    if which & 2 != 0 {
        less.tags = None;
    }
    if which & 4 != 0 {
        less.group_tags = None;
    }
    if which & 8 != 0 {
        less.account_tags = None;
    }
    less
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if long() { 20_000 } else { 500 }))]

    /// INVARIANT: the index hides no rule.
    #[test]
    fn the_index_finds_what_asking_every_rule_finds(
        rules in random::rules(), assessment in random::assessment(), facts in random::facts(),
    ) {
        let rules = RuleSet::new(rules, String::new());
        let (indexed, naive) = (rules.decide(&assessment, &facts), explain::decide_naively(&rules, &assessment, &facts));
        prop_assert_eq!(indexed, naive);
    }

    /// The short cut around the evaluator of expressions says what the evaluator says.
    #[test]
    fn expressions_mean_the_same_with_and_without_the_short_cut(
        program in random::program(), assessment in random::assessment(), facts in random::facts(),
    ) {
        prop_assert_eq!(program.holds(&assessment, &facts), program.evaluate(&assessment, &facts), "{:?}", program);
    }

    /// INVARIANT: removing a fact never makes the action stronger.
    #[test]
    fn removing_a_fact_never_makes_the_action_stronger(
        rules in random::rules(), assessment in random::assessment(), facts in random::facts(), which in 1_u8..16,
    ) {
        let rules = RuleSet::new(rules, String::new());
        let less = without(&facts, which);
        let decide = |facts: &Facts| Decision::new(rules.decide(&assessment, facts), &assessment, facts, &Owners::default(), "");
        let (full, partial) = (decide(&facts), decide(&less));
        let (full, partial) = (strength(&full), strength(&partial));
        prop_assert!(partial.0 <= full.0 && partial.1 <= full.1 && partial.2 <= full.2, "{:?} became {:?}", full, partial);
    }

    /// INVARIANT: with less known, the same rule governs, or none does until more is known.
    #[test]
    fn removing_a_fact_never_lets_another_rule_govern(
        rules in random::rules(), assessment in random::assessment(), facts in random::facts(), which in 1_u8..16,
    ) {
        let rules = RuleSet::new(rules, String::new());
        let less = without(&facts, which);
        if let Verdict::Governed { rule, .. } = rules.decide(&assessment, &less) {
            match rules.decide(&assessment, &facts) {
                Verdict::Governed { rule: before, .. } => prop_assert_eq!(&rule.id, &before.id),
                other => prop_assert!(false, "{:?} governs only with less known: {:?}", rule.id, other),
            }
        }
    }

    /// The walk that `explain` prints ends at the rule that governs.
    #[test]
    fn the_walk_that_is_explained_ends_at_the_verdict(
        rules in random::rules(), assessment in random::assessment(), facts in random::facts(),
    ) {
        let rules = RuleSet::new(rules, String::new());
        let walk = explain::walk(&rules, &assessment, &facts);
        prop_assert_eq!(walk.len(), rules.rules().len());
        let stop = walk.iter().find(|step| {
            matches!(step.result, explain::StepResult::Governs | explain::StepResult::Undetermined)
        });
        let expected = match rules.decide(&assessment, &facts) {
            Verdict::Governed { rule, .. } => Some((rule.id.to_string(), explain::StepResult::Governs)),
            Verdict::Undetermined { rule, .. } => Some((rule.id.to_string(), explain::StepResult::Undetermined)),
            Verdict::Ungoverned => None,
        };
        prop_assert_eq!(stop.map(|step| (step.rule.clone(), step.result)), expected);
    }
}

#[test]
fn outer_management_scopes_go_first_at_one_priority() {
    let rules = "
version: 1
rules:
  - { id: a-inner, priority: 5, scope: { in: 'aws:ou-x-prod' }, due: 1d }
  - { id: b-outer, priority: 5, scope: { in: 'aws:o-x' }, due: 2d }
  - { id: c-single, priority: 0, scope: { in: 'aws:111111111111' }, due: 3d }
tests:
  - name: the organization goes before the unit in it, and both before the account
    given: { key: 'securityhub:S3.8', resource: 'arn:aws:s3:::b', account: '111111111111', ancestors: ['aws:o-x', 'aws:ou-x-prod'] }
    expect: { rule: b-outer, due: 2d }
  - name: without the ancestry nobody knows
    given: { key: 'securityhub:S3.8', resource: 'arn:aws:s3:::b', account: '111111111111' }
    expect: { rule: undetermined, due: none, fix: none }
";
    let (loaded, _) =
        amend_catalog::rule_file::load(&[amend_catalog::SourceText::new("rules.yaml", rules)]).expect("no mistakes");
    for test in &loaded.tests {
        assert_eq!(test.run(&loaded.rules).wrong, [], "{}", test.name);
    }
}

//! All rules together: which one governs an assessment, found without asking them all.
//!
//! Each set of conditions is filed under the one term that fewest others share (a key, an account,
//! a type, …). An assessment looks up its own terms and asks only the rules filed there, in order.
//! What is not known about an assessment brings in every rule filed under that kind of term, so the
//! index never hides a rule that could be unknown. [`crate::explain`] asks every rule; a property
//! test holds the two equal.

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::{
    assessment::{Assessment, RiskLevel, Severity},
    expr,
    facts::{Facts, Needs},
    resource::{Cloud, arm_account},
    rule::{Answer, Condition, Rule, Set},
    scope::{ScopeClass, ScopeId},
    truth::Truth,
};

/// What the rules say of an assessment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict<'r> {
    /// This rule holds, and none before it might.
    Governed {
        /// The rule.
        rule: &'r Rule,
        /// Which of its sets made it hold; none where it has no conditions.
        set: Option<usize>,
    },
    /// This rule might hold, and none before it might; nothing below it is asked.
    Undetermined {
        /// The rule.
        rule: &'r Rule,
        /// What would have to be known.
        needs: Needs,
    },
    /// No rule holds or might.
    Ungoverned,
}

/// Rules in order, with their index.
#[derive(Debug)]
pub struct RuleSet {
    rules: Vec<Rule>,
    digest: String,
    index: Index,
}

/// A kind of term that rules are filed under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
enum Dim {
    Key = 0,
    Category = 1,
    Cloud = 2,
    Type = 3,
    Region = 4,
    Source = 5,
    Severity = 6,
    Risk = 7,
    Account = 8,
    Connector = 9,
    Management = 10,
}

const DIMS: usize = 11;

/// A rule's place in the order.
type Place = u32;

/// Terms of which one must be true of an assessment (or unknown) for a set to hold or be unknown.
type Access = SmallVec<[(Dim, Box<str>); 4]>;

#[derive(Debug, Default)]
struct Index {
    /// The rules filed under each term.
    filed: [FxHashMap<Box<str>, Vec<Place>>; DIMS],
    /// All rules filed under each kind of term: asked where that is not known.
    whole: [Vec<Place>; DIMS],
    /// Rules that no term can find.
    always: Vec<Place>,
}

impl RuleSet {
    /// Puts `rules` in order and builds their index. `digest` names the text they were read from.
    ///
    /// Disabled rules are kept, for `explain`, and never asked.
    #[must_use]
    pub fn new(mut rules: Vec<Rule>, digest: String) -> Self {
        rules.sort_by(|a, b| order(a).cmp(&order(b)).then_with(|| a.id.cmp(&b.id)));
        let index = Index::build(&rules);
        Self { rules, digest, index }
    }

    /// All rules, in order: management scopes first, then by priority, then by id.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Names the text that the rules were read from.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The rule with this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.id.as_str() == id)
    }

    /// How many rules no term of an assessment can find, so that each is asked every time.
    #[must_use]
    pub fn unindexed(&self) -> usize {
        self.index.always.len()
    }

    /// The rule that governs `assessment`, given what is known.
    ///
    /// INVARIANT: the walk stops at the first rule that is not false, so a fact that is taken away
    /// turns the answer into "undetermined", never into a rule further down.
    #[must_use]
    pub fn decide(&self, assessment: &Assessment, facts: &Facts) -> Verdict<'_> {
        let mut heads = self.index.lookup(assessment, facts);
        let mut best: Option<(&Rule, Answer)> = None;
        while let Some(place) = next(&mut heads) {
            let Some(rule) = usize::try_from(place).ok().and_then(|at| self.rules.get(at)) else { continue };
            if let Some((first, _)) = best
                && order(first) != order(rule)
            {
                break;
            }
            let answer = rule.answer(assessment, facts);
            if answer.truth == Truth::False {
                continue;
            }
            // Among management scopes of one priority the outer goes first. The order of the list
            // is that of the ids, so only a scope further out can take the lead.
            if best.is_none_or(|(_, leader)| answer.depth < leader.depth) {
                best = Some((rule, answer));
            }
            if order(rule).0 == ScopeClass::Single {
                break;
            }
        }
        verdict(best)
    }
}

/// What follows from the first rule that is not false.
pub(crate) fn verdict<'r>(leader: Option<(&'r Rule, Answer)>) -> Verdict<'r> {
    match leader {
        None => Verdict::Ungoverned,
        Some((rule, Answer { truth: Truth::True, set, .. })) => Verdict::Governed { rule, set },
        Some((rule, Answer { needs, .. })) => Verdict::Undetermined { rule, needs },
    }
}

/// What is known of a rule's place before an assessment comes: management scopes go first, then
/// the lower priority.
pub(crate) fn order(rule: &Rule) -> (ScopeClass, u32) {
    (rule.class(), rule.priority)
}

type Heads<'i> = SmallVec<[&'i [Place]; 24]>;

/// Takes the lowest place from the heads of all lists.
fn next(heads: &mut Heads<'_>) -> Option<Place> {
    let lowest = heads.iter().filter_map(|list| list.first().copied()).min()?;
    for list in heads.iter_mut() {
        if let Some((first, rest)) = list.split_first()
            && *first == lowest
        {
            *list = rest;
        }
    }
    Some(lowest)
}

impl Index {
    fn build(rules: &[Rule]) -> Self {
        // First what each set could be filed under, then how common each term is.
        let mut choices: Vec<(Place, Vec<Access>)> = Vec::new();
        for (place, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.enabled) {
            let Ok(place) = Place::try_from(place) else { break };
            let scope = scope_access(&rule.scope.within);
            if rule.when.is_empty() {
                choices.push((place, scope.iter().cloned().collect()));
            }
            for set in &rule.when {
                let mut accesses: Vec<Access> = scope.iter().cloned().collect();
                set_accesses(set, &mut accesses);
                choices.push((place, accesses));
            }
        }
        let mut common: FxHashMap<(Dim, &str), usize> = FxHashMap::default();
        for term in choices.iter().flat_map(|(_, accesses)| accesses.iter().flatten()) {
            let count = common.entry((term.0, &term.1)).or_default();
            *count = count.saturating_add(1);
        }
        let cost = |access: &Access| -> usize {
            access
                .iter()
                .map(|(dim, value)| {
                    let count = common.get(&(*dim, &**value)).copied().unwrap_or(0);
                    // What may be unknown brings in all of its kind when it is.
                    let weight = if matches!(dim, Dim::Management | Dim::Connector | Dim::Risk) { 4 } else { 1 };
                    count.saturating_mul(weight)
                })
                .fold(0, usize::saturating_add)
        };
        let mut index = Self::default();
        for (place, accesses) in &choices {
            match accesses.iter().min_by_key(|access| cost(access)) {
                None => index.always.push(*place),
                Some(access) => {
                    for (dim, value) in access {
                        if let Some(filed) = index.filed.get_mut(*dim as usize) {
                            push(filed.entry(value.clone()).or_default(), *place);
                        }
                        if let Some(whole) = index.whole.get_mut(*dim as usize) {
                            push(whole, *place);
                        }
                    }
                }
            }
        }
        index.always.dedup();
        index
    }

    /// The lists that together hold every rule that could be true or unknown.
    fn lookup<'i>(&'i self, a: &Assessment, facts: &Facts) -> Heads<'i> {
        let mut heads = Heads::new();
        if !self.always.is_empty() {
            heads.push(&self.always);
        }
        let filed = |heads: &mut Heads<'i>, dim: Dim, value: &str| {
            if let Some(list) = self.filed.get(dim as usize).and_then(|filed| filed.get(value)) {
                heads.push(list);
            }
        };
        let known = |heads: &mut Heads<'i>, dim: Dim, value: Option<&str>| match value {
            Some(value) => filed(heads, dim, value),
            None => heads.extend(self.whole.get(dim as usize).map(Vec::as_slice).filter(|list| !list.is_empty())),
        };
        known(&mut heads, Dim::Key, Some(a.recommendation.key.as_str()));
        for category in a.recommendation.category.iter().chain(&a.recommendation.areas) {
            known(&mut heads, Dim::Category, Some(category));
        }
        known(&mut heads, Dim::Cloud, Some(a.resource.cloud.as_str()));
        known(&mut heads, Dim::Source, Some(a.source.as_str()));
        for (dim, value) in [(Dim::Type, &a.resource.kind), (Dim::Region, &a.resource.region)] {
            if let Some(value) = value {
                known(&mut heads, dim, Some(value));
            }
        }
        known(&mut heads, Dim::Severity, a.severity.map(Severity::as_str));
        known(&mut heads, Dim::Risk, a.risk.as_ref().map(|risk| risk.level.as_str()));
        let account = a.resource.account.as_ref().map(crate::AccountId::as_str);
        known(&mut heads, Dim::Account, account);
        if let Some(account) = account.filter(|_| a.resource.cloud == Cloud::Gcp) {
            known(&mut heads, Dim::Account, Some(other_gcp_form(account)));
        }
        if let Some(subscription) = arm_account(a.resource.id.as_str()).filter(|s| Some(*s) != account) {
            known(&mut heads, Dim::Account, Some(subscription));
        }
        if a.resource.connector.is_some() || a.resource.cloud != Cloud::Azure {
            known(&mut heads, Dim::Connector, a.resource.connector.as_deref());
        }
        match &facts.ancestors {
            None => known(&mut heads, Dim::Management, None),
            Some(ancestors) => {
                for scope in &ancestors.value {
                    known(&mut heads, Dim::Management, Some(scope.as_str()));
                }
            }
        }
        heads
    }
}

fn push(list: &mut Vec<Place>, place: Place) {
    if list.last() != Some(&place) {
        list.push(place);
    }
}

const GCP_NUMBER: &str = "gcp:#number";
const GCP_NAME: &str = "gcp:#name";

fn is_gcp_number(project: &str) -> bool {
    project.rsplit('/').next().is_some_and(|name| name.bytes().all(|b| b.is_ascii_digit()))
}

/// Under which mark the projects stand that are written the other way: by number where this one is
/// written by name. Whether they are the same cannot be known.
fn other_gcp_form(project: &str) -> &'static str {
    if is_gcp_number(project) { GCP_NAME } else { GCP_NUMBER }
}

/// The terms that a scope can be found under; nothing where it is the whole tenant.
fn scope_access(within: &[ScopeId]) -> Option<Access> {
    let mut access = Access::new();
    for scope in within {
        if scope.class() == ScopeClass::Management {
            access.push((Dim::Management, scope.as_str().into()));
        } else if scope.is_connector() {
            access.push((Dim::Connector, scope.as_str().into()));
        } else {
            access.push((Dim::Account, scope.account()?.into()));
            if scope.as_str().starts_with("gcp:") {
                let mark = if is_gcp_number(scope.as_str()) { GCP_NUMBER } else { GCP_NAME };
                access.push((Dim::Account, mark.into()));
            }
        }
    }
    (!access.is_empty()).then_some(access)
}

/// Adds the terms that each condition of a set can be found under.
fn set_accesses(set: &Set, accesses: &mut Vec<Access>) {
    let literals = |dim: Dim, patterns: &[crate::pattern::Pattern]| -> Option<Access> {
        patterns.iter().map(|pattern| pattern.literal().map(|text| (dim, text.into()))).collect()
    };
    for condition in &set.0 {
        let access: Option<Access> = match condition {
            Condition::Severity(levels) => Some(levels.iter().map(|l| (Dim::Severity, l.as_str().into())).collect()),
            Condition::Risk { levels, .. } => {
                Some(levels.iter().map(|level: &RiskLevel| (Dim::Risk, level.as_str().into())).collect())
            }
            Condition::Key(keys) => {
                let itself = keys.iter().map(|key| (Dim::Key, Box::from(key.as_str())));
                let category = keys.iter().filter_map(|key| key.as_str().strip_prefix("category:"));
                Some(itself.chain(category.map(|category| (Dim::Category, category.into()))).collect())
            }
            Condition::Category(patterns) => literals(Dim::Category, patterns),
            Condition::Cloud(clouds) => Some(clouds.iter().map(|c| (Dim::Cloud, c.as_str().into())).collect()),
            Condition::Type(patterns) => literals(Dim::Type, patterns),
            Condition::Region(patterns) => literals(Dim::Region, patterns),
            Condition::Source(sources) => Some(sources.iter().map(|s| (Dim::Source, s.as_str().into())).collect()),
            Condition::Expr(program) => {
                accesses.extend(program.terms().iter().filter_map(term_access));
                None
            }
            Condition::RiskFactor(_)
            | Condition::Title(_)
            | Condition::Tag { .. }
            | Condition::Age { .. }
            | Condition::Not(_)
            | Condition::NotEvaluable(_) => None,
        };
        accesses.extend(access);
    }
}

fn term_access(term: &expr::Term) -> Option<Access> {
    let dim = match term.name {
        expr::Name::Key => Dim::Key,
        expr::Name::Category => Dim::Category,
        expr::Name::Cloud => Dim::Cloud,
        expr::Name::Kind => Dim::Type,
        expr::Name::Region => Dim::Region,
        expr::Name::Source => Dim::Source,
        expr::Name::Severity => Dim::Severity,
        expr::Name::Risk => Dim::Risk,
        expr::Name::Account => Dim::Account,
        expr::Name::Connector
        | expr::Name::Title
        | expr::Name::Areas
        | expr::Name::Policy
        | expr::Name::RiskFactors
        | expr::Name::AttackPaths
        | expr::Name::Group
        | expr::Name::Resource
        | expr::Name::ResourceName
        | expr::Name::AgeDays
        | expr::Name::Ancestors
        | expr::Name::Tags
        | expr::Name::GroupTags
        | expr::Name::AccountTags => return None,
    };
    Some(term.values.iter().map(|value| (dim, value.clone())).collect())
}

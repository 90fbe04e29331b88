//! A rule: where it holds, when, and what follows. Evaluation of one rule on one assessment.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    assessment::{Assessment, RiskLevel, Severity, Source},
    expr::Program,
    facts::{Fact, Facts, Need, Needs, Tags},
    ids::{RecommendationKey, RuleId},
    pattern::Pattern,
    resource::Cloud,
    scope::{ScopeClass, ScopeId},
    timeframe::Timeframe,
    truth::Truth,
};

/// One rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Its id, unique in a rule set.
    pub id: RuleId,
    /// What people call it.
    pub name: Box<str>,
    /// Whether it takes part.
    pub enabled: bool,
    /// Lower goes first.
    pub priority: u32,
    /// Where it holds.
    pub scope: Scope,
    /// When it holds: any of these sets; none means always.
    pub when: Vec<Set>,
    /// Who owns what it governs.
    pub owner: OwnerSource,
    /// How long the owner has; none means no due date.
    pub due: Option<Timeframe>,
    /// What the due date counts from.
    pub due_from: DueFrom,
    /// How long a finding is spared.
    pub grace: Option<Grace>,
    /// Whether and how it is fixed.
    pub fix: Option<FixPolicy>,
    /// Whether a ticket is opened.
    pub ticket: bool,
    /// Who is told: addresses and channel names.
    pub notify: Vec<Box<str>>,
    /// The Defender governance rule that it was imported from, whole.
    pub defender: Option<Box<serde_json::Value>>,
}

/// Where a rule holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Any of these; none means the whole tenant.
    pub within: Vec<ScopeId>,
    /// But none of these.
    pub except: Vec<ScopeId>,
}

/// Conditions that must all hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Set(pub Vec<Condition>);

/// What one condition asks.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// The severity is one of these.
    Severity(Vec<Severity>),
    /// The risk level is one of these.
    Risk {
        /// The levels.
        levels: Vec<RiskLevel>,
        /// What to say where risk was not evaluated.
        when_absent: RiskAbsent,
    },
    /// One of the risk factors fits one of these.
    RiskFactor(Vec<Pattern>),
    /// The recommendation's key, or the key of its category, is one of these (sorted).
    Key(Vec<RecommendationKey>),
    /// The recommendation's title fits one of these.
    Title(Vec<Pattern>),
    /// The recommendation's category, or one of its areas, fits one of these.
    Category(Vec<Pattern>),
    /// The resource is in one of these clouds.
    Cloud(Vec<Cloud>),
    /// The resource's type fits one of these.
    Type(Vec<Pattern>),
    /// The resource's region fits one of these.
    Region(Vec<Pattern>),
    /// The assessment comes from one of these.
    Source(Vec<Source>),
    /// A tag has, or lacks, a value.
    Tag {
        /// Whose tag.
        on: TagOn,
        /// Its key.
        key: Box<str>,
        /// What is asked of it.
        test: TagTest,
    },
    /// The finding is this old.
    Age {
        /// At least this.
        at_least: Option<Timeframe>,
        /// At most this.
        at_most: Option<Timeframe>,
    },
    /// An expression holds.
    Expr(Program),
    /// The other does not hold.
    Not(Box<Condition>),
    /// A condition of a Defender governance rule that Amend cannot evaluate: always unknown.
    NotEvaluable(Box<str>),
}

/// What a risk condition says where risk was not evaluated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RiskAbsent {
    /// It cannot be known.
    #[default]
    Unknown,
    /// The severity stands in, and is shown as such.
    Severity,
}

/// Whose tag a condition asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TagOn {
    /// The resource's.
    #[default]
    Resource,
    /// Its resource group's.
    Group,
    /// Its account's.
    Account,
}

/// What is asked of a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagTest {
    /// Its value fits one of these; a missing tag fits none.
    In(Vec<Pattern>),
    /// It is there, or it is not.
    Present(bool),
}

/// Who owns what a rule governs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerSource {
    /// A person or group named by the rule.
    pub manual: Option<Box<str>>,
    /// The value of this tag, looked up on the resource, then its group, then its account.
    pub tag: Option<Box<str>>,
    /// Who it is where the tag is missing.
    pub fallback: Option<Box<str>>,
}

/// What a due date counts from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DueFrom {
    /// When one of our rules first governed the finding, as Defender counts.
    #[default]
    Identified,
    /// When the finding was first unhealthy.
    FirstUnhealthy,
    /// When it left the backlog.
    Released,
}

/// How long a finding is spared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Grace {
    /// Until it is due: Defender's `isGracePeriod`. The secure score counts it from then on.
    UntilDue,
    /// This long after it was due.
    AfterDue(Timeframe),
}

/// Whether and how a finding is fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FixPolicy {
    /// How far it may go.
    pub mode: Mode,
    /// When it begins.
    pub when: FixWhen,
    /// How long before that its owner is told, and can have it done at once, postpone it or object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announce: Option<Timeframe>,
}

/// How far a fix may go, weakest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Read, check, and show what would be written; write nothing.
    #[default]
    Observe,
    /// Write what a person approved.
    Approve,
    /// Write.
    Enforce,
}

/// When a fix begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FixWhen {
    /// At once.
    #[default]
    Now,
    /// On the due date.
    AtDue,
    /// When the grace period has ended.
    AfterGrace,
}

impl Mode {
    /// The word used in rules, JSON and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Approve => "approve",
            Self::Enforce => "enforce",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Observe, Self::Approve, Self::Enforce].into_iter().find(|mode| mode.as_str() == word)
    }
}

/// What a rule says of an assessment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether it holds.
    pub truth: Truth,
    /// Which of its sets made it hold, where one did.
    pub set: Option<usize>,
    /// How far out the scope is that covers the assessment: 0 is the tenant; `usize::MAX` where it
    /// cannot be told.
    pub depth: usize,
    /// What was not known, along the way.
    pub needs: Needs,
}

impl Rule {
    /// Whether it belongs to the management scopes, which go before the single ones.
    #[must_use]
    pub fn class(&self) -> ScopeClass {
        let single = self.scope.within.iter().any(|scope| scope.class() == ScopeClass::Single);
        if single { ScopeClass::Single } else { ScopeClass::Management }
    }

    /// Whether it holds for an assessment.
    #[must_use]
    pub fn answer(&self, assessment: &Assessment, facts: &Facts) -> Answer {
        let mut needs = Needs::NONE;
        let (mut truth, depth) = self.scope.covers(assessment, facts, &mut needs);
        let mut set = None;
        if truth != Truth::False && !self.when.is_empty() {
            let mut any = Truth::False;
            for (at, conditions) in self.when.iter().enumerate() {
                let one = conditions.holds(assessment, facts, &mut needs);
                if one > any {
                    any = one;
                    set = Some(at);
                }
                if any == Truth::True {
                    break;
                }
            }
            truth = truth.and(any);
        }
        Answer { truth, set, depth, needs }
    }
}

impl Scope {
    /// Whether it covers an assessment, and how far out.
    fn covers(&self, a: &Assessment, facts: &Facts, needs: &mut Needs) -> (Truth, usize) {
        let (mut truth, mut depth) = (Truth::from(self.within.is_empty()), 0);
        if !self.within.is_empty() {
            depth = usize::MAX;
            for scope in &self.within {
                let one = lies_in(scope, a, facts, needs);
                truth = truth.or(one);
                if one == Truth::True {
                    let place = facts.ancestors.as_ref().and_then(|known| known.value.iter().position(|s| s == scope));
                    depth = depth.min(place.map_or(usize::MAX, |at| at.saturating_add(1)));
                }
            }
        }
        if truth == Truth::False {
            return (truth, depth);
        }
        // INVARIANT: an exclusion that cannot be known excludes. The rule then governs as unknown:
        // it does not act, and neither does any rule below it.
        for scope in &self.except {
            truth = truth.and(lies_in(scope, a, facts, needs).negate());
        }
        (truth, depth)
    }
}

/// Whether the assessed resource lies in a scope.
fn lies_in(scope: &ScopeId, a: &Assessment, facts: &Facts, needs: &mut Needs) -> Truth {
    let mut unknown = |need: Need| {
        needs.add(need);
        Truth::Unknown
    };
    let elsewhere = match scope.as_str().split_once(':') {
        Some(("aws", _)) => a.resource.cloud != Cloud::Aws,
        Some(_) => a.resource.cloud != Cloud::Gcp,
        None => false,
    };
    if elsewhere {
        return Truth::False;
    }
    if scope.class() == ScopeClass::Management {
        return match &facts.ancestors {
            Some(known) => known.value.contains(scope).into(),
            None => unknown(Need::Ancestors),
        };
    }
    if scope.is_connector() {
        return match (&a.resource.connector, a.resource.cloud) {
            (Some(connector), _) => scope.holds(connector).into(),
            (None, Cloud::Azure) => Truth::False,
            (None, _) => unknown(Need::Connector),
        };
    }
    if scope.as_str().starts_with('/') {
        // An ARM scope holds Azure resources; those of other clouds lie in their connector.
        return (a.resource.cloud == Cloud::Azure && scope.holds(a.resource.id.as_str())).into();
    }
    match &a.resource.account {
        None => unknown(Need::Account),
        Some(account) if account.as_str() == scope.as_str() => Truth::True,
        // A project has a number and an id; one does not tell the other.
        Some(account) if a.resource.cloud == Cloud::Gcp => {
            let number = |text: &str| text.rsplit('/').next().is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()));
            if number(account.as_str()) == number(scope.as_str()) { Truth::False } else { unknown(Need::Account) }
        }
        Some(_) => Truth::False,
    }
}

impl Set {
    /// Whether all its conditions hold.
    #[must_use]
    pub fn holds(&self, assessment: &Assessment, facts: &Facts, needs: &mut Needs) -> Truth {
        let mut all = Truth::True;
        for condition in &self.0 {
            all = all.and(condition.holds(assessment, facts, needs));
            if all == Truth::False {
                break;
            }
        }
        all
    }
}

/// How long the finding has been as it is.
#[must_use]
pub fn age(assessment: &Assessment, facts: &Facts) -> Option<SignedDuration> {
    let since = assessment.status.changed.or(assessment.status.first_evaluated).or(assessment.sent)?;
    Some(facts.now.duration_since(since).max(SignedDuration::ZERO))
}

impl Condition {
    /// Whether it holds.
    #[must_use]
    pub fn holds(&self, a: &Assessment, facts: &Facts, needs: &mut Needs) -> Truth {
        let mut unknown = |need: Need| {
            needs.add(need);
            Truth::Unknown
        };
        let fits_one = |patterns: &[Pattern], text: Option<&str>| {
            Truth::from(text.is_some_and(|text| patterns.iter().any(|pattern| pattern.fits(text))))
        };
        match self {
            Self::Severity(levels) => match a.severity {
                Some(severity) => levels.contains(&severity).into(),
                None => unknown(Need::Severity),
            },
            Self::Risk { levels, when_absent } => match (&a.risk, when_absent, a.severity) {
                (Some(risk), _, _) => levels.contains(&risk.level).into(),
                (None, RiskAbsent::Severity, Some(severity)) => {
                    levels.iter().any(|level| level.as_str() == severity.as_str()).into()
                }
                (None, _, _) => unknown(Need::Risk),
            },
            Self::RiskFactor(patterns) => match &a.risk {
                Some(risk) => risk.factors.iter().any(|f| patterns.iter().any(|p| p.fits(f))).into(),
                None => unknown(Need::Risk),
            },
            Self::Key(keys) => {
                let by_category = || {
                    let category = a.recommendation.category.as_deref()?;
                    keys.iter().find(|key| key.as_str().strip_prefix("category:") == Some(category))
                };
                (keys.binary_search(&a.recommendation.key).is_ok() || by_category().is_some()).into()
            }
            Self::Title(patterns) => fits_one(patterns, Some(&a.recommendation.title.to_lowercase())),
            Self::Category(patterns) => {
                let area = a.recommendation.areas.iter().any(|area| patterns.iter().any(|p| p.fits(area)));
                fits_one(patterns, a.recommendation.category.as_deref()).or(area.into())
            }
            Self::Cloud(clouds) => clouds.contains(&a.resource.cloud).into(),
            Self::Type(patterns) => fits_one(patterns, a.resource.kind.as_deref()),
            Self::Region(patterns) => fits_one(patterns, a.resource.region.as_deref()),
            Self::Source(sources) => sources.contains(&a.source).into(),
            Self::Tag { on, key, test } => {
                let (fact, need) = tags(*on, facts);
                // What has no resource group has no tags of one: known, and empty.
                let has_none = *on == TagOn::Group && a.resource.group().is_none();
                let value = match fact {
                    _ if has_none => None,
                    Some(known) => known.value.get(key),
                    None => return unknown(need),
                };
                match test {
                    TagTest::Present(wanted) => (value.is_some() == *wanted).into(),
                    TagTest::In(patterns) => fits_one(patterns, value.map(str::to_lowercase).as_deref()),
                }
            }
            Self::Age { at_least, at_most } => match age(a, facts) {
                None => unknown(Need::Time),
                Some(age) => {
                    let seconds = age.as_secs();
                    (at_least.is_none_or(|least| seconds >= least.seconds())
                        && at_most.is_none_or(|most| seconds <= most.seconds()))
                    .into()
                }
            },
            Self::Expr(program) => {
                let evaluated = program.holds(a, facts);
                *needs = needs.with(evaluated.needs);
                evaluated.truth
            }
            Self::Not(other) => other.holds(a, facts, needs).negate(),
            Self::NotEvaluable(_) => unknown(Need::Evaluator),
        }
    }
}

impl Condition {
    /// What of `assessment` made the condition hold, in few words: the one value that was asked for,
    /// not all that would have done.
    #[must_use]
    pub fn because(&self, a: &Assessment) -> String {
        let fitting = |patterns: &[Pattern], text: &str| {
            patterns.iter().find(|pattern| pattern.fits(text)).map_or_else(|| text.to_owned(), ToString::to_string)
        };
        match self {
            Self::Severity(_) => a.severity.map(|severity| format!("severity {severity}")),
            Self::Risk { .. } => match (&a.risk, a.severity) {
                (Some(risk), _) => Some(format!("risk {}", risk.level)),
                (None, severity) => severity.map(|severity| format!("severity {severity} (risk not evaluated)")),
            },
            Self::RiskFactor(patterns) => a.risk.as_ref().and_then(|risk| {
                let factor = risk.factors.iter().find(|factor| patterns.iter().any(|pattern| pattern.fits(factor)));
                factor.map(|factor| format!("risk factor {factor}"))
            }),
            Self::Key(_) => Some("named by its key".to_owned()),
            Self::Title(patterns) => {
                Some(format!("name {}", fitting(patterns, &a.recommendation.title.to_lowercase())))
            }
            Self::Category(patterns) => {
                let words = a.recommendation.category.iter().chain(&a.recommendation.areas);
                let mut fitting = words.filter(|word| patterns.iter().any(|pattern| pattern.fits(word)));
                fitting.next().map(|word| format!("category {word}"))
            }
            Self::Cloud(_) => Some(format!("cloud {}", a.resource.cloud)),
            Self::Type(_) => a.resource.kind.as_ref().map(|kind| format!("type {kind}")),
            Self::Region(_) => a.resource.region.as_ref().map(|region| format!("region {region}")),
            Self::Source(_) => Some(format!("source {}", a.source)),
            Self::Tag { .. } | Self::Age { .. } | Self::Expr(_) | Self::Not(_) | Self::NotEvaluable(_) => None,
        }
        .unwrap_or_else(|| self.to_string())
    }
}

fn tags(on: TagOn, facts: &Facts) -> (&Fact<Tags>, Need) {
    match on {
        TagOn::Resource => (&facts.tags, Need::Tags),
        TagOn::Group => (&facts.group_tags, Need::GroupTags),
        TagOn::Account => (&facts.account_tags, Need::AccountTags),
    }
}

impl Grace {
    /// When it ends, for a finding that is due at `due`.
    #[must_use]
    pub fn ends(self, due: Timestamp) -> Timestamp {
        match self {
            Self::UntilDue => due,
            Self::AfterDue(more) => more.after(due),
        }
    }
}

/// `a`, `a or b`, `a, b or c`.
fn either<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: &[T]) -> fmt::Result {
    let last = items.len().saturating_sub(1);
    for (at, item) in items.iter().enumerate().take(6) {
        let glue = match at {
            0 => "",
            _ if at == last => " or ",
            _ => ", ",
        };
        write!(f, "{glue}{item}")?;
    }
    match items.len().saturating_sub(6) {
        0 => Ok(()),
        more => write!(f, " or {more} more"),
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = |what: &str, items: &dyn Fn(&mut fmt::Formatter<'_>) -> fmt::Result| {
            write!(f, "{what} ")?;
            items(f)
        };
        match self {
            Self::Severity(levels) => list("severity", &|f| either(f, levels)),
            Self::Risk { levels, when_absent: RiskAbsent::Unknown } => list("risk", &|f| either(f, levels)),
            Self::Risk { levels, when_absent: RiskAbsent::Severity } => {
                list("risk (else severity)", &|f| either(f, levels))
            }
            Self::RiskFactor(patterns) => list("risk factor", &|f| either(f, patterns)),
            Self::Key(keys) => list("key", &|f| either(f, keys)),
            Self::Title(patterns) => list("name", &|f| either(f, patterns)),
            Self::Category(patterns) => list("category", &|f| either(f, patterns)),
            Self::Cloud(clouds) => list("cloud", &|f| either(f, clouds)),
            Self::Type(patterns) => list("type", &|f| either(f, patterns)),
            Self::Region(patterns) => list("region", &|f| either(f, patterns)),
            Self::Source(sources) => list("source", &|f| either(f, sources)),
            Self::Tag { on, key, test } => {
                let whose = match on {
                    TagOn::Resource => "",
                    TagOn::Group => "group ",
                    TagOn::Account => "account ",
                };
                match test {
                    TagTest::In(patterns) => list(&format!("{whose}tag {key}"), &|f| either(f, patterns)),
                    TagTest::Present(true) => write!(f, "{whose}tag {key} is there"),
                    TagTest::Present(false) => write!(f, "{whose}tag {key} is missing"),
                }
            }
            Self::Age { at_least, at_most } => match (at_least, at_most) {
                (Some(least), Some(most)) => write!(f, "age {least} to {most}"),
                (Some(least), None) => write!(f, "age at least {least}"),
                (None, Some(most)) => write!(f, "age at most {most}"),
                (None, None) => f.write_str("any age"),
            },
            Self::Expr(program) => f.write_str(program.source()),
            Self::Not(other) => write!(f, "not {other}"),
            Self::NotEvaluable(what) => write!(f, "{what} (not evaluable)"),
        }
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("always");
        }
        for (at, condition) in self.0.iter().enumerate() {
            write!(f, "{}{condition}", if at == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

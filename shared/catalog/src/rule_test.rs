//! Test cases that stand in a rule file, and running them.

use amend_domain::{
    Action, Assessment, AssessmentId, Cloud, Decision, Fact, Facts, Outcome, Recommendation, RecommendationKey,
    Resource, ResourceId, Risk, RiskLevel, RuleSet, ScopeId, Severity, Source, Status, StatusCode, Tags, TenantId,
    Timeframe,
    facts::Known,
    owners::Owners,
    resource::{AccountId, arm_type, arn_account},
};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::{
    mistakes::Collector,
    shape::{Kind, Shape, may, must},
    yaml::{Node, Value},
};

const TAGS: Kind = Kind::Table(&Kind::Text);
const LEVELS: Kind = Kind::Word(&["low", "medium", "high", "critical"]);

static GIVEN: Shape = Shape {
    name: "the assessment of a test",
    fields: &[
        must("key", Kind::Text, "The recommendation's key."),
        must("resource", Kind::Text, "The resource's native id: an ARM id, an ARN, a Google Cloud full name."),
        may("name", Kind::Text, "The recommendation's title."),
        may("category", Kind::Text, "Its category."),
        may("areas", Kind::OneOrMany(&Kind::Text), "Its areas."),
        may("type", Kind::Text, "The resource's type; of an ARM id it is known."),
        may("region", Kind::Text, "The resource's region."),
        may("account", Kind::Text, "The account, where the resource's id does not name it."),
        may("connector", Kind::Text, "The security connector, an ARM id."),
        may(
            "source",
            Kind::Word(&["defender", "policy-state", "security-hub", "scc"]),
            "Who reports it; defender, if absent.",
        ),
        may("severity", LEVELS, "The severity; unknown, if absent."),
        may("risk", LEVELS, "The risk level; not evaluated, if absent."),
        may("risk_factors", Kind::OneOrMany(&Kind::Text), "The risk factors."),
        may("age", Kind::Text, "How long it has been so; no time at all, if absent."),
        may("tags", TAGS, "The resource's tags; unknown, if absent."),
        may("group_tags", TAGS, "Its resource group's tags; unknown, if absent."),
        may("account_tags", TAGS, "Its account's tags; unknown, if absent."),
        may(
            "ancestors",
            Kind::List(&Kind::Text),
            "The management scopes above the account, outermost first; unknown, if absent.",
        ),
    ],
};

static EXPECT: Shape = Shape {
    name: "what a test expects",
    fields: &[
        must("rule", Kind::Text, "The id of the rule that governs; `none`; or `undetermined`."),
        may("owner", Kind::Text, "The owner; `none` where there is none."),
        may("due", Kind::Text, "How long the owner has; `none` where there is no due date."),
        may("fix", Kind::Word(&["none", "observe", "approve", "enforce"]), "How far a fix may go."),
        may("ticket", Kind::Bool, "Whether a ticket is opened."),
    ],
};

/// A test case.
pub static TEST: Shape = Shape {
    name: "a test",
    fields: &[
        must("name", Kind::Text, "A sentence that says what must hold."),
        must("given", Kind::Map(&GIVEN), "The assessment and what is known about it."),
        must("expect", Kind::Map(&EXPECT), "What the rules must say."),
    ],
};

/// A test case, ready to run.
#[derive(Clone, Debug)]
pub struct RuleTest {
    /// The sentence that says what must hold.
    pub name: String,
    assessment: Box<Assessment>,
    facts: Facts,
    expect: Vec<(&'static str, String)>,
}

/// How a test ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TestResult {
    /// The test's name.
    pub name: String,
    /// What was not as expected; nothing where the test passed.
    pub wrong: Vec<Difference>,
}

/// One thing that was not as expected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What: `rule`, `owner`, …
    pub what: String,
    /// What the test expects.
    pub expected: String,
    /// What the rules say.
    pub found: String,
}

/// The moment that tests take for now: a result does not depend on the day it is computed.
fn test_now() -> Timestamp {
    Timestamp::from_second(1_767_225_600).unwrap_or_default()
}

pub(crate) fn read(node: &Node, mistakes: &mut Collector) -> Option<RuleTest> {
    let (name, given, expect) = (node.get("name")?, node.get("given")?, node.get("expect")?);
    let text = |member: &str, mistakes: &Collector| given.get(member).map(|node| mistakes.text(node));
    let key_node = given.get("key")?;
    let key_text = mistakes.text(key_node);
    let Some(key) = RecommendationKey::parse(&key_text) else {
        mistakes.error(key_node, format!("`{key_text}` is no recommendation key"), None);
        return None;
    };
    let id = ResourceId::new(&text("resource", mistakes)?);
    let cloud = id.cloud();
    let account = match (text("account", mistakes), cloud) {
        (Some(account), Cloud::Aws) => AccountId::aws(account.trim_start_matches("aws:")),
        (Some(account), Cloud::Gcp) => AccountId::gcp(account.trim_start_matches("gcp:projects/")),
        (_, Cloud::Aws) => arn_account(id.as_str()),
        (_, _) => AccountId::azure(id.as_str()),
    };
    let now = test_now();
    let age = match given.get("age") {
        None => None,
        Some(node) => match Timeframe::parse(&mistakes.text(node)) {
            Ok(age) => Some(age),
            Err(error) => {
                mistakes.error(node, error.to_string(), None);
                return None;
            }
        },
    };
    let changed = age.and_then(|age| now.checked_sub(SignedDuration::from_secs(age.seconds())).ok());
    let level = text("risk", mistakes).and_then(|level| RiskLevel::parse(&level));
    let assessment = Assessment {
        tenant: TenantId::new(""),
        source: match text("source", mistakes).as_deref() {
            Some("policy-state") => Source::PolicyState,
            Some("security-hub") => Source::SecurityHub,
            Some("scc") => Source::Scc,
            _ => Source::Defender,
        },
        id: AssessmentId::new(&format!("{id}/test/{key}")),
        recommendation: Recommendation {
            title: text("name", mistakes).unwrap_or_else(|| key.to_string()).into(),
            key,
            category: text("category", mistakes).map(|c| c.to_lowercase().into()),
            areas: mistakes.texts(given.get("areas")).into_iter().map(|a| a.to_lowercase().into()).collect(),
            policy: None,
            remediation: None,
        },
        resource: Resource {
            cloud,
            kind: text("type", mistakes).map(|t| t.to_lowercase()).or_else(|| arm_type(id.as_str())).map(Into::into),
            name: id.short_name().into(),
            account,
            region: text("region", mistakes).map(|r| r.to_lowercase().into()),
            connector: text("connector", mistakes).map(|c| amend_domain::resource::canonical_arm(&c).into()),
            id,
        },
        status: Status { code: StatusCode::Unhealthy, cause: None, changed, first_evaluated: changed },
        severity: text("severity", mistakes).and_then(|s| Severity::parse(&s)),
        risk: level.map(|level| Risk {
            level,
            factors: mistakes.texts(given.get("risk_factors")).into_iter().map(|f| f.to_lowercase().into()).collect(),
            attack_paths: 0,
        }),
        action: Action::Report,
        snapshot: false,
        sent: None,
        link: None,
        details: None,
    };
    let tags = |member: &str, mistakes: &Collector| -> Fact<Tags> {
        let entries = given.get(member)?.entries();
        let tags = entries.iter().map(|(key, value)| (mistakes.text(key), mistakes.text(value))).collect();
        Some(known(Tags(tags), now))
    };
    let mut ancestors = None;
    if let Some(list) = given.get("ancestors") {
        let mut scopes = Vec::new();
        for element in list.elements() {
            match ScopeId::parse(&mistakes.text(element)) {
                Ok(scope) => scopes.push(scope),
                Err(error) => mistakes.error(element, error.to_string(), None),
            }
        }
        ancestors = Some(known(scopes, now));
    }
    let facts = Facts {
        now,
        ancestors,
        tags: tags("tags", mistakes),
        group_tags: tags("group_tags", mistakes),
        account_tags: tags("account_tags", mistakes),
        account_name: None,
        unread: Vec::new(),
    };
    let mut expected = Vec::new();
    for what in ["rule", "owner", "due", "fix", "ticket"] {
        let Some(node) = expect.get(what) else { continue };
        let mut value = match &node.value {
            Value::Bool(b) if what == "ticket" => b.to_string(),
            _ => mistakes.text(node),
        };
        if what == "due" && value != "none" {
            match Timeframe::parse(&value) {
                Ok(due) => value = due.to_string(),
                Err(error) => mistakes.error(node, error.to_string(), None),
            }
        }
        expected.push((what, value));
    }
    Some(RuleTest { name: mistakes.text(name), assessment: Box::new(assessment), facts, expect: expected })
}

fn known<T>(value: T, read: Timestamp) -> std::sync::Arc<Known<T>> {
    std::sync::Arc::new(Known { value, source: "test".into(), read })
}

impl RuleTest {
    /// Runs the case against `rules`.
    #[must_use]
    pub fn run(&self, rules: &RuleSet) -> TestResult {
        let decision = Decision::new(
            rules.decide(&self.assessment, &self.facts),
            &self.assessment,
            &self.facts,
            &Owners::default(),
            rules.digest(),
        );
        let rule = decision.rule.as_ref().map(ToString::to_string);
        let mut wrong = Vec::new();
        for (what, expected) in &self.expect {
            let found = match (*what, &decision.outcome) {
                ("rule", Outcome::Governed) => rule.clone().unwrap_or_default(),
                ("rule", Outcome::Undetermined { .. }) => "undetermined".to_owned(),
                ("rule", _) => "none".to_owned(),
                ("owner", _) => decision.owner.name.as_deref().unwrap_or("none").to_owned(),
                ("due", _) => decision.due.map_or_else(|| "none".to_owned(), |due| due.to_string()),
                ("fix", _) => decision.fix.map_or("none", |fix| fix.mode.as_str()).to_owned(),
                _ => decision.ticket.to_string(),
            };
            if found != *expected {
                let found = match (*what, &decision.outcome) {
                    ("rule", Outcome::Undetermined { .. }) => format!("undetermined ({})", decision.why),
                    _ => found,
                };
                wrong.push(Difference { what: (*what).to_owned(), expected: expected.clone(), found });
            }
        }
        TestResult { name: self.name.clone(), wrong }
    }
}

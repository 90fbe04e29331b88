//! A plan: what a fix would change on one resource, in full, before anything is written. And what
//! became of it: the record from which a next run goes on, undoes or reports.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    digest,
    fix::Impact,
    guard::Check,
    ids::{ProblemId, RuleId},
    resource::{AccountId, Cloud, ResourceId},
    rule::Mode,
};

/// A plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The version of the format: 1.
    pub version: u32,
    /// The fix.
    pub fix: Box<str>,
    /// The digest of its file.
    pub fix_digest: Box<str>,
    /// What it does.
    pub title: Box<str>,
    /// Where it would be done.
    pub at: At,
    /// When it was made.
    pub made: Timestamp,
    /// What came of looking.
    pub verdict: Verdict,
    /// What would change.
    pub changes: Vec<Change>,
    /// What would be called, in order.
    pub calls: Vec<PlannedCall>,
    /// What was read for it, in order.
    #[serde(default)]
    pub reads: Vec<ReadCall>,
    /// What would be called to undo it, as things stand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undo: Vec<PlannedCall>,
    /// What else uses the setting, where the fix can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affected: Option<Vec<String>>,
    /// What it may cost.
    pub impact: Impact,
    /// What undoing would not bring back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo_loses: Option<Box<str>>,
    /// The values of its parameters.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub params: Map<String, Value>,
    /// Names what is approved: the fix, where, what changes and all calls.
    pub digest: Box<str>,
}

/// Where something is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct At {
    /// The resource.
    pub resource: ResourceId,
    /// Its cloud.
    pub cloud: Cloud,
    /// The account it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// Its region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Box<str>>,
    /// The assessed resource that led here, where that is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<ResourceId>,
}

/// What came of looking at a resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum Verdict {
    /// It is as it should be: nothing is sent.
    Compliant,
    /// Something is to be written.
    Write,
    /// Nothing may be written.
    Refused {
        /// Why, and what to do.
        why: String,
    },
}

/// A setting that would change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Its name, as the cloud's documentation has it.
    pub setting: Box<str>,
    /// What it is.
    pub before: Value,
    /// What it shall be.
    pub then: Value,
    /// Whether its values are kept from eyes and logs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sensitive: bool,
}

/// A call that would be made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedCall {
    /// The call.
    pub call: Box<str>,
    /// Its arguments.
    pub with: Value,
    /// The settings that it changes.
    pub changes: Vec<Box<str>>,
    /// Which of the fix's writes it is.
    pub step: usize,
    /// Whether its arguments are kept from eyes and logs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sensitive: bool,
}

/// A call that was made to look.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReadCall {
    /// The call.
    pub call: Box<str>,
    /// Its arguments.
    pub with: Value,
}

/// What is covered by a plan's digest.
#[derive(Serialize)]
struct Covered<'a> {
    fix: &'a str,
    fix_digest: &'a str,
    at: &'a At,
    verdict: &'a Verdict,
    changes: &'a [Change],
    calls: &'a [PlannedCall],
    reads: &'a [ReadCall],
    undo: &'a [PlannedCall],
    params: &'a Map<String, Value>,
}

impl Plan {
    /// How many resources it reaches: what else uses the setting, and the resource itself.
    #[must_use]
    pub fn reach(&self) -> u64 {
        u64::try_from(self.affected.as_ref().map_or(0, Vec::len)).unwrap_or(u64::MAX).max(1)
    }

    /// The digest of what the plan says: the same resource in the same state gives the same.
    ///
    /// # Errors
    /// When a value is no JSON.
    pub fn digest_of(&self) -> Result<String, serde_json::Error> {
        digest::digest(&Covered {
            fix: &self.fix,
            fix_digest: &self.fix_digest,
            at: &self.at,
            verdict: &self.verdict,
            changes: &self.changes,
            calls: &self.calls,
            reads: &self.reads,
            undo: &self.undo,
            params: &self.params,
        })
    }

    /// The settings as they were, by name.
    #[must_use]
    pub fn before(&self) -> Map<String, Value> {
        self.changes.iter().map(|change| (change.setting.to_string(), change.before.clone())).collect()
    }

    /// The settings as they shall be, by name.
    #[must_use]
    pub fn then(&self) -> Map<String, Value> {
        self.changes.iter().map(|change| (change.setting.to_string(), change.then.clone())).collect()
    }
}

/// What became of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Remediation {
    /// Its id: `r-` and 26 characters.
    pub id: Box<str>,
    /// The plan.
    pub plan: Plan,
    /// Who asked for it.
    pub by: Box<str>,
    /// The problem that it is to close; none, where a person asked for it by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<ProblemId>,
    /// The rule that governs that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleId>,
    /// The decision that it follows from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<Decided>,
    /// How far it may go by itself; a person who asks by hand is asked for nothing more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// What the guards said, when they were asked last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    /// Who asked for it to be undone, last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo_by: Option<Box<str>>,
    /// What a person said of it, where one was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// How far it is.
    pub state: State,
    /// Counts its changes: a writer that saw an older one is too late.
    pub revision: u64,
    /// When it was begun.
    pub begun: Timestamp,
    /// When it changed last.
    pub changed: Timestamp,
    /// When the cloud's API said that it is as it should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<Timestamp>,
    /// The calls that it made, in order.
    #[serde(default)]
    pub made: Vec<Made>,
    /// When to look again, where it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    /// When waiting ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Whether it failed, and is being undone for that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub failing: bool,
    /// What the executor said that looked before it began, where one does it: it undoes nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attest: Option<Box<str>>,
    /// The calls that undo it, once undoing has begun.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub back: Vec<PlannedCall>,
    /// Why it is where it is, where that needs saying.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Settings that somebody else changed: what we found, beside `before` and `then`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub found: Map<String, Value>,
}

/// What a person said of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Whether it may be done.
    pub approved: bool,
    /// Who said so.
    pub by: Box<str>,
    /// When.
    pub at: Timestamp,
    /// The digest of the plan that it was said of.
    pub plan: Box<str>,
    /// The digest of the batch that they saw it in, if in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<Box<str>>,
    /// The revision of the record that it made.
    pub revision: u64,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Box<str>>,
}

impl Remediation {
    /// Whether it is set, and its source did not say so yet; also where that was waited for in vain.
    #[must_use]
    pub fn is_unconfirmed(&self) -> bool {
        self.state == State::Set || self.state == State::Parked && self.set.is_some() && self.back.is_empty()
    }
}

/// A decision about a problem, as far as whoever asks later must know it: the problem may be decided anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// The digest of the rule set that was asked.
    pub rule_set: Box<str>,
    /// Why it decided so, in one line.
    pub why: Box<str>,
}

/// Who asks for a remediation, and for what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Who.
    pub by: Box<str>,
    /// The problem that it is to close.
    pub problem: Option<ProblemId>,
    /// The rule that governs that.
    pub rule: Option<RuleId>,
    /// The decision that it follows from.
    pub decided: Option<Decided>,
    /// How far it may go by itself.
    pub mode: Option<Mode>,
    /// Until when a person may say whether it may be done, where one is asked.
    pub until: Option<Timestamp>,
    /// What the guards said.
    pub checks: Vec<Check>,
}

impl From<&str> for Asked {
    fn from(by: &str) -> Self {
        Self { by: by.into(), ..Self::default() }
    }
}

/// How far a remediation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Shown, and nothing will be written: its rule only observes.
    Observed,
    /// A person is asked whether it may be done.
    AwaitingApproval,
    /// Planned, and nothing was written.
    Planned,
    /// Its calls are being made.
    Applying,
    /// Its calls were accepted; whether they did it is not yet read.
    Applied,
    /// The cloud's API says that it is as it should be.
    Set,
    /// The source of truth says so, too.
    Healthy,
    /// It failed, and what it wrote is undone.
    Failed,
    /// A guard forbids it: nothing was written.
    Blocked,
    /// It is being undone.
    Undoing,
    /// Undone: the settings read back as they were.
    Undone,
    /// The resource changed since it was planned: plan again.
    Superseded,
    /// It cannot go on by itself: a person must look.
    Parked,
}

impl State {
    /// Their words.
    pub const WORDS: &'static [&'static str] = &[
        "observed",
        "awaiting-approval",
        "planned",
        "applying",
        "applied",
        "set",
        "healthy",
        "failed",
        "blocked",
        "undoing",
        "undone",
        "superseded",
        "parked",
    ];

    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Observed => "observed",
            Self::AwaitingApproval => "awaiting-approval",
            Self::Planned => "planned",
            Self::Applying => "applying",
            Self::Applied => "applied",
            Self::Set => "set",
            Self::Healthy => "healthy",
            Self::Failed => "failed",
            Self::Blocked => "blocked",
            Self::Undoing => "undoing",
            Self::Undone => "undone",
            Self::Superseded => "superseded",
            Self::Parked => "parked",
        }
    }

    /// Whether it writes, or is about to.
    #[must_use]
    pub fn is_at_it(self) -> bool {
        matches!(self, Self::Planned | Self::Applying | Self::Applied | Self::Undoing)
    }

    /// Whether nothing happens any more by itself.
    #[must_use]
    pub fn is_final(self) -> bool {
        !matches!(self, Self::AwaitingApproval | Self::Planned | Self::Applying | Self::Applied | Self::Undoing)
    }
}

/// A call that was made, or was about to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Made {
    /// The call.
    pub call: Box<str>,
    /// The digest of its arguments.
    pub digest: Box<str>,
    /// The settings that it changes.
    pub changes: Vec<Box<str>>,
    /// Which of the plan's calls it is; of an undo, which of that.
    pub index: usize,
    /// Whether it is one of the undo.
    #[serde(default)]
    pub undo: bool,
    /// When it was about to be sent.
    pub at: Timestamp,
    /// What is known of it.
    pub outcome: MadeOutcome,
}

/// What is known of a call that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum MadeOutcome {
    /// It was about to be sent: perhaps it was.
    Sent,
    /// The cloud accepted it.
    Accepted,
    /// The cloud did nothing.
    Refused {
        /// Why.
        why: String,
    },
}

/// How a setting stands, beside what it was and what we wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is as it was before.
    Before,
    /// It is as we wrote it.
    Ours,
    /// It is a list on its way from one to the other: all of its elements are of one of them, and what
    /// both have is there.
    Between,
    /// It is something else: somebody changed it.
    Other,
}

impl Change {
    /// Whether anything changes.
    #[must_use]
    pub fn is_real(&self) -> bool {
        !same(&self.before, &self.then)
    }

    /// How the setting stands now.
    #[must_use]
    pub fn standing(&self, now: &Value) -> Standing {
        if same(now, &self.then) {
            Standing::Ours
        } else if same(now, &self.before) {
            Standing::Before
        } else if between(now, &self.before, &self.then) {
            Standing::Between
        } else {
            Standing::Other
        }
    }
}

fn between(now: &Value, before: &Value, then: &Value) -> bool {
    let (Value::Array(now), Value::Array(before), Value::Array(then)) = (now, before, then) else { return false };
    now.iter().all(|one| contains(before, one) || contains(then, one))
        && before.iter().filter(|one| contains(then, one)).all(|one| contains(now, one))
}

/// Whether `list` has such an element.
#[must_use]
pub fn contains(list: &[Value], one: &Value) -> bool {
    list.iter().any(|other| same(one, other))
}

/// Whether two values mean the same: members that are null are as good as not there, and the order of
/// lists of maps means nothing to the clouds.
#[must_use]
pub fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let covers = |a: &Map<String, Value>, b: &Map<String, Value>| {
                a.iter().all(|(name, value)| same(value, b.get(name).unwrap_or(&Value::Null)))
            };
            covers(a, b) && covers(b, a)
        }
        (Value::Array(a), Value::Array(b)) => {
            let mut rest: Vec<&Value> = b.iter().collect();
            a.len() == b.len()
                && a.iter().all(|one| match rest.iter().position(|other| same(one, other)) {
                    Some(at) => {
                        rest.swap_remove(at);
                        true
                    }
                    None => false,
                })
        }
        (a, b) => a == b,
    }
}

/// The same without members that are null.
#[must_use]
pub fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(name, value)| (name.clone(), without_nulls(value))).collect())
        }
        Value::Array(list) => list.iter().map(without_nulls).collect(),
        value => value.clone(),
    }
}

/// One line of a diff.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DiffLine {
    /// Where: `PublicAccessBlockConfiguration.BlockPublicAcls`.
    pub path: String,
    /// What was there; nothing, if it is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What shall be there; nothing, if it goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub then: Option<Value>,
}

/// What changes between two values, by path. Elements of lists come and go; they have no place.
#[must_use]
pub fn diff(path: &str, before: &Value, then: &Value) -> Vec<DiffLine> {
    let line = |before: Option<&Value>, then: Option<&Value>| DiffLine {
        path: path.to_owned(),
        before: before.cloned(),
        then: then.cloned(),
    };
    match (before, then) {
        _ if same(before, then) => Vec::new(),
        (Value::Object(a), Value::Object(b)) => {
            let names = a.keys().chain(b.keys().filter(|name| !a.contains_key(*name)));
            names
                .flat_map(|name| {
                    let value = |of: &Map<String, Value>| of.get(name).cloned().unwrap_or(Value::Null);
                    diff(&format!("{path}.{name}"), &value(a), &value(b))
                })
                .collect()
        }
        (Value::Array(a), Value::Array(b)) if named(a) && named(b) => {
            // Elements with a name of their own are followed by it.
            let find = |list: &[Value], name: &str| list.iter().find(|one| name_of(one) == Some(name)).cloned();
            let names = a.iter().chain(b.iter().filter(|one| name_of(one).is_some_and(|name| find(a, name).is_none())));
            names
                .filter_map(name_of)
                .flat_map(|name| {
                    let last = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
                    let short = last(name);
                    let alone =
                        a.iter().chain(b).filter_map(name_of).all(|other| other == name || last(other) != short);
                    let short = if alone { short } else { name.to_owned() };
                    let value = |list: &[Value]| find(list, name).unwrap_or(Value::Null);
                    diff(&format!("{path}[{short}]"), &value(a), &value(b))
                })
                .collect()
        }
        (Value::Array(a), Value::Array(b)) => {
            let gone = |from: &[Value], other: &[Value]| -> Vec<Value> {
                from.iter().filter(|one| !contains(other, one)).cloned().collect()
            };
            let goes = gone(a, b);
            let comes = gone(b, a);
            let goes = goes.iter().map(|value| line(Some(value), None)).collect::<Vec<_>>();
            goes.into_iter().chain(comes.iter().map(|value| line(None, Some(value)))).collect()
        }
        (Value::Null, then) => vec![line(None, Some(then))],
        (before, Value::Null) => vec![line(Some(before), None)],
        (before, then) => vec![line(Some(before), Some(then))],
    }
}

/// The name of an element of a list, where it has one.
fn name_of(element: &Value) -> Option<&str> {
    ["id", "Sid", "name"].iter().find_map(|name| element.get(*name)?.as_str())
}

/// Whether every element has a name, and no two the same.
fn named(list: &[Value]) -> bool {
    let mut names: Vec<&str> = list.iter().filter_map(name_of).collect();
    names.sort_unstable();
    names.dedup();
    !list.is_empty() && names.len() == list.len()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_the_same_where_the_cloud_sees_no_difference() {
        assert!(same(&json!({"a": 1, "b": null}), &json!({"a": 1})));
        assert!(same(&json!([{"x": 1}, {"y": 2}]), &json!([{"y": 2}, {"x": 1, "z": null}])));
        assert!(!same(&json!([1, 1, 2]), &json!([1, 2, 2])));
        assert!(!same(&json!({"a": false}), &json!({"a": null})));
    }

    #[test]
    fn a_diff_names_what_comes_and_goes() {
        let lines = diff("S", &json!({"a": 1, "l": [1, 2]}), &json!({"a": 2, "l": [2, 3], "n": true}));
        let text: Vec<String> = lines
            .iter()
            .map(|l| {
                format!(
                    "{} {:?} {:?}",
                    l.path,
                    l.before.as_ref().map(ToString::to_string),
                    l.then.as_ref().map(ToString::to_string)
                )
            })
            .collect();
        assert_eq!(
            text,
            ["S.a Some(\"1\") Some(\"2\")", "S.l Some(\"1\") None", "S.l None Some(\"3\")", "S.n None Some(\"true\")"]
        );
        let rules = |sources: &str| json!([{"id": "/nsg/ssh", "sources": sources}, {"id": "/nsg/web", "sources": "*"}]);
        let paths: Vec<String> =
            diff("R", &rules("*"), &rules("10.0.0.0/8")).into_iter().map(|line| line.path).collect();
        assert_eq!(paths, ["R[ssh].sources"]);
    }

    #[test]
    fn a_setting_that_somebody_changed_is_neither_ours_nor_what_it_was() {
        let change = Change { setting: "s".into(), before: json!([1]), then: json!([]), sensitive: false };
        assert_eq!(change.standing(&json!([1])), Standing::Before);
        assert_eq!(change.standing(&json!([])), Standing::Ours);
        assert_eq!(change.standing(&json!([2])), Standing::Other);
        let change = Change { before: json!([1, 2, 3]), then: json!([3]), ..change };
        assert_eq!(change.standing(&json!([3, 1])), Standing::Between);
        assert_eq!(change.standing(&json!([1])), Standing::Other);
    }
}

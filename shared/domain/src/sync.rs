//! The systems that problems come from, and that are told what became of them: Defender for Cloud, AWS Security Hub,
//! Security Command Center. Which of them know a problem, what of it they are told, and what they were told last.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    assessment::Source,
    ids::{AssessmentId, ProblemId},
    plan::{Remediation, State as Step},
    problem::{Place, Problem},
    resource::Cloud,
};

/// A system that is told what became of problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum System {
    /// Microsoft Defender for Cloud: governance assignments.
    Defender,
    /// AWS Security Hub: workflow and note of a finding, and findings of Defender's.
    SecurityHub,
    /// Google's Security Command Center: security marks.
    Scc,
}

impl System {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Defender, Self::SecurityHub, Self::Scc];

    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Defender => "defender",
            Self::SecurityHub => "security-hub",
            Self::Scc => "scc",
        }
    }

    /// What people call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Defender => "Defender for Cloud",
            Self::SecurityHub => "Security Hub",
            Self::Scc => "Security Command Center",
        }
    }

    /// Its word, in the audit trail, for what it was told.
    #[must_use]
    pub fn told(self) -> &'static str {
        match self {
            Self::Defender => "sync.defender",
            Self::SecurityHub => "sync.security-hub",
            Self::Scc => "sync.scc",
        }
    }

    /// Reads a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|system| system.as_str() == word)
    }

    /// The source whose findings it has.
    #[must_use]
    pub fn source(self) -> Source {
        match self {
            Self::Defender => Source::Defender,
            Self::SecurityHub => Source::SecurityHub,
            Self::Scc => Source::Scc,
        }
    }

    /// Whether it may have something about a problem. Security Hub may about anything in AWS, whoever reported it. What
    /// is in no account that is known is nowhere to be told.
    #[must_use]
    pub fn knows(self, problem: &Problem) -> bool {
        match self {
            Self::Defender => self.findings(problem).next().is_some(),
            Self::Scc => self.findings(problem).next().is_some() && problem.resource.account.is_some(),
            Self::SecurityHub => problem.resource.cloud == Cloud::Aws && problem.resource.account.is_some(),
        }
    }

    /// What it says of a problem.
    pub fn findings(self, problem: &Problem) -> impl Iterator<Item = &AssessmentId> {
        let ours = move |finding: &Source| *finding == self.source();
        problem.findings.iter().filter(move |(_, finding)| ours(&finding.source)).map(|(id, _)| id)
    }

    /// The name of what is done about a problem with it.
    #[must_use]
    pub fn subject(self, problem: &ProblemId) -> String {
        format!("{}/{problem}", self.as_str())
    }

    /// The system and the id of the problem in such a name.
    #[must_use]
    pub fn of_subject(subject: &str) -> Option<(Self, &str)> {
        let (system, problem) = subject.split_once('/')?;
        Some((Self::parse(system)?, problem))
    }
}

/// Whether something of a problem changed that systems are told of. What waits in the backlog is not begun with.
#[must_use]
pub fn differs(before: Option<&Problem>, now: &Problem) -> bool {
    let told = |problem: &Problem| {
        let findings: Vec<_> = problem.findings.iter().map(|(id, finding)| (id.clone(), finding.state)).collect();
        let owner = problem.decision.owner.name.clone();
        (problem.state, problem.place, problem.period, problem.due, problem.eta.clone(), owner, findings)
    };
    now.place != Place::Backlog && before.is_none_or(|before| told(before) != told(now))
}

/// Whether a step of a remediation is told: what is set, and what is so no more.
#[must_use]
pub fn is_told(r: &Remediation) -> bool {
    matches!(r.state, Step::Set | Step::Healthy | Step::Undone | Step::Failed)
}

/// What a system was told of a problem.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Synced {
    /// By what the system calls it: the id of an assessment or a finding.
    #[serde(default)]
    pub targets: BTreeMap<Box<str>, Told>,
}

/// Values, by where they stand there: `owner`, `additionalData.ticketLink`.
pub type Values = BTreeMap<Box<str>, Value>;

/// What one assessment or finding was told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// In which period of the problem.
    #[serde(default)]
    pub period: u32,
    /// What it was told last.
    #[serde(default, skip_serializing_if = "Values::is_empty")]
    pub values: Values,
    /// Where something else stands by now than it was told: that is somebody else's.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub theirs: BTreeSet<Box<str>>,
    /// What was read there and taken over.
    #[serde(default, skip_serializing_if = "Values::is_empty")]
    pub read: Values,
    /// What it is being told, null for what is taken back: whether it heard that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub telling: Option<Values>,
    /// When it was told something last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

impl Told {
    /// The same, by what stands there now: what it was being told was heard where it stands there, which is said; what
    /// is not as it was told is somebody else's.
    ///
    /// In a new period of the problem what was taken away from there may be told again.
    #[must_use]
    pub fn seen(&self, period: u32, at: impl Fn(&str) -> Value) -> (Self, Vec<Changed>) {
        let mut now = Self { telling: None, ..self.clone() };
        let mut heard = Vec::new();
        if now.period != period {
            now.period = period;
            now.theirs.clear();
            now.values.retain(|path, _| !at(path).is_null());
        }
        for (path, to) in self.telling.iter().flatten() {
            let from = self.values.get(path).cloned().unwrap_or(Value::Null);
            if !same(&at(path), to) || same(&from, to) {
                continue;
            }
            if to.is_null() {
                now.values.remove(path)
            } else {
                now.values.insert(path.clone(), to.clone())
            };
            heard.push(Changed { path: path.clone(), from, to: to.clone() });
        }
        let others: Vec<Box<str>> =
            now.values.iter().filter(|(path, value)| !same(&at(path), value)).map(|(path, _)| path.clone()).collect();
        for path in others {
            now.values.remove(&path);
            now.theirs.insert(path);
        }
        (now, heard)
    }

    /// The same, where it was told that.
    #[must_use]
    pub fn heard(mut self, telling: Values, now: Timestamp) -> Self {
        for (path, to) in telling {
            if to.is_null() {
                self.values.remove(&path)
            } else {
                self.values.insert(path, to)
            };
        }
        Self { telling: None, at: Some(now), ..self }
    }
}

/// Whether two values say the same: times do, however they are written, and members, whatever their case.
#[must_use]
pub fn same(one: &Value, other: &Value) -> bool {
    let time = |value: &Value| value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let given = |members: &Map<String, Value>| members.values().filter(|value| !value.is_null()).count();
            let has = |name: &str, value: &Value| {
                other.iter().any(|(member, other)| member.eq_ignore_ascii_case(name) && same(value, other))
            };
            given(one) == given(other) && one.iter().all(|(name, value)| value.is_null() || has(name, value))
        }
        _ => one == other || time(one).zip(time(other)).is_some_and(|(one, other)| one == other),
    }
}

/// One value that is changed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Changed {
    /// Where it stands.
    pub path: Box<str>,
    /// What it was; null, where it was nothing.
    pub from: Value,
    /// What it is; null, where it is taken away.
    pub to: Value,
}

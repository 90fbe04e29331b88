//! A problem: one wrong setting on one resource, whichever sources report it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    assessment::{Action, Assessment, RiskLevel, Severity, Source, StatusCode},
    decision::{Decision, Outcome, Owner},
    ids::{AssessmentId, ProblemId, RecommendationKey, TenantId},
    resource::Resource,
    rule::{DueFrom, FixWhen},
    said::{Announced, Eta, Moved},
    settings::Setting,
};

/// What one source last said of a problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Who says so.
    pub source: Source,
    /// Under which recommendation.
    pub key: RecommendationKey,
    /// What it says.
    pub state: FindingState,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// What one source says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingState {
    /// The setting is wrong.
    Unhealthy,
    /// The setting is right.
    Healthy,
    /// An exemption covers it.
    Exempt,
    /// It does not count here.
    NotApplicable,
    /// The source deleted the finding.
    Deleted,
}

/// Whether a problem is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state", content = "outcome")]
pub enum State {
    /// It is.
    Open,
    /// It is not, any more.
    Closed(Closed),
}

/// How a problem went away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Closed {
    /// The source of truth says that the setting is right.
    Healthy,
    /// The resource is gone, or the recommendation was retired: `Delete` can mean either.
    Deleted,
    /// An exemption covers it.
    Exempted,
    /// It does not count here any more.
    OutOfScope,
}

/// Whether work on a problem may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "place", content = "at")]
pub enum Place {
    /// It was reported as it changed: work may begin.
    Live,
    /// It came with a snapshot or an import, or without a time: nothing begins.
    Backlog,
    /// A person let it go on.
    Released(Timestamp),
}

/// One wrong setting on one resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its name.
    pub id: ProblemId,
    /// The resource.
    pub resource: Resource,
    /// The setting.
    pub setting: Setting,
    /// What people call it.
    pub title: Box<str>,
    /// How bad it is in general.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// How bad it is here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk: Option<RiskLevel>,
    /// What each source last said.
    pub findings: BTreeMap<AssessmentId, Finding>,
    /// Whether it is there.
    #[serde(flatten)]
    pub state: State,
    /// Whether work may begin.
    #[serde(flatten)]
    pub place: Place,
    /// How often it has come: 1 at first, 2 after the first regression.
    pub period: u32,
    /// Since when it is there, this time.
    pub opened: Timestamp,
    /// When a rule first governed it, this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identified: Option<Timestamp>,
    /// When it is due. Once set it does not move within a period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    /// Until when it is spared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spared_until: Option<Timestamp>,
    /// Who moved its due date last, where somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved: Option<Moved>,
    /// When its owner means to be done, where they said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta: Option<Eta>,
    /// Whose it is by Defender's governance assignment, where Defender is whose word counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assigned: Option<Box<str>>,
    /// The fix that its owner was told of before it begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced: Option<Announced>,
    /// What was last decided while it was there.
    pub decision: Decision,
    /// Which finding that was decided about.
    pub decided_by: AssessmentId,
}

/// Whose word counts, by default Defender's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceOfTruth(pub Source);

impl Default for SourceOfTruth {
    fn default() -> Self {
        Self(Source::Defender)
    }
}

impl Problem {
    /// What becomes of a problem when an assessment of it was decided.
    ///
    /// `previous` is the problem as it was, if we knew it. Returns nothing where the assessment
    /// neither opens a problem nor touches one: a healthy setting we never heard of, an action or a
    /// status that this version does not know.
    #[must_use]
    pub fn advance(
        previous: Option<Self>,
        assessment: &Assessment,
        setting: &Setting,
        decision: Decision,
        truth: SourceOfTruth,
        now: Timestamp,
    ) -> Option<Self> {
        let Some(state) = finding_state(assessment) else { return previous };
        if previous.is_none() && state != FindingState::Unhealthy {
            return None;
        }
        let finding = Finding {
            source: assessment.source,
            key: assessment.recommendation.key.clone(),
            state,
            since: assessment.time(),
        };
        // A snapshot says how things stand, and what has no time cannot be put in order: both are
        // recorded and decided, and start nothing.
        let live = !assessment.snapshot && assessment.time().is_some();
        let place = if live { Place::Live } else { Place::Backlog };
        let opened = assessment.time().unwrap_or(now);
        let mut problem = match previous {
            Some(problem) => problem,
            None => Self {
                tenant: assessment.tenant.clone(),
                id: ProblemId::new(&assessment.tenant, assessment.resource.id.as_str(), setting.as_str()),
                resource: assessment.resource.clone(),
                setting: setting.clone(),
                title: assessment.recommendation.title.clone(),
                severity: assessment.severity,
                risk: None,
                findings: BTreeMap::new(),
                state: State::Open,
                place,
                period: 1,
                opened,
                identified: None,
                due: None,
                spared_until: None,
                moved: None,
                eta: None,
                assigned: None,
                announced: None,
                decision: decision.clone(),
                decided_by: assessment.id.clone(),
            },
        };
        problem.findings.insert(assessment.id.clone(), finding);
        let was = problem.state;
        problem.state = standing(&problem.findings, truth);
        if problem.state == State::Open && matches!(was, State::Closed(_)) {
            // It came back: a new period, with dates of its own.
            problem.period = problem.period.saturating_add(1);
            (problem.opened, problem.place) = (opened, place);
            (problem.identified, problem.due, problem.spared_until) = (None, None, None);
            (problem.moved, problem.eta, problem.assigned) = (None, None, None);
            // Who objected still does.
            problem.announced = problem.announced.take().filter(|announced| announced.objected.is_some());
        }
        let speaks = state == FindingState::Unhealthy && problem.is_decided_by(assessment, truth);
        // INVARIANT: what other rules said stays assigned when the rules are edited: work has begun on
        // it. (`rules apply` will re-run them.) What waits, or was not decided, takes the new word.
        let assigned = problem.identified.is_some() && *problem.decision.rule_set != *decision.rule_set;
        if speaks {
            problem.title = assessment.recommendation.title.clone();
            problem.severity = assessment.severity.or(problem.severity);
            problem.risk = assessment.risk.as_ref().map(|risk| risk.level).or(problem.risk);
            if assessment.source == truth.0 || problem.resource.account.is_none() {
                problem.resource = assessment.resource.clone();
            }
            if !assigned {
                problem.decision = decision;
                problem.decided_by = assessment.id.clone();
                problem.keep_assigned();
            }
        }
        problem.set_dates(now);
        Some(problem)
    }

    /// Whether it is there.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Whether it waits for facts that no rule could be decided without.
    #[must_use]
    pub fn is_undetermined(&self) -> bool {
        self.state == State::Open && matches!(self.decision.outcome, Outcome::Undetermined { .. })
    }

    /// Whether it waits for facts: to be decided, or to have an owner.
    #[must_use]
    pub fn lacks_facts(&self) -> bool {
        self.state == State::Open && !self.decision.lacks().is_empty()
    }

    /// Whether an assessment speaks for the problem: one finding does, until it is no longer open.
    /// The source of truth takes the word from any other.
    fn is_decided_by(&self, assessment: &Assessment, truth: SourceOfTruth) -> bool {
        let speaker = self.findings.get(&self.decided_by).filter(|finding| finding.state == FindingState::Unhealthy);
        match speaker {
            None => true,
            Some(speaker) => {
                self.decided_by == assessment.id || (assessment.source == truth.0 && speaker.source != truth.0)
            }
        }
    }

    /// Takes a decision about the same finding, made with more facts than the last, which lacked some.
    ///
    /// Returns whether it did: what was undetermined is decided anew; where a rule governs already, it
    /// stays, and only an owner that could not be told is.
    pub fn determine(&mut self, assessment: &Assessment, decision: Decision, now: Timestamp) -> bool {
        if !self.lacks_facts() || self.decided_by != assessment.id || decision == self.decision {
            return false;
        }
        if self.is_undetermined() {
            self.decision = decision;
        } else if self.decision.rule == decision.rule
            && self.decision.rule_set == decision.rule_set
            && self.decision.owner != decision.owner
        {
            self.decision.owner = decision.owner;
        } else {
            return false;
        }
        self.keep_assigned();
        self.set_dates(now);
        true
    }

    /// Whoever Defender says owns it does, whatever the rules say.
    pub(crate) fn keep_assigned(&mut self) {
        if let Some(owner) = &self.assigned {
            let from = "assigned in Defender for Cloud".into();
            self.decision.owner = Owner { name: Some(owner.clone()), from, lacks: None };
        }
    }

    /// When its fix may begin; never, where no rule wants one, or work on it may not begin.
    #[must_use]
    pub fn fix_begins(&self) -> Option<Timestamp> {
        let begins = self.fix_is_wanted()?;
        match (&self.announced, self.decision.fix?.announce) {
            (Some(announced), _) if announced.objected.is_some() => None,
            (Some(announced), Some(_)) => announced.begins,
            // So long before, its owner is told.
            (None, Some(before)) => {
                begins.checked_sub(SignedDuration::from_secs(before.seconds())).ok().max(self.identified)
            }
            (_, None) => Some(begins),
        }
    }

    /// When its rule wants it fixed, whether or not that is announced before; never, where no rule wants it, or work on
    /// it may not begin.
    #[must_use]
    pub fn fix_is_wanted(&self) -> Option<Timestamp> {
        let may = self.state == State::Open && self.place != Place::Backlog;
        let policy = self.decision.fix.filter(|_| may && self.decision.outcome == Outcome::Governed)?;
        match policy.when {
            FixWhen::Now => self.identified,
            FixWhen::AtDue => self.due,
            FixWhen::AfterGrace => self.spared_until.or(self.due),
        }
    }

    /// Whether its rule asks for a ticket, or somebody objects to its fix, and work on it may begin. Where it went away,
    /// the ticket is to say so.
    #[must_use]
    pub fn wants_ticket(&self) -> bool {
        let objected = self.announced.as_ref().is_some_and(|announced| announced.objected.is_some());
        (self.decision.ticket || objected) && self.decision.outcome == Outcome::Governed && self.place != Place::Backlog
    }

    /// Its place in the queue: most risky first, then most severe.
    #[must_use]
    pub fn rank(&self) -> i64 {
        let level = |level: Option<u8>| level.map_or(0, |level| i64::from(level).saturating_add(1));
        let risk = level(self.risk.map(|risk| risk as u8));
        risk.saturating_mul(16).saturating_add(level(self.severity.map(|severity| severity as u8)))
    }

    /// Lets a problem leave the backlog: its dates are set now.
    ///
    /// Returns whether it was in the backlog.
    pub fn release(&mut self, now: Timestamp) -> bool {
        if self.place != Place::Backlog || self.state != State::Open {
            return false;
        }
        self.place = Place::Released(now);
        self.set_dates(now);
        true
    }

    /// Sets the dates of an open problem that a rule governs and that work may begin on, once.
    fn set_dates(&mut self, now: Timestamp) {
        if self.state != State::Open || self.place == Place::Backlog || self.decision.outcome != Outcome::Governed {
            return;
        }
        let identified = *self.identified.get_or_insert(now);
        // A date once set does not move; one that no rule has set yet, may be.
        if self.due.is_none() {
            self.set_due(self.due_if_begun(identified));
        }
    }

    /// Sets when it is due, and what counts from then.
    pub(crate) fn set_due(&mut self, due: Option<Timestamp>) {
        self.due = due;
        self.spared_until = due.zip(self.decision.grace).map(|(due, grace)| grace.ends(due));
    }

    /// When it would be due if work on it began `now`.
    #[must_use]
    pub fn due_if_begun(&self, now: Timestamp) -> Option<Timestamp> {
        let start = match (self.decision.due_from, self.place) {
            (DueFrom::FirstUnhealthy, _) => self.opened,
            (DueFrom::Released, Place::Released(at)) => at,
            (DueFrom::Identified | DueFrom::Released, _) => now,
        };
        self.decision.due.map(|timeframe| timeframe.after(start))
    }

    /// Whether the sources agree on whether it is there.
    #[must_use]
    pub fn sources_agree(&self) -> bool {
        let mut open = self.findings.values().map(|finding| finding.state == FindingState::Unhealthy);
        let first = open.next();
        open.all(|one| Some(one) == first)
    }

    /// Its place in every list: most risky first, then most severe, then oldest.
    #[must_use]
    pub fn urgency(&self) -> Urgency {
        Urgency {
            calm: self.state != State::Open,
            risk: std::cmp::Reverse(self.risk),
            severity: std::cmp::Reverse(self.severity),
            opened: self.opened,
            id: self.id.clone(),
        }
    }
}

/// The order of work: lowest first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Urgency {
    calm: bool,
    risk: std::cmp::Reverse<Option<RiskLevel>>,
    severity: std::cmp::Reverse<Option<Severity>>,
    opened: Timestamp,
    id: ProblemId,
}

/// What an assessment says of its problem; nothing where this version does not know the words.
fn finding_state(assessment: &Assessment) -> Option<FindingState> {
    match (assessment.action, assessment.status.code) {
        (Action::Unknown, _) | (Action::Report, StatusCode::Other) => None,
        (Action::Delete, _) => Some(FindingState::Deleted),
        (Action::Report, StatusCode::Unhealthy) => Some(FindingState::Unhealthy),
        (Action::Report, StatusCode::Healthy) => Some(FindingState::Healthy),
        (Action::Report, StatusCode::NotApplicable) if assessment.is_exempt() => Some(FindingState::Exempt),
        (Action::Report, StatusCode::NotApplicable) => Some(FindingState::NotApplicable),
    }
}

/// Whether a problem is there, given what the sources say: the source of truth where it speaks,
/// else any of the others.
fn standing(findings: &BTreeMap<AssessmentId, Finding>, truth: SourceOfTruth) -> State {
    let of_truth = findings.values().any(|finding| finding.source == truth.0);
    let mut states = findings.values().filter(|f| !of_truth || f.source == truth.0).map(|f| f.state);
    let all: Vec<FindingState> = states.by_ref().collect();
    let has = |state: FindingState| all.contains(&state);
    if has(FindingState::Unhealthy) {
        State::Open
    } else if has(FindingState::Healthy) {
        State::Closed(Closed::Healthy)
    } else if has(FindingState::Exempt) {
        State::Closed(Closed::Exempted)
    } else if has(FindingState::Deleted) {
        State::Closed(Closed::Deleted)
    } else {
        State::Closed(Closed::OutOfScope)
    }
}

impl Closed {
    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Deleted => "resource deleted or recommendation retired",
            Self::Exempted => "exempted",
            Self::OutOfScope => "out of scope",
        }
    }
}

//! What people are told as it happens: that something is wrong, that they are asked, that Amend writes and wrote.
//! Nobody is told of what a snapshot or an import brought.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Cloud,
    assessment::{RiskLevel, Severity},
    decision::Outcome,
    ids::ProblemId,
    plan::{MadeOutcome, Remediation, State as Step},
    problem::{Closed, Place, Problem, State},
    said::{Announced, Said},
};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum News {
    /// A problem is there.
    Opened,
    /// One came back.
    Returned,
    /// It was due, and is there yet.
    Overdue,
    /// It is going to be fixed, unless somebody objects.
    Announced,
    /// A person is asked whether it may be fixed.
    Asked,
    /// It is about to be written.
    Changing,
    /// It was written, and reads back as it should be.
    Changed,
    /// The source of truth says that it is as it should be.
    Healthy,
    /// It went away in another way.
    Closed,
    /// It is about to be undone, as somebody asked for.
    Undoing,
    /// It was undone.
    Undone,
    /// A fix failed: what it wrote is undone.
    Failed,
    /// It cannot go on by itself: a person must look.
    Parked,
}

impl News {
    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Returned => "returned",
            Self::Overdue => "overdue",
            Self::Announced => "announced",
            Self::Asked => "asked",
            Self::Changing => "changing",
            Self::Changed => "changed",
            Self::Healthy => "healthy",
            Self::Closed => "closed",
            Self::Undoing => "undoing",
            Self::Undone => "undone",
            Self::Failed => "failed",
            Self::Parked => "parked",
        }
    }

    /// Whether it is told at once, whatever the hour.
    #[must_use]
    pub fn is_urgent(self) -> bool {
        matches!(self, Self::Failed | Self::Parked)
    }

    /// What a step of a remediation tells people, where it tells them anything.
    #[must_use]
    pub fn of(r: &Remediation) -> Option<Self> {
        match r.state {
            Step::AwaitingApproval => Some(Self::Asked),
            // Each of its calls is such a step: what counts is that the first is about to be made.
            Step::Applying if r.made.last().is_some_and(|made| made.outcome == MadeOutcome::Sent) => {
                Some(Self::Changing)
            }
            Step::Set => Some(Self::Changed),
            Step::Healthy => Some(Self::Healthy),
            Step::Undoing if !r.failing => Some(Self::Undoing),
            Step::Undone => Some(Self::Undone),
            Step::Failed => Some(Self::Failed),
            Step::Parked => Some(Self::Parked),
            _ => None,
        }
    }
}

/// Whom a notice is for, as rules name them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Whom {
    /// A channel of the configuration, by its name there.
    Channel(Box<str>),
    /// An address of mail.
    Address(Box<str>),
    /// Whoever owns something, as they are called: they are told where they can be.
    Owner(Box<str>),
}

impl Whom {
    /// Whom a rule names: an address, or a channel, as `#cloud-security` or `cloud_security`.
    #[must_use]
    pub fn named(text: &str) -> Self {
        match text.trim() {
            address if address.contains('@') => Self::Address(address.to_ascii_lowercase().into()),
            channel => {
                let plain = channel.trim_start_matches('#').to_ascii_lowercase().replace(['-', ' ', '.'], "_");
                Self::Channel(plain.into())
            }
        }
    }
}

impl From<Whom> for String {
    fn from(whom: Whom) -> Self {
        whom.to_string()
    }
}

impl From<String> for Whom {
    fn from(text: String) -> Self {
        match text.split_once(':') {
            Some(("owner", name)) => Self::Owner(name.into()),
            _ => Self::named(&text),
        }
    }
}

impl std::fmt::Display for Whom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Channel(name) => write!(f, "#{name}"),
            Self::Address(address) => f.write_str(address),
            Self::Owner(name) => write!(f, "owner:{name}"),
        }
    }
}

/// Whether a text is an address of mail and nothing else.
#[must_use]
pub fn is_address(text: &str) -> bool {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !"<>,;:\"()[]\\@".contains(c);
    match text.split_once('@') {
        Some((who, host)) => !who.is_empty() && host.len() > 2 && who.chars().all(plain) && host.chars().all(plain),
        None => false,
    }
}

/// Something that people are told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub news: News,
    /// About which problem.
    pub problem: ProblemId,
    /// How often that has come.
    pub period: u32,
    /// What is wrong.
    pub title: Box<str>,
    /// What people call the resource.
    pub name: Box<str>,
    /// Its cloud.
    pub cloud: Cloud,
    /// Its subscription, account or project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Box<str>>,
    /// How bad it is here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk: Option<RiskLevel>,
    /// How bad it is in general.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// Who owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Box<str>>,
    /// Why that is not known yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_lacks: Option<Box<str>>,
    /// When it is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    /// Its place among others.
    pub rank: i64,
    /// What fixes it, where this is about that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<Fixing>,
    /// Why, where that needs saying.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Box<str>>,
}

/// What fixes a problem, in a notice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fixing {
    /// The remediation.
    pub remediation: Box<str>,
    /// The fix.
    pub fix: Box<str>,
    /// Who asked for it, or approved it.
    pub by: Box<str>,
}

impl Notice {
    /// What is told of a problem that changed.
    #[must_use]
    pub fn of(problem: &Problem, before: Option<&Problem>, now: Timestamp) -> Option<Self> {
        let is_told = |one: &Problem| {
            one.state == State::Open && one.place == Place::Live && one.decision.outcome == Outcome::Governed
        };
        if problem.decision.notify.is_empty() {
            return None;
        }
        let news = match (before.is_some_and(is_told), problem.state) {
            (false, _) if is_told(problem) && problem.period > 1 => News::Returned,
            (false, _) if is_told(problem) => News::Opened,
            (true, State::Closed(Closed::Healthy)) => News::Healthy,
            (true, State::Closed(closed)) => {
                let why = Some(closed.words().into());
                return Some(Self { why, ..Self::about(problem, News::Closed, now) });
            }
            _ => return None,
        };
        Some(Self::about(problem, news, now))
    }

    /// What is told of a fix that is going to begin: told now, that is when.
    #[must_use]
    pub fn announced(problem: &Problem, announced: &Announced) -> Self {
        let why = Some(announced.words().into());
        Self { why, ..Self::about(problem, News::Announced, announced.at) }
    }

    /// What is told of a problem that is late.
    #[must_use]
    pub fn overdue(problem: &Problem, now: Timestamp) -> Self {
        Self::about(problem, News::Overdue, now)
    }

    /// Whether it is still so: what was announced may be answered, or away, by now.
    #[must_use]
    pub fn is_current(&self, problem: &Problem) -> bool {
        self.news != News::Announced
            || problem.state == State::Open
                && problem.announced.as_ref().is_some_and(|one| one.at == self.at && one.objected.is_none())
    }

    /// Brings up to date who owns the problem, when it is due, and when its fix begins, were that told `now`.
    pub fn refresh(&mut self, problem: &Problem, now: Timestamp) {
        let fresh = Self::about(problem, self.news, self.at);
        (self.owner, self.owner_lacks, self.due) = (fresh.owner, fresh.owner_lacks, fresh.due);
        let mut told = problem.clone();
        if self.news == News::Announced && told.hear(&Said::Told(self.at), now).is_ok() {
            self.why = told.announced.map(|announced| announced.words().into());
        }
    }

    /// Whether a step of a remediation tells people anything.
    #[must_use]
    pub fn is_worth_telling(r: &Remediation) -> bool {
        News::of(r).is_some()
    }

    /// What is told of a step of a remediation of a problem.
    #[must_use]
    pub fn of_step(r: &Remediation, problem: &Problem) -> Option<Self> {
        let news = News::of(r)?;
        let undone_by = r.undo_by.as_ref().filter(|_| matches!(news, News::Undoing | News::Undone));
        let approved_by = r.answer.as_ref().filter(|answer| answer.approved).map(|answer| &answer.by);
        let fix = Fixing {
            remediation: r.id.clone(),
            fix: r.plan.fix.clone(),
            by: undone_by.or(approved_by).unwrap_or(&r.by).clone(),
        };
        let why = r.why.as_deref().map(Into::into);
        Some(Self { fix: Some(fix), why, ..Self::about(problem, news, r.changed) })
    }

    fn about(problem: &Problem, news: News, at: Timestamp) -> Self {
        Self {
            at,
            news,
            problem: problem.id.clone(),
            period: problem.period,
            title: problem.title.clone(),
            name: problem.resource.name.clone(),
            cloud: problem.resource.cloud,
            account: problem.resource.account.as_ref().map(|account| account.native().into()),
            risk: problem.risk,
            severity: problem.severity,
            owner: problem.decision.owner.name.clone(),
            owner_lacks: problem.decision.owner.lacks.map(|_| problem.decision.owner.from.clone()),
            due: problem.due,
            rank: problem.rank(),
            fix: None,
            why: None,
        }
    }

    /// Whom it is for: those whom the rule of a problem names, and, where something is written or late, its owner.
    pub fn for_whom<'p>(&self, problem: &'p Problem) -> impl Iterator<Item = Whom> + use<'p> {
        let mut whom: BTreeSet<Whom> = problem.decision.notify.iter().map(|name| Whom::named(name)).collect();
        let is_owners =
            matches!(self.news, News::Overdue | News::Announced) || self.fix.is_some() && self.news != News::Asked;
        let owner = problem.decision.owner.name.as_deref().filter(|_| is_owners);
        if let Some(owner) = owner.filter(|owner| !whom.contains(&Whom::named(owner))) {
            whom.insert(Whom::Owner(owner.into()));
        }
        whom.into_iter()
    }

    /// The name of it for somebody, unlike that of any other.
    #[must_use]
    pub fn name_for(&self, whom: &Whom) -> String {
        let of = match (&self.fix, self.due) {
            (Some(fix), _) => fix.remediation.to_string(),
            // A date can be moved, and passed again.
            (None, Some(due)) if self.news == News::Overdue => format!("{}/{due}", self.problem),
            // Another plan, or another date, is announced anew.
            (None, _) if self.news == News::Announced => format!("{}/{}", self.problem, self.at),
            (None, _) => format!("{}/{}", self.problem, self.period),
        };
        format!("news/{whom}/{of}/{}", self.news.as_str())
    }
}

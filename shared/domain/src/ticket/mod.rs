//! Tickets: what one person handles together, what of it is wanted in a tracker, and what the tracker was told.
//! [`Ticket::next`] says what to tell it; it is asked again after each step, until there is nothing more to say.
//! What people do there stands: what they closed is closed until something comes back.

mod text;

use std::{collections::BTreeMap, fmt::Write as _};

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde::{Deserialize, Serialize};

pub use self::text::{Details, Draft};
use self::text::{code, day, line, listed, plain};

use crate::{
    assessment::{RiskLevel, Severity},
    ids::{ProblemId, RuleId, TenantId, TicketId},
    problem::{Closed, Problem, State},
    resource::{Cloud, ResourceId},
    settings::Setting,
};

/// What is handled together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum About {
    /// One setting, wherever it is wrong, of one owner.
    Setting {
        /// The setting.
        setting: Setting,
        /// The owner.
        owner: Option<Box<str>>,
    },
    /// All that is to be done on one resource by one owner: updates, machine configurations, secrets.
    Resource {
        /// The resource.
        resource: ResourceId,
        /// The owner.
        owner: Option<Box<str>>,
    },
    /// One problem.
    Problem {
        /// The problem.
        problem: ProblemId,
        /// The owner.
        owner: Option<Box<str>>,
    },
    /// What was more than a budget in a day.
    Rest {
        /// Whose budget: an owner's or a rule's.
        of: Box<str>,
        /// The day, in UTC.
        day: Date,
    },
}

/// Categories of which everything on a resource is handled together.
/// <https://learn.microsoft.com/azure/defender-for-cloud/recommendations-reference>
const BY_RESOURCE: [&str; 5] =
    ["softwareupdate", "systemupdate", "hostmisconfigurations", "exposedsecrets", "codevulnerabilities"];

impl About {
    /// What a problem is handled with; `category` is that of its recommendation, where it is known.
    #[must_use]
    pub fn of(problem: &Problem, category: Option<&str>) -> Self {
        let critical = match problem.risk {
            Some(risk) => risk == RiskLevel::Critical,
            None => problem.severity == Some(Severity::Critical),
        };
        let owner = problem.decision.owner.name.clone();
        let category: String = category.unwrap_or_default().chars().filter(char::is_ascii_alphanumeric).collect();
        if BY_RESOURCE.contains(&category.to_ascii_lowercase().as_str()) {
            Self::Resource { resource: problem.resource.id.clone(), owner }
        } else if critical {
            Self::Problem { problem: problem.id.clone(), owner }
        } else {
            Self::Setting { setting: problem.setting.clone(), owner }
        }
    }

    /// Whether what belonged here belongs there now: it has another owner.
    #[must_use]
    pub fn is_other_owners(&self, now: &Self) -> bool {
        !matches!(self, Self::Rest { .. }) && self.owner() != now.owner()
    }

    fn owner(&self) -> Option<&str> {
        match self {
            Self::Setting { owner, .. } | Self::Resource { owner, .. } | Self::Problem { owner, .. } => {
                owner.as_deref()
            }
            Self::Rest { .. } => None,
        }
    }

    /// What is opened in place of one ticket too many.
    #[must_use]
    pub fn rest(of: &str, now: Timestamp) -> Self {
        Self::Rest { of: of.into(), day: now.to_zoned(TimeZone::UTC).date() }
    }
}

/// A ticket, as Amend wants it to be, and as its tracker was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// Its name, and the key by which it is found in the tracker.
    pub id: TicketId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The tracker that it belongs in.
    pub tracker: Box<str>,
    /// What is handled together.
    pub about: About,
    /// What people call it.
    pub title: Box<str>,
    /// Who is to handle it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Box<str>>,
    /// The rule that asked for it first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleId>,
    /// Where the first of its problems is.
    #[serde(default)]
    pub place: Place,
    /// When it was first wanted.
    pub began: Timestamp,
    /// The problems that it is about.
    #[serde(default)]
    pub members: BTreeMap<ProblemId, Member>,
    /// What the tracker was told.
    #[serde(default)]
    pub told: Told,
    /// How often what is wanted has changed.
    #[serde(default)]
    pub wanted: i64,
}

/// Where something is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The cloud.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud: Option<Cloud>,
    /// The account, by its native id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Box<str>>,
}

impl Place {
    /// Where a problem is.
    #[must_use]
    pub fn of(problem: &Problem) -> Self {
        let account = problem.resource.account.as_ref().map(|account| account.native().into());
        Self { cloud: Some(problem.resource.cloud), account }
    }
}

/// A problem, as a ticket tells of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The resource.
    pub resource: ResourceId,
    /// What people call that.
    pub name: Box<str>,
    /// What is wrong.
    pub title: Box<str>,
    /// How bad it is there, where that was evaluated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk: Option<RiskLevel>,
    /// How bad it is in general.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// When it is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    /// How often it has come.
    pub period: u32,
    /// That its fix is announced, or who objects to that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced: Option<Box<str>>,
    /// How it went away; nothing, where it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Closed>,
}

impl Member {
    /// A problem as it is now.
    #[must_use]
    pub fn of(problem: &Problem) -> Self {
        Self {
            resource: problem.resource.id.clone(),
            name: problem.resource.name.clone(),
            title: problem.title.clone(),
            risk: problem.risk,
            severity: problem.severity,
            due: problem.due,
            period: problem.period,
            announced: problem.announced.as_ref().map(|announced| announced.words().into()),
            closed: match problem.state {
                State::Open => None,
                State::Closed(how) => Some(how),
            },
        }
    }

    /// Whether it is there.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.closed.is_none()
    }
}

/// What a tracker was told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// What stands there; nothing, before it was opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<Entry>,
    /// When it was told something last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// The problems as it was told of them.
    #[serde(default)]
    pub members: BTreeMap<ProblemId, Member>,
    /// Counts what it was told: a writer that saw less is too late.
    #[serde(default)]
    pub revision: u64,
    /// What it is being told: whether it heard that already is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub telling: Option<Telling>,
}

/// What a tracker is being told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Telling {
    /// Since when.
    pub at: Timestamp,
    /// Whether it is to be open then; nothing, where that stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<bool>,
    /// How often what is wanted had changed by then.
    pub wanted: i64,
}

/// What stands in a tracker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What the tracker calls it: `SEC-12`, `INC0010023`, `7`.
    pub key: Box<str>,
    /// Where people look at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<Box<str>>,
    /// Whether it is open.
    pub open: bool,
}

/// How many tickets may be opened in a day; what is more goes into one for the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// For one owner.
    pub per_owner: u64,
    /// By one rule.
    pub per_rule: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { per_owner: 20, per_rule: 200 }
    }
}

/// A ticket in the tracker that Amend brings with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalTicket {
    /// Its number: 1, 2, 3, …
    pub number: u64,
    /// The key by which Amend finds it.
    pub id: TicketId,
    /// The title.
    pub title: Box<str>,
    /// The rest, in Markdown.
    pub body: Box<str>,
    /// Who is to handle it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Box<str>>,
    /// When it is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    /// Whether it is open.
    pub open: bool,
    /// When it was opened first.
    pub opened: Timestamp,
    /// What happened to it since.
    #[serde(default)]
    pub notes: Vec<Note>,
}

/// What somebody said in a ticket, or did with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: Box<str>,
    /// What: `comment`, `closed`, `reopened`.
    pub what: Box<str>,
    /// In words, in Markdown.
    pub text: Box<str>,
    /// Its name, where Amend said it: it says the same once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Box<str>>,
}

/// What to tell a tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// To open it.
    Open,
    /// Nothing: what stands there is noted. It was opened at a time that was not kept, or somebody closed it or
    /// opened it again.
    Adopt,
    /// Nothing: it is noted that it is not there any more. Somebody deleted it, or closed it for good.
    Gone,
    /// Nothing: it was done, and only the answer was lost.
    Done {
        /// Whether it is open.
        open: bool,
    },
    /// Nothing: what became of its problems is noted, as it is no news there.
    Same,
    /// To change it.
    Change(Change),
}

/// What to add to a ticket, and whether it is open then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its name, unlike that of any other: by it a tracker that heard of it knows it.
    pub id: String,
    /// The comment, in Markdown.
    pub text: String,
    /// Whether it is open then; nothing, where that stays as it is.
    pub open: Option<bool>,
}

impl Step {
    /// Its word, for the audit trail; nothing, where it does not belong there.
    #[must_use]
    pub fn word(&self) -> Option<&'static str> {
        Some(match self {
            Self::Open => "ticket.opened",
            Self::Adopt => "ticket.found",
            Self::Gone => "ticket.gone",
            Self::Same => return None,
            Self::Change(Change { open: None, .. }) => "ticket.commented",
            Self::Change(Change { open: Some(true), .. }) | Self::Done { open: true } => "ticket.reopened",
            Self::Change(Change { open: Some(false), .. }) | Self::Done { open: false } => "ticket.closed",
        })
    }
}

impl Ticket {
    /// A ticket about a problem, with nothing in it yet.
    #[must_use]
    pub fn new(problem: &Problem, about: About, tracker: &str, now: Timestamp) -> Self {
        let title: Box<str> = match &about {
            About::Setting { .. } | About::Problem { .. } => problem.title.clone(),
            About::Resource { .. } => format!("{}: what is to be updated or mended", problem.resource.name).into(),
            About::Rest { of, day } => format!("More findings of {day} for {of}").into(),
        };
        let owner = match &about {
            About::Rest { of, .. } if problem.decision.owner.name.as_ref() != Some(of) => None,
            _ => problem.decision.owner.name.clone(),
        };
        Self {
            id: TicketId::new(&problem.tenant, tracker, &about),
            tenant: problem.tenant.clone(),
            tracker: tracker.into(),
            about,
            title,
            owner,
            rule: problem.decision.rule.clone(),
            place: Place::of(problem),
            began: now,
            members: BTreeMap::new(),
            told: Told::default(),
            wanted: 0,
        }
    }

    /// Whether anything of it is there.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.members.values().any(Member::is_open)
    }

    /// What to tell its tracker, in which `seen` stands under its key.
    #[must_use]
    pub fn next(&self, seen: Option<&Entry>) -> Option<Step> {
        let same = || (self.told.members != self.members).then_some(Step::Same);
        let Some(told) = &self.told.entry else {
            return match seen {
                None => self.is_open().then_some(Step::Open),
                Some(_) => Some(Step::Adopt),
            };
        };
        let Some(entry) = seen else {
            return match (told.open, self.fresh().next()) {
                // Somebody deleted it, or closed it for good.
                (true, _) => Some(Step::Gone),
                (false, Some(_)) => Some(Step::Open),
                (false, None) => same(),
            };
        };
        if entry.open != told.open {
            let meant = self.told.telling.as_ref().filter(|telling| telling.wanted == self.wanted);
            let ours = meant.is_some_and(|telling| telling.open == Some(entry.open));
            return Some(if ours { Step::Done { open: entry.open } } else { Step::Adopt });
        }
        let change = if entry.open {
            // What somebody opened again after us is theirs.
            let ours = self.told.members.is_empty() || self.told.members.values().any(Member::is_open);
            match ours && !self.is_open() {
                true => Some((self.ended(), Some(false))),
                false => self.news().map(|text| (text, None)),
            }
        } else {
            self.came_back().map(|text| (text, Some(true)))
        };
        match change {
            Some((text, open)) => Some(Step::Change(Change { id: self.step_name(), text, open })),
            None => same(),
        }
    }

    /// The name of what it is told next: another, where something else is wanted by then.
    #[must_use]
    pub fn step_name(&self) -> String {
        format!("{}-{}-{}", self.id, self.told.revision.saturating_add(1), self.wanted)
    }

    /// Notes that its tracker is about to be told: of all of its problems, where it is to be opened.
    pub fn begin(&mut self, step: &Step, now: Timestamp) {
        let open = match step {
            Step::Change(change) => change.open,
            _ => None,
        };
        self.told.telling = Some(Telling { at: now, open, wanted: self.wanted });
        if *step == Step::Open {
            self.told.members.clone_from(&self.members);
        }
    }

    /// Notes that its tracker was told nothing: it refused.
    pub fn refused(&mut self) {
        self.told.telling = None;
        if self.told.entry.is_none() {
            self.told.members.clear();
        }
    }

    /// Notes what stands there now, whoever did that. What was told of problems stays as it is.
    pub fn adopt(&mut self, entry: Entry, now: Timestamp) {
        let members = std::mem::take(&mut self.told.members);
        self.tell(entry, now);
        self.told.members = members;
    }

    /// Notes that nothing stands there any more.
    pub fn is_gone(&mut self, now: Timestamp) {
        if let Some(entry) = self.told.entry.clone() {
            self.adopt(Entry { open: false, ..entry }, now);
        }
    }

    /// Notes that its tracker was told, and what stands there now.
    pub fn tell(&mut self, entry: Entry, now: Timestamp) {
        self.told = Told {
            entry: Some(entry),
            at: Some(now),
            members: self.members.clone(),
            revision: self.told.revision.saturating_add(1),
            telling: None,
        };
    }

    /// What is there that the tracker never heard of, or that it heard of as an earlier time.
    fn fresh(&self) -> impl Iterator<Item = &Member> {
        let told = |id: &ProblemId| self.told.members.get(id).map_or(0, |member| member.period);
        self.members.iter().filter(move |(id, member)| member.is_open() && member.period > told(id)).map(|(_, one)| one)
    }

    fn came_back(&self) -> Option<String> {
        let lines: Vec<String> = self.fresh().map(line).collect();
        (!lines.is_empty()).then(|| listed("It is there again, or somewhere else, too:", &lines))
    }

    fn ended(&self) -> String {
        let how = |member: &Member| member.closed.map_or("there", Closed::words);
        let mut lines: Vec<String> =
            self.members.values().map(|member| format!("{}: {}", code(&member.name), how(member))).collect();
        let moved = self.moved();
        let title = if moved.is_empty() { "Nothing of it is there any more:" } else { "Nothing of it is left here:" };
        lines.extend(moved);
        listed(title, &lines)
    }

    /// What was here, and is in a ticket of its new owner now.
    fn moved(&self) -> Vec<String> {
        let moved = self.told.members.iter().filter(|(id, told)| told.is_open() && !self.members.contains_key(*id));
        moved.map(|(_, told)| format!("{}: it has another owner now, and a ticket there", code(&told.name))).collect()
    }

    /// What changed since, where it is worth a comment.
    fn news(&self) -> Option<String> {
        let mut text = String::new();
        let mut add = |title: &str, lines: Vec<String>| {
            if !lines.is_empty() {
                let gap = if text.is_empty() { "" } else { "\n\n" };
                let _ = write!(text, "{gap}{}", listed(title, &lines));
            }
        };
        // What went away and came back before that was told is there as before.
        let told = |id: &ProblemId| self.told.members.get(id).is_some_and(Member::is_open);
        let also = self.members.iter().filter(|(id, member)| member.is_open() && !told(id));
        add("Also there:", also.map(|(_, member)| line(member)).collect());
        let (mut gone, mut later, mut fixed) = (Vec::new(), Vec::new(), Vec::new());
        for (id, told) in &self.told.members {
            let Some(now) = self.members.get(id) else { continue };
            if told.announced != now.announced && now.is_open() {
                let said = now.announced.as_deref().unwrap_or("no fix of it is announced any more");
                fixed.push(format!("{}: {}", code(&now.name), plain(said)));
            }
            match now.closed {
                Some(how) if told.is_open() => gone.push(format!("{}: {}", code(&now.name), how.words())),
                None if told.due != now.due && told.period == now.period => {
                    later.push(format!("{}: {}", code(&now.name), day(now.due)));
                }
                _ => {}
            }
        }
        add("Not there any more:", gone);
        add("Not here any more:", self.moved());
        add("Due on another day:", later);
        add("By Amend:", fixed);
        (!text.is_empty()).then_some(text)
    }

    /// The members of [`Ticket::facts`].
    pub const FACTS: &'static [&'static str] = &[
        "id",
        "title",
        "owner",
        "rule",
        "tenant",
        "cloud",
        "account",
        "due",
        "risk",
        "severity",
        "count",
        "resources",
    ];

    /// What expressions in a connector's configuration can ask of it.
    #[must_use]
    pub fn facts(&self) -> serde_json::Value {
        let open: Vec<&Member> = self.members.values().filter(|member| member.is_open()).collect();
        let mut resources: Vec<&str> = open.iter().map(|member| member.resource.as_str()).collect();
        resources.sort_unstable();
        serde_json::json!({
            "id": self.id,
            "title": self.title,
            "owner": self.owner,
            "rule": self.rule,
            "tenant": self.tenant,
            "cloud": self.place.cloud,
            "account": self.place.account,
            "due": open.iter().filter_map(|member| member.due).min().map(|due| day(Some(due))),
            "risk": open.iter().filter_map(|member| member.risk).max(),
            "severity": open.iter().filter_map(|member| member.severity).max(),
            "count": open.len(),
            "resources": resources,
        })
    }
}

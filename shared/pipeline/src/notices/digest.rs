//! What one owner has to do, at a glance: what is overdue, what is due in a week, and the rest.

use std::collections::BTreeMap;

use amend_domain::{
    Problem, ProblemId, RiskLevel, Severity,
    decision::Outcome,
    owners::Owners,
    problem::{Place, State},
    ticket::Ticket,
    timeframe::is_overdue,
};
pub use askama::Error as Unwritten;
use askama::Template;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde::Serialize;

use super::one_line;
use crate::tickets::LOCAL;

/// What is due in so many days is due soon.
const SOON: i64 = 7;
/// A part shows no more than that.
const MOST: usize = 25;

/// What one owner has to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Digest {
    /// Who: an address, or whatever the rules call them.
    pub owner: Box<str>,
    /// Whether it tells a manager of what others are late with.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub of_others: bool,
    /// As of when.
    pub at: Timestamp,
    /// What is past its date.
    pub overdue: Vec<Item>,
    /// What is due in a week.
    pub soon: Vec<Item>,
    /// What is due later, or has no date.
    pub later: Vec<Item>,
}

/// A problem in a digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// The problem.
    pub problem: ProblemId,
    /// Who is to handle it.
    pub owner: Box<str>,
    /// What is wrong.
    pub title: Box<str>,
    /// What people call the resource.
    pub name: Box<str>,
    /// The cloud and the account.
    pub place: String,
    /// The risk; the severity, named as such, where that was not evaluated.
    pub risk: String,
    /// The day on which it is due.
    pub due: String,
    /// The day on which its owner means to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eta: Option<String>,
    /// The fix that is announced, and when it begins; or who objects to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub announced: Option<String>,
    /// How long that is from now, or was before.
    pub left: String,
    /// The same, where it is past.
    #[serde(skip)]
    pub late: Option<SignedDuration>,
    /// What its tracker calls its ticket.
    pub ticket: Option<Box<str>>,
    /// Where that is.
    pub url: Option<Box<str>>,
}

/// A part of a digest.
pub struct Part<'d> {
    title: &'static str,
    colour: &'static str,
    items: &'d [Item],
}

impl Part<'_> {
    /// The colour of its number.
    fn tone(&self) -> &'static str {
        if self.items.is_empty() { "#9aa7b5" } else { self.colour }
    }

    fn shown(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().take(MOST)
    }

    fn more(&self) -> usize {
        self.items.len().saturating_sub(MOST)
    }
}

/// Who is to handle what nobody owns.
pub const NOBODY: &str = "nobody";

/// The digests of all owners of what is there and may be worked on.
#[must_use]
pub fn digests(problems: &[Problem], tickets: &[Ticket], now: Timestamp) -> BTreeMap<Box<str>, Digest> {
    let mut entries: BTreeMap<&ProblemId, (Box<str>, Option<Box<str>>)> = BTreeMap::new();
    for ticket in tickets {
        if let Some(entry) = &ticket.told.entry {
            let key = match *ticket.tracker == *LOCAL {
                true => format!("#{}", entry.key).into(),
                false => entry.key.clone(),
            };
            entries.extend(ticket.members.keys().map(|id| (id, (key.clone(), entry.url.clone()))));
        }
    }
    let mut list: Vec<&Problem> = problems
        .iter()
        .filter(|one| {
            // What may be another's, as tags are not known, is nobody's to hear of yet.
            one.state == State::Open
                && one.place != Place::Backlog
                && one.decision.outcome == Outcome::Governed
                && one.decision.owner.lacks.is_none()
        })
        .collect();
    list.sort_by_key(|one| one.urgency());
    let mut all: BTreeMap<Box<str>, Digest> = BTreeMap::new();
    for problem in list {
        let owner: Box<str> = problem.decision.owner.name.clone().unwrap_or_else(|| NOBODY.into());
        let digest = all.entry(owner.clone()).or_insert_with(|| Digest::none(owner.clone(), now));
        let days = problem.due.map(|due| days_between(now, due));
        let entry = entries.get(&problem.id);
        let account = problem.resource.account.as_ref().map(|account| account.native());
        let item = Item {
            problem: problem.id.clone(),
            owner,
            title: one_line(&problem.title).into(),
            name: one_line(&problem.resource.name).into(),
            place: [Some(problem.resource.cloud.as_str()), account].into_iter().flatten().collect::<Vec<_>>().join(" "),
            risk: risk(problem.risk, problem.severity),
            due: problem.due.map_or_else(|| "no date".to_owned(), |due| due.strftime("%Y-%m-%d").to_string()),
            left: days.map_or_else(String::new, words),
            eta: problem.eta.as_ref().map(|eta| eta.on.strftime("%Y-%m-%d").to_string()),
            announced: problem.announced.as_ref().map(|announced| one_line(&announced.words())),
            late: problem.due.filter(|due| is_overdue(*due, now)).map(|due| now.duration_since(due)),
            ticket: entry.map(|(key, _)| key.clone()),
            url: entry.and_then(|(_, url)| url.clone()),
        };
        match (problem.due, days) {
            _ if item.late.is_some() => digest.overdue.push(item),
            (_, Some(days)) if days <= SOON => digest.soon.push(item),
            _ => digest.later.push(item),
        }
    }
    all
}

/// What managers are told: what the owners whom they manage are late with, for so long.
#[must_use]
pub fn of_managers(digests: &BTreeMap<Box<str>, Digest>, owners: &Owners, after: SignedDuration) -> Vec<Digest> {
    let mut all: BTreeMap<&str, Digest> = BTreeMap::new();
    for digest in digests.values() {
        let Some(manager) = owners.manager(&digest.owner) else { continue };
        let late = digest.overdue.iter().filter(|item| item.late.is_some_and(|late| late >= after));
        let of_manager =
            all.entry(manager).or_insert_with(|| Digest { of_others: true, ..Digest::none(manager.into(), digest.at) });
        of_manager.overdue.extend(late.cloned());
    }
    all.into_values().filter(|digest| !digest.is_empty()).collect()
}

/// How bad something is: by risk, else by severity, named as such.
pub(super) fn risk(risk: Option<RiskLevel>, severity: Option<Severity>) -> String {
    match (risk, severity) {
        (Some(risk), _) => format!("{risk} risk"),
        (None, Some(severity)) => format!("risk not evaluated, {severity} severity"),
        (None, None) => "risk not evaluated".to_owned(),
    }
}

/// Calendar days from now to then, in UTC; negative, where it is past.
fn days_between(now: Timestamp, then: Timestamp) -> i64 {
    let day = |at: Timestamp| at.to_zoned(TimeZone::UTC).date();
    let between = day(then).duration_since(day(now));
    between.as_hours().checked_div(SignedDuration::from_hours(24).as_hours()).unwrap_or_default()
}

fn words(days: i64) -> String {
    let count = |days: i64| if days == 1 { "1 day".to_owned() } else { format!("{days} days") };
    match days {
        0 => "today".to_owned(),
        1 => "tomorrow".to_owned(),
        days if days > 0 => format!("in {}", count(days)),
        days => format!("{} late", count(days.saturating_neg())),
    }
}

#[derive(Template)]
#[template(path = "digest.html")]
struct Html<'d> {
    digest: &'d Digest,
}

#[derive(Template)]
#[template(path = "digest.txt")]
struct Text<'d> {
    digest: &'d Digest,
}

impl Digest {
    /// One of nothing.
    fn none(owner: Box<str>, at: Timestamp) -> Self {
        Self { owner, of_others: false, at, overdue: Vec::new(), soon: Vec::new(), later: Vec::new() }
    }

    /// The name of the notice that it is at a time.
    #[must_use]
    pub fn name(&self, time: Timestamp) -> String {
        format!("{}/{time}/{}", self.kind(), self.owner)
    }

    /// Whether it is what a notice of this name tells.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        let mut parts = name.splitn(3, '/');
        parts.next() == Some(self.kind()) && parts.nth(1) == Some(&*self.owner)
    }

    fn kind(&self) -> &'static str {
        if self.of_others { "overdue" } else { "digest" }
    }

    /// What stands over the mail.
    #[must_use]
    pub fn subject(&self) -> String {
        format!("Amend: {}", self.headline())
    }

    /// The sum of it in one line.
    #[must_use]
    pub fn headline(&self) -> String {
        let all = self.len();
        if self.of_others {
            return if all == 1 { "1 finding is overdue".to_owned() } else { format!("{all} findings are overdue") };
        }
        let open = if all == 1 { "1 finding is open".to_owned() } else { format!("{all} findings are open") };
        match (self.overdue.len(), self.soon.len()) {
            (0, 0) => open,
            (0, soon) => format!("{open}, {soon} due within a week"),
            (overdue, _) => format!("{open}, {overdue} overdue"),
        }
    }

    /// How many problems are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.overdue.len().saturating_add(self.soon.len()).saturating_add(self.later.len())
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn whose(&self) -> String {
        if self.of_others {
            let mut owners: Vec<&str> = self.overdue.iter().map(|item| &*item.owner).collect();
            owners.sort_unstable();
            owners.dedup();
            return match owners.as_slice() {
                [one] => format!("of {one}, whom you manage"),
                _ => format!("of {} owners whom you manage", owners.len()),
            };
        }
        if *self.owner == *NOBODY { "that nobody owns".to_owned() } else { format!("for {}", self.owner) }
    }

    fn day(&self) -> String {
        self.at.strftime("%Y-%m-%d").to_string()
    }

    fn parts(&self) -> Vec<Part<'_>> {
        if self.of_others {
            return vec![Part { title: "Overdue", colour: "#b3261e", items: &self.overdue }];
        }
        vec![
            Part { title: "Overdue", colour: "#b3261e", items: &self.overdue },
            Part { title: "Due within a week", colour: "#a15c00", items: &self.soon },
            Part { title: "Later", colour: "#46607a", items: &self.later },
        ]
    }

    /// As a page, for mail programs and browsers.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn html(&self) -> Result<String, askama::Error> {
        Html { digest: self }.render()
    }

    /// As a plain text.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn text(&self) -> Result<String, askama::Error> {
        Text { digest: self }.render()
    }
}

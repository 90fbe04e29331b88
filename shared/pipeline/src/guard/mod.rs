//! The guards: each is asked when a remediation of a problem is planned, and again before it begins to
//! write. Each is on by default, and what cannot be known counts as "no", or as "only with a person's
//! word".

mod azure;
mod exemption;
mod tagged;
mod written;

use std::sync::Arc;

use amend_cloud::{CallError, Cloud, FactSource, Place};
use amend_domain::{
    AccountId, Cloud as CloudName, Problem, RecommendationKey,
    guard::{About, Begun, Budget, Check, Says, Tally},
    plan::{Plan, Remediation, State},
};
use amend_models::Call;
use cronexpr::parse_crontab;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::advance::add;

pub(crate) use tagged::{Tagged, holding};

/// What the guards go by. The defaults are small.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// How long a problem must have stood.
    pub settle: SignedDuration,
    /// How long what was undone is left alone.
    pub undone: SignedDuration,
    /// So many times in a week a problem may come back after it was fixed.
    pub fights: u64,
    /// So many failures in an hour stop everything that has not begun.
    pub failures: u64,
    /// So many problems of one recommendation in an hour are for a person.
    pub surge: u64,
    /// So long a recommendation is new.
    pub new_for: SignedDuration,
    /// How much may begin to write by itself in an hour, counted by reach: in all,
    pub per_hour: u64,
    /// in one account,
    pub per_account: u64,
    /// and for one rule.
    pub per_rule: u64,
    /// Tags that tell that code manages a resource, beside those that are known: `key` or `key=value`.
    pub managed_tags: Vec<String>,
    /// Sources of findings that are not in use, and are not asked whether anybody let something be there.
    pub not_used: Vec<String>,
    /// Identities of pipelines: what one of them wrote last is theirs.
    pub pipelines: Vec<String>,
    /// When nothing begins.
    pub freezes: Vec<Freeze>,
}

/// A time in which nothing begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Freeze {
    /// When it begins: five fields and a time zone, `0 16 * * FRI Europe/Vienna`.
    pub begins: String,
    /// How long it lasts.
    pub lasts: SignedDuration,
    /// Why.
    pub why: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            settle: SignedDuration::from_mins(30),
            undone: SignedDuration::from_hours(30 * 24),
            fights: 2,
            failures: 3,
            surge: 25,
            new_for: SignedDuration::from_hours(7 * 24),
            per_hour: 10,
            per_account: 5,
            per_rule: 10,
            managed_tags: Vec::new(),
            not_used: Vec::new(),
            pipelines: Vec::new(),
            freezes: Vec::new(),
        }
    }
}

/// When to look again where a budget is spent.
pub(crate) const SPENT: SignedDuration = SignedDuration::from_mins(10);

impl Settings {
    /// How much may begin by itself in the hour before `now`.
    pub(crate) fn budget(&self, now: Timestamp) -> Budget {
        let most = Begun { all: self.per_hour, in_account: self.per_account, for_rule: self.per_rule };
        Budget { since: an_hour_before(now), most }
    }
}

fn an_hour_before(now: Timestamp) -> Timestamp {
    now.saturating_sub(SignedDuration::from_hours(1)).unwrap_or(Timestamp::MIN)
}

impl Freeze {
    /// Until when it lasts, where it does now.
    fn until(&self, now: Timestamp) -> Option<Timestamp> {
        let from = now.saturating_sub(self.lasts).unwrap_or(Timestamp::MIN);
        // What cannot be told is frozen; the configuration was checked.
        let began = parse_crontab(&self.begins).and_then(|begins| begins.find_next(from));
        let Ok(began) = began.map(|began| began.timestamp()) else { return Some(add(now, self.lasts)) };
        (began <= now).then(|| add(began, self.lasts))
    }
}

/// The calls that guards make in a cloud, the reading of tags among them.
#[must_use]
pub fn calls(cloud: CloudName) -> Vec<&'static str> {
    let azure: &[&str] = if cloud == CloudName::Azure {
        &[exemption::EXEMPTIONS, exemption::ASSIGNMENTS, azure::LOCKS, azure::JIT]
    } else {
        &[]
    };
    let own = azure.iter().chain(amend_cloud::let_be::calls(cloud)).chain(amend_cloud::last_write::calls(cloud));
    let mut all: Vec<&str> = own.chain(amend_cloud::facts::calls(cloud)).copied().collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// What the guards look at.
pub(crate) struct Sight<'a> {
    pub settings: &'a Settings,
    pub problem: &'a Problem,
    pub plan: &'a Plan,
    /// The recommendations that its fix closes.
    pub closes: &'a [RecommendationKey],
    /// Remediations of the resource, newest first.
    pub earlier: &'a [Remediation],
    pub tally: &'a Tally,
    pub now: Timestamp,
}

impl Sight<'_> {
    /// Whether a recommendation speaks of what would be changed.
    fn is_about(&self, key: &RecommendationKey) -> bool {
        self.closes.contains(key) || self.problem.findings.values().any(|finding| finding.key == *key)
    }
}

/// What to count for a problem. The resource that is changed may be another than the one assessed.
pub(crate) fn about<'a>(problem: &'a Problem, plan: &'a Plan, now: Timestamp) -> About<'a> {
    About {
        setting: problem.setting.as_str(),
        assessed: problem.resource.id.as_str(),
        changed: plan.at.resource.as_str(),
        account: plan.at.account.as_ref().or(problem.resource.account.as_ref()),
        rule: problem.decision.rule.as_ref(),
        since: an_hour_before(now),
        now,
    }
}

/// Asks every guard, the quick ones first. All of them say something, so that it can be shown.
pub(crate) async fn ask(sight: &Sight<'_>, cloud: &Arc<dyn Cloud>, facts: &dyn FactSource) -> Vec<Check> {
    let mut checks = vec![
        freeze(sight),
        own_exemption(sight),
        undone(sight),
        settled(sight),
        breaker(sight),
        fix_fight(sight),
        surge(sight),
        budget(sight),
    ];
    let plan = sight.plan;
    let (exemption, defender, lock, just_in_time, policy, log, tagged) = tokio::join!(
        exemption::ask(sight, cloud),
        exemption::of_defender(sight, cloud),
        azure::lock(sight, cloud),
        azure::just_in_time(sight, cloud),
        azure::policy(sight, cloud),
        written::last(sight, cloud),
        Tagged::read(&plan.at, Some(&sight.problem.resource), facts, sight.now)
    );
    checks.insert(1, tagged::hold(sight, &tagged));
    let managed = tagged::managed(sight, &tagged);
    checks.extend([exemption, defender, lock, just_in_time, policy, managed]);
    checks.extend(written::ask(sight, log.as_ref()));
    checks
}

fn pass(guard: &str, why: impl Into<Box<str>>) -> Check {
    Check::new(guard, Says::Pass, why)
}

fn freeze(sight: &Sight<'_>) -> Check {
    let frozen = sight.settings.freezes.iter().filter_map(|freeze| Some((freeze.until(sight.now)?, freeze)));
    match frozen.max_by_key(|(until, _)| *until) {
        Some((until, freeze)) => Check::new("freeze", Says::Wait { until }, freeze.why.as_str()),
        None => pass("freeze", "no freeze window is open"),
    }
}

/// What two people agreed to let be; what one of them asked for is for a person.
fn own_exemption(sight: &Sight<'_>) -> Check {
    let all = &sight.tally.exemptions;
    let approved = all.iter().filter(|exemption| exemption.approved.is_some());
    match approved.max_by_key(|exemption| exemption.until).or(all.first()) {
        Some(one) => {
            let (says, word) = match one.approved {
                Some(_) => (Says::Wait { until: one.until }, "exempted it"),
                None => (Says::Ask, "asks to exempt it"),
            };
            let why = format!("{} {word} ({}): {}", one.by, one.category.as_str(), one.why);
            Check::new("own-exemption", says, why)
        }
        None => pass("own-exemption", "nobody exempted it here"),
    }
}

fn ours<'a>(sight: &'a Sight<'_>) -> impl Iterator<Item = &'a Remediation> {
    let (problem, fix) = (&sight.problem.id, &sight.plan.fix);
    sight.earlier.iter().filter(move |r| r.problem.as_ref() == Some(problem) || r.plan.fix == *fix)
}

fn undone(sight: &Sight<'_>) -> Check {
    let until = |r: &Remediation| add(r.changed, sight.settings.undone);
    let of = |r: &&Remediation| r.state == State::Undone || r.answer.as_ref().is_some_and(|answer| !answer.approved);
    match ours(sight).filter(of).max_by_key(|r| r.changed).filter(|r| until(r) > sight.now) {
        Some(r) => {
            let what = if r.state == State::Undone { "undone" } else { "denied" };
            Check::new("undone", Says::Wait { until: until(r) }, format!("it was {what}, and is left alone"))
        }
        None => pass("undone", "nobody undid or denied it lately"),
    }
}

fn settled(sight: &Sight<'_>) -> Check {
    let until = add(sight.problem.opened, sight.settings.settle);
    if until > sight.now {
        return Check::new("settle", Says::Wait { until }, "it only just came about, and may pass");
    }
    pass("settle", "it has stood for a while")
}

fn breaker(sight: &Sight<'_>) -> Check {
    let failed = sight.tally.failed;
    if failed >= sight.settings.failures {
        let until = add(sight.now, SignedDuration::from_mins(15));
        let why = format!("{failed} remediations of the last hour failed or were parked");
        return Check::new("breaker", Says::Wait { until }, why);
    }
    pass("breaker", format!("{failed} of the last hour failed"))
}

fn fix_fight(sight: &Sight<'_>) -> Check {
    let week = sight.now.saturating_sub(SignedDuration::from_hours(7 * 24)).unwrap_or(Timestamp::MIN);
    let done = ours(sight).filter(|r| matches!(r.state, State::Set | State::Healthy) && r.begun >= week).count();
    if u64::try_from(done).unwrap_or(u64::MAX) >= sight.settings.fights {
        let why = format!("it was fixed {done} times within a week, and came back: something else sets it");
        return Check::new("fix-fight", Says::No, why);
    }
    pass("fix-fight", format!("fixed {done} times within a week"))
}

fn surge(sight: &Sight<'_>) -> Check {
    let (many, seen) = (sight.tally.surge, sight.tally.first_seen);
    if many > sight.settings.surge {
        let why = format!("{many} resources turned unhealthy within an hour: a new recommendation, or an incident?");
        return Check::new("surge", Says::Ask, why);
    }
    match seen {
        Some(seen) if add(seen, sight.settings.new_for) <= sight.now => pass("surge", format!("{many} within an hour")),
        Some(_) => Check::new("surge", Says::Ask, "the recommendation was first seen lately"),
        None => Check::new("surge", Says::Ask, "the recommendation was not seen before"),
    }
}

fn budget(sight: &Sight<'_>) -> Check {
    let reach = sight.plan.reach();
    let begun = &sight.tally.begun;
    match sight.settings.budget(sight.now).exceeded(begun, reach) {
        Some(why) => Check::new("budget", Says::Wait { until: add(sight.now, SPENT) }, why),
        None => pass("budget", format!("{} of {} in an hour", begun.all, sight.settings.per_hour)),
    }
}

/// When what could not be read is read again.
const UNREAD: SignedDuration = SignedDuration::from_mins(10);

/// What cannot be read forbids; for a while, where that may pass by itself.
fn unreadable(guard: &str, what: &str, error: &CallError, now: Timestamp) -> Check {
    let says = if error.may_pass() { Says::Wait { until: add(now, UNREAD) } } else { Says::No };
    Check::new(guard, says, format!("{what} cannot be read: {error}"))
}

/// The members of a collection of Azure.
async fn list(
    account: Option<&AccountId>,
    cloud: &Arc<dyn Cloud>,
    call: &str,
    id: &str,
) -> Result<Vec<Value>, CallError> {
    let found =
        Call::find(call).map_err(|error| CallError::NotReached { call: call.to_owned(), reason: error.to_string() })?;
    let place = Place { account: account.cloned(), ..Place::default() };
    let mut answer = cloud.call(&place, &found, &json!({ "id": id })).await?;
    match answer.get_mut("value").map(Value::take) {
        Some(Value::Array(values)) => Ok(values),
        _ => Err(CallError::Unreadable { call: call.to_owned(), reason: "it is no list".into() }),
    }
}

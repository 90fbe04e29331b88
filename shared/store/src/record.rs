//! Recording a batch of changes: what it needs is read at once, changed in memory, and written at once. A
//! batch costs as many statements as it touches tables, however many changes it has.

use std::collections::{BTreeMap, BTreeSet};

use amend_domain::{
    AccountId, Assessment, AssessmentId, Decision, Facts, Problem, ProblemId, TenantId,
    assessment::Version,
    audit::Entry,
    notice::{Notice, Whom},
    problem::{Closed, Place, State},
    sync,
    work::WorkKind,
};
use jiff::Timestamp;
use serde::Serialize;

use crate::{
    Change, Effect, Parked, Recorded, StoreError,
    body::{read, write},
    database::{Row, Tx, Value, values},
    notice,
    postgres::Lock,
    sql, trail, work,
};

/// How exactly it is kept when an account was last heard of, in microseconds: not every event is worth a write.
const HEARD_TO: i64 = 10_000_000;

/// What is known of what changes touch, and what of it was changed.
pub(crate) struct Batch {
    now: Timestamp,
    problems: BTreeMap<ProblemId, Problem>,
    held: BTreeMap<Key, Held>,
    /// Versions of assessments that are new, and that no change of the batch has brought yet.
    new: BTreeSet<(Key, String)>,
    changed: BTreeSet<ProblemId>,
    /// Problems that at some time had no work to be done.
    unqueued: BTreeSet<ProblemId>,
    /// Problems that at some time were healthy.
    healthy: BTreeSet<ProblemId>,
    settings: BTreeSet<String>,
    assessments: BTreeMap<Key, (ProblemId, String)>,
    decisions: BTreeMap<(Key, String), (ProblemId, String)>,
    /// What people are told.
    news: Vec<(Whom, Notice)>,
    /// Problems of which something changed that systems are told.
    differs: BTreeSet<ProblemId>,
}

type Key = (TenantId, AssessmentId);

/// The version of an assessment that is held.
struct Held {
    micros: Option<i64>,
    rank: i64,
    name: String,
}

/// A [`crate::StoredDecision`], to be written.
#[derive(Serialize)]
struct Decided<'c> {
    at: Timestamp,
    assessment: &'c Assessment,
    facts: &'c Facts,
    decision: &'c Decision,
}

fn key(assessment: &Assessment) -> Key {
    (assessment.tenant.clone(), assessment.id.clone())
}

fn problem_id(change: &Change) -> ProblemId {
    ProblemId::new(&change.assessment.tenant, change.assessment.resource.id.as_str(), change.setting.as_str())
}

/// Names a version among those of one assessment.
fn version_name(version: &Version) -> String {
    let micros = version.micros.map_or_else(|| "-".to_owned(), |micros| micros.to_string());
    format!("{micros}|{}", version.fingerprint)
}

impl Batch {
    /// Waits for others that are at the same problems and assessments, and reads what is known of them.
    pub async fn of(tx: &mut Tx, changes: &[Change], now: Timestamp) -> Result<Self, StoreError> {
        let ids: BTreeSet<(&TenantId, ProblemId)> =
            changes.iter().map(|change| (&change.assessment.tenant, problem_id(change))).collect();
        let keys: BTreeSet<Key> = changes.iter().map(|change| key(&change.assessment)).collect();
        let names: Vec<&str> =
            ids.iter().map(|(_, id)| id.as_str()).chain(keys.iter().map(|(_, id)| id.as_str())).collect();
        tx.lock(Lock::Names(&names)).await?;
        let mut batch = Self::empty(now);
        let wanted: Vec<_> = ids.iter().flat_map(|(tenant, id)| values![tenant.as_str(), id.as_str()]).collect();
        for row in tx.pick(&sql::PICK_PROBLEMS, &wanted).await? {
            let problem: Problem = read("problems", row.get(0)?)?;
            batch.problems.insert(problem.id.clone(), problem);
        }
        let wanted: Vec<_> = keys.iter().flat_map(|(tenant, id)| values![tenant.as_str(), id.as_str()]).collect();
        for row in tx.pick(&sql::PICK_HELD, &wanted).await? {
            let held = Held { micros: row.get(2)?, rank: row.get(3)?, name: row.get(4)? };
            batch.held.insert(key_of(&row)?, held);
        }
        Ok(batch)
    }

    /// A batch that knows nothing: for problems that were read otherwise.
    pub fn empty(now: Timestamp) -> Self {
        Self {
            now,
            problems: BTreeMap::new(),
            held: BTreeMap::new(),
            new: BTreeSet::new(),
            changed: BTreeSet::new(),
            unqueued: BTreeSet::new(),
            healthy: BTreeSet::new(),
            settings: BTreeSet::new(),
            assessments: BTreeMap::new(),
            decisions: BTreeMap::new(),
            news: Vec::new(),
            differs: BTreeSet::new(),
        }
    }

    /// Notes the versions of what changes report, and which of them are new.
    pub async fn note_versions(&mut self, tx: &mut Tx, changes: &[Change]) -> Result<(), StoreError> {
        let versions: BTreeSet<(Key, String)> = changes
            .iter()
            .map(|change| (key(&change.assessment), version_name(&change.assessment.version())))
            .collect();
        let rows: Vec<_> = versions
            .iter()
            .flat_map(|((tenant, id), version)| values![tenant.as_str(), id.as_str(), version, self.now])
            .collect();
        for row in tx.insert(&sql::ADD_VERSIONS, &rows).await? {
            self.new.insert((key_of(&row)?, row.get(2)?));
        }
        Ok(())
    }

    /// Records one change.
    pub fn record(&mut self, change: &Change) -> Result<Recorded, StoreError> {
        let Change { assessment, setting, decision, truth, .. } = change;
        let key = key(assessment);
        let version = assessment.version();
        let name = version_name(&version);
        let previous = self.problems.get(&problem_id(change)).cloned();
        if !self.new.remove(&(key.clone(), name.clone())) {
            let settled = self.settle(change)?;
            return Ok(Recorded { effect: Effect::Duplicate, missed: false, problem: settled.or(previous) });
        }
        let rank = i64::from(version.rank);
        let held = self.held.get(&key);
        // INVARIANT: older never overwrites newer. What has no time is older than anything.
        if held.is_some_and(|held| (version.micros, rank) < (held.micros, held.rank)) {
            return Ok(Recorded { effect: Effect::Stale, missed: false, problem: previous });
        }
        let effect = if held.is_some() { Effect::Updated } else { Effect::New };
        self.assessments.insert(key.clone(), (problem_id(change), write("assessments", assessment)?));
        self.decide(change, &name)?;
        self.held.insert(key, Held { micros: version.micros, rank, name });
        let was_open = previous.as_ref().is_some_and(|problem| problem.state == State::Open);
        let problem = Problem::advance(previous, assessment, setting, decision.clone(), *truth, self.now);
        if let Some(problem) = &problem {
            self.put(problem.clone());
        }
        let is_open = problem.as_ref().is_some_and(|problem| problem.state == State::Open);
        Ok(Recorded { effect, missed: assessment.snapshot && is_open && !was_open, problem })
    }

    /// Decides a problem that lacked facts, where the decision about the same report can be made now.
    pub fn settle(&mut self, change: &Change) -> Result<Option<Problem>, StoreError> {
        let Change { assessment, decision, .. } = change;
        let name = version_name(&assessment.version());
        // INVARIANT: only the report that is held may settle what lacked facts, never an older one
        // that comes again.
        let held = self.held.get(&key(assessment)).is_some_and(|held| held.name == name);
        if !assessment.is_open() || !held {
            return Ok(None);
        }
        let Some(mut problem) = self.problems.get(&problem_id(change)).cloned() else { return Ok(None) };
        if !problem.determine(assessment, decision.clone(), self.now) {
            return Ok(None);
        }
        self.put(problem.clone());
        self.decide(change, &name)?;
        Ok(Some(problem))
    }

    /// Notes a problem as it was.
    pub fn know(&mut self, problem: Problem) {
        self.problems.insert(problem.id.clone(), problem);
    }

    /// Changes a problem.
    pub fn put(&mut self, problem: Problem) {
        match problem.state {
            State::Open => drop(self.settings.insert(problem.setting.as_str().to_owned())),
            State::Closed(Closed::Healthy) => drop(self.healthy.insert(problem.id.clone())),
            State::Closed(_) => {}
        }
        if problem.fix_begins().is_none() {
            self.unqueued.insert(problem.id.clone());
        }
        if sync::differs(self.problems.get(&problem.id), &problem) {
            self.differs.insert(problem.id.clone());
        }
        if let Some(notice) = Notice::of(&problem, self.problems.get(&problem.id), self.now) {
            self.news.extend(notice.for_whom(&problem).map(|whom| (whom, notice.clone())));
        }
        self.changed.insert(problem.id.clone());
        self.problems.insert(problem.id.clone(), problem);
    }

    /// Keeps what was decided about an assessment, with all that explains it.
    fn decide(&mut self, change: &Change, version: &str) -> Result<(), StoreError> {
        let Change { assessment, decision, facts, .. } = change;
        let body = write("decisions", &Decided { at: self.now, assessment, facts, decision })?;
        self.decisions.insert((key(assessment), version.to_owned()), (problem_id(change), body));
        Ok(())
    }

    /// Writes what was changed. Returns what is to be added to the audit trail.
    pub async fn write(&self, tx: &mut Tx) -> Result<Vec<Entry>, StoreError> {
        let mut rows = Vec::new();
        for (key, (problem, body)) in &self.assessments {
            let Some(held) = self.held.get(key) else { continue };
            let (tenant, id) = (key.0.as_str(), key.1.as_str());
            let row =
                values![tenant, id, problem.as_str(), held.micros, held.rank, &held.name, self.now, body.as_str()];
            rows.extend(row);
        }
        tx.insert(&sql::PUT_ASSESSMENTS, &rows).await?;
        let mut rows = Vec::new();
        for (((tenant, id), version), (problem, body)) in &self.decisions {
            rows.extend(values![tenant.as_str(), id.as_str(), version, problem.as_str(), self.now, body]);
        }
        tx.insert(&sql::PUT_DECISIONS, &rows).await?;
        self.write_problems(tx).await?;
        self.write_settings(tx).await?;
        let drop: Vec<_> = self.unqueued.iter().map(|id| WorkKind::Remedy.key(id.as_str())).collect();
        work::drop_all(tx, &drop).await?;
        let queued = self.changed.iter().filter_map(|id| {
            let problem = self.problems.get(id)?;
            Some((problem.id.as_str(), problem.rank(), problem.fix_begins()?))
        });
        work::put_all(tx, WorkKind::Remedy, queued).await?;
        let filed = self.changed.iter().filter_map(|id| {
            let problem = self.problems.get(id)?;
            problem.wants_ticket().then(|| (problem.id.as_str(), problem.rank(), self.now))
        });
        work::put_all(tx, WorkKind::File, filed).await?;
        notice::add(tx, &self.news).await?;
        crate::sync::queue(tx, self.differs.iter().filter_map(|id| self.problems.get(id)), self.now).await?;
        work::confirm(tx, &self.healthy, self.now).await
    }

    async fn write_problems(&self, tx: &mut Tx) -> Result<(), StoreError> {
        let rank = |level: Option<u8>| level.map_or(0, |level| i64::from(level).saturating_add(1));
        let mut rows = Vec::new();
        for problem in self.changed.iter().filter_map(|id| self.problems.get(id)) {
            rows.extend(values![
                problem.tenant.as_str(),
                problem.id.as_str(),
                problem.resource.id.as_str(),
                problem.resource.account.as_ref().map(AccountId::as_str),
                problem.state == State::Open,
                problem.place == Place::Backlog,
                rank(problem.risk.map(|risk| risk as u8)),
                rank(problem.severity.map(|severity| severity as u8)),
                problem.opened,
                problem.due,
                problem.decision.rule.as_ref().map(amend_domain::RuleId::as_str),
                problem.lacks_facts(),
                write("problems", problem)?,
                problem.setting.as_str(),
            ]);
        }
        tx.insert(&sql::PUT_PROBLEMS, &rows).await.map(drop)
    }

    /// Keeps when settings were first seen wrong. Most were before: that is asked, as writing is dearer.
    async fn write_settings(&self, tx: &mut Tx) -> Result<(), StoreError> {
        let wanted: Vec<_> = self.settings.iter().map(Value::from).collect();
        let mut first: BTreeSet<&str> = self.settings.iter().map(String::as_str).collect();
        for row in tx.pick(&sql::PICK_SEEN, &wanted).await? {
            first.remove(row.get::<&str>(0)?);
        }
        let rows: Vec<_> = first.into_iter().flat_map(|setting| values![setting, self.now]).collect();
        tx.insert(&sql::PUT_SEEN, &rows).await.map(drop)
    }
}

/// The key in the first two columns of a row.
fn key_of(row: &Row) -> Result<Key, StoreError> {
    Ok((TenantId::new(row.get(0)?), AssessmentId::new(row.get(1)?)))
}

/// Keeps when accounts were last heard of, in events and in snapshots.
pub(crate) async fn heard(tx: &mut Tx, changes: &[Change], now: Timestamp) -> Result<(), StoreError> {
    let mut heard: BTreeMap<&str, [bool; 2]> = BTreeMap::new();
    for Assessment { snapshot, resource, .. } in changes.iter().map(|change| &change.assessment) {
        if let Some(account) = &resource.account {
            let [event, listed] = heard.entry(account.as_str()).or_default();
            *(if *snapshot { listed } else { event }) = true;
        }
    }
    let wanted: Vec<_> = heard.keys().map(|account| Value::from(*account)).collect();
    for row in &tx.pick(&sql::PICK_INPUTS, &wanted).await? {
        let Some([event, listed]) = heard.get_mut(row.get::<&str>(0)?) else { continue };
        for (heard, column) in [(event, 1), (listed, 2)] {
            let at: Option<i64> = row.get(column)?;
            let lately = |at: i64| (0..HEARD_TO).contains(&now.as_microsecond().saturating_sub(at));
            *heard &= !at.is_some_and(lately);
        }
    }
    let news = heard.into_iter().filter(|(_, [event, listed])| *event || *listed);
    let rows: Vec<_> = news
        .flat_map(|(account, [event, listed])| values![account, event.then_some(now), listed.then_some(now)])
        .collect();
    tx.insert(&sql::PUT_INPUTS, &rows).await.map(drop)
}

/// Keeps records that could not be read. The same record delivered again is kept once.
pub(crate) async fn park(tx: &mut Tx, parked: &[Parked]) -> Result<(), StoreError> {
    let digest = |one: &Parked| amend_domain::digest::digest_bytes(format!("{}\n{}", one.problem, one.raw).as_bytes());
    let mut once = BTreeMap::new();
    for one in parked {
        once.entry(digest(one)).or_insert(one);
    }
    let mut rows = Vec::new();
    for (digest, one) in &once {
        rows.extend(values![&one.id, digest, one.at, one.resolved, write("unreadable records", one)?]);
    }
    tx.insert(&sql::PUT_PARKED, &rows).await.map(drop)
}

/// Records a whole batch in a transaction.
pub(crate) async fn record(
    tx: &mut Tx,
    changes: &[Change],
    parked: &[Parked],
    now: Timestamp,
) -> Result<Vec<Recorded>, StoreError> {
    let mut batch = Batch::of(tx, changes, now).await?;
    batch.note_versions(tx, changes).await?;
    let recorded = changes.iter().map(|change| batch.record(change)).collect::<Result<Vec<_>, _>>()?;
    let entries = batch.write(tx).await?;
    park(tx, parked).await?;
    heard(tx, changes, now).await?;
    trail::add(tx, entries).await?;
    Ok(recorded)
}

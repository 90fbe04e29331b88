//! SQLite: one file, one writer, for a single process. WAL, so that readers never wait.

mod work;

use std::{path::Path, str::FromStr, time::Duration};

use amend_domain::{
    AccountId, Assessment, Problem, ProblemId, ResourceId,
    assessment::Version,
    audit::{Entry, Head, Record},
    guard::{About, Hold, Tally},
    plan::Remediation,
    problem::{Closed, Place, State},
    thing::Read,
    work::{After, Lease, Stop, Work, WorkKind},
};
use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{
    Row, Sqlite as Driver, SqlitePool, Transaction,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};

use crate::{Change, Effect, Filter, Input, Parked, Recorded, Store, StoreError, StoredDecision, sql};

/// The embedded store.
#[derive(Clone, Debug)]
pub struct Sqlite {
    writer: SqlitePool,
    readers: SqlitePool,
}

impl Sqlite {
    /// Opens the file at `path`, and makes it and its schema where they are missing.
    ///
    /// # Errors
    /// When the file cannot be opened, or a later version of Amend wrote it.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let name = path.display().to_string();
        let fail = |source: sqlx::Error| StoreError::Open { path: name.clone(), source };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            tokio::fs::create_dir_all(folder).await.map_err(|error| fail(sqlx::Error::Io(error)))?;
        }
        let options = SqliteConnectOptions::from_str("sqlite:")
            .map_err(fail)?
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(10))
            .foreign_keys(true);
        let writer = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await.map_err(fail)?;
        // What was there before fixes is in it: for its owner alone.
        private(path).await.map_err(|error| fail(sqlx::Error::Io(error)))?;
        let found: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&writer).await.map_err(fail)?;
        if found > sql::VERSION {
            return Err(StoreError::Newer { path: name, found, known: sql::VERSION });
        }
        if found < sql::VERSION {
            let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await.map_err(fail)?;
            // Another process may have done it since.
            let now: i64 =
                sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *transaction).await.map_err(fail)?;
            let done = usize::try_from(now).unwrap_or(usize::MAX);
            let whole = [sql::SCHEMA];
            let steps =
                if now == 0 { &whole } else { sql::MIGRATIONS.get(done.saturating_sub(1)..).unwrap_or_default() };
            for statement in steps.iter().copied().flatten() {
                sqlx::query(*statement).execute(&mut *transaction).await.map_err(fail)?;
            }
            let version = sqlx::AssertSqlSafe(format!("PRAGMA user_version = {}", sql::VERSION));
            sqlx::query(version).execute(&mut *transaction).await.map_err(fail)?;
            transaction.commit().await.map_err(fail)?;
        }
        let readers =
            SqlitePoolOptions::new().max_connections(4).connect_with(options.read_only(true)).await.map_err(fail)?;
        Ok(Self { writer, readers })
    }

    /// Finishes what is being written and closes the file.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    async fn begin(&self, doing: &'static str) -> Result<Transaction<'_, Driver>, StoreError> {
        self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed(doing))
    }
}

#[cfg(unix)]
async fn private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    tokio::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).await
}

#[cfg(not(unix))]
async fn private(_: &Path) -> std::io::Result<()> {
    Ok(())
}

fn failed(doing: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |source| StoreError::Failed { doing, source }
}

fn read<T: DeserializeOwned>(what: &'static str, body: &str) -> Result<T, StoreError> {
    serde_json::from_str(body).map_err(|source| StoreError::Damaged { what, source })
}

fn write<T: Serialize>(what: &'static str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|source| StoreError::Damaged { what, source })
}

fn bodies<T: DeserializeOwned>(what: &'static str, rows: &[SqliteRow]) -> Result<Vec<T>, StoreError> {
    rows.iter().map(|row| read(what, row.try_get::<&str, _>("body").map_err(failed("read a row"))?)).collect()
}

fn parked(row: &SqliteRow) -> Result<Parked, StoreError> {
    let fail = failed("read a row");
    let mut parked: Parked = read("unreadable records", row.try_get::<&str, _>("body").map_err(&fail)?)?;
    let resolved: Option<i64> = row.try_get("resolved").map_err(&fail)?;
    parked.resolved = resolved.and_then(|micros| Timestamp::from_microsecond(micros).ok());
    Ok(parked)
}

async fn put_problem(
    transaction: &mut Transaction<'_, Driver>,
    problem: &Problem,
    now: Timestamp,
) -> Result<(), StoreError> {
    let rank = |level: Option<u8>| level.map_or(0, |level| i64::from(level).saturating_add(1));
    sqlx::query(sql::PUT_PROBLEM)
        .bind(problem.tenant.as_str())
        .bind(problem.id.as_str())
        .bind(problem.resource.id.as_str())
        .bind(problem.resource.account.as_ref().map(amend_domain::AccountId::as_str))
        .bind(i64::from(problem.state == State::Open))
        .bind(i64::from(problem.place == Place::Backlog))
        .bind(rank(problem.risk.map(|risk| risk as u8)))
        .bind(rank(problem.severity.map(|severity| severity as u8)))
        .bind(problem.opened.as_microsecond())
        .bind(problem.due.map(Timestamp::as_microsecond))
        .bind(problem.decision.rule.as_ref().map(amend_domain::RuleId::as_str))
        .bind(i64::from(problem.lacks_facts()))
        .bind(write("problems", problem)?)
        .bind(problem.setting.as_str())
        .execute(&mut **transaction)
        .await
        .map_err(failed("write a problem"))?;
    if problem.state == State::Open {
        let seen = sqlx::query(sql::PUT_SEEN).bind(problem.setting.as_str()).bind(now.as_microsecond());
        seen.execute(&mut **transaction).await.map_err(failed("note a setting"))?;
    }
    work::queue_problem(transaction, problem).await?;
    if problem.state == State::Closed(Closed::Healthy) {
        work::confirm(transaction, problem, now).await?;
    }
    Ok(())
}

/// Somebody holds something, or lets it go.
fn held(at: Timestamp, who: &str, what: &str, hold: &Hold) -> Entry {
    let id = ResourceId::new(&hold.on);
    let known = id.cloud() != amend_domain::Cloud::Other;
    Entry {
        at,
        who: who.into(),
        what: what.into(),
        subject: hold.id.clone(),
        resource: known.then_some(id),
        account: AccountId::azure(&hold.on)
            .or_else(|| AccountId::aws(hold.on.strip_prefix("aws:")?))
            .or_else(|| AccountId::gcp(hold.on.strip_prefix("gcp:projects/")?)),
        detail: serde_json::json!({ "on": hold.on, "until": hold.until, "why": hold.why }),
    }
}

/// Somebody lets a problem leave the backlog.
fn let_go(at: Timestamp, by: &str, problem: &Problem) -> Entry {
    Entry {
        at,
        who: by.into(),
        what: "backlog.release".into(),
        subject: problem.id.as_str().into(),
        resource: Some(problem.resource.id.clone()),
        account: problem.resource.account.clone(),
        detail: serde_json::json!({ "setting": problem.setting, "rule": problem.decision.rule }),
    }
}

/// Somebody used the stop switch.
fn switched(at: Timestamp, by: &str, what: &str, why: &str) -> Entry {
    let detail = if why.is_empty() { serde_json::Value::Null } else { serde_json::json!({ "why": why }) };
    Entry { at, who: by.into(), what: what.into(), subject: "everything".into(), resource: None, account: None, detail }
}

async fn put_parked(transaction: &mut Transaction<'_, Driver>, one: &Parked) -> Result<(), StoreError> {
    sqlx::query(sql::PUT_PARKED)
        .bind(&one.id)
        // The same record delivered again is kept once.
        .bind(amend_domain::digest::digest_bytes(format!("{}\n{}", one.problem, one.raw).as_bytes()))
        .bind(one.at.as_microsecond())
        .bind(one.resolved.map(Timestamp::as_microsecond))
        .bind(write("unreadable records", one)?)
        .execute(&mut **transaction)
        .await
        .map_err(failed("keep an unreadable record"))?;
    Ok(())
}

/// Keeps what was decided about an assessment, with all that explains it.
async fn put_decision(
    transaction: &mut Transaction<'_, Driver>,
    change: &Change,
    problem: &ProblemId,
    version: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Change { assessment, decision, facts, .. } = change;
    let stored =
        StoredDecision { at: now, assessment: assessment.clone(), facts: facts.clone(), decision: decision.clone() };
    sqlx::query(sql::PUT_DECISION)
        .bind(assessment.tenant.as_str())
        .bind(assessment.id.as_str())
        .bind(problem.as_str())
        .bind(now.as_microsecond())
        .bind(version)
        .bind(write("decisions", &stored)?)
        .execute(&mut **transaction)
        .await
        .map_err(failed("keep a decision"))?;
    Ok(())
}

/// Names a version among those of one assessment.
fn version_name(version: &Version) -> String {
    let micros = version.micros.map_or_else(|| "-".to_owned(), |micros| micros.to_string());
    format!("{micros}|{}", version.fingerprint)
}

async fn get_problem(
    transaction: &mut Transaction<'_, Driver>,
    tenant: &str,
    id: &ProblemId,
) -> Result<Option<Problem>, StoreError> {
    let query = sqlx::query_scalar::<_, String>(sql::GET_PROBLEM).bind(tenant).bind(id.as_str());
    let body = query.fetch_optional(&mut **transaction).await.map_err(failed("read a problem"))?;
    body.map(|body| read("problems", &body)).transpose()
}

/// Time, rank and name of the version of an assessment that is held.
type Held = (Option<i64>, i64, String);

async fn get_held(
    transaction: &mut Transaction<'_, Driver>,
    tenant: &str,
    id: &str,
) -> Result<Option<Held>, StoreError> {
    let query = sqlx::query_as(sql::GET_ASSESSMENT).bind(tenant).bind(id);
    query.fetch_optional(&mut **transaction).await.map_err(failed("read an assessment"))
}

/// Decides a problem that lacked facts, where the decision about the same report can be made now.
async fn settle_one(
    transaction: &mut Transaction<'_, Driver>,
    change: &Change,
    now: Timestamp,
) -> Result<Option<Problem>, StoreError> {
    let Change { assessment, setting, decision, .. } = change;
    let (tenant, id) = (assessment.tenant.as_str(), assessment.id.as_str());
    let name = version_name(&assessment.version());
    // INVARIANT: only the report that is held may settle what lacked facts, never an older one
    // that comes again.
    let held = get_held(transaction, tenant, id).await?;
    if !assessment.is_open() || held.is_none_or(|(_, _, version)| version != name) {
        return Ok(None);
    }
    let problem_id = ProblemId::new(&assessment.tenant, assessment.resource.id.as_str(), setting.as_str());
    let Some(mut problem) = get_problem(transaction, tenant, &problem_id).await? else { return Ok(None) };
    if !problem.determine(assessment, decision.clone(), now) {
        return Ok(None);
    }
    put_problem(transaction, &problem, now).await?;
    put_decision(transaction, change, &problem_id, &name, now).await?;
    Ok(Some(problem))
}

/// Records one change inside a transaction.
async fn record_one(
    transaction: &mut Transaction<'_, Driver>,
    change: &Change,
    now: Timestamp,
) -> Result<Recorded, StoreError> {
    let Change { assessment, setting, decision, truth, .. } = change;
    let fail = failed("record an assessment");
    let (tenant, id) = (assessment.tenant.as_str(), assessment.id.as_str());
    let version = assessment.version();
    let name = version_name(&version);
    let problem_id = ProblemId::new(&assessment.tenant, assessment.resource.id.as_str(), setting.as_str());
    if let Some(account) = &assessment.resource.account {
        let statement = if assessment.snapshot { sql::PUT_SNAPSHOT } else { sql::PUT_EVENT };
        sqlx::query(statement)
            .bind(account.as_str())
            .bind(now.as_microsecond())
            .execute(&mut **transaction)
            .await
            .map_err(&fail)?;
    }
    let previous = get_problem(transaction, tenant, &problem_id).await?;
    let added = sqlx::query(sql::ADD_VERSION)
        .bind(tenant)
        .bind(id)
        .bind(&name)
        .bind(now.as_microsecond())
        .execute(&mut **transaction)
        .await
        .map_err(&fail)?;
    if added.rows_affected() == 0 {
        let settled = settle_one(transaction, change, now).await?;
        return Ok(Recorded { effect: Effect::Duplicate, missed: false, problem: settled.or(previous) });
    }
    let held = get_held(transaction, tenant, id).await?;
    // INVARIANT: older never overwrites newer. What has no time is older than anything.
    let stale =
        held.as_ref().is_some_and(|(micros, rank, _)| (version.micros, i64::from(version.rank)) < (*micros, *rank));
    if stale {
        return Ok(Recorded { effect: Effect::Stale, missed: false, problem: previous });
    }
    sqlx::query(sql::PUT_ASSESSMENT)
        .bind(tenant)
        .bind(id)
        .bind(problem_id.as_str())
        .bind(version.micros)
        .bind(i64::from(version.rank))
        .bind(&name)
        .bind(now.as_microsecond())
        .bind(write("assessments", assessment)?)
        .execute(&mut **transaction)
        .await
        .map_err(&fail)?;
    let was_open = previous.as_ref().is_some_and(|problem| problem.state == State::Open);
    let problem = Problem::advance(previous, assessment, setting, decision.clone(), *truth, now);
    if let Some(problem) = &problem {
        put_problem(transaction, problem, now).await?;
    }
    put_decision(transaction, change, &problem_id, &name, now).await?;
    let is_open = problem.as_ref().is_some_and(|problem| problem.state == State::Open);
    Ok(Recorded {
        effect: if held.is_some() { Effect::Updated } else { Effect::New },
        missed: assessment.snapshot && is_open && !was_open,
        problem,
    })
}

#[async_trait]
impl Store for Sqlite {
    async fn record(&self, changes: &[Change], parked: &[Parked], now: Timestamp) -> Result<Vec<Recorded>, StoreError> {
        let mut transaction = self.begin("record assessments").await?;
        for one in parked {
            put_parked(&mut transaction, one).await?;
        }
        let mut recorded = Vec::with_capacity(changes.len());
        for change in changes {
            recorded.push(record_one(&mut transaction, change, now).await?);
        }
        transaction.commit().await.map_err(failed("record assessments"))?;
        Ok(recorded)
    }

    async fn settle(&self, changes: &[Change], now: Timestamp) -> Result<Vec<Problem>, StoreError> {
        let mut transaction = self.begin("settle problems").await?;
        let mut settled = Vec::new();
        for change in changes {
            settled.extend(settle_one(&mut transaction, change, now).await?);
        }
        transaction.commit().await.map_err(failed("settle problems"))?;
        Ok(settled)
    }

    async fn undetermined(&self) -> Result<Vec<Assessment>, StoreError> {
        let rows = sqlx::query(sql::UNDETERMINED).fetch_all(&self.readers).await;
        bodies("assessments", &rows.map_err(failed("list what is undetermined"))?)
    }

    async fn parked(&self, resolved_too: bool, limit: u32) -> Result<Vec<Parked>, StoreError> {
        let rows = sqlx::query(sql::LIST_PARKED)
            .bind(i64::from(resolved_too))
            .bind(i64::from(limit))
            .fetch_all(&self.readers)
            .await
            .map_err(failed("list unreadable records"))?;
        rows.iter().map(parked).collect()
    }

    async fn parked_one(&self, id: &str) -> Result<Option<Parked>, StoreError> {
        let row = sqlx::query(sql::FIND_PARKED)
            .bind(id)
            .fetch_optional(&self.readers)
            .await
            .map_err(failed("find an unreadable record"))?;
        row.as_ref().map(parked).transpose()
    }

    async fn resolve_parked(&self, id: &str, now: Timestamp) -> Result<(), StoreError> {
        let done = sqlx::query(sql::RESOLVE_PARKED).bind(id).bind(now.as_microsecond()).execute(&self.writer).await;
        done.map(|_| ()).map_err(failed("resolve an unreadable record"))
    }

    async fn problems(&self, filter: &Filter) -> Result<Vec<Problem>, StoreError> {
        let rows = sqlx::query(sql::LIST_PROBLEMS)
            .bind(filter.open.map(i64::from))
            .bind(filter.backlog.map(i64::from))
            .bind(filter.rule.as_deref())
            .bind(filter.account.as_deref())
            .bind(filter.limit.map_or(i64::MAX, i64::from))
            .fetch_all(&self.readers)
            .await
            .map_err(failed("list problems"))?;
        bodies("problems", &rows)
    }

    async fn find(&self, id: &str) -> Result<Vec<Problem>, StoreError> {
        let resource = ResourceId::new(id);
        let prefix = if id.len() >= 4 && id.starts_with("p-") { id } else { "p-none" };
        let rows = sqlx::query(sql::FIND_PROBLEMS)
            .bind(prefix)
            .bind(resource.as_str())
            .bind(id.to_ascii_lowercase())
            .fetch_all(&self.readers)
            .await
            .map_err(failed("find a problem"))?;
        bodies("problems", &rows)
    }

    async fn release(&self, ids: &[String], by: &str, now: Timestamp) -> Result<Vec<Problem>, StoreError> {
        let mut transaction = self.begin("release from the backlog").await?;
        let mut released = Vec::new();
        for id in ids {
            let rows = sqlx::query(sql::RELEASABLE)
                .bind(id)
                .fetch_all(&mut *transaction)
                .await
                .map_err(failed("release from the backlog"))?;
            for mut problem in bodies::<Problem>("problems", &rows)? {
                if problem.release(now) {
                    put_problem(&mut transaction, &problem, now).await?;
                    work::add_audit(&mut transaction, let_go(now, by, &problem)).await?;
                    released.push(problem);
                }
            }
        }
        transaction.commit().await.map_err(failed("release from the backlog"))?;
        Ok(released)
    }

    async fn decisions(&self, problem: &str) -> Result<Vec<StoredDecision>, StoreError> {
        let rows = sqlx::query(sql::LIST_DECISIONS)
            .bind(problem)
            .fetch_all(&self.readers)
            .await
            .map_err(failed("list decisions"))?;
        bodies("decisions", &rows)
    }

    async fn assessments(&self, limit: u32) -> Result<Vec<Assessment>, StoreError> {
        let rows = sqlx::query(sql::LIST_ASSESSMENTS)
            .bind(i64::from(limit))
            .fetch_all(&self.readers)
            .await
            .map_err(failed("list assessments"))?;
        bodies("assessments", &rows)
    }

    async fn archive_rules(&self, digest: &str, files: &str, now: Timestamp) -> Result<(), StoreError> {
        let done =
            sqlx::query(sql::PUT_RULES).bind(digest).bind(now.as_microsecond()).bind(files).execute(&self.writer).await;
        done.map(|_| ()).map_err(failed("archive the rules"))
    }

    async fn archived_rules(&self, digest: &str) -> Result<Option<String>, StoreError> {
        sqlx::query_scalar(sql::GET_RULES)
            .bind(digest)
            .fetch_optional(&self.readers)
            .await
            .map_err(failed("read archived rules"))
    }

    async fn keep_remediation(&self, r: &Remediation, lease: &Lease, until: Timestamp) -> Result<(), StoreError> {
        let mut transaction = self.begin("keep a remediation").await?;
        work::not_stopped(&mut transaction, r).await?;
        work::renew(&mut transaction, r, lease, until).await?;
        work::put_remediation(&mut transaction, r).await?;
        work::add_audit(&mut transaction, Entry::of(r)).await?;
        transaction.commit().await.map_err(failed("keep a remediation"))
    }

    async fn begin_remediation(&self, r: &Remediation, from: &Lease) -> Result<(), StoreError> {
        let mut transaction = self.begin("keep a remediation").await?;
        work::not_stopped(&mut transaction, r).await?;
        work::put_remediation(&mut transaction, r).await?;
        work::hand_over(&mut transaction, r, from).await?;
        work::add_audit(&mut transaction, Entry::of(r)).await?;
        transaction.commit().await.map_err(failed("keep a remediation"))
    }

    async fn tally(&self, about: &About<'_>) -> Result<Tally, StoreError> {
        let mut transaction = self.readers.begin().await.map_err(failed("count what was done lately"))?;
        work::tally(&mut transaction, about).await
    }

    async fn hold(&self, hold: &Hold) -> Result<(), StoreError> {
        let fail = failed("hold something");
        let mut transaction = self.begin("hold something").await?;
        let query = sqlx::query(sql::PUT_HOLD).bind(&*hold.id).bind(&*hold.on).bind(hold.until.as_microsecond());
        query.bind(write("holds", hold)?).execute(&mut *transaction).await.map_err(&fail)?;
        work::add_audit(&mut transaction, held(hold.at, &hold.by, "hold", hold)).await?;
        transaction.commit().await.map_err(fail)
    }

    async fn holds(&self, now: Timestamp) -> Result<Vec<Hold>, StoreError> {
        let rows = sqlx::query(sql::LIST_HOLDS).bind(now.as_microsecond()).fetch_all(&self.readers).await;
        bodies("holds", &rows.map_err(failed("list holds"))?)
    }

    async fn end_hold(&self, id: &str, by: &str, now: Timestamp) -> Result<Option<Hold>, StoreError> {
        let fail = failed("end a hold");
        let mut transaction = self.begin("end a hold").await?;
        let body: Option<String> =
            sqlx::query_scalar(sql::DROP_HOLD).bind(id).fetch_optional(&mut *transaction).await.map_err(&fail)?;
        let hold: Option<Hold> = body.map(|body| read("holds", &body)).transpose()?;
        if let Some(hold) = &hold {
            let due = sqlx::query(sql::HASTEN_HELD).bind(now.as_microsecond()).execute(&mut *transaction).await;
            due.map_err(&fail)?;
            work::add_audit(&mut transaction, held(now, by, "release", hold)).await?;
        }
        transaction.commit().await.map_err(fail)?;
        Ok(hold)
    }

    async fn claim(&self, holder: &str, now: Timestamp, until: Timestamp) -> Result<Option<(Work, Lease)>, StoreError> {
        let mut transaction = self.begin("take up work").await?;
        let row = sqlx::query(sql::CLAIM_WORK)
            .bind(holder)
            .bind(until.as_microsecond())
            .bind(now.as_microsecond())
            .fetch_optional(&mut *transaction)
            .await
            .map_err(failed("take up work"))?;
        let Some(row) = row else { return Ok(None) };
        let (work, fence) = work::work_of(&row)?;
        transaction.commit().await.map_err(failed("take up work"))?;
        let lease = Lease { key: work.key.clone(), holder: holder.to_owned(), fence };
        Ok(Some((work, lease)))
    }

    async fn lease(
        &self,
        remediation: &str,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Lease>, StoreError> {
        let (kind, key) = (WorkKind::Advance, WorkKind::Advance.key(remediation));
        let fence: Option<i64> = sqlx::query_scalar(sql::LEASE_WORK)
            .bind(&key)
            .bind(kind.as_str())
            .bind(remediation)
            .bind(0_i64)
            .bind(now.as_microsecond())
            .bind(holder)
            .bind(until.as_microsecond())
            .fetch_optional(&self.writer)
            .await
            .map_err(failed("take up a remediation"))?;
        Ok(fence.map(|fence| Lease { key, holder: holder.to_owned(), fence }))
    }

    async fn leave(&self, lease: &Lease, after: &After, now: Timestamp) -> Result<(), StoreError> {
        let mut transaction = self.begin("leave work").await?;
        work::leave(&mut transaction, lease, after, now).await?;
        transaction.commit().await.map_err(failed("leave work"))
    }

    async fn work(&self, limit: u32) -> Result<Vec<Work>, StoreError> {
        let rows = sqlx::query(sql::LIST_WORK).bind(i64::from(limit)).fetch_all(&self.readers).await;
        let rows = rows.map_err(failed("list work"))?;
        rows.iter().map(|row| work::work_of(row).map(|(work, _)| work)).collect()
    }

    async fn one_work(&self, key: &str) -> Result<Option<Work>, StoreError> {
        let row = sqlx::query(sql::GET_WORK).bind(key).fetch_optional(&self.readers).await;
        let row = row.map_err(failed("find work"))?;
        row.as_ref().map(|row| work::work_of(row).map(|(work, _)| work)).transpose()
    }

    async fn retry_work(&self, key: Option<&str>, now: Timestamp) -> Result<u64, StoreError> {
        let query = sqlx::query(sql::RETRY_WORK).bind(key.unwrap_or_default()).bind(now.as_microsecond());
        let done = query.execute(&self.writer).await.map_err(failed("try work again"))?;
        Ok(done.rows_affected())
    }

    async fn stopped(&self) -> Result<Option<Stop>, StoreError> {
        let body: Option<String> = sqlx::query_scalar(sql::GET_STOP)
            .fetch_optional(&self.readers)
            .await
            .map_err(failed("read the stop switch"))?;
        body.map(|body| read("stops", &body)).transpose()
    }

    async fn stop(&self, stop: &Stop) -> Result<Stop, StoreError> {
        let mut transaction = self.begin("stop everything").await?;
        let done = sqlx::query(sql::PUT_STOP).bind(write("stops", stop)?).execute(&mut *transaction).await;
        done.map_err(failed("stop everything"))?;
        // Whoever stops what is stopped has a reason of their own: it stands in the trail.
        work::add_audit(&mut transaction, switched(stop.at, &stop.by, "stop", &stop.why)).await?;
        let holds = work::stopped(&mut transaction).await?;
        transaction.commit().await.map_err(failed("stop everything"))?;
        Ok(holds.unwrap_or_else(|| stop.clone()))
    }

    async fn resume(&self, by: &str, now: Timestamp) -> Result<Option<Stop>, StoreError> {
        let mut transaction = self.begin("go on").await?;
        let was = work::stopped(&mut transaction).await?;
        if was.is_some() {
            sqlx::query(sql::DROP_STOP).execute(&mut *transaction).await.map_err(failed("go on"))?;
            work::add_audit(&mut transaction, switched(now, by, "resume", "")).await?;
        }
        transaction.commit().await.map_err(failed("go on"))?;
        Ok(was)
    }

    async fn audit(&self, after: u64, limit: u32) -> Result<Vec<Record>, StoreError> {
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let rows = sqlx::query(sql::LIST_AUDIT).bind(after).bind(i64::from(limit)).fetch_all(&self.readers).await;
        bodies("the audit trail", &rows.map_err(failed("read the audit trail"))?)
    }

    async fn audit_of(&self, resource_or_account: &str, since: Timestamp) -> Result<Vec<Record>, StoreError> {
        let query = sqlx::query(sql::RECENT_AUDIT).bind(resource_or_account).bind(since.as_microsecond());
        bodies("the audit trail", &query.fetch_all(&self.readers).await.map_err(failed("read the audit trail"))?)
    }

    async fn audit_head(&self) -> Result<Head, StoreError> {
        let last: Option<(i64, String)> = sqlx::query_as(sql::LAST_AUDIT)
            .fetch_optional(&self.readers)
            .await
            .map_err(failed("read the audit trail"))?;
        Ok(last.map_or_else(Head::default, |(seq, digest)| Head {
            seq: u64::try_from(seq).unwrap_or_default(),
            digest: digest.into(),
        }))
    }

    async fn find_remediations(&self, id: &str) -> Result<Vec<Remediation>, StoreError> {
        let rows = sqlx::query(sql::FIND_REMEDIATIONS).bind(id).fetch_all(&self.readers).await;
        bodies("remediations", &rows.map_err(failed("find remediations"))?)
    }

    async fn remediations(
        &self,
        resource: Option<&str>,
        state: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Remediation>, StoreError> {
        let query = sqlx::query(sql::LIST_REMEDIATIONS).bind(resource).bind(state).bind(i64::from(limit));
        bodies("remediations", &query.fetch_all(&self.readers).await.map_err(failed("list remediations"))?)
    }

    async fn facts(&self, things: &[&str]) -> Result<Vec<Option<(Timestamp, Read)>>, StoreError> {
        let fail = failed("read facts");
        let mut reader = self.readers.acquire().await.map_err(&fail)?;
        let mut found = Vec::with_capacity(things.len());
        for thing in things {
            let row: Option<(i64, String)> =
                sqlx::query_as(sql::GET_FACTS).bind(*thing).fetch_optional(&mut *reader).await.map_err(&fail)?;
            let parse = |(asked, body): (i64, String)| {
                let asked = Timestamp::from_microsecond(asked).unwrap_or(Timestamp::MIN);
                read("facts", &body).map(|read| (asked, read))
            };
            found.push(row.map(parse).transpose()?);
        }
        Ok(found)
    }

    async fn keep_facts(&self, reads: &[(&str, &Read)], now: Timestamp) -> Result<(), StoreError> {
        let fail = failed("keep facts");
        let mut transaction = self.begin("keep facts").await?;
        for (thing, read) in reads {
            let query = sqlx::query(sql::PUT_FACTS).bind(*thing).bind(now.as_microsecond()).bind(write("facts", read)?);
            query.execute(&mut *transaction).await.map_err(&fail)?;
        }
        transaction.commit().await.map_err(fail)
    }

    async fn imported(&self) -> Result<Vec<(String, Timestamp)>, StoreError> {
        let rows: Vec<(String, i64)> =
            sqlx::query_as(sql::LIST_IMPORTED).fetch_all(&self.readers).await.map_err(failed("read an import"))?;
        let time = |(scope, micros)| Some((scope, Timestamp::from_microsecond(micros).ok()?));
        Ok(rows.into_iter().filter_map(time).collect())
    }

    async fn add_imported(&self, scope: &str, now: Timestamp) -> Result<(), StoreError> {
        let done = sqlx::query(sql::PUT_IMPORTED).bind(scope).bind(now.as_microsecond()).execute(&self.writer).await;
        done.map(|_| ()).map_err(failed("keep how far an import is"))
    }

    async fn forget_imported(&self, scopes: &[String]) -> Result<(), StoreError> {
        let mut transaction = self.begin("end an import").await?;
        for scope in scopes {
            let done = sqlx::query(sql::FORGET_IMPORTED).bind(scope).execute(&mut *transaction).await;
            done.map_err(failed("end an import"))?;
        }
        transaction.commit().await.map_err(failed("end an import"))
    }

    async fn remediations_of(&self, problem: &str) -> Result<Vec<Remediation>, StoreError> {
        let rows = sqlx::query(sql::REMEDIATIONS_OF).bind(problem).fetch_all(&self.readers).await;
        bodies("remediations", &rows.map_err(failed("list remediations"))?)
    }

    async fn inputs(&self) -> Result<Vec<Input>, StoreError> {
        type Row = (String, Option<i64>, Option<i64>);
        let rows: Vec<Row> =
            sqlx::query_as(sql::LIST_INPUTS).fetch_all(&self.readers).await.map_err(failed("list inputs"))?;
        let time = |micros: Option<i64>| micros.and_then(|micros| Timestamp::from_microsecond(micros).ok());
        let input =
            |(account, event, snapshot): Row| Input { account, last_event: time(event), last_snapshot: time(snapshot) };
        Ok(rows.into_iter().map(input).collect())
    }

    async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.readers).await.map(|_| ()).map_err(failed("answer"))
    }
}

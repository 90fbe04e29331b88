//! Work, leases, and the audit trail, inside the transactions that they belong to.

use amend_domain::{
    Problem,
    audit::{Entry, Head, Record},
    guard::{About, Tally},
    plan::{MadeOutcome, Remediation, State},
    work::{After, Lease, Stop, Work, WorkKind},
};
use jiff::Timestamp;
use sqlx::{Row as _, Sqlite as Driver, Transaction, sqlite::SqliteRow};

use super::{failed, read, write};
use crate::{StoreError, sql};

type Tx<'t> = Transaction<'t, Driver>;

/// What goes on comes before what has not begun.
const FIRST: i64 = 1_000_000;

/// When what was only shown is looked at again.
const AGAIN: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

/// Puts the work of a problem into the queue, or takes it out.
pub(super) async fn queue_problem(transaction: &mut Tx<'_>, problem: &Problem) -> Result<(), StoreError> {
    match problem.fix_begins() {
        Some(due) => put(transaction, WorkKind::Remedy, problem.id.as_str(), problem.rank(), due).await,
        None => drop_work(transaction, &WorkKind::Remedy.key(problem.id.as_str())).await,
    }
}

async fn put(
    transaction: &mut Tx<'_>,
    kind: WorkKind,
    subject: &str,
    rank: i64,
    due: Timestamp,
) -> Result<(), StoreError> {
    let query = sqlx::query(sql::PUT_WORK).bind(kind.key(subject)).bind(kind.as_str()).bind(subject);
    let done = query.bind(rank).bind(due.as_microsecond()).execute(&mut **transaction).await;
    done.map(|_| ()).map_err(failed("put work into the queue"))
}

async fn drop_work(transaction: &mut Tx<'_>, key: &str) -> Result<(), StoreError> {
    let done = sqlx::query(sql::DROP_WORK).bind(key).execute(&mut **transaction).await;
    done.map(|_| ()).map_err(failed("take work out of the queue"))
}

/// Confirms what was set for a problem that its source says is healthy by now.
pub(super) async fn confirm(transaction: &mut Tx<'_>, problem: &Problem, now: Timestamp) -> Result<(), StoreError> {
    let rows = sqlx::query(sql::UNCONFIRMED).bind(problem.id.as_str()).fetch_all(&mut **transaction).await;
    for row in rows.map_err(failed("find what was set"))? {
        let mut r: Remediation = read("remediations", row.try_get("body").map_err(failed("read a row"))?)?;
        r.state = State::Healthy;
        r.revision = r.revision.saturating_add(1);
        r.changed = now;
        (r.due, r.why) = (None, None);
        put_remediation(transaction, &r).await?;
        drop_work(transaction, &WorkKind::Advance.key(&r.id)).await?;
        add_audit(transaction, Entry::of(&r)).await?;
    }
    Ok(())
}

/// Writes a remediation over what is kept of it.
pub(super) async fn put_remediation(transaction: &mut Tx<'_>, r: &Remediation) -> Result<(), StoreError> {
    let revision = i64::try_from(r.revision).unwrap_or(i64::MAX);
    let due = r.due.map(Timestamp::as_microsecond);
    let query = if revision == 1 {
        sqlx::query(sql::ADD_REMEDIATION)
            .bind(&*r.id)
            .bind(r.plan.at.resource.as_str())
            .bind(&*r.plan.fix)
            .bind(r.state.as_str())
            .bind(revision)
            .bind(r.begun.as_microsecond())
            .bind(due)
            .bind(write("remediations", r)?)
            .bind(r.problem.as_ref().map(amend_domain::ProblemId::as_str))
            .bind(r.mode.map(amend_domain::rule::Mode::as_str))
            .bind(r.plan.at.account.as_ref().map(amend_domain::AccountId::as_str))
            .bind(r.rule.as_ref().map(amend_domain::RuleId::as_str))
            .bind(r.plan.affected.as_ref().map_or(1, |all| i64::try_from(all.len()).unwrap_or(i64::MAX)).max(1))
            .bind(r.changed.as_microsecond())
    } else {
        let query = sqlx::query(sql::PUT_REMEDIATION).bind(&*r.id);
        let query = query.bind(r.state.as_str()).bind(revision).bind(due).bind(write("remediations", r)?);
        query.bind(r.changed.as_microsecond()).bind(i64::from(r.state == State::Undoing))
    };
    let done = query.execute(&mut **transaction).await.map_err(failed("keep a remediation"))?;
    if done.rows_affected() == 1 { Ok(()) } else { Err(StoreError::Overtaken { id: r.id.to_string() }) }
}

/// INVARIANT: whoever has lost the lease keeps nothing, and so writes nothing.
pub(super) async fn renew(
    transaction: &mut Tx<'_>,
    r: &Remediation,
    lease: &Lease,
    until: Timestamp,
) -> Result<(), StoreError> {
    let query = sqlx::query(sql::RENEW_WORK).bind(&lease.key).bind(&lease.holder).bind(lease.fence);
    let done = query.bind(until.as_microsecond()).execute(&mut **transaction).await.map_err(failed("renew a lease"))?;
    if done.rows_affected() == 1 { Ok(()) } else { Err(StoreError::Overtaken { id: r.id.to_string() }) }
}

/// INVARIANT: nothing is about to be sent while everything is stopped.
pub(super) async fn not_stopped(transaction: &mut Tx<'_>, r: &Remediation) -> Result<(), StoreError> {
    let sending = r.made.last().is_some_and(|made| made.outcome == MadeOutcome::Sent);
    // One that is asked for, and one that was and writes nothing yet.
    let begins = r.revision == 1 && r.state == State::Planned || r.state == State::Applying && r.made.is_empty();
    match stopped(transaction).await? {
        Some(stop) if sending || begins => Err(StoreError::Stopped(stop)),
        _ => Ok(()),
    }
}

pub(super) async fn stopped(transaction: &mut Tx<'_>) -> Result<Option<Stop>, StoreError> {
    let body: Option<String> = sqlx::query_scalar(sql::GET_STOP)
        .fetch_optional(&mut **transaction)
        .await
        .map_err(failed("read the stop switch"))?;
    body.map(|body| read("stops", &body)).transpose()
}

/// Ends a piece of work with a remediation that came of it, and has that go on.
pub(super) async fn hand_over(transaction: &mut Tx<'_>, r: &Remediation, from: &Lease) -> Result<(), StoreError> {
    // What was only shown is looked at again: more may be allowed by then.
    let query = if r.state == State::Observed {
        let next = r.begun.saturating_add(AGAIN).unwrap_or(Timestamp::MAX).as_microsecond();
        let query = sqlx::query(sql::LEAVE_WORK).bind(&from.key).bind(&from.holder).bind(from.fence);
        query.bind(next).bind(1).bind(None::<i64>).bind(None::<String>)
    } else {
        sqlx::query(sql::FINISH_WORK).bind(&from.key).bind(&from.holder).bind(from.fence)
    };
    let done = query.execute(&mut **transaction).await.map_err(failed("end a piece of work"))?;
    if done.rows_affected() != 1 {
        return Err(StoreError::Overtaken { id: r.id.to_string() });
    }
    match (r.state, r.until) {
        (State::Planned, _) => put(transaction, WorkKind::Advance, &r.id, FIRST, r.begun).await,
        // Where nobody says anything, that ends, too.
        (State::AwaitingApproval, Some(until)) => put(transaction, WorkKind::Advance, &r.id, FIRST, until).await,
        _ => Ok(()),
    }
}

pub(super) async fn leave(
    transaction: &mut Tx<'_>,
    lease: &Lease,
    after: &After,
    now: Timestamp,
) -> Result<(), StoreError> {
    let ours = |query| -> sqlx::query::Query<'_, Driver, _> {
        sqlx::query(query).bind(lease.key.clone()).bind(lease.holder.clone()).bind(lease.fence)
    };
    let (due, got_on, parked, why) = match after {
        After::Done => {
            let done = ours(sql::FINISH_WORK).execute(&mut **transaction).await;
            return done.map(|_| ()).map_err(failed("end a piece of work"));
        }
        After::Afresh { problem, at } => {
            let done = ours(sql::FINISH_WORK).execute(&mut **transaction).await;
            if done.map_err(failed("end a piece of work"))?.rows_affected() == 1 {
                put(transaction, WorkKind::Remedy, problem, 0, *at).await?;
            }
            return Ok(());
        }
        After::Later { at } => (*at, true, None, None),
        After::Held { at, why } => (*at, true, None, Some(why.clone())),
        After::Again { at, why } => (*at, false, None, Some(why.clone())),
        After::Parked { why } => (now, false, Some(now), Some(why.clone())),
    };
    let query = ours(sql::LEAVE_WORK)
        .bind(due.as_microsecond())
        .bind(i64::from(got_on))
        .bind(parked.map(Timestamp::as_microsecond))
        .bind(why);
    query.execute(&mut **transaction).await.map(|_| ()).map_err(failed("put off a piece of work"))
}

pub(super) fn work_of(row: &SqliteRow) -> Result<(Work, i64), StoreError> {
    let fail = failed("read a row");
    let time = |micros: i64| Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX);
    let kind: &str = row.try_get("kind").map_err(&fail)?;
    let until: i64 = row.try_get("until").map_err(&fail)?;
    let parked: Option<i64> = row.try_get("parked").map_err(&fail)?;
    let attempts: i64 = row.try_get("attempts").map_err(&fail)?;
    let kind = WorkKind::parse(kind).ok_or_else(|| {
        let source = serde::de::Error::custom(format!("`{kind}` is no kind of work"));
        StoreError::Damaged { what: "work", source }
    })?;
    let work = Work {
        key: row.try_get("key").map_err(&fail)?,
        kind,
        subject: row.try_get("subject").map_err(&fail)?,
        due: time(row.try_get("due").map_err(&fail)?),
        attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
        taken_until: (until > 0).then(|| time(until)),
        parked: parked.map(time),
        why: row.try_get("why").map_err(&fail)?,
    };
    Ok((work, row.try_get("fence").map_err(&fail)?))
}

/// What was done and seen lately.
pub(super) async fn tally(transaction: &mut Tx<'_>, about: &About<'_>) -> Result<Tally, StoreError> {
    let fail = failed("count what was done lately");
    let since = about.since.as_microsecond();
    let count = |count: i64| u64::try_from(count).unwrap_or_default();
    let surge: i64 = sqlx::query_scalar(sql::SURGE)
        .bind(about.setting)
        .bind(since)
        .fetch_one(&mut **transaction)
        .await
        .map_err(&fail)?;
    let first: Option<i64> = sqlx::query_scalar(sql::FIRST_SEEN)
        .bind(about.setting)
        .fetch_optional(&mut **transaction)
        .await
        .map_err(&fail)?;
    let failures: i64 =
        sqlx::query_scalar(sql::FAILURES).bind(since).fetch_one(&mut **transaction).await.map_err(&fail)?;
    let (all, in_account, for_rule): (i64, i64, i64) = sqlx::query_as(sql::BEGUN)
        .bind(since)
        .bind(about.account.map(amend_domain::AccountId::as_str))
        .bind(about.rule.map(amend_domain::RuleId::as_str))
        .fetch_one(&mut **transaction)
        .await
        .map_err(&fail)?;
    let holds = sqlx::query(sql::HOLDS_ON)
        .bind(about.assessed)
        .bind(about.changed)
        .bind(about.account.map(amend_domain::AccountId::as_str))
        .bind(about.now.as_microsecond())
        .fetch_all(&mut **transaction)
        .await
        .map_err(&fail)?;
    Ok(Tally {
        surge: count(surge),
        first_seen: first.and_then(|micros| Timestamp::from_microsecond(micros).ok()),
        failed: count(failures),
        begun: count(all),
        begun_in_account: count(in_account),
        begun_for_rule: count(for_rule),
        holds: super::bodies("holds", &holds)?,
    })
}

/// Adds a record to the trail. There is one writer, so none comes between.
pub(super) async fn add_audit(transaction: &mut Tx<'_>, entry: Entry) -> Result<(), StoreError> {
    let fail = failed("add to the audit trail");
    let last: Option<(i64, String)> =
        sqlx::query_as(sql::LAST_AUDIT).fetch_optional(&mut **transaction).await.map_err(&fail)?;
    let head = last.map_or_else(Head::default, |(seq, digest)| Head {
        seq: u64::try_from(seq).unwrap_or_default(),
        digest: digest.into(),
    });
    let record =
        Record::after(&head, entry).map_err(|source| StoreError::Damaged { what: "the audit trail", source })?;
    sqlx::query(sql::ADD_AUDIT)
        .bind(i64::try_from(record.seq).unwrap_or(i64::MAX))
        .bind(record.entry.at.as_microsecond())
        .bind(&*record.entry.subject)
        .bind(record.entry.resource.as_ref().map(amend_domain::ResourceId::as_str))
        .bind(record.entry.account.as_ref().map(amend_domain::AccountId::as_str))
        .bind(&*record.digest)
        .bind(write("the audit trail", &record)?)
        .execute(&mut **transaction)
        .await
        .map(|_| ())
        .map_err(fail)
}

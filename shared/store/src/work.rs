//! Work, leases and remediations, inside the transactions that they belong to.

use std::collections::BTreeSet;

use amend_domain::{
    AccountId, ProblemId, RuleId,
    audit::Entry,
    guard::{About, Begun, Budget, Tally},
    plan::{MadeOutcome, Remediation, State},
    rule::Mode,
    work::{After, Lease, Stop, Work, WorkKind},
};
use jiff::Timestamp;

use crate::{
    StoreError,
    body::{read, read_all, read_one, write},
    database::{Row, Tx, Value, values},
    notice,
    postgres::Lock,
    sql, sync,
};

/// What goes on comes before what has not begun.
const FIRST: i64 = 1_000_000;

/// When what was only shown is looked at again.
const AGAIN: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

/// Puts work into the queue: about what, how urgent, and when.
pub(crate) async fn put_all<'s>(
    tx: &mut Tx,
    kind: WorkKind,
    work: impl Iterator<Item = (&'s str, i64, Timestamp)>,
) -> Result<(), StoreError> {
    let row = |(subject, rank, due): (&'s str, i64, Timestamp)| {
        values![kind.key(subject), kind.as_str(), subject, rank, due, 0_i64, 0_i64, 0_i64]
    };
    let rows: Vec<Value<'s>> = work.flat_map(row).collect();
    tx.insert(&sql::PUT_WORK, &rows).await.map(drop)
}

async fn put(tx: &mut Tx, kind: WorkKind, subject: &str, rank: i64, due: Timestamp) -> Result<(), StoreError> {
    put_all(tx, kind, std::iter::once((subject, rank, due))).await
}

/// Takes work out of the queue.
pub(crate) async fn drop_all(tx: &mut Tx, keys: &[String]) -> Result<(), StoreError> {
    let keys: Vec<_> = keys.iter().map(Value::from).collect();
    tx.pick(&sql::DROP_WORK, &keys).await.map(drop)
}

/// Confirms what was set for problems that their source says are healthy by now. Returns what is to be added
/// to the audit trail.
///
/// Whoever changes a remediation of a problem has the problem's lock, and so has this transaction. One that
/// cannot be opened here, for want of a key, keeps no event from being recorded: whoever can takes it up.
pub(crate) async fn confirm(
    tx: &mut Tx,
    healthy: &BTreeSet<ProblemId>,
    now: Timestamp,
) -> Result<Vec<Entry>, StoreError> {
    let wanted: Vec<_> = healthy.iter().map(|id| Value::from(id.as_str())).collect();
    let rows = tx.pick(&sql::PICK_UNCONFIRMED, &wanted).await?;
    let (mut set, mut sealed) = (Vec::new(), Vec::new());
    for row in &rows {
        match open(tx, row) {
            Ok(r) if r.is_unconfirmed() => set.push(r),
            Ok(_) => {}
            Err(_) => sealed.push(row.get::<&str>(0)?),
        }
    }
    // The rows of each batch of problems are in order, those of several are not.
    sealed.sort_unstable();
    set.sort_by(|a, b| a.id.cmp(&b.id));
    put_all(tx, WorkKind::Advance, sealed.into_iter().map(|id| (id, FIRST, now))).await?;
    let keys: Vec<_> = set.iter().map(|r| WorkKind::Advance.key(&r.id)).collect();
    drop_all(tx, &keys).await?;
    let mut entries = Vec::with_capacity(set.len());
    for mut r in set {
        r.state = State::Healthy;
        r.revision = r.revision.saturating_add(1);
        r.changed = now;
        (r.due, r.why) = (None, None);
        put_remediation(tx, &r).await?;
        entries.push(Entry::of(&r));
    }
    Ok(entries)
}

/// Waits for others that are at the same resource or problem.
pub(crate) async fn lock(tx: &mut Tx, r: &Remediation) -> Result<(), StoreError> {
    tx.lock(Lock::Switched).await?;
    let names: Vec<_> =
        std::iter::once(r.plan.at.resource.as_str()).chain(r.problem.as_ref().map(ProblemId::as_str)).collect();
    tx.lock(Lock::Names(&names)).await
}

/// Reads remediations from rows of their ids and bodies.
pub(crate) fn open_all(tx: &Tx, rows: &[Row]) -> Result<Vec<Remediation>, StoreError> {
    rows.iter().map(|row| open(tx, row)).collect()
}

fn open(tx: &Tx, row: &Row) -> Result<Remediation, StoreError> {
    read("remediations", &tx.open(row.get(0)?, row.get(1)?)?)
}

/// Seals what the first key has not sealed yet. Returns how many there were.
pub(crate) async fn reseal(tx: &mut Tx, after: &str) -> Result<(u64, Option<String>), StoreError> {
    let rows = tx.rows(sql::NEXT_REMEDIATIONS, &values![after]).await?;
    let mut sealed = 0_u64;
    let mut last = None;
    for row in &rows {
        let (id, body, revision): (&str, &str, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        if !tx.keys.is_current(body) {
            let body = tx.keys.seal(id, tx.open(id, body)?)?;
            sealed = sealed.saturating_add(tx.run(sql::RESEAL, &values![id, revision, body]).await?);
        }
        last = Some(id.to_owned());
    }
    Ok((sealed, last))
}

/// Writes a remediation over what is kept of it, and what people are told of that.
pub(crate) async fn put_remediation(tx: &mut Tx, r: &Remediation) -> Result<(), StoreError> {
    let revision = i64::try_from(r.revision).unwrap_or(i64::MAX);
    let body = tx.keys.seal(&r.id, write("remediations", r)?)?;
    let done = if revision == 1 {
        let values = values![
            &*r.id,
            r.plan.at.resource.as_str(),
            &*r.plan.fix,
            r.state.as_str(),
            revision,
            r.begun,
            r.due,
            body,
            r.problem.as_ref().map(ProblemId::as_str),
            r.mode.map(Mode::as_str),
            r.plan.at.account.as_ref().map(AccountId::as_str),
            r.rule.as_ref().map(RuleId::as_str),
            i64::try_from(r.plan.reach()).unwrap_or(i64::MAX),
            r.changed,
        ];
        tx.run(sql::ADD_REMEDIATION, &values).await?
    } else {
        // What a person approved comes to the resource only now.
        let comes = matches!(r.state, State::Undoing | State::Planned);
        let values = values![&*r.id, r.state.as_str(), revision, r.due, body, r.changed, comes];
        tx.run(sql::PUT_REMEDIATION, &values).await?
    };
    if done != 1 {
        return Err(StoreError::Overtaken { id: r.id.to_string() });
    }
    notice::add_step(tx, r).await?;
    sync::queue_step(tx, r).await
}

/// INVARIANT: whoever has lost the lease keeps nothing, and so writes nothing.
pub(crate) async fn renew(tx: &mut Tx, r: &Remediation, lease: &Lease, until: Timestamp) -> Result<(), StoreError> {
    let done = tx.run(sql::RENEW_WORK, &values![&lease.key, &lease.holder, lease.fence, until]).await?;
    if done == 1 { Ok(()) } else { Err(StoreError::Overtaken { id: r.id.to_string() }) }
}

/// INVARIANT: nothing is about to be sent while everything is stopped.
pub(crate) async fn not_stopped(tx: &mut Tx, r: &Remediation) -> Result<(), StoreError> {
    let sending = r.made.last().is_some_and(|made| made.outcome == MadeOutcome::Sent);
    // One that is asked for, and one that was and writes nothing yet.
    let begins = r.revision == 1 && r.state == State::Planned || r.state == State::Applying && r.made.is_empty();
    match stopped(tx).await? {
        Some(stop) if sending || begins => Err(StoreError::Stopped(stop)),
        _ => Ok(()),
    }
}

/// Whether everything is stopped.
pub(crate) async fn stopped(tx: &mut Tx) -> Result<Option<Stop>, StoreError> {
    match &tx.stop {
        Some(stop) => Ok(Some((**stop).clone())),
        None => switch(tx).await,
    }
}

/// What the switch says that the store keeps.
pub(crate) async fn switch(tx: &mut Tx) -> Result<Option<Stop>, StoreError> {
    read_one("stops", tx.row(sql::GET_STOP, &[]).await?)
}

/// Ends a piece of work with a remediation that came of it, and has that go on.
pub(crate) async fn hand_over(tx: &mut Tx, r: &Remediation, from: &Lease) -> Result<(), StoreError> {
    // What was only shown is looked at again: more may be allowed by then.
    let done = if r.state == State::Observed {
        let next = r.begun.saturating_add(AGAIN).unwrap_or(Timestamp::MAX);
        let values = values![&from.key, &from.holder, from.fence, next, true, None::<i64>, None::<&str>];
        tx.run(sql::LEAVE_WORK, &values).await?
    } else {
        tx.run(sql::FINISH_WORK, &values![&from.key, &from.holder, from.fence]).await?
    };
    if done != 1 {
        return Err(StoreError::Overtaken { id: r.id.to_string() });
    }
    match (r.state, r.until) {
        (State::Planned, _) => put(tx, WorkKind::Advance, &r.id, FIRST, r.begun).await,
        // Where nobody says anything, that ends, too.
        (State::AwaitingApproval, Some(until)) => put(tx, WorkKind::Advance, &r.id, FIRST, until).await,
        _ => Ok(()),
    }
}

/// Ends a lease.
pub(crate) async fn leave(tx: &mut Tx, lease: &Lease, after: &After, now: Timestamp) -> Result<(), StoreError> {
    let finish = values![&lease.key, &lease.holder, lease.fence];
    let (due, got_on, parked, why) = match after {
        After::Done => return tx.run(sql::FINISH_WORK, &finish).await.map(drop),
        After::Afresh { problem, at, parked } => {
            if tx.run(sql::FINISH_WORK, &finish).await? == 1 {
                put(tx, WorkKind::Remedy, problem, 0, *at).await?;
                if let Some(why) = parked {
                    tx.run(sql::PARK_WORK, &values![WorkKind::Remedy.key(problem), now, why.as_str()]).await?;
                }
            }
            return Ok(());
        }
        After::Later { at } => (*at, true, None, None),
        After::Held { at, why } => (*at, true, None, Some(why.as_str())),
        After::Again { at, why } => (*at, false, None, Some(why.as_str())),
        After::Parked { why } => (now, false, Some(now), Some(why.as_str())),
    };
    let values = values![&lease.key, &lease.holder, lease.fence, due, got_on, parked, why];
    tx.run(sql::LEAVE_WORK, &values).await.map(drop)
}

/// Reads a piece of work, and the number of its lease.
pub(crate) fn work_of(row: &Row) -> Result<(Work, i64), StoreError> {
    let time = |micros: i64| Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX);
    let kind: &str = row.get(1)?;
    let until: i64 = row.get(5)?;
    let kind = WorkKind::parse(kind).ok_or_else(|| {
        let source = serde::de::Error::custom(format!("`{kind}` is no kind of work"));
        StoreError::Damaged { what: "work", source }
    })?;
    let work = Work {
        key: row.get(0)?,
        kind,
        subject: row.get(2)?,
        due: time(row.get(3)?),
        attempts: u32::try_from(row.get::<i64>(4)?).unwrap_or(u32::MAX),
        taken_until: (until > 0).then(|| time(until)),
        parked: row.get::<Option<i64>>(6)?.map(time),
        why: row.get(7)?,
    };
    Ok((work, row.get(8)?))
}

fn count(row: Option<&Row>, column: usize) -> Result<u64, StoreError> {
    let number: i64 = row.map_or(Ok(0), |row| row.get(column))?;
    Ok(u64::try_from(number).unwrap_or_default())
}

/// What was begun by itself to be written, by its reach.
async fn begun(
    tx: &mut Tx,
    since: Timestamp,
    account: Option<&AccountId>,
    rule: Option<&RuleId>,
) -> Result<Begun, StoreError> {
    let values = values![since, account.map(AccountId::as_str), rule.map(RuleId::as_str)];
    let row = tx.row(sql::BEGUN, &values).await?;
    let row = row.as_ref();
    Ok(Begun { all: count(row, 0)?, in_account: count(row, 1)?, for_rule: count(row, 2)? })
}

/// INVARIANT: what writes by itself stays within the budget, however many begin it at once.
pub(crate) async fn within_budget(tx: &mut Tx, r: &Remediation, budget: &Budget) -> Result<(), StoreError> {
    if r.mode != Some(Mode::Enforce) || r.state != State::Planned {
        return Ok(());
    }
    tx.lock(Lock::Budget).await?;
    let begun = begun(tx, budget.since, r.plan.at.account.as_ref(), r.rule.as_ref()).await?;
    match budget.exceeded(&begun, r.plan.reach()) {
        Some(why) => Err(StoreError::Spent { why }),
        None => Ok(()),
    }
}

/// What was done and seen lately.
pub(crate) async fn tally(tx: &mut Tx, about: &About<'_>) -> Result<Tally, StoreError> {
    let surge = tx.row(sql::SURGE, &values![about.setting, about.since]).await?;
    let first = tx.row(sql::FIRST_SEEN, &values![about.setting]).await?;
    let first: Option<i64> = first.map(|row| row.get(0)).transpose()?;
    let failed = tx.row(sql::FAILURES, &values![about.since]).await?;
    let begun = begun(tx, about.since, about.account, about.rule).await?;
    let account = about.account.map(AccountId::as_str);
    let holds = tx.rows(sql::HOLDS_ON, &values![about.assessed, about.changed, account, about.now]).await?;
    let on = values![about.assessed, about.changed, account, about.now, about.setting];
    let exemptions = tx.rows(sql::EXEMPTIONS_ON, &on).await?;
    Ok(Tally {
        surge: count(surge.as_ref(), 0)?,
        first_seen: first.and_then(|micros| Timestamp::from_microsecond(micros).ok()),
        failed: count(failed.as_ref(), 0)?,
        begun,
        holds: read_all("holds", &holds)?,
        exemptions: read_all("exemptions", &exemptions)?,
    })
}

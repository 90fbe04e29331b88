//! What systems were told of problems. What they are to be told is queued with what changed, in the same transaction;
//! only of systems that are in use.

use std::collections::BTreeSet;

use amend_domain::{
    Problem, ProblemId,
    audit::Entry,
    plan::Remediation,
    sync::{self, Synced, System},
    ticket,
    work::{Lease, WorkKind},
};
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use crate::{
    Filter, Store, StoreError,
    body::{read, read_all, read_one, write},
    database::{Database, Tx, Value, values},
    sql, trail, work,
};

/// After so long it is looked at again what stands there.
const AGAIN: SignedDuration = SignedDuration::from_hours(24);

/// What Amend remembers of what systems were told.
#[async_trait]
pub trait Syncs: Send + Sync {
    /// What a system was told of a problem.
    async fn synced(&self, system: System, problem: &ProblemId) -> Result<Synced, StoreError>;

    /// The ticket that a problem is in, as its tracker has it.
    async fn entry_of(&self, problem: &ProblemId) -> Result<Option<ticket::Entry>, StoreError>;

    /// Keeps what a system was or is about to be told of a problem, with what is to stand in the audit trail. Whoever
    /// keeps it has the lease until then: who has lost it keeps nothing, and so tells nothing.
    async fn keep_synced(
        &self,
        lease: &Lease,
        until: Timestamp,
        synced: &Synced,
        entries: Vec<Entry>,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// What systems were told, the last first: of which problem, and when it was looked at.
    async fn all_synced(&self, limit: u32) -> Result<Vec<(System, String, Timestamp, Synced)>, StoreError>;

    /// Queues what these systems know and was not looked at for a day. Returns how much that is.
    async fn look_again(&self, systems: &BTreeSet<System>, now: Timestamp) -> Result<usize, StoreError>;
}

/// Queues a problem for the systems in use that know it.
pub(crate) async fn queue<'p>(
    tx: &mut Tx,
    problems: impl Iterator<Item = &'p Problem>,
    now: Timestamp,
) -> Result<(), StoreError> {
    if tx.systems.is_empty() {
        return Ok(());
    }
    let systems = tx.systems.clone();
    let mut all: Vec<(String, i64)> = problems.flat_map(|problem| subjects(&systems, problem)).collect();
    // Whoever queues several does so in one order, or two could wait for each other for ever.
    all.sort_unstable();
    work::put_all(tx, WorkKind::Sync, all.iter().map(|(subject, rank)| (subject.as_str(), *rank, now))).await?;
    let keys: Vec<Value<'_>> = all.iter().map(|(subject, _)| Value::from(WorkKind::Sync.key(subject))).collect();
    tx.pick(&sql::RENEW_PARKED, &keys).await.map(drop)
}

fn subjects(systems: &BTreeSet<System>, problem: &Problem) -> Vec<(String, i64)> {
    let known = systems.iter().filter(|system| system.knows(problem));
    known.map(|system| (system.subject(&problem.id), problem.rank())).collect()
}

/// Queues the problem of a remediation, where its step is told.
pub(crate) async fn queue_step(tx: &mut Tx, r: &Remediation) -> Result<(), StoreError> {
    if tx.systems.is_empty() || !sync::is_told(r) {
        return Ok(());
    }
    if let Some(id) = &r.problem {
        let problem = problem(tx, id.as_str()).await?;
        return queue(tx, problem.iter(), r.changed).await;
    }
    // Who fixed it by hand named a resource, and no problem.
    let assessed = r.plan.at.via.as_ref().unwrap_or(&r.plan.at.resource);
    let rows = tx.rows(sql::PROBLEMS_OF_SETTING, &values![assessed.as_str(), &*r.plan.fix]).await?;
    let problems: Vec<Problem> = read_all("problems", &rows)?;
    queue(tx, problems.iter(), r.changed).await
}

/// Queues the problems of a ticket: all of them, or those that its tracker is told of for the first time.
pub(crate) async fn queue_ticket(tx: &mut Tx, ticket: &str, all: bool, now: Timestamp) -> Result<(), StoreError> {
    if tx.systems.is_empty() {
        return Ok(());
    }
    let mut problems = Vec::new();
    for row in tx.rows(sql::MEMBERS_NOW, &values![ticket, all]).await? {
        problems.extend(problem(tx, row.get(0)?).await?);
    }
    queue(tx, problems.iter(), now).await
}

async fn problem(tx: &mut Tx, id: &str) -> Result<Option<Problem>, StoreError> {
    read_one("problems", tx.row(sql::GET_PROBLEM, &values![id]).await?)
}

#[async_trait]
impl Syncs for Database {
    async fn synced(&self, system: System, problem: &ProblemId) -> Result<Synced, StoreError> {
        let mut tx = self.look("read what a system was told").await?;
        let key = system.subject(problem);
        Ok(read_one("syncs", tx.row(sql::GET_SYNCED, &values![key]).await?)?.unwrap_or_default())
    }

    async fn entry_of(&self, problem: &ProblemId) -> Result<Option<ticket::Entry>, StoreError> {
        let mut tx = self.look("read the ticket of a problem").await?;
        let Some(row) = tx.row(sql::TICKET_OF, &values![problem.as_str()]).await? else { return Ok(None) };
        let ticket: Option<ticket::Ticket> =
            read_one("tickets", tx.row(sql::GET_TICKET, &values![row.get::<&str>(0)?]).await?)?;
        Ok(ticket.and_then(|ticket| ticket.told.entry))
    }

    async fn keep_synced(
        &self,
        lease: &Lease,
        until: Timestamp,
        synced: &Synced,
        entries: Vec<Entry>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin("keep what a system was told").await?;
        let values = values![&lease.key, &lease.holder, lease.fence, until];
        // INVARIANT: whoever has lost the lease keeps nothing, and so tells nothing.
        if tx.run(sql::RENEW_WORK, &values).await? != 1 {
            return Err(StoreError::Overtaken { id: lease.key.clone() });
        }
        let key = lease.key.split_once(':').map_or(&*lease.key, |(_, subject)| subject);
        tx.run(sql::PUT_SYNCED, &values![key, now, write("syncs", synced)?]).await?;
        trail::add(&mut tx, entries).await?;
        tx.commit().await
    }

    async fn all_synced(&self, limit: u32) -> Result<Vec<(System, String, Timestamp, Synced)>, StoreError> {
        let mut tx = self.look("list what systems were told").await?;
        let mut all = Vec::new();
        for row in tx.rows(sql::LIST_SYNCED, &values![limit]).await? {
            let Some((system, problem)) = System::of_subject(row.get(0)?) else { continue };
            let at = Timestamp::from_microsecond(row.get(1)?).unwrap_or(Timestamp::MIN);
            all.push((system, problem.to_owned(), at, read("syncs", row.get(2)?)?));
        }
        Ok(all)
    }

    async fn look_again(&self, systems: &BTreeSet<System>, now: Timestamp) -> Result<usize, StoreError> {
        let filter = Filter { open: Some(true), backlog: Some(false), ..Filter::default() };
        let problems = self.problems(&filter).await?;
        let mut tx = self.begin("have it looked at what systems were told").await?;
        let before = now.saturating_sub(AGAIN).unwrap_or(Timestamp::MIN);
        let rows = tx.rows(sql::SYNCED_SINCE, &values![before]).await?;
        let fresh: BTreeSet<&str> = rows.iter().map(|row| row.get(0)).collect::<Result<_, _>>()?;
        let wanted = problems.iter().flat_map(|problem| subjects(systems, problem));
        let mut all: Vec<(String, i64)> = wanted.filter(|(subject, _)| !fresh.contains(subject.as_str())).collect();
        all.sort_unstable();
        let kind = WorkKind::Sync;
        let row = |(subject, rank): &(String, i64)| {
            values![kind.key(subject), kind.as_str(), subject.clone(), *rank, now, 0_i64, 0_i64, 0_i64]
        };
        let rows: Vec<_> = all.iter().flat_map(row).collect();
        tx.insert(&sql::ADD_WORK, &rows).await?;
        tx.commit().await?;
        Ok(all.len())
    }
}

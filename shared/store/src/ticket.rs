//! Tickets, what they are about, what their trackers were told; and the tracker that Amend brings with it.

use std::collections::BTreeMap;

use amend_domain::{
    Problem, ProblemId, RuleId, TicketId,
    audit::Entry,
    ticket::{About, Budget, LocalTicket, Member, Note, Ticket, Told},
    work::{After, Lease, WorkKind},
};
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde_json::json;

use crate::{
    StoreError,
    body::{read, read_all, read_one, write},
    database::{Database, Row, Tx, values},
    postgres::Lock,
    sql, sync, trail, work,
};

/// So long what changed about a ticket is gathered, before its tracker is told of all of it.
const GATHERED: SignedDuration = SignedDuration::from_mins(5);

/// What Amend remembers of tickets. One method is one transaction.
#[async_trait]
pub trait Tickets: Send + Sync {
    /// Puts a problem, as it is now, into the ticket that it belongs to: the one that it is in; one about `about`,
    /// where it is in none or has another owner now; or, where a budget is spent, one for the rest of the day. Nothing,
    /// where it is in none and needs none.
    async fn file(
        &self,
        problem: &Problem,
        about: &About,
        tracker: &str,
        budget: &Budget,
        now: Timestamp,
    ) -> Result<Option<TicketId>, StoreError>;

    /// A ticket.
    async fn ticket(&self, id: &str) -> Result<Option<Ticket>, StoreError>;

    /// Tickets, the newest first.
    async fn tickets(&self, limit: u32) -> Result<Vec<Ticket>, StoreError>;

    /// Has a lease for longer.
    async fn renew(&self, lease: &Lease, until: Timestamp) -> Result<(), StoreError>;

    /// Keeps that a tracker is about to be told something.
    async fn begin_telling(&self, ticket: &Ticket) -> Result<(), StoreError>;

    /// Keeps what a tracker was told, in the audit trail too where that has a word for it. Whoever keeps it saw what it
    /// was told before.
    async fn keep_told(&self, ticket: &Ticket, what: Option<&str>, now: Timestamp) -> Result<(), StoreError>;

    /// Ends the telling of a ticket that was changed so often; one that was changed since is told of again.
    async fn end_telling(
        &self,
        lease: &Lease,
        ticket: &TicketId,
        wanted: i64,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// A ticket of the tracker that Amend brings with it.
    async fn local_ticket(&self, id: &TicketId) -> Result<Option<LocalTicket>, StoreError>;

    /// The one with this number.
    async fn local_ticket_numbered(&self, number: u64) -> Result<Option<LocalTicket>, StoreError>;

    /// All of them, the open ones first.
    async fn local_tickets(&self, open: Option<bool>, limit: u32) -> Result<Vec<LocalTicket>, StoreError>;

    /// Opens one, with the next number; one that is there under its key stays as it is. Returns what is kept.
    async fn open_local_ticket(&self, ticket: LocalTicket) -> Result<LocalTicket, StoreError>;

    /// Notes what somebody said in one, or did with it: it is open then, or closed, or as it was. Returns it as it is
    /// then; nothing, where it is not there.
    async fn note_local_ticket(
        &self,
        id: &TicketId,
        note: Note,
        open: Option<bool>,
    ) -> Result<Option<LocalTicket>, StoreError>;
}

#[async_trait]
impl Tickets for Database {
    async fn file(
        &self,
        problem: &Problem,
        about: &About,
        tracker: &str,
        budget: &Budget,
        now: Timestamp,
    ) -> Result<Option<TicketId>, StoreError> {
        let mut tx = self.begin("file a problem").await?;
        tx.lock(Lock::Budget).await?;
        let member = write("tickets", &Member::of(problem))?;
        let known = match tx.row(sql::TICKET_OF, &values![problem.id.as_str()]).await? {
            Some(row) => Some((ticket_id(row.get(0)?)?, row.get::<&str>(1)? == member)),
            None => None,
        };
        if let Some((id, is_same)) = known {
            let ticket: Option<Ticket> = read_one("tickets", tx.row(sql::GET_TICKET, &values![id.as_str()]).await?)?;
            let moves =
                Member::of(problem).is_open() && ticket.is_some_and(|ticket| ticket.about.is_other_owners(about));
            if !moves {
                if !is_same {
                    tx.run(sql::CHANGE_TICKET, &values![id.as_str()]).await?;
                    tx.run(sql::PUT_MEMBER, &values![problem.id.as_str(), id.as_str(), &member]).await?;
                    tell(&mut tx, &id, problem.rank(), now).await?;
                    tx.commit().await?;
                }
                return Ok(Some(id));
            }
            tx.run(sql::CHANGE_TICKET, &values![id.as_str()]).await?;
            tx.run(sql::MOVE_MEMBER, &values![problem.id.as_str(), id.as_str()]).await?;
            tell(&mut tx, &id, problem.rank(), now).await?;
        } else if !Member::of(problem).is_open() {
            return Ok(None);
        }
        let ticket = within_budget(&mut tx, problem, about, tracker, budget, now).await?;
        let rest = matches!(ticket.about, About::Rest { .. });
        let owner = ticket.owner.as_deref();
        let rule = ticket.rule.as_ref().map(RuleId::as_str);
        let values = values![ticket.id.as_str(), tracker, owner, rule, now, rest, write("tickets", &ticket)?];
        tx.run(sql::ADD_TICKET, &values).await?;
        tx.run(sql::PUT_MEMBER, &values![problem.id.as_str(), ticket.id.as_str(), &member]).await?;
        tell(&mut tx, &ticket.id, problem.rank(), now).await?;
        tx.commit().await?;
        Ok(Some(ticket.id))
    }

    async fn ticket(&self, id: &str) -> Result<Option<Ticket>, StoreError> {
        whole(&mut self.look("read a ticket").await?, id).await
    }

    async fn tickets(&self, limit: u32) -> Result<Vec<Ticket>, StoreError> {
        let mut tx = self.look("list tickets").await?;
        let mut tickets: Vec<Ticket> = Vec::new();
        let mut places = BTreeMap::new();
        for row in tx.rows(sql::LIST_TICKETS, &values![limit]).await? {
            let mut ticket: Ticket = read("tickets", row.get(0)?)?;
            ticket.wanted = row.get(1)?;
            places.insert(ticket.id.to_string(), tickets.len());
            tickets.push(ticket);
        }
        for row in tx.rows(sql::MEMBERS_OF_NEWEST, &values![limit]).await? {
            let ticket = places.get(row.get::<&str>(3)?).and_then(|place| tickets.get_mut(*place));
            ticket.map_or(Ok(()), |ticket| take_in(ticket, &row))?;
        }
        Ok(tickets)
    }

    async fn renew(&self, lease: &Lease, until: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.begin("renew a lease").await?;
        let values = values![&lease.key, &lease.holder, lease.fence, until];
        if tx.run(sql::RENEW_WORK, &values).await? != 1 {
            return Err(StoreError::Overtaken { id: lease.key.clone() });
        }
        tx.commit().await
    }

    async fn begin_telling(&self, ticket: &Ticket) -> Result<(), StoreError> {
        let mut tx = self.begin("keep that a tracker is about to be told").await?;
        let told = i64::try_from(ticket.told.revision).unwrap_or(i64::MAX);
        let values = values![ticket.id.as_str(), told, write("tickets", &bare(ticket))?];
        if tx.run(sql::BEGIN_TELLING, &values).await? != 1 {
            return Err(StoreError::Overtaken { id: ticket.id.to_string() });
        }
        put_told(&mut tx, ticket).await?;
        tx.commit().await
    }

    async fn keep_told(&self, ticket: &Ticket, what: Option<&str>, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.begin("keep what a tracker was told").await?;
        let told = i64::try_from(ticket.told.revision).unwrap_or(i64::MAX);
        if tx.run(sql::TELL_TICKET, &values![ticket.id.as_str(), told, write("tickets", &bare(ticket))?]).await? != 1 {
            return Err(StoreError::Overtaken { id: ticket.id.to_string() });
        }
        if let Some(what) = what {
            sync::queue_ticket(&mut tx, ticket.id.as_str(), what != "ticket.commented", now).await?;
        }
        put_told(&mut tx, ticket).await?;
        tx.run(sql::FORGET_MOVED, &values![ticket.id.as_str()]).await?;
        if let Some(what) = what {
            let entry = ticket.told.entry.as_ref();
            let detail = json!({
                "tracker": ticket.tracker, "entry": entry.map(|entry| &entry.key),
                "open": entry.map(|entry| entry.open), "title": ticket.title, "owner": ticket.owner, "rule": ticket.rule,
            });
            trail::add(&mut tx, vec![said_of(&ticket.id, what, "amend", now, detail)]).await?;
        }
        tx.commit().await
    }

    async fn end_telling(
        &self,
        lease: &Lease,
        ticket: &TicketId,
        wanted: i64,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin("end the telling of a ticket").await?;
        tx.lock(Lock::Budget).await?;
        let values = values![&lease.key, &lease.holder, lease.fence, ticket.as_str(), wanted];
        if tx.run(sql::FINISH_TELLING, &values).await? != 1 {
            let at = now.saturating_add(GATHERED).unwrap_or(Timestamp::MAX);
            work::leave(&mut tx, lease, &After::Later { at }, now).await?;
        }
        tx.commit().await
    }

    async fn local_ticket(&self, id: &TicketId) -> Result<Option<LocalTicket>, StoreError> {
        let mut tx = self.look("read a ticket").await?;
        read_one("tickets", tx.row(sql::GET_LOCAL_TICKET, &values![id.as_str()]).await?)
    }

    async fn local_ticket_numbered(&self, number: u64) -> Result<Option<LocalTicket>, StoreError> {
        let mut tx = self.look("read a ticket").await?;
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        read_one("tickets", tx.row(sql::FIND_LOCAL_TICKET, &values![number]).await?)
    }

    async fn local_tickets(&self, open: Option<bool>, limit: u32) -> Result<Vec<LocalTicket>, StoreError> {
        let mut tx = self.look("list tickets").await?;
        read_all("tickets", &tx.rows(sql::LIST_LOCAL_TICKETS, &values![open.map(i64::from), limit]).await?)
    }

    async fn open_local_ticket(&self, mut ticket: LocalTicket) -> Result<LocalTicket, StoreError> {
        let mut tx = self.begin("open a ticket").await?;
        tx.lock(Lock::Budget).await?;
        let known = tx.row(sql::GET_LOCAL_TICKET, &values![ticket.id.as_str()]).await?;
        if let Some(known) = read_one("tickets", known)? {
            return Ok(known);
        }
        let last: Option<i64> = tx.row(sql::LAST_LOCAL_TICKET, &[]).await?.map(|row| row.get(0)).transpose()?;
        ticket.number = u64::try_from(last.unwrap_or_default()).unwrap_or_default().saturating_add(1);
        put(&mut tx, &ticket).await?;
        tx.commit().await?;
        Ok(ticket)
    }

    async fn note_local_ticket(
        &self,
        id: &TicketId,
        note: Note,
        open: Option<bool>,
    ) -> Result<Option<LocalTicket>, StoreError> {
        let mut tx = self.begin("note something in a ticket").await?;
        tx.lock(Lock::Budget).await?;
        let known = tx.row(sql::GET_LOCAL_TICKET, &values![id.as_str()]).await?;
        let Some(mut ticket) = read_one::<LocalTicket>("tickets", known)? else { return Ok(None) };
        if note.id.is_some() && ticket.notes.iter().any(|one| one.id == note.id) {
            return Ok(Some(ticket));
        }
        if note.id.is_none() {
            // What Amend says stands in the trail as what its tracker was told.
            let what = match open {
                Some(true) => "ticket.reopened",
                Some(false) => "ticket.closed",
                None => "ticket.commented",
            };
            let detail = json!({ "tracker": "local", "entry": ticket.number.to_string(), "why": note.text });
            trail::add(&mut tx, vec![said_of(&ticket.id, what, &note.by, note.at, detail)]).await?;
        }
        ticket.notes.push(note);
        ticket.open = open.unwrap_or(ticket.open);
        put(&mut tx, &ticket).await?;
        tx.commit().await?;
        Ok(Some(ticket))
    }
}

/// What the audit trail tells of a ticket.
fn said_of(ticket: &TicketId, what: &str, who: &str, at: Timestamp, detail: serde_json::Value) -> Entry {
    Entry {
        at,
        who: who.into(),
        what: what.into(),
        subject: ticket.to_string().into(),
        resource: None,
        account: None,
        detail,
    }
}

/// Keeps what a tracker was told of each problem.
async fn put_told(tx: &mut Tx, ticket: &Ticket) -> Result<(), StoreError> {
    tx.run(sql::UNTELL_MEMBERS, &values![ticket.id.as_str()]).await?;
    let mut rows = Vec::new();
    for (problem, member) in &ticket.told.members {
        rows.extend(values![problem.as_str(), ticket.id.as_str(), write("tickets", member)?]);
    }
    tx.insert(&sql::TELL_MEMBERS, &rows).await.map(drop)
}

async fn put(tx: &mut Tx, ticket: &LocalTicket) -> Result<(), StoreError> {
    let number = i64::try_from(ticket.number).unwrap_or(i64::MAX);
    let values = values![ticket.id.as_str(), number, ticket.open, write("tickets", ticket)?];
    tx.run(sql::PUT_LOCAL_TICKET, &values).await.map(drop)
}

fn ticket_id(text: &str) -> Result<TicketId, StoreError> {
    serde_json::from_value(json!(text)).map_err(|source| StoreError::Damaged { what: "tickets", source })
}

/// Has a tracker told of a ticket: of a new one at once, of changes when some were gathered.
async fn tell(tx: &mut Tx, ticket: &TicketId, rank: i64, now: Timestamp) -> Result<(), StoreError> {
    let known: Option<Ticket> = read_one("tickets", tx.row(sql::GET_TICKET, &values![ticket.as_str()]).await?)?;
    let is_told = known.is_some_and(|ticket| ticket.told.entry.is_some());
    let due = if is_told { now.saturating_add(GATHERED).unwrap_or(Timestamp::MAX) } else { now };
    let kind = WorkKind::Tell;
    let row = values![kind.key(ticket.as_str()), kind.as_str(), ticket.as_str(), rank, due, 0_i64, 0_i64, 0_i64];
    tx.insert(&sql::ADD_WORK, &row).await.map(drop)
}

/// A ticket without its problems: they have a table of their own.
fn bare(ticket: &Ticket) -> Ticket {
    let told = Told { members: BTreeMap::new(), ..ticket.told.clone() };
    Ticket { members: BTreeMap::new(), told, ..ticket.clone() }
}

/// The ticket that a problem is to be in, where it is in none.
async fn within_budget(
    tx: &mut Tx,
    problem: &Problem,
    about: &About,
    tracker: &str,
    budget: &Budget,
    now: Timestamp,
) -> Result<Ticket, StoreError> {
    let wanted = Ticket::new(problem, about.clone(), tracker, now);
    if tx.row(sql::GET_TICKET, &values![wanted.id.as_str()]).await?.is_some() {
        return Ok(wanted);
    }
    let midnight = now.to_zoned(TimeZone::UTC).start_of_day().map_or(now, |day| day.timestamp());
    let (owner, rule) = (wanted.owner.as_deref(), wanted.rule.as_ref().map(RuleId::as_str));
    let row = tx.row(sql::COUNT_TICKETS, &values![midnight, owner, rule]).await?;
    let count = |column| row.as_ref().map_or(Ok(0_i64), |row| row.get(column));
    let most = |most: u64| i64::try_from(most).unwrap_or(i64::MAX);
    let spent = match (owner, rule) {
        (Some(owner), _) if count(0)? >= most(budget.per_owner) => Some(owner),
        (_, Some(rule)) if count(1)? >= most(budget.per_rule) => Some(rule),
        _ => None,
    };
    Ok(match spent {
        Some(of) => Ticket::new(problem, About::rest(of, now), tracker, now),
        None => wanted,
    })
}

/// A ticket with its problems.
async fn whole(tx: &mut Tx, id: &str) -> Result<Option<Ticket>, StoreError> {
    let Some(row) = tx.row(sql::GET_TICKET, &values![id]).await? else { return Ok(None) };
    let mut ticket: Ticket = read("tickets", row.get(0)?)?;
    ticket.wanted = row.get(1)?;
    for row in tx.rows(sql::MEMBERS_OF, &values![id]).await? {
        take_in(&mut ticket, &row)?;
    }
    Ok(Some(ticket))
}

/// Puts a problem into its ticket: as it is, where it is still there, and as the tracker was told.
fn take_in(ticket: &mut Ticket, row: &Row) -> Result<(), StoreError> {
    let problem: ProblemId = serde_json::from_value(json!(row.get::<&str>(0)?))
        .map_err(|source| StoreError::Damaged { what: "tickets", source })?;
    if let Some(told) = row.get::<Option<&str>>(2)? {
        ticket.told.members.insert(problem.clone(), read("tickets", told)?);
    }
    if let Some(body) = row.get::<Option<&str>>(1)? {
        ticket.members.insert(problem, read("tickets", body)?);
    }
    Ok(())
}

//! What Amend remembers: the [`Store`] port, and its form in SQLite and PostgreSQL.
//!
//! Methods are coarse: one method is one transaction, and no transaction type leaves the crate. What
//! must follow from what is decided by `amend-domain`; the store makes it happen together or not
//! at all.

mod body;
mod database;
mod notice;
mod place;
mod postgres;
mod record;
mod seal;
mod sql;
mod sqlite;
mod store;
mod sync;
mod ticket;
mod trail;
mod work;

use amend_domain::{
    Assessment, Decision, Facts, Problem, Setting,
    audit::{Entry, Head, Record},
    exemption::{Approval, Exemption},
    guard::{About, Budget, Hold, Tally},
    plan::Remediation,
    problem::SourceOfTruth,
    said::{Said, Unheard},
    thing::Read,
    work::{After, Lease, Stop, Work, WorkKind},
};
use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use database::{Database, Status};
pub use notice::{Notices, Untold};
pub use place::{Place, Server};
pub use seal::Keys;
pub use sync::Syncs;
pub use ticket::Tickets;

/// Who stops everything where the configuration does.
pub const BY_CONFIGURATION: &str = "the configuration";

/// An assessment with what was decided for it.
#[derive(Clone, Debug)]
pub struct Change {
    /// The assessment.
    pub assessment: Assessment,
    /// The setting it speaks of.
    pub setting: Setting,
    /// What was decided.
    pub decision: Decision,
    /// What was known when that was decided.
    pub facts: Facts,
    /// Whose word counts for its resource.
    pub truth: SourceOfTruth,
}

/// What became of a [`Change`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// The assessment was not known before.
    New,
    /// It is newer than what was known.
    Updated,
    /// The same was recorded before; nothing changed.
    Duplicate,
    /// Something newer is known; nothing changed.
    Stale,
}

impl Effect {
    /// The word used in JSON and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Updated => "updated",
            Self::Duplicate => "duplicate",
            Self::Stale => "stale",
        }
    }
}

/// What recording a change did.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// What became of it.
    pub effect: Effect,
    /// Whether a snapshot told of something that no event had: a missed event.
    pub missed: bool,
    /// The problem as it now stands, where there is one.
    pub problem: Option<Problem>,
}

/// A stored decision, with all that explains it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoredDecision {
    /// When it was made.
    pub at: Timestamp,
    /// What it was made about.
    pub assessment: Assessment,
    /// What was known.
    pub facts: Facts,
    /// What was decided.
    pub decision: Decision,
}

/// A record that could not be read, kept whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    /// Its id: 26 lower-case characters, sortable by time.
    pub id: String,
    /// When it came.
    pub at: Timestamp,
    /// Through which door.
    pub form: String,
    /// Where in the delivery it stood.
    pub path: String,
    /// What was wrong with it.
    pub problem: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The record.
    pub raw: String,
    /// Whether it came with an import: it says how things stand, not what changed.
    #[serde(default)]
    pub snapshot: bool,
    /// The attributes of the CloudEvent it was, in binary mode.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<(String, String)>,
    /// When a retry read it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved: Option<Timestamp>,
}

/// When an account was last heard of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The subscription, account or project.
    pub account: String,
    /// The last event that said what changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_event: Option<Timestamp>,
    /// The last snapshot or import that said how things stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_snapshot: Option<Timestamp>,
}

/// Which problems to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only open ones, or only closed ones.
    pub open: Option<bool>,
    /// Only those in the backlog, or only those out of it.
    pub backlog: Option<bool>,
    /// Only those governed by this rule.
    pub rule: Option<String>,
    /// Only those in this account.
    pub account: Option<String>,
    /// Only those that are due from a time on, and before another.
    pub due: Option<(Timestamp, Timestamp)>,
    /// At most this many.
    pub limit: Option<u32>,
}

/// Why the store did not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be opened.
    #[error("cannot open the store {path}")]
    Open {
        /// The file.
        path: String,
        /// Why.
        source: sqlx::Error,
    },
    /// The database was written by a later version of Amend.
    #[error("the store {path} has tables of version {found}; this version of amend knows {known}")]
    Newer {
        /// The file.
        path: String,
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// The tables are those of an earlier version of Amend, or there is none.
    #[error("the store {path} has {}; this version of amend needs version {known}", schema(*found))]
    Older {
        /// The server.
        path: String,
        /// Its version; 0 where there is none.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// The server is not one that the store can be kept on.
    #[error("the store {path} cannot be used: {why}")]
    Unfit {
        /// The server.
        path: String,
        /// Why.
        why: String,
    },
    /// A statement failed.
    #[error("the store failed to {doing}")]
    Failed {
        /// What was being done.
        doing: &'static str,
        /// Why.
        source: sqlx::Error,
    },
    /// Somebody else went on with a remediation meanwhile.
    #[error("remediation `{id}` was taken further by somebody else")]
    Overtaken {
        /// The remediation.
        id: String,
    },
    /// Nothing is written: a person stopped it.
    #[error("everything was stopped by {} ({})", .0.by, .0.why)]
    Stopped(Stop),
    /// As much as may be was begun.
    #[error("{why}")]
    Spent {
        /// How much was, and may be.
        why: String,
    },
    /// A remediation cannot be sealed or opened.
    #[error("{why}")]
    Sealed {
        /// Which, and why.
        why: String,
    },
    /// There is no key to seal a remediation with, and others look after the server.
    #[error("the store has no key, and what was there before a fix is not kept on a server without one")]
    NoKey,
    /// A stored record cannot be read, or a new one written, as JSON.
    #[error("a record of {what} is damaged")]
    Damaged {
        /// Which kind of record.
        what: &'static str,
        /// Why.
        source: serde_json::Error,
    },
}

/// What a person can do about what a server says, by its code
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
fn advice(error: &sqlx::Error) -> Option<&'static str> {
    match error.as_database_error()?.code()?.as_ref() {
        "42501" => Some(
            "this role lacks rights: `amend store migrate` is for the role that owns the tables, all else for one with the rights that docs/store.md names",
        ),
        "42P05" | "26000" | "08P01" => {
            Some("where a pooler stands before the server, set `store.pooler: true` in amend.yaml")
        }
        _ => None,
    }
}

fn schema(found: i64) -> String {
    if found == 0 { "no tables".into() } else { format!("tables of version {found}") }
}

impl StoreError {
    pub(crate) fn newer(path: impl std::fmt::Display, found: i64) -> Self {
        Self::Newer { path: path.to_string(), found, known: sql::VERSION }
    }

    /// Whether it is the data that the server does not take: a value that is none (class 22 of SQLSTATE), or one that
    /// is too large (54; <https://www.postgresql.org/docs/current/errcodes-appendix.html>).
    #[must_use]
    pub fn is_about_the_data(&self) -> bool {
        let Self::Failed { source: sqlx::Error::Database(said), .. } = self else { return false };
        said.code().is_some_and(|code| code.len() == 5 && (code.starts_with("22") || code.starts_with("54")))
    }

    /// A stable name for logs and metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Open { .. } => "store.open",
            Self::Newer { .. } => "store.newer",
            Self::Older { .. } => "store.older",
            Self::Unfit { .. } => "store.unfit",
            Self::Failed { .. } => "store.failed",
            Self::Overtaken { .. } => "store.overtaken",
            Self::Stopped(_) => "stopped",
            Self::Spent { .. } => "spent",
            Self::Sealed { .. } => "store.sealed",
            Self::NoKey => "store.no-key",
            Self::Damaged { .. } => "store.damaged",
        }
    }

    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Open { source, .. } | Self::Failed { source, .. } if advice(source).is_some() => advice(source),
            Self::Open { path, .. } if path.starts_with("postgres") => {
                Some("check `store.url` in amend.yaml, that the server runs, and what it lets this user do")
            }
            Self::Open { .. } => Some("check `store.path` in amend.yaml and the rights on its folder"),
            Self::Newer { .. } => Some("run the version of amend that wrote it, or name another store in amend.yaml"),
            Self::Older { .. } => Some("make them, or bring them forward: `amend store migrate`"),
            Self::Unfit { .. } => Some("have it changed for this database, or name another under `store.url`"),
            Self::Sealed { .. } => Some("add the key that it names to `store.keys`, after the one to seal with"),
            Self::NoKey => Some("make one with `amend store key`, keep it safe, and give it as AMEND__STORE__KEYS"),
            Self::Overtaken { .. } => Some("look at it again: `amend remediations`"),
            Self::Stopped(stop) if &*stop.by == BY_CONFIGURATION => Some(
                "take `stopped: true` out of amend.yaml, or AMEND__STOPPED out of the environment, and start again",
            ),
            Self::Stopped(_) => Some("nothing is written until `amend resume`"),
            Self::Failed { .. } | Self::Damaged { .. } | Self::Spent { .. } => None,
        }
    }
}

/// What Amend remembers. One method is one transaction.
#[async_trait]
pub trait Store: Send + Sync {
    /// Records changes, in order, and keeps records that could not be read: all of it or nothing.
    /// Whether a change is new, the same again, or older than what is known is decided here, inside
    /// the transaction. The same again still decides what was undetermined and no longer is.
    async fn record(&self, changes: &[Change], parked: &[Parked], now: Timestamp) -> Result<Vec<Recorded>, StoreError>;

    /// Decides what lacked facts and no longer does, about the reports that are held. Unlike
    /// [`Store::record`] this is no news from anybody: inputs stay as old as they are. Returns the
    /// problems that were settled.
    async fn settle(&self, changes: &[Change], now: Timestamp) -> Result<Vec<Problem>, StoreError>;

    /// The assessments of problems that lack facts: to be decided, or to have an owner.
    async fn undetermined(&self) -> Result<Vec<Assessment>, StoreError>;

    /// The records that could not be read, newest first; also those a retry has read since, if asked.
    async fn parked(&self, resolved_too: bool, limit: u32) -> Result<Vec<Parked>, StoreError>;

    /// One of them, by its id or the start of it.
    async fn parked_one(&self, id: &str) -> Result<Option<Parked>, StoreError>;

    /// Says that a retry has read a record.
    async fn resolve_parked(&self, id: &str, now: Timestamp) -> Result<(), StoreError>;

    /// Problems, most urgent first.
    async fn problems(&self, filter: &Filter) -> Result<Vec<Problem>, StoreError>;

    /// Problems whose id starts with `id`, or that have a finding or resource of this id.
    async fn find(&self, id: &str) -> Result<Vec<Problem>, StoreError>;

    /// Somebody lets problems leave the backlog. Returns those that did.
    async fn release(&self, ids: &[String], by: &str, now: Timestamp) -> Result<Vec<Problem>, StoreError>;

    /// Keeps what is said of a problem, in the audit trail, too: what waits for its dates begins by them. Returns the
    /// problem as it is then, or why that cannot be said of it; nothing, where it is not known.
    async fn hear(
        &self,
        problem: &str,
        said: &Said,
        now: Timestamp,
    ) -> Result<Option<Result<Problem, Unheard>>, StoreError>;

    /// The last decision on each finding of a problem, newest first.
    async fn decisions(&self, problem: &str) -> Result<Vec<StoredDecision>, StoreError>;

    /// The assessments that are held, up to a limit.
    async fn assessments(&self, limit: u32) -> Result<Vec<Assessment>, StoreError>;

    /// Keeps the text of a rule set under its digest.
    async fn archive_rules(&self, digest: &str, files: &str, now: Timestamp) -> Result<(), StoreError>;

    /// The text of a rule set.
    async fn archived_rules(&self, digest: &str) -> Result<Option<String>, StoreError>;

    /// Keeps a remediation, whose revision is one more than that of what is kept; 1, where nothing is.
    /// Whoever keeps it has its lease, which is renewed until `until`; one that is about to be sent is
    /// not kept while everything is stopped. The step stands in the audit trail.
    async fn keep_remediation(
        &self,
        remediation: &Remediation,
        lease: &Lease,
        until: Timestamp,
    ) -> Result<(), StoreError>;

    /// Keeps a remediation that came of a piece of work, which ends with it. It goes on by itself where
    /// its state lets it; one that is to write by itself is not kept where that exceeds the budget.
    async fn begin_remediation(
        &self,
        remediation: &Remediation,
        from: &Lease,
        budget: &Budget,
    ) -> Result<(), StoreError>;

    /// What guards count: what was done and seen lately, and who holds what.
    async fn tally(&self, about: &About<'_>) -> Result<Tally, StoreError>;

    /// Adds a hold.
    async fn hold(&self, hold: &Hold) -> Result<(), StoreError>;

    /// The holds that have not ended.
    async fn holds(&self, now: Timestamp) -> Result<Vec<Hold>, StoreError>;

    /// Ends a hold before its time. Returns it, if there was one.
    async fn end_hold(&self, id: &str, by: &str, now: Timestamp) -> Result<Option<Hold>, StoreError>;

    /// Keeps that somebody asks for an exemption.
    async fn ask_exemption(&self, exemption: &Exemption) -> Result<(), StoreError>;

    /// The exemptions that have not ended, approved or not.
    async fn exemptions(&self, now: Timestamp) -> Result<Vec<Exemption>, StoreError>;

    /// Keeps an exemption that was approved just now, unless another approved or ended it meanwhile.
    async fn approve_exemption(&self, exemption: &Exemption, by: &Approval) -> Result<bool, StoreError>;

    /// Ends an exemption, or takes back that it was asked for. Returns it, if there was one.
    async fn end_exemption(&self, id: &str, by: &str, now: Timestamp) -> Result<Option<Exemption>, StoreError>;

    /// The approved exemptions whose end is to be said, each once: that it was stands in the audit trail.
    async fn remind_exemptions(&self, now: Timestamp) -> Result<Vec<Exemption>, StoreError>;

    /// Takes up the most urgent piece of work of these kinds that is due, until `until`.
    async fn claim(
        &self,
        kinds: [WorkKind; 2],
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<(Work, Lease)>, StoreError>;

    /// Takes up a remediation, unless somebody else is at it.
    async fn lease(
        &self,
        remediation: &str,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Lease>, StoreError>;

    /// Ends a lease. Nothing, where another has taken its place since.
    async fn leave(&self, lease: &Lease, after: &After, now: Timestamp) -> Result<(), StoreError>;

    /// The work that there is: what waits for a person first, then the most urgent.
    async fn work(&self, limit: u32) -> Result<Vec<Work>, StoreError>;

    /// One piece of work, by its key.
    async fn one_work(&self, key: &str) -> Result<Option<Work>, StoreError>;

    /// Has work tried again: one piece that is parked or put off, by its key; all that is parked, if none is
    /// named. Returns how many.
    async fn retry_work(&self, key: Option<&str>, now: Timestamp) -> Result<u64, StoreError>;

    /// Whether everything is stopped.
    async fn stopped(&self) -> Result<Option<Stop>, StoreError>;

    /// Stops everything that writes. Returns what holds: an earlier stop stays.
    async fn stop(&self, stop: &Stop) -> Result<Stop, StoreError>;

    /// Lets everything go on. Returns what was stopped.
    async fn resume(&self, by: &str, now: Timestamp) -> Result<Option<Stop>, StoreError>;

    /// Records of the audit trail after a place, in order.
    async fn audit(&self, after: u64, limit: u32) -> Result<Vec<Record>, StoreError>;

    /// Records about a resource or an account since a time, in order.
    async fn audit_of(&self, resource_or_account: &str, since: Timestamp) -> Result<Vec<Record>, StoreError>;

    /// Takes the records up to one out of the audit trail, and says so at its end. Returns how many; nothing, where
    /// that one is another by now, or is gone.
    async fn purge_audit(&self, through: &Head, by: &str, now: Timestamp) -> Result<Option<u64>, StoreError>;

    /// Adds to the audit trail what is no step of anything else.
    async fn audit_add(&self, entry: Entry) -> Result<(), StoreError>;

    /// The last record about a subject.
    async fn audit_about(&self, subject: &str) -> Result<Option<Record>, StoreError>;

    /// The end of the audit trail.
    async fn audit_head(&self) -> Result<Head, StoreError>;

    /// The remediations whose id starts with `id`: two at most.
    async fn find_remediations(&self, id: &str) -> Result<Vec<Remediation>, StoreError>;

    /// Remediations, newest first: of a resource, in a state.
    async fn remediations(
        &self,
        resource: Option<&str>,
        state: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Remediation>, StoreError>;

    /// What was read of things, and when they were last asked about: in the order of `things`.
    async fn facts(&self, things: &[&str]) -> Result<Vec<Option<(Timestamp, Read)>>, StoreError>;

    /// Keeps what was read of things, asked about `now`.
    async fn keep_facts(&self, reads: &[(&str, &Read)], now: Timestamp) -> Result<(), StoreError>;

    /// The scopes that an import which has not ended has read to their ends, and when.
    async fn imported(&self) -> Result<Vec<(String, Timestamp)>, StoreError>;

    /// Says that an import has read a scope to its end.
    async fn add_imported(&self, scope: &str, now: Timestamp) -> Result<(), StoreError>;

    /// Says that an import of these scopes has ended.
    async fn forget_imported(&self, scopes: &[String]) -> Result<(), StoreError>;

    /// The remediations of a problem, newest first.
    async fn remediations_of(&self, problem: &str) -> Result<Vec<Remediation>, StoreError>;

    /// When each account was last heard of.
    async fn inputs(&self) -> Result<Vec<Input>, StoreError>;

    /// Whether the store answers.
    async fn ping(&self) -> Result<(), StoreError>;
}

//! Trackers that tickets stand in: one port, and one file for each. What to tell them is decided elsewhere
//! (`amend_domain::ticket`); they find a ticket by its key, and do one step at a time.

mod adf;
pub mod chat;
pub mod github;
pub mod jira;
pub mod local;
pub mod mail;
pub mod rehearsal;
mod service;
pub mod servicenow;
pub mod webhook;

use amend_domain::ticket::{Change, Draft, Entry, Ticket};
use amend_store::StoreError;
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

pub use chat::{Channel, Chat, Message};
pub use github::GitHub;
pub use jira::Jira;
pub use local::Local;
pub use mail::{Mail, Mailer};
pub use service::{Fields, Secret, host_of};
pub use servicenow::ServiceNow;
pub use webhook::Webhook;

/// Where tickets stand.
#[async_trait]
pub trait Tracker: Send + Sync {
    /// What stands there: under the name that the tracker gave a ticket, or, where that is not known, under its key.
    ///
    /// # Errors
    /// When the tracker does not answer, or refuses.
    async fn find(&self, ticket: &Ticket) -> Result<Option<Entry>, TrackerError>;

    /// Opens a ticket. Returns what stands there then.
    ///
    /// # Errors
    /// When the tracker does not answer, or refuses. Whether it did it is told by [`Tracker::find`].
    async fn open(&self, ticket: &Ticket, draft: &Draft, now: Timestamp) -> Result<Entry, TrackerError>;

    /// Changes what stands there as `entry`. Returns what does then. Where `ticket.told.telling` says so it may have
    /// heard of the change already, and does not do it twice.
    ///
    /// # Errors
    /// When the tracker does not answer, or refuses.
    async fn change(
        &self,
        ticket: &Ticket,
        entry: &Entry,
        change: &Change,
        now: Timestamp,
    ) -> Result<Entry, TrackerError>;

    /// Looks at credentials and permissions, without writing anything: what was looked at, and what is missing.
    ///
    /// # Errors
    /// When the tracker does not answer, or does not let us in.
    async fn check(&self) -> Result<Vec<Check>, TrackerError>;

    /// How long after it was opened a ticket may not be found.
    fn settles(&self) -> SignedDuration {
        SignedDuration::ZERO
    }
}

/// Something that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Check {
    /// What.
    pub what: String,
    /// What is missing; nothing, where it is as it should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

impl Check {
    /// It is as it should be.
    #[must_use]
    pub fn good(what: impl Into<String>) -> Self {
        Self { what: what.into(), missing: None }
    }

    /// It holds, or something is missing.
    pub(crate) fn holds(what: impl Into<String>, holds: bool, missing: impl Into<String>) -> Self {
        Self { what: what.into(), missing: (!holds).then(|| missing.into()) }
    }
}

/// Why a tracker was not told.
#[derive(Debug, thiserror::Error)]
pub enum TrackerError {
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It does not answer now, or is busy.
    #[error("{tracker} does not answer: {why}")]
    Busy {
        /// The tracker.
        tracker: String,
        /// Why.
        why: String,
        /// How long it wants to be left alone.
        wait: Option<SignedDuration>,
    },
    /// It does not let us in.
    #[error("{tracker} does not let amend in: {why}")]
    Denied {
        /// The tracker.
        tracker: String,
        /// Why.
        why: String,
    },
    /// It refuses.
    #[error("{tracker} refuses: {why}")]
    Refused {
        /// The tracker.
        tracker: String,
        /// Why.
        why: String,
    },
}

impl TrackerError {
    /// Whether it may pass: by itself, or when somebody mends a credential.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        !matches!(self, Self::Refused { .. })
    }

    /// What it is called in amend.yaml.
    #[must_use]
    pub fn tracker(&self) -> &str {
        match self {
            Self::Store(_) => "",
            Self::Busy { tracker, .. } | Self::Denied { tracker, .. } | Self::Refused { tracker, .. } => tracker,
        }
    }

    /// How long the tracker wants to be left alone.
    #[must_use]
    pub fn wait(&self) -> Option<SignedDuration> {
        match self {
            Self::Busy { wait, .. } => *wait,
            _ => None,
        }
    }
}

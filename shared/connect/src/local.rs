//! The tracker that Amend brings with it: in its own store, for `amend tickets`.

use std::sync::Arc;

use amend_domain::ticket::{Change, Draft, Entry, LocalTicket, Note, Ticket};
use amend_store::Tickets;
use async_trait::async_trait;
use jiff::Timestamp;

use crate::{Check, Tracker, TrackerError};

/// Its name, in configuration and in tickets.
pub const NAME: &str = "local";

/// The tracker in the store.
#[derive(Clone)]
pub struct Local(Arc<dyn Tickets>);

impl Local {
    /// The tracker in this store.
    #[must_use]
    pub fn new(store: Arc<dyn Tickets>) -> Self {
        Self(store)
    }
}

fn entry(ticket: &LocalTicket) -> Entry {
    Entry { key: ticket.number.to_string().into(), url: None, open: ticket.open }
}

#[async_trait]
impl Tracker for Local {
    async fn find(&self, ticket: &Ticket) -> Result<Option<Entry>, TrackerError> {
        Ok(self.0.local_ticket(&ticket.id).await?.as_ref().map(entry))
    }

    async fn open(&self, ticket: &Ticket, draft: &Draft, now: Timestamp) -> Result<Entry, TrackerError> {
        let local = LocalTicket {
            number: 0,
            id: ticket.id.clone(),
            title: draft.title.as_str().into(),
            body: draft.body.as_str().into(),
            owner: draft.owner.clone(),
            due: draft.due,
            open: true,
            opened: now,
            notes: Vec::new(),
        };
        Ok(entry(&self.0.open_local_ticket(local).await?))
    }

    async fn change(&self, ticket: &Ticket, _: &Entry, change: &Change, now: Timestamp) -> Result<Entry, TrackerError> {
        let what = match change.open {
            Some(true) => "reopened",
            Some(false) => "closed",
            None => "comment",
        };
        let id = Some(change.id.as_str().into());
        let note = Note { at: now, by: "amend".into(), what: what.into(), text: change.text.as_str().into(), id };
        let told = self.0.note_local_ticket(&ticket.id, note, change.open).await?;
        told.as_ref().map(entry).ok_or_else(|| TrackerError::Busy {
            tracker: NAME.to_owned(),
            why: "the ticket went away meanwhile".to_owned(),
            wait: None,
        })
    }

    async fn check(&self) -> Result<Vec<Check>, TrackerError> {
        self.0.local_tickets(Some(true), 1).await?;
        Ok(vec![Check::good("the store answers")])
    }
}

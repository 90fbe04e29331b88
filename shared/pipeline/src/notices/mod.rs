//! Notices to people: one for a person, not one for a finding. That one is to be sent is kept first; whoever takes
//! that up sends it, as often as it takes.

pub mod digest;

use std::sync::{Arc, Mutex, PoisonError};

use amend_connect::{Mail, Mailer};
use amend_domain::{
    digest::digest_bytes,
    ports::{Clock, Ids},
    work::{After, Work, WorkKind},
};
use amend_store::{Filter, Notices, Store, StoreError, Tickets};
use cronexpr::parse_crontab;
use jiff::{SignedDuration, Timestamp};
use tracing::info;

use self::digest::{Digest, digests};
use crate::{
    PipelineError,
    advance::{add, put_off},
};

/// So long a notice is one worker's.
const LEASE: SignedDuration = SignedDuration::from_secs(150);
/// A time that was missed by longer than that is not caught up with.
const CAUGHT_UP: SignedDuration = SignedDuration::from_hours(24);
/// What a digest tells of.
const MOST: u32 = 100_000;

/// When notices are sent, and to whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// When owners get their digest: cron with a time zone.
    pub digest: Option<String>,
    /// Who gets what nobody owns, or nobody with an address.
    pub orphans: Option<String>,
}

/// Whoever sends notices.
#[derive(Clone)]
pub struct Herald {
    store: Arc<dyn Store>,
    tickets: Arc<dyn Tickets>,
    notices: Arc<dyn Notices>,
    mailer: Option<Mailer>,
    times: Arc<Times>,
    clock: Arc<dyn Clock>,
    holder: Arc<str>,
    /// The last time for which digests were announced by this process.
    announced: Arc<Mutex<Option<Timestamp>>>,
    /// The digests of all owners, and as of when: a hundred mails are sent from one look at the store.
    looked: Arc<Mutex<Option<Looked>>>,
}

/// The digests of all owners, and as of when.
type Looked = (Timestamp, Arc<Vec<Digest>>);

impl Herald {
    /// Puts the parts together. Without somebody who sends mail nothing is sent.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        tickets: Arc<dyn Tickets>,
        notices: Arc<dyn Notices>,
        mailer: Option<Mailer>,
        times: Times,
        clock: Arc<dyn Clock>,
        ids: &dyn Ids,
    ) -> Self {
        let holder = ids.next(clock.now()).into();
        let (times, announced, looked) = (Arc::new(times), Arc::default(), Arc::default());
        Self { store, tickets, notices, mailer, times, clock, holder, announced, looked }
    }

    /// The digests of all owners, as things are now.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn digests(&self) -> Result<Vec<Digest>, PipelineError> {
        let filter = Filter { open: Some(true), backlog: Some(false), ..Filter::default() };
        let problems = self.store.problems(&filter).await?;
        let tickets = self.tickets.tickets(MOST).await?;
        Ok(digests(&problems, &tickets, self.clock.now()).into_values().collect())
    }

    /// Who gets a digest: its owner, where that is an address.
    #[must_use]
    pub fn recipient<'a>(&'a self, owner: &'a str) -> Option<&'a str> {
        if owner.contains('@') { Some(owner) } else { self.times.orphans.as_deref() }
    }

    /// Sends a digest at once.
    ///
    /// # Errors
    /// When nobody sends mail, or the server does not take it.
    pub async fn send(&self, digest: &Digest, name: &str) -> Result<(), PipelineError> {
        let (Some(mailer), Some(to)) = (&self.mailer, self.recipient(&digest.owner)) else {
            return Err(PipelineError::NoMail { owner: digest.owner.to_string() });
        };
        let unwritten = |error: askama::Error| PipelineError::Unwritten { what: "a digest", why: error.to_string() };
        let id = digest_bytes(name.as_bytes()).replace("sha256:", "amend.");
        let html = digest.html().map_err(unwritten)?;
        let text = digest.text().map_err(unwritten)?;
        let mail = Mail { to: to.to_owned(), subject: digest.subject(), html, text, id };
        mailer.send(&mail).await?;
        info!(to, subject = mail.subject, "mail");
        Ok(())
    }

    /// Sends one notice that is due. Nothing, where none is.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn work(&self) -> Result<Option<(Work, After)>, PipelineError> {
        if self.mailer.is_none() || self.store.stopped().await?.is_some() {
            return Ok(None);
        }
        self.announce().await?;
        let now = self.clock.now();
        let Some((work, lease)) = self.store.claim(WorkKind::NOTICES, &self.holder, now, add(now, LEASE)).await? else {
            return Ok(None);
        };
        let after = match self.deliver(&work).await {
            Ok(()) => After::Done,
            Err(PipelineError::Store(StoreError::Overtaken { .. })) => return Ok(Some((work, After::Done))),
            Err(error) => put_off(&work, &error, self.clock.now()),
        };
        self.store.leave(&lease, &after, self.clock.now()).await?;
        Ok(Some((work, after)))
    }

    /// Has the digests sent whose time has come.
    async fn announce(&self) -> Result<(), PipelineError> {
        let Some(time) = self.times.digest.as_deref().and_then(|cron| last(cron, self.clock.now())) else {
            return Ok(());
        };
        if *self.announced.lock().unwrap_or_else(PoisonError::into_inner) == Some(time) {
            return Ok(());
        }
        let all = self.digests().await?;
        let reached = all.iter().filter(|digest| self.recipient(&digest.owner).is_some());
        let names: Vec<String> = reached.map(|digest| format!("digest/{time}/{}", digest.owner)).collect();
        let new = self.notices.announce(&names, self.clock.now()).await?;
        info!(%time, owners = all.len(), new, "digests");
        *self.announced.lock().unwrap_or_else(PoisonError::into_inner) = Some(time);
        Ok(())
    }

    /// Sends what a name stands for, as things are now. What there is nothing to say of is not sent.
    async fn deliver(&self, work: &Work) -> Result<(), PipelineError> {
        let owner = work.subject.splitn(3, '/').nth(2).unwrap_or_default();
        match self.recent().await?.iter().find(|digest| *digest.owner == *owner) {
            Some(digest) => self.send(digest, &work.subject).await,
            None => Ok(()),
        }
    }

    /// The digests of all owners, as things were a minute ago at most.
    async fn recent(&self) -> Result<Arc<Vec<Digest>>, PipelineError> {
        let now = self.clock.now();
        let looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((at, digests)) = looked
            && now.duration_since(at).abs() <= SignedDuration::from_mins(1)
        {
            return Ok(digests);
        }
        let digests = Arc::new(self.digests().await?);
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, Arc::clone(&digests)));
        Ok(digests)
    }
}

/// The last time that a cron names, where it is not too long ago.
fn last(cron: &str, now: Timestamp) -> Option<Timestamp> {
    let cron = parse_crontab(cron).ok()?;
    let mut at = now.saturating_sub(CAUGHT_UP).ok()?;
    let mut found = None;
    // As often as once a minute.
    for _ in 0..1_500 {
        let next = cron.find_next(at).ok()?.timestamp();
        if next > now {
            break;
        }
        (at, found) = (next, Some(next));
    }
    found
}

//! Where the record of a remediation is kept while it goes on.

use std::sync::{Mutex, PoisonError};

use amend_domain::{guard::Budget, plan::Remediation, work::Lease};
use amend_store::{Store, StoreError};
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use super::{Remedy, RemedyError};

/// Keeps records.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Keeps `remediation`, whose revision is one more than that of what was kept last.
    ///
    /// # Errors
    /// When it cannot be kept, or somebody else went on with it meanwhile.
    async fn keep(&self, remediation: &Remediation) -> Result<(), StoreError>;
}

/// How long somebody who keeps a record may be at it before another takes it up. Longer than any call
/// of a cloud takes (100 s), so that what was begun in time ends in time.
pub const LEASE: SignedDuration = SignedDuration::from_secs(150);

/// Keeps records in the store, for whoever has the lease: each step renews it.
pub struct StoreJournal<'a> {
    /// The store.
    pub store: &'a dyn Store,
    /// The lease.
    pub lease: &'a Lease,
}

#[async_trait]
impl Journal for StoreJournal<'_> {
    async fn keep(&self, remediation: &Remediation) -> Result<(), StoreError> {
        let until = remediation.changed.saturating_add(LEASE).unwrap_or(Timestamp::MAX);
        self.store.keep_remediation(remediation, self.lease, until).await
    }
}

/// Keeps the first record of a remediation that came of a piece of work.
pub struct FirstRecord<'a> {
    /// The store.
    pub store: &'a dyn Store,
    /// The lease of the work that ends with it.
    pub from: &'a Lease,
    /// How much may begin to write by itself.
    pub budget: Budget,
}

#[async_trait]
impl Journal for FirstRecord<'_> {
    async fn keep(&self, remediation: &Remediation) -> Result<(), StoreError> {
        self.store.begin_remediation(remediation, self.from, &self.budget).await
    }
}

/// Keeps records in memory: for rehearsals.
#[derive(Default)]
pub struct Memory(Mutex<Vec<Remediation>>);

impl Memory {
    /// What was kept, in order.
    #[must_use]
    pub fn kept(&self) -> Vec<Remediation> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Journal for Memory {
    async fn keep(&self, remediation: &Remediation) -> Result<(), StoreError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(remediation.clone());
        Ok(())
    }
}

/// Proves that what a write needs for going on or going back was kept before it.
#[must_use]
pub(super) struct Kept(());

impl Remedy {
    /// Keeps the record as it stands now.
    pub(super) async fn keep(&self, remediation: &mut Remediation, journal: &dyn Journal) -> Result<Kept, RemedyError> {
        remediation.revision = remediation.revision.saturating_add(1);
        remediation.changed = self.now();
        journal.keep(remediation).await?;
        Ok(Kept(()))
    }
}

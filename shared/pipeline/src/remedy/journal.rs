//! Where the record of a remediation is kept while it goes on.

use std::sync::{Mutex, PoisonError};

use amend_domain::plan::Remediation;
use amend_store::{Store, StoreError};
use async_trait::async_trait;

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

/// Keeps records in the store.
pub struct StoreJournal<'a>(pub &'a dyn Store);

#[async_trait]
impl Journal for StoreJournal<'_> {
    async fn keep(&self, remediation: &Remediation) -> Result<(), StoreError> {
        self.0.keep_remediation(remediation).await
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

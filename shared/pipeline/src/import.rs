//! A saved export: how things stand, recorded and decided, and nothing started.

use amend_events::{Form, Item, Limits, Refused};

use crate::{
    Pipeline, PipelineError,
    accept::{Accepted, CHUNK, Counts},
    lookup,
};

/// Why an import stopped.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file is over a limit.
    #[error("the file is refused")]
    Refused(#[source] Refused),
    /// Recording failed; what was recorded before stays.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
}

impl Pipeline {
    /// Imports a saved export: a list of assessments, a page of the REST API, an answer of Resource
    /// Graph, or lines of JSON. Calls `progress` with how many records are done, of how many.
    ///
    /// Running it again, or on after a stop, changes nothing that was recorded before.
    ///
    /// # Errors
    /// When the file is over a limit, or the store does not answer.
    pub async fn import(&self, body: &[u8], mut progress: impl FnMut(u64, u64)) -> Result<Counts, ImportError> {
        // A file is no delivery of a stranger: it may be large.
        let limits = Limits { bytes: usize::MAX, records: usize::MAX, ..*self.limits() };
        let items = self.decider.read(Form::Plain, body, &[], true, &limits).map_err(ImportError::Refused)?;
        let total = u64::try_from(items.len()).unwrap_or(u64::MAX);
        let mut done = 0_u64;
        let mut counts = Counts::default();
        let mut items = items.into_iter().peekable();
        while items.peek().is_some() {
            let mut chunk = Accepted::default();
            let mut assessments = Vec::with_capacity(CHUNK);
            for item in items.by_ref().take(CHUNK) {
                done = done.saturating_add(1);
                match item {
                    Item::Assessment(assessment) => assessments.push(*assessment),
                    Item::SetAside(aside) => chunk.set_aside.push(aside),
                    Item::Validation { .. } => {}
                    Item::Unreadable(unreadable) => chunk.parked.push(self.parked(Form::Plain, true, &[], unreadable)),
                }
            }
            let changes = self.decide(assessments, lookup::IMPORT).await?;
            chunk.decided = self.record(changes, &chunk.parked).await?;
            // What an import brings was not missed: nobody was listening yet.
            counts = counts.plus(Counts { missed: 0, ..chunk.counts() });
            progress(done, total);
        }
        Ok(counts)
    }
}

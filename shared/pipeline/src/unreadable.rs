//! Records that could not be read: kept, shown, tried again.

use amend_events::Form;
use amend_store::Parked;

use crate::{Accepted, Delivery, Pipeline, PipelineError, accept::AcceptError, caught::caught};

/// How trying a record again ended.
#[derive(Debug)]
pub enum Retried {
    /// It was read this time.
    Read(Accepted),
    /// It still cannot be.
    Still {
        /// Where it fails now.
        path: String,
        /// What is wrong there.
        problem: String,
    },
}

impl Pipeline {
    /// A record that could not be read, by its id or the start of it.
    ///
    /// # Errors
    /// When there is none, or the store does not answer.
    pub async fn unreadable(&self, id: &str) -> Result<Parked, PipelineError> {
        let found = self.store.parked_one(&id.to_lowercase()).await?;
        let hint = "`amend unreadable list` shows them";
        found.ok_or_else(|| PipelineError::NotFound { what: "the unreadable record", name: id.to_owned(), hint })
    }

    /// Tries to read a record again, as after an upgrade or a raised limit. It is read as what it
    /// is, whatever envelope it once came in.
    ///
    /// # Errors
    /// When the store does not answer, or the record is over the size limit.
    pub async fn retry_unreadable(&self, parked: &Parked) -> Result<Retried, AcceptError> {
        let mut last = None;
        // A record stands alone; a whole body that failed is tried through its own door.
        for form in [Form::parse(&parked.form).unwrap_or(Form::Plain), Form::Plain] {
            let items = match self.decider.read(
                form,
                parked.raw.as_bytes(),
                &parked.attributes,
                parked.snapshot,
                self.limits(),
            ) {
                Ok(items) => items,
                Err(refused) => {
                    last = Some((parked.path.clone(), refused.to_string()));
                    continue;
                }
            };
            let failed = items.iter().find_map(|item| match item {
                amend_events::Item::Unreadable(unreadable) => {
                    Some((unreadable.path.clone(), unreadable.problem.clone()))
                }
                _ => None,
            });
            match failed {
                Some(failure) => last = Some(failure),
                None => {
                    let delivery = Delivery {
                        form,
                        body: parked.raw.as_bytes(),
                        attributes: &parked.attributes,
                        snapshot: parked.snapshot,
                    };
                    let accepted = match caught(self.accept_together(delivery)).await {
                        Ok(accepted) => accepted?,
                        Err(why) => return Ok(Retried::Still { path: parked.path.clone(), problem: why }),
                    };
                    self.store.resolve_parked(&parked.id, self.now()).await.map_err(PipelineError::from)?;
                    return Ok(Retried::Read(accepted));
                }
            }
        }
        let (path, problem) = last.unwrap_or_default();
        Ok(Retried::Still { path, problem })
    }
}

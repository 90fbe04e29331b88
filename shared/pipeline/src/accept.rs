//! What happens to a delivery, from its bytes to stored decisions.

use std::time::Duration;

use amend_domain::{Assessment, Decision, Facts, Problem, thing::Reads};
use amend_events::{Form, Item, Limits, Refused, SetAside, Unreadable};
use amend_store::{Change, Effect, Parked, Recorded};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};
use utoipa::ToSchema;

use crate::{Pipeline, PipelineError, caught::caught, lookup};

/// How many assessments are decided together, and recorded in one transaction.
pub(crate) const CHUNK: usize = 500;

/// A delivery as it came.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// Through which door.
    pub form: Form,
    /// The body.
    pub body: &'a [u8],
    /// The attributes of a CloudEvent in binary mode, by name without `ce-`, lower-cased.
    pub attributes: &'a [(String, String)],
    /// Whether it says how things stand (an import), not what changed.
    pub snapshot: bool,
}

/// What became of a delivery.
#[derive(Debug, Default)]
pub struct Accepted {
    /// The answer that Event Grid waits for, where it asked.
    pub validation: Option<String>,
    /// Each assessment in it.
    pub decided: Vec<Decided>,
    /// What holds no assessment.
    pub set_aside: Vec<SetAside>,
    /// What could not be read, and is kept.
    pub parked: Vec<Parked>,
}

/// What became of one assessment.
#[derive(Debug)]
pub struct Decided {
    /// The assessment.
    pub assessment: Assessment,
    /// What was decided.
    pub decision: Decision,
    /// What was known when that was decided.
    pub facts: Facts,
    /// Whether that was new.
    pub effect: Effect,
    /// Whether a snapshot told of something that no event had.
    pub missed: bool,
    /// The problem as it now stands.
    pub problem: Option<Problem>,
}

/// How many of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Counts {
    /// Assessments not known before.
    pub new: usize,
    /// Assessments newer than what was known.
    pub updated: usize,
    /// The same again.
    pub duplicate: usize,
    /// Older than what is known.
    pub stale: usize,
    /// Records that hold no assessment.
    pub set_aside: usize,
    /// Records that could not be read, and are kept.
    pub unreadable: usize,
    /// Snapshots that told of something that no event had.
    pub missed: usize,
}

impl Counts {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            new: self.new.saturating_add(other.new),
            updated: self.updated.saturating_add(other.updated),
            duplicate: self.duplicate.saturating_add(other.duplicate),
            stale: self.stale.saturating_add(other.stale),
            set_aside: self.set_aside.saturating_add(other.set_aside),
            unreadable: self.unreadable.saturating_add(other.unreadable),
            missed: self.missed.saturating_add(other.missed),
        }
    }
}

impl Accepted {
    /// How many of each.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let of = |effect: Effect| self.decided.iter().filter(|one| one.effect == effect).count();
        Counts {
            new: of(Effect::New),
            updated: of(Effect::Updated),
            duplicate: of(Effect::Duplicate),
            stale: of(Effect::Stale),
            set_aside: self.set_aside.len(),
            unreadable: self.parked.len(),
            missed: self.decided.iter().filter(|one| one.missed).count(),
        }
    }
}

/// What became of the problems that lacked facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retried {
    /// How many lack none since.
    pub settled: usize,
    /// How many still do.
    pub waiting: usize,
}

/// Why a delivery was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The body is too large to be opened or kept.
    #[error("the delivery is refused")]
    TooLarge(#[source] Refused),
    /// It could not be recorded: nothing of it was.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
}

/// Why records that came together were not recorded, and which.
#[derive(Debug, thiserror::Error)]
#[error("from record {from} on nothing was recorded")]
pub struct Unrecorded {
    /// The first of them, counted from 0.
    pub from: usize,
    /// Why.
    #[source]
    pub error: PipelineError,
}

/// Whether a record is JSON, so that it does its neighbours in a list no harm.
fn is_json(record: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(record).is_ok()
}

impl Pipeline {
    /// Receives a delivery: reads it, decides each assessment, and records all of it in one
    /// transaction. What cannot be read is kept, and so is what the program fails on.
    ///
    /// # Errors
    /// When the body is over the size limit, or the store does not answer; then nothing was
    /// recorded and the same delivery can come again.
    pub async fn accept(&self, delivery: Delivery<'_>) -> Result<Accepted, AcceptError> {
        match caught(self.accept_together(delivery)).await {
            Ok(Err(AcceptError::Pipeline(error))) if error.is_about_the_data() => self.accept_apart(delivery).await,
            Ok(accepted) => accepted,
            Err(_) => self.accept_apart(delivery).await,
        }
    }

    /// The same, where the program fails on nothing in it.
    pub(crate) async fn accept_together(&self, delivery: Delivery<'_>) -> Result<Accepted, AcceptError> {
        // 1. Receive: the limits; nothing in the body is trusted.
        // 2. Normalise: bytes to assessments, whatever wrapped them.
        let (accepted, assessments) = self.open(delivery)?;
        // 4. Decide. (3, order and de-duplicate, is up to the store: it must happen in the transaction
        // that records.)
        Ok(self.settle(accepted, assessments).await?)
    }

    /// Decides what was read, and records it.
    async fn settle(&self, mut accepted: Accepted, assessments: Vec<Assessment>) -> Result<Accepted, PipelineError> {
        let changes = self.decide(assessments, lookup::DELIVERY).await?;
        accepted.decided = self.record(changes, &accepted.parked).await?;
        for one in accepted.decided.iter().filter(|one| one.missed) {
            warn!(assessment = %one.assessment.id, "a snapshot told of a finding that no event had brought");
        }
        Ok(accepted)
    }

    /// The same, one assessment at a time: the program fails on one of them. The delivery is kept, once, and the
    /// others are recorded.
    async fn accept_apart(&self, delivery: Delivery<'_>) -> Result<Accepted, AcceptError> {
        let mut failed: Vec<(String, String)> = Vec::new();
        let mut accepted = match caught(async { self.open(delivery) }).await {
            Err(why) => {
                failed.push(("(the whole body)".into(), why));
                Accepted::default()
            }
            Ok(opened) => {
                let (mut accepted, assessments) = opened?;
                let begun = tokio::time::Instant::now();
                for assessment in assessments {
                    let id = assessment.id.to_string();
                    let one = async {
                        let patience = lookup::DELIVERY.saturating_sub(begun.elapsed());
                        let changes = self.decide(vec![assessment], patience).await?;
                        self.record(changes, &[]).await
                    };
                    match caught(one).await {
                        Ok(Ok(decided)) => accepted.decided.extend(decided),
                        Ok(Err(error)) if error.is_about_the_data() => {
                            failed.push((id, format!("the store does not take it: {error}")));
                        }
                        Ok(Err(error)) => return Err(error.into()),
                        Err(why) => failed.push((id, why)),
                    }
                }
                accepted
            }
        };
        let more = failed.len().saturating_sub(1);
        if let Some((path, problem)) = failed.into_iter().next() {
            let hint = "this is a defect of amend: report it with this record, and try it again with `amend unreadable retry` after an upgrade";
            // The others are recorded: when it is tried again, they have no effect.
            let path = if more == 0 { path } else { format!("{path}, and {more} more") };
            accepted.parked.push(self.whole(delivery, &path, problem, hint));
        }
        self.record(Vec::new(), &accepted.parked).await?;
        Ok(accepted)
    }

    /// Keeps a delivery that is too large to be opened, where its sender would only send it again.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn keep(&self, delivery: Delivery<'_>, refused: &Refused) -> Result<Counts, PipelineError> {
        let hint = "raise the limit and run `amend unreadable retry`";
        let parked = self.whole(delivery, "(the whole body)", refused.to_string(), hint);
        self.record(Vec::new(), &[parked]).await?;
        Ok(Counts { unreadable: 1, ..Counts::default() })
    }

    /// A whole delivery, to be kept.
    fn whole(&self, delivery: Delivery<'_>, path: &str, problem: String, hint: &str) -> Parked {
        let Delivery { form, body, attributes, snapshot } = delivery;
        let raw = String::from_utf8_lossy(body).into_owned();
        let unreadable = Unreadable { path: path.to_owned(), problem, hint: Some(hint.to_owned()), raw };
        self.parked(form, snapshot, attributes, unreadable)
    }

    /// Receives records that a platform hands over together, and would lose together: as many at once as the limits
    /// let; each by itself where one of them has something about it.
    ///
    /// # Errors
    /// When the store does not answer: from which record on nothing was recorded. Those before have no effect when
    /// they come again.
    pub async fn accept_records(&self, form: Form, records: &[&str]) -> Result<Counts, Unrecorded> {
        let mut counts = Counts::default();
        let mut rest = records;
        while !rest.is_empty() {
            let from = records.len().saturating_sub(rest.len());
            let (together, after) = rest.split_at(self.fit_together(rest).max(1));
            let joined = match together.len() {
                1 => None,
                _ => self.accept_joined(form, together).await,
            };
            match joined {
                Some(joined) => counts = counts.plus(joined.map_err(|error| Unrecorded { from, error })?),
                None => {
                    for (at, record) in together.iter().enumerate() {
                        let one = self.accept_one(form, record).await;
                        let from = from.saturating_add(at);
                        counts = counts.plus(one.map_err(|error| Unrecorded { from, error })?);
                    }
                }
            }
            rest = after;
        }
        Ok(counts)
    }

    /// How many of the first records can be read as one list: objects, within the limits.
    fn fit_together(&self, records: &[&str]) -> usize {
        let limits = self.limits();
        // A list of them nests one deeper.
        let inside = Limits { nesting: limits.nesting.saturating_sub(1), ..*limits };
        let mut bytes = 2_usize;
        let fit = records.iter().take(limits.records).take_while(|record| {
            bytes = bytes.saturating_add(record.len()).saturating_add(1);
            let fits = bytes <= limits.bytes && inside.check(record.as_bytes()).is_ok();
            fits && record.trim_start().starts_with('{') && is_json(record)
        });
        fit.count()
    }

    /// Receives records as one list; nothing, where one of them has to be looked at by itself.
    async fn accept_joined(&self, form: Form, records: &[&str]) -> Option<Result<Counts, PipelineError>> {
        let body = format!("[{}]", records.join(","));
        let delivery = Delivery { form, body: body.as_bytes(), attributes: &[], snapshot: false };
        let whole = async {
            let (accepted, assessments) = self.read(delivery).ok()?;
            Some(self.settle(accepted, assessments).await)
        };
        match caught(whole).await.ok()?? {
            Err(error) if error.is_about_the_data() => None,
            settled => Some(settled.map(|accepted| accepted.counts())),
        }
    }

    /// Receives one record.
    async fn accept_one(&self, form: Form, record: &str) -> Result<Counts, PipelineError> {
        let delivery = Delivery { form, body: record.as_bytes(), attributes: &[], snapshot: false };
        match self.accept(delivery).await {
            Ok(accepted) => Ok(accepted.counts()),
            Err(AcceptError::Pipeline(error)) => Err(error),
            Err(AcceptError::TooLarge(refused)) => self.keep(delivery, &refused).await,
        }
    }

    /// Opens a delivery: what is in it, and its assessments. What is over a limit is kept whole.
    fn open(&self, delivery: Delivery<'_>) -> Result<(Accepted, Vec<Assessment>), AcceptError> {
        match self.read(delivery) {
            Ok(read) => Ok(read),
            Err(refused @ Refused::Bytes { .. }) => Err(AcceptError::TooLarge(refused)),
            Err(refused) => {
                let hint = "raise the limit and run `amend unreadable retry`, or have the sender split its batches";
                let whole = self.whole(delivery, "(the whole body)", refused.to_string(), hint);
                Ok((Accepted { parked: vec![whole], ..Accepted::default() }, Vec::new()))
            }
        }
    }

    /// Reads a delivery that is within the limits.
    fn read(&self, delivery: Delivery<'_>) -> Result<(Accepted, Vec<Assessment>), Refused> {
        let Delivery { form, body, attributes, snapshot } = delivery;
        let mut accepted = Accepted::default();
        let mut assessments = Vec::new();
        for item in self.decider.read(form, body, attributes, snapshot, self.limits())? {
            match item {
                Item::Assessment(assessment) => assessments.push(*assessment),
                Item::SetAside(aside) => accepted.set_aside.push(aside),
                Item::Validation { code } => accepted.validation = Some(code),
                Item::Unreadable(unreadable) => {
                    accepted.parked.push(self.parked(form, snapshot, attributes, unreadable))
                }
            }
        }
        Ok((accepted, assessments))
    }

    /// Asks the rules, which are pure, and looks up the facts that they lack.
    pub(crate) async fn decide(
        &self,
        assessments: Vec<Assessment>,
        patience: Duration,
    ) -> Result<Vec<Change>, PipelineError> {
        let decide = |assessment: Assessment, reads: &Reads| self.decider.decide(assessment, reads);
        match &self.lookup {
            Some(lookup) => Ok(lookup.decide(decide, assessments, self.now(), patience).await?),
            None => Ok(assessments.into_iter().map(|one| decide(one, &Reads::default())).collect()),
        }
    }

    /// Records what was decided and keeps what could not be read, in one transaction.
    pub(crate) async fn record(&self, changes: Vec<Change>, parked: &[Parked]) -> Result<Vec<Decided>, PipelineError> {
        if changes.is_empty() && parked.is_empty() {
            return Ok(Vec::new());
        }
        let recorded = self.store.record(&changes, parked, self.now()).await?;
        for Parked { id, form, path, problem, .. } in parked {
            warn!(id, form, path, problem, "kept an unreadable record");
        }
        Ok(changes.into_iter().zip(recorded).map(|(change, recorded)| decided(change, recorded)).collect())
    }

    /// Decides what lacked facts before, with those there are now.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn retry_undetermined(&self) -> Result<Retried, PipelineError> {
        self.retry_undetermined_within(Duration::MAX).await
    }

    /// The same, which waits no longer than this for facts. What was not come to waits on.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn retry_undetermined_within(&self, patience: Duration) -> Result<Retried, PipelineError> {
        let begun = tokio::time::Instant::now();
        let mut waiting = self.store.undetermined().await?;
        let all = waiting.len();
        let mut settled = 0_usize;
        while !waiting.is_empty() {
            let rest = waiting.split_off(waiting.len().min(CHUNK));
            let left = patience.saturating_sub(begun.elapsed());
            if left.is_zero() {
                break;
            }
            let changes = self.decide(std::mem::replace(&mut waiting, rest), lookup::IMPORT.min(left)).await?;
            let problems = self.store.settle(&changes, self.now()).await?;
            settled = settled.saturating_add(problems.iter().filter(|problem| !problem.lacks_facts()).count());
        }
        Ok(Retried { settled, waiting: all.saturating_sub(settled) })
    }

    pub(crate) fn parked(
        &self,
        form: Form,
        snapshot: bool,
        attributes: &[(String, String)],
        unreadable: Unreadable,
    ) -> Parked {
        let at = self.now();
        let Unreadable { path, problem, hint, raw } = unreadable;
        Parked {
            id: self.ids.next(at),
            at,
            form: form.as_str().to_owned(),
            path,
            problem,
            hint,
            raw,
            snapshot,
            attributes: attributes.to_vec(),
            resolved: None,
        }
    }
}

fn decided(change: Change, recorded: Recorded) -> Decided {
    let Change { assessment, decision, facts, .. } = change;
    let rule = decision.rule.as_ref().map(ToString::to_string);
    info!(
        assessment = %assessment.id,
        effect = recorded.effect.as_str(),
        status = assessment.status.code.as_str(),
        rule,
        action = decision.action(),
        "assessment recorded"
    );
    Decided { assessment, decision, facts, effect: recorded.effect, missed: recorded.missed, problem: recorded.problem }
}

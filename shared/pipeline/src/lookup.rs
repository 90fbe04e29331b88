//! Facts that the facts file does not hold: what was read before, and the clouds themselves. Asked only
//! for what the rules still in the race want to know.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use amend_cloud::FactSource;
use amend_domain::{
    Assessment, Cloud,
    thing::{Read, Reads, Thing},
};
use amend_store::{Change, Store, StoreError};
use jiff::{SignedDuration, Timestamp};
use tracing::warn;

/// How often a decision is made anew: each answer may bring another rule to the front, which asks for
/// something else.
const ROUNDS: usize = 8;
/// What could not be read is asked for again after this.
const AGAIN: SignedDuration = SignedDuration::from_mins(10);
/// How long a delivery waits for facts, in all. What comes later is used when it is decided again.
pub(crate) const DELIVERY: Duration = Duration::from_secs(3);
/// How long an import waits for the facts of some hundred assessments.
pub(crate) const IMPORT: Duration = Duration::from_secs(300);

/// Looks facts up.
#[derive(Clone)]
pub struct Lookup {
    source: Arc<dyn FactSource>,
    kept: Option<Arc<dyn Store>>,
    clouds: Arc<[Cloud]>,
    max_age: SignedDuration,
}

impl Lookup {
    /// Asks `source` about things in `clouds`; a fact that is older than `max_age` is read again.
    #[must_use]
    pub fn new(source: Arc<dyn FactSource>, clouds: &[Cloud], max_age: SignedDuration) -> Self {
        Self { source, kept: None, clouds: clouds.into(), max_age }
    }

    /// Keeps what was read in `store`.
    #[must_use]
    pub fn keeping(self, store: Arc<dyn Store>) -> Self {
        Self { kept: Some(store), ..self }
    }

    /// Decides, and where that lacks facts, looks them up and decides again: together for all
    /// assessments, for `patience` at most. The answers are in the order of the assessments.
    ///
    /// # Errors
    /// When the store does not answer. A cloud that does not answer leaves its facts unknown.
    pub async fn decide(
        &self,
        decide: impl Fn(Assessment, &Reads) -> Change,
        assessments: Vec<Assessment>,
        now: Timestamp,
        patience: Duration,
    ) -> Result<Vec<Change>, StoreError> {
        let mut reads = Reads::default();
        let mut changes: Vec<Change> = assessments.into_iter().map(|assessment| decide(assessment, &reads)).collect();
        let begun = tokio::time::Instant::now();
        for _ in 0..ROUNDS {
            let wanted = self.wanted(&changes, &reads);
            if wanted.is_empty() {
                break;
            }
            self.look_up(wanted, &mut reads, now, patience.saturating_sub(begun.elapsed())).await?;
            let again = |change: Change| match change.decision.lacks().is_empty() {
                true => change,
                false => decide(change.assessment, &reads),
            };
            changes = changes.into_iter().map(again).collect();
        }
        Ok(changes)
    }

    /// What decisions lack, each thing once, without what was looked up already.
    fn wanted(&self, changes: &[Change], reads: &Reads) -> BTreeMap<Box<str>, Thing> {
        let mut wanted = BTreeMap::new();
        for change in changes {
            for need in change.decision.lacks().iter().filter(|need| need.can_be_read()) {
                let Some(thing) = Thing::behind(need, &change.assessment.resource) else { continue };
                if self.clouds.contains(&thing.cloud) && reads.get(&thing.id).is_none() {
                    wanted.entry(thing.id.clone()).or_insert(thing);
                }
            }
        }
        wanted
    }

    /// Looks things up: those read lately in the store, the others in their clouds.
    async fn look_up(
        &self,
        wanted: BTreeMap<Box<str>, Thing>,
        reads: &mut Reads,
        now: Timestamp,
        patience: Duration,
    ) -> Result<(), StoreError> {
        let oldest = now.saturating_sub(self.max_age).unwrap_or(Timestamp::MIN);
        let mut things: Vec<Thing> = wanted.into_values().collect();
        let mut earlier = vec![Read::default(); things.len()];
        if let Some(store) = &self.kept {
            let ids: Vec<&str> = things.iter().map(|thing| &*thing.id).collect();
            let kept = store.facts(&ids).await?;
            let (mut ask, mut known) = (Vec::new(), Vec::new());
            for (thing, kept) in things.into_iter().zip(kept) {
                let (asked, read) =
                    kept.map_or((Timestamp::MIN, Read::default()), |(at, read)| (at, read.since(oldest)));
                let last = if read.failed.is_none() { self.max_age } else { AGAIN };
                if asked > now.saturating_sub(last).unwrap_or(Timestamp::MIN) {
                    reads.put(thing.id, read);
                } else {
                    ask.push(thing);
                    known.push(read);
                }
            }
            (things, earlier) = (ask, known);
        }
        if things.is_empty() {
            return Ok(());
        }
        match tokio::time::timeout(patience, self.source.read(&things, now)).await {
            Ok(found) => {
                let found: Vec<Read> = found.into_iter().zip(earlier).map(|(read, earlier)| read.or(earlier)).collect();
                let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
                for (thing, read) in things.iter().zip(&found) {
                    if let Some(why) = &read.failed {
                        reasons.entry(why).or_default().push(&thing.id);
                    }
                }
                for (why, things) in reasons {
                    warn!(things = things.len(), first = things.first(), why, "facts cannot be read");
                }
                if let Some(store) = &self.kept {
                    let pairs: Vec<(&str, &Read)> = things.iter().map(|thing| &*thing.id).zip(&found).collect();
                    store.keep_facts(&pairs, now).await?;
                }
                for (thing, read) in things.into_iter().zip(found) {
                    reads.put(thing.id, read);
                }
            }
            // Not kept: the next who asks may have more time.
            Err(_) => {
                let why = format!("no answer within {} s", patience.as_secs());
                warn!(things = things.len(), why, "facts cannot be read");
                for (thing, earlier) in things.into_iter().zip(earlier) {
                    reads.put(thing.id, Read::failed(why.as_str()).or(earlier));
                }
            }
        }
        Ok(())
    }
}

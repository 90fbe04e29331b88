//! The audit trail: one record for each step, chained by digests, so that none can be changed, moved or
//! left out unseen.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    digest,
    guard::Says,
    plan::{MadeOutcome, Remediation, State, diff},
    resource::{AccountId, ResourceId},
};

/// What is recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// Who did it: a person as they were named, or `amend`.
    pub who: Box<str>,
    /// What was done: `remediation.planned`, `remediation.sent`, `stop`.
    pub what: Box<str>,
    /// To what: a remediation's id, or a switch.
    pub subject: Box<str>,
    /// The resource, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<ResourceId>,
    /// Its account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// Everything else.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub detail: Value,
}

/// A record of the trail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Its place: 1, 2, 3, …
    pub seq: u64,
    /// The digest of the record before; of the first, [`GENESIS`].
    pub previous: Box<str>,
    /// What is recorded.
    #[serde(flatten)]
    pub entry: Entry,
    /// The digest of all of the above.
    pub digest: Box<str>,
}

/// What stands before the first record.
pub const GENESIS: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

/// The end of the trail, as it is written to a second place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The place of the last record.
    pub seq: u64,
    /// Its digest.
    pub digest: Box<str>,
}

impl Default for Head {
    fn default() -> Self {
        Self { seq: 0, digest: GENESIS.into() }
    }
}

/// What is covered by a record's digest.
#[derive(Serialize)]
struct Covered<'a> {
    seq: u64,
    previous: &'a str,
    #[serde(flatten)]
    entry: &'a Entry,
}

impl Record {
    /// The record that comes after `head`.
    ///
    /// # Errors
    /// When a value is no JSON.
    pub fn after(head: &Head, entry: Entry) -> Result<Self, serde_json::Error> {
        let seq = head.seq.saturating_add(1);
        let digest = digest::digest(&Covered { seq, previous: &head.digest, entry: &entry })?.into();
        Ok(Self { seq, previous: head.digest.clone(), entry, digest })
    }

    /// The trail's end, were this its last record.
    #[must_use]
    pub fn head(&self) -> Head {
        Head { seq: self.seq, digest: self.digest.clone() }
    }
}

/// Where the trail is broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A record is not there.
    #[error("record {0} is missing")]
    Missing(u64),
    /// A record does not follow the one before it: one of them was changed, or moved.
    #[error("record {0} does not follow record {before}: one of them was changed or moved", before = .0.saturating_sub(1))]
    Unchained(u64),
    /// A record does not say any more what it said.
    #[error("record {0} was changed: its digest does not fit")]
    Changed(u64),
    /// The trail was longer once, or went on another way.
    #[error("record {0} is not the one that was written to the second place")]
    NotAsNoted(u64),
}

/// Checks records as they come, in order. The first may be a later one: where others were purged before it.
#[derive(Clone, Debug, Default)]
pub struct Verifier {
    begins: Head,
    head: Head,
    purged: Vec<Head>,
}

impl Verifier {
    /// Looks at the next record.
    ///
    /// # Errors
    /// Where the trail is broken.
    pub fn next(&mut self, record: &Record) -> Result<(), Broken> {
        if self.head.seq == 0 && record.seq > 1 {
            self.begins = Head { seq: record.seq.saturating_sub(1), digest: record.previous.clone() };
            self.head = self.begins.clone();
        }
        let seq = self.head.seq.saturating_add(1);
        if record.seq != seq {
            return Err(Broken::Missing(seq));
        }
        let covered = Covered { seq: record.seq, previous: &record.previous, entry: &record.entry };
        if digest::digest(&covered).ok().as_deref() != Some(&*record.digest) {
            return Err(Broken::Changed(seq));
        }
        if record.previous != self.head.digest {
            return Err(Broken::Unchained(seq));
        }
        self.head = record.head();
        self.purged.extend(record.entry.purged());
        Ok(())
    }

    /// Whether nothing is missing before the first record: it is the first of all, or one of the checkpoints, here
    /// or in what comes `later`, says that those before it were purged.
    ///
    /// # Errors
    /// When some are missing.
    pub fn begins_whole(&self, later: &Self) -> Result<(), Broken> {
        let begins = &self.begins;
        let purged = || self.purged.iter().chain(&later.purged);
        if begins.seq == 0 || purged().any(|purged| purged == begins) {
            return Ok(());
        }
        if purged().any(|purged| purged.seq == begins.seq) {
            return Err(Broken::Unchained(begins.seq.saturating_add(1)));
        }
        let before = purged().map(|purged| purged.seq).filter(|seq| *seq < begins.seq).max();
        Err(Broken::Missing(before.unwrap_or_default().saturating_add(1)))
    }

    /// What stands before what was looked at: the end of what was purged.
    #[must_use]
    pub fn begins(&self) -> &Head {
        &self.begins
    }

    /// The end of what was looked at.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }
}

/// What a checkpoint is called.
const PURGED: &str = "audit.purged";

/// What it is called that ends of the trail are noted in a second place from now on.
pub const NOTED: &str = "audit.noted";

impl Entry {
    /// A checkpoint: all records up to this one were written elsewhere, and are no longer kept.
    #[must_use]
    pub fn purge(at: Timestamp, who: &str, through: &Head) -> Self {
        Self {
            at,
            who: who.into(),
            what: PURGED.into(),
            subject: "the audit trail".into(),
            resource: None,
            account: None,
            detail: json!({ "through": through }),
        }
    }

    /// From now on, ends of the trail are noted in this place.
    #[must_use]
    pub fn noted(at: Timestamp, place: &str) -> Self {
        Self {
            at,
            who: "amend".into(),
            what: NOTED.into(),
            subject: place.into(),
            resource: None,
            account: None,
            detail: Value::Null,
        }
    }

    /// Up to where records were purged, where it says that.
    fn purged(&self) -> Option<Head> {
        (&*self.what == PURGED).then(|| Head::deserialize(self.detail.get("through")?).ok())?
    }

    /// A step of a remediation, as it is kept.
    #[must_use]
    pub fn of(r: &Remediation) -> Self {
        let last = r.made.last();
        // What a person said stands in the step that they took.
        let answer = r.answer.as_ref().filter(|answer| answer.revision == r.revision);
        let what = match last.map(|made| &made.outcome) {
            _ if answer.is_some_and(|answer| answer.approved) => "remediation.approved".to_owned(),
            _ if answer.is_some() => "remediation.denied".to_owned(),
            Some(MadeOutcome::Sent) => "remediation.sent".to_owned(),
            _ => format!("remediation.{}", r.state.as_str()),
        };
        let undo_begins = r.state == State::Undoing && !r.failing && !r.made.iter().any(|made| made.undo);
        let plan = &r.plan;
        let mut detail = json!({
            "revision": r.revision,
            "state": r.state.as_str(),
            "fix": plan.fix,
            "plan": plan.digest,
        });
        if let Some(detail) = detail.as_object_mut() {
            if r.revision == 1 {
                detail.insert("fix_digest".into(), json!(plan.fix_digest));
                detail.insert("mode".into(), json!(r.mode));
                detail.insert("problem".into(), json!(r.problem));
                detail.insert("rule".into(), json!(r.rule));
                detail.insert("decided".into(), json!(r.decided));
                detail.insert("guards".into(), open(r));
                detail.insert("changes".into(), changes(r));
            }
            if let Some(made) = last {
                detail.insert(
                    "call".into(),
                    json!({ "call": made.call, "digest": made.digest, "undo": made.undo, "outcome": made.outcome }),
                );
            }
            if let Some(batch) = answer.and_then(|answer| answer.batch.as_ref()) {
                detail.insert("batch".into(), json!(batch));
            }
            if let Some(why) = &r.why {
                detail.insert("why".into(), json!(why));
            }
        }
        // Whoever asked for it begins it; what follows, the machine does.
        let who = match answer {
            Some(answer) => answer.by.clone(),
            None if r.revision == 1 => r.by.clone(),
            None if undo_begins => r.undo_by.clone().unwrap_or_else(|| "amend".into()),
            None => "amend".into(),
        };
        Self {
            at: r.changed,
            who,
            what: what.into(),
            subject: r.id.clone(),
            resource: Some(plan.at.resource.clone()),
            account: plan.at.account.clone(),
            detail,
        }
    }
}

/// What guards have against it, so that it is known what whoever approves it was told.
fn open(r: &Remediation) -> Value {
    let open = r.checks.iter().filter(|check| check.says != Says::Pass);
    open.map(|check| json!({ "guard": check.guard, "why": check.why })).collect()
}

/// What would change, line by line; of what is sensitive, that it would.
fn changes(r: &Remediation) -> Value {
    let of = |change: &crate::plan::Change| {
        if change.sensitive {
            return vec![json!({ "path": change.setting, "sensitive": true })];
        }
        diff(&change.setting, &change.before, &change.then).into_iter().map(|line| json!(line)).collect()
    };
    r.plan.changes.iter().flat_map(of).collect()
}

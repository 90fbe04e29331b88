//! The story of an event, and the questions people ask about it afterwards.
//!
//! Read [`accept`] from top to bottom: that is what happens to a delivery; then [`advance`]: that is
//! what happens afterwards, when its time has come. [`backlog`] is what
//! happens to what a snapshot brought; [`lookup`] finds the facts that deciding lacks; [`explain`]
//! answers "why"; [`unreadable`] is for what could not be read; [`fixer`] plans and fixes, with the engine in
//! [`remedy`]; [`people`] says who acts, [`callers`] which tools call, [`approve`] what they say of plans, [`exempt`] what they let be, [`dates`] when it is due, [`announce`] what they are told before it is fixed; [`config`] is the only file that reads the
//! environment.

pub mod accept;
pub mod advance;
pub mod announce;
pub mod approve;
pub mod audit;
pub mod backlog;
pub mod bulk;
pub mod callers;
mod caught;
pub mod config;
pub mod dates;
pub mod decider;
pub mod executor;
pub mod exempt;
pub mod explain;
pub mod fixer;
pub mod guard;
pub mod import;
pub mod live_import;
pub mod lookup;
pub mod notices;
pub mod people;
pub mod remedy;
pub mod rows;
pub mod sync;
pub mod system;
pub mod tickets;
pub mod unreadable;

use std::sync::Arc;

use amend_catalog::Mistakes;
use amend_domain::{RuleSet, ports::Ids, said::Unheard};
use amend_events::Limits;
use amend_store::{Store, StoreError};

pub use accept::{Accepted, Delivery};
pub use config::Config;
pub use decider::Decider;
pub use lookup::Lookup;
pub use people::LOCAL_USER;

/// Everything an event passes through, put together.
#[derive(Clone)]
pub struct Pipeline {
    decider: Decider,
    store: Arc<dyn Store>,
    ids: Arc<dyn Ids>,
    lookup: Option<Lookup>,
}

/// Why a pipeline cannot be put together, or cannot answer.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The rules cannot be used.
    #[error("the rules cannot be used")]
    Rules(#[source] Mistakes),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was asked for is not there.
    #[error("{what} `{name}` is not known")]
    NotFound {
        /// What kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
        /// How to find it.
        hint: &'static str,
    },
    /// What was asked for is not there, but something like it is.
    #[error("{what} `{name}` is not known")]
    Unknown {
        /// What kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
        /// What was probably meant.
        near: String,
    },
    /// A plan may not be carried out.
    #[error("the plan of `{fix}` is refused: {why}")]
    PlanRefused {
        /// The fix.
        fix: String,
        /// Why.
        why: &'static str,
    },
    /// Another remediation of the resource goes on.
    #[error("remediation `{id}` of `{resource}` has not ended")]
    Busy {
        /// The resource.
        resource: String,
        /// The remediation.
        id: String,
    },
    /// Somebody holds a resource.
    #[error("{}", held(resource, hold, unread.as_deref()))]
    Held {
        /// The resource.
        resource: String,
        /// Why it is not known whether the hold is on it, where that is so.
        unread: Option<String>,
        /// The hold.
        hold: Box<amend_domain::guard::Hold>,
    },
    /// Somebody objects to a fix that was announced to them.
    #[error("{by} objects to fixing `{resource}`: {why}")]
    Opposed {
        /// The resource.
        resource: String,
        /// Who.
        by: String,
        /// Why.
        why: String,
        /// The problem.
        problem: String,
    },
    /// People let something be.
    #[error("`{resource}` is exempted until {until} by {by}: {why}", until = exemption.until.strftime("%Y-%m-%d %H:%M UTC"), by = exemption.by, why = exemption.why)]
    Exempted {
        /// The resource.
        resource: String,
        /// The exemption.
        exemption: Box<amend_domain::exemption::Exemption>,
    },
    /// An exemption cannot be asked for or approved.
    #[error("the exemption is refused: {why}")]
    NotExempted {
        /// Why.
        why: String,
    },
    /// A tracker was not told.
    #[error(transparent)]
    Tracker(#[from] amend_connect::TrackerError),
    /// A ticket belongs in a tracker that is not configured.
    #[error("no tracker is called `{name}`")]
    NoTracker {
        /// Its name.
        name: String,
    },
    /// A system that a problem comes from did not answer, or refused.
    #[error("what {} says of {problem} cannot be read or written", system.name())]
    System {
        /// The system.
        system: amend_domain::sync::System,
        /// The problem.
        problem: String,
        /// Why.
        source: Box<amend_cloud::CallError>,
    },
    /// Defender holds several assignments of one assessment.
    #[error("Defender has {count} governance assignments of `{assessment}`, and which of them counts is not known")]
    Several {
        /// The assessment.
        assessment: String,
        /// How many.
        count: usize,
    },
    /// There is nobody who sends mail, or no address.
    #[error("the digest of {owner} is sent to nobody")]
    NoMail {
        /// The owner.
        owner: String,
    },
    /// Somebody with an address is to be told something, and there is nobody who sends mail.
    #[error("{to} is not told: nobody sends mail")]
    NoMailer {
        /// The address.
        to: String,
    },
    /// A channel is to be told something that is not configured.
    #[error("no channel is called `{name}`")]
    NoChannel {
        /// Its name.
        name: String,
    },
    /// A text cannot be written.
    #[error("{what} cannot be written: {why}")]
    Unwritten {
        /// What.
        what: &'static str,
        /// Why.
        why: String,
    },
    /// Somebody may not do what they ask for.
    #[error("{who} may not {what}")]
    NotAllowed {
        /// Who.
        who: String,
        /// What.
        what: &'static str,
        /// Who may.
        hint: &'static str,
    },
    /// Something cannot be said of a problem.
    #[error("that cannot be said of {problem}: {why}")]
    Unheard {
        /// The problem.
        problem: String,
        /// Why.
        why: Unheard,
    },
    /// Nobody knows who speaks, and it matters.
    #[error("nobody knows who you are, and only people with names can say this")]
    NoName,
    /// Nobody is asked about a remediation, or about another plan.
    #[error("nothing can be said about {of}: {why}")]
    NotAsked {
        /// A remediation, or a batch of them.
        of: String,
        /// Why.
        why: String,
    },
    /// Somebody else is at a remediation.
    #[error("somebody else is at remediation `{id}` of `{resource}`")]
    Taken {
        /// The remediation.
        id: String,
        /// The resource.
        resource: String,
    },
    /// A fix cannot go on.
    #[error(transparent)]
    Remedy(#[from] remedy::RemedyError),
    /// Several things answer to a name.
    #[error("`{name}` names {count} problems")]
    Ambiguous {
        /// The name.
        name: String,
        /// How many.
        count: usize,
        /// Their ids.
        ids: Vec<String>,
    },
    /// A stored text cannot be read.
    #[error("{what} cannot be read")]
    Damaged {
        /// What.
        what: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// What to do after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhatNow {
    /// The platform should deliver it again.
    Retry,
    /// It is kept, and a person is told.
    Park,
    /// It is recorded and will not be tried again.
    Refuse,
}

fn held(resource: &str, hold: &amend_domain::guard::Hold, unread: Option<&str>) -> String {
    let until = hold.until.strftime("%Y-%m-%d %H:%M UTC");
    let said = |word| format!("`{resource}` {word} held until {until} by {}: {}", hold.by, hold.why);
    match unread {
        None => said("is"),
        Some(unread) => format!("{} (the hold is on {}, and {unread})", said("may be"), hold.on),
    }
}

impl PipelineError {
    /// What to do now.
    #[must_use]
    pub fn what_now(&self) -> WhatNow {
        match self {
            Self::Store(_) | Self::Taken { .. } => WhatNow::Retry,
            Self::Damaged { .. } => WhatNow::Park,
            Self::Remedy(error) => error.what_now(),
            Self::Tracker(error) if error.may_pass() => WhatNow::Retry,
            Self::System { source, .. } if source.may_pass() => WhatNow::Retry,
            Self::Tracker(_)
            | Self::System { .. }
            | Self::Several { .. }
            | Self::NoTracker { .. }
            | Self::NoMail { .. }
            | Self::NoMailer { .. }
            | Self::NoChannel { .. }
            | Self::Unwritten { .. } => WhatNow::Park,
            Self::Rules(_)
            | Self::NotFound { .. }
            | Self::Unknown { .. }
            | Self::PlanRefused { .. }
            | Self::Busy { .. }
            | Self::Held { .. }
            | Self::Exempted { .. }
            | Self::NotExempted { .. }
            | Self::NoName
            | Self::NotAllowed { .. }
            | Self::Opposed { .. }
            | Self::Unheard { .. }
            | Self::NotAsked { .. }
            | Self::Ambiguous { .. } => WhatNow::Refuse,
        }
    }

    /// Whether it is the data that the store does not take: the same will not be taken another time.
    #[must_use]
    pub fn is_about_the_data(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_about_the_data())
    }

    /// A stable name for logs, metrics and API answers.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Rules(_) => "rules.mistakes",
            Self::Store(error) => error.code(),
            Self::NotFound { .. } | Self::Unknown { .. } => "not-found",
            Self::PlanRefused { .. } => "plan.refused",
            Self::Busy { .. } => "remediation.busy",
            Self::Held { .. } => "remediation.held",
            Self::Exempted { .. } => "remediation.exempted",
            Self::NotExempted { .. } => "exemption.refused",
            Self::NoName => "no-name",
            Self::NotAllowed { .. } => "not-allowed",
            Self::Opposed { .. } => "remediation.opposed",
            Self::Unheard { .. } => "problem.unheard",
            Self::NotAsked { .. } => "remediation.not-asked",
            Self::Taken { .. } => "remediation.taken",
            Self::Remedy(error) => error.code(),
            Self::Ambiguous { .. } => "ambiguous",
            Self::Damaged { .. } => "store.damaged",
            Self::Tracker(_) => "tracker.not-told",
            Self::System { source, .. } => source.code(),
            Self::Several { .. } => "assignments.several",
            Self::NoTracker { .. } => "tracker.unknown",
            Self::NoMail { .. } | Self::NoMailer { .. } | Self::NoChannel { .. } => "notice.nobody",
            Self::Unwritten { .. } => "notice.unwritten",
        }
    }

    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Rules(_) => Some("run `amend rules check`".into()),
            Self::Store(error) => error.hint().map(str::to_owned),
            Self::NotFound { hint, .. } => Some((*hint).to_owned()),
            Self::Unknown { near, .. } => Some(format!("did you mean `{near}`?")),
            Self::PlanRefused { .. } => None,
            Self::Busy { .. } => {
                Some("wait for it; if it was interrupted, `amend remediations --resume` goes on with it".into())
            }
            Self::Held { hold, .. } => {
                Some(format!("where it may be changed all the same, `amend hold --end {}` ends the hold", hold.id))
            }
            Self::Exempted { exemption, .. } => Some(format!(
                "where it may be changed all the same, `amend exempt --end {}` ends the exemption",
                exemption.id
            )),
            Self::NotExempted { .. } => Some("`amend exempt --list` shows what there is, and who asked for it".into()),
            Self::NoName => Some(
                "`amend token NAME` makes a token: its digest goes under `people` in amend.yaml, the token itself is given as AMEND__TOKEN"
                    .into(),
            ),
            Self::NotAsked { .. } => {
                Some(
                    "`amend approvals` shows what awaits an answer; with an id, `--rule` or `--fix`, with the digest to name".into(),
                )
            }
            Self::Taken { .. } => Some(
                "a running `amend` goes on with it; one that was killed is followed by another after 150 seconds"
                    .into(),
            ),
            Self::Remedy(error) => error.hint(),
            Self::Ambiguous { ids, .. } => Some(format!("name one of {}", ids.join(", "))),
            Self::System { source, .. } if source.is_denied() => {
                Some("`amend roles` shows what must be granted; it is tried again by itself".into())
            }
            Self::Several { .. } => Some("delete those that do not count there, then `amend work retry`".into()),
            Self::NoTracker { .. } => Some("put it back under `connect` in amend.yaml, then `amend work retry`".into()),
            Self::NoMail { .. } => Some("name a mail server under `notices.mail`, and who gets what nobody owns as `notices.orphans`".into()),
            Self::NoMailer { .. } => Some("name a mail server under `notices.mail`, then `amend work retry`".into()),
            Self::NoChannel { .. } => Some("add it under `notices.channels`, or take it out of the rules that `notify` it; then `amend work retry`".into()),
            Self::Opposed { problem, .. } => Some(format!(
                "where it may be changed all the same, `amend announced {problem} --withdraw` ends the objection"
            )),
            Self::NotAllowed { hint, .. } => Some((*hint).to_owned()),
            Self::Unheard { why: Unheard::Past, .. } => Some("name a day that is not over, in UTC".into()),
            Self::Unheard { why: Unheard::Backlog, .. } => {
                Some("`amend backlog release` lets it go on; its dates are set then".into())
            }
            Self::Unheard { why: Unheard::Closed, .. } => {
                Some("where it comes back, it has dates of its own; `amend explain` tells how it ended".into())
            }
            Self::Unheard { why: Unheard::NotAnnounced | Unheard::NoLater, .. } => {
                Some("`amend announced` shows what is announced, and when it begins".into())
            }
            Self::Unheard { why: Unheard::Begun | Unheard::PostponedBefore, .. } => {
                Some("`--object` keeps it from being done; `amend hold` keeps back all that is done to a resource".into())
            }
            Self::Unheard { why: Unheard::ObjectedTo, .. } => Some("`--withdraw` ends the objection".into()),
            Self::Unheard { .. } => None,
            Self::Damaged { .. } | Self::Tracker(_) | Self::System { .. } | Self::Unwritten { .. } => None,
        }
    }
}

impl Pipeline {
    /// Puts the parts together, and keeps the rules' text under their digest.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn new(decider: Decider, store: Arc<dyn Store>, ids: Arc<dyn Ids>) -> Result<Self, PipelineError> {
        let archive = serde_json::to_string(decider.files())
            .map_err(|source| PipelineError::Damaged { what: "the rules".into(), source })?;
        store.archive_rules(decider.rules().digest(), &archive, decider.now()).await?;
        Ok(Self { decider, store, ids, lookup: None })
    }

    /// Also looks up what the facts file does not hold; what is found is kept in the store.
    #[must_use]
    pub fn with_lookup(self, lookup: Lookup) -> Self {
        let lookup = Some(lookup.keeping(Arc::clone(&self.store)));
        Self { lookup, ..self }
    }

    /// What decides.
    #[must_use]
    pub fn decider(&self) -> &Decider {
        &self.decider
    }

    /// What is remembered.
    #[must_use]
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// The rules in force.
    #[must_use]
    pub fn rules(&self) -> &RuleSet {
        self.decider.rules()
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> jiff::Timestamp {
        self.decider.now()
    }

    /// How much a delivery may hold.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        self.decider.limits()
    }
}

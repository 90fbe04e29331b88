//! The fix engine: what a fix says, done on one resource.
//!
//! The story: [`locate`] finds the resource that is changed, [`observe`](Remedy::observe) reads and evaluates, [`plan`](Remedy::plan) says in full
//! what would be written, [`advance`](Remedy::advance) takes a remediation from its state to the next:
//! read again, save, write, read back. [`undo`](Remedy::undo) goes back. Every wait is a state with a
//! due time; whoever calls comes again then. What a crash leaves behind is a record from which the
//! next call goes on.
//!
//! A failed or undefined expression means: do not write.

mod apply;
mod execute;
mod journal;
mod locate;
mod observe;
mod plan;
pub mod rehearse;
pub mod show;
mod undo;

use std::sync::Arc;

use amend_cloud::{CallError, Cloud, Place};
use amend_domain::{
    ResourceId,
    expr::formula::FormulaError,
    fix::Fix,
    plan::{At, Remediation},
    ports::Clock,
    target::Target,
};
use amend_models::ModelError;
use amend_store::StoreError;
use jiff::Timestamp;
use serde_json::{Map, Value};

pub use execute::NotDue;
pub(crate) use execute::time_left;
pub use journal::{FirstRecord, Journal, LEASE, Memory, StoreJournal};
pub use locate::locate;
pub use observe::Observed;

use crate::WhatNow;

/// A fix and the resource that it is about.
#[derive(Clone)]
pub struct Remedy {
    fix: Arc<Fix>,
    target: Target,
    at: At,
    params: Map<String, Value>,
    cloud: Arc<dyn Cloud>,
    clock: Arc<dyn Clock>,
}

/// What to do next about a remediation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: its state is final.
    Done,
    /// Come again.
    Again {
        /// When.
        at: Timestamp,
    },
}

/// Why the engine cannot go on. Nothing was written by the step that failed.
#[derive(Debug, thiserror::Error)]
pub enum RemedyError {
    /// The fix is not for such a resource.
    #[error("`{fix}` is not for `{resource}`")]
    NotForThis {
        /// The fix.
        fix: String,
        /// The resource.
        resource: String,
        /// The forms of names that it is for.
        forms: String,
    },
    /// It is not clear where the resource is.
    #[error("{message}")]
    Place {
        /// What is not clear.
        message: String,
        /// What to do.
        hint: &'static str,
    },
    /// A value was given that the fix does not have.
    #[error("`{fix}` has no parameter `{name}`")]
    NoParameter {
        /// The fix.
        fix: String,
        /// The parameter.
        name: String,
        /// Those that it has.
        known: String,
    },
    /// A value that the fix needs was not given.
    #[error("`{fix}` needs a value for `{name}`: {doc}")]
    Parameter {
        /// The fix.
        fix: String,
        /// The parameter.
        name: String,
        /// What it is for.
        doc: String,
    },
    /// The resource cannot be read.
    #[error("`{fix}` cannot read `{resource}`")]
    Read {
        /// The fix.
        fix: String,
        /// The resource.
        resource: String,
        /// Why.
        source: Box<CallError>,
    },
    /// The executor of the account does not say that the resource is as planned.
    #[error("`{fix}` is not begun on `{resource}`")]
    NotAttested {
        /// The fix.
        fix: String,
        /// The resource.
        resource: String,
        /// Why.
        source: Box<CallError>,
    },
    /// An expression has no value.
    #[error("`{fix}` cannot tell, at `{place}`")]
    Formula {
        /// The fix.
        fix: String,
        /// Where in the fix.
        place: String,
        /// Why.
        source: FormulaError,
    },
    /// A list is longer than a fix may work on.
    #[error("`{fix}` would make {count} calls at `{place}`; at most {most} are made")]
    TooMany {
        /// The fix.
        fix: String,
        /// Where in the fix.
        place: String,
        /// How many.
        count: usize,
        /// How many at most.
        most: usize,
    },
    /// A call that the fix names is not known.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The record cannot be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was asked for makes no sense in this state.
    #[error("remediation `{id}` is {state}: {message}")]
    State {
        /// The remediation.
        id: String,
        /// Its state.
        state: &'static str,
        /// What cannot be done.
        message: &'static str,
    },
    /// A value cannot be written as JSON.
    #[error("a value cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

impl RemedyError {
    /// What to do now.
    #[must_use]
    pub fn what_now(&self) -> WhatNow {
        match self {
            Self::Read { source, .. } if source.may_pass() => WhatNow::Retry,
            Self::Read { .. } => WhatNow::Park,
            Self::Store(_) | Self::NotAttested { .. } => WhatNow::Retry,
            Self::Formula { .. } | Self::TooMany { .. } | Self::Model(_) | Self::Json(_) => WhatNow::Park,
            Self::NotForThis { .. }
            | Self::Place { .. }
            | Self::NoParameter { .. }
            | Self::Parameter { .. }
            | Self::State { .. } => WhatNow::Refuse,
        }
    }

    /// A stable name for logs and metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotForThis { .. } => "fix.not-for-this",
            Self::Place { .. } => "fix.place",
            Self::NoParameter { .. } | Self::Parameter { .. } => "fix.parameter",
            Self::Read { source, .. } | Self::NotAttested { source, .. } => source.code(),
            Self::Formula { .. } => "fix.formula",
            Self::TooMany { .. } => "fix.too-many",
            Self::Model(_) => "fix.call",
            Self::Store(error) => error.code(),
            Self::State { .. } => "remediation.state",
            Self::Json(_) => "fix.json",
        }
    }

    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotForThis { forms, .. } => Some(format!("it is for {forms}")),
            Self::Place { hint, .. } => Some((*hint).to_owned()),
            Self::NoParameter { known, .. } => Some(known.clone()),
            Self::Parameter { name, .. } => Some(format!("give it with `--param {name}=…`")),
            Self::Read { fix, source, .. } if source.is_denied() => {
                Some(format!("`amend roles --fix {fix}` prints what must be granted"))
            }
            Self::Read { source, .. } => match &**source {
                CallError::NotReached { reason, .. } if reason.contains("region is not known") => {
                    Some("say it with `--region`".into())
                }
                _ => None,
            },
            Self::Store(error) => error.hint().map(str::to_owned),
            Self::Model(error) => Some(error.hint().to_owned()),
            _ => None,
        }
    }
}

impl Remedy {
    /// A fix on a resource.
    ///
    /// # Errors
    /// When it is not for such a resource, or lacks a parameter.
    pub fn new(
        fix: Arc<Fix>,
        at: At,
        given: &Map<String, Value>,
        cloud: Arc<dyn Cloud>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, RemedyError> {
        let target = target_of(&fix, &at.resource)?;
        let mut params = Map::new();
        for parameter in &fix.parameters {
            let value = given.get(&*parameter.name).or(parameter.default.as_ref());
            let missing = || RemedyError::Parameter {
                fix: fix.id.to_string(),
                name: parameter.name.to_string(),
                doc: parameter.doc.to_string(),
            };
            params.insert(parameter.name.to_string(), value.ok_or_else(missing)?.clone());
        }
        Ok(Self { fix, target, at, params, cloud, clock })
    }

    /// The same as the plan of a remediation says.
    ///
    /// # Errors
    /// When the fix is not for such a resource.
    pub fn of(
        remediation: &Remediation,
        fix: Arc<Fix>,
        cloud: Arc<dyn Cloud>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, RemedyError> {
        let plan = &remediation.plan;
        Self::new(fix, plan.at.clone(), &plan.params, cloud, clock)
    }

    /// The fix.
    #[must_use]
    pub fn fix(&self) -> &Fix {
        &self.fix
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Where calls are made. Reads share a session; what writes has one of its own.
    fn place(&self, remediation: Option<&Remediation>, index: usize) -> Place {
        self.place_of(remediation.map(|remediation| &*remediation.id), index)
    }

    fn place_of(&self, remediation: Option<&str>, index: usize) -> Place {
        Place {
            account: self.at.account.clone(),
            region: self.at.region.clone(),
            remediation: remediation.map(Into::into),
            token: remediation.map(|id| format!("{id}-{index}").into()).unwrap_or_default(),
        }
    }

    fn formula(&self, place: &str, source: FormulaError) -> RemedyError {
        untold(&self.fix, place, source)
    }
}

/// An expression of a fix has no value.
fn untold(fix: &Fix, place: &str, source: FormulaError) -> RemedyError {
    RemedyError::Formula { fix: fix.id.to_string(), place: place.to_owned(), source }
}

/// The target that a resource is to a fix.
///
/// # Errors
/// When the fix is not for such a resource.
pub fn target_of(fix: &Fix, resource: &ResourceId) -> Result<Target, RemedyError> {
    fix.target_of(resource).ok_or_else(|| RemedyError::NotForThis {
        fix: fix.id.to_string(),
        resource: resource.to_string(),
        forms: {
            let ways = fix.locate.iter().map(|way| &way.from);
            fix.target.iter().chain(ways).map(|form| format!("`{form}`")).collect::<Vec<_>>().join(", ")
        },
    })
}

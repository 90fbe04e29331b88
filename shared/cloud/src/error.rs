//! Why a call failed, and what is known about what it did.

use std::fmt::Write as _;

use amend_models::Wrong;
use serde::{Deserialize, Serialize};

/// Why a call failed.
#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "because", rename_all = "kebab-case")]
pub enum CallError {
    /// The arguments do not fit the API's description: nothing was sent.
    #[error("`{call}` was not sent: {}", first(wrong))]
    Args {
        /// The call.
        call: String,
        /// What is wrong.
        wrong: Vec<Wrong>,
    },
    /// The call could not be made: no credentials, no endpoint, not configured.
    #[error("`{call}` was not sent: {reason}")]
    NotReached {
        /// The call.
        call: String,
        /// Why.
        reason: String,
    },
    /// The cloud answered with an error.
    #[error("`{call}` was refused: {code}{}", detail(message, *status, request_id))]
    Refused {
        /// The call.
        call: String,
        /// The cloud's code for the error.
        code: String,
        /// Its message; empty, where it gave none.
        message: String,
        /// The HTTP status.
        status: u16,
        /// The cloud's name for the request.
        request_id: Option<String>,
    },
    /// Nobody answered.
    #[error("`{call}` got no answer: {reason}")]
    NoAnswer {
        /// The call.
        call: String,
        /// Why.
        reason: String,
        /// Whether it certainly never arrived.
        unsent: bool,
    },
    /// The executor of the account does not do it: nothing was sent.
    #[error("`{call}` was not sent: the executor `{by}` declines: {why}")]
    Declined {
        /// The call.
        call: String,
        /// The executor.
        by: String,
        /// Why.
        why: String,
        /// For how long.
        lasts: Lasts,
    },
    /// The executor of the account finds another resource than the plan was made for: nothing was sent.
    #[error("`{call}` was not sent: the executor `{by}` finds that {why}")]
    Changed {
        /// The call.
        call: String,
        /// The executor.
        by: String,
        /// What it finds.
        why: String,
    },
    /// The answer cannot be read.
    #[error("the answer to `{call}` cannot be read: {reason}")]
    Unreadable {
        /// The call.
        call: String,
        /// Why.
        reason: String,
    },
}

/// For how long an executor declines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lasts {
    /// Asking again does not help.
    ForGood,
    /// It may pass: a clock, a key or a version that is not right, a deployment.
    ForNow,
    /// Until the account's own team lets it go on.
    WhileStopped,
}

/// What a failed call did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// Perhaps something: only reading tells.
    Unknown,
}

impl CallError {
    /// What the call did: only an answer that says so, or a request that never left, did nothing.
    #[must_use]
    pub fn effect(&self) -> Effect {
        match self {
            Self::Args { .. }
            | Self::NotReached { .. }
            | Self::NoAnswer { unsent: true, .. }
            | Self::Declined { .. }
            | Self::Changed { .. } => Effect::None,
            Self::Refused { status, .. } if (400..500).contains(status) => Effect::None,
            Self::Refused { .. } | Self::NoAnswer { .. } | Self::Unreadable { .. } => Effect::Unknown,
        }
    }

    /// The same about a call that was accepted, and whose going on cannot be followed: whatever kept us
    /// from looking, it is not known what was done.
    #[must_use]
    pub(crate) fn begun(self) -> Self {
        if self.effect() == Effect::Unknown {
            return self;
        }
        let call = match &self {
            Self::Args { call, .. }
            | Self::NotReached { call, .. }
            | Self::Refused { call, .. }
            | Self::Declined { call, .. }
            | Self::Changed { call, .. }
            | Self::NoAnswer { call, .. }
            | Self::Unreadable { call, .. } => call.clone(),
        };
        Self::NoAnswer { call, reason: format!("it was begun, and cannot be followed: {self}"), unsent: false }
    }

    /// The cloud's code for the error, where it answered.
    #[must_use]
    pub fn refused_code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => Some(code),
            _ => None,
        }
    }

    /// Whether the cloud refused because of missing permissions.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        match self {
            Self::Refused { status, code, .. } => {
                matches!(status, 401 | 403) || code.contains("AccessDenied") || code == "UnauthorizedOperation"
            }
            _ => false,
        }
    }

    /// Whether it may pass by itself: throttled, broken off, a failure of the cloud's own.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Refused { status, .. } => !self.is_denied() && (!(400..500).contains(status) || *status == 429),
            Self::Args { .. } | Self::Changed { .. } => false,
            Self::Declined { lasts, .. } => *lasts != Lasts::ForGood,
            _ => true,
        }
    }

    /// Whether the account's own team stopped everything there.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        matches!(self, Self::Declined { lasts: Lasts::WhileStopped, .. })
    }

    /// A stable name for logs and metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Args { .. } => "cloud.args",
            Self::NotReached { .. } => "cloud.not-reached",
            Self::Refused { .. } => "cloud.refused",
            Self::Declined { .. } => "executor.declined",
            Self::Changed { .. } => "executor.changed",
            Self::NoAnswer { .. } => "cloud.no-answer",
            Self::Unreadable { .. } => "cloud.unreadable",
        }
    }
}

fn first(wrong: &[Wrong]) -> String {
    let Some(Wrong { path, message, hint }) = wrong.first() else { return "its arguments do not fit".into() };
    let mut text = if path.is_empty() { message.clone() } else { format!("`{path}` {message}") };
    if let Some(hint) = hint {
        let _ = write!(text, " ({hint})");
    }
    if let Some(more) = wrong.len().checked_sub(1).filter(|more| *more > 0) {
        let _ = write!(text, ", and {more} more");
    }
    text
}

fn detail(message: &str, status: u16, request_id: &Option<String>) -> String {
    let mut text = if message.is_empty() { String::new() } else { format!(": {message}") };
    let _ = write!(text, " (status {status}");
    if let Some(id) = request_id {
        let _ = write!(text, ", request {id}");
    }
    text.push(')');
    text
}

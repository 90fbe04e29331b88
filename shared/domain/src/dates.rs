//! Dates that people set: another due date, and the day on which an owner means to be done.

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::{
    decision::Outcome,
    problem::{Place, Problem, State},
};

/// Who moved a due date, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// From when; nothing, where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Who.
    pub by: Box<str>,
    /// When they did.
    pub at: Timestamp,
    /// Why.
    pub why: Box<str>,
}

/// When an owner means to be done. It moves no due date.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Eta {
    /// The end of that day, in UTC.
    pub on: Timestamp,
    /// Who said so.
    pub by: Box<str>,
    /// When they did.
    pub at: Timestamp,
    /// What they said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Box<str>>,
}

/// What is said of the dates of a problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It is due then.
    Due(Timestamp, Moved),
    /// It will be done then.
    Eta(Eta),
    /// Somebody takes that back.
    NoEta {
        /// Who.
        by: Box<str>,
    },
}

/// Why a date cannot be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoDate {
    /// The problem is closed.
    #[error("it is not there any more")]
    Closed,
    /// It is in the backlog.
    #[error("it is in the backlog: its dates are set when it is released")]
    Backlog,
    /// No rule governs it.
    #[error("no rule governs it, so nothing is due")]
    Ungoverned,
    /// The day is over.
    #[error("that day is over")]
    Past,
}

/// The end of a day: a date holds as long as that day does, in UTC.
#[must_use]
pub fn end_of(day: Date) -> Option<Timestamp> {
    let next = day.tomorrow().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp();
    next.checked_sub(jiff::SignedDuration::from_secs(1)).ok()
}

impl Problem {
    /// Sets a date, as somebody says.
    ///
    /// # Errors
    /// When it has no dates, or the day is over.
    pub fn set_date(&mut self, said: &Said, now: Timestamp) -> Result<(), NoDate> {
        match (self.state, self.place) {
            (State::Closed(_), _) => return Err(NoDate::Closed),
            (State::Open, Place::Backlog) => return Err(NoDate::Backlog),
            _ if self.decision.outcome != Outcome::Governed => return Err(NoDate::Ungoverned),
            _ => {}
        }
        match said {
            Said::Due(on, _) if *on < now => return Err(NoDate::Past),
            Said::Eta(eta) if eta.on < now => return Err(NoDate::Past),
            Said::Due(on, moved) => {
                self.moved = Some(Moved { from: self.due, ..moved.clone() });
                self.set_due(Some(*on));
            }
            Said::Eta(eta) => self.eta = Some(eta.clone()),
            Said::NoEta { .. } => self.eta = None,
        }
        Ok(())
    }
}

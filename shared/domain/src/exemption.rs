//! Exemptions of Amend's own: what two people agreed to let be for a while, and why.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::settings::Setting;

/// What an exemption says of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Category {
    /// It is there, and is lived with.
    RiskAccepted,
    /// Something else keeps it from doing harm.
    Mitigated,
    /// It is not there: the source is wrong.
    FalsePositive,
}

impl Category {
    /// The word used in commands, JSON and the audit trail.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RiskAccepted => "risk-accepted",
            Self::Mitigated => "mitigated",
            Self::FalsePositive => "false-positive",
        }
    }
}

/// One exemption. It counts from a second person's word until its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exemption {
    /// Its id: `x-` and 26 characters.
    pub id: Box<str>,
    /// The resource, resource group or account that it is about, by its canonical id.
    pub on: Box<str>,
    /// What may be wrong there; anything, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setting: Option<Setting>,
    /// What it says of that.
    pub category: Category,
    /// Why.
    pub why: Box<str>,
    /// Who asked for it.
    pub by: Box<str>,
    /// When.
    pub at: Timestamp,
    /// When it ends.
    pub until: Timestamp,
    /// When that is said.
    pub remind: Timestamp,
    /// Who agreed. Nobody did yet, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<Approval>,
}

/// The word of the second person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Who.
    pub by: Box<str>,
    /// When.
    pub at: Timestamp,
}

/// Why somebody cannot agree to an exemption.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Disagreed {
    /// They asked for it.
    #[error("whoever asked for an exemption cannot approve it")]
    OwnRequest,
    /// Somebody did before.
    #[error("it was approved before")]
    Approved,
    /// It has ended.
    #[error("its time is over")]
    Over,
}

impl Exemption {
    /// Has a second person agree.
    ///
    /// # Errors
    /// When they are the first, it was approved before, or it has ended.
    pub fn approve(&mut self, by: &str, now: Timestamp) -> Result<(), Disagreed> {
        // INVARIANT: it takes two.
        if by.trim().eq_ignore_ascii_case(self.by.trim()) {
            return Err(Disagreed::OwnRequest);
        }
        if self.approved.is_some() {
            return Err(Disagreed::Approved);
        }
        if self.until <= now {
            return Err(Disagreed::Over);
        }
        self.approved = Some(Approval { by: by.into(), at: now });
        Ok(())
    }
}

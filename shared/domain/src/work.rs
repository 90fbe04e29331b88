//! Work: what is to be done next about a problem or a remediation, when, and who is at it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkKind {
    /// Plan what would close a problem, and go as far as its rule lets.
    Remedy,
    /// Take a remediation from its state to the next.
    Advance,
    /// Find the ticket that a problem belongs to.
    File,
    /// Tell a tracker what changed about a ticket.
    Tell,
    /// Send a notice.
    Send,
    /// Tell a system that a problem comes from what became of it.
    Sync,
}

impl WorkKind {
    /// What the fixer does.
    pub const FIXING: [Self; 2] = [Self::Remedy, Self::Advance];
    /// What is done about tickets.
    pub const TICKETS: [Self; 2] = [Self::File, Self::Tell];
    /// What is done about notices.
    pub const NOTICES: [Self; 2] = [Self::Send, Self::Send];
    /// What is done with the systems that problems come from.
    pub const SYNCS: [Self; 2] = [Self::Sync, Self::Sync];

    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Remedy => "remedy",
            Self::Advance => "advance",
            Self::File => "file",
            Self::Tell => "tell",
            Self::Send => "send",
            Self::Sync => "sync",
        }
    }

    /// Reads a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let all = [Self::Remedy, Self::Advance, Self::File, Self::Tell, Self::Send, Self::Sync];
        all.into_iter().find(|kind| kind.as_str() == word)
    }

    /// The name of such work about a problem or a remediation. There is one of it at a time.
    #[must_use]
    pub fn key(self, subject: &str) -> String {
        format!("{}:{subject}", self.as_str())
    }
}

/// A piece of work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// Its name.
    pub key: String,
    /// What is to be done.
    pub kind: WorkKind,
    /// About which problem or remediation, by id.
    pub subject: String,
    /// When.
    pub due: Timestamp,
    /// How often it was taken up since it last got on.
    pub attempts: u32,
    /// Until when somebody is at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_until: Option<Timestamp>,
    /// Since when it waits for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parked: Option<Timestamp>,
    /// Why it was put off, or waits for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// The right to do a piece of work, for a while. A later one has a higher number, and ends those before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The name of the work.
    pub key: String,
    /// Who has it.
    pub holder: String,
    /// Its number.
    pub fence: i64,
}

/// What becomes of a piece of work that somebody was at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    /// It is done.
    Done,
    /// It goes on later: it got on, and waits.
    Later {
        /// When.
        at: Timestamp,
    },
    /// A guard holds it back for a while.
    Held {
        /// When to look again.
        at: Timestamp,
        /// Which guard, and why.
        why: String,
    },
    /// It is tried again: it did not get on.
    Again {
        /// When.
        at: Timestamp,
        /// Why.
        why: String,
    },
    /// It is done, and a problem is to be looked at afresh.
    Afresh {
        /// The problem.
        problem: String,
        /// When.
        at: Timestamp,
        /// Why a person must say so first, where that is so.
        parked: Option<String>,
    },
    /// It waits for a person.
    Parked {
        /// Why.
        why: String,
    },
}

/// Nothing is written: a person stopped it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// Who did.
    pub by: Box<str>,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub why: Box<str>,
}

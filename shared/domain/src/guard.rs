//! What guards say of a remediation: what keeps it from doing harm.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{exemption::Exemption, ids::RuleId, resource::AccountId};

/// What a guard says, the mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "says")]
pub enum Says {
    /// It has nothing against it.
    Pass,
    /// Only with a person's word.
    Ask,
    /// Not yet.
    Wait {
        /// When to look again.
        until: Timestamp,
    },
    /// No.
    No,
}

/// What one guard says, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// The guard.
    pub guard: Box<str>,
    /// What it says.
    #[serde(flatten)]
    pub says: Says,
    /// Why.
    pub why: Box<str>,
}

impl Check {
    /// A guard's word.
    #[must_use]
    pub fn new(guard: &str, says: Says, why: impl Into<Box<str>>) -> Self {
        Self { guard: guard.into(), says, why: why.into() }
    }
}

/// The word that counts: the strictest. Nothing, where all pass.
#[must_use]
pub fn strictest(checks: &[Check]) -> Option<&Check> {
    checks.iter().filter(|check| check.says != Says::Pass).max_by(|a, b| a.says.cmp(&b.says))
}

/// What was done and seen lately, as guards count it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Open problems of the setting that began since the time asked for.
    pub surge: u64,
    /// When the setting was first seen wrong anywhere.
    pub first_seen: Option<Timestamp>,
    /// Remediations that failed or were parked.
    pub failed: u64,
    /// What was begun by itself to be written.
    pub begun: Begun,
    /// Holds that cover the resource or its account, and all that are on tags: which it bears is not known here.
    pub holds: Vec<Hold>,
    /// Exemptions of Amend's own that cover the setting there, approved or not.
    pub exemptions: Vec<Exemption>,
}

/// What begins to write by itself, counted by reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Begun {
    /// In all.
    pub all: u64,
    /// In one account.
    pub in_account: u64,
    /// For one rule.
    pub for_rule: u64,
}

/// How much may begin to write by itself since a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Since when it is counted.
    pub since: Timestamp,
    /// The most.
    pub most: Begun,
}

impl Budget {
    /// Why something of this reach would be too much after what was begun; nothing, where it fits.
    #[must_use]
    pub fn exceeded(&self, begun: &Begun, reach: u64) -> Option<String> {
        let each = [
            ("in all", begun.all, self.most.all),
            ("in the account", begun.in_account, self.most.in_account),
            ("for the rule", begun.for_rule, self.most.for_rule),
        ];
        let (what, begun, most) = each.into_iter().find(|(_, begun, most)| begun.saturating_add(reach) > *most)?;
        Some(format!("{begun} were begun {what} within an hour, this reaches {reach}, and {most} may be"))
    }
}

/// Nothing is done about a resource, an account, or all with a tag, until a day: a person said so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Its id: `h-` and 26 characters.
    pub id: Box<str>,
    /// The resource or account, by its canonical id; or `tag:key`, `tag:key=value`.
    pub on: Box<str>,
    /// Until when.
    pub until: Timestamp,
    /// Who said so.
    pub by: Box<str>,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub why: Box<str>,
}

impl Hold {
    /// The key of the tag that it is on, and its value, where only that one counts.
    #[must_use]
    pub fn tag(&self) -> Option<(&str, Option<&str>)> {
        let tag = self.on.strip_prefix(TAG)?;
        Some(tag.split_once('=').map_or((tag, None), |(key, value)| (key, Some(value))))
    }
}

/// What a hold on a tag begins with.
pub const TAG: &str = "tag:";

/// What is asked about.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// The setting.
    pub setting: &'a str,
    /// The resource that was assessed.
    pub assessed: &'a str,
    /// The resource that would be changed.
    pub changed: &'a str,
    /// Its account.
    pub account: Option<&'a AccountId>,
    /// The rule.
    pub rule: Option<&'a RuleId>,
    /// Since when things are counted.
    pub since: Timestamp,
    /// Now: holds that have ended by then count for nothing.
    pub now: Timestamp,
}

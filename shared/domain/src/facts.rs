//! What an event does not carry and a rule may ask for: ancestry, tags, and the time.

use std::{collections::BTreeMap, fmt, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::scope::ScopeId;

/// The tags (Azure, AWS) or labels (Google Cloud) of something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tags(pub BTreeMap<String, String>);

impl Tags {
    /// The value under `key`, whose case does not matter (Azure ignores it too).
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0
            .get(key)
            .or_else(|| self.0.iter().find(|(k, _)| k.eq_ignore_ascii_case(key)).map(|(_, value)| value))
            .map(String::as_str)
    }
}

/// Something known, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known<T> {
    /// What it is.
    pub value: T,
    /// Where it was read: `facts.yaml`, an API.
    pub source: Arc<str>,
    /// When it was read.
    pub read: Timestamp,
}

/// A fact is known, or it is not; there is no guess.
pub type Fact<T> = Option<Arc<Known<T>>>;

/// All that is known about one assessed resource, at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Now: what `age` counts to.
    pub now: Timestamp,
    /// The management scopes above the account, outermost first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ancestors: Fact<Vec<ScopeId>>,
    /// The tags of the resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Fact<Tags>,
    /// The tags of its resource group; Azure only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_tags: Fact<Tags>,
    /// The tags of its subscription, account or project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_tags: Fact<Tags>,
    /// What the account is called by people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_name: Option<Arc<str>>,
    /// What was asked for in vain, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<(Need, Arc<str>)>,
}

impl Facts {
    /// Nothing known but the time.
    #[must_use]
    pub fn none(now: Timestamp) -> Self {
        Self {
            now,
            ancestors: None,
            tags: None,
            group_tags: None,
            account_tags: None,
            account_name: None,
            unread: Vec::new(),
        }
    }
}

/// What would have to be known: a small set.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Vec<Need>", into = "Vec<Need>")]
pub struct Needs(u16);

/// One thing that a decision lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Need {
    /// The management scopes above the account.
    Ancestors = 0,
    /// The tags of the resource.
    Tags = 1,
    /// The tags of its resource group.
    GroupTags = 2,
    /// The tags of its account.
    AccountTags = 3,
    /// Risk, which only Defender CSPM evaluates.
    Risk = 4,
    /// The severity, which the event did not carry.
    Severity = 5,
    /// The account, which the event did not carry.
    Account = 6,
    /// When the finding began, which the event did not carry.
    Time = 7,
    /// An expression that fails on this assessment.
    Expression = 8,
    /// A condition of a Defender governance rule that Amend cannot evaluate.
    Evaluator = 9,
    /// The security connector that sees the resource, which only Defender's own events carry.
    Connector = 10,
}

impl Need {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Ancestors,
        Self::Tags,
        Self::GroupTags,
        Self::AccountTags,
        Self::Risk,
        Self::Severity,
        Self::Account,
        Self::Time,
        Self::Expression,
        Self::Evaluator,
        Self::Connector,
    ];

    /// Whether the clouds themselves can be asked.
    #[must_use]
    pub fn can_be_read(self) -> bool {
        matches!(self, Self::Ancestors | Self::Tags | Self::GroupTags | Self::AccountTags)
    }

    /// What is missing, in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Ancestors => "the management scopes above the account",
            Self::Tags => "the tags of the resource",
            Self::GroupTags => "the tags of the resource group",
            Self::AccountTags => "the tags of the account",
            Self::Risk => "the risk level (Defender CSPM evaluates it)",
            Self::Severity => "the severity",
            Self::Account => "the account",
            Self::Time => "when the finding began",
            Self::Expression => "an expression that can be evaluated here",
            Self::Evaluator => "a condition that Amend can evaluate",
            Self::Connector => "the security connector that sees the resource",
        }
    }

    /// Its place in the bits of [`Needs`].
    pub(crate) fn bit(self) -> u16 {
        1_u16.checked_shl(self as u32).unwrap_or(0)
    }
}

impl Needs {
    /// Nothing.
    pub const NONE: Self = Self(0);

    /// Those whose bits ([`Need::bit`]) are set.
    pub(crate) fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// Everything.
    #[must_use]
    pub fn all() -> Self {
        Self::from(Need::ALL.to_vec())
    }

    /// What both lack.
    #[must_use]
    pub fn shared_with(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Adds one.
    pub fn add(&mut self, need: Need) {
        self.0 |= need.bit();
    }

    /// Both together.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether nothing is missing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0 == 0
    }

    /// Those in the set.
    pub fn iter(self) -> impl Iterator<Item = Need> {
        Need::ALL.into_iter().filter(move |need| self.0 & need.bit() != 0)
    }
}

impl From<Vec<Need>> for Needs {
    fn from(list: Vec<Need>) -> Self {
        let mut needs = Self::NONE;
        for need in list {
            needs.add(need);
        }
        needs
    }
}

impl From<Needs> for Vec<Need> {
    fn from(needs: Needs) -> Self {
        needs.iter().collect()
    }
}

impl fmt::Debug for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, need) in self.iter().enumerate() {
            write!(f, "{}{}", if at == 0 { "" } else { ", " }, need.words())?;
        }
        Ok(())
    }
}

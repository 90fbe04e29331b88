//! The names that an expression may use, and what those that are texts stand for.

use super::MAX_TEXT;
use crate::assessment::Assessment;

/// Implements the names that an expression may use.
macro_rules! names {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal, $lower:literal;)+) => {
        /// A name that an expression may use.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Name { $($(#[doc = $doc])* $variant),+ }

        impl Name {
            /// All of them, in the order of the manual.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name as written.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// What it stands for, in a sentence for the manual.
            #[must_use]
            pub fn doc(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),*)),+ }
            }

            /// Whether its value is lower-cased, so that literals compared with it are, too.
            #[must_use]
            pub fn ignores_case(self) -> bool {
                match self { $(Self::$variant => $lower),+ }
            }
        }
    };
}

names! {
    /// The recommendation's key: `defender:<guid>`, `securityhub:s3.8`.
    Key = "key", true;
    /// The recommendation's title, as the source writes it.
    Title = "name", false;
    /// Defender's `recommendationCategory`, or null.
    Category = "category", true;
    /// The areas (`categories`) that the recommendation belongs to, a list.
    Areas = "areas", true;
    /// The Azure Policy definition behind it, or null.
    Policy = "policy", true;
    /// Who says so: `defender`, `policy-state`, `security-hub`, `scc`.
    Source = "source", true;
    /// `low`, `medium`, `high`, `critical`; unknown where the event has none.
    Severity = "severity", true;
    /// The risk level; unknown without Defender CSPM.
    Risk = "risk", true;
    /// The risk factors, a list; unknown without Defender CSPM.
    RiskFactors = "risk_factors", true;
    /// How many attack paths lead through the resource; unknown without Defender CSPM.
    AttackPaths = "attack_paths", false;
    /// `azure`, `aws`, `gcp`, `other`.
    Cloud = "cloud", true;
    /// The resource's type, or null.
    Kind = "type", true;
    /// The region, or null.
    Region = "region", true;
    /// `/subscriptions/…`, `aws:…`, `gcp:projects/…`; unknown where the event has none.
    Account = "account", true;
    /// The Azure resource group's id, or null.
    Group = "group", true;
    /// The resource's native id, as its cloud writes it (ARM ids lower-cased).
    Resource = "resource", false;
    /// What people call the resource.
    ResourceName = "resource_name", false;
    /// The Defender security connector, or null.
    Connector = "connector", true;
    /// Whole days since the finding began; unknown where the event has no date.
    AgeDays = "age_days", false;
    /// The management scopes above the account, outermost first; a fact.
    Ancestors = "ancestors", true;
    /// The resource's tags: `tags.env`, `tags['cost centre']`; keys have no case; null where the tag is missing; a fact.
    Tags = "tags", false;
    /// The tags of its resource group; a fact.
    GroupTags = "group_tags", false;
    /// The tags of its account; a fact.
    AccountTags = "account_tags", false;
}

impl Name {
    /// The text it stands for, or null; nothing where it is no text, or not known.
    pub(super) fn text(self, a: &Assessment) -> Option<Option<&str>> {
        Some(match self {
            Self::Key => Some(a.recommendation.key.as_str()),
            // What is over the limit is as good as not known.
            Self::Title if a.recommendation.title.len() > MAX_TEXT => return None,
            Self::Title => Some(&a.recommendation.title),
            Self::Category => a.recommendation.category.as_deref(),
            Self::Policy => a.recommendation.policy.as_deref(),
            Self::Source => Some(a.source.as_str()),
            Self::Severity => Some(a.severity?.as_str()),
            Self::Risk => Some(a.risk.as_ref()?.level.as_str()),
            Self::Cloud => Some(a.resource.cloud.as_str()),
            Self::Kind => a.resource.kind.as_deref(),
            Self::Region => a.resource.region.as_deref(),
            Self::Account => Some(a.resource.account.as_ref()?.as_str()),
            Self::Group => a.resource.group(),
            Self::Resource => Some(a.resource.id.as_str()),
            Self::ResourceName => Some(&a.resource.name),
            Self::Connector => a.resource.connector.as_deref(),
            Self::Areas
            | Self::RiskFactors
            | Self::AttackPaths
            | Self::AgeDays
            | Self::Ancestors
            | Self::Tags
            | Self::GroupTags
            | Self::AccountTags => return None,
        })
    }

    pub(super) fn of(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|name| name.as_str() == text)
    }
}

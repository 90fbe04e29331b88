//! The one form that every notification becomes: an assessment of one resource by one source.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    ids::{AssessmentId, RecommendationKey, TenantId},
    resource::Resource,
};

/// Who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Microsoft Defender for Cloud.
    Defender,
    /// Azure Policy compliance states (`Microsoft.PolicyInsights`).
    PolicyState,
    /// AWS Security Hub, ASFF or OCSF.
    SecurityHub,
    /// Google Cloud Security Command Center.
    Scc,
}

impl Source {
    /// The word used in rules, JSON and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Defender => "defender",
            Self::PolicyState => "policy-state",
            Self::SecurityHub => "security-hub",
            Self::Scc => "scc",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Implements an enum of ordered words that unknown values survive in none of: what is not listed
/// is read as nothing, and the condition on it is unknown.
macro_rules! levels {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// All of them, lowest first.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word used in rules, JSON and logs.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// Reads the word, in any case.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|level| level.as_str().eq_ignore_ascii_case(text))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

levels! {
    /// How bad the recommendation is in general (`metadata.severity`).
    Severity { /// Low.
        Low = "low", /// Medium.
        Medium = "medium", /// High.
        High = "high", /// Critical (api-version 2025-05-04 on).
        Critical = "critical" }
}

levels! {
    /// How bad it is on this resource (`risk.level`); only Defender CSPM evaluates it.
    RiskLevel { /// Low.
        Low = "low", /// Medium.
        Medium = "medium", /// High.
        High = "high", /// Critical.
        Critical = "critical" }
}

/// Risk as Defender CSPM evaluated it (`risk`, api-version 2025-05-04).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Risk {
    /// The level.
    pub level: RiskLevel,
    /// Why, lower-cased: `exposure to the internet`, `sensitive data`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub factors: Vec<Box<str>>,
    /// How many attack paths lead through the resource.
    #[serde(default)]
    pub attack_paths: u32,
}

/// What the source found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StatusCode {
    /// As it should be.
    Healthy,
    /// Not as it should be.
    Unhealthy,
    /// Does not count: exempt, switched off by policy, not covered by the plan.
    NotApplicable,
    /// A value this version does not know; the original is in [`Status::cause`] or the raw record.
    Other,
}

impl StatusCode {
    /// The word used in JSON and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::NotApplicable => "not-applicable",
            Self::Other => "other",
        }
    }
}

/// What the source found, and since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The finding.
    pub code: StatusCode,
    /// Why, in the source's own word: `Exempt`, `OffByPolicy`, `SUPPRESSED`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Box<str>>,
    /// When it last changed (`statusChangeDate`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<Timestamp>,
    /// When the resource was first assessed (`firstEvaluationDate`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_evaluated: Option<Timestamp>,
}

/// What the source did with the assessment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Created or evaluated again (`Insert`), or read by us.
    Report,
    /// The resource is gone, or the recommendation is retired (`Delete`).
    Delete,
    /// A word this version does not know: recorded, and nothing is started.
    Unknown,
}

/// The kind of an assessment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recommendation {
    /// What it is called by machines.
    pub key: RecommendationKey,
    /// What it is called by people.
    pub title: Box<str>,
    /// Defender's `recommendationCategory` of an individual recommendation, lower-cased:
    /// `softwareupdate`, `exposedsecrets`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<Box<str>>,
    /// The areas it belongs to (`categories`), lower-cased: `data`, `compute`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub areas: Vec<Box<str>>,
    /// The Azure Policy definition behind it, lower-cased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Box<str>>,
    /// The steps for a person, as the source gives them (HTML from Defender).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remediation: Option<Box<str>>,
}

/// One assessment of one resource, whichever source and form it came in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assessment {
    /// Whose it is.
    pub tenant: TenantId,
    /// Who says so.
    pub source: Source,
    /// What it is called by its source.
    pub id: AssessmentId,
    /// What was assessed.
    pub recommendation: Recommendation,
    /// The resource that was assessed.
    pub resource: Resource,
    /// What was found.
    pub status: Status,
    /// How bad that is in general.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// How bad it is here; absent without Defender CSPM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk: Option<Risk>,
    /// What the source did.
    pub action: Action,
    /// Whether it is part of a snapshot or an import: it says how things stand, not what changed.
    #[serde(default)]
    pub snapshot: bool,
    /// When the envelope says that the event happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<Timestamp>,
    /// Where a person can look at it, with its scheme.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<Box<str>>,
    /// The source's free-form details (`additionalData`), as JSON text, uninterpreted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Box<str>>,
}

/// Which of two reports of one assessment is the later one.
///
/// Ordered by time, and at the same time a deletion wins over Healthy and NotApplicable, and those
/// over Unhealthy: when in doubt, do not act.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version {
    /// Microseconds since 1970, UTC. Absent means *record only*: nothing is older than it.
    pub micros: Option<i64>,
    /// Which wins at the same time.
    pub rank: u8,
    /// The fields a decision depends on; the same again has no effect.
    pub fingerprint: Box<str>,
}

impl Assessment {
    /// When this became so: the status change, else the envelope's time.
    #[must_use]
    pub fn time(&self) -> Option<Timestamp> {
        self.status.changed.or(self.sent)
    }

    /// Its place among the reports of the same assessment.
    #[must_use]
    pub fn version(&self) -> Version {
        let rank = match (self.action, self.status.code) {
            (Action::Delete, _) => 2,
            (_, StatusCode::Healthy | StatusCode::NotApplicable) => 1,
            (_, StatusCode::Unhealthy | StatusCode::Other) => 0,
        };
        let fingerprint = format!(
            "{rank}|{}|{}|{}|{}|{}",
            self.status.code.as_str(),
            self.status.cause.as_deref().unwrap_or_default(),
            self.severity.map_or("", Severity::as_str),
            self.risk.as_ref().map_or("", |risk| risk.level.as_str()),
            self.recommendation.category.as_deref().unwrap_or_default(),
        );
        Version { micros: self.time().map(Timestamp::as_microsecond), rank, fingerprint: fingerprint.into() }
    }

    /// Whether it says that something is wrong now.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.action == Action::Report && self.status.code == StatusCode::Unhealthy
    }

    /// Whether an exemption, not a repair, made it quiet.
    #[must_use]
    pub fn is_exempt(&self) -> bool {
        self.status.code == StatusCode::NotApplicable
            && self.status.cause.as_deref().is_some_and(|cause| {
                ["exempt", "suppressed", "muted"].iter().any(|word| cause.eq_ignore_ascii_case(word))
            })
    }
}

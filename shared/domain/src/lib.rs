//! What things are, and what follows from them.
//!
//! Everything here is a value or a pure function: no I/O, no clock, no environment, no YAML. Read
//! [`assessment`] for what comes in, [`rule`] and [`ruleset`] for how it is decided, [`decision`]
//! for what comes out, and [`problem`] for what is remembered. [`expr`] is the only file that
//! knows CEL.

pub mod assessment;
pub mod assignment;
pub mod audit;
pub mod decision;
pub mod digest;
pub mod exemption;
pub mod explain;
pub mod expr;
pub mod facts;
pub mod fix;
pub mod guard;
pub mod ids;
pub mod notice;
pub mod owners;
pub mod pattern;
pub mod plan;
pub mod policy;
pub mod ports;
pub mod problem;
pub mod resource;
pub mod rule;
pub mod ruleset;
pub mod said;
pub mod scope;
pub mod settings;
pub mod sync;
pub mod target;
pub mod task;
pub mod thing;
pub mod ticket;
pub mod timeframe;
pub mod truth;
pub mod work;

pub use assessment::{Action, Assessment, Recommendation, Risk, RiskLevel, Severity, Source, Status, StatusCode};
pub use decision::{Decision, Outcome, Owner};
pub use facts::{Fact, Facts, Needs, Tags};
pub use ids::{AssessmentId, ProblemId, RecommendationKey, RuleId, TenantId, TicketId};
pub use problem::Problem;
pub use resource::{AccountId, Cloud, Resource, ResourceId};
pub use rule::Rule;
pub use ruleset::{RuleSet, Verdict};
pub use scope::ScopeId;
pub use settings::{Setting, Settings};
pub use timeframe::Timeframe;
pub use truth::Truth;

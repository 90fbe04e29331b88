//! From bytes to assessments: every form that Defender for Cloud, Event Grid, Event Hubs, Logic
//! Apps, Security Hub and Security Command Center send. Pure functions, no I/O.
//!
//! [`read`] takes a delivery apart: an envelope (one file each: [`mod@event_grid`],
//! [`mod@cloud_events`], [`mod@event_hub`], [`mod@pub_sub`], [`mod@event_bridge`], [`mod@plain`])
//! holds payloads (one file each: [`mod@defender`], [`mod@policy_state`], [`mod@security_hub`],
//! [`mod@ocsf`], [`mod@scc`]). What cannot be read is kept with the JSON path that failed, and does
//! not take its neighbours with it. Facts about the forms: docs/events.md.

pub mod cloud_events;
pub mod defender;
pub mod event_bridge;
pub mod event_grid;
pub mod event_hub;
mod limits;
pub mod ocsf;
mod payload;
pub mod plain;
pub mod policy_state;
pub mod pub_sub;
pub mod scc;
pub mod security_hub;
mod wire;

use amend_domain::{Assessment, TenantId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use limits::{Limits, Refused};

/// How a delivery is wrapped: which door it came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// The Event Grid schema: an array of events.
    EventGrid,
    /// CloudEvents 1.0: structured, batch, or binary.
    CloudEvents,
    /// A batch of Event Hubs events: an array, or `{"records": […]}`.
    EventHubs,
    /// A Pub/Sub push.
    PubSub,
    /// A Pub/Sub message inside a CloudEvent.
    Eventarc,
    /// An Amazon EventBridge event.
    EventBridge,
    /// The body of the Logic App trigger for Defender recommendations.
    LogicApp,
    /// A bare body, or any of the others: told by its shape.
    Plain,
}

impl Form {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::EventGrid,
        Self::CloudEvents,
        Self::EventHubs,
        Self::PubSub,
        Self::Eventarc,
        Self::EventBridge,
        Self::LogicApp,
        Self::Plain,
    ];

    /// The word used in routes, JSON and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EventGrid => "event-grid",
            Self::CloudEvents => "cloud-events",
            Self::EventHubs => "event-hubs",
            Self::PubSub => "pub-sub",
            Self::Eventarc => "eventarc",
            Self::EventBridge => "event-bridge",
            Self::LogicApp => "logic-app",
            Self::Plain => "plain",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.as_str() == text)
    }
}

/// What the receiver knows about a delivery before it is opened.
#[derive(Clone, Debug)]
pub struct Context {
    /// The tenant of sources that name none (Security Hub, SCC).
    pub tenant: TenantId,
    /// Whether this is an import: how things stand, not what changed.
    pub snapshot: bool,
    /// The attributes of a CloudEvent in binary mode (`ce-type`, `ce-time`, …), by name without
    /// `ce-`, lower-cased.
    pub attributes: Vec<(String, String)>,
    /// When the envelope says that the event happened; set while envelopes are opened.
    pub sent: Option<Timestamp>,
    /// The resource the envelope says the event is about; set while envelopes are opened.
    pub subject: Option<String>,
}

impl Context {
    /// The context of a delivery without attributes.
    #[must_use]
    pub fn new(tenant: TenantId) -> Self {
        Self { tenant, snapshot: false, attributes: Vec::new(), sent: None, subject: None }
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// One thing found in a delivery.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// An assessment.
    Assessment(Box<Assessment>),
    /// Something known that holds no assessment.
    SetAside(SetAside),
    /// Something that should hold one and cannot be read.
    Unreadable(Unreadable),
    /// Event Grid asks whether this endpoint wants its events.
    Validation {
        /// What to answer with.
        code: String,
    },
}

/// A record that is known and holds no assessment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAside {
    /// What it is: `alert`, `secure score`, …
    pub what: String,
    /// Why nothing follows from it.
    pub why: String,
}

/// A record that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreadable {
    /// Where in the delivery it stands, as a JSON path: `[3].properties.status.code`.
    pub path: String,
    /// What is wrong there.
    pub problem: String,
    /// What to do about it, where we know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The record, whole; text that is not UTF-8 has replacement characters.
    pub raw: String,
}

/// Takes a delivery apart.
///
/// Never fails for one bad record: that becomes an [`Item::Unreadable`].
///
/// # Errors
/// When the delivery is over a limit as a whole.
pub fn read(form: Form, body: &[u8], context: &Context, limits: &Limits) -> Result<Vec<Item>, Refused> {
    limits.check(body)?;
    let mut reader = Reader { items: Vec::new(), limit: limits.records, over: false };
    match std::str::from_utf8(body) {
        Err(error) => reader.unreadable(
            "",
            &format!("not UTF-8 at byte {}", error.valid_up_to()),
            None,
            &String::from_utf8_lossy(body),
        ),
        Ok(text) if text.trim().is_empty() => reader.unreadable("", "the body is empty", None, text),
        Ok(text) => match form {
            Form::EventGrid => event_grid::open(text, context, &mut reader),
            Form::CloudEvents | Form::Eventarc => cloud_events::open(text, context, &mut reader),
            Form::EventHubs => event_hub::open(text, context, &mut reader),
            Form::PubSub => pub_sub::open(text, "", context, &mut reader),
            Form::EventBridge => event_bridge::open(text, "", context, &mut reader),
            Form::LogicApp => payload::read(text, "", context, &mut reader),
            Form::Plain => plain::open(text, context, &mut reader),
        },
    }
    if reader.over {
        return Err(Refused::Records { limit: limits.records });
    }
    Ok(reader.items)
}

/// The longest name, in bytes: twice what any cloud lets one have, and what every database takes as a key.
const LONGEST_NAME: usize = 2_048;

/// Collects what is found, and stops at the limit.
pub(crate) struct Reader {
    items: Vec<Item>,
    limit: usize,
    over: bool,
}

impl Reader {
    pub(crate) fn push(&mut self, item: Item) {
        if self.items.len() >= self.limit {
            self.over = true;
        } else {
            self.items.push(item);
        }
    }

    /// Takes an assessment, where its names are names: no cloud's have control characters, and not every
    /// database takes them.
    pub(crate) fn assessment(&mut self, assessment: Assessment, path: &str, raw: &str) {
        let names = [
            assessment.id.as_str(),
            assessment.tenant.as_str(),
            assessment.recommendation.key.as_str(),
            assessment.resource.id.as_str(),
            assessment.resource.account.as_ref().map_or("", amend_domain::AccountId::as_str),
        ];
        if let Some(long) = names.iter().find(|name| name.len() > LONGEST_NAME) {
            let problem = format!("a name has {} bytes; no cloud's has more than {LONGEST_NAME}", long.len());
            self.unreadable(path, &problem, Some("look at what sent it"), raw);
            return;
        }
        match names.iter().find(|name| name.chars().any(char::is_control)) {
            None => self.push(Item::Assessment(Box::new(assessment))),
            Some(name) => {
                let problem = format!("`{}` is no name: it holds a control character", name.escape_debug());
                self.unreadable(path, &problem, Some("look at what sent it; no cloud names anything so"), raw);
            }
        }
    }

    pub(crate) fn unreadable(&mut self, path: &str, problem: &str, hint: Option<&str>, raw: &str) {
        self.push(Item::Unreadable(Unreadable {
            path: if path.is_empty() { "(the whole body)".into() } else { path.trim_start_matches('.').to_owned() },
            problem: problem.to_owned(),
            hint: hint.map(str::to_owned),
            raw: raw.to_owned(),
        }));
    }

    pub(crate) fn set_aside(&mut self, what: &str, why: &str) {
        self.push(Item::SetAside(SetAside { what: what.to_owned(), why: why.to_owned() }));
    }
}

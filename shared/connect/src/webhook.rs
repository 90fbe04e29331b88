//! Any other system, by signed requests (Standard Webhooks): it is told of each step, and nothing is read from it.
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

use amend_domain::ticket::{Change, Draft, Entry, Ticket};
use amend_http::signed::{NoKey, Signer};
use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{Check, Secret, Tracker, TrackerError, service::Service};

/// Where requests go, and how they are signed.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The whole address.
    pub url: String,
    /// The key, as it is written by that standard: `whsec_…`, or `whsk_…`.
    pub secret: Secret,
}

/// A system that is told.
pub struct Webhook {
    service: Service,
    signer: Signer,
}

impl Webhook {
    /// The tracker called `name` in the configuration.
    ///
    /// # Errors
    /// When its address or its key cannot be used.
    pub fn new(name: &str, settings: &Settings) -> Result<Self, String> {
        let signer = signer(&settings.secret).map_err(|error| error.to_string())?;
        let headers = vec![("user-agent".into(), "amend".into())];
        Ok(Self { service: Service::new(name, &settings.url, headers)?.at_secret_address(), signer })
    }

    /// Tells of something that has a name, and returns what is said to that.
    async fn tell(&self, id: &str, kind: &str, data: Value, now: Timestamp) -> Result<Value, TrackerError> {
        let body = json!({ "type": kind, "timestamp": now.to_string(), "data": data }).to_string();
        let mut headers = self.signer.headers(id, now, body.as_bytes());
        headers.push(("content-type".into(), "application/json".into()));
        let answer = self.service.send_bytes("POST", "", headers, body.into_bytes()).await?;
        answer.map(|reply| reply.body).ok_or_else(|| self.service.denied("it is not there"))
    }
}

/// What signs with a key.
///
/// # Errors
/// When it is none.
pub fn signer(secret: &Secret) -> Result<Signer, NoKey> {
    Signer::read(secret.reveal())
}

#[async_trait]
impl Tracker for Webhook {
    async fn find(&self, ticket: &Ticket) -> Result<Option<Entry>, TrackerError> {
        Ok(ticket.told.entry.clone())
    }

    async fn open(&self, ticket: &Ticket, draft: &Draft, now: Timestamp) -> Result<Entry, TrackerError> {
        let mut data = ticket.facts();
        if let Some(data) = data.as_object_mut() {
            data.insert("body".into(), json!(draft.body));
        }
        let answer = self.tell(&ticket.step_name(), "ticket.opened", data, now).await?;
        let said = |member: &str| answer.get(member).and_then(Value::as_str).map(Into::into);
        Ok(Entry { key: said("key").unwrap_or_else(|| ticket.id.as_str().into()), url: said("url"), open: true })
    }

    async fn change(
        &self,
        ticket: &Ticket,
        entry: &Entry,
        change: &Change,
        now: Timestamp,
    ) -> Result<Entry, TrackerError> {
        let kind = match change.open {
            Some(true) => "ticket.reopened",
            Some(false) => "ticket.closed",
            None => "ticket.commented",
        };
        let mut data = ticket.facts();
        if let Some(data) = data.as_object_mut() {
            data.extend([("key".to_owned(), json!(entry.key)), ("comment".to_owned(), json!(change.text))]);
        }
        self.tell(&change.id, kind, data, now).await?;
        Ok(Entry { open: change.open.unwrap_or(entry.open), ..entry.clone() })
    }

    async fn check(&self) -> Result<Vec<Check>, TrackerError> {
        Ok(vec![Check::good("an address and a key are there; `--open` sends a ticket of a test")])
    }
}

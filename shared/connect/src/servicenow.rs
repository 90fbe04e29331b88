//! ServiceNow incidents, by the Table API. A ticket is an incident whose `correlation_id` is the ticket's key.
//! <https://www.servicenow.com/docs/bundle/zurich-api-reference/page/integrate/inbound-rest/concept/c_TableAPI.html>

use amend_domain::ticket::{Change, Draft, Entry, Ticket};
use async_trait::async_trait;
use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Map, Value, json};

use crate::{
    Check, Fields, Secret, Tracker, TrackerError,
    service::{Service, basic, cut, encoded, title},
};

/// The longest `short_description` and `description`, as they ship.
const SHORT: usize = 160;
const LONG: usize = 4_000;
/// What is read of an incident.
const READ: &str =
    "sysparm_fields=sys_id,number,state,correlation_id,correlation_display&sysparm_exclude_reference_link=true";
/// States of an incident, as they ship.
/// <https://www.servicenow.com/docs/bundle/zurich-it-service-management/page/product/incident-management/concept/c_IncidentManagementStateModel.html>
const IN_PROGRESS: &str = "2";
const RESOLVED: &str = "6";
const CLOSED: &str = "7";
const CANCELLED: &str = "8";

/// How an instance is reached, and what incidents are made there.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The instance: `https://example.service-now.com`.
    pub url: String,
    /// The user.
    pub user: String,
    /// Their password.
    pub password: Secret,
    /// The resolution code of what Amend closes.
    pub close_code: String,
    /// Fields of new incidents.
    pub fields: Fields,
}

/// The incidents of an instance.
pub struct ServiceNow {
    service: Service,
    settings: Settings,
}

impl ServiceNow {
    /// The tracker called `name` in the configuration.
    ///
    /// # Errors
    /// When its address cannot be used.
    pub fn new(name: &str, settings: Settings) -> Result<Self, String> {
        let headers = vec![basic(&settings.user, &settings.password), ("user-agent".into(), "amend".into())];
        Ok(Self { service: Service::new(name, &settings.url, headers)?, settings })
    }

    /// The incident of a ticket: the one that can still be changed, where there are several.
    async fn incident(&self, ticket: &Ticket) -> Result<Option<Value>, TrackerError> {
        // What was closed for good cannot be opened again: what comes back is a new one.
        let query = format!("correlation_id={}^stateNOT IN{CLOSED},{CANCELLED}^ORDERBYsys_created_on", ticket.id);
        let path = format!("/api/now/table/incident?sysparm_query={}&{READ}&sysparm_limit=1", encoded(&query));
        let found = self.service.get("GET", &path, None).await?.body;
        Ok(found.pointer("/result/0").cloned())
    }

    fn entry(&self, incident: &Value) -> Result<Entry, TrackerError> {
        let key = self.service.text(incident, "/number")?;
        let state = self.service.text(incident, "/state")?;
        let url = self
            .service
            .url(&format!("/nav_to.do?uri=incident.do%3Fsys_id%3D{}", self.service.text(incident, "/sys_id")?));
        Ok(Entry {
            key: key.into(),
            url: Some(url.into()),
            open: ![RESOLVED, CLOSED, CANCELLED].contains(&state.as_str()),
        })
    }
}

/// The mark of what was told last: it is written with it, at once.
fn mark(id: &str) -> String {
    format!("Amend {id}")
}

#[async_trait]
impl Tracker for ServiceNow {
    async fn find(&self, ticket: &Ticket) -> Result<Option<Entry>, TrackerError> {
        self.incident(ticket).await?.map(|incident| self.entry(&incident)).transpose()
    }

    async fn open(&self, ticket: &Ticket, draft: &Draft, _: Timestamp) -> Result<Entry, TrackerError> {
        let mut incident = Map::from_iter([
            ("short_description".to_owned(), json!(title(&draft.title, SHORT))),
            ("description".to_owned(), json!(cut(&draft.body, LONG))),
        ]);
        if let Some(due) = draft.due {
            let due = due.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S").to_string();
            incident.insert("due_date".into(), json!(due));
        }
        self.settings.fields.put(ticket, &self.service.name, &mut incident)?;
        // INVARIANT: by this it is found again.
        incident.insert("correlation_id".into(), json!(ticket.id));
        incident.insert("correlation_display".into(), json!(mark(&ticket.step_name())));
        let path = format!("/api/now/table/incident?{READ}");
        let answer = self.service.get("POST", &path, Some(&Value::Object(incident))).await?.body;
        let incident = answer.get("result").cloned().unwrap_or_default();
        if incident.get("correlation_id") != Some(&json!(ticket.id)) {
            // What a user may not write is left out without a word.
            let number = self.service.text(&incident, "/number").unwrap_or_default();
            let why = format!(
                "{number} was opened without its `correlation_id`: let the user write and read that, and close {number}"
            );
            return Err(self.service.refused(why));
        }
        self.entry(&incident)
    }

    async fn change(
        &self,
        ticket: &Ticket,
        entry: &Entry,
        change: &Change,
        _: Timestamp,
    ) -> Result<Entry, TrackerError> {
        let incident = self.incident(ticket).await?;
        let incident = incident.ok_or_else(|| self.service.busy("the incident went away meanwhile", None))?;
        if incident.get("correlation_display") == Some(&json!(mark(&change.id))) {
            return self.entry(&incident);
        }
        let mut with = Map::from_iter([
            ("work_notes".to_owned(), json!(cut(&change.text, LONG))),
            ("correlation_display".to_owned(), json!(mark(&change.id))),
        ]);
        match change.open {
            Some(open) if open == entry.open => {}
            Some(true) => {
                with.insert("state".into(), json!(IN_PROGRESS));
            }
            Some(false) => {
                with.insert("state".into(), json!(RESOLVED));
                with.insert("close_code".into(), json!(self.settings.close_code));
                with.insert("close_notes".into(), json!(cut(&change.text, LONG)));
            }
            None => {}
        }
        let path = format!("/api/now/table/incident/{}?{READ}", self.service.text(&incident, "/sys_id")?);
        let answer = self.service.get("PATCH", &path, Some(&Value::Object(with))).await?.body;
        let now = self.entry(answer.get("result").unwrap_or(&Value::Null))?;
        match change.open {
            Some(open) if now.open != open => {
                let what = if open { "opened again" } else { "resolved" };
                Err(self.service.refused(format!("{} was not {what}: may the user set `state`?", now.key)))
            }
            _ => Ok(now),
        }
    }

    async fn check(&self) -> Result<Vec<Check>, TrackerError> {
        let user = encoded(&format!("user_name={}", self.settings.user));
        let path = format!("/api/now/table/sys_user?sysparm_query={user}&sysparm_fields=user_name&sysparm_limit=1");
        // Whoever gets an answer is signed in, whether or not users can be seen.
        let mut checks = match self.service.send("GET", &path, None).await {
            Err(TrackerError::Denied { why, .. }) if why.starts_with("status 401") => {
                return Err(self.service.denied(why));
            }
            Err(error @ TrackerError::Busy { .. }) => return Err(error),
            _ => vec![Check::good(format!("signed in as {}", self.settings.user))],
        };
        let path = format!("/api/now/table/incident?{READ}&sysparm_limit=1");
        let missing = "give the user the role `itil`, or one that reads and writes incidents";
        match self.service.send("GET", &path, None).await {
            Ok(Some(answer)) => {
                let first = answer.body.pointer("/result/0");
                checks.push(Check::good("incidents can be read"));
                let seen = first.is_none_or(|one| one.get("correlation_id").is_some());
                checks.push(Check::holds(
                    "`correlation_id` can be read",
                    seen,
                    "let the user read and write that field",
                ));
            }
            Ok(None) | Err(TrackerError::Denied { .. }) => {
                checks.push(Check::holds("incidents can be read", false, missing));
            }
            Err(error) => return Err(error),
        }
        Ok(checks)
    }
}

//! Azure Resource Graph: questions about many subscriptions at once, answered page by page.
//!
//! Source: <https://learn.microsoft.com/azure/governance/resource-graph/concepts/work-with-data> and
//! <https://learn.microsoft.com/azure/governance/resource-graph/concepts/guidance-for-throttled-requests>.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use amend_http::Response;
use amend_models::Call;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::{CallError, Cloud, Place};

/// The one call of Resource Graph.
pub const QUERY: &str = "POST Microsoft.ResourceGraph/resources@2021-03-01";

/// The most rows of a page. The API allows no more.
pub const PAGE: u32 = 1_000;

/// Where a question is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Within {
    /// Everywhere that the credentials can see.
    Tenant,
    /// In these subscriptions, by their ids without a path.
    Subscriptions(Vec<String>),
    /// In the subscriptions of these management groups, by name.
    ManagementGroups(Vec<String>),
}

/// One page of an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// The rows.
    pub rows: Vec<Value>,
    /// How many rows the answer has on all its pages.
    pub total: u64,
    /// What the next page is asked for with; none after the last.
    pub next: Option<String>,
}

/// Asks for one page. `kql` must end in an order that is the same each time, and hold no `limit`, or the
/// API gives no next page.
///
/// # Errors
/// When the call fails, or the answer is cut off.
pub async fn ask(cloud: &dyn Cloud, kql: &str, within: &Within, next: Option<&str>) -> Result<Page, CallError> {
    let unreadable = |reason: &str| CallError::Unreadable { call: QUERY.to_owned(), reason: reason.to_owned() };
    let call = Call::find(QUERY)
        .map_err(|error| CallError::NotReached { call: QUERY.to_owned(), reason: error.to_string() })?;
    let mut body =
        json!({ "query": kql, "options": { "resultFormat": "objectArray", "$top": PAGE, "$skipToken": next } });
    if let Some(body) = body.as_object_mut() {
        match within {
            Within::Tenant => None,
            Within::Subscriptions(ids) => body.insert("subscriptions".into(), json!(ids)),
            Within::ManagementGroups(names) => body.insert("managementGroups".into(), json!(names)),
        };
    }
    let args = json!({ "id": "/providers/Microsoft.ResourceGraph/resources", "body": body });
    let mut answer = cloud.call(&Place::default(), &call, &args).await?;
    let Some(Value::Array(rows)) = answer.get_mut("data").map(Value::take) else {
        return Err(unreadable("the answer holds no rows"));
    };
    let next = answer.get("$skipToken").and_then(Value::as_str).map(ToOwned::to_owned);
    // INVARIANT: an answer that is cut off is no answer: what is missing would look as if it were not there.
    if next.is_none() && answer.get("resultTruncated").and_then(Value::as_str) == Some("true") {
        return Err(unreadable("the answer is cut off, and there is no next page"));
    }
    let total = answer.get("totalRecords").and_then(Value::as_u64).unwrap_or_default();
    Ok(Page { rows, total, next })
}

/// Asks for all pages.
///
/// # Errors
/// When a call fails, or the pages do not end.
pub async fn ask_all(cloud: &dyn Cloud, kql: &str, within: &Within) -> Result<Vec<Value>, CallError> {
    let mut page = ask(cloud, kql, within, None).await?;
    let mut rows = std::mem::take(&mut page.rows);
    while let Some(next) = page.next.take() {
        page = ask(cloud, kql, within, Some(&next)).await?;
        if page.rows.is_empty() && page.next.is_some() {
            return Err(CallError::Unreadable { call: QUERY.to_owned(), reason: "the pages do not end".into() });
        }
        rows.append(&mut page.rows);
    }
    Ok(rows)
}

/// A text in a query, in its quotes. Nothing for a text that no id or name holds.
#[must_use]
pub fn literal(text: &str) -> Option<String> {
    if text.is_empty() || text.len() > 2_048 || text.chars().any(char::is_control) {
        return None;
    }
    Some(format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")))
}

/// A member of a row, as text.
pub(crate) fn text<'r>(row: &'r Value, name: &str) -> Option<&'r str> {
    row.get(name).and_then(Value::as_str)
}

/// Text values of an object; none where it is absent.
pub(crate) fn texts(value: Option<&Value>) -> std::collections::BTreeMap<String, String> {
    let none = Map::new();
    let object = value.and_then(Value::as_object).unwrap_or(&none);
    object
        .iter()
        .filter_map(|(name, value)| {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Null => String::new(),
                Value::Bool(_) | Value::Number(_) => value.to_string(),
                Value::Array(_) | Value::Object(_) => return None,
            };
            Some((name.clone(), text))
        })
        .collect()
}

/// How many queries are left, and when there are more. Asking no sooner is cheaper than being refused.
#[derive(Debug, Default)]
pub(crate) struct Quota(Mutex<Option<Instant>>);

/// The longest wait for more quota, whatever the API says.
const LONGEST: Duration = Duration::from_secs(60);

impl Quota {
    /// Waits until queries are allowed again.
    pub async fn wait(&self) {
        let until = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(until) = until {
            tokio::time::sleep_until(until).await;
        }
    }

    /// Reads what an answer says about the quota; other APIs' answers say nothing.
    pub fn note(&self, response: &Response) {
        let left = response.header("x-ms-user-quota-remaining").and_then(|left| left.trim().parse::<u64>().ok());
        let resets = response.header("x-ms-user-quota-resets-after").and_then(clock);
        if let (Some(0), Some(resets)) = (left, resets) {
            let until = Instant::now().checked_add(resets.min(LONGEST));
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = until;
        }
    }
}

/// Reads `hh:mm:ss`.
fn clock(text: &str) -> Option<Duration> {
    let mut parts = text.trim().split(':').map(|part| part.parse::<f64>().ok().filter(|number| *number >= 0.0));
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    Duration::try_from_secs_f64(hours.mul_add(3_600.0, minutes.mul_add(60.0, seconds))).ok()
}

/// Refuses an answer about the first ten thousand subscriptions of more.
pub(crate) fn is_whole(call: &str, response: &Response) -> Result<(), CallError> {
    match response.header("x-ms-tenant-subscription-limit-hit") {
        Some(hit) if hit.trim().eq_ignore_ascii_case("true") => Err(CallError::Unreadable {
            call: call.to_owned(),
            reason: "it is about the first 10,000 subscriptions only: ask by management group or subscription".into(),
        }),
        _ => Ok(()),
    }
}

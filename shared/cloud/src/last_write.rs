//! Who wrote a resource last, and when, as the clouds themselves keep it: changes of resources in Azure Resource
//! Graph, management events in AWS CloudTrail, admin activity in Cloud Audit Logs. None of them has to be switched on.
//!
//! Sources: <https://learn.microsoft.com/azure/governance/resource-graph/changes/get-resource-changes>,
//! <https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html>,
//! <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-user-identity.html>,
//! <https://cloud.google.com/logging/docs/reference/v2/rest/v2/entries/list> and
//! <https://cloud.google.com/logging/docs/audit#admin-activity>.

use amend_domain::{Cloud as CloudName, ResourceId};
use amend_models::Call;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::{CallError, Cloud, Place, graph, graph::text};

const CLOUDTRAIL: &str = "cloudtrail:LookupEvents";
const AUDIT_LOGS: &str = "logging.entries.list";

/// The calls made here, for the roles.
#[must_use]
pub fn calls(cloud: CloudName) -> &'static [&'static str] {
    match cloud {
        CloudName::Azure => &[graph::QUERY],
        CloudName::Aws => &[CLOUDTRAIL],
        CloudName::Gcp => &[AUDIT_LOGS],
        CloudName::Other => &[],
    }
}

/// A write, as the cloud's log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// When.
    pub at: Timestamp,
    /// Who: all names that the log has for them, the plainest first. Empty, where it does not say.
    pub by: Vec<String>,
}

/// What a log says of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The last write in it.
    pub last: Option<Write>,
    /// How far back it was read: no later write is in it.
    pub since: Timestamp,
}

/// So far back go changes in Resource Graph, and nobody looks further elsewhere.
pub const LONGEST: SignedDuration = SignedDuration::from_hours(14 * 24);

/// So many pages are read of what may be nothing but reads.
const MOST_PAGES: usize = 10;

/// The last write of a resource since a time.
///
/// # Errors
/// When the log cannot be read.
pub async fn read(
    cloud: &dyn Cloud,
    place: &Place,
    resource: &ResourceId,
    since: Timestamp,
    now: Timestamp,
) -> Result<Log, CallError> {
    match resource.cloud() {
        CloudName::Azure => in_resource_graph(cloud, place, resource, now).await,
        CloudName::Aws => in_cloudtrail(cloud, place, resource, since).await,
        CloudName::Gcp => in_audit_logs(cloud, place, resource, since).await,
        CloudName::Other => Err(not_reached("the last write", "this cloud has no log that can be read")),
    }
}

fn not_reached(call: &str, reason: &str) -> CallError {
    CallError::NotReached { call: call.to_owned(), reason: reason.to_owned() }
}

/// A member of an object, as text.
fn at<'v>(value: &'v Value, path: &[&str]) -> Option<&'v str> {
    path.iter().try_fold(value, |value, name| value.get(name))?.as_str()
}

/// The names that are there, each once.
fn names<'n>(all: impl IntoIterator<Item = Option<&'n str>>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in all.into_iter().flatten().filter(|name| !name.is_empty()) {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

async fn in_resource_graph(
    cloud: &dyn Cloud,
    place: &Place,
    resource: &ResourceId,
    now: Timestamp,
) -> Result<Log, CallError> {
    let id = graph::literal(resource.as_str())
        .ok_or_else(|| not_reached(graph::QUERY, "it has no name that can be asked about"))?;
    let account = place.account.as_ref().ok_or_else(|| not_reached(graph::QUERY, "it is in no subscription"))?;
    let kql = format!(
        "resourcechanges | where properties.targetResourceId =~ {id} | project id, \
         at = properties.changeAttributes.timestamp, by = properties.changeAttributes.changedBy | order by id asc"
    );
    let rows = graph::ask_all(cloud, &kql, &graph::Within::Subscriptions(vec![account.native().to_owned()])).await?;
    // A change whose time cannot be read was just now.
    let change = |row: &Value| Write {
        at: text(row, "at").and_then(|at| at.parse().ok()).unwrap_or(now),
        by: names([text(row, "by")]),
    };
    let since = now.saturating_sub(LONGEST).unwrap_or(Timestamp::MIN);
    Ok(Log { last: rows.iter().map(change).max_by_key(|write| write.at), since })
}

/// How a call tells and takes its pages.
struct Pages<'a> {
    call: &'a str,
    /// Where an answer has its entries, and the token of the next page.
    list: &'a str,
    token: &'a str,
    /// What the token is called in the arguments, and within which of them it is.
    next: &'a str,
    within: &'a str,
}

/// Looks through pages, the newest entries first, for the first that is a write. Where they do not end, tells how
/// far back they were read.
async fn newest(
    cloud: &dyn Cloud,
    place: &Place,
    Pages { call: name, list, token, next, within }: Pages<'_>,
    mut args: Value,
    since: Timestamp,
    look: impl Fn(&Value) -> (Option<Timestamp>, Option<Vec<String>>) + Send + Sync,
) -> Result<Log, CallError> {
    let call = Call::find(name).map_err(|error| not_reached(name, &error.to_string()))?;
    let mut back: Option<Timestamp> = None;
    for _ in 0..MOST_PAGES {
        let answer = cloud.call(place, &call, &args).await?;
        let none = Vec::new();
        let entries = match answer.get(list) {
            None | Some(Value::Null) => &none,
            Some(Value::Array(entries)) => entries,
            Some(_) => return Err(CallError::Unreadable { call: name.to_owned(), reason: "it is no list".into() }),
        };
        for entry in entries {
            let (when, by) = look(entry);
            let Some(when) = when else {
                let reason = "an entry has no time".to_owned();
                return Err(CallError::Unreadable { call: name.to_owned(), reason });
            };
            if let Some(by) = by {
                return Ok(Log { last: Some(Write { at: when, by }), since });
            }
            back = Some(when);
        }
        match text(&answer, token).filter(|token| !token.is_empty()) {
            None => return Ok(Log { last: None, since }),
            Some(token) => {
                if let Some(args) = args.pointer_mut(within).and_then(Value::as_object_mut) {
                    args.insert(next.into(), token.into());
                }
            }
        }
    }
    let reason = "its pages do not end".to_owned();
    let back = back.ok_or_else(|| CallError::Unreadable { call: name.to_owned(), reason })?;
    Ok(Log { last: None, since: back.max(since) })
}

/// CloudTrail names a resource by its name or by its ARN, and is asked for one at a time.
async fn in_cloudtrail(
    cloud: &dyn Cloud,
    place: &Place,
    resource: &ResourceId,
    since: Timestamp,
) -> Result<Log, CallError> {
    let arn = resource.as_str();
    let mut log = Log { last: None, since };
    for name in names([arn.rsplit([':', '/']).next(), Some(arn)]) {
        let args = json!({
            "LookupAttributes": [{ "AttributeKey": "ResourceName", "AttributeValue": name }],
            "StartTime": since.to_string(),
            "MaxResults": 50,
        });
        let pages = Pages { call: CLOUDTRAIL, list: "Events", token: "NextToken", next: "NextToken", within: "" };
        // Other services have things of the same name; an ARN is one thing's.
        let service = arn.split(':').nth(2).filter(|_| name != arn).map(|service| format!("{service}.amazonaws.com"));
        let ours = |entry: &Value| service.is_none() || text(entry, "EventSource") == service.as_deref();
        let look = |entry: &Value| {
            let (when, by) = event(entry);
            (when, by.filter(|_| ours(entry)))
        };
        let found = newest(cloud, place, pages, args, since, look).await?;
        log.since = log.since.max(found.since);
        log.last = log.last.into_iter().chain(found.last).max_by_key(|write| write.at);
    }
    // Before what was read under both names, there may be others.
    log.last = log.last.filter(|write| write.at >= log.since);
    Ok(log)
}

/// When a management event was, and by whom, where it wrote something.
fn event(event: &Value) -> (Option<Timestamp>, Option<Vec<String>>) {
    let when = text(event, "EventTime").and_then(|at| at.parse().ok());
    if text(event, "ReadOnly") == Some("true") {
        return (when, None);
    }
    // What cannot be read is taken for a write.
    let detail: Value =
        text(event, "CloudTrailEvent").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    if at(&detail, &["errorCode"]).is_some() {
        return (when, None);
    }
    let by = names([
        at(&detail, &["userIdentity", "sessionContext", "sessionIssuer", "arn"]),
        at(&detail, &["userIdentity", "arn"]),
        at(&detail, &["userIdentity", "invokedBy"]),
        text(event, "Username"),
    ]);
    (when, Some(by))
}

async fn in_audit_logs(
    cloud: &dyn Cloud,
    place: &Place,
    resource: &ResourceId,
    since: Timestamp,
) -> Result<Log, CallError> {
    let fails = |reason: &str| not_reached(AUDIT_LOGS, reason);
    let project = place.account.as_ref().ok_or_else(|| fails("the project is not known"))?;
    let full = resource.as_str();
    if full.contains(['"', '\\']) || full.chars().any(char::is_control) {
        return Err(fails("it has no name that can be asked about"));
    }
    // The log names it without the host, and with the project's id or number: its own name is what counts, with
    // the kind before it, where there is one.
    let path: Vec<&str> = full.split('/').skip(3).collect();
    let own = path.get(path.len().saturating_sub(2)..).filter(|own| !own.is_empty());
    let own = own.ok_or_else(|| fails("it has no name that can be asked about"))?;
    let id = own.last().copied().unwrap_or_default();
    let filter = format!(
        "log_id(\"cloudaudit.googleapis.com/activity\") AND timestamp>=\"{since}\" AND \
         (protoPayload.resourceName:\"{}\" OR resource.labels.instance_id=\"{id}\")",
        own.join("/")
    );
    let args = json!({ "body": {
        "resourceNames": [format!("projects/{}", project.native())],
        "filter": filter, "orderBy": "timestamp desc", "pageSize": 100,
    } });
    let entry = |entry: &Value| {
        let when = text(entry, "timestamp").and_then(|at| at.parse().ok());
        let named: Vec<&str> = at(entry, &["protoPayload", "resourceName"]).unwrap_or_default().split('/').collect();
        let same = |window: &[&str]| window.iter().zip(own).all(|(a, b)| a.eq_ignore_ascii_case(b));
        let ours = named.windows(own.len()).any(same) || at(entry, &["resource", "labels", "instance_id"]) == Some(id);
        let status = entry.get("protoPayload").and_then(|payload| payload.get("status")?.get("code")?.as_i64());
        if !ours || status.is_some_and(|code| code != 0) {
            return (when, None);
        }
        let who = |name: &str| at(entry, &["protoPayload", "authenticationInfo", name]);
        (when, Some(names([who("principalEmail"), who("principalSubject")])))
    };
    let pages = Pages { call: AUDIT_LOGS, list: "entries", token: "nextPageToken", next: "pageToken", within: "/body" };
    newest(cloud, place, pages, args, since, entry).await
}

//! Findings that people let be where a cloud keeps them: suppressed in AWS Security Hub, muted in Security
//! Command Center. They are read live, as an assessment may not say so for a day.
//!
//! Source: <https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_GetFindings.html>,
//! <https://docs.aws.amazon.com/securityhub/latest/userguide/finding-workflow-status.html> and
//! <https://cloud.google.com/security-command-center/docs/reference/rest/v1/projects.sources.findings/list>.

use amend_domain::Cloud as CloudName;
use amend_models::Call;
use serde_json::{Value, json};

use crate::{CallError, Cloud, Place, graph::text};

const SECURITY_HUB: &str = "securityhub:GetFindings";
const SECURITY_COMMAND_CENTER: &str = "securitycenter.projects.sources.findings.list";

/// The calls made here, for the roles.
#[must_use]
pub fn calls(cloud: CloudName) -> &'static [&'static str] {
    match cloud {
        CloudName::Aws => &[SECURITY_HUB],
        CloudName::Gcp => &[SECURITY_COMMAND_CENTER],
        CloudName::Azure | CloudName::Other => &[],
    }
}

/// No resource has more pages of them.
const MOST_PAGES: usize = 100;

/// The findings about these resources that somebody let be, as their cloud writes them: in ASFF, or with
/// the resource beside the finding. Nothing, where the cloud keeps no findings there.
///
/// # Errors
/// When they cannot be read, or their pages do not end.
pub async fn read(
    cloud: &dyn Cloud,
    name: CloudName,
    place: &Place,
    resources: &[&str],
) -> Result<Option<Vec<Value>>, CallError> {
    let (call, list, token, mut args) = match name {
        CloudName::Aws => (SECURITY_HUB, "Findings", "NextToken", suppressed(resources)),
        CloudName::Gcp => (SECURITY_COMMAND_CENTER, "listFindingsResults", "nextPageToken", muted(place, resources)?),
        CloudName::Azure | CloudName::Other => return Ok(None),
    };
    let found =
        Call::find(call).map_err(|error| CallError::NotReached { call: call.to_owned(), reason: error.to_string() })?;
    let next = if name == CloudName::Aws { "NextToken" } else { "pageToken" };
    let mut all = Vec::new();
    for _ in 0..MOST_PAGES {
        let mut answer = match cloud.call(place, &found, &args).await {
            // Where Security Hub is off, nobody suppressed anything.
            Err(error) if name == CloudName::Aws && is_off(&error) => return Ok(None),
            answer => answer?,
        };
        match answer.get_mut(list).map(Value::take) {
            Some(Value::Array(page)) => all.extend(page),
            // Google leaves out what is empty.
            None | Some(Value::Null) if name == CloudName::Gcp => {}
            _ => return Err(unreadable(call, "it is no list")),
        }
        match text(&answer, token).filter(|token| !token.is_empty()) {
            None => return Ok(Some(all)),
            Some(token) => {
                if let Some(args) = args.as_object_mut() {
                    args.insert(next.into(), token.into());
                }
            }
        }
    }
    Err(unreadable(call, "its pages do not end"))
}

/// Whether Security Hub says that it is off. It has one code for that and for what a caller may not do.
fn is_off(error: &CallError) -> bool {
    let CallError::Refused { code, message, .. } = error else { return false };
    code == "InvalidAccessException" && message.contains("not subscribed")
}

fn unreadable(call: &str, reason: &str) -> CallError {
    CallError::Unreadable { call: call.to_owned(), reason: reason.to_owned() }
}

fn suppressed(resources: &[&str]) -> Value {
    let is = |value: &str| json!({ "Value": value, "Comparison": "EQUALS" });
    let resources: Vec<Value> = resources.iter().map(|id| is(id)).collect();
    json!({
        "Filters": {
            "ResourceId": resources, "WorkflowStatus": [is("SUPPRESSED")], "RecordState": [is("ACTIVE")],
        },
        "MaxResults": 100,
    })
}

fn muted(place: &Place, resources: &[&str]) -> Result<Value, CallError> {
    let fails = |reason: String| CallError::NotReached { call: SECURITY_COMMAND_CENTER.to_owned(), reason };
    let project = place.account.as_ref().ok_or_else(|| fails("the project is not known".into()))?;
    if let Some(odd) = resources.iter().find(|id| id.contains(['"', '\\']) || id.chars().any(char::is_control)) {
        return Err(fails(format!("`{odd}` is no name of a resource")));
    }
    let names: Vec<String> = resources.iter().map(|id| format!("resource_name=\"{id}\"")).collect();
    let filter = format!("mute=\"MUTED\" AND state=\"ACTIVE\" AND ({})", names.join(" OR "));
    Ok(json!({ "parent": format!("projects/{}/sources/-", project.native()), "filter": filter, "pageSize": 1_000 }))
}

//! Defender's governance assignments: who owns an assessment there, and until when.
//!
//! Source: <https://learn.microsoft.com/rest/api/defenderforcloud/governance-assignments>.

use amend_domain::AccountId;
use amend_models::Call;
use serde_json::{Value, json};

use crate::{CallError, Cloud, Place};

const LIST: &str = "LIST Microsoft.Security/assessments/governanceAssignments@2022-01-01-preview";
const PUT: &str = "PUT Microsoft.Security/assessments/governanceAssignments@2022-01-01-preview";

/// The calls made here: those that read; and that which writes.
pub const READS: &[&str] = &[LIST];
/// See [`READS`].
pub const WRITES: &[&str] = &[LIST, PUT];

/// What Azure answers where it knows no such kind of thing, rather than no such thing.
/// <https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/error-register-resource-provider>
const UNKNOWN: [&str; 3] = ["InvalidResourceType", "InvalidResourceNamespace", "NoRegisteredProviderFound"];

/// The assignments of an assessment, by its id. Nothing, where there is no such assessment any more.
///
/// # Errors
/// When they cannot be read.
pub async fn list(cloud: &dyn Cloud, assessment: &str) -> Result<Option<Vec<Value>>, CallError> {
    let id = format!("{assessment}/governanceAssignments");
    let mut answer = match ask(cloud, LIST, assessment, &json!({ "id": id })).await {
        Err(CallError::Refused { status: 404, code, .. }) if !UNKNOWN.contains(&code.as_str()) => return Ok(None),
        answer => answer?,
    };
    match answer.get_mut("value").map(Value::take) {
        Some(Value::Array(values)) => Ok(Some(values)),
        _ => Err(CallError::Unreadable { call: LIST.to_owned(), reason: "it is no list".into() }),
    }
}

/// Writes an assignment of an assessment, by its name: all that it says.
///
/// # Errors
/// When it is not written.
pub async fn put(cloud: &dyn Cloud, assessment: &str, name: &str, properties: &Value) -> Result<(), CallError> {
    let id = format!("{assessment}/governanceAssignments/{name}");
    ask(cloud, PUT, assessment, &json!({ "id": id, "body": { "properties": properties } })).await.map(drop)
}

async fn ask(cloud: &dyn Cloud, call: &str, assessment: &str, args: &Value) -> Result<Value, CallError> {
    let found =
        Call::find(call).map_err(|error| CallError::NotReached { call: call.to_owned(), reason: error.to_string() })?;
    let place = Place { account: AccountId::azure(assessment), ..Place::default() };
    cloud.call(&place, &found, args).await
}

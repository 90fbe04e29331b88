//! Security marks of findings in Google's Security Command Center.
//!
//! Source: <https://cloud.google.com/security-command-center/docs/reference/rest/v1/projects.sources.findings/updateSecurityMarks>.

use std::collections::BTreeMap;

use amend_domain::AccountId;
use amend_models::Call;
use serde_json::{Value, json};

use crate::{CallError, Cloud, Place};

const UPDATE: &str = "securitycenter.projects.sources.findings.updateSecurityMarks";

/// The call made here, for the roles.
pub const WRITES: &[&str] = &[UPDATE];

/// Sets marks of a finding, and takes those away that have no value; all others stay.
///
/// A finding is named by the organization that it was found in; it is one of its project all the same, which is all
/// that whoever marks it must be allowed.
///
/// # Errors
/// When it has no name that can be asked about, or they are not set.
pub async fn set(
    cloud: &dyn Cloud,
    project: &AccountId,
    finding: &str,
    marks: &BTreeMap<&str, Option<String>>,
) -> Result<(), CallError> {
    let fails = |reason: String| CallError::NotReached { call: UPDATE.to_owned(), reason };
    let call = Call::find(UPDATE).map_err(|error| fails(error.to_string()))?;
    let parts: Vec<&str> = finding.split('/').collect();
    let [_, _, "sources", source, "findings", id] = parts.as_slice() else {
        return Err(fails(format!("`{finding}` is no name of a finding")));
    };
    let name = format!("projects/{}/sources/{source}/findings/{id}/securityMarks", project.native());
    let mask: Vec<String> = marks.keys().map(|key| format!("marks.{key}")).collect();
    let set: BTreeMap<&str, &String> =
        marks.iter().filter_map(|(key, value)| value.as_ref().map(|value| (*key, value))).collect();
    let args: Value = json!({ "name": name, "updateMask": mask.join(","), "body": { "marks": set } });
    let place = Place { account: Some(project.clone()), ..Place::default() };
    cloud.call(&place, &call, &args).await.map(drop)
}

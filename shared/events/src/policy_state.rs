//! Azure Policy compliance: `Microsoft.PolicyInsights.PolicyState{Created,Changed,Deleted}`.
//!
//! The only native Event Grid events that come near a recommendation; the policy definition ties
//! them to one. Source: the data-plane schema of Microsoft.PolicyInsights 2018-01-01.

use amend_domain::{
    Action, Assessment, AssessmentId, Recommendation, RecommendationKey, Resource, ResourceId, Source, Status,
    StatusCode,
    resource::{AccountId, arm_type},
};

use crate::{
    Context, Reader,
    wire::{self, Text, given, join, lower, time, wire},
};

wire! {
    struct Data<'a> {
        time: Text<'a> = "timestamp",
        assignment: Text<'a> = "policyAssignmentId",
        definition: Text<'a> = "policyDefinitionId",
        reference: Text<'a> = "policyDefinitionReferenceId",
        state: Text<'a> = "complianceState",
    }
}

/// Reads the data of an event that has no type of its own any more.
pub(crate) fn read(raw: &str, path: &str, context: &Context, reader: &mut Reader) {
    read_typed("Microsoft.PolicyInsights.PolicyStateChanged", raw, path, context, reader);
}

/// Reads the data of an event of type `kind`.
pub(crate) fn read_typed(kind: &str, raw: &str, path: &str, context: &Context, reader: &mut Reader) {
    let data: Data<'_> = match wire::parse(raw) {
        Ok(data) => data,
        Err(failed) => return reader.unreadable(&join(path, &failed.path), &failed.problem, None, raw),
    };
    let missing = |reader: &mut Reader, member: &str, hint| {
        reader.unreadable(&join(path, member), "this member is missing", hint, raw);
    };
    let Some(subject) = context.subject.as_deref().filter(|s| !s.is_empty()) else {
        return missing(
            reader,
            "subject",
            Some("the resource stands in the envelope's `subject`; send the whole event"),
        );
    };
    let Some(definition) = given(data.definition.as_ref()) else { return missing(reader, "policyDefinitionId", None) };
    let Some(state) = given(data.state.as_ref()) else { return missing(reader, "complianceState", None) };
    let deleted = kind.to_ascii_lowercase().ends_with("deleted");
    let (code, cause) = match state.to_ascii_lowercase().as_str() {
        "noncompliant" => (StatusCode::Unhealthy, None),
        "compliant" => (StatusCode::Healthy, None),
        "exempt" => (StatusCode::NotApplicable, Some("Exempt")),
        _ => (StatusCode::Other, Some(state)),
    };
    let id = ResourceId::new(subject);
    let definition = lower(definition);
    let name = definition.rsplit('/').next().unwrap_or(&definition);
    let assignment = given(data.assignment.as_ref()).unwrap_or_default();
    let reference = given(data.reference.as_ref()).unwrap_or_default();
    let assessment = Assessment {
        tenant: context.tenant.clone(),
        source: Source::PolicyState,
        id: AssessmentId::new(&format!(
            "{id}/providers/microsoft.policyinsights/policystates/{assignment}|{definition}|{reference}"
        )),
        recommendation: Recommendation {
            key: RecommendationKey::new("policy", &definition),
            title: format!("Azure Policy {name}").into(),
            category: None,
            areas: Vec::new(),
            policy: Some(definition.clone()),
            remediation: None,
        },
        resource: Resource {
            cloud: id.cloud(),
            kind: arm_type(id.as_str()).map(Into::into),
            name: id.short_name().into(),
            account: AccountId::azure(id.as_str()),
            region: None,
            connector: None,
            id,
        },
        status: Status { code, cause: cause.map(Into::into), changed: time(data.time.as_ref()), first_evaluated: None },
        severity: None,
        risk: None,
        action: if deleted { Action::Delete } else { Action::Report },
        snapshot: context.snapshot,
        sent: context.sent,
        link: None,
        details: None,
    };
    reader.assessment(assessment, path, raw);
}

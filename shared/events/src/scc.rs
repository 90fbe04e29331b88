//! Google Cloud Security Command Center: notifications, v1 and v2 names, both shapes (the resource
//! beside the finding, or inside it with other spellings).
//!
//! Source: `NotificationMessage` of the Security Command Center API, v1 and v2.

use amend_domain::{
    Action, Assessment, AssessmentId, Cloud, Recommendation, RecommendationKey, Resource, ResourceId, Severity, Source,
    Status, StatusCode, resource::AccountId,
};

use crate::{
    Context, Reader,
    wire::{self, Text, given, join, time, wire},
};

wire! {
    struct Notification<'a> {
        finding: Finding<'a> = "finding",
        resource: ResourcePart<'a> = "resource",
    }
}

wire! {
    struct Finding<'a> {
        name: Text<'a> = "name",
        canonical: Text<'a> = "canonicalName",
        resource_name: Text<'a> = "resourceName",
        state: Text<'a> = "state",
        category: Text<'a> = "category",
        class: Text<'a> = "findingClass",
        severity: Text<'a> = "severity",
        mute: Text<'a> = "mute",
        event_time: Text<'a> = "eventTime",
        create_time: Text<'a> = "createTime",
        link: Text<'a> = "externalUri",
        resource: ResourcePart<'a> = "resource",
        properties: Properties<'a> = "sourceProperties",
        next_steps: Text<'a> = "nextSteps",
        description: Text<'a> = "description",
    }
}

wire! {
    struct Properties<'a> {
        severity: Text<'a> = "SeverityLevel",
        project: Text<'a> = "ProjectId",
        advice: Text<'a> = "Recommendation",
    }
}

wire! {
    struct ResourcePart<'a> {
        name: Text<'a> = "name",
        project: Text<'a> = "project" | "project_name" | "projectName",
        display: Text<'a> = "displayName" | "display_name",
        kind: Text<'a> = "type",
        location: Text<'a> = "location",
        metadata: Metadata<'a> = "gcpMetadata",
    }
}

wire! {
    struct Metadata<'a> {
        project: Text<'a> = "project",
    }
}

/// Reads one notification.
pub(crate) fn read(raw: &str, path: &str, context: &Context, reader: &mut Reader) {
    let notification: Notification<'_> = match wire::parse(raw) {
        Ok(notification) => notification,
        Err(failed) => return reader.unreadable(&join(path, &failed.path), &failed.problem, None, raw),
    };
    let missing = |reader: &mut Reader, member: &str| {
        reader.unreadable(&join(path, &format!("finding.{member}")), "this member is missing", None, raw);
    };
    let Some(finding) = notification.finding else { return missing(reader, "name") };
    let class = given(finding.class.as_ref()).unwrap_or_default().to_ascii_uppercase();
    if matches!(class.as_str(), "THREAT" | "OBSERVATION" | "SCC_ERROR") {
        return reader.set_aside(&format!("SCC finding of class {class}"), "it reports an event, not a setting");
    }
    let Some(name) = given(finding.name.as_ref()) else { return missing(reader, "name") };
    let Some(category) = given(finding.category.as_ref()) else { return missing(reader, "category") };
    let Some(state) = given(finding.state.as_ref()) else { return missing(reader, "state") };
    let resource = notification.resource.or(finding.resource).unwrap_or_default();
    let Some(full_name) = given(finding.resource_name.as_ref()).or_else(|| given(resource.name.as_ref())) else {
        return missing(reader, "resourceName");
    };
    let muted = given(finding.mute.as_ref()).is_some_and(|mute| mute.eq_ignore_ascii_case("MUTED"));
    let (code, cause) = match state.to_ascii_uppercase().as_str() {
        "ACTIVE" if muted => (StatusCode::NotApplicable, Some("MUTED")),
        "ACTIVE" => (StatusCode::Unhealthy, None),
        "INACTIVE" => (StatusCode::Healthy, None),
        _ => (StatusCode::Other, Some(state)),
    };
    let properties = finding.properties.unwrap_or_default();
    // A project's number wins over its id: Defender's `hierarchyId` is the number.
    let projects = [
        given(resource.project.as_ref()),
        given(resource.metadata.as_ref().and_then(|m| m.project.as_ref())),
        given(finding.canonical.as_ref()),
        Some(full_name),
        given(properties.project.as_ref()).filter(|p| !p.contains('/')),
    ];
    let found: Vec<&str> = projects.into_iter().flatten().filter_map(project).collect();
    let number = found.iter().find(|p| p.bytes().all(|b| b.is_ascii_digit()));
    let account = number.or(found.first()).and_then(|project| AccountId::gcp(project));
    let severity =
        given(finding.severity.as_ref()).or_else(|| given(properties.severity.as_ref())).and_then(Severity::parse);
    let resource_id = ResourceId::new(full_name);
    let advice = given(finding.next_steps.as_ref()).or_else(|| given(properties.advice.as_ref()));
    let assessment = Assessment {
        tenant: context.tenant.clone(),
        source: Source::Scc,
        id: AssessmentId::new(&without_location(name)),
        recommendation: Recommendation {
            key: RecommendationKey::new("scc", category),
            title: sentence(category).into(),
            category: None,
            areas: Vec::new(),
            policy: None,
            remediation: advice.map(Into::into),
        },
        resource: Resource {
            cloud: Cloud::Gcp,
            kind: given(resource.kind.as_ref()).map(resource_type),
            name: given(resource.display.as_ref()).unwrap_or(resource_id.short_name()).into(),
            account,
            region: given(resource.location.as_ref()).map(|l| l.to_ascii_lowercase().into()),
            connector: None,
            id: resource_id,
        },
        status: Status {
            code,
            cause: cause.map(Into::into),
            changed: time(finding.event_time.as_ref()),
            first_evaluated: time(finding.create_time.as_ref()),
        },
        severity,
        risk: None,
        action: Action::Report,
        snapshot: context.snapshot,
        sent: context.sent,
        link: given(finding.link.as_ref()).map(Into::into),
        details: None,
    };
    reader.assessment(assessment, path, raw);
}

/// The project in a name such as `//compute.googleapis.com/projects/P/…` or `projects/P`.
fn project(name: &str) -> Option<&str> {
    if !name.contains('/') {
        return Some(name);
    }
    let mut parts = name.split('/');
    parts.find(|part| *part == "projects")?;
    parts.next().filter(|project| !project.is_empty() && *project != "_")
}

/// v2 names have `/locations/<location>` in them; one finding has one name.
fn without_location(name: &str) -> String {
    let mut parts = name.split('/');
    let mut kept = Vec::new();
    while let Some(part) = parts.next() {
        if part == "locations" {
            parts.next();
        } else {
            kept.push(part);
        }
    }
    kept.join("/")
}

/// `PUBLIC_BUCKET_ACL` as a title: `Public bucket ACL`.
fn sentence(category: &str) -> String {
    if category.contains(char::is_lowercase) {
        return category.to_owned();
    }
    let words = category.split('_').enumerate().map(|(at, word)| {
        const SHORT: [&str; 14] =
            ["ACL", "SQL", "SSH", "RDP", "KMS", "VPC", "IAM", "DNS", "SSL", "IP", "VM", "OS", "FTP", "HTTP"];
        match (SHORT.contains(&word), at) {
            (true, _) => word.to_owned(),
            (false, 0) => word.chars().take(1).chain(word.chars().skip(1).map(|c| c.to_ascii_lowercase())).collect(),
            (false, _) => word.to_ascii_lowercase(),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// `google.cloud.storage.Bucket` as the rest of Amend writes it: `storage.bucket`.
fn resource_type(text: &str) -> Box<str> {
    let rest = text.strip_prefix("google.").unwrap_or(text);
    rest.strip_prefix("cloud.").unwrap_or(rest).to_ascii_lowercase().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_both_versions_are_one() {
        let v1 = "organizations/1/sources/2/findings/3";
        assert_eq!(without_location("organizations/1/sources/2/locations/global/findings/3"), v1);
        assert_eq!(without_location(v1), v1);
        assert_eq!(sentence("PUBLIC_BUCKET_ACL"), "Public bucket ACL");
        assert_eq!(project("//storage.googleapis.com/projects/_/buckets/x"), None);
        assert_eq!(project("//cloudresourcemanager.googleapis.com/projects/123"), Some("123"));
    }
}

//! Defender for Cloud: continuous export, the Logic App trigger's body, the REST assessment, Resource
//! Graph rows, and legacy sub-assessments. They are one shape in several spellings.
//!
//! Sources: api-version 2025-05-04 of `Microsoft.Security/assessments`; the published event schema of
//! Microsoft-Defender-for-Cloud; captures. Spelling differs between them and inside one record, so
//! member names are compared without regard to case.

use amend_domain::{
    Action, Assessment, AssessmentId, Cloud, Recommendation, RecommendationKey, Resource, ResourceId, Risk, RiskLevel,
    Severity, Source, Status, StatusCode, TenantId,
    resource::{AccountId, arm_account, arm_connector, arm_type, arn_account, canonical_arm},
};
use serde_json::value::RawValue;

use crate::{
    Context, Reader,
    wire::{Many, Text, given, join, lower, time, wire},
};

wire! {
    /// A record of the export, as it stands on the wire.
    pub struct Body<'a> {
        id: Text<'a> = "id",
        name: Text<'a> = "name",
        kind: Text<'a> = "type",
        tenant: Text<'a> = "tenantId",
        properties: Properties<'a> = "properties",
        enrichment: Enrichment<'a> = "assessmentEventDataEnrichment" | "subAssessmentEventDataEnrichment",
        security_enrichment: Enrichment<'a> = "securityEventDataEnrichment",
        alert_type: Text<'a> = "AlertType",
        alert_id: Text<'a> = "SystemAlertId",
    }
}

wire! {
    /// What happened to the record.
    pub(crate) struct Enrichment<'a> {
        action: Text<'a> = "action",
        snapshot: bool = "isSnapshot",
    }
}

wire! {
    /// The assessment itself.
    pub(crate) struct Properties<'a> {
        details: Details<'a> = "resourceDetails",
        title: Text<'a> = "displayName",
        status: StatusPart<'a> = "status",
        extra: &'a RawValue = "additionalData",
        metadata: Metadata<'a> = "metadata",
        links: Links<'a> = "links",
        risk: RiskPart<'a> = "risk",
        // Sub-assessments only.
        remediation: Text<'a> = "remediation",
        generated: Text<'a> = "timeGenerated",
        vulnerability: Text<'a> = "id",
    }
}

wire! {
    pub(crate) struct Details<'a> {
        source: Text<'a> = "source",
        id: Text<'a> = "id",
        old_id: Text<'a> = "azureResourceId",
        native: Text<'a> = "nativeCloudUniqueIdentifier",
        native_resource: Text<'a> = "nativeResourceId",
        name: Text<'a> = "resourceName",
        kind: Text<'a> = "resourceType",
        connector: Text<'a> = "connectorId",
        region: Text<'a> = "region",
        hierarchy: Text<'a> = "hierarchyId",
        machine: Text<'a> = "machineName",
        vm: Text<'a> = "vmuuid",
    }
}

wire! {
    pub(crate) struct StatusPart<'a> {
        code: Text<'a> = "code",
        cause: Text<'a> = "cause",
        changed: Text<'a> = "statusChangeDate",
        first: Text<'a> = "firstEvaluationDate",
        severity: Text<'a> = "severity",
    }
}

wire! {
    pub(crate) struct Metadata<'a> {
        title: Text<'a> = "displayName",
        severity: Text<'a> = "severity",
        policy: Text<'a> = "policyDefinitionId",
        remediation: Text<'a> = "remediationDescription",
        areas: Many<Text<'a>> = "categories",
        category: Text<'a> = "recommendationCategory",
    }
}

wire! {
    pub(crate) struct Links<'a> {
        portal: Text<'a> = "azurePortal" | "azurePortalUri",
    }
}

wire! {
    pub(crate) struct RiskPart<'a> {
        level: Text<'a> = "level",
        factors: Many<Text<'a>> = "riskFactors",
        paths: Many<Text<'a>> = "attackPathsReferences",
    }
}

/// Reads a record of the export, borrowing from `text`.
///
/// # Errors
/// When `text` is not JSON, or a member has a type that no source gives it.
pub fn parse(text: &str) -> serde_json::Result<Body<'_>> {
    serde_json::from_str(text)
}

/// What a record is.
pub(crate) enum Kind {
    Assessment,
    SubAssessment,
    Other(&'static str, &'static str),
    NotDefender,
}

impl Body<'_> {
    /// Which of the records on the stream this is.
    pub(crate) fn what(&self) -> Kind {
        let kind = given(self.kind.as_ref()).unwrap_or_default();
        let tail = match kind.get(..19) {
            Some(head) if head.eq_ignore_ascii_case("microsoft.security/") => kind.get(19..).unwrap_or_default(),
            _ => "",
        };
        let is = |name: &str| tail.eq_ignore_ascii_case(name);
        let starts = |name: &str| tail.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name));
        if is("assessments") {
            Kind::Assessment
        } else if is("assessments/subassessments") {
            Kind::SubAssessment
        } else if self.alert_type.is_some() || self.alert_id.is_some() || starts("locations/alerts") || is("alerts") {
            Kind::Other("alert", "alerts are for the SOC; Amend remediates recommendations")
        } else if starts("securescores") {
            Kind::Other("secure score", "a score says how much, not what")
        } else if starts("regulatorycompliance") {
            Kind::Other("regulatory compliance", "the assessments behind it arrive by themselves")
        } else if starts("attackpaths") {
            Kind::Other("attack path", "the assessments on it arrive by themselves")
        } else if starts("assessments/governanceassignments") {
            Kind::Other("governance assignment", "it is read when it is needed")
        } else if tail.is_empty() && self.properties.as_ref().is_some_and(|p| p.status.is_some()) && self.id.is_some() {
            // Some tools drop `type`; the id tells.
            match self.id.as_deref().map(str::to_ascii_lowercase) {
                Some(id) if id.contains("/subassessments/") => Kind::SubAssessment,
                Some(id) if id.contains("/providers/microsoft.security/assessments/") => Kind::Assessment,
                _ => Kind::NotDefender,
            }
        } else {
            Kind::NotDefender
        }
    }
}

/// Where a record lacks what it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lacks {
    /// The member, as a JSON path.
    pub path: &'static str,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// Makes an assessment of an assessment record.
///
/// # Errors
/// When the id or the status is missing: without them nothing can be decided.
pub fn normalise(body: &Body<'_>, context: &Context) -> Result<Assessment, Lacks> {
    let lacks = |path| Lacks { path, problem: "this member is missing" };
    let id = given(body.id.as_ref()).ok_or(lacks("id"))?;
    let properties = body.properties.as_ref().ok_or(lacks("properties"))?;
    let status = properties.status.as_ref().ok_or(lacks("properties.status"))?;
    let code = given(status.code.as_ref()).ok_or(lacks("properties.status.code"))?;
    let metadata = properties.metadata.as_ref();
    let id = AssessmentId::new(id);
    let key = assessment_key(id.as_str()).or_else(|| given(body.name.as_ref())).ok_or(lacks("name"))?;
    let title = given(properties.title.as_ref()).or_else(|| given(metadata?.title.as_ref())).unwrap_or(key);
    let enrichment = |get: &dyn Fn(&Enrichment<'_>) -> Option<bool>| {
        body.enrichment.as_ref().and_then(get).or_else(|| body.security_enrichment.as_ref().and_then(get))
    };
    let action = given(body.enrichment.as_ref().and_then(|e| e.action.as_ref()))
        .or_else(|| given(body.security_enrichment.as_ref().and_then(|e| e.action.as_ref())));
    let severity = given(metadata.and_then(|m| m.severity.as_ref())).or_else(|| given(status.severity.as_ref()));
    let category = given(metadata.and_then(|m| m.category.as_ref())).filter(|c| !c.eq_ignore_ascii_case("unknown"));
    let areas = metadata.and_then(|m| m.areas.as_ref()).map(|areas| areas.0.iter().map(|area| lower(area)).collect());
    let risk = properties.risk.as_ref().and_then(|risk| {
        Some(Risk {
            level: RiskLevel::parse(given(risk.level.as_ref())?)?,
            factors: risk.factors.iter().flat_map(|f| &f.0).map(|factor| lower(factor)).collect(),
            attack_paths: risk.paths.as_ref().map_or(0, |paths| u32::try_from(paths.0.len()).unwrap_or(u32::MAX)),
        })
    });
    let remediation = given(metadata.and_then(|m| m.remediation.as_ref())).or(given(properties.remediation.as_ref()));
    let details = properties.extra.map(RawValue::get).filter(|raw| !matches!(*raw, "null" | "{}"));
    Ok(Assessment {
        tenant: given(body.tenant.as_ref()).map_or_else(|| context.tenant.clone(), TenantId::new),
        source: Source::Defender,
        recommendation: Recommendation {
            key: RecommendationKey::new("defender", key),
            title: title.into(),
            category: category.map(lower),
            areas: areas.unwrap_or_default(),
            policy: given(metadata.and_then(|m| m.policy.as_ref())).map(lower),
            remediation: remediation.map(Into::into),
        },
        resource: resource(id.as_str(), properties),
        status: Status {
            code: status_code(code),
            cause: given(status.cause.as_ref()).map(Into::into),
            changed: time(status.changed.as_ref()).or_else(|| time(properties.generated.as_ref())),
            first_evaluated: time(status.first.as_ref()),
        },
        severity: severity.and_then(Severity::parse),
        risk,
        action: match action {
            None => Action::Report,
            Some(word) if word.eq_ignore_ascii_case("insert") => Action::Report,
            Some(word) if word.eq_ignore_ascii_case("delete") => Action::Delete,
            Some(_) => Action::Unknown,
        },
        snapshot: context.snapshot || enrichment(&|e| e.snapshot).unwrap_or(false),
        sent: context.sent,
        link: given(properties.links.as_ref().and_then(|links| links.portal.as_ref())).map(with_scheme),
        details: details.map(Into::into),
        id,
    })
}

fn status_code(code: &str) -> StatusCode {
    let is = |word: &str| code.eq_ignore_ascii_case(word);
    if is("unhealthy") {
        StatusCode::Unhealthy
    } else if is("healthy") {
        StatusCode::Healthy
    } else if is("notapplicable") {
        StatusCode::NotApplicable
    } else {
        StatusCode::Other
    }
}

/// The key in a lower-cased assessment id; of a sub-assessment, its parent's.
fn assessment_key(id: &str) -> Option<&str> {
    let mut parts = id.rsplit('/');
    if let (Some(key), Some("assessments")) = (parts.next(), parts.next()) {
        return Some(key).filter(|key| !key.is_empty());
    }
    let (_, after) = id.rsplit_once("/assessments/")?;
    after.split('/').next().filter(|key| !key.is_empty())
}

/// The assessed resource. An AWS or Google Cloud resource is named by what its own cloud calls it,
/// never by taking the hyphenated name of Defender's entity apart.
fn resource(assessment: &str, properties: &Properties<'_>) -> Resource {
    let empty = Details::default();
    let details = properties.details.as_ref().unwrap_or(&empty);
    // Without a connector an old record names the Azure resource apart.
    let arm = given(details.id.as_ref())
        .filter(|_| details.connector.is_some() || details.old_id.is_none())
        .or_else(|| given(details.old_id.as_ref()))
        .or_else(|| given(details.id.as_ref()));
    let of_assessment = || assessment.rsplit_once("/providers/microsoft.security/assessments/").map(|(of, _)| of);
    let source = given(details.source.as_ref()).unwrap_or_default();
    let native = given(details.native.as_ref()).or_else(|| given(details.native_resource.as_ref()));
    let cloud = if source.is_empty() {
        native.map_or(Cloud::Azure, |native| ResourceId::new(native).cloud())
    } else {
        Cloud::parse(source).unwrap_or(Cloud::Other)
    };
    let name_in_cloud = match cloud {
        Cloud::Aws | Cloud::Gcp => native.or(arm),
        Cloud::Azure => arm.or(native),
        Cloud::Other => arm.or(native).or_else(|| given(details.vm.as_ref())),
    };
    let id = ResourceId::new(name_in_cloud.or_else(of_assessment).unwrap_or(assessment));
    // Machines outside the clouds that Defender sees through Azure Arc have an ARM id like any other.
    let cloud = if cloud == Cloud::Other && arm_account(id.as_str()).is_some() { Cloud::Azure } else { cloud };
    let connector = match cloud {
        Cloud::Aws | Cloud::Gcp => {
            let canonical = arm.map(canonical_arm);
            canonical.as_deref().and_then(arm_connector).or_else(|| arm_connector(assessment)).map(Box::from)
        }
        Cloud::Azure | Cloud::Other => None,
    };
    let hierarchy = given(details.hierarchy.as_ref());
    let account = match cloud {
        Cloud::Azure => AccountId::azure(id.as_str()),
        Cloud::Aws => hierarchy.and_then(AccountId::aws).or_else(|| arn_account(id.as_str())),
        Cloud::Gcp => hierarchy.and_then(AccountId::gcp),
        Cloud::Other => None,
    };
    let kind = match cloud {
        Cloud::Azure => arm_type(id.as_str()).map(Into::into),
        _ => given(details.kind.as_ref()).map(lower),
    };
    let name = given(details.name.as_ref())
        .map(Box::<str>::from)
        .or_else(|| given(details.machine.as_ref()).map(Into::into))
        .or_else(|| name_in_details(properties.extra))
        .unwrap_or_else(|| {
            name_in_cloud.and_then(|n| n.trim_end_matches('/').rsplit('/').next()).unwrap_or(id.short_name()).into()
        });
    Resource { id, cloud, kind, name, account, region: given(details.region.as_ref()).map(lower), connector }
}

/// The resource's name where only `additionalData` has it.
fn name_in_details(extra: Option<&RawValue>) -> Option<Box<str>> {
    wire! {
        struct Names<'a> {
            cloud: Text<'a> = "CloudNativeResourceName",
            plain: Text<'a> = "ResourceName",
        }
    }
    let names: Names<'_> = serde_json::from_str(extra?.get()).ok()?;
    given(names.cloud.as_ref()).or_else(|| given(names.plain.as_ref())).map(Into::into)
}

fn with_scheme(link: &str) -> Box<str> {
    if link.contains("://") { link.into() } else { ["https://", link].concat().into() }
}

/// Puts what a parsed record says into the reader. Gives the record back where it is not Defender's.
pub(crate) fn take<'a>(
    body: Body<'a>,
    raw: &str,
    path: &str,
    context: &Context,
    reader: &mut Reader,
) -> Option<Body<'a>> {
    match body.what() {
        Kind::Assessment | Kind::SubAssessment => match normalise(&body, context) {
            Ok(assessment) => reader.assessment(assessment, path, raw),
            Err(lacks) => reader.unreadable(&join(path, lacks.path), lacks.problem, None, raw),
        },
        Kind::Other(what, why) => reader.set_aside(what, why),
        Kind::NotDefender => return Some(body),
    }
    None
}

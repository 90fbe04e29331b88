//! AWS Security Hub CSPM: findings in ASFF.
//!
//! Source: "AWS Security Finding Format" of the AWS documentation. A finding without a compliance
//! status (GuardDuty, Macie, Inspector) says that something happened, not that a setting is wrong,
//! and is set aside.

use amend_domain::{
    Action, Assessment, AssessmentId, Cloud, Recommendation, RecommendationKey, Resource, ResourceId, Severity, Source,
    Status, StatusCode,
    resource::{AccountId, arn_account},
};
use jiff::Timestamp;

use crate::{
    Context, Reader,
    wire::{self, Many, Text, given, join, lower, time, wire},
};

wire! {
    struct Finding<'a> {
        id: Text<'a> = "Id",
        account: Text<'a> = "AwsAccountId",
        region: Text<'a> = "Region",
        generator: Text<'a> = "GeneratorId",
        title: Text<'a> = "Title",
        product: Text<'a> = "ProductName",
        first: Text<'a> = "FirstObservedAt",
        updated: Text<'a> = "UpdatedAt",
        record_state: Text<'a> = "RecordState",
        compliance: Compliance<'a> = "Compliance",
        workflow: Workflow<'a> = "Workflow",
        severity: SeverityPart<'a> = "Severity",
        fields: Fields<'a> = "ProductFields",
        remediation: Remediation<'a> = "Remediation",
        resources: Many<ResourcePart<'a>> = "Resources",
    }
}

wire! {
    struct Compliance<'a> {
        status: Text<'a> = "Status",
        control: Text<'a> = "SecurityControlId",
    }
}

wire! {
    struct Workflow<'a> {
        status: Text<'a> = "Status",
    }
}

wire! {
    struct SeverityPart<'a> {
        label: Text<'a> = "Label",
    }
}

wire! {
    struct Fields<'a> {
        control: Text<'a> = "ControlId",
        problem: Text<'a> = "amend/problem",
    }
}

/// The start of the ids of findings that Amend imports itself.
const OURS: &str = "amend/";

wire! {
    struct Remediation<'a> {
        recommendation: Advice<'a> = "Recommendation",
    }
}

wire! {
    struct Advice<'a> {
        text: Text<'a> = "Text",
        url: Text<'a> = "Url",
    }
}

wire! {
    struct ResourcePart<'a> {
        id: Text<'a> = "Id",
        kind: Text<'a> = "Type",
        region: Text<'a> = "Region",
    }
}

/// Reads one finding; one about several resources gives one assessment each.
pub(crate) fn read(raw: &str, path: &str, context: &Context, reader: &mut Reader) {
    let finding: Finding<'_> = match wire::parse(raw) {
        Ok(finding) => finding,
        Err(failed) => return reader.unreadable(&join(path, &failed.path), &failed.problem, None, raw),
    };
    let Some(id) = given(finding.id.as_ref()) else {
        return reader.unreadable(&join(path, "Id"), "this member is missing", None, raw);
    };
    // Amend put it there itself, for what Defender says: it says nothing new.
    if id.starts_with(OURS) && given(finding.fields.as_ref().and_then(|f| f.problem.as_ref())).is_some() {
        return reader.set_aside("finding of Amend", "Amend imported it itself");
    }
    let Some(compliance) = given(finding.compliance.as_ref().and_then(|c| c.status.as_ref())) else {
        let product = given(finding.product.as_ref()).unwrap_or("another product");
        return reader.set_aside(
            &format!("finding of {product}"),
            "it has no compliance status: it reports an event, not a setting",
        );
    };
    let resources = finding.resources.as_ref().map(|many| many.0.as_slice()).unwrap_or_default();
    if resources.is_empty() {
        return reader.unreadable(&join(path, "Resources"), "this member is missing or empty", None, raw);
    }
    let workflow = given(finding.workflow.as_ref().and_then(|w| w.status.as_ref())).unwrap_or_default();
    let (code, cause) = match compliance.to_ascii_uppercase().as_str() {
        _ if workflow.eq_ignore_ascii_case("SUPPRESSED") => (StatusCode::NotApplicable, Some("SUPPRESSED")),
        "FAILED" => (StatusCode::Unhealthy, None),
        "PASSED" => (StatusCode::Healthy, None),
        // WARNING and NOT_AVAILABLE: the check itself did not come to an end.
        _ => (StatusCode::Other, Some(compliance)),
    };
    let archived = given(finding.record_state.as_ref()).is_some_and(|state| state.eq_ignore_ascii_case("ARCHIVED"));
    let label = given(finding.severity.as_ref().and_then(|s| s.label.as_ref()));
    let severity =
        label.map(|l| if l.eq_ignore_ascii_case("informational") { "low" } else { l }).and_then(Severity::parse);
    let advice = finding.remediation.as_ref().and_then(|r| r.recommendation.as_ref());
    let control = control(
        given(finding.compliance.as_ref().and_then(|c| c.control.as_ref())),
        given(finding.fields.as_ref().and_then(|f| f.control.as_ref())),
        given(finding.generator.as_ref()).unwrap_or_default(),
    );
    let advice_parts = advice.map(|a| [given(a.text.as_ref()), given(a.url.as_ref())]);
    let said = Said {
        id,
        title: given(finding.title.as_ref()).unwrap_or(&control),
        control: &control,
        code,
        cause,
        action: if archived { Action::Delete } else { Action::Report },
        severity,
        account: given(finding.account.as_ref()).and_then(AccountId::aws),
        first_evaluated: time(finding.first.as_ref()),
        sent: time(finding.updated.as_ref()).or(context.sent),
        advice: advice_parts.map(|parts| parts.into_iter().flatten().collect::<Vec<_>>().join(" ")),
        link: advice.and_then(|a| given(a.url.as_ref())),
        several: resources.len() > 1,
    };
    for (at, part) in resources.iter().enumerate() {
        let Some(arn) = given(part.id.as_ref()) else {
            let path = join(path, &format!("Resources[{at}].Id"));
            reader.unreadable(&path, "this member is missing", None, raw);
            continue;
        };
        let region = given(part.region.as_ref()).or_else(|| given(finding.region.as_ref()));
        reader.assessment(
            said.of(&About { arn, kind: given(part.kind.as_ref()), name: None, region }, context),
            path,
            raw,
        );
    }
}

/// What a finding says of all its resources, whichever format it came in.
pub(crate) struct Said<'f> {
    pub(crate) id: &'f str,
    pub(crate) control: &'f str,
    pub(crate) title: &'f str,
    pub(crate) code: StatusCode,
    pub(crate) cause: Option<&'f str>,
    pub(crate) action: Action,
    pub(crate) severity: Option<Severity>,
    pub(crate) account: Option<AccountId>,
    pub(crate) first_evaluated: Option<Timestamp>,
    pub(crate) sent: Option<Timestamp>,
    pub(crate) advice: Option<String>,
    pub(crate) link: Option<&'f str>,
    /// Whether it is about several resources, so that each needs an id of its own.
    pub(crate) several: bool,
}

/// One of the resources of a finding.
pub(crate) struct About<'f> {
    pub(crate) arn: &'f str,
    pub(crate) kind: Option<&'f str>,
    pub(crate) name: Option<&'f str>,
    pub(crate) region: Option<&'f str>,
}

impl Said<'_> {
    /// The assessment of one resource.
    pub(crate) fn of(&self, about: &About<'_>, context: &Context) -> Assessment {
        let id = ResourceId::new(about.arn);
        let own = if self.several { format!("{}|{}", self.id, about.arn) } else { self.id.to_owned() };
        Assessment {
            tenant: context.tenant.clone(),
            source: Source::SecurityHub,
            id: AssessmentId::new(&own),
            recommendation: Recommendation {
                key: RecommendationKey::new("securityhub", self.control),
                title: self.title.into(),
                category: None,
                areas: Vec::new(),
                policy: None,
                remediation: self.advice.as_deref().map(Into::into),
            },
            resource: Resource {
                cloud: Cloud::Aws,
                kind: about.kind.map(resource_type),
                name: about.name.unwrap_or(id.short_name()).into(),
                account: self.account.clone().or_else(|| arn_account(id.as_str())),
                region: about.region.map(lower),
                connector: None,
                id,
            },
            status: Status {
                code: self.code,
                cause: self.cause.filter(|cause| !cause.is_empty()).map(Into::into),
                // Security Hub tells when a finding was updated, not when its status changed.
                changed: None,
                first_evaluated: self.first_evaluated,
            },
            severity: self.severity,
            risk: None,
            action: self.action,
            snapshot: context.snapshot,
            sent: self.sent,
            link: self.link.map(Into::into),
            details: None,
        }
    }
}

/// The control behind a finding: `S3.8`, or the last parts of the generator's id where no member
/// names it (`cis-aws-foundations-benchmark/v/1.2.0/rule/1.3`).
#[must_use]
pub fn control(security_control: Option<&str>, product_control: Option<&str>, generator: &str) -> String {
    if let Some(control) = security_control.or(product_control) {
        return control.to_owned();
    }
    let generator = if generator.is_empty() { "unknown" } else { generator };
    let last = generator.rsplit('/').next().unwrap_or(generator);
    // `S3.8` names a control by itself; a bare number needs the standard before it.
    if last.starts_with(|c: char| c.is_ascii_alphabetic()) && last.contains('.') {
        last.to_owned()
    } else {
        generator.rsplit(":::").next().unwrap_or(generator).trim_start_matches("ruleset/").to_owned()
    }
}

/// `AwsS3Bucket` and `AWS::S3::Bucket` as the rest of Amend writes them: `s3.bucket`.
#[must_use]
pub fn resource_type(text: &str) -> Box<str> {
    if let Some(rest) = text.strip_prefix("AWS::") {
        return rest.replace("::", ".").to_ascii_lowercase().into();
    }
    let Some(rest) = text.strip_prefix("Aws").filter(|rest| !rest.is_empty()) else { return lower(text) };
    let second = rest.char_indices().skip(1).find(|(_, c)| c.is_ascii_uppercase()).map(|(at, _)| at);
    match second.and_then(|at| rest.split_at_checked(at)) {
        Some((service, kind)) => format!("{service}.{kind}").to_ascii_lowercase().into(),
        None => lower(rest),
    }
}

#[cfg(test)]
mod tests {
    use super::resource_type;

    #[test]
    fn types_are_written_one_way() {
        for (theirs, ours) in [
            ("AwsS3Bucket", "s3.bucket"),
            ("AwsEc2SecurityGroup", "ec2.securitygroup"),
            ("AWS::KMS::Key", "kms.key"),
            ("AwsAccount", "account"),
            ("Other", "other"),
        ] {
            assert_eq!(&*resource_type(theirs), ours);
        }
    }
}

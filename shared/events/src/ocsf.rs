//! AWS Security Hub (the later service): compliance findings in OCSF.
//!
//! Source: OCSF 1.x, class 2003 "Compliance Finding"; "Findings Imported V2" of the AWS
//! documentation. Other classes report events, not settings, and are set aside.

use amend_domain::{Action, Severity, StatusCode, resource::AccountId};
use jiff::Timestamp;

use crate::{
    Context, Reader,
    security_hub::{About, Said},
    wire::{self, Many, Text, given, join, time, wire},
};

wire! {
    struct Finding<'a> {
        class: u64 = "class_uid",
        class_name: Text<'a> = "class_name",
        status: Text<'a> = "status",
        severity: Text<'a> = "severity",
        millis: i64 = "time",
        time: Text<'a> = "time_dt",
        activity: Text<'a> = "activity_name",
        info: Info<'a> = "finding_info",
        compliance: Compliance<'a> = "compliance",
        resources: Many<ResourcePart<'a>> = "resources",
        cloud: CloudPart<'a> = "cloud",
        remediation: Remediation<'a> = "remediation",
    }
}

wire! {
    struct Info<'a> {
        id: Text<'a> = "uid",
        title: Text<'a> = "title",
        created: Text<'a> = "created_time_dt",
        modified: Text<'a> = "modified_time_dt",
    }
}

wire! {
    struct Compliance<'a> {
        control: Text<'a> = "control",
        status: Text<'a> = "status",
        status_id: u64 = "status_id",
    }
}

wire! {
    struct ResourcePart<'a> {
        id: Text<'a> = "uid",
        other_id: Text<'a> = "uid_alt",
        kind: Text<'a> = "type",
        name: Text<'a> = "name",
        region: Text<'a> = "region",
    }
}

wire! {
    struct CloudPart<'a> {
        account: AccountPart<'a> = "account",
        region: Text<'a> = "region",
    }
}

wire! {
    struct AccountPart<'a> {
        id: Text<'a> = "uid",
    }
}

wire! {
    struct Remediation<'a> {
        text: Text<'a> = "desc",
        links: Many<Text<'a>> = "references",
    }
}

/// Reads one finding; one about several resources gives one assessment each.
pub(crate) fn read(raw: &str, path: &str, context: &Context, reader: &mut Reader) {
    let finding: Finding<'_> = match wire::parse(raw) {
        Ok(finding) => finding,
        Err(failed) => return reader.unreadable(&join(path, &failed.path), &failed.problem, None, raw),
    };
    if finding.class != Some(2003) {
        let name = given(finding.class_name.as_ref()).unwrap_or("another class");
        return reader.set_aside(
            &format!("OCSF finding of {name}"),
            "only compliance findings (class 2003) say that a setting is wrong",
        );
    }
    let missing =
        |reader: &mut Reader, member: &str| reader.unreadable(&join(path, member), "this member is missing", None, raw);
    let Some(id) = given(finding.info.as_ref().and_then(|info| info.id.as_ref())) else {
        return missing(reader, "finding_info.uid");
    };
    // Amend put it there itself, for what Defender says: it says nothing new.
    if id.starts_with("amend/p-") {
        return reader.set_aside("finding of Amend", "Amend imported it itself");
    }
    let Some(compliance) = finding.compliance.as_ref() else { return missing(reader, "compliance") };
    let Some(control) = given(compliance.control.as_ref()) else { return missing(reader, "compliance.control") };
    let resources = finding.resources.as_ref().map(|many| many.0.as_slice()).unwrap_or_default();
    if resources.is_empty() {
        return missing(reader, "resources");
    }
    let result = given(compliance.status.as_ref()).unwrap_or_default();
    let suppressed = given(finding.status.as_ref()).is_some_and(|status| status.eq_ignore_ascii_case("suppressed"));
    let (code, cause) = match (result.to_ascii_lowercase().as_str(), compliance.status_id) {
        _ if suppressed => (StatusCode::NotApplicable, Some("SUPPRESSED")),
        ("fail" | "failed", _) | ("", Some(3)) => (StatusCode::Unhealthy, None),
        ("pass" | "passed", _) | ("", Some(1)) => (StatusCode::Healthy, None),
        _ => (StatusCode::Other, Some(result)),
    };
    let closed = given(finding.activity.as_ref()).is_some_and(|activity| activity.eq_ignore_ascii_case("close"));
    let action = if closed && code == StatusCode::Unhealthy { Action::Delete } else { Action::Report };
    let info = finding.info.as_ref();
    let sent = time(info.and_then(|i| i.modified.as_ref()))
        .or_else(|| time(finding.time.as_ref()))
        .or_else(|| finding.millis.and_then(|millis| Timestamp::from_millisecond(millis).ok()))
        .or(context.sent);
    let severity = given(finding.severity.as_ref())
        .map(|s| match s.to_ascii_lowercase().as_str() {
            "informational" => "low",
            "fatal" => "critical",
            _ => s,
        })
        .and_then(Severity::parse);
    let cloud = finding.cloud.as_ref();
    let account = cloud.and_then(|c| c.account.as_ref()).and_then(|a| a.id.as_ref());
    let remediation = finding.remediation.as_ref();
    let links = remediation.and_then(|r| r.links.as_ref()).map(|l| l.0.as_slice()).unwrap_or_default();
    let said = Said {
        id,
        control,
        title: given(info.and_then(|i| i.title.as_ref())).unwrap_or(control),
        code,
        cause,
        action,
        severity,
        account: given(account).and_then(AccountId::aws),
        first_evaluated: time(info.and_then(|i| i.created.as_ref())),
        sent,
        advice: given(remediation.and_then(|r| r.text.as_ref())).map(str::to_owned),
        link: links.first().map(|link| &**link),
        several: resources.len() > 1,
    };
    for (at, part) in resources.iter().enumerate() {
        // Some senders put the bare name under `uid` and the ARN beside it.
        let names = [given(part.id.as_ref()), given(part.other_id.as_ref())];
        let Some(arn) = names.iter().flatten().find(|id| id.starts_with("arn:")).or(names.iter().flatten().next())
        else {
            missing(reader, &format!("resources[{at}].uid"));
            continue;
        };
        let name = given(part.name.as_ref()).filter(|name| !name.starts_with("arn:"));
        let region = given(part.region.as_ref()).or_else(|| given(cloud.and_then(|c| c.region.as_ref())));
        reader.assessment(said.of(&About { arn, kind: given(part.kind.as_ref()), name, region }, context), path, raw);
    }
}

//! What people let be, here or where a cloud keeps it, is let be: nothing is sent, and it is said why.

use amend_domain::{Cloud, Setting, exemption::Category, guard::Says, plan::State, rule::Mode, work::After};
use amend_events::Form;
use amend_pipeline::{approve::Answered, exempt::Wanted, fixer::Limits, guard, people::Person};
use amend_store::Store as _;
use amend_tests::{clouds::Served, harness::moment, subject::Subject};
use serde_json::{Value, json};

use crate::{
    guards::silent,
    work::{Bench, KEY, bench, bench_on, mild, storage},
};

fn ann() -> Person {
    Person::named("ann")
}

/// What two people let be is let be for a while; what one of them asked for is for a person.
#[tokio::test]
async fn what_two_people_let_be_is_let_be() {
    let subject = storage();
    let bench = bench("enforce", Mode::Enforce).await;
    let until = moment("2026-12-20T12:00:00Z");
    let wanted = |on: &str, setting: Option<&str>| Wanted {
        on: on.to_lowercase(),
        setting: setting.map(Setting::new),
        category: Category::RiskAccepted,
        why: "the partner needs HTTP".into(),
        until,
    };
    let group = subject.resource.split("/providers/").next().expect("a group").to_owned();
    let of = Some("azure.storage.secure-transfer");
    // Of another setting, and of another resource: they are about something else.
    for (on, setting) in [(&*subject.resource, Some("azure.storage.public-access")), ("/subscriptions/other", None)] {
        let other = bench.fixer.exempt(wanted(on, setting), &ann()).await.expect("asked for");
        bench.fixer.approve_exemption(&other.id, &Person::named("bob")).await.expect("approved");
    }
    let asked = bench.fixer.exempt(wanted(&group, of), &ann()).await.expect("asked for");
    bench.after(&subject).await;
    assert_eq!(bench.states(&subject).await, [State::AwaitingApproval], "one person's word makes it a question");
    let r = bench.remediations(&subject).await.remove(0);
    let check = r.checks.iter().find(|check| &*check.guard == "own-exemption").expect("it says something");
    assert_eq!(
        (&check.says, &*check.why),
        (&Says::Ask, "ann asks to exempt it (risk-accepted): the partner needs HTTP")
    );
    // It takes two, and each once.
    let own = bench.fixer.approve_exemption(&asked.id, &Person::named("Ann ")).await.expect_err("refused");
    assert!(own.to_string().ends_with("whoever asked for an exemption cannot approve it"), "{own}");
    let nobody = bench.fixer.approve_exemption(&asked.id, &Person::local()).await.expect_err("refused");
    assert_eq!(nobody.code(), "no-name");
    let approved = bench.fixer.approve_exemption(&asked.id, &Person::named("bob")).await.expect("approved");
    assert_eq!(approved.approved.as_ref().map(|approval| &*approval.by), Some("bob"));
    let twice = bench.fixer.approve_exemption(&asked.id, &Person::named("cat")).await.expect_err("refused");
    assert!(twice.to_string().ends_with("it was approved before"), "{twice}");
    // Exempted between approval and write: nothing is sent.
    let answer = Answered::yes(ann());
    bench.fixer.answer(&r.id, &r.plan.digest, &answer).await.expect("answered");
    silent(&bench, &subject).await;
    let why = "own-exemption: ann exempted it (risk-accepted): the partner needs HTTP";
    let held = bench.store().work(10).await.expect("listed").remove(0);
    assert_eq!((held.due, held.why.as_deref()), (until, Some(why)), "it is shown");
    // Also not by hand: of this setting, and what is about the whole group.
    let problem = bench.store().problems(&amend_store::Filter::default()).await.expect("listed").remove(0);
    let other = storage();
    bench.report(&other, "Unhealthy", "2026-11-18T07:00:00Z").await;
    let plan = bench.fixer.plan_problem(&problem, &serde_json::Map::new()).await.expect("planned");
    let busy = bench.fixer.begin(plan, "ada").await.expect_err("refused");
    assert_eq!(busy.code(), "remediation.busy");
    // It is said once that it ends.
    assert!(bench.fixer.remind_of_exemptions().await.expect("asked").is_empty(), "there is a month left");
    bench.inner.clock.set("2026-12-07T12:00:00Z");
    let ending: Vec<_> =
        bench.fixer.remind_of_exemptions().await.expect("asked").into_iter().map(|one| one.id).collect();
    assert_eq!(ending.len(), 3, "{ending:?}");
    assert!(bench.fixer.remind_of_exemptions().await.expect("asked").is_empty(), "once");
    // Ended before its time, it is due at once.
    let missing = bench.fixer.end_exemption("x-none", &ann()).await.expect_err("there is none");
    assert_eq!(missing.code(), "not-found");
    bench.fixer.end_exemption(&asked.id, &ann()).await.expect("ended");
    bench.work().await;
    assert_eq!(bench.states(&subject).await, [State::Set]);
    let told = bench.told(|entry| *entry.subject == *asked.id).await;
    let expected =
        ["ann exemption.asked", "bob exemption.approved", "amend exemption.ends-soon", "ann exemption.ended"];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn an_exemption_ends_by_itself_and_is_never_too_long() {
    let subject = storage();
    let bench = bench("enforce", Mode::Enforce).await;
    let wanted = |until: &str| Wanted {
        on: subject.resource.to_lowercase(),
        setting: None,
        category: Category::Mitigated,
        why: "behind the firewall".into(),
        until: moment(until),
    };
    for (until, by, code) in [
        ("2026-11-20T12:00:00Z", ann(), "exemption.refused"),
        ("2027-05-19T12:00:01Z", ann(), "exemption.refused"),
        ("2026-11-25T12:00:00Z", Person::local(), "no-name"),
    ] {
        let refused = bench.fixer.exempt(wanted(until), &by).await.expect_err("refused");
        assert_eq!(refused.code(), code, "{until}");
    }
    let asked = bench.fixer.exempt(wanted("2026-11-25T12:00:00Z"), &ann()).await.expect("asked for");
    bench.fixer.approve_exemption(&asked.id, &Person::named("bob")).await.expect("approved");
    let After::Held { at, .. } = bench.after(&subject).await else { panic!("held") };
    assert_eq!(at, asked.until);
    silent(&bench, &subject).await;
    let problem = bench.store().problems(&amend_store::Filter::default()).await.expect("listed").remove(0);
    let plan = bench.fixer.plan_problem(&problem, &serde_json::Map::new()).await.expect("planned");
    let refused = bench.fixer.begin(plan, "ada").await.expect_err("also not by hand");
    assert_eq!(
        refused.to_string(),
        format!("`{}` is exempted until 2026-11-25 12:00 UTC by ann: behind the firewall", problem.resource.id)
    );
    bench.inner.clock.set("2026-11-25T12:00:00Z");
    assert!(bench.store().exemptions(bench.fixer.now()).await.expect("listed").is_empty());
    bench.work().await;
    assert_eq!(bench.states(&subject).await, [State::Set]);
}

/// Where people have names, an answer is one of theirs.
#[tokio::test]
async fn where_people_have_names_only_they_answer() {
    let subject = storage();
    let bench = bench("approve", Mode::Approve).await;
    let limits = Limits { most: Some(Mode::Approve), guards: mild(), named: true, ..Limits::default() };
    let bench = Bench { fixer: bench.fixer.clone().with_limits(limits), ..bench };
    bench.after(&subject).await;
    let r = bench.remediations(&subject).await.remove(0);
    for why_not in [None, Some("no".to_owned())] {
        let answer = Answered { why_not, ..Answered::yes(Person::local()) };
        let refused = bench.fixer.answer(&r.id, &r.plan.digest, &answer).await.expect_err("refused");
        assert_eq!(refused.code(), "no-name");
    }
    let wanted = Wanted {
        on: subject.resource.to_lowercase(),
        setting: None,
        category: Category::Mitigated,
        why: "x".into(),
        until: moment("2026-11-25T12:00:00Z"),
    };
    let asked = bench.fixer.exempt(wanted, &ann()).await.expect("asked for");
    let refused = bench.fixer.end_exemption(&asked.id, &Person::local()).await.expect_err("refused");
    assert_eq!(refused.code(), "no-name", "what protects is not taken away by nobody");
    bench.fixer.end_exemption(&asked.id, &ann()).await.expect("taken back");
    silent(&bench, &subject).await;
    let answer = Answered::yes(ann());
    bench.fixer.answer(&r.id, &r.plan.digest, &answer).await.expect("approved");
    bench.work().await;
    assert_eq!(bench.states(&subject).await, [State::Set]);
}

/// A finding of Security Hub in ASFF.
pub(crate) fn asff(subject: &Subject, control: &str, workflow: &str) -> Value {
    let at = "2026-11-18T07:00:00Z";
    json!({
        "SchemaVersion": "2018-10-08",
        "Id": format!("arn:aws:securityhub:{}:123456789012:security-control/{control}/finding/{}", subject.region, subject.resource.rsplit(':').next().unwrap_or_default()),
        "ProductArn": format!("arn:aws:securityhub:{}::product/aws/securityhub", subject.region),
        "GeneratorId": format!("security-control/{control}"),
        "AwsAccountId": "123456789012",
        "Types": ["Software and Configuration Checks"],
        "CreatedAt": at, "UpdatedAt": at,
        "Severity": { "Label": "HIGH" },
        "Title": "S3 general purpose buckets should require requests to use SSL", "Description": "public",
        "Resources": [{ "Type": "AwsS3Bucket", "Id": subject.resource, "Region": subject.region }],
        "Compliance": { "Status": "FAILED", "SecurityControlId": control },
        "Workflow": { "Status": workflow }, "RecordState": "ACTIVE",
    })
}

/// What Security Hub holds is read just before: suppressed there, nothing is sent.
#[tokio::test]
async fn what_is_suppressed_in_security_hub_is_let_be() {
    let aws = Served::moto();
    for (name, kept, suppressed) in [
        ("suppressed", Some(("S3.5", "SUPPRESSED")), true),
        ("only seen", Some(("S3.5", "NOTIFIED")), false),
        ("another control of the bucket", Some(("S3.1", "SUPPRESSED")), false),
        ("nothing there", None, false),
    ] {
        let subject = Subject::make("aws.s3.require-tls", "bad");
        if let Some((control, workflow)) = kept {
            let with = json!({ "Findings": [asff(&subject, control, workflow)] });
            aws.ask(&json!({ "do": "call", "service": "securityhub", "method": "batch_import_findings", "with": with, "region": subject.region }));
        }
        let bench = bench_on(Cloud::Aws, aws, "enforce", Mode::Enforce).await;
        bench.inner.accept(Form::Plain, &asff(&subject, "S3.5", "NEW").to_string()).await;
        let (_, after) = bench.fixer.work(None).await.expect("the store answers").expect("something is due");
        if suppressed {
            assert_eq!(
                after,
                After::Parked { why: "exemption: `securityhub:s3.5` is suppressed in Security Hub".into() },
                "{name}"
            );
            bench.work().await;
            assert_eq!(bench.all_writes(), 0, "{name}");
            // Whoever does not use it says so, and it is not asked.
            let unused = bench.guarded(guard::Settings { not_used: vec!["security-hub".into()], ..mild() });
            unused.store().retry_work(None, unused.fixer.now()).await.expect("retried");
            unused.work().await;
            assert_eq!(unused.states(&subject).await, [State::Set], "{name}");
        } else {
            bench.work().await;
            assert_eq!(bench.states(&subject).await, [State::Set], "{name}");
            let checks = bench.remediations(&subject).await.remove(0).checks;
            assert!(checks.iter().all(|check| check.says == Says::Pass), "{name}: {checks:?}");
        }
    }
}

/// Security Hub has one code for being off and for what the caller may not do.
#[tokio::test]
async fn security_hub_that_is_off_suppresses_nothing_and_one_that_refuses_may() {
    let aws = Served::moto();
    for (message, off) in [
        ("Account 123456789012 is not subscribed to AWS Security Hub", true),
        ("The account doesn't have permission to perform this action", false),
    ] {
        let subject = Subject::make("aws.s3.require-tls", "bad");
        let bench = bench_on(Cloud::Aws, aws, "enforce", Mode::Enforce).await;
        *bench.cloud.refused.lock().expect("nobody panics") =
            Some(["securityhub:GetFindings", "InvalidAccessException", message]);
        bench.inner.accept(Form::Plain, &asff(&subject, "S3.5", "NEW").to_string()).await;
        let (_, after) = bench.fixer.work(None).await.expect("the store answers").expect("something is due");
        bench.work().await;
        if off {
            assert_eq!(bench.states(&subject).await, [State::Set], "{message}");
        } else {
            let After::Parked { why } = after else { panic!("{after:?}") };
            assert!(why.starts_with("exemption: suppressed findings cannot be read"), "{why}");
            assert_eq!(bench.all_writes(), 0, "{message}");
        }
    }
}

/// A finding of Security Command Center, as it lists it.
pub(crate) fn scc(subject: &Subject, category: &str, mute: &str) -> Value {
    let name = subject.resource.rsplit('/').next().expect("a name");
    json!({
        "finding": {
            "name": format!("organizations/1/sources/2/findings/{name}-{category}"),
            "parent": "organizations/1/sources/2",
            "resourceName": subject.resource, "category": category, "state": "ACTIVE", "mute": mute,
            "findingClass": "MISCONFIGURATION", "severity": "HIGH", "eventTime": "2026-11-18T07:00:00Z",
            "createTime": "2026-11-18T07:00:00Z",
        },
        "resource": { "name": subject.resource, "projectName": "//cloudresourcemanager.googleapis.com/projects/734512090001" },
    })
}

/// The same of Security Command Center, over its pages.
#[tokio::test]
async fn what_is_muted_in_security_command_center_is_let_be() {
    let gcp = Served::gcp();
    let others = ["OPEN_RDP_PORT", "BUCKET_LOGGING_DISABLED"];
    for (name, kept, muted) in [
        (
            "muted, on the third page",
            &[(others[0], "MUTED"), (others[1], "MUTED"), ("PUBLIC_BUCKET_ACL", "MUTED")][..],
            true,
        ),
        ("not muted", &[("PUBLIC_BUCKET_ACL", "UNMUTED")], false),
        ("muted for something else", &[(others[1], "MUTED")], false),
    ] {
        let subject = Subject::make("gcp.storage.public-access-prevention", "bad");
        for (category, mute) in kept {
            gcp.ask(&json!({ "do": "finding", "put": scc(&subject, category, mute) }));
        }
        let bench = bench_on(Cloud::Gcp, gcp, "enforce", Mode::Enforce).await;
        bench.inner.accept(Form::Plain, &scc(&subject, "PUBLIC_BUCKET_ACL", "UNDEFINED").to_string()).await;
        let (_, after) = bench.fixer.work(None).await.expect("the store answers").expect("something is due");
        if muted {
            let why = "exemption: `scc:public_bucket_acl` is muted in Security Command Center";
            assert_eq!(after, After::Parked { why: why.into() }, "{name}");
            bench.work().await;
            assert_eq!(bench.all_writes(), 0, "{name}");
        } else {
            assert_eq!(after, After::Done, "{name}");
            let checks = bench.remediations(&subject).await.remove(0).checks;
            let says = checks.iter().find(|check| &*check.guard == "exemption").map(|check| &check.says);
            assert_eq!(says, Some(&Says::Pass), "{name}: {checks:?}");
        }
    }
    // Where it cannot be read, nothing is written. (This is the only test that asks for findings there.)
    let subject = Subject::make("gcp.storage.public-access-prevention", "bad");
    let bench = bench_on(Cloud::Gcp, gcp, "enforce", Mode::Enforce).await;
    gcp.ask(&json!({
        "do": "fail", "match": { "method": "GET", "path": "/sources/-/findings" },
        "with": { "status": 403, "reason": "SERVICE_DISABLED", "message": "it is off" },
    }));
    bench.inner.accept(Form::Plain, &scc(&subject, "PUBLIC_BUCKET_ACL", "UNDEFINED").to_string()).await;
    let (_, after) = bench.fixer.work(None).await.expect("the store answers").expect("something is due");
    let After::Parked { why } = after else { panic!("{after:?}") };
    assert!(why.starts_with("exemption: muted findings cannot be read") && why.contains("it is off"), "{why}");
    bench.work().await;
    assert_eq!(bench.all_writes(), 0);
}

/// What Defender itself exempts is read live: of the resource, and of the scopes above it.
#[tokio::test]
async fn what_is_exempted_in_defender_is_let_be() {
    let azure = Served::azure();
    let assign = |subject: &Subject, above: bool, more: Value| {
        let mut properties = json!({ "displayName": "the partner needs HTTP", "effect": "Exempt" });
        properties.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let scope =
            if above { subject.resource.split("/providers/").next().expect("a group") } else { &subject.resource };
        let id = format!("{scope}/providers/Microsoft.Security/standardAssignments/exempt");
        azure.ask(&json!({ "do": "change", "resource": id, "merge": { "name": "exempt", "type": "Microsoft.Security/standardAssignments", "properties": properties } }));
    };
    let of = |key: &str| json!({ "exemptionCategory": "waiver", "assignedAssessment": { "assessmentKey": key } });
    let ours = || of(KEY);
    let (covers, may) = (
        "the exemption `the partner needs HTTP` of Defender covers it",
        "the exemption `the partner needs HTTP` of Defender may cover it",
    );
    let none = "nobody exempted it in Defender";
    for (name, above, more, says, why) in [
        ("of the resource", false, json!({ "exemptionData": ours() }), Says::No, covers),
        ("of its group", true, json!({ "exemptionData": ours() }), Says::No, covers),
        ("until some day", true, json!({ "exemptionData": ours(), "expiresOn": "one day" }), Says::No, covers),
        ("of a whole standard", true, json!({}), Says::Ask, may),
        (
            "of another recommendation",
            true,
            json!({ "exemptionData": of("51fd8bb1-0db4-bbf1-7e2b-cfcba7eb66a6") }),
            Says::Pass,
            none,
        ),
        ("over", true, json!({ "exemptionData": ours(), "expiresOn": "2026-11-20T11:59:59Z" }), Says::Pass, none),
        ("an audit", true, json!({ "effect": "Audit" }), Says::Pass, none),
    ] {
        let subject = storage();
        assign(&subject, above, more);
        let bench = bench("enforce", Mode::Enforce).await;
        let after = bench.after(&subject).await;
        bench.work().await;
        let states = bench.states(&subject).await;
        match says {
            Says::No => assert_eq!(after, After::Parked { why: format!("defender-exemption: {why}") }, "{name}"),
            Says::Ask => assert_eq!(states, [State::AwaitingApproval], "{name}"),
            _ => assert_eq!(states, [State::Set], "{name}"),
        }
        if says != Says::No {
            let checks = bench.remediations(&subject).await.remove(0).checks;
            let check = checks.iter().find(|check| &*check.guard == "defender-exemption").expect("it says something");
            assert_eq!((&check.says, &*check.why), (&says, why), "{name}");
        }
        if says != Says::Pass {
            silent(&bench, &subject).await;
        }
    }
    // Excluded from what is exempted above, and what cannot be read.
    let subject = storage();
    assign(&subject, true, json!({ "exemptionData": ours(), "excludedScopes": [subject.resource.to_uppercase()] }));
    let free = bench("enforce", Mode::Enforce).await;
    free.after(&subject).await;
    free.work().await;
    assert_eq!(free.states(&subject).await, [State::Set]);
    let subject = storage();
    let refused = bench("enforce", Mode::Enforce).await;
    *refused.cloud.refused.lock().expect("nobody panics") = Some(["standardAssignments", "AuthorizationFailed", "no"]);
    let After::Parked { why } = refused.after(&subject).await else { panic!("parked") };
    assert!(why.starts_with("defender-exemption: standard assignments cannot be read"), "{why}");
    silent(&refused, &subject).await;
}

/// What Defender exempts of a resource of another cloud is read in Azure, under the name that it has there.
#[tokio::test]
async fn what_defender_exempts_in_another_cloud_is_let_be() {
    const BLOCKED: &str = "83f16376-e2dd-487d-b5ee-ba67fef4c5c0";
    let entity = |subject: &Subject| {
        let name = subject.resource.rsplit(':').next().expect("a name");
        format!(
            "/subscriptions/8f2c6f0a-41d7-4c8e-9b1f-2a3d5e7f9011/resourcegroups/{name}/providers/microsoft.security/securityconnectors/aws-prod/securityentitydata/aws-s3-bucket-{name}"
        )
    };
    let report = |subject: &Subject, entity: &str| {
        json!({
            "type": "Microsoft.Security/assessments", "name": BLOCKED,
            "id": format!("{entity}/providers/Microsoft.Security/assessments/{BLOCKED}"),
            "properties": {
                "resourceDetails": {
                    "source": "Aws", "id": entity, "nativeCloudUniqueIdentifier": subject.resource,
                    "region": subject.region, "resourceType": "s3.bucket", "hierarchyId": "123456789012",
                },
                "displayName": "S3 Block Public Access setting should be enabled at the bucket level",
                "status": { "code": "Unhealthy", "statusChangeDate": "2026-11-18T07:00:00Z" },
                "metadata": { "severity": "High" },
            },
        })
    };
    let exempt = |scope: &str, key: &str| {
        let properties = json!({
            "displayName": "a public site", "effect": "Exempt",
            "exemptionData": { "exemptionCategory": "waiver", "assignedAssessment": { "assessmentKey": key } },
        });
        let id = format!("{scope}/providers/Microsoft.Security/standardAssignments/exempt");
        let merge =
            json!({ "name": "exempt", "type": "Microsoft.Security/standardAssignments", "properties": properties });
        Served::azure().ask(&json!({ "do": "change", "resource": id, "merge": merge }));
    };
    for (name, above, key, says) in [
        ("the resource", 0, BLOCKED, Says::No),
        ("its connector", 2, BLOCKED, Says::No),
        ("the group of its connector", 6, BLOCKED, Says::No),
        ("another recommendation", 2, KEY, Says::Pass),
        ("nothing", 0, "", Says::Pass),
        ("what nobody may read", 0, "403", Says::Ask),
        ("what has no name in Azure", 0, "none", Says::Ask),
    ] {
        let subject = Subject::make("aws.s3.block-public-access", "bad");
        let mut entity = entity(&subject);
        let parts: Vec<&str> = entity.split('/').collect();
        let scope = parts[..parts.len() - above].join("/");
        // Defender knows both.
        for (known, kind) in [
            (parts[..parts.len() - 2].join("/"), "securityConnectors"),
            (entity.clone(), "securityConnectors/securityEntityData"),
        ] {
            let merge = json!({ "name": "aws-prod", "type": format!("Microsoft.Security/{kind}"), "properties": {} });
            Served::azure().ask(&json!({ "do": "change", "resource": known, "merge": merge }));
        }
        let bench = bench_on(Cloud::Aws, Served::moto(), "enforce", Mode::Enforce).await;
        match key {
            "" => {}
            "403" => {
                *bench.cloud.refused.lock().expect("nobody panics") =
                    Some(["standardAssignments", "AuthorizationFailed", "no"]);
            }
            "none" => entity = format!("/providers/x/{}", subject.resource.len()),
            key => exempt(&scope, key),
        }
        bench.inner.accept(Form::Plain, &report(&subject, &entity).to_string()).await;
        let (_, after) = bench.fixer.work(None).await.expect("the store answers").expect("something is due");
        if says == Says::No {
            let why = "defender-exemption: the exemption `a public site` of Defender covers it";
            assert_eq!(after, After::Parked { why: why.into() }, "{name}");
        } else {
            let checks = bench.remediations(&subject).await.remove(0).checks;
            let check = checks.iter().find(|check| &*check.guard == "defender-exemption").expect("it says something");
            assert_eq!(check.says, says, "{name}: {check:?}");
        }
        bench.work().await;
        if says == Says::Pass {
            // This fix is never done without asking.
            let r = bench.remediations(&subject).await.remove(0);
            assert_eq!(r.state, State::AwaitingApproval, "{name}");
            bench.fixer.answer(&r.id, &r.plan.digest, &Answered::yes(ann())).await.expect("approved");
            bench.work().await;
            assert_eq!(bench.states(&subject).await, [State::Set], "{name}");
        } else {
            assert_eq!(bench.all_writes(), 0, "{name}");
        }
    }
}

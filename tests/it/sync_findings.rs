//! What findings of Security Hub and of Security Command Center are told, and what only Defender says of AWS. What a
//! person said there stays; what Amend said itself is no news.

use std::sync::Arc;

use amend_domain::{Cloud, owners::Owners, sync::System, work::After};
use amend_events::Form;
use amend_pipeline::{
    remedy::Next,
    sync::{Authority, Hub, Systems},
};
use amend_store::Store as _;
use amend_tests::{
    clouds::Served,
    harness::{self, CountedIds, catalogue},
    subject::{Subject, all_clouds},
};
use serde_json::{Value, json};

use crate::sync::{AMEND, Bench, RULE_KEY, RULES, TICKETS, bench_in};

const HUB: Systems = Systems { defender: None, hub: Hub { findings: true, import: true }, scc: false, mails: false };

/// What Defender says of a bucket that lets requests through without TLS.
fn of_defender(subject: &Subject, code: &str, changed: &str) -> Value {
    of_connector("aws", subject, code, changed)
}

/// The same, as it comes through a connector.
fn of_connector(connector: &str, subject: &Subject, code: &str, changed: &str) -> Value {
    let key = "1fb7ea50-412e-4dd4-ac79-94d54bd8f21e";
    let connector = format!(
        "/subscriptions/2f6c1a5e-0b7d-4f7e-8a39-51c0de9b7a11/resourcegroups/rg/providers/microsoft.security/securityconnectors/{connector}"
    );
    let name = subject.resource.rsplit(':').next().expect("a name");
    let entity = format!("{connector}/securityentitydata/aws-s3-{name}");
    json!({
        "tenantId": harness::TENANT, "type": "Microsoft.Security/assessments", "name": key,
        "id": format!("{entity}/providers/Microsoft.Security/assessments/{key}"),
        "properties": {
            "resourceDetails": {
                "source": "Aws", "id": entity, "nativeCloudUniqueIdentifier": subject.resource, "resourceType": "s3.bucket",
                "resourceName": "bucket", "hierarchyId": "123456789012", "region": subject.region,
            },
            "displayName": "S3 buckets should require requests to use TLS",
            "status": { "code": code, "statusChangeDate": changed },
            "metadata": { "displayName": "S3 buckets should require requests to use TLS", "severity": "Medium" },
            "links": { "azurePortal": "portal.azure.example/x" },
        },
    })
}

async fn aws(rules: &str, systems: Systems) -> Bench {
    bench_in(Cloud::Aws, rules, systems, Owners::default()).await
}

/// Findings as Security Hub has them, those about this resource.
fn findings(subject: &Subject) -> Vec<Value> {
    let is = |value: &str| json!([{ "Value": value, "Comparison": "EQUALS" }]);
    let with = json!({ "Filters": { "ResourceId": is(&subject.resource) } });
    let mut all = Vec::new();
    let mut token = Value::Null;
    loop {
        let mut with = with.clone();
        if token.is_string() {
            with["NextToken"] = token;
        }
        let ask = json!({ "do": "call", "service": "securityhub", "method": "get_findings", "with": with, "region": subject.region });
        let mut page = Served::moto().ask(&ask);
        all.extend(page["Findings"].as_array().expect("findings").clone());
        token = page["NextToken"].take();
        if token.is_null() {
            return all;
        }
    }
}

/// A finding of Security Hub's own, which it holds.
fn found(subject: &Subject, control: &str, workflow: &str) -> Value {
    let finding = crate::exempted::asff(subject, control, workflow);
    let with = json!({ "Findings": [finding] });
    Served::moto().ask(&json!({ "do": "call", "service": "securityhub", "method": "batch_import_findings", "with": with, "region": subject.region }));
    finding
}

fn hub_fails(subject: &Subject, failures: &Value) -> Value {
    Served::moto().ask(&json!({ "do": "hub", "region": subject.region, "fail": failures }))["left"].clone()
}

fn bucket() -> Subject {
    Subject::make("aws.s3.require-tls", "bad")
}

const S3: &str =
    "version: 1\nrules: [{ id: all, priority: 1, owner: a@example.org, due: 7d, ticket: true, fix: approve }]";

#[tokio::test]
async fn security_hub_hears_of_a_ticket_and_of_a_fix_that_was_read_back() {
    let subject = bucket();
    let (finding, other) = (found(&subject, "S3.5", "NEW"), found(&subject, "S3.1", "NEW"));
    let bench = aws(S3, HUB).await;
    bench.inner.accept(Form::Plain, &finding.to_string()).await;
    bench.work().await;
    let state = |control: &str| {
        let all = findings(&subject);
        let one = all.iter().find(|one| one["Compliance"]["SecurityControlId"] == *control).expect("it is there");
        (one["Workflow"]["Status"].as_str().unwrap_or_default().to_owned(), one["Note"].clone())
    };
    let note = "Ticket 1. Owner a@example.org. Due 2026-11-27.";
    let (workflow, said) = state("S3.5");
    assert_eq!((&*workflow, &said["Text"], &said["UpdatedBy"]), ("NOTIFIED", &json!(note), &json!("amend")));
    assert_eq!(state("S3.1"), ("NEW".to_owned(), Value::Null), "another control");
    assert_eq!(findings(&subject).len(), 2, "Security Hub speaks of it: nothing is imported");
    let before = bench.trail(System::SecurityHub).await.len();
    // What it sends of its own finding again starts nothing.
    let echo = findings(&subject).iter().find(|one| one["Id"] == finding["Id"]).expect("it is there").clone();
    let mut echo = echo;
    echo["UpdatedAt"] = "2026-11-20T12:00:01Z".into();
    bench.inner.accept(Form::Plain, &echo.to_string()).await;
    assert_eq!((bench.work().await, bench.trail(System::SecurityHub).await.len()), (vec![], before));
    // Fixed by hand and read back.
    let fixer = amend_pipeline::fixer::Fixer::new(
        catalogue(),
        all_clouds(Cloud::Aws, Served::moto()),
        Arc::new(bench.inner.store.clone()),
        bench.inner.clock.clone(),
        Arc::new(CountedIds::default()),
    );
    let plan = fixer.plan_problem(&bench.problem().await, &serde_json::Map::new()).await.expect("planned");
    let mut r = fixer.begin(plan, "ada").await.expect("begun");
    while let Next::Again { at } = fixer.advance(&mut r, None).await.expect("it goes on") {
        bench.inner.clock.set(&at.max(bench.now()).to_string());
    }
    bench.work().await;
    let (workflow, said) = state("S3.5");
    let text = said["Text"].as_str().expect("a note").to_owned();
    assert_eq!(
        (&*workflow, text.starts_with("Set by Amend with aws.s3.require-tls and read back")),
        ("RESOLVED", true)
    );
    // Undone: it is not resolved any more.
    fixer.undo(&mut r, "ada", None).await.expect("undone");
    bench.work().await;
    assert_eq!((state("S3.5").0.as_str(), &state("S3.5").1["Text"]), ("NOTIFIED", &json!(note)));
    // Fixed again, healthy, and there again: what was set then says nothing of now.
    let plan = fixer.plan_problem(&bench.problem().await, &serde_json::Map::new()).await.expect("planned");
    let mut r = fixer.begin(plan, "ada").await.expect("begun");
    while let Next::Again { at } = fixer.advance(&mut r, None).await.expect("it goes on") {
        bench.inner.clock.set(&at.max(bench.now()).to_string());
    }
    bench.work().await;
    assert_eq!(state("S3.5").0, "RESOLVED");
    for (status, at) in [("PASSED", "2026-11-20T14:00:00Z"), ("FAILED", "2026-11-20T15:00:00Z")] {
        let mut changed = finding.clone();
        (changed["Compliance"]["Status"], changed["UpdatedAt"]) = (status.into(), at.into());
        bench.inner.clock.set(at);
        bench.inner.accept(Form::Plain, &changed.to_string()).await;
        bench.work().await;
        bench.inner.clock.set(&at.replace("00:00Z", "10:00Z"));
        bench.work().await;
    }
    // (Security Hub makes it new by itself then; this one does not.)
    assert_eq!((bench.problem().await.period, &*state("S3.5").0), (2, "NOTIFIED"));
    let trail = bench.trail(System::SecurityHub).await;
    let words: Vec<_> = trail.iter().map(|one| one["changes"][0]["to"].clone()).collect();
    assert_eq!(words[..4], ["NOTIFIED", "RESOLVED", "NOTIFIED", "RESOLVED"]);
    assert_eq!(other["Workflow"]["Status"], "NEW");
    assert_eq!(Served::moto().ask(&json!({ "do": "wrong" }))["wrong"], json!([]));
}

/// What people said of a finding there stands.
#[tokio::test]
async fn what_people_said_in_security_hub_stands() {
    for (name, workflow, note, expected) in [
        ("suppressed", "SUPPRESSED", None, ("SUPPRESSED", None)),
        ("resolved by a person", "RESOLVED", None, ("RESOLVED", Some("amend"))),
        ("a note of a person's", "NEW", Some("eve"), ("NOTIFIED", Some("eve"))),
    ] {
        let subject = bucket();
        let finding = found(&subject, "S3.5", workflow);
        if let Some(by) = note {
            let id = json!({ "Id": finding["Id"], "ProductArn": finding["ProductArn"] });
            let with = json!({ "FindingIdentifiers": [id], "Note": { "Text": "mine", "UpdatedBy": by } });
            Served::moto().ask(&json!({ "do": "call", "service": "securityhub", "method": "batch_update_findings", "with": with, "region": subject.region }));
        }
        let bench = aws(S3, HUB).await;
        // It is known from Defender, too, so that it is open whatever Security Hub says.
        let mut opened = finding.clone();
        opened["Workflow"]["Status"] = "NEW".into();
        bench.inner.accept(Form::Plain, &opened.to_string()).await;
        bench.work().await;
        let stands = findings(&subject).remove(0);
        let by = stands["Note"]["UpdatedBy"].as_str();
        assert_eq!((stands["Workflow"]["Status"].as_str(), by), (Some(expected.0), expected.1), "{name}");
    }
    // Who sets it back to new means that; a new period is told anew.
    let subject = bucket();
    let finding = found(&subject, "S3.5", "NEW");
    let bench = aws(S3, HUB).await;
    bench.inner.accept(Form::Plain, &finding.to_string()).await;
    bench.work().await;
    let id = json!({ "Id": finding["Id"], "ProductArn": finding["ProductArn"] });
    let with = json!({ "FindingIdentifiers": [id], "Workflow": { "Status": "NEW" } });
    Served::moto().ask(&json!({ "do": "call", "service": "securityhub", "method": "batch_update_findings", "with": with, "region": subject.region }));
    bench.inner.clock.set("2026-11-22T12:00:00Z");
    bench.work().await;
    assert_eq!(findings(&subject)[0]["Workflow"]["Status"], "NEW");
    for (status, at) in [("PASSED", "2026-11-22T13:00:00Z"), ("FAILED", "2026-11-22T14:00:00Z")] {
        let mut changed = finding.clone();
        (changed["Compliance"]["Status"], changed["UpdatedAt"]) = (status.into(), at.into());
        bench.inner.accept(Form::Plain, &changed.to_string()).await;
        for after in ["10:00", "20:00"] {
            bench.inner.clock.set(&at.replace("00:00Z", &format!("{after}Z")));
            bench.work().await;
        }
    }
    assert_eq!((bench.problem().await.period, &findings(&subject)[0]["Workflow"]["Status"]), (2, &json!("NOTIFIED")));
}

#[tokio::test]
async fn what_only_defender_says_of_aws_becomes_a_finding_and_no_echo() {
    let subject = bucket();
    let bench = aws(TICKETS, HUB).await;
    bench.inner.accept(Form::Plain, &of_defender(&subject, "Unhealthy", "2026-11-18T07:00:00Z").to_string()).await;
    bench.work().await;
    let all = findings(&subject);
    assert_eq!(all.len(), 1);
    let problem = bench.problem().await;
    let ours = &all[0];
    let region = &*subject.region;
    assert_eq!(ours["Id"], format!("amend/{}", problem.id));
    assert_eq!(ours["ProductArn"], format!("arn:aws:securityhub:{region}:123456789012:product/123456789012/default"));
    assert_eq!((&ours["Compliance"]["Status"], &ours["RecordState"]), (&json!("FAILED"), &json!("ACTIVE")));
    let resource = json!([{ "Type": "AwsS3Bucket", "Id": subject.resource, "Region": region }]);
    assert_eq!((&ours["Resources"], &ours["Severity"]["Label"]), (&resource, &json!("MEDIUM")));
    assert_eq!(ours["Remediation"]["Recommendation"]["Url"], "https://portal.azure.example/x");
    // As it comes back as an event, it is set aside: Amend hears nothing new from itself.
    let accepted = bench.inner.accept(Form::Plain, &ours.to_string()).await;
    assert_eq!((accepted.decided.len(), accepted.set_aside.len(), bench.problem().await.findings.len()), (0, 1, 1));
    assert_eq!(bench.work().await, []);
    // Once a day it is looked at, and once a month said again: what is not, is forgotten there after 90 days.
    for (at, updated) in
        [("2026-11-21T13:00:00Z", "2026-11-20T12:00:00.000Z"), ("2026-12-20T13:00:00Z", "2026-12-20T13:00:00.000Z")]
    {
        bench.inner.clock.set(at);
        assert_eq!(bench.work().await, [After::Done]);
        assert_eq!(findings(&subject)[0]["UpdatedAt"], updated);
    }
    // Healthy by Defender: it passed.
    bench.inner.clock.set("2026-12-21T12:00:00Z");
    bench.inner.accept(Form::Plain, &of_defender(&subject, "Healthy", "2026-12-21T12:00:00Z").to_string()).await;
    bench.work().await;
    let ours = findings(&subject).remove(0);
    assert_eq!((&ours["Compliance"]["Status"], &ours["RecordState"]), (&json!("PASSED"), &json!("ACTIVE")));
    // There again, and then Security Hub speaks of it itself: Amend's is taken back.
    bench.inner.clock.set("2026-12-22T12:00:00Z");
    bench.inner.accept(Form::Plain, &of_defender(&subject, "Unhealthy", "2026-12-22T12:00:00Z").to_string()).await;
    bench.work().await;
    assert_eq!(findings(&subject)[0]["Compliance"]["Status"], "FAILED");
    let native = found(&subject, "S3.5", "NEW");
    bench.inner.accept(Form::Plain, &native.to_string()).await;
    bench.inner.clock.set("2026-12-24T12:00:00Z");
    bench.work().await;
    let archived: Vec<_> =
        findings(&subject).iter().filter(|one| one["RecordState"] == "ARCHIVED").map(|one| one["Id"].clone()).collect();
    assert_eq!(archived, [json!(format!("amend/{}", problem.id))]);
    assert_eq!(Served::moto().ask(&json!({ "do": "wrong" }))["wrong"], json!([]));
}

#[tokio::test]
async fn an_outage_of_security_hub_loses_nothing() {
    let busy = |status: u16, code: &str| json!([{ "status": status, "code": code, "message": "x", "for": "BatchUpdateFindings" }]);
    for (name, failures) in [
        ("may not", json!([{ "status": 403, "code": "AccessDeniedException", "message": "x" }])),
        ("may not update", busy(403, "AccessDeniedException")),
        (
            "throttled for long",
            json!(
                (0..4)
                    .map(|_| json!({ "status": 429, "code": "TooManyRequestsException", "message": "x" }))
                    .collect::<Vec<_>>()
            ),
        ),
        (
            "fails",
            json!(
                (0..4)
                    .map(|_| json!({ "status": 500, "code": "InternalException", "message": "x" }))
                    .collect::<Vec<_>>()
            ),
        ),
    ] {
        let subject = bucket();
        let finding = found(&subject, "S3.5", "NEW");
        let bench = aws(TICKETS, HUB).await;
        hub_fails(&subject, &failures);
        bench.inner.accept(Form::Plain, &finding.to_string()).await;
        for minute in 0..60 {
            bench.inner.clock.set(&format!("2026-11-20T12:{minute:02}:00Z"));
            bench.work().await;
        }
        assert_eq!(hub_fails(&subject, &json!([])), json!(0), "{name}");
        assert_eq!(findings(&subject)[0]["Workflow"]["Status"], "NOTIFIED", "{name}");
        assert_eq!(bench.trail(System::SecurityHub).await.len(), 1, "{name}");
        assert_eq!(bench.inner.store.work(10).await.expect("listed"), [], "{name}");
    }
    // Where it is off, there is nobody to tell.
    let subject = bucket();
    let bench = aws(TICKETS, HUB).await;
    let off = json!([{ "status": 400, "code": "InvalidAccessException", "message": "Account 123456789012 is not subscribed to AWS Security Hub", "always": true }]);
    hub_fails(&subject, &off);
    bench.inner.accept(Form::Plain, &of_defender(&subject, "Unhealthy", "2026-11-18T07:00:00Z").to_string()).await;
    let after = bench.work().await;
    assert!(after.iter().all(|after| *after == After::Done), "{after:?}");
    hub_fails(&subject, &json!([]));
    assert_eq!((findings(&subject), bench.trail(System::SecurityHub).await), (vec![], vec![]));
}

#[tokio::test]
async fn findings_of_security_command_center_are_marked() {
    let subject = Subject::make("gcp.storage.public-access-prevention", "bad");
    let mut found = crate::exempted::scc(&subject, "PUBLIC_BUCKET_ACL", "UNDEFINED");
    let id = found["finding"]["name"].as_str().expect("a name").to_lowercase();
    found["finding"]["name"] = id.clone().into();
    Served::gcp().ask(&json!({ "do": "finding", "put": found }));
    let marks = || Served::gcp().ask(&json!({ "do": "marks", "name": id }))["marks"].clone();
    let systems = Systems { defender: None, scc: true, ..AMEND };
    let bench = bench_in(Cloud::Gcp, TICKETS, systems, Owners::default()).await;
    bench.inner.accept(Form::Plain, &found.to_string()).await;
    bench.work().await;
    let expected =
        json!({ "amend": "ticket", "amenddue": "2026-11-27", "amendowner": "a@example.org", "amendticket": "1" });
    assert_eq!(marks(), expected);
    // It comes again with its marks: that is no news, and nothing is sent.
    found["finding"]["securityMarks"] = json!({ "marks": expected });
    bench.inner.accept(Form::Plain, &found.to_string()).await;
    assert_eq!(bench.work().await, []);
    bench.inner.clock.set("2026-11-21T13:00:00Z");
    assert_eq!(bench.work().await, [After::Done]);
    assert_eq!(bench.trail(System::Scc).await.len(), 1);
    // It is not there any more: whose it was, and until when, is taken away.
    (found["finding"]["state"], found["finding"]["eventTime"]) = ("INACTIVE".into(), "2026-11-21T14:00:00Z".into());
    bench.inner.accept(Form::Plain, &found.to_string()).await;
    bench.work().await;
    assert_eq!(marks(), json!({ "amend": "healthy", "amendticket": "1" }));
    // A finding that is gone there is nobody to tell, and waits for nobody.
    let gone = Subject::make("gcp.storage.public-access-prevention", "bad");
    let bench = bench_in(Cloud::Gcp, TICKETS, systems, Owners::default()).await;
    bench.inner.accept(Form::Plain, &crate::exempted::scc(&gone, "PUBLIC_BUCKET_ACL", "UNDEFINED").to_string()).await;
    assert_eq!((bench.work().await, bench.trail(System::Scc).await.len()), (vec![After::Done], 0));
    let wrong = Served::gcp().ask(&json!({ "do": "wrong" }));
    assert_eq!(wrong, json!([]));
}

/// One bucket that two connectors report, with two owners: one of them counts, and nothing goes to and fro.
#[tokio::test]
async fn of_two_owners_of_one_problem_one_counts() {
    let subject = bucket();
    let bench = aws(RULES, Systems { defender: Some(Authority::Defender), ..AMEND }).await;
    for (connector, owner) in [("aws-two", "two@example.org"), ("aws-one", "one@example.org")] {
        let reported = of_connector(connector, &subject, "Unhealthy", "2026-11-18T07:00:00Z");
        let id = format!("{}/governanceAssignments/{RULE_KEY}", reported["id"].as_str().expect("an id"));
        let merge = json!({ "properties": { "owner": owner, "remediationDueDate": "2026-12-31T00:00:00Z" } });
        Served::azure().ask(&json!({ "do": "change", "resource": id, "merge": merge }));
        bench.inner.accept(Form::Plain, &reported.to_string()).await;
    }
    bench.work().await;
    let problem = bench.problem().await;
    assert_eq!((problem.findings.len(), problem.assigned.as_deref()), (2, Some("two@example.org")));
    let records = bench.inner.store.audit(0, 100).await.expect("read");
    assert_eq!(records.iter().filter(|record| &*record.entry.what == "problem.assigned").count(), 1);
    // Where the first says nothing any more, the other does.
    let first = of_connector("aws-two", &subject, "Healthy", "2026-11-19T07:00:00Z");
    bench.inner.accept(Form::Plain, &first.to_string()).await;
    bench.work().await;
    assert_eq!(bench.problem().await.assigned.as_deref(), Some("one@example.org"));
}

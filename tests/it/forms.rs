//! Every form of event, and what each becomes.

use amend_domain::{Action, Assessment, Cloud, RiskLevel, Severity, Source, StatusCode, TenantId};
use amend_events::{Context, Form, Item, Limits, Refused, Unreadable};
use amend_tests::harness::{Export, TENANT, moment, read};
use serde_json::json;

fn items(form: Form, body: &str) -> Vec<Item> {
    amend_events::read(form, body.as_bytes(), &Context::new(TenantId::new(TENANT)), &Limits::default())
        .expect("within the limits")
}

fn assessments(form: Form, body: &str) -> Vec<Assessment> {
    items(form, body)
        .into_iter()
        .map(|item| match item {
            Item::Assessment(assessment) => *assessment,
            other => panic!("not an assessment: {other:?}"),
        })
        .collect()
}

fn one(form: Form, body: &str) -> Assessment {
    let mut all = assessments(form, body);
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn unreadable(form: Form, body: &str) -> Unreadable {
    match items(form, body).as_slice() {
        [Item::Unreadable(unreadable)] => unreadable.clone(),
        other => panic!("expected one unreadable record: {other:?}"),
    }
}

#[test]
fn one_body_means_the_same_in_every_envelope() {
    let body = Export { risk: Some("Critical".into()), ..Default::default() }.json();
    let text = body.to_string();
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &text);
    let plain = one(Form::Plain, &text);
    let push = json!({ "subscription": "s", "message": { "data": encoded, "messageId": "1", "message_id": "1", "publishTime": "2026-11-19T00:00:00Z", "publish_time": "2026-11-19T00:00:00Z" } });
    let event = json!({ "id": "1", "subject": "x", "eventType": "Amend.Defender.AssessmentChanged", "eventTime": "2026-11-19T00:00:00Z", "dataVersion": "1", "data": body });
    let cloud_event = json!({ "specversion": "1.0", "id": "1", "source": "/x", "type": "Amend.Defender.AssessmentChanged", "time": "2026-11-19T00:00:00Z", "data": body });
    let eventarc = json!({ "specversion": "1.0", "id": "1", "source": "//pubsub.googleapis.com/x", "type": "google.cloud.pubsub.topic.v1.messagePublished", "data": push });
    for (form, envelope) in [
        (Form::LogicApp, body.clone()),
        (Form::EventHubs, json!([body])),
        (Form::EventHubs, json!({ "records": [body] })),
        (Form::EventHubs, json!([{ "records": [body] }])),
        (Form::EventHubs, json!([text])),
        (Form::EventHubs, body.clone()),
        (Form::EventGrid, json!([event])),
        (Form::EventGrid, event.clone()),
        (Form::CloudEvents, cloud_event.clone()),
        (Form::CloudEvents, json!([cloud_event])),
        (Form::PubSub, push.clone()),
        (Form::Eventarc, eventarc.clone()),
        (Form::Plain, json!([text])),
        (Form::Plain, json!({ "value": [body], "nextLink": null })),
        (Form::Plain, json!({ "totalRecords": 1, "data": [body] })),
        (Form::Plain, event),
        (Form::Plain, cloud_event),
        (Form::Plain, push),
        (Form::Plain, eventarc),
    ] {
        let found = one(form, &envelope.to_string());
        assert_eq!(Assessment { sent: None, ..found }, plain, "{form:?} {envelope}");
    }
    let mut binary = Context::new(TenantId::new(TENANT));
    binary.attributes = vec![("type".into(), "x".into()), ("time".into(), "2026-11-19T00:00:00Z".into())];
    match amend_events::read(Form::CloudEvents, text.as_bytes(), &binary, &Limits::default()).expect("read").as_slice()
    {
        [Item::Assessment(found)] => assert_eq!(found.sent, Some(moment("2026-11-19T00:00:00Z"))),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_azure_body_is_read_whole() {
    let found = one(Form::Plain, &Export { risk: Some("Critical".into()), ..Default::default() }.text());
    assert_eq!(found.source, Source::Defender);
    assert_eq!(
        found.id.as_str(),
        "/subscriptions/2f6c1a5e-0b7d-4f7e-8a39-51c0de9b7a11/resourcegroups/rg/providers/microsoft.storage/storageaccounts/st1/providers/microsoft.security/assessments/51fd8bb1-0db4-bbf1-7e2b-cfcba7eb66a6"
    );
    assert_eq!(found.recommendation.key.as_str(), "defender:51fd8bb1-0db4-bbf1-7e2b-cfcba7eb66a6");
    assert_eq!(found.resource.kind.as_deref(), Some("microsoft.storage/storageaccounts"));
    assert_eq!(
        found.resource.account.as_ref().map(|a| a.as_str()),
        Some("/subscriptions/2f6c1a5e-0b7d-4f7e-8a39-51c0de9b7a11")
    );
    assert_eq!(found.status.changed, Some(moment("2026-11-18T07:41:09.1234567Z")));
    assert_eq!(
        (found.severity, found.risk.as_ref().map(|r| r.level)),
        (Some(Severity::High), Some(RiskLevel::Critical))
    );
    assert_eq!(found.action, Action::Report);
}

#[test]
fn casing_duplicates_and_numbers_do_not_matter() {
    let body = r#"{
        "AssessmentEventDataEnrichment": { "Action": "Insert", "IsSnapshot": true },
        "securityEventDataEnrichment": { "action": "Insert" },
        "TenantId": "T", "TYPE": "microsoft.security/ASSESSMENTS", "Name": "K",
        "Id": "/subscriptions/S/resourcegroups/cspm/providers/microsoft.security/securityconnectors/aws-prod/securityentitydata/aws-s3-a-b-eu-west-1/providers/Microsoft.Security/assessments/K",
        "Properties": {
            "ResourceDetails": { "Source": "Aws", "id": "/subscriptions/S/resourcegroups/cspm/providers/microsoft.security/securityconnectors/aws-prod/securityentitydata/aws-s3-a-b-eu-west-1",
                "ConnectorId": "c", "NativeCloudUniqueIdentifier": "arn:aws:s3:::a-b", "nativeCloudUniqueIdentifier": "arn:aws:s3:::other", "HierarchyId": 210987654321, "Region": "EU-West-1", "ResourceType": "s3.bucket" },
            "displayName": null, "Status": { "Code": "unhealthy", "Cause": "" },
            "additionalData": { "CVEs": "[{\"id\":1}]", "NSG open ports": ["22"], "deep": { "a": [1] } },
            "links": { "azurePortalUri": "portal.azure.com/#x" }
        }
    }"#;
    let found = one(Form::Plain, body);
    assert_eq!(found.resource.id.as_str(), "arn:aws:s3:::a-b");
    assert_eq!(found.resource.cloud, Cloud::Aws);
    assert_eq!(found.resource.account.as_ref().map(|a| a.as_str()), Some("aws:210987654321"));
    assert_eq!(found.resource.region.as_deref(), Some("eu-west-1"));
    assert_eq!(
        found.resource.connector.as_deref(),
        Some("/subscriptions/s/resourcegroups/cspm/providers/microsoft.security/securityconnectors/aws-prod")
    );
    assert!(found.snapshot);
    assert_eq!(found.link.as_deref(), Some("https://portal.azure.com/#x"));
    assert!(found.details.as_deref().is_some_and(|d| d.contains("NSG open ports")));
    assert_eq!(found.tenant.as_str(), "t");
    assert_eq!((found.severity, found.status.code), (None, StatusCode::Unhealthy));
}

#[test]
fn one_bad_record_does_not_take_its_neighbours_with_it() {
    let good = Export::default().json();
    let mut bad = good.clone();
    bad["properties"]["status"].as_object_mut().expect("an object").remove("code");
    let mut odd = good.clone();
    odd["properties"]["status"] = json!(["Unhealthy"]);
    let found = items(Form::EventHubs, &json!([good, bad, odd, 7, good]).to_string());
    let path = |item: &Item| match item {
        Item::Unreadable(unreadable) => unreadable.path.clone(),
        Item::Assessment(_) => "fine".into(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        found.iter().map(path).collect::<Vec<_>>(),
        ["fine", "[1].properties.status.code", "[2].properties.status", "[3]", "fine"]
    );
}

#[test]
fn what_cannot_be_read_says_where_and_why() {
    let check = |form: Form, body: &str, path: &str, problem: &str| {
        let found = unreadable(form, body);
        assert_eq!(found.path, path, "{body}");
        assert!(found.problem.contains(problem), "{body}: {}", found.problem);
        assert!(found.raw == body || body.contains(&found.raw), "{body}");
    };
    check(Form::Plain, "", "(the whole body)", "empty");
    check(Form::Plain, "{", "(the whole body)", "not JSON");
    check(Form::Plain, "hello", "(the whole body)", "not JSON");
    check(Form::Plain, "{}", "(the whole body)", "no form that Amend knows");
    check(Form::Plain, r#"{"type":"Contoso.Thing"}"#, "type", "`Contoso.Thing` is in no form");
    check(Form::EventGrid, r#"[{"data":{}}]"#, "[0].eventType", "missing");
    check(Form::EventGrid, r#"[{"eventType":"x"}]"#, "[0].data", "missing");
    check(Form::CloudEvents, r#"{"type":"x","data":{}}"#, "specversion", "missing");
    check(Form::CloudEvents, r#"{"specversion":"1.0","type":"x","data_base64":"%%"}"#, "data_base64", "base64");
    check(Form::PubSub, r#"{"message":{"data":"AQIDBA=="}}"#, "message.data", "not JSON");
    check(Form::PubSub, r#"{"message":{"data":"////"}}"#, "message.data", "base64");
    check(
        Form::EventBridge,
        r#"{"source":"aws.securityhub","detail-type":"Findings Imported V2","detail":{"findings":[{}]}}"#,
        "detail.findings[0]",
        "no form",
    );
    assert!(
        matches!(amend_events::read(Form::Plain, &[0xff, 0xfe], &Context::new(TenantId::new("")), &Limits::default()).as_deref(), Ok([Item::Unreadable(u)]) if u.problem.contains("UTF-8"))
    );
}

#[test]
fn what_cannot_be_read_does_not_repeat_what_it_holds() {
    let found =
        unreadable(Form::EventHubs, r#"[{"type":"Microsoft.Security/assessments","id":"x","properties":"s3cr3t"}]"#);
    assert_eq!((found.path.as_str(), found.problem.as_str()), ("[0].properties", "expected an object, found a text"));
}

#[test]
fn strangers_on_the_stream_are_set_aside_by_name() {
    let what = |body: serde_json::Value| match items(Form::EventHubs, &json!([body]).to_string()).as_slice() {
        [Item::SetAside(aside)] => aside.what.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(what(json!({ "AlertType": "VM_X", "SystemAlertId": "1", "Severity": "High" })), "alert");
    assert_eq!(what(json!({ "type": "Microsoft.Security/secureScores", "id": "x", "properties": {} })), "secure score");
    assert_eq!(
        what(json!({ "type": "Microsoft.Security/regulatoryComplianceStandards/x/y", "properties": {} })),
        "regulatory compliance"
    );
    match items(
        Form::EventGrid,
        r#"[{"eventType":"Microsoft.Storage.BlobCreated","data":{},"eventTime":"2026-01-01T00:00:00Z"}]"#,
    )
    .as_slice()
    {
        [Item::SetAside(aside)] => assert_eq!(aside.what, "Microsoft.Storage.BlobCreated"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn limits_refuse_by_name() {
    let context = Context::new(TenantId::new(""));
    let refuse = |body: &str, limits: Limits| {
        amend_events::read(Form::EventHubs, body.as_bytes(), &context, &limits).expect_err("refused")
    };
    let limits = Limits { bytes: 100, nesting: 3, records: 2 };
    assert_eq!(refuse(&" ".repeat(101), limits), Refused::Bytes { bytes: 101, limit: 100 });
    assert_eq!(refuse("[[[[]]]]", limits), Refused::Nesting { limit: 3 });
    assert_eq!(refuse("[1,2,3]", limits), Refused::Records { limit: 2 });
}

#[test]
fn a_handshake_gives_its_code_and_nothing_is_fetched() {
    let body = r#"[{"id":"1","eventType":"Microsoft.EventGrid.SubscriptionValidationEvent","eventTime":"2026-01-01T00:00:00Z","data":{"validationCode":"c-1","validationUrl":"http://127.0.0.1:1/x"}}]"#;
    assert_eq!(items(Form::EventGrid, body), [Item::Validation { code: "c-1".into() }]);
}

#[test]
fn security_hub_and_scc_findings_are_assessments_of_their_resources() {
    let demo = |file: &str| read(&format!("functions/cli/demo/{file}"));
    let s3 = one(Form::EventBridge, &demo("14-aws-security-hub-same-bucket.json"));
    assert_eq!(
        (s3.source, s3.recommendation.key.as_str(), s3.resource.id.as_str()),
        (Source::SecurityHub, "securityhub:s3.8", "arn:aws:s3:::nw-invoice-archive")
    );
    assert_eq!((s3.status.code, s3.tenant.as_str()), (StatusCode::Unhealthy, TENANT));
    assert_eq!(assessments(Form::EventBridge, &demo("15-aws-security-hub-two-findings.json")).len(), 2);
    let ocsf = one(Form::EventBridge, &demo("16-aws-security-hub-v2-ocsf.json"));
    assert_eq!(
        (ocsf.recommendation.key.as_str(), ocsf.resource.account.as_ref().map(|a| a.as_str())),
        ("securityhub:kms.4", Some("aws:210987650001"))
    );
    let v1 = one(Form::PubSub, &demo("12-gcp-scc-public-bucket.json"));
    assert_eq!(
        (v1.source, v1.resource.id.as_str(), v1.resource.account.as_ref().map(|a| a.as_str())),
        (Source::Scc, "//storage.googleapis.com/nw-partner-drop", Some("gcp:projects/734512090001"))
    );
    let v2 = one(Form::Eventarc, &demo("13-gcp-scc-eventarc.json"));
    assert!(!v2.id.as_str().contains("locations"), "v1 and v2 names are one: {}", v2.id);
    let policy = one(Form::EventGrid, &demo("17-azure-policy-state-changed.json"));
    assert_eq!(
        policy.recommendation.key.as_str(),
        "policy:/providers/microsoft.authorization/policydefinitions/404c3081-a854-4457-ae30-26a93ef643f9"
    );
}

//! Third-party sample payloads, where they are present beside the checkout: each parses, or is set
//! aside, or is kept as unreadable for a reason that is written here.

use std::path::Path;

use amend_domain::TenantId;
use amend_events::{Context, Form, Item, Limits};
use amend_tests::harness::reference_samples;

/// Files that hold nothing that Amend could read, and where reading them must say so.
const UNREADABLE: &[(&str, &str)] = &[
    // Pub/Sub messages of documentation: their data is no JSON.
    ("gcp/eventarc-pubsub-cloudevent-structured.json", "data.message.data"),
    ("gcp/pubsub-push-binary.json", "message.data"),
    ("gcp/pubsub-push-doc-sample.json", "message.data"),
    ("gcp/pubsub-push-duplicated-snake-camel-fields.json", "message.data"),
    // Envelopes of documentation around an empty finding.
    ("aws/securityhub-findings-imported-envelope.json", "detail.findings[0]"),
    ("aws/securityhub-v2-findings-imported-envelope.json", "detail.findings[0]"),
    // Dead-lettered events of other publishers.
    ("event-grid/dead-letter-cloudevents-schema.json", "specversion"),
];

/// Files that are no events: API requests and answers, policies, host configuration.
const NOT_EVENTS: &[&str] = &[
    "arm-security/",
    "defender-event-schemas/",
    "functions/",
    "policy/",
    "event-grid/handshake-subscription-validation-response.json",
    "event-grid/Microsoft.EventGrid__examples__",
    "aws/lambda-",
];

fn form(path: &str) -> Form {
    match path {
        p if p.starts_with("continuous-export/") => Form::EventHubs,
        p if p.starts_with("subassessments/") => Form::EventHubs,
        p if p.contains("cloud-events-schema") || p.contains("cloudevents") => Form::CloudEvents,
        p if p.starts_with("event-grid/") => Form::EventGrid,
        p if p.contains("eventarc") => Form::Eventarc,
        p if p.contains("pubsub-push") => Form::PubSub,
        p if p.contains("envelope") || p.contains("eventbridge") => Form::EventBridge,
        _ => Form::Plain,
    }
}

fn walk(folder: &Path, root: &Path, found: &mut Vec<(String, String)>) {
    let mut entries: Vec<_> =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            walk(&path, root, found);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            let name = path.strip_prefix(root).expect("inside").display().to_string();
            found.push((name, std::fs::read_to_string(&path).expect("text")));
        }
    }
}

#[test]
fn every_inbound_sample_is_read_or_set_aside_for_a_reason() {
    let Some(root) = reference_samples() else {
        println!("skipped: the folder of third-party samples is not present");
        return;
    };
    let mut files = Vec::new();
    walk(&root, &root, &mut files);
    let (mut assessments, mut aside, mut events) = (0, 0, 0);
    for (name, text) in &files {
        if NOT_EVENTS.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        events += 1;
        let items =
            amend_events::read(form(name), text.as_bytes(), &Context::new(TenantId::new("")), &Limits::default())
                .expect("within the limits");
        assert!(!items.is_empty(), "{name}: nothing came of it");
        for item in items {
            match item {
                Item::Assessment(assessment) => {
                    assessments += 1;
                    assert!(
                        !assessment.resource.id.as_str().is_empty() && !assessment.recommendation.title.is_empty(),
                        "{name}"
                    );
                }
                Item::SetAside(one) => {
                    aside += 1;
                    assert!(!one.why.is_empty(), "{name}");
                }
                Item::Validation { .. } => {}
                Item::Unreadable(one) => {
                    let expected = UNREADABLE.iter().find(|(file, _)| file == name);
                    assert_eq!(expected.map(|(_, path)| *path), Some(one.path.as_str()), "{name}: {}", one.problem);
                }
            }
        }
    }
    println!("{events} files with events: {assessments} assessments, {aside} records set aside");
    assert!(assessments >= 25 && aside >= 15, "the folder seems to have lost its samples");
}

#[test]
fn assessments_of_the_rest_api_are_read() {
    let Some(root) = reference_samples() else {
        println!("skipped: the folder of third-party samples is not present");
        return;
    };
    let mut read = 0;
    let mut files = Vec::new();
    walk(&root.join("arm-security"), &root, &mut files);
    for (name, text) in
        files.iter().filter(|(name, _)| name.contains("/Assessments__") || name.contains("/SubAssessments__"))
    {
        let example: serde_json::Value = serde_json::from_str(text).expect("JSON");
        let Some(body) = example.pointer("/responses/200/body") else { continue };
        let items = amend_events::read(
            Form::Plain,
            body.to_string().as_bytes(),
            &Context::new(TenantId::new("")),
            &Limits::default(),
        )
        .expect("read");
        for item in items {
            assert!(matches!(item, Item::Assessment(_)), "{name}: {item:?}");
            read += 1;
        }
    }
    assert!(read >= 5, "only {read}");
}

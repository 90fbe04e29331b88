//! Who wrote a resource last, and when, in AWS and Google Cloud: what a pipeline wrote is the pipeline's, what was
//! written just now is left to settle, and what is not known is for a person.

use amend_domain::{Cloud, guard::Says, plan::State, rule::Mode, work::After};
use amend_events::Form;
use amend_pipeline::guard;
use amend_tests::{clouds::Served, harness::moment, subject::Subject};
use serde_json::{Value, json};

use crate::{
    exempted::{asff, scc},
    work::{Bench, bench_on, mild},
};

/// An entry of a cloud's log, as the cases below name it.
#[derive(Clone, Copy)]
enum Logged {
    /// A write that was done.
    Write,
    /// A write that was refused.
    Refused,
    /// What says nothing of the resource: a read of it, or a write of something whose name begins like its own.
    Other,
}
use Logged::{Other, Refused, Write};

const PIPELINE: &str = "deploy";
/// Who writes something of the same name in another service.
const ELSEWHERE: &str = "elsewhere";

/// Puts an entry into the log of the cloud that the resource is in.
fn log(subject: &Subject, name: &str, at: &str, by: &str, logged: Logged) {
    if subject.resource.starts_with("arn:") {
        let mut detail = match by {
            // CloudFormation calls by itself, with no name of its own.
            "cloudformation.amazonaws.com" => json!({ "userIdentity": { "type": "AWSService", "invokedBy": by } }),
            _ => json!({ "userIdentity": {
                "type": "AssumedRole", "arn": format!("arn:aws:sts::123456789012:assumed-role/{by}/run-1"),
                "sessionContext": { "sessionIssuer": { "type": "Role", "arn": format!("arn:aws:iam::123456789012:role/{by}") } },
            } }),
        };
        if matches!(logged, Refused) {
            detail["errorCode"] = "AccessDenied".into();
        }
        let event = json!({
            "EventId": format!("{name}-{at}"), "EventName": "PutBucketPolicy",
            "EventSource": if by == ELSEWHERE { "lambda.amazonaws.com" } else { "s3.amazonaws.com" },
            "ReadOnly": if matches!(logged, Other) { "true" } else { "false" },
            "EventTime": at, "Username": "run-1", "Resources": [{ "ResourceType": "AWS::S3::Bucket", "ResourceName": name }],
            "CloudTrailEvent": detail.to_string(),
        });
        Served::moto().ask(&json!({ "do": "event", "region": subject.region, "put": event }));
    } else {
        let more = if matches!(logged, Other) { "-2" } else { "" };
        let status = if matches!(logged, Refused) { json!({ "code": 7, "message": "no" }) } else { json!({}) };
        let entry = json!({
            "logName": "projects/acme-data/logs/cloudaudit.googleapis.com%2Factivity", "timestamp": at,
            "insertId": format!("{name}-{at}"), "resource": { "type": "gcs_bucket", "labels": {} },
            "protoPayload": {
                "methodName": "storage.buckets.update", "resourceName": format!("projects/_/buckets/{name}{more}"),
                "authenticationInfo": { "principalEmail": by }, "status": status,
            },
        });
        Served::gcp().ask(&json!({ "do": "log", "put": entry }));
    }
}

struct Case {
    name: &'static str,
    log: &'static [(&'static str, &'static str, Logged)],
    /// Whether a pipeline is named.
    pipeline: bool,
    /// What becomes of it, and why: by the beginning of the guard's word.
    then: Then,
}

#[derive(Clone, Copy)]
enum Then {
    Done,
    Asked(&'static str),
    Held(&'static str, &'static str),
    Parked(&'static str),
}

const PARKED: Then = Then::Parked("wrote it last, at 2026-11-19T10:00:00Z: change it there");
const CASES: [Case; 7] = [
    Case {
        name: "a pipeline wrote it last, behind what says nothing",
        log: &[
            ("2026-11-18T10:00:00Z", "ann", Write),
            ("2026-11-19T10:00:00Z", PIPELINE, Write),
            ("2026-11-19T11:00:00Z", "ann", Refused),
            ("2026-11-19T12:00:00Z", "ann", Other),
            ("2026-11-20T11:59:00Z", "ann", Other),
            ("2026-11-20T11:59:30Z", "ann", Refused),
        ],
        pipeline: true,
        then: PARKED,
    },
    Case {
        name: "somebody wrote it after the pipeline",
        log: &[("2026-11-19T10:00:00Z", PIPELINE, Write), ("2026-11-19T10:00:01Z", "ann", Write)],
        pipeline: true,
        then: Then::Done,
    },
    Case {
        name: "no pipeline is named",
        log: &[("2026-11-19T10:00:00Z", PIPELINE, Write)],
        pipeline: false,
        then: Then::Done,
    },
    Case {
        name: "it was written just now",
        log: &[("2026-11-20T11:40:00Z", "ann", Write)],
        pipeline: false,
        then: Then::Held(
            "2026-11-20T12:10:00Z",
            "last-write: it was written at 2026-11-20T11:40:00Z, and may be written again",
        ),
    },
    Case {
        name: "nothing is known of who wrote it",
        log: &[("2026-11-01T10:00:00Z", PIPELINE, Write), ("2026-11-20T11:59:00Z", PIPELINE, Refused)],
        pipeline: true,
        then: Then::Asked("last-writer: no write since 2026-11-06T12:00:00Z is known, or may be seen"),
    },
    Case { name: "nothing was written lately", log: &[], pipeline: false, then: Then::Done },
    Case {
        // Behind as many as are looked through, in pages of two and of one, there may be a write.
        name: "so much else happened that nobody knows",
        log: &[("2026-11-20T11:50:00Z", "ann", Other); 45],
        pipeline: false,
        then: Then::Asked("last-write: what was written before 2026-11-20T11:50:00Z is not known"),
    },
];

async fn becomes(cloud: Cloud, case: &Case) {
    let (served, fix) = match cloud {
        Cloud::Aws => (Served::moto(), "aws.s3.require-tls"),
        _ => (Served::gcp(), "gcp.storage.public-access-prevention"),
    };
    let subject = Subject::make(fix, "bad");
    let own = subject.resource.rsplit(['/', ':']).next().expect("a name").to_owned();
    if cloud == Cloud::Gcp {
        let known = json!({ "name": subject.resource, "project": "projects/734512090001", "assetType": "storage.googleapis.com/Bucket" });
        served.ask(&json!({ "do": "hierarchy", "put": { &subject.resource: known } }));
    }
    for (turn, (at, by, logged)) in case.log.iter().enumerate() {
        // CloudTrail has it by its name, or by its ARN.
        let name = if turn % 2 == 1 && cloud == Cloud::Aws { &subject.resource } else { &own };
        log(&subject, name, at, by, *logged);
    }
    let pipelines = match cloud {
        _ if !case.pipeline => Vec::new(),
        Cloud::Aws => vec![format!("arn:aws:iam::123456789012:role/{PIPELINE}")],
        _ => vec![PIPELINE.to_uppercase()],
    };
    let bench = bench_on(cloud, served, "enforce", Mode::Enforce).await;
    let bench = bench.guarded(guard::Settings { pipelines, ..mild() });
    let after = report(&bench, cloud, &subject).await;
    let name = format!("{cloud}: {}", case.name);
    match case.then {
        Then::Done => {
            bench.work().await;
            // The fix for Google Cloud is never done without asking.
            let expected = if cloud == Cloud::Aws { State::Set } else { State::AwaitingApproval };
            assert_eq!(bench.states(&subject).await, [expected], "{name}: {after:?}");
            let checks = bench.remediations(&subject).await.remove(0).checks;
            assert!(checks.iter().all(|check| check.says == Says::Pass), "{name}: {checks:?}");
            return;
        }
        Then::Asked(why) => {
            let r = bench.remediations(&subject).await.remove(0);
            let asks: Vec<String> = r
                .checks
                .iter()
                .filter(|check| check.says == Says::Ask)
                .map(|check| format!("{}: {}", check.guard, check.why))
                .collect();
            assert_eq!((r.state, &*asks), (State::AwaitingApproval, &[why.to_owned()][..]), "{name}");
        }
        Then::Held(at, why) => {
            assert_eq!(after, After::Held { at: moment(at), why: why.into() }, "{name}");
        }
        Then::Parked(end) => {
            let After::Parked { why } = after else { panic!("{name}: {after:?}") };
            assert!(why.starts_with("last-writer: the pipeline ") && why.ends_with(end), "{name}: {why}");
        }
    }
    bench.work().await;
    assert_eq!(bench.all_writes(), 0, "{name}");
}

/// What becomes of a finding about it.
async fn report(bench: &Bench, cloud: Cloud, subject: &Subject) -> After {
    let finding: Value = match cloud {
        Cloud::Aws => asff(subject, "S3.5", "NEW"),
        _ => scc(subject, "PUBLIC_BUCKET_ACL", "UNDEFINED"),
    };
    bench.inner.accept(Form::Plain, &finding.to_string()).await;
    bench.fixer.work(None).await.expect("the store answers").expect("something is due").1
}

#[tokio::test]
async fn what_cloudtrail_says_of_the_last_write_counts() {
    for case in &CASES {
        becomes(Cloud::Aws, case).await;
    }
}

#[tokio::test]
async fn what_cloud_audit_logs_say_of_the_last_write_counts() {
    for case in &CASES {
        becomes(Cloud::Gcp, case).await;
    }
}

#[tokio::test]
async fn where_the_last_write_cannot_be_read_nothing_is_written() {
    let clouds = [
        (Cloud::Aws, Served::moto(), "aws.s3.require-tls", "cloudtrail:LookupEvents"),
        (Cloud::Gcp, Served::gcp(), "gcp.storage.public-access-prevention", "logging.entries.list"),
    ];
    for (cloud, served, fix, call) in clouds {
        let subject = Subject::make(fix, "bad");
        let bench = bench_on(cloud, served, "enforce", Mode::Enforce).await;
        *bench.cloud.refused.lock().expect("nobody panics") = Some([call, "AccessDenied", "no"]);
        let After::Parked { why } = report(&bench, cloud, &subject).await else { panic!("{call}") };
        assert!(why.starts_with("last-write: the last writes cannot be read") && why.contains(call), "{why}");
        bench.work().await;
        assert_eq!(bench.all_writes(), 0, "{call}");
    }
}

/// A write that is known by one name counts for nothing where a later one may be hidden under the other.
#[tokio::test]
async fn what_may_hide_a_later_write_is_for_a_person() {
    let subject = Subject::make("aws.s3.require-tls", "bad");
    let own = subject.resource.rsplit(':').next().expect("a name");
    log(&subject, own, "2026-11-18T10:00:00Z", "ann", Write);
    for _ in 0..25 {
        log(&subject, &subject.resource, "2026-11-19T10:00:00Z", "ann", Other);
    }
    log(&subject, &subject.resource, "2026-11-18T11:00:00Z", PIPELINE, Write);
    let bench = bench_on(Cloud::Aws, Served::moto(), "enforce", Mode::Enforce).await;
    let pipelines = vec![format!("arn:aws:iam::123456789012:role/{PIPELINE}")];
    let bench = bench.guarded(guard::Settings { pipelines, ..mild() });
    report(&bench, Cloud::Aws, &subject).await;
    let r = bench.remediations(&subject).await.remove(0);
    let check = r.checks.iter().find(|check| &*check.guard == "last-writer").expect("it says something");
    assert_eq!((check.says, &*check.why), (Says::Ask, "no write since 2026-11-19T10:00:00Z is known, or may be seen"));
    assert_eq!(bench.all_writes(), 0);
}

/// What CloudFormation writes, it writes by itself, and is named as the service.
#[tokio::test]
async fn a_service_may_be_the_pipeline() {
    let subject = Subject::make("aws.s3.require-tls", "bad");
    let name = subject.resource.rsplit(':').next().expect("a name");
    log(&subject, name, "2026-11-19T10:00:00Z", "cloudformation.amazonaws.com", Write);
    // A function of the same name is something else.
    log(&subject, name, "2026-11-19T11:00:00Z", ELSEWHERE, Write);
    let bench = bench_on(Cloud::Aws, Served::moto(), "enforce", Mode::Enforce).await;
    let pipelines = vec!["cloudformation.amazonaws.com".into()];
    let bench = bench.guarded(guard::Settings { pipelines, ..mild() });
    let After::Parked { why } = report(&bench, Cloud::Aws, &subject).await else { panic!("parked") };
    assert_eq!(
        why,
        "last-writer: the pipeline cloudformation.amazonaws.com wrote it last, at 2026-11-19T10:00:00Z: change it there"
    );
}

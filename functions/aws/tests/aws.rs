//! The function as Lambda runs it: the real program, on a real PostgreSQL.
#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

#[path = "aws/executor.rs"]
mod executor;
#[path = "aws/lambda.rs"]
mod lambda;

use amend_tests::functions::{Deployed, Program, bucket, finding, wait};
use serde_json::{Value, json};

use lambda::{Lambda, event, message, notification, request};

const RULES: &str = "version: 1\nrules: [{ id: all, priority: 1, owner: a@example.org, due: 7d, fix: observe }]\n";
const AT: &str = "2026-11-18T07:41:09Z";

fn running(config: &str) -> Lambda {
    Lambda::start(Deployed::new(config, RULES))
}

/// A finding of Security Hub about a bucket.
fn asff(name: &str, status: &str, at: &str) -> Value {
    let resource = format!("arn:aws:s3:::{name}");
    json!({
        "SchemaVersion": "2018-10-08", "Id": format!("{resource}/finding"), "AwsAccountId": "123456789012",
        "ProductArn": "arn:aws:securityhub:eu-west-1::product/aws/securityhub", "Region": "eu-west-1",
        "GeneratorId": "security-control/S3.5", "Types": ["Software and Configuration Checks"],
        "CreatedAt": AT, "UpdatedAt": at, "Severity": { "Label": "HIGH" },
        "Title": "S3 general purpose buckets should require requests to use SSL", "Description": "plain HTTP",
        "Resources": [{ "Type": "AwsS3Bucket", "Id": resource, "Region": "eu-west-1" }],
        "Compliance": { "Status": status, "SecurityControlId": "S3.5" }, "RecordState": "ACTIVE",
        "Workflow": { "Status": "NEW" },
    })
}

#[test]
fn what_lambda_hands_over_is_told_by_its_shape() {
    let lambda = running("");
    let ocsf = amend_tests::harness::read("functions/cli/demo/16-aws-security-hub-v2-ocsf.json");
    let ocsf: Value = serde_json::from_str(&ocsf).expect("JSON");
    let imported = |name: &str| event("Security Hub Findings - Imported", &[asff(name, "FAILED", AT)]);
    let mut chosen =
        event("Security Hub Findings - Custom Action", &[asff("b3", "FAILED", AT), asff("b4", "FAILED", AT)]);
    chosen["detail"]["actionName"] = json!("Fix with Amend");
    let sns = |text: &str| {
        json!({ "Records": [{ "EventSource": "aws:sns", "EventVersion": "1.0",
            "EventSubscriptionArn": "arn:aws:sns:eu-west-1:123456789012:amend:1", "Sns": notification(text) }] })
    };
    for (handed, new) in [
        (imported("b1"), 1),
        // The same again is nothing new.
        (imported("b1"), 0),
        (chosen, 2),
        (ocsf, 1),
        (sns(&imported("b5").to_string()), 1),
        (sns(&finding("st1", "Unhealthy", AT).to_string()), 1),
    ] {
        let receipt = lambda.invoke(&handed).expect("taken");
        assert_eq!((&receipt["new"], &receipt["unreadable"]), (&json!(new), &json!(0)), "{receipt}");
    }
    let all = json!({ "Records": [
        message("m1", &imported("b6").to_string()),
        message("m2", &notification(&imported("b7").to_string()).to_string()),
        message("m3", &finding("st2", "Unhealthy", AT).to_string()),
    ] });
    assert_eq!(lambda.invoke(&all), Ok(json!({ "batchItemFailures": [] })));
    assert_eq!(lambda.app.problems().len(), 9, "{:?}", lambda.app.unreadable());
    // What somebody tries by hand is kept, and shown.
    let receipt = lambda.invoke(&json!({ "key1": "value1" })).expect("taken");
    assert_eq!(receipt["unreadable"], 1, "{receipt}");
    for time in [
        json!({ "amend": "advance" }),
        json!({ "amend": "sweep" }),
        json!({ "amend": "notices" }),
        json!({ "version": "0", "source": "aws.events", "detail-type": "Scheduled Event", "detail": {}, "resources": [] }),
    ] {
        let done = lambda.invoke(&time).expect("done");
        assert_eq!(done["more"], false, "{done}");
    }
    // A slip in a schedule is no event.
    let failed = lambda.invoke(&json!({ "amend": "advence" })).expect_err("nobody knows what that is");
    assert_eq!(failed.kind, "work.unknown", "{}", failed.message);
    assert_eq!(lambda.app.unreadable().len(), 1);
}

#[test]
fn of_a_queue_only_what_was_not_recorded_comes_again() {
    // Two at once at most: the first two are recorded, then the store is away.
    let lambda = running("limits: { records: 2 }\n");
    let body = |name: &str| event("Security Hub Findings - Imported", &[asff(name, "FAILED", AT)]).to_string();
    let tamper = |statement: &str| wait(lambda.app.store.tamper(statement));
    tamper(
        "CREATE FUNCTION refuse() RETURNS trigger AS $$ BEGIN IF NEW.resource LIKE '%b3%' THEN RAISE 'the disk is full'; \
         END IF; RETURN NEW; END $$ LANGUAGE plpgsql",
    );
    tamper("CREATE TRIGGER refuse BEFORE INSERT ON problems FOR EACH ROW EXECUTE FUNCTION refuse()");
    let messages: Vec<Value> =
        ["b1", "b2", "b3", "b4", "b5"].iter().map(|name| message(&format!("id-{name}"), &body(name))).collect();
    let answer = lambda.invoke(&json!({ "Records": messages })).expect("an answer");
    let again: Vec<&str> = answer["batchItemFailures"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one["itemIdentifier"].as_str().expect("an id"))
        .collect();
    assert_eq!(again, ["id-b3", "id-b4", "id-b5"]);
    assert_eq!(lambda.app.problems().len(), 2);
    tamper("DROP TRIGGER refuse ON problems");
    let rest: Vec<Value> = messages.into_iter().skip(2).collect();
    assert_eq!(lambda.invoke(&json!({ "Records": rest })), Ok(json!({ "batchItemFailures": [] })));
    assert_eq!(lambda.app.problems().len(), 5);
}

#[test]
fn a_bad_message_is_kept_and_does_not_come_again() {
    let lambda = running("limits: { nesting: 24 }\n");
    let good = |name: &str| event("Security Hub Findings - Imported", &[asff(name, "FAILED", AT)]).to_string();
    let deep = format!("{}1{}", "[".repeat(30), "]".repeat(30));
    let records = json!({ "Records": [
        message("m1", &good("b1")), message("m2", "no JSON"), message("m3", "1],[2"), message("m4", &deep),
        message("m5", ""), message("m6", &good("b2")),
    ] });
    assert_eq!(lambda.invoke(&records), Ok(json!({ "batchItemFailures": [] })));
    assert_eq!(lambda.app.problems().len(), 2);
    // The third is a number, and something after it.
    assert_eq!(lambda.app.unreadable().len(), 5, "{:#?}", lambda.app.unreadable());
}

#[test]
fn an_outage_is_an_error_with_a_stable_name() {
    let lambda = running("");
    let handed = event("Security Hub Findings - Imported", &[asff("b1", "FAILED", AT)]);
    wait(lambda.app.store.tamper("ALTER TABLE assessments RENAME TO away"));
    let failed = lambda.invoke(&handed).expect_err("the store is away");
    assert_eq!(failed.kind, "store.failed", "{}", failed.message);
    let failed = lambda.invoke(&json!({ "amend": "sweep" })).expect_err("the store is away");
    assert_eq!(failed.kind, "store.failed", "{}", failed.message);
    let all = json!({ "Records": [message("m1", &handed.to_string())] });
    assert_eq!(lambda.invoke(&all), Ok(json!({ "batchItemFailures": [{ "itemIdentifier": "m1" }] })));
    wait(lambda.app.store.tamper("ALTER TABLE away RENAME TO assessments"));
    assert_eq!(lambda.invoke(&handed).expect("taken")["new"], 1);
    // Connections that were frozen with the function are no more than that.
    wait(lambda.app.store.cut());
    assert_eq!(lambda.invoke(&handed).expect("taken")["duplicate"], 1);
}

#[test]
fn a_function_does_what_it_is_configured_for() {
    for (does, works, refused) in [
        ("events", event("Security Hub Findings - Imported", &[asff("b1", "FAILED", AT)]), json!({ "amend": "sweep" })),
        ("work", json!({ "amend": "advance" }), event("Security Hub Findings - Imported", &[asff("b1", "FAILED", AT)])),
        ("requests", request("GET", "/healthz", &json!({}), ""), json!({ "Records": [message("m1", "{}")] })),
    ] {
        let lambda = running(&format!("functions: {{ does: {does} }}\n"));
        lambda.invoke(&works).unwrap_or_else(|failed| panic!("{does}: {failed:?}"));
        let failed = lambda.invoke(&refused).expect_err("it does not do that");
        assert_eq!(failed.kind, "functions.does", "{}", failed.message);
        assert!(lambda.app.unreadable().is_empty());
    }
}

#[test]
fn a_request_to_its_url_is_answered_by_the_same_routes() {
    let lambda = running("");
    let answer = lambda.invoke(&request("GET", "/healthz", &json!({}), "")).expect("an answer");
    assert_eq!(answer["statusCode"], 200, "{answer}");
    assert!(answer["body"].as_str().is_some_and(|body| body.contains("\"ok\"")), "{answer}");
    // A tool with a token is known.
    let (token, digest) = amend_pipeline::people::new_token().expect("random numbers");
    let known = running(&format!("callers: [{{ name: siem, token: '{digest}', may: ingest }}]\n"));
    let headers = json!({ "content-type": "application/json", "authorization": format!("Bearer {token}") });
    let body = finding("st1", "Unhealthy", AT).to_string();
    let answer = known.invoke(&request("POST", "/events/plain", &headers, &body)).expect("an answer");
    assert_eq!(answer["statusCode"], 200, "{answer}");
    assert_eq!(known.app.problems().len(), 1);
    let answer = known.invoke(&request("GET", "/api/v1/problems", &headers, "")).expect("an answer");
    assert_eq!(answer["statusCode"], 403, "{answer}");
    // Nobody else is.
    let body = finding("st1", "Unhealthy", AT).to_string();
    for headers in [
        json!({ "content-type": "application/json" }),
        json!({ "host": "127.0.0.1:8080", "content-type": "application/json" }),
        json!({ "authorization": "Bearer ey", "x-forwarded-for": "127.0.0.1" }),
    ] {
        for path in ["/events/plain", "/api/v1/problems", "/readyz", "/no/such"] {
            let answer = lambda.invoke(&request("POST", path, &headers, &body)).expect("an answer");
            assert_eq!(answer["statusCode"], 401, "{path}: {answer}");
        }
    }
    assert!(lambda.app.problems().is_empty());
}

#[test]
fn from_a_finding_to_a_confirmed_fix() {
    let rules = "version: 1\nrules: [{ id: all, priority: 1, owner: a@example.org, due: 7d, fix: { mode: enforce, when: now } }]\n";
    let config =
        "remediate: { most: enforce }\nguards: { new_for: 0d, settle: 0m }\nsource_of_truth: { aws: security-hub }\n";
    let mut app = Deployed::new(config, rules);
    let (aws, resource, mut report, environment) = bucket();
    for (name, value) in environment {
        app.set(name, &value);
    }
    let mut lambda = Lambda::start(app);
    let handed = event("Security Hub Findings - Imported", std::slice::from_ref(&report));
    assert_eq!(lambda.invoke(&handed).expect("taken")["new"], 1);
    let done = lambda.invoke(&json!({ "amend": "advance" })).expect("done");
    assert_eq!(done["parked"], 0, "{done} {}", lambda.function.said());
    let with = json!({ "Bucket": resource.trim_start_matches("arn:aws:s3:::") });
    let policy = aws.ask(&json!({ "do": "call", "service": "s3", "method": "get_bucket_policy", "with": with }));
    let secure = policy["Policy"].as_str().is_some_and(|text| text.contains("aws:SecureTransport"));
    assert!(secure, "{policy} {}", lambda.function.said());
    // Killed and started again, it knows where it was; the source's word closes the problem.
    lambda.restart();
    report["Compliance"]["Status"] = json!("PASSED");
    report["UpdatedAt"] = json!("2126-01-02T03:04:05Z");
    let passed = event("Security Hub Findings - Imported", &[report]);
    assert_eq!(lambda.invoke(&passed).expect("taken")["updated"], 1);
    let problem = &lambda.app.problems()[0];
    assert_eq!(problem["state"], "closed", "{problem}");
}

#[test]
fn what_cannot_start_says_why() {
    let app = Deployed::new("", RULES);
    let program = env!("CARGO_BIN_EXE_amend-aws");
    let (status, said) = Program::start(program, &[], app.folder.path(), &app.environment).ended();
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("AWS_LAMBDA_RUNTIME_API is not set"), "{said}");
    let mut app = Deployed::new("", RULES);
    app.environment.retain(|(name, _)| name != "AMEND__STORE__URL");
    let lambda = Lambda::start(app);
    let failed = lambda.invoke(&json!({ "amend": "sweep" })).expect_err("there is no store");
    assert_eq!(failed.kind, "service.start");
    assert!(failed.message.contains("AMEND__STORE__URL"), "{}", failed.message);
}

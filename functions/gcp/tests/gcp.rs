//! The service as Cloud Run runs it: the real program, on a real PostgreSQL, with tokens of a stand-in for Google.
#![expect(clippy::expect_used, clippy::arithmetic_side_effects, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use amend_cloud::remote::Signer;
use amend_store::Store as _;
use amend_tests::{
    executors::{ATTESTS, NAME},
    functions::{Deployed, Program, account, ask, bucket, finding, free_port, now, until},
    tokens::{Key, KeyServer, unsigned},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

const RULES: &str = "version: 1\nrules: [{ id: all, priority: 1, owner: a@example.org, due: 7d, fix: observe }]\n";
const AT: &str = "2026-11-18T07:41:09Z";
const AUDIENCE: &str = "https://amend-abc-ew.a.run.app";
const ACCOUNT: &str = "push@proj.iam.gserviceaccount.com";
const PUSH: &str = "functions: { push: { audience: 'https://amend-abc-ew.a.run.app', accounts: push@proj.iam.gserviceaccount.com } }\n";

struct Service {
    app: Deployed,
    program: Program,
    port: u16,
    key: Key,
    server: KeyServer,
}

impl Service {
    fn start(config: &str) -> Self {
        Self::of(Deployed::new(config, RULES))
    }

    fn of(mut app: Deployed) -> Self {
        let key = Key::new("k1");
        let server = KeyServer::start(&[&key]);
        app.set("AMEND__CLOUDS__GCP__DANGEROUS_ENDPOINT", &server.url);
        let port = free_port();
        let program = start(&app, port);
        let service = Self { app, program, port, key, server };
        service.until_it_answers();
        service
    }

    fn until_it_answers(&self) {
        until(|| ask("GET", &format!("http://127.0.0.1:{}/healthz", self.port), &[], "").is_ok());
    }

    fn claims(&self) -> Value {
        json!({
            "iss": "https://accounts.google.com", "aud": AUDIENCE, "sub": "1097", "email": ACCOUNT, "email_verified": true,
            "iat": now() - 10, "exp": now() + 3_600,
        })
    }

    fn token(&self) -> String {
        self.key.token(&self.claims())
    }

    fn post(&self, path: &str, token: &str, body: &str) -> (u16, Value) {
        let bearer = format!("Bearer {token}");
        let headers = [("content-type", "application/json"), ("authorization", bearer.as_str())];
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let answer = ask("POST", &url, &headers, body).expect("an answer");
        (answer.status, serde_json::from_slice(&answer.body).unwrap_or(Value::Null))
    }

    fn push(&self, path: &str, body: &Value) -> (u16, Value) {
        self.post(path, &self.token(), &body.to_string())
    }
}

fn start(app: &Deployed, port: u16) -> Program {
    let mut environment = app.environment.clone();
    environment.push(("PORT".to_owned(), port.to_string()));
    environment.push(("K_SERVICE".to_owned(), "amend".to_owned()));
    Program::start(env!("CARGO_BIN_EXE_amend-gcp"), &[], app.folder.path(), &environment)
}

/// A message as Pub/Sub pushes it: some members twice, in two ways to write them.
fn message(data: &str) -> Value {
    json!({
        "message": {
            "data": STANDARD.encode(data), "attributes": {}, "messageId": "2070443601311540",
            "message_id": "2070443601311540", "publishTime": AT, "publish_time": AT,
        },
        "subscription": "projects/proj/subscriptions/amend",
    })
}

fn scc(name: &str) -> Value {
    json!({
        "notificationConfigName": "organizations/1/notificationConfigs/amend",
        "finding": {
            "name": format!("organizations/1/sources/2/findings/{name}"), "parent": "organizations/1/sources/2",
            "resourceName": format!("//storage.googleapis.com/{name}"), "state": "ACTIVE", "category": "PUBLIC_BUCKET_ACL",
            "eventTime": AT, "createTime": AT, "severity": "HIGH", "findingClass": "MISCONFIGURATION", "mute": "UNDEFINED",
        },
        "resource": {
            "name": format!("//storage.googleapis.com/{name}"), "type": "google.cloud.storage.Bucket",
            "project": "//cloudresourcemanager.googleapis.com/projects/123456789012", "projectDisplayName": "pay",
        },
    })
}

#[test]
fn what_google_pushes_is_taken() {
    let service = Service::start(PUSH);
    let (status, receipt) = service.push("/push/pub-sub", &message(&scc("bucket-one").to_string()));
    assert_eq!((status, &receipt["new"], &receipt["unreadable"]), (200, &json!(1), &json!(0)), "{receipt}");
    let (status, receipt) = service.push("/push/pub-sub", &message(&finding("st1", "Unhealthy", AT).to_string()));
    assert_eq!((status, &receipt["new"]), (200, &json!(1)), "{receipt}");
    let eventarc = json!({
        "specversion": "1.0", "id": "1", "type": "google.cloud.pubsub.topic.v1.messagePublished", "time": AT,
        "source": "//pubsub.googleapis.com/projects/proj/topics/scc", "data": message(&scc("bucket-two").to_string()),
    });
    let (status, receipt) = service.push("/push/eventarc", &eventarc);
    assert_eq!((status, &receipt["new"]), (200, &json!(1)), "{receipt}");
    assert_eq!(service.app.problems().len(), 3);
    // What cannot be read would come again for days: it is kept.
    for bad in [message("no JSON"), json!({ "message": { "data": "!!!" } }), json!({})] {
        let (status, receipt) = service.push("/push/pub-sub", &bad);
        assert_eq!((status, &receipt["unreadable"]), (200, &json!(1)), "{bad}: {receipt}");
    }
    assert_eq!(service.app.unreadable().len(), 3);
    for path in ["/push/advance", "/push/sweep", "/push/notices"] {
        let (status, done) = service.push(path, &json!({}));
        assert_eq!((status, &done["more"]), (200, &json!(false)), "{path}: {done}");
    }
}

#[test]
fn nobody_else_pushes() {
    let service = Service::start(PUSH);
    let body = message(&scc("forged").to_string()).to_string();
    let with = |name: &str, value: Value| {
        let mut claims = service.claims();
        claims[name] = value;
        service.key.token(&claims)
    };
    let tokens = [
        String::new(),
        unsigned(&service.claims()),
        service.key.confused(&service.claims()),
        Key::new("k1").token(&service.claims()),
        with("aud", json!("https://other.example")),
        with("iss", json!("https://issuer.example")),
        with("exp", json!(now() - 3_600)),
        with("email", json!("other@proj.iam.gserviceaccount.com")),
        with("email_verified", json!(false)),
        with("email", Value::Null),
        with("email", json!("")),
    ];
    for token in tokens {
        for path in ["/push/pub-sub", "/push/eventarc", "/push/advance", "/push/sweep", "/push/notices"] {
            let (status, answer) = service.post(path, &token, &body);
            assert_eq!((status, &answer["code"]), (401, &json!("push.unknown")), "{path}: {answer}");
        }
    }
    // Its token opens this door alone.
    for path in ["/events/pub-sub", "/api/v1/problems", "/readyz", "/push/other", "/push/pub-sub/"] {
        let (status, answer) = service.post(path, &service.token(), &body);
        assert_eq!(status, 401, "{path}: {answer}");
    }
    assert!(service.app.problems().is_empty() && service.app.unreadable().is_empty());
}

#[test]
fn an_outage_makes_google_push_again() {
    let service = Service::start(PUSH);
    let body = message(&scc("bucket-one").to_string());
    service.server.go_away(true);
    let (status, answer) = service.push("/push/pub-sub", &body);
    assert_eq!((status, &answer["code"]), (503, &json!("push.keys")), "{answer}");
    service.server.go_away(false);
    let tamper = |statement: &str| amend_tests::functions::wait(service.app.store.tamper(statement));
    tamper("ALTER TABLE assessments RENAME TO away");
    let (status, answer) = service.push("/push/pub-sub", &body);
    assert_eq!((status, &answer["code"]), (503, &json!("store.failed")), "{answer}");
    tamper("ALTER TABLE away RENAME TO assessments");
    assert_eq!(service.push("/push/pub-sub", &body).1["new"], 1);
}

#[test]
fn from_an_event_to_a_confirmed_fix() {
    let rules = "version: 1\nrules: [{ id: all, priority: 1, owner: a@example.org, due: 7d, fix: { mode: enforce, when: now } }]\n";
    let config = format!("{PUSH}remediate: {{ most: enforce }}\nguards: {{ new_for: 0d, settle: 0m }}\n");
    let mut app = Deployed::new(&config, rules);
    let (azure, resource, mut report, environment) = account();
    for (name, value) in environment {
        app.set(name, &value);
    }
    let service = Service::of(app);
    assert_eq!(service.push("/push/pub-sub", &message(&report.to_string())).1["new"], 1);
    let (status, done) = service.push("/push/advance", &json!({}));
    assert_eq!((status, &done["parked"]), (200, &json!(0)), "{done}");
    let now = azure.ask(&json!({ "do": "sdk", "resource": resource }));
    assert_eq!(now[&resource]["properties"]["supportsHttpsTrafficOnly"], true, "{now}");
    report["properties"]["status"] = json!({ "code": "Healthy", "statusChangeDate": "2126-01-02T03:04:05Z" });
    assert_eq!(service.push("/push/pub-sub", &message(&report.to_string())).1["updated"], 1);
    assert_eq!(service.app.problems()[0]["state"], "closed");
}

/// Two copies of the program: one is the hub, which has no rights in AWS, and one the executor, which has no store.
#[test]
fn from_a_finding_to_a_confirmed_fix_through_an_executor() {
    let (key, public) = Signer::generate().expect("keys");
    let config = format!("executor: {{ name: {NAME}, hubs: '{public}', policy: policy.yaml }}\n");
    let mut far = Deployed::new(&config, RULES);
    far.environment.retain(|(name, _)| !name.starts_with("AMEND__STORE"));
    far.set("AMEND__EXECUTOR__KEYS", ATTESTS);
    far.write("policy.yaml", "version: 1\nmost: approve\naccounts: aws:123456789012\n");
    let (aws, resource, mut report, environment) = bucket();
    for (name, value) in environment {
        far.set(name, &value);
    }
    let port = free_port();
    let mut executor = start(&far, port);
    let url = format!("http://127.0.0.1:{port}");
    until(|| ask("GET", &format!("{url}/healthz"), &[], "").is_ok());

    let rules = "version: 1\nrules: [{ id: all, priority: 1, owner: a@example.org, due: 7d, fix: { mode: enforce, when: now } }]\n";
    let config = format!(
        "{PUSH}remediate: {{ most: enforce }}\nguards: {{ new_for: 0d, settle: 0m }}\nsource_of_truth: {{ aws: security-hub }}\nhub: {{ executors: [{{ name: {NAME}, url: '{url}', accounts: aws:123456789012 }}] }}\n"
    );
    let mut app = Deployed::new(&config, rules);
    app.set("AMEND__HUB__KEY", &key);
    let service = Service::of(app);
    let secure = || {
        let with = json!({ "Bucket": resource.trim_start_matches("arn:aws:s3:::") });
        let policy = aws.ask(&json!({ "do": "call", "service": "s3", "method": "get_bucket_policy", "with": with }));
        policy["Policy"].as_str().is_some_and(|text| text.contains("aws:SecureTransport"))
    };
    let remediation = || {
        service.app.open(async |store| {
            let all = store.remediations(None, None, 100).await.expect("remediations");
            all.into_iter().next().expect("one")
        })
    };
    // The account's team wants a person to say yes, and the hub's rule asks nobody.
    assert_eq!(service.push("/push/pub-sub", &message(&report.to_string())).1["new"], 1);
    let (status, done) = service.push("/push/advance", &json!({}));
    assert_eq!(status, 200, "{done}");
    let blocked = remediation();
    assert_eq!(blocked.state.as_str(), "blocked", "{:?} {}", blocked.why, executor.said());
    assert!(blocked.why.is_some_and(|why| why.contains("a person must say yes")));
    assert!(!secure(), "nothing was written");
    // They let rules do it: it is done when the problem comes again.
    far.write("policy.yaml", "version: 1\nmost: enforce\naccounts: aws:123456789012\n");
    for (status, at) in [("PASSED", "2026-02-01T03:04:05Z"), ("FAILED", "2026-02-02T03:04:06Z")] {
        report["Compliance"]["Status"] = json!(status);
        report["UpdatedAt"] = json!(at);
        assert_eq!(service.push("/push/pub-sub", &message(&report.to_string())).1["updated"], 1);
    }
    let (_, done) = service.push("/push/advance", &json!({}));
    let set = remediation();
    assert_eq!(set.state.as_str(), "set", "{done} {:?} {}", set.why, executor.said());
    assert!(secure(), "{}", executor.said());
    // What it said before it began is kept with the record: it is asked for nothing else when that is undone.
    assert!(set.attest.is_some(), "{set:?}");
    report["Compliance"]["Status"] = json!("PASSED");
    report["UpdatedAt"] = json!("2126-01-02T03:04:07Z");
    assert_eq!(service.push("/push/pub-sub", &message(&report.to_string())).1["updated"], 1);
    assert_eq!(service.app.problems()[0]["state"], "closed");
    // What the account's team stopped goes on when they let it, and no attempt is counted.
    far.write("policy.yaml", "version: 1\nmost: enforce\naccounts: aws:123456789012\nstopped: an incident\n");
    let (_, _, stopped, _) = bucket();
    assert_eq!(service.push("/push/pub-sub", &message(&stopped.to_string())).1["new"], 1);
    let (status, done) = service.push("/push/advance", &json!({}));
    assert_eq!((status, &done["done"], &done["put_off"]), (200, &json!(1), &json!(0)), "{done}");
    assert!(service.program.said().contains("stops everything: an incident"), "{}", service.program.said());
    // An executor that is away is waited for, and nothing is written meanwhile.
    executor.kill();
    let (_, _, other, _) = bucket();
    assert_eq!(service.push("/push/pub-sub", &message(&other.to_string())).1["new"], 1);
    let (status, done) = service.push("/push/advance", &json!({}));
    assert_eq!((status, &done["put_off"], &done["parked"]), (200, &json!(1), &json!(0)), "{done}");
    assert!(
        service.program.said().contains(&format!("the executor `{NAME}`: no answer")),
        "{}",
        service.program.said()
    );
}

#[test]
fn asked_to_end_it_ends_in_time() {
    let rules = "version: 1\nrules: [{ id: all, priority: 1, owner: a@example.org, due: 7d, fix: { mode: enforce, when: now } }]\n";
    let config = format!("{PUSH}remediate: {{ most: enforce }}\nguards: {{ new_for: 0d, settle: 0m }}\n");
    let mut app = Deployed::new(&config, rules);
    let (azure, resource, report, environment) = account();
    for (name, value) in environment {
        app.set(name, &value);
    }
    let mut service = Service::of(app);
    assert_eq!(service.push("/push/pub-sub", &message(&report.to_string())).1["new"], 1);
    // It is at work on what does not end.
    let path = format!("^{resource}($|/)");
    azure.ask(&json!({ "do": "fail", "match": { "path": path }, "with": { "hang": 40 } }));
    let seen = |azure: &amend_tests::clouds::Served| {
        azure.ask(&json!({ "do": "requests", "path": path, "after": 0 }))["requests"].as_array().map_or(0, Vec::len)
    };
    let (before, token, port) = (seen(azure), service.token(), service.port);
    let working = std::thread::spawn(move || {
        let bearer = format!("Bearer {token}");
        ask("POST", &format!("http://127.0.0.1:{port}/push/advance"), &[("authorization", &bearer)], "{}")
    });
    until(|| seen(azure) > before);
    service.program.terminate();
    let begun = Instant::now();
    let (status, said) = service.program.ended();
    assert!(status.success(), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let _ = working.join();
}

#[test]
fn what_cannot_work_says_so_and_what_to_do() {
    let start = |config: &str, more: &[(&str, &str)]| {
        let app = Deployed::new(config, RULES);
        let mut environment = app.environment.clone();
        environment.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Program::start(env!("CARGO_BIN_EXE_amend-gcp"), &[], app.folder.path(), &environment).ended()
    };
    let port = free_port().to_string();
    for (config, more, says) in [
        (PUSH, vec![], "PORT is not set"),
        (PUSH, vec![("PORT", "http")], "PORT is no port"),
        ("", vec![("PORT", port.as_str())], "name `audience` and `accounts` under `functions.push`"),
        ("functions: { push: { audience: a } }\n", vec![("PORT", port.as_str())], "accounts"),
        (
            "functions: { push: { audience: a, accounts: [push@p.iam.gserviceaccount.com, ''] } }\n",
            vec![("PORT", port.as_str())],
            "no address",
        ),
        (
            "",
            vec![
                ("PORT", port.as_str()),
                ("AMEND__FUNCTIONS__PUSH__AUDIENCE", "a"),
                ("AMEND__FUNCTIONS__PUSH__ACCOUNTS", ""),
            ],
            "no address",
        ),
        ("", vec![("PORT", port.as_str()), ("AMEND__FUNCTIONS__PUSH__AUDIENCE", "a")], "nobody may push"),
        ("functions: { does: evnts }\n", vec![("PORT", port.as_str())], "did you mean `events`"),
    ] {
        let (status, said) = start(config, &more);
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(said.contains(says), "{said}");
    }
    // What only answers requests needs nobody who pushes.
    let service = Service::start("functions: { does: requests }\n");
    let (status, answer) = service.push("/push/pub-sub", &json!({}));
    assert_eq!((status, &answer["code"]), (401, &json!("push.unknown")), "{answer}");
    // Whoever may push hears what it does not do.
    let push = PUSH.replace("functions: {", "functions: { does: events,");
    let (status, answer) = Service::start(&push).push("/push/advance", &json!({}));
    assert_eq!((status, &answer["code"]), (404, &json!("functions.does")), "{answer}");
}

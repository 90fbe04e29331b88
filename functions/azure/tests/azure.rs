//! The handler as the Functions host runs it: the real program, on a real PostgreSQL.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "azure/host.rs"]
mod host;

use std::time::{Duration, Instant};

use amend_store::Store as _;
use amend_tests::functions::{Deployed, Program, account, finding, free_port, wait};
use serde_json::{Value, json};

use host::{Handed, Host, app, declared};

const RULES: &str = "version: 1\nrules: [{ id: all, priority: 1, owner: a@example.org, due: 7d, fix: observe }]\n";
const AT: &str = "2026-11-18T07:41:09Z";

fn running(config: &str) -> Host {
    Host::start(Deployed::new(config, RULES))
}

fn event(data: &Value) -> Value {
    json!({
        "id": "1", "topic": "/subscriptions/8f2c6f0a-41d7-4c8e-9b1f-2a3d5e7f9011/resourceGroups/rg/providers/Microsoft.EventGrid/topics/amend",
        "subject": data["id"], "eventType": "Amend.AssessmentChanged", "eventTime": AT, "data": data,
        "dataVersion": "1", "metadataVersion": "1",
    })
}

#[test]
fn every_function_of_the_app_is_answered() {
    let mut host = running("");
    let timer = json!({ "Schedule": { "AdjustForDST": true }, "ScheduleStatus": null, "IsPastDue": false });
    let mut found = Vec::new();
    for entry in std::fs::read_dir(app()).expect("the app") {
        let name = entry.expect("a file").file_name().into_string().expect("a name");
        if !name.starts_with("fn-") {
            continue;
        }
        let trigger = declared(&name)["bindings"][0]["type"].as_str().expect("a type").to_owned();
        let handed = match trigger.as_str() {
            "eventGridTrigger" => Handed::Object(event(&finding("stgrid", "Unhealthy", AT))),
            "eventHubTrigger" => Handed::Texts(vec![finding("sthub", "Unhealthy", AT).to_string()]),
            "queueTrigger" => Handed::Text(finding("stqueue", "Unhealthy", AT).to_string()),
            "timerTrigger" => Handed::Object(timer.clone()),
            other => panic!("what is a {other}?"),
        };
        host.invoke(&name, &handed).unwrap_or_else(|failed| panic!("{name}: {failed}"));
        found.push(name);
    }
    assert_eq!(found.len(), 7, "{found:?}");
    assert_eq!(host.app.problems().len(), 3);
    assert!(host.app.unreadable().is_empty(), "{:?}", host.app.unreadable());
    // Each of the three woke up whoever does the work.
    assert_eq!(host.drain("fn-wake"), 3);
}

#[test]
fn an_event_is_read_however_the_host_writes_it() {
    let mut host = running("");
    let plain = event(&finding("st1", "Unhealthy", AT));
    let cloud = json!({
        "specversion": "1.0", "id": "2", "source": "/amend", "type": "Amend.AssessmentChanged", "time": AT,
        "data": finding("st2", "Unhealthy", AT),
    });
    for handed in [
        Handed::Object(plain),
        Handed::Text(cloud.to_string()),
        // Texts in texts, as other tools write them.
        Handed::Text(json!(finding("st3", "Unhealthy", AT).to_string()).to_string()),
    ] {
        host.invoke("fn-event-grid", &handed).expect("taken");
    }
    let records = json!({ "records": [finding("st4", "Unhealthy", AT), finding("st5", "Unhealthy", AT)] });
    assert_eq!(host.batch(&[records, finding("st6", "Unhealthy", AT)], |_, _| ()), (1, true));
    assert_eq!(host.app.problems().len(), 6);
    // The same again wakes up nobody.
    host.queues.clear();
    host.batch(&[finding("st6", "Unhealthy", AT)], |_, _| ());
    assert!(host.queues.is_empty(), "{:?}", host.queues);
}

#[test]
fn one_bad_event_in_a_batch_takes_nobody_with_it() {
    let mut host = running("limits: { bytes: 4096, nesting: 24 }\n");
    let deep = format!("{}1{}", "[".repeat(30), "]".repeat(30));
    let mut large = finding("large", "Unhealthy", AT);
    large["properties"]["additionalData"] = json!({ "text": "x".repeat(8_000) });
    let batch = [
        finding("st1", "Unhealthy", AT),
        json!("{ message: \"this is no JSON\" }"),
        finding("st2", "Unhealthy", AT),
        json!(deep),
        large,
        json!({ "type": "Microsoft.Security/assessments", "properties": {} }),
        finding("st3", "Unhealthy", AT),
    ];
    // Never anything but success: the host would hand over all of it again, for ever.
    assert_eq!(host.batch(&batch, |_, _| ()), (1, true));
    assert_eq!(host.app.problems().len(), 3);
    let kept = host.app.unreadable();
    assert_eq!(kept.len(), 4, "{kept:#?}");
    assert!(kept.iter().any(|one| one.raw.contains("this is no JSON")), "{kept:#?}");
    assert!(kept.iter().any(|one| one.raw.len() > 8_000), "kept whole");
}

#[test]
fn an_outage_of_the_store_loses_nothing() {
    let mut host = running("");
    let tamper = |host: &Host, statement: &str| wait(host.app.store.tamper(statement));
    tamper(&host, "ALTER TABLE assessments RENAME TO away");
    let batch: Vec<Value> = (0..5).map(|n| finding(&format!("st{n}"), "Unhealthy", AT)).collect();
    let (tried, goes_on) = host.batch(&batch, |host, tried| match tried {
        3 => tamper(host, "ALTER TABLE away RENAME TO assessments"),
        _ => assert!(host.handler.said().contains("fn-event-hubs"), "{}", host.handler.said()),
    });
    assert_eq!((tried, goes_on), (4, true));
    assert_eq!(host.app.problems().len(), 5);
    // Connections that break are no more than that.
    wait(host.app.store.cut());
    let (_, goes_on) = host.batch(&[finding("st9", "Unhealthy", AT)], |_, _| ());
    assert!(goes_on);
    assert_eq!(host.app.problems().len(), 6);
}

#[test]
fn what_the_host_hands_over_nobody_else_can() {
    let host = running("");
    let body = json!({ "Data": { "events": [finding("forged", "Unhealthy", AT)] }, "Metadata": {} }).to_string();
    let port = host.port.to_string();
    let local = format!("127.0.0.1:{port}");
    for (path, headers) in [
        ("/fn-event-hubs", vec![]),
        // A header says what its sender wants it to.
        ("/fn-event-hubs", vec![("host", local.as_str())]),
        ("/fn-event-hubs", vec![("x-forwarded-for", "127.0.0.1"), ("host", local.as_str())]),
        ("/FN-EVENT-HUBS", vec![]),
        ("//fn-event-hubs", vec![]),
        ("/fn-event-hubs/", vec![]),
        ("/%66n-event-hubs", vec![]),
        ("/events/plain", vec![]),
        ("/api/v1/problems", vec![]),
        ("/no/such/route", vec![]),
    ] {
        let (status, answer) = host.forward("POST", path, &headers, &body);
        assert_eq!((status, &answer["code"]), (401, &json!("web.unknown")), "{path} {headers:?}: {answer}");
    }
    assert!(host.app.problems().is_empty());
    assert!(host.app.unreadable().is_empty());
    assert_eq!(host.forward("GET", "/healthz", &[], "").0, 200);
    // The route of the one function with requests leaves the others out, too.
    let route = declared("http")["bindings"][0]["route"].as_str().expect("a route").to_owned();
    assert_eq!(route, r"{*path:regex(^(?!.*((^|/)fn-|%|\\)).*$)}");
}

#[test]
fn a_tool_with_a_token_is_let_in() {
    let (token, digest) = amend_pipeline::people::new_token().expect("random numbers");
    let host = running(&format!(
        "functions: {{ refresh: 0m }}\ncallers: [{{ name: siem, token: '{digest}', may: [ingest, read] }}]\n"
    ));
    let bearer = format!("Bearer {token}");
    let known = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let body = finding("st1", "Unhealthy", AT).to_string();
    let (status, receipt) = host.forward("POST", "/events/plain", &known, &body);
    assert_eq!((status, &receipt["new"]), (200, &json!(1)), "{receipt}");
    let (status, listed) = host.forward("GET", "/api/v1/problems", &known, "");
    assert_eq!((status, listed["problems"].as_array().map(Vec::len)), (200, Some(1)), "{listed}");
    assert_eq!(host.forward("POST", "/api/v1/stop", &known, "{}").0, 403);
    // It is no host.
    assert_eq!(host.forward("POST", "/fn-event-hubs", &known, "{}").0, 404);
    // Taken out, it holds no longer, whatever else is wrong.
    host.app.write("amend.yaml", "version: 1\nrules: nope.yaml\nfunctions: { refresh: 0m }\n");
    assert_eq!(host.forward("GET", "/api/v1/problems", &known, "").0, 503);
    host.app.write("amend.yaml", "version: 1\nrules: rules.yaml\nfunctions: { refresh: 0m }\n");
    assert_eq!(host.forward("GET", "/api/v1/problems", &known, "").0, 401);
}

#[test]
fn from_an_event_to_a_confirmed_fix() {
    let rules = "version: 1\nrules: [{ id: all, priority: 1, owner: a@example.org, due: 7d, fix: { mode: enforce, when: now } }]\n";
    let mut app = Deployed::new("remediate: { most: enforce }\nguards: { new_for: 0d, settle: 0m }\n", rules);
    let (azure, resource, mut report, environment) = account();
    for (name, value) in environment {
        app.set(name, &value);
    }
    let mut host = Host::start(app);
    assert_eq!(host.batch(std::slice::from_ref(&report), |_, _| ()), (1, true));
    assert_eq!(host.drain("fn-wake"), 1);
    let now = azure.ask(&json!({ "do": "sdk", "resource": resource }));
    assert_eq!(now[&resource]["properties"]["supportsHttpsTrafficOnly"], true, "{now}");
    // Killed and started again, it knows where it was; the source's word closes the problem.
    host.restart();
    report["properties"]["status"] = json!({ "code": "Healthy", "statusChangeDate": "2126-01-02T03:04:05Z" });
    assert_eq!(host.batch(&[report], |_, _| ()), (1, true));
    let problem = &host.app.problems()[0];
    assert_eq!(problem["state"], "closed", "{problem}");
}

#[test]
fn the_end_of_the_hosts_time_ends_every_call() {
    let rules = "version: 1\nrules: [{ id: all, priority: 1, owner: a@example.org, due: 7d, fix: { mode: enforce, when: now } }]\n";
    let mut app = Deployed::new("remediate: { most: enforce }\nguards: { new_for: 0d, settle: 0m }\n", rules);
    app.write("host.json", r#"{ "version": "2.0", "functionTimeout": "00:00:12" }"#);
    let (azure, resource, report, environment) = account();
    for (name, value) in environment {
        app.set(name, &value);
    }
    let mut host = Host::start(app);
    assert_eq!(host.batch(&[report], |_, _| ()), (1, true));
    // The cloud does not answer for longer than the host waits.
    let path = format!("^{resource}($|/)");
    azure.ask(&json!({ "do": "fail", "match": { "path": path }, "with": { "hang": 40 } }));
    let begun = Instant::now();
    host.invoke("fn-advance", &Handed::Object(json!({}))).expect("it answers in time");
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
    // Nothing goes on after the answer.
    let requests =
        || azure.ask(&json!({ "do": "requests", "path": path, "after": 0 }))["requests"].as_array().map(Vec::len);
    let then = requests();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(requests(), then);
    let (work, now) = host.app.open(async |store| {
        let work = store.work(10).await.expect("work");
        (work, azure.ask(&json!({ "do": "sdk", "resource": resource })))
    });
    assert_eq!(work.len(), 1, "what was begun goes on when its lease is over: {work:?}");
    assert_eq!(now[&resource]["properties"]["supportsHttpsTrafficOnly"], false, "{now}");
}

#[test]
fn it_answers_before_it_can_do_anything() {
    // The server is not there yet.
    let mut app = Deployed::new("", RULES);
    let url = app.environment.iter().find(|(name, _)| name == "AMEND__STORE__URL").expect("a URL").1.clone();
    app.set("AMEND__STORE__URL", "postgres://nobody@127.0.0.1:1/amend");
    let mut host = Host::start(app);
    let failed = host.invoke("fn-event-hubs", &Handed::Texts(vec![finding("st1", "Unhealthy", AT).to_string()]));
    let failed = failed.expect_err("there is no store");
    assert!(failed.starts_with("503") && failed.contains("service.start"), "{failed}");
    host.app.set("AMEND__STORE__URL", &url);
    host.restart();
    assert_eq!(host.batch(&[finding("st1", "Unhealthy", AT)], |_, _| ()), (1, true));
}

#[test]
fn what_cannot_work_says_so_and_what_to_do() {
    let start = |app: &Deployed, more: &[(&str, &str)]| {
        let mut environment = app.environment.clone();
        environment.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Program::start(env!("CARGO_BIN_EXE_amend-azure"), &[], app.folder.path(), &environment)
    };
    let app = Deployed::new("", RULES);
    let (status, said) = start(&app, &[]).ended();
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("FUNCTIONS_CUSTOMHANDLER_PORT is not set"), "{said}");
    let port = free_port().to_string();
    app.write("amend.yaml", "version: 1\nrulez: rules.yaml\n");
    let (status, said) = start(&app, &[("FUNCTIONS_CUSTOMHANDLER_PORT", &port)]).ended();
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("amend.yaml:2:1") && said.contains("rulez") && said.contains("did you mean"), "{said}");
    // Each line is JSON, for whoever reads them.
    assert!(said.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{said}");

    for (more, says) in [
        (vec![("AMEND__STORE__URL", "")], "keeps nothing in a file"),
        (vec![("AMEND__FUNCTIONS__INSTANCES", "10000")], "the server has room for"),
    ] {
        let mut app = Deployed::new("", RULES);
        for (name, value) in &more {
            app.set(name, value);
        }
        app.environment.retain(|(_, value)| !value.is_empty());
        let mut host = Host::start(app);
        let failed = host.invoke("fn-advance", &Handed::Object(json!({}))).expect_err("it cannot work");
        assert!(failed.contains(says), "{failed}");
    }
}

#[test]
fn what_it_does_not_do_it_does_not_do() {
    let mut host = running("functions: { does: events }\n");
    let failed = host.invoke("fn-advance", &Handed::Object(json!({}))).expect_err("it does no work");
    assert!(failed.contains("functions.does"), "{failed}");
    let shown = [("authorization", "Bearer amend_x")];
    assert_eq!(host.forward("GET", "/api/v1/problems", &[], "").0, 401);
    assert_eq!(host.forward("GET", "/api/v1/problems", &shown, "").0, 404);
    assert_eq!(host.batch(&[finding("st1", "Unhealthy", AT)], |_, _| ()), (1, true));
}

#[test]
fn what_it_has_read_gets_old() {
    let mut host = running("functions: { refresh: 0m }\n");
    let owner = |host: &Host, name: &str| {
        let all = host.app.problems();
        let one = all.iter().find(|one| one["resource"].as_str().is_some_and(|id| id.ends_with(name)));
        one.unwrap_or_else(|| panic!("{all:?}"))["owner"].as_str().map(str::to_owned)
    };
    host.batch(&[finding("st1", "Unhealthy", AT)], |_, _| ());
    assert_eq!(owner(&host, "st1").as_deref(), Some("a@example.org"));
    host.app.write("rules.yaml", &RULES.replace("a@example.org", "b@example.org"));
    host.batch(&[finding("st2", "Unhealthy", AT)], |_, _| ());
    assert_eq!(owner(&host, "st2").as_deref(), Some("b@example.org"));
    // A mistake does not stop what works.
    host.app.write("rules.yaml", "version: 1\nrules: 7\n");
    host.batch(&[finding("st3", "Unhealthy", AT)], |_, _| ());
    assert_eq!(owner(&host, "st3").as_deref(), Some("b@example.org"));
    assert!(host.handler.said().contains("rules.yaml:2:"), "{}", host.handler.said());
}

#[test]
fn a_secret_changes_without_a_deployment() {
    let mut app = Deployed::new("functions: { refresh: 0m }\n", RULES);
    let other = Deployed::new("", RULES);
    let url = |app: &Deployed| {
        let all = app.environment.iter().find(|(name, _)| name == "AMEND__STORE__URL");
        all.map(|(_, url)| url.clone()).expect("a URL")
    };
    app.write("url", &format!("{}\n", url(&app)));
    let path = app.folder.path().join("url").display().to_string();
    app.environment.retain(|(name, _)| name != "AMEND__STORE__URL");
    app.set("AMEND__STORE__URL_FILE", &path);
    let mut host = Host::start(app);
    host.batch(&[finding("st1", "Unhealthy", AT)], |_, _| ());
    assert_eq!(host.app.problems().len(), 1);
    host.app.write("url", &url(&other));
    host.batch(&[finding("st2", "Unhealthy", AT)], |_, _| ());
    assert_eq!((host.app.problems().len(), other.problems().len()), (1, 1));
}

#[test]
fn a_mistake_elsewhere_does_not_make_a_stop_wait() {
    let mut host = running("functions: { refresh: 0m }\n");
    host.batch(&[finding("st1", "Unhealthy", AT)], |_, _| ());
    host.app.write("amend.yaml", "version: 1\nrules: rules.yaml\nfunctions: { refresh: 0m }\nstopped: true\n");
    host.app.write("rules.yaml", "version: 1\nrules: 7\n");
    let failed = host.invoke("fn-advance", &Handed::Object(json!({}))).expect_err("it is stopped, and cannot start");
    assert!(failed.contains("service.start"), "{failed}");
    // Events are recorded in any case.
    host.batch(&[finding("st2", "Unhealthy", AT)], |_, _| ());
    assert_eq!(host.app.problems().len(), 2);
    // A mistake in the same file tells nobody whether it is a stop.
    host.app.write("amend.yaml", "version: 1\nrules: rules.yaml\nstopped: yes please\n");
    host.app.write("rules.yaml", RULES);
    host.invoke("fn-advance", &Handed::Object(json!({}))).expect_err("it may be stopped");
    host.app.write("amend.yaml", "version: 1\nrules: rules.yaml\nfunctions: { refresh: 0m }\nstopped: true\n");
    // With the mistake mended, it is stopped at once, on the connections that it has.
    host.invoke("fn-sweep", &Handed::Object(json!({}))).expect("it says that it is stopped");
    assert!(host.handler.said().contains("everything is stopped"), "{}", host.handler.said());
}

#[test]
fn asked_to_end_it_ends() {
    let mut host = running("");
    host.batch(&[finding("st1", "Unhealthy", AT)], |_, _| ());
    host.handler.terminate();
    let (status, said) = host.handler.ended();
    assert!(status.success(), "{status}: {said}");
}

//! The HTTP border: doors, handshakes, and what is never answered.

use std::sync::Arc;

use amend_pipeline::config::{self, Config};
use amend_store::Store as _;
use amend_tests::harness::{Bench, Export, bench, read};
use amend_web::App;
use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request, StatusCode},
};
use serde_json::{Value, json};
use tower::ServiceExt as _;

struct Service {
    router: Router,
    bench: Bench,
}

async fn service(change: impl FnOnce(&mut Config)) -> Service {
    let bench = bench(
        "version: 1\nrules: [{ id: all, priority: 1, owner: a@example.org, due: 14d, fix: observe }]",
        "version: 1",
    )
    .await;
    let (mut config, _) =
        config::load(None, std::path::Path::new(""), &[], jiff::Timestamp::UNIX_EPOCH).expect("defaults");
    change(&mut config);
    Service { router: amend_web::router(App::new(Arc::clone(&bench.pipeline), &config)), bench }
}

impl Service {
    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> (StatusCode, HeaderMap, Value) {
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", "127.0.0.1:8080");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response =
            self.router.clone().oneshot(request.body(body.into()).expect("a request")).await.expect("an answer");
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, 1 << 22).await.expect("a body");
        (parts.status, parts.headers, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        let (status, _, answer) =
            self.ask(Method::POST, path, &[("content-type", "application/json")], body.to_string()).await;
        (status, answer)
    }
}

fn validation() -> Value {
    json!([{ "id": "1", "topic": "/t", "subject": "", "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
        "eventTime": "2026-01-01T00:00:00Z", "metadataVersion": "1", "dataVersion": "1",
        "data": { "validationCode": "512d38b6", "validationUrl": "http://127.0.0.1:1/never" } }])
}

#[tokio::test]
async fn event_grids_handshake_is_answered_at_once_with_200() {
    let service = service(|_| {}).await;
    let (status, answer) = service.post("/events/event-grid", &validation()).await;
    assert_eq!((status, answer), (StatusCode::OK, json!({ "validationResponse": "512d38b6" })));
}

#[tokio::test]
async fn the_handshake_of_a_stranger_is_left_waiting_for_a_person() {
    let service = service(|config| config.event_subscriptions = vec!["amend-prod".into()]).await;
    let ask = |name: &'static str| {
        let service = &service;
        async move {
            let headers = [("aeg-event-type", "SubscriptionValidation"), ("aeg-subscription-name", name)];
            service.ask(Method::POST, "/events/event-grid", &headers, validation().to_string()).await
        }
    };
    let (status, _, answer) = ask("AMEND-PROD").await;
    assert_eq!((status, answer["validationResponse"].as_str()), (StatusCode::OK, Some("512d38b6")));
    let (status, _, answer) = ask("someone-elses").await;
    assert_eq!((status, answer.get("validationResponse")), (StatusCode::OK, None));
}

#[tokio::test]
async fn a_deleted_subscription_says_goodbye_and_gets_200() {
    let service = service(|_| {}).await;
    let (status, ..) = service
        .ask(Method::POST, "/events/event-grid", &[("aeg-event-type", "SubscriptionDeletion")], "not even JSON")
        .await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn the_cloud_events_handshake_grants_origin_and_rate() {
    let service = service(|config| config.cloud_event_origins = vec!["eventgrid.azure.net".into()]).await;
    let ask = |headers: Vec<(&'static str, &'static str)>| {
        let service = &service;
        async move { service.ask(Method::OPTIONS, "/events/cloud-events", &headers, "").await }
    };
    let (status, headers, _) =
        ask(vec![("webhook-request-origin", "eventgrid.azure.net"), ("webhook-request-rate", "120")]).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        (&headers["webhook-allowed-origin"], &headers["webhook-allowed-rate"], &headers["allow"]),
        (
            &"eventgrid.azure.net".parse().expect("a value"),
            &"*".parse().expect("a value"),
            &"POST".parse().expect("a value")
        )
    );
    let (status, headers, answer) = ask(vec![("webhook-request-origin", "evil.example")]).await;
    assert_eq!((status, headers.get("webhook-allowed-origin")), (StatusCode::METHOD_NOT_ALLOWED, None));
    assert!(answer["hint"].as_str().is_some_and(|hint| hint.contains("cloud_events.origins")));
    assert_eq!(ask(vec![]).await.0, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn what_cannot_be_read_is_kept_and_answered_200_at_every_door() {
    let service = service(|_| {}).await;
    for form in amend_events::Form::ALL {
        let (status, answer) =
            service.post(&format!("/events/{}", form.as_str()), &json!({ "broken": form.as_str() })).await;
        assert_eq!((status, answer["unreadable"].as_u64()), (StatusCode::OK, Some(1)), "{}", form.as_str());
    }
    assert_eq!(service.bench.store.parked(false, 100).await.expect("listed").len(), 8);
}

#[tokio::test]
async fn a_body_over_the_limit_is_answered_413_and_a_wrong_media_type_415() {
    let service = service(|_| {}).await;
    let limit = service.bench.pipeline.limits().bytes;
    let (status, _, answer) = service.ask(Method::POST, "/events/plain", &[], vec![b' '; limit + 1]).await;
    assert_eq!((status, answer["code"].as_str()), (StatusCode::PAYLOAD_TOO_LARGE, Some("events.too-large")));
    let (status, _, answer) =
        service.ask(Method::POST, "/events/cloud-events", &[("content-type", "text/xml")], "<x/>").await;
    assert_eq!((status, answer["code"].as_str()), (StatusCode::UNSUPPORTED_MEDIA_TYPE, Some("events.media-type")));
    let (status, ..) = service
        .ask(
            Method::POST,
            "/events/cloud-events",
            &[("content-type", "application/cloudevents-batch+json; charset=utf-8")],
            "[]",
        )
        .await;
    assert_eq!(status, StatusCode::OK);
}

/// INVARIANT: what may pass is answered 503 with a time to come back, never 400, 401, 403 or 413:
/// Event Grid would drop the event.
#[tokio::test]
async fn a_store_that_does_not_answer_makes_the_sender_come_again() {
    let service = service(|_| {}).await;
    service.bench.store.close().await;
    let (status, headers, answer) = service.ask(Method::POST, "/events/plain", &[], Export::default().text()).await;
    assert_eq!((status, answer["code"].as_str()), (StatusCode::SERVICE_UNAVAILABLE, Some("store.failed")));
    assert_eq!(headers["retry-after"], "30");
    assert_eq!(service.ask(Method::GET, "/readyz", &[], "").await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(service.ask(Method::GET, "/healthz", &[], "").await.0, StatusCode::OK);
    assert_eq!(service.ask(Method::GET, "/", &[], "").await.0, StatusCode::OK);
}

#[tokio::test]
async fn only_this_machine_is_answered() {
    let service = service(|_| {}).await;
    let status = |headers: Vec<(&'static str, &'static str)>| {
        let service = &service;
        async move { service.ask(Method::GET, "/api/v1/problems", &headers, "").await.0 }
    };
    assert_eq!(status(vec![("host", "localhost:8080")]).await, StatusCode::OK);
    assert_eq!(status(vec![("host", "[::1]:8080")]).await, StatusCode::OK);
    assert_eq!(status(vec![("host", "amend.evil.example:8080")]).await, StatusCode::MISDIRECTED_REQUEST);
    assert_eq!(
        status(vec![("host", "127.0.0.1:8080"), ("origin", "https://evil.example")]).await,
        StatusCode::MISDIRECTED_REQUEST
    );
    assert_eq!(status(vec![("host", "127.0.0.1:8080"), ("origin", "http://localhost:8080")]).await, StatusCode::OK);
}

#[tokio::test]
async fn the_api_stops_everything_and_does_not_let_it_go_on() {
    let service = service(|_| {}).await;
    let get = async || service.ask(Method::GET, "/api/v1/stop", &[], "").await.2;
    assert_eq!(get().await, json!({ "stopped": null }));
    for wrong in [json!({}), json!({ "why": " " }), json!({ "why": "x".repeat(501) })] {
        assert_eq!(service.post("/api/v1/stop", &wrong).await.0, StatusCode::BAD_REQUEST, "{wrong}");
    }
    let (status, stopped) = service.post("/api/v1/stop", &json!({ "why": "an incident" })).await;
    assert_eq!((status, stopped["stopped"]["why"].as_str()), (StatusCode::OK, Some("an incident")));
    let (_, again) = service.post("/api/v1/stop", &json!({ "why": "another" })).await;
    assert_eq!(again["stopped"]["why"], "an incident", "the first one stays");
    assert_eq!(get().await["stopped"]["by"], "the local user");
    assert!(service.bench.store.stopped().await.expect("answered").is_some());
    for method in [Method::DELETE, Method::PUT] {
        let status = service.ask(method, "/api/v1/stop", &[], "").await.0;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    }
}

#[tokio::test]
async fn the_api_lists_explains_and_releases() {
    let service = service(|_| {}).await;
    service.post("/events/plain", &Export { snapshot: true, ..Export::default() }.json()).await;
    let live = Export {
        resource: "/subscriptions/x/resourceGroups/g/providers/Microsoft.Sql/servers/s".into(),
        ..Export::default()
    };
    service.post("/events/plain", &live.json()).await;
    let get = |path: String| {
        let service = &service;
        async move { service.ask(Method::GET, &path, &[], "").await }
    };
    let (_, _, list) = get("/api/v1/problems?backlog=false".into()).await;
    assert_eq!(list["problems"].as_array().map(Vec::len), Some(1));
    let id = list["problems"][0]["id"].as_str().expect("an id").to_owned();
    let (_, _, explained) = get(format!("/api/v1/problems/{id}/explain")).await;
    assert_eq!(explained["decisions"][0]["walk"][0]["result"], "governs");
    assert_eq!(get("/api/v1/problems/p-00000000".into()).await.0, StatusCode::NOT_FOUND);
    let (status, _, answer) = get("/api/v1/problems?state=odd".into()).await;
    assert_eq!((status, answer["hint"].as_str()), (StatusCode::BAD_REQUEST, Some("one of open, closed, all")));
    let (_, _, backlog) = get("/api/v1/backlog".into()).await;
    assert_eq!(backlog["total"], 1);
    let (status, released) = service
        .post(
            "/api/v1/backlog/release",
            &json!({ "rule": "all", "limit": 5, "scope": "/subscriptions/2f6c1a5e-0b7d-4f7e-8a39-51c0de9b7a11" }),
        )
        .await;
    assert_eq!((status, released["problems"][0]["place"].as_str()), (StatusCode::OK, Some("released")));
    assert_eq!(
        service.post("/api/v1/backlog/release", &json!({ "rule": "nobody", "limit": 5 })).await.0,
        StatusCode::NOT_FOUND
    );
    let (status, _, answer) = get("/api/v1/problems?limit=many".into()).await;
    assert_eq!((status, answer["code"].as_str()), (StatusCode::BAD_REQUEST, Some("api.query")));
    let (status, _, answer) = get("/api/v2/problems".into()).await;
    assert_eq!((status, answer["code"].as_str()), (StatusCode::NOT_FOUND, Some("web.route")));
    let openapi: Value = serde_json::from_str(&read("docs/reference/openapi.json")).expect("JSON");
    assert_eq!(get("/api/v1/openapi.json".into()).await.2, openapi);
}

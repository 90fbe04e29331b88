//! Tools that call from elsewhere: what each may, and nothing else.

use std::{path::Path, sync::Arc};

use amend_catalog::SourceText;
use amend_pipeline::{config, people};
use amend_store::Store as _;
use amend_tests::harness::{Bench, Export, bench, moment};
use amend_web::App;
use axum::{
    Router,
    body::{Body, to_bytes},
    http::Request,
};
use serde_json::{Value, json};
use tower::ServiceExt as _;

struct Service {
    router: Router,
    bench: Bench,
    /// The tokens of tools that may only one thing, by that.
    tokens: Vec<(&'static str, String)>,
    ended: String,
}

async fn service() -> Service {
    let bench = bench(
        "version: 1\nrules: [{ id: all, priority: 1, owner: a@example.org, due: 14d, fix: observe }]",
        "version: 1",
    )
    .await;
    let mut text = "version: 1\ncallers:\n".to_owned();
    let mut add = |name: &str, scope: &str, more: &str| {
        let (token, digest) = people::new_token().expect("random numbers");
        text.push_str(&format!("  - {{ name: {name}, token: '{digest}', may: {scope}{more} }}\n"));
        token
    };
    let tokens = ["ingest", "read", "operate"].map(|scope| (scope, add(&format!("tool-{scope}"), scope, "")));
    let ended = add("tool-of-then", "[ingest, read, operate]", ", until: 2026-11-19");
    let file = SourceText::new("amend.yaml", text);
    let (config, _) =
        config::load(Some(&file), Path::new(""), &[], moment("2026-11-20T12:00:00Z")).expect("no mistakes");
    let router = amend_web::outside(App::new(Arc::clone(&bench.pipeline), &config));
    Service { router, bench, tokens: tokens.to_vec(), ended }
}

impl Service {
    async fn ask(&self, method: &str, path: &str, authorization: &[&str], body: &str) -> (u16, Value) {
        let mut request = Request::builder().method(method).uri(path).header("host", "amend.example.org");
        request = request.header("content-type", "application/json");
        for value in authorization {
            request = request.header("authorization", *value);
        }
        let request = request.body(Body::from(body.to_owned())).expect("a request");
        let answer = self.router.clone().oneshot(request).await.expect("an answer");
        let (parts, body) = answer.into_parts();
        if parts.status == 401 {
            assert_eq!(parts.headers["www-authenticate"], "Bearer");
        }
        let bytes = to_bytes(body, 1 << 22).await.expect("a body");
        (parts.status.as_u16(), serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    fn bearer(&self, scope: &str) -> String {
        let token = self.tokens.iter().find(|(name, _)| *name == scope).map(|(_, token)| token);
        format!("Bearer {}", token.expect("a token"))
    }
}

#[tokio::test]
async fn every_route_needs_one_scope() {
    let service = service().await;
    let described = serde_json::to_value(amend_web::openapi()).expect("JSON");
    let mut seen = 0;
    for (path, operations) in described["paths"].as_object().expect("paths") {
        for method in operations.as_object().expect("operations").keys().map(|name| name.to_uppercase()) {
            let path = path.replace("{id}", "p-none");
            let (status, _) = service.ask(&method, &path, &[], "{}").await;
            if path == "/" || path == "/healthz" {
                assert_eq!(status, 200, "{path}");
                continue;
            }
            assert_eq!(status, 401, "{method} {path}");
            let needed = match (path.starts_with("/events/"), method.as_str()) {
                (true, _) => "ingest",
                (false, "GET") => "read",
                (false, "POST") => "operate",
                other => panic!("who may {other:?} {path}?"),
            };
            for (scope, _) in &service.tokens {
                let (status, answer) = service.ask(&method, &path, &[&service.bearer(scope)], "{}").await;
                let refused = (status, &answer["code"]) == (403, &json!("web.scope"));
                assert_eq!(refused, *scope != needed, "{method} {path} by {scope}: {status} {answer}");
                assert_ne!(status, 401, "{method} {path} by {scope}");
            }
            seen += 1;
        }
    }
    assert!(seen > 15, "{seen}");
    // What is no route is told to whoever is known.
    assert_eq!(service.ask("GET", "/no/such", &[], "").await.0, 401);
    assert_eq!(service.ask("GET", "/no/such", &[&service.bearer("read")], "").await.0, 404);
    // What needs nothing that anybody may is reached by nobody.
    for (method, path) in [("DELETE", "/api/v1/problems"), ("PUT", "/api/v1/stop"), ("POST", "/readyz"), ("GET", "//")]
    {
        for (scope, _) in &service.tokens {
            let (status, answer) = service.ask(method, path, &[&service.bearer(scope)], "{}").await;
            assert_eq!((status, &answer["code"]), (404, &json!("web.route")), "{method} {path}: {answer}");
        }
    }
}

#[tokio::test]
async fn only_a_token_that_holds_lets_in() {
    let service = service().await;
    let good = service.bearer("read");
    let token = good.trim_start_matches("Bearer ").to_owned();
    let basic = format!("Basic {token}");
    let (short, long) = (format!("Bearer {}", &token[..token.len() - 1]), format!("Bearer {token}x"));
    let huge = format!("Bearer {token}{}", " ".repeat(300));
    let ended = format!("Bearer {}", service.ended);
    for wrong in [
        vec!["Bearer"],
        vec!["Bearer "],
        vec![token.as_str()],
        vec![&basic],
        vec![&short],
        vec![&long],
        vec![&ended],
        vec![&good, &good],
    ] {
        let (status, answer) = service.ask("GET", "/api/v1/problems", &wrong, "").await;
        assert_eq!((status, &answer["code"]), (401, &json!("web.unknown")), "{wrong:?}: {answer}");
        assert!(!answer.to_string().contains(&token), "it is not repeated");
    }
    assert_eq!(service.ask("GET", "/api/v1/problems", &[&good], "").await.0, 200);
    assert_eq!(service.ask("GET", "/api/v1/problems", &[&good.replace("Bearer", "bearer")], "").await.0, 200);
    // Spaces around it are not part of it.
    assert_eq!(service.ask("GET", "/api/v1/problems", &[&huge], "").await.0, 200);
}

#[tokio::test]
async fn what_a_tool_does_stands_in_its_name() {
    let service = service().await;
    let finding = Export { snapshot: true, ..Export::default() }.json().to_string();
    let (status, receipt) = service.ask("POST", "/events/plain", &[&service.bearer("ingest")], &finding).await;
    assert_eq!((status, &receipt["new"]), (200, &json!(1)), "{receipt}");
    let release = json!({ "rule": "all", "limit": 1 }).to_string();
    let (status, answer) =
        service.ask("POST", "/api/v1/backlog/release", &[&service.bearer("operate")], &release).await;
    assert_eq!(status, 200, "{answer}");
    let stop = json!({ "why": "a drill" }).to_string();
    let (status, answer) = service.ask("POST", "/api/v1/stop", &[&service.bearer("operate")], &stop).await;
    assert_eq!((status, &answer["stopped"]["by"]), (200, &json!("tool-operate")), "{answer}");
    let trail = service.bench.store.audit(0, 100).await.expect("records");
    let by: Vec<&str> = trail.iter().map(|record| &*record.entry.who).filter(|by| *by == "tool-operate").collect();
    assert_eq!(by.len(), 2, "{trail:#?}");
}

#[test]
fn mistakes_about_tools_are_shown() {
    let (_, digest) = people::new_token().expect("random numbers");
    let text = format!(
        "version: 1\ncallers:\n  - {{ name: a, token: amend_abc, may: read }}\n  - {{ name: b, token: '{digest}', may: write }}\n  - {{ name: c, token: '{digest}', may: read, until: someday }}\n  - {{ name: d, token: '{digest}' }}\n"
    );
    let found =
        config::load(Some(&SourceText::new("amend.yaml", text)), Path::new(""), &[], moment("2026-11-20T12:00:00Z"));
    let found = found.expect_err("mistakes").to_string();
    for expected in
        ["that is the token itself", "`write`", "this is no day", "it is the token of b, too", "lacks `may`"]
    {
        assert!(found.contains(expected), "{expected}: {found}");
    }
    assert!(!found.contains("amend_abc"), "{found}");
}

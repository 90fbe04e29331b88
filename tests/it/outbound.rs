//! The one outbound HTTP client: hosts from a list, TLS, no redirects, nothing secret in what it prints.

use amend_http::{Client, Hosts, HttpError, Request};
use axum::{Router, http::header, routing::get};

fn to(url: &str) -> Request {
    Request {
        method: "GET".into(),
        url: url.into(),
        headers: vec![("authorization".into(), "Bearer of-bad-news".into())],
        body: b"a-secret-body".to_vec(),
    }
}

#[tokio::test]
async fn only_listed_hosts_are_talked_to_and_only_over_tls() {
    let client = Client::new(Hosts::of(["management.azure.com", ".amazonaws.com"])).expect("a client");
    for url in [
        "https://evil.example/",
        "https://management.azure.com.evil.example/",
        "https://evilamazonaws.com/",
        "http://management.azure.com/",
        "https://management.azure.com:8443/",
        "http://s3.amazonaws.com/",
        "http://127.0.0.1/",
        "https://user@evil.example/management.azure.com",
    ] {
        assert!(matches!(client.send(to(url)).await, Err(HttpError::Host { .. })), "{url}");
    }
    assert!(matches!(client.send(to("management.azure.com")).await, Err(HttpError::Url(_))));
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let moved = move || async move { ([(header::LOCATION, format!("http://{address}/gone"))], "moved") };
    let router = Router::new()
        .route("/", get(move || async move { (axum::http::StatusCode::FOUND, moved().await) }))
        .route("/gone", get(|| async { "followed" }));
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let client = Client::new(Hosts::loopback()).expect("a client");
    let answer = client.send(to(&format!("http://{address}/"))).await.expect("an answer");
    assert_eq!((answer.status, answer.body.as_slice()), (302, b"moved".as_slice()));
    server.abort();
}

#[tokio::test]
async fn headers_bodies_and_queries_stay_out_of_what_is_printed() {
    let client = Client::new(Hosts::loopback()).expect("a client");
    let request = to("http://127.0.0.1:1/?token=in-the-query");
    assert!(!format!("{request:?}").contains("of-bad-news") && !format!("{request:?}").contains("a-secret-body"));
    let error = client.send(request).await.expect_err("nobody listens");
    let said = format!("{error:?} {error}");
    assert!(!said.contains("in-the-query") && !said.contains("of-bad-news"), "{said}");
    assert!(matches!(error, HttpError::Unreachable { unsent: true, .. }), "{error:?}");
}

//! The doors that events come through, and their handshakes.
//!
//! One bad event never makes a delivery fail: it is kept, and the answer is 200. Event Grid drops
//! what is answered 400, 401, 403 or 413, so those are never said of what may pass; 503 is.

use amend_events::Form;
use amend_pipeline::{
    Delivery,
    accept::{AcceptError, Counts},
};
use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{App, ErrorBody, Failure};

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Receipt {
    /// How many of each.
    #[serde(flatten)]
    pub counts: Counts,
}

/// The answer to Event Grid's handshake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ValidationAnswer {
    /// The code that Event Grid sent.
    #[serde(rename = "validationResponse")]
    pub validation_response: String,
}

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(event_grid))
        .routes(routes!(cloud_events, cloud_events_handshake))
        .routes(routes!(event_hubs))
        .routes(routes!(pub_sub))
        .routes(routes!(eventarc))
        .routes(routes!(event_bridge))
        .routes(routes!(logic_app))
        .routes(routes!(plain))
}

async fn accept(
    app: &App,
    form: Form,
    headers: &HeaderMap,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Result<(Counts, Option<String>), Failure> {
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            too_large(format!("the body is over {} bytes (`limits.bytes`)", app.pipeline.limits().bytes))
        }
        // The body broke off: the sender can send it again, and 400 would make Event Grid drop it.
        _ => Failure::new(StatusCode::SERVICE_UNAVAILABLE, "web.body", rejection.to_string(), None),
    })?;
    let attributes = attributes(headers);
    let delivery = Delivery { form, body: &body, attributes: &attributes, snapshot: false };
    match app.pipeline.accept(delivery).await {
        Ok(accepted) => {
            let counts = accepted.counts();
            info!(
                form = form.as_str(),
                new = counts.new,
                updated = counts.updated,
                duplicate = counts.duplicate,
                unreadable = counts.unreadable,
                "delivery accepted"
            );
            Ok((counts, accepted.validation))
        }
        Err(AcceptError::TooLarge(refused)) => Err(too_large(refused.to_string())),
        Err(AcceptError::Pipeline(error)) => Err(error.into()),
    }
}

/// The attributes of a CloudEvent in binary mode.
#[must_use]
pub fn attributes(headers: &HeaderMap) -> Vec<(String, String)> {
    let all = headers.iter().filter_map(|(name, value)| {
        Some((name.as_str().strip_prefix("ce-")?.to_owned(), value.to_str().ok()?.to_owned()))
    });
    all.collect()
}

/// A body that is too large today will be too large tomorrow: 413 lets the sender dead-letter it.
fn too_large(message: String) -> Failure {
    Failure::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "events.too-large",
        message,
        Some("have the sender split its batches, or raise the limit"),
    )
}

fn receipt((counts, _): (Counts, Option<String>)) -> Json<Receipt> {
    Json(Receipt { counts })
}

type Body = Result<Bytes, axum::extract::rejection::BytesRejection>;

/// Event Grid schema: an array of events, and its handshake.
#[utoipa::path(post, path = "/events/event-grid", request_body = serde_json::Value,
    responses((status = 200, description = "Recorded; to a handshake, the answer", body = Receipt), (status = 413, body = ErrorBody), (status = 503, body = ErrorBody)))]
async fn event_grid(State(app): State<App>, headers: HeaderMap, body: Body) -> Result<Response, Failure> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if text("aeg-event-type").eq_ignore_ascii_case("SubscriptionDeletion") {
        info!(subscription = text("aeg-subscription-name"), "an event subscription was deleted");
        return Ok(StatusCode::OK.into_response());
    }
    let accepted = accept(&app, Form::EventGrid, &headers, body).await?;
    let Some(code) = accepted.1.clone() else { return Ok(receipt(accepted).into_response()) };
    // Answering anybody's handshake would let a stranger's subscription send us events.
    let name = text("aeg-subscription-name");
    let expected = app.subscriptions.is_empty() || app.subscriptions.iter().any(|one| one.eq_ignore_ascii_case(name));
    if expected {
        info!(subscription = name, "answered the handshake of an event subscription");
        return Ok(Json(ValidationAnswer { validation_response: code }).into_response());
    }
    // 200 without the code leaves the subscription waiting for a person: `AwaitingManualAction`.
    warn!(
        subscription = name,
        "did not answer the handshake of an event subscription that `event_grid.subscriptions` does not name"
    );
    Ok(receipt(accepted).into_response())
}

/// CloudEvents 1.0: structured, batch, or binary.
#[utoipa::path(post, path = "/events/cloud-events", request_body = serde_json::Value,
    responses((status = 200, body = Receipt), (status = 413, body = ErrorBody), (status = 415, body = ErrorBody), (status = 503, body = ErrorBody)))]
async fn cloud_events(State(app): State<App>, headers: HeaderMap, body: Body) -> Result<Json<Receipt>, Failure> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("application/json");
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if kind != "application/json" && !kind.ends_with("+json") {
        let hint = "send application/cloudevents+json, application/cloudevents-batch+json, or binary mode with application/json";
        return Err(Failure::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "events.media-type",
            format!("`{kind}` is not read here"),
            Some(hint),
        ));
    }
    accept(&app, Form::CloudEvents, &headers, body).await.map(receipt)
}

/// The CloudEvents handshake: whether this endpoint wants events from an origin.
#[utoipa::path(options, path = "/events/cloud-events",
    responses((status = 200, description = "It does"), (status = 405, description = "It does not", body = ErrorBody)))]
async fn cloud_events_handshake(State(app): State<App>, headers: HeaderMap) -> Result<Response, Failure> {
    let refuse = |message: &str, hint: &str| {
        Failure::new(StatusCode::METHOD_NOT_ALLOWED, "events.handshake", message, Some(hint))
    };
    let Some(origin) = headers.get("webhook-request-origin") else {
        return Err(refuse("this is no CloudEvents handshake", "a handshake has the header `WebHook-Request-Origin`"));
    };
    let name = origin.to_str().unwrap_or_default();
    if !app.origins.is_empty() && !app.origins.iter().any(|one| one.eq_ignore_ascii_case(name)) {
        warn!(origin = name, "refused the handshake of an origin that `cloud_events.origins` does not name");
        return Err(refuse("this origin may not deliver events", "add it to `cloud_events.origins` in amend.yaml"));
    }
    // `WebHook-Request-Callback` is not called: it is whatever a stranger asks for.
    let mut answer = StatusCode::OK.into_response();
    let any = HeaderValue::from_static("*");
    for (header, value) in [
        (HeaderName::from_static("webhook-allowed-origin"), origin.clone()),
        (HeaderName::from_static("webhook-allowed-rate"), any),
        (header::ALLOW, HeaderValue::from_static("POST")),
    ] {
        answer.headers_mut().insert(header, value);
    }
    Ok(answer)
}

/// A batch of Event Hubs events, as a forwarder posts it.
#[utoipa::path(post, path = "/events/event-hubs", request_body = serde_json::Value,
    responses((status = 200, body = Receipt), (status = 413, body = ErrorBody), (status = 503, body = ErrorBody)))]
async fn event_hubs(State(app): State<App>, headers: HeaderMap, body: Body) -> Result<Json<Receipt>, Failure> {
    accept(&app, Form::EventHubs, &headers, body).await.map(receipt)
}

/// A Pub/Sub push.
#[utoipa::path(post, path = "/events/pub-sub", request_body = serde_json::Value,
    responses((status = 200, body = Receipt), (status = 413, body = ErrorBody), (status = 503, body = ErrorBody)))]
async fn pub_sub(State(app): State<App>, headers: HeaderMap, body: Body) -> Result<Json<Receipt>, Failure> {
    accept(&app, Form::PubSub, &headers, body).await.map(receipt)
}

/// A Pub/Sub message inside a CloudEvent.
#[utoipa::path(post, path = "/events/eventarc", request_body = serde_json::Value,
    responses((status = 200, body = Receipt), (status = 413, body = ErrorBody), (status = 503, body = ErrorBody)))]
async fn eventarc(State(app): State<App>, headers: HeaderMap, body: Body) -> Result<Json<Receipt>, Failure> {
    accept(&app, Form::Eventarc, &headers, body).await.map(receipt)
}

/// An Amazon EventBridge event.
#[utoipa::path(post, path = "/events/event-bridge", request_body = serde_json::Value,
    responses((status = 200, body = Receipt), (status = 413, body = ErrorBody), (status = 503, body = ErrorBody)))]
async fn event_bridge(State(app): State<App>, headers: HeaderMap, body: Body) -> Result<Json<Receipt>, Failure> {
    accept(&app, Form::EventBridge, &headers, body).await.map(receipt)
}

/// The body of the Logic App trigger for Defender recommendations.
#[utoipa::path(post, path = "/events/logic-app", request_body = serde_json::Value,
    responses((status = 200, body = Receipt), (status = 413, body = ErrorBody), (status = 503, body = ErrorBody)))]
async fn logic_app(State(app): State<App>, headers: HeaderMap, body: Body) -> Result<Json<Receipt>, Failure> {
    accept(&app, Form::LogicApp, &headers, body).await.map(receipt)
}

/// A bare body, or any of the other forms, told by its shape.
#[utoipa::path(post, path = "/events/plain", request_body = serde_json::Value,
    responses((status = 200, body = Receipt), (status = 413, body = ErrorBody), (status = 503, body = ErrorBody)))]
async fn plain(State(app): State<App>, headers: HeaderMap, body: Body) -> Result<Json<Receipt>, Failure> {
    accept(&app, Form::Plain, &headers, body).await.map(receipt)
}

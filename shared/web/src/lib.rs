//! Every HTTP route: events in ([`events`]), the API ([`api`]), health. One [`router`], used by
//! `amend serve` today and by the function apps later.
//!
//! [`router`], which `amend serve` uses, only answers requests addressed to this machine. [`outside`], which
//! function apps use, answers tools that are known by a token.

pub mod api;
mod callers;
pub mod events;
pub mod oidc;
pub mod tasks;

use std::{net::IpAddr, sync::Arc};

use amend_pipeline::{Config, Pipeline, PipelineError, WhatNow, callers::Callers};
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
pub use callers::{is_anybodys, refused};
use serde::{Deserialize, Serialize};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

/// What the handlers share.
#[derive(Clone)]
pub struct App {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) subscriptions: Arc<[String]>,
    pub(crate) origins: Arc<[String]>,
    callers: Arc<Callers>,
}

impl App {
    /// Handlers over `pipeline`, with the names that `config` lists.
    #[must_use]
    pub fn new(pipeline: Arc<Pipeline>, config: &Config) -> Self {
        Self {
            pipeline,
            subscriptions: config.event_subscriptions.clone().into(),
            origins: config.cloud_event_origins.clone().into(),
            callers: Arc::new(config.callers.clone()),
        }
    }
}

/// An error, as every route answers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// A stable name.
    pub code: String,
    /// What went wrong.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// An error on its way out.
#[derive(Debug)]
pub struct Failure {
    status: StatusCode,
    body: ErrorBody,
}

impl Failure {
    pub(crate) fn new(status: StatusCode, code: &str, message: impl Into<String>, hint: Option<&str>) -> Self {
        let body = ErrorBody { code: code.to_owned(), message: message.into(), hint: hint.map(str::to_owned) };
        Self { status, body }
    }
}

impl From<PipelineError> for Failure {
    fn from(error: PipelineError) -> Self {
        let status = match (&error, error.what_now()) {
            (PipelineError::NotFound { .. }, _) => StatusCode::NOT_FOUND,
            (PipelineError::Ambiguous { .. }, _) => StatusCode::CONFLICT,
            // Never 400, 401, 403 or 413 for what may pass: Event Grid would drop the event.
            (_, WhatNow::Retry) => StatusCode::SERVICE_UNAVAILABLE,
            (_, WhatNow::Park | WhatNow::Refuse) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        if status.is_server_error() {
            tracing::error!(code = error.code(), error = chain(&error), "a request failed");
        }
        let body = ErrorBody { code: error.code().to_owned(), message: error.to_string(), hint: error.hint() };
        Self { status, body }
    }
}

/// An error and its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("30"));
        }
        response
    }
}

/// How the service is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ok`.
    pub status: String,
    /// How many accounts have gone quiet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deaf: Option<usize>,
}

#[derive(OpenApi)]
#[openapi(info(title = "Amend", description = "Event-driven remediation for Microsoft Defender for Cloud."))]
struct Description;

/// All routes with their description.
fn described() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(root))
        .routes(routes!(healthz))
        .routes(routes!(readyz))
        .merge(events::routes())
        .merge(api::routes())
}

/// The OpenAPI description of all routes.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    described().into_openapi()
}

/// All routes, ready to serve.
pub fn router(app: App) -> Router {
    let limit = app.pipeline.limits().bytes;
    let (router, _) = described().split_for_parts();
    router
        .fallback(no_such_route)
        .layer(middleware::from_fn(only_this_machine))
        .layer(DefaultBodyLimit::max(limit))
        .layer(CatchPanicLayer::new())
        .with_state(app)
}

/// All routes, for callers from elsewhere: whoever is not known, or may not, is refused.
pub fn outside(app: App) -> Router {
    let limit = app.pipeline.limits().bytes;
    let (router, _) = described().split_for_parts();
    router
        .fallback(no_such_route)
        .layer(middleware::from_fn_with_state(app.clone(), callers::let_in))
        .layer(DefaultBodyLimit::max(limit))
        .layer(CatchPanicLayer::new())
        .with_state(app)
}

/// Refuses requests that were addressed to another name than this machine's, or sent by a page of
/// another site: a browser on this machine is not a person asking.
async fn only_this_machine(request: Request, next: Next) -> Response {
    let local = |name: &str| {
        let host = name.rsplit_once("://").map_or(name, |(_, host)| host);
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => host.split(':').next().unwrap_or_default(),
        };
        host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    };
    let named = |headers: &HeaderMap, name| headers.get(name).map(|value| value.to_str().is_ok_and(local));
    let uri_host = request.uri().host().map(local);
    let host = named(request.headers(), header::HOST).or(uri_host).unwrap_or(false);
    let origin = named(request.headers(), header::ORIGIN).unwrap_or(true);
    if host && origin {
        return next.run(request).await;
    }
    let hint = "address it as 127.0.0.1 or localhost";
    Failure::new(StatusCode::MISDIRECTED_REQUEST, "web.host", "this service only answers for this machine", Some(hint))
        .into_response()
}

async fn no_such_route(request: Request) -> Failure {
    let message = format!("there is no {} {}", request.method(), request.uri().path());
    Failure::new(StatusCode::NOT_FOUND, "web.route", message, Some("/api/v1/openapi.json lists the routes"))
}

/// Says that the service is there. The Azure Functions host asks this.
#[utoipa::path(get, path = "/", responses((status = 200, body = Health)))]
async fn root() -> Json<Health> {
    Json(Health { status: "ok".into(), deaf: None })
}

/// Says that the process is alive.
#[utoipa::path(get, path = "/healthz", responses((status = 200, body = Health)))]
async fn healthz() -> Json<Health> {
    Json(Health { status: "ok".into(), deaf: None })
}

/// Says whether the store answers, and how many accounts have gone quiet.
#[utoipa::path(get, path = "/readyz", responses((status = 200, body = Health), (status = 503, body = ErrorBody)))]
async fn readyz(State(app): State<App>) -> Result<Json<Health>, Failure> {
    app.pipeline.store().ping().await.map_err(PipelineError::from)?;
    let deaf = app.pipeline.deaf().await?.len();
    Ok(Json(Health { status: "ok".into(), deaf: Some(deaf) }))
}

//! The API for other tools: problems, why, the backlog, what could not be read.

use amend_domain::{ScopeId, work::Stop};
use amend_pipeline::{
    backlog::{Backlog, Deaf, Slice},
    callers::Caller,
    rows::ProblemRow,
};
use amend_store::Filter;
use axum::{
    Extension, Json,
    extract::{
        Path, Query, State,
        rejection::{JsonRejection, QueryRejection},
    },
    http::StatusCode,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{App, ErrorBody, Failure, callers};

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(problems))
        .routes(routes!(problem))
        .routes(routes!(explain))
        .routes(routes!(backlog))
        .routes(routes!(release))
        .routes(routes!(unreadable))
        .routes(routes!(deaf))
        .routes(routes!(stopped))
        .routes(routes!(stop))
        .routes(routes!(openapi))
}

/// Which problems to list.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
pub struct ProblemQuery {
    /// `open` (the default), `closed` or `all`.
    #[serde(default)]
    state: Option<String>,
    /// Only those in the backlog (`true`) or out of it (`false`).
    #[serde(default)]
    backlog: Option<bool>,
    /// Only those governed by this rule.
    #[serde(default)]
    rule: Option<String>,
    /// Only those in this account: `/subscriptions/…`, `aws:…`, `gcp:projects/…`.
    #[serde(default)]
    account: Option<String>,
    /// At most this many; 1,000, if absent.
    #[serde(default)]
    limit: Option<u32>,
}

/// A list of problems, most urgent first.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ProblemList {
    /// The problems.
    pub problems: Vec<ProblemRow>,
}

/// Lists problems, most urgent first.
#[utoipa::path(get, path = "/api/v1/problems", params(ProblemQuery),
    responses((status = 200, body = ProblemList), (status = 400, body = ErrorBody), (status = 503, body = ErrorBody)))]
async fn problems(
    State(app): State<App>,
    query: Result<Query<ProblemQuery>, QueryRejection>,
) -> Result<Json<ProblemList>, Failure> {
    let Query(query) =
        query.map_err(|error| Failure::new(StatusCode::BAD_REQUEST, "api.query", error.body_text(), None))?;
    let open = match query.state.as_deref() {
        None | Some("open") => Some(true),
        Some("closed") => Some(false),
        Some("all") => None,
        Some(other) => {
            let hint = "one of open, closed, all";
            return Err(Failure::new(
                StatusCode::BAD_REQUEST,
                "api.state",
                format!("`{other}` is no state"),
                Some(hint),
            ));
        }
    };
    let limit = Some(query.limit.unwrap_or(1_000));
    let filter = Filter { open, backlog: query.backlog, rule: query.rule, account: query.account, limit, due: None };
    let found = app.pipeline.store().problems(&filter).await.map_err(amend_pipeline::PipelineError::from)?;
    let now = app.pipeline.now();
    Ok(Json(ProblemList { problems: found.iter().map(|problem| ProblemRow::new(problem, now)).collect() }))
}

/// One problem, by its id or the start of it.
#[utoipa::path(get, path = "/api/v1/problems/{id}", params(("id" = String, Path, description = "The problem's id")),
    responses((status = 200, body = ProblemRow), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
async fn problem(State(app): State<App>, Path(id): Path<String>) -> Result<Json<ProblemRow>, Failure> {
    let explanation = app.pipeline.explain(&id).await?;
    Ok(Json(ProblemRow::new(&explanation.problem, app.pipeline.now())))
}

/// Why a problem was decided as it was: every rule, every fact.
#[utoipa::path(get, path = "/api/v1/problems/{id}/explain", params(("id" = String, Path, description = "The problem's id")),
    responses((status = 200, body = serde_json::Value), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
async fn explain(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<amend_pipeline::explain::Explanation>, Failure> {
    Ok(Json(app.pipeline.explain(&id).await?))
}

/// Counts the backlog.
#[utoipa::path(get, path = "/api/v1/backlog", responses((status = 200, body = Backlog), (status = 503, body = ErrorBody)))]
async fn backlog(State(app): State<App>) -> Result<Json<Backlog>, Failure> {
    Ok(Json(app.pipeline.backlog().await?))
}

/// Which slice of the backlog to release.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct Release {
    /// Of this rule.
    rule: String,
    /// At most this many, most urgent first.
    limit: u32,
    /// In this scope.
    #[serde(default)]
    scope: Option<String>,
}

/// Lets a slice of the backlog go; its dates are set now.
#[utoipa::path(post, path = "/api/v1/backlog/release", request_body = Release,
    responses((status = 200, body = ProblemList), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
async fn release(
    State(app): State<App>,
    caller: Option<Extension<Caller>>,
    release: Result<Json<Release>, JsonRejection>,
) -> Result<Json<ProblemList>, Failure> {
    let Json(release) =
        release.map_err(|error| Failure::new(StatusCode::BAD_REQUEST, "api.body", error.body_text(), None))?;
    let scope = release.scope.as_deref().map(ScopeId::parse).transpose();
    let scope = scope.map_err(|error| Failure::new(StatusCode::BAD_REQUEST, "api.scope", error.to_string(), None))?;
    let by = callers::name(caller.as_deref());
    let released = app.pipeline.release(&Slice { rule: release.rule, limit: release.limit, scope }, by).await?;
    let now = app.pipeline.now();
    Ok(Json(ProblemList { problems: released.iter().map(|problem| ProblemRow::new(problem, now)).collect() }))
}

/// Why everything is to be stopped.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Stopping {
    /// In words, for whoever finds it stopped.
    why: String,
}

/// Whether everything is stopped, and since when, by whom and why: `{"stopped": null}` where it is not.
#[utoipa::path(get, path = "/api/v1/stop", responses((status = 200, body = serde_json::Value), (status = 503, body = ErrorBody)))]
async fn stopped(State(app): State<App>) -> Result<Json<serde_json::Value>, Failure> {
    let stopped = app.pipeline.store().stopped().await.map_err(amend_pipeline::PipelineError::from)?;
    Ok(Json(serde_json::json!({ "stopped": stopped })))
}

/// Stops everything that writes. An earlier stop stays. Only `amend resume` lets it go on.
#[utoipa::path(post, path = "/api/v1/stop", request_body = Stopping,
    responses((status = 200, body = serde_json::Value), (status = 400, body = ErrorBody), (status = 503, body = ErrorBody)))]
async fn stop(
    State(app): State<App>,
    caller: Option<Extension<Caller>>,
    stopping: Result<Json<Stopping>, JsonRejection>,
) -> Result<Json<serde_json::Value>, Failure> {
    let hint = Some(r#"nothing was stopped: send {"why": "…"} as application/json, with 1 to 500 characters"#);
    let Json(Stopping { why }) =
        stopping.map_err(|error| Failure::new(StatusCode::BAD_REQUEST, "api.body", error.body_text(), hint))?;
    if why.trim().is_empty() || why.chars().count() > 500 {
        let message = "the reason is missing or too long".to_owned();
        return Err(Failure::new(StatusCode::BAD_REQUEST, "api.why", message, hint));
    }
    let by = callers::name(caller.as_deref());
    let stop = Stop { by: by.into(), at: app.pipeline.now(), why: why.trim().into() };
    let holds = app.pipeline.store().stop(&stop).await.map_err(amend_pipeline::PipelineError::from)?;
    Ok(Json(serde_json::json!({ "stopped": holds })))
}

/// The records that could not be read, newest first.
#[utoipa::path(get, path = "/api/v1/unreadable", responses((status = 200, body = serde_json::Value), (status = 503, body = ErrorBody)))]
async fn unreadable(State(app): State<App>) -> Result<Json<Vec<amend_store::Parked>>, Failure> {
    let parked = app.pipeline.store().parked(false, 1_000).await.map_err(amend_pipeline::PipelineError::from)?;
    Ok(Json(parked))
}

/// The accounts that have gone quiet: no snapshot for eight days.
#[utoipa::path(get, path = "/api/v1/deaf", responses((status = 200, body = Vec<Deaf>), (status = 503, body = ErrorBody)))]
async fn deaf(State(app): State<App>) -> Result<Json<Vec<Deaf>>, Failure> {
    Ok(Json(app.pipeline.deaf().await?))
}

/// This description.
#[utoipa::path(get, path = "/api/v1/openapi.json", responses((status = 200, body = serde_json::Value)))]
async fn openapi() -> Json<utoipa::openapi::OpenApi> {
    Json(crate::openapi())
}

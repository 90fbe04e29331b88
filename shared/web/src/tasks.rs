//! Where an executor takes the tasks of its hub. Nothing else is there.

use std::sync::Arc;

use amend_domain::{ports::Clock, task::Task};
use amend_http::signed::{Checker, Unsigned};
use amend_pipeline::executor::{Executor, NotTaken};
use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use jiff::Timestamp;
use serde_json::json;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::warn;

use crate::ErrorBody;

/// The largest task, in bytes: a plan holds what was there before.
pub const MOST: usize = 1 << 20;

/// What answers tasks.
pub struct Door {
    /// Who does them.
    pub executor: Executor,
    /// Whose signature counts.
    pub hubs: Checker,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

#[derive(Clone)]
struct Asked {
    door: Arc<Door>,
    deadline: Option<Timestamp>,
}

/// The routes of an executor. Nothing is begun that might not end by `deadline`.
pub fn router(door: Arc<Door>, deadline: Option<Timestamp>) -> Router {
    Router::new()
        .route("/healthz", get(async || Json(json!({ "status": "ok" }))))
        .route("/tasks", post(task).layer(DefaultBodyLimit::max(MOST)))
        .fallback(async || refuse(StatusCode::NOT_FOUND, "web.route", "this is an executor: it takes tasks, at /tasks"))
        .layer(CatchPanicLayer::new())
        .with_state(Asked { door, deadline })
}

async fn task(State(asked): State<Asked>, headers: HeaderMap, body: Bytes) -> Response {
    let Asked { door, deadline } = asked;
    // A header that is there twice is not read: which of them was meant?
    let header = |name: &'static str| {
        let mut all = headers.get_all(name).iter();
        let one = all.next().and_then(|value| value.to_str().ok());
        if all.next().is_some() { None } else { one }
    };
    let id = match door.hubs.check(header, &body, door.clock.now()) {
        Ok(id) => id,
        Err(unsigned) => {
            warn!("a task is not taken: {unsigned}");
            let why = match unsigned {
                Unsigned::Signature => "no key in its `executor.hubs` signed this".to_owned(),
                other => other.to_string(),
            };
            return refuse(StatusCode::UNAUTHORIZED, "task.unsigned", &why);
        }
    };
    let task: Task = match serde_json::from_slice(&body) {
        Ok(task) => task,
        Err(error) => {
            warn!(task = id, "a task is not taken: {error}");
            return refuse(StatusCode::BAD_REQUEST, "task.unreadable", &format!("this task cannot be read: {error}"));
        }
    };
    if *task.id != *id {
        return refuse(StatusCode::BAD_REQUEST, "task.unreadable", "the task and its message have two names");
    }
    match door.executor.answer(&task, deadline).await {
        Ok(reply) => Json(reply).into_response(),
        Err(not) => {
            warn!(task = id, "a task is not taken: {not}");
            let (status, code) = match not {
                NotTaken::Version => (StatusCode::BAD_REQUEST, "task.version"),
                NotTaken::Addressee { .. } => (StatusCode::FORBIDDEN, "task.addressee"),
                NotTaken::Expired => (StatusCode::REQUEST_TIMEOUT, "task.expired"),
                NotTaken::Id => (StatusCode::BAD_REQUEST, "task.id"),
                NotTaken::Seen => (StatusCode::CONFLICT, "task.seen"),
                NotTaken::Busy => (StatusCode::TOO_MANY_REQUESTS, "task.busy"),
            };
            refuse(status, code, &not.to_string())
        }
    }
}

fn refuse(status: StatusCode, code: &str, message: &str) -> Response {
    let body = ErrorBody { code: code.to_owned(), message: message.to_owned(), hint: None };
    (status, Json(body)).into_response()
}

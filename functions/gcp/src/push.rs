//! What Google pushes: events, and that it is time to work. Whoever pushes shows a token that Google made for a
//! service account that is configured, and for this service.
//!
//! Sources: "Push subscriptions" and "Authentication for push subscriptions" of Pub/Sub, "Use authentication with HTTP
//! targets" of Cloud Scheduler. Anything but success makes Pub/Sub deliver again, for days: what cannot be read is
//! kept, and answered with success.

use std::{sync::Arc, time::Duration};

use amend_events::Form;
use amend_pipeline::{
    Config, Delivery, PipelineError,
    accept::{AcceptError, Counts},
    config::{Does, Push},
    system::SystemClock,
};
use amend_service::{Deadline, Hosted, OutOfTime, Service, shell, whole};
use amend_web::{
    ErrorBody, events,
    oidc::{Issuer, Refused, Verifier},
};
use axum::{
    Json, Router,
    body::{Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::{error, warn};

/// The largest request that Cloud Run lets in over HTTP/1.
const MOST: usize = 32 << 20;
/// How long recording events may take: Pub/Sub waits ten minutes at most, and ten seconds at least.
const EVENTS: Duration = Duration::from_secs(60);

/// What the service knows.
#[derive(Clone)]
pub struct Shell {
    hosted: Arc<Hosted>,
    does: Arc<[Does]>,
    timeout: Duration,
    pushed: Option<Arc<(Verifier, Push)>>,
}

impl Shell {
    /// What answers, as configured.
    pub fn new(hosted: Arc<Hosted>, config: &Config) -> Result<Self, String> {
        let functions = &config.functions;
        let issuer = Issuer::google(config.gcp.dangerous_endpoint.as_deref());
        let pushed = functions.push.clone().map(|push| {
            let verifier = Verifier::new(issuer, &push.audience, Arc::new(SystemClock));
            verifier.map(|verifier| Arc::new((verifier, push))).map_err(|error| error.to_string())
        });
        Ok(Self {
            hosted,
            does: functions.does.clone().into(),
            timeout: functions.timeout.unsigned_abs(),
            pushed: pushed.transpose()?,
        })
    }
}

/// Why a request is not answered as it wants.
struct Failed {
    status: StatusCode,
    code: String,
    message: String,
}

impl Failed {
    fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), message: message.into() }
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let body = ErrorBody { code: self.code, message: self.message, hint: None };
        let mut response = (self.status, Json(body)).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("30"));
        }
        response
    }
}

impl From<PipelineError> for Failed {
    fn from(error: PipelineError) -> Self {
        error!(code = error.code(), "{}", whole(&error));
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.code(), error.to_string())
    }
}

impl From<OutOfTime> for Failed {
    fn from(over: OutOfTime) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "out-of-time", over.to_string())
    }
}

/// Every path.
pub fn router(shell: Shell) -> Router {
    Router::new()
        .route("/push/pub-sub", post(pub_sub))
        .route("/push/eventarc", post(eventarc))
        .route("/push/advance", post(advance))
        .route("/push/sweep", post(sweep))
        .route("/push/notices", post(notices))
        .fallback(elsewhere)
        .layer(CatchPanicLayer::new())
        .with_state(shell)
}

async fn pub_sub(State(shell): State<Shell>, request: Request) -> Result<Json<Counts>, Failed> {
    deliver(&shell, Form::PubSub, request).await
}

async fn eventarc(State(shell): State<Shell>, request: Request) -> Result<Json<Counts>, Failed> {
    deliver(&shell, Form::Eventarc, request).await
}

async fn deliver(shell: &Shell, form: Form, request: Request) -> Result<Json<Counts>, Failed> {
    let deadline = Deadline::after(shell.timeout.min(EVENTS), &SystemClock);
    let (service, headers, body) = deadline.within(let_in(shell, Does::Events, request)).await??;
    let attributes = events::attributes(&headers);
    let delivery = Delivery { form, body: &body, attributes: &attributes, snapshot: false };
    let counts = match deadline.within(service.pipeline().accept(delivery)).await? {
        Ok(accepted) => accepted.counts(),
        // It would come again and again: it is kept.
        Err(AcceptError::TooLarge(refused)) => deadline.within(service.pipeline().keep(delivery, &refused)).await??,
        Err(AcceptError::Pipeline(error)) => return Err(error.into()),
    };
    shell::accepted(form.as_str(), &counts);
    Ok(Json(counts))
}

async fn advance(State(shell): State<Shell>, request: Request) -> Result<Json<Value>, Failed> {
    let deadline = Deadline::after(shell.timeout, &SystemClock);
    let (service, ..) = deadline.within(let_in(&shell, Does::Work, request)).await??;
    Ok(Json(json!(service.advance(deadline).await?)))
}

async fn sweep(State(shell): State<Shell>, request: Request) -> Result<Json<Value>, Failed> {
    let deadline = Deadline::after(shell.timeout, &SystemClock);
    let (service, ..) = deadline.within(let_in(&shell, Does::Work, request)).await??;
    let swept = service.sweep(deadline).await?;
    swept.log();
    Ok(Json(json!(swept.advanced)))
}

async fn notices(State(shell): State<Shell>, request: Request) -> Result<Json<Value>, Failed> {
    let deadline = Deadline::after(shell.timeout, &SystemClock);
    let (service, ..) = deadline.within(let_in(&shell, Does::Work, request)).await??;
    Ok(Json(json!(service.notify(deadline).await?)))
}

/// Lets whoever pushes in, where it is one of those that may; only then is more of the request read.
async fn let_in(shell: &Shell, does: Does, request: Request) -> Result<(Arc<Service>, HeaderMap, Bytes), Failed> {
    let (parts, body) = request.into_parts();
    let refused = |why: String| {
        warn!(path = parts.uri.path(), "whoever pushes is not let in: {why}");
        Failed::new(StatusCode::UNAUTHORIZED, "push.unknown", why)
    };
    let Some((verifier, push)) = shell.pushed.as_deref() else {
        return Err(refused("`functions.push` names nobody".into()));
    };
    let claims = match verifier.bearer(&parts.headers).await {
        Ok(claims) => claims,
        Err(error @ Refused::NoKeys(_)) => {
            error!("{}", whole(&error));
            return Err(Failed::new(StatusCode::SERVICE_UNAVAILABLE, "push.keys", error.to_string()));
        }
        Err(error) => return Err(refused(error.to_string())),
    };
    // INVARIANT: a token that Google made for somebody else lets nobody in, nor one without an address.
    let Some(account) = claims.email.map(|email| email.to_ascii_lowercase()) else {
        return Err(refused("the bearer token names no address that Google made sure of".into()));
    };
    let may = |push: &Push| push.accounts.contains(&account);
    let not_named = || refused(format!("`functions.push.accounts` does not name `{account}`"));
    if !may(push) {
        return Err(not_named());
    }
    if !shell.does.contains(&does) {
        let message = format!("this service leaves out {} (`functions.does`)", does.as_str());
        return Err(Failed::new(StatusCode::NOT_FOUND, "functions.does", message));
    }
    let body = to_bytes(body, MOST).await;
    let body = body.map_err(|error| Failed::new(StatusCode::SERVICE_UNAVAILABLE, "web.body", error.to_string()))?;
    let service = shell.hosted.service(does).await.map_err(|failed| not_there(&failed))?;
    // One that was taken out since does not count any more.
    if !service.config().functions.push.as_ref().is_some_and(may) {
        return Err(not_named());
    }
    Ok((service, parts.headers, body))
}

fn not_there(failed: &amend_service::SetupError) -> Failed {
    error!("the service does not start: {failed}");
    Failed::new(StatusCode::SERVICE_UNAVAILABLE, "service.start", "the service does not start")
}

/// A request from anybody else.
async fn elsewhere(State(shell): State<Shell>, request: Request) -> Response {
    if amend_web::is_anybodys(request.uri().path()) {
        return Json(json!({ "status": "ok" })).into_response();
    }
    // Whoever is not known waits for nothing, and nobody waits for them.
    if let Some(refused) = amend_web::refused(request.uri().path(), request.headers()) {
        return refused;
    }
    if !shell.does.contains(&Does::Requests) {
        let message = "this service answers no requests: `functions.does` leaves them out";
        return Failed::new(StatusCode::NOT_FOUND, "functions.does", message).into_response();
    }
    match shell.hosted.service(Does::Requests).await {
        // It cannot fail: every error is an answer.
        Ok(service) => service.router().oneshot(request).await.unwrap_or_else(|never| match never {}),
        Err(failed) => not_there(&failed).into_response(),
    }
}

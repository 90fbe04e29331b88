//! The contract with the Functions host: what it hands over, what it wants to be answered, and how it is told
//! from everybody else.
//!
//! Sources: "Azure Functions custom handlers" of the Azure documentation; the host's own code
//! (`Azure/azure-functions-host`, `src/WebJobs.Script/Workers/Http`): it fails an invocation on anything but 2xx with
//! JSON, writes what is no object as a JSON text inside a JSON text, and forwards a request with the headers it came
//! with, `Host` among them.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc, time::Duration};

use amend_pipeline::{
    Config,
    config::{Does, Functions},
};
use amend_service::Hosted;
use amend_web::ErrorBody;
use axum::{
    Json, Router,
    body::to_bytes,
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};
use tower::ServiceExt as _;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::error;

use crate::{
    functions::{self, Function},
    triggers,
};

/// What the handler knows.
#[derive(Clone)]
pub struct Shell {
    pub hosted: Arc<Hosted>,
    functions: Arc<BTreeMap<String, Function>>,
    settings: Functions,
    port: u16,
    /// How long the host waits.
    pub timeout: Duration,
}

impl Shell {
    /// A handler on a port.
    pub fn new(hosted: Arc<Hosted>, config: &Config, port: u16) -> Result<Self, String> {
        let all = functions::all()?.into_iter().map(|function| (function.name.clone(), function)).collect();
        let (settings, timeout) = (config.functions.clone(), functions::timeout()?);
        Ok(Self { hosted, functions: Arc::new(all), settings, port, timeout })
    }

    /// Whether this app does something.
    pub fn does(&self, what: Does) -> bool {
        self.settings.does.contains(&what)
    }
}

/// What the host hands over.
#[derive(Deserialize)]
struct Invocation<'a> {
    #[serde(rename = "Data", borrow)]
    data: BTreeMap<String, &'a RawValue>,
}

/// What the host is answered.
#[derive(Debug, Default, Serialize)]
pub struct Reply {
    /// What goes to the outputs of the function.
    #[serde(rename = "Outputs")]
    pub outputs: Map<String, Value>,
    /// Lines for the host's log.
    #[serde(rename = "Logs")]
    pub logs: Vec<String>,
    /// Nothing.
    #[serde(rename = "ReturnValue")]
    pub return_value: Option<Value>,
}

/// An invocation that failed: the host says so, and what follows is up to the trigger.
#[derive(Debug)]
pub struct Failed {
    pub status: StatusCode,
    pub body: ErrorBody,
}

impl Failed {
    pub fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self { status, body: ErrorBody { code: code.into(), message: message.into(), hint: None } }
    }
}

/// The largest thing that is read of the host: it holds whole batches in memory itself.
const MOST: usize = 256 << 20;

/// Every path: functions by their names, everything else as it was forwarded.
pub fn router(shell: Shell) -> Router {
    Router::new().fallback(answer).layer(CatchPanicLayer::new()).with_state(shell)
}

async fn answer(State(shell): State<Shell>, request: Request) -> Response {
    let path = request.uri().path();
    let function = path.strip_prefix('/').and_then(|name| shell.functions.get(name));
    match function {
        Some(function) if request.method() == Method::POST && is_of_the_host(request.headers(), shell.port) => {
            let function = function.clone();
            match invoke(&shell, &function, request).await {
                Ok(reply) => Json(reply).into_response(),
                Err(failed) => {
                    error!(function = function.name, code = failed.body.code, "{}", failed.body.message);
                    (failed.status, Json(failed.body)).into_response()
                }
            }
        }
        // The host asks whether the handler is there, long before there is anything to ask it.
        None if amend_web::is_anybodys(path) => Json(serde_json::json!({ "status": "ok" })).into_response(),
        _ => forwarded(&shell, request).await,
    }
}

/// Whether the host itself asks. A request that it forwards has the name that the app is called by, and what the
/// platform's front adds; and the route of the one function with requests leaves these paths out.
fn is_of_the_host(headers: &HeaderMap, port: u16) -> bool {
    const FRONT: [&str; 7] = [
        "x-forwarded-for",
        "x-forwarded-host",
        "x-arr-log-id",
        "x-original-url",
        "x-waws-unencoded-url",
        "disguised-host",
        "was-default-hostname",
    ];
    let local = |host: &str| host == format!("127.0.0.1:{port}") || host == format!("localhost:{port}");
    let addressed = headers.get(header::HOST).and_then(|host| host.to_str().ok()).is_some_and(local);
    let invocation = headers.contains_key("x-azure-functions-invocationid");
    addressed && invocation && !FRONT.iter().any(|name| headers.contains_key(*name))
}

/// A request from elsewhere, as it came.
async fn forwarded(shell: &Shell, request: Request) -> Response {
    let failed = |status, code: &str, message: String| {
        (status, Json(ErrorBody { code: code.into(), message, hint: None })).into_response()
    };
    // Whoever is not known waits for nothing, and nobody waits for them.
    if let Some(refused) = amend_web::refused(request.uri().path(), request.headers()) {
        return refused;
    }
    if !shell.does(Does::Requests) {
        return failed(
            StatusCode::NOT_FOUND,
            "functions.does",
            "this app answers no requests: `functions.does` leaves them out".into(),
        );
    }
    match shell.hosted.service(Does::Requests).await {
        // It cannot fail: every error is an answer.
        Ok(service) => service.router().oneshot(request).await.unwrap_or_else(|never| match never {}),
        Err(failure) => {
            error!("the service does not start: {failure}");
            failed(StatusCode::SERVICE_UNAVAILABLE, "service.start", "the service does not start".into())
        }
    }
}

async fn invoke(shell: &Shell, function: &Function, request: Request) -> Result<Reply, Failed> {
    let unread = |message: String| Failed::new(StatusCode::BAD_REQUEST, "host.invocation", message);
    let body = to_bytes(request.into_body(), MOST).await.map_err(|error| unread(error.to_string()))?;
    let invocation: Invocation<'_> = serde_json::from_slice(&body).map_err(|error| unread(error.to_string()))?;
    let Some(handed) = invocation.data.get(&function.binding) else {
        return Err(unread(format!("`Data` lacks `{}`, which function.json names", function.binding)));
    };
    triggers::run(shell, function, &opened(handed.get())).await
}

/// What is handed over, without the texts around it: the host writes a JSON text, a list of them, or what it took
/// for an object, as a text once more.
pub fn opened(raw: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(raw);
    for _ in 0..4 {
        if !text.trim_start().starts_with('"') {
            break;
        }
        match serde_json::from_str::<String>(&text) {
            Ok(inner) => text = Cow::Owned(inner),
            Err(_) => break,
        }
    }
    text
}

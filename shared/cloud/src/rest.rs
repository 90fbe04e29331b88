//! What Azure and Google Cloud have in common: JSON over REST with a bearer token, "come again later",
//! and operations that go on after the answer.

use std::time::Duration;

use amend_http::{Client, HttpError, Request, Response};
use async_trait::async_trait;
use serde_json::Value;

use crate::CallError;

/// Gives bearer tokens. A token has no `Debug`, and is never logged.
#[async_trait]
pub(crate) trait Tokens: Send + Sync {
    /// A token that is valid now, or why there is none.
    async fn token(&self) -> Result<String, String>;
}

/// One token that was given: for tests.
pub(crate) struct Given(pub String);

#[async_trait]
impl Tokens for Given {
    async fn token(&self) -> Result<String, String> {
        Ok(self.0.clone())
    }
}

/// The most attempts at one request.
const ATTEMPTS: u32 = 4;
/// The longest wait between two attempts, whatever the cloud asks for.
const LONGEST: Duration = Duration::from_secs(20);
/// How long an operation may go on before the caller reads for itself.
pub(crate) const OPERATION: Duration = Duration::from_secs(100);

/// Sends a request with a token. Reads are repeated when the cloud is busy or does not answer; writes
/// only when it says that it did nothing (429).
pub(crate) async fn send(
    client: &Client,
    tokens: &dyn Tokens,
    call: &str,
    mut request: Request,
    reads: bool,
) -> Result<Response, CallError> {
    let token = tokens.token().await.map_err(|reason| CallError::NotReached { call: call.to_owned(), reason })?;
    request.headers.push(("authorization".to_owned(), format!("Bearer {token}")));
    let mut attempt = 1_u32;
    loop {
        let sent = client.send(request.clone()).await;
        let wait = match &sent {
            Ok(response) if response.status == 429 || reads && matches!(response.status, 500 | 502 | 503 | 504) => {
                Some(retry_after(response).unwrap_or_else(|| back_off(attempt)))
            }
            Err(HttpError::Unreachable { unsent, .. }) if reads || *unsent => Some(back_off(attempt)),
            _ => None,
        };
        match wait.filter(|_| attempt < ATTEMPTS) {
            Some(wait) => tokio::time::sleep(wait.min(LONGEST)).await,
            None => return sent.map_err(|error| failed(call, &error)),
        }
        attempt = attempt.saturating_add(1);
    }
}

/// Half a second, doubled each time, with a fifth of it by chance so that many do not come at once.
fn back_off(attempt: u32) -> Duration {
    let base = 500_u64.saturating_mul(1_u64.checked_shl(attempt.saturating_sub(1)).unwrap_or(u64::MAX));
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |now| now.subsec_nanos());
    let part =
        base.checked_div(5).unwrap_or(0).saturating_mul(u64::from(nanos % 1_000)).checked_div(1_000).unwrap_or(0);
    Duration::from_millis(base.saturating_add(part))
}

/// The seconds that the cloud asks to wait.
pub(crate) fn retry_after(response: &Response) -> Option<Duration> {
    response.header("retry-after")?.trim().parse().ok().map(Duration::from_secs)
}

fn failed(call: &str, error: &HttpError) -> CallError {
    let call = call.to_owned();
    let cause = std::error::Error::source(error).map_or_else(String::new, |cause| format!(": {cause}"));
    match error {
        HttpError::Unreachable { unsent, .. } => {
            CallError::NoAnswer { call, reason: format!("{error}{cause}"), unsent: *unsent }
        }
        HttpError::TooLong { .. } => CallError::Unreadable { call, reason: error.to_string() },
        error => CallError::NotReached { call, reason: error.to_string() },
    }
}

/// The body of a request. INVARIANT: it holds no nulls, which would delete what they name: what a read
/// left out is left out, and nothing is deleted by accident.
pub(crate) fn body(args: &Value, headers: &mut Vec<(String, String)>) -> Result<Vec<u8>, String> {
    let Some(body) = args.get("body").filter(|body| !body.is_null()) else { return Ok(Vec::new()) };
    headers.push(("content-type".to_owned(), "application/json".to_owned()));
    serde_json::to_vec(&amend_domain::plan::without_nulls(body)).map_err(|error| error.to_string())
}

/// The body as JSON; null, where it is empty.
pub(crate) fn json(call: &str, response: &Response) -> Result<Value, CallError> {
    if response.body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&response.body).map_err(|error| CallError::Unreadable {
        call: call.to_owned(),
        reason: format!("status {}, and no JSON: {error}", response.status),
    })
}

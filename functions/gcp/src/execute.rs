//! An executor on Cloud Run: it takes the tasks of a hub, and does nothing else.

use std::{sync::Arc, time::Duration};

use amend_pipeline::system::SystemClock;
use amend_service::{Deadline, HostedExecutor};
use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use tower::ServiceExt as _;
use tracing::error;

/// Every path of an executor. Cloud Run waits for `timeout`.
pub fn router(executor: HostedExecutor, timeout: Duration) -> Router {
    Router::new().fallback(answer).with_state((Arc::new(executor), timeout))
}

async fn answer(State((executor, timeout)): State<(Arc<HostedExecutor>, Duration)>, request: Request) -> Response {
    if amend_web::is_anybodys(request.uri().path()) {
        return StatusCode::OK.into_response();
    }
    let deadline = Deadline::after(timeout, &SystemClock);
    let done = deadline.within(async {
        match executor.router(deadline).await {
            // It cannot fail: every error is an answer.
            Ok(router) => router.oneshot(request).await.unwrap_or_else(|never| match never {}),
            Err(failed) => {
                error!("the executor does not start: {failed}");
                StatusCode::SERVICE_UNAVAILABLE.into_response()
            }
        }
    });
    done.await.unwrap_or_else(|_| StatusCode::GATEWAY_TIMEOUT.into_response())
}

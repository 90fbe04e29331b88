//! Amend on AWS Lambda: one program, and what a function of it does is configured (`functions.does`).
//!
//! [`event`] tells what Lambda hands over, [`handle`] has the service do it.

mod event;
mod handle;

use std::{process::ExitCode, sync::Arc, time::Duration};

use amend_pipeline::config::{self, Does};
use amend_service::{HostedExecutor, shell};
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::value::RawValue;
use tracing::error;

/// Where Lambda's runtime interface is
/// (<https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html>).
const RUNTIME: &str = "AWS_LAMBDA_RUNTIME_API";

/// How long is waited for the store before the first event.
const WARM: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    shell::run(run())
}

async fn run() -> Result<(), String> {
    config::platform(RUNTIME).ok_or(format!("{RUNTIME} is not set: this is started by AWS Lambda"))?;
    let (hosted, config) = shell::begin()?;
    if config.executor.is_some() {
        return execute(hosted.executor()).await;
    }
    // Lambda gives more of the processor before the first event than after, and ten seconds of it.
    match tokio::time::timeout(WARM, hosted.service(Does::Events)).await {
        Ok(Ok(_)) => {}
        Ok(Err(failed)) => error!("the service does not start: {failed}"),
        Err(_) => error!("the service does not start: the store does not answer"),
    }
    let does = Arc::new(config.functions.does);
    let handler = service_fn(move |event: LambdaEvent<Box<RawValue>>| {
        let (hosted, does) = (Arc::clone(&hosted), Arc::clone(&does));
        async move { handle::event(&hosted, &does, event).await }
    });
    lambda_runtime::run(handler).await.map_err(|error| format!("the function stopped: {error}"))
}

/// Takes the tasks of a hub, at the function's URL, and does nothing else.
async fn execute(executor: HostedExecutor) -> Result<(), String> {
    let executor = Arc::new(executor);
    let handler = service_fn(move |event: LambdaEvent<Box<RawValue>>| {
        let executor = Arc::clone(&executor);
        async move { handle::task(&executor, event).await }
    });
    lambda_runtime::run(handler).await.map_err(|error| format!("the function stopped: {error}"))
}

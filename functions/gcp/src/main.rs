//! Amend on Google Cloud Run: Pub/Sub, Eventarc and Cloud Scheduler push to it, each with a token that Google made
//! for its service account ([`push`]). Everybody else meets the routes of every other Amend.

mod execute;
mod push;

use std::{net::Ipv4Addr, process::ExitCode, sync::Arc, time::Duration};

use amend_pipeline::config::{self, Does};
use amend_service::{shell, stop};
use axum::Router;
use tokio::net::TcpListener;
use tracing::{error, info, warn};

/// Where Cloud Run says on which port it will ask
/// (<https://cloud.google.com/run/docs/container-contract>).
const PORT: &str = "PORT";
/// Cloud Run kills what has not ended ten seconds after it was asked to.
const DRAIN: Duration = Duration::from_secs(9);

fn main() -> ExitCode {
    shell::run(run())
}

async fn run() -> Result<(), String> {
    let port = config::platform(PORT).ok_or(format!("{PORT} is not set: this is started by Cloud Run"))?;
    let port: u16 = port.parse().map_err(|_| format!("{PORT} is no port: `{port}`"))?;
    let (hosted, config) = shell::begin()?;
    if config.executor.is_some() {
        let timeout = config.functions.timeout.unsigned_abs();
        return serve(port, execute::router(hosted.executor(), timeout), async {}).await;
    }
    let pushed = config.functions.does.iter().any(|does| matches!(does, Does::Events | Does::Work));
    if pushed && config.functions.push.is_none() {
        return Err("nobody could push to it: name `audience` and `accounts` under `functions.push`, or leave only `requests` under `functions.does`".into());
    }
    let shell = push::Shell::new(Arc::clone(&hosted), &config)?;
    let warm = async move {
        if let Err(failed) = hosted.service(Does::Events).await {
            error!("the service does not start: {failed}");
        }
    };
    serve(port, push::router(shell), warm).await
}

/// Answers requests until it is asked to end. What it needs is made meanwhile.
async fn serve(port: u16, app: Router, warm: impl Future<Output = ()> + Send + 'static) -> Result<(), String> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await;
    let listener = listener.map_err(|error| format!("cannot listen on port {port}: {error}"))?;
    info!(port, "the service listens");
    let warm = tokio::spawn(warm);
    let (asked, draining) = tokio::sync::oneshot::channel();
    let ending = async move {
        stop::asked().await;
        let _ = asked.send(());
    };
    let serving = axum::serve(listener, app).with_graceful_shutdown(ending);
    let out_of_time = async {
        // Where nobody asks it to end, it does not.
        if draining.await.is_err() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(DRAIN).await;
    };
    let served = tokio::select! {
        served = async { serving.await } => served,
        () = out_of_time => {
            warn!("what was not done in time goes on with the next");
            Ok(())
        }
    };
    warm.abort();
    served.map_err(|error| format!("the service stopped: {error}"))
}

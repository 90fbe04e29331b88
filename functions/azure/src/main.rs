//! Amend as a function app of Azure: the custom handler that the Functions host starts.
//!
//! The host gives it a port on this machine, and hands over events, messages and timers there ([`host`] is the
//! contract, [`functions`] the functions of `app/`, [`triggers`] what each does). Requests from elsewhere are
//! forwarded as they came, and answered by the routes of every other Amend.

mod functions;
mod host;
mod triggers;

use std::{net::Ipv4Addr, process::ExitCode, sync::Arc};

use amend_pipeline::config::{self, Does};
use amend_service::{shell, stop};
use tokio::net::TcpListener;
use tracing::{error, info};

/// Where the host says on which port it will ask
/// (<https://learn.microsoft.com/azure/azure-functions/functions-custom-handlers>).
const PORT: &str = "FUNCTIONS_CUSTOMHANDLER_PORT";

fn main() -> ExitCode {
    shell::run(run())
}

async fn run() -> Result<(), String> {
    let (hosted, config) = shell::begin()?;
    if config.executor.is_some() {
        return Err("an executor runs on AWS Lambda, on Cloud Run, or by `amend serve`: take `executor` out".into());
    }
    let port =
        config::platform(PORT).ok_or(format!("{PORT} is not set: this is started by the Azure Functions host"))?;
    let port: u16 = port.parse().map_err(|_| format!("{PORT} is no port: `{port}`"))?;
    let shell = host::Shell::new(Arc::clone(&hosted), &config, port)?;
    // INVARIANT: whoever is not on this machine cannot ask: what the host hands over, nobody else can.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
    let listener = listener.map_err(|error| format!("cannot listen on port {port}: {error}"))?;
    info!(port, "the handler listens");
    // The host asks at once whether it is there; what it needs to answer more is made meanwhile.
    let warm = tokio::spawn(async move {
        if let Err(failed) = hosted.service(Does::Events).await {
            error!("the service does not start: {failed}");
        }
    });
    let served = axum::serve(listener, host::router(shell)).with_graceful_shutdown(stop::asked()).await;
    warm.abort();
    served.map_err(|error| format!("the handler stopped: {error}"))
}

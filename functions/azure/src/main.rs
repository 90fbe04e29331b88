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
use amend_service::{Hosted, log, stop};
use tokio::net::TcpListener;
use tracing::{error, info};

/// Where the host says on which port it will ask
/// (<https://learn.microsoft.com/azure/azure-functions/functions-custom-handlers>).
const PORT: &str = "FUNCTIONS_CUSTOMHANDLER_PORT";

fn main() -> ExitCode {
    let run = || {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        runtime.map_err(|error| format!("cannot start: {error}"))?.block_on(run())
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            log::last_words(&message);
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), String> {
    let hosted = Arc::new(Hosted::new().map_err(|error| error.to_string())?);
    let config = hosted.config().map_err(|error| error.to_string())?;
    log::start_json(&config, std::io::stdout);
    hosted.warn(&config);
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

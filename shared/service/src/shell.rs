//! How every function app begins: its runtime, its configuration, its log.

use std::{process::ExitCode, sync::Arc};

use amend_pipeline::{Config, accept::Counts};
use tracing::info;

use crate::{Hosted, log};

/// Runs a function app to its end. What keeps it from starting is its last line.
pub fn run(app: impl Future<Output = Result<(), String>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ended = runtime.map_err(|error| format!("cannot start: {error}")).and_then(|runtime| runtime.block_on(app));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            log::last_words(&message);
            ExitCode::FAILURE
        }
    }
}

/// Reads the configuration, and starts the log on standard output.
///
/// # Errors
/// Every mistake in the configuration.
pub fn begin() -> Result<(Arc<Hosted>, Config), String> {
    let hosted = Hosted::new().map_err(|error| error.to_string())?;
    let config = hosted.config().map_err(|error| error.to_string())?;
    log::start_json(&config, std::io::stdout);
    hosted.warn(&config);
    Ok((Arc::new(hosted), config))
}

/// Writes into the log what came of events.
pub fn accepted(from: &str, counts: &Counts) {
    info!(
        from,
        new = counts.new,
        updated = counts.updated,
        duplicate = counts.duplicate,
        stale = counts.stale,
        unreadable = counts.unreadable,
        "events accepted"
    );
}

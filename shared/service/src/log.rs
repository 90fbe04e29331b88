//! The log of a function app: one JSON object on each line of standard output, as every platform reads it.

use amend_pipeline::Config;
use tracing_subscriber::{EnvFilter, fmt::writer::MakeWriter};

/// What is logged at a level: libraries only what is wrong.
#[must_use]
pub fn filter(level: &str) -> EnvFilter {
    EnvFilter::new(format!("{level},sqlx=warn,hyper=warn"))
}

/// Starts the log. A panic is a line in it, too, with its place.
pub fn start_json<W>(config: &Config, writer: W)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt().with_env_filter(filter(&config.log_level)).with_writer(writer);
    // A second start keeps the first log.
    let _ = builder.with_ansi(false).with_target(false).json().flatten_event(true).try_init();
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let what = panic.payload().downcast_ref::<&str>().copied();
        let what = what.or_else(|| panic.payload().downcast_ref::<String>().map(String::as_str)).unwrap_or_default();
        tracing::error!(place, "the program failed: {what}");
    }));
}

/// What a process says that cannot start: there is no log yet, or nobody reads it any more.
pub fn last_words(message: &str) {
    use std::io::Write as _;
    let line = serde_json::json!({ "level": "ERROR", "message": message });
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

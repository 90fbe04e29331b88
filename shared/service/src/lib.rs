//! Everything put together as it is configured, and worked: what `amend serve` and each function app
//! share. A shell takes its platform's bytes, hands them to [`Service`], and answers as its platform
//! wants to be answered.
//!
//! [`files`] reads what a configuration names, [`parts`] makes the parts, [`service`] joins them,
//! [`log`] writes what platforms understand; [`hosted`] is the service of a function app, and [`shell`] how one begins.

pub mod deadline;
pub mod error;
pub mod executor;
pub mod files;
pub mod hosted;
pub mod log;
pub mod parts;
pub mod service;
pub mod shell;
pub mod stop;

use amend_catalog::{
    Mistakes,
    mistakes::{Level, Mistake},
};

pub use deadline::{Deadline, OutOfTime};
pub use error::{SetupError, causes, whole};
pub use executor::HostedExecutor;
pub use hosted::Hosted;
pub use service::{Advanced, Service, Swept};

/// The time.
#[must_use]
pub fn now() -> jiff::Timestamp {
    use amend_domain::ports::Clock as _;
    amend_pipeline::system::SystemClock.now()
}

/// Whoever is told what is not as it should be, and does not keep a service from starting.
pub trait Tell: Sync {
    /// Mistakes in files that can be lived with.
    fn mistakes(&self, mistakes: &Mistakes);
    /// Something else.
    fn warn(&self, text: &str);
}

/// Tells the log.
#[derive(Clone, Copy, Debug)]
pub struct ToLog;

impl Tell for ToLog {
    fn mistakes(&self, mistakes: &Mistakes) {
        for mistake in mistakes.list() {
            tracing::warn!("{}", one_line(mistake));
        }
    }

    fn warn(&self, text: &str) {
        tracing::warn!("{text}");
    }
}

/// A mistake, with its place and what to do about it, in one line.
#[must_use]
pub fn one_line(mistake: &Mistake) -> String {
    let level = match mistake.level {
        Level::Error => "error",
        Level::Warning => "warning",
    };
    let hint = mistake.hint.as_ref().map(|hint| format!(" (hint: {hint})")).unwrap_or_default();
    // Of the environment, the variable is the place.
    let place = match mistake.file.as_str() {
        "(environment)" => mistake.text.clone(),
        file => format!("{file}:{}:{}", mistake.line, mistake.column),
    };
    format!("{place}: {level}: {}{hint}", mistake.message)
}

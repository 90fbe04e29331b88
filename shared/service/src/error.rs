//! Why a service cannot be put together.

use std::{error::Error, fmt};

use amend_catalog::Mistakes;
use amend_pipeline::PipelineError;
use amend_store::StoreError;

/// Why a service cannot be put together as it is configured.
#[derive(Debug)]
pub struct SetupError {
    /// What could not be done.
    pub message: String,
    /// Why.
    pub cause: Option<Box<dyn Error + Send + Sync>>,
    /// What to do about it.
    pub hint: Option<String>,
    /// Mistakes in files, each with its place.
    pub mistakes: Option<Mistakes>,
}

impl SetupError {
    /// An error with a cause and a hint.
    pub fn new(message: impl Into<String>, cause: Option<Box<dyn Error + Send + Sync>>, hint: Option<&str>) -> Self {
        Self { message: message.into(), cause, hint: hint.map(str::to_owned), mistakes: None }
    }

    /// A file that holds mistakes.
    pub fn mistakes(message: impl Into<String>, mistakes: Mistakes) -> Self {
        Self { mistakes: Some(mistakes), ..Self::new(message, None, None) }
    }
}

/// In one line: what, why, where, and what to do.
impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(cause) = &self.cause {
            write!(f, ": {cause}")?;
        }
        for mistake in self.mistakes.iter().flat_map(Mistakes::list) {
            write!(f, "; {}", crate::one_line(mistake))?;
        }
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl Error for SetupError {}

impl From<PipelineError> for SetupError {
    fn from(error: PipelineError) -> Self {
        let hint = error.hint();
        match error {
            PipelineError::Rules(mistakes) => Self::mistakes("the rules cannot be used", mistakes),
            other => Self { hint, ..Self::new(other.to_string(), causes(&other), None) },
        }
    }
}

impl From<StoreError> for SetupError {
    fn from(error: StoreError) -> Self {
        PipelineError::Store(error).into()
    }
}

/// The causes below an error, as one text: they are shown, not handled.
#[must_use]
pub fn causes(error: &dyn Error) -> Option<Box<dyn Error + Send + Sync>> {
    let mut causes: Vec<String> = Vec::new();
    for cause in std::iter::successors(error.source(), |error: &&dyn Error| (*error).source()) {
        let cause = cause.to_string();
        // Some say what is below them in their own words already.
        if causes.last().is_none_or(|above| !above.ends_with(&cause)) {
            causes.push(cause);
        }
    }
    (!causes.is_empty()).then(|| causes.join(": ").into())
}

/// An error with its causes, on one line.
#[must_use]
pub fn whole(error: &dyn Error) -> String {
    let all = std::iter::successors(Some(error), |error| (*error).source());
    all.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

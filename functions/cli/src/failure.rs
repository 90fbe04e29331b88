//! How a command ends: an exit code, and a message with its causes and what to do.

use std::{error::Error, process::ExitCode};

use amend_catalog::Mistakes;
use amend_pipeline::PipelineError;
use amend_service::{SetupError, causes};

/// How a command ends. Scripts tell "the tool broke" from "the answer is no".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It did what was asked.
    Ok,
    /// It could not. (2 is taken: clap's, for arguments that make no sense.)
    Failure,
    /// It could, and the answer is no: mistakes in a file, a failed test, an unreadable record.
    No,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Ok => Self::SUCCESS,
            Exit::Failure => Self::from(1),
            Exit::No => Self::from(3),
        }
    }
}

/// Why a command ended early.
#[derive(Debug)]
pub struct Failure {
    /// What could not be done.
    pub message: String,
    /// Why.
    pub cause: Option<Box<dyn Error + Send + Sync>>,
    /// What to do about it.
    pub hint: Option<String>,
    /// Mistakes in files, each shown with its place.
    pub mistakes: Option<Mistakes>,
    /// How the command ends.
    pub exit: Exit,
}

impl Failure {
    /// A failure with a cause and a hint.
    pub fn new(message: impl Into<String>, cause: Option<Box<dyn Error + Send + Sync>>, hint: Option<&str>) -> Self {
        Self { message: message.into(), cause, hint: hint.map(str::to_owned), mistakes: None, exit: Exit::Failure }
    }

    /// A file that holds mistakes.
    pub fn mistakes(message: impl Into<String>, mistakes: Mistakes) -> Self {
        Self { mistakes: Some(mistakes), exit: Exit::No, ..Self::new(message, None, None) }
    }
}

impl From<SetupError> for Failure {
    fn from(error: SetupError) -> Self {
        let SetupError { message, cause, hint, mistakes } = error;
        let exit = if mistakes.is_some() { Exit::No } else { Exit::Failure };
        Self { message, cause, hint, mistakes, exit }
    }
}

impl From<PipelineError> for Failure {
    fn from(error: PipelineError) -> Self {
        SetupError::from(error).into()
    }
}

impl From<amend_store::StoreError> for Failure {
    fn from(error: amend_store::StoreError) -> Self {
        SetupError::from(error).into()
    }
}

impl From<amend_http::HttpError> for Failure {
    fn from(error: amend_http::HttpError) -> Self {
        let hint = match &error {
            amend_http::HttpError::Unreachable { .. } => {
                Some("is `amend serve` running? `amend demo --serve` starts it by itself")
            }
            _ => None,
        };
        Self::new(error.to_string(), causes(&error), hint)
    }
}

impl From<amend_pipeline::remedy::RemedyError> for Failure {
    fn from(error: amend_pipeline::remedy::RemedyError) -> Self {
        PipelineError::Remedy(error).into()
    }
}

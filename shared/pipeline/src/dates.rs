//! Dates that people set: another due date, with a reason; and when an owner means to be done.

use amend_domain::{
    Problem,
    said::{Eta, Moved, Said},
};
use amend_store::Store;
use jiff::Timestamp;

use crate::{
    PipelineError,
    announce::say,
    people::{Person, Right},
};

/// Moves the due date of a problem.
///
/// # Errors
/// When whoever asks may not, the problem has no dates, or the day is over.
pub async fn move_due(
    store: &dyn Store,
    problem: &Problem,
    to: Timestamp,
    why: &str,
    by: &Person,
    now: Timestamp,
) -> Result<Problem, PipelineError> {
    if !by.may(Right::Dates) {
        let hint = "whoever has `may: dates` under `people` in amend.yaml may; an owner says with `amend eta` when they will be done";
        return Err(PipelineError::NotAllowed { who: by.name().to_owned(), what: "move due dates", hint });
    }
    let moved = Moved { from: None, by: by.name().into(), at: now, why: why.into() };
    say(store, problem, &Said::Due(to, moved), now).await
}

/// Says when a problem will be done, or takes that back. That moves no due date.
///
/// # Errors
/// When whoever says so does not own it and may not speak for others, the problem has no dates, or the day is over.
pub async fn set_eta(
    store: &dyn Store,
    problem: &Problem,
    eta: Option<(Timestamp, Option<&str>)>,
    by: &Person,
    now: Timestamp,
) -> Result<Problem, PipelineError> {
    let owner = problem.decision.owner.name.as_deref();
    if !by.may(Right::Dates) && !owner.is_some_and(|owner| owner.eq_ignore_ascii_case(by.name())) {
        let hint = "its owner may, and whoever has `may: dates` under `people` in amend.yaml";
        let what = "say when another will be done";
        return Err(PipelineError::NotAllowed { who: by.name().to_owned(), what, hint });
    }
    let who: Box<str> = by.name().into();
    let said = match eta {
        Some((on, why)) => Said::Eta(Eta { on, by: who, at: now, why: why.map(Into::into) }),
        None => Said::NoEta { by: who },
    };
    say(store, problem, &said, now).await
}

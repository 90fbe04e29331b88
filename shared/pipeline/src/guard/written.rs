//! Who wrote a resource last, and when: what a pipeline wrote is the pipeline's, and what was written just now
//! is left to settle.

use amend_cloud::{
    Place,
    last_write::{self, LONGEST, Log},
};

use super::{Arc, CallError, Check, Cloud, Says, Sight, SignedDuration, Timestamp, add, pass, unreadable};

/// What the cloud's log says of the resource, where anybody wants to know.
pub(super) async fn last(sight: &Sight<'_>, cloud: &Arc<dyn Cloud>) -> Option<Result<Log, CallError>> {
    let back = if sight.settings.pipelines.is_empty() { sight.settings.settle } else { LONGEST };
    if back <= SignedDuration::ZERO {
        return None;
    }
    let at = &sight.plan.at;
    let place = Place { account: at.account.clone(), region: at.region.clone(), ..Place::default() };
    let since = sight.now.saturating_sub(back).unwrap_or(Timestamp::MIN);
    Some(last_write::read(&**cloud, &place, &at.resource, since, sight.now).await)
}

/// Whether what was written is somebody else's, or too fresh.
pub(super) fn ask(sight: &Sight<'_>, log: Option<&Result<Log, CallError>>) -> [Check; 2] {
    [writer(sight, log), settled(sight, log)]
}

fn writer(sight: &Sight<'_>, log: Option<&Result<Log, CallError>>) -> Check {
    let guard = "last-writer";
    let pipelines = &sight.settings.pipelines;
    let log = match log.filter(|_| !pipelines.is_empty()) {
        None => return pass(guard, "no pipelines are named (`guards.pipelines`)"),
        Some(Err(error)) => return unreadable(guard, "the last writes", error, sight.now),
        Some(Ok(log)) => log,
    };
    // A log may leave out what may not be seen.
    let Some(last) = &log.last else {
        return Check::new(guard, Says::Ask, format!("no write since {} is known, or may be seen", said(log.since)));
    };
    let at = said(last.at);
    let is_pipeline = |by: &&String| pipelines.iter().any(|pipeline| pipeline.eq_ignore_ascii_case(by));
    match (last.by.iter().find(is_pipeline), last.by.first()) {
        (Some(by), _) => {
            Check::new(guard, Says::No, format!("the pipeline {by} wrote it last, at {at}: change it there"))
        }
        (None, Some(by)) => pass(guard, format!("{by} wrote it last, at {at}")),
        (None, None) => Check::new(guard, Says::Ask, format!("nobody knows who wrote it at {at}")),
    }
}

fn settled(sight: &Sight<'_>, log: Option<&Result<Log, CallError>>) -> Check {
    let guard = "last-write";
    let settle = sight.settings.settle;
    let log = match log {
        None => return pass(guard, "nothing is left to settle (`guards.settle`)"),
        Some(Err(error)) => return unreadable(guard, "the last writes", error, sight.now),
        Some(Ok(log)) => log,
    };
    match &log.last {
        Some(last) => match add(last.at, settle) {
            until if until > sight.now => {
                let why = format!("it was written at {}, and may be written again", said(last.at));
                Check::new(guard, Says::Wait { until }, why)
            }
            _ => pass(guard, format!("it was written at {}", said(last.at))),
        },
        // So much was read there since that a write may be behind it.
        None if add(log.since, settle) > sight.now => {
            Check::new(guard, Says::Ask, format!("what was written before {} is not known", said(log.since)))
        }
        None => pass(guard, format!("no write since {} is known", said(log.since))),
    }
}

/// A time, to the second.
fn said(at: Timestamp) -> impl std::fmt::Display {
    at.strftime("%Y-%m-%dT%H:%M:%SZ")
}

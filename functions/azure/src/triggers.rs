//! What each trigger has the service do. One bad event never fails an invocation: it is kept, and its neighbours are
//! recorded. What does fail one, an outage of the store, is handed over again: by the retry policy of the function, the
//! queue, or the event subscription.

use std::{borrow::Cow, time::Duration};

use amend_events::Form;
use amend_pipeline::{PipelineError, accept::Unrecorded, config::Does, system::SystemClock};
use amend_service::{Advanced, Deadline, OutOfTime, Service, shell, whole};
use axum::http::StatusCode;
use serde_json::{json, value::RawValue};
use tracing::info;

use crate::{
    functions::{Function, Trigger},
    host::{Failed, Reply, Shell, opened},
};

/// Event Grid waits 30 seconds for an answer.
const EVENT_GRID: Duration = Duration::from_secs(30);

/// Runs a function.
pub async fn run(shell: &Shell, function: &Function, handed: &str) -> Result<Reply, Failed> {
    let (does, time) = match function.trigger {
        Trigger::EventGrid => (Does::Events, shell.timeout.min(EVENT_GRID)),
        Trigger::EventHubs | Trigger::Queue => (Does::Events, shell.timeout),
        Trigger::Wake | Trigger::Advance | Trigger::Sweep | Trigger::Notices => (Does::Work, shell.timeout),
    };
    let refused = || {
        let message = format!("{} is called, and `functions.does` leaves out {}", function.name, does.as_str());
        Failed::new(StatusCode::CONFLICT, "functions.does", message)
    };
    if !shell.does(does) {
        return Err(refused());
    }
    let deadline = Deadline::after(time, &SystemClock);
    let service = shell.hosted.service(does);
    let service = deadline.within(service).await?.map_err(|failure| {
        Failed::new(StatusCode::SERVICE_UNAVAILABLE, "service.start", format!("the service does not start: {failure}"))
    })?;
    // What was taken out since counts, too.
    if !service.config().functions.does.contains(&does) {
        return Err(refused());
    }
    match function.trigger {
        Trigger::EventGrid | Trigger::Queue => events(&service, function, Form::Plain, &[handed], deadline).await,
        Trigger::EventHubs => {
            // A list that is none is one record, and kept as that.
            let list: Vec<&RawValue> = serde_json::from_str(handed).unwrap_or_default();
            let list: Vec<Cow<'_, str>> = list.into_iter().map(|one| opened(one.get())).collect();
            let list = if list.is_empty() && handed.trim() != "[]" { vec![Cow::Borrowed(handed)] } else { list };
            let list: Vec<&str> = list.iter().map(AsRef::as_ref).collect();
            events(&service, function, Form::EventHubs, &list, deadline).await
        }
        Trigger::Wake | Trigger::Advance => advanced(service.advance(deadline).await?),
        Trigger::Notices => advanced(service.notify(deadline).await?),
        Trigger::Sweep => {
            let swept = service.sweep(deadline).await?;
            swept.log();
            advanced(swept.advanced)
        }
    }
}

async fn events(
    service: &Service,
    function: &Function,
    form: Form,
    records: &[&str],
    deadline: Deadline,
) -> Result<Reply, Failed> {
    let counts = deadline.within(service.pipeline().accept_records(form, records)).await??;
    shell::accepted(&function.name, &counts);
    let mut reply = Reply::default();
    if counts.new.saturating_add(counts.updated) > 0
        && let Some(output) = &function.wakes
    {
        // The host would decode what looks like base64: this does not.
        reply.outputs.insert(output.clone(), json!(json!({ "because": function.name }).to_string()));
    }
    Ok(reply)
}

fn advanced(advanced: Advanced) -> Result<Reply, Failed> {
    let Advanced { done, put_off, parked, more } = advanced;
    info!(done, put_off, parked, more, "work");
    Ok(Reply::default())
}

impl From<OutOfTime> for Failed {
    fn from(over: OutOfTime) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "out-of-time", over.to_string())
    }
}

impl From<Unrecorded> for Failed {
    fn from(unrecorded: Unrecorded) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, unrecorded.error.code(), whole(&unrecorded))
    }
}

impl From<PipelineError> for Failed {
    fn from(error: PipelineError) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.code(), whole(&error))
    }
}

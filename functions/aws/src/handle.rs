//! What the service does of what Lambda hands over, and how Lambda is answered.
//!
//! An event that cannot be read is kept, and its neighbours are recorded. What fails an invocation, an outage of the
//! store, is handed over again by whatever handed it over; of a queue only the messages that were not recorded.

use std::{borrow::Cow, convert::Infallible, time::Duration};

use amend_events::Form;
use amend_pipeline::{
    PipelineError,
    accept::{Counts, Unrecorded},
    config::Does,
    system::SystemClock,
};
use amend_service::{Advanced, Deadline, Hosted, HostedExecutor, OutOfTime, Service, shell, whole};
use axum::Router;
use lambda_http::{Adapter, request::LambdaRequest};
use lambda_runtime::{Context, Diagnostic, LambdaEvent};
use serde_json::{Value, json, value::RawValue};
use tower::ServiceExt as _;
use tracing::{info, warn};

use crate::event::{self, Handed, Message, Time};

/// Why an invocation failed. Lambda shows the code as the type of the error, and alarms can count by it.
#[derive(Debug)]
pub struct Failed {
    code: Cow<'static, str>,
    message: String,
}

impl Failed {
    fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }
}

impl From<Failed> for Diagnostic {
    fn from(failed: Failed) -> Self {
        Self { error_type: failed.code.into_owned(), error_message: failed.message }
    }
}

impl From<OutOfTime> for Failed {
    fn from(over: OutOfTime) -> Self {
        Self::new("out-of-time", over.to_string())
    }
}

impl From<PipelineError> for Failed {
    fn from(error: PipelineError) -> Self {
        Self::new(error.code().to_owned(), whole(&error))
    }
}

impl From<Unrecorded> for Failed {
    fn from(unrecorded: Unrecorded) -> Self {
        Self::new(unrecorded.error.code().to_owned(), whole(&unrecorded))
    }
}

/// Handles what Lambda hands over.
pub async fn event(hosted: &Hosted, does: &[Does], event: LambdaEvent<Box<RawValue>>) -> Result<Value, Failed> {
    let LambdaEvent { payload, context } = event;
    let deadline = Deadline::after(time_left(&context), &SystemClock);
    let handed = event::told(payload.get());
    let needs = match handed {
        Handed::Request => Does::Requests,
        Handed::Time(_) | Handed::Unknown(_) => Does::Work,
        Handed::Messages(_) | Handed::Published(_) | Handed::Event => Does::Events,
    };
    let refused = || {
        let message = format!("this function was handed {}, and `functions.does` leaves that out", needs.as_str());
        Failed::new("functions.does", message)
    };
    if !does.contains(&needs) {
        return Err(refused());
    }
    let service = deadline.within(hosted.service(needs)).await?;
    let service = service.map_err(|failed| Failed::new("service.start", failed.to_string()))?;
    // What was taken out since counts, too.
    if !service.config().functions.does.contains(&needs) {
        return Err(refused());
    }
    match handed {
        Handed::Request => deadline.within(request(service.router(), payload.get(), context)).await?,
        Handed::Messages(messages) => messages_of_a_queue(&service, &messages, deadline).await,
        Handed::Published(texts) => {
            let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
            Ok(receipt(deadline.within(service.pipeline().accept_records(Form::Plain, &texts)).await??))
        }
        Handed::Event => {
            Ok(receipt(deadline.within(service.pipeline().accept_records(Form::Plain, &[payload.get()])).await??))
        }
        Handed::Time(time) => work(&service, time, deadline).await,
        Handed::Unknown(word) => {
            let message = format!("`{word}` is nothing that it can be time for: one of advance, sweep, notices");
            Err(Failed::new("work.unknown", message))
        }
    }
}

/// Has an executor do what a request to the function's URL wants.
pub async fn task(executor: &HostedExecutor, event: LambdaEvent<Box<RawValue>>) -> Result<Value, Failed> {
    let LambdaEvent { payload, context } = event;
    let deadline = Deadline::after(time_left(&context), &SystemClock);
    if !matches!(event::told(payload.get()), Handed::Request) {
        let message = "this function is an executor: it takes tasks at its URL, and nothing else";
        return Err(Failed::new("functions.does", message));
    }
    let router = executor.router(deadline).await;
    let router = router.map_err(|failed| Failed::new("service.start", failed.to_string()))?;
    deadline.within(request(router, payload.get(), context)).await?
}

/// How long Lambda waits. It says when it ends; cargo-lambda's emulator says how long that is.
fn time_left(context: &Context) -> Duration {
    /// No time since 2001 is as small as this, in milliseconds.
    const A_TIME: u64 = 1_000_000_000_000;
    if context.deadline < A_TIME {
        return Duration::from_millis(context.deadline);
    }
    let now = u64::try_from(amend_service::now().as_millisecond()).unwrap_or_default();
    Duration::from_millis(context.deadline.saturating_sub(now))
}

fn receipt(counts: Counts) -> Value {
    shell::accepted("lambda", &counts);
    json!(counts)
}

/// Records the messages of a queue, and says which of them the queue has to hand over again
/// (<https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>).
async fn messages_of_a_queue(service: &Service, messages: &[Message<'_>], deadline: Deadline) -> Result<Value, Failed> {
    let bodies: Vec<&str> = messages.iter().map(|message| &*message.body).collect();
    let recorded = deadline.within(service.pipeline().accept_records(Form::Plain, &bodies)).await;
    let from = match recorded {
        Ok(Ok(counts)) => {
            receipt(counts);
            messages.len()
        }
        Ok(Err(unrecorded)) => {
            warn!("messages are to come again: {}", whole(&unrecorded));
            unrecorded.from
        }
        // What was recorded has no effect when it comes again.
        Err(OutOfTime) => 0,
    };
    let again: Vec<Value> = messages.iter().skip(from).map(|message| json!({ "itemIdentifier": message.id })).collect();
    Ok(json!({ "batchItemFailures": again }))
}

/// Answers a request to the function's URL.
async fn request(router: Router, text: &str, context: Context) -> Result<Value, Failed> {
    let unread = |error: serde_json::Error| Failed::new("request.unreadable", error.to_string());
    let payload: LambdaRequest = serde_json::from_str(text).map_err(unread)?;
    let router = router.map_request(|request: lambda_http::Request| {
        request.map(|body| axum::body::Body::from(body.as_ref().to_vec()))
    });
    // It cannot fail: every error is an answer.
    let answer: Result<_, Infallible> = Adapter::from(router).oneshot(LambdaEvent::new(payload, context)).await;
    serde_json::to_value(answer.unwrap_or_else(|never| match never {})).map_err(unread)
}

/// Does what it is time for.
async fn work(service: &Service, time: Time, deadline: Deadline) -> Result<Value, Failed> {
    let advanced = match time {
        Time::Advance => service.advance(deadline).await?,
        Time::Notices => service.notify(deadline).await?,
        Time::Sweep => {
            let swept = service.sweep(deadline).await?;
            swept.log();
            swept.advanced
        }
    };
    let Advanced { done, put_off, parked, more } = advanced;
    info!(done, put_off, parked, more, "work");
    Ok(json!(advanced))
}

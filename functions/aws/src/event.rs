//! What Lambda hands over, told by its shape.
//!
//! Sources: "Using Lambda with Amazon SQS", "… with Amazon SNS", "… with EventBridge", "Lambda function URLs: request
//! payload" of the AWS documentation.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// What Lambda hands over.
#[derive(Debug)]
pub enum Handed<'a> {
    /// A request to the function's URL.
    Request,
    /// Messages of a queue: each with its id.
    Messages(Vec<Message<'a>>),
    /// What a topic published.
    Published(Vec<Cow<'a, str>>),
    /// It is time to do something.
    Time(Time),
    /// It is time to do something that nobody knows.
    Unknown(String),
    /// An event, or what somebody sent by hand.
    Event,
}

/// A message of a queue.
#[derive(Debug)]
pub struct Message<'a> {
    /// What the queue calls it.
    pub id: Cow<'a, str>,
    /// What it says, without the envelope of a topic that it came through.
    pub body: Cow<'a, str>,
}

/// What it is time for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// To do what is due.
    Advance,
    /// To look after what nobody else does, too.
    Sweep,
    /// To send notices.
    Notices,
}

#[derive(Deserialize)]
struct Marks<'a> {
    #[serde(rename = "Records", borrow)]
    records: Option<Vec<&'a RawValue>>,
    #[serde(rename = "requestContext", borrow)]
    context: Option<Context<'a>>,
    #[serde(rename = "detail-type", borrow)]
    detail_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    source: Option<Cow<'a, str>>,
    #[serde(borrow)]
    amend: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Context<'a> {
    #[serde(borrow)]
    http: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct QueueRecord<'a> {
    #[serde(rename = "eventSource", borrow)]
    source: Cow<'a, str>,
    #[serde(rename = "messageId", borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    body: Cow<'a, str>,
}

#[derive(Deserialize)]
struct TopicRecord<'a> {
    #[serde(rename = "EventSource", borrow)]
    source: Cow<'a, str>,
    #[serde(rename = "Sns", borrow)]
    sns: Notification<'a>,
}

/// What a topic delivers, to a function or into a queue.
#[derive(Deserialize)]
struct Notification<'a> {
    #[serde(rename = "Type", borrow)]
    kind: Cow<'a, str>,
    #[serde(rename = "TopicArn", borrow)]
    topic: Cow<'a, str>,
    #[serde(rename = "Message", borrow)]
    message: Cow<'a, str>,
}

/// Tells what was handed over. What is nothing else is an event, and kept where it cannot be read.
#[must_use]
pub fn told(text: &str) -> Handed<'_> {
    let Ok(marks) = serde_json::from_str::<Marks<'_>>(text) else { return Handed::Event };
    if marks.context.is_some_and(|context| context.http.is_some()) {
        return Handed::Request;
    }
    if let Some(word) = marks.amend {
        return match &*word {
            "advance" => Handed::Time(Time::Advance),
            "sweep" => Handed::Time(Time::Sweep),
            "notices" => Handed::Time(Time::Notices),
            other => Handed::Unknown(other.to_owned()),
        };
    }
    if marks.source.as_deref() == Some("aws.events") && marks.detail_type.as_deref() == Some("Scheduled Event") {
        return Handed::Time(Time::Sweep);
    }
    let records = marks.records.unwrap_or_default();
    messages(&records).or_else(|| published(&records)).unwrap_or(Handed::Event)
}

/// The messages, where all records are messages of a queue.
fn messages<'a>(records: &[&'a RawValue]) -> Option<Handed<'a>> {
    let all = records.iter().map(|record| {
        let record: QueueRecord<'a> = serde_json::from_str(record.get()).ok()?;
        (record.source == "aws:sqs").then(|| Message { id: record.id, body: out_of_topic(record.body) })
    });
    let all: Vec<Message<'a>> = all.collect::<Option<_>>()?;
    (!all.is_empty()).then_some(Handed::Messages(all))
}

/// What was published, where all records are of a topic.
fn published<'a>(records: &[&'a RawValue]) -> Option<Handed<'a>> {
    let all = records.iter().map(|record| {
        let record: TopicRecord<'a> = serde_json::from_str(record.get()).ok()?;
        (record.source == "aws:sns").then_some(record.sns.message)
    });
    let all: Vec<Cow<'a, str>> = all.collect::<Option<_>>()?;
    (!all.is_empty()).then_some(Handed::Published(all))
}

/// What a topic published into a queue, without its envelope.
fn out_of_topic(body: Cow<'_, str>) -> Cow<'_, str> {
    let inner = serde_json::from_str::<Notification<'_>>(&body).ok();
    let inner = inner.filter(|inner| inner.kind == "Notification" && inner.topic.starts_with("arn:"));
    match inner.map(|inner| inner.message.into_owned()) {
        Some(message) => Cow::Owned(message),
        None => body,
    }
}

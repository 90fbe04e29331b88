//! CloudEvents 1.0: structured (one object), batch (an array), binary (attributes in headers).
//!
//! Source: the CloudEvents specification 1.0.2, "HTTP Protocol Binding" and "JSON Event Format";
//! for Eventarc, google-cloudevents.

use base64::Engine as _;
use serde_json::value::RawValue;

use crate::{
    Context, Reader, event_grid, payload, pub_sub,
    wire::{self, Text, given, join, time, wire},
};

wire! {
    struct Event<'a> {
        version: Text<'a> = "specversion",
        kind: Text<'a> = "type",
        subject: Text<'a> = "subject",
        time: Text<'a> = "time",
        data: &'a RawValue = "data",
        data_base64: Text<'a> = "data_base64",
    }
}

/// Opens a delivery: binary where its headers name the event's type, else by its shape.
pub(crate) fn open(text: &str, context: &Context, reader: &mut Reader) {
    if let Some(kind) = context.attribute("type") {
        let inside = Context {
            sent: context.attribute("time").and_then(|time| time.parse().ok()).or(context.sent),
            subject: context.attribute("subject").map(str::to_owned),
            ..context.clone()
        };
        open_typed(kind, text, "", &inside, reader);
    } else if text.trim_start().starts_with('[') {
        payload::each(text, "", reader, |raw, path, reader| open_one(raw, path, context, reader));
    } else {
        open_one(text, "", context, reader);
    }
}

/// Opens one structured event.
pub(crate) fn open_one(raw: &str, path: &str, context: &Context, reader: &mut Reader) {
    let event: Event<'_> = match wire::parse(raw) {
        Ok(event) => event,
        Err(failed) => return reader.unreadable(&join(path, &failed.path), &failed.problem, None, raw),
    };
    let Some(kind) = given(event.kind.as_ref()).filter(|_| event.version.is_some()) else {
        let member = if event.version.is_none() { "specversion" } else { "type" };
        let hint = "a CloudEvent has `specversion` and `type`, or `ce-` headers; for other forms use /events/plain";
        return reader.unreadable(&join(path, member), "this member is missing", Some(hint), raw);
    };
    let inside = Context {
        sent: time(event.time.as_ref()).or(context.sent),
        subject: given(event.subject.as_ref()).map(str::to_owned),
        attributes: Vec::new(),
        ..context.clone()
    };
    match (event.data, &event.data_base64) {
        (Some(data), _) => open_typed(kind, data.get(), &join(path, "data"), &inside, reader),
        (None, Some(encoded)) => {
            let path = join(path, "data_base64");
            let bytes = base64::engine::general_purpose::STANDARD.decode(encoded.as_bytes()).ok();
            match bytes.and_then(|bytes| String::from_utf8(bytes).ok()) {
                Some(data) => open_typed(kind, &data, &path, &inside, reader),
                None => reader.unreadable(&path, "not text in base64", None, raw),
            }
        }
        (None, None) => reader.unreadable(&join(path, "data"), "this member is missing", None, raw),
    }
}

fn open_typed(kind: &str, data: &str, path: &str, context: &Context, reader: &mut Reader) {
    if kind.starts_with("google.cloud.pubsub.") {
        pub_sub::open(data, path, context, reader);
    } else {
        event_grid::open_typed(kind, data, path, context, reader);
    }
}

//! The Event Grid schema: an array of events, `data` being the payload.
//!
//! Source: "Azure Event Grid event schema" and "Endpoint validation with Event Grid event schema"
//! of the Azure documentation.

use serde_json::value::RawValue;

use crate::{
    Context, Item, Reader, payload, policy_state,
    wire::{self, Text, given, join, time, wire},
};

wire! {
    struct Event<'a> {
        kind: Text<'a> = "eventType",
        subject: Text<'a> = "subject",
        time: Text<'a> = "eventTime",
        data: &'a RawValue = "data",
    }
}

/// Opens a delivery.
pub(crate) fn open(text: &str, context: &Context, reader: &mut Reader) {
    if text.trim_start().starts_with('[') {
        payload::each(text, "", reader, |raw, path, reader| open_one(raw, path, context, reader));
    } else {
        open_one(text, "", context, reader);
    }
}

/// Opens one event.
pub(crate) fn open_one(raw: &str, path: &str, context: &Context, reader: &mut Reader) {
    let event: Event<'_> = match wire::parse(raw) {
        Ok(event) => event,
        Err(failed) => return reader.unreadable(&join(path, &failed.path), &failed.problem, None, raw),
    };
    let Some(kind) = given(event.kind.as_ref()) else {
        let hint =
            "Event Grid events have `eventType`; for other forms use the door named after them, or /events/plain";
        return reader.unreadable(&join(path, "eventType"), "this member is missing", Some(hint), raw);
    };
    let Some(data) = event.data else {
        return reader.unreadable(&join(path, "data"), "this member is missing", None, raw);
    };
    let inside = Context {
        sent: time(event.time.as_ref()).or(context.sent),
        subject: given(event.subject.as_ref()).map(str::to_owned),
        ..context.clone()
    };
    open_typed(kind, data.get(), &join(path, "data"), &inside, reader);
}

/// Opens the data of an event whose type is known, whichever schema wrapped it.
pub(crate) fn open_typed(kind: &str, data: &str, path: &str, context: &Context, reader: &mut Reader) {
    let is = |start: &str| kind.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start));
    if is("Microsoft.EventGrid.SubscriptionValidationEvent") {
        wire! {
            struct Validation<'a> {
                code: Text<'a> = "validationCode",
            }
        }
        // `validationUrl` is not even read: it is for people, and fetching it would be fetching
        // whatever a stranger asks for.
        match wire::parse::<Validation<'_>>(data).ok().and_then(|v| v.code) {
            Some(code) => reader.push(Item::Validation { code: code.0.into_owned() }),
            None => reader.unreadable(&join(path, "validationCode"), "this member is missing", None, data),
        }
    } else if is("Microsoft.PolicyInsights.PolicyState") {
        policy_state::read_typed(kind, data, path, context, reader);
    } else if is("Microsoft.") && !is("Microsoft.Security") {
        reader.set_aside(kind, "events of this type hold no assessment");
    } else {
        payload::read(data, path, context, reader);
    }
}

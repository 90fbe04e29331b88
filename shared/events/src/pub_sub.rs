//! A Pub/Sub push: the payload stands in base64 under `message.data`.
//!
//! Pushes carry `messageId` and `message_id`, `publishTime` and `publish_time`, both at once.
//! Source: "Push subscriptions" of the Pub/Sub documentation.

use base64::Engine as _;

use crate::{
    Context, Reader, payload,
    wire::{self, Text, given, join, time, wire},
};

wire! {
    struct Push<'a> {
        message: Message<'a> = "message",
    }
}

wire! {
    struct Message<'a> {
        data: Text<'a> = "data",
        published: Text<'a> = "publishTime" | "publish_time",
    }
}

/// Opens a push.
pub(crate) fn open(raw: &str, path: &str, context: &Context, reader: &mut Reader) {
    let push: Push<'_> = match wire::parse(raw) {
        Ok(push) => push,
        Err(failed) => return reader.unreadable(&join(path, &failed.path), &failed.problem, None, raw),
    };
    let Some(message) = push.message else {
        let hint = "a Pub/Sub push has `message`; for other forms use /events/plain";
        return reader.unreadable(&join(path, "message"), "this member is missing", Some(hint), raw);
    };
    let path = join(path, "message.data");
    let Some(data) = given(message.data.as_ref()) else {
        return reader.unreadable(&path, "this member is missing", None, raw);
    };
    let decoded = base64::engine::general_purpose::STANDARD.decode(data);
    let Some(text) = decoded.ok().and_then(|bytes| String::from_utf8(bytes).ok()) else {
        return reader.unreadable(&path, "not text in base64", None, raw);
    };
    let inside = Context { sent: time(message.published.as_ref()).or(context.sent), ..context.clone() };
    if text.trim_start().starts_with(['{', '[']) {
        payload::open_any(&text, &path, &inside, reader);
    } else {
        reader.unreadable(&path, "the decoded data is not JSON", None, raw);
    }
}

//! A batch of Event Hubs events: an array of bodies, `{"records": […]}` as other tools write it, or
//! one body.

use serde_json::value::RawValue;

use crate::{
    Context, Reader, payload,
    wire::{self, wire},
};

wire! {
    struct Batch<'a> {
        records: &'a RawValue = "records",
    }
}

/// Opens a delivery.
pub(crate) fn open(text: &str, context: &Context, reader: &mut Reader) {
    let records = |list: &str, path: &str, reader: &mut Reader| {
        payload::each(list, path, reader, |raw, path, reader| {
            // Several exports write batches of batches.
            match wire::parse::<Batch<'_>>(raw).ok().and_then(|batch| batch.records) {
                Some(inner) => payload::each(inner.get(), &format!("{path}.records"), reader, |raw, path, reader| {
                    payload::read(raw, path, context, reader);
                }),
                None => payload::read(raw, path, context, reader),
            }
        });
    };
    if text.trim_start().starts_with('[') {
        return records(text, "", reader);
    }
    match wire::parse::<Batch<'_>>(text) {
        Ok(Batch { records: Some(list), .. }) => records(list.get(), "records", reader),
        _ => payload::read(text, "", context, reader),
    }
}

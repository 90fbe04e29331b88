//! A bare body, or anything else, told by its shape: what other tools post, and what `amend import`
//! and `amend decide` read from files. Lines of JSON are read one by one.

use crate::{Context, Reader, payload};

/// Opens a delivery.
pub(crate) fn open(text: &str, context: &Context, reader: &mut Reader) {
    let trimmed = text.trim_start();
    if trimmed.starts_with('[') {
        return payload::each(text, "", reader, |raw, path, reader| payload::open_any(raw, path, context, reader));
    }
    // The first JSON value tells whether the body is one object or a line of many.
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<&serde_json::value::RawValue>();
    let mut found = Vec::new();
    while let Some(Ok(value)) = stream.next() {
        found.push(value.get());
    }
    let read = stream.byte_offset();
    let rest = text.get(read..).unwrap_or_default().trim();
    match (found.as_slice(), rest.is_empty()) {
        ([one], true) => payload::open_any(one, "", context, reader),
        ([], _) => payload::open_any(text, "", context, reader),
        (many, finished) => {
            for (at, one) in many.iter().enumerate() {
                payload::open_any(one, &format!("[{at}]"), context, reader);
            }
            if !finished {
                reader.unreadable(&format!("[{}]", many.len()), "not JSON from here on", None, rest);
            }
        }
    }
}

//! Which payload a record is, told by its shape, and handing it on.

use serde_json::value::RawValue;

use crate::{
    Context, Reader, cloud_events, defender, event_bridge, event_grid, ocsf, policy_state, pub_sub, scc, security_hub,
    wire::{self, Text, join, wire},
};

wire! {
    /// The members by which payloads and envelopes are told apart.
    struct Marks<'a> {
        // payloads
        finding: &'a RawValue = "finding",
        product_arn: &'a RawValue = "ProductArn",
        class_uid: &'a RawValue = "class_uid",
        compliance_state: &'a RawValue = "complianceState",
        properties: &'a RawValue = "properties",
        // envelopes
        spec_version: &'a RawValue = "specversion",
        event_type: &'a RawValue = "eventType",
        data: &'a RawValue = "data",
        message: &'a RawValue = "message",
        detail_type: &'a RawValue = "detail-type",
        records: &'a RawValue = "records",
        value: &'a RawValue = "value",
        type_name: Text<'a> = "type",
    }
}

/// Reads one record that should be a payload. A JSON text inside a JSON text is opened.
pub(crate) fn read(raw: &str, path: &str, context: &Context, reader: &mut Reader) {
    read_at(raw, path, context, reader, 0);
}

fn read_at(raw: &str, path: &str, context: &Context, reader: &mut Reader, nested: u8) {
    let trimmed = raw.trim_start();
    if trimmed.starts_with('"') && nested < 2 {
        match serde_json::from_str::<String>(trimmed) {
            Ok(inner) => return read_at(&inner, path, context, reader, nested.saturating_add(1)),
            Err(error) => return reader.unreadable(path, &format!("not JSON: {error}"), None, raw),
        }
    }
    if trimmed.starts_with('[') && nested < 3 {
        // A list where one was expected.
        return each(raw, path, reader, |raw, path, reader| read_at(raw, path, context, reader, 3));
    }
    let body: defender::Body<'_> = match wire::parse(raw) {
        Ok(body) => body,
        Err(failed) => return reader.unreadable(&join(path, &failed.path), &failed.problem, None, raw),
    };
    if defender::take(body, raw, path, context, reader).is_none() {
        return;
    }
    let marks: Marks<'_> = match wire::parse(raw) {
        Ok(marks) => marks,
        Err(failed) => return reader.unreadable(&join(path, &failed.path), &failed.problem, None, raw),
    };
    if marks.finding.is_some() {
        scc::read(raw, path, context, reader);
    } else if marks.product_arn.is_some() {
        security_hub::read(raw, path, context, reader);
    } else if marks.class_uid.is_some() {
        ocsf::read(raw, path, context, reader);
    } else if marks.compliance_state.is_some() {
        policy_state::read(raw, path, context, reader);
    } else {
        let hint = "docs/events.md lists the forms that are known";
        match marks.type_name {
            Some(name) => {
                let problem = format!("a record of type `{}` is in no form that Amend knows", &*name);
                reader.unreadable(&join(path, "type"), &problem, Some(hint), raw);
            }
            None => reader.unreadable(path, "this is in no form that Amend knows", Some(hint), raw),
        }
    }
}

/// Reads one record that may be a payload or any envelope.
pub(crate) fn open_any(raw: &str, path: &str, context: &Context, reader: &mut Reader) {
    if raw.trim_start().starts_with('"') {
        // A JSON text inside a JSON text.
        return match serde_json::from_str::<String>(raw) {
            Ok(inner) if !inner.trim_start().starts_with('"') => open_any(&inner, path, context, reader),
            _ => read(raw, path, context, reader),
        };
    }
    if raw.trim_start().starts_with('[') {
        return each(raw, path, reader, |raw, path, reader| open_any(raw, path, context, reader));
    }
    let marks: Marks<'_> = match wire::parse(raw) {
        Ok(marks) => marks,
        Err(failed) => return reader.unreadable(&join(path, &failed.path), &failed.problem, None, raw),
    };
    if marks.spec_version.is_some() {
        cloud_events::open_one(raw, path, context, reader);
    } else if marks.event_type.is_some() && marks.data.is_some() {
        event_grid::open_one(raw, path, context, reader);
    } else if marks.message.is_some() && marks.properties.is_none() {
        pub_sub::open(raw, path, context, reader);
    } else if marks.detail_type.is_some() {
        event_bridge::open(raw, path, context, reader);
    } else if let Some((list, name)) = marks
        .records
        .map(|list| (list, "records"))
        .or(marks.value.map(|list| (list, "value")))
        .or(marks.data.map(|list| (list, "data")))
        .filter(|(list, _)| list.get().starts_with('['))
    {
        // A batch, a page of the REST API, an answer of Resource Graph.
        each(list.get(), &join(path, name), reader, |raw, path, reader| open_any(raw, path, context, reader));
    } else {
        read(raw, path, context, reader);
    }
}

/// Calls `one` for each element of a JSON array, with its path.
pub(crate) fn each(list: &str, path: &str, reader: &mut Reader, mut one: impl FnMut(&str, &str, &mut Reader)) {
    match wire::parse::<Vec<&RawValue>>(list) {
        Ok(elements) => {
            for (at, element) in elements.iter().enumerate() {
                one(element.get(), &format!("{path}[{at}]"), reader);
            }
        }
        Err(failed) => reader.unreadable(&join(path, &failed.path), &failed.problem, None, list),
    }
}

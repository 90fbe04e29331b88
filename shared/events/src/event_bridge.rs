//! Amazon EventBridge: Security Hub's findings stand under `detail.findings`, one or several.
//!
//! Source: "EventBridge event formats for Security Hub" (CSPM: ASFF; Security Hub: OCSF) of the AWS
//! documentation.

use serde_json::value::RawValue;

use crate::{
    Context, Reader, payload,
    wire::{self, Text, given, join, time, wire},
};

wire! {
    struct Event<'a> {
        source: Text<'a> = "source",
        kind: Text<'a> = "detail-type",
        time: Text<'a> = "time",
        detail: Detail<'a> = "detail",
    }
}

wire! {
    struct Detail<'a> {
        findings: &'a RawValue = "findings",
    }
}

/// Opens an event.
pub(crate) fn open(raw: &str, path: &str, context: &Context, reader: &mut Reader) {
    let event: Event<'_> = match wire::parse(raw) {
        Ok(event) => event,
        Err(failed) => return reader.unreadable(&join(path, &failed.path), &failed.problem, None, raw),
    };
    let (Some(source), Some(kind)) = (given(event.source.as_ref()), given(event.kind.as_ref())) else {
        let hint = "an EventBridge event has `source` and `detail-type`; for other forms use /events/plain";
        return reader.unreadable(&join(path, "detail-type"), "this member is missing", Some(hint), raw);
    };
    if source != "aws.securityhub" || kind == "Security Hub Insight Results" {
        return reader.set_aside(&format!("{source}: {kind}"), "events of this type hold no finding");
    }
    let path = join(path, "detail.findings");
    let Some(findings) = event.detail.and_then(|detail| detail.findings) else {
        return reader.unreadable(&path, "this member is missing", None, raw);
    };
    let inside = Context { sent: time(event.time.as_ref()).or(context.sent), ..context.clone() };
    payload::each(findings.get(), &path, reader, |raw, path, reader| payload::read(raw, path, &inside, reader));
}

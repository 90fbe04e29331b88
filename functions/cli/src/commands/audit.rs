//! `amend audit` and `amend recent`: what was done, by whom and why, and whether that is all.

use amend_domain::{ResourceId, Timeframe, audit::Record, plan::State};
use std::path::Path;

use amend_pipeline::{
    Config,
    audit::{self, AuditError},
};
use amend_store::{Database, Store as _};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::{
    args::{AuditCommand, Format},
    failure::{Exit, Failure},
    output::{Output, Tone, counted},
    setup,
};

/// Runs `amend audit`.
pub async fn run(command: &AuditCommand, config: &Config, output: Output) -> Result<Exit, Failure> {
    let store = setup::existing_store(config).await?;
    match command {
        AuditCommand::List { limit } => {
            let last = store.audit_head().await?.seq;
            let records = store.audit(last.saturating_sub(u64::from(*limit)), *limit).await?;
            if output.format() == Format::Json {
                output.json(&records)?;
            } else if records.is_empty() {
                output.say("nothing was done yet");
            } else {
                table(&records, output);
            }
        }
        AuditCommand::Verify { heads, earlier } => {
            if let Some(path) = heads.as_deref().filter(|path| !path.exists()) {
                let hint = "name the file that `audit.heads` names where the service runs";
                return Err(Failure::new(format!("there is no {}", path.display()), None, Some(hint)));
            }
            let heads = heads.as_deref().or(config.audit_heads.as_deref());
            let verified = match audit::verify(&store, heads, earlier).await {
                Ok(verified) => verified,
                // The answer is no, and says where.
                Err(AuditError::Broken(broken)) => {
                    if output.format() == Format::Json {
                        output.json(&json!({ "broken": broken.to_string() }))?;
                    } else {
                        output.say(&output.toned(Tone::Alarm, &format!("the audit trail is broken: {broken}")));
                    }
                    return Ok(Exit::No);
                }
                Err(error) => return Err(failure(error)),
            };
            // Whoever can forge the trail can remove what it is held against.
            if let (Some(path), 0, 1..) = (heads, verified.noted, verified.records) {
                if output.format() == Format::Json {
                    output.json(&json!({ "noted": 0, "records": verified.records, "head": verified.head }))?;
                } else {
                    let line = format!("no end of the audit trail is noted in {}", path.display());
                    output.say(&output.toned(Tone::Alarm, &line));
                    output.say("Its records follow each other, but there is nothing to hold them against. `amend sweep`\nnotes the first end; if there were some before, somebody removed them.");
                }
                return Ok(Exit::No);
            }
            if output.format() == Format::Json {
                output.json(&verified)?;
            } else {
                let before = match (verified.purged, verified.earlier) {
                    (0, _) => String::new(),
                    (purged, 0) => format!(" after the {purged} that were purged (`--earlier` checks them)"),
                    (purged, earlier) if earlier < purged => {
                        format!(" after the {purged} that were purged, the last {earlier} of which are whole, too")
                    }
                    (purged, _) => format!(" after the {purged} that were purged, which are whole, too"),
                };
                let noted = match (heads, verified.noted) {
                    (None, _) => "; no second place is configured (`audit.heads`)".to_owned(),
                    (Some(_), noted) => format!("; {} in the second place, and all fit", counted(noted, "end")),
                };
                let whole = format!(
                    "the audit trail is whole: {}{before}{noted}",
                    counted(usize::try_from(verified.records).unwrap_or(usize::MAX), "record")
                );
                output.say(&output.toned(Tone::Good, &whole));
                output.say(&format!("  its end is {}", verified.head));
            }
        }
        AuditCommand::Purge { older, to } => purge(&store, older, to, config, output).await?,
        AuditCommand::Export => {
            let mut after = 0;
            loop {
                let records = store.audit(after, 1_000).await?;
                let Some(last) = records.last() else { break };
                after = last.seq;
                for record in &records {
                    let line = serde_json::to_string(record).map_err(|error| {
                        Failure::new("a record cannot be written as JSON", Some(Box::new(error)), None)
                    })?;
                    output.line(&line);
                }
            }
        }
    }
    Ok(Exit::Ok)
}

/// Runs `amend audit purge`.
async fn purge(store: &Database, older: &str, to: &Path, config: &Config, output: Output) -> Result<(), Failure> {
    let time = timeframe(older)?;
    if time.seconds() < 24 * 3_600 {
        return Err(Failure::new("what is not a day old is not purged", None, Some("write it as `400d`")));
    }
    let by = config.somebody()?;
    let heads = config.audit_heads.as_deref();
    let now = setup::now();
    let purged = audit::purge(store, heads, before(now, &time), to, (by, now)).await;
    let Some(purged) = purged.map_err(failure)? else {
        match output.format() {
            Format::Json => output.json(&json!({ "records": 0 }))?,
            _ => output.say(&format!("no record is older than {older}: nothing was purged")),
        }
        return Ok(());
    };
    if let Some(path) = heads {
        audit::note_head(store, path, now).await.map_err(failure)?;
    }
    match output.format() {
        Format::Json => output.json(&purged)?,
        _ => {
            let records = counted(usize::try_from(purged.records).unwrap_or(usize::MAX), "record");
            output.say(&format!("{records} up to number {} went to {}: keep it", purged.through.seq, to.display()));
            output.say(&format!("  it ends with {}, which stands in the trail", purged.through.digest));
        }
    }
    Ok(())
}

/// Runs `amend recent`.
pub async fn recent(id: &str, since: &str, config: &Config, output: Output) -> Result<Exit, Failure> {
    let time = timeframe(since)?;
    let store = setup::existing_store(config).await?;
    let from = before(setup::now(), &time);
    let name = super::hold::canonical(id)?;
    let records = store.audit_of(&name, from).await?;
    if output.format() == Format::Json {
        output.json(&records)?;
        return Ok(Exit::Ok);
    }
    if records.is_empty() {
        output.say(&format!("no: Amend did nothing to {name} in the last {since}"));
        return Ok(Exit::Ok);
    }
    table(&records, output);
    let mut seen = Vec::new();
    for record in records.iter().rev().filter(|record| !seen.contains(&record.entry.subject)).collect::<Vec<_>>() {
        let subject = &record.entry.subject;
        if seen.contains(subject) {
            continue;
        }
        seen.push(subject.clone());
        let found = store.find_remediations(subject).await?;
        if found.iter().any(|r| r.id == *subject && matches!(r.state, State::Set | State::Healthy | State::Parked)) {
            output.say(&format!("undo it with `amend undo {subject}`"));
        }
    }
    Ok(Exit::Ok)
}

fn timeframe(text: &str) -> Result<Timeframe, Failure> {
    Timeframe::parse(text).map_err(|error| {
        Failure::new(format!("`{text}` is no length of time"), Some(Box::new(error)), Some("write it as `2h` or `3d`"))
    })
}

fn before(now: Timestamp, time: &Timeframe) -> Timestamp {
    now.saturating_sub(SignedDuration::from_secs(time.seconds())).unwrap_or(Timestamp::MIN)
}

/// What a system was told, or what was taken over from one, in a line.
fn changed(detail: &Value) -> Option<String> {
    if let Some(changes) = detail.get("changes").and_then(Value::as_array) {
        let path = |change: &Value| Some(change.get("path")?.as_str()?.rsplit('.').next()?.to_owned());
        // Those of a remediation are shown by `amend remediations`.
        return detail.get("target").map(|_| changes.iter().filter_map(path).collect::<Vec<_>>().join(", "));
    }
    let to = |name: &str| {
        let to = detail.get(name)?.get("to")?.as_str()?;
        Some(format!("{name} {to}"))
    };
    let parts: Vec<String> = [to("owner"), to("due")].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn table(records: &[Record], output: Output) {
    let rows: Vec<_> = records
        .iter()
        .map(|record| {
            let entry = &record.entry;
            let call = entry.detail.get("call").and_then(|call| call.get("call")?.as_str());
            let why = entry.detail.get("why").and_then(Value::as_str);
            let through = entry.detail.get("through").and_then(|head| head.get("seq")?.as_u64());
            let tracker = entry.detail.get("tracker").and_then(Value::as_str);
            let changes = changed(&entry.detail);
            let detail = match (call, why) {
                _ if tracker.is_some() => {
                    let key = entry.detail.get("entry").and_then(Value::as_str).unwrap_or_default();
                    let why = why.map_or_else(String::new, |why| format!(": {why}"));
                    format!("{} {key}{why}", tracker.unwrap_or_default())
                }
                _ if changes.is_some() => changes.unwrap_or_default(),
                _ if through.is_some() => format!("up to record {}", through.unwrap_or_default()),
                (_, Some(why)) => why.to_owned(),
                (Some(call), None) => call.to_owned(),
                (None, None) => entry.detail.get("fix").and_then(Value::as_str).unwrap_or_default().to_owned(),
            };
            let short = output.format() == Format::Human;
            let name = |id: &ResourceId| if short { id.short_name().to_owned() } else { id.to_string() };
            let on = entry.detail.get("on").and_then(Value::as_str);
            let resource = entry.resource.as_ref().map_or_else(|| on.unwrap_or(&entry.subject).to_owned(), name);
            vec![
                (record.seq.to_string(), Tone::Dim),
                (entry.at.strftime("%Y-%m-%d %H:%M:%S").to_string(), Tone::Dim),
                (entry.who.to_string(), Tone::Plain),
                (entry.what.to_string(), Tone::Plain),
                (resource, Tone::Plain),
                (detail, Tone::Plain),
            ]
        })
        .collect();
    output.table(
        &[
            ("#", 4, 8),
            ("when (UTC)", 19, 19),
            ("who", 8, 20),
            ("what", 16, 32),
            ("resource", 20, 60),
            ("detail", 20, 60),
        ],
        &rows,
    );
}

/// An error of the trail, for people.
pub fn failure(error: AuditError) -> Failure {
    let cause = match &error {
        // It says that itself.
        AuditError::Broken(_) => None,
        error => std::error::Error::source(error).map(|source| setup::whole(source).into()),
    };
    let hint = match &error {
        AuditError::File { source, .. } if source.kind() == std::io::ErrorKind::AlreadyExists => {
            Some("name a new file; what another run wrote there may be all that is left of those records")
        }
        AuditError::Apart { .. } => {
            Some("give all files with `--earlier`, the oldest first, up to the last that was written")
        }
        AuditError::Gone { .. } => {
            Some("put it back; or, where it cannot be, name another place in `audit.heads`: the trail tells of both")
        }
        AuditError::Broken(_) => Some("nothing is noted or purged until somebody knows why: `amend audit verify`"),
        AuditError::Store(error) => error.hint(),
        _ => None,
    };
    let exit = if matches!(error, AuditError::Broken(_)) { Exit::No } else { Exit::Failure };
    Failure { exit, ..Failure::new(error.to_string(), cause, hint) }
}

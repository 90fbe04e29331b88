//! `amend sync`: what the systems that problems come from were told, and what they would be told now.

use std::collections::BTreeMap;

use amend_domain::{Problem, sync::System};
use amend_pipeline::{
    Config,
    sync::{Authority, Look, Systems},
};
use amend_store::{Filter, Store as _, Syncs as _};
use serde_json::{Value, json};

use crate::{
    args::{Format, SyncCommand},
    failure::{Exit, Failure},
    output::{Output, Tone, counted},
    setup,
};

/// Runs the command.
pub async fn run(command: Option<SyncCommand>, config: &Config, output: Output) -> Result<Exit, Failure> {
    if config.systems.in_use().is_empty() {
        let hint = "say which under `sync` in amend.yaml: docs/sync.md";
        return Err(Failure::new("no system is told anything", None, Some(hint)));
    }
    match command {
        None => list(config, output).await,
        Some(SyncCommand::Plan { id, limit }) => plan(id.as_deref(), limit, config, output).await,
    }
}

/// Whose word counts, and what each system is told.
fn uses(systems: &Systems) -> Vec<(System, String)> {
    let use_of = |system: System| match (system, systems.defender) {
        (System::Defender, Some(Authority::Defender)) => "its owners and dates are taken over".to_owned(),
        (System::Defender, Some(Authority::Amend { overrides: false })) => {
            "owners, dates and tickets are written where it says nothing".to_owned()
        }
        (System::Defender, _) => "owners, dates and tickets are written, also over those of its rules".to_owned(),
        (System::SecurityHub, _) => {
            let parts = [
                systems.hub.findings.then_some("findings are told what became of them"),
                systems.hub.import.then_some("what only Defender says is imported"),
            ];
            parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
        }
        (System::Scc, _) => "findings are marked with what became of them".to_owned(),
    };
    systems.in_use().into_iter().map(|system| (system, use_of(system))).collect()
}

async fn list(config: &Config, output: Output) -> Result<Exit, Failure> {
    let store = setup::existing_store(config).await?;
    let all = store.all_synced(1_000).await?;
    if output.format() == Format::Json {
        let systems: Vec<_> =
            uses(&config.systems).iter().map(|(system, what)| json!({ "system": system, "what": what })).collect();
        let told: Vec<_> = all
            .iter()
            .map(|(system, problem, at, synced)| {
                json!({ "system": system, "problem": problem, "looked_at": at, "targets": synced.targets })
            })
            .collect();
        output.json(&json!({ "systems": systems, "told": told }))?;
        return Ok(Exit::Ok);
    }
    if output.format() == Format::Human {
        for (system, what) in uses(&config.systems) {
            output.line(&format!("{}: {what}", system.name()));
        }
    }
    let names: BTreeMap<String, String> = store
        .problems(&Filter::default())
        .await?
        .into_iter()
        .map(|problem| (problem.id.to_string(), problem.resource.name.to_string()))
        .collect();
    let mut rows = Vec::new();
    for (system, problem, at, synced) in &all {
        for told in synced.targets.values() {
            let (values, tone) = match &told.telling {
                Some(_) => ("it is being told".to_owned(), Tone::Warn),
                None => {
                    let values = told.values.iter().map(|(path, value)| format!("{}: {}", short(path), plain(value)));
                    let read = told.read.iter().map(|(path, value)| format!("{}: {}, read", short(path), plain(value)));
                    (values.chain(read).collect::<Vec<_>>().join("\n"), Tone::Plain)
                }
            };
            rows.push(vec![
                (system.as_str().to_owned(), Tone::Plain),
                (problem.clone(), Tone::Plain),
                (names.get(problem).cloned().unwrap_or_default(), Tone::Plain),
                (at.strftime("%Y-%m-%d %H:%M").to_string(), Tone::Dim),
                (values, tone),
            ]);
        }
    }
    if rows.is_empty() {
        output.say("nothing was told yet; `amend sync plan` shows what would be");
        return Ok(Exit::Ok);
    }
    let columns =
        [("system", 14, 14), ("problem", 24, 24), ("resource", 12, 32), ("looked at (UTC)", 18, 18), ("told", 24, 64)];
    output.table(&columns, &rows);
    Ok(Exit::Ok)
}

async fn plan(id: Option<&str>, limit: u32, config: &Config, output: Output) -> Result<Exit, Failure> {
    let store = setup::existing_store(config).await?;
    let problems = match id {
        Some(id) => vec![super::date::one(&store, id).await?],
        None => {
            let filter = Filter { open: Some(true), backlog: Some(false), ..Filter::default() };
            let systems = config.systems.in_use();
            let known = |problem: &Problem| systems.iter().any(|system| system.knows(problem));
            let all = store.problems(&filter).await?.into_iter().filter(known);
            all.take(usize::try_from(limit).unwrap_or(usize::MAX)).collect()
        }
    };
    let syncer = setup::syncer(config, setup::all_clouds(config, output), output).await?;
    let progress = output.progress(problems.len(), "problems");
    let (mut rows, mut steps) = (Vec::new(), 0_usize);
    let mut shown = String::new();
    let mut failures = 0_usize;
    for problem in &problems {
        let looks = match syncer.preview(problem).await {
            Ok(looks) => looks,
            // The rest is shown all the same.
            Err(error) => {
                failures = failures.saturating_add(1);
                let (why, hint) = (setup::whole(&error), error.hint());
                rows.push(
                    json!({ "problem": problem.id, "resource": problem.resource.id, "error": why, "hint": hint }),
                );
                unread(&mut shown, problem, &why, hint.as_deref(), output);
                Vec::new()
            }
        };
        for step in looks {
            steps = steps.saturating_add(1);
            rows.push(json!({
                "system": step.system, "problem": problem.id, "resource": problem.resource.id, "target": step.target,
                "changes": step.changes, "taken_over": step.taken_over(),
            }));
            show(&mut shown, problem, &step, output);
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    if output.format() == Format::Json {
        output.json(&rows)?;
        return Ok(if failures == 0 { Exit::Ok } else { Exit::Failure });
    }
    if output.format() == Format::Plain {
        let text = |row: &Value, name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut table = Vec::new();
        for row in &rows {
            let cells = |path: String, from: String, to: String| {
                let of = ["system", "problem", "resource"].map(|name| text(row, name));
                of.into_iter().chain([path, from, to]).map(|cell| (cell, Tone::Plain)).collect::<Vec<_>>()
            };
            for change in row.get("changes").and_then(Value::as_array).into_iter().flatten() {
                let value = |name: &str| plain(change.get(name).unwrap_or(&Value::Null));
                table.push(cells(text(change, "path"), value("from"), value("to")));
            }
            for (name, value) in row.get("taken_over").and_then(Value::as_object).into_iter().flatten() {
                table.push(cells(format!("{name} is taken over"), String::new(), plain(value)));
            }
            if row.get("error").is_some() {
                table.push(cells("error".to_owned(), String::new(), text(row, "error")));
            }
        }
        let columns =
            [("system", 8, 8), ("problem", 8, 8), ("resource", 8, 8), ("what", 8, 8), ("from", 8, 8), ("to", 8, 8)];
        output.table(&columns, &table);
    } else {
        shown.lines().for_each(|line| output.line(line));
    }
    let failed = if failures == 0 { String::new() } else { format!(", {failures} of them cannot be read") };
    let looked = counted(problems.len(), "problem");
    output.note(&format!("{looked} looked at{failed}, {steps} to be told; nothing was written"));
    Ok(if failures == 0 { Exit::Ok } else { Exit::Failure })
}

/// Why nothing is known of a problem.
fn unread(text: &mut String, problem: &Problem, why: &str, hint: Option<&str>, output: Output) {
    use std::fmt::Write as _;
    let name = crate::output::clean(&problem.resource.name);
    let _ = writeln!(text, "{}", output.toned(Tone::Warn, &format!("{name}: {}", crate::output::clean(why))));
    if let Some(hint) = hint {
        let _ = writeln!(text, "  hint: {hint}");
    }
}

/// A step, with what it changes.
fn show(text: &mut String, problem: &Problem, step: &Look, output: Output) {
    use std::fmt::Write as _;
    let what = crate::output::clean(&problem.title);
    let _ = writeln!(text, "{}: {what}: {}", step.system.name(), crate::output::clean(&problem.resource.name));
    let _ = writeln!(text, "  {}", output.toned(Tone::Dim, &step.target));
    if let Some(assigned) = step.taken_over() {
        let day = |at: jiff::Timestamp| at.strftime("%Y-%m-%d").to_string();
        for (name, value) in [
            ("owner", assigned.owner.as_deref().map(ToOwned::to_owned)),
            ("due", assigned.due.map(day)),
            ("eta", assigned.eta.map(day)),
        ] {
            if let Some(value) = value {
                let _ = writeln!(text, "  {name} is taken over: {}", crate::output::clean(&value));
            }
        }
    }
    for change in step.changes.iter().filter(|change| change.from != change.to) {
        let (from, to) = (plain(&change.from), plain(&change.to));
        let _ = match (&change.from, &change.to) {
            (Value::Null, _) => writeln!(text, "  {}: {to}", change.path),
            (_, Value::Null) => writeln!(text, "  {}: {from}, taken back", change.path),
            _ => writeln!(text, "  {}: {from} -> {to}", change.path),
        };
    }
}

/// The last part of a path: what people call a value.
fn short(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

/// A value, as people write it.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => crate::output::clean(text),
        value => crate::output::clean(&value.to_string()),
    }
}

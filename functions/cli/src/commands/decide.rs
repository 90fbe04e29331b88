//! `amend decide`: what the rules make of a notification. Records nothing.

use std::{path::Path, time::Duration};

use amend_domain::{Assessment, Problem, thing::Reads};
use amend_events::{Form, Item};
use amend_pipeline::{Config, rows::ProblemRow};
use amend_store::Change;
use serde_json::json;

use crate::{
    args::Format,
    failure::{Exit, Failure},
    output::{Output, Tone},
    setup,
};

/// How long the clouds may take to tell facts.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the command.
pub async fn run(file: &Path, config: &Config, output: Output) -> Result<Exit, Failure> {
    let decider = setup::decider(config, output)?;
    let body = setup::read_bytes(file)?;
    let items = decider.read(Form::Plain, &body, &[], false, decider.limits()).map_err(|refused| {
        Failure::new(
            format!("{} is refused", file.display()),
            Some(Box::new(refused)),
            Some("`amend import` takes larger files"),
        )
    })?;
    let now = decider.now();
    let lookup = amend_service::parts::lookup(config, &setup::clouds(config, output)?);
    let (mut assessments, mut aside, mut unreadable) = (Vec::new(), Vec::new(), Vec::new());
    for item in items {
        match item {
            Item::Assessment(assessment) => assessments.push(*assessment),
            Item::SetAside(one) => aside.push(one),
            Item::Unreadable(one) => unreadable.push(one),
            Item::Validation { .. } => aside.push(amend_events::SetAside {
                what: "Event Grid handshake".into(),
                why: "it asks for an answer, and holds no assessment".into(),
            }),
        }
    }
    let decide = |assessment: Assessment, reads: &Reads| decider.decide(assessment, reads);
    let changes: Vec<Change> = match &lookup {
        Some(lookup) => lookup.decide(decide, assessments, now, PATIENCE).await?,
        None => assessments.into_iter().map(|one| decide(one, &Reads::default())).collect(),
    };
    let (mut rows, mut calm) = (Vec::new(), Vec::new());
    for Change { assessment, setting, decision, truth, .. } in changes {
        // As it would stand if nothing were known of it before.
        match Problem::advance(None, &assessment, &setting, decision.clone(), truth, now) {
            Some(problem) => rows.push((problem.urgency(), ProblemRow::new(&problem, now))),
            None => calm.push((assessment.id.to_string(), decision.why.to_string())),
        }
    }
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    let rows: Vec<ProblemRow> = rows.into_iter().map(|(_, row)| row).collect();
    if output.format() == Format::Json {
        let nothing: Vec<_> = calm.iter().map(|(id, why)| json!({ "assessment": id, "why": why })).collect();
        output.json(
            &json!({ "decisions": rows, "nothing_to_do": nothing, "set_aside": aside, "unreadable": unreadable }),
        )?;
    } else {
        if !rows.is_empty() {
            output.problems(&rows, now)?;
        }
        for (id, why) in &calm {
            output.say(&format!("nothing to do ({why}): {id}"));
        }
        for one in &aside {
            output.say(&format!("set aside: {} ({})", one.what, one.why));
        }
        for one in &unreadable {
            let hint = one.hint.as_ref().map(|hint| format!("\n  hint: {hint}")).unwrap_or_default();
            output.note(&format!("{} at {}: {}{hint}", output.toned(Tone::Alarm, "unreadable"), one.path, one.problem));
        }
    }
    Ok(if unreadable.is_empty() { Exit::Ok } else { Exit::No })
}

//! `amend decide`: what the rules make of a notification. Records nothing.

use std::path::Path;

use amend_domain::Problem;
use amend_events::{Form, Item};
use amend_pipeline::{Config, rows::ProblemRow};
use serde_json::json;

use crate::{
    args::Format,
    failure::{Exit, Failure},
    output::{Output, Tone},
    setup,
};

/// Runs the command.
pub fn run(file: &Path, config: &Config, output: Output) -> Result<Exit, Failure> {
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
    let (mut rows, mut calm, mut aside, mut unreadable) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for item in items {
        match item {
            Item::Assessment(assessment) => {
                let change = decider.decide(*assessment);
                // As it would stand if nothing were known of it before.
                match Problem::advance(
                    None,
                    &change.assessment,
                    &change.setting,
                    change.decision.clone(),
                    change.truth,
                    now,
                ) {
                    Some(problem) => rows.push((problem.urgency(), ProblemRow::new(&problem, now))),
                    None => calm.push((change.assessment.id.to_string(), change.decision.why.to_string())),
                }
            }
            Item::SetAside(one) => aside.push(one),
            Item::Unreadable(one) => unreadable.push(one),
            Item::Validation { .. } => aside.push(amend_events::SetAside {
                what: "Event Grid handshake".into(),
                why: "it asks for an answer, and holds no assessment".into(),
            }),
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

//! `amend unreadable`: records that could not be read.

use amend_pipeline::{Config, Pipeline, accept::AcceptError, unreadable::Retried};
use amend_store::Parked;

use crate::{
    args::{Format, UnreadableCommand},
    failure::{Exit, Failure},
    output::{Output, Tone, counted},
    setup,
};

/// Runs the command.
pub async fn run(command: UnreadableCommand, config: &Config, output: Output) -> Result<Exit, Failure> {
    let pipeline = setup::pipeline_with(config, &setup::clouds(config, output)?, output).await?;
    match command {
        UnreadableCommand::List { all } => list(&pipeline.store().parked(all, 10_000).await?, output),
        UnreadableCommand::Show { id } => show(&pipeline.unreadable(&id).await?, output),
        UnreadableCommand::Retry { id } => retry(&pipeline, id.as_deref(), output).await,
    }
}

fn list(parked: &[Parked], output: Output) -> Result<Exit, Failure> {
    if output.format() == Format::Json {
        output.json(&parked)?;
    } else if parked.is_empty() {
        output.say("no unreadable records");
    } else {
        let columns =
            [("id", 28, 28), ("came", 18, 18), ("as", 8, 12), ("at", 10, 50), ("problem", 12, 60), ("state", 6, 12)];
        let rows: Vec<_> = parked
            .iter()
            .map(|one| {
                let state = if one.resolved.is_some() {
                    ("read since".to_owned(), Tone::Good)
                } else {
                    ("kept".to_owned(), Tone::Warn)
                };
                let when = one.at.strftime("%Y-%m-%d %H:%M").to_string();
                let cells = [&one.id, &when, &one.form, &one.path, &one.problem];
                cells.into_iter().map(|text| (text.clone(), Tone::Plain)).chain([state]).collect()
            })
            .collect();
        output.table(&columns, &rows);
    }
    Ok(Exit::Ok)
}

fn show(one: &Parked, output: Output) -> Result<Exit, Failure> {
    if output.format() == Format::Json {
        output.json(one)?;
        return Ok(Exit::Ok);
    }
    output.heading(&format!("{}: {}", one.path, one.problem));
    if let Some(hint) = &one.hint {
        output.line(&format!("hint: {hint}"));
    }
    output.line(&format!("came {} as {}\n", one.at, one.form));
    let pretty =
        serde_json::from_str::<serde_json::Value>(&one.raw).and_then(|value| serde_json::to_string_pretty(&value));
    output.line(pretty.as_deref().unwrap_or(&one.raw));
    Ok(Exit::Ok)
}

async fn retry(pipeline: &Pipeline, id: Option<&str>, output: Output) -> Result<Exit, Failure> {
    let list = match id {
        Some(id) => vec![pipeline.unreadable(id).await?],
        None => pipeline.store().parked(false, u32::MAX).await?,
    };
    let mut results = Vec::new();
    let mut still = false;
    for one in &list {
        let result = match pipeline.retry_unreadable(one).await {
            Ok(Retried::Read(accepted)) => format!("read: {} recorded", counted(accepted.decided.len(), "finding")),
            Ok(Retried::Still { path, problem }) => {
                still = true;
                format!("still unreadable at {path}: {problem}")
            }
            Err(AcceptError::Pipeline(error)) => return Err(error.into()),
            Err(error) => return Err(Failure::new(error.to_string(), None, None)),
        };
        results.push((one.id.clone(), result));
    }
    if output.format() == Format::Json {
        let list: Vec<_> =
            results.iter().map(|(id, result)| serde_json::json!({ "id": id, "result": result })).collect();
        output.json(&list)?;
    } else if results.is_empty() {
        output.say("no unreadable records");
    } else {
        for (id, result) in &results {
            output.line(&format!("{id}  {result}"));
        }
    }
    Ok(if still { Exit::No } else { Exit::Ok })
}

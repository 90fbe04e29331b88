//! `amend connect`: the connectors, and whether they can do what they are for.

use std::sync::Arc;

use amend_connect::{Check, TrackerError, rehearsal::rehearse};
use amend_pipeline::{Config, config::connectors::Connector};
use amend_store::Tickets;
use serde_json::json;

use crate::{
    args::{ConnectCommand, Format},
    failure::{Exit, Failure},
    output::{Output, Tone},
    setup,
};

/// Runs the command.
pub async fn run(command: Option<ConnectCommand>, config: &Config, output: Output) -> Result<Exit, Failure> {
    match command {
        None => list(config, output),
        Some(ConnectCommand::Test { name, open }) => test(&name, open, config, output).await,
    }
}

fn list(config: &Config, output: Output) -> Result<Exit, Failure> {
    if output.format() == Format::Json {
        let rows: Vec<_> = config
            .connectors
            .iter()
            .map(|one| json!({ "name": one.name, "to": one.to.word(), "where": one.to.place(), "tickets": taken(one, config) }))
            .collect();
        output.json(&rows)?;
        return Ok(Exit::Ok);
    }
    if config.connectors.is_empty() {
        output.say("there are no connectors; docs/connectors shows how to add one");
        return Ok(Exit::Ok);
    }
    let rows: Vec<_> = config
        .connectors
        .iter()
        .map(|one @ Connector { name, to }| {
            let plain = |text: &str| (text.to_owned(), Tone::Plain);
            vec![plain(name), plain(to.word()), plain(to.place()), plain(taken(one, config))]
        })
        .collect();
    output.table(&[("name", 8, 24), ("to", 10, 12), ("where", 24, 60), ("tickets", 16, 32)], &rows);
    Ok(Exit::Ok)
}

/// Which tickets a connector takes.
fn taken(one: &Connector, config: &Config) -> &'static str {
    match (config.routes.usual() == one.name, config.routes.has(&one.name)) {
        (true, _) => "all that no route takes",
        (false, true) => "those of its routes",
        (false, false) => "none: name it under `tickets`",
    }
}

async fn test(name: &str, open: bool, config: &Config, output: Output) -> Result<Exit, Failure> {
    let store: Arc<dyn Tickets> = Arc::new(setup::store(config).await?);
    let trackers = setup::trackers(config, &store)?;
    let Some(tracker) = trackers.get(name) else {
        let names: Vec<&str> = trackers.keys().map(String::as_str).collect();
        let hint = format!("there are {}; docs/connectors shows how to add one", names.join(", "));
        return Err(Failure::new(format!("no connector is called `{name}`"), None, Some(&hint)));
    };
    let (mut checks, mut error) = match tracker.check().await {
        Ok(checks) => (checks, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    if open && error.is_none() && checks.iter().all(|check| check.missing.is_none()) {
        let (done, failed) = rehearse(name, &**tracker, config.who.name(), setup::now()).await;
        checks.extend(done);
        error = failed;
    }
    let good = error.is_none() && checks.iter().all(|check| check.missing.is_none());
    if output.format() == Format::Json {
        output.json(
            &json!({ "name": name, "good": good, "checks": checks, "error": error.as_ref().map(ToString::to_string) }),
        )?;
    } else {
        for Check { what, missing } in &checks {
            match missing {
                None => output.line(&format!("{} {what}", output.toned(Tone::Good, "✓"))),
                Some(missing) => output.line(&format!("{} {what}: {missing}", output.toned(Tone::Warn, "✗"))),
            }
        }
        match &error {
            Some(error) => output.line(&format!("{} {error}{}", output.toned(Tone::Warn, "✗"), advice(error))),
            None if good && !open => {
                output.note(&format!(
                    "nothing was written; `amend connect test {name} --open` opens a ticket, comments and closes it"
                ));
            }
            None => {}
        }
    }
    Ok(if good { Exit::Ok } else { Exit::No })
}

fn advice(error: &TrackerError) -> &'static str {
    match error {
        TrackerError::Denied { .. } => {
            "\n  look at its address, its user and its token in amend.yaml and in the environment"
        }
        TrackerError::Busy { .. } => "\n  is the address right, and can it be reached from here?",
        TrackerError::Refused { .. } | TrackerError::Store(_) => "",
    }
}

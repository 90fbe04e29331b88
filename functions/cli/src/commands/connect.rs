//! `amend connect`: the connectors and channels, and whether they can do what they are for.

use std::sync::Arc;

use amend_connect::{
    Check, Message, TrackerError,
    chat::{Item, Tone as Colour},
    rehearsal::rehearse,
};
use amend_domain::notice::Whom;
use amend_pipeline::{
    Config,
    config::{connectors::Connector, notices::ChannelAt},
};
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
            .map(|one| json!({ "name": one.name, "to": one.to.word(), "where": one.to.place(), "takes": taken(one, config) }))
            .chain(config.channels.iter().map(|one| json!({ "name": one.name, "to": one.chat, "takes": NEWS })))
            .collect();
        output.json(&rows)?;
        return Ok(Exit::Ok);
    }
    if config.connectors.is_empty() && config.channels.is_empty() {
        output.say("there are no connectors; docs/connectors shows how to add one");
        return Ok(Exit::Ok);
    }
    let plain = |text: &str| (text.to_owned(), Tone::Plain);
    let tracker = |one @ Connector { name, to }: &Connector| {
        vec![plain(name), plain(to.word()), plain(to.place()), plain(taken(one, config))]
    };
    let channel = |one: &ChannelAt| vec![plain(&one.name), plain(one.chat.as_str()), plain(""), plain(NEWS)];
    let rows: Vec<_> = config.connectors.iter().map(tracker).chain(config.channels.iter().map(channel)).collect();
    output.table(&[("name", 8, 24), ("to", 10, 12), ("where", 24, 60), ("takes", 16, 32)], &rows);
    Ok(Exit::Ok)
}

/// What a channel takes.
const NEWS: &str = "what rules `notify` it of";

/// Which tickets a connector takes.
fn taken(one: &Connector, config: &Config) -> &'static str {
    match (config.routes.usual() == one.name, config.routes.has(&one.name)) {
        (true, _) => "tickets that no route takes",
        (false, true) => "the tickets of its routes",
        (false, false) => "nothing: name it under `tickets`",
    }
}

async fn test(name: &str, open: bool, config: &Config, output: Output) -> Result<Exit, Failure> {
    let store: Arc<dyn Tickets> = Arc::new(setup::store(config).await?);
    let trackers = setup::trackers(config, &store)?;
    let channels = setup::channels(config)?;
    let Some(tracker) = trackers.get(name) else {
        let named = Whom::named(name).to_string();
        if let Some(channel) = channels.get(named.trim_start_matches('#')) {
            let (mut checks, mut error) = (vec![Check::good("an address is there")], None);
            if open {
                match channel.post(&trial(config.who.name())).await {
                    Ok(()) => checks.push(Check::good("a message was posted")),
                    Err(why) => error = Some(why),
                }
            }
            let next = format!("whether it is right is not known: `amend connect test {name} --open` posts a message");
            let error = error.as_ref().map(|error| (error, of_channel(error)));
            return show(name, &checks, error, (!open).then_some(&next), output);
        }
        let names: Vec<&str> = trackers.keys().chain(channels.keys()).map(String::as_str).collect();
        let hint = format!("there are {}; docs/connectors shows how to add one", names.join(", "));
        return Err(Failure::new(format!("no connector and no channel is called `{name}`"), None, Some(&hint)));
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
    let next =
        format!("nothing was written; `amend connect test {name} --open` opens a ticket, comments and closes it");
    show(name, &checks, error.as_ref().map(|error| (error, advice(error))), (!open).then_some(&next), output)
}

/// The message of a test.
fn trial(who: &str) -> Message {
    let item = Item {
        tone: Colour::Good,
        news: "A test".into(),
        title: "this channel hears of what Amend's rules `notify` it of".into(),
        name: "amend connect test".into(),
        about: format!("by {who}"),
        lines: Vec::new(),
        command: None,
    };
    Message { title: "Amend can post here".into(), items: vec![item], more: 0, foot: "Amend".into() }
}

/// Shows what was looked at, and what to do next where all of it is good.
fn show(
    name: &str,
    checks: &[Check],
    error: Option<(&TrackerError, &str)>,
    next: Option<&String>,
    output: Output,
) -> Result<Exit, Failure> {
    let good = error.is_none() && checks.iter().all(|check| check.missing.is_none());
    if output.format() == Format::Json {
        let hint = error.map(|(_, hint)| hint.trim()).filter(|hint| !hint.is_empty());
        let error = error.map(|(error, _)| error.to_string());
        output.json(&json!({ "name": name, "good": good, "checks": checks, "error": error, "hint": hint }))?;
    } else {
        for Check { what, missing } in checks {
            match missing {
                None => output.line(&format!("{} {what}", output.toned(Tone::Good, "✓"))),
                Some(missing) => output.line(&format!("{} {what}: {missing}", output.toned(Tone::Warn, "✗"))),
            }
        }
        match (error, next) {
            (Some((error, hint)), _) => output.line(&format!("{} {error}{hint}", output.toned(Tone::Warn, "✗"))),
            (None, Some(next)) if good => output.note(next),
            (None, _) => {}
        }
    }
    Ok(if good { Exit::Ok } else { Exit::No })
}

fn of_channel(error: &TrackerError) -> &'static str {
    match error {
        TrackerError::Busy { wait: Some(_), .. } => "\n  it asks to be left alone for a while: try again later",
        TrackerError::Busy { .. } => "\n  can it be reached from here?",
        TrackerError::Denied { .. } | TrackerError::Refused { .. } => {
            "\n  is the address that of the channel? docs/connectors says what its answers mean"
        }
        TrackerError::Store(_) => "",
    }
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

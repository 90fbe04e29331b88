//! The functions of the app, as `app/` deploys them: each with its trigger, read from its `function.json`.

use std::time::Duration;

use include_dir::{Dir, include_dir};
use serde::Deserialize;

static APP: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/app");

/// What makes a function run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// One event of Event Grid.
    EventGrid,
    /// A batch of Event Hubs events.
    EventHubs,
    /// A message in a queue of storage, which is an event.
    Queue,
    /// A message that says that there is work.
    Wake,
    /// It is time to do what is due.
    Advance,
    /// It is time to look after what nobody else does.
    Sweep,
    /// It is time to send notices.
    Notices,
}

/// A function that the host calls by its name.
#[derive(Clone, Debug)]
pub struct Function {
    /// Its name: that of its folder.
    pub name: String,
    /// What makes it run.
    pub trigger: Trigger,
    /// What the trigger is called in what the host hands over.
    pub binding: String,
    /// What its output is called that wakes up whoever does the work.
    pub wakes: Option<String>,
}

#[derive(Deserialize)]
struct File {
    bindings: Vec<Binding>,
}

#[derive(Deserialize)]
struct Binding {
    #[serde(rename = "type")]
    kind: String,
    direction: String,
    name: String,
}

/// Those that have a trigger which is no request.
///
/// # Errors
/// Says which of them cannot be read, or is not known.
pub fn all() -> Result<Vec<Function>, String> {
    let folders = APP.dirs().filter(|folder| name(folder).starts_with("fn-"));
    folders
        .map(|folder| {
            let name = name(folder);
            let wrong = |why: String| format!("the function {name} cannot be used: {why}");
            let file = folder.get_file(folder.path().join("function.json"));
            let file = file.ok_or_else(|| wrong("it has no function.json".into()))?;
            let file: File = serde_json::from_slice(file.contents()).map_err(|error| wrong(error.to_string()))?;
            let of = |direction: &str| file.bindings.iter().find(|binding| binding.direction == direction);
            let input = of("in").ok_or_else(|| wrong("it has no trigger".into()))?;
            let trigger = match (input.kind.as_str(), name.as_str()) {
                ("eventGridTrigger", _) => Trigger::EventGrid,
                ("eventHubTrigger", _) => Trigger::EventHubs,
                ("queueTrigger", "fn-wake") => Trigger::Wake,
                ("queueTrigger", _) => Trigger::Queue,
                ("timerTrigger", "fn-advance") => Trigger::Advance,
                ("timerTrigger", "fn-sweep") => Trigger::Sweep,
                ("timerTrigger", "fn-notices") => Trigger::Notices,
                (kind, _) => return Err(wrong(format!("nobody answers a {kind} of that name"))),
            };
            let wakes = of("out").map(|output| output.name.clone());
            Ok(Function { trigger, binding: input.name.clone(), wakes, name })
        })
        .collect()
}

fn name(folder: &Dir<'_>) -> String {
    folder.path().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Nothing is taken up with less than ten seconds left.
const LEAST: Duration = Duration::from_secs(12);

/// How long the host lets a function run, as `host.json` says: the one that stands beside the handler, else the one
/// that it was built with.
///
/// # Errors
/// When it cannot be read, or says nothing of it.
pub fn timeout() -> Result<Duration, String> {
    let beside = std::fs::read("host.json").ok();
    let built = APP.get_file("host.json").map(|file| file.contents().to_vec());
    let text = beside.or(built).unwrap_or_default();
    #[derive(Deserialize)]
    struct Host {
        #[serde(rename = "functionTimeout")]
        timeout: Option<String>,
    }
    let host: Host = serde_json::from_slice(&text).map_err(|error| format!("host.json cannot be read: {error}"))?;
    let wrong = "host.json lacks a `functionTimeout` such as \"00:05:00\", twelve seconds at least: the handler must know until when it may work";
    let text = host.timeout.unwrap_or_default();
    let parts: Result<Vec<u64>, _> = text.split(':').map(str::parse).collect();
    match parts.as_deref() {
        Ok([hours, minutes, seconds]) => {
            let minutes = hours.saturating_mul(60).saturating_add(*minutes);
            let seconds = minutes.saturating_mul(60).saturating_add(*seconds);
            Some(Duration::from_secs(seconds)).filter(|time| *time >= LEAST).ok_or_else(|| wrong.to_owned())
        }
        _ => Err(wrong.to_owned()),
    }
}

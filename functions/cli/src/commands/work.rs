//! `amend sweep` and `amend work`: what is to be done next, and doing it.

use amend_domain::{exemption::Exemption, work::Work};
use amend_pipeline::Config;
use amend_service::{Advanced, Deadline, Service, Swept};
use amend_store::{BY_CONFIGURATION, Store as _};
use serde_json::json;

use crate::{
    args::{Format, WorkCommand},
    failure::{Exit, Failure},
    output::{Output, Tone, counted},
    setup,
};

/// Runs `amend sweep`: decides what lacked facts, and does what is due.
pub async fn sweep(config: &Config, output: Output) -> Result<Exit, Failure> {
    let swept = Service::start(config.clone(), &output).await?.sweep(Deadline::none()).await?;
    let Swept { decided, advanced: Advanced { done, put_off, parked, .. }, stopped, ending, deaf, noted } = swept;
    let noted = noted.map_err(super::audit::failure);
    if output.format() == Format::Json {
        output.json(&json!({
            "decided": decided, "done": done, "put_off": put_off, "parked": parked, "stopped": stopped,
            "exemptions_ending": ending, "deaf": deaf,
        }))?;
        return noted.map(|()| Exit::Ok);
    }
    for exemption in &ending {
        output.note(&output.toned(Tone::Warn, &ends_soon(exemption)));
    }
    if !deaf.is_empty() {
        let accounts = counted(deaf.len(), "account");
        let text = format!("{accounts} sent no snapshot for eight days: `amend backlog` names them");
        output.note(&output.toned(Tone::Warn, &text));
    }
    if let Some(stop) = stopped {
        output.note(
            &output
                .toned(Tone::Warn, &format!("everything is stopped by {} ({}): nothing was done", stop.by, stop.why)),
        );
    } else if config.remediate.most.is_none() {
        output.note("nothing is fixed by itself: `remediate.most` is off");
    }
    output.say(&format!(
        "{} done, {put_off} put off, {parked} parked",
        counted(done, "piece of work").replace("piece of works", "pieces of work")
    ));
    noted.map(|()| Exit::Ok)
}

/// What is said once of an exemption that is about to end.
pub fn ends_soon(exemption: &Exemption) -> String {
    let until = exemption.until.strftime("%Y-%m-%d %H:%M UTC");
    format!(
        "{}, which {} asked for, ends at {until}: what it covers on {} is looked at again then",
        exemption.id, exemption.by, exemption.on
    )
}

/// Runs `amend work`.
pub async fn run(command: Option<WorkCommand>, config: &Config, output: Output) -> Result<Exit, Failure> {
    let store = setup::store(config).await?;
    if let Some(WorkCommand::Retry { key }) = command {
        let retried = store.retry_work(key.as_deref(), setup::now()).await?;
        if let (0, Some(key)) = (retried, &key) {
            let hint = "`amend work` lists what there is, by its key";
            return Err(match store.one_work(key).await? {
                Some(_) => Failure::new(format!("somebody is at `{key}` now"), None, None),
                None => Failure::new(format!("there is no work `{key}`"), None, Some(hint)),
            });
        }
        if output.format() == Format::Json {
            output.json(&json!({ "retried": retried }))?;
        } else {
            output.say(&format!("{retried} to be tried again"));
        }
        return Ok(Exit::Ok);
    }
    let all = store.work(1_000).await?;
    if output.format() == Format::Json {
        output.json(&json!({ "work": all, "stopped": store.stopped().await? }))?;
        return Ok(Exit::Ok);
    }
    if let Some(stop) = store.stopped().await? {
        let since = match &*stop.by {
            BY_CONFIGURATION => String::new(),
            _ => format!(" since {}", stop.at.strftime("%Y-%m-%d %H:%M UTC")),
        };
        output.note(&output.toned(Tone::Warn, &format!("everything is stopped{since} by {}: {}", stop.by, stop.why)));
    }
    if all.is_empty() {
        output.say("there is nothing to do");
        return Ok(Exit::Ok);
    }
    let rows: Vec<_> = all.iter().map(row).collect();
    output.table(&[("work", 24, 44), ("when (UTC)", 16, 16), ("state", 8, 20), ("why", 20, 80)], &rows);
    Ok(Exit::Ok)
}

fn row(work: &Work) -> Vec<(String, Tone)> {
    let (state, tone) = match (work.parked, work.taken_until) {
        (Some(_), _) => ("parked".to_owned(), Tone::Alarm),
        (None, Some(_)) => ("taken up".to_owned(), Tone::Good),
        (None, None) if work.attempts > 0 => (format!("{} tried", counted_times(work.attempts)), Tone::Warn),
        (None, None) => ("waits".to_owned(), Tone::Plain),
    };
    vec![
        (work.key.clone(), Tone::Plain),
        (work.due.strftime("%Y-%m-%d %H:%M").to_string(), Tone::Dim),
        (state, tone),
        (work.why.clone().unwrap_or_default(), Tone::Plain),
    ]
}

fn counted_times(times: u32) -> String {
    if times == 1 { "once".to_owned() } else { format!("{times} times") }
}

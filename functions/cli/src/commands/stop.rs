//! `amend stop` and `amend resume`: the switch that ends all writing, and lets it go on.

use amend_domain::work::Stop;
use amend_pipeline::Config;
use amend_store::Store as _;
use serde_json::json;

use crate::{
    args::Format,
    failure::{Exit, Failure},
    output::{Output, Tone},
    setup,
};

/// Runs `amend stop`.
pub async fn stop(why: &str, config: &Config, output: Output) -> Result<Exit, Failure> {
    let store = setup::existing_store(config).await?;
    let at = setup::now();
    let holds = store.stop(&Stop { by: config.who.name().into(), at, why: why.into() }).await?;
    if output.format() == Format::Json {
        output.json(&json!({ "stopped": holds }))?;
    } else {
        let when = holds.at.strftime("%Y-%m-%d %H:%M UTC");
        let word = if holds.at == at { "is stopped" } else { "was stopped already" };
        let line = format!("everything {word} since {when} by {}: {}", holds.by, holds.why);
        output.say(&format!("the store: {}", config.store));
        output.say(&output.toned(Tone::Alarm, &line));
        output.say("No call that writes is sent any more, undoing included. `amend resume` lets it go on.");
    }
    Ok(Exit::Ok)
}

/// Runs `amend resume`.
pub async fn resume(config: &Config, output: Output) -> Result<Exit, Failure> {
    // The configuration may stop it, too; then others are not let go on either.
    if config.stopped {
        let hint = "take `stopped: true` out of amend.yaml, or AMEND__STOPPED out of the environment";
        return Err(Failure {
            exit: Exit::No,
            ..Failure::new("the configuration stops everything: the switch stays as it is", None, Some(hint))
        });
    }
    let store = setup::existing_store(config).await?;
    let was = store.resume(config.somebody()?, setup::now()).await?;
    if output.format() == Format::Json {
        output.json(&json!({ "was": was }))?;
        return Ok(Exit::Ok);
    }
    match was {
        Some(stop) => output.say(&format!("everything goes on; it was stopped by {}: {}", stop.by, stop.why)),
        None => output.say("nothing was stopped"),
    }
    Ok(Exit::Ok)
}

//! `amend remediations`: what was fixed and undone.

use amend_domain::plan::{MadeOutcome, Remediation, State};
use amend_pipeline::Config;
use amend_store::Store as _;

use crate::{
    args::{self, Format},
    commands::{explain, fix, plan},
    failure::{Exit, Failure},
    output::{Output, Tone},
    setup,
};

/// Runs the command.
pub async fn run(arguments: &args::Remediations, config: &Config, output: Output) -> Result<Exit, Failure> {
    if let Some(id) = &arguments.id {
        let fixer = setup::fixer(config, output).await?;
        return one(&fixer.remediation(id).await?, output);
    }
    if arguments.resume {
        return resume(config, output).await;
    }
    if let Some(state) = arguments.state.as_deref().filter(|state| !State::WORDS.contains(state)) {
        let hint = format!("one of {}", State::WORDS.join(", "));
        return Err(Failure::new(format!("`{state}` is no state"), None, Some(&hint)));
    }
    let store = setup::store(config).await?;
    let resource = arguments.resource.as_deref().map(amend_domain::ResourceId::new);
    let resource = resource.as_ref().map(amend_domain::ResourceId::as_str);
    let all = store.remediations(resource, arguments.state.as_deref(), arguments.limit).await?;
    if output.format() == Format::Json {
        output.json(&all)?;
        return Ok(Exit::Ok);
    }
    if all.is_empty() {
        output.say("nothing was fixed yet");
        return Ok(Exit::Ok);
    }
    let rows: Vec<_> = all
        .iter()
        .map(|r| {
            vec![
                (r.id.to_string(), Tone::Plain),
                (r.changed.strftime("%Y-%m-%d %H:%M").to_string(), Tone::Dim),
                (r.plan.fix.to_string(), Tone::Plain),
                (r.plan.at.resource.to_string(), Tone::Plain),
                (r.state.as_str().to_owned(), tone(r.state)),
                (r.by.to_string(), Tone::Plain),
            ]
        })
        .collect();
    output.table(
        &[
            ("id", 30, 30),
            ("when (UTC)", 16, 16),
            ("fix", 20, 34),
            ("resource", 24, 60),
            ("state", 8, 12),
            ("by", 8, 24),
        ],
        &rows,
    );
    Ok(Exit::Ok)
}

/// Goes on with what was interrupted.
async fn resume(config: &Config, output: Output) -> Result<Exit, Failure> {
    let fixer = setup::fixer(config, output).await?;
    let mut done = Vec::new();
    for state in [State::Planned, State::Applying, State::Applied, State::Undoing] {
        for mut remediation in fixer.store().remediations(None, Some(state.as_str()), 10_000).await? {
            fix::go_on(&fixer, &mut remediation).await?;
            done.push(remediation);
        }
    }
    if done.is_empty() {
        output.say("nothing was interrupted");
    }
    fix::finish(&done, output)
}

fn one(r: &Remediation, output: Output) -> Result<Exit, Failure> {
    if output.format() == Format::Json {
        output.json(r)?;
        return Ok(Exit::Ok);
    }
    let rule = r.rule.as_ref().map_or_else(String::new, |rule| format!("rule {rule}"));
    plan::print(&r.plan, &rule, true, output);
    explain::checks(&r.checks, output);
    if let Some(answer) = &r.answer {
        let word = if answer.approved { "approved" } else { "denied" };
        output.say(&format!("{word} by {}, {}", answer.by, answer.at.strftime("%Y-%m-%d %H:%M UTC")));
    }
    output.heading("what was done");
    for made in &r.made {
        let (word, tone) = match &made.outcome {
            MadeOutcome::Sent => ("sent; no answer".to_owned(), Tone::Warn),
            MadeOutcome::Accepted => ("accepted".to_owned(), Tone::Good),
            MadeOutcome::Refused { why } => (format!("refused: {why}"), Tone::Alarm),
        };
        let undo = if made.undo { "undo " } else { "" };
        output.say(&format!(
            "  {}  {undo}{}  {}",
            made.at.strftime("%Y-%m-%d %H:%M:%S"),
            made.call,
            output.toned(tone, &word)
        ));
    }
    fix::finish(std::slice::from_ref(r), output).map(|_| Exit::Ok)
}

fn tone(state: State) -> Tone {
    match state {
        State::Set | State::Healthy | State::Undone => Tone::Good,
        State::Observed => Tone::Plain,
        State::Failed | State::Blocked | State::Parked => Tone::Alarm,
        State::AwaitingApproval
        | State::Planned
        | State::Applying
        | State::Applied
        | State::Undoing
        | State::Superseded => Tone::Warn,
    }
}

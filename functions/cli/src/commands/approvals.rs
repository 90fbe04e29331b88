//! `amend approvals`, `amend approve`, `amend deny`: plans that a person is asked about.

use amend_domain::plan::{Remediation, State};
use amend_pipeline::{Config, advance::Answered};
use amend_store::Store as _;

use crate::{
    args::Format,
    commands::{explain, plan},
    failure::{Exit, Failure},
    output::{Output, Tone},
    setup,
};

/// Runs `amend approvals`.
pub async fn run(id: Option<&str>, config: &Config, output: Output) -> Result<Exit, Failure> {
    let store = setup::store(config).await?;
    let mut all = store.remediations(None, Some(State::AwaitingApproval.as_str()), 1_000).await?;
    if let Some(id) = id {
        all.retain(|r| r.id.starts_with(id));
        if all.is_empty() {
            let hint = "`amend approvals` lists them";
            return Err(Failure::new(format!("no plan `{id}` awaits approval"), None, Some(hint)));
        }
    }
    if output.format() == Format::Json {
        output.json(&all)?;
        return Ok(Exit::Ok);
    }
    if all.is_empty() {
        output.say("nothing awaits approval");
        return Ok(Exit::Ok);
    }
    if id.is_some() {
        all.iter().for_each(|r| show(r, output));
        return Ok(Exit::Ok);
    }
    let rows: Vec<_> = all
        .iter()
        .map(|r| {
            let until = r.until.map_or_else(String::new, |until| until.strftime("%Y-%m-%d %H:%M").to_string());
            let rule = r.rule.as_ref().map(ToString::to_string).unwrap_or_default();
            vec![
                (r.id.to_string(), Tone::Plain),
                (r.plan.title.to_string(), Tone::Plain),
                (r.plan.at.resource.short_name().to_owned(), Tone::Plain),
                (rule, Tone::Plain),
                (short(r), Tone::Plain),
                (until, Tone::Dim),
            ]
        })
        .collect();
    output.table(
        &[
            ("id", 30, 30),
            ("what", 24, 60),
            ("resource", 16, 40),
            ("rule", 8, 24),
            ("plan", 12, 12),
            ("until (UTC)", 16, 16),
        ],
        &rows,
    );
    output.say("`amend approvals ID` shows a plan in full.");
    Ok(Exit::Ok)
}

/// As much of a plan's digest as an answer needs to name, and some more.
fn short(r: &Remediation) -> String {
    r.plan.digest.trim_start_matches("sha256:").chars().take(12).collect()
}

/// A plan, and how to answer.
fn show(r: &Remediation, output: Output) {
    let rule = r.rule.as_ref().map_or_else(String::new, |rule| format!("rule {rule}"));
    plan::print(&r.plan, &rule, true, output);
    explain::checks(&r.checks, output);
    let short = short(r);
    output.say(&format!(
        "approve it with `amend approve {} --plan {short}`, deny it with `amend deny {} --plan {short} --why …`",
        r.id, r.id
    ));
}

/// Runs `amend approve` and `amend deny`.
pub async fn answer(
    id: &str,
    plan: &str,
    why_not: Option<String>,
    config: &Config,
    output: Output,
) -> Result<Exit, Failure> {
    let fixer = setup::fixer(config, output).await?;
    let r = fixer.answer(id, plan, &Answered { by: config.who.clone(), why_not }).await?;
    if output.format() == Format::Json {
        output.json(&r)?;
        return Ok(Exit::Ok);
    }
    if r.state == State::Planned {
        output.say(&match fixer.store().stopped().await? {
            Some(stop) => format!(
                "{} is approved. Everything is stopped by {} ({}): it is done as soon as that ends",
                r.id, stop.by, stop.why
            ),
            None => format!("{} is approved; a running `amend serve`, or `amend sweep`, does it now", r.id),
        });
        if config.remediate.most.is_none() {
            output.note(&output.toned(Tone::Warn, "nothing is done by itself here: `remediate.most` is off"));
        }
    } else {
        output.say(&format!("{} is denied; nothing is done", r.id));
    }
    Ok(Exit::Ok)
}

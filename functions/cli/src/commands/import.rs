//! `amend import`: records a saved export, or Defender's own list. Nothing is started for what it brings.

use std::path::Path;

use amend_domain::ScopeId;
use amend_pipeline::{
    Config, Pipeline,
    accept::Counts,
    import::ImportError,
    live_import::{Imported, LiveError},
};
use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    args::{self, Format},
    failure::{Exit, Failure},
    output::{Output, Tone, counted},
    setup,
};

/// Runs the command.
pub async fn run(arguments: &args::Import, config: &Config, output: Output) -> Result<Exit, Failure> {
    match &arguments.file {
        Some(file) => saved(file, config, output).await,
        None => live(arguments, config, output).await,
    }
}

async fn saved(file: &Path, config: &Config, output: Output) -> Result<Exit, Failure> {
    let pipeline = setup::pipeline_with(config, &setup::clouds(config, output)?, output).await?;
    let body = setup::read_bytes(file)?;
    let bar = bar("importing {bar:30} {pos}/{len} ({eta})", output);
    let imported = pipeline
        .import(&body, |done, total| {
            bar.set_length(total);
            bar.set_position(done);
        })
        .await;
    let waiting = finish(&pipeline, &bar).await?;
    let counts = imported.map_err(|error| match error {
        ImportError::Refused(refused) => {
            Failure::new(format!("{} is refused", file.display()), Some(Box::new(refused)), None)
        }
        ImportError::Pipeline(error) => Failure::from(error),
    })?;
    if output.format() == Format::Json {
        output.json(&counts)?;
    } else {
        say(counts, waiting, output);
    }
    Ok(exit(counts, true))
}

async fn live(arguments: &args::Import, config: &Config, output: Output) -> Result<Exit, Failure> {
    let scopes = arguments.scope.iter().map(|text| scope(text)).collect::<Result<Vec<_>, _>>()?;
    let cloud = setup::clouds(config, output)?;
    let pipeline = setup::pipeline_with(config, &cloud, output).await?;
    let bar = bar("importing {bar:30} {pos}/{len} subscriptions, {msg} ({eta})", output);
    bar.set_message("asking Azure which");
    let imported = pipeline
        .import_live(&*cloud, &scopes, arguments.restart, |progress| {
            bar.set_length(u64::try_from(progress.of).unwrap_or(u64::MAX));
            bar.set_position(u64::try_from(progress.done).unwrap_or(u64::MAX));
            let records = usize::try_from(progress.records).unwrap_or(usize::MAX);
            bar.set_message(format!("{}, now in {}", counted(records, "record"), progress.subscription.name));
        })
        .await;
    let waiting = finish(&pipeline, &bar).await?;
    let Imported { counts, subscriptions, read_before, failed } = match imported {
        Ok(imported) if output.format() == Format::Json => {
            output.json(&imported)?;
            return Ok(exit(imported.counts, imported.failed.is_empty()));
        }
        Ok(imported) => imported,
        Err(LiveError::Pipeline(error)) => return Err(error.into()),
        Err(error) => {
            let (message, hint) = (error.to_string(), error.hint());
            let cause = std::error::Error::source(&error).map(|source| setup::whole(source).into());
            return Err(Failure::new(message, cause, hint));
        }
    };
    let before = if read_before == 0 {
        String::new()
    } else {
        format!(", {read_before} read before by an import that was stopped (`--restart` reads them again)")
    };
    output.say(&format!("{} read{before}", counted(subscriptions, "subscription")));
    say(counts, waiting, output);
    if !failed.is_empty() {
        let line = format!("{} could not be read:", counted(failed.len(), "subscription"));
        output.note(&output.toned(Tone::Alarm, &line));
        for one in &failed {
            output.note(&format!("  {} ({}): {}", one.name, one.subscription, one.why));
        }
        output.note("  hint: run it again: it reads only these");
    }
    Ok(exit(counts, failed.is_empty()))
}

fn exit(counts: Counts, all_read: bool) -> Exit {
    if all_read && counts.unreadable == 0 { Exit::Ok } else { Exit::No }
}

/// A subscription or management group, as people write it: an id with its path, or a subscription's alone.
fn scope(text: &str) -> Result<ScopeId, Failure> {
    let plain = text.len() == 36 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let whole = if plain { format!("/subscriptions/{text}") } else { text.to_owned() };
    ScopeId::parse(&whole).map_err(|error| {
        let hint = "write `/subscriptions/<id>` or `/providers/Microsoft.Management/managementGroups/<name>`";
        Failure::new(error.to_string(), None, Some(hint))
    })
}

fn bar(template: &str, output: Output) -> ProgressBar {
    let bar = match output.format() {
        Format::Human => ProgressBar::new(0),
        Format::Plain | Format::Json => ProgressBar::hidden(),
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// Decides what lacked facts, with those that there are now. Returns how many problems still do.
async fn finish(pipeline: &Pipeline, bar: &ProgressBar) -> Result<usize, Failure> {
    bar.finish_and_clear();
    Ok(pipeline.retry_undetermined().await?.waiting)
}

fn say(counts: Counts, waiting: usize, output: Output) {
    output.say(&format!(
        "findings: {} new, {} changed, {} known already, {} out of date; records: {} set aside, {} unreadable and kept",
        counts.new, counts.updated, counts.duplicate, counts.stale, counts.set_aside, counts.unreadable
    ));
    if waiting > 0 {
        let lack = if waiting == 1 { "lacks" } else { "lack" };
        output.say(&format!("{} {lack} facts: `amend explain` says which, and why.", counted(waiting, "problem")));
    }
    output.say("Nothing was started: `amend backlog` counts what waits.");
}

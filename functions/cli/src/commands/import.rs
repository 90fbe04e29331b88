//! `amend import`: records a saved export. Nothing is started for what it brings.

use std::path::Path;

use amend_pipeline::{Config, import::ImportError};
use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    args::Format,
    failure::{Exit, Failure},
    output::Output,
    setup,
};

/// Runs the command.
pub async fn run(file: &Path, config: &Config, output: Output) -> Result<Exit, Failure> {
    let pipeline = setup::pipeline(config, output).await?;
    let body = setup::read_bytes(file)?;
    let bar = match output.format() {
        Format::Human => ProgressBar::new(0),
        Format::Plain | Format::Json => ProgressBar::hidden(),
    };
    if let Ok(style) = ProgressStyle::with_template("importing {bar:30} {pos}/{len} ({eta})") {
        bar.set_style(style);
    }
    let imported = pipeline
        .import(&body, |done, total| {
            bar.set_length(total);
            bar.set_position(done);
        })
        .await;
    bar.finish_and_clear();
    pipeline.retry_undetermined().await?;
    let counts = imported.map_err(|error| match error {
        ImportError::Refused(refused) => {
            Failure::new(format!("{} is refused", file.display()), Some(Box::new(refused)), None)
        }
        ImportError::Pipeline(error) => Failure::from(error),
    })?;
    if output.format() == Format::Json {
        output.json(&counts)?;
    } else {
        output.say(&format!(
            "findings: {} new, {} changed, {} known already, {} out of date; records: {} set aside, {} unreadable and kept",
            counts.new, counts.updated, counts.duplicate, counts.stale, counts.set_aside, counts.unreadable
        ));
        output.say("Nothing was started: `amend backlog` counts what waits.");
    }
    Ok(if counts.unreadable == 0 { Exit::Ok } else { Exit::No })
}

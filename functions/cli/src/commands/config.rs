//! `amend config`: checks and explains the configuration.

use std::path::Path;

use amend_pipeline::config;

use crate::{
    args::{ConfigCommand, Format},
    failure::{Exit, Failure},
    output::{Output, Tone},
    setup,
};

/// Runs the command.
pub fn run(command: &ConfigCommand, path: Option<&Path>, output: Output) -> Result<Exit, Failure> {
    if matches!(command, ConfigCommand::Schema) {
        output.json(&config::json_schema())?;
        return Ok(Exit::Ok);
    }
    let config = setup::config(path, output)?;
    if matches!(command, ConfigCommand::Check) {
        // The files it names are part of it.
        let decider = setup::decider(&config, output)?;
        setup::warn_of_unheard(decider.rules(), &config, output);
        if output.format() == Format::Json {
            output.json(&serde_json::json!({ "ok": true }))?;
        } else {
            output.say("the configuration is fine");
        }
        return Ok(Exit::Ok);
    }
    if output.format() == Format::Json {
        output.json(&config.options)?;
        return Ok(Exit::Ok);
    }
    let columns = [("option", 12, 28), ("value", 10, 36), ("from", 8, 28), ("what it is for", 20, 70)];
    let rows: Vec<_> = config
        .options
        .iter()
        .map(|option| {
            let from = if option.from == "default" { Tone::Dim } else { Tone::Plain };
            vec![
                (option.name.clone(), Tone::Plain),
                (option.value.clone(), from),
                (option.from.clone(), from),
                (option.doc.to_owned(), Tone::Dim),
            ]
        })
        .collect();
    output.table(&columns, &rows);
    Ok(Exit::Ok)
}

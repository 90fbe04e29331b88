//! `amend store`: where Amend remembers, and the tables there.

use amend_pipeline::Config;
use amend_store::{Database, Keys};
use serde_json::json;

use crate::{
    args::{Format, StoreCommand},
    failure::{Exit, Failure},
    output::{Output, Tone, counted},
    setup,
};

/// Runs the command.
pub async fn run(command: Option<&StoreCommand>, config: &Config, output: Output) -> Result<Exit, Failure> {
    match command {
        None => status(config, output).await,
        Some(StoreCommand::Migrate) => migrate(config, output).await,
        Some(StoreCommand::Key) => key(output),
        Some(StoreCommand::Seal) => seal(config, output).await,
    }
}

/// Says what is there. The answer is no, where this version cannot use it.
async fn status(config: &Config, output: Output) -> Result<Exit, Failure> {
    let status = Database::status(&config.store).await?;
    // A file is made, and brought forward, when it is opened.
    let file = matches!(config.store, amend_store::Place::File(_));
    let fine = status.schema == status.needs || file && status.schema < status.needs;
    if output.format() == Format::Json {
        output.json(&status)?;
    } else {
        let schema = match status.schema {
            0 => "none yet".to_owned(),
            version if version == status.needs => format!("version {version}"),
            version => format!("version {version}; this version of amend needs {}", status.needs),
        };
        let tone = if fine { Tone::Plain } else { Tone::Warn };
        output.table(
            &[("store", 20, 60), ("kept by", 12, 30), ("tables", 10, 60)],
            &[vec![(status.place, Tone::Plain), (status.engine, Tone::Plain), (schema, tone)]],
        );
        if !fine && status.schema < status.needs {
            output.note("\nmake them, or bring them forward: amend store migrate");
        }
    }
    Ok(if fine { Exit::Ok } else { Exit::No })
}

/// Prints a new key: data, for a file or a vault.
pub fn key(output: Output) -> Result<Exit, Failure> {
    let key = Keys::generate()?;
    match output.format() {
        Format::Json => output.json(&json!({ "key": key }))?,
        _ => output.line(&key),
    }
    Ok(Exit::Ok)
}

async fn seal(config: &Config, output: Output) -> Result<Exit, Failure> {
    let Some(name) = config.store_keys.names().next() else {
        let hint = "make one with `amend store key`, keep it safe, and give it as AMEND__STORE__KEYS";
        return Err(Failure::new("there is no key to seal with", None, Some(hint)));
    };
    let sealed = setup::store(config).await?.reseal().await?;
    if output.format() == Format::Json {
        output.json(&json!({ "sealed": sealed, "key": name }))?;
    } else {
        let count = usize::try_from(sealed).unwrap_or(usize::MAX);
        output.say(&match count {
            0 => format!("every remediation is sealed with key {name} already"),
            _ => format!("{} sealed anew; every one is sealed with key {name} now", counted(count, "remediation")),
        });
    }
    Ok(Exit::Ok)
}

async fn migrate(config: &Config, output: Output) -> Result<Exit, Failure> {
    let (was, is) = Database::migrate(&config.store).await?;
    if output.format() == Format::Json {
        output.json(&json!({ "store": config.store.to_string(), "was": was, "is": is }))?;
        return Ok(Exit::Ok);
    }
    let place = &config.store;
    output.say(&match was {
        0 => format!("made the tables in {place} (version {is})"),
        was if was == is => format!("the tables in {place} are those of this version already (version {is})"),
        was => format!("brought the tables in {place} from version {was} to version {is}"),
    });
    Ok(Exit::Ok)
}

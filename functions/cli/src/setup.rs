//! From arguments to the parts of a service: each command opens what it needs.

use std::{
    path::Path,
    sync::{Arc, OnceLock},
};

use amend_catalog::{Catalogue, Mistakes, SourceText, facts_file::FactsFile};
use amend_cloud::{Cloud, Clouds};
use amend_connect::{Channel, Tracker};
use amend_domain::{RuleSet, ports::Clock as _};
use amend_pipeline::{
    Config, Decider, Pipeline, fixer::Fixer, notices::Herald, sync::Syncer, system::SystemClock, tickets::Desk,
};
use amend_service::{Tell, files, log, parts};
use amend_store::{Database, Place, Tickets};

pub use amend_service::whole;

use crate::{
    failure::Failure,
    output::{Output, Tone},
};

impl Tell for Output {
    fn mistakes(&self, mistakes: &Mistakes) {
        Self::mistakes(*self, mistakes);
    }

    fn warn(&self, text: &str) {
        self.note(&self.toned(Tone::Warn, &format!("warning: {text}")));
    }
}

/// Reads a text file, or standard input where the path is `-`.
pub fn read_text(path: &Path) -> Result<SourceText, Failure> {
    let bytes = read_bytes(path)?;
    Ok(files::text_of(&path.display().to_string(), bytes)?)
}

/// Writes a file that is its owner's alone.
pub fn write_private(path: &Path, text: &str) -> Result<(), Failure> {
    use std::io::Write as _;
    let fail =
        |error: std::io::Error| Failure::new(format!("cannot write {}", path.display()), Some(Box::new(error)), None);
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).and_then(|mut file| file.write_all(text.as_bytes())).map_err(fail)
}

/// Reads a file, or standard input where the path is `-`.
pub fn read_bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    use std::io::Read as _;
    let fail =
        |error: std::io::Error| Failure::new(format!("cannot read {}", path.display()), Some(Box::new(error)), None);
    if path.as_os_str() == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).map_err(fail)?;
        return Ok(bytes);
    }
    std::fs::read(path).map_err(fail)
}

/// Reads a configuration: the file named, else ./amend.yaml if it is there; and the environment.
pub fn config(path: Option<&Path>, output: Output) -> Result<Config, Failure> {
    let default = Path::new("amend.yaml");
    let path = path.or_else(|| default.exists().then_some(default));
    Ok(files::config(path, &output)?)
}

/// The rule files of a configuration; the starter rules where it names none.
pub fn rule_files(config: &Config) -> Result<Vec<SourceText>, Failure> {
    Ok(files::rule_files(config)?)
}

/// The facts of a configuration.
pub fn facts(config: &Config) -> Result<FactsFile, Failure> {
    Ok(files::facts(config)?)
}

/// The files of a user's own fixes.
pub fn own_fixes(config: &Config) -> Result<Vec<SourceText>, Failure> {
    Ok(files::own_fixes(config)?)
}

/// The fixes: those that ship with Amend, and those of the configuration. They are read once.
pub fn catalogue(config: &Config, output: Output) -> Result<Arc<Catalogue>, Failure> {
    static READ: OnceLock<Arc<Catalogue>> = OnceLock::new();
    if let Some(read) = READ.get() {
        return Ok(Arc::clone(read));
    }
    let read = files::catalogue(config, &output)?;
    Ok(Arc::clone(READ.get_or_init(|| read)))
}

/// The clouds, as configured, some accounts through executors. Says so where they are not those that they seem to be.
pub fn clouds(config: &Config, output: Output) -> Result<Arc<dyn Cloud>, Failure> {
    Ok(parts::reached(config, parts::clouds(config, &output))?)
}

/// The same, each of them by itself.
pub fn all_clouds(config: &Config, output: Output) -> Arc<Clouds> {
    parts::clouds(config, &output)
}

/// The store, as configured.
pub async fn store(config: &Config) -> Result<Database, Failure> {
    Ok(parts::store(config).await?)
}

/// The store, which must be there: in a new one nothing is held or stopped that anybody does, and nothing is known.
pub async fn existing_store(config: &Config) -> Result<Database, Failure> {
    if let Place::File(path) = &config.store
        && !path.exists()
    {
        let hint = "run it where amend.yaml is, or name that with `--config`";
        return Err(Failure::new(format!("there is no store at {}", path.display()), None, Some(hint)));
    }
    store(config).await
}

/// What files problems in tickets, and tells trackers of them.
pub async fn desk(config: &Config, output: Output) -> Result<Desk, Failure> {
    Ok(parts::desk(config, Arc::new(store(config).await?), catalogue(config, output)?)?)
}

/// What tells systems what became of the problems that come from them.
pub async fn syncer(config: &Config, clouds: Arc<Clouds>, output: Output) -> Result<Syncer, Failure> {
    Ok(parts::syncer(config, Arc::new(store(config).await?), clouds, &*catalogue(config, output)?)?)
}

/// What sends notices.
pub async fn herald(config: &Config) -> Result<Herald, Failure> {
    Ok(parts::herald(config, Arc::new(store(config).await?))?)
}

/// Says whom rules notify who cannot be told as it is configured.
pub fn warn_of_unheard(rules: &RuleSet, config: &Config, output: Output) {
    parts::warn_of_unheard(rules, config, &output);
}

/// The channels, by name.
pub fn channels(config: &Config) -> Result<std::collections::BTreeMap<String, Channel>, Failure> {
    Ok(parts::channels(config)?)
}

/// The trackers, by name: Amend's own, and those of the configuration.
pub fn trackers(
    config: &Config,
    tickets: &Arc<dyn Tickets>,
) -> Result<std::collections::BTreeMap<String, Arc<dyn Tracker>>, Failure> {
    Ok(parts::trackers(config, tickets)?)
}

/// The time.
pub fn now() -> jiff::Timestamp {
    SystemClock.now()
}

/// What plans and fixes, as configured.
pub async fn fixer(config: &Config, output: Output) -> Result<Fixer, Failure> {
    let store = Arc::new(store(config).await?);
    Ok(parts::fixer(config, store, clouds(config, output)?, catalogue(config, output)?))
}

/// What decides, as configured.
pub fn decider(config: &Config, output: Output) -> Result<Decider, Failure> {
    decider_of(config, rule_files(config)?, facts(config)?, output)
}

/// What decides, with these rules and facts.
pub fn decider_of(
    config: &Config,
    rule_files: Vec<SourceText>,
    facts: FactsFile,
    output: Output,
) -> Result<Decider, Failure> {
    Ok(parts::decider(config, rule_files, facts, catalogue(config, output)?, &output)?)
}

/// Everything but the clouds, as configured.
pub async fn pipeline(config: &Config, output: Output) -> Result<Pipeline, Failure> {
    pipeline_of(config, decider(config, output)?).await
}

/// Everything, as configured: what is decided may be looked up in the clouds.
pub async fn pipeline_with(config: &Config, clouds: &Arc<dyn Cloud>, output: Output) -> Result<Pipeline, Failure> {
    let pipeline = pipeline(config, output).await?;
    Ok(match parts::lookup(config, clouds) {
        Some(lookup) => pipeline.with_lookup(lookup),
        None => pipeline,
    })
}

/// Everything, with this way to decide.
pub async fn pipeline_of(config: &Config, decider: Decider) -> Result<Pipeline, Failure> {
    Ok(parts::pipeline(decider, Arc::new(store(config).await?)).await?)
}

/// Starts the log, on standard error.
pub fn start_log(config: &Config) {
    let colour = anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(log::filter(&config.log_level))
        .with_writer(std::io::stderr)
        .with_ansi(colour)
        .with_target(false);
    // A second start (in tests) keeps the first log.
    let _ = if config.log_json { builder.json().try_init() } else { builder.try_init() };
}

//! From arguments to a pipeline: reading files, opening the store, starting the log.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use amend_catalog::{Catalogue, SourceText, facts_file, facts_file::FactsFile, owners_file, starter_rules};
use amend_cloud::{Cloud, CloudFacts, Clouds, aws::Aws, azure::Azure, gcp::Gcp};
use amend_connect::{Channel, GitHub, Jira, Local, Mailer, ServiceNow, Tracker, Webhook, local};
use amend_domain::{RuleSet, notice::Whom, owners::Owners, ports::Clock as _, work::Stop};
use amend_pipeline::{
    Config, Decider, Lookup, Pipeline, config,
    config::{
        connectors::{Connector, To},
        notices::ChannelAt,
    },
    decider,
    fixer::Fixer,
    notices::{Herald, Ways},
    sync::{Authority, Syncer},
    system::{SystemClock, UlidIds},
    tickets::Desk,
};
use amend_store::{BY_CONFIGURATION, Database, Place, Tickets};

use crate::{
    failure::Failure,
    output::{Output, Tone},
};

/// Reads a text file, or standard input where the path is `-`.
pub fn read_text(path: &Path) -> Result<SourceText, Failure> {
    let bytes = read_bytes(path)?;
    let name = path.display().to_string();
    let hint = "amend reads UTF-8";
    String::from_utf8(bytes).map(|text| SourceText::new(&name, text)).map_err(|error| {
        Failure::new(format!("cannot read {name}: it is not UTF-8"), Some(Box::new(error.utf8_error())), Some(hint))
    })
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

/// Reads the configuration: the file named, else ./amend.yaml if it is there; and the environment.
pub fn config(path: Option<&Path>, output: Output) -> Result<Config, Failure> {
    let default = Path::new("amend.yaml");
    let path = path.or_else(|| default.exists().then_some(default));
    let file = path.map(read_text).transpose()?;
    let folder = path.and_then(Path::parent).map_or_else(PathBuf::new, Path::to_path_buf);
    let (config, warnings) = config::load(file.as_ref(), &folder, &config::environment(), now())
        .map_err(|mistakes| Failure::mistakes("the configuration cannot be used", mistakes))?;
    output.mistakes(&warnings);
    Ok(config)
}

/// The rule files of a configuration; the starter rules where it names none.
pub fn rule_files(config: &Config) -> Result<Vec<SourceText>, Failure> {
    if config.rules.is_empty() {
        return Ok(vec![starter_rules()]);
    }
    config.rules.iter().map(|path| read_text(path)).collect()
}

/// The facts of a configuration.
pub fn facts(config: &Config) -> Result<FactsFile, Failure> {
    let Some(path) = &config.facts else { return Ok(FactsFile::default()) };
    let file = read_text(path)?;
    // The facts are as old as the file.
    let written = std::fs::metadata(path).and_then(|about| about.modified()).ok();
    let read = written.and_then(|time| jiff::Timestamp::try_from(time).ok()).unwrap_or_else(|| SystemClock.now());
    facts_file::load(&file, read).map_err(|mistakes| Failure::mistakes("the facts cannot be used", mistakes))
}

/// Who is who, as configured.
pub fn owners(config: &Config) -> Result<Arc<Owners>, Failure> {
    let Some(path) = &config.owners else { return Ok(Arc::default()) };
    let file = read_text(path)
        .map_err(|failure| Failure { hint: Some("amend.yaml names it as `owners`".into()), ..failure })?;
    // It is named in decisions: by its name, not by where it is on this machine.
    let name = path.file_name().map_or(file.name, |name| name.to_string_lossy().into_owned());
    let owners = owners_file::load(&SourceText::new(name, file.text));
    owners.map(Arc::new).map_err(|mistakes| Failure::mistakes("the file of owners cannot be used", mistakes))
}

/// The files of a user's own fixes.
pub fn own_fixes(config: &Config) -> Result<Vec<SourceText>, Failure> {
    let Some(folder) = &config.fix_folder else { return Ok(Vec::new()) };
    let fail = |error: std::io::Error| {
        let hint = "check `fixes.folder` in amend.yaml";
        Failure::new(format!("cannot read the folder {}", folder.display()), Some(Box::new(error)), Some(hint))
    };
    let mut paths = Vec::new();
    let mut folders = vec![folder.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            let about = std::fs::metadata(&path).map_err(fail)?;
            if about.is_dir() {
                folders.push(path);
            } else if about.is_file() && path.extension().is_some_and(|end| end == "yaml" || end == "yml") {
                paths.push(path);
            }
        }
    }
    paths.sort();
    paths.iter().map(|path| read_text(path)).collect()
}

/// The fixes: those that ship with Amend, and those of the configuration. They are read once.
pub fn catalogue(config: &Config, output: Output) -> Result<Arc<Catalogue>, Failure> {
    static READ: OnceLock<Arc<Catalogue>> = OnceLock::new();
    if let Some(read) = READ.get() {
        return Ok(Arc::clone(read));
    }
    let read = read_catalogue(config, output)?;
    Ok(Arc::clone(READ.get_or_init(|| read)))
}

fn read_catalogue(config: &Config, output: Output) -> Result<Arc<Catalogue>, Failure> {
    let loaded = Catalogue::load(&Catalogue::shipped(), &own_fixes(config)?);
    let (catalogue, warnings) = loaded.map_err(|mistakes| Failure::mistakes("the fixes cannot be used", mistakes))?;
    output.mistakes(&warnings);
    match &config.fix_digest {
        // INVARIANT: a pinned catalogue is used as it was pinned, or not at all.
        Some(pinned) if pinned != catalogue.digest() => {
            let message = format!("the fixes are not those that are pinned: their digest is {}", catalogue.digest());
            Err(Failure::new(message, None, Some("look at what changed, then set `fixes.digest` in amend.yaml to it")))
        }
        _ => Ok(Arc::new(catalogue)),
    }
}

/// The clouds, as configured. Says so where they are not those that they seem to be.
pub fn clouds(config: &Config, output: Output) -> Arc<dyn Cloud> {
    all_clouds(config, output)
}

/// The same, each of them by itself.
pub fn all_clouds(config: &Config, output: Output) -> Arc<Clouds> {
    for (cloud, endpoint) in [
        ("AWS", &config.aws.dangerous_endpoint),
        ("Azure", &config.azure.dangerous_endpoint),
        ("Google Cloud", &config.gcp.dangerous_endpoint),
    ] {
        if let Some(endpoint) = endpoint {
            output.note(&output.toned(Tone::Warn, &format!("warning: every call to {cloud} goes to {endpoint}")));
        }
    }
    Arc::new(Clouds {
        aws: Aws::new(config.aws.clone()),
        azure: Azure::new(config.azure.clone()),
        gcp: Gcp::new(config.gcp.clone()),
    })
}

/// The store, as configured.
pub async fn store(config: &Config) -> Result<Database, Failure> {
    let store = Database::open(&config.store).await?.with_keys(config.store_keys.clone());
    let store = store.with_systems(config.systems.in_use());
    Ok(match config.stopped {
        true => store.with_stop(Stop { by: BY_CONFIGURATION.into(), at: now(), why: "`stopped: true`".into() }),
        false => store,
    })
}

/// What files problems in tickets, and tells trackers of them.
pub async fn desk(config: &Config, output: Output) -> Result<Desk, Failure> {
    let store = Arc::new(store(config).await?);
    let tickets: Arc<dyn Tickets> = Arc::clone(&store) as Arc<dyn Tickets>;
    let trackers = trackers(config, &tickets)?;
    let clock = Arc::new(SystemClock);
    let catalogue = catalogue(config, output)?;
    let desk = Desk::new(store, tickets, trackers, catalogue, clock, &UlidIds::default());
    let desk = desk.with_routes(config.routes.clone()).with_budget(config.tickets);
    Ok(if config.systems.defender == Some(Authority::Defender) { desk.asking_defender() } else { desk })
}

/// What tells systems what became of the problems that come from them.
pub async fn syncer(config: &Config, clouds: Arc<Clouds>, output: Output) -> Result<Syncer, Failure> {
    let store = Arc::new(store(config).await?);
    let syncs = Arc::clone(&store);
    let settings = catalogue(config, output)?.settings();
    let settings = settings.map_err(|mistakes| Failure::mistakes("the fixes cannot be used", mistakes))?;
    let clock = Arc::new(SystemClock);
    let syncer = Syncer::new(store, syncs, clouds, config.systems, settings, clock, &UlidIds::default());
    Ok(syncer.with_owners(owners(config)?))
}

/// What sends notices.
pub async fn herald(config: &Config) -> Result<Herald, Failure> {
    let store = Arc::new(store(config).await?);
    let mailer = config.mail.as_ref().map(Mailer::new).transpose();
    let mailer = mailer.map_err(|why| Failure::new(format!("mail cannot be sent: {why}"), None, None))?;
    let (tickets, notices) = (Arc::clone(&store), Arc::clone(&store));
    let (clock, times) = (Arc::new(SystemClock), config.notices.clone());
    let ways = Ways { mailer, channels: Arc::new(channels(config)?) };
    let herald = Herald::new(store, tickets, notices, ways, times, clock, &UlidIds::default());
    Ok(herald.with_owners(owners(config)?))
}

/// Says whom rules notify who cannot be told as it is configured.
pub fn warn_of_unheard(rules: &RuleSet, config: &Config, output: Output) {
    let told = |whom: &Whom| match whom {
        Whom::Channel(name) => config.channels.iter().any(|channel| *channel.name == **name),
        Whom::Address(_) | Whom::Owner(_) => config.mail.is_some(),
    };
    let named: BTreeSet<Whom> =
        rules.rules().iter().flat_map(|rule| &rule.notify).map(|name| Whom::named(name)).collect();
    for whom in named.iter().filter(|whom| !told(whom)) {
        let lacks = match whom {
            Whom::Channel(_) => "there is no such channel: name it under `notices.channels`",
            Whom::Address(_) | Whom::Owner(_) => "nobody sends mail: name the server under `notices.mail`",
        };
        output.note(&output.toned(Tone::Warn, &format!("rules notify {whom}, and {lacks}")));
    }
}

/// The channels, by name.
pub fn channels(config: &Config) -> Result<BTreeMap<String, Channel>, Failure> {
    let channel = |at: &ChannelAt| Ok((at.name.clone(), Channel::new(&at.name, at.chat, &at.url)?));
    let channels: Result<_, String> = config.channels.iter().map(channel).collect();
    channels.map_err(|why| Failure::new(format!("a channel cannot be used: {why}"), None, None))
}

/// The trackers, by name: Amend's own, and those of the configuration.
pub fn trackers(config: &Config, tickets: &Arc<dyn Tickets>) -> Result<BTreeMap<String, Arc<dyn Tracker>>, Failure> {
    let local: Arc<dyn Tracker> = Arc::new(Local::new(Arc::clone(tickets)));
    let mut trackers = BTreeMap::from([(local::NAME.to_owned(), local)]);
    for Connector { name, to } in &config.connectors {
        let tracker: Result<Arc<dyn Tracker>, String> = match to.clone() {
            To::Jira(settings) => Jira::new(name, settings).map(|one| Arc::new(one) as Arc<dyn Tracker>),
            To::ServiceNow(settings) => ServiceNow::new(name, settings).map(|one| Arc::new(one) as Arc<dyn Tracker>),
            To::GitHub(settings) => GitHub::new(name, settings).map(|one| Arc::new(one) as Arc<dyn Tracker>),
            To::Webhook(settings) => Webhook::new(name, &settings).map(|one| Arc::new(one) as Arc<dyn Tracker>),
        };
        let tracker =
            tracker.map_err(|why| Failure::new(format!("the connector `{name}` cannot be used: {why}"), None, None))?;
        trackers.insert(name.clone(), tracker);
    }
    Ok(trackers)
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

/// The time.
pub fn now() -> jiff::Timestamp {
    SystemClock.now()
}

/// What plans and fixes, as configured.
pub async fn fixer(config: &Config, output: Output) -> Result<Fixer, Failure> {
    fixer_with(config, clouds(config, output), output).await
}

/// The same, with these clouds.
pub async fn fixer_with(config: &Config, clouds: Arc<dyn Cloud>, output: Output) -> Result<Fixer, Failure> {
    let store = store(config).await?;
    let catalogue = catalogue(config, output)?;
    let ids = Arc::new(UlidIds::default());
    let fixer = Fixer::new(catalogue, clouds, Arc::new(store), Arc::new(SystemClock), ids);
    Ok(fixer.with_limits(config.remediate.clone()))
}

/// What looks facts up, where the configuration names clouds to ask.
pub fn lookup(config: &Config, clouds: &Arc<dyn Cloud>) -> Option<Lookup> {
    if config.fact_clouds.is_empty() {
        return None;
    }
    let source = CloudFacts::new(Arc::clone(clouds), config.aws_organization.clone());
    Some(Lookup::new(Arc::new(source), &config.fact_clouds, config.fact_age))
}

/// An error with its causes, on one line.
pub fn whole(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error: &&dyn std::error::Error| (*error).source());
    std::iter::once(error.to_string()).chain(causes.map(ToString::to_string)).collect::<Vec<_>>().join(": ")
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
    let parts = decider::Parts {
        rule_files,
        facts,
        owners: owners(config)?,
        clock: Arc::new(SystemClock),
        catalogue: catalogue(config, output)?,
        tenant: config.tenant.clone(),
        truths: config.truths.clone(),
        limits: config.limits,
    };
    let (decider, warnings) =
        Decider::new(parts).map_err(|mistakes| Failure::mistakes("the rules cannot be used", mistakes))?;
    output.mistakes(&warnings);
    Ok(decider)
}

/// Everything but the clouds, as configured.
pub async fn pipeline(config: &Config, output: Output) -> Result<Pipeline, Failure> {
    pipeline_of(config, decider(config, output)?).await
}

/// Everything, as configured: what is decided may be looked up in the clouds.
pub async fn pipeline_with(config: &Config, clouds: &Arc<dyn Cloud>, output: Output) -> Result<Pipeline, Failure> {
    let pipeline = pipeline(config, output).await?;
    Ok(match lookup(config, clouds) {
        Some(lookup) => pipeline.with_lookup(lookup),
        None => pipeline,
    })
}

/// Everything, with this way to decide.
pub async fn pipeline_of(config: &Config, decider: Decider) -> Result<Pipeline, Failure> {
    let store = store(config).await?;
    Ok(Pipeline::new(decider, Arc::new(store), Arc::new(UlidIds::default())).await?)
}

/// Starts the log, on standard error.
pub fn start_log(config: &Config) {
    let filter = tracing_subscriber::EnvFilter::new(format!("{},sqlx=warn,hyper=warn", config.log_level));
    let colour = anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colour)
        .with_target(false);
    // A second start (in tests) keeps the first log.
    let _ = if config.log_json { builder.json().try_init() } else { builder.try_init() };
}

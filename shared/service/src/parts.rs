//! From a configuration to the parts of a service. What they share is handed in: one store, one catalogue.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use amend_catalog::{Catalogue, SourceText, facts_file::FactsFile};
use amend_cloud::{
    Cloud, CloudFacts, Clouds,
    aws::Aws,
    azure::Azure,
    gcp::Gcp,
    remote::{ExecutorAt, Executors, Remote},
};
use amend_connect::{Channel, GitHub, Jira, Local, Mailer, ServiceNow, Tracker, Webhook, local};
use amend_domain::{RuleSet, notice::Whom, ports::Clock as _, work::Stop};
use amend_pipeline::{
    Config, Decider, Lookup, Pipeline,
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
use amend_store::{BY_CONFIGURATION, Database, Tickets};

use crate::{SetupError, Tell, files};

/// The clouds. Says so where they are not those that they seem to be.
#[must_use]
pub fn clouds(config: &Config, tell: &dyn Tell) -> Arc<Clouds> {
    for (cloud, endpoint) in [
        ("AWS", &config.aws.dangerous_endpoint),
        ("Azure", &config.azure.dangerous_endpoint),
        ("Google Cloud", &config.gcp.dangerous_endpoint),
    ] {
        if let Some(endpoint) = endpoint {
            tell.warn(&format!("every call to {cloud} goes to {endpoint}"));
        }
    }
    Arc::new(Clouds {
        aws: Aws::new(config.aws.clone()),
        azure: Azure::new(config.azure.clone()),
        gcp: Gcp::new(config.gcp.clone()),
    })
}

/// The clouds, as this hub reaches them: some accounts through executors.
///
/// # Errors
/// When an executor cannot be used as it is configured.
pub fn reached(config: &Config, clouds: Arc<dyn Cloud>) -> Result<Arc<dyn Cloud>, SetupError> {
    let remotes = remotes(config)?;
    Ok(if remotes.is_empty() { clouds } else { Arc::new(Executors::new(clouds, remotes)) })
}

/// The executors of this hub.
///
/// # Errors
/// When one cannot be used as it is configured.
pub fn remotes(config: &Config) -> Result<Vec<Remote>, SetupError> {
    let Some(signer) = &config.hub.key else { return Ok(Vec::new()) };
    let remote = |at: &ExecutorAt| {
        let made = Remote::new(at.clone(), signer.clone(), Arc::new(SystemClock), Arc::new(UlidIds::default()));
        made.map_err(|why| SetupError::new(format!("the executor `{}` cannot be used: {why}", at.name), None, None))
    };
    config.hub.executors.iter().map(remote).collect()
}

/// The store.
///
/// # Errors
/// When it cannot be opened.
pub async fn store(config: &Config) -> Result<Database, SetupError> {
    Ok(dressed(Database::open(&config.store).await?, config))
}

/// A store that is open, with the keys, the systems and the stop of a configuration.
#[must_use]
pub fn dressed(store: Database, config: &Config) -> Database {
    let stop = || Stop { by: BY_CONFIGURATION.into(), at: SystemClock.now(), why: "`stopped: true`".into() };
    let store = store.with_keys(config.store_keys.clone()).with_systems(config.systems.in_use());
    store.with_stop(config.stopped.then(stop))
}

/// The trackers, by name: Amend's own, and those of the configuration.
///
/// # Errors
/// When one cannot be used as it is configured.
pub fn trackers(config: &Config, tickets: &Arc<dyn Tickets>) -> Result<BTreeMap<String, Arc<dyn Tracker>>, SetupError> {
    let local: Arc<dyn Tracker> = Arc::new(Local::new(Arc::clone(tickets)));
    let mut trackers = BTreeMap::from([(local::NAME.to_owned(), local)]);
    for Connector { name, to } in &config.connectors {
        let tracker: Result<Arc<dyn Tracker>, String> = match to.clone() {
            To::Jira(settings) => Jira::new(name, settings).map(|one| Arc::new(one) as Arc<dyn Tracker>),
            To::ServiceNow(settings) => ServiceNow::new(name, settings).map(|one| Arc::new(one) as Arc<dyn Tracker>),
            To::GitHub(settings) => GitHub::new(name, settings).map(|one| Arc::new(one) as Arc<dyn Tracker>),
            To::Webhook(settings) => Webhook::new(name, &settings).map(|one| Arc::new(one) as Arc<dyn Tracker>),
        };
        let tracker = tracker
            .map_err(|why| SetupError::new(format!("the connector `{name}` cannot be used: {why}"), None, None))?;
        trackers.insert(name.clone(), tracker);
    }
    Ok(trackers)
}

/// The channels, by name.
///
/// # Errors
/// When one cannot be used as it is configured.
pub fn channels(config: &Config) -> Result<BTreeMap<String, Channel>, SetupError> {
    let channel = |at: &ChannelAt| Ok((at.name.clone(), Channel::new(&at.name, at.chat, &at.url)?));
    let channels: Result<_, String> = config.channels.iter().map(channel).collect();
    channels.map_err(|why| SetupError::new(format!("a channel cannot be used: {why}"), None, None))
}

/// What files problems in tickets, and tells trackers of them.
///
/// # Errors
/// When a tracker cannot be used as it is configured.
pub fn desk(config: &Config, store: Arc<Database>, catalogue: Arc<Catalogue>) -> Result<Desk, SetupError> {
    let tickets: Arc<dyn Tickets> = Arc::clone(&store) as Arc<dyn Tickets>;
    let trackers = trackers(config, &tickets)?;
    let clock = Arc::new(SystemClock);
    let desk = Desk::new(store, tickets, trackers, catalogue, clock, &UlidIds::default());
    let desk = desk.with_routes(config.routes.clone()).with_budget(config.tickets);
    Ok(if config.systems.defender == Some(Authority::Defender) { desk.asking_defender() } else { desk })
}

/// What tells systems what became of the problems that come from them.
///
/// # Errors
/// When a fix cannot be used, or the file of owners.
pub fn syncer(
    config: &Config,
    store: Arc<Database>,
    clouds: Arc<Clouds>,
    catalogue: &Catalogue,
) -> Result<Syncer, SetupError> {
    let syncs = Arc::clone(&store);
    let settings = catalogue.settings();
    let settings = settings.map_err(|mistakes| SetupError::mistakes("the fixes cannot be used", mistakes))?;
    let clock = Arc::new(SystemClock);
    let syncer = Syncer::new(store, syncs, clouds, config.systems, settings, clock, &UlidIds::default());
    Ok(syncer.with_owners(files::owners(config)?))
}

/// What sends notices.
///
/// # Errors
/// When mail or a channel cannot be used as it is configured, or the file of owners.
pub fn herald(config: &Config, store: Arc<Database>) -> Result<Herald, SetupError> {
    let mailer = config.mail.as_ref().map(Mailer::new).transpose();
    let mailer = mailer.map_err(|why| SetupError::new(format!("mail cannot be sent: {why}"), None, None))?;
    let (tickets, notices) = (Arc::clone(&store), Arc::clone(&store));
    let (clock, times) = (Arc::new(SystemClock), config.notices.clone());
    let ways = Ways { mailer, channels: Arc::new(channels(config)?) };
    let herald = Herald::new(store, tickets, notices, ways, times, clock, &UlidIds::default());
    Ok(herald.with_owners(files::owners(config)?))
}

/// What plans and fixes.
#[must_use]
pub fn fixer(config: &Config, store: Arc<Database>, clouds: Arc<dyn Cloud>, catalogue: Arc<Catalogue>) -> Fixer {
    let fixer = Fixer::new(catalogue, clouds, store, Arc::new(SystemClock), Arc::new(UlidIds::default()));
    fixer.with_limits(config.remediate.clone())
}

/// What looks facts up, where the configuration names clouds to ask.
#[must_use]
pub fn lookup(config: &Config, clouds: &Arc<dyn Cloud>) -> Option<Lookup> {
    if config.fact_clouds.is_empty() {
        return None;
    }
    let source = CloudFacts::new(Arc::clone(clouds), config.aws_organization.clone());
    Some(Lookup::new(Arc::new(source), &config.fact_clouds, config.fact_age))
}

/// What decides, with these rules and facts.
///
/// # Errors
/// Every mistake in the rules, and in the file of owners.
pub fn decider(
    config: &Config,
    rule_files: Vec<SourceText>,
    facts: FactsFile,
    catalogue: Arc<Catalogue>,
    tell: &dyn Tell,
) -> Result<Decider, SetupError> {
    let parts = decider::Parts {
        rule_files,
        facts,
        owners: files::owners(config)?,
        clock: Arc::new(SystemClock),
        catalogue,
        tenant: config.tenant.clone(),
        truths: config.truths.clone(),
        limits: config.limits,
    };
    let (decider, warnings) =
        Decider::new(parts).map_err(|mistakes| SetupError::mistakes("the rules cannot be used", mistakes))?;
    tell.mistakes(&warnings);
    Ok(decider)
}

/// What receives and answers, with this way to decide.
///
/// # Errors
/// When the store does not answer.
pub async fn pipeline(decider: Decider, store: Arc<Database>) -> Result<Pipeline, SetupError> {
    Ok(Pipeline::new(decider, store, Arc::new(UlidIds::default())).await?)
}

/// Says whom rules notify who cannot be told as it is configured.
pub fn warn_of_unheard(rules: &RuleSet, config: &Config, tell: &dyn Tell) {
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
        tell.warn(&format!("rules notify {whom}, and {lacks}"));
    }
}

//! Configuration: `amend.yaml`, overridden by `AMEND__SECTION__KEY` in the environment.
//!
//! Every option has a safe default. The only file that reads the environment.

pub mod connectors;
pub mod executors;
mod members;
pub mod notices;
mod reader;

use std::path::{Path, PathBuf};

use amend_catalog::{Mistakes, SourceText, mistakes::Collector, shape, yaml::Node};
use amend_cloud::{
    aws::AwsSettings,
    azure::{AzureCloud, AzureSettings},
    gcp::GcpSettings,
};
use amend_domain::{AccountId, Cloud, Source, TenantId, Timeframe, problem::SourceOfTruth, rule::Mode, ticket::Budget};
use amend_events::Limits;
use amend_store::{Keys, Place, Server};
use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};
use serde::Serialize;

use self::{
    connectors::Connector,
    executors::{ExecutorIs, Hub},
    reader::Reader,
};
use crate::{
    PipelineError,
    callers::{Callers, Scope},
    fixer, guard,
    notices::Times,
    people::{People, Person, Right},
    sync::{Authority, Systems},
    tickets::Routes,
};

/// The configuration, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The tenant of sources that name none.
    pub tenant: TenantId,
    /// Where `serve` listens.
    pub listen: String,
    /// Whether nothing is written.
    pub stopped: bool,
    /// The people that have names.
    pub people: People,
    /// Who uses this configuration.
    pub who: Person,
    /// Tools that call from elsewhere.
    pub callers: Callers,
    /// Rule files; empty means the starter rules.
    pub rules: Vec<PathBuf>,
    /// The facts file.
    pub facts: Option<PathBuf>,
    /// The file of owners.
    pub owners: Option<PathBuf>,
    /// Clouds that are asked for facts.
    pub fact_clouds: Vec<Cloud>,
    /// After how long a fact is read again.
    pub fact_age: SignedDuration,
    /// The account that the AWS organization is read from.
    pub aws_organization: Option<AccountId>,
    /// The second place for the ends of the audit trail.
    pub audit_heads: Option<PathBuf>,
    /// What is done by itself.
    pub remediate: fixer::Limits,
    /// The folder with fixes of one's own.
    pub fix_folder: Option<PathBuf>,
    /// The digest that the catalogue must have.
    pub fix_digest: Option<String>,
    /// How AWS is reached.
    pub aws: AwsSettings,
    /// How Azure is reached.
    pub azure: AzureSettings,
    /// How Google Cloud is reached.
    pub gcp: GcpSettings,
    /// Where the store is.
    pub store: Place,
    /// What remediations are sealed with there.
    pub store_keys: Keys,
    /// Whose word counts, where it is not Defender's.
    pub truths: Vec<(Cloud, SourceOfTruth)>,
    /// How much a delivery may hold.
    pub limits: Limits,
    /// Event subscriptions whose handshake is answered; empty means any.
    pub event_subscriptions: Vec<String>,
    /// Origins that may deliver CloudEvents; empty means any.
    pub cloud_event_origins: Vec<String>,
    /// How much is logged.
    pub log_level: String,
    /// Whether the log is JSON.
    pub log_json: bool,
    /// How mail is sent.
    pub mail: Option<amend_connect::mail::Settings>,
    /// When notices are sent, and to whom.
    pub notices: Times,
    /// The channels that rules notify.
    pub channels: Vec<notices::ChannelAt>,
    /// The connectors.
    pub connectors: Vec<Connector>,
    /// Where tickets go.
    pub routes: Routes,
    /// How many tickets are opened in a day.
    pub tickets: Budget,
    /// What the systems are told that problems come from.
    pub systems: Systems,
    /// How it runs as a function app.
    pub functions: Functions,
    /// The executors of this hub.
    pub hub: Hub,
    /// What this is, where it is an executor.
    pub executor: Option<ExecutorIs>,
    /// Each option, with its value and where that comes from.
    pub options: Vec<ConfigOption>,
}

/// How Amend runs as a function app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Functions {
    /// How old may get what it has read.
    pub refresh: SignedDuration,
    /// How many copies of it run at once at most.
    pub instances: u32,
    /// What it answers to.
    pub does: Vec<Does>,
    /// How long the platform waits, where it does not say so itself.
    pub timeout: SignedDuration,
    /// Who pushes to it.
    pub push: Option<Push>,
}

/// Who pushes events and work to Cloud Run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// Whom its tokens are made for.
    pub audience: String,
    /// The service accounts that may, lower-cased.
    pub accounts: Vec<String>,
}

/// What a function app answers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// Events of its platform.
    Events,
    /// Requests over HTTP.
    Requests,
    /// Work that is due, by its timers and queues.
    Work,
}

impl Does {
    /// All of it.
    pub const ALL: [Self; 3] = [Self::Events, Self::Requests, Self::Work];

    /// The word for it in `functions.does`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Requests => "requests",
            Self::Work => "work",
        }
    }

    fn parse(word: &str) -> Result<Self, String> {
        let does = Self::ALL.into_iter().find(|does| does.as_str() == word);
        does.ok_or_else(|| format!("`{word}` is nothing that a function app does"))
    }
}

impl Default for Functions {
    fn default() -> Self {
        Self {
            refresh: SignedDuration::from_mins(5),
            instances: 10,
            does: Does::ALL.to_vec(),
            timeout: SignedDuration::from_mins(5),
            push: None,
        }
    }
}

/// One option, for `amend config explain`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigOption {
    /// Its path: `limits.bytes`.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Where that comes from: `default`, the file with its line, or the environment variable.
    pub from: String,
    /// What it is for.
    pub doc: &'static str,
}

/// The variables of the environment that override `amend.yaml`.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
pub fn environment() -> Vec<(String, String)> {
    let mut list: Vec<(String, String)> = std::env::vars().filter(|(name, _)| name.starts_with("AMEND__")).collect();
    list.sort();
    list
}

/// A variable of the environment by which a platform tells a program how it is run, such as the port to listen on.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
pub fn platform(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|value| !value.is_empty())
}

/// Reads a configuration: the text of `amend.yaml`, if there is one, and the environment.
///
/// `folder` is the one that relative paths are relative to; whose token it is, is asked for `now`.
///
/// # Errors
/// Every mistake in both.
pub fn load(
    file: Option<&SourceText>,
    folder: &Path,
    environment: &[(String, String)],
    now: Timestamp,
) -> Result<(Config, Mistakes), Mistakes> {
    let mut reader = Reader::new(file, environment);
    let mut config = Config::new(folder);
    config.read_service(&mut reader, folder);
    config.read_people(&mut reader, now);
    config.read_facts(&mut reader, folder);
    config.owners = reader.text("owners").map(|path| folder.join(path));
    config.audit_heads = reader.text("audit.heads").map(|path| folder.join(path));
    config.read_remediating(&mut reader);
    config.fix_folder = reader.text("fixes.folder").map(|path| folder.join(path));
    config.fix_digest = reader.text("fixes.digest");
    config.read_clouds(&mut reader);
    (config.mail, config.notices) = notices::read(&mut reader);
    config.channels = notices::channels(&mut reader);
    config.connectors = connectors::read(&mut reader);
    (config.routes, config.tickets) = connectors::routes(&mut reader, &config.connectors);
    config.systems = systems(&mut reader);
    config.functions = functions(&mut reader);
    config.hub = executors::hub(&mut reader);
    config.executor = executors::executor(&mut reader, folder);
    config.systems.mails = config.mail.is_some() && config.notices.digest.is_some();
    config.store = store(&mut reader, folder);
    config.store_keys = keys(&mut reader);
    remediates_sealed(&config, &mut reader);
    config.read_events(&mut reader);
    if let Some(level) = reader.parse("log.level", "one of error, warn, info, debug, trace", level) {
        config.log_level = level;
    }
    config.log_json = reader.text("log.format").is_some_and(|format| format == "json");
    let begins: Vec<&str> = config.remediate.guards.freezes.iter().map(|freeze| freeze.begins.as_str()).collect();
    let begins = if begins.is_empty() { "(none)".into() } else { begins.join(", ") };
    reader.show_before("guards.managed_tags", "guards.freezes", begins);
    let shown = |names: Vec<&str>| if names.is_empty() { "(none)".into() } else { names.join(", ") };
    reader.show_before("token", "people", shown(config.people.names().collect()));
    reader.show_before("exemptions.longest", "callers", shown(config.callers.names().collect()));
    let (options, mistakes) = reader.finish();
    config.options = options;
    mistakes.into_result(Some(config))
}

impl Config {
    /// Whoever runs this, by the name that they have where people have names.
    ///
    /// # Errors
    /// Where people have names, and nobody knows who this is: what protects is not taken away by nobody.
    pub fn somebody(&self) -> Result<&str, PipelineError> {
        let known = self.people.is_empty() || self.who.is_named();
        if known { Ok(self.who.name()) } else { Err(PipelineError::NoName) }
    }

    /// The defaults.
    fn new(folder: &Path) -> Self {
        Self {
            tenant: TenantId::new(""),
            listen: "127.0.0.1:8080".into(),
            stopped: false,
            people: People::default(),
            who: Person::local(),
            callers: Callers::default(),
            rules: Vec::new(),
            facts: None,
            owners: None,
            fact_clouds: Vec::new(),
            fact_age: SignedDuration::from_hours(24),
            aws_organization: None,
            audit_heads: None,
            remediate: fixer::Limits::default(),
            fix_folder: None,
            fix_digest: None,
            aws: AwsSettings::default(),
            azure: AzureSettings::default(),
            gcp: GcpSettings::default(),
            store: Place::File(folder.join(".amend/amend.db")),
            store_keys: Keys::default(),
            truths: Vec::new(),
            limits: Limits::default(),
            event_subscriptions: Vec::new(),
            cloud_event_origins: Vec::new(),
            log_level: "warn".into(),
            log_json: false,
            mail: None,
            notices: Times::default(),
            channels: Vec::new(),
            connectors: Vec::new(),
            routes: Routes::default(),
            tickets: Budget::default(),
            systems: Systems::default(),
            functions: Functions::default(),
            hub: Hub::default(),
            executor: None,
            options: Vec::new(),
        }
    }

    fn read_service(&mut self, reader: &mut Reader, folder: &Path) {
        if let Some(tenant) = reader.text("tenant") {
            self.tenant = TenantId::new(tenant.trim_matches('-'));
        }
        let hint = "amend listens on 127.0.0.1 or [::1] only, as there is no authentication yet: `127.0.0.1:8080`";
        if let Some(listen) = reader.parse("listen", hint, loopback) {
            self.listen = listen;
        }
        reader.flag("stopped", &mut self.stopped);
        let rules = reader.texts("rules").unwrap_or_default();
        self.rules = rules.iter().map(|path| folder.join(path)).collect();
    }

    fn read_people(&mut self, reader: &mut Reader, now: Timestamp) {
        let people = reader.root.get("people").map(Node::elements).unwrap_or_default().iter();
        for node in people {
            person(node, &mut self.people, &mut reader.mistakes);
        }
        self.remediate.named = !self.people.is_empty();
        let callers = reader.root.get("callers").map(Node::elements).unwrap_or_default().iter();
        for node in callers {
            caller(node, &mut self.callers, &mut reader.mistakes);
        }
        let Some(token) = reader.text("token") else { return };
        reader.show_as("(not shown)".into());
        if let Some(node) = reader.root.get("token") {
            let hint = "leave it out, and give it as AMEND__TOKEN: the token is one person's, the file is not";
            reader.mistakes.error(node, "a token stands in the environment, not in a file", Some(hint.into()));
        }
        match self.people.who(&token, now) {
            Ok(who) => {
                reader.show_as(format!("(that of {})", who.name()));
                self.who = who;
            }
            // No more than a warning: it must not keep anybody from `amend stop`.
            Err(unknown) => {
                let hint = "`amend token NAME` makes one, and says what to add under `people` in amend.yaml";
                reader.warn_of("AMEND__TOKEN", format!("{unknown}: nobody knows who you are"), hint);
            }
        }
    }

    fn read_facts(&mut self, reader: &mut Reader, folder: &Path) {
        self.facts = reader.text("facts.file").map(|path| folder.join(path));
        self.fact_clouds = reader.parse_all("facts.clouds", "one of azure, aws, gcp", cloud).unwrap_or_default();
        let minute = SignedDuration::from_mins(1);
        reader.duration("facts.max_age", minute, "write it as `1d` or `12h`", &mut self.fact_age);
    }

    fn read_remediating(&mut self, reader: &mut Reader) {
        let most = reader.parse("remediate.most", "one of off, observe, approve, enforce", most);
        self.remediate.most = most.flatten();
        let guards = &mut self.remediate.guards;
        for (name, slot) in [
            ("guards.per_hour", &mut guards.per_hour),
            ("guards.per_account", &mut guards.per_account),
            ("guards.per_rule", &mut guards.per_rule),
            ("guards.failures", &mut guards.failures),
            ("guards.surge", &mut guards.surge),
            ("guards.fights", &mut guards.fights),
        ] {
            reader.whole(name, slot);
        }
        guards.managed_tags =
            reader.parse_all("guards.managed_tags", "write it as `name` or `name=value`", tag).unwrap_or_default();
        guards.pipelines = reader.texts("guards.pipelines").unwrap_or_default();
        guards.not_used = reader.texts("guards.not_used").unwrap_or_default();
        let freezes = reader.root.get("guards").and_then(|guards| guards.get("freezes"));
        let freezes = freezes.map(Node::elements).unwrap_or_default().iter();
        guards.freezes = freezes.filter_map(|node| freeze(node, &mut reader.mistakes)).collect();
        let (none, hour) = (SignedDuration::ZERO, SignedDuration::from_hours(1));
        for (name, least, slot) in [
            ("guards.settle", none, &mut guards.settle),
            ("guards.undone", none, &mut guards.undone),
            ("guards.new_for", none, &mut guards.new_for),
            // A person, and a source, must have the time to answer.
            ("remediate.approve_within", hour, &mut self.remediate.approve_within),
            ("remediate.confirm_within", hour, &mut self.remediate.confirm_within),
            ("exemptions.longest", hour, &mut self.remediate.exemptions.longest),
            ("exemptions.remind", none, &mut self.remediate.exemptions.remind),
        ] {
            reader.duration(name, least, "write it as `24h`", slot);
        }
    }

    fn read_clouds(&mut self, reader: &mut Reader) {
        self.aws.role = reader.text("clouds.aws.role");
        let account = |text: &str| AccountId::aws(text.trim()).ok_or_else(|| format!("`{text}` is no account of AWS"));
        self.aws_organization = reader.parse("clouds.aws.organization", "write its twelve digits, in quotes", account);
        self.aws.external_id = reader.text("clouds.aws.external_id");
        reader.flag("clouds.aws.fips", &mut self.aws.fips);
        reader.flag("clouds.aws.dual_stack", &mut self.aws.dual_stack);
        let azure = |word: &str| AzureCloud::parse(word).ok_or_else(|| format!("`{word}` is no cloud of Azure"));
        if let Some(cloud) = reader.parse("clouds.azure.cloud", "one of public, us-government, china", azure) {
            self.azure.cloud = cloud;
        }
        self.azure.client_id = reader.text("clouds.azure.client_id");
        self.gcp.impersonate = reader.text("clouds.gcp.impersonate");
        for (name, slot) in [
            ("clouds.aws.dangerous_endpoint", &mut self.aws.dangerous_endpoint),
            ("clouds.azure.dangerous_endpoint", &mut self.azure.dangerous_endpoint),
            ("clouds.gcp.dangerous_endpoint", &mut self.gcp.dangerous_endpoint),
        ] {
            *slot = reader.parse(name, "write it as `http://127.0.0.1:5000`", address);
        }
    }

    fn read_events(&mut self, reader: &mut Reader) {
        for (cloud, name) in [
            (Cloud::Azure, "source_of_truth.azure"),
            (Cloud::Aws, "source_of_truth.aws"),
            (Cloud::Gcp, "source_of_truth.gcp"),
        ] {
            let source = reader.parse(name, "one of defender, policy-state, security-hub, scc", source);
            self.truths.extend(source.map(|source| (cloud, SourceOfTruth(source))));
        }
        reader.whole("limits.bytes", &mut self.limits.bytes);
        reader.whole("limits.nesting", &mut self.limits.nesting);
        reader.whole("limits.records", &mut self.limits.records);
        self.event_subscriptions = reader.texts("event_grid.subscriptions").unwrap_or_default();
        self.cloud_event_origins = reader.texts("cloud_events.origins").unwrap_or_default();
    }
}

/// How it runs as a function app.
fn functions(reader: &mut Reader) -> Functions {
    let mut functions = Functions::default();
    let hint = "write it as `5m` or `1h`";
    reader.duration("functions.refresh", SignedDuration::ZERO, hint, &mut functions.refresh);
    reader.whole("functions.instances", &mut functions.instances);
    if let Some(does) = reader.parse_all("functions.does", "one or more of events, requests, work", Does::parse) {
        functions.does = does;
    }
    // Nothing is taken up with less than ten seconds left.
    let least = SignedDuration::from_secs(60);
    reader.duration("functions.timeout", least, hint, &mut functions.timeout);
    let audience = reader.text("functions.push.audience").filter(|audience| !audience.is_empty());
    // INVARIANT: no entry stands for whoever has no address.
    let account = |text: &str| {
        let account = text.trim().to_ascii_lowercase();
        let whole = account.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.contains('.'));
        if whole { Ok(account) } else { Err(format!("`{text}` is no address of a service account")) }
    };
    let hint = "write it as `push@project.iam.gserviceaccount.com`";
    let accounts = reader.parse_all("functions.push.accounts", hint, account).unwrap_or_default();
    functions.push = match (audience, accounts.is_empty()) {
        (Some(audience), false) => Some(Push { audience, accounts }),
        (Some(_), true) => {
            let message = "nobody may push: `functions.push.accounts` names no service account";
            reader.error_at("functions.push.audience", message, hint);
            None
        }
        (None, false) => {
            let hint = "name the audience of the push subscription and of the scheduler's jobs";
            reader.error_at("functions.push.accounts", "`functions.push.audience` is missing", hint);
            None
        }
        (None, true) => None,
    };
    functions
}

/// What the systems are told that problems come from.
fn systems(reader: &mut Reader) -> Systems {
    let word = reader.text("sync.defender.authority");
    let mut overrides = false;
    reader.flag("sync.defender.override", &mut overrides);
    let defender = match word.as_deref() {
        Some("defender") => Some(Authority::Defender),
        Some("amend") => Some(Authority::Amend { overrides }),
        _ => None,
    };
    if overrides && !matches!(defender, Some(Authority::Amend { .. })) {
        let hint = "say `authority: amend`, or take it out";
        reader.error_at("sync.defender.override", "nothing is overridden where Amend's word does not count", hint);
    }
    let mut systems = Systems { defender, ..Systems::default() };
    reader.flag("sync.security_hub.findings", &mut systems.hub.findings);
    reader.flag("sync.security_hub.import", &mut systems.hub.import);
    reader.flag("sync.scc.marks", &mut systems.scc);
    systems
}

/// Where the store is: a server, where one is named.
fn store(reader: &mut Reader, folder: &Path) -> Place {
    let path = reader.text("store.path");
    let hint = "`store.path` is for SQLite; `store.url` for PostgreSQL, as `postgres://user@host:5432/database`";
    let both = path.is_some();
    let server = reader.parse("store.url", hint, |url| {
        if both {
            return Err("both `store.path` and `store.url` are given: leave out one".into());
        }
        Server::new(url).map_err(|why| format!("`store.url` cannot be used: {why}"))
    });
    if let Some(server) = &server {
        reader.show_as(server.to_string());
    }
    let (mut connections, mut pooler) = (8, false);
    reader.whole("store.connections", &mut connections);
    reader.flag("store.pooler", &mut pooler);
    match server {
        Some(server) => Place::Server(server.with(connections, pooler)),
        None => Place::File(folder.join(path.as_deref().unwrap_or(".amend/amend.db"))),
    }
}

/// The keys of the store. They are all read, or none is used.
fn keys(reader: &mut Reader) -> Keys {
    let hint = "each is 32 bytes in base64, as `amend store key` makes them";
    let keys = reader.parse_whole("store.keys", hint, |texts| {
        Keys::read(texts).map_err(|why| format!("`store.keys` cannot be used: {why}"))
    });
    if let Some(keys) = &keys {
        reader.show_as(format!("(those named {})", keys.names().collect::<Vec<_>>().join(", ")));
    }
    keys.unwrap_or_default()
}

/// What is remediated on a server is kept sealed: that is said before anything begins.
fn remediates_sealed(config: &Config, reader: &mut Reader) {
    let on_server = matches!(config.store, Place::Server(_));
    if on_server && config.store_keys.is_empty() && config.remediate.most.is_some() {
        let hint = "make a key with `amend store key`, keep it safe, and give it as AMEND__STORE__KEYS";
        let message = "what was there before a fix is not kept on a server without a key, and `store.keys` names none";
        reader.error_at("remediate.most", message, hint);
    }
}

fn loopback(text: &str) -> Result<String, String> {
    match text.parse::<std::net::SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => Ok(text.to_owned()),
        Ok(_) => Err(format!("`{text}` is not a loopback address")),
        Err(_) => Err(format!("`{text}` is no address with a port")),
    }
}

fn cloud(word: &str) -> Result<Cloud, String> {
    let cloud = Cloud::parse(word).filter(|cloud| *cloud != Cloud::Other);
    cloud.ok_or_else(|| format!("`{word}` is no cloud"))
}

/// INVARIANT: by default nothing is begun, and nothing is written without a person's word unless this says so.
fn most(word: &str) -> Result<Option<Mode>, String> {
    let mode = Mode::parse(word);
    if mode.is_some() || word == "off" { Ok(mode) } else { Err(format!("`{word}` is nothing that can be done")) }
}

fn tag(text: &str) -> Result<String, String> {
    let name = text.split('=').next().unwrap_or_default().trim();
    if name.is_empty() { Err("a tag without a name matches nothing".into()) } else { Ok(text.to_owned()) }
}

fn address(url: &str) -> Result<String, String> {
    let whole = url.starts_with("http://") || url.starts_with("https://");
    if whole { Ok(url.to_owned()) } else { Err(format!("`{url}` is no address")) }
}

fn source(word: &str) -> Result<Source, String> {
    let all = [Source::Defender, Source::PolicyState, Source::SecurityHub, Source::Scc];
    all.into_iter().find(|source| source.as_str() == word).ok_or_else(|| format!("`{word}` is no source"))
}

fn level(word: &str) -> Result<String, String> {
    let known = ["error", "warn", "info", "debug", "trace"].contains(&word);
    if known { Ok(word.to_owned()) } else { Err(format!("`{word}` is no level")) }
}

/// A person with a name.
fn person(node: &Node, people: &mut People, mistakes: &mut Collector) {
    let (Some(name), Some(digest)) = (node.get("name"), node.get("token")) else { return };
    let until = last_day(node, mistakes);
    let rights = mistakes.texts(node.get("may")).iter().filter_map(|word| Right::parse(word)).collect();
    if let Err(message) = people.add(&mistakes.text(name), &mistakes.text(digest), until, rights) {
        mistakes.error(digest, message, Some(MAKES_TOKENS.into()));
    }
}

/// A tool with a name.
fn caller(node: &Node, callers: &mut Callers, mistakes: &mut Collector) {
    let (Some(name), Some(digest)) = (node.get("name"), node.get("token")) else { return };
    let until = last_day(node, mistakes);
    let scopes = mistakes.texts(node.get("may")).iter().filter_map(|word| Scope::parse(word)).collect();
    if let Err(message) = callers.0.add(&mistakes.text(name), &mistakes.text(digest), until, scopes) {
        mistakes.error(digest, message, Some(MAKES_TOKENS.into()));
    }
}

const MAKES_TOKENS: &str = "`amend token NAME` makes a token and prints what stands here";

/// The end of the last day of a token, where it has one.
fn last_day(node: &Node, mistakes: &mut Collector) -> Option<Timestamp> {
    node.get("until").map(|until| {
        let date: Option<Date> = mistakes.text(until).trim().parse().ok();
        // It holds to the end of that day.
        let end = date.and_then(|date| date.tomorrow().ok()).and_then(|next| next.to_zoned(TimeZone::UTC).ok());
        if end.is_none() {
            mistakes.error(until, "this is no day", Some("write it as `2027-06-30`".into()));
        }
        end.map_or(Timestamp::MIN, |end| end.timestamp())
    })
}

/// A freeze window; nothing, where it has a mistake.
fn freeze(node: &Node, mistakes: &mut Collector) -> Option<guard::Freeze> {
    let (begins, lasts) = (node.get("begins")?, node.get("lasts")?);
    let text = mistakes.text(begins);
    if let Err(error) = cronexpr::parse_crontab(&text) {
        let error = error.to_string();
        let line = error.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().trim();
        let hint = "five fields and a time zone: `0 16 * * FRI Europe/Vienna`";
        mistakes.error(begins, format!("`{text}` is no time that comes again: {line}"), Some(hint.into()));
        return None;
    }
    match Timeframe::parse(&mistakes.text(lasts)) {
        Ok(time) if time.seconds() < 60 => {
            mistakes.error(lasts, "a freeze lasts a minute at least", Some("write it as `64h`".into()));
            None
        }
        Ok(time) => Some(guard::Freeze {
            begins: text,
            lasts: SignedDuration::from_secs(time.seconds()),
            why: node.get("why").map(|why| mistakes.text(why)).unwrap_or_default(),
        }),
        Err(error) => {
            mistakes.error(lasts, error.to_string(), Some("write it as `64h`".into()));
            None
        }
    }
}

/// The members of connectors, by path, with what each is for.
#[must_use]
pub fn connector_members() -> Vec<(String, &'static str)> {
    members::of_connectors()
}

/// The JSON Schema of `amend.yaml`.
#[must_use]
pub fn json_schema() -> serde_json::Value {
    shape::json_schema(&members::FILE, "Amend configuration")
}

//! Configuration: `amend.yaml`, overridden by `AMEND__SECTION__KEY` in the environment.
//!
//! The members stand in the table below, each with its sentence; the manual's page is made from it.
//! Every option has a safe default. The only file that reads the environment.

use std::path::{Path, PathBuf};

use amend_catalog::{
    Mistakes, SourceText,
    mistakes::Collector,
    shape::{self, Field, Kind, Shape, may, must},
    yaml::{self, Node, Value},
};
use amend_cloud::{
    aws::AwsSettings,
    azure::{AzureCloud, AzureSettings},
    gcp::GcpSettings,
};
use amend_domain::{AccountId, Cloud, Source, TenantId, Timeframe, problem::SourceOfTruth, rule::Mode};
use amend_events::Limits;
use jiff::SignedDuration;
use serde::Serialize;

use crate::{fixer, guard};

const TEXTS: Kind = Kind::OneOrMany(&Kind::Text);
const SOURCES: Kind = Kind::Word(&["defender", "policy-state", "security-hub", "scc"]);

static STORE: Shape = Shape {
    name: "the store",
    fields: &[may("path", Kind::Text, "The file of the embedded SQLite store, relative to amend.yaml.")],
};

static TRUTH: Shape = Shape {
    name: "the source of truth",
    fields: &[
        may("azure", SOURCES, "Whose Healthy closes a problem on an Azure resource."),
        may("aws", SOURCES, "Whose Healthy closes a problem on an AWS resource."),
        may("gcp", SOURCES, "Whose Healthy closes a problem on a Google Cloud resource."),
    ],
};

static LIMITS: Shape = Shape {
    name: "the limits",
    fields: &[
        may("bytes", Kind::Whole(1_024, 268_435_456), "The largest body of a delivery, in bytes."),
        may("nesting", Kind::Whole(8, 120), "How deep the JSON of a delivery may nest."),
        may("records", Kind::Whole(1, 1_000_000), "How many records a delivery may hold."),
    ],
};

static EVENT_GRID: Shape = Shape {
    name: "Event Grid",
    fields: &[may(
        "subscriptions",
        TEXTS,
        "Names of the event subscriptions whose handshake is answered; any, if absent.",
    )],
};

static CLOUD_EVENTS: Shape = Shape {
    name: "CloudEvents",
    fields: &[may(
        "origins",
        TEXTS,
        "Origins that may deliver CloudEvents (the handshake's `WebHook-Request-Origin`); any, if absent.",
    )],
};

static LOG: Shape = Shape {
    name: "the log",
    fields: &[
        may(
            "level",
            Kind::Word(&["error", "warn", "info", "debug", "trace"]),
            "How much is logged, to standard error.",
        ),
        may("format", Kind::Word(&["human", "json"]), "How it is written."),
    ],
};

static FIXES: Shape = Shape {
    name: "fixes",
    fields: &[
        may(
            "folder",
            Kind::Text,
            "A folder with fix files of your own, relative to amend.yaml; one with the id of a shipped fix takes its place.",
        ),
        may(
            "digest",
            Kind::Text,
            "What `amend catalog list` prints as the catalogue's digest: with any other, amend does not start.",
        ),
    ],
};

static AUDIT: Shape = Shape {
    name: "the audit trail",
    fields: &[may(
        "heads",
        Kind::Text,
        "A second place for the ends of the trail, relative to amend.yaml: a file that is only added to, best on another disk.",
    )],
};

static FREEZE: Shape = Shape {
    name: "a freeze window",
    fields: &[
        must("begins", Kind::Text, "When it begins, as cron with a time zone: `0 16 * * FRI Europe/Vienna`."),
        must("lasts", Kind::Text, "How long it lasts: `64h`."),
        must("why", Kind::Text, "Why."),
    ],
};

static GUARDS: Shape = Shape {
    name: "the guards",
    fields: &[
        may("settle", Kind::Text, "How long a problem must have stood before anything begins."),
        may("undone", Kind::Text, "How long what was undone is left alone."),
        may("fights", Kind::Whole(1, 100), "How often in a week a problem may come back after it was fixed."),
        may(
            "failures",
            Kind::Whole(1, 10_000),
            "How many failures in an hour hold back everything that has not begun.",
        ),
        may("surge", Kind::Whole(1, 1_000_000), "How many problems of one recommendation in an hour are for a person."),
        may("new_for", Kind::Text, "How long a recommendation is new, and for a person."),
        may(
            "per_hour",
            Kind::Whole(0, 100_000),
            "How much may begin to write without being asked about in an hour, counted by reach.",
        ),
        may("per_account", Kind::Whole(0, 100_000), "The same in one account."),
        may("per_rule", Kind::Whole(0, 100_000), "The same for one rule."),
        may(
            "managed_tags",
            TEXTS,
            "Tags that tell that code manages a resource, beside those that are known: `key` or `key=value`.",
        ),
        may("freezes", Kind::List(&Kind::Map(&FREEZE)), "When nothing begins."),
    ],
};

static REMEDIATE: Shape = Shape {
    name: "remediating",
    fields: &[
        may(
            "most",
            Kind::Word(&["off", "observe", "approve"]),
            "The most that `amend serve` and `amend sweep` do by themselves, whatever rules say: nothing; plan; plan and ask a person.",
        ),
        may(
            "approve_within",
            Kind::Text,
            "How long people have to approve a plan; it is not done then, and stands in the list of remediations.",
        ),
        may(
            "confirm_within",
            Kind::Text,
            "How long the source of truth has to report healthy after a fix; nothing new begins meanwhile, and a person is asked then.",
        ),
    ],
};

const ENDPOINT: Field = may(
    "dangerous_endpoint",
    Kind::Text,
    "An address that every call goes to, without TLS if it says so: for tests alone.",
);

static FACTS: Shape = Shape {
    name: "facts",
    fields: &[
        may("file", Kind::Text, "A file with hierarchy and tags, relative to amend.yaml; what it says counts."),
        may(
            "clouds",
            Kind::OneOrMany(&Kind::Word(&["azure", "aws", "gcp"])),
            "Clouds that are asked for hierarchy and tags that rules want to know and the file does not say; none, if absent.",
        ),
        may("max_age", Kind::Text, "After how long such a fact is read again: `1d`, `12h`."),
    ],
};

static AWS: Shape = Shape {
    name: "AWS",
    fields: &[
        may(
            "role",
            Kind::Text,
            "The role to take on in each account, by name; without one, only the account of the credentials at hand is reached.",
        ),
        may(
            "organization",
            Kind::Text,
            "The account that the organization is read from, for facts: its management account, or one that it delegated that to; that of the credentials at hand, if absent.",
        ),
        may("external_id", Kind::Text, "The external id that the role asks for, where it is in another organization."),
        may("fips", Kind::Bool, "Whether only FIPS endpoints are used."),
        may("dual_stack", Kind::Bool, "Whether dual-stack endpoints are used."),
        ENDPOINT,
    ],
};

static AZURE: Shape = Shape {
    name: "Azure",
    fields: &[
        may("cloud", Kind::Word(&["public", "us-government", "china"]), "Which Azure."),
        may(
            "client_id",
            Kind::Text,
            "The user-assigned identity of the machine, by client id; its own one, if absent.",
        ),
        ENDPOINT,
    ],
};

static GCP: Shape = Shape {
    name: "Google Cloud",
    fields: &[
        may("impersonate", Kind::Text, "The service account to act as; the credentials' own identity, if absent."),
        ENDPOINT,
    ],
};

static CLOUDS: Shape = Shape {
    name: "the clouds",
    fields: &[
        may("aws", Kind::Map(&AWS), "How AWS is reached."),
        may("azure", Kind::Map(&AZURE), "How Azure is reached."),
        may("gcp", Kind::Map(&GCP), "How Google Cloud is reached."),
    ],
};

/// The members of `amend.yaml`.
pub static FILE: Shape = Shape {
    name: "amend.yaml",
    fields: &[
        may("version", Kind::Whole(1, 1), "The version of the format: 1."),
        may(
            "tenant",
            Kind::Text,
            "The Entra tenant that findings belong to whose source names none (Security Hub, SCC, policy states).",
        ),
        may(
            "listen",
            Kind::Text,
            "Address and port of `amend serve`. Only loopback addresses, as there is no authentication yet.",
        ),
        may("rules", TEXTS, "Rule files, relative to amend.yaml; the built-in starter rules, if absent."),
        may("facts", Kind::Map(&FACTS), "What is known beside the events: hierarchy and tags."),
        may("audit", Kind::Map(&AUDIT), "The audit trail."),
        may("guards", Kind::Map(&GUARDS), "What keeps a remediation from doing harm."),
        may("remediate", Kind::Map(&REMEDIATE), "What is done by itself."),
        may("fixes", Kind::Map(&FIXES), "Fixes beside those that ship with Amend."),
        may("clouds", Kind::Map(&CLOUDS), "How the clouds are reached."),
        may("store", Kind::Map(&STORE), "Where Amend remembers."),
        may(
            "source_of_truth",
            Kind::Map(&TRUTH),
            "Whose word counts where several sources report one problem; Defender's, if absent.",
        ),
        may("limits", Kind::Map(&LIMITS), "How much a delivery may hold."),
        may("event_grid", Kind::Map(&EVENT_GRID), "How Event Grid's handshake is answered."),
        may("cloud_events", Kind::Map(&CLOUD_EVENTS), "How the CloudEvents handshake is answered."),
        may("log", Kind::Map(&LOG), "What is logged."),
    ],
};

/// The configuration, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The tenant of sources that name none.
    pub tenant: TenantId,
    /// Where `serve` listens.
    pub listen: String,
    /// Rule files; empty means the starter rules.
    pub rules: Vec<PathBuf>,
    /// The facts file.
    pub facts: Option<PathBuf>,
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
    /// The store's file.
    pub store: PathBuf,
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
    /// Each option, with its value and where that comes from.
    pub options: Vec<ConfigOption>,
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

/// The defaults, by path.
const DEFAULTS: &[(&str, &str)] = &[
    ("tenant", "-"),
    ("listen", "127.0.0.1:8080"),
    ("rules", "(built-in starter rules)"),
    ("facts.file", "(none)"),
    ("facts.clouds", "(none)"),
    ("facts.max_age", "1d"),
    ("audit.heads", "(none)"),
    ("remediate.most", "off"),
    ("guards.settle", "30m"),
    ("guards.undone", "30d"),
    ("guards.fights", "2"),
    ("guards.failures", "3"),
    ("guards.surge", "25"),
    ("guards.new_for", "7d"),
    ("guards.per_hour", "10"),
    ("guards.per_account", "5"),
    ("guards.per_rule", "10"),
    ("guards.managed_tags", "(those that are known)"),
    ("remediate.approve_within", "7d"),
    ("remediate.confirm_within", "24h"),
    ("fixes.folder", "(none)"),
    ("fixes.digest", "(any)"),
    ("clouds.aws.role", "(none)"),
    ("clouds.aws.organization", "(none)"),
    ("clouds.aws.external_id", "(none)"),
    ("clouds.aws.fips", "false"),
    ("clouds.aws.dual_stack", "false"),
    ("clouds.aws.dangerous_endpoint", "(none)"),
    ("clouds.azure.cloud", "public"),
    ("clouds.azure.client_id", "(none)"),
    ("clouds.azure.dangerous_endpoint", "(none)"),
    ("clouds.gcp.impersonate", "(none)"),
    ("clouds.gcp.dangerous_endpoint", "(none)"),
    ("store.path", ".amend/amend.db"),
    ("source_of_truth.azure", "defender"),
    ("source_of_truth.aws", "defender"),
    ("source_of_truth.gcp", "defender"),
    ("limits.bytes", "16777216"),
    ("limits.nesting", "64"),
    ("limits.records", "10000"),
    ("event_grid.subscriptions", "(any)"),
    ("cloud_events.origins", "(any)"),
    ("log.level", "warn"),
    ("log.format", "human"),
];

/// The variables of the environment that override `amend.yaml`.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
pub fn environment() -> Vec<(String, String)> {
    let mut list: Vec<(String, String)> = std::env::vars().filter(|(name, _)| name.starts_with("AMEND__")).collect();
    list.sort();
    list
}

/// Reads a configuration: the text of `amend.yaml`, if there is one, and the environment.
///
/// `folder` is the one that relative paths are relative to.
///
/// # Errors
/// Every mistake in both.
pub fn load(
    file: Option<&SourceText>,
    folder: &Path,
    environment: &[(String, String)],
) -> Result<(Config, Mistakes), Mistakes> {
    let empty = SourceText::new("(no amend.yaml)", "{}");
    let source = file.unwrap_or(&empty);
    let mut mistakes = Collector::new(source);
    let root = yaml::parse(source, &mut mistakes);
    if let Some(root) = &root {
        shape::check(root, Kind::Map(&FILE), &mut mistakes);
        if file.is_some() && root.get("version").is_none() {
            mistakes.error(root, "amend.yaml lacks `version`", Some("add `version: 1`".into()));
        }
    }
    let root = root.unwrap_or(Node { value: Value::Map(Vec::new()), span: 0..0 });
    let mut found = Mistakes::default();
    let overrides = read_overrides(environment, &mut found);

    let mut options = Vec::new();
    let mut values = |name: &str, mistakes: &mut Collector| -> Option<(Vec<String>, String)> {
        let doc = doc_of(name);
        let node = name.split('.').try_fold(&root, |node, part| node.get(part));
        let (texts, from) = match (overrides.iter().find(|(path, _, _)| path == name), node) {
            (Some((_, variable, text)), _) => {
                (text.split(',').map(|t| t.trim().to_owned()).collect(), variable.clone())
            }
            (None, Some(node)) => (mistakes.texts(Some(node)), format!("{}:{}", source.name, mistakes.line_of(node))),
            (None, None) => {
                let value = DEFAULTS.iter().find(|(path, _)| *path == name).map_or("", |(_, value)| value);
                options.push(ConfigOption {
                    name: name.to_owned(),
                    value: value.to_owned(),
                    from: "default".into(),
                    doc,
                });
                return None;
            }
        };
        let value = texts.join(", ");
        options.push(ConfigOption { name: name.to_owned(), value, from: from.clone(), doc });
        Some((texts, from))
    };
    let mut config = Config {
        tenant: TenantId::new(""),
        listen: "127.0.0.1:8080".into(),
        rules: Vec::new(),
        facts: None,
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
        store: folder.join(".amend/amend.db"),
        truths: Vec::new(),
        limits: Limits::default(),
        event_subscriptions: Vec::new(),
        cloud_event_origins: Vec::new(),
        log_level: "warn".into(),
        log_json: false,
        options: Vec::new(),
    };
    let one =
        |found: Option<(Vec<String>, String)>| found.and_then(|(texts, from)| Some((texts.into_iter().next()?, from)));
    if let Some((tenant, _)) = one(values("tenant", &mut mistakes)) {
        config.tenant = TenantId::new(tenant.trim_matches('-'));
    }
    if let Some((listen, from)) = one(values("listen", &mut mistakes)) {
        match listen.parse::<std::net::SocketAddr>() {
            Ok(address) if address.ip().is_loopback() => config.listen = listen,
            Ok(_) => problem(
                &root,
                "listen",
                &from,
                &mut mistakes,
                &mut found,
                format!("`{listen}` is not a loopback address"),
                "there is no authentication yet, so amend listens on 127.0.0.1 or [::1] only",
            ),
            Err(_) => problem(
                &root,
                "listen",
                &from,
                &mut mistakes,
                &mut found,
                format!("`{listen}` is no address with a port"),
                "write it as 127.0.0.1:8080",
            ),
        }
    }
    if let Some((rules, _)) = values("rules", &mut mistakes) {
        config.rules = rules.iter().map(|path| folder.join(path)).collect();
    }
    if let Some((facts, _)) = one(values("facts.file", &mut mistakes)) {
        config.facts = Some(folder.join(facts));
    }
    if let Some((words, from)) = values("facts.clouds", &mut mistakes) {
        for word in words {
            match Cloud::parse(&word).filter(|cloud| *cloud != Cloud::Other) {
                Some(cloud) => config.fact_clouds.push(cloud),
                None => {
                    let message = format!("`{word}` is no cloud");
                    problem(&root, "facts.clouds", &from, &mut mistakes, &mut found, message, "one of azure, aws, gcp");
                }
            }
        }
    }
    if let Some((text, from)) = one(values("facts.max_age", &mut mistakes)) {
        match Timeframe::parse(&text).map_err(|error| error.to_string()) {
            Ok(age) if age.seconds() >= 60 => config.fact_age = SignedDuration::from_secs(age.seconds()),
            Ok(_) => {
                let message = format!("`{text}` is less than a minute");
                problem(&root, "facts.max_age", &from, &mut mistakes, &mut found, message, "write it as `1d` or `12h`");
            }
            Err(message) => {
                problem(&root, "facts.max_age", &from, &mut mistakes, &mut found, message, "write it as `1d` or `12h`");
            }
        }
    }
    if let Some((path, _)) = one(values("audit.heads", &mut mistakes)) {
        config.audit_heads = Some(folder.join(path));
    }
    if let Some((word, from)) = one(values("remediate.most", &mut mistakes)) {
        // INVARIANT: nothing is written without a person's word until the guards are there.
        config.remediate.most = Mode::parse(&word).filter(|mode| *mode < Mode::Enforce);
        if config.remediate.most.is_none() && word != "off" {
            let message = format!("`{word}` is nothing that can be done");
            let hint = "one of off, observe, approve";
            problem(&root, "remediate.most", &from, &mut mistakes, &mut found, message, hint);
        }
    }
    let guards = &mut config.remediate.guards;
    for (name, slot) in [
        ("guards.per_hour", &mut guards.per_hour),
        ("guards.per_account", &mut guards.per_account),
        ("guards.per_rule", &mut guards.per_rule),
        ("guards.failures", &mut guards.failures),
        ("guards.surge", &mut guards.surge),
        ("guards.fights", &mut guards.fights),
    ] {
        let Some((text, from)) = one(values(name, &mut mistakes)) else { continue };
        match text.replace('_', "").parse() {
            Ok(number) => *slot = number,
            Err(_) => {
                let message = format!("`{text}` is no whole number");
                problem(&root, name, &from, &mut mistakes, &mut found, message, "write it in digits");
            }
        }
    }
    if let Some((tags, from)) = values("guards.managed_tags", &mut mistakes) {
        guards.managed_tags = tags;
        if guards.managed_tags.iter().any(|tag| tag.split('=').next().unwrap_or_default().trim().is_empty()) {
            let message = "a tag without a name matches nothing".to_owned();
            let name = "guards.managed_tags";
            problem(&root, name, &from, &mut mistakes, &mut found, message, "write it as `name` or `name=value`");
        }
    }
    for node in root.get("guards").and_then(|guards| guards.get("freezes")).map(Node::elements).unwrap_or_default() {
        if let Some(freeze) = freeze(node, &mut mistakes) {
            config.remediate.guards.freezes.push(freeze);
        }
    }
    for (name, slot) in [
        ("guards.settle", &mut config.remediate.guards.settle),
        ("guards.undone", &mut config.remediate.guards.undone),
        ("guards.new_for", &mut config.remediate.guards.new_for),
        ("remediate.approve_within", &mut config.remediate.approve_within),
        ("remediate.confirm_within", &mut config.remediate.confirm_within),
    ] {
        let Some((text, from)) = one(values(name, &mut mistakes)) else { continue };
        match Timeframe::parse(&text) {
            // A person, and a source, must have the time to answer.
            Ok(time) if name.starts_with("remediate.") && time.seconds() < 3_600 => {
                let message = format!("`{text}` is less than an hour");
                problem(&root, name, &from, &mut mistakes, &mut found, message, "write it as `24h`");
            }
            Ok(time) => *slot = SignedDuration::from_secs(time.seconds()),
            Err(error) => {
                problem(&root, name, &from, &mut mistakes, &mut found, error.to_string(), "write it as `24h`");
            }
        }
    }
    if let Some((path, _)) = one(values("fixes.folder", &mut mistakes)) {
        config.fix_folder = Some(folder.join(path));
    }
    config.fix_digest = one(values("fixes.digest", &mut mistakes)).map(|(digest, _)| digest);
    config.aws.role = one(values("clouds.aws.role", &mut mistakes)).map(|(role, _)| role);
    if let Some((text, from)) = one(values("clouds.aws.organization", &mut mistakes)) {
        config.aws_organization = AccountId::aws(text.trim());
        if config.aws_organization.is_none() {
            let message = format!("`{text}` is no account of AWS");
            let name = "clouds.aws.organization";
            problem(&root, name, &from, &mut mistakes, &mut found, message, "write its twelve digits, in quotes");
        }
    }
    config.aws.external_id = one(values("clouds.aws.external_id", &mut mistakes)).map(|(id, _)| id);
    for (name, slot) in
        [("clouds.aws.fips", &mut config.aws.fips), ("clouds.aws.dual_stack", &mut config.aws.dual_stack)]
    {
        if let Some((text, from)) = one(values(name, &mut mistakes)) {
            match text.parse() {
                Ok(flag) => *slot = flag,
                Err(_) => {
                    let message = format!("`{text}` is neither true nor false");
                    problem(&root, name, &from, &mut mistakes, &mut found, message, "write `true` or `false`");
                }
            }
        }
    }
    if let Some((word, from)) = one(values("clouds.azure.cloud", &mut mistakes)) {
        match AzureCloud::parse(&word) {
            Some(cloud) => config.azure.cloud = cloud,
            None => {
                let message = format!("`{word}` is no cloud of Azure");
                let hint = "one of public, us-government, china";
                problem(&root, "clouds.azure.cloud", &from, &mut mistakes, &mut found, message, hint);
            }
        }
    }
    config.azure.client_id = one(values("clouds.azure.client_id", &mut mistakes)).map(|(id, _)| id);
    config.gcp.impersonate = one(values("clouds.gcp.impersonate", &mut mistakes)).map(|(account, _)| account);
    for (name, slot) in [
        ("clouds.aws.dangerous_endpoint", &mut config.aws.dangerous_endpoint),
        ("clouds.azure.dangerous_endpoint", &mut config.azure.dangerous_endpoint),
        ("clouds.gcp.dangerous_endpoint", &mut config.gcp.dangerous_endpoint),
    ] {
        let Some((url, from)) = one(values(name, &mut mistakes)) else { continue };
        if url.starts_with("http://") || url.starts_with("https://") {
            *slot = Some(url);
        } else {
            let message = format!("`{url}` is no address");
            problem(&root, name, &from, &mut mistakes, &mut found, message, "write it as `http://127.0.0.1:5000`");
        }
    }
    if let Some((path, _)) = one(values("store.path", &mut mistakes)) {
        config.store = folder.join(path);
    }
    for (cloud, name) in [
        (Cloud::Azure, "source_of_truth.azure"),
        (Cloud::Aws, "source_of_truth.aws"),
        (Cloud::Gcp, "source_of_truth.gcp"),
    ] {
        if let Some((word, from)) = one(values(name, &mut mistakes)) {
            let all = [Source::Defender, Source::PolicyState, Source::SecurityHub, Source::Scc];
            match all.into_iter().find(|source| source.as_str() == word) {
                Some(source) => config.truths.push((cloud, SourceOfTruth(source))),
                None => problem(
                    &root,
                    name,
                    &from,
                    &mut mistakes,
                    &mut found,
                    format!("`{word}` is no source"),
                    "one of defender, policy-state, security-hub, scc",
                ),
            }
        }
    }
    for (name, slot) in [
        ("limits.bytes", &mut config.limits.bytes),
        ("limits.nesting", &mut config.limits.nesting),
        ("limits.records", &mut config.limits.records),
    ] {
        if let Some((text, from)) = one(values(name, &mut mistakes)) {
            match text.replace('_', "").parse() {
                Ok(number) => *slot = number,
                Err(_) => problem(
                    &root,
                    name,
                    &from,
                    &mut mistakes,
                    &mut found,
                    format!("`{text}` is no whole number"),
                    "write it in digits",
                ),
            }
        }
    }
    if let Some((names, _)) = values("event_grid.subscriptions", &mut mistakes) {
        config.event_subscriptions = names;
    }
    if let Some((origins, _)) = values("cloud_events.origins", &mut mistakes) {
        config.cloud_event_origins = origins;
    }
    if let Some((level, from)) = one(values("log.level", &mut mistakes)) {
        if ["error", "warn", "info", "debug", "trace"].contains(&level.as_str()) {
            config.log_level = level;
        } else {
            problem(
                &root,
                "log.level",
                &from,
                &mut mistakes,
                &mut found,
                format!("`{level}` is no level"),
                "one of error, warn, info, debug, trace",
            );
        }
    }
    if let Some((format, _)) = one(values("log.format", &mut mistakes)) {
        config.log_json = format == "json";
    }
    // A list of maps: only the file can hold it.
    let freezes = root.get("guards").and_then(|guards| guards.get("freezes"));
    let begins: Vec<&str> = config.remediate.guards.freezes.iter().map(|freeze| freeze.begins.as_str()).collect();
    let beside = options.iter().position(|option| option.name == "guards.managed_tags").unwrap_or(options.len());
    options.insert(
        beside,
        ConfigOption {
            name: "guards.freezes".into(),
            value: if begins.is_empty() { "(none)".into() } else { begins.join(", ") },
            from: freezes
                .map_or_else(|| "default".into(), |node| format!("{}:{}", source.name, mistakes.line_of(node))),
            doc: doc_of("guards.freezes"),
        },
    );
    config.options = options;
    found.extend(mistakes.finish());
    found.into_result(Some(config))
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

/// Says that a value is wrong, where it stands: in the file, or in the environment.
fn problem(
    root: &Node,
    name: &str,
    from: &str,
    mistakes: &mut Collector,
    found: &mut Mistakes,
    message: String,
    hint: &str,
) {
    let node = name.split('.').try_fold(root, |node, part| node.get(part));
    match node.filter(|_| !from.starts_with("AMEND__")) {
        Some(node) => {
            // The shape may have said so already, in other words.
            if !mistakes.has_error_at(node) {
                mistakes.error(node, message, Some(hint.to_owned()));
            }
        }
        None => found.extend(in_environment(from, message, hint)),
    }
}

fn in_environment(variable: &str, message: String, hint: &str) -> Mistakes {
    let source = SourceText::new("(environment)", variable);
    let mut collector = Collector::new(&source);
    collector.error_at(0..variable.len(), message, Some(hint.to_owned()));
    collector.finish()
}

/// `AMEND__LIMITS__BYTES=…` as path, variable and text.
fn read_overrides(environment: &[(String, String)], found: &mut Mistakes) -> Vec<(String, String, String)> {
    let mut overrides = Vec::new();
    for (variable, text) in environment {
        let path = variable.trim_start_matches("AMEND__").to_lowercase().replace("__", ".");
        if DEFAULTS.iter().any(|(name, _)| *name == path) {
            overrides.push((path, variable.clone(), text.clone()));
        } else {
            let near = amend_domain::settings::nearest(&path, DEFAULTS.iter().map(|(name, _)| *name));
            let hint = near.map_or_else(
                || "`amend config explain` lists the options".to_owned(),
                |near| format!("did you mean `AMEND__{}`?", near.to_uppercase().replace('.', "__")),
            );
            found.extend(in_environment(variable, format!("`{variable}` names no option"), &hint));
        }
    }
    overrides
}

/// The sentence of an option, from the table.
fn doc_of(name: &str) -> &'static str {
    let mut shape = &FILE;
    let mut doc = "";
    for part in name.split('.') {
        let Some(field) = shape.fields.iter().find(|field| field.name == part) else { break };
        doc = field.doc;
        if let Kind::Map(below) = field.kind {
            shape = below;
        }
    }
    doc
}

/// The JSON Schema of `amend.yaml`.
#[must_use]
pub fn json_schema() -> serde_json::Value {
    shape::json_schema(&FILE, "Amend configuration")
}

//! The members of `amend.yaml`, each with its sentence: the manual's page and the JSON Schema are made from them.

use amend_catalog::shape::{Field, Kind, Shape, may, must};

const TEXTS: Kind = Kind::OneOrMany(&Kind::Text);
const SOURCES: Kind = Kind::Word(&["defender", "policy-state", "security-hub", "scc"]);

static STORE: Shape = Shape {
    name: "the store",
    fields: &[
        may("path", Kind::Text, "The file of the embedded SQLite store, relative to amend.yaml."),
        may(
            "url",
            Kind::Text,
            "A PostgreSQL server instead: `postgres://user@host:5432/database`; the password best from the environment, as PGPASSWORD.",
        ),
        may(
            "keys",
            TEXTS,
            "Keys that remediations are sealed with, as `amend store key` makes them: the first seals, all open; on a server there must be one. Best from the environment, as AMEND__STORE__KEYS.",
        ),
        may("connections", Kind::Whole(2, 1_000), "How many connections to the server one process opens at most."),
        may(
            "pooler",
            Kind::Bool,
            "Whether a pooler that hands out connections by the transaction stands before the server: PgBouncer in transaction mode.",
        ),
    ],
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

static PUSH: Shape = Shape {
    name: "who pushes",
    fields: &[
        must(
            "audience",
            Kind::Text,
            "Whom its tokens are made for: the audience of the push subscription and of the scheduler's jobs.",
        ),
        must("accounts", TEXTS, "The service accounts that may push, by their addresses."),
    ],
};

static FUNCTIONS: Shape = Shape {
    name: "function apps",
    fields: &[
        may(
            "refresh",
            Kind::Text,
            "How old may get what a function app has read: this configuration, rules, facts, owners, secrets.",
        ),
        may(
            "instances",
            Kind::Whole(1, 10_000),
            "How many copies of it the platform runs at once at most, as the platform was told: with `store.connections` each they must fit the server.",
        ),
        may(
            "timeout",
            Kind::Text,
            "How long the platform waits for an answer, as it was told. Only Cloud Run needs it: the others say so themselves.",
        ),
        may("push", Kind::Map(&PUSH), "Who pushes events and work to Cloud Run: Pub/Sub, Eventarc, Cloud Scheduler."),
        may(
            "does",
            Kind::OneOrMany(&Kind::Word(&["events", "requests", "work"])),
            "What a function app answers to: `events` of its platform; `requests` over HTTP; `work`, by its timers and queues.",
        ),
    ],
};

static EXECUTOR_AT: Shape = Shape {
    name: "an executor of the hub",
    fields: &[
        must("name", Kind::Text, "What it calls itself: tasks are addressed to it by that."),
        must("url", Kind::Text, "Its address: `https://HOST`."),
        must(
            "accounts",
            TEXTS,
            "The accounts that are reached through it, and in no other way: `aws:111122223333`, `gcp:projects/NAME`.",
        ),
    ],
};

static HUB: Shape = Shape {
    name: "the hub",
    fields: &[
        may("key", Kind::Text, "The secret key that tasks are signed with: `whsk_…`; best as AMEND__HUB__KEY."),
        may(
            "executors",
            Kind::List(&Kind::Map(&EXECUTOR_AT)),
            "Who makes the calls in accounts that the hub has no rights in.",
        ),
    ],
};

static EXECUTOR: Shape = Shape {
    name: "this executor",
    fields: &[
        may("name", Kind::Text, "What the hub calls it."),
        may("hubs", TEXTS, "The keys of the hub whose tasks it takes: `whpk_…`; several, while one replaces another."),
        may(
            "policy",
            Kind::Text,
            "The file that says what may be done, relative to amend.yaml. It is read for every task.",
        ),
        may(
            "keys",
            TEXTS,
            "Keys that it knows its own word by, as `amend executor key` makes them: the first signs, all are known. Best as AMEND__EXECUTOR__KEYS.",
        ),
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
        may(
            "pipelines",
            TEXTS,
            "Identities of pipelines, as the clouds' logs name them: an id or address in Azure, the ARN of a role in AWS, the address of a service account in Google Cloud. What one of them wrote last is changed there.",
        ),
        may(
            "not_used",
            Kind::OneOrMany(&Kind::Word(&["security-hub", "scc"])),
            "Sources of findings that are not in use: they are not asked what is suppressed or muted there.",
        ),
        may("freezes", Kind::List(&Kind::Map(&FREEZE)), "When nothing begins."),
    ],
};

static PERSON: Shape = Shape {
    name: "a person",
    fields: &[
        must("name", Kind::Text, "Who: as the audit trail names them, best their address."),
        must("token", Kind::Text, "The digest of their token, as `amend token NAME` prints it: `sha256:…`."),
        may("until", Kind::Text, "The last day of the token, in UTC: `2027-06-30`."),
        may(
            "may",
            Kind::OneOrMany(&Kind::Word(&["dates", "fixes"])),
            "What not everybody may: `dates` is to move due dates, and to say when others will be done; `fixes` is to answer fixes that are announced to others.",
        ),
    ],
};

static CALLER: Shape = Shape {
    name: "a tool that calls",
    fields: &[
        must("name", Kind::Text, "What it is called: as the audit trail names it."),
        must("token", Kind::Text, "The digest of its token, as `amend token NAME` prints it: `sha256:…`."),
        must(
            "may",
            Kind::OneOrMany(&Kind::Word(&["ingest", "read", "operate"])),
            "What it may: `ingest` is to deliver events; `read` is to read what is known; `operate` is to release a slice of the backlog, and to stop everything.",
        ),
        may("until", Kind::Text, "The last day of the token, in UTC: `2027-06-30`."),
    ],
};

static EXEMPTIONS: Shape = Shape {
    name: "exemptions",
    fields: &[
        may("longest", Kind::Text, "How long an exemption may last."),
        may("remind", Kind::Text, "How long before an exemption ends that is said."),
    ],
};

static REMEDIATE: Shape = Shape {
    name: "remediating",
    fields: &[
        may(
            "most",
            Kind::Word(&["off", "observe", "approve", "enforce"]),
            "The most that `amend serve` and `amend sweep` do by themselves, whatever rules say: nothing; plan; plan and ask a person; also write where the rule, the fix and every guard let it.",
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

const FIELDS: Field = may(
    "fields",
    Kind::Table(&Kind::Any),
    "Fields of new tickets, by the tracker's own names: values, or CEL over `ticket` where a text begins with `=`.",
);

static JIRA: Shape = Shape {
    name: "Jira Cloud",
    fields: &[
        may("url", Kind::Text, "The site: `https://example.atlassian.net`."),
        may("user", Kind::Text, "The address of the account that opens issues."),
        may("token", Kind::Text, "Its API token; best from the environment."),
        may("project", Kind::Text, "The key of the project: `SEC`."),
        may("type", Kind::Text, "The issue type: `Task`, if absent."),
        may("close", Kind::Text, "The transition that closes; any that leads to a status that means done, if absent."),
        may("reopen", Kind::Text, "The transition that opens again; any that leads to another status, if absent."),
        FIELDS,
    ],
};

static SERVICENOW: Shape = Shape {
    name: "ServiceNow",
    fields: &[
        may("url", Kind::Text, "The instance: `https://example.service-now.com`."),
        may("user", Kind::Text, "The user that opens incidents."),
        may("password", Kind::Text, "Their password; best from the environment."),
        may("close_code", Kind::Text, "The resolution code of what Amend closes: `Resolved by request`, if absent."),
        FIELDS,
    ],
};

static GITHUB: Shape = Shape {
    name: "GitHub Issues",
    fields: &[
        may("url", Kind::Text, "The API of a GitHub Enterprise Server; `https://api.github.com`, if absent."),
        may("repository", Kind::Text, "The repository: `owner/name`."),
        may("token", Kind::Text, "A token that reads and writes its issues; best from the environment."),
        FIELDS,
    ],
};

static WEBHOOK: Shape = Shape {
    name: "a webhook",
    fields: &[
        may("url", Kind::Text, "The whole address that is told."),
        may("secret", Kind::Text, "What requests are signed with: `whsec_` and base64; best from the environment."),
    ],
};

static MAIL: Shape = Shape {
    name: "mail",
    fields: &[
        may(
            "url",
            Kind::Text,
            "The server: `smtp://host:587` (STARTTLS) or `smtps://host`; without TLS this machine alone.",
        ),
        may("user", Kind::Text, "The user."),
        may("password", Kind::Text, "Their password; best from the environment."),
        may("from", Kind::Text, "Whom mails are from: `Amend <amend@example.org>`."),
    ],
};

/// A channel: one of these.
static CHANNEL: Shape = Shape {
    name: "a channel",
    fields: &[
        may("slack", Kind::Text, "The address of an incoming webhook of Slack's; best from the environment."),
        may(
            "teams",
            Kind::Text,
            "The address of a workflow of Microsoft Teams that posts what it is sent; best from the environment.",
        ),
    ],
};

static NOTICES: Shape = Shape {
    name: "notices",
    fields: &[
        may("mail", Kind::Map(&MAIL), "How mail is sent."),
        may(
            "digest",
            Kind::Text,
            "When owners get a mail about all that is open, as cron with a time zone: `0 8 * * MON Europe/Vienna`; never, if absent.",
        ),
        may("orphans", Kind::Text, "Who gets what nobody owns, or an owner without an address."),
        may(
            "escalate",
            Kind::Text,
            "How long something must be overdue before the manager of its owner hears of it with the next digest: `7d`.",
        ),
        may(
            "quiet",
            Kind::Text,
            "Hours in which nobody is told what can wait: `20:00-07:00 Europe/Vienna`; none, if absent.",
        ),
        may("channels", Kind::Table(&Kind::Map(&CHANNEL)), "Channels that rules `notify`, each by a name of its own."),
    ],
};

/// A connector: one of these.
pub(super) static CONNECTOR: Shape = Shape {
    name: "a connector",
    fields: &[
        may("jira", Kind::Map(&JIRA), "Issues of a project of Jira Cloud."),
        may("servicenow", Kind::Map(&SERVICENOW), "Incidents of a ServiceNow instance."),
        may("github", Kind::Map(&GITHUB), "Issues of a repository on GitHub."),
        may("webhook", Kind::Map(&WEBHOOK), "Any other system, told by signed requests (Standard Webhooks)."),
    ],
};

static ROUTE: Shape = Shape {
    name: "a route",
    fields: &[
        may("cloud", Kind::Word(&["azure", "aws", "gcp"]), "Of problems in this cloud."),
        may("account", TEXTS, "Of problems in one of these subscriptions, accounts or projects."),
        may("owner", TEXTS, "Of owners that fit one of these; `*` stands for anything."),
        must("to", Kind::Text, "The connector that such tickets go to, by its name; or `local`."),
    ],
};

static TICKETS: Shape = Shape {
    name: "tickets",
    fields: &[
        may("to", Kind::Text, "The connector that new tickets go to, by its name; `local` is Amend's own tracker."),
        may("routes", Kind::List(&Kind::Map(&ROUTE)), "Others for some of them; the first that fits takes a ticket."),
        may("per_owner", Kind::Whole(1, 10_000), "How many tickets an owner gets in a day; the rest go into one."),
        may("per_rule", Kind::Whole(1, 100_000), "How many tickets a rule opens in a day; the rest go into one."),
    ],
};

static SYNC: Shape = Shape {
    name: "sync",
    fields: &[
        may("defender", Kind::Map(&SYNC_DEFENDER), "Governance assignments of Defender for Cloud."),
        may("security_hub", Kind::Map(&SYNC_HUB), "Findings of AWS Security Hub."),
        may("scc", Kind::Map(&SYNC_SCC), "Findings of Security Command Center."),
    ],
};

static SYNC_DEFENDER: Shape = Shape {
    name: "sync with Defender",
    fields: &[
        may(
            "authority",
            Kind::Word(&["off", "defender", "amend"]),
            "Whose owners and dates count: Defender's are taken over and never written; Amend's are written into its assignments, where those say nothing.",
        ),
        may(
            "override",
            Kind::Bool,
            "Whether Amend also writes over what Defender's own rules assigned. What a person assigned stays in any case.",
        ),
    ],
};

static SYNC_HUB: Shape = Shape {
    name: "sync with Security Hub",
    fields: &[
        may(
            "findings",
            Kind::Bool,
            "Whether findings are told what became of them: `NOTIFIED` with a ticket, `RESOLVED` when it is set and read back, and a note.",
        ),
        may("import", Kind::Bool, "Whether what only Defender says of resources in AWS becomes a finding there."),
    ],
};

static SYNC_SCC: Shape = Shape {
    name: "sync with Security Command Center",
    fields: &[may(
        "marks",
        Kind::Bool,
        "Whether findings are marked with what became of them: `amend`, `amendticket`, …",
    )],
};

/// The members of `amend.yaml`.
pub(super) static FILE: Shape = Shape {
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
        may(
            "stopped",
            Kind::Bool,
            "Whether nothing is written, whatever else is said: no fix, no undo, by nobody who uses this configuration.",
        ),
        may(
            "people",
            Kind::List(&Kind::Map(&PERSON)),
            "People with names: only they can answer for a plan then, and only they can exempt.",
        ),
        may("token", Kind::Text, "The token of whoever uses the command: only from the environment, as AMEND__TOKEN."),
        may(
            "callers",
            Kind::List(&Kind::Map(&CALLER)),
            "Tools that call a function app over HTTP, from elsewhere, each with a token.",
        ),
        may("exemptions", Kind::Map(&EXEMPTIONS), "Exemptions of Amend's own."),
        may("rules", TEXTS, "Rule files, relative to amend.yaml; the built-in starter rules, if absent."),
        may("facts", Kind::Map(&FACTS), "What is known beside the events: hierarchy and tags."),
        may(
            "owners",
            Kind::Text,
            "A file that says who is who, and who manages whom: CSV or YAML, relative to amend.yaml.",
        ),
        may("audit", Kind::Map(&AUDIT), "The audit trail."),
        may("guards", Kind::Map(&GUARDS), "What keeps a remediation from doing harm."),
        may("remediate", Kind::Map(&REMEDIATE), "What is done by itself."),
        may("functions", Kind::Map(&FUNCTIONS), "How Amend runs as a function app."),
        may("hub", Kind::Map(&HUB), "Executors, for accounts that this Amend has no rights in."),
        may(
            "executor",
            Kind::Map(&EXECUTOR),
            "What this executor is. Where it is there, a function app takes tasks of a hub, and does nothing else.",
        ),
        may("fixes", Kind::Map(&FIXES), "Fixes beside those that ship with Amend."),
        may("clouds", Kind::Map(&CLOUDS), "How the clouds are reached."),
        may("connect", Kind::Table(&Kind::Map(&CONNECTOR)), "Trackers of other makers, each by a name of its own."),
        may("tickets", Kind::Map(&TICKETS), "Where tickets go, and how many."),
        may("notices", Kind::Map(&NOTICES), "What people are told."),
        may("sync", Kind::Map(&SYNC), "What the systems are told that problems come from."),
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

/// The defaults, by path.
pub(super) const DEFAULTS: &[(&str, &str)] = &[
    ("tenant", "-"),
    ("listen", "127.0.0.1:8080"),
    ("stopped", "false"),
    ("token", "(none)"),
    ("exemptions.longest", "180d"),
    ("exemptions.remind", "14d"),
    ("rules", "(built-in starter rules)"),
    ("facts.file", "(none)"),
    ("facts.clouds", "(none)"),
    ("facts.max_age", "1d"),
    ("owners", "(none)"),
    ("audit.heads", "(none)"),
    ("functions.refresh", "5m"),
    ("functions.instances", "10"),
    ("functions.timeout", "5m"),
    ("functions.does", "events, requests, work"),
    ("functions.push.audience", "(none)"),
    ("functions.push.accounts", "(none)"),
    ("hub.key", "(none)"),
    ("executor.name", "(none)"),
    ("executor.hubs", "(none)"),
    ("executor.policy", "(none)"),
    ("executor.keys", "(none)"),
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
    ("guards.pipelines", "(none)"),
    ("guards.not_used", "(none)"),
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
    ("notices.digest", "(never)"),
    ("notices.orphans", "(nobody)"),
    ("notices.escalate", "0d"),
    ("notices.quiet", "(none)"),
    ("notices.mail.url", "(none)"),
    ("notices.mail.user", "(none)"),
    ("notices.mail.password", "(none)"),
    ("notices.mail.from", "(none)"),
    ("tickets.to", "local"),
    ("tickets.per_owner", "20"),
    ("tickets.per_rule", "200"),
    ("sync.defender.authority", "off"),
    ("sync.defender.override", "false"),
    ("sync.security_hub.findings", "false"),
    ("sync.security_hub.import", "false"),
    ("sync.scc.marks", "false"),
    ("store.path", ".amend/amend.db"),
    ("store.url", "(none)"),
    ("store.keys", "(none)"),
    ("store.connections", "8"),
    ("store.pooler", "false"),
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

/// A member, by its path.
pub(super) fn field(name: &str) -> Option<&'static Field> {
    let mut shape = &FILE;
    let (mut found, mut in_table) = (None, false);
    for part in name.split('.') {
        // What stands in a table has a name of its own.
        if in_table {
            in_table = false;
            continue;
        }
        let field = shape.fields.iter().find(|field| field.name == part)?;
        match &field.kind {
            Kind::Map(below) => shape = below,
            Kind::Table(Kind::Map(below)) => (shape, in_table) = (below, true),
            _ => {}
        }
        found = Some(field);
    }
    found
}

/// The members of connectors and channels, by path, with their sentences.
pub(super) fn of_connectors() -> Vec<(String, &'static str)> {
    let channel = |member: &Field| (format!("notices.channels.NAME.{}", member.name), member.doc);
    let mut all: Vec<_> = CHANNEL.fields.iter().map(channel).collect();
    for kind in CONNECTOR.fields {
        if let Kind::Map(shape) = &kind.kind {
            let path = |member: &Field| format!("connect.NAME.{}.{}", kind.name, member.name);
            all.extend(shape.fields.iter().map(|member| (path(member), member.doc)));
        }
    }
    all
}

/// The sentence of a member.
pub(super) fn doc_of(name: &str) -> &'static str {
    field(name).map_or("", |field| field.doc)
}

//! The command line.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};

/// Event-driven remediation for Microsoft Defender for Cloud.
#[derive(Debug, Parser)]
#[command(name = "amend", version, about, max_term_width = 100, propagate_version = true)]
pub struct Arguments {
    /// The configuration; without it, ./amend.yaml if it is there.
    #[arg(long, short, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// How results are written.
    #[arg(long, global = true, value_enum, default_value_t = Format::Human)]
    pub format: Format,

    #[command(subcommand)]
    pub command: Command,
}

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Tables and colours, for people.
    Human,
    /// Tab-separated lines, for shells.
    Plain,
    /// JSON, for programs.
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Receives events over HTTP, until Ctrl-C.
    Serve(Serve),
    /// Posts the bundled notifications to a running service and shows what was decided.
    Demo(Demo),
    /// Records assessments: a saved export, or Defender's own list; nothing is started for them.
    Import(Import),
    /// Says what the rules make of a notification; records nothing.
    Decide(FileArgument),
    /// Lists problems, most urgent first.
    List(List),
    /// Says why a problem was decided as it was: every rule, every fact.
    Explain {
        /// A problem's id (or the start of it), an assessment's id, or a resource's id.
        id: String,
    },
    /// Counts what imports and snapshots brought, and lets it go slice by slice.
    Backlog {
        #[command(subcommand)]
        command: Option<BacklogCommand>,
    },
    /// Checks, tests, imports and exports rules.
    #[command(subcommand)]
    Rules(RulesCommand),
    /// Says what a fix would change, in full; writes nothing.
    Plan(Plan),
    /// Does what a plan says, reads it back, and keeps what is needed to undo it.
    Fix(FixArguments),
    /// Prints a script for the clouds' own command lines that does what a plan says.
    Script(Script),
    /// Prints the least that the fixes need to be allowed, as roles: to read, to write, to undo.
    Roles(Roles),
    /// Brings back what was there before a remediation.
    Undo {
        /// The remediation's id, or the start of it.
        id: String,
    },
    /// Says where the store is, and what is there.
    Store {
        #[command(subcommand)]
        command: Option<StoreCommand>,
    },
    /// Asks the executors who they are, and whether they could do what they are for.
    Executor {
        #[command(subcommand)]
        command: Option<ExecutorCommand>,
    },
    /// Does what is due now, and ends: for a timer. Fixes go as far as `remediate.most` lets them; tickets and mails are
    /// told and sent.
    Sweep,
    /// Lists what is to be done next, and what waits for a person.
    Work {
        #[command(subcommand)]
        command: Option<WorkCommand>,
    },
    /// Shows what each owner has to do, writes it as mails look, or sends it.
    Digest(DigestArguments),
    /// Lists fixes that are announced, or answers one: at once, later, or not at all.
    Announced(Announced),
    /// Moves the due date of a problem, with a reason. Whoever has a name needs `may: dates` for it.
    Due {
        /// The problem (`p-…`), or the start of its id.
        problem: String,
        /// The day, in UTC, which is still on time: `2026-12-15`.
        on: String,
        /// Why.
        #[arg(long, value_parser = said)]
        why: String,
    },
    /// Says when a problem of yours will be done. Its due date stands.
    Eta {
        /// The problem (`p-…`), or the start of its id.
        problem: String,
        /// The day, in UTC: `2026-12-15`.
        #[arg(required_unless_present = "none")]
        on: Option<String>,
        /// What to say of it.
        #[arg(long, value_parser = said, requires = "on")]
        why: Option<String>,
        /// Takes it back.
        #[arg(long, conflicts_with = "on")]
        none: bool,
    },
    /// Shows what channels and people are told next, or writes it as it will look.
    Notices {
        /// Writes each message into this folder: as a page, and as Slack and Teams get it.
        #[arg(long, value_name = "FOLDER")]
        out: Option<PathBuf>,
    },
    /// Shows what Defender, Security Hub and Security Command Center were told of problems, or would be told now.
    Sync {
        #[command(subcommand)]
        command: Option<SyncCommand>,
    },
    /// Lists the connectors and channels, or tries whether one can do what it is for.
    Connect {
        #[command(subcommand)]
        command: Option<ConnectCommand>,
    },
    /// Lists the tickets, wherever they stand, or shows and answers one.
    Tickets {
        #[command(subcommand)]
        command: Option<TicketsCommand>,
        /// Also those that are closed.
        #[arg(long)]
        all: bool,
        /// At most this many.
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// Lists the plans that await approval, shows one in full, or those that can be answered together.
    Approvals(Plans),
    /// Approves a plan, or a batch of them: what was seen, and nothing else.
    Approve(Answer),
    /// Denies a plan, or a batch of them: it is not done.
    Deny {
        #[command(flatten)]
        answer: Answer,
        /// Why.
        #[arg(long, value_parser = said)]
        why: String,
    },
    /// Has nothing done about a resource, an account, or all with a tag, until a day, by itself or by `amend fix`.
    Hold {
        /// The resource or account, by its id; or `tag:key`, `tag:key=value`.
        #[arg(required_unless_present_any = ["list", "end"], requires = "until", requires = "why")]
        id: Option<String>,
        /// How long: `14d`.
        #[arg(long = "for", value_name = "TIME", id = "until")]
        lasts: Option<String>,
        /// Why.
        #[arg(long, value_parser = said)]
        why: Option<String>,
        /// Lists the holds there are.
        #[arg(long, conflicts_with_all = ["id", "end"])]
        list: bool,
        /// Ends one before its time, by its id.
        #[arg(long, value_name = "HOLD", conflicts_with = "id")]
        end: Option<String>,
    },
    /// Lets something be for a while: one person asks for it, another approves it.
    Exempt(Exempt),
    /// Makes a token for a person or a tool, and prints what goes into amend.yaml.
    Token {
        /// Their name: of a person best the address.
        name: String,
    },
    /// Stops everything that writes, at once, until `amend resume`.
    Stop {
        /// Why.
        #[arg(long, value_parser = said)]
        why: String,
    },
    /// Lets everything go on that was stopped.
    Resume,
    /// Shows, checks, exports and purges the audit trail.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Says what Amend did to a resource or an account lately, and how to undo it.
    Recent {
        /// The resource or account, by its id.
        id: String,
        /// How far back.
        #[arg(long, default_value = "24h", value_name = "TIME")]
        since: String,
    },
    /// Lists what was fixed and undone, newest first; with an id, tells all about one.
    Remediations(Remediations),
    /// Lists, checks and tests the fixes.
    #[command(subcommand)]
    Catalog(CatalogCommand),
    /// Shows records that could not be read, and tries them again.
    #[command(subcommand)]
    Unreadable(UnreadableCommand),
    /// Checks and explains the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Args, Debug)]
pub struct Serve {
    /// The port, instead of the one in the configuration.
    #[arg(long)]
    pub port: Option<u16>,
}

#[derive(Args, Debug)]
#[group(multiple = false)]
pub struct Plans {
    /// A remediation's id, or the start of it.
    pub id: Option<String>,
    /// All of this rule, together.
    #[arg(long)]
    pub rule: Option<String>,
    /// All of this fix, together.
    #[arg(long)]
    pub fix: Option<String>,
}

#[derive(Args, Debug)]
#[command(group(ArgGroup::new("which").required(true).args(["id", "rule", "fix"])))]
pub struct Answer {
    #[command(flatten)]
    pub plans: Plans,
    /// The digest of the plan or the batch, or its first eight digits, as `amend approvals` shows it.
    #[arg(long, value_name = "DIGEST")]
    pub plan: String,
    /// Of a batch: without this one, by its id; it goes on waiting.
    #[arg(long, value_name = "ID", conflicts_with = "id")]
    pub except: Vec<String>,
}

#[derive(Args, Debug)]
pub struct Exempt {
    /// A problem (`p-…`), or a resource, resource group or account by its id.
    #[arg(required_unless_present_any = ["list", "approve", "end"], requires = "until", requires = "category", requires = "why")]
    pub on: Option<String>,
    /// Of a resource, group or account: a fix or a recommendation; everything there, if absent.
    #[arg(long, value_name = "FIX", requires = "on")]
    pub of: Option<String>,
    /// What is said of the problem.
    #[arg(long, value_enum, requires = "on")]
    pub category: Option<Category>,
    /// How long: `90d`.
    #[arg(long = "for", value_name = "TIME", id = "until", requires = "on")]
    pub lasts: Option<String>,
    /// Why.
    #[arg(long, value_parser = said, requires = "on")]
    pub why: Option<String>,
    /// Lists the exemptions there are.
    #[arg(long, conflicts_with_all = ["on", "approve", "end"])]
    pub list: bool,
    /// Approves one that another person asked for, by its id.
    #[arg(long, value_name = "EXEMPTION", conflicts_with_all = ["on", "end"])]
    pub approve: Option<String>,
    /// Ends one before its time, or takes it back, by its id.
    #[arg(long, value_name = "EXEMPTION", conflicts_with = "on")]
    pub end: Option<String>,
}

/// What an exemption says of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Category {
    /// It is there, and is lived with.
    RiskAccepted,
    /// Something else keeps it from doing harm.
    Mitigated,
    /// It is not there: the source is wrong.
    FalsePositive,
}

impl From<Category> for amend_domain::exemption::Category {
    fn from(category: Category) -> Self {
        match category {
            Category::RiskAccepted => Self::RiskAccepted,
            Category::Mitigated => Self::Mitigated,
            Category::FalsePositive => Self::FalsePositive,
        }
    }
}

#[derive(Args, Debug)]
pub struct Demo {
    /// Starts the service first, with the demo's own rules and facts, and goes on serving.
    #[arg(long)]
    pub serve: bool,
    /// With --serve: ends when the table is printed.
    #[arg(long, requires = "serve")]
    pub once: bool,
    /// The service's port.
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
    /// With --serve: where the demo remembers.
    #[arg(long, requires = "serve", default_value = ".amend/amend.db", value_name = "FILE")]
    pub store: PathBuf,
}

#[derive(Args, Debug)]
pub struct FileArgument {
    /// The file; `-` is standard input.
    pub file: PathBuf,
}

#[derive(Args, Debug)]
#[command(group(ArgGroup::new("source").required(true).args(["file", "live"])))]
pub struct Import {
    /// A saved export; `-` is standard input.
    pub file: Option<PathBuf>,
    /// Reads Defender's own list instead, from Azure Resource Graph; goes on where it was stopped.
    #[arg(long)]
    pub live: bool,
    /// With --live: a subscription or management group, by its id; everything that can be seen, if absent.
    #[arg(long, value_name = "ID", conflicts_with = "file")]
    pub scope: Vec<String>,
    /// With --live: begins anew, also where it was stopped less than a day ago.
    #[arg(long, conflicts_with = "file")]
    pub restart: bool,
}

#[derive(Args, Debug)]
pub struct List {
    /// Which problems.
    #[arg(long, value_enum, default_value_t = ListState::Open)]
    pub state: ListState,
    /// Only those governed by this rule.
    #[arg(long)]
    pub rule: Option<String>,
    /// Only those in this account: `/subscriptions/…`, `aws:…`, `gcp:projects/…`.
    #[arg(long)]
    pub account: Option<String>,
    /// At most this many.
    #[arg(long, default_value_t = 100)]
    pub limit: u32,
}

/// Which problems to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ListState {
    /// Those that are there.
    Open,
    /// Those that are not, any more.
    Closed,
    /// Both.
    All,
}

#[derive(Debug, Subcommand)]
pub enum BacklogCommand {
    /// Lets a slice go, most urgent first; its dates are set now.
    Release {
        /// Of this rule.
        #[arg(long)]
        rule: String,
        /// At most this many.
        #[arg(long)]
        limit: u32,
        /// In this scope.
        #[arg(long)]
        scope: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// Shows every mistake in rule files, with its place and what to do.
    Check {
        /// The files; without them, those of the configuration.
        files: Vec<PathBuf>,
        /// Also warns of rules that ask for what no assessment has: a saved export, or `store`.
        #[arg(long, value_name = "FILE|store")]
        against: Option<String>,
    },
    /// Runs the cases that stand in rule files.
    Test {
        /// The files; without them, those of the configuration.
        files: Vec<PathBuf>,
    },
    /// Makes a rule file of Defender's own governance rules.
    Import {
        /// What `GET …/Microsoft.Security/governanceRules` answered; `-` is standard input.
        file: PathBuf,
        /// Where a rule holds that has no id, such as the body of a PUT.
        #[arg(long)]
        scope: Option<String>,
    },
    /// Makes Defender governance rules of rules.
    Export {
        /// The files; without them, those of the configuration.
        files: Vec<PathBuf>,
    },
    /// Prints the JSON Schema of rule files, for editors.
    Schema,
}

#[derive(Args, Debug)]
pub struct Plan {
    /// A fix (`aws.s3.block-public-access`), a recommendation (`securityhub:S3.8`) or a problem (`p-…`).
    pub what: String,
    /// Of a fix: the resource, by its native name.
    #[arg(long, conflicts_with = "open")]
    pub resource: Option<String>,
    /// Of a fix: every open problem that it would close.
    #[arg(long)]
    pub open: bool,
    /// The resource's account, where its name does not tell.
    #[arg(long, requires = "resource")]
    pub account: Option<String>,
    /// The resource's region, where its name does not tell.
    #[arg(long, requires = "resource")]
    pub region: Option<String>,
    /// A value that the fix needs: `NAME=VALUE`.
    #[arg(long = "param", value_name = "NAME=VALUE")]
    pub params: Vec<String>,
    /// Also shows the calls.
    #[arg(long)]
    pub calls: bool,
    /// Keeps the plan in this file, for `amend fix --plan`.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct Script {
    /// A fix (`aws.s3.block-public-access`) or a recommendation (`securityhub:S3.8`).
    #[arg(required_unless_present = "plan", conflicts_with = "plan")]
    pub fix: Option<String>,
    /// The resource, by its native name.
    #[arg(long, required_unless_present = "plan")]
    pub resource: Option<String>,
    /// The resource's account, where its name does not tell.
    #[arg(long)]
    pub account: Option<String>,
    /// The resource's region, where its name does not tell.
    #[arg(long)]
    pub region: Option<String>,
    /// A value that the fix needs: `NAME=VALUE`.
    #[arg(long = "param", value_name = "NAME=VALUE")]
    pub params: Vec<String>,
    /// Of plans that `amend plan --out` kept; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub plan: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct Roles {
    /// Only for these fixes.
    #[arg(long = "fix", value_name = "FIX")]
    pub fixes: Vec<String>,
    /// Only for this cloud: azure, aws or gcp.
    #[arg(long)]
    pub cloud: Option<String>,
}

#[derive(Args, Debug)]
pub struct FixArguments {
    /// The plan, as `amend plan --out` kept it; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub plan: PathBuf,
    /// Of many plans: the most at once in one account.
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=100))]
    pub per_account: u16,
    /// Of many plans: no more begin when this share of them did not end well.
    #[arg(long, default_value_t = 10, value_name = "PERCENT")]
    pub stop_at: usize,
    /// Also carries out plans that were carried out before, and undone since.
    #[arg(long)]
    pub again: bool,
}

#[derive(Args, Debug)]
pub struct Remediations {
    /// A remediation's id, or the start of it.
    pub id: Option<String>,
    /// Only those of this resource.
    #[arg(long)]
    pub resource: Option<String>,
    /// Only those in this state.
    #[arg(long)]
    pub state: Option<String>,
    /// At most this many.
    #[arg(long, default_value_t = 100)]
    pub limit: u32,
    /// Goes on with those that have not ended, such as after a crash.
    #[arg(long)]
    pub resume: bool,
}

#[derive(Debug, Subcommand)]
pub enum TicketsCommand {
    /// Shows one, with all that was said in it.
    Show {
        /// Its number, or its key.
        ticket: String,
    },
    /// Says something in one.
    Comment {
        /// Its number, or its key.
        ticket: String,
        /// What.
        #[arg(value_parser = said)]
        text: String,
    },
    /// Closes one. It stays closed, until something of it comes back.
    Close {
        /// Its number, or its key.
        ticket: String,
        /// Why.
        #[arg(long, value_parser = said)]
        why: String,
    },
    /// Opens one again. It stays open until you close it; where another problem comes, until all is healthy.
    Reopen {
        /// Its number, or its key.
        ticket: String,
        /// Why.
        #[arg(long, value_parser = said)]
        why: String,
    },
    /// Counts what the rules would open for all that is open now.
    Preview,
}

#[derive(Args, Debug)]
pub struct Announced {
    /// The problem (`p-…`), or the start of its id; all, if absent.
    pub problem: Option<String>,
    /// It may be done at once.
    #[arg(long, requires = "problem", conflicts_with_all = ["postpone", "object", "withdraw"])]
    pub now: bool,
    /// It may be done when this day is over, in UTC. That can be said once.
    #[arg(long, value_name = "DAY", requires = "problem", requires = "why", conflicts_with_all = ["object", "withdraw"])]
    pub postpone: Option<String>,
    /// It may not be done: it stays a person's, and has a ticket.
    #[arg(long, requires = "problem", requires = "why", conflicts_with = "withdraw")]
    pub object: bool,
    /// Nobody objects any more: it is announced anew.
    #[arg(long, requires = "problem")]
    pub withdraw: bool,
    /// Why.
    #[arg(long, value_parser = said)]
    pub why: Option<String>,
}

#[derive(Args, Debug)]
pub struct DigestArguments {
    /// Of this owner alone.
    #[arg(long)]
    pub owner: Option<String>,
    /// Writes a page and a plain text for each owner into this folder.
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
    /// Sends it to its owner now.
    #[arg(long, requires = "owner")]
    pub send: bool,
}

#[derive(Debug, Subcommand)]
pub enum ConnectCommand {
    /// Looks at its credentials and permissions, and says what is missing. Writes nothing.
    Test {
        /// The name of the connector, or of the channel, in amend.yaml.
        name: String,
        /// Also opens a ticket that says that it is a test, comments and closes it; in a channel, posts such a message.
        #[arg(long)]
        open: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum SyncCommand {
    /// Reads what stands there, and shows what would be taken over or written now. Writes nothing.
    Plan {
        /// Of this problem alone, by the start of its id.
        id: Option<String>,
        /// Of so many problems, the most urgent first.
        #[arg(long, default_value_t = 20, conflicts_with = "id")]
        limit: u32,
    },
}

#[derive(Debug, Subcommand)]
pub enum WorkCommand {
    /// Tries again what waits for a person: one piece of work, by its key; without a key, all of it.
    Retry {
        /// The key, as `amend work` shows it.
        key: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Makes the tables, or brings them forward to this version of amend.
    Migrate,
    /// Prints a new key for `store.keys`.
    Key,
    /// Seals every remediation with the first of `store.keys`, so that others are not needed any more.
    Seal,
}

#[derive(Debug, Subcommand)]
pub enum ExecutorCommand {
    /// Prints new keys for a hub and an executor.
    Key,
    /// Says of each fix on whose word a policy lets it be done.
    Policy {
        /// The policy; that of this executor, if absent.
        file: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Lists the last records.
    List {
        /// At most this many.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Checks the whole trail: that no record was changed, moved or left out.
    Verify {
        /// The file with the ends of the trail, as `audit.heads` names it; that of the configuration, if absent.
        #[arg(long, value_name = "FILE")]
        heads: Option<PathBuf>,
        /// A file with records that were purged: checked, too, and held against what is left. More than one, in order.
        #[arg(long, value_name = "FILE")]
        earlier: Vec<PathBuf>,
    },
    /// Prints the whole trail, one JSON record a line.
    Export,
    /// Takes old records out of the store, into a file, and leaves a checkpoint in their place.
    Purge {
        /// How old they are at least: `400d`.
        #[arg(long, value_name = "TIME")]
        older: String,
        /// The file that they are written to, which is not there yet. Keep it.
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub enum CatalogCommand {
    /// Lists the fixes.
    List,
    /// Shows one fix: its file.
    Show {
        /// Its id, or a recommendation that it closes.
        fix: String,
        /// The plan that it makes for the bad case of its own tests, instead of the file.
        #[arg(long)]
        example: bool,
    },
    /// Prints the frame of a new fix file.
    New {
        /// Its id: `<cloud>.<service>.<what becomes true>`.
        id: String,
    },
    /// Shows every mistake in fix files, with its place and what to do.
    Check {
        /// The files; without them, those that ship with Amend and those of the configuration.
        files: Vec<PathBuf>,
    },
    /// Runs the tests that stand in fix files. Nothing leaves this machine.
    Test {
        /// The files; without them, those that ship with Amend and those of the configuration.
        files: Vec<PathBuf>,
    },
    /// Prints the JSON Schema of fix files, for editors.
    Schema,
}

#[derive(Debug, Subcommand)]
pub enum UnreadableCommand {
    /// Lists them, newest first.
    List {
        /// Also those that a retry has read since.
        #[arg(long)]
        all: bool,
    },
    /// Shows one, whole.
    Show {
        /// Its id, or the start of it.
        id: String,
    },
    /// Tries to read one again; without an id, all of them.
    Retry {
        /// Its id, or the start of it.
        id: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Shows every mistake in the configuration.
    Check,
    /// Shows every option: its value, where that comes from, and what it is for.
    Explain,
    /// Prints the JSON Schema of amend.yaml, for editors.
    Schema,
}

/// A reason, in words.
fn said(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    match text {
        "" => Err("say it in a few words"),
        text if text.chars().any(char::is_control) => Err("say it in one line"),
        text if text.chars().count() > 500 => Err("say it in at most 500 characters"),
        text => Ok(text.to_owned()),
    }
}

//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

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
    /// Records a saved export of assessments; nothing is started for them.
    Import(FileArgument),
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

//! Clouds that no one here wrote, or that check what they are asked: processes that serve one, driven
//! by JSON lines. They end when this process does, as their standard input ends then.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Mutex, OnceLock, PoisonError},
};

use serde_json::Value;

use crate::harness::workspace;

/// A process that serves a cloud.
pub struct Served {
    /// What it said first: its port, and what else is needed to reach it.
    pub hello: Value,
    pipe: Mutex<(Child, ChildStdin, BufReader<ChildStdout>)>,
}

impl Served {
    fn start(tools: &str, script: &str, arguments: &[&str]) -> Self {
        let python = workspace().join("target/tools").join(tools).join("bin/python");
        assert!(python.exists(), "{} is not there: run `make tools`", python.display());
        let mut child = Command::new(python)
            .arg(workspace().join("tests").join(script))
            .args(arguments)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the cloud starts");
        let stdin = child.stdin.take().expect("a pipe");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a first line");
        let hello = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{script}: {error}: {line}"));
        Self { hello, pipe: Mutex::new((child, stdin, stdout)) }
    }

    /// Moto, for AWS.
    pub fn moto() -> &'static Self {
        static MOTO: OnceLock<Served> = OnceLock::new();
        MOTO.get_or_init(|| Self::start("aws", "clouds/moto_clouds.py", &[]))
    }

    /// What botocore makes of calls, answers, errors and endpoints.
    pub fn botocore() -> &'static Self {
        static WIRE: OnceLock<Served> = OnceLock::new();
        WIRE.get_or_init(|| Self::start("aws", "clouds/aws_wire.py", &["serve"]))
    }

    /// Azure, held against the azure-mgmt packages.
    pub fn azure() -> &'static Self {
        static AZURE: OnceLock<Served> = OnceLock::new();
        AZURE.get_or_init(|| Self::start("models", "clouds/azure_fake.py", &["serve"]))
    }

    /// Google Cloud, held against the discovery documents.
    pub fn gcp() -> &'static Self {
        static GCP: OnceLock<Served> = OnceLock::new();
        GCP.get_or_init(|| Self::start("models", "clouds/gcp_fake.py", &["serve"]))
    }

    /// PostgreSQL, and PgBouncer where this machine has it.
    pub fn postgres() -> &'static Self {
        static POSTGRES: OnceLock<Served> = OnceLock::new();
        // A release build measures, and waits for the disk as in production.
        let arguments: &[&str] = if cfg!(debug_assertions) { &[] } else { &["--durable"] };
        POSTGRES.get_or_init(|| Self::start("postgres", "clouds/postgres.py", arguments))
    }

    /// Trackers, held against what they publish.
    pub fn trackers() -> &'static Self {
        static TRACKERS: OnceLock<Served> = OnceLock::new();
        TRACKERS.get_or_init(|| Self::start("trackers", "trackers/fake.py", &[]))
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.hello["port"])
    }

    /// Has it do something.
    pub fn ask(&self, command: &Value) -> Value {
        let mut pipe = self.pipe.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(pipe.1, "{command}").expect("it listens");
        let mut line = String::new();
        pipe.2.read_line(&mut line).expect("it answers");
        let answer: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(answer.get("error").is_none(), "{command}: {}", answer["error"]);
        answer
    }
}

//! Function apps as their platforms run them: the real programs, in a folder and an environment of their own.

use std::{
    io::{BufRead as _, BufReader, Read},
    net::TcpListener,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use amend_http::{Client, Request, Response};
use amend_pipeline::rows::ProblemRow;
use amend_store::{Database, Filter, Store as _};
use serde_json::{Value, json};

use crate::{
    clouds::Served,
    places::{self, Fresh, KEY, Kind},
};

/// A program, which ends with the test.
pub struct Program {
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Program {
    /// Starts it. It sees no more of the environment than it is given.
    pub fn start(path: &str, arguments: &[&str], folder: &Path, environment: &[(String, String)]) -> Self {
        let mut child = Command::new(path)
            .args(arguments)
            .current_dir(folder)
            .env_clear()
            .envs(environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{path}: {error}"));
        let said = Arc::default();
        listen(child.stdout.take().expect("a pipe"), &said);
        listen(child.stderr.take().expect("a pipe"), &said);
        Self { child, said }
    }

    /// What it said so far, on both of its outputs.
    pub fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it said something.
    pub fn until_it_says(&mut self, text: &str) {
        until(|| {
            assert!(self.child.try_wait().expect("a state").is_none(), "it ended: {}", self.said());
            self.said().contains(text)
        });
    }

    /// Waits until it ends.
    pub fn ended(&mut self) -> (ExitStatus, String) {
        until(|| self.child.try_wait().expect("a state").is_some());
        let status = self.child.wait().expect("a status");
        // The rest of what it said is read by now, or in a moment.
        std::thread::sleep(Duration::from_millis(50));
        (status, self.said())
    }

    /// Kills it where it stands.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end, as platforms do.
    pub fn terminate(&mut self) {
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(asked.is_ok_and(|status| status.success()), "it is not there any more");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("it said:\n{}", self.said());
        }
    }
}

fn listen(pipe: impl Read + Send + 'static, said: &Arc<Mutex<String>>) {
    let said = Arc::clone(said);
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
            said.push_str(&line);
            said.push('\n');
        }
    });
}

/// Waits until something is so, for half a minute at most.
pub fn until(mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it took too long");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A port that nobody has.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

/// Waits for something.
pub fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

/// Where this machine's toolchain is, for programs that ask it.
#[expect(clippy::disallowed_methods, reason = "of the machine, not of the product")]
pub fn toolchain() -> Vec<(String, String)> {
    let names = ["PATH", "HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"];
    names.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?))).collect()
}

/// Asks somebody on this machine.
pub fn ask(method: &str, url: &str, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Result<Response, String> {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let request = Request { method: method.into(), url: url.into(), headers, body: body.into() };
    let client = Client::loopback().expect("a client").waiting(Duration::from_secs(60));
    wait(client.send(request)).map_err(|error| error.to_string())
}

/// A folder with what an app is deployed with, and a server that it keeps everything on.
pub struct Deployed {
    /// The folder.
    pub folder: tempfile::TempDir,
    /// Its store.
    pub store: Fresh,
    /// What its environment has.
    pub environment: Vec<(String, String)>,
}

impl Deployed {
    /// An app with this configuration beside what all have, and these rules.
    pub fn new(config: &str, rules: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = wait(Fresh::new(Kind::Postgres));
        let environment = vec![
            ("AMEND__STORE__URL".to_owned(), places::url(&store.database(), None)),
            ("AMEND__STORE__KEYS".to_owned(), KEY.to_owned()),
            ("AMEND__LOG__LEVEL".to_owned(), "info".to_owned()),
            ("AMEND__FUNCTIONS__INSTANCES".to_owned(), "2".to_owned()),
        ];
        let deployed = Self { folder, store, environment };
        deployed.write("amend.yaml", &format!("version: 1\nrules: rules.yaml\n{config}"));
        deployed.write("rules.yaml", rules);
        deployed
    }

    /// Writes a file of it.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).expect("written");
    }

    /// Sets a variable of its environment.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.retain(|(other, _)| other != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Its store, open.
    pub fn open<T>(&self, work: impl AsyncFnOnce(Database) -> T) -> T {
        wait(async { work(self.store.open().await).await })
    }

    /// Every problem that it knows.
    pub fn problems(&self) -> Vec<Value> {
        self.open(async |store| {
            let all = store.problems(&Filter::default()).await.expect("problems");
            all.iter()
                .map(|problem| json!(ProblemRow::new(problem, crate::harness::moment("2026-11-22T12:00:00Z"))))
                .collect()
        })
    }

    /// What it could not read.
    pub fn unreadable(&self) -> Vec<amend_store::Parked> {
        self.open(async |store| store.parked(false, 100).await.expect("records"))
    }
}

/// A finding of Defender for Cloud about a storage account: its public access.
pub fn finding(name: &str, code: &str, at: &str) -> Value {
    let key = "51fd8bb1-0db4-bbf1-7e2b-cfcba7eb66a6";
    let resource = format!(
        "/subscriptions/8f2c6f0a-41d7-4c8e-9b1f-2a3d5e7f9011/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/{name}"
    );
    json!({
        "type": "Microsoft.Security/assessments", "name": key,
        "id": format!("{resource}/providers/Microsoft.Security/assessments/{key}"),
        "properties": {
            "displayName": "Storage account public access should be disallowed",
            "resourceDetails": { "source": "Azure", "id": resource },
            "status": { "code": code, "statusChangeDate": at },
            "metadata": { "severity": "High" },
        },
    })
}

/// The recommendation to require secure transfer.
pub const SECURE_TRANSFER: &str = "1c5de8e1-f68d-6a17-e0d2-ec259c42768c";

/// A resource: what serves its cloud, its name, what is reported of it, and what is needed to reach it.
pub type Subject = (&'static Served, String, Value, Vec<(&'static str, String)>);

/// A storage account, what is reported of it, and what is needed to reach it.
pub fn account() -> Subject {
    let azure = Served::azure();
    let made = azure.ask(&json!({ "do": "make", "fix": "azure.storage.secure-transfer", "case": "bad" }));
    let resource = made["resource"].as_str().expect("a resource").to_owned();
    let row = json!({ "id": resource, "name": "st", "type": "microsoft.storage/storageaccounts", "tags": {} });
    azure.ask(&json!({ "do": "graph", "table": "resources", "rows": [row] }));
    let state = json!({ "resourceId": resource, "complianceState": "Compliant", "policyDefinitionAction": "audit" });
    let id = format!("{resource}/providers/microsoft.policyinsights/policystates/audit");
    let row = json!({ "id": id, "type": "microsoft.policyinsights/policystates", "properties": state });
    azure.ask(&json!({ "do": "graph", "table": "policyresources", "rows": [row] }));
    let report = json!({
        "type": "Microsoft.Security/assessments", "name": SECURE_TRANSFER,
        "id": format!("{resource}/providers/Microsoft.Security/assessments/{SECURE_TRANSFER}"),
        "properties": {
            "displayName": "Secure transfer to storage accounts should be enabled",
            "resourceDetails": { "source": "Azure", "id": resource },
            "status": { "code": "Unhealthy", "statusChangeDate": "2026-01-02T03:04:05Z" },
            "metadata": { "severity": "High" },
        },
    });
    let url = azure.url();
    let environment = vec![
        ("AMEND__CLOUDS__AZURE__DANGEROUS_ENDPOINT", url.clone()),
        ("IDENTITY_ENDPOINT", format!("{url}/msi/token")),
        ("IDENTITY_HEADER", "the-header-of-the-tests".to_owned()),
    ];
    (azure, resource, report, environment)
}

/// A bucket in moto, the same way.
pub fn bucket() -> Subject {
    let aws = Served::moto();
    let made = aws.ask(&json!({ "do": "make", "fix": "aws.s3.require-tls", "case": "bad" }));
    let resource = made["resource"].as_str().expect("a resource").to_owned();
    let at = "2026-01-02T03:04:05Z";
    let report = json!({
        "SchemaVersion": "2018-10-08", "Id": format!("{resource}/finding"), "AwsAccountId": "123456789012",
        "ProductArn": "arn:aws:securityhub:eu-west-1::product/aws/securityhub", "Region": "eu-west-1",
        "GeneratorId": "security-control/S3.5", "Types": ["Software and Configuration Checks"],
        "CreatedAt": at, "UpdatedAt": at, "Severity": { "Label": "HIGH" },
        "Title": "S3 general purpose buckets should require requests to use SSL", "Description": "plain HTTP",
        "Resources": [{ "Type": "AwsS3Bucket", "Id": resource, "Region": "eu-west-1" }],
        "Compliance": { "Status": "FAILED", "SecurityControlId": "S3.5" }, "RecordState": "ACTIVE",
    });
    let text = |name: &str| aws.hello[name].as_str().expect("a text").to_owned();
    let environment = vec![
        ("AMEND__CLOUDS__AWS__DANGEROUS_ENDPOINT", aws.url()),
        ("AWS_ACCESS_KEY_ID", text("key")),
        ("AWS_SECRET_ACCESS_KEY", text("secret")),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
    ];
    (aws, resource, report, environment)
}

/// The time, in seconds since 1970: programs have a clock of their own.
pub fn now() -> i64 {
    use amend_domain::ports::Clock as _;
    amend_pipeline::system::SystemClock.now().as_second()
}

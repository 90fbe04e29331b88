//! The command, killed in the middle of what it does, again and again: nothing is lost, and nothing is
//! done twice.

#![expect(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "a test fails by panicking")]

use std::{
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use amend_domain::{
    ports::Clock as _,
    work::{After, WorkKind},
};
use amend_pipeline::system::SystemClock;
use amend_store::{Database, Place as StorePlace, Store as _};
use amend_tests::{
    clouds::Served,
    functions::{account, bucket},
    harness::long,
    places::{self, Fresh, Kind},
};
use serde_json::{Value, json};

use super::{Place, code, text};

/// Where what is fixed is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum In {
    Azure,
    Aws,
}

struct Crashing {
    place: Place,
    cloud: In,
    served: &'static Served,
    /// What its requests have in their path.
    path: String,
    /// Where its store is, if not in a file.
    server: Option<Fresh>,
    environment: Vec<(String, String)>,
    resource: String,
    /// What reached the cloud about the resource.
    writes: usize,
    /// How many requests to the cloud were looked at.
    seen: usize,
    kills: usize,
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

impl Crashing {
    /// A storage account that should be fixed, known to Amend and released.
    fn new(kind: Kind) -> Self {
        Self::with(kind, In::Azure, "approve")
    }

    /// The same, or a bucket, where that much is done by itself.
    fn with(kind: Kind, cloud: In, most: &str) -> Self {
        let place = Place::new();
        let config =
            format!("version: 1\nrules: rules.yaml\nremediate: {{ most: {most} }}\nguards: {{ new_for: 0d }}\n");
        place.write("amend.yaml", &config);
        place.write(
            "rules.yaml",
            "version: 1\nrules: [{ id: all, priority: 1, owner: a@example.org, due: 7d, fix: enforce }]\n",
        );
        let (served, resource, report, mut environment) = match cloud {
            In::Azure => account(),
            In::Aws => bucket(),
        };
        place.write("report.json", &report.to_string());
        let server = (kind != Kind::Sqlite).then(|| block_on(Fresh::new(kind)));
        if let Some(server) = &server {
            environment.push(("AMEND__STORE__URL", places::url(&server.database(), None)));
            environment.push(("AMEND__STORE__KEYS", places::KEY.into()));
        }
        let environment = environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let path = match cloud {
            In::Azure => format!("^{resource}($|/)"),
            In::Aws => resource.trim_start_matches("arn:aws:s3:::").to_owned(),
        };
        let crashing = Self { place, cloud, served, path, server, environment, resource, writes: 0, seen: 0, kills: 0 };
        crashing.amend(&["import", "report.json"]);
        crashing.amend(&["backlog", "release", "--rule", "all", "--limit", "1"]);
        crashing
    }

    /// Runs a command to its end.
    fn amend(&self, arguments: &[&str]) -> String {
        let environment: Vec<(&str, &str)> =
            self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let output = self.place.amend_in(arguments, "", &environment);
        assert_eq!(code(&output), 0, "{arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }

    fn start(&self, arguments: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_amend"))
            .args(arguments)
            .current_dir(self.place.folder.path())
            .env_clear()
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("amend starts")
    }

    /// Runs a command and kills it at its `nth` call of the cloud, which is done or not. Returns whether
    /// it came that far.
    fn killed_at(&mut self, arguments: &[&str], nth: usize, applied: bool) -> bool {
        let with = json!({ "hang": 1, "applied": applied });
        self.served.ask(&json!({ "do": "fail", "match": { "path": self.path }, "with": with, "skip": nth }));
        let mut child = self.start(arguments);
        let begun = Instant::now();
        let killed = loop {
            if child.try_wait().expect("it can be asked").is_some() {
                break false;
            }
            if self.look() {
                // SIGKILL: no handler runs, nothing is flushed.
                child.kill().expect("killed");
                child.wait().expect("gone");
                break true;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{arguments:?} does not end");
            std::thread::sleep(Duration::from_millis(5));
        };
        self.look();
        self.kills += usize::from(killed);
        killed
    }

    /// Looks at what reached the cloud. Returns whether a call hangs that did not before.
    fn look(&mut self) -> bool {
        let new = self.served.ask(&json!({ "do": "requests", "path": self.path, "after": self.seen }));
        let requests = new["requests"].as_array().expect("requests");
        let hangs = requests.iter().any(|one| one["failure"].get("hang").is_some());
        let writes = match self.cloud {
            In::Azure => |one: &Value| one["method"] == "PATCH",
            In::Aws => |one: &Value| one["method"] == "PUT",
        };
        let did = |one: &&Value| writes(one) && one["failure"].get("applied") != Some(&json!(false));
        self.writes += requests.iter().filter(did).count();
        self.seen = usize::try_from(new["seen"].as_u64().expect("a number")).expect("few");
        hangs
    }

    /// Runs a command in a shell that allows no file to grow beyond so many KiB.
    fn without_room(&self, arguments: &[&str], kib: u32) -> std::process::Output {
        Command::new("bash")
            // The signal would end the command; without it, writing fails.
            .args(["-c", "trap '' XFSZ; ulimit -f \"$0\"; exec \"$@\"", &kib.to_string()])
            .arg(env!("CARGO_BIN_EXE_amend"))
            .args(arguments)
            .current_dir(self.place.folder.path())
            .env_clear()
            .envs(self.environment.iter().cloned())
            .output()
            .expect("bash runs")
    }

    /// Sweeps until the remediation is set.
    fn sweep_until_set(&self) {
        let begun = Instant::now();
        while self.remediations().first().is_none_or(|r| r["state"] != "set") {
            assert!(begun.elapsed() < Duration::from_secs(180), "{}", self.amend(&["work", "--format", "json"]));
            std::thread::sleep(Duration::from_secs(2));
            self.time_passes();
            self.amend(&["sweep"]);
        }
    }

    /// Approves the one plan that waits.
    fn approval(&self) -> Vec<String> {
        let waiting = self.remediations();
        assert_eq!((waiting.len(), &waiting[0]["state"]), (1, &json!("awaiting-approval")));
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        vec!["approve".into(), text(&waiting[0]["id"]), "--plan".into(), text(&waiting[0]["plan"]["digest"])]
    }

    /// It was fixed, once, and the trail is whole.
    fn is_done(&mut self) {
        self.look();
        assert_eq!(self.remediations().len(), 1);
        assert!((1..=2).contains(&self.writes), "{} writes", self.writes);
        let verified: Value =
            serde_json::from_str(&self.amend(&["audit", "verify", "--format", "json"])).expect("JSON");
        assert!(verified["records"].as_u64().is_some_and(|records| records >= 6), "{verified}");
        match self.cloud {
            In::Azure => {
                let state = self.served.ask(&json!({ "do": "sdk", "resource": self.resource }));
                assert_eq!(state[&self.resource]["properties"]["supportsHttpsTrafficOnly"], true);
            }
            In::Aws => {
                let with = json!({ "Bucket": self.path });
                let call = json!({ "do": "call", "service": "s3", "method": "get_bucket_policy", "with": with });
                let policy = self.served.ask(&call);
                assert!(policy["Policy"].as_str().is_some_and(|text| text.contains("aws:SecureTransport")), "{policy}");
            }
        }
    }

    /// The leases of the dead have run out.
    fn time_passes(&self) {
        let file = StorePlace::File(self.place.folder.path().join(".amend/amend.db"));
        let place = self.server.as_ref().map_or(&file, |server| &server.place);
        block_on(async {
            let store = Database::open(place).await.expect("the store");
            let now = SystemClock.now();
            let later = now + jiff::SignedDuration::from_secs(200);
            let until = later + jiff::SignedDuration::from_secs(1);
            let mut taken = Vec::new();
            while let Some((_, lease)) = store.claim(WorkKind::FIXING, "the test", later, until).await.expect("claimed")
            {
                taken.push(lease);
            }
            for lease in &taken {
                store.leave(lease, &After::Later { at: now }, now).await.expect("left");
            }
            store.close().await;
        });
    }

    fn remediations(&self) -> Vec<Value> {
        let all: Value = serde_json::from_str(&self.amend(&["remediations", "--format", "json"])).expect("JSON");
        all.as_array().expect("a list").clone()
    }
}

#[test]
fn killed_anywhere_it_goes_on_and_does_everything_once() {
    let wanted = if long() { 500 } else { 40 };
    let (kills, stores) = (AtomicUsize::new(0), AtomicUsize::new(0));
    // Where a write may be on its way still, the next look at it is a minute later: several at once.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while kills.load(Ordering::SeqCst) < wanted {
                    kills.fetch_add(killed_in_one(stores.fetch_add(1, Ordering::SeqCst)), Ordering::SeqCst);
                }
            });
        }
    });
    assert!(stores.into_inner() >= 4, "each kind of store was tried, asked and not");
    assert_eq!(Served::azure().ask(&json!({ "do": "wrong" })), json!([]));
    assert_eq!(Served::moto().ask(&json!({ "do": "wrong" })), json!({ "wrong": [] }));
}

/// Planning and asking, then writing: each killed at several of its calls. Returns how often it was.
fn killed_in_one(number: usize) -> usize {
    // A file and a server, in turn; asked first, or not; in Azure and in AWS.
    let kind = if number.is_multiple_of(2) { Kind::Sqlite } else { Kind::Postgres };
    let asks = number % 4 < 2;
    let cloud = if number % 3 == 1 { In::Aws } else { In::Azure };
    let mut one = Crashing::with(kind, cloud, if asks { "approve" } else { "enforce" });
    let mut seed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut next = |most: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((seed >> 33) % most, (seed >> 40).is_multiple_of(2))
    };
    for _ in 0..3 {
        let (nth, applied) = next(4);
        one.killed_at(&["sweep"], nth, applied);
        one.time_passes();
    }
    if asks {
        one.served.ask(&json!({ "do": "unspent", "path": one.path }));
        one.amend(&["sweep"]);
        let approval = one.approval();
        assert_eq!(one.writes, 0);
        one.amend(&approval.iter().map(String::as_str).collect::<Vec<_>>());
    }
    for _ in 0..8 {
        let (nth, applied) = next(6);
        one.killed_at(&["sweep"], nth, applied);
        one.time_passes();
    }
    one.served.ask(&json!({ "do": "unspent", "path": one.path }));
    one.amend(&["sweep"]);
    // What was interrupted in its last call is looked at again a little later.
    one.sweep_until_set();
    one.is_done();
    one.kills
}

/// The disk fills up at some point of planning, approving and writing; later there is room again.
#[test]
fn a_store_without_room_loses_nothing() {
    let rooms = if long() { (2..40).map(|n| n * 8).collect() } else { vec![0, 20, 48, 90, 160] };
    let mut failures = 0;
    for kib in rooms {
        let mut one = Crashing::new(Kind::Sqlite);
        let mut without_room = |one: &Crashing, arguments: &[&str]| {
            let output = one.without_room(arguments, kib);
            let errors = text(&output.stderr);
            // A clear end: it could not, and says so.
            assert!(matches!(output.status.code(), Some(0 | 1)), "{kib} KiB: {:?} {errors}", output.status);
            assert!(!errors.contains("panicked"), "{kib} KiB: {errors}");
            failures += usize::from(output.status.code() == Some(1));
        };
        without_room(&one, &["sweep"]);
        one.time_passes();
        one.amend(&["sweep"]);
        let approval = one.approval();
        let approval: Vec<&str> = approval.iter().map(String::as_str).collect();
        without_room(&one, &approval);
        // Whoever could not keep their answer could not give back the lease either.
        one.time_passes();
        if one.remediations()[0]["state"] == "awaiting-approval" {
            one.amend(&approval);
        }
        without_room(&one, &["sweep"]);
        one.time_passes();
        one.sweep_until_set();
        one.is_done();
    }
    assert!(failures >= 3, "there was room enough, but for {failures} times");
}

/// Another program holds the store while a write is on its way: it was done, and nobody could say so.
#[test]
fn a_write_whose_outcome_could_not_be_kept_is_found_by_reading() {
    let mut one = Crashing::new(Kind::Sqlite);
    one.amend(&["sweep"]);
    let approval = one.approval();
    one.amend(&approval.iter().map(String::as_str).collect::<Vec<_>>());
    let path = format!("^{}$", one.resource);
    Served::azure().ask(
        &json!({ "do": "fail", "match": { "method": "PATCH", "path": path }, "with": { "hang": 2, "applied": true } }),
    );
    let mut child = one.start(&["sweep"]);
    let begun = Instant::now();
    while !one.look() {
        assert!(begun.elapsed() < Duration::from_secs(30), "the write is not sent");
        std::thread::sleep(Duration::from_millis(5));
    }
    let file = one.place.folder.path().join(".amend/amend.db");
    block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&file);
        let mut other = <sqlx::SqliteConnection as sqlx::Connection>::connect_with(&options).await.expect("opened");
        sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.expect("held");
        while child.try_wait().expect("it can be asked").is_none() {
            assert!(begun.elapsed() < Duration::from_secs(60), "it waits for ever");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        sqlx::query("ROLLBACK").execute(&mut other).await.expect("let go");
    });
    let state = one.remediations()[0]["state"].clone();
    assert_eq!(state, "applying", "what could not be kept is not known");
    one.sweep_until_set();
    one.is_done();
    assert_eq!(one.writes, 1, "it was done already");
}

/// What several plans change is looked at, and approved, together.
#[test]
fn a_batch_is_shown_and_approved() {
    let one = Crashing::new(Kind::Sqlite);
    one.amend(&["sweep"]);
    let shown = one.amend(&["approvals", "--rule", "all"]);
    let digest = shown.split("--plan ").nth(1).and_then(|rest| rest.split('`').next()).expect("a digest").to_owned();
    assert!(shown.contains("approve these 1 with `amend approve --rule all --plan "), "{shown}");
    let id = one.remediations()[0]["id"].as_str().expect("an id").to_owned();
    let whole = one.amend(&["approvals", &id]);
    assert!(whole.contains("    defender-exemption pass   nobody exempted it in Defender"), "{whole}");
    let listed: Value =
        serde_json::from_str(&one.amend(&["approvals", "--fix", "azure.storage.secure-transfer", "--format", "json"]))
            .expect("JSON");
    assert!(listed["digest"].as_str().is_some_and(|whole| whole.contains(&digest)), "{listed}");
    assert_eq!(listed["remediations"].as_array().map(Vec::len), Some(1));
    let environment: Vec<(&str, &str)> =
        one.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    for (arguments, expected) in [
        (&["approve", "--rule", "all", "--plan", "00000000"][..], "it is another by now than `00000000`"),
        (&["approve", "--rule", "all", "--plan", &digest, "--except", "r-none"], "`r-none` is not in it"),
        (&["approve", "--rule", "none", "--plan", &digest], "no plan of it awaits an answer"),
        (&["approve", "--rule", "no rule", "--plan", &digest], "`no rule` is no id of a rule"),
        (&["approve", "--plan", &digest], "<ID|--rule <RULE>|--fix <FIX>>"),
        (&["approve", "r-1", "--rule", "all", "--plan", &digest], "cannot be used with"),
        (&["approve", "r-1", "--plan", &digest, "--except", "r-2"], "cannot be used with"),
    ] {
        let output = one.place.amend_in(arguments, "", &environment);
        let errors = text(&output.stderr);
        assert!(code(&output) != 0 && errors.contains(expected), "{arguments:?}: {errors}");
    }
    let approved = one.amend(&["approve", "--rule", "all", "--plan", &digest]);
    assert!(
        approved.contains("is approved; a running `amend serve`, or `amend sweep`, does it as soon as guards let it"),
        "{approved}"
    );
    assert_eq!(one.amend(&["approvals", "--rule", "all"]), "nothing of it awaits approval\n");
    one.sweep_until_set();
}

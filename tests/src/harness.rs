//! A pipeline whose clock stands where a test puts it, on a store that goes away with it.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use amend_catalog::{Catalogue, SourceText, facts_file};
use amend_cloud::FactSource;
use amend_domain::{
    Cloud, TenantId,
    owners::Owners,
    ports::{Clock, Ids},
    sync::System,
};
use amend_events::{Form, Limits};
use amend_pipeline::{Accepted, Decider, Delivery, Lookup, Pipeline, decider::Parts};
use amend_store::Database;
use jiff::Timestamp;

use crate::places::{Fresh, Kind};

/// The folder of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests stand in the workspace").to_path_buf()
}

/// The folder of third-party sample payloads, where it is present beside the checkout.
pub fn reference_samples() -> Option<PathBuf> {
    let folder = workspace().parent()?.join("shared/reference/defender/samples");
    folder.is_dir().then_some(folder)
}

/// Whether the tests run at full size.
#[expect(clippy::disallowed_methods, reason = "a setting of the tests, not of the product")]
pub fn long() -> bool {
    std::env::var("AMEND_TESTS").is_ok_and(|size| size == "long")
}

/// Reads a file of the workspace.
pub fn read(path: &str) -> String {
    std::fs::read_to_string(workspace().join(path)).expect(path)
}

/// A clock that stands still until it is told.
#[derive(Debug)]
pub struct StillClock(AtomicI64);

impl StillClock {
    pub fn at(time: &str) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(moment(time).as_microsecond())))
    }
    pub fn set(&self, time: &str) {
        self.0.store(moment(time).as_microsecond(), Ordering::SeqCst);
    }
}

impl Clock for StillClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_microsecond(self.0.load(Ordering::SeqCst)).expect("a time in range")
    }
}

/// Ids that count.
#[derive(Debug, Default)]
pub struct CountedIds(AtomicU64);

impl Ids for CountedIds {
    fn next(&self, _: Timestamp) -> String {
        format!("{:026}", self.0.fetch_add(1, Ordering::SeqCst))
    }
}

/// A time stamp.
pub fn moment(text: &str) -> Timestamp {
    text.parse().expect(text)
}

/// The fixes that ship with Amend, read once.
pub fn catalogue() -> Arc<Catalogue> {
    static READ: OnceLock<Arc<Catalogue>> = OnceLock::new();
    let read = || Arc::new(Catalogue::load(&Catalogue::shipped(), &[]).expect("fixes without mistakes").0);
    Arc::clone(READ.get_or_init(read))
}

/// A pipeline with its clock and store.
pub struct Bench {
    pub pipeline: Arc<Pipeline>,
    pub clock: Arc<StillClock>,
    pub store: Database,
    /// Where the store is.
    pub fresh: Fresh,
}

pub const TENANT: &str = "6c1d4b1e-5a0f-4f0e-9a57-1f2e3d4c5b60";

/// A pipeline with `rules` and `facts` (YAML), at noon of 20 November 2026.
pub async fn bench(rules: &str, facts: &str) -> Bench {
    bench_in(Fresh::new(Kind::usual()).await, rules, facts).await
}

/// The same, where a file says who is who.
pub async fn bench_owned(rules: &str, facts: &str, owners: Owners) -> Bench {
    bench_of(Fresh::new(Kind::usual()).await, rules, facts, owners, BTreeSet::new()).await
}

/// The same, where these systems are told what became of problems.
pub async fn bench_telling(rules: &str, owners: Owners, systems: BTreeSet<System>) -> Bench {
    bench_of(Fresh::new(Kind::usual()).await, rules, "version: 1", owners, systems).await
}

/// The same on a store that is there already.
pub async fn bench_in(fresh: Fresh, rules: &str, facts: &str) -> Bench {
    bench_of(fresh, rules, facts, Owners::default(), BTreeSet::new()).await
}

async fn bench_of(fresh: Fresh, rules: &str, facts: &str, owners: Owners, systems: BTreeSet<System>) -> Bench {
    let clock = StillClock::at("2026-11-20T12:00:00Z");
    let facts = facts_file::load(&SourceText::new("facts.yaml", facts), moment("2026-11-20T00:00:00Z"))
        .expect("facts without mistakes");
    let parts = Parts {
        rule_files: vec![SourceText::new("rules.yaml", rules)],
        facts,
        owners: Arc::new(owners),
        clock: clock.clone(),
        catalogue: catalogue(),
        tenant: TenantId::new(TENANT),
        truths: Vec::new(),
        limits: Limits::default(),
    };
    let (decider, _) = Decider::new(parts).expect("rules without mistakes");
    let store = fresh.open().await.with_systems(systems);
    let pipeline =
        Pipeline::new(decider, Arc::new(store.clone()), Arc::new(CountedIds::default())).await.expect("a pipeline");
    Bench { pipeline: Arc::new(pipeline), clock, store, fresh }
}

impl Bench {
    /// The same with facts from `source`, which are read again after a day.
    pub fn looking_up(self, source: Arc<dyn FactSource>) -> Self {
        let clouds = [Cloud::Azure, Cloud::Aws, Cloud::Gcp];
        let lookup = Lookup::new(source, &clouds, jiff::SignedDuration::from_hours(24));
        let pipeline = Arc::new((*self.pipeline).clone().with_lookup(lookup));
        Self { pipeline, ..self }
    }

    /// Hands a delivery to the pipeline.
    pub async fn accept(&self, form: Form, body: &str) -> Accepted {
        let delivery = Delivery { form, body: body.as_bytes(), attributes: &[], snapshot: false };
        self.pipeline.accept(delivery).await.expect("accepted")
    }
}

/// A Defender assessment as continuous export writes it.
#[derive(Clone)]
pub struct Export {
    pub resource: String,
    pub key: String,
    pub title: String,
    pub code: String,
    pub cause: Option<String>,
    pub changed: Option<String>,
    pub severity: String,
    pub risk: Option<String>,
    pub action: String,
    pub snapshot: bool,
}

impl Default for Export {
    fn default() -> Self {
        Self {
            resource: "/subscriptions/2f6c1a5e-0b7d-4f7e-8a39-51c0de9b7a11/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/st1".into(),
            key: "51fd8bb1-0db4-bbf1-7e2b-cfcba7eb66a6".into(),
            title: "Storage account public access should be disallowed".into(),
            code: "Unhealthy".into(),
            cause: None,
            changed: Some("2026-11-18T07:41:09.1234567Z".into()),
            severity: "High".into(),
            risk: None,
            action: "Insert".into(),
            snapshot: false,
        }
    }
}

impl Export {
    pub fn json(&self) -> serde_json::Value {
        let id = format!("{}/providers/Microsoft.Security/assessments/{}", self.resource, self.key);
        let mut status = serde_json::json!({ "code": self.code });
        if let Some(cause) = &self.cause {
            status["cause"] = cause.as_str().into();
        }
        if let Some(changed) = &self.changed {
            status["statusChangeDate"] = changed.as_str().into();
            status["firstEvaluationDate"] = "2026-10-01T00:00:00Z".into();
        }
        let mut body = serde_json::json!({
            "assessmentEventDataEnrichment": { "action": self.action, "apiVersion": "2019-01-01", "isSnapshot": self.snapshot },
            "tenantId": TENANT,
            "type": "Microsoft.Security/assessments",
            "id": id,
            "name": self.key,
            "properties": {
                "resourceDetails": { "source": "Azure", "id": self.resource },
                "displayName": self.title,
                "status": status,
                "additionalData": {},
                "metadata": { "displayName": self.title, "severity": self.severity, "assessmentType": "BuiltIn" },
            }
        });
        if let Some(risk) = &self.risk {
            body["properties"]["risk"] =
                serde_json::json!({ "level": risk, "riskFactors": ["Exposure to the internet"] });
        }
        body
    }

    pub fn text(&self) -> String {
        self.json().to_string()
    }
}

//! One resource in a cloud that checks what it is asked, with its fix and the engine.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use amend_cloud::{
    CallError, Cloud, Clouds, Place,
    aws::{Aws, AwsSettings},
    azure::{Azure, AzureSettings},
    gcp::{Gcp, GcpSettings},
};
use amend_domain::{
    AccountId, Cloud as CloudName, ResourceId,
    fix::Fix,
    plan::{At, Remediation},
    ports::Clock as _,
};
use amend_models::Call;
use amend_pipeline::remedy::{Journal, Memory, Next, Remedy, RemedyError, target_of};
use amend_store::StoreError;
use async_trait::async_trait;
use serde_json::{Map, Value, json};

use crate::{
    clouds::Served,
    harness::{StillClock, catalogue},
};

/// The process that serves a cloud.
pub fn served(cloud: CloudName) -> &'static Served {
    match cloud {
        CloudName::Aws => Served::moto(),
        CloudName::Azure => Served::azure(),
        _ => Served::gcp(),
    }
}

/// The clouds, reached where `served` is.
pub fn clouds(cloud: CloudName, served: &Served) -> Arc<dyn Cloud> {
    all_clouds(cloud, served)
}

/// The same, each of them by itself.
pub fn all_clouds(cloud: CloudName, served: &Served) -> Arc<Clouds> {
    let endpoint = Some(served.url());
    let text = |name: &str| served.hello[name].as_str().unwrap_or_default().to_owned();
    let at = |wanted: CloudName| match wanted {
        _ if cloud == wanted => endpoint.clone(),
        // Of resources in other clouds, Defender's own exemptions are read in Azure.
        CloudName::Azure => Some(Served::azure().url()),
        _ => None,
    };
    Arc::new(Clouds {
        aws: Aws::with_credentials(
            AwsSettings { dangerous_endpoint: at(CloudName::Aws), ..AwsSettings::default() },
            &text("key"),
            &text("secret"),
            None,
        ),
        azure: Azure::with_token(
            AzureSettings { dangerous_endpoint: at(CloudName::Azure), ..AzureSettings::default() },
            "a-token-of-the-tests",
        ),
        gcp: Gcp::with_token(
            GcpSettings { dangerous_endpoint: at(CloudName::Gcp), ..GcpSettings::default() },
            "a-token-of-the-tests",
        ),
    })
}

/// The project of the fake of Google Cloud.
const PROJECT: &str = "acme-shop";

/// One resource, and its fix.
pub struct Subject {
    pub served: &'static Served,
    pub fix: Arc<Fix>,
    pub resource: String,
    pub region: String,
    pub clock: Arc<StillClock>,
    /// The resource and whatever stands around it.
    whole: String,
    params: Map<String, Value>,
}

impl Subject {
    /// A new resource. Settings of an account and region get one that nobody else uses.
    pub fn make(fix: &str, case: &str) -> Self {
        let region = region();
        let file = Arc::clone(catalogue().get(fix).expect("a fix"));
        let served = served(file.fix.cloud());
        let made = served.ask(&json!({ "do": "make", "fix": fix, "case": case, "region": region }));
        let mut params = params();
        params.extend(made.get("workspace").map(|workspace| ("workspace".to_owned(), workspace.clone())));
        let whole = match made["resourceGroup"].as_str() {
            Some(group) => format!(
                "{}/resourceGroups/{group}",
                made["resource"].as_str().unwrap_or_default().split("/resourceGroups/").next().unwrap_or_default()
            ),
            None => made["resource"].as_str().unwrap_or_default().to_owned(),
        };
        Self {
            served,
            fix: Arc::new(file.fix.clone()),
            resource: made["resource"].as_str().expect("a resource").to_owned(),
            region,
            whole,
            clock: StillClock::at("2026-11-20T12:00:00Z"),
            params,
        }
    }

    /// The values of the parameters of its fix, as a policy has them.
    pub fn parameters(&self) -> BTreeMap<Box<str>, BTreeMap<Box<str>, Vec<Value>>> {
        let values = self.params.iter().map(|(name, value)| (name.as_str().into(), vec![value.clone()])).collect();
        BTreeMap::from([(self.fix.id.clone(), values)])
    }

    /// The account that it is in.
    pub fn account(&self) -> AccountId {
        let resource = ResourceId::new(&self.resource);
        let target = target_of(&self.fix, &resource).expect("the fix is for this");
        let account = match self.fix.cloud() {
            CloudName::Aws => AccountId::aws("123456789012"),
            CloudName::Azure => AccountId::azure(resource.as_str()),
            // The name of a bucket tells no project.
            _ => AccountId::gcp(target.part("project").unwrap_or(PROJECT)),
        };
        account.expect("an account")
    }

    /// The engine for it, calling `cloud`.
    pub fn remedy(&self, cloud: Arc<dyn Cloud>) -> Remedy {
        let (resource, account) = (ResourceId::new(&self.resource), Some(self.account()));
        let target = target_of(&self.fix, &resource).expect("the fix is for this");
        // In Google's names a region is a part of its own.
        let region = Some(target.part("region").unwrap_or(&self.region).into());
        let at = At { resource, cloud: self.fix.cloud(), account, region, via: None };
        Remedy::new(Arc::clone(&self.fix), at, &self.params, cloud, self.clock.clone()).expect("the fix is for this")
    }

    /// The engine for it.
    pub fn real(&self) -> Remedy {
        self.remedy(clouds(self.fix.cloud(), self.served))
    }

    /// The whole resource: as boto3 reads it, as the cloud's own Python SDK reads it.
    pub fn state(&self) -> Value {
        let read = if self.fix.cloud() == CloudName::Aws { "state" } else { "sdk" };
        self.served.ask(&json!({ "do": read, "fix": *self.fix.id, "resource": self.whole, "region": self.region }))
    }

    /// Takes a remediation to its end; the clock does the waiting.
    pub async fn go_on(&self, remedy: &Remedy, r: &mut Remediation, journal: &dyn Journal) -> Result<(), RemedyError> {
        while let Next::Again { at } = remedy.advance(r, journal, None).await? {
            let later = at.max(self.clock.now().checked_add(jiff::SignedDuration::from_secs(1)).expect("a time"));
            self.clock.set(&later.to_string());
        }
        Ok(())
    }
}

/// Values for the parameters of fixes.
fn params() -> Map<String, Value> {
    let workspace = "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/logs/providers/Microsoft.OperationalInsights/workspaces/central";
    let params = json!({
        "workspace": workspace,
        "allowed_sources": ["192.0.2.0/24"],
        "allowed_ranges": ["198.51.100.0/24"],
        "first_rotation": "2035-01-01T00:00:00Z",
    });
    params.as_object().cloned().unwrap_or_default()
}

fn region() -> String {
    // A region for each test that changes the settings of a whole region.
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    const ALL: [&str; 14] = [
        "eu-west-1",
        "eu-west-2",
        "eu-west-3",
        "eu-central-1",
        "eu-north-1",
        "us-west-1",
        "us-west-2",
        "us-east-2",
        "ap-south-1",
        "ap-northeast-1",
        "ap-northeast-2",
        "ap-southeast-1",
        "ap-southeast-2",
        "ca-central-1",
    ];
    ALL[NEXT.fetch_add(1, Ordering::SeqCst) % ALL.len()].to_owned()
}

/// The fixes of a cloud with the cases that can be made of them.
pub fn cases(cloud: CloudName, wanted: impl Fn(&str, &str) -> bool) -> Vec<(String, String)> {
    let all = served(cloud).ask(&json!({ "do": "list" }));
    let mut list = Vec::new();
    for (fix, cases) in all.as_object().expect("fixes") {
        for case in cases.as_array().expect("cases").iter().filter_map(Value::as_str).filter(|case| wanted(fix, case)) {
            list.push((fix.clone(), case.to_owned()));
        }
    }
    list
}

/// How a call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The cloud says no.
    Refused,
    /// The request never leaves.
    Unsent,
    /// The cloud does it, and the answer is lost.
    AnswerLost,
    /// The cloud does nothing, and there is no answer.
    RequestLost,
}

/// Passes calls on, notes writes, and has one of them go wrong.
pub struct Recorder {
    inner: Arc<dyn Cloud>,
    fault: Option<(usize, Fault)>,
    writes: Mutex<Vec<String>>,
}

impl Recorder {
    pub fn new(inner: Arc<dyn Cloud>, fault: Option<(usize, Fault)>) -> Arc<Self> {
        Arc::new(Self { inner, fault, writes: Mutex::default() })
    }

    /// The recorder in front of a subject's cloud.
    pub fn of(subject: &Subject, fault: Option<(usize, Fault)>) -> Arc<Self> {
        Self::new(clouds(subject.fix.cloud(), subject.served), fault)
    }

    pub fn writes(&self) -> Vec<String> {
        self.writes.lock().expect("nobody panics").clone()
    }
}

#[async_trait]
impl Cloud for Recorder {
    async fn call(&self, place: &Place, call: &Call, args: &Value) -> Result<Value, CallError> {
        if call.only_reads() {
            return self.inner.call(place, call, args).await;
        }
        let at = {
            let mut writes = self.writes.lock().expect("nobody panics");
            writes.push(call.name());
            writes.len() - 1
        };
        let name = call.name();
        let lost = || CallError::NoAnswer { call: name.clone(), reason: "a test".into(), unsent: false };
        match self.fault.filter(|(fails, _)| *fails == at).map(|(_, fault)| fault) {
            None => self.inner.call(place, call, args).await,
            Some(Fault::Refused) => Err(CallError::Refused {
                call: name,
                code: "AccessDenied".into(),
                message: String::new(),
                status: 403,
                request_id: None,
            }),
            Some(Fault::Unsent) => Err(CallError::NoAnswer { call: name, reason: "a test".into(), unsent: true }),
            Some(Fault::AnswerLost) => {
                self.inner.call(place, call, args).await.expect("the cloud does it");
                Err(lost())
            }
            Some(Fault::RequestLost) => Err(lost()),
        }
    }
}

/// Keeps records until the process is killed: at one of them.
pub struct Killed {
    pub kept: Memory,
    left: AtomicUsize,
}

impl Killed {
    /// Dies after keeping `survives` records.
    pub fn after(survives: usize) -> Self {
        Self { kept: Memory::default(), left: AtomicUsize::new(survives) }
    }
}

#[async_trait]
impl Journal for Killed {
    async fn keep(&self, remediation: &Remediation) -> Result<(), StoreError> {
        if self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err() {
            return Err(StoreError::Overtaken { id: remediation.id.to_string() });
        }
        self.kept.keep(remediation).await
    }
}

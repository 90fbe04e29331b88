//! An executor on this machine, and the hub that tells it what to do.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use amend_cloud::{
    CallError, Cloud, Place,
    remote::{Checker, ExecutorAt, Executors, Remote, Signer},
};
use amend_domain::{
    AccountId,
    policy::{Most, Policy},
    ports::Clock,
    rule::Mode,
};
use amend_models::Call;
use amend_pipeline::executor::{AttestKeys, Executor, Parts};
use amend_web::tasks::{Door, router};
use async_trait::async_trait;
use axum::Router;
use jiff::SignedDuration;
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    harness::{CountedIds, catalogue},
    subject::Subject,
};

/// What executors here are called.
pub const NAME: &str = "an-executor";

/// An executor that ends with the test.
pub struct Far {
    /// Its address.
    pub url: String,
    /// What it may.
    pub policy: Arc<Mutex<Result<Policy, String>>>,
    /// Its hub.
    pub hub: Hub,
    server: JoinHandle<()>,
}

/// Who tells executors what to do.
pub struct Hub {
    /// Its secret key.
    pub key: String,
    /// The key that checks what it signs.
    pub public: String,
    clock: Arc<dyn Clock>,
    ids: Arc<CountedIds>,
}

/// A key that an executor knows its own word by.
pub const ATTESTS: &str = "c2l4dGVlbiBieXRlcyBhbmQgc2l4dGVlbiBtb3JlISE=";

impl Hub {
    /// A hub with new keys.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let (key, public) = Signer::generate().expect("keys");
        Self { key, public, clock, ids: Arc::default() }
    }

    /// The clouds as this hub reaches them, which has no rights of its own.
    pub fn clouds(&self, url: &str, account: AccountId) -> Arc<dyn Cloud> {
        Arc::new(Executors::new(Arc::new(Nobody), vec![self.remote(url, account)]))
    }

    /// Its end of an executor.
    pub fn remote(&self, url: &str, account: AccountId) -> Remote {
        let at = ExecutorAt { name: NAME.into(), url: url.to_owned(), accounts: vec![account] };
        let signer = Signer::read(&self.key).expect("a key");
        Remote::new(at, signer, Arc::clone(&self.clock), self.ids.clone()).expect("a remote")
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A policy that lets everything be done in these accounts.
pub fn anything(accounts: Vec<AccountId>) -> Policy {
    Policy {
        stopped: None,
        most: Mode::Enforce,
        accounts,
        only: None,
        never: Vec::new(),
        impact: Most::default(),
        spare: Vec::new(),
        undo_within: SignedDuration::from_hours(30 * 24),
        parameters: BTreeMap::new(),
    }
}

/// Answers requests on this machine. Returns where.
pub async fn serve(app: Router) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let server = tokio::spawn(async move {
        axum::serve(listener, app).await.expect("it goes on");
    });
    (url, server)
}

/// How the hub reaches a cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By itself.
    Direct,
    /// Through an executor, as it has no rights.
    Executor,
}

impl Way {
    /// The cloud of a subject, as the hub reaches it. The executor ends with what is returned second.
    pub async fn to(self, cloud: Arc<dyn Cloud>, subject: &Subject) -> (Arc<dyn Cloud>, Option<Far>) {
        match self {
            Self::Direct => (cloud, None),
            Self::Executor => {
                let far = Far::of(subject, cloud).await;
                (far.clouds(subject.account()), Some(far))
            }
        }
    }
}

impl Far {
    /// An executor that may do everything in the account of a subject.
    pub async fn of(subject: &Subject, cloud: Arc<dyn Cloud>) -> Self {
        let may = Policy { parameters: subject.parameters(), ..anything(vec![subject.account()]) };
        Self::start(cloud, may, subject.clock.clone()).await
    }

    /// An executor with these rights, which makes its calls by `cloud`.
    pub async fn start(cloud: Arc<dyn Cloud>, may: Policy, clock: Arc<dyn Clock>) -> Self {
        let hub = Hub::new(Arc::clone(&clock));
        let policy = Arc::new(Mutex::new(Ok(may)));
        let told = Arc::clone(&policy);
        let executor = Executor::new(Parts {
            name: NAME.into(),
            catalogue: catalogue(),
            cloud,
            policy: Box::new(move || told.lock().unwrap_or_else(PoisonError::into_inner).clone()),
            keys: AttestKeys::read(&[ATTESTS.to_owned()]).expect("a key"),
            clock: Arc::clone(&clock),
            seen: Arc::default(),
        });
        let door = Door { executor, hubs: Checker::read(std::slice::from_ref(&hub.public)).expect("a key"), clock };
        let (url, server) = serve(router(Arc::new(door), None)).await;
        Self { url, policy, hub, server }
    }

    /// Changes its policy.
    pub fn allow(&self, change: impl FnOnce(&mut Policy)) {
        let mut policy = self.policy.lock().unwrap_or_else(PoisonError::into_inner);
        change(policy.as_mut().expect("a policy"));
    }

    /// Its policy cannot be read any more.
    pub fn lose_policy(&self) {
        *self.policy.lock().unwrap_or_else(PoisonError::into_inner) = Err("it is gone".into());
    }

    /// The clouds as its hub reaches them.
    pub fn clouds(&self, account: AccountId) -> Arc<dyn Cloud> {
        self.hub.clouds(&self.url, account)
    }
}

/// Whoever has no rights anywhere.
pub struct Nobody;

#[async_trait]
impl Cloud for Nobody {
    async fn call(&self, _: &Place, call: &Call, _: &Value) -> Result<Value, CallError> {
        Err(CallError::NotReached { call: call.name(), reason: "the hub has no rights in this account".into() })
    }
}

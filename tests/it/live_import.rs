//! Defender's own list, imported from a Resource Graph that checks what it is asked.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use amend_cloud::{CallError, Cloud, Place};
use amend_domain::{Cloud as CloudName, ScopeId};
use amend_models::Call;
use amend_pipeline::live_import::{Imported, LiveError};
use amend_store::{Filter, Store as _};
use amend_tests::{
    clouds::Served,
    harness::{Bench, Export, bench},
    subject::clouds,
};
use async_trait::async_trait;
use serde_json::{Value, json};

const RULES: &str = "version: 1\nrules: [{ id: all, priority: 1, owner: a@example.org, due: 14d, fix: enforce }]";

/// A subscription with some assessments in Resource Graph, in a management group of its own.
struct Tenant {
    group: String,
    subscriptions: Vec<String>,
}

impl Tenant {
    fn with(sizes: &[usize]) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        let group = format!("live-{number}");
        let azure = Served::azure();
        let mut subscriptions = Vec::new();
        for (at, size) in sizes.iter().enumerate() {
            let id = format!("1{number:07}-0000-4000-8000-{at:012}");
            let row = json!({ "id": format!("/subscriptions/{id}"), "name": format!("sub-{number}-{at}"), "type": "microsoft.resources/subscriptions",
                "properties": { "managementGroupAncestorsChain": [{ "name": group }] } });
            azure.ask(&json!({ "do": "graph", "table": "resourcecontainers", "rows": [row] }));
            let rows: Vec<Value> = (0..*size).map(|n| Self::row(&id, n)).collect();
            azure.ask(&json!({ "do": "graph", "table": "securityresources", "rows": rows }));
            subscriptions.push(id);
        }
        Self { group, subscriptions }
    }

    /// An assessment as Resource Graph holds it.
    fn row(subscription: &str, n: usize) -> Value {
        let resource = format!(
            "/subscriptions/{subscription}/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/st{n}"
        );
        let whole = Export { resource, ..Export::default() }.json();
        let mut row = json!({ "type": "microsoft.security/assessments" });
        for name in ["id", "name", "tenantId", "properties"] {
            row[name] = whole[name].clone();
        }
        row
    }

    fn scope(&self) -> Vec<ScopeId> {
        vec![
            ScopeId::parse(&format!("/providers/Microsoft.Management/managementGroups/{}", self.group))
                .expect("a scope"),
        ]
    }

    /// The ids of the assessments of a subscription as the official client reads them.
    fn ids(&self, subscription: &str) -> BTreeSet<String> {
        let query = "securityresources | where type =~ 'microsoft.security/assessments' | project id | order by id asc";
        let rows = Served::azure().ask(&json!({ "do": "query", "query": query, "subscriptions": [subscription] }));
        rows.as_array().expect("rows").iter().map(|row| row["id"].as_str().expect("an id").to_lowercase()).collect()
    }

    fn all_ids(&self) -> BTreeSet<String> {
        self.subscriptions.iter().flat_map(|id| self.ids(id)).collect()
    }
}

/// What goes wrong with queries about one subscription, or with the one that comes as the nth.
#[derive(Clone)]
enum Trouble {
    None,
    Nth(usize),
    About(String, u16),
}

/// Asks the graph, notes which subscriptions it was asked about, and fails when told.
struct Asked {
    inner: Arc<dyn Cloud>,
    trouble: Trouble,
    about: Mutex<Vec<String>>,
}

impl Asked {
    fn new(trouble: Trouble) -> Self {
        Self { inner: clouds(CloudName::Azure, Served::azure()), trouble, about: Mutex::default() }
    }

    /// The subscriptions whose assessments were asked for.
    fn about(&self) -> Vec<String> {
        let about = self.about.lock().expect("nobody panics");
        about.iter().filter(|one| !one.is_empty()).cloned().collect()
    }
}

#[async_trait]
impl Cloud for Asked {
    async fn call(&self, place: &Place, call: &Call, args: &Value) -> Result<Value, CallError> {
        let body = &args["body"];
        let lists = body["query"].as_str().is_some_and(|query| query.starts_with("securityresources"));
        let about =
            if lists { body["subscriptions"][0].as_str().unwrap_or_default().to_owned() } else { String::new() };
        let count = {
            let mut list = self.about.lock().expect("nobody panics");
            list.push(about.clone());
            list.len()
        };
        let name = call.name();
        match &self.trouble {
            Trouble::Nth(nth) if *nth == count => {
                Err(CallError::NoAnswer { call: name, reason: "a test".into(), unsent: false })
            }
            Trouble::About(id, status) if *id == about => Err(CallError::Refused {
                call: name,
                code: "AuthorizationFailed".into(),
                message: "a test".into(),
                status: *status,
                request_id: None,
            }),
            _ => self.inner.call(place, call, args).await,
        }
    }
}

async fn import(bench: &Bench, cloud: &Asked, tenant: &Tenant, restart: bool) -> Result<Imported, LiveError> {
    bench.pipeline.import_live(cloud, &tenant.scope(), restart, |_| {}).await
}

async fn held(bench: &Bench) -> BTreeSet<String> {
    bench.store.assessments(10_000).await.expect("listed").iter().map(|one| one.id.to_string()).collect()
}

#[tokio::test]
async fn all_pages_of_all_subscriptions_are_recorded_and_nothing_is_started() {
    let tenant = Tenant::with(&[7, 0, 4]);
    let bench = bench(RULES, "version: 1").await;
    let cloud = Asked::new(Trouble::None);
    let mut seen = Vec::new();
    let progress = |at: amend_pipeline::live_import::Progress<'_>| seen.push((at.done, at.of, at.records));
    let imported = bench.pipeline.import_live(&cloud, &tenant.scope(), false, progress).await.expect("imported");
    assert_eq!((imported.counts.new, imported.counts.unreadable, imported.subscriptions), (11, 0, 3));
    assert_eq!(held(&bench).await, tenant.all_ids(), "as the official client reads them");
    assert_eq!((seen.first(), seen.last()), (Some(&(0, 3, 0)), Some(&(2, 3, 11))));
    let problems = bench.store.problems(&Filter::default()).await.expect("listed");
    assert!(
        problems.iter().all(|problem| problem.place == amend_domain::problem::Place::Backlog && problem.due.is_none())
    );
    // Again: everything is read, nothing is new.
    let again = import(&bench, &cloud, &tenant, false).await.expect("imported");
    assert_eq!((again.counts.new, again.counts.duplicate, again.read_before), (0, 11, 0));
    assert_eq!(Served::azure().ask(&json!({ "do": "wrong" })), json!([]));
}

#[tokio::test]
async fn an_import_that_is_stopped_anywhere_goes_on_where_it_was() {
    let tenant = Tenant::with(&[4, 3, 5]);
    let whole = Asked::new(Trouble::None);
    let first = bench(RULES, "version: 1").await;
    import(&first, &whole, &tenant, false).await.expect("imported");
    let calls = whole.about.lock().expect("nobody panics").len();
    assert!(calls >= 6, "{calls}");
    for nth in 1..=calls {
        let bench = bench(RULES, "version: 1").await;
        let broken = Asked::new(Trouble::Nth(nth));
        let error = import(&bench, &broken, &tenant, false).await.expect_err("stopped");
        assert!(matches!(error, LiveError::Call(_) | LiveError::Stopped { .. }), "{nth}: {error}");
        let done = bench.store.imported().await.expect("listed").len();
        let rest = Asked::new(Trouble::None);
        let imported = import(&bench, &rest, &tenant, false).await.expect("imported");
        assert_eq!((imported.read_before, imported.subscriptions), (done, 3 - done), "{nth}");
        assert!(rest.about().iter().all(|id| !tenant.subscriptions[..done].contains(id)), "{nth}: {:?}", rest.about());
        assert_eq!(held(&bench).await, tenant.all_ids(), "{nth}");
        assert_eq!(bench.store.imported().await.expect("listed"), [], "an import that has ended is forgotten");
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_told_and_read_the_next_time() {
    let tenant = Tenant::with(&[2, 2, 2]);
    let bench = bench(RULES, "version: 1").await;
    let hidden = tenant.subscriptions[1].clone();
    let broken = Asked::new(Trouble::About(hidden.clone(), 403));
    let imported = import(&bench, &broken, &tenant, false).await.expect("imported");
    assert_eq!((imported.counts.new, imported.subscriptions), (4, 2));
    assert_eq!(imported.failed[0].subscription, hidden);
    assert!(imported.failed[0].why.contains("AuthorizationFailed"), "{}", imported.failed[0].why);
    let rest = Asked::new(Trouble::None);
    let imported = import(&bench, &rest, &tenant, false).await.expect("imported");
    assert_eq!((imported.counts.new, imported.read_before), (2, 2));
    assert_eq!(rest.about(), std::slice::from_ref(&hidden));

    // A day later, or when told, everything is read.
    let broken = Asked::new(Trouble::About(hidden, 403));
    import(&bench, &broken, &tenant, false).await.expect("imported");
    let imported = import(&bench, &Asked::new(Trouble::None), &tenant, true).await.expect("imported");
    assert_eq!((imported.read_before, imported.subscriptions), (0, 3));
    import(&bench, &broken, &tenant, false).await.expect("imported");
    bench.clock.set("2026-11-21T12:00:01Z");
    let imported = import(&bench, &Asked::new(Trouble::None), &tenant, false).await.expect("imported");
    assert_eq!((imported.read_before, imported.subscriptions), (0, 3));
}

#[tokio::test]
async fn credentials_that_end_stop_the_import() {
    let tenant = Tenant::with(&[1, 1]);
    let bench = bench(RULES, "version: 1").await;
    let broken = Asked::new(Trouble::About(tenant.subscriptions[1].clone(), 401));
    let error = import(&bench, &broken, &tenant, false).await.expect_err("stopped");
    assert_eq!(error.to_string(), "the import stopped at subscription 1 of 2");
    assert_eq!(error.hint(), Some("run it again: it goes on where it stopped"));
}

#[tokio::test]
async fn the_quota_of_resource_graph_is_kept() {
    let tenant = Tenant::with(&[13]);
    let azure = Served::azure();
    azure.ask(&json!({ "do": "quota", "subscription": tenant.subscriptions[0], "left": 3, "resets": 1 }));
    let bench = bench(RULES, "version: 1").await;
    let imported = import(&bench, &Asked::new(Trouble::None), &tenant, false).await.expect("imported");
    assert_eq!(imported.counts.new, 13);
    assert_eq!(azure.ask(&json!({ "do": "wrong" })), json!([]), "no query came before the quota was there again");
}

#[tokio::test]
async fn an_answer_about_a_part_of_the_tenant_is_none() {
    let tenant = Tenant::with(&[1]);
    Served::azure().ask(&json!({ "do": "quota", "subscription": tenant.subscriptions[0], "limit_hit": true }));
    let bench = bench(RULES, "version: 1").await;
    let error = import(&bench, &Asked::new(Trouble::None), &tenant, false).await.expect_err("no answer");
    let LiveError::Call(cause) = &error else { panic!("{error}") };
    assert!(cause.to_string().contains("the first 10,000 subscriptions only"), "{cause}");
}

#[tokio::test]
async fn a_list_that_ends_early_is_not_remembered_as_read() {
    /// Takes a row away from each page.
    struct Short(Asked);
    #[async_trait]
    impl Cloud for Short {
        async fn call(&self, place: &Place, call: &Call, args: &Value) -> Result<Value, CallError> {
            let mut answer = self.0.call(place, call, args).await?;
            if args["body"]["query"].as_str().is_some_and(|query| query.starts_with("securityresources")) {
                answer["data"].as_array_mut().expect("rows").pop();
            }
            Ok(answer)
        }
    }
    let tenant = Tenant::with(&[5]);
    let bench = bench(RULES, "version: 1").await;
    let short = Short(Asked::new(Trouble::None));
    let imported = bench.pipeline.import_live(&short, &tenant.scope(), false, |_| {}).await.expect("imported");
    assert_eq!(imported.failed[0].why, "the list ended early: 3 of 5 records");
    assert_eq!(bench.store.imported().await.expect("listed"), []);
}

#[tokio::test]
async fn scopes_that_cannot_be_read_are_told() {
    let tenant = Tenant::with(&[2, 1]);
    let bench = bench(RULES, "version: 1").await;
    let cloud = Asked::new(Trouble::None);
    let read = async |scope: &str| {
        let scope = ScopeId::parse(scope).expect("a scope");
        bench.pipeline.import_live(&cloud, &[scope], false, |_| {}).await
    };
    let one = read(&format!("/subscriptions/{}", tenant.subscriptions[1])).await.expect("imported");
    assert_eq!((one.counts.new, one.subscriptions), (1, 1));
    let hidden = read("/subscriptions/00000000-0000-4000-8000-00000000dead").await.expect_err("hidden");
    assert_eq!(hidden.to_string(), "subscription `00000000-0000-4000-8000-00000000dead` cannot be seen");
    let nothing = read("/providers/Microsoft.Management/managementGroups/nobody-home").await.expect_err("nothing");
    assert_eq!(nothing.to_string(), "no subscription can be seen");
    let aws = read("aws:123456789012").await.expect_err("another cloud");
    assert_eq!(aws.to_string(), "`aws:123456789012` is neither a subscription nor a management group");
    let group =
        read("/subscriptions/00000000-0000-4000-8000-00000000dead/resourceGroups/rg").await.expect_err("a part");
    assert!(matches!(group, LiveError::Scope(_)));
    // Without a scope, everything that can be seen: other tests' subscriptions are among it.
    let all = amend_cloud::defender::subscriptions(&cloud, &amend_cloud::graph::Within::Tenant).await.expect("listed");
    let ours = |id: &String| all.iter().any(|one| one.id.native() == id);
    assert!(tenant.subscriptions.iter().all(ours));
}

//! Facts that are looked up: in clouds that check what they are asked, and for any rules and facts.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use amend_cloud::{CloudFacts, FactSource};
use amend_domain::{
    Assessment, Cloud, Decision, Facts, RuleSet, Setting,
    facts::Need,
    owners::Owners,
    problem::SourceOfTruth,
    thing::{Read, Reads, Thing, ThingKind},
};
use amend_events::Form;
use amend_pipeline::Lookup;
use amend_store::{Change, Filter, Store as _};
use amend_tests::{
    clouds::Served,
    harness::{Bench, Export, bench, long, moment},
    random,
    subject::clouds,
};
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Notes what it is asked, and may be told to know nothing.
struct Noted {
    inner: Arc<dyn FactSource>,
    asked: Mutex<Vec<String>>,
    dumb: AtomicBool,
}

impl Noted {
    fn new(inner: Arc<dyn FactSource>) -> Arc<Self> {
        Arc::new(Self { inner, asked: Mutex::default(), dumb: AtomicBool::new(false) })
    }

    fn of(cloud: Cloud) -> Arc<Self> {
        let served = amend_tests::subject::served(cloud);
        Self::new(Arc::new(CloudFacts::new(clouds(cloud, served), None)))
    }

    /// What was asked about since this was last called.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().expect("nobody panics"))
    }
}

#[async_trait]
impl FactSource for Noted {
    async fn read(&self, things: &[Thing], now: Timestamp) -> Vec<Read> {
        self.asked.lock().expect("nobody panics").extend(things.iter().map(|thing| thing.id.to_string()));
        if self.dumb.load(Ordering::SeqCst) {
            return things.iter().map(|_| Read::failed("a test")).collect();
        }
        self.inner.read(things, now).await
    }
}

/// A subscription of its own, in Resource Graph: in the group `prod` of the group `root`, with a resource
/// group and a storage account in it.
fn subscription() -> (String, String) {
    let id = uuid();
    let group = format!("/subscriptions/{id}/resourceGroups/RG-Pay");
    let account = format!("{group}/providers/Microsoft.Storage/storageAccounts/st1");
    let chain = json!([{ "name": "Prod", "displayName": "Production" }, { "name": "root", "displayName": "Tenant Root Group" }]);
    let row = |id: &str, kind: &str, tags: Value| json!({ "id": id, "name": id.rsplit('/').next(), "type": kind, "tags": tags });
    let mut whole = row(&format!("/subscriptions/{id}"), "microsoft.resources/subscriptions", json!({ "env": "prod" }));
    whole["name"] = json!("Payments");
    whole["properties"] = json!({ "managementGroupAncestorsChain": chain });
    let groups =
        [whole, row(&group, "microsoft.resources/subscriptions/resourcegroups", json!({ "Owner": "pay@example.org" }))];
    let azure = Served::azure();
    azure.ask(&json!({ "do": "graph", "table": "resourcecontainers", "rows": groups }));
    let resources = [row(&account, "microsoft.storage/storageaccounts", Value::Null)];
    azure.ask(&json!({ "do": "graph", "table": "resources", "rows": resources }));
    (id, account)
}

fn uuid() -> String {
    use std::hash::{BuildHasher as _, RandomState};
    let (a, b) = (RandomState::new().hash_one(1), RandomState::new().hash_one(2));
    format!("{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}", a >> 32, a & 0xffff, b & 0xfff, (b >> 12) & 0xfff, b >> 16)
}

fn export(resource: &str) -> Export {
    Export { resource: resource.to_owned(), ..Export::default() }
}

const RULES: &str = "
version: 1
rules:
  - { id: prod, priority: 1, scope: { in: /providers/Microsoft.Management/managementGroups/prod }, owner: { tag: owner }, due: 14d, fix: observe }
  - { id: tagged, priority: 2, scope: { in: /subscriptions/00000000-0000-4000-8000-000000000000 }, when: [{ tag: { key: tier, in: gold } }], due: 1d }
  - { id: rest, priority: 9, due: 90d }
";

/// What a delivery was decided by, who owns it, and what is said of the facts.
async fn decided(bench: &Bench, export: &Export) -> (String, String, Vec<(Option<String>, Option<String>)>) {
    let accepted = bench.accept(Form::Plain, &export.text()).await;
    let problem = accepted.decided[0].problem.clone().expect("a problem");
    let rule = problem.decision.rule.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
    let owner = problem.decision.owner.name.as_deref().unwrap_or("nobody").to_owned();
    let explanation = bench.pipeline.explain(problem.id.as_str()).await.expect("explained");
    let facts = explanation.decisions[0].facts.iter().map(|line| (line.source.clone(), line.unread.clone())).collect();
    (rule, owner, facts)
}

#[tokio::test]
async fn azure_tells_what_the_rules_want_to_know_once() {
    let (id, account) = subscription();
    let source = Noted::of(Cloud::Azure);
    let bench = bench(RULES, "version: 1").await.looking_up(source.clone());
    let (rule, owner, facts) = decided(&bench, &export(&account)).await;
    assert_eq!((rule.as_str(), owner.as_str()), ("prod", "pay@example.org"));
    let graph = Some("Azure Resource Graph".to_owned());
    let sources: Vec<_> = facts.iter().map(|(source, _)| source.clone()).collect();
    assert_eq!(sources, [graph.clone(), graph.clone(), graph.clone(), graph], "what came with an answer counts, too");
    // The owner's tag is looked for on the resource first, then on its group: in that order.
    let (group, subscription) = (format!("/subscriptions/{id}/resourcegroups/rg-pay"), format!("/subscriptions/{id}"));
    assert_eq!(source.asked(), [subscription, account.to_lowercase(), group]);
    assert_eq!(Served::azure().ask(&json!({ "do": "wrong" })), json!([]));

    // The same again, also in another process: nothing is asked.
    let newer = Export { changed: Some("2026-11-19T00:00:00Z".into()), ..export(&account) };
    assert_eq!(decided(&bench, &newer).await.0, "prod");
    assert_eq!(source.asked(), [] as [String; 0]);
    // A day later it is.
    bench.clock.set("2026-11-21T12:00:01Z");
    let newest = Export { changed: Some("2026-11-20T00:00:00Z".into()), ..export(&account) };
    assert_eq!(decided(&bench, &newest).await.0, "prod");
    assert_eq!(source.asked().len(), 3);
}

#[tokio::test]
async fn only_what_the_rules_in_the_race_want_to_know_is_asked_for() {
    let (id, account) = subscription();
    let source = Noted::of(Cloud::Azure);
    let rules = "version: 1\nrules: [{ id: a, priority: 1, when: [{ severity: low, tag: { key: tier, in: gold } }], due: 1d }, { id: b, priority: 2, scope: { in: /providers/Microsoft.Management/managementGroups/other }, due: 2d }, { id: rest, priority: 9, due: 90d }]";
    let bench = bench(rules, "version: 1").await.looking_up(source.clone());
    assert_eq!(decided(&bench, &export(&account)).await.0, "rest");
    assert_eq!(source.asked(), [format!("/subscriptions/{id}")], "no rule for high severity asks for tags");
}

#[tokio::test]
async fn what_the_facts_file_says_is_not_asked_for() {
    let (id, account) = subscription();
    let source = Noted::of(Cloud::Azure);
    let facts = format!("version: 1\naccounts: [{{ id: /subscriptions/{id}, ancestors: [] }}]");
    let bench = bench(RULES, &facts).await.looking_up(source.clone());
    assert_eq!(decided(&bench, &export(&account)).await.0, "rest");
    assert_eq!(source.asked(), [] as [String; 0]);
}

#[tokio::test]
async fn what_cannot_be_seen_is_not_known_until_it_can() {
    let id = uuid();
    let account = format!("/subscriptions/{id}/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/st1");
    let source = Noted::of(Cloud::Azure);
    let bench = bench(RULES, "version: 1").await.looking_up(source.clone());
    let (rule, _, facts) = decided(&bench, &export(&account)).await;
    assert_eq!(rule, "prod");
    assert_eq!(facts[0].1.as_deref(), Some("Azure Resource Graph does not know it, or may not show it"));
    let problem = bench.store.problems(&Filter::default()).await.expect("listed").remove(0);
    assert!(problem.is_undetermined() && problem.decision.fix.is_none());

    let row = json!({ "id": format!("/subscriptions/{id}"), "name": "New", "type": "microsoft.resources/subscriptions", "tags": {},
        "properties": { "managementGroupAncestorsChain": [{ "name": "sandbox" }] } });
    Served::azure().ask(&json!({ "do": "graph", "table": "resourcecontainers", "rows": [row] }));
    source.asked();
    assert_eq!(bench.pipeline.retry_undetermined().await.expect("tried").settled, 0, "it was asked for a moment ago");
    assert_eq!(source.asked(), [] as [String; 0]);
    bench.clock.set("2026-11-20T12:10:01Z");
    assert_eq!(bench.pipeline.retry_undetermined().await.expect("tried").settled, 1);
    let problem = bench.store.problems(&Filter::default()).await.expect("listed").remove(0);
    assert_eq!(problem.decision.rule.as_ref().map(|rule| rule.as_str()), Some("rest"));
}

#[tokio::test]
async fn an_owner_is_found_later_and_nothing_else_changes() {
    let (id, account) = subscription();
    let source = Noted::of(Cloud::Azure);
    let facts = format!(
        "version: 1\naccounts: [{{ id: /subscriptions/{id}, ancestors: [/providers/Microsoft.Management/managementGroups/prod] }}]"
    );
    let bench = bench(RULES, &facts).await.looking_up(source.clone());
    source.dumb.store(true, Ordering::SeqCst);
    let (rule, owner, facts) = decided(&bench, &export(&account)).await;
    assert_eq!((rule.as_str(), owner.as_str()), ("prod", "nobody"));
    assert_eq!(facts[1].1.as_deref(), Some("a test"));
    let before = bench.store.problems(&Filter::default()).await.expect("listed").remove(0);
    assert!(before.lacks_facts() && !before.is_undetermined() && before.due.is_some());

    source.dumb.store(false, Ordering::SeqCst);
    bench.clock.set("2026-11-20T12:20:00Z");
    assert_eq!(bench.pipeline.retry_undetermined().await.expect("tried").settled, 1);
    let after = bench.store.problems(&Filter::default()).await.expect("listed").remove(0);
    assert_eq!(after.decision.owner.name.as_deref(), Some("pay@example.org"));
    assert_eq!(
        (after.due, after.identified, &after.decision.rule),
        (before.due, before.identified, &before.decision.rule)
    );
}

#[tokio::test]
async fn what_was_read_before_is_used_while_it_is_young() {
    let group = amend_domain::ScopeId::parse("/providers/Microsoft.Management/managementGroups/prod").expect("a scope");
    let mut facts = Facts::none(moment("2026-11-20T12:00:00Z"));
    let known = amend_domain::facts::Known { value: vec![group], source: "a test".into(), read: facts.now };
    facts.ancestors = Some(Arc::new(known));
    let source = Noted::new(Arc::new(Told(facts)));
    let bench = bench(RULES, "version: 1").await.looking_up(source.clone());
    let report = |changed: &str| Export { changed: Some(changed.into()), ..Export::default() };
    assert_eq!(decided(&bench, &report("2026-11-18T00:00:00Z")).await.0, "prod", "the tags alone cannot be read");
    source.dumb.store(true, Ordering::SeqCst);
    bench.clock.set("2026-11-20T12:30:00Z");
    source.asked();
    assert_eq!(decided(&bench, &report("2026-11-19T00:00:00Z")).await.0, "prod");
    assert!(!source.asked().is_empty(), "what could not be read is asked for again");
    let problem = bench.store.problems(&Filter::default()).await.expect("listed").remove(0);
    assert!(!problem.is_undetermined());
    // A day old, it is not used any more, whoever else does not answer.
    bench.clock.set("2026-11-21T13:00:00Z");
    let other = Export { key: "cdc78c07-02b0-4af0-1cb2-cb7c672a8b0a".into(), ..report("2026-11-20T00:00:00Z") };
    let accepted = bench.accept(Form::Plain, &other.text()).await;
    assert!(accepted.decided[0].problem.as_ref().expect("a problem").is_undetermined());
}

#[tokio::test]
async fn a_source_that_does_not_answer_leaves_facts_unknown_and_the_delivery_accepted() {
    struct Silent;
    #[async_trait]
    impl FactSource for Silent {
        async fn read(&self, _: &[Thing], _: Timestamp) -> Vec<Read> {
            std::future::pending().await
        }
    }
    let bench = bench(RULES, "version: 1").await;
    let lookup = Lookup::new(Arc::new(Silent), &[Cloud::Azure], SignedDuration::from_hours(1));
    let decider = bench.pipeline.decider();
    let items = decider.read(Form::Plain, Export::default().text().as_bytes(), &[], false, decider.limits());
    let Some(amend_events::Item::Assessment(assessment)) = items.expect("readable").pop() else {
        panic!("an assessment")
    };
    let decide = |assessment: Assessment, reads: &Reads| decider.decide(assessment, reads);
    let begun = std::time::Instant::now();
    let changes =
        lookup.decide(decide, vec![*assessment], decider.now(), Duration::from_millis(50)).await.expect("decided");
    assert!(begun.elapsed() < Duration::from_secs(30));
    assert!(!changes[0].decision.lacks().is_empty());
    assert_eq!(&*changes[0].facts.unread[0].1, "no answer within 0 s");
}

#[tokio::test]
async fn aws_tells_the_place_of_an_account_and_the_tags_of_resources() {
    let moto = Served::moto();
    let call = |service: &str, method: &str, with: Value| {
        moto.ask(&json!({ "do": "call", "service": service, "method": method, "with": with }))
    };
    let organization =
        call("organizations", "create_organization", json!({ "FeatureSet": "ALL" }))["Organization"]["Id"].clone();
    let root = call("organizations", "list_roots", json!({}))["Roots"][0]["Id"].clone();
    let unit = |parent: &Value, name: &str| {
        call("organizations", "create_organizational_unit", json!({ "ParentId": parent, "Name": name }))["OrganizationalUnit"]["Id"].clone()
    };
    let workloads = unit(&root, "Workloads");
    let prod = unit(&workloads, "Prod");
    call(
        "organizations",
        "move_account",
        json!({ "AccountId": "123456789012", "SourceParentId": root, "DestinationParentId": prod }),
    );
    call(
        "organizations",
        "tag_resource",
        json!({ "ResourceId": "123456789012", "Tags": [{ "Key": "owner", "Value": "platform@example.org" }] }),
    );
    let queue =
        call("sqs", "create_queue", json!({ "QueueName": "facts-tagged", "tags": { "tier": "gold" } }))["QueueUrl"]
            .clone();
    call("sqs", "create_queue", json!({ "QueueName": "facts-plain" }));
    assert!(queue.as_str().is_some_and(|url| url.ends_with("facts-tagged")));

    let thing = |need: Need, arn: &str| {
        let resource = amend_domain::Resource {
            id: amend_domain::ResourceId::new(arn),
            cloud: Cloud::Aws,
            kind: None,
            name: "x".into(),
            account: amend_domain::AccountId::aws("123456789012"),
            region: None,
            connector: None,
        };
        Thing::behind(need, &resource).expect("AWS knows it")
    };
    let arn = |name: &str| format!("arn:aws:sqs:eu-west-1:123456789012:{name}");
    let things = [
        thing(Need::Tags, &arn("facts-tagged")),
        thing(Need::Ancestors, &arn("facts-tagged")),
        thing(Need::Tags, &arn("facts-plain")),
        thing(Need::Tags, "arn:aws:iam::123456789012:role/somebody"),
        thing(Need::Tags, "arn:aws:s3:::a-bucket-somewhere"),
    ];
    let reads = CloudFacts::new(clouds(Cloud::Aws, moto), None).read(&things, moment("2026-11-20T12:00:00Z")).await;
    let tags = |read: &Read| read.tags.as_ref().map(|known| json!(known.value));
    assert_eq!(tags(&reads[0]), Some(json!({ "tier": "gold" })));
    assert_eq!(tags(&reads[2]), Some(json!({})), "a resource without tags is known to have none");
    let account = &reads[1];
    assert_eq!(account.failed, None);
    let above = account.ancestors.as_ref().map(|known| json!(known.value)).expect("known");
    let id = |value: &Value| format!("aws:{}", value.as_str().expect("an id"));
    assert_eq!(above, json!([id(&organization), id(&root), id(&workloads), id(&prod)]), "outermost first");
    assert_eq!(tags(account), Some(json!({ "owner": "platform@example.org" })));
    assert_eq!(account.name.as_deref(), Some("master"));
    assert_eq!(reads[3].failed.as_deref(), Some("the AWS Resource Groups Tagging API says nothing about iam"));
    assert_eq!(reads[4].failed.as_deref(), Some("its region is not known"));
    assert_eq!(moto.ask(&json!({ "do": "wrong" }))["wrong"], json!([]));
}

#[tokio::test]
async fn google_cloud_tells_the_place_of_a_project_and_the_labels_of_resources() {
    let gcp = Served::gcp();
    let project = "facts-7";
    let name =
        |n: usize| format!("//compute.googleapis.com/projects/{project}/zones/europe-west1-b/instances/vm-{n:02}");
    let mut put = serde_json::Map::new();
    put.insert(format!("projects/{project}"), json!({ "name": "projects/415104041262", "projectId": project, "displayName": "Facts", "parent": "folders/22", "labels": { "owner": "ana" } }));
    put.insert("folders/22".into(), json!({ "name": "folders/22", "displayName": "Payments", "parent": "folders/11" }));
    put.insert(
        "folders/11".into(),
        json!({ "name": "folders/11", "displayName": "Prod", "parent": "organizations/9" }),
    );
    for n in 0..23 {
        let mut body = json!({ "name": name(n), "project": format!("projects/{project}"), "assetType": "compute.googleapis.com/Instance" });
        if n % 2 == 0 {
            body["labels"] = json!({ "n": n.to_string() });
        }
        put.insert(name(n), body);
    }
    gcp.ask(&json!({ "do": "hierarchy", "put": put }));
    let thing = |need: Need, id: &str, project: &str| {
        let resource = amend_domain::Resource {
            id: amend_domain::ResourceId::new(id),
            cloud: Cloud::Gcp,
            kind: None,
            name: "x".into(),
            account: amend_domain::AccountId::gcp(project),
            region: None,
            connector: None,
        };
        Thing::behind(need, &resource).expect("Google Cloud knows it")
    };
    let mut things: Vec<Thing> = (0..24).map(|n| thing(Need::Tags, &name(n), project)).collect();
    things.push(thing(Need::Ancestors, &name(0), project));
    things.push(thing(Need::Ancestors, &name(0), "not-mine"));
    let reads = CloudFacts::new(clouds(Cloud::Gcp, gcp), None).read(&things, moment("2026-11-20T12:00:00Z")).await;
    let query: Vec<String> = (0..10).map(|n| format!("name=\"{}\"", name(n))).collect();
    let found =
        gcp.ask(&json!({ "do": "search", "scope": format!("projects/{project}"), "query": query.join(" OR ") }));
    for n in 0..23 {
        let labels = json!(reads[n].tags.as_ref().unwrap_or_else(|| panic!("{:?}", reads[n])).value);
        assert_eq!(labels, if n % 2 == 0 { json!({ "n": n.to_string() }) } else { json!({}) });
        if n < 10 {
            assert_eq!(labels, found[name(n)], "as Google's own client reads it");
        }
    }
    assert_eq!(reads[23].failed.as_deref(), Some("Cloud Asset Inventory does not know it, or may not show it"));
    let account = &reads[24];
    assert_eq!(
        account.ancestors.as_ref().map(|known| json!(known.value)),
        Some(json!(["gcp:organizations/9", "gcp:folders/11", "gcp:folders/22"]))
    );
    assert_eq!(account.tags.as_ref().map(|known| json!(known.value)), Some(json!({ "owner": "ana" })));
    let why = reads[25].failed.as_deref().expect("a reason");
    assert!(why.contains("cloudresourcemanager.projects.get") && why.contains("permission"), "{why}");
    assert_eq!(gcp.ask(&json!({ "do": "wrong" })), json!([]));
}

/// Tells of each thing what `facts` say.
struct Told(Facts);

#[async_trait]
impl FactSource for Told {
    async fn read(&self, things: &[Thing], _: Timestamp) -> Vec<Read> {
        let tell = |thing: &Thing| {
            let (ancestors, tags) = match thing.kind {
                ThingKind::Account => (self.0.ancestors.clone(), self.0.account_tags.clone()),
                ThingKind::Group => (None, self.0.group_tags.clone()),
                ThingKind::Resource => (None, self.0.tags.clone()),
            };
            let failed = tags.is_none().then(|| "it has none to tell".into());
            Read { ancestors, tags, failed, ..Read::default() }
        };
        things.iter().map(tell).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if long() { 20_000 } else { 500 }))]

    /// INVARIANT: looking up what is lacking decides as knowing everything does.
    #[test]
    fn looking_up_what_is_lacking_decides_as_knowing_everything_does(
        rules in random::rules(), assessment in random::assessment(), mut facts in random::facts(),
    ) {
        // What no cloud can be asked for cannot be known by asking; a subscription is its own account.
        let behind = |need: Need| Thing::behind(need, &assessment.resource);
        for (need, fact) in [(Need::GroupTags, &mut facts.group_tags), (Need::AccountTags, &mut facts.account_tags)] {
            *fact = fact.take().filter(|_| behind(need).is_some());
        }
        facts.ancestors = facts.ancestors.take().filter(|_| behind(Need::Ancestors).is_some());
        facts.tags = match behind(Need::Tags).map(|thing| thing.kind) {
            None => None,
            Some(ThingKind::Account) => facts.account_tags.clone(),
            Some(_) => facts.tags.take(),
        };
        let rules = RuleSet::new(rules, String::new());
        let decide = |assessment: Assessment, reads: &Reads| {
            let mut known = Facts::none(facts.now);
            reads.fill(&mut known, &assessment.resource);
            let decision = Decision::new(rules.decide(&assessment, &known), &assessment, &known, &Owners::default(), "");
            Change { assessment, setting: Setting::new("s"), decision, facts: known, truth: SourceOfTruth::default() }
        };
        let all = [Cloud::Azure, Cloud::Aws, Cloud::Gcp];
        let lookup = Lookup::new(Arc::new(Told(facts.clone())), &all, SignedDuration::from_hours(1));
        let looked_up = lookup.decide(decide, vec![assessment.clone()], facts.now, Duration::from_secs(60));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let looked_up = runtime.block_on(looked_up).expect("decided").remove(0).decision;
        let knowing = Decision::new(rules.decide(&assessment, &facts), &assessment, &facts, &Owners::default(), "");
        prop_assert_eq!(&looked_up.rule, &knowing.rule);
        prop_assert_eq!(looked_up.lacks().is_empty(), knowing.lacks().is_empty());
        prop_assert_eq!(&looked_up.owner, &knowing.owner);
        prop_assert_eq!(looked_up.action(), knowing.action());
    }
}

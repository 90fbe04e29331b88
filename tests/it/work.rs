//! From a decision to a setting that is right, and that its source confirms: once, by whoever has time,
//! stopped when told, and all of it in the audit trail.

use std::sync::{Arc, Mutex};

use amend_cloud::{CallError, Place};
use amend_domain::{
    Cloud,
    audit::Entry,
    plan::{Remediation, State},
    rule::Mode,
    work::{After, Stop, Work, WorkKind},
};
use amend_events::Form;
use amend_models::Call;
use amend_pipeline::{
    approve::Answered,
    audit::verify,
    fixer::{Fixer, Limits},
    guard,
    people::Person,
};
use amend_store::{Database, Store as _, StoreError};
use amend_tests::{
    clouds::Served,
    harness::{self, CountedIds, Export, catalogue, moment},
    subject::{Subject, clouds},
};
use async_trait::async_trait;
use serde_json::{Value, json};

pub(crate) const KEY: &str = "1c5de8e1-f68d-6a17-e0d2-ec259c42768c";

fn rule(fix: &str) -> String {
    format!("version: 1\nrules: [{{ id: all, priority: 1, owner: a@example.org, due: 7d, fix: {fix} }}]")
}

pub(crate) struct Bench {
    pub inner: harness::Bench,
    pub fixer: Fixer,
    pub cloud: Arc<Counted>,
}

/// Guards with room for tests: nothing is new, and much may be begun.
pub(crate) fn mild() -> guard::Settings {
    let none = jiff::SignedDuration::ZERO;
    guard::Settings {
        new_for: none,
        per_hour: 1_000,
        per_account: 1_000,
        per_rule: 1_000,
        surge: 1_000,
        ..guard::Settings::default()
    }
}

pub(crate) async fn bench(fix: &str, most: Mode) -> Bench {
    bench_on(Cloud::Azure, Served::azure(), fix, most).await
}

/// The same with rules of one's own, where all may be done.
pub(crate) async fn bench_with(rules: &str) -> Bench {
    bench_of(Cloud::Azure, Served::azure(), rules, Mode::Enforce).await
}

/// The same in another cloud.
pub(crate) async fn bench_on(cloud: Cloud, served: &Served, fix: &str, most: Mode) -> Bench {
    bench_of(cloud, served, &rule(fix), most).await
}

async fn bench_of(cloud: Cloud, served: &Served, rules: &str, most: Mode) -> Bench {
    let inner = harness::bench(rules, "version: 1").await;
    let cloud =
        Arc::new(Counted { inner: clouds(cloud, served), written: Mutex::default(), refused: Mutex::default() });
    let fixer = fixer_on(inner.store.clone(), most, &inner, &cloud);
    Bench { fixer, inner, cloud }
}

fn fixer_on(store: Database, most: Mode, inner: &harness::Bench, cloud: &Arc<Counted>) -> Fixer {
    let ids = Arc::new(CountedIds::default());
    let fixer = Fixer::new(catalogue(), cloud.clone(), Arc::new(store), inner.clock.clone(), ids);
    fixer.with_limits(Limits { most: Some(most), guards: mild(), ..Limits::default() })
}

impl Bench {
    /// What the source says of a storage account.
    pub async fn report(&self, subject: &Subject, code: &str, changed: &str) {
        self.inner.accept(Form::Plain, &report(subject, code, changed).text()).await;
    }

    /// Does everything that is due now.
    pub async fn work(&self) -> Vec<(Work, After)> {
        let mut done = Vec::new();
        while let Some(one) = self.fixer.work(None).await.expect("the store answers") {
            done.push(one);
            assert!(done.len() < 1_000, "work does not end");
        }
        done
    }

    pub async fn remediations(&self, subject: &Subject) -> Vec<Remediation> {
        let id = amend_domain::ResourceId::new(&subject.resource);
        self.inner.store.remediations(Some(id.as_str()), None, 100).await.expect("listed")
    }

    pub async fn states(&self, subject: &Subject) -> Vec<State> {
        self.remediations(subject).await.iter().map(|r| r.state).collect()
    }

    /// How many writes to a resource were sent.
    pub fn writes(&self, subject: &Subject) -> usize {
        let written = self.cloud.written.lock().expect("nobody panics");
        written.iter().filter(|id| **id == subject.resource.to_lowercase()).count()
    }

    /// Who did what, of what stands in the trail about this.
    pub async fn told(&self, about: impl Fn(&Entry) -> bool) -> Vec<String> {
        let records = self.store().audit(0, 100).await.expect("read");
        let entries = records.iter().map(|record| &record.entry).filter(|entry| about(entry));
        entries.map(|entry| format!("{} {}", entry.who, entry.what)).collect()
    }

    /// How many writes were sent at all.
    pub fn all_writes(&self) -> usize {
        self.cloud.written.lock().expect("nobody panics").len()
    }

    /// Another that works here, on a store that is opened otherwise.
    pub fn another_on(&self, store: Database) -> Fixer {
        fixer_on(store, Mode::Enforce, &self.inner, &self.cloud)
    }

    /// What is left to do, for messages.
    pub async fn store_work(&self) -> Vec<Work> {
        self.store().work(100).await.expect("listed")
    }

    pub fn store(&self) -> &Database {
        &self.inner.store
    }
}

pub(crate) fn report(subject: &Subject, code: &str, changed: &str) -> Export {
    Export {
        resource: subject.resource.clone(),
        key: KEY.into(),
        title: "Secure transfer to storage accounts should be enabled".into(),
        code: code.into(),
        changed: Some(changed.into()),
        ..Export::default()
    }
}

/// A storage account without secure transfer, and without tags.
pub(crate) fn storage() -> Subject {
    let subject = Subject::make("azure.storage.secure-transfer", "bad");
    tag(&subject, json!({}));
    policy_state(&subject, "Compliant", "audit", "azure.storage.other");
    subject
}

/// What Resource Graph says of a policy on it. Definitions are named by a fix that closes them.
pub(crate) fn policy_state(subject: &Subject, state: &str, action: &str, fix: &str) {
    let closes = catalogue().get(fix).map(|file| file.fix.closes.clone()).unwrap_or_default();
    let own = closes.iter().find_map(|key| key.as_str().strip_prefix("policy:").map(ToOwned::to_owned));
    let definition = own.unwrap_or_else(|| "/providers/Microsoft.Authorization/policyDefinitions/other".into());
    let properties = json!({
        "resourceId": subject.resource, "complianceState": state, "policyDefinitionAction": action,
        "policyDefinitionId": definition, "policyAssignmentName": format!("{action}-{fix}"),
    });
    let id = format!("{}/providers/microsoft.policyinsights/policystates/{action}-{fix}", subject.resource);
    let row = json!({ "id": id, "type": "microsoft.policyinsights/policystates", "properties": properties });
    Served::azure().ask(&json!({ "do": "graph", "table": "policyresources", "rows": [row] }));
}

/// What Resource Graph says of who wrote it.
pub(crate) fn written(subject: &Subject, at: &str, by: &str) {
    let attributes = json!({ "timestamp": at, "changedBy": by, "changedByType": "Application" });
    let properties =
        json!({ "targetResourceId": subject.resource, "changeType": "Update", "changeAttributes": attributes });
    let id = format!("{}/providers/Microsoft.Resources/changes/{by}-{}", subject.resource, at.replace(':', "-"));
    let row = json!({ "id": id, "type": "microsoft.resources/changes", "properties": properties });
    Served::azure().ask(&json!({ "do": "graph", "table": "resourcechanges", "rows": [row] }));
}

/// What Resource Graph says of its tags.
pub(crate) fn tag(subject: &Subject, tags: Value) {
    let row =
        json!({ "id": subject.resource, "name": "st", "type": "microsoft.storage/storageaccounts", "tags": tags });
    Served::azure().ask(&json!({ "do": "graph", "table": "resources", "rows": [row] }));
}

/// Notes the resources that are written to.
pub(crate) struct Counted {
    inner: Arc<dyn amend_cloud::Cloud>,
    written: Mutex<Vec<String>>,
    /// What a call holds in its name that is refused, and with which code and message.
    pub refused: Mutex<Option<[&'static str; 3]>>,
}

#[async_trait]
impl amend_cloud::Cloud for Counted {
    async fn call(&self, place: &Place, call: &Call, args: &Value) -> Result<Value, CallError> {
        if !call.only_reads() {
            self.written.lock().expect("nobody panics").push(args["id"].as_str().unwrap_or_default().to_lowercase());
        }
        let refused = *self.refused.lock().expect("nobody panics");
        if let Some([_, code, message]) = refused.filter(|[part, ..]| call.name().contains(part)) {
            let (call, code, message) = (call.name(), code.into(), message.into());
            return Err(CallError::Refused { call, code, message, status: 403, request_id: None });
        }
        self.inner.call(place, call, args).await
    }
}

pub(crate) fn is_secure(subject: &Subject) -> bool {
    subject
        .state()
        .as_object()
        .expect("resources")
        .values()
        .any(|one| one["properties"]["supportsHttpsTrafficOnly"] == true)
}

#[tokio::test]
async fn an_event_has_one_effect_which_its_source_confirms() {
    let subject = storage();
    let bench = bench("enforce", Mode::Enforce).await;
    bench.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    bench.work().await;
    assert_eq!(bench.states(&subject).await, [State::Set]);
    assert!(is_secure(&subject));
    // The source has not looked again yet: what it says meanwhile starts nothing.
    bench.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    bench.report(&subject, "Unhealthy", "2026-11-20T11:59:00Z").await;
    bench.work().await;
    assert_eq!(bench.states(&subject).await, [State::Set]);
    bench.report(&subject, "Healthy", "2026-11-20T13:00:00Z").await;
    assert_eq!(bench.states(&subject).await, [State::Healthy]);
    bench.inner.clock.set("2026-11-22T12:00:00Z");
    assert_eq!(bench.work().await, []);
    assert_eq!(bench.store().work(10).await.expect("listed"), [], "nothing is left to do");
    // Everything stands in the trail, in order.
    let records = bench.store().audit(0, 100).await.expect("read");
    let what: Vec<&str> = records.iter().map(|record| &*record.entry.what).collect();
    assert_eq!(
        what,
        [
            "remediation.planned",
            "remediation.applying",
            "remediation.sent",
            "remediation.applying",
            "remediation.applied",
            "remediation.set",
            "remediation.healthy"
        ]
    );
    let first = &records[0].entry;
    assert_eq!(
        (&*first.who, first.resource.as_ref().map(|id| id.as_str())),
        ("amend", Some(subject.resource.to_lowercase().as_str()))
    );
    assert_eq!(first.detail["rule"], "all");
    let problem = bench.store().problems(&amend_store::Filter::default()).await.expect("listed").remove(0);
    let decided = json!({ "rule_set": problem.decision.rule_set, "why": problem.decision.why });
    assert!(problem.decision.rule_set.starts_with("sha256:") && !problem.decision.why.is_empty());
    assert_eq!((&first.detail["decided"], &first.detail["guards"]), (&decided, &json!([])));
    assert_eq!(
        first.detail["changes"][0],
        json!({ "path": "supportsHttpsTrafficOnly", "before": false, "then": true })
    );
    assert_eq!(verify(bench.store(), None, &[]).await.expect("whole").records, 7);
    assert_eq!(bench.writes(&subject), 1);
    // A person may still undo it.
    let mut r = bench.remediations(&subject).await.remove(0);
    bench.fixer.undo(&mut r, "ada", None).await.expect("undone");
    assert_eq!((bench.states(&subject).await, is_secure(&subject)), (vec![State::Undone], false));
    let told = bench.store().audit(0, 100).await.expect("read");
    let undoing = told.iter().find(|record| &*record.entry.what == "remediation.undoing").expect("it is there");
    assert_eq!((&*undoing.entry.who, told.last().map(|last| &*last.entry.who)), ("ada", Some("amend")));
}

#[tokio::test]
async fn the_weakest_of_rule_fix_and_configuration_counts() {
    for (fix, most, state) in [
        ("observe", Mode::Enforce, State::Observed),
        ("approve", Mode::Enforce, State::AwaitingApproval),
        ("enforce", Mode::Observe, State::Observed),
        ("enforce", Mode::Approve, State::AwaitingApproval),
    ] {
        let subject = storage();
        let bench = bench(fix, most).await;
        bench.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
        bench.work().await;
        assert_eq!(bench.states(&subject).await, [state], "{fix}, at most {most:?}");
        // The same again is no news, and nothing is written.
        bench.report(&subject, "Unhealthy", "2026-11-19T07:00:00Z").await;
        bench.work().await;
        assert_eq!(bench.states(&subject).await, [state], "{fix}, at most {most:?}");
        assert!(!is_secure(&subject) && bench.writes(&subject) == 0);
    }
    // A fix whose impact is too high is never done by itself.
    let subject = Subject::make("azure.storage.public-blob-access", "bad");
    let bench = bench("enforce", Mode::Enforce).await;
    let open = Export { resource: subject.resource.clone(), ..Export::default() };
    bench.inner.accept(Form::Plain, &open.text()).await;
    bench.work().await;
    assert_eq!(bench.states(&subject).await, [State::AwaitingApproval]);
}

#[tokio::test]
async fn nothing_is_begun_unless_the_configuration_says_so() {
    let subject = storage();
    let bench = bench("enforce", Mode::Enforce).await;
    let off = bench.fixer.clone().with_limits(Limits::default());
    bench.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    assert_eq!(off.work(None).await.expect("the store answers"), None);
    assert_eq!(bench.states(&subject).await, []);
    assert_eq!(bench.store().work(10).await.expect("listed").len(), 1, "it waits");
}

#[tokio::test]
async fn an_owner_has_until_the_due_date_and_what_is_healthy_meanwhile_is_withdrawn() {
    let (slow, quick) = (storage(), storage());
    let bench = bench("{ mode: enforce, when: at_due }", Mode::Enforce).await;
    bench.report(&slow, "Unhealthy", "2026-11-18T07:00:00Z").await;
    bench.report(&quick, "Unhealthy", "2026-11-18T07:00:00Z").await;
    assert_eq!(bench.work().await, []);
    bench.inner.clock.set("2026-11-27T11:59:59Z");
    assert_eq!(bench.work().await, []);
    bench.report(&quick, "Healthy", "2026-11-26T07:00:00Z").await;
    bench.inner.clock.set("2026-11-27T12:00:00Z");
    bench.work().await;
    assert_eq!((bench.states(&slow).await, bench.states(&quick).await), (vec![State::Set], vec![]));
}

#[tokio::test]
async fn the_backlog_starts_nothing_until_it_is_released() {
    let subject = storage();
    let bench = bench("enforce", Mode::Enforce).await;
    let snapshot = Export { snapshot: true, ..report(&subject, "Unhealthy", "2026-11-18T07:00:00Z") };
    bench.inner.accept(Form::Plain, &snapshot.text()).await;
    assert_eq!(bench.work().await, []);
    let problem = bench.store().problems(&amend_store::Filter::default()).await.expect("listed").remove(0);
    bench.store().release(&[problem.id.to_string()], "ada", moment("2026-11-20T12:00:00Z")).await.expect("released");
    bench.work().await;
    assert_eq!(bench.states(&subject).await, [State::Set]);
    let first = bench.store().audit(0, 1).await.expect("read").remove(0).entry;
    assert_eq!((&*first.who, &*first.what, &*first.subject), ("ada", "backlog.release", problem.id.as_str()));
}

#[tokio::test]
async fn what_was_only_shown_is_asked_about_when_more_is_allowed() {
    let subject = storage();
    let bench = bench("enforce", Mode::Observe).await;
    bench.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    bench.work().await;
    let limits = Limits { most: Some(Mode::Approve), guards: mild(), ..Limits::default() };
    let more = Bench { fixer: bench.fixer.clone().with_limits(limits), ..bench };
    assert_eq!(more.work().await, [], "it was looked at");
    // By itself within a day, and at once where somebody says so.
    let key = more.store().work(10).await.expect("listed").remove(0).key;
    let now = moment("2026-11-20T12:00:00Z");
    assert_eq!(more.store().retry_work(Some("remedy:no-such"), now).await.expect("none"), 0);
    assert_eq!(more.store().retry_work(Some(&key), now).await.expect("hastened"), 1);
    more.work().await;
    assert_eq!(more.states(&subject).await, [State::AwaitingApproval, State::Observed]);
    assert_eq!(more.writes(&subject), 0);
}

#[tokio::test]
async fn nothing_is_sent_while_everything_is_stopped() {
    let subject = storage();
    let bench = bench("enforce", Mode::Enforce).await;
    let stop = Stop { by: "ann".into(), at: moment("2026-11-20T12:00:00Z"), why: "an incident".into() };
    assert_eq!(bench.store().stop(&stop).await.expect("stopped"), stop);
    let other = Stop { by: "bob".into(), ..stop.clone() };
    assert_eq!(bench.store().stop(&other).await.expect("stopped"), stop, "the first stop holds");
    bench.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    assert_eq!(bench.work().await, []);
    bench.store().resume("ann", stop.at).await.expect("resumed");
    // Stopped between the plan and the write.
    let (work, _) = bench.fixer.work(None).await.expect("planned").expect("something");
    assert!(work.key.starts_with("remedy:"));
    assert_eq!(bench.states(&subject).await, [State::Planned]);
    let r = bench.remediations(&subject).await.remove(0);
    let until = moment("2026-11-20T12:02:00Z");
    let lease = bench.store().lease(&r.id, "me", stop.at, until).await.expect("asked").expect("mine");
    bench.store().stop(&stop).await.expect("stopped");
    let mut sending = r.clone();
    sending.revision += 1;
    sending.made.push(amend_domain::plan::Made {
        call: "x".into(),
        digest: "x".into(),
        changes: Vec::new(),
        index: 0,
        undo: false,
        at: stop.at,
        outcome: amend_domain::plan::MadeOutcome::Sent,
    });
    let refused = bench.store().keep_remediation(&sending, &lease, until).await;
    assert!(matches!(refused, Err(StoreError::Stopped(_))), "{refused:?}");
    bench.store().leave(&lease, &After::Later { at: stop.at }, stop.at).await.expect("left");
    let mut by_hand = r.clone();
    let refused = bench.fixer.advance(&mut by_hand, None).await.expect_err("stopped");
    assert_eq!(refused.to_string(), "everything was stopped by ann (an incident)");
    assert_eq!(bench.writes(&subject), 0);
    assert!(!is_secure(&subject));
    // And it goes on.
    assert_eq!(bench.store().resume("bob", stop.at).await.expect("resumed"), Some(stop));
    bench.inner.clock.set("2026-11-20T12:10:00Z");
    bench.work().await;
    assert_eq!(bench.states(&subject).await, [State::Set]);
    let switched: Vec<String> =
        bench.told(|_| true).await.into_iter().filter(|text| !text.contains("remediation")).collect();
    // Also whoever stopped what was stopped.
    assert_eq!(switched, ["ann stop", "bob stop", "ann resume", "ann stop", "bob resume"]);
}

#[tokio::test]
async fn whoever_lost_the_lease_keeps_nothing() {
    let subject = storage();
    let bench = bench("enforce", Mode::Enforce).await;
    bench.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    bench.fixer.work(None).await.expect("planned").expect("something");
    let r = bench.remediations(&subject).await.remove(0);
    let (noon, later) = (moment("2026-11-20T12:00:00Z"), moment("2026-11-20T12:03:00Z"));
    let lease =
        |holder: &'static str, now| bench.store().lease(&r.id, holder, now, now + jiff::SignedDuration::from_secs(150));
    let slow = lease("slow", noon).await.expect("asked").expect("free");
    assert_eq!(lease("quick", noon).await.expect("asked"), None, "it is taken");
    assert_eq!(bench.fixer.work(None).await.expect("asked"), None, "also for those who take what is due");
    assert_eq!(lease("slow", noon).await.expect("asked"), Some(slow.clone()), "whoever has it, has it");
    let quick = lease("quick", later).await.expect("asked").expect("free again");
    assert!(quick.fence > slow.fence);
    let mut next = r.clone();
    next.revision += 1;
    let late = bench.store().keep_remediation(&next, &slow, later).await;
    assert!(matches!(late, Err(StoreError::Overtaken { .. })), "{late:?}");
    bench.store().keep_remediation(&next, &quick, later).await.expect("kept");
    // What the late one says of the work counts for nothing, either.
    bench.store().leave(&slow, &After::Done, later).await.expect("ignored");
    assert_eq!(bench.store().work(10).await.expect("listed").len(), 1);
}

#[tokio::test]
async fn what_does_not_get_on_is_tried_again_and_then_shown() {
    let subject = storage();
    let bench = bench("enforce", Mode::Enforce).await;
    let azure = Served::azure();
    let path = format!("^{}$", subject.resource);
    azure.ask(&json!({ "do": "fail", "match": { "method": "GET", "path": path }, "with": { "status": 403, "code": "AuthorizationFailed", "message": "no", "times": 1 } }));
    bench.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    bench.work().await;
    let parked = bench.store().work(10).await.expect("listed").remove(0);
    assert!(
        parked.parked.is_some() && parked.why.as_deref().is_some_and(|why| why.contains("AuthorizationFailed")),
        "{parked:?}"
    );
    bench.inner.clock.set("2026-11-21T12:00:00Z");
    assert_eq!(bench.work().await, [], "it waits for a person");
    assert_eq!(bench.store().retry_work(Some("remedy:nobody"), moment("2026-11-21T12:00:00Z")).await.expect("none"), 0);
    assert_eq!(bench.store().retry_work(Some(&parked.key), moment("2026-11-21T12:00:00Z")).await.expect("one"), 1);
    // What may pass is tried again by itself.
    azure.ask(
        &json!({ "do": "fail", "match": { "method": "GET", "path": path }, "with": { "status": 503, "times": 4 } }),
    );
    let done = bench.work().await;
    let [(_, After::Again { at, why })] = done.as_slice() else { panic!("{done:?}") };
    assert_eq!((at, why.contains("503")), (&moment("2026-11-21T12:00:30Z"), true), "{why}");
    bench.inner.clock.set("2026-11-21T12:00:30Z");
    bench.work().await;
    assert_eq!(bench.states(&subject).await, [State::Set]);
}

#[tokio::test]
async fn what_the_source_does_not_confirm_in_time_is_for_a_person() {
    let subject = storage();
    let bench = bench("enforce", Mode::Enforce).await;
    bench.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    bench.work().await;
    bench.inner.clock.set("2026-11-21T11:59:59Z");
    assert_eq!(bench.work().await, []);
    bench.inner.clock.set("2026-11-21T12:00:01Z");
    bench.work().await;
    let r = bench.remediations(&subject).await.remove(0);
    assert_eq!(r.state, State::Parked);
    assert_eq!(
        r.why.as_deref(),
        Some("the setting reads back as planned, and after 24 h the source still says otherwise")
    );
    // It is shown until the source says so, after all.
    let shown = bench.store().work(10).await.expect("listed").remove(0);
    assert!(shown.parked.is_some() && shown.why == r.why, "{shown:?}");
    bench.report(&subject, "Healthy", "2026-11-21T12:00:00Z").await;
    assert_eq!(bench.states(&subject).await, [State::Healthy]);
    assert_eq!(bench.store().work(10).await.expect("listed"), []);
}

#[tokio::test]
async fn no_more_is_begun_in_an_hour_than_is_allowed() {
    let bench = bench("enforce", Mode::Enforce).await;
    let guards = guard::Settings { per_hour: 2, ..mild() };
    let fixer = bench.fixer.clone().with_limits(Limits { most: Some(Mode::Enforce), guards, ..Limits::default() });
    let bench = Bench { fixer, ..bench };
    let subjects = [storage(), storage(), storage()];
    for subject in &subjects {
        bench.report(subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    }
    let set = async || {
        bench.work().await;
        let mut set = 0;
        for subject in &subjects {
            set += bench.states(subject).await.len();
        }
        set
    };
    assert_eq!(set().await, 2);
    bench.inner.clock.set("2026-11-20T12:59:59Z");
    assert_eq!(set().await, 2);
    bench.inner.clock.set("2026-11-20T13:10:01Z");
    assert_eq!(set().await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_workers_do_each_piece_once() {
    let bench = bench("enforce", Mode::Enforce).await;
    let fixer = bench.fixer.clone();
    let subjects: Vec<Subject> = (0..12).map(|_| storage()).collect();
    for subject in &subjects {
        bench.report(subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    }
    let workers: Vec<_> = (0..6)
        .map(|_| {
            let fixer = fixer.another();
            tokio::spawn(async move { while fixer.work(None).await.expect("the store answers").is_some() {} })
        })
        .collect();
    for worker in workers {
        worker.await.expect("a worker ends");
    }
    bench.work().await;
    for subject in &subjects {
        assert_eq!(bench.states(subject).await, [State::Set]);
        assert_eq!(bench.writes(subject), 1);
    }
    verify(bench.store(), None, &[]).await.expect("whole");
}

#[tokio::test]
async fn what_is_approved_waits_while_another_is_undone() {
    let subject = storage();
    let bench = bench("approve", Mode::Enforce).await;
    bench.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    bench.work().await;
    let waiting = bench.remediations(&subject).await.remove(0);
    assert_eq!(waiting.state, State::AwaitingApproval);
    // Another remediation of the resource is being undone.
    let id = amend_domain::ResourceId::new(&subject.resource);
    let other = format!(
        "INSERT INTO remediations (id, resource, fix, state, revision, begun, body) VALUES ('r-other', '{}', 'f', 'undoing', 2, 0, '{{}}')",
        id.as_str()
    );
    bench.inner.fresh.tamper(&other).await;
    let says = Answered::yes(Person::named("ann"));
    let refused = bench.fixer.answer(&waiting.id, &waiting.plan.digest, &says).await.expect_err("not now");
    assert!(refused.to_string().contains("taken further by somebody else"), "{refused}");
    bench.inner.fresh.tamper("DELETE FROM remediations WHERE id = 'r-other'").await;
    // Nobody holds it meanwhile, and the answer still counts.
    bench.fixer.answer(&waiting.id, &waiting.plan.digest, &says).await.expect("approved");
    bench.work().await;
    assert_eq!(bench.states(&subject).await, [State::Set]);
}

#[tokio::test]
async fn what_the_configuration_stops_is_not_sent_either() {
    let subject = storage();
    let bench = bench("enforce", Mode::Enforce).await;
    bench.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    let stop = Stop { by: "the configuration".into(), at: moment("2026-11-20T12:00:00Z"), why: "a drill".into() };
    let stopped = bench.another_on(bench.store().clone().with_stop(Some(stop)));
    let store = stopped.store();
    while stopped.work(None).await.expect("the store answers").is_some() {}
    assert_eq!(bench.writes(&subject), 0);
    assert!(store.resume("ann", moment("2026-11-20T12:00:00Z")).await.expect("answered").is_none());
    assert!(store.stopped().await.expect("answered").is_some(), "the switch does not help");
    bench.inner.clock.set("2026-11-20T13:00:00Z");
    bench.work().await;
    assert_eq!(bench.states(&subject).await, [State::Set], "whoever is not stopped goes on");
}

/// Keeps a remediation as it was left by somebody who died right after the first step.
async fn left_applying(bench: &Bench, subject: &Subject) -> Remediation {
    let mut r = bench.remediations(subject).await.remove(0);
    let now = moment("2026-11-20T12:00:00Z");
    let lease = bench.store().lease(&r.id, "dead", now, now).await.expect("asked").expect("free");
    r.state = State::Applying;
    r.revision += 1;
    bench.store().keep_remediation(&r, &lease, now).await.expect("kept");
    r
}

#[tokio::test]
async fn after_a_pause_everything_is_looked_at_again_before_the_first_write() {
    for change_guard in [false, true] {
        let subject = storage();
        let bench = bench("enforce", Mode::Enforce).await;
        bench.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
        bench.fixer.work(None).await.expect("planned").expect("something");
        left_applying(&bench, &subject).await;
        if change_guard {
            tag(&subject, json!({ "terraform": "yes" }));
        } else {
            let fixed = json!({ "properties": { "supportsHttpsTrafficOnly": true } });
            Served::azure().ask(&json!({ "do": "change", "resource": subject.resource, "merge": fixed }));
        }
        bench.inner.clock.set("2026-11-22T12:00:00Z");
        bench.work().await;
        let state = if change_guard { State::Blocked } else { State::Superseded };
        assert_eq!((bench.states(&subject).await, bench.writes(&subject)), (vec![state], 0));
    }
}

#[tokio::test]
async fn an_undo_that_is_refused_leaves_the_rest_to_go_on() {
    let (asked, busy) = (storage(), storage());
    let bench = bench("approve", Mode::Enforce).await;
    bench.report(&asked, "Unhealthy", "2026-11-18T07:00:00Z").await;
    bench.work().await;
    let mut r = bench.remediations(&asked).await.remove(0);
    let before = bench.store().work(10).await.expect("listed");
    bench.fixer.undo(&mut r, "ada", None).await.expect_err("nothing was done");
    assert_eq!(bench.store().work(10).await.expect("listed"), before, "it still waits for an answer");
    // While something else is at the resource, nothing is brought back there.
    let enforced = self::bench("enforce", Mode::Enforce).await;
    enforced.report(&busy, "Unhealthy", "2026-11-18T07:00:00Z").await;
    enforced.work().await;
    let mut first = enforced.remediations(&busy).await.remove(0);
    let other = Remediation { id: "r-other".into(), revision: 1, state: State::Applying, ..first.clone() };
    let now = moment("2026-11-20T12:00:00Z");
    let lease = enforced
        .store()
        .lease(&other.id, "other", now, moment("2026-11-20T13:00:00Z"))
        .await
        .expect("asked")
        .expect("free");
    enforced.store().keep_remediation(&other, &lease, now).await.expect("kept");
    let refused = enforced.fixer.undo(&mut first, "ada", None).await.expect_err("busy");
    assert!(refused.to_string().contains("`r-other`"), "{refused}");
    let mut undoing = first.clone();
    (undoing.state, undoing.revision) = (State::Undoing, undoing.revision + 1);
    let own = enforced.store().lease(&first.id, "me", now, now).await.expect("asked").expect("free");
    let refused = enforced.store().keep_remediation(&undoing, &own, now).await;
    assert!(matches!(refused, Err(StoreError::Overtaken { .. })), "also in the transaction: {refused:?}");
    assert!(is_secure(&busy));
}

#[tokio::test]
async fn what_is_reported_while_somebody_is_at_it_is_not_lost() {
    let subject = storage();
    let bench = bench("enforce", Mode::Enforce).await;
    bench.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    let now = moment("2026-11-20T12:00:00Z");
    let (work, lease) = bench
        .store()
        .claim(WorkKind::FIXING, "slow", now, moment("2026-11-20T12:02:00Z"))
        .await
        .expect("asked")
        .expect("due");
    assert!(work.key.starts_with("remedy:"));
    bench.report(&subject, "Unhealthy", "2026-11-20T11:00:00Z").await;
    // What the slow one found out is about yesterday.
    bench.store().leave(&lease, &After::Done, now).await.expect("ignored");
    bench.work().await;
    assert_eq!(bench.states(&subject).await, [State::Set]);
}

#[tokio::test]
async fn what_was_planned_is_not_done_when_nobody_wants_it_any_more() {
    let approve = async |bench: &Bench, subject: &Subject| {
        bench.report(subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
        bench.work().await;
        let r = bench.remediations(subject).await.remove(0);
        let answer = Answered::yes(Person::named("ann"));
        bench.fixer.answer(&r.id, &r.plan.digest, &answer).await.expect("approved");
    };
    // The configuration lets less by now.
    let subject = storage();
    let bench_ = bench("approve", Mode::Approve).await;
    approve(&bench_, &subject).await;
    let less =
        bench_.fixer.clone().with_limits(Limits { most: Some(Mode::Observe), guards: mild(), ..Limits::default() });
    while less.work(None).await.expect("the store answers").is_some() {}
    assert_eq!((bench_.states(&subject).await, bench_.writes(&subject)), (vec![State::Planned], 0));
    // An answer that comes too late.
    let subject = storage();
    let bench_ = bench("approve", Mode::Approve).await;
    bench_.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    bench_.work().await;
    let r = bench_.remediations(&subject).await.remove(0);
    bench_.inner.clock.set("2026-11-27T12:00:00Z");
    let late = bench_.fixer.answer(&r.id, &r.plan.digest, &Answered::yes(Person::named("ann"))).await;
    assert!(late.expect_err("too late").to_string().contains("the time to answer is over"));
}

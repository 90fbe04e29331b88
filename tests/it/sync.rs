//! What Defender is told of problems, and what is taken over from it: governance assignments. What is read there first
//! decides; what a person wrote there stays. Findings of other systems: `sync_findings`.

use std::{collections::BTreeMap, sync::Arc};

use amend_connect::{Local, Tracker};
use amend_domain::{
    Cloud, Problem, assignment,
    owners::Mapped,
    owners::Owners,
    said::{Eta, Moved, Said, end_of},
    sync::{System, Told},
    work::{After, Stop},
};
use amend_events::Form;
use amend_pipeline::{
    sync::{Authority, Hub, Syncer, Systems},
    tickets::{Desk, Routes},
};
use amend_store::{Filter, Store as _, Syncs as _, Tickets};
use amend_tests::{
    clouds::Served,
    harness::{self, CountedIds, Export, catalogue, moment},
    subject::{Subject, all_clouds},
};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::work::{KEY, report};

pub(crate) const RULES: &str =
    "version: 1\nrules: [{ id: all, priority: 1, owner: a@example.org, due: 7d, grace: until_due }]";
pub(crate) const TICKETS: &str =
    "version: 1\nrules: [{ id: all, priority: 1, owner: a@example.org, due: 7d, ticket: true }]";

pub(crate) const AMEND: Systems = Systems {
    defender: Some(Authority::Amend { overrides: false }),
    hub: Hub { findings: false, import: false },
    scc: false,
    mails: false,
};

/// A pipeline, and whoever tells systems what becomes of its problems.
pub(crate) struct Bench {
    pub inner: harness::Bench,
    syncer: Syncer,
    desk: Desk,
}

pub(crate) async fn bench_in(cloud: Cloud, rules: &str, systems: Systems, owners: Owners) -> Bench {
    let inner = harness::bench_telling(rules, owners.clone(), systems.in_use()).await;
    let served = amend_tests::subject::served(cloud);
    let syncer = syncer(&inner, cloud, systems, owners, served);
    let store = Arc::new(inner.store.clone());
    let tickets: Arc<dyn Tickets> = store.clone();
    let local: Arc<dyn Tracker> = Arc::new(Local::new(tickets.clone()));
    let trackers = BTreeMap::from([("local".to_owned(), local)]);
    let desk = Desk::new(store, tickets, trackers, catalogue(), inner.clock.clone(), &CountedIds::default());
    Bench { syncer, desk: desk.with_routes(Routes::default()), inner }
}

fn syncer(inner: &harness::Bench, cloud: Cloud, systems: Systems, owners: Owners, served: &Served) -> Syncer {
    let store = Arc::new(inner.store.clone());
    let settings = catalogue().settings().expect("settings without mistakes");
    let (clouds, ids) = (all_clouds(cloud, served), CountedIds::default());
    let syncer = Syncer::new(store.clone(), store, clouds, systems, settings, inner.clock.clone(), &ids);
    syncer.with_owners(Arc::new(owners))
}

async fn azure(rules: &str, systems: Systems) -> Bench {
    bench_in(Cloud::Azure, rules, systems, Owners::default()).await
}

impl Bench {
    /// Does all that is due with tickets, then with systems.
    pub async fn work(&self) -> Vec<After> {
        while self.desk.work().await.expect("the store answers").is_some() {}
        self.sync().await
    }

    async fn sync(&self) -> Vec<After> {
        let mut done = Vec::new();
        while let Some((_, after)) = self.syncer.work().await.expect("the store answers") {
            done.push(after);
            assert!(done.len() < 100, "work does not end");
        }
        done
    }

    pub async fn problem(&self) -> Problem {
        self.inner.store.problems(&Filter::default()).await.expect("listed").remove(0)
    }

    async fn hear(&self, said: Said) {
        let problem = self.problem().await;
        let heard = self.inner.store.hear(problem.id.as_str(), &said, self.now()).await;
        heard.expect("kept").expect("known").expect("heard");
    }

    pub fn now(&self) -> Timestamp {
        use amend_domain::ports::Clock as _;
        self.inner.clock.now()
    }

    async fn report(&self, subject: &Subject, code: &str, changed: &str) {
        self.inner.accept(Form::Plain, &report(subject, code, changed).text()).await;
    }

    /// What stands in the trail about what a system was told.
    pub async fn trail(&self, system: System) -> Vec<Value> {
        let records = self.inner.store.audit(0, 1_000).await.expect("read");
        let told = records.into_iter().filter(|record| &*record.entry.what == system.told());
        told.map(|record| record.entry.detail).collect()
    }
}

fn assignments(subject: &Subject) -> String {
    format!("{}/providers/Microsoft.Security/assessments/{KEY}/governanceAssignments", subject.resource)
}

/// Somebody else assigns it, in Defender.
pub(crate) fn assign(subject: &Subject, name: &str, properties: &Value, by: Option<&str>) {
    let merge = json!({ "properties": properties, "systemData": by.map(|by| json!({ "lastModifiedByType": by })) });
    let id = format!("{}/{name}", assignments(subject));
    Served::azure().ask(&json!({ "do": "change", "resource": id, "merge": merge }));
}

/// The assignments that stand there.
fn standing(subject: &Subject) -> Vec<(String, Value)> {
    let all = Served::azure().ask(&json!({ "do": "state", "resource": subject.resource }));
    let all = all.as_object().expect("resources").iter();
    let ours = all.filter(|(id, _)| id.to_lowercase().contains("/governanceassignments/"));
    ours.map(|(id, body)| (id.rsplit('/').next().expect("a name").to_owned(), body["properties"].clone())).collect()
}

/// How often assignments were written.
fn writes(subject: &Subject) -> usize {
    let path = format!("(?i){}.*governanceAssignments/", subject.resource.rsplit('/').next().expect("a name"));
    let seen = Served::azure().ask(&json!({ "do": "requests", "path": path, "after": 0 }));
    let all = seen["requests"].as_array().expect("requests");
    all.iter().filter(|one| one["method"] == "PUT").count()
}

fn storage() -> Subject {
    Subject::make("azure.storage.secure-transfer", "bad")
}

#[tokio::test]
async fn an_owner_and_a_date_are_written_where_defender_has_none() {
    let subject = storage();
    let bench = azure(RULES, AMEND).await;
    bench.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    assert_eq!(bench.work().await, [After::Done]);
    let id = bench.problem().await.decided_by.clone();
    let expected =
        json!({ "isGracePeriod": true, "owner": "a@example.org", "remediationDueDate": "2026-11-27T12:00:00Z" });
    assert_eq!(standing(&subject), [(assignment::key(&id), expected)]);
    let trail = bench.trail(System::Defender).await;
    assert_eq!(trail.len(), 1);
    assert_eq!(trail[0]["changes"][2], json!({ "path": "owner", "from": null, "to": "a@example.org" }));
    // The same again is no news, and a day later it stands there yet.
    bench.report(&subject, "Unhealthy", "2026-11-19T07:00:00Z").await;
    assert_eq!(bench.work().await, []);
    bench.inner.clock.set("2026-11-21T12:00:01Z");
    assert_eq!((bench.work().await, writes(&subject)), (vec![After::Done], 1));
    // What people say here is said there; what they take back, too.
    let by: Box<str> = "a@example.org".into();
    let on = end_of("2026-11-25".parse().expect("a day")).expect("it ends");
    bench.hear(Said::Eta(Eta { on, by: by.clone(), at: bench.now(), why: Some("after the release".into()) })).await;
    let due = moment("2026-12-24T23:59:59Z");
    bench.hear(Said::Due(due, Moved { from: None, by: by.clone(), at: bench.now(), why: "frozen".into() })).await;
    bench.work().await;
    let (_, stands) = standing(&subject).remove(0);
    assert_eq!(stands["remediationDueDate"], "2026-12-24T23:59:59Z");
    assert_eq!(
        stands["remediationEta"],
        json!({ "eta": "2026-11-25T23:59:59Z", "justification": "after the release" })
    );
    bench.hear(Said::NoEta { by }).await;
    bench.work().await;
    let (_, stands) = standing(&subject).remove(0);
    assert_eq!((stands.get("remediationEta"), writes(&subject)), (None, 3));
    assert_eq!(bench.trail(System::Defender).await.len(), 3);
    assert_eq!(Served::azure().ask(&json!({ "do": "wrong" })), json!([]));
}

pub(crate) const RULE_KEY: &str = "41fb92a5-43dc-4c00-a969-469c16cef7a7";

#[tokio::test]
async fn what_defender_assigns_is_taken_over_and_never_written() {
    let subject = storage();
    let systems = Systems { defender: Some(Authority::Defender), ..AMEND };
    let bench = azure(RULES, systems).await;
    let properties = json!({
        "owner": "Nora@Contoso.example", "remediationDueDate": "2026-12-04T13:00:00.0000000Z", "isGracePeriod": true,
        "remediationEta": { "eta": "2026-12-02T13:00:00Z", "justification": "after the freeze" },
    });
    assign(&subject, RULE_KEY, &properties, None);
    bench.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    bench.work().await;
    let problem = bench.problem().await;
    let owner = &problem.decision.owner;
    assert_eq!((owner.name.as_deref(), &*owner.from), (Some("Nora@Contoso.example"), "assigned in Defender for Cloud"));
    assert_eq!(problem.due, Some(moment("2026-12-04T13:00:00Z")));
    assert_eq!(
        problem.moved.as_ref().map(|moved| (moved.from, &*moved.by)),
        Some((Some(moment("2026-11-27T12:00:00Z")), "Defender for Cloud"))
    );
    let eta = problem.eta.as_ref().expect("there is one");
    assert_eq!((eta.on, eta.why.as_deref()), (moment("2026-12-02T13:00:00Z"), Some("after the freeze")));
    // Another event says nothing of owners: what was taken over stays.
    bench.report(&subject, "Unhealthy", "2026-11-19T07:00:00Z").await;
    assert_eq!((bench.work().await, bench.problem().await.decision.owner), (vec![], problem.decision.owner.clone()));
    // What is said here stands until Defender says something else.
    let due = moment("2026-12-10T23:59:59Z");
    bench.hear(Said::Due(due, Moved { from: None, by: "eve".into(), at: bench.now(), why: "x".into() })).await;
    bench.work().await;
    bench.inner.clock.set("2026-11-21T12:00:01Z");
    assert_eq!((bench.work().await, bench.problem().await.due), (vec![After::Done], Some(due)));
    assign(&subject, RULE_KEY, &json!({ "remediationDueDate": "2026-12-06T13:00:00Z" }), None);
    bench.inner.clock.set("2026-11-22T12:00:02Z");
    bench.work().await;
    assert_eq!(bench.problem().await.due, Some(moment("2026-12-06T13:00:00Z")));
    // It went away, and comes back: what stands there counts again.
    bench.report(&subject, "Healthy", "2026-11-22T13:00:00Z").await;
    bench.report(&subject, "Unhealthy", "2026-11-22T14:00:00Z").await;
    assert_eq!(bench.problem().await.decision.owner.name.as_deref(), Some("a@example.org"));
    bench.work().await;
    let problem = bench.problem().await;
    let due = Some(moment("2026-12-06T13:00:00Z"));
    assert_eq!((problem.period, problem.due, problem.assigned.as_deref()), (2, due, Some("Nora@Contoso.example")));
    let records = bench.inner.store.audit(0, 100).await.expect("read");
    let assigned: Vec<_> = records.iter().filter(|record| &*record.entry.what == "problem.assigned").collect();
    assert_eq!((assigned.len(), &*assigned[0].entry.who), (3, "Defender for Cloud"));
    let owner = json!({ "from": "a@example.org", "to": "Nora@Contoso.example" });
    assert_eq!(assigned[0].entry.detail["owner"], owner);
    assert_eq!((writes(&subject), bench.trail(System::Defender).await.len()), (0, 0));
}

/// Whose value it is decides, for each value by itself.
#[tokio::test]
async fn gaps_are_filled_and_what_others_wrote_stays() {
    let overriding = Systems { defender: Some(Authority::Amend { overrides: true }), ..AMEND };
    let (theirs, ours) = ("2026-12-31T00:00:00Z", "2026-11-27T12:00:00Z");
    for (name, systems, by, owner, expected, times) in [
        ("gaps alone", AMEND, Some("ManagedIdentity"), "  ", ("a@example.org", theirs), 1),
        ("no gap", AMEND, Some("ManagedIdentity"), "rule@example.org", ("rule@example.org", theirs), 0),
        ("a rule is overridden", overriding, Some("Application"), "rule@example.org", ("a@example.org", ours), 1),
        ("a person is not", overriding, Some("User"), "rule@example.org", ("rule@example.org", theirs), 0),
        ("nor whoever may be one", overriding, None, "rule@example.org", ("rule@example.org", theirs), 0),
    ] {
        let subject = storage();
        assign(&subject, RULE_KEY, &json!({ "owner": owner, "remediationDueDate": theirs }), by);
        let bench = azure(RULES, systems).await;
        bench.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
        bench.work().await;
        let mut expected = json!({ "owner": expected.0, "remediationDueDate": expected.1 });
        if expected["remediationDueDate"] == ours {
            // Nobody is spared until a date that is not Amend's.
            expected["isGracePeriod"] = true.into();
        }
        let stands = standing(&subject);
        assert_eq!(stands.len(), 1, "{name}");
        assert_eq!((stands[0].0.as_str(), moments(&stands[0].1)), (RULE_KEY, moments(&expected)), "{name}");
        // What Amend wrote, and somebody changed since, is theirs; what it did not, is not given up.
        assign(&subject, RULE_KEY, &json!({ "isGracePeriod": false, "owner": "eve@example.org" }), Some("User"));
        bench.inner.clock.set("2026-11-22T12:00:00Z");
        bench.work().await;
        let (_, stands) = standing(&subject).remove(0);
        assert_eq!((&stands["owner"], &stands["isGracePeriod"]), (&json!("eve@example.org"), &json!(false)), "{name}");
        assert_eq!(writes(&subject), times, "{name}");
    }
}

/// With times as they are meant, not as they are written.
fn moments(value: &Value) -> Value {
    let mut value = value.clone();
    let due = value["remediationDueDate"].as_str().expect("a date").parse::<Timestamp>().expect("a date");
    value["remediationDueDate"] = due.to_string().into();
    value
}

#[tokio::test]
async fn tickets_are_named_and_mails_switched_off_where_amend_sends_its_own() {
    let subject = storage();
    let owners = Owners::new(
        vec![Mapped {
            name: Some("team-a".to_owned().into()),
            owner: Some("Ann <a@example.org>".into()),
            manager: Some("boss@example.org".into()),
            account: None,
        }],
        "owners.csv",
    );
    let rules = TICKETS.replace("a@example.org", "team-a");
    let bench = bench_in(Cloud::Azure, &rules, Systems { mails: true, ..AMEND }, owners).await;
    assign(
        &subject,
        RULE_KEY,
        &json!({
            "remediationDueDate": "2026-12-31T00:00:00Z",
            "governanceEmailNotification": { "disableOwnerEmailNotification": false, "disableManagerEmailNotification": false },
        }),
        Some("Application"),
    );
    bench.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    bench.work().await;
    let (_, stands) = standing(&subject).remove(0);
    let off = json!({ "disableOwnerEmailNotification": true, "disableManagerEmailNotification": true });
    assert_eq!((&stands["owner"], &stands["governanceEmailNotification"]), (&json!("a@example.org"), &off));
    assert_eq!(stands["additionalData"], json!({ "ticketNumber": 1, "ticketStatus": "Active" }));
    // Healthy: its ticket is closed, and Defender hears no more than that.
    bench.inner.clock.set("2026-11-20T12:10:00Z");
    bench.report(&subject, "Healthy", "2026-11-20T12:10:00Z").await;
    bench.work().await;
    bench.inner.clock.set("2026-11-20T12:20:00Z");
    bench.work().await;
    let (_, closed) = standing(&subject).remove(0);
    assert_eq!(closed["additionalData"], json!({ "ticketNumber": 1, "ticketStatus": "Closed" }));
    assert_eq!(closed["owner"], stands["owner"]);
    // Whoever wants Defender's mails after all gets them.
    let again = json!({ "governanceEmailNotification": { "disableOwnerEmailNotification": false } });
    assign(&subject, RULE_KEY, &again, Some("User"));
    bench.report(&subject, "Unhealthy", "2026-11-20T13:00:00Z").await;
    for at in ["2026-11-20T13:30:00Z", "2026-11-20T13:40:00Z"] {
        bench.inner.clock.set(at);
        bench.work().await;
    }
    let (_, stands) = standing(&subject).remove(0);
    assert_eq!(stands["governanceEmailNotification"]["disableOwnerEmailNotification"], json!(false));
    assert_eq!(stands["additionalData"]["ticketStatus"], json!("Active"));
}

#[test]
fn a_ticket_that_is_no_number_stands_in_the_link() {
    let entry = |key: &str, url: Option<&str>| amend_domain::ticket::Entry {
        key: key.into(),
        url: url.map(Into::into),
        open: true,
    };
    for (key, url, number, link) in [
        ("7", Some("https://github.example/7"), Some(7), Some("https://github.example/7")),
        ("7", None, Some(7), None),
        ("INC0010023", Some("https://snow.example/i"), None, Some("https://snow.example/i")),
        ("INC0010023", None, None, Some("INC0010023")),
        ("4294967296", None, None, Some("4294967296")),
        ("2147483648", None, None, Some("2147483648")),
    ] {
        let problem = crate::sync::open_problem();
        let wanted = assignment::wanted(&problem, None, Some(&entry(key, url)), assignment::Mails::default());
        let found = (wanted.get("additionalData.ticketNumber"), wanted.get("additionalData.ticketLink"));
        assert_eq!(found, (number.map(Value::from).as_ref(), link.map(Value::from).as_ref()), "{key} {url:?}");
    }
}

/// An open problem, as the store keeps one.
fn open_problem() -> Problem {
    let body = json!({
        "tenant": "t", "id": "p-61a2feada11ba44bbc6b", "resource": { "cloud": "azure", "id": "/subscriptions/s/x", "name": "x" },
        "setting": "s", "title": "t", "findings": {}, "state": "open", "place": "live", "period": 1,
        "opened": "2026-11-18T07:00:00Z", "decided_by": "a",
        "decision": { "is": "governed", "rule_set": "r", "owner": { "from": "x" }, "why": "w" },
    });
    serde_json::from_value(body).expect("a problem")
}

#[tokio::test]
async fn where_defender_holds_two_assignments_a_person_looks() {
    let subject = storage();
    let bench = azure(RULES, AMEND).await;
    for name in [RULE_KEY, "6634ff9f-127b-4bf2-8e6e-b1737f5e789c"] {
        assign(&subject, name, &json!({ "remediationDueDate": "2026-12-31T00:00:00Z" }), None);
    }
    bench.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    let after = bench.work().await;
    assert!(
        matches!(&*after, [After::Parked { why }] if why.starts_with("Defender has 2 governance assignments of ")),
        "{after:?}"
    );
    assert_eq!(writes(&subject), 0);
}

/// Whatever happens to a request, what was wanted stands there in the end, once, and is in the trail once.
#[tokio::test]
async fn an_outage_of_defender_loses_nothing() {
    let service = |status: u16| json!({ "status": status });
    for (name, method, with, tries) in [
        ("may not read", "GET", json!({ "status": 403, "code": "AuthorizationFailed" }), 2),
        ("may not write", "PUT", json!({ "status": 403, "code": "AuthorizationFailed" }), 2),
        ("throttled", "PUT", json!({ "status": 429, "retry_after": 0, "times": 4 }), 2),
        ("fails", "GET", service(500), 1),
        ("fails at the write", "PUT", service(500), 2),
        ("the answer is lost", "PUT", json!({ "drop": true, "applied": true }), 2),
        ("the request is lost", "PUT", json!({ "drop": true, "applied": false }), 2),
    ] {
        let subject = storage();
        let path =
            format!("{}.*governanceAssignments", subject.resource.rsplit('/').next().expect("a name").to_lowercase());
        Served::azure().ask(&json!({ "do": "fail", "match": { "method": method, "path": path }, "with": with }));
        let bench = azure(RULES, AMEND).await;
        bench.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
        let mut tried = 0;
        for minute in 0..60 {
            bench.inner.clock.set(&format!("2026-11-20T12:{minute:02}:00Z"));
            tried += bench.work().await.len();
        }
        assert!(tried >= tries, "{name}: {tried}");
        let stands = standing(&subject);
        assert_eq!((stands.len(), &stands[0].1["owner"]), (1, &json!("a@example.org")), "{name}");
        assert_eq!(bench.trail(System::Defender).await.len(), 1, "{name}");
        assert_eq!(bench.inner.store.work(10).await.expect("listed"), [], "{name}");
        // It is known to be Amend's own: another date is written.
        let due = moment("2026-12-24T23:59:59Z");
        bench.hear(Said::Due(due, Moved { from: None, by: "eve".into(), at: bench.now(), why: "x".into() })).await;
        bench.work().await;
        assert_eq!(standing(&subject)[0].1["remediationDueDate"], "2026-12-24T23:59:59Z", "{name}");
    }
}

/// A thousand problems in a subscription that refuses are not a thousand requests.
#[tokio::test]
async fn who_refuses_one_is_not_asked_about_the_next_at_once() {
    let (subject, other) = (storage(), storage());
    let name = |subject: &Subject| subject.resource.rsplit('/').next().expect("a name").to_lowercase();
    let path = format!("({}|{}).*governanceAssignments", name(&subject), name(&other));
    let with = json!({ "status": 403, "code": "AuthorizationFailed" });
    Served::azure().ask(&json!({ "do": "fail", "match": { "path": path }, "with": with }));
    let bench = azure(RULES, AMEND).await;
    bench.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    bench.report(&other, "Unhealthy", "2026-11-18T07:00:00Z").await;
    bench.work().await;
    let waiting = bench.inner.store.work(10).await.expect("listed");
    // They are of one subscription: after the first that was refused, the other was not tried.
    let asked = Served::azure().ask(&json!({ "do": "requests", "path": path, "after": 0 }));
    assert_eq!((waiting.len(), asked["requests"].as_array().map(Vec::len)), (2, Some(1)));
    assert!(
        waiting.iter().all(|work| work.why.as_ref().is_some_and(|why| why.contains("AuthorizationFailed"))),
        "{waiting:?}"
    );
    bench.inner.clock.set("2026-11-20T12:20:00Z");
    bench.work().await;
    assert_eq!((writes(&subject), writes(&other)), (1, 1));
}

#[tokio::test]
async fn nothing_is_asked_of_systems_that_are_not_in_use_nor_of_what_has_not_begun() {
    let subject = storage();
    let none = azure(RULES, Systems { defender: None, ..AMEND }).await;
    none.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    assert_eq!((none.work().await, none.inner.store.work(10).await.expect("listed")), (vec![], vec![]));
    // What a snapshot brought waits until a person lets it go on.
    let bench = azure(RULES, AMEND).await;
    let snapshot = Export { snapshot: true, ..report(&subject, "Unhealthy", "2026-11-18T07:00:00Z") };
    bench.inner.accept(Form::Plain, &snapshot.text()).await;
    bench.inner.clock.set("2026-11-22T12:00:00Z");
    assert_eq!((bench.work().await, writes(&subject)), (vec![], 0));
    // While everything is stopped, this is, too.
    let stop = Stop { by: "ann".into(), at: bench.now(), why: "x".into() };
    bench.inner.store.stop(&stop).await.expect("stopped");
    let id = bench.problem().await.id.to_string();
    bench.inner.store.release(&[id], "ann", bench.now()).await.expect("released");
    assert_eq!((bench.work().await, writes(&subject)), (vec![], 0));
    bench.inner.store.resume("ann", bench.now()).await.expect("resumed");
    assert_eq!((bench.work().await, writes(&subject)), (vec![After::Done], 1));
}

/// What was recorded before a system was in use is told, too, when it is; and a preview writes nothing.
#[tokio::test]
async fn what_was_there_before_is_told_too() {
    let subject = storage();
    let bench = azure(RULES, Systems { defender: None, ..AMEND }).await;
    bench.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    let syncer = syncer(&bench.inner, Cloud::Azure, AMEND, Owners::default(), Served::azure());
    let steps = syncer.preview(&bench.problem().await).await.expect("read");
    assert_eq!((steps.len(), steps[0].changes.len(), writes(&subject)), (1, 3, 0));
    assert_eq!(bench.inner.store.all_synced(10).await.expect("listed").len(), 0);
    let bench = Bench { syncer, ..bench };
    assert_eq!((bench.work().await, writes(&subject)), (vec![After::Done], 1));
    assert_eq!(bench.work().await, [], "once a day");
}

/// What was said before, by Amend or by others, decides what may be written: one step after the other.
#[test]
fn whose_a_value_is_follows_from_what_was_told_and_what_stands_there() {
    let values = |all: &[(&str, Value)]| -> amend_domain::sync::Values {
        all.iter().map(|(path, value)| ((*path).into(), value.clone())).collect()
    };
    let due = |day: u8| json!(format!("2026-12-{day:02}T12:00:00Z"));
    let wanted = |owner: &str, day: u8| values(&[("owner", json!(owner)), ("remediationDueDate", due(day))]);
    let look = |stands: &Value, told: &Told, wanted: &_, overrides: bool, by_machine: bool| {
        assignment::look(Some(assignment::Found { properties: stands, by_machine }), told, wanted, overrides, 1)
    };
    let at = moment("2026-11-20T12:00:00Z");
    let telling = |look: &assignment::Look| -> amend_domain::sync::Values {
        let write = look.write.as_ref().expect("something is written");
        write.changes.iter().map(|change| (change.path.clone(), change.to.clone())).collect()
    };
    // Told, and the answer is lost; then another date is wanted, which never arrives. The first is Amend's all the same.
    let first = look(&json!({}), &Told::default(), &wanted("a@x", 1), false, false);
    let told = Told { telling: Some(telling(&first)), ..first.told };
    let stands = json!({ "owner": "a@x", "remediationDueDate": due(1) });
    let second = look(&stands, &told, &wanted("a@x", 2), false, false);
    assert_eq!((second.heard.len(), second.told.values.len()), (2, 2));
    let told = Told { telling: Some(telling(&second)), ..second.told };
    let third = look(&stands, &told, &wanted("a@x", 3), false, false);
    assert_eq!(third.write.expect("it is written").properties["remediationDueDate"], due(3));
    // Told and not heard, and no more wanted: that is not taken for heard.
    let none = look(&json!({ "remediationDueDate": due(1) }), &told, &wanted("a@x", 1), false, false);
    assert_eq!((none.heard.len(), none.told.theirs.len()), (0, 1), "the owner was told, and was taken away");
    assert!(none.write.is_none());
    // A person's stays when Amend writes beside it, which makes Amend the last writer; also where it overrides.
    let stands = json!({ "owner": "eve@x", "remediationDueDate": due(9) });
    let eta = json!({ "eta": "2026-12-01T00:00:00Z", "justification": "y" });
    let with_eta = |owner: &str, day: u8| {
        let mut all = wanted(owner, day);
        all.insert("remediationEta".into(), eta.clone());
        all
    };
    let seen = look(&stands, &Told::default(), &with_eta("a@x", 1), true, false);
    let write = seen.write.as_ref().expect("the gap is filled");
    assert_eq!((write.changes.len(), &write.properties["owner"]), (1, &json!("eve@x")));
    let told = seen.told.clone().heard(telling(&seen), at);
    let after = json!({ "owner": "eve@x", "remediationDueDate": due(9), "remediationEta": {
        "Eta": "2026-12-01T00:00:00.0000000Z", "justification": "y", "more": null } });
    let again = look(&after, &told, &with_eta("a@x", 1), true, true);
    assert_eq!(again.write, None, "Amend was the machine that wrote last, and the time is the same");
    // Its own ETA is taken back, however Azure writes it.
    let back = look(&after, &told, &wanted("a@x", 1), true, true).write.expect("it is taken back");
    assert_eq!(back.properties, json!({ "owner": "eve@x", "remediationDueDate": due(9) }));
    // Whoever switches a mail on again keeps it, whatever else is written then.
    let off = ("governanceEmailNotification.disableOwnerEmailNotification", json!(true));
    let mails = |day: u8| values(&[("remediationDueDate", due(day)), off.clone()]);
    let seen = look(&json!({}), &Told::default(), &mails(1), false, false);
    let mut told = seen.told.clone().heard(telling(&seen), at);
    let mut stands = seen.write.expect("it is written").properties;
    stands["governanceEmailNotification"]["disableOwnerEmailNotification"] = false.into();
    for day in 2..5 {
        let seen = look(&stands, &told, &mails(day), false, false);
        told = seen.told.clone().heard(telling(&seen), at);
        stands = seen.write.expect("the date is written").properties;
        assert_eq!(stands["governanceEmailNotification"]["disableOwnerEmailNotification"], false, "{day}");
    }
    // Nobody is spared until a date that is a person's, also where Amend's is the same by chance.
    let grace = values(&[("remediationDueDate", due(1)), ("isGracePeriod", json!(true))]);
    let seen = look(&json!({ "remediationDueDate": due(1) }), &Told::default(), &grace, false, false);
    assert_eq!(seen.write, None);
    // A date that a person moved ends the grace that was Amend's.
    let spared = |day: u8| values(&[("remediationDueDate", due(day)), ("isGracePeriod", json!(true))]);
    let seen = look(&json!({}), &Told::default(), &spared(1), false, false);
    let told = seen.told.clone().heard(telling(&seen), at);
    let mut stands = seen.write.expect("it is written").properties;
    stands["remediationDueDate"] = "2027-06-01T00:00:00Z".into();
    let seen = look(&stands, &told, &spared(1), false, false).write.expect("it is written");
    assert_eq!(seen.properties, json!({ "remediationDueDate": "2027-06-01T00:00:00Z" }));
}

/// Defender's word counts, then Amend's: what was read is not taken for what was told.
#[tokio::test]
async fn what_was_taken_over_is_not_amends() {
    let subject = storage();
    let bench = azure(RULES, Systems { defender: Some(Authority::Defender), ..AMEND }).await;
    let eta = json!({ "eta": "2026-12-02T13:00:00Z", "justification": "after the freeze" });
    let theirs =
        json!({ "owner": "nora@example.org", "remediationDueDate": "2026-12-31T00:00:00Z", "remediationEta": eta });
    assign(&subject, RULE_KEY, &theirs, Some("User"));
    bench.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    bench.work().await;
    assert_eq!(bench.problem().await.assigned.as_deref(), Some("nora@example.org"));
    // Only what is new is taken over: a date that was moved here stands when another owner is named there.
    let due = moment("2026-12-10T23:59:59Z");
    bench.hear(Said::Due(due, Moved { from: None, by: "eve".into(), at: bench.now(), why: "x".into() })).await;
    assign(&subject, RULE_KEY, &json!({ "owner": "olaf@example.org" }), Some("User"));
    bench.work().await;
    let problem = bench.problem().await;
    assert_eq!((problem.assigned.as_deref(), problem.due), (Some("olaf@example.org"), Some(due)));
    // From now on Amend's word counts.
    let syncer = syncer(&bench.inner, Cloud::Azure, AMEND, Owners::default(), Served::azure());
    let bench = Bench { syncer, ..bench };
    for (code, at) in [("Healthy", "2026-11-21T13:00:00Z"), ("Unhealthy", "2026-11-22T14:00:00Z")] {
        bench.inner.clock.set(at);
        bench.report(&subject, code, at).await;
        bench.work().await;
    }
    let stands = standing(&subject).remove(0).1;
    assert_eq!((&stands["owner"], &stands["remediationEta"]), (&json!("olaf@example.org"), &eta));
    assert_eq!(writes(&subject), 0);
}

/// Amend's word counts, then Defender's: what Amend wrote itself is no word of Defender's.
#[tokio::test]
async fn what_amend_wrote_is_no_word_of_defenders() {
    let subject = storage();
    let bench = azure(RULES, AMEND).await;
    bench.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    bench.work().await;
    assert_eq!(writes(&subject), 1);
    let systems = Systems { defender: Some(Authority::Defender), ..AMEND };
    let syncer = syncer(&bench.inner, Cloud::Azure, systems, Owners::default(), Served::azure());
    let bench = Bench { syncer, ..bench };
    let due = moment("2026-12-20T23:59:59Z");
    bench.hear(Said::Due(due, Moved { from: None, by: "eve".into(), at: bench.now(), why: "x".into() })).await;
    bench.work().await;
    let problem = bench.problem().await;
    assert_eq!((problem.due, problem.assigned.as_deref()), (Some(due), None));
    let (name, _) = standing(&subject).remove(0);
    assign(&subject, &name, &json!({ "owner": "nora@example.org" }), Some("User"));
    bench.inner.clock.set("2026-11-22T12:00:00Z");
    bench.work().await;
    let problem = bench.problem().await;
    assert_eq!((problem.due, problem.assigned.as_deref()), (Some(due), Some("nora@example.org")));
}

/// What Defender says is taken over when there is somebody to say it to.
#[tokio::test]
async fn what_waits_in_the_backlog_is_taken_over_when_it_is_released() {
    let subject = storage();
    let systems = Systems { defender: Some(Authority::Defender), ..AMEND };
    let bench = azure(RULES, systems).await;
    assign(
        &subject,
        RULE_KEY,
        &json!({ "owner": "nora@example.org", "remediationDueDate": "2026-12-31T00:00:00Z" }),
        None,
    );
    bench.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    // It is healthy by the time that anybody looks, and comes back.
    bench.report(&subject, "Healthy", "2026-11-19T07:00:00Z").await;
    bench.work().await;
    bench.report(&subject, "Unhealthy", "2026-11-20T07:00:00Z").await;
    bench.work().await;
    assert_eq!(bench.problem().await.assigned.as_deref(), Some("nora@example.org"));
}

/// A ticket is opened for whoever Defender says owns it, not for the rule's owner first.
#[tokio::test]
async fn no_ticket_is_opened_before_defender_was_asked() {
    let subject = storage();
    let bench = azure(TICKETS, Systems { defender: Some(Authority::Defender), ..AMEND }).await;
    let bench = Bench { desk: bench.desk.clone().asking_defender(), ..bench };
    assign(
        &subject,
        RULE_KEY,
        &json!({ "owner": "nora@example.org", "remediationDueDate": "2026-12-31T00:00:00Z" }),
        None,
    );
    bench.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    for second in [0, 5, 10, 15] {
        bench.inner.clock.set(&format!("2026-11-20T12:00:{second:02}Z"));
        bench.work().await;
    }
    let tickets = bench.inner.store.local_tickets(None, 9).await.expect("listed");
    let owners: Vec<_> = tickets.iter().map(|one| one.owner.as_deref()).collect();
    assert_eq!(owners, [Some("nora@example.org")]);
    // Where it does not answer, nobody waits for it.
    let other = storage();
    let path = format!("{}.*governanceAssignments", other.resource.rsplit('/').next().expect("a name").to_lowercase());
    let with = json!({ "status": 403, "code": "AuthorizationFailed", "times": 9 });
    Served::azure().ask(&json!({ "do": "fail", "match": { "path": path }, "with": with }));
    bench.report(&other, "Unhealthy", "2026-11-18T07:00:00Z").await;
    for second in [20, 25, 30] {
        bench.inner.clock.set(&format!("2026-11-20T12:00:{second:02}Z"));
        bench.work().await;
    }
    assert_eq!(bench.inner.store.local_tickets(None, 9).await.expect("listed").len(), 2);
    Served::azure().ask(&json!({ "do": "unspent", "path": path }));
}

/// Whoever lost the lease writes nothing: another is at it, or something changed meanwhile.
#[tokio::test]
async fn whoever_lost_the_lease_tells_nothing() {
    let subject = storage();
    let bench = azure(RULES, AMEND).await;
    bench.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    let store = &bench.inner.store;
    let until = moment("2026-11-20T12:02:00Z");
    let (_, lease) = store
        .claim(amend_domain::work::WorkKind::SYNCS, "one", bench.now(), until)
        .await
        .expect("claimed")
        .expect("due");
    bench.inner.clock.set("2026-11-20T12:03:00Z");
    let taken =
        store.claim(amend_domain::work::WorkKind::SYNCS, "two", bench.now(), moment("2026-11-20T12:05:00Z")).await;
    assert!(taken.expect("claimed").is_some());
    let kept = store.keep_synced(&lease, until, &amend_domain::sync::Synced::default(), Vec::new(), bench.now()).await;
    assert!(matches!(kept, Err(amend_store::StoreError::Overtaken { .. })), "{kept:?}");
    assert_eq!(store.all_synced(10).await.expect("listed").len(), 0);
}

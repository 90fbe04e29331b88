//! Every guard, by its silence: nothing is sent, and it is said why.

use amend_domain::{
    guard::{Check, Hold, Says},
    plan::State,
    rule::Mode,
    work::After,
};
use amend_events::Form;
use amend_pipeline::{approve::Answered, fixer::Limits, guard, people::Person};
use amend_store::Store as _;
use amend_tests::{
    clouds::Served,
    harness::{Export, moment},
    subject::Subject,
};
use serde_json::{Value, json};

use crate::work::{Bench, bench, is_secure, mild, policy_state, storage, tag, written};

impl Bench {
    pub fn guarded(self, guards: guard::Settings) -> Self {
        let fixer = self.fixer.clone().with_limits(Limits { most: Some(Mode::Enforce), guards, ..Limits::default() });
        Self { fixer, ..self }
    }

    /// What becomes of a problem of this resource that was reported now, and what guards say.
    pub async fn after(&self, subject: &Subject) -> After {
        self.report(subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
        let (_, after) = self.fixer.work(None).await.expect("the store answers").expect("something is due");
        after
    }
}

fn exempt(subject: &Subject, more: Value) {
    let mut properties = json!({ "policyAssignmentId": "/subscriptions/x/providers/Microsoft.Authorization/policyAssignments/asc", "exemptionCategory": "Waiver", "displayName": "partner needs HTTP" });
    properties.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    let group = subject.resource.split("/providers/").next().expect("a group");
    let id = format!("{group}/providers/Microsoft.Authorization/policyExemptions/partner");
    Served::azure().ask(&json!({ "do": "change", "resource": id, "merge": { "name": "partner", "type": "Microsoft.Authorization/policyExemptions", "properties": properties } }));
}

fn lock(subject: &Subject, level: &str) {
    let id = format!("{}/providers/Microsoft.Authorization/locks/keep", subject.resource);
    Served::azure().ask(&json!({ "do": "change", "resource": id, "merge": { "name": "keep", "type": "Microsoft.Authorization/locks", "properties": { "level": level } } }));
}

pub(crate) async fn silent(bench: &Bench, subject: &Subject) {
    bench.work().await;
    assert_eq!(bench.writes(subject), 0);
    assert!(!is_secure(subject));
}

#[tokio::test]
async fn an_exemption_a_lock_and_code_forbid_it() {
    type Arrange = fn(&Subject);
    let cases: [(&str, Arrange, &str); 8] = [
        (
            "exempted above",
            |subject| exempt(subject, json!({})),
            "exemption: the exemption `partner needs HTTP` covers it",
        ),
        (
            "exempted, and nobody knows until when",
            |subject| exempt(subject, json!({ "expiresOn": "one day" })),
            "exemption: the exemption `partner needs HTTP` covers it",
        ),
        ("locked", |subject| lock(subject, "ReadOnly"), "lock: the lock `keep` forbids it"),
        (
            "managed",
            |subject| tag(subject, json!({ "Managed_By": "Terraform" })),
            "managed: code manages it (tag Managed_By=Terraform): change it there",
        ),
        (
            "owned by a policy",
            |subject| policy_state(subject, "NonCompliant", "modify", "azure.storage.secure-transfer"),
            "policy: the policy assignment `modify-azure.storage.secure-transfer` changes this setting: start its remediation task",
        ),
        (
            "written by a pipeline",
            |subject| {
                written(subject, "2026-11-18T10:00:00Z", "ann@contoso.com");
                written(subject, "2026-11-19T10:00:00Z", "9B7E2C1A-0000-4000-8000-000000000001");
            },
            "last-writer: the pipeline 9B7E2C1A-0000-4000-8000-000000000001 wrote it last, at 2026-11-19T10:00:00Z: change it there",
        ),
        (
            "managed by Config Connector",
            |subject| tag(subject, json!({ "managed-by-cnrm": "true" })),
            "managed: code manages it (tag managed-by-cnrm=true): change it there",
        ),
        (
            "managed our way",
            |subject| tag(subject, json!({ "pipeline": "infra" })),
            "managed: code manages it (tag pipeline=infra): change it there",
        ),
    ];
    for (name, arrange, expected) in cases {
        let subject = storage();
        arrange(&subject);
        let bench = bench("enforce", Mode::Enforce).await;
        let pipelines = match name {
            "written by a pipeline" => vec!["9b7e2c1a-0000-4000-8000-000000000001".into()],
            _ => Vec::new(),
        };
        let managed_tags = vec!["pipeline=infra".into()];
        let bench = bench.guarded(guard::Settings { managed_tags, pipelines, ..mild() });
        let After::Parked { why } = bench.after(&subject).await else { panic!("{name}") };
        assert_eq!(why, expected, "{name}");
        silent(&bench, &subject).await;
    }
}

#[tokio::test]
async fn what_does_not_forbid_it_lets_it_be() {
    type Arrange = fn(&Subject);
    let cases: [(&str, Arrange); 5] = [
        ("policies that change nothing here", |subject| {
            policy_state(subject, "Compliant", "modify", "azure.storage.secure-transfer");
            policy_state(subject, "NonCompliant", "deny", "azure.storage.secure-transfer");
        }),
        ("written by a person a while ago", |subject| written(subject, "2026-11-20T11:29:59Z", "ann@contoso.com")),
        ("an exemption that has ended", |subject| exempt(subject, json!({ "expiresOn": "2026-11-20T11:59:59Z" }))),
        ("a lock against deleting", |subject| lock(subject, "CanNotDelete")),
        ("tags that say nothing", |subject| tag(subject, json!({ "managed-by": "manual", "pipeline": "other" }))),
    ];
    for (name, arrange) in cases {
        let subject = storage();
        arrange(&subject);
        let bench = bench("enforce", Mode::Enforce).await;
        let bench = bench.guarded(guard::Settings { managed_tags: vec!["pipeline=infra".into()], ..mild() });
        bench.after(&subject).await;
        bench.work().await;
        assert_eq!(bench.states(&subject).await, [State::Set], "{name}");
        let checks = bench.remediations(&subject).await.remove(0).checks;
        assert!(checks.len() >= 10 && checks.iter().all(|check| check.says == Says::Pass), "{name}: {checks:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_lets_nothing_be_written() {
    let azure = Served::azure();
    for collection in ["policyExemptions", "locks"] {
        let subject = storage();
        let path = format!("^{}/providers/Microsoft.Authorization/{collection}$", subject.resource);
        let with = json!({ "status": 403, "code": "AuthorizationFailed", "message": "no" });
        azure.ask(&json!({ "do": "fail", "match": { "method": "GET", "path": path }, "with": with }));
        let bench = bench("enforce", Mode::Enforce).await;
        let After::Parked { why } = bench.after(&subject).await else { panic!("{collection}") };
        assert!(why.contains("cannot be read") && why.contains("AuthorizationFailed"), "{why}");
        silent(&bench, &subject).await;
    }
    // Tags that nobody knows, a part of an exemption, a recommendation that is new: a person is asked.
    let unknown = Subject::make("azure.storage.secure-transfer", "bad");
    let partial = storage();
    exempt(&partial, json!({ "policyDefinitionReferenceIds": ["secureTransfer"] }));
    let new = storage();
    // A policy that changes something, no policy at all; who wrote last, and nobody knows.
    let changed = storage();
    policy_state(&changed, "NonCompliant", "deployIfNotExists", "azure.storage.other-yet");
    let unseen = Subject::make("azure.storage.secure-transfer", "bad");
    tag(&unseen, json!({}));
    let unwritten = storage();
    policy_state(&unknown, "Compliant", "audit", "azure.storage.other");
    for (subject, guards, guard) in [
        (unknown, mild(), "managed"),
        (changed, mild(), "policy"),
        (unseen, mild(), "policy"),
        (unwritten, guard::Settings { pipelines: vec!["x".into()], ..mild() }, "last-writer"),
        (partial, mild(), "exemption"),
        (new, guard::Settings { new_for: jiff::SignedDuration::from_hours(1), ..mild() }, "surge"),
    ] {
        let bench = bench("enforce", Mode::Enforce).await.guarded(guards);
        bench.after(&subject).await;
        bench.work().await;
        assert_eq!(bench.states(&subject).await, [State::AwaitingApproval], "{guard}");
        let r = bench.remediations(&subject).await.remove(0);
        let asks: Vec<&str> =
            r.checks.iter().filter(|check| check.says == Says::Ask).map(|check| &*check.guard).collect();
        assert_eq!(asks, [guard]);
        silent(&bench, &subject).await;
        // Their word is enough.
        let answer = Answered::yes(Person::named("ann"));
        bench.fixer.answer(&r.id, &r.plan.digest, &answer).await.expect("approved");
        bench.work().await;
        assert_eq!(bench.states(&subject).await, [State::Set], "{guard}");
    }
}

#[tokio::test]
async fn what_holds_it_back_for_a_while_lets_it_go_then() {
    let window = |begins: &str, lasts| guard::Freeze {
        begins: begins.into(),
        lasts: jiff::SignedDuration::from_hours(lasts),
        why: "the weekend".into(),
    };
    // 20 November 2026 is a Friday; it is noon in UTC, one o'clock in Vienna.
    let frozen = guard::Settings { freezes: vec![window("0 13 * * FRI Europe/Vienna", 3)], ..mild() };
    let settling = guard::Settings { settle: jiff::SignedDuration::from_hours(54), ..mild() };
    for (guards, until, expected) in [
        (frozen, "2026-11-20T15:00:00Z", "freeze: the weekend"),
        (settling, "2026-11-20T13:00:00Z", "settle: it only just came about, and may pass"),
    ] {
        let subject = storage();
        let bench = bench("enforce", Mode::Enforce).await.guarded(guards);
        let after = bench.after(&subject).await;
        assert_eq!(after, After::Held { at: moment(until), why: expected.into() });
        assert_eq!(bench.store().work(10).await.expect("listed")[0].why.as_deref(), Some(expected), "it is shown");
        silent(&bench, &subject).await;
        bench.inner.clock.set(until);
        bench.work().await;
        assert_eq!(bench.states(&subject).await, [State::Set]);
    }
    // What was written just now is left to settle.
    let subject = storage();
    written(&subject, "2026-11-20T11:45:00Z", "ann@contoso.com");
    let bench_ = bench("enforce", Mode::Enforce).await.guarded(mild());
    let expected = "last-write: it was written at 2026-11-20T11:45:00Z, and may be written again";
    let until = moment("2026-11-20T12:15:00Z");
    assert_eq!(bench_.after(&subject).await, After::Held { at: until, why: expected.into() });
    silent(&bench_, &subject).await;
    bench_.inner.clock.set("2026-11-20T12:15:00Z");
    bench_.work().await;
    assert_eq!(bench_.states(&subject).await, [State::Set]);
    // Windows that are not open hold nothing back.
    for begins in ["0 14 * * FRI Europe/Vienna", "0 9 * * FRI UTC"] {
        let subject = storage();
        let bench = bench("enforce", Mode::Enforce)
            .await
            .guarded(guard::Settings { freezes: vec![window(begins, 3)], ..mild() });
        bench.after(&subject).await;
        bench.work().await;
        assert_eq!(bench.states(&subject).await, [State::Set], "{begins}");
    }
}

#[tokio::test]
async fn a_person_holds_a_resource_or_an_account() {
    for whole_account in [false, true] {
        let subject = storage();
        let bench = bench("enforce", Mode::Enforce).await;
        let id = subject.resource.to_lowercase();
        let account = id.split('/').take(3).collect::<Vec<_>>().join("/");
        let on = if whole_account { account } else { id };
        let hold = Hold {
            id: "h-1".into(),
            on: on.as_str().into(),
            until: moment("2026-11-25T00:00:00Z"),
            by: "ann".into(),
            at: moment("2026-11-20T12:00:00Z"),
            why: "audit".into(),
        };
        bench.store().hold(&hold).await.expect("held");
        let after = bench.after(&subject).await;
        assert_eq!(after, After::Held { at: hold.until, why: format!("hold: ann holds {on}: audit") });
        silent(&bench, &subject).await;
        assert_eq!(bench.store().holds(hold.at).await.expect("listed"), std::slice::from_ref(&hold));
        // Also not by hand.
        let problem = bench.store().problems(&amend_store::Filter::default()).await.expect("listed").remove(0);
        let plan = bench.fixer.plan_problem(&problem, &serde_json::Map::new()).await.expect("planned");
        let refused = bench.fixer.begin(plan, "ada").await.expect_err("held");
        assert_eq!(
            refused.to_string(),
            format!("`{}` is held until 2026-11-25 00:00 UTC by ann: audit", problem.resource.id)
        );
        assert_eq!(bench.store().end_hold("h-1", "bob", hold.at).await.expect("ended"), Some(hold.clone()));
        assert_eq!(bench.store().end_hold("h-1", "bob", hold.at).await.expect("none"), None);
        // It is due again at once.
        bench.work().await;
        assert_eq!(bench.states(&subject).await, [State::Set]);
        let told: Vec<String> = bench.told(|_| true).await.into_iter().take(2).collect();
        assert_eq!(told, ["ann hold", "bob release"]);
    }
}

#[tokio::test]
async fn a_person_holds_all_that_bear_a_tag() {
    let hold = |on: &str| Hold {
        id: "h-1".into(),
        on: on.into(),
        until: moment("2026-11-25T00:00:00Z"),
        by: "ann".into(),
        at: moment("2026-11-20T12:00:00Z"),
        why: "audit".into(),
    };
    for (on, held) in [
        ("tag:team", true),
        ("tag:Team=payments", true),
        ("tag:team=Payments", false),
        ("tag:payments", false),
        ("tag:tea", false),
    ] {
        let subject = storage();
        tag(&subject, json!({ "team": "payments" }));
        let bench = bench("enforce", Mode::Enforce).await;
        let hold = hold(on);
        bench.store().hold(&hold).await.expect("held");
        let after = bench.after(&subject).await;
        if held {
            assert_eq!(after, After::Held { at: hold.until, why: format!("hold: ann holds {on}: audit") });
            silent(&bench, &subject).await;
            // Also not by hand.
            let problem = bench.store().problems(&amend_store::Filter::default()).await.expect("listed").remove(0);
            let plan = bench.fixer.plan_problem(&problem, &serde_json::Map::new()).await.expect("planned");
            let refused = bench.fixer.begin(plan, "ada").await.expect_err("held").to_string();
            assert!(refused.ends_with("is held until 2026-11-25 00:00 UTC by ann: audit"), "{refused}");
            bench.store().end_hold("h-1", "bob", hold.at).await.expect("ended").expect("it was there");
        }
        // Where it is not held, or not any more, it is done.
        bench.work().await;
        assert_eq!(bench.states(&subject).await, [State::Set], "{on}");
    }
    // Nobody knows whether it bears it: by itself a person is asked, and by hand it is refused.
    let unknown = Subject::make("azure.storage.secure-transfer", "bad");
    let bench = bench("enforce", Mode::Enforce).await;
    bench.store().hold(&hold("tag:team")).await.expect("held");
    bench.after(&unknown).await;
    silent(&bench, &unknown).await;
    let r = bench.remediations(&unknown).await.remove(0);
    assert_eq!(r.state, State::AwaitingApproval);
    let check = r.checks.iter().find(|check| &*check.guard == "hold").expect("asked");
    assert_eq!(check.says, Says::Ask);
    assert!(check.why.starts_with("ann holds tag:team, and its tags cannot be read: "), "{}", check.why);
    // What whoever approves it is told stands in the trail.
    let first = bench.store().audit(1, 1).await.expect("read").remove(0).entry;
    let told = first.detail["guards"].as_array().expect("what guards asked");
    assert!(told.contains(&json!({ "guard": "hold", "why": check.why })), "{first:?}");
    let other = refused_by_hand(&bench, Subject::make("azure.storage.secure-transfer", "bad")).await;
    assert!(other.contains(" may be held until 2026-11-25 00:00 UTC by ann: audit (the hold is on tag:team, and its tags cannot be read: "), "{other}");
}

/// What is said to a person who fixes this by hand.
async fn refused_by_hand(bench: &Bench, subject: Subject) -> String {
    bench.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    let name = subject.resource.to_lowercase();
    let all = bench.store().problems(&amend_store::Filter::default()).await.expect("listed");
    let problem = all.into_iter().find(|problem| problem.resource.id.as_str() == name).expect("reported");
    let plan = bench.fixer.plan_problem(&problem, &serde_json::Map::new()).await.expect("planned");
    bench.fixer.begin(plan, "ada").await.expect_err("held").to_string()
}

#[tokio::test]
async fn what_was_undone_is_left_alone_and_what_comes_back_is_for_a_person() {
    let (undone, fighting) = (storage(), storage());
    let bench = bench("enforce", Mode::Enforce).await;
    bench.after(&undone).await;
    bench.work().await;
    let mut r = bench.remediations(&undone).await.remove(0);
    bench.fixer.undo(&mut r, "ada", None).await.expect("undone");
    bench.report(&undone, "Healthy", "2026-11-19T00:00:00Z").await;
    bench.report(&undone, "Unhealthy", "2026-11-20T00:00:00Z").await;
    let (_, after) = bench.fixer.work(None).await.expect("asked").expect("something");
    assert_eq!(
        after,
        After::Held { at: moment("2026-12-20T12:00:00Z"), why: "undone: it was undone, and is left alone".into() }
    );
    assert_eq!(bench.writes(&undone), 2, "once there, and once back");

    for hour in 1..=2 {
        bench.report(&fighting, "Unhealthy", &format!("2026-11-20T0{hour}:00:00Z")).await;
        bench.work().await;
        assert!(is_secure(&fighting));
        bench.report(&fighting, "Healthy", &format!("2026-11-20T0{hour}:30:00Z")).await;
        let back = json!({ "properties": { "supportsHttpsTrafficOnly": false } });
        Served::azure().ask(&json!({ "do": "change", "resource": fighting.resource, "merge": back }));
    }
    bench.report(&fighting, "Unhealthy", "2026-11-20T03:00:00Z").await;
    bench.work().await;
    assert_eq!(bench.states(&fighting).await, [State::Healthy, State::Healthy]);
    let parked: Vec<String> =
        bench.store().work(10).await.expect("listed").into_iter().filter_map(|work| work.why).collect();
    assert!(parked.iter().any(|why| why.starts_with("fix-fight: it was fixed 2 times within a week")), "{parked:?}");
    assert_eq!(bench.writes(&fighting), 2);
}

#[tokio::test]
async fn failures_a_surge_and_budgets_hold_back_what_has_not_begun() {
    // Failures of others in the last hour.
    let bench_ = bench("enforce", Mode::Enforce).await.guarded(guard::Settings { failures: 1, ..mild() });
    let failing = storage();
    let azure = Served::azure();
    let path = format!("^{}$", failing.resource);
    azure.ask(&json!({ "do": "fail", "match": { "method": "PATCH", "path": path }, "with": { "status": 409, "code": "StorageAccountOperationInProgress", "message": "no" } }));
    bench_.after(&failing).await;
    bench_.work().await;
    assert_eq!(bench_.states(&failing).await, [State::Failed]);
    // What a policy forbids says nothing about whether fixes work.
    let forbidden = storage();
    let path = format!("^{}$", forbidden.resource);
    azure.ask(&json!({ "do": "fail", "match": { "method": "PATCH", "path": path }, "with": { "status": 403, "code": "RequestDisallowedByPolicy", "message": "no" } }));
    let other = bench("enforce", Mode::Enforce).await.guarded(guard::Settings { failures: 1, ..mild() });
    other.after(&forbidden).await;
    other.work().await;
    assert_eq!(other.states(&forbidden).await, [State::Blocked]);
    let free = storage();
    other.after(&free).await;
    other.work().await;
    assert_eq!(other.states(&free).await, [State::Set]);
    let next = storage();
    let After::Held { why, .. } = bench_.after(&next).await else { panic!("held") };
    assert_eq!(why, "breaker: 1 remediations of the last hour failed or were parked");
    silent(&bench_, &next).await;

    // Many of one recommendation within an hour.
    let bench_ = bench("enforce", Mode::Enforce).await.guarded(guard::Settings {
        surge: 2,
        settle: jiff::SignedDuration::ZERO,
        ..mild()
    });
    let one = storage();
    for other in [storage(), storage(), storage()] {
        bench_.report(&other, "Unhealthy", "2026-11-20T11:50:00Z").await;
    }
    bench_.report(&one, "Unhealthy", "2026-11-20T11:50:00Z").await;
    bench_.work().await;
    assert_eq!(bench_.states(&one).await, [State::AwaitingApproval]);
    let check = bench_.remediations(&one).await.remove(0).checks.into_iter().find(|check| &*check.guard == "surge");
    let expected = Check::new(
        "surge",
        Says::Ask,
        "4 resources turned unhealthy within an hour: a new recommendation, or an incident?",
    );
    assert_eq!(check, Some(expected));
    silent(&bench_, &one).await;

    // A budget of the account.
    let bench_ = bench("enforce", Mode::Enforce).await.guarded(guard::Settings { per_account: 1, ..mild() });
    let (first, second) = (storage(), storage());
    bench_.after(&first).await;
    bench_.work().await;
    let After::Held { why, .. } = bench_.after(&second).await else { panic!("held") };
    assert_eq!(why, "budget: 1 were begun in the account within an hour, this reaches 1, and 1 may be");
    silent(&bench_, &second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_holds_however_many_begin_at_once() {
    let bench = bench("enforce", Mode::Enforce).await.guarded(guard::Settings { per_hour: 3, ..mild() });
    let subjects: Vec<Subject> = (0..10).map(|_| storage()).collect();
    for subject in &subjects {
        bench.report(subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    }
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let fixer = bench.fixer.another();
        workers.spawn(async move { while fixer.work(None).await.expect("the store answers").is_some() {} });
    }
    workers.join_all().await;
    bench.work().await;
    assert_eq!(subjects.iter().filter(|subject| is_secure(subject)).count(), 3);
    let held = bench.store().work(100).await.expect("listed");
    let held: Vec<_> =
        held.iter().filter_map(|work| work.why.as_deref()).filter(|why| why.starts_with("budget")).collect();
    assert_eq!(held.len(), 7, "{held:?}");
}

#[tokio::test]
async fn what_changes_between_approval_and_write_is_seen() {
    type Arrange = fn(&Subject);
    let cases: [(Arrange, State); 3] = [
        (|subject| exempt(subject, json!({})), State::Blocked),
        (|subject| lock(subject, "ReadOnly"), State::Blocked),
        (|subject| tag(subject, json!({ "terraform": "true" })), State::Blocked),
    ];
    for (arrange, state) in cases {
        let subject = storage();
        let bench = bench("approve", Mode::Enforce).await;
        bench.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
        bench.work().await;
        let r = bench.remediations(&subject).await.remove(0);
        bench.fixer.answer(&r.id, &r.plan.digest, &Answered::yes(Person::named("ann"))).await.expect("approved");
        arrange(&subject);
        silent(&bench, &subject).await;
        assert_eq!(bench.states(&subject).await, [state]);
    }
    // The problem went away by itself.
    let subject = storage();
    let bench = bench("approve", Mode::Enforce).await;
    bench.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    bench.work().await;
    let r = bench.remediations(&subject).await.remove(0);
    bench.fixer.answer(&r.id, &r.plan.digest, &Answered::yes(Person::named("ann"))).await.expect("approved");
    bench.report(&subject, "NotApplicable", "2026-11-19T07:00:00Z").await;
    silent(&bench, &subject).await;
    assert_eq!(bench.states(&subject).await, [State::Superseded]);
}

#[tokio::test]
async fn a_word_counts_for_the_warnings_that_were_seen() {
    let subject = storage();
    let bench = bench("approve", Mode::Enforce).await;
    bench.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    bench.work().await;
    let r = bench.remediations(&subject).await.remove(0);
    let answer = Answered::yes(Person::named("ann"));
    bench.fixer.answer(&r.id, &r.plan.digest, &answer).await.expect("approved");
    exempt(&subject, json!({ "policyDefinitionReferenceIds": ["secureTransfer"] }));
    silent(&bench, &subject).await;
    let again = bench.remediations(&subject).await.remove(0);
    assert_eq!((again.state, &again.answer), (State::AwaitingApproval, &None));
    assert_eq!(again.why.as_deref(), Some("exemption: the exemption `partner needs HTTP` may cover it"));
    // Now they have seen it.
    bench.fixer.answer(&r.id, &r.plan.digest, &answer).await.expect("approved");
    bench.work().await;
    assert_eq!(bench.states(&subject).await, [State::Set]);
}

#[tokio::test]
async fn a_resource_group_is_held_with_all_that_is_in_it() {
    let subject = storage();
    let bench = bench("enforce", Mode::Enforce).await;
    let group = subject.resource.to_lowercase().split("/providers/").next().expect("a group").to_owned();
    for (id, on, held) in [("h-1", format!("{group}x"), false), ("h-2", group, true)] {
        let now = moment("2026-11-20T12:00:00Z");
        let hold = Hold {
            id: id.into(),
            on: on.into(),
            until: moment("2026-11-25T00:00:00Z"),
            by: "ann".into(),
            at: now,
            why: "x".into(),
        };
        bench.store().hold(&hold).await.expect("held");
        if held {
            assert!(matches!(bench.after(&subject).await, After::Held { .. }));
            silent(&bench, &subject).await;
        }
    }
}

/// What holds back a plan that was approved is said where people look for why nothing happens.
#[tokio::test]
async fn what_holds_an_approved_plan_back_is_explained() {
    let subject = storage();
    let bench = bench("approve", Mode::Enforce).await;
    bench.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    bench.work().await;
    let r = bench.remediations(&subject).await.remove(0);
    bench.fixer.answer(&r.id, &r.plan.digest, &Answered::yes(Person::named("ann"))).await.expect("approved");
    let (now, until) = (moment("2026-11-20T12:00:00Z"), moment("2026-11-25T00:00:00Z"));
    let on = subject.resource.to_lowercase().into();
    let hold = Hold { id: "h-1".into(), on, until, by: "bob".into(), at: now, why: "a launch".into() };
    bench.store().hold(&hold).await.expect("held");
    silent(&bench, &subject).await;
    let problem = r.problem.expect("a problem");
    let next = bench.inner.pipeline.explain(problem.as_str()).await.expect("explained").work.expect("something");
    assert_eq!(next.due, until);
    assert_eq!(next.why, Some(format!("hold: bob holds {}: a launch", hold.on)));
}

/// While somebody has just-in-time access to a machine, it is left alone.
#[tokio::test]
async fn just_in_time_access_is_waited_for() {
    let azure = Served::azure();
    let machine = || {
        let subject = Subject::make("azure.vm.periodic-assessment", "linux");
        tag(&subject, json!({}));
        policy_state(&subject, "Compliant", "audit", "azure.storage.other");
        subject
    };
    let access = |subject: &Subject, to: &str, end: Value, status: &str| {
        let group = subject.resource.split("/providers/").next().expect("a group");
        let id = format!("{group}/providers/Microsoft.Security/locations/westeurope/jitNetworkAccessPolicies/default");
        let port = json!({ "number": 22, "endTimeUtc": end, "status": status, "statusReason": "UserRequested" });
        let request = json!({ "startTimeUtc": "2026-11-20T11:00:00Z", "requestor": "ann@contoso.com", "virtualMachines": [{ "id": to, "ports": [port] }] });
        let properties = json!({ "virtualMachines": [], "requests": [request], "provisioningState": "Succeeded" });
        let body = json!({ "name": "default", "type": "Microsoft.Security/locations/jitNetworkAccessPolicies", "kind": "Basic", "location": "westeurope", "properties": properties });
        azure.ask(&json!({ "do": "change", "resource": id, "merge": body }));
    };
    let report = |subject: &Subject| Export {
        key: "90386950-71ca-4357-a12e-486d1679427c".into(),
        ..crate::work::report(subject, "Unhealthy", "2026-11-18T07:00:00Z")
    };
    let (end, over) = (json!("2026-11-20T14:00:00Z"), json!("2026-11-20T12:00:00Z"));
    for (name, end, status, whose, until) in [
        ("open", end.clone(), "Initiated", "", Some("2026-11-20T14:00:00Z")),
        ("open, with an end that nobody can read", json!("soon"), "Initiated", "", Some("2026-11-20T12:10:00Z")),
        ("over", over, "Initiated", "", None),
        ("taken back", end.clone(), "Revoked", "", None),
        ("of another machine", end, "Initiated", "-other", None),
    ] {
        let subject = machine();
        access(&subject, &format!("{}{whose}", subject.resource), end, status);
        let bench = bench("enforce", Mode::Enforce).await.guarded(mild());
        bench.inner.accept(Form::Plain, &report(&subject).text()).await;
        let (_, after) = bench.fixer.work(None).await.expect("the store answers").expect("something is due");
        if let Some(until) = until {
            let why = "just-in-time: somebody has just-in-time access now";
            assert_eq!(after, After::Held { at: moment(until), why: why.into() }, "{name}");
            bench.work().await;
            assert_eq!(bench.writes(&subject), 0, "{name}");
            access(&subject, &subject.resource, json!("2026-11-20T12:00:00Z"), "Revoked");
            bench.inner.clock.set(until);
        }
        bench.work().await;
        assert_eq!(bench.states(&subject).await, [State::Set], "{name}");
    }
    let subject = machine();
    let bench = bench("enforce", Mode::Enforce).await.guarded(mild());
    // The subscription is everybody's here: no other test is to be refused.
    *bench.cloud.refused.lock().expect("nobody panics") =
        Some(["jitNetworkAccessPolicies", "AuthorizationFailed", "no"]);
    bench.inner.accept(Form::Plain, &report(&subject).text()).await;
    let (_, after) = bench.fixer.work(None).await.expect("the store answers").expect("something is due");
    let After::Parked { why } = after else { panic!("{after:?}") };
    assert!(why.starts_with("just-in-time: just-in-time policies cannot be read"), "{why}");
    bench.work().await;
    assert_eq!(bench.writes(&subject), 0);
}

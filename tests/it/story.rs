//! The story of an event, from delivery to explanation.

use amend_domain::{
    Outcome,
    problem::{Closed, Place, State},
};
use amend_events::Form;
use amend_pipeline::{PipelineError, backlog::Slice, unreadable::Retried};
use amend_store::{Effect, Filter, Store as _};
use amend_tests::harness::{Export, bench, bench_in, long, moment};
use serde_json::json;

const RULES: &str = "
version: 1
rules:
  - id: prod
    priority: 1
    scope: { in: /providers/Microsoft.Management/managementGroups/prod, except: /subscriptions/quiet }
    when: [{ severity: [high, critical] }]
    owner: { tag: owner, fallback: desk@example.org }
    due: 14d
    grace: 7d
    fix: { mode: enforce, when: at_due }
    ticket: true
  - { id: rest, priority: 2, owner: { tag: owner }, due: 30d }
";

const FACTS: &str = "
version: 1
accounts:
  - id: /subscriptions/2f6c1a5e-0b7d-4f7e-8a39-51c0de9b7a11
    name: payments
    ancestors: [/providers/Microsoft.Management/managementGroups/root, /providers/Microsoft.Management/managementGroups/prod]
    tags: { owner: account-owner@example.org }
groups:
  - { id: /subscriptions/2f6c1a5e-0b7d-4f7e-8a39-51c0de9b7a11/resourceGroups/rg, tags: { cost: '1' } }
resources:
  - { id: /subscriptions/2f6c1a5e-0b7d-4f7e-8a39-51c0de9b7a11/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/st1, tags: {} }
";

#[tokio::test]
async fn a_finding_gets_an_owner_a_date_and_a_reason() {
    let bench = bench(RULES, FACTS).await;
    let accepted = bench.accept(Form::Plain, &Export::default().text()).await;
    let problem = accepted.decided[0].problem.clone().expect("a problem");
    assert_eq!(problem.decision.rule.as_ref().map(|r| r.as_str()), Some("prod"));
    assert_eq!(problem.decision.owner.name.as_deref(), Some("account-owner@example.org"));
    assert_eq!(&*problem.decision.owner.from, "tag owner of the subscription");
    assert_eq!(problem.identified, Some(moment("2026-11-20T12:00:00Z")));
    assert_eq!(problem.due, Some(moment("2026-12-04T12:00:00Z")));
    assert_eq!(problem.spared_until, Some(moment("2026-12-11T12:00:00Z")));
    assert_eq!(problem.decision.action(), "fix: enforce when due + ticket");
    assert_eq!(&*problem.decision.why, "severity high; in prod");
}

#[tokio::test]
async fn a_date_once_set_does_not_move_but_a_regression_starts_anew() {
    let bench = bench(RULES, FACTS).await;
    let at = |changed: &str, code: &str| {
        Export { changed: Some(changed.into()), code: code.into(), ..Export::default() }.text()
    };
    let due = |accepted: amend_pipeline::Accepted| accepted.decided[0].problem.clone().expect("a problem").due;
    let first = due(bench.accept(Form::Plain, &at("2026-11-10T00:00:00Z", "Unhealthy")).await);
    bench.clock.set("2026-11-25T00:00:00Z");
    let again = due(bench.accept(Form::Plain, &at("2026-11-24T00:00:00Z", "Unhealthy")).await);
    assert_eq!((first, again), (Some(moment("2026-12-04T12:00:00Z")), first), "a re-evaluation moves nothing");
    let healthy = bench.accept(Form::Plain, &at("2026-11-25T00:00:00Z", "Healthy")).await;
    assert_eq!(healthy.decided[0].problem.as_ref().expect("a problem").state, State::Closed(Closed::Healthy));
    bench.clock.set("2026-12-20T00:00:00Z");
    let back = bench.accept(Form::Plain, &at("2026-12-19T00:00:00Z", "Unhealthy")).await;
    let problem = back.decided[0].problem.clone().expect("a problem");
    assert_eq!((problem.period, problem.due), (2, Some(moment("2027-01-03T00:00:00Z"))));
}

#[tokio::test]
async fn an_edited_rule_changes_nothing_already_assigned_and_explain_knows_the_old_one() {
    let first = bench(RULES, FACTS).await;
    let accepted = first.accept(Form::Plain, &Export::default().text()).await;
    let before = accepted.decided[0].problem.clone().expect("a problem");
    first.store.close().await;
    let edited = RULES.replace("14d", "3d").replace("enforce", "observe").replace("id: prod", "id: prod-new");
    let second = bench_in(first.fresh, &edited, FACTS).await;
    second.accept(Form::Plain, &Export::default().text()).await;
    let after = second.store.problems(&Filter::default()).await.expect("listed")[0].clone();
    assert_eq!(before, after, "a duplicate under new rules changes nothing");
    let explanation = second.pipeline.explain(&before.id.as_str()[..10]).await.expect("explained");
    assert!(explanation.rules_changed);
    let walk = &explanation.decisions[0].walk;
    assert_eq!((walk[0].rule.as_str(), walk.len()), ("prod", 2), "the walk is that of the rules then");
    let known: Vec<_> = explanation.decisions[0]
        .facts
        .iter()
        .filter(|fact| fact.value.is_some())
        .map(|fact| (fact.fact, fact.age_seconds))
        .collect();
    assert_eq!(known[0], ("management scopes", Some(43_200)), "each fact has its age");
}

#[tokio::test]
async fn a_changed_report_under_edited_rules_keeps_what_was_assigned() {
    let first = bench(RULES, FACTS).await;
    let before =
        first.accept(Form::Plain, &Export::default().text()).await.decided[0].problem.clone().expect("a problem");
    first.store.close().await;
    let second = bench_in(
        first.fresh,
        "version: 1\nrules: [{ id: other, priority: 1, owner: x@example.org, due: 1d, fix: observe }]",
        FACTS,
    )
    .await;
    let riskier = Export { risk: Some("Critical".into()), ..Export::default() };
    let after = second.accept(Form::Plain, &riskier.text()).await.decided[0].problem.clone().expect("a problem");
    assert_eq!(
        (after.risk.map(|r| r.as_str()), before.risk),
        (Some("critical"), None),
        "what the source says is taken"
    );
    assert_eq!((&after.decision, after.due), (&before.decision, before.due), "what was assigned stays");
}

#[tokio::test]
async fn what_was_undetermined_is_decided_once_the_facts_are_there() {
    let first = bench(RULES, "version: 1").await;
    let accepted = first.accept(Form::Plain, &Export::default().text()).await;
    assert!(accepted.decided[0].problem.as_ref().expect("a problem").is_undetermined());
    assert_eq!(first.pipeline.retry_undetermined().await.expect("tried").settled, 0);
    first.store.close().await;
    let second = bench_in(first.fresh, RULES, FACTS).await;
    assert_eq!(second.pipeline.retry_undetermined().await.expect("tried").settled, 1);
    let problem = second.store.problems(&Filter::default()).await.expect("listed").remove(0);
    assert_eq!(problem.decision.rule.as_ref().map(|r| r.as_str()), Some("prod"));
    assert_eq!(problem.due, Some(moment("2026-12-04T12:00:00Z")), "its date counts from when it was decided");
    let explanation = second.pipeline.explain(problem.id.as_str()).await.expect("explained");
    assert!(explanation.decisions[0].facts[0].value.is_some(), "the facts it was decided with are those shown");
}

const RISKY: &str = "
version: 1
rules:
  - { id: risky, priority: 1, when: [{ risk: critical }], fix: observe }
  - { id: rest, priority: 2, fix: enforce }
";

#[tokio::test]
async fn an_older_report_that_comes_again_settles_nothing() {
    let bench = bench(RISKY, "version: 1").await;
    let older = Export { changed: Some("2026-11-10T00:00:00Z".into()), risk: Some("Low".into()), ..Export::default() };
    let newer = Export { changed: Some("2026-11-12T00:00:00Z".into()), ..Export::default() };
    bench.accept(Form::Plain, &older.text()).await;
    let accepted = bench.accept(Form::Plain, &newer.text()).await;
    assert!(
        accepted.decided[0].problem.as_ref().expect("a problem").is_undetermined(),
        "its risk is not known any more"
    );
    let again = bench.accept(Form::Plain, &older.text()).await;
    assert!(again.decided[0].problem.as_ref().expect("a problem").is_undetermined());
    assert_eq!(bench.pipeline.retry_undetermined().await.expect("tried").settled, 0);
}

#[tokio::test]
async fn another_source_does_not_settle_what_the_source_of_truth_left_open() {
    let demo = |file: &str| amend_tests::harness::read(&format!("functions/cli/demo/{file}"));
    let rules = "version: 1\nrules: [{ id: a, priority: 1, when: [{ risk: critical, source: defender }], fix: observe }, { id: b, priority: 2, fix: enforce }]";
    let bench = bench(rules, "version: 1").await;
    let mut defender: serde_json::Value =
        serde_json::from_str(&demo("04-aws-bucket-and-security-group.json")).expect("JSON");
    defender[0]["properties"].as_object_mut().expect("an object").remove("risk");
    bench.accept(Form::EventHubs, &json!([defender[0]]).to_string()).await;
    let hub = demo("14-aws-security-hub-same-bucket.json");
    for _ in 0..2 {
        let accepted = bench.accept(Form::EventBridge, &hub).await;
        let problem = accepted.decided[0].problem.clone().expect("a problem");
        assert_eq!(problem.findings.len(), 2);
        assert!(problem.is_undetermined(), "{}", problem.decision.action());
    }
    assert_eq!(bench.pipeline.retry_undetermined().await.expect("tried").settled, 0);
}

#[tokio::test]
async fn what_is_not_known_stops_the_walk_and_writes_nothing() {
    let bench = bench(RULES, "version: 1").await;
    let accepted = bench.accept(Form::Plain, &Export::default().text()).await;
    let decided = &accepted.decided[0];
    assert!(matches!(decided.decision.outcome, Outcome::Undetermined { .. }));
    assert_eq!((decided.decision.fix, decided.decision.ticket), (None, false));
    let problem = decided.problem.clone().expect("a problem");
    assert_eq!((problem.identified, problem.due), (None, None), "no date runs before a rule governs");
    // What no rule above could be is still decided.
    let low = Export {
        severity: "Low".into(),
        resource: "/subscriptions/z/resourceGroups/g/providers/Microsoft.Sql/servers/s".into(),
        ..Export::default()
    };
    assert_eq!(
        bench.accept(Form::Plain, &low.text()).await.decided[0].decision.rule.as_ref().map(|r| r.as_str()),
        Some("rest")
    );
}

#[tokio::test]
async fn an_import_records_and_decides_and_starts_nothing() {
    let bench = bench(RULES, FACTS).await;
    let count = if long() { 40_000 } else { 1_200 };
    let list: Vec<_> = (0..count)
        .map(|n| {
            let risk = ["Critical", "High", "Low"][n % 3];
            let resource = format!("/subscriptions/2f6c1a5e-0b7d-4f7e-8a39-51c0de9b7a11/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/n{n:05}");
            let code = if n % 10 == 9 { "Healthy" } else { "Unhealthy" };
            Export { resource, risk: Some(risk.into()), code: code.into(), ..Export::default() }.json()
        })
        .collect();
    let body = json!({ "totalRecords": count, "data": list }).to_string();
    let mut steps = Vec::new();
    let counts =
        bench.pipeline.import(body.as_bytes(), |done, total| steps.push((done, total))).await.expect("imported");
    let open = count - count / 10;
    assert_eq!((counts.new, counts.missed), (count, 0), "what an import brings was not missed");
    assert_eq!(steps.last(), Some(&(count as u64, count as u64)));
    assert!(steps.len() >= 3, "progress is told on the way");
    let again = bench.pipeline.import(body.as_bytes(), |_, _| {}).await.expect("imported");
    assert_eq!((again.new, again.updated, again.duplicate), (0, 0, count), "an import goes on where it stopped");

    let backlog = bench.pipeline.backlog().await.expect("counted");
    assert_eq!((backlog.total, backlog.by_rule["prod"]), (open, open));
    assert!(
        bench
            .store
            .problems(&Filter::default())
            .await
            .expect("listed")
            .iter()
            .all(|p| p.due.is_none() && p.identified.is_none())
    );

    // A live report of the same status does not start what waits.
    let live = Export { resource: "/subscriptions/2f6c1a5e-0b7d-4f7e-8a39-51c0de9b7a11/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/n00000".into(), risk: Some("Medium".into()), ..Export::default() };
    let accepted = bench.accept(Form::Plain, &live.text()).await;
    assert_eq!(
        (accepted.decided[0].effect, accepted.decided[0].problem.as_ref().map(|p| p.place)),
        (Effect::Updated, Some(Place::Backlog))
    );

    bench.clock.set("2026-12-01T00:00:00Z");
    let released =
        bench.pipeline.release(&Slice { rule: "prod".into(), limit: 10, scope: None }, "ada").await.expect("released");
    assert_eq!(released.len(), 10);
    assert!(released.iter().all(|p| p.risk.map(|r| r.as_str()) == Some("critical")), "most risky first");
    assert!(released.iter().all(|p| p.due == Some(moment("2026-12-15T00:00:00Z"))), "dates are set at release");
    let elsewhere = Slice {
        rule: "prod".into(),
        limit: 10,
        scope: Some(amend_domain::ScopeId::parse("/subscriptions/other").expect("a scope")),
    };
    assert!(bench.pipeline.release(&elsewhere, "ada").await.expect("answered").is_empty());
    let inside = Slice {
        rule: "prod".into(),
        limit: 3,
        scope: Some(
            amend_domain::ScopeId::parse("/providers/Microsoft.Management/managementGroups/root").expect("a scope"),
        ),
    };
    assert_eq!(bench.pipeline.release(&inside, "ada").await.expect("released").len(), 3);
    let unknown = bench.pipeline.release(&Slice { rule: "no-such".into(), limit: 1, scope: None }, "ada").await;
    assert!(matches!(unknown, Err(PipelineError::NotFound { .. })));
}

#[tokio::test]
async fn exemptions_deletions_and_unknown_words_close_or_leave() {
    let bench = bench(RULES, FACTS).await;
    let at = |day: u8| Export { changed: Some(format!("2026-11-{day:02}T00:00:00Z")), ..Export::default() };
    let state = |accepted: amend_pipeline::Accepted| accepted.decided[0].problem.as_ref().map(|p| p.state);
    let healthy_first = Export { code: "Healthy".into(), resource: "/subscriptions/h".into(), ..at(1) };
    assert_eq!(
        state(bench.accept(Form::Plain, &healthy_first.text()).await),
        None,
        "a healthy setting we never heard of is no problem"
    );
    assert_eq!(state(bench.accept(Form::Plain, &at(1).text()).await), Some(State::Open));
    let strange = Export { code: "Pondering".into(), ..at(2) };
    assert_eq!(
        state(bench.accept(Form::Plain, &strange.text()).await),
        Some(State::Open),
        "an unknown status changes nothing"
    );
    let write = Export { action: "Write".into(), code: "Healthy".into(), ..at(3) };
    assert_eq!(
        state(bench.accept(Form::Plain, &write.text()).await),
        Some(State::Open),
        "an unknown action changes nothing"
    );
    let exempt = Export { code: "NotApplicable".into(), cause: Some("Exempt".into()), ..at(4) };
    assert_eq!(state(bench.accept(Form::Plain, &exempt.text()).await), Some(State::Closed(Closed::Exempted)));
    let off = Export { code: "NotApplicable".into(), cause: Some("OffByPolicy".into()), ..at(5) };
    assert_eq!(state(bench.accept(Form::Plain, &off.text()).await), Some(State::Closed(Closed::OutOfScope)));
    let deleted = Export { action: "Delete".into(), ..at(6) };
    assert_eq!(state(bench.accept(Form::Plain, &deleted.text()).await), Some(State::Closed(Closed::Deleted)));
}

#[tokio::test]
async fn a_finding_without_a_time_is_recorded_and_starts_nothing() {
    let bench = bench(RULES, FACTS).await;
    let accepted = bench.accept(Form::Plain, &Export { changed: None, ..Export::default() }.text()).await;
    let problem = accepted.decided[0].problem.clone().expect("a problem");
    assert_eq!((problem.place, problem.due), (Place::Backlog, None));
}

#[tokio::test]
async fn an_unreadable_record_is_tried_again_and_recorded_once_it_can_be_read() {
    let bench = bench(RULES, FACTS).await;
    let accepted = bench.accept(Form::EventHubs, r#"[{"type":"Contoso.Unknown"}]"#).await;
    let id = accepted.parked[0].id.clone();
    let parked = bench.pipeline.unreadable(&id[..26]).await.expect("there");
    assert!(matches!(bench.pipeline.retry_unreadable(&parked).await, Ok(Retried::Still { .. })));
    // As if a later version had learned to read it.
    let readable = amend_store::Parked { raw: Export::default().text(), ..parked };
    match bench.pipeline.retry_unreadable(&readable).await {
        Ok(Retried::Read(accepted)) => assert_eq!(accepted.counts().new, 1),
        other => panic!("{other:?}"),
    }
    assert!(bench.store.parked(false, 10).await.expect("listed").is_empty());
    assert!(matches!(bench.pipeline.unreadable("nothing").await, Err(PipelineError::NotFound { .. })));
}

#[tokio::test]
async fn a_delivery_over_the_nesting_limit_is_kept_whole() {
    let bench = bench(RULES, FACTS).await;
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    let accepted = bench.accept(Form::Plain, &deep).await;
    assert_eq!(accepted.parked.len(), 1);
    assert_eq!(accepted.parked[0].raw, deep);
    assert!(accepted.parked[0].problem.contains("limits.nesting"));
}

#[tokio::test]
async fn deciding_anew_is_no_news_from_an_account() {
    let bench = bench(RULES, "version: 1").await;
    bench.accept(Form::Plain, &Export { snapshot: true, ..Export::default() }.text()).await;
    bench.clock.set("2026-11-29T13:00:00Z");
    bench.pipeline.retry_undetermined().await.expect("tried");
    assert_eq!(bench.pipeline.deaf().await.expect("asked").len(), 1, "nothing came for nine days");
}

#[tokio::test]
async fn an_account_without_a_snapshot_for_eight_days_is_deaf() {
    let bench = bench(RULES, FACTS).await;
    bench.accept(Form::Plain, &Export { snapshot: true, ..Export::default() }.text()).await;
    assert!(bench.pipeline.deaf().await.expect("asked").is_empty());
    bench.clock.set("2026-11-28T11:00:00Z");
    bench
        .accept(Form::Plain, &Export { changed: Some("2026-11-28T10:00:00Z".into()), ..Export::default() }.text())
        .await;
    assert!(bench.pipeline.deaf().await.expect("asked").is_empty());
    bench.clock.set("2026-11-28T13:00:00Z");
    let deaf = bench.pipeline.deaf().await.expect("asked");
    assert_eq!(deaf.len(), 1, "events alone are not enough");
    assert_eq!(deaf[0].last_heard, Some(moment("2026-11-28T11:00:00Z")));
}

//! Dates that people set: who may, what moves with them, and what the trail tells of it.

use amend_domain::{
    Problem,
    plan::State,
    rule::Mode,
    said::{Unheard, end_of},
};
use amend_pipeline::{
    PipelineError,
    dates::{move_due, set_eta},
    people::{Person, Right},
};
use amend_store::{Database, Filter, Store as _, Tickets as _};
use amend_tests::{
    filing::{Filing, account},
    harness::{Export, moment},
};
use jiff::Timestamp;

use crate::work;

fn day(text: &str) -> Timestamp {
    end_of(text.parse().expect("a day")).expect("it ends")
}

async fn one(store: &Database) -> Problem {
    store.problems(&Filter::default()).await.expect("listed").remove(0)
}

fn planner() -> Person {
    Person::named("pat").with(&[Right::Dates])
}

#[tokio::test]
async fn what_waits_for_a_date_waits_for_another_when_it_is_moved() {
    let subject = work::storage();
    let bench = work::bench("{ mode: enforce, when: after_grace }, grace: 1d", Mode::Enforce).await;
    bench.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    let (store, now) = (bench.store(), bench.inner.clock.clone());
    assert_eq!(one(store).await.due, Some(moment("2026-11-27T12:00:00Z")));
    let at = moment("2026-11-20T12:00:00Z");
    let moved =
        move_due(store, &one(store).await, day("2026-12-15"), "a release", &planner(), at).await.expect("moved");
    assert_eq!((moved.due, moved.spared_until), (Some(day("2026-12-15")), Some(day("2026-12-16"))));
    now.set("2026-12-16T23:59:58Z");
    assert_eq!(bench.work().await, [], "not before");
    // Sooner is a date, too.
    let at = moment("2026-12-14T00:00:00Z");
    move_due(store, &moved, day("2026-12-14"), "after all", &planner(), at).await.expect("moved");
    bench.work().await;
    assert_eq!(bench.states(&subject).await, [State::Set]);
    let records = store.audit(0, 100).await.expect("read");
    let told: Vec<String> = records
        .iter()
        .filter(|record| &*record.entry.what == "problem.due")
        .map(|record| format!("{}: {} {}", record.entry.who, record.entry.detail, record.entry.resource.is_some()))
        .collect();
    assert_eq!(
        told,
        [
            r#"pat: {"from":"2026-11-27T12:00:00Z","to":"2026-12-15T23:59:59Z","why":"a release"} true"#,
            r#"pat: {"from":"2026-12-15T23:59:59Z","to":"2026-12-14T23:59:59Z","why":"after all"} true"#
        ]
    );
    // A date that was moved stands, whatever comes again; a regression starts anew.
    bench.report(&subject, "Unhealthy", "2026-11-19T07:00:00Z").await;
    assert_eq!(one(store).await.due, Some(day("2026-12-14")));
    bench.report(&subject, "Healthy", "2026-12-17T07:00:00Z").await;
    bench.report(&subject, "Unhealthy", "2026-12-18T07:00:00Z").await;
    let back = one(store).await;
    assert_eq!((back.moved, back.eta, back.due), (None, None, Some(moment("2026-12-23T23:59:58Z"))));
}

#[tokio::test]
async fn only_who_may_moves_a_date_and_an_owner_says_when_they_will_be_done() {
    let filing = Filing::new(
        "version: 1\nrules: [{ id: all, priority: 1, owner: ann@example.org, due: 7d, ticket: true }]",
        "local",
        |tickets| std::sync::Arc::new(amend_connect::Local::new(tickets)),
    )
    .await;
    filing.report(&account("st1"), "Unhealthy", "2026-11-20T11:00:00Z").await;
    filing.work("2026-11-20T12:00:00Z").await;
    let store = &filing.bench.store;
    let now = moment("2026-11-20T12:00:00Z");
    let problem = one(store).await;
    let (ann, bob) = (Person::named("Ann@example.org"), Person::named("bob@example.org"));
    let refused = |error: PipelineError| (error.to_string(), error.hint().is_some());
    let to = day("2026-12-01");
    let no = move_due(store, &problem, to, "x", &ann, now).await.expect_err("an owner does not move a date");
    assert_eq!(refused(no), ("Ann@example.org may not move due dates".to_owned(), true));
    let no = set_eta(store, &problem, Some((to, None)), &bob, now).await.expect_err("not another's");
    assert_eq!(refused(no), ("bob@example.org may not say when another will be done".to_owned(), true));
    let said = set_eta(store, &problem, Some((to, Some("after the freeze"))), &ann, now).await.expect("an owner may");
    assert_eq!((said.due, said.eta.as_ref().map(|eta| eta.on)), (problem.due, Some(to)));
    set_eta(store, &problem, None, &planner(), now).await.expect("taken back");
    assert_eq!(one(store).await.eta, None);
    let again = set_eta(store, &problem, None, &planner(), now).await.expect_err("nobody says anything");
    assert!(again.to_string().contains("that is what was said already"), "{again}");
    let records = store.audit(0, 100).await.expect("read");
    let etas: Vec<String> = records
        .iter()
        .filter(|record| &*record.entry.what == "problem.eta")
        .map(|record| format!("{} {}", record.entry.who, record.entry.detail))
        .collect();
    assert_eq!(
        etas,
        [
            r#"Ann@example.org {"from":null,"to":"2026-12-01T23:59:59Z","why":"after the freeze"}"#,
            r#"pat {"from":"2026-12-01T23:59:59Z","to":null}"#
        ]
    );
    // Whoever uses this machine may, where nobody has a name; the ticket hears of it.
    move_due(store, &problem, to, "a release", &Person::local(), now).await.expect("moved");
    filing.work("2026-11-20T13:00:00Z").await;
    filing.work("2026-11-20T13:05:00Z").await;
    let ticket = store.local_tickets(None, 10).await.expect("listed").remove(0);
    let notes: Vec<&str> = ticket.notes.iter().map(|note| &*note.text).collect();
    assert!(notes.iter().any(|text| text.contains("st1") && text.contains("2026-12-01")), "{notes:?}");
    for (to, at, why) in [
        (to, now, Some(Unheard::Same)),
        (day("2026-12-02"), now, None),
        (to, moment("2026-12-02T00:00:00Z"), Some(Unheard::Past)),
        (day("2037-01-01"), now, Some(Unheard::Far)),
    ] {
        let done = move_due(store, &problem, to, "x", &planner(), at).await;
        match (done, why) {
            (Ok(_), None) => {}
            (Err(PipelineError::Unheard { why: said, .. }), Some(why)) if said == why => {}
            other => panic!("{other:?}"),
        }
    }
    // What is closed, waits in the backlog, or is not known has no dates.
    filing.report(&account("st1"), "Healthy", "2026-11-21T11:00:00Z").await;
    let listed = Export { snapshot: true, ..account("st2") };
    filing.report(&listed, "Unhealthy", "2026-11-21T11:00:00Z").await;
    let all = store.problems(&Filter::default()).await.expect("listed");
    for problem in &all {
        let no = move_due(store, problem, to, "x", &planner(), now).await.expect_err("no date");
        let expected = if problem.due.is_some() { "it is not there any more" } else { "it is in the backlog" };
        assert!(no.to_string().contains(expected), "{no}");
    }
    let mut unknown = all[0].clone();
    unknown.id = serde_json::from_value("p-00000000000000000000".into()).expect("an id");
    let no = move_due(store, &unknown, to, "x", &planner(), now).await.expect_err("not known");
    assert_eq!(no.code(), "not-found");
}

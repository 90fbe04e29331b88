//! What goes wrong around Amend: the cloud's answers, and the store. Whatever it is, everything is done in the
//! end, nothing is done twice without need, and the trail is whole.

use std::{sync::Arc, time::Duration};

use amend_domain::{plan::State, rule::Mode};
use amend_pipeline::audit::verify;
use amend_tests::{
    clouds::Served,
    harness::{long, moment},
    subject::Subject,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::work::{Bench, bench, is_secure, storage};

/// Everything of a resource and around it: its group's exemptions and locks, too.
fn around(subject: &Subject) -> String {
    let group = subject.resource.split("/providers/").next().expect("a group");
    format!("^{group}($|/)")
}

/// Works for a day, an hour at a time. Returns when it is set.
async fn work_for_a_day(bench: &Bench, subject: &Subject) -> Vec<State> {
    let mut now: Timestamp = moment("2026-11-20T12:00:00Z");
    for _ in 0..24 {
        bench.work().await;
        if bench.states(subject).await.first() == Some(&State::Set) {
            break;
        }
        now += SignedDuration::from_hours(1);
        bench.inner.clock.set(&now.to_string());
    }
    bench.states(subject).await
}

/// The writes that the cloud carried out.
fn carried_out(subject: &Subject) -> usize {
    let path = format!("^{}$", subject.resource);
    let requests = Served::azure().ask(&json!({ "do": "requests", "path": path, "after": 0 }));
    let did = |one: &&Value| {
        let failed = one["status"].as_u64().is_none_or(|status| status >= 400);
        one["method"] == "PATCH" && (!failed || one["failure"]["applied"] == true)
    };
    requests["requests"].as_array().expect("requests").iter().filter(did).count()
}

/// One fault at one call. Returns whether there was such a call.
async fn survives(name: &'static str, with: Value, nth: usize, times: usize) -> bool {
    let subject = storage();
    let bench = bench("enforce", Mode::Enforce).await;
    bench.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    let mut with = with;
    with["times"] = times.into();
    let path = around(&subject);
    let azure = Served::azure();
    azure.ask(&json!({ "do": "fail", "match": { "path": path }, "with": with, "skip": nth }));
    let states = work_for_a_day(&bench, &subject).await;
    let hit = azure.ask(&json!({ "do": "unspent", "path": path })).as_u64() != Some(times as u64);
    let context = format!("{name} at call {nth}, {times} times: {states:?}");
    assert!(is_secure(&subject), "{context}: {:?}", bench.store_work().await);
    assert_eq!(states.first(), Some(&State::Set), "{context}");
    let done = carried_out(&subject);
    assert!((1..=2).contains(&done), "{context}: written {done} times");
    verify(bench.store(), None, &[]).await.expect(&context);
    // And back again: what was kept is enough.
    let mut r = bench.remediations(&subject).await.remove(0);
    bench.fixer.undo(&mut r, "ann", None).await.expect(&context);
    assert!(r.state == State::Undone && !is_secure(&subject), "{context}");
    hit
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_cloud_answers_it_is_done_in_the_end_and_can_be_undone() {
    let faults = [
        ("429", json!({ "status": 429, "retry_after": 0 })),
        ("500", json!({ "status": 500 })),
        ("500, and done", json!({ "status": 500, "applied": true })),
        ("reset", json!({ "drop": true, "applied": false })),
        ("reset, and done", json!({ "drop": true, "applied": true })),
        ("cut", json!({ "cut": true })),
    ];
    let mut tests = JoinSet::new();
    // The last place is after the last call: nothing happens there.
    for (name, with) in &faults {
        let (name, with) = (*name, with.clone());
        tests.spawn(async move {
            let mut hit = Vec::new();
            for nth in 0..24 {
                if !survives(name, with.clone(), nth, 1).await {
                    return (name, hit);
                }
                hit.push(nth);
                // As often as a client tries, and once more: that is seen by the pipeline.
                if long() || nth % 4 == 1 {
                    survives(name, with.clone(), nth, 6).await;
                }
            }
            panic!("{name}: there is no end of calls");
        });
    }
    while let Some(done) = tests.join_next().await {
        let (name, hit) = done.expect("it survives");
        assert!(hit.len() >= 6, "{name} was tried at {hit:?} only");
    }
}

/// Longer than the longest wait for an answer: a minute for each call, so all at once, and only at full size.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_does_not_come_is_waited_for_a_minute() {
    if !long() {
        return;
    }
    let mut tests = JoinSet::new();
    for nth in 0..8 {
        for applied in [false, true] {
            let with = json!({ "hang": 61, "applied": applied });
            tests.spawn(survives(if applied { "late" } else { "never" }, with, nth, 1));
        }
    }
    let hit = tests.join_all().await.into_iter().filter(|hit| *hit).count();
    assert!(hit >= 12, "{hit} calls did not answer");
}

/// Connections to the store are cut all the time while workers work.
#[tokio::test(flavor = "multi_thread")]
async fn workers_whose_store_goes_away_again_and_again_do_everything_once() {
    let bench = Arc::new(bench("enforce", Mode::Enforce).await);
    let subjects: Vec<Subject> = (0..8).map(|_| storage()).collect();
    for subject in &subjects {
        bench.report(subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    }
    let mut workers = JoinSet::new();
    for _ in 0..4 {
        let fixer = bench.fixer.another();
        workers.spawn(async move {
            let mut failures = 0;
            // Whoever serves goes on after a failure.
            while failures < 40 {
                match fixer.work(None).await {
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(_) => failures += 1,
                }
            }
        });
    }
    for _ in 0..30 {
        bench.inner.fresh.cut().await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    workers.join_all().await;
    // The leases of those that were cut off run out.
    for hour in 13..23 {
        bench.inner.clock.set(&format!("2026-11-20T{hour}:00:00Z"));
        while !matches!(bench.fixer.work(None).await, Ok(None)) {}
    }
    for subject in &subjects {
        assert!(is_secure(subject), "{:?}", bench.store_work().await);
        assert_eq!(bench.states(subject).await, [State::Set]);
        assert_eq!(carried_out(subject), 1);
    }
    verify(bench.store(), None, &[]).await.expect("whole");
}

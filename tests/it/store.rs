//! What any store must do. Each test runs on every kind of store there is: a SQLite file, a PostgreSQL server,
//! and such a server behind a pooler that hands out connections by the transaction.

use std::time::Duration;

use amend_domain::{
    AccountId, Decision, Facts, Outcome, Verdict,
    exemption::{Approval, Category, Exemption},
    guard::Hold,
    owners::Owners,
    problem::{Closed, Place as Where, SourceOfTruth, State},
    rule::{FixPolicy, FixWhen, Mode},
    settings::Setting,
    work::{After, Stop, WorkKind},
};
use amend_events::{Context, Form, Item, Limits};
use amend_pipeline::audit::verify;
use amend_store::{Change, Database, Effect, Filter, Parked, Place, Server, Store, StoreError};
use amend_tests::{
    harness::{Export, long, moment},
    places::{Fresh, Kind, has_pooler},
};
use jiff::SignedDuration;
use proptest::{collection::vec, prelude::*, sample::select};
use tokio::task::JoinSet;

use crate::trail::{
    old_records_are_purged_into_a_file_and_leave_a_checkpoint, the_trail_is_whole_however_many_write_it,
};

/// The same tests on every kind of store.
macro_rules! on_every_store {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $name() { super::$name(super::Kind::Sqlite).await })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $name() { super::$name(super::Kind::Postgres).await })*
        }
        mod pooled {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $name() {
                if super::has_pooler() {
                    super::$name(super::Kind::Pooled).await;
                } else {
                    eprintln!("skipped: there is no PgBouncer on this machine");
                }
            })*
        }
    };
}

on_every_store!(
    older_never_overwrites_newer_and_the_same_twice_has_one_effect,
    what_is_written_is_there_after_a_restart_and_the_order_is_by_urgency,
    a_batch_is_recorded_whole_or_not_at_all_and_readers_do_not_wait,
    unreadable_records_are_kept_once_and_found_by_the_start_of_their_id,
    only_the_backlog_is_released_and_its_dates_are_set_then,
    a_batch_may_say_many_things_of_one_assessment,
    a_large_batch_is_recorded_as_a_small_one,
    workers_race_and_each_piece_of_work_is_taken_up_once,
    whoever_has_a_later_lease_wins_whatever_the_clocks_say,
    a_hold_that_ends_takes_back_what_was_planned_under_it,
    a_newer_fact_stays,
    an_exemption_is_approved_once_and_reminded_of_once,
    many_reports_of_one_resource_at_once_end_as_one_after_the_other,
    batches_that_cross_do_not_wait_for_each_other_for_ever,
    the_trail_is_whole_however_many_write_it,
    old_records_are_purged_into_a_file_and_leave_a_checkpoint,
    a_connection_that_is_lost_loses_nothing,
    names_that_no_database_takes_are_kept_nevertheless,
    an_earlier_schema_is_brought_forward,
);

fn change(export: &Export) -> Change {
    let context = Context::new(amend_domain::TenantId::new("t"));
    let items = amend_events::read(Form::Plain, export.text().as_bytes(), &context, &Limits::default()).expect("read");
    let Some(Item::Assessment(assessment)) = items.into_iter().next() else { panic!("not an assessment") };
    let facts = Facts::none(moment("2026-11-20T12:00:00Z"));
    let decision = Decision::new(Verdict::Ungoverned, &assessment, &facts, &Owners::default(), "sha256:x");
    Change { setting: Setting::new("s"), assessment: *assessment, decision, facts, truth: SourceOfTruth::default() }
}

fn at(time: &str, code: &str) -> Export {
    Export { changed: Some(time.into()), code: code.into(), ..Default::default() }
}

async fn older_never_overwrites_newer_and_the_same_twice_has_one_effect(kind: Kind) {
    let fresh = Fresh::new(kind).await;
    let store = fresh.open().await;
    let now = moment("2026-11-20T12:00:00Z");
    let steps = [
        (at("2026-11-10T00:00:00Z", "Unhealthy"), Effect::New, State::Open),
        (at("2026-11-10T00:00:00Z", "Unhealthy"), Effect::Duplicate, State::Open),
        (at("2026-11-12T00:00:00Z", "Healthy"), Effect::Updated, State::Closed(Closed::Healthy)),
        (at("2026-11-11T00:00:00Z", "Unhealthy"), Effect::Stale, State::Closed(Closed::Healthy)),
        (at("2026-11-10T00:00:00Z", "Unhealthy"), Effect::Duplicate, State::Closed(Closed::Healthy)),
        // At one time the calm report wins, and a deletion over both.
        (at("2026-11-12T00:00:00Z", "Unhealthy"), Effect::Stale, State::Closed(Closed::Healthy)),
        (
            Export { action: "Delete".into(), ..at("2026-11-12T00:00:00Z", "Unhealthy") },
            Effect::Updated,
            State::Closed(Closed::Deleted),
        ),
        // What has no time is older than anything.
        (Export { changed: None, ..Export::default() }, Effect::Stale, State::Closed(Closed::Deleted)),
        // The same status evaluated anew is news, once.
        (at("2026-11-13T00:00:00Z", "Unhealthy"), Effect::Updated, State::Open),
        (Export { risk: Some("High".into()), ..at("2026-11-13T00:00:00Z", "Unhealthy") }, Effect::Updated, State::Open),
        (at("2026-11-13T00:00:00Z", "Unhealthy"), Effect::Duplicate, State::Open),
    ];
    for (step, (export, effect, state)) in steps.into_iter().enumerate() {
        let recorded = store.record(&[change(&export)], &[], now).await.expect("recorded");
        assert_eq!(recorded[0].effect, effect, "step {step}");
        assert_eq!(recorded[0].problem.as_ref().expect("a problem").state, state, "step {step}");
    }
    let problem = &store.problems(&Filter::default()).await.expect("listed")[0];
    assert_eq!(problem.risk.map(|risk| risk.as_str()), Some("high"), "the last word stands");
    assert_eq!(problem.period, 2, "it came back once");
}

async fn what_is_written_is_there_after_a_restart_and_the_order_is_by_urgency(kind: Kind) {
    let fresh = Fresh::new(kind).await;
    let now = moment("2026-11-20T12:00:00Z");
    {
        let store = fresh.open().await;
        for (name, severity, risk, day) in [
            ("a", "Low", Some("Low"), 5),
            ("b", "High", None, 6),
            ("c", "High", None, 2),
            ("d", "Low", Some("Critical"), 9),
            ("e", "Medium", Some("Low"), 9),
        ] {
            let export = Export {
                resource: format!(
                    "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/{name}"
                ),
                severity: severity.into(),
                risk: risk.map(str::to_owned),
                ..at(&format!("2026-11-0{day}T00:00:00Z"), "Unhealthy")
            };
            store.record(&[change(&export)], &[], now).await.expect("recorded");
        }
        store.close().await;
    }
    let store = fresh.open().await;
    let names = |problems: &[amend_domain::Problem]| {
        problems.iter().map(|p| p.resource.id.short_name().to_owned()).collect::<Vec<_>>()
    };
    let all = store.problems(&Filter::default()).await.expect("listed");
    // Risk, then severity, then age; in Rust's order as in SQL's.
    assert_eq!(names(&all), ["d", "e", "a", "c", "b"]);
    let mut sorted = all.clone();
    sorted.sort_by_key(amend_domain::Problem::urgency);
    assert_eq!(names(&sorted), names(&all));
    let filter = Filter { account: Some("/subscriptions/s".into()), limit: Some(2), ..Filter::default() };
    assert_eq!(names(&store.problems(&filter).await.expect("listed")), ["d", "e"]);
    let account = AccountId::azure("/subscriptions/s");
    assert_eq!(store.inputs().await.expect("inputs")[0].account, account.expect("an account").as_str());
    let prefix = all[0].id.as_str()[..8].to_owned();
    assert_eq!(store.find(&prefix).await.expect("found").len(), 1);
    assert_eq!(store.find(all[0].resource.id.as_str()).await.expect("found").len(), 1);
    assert!(store.find("p-").await.expect("answered").is_empty(), "too short a name finds nothing");
}

async fn a_batch_is_recorded_whole_or_not_at_all_and_readers_do_not_wait(kind: Kind) {
    let fresh = Fresh::new(kind).await;
    let store = fresh.open().await;
    let now = moment("2026-11-20T12:00:00Z");
    let many: Vec<Change> = (0..200)
        .map(|n| {
            change(&Export {
                resource: format!("/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/n{n}"),
                ..Export::default()
            })
        })
        .collect();
    let reader = store.clone();
    let reading = tokio::spawn(async move {
        let mut seen = Vec::new();
        for _ in 0..50 {
            seen.push(reader.problems(&Filter::default()).await.expect("listed").len());
        }
        seen
    });
    store.record(&many, &[], now).await.expect("recorded");
    let seen = reading.await.expect("read");
    assert!(seen.iter().all(|count| *count == 0 || *count == 200), "a half-written batch was seen: {seen:?}");
}

async fn unreadable_records_are_kept_once_and_found_by_the_start_of_their_id(kind: Kind) {
    let fresh = Fresh::new(kind).await;
    let store = fresh.open().await;
    store
        .record(
            &[],
            &[unreadable("01a", "{}"), unreadable("01b", "[]"), unreadable("01c", "{}")],
            moment("2026-11-20T12:00:00Z"),
        )
        .await
        .expect("kept");
    assert_eq!(store.parked(false, 10).await.expect("listed").len(), 2, "the same record is kept once");
    assert_eq!(store.parked_one("01b").await.expect("found").expect("there").raw, "[]");
    store.resolve_parked("01b", moment("2026-11-20T13:00:00Z")).await.expect("resolved");
    assert_eq!(store.parked(false, 10).await.expect("listed").len(), 1);
    assert_eq!(store.parked(true, 10).await.expect("listed").len(), 2);
    assert_eq!(store.parked_one("zz").await.expect("answered"), None);
}

async fn only_the_backlog_is_released_and_its_dates_are_set_then(kind: Kind) {
    let fresh = Fresh::new(kind).await;
    let store = fresh.open().await;
    let mut snapshot = change(&Export { snapshot: true, ..Export::default() });
    snapshot.decision.outcome = amend_domain::Outcome::Governed;
    snapshot.decision.due = amend_domain::Timeframe::days(14);
    let recorded = store.record(&[snapshot], &[], moment("2026-11-20T12:00:00Z")).await.expect("recorded");
    assert!(recorded[0].missed);
    let problem = recorded[0].problem.clone().expect("a problem");
    assert_eq!((problem.place, problem.due), (Where::Backlog, None));
    let released =
        store.release(&[problem.id.to_string()], "ada", moment("2026-12-01T00:00:00Z")).await.expect("released");
    assert_eq!(released[0].due, Some(moment("2026-12-15T00:00:00Z")));
    assert!(
        store
            .release(&[problem.id.to_string()], "ada", moment("2026-12-02T00:00:00Z"))
            .await
            .expect("answered")
            .is_empty()
    );
}

fn account(name: &str) -> String {
    format!("/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/{name}")
}

/// A report of something that a rule would have fixed at once.
fn governed(export: &Export) -> Change {
    let mut change = change(export);
    change.decision.outcome = Outcome::Governed;
    change.decision.fix = Some(FixPolicy { mode: Mode::Enforce, when: FixWhen::Now, announce: None });
    change
}

pub(crate) fn noon() -> jiff::Timestamp {
    moment("2026-11-20T12:00:00Z")
}

async fn a_batch_may_say_many_things_of_one_assessment(kind: Kind) {
    let fresh = Fresh::new(kind).await;
    let store = fresh.open().await;
    let steps = [
        (at("2026-11-10T00:00:00Z", "Unhealthy"), Effect::New),
        (at("2026-11-10T00:00:00Z", "Unhealthy"), Effect::Duplicate),
        (at("2026-11-12T00:00:00Z", "Healthy"), Effect::Updated),
        (at("2026-11-11T00:00:00Z", "Unhealthy"), Effect::Stale),
        (at("2026-11-13T00:00:00Z", "Unhealthy"), Effect::Updated),
        (at("2026-11-12T00:00:00Z", "Healthy"), Effect::Duplicate),
    ];
    let changes: Vec<Change> = steps.iter().map(|(export, _)| governed(export)).collect();
    let recorded = store.record(&changes, &[], noon()).await.expect("recorded");
    let effects: Vec<Effect> = recorded.iter().map(|recorded| recorded.effect).collect();
    assert_eq!(effects, steps.map(|(_, effect)| effect));
    let problems = store.problems(&Filter::default()).await.expect("listed");
    assert_eq!((problems.len(), problems[0].state, problems[0].period), (1, State::Open, 2));
    assert_eq!(recorded[4].problem.as_ref(), Some(&problems[0]));
    assert_eq!(store.decisions(problems[0].id.as_str()).await.expect("listed").len(), 3, "one a version that counted");
    assert_eq!(store.work(10).await.expect("listed").len(), 1);
    let again = store.record(&changes, &[], noon()).await.expect("recorded");
    assert!(again.iter().all(|recorded| recorded.effect == Effect::Duplicate));
    let healthy = governed(&at("2026-11-14T00:00:00Z", "Healthy"));
    store.record(&[healthy], &[], noon()).await.expect("recorded");
    assert!(store.work(10).await.expect("listed").is_empty(), "nothing is left to do");
}

/// Rows are written in groups: each size of a group, and what is left over.
async fn a_large_batch_is_recorded_as_a_small_one(kind: Kind) {
    let fresh = Fresh::new(kind).await;
    let store = fresh.open().await;
    let many: Vec<Change> =
        (0..199).map(|n| governed(&Export { resource: account(&format!("n{n}")), ..Export::default() })).collect();
    let parked: Vec<Parked> = (0..67).map(|n| unreadable(&format!("{n:03}"), &n.to_string())).collect();
    let recorded = store.record(&many, &parked, noon()).await.expect("recorded");
    assert!(recorded.iter().all(|recorded| recorded.effect == Effect::New));
    assert_eq!(store.problems(&Filter::default()).await.expect("listed").len(), 199);
    assert_eq!(store.assessments(1_000).await.expect("listed").len(), 199);
    assert_eq!(store.work(1_000).await.expect("listed").len(), 199);
    assert_eq!(store.parked(false, 1_000).await.expect("listed").len(), 67);
    let things: Vec<String> = (0..99).map(|n| format!("thing-{n}")).collect();
    let read = amend_domain::thing::Read::default();
    let reads: Vec<_> = things.iter().map(|thing| (thing.as_str(), &read)).collect();
    store.keep_facts(&reads, noon()).await.expect("kept");
    let asked: Vec<&str> = things.iter().map(String::as_str).chain(["none"]).collect();
    let facts = store.facts(&asked).await.expect("read");
    assert_eq!((facts.iter().flatten().count(), facts.last()), (99, Some(&None)));
}

async fn workers_race_and_each_piece_of_work_is_taken_up_once(kind: Kind) {
    let fresh = Fresh::new(kind).await;
    let (store, other) = (fresh.open().await, fresh.open().await);
    let many: Vec<Change> =
        (0..60).map(|n| governed(&Export { resource: account(&format!("n{n}")), ..Export::default() })).collect();
    store.record(&many, &[], noon()).await.expect("recorded");
    let mut workers = JoinSet::new();
    for n in 0..8 {
        // Two processes with four workers each.
        let store = if n % 2 == 0 { store.clone() } else { other.clone() };
        workers.spawn(async move {
            let mut taken = Vec::new();
            let until = noon() + SignedDuration::from_mins(2);
            while let Some((work, lease)) =
                store.claim(WorkKind::FIXING, &format!("w{n}"), noon(), until).await.expect("claimed")
            {
                if taken.len() % 3 == 0 {
                    store.leave(&lease, &After::Done, noon()).await.expect("left");
                }
                taken.push(work.key);
            }
            taken
        });
    }
    let mut taken: Vec<String> = workers.join_all().await.into_iter().flatten().collect();
    taken.sort();
    let all = taken.len();
    taken.dedup();
    assert_eq!((all, taken.len()), (60, 60), "each once");
    let left = store.work(100).await.expect("listed");
    assert!(left.iter().all(|work| work.taken_until.is_some()), "what is not done is taken");
}

async fn whoever_has_a_later_lease_wins_whatever_the_clocks_say(kind: Kind) {
    let fresh = Fresh::new(kind).await;
    let store = fresh.open().await;
    store.record(&[governed(&Export::default())], &[], noon()).await.expect("recorded");
    let minutes = |minutes| noon() + SignedDuration::from_mins(minutes);
    let (_, slow) = store.claim(WorkKind::FIXING, "slow", noon(), minutes(2)).await.expect("claimed").expect("there");
    assert!(
        store.claim(WorkKind::FIXING, "quick", minutes(1), minutes(3)).await.expect("answered").is_none(),
        "it is taken"
    );
    // A clock that goes ahead by an hour takes it over; one that goes back by one takes nothing.
    let (work, quick) =
        store.claim(WorkKind::FIXING, "quick", minutes(60), minutes(62)).await.expect("claimed").expect("run out");
    assert!(quick.fence > slow.fence);
    assert_eq!(work.attempts, 2);
    assert!(store.claim(WorkKind::FIXING, "late", minutes(-60), minutes(-58)).await.expect("answered").is_none());
    // Whoever lost it changes nothing, whatever they say.
    for after in [After::Done, After::Parked { why: "x".into() }, After::Later { at: noon() }] {
        store.leave(&slow, &after, minutes(61)).await.expect("answered");
    }
    let kept = store.one_work(&work.key).await.expect("found").expect("there");
    assert_eq!((kept.parked, kept.taken_until), (None, Some(minutes(62))));
    store.leave(&quick, &After::Done, minutes(61)).await.expect("left");
    assert!(store.one_work(&work.key).await.expect("answered").is_none());
}

async fn a_hold_that_ends_takes_back_what_was_planned_under_it(kind: Kind) {
    let fresh = Fresh::new(kind).await;
    let store = fresh.open().await;
    store.record(&[governed(&Export::default())], &[], noon()).await.expect("recorded");
    let until = noon() + SignedDuration::from_hours(14 * 24);
    let hold = |id: &str| Hold {
        id: id.into(),
        on: account("st1").into(),
        until,
        by: "ann".into(),
        at: noon(),
        why: "x".into(),
    };
    store.hold(&hold("h-1")).await.expect("held");
    let (work, lease) = store
        .claim(WorkKind::FIXING, "w", noon(), noon() + SignedDuration::from_mins(2))
        .await
        .expect("claimed")
        .expect("due");
    store.end_hold("h-1", "ann", noon()).await.expect("ended").expect("it was there");
    // Whoever planned saw the hold, and says so too late.
    store.leave(&lease, &After::Held { at: until, why: "hold: x".into() }, noon()).await.expect("answered");
    let kept = store.one_work(&work.key).await.expect("found").expect("there");
    assert_eq!((kept.due, kept.taken_until), (noon(), None), "it is due again");
}

async fn an_exemption_is_approved_once_and_reminded_of_once(kind: Kind) {
    let fresh = Fresh::new(kind).await;
    let store = fresh.open().await;
    let until = noon() + SignedDuration::from_hours(24);
    let exemption = |id: &str| Exemption {
        id: id.into(),
        on: account("st1").into(),
        setting: None,
        category: Category::FalsePositive,
        why: "x".into(),
        by: "ann".into(),
        at: noon(),
        until,
        remind: noon(),
        approved: None,
    };
    for id in ["x-1", "x-2"] {
        store.ask_exemption(&exemption(id)).await.expect("kept");
    }
    // Eight people say yes at once: one of them is the second.
    let mut tasks = JoinSet::new();
    for n in 0..8 {
        let (store, mut approved) = (store.clone(), exemption("x-1"));
        let approval = Approval { by: format!("p{n}").into(), at: noon() };
        approved.approved = Some(approval.clone());
        tasks.spawn(async move { store.approve_exemption(&approved, &approval).await.expect("answered") });
    }
    assert_eq!(tasks.join_all().await.into_iter().filter(|first| *first).count(), 1);
    let all = store.exemptions(noon()).await.expect("listed");
    let by: Vec<_> = all.iter().map(|one| (&*one.id, one.approved.is_some())).collect();
    assert_eq!(by, [("x-1", true), ("x-2", false)]);
    // So do eight who look what ends.
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let store = store.clone();
        tasks.spawn(async move { store.remind_exemptions(noon()).await.expect("answered").len() });
    }
    assert_eq!(tasks.join_all().await.into_iter().sum::<usize>(), 1, "what nobody approved needs no reminder");
    assert!(store.exemptions(until).await.expect("listed").is_empty(), "they have ended");
    let late = Approval { by: "bob".into(), at: until };
    assert!(!store.approve_exemption(&exemption("x-2"), &late).await.expect("answered"), "it has ended");
    assert!(store.end_exemption("x-2", "ann", noon()).await.expect("answered").is_some());
    assert!(store.end_exemption("x-2", "ann", noon()).await.expect("answered").is_none());
    let what: Vec<_> = store.audit(0, 10).await.expect("read").into_iter().map(|record| record.entry.what).collect();
    let expected =
        ["exemption.asked", "exemption.asked", "exemption.approved", "exemption.ends-soon", "exemption.ended"];
    assert_eq!(what.iter().map(|what| &**what).collect::<Vec<_>>(), expected);
}

async fn a_newer_fact_stays(kind: Kind) {
    let fresh = Fresh::new(kind).await;
    let store = fresh.open().await;
    let read = |failed: &str| amend_domain::thing::Read { failed: Some(failed.into()), ..Default::default() };
    let (older, newer) = (noon(), noon() + SignedDuration::from_mins(1));
    for (said, asked) in [("first", older), ("newer", newer), ("older", older)] {
        store.keep_facts(&[("x", &read(said))], asked).await.expect("kept");
    }
    assert_eq!(store.facts(&["x"]).await.expect("read"), [Some((newer, read("newer")))]);
}

async fn many_reports_of_one_resource_at_once_end_as_one_after_the_other(kind: Kind) {
    let fresh = Fresh::new(kind).await;
    let (store, other) = (fresh.open().await, fresh.open().await);
    // Ten settings of one resource, ten reports of each; the last of every other is healthy.
    let report = |setting: usize, day: usize| {
        let code = if day == 9 && setting.is_multiple_of(2) || day % 4 == 3 { "Healthy" } else { "Unhealthy" };
        let mut change = governed(&Export {
            key: format!("51fd8bb1-0db4-bbf1-7e2b-cfcba7eb66{setting:02}"),
            ..at(&format!("2026-11-{:02}T00:00:00Z", day + 1), code)
        });
        change.setting = Setting::new(&format!("s{setting}"));
        change
    };
    let mut tasks = JoinSet::new();
    for n in 0..100_usize {
        let store = if n % 2 == 0 { store.clone() } else { other.clone() };
        let change = report(n / 10, (n * 7 + n / 10) % 10);
        tasks.spawn(async move { store.record(&[change], &[], noon()).await.expect("recorded")[0].effect });
    }
    let effects = tasks.join_all().await;
    assert!(!effects.contains(&Effect::Duplicate));
    assert_eq!(effects.iter().filter(|effect| **effect == Effect::New).count(), 10, "each is new once");
    let problems = store.problems(&Filter::default()).await.expect("listed");
    let mut open: Vec<&str> = problems
        .iter()
        .filter(|problem| problem.state == State::Open)
        .map(|problem| problem.setting.as_str())
        .collect();
    open.sort_unstable();
    assert_eq!(open, ["s1", "s3", "s5", "s7", "s9"], "the last word counts");
    let keys: Vec<_> = store.work(100).await.expect("listed").into_iter().map(|work| work.subject).collect();
    assert_eq!(keys.len(), 5, "there is work for what is open");
}

/// Two batches about the same things in opposite orders.
async fn batches_that_cross_do_not_wait_for_each_other_for_ever(kind: Kind) {
    let fresh = Fresh::new(kind).await;
    let store = fresh.open().await;
    let rounds: i64 = if long() { 40 } else { 8 };
    let mut tasks = JoinSet::new();
    for n in 0..6 {
        let store = store.clone();
        tasks.spawn(async move {
            for round in 0..rounds {
                let day = format!("2026-11-10T00:{:02}:{:02}Z", round, n);
                let mut changes: Vec<Change> = (0..20)
                    .map(|a| {
                        governed(&Export {
                            // Some resources are everybody's, the others their own; all are in the same accounts.
                            resource: format!(
                                "/subscriptions/s{}/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/n{a}x{}",
                                a % 5,
                                if a < 4 { 0 } else { n }
                            ),
                            // What is an event for one is a snapshot for the other.
                            snapshot: (a % 5 < 2) == (n % 2 == 0),
                            ..at(&day, if a % 7 == n { "Healthy" } else { "Unhealthy" })
                        })
                    })
                    .collect();
                let mut parked: Vec<Parked> =
                    (0..5).map(|a| unreadable(&format!("{n}{round:02}{a}"), &a.to_string())).collect();
                if n % 2 == 0 {
                    changes.reverse();
                    parked.reverse();
                }
                let now = noon() + SignedDuration::from_mins(round);
                store.record(&changes, &parked, now).await.expect("recorded");
                store.retry_work(None, now).await.expect("retried");
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(store.parked(false, 100).await.expect("listed").len(), 5);
    assert_eq!(store.assessments(1_000).await.expect("listed").len(), 4 + 6 * 16);
    let inputs = store.inputs().await.expect("listed");
    assert!(inputs.len() == 5 && inputs.iter().all(|one| one.last_event.is_some() && one.last_snapshot.is_some()));
}

async fn a_connection_that_is_lost_loses_nothing(kind: Kind) {
    let fresh = Fresh::new(kind).await;
    let store = fresh.open().await;
    let writer = store.clone();
    let writing = tokio::spawn(async move {
        let mut failures = 0;
        for n in 0..40 {
            let changes: Vec<Change> = (0..10)
                .map(|a| governed(&Export { resource: account(&format!("n{n}x{a}")), ..Export::default() }))
                .collect();
            let stop = Stop { by: "ann".into(), at: noon(), why: n.to_string().into() };
            // Whoever delivers does so again until they are told that it is recorded.
            while let Err(error) = writer.record(&changes, &[], noon()).await {
                assert!(matches!(error, StoreError::Failed { .. }), "{error:?}");
                failures += 1;
            }
            while writer.stop(&stop).await.is_err() {}
        }
        failures
    });
    let mut cuts = 0;
    while !writing.is_finished() {
        fresh.cut().await;
        cuts += 1;
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    let failures = writing.await.expect("it ends");
    if kind != Kind::Sqlite {
        assert!(cuts > 1 && failures > 0, "{failures} failures of {cuts} cuts");
    }
    // Nobody cuts it any more; a pooler may not have noticed yet.
    for _ in 0..60 {
        if Database::open(&fresh.place).await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let store = fresh.open().await;
    let problems = store.problems(&Filter::default()).await.expect("listed");
    assert_eq!((problems.len(), store.work(1_000).await.expect("listed").len()), (400, 400));
    verify(&store, None, &[]).await.expect("whole");
}

/// PostgreSQL takes no zero byte in a text.
async fn names_that_no_database_takes_are_kept_nevertheless(kind: Kind) {
    let fresh = Fresh::new(kind).await;
    let store = fresh.open().await;
    let odd = Export { resource: account("a\0b"), title: "t\0".into(), ..Export::default() };
    let context = Context::new(amend_domain::TenantId::new("t"));
    let items = amend_events::read(Form::Plain, odd.text().as_bytes(), &context, &Limits::default()).expect("read");
    for item in items {
        match item {
            Item::Assessment(_) => {
                store.record(&[change(&odd)], &[], noon()).await.expect("recorded");
            }
            _ => {
                store.record(&[], &[unreadable("01", &odd.text())], noon()).await.expect("kept");
            }
        }
    }
    let kept = store.problems(&Filter::default()).await.expect("listed").len();
    assert_eq!(kept + store.parked(false, 10).await.expect("listed").len(), 1);
    store.find("a\0b").await.expect("an answer");
}

async fn an_earlier_schema_is_brought_forward(kind: Kind) {
    let fresh = Fresh::new(kind).await;
    fresh.open().await.close().await;
    // What version 1 had: everything but these.
    for statement in [
        "DROP TABLE remediations",
        "DROP TABLE facts",
        "DROP TABLE imported",
        "DROP TABLE work",
        "DROP TABLE stops",
        "DROP TABLE audit",
        "DROP TABLE seen",
        "DROP TABLE holds",
        "DROP TABLE exemptions",
        "DROP TABLE tickets",
        "DROP TABLE ticket_members",
        "DROP TABLE local_tickets",
        "DROP TABLE notices",
        "DROP TABLE synced",
        "DROP INDEX problems_by_setting",
        "ALTER TABLE problems DROP COLUMN setting",
    ] {
        fresh.tamper(statement).await;
    }
    let set_version = if kind == Kind::Sqlite { "PRAGMA user_version =" } else { "UPDATE amend_schema SET version =" };
    fresh.tamper(&format!("{set_version} 1")).await;
    assert_eq!(Database::status(&fresh.place).await.expect("a status").schema, 1);
    if kind == Kind::Sqlite {
        // A file is brought forward when it is opened.
    } else {
        let refused = Database::open(&fresh.place).await.expect_err("an earlier schema");
        assert!(matches!(refused, StoreError::Older { found: 1, .. }), "{refused:?}");
        assert_eq!(Database::migrate(&fresh.place).await.expect("migrated").0, 1);
    }
    let store = fresh.open().await;
    assert!(store.remediations(None, None, 10).await.expect("a list").is_empty());
    assert!(store.imported().await.expect("a list").is_empty());
    assert_eq!(store.facts(&["x"]).await.expect("a list"), [None]);
    store.record(&[governed(&Export::default())], &[], noon()).await.expect("recorded");
    let status = Database::status(&fresh.place).await.expect("a status");
    assert_eq!(Database::migrate(&fresh.place).await.expect("nothing to do"), (status.needs, status.needs));
    store.close().await;
    fresh.tamper(&format!("{set_version} 99")).await;
    let newer = [Database::open(&fresh.place).await.err(), Database::migrate(&fresh.place).await.err()];
    assert!(newer.iter().all(|error| matches!(error, Some(StoreError::Newer { found: 99, .. }))), "{newer:?}");
}

#[tokio::test]
async fn what_is_no_store_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = folder.path().join("text.db");
    std::fs::write(&text, "this is no database, but long enough to be looked at as one, or so one would think")
        .expect("written");
    assert!(matches!(Database::open(&text.into()).await, Err(StoreError::Open { .. })));
    let empty = Fresh::empty().await;
    let error = Database::open(&empty.place).await.expect_err("no tables");
    assert!(matches!(error, StoreError::Older { found: 0, .. }), "{error:?}");
    assert!(error.hint().expect("a hint").contains("amend store migrate"));
    // A server that may lose what it said was written is no place for this.
    let careless = empty.with("options=-c%20synchronous_commit%3Doff");
    let error = Database::open(&careless).await.expect_err("careless");
    assert!(matches!(error, StoreError::Unfit { .. }), "{error:?}");
    let nobody = Place::Server(Server::new("postgres://ann:s3cret@127.0.0.1:1/amend").expect("a URL"));
    let error = Database::open(&nobody).await.expect_err("nobody listens");
    let said = format!("{error} {error:?} {nobody} {nobody:?}");
    assert!(said.contains("ann@127.0.0.1:1/amend") && !said.contains("s3cret"), "{said}");
    for wrong in [
        "",
        "amend.db",
        "mysql://x/y",
        "postgres://",
        "postgres://s3cret@[/x",
        "postgres://h:70000/x",
        "postgres://h/x?sslpassword=s3cret",
        "postgres://h/x?pasword=s3cret",
        "postgres://h/x#sslmode=verify-full",
    ] {
        let why = Server::new(wrong).expect_err(wrong);
        assert!(!why.contains("s3cret"), "{why}");
    }
}

fn unreadable(id: &str, raw: &str) -> Parked {
    Parked {
        id: id.into(),
        at: noon(),
        form: "plain".into(),
        path: "x".into(),
        problem: "p".into(),
        hint: None,
        raw: raw.into(),
        snapshot: false,
        attributes: Vec::new(),
        resolved: None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if long() { 200 } else { 24 }))]

    /// INVARIANT: in whatever order and however often reports of one assessment arrive, the last
    /// word is the same.
    #[test]
    fn the_order_of_delivery_does_not_matter(
        reports in vec((1_u8..5, select(vec!["Healthy", "Unhealthy", "NotApplicable"]), any::<bool>()), 1..6),
        shuffle in vec(any::<prop::sample::Index>(), 1..12),
    ) {
        let exports: Vec<Export> = reports.iter().map(|(day, code, deleted)| Export {
            action: if *deleted { "Delete" } else { "Insert" }.into(),
            ..at(&format!("2026-11-0{day}T00:00:00Z"), code)
        }).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let last = |order: Vec<&Export>| runtime.block_on(async {
            let fresh = Fresh::new(Kind::usual()).await;
            let store = fresh.open().await;
            for export in order {
                store.record(&[change(export)], &[], moment("2026-11-20T12:00:00Z")).await.expect("recorded");
            }
            let held = store.assessments(10).await.expect("listed");
            let version = held[0].version();
            (version.micros, version.rank)
        });
        let straight = last(exports.iter().collect());
        let mut mixed: Vec<&Export> = shuffle.iter().map(|index| index.get(&exports)).collect();
        mixed.extend(exports.iter().rev());
        prop_assert_eq!(straight, last(mixed));
    }
}

//! What any store must do. Each test runs on every kind of store there is.

use std::path::Path;

use amend_domain::{
    AccountId, Decision, Facts, Verdict,
    problem::{Closed, Place, SourceOfTruth, State},
    settings::Setting,
};
use amend_events::{Context, Form, Item, Limits};
use amend_store::{Change, Effect, Filter, Parked, Sqlite, Store, StoreError};
use amend_tests::harness::{Export, long, moment};
use proptest::{collection::vec, prelude::*, sample::select};

async fn open(folder: &Path) -> Sqlite {
    Sqlite::open(&folder.join("store.db")).await.expect("a store")
}

fn change(export: &Export) -> Change {
    let context = Context::new(amend_domain::TenantId::new("t"));
    let items = amend_events::read(Form::Plain, export.text().as_bytes(), &context, &Limits::default()).expect("read");
    let Some(Item::Assessment(assessment)) = items.into_iter().next() else { panic!("not an assessment") };
    let facts = Facts::none(moment("2026-11-20T12:00:00Z"));
    let decision = Decision::new(Verdict::Ungoverned, &assessment, &facts, "sha256:x");
    Change { setting: Setting::new("s"), assessment: *assessment, decision, facts, truth: SourceOfTruth::default() }
}

fn at(time: &str, code: &str) -> Export {
    Export { changed: Some(time.into()), code: code.into(), ..Default::default() }
}

#[tokio::test]
async fn older_never_overwrites_newer_and_the_same_twice_has_one_effect() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).await;
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

#[tokio::test]
async fn what_is_written_is_there_after_a_restart_and_the_order_is_by_urgency() {
    let folder = tempfile::tempdir().expect("a folder");
    let now = moment("2026-11-20T12:00:00Z");
    {
        let store = open(folder.path()).await;
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
    let store = open(folder.path()).await;
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

#[tokio::test]
async fn a_batch_is_recorded_whole_or_not_at_all_and_readers_do_not_wait() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).await;
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

#[tokio::test]
async fn unreadable_records_are_kept_once_and_found_by_the_start_of_their_id() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).await;
    let one = |id: &str, raw: &str| Parked {
        id: id.into(),
        at: moment("2026-11-20T12:00:00Z"),
        form: "plain".into(),
        path: "x".into(),
        problem: "p".into(),
        hint: None,
        raw: raw.into(),
        snapshot: false,
        attributes: Vec::new(),
        resolved: None,
    };
    store
        .record(&[], &[one("01a", "{}"), one("01b", "[]"), one("01c", "{}")], moment("2026-11-20T12:00:00Z"))
        .await
        .expect("kept");
    assert_eq!(store.parked(false, 10).await.expect("listed").len(), 2, "the same record is kept once");
    assert_eq!(store.parked_one("01b").await.expect("found").expect("there").raw, "[]");
    store.resolve_parked("01b", moment("2026-11-20T13:00:00Z")).await.expect("resolved");
    assert_eq!(store.parked(false, 10).await.expect("listed").len(), 1);
    assert_eq!(store.parked(true, 10).await.expect("listed").len(), 2);
    assert_eq!(store.parked_one("zz").await.expect("answered"), None);
}

#[tokio::test]
async fn a_store_of_a_later_version_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).await;
    store.close().await;
    let path = folder.path().join("store.db");
    let bytes = std::fs::read(&path).expect("the file");
    // Bytes 60 to 63 of a SQLite file hold `user_version`.
    let mut later = bytes;
    later[60..64].copy_from_slice(&99_u32.to_be_bytes());
    std::fs::write(&path, later).expect("written");
    assert!(matches!(Sqlite::open(&path).await, Err(StoreError::Newer { found: 99, .. })));
    let text = folder.path().join("text.db");
    std::fs::write(&text, "this is no database, but long enough to be looked at as one, or so one would think")
        .expect("written");
    assert!(matches!(Sqlite::open(&text).await, Err(StoreError::Open { .. })));
}

#[tokio::test]
async fn only_the_backlog_is_released_and_its_dates_are_set_then() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).await;
    let mut snapshot = change(&Export { snapshot: true, ..Export::default() });
    snapshot.decision.outcome = amend_domain::Outcome::Governed;
    snapshot.decision.due = amend_domain::Timeframe::days(14);
    let recorded = store.record(&[snapshot], &[], moment("2026-11-20T12:00:00Z")).await.expect("recorded");
    assert!(recorded[0].missed);
    let problem = recorded[0].problem.clone().expect("a problem");
    assert_eq!((problem.place, problem.due), (Place::Backlog, None));
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
            let folder = tempfile::tempdir().expect("a folder");
            let store = open(folder.path()).await;
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

//! What was there before a fix, sealed with keys.

use amend_domain::{plan::State, rule::Mode};
use amend_pipeline::fixer::Where;
use amend_store::{Database, Keys, Store as _};
use amend_tests::places::{self, Fresh, Kind, keys};

use crate::work::{bench, is_secure, storage};

#[tokio::test]
async fn what_was_there_before_is_sealed_with_the_first_key_and_opened_with_any() {
    let (first, second) = (places::KEY.to_owned(), Keys::generate().expect("a key"));
    let (subject, other) = (storage(), storage());
    let bench = bench("enforce", Mode::Enforce).await;
    // Whatever database it is: a file may be sealed, too.
    let with = |texts: &[&str]| bench.another_on(bench.store().clone().with_keys(keys(texts)));
    for subject in [&subject, &other] {
        bench.report(subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    }
    let sealing = with(&[&first]);
    while sealing.work(None).await.expect("the store answers").is_some() {}
    let all = sealing.store().remediations(None, None, 10).await.expect("opened");
    assert!(all.len() == 2 && all.iter().all(|r| r.state == State::Set));
    let bodies = bench.inner.fresh.texts("SELECT body FROM remediations ORDER BY id").await;
    for body in &bodies {
        assert!(body.starts_with("sealed-1:") && !body.contains("supportsHttpsTrafficOnly"), "{body}");
    }
    assert_ne!(bodies[0][..40], bodies[1][..40], "never the same twice");

    let id = &all.iter().find(|r| r.plan.at.resource.as_str() == subject.resource.to_lowercase()).expect("it").id;
    for wrong in [&[][..], &[second.as_str()][..]] {
        let refused = with(wrong).remediation(id).await.expect_err("another key").to_string();
        assert!(refused.contains("is sealed with key") && refused.contains("not in `store.keys`"), "{refused}");
    }
    // A new key: what the old one sealed is opened, and sealed anew.
    let turning = bench.store().clone().with_keys(keys(&[&second, &first]));
    assert_eq!((turning.reseal().await.expect("sealed"), turning.reseal().await.expect("sealed")), (2, 0));
    let mut r = with(&[&second]).remediation(id).await.expect("opened");
    with(&[&second]).undo(&mut r, "ada", None).await.expect("undone");
    assert!(!is_secure(&subject) && is_secure(&other));

    // A record that was moved under another's name is none.
    bench
        .inner
        .fresh
        .tamper("UPDATE remediations SET body = (SELECT body FROM remediations ORDER BY id LIMIT 1)")
        .await;
    let refused = with(&[&second]).store().remediations(None, None, 10).await.expect_err("moved");
    assert!(refused.to_string().contains("was changed or moved"), "{refused}");
    for wrong in ["", "c2hvcnQ=", "not base64 at all!"] {
        let why = Keys::read(&[first.clone(), wrong.into()]).expect_err("no key");
        assert!(why.starts_with("key 2 "), "{why}");
    }
}

#[tokio::test]
async fn a_record_that_cannot_be_opened_keeps_no_event_from_being_recorded() {
    let subject = storage();
    let bench = bench("enforce", Mode::Enforce).await;
    let worker = bench.another_on(bench.store().clone().with_keys(keys(&[&Keys::generate().expect("a key")])));
    bench.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    while worker.work(None).await.expect("the store answers").is_some() {}
    let state = async || worker.store().remediations(None, None, 10).await.expect("opened").remove(0).state;
    assert_eq!(state().await, State::Set);
    // Whoever receives events here has other keys, or none.
    bench.report(&subject, "Healthy", "2026-11-20T07:00:00Z").await;
    assert_eq!(state().await, State::Set);
    while worker.work(None).await.expect("the store answers").is_some() {}
    assert_eq!(state().await, State::Healthy, "whoever can open it confirms it");
}

#[tokio::test]
async fn on_a_server_only_what_is_sealed_is_a_record() {
    let fresh = Fresh::new(Kind::Postgres).await;
    let store = fresh.open().await;
    fresh
        .tamper("INSERT INTO remediations (id, resource, fix, state, revision, begun, body) VALUES ('r-1', 'x', 'f', 'applying', 1, 0, '{}')")
        .await;
    let refused = store.remediations(None, None, 10).await.expect_err("not sealed");
    assert!(refused.to_string().contains("is not sealed: amend did not write it"), "{refused}");
    let refused = store.reseal().await.expect_err("not sealed").to_string();
    assert!(refused.contains("is not sealed"), "a forgery is not sealed either: {refused}");
}

#[tokio::test]
async fn without_a_key_nothing_is_done_that_a_server_would_have_to_remember() {
    let subject = storage();
    let fresh = Fresh::new(Kind::Postgres).await;
    let bench = bench("enforce", Mode::Enforce).await;
    let fixer = bench.another_on(Database::open(&fresh.place).await.expect("a store"));
    let file = fixer.fix("azure.storage.secure-transfer").expect("a fix");
    let place = Where { resource: subject.resource.clone(), account: None, region: None };
    let plan =
        fixer.plan(file, fixer.at(file, &place).expect("a place"), &serde_json::Map::new()).await.expect("a plan");
    let refused = fixer.begin(plan, "ann").await.expect_err("no key");
    assert!(refused.hint().expect("a hint").contains("amend store key"), "{refused}");
    assert_eq!(bench.writes(&subject), 0);
}

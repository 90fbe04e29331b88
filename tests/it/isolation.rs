//! One event that the program fails on takes no other with it, and is kept.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use amend_cloud::FactSource;
use amend_domain::thing::{Read, Thing};
use amend_events::Form;
use amend_pipeline::unreadable::Retried;
use amend_store::{Filter, Store as _};
use amend_tests::harness::{Bench, Export, bench};
use async_trait::async_trait;
use jiff::Timestamp;

/// A defect: it panics over things of one name, until it is mended.
struct Defect {
    mended: AtomicBool,
}

#[async_trait]
impl FactSource for Defect {
    async fn read(&self, things: &[Thing], _: Timestamp) -> Vec<Read> {
        let hit = things.iter().any(|thing| thing.id.contains("stbad"));
        assert!(self.mended.load(Ordering::SeqCst) || !hit, "an index out of bounds");
        things.iter().map(|_| Read::failed("a test")).collect()
    }
}

async fn with_a_defect() -> (Bench, Arc<Defect>) {
    let rules = "version: 1\nrules:\n  - { id: tagged, priority: 1, when: [{ tag: { key: env, in: [prod] } }], owner: a@example.org }\n  - { id: rest, priority: 2, owner: b@example.org }\n";
    let defect = Arc::new(Defect { mended: AtomicBool::new(false) });
    let source: Arc<dyn FactSource> = Arc::<Defect>::clone(&defect);
    (bench(rules, "version: 1").await.looking_up(source), defect)
}

fn named(name: &str) -> serde_json::Value {
    let resource = Export::default().resource.replace("st1", name);
    Export { resource, ..Export::default() }.json()
}

#[tokio::test]
async fn one_panic_parks_one_event() {
    let (bench, defect) = with_a_defect().await;
    let all: Vec<String> = ["st1", "stbad", "st2", "st3"].iter().map(|name| named(name).to_string()).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let counts = bench.pipeline.accept_records(Form::EventHubs, &all).await.expect("taken");
    assert_eq!((counts.new, counts.unreadable), (3, 1));
    assert_eq!(bench.store.problems(&Filter::default()).await.expect("problems").len(), 3);

    let kept = bench.store.parked(false, 10).await.expect("records");
    let [kept] = kept.as_slice() else { panic!("{kept:#?}") };
    assert!(kept.path.contains("stbad"), "{kept:?}");
    assert!(kept.problem.contains("an index out of bounds"), "{kept:?}");
    assert!(kept.hint.as_ref().is_some_and(|hint| hint.contains("report it")), "{kept:?}");

    // Tried too early, it stays the one record that it is.
    let still = bench.pipeline.retry_unreadable(kept).await.expect("tried");
    assert!(matches!(&still, Retried::Still { problem, .. } if problem.contains("out of bounds")), "{still:?}");
    assert_eq!(bench.store.parked(false, 10).await.expect("records").len(), 1);
    // Mended, it is recorded; the others have been, and no more comes of them.
    defect.mended.store(true, Ordering::SeqCst);
    let read = bench.pipeline.retry_unreadable(kept).await.expect("tried");
    assert!(matches!(&read, Retried::Read(accepted) if accepted.counts().new == 1), "{read:?}");
    assert_eq!(bench.store.problems(&Filter::default()).await.expect("problems").len(), 4);
    assert!(bench.store.parked(false, 10).await.expect("records").is_empty());
}

#[tokio::test]
async fn what_is_over_a_limit_is_kept_and_its_neighbours_are_recorded() {
    let (bench, _) = with_a_defect().await;
    let deep = format!("{}1{}", "[".repeat(70), "]".repeat(70));
    let large = format!("{{\"text\": \"{}\"}}", "x".repeat(17 << 20));
    let (one, two) = (named("st1").to_string(), named("st2").to_string());
    let all = [one.as_str(), &deep, "no JSON", &large, &two];
    let counts = bench.pipeline.accept_records(Form::Plain, &all).await.expect("taken");
    assert_eq!((counts.new, counts.unreadable), (2, 3));
    let kept = bench.store.parked(false, 10).await.expect("records");
    assert!(kept.iter().any(|one| one.raw == large), "it is kept whole");
    assert!(kept.iter().any(|one| one.raw == deep));
}

/// Of records that come together, those that were recorded before an outage are known.
#[tokio::test]
async fn an_outage_says_from_where_on_nothing_was_recorded() {
    let (bench, _) = with_a_defect().await;
    // Alone, as it nests too deep, it cannot even be kept.
    bench.fresh.tamper("ALTER TABLE unreadable RENAME TO away").await;
    let deep = format!("{}1{}", "[".repeat(70), "]".repeat(70));
    let (one, two, three) = (named("st1").to_string(), named("st2").to_string(), named("st3").to_string());
    let all = [one.as_str(), &two, &deep, &three];
    let failed = bench.pipeline.accept_records(Form::Plain, &all).await.expect_err("nothing can be kept");
    assert_eq!(failed.from, 2);
    assert_eq!(bench.store.problems(&Filter::default()).await.expect("problems").len(), 2);
}

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

/// How the platform batches says nothing of how a record is read.
#[tokio::test]
async fn a_record_is_read_as_it_would_be_alone() {
    let (bench, _) = with_a_defect().await;
    let list = |names: &[&str]| {
        let all: Vec<_> = names.iter().map(|name| named(name)).collect();
        serde_json::json!(all).to_string()
    };
    let records = serde_json::json!({ "records": [named("st5"), named("st6")] }).to_string();
    let text = serde_json::json!(list(&["st7", "st8"])).to_string();
    let (first, second, last) = (list(&["st1", "st2"]), list(&["st3", "st4"]), named("st9").to_string());
    for form in [Form::Plain, Form::EventHubs] {
        let all = [first.as_str(), &second, &records, &text, &last];
        let counts = bench.pipeline.accept_records(form, &all).await.expect("taken");
        assert_eq!((counts.unreadable, counts.new + counts.duplicate), (0, 9), "{form:?}: {counts:?}");
    }
}

/// Many that are small enough are no batch that is too large.
#[tokio::test]
async fn together_they_may_be_over_a_limit_that_none_of_them_is_over() {
    let (bench, _) = with_a_defect().await;
    let many: Vec<_> = (0..6_000).map(|_| serde_json::json!({ "type": "Microsoft.Security/alerts" })).collect();
    let mut one = many.clone();
    one.push(named("st1"));
    let (one, two) =
        (serde_json::json!({ "records": one }).to_string(), serde_json::json!({ "records": many }).to_string());
    let three = named("st2").to_string();
    let counts = bench.pipeline.accept_records(Form::EventHubs, &[&one, &two, &three]).await.expect("taken");
    assert_eq!(counts.new, 2, "{counts:?}");
    let kept = bench.store.parked(false, 20_000).await.expect("records");
    assert!(!kept.iter().any(|one| one.path.contains("whole")), "nothing is kept whole");
}

#[tokio::test]
async fn a_name_that_no_cloud_gives_blocks_nobody() {
    let (bench, _) = with_a_defect().await;
    let text: String = (0..400).map(|n: u32| format!("{:08x}", n.wrapping_mul(2_654_435_761))).collect();
    let (long, good) = (named(&text).to_string(), named("st1").to_string());
    let counts = bench.pipeline.accept_records(Form::EventHubs, &[&long, &good]).await.expect("taken");
    assert_eq!((counts.new, counts.unreadable), (1, 1));
    // Whatever else a database does not take: it is kept, and its neighbours are recorded.
    if amend_tests::places::Kind::usual() != amend_tests::places::Kind::Sqlite {
        bench
            .fresh
            .tamper("CREATE FUNCTION refuse() RETURNS trigger AS $$ BEGIN IF NEW.id LIKE '%stodd%' THEN RAISE 'too large' USING ERRCODE = '54000'; END IF; RETURN NEW; END $$ LANGUAGE plpgsql")
            .await;
        bench
            .fresh
            .tamper("CREATE TRIGGER refuse BEFORE INSERT ON assessments FOR EACH ROW EXECUTE FUNCTION refuse()")
            .await;
        let (odd, next) = (named("stodd").to_string(), named("st2").to_string());
        let counts = bench.pipeline.accept_records(Form::EventHubs, &[&odd, &next]).await.expect("taken");
        assert_eq!((counts.new, counts.unreadable), (1, 1));
        let kept = bench.store.parked(false, 10).await.expect("records");
        assert!(kept.iter().any(|one| one.problem.contains("does not take it") && one.raw == odd), "{kept:#?}");
    }
}

//! Plans, remediations and the store, put together.

use std::sync::Arc;

use amend_domain::{
    Cloud,
    plan::{MadeOutcome, Plan, Remediation, State},
};
use amend_pipeline::{
    PipelineError,
    fixer::{Fixer, Where},
    remedy::{Journal, Memory, Next},
};
use amend_store::{Database, Store, StoreError};
use amend_tests::{
    harness::{CountedIds, StillClock, catalogue},
    places::{Fresh, Kind},
    subject::{Subject, clouds, served},
};
use async_trait::async_trait;
use serde_json::{Map, json};

struct Bench {
    fixer: Fixer,
    store: Database,
    clock: Arc<StillClock>,
    _fresh: Fresh,
}

async fn bench() -> Bench {
    let fresh = Fresh::new(Kind::usual()).await;
    let store = fresh.open().await;
    let clock = StillClock::at("2026-11-20T12:00:00Z");
    let fixer = Fixer::new(
        catalogue(),
        clouds(Cloud::Aws, served(Cloud::Aws)),
        Arc::new(store.clone()),
        clock.clone(),
        Arc::new(CountedIds::default()),
    );
    Bench { fixer, store, clock, _fresh: fresh }
}

impl Bench {
    async fn plan(&self, subject: &Subject) -> Plan {
        let place = Where {
            resource: subject.resource.clone(),
            account: Some("123456789012".into()),
            region: Some(subject.region.clone()),
        };
        let file = self.fixer.fix(&subject.fix.id).expect("a fix");
        let at = self.fixer.at(file, &place).expect("a place");
        self.fixer.plan(file, at, &Map::new()).await.expect("a plan")
    }
}

#[tokio::test]
async fn a_plan_is_done_kept_and_undone_by_its_id() {
    let bench = bench().await;
    let subject = Subject::make("aws.s3.block-public-access", "bad");
    let before = subject.state();
    let mut r = bench.fixer.begin(bench.plan(&subject).await, "ann").await.expect("begun");
    assert_eq!(bench.fixer.advance(&mut r, None).await.expect("done"), Next::Done);
    let kept = bench.fixer.remediation(&r.id).await.expect("kept");
    assert_eq!((kept.state, &*kept.by, kept.plan.before()), (State::Set, "ann", r.plan.before()));
    let mut kept = kept;
    assert_eq!(bench.fixer.undo(&mut kept, "ada", None).await.expect("undone"), Next::Done);
    assert_eq!(bench.fixer.remediation(&r.id).await.expect("kept").state, State::Undone);
    assert_eq!(subject.state(), before);
    assert_eq!(bench.store.remediations(Some(&subject.resource), Some("undone"), 10).await.expect("a list").len(), 1);
    let again = bench.fixer.undo(&mut kept, "ada", None).await.expect_err("it is undone");
    assert!(again.to_string().contains("nothing of it is there to be undone"), "{again}");
}

#[tokio::test]
async fn a_plan_that_is_not_as_it_was_made_is_refused() {
    let bench = bench().await;
    let subject = Subject::make("aws.s3.block-public-access", "bad");
    let plan = bench.plan(&subject).await;
    let refused = async |plan: Plan| match bench.fixer.begin(plan, "ann").await {
        Err(PipelineError::PlanRefused { why, .. }) => why,
        other => panic!("{other:?}"),
    };
    let mut edited = plan.clone();
    edited.calls[0].with["PublicAccessBlockConfiguration"] = json!({ "BlockPublicAcls": false });
    assert!(refused(edited).await.contains("its digest does not fit"));
    let mut trapped = plan.clone();
    trapped.undo.clear();
    assert!(refused(trapped).await.contains("its digest does not fit"), "what undoes it is part of it");
    let mut renamed = plan.clone();
    renamed.title = "Harmless".into();
    renamed.digest = renamed.digest_of().expect("a digest").into();
    assert!(!refused(renamed).await.is_empty(), "what a person approves is what the fix says");
    let mut older = plan.clone();
    older.fix_digest = "sha256:other".into();
    older.digest = older.digest_of().expect("a digest").into();
    assert!(refused(older).await.contains("the fix has changed"));
    let mut newer = plan.clone();
    newer.version = 2;
    assert!(refused(newer).await.contains("another version"));
    assert!(bench.store.remediations(None, None, 10).await.expect("a list").is_empty(), "nothing was begun");
}

#[tokio::test]
async fn one_remediation_of_a_resource_goes_on_at_a_time() {
    let bench = bench().await;
    let subject = Subject::make("aws.s3.block-public-access", "bad");
    let plan = bench.plan(&subject).await;
    let mut first = bench.fixer.begin(plan.clone(), "ann").await.expect("begun");
    let Err(PipelineError::Busy { id, .. }) = bench.fixer.begin(plan, "bob").await else { panic!("both would write") };
    assert_eq!(*id, *first.id);
    // Somebody who saw an older record is too late, and has written nothing.
    let mut stale = first.clone();
    bench.fixer.advance(&mut first, None).await.expect("done");
    let late = bench.fixer.advance(&mut stale, None).await.expect_err("overtaken");
    assert!(matches!(
        late,
        PipelineError::Remedy(amend_pipeline::remedy::RemedyError::Store(StoreError::Overtaken { .. }))
    ));
    assert_eq!(bench.fixer.remediation(&first.id).await.expect("kept").state, State::Set);
}

#[tokio::test]
async fn near_the_deadline_no_write_begins() {
    let bench = bench().await;
    let subject = Subject::make("aws.s3.block-public-access", "bad");
    let before = subject.state();
    let mut r = bench.fixer.begin(bench.plan(&subject).await, "ann").await.expect("begun");
    let now = amend_domain::ports::Clock::now(&*bench.clock);
    let soon = now.checked_add(jiff::SignedDuration::from_secs(9)).expect("a time");
    assert!(matches!(bench.fixer.advance(&mut r, Some(soon)).await.expect("it waits"), Next::Again { .. }));
    assert_eq!(subject.state(), before);
    assert_eq!(bench.fixer.remediation(&r.id).await.expect("kept").state, State::Applying);
    bench.fixer.advance(&mut r, None).await.expect("it goes on");
    assert_eq!(r.state, State::Set);
}

/// Keeps records, and sleeps for an hour after it kept that a call is about to be sent.
struct Sleeper {
    kept: Memory,
    clock: Arc<StillClock>,
}

#[async_trait]
impl Journal for Sleeper {
    async fn keep(&self, r: &Remediation) -> Result<(), StoreError> {
        self.kept.keep(r).await?;
        if r.made.len() == 1 && r.made[0].outcome == MadeOutcome::Sent {
            self.clock.set("2026-11-20T13:00:00Z");
        }
        Ok(())
    }
}

#[tokio::test]
async fn whoever_slept_since_the_record_was_kept_sends_nothing() {
    let subject = Subject::make("azure.storage.secure-transfer", "bad");
    let before = subject.state();
    let remedy = subject.real();
    let plan = remedy.plan().await.expect("a plan");
    let journal = Sleeper { kept: Memory::default(), clock: subject.clock.clone() };
    subject.clock.set("2026-11-20T12:00:00Z");
    let mut r = remedy.begin("r-test", plan, "a test", &journal).await.expect("begun");
    let Next::Again { .. } = remedy.advance(&mut r, &journal, None).await.expect("it waits") else { panic!("done") };
    assert!(r.why.as_deref().is_some_and(|why| why.contains("was not sent")), "{:?}", r.why);
    assert_eq!(subject.state(), before, "its lease is over: another may be at it");
    // Reading tells that it is still needed, and it is sent after all.
    subject.go_on(&remedy, &mut r, &journal).await.expect("it ends");
    assert_eq!(r.state, State::Set);
}

/// The assessment of a trail is about the bucket that it writes to.
#[tokio::test]
async fn the_way_leads_from_a_trail_to_its_bucket() {
    let bench = bench().await;
    let subject = Subject::make("aws.s3.block-public-access", "bad");
    let bucket = subject.resource.trim_start_matches("arn:aws:s3:::");
    let with = json!({ "Name": "all-of-it", "S3BucketName": bucket });
    let made = subject.served.ask(&json!({ "do": "call", "service": "cloudtrail", "method": "create_trail", "with": with, "region": subject.region }));
    let trail = made["TrailARN"].as_str().expect("a trail").to_owned();
    let file = bench.fixer.fix("a41f2846-4a59-44e9-89bb-1f62d4b03a85").expect("a fix for what Defender says of trails");
    let place = Where { resource: trail.clone(), account: None, region: None };
    let at = bench.fixer.at(file, &place).expect("a place");
    let plan = bench.fixer.plan(file, at, &Map::new()).await.expect("a plan");
    assert_eq!(plan.at.resource.as_str(), subject.resource);
    let with = json!({ "Bucket": bucket });
    let location =
        subject.served.ask(&json!({ "do": "call", "service": "s3", "method": "get_bucket_location", "with": with }));
    let region = location["LocationConstraint"].as_str().unwrap_or("us-east-1");
    assert_eq!(plan.at.region.as_deref(), Some(region), "the bucket's, not the trail's");
    assert_eq!(plan.at.via.as_ref().map(|via| via.as_str()), Some(trail.as_str()));
    let before = subject.state();
    let mut r = bench.fixer.begin(plan, "ann").await.expect("begun");
    assert_eq!(bench.fixer.advance(&mut r, None).await.expect("done"), Next::Done);
    assert_eq!(r.state, State::Set);
    assert_ne!(subject.state(), before);
    assert_eq!(bench.fixer.undo(&mut r, "ada", None).await.expect("undone"), Next::Done);
    assert_eq!(subject.state(), before);

    // Where the way leads nowhere, nothing is planned.
    let gone = Where { resource: trail.replace("all-of-it", "no-such-trail"), account: None, region: None };
    let at = bench.fixer.at(file, &gone).expect("a place");
    let error = bench.fixer.plan(file, at, &Map::new()).await.expect_err("no trail");
    assert!(error.to_string().contains("cannot read"), "{error}");
}

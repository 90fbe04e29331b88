//! What is particular to AWS: signatures, accounts, and what somebody else changed meanwhile.

use std::sync::Arc;

use amend_domain::{
    AccountId, Cloud, ResourceId,
    plan::{At, Remediation, State},
};
use amend_pipeline::remedy::{Memory, Remedy};
use amend_tests::subject::{Recorder, Subject, cases, clouds, served};
use serde_json::{Map, json};

#[tokio::test]
async fn what_somebody_else_changed_is_never_overwritten() {
    let subject = Subject::make("aws.s3.block-public-access", "bad");
    let bucket = subject.resource.rsplit(':').next().expect("a name").to_owned();
    let somebody = |flags: [bool; 4]| {
        let [a, b, c, d] = flags;
        let block =
            json!({ "BlockPublicAcls": a, "IgnorePublicAcls": b, "BlockPublicPolicy": c, "RestrictPublicBuckets": d });
        let with = json!({ "Bucket": bucket, "PublicAccessBlockConfiguration": block });
        subject.served.ask(&json!({ "do": "call", "service": "s3", "method": "put_public_access_block", "with": with, "region": subject.region }));
    };
    // Between the plan and the fix.
    let recorder = Recorder::of(&subject, None);
    let remedy = subject.remedy(recorder.clone());
    let plan = remedy.plan().await.expect("a plan");
    somebody([false, false, false, true]);
    let journal = Memory::default();
    let mut r = remedy.begin("r-one", plan, "a test", &journal).await.expect("begun");
    subject.go_on(&remedy, &mut r, &journal).await.expect("it ends");
    assert_eq!((r.state, recorder.writes().len()), (State::Superseded, 0));
    // Between the fix and its undo.
    let plan = remedy.plan().await.expect("a plan");
    let mut r = remedy.begin("r-two", plan, "a test", &journal).await.expect("begun");
    subject.go_on(&remedy, &mut r, &journal).await.expect("it ends");
    assert_eq!(r.state, State::Set);
    somebody([true, true, false, false]);
    let theirs = subject.state();
    remedy.undo(&mut r, &journal, None).await.expect("it ends");
    assert_eq!((r.state, recorder.writes().len()), (State::Parked, 1), "{:?}", r.why);
    assert!(r.found.contains_key("PublicAccessBlockConfiguration"), "the plan's three ways are kept");
    assert_eq!(subject.state(), theirs);
    // And where they brought back what was there, undoing finds nothing to do.
    somebody([false, false, false, true]);
    let mut r = Remediation { state: State::Set, ..r };
    remedy.undo(&mut r, &journal, None).await.expect("it ends");
    assert_eq!((r.state, recorder.writes().len()), (State::Undone, 1));
}

#[tokio::test]
async fn every_signature_is_the_one_that_botocore_computes() {
    for (fix, case) in cases(Cloud::Aws, |_, case| case.starts_with("bad")) {
        Subject::make(&fix, &case).real().plan().await.expect("a plan");
    }
    assert_eq!(served(Cloud::Aws).ask(&json!({ "do": "wrong" }))["wrong"], json!([]));
    let seen = served(Cloud::Aws).ask(&json!({ "do": "requests" }));
    assert!(seen["requests"].as_array().is_some_and(|list| list.len() > 3), "the requests were looked at");
}

#[tokio::test]
async fn a_call_about_another_account_is_not_made() {
    let subject = Subject::make("aws.s3.block-public-access", "bad");
    let at = At {
        resource: ResourceId::new(&subject.resource),
        cloud: Cloud::Aws,
        account: AccountId::aws("999988887777"),
        region: Some(subject.region.as_str().into()),
        via: None,
    };
    let remedy = Remedy::new(
        Arc::clone(&subject.fix),
        at,
        &Map::new(),
        clouds(Cloud::Aws, subject.served),
        subject.clock.clone(),
    );
    let error = remedy.expect("a remedy").plan().await.expect_err("the credentials are of another account");
    let cause = std::error::Error::source(&error).expect("a cause").to_string();
    assert!(cause.contains("of account 123456789012, the call is about account 999988887777"), "{cause}");
}

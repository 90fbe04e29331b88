//! Every fix, end to end, in clouds that check what they are asked: moto for AWS, and for Azure and
//! Google Cloud fakes that hold every request against the vendors' own packages. The bad resource is
//! made, planned, fixed, read back with the vendor's Python SDK, planned again, undone, and then the
//! whole resource is as it was.

use std::sync::Arc;

use amend_domain::{
    Cloud,
    plan::{MadeOutcome, State, Verdict, diff},
};
use amend_pipeline::remedy::Memory;
use amend_tests::{
    executors::Way,
    harness::{catalogue, long},
    subject::{Fault, Killed, Recorder, Subject, cases, served},
};
use serde_json::{Value, json};

/// What must become of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// It is fixed and undone.
    Fixed,
    /// Nothing is written: it is as it should be, or a person must look.
    Left,
    /// The cloud takes the call and fails later, once.
    FailsOnce,
}

fn expected(fix: &str, case: &str) -> Expected {
    match (fix, case) {
        // Rules that hold other ports, too, are split by a person.
        ("aws.ec2.no-public-ssh" | "aws.ec2.no-public-rdp", "bad" | "all-traffic") => Expected::Left,
        ("aws.ec2.no-public-ssh" | "aws.ec2.no-public-rdp", "tagged") => Expected::Fixed,
        ("gcp.firewall.no-public-ssh" | "gcp.firewall.no-public-rdp", "only" | "ipv6") => Expected::Fixed,
        ("gcp.compute.no-project-ssh-keys", "ssh-keys" | "empty") => Expected::Fixed,
        ("gcp.kms.rotation", "none" | "365-days") => Expected::Fixed,
        ("gcp.sql.authorized-networks", "only") => Expected::Fixed,
        ("azure.key-vault.diagnostic-logs", "none" | "metrics-only" | "logs-off") => Expected::Fixed,
        ("azure.nsg.management-ports", "two-nsgs") => Expected::Fixed,
        ("azure.sql.auditing", "exported" | "storage") => Expected::Fixed,
        ("azure.vm.periodic-assessment", "windows" | "linux" | "linux-absent") => Expected::Fixed,
        (_, "operation-fails") => Expected::FailsOnce,
        (_, case) if case.starts_with("bad") => Expected::Fixed,
        _ => Expected::Left,
    }
}

/// What undoing does not bring back, for a reason that is known.
fn is_lost(fix: &str, case: &str) -> bool {
    match (fix, case) {
        // Moto drops a queue's policy at every change; AWS does not.
        ("aws.sqs.encryption", "bad") => true,
        // The fix says so: rules come back without their tags.
        ("aws.ec2.no-public-ssh" | "aws.ec2.no-public-rdp", "tagged") => true,
        // The fix says so: Azure fills in the actions of a policy that is on.
        ("azure.sql.auditing", _) => true,
        // What was never said cannot be unsaid in Azure: what it means comes back.
        ("azure.storage.public-blob-access", "bad-none") | ("azure.vm.periodic-assessment", "linux-absent") => true,
        _ => false,
    }
}

fn nothing_wrong(cloud: Cloud) {
    let answer = served(cloud).ask(&json!({ "do": "wrong" }));
    assert_eq!(answer.get("wrong").unwrap_or(&answer), &json!([]));
}

/// The resource is as it was, but for what is known to be lost.
pub(crate) fn as_it_was(subject: &Subject, before: &Value, fix: &str, case: &str, story: &str) {
    if !is_lost(fix, case) {
        let lines = diff("", before, &subject.state());
        assert!(lines.is_empty(), "{story}: the whole resource is as it was: {lines:#?}");
    }
}

pub(crate) async fn fixed_and_undone(cloud: Cloud, way: Way) {
    let few = |case: &str| matches!(case, "bad" | "bad-two" | "none" | "only" | "bad-nic" | "windows" | "tagged");
    let these = |case: &str| way == Way::Direct || long() || few(case);
    let all = cases(cloud, |fix, case| expected(fix, case) == Expected::Fixed && these(case));
    for (fix, case) in &all {
        let subject = Subject::make(fix, case);
        let recorder = Recorder::of(&subject, None);
        let (reached, _far) = way.to(recorder.clone(), &subject).await;
        let remedy = subject.remedy(reached);
        let before = subject.state();
        let plan = remedy.plan().await.unwrap_or_else(|error| panic!("{fix} {case}: {error:?}"));
        assert_eq!(subject.state(), before, "{fix} {case}: planning changes nothing");
        assert_eq!(plan.verdict, Verdict::Write, "{fix} {case}");
        let journal = Memory::default();
        let mut r = remedy.begin("r-test", plan, "a test", &journal).await.expect("begun");
        subject.go_on(&remedy, &mut r, &journal).await.unwrap_or_else(|error| panic!("{fix} {case}: {error:?}"));
        assert_eq!(r.state, State::Set, "{fix} {case}: {:?} {:?}", r.why, r.made);
        assert_eq!(recorder.writes().len(), r.plan.calls.len(), "{fix} {case}: each call is made once");
        let after = subject.state();
        assert_ne!(after, before, "{fix} {case}: the vendor's SDK sees the change");
        let again = remedy.plan().await.expect("a second plan");
        assert_eq!(again.verdict, Verdict::Compliant, "{fix} {case}: the second run sends nothing");
        assert_eq!(subject.state(), after);
        remedy.undo(&mut r, &journal, None).await.unwrap_or_else(|error| panic!("{fix} {case}: {error:?}"));
        subject.go_on(&remedy, &mut r, &journal).await.expect("undone");
        assert_eq!(r.state, State::Undone, "{fix} {case}: {:?}", r.why);
        as_it_was(&subject, &before, fix, case, &format!("{fix} {case}"));
    }
    let fixes: std::collections::BTreeSet<_> = all.iter().map(|(fix, _)| fix.as_str()).collect();
    let shipped: std::collections::BTreeSet<_> =
        catalogue().iter().filter(|file| file.fix.cloud() == cloud).map(|file| file.fix.id.to_string()).collect();
    assert!(shipped.iter().map(String::as_str).eq(fixes.iter().copied()), "every fix is shown: {fixes:?}");
    nothing_wrong(cloud);
}

async fn left_alone(cloud: Cloud) {
    for (fix, case) in cases(cloud, |fix, case| expected(fix, case) == Expected::Left) {
        let subject = Subject::make(&fix, &case);
        let before = subject.state();
        let recorder = Recorder::of(&subject, None);
        let remedy = subject.remedy(recorder.clone());
        let plan = remedy.plan().await.unwrap_or_else(|error| panic!("{fix} {case}: {error:?}"));
        assert_ne!(plan.verdict, Verdict::Write, "{fix} {case}");
        assert_eq!(plan.calls, Vec::new(), "{fix} {case}");
        assert!(remedy.begin("r-test", plan, "a test", &Memory::default()).await.is_err(), "{fix} {case}");
        assert!(recorder.writes().is_empty(), "{fix} {case}");
        assert_eq!(subject.state(), before, "{fix} {case}");
    }
    nothing_wrong(cloud);
}

/// The cloud accepts a call, and the operation fails later, once: reading shows it, and it is tried again.
async fn failing_later(cloud: Cloud) {
    for (fix, case) in cases(cloud, |fix, case| expected(fix, case) == Expected::FailsOnce) {
        let subject = Subject::make(&fix, &case);
        let remedy = subject.real();
        let plan = remedy.plan().await.expect("a plan");
        let journal = Memory::default();
        let mut r = remedy.begin("r-test", plan, "a test", &journal).await.expect("begun");
        subject.go_on(&remedy, &mut r, &journal).await.expect("it ends");
        assert_eq!(r.state, State::Set, "{fix} {case}: {:?} {:?}", r.why, r.made);
        let refused = r.made.iter().filter(|made| matches!(&made.outcome, MadeOutcome::Refused { .. })).count();
        assert_eq!((refused, r.made.len()), (1, r.plan.calls.len() + 1), "{fix} {case}: {:?}", r.made);
    }
    nothing_wrong(cloud);
}

/// What is wrong and can be fixed: all of it at full size, else of each fix what tells most, and behind an executor one
/// in five of those.
fn some(cloud: Cloud, way: Way, few: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let all = cases(cloud, |fix, case| expected(fix, case) == Expected::Fixed && (long() || few(case)));
    let step = if way == Way::Executor && !long() { 5 } else { 1 };
    all.into_iter().step_by(step).collect()
}

/// Each call in turn fails in each way: the resource ends as planned or as it was, and nothing is done
/// twice.
pub(crate) async fn failing(cloud: Cloud, way: Way) {
    let few = |case: &str| matches!(case, "bad" | "bad-two" | "none" | "only" | "bad-nic" | "windows");
    for (fix, case) in some(cloud, way, few) {
        let faults = [Fault::Refused, Fault::Unsent, Fault::AnswerLost, Fault::RequestLost];
        for (at, fault) in (0..3).flat_map(|at| faults.map(|fault| (at, fault))) {
            let subject = Subject::make(&fix, &case);
            let before = subject.state();
            let recorder = Recorder::of(&subject, Some((at, fault)));
            let (reached, _far) = way.to(recorder.clone(), &subject).await;
            let remedy = subject.remedy(reached);
            let plan = remedy.plan().await.expect("a plan");
            if plan.calls.len() <= at {
                break;
            }
            let journal = Memory::default();
            let mut r = remedy.begin("r-test", plan, "a test", &journal).await.expect("begun");
            subject.go_on(&remedy, &mut r, &journal).await.expect("it ends");
            let story = format!("{fix} {case}, call {at} {fault:?}: {:?} {:?}", r.why, r.made);
            match fault {
                Fault::Refused => {
                    assert_eq!(r.state, State::Failed, "{story}");
                    as_it_was(&subject, &before, &fix, &case, &story);
                }
                // What was done is not done again; what was not, is.
                Fault::AnswerLost => {
                    assert_eq!(r.state, State::Set, "{story}");
                    assert_eq!(recorder.writes().len(), r.plan.calls.len(), "{story}");
                }
                Fault::RequestLost | Fault::Unsent => {
                    assert_eq!(r.state, State::Set, "{story}");
                    assert_eq!(recorder.writes().len(), r.plan.calls.len() + 1, "{story}");
                }
            }
        }
    }
    nothing_wrong(cloud);
}

/// The process dies after each record that it keeps; the next one goes on from there.
pub(crate) async fn crashing(cloud: Cloud, way: Way) {
    let few = |case: &str| matches!(case, "bad" | "bad-two" | "none" | "only" | "windows");
    for (fix, case) in some(cloud, way, few) {
        for survives in 1..20 {
            let subject = Subject::make(&fix, &case);
            let before = subject.state();
            let recorder = Recorder::of(&subject, None);
            let (reached, _far) = way.to(recorder.clone(), &subject).await;
            let remedy = subject.remedy(Arc::clone(&reached));
            let plan = remedy.plan().await.expect("a plan");
            let journal = Killed::after(survives);
            let mut r = remedy.begin("r-test", plan, "a test", &journal).await.expect("the first record is kept");
            let killed = subject.go_on(&remedy, &mut r, &journal).await.is_err();
            // The next run knows what was kept, and nothing else.
            let mut r = journal.kept.kept().pop().expect("a record");
            let journal = Memory::default();
            let remedy = subject.remedy(reached);
            subject.go_on(&remedy, &mut r, &journal).await.expect("it goes on");
            let story = format!("{fix} {case}, killed at {survives}: {:?} {:?}", r.why, r.made);
            assert_eq!(r.state, State::Set, "{story}");
            assert_eq!(recorder.writes().len(), r.plan.calls.len(), "{story}: each call is made once");
            remedy.undo(&mut r, &journal, None).await.expect("undone");
            subject.go_on(&remedy, &mut r, &journal).await.expect("undone");
            assert_eq!(r.state, State::Undone, "{story}");
            as_it_was(&subject, &before, &fix, &case, &story);
            if !killed {
                break;
            }
        }
    }
    nothing_wrong(cloud);
}

macro_rules! for_each_cloud {
    ($($cloud:ident: $name:ident),+) => {$(
        mod $name {
            use super::*;

            #[tokio::test]
            async fn every_bad_resource_is_fixed_left_alone_then_and_undone_whole() {
                fixed_and_undone(Cloud::$cloud, Way::Direct).await;
            }

            #[tokio::test]
            async fn what_is_not_bad_is_left_alone() {
                left_alone(Cloud::$cloud).await;
            }

            #[tokio::test]
            async fn each_call_may_fail_and_the_resource_ends_as_planned_or_as_it_was() {
                failing(Cloud::$cloud, Way::Direct).await;
            }

            #[tokio::test]
            async fn an_operation_may_fail_later() {
                failing_later(Cloud::$cloud).await;
            }

            #[tokio::test]
            async fn a_crash_anywhere_leaves_a_record_to_go_on_from() {
                crashing(Cloud::$cloud, Way::Direct).await;
            }
        }
    )+};
}

for_each_cloud!(Aws: aws, Azure: azure, Gcp: gcp);

//! What people say of plans: of one, or of several together; what they saw, and nothing else.

use amend_domain::{RuleId, plan::State, rule::Mode};
use amend_pipeline::{
    approve::{Answered, Of},
    people::Person,
};
use amend_store::Store as _;
use amend_tests::{clouds::Served, subject::Subject};
use serde_json::json;

use crate::work::{bench, is_secure, storage};

#[tokio::test]
async fn a_person_approves_what_they_saw_and_nothing_else() {
    let (yes, no, late) = (storage(), storage(), storage());
    let bench = bench("approve", Mode::Enforce).await;
    for subject in [&yes, &no, &late] {
        bench.report(subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    }
    bench.work().await;
    let one = async |subject: &Subject| bench.remediations(subject).await.remove(0);
    let says =
        |why_not: Option<&str>| Answered { by: Person::named("ann"), why_not: why_not.map(Into::into), batch: None };
    let r = one(&yes).await;
    for wrong in ["", "sha256:", "sha256:0000000000000000", &r.plan.digest[7..12]] {
        let refused = bench.fixer.answer(&r.id, wrong, &says(None)).await.expect_err("another plan");
        let expected = if wrong.len() > 12 { "it is another by now than" } else { "name eight digits" };
        assert!(refused.to_string().contains(expected), "{refused}");
    }
    bench.work().await;
    assert!(!is_secure(&yes), "nothing happens until somebody says so");
    bench.fixer.answer(&r.id, &r.plan.digest[7..19], &says(None)).await.expect("approved");
    let denied = one(&no).await;
    bench.fixer.answer(&denied.id, &denied.plan.digest, &says(Some("we need it"))).await.expect("denied");
    bench.work().await;
    assert_eq!((bench.states(&yes).await, is_secure(&yes)), (vec![State::Set], true));
    assert_eq!((bench.states(&no).await, bench.writes(&no)), (vec![State::Superseded], 0));
    assert_eq!(one(&no).await.why.as_deref(), Some("denied by ann: we need it"));
    // What was denied is not asked about again.
    bench.report(&no, "Unhealthy", "2026-11-19T07:00:00Z").await;
    bench.work().await;
    assert_eq!(bench.states(&no).await, [State::Superseded]);
    let again = bench.fixer.answer(&r.id, &r.plan.digest, &says(None)).await.expect_err("it is done");
    assert!(again.to_string().contains("it is set"), "{again}");
    // Nobody says anything about the third.
    bench.inner.clock.set("2026-11-27T12:00:01Z");
    bench.work().await;
    assert_eq!((bench.states(&late).await, bench.writes(&late)), (vec![State::Superseded], 0));
    assert_eq!(one(&late).await.why.as_deref(), Some("nobody said within 168 h whether it may be done, so it was not"));
    let said: Vec<String> = bench.told(|_| true).await.into_iter().filter(|text| text.starts_with("ann")).collect();
    assert_eq!(said, ["ann remediation.approved", "ann remediation.denied"]);
    // It is not forgotten: somebody must say that they will answer, and is asked again.
    let parked: Vec<_> = bench.store().work(10).await.expect("listed");
    let nobody = |work: &amend_domain::work::Work| work.why.as_deref().is_some_and(|why| why.starts_with("nobody"));
    let parked: Vec<_> = parked.into_iter().filter(|work| work.parked.is_some() && nobody(work)).collect();
    assert_eq!(parked.len(), 1, "{parked:?}");
    assert_eq!(parked[0].why.as_deref(), Some("nobody said within 168 h whether it may be done, so it was not"));
    assert_eq!(bench.store().retry_work(Some(&parked[0].key), bench.fixer.now()).await.expect("retried"), 1);
    bench.work().await;
    assert_eq!(bench.states(&late).await, [State::AwaitingApproval, State::Superseded]);
    // What is healthy by the time that nobody answered is nobody's any more.
    bench.report(&late, "Healthy", "2026-11-28T07:00:00Z").await;
    bench.inner.clock.set("2026-12-10T12:00:00Z");
    bench.work().await;
    assert_eq!(bench.states(&late).await, [State::Superseded, State::Superseded]);
    assert_eq!(one(&late).await.why.as_deref(), Some("the problem is not there any more"));
    assert!(!bench.store().work(10).await.expect("listed").iter().any(nobody));
    // What was denied is looked at again when it was left alone for long enough.
    assert_eq!(bench.states(&no).await, [State::Superseded]);
    bench.inner.clock.set("2026-12-20T12:00:01Z");
    bench.work().await;
    assert_eq!(bench.states(&no).await, [State::AwaitingApproval, State::Superseded]);
}

/// A batch is answered as one, minus what is left out; each of it is still looked at by itself.
#[tokio::test]
async fn a_batch_is_answered_as_it_was_seen_but_for_what_is_left_out() {
    let all = [storage(), storage(), storage(), storage()];
    let bench = bench("approve", Mode::Enforce).await;
    for subject in &all[..3] {
        bench.report(subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    }
    bench.work().await;
    let of = Of::Rule(RuleId::parse("all").expect("an id"));
    let seen = bench.fixer.batch(&of).await.expect("a batch");
    assert_eq!(seen.remediations.len(), 3);
    assert_eq!(
        bench.fixer.batch(&Of::Fix("azure.storage.secure-transfer".into())).await.expect("a batch").digest,
        seen.digest
    );
    assert!(bench.fixer.batch(&Of::Fix("aws.s3.require-tls".into())).await.expect("none").remediations.is_empty());
    let left_out = bench.remediations(&all[2]).await.remove(0).id.to_string();
    let ann = Person::named("ann");
    let say = async |digest: &str, except: &[String]| bench.fixer.answer_batch(&of, digest, except, &ann, None).await;
    // Another plan has come since: it is another batch.
    bench.report(&all[3], "Unhealthy", "2026-11-18T07:00:00Z").await;
    bench.work().await;
    let refused = say(&seen.digest, &[]).await.expect_err("another batch");
    assert!(refused.to_string().contains("it is another by now than"), "{refused}");
    let now = bench.fixer.batch(&of).await.expect("a batch").digest;
    for (digest, except, expected) in [
        (&now[..12], vec![], "name eight digits"),
        (&*now, vec!["r-none".to_owned()], "`r-none` is not in it"),
        (&*now, vec!["r-".to_owned()], "`r-` names several"),
    ] {
        let refused = say(digest, &except).await.expect_err(expected);
        assert!(refused.to_string().contains(expected), "{refused}");
    }
    bench.work().await;
    assert!(all.iter().all(|subject| bench.writes(subject) == 0), "nothing was said yet");
    // The second changes after it was seen; the third is left out.
    let merge = json!({ "properties": { "supportsHttpsTrafficOnly": true } });
    Served::azure().ask(&json!({ "do": "change", "resource": all[1].resource, "merge": merge }));
    let answered = say(&now[7..19], &[left_out]).await.expect("answered");
    assert_eq!(answered.len(), 3);
    assert!(
        answered.iter().all(|(_, result)| result.as_ref().is_ok_and(|r| r.state == State::Planned)),
        "{answered:?}"
    );
    bench.work().await;
    let mut states = Vec::new();
    for subject in &all {
        states.push((bench.states(subject).await.remove(0), bench.writes(subject)));
    }
    let expected = [(State::Set, 1), (State::Superseded, 0), (State::AwaitingApproval, 0), (State::Set, 1)];
    assert_eq!(states, expected);
    let trail = bench.store().audit(0, 100).await.expect("read");
    let named = trail.iter().filter(|record| record.entry.detail["batch"] == json!(now)).count();
    assert_eq!(named, 3, "each answer names the batch");
    // What is left is a batch of its own, and may be denied as one.
    let rest = bench.fixer.batch(&of).await.expect("a batch");
    let denied = bench.fixer.answer_batch(&of, &rest.digest, &[], &ann, Some("we need it")).await.expect("answered");
    assert!(denied.iter().all(|(_, result)| result.as_ref().is_ok_and(|r| r.state == State::Superseded)), "{denied:?}");
    let none = bench.fixer.answer_batch(&of, &rest.digest, &[], &ann, None).await.expect_err("none is left");
    assert!(none.to_string().contains("no plan of it awaits an answer"), "{none}");
}

#[tokio::test]
async fn a_plan_that_is_outdated_when_it_is_approved_is_asked_about_again() {
    let subject = storage();
    let bench = bench("approve", Mode::Enforce).await;
    bench.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    bench.work().await;
    let r = bench.remediations(&subject).await.remove(0);
    // Somebody changes the fix's parameters of the plan: another digest. Here, the resource is right by now.
    Served::azure().ask(&json!({ "do": "change", "resource": subject.resource, "merge": { "properties": { "supportsHttpsTrafficOnly": true } } }));
    let answer = Answered::yes(Person::named("ann"));
    bench.fixer.answer(&r.id, &r.plan.digest, &answer).await.expect("approved");
    bench.work().await;
    assert_eq!(bench.states(&subject).await, [State::Superseded]);
    assert_eq!(bench.writes(&subject), 0);
    // And wrong again: a new plan, which somebody is asked about.
    Served::azure().ask(&json!({ "do": "change", "resource": subject.resource, "merge": { "properties": { "supportsHttpsTrafficOnly": false } } }));
    bench.inner.clock.set("2026-11-20T12:05:00Z");
    bench.work().await;
    assert_eq!(bench.states(&subject).await, [State::AwaitingApproval, State::Superseded]);
    assert_eq!(bench.writes(&subject), 0);
}

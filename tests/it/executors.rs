//! The hand-over from the hub to an executor: every fix, end to end, in clouds that check what they are asked; and
//! what an executor refuses, whoever asks.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use amend_cloud::{CallError, Cloud as Called, Place, remote::Signer};
use amend_domain::{
    AccountId, Cloud, ResourceId,
    fix::{Cost, Level},
    plan::{Answer, PlannedCall, Remediation, State},
    policy::Policy,
    ports::Clock as _,
    rule::Mode,
    task::{Order, Step, Task, What},
};
use amend_models::Call;
use amend_pipeline::{
    WhatNow,
    remedy::{Memory, Remedy, RemedyError},
};
use amend_tests::{
    executors::{Far, NAME, Way, serve},
    harness::StillClock,
    subject::{Recorder, Subject, served},
};
use async_trait::async_trait;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::State as Shared,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post as posted,
};
use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::fixes::{as_it_was, crashing, failing, fixed_and_undone};

/// A subject whose cloud only an executor reaches. What it calls is noted.
async fn far(subject: &Subject) -> (Far, Arc<Recorder>) {
    let recorder = Recorder::of(subject, None);
    let far = Far::of(subject, recorder.clone()).await;
    (far, recorder)
}

macro_rules! for_each_cloud {
    ($($cloud:ident: $name:ident),+) => {$(
        mod $name {
            use super::*;

            #[tokio::test]
            async fn every_fix_is_done_and_undone_where_the_hub_has_no_rights() {
                fixed_and_undone(Cloud::$cloud, Way::Executor).await;
            }

            #[tokio::test]
            async fn a_hub_that_dies_anywhere_goes_on_and_each_call_is_made_once() {
                crashing(Cloud::$cloud, Way::Executor).await;
            }

            #[tokio::test]
            async fn what_fails_behind_the_executor_is_known_to_the_hub() {
                failing(Cloud::$cloud, Way::Executor).await;
            }
        }
    )+};
}

for_each_cloud!(Aws: aws, Azure: azure, Gcp: gcp);

/// One bucket, its plan, and an executor that may do everything in its account.
struct Scene {
    subject: Subject,
    recorder: Arc<Recorder>,
    far: Far,
    r: Remediation,
    journal: Memory,
}

const FIX: &str = "aws.s3.block-public-access";

impl Scene {
    async fn new() -> Self {
        let subject = Subject::make(FIX, "bad");
        let (far, recorder) = far(&subject).await;
        let remedy = subject.remedy(far.clouds(subject.account()));
        let plan = remedy.plan().await.expect("a plan");
        let journal = Memory::default();
        let r = remedy.begin("r-scene", plan, "ada@example.org", &journal).await.expect("begun");
        Self { subject, recorder, far, r, journal }
    }

    fn remedy(&self) -> Remedy {
        self.subject.remedy(self.far.clouds(self.subject.account()))
    }

    async fn go_on(&mut self) -> Result<(), RemedyError> {
        let remedy = self.remedy();
        self.subject.go_on(&remedy, &mut self.r, &self.journal).await
    }

    /// The task that the hub would send for the first call.
    fn task(&self) -> Task {
        let step = Step {
            call: self.r.plan.calls.first().expect("a call").clone(),
            index: 0,
            undo: false,
            attest: self.r.attest.clone(),
        };
        self.of(What::Write { order: Box::new(Order::of(&self.r)), step: Box::new(step) })
    }

    fn of(&self, what: What) -> Task {
        let expires = self.subject.clock.now() + SignedDuration::from_secs(60);
        Task { version: 1, id: "t-1".into(), to: NAME.into(), expires, ends: expires, what }
    }

    /// Sends a task that the hub signed.
    async fn send(&self, task: &Task) -> (u16, Value) {
        let body = serde_json::to_vec(task).expect("JSON");
        let signer = Signer::read(&self.far.hub.key).expect("a key");
        self.post(signer.headers(&task.id, self.subject.clock.now(), &body), body).await
    }

    async fn post(&self, headers: Vec<(String, String)>, body: Vec<u8>) -> (u16, Value) {
        post(&self.far.url, headers, body).await
    }

    /// The bucket with its plan attested, as just before the first call.
    async fn attested() -> Self {
        let mut scene = Self::new().await;
        let task = scene.of(What::Attest { order: Box::new(Order::of(&scene.r)) });
        let (status, reply) = scene.send(&Task { id: "t-0".into(), ..task }).await;
        assert_eq!(status, 200, "{reply}");
        scene.r.attest = Some(reply["attest"].as_str().unwrap_or_else(|| panic!("{reply}")).into());
        scene
    }
}

async fn post(url: &str, headers: Vec<(String, String)>, body: Vec<u8>) -> (u16, Value) {
    let client = amend_http::Client::loopback().expect("a client");
    let answer = client.post(&format!("{url}/tasks"), &headers, body).await.expect("an answer");
    (answer.status, serde_json::from_str(&answer.body).unwrap_or(Value::String(answer.body)))
}

/// What an executor that takes a task and does not do it says.
fn declined(reply: &Value) -> &str {
    assert!(matches!(reply["failed"]["because"].as_str(), Some("declined" | "changed")), "{reply}");
    reply["failed"]["why"].as_str().unwrap_or_else(|| panic!("{reply}"))
}

#[tokio::test]
async fn a_task_that_the_hub_did_not_sign_is_not_done() {
    let scene = Scene::attested().await;
    let task = scene.task();
    let body = serde_json::to_vec(&task).expect("JSON");
    let now = scene.subject.clock.now();
    let signed = |key: &str, body: &[u8]| Signer::read(key).expect("a key").headers("t-1", now, body);
    let good = signed(&scene.far.hub.key, &body);
    let other = Signer::generate().expect("keys").0;
    let public = Signer::read(&scene.far.hub.key).expect("a key").public().expect("a pair");
    // What everybody may know is taken for a key that both have.
    let confused = signed(&format!("whsec_{}", public.trim_start_matches("whpk_")), &body);
    let confused_as_v1a = with(&confused, "webhook-signature", |value| value.replace("v1,", "v1a,"));
    let mut altered = task.clone();
    let What::Write { step, .. } = &mut altered.what else { panic!("a write") };
    step.call.with["PublicAccessBlockConfiguration"]["BlockPublicAcls"] = json!(false);
    let altered = serde_json::to_vec(&altered).expect("JSON");
    let late = now - SignedDuration::from_mins(6);
    let early = now + SignedDuration::from_mins(6);
    let at = |time| Signer::read(&scene.far.hub.key).expect("a key").headers("t-1", time, &body);
    for (what, headers, body) in [
        ("nothing", Vec::new(), body.clone()),
        ("a key of somebody else", signed(&other, &body), body.clone()),
        ("another body", good.clone(), altered),
        ("another name", with(&good, "webhook-id", |_| "t-2".into()), body.clone()),
        ("another time", with(&good, "webhook-timestamp", |value| format!("{value}0")), body.clone()),
        ("a time in words", with(&good, "webhook-timestamp", |_| "now".into()), body.clone()),
        ("a time with a sign", with(&good, "webhook-timestamp", |value| format!("+{value}")), body.clone()),
        ("no signature", with(&good, "webhook-signature", |_| String::new()), body.clone()),
        ("a signature of nothing", with(&good, "webhook-signature", |_| "v1a,".into()), body.clone()),
        ("the public key as a shared one", confused, body.clone()),
        ("the same, said to be the other kind", confused_as_v1a, body.clone()),
        ("six minutes ago", at(late), body.clone()),
        ("in six minutes", at(early), body.clone()),
        ("two signatures, in two headers", [good.clone(), good[2..].to_vec()].concat(), body.clone()),
    ] {
        let (status, answer) = scene.post(headers, body).await;
        assert_eq!((status, answer["code"].as_str()), (401, Some("task.unsigned")), "{what}: {answer}");
    }
    assert_eq!(scene.recorder.writes(), Vec::<String>::new());
    // One of several signatures counts: keys are replaced like that.
    let both = with(&good, "webhook-signature", |value| format!("v1a,AAAA {value}"));
    let (status, answer) = scene.post(both, body).await;
    assert_eq!((status, answer.get("value").is_some()), (200, true), "{answer}");
}

fn with(headers: &[(String, String)], name: &str, change: impl Fn(&str) -> String) -> Vec<(String, String)> {
    let one = |(key, value): &(String, String)| {
        let value = if key == name { change(value) } else { value.clone() };
        (key.clone(), value)
    };
    headers.iter().map(one).collect()
}

#[tokio::test]
async fn a_task_is_done_once_in_time_and_by_whom_it_is_for() {
    let scene = Scene::attested().await;
    let task = scene.task();
    let now = scene.subject.clock.now();
    let after = |minutes: i64| now + SignedDuration::from_secs(minutes * 60);
    for (what, task, status, code) in [
        ("another executor", Task { to: "another".into(), ..task.clone() }, 403, "task.addressee"),
        ("expired", Task { expires: now, ..task.clone() }, 408, "task.expired"),
        ("expires in an hour", Task { expires: after(60), ..task.clone() }, 408, "task.expired"),
        ("goes on for an hour", Task { ends: after(60), ..task.clone() }, 408, "task.expired"),
        ("a name that is none", Task { id: "t-../1".into(), ..task.clone() }, 400, "task.id"),
        ("another version", Task { version: 2, ..task.clone() }, 400, "task.version"),
    ] {
        let (got, answer) = scene.send(&task).await;
        assert_eq!((got, answer["code"].as_str()), (status, Some(code)), "{what}: {answer}");
    }
    // What it does not know may be what matters.
    let mut unknown = serde_json::to_value(&task).expect("JSON");
    unknown["what"]["step"]["unless"] = json!("it rains");
    let body = unknown.to_string().into_bytes();
    let signer = Signer::read(&scene.far.hub.key).expect("a key");
    let (status, answer) = scene.post(signer.headers("t-1", now, &body), body).await;
    assert_eq!((status, answer["code"].as_str()), (400, Some("task.unreadable")), "{answer}");
    assert_eq!(scene.recorder.writes(), Vec::<String>::new());

    let (status, answer) = scene.send(&task).await;
    assert_eq!((status, answer.get("value").is_some()), (200, true), "{answer}");
    let (status, answer) = scene.send(&task).await;
    assert_eq!((status, answer["code"].as_str()), (409, Some("task.seen")), "{answer}");
    // Where its memory is gone, the resource tells.
    let (status, answer) = scene.send(&Task { id: "t-2".into(), ..task }).await;
    assert_eq!(status, 200);
    assert!(declined(&answer).contains("not as the plan says"), "{answer}");
    assert_eq!(scene.recorder.writes().len(), 1);
}

#[tokio::test]
async fn what_a_hub_makes_up_is_not_done() {
    type Lie = fn(&mut Order, &mut Step);
    let lies: [(&str, Lie, &str); 8] = [
        ("another call", |_, step| step.call.call = "s3:DeleteBucketPolicy".into(), "not what the fix makes"),
        (
            "other arguments",
            |_, step| step.call.with["PublicAccessBlockConfiguration"]["BlockPublicAcls"] = json!(false),
            "not what the fix makes",
        ),
        ("another index", |_, step| step.index = 7, "not what the fix makes"),
        ("a plan that was changed", |order, _| order.plan.changes[0].then = json!("open"), "digest of the plan"),
        (
            "a plan made up",
            |order, _| {
                order.plan.changes[0].before = json!("open");
                order.plan.digest = order.plan.digest_of().expect("JSON").into();
            },
            "never said",
        ),
        ("another fix", |order, _| order.plan.fix_digest = "sha256:0".into(), "another than the hub's"),
        ("no attest", |_, step| step.attest = None, "never said"),
        ("another remediation", |order, _| order.remediation = "r-other".into(), "never said"),
    ];
    let scene = Scene::attested().await;
    for (at, (what, lie, why)) in lies.into_iter().enumerate() {
        let mut task = scene.task();
        task.id = format!("t-lie-{at}").into();
        let What::Write { order, step } = &mut task.what else { panic!("a write") };
        lie(order, step);
        let (status, answer) = scene.send(&task).await;
        assert_eq!(status, 200, "{what}: {answer}");
        assert!(declined(&answer).contains(why), "{what}: {answer}");
    }
    assert_eq!(scene.recorder.writes(), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_brought_back_is_what_was_there() {
    let mut scene = Scene::new().await;
    scene.go_on().await.expect("set");
    assert_eq!(scene.r.state, State::Set, "{:?}", scene.r.why);
    let undo = |scene: &Scene, r: &Remediation, call: &PlannedCall, id: &str| {
        let step = Step { call: call.clone(), index: 0, undo: true, attest: r.attest.clone() };
        let task = scene.of(What::Write { order: Box::new(Order::of(r)), step: Box::new(step) });
        Task { id: id.into(), ..task }
    };
    let back = scene.r.plan.undo.first().expect("a way back").clone();
    // The hub says that the bucket was open in another way before.
    let mut lie = scene.r.clone();
    for change in &mut lie.plan.changes {
        change.before = json!(false);
    }
    lie.plan.digest = lie.plan.digest_of().expect("JSON").into();
    let (_, answer) = scene.send(&undo(&scene, &lie, &back, "t-a")).await;
    assert!(declined(&answer).contains("never said"), "{answer}");
    // A call that is no way back.
    let other = PlannedCall { call: "s3:DeleteBucketPolicy".into(), ..back.clone() };
    let (_, answer) = scene.send(&undo(&scene, &scene.r, &other, "t-b")).await;
    assert!(declined(&answer).contains("not a way back"), "{answer}");
    assert_eq!(scene.recorder.writes().len(), 1);
    // A remediation that was not begun here is nothing that is undone here.
    let direct = Remediation { attest: None, ..scene.r.clone() };
    let (_, answer) = scene.send(&undo(&scene, &direct, &back, "t-c")).await;
    assert!(declined(&answer).contains("never said"), "{answer}");
    // What was there is brought back, once.
    let (_, answer) = scene.send(&undo(&scene, &scene.r, &back, "t-d")).await;
    assert!(answer.get("value").is_some(), "{answer}");
    let (_, answer) = scene.send(&undo(&scene, &scene.r, &back, "t-e")).await;
    assert!(declined(&answer).contains("as it was by now"), "{answer}");
    assert_eq!(scene.recorder.writes().len(), 2);
}

#[tokio::test]
async fn a_policy_is_not_lifted_by_any_message() {
    type Change = fn(&mut Policy);
    let rules: [(&str, Change, &str); 11] = [
        ("stopped", |policy| policy.stopped = Some("an incident".into()), "stops everything: an incident"),
        (
            "another account",
            |policy| policy.accounts = AccountId::aws("111122223333").into_iter().collect(),
            "does not name the account",
        ),
        ("observe", |policy| policy.most = Mode::Observe, "at most `observe`"),
        ("never", |policy| policy.never = vec![FIX.into()], "does not let this fix"),
        ("only others", |policy| policy.only = Some(vec!["aws.ec2.no-public-ssh".into()]), "does not let this fix"),
        ("disruption", |policy| policy.impact.disruption = Some(Level::None), "`disruption`"),
        ("cost", |policy| policy.impact.cost = Some(Cost::None), ""),
        ("its short name", |policy| policy.spare = vec![Policy::spare("bucket-*")], "alone"),
        ("its name in another case", |policy| policy.spare = vec![Policy::spare("ARN:aws:s3:::Bucket-*")], "alone"),
        ("spared", |policy| policy.spare = vec![Policy::spare("arn:aws:s3:::*")], "alone"),
        ("others are spared", |policy| policy.spare = vec![Policy::spare("arn:aws:s3:::prod-*")], ""),
    ];
    for (what, change, why) in rules {
        let mut scene = Scene::new().await;
        scene.far.allow(change);
        let ended = scene.go_on().await;
        if why.is_empty() {
            assert_eq!(scene.r.state, State::Set, "{what}: {:?}", scene.r.why);
            continue;
        }
        let said = match ended {
            // What is stopped may go on later: the hub comes again.
            Err(error) => causes(&error),
            Ok(()) => scene.r.why.clone().unwrap_or_default(),
        };
        assert!(said.contains(why), "{what}: {said}");
        assert_ne!(scene.r.state, State::Set, "{what}");
        assert_eq!(scene.recorder.writes(), Vec::<String>::new(), "{what}");
    }
    // A policy that cannot be read lets nothing be done.
    let mut scene = Scene::new().await;
    scene.far.lose_policy();
    let error = scene.go_on().await.expect_err("it cannot look");
    assert!(causes(&error).contains("its policy cannot be used"), "{}", causes(&error));
    assert_eq!(scene.recorder.writes(), Vec::<String>::new());
}

#[tokio::test]
async fn what_a_rule_may_not_a_person_may() {
    let mut scene = Scene::new().await;
    scene.far.allow(|policy| policy.most = Mode::Approve);
    // The hub says that nobody was asked.
    scene.r.mode = Some(Mode::Enforce);
    scene.go_on().await.expect("it ends");
    assert_eq!(scene.r.state, State::Blocked, "{:?}", scene.r.why);
    assert!(scene.r.why.as_deref().is_some_and(|why| why.contains("a person must say yes")), "{:?}", scene.r.why);
    assert_eq!(scene.recorder.writes(), Vec::<String>::new());
    // The fix itself leaves it to people: the policy could not lift that.
    let mut scene = Scene::new().await;
    scene.r.mode = Some(Mode::Enforce);
    scene.go_on().await.expect("it ends");
    assert!(
        scene.r.why.as_deref().is_some_and(|why| why.contains("not done on the word of a rule")),
        "{:?}",
        scene.r.why
    );
    // Somebody was asked.
    let mut scene = Scene::new().await;
    scene.far.allow(|policy| policy.most = Mode::Approve);
    scene.r.mode = Some(Mode::Approve);
    scene.r.answer = Some(Answer {
        approved: true,
        by: "ada@example.org".into(),
        at: scene.subject.clock.now(),
        plan: scene.r.plan.digest.clone(),
        batch: None,
        revision: 1,
        why: None,
    });
    scene.go_on().await.expect("it ends");
    assert_eq!(scene.r.state, State::Set, "{:?}", scene.r.why);
}

#[tokio::test]
async fn an_executor_looks_at_nothing_but_what_it_must() {
    let scene = Scene::new().await;
    let account = scene.subject.account();
    let read = |call: &str, with: Value, account: AccountId| {
        let id = format!("t-{}-{}", call.to_lowercase().replace(':', "-"), account.native());
        Task {
            id: id.into(),
            ..scene.of(What::Read { account, region: Some("eu-west-1".into()), call: call.into(), with })
        }
    };
    let bucket = scene.subject.resource.trim_start_matches("arn:aws:s3:::").to_owned();
    let with = json!({ "Bucket": bucket });
    for (call, with, account, why) in [
        ("s3:PutPublicAccessBlock", with.clone(), account.clone(), "no such call to look"),
        ("s3:DeletePublicAccessBlock", with.clone(), account.clone(), "no such call to look"),
        ("secretsmanager:GetSecretValue", json!({ "SecretId": "x" }), account.clone(), "no such call to look"),
        (
            "s3:GetPublicAccessBlock",
            with.clone(),
            AccountId::aws("111122223333").expect("one"),
            "does not name the account",
        ),
    ] {
        let (status, answer) = scene.send(&read(call, with, account)).await;
        assert_eq!(status, 200, "{call}: {answer}");
        assert!(declined(&answer).contains(why), "{call}: {answer}");
    }
    let (_, answer) = scene.send(&read("s3:GetPublicAccessBlock", with, account)).await;
    assert!(answer.get("value").is_some() || answer["failed"]["because"] == "refused", "{answer}");
    assert_eq!(scene.recorder.writes(), Vec::<String>::new());
}

#[tokio::test]
async fn a_resource_that_is_elsewhere_is_not_touched() {
    // A name that says another account than the policy was asked about.
    let scene = Scene::new().await;
    let mut order = Order::of(&scene.r);
    order.plan.fix = "aws.sqs.encryption".into();
    let file = amend_tests::harness::catalogue().get("aws.sqs.encryption").cloned().expect("a fix");
    order.plan.fix_digest = file.fix.digest.clone();
    order.plan.at.resource = ResourceId::new("arn:aws:sqs:eu-west-1:111122223333:queue");
    order.plan.digest = order.plan.digest_of().expect("JSON").into();
    let (status, answer) = scene.send(&scene.of(What::Attest { order: Box::new(order) })).await;
    assert_eq!(status, 200);
    assert!(declined(&answer).contains("111122223333"), "{answer}");
}

/// An error with its causes.
fn causes(error: &(dyn Error + 'static)) -> String {
    std::iter::successors(Some(error), |error| (*error).source()).map(|error| format!("{error}; ")).collect()
}

/// What stands between the hub and the executor, and fails once: at the request that is counted so.
struct Between {
    url: String,
    left: Arc<AtomicUsize>,
    server: JoinHandle<()>,
}

impl Drop for Between {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[derive(Clone)]
struct Failing {
    to: String,
    left: Arc<AtomicUsize>,
    fault: &'static str,
    somebody: Value,
}

impl Between {
    async fn start(to: &str, at: usize, fault: &'static str) -> Self {
        Self::start_with(to, at, fault, Value::Null).await
    }

    /// The same, where somebody does something in the cloud at that request.
    async fn start_with(to: &str, at: usize, fault: &'static str, somebody: Value) -> Self {
        let left = Arc::new(AtomicUsize::new(at + 1));
        let failing = Failing { to: to.to_owned(), left: Arc::clone(&left), fault, somebody };
        let (url, server) = serve(Router::new().route("/tasks", posted(pass)).with_state(failing)).await;
        Self { url, left, server }
    }

    fn failed(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }
}

async fn pass(Shared(failing): Shared<Failing>, headers: HeaderMap, body: Bytes) -> Response {
    let left = failing.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
    let fault = if left == Ok(1) { failing.fault } else { "" };
    let broken =
        || Body::from_stream(futures_util::stream::once(async { Err::<Bytes, _>("broken off") })).into_response();
    match fault {
        "lost" => return broken(),
        "unavailable" => return (StatusCode::SERVICE_UNAVAILABLE, "<h1>no</h1>").into_response(),
        "too many" => return (StatusCode::TOO_MANY_REQUESTS, "{}").into_response(),
        "somebody" => drop(served(Cloud::Aws).ask(&failing.somebody)),
        "not found" => return (StatusCode::NOT_FOUND, "<h1>deploying</h1>").into_response(),
        _ => {}
    }
    let kept = |name: &str| (name.to_owned(), headers[name].to_str().expect("text").to_owned());
    let headers = ["webhook-id", "webhook-timestamp", "webhook-signature"].map(kept).to_vec();
    if fault == "sent twice" {
        post(&failing.to, headers.clone(), body.to_vec()).await;
    }
    let (status, answer) = post(&failing.to, headers, body.to_vec()).await;
    match fault {
        "answer lost" => broken(),
        "a page" => "<h1>welcome</h1>".into_response(),
        _ => (StatusCode::from_u16(status).expect("a status"), axum::Json(answer)).into_response(),
    }
}

#[tokio::test]
async fn the_network_may_fail_at_every_point() {
    for fault in ["lost", "answer lost", "unavailable", "too many", "not found", "sent twice", "a page"] {
        for at in 0.. {
            let mut scene = Scene::new().await;
            let before = scene.subject.state();
            let between = Between::start(&scene.far.url, at, fault).await;
            let remedy = scene.subject.remedy(scene.far.hub.clouds(&between.url, scene.subject.account()));
            // Whoever works through the queue comes again.
            while let Err(error) = scene.subject.go_on(&remedy, &mut scene.r, &scene.journal).await {
                assert_eq!(error.what_now(), WhatNow::Retry, "{fault} at {at}: {}", causes(&error));
            }
            let story = format!("{fault} at {at}: {:?} {:?}", scene.r.why, scene.r.made);
            assert_eq!(scene.r.state, State::Set, "{story}");
            assert_eq!(scene.recorder.writes().len(), 1, "{story}");
            while let Err(error) = remedy.undo(&mut scene.r, &scene.journal, None).await {
                assert_eq!(error.what_now(), WhatNow::Retry, "{fault} at {at}: {}", causes(&error));
            }
            while let Err(error) = scene.subject.go_on(&remedy, &mut scene.r, &scene.journal).await {
                assert_eq!(error.what_now(), WhatNow::Retry, "{fault} at {at}: {}", causes(&error));
            }
            assert_eq!(scene.r.state, State::Undone, "{story}");
            assert_eq!(scene.recorder.writes().len(), 2, "{story}");
            as_it_was(&scene.subject, &before, FIX, "bad", &story);
            if !between.failed() {
                // It was through with everything before that many requests.
                assert!(at > 6, "{fault}: {at} requests");
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_parameter_has_a_value_that_the_policy_gives() {
    let mut written = 0;
    for (name, value) in [("allowed_ranges", json!(["198.51.100.0/24"])), ("allowed_ranges", json!(["0.0.0.0/0"]))] {
        let subject = Subject::make("gcp.firewall.no-public-ssh", "only");
        let (far, recorder) = far(&subject).await;
        let given = subject.parameters().into_values().next().expect("parameters")[name].clone();
        far.allow(|policy| {
            let of = policy.parameters.get_mut("gcp.firewall.no-public-ssh").expect("there");
            of.insert(name.into(), vec![value.clone()]);
        });
        let remedy = subject.remedy(far.clouds(subject.account()));
        let journal = Memory::default();
        let plan = remedy.plan().await.expect("a plan");
        let mut r = remedy.begin("r-test", plan, "ada@example.org", &journal).await.expect("begun");
        subject.go_on(&remedy, &mut r, &journal).await.expect("it ends");
        if given == vec![value] {
            assert_eq!(r.state, State::Set, "{:?}", r.why);
            written += recorder.writes().len();
        } else {
            assert_eq!(r.state, State::Blocked, "{:?}", r.why);
            assert!(r.why.is_some_and(|why| why.contains("`allowed_ranges`")));
            assert_eq!(recorder.writes(), Vec::<String>::new());
        }
    }
    assert_ne!(written, 0);
}

#[tokio::test]
async fn what_was_attested_gets_old() {
    let mut scene = Scene::attested().await;
    let later = |scene: &Scene, hours: i64| {
        let at = scene.subject.clock.now() + SignedDuration::from_hours(hours);
        scene.subject.clock.set(&at.to_string());
    };
    later(&scene, 25);
    let (_, answer) = scene.send(&Task { id: "t-late".into(), ..scene.task() }).await;
    assert!(declined(&answer).contains("too long ago"), "{answer}");
    assert_eq!(scene.recorder.writes(), Vec::<String>::new());
    // What is undone may be older, but not for ever.
    scene = Scene::new().await;
    scene.go_on().await.expect("set");
    let undo = |scene: &Scene, id: &str| {
        let call = scene.r.plan.undo.first().expect("a way back").clone();
        let step = Step { call, index: 0, undo: true, attest: scene.r.attest.clone() };
        let task = scene.of(What::Write { order: Box::new(Order::of(&scene.r)), step: Box::new(step) });
        Task { id: id.into(), ..task }
    };
    later(&scene, 31 * 24);
    let (_, answer) = scene.send(&undo(&scene, "t-a")).await;
    assert!(
        declined(&answer).contains("31 days ago, and its policy lets be undone what is no older than 30 days"),
        "{answer}"
    );
    // The time that was attested is not the hub's to say.
    let attest = scene.r.attest.clone().expect("there");
    let (second, signed) = attest.split_once('.').expect("a time");
    let second: i64 = second.parse().expect("a number");
    scene.r.attest = Some(format!("{}.{signed}", second + 86_400).into());
    let (_, answer) = scene.send(&undo(&scene, "t-b")).await;
    assert!(declined(&answer).contains("never said"), "{answer}");
    scene.r.attest = Some(attest);
    scene.far.allow(|policy| policy.undo_within = SignedDuration::from_hours(32 * 24));
    let (_, answer) = scene.send(&undo(&scene, "t-c")).await;
    assert!(answer.get("value").is_some(), "{answer}");
}

#[tokio::test]
async fn what_changed_in_between_is_planned_anew_and_not_failed() {
    let mut at_the_write = 0;
    for at in 0.. {
        let mut scene = Scene::new().await;
        let bucket = scene.subject.resource.trim_start_matches("arn:aws:s3:::");
        let block = json!({ "BlockPublicAcls": true, "IgnorePublicAcls": true, "BlockPublicPolicy": true, "RestrictPublicBuckets": true });
        let with = json!({ "Bucket": bucket, "PublicAccessBlockConfiguration": block });
        let right = json!({ "do": "call", "service": "s3", "method": "put_public_access_block", "with": with });
        // Somebody else sets it right, just before the executor looks.
        let between = Between::start_with(&scene.far.url, at, "somebody", right).await;
        let remedy = scene.subject.remedy(scene.far.hub.clouds(&between.url, scene.subject.account()));
        scene.subject.go_on(&remedy, &mut scene.r, &scene.journal).await.expect("it ends");
        if !between.failed() {
            assert_eq!((scene.r.state, at_the_write), (State::Set, 1), "after {at} requests");
            break;
        }
        // Before the write it is not written any more; after it nobody sees that.
        let written = scene.recorder.writes().len();
        let state = if written == 0 { State::Superseded } else { State::Set };
        assert_eq!(scene.r.state, state, "at {at}: {:?} {:?}", scene.r.why, scene.r.made);
        at_the_write += usize::from(written == 0 && !scene.r.made.is_empty());
    }
}

#[tokio::test]
async fn nothing_is_brought_back_over_what_somebody_did() {
    let mut scene = Scene::new().await;
    scene.go_on().await.expect("set");
    assert_eq!(scene.r.state, State::Set, "{:?}", scene.r.why);
    let undo = |scene: &Scene, id: &str| {
        let call = scene.r.plan.undo.first().expect("a way back").clone();
        let step = Step { call, index: 0, undo: true, attest: scene.r.attest.clone() };
        let task = scene.of(What::Write { order: Box::new(Order::of(&scene.r)), step: Box::new(step) });
        Task { id: id.into(), ..task }
    };
    // A person lets some of it be: neither what was there, nor what the fix wrote.
    let bucket = scene.subject.resource.trim_start_matches("arn:aws:s3:::").to_owned();
    let block = json!({ "BlockPublicAcls": false, "IgnorePublicAcls": true, "BlockPublicPolicy": false, "RestrictPublicBuckets": true });
    let with = json!({ "Bucket": bucket, "PublicAccessBlockConfiguration": block });
    let call = json!({ "do": "call", "service": "s3", "method": "put_public_access_block", "with": with });
    served(Cloud::Aws).ask(&call);
    let theirs = scene.subject.state();
    let (_, answer) = scene.send(&undo(&scene, "t-a")).await;
    assert!(declined(&answer).contains("neither as it was"), "{answer}");
    assert_eq!(scene.subject.state(), theirs);
    assert_eq!(scene.recorder.writes().len(), 1);
}

#[tokio::test]
async fn what_only_a_call_names_is_spared_too() {
    // The machine is assessed, and a rule of its group would be written.
    let subject = Subject::make("azure.nsg.management-ports", "bad-nic");
    let (far, recorder) = far(&subject).await;
    let remedy = subject.remedy(far.clouds(subject.account()));
    let plan = remedy.plan().await.expect("a plan");
    assert!(!plan.at.resource.as_str().contains("networksecuritygroups"), "{}", plan.at.resource);
    far.allow(|policy| policy.spare = vec![Policy::spare("*/networksecuritygroups/*")]);
    let journal = Memory::default();
    let mut r = remedy.begin("r-test", plan, "ada@example.org", &journal).await.expect("begun");
    subject.go_on(&remedy, &mut r, &journal).await.expect("it ends");
    assert_eq!(r.state, State::Blocked, "{:?}", r.why);
    // It was not even begun: the executor says so when it looks.
    assert_eq!((r.made.len(), recorder.writes().len()), (0, 0), "{:?}", r.made);
}

/// A cloud that takes its time: each look lasts a minute.
struct Slow {
    inner: Arc<dyn Called>,
    clock: Arc<StillClock>,
}

#[async_trait]
impl Called for Slow {
    async fn call(&self, place: &Place, call: &Call, args: &Value) -> Result<Value, CallError> {
        let answer = self.inner.call(place, call, args).await;
        self.clock.set(&(self.clock.now() + SignedDuration::from_secs(60)).to_string());
        answer
    }
}

#[tokio::test]
async fn what_was_looked_at_too_long_is_not_begun() {
    let scene = Scene::attested().await;
    let subject = &scene.subject;
    let slow = Slow { inner: scene.recorder.clone(), clock: subject.clock.clone() };
    let far = Far::of(subject, Arc::new(slow)).await;
    let body = serde_json::to_vec(&scene.task()).expect("JSON");
    let signer = Signer::read(&far.hub.key).expect("a key");
    let (status, answer) = post(&far.url, signer.headers("t-1", subject.clock.now(), &body), body).await;
    assert_eq!(status, 200, "{answer}");
    assert!(declined(&answer).contains("too late"), "{answer}");
    assert_eq!(scene.recorder.writes(), Vec::<String>::new());
}

#[tokio::test]
async fn one_resource_has_one_name() {
    let scene = Scene::new().await;
    let mut order = Order::of(&scene.r);
    let bucket = scene.subject.resource.trim_start_matches("arn:aws:s3:::");
    order.plan.at.resource = ResourceId::new(&format!("arn:x:s3:::{bucket}"));
    order.plan.digest = order.plan.digest_of().expect("JSON").into();
    let (_, answer) = scene.send(&scene.of(What::Attest { order: Box::new(order) })).await;
    assert!(declined(&answer).contains("partition"), "{answer}");
    // What is looked at in Google Cloud is in the project that was asked about.
    let account = AccountId::gcp("acme-shop").expect("a project");
    scene.far.allow(|policy| policy.accounts.push(account.clone()));
    for (at, (call, with)) in [
        ("cloudasset.searchAllResources", json!({ "scope": "organizations/1" })),
        ("cloudasset.searchAllResources", json!({ "scope": "projects/other" })),
        ("logging.entries.list", json!({ "body": { "resourceNames": ["projects/other"] } })),
        ("logging.entries.list", json!({ "body": { "resourceNames": ["projects/acme-shop", "folders/1"] } })),
    ]
    .into_iter()
    .enumerate()
    {
        let what = What::Read { account: account.clone(), region: None, call: call.into(), with };
        let (_, answer) = scene.send(&Task { id: format!("t-look-{at}").into(), ..scene.of(what) }).await;
        assert!(declined(&answer).contains("beyond"), "{call}: {answer}");
    }
}

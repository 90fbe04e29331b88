//! The function as an executor: the hub asks at its URL, and has no rights in the account.

use std::sync::Arc;

use amend_cloud::Place;
use amend_domain::AccountId;
use amend_models::Call;
use amend_pipeline::{
    remedy::{Memory, Next},
    system::SystemClock,
};
use amend_tests::{
    executors::{ATTESTS, Hub, NAME},
    functions::{Deployed, bucket, wait},
    subject::Subject,
};
use serde_json::json;

use crate::lambda::{Lambda, event, request};

fn policy(most: &str) -> String {
    format!("version: 1\nmost: {most}\naccounts: aws:123456789012\n")
}

fn start(hub: &Hub) -> Lambda {
    let config = format!("executor: {{ name: {NAME}, hubs: '{}', policy: policy.yaml }}\n", hub.public);
    let mut app = Deployed::new(&config, "rules: []\n");
    app.write("policy.yaml", &policy("approve"));
    // It needs no store, and no rules.
    app.environment.retain(|(name, _)| !name.starts_with("AMEND__STORE"));
    app.set("AMEND__EXECUTOR__KEYS", ATTESTS);
    let (_, _, _, environment) = bucket();
    for (name, value) in environment {
        app.set(name, &value);
    }
    Lambda::start(app)
}

#[test]
fn a_hub_without_rights_fixes_and_undoes_through_the_function() {
    let hub = Hub::new(Arc::new(SystemClock));
    let lambda = start(&hub);
    let account = AccountId::aws("123456789012").expect("an account");
    wait(async {
        let hello = hub.remote(&lambda.url(), account.clone()).hello().await.expect("it answers");
        assert_eq!((&*hello.name, hello.most.as_str(), hello.stopped), (NAME, "approve", None));
        let subject = Subject::make("aws.s3.block-public-access", "bad");
        let before = subject.state();
        let remedy = subject.remedy(hub.clouds(&lambda.url(), account.clone()));
        let journal = Memory::default();
        let plan = remedy.plan().await.expect("a plan");
        let mut r = remedy.begin("r-far", plan, "ada@example.org", &journal).await.expect("begun");
        while let Next::Again { .. } = remedy.advance(&mut r, &journal, None).await.expect("it goes on") {}
        assert_eq!(r.state.as_str(), "set", "{:?} {}", r.why, lambda.function.said());
        assert_ne!(subject.state(), before);
        // A function that is killed knows its own word again.
        let mut lambda = lambda;
        lambda.restart();
        remedy.undo(&mut r, &journal, None).await.expect("undone");
        while let Next::Again { .. } = remedy.advance(&mut r, &journal, None).await.expect("it goes on") {}
        assert_eq!(r.state.as_str(), "undone", "{:?} {}", r.why, lambda.function.said());
        assert_eq!(subject.state(), before);
        let said = lambda.function.said();
        assert!(said.contains("undone") && said.contains("ada@example.org") && said.contains("r-far"), "{said}");
        // The account's team stops it: the next task is declined, without a deployment.
        lambda.app.write("policy.yaml", &format!("{}stopped: an incident\n", policy("approve")));
        let clouds = hub.clouds(&lambda.url(), account.clone());
        let call = Call::find("s3:GetPublicAccessBlock").expect("a call");
        let place = Place { account: Some(account.clone()), region: Some("eu-west-1".into()), ..Place::default() };
        let with = json!({ "Bucket": "x" });
        let error = clouds.call(&place, &call, &with).await.expect_err("it is stopped").to_string();
        assert!(error.contains("an incident"), "{error}");
        // A mistake in it stops everything, too.
        lambda.app.write("policy.yaml", "version: 1\nmost: everything\n");
        let error = clouds.call(&place, &call, &with).await.expect_err("it has a mistake").to_string();
        assert!(error.contains("cannot be used"), "{error}");
    });
}

#[test]
fn nobody_else_has_it_do_anything() {
    let hub = Hub::new(Arc::new(SystemClock));
    let lambda = start(&hub);
    let account = AccountId::aws("123456789012").expect("an account");
    let other = Hub::new(Arc::new(SystemClock));
    let error = wait(other.remote(&lambda.url(), account).hello()).expect_err("it is not known").to_string();
    assert!(error.contains("executor.hubs"), "{error}");
    for (method, path, status) in [("POST", "/tasks", 401), ("GET", "/healthz", 200), ("GET", "/api/v1/problems", 404)]
    {
        let answer = lambda.invoke(&request(method, path, &json!({}), "{}")).expect("an answer");
        assert_eq!(answer["statusCode"], status, "{path}: {answer}");
    }
    for handed in [json!({ "amend": "advance" }), event("Security Hub Findings - Imported", &[])] {
        let failed = lambda.invoke(&handed).expect_err("it does not do that");
        assert_eq!(failed.kind, "functions.does", "{}", failed.message);
    }
}

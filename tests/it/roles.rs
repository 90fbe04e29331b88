//! Permissions, derived from the calls of the fixes.

use amend_catalog::permissions::{of_call, role, table};
use amend_cloud::aws::security_hub;
use amend_domain::{
    Cloud,
    fix::{Fix, Step},
};
use amend_tests::harness::catalogue;
use serde_json::{Value, json};

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(list) => list.iter().flat_map(texts).collect(),
        Value::Object(map) => map.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn each_call_of_each_fix_is_granted_and_nothing_with_a_wildcard() {
    let catalogue = catalogue();
    let fixes: Vec<&Fix> = catalogue.iter().map(|file| &file.fix).collect();
    for cloud in [Cloud::Azure, Cloud::Aws, Cloud::Gcp] {
        for step in [Step::Read, Step::Write, Step::Undo] {
            let made = role(&fixes, cloud, step).expect("derived").expect("there are such calls");
            let granted = match cloud {
                Cloud::Aws => {
                    made["Statement"].as_array().expect("statements").iter().flat_map(|s| texts(&s["Action"])).collect()
                }
                Cloud::Azure => texts(&made["Actions"]),
                _ => texts(&made["includedPermissions"]),
            };
            assert!(granted.iter().all(|one| !one.contains('*')), "{granted:?}");
            for fix in fixes.iter().filter(|fix| fix.cloud() == cloud) {
                for (call, _) in fix.calls().filter(|(_, of)| *of == step) {
                    for permission in of_call(call).expect("known") {
                        assert!(granted.contains(&permission), "{}: {permission}", fix.id);
                    }
                }
            }
        }
    }
}

#[test]
fn reading_grants_no_writing() {
    let catalogue = catalogue();
    let fixes: Vec<&Fix> = catalogue.iter().map(|file| &file.fix).collect();
    let read = texts(&role(&fixes, Cloud::Azure, Step::Read).expect("derived").expect("a role")["Actions"]);
    assert!(read.iter().all(|one| one.ends_with("/read")), "{read:?}");
    let read = role(&fixes, Cloud::Aws, Step::Read).expect("derived").expect("a policy");
    let actions: Vec<String> =
        read["Statement"].as_array().expect("statements").iter().flat_map(|s| texts(&s["Action"])).collect();
    let reads = |one: &String| {
        ["Get", "List", "Describe"].iter().any(|verb| one.split(':').nth(1).is_some_and(|name| name.starts_with(verb)))
    };
    assert!(actions.iter().all(reads), "{actions:?}");
}

#[test]
fn what_writes_is_granted_on_the_kind_of_resource_alone() {
    let catalogue = catalogue();
    let fix = &catalogue.get("aws.s3.block-public-access").expect("a fix").fix;
    assert_eq!(
        role(&[fix], Cloud::Aws, Step::Write).expect("derived"),
        Some(json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Sid": "AmendWrite0", "Effect": "Allow",
                "Action": ["s3:PutBucketPublicAccessBlock"], "Resource": ["arn:*:s3:::*"],
            }],
        }))
    );
}

#[test]
fn the_table_names_calls_that_there_are() {
    // Those that the typed client makes have no description here: they are named where they are made.
    let typed: Vec<&str> = [security_hub::UPDATES, security_hub::IMPORTS].concat();
    for call in table().expect("readable").keys().filter(|call| !typed.contains(&call.as_str())) {
        amend_models::Call::find(call).unwrap_or_else(|error| panic!("{call}: {error}"));
    }
}

//! Policies of executors: their mistakes, and what they spare.

use amend_domain::{AccountId, policy::Policy, rule::Mode};
use amend_tests::executors::anything;

#[test]
fn a_policy_says_all_that_is_wrong_with_it() {
    let read = |text: &str| {
        let file = amend_catalog::SourceText::new("policy.yaml", text);
        amend_catalog::policy_file::load(&file, &amend_tests::harness::catalogue()).map_err(|mistakes| {
            let one = |m: &amend_catalog::mistakes::Mistake| {
                format!("{}: {} ({})", m.line, m.message, m.hint.as_deref().unwrap_or("-"))
            };
            mistakes.list().iter().map(one).collect::<Vec<_>>().join("\n")
        })
    };
    for (text, says) in [
        ("", "expected a policy"),
        ("version: 1\n", "a policy lacks `most`"),
        ("version: 1\nmost: everything\naccounts: aws:111122223333\n", "one of observe, approve, enforce"),
        ("version: 1\nmost: enforce\naccounts: aws:1111\n", "`aws:1111` is no account"),
        ("version: 1\nmost: enforce\naccounts: aws:o-abc\n", "is no account"),
        (
            "version: 1\nmost: enforce\naccounts: /subscriptions/8f2c6f0a-41d7-4c8e-9b1f-2a3d5e7f9011\n",
            "not reached through",
        ),
        ("version: 1\nmost: enforce\naccounts: []\n", "without an account"),
        (
            "version: 1\nmost: enforce\naccounts: aws:111122223333\nfixes: { never: aws.ec2.no-public-shh }\n",
            "did you mean `aws.ec2.no-public-ssh`?",
        ),
        ("version: 1\nmost: enforce\naccounts: aws:111122223333\nspare: ['']\n", "an empty name"),
        (
            "version: 1\nmost: enforce\naccounts: aws:111122223333\nimpact: { disruption: much }\n",
            "none, low, medium, high",
        ),
        (
            "version: 1\nmost: enforce\naccounts: aws:111122223333\nparameters: { gcp.kms.rotation: { first_rotatoin: x } }\n",
            "did you mean `first_rotation`?",
        ),
        ("version: 1\nmost: enforce\naccounts: aws:111122223333\nspar: x\n", "did you mean `spare`?"),
    ] {
        let wrong = read(text).expect_err(text);
        assert!(wrong.contains(says), "{text}: {wrong}");
    }
    let policy = read(
        "version: 1\nmost: approve\naccounts: [aws:111122223333, gcp:projects/Pay]\nfixes: { only: [] }\nstopped: false\n",
    );
    let policy = policy.expect("no mistake");
    let accounts: Vec<&str> = policy.accounts.iter().map(AccountId::as_str).collect();
    assert_eq!(accounts, ["aws:111122223333", "gcp:projects/pay"]);
    assert_eq!((policy.only, policy.stopped, policy.most), (Some(Vec::new()), None, Mode::Approve));
}

#[test]
fn what_is_spared_is_spared_by_any_of_its_names() {
    let spares = |pattern: &str, name: &str| {
        let policy = Policy { spare: vec![Policy::spare(pattern)], ..anything(Vec::new()) };
        policy.spares([name]).is_err()
    };
    let group = "/subscriptions/8f2c6f0a-41d7-4c8e-9b1f-2a3d5e7f9011/resourceGroups/rg/providers/Microsoft.Network/networkSecurityGroups/prod-1";
    for (pattern, name, spared) in [
        ("arn:aws:s3:::prod-*", "arn:aws:s3:::prod-1", true),
        ("arn:aws:s3:::prod-*", "arn:aws:s3:::dev-1", false),
        ("prod-1", "arn:aws:s3:::prod-1", true),
        ("prod", "arn:aws:s3:::prod-1", false),
        (group, &format!("{group}/securityRules/ssh"), true),
        ("*/networksecuritygroups/prod-*", &format!("{group}/securityRules/ssh"), true),
        ("*/resourcegroups/rg", group, true),
        ("//storage.googleapis.com/projects/_/buckets/b", "//storage.googleapis.com/b", true),
        ("//sqladmin.googleapis.com/projects/p/instances/i", "//cloudsql.googleapis.com/projects/p/instances/i", true),
        ("//sqladmin.googleapis.com/projects/p/instances/*", "//cloudsql.googleapis.com/projects/p/instances/i", true),
        ("//cloudsql.googleapis.com/projects/p/instances/i", "//cloudsql.googleapis.com/projects/q/instances/i", false),
    ] {
        assert_eq!(spares(pattern, name), spared, "{pattern} {name}");
    }
}

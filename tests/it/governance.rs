//! Defender governance rules survive import and export.

use amend_catalog::{SourceText, governance, rule_file};
use amend_domain::{Truth, rule::Condition};
use amend_tests::harness::reference_samples;
use serde_json::{Value, json};

fn original() -> Value {
    json!({
        "id": "subscriptions/20ff7fc3-e762-44dd-bd96-b71116dcdc23/providers/Microsoft.Security/governanceRules/ad9a8e26-29d9-4829-bb30-e597a58cdbb8",
        "name": "ad9a8e26-29d9-4829-bb30-e597a58cdbb8",
        "type": "Microsoft.Security/governanceRules",
        "properties": {
            "tenantId": "f0b6d37b-e4bc-4719-9291-c066c3194f23",
            "displayName": "Owners of storage",
            "description": "kept",
            "remediationTimeframe": "7.00:00:00",
            "isGracePeriod": true,
            "rulePriority": 200,
            "isDisabled": false,
            "ruleType": "Integrated",
            "sourceResourceType": "Assessments",
            "conditionSets": [
                { "conditions": [
                    { "property": "$.AssessmentKey", "value": "[\"51FD8BB1-0db4-bbf1-7e2b-cfcba7eb66a6\", \"1c5de8e1-f68d-6a17-e0d2-ec259c42768c\"]", "operator": "in" },
                    { "property": "$.METADATA.severity", "value": "high", "operator": "equals" }
                ] },
                { "conditions": [ { "property": "$.NewThing.Level", "value": "5", "operator": "GreaterThan" } ] }
            ],
            "ownerSource": { "type": "ByTag", "value": "owner" },
            "governanceEmailNotification": { "disableManagerEmailNotification": true, "disableOwnerEmailNotification": false },
            "excludedScopes": ["/subscriptions/20ff7fc3-e762-44dd-bd96-b71116dcdc23/resourceGroups/quiet"],
            "includeMemberScopes": false,
            "somethingNew": { "a": [1, 2] },
            "metadata": { "createdBy": "c", "createdOn": "2022-11-10T08:31:26.7993124Z" }
        }
    })
}

fn rules(yaml: &str) -> amend_domain::RuleSet {
    rule_file::load(&[SourceText::new("imported.yaml", yaml)])
        .unwrap_or_else(|mistakes| panic!("{mistakes}\n{yaml}"))
        .0
        .rules
}

#[test]
fn what_is_imported_evaluates_and_what_is_not_known_stays_unknown() {
    let imported = governance::import(&original().to_string(), None).expect("imported");
    assert_eq!(
        imported.not_evaluable,
        [("defender-ad9a8e26-29d9-4829-bb30-e597a58cdbb8".to_owned(), "$.NewThing.Level GreaterThan 5".to_owned())]
    );
    let rules = rules(&imported.yaml);
    let rule = &rules.rules()[0];
    assert_eq!(
        (rule.priority, rule.due.map(|d| d.to_string()).as_deref(), &*rule.name),
        (200, Some("7d"), "Owners of storage")
    );
    assert_eq!(
        rule.scope.except[0].as_str(),
        "/subscriptions/20ff7fc3-e762-44dd-bd96-b71116dcdc23/resourcegroups/quiet"
    );
    assert!(matches!(rule.when[1].0.as_slice(), [Condition::NotEvaluable(_)]));
    let body = amend_tests::harness::Export { resource: "/subscriptions/20ff7fc3-e762-44dd-bd96-b71116dcdc23/resourceGroups/a/providers/Microsoft.Storage/storageAccounts/s".into(), ..Default::default() };
    let check = |body: &amend_tests::harness::Export, truth: Truth| {
        let context = amend_events::Context::new(amend_domain::TenantId::new(""));
        let items = amend_events::read(
            amend_events::Form::Plain,
            body.text().as_bytes(),
            &context,
            &amend_events::Limits::default(),
        )
        .expect("read");
        let [amend_events::Item::Assessment(assessment)] = items.as_slice() else { panic!("{items:?}") };
        assert_eq!(rule.answer(assessment, &amend_domain::Facts::none(amend_tests::random::now())).truth, truth);
    };
    check(&body, Truth::True);
    check(&amend_tests::harness::Export { severity: "Low".into(), ..body.clone() }, Truth::Unknown);
    check(&amend_tests::harness::Export { resource: body.resource.replace("/a/", "/quiet/"), ..body }, Truth::False);
}

#[test]
fn export_gives_back_what_was_not_edited_and_writes_what_was() {
    let imported = governance::import(&original().to_string(), None).expect("imported");
    let same = governance::export(rules(&imported.yaml).rules());
    assert_eq!(same.json, json!({ "value": [original()] }));
    let edited = imported.yaml.replace("priority: 200", "priority: 150").replace("due: 7.00:00:00", "due: 36h");
    let exported = governance::export(rules(&edited).rules());
    let mut expected = original();
    expected["properties"]["rulePriority"] = 150.into();
    expected["properties"]["remediationTimeframe"] = "1.12:00:00".into();
    assert_eq!(exported.json, json!({ "value": [expected] }));
}

#[test]
fn a_rule_of_ours_is_exported_where_defender_can_say_it() {
    let yaml = "
version: 1
rules:
  - id: ours
    name: Ours
    priority: 5
    scope: { in: /subscriptions/20ff7fc3-e762-44dd-bd96-b71116dcdc23 }
    when: [{ severity: [high, critical], key: 51fd8bb1-0db4-bbf1-7e2b-cfcba7eb66a6 }]
    owner: a@example.org
    due: 14d
    fix: enforce
  - { id: cel, priority: 6, scope: { in: /subscriptions/x }, when: [{ expr: \"tags.env == 'prod'\" }], owner: a@example.org }
  - { id: aws, priority: 7, scope: { in: 'aws:111111111111' }, when: [{ severity: high }], owner: a@example.org }
";
    let exported = governance::export(rules(yaml).rules());
    let rule = &exported.json["value"][0]["properties"];
    assert_eq!(rule["remediationTimeframe"], "14.00:00:00");
    assert_eq!(
        rule["conditionSets"][0]["conditions"][0],
        json!({ "property": "$.Metadata.Severity", "value": "[\"High\",\"Critical\"]", "operator": "In" })
    );
    assert_eq!(exported.not_carried, [("ours".to_owned(), "fix".to_owned())]);
    let why: Vec<&str> = exported.left_out.iter().map(|(rule, _)| rule.as_str()).collect();
    assert_eq!(why, ["cel", "aws"]);
    // What was exported can be imported, and says the same.
    let again = governance::import(&exported.json.to_string(), None).expect("imported");
    let back = rules(&again.yaml);
    assert_eq!(back.rules()[0].when, rules(yaml).get("ours").expect("ours").when);
}

#[test]
fn bad_input_is_named() {
    let message = |text: &str| governance::import(text, None).expect_err(text).to_string();
    assert!(message("{").contains("not JSON"));
    assert!(message("[]").contains("no governance rule"));
    assert!(message(r#"{"name":"n"}"#).contains("`n`: `properties` is missing"));
    let mut without = original();
    without.as_object_mut().expect("an object").remove("id");
    assert!(message(&without.to_string()).contains("`id` is missing"));
}

#[test]
fn the_published_examples_survive_import_and_export() {
    let Some(root) = reference_samples() else {
        println!("skipped: the folder of third-party samples is not present");
        return;
    };
    let mut survived = 0;
    for entry in std::fs::read_dir(root.join("arm-security")).expect("a folder") {
        let path = entry.expect("an entry").path();
        if !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("GovernanceRules__")) {
            continue;
        }
        let example: Value = serde_json::from_str(&std::fs::read_to_string(&path).expect("text")).expect("JSON");
        for answer in ["200", "201"] {
            let Some(body) =
                example.pointer(&format!("/responses/{answer}/body")).filter(|body| body.get("status").is_none())
            else {
                continue;
            };
            let imported = governance::import(&body.to_string(), None)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert_eq!(imported.not_evaluable, [], "{}", path.display());
            let exported = governance::export(rules(&imported.yaml).rules());
            let mut expected: Vec<Value> =
                body.get("value").and_then(Value::as_array).cloned().unwrap_or_else(|| vec![body.clone()]);
            let mut found = exported.json["value"].as_array().expect("a list").clone();
            let by_text = |a: &Value, b: &Value| a.to_string().cmp(&b.to_string());
            expected.sort_by(by_text);
            found.sort_by(by_text);
            assert_eq!(found, expected, "{}", path.display());
            survived += found.len();
        }
    }
    assert!(survived >= 12, "only {survived}");
}

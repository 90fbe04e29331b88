//! What the fuzz targets call, and what the tests replay on the kept inputs. None may panic, whatever
//! the bytes.
//!
//! The fuzz crate includes this file as it is, so that it links nothing else of the tests.

use amend_catalog::{SourceText, facts_file, fix_file, governance, owners_file, rule_file};
use amend_domain::{
    Assessment, Facts, TenantId, Truth,
    expr::Program,
    expr::formula::{Formula, Scope},
};
use amend_events::{Context, Form, Item, Limits};
use jiff::Timestamp;

/// A function that is fuzzed.
pub type Target = fn(&[u8]);

/// The targets, by name.
pub const TARGETS: &[(&str, Target)] = &[
    ("events", events),
    ("rules", rules),
    ("governance", governance),
    ("expression", expression),
    ("fixes", fixes),
    ("formula", formula),
];

/// Opens a delivery: the first byte chooses the door, the rest is the body.
pub fn events(bytes: &[u8]) {
    let Some((door, body)) = bytes.split_first() else { return };
    let form = Form::ALL[usize::from(*door) % Form::ALL.len()];
    let mut context = Context::new(TenantId::new("t"));
    if *door >= 128 {
        context.attributes = vec![("type".into(), "Amend.Defender.AssessmentChanged".into())];
    }
    let Ok(items) = amend_events::read(form, body, &context, &Limits::default()) else { return };
    for item in items {
        if let Item::Assessment(assessment) = item {
            // What was read can be written and read again.
            let text = serde_json::to_string(&assessment).expect("an assessment can be written");
            let again: Assessment = serde_json::from_str(&text).expect("what was written can be read");
            assert_eq!(*assessment, again);
            let _ = assessment.version();
        }
    }
}

/// Loads a rule file, and a facts file.
pub fn rules(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let file = SourceText::new("fuzz.yaml", text);
    let _ = facts_file::load(&file, Timestamp::UNIX_EPOCH);
    let _ = owners_file::load(&file);
    let _ = owners_file::load(&SourceText::new("owners.csv", &file.text));
    match rule_file::load(&[file]) {
        Ok((loaded, _)) => {
            for test in &loaded.tests {
                let _ = test.run(&loaded.rules);
            }
            let _ = governance::export(loaded.rules.rules());
        }
        Err(mistakes) => {
            assert!(mistakes.fatal(), "refused without an error");
            for mistake in mistakes.list() {
                assert!(mistake.span.end <= text.len() && mistake.line >= 1);
            }
        }
    }
}

/// Loads a fix file.
pub fn fixes(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match fix_file::load(&SourceText::new("fuzz.yaml", text)) {
        Ok((file, _)) => {
            for (call, _) in file.fix.calls() {
                amend_models::Call::find(call).expect("a loaded fix makes calls that there are");
            }
        }
        Err(mistakes) => {
            assert!(mistakes.fatal(), "refused without an error");
            for mistake in mistakes.list() {
                assert!(mistake.span.end <= text.len() && mistake.line >= 1);
            }
        }
    }
}

/// Evaluates an expression of a fix.
pub fn formula(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(formula) = Formula::compile(text, &["a", "target", "item"]) else { return };
    let value = serde_json::json!({
        "list": [1, "two", null, {"id": "x", "ports": ["22", "20-25"]}], "text": "{\"x\": [1]}", "n": 7, "none": null,
    });
    let scope =
        Scope::default().with("a", value.clone()).with("target", value).with("item", serde_json::json!("0.0.0.0/0"));
    if let Ok(value) = formula.evaluate(&scope) {
        assert_eq!(formula.evaluate(&scope).expect("the same again"), value, "the same expression has one value");
    }
}

/// Imports Defender governance rules.
pub fn governance(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(imported) = governance::import(text, None) {
        // What was made is a rule file, whatever the sender wrote; or it says why not.
        let _ = rule_file::load(&[SourceText::new("imported.yaml", imported.yaml)]);
    }
}

/// Compiles an expression and evaluates it.
pub fn expression(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(program) = Program::compile(text) else { return };
    let assessment = sample();
    let facts = Facts::none(Timestamp::UNIX_EPOCH);
    let evaluated = program.holds(&assessment, &facts);
    assert!(evaluated.truth != Truth::Unknown || !evaluated.needs.is_empty(), "unknown without a reason");
}

/// An assessment to evaluate on.
fn sample() -> Assessment {
    let body = r#"{"type":"Microsoft.Security/assessments","name":"k","id":"/subscriptions/s/providers/Microsoft.Security/assessments/k",
        "properties":{"status":{"code":"Unhealthy"},"metadata":{"severity":"High"},"risk":{"level":"High","riskFactors":["x"]}}}"#;
    let items = amend_events::read(Form::Plain, body.as_bytes(), &Context::new(TenantId::new("t")), &Limits::default());
    match items.expect("within the limits").pop() {
        Some(Item::Assessment(assessment)) => *assessment,
        other => panic!("not an assessment: {other:?}"),
    }
}

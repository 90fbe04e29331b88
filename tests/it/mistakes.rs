//! Mistakes in rule files: all at once, each with its place, the text there and what to do.

use amend_catalog::{SourceText, rule_file};

fn mistakes(text: &str) -> Vec<String> {
    match rule_file::load(&[SourceText::new("rules.yaml", text)]) {
        Ok((_, warnings)) => warnings.list().iter().map(show).collect(),
        Err(mistakes) => mistakes.list().iter().map(show).collect(),
    }
}

fn show(mistake: &amend_catalog::Mistake) -> String {
    let hint = mistake.hint.as_ref().map(|hint| format!(" | {hint}")).unwrap_or_default();
    format!("{}:{} {:?} {}{hint}", mistake.line, mistake.column, mistake.text, mistake.message)
}

#[test]
fn every_mistake_of_a_file_is_shown_with_its_place() {
    let text = r#"version: 1
rules:
  - id: public data
    priority: first
    sevrity: high
  - id: second
    priority: 10
    scope:
      in: [/subscriptions/a, aws:o-x, aws:123]
    when:
      - severity: [High, urgent]
        key: not-a-key
        tag: { key: env, in: prod, exists: true }
        expr: tags.env == 'prod' && sevrity == 'high'
    due: 2 weeks
    fix: { mode: enforced, when: at_due }
  - priority: 3
    due: soon
  - id: second
    priority: 10
    grace: true
"#;
    insta::assert_snapshot!(mistakes(text).join("\n"));
}

#[test]
fn a_file_that_is_no_yaml_says_where_it_stops_being_some() {
    insta::assert_snapshot!(mistakes("version: 1\nrules:\n  - id: a\n   priority: 1\n").join("\n"));
    assert!(mistakes("- a\n- b\n")[0].contains("expected a rule file"));
    assert!(mistakes("")[0].contains("expected a rule file"));
}

#[test]
fn an_empty_list_is_never_taken_for_everything() {
    for (member, named) in [
        ("scope: { in: [] }", "`in` lists nothing"),
        ("scope: { except: [] }", "`except` lists nothing"),
        ("when: []", "`when` lists nothing"),
        ("when: [{ expr: [] }]", "`expr` lists nothing"),
        ("when: [{ tag: [] }]", "`tag` lists nothing"),
        ("when: [{ tag: { key: env, in: [] } }]", "`in` lists nothing"),
        ("when: [{ severity: [] }]", "`severity` lists nothing"),
        ("when: [{ severity: {} }]", "`severity` asks nothing"),
        ("when: {}", "holds for everything"),
        ("when: [{ age: {} }]", "`age` asks nothing"),
    ] {
        let found = mistakes(&format!("version: 1\nrules:\n  - {{ id: a, priority: 1, {member} }}\n"));
        assert!(
            rule_file::load(&[SourceText::new(
                "r",
                format!("version: 1\nrules:\n  - {{ id: a, priority: 1, {member} }}\n")
            )])
            .is_err()
        );
        assert!(found.iter().any(|mistake| mistake.contains(named)), "{member}: {found:?}");
    }
}

#[test]
fn a_rule_that_can_never_govern_is_a_warning() {
    let text = "version: 1
rules:
  - { id: payments, priority: 1, scope: { in: /subscriptions/a }, when: [{ severity: high }] }
  - { id: everything-else, priority: 900 }
  - { id: too-late, priority: 950, when: [{ severity: high }] }
";
    insta::assert_snapshot!(mistakes(text).join("\n"));
}

#[test]
fn what_is_probably_not_meant_is_a_warning() {
    let text = "version: 1\nrules:\n  - { id: a, priority: 1 }\n  - { id: b, priority: 1 }\n";
    insta::assert_snapshot!(mistakes(text).join("\n"));
}

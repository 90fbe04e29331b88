//! Files that are made from the code: where they stand, and what must stand in them.

use amend_domain::expr;

/// Path and content of every generated file.
pub fn files() -> Vec<(&'static str, String)> {
    let json = |value: serde_json::Value| format!("{}\n", serde_json::to_string_pretty(&value).expect("JSON"));
    let openapi = serde_json::to_value(amend_web::openapi()).expect("JSON");
    vec![
        ("docs/reference/rules.schema.json", json(amend_catalog::rule_file::json_schema())),
        ("docs/reference/facts.schema.json", json(amend_catalog::facts_file::json_schema())),
        ("docs/reference/owners.schema.json", json(amend_catalog::owners_file::json_schema())),
        ("docs/reference/policy.schema.json", json(amend_catalog::policy_file::json_schema())),
        ("docs/reference/fixes.schema.json", json(amend_catalog::fix_file::json_schema())),
        ("docs/reference/fixes.md", fixes()),
        ("docs/reference/amend.schema.json", json(amend_pipeline::config::json_schema())),
        ("docs/reference/openapi.json", json(openapi)),
        ("docs/reference/configuration.md", configuration()),
        ("docs/reference/expressions.md", expressions()),
    ]
}

fn configuration() -> String {
    let (config, _) = amend_pipeline::config::load(None, std::path::Path::new(""), &[], jiff::Timestamp::UNIX_EPOCH)
        .expect("the defaults are fine");
    let mut page = String::from(
        "# Configuration\n\nEvery option of `amend.yaml`. Made from the code by `make generate`.\n\n\
         Each can be overridden in the environment: `limits.bytes` by `AMEND__LIMITS__BYTES`. Lists of words are separated by commas there; lists of anything else (`people`, `guards.freezes`) are in the file alone. A file may have the value, as platforms mount secrets: `AMEND__STORE__KEYS_FILE` names it.\n\n\
         | option | default | what it is for |\n| --- | --- | --- |\n",
    );
    for option in &config.options {
        page.push_str(&format!("| `{}` | `{}` | {} |\n", option.name, option.value, option.doc));
    }
    page.push_str("\n## Connectors\n\nEach has a name of its own, in place of `NAME`; [connectors](../connectors/README.md) shows how they are set up.\n\n| option | what it is for |\n| --- | --- |\n");
    for (name, doc) in amend_pipeline::config::connector_members() {
        page.push_str(&format!("| `{name}` | {doc} |\n"));
    }
    page
}

fn fixes() -> String {
    let catalogue = crate::harness::catalogue();
    let mut page = String::from(
        "# Fixes\n\nWhat ships with Amend. Made from the fix files by `make generate`; `amend catalog show ID` prints a whole one.\n\n\
         \"At most\" is the most that any rule may have it do.\n",
    );
    for (cloud, name) in [("azure", "Azure"), ("aws", "AWS"), ("gcp", "Google Cloud")] {
        page.push_str(&format!(
            "\n## {name}\n\n| fix | what it does | disruption | undo | reach | at most | calls that write |\n\
             | --- | --- | --- | --- | --- | --- | --- |\n"
        ));
        for file in catalogue.iter().filter(|file| file.fix.cloud().as_str() == cloud) {
            let fix = &file.fix;
            let mut calls: Vec<String> = fix.writes.iter().map(|write| format!("`{}`", write.call)).collect();
            calls.dedup();
            page.push_str(&format!(
                "| `{}` | [{}]({}) | {} | {} | {} | {} | {} |\n",
                fix.id,
                fix.title,
                fix.docs,
                fix.impact.disruption.as_str(),
                fix.impact.reversible.as_str(),
                fix.impact.reach.as_str(),
                fix.most().as_str(),
                calls.join(", "),
            ));
        }
    }
    page
}

fn expressions() -> String {
    let mut page = String::from(
        "# Names in expressions\n\nWhat `expr` conditions can ask about. Made from the code by `make generate`.\n\n\
         | name | what it is | case ignored in comparisons |\n| --- | --- | --- |\n",
    );
    for name in expr::Name::ALL {
        page.push_str(&format!(
            "| `{}` | {} | {} |\n",
            name.as_str(),
            name.doc().trim(),
            if name.ignores_case() { "yes" } else { "no" }
        ));
    }
    page.push_str("\nIn fixes there are, beside CEL's own:\n\n| function | what it gives |\n| --- | --- |\n");
    for (form, what) in expr::formula::FUNCTIONS {
        page.push_str(&format!("| `{form}` | {what} |\n"));
    }
    page.push_str(&format!(
        "\nFunctions of rules: {}; the macros `has`, `all`, `exists`, `exists_one`, `map`, `filter`; the operators of CEL.\n\n\
         Limits: {} bytes of source, nesting of {}, lists of {}, texts of {} bytes.\n",
        expr::FUNCTIONS.iter().map(|f| format!("`{f}`")).collect::<Vec<_>>().join(", "),
        expr::MAX_SOURCE,
        expr::MAX_DEPTH,
        expr::MAX_LIST,
        expr::MAX_TEXT,
    ));
    page
}

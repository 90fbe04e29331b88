//! The arrows between crates, as ARCHITECTURE.md draws them.

use std::{collections::BTreeMap, process::Command};

use amend_tests::harness::workspace;

/// What each crate may use of ours. A crate that is not listed fails the test.
const ARROWS: &[(&str, &[&str])] = &[
    ("amend-domain", &[]),
    ("amend-http", &[]),
    ("amend-events", &["amend-domain"]),
    ("amend-models", &["amend-domain"]),
    ("amend-cloud", &["amend-domain", "amend-http", "amend-models"]),
    ("amend-catalog", &["amend-domain", "amend-models"]),
    ("amend-store", &["amend-domain"]),
    ("amend-connect", &["amend-domain", "amend-http", "amend-store"]),
    (
        "amend-pipeline",
        &[
            "amend-catalog",
            "amend-cloud",
            "amend-connect",
            "amend-domain",
            "amend-events",
            "amend-models",
            "amend-store",
        ],
    ),
    ("amend-web", &["amend-domain", "amend-events", "amend-http", "amend-pipeline", "amend-store"]),
    (
        "amend-service",
        &[
            "amend-catalog",
            "amend-cloud",
            "amend-connect",
            "amend-domain",
            "amend-pipeline",
            "amend-store",
            "amend-web",
        ],
    ),
    ("amend-azure", &["amend-events", "amend-pipeline", "amend-service", "amend-web"]),
    ("amend-gcp", &["amend-events", "amend-pipeline", "amend-service", "amend-web"]),
    ("amend-aws", &["amend-events", "amend-pipeline", "amend-service"]),
    (
        "amend-cli",
        &[
            "amend-catalog",
            "amend-cloud",
            "amend-connect",
            "amend-domain",
            "amend-events",
            "amend-http",
            "amend-pipeline",
            "amend-service",
            "amend-store",
            "amend-web",
        ],
    ),
    ("amend-bench", &[]),
    (
        "amend-tests",
        &[
            "amend-catalog",
            "amend-cloud",
            "amend-connect",
            "amend-domain",
            "amend-events",
            "amend-http",
            "amend-models",
            "amend-pipeline",
            "amend-store",
            "amend-web",
        ],
    ),
];

/// What the pure crates may not even reach: I/O, clocks, YAML (but in catalog), HTTP, SQL.
const NOT_IN_PURE: &[&str] = &["tokio", "reqwest", "axum", "sqlx", "hyper", "serde-saphyr", "tracing"];

fn metadata() -> serde_json::Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(workspace())
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn dependencies() -> BTreeMap<String, Vec<String>> {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("packages");
    packages
        .iter()
        .map(|package| {
            let normal =
                package["dependencies"].as_array().expect("dependencies").iter().filter(|d| d["kind"].is_null());
            let names = normal.map(|d| d["name"].as_str().expect("a name").to_owned()).collect();
            (package["name"].as_str().expect("a name").to_owned(), names)
        })
        .collect()
}

#[test]
fn crates_use_each_other_as_drawn() {
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    for (package, uses) in dependencies() {
        let may = allowed.get(package.as_str()).unwrap_or_else(|| panic!("{package} is not in ARROWS"));
        for used in uses.iter().filter(|name| name.starts_with("amend-")) {
            assert!(may.contains(&used.as_str()), "{package} may not use {used}");
        }
    }
}

#[test]
fn the_pure_crates_do_no_io() {
    let dependencies = dependencies();
    for package in ["amend-domain", "amend-events", "amend-models"] {
        for used in &dependencies[package] {
            assert!(!NOT_IN_PURE.contains(&used.as_str()), "{package} may not use {used}");
        }
    }
}

#[test]
fn one_file_reads_the_environment_and_one_place_knows_cel() {
    let grep = |pattern: &str| {
        let output = Command::new("git")
            .args(["grep", "-l", "--untracked", pattern, "--", "shared/*.rs", "functions/*.rs"])
            .current_dir(workspace())
            .output()
            .expect("git grep runs");
        String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(grep("env::var"), ["shared/pipeline/src/config/mod.rs"]);
    let cel = grep("use cel::");
    assert!(cel.iter().all(|file| file.starts_with("shared/domain/src/expr")), "{cel:?}");
    assert_eq!(grep("Timestamp::now()"), ["shared/pipeline/src/system.rs"]);
    assert_eq!(grep("reqwest::Client::builder"), ["shared/http/src/lib.rs"]);
}

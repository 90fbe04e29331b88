//! Files that are made from the code are what the code makes.

use amend_tests::{generated, harness::workspace};

#[test]
fn generated_files_are_up_to_date() {
    for (path, content) in generated::files() {
        let found = std::fs::read_to_string(workspace().join(path)).unwrap_or_default();
        assert!(found == content, "{path} is out of date: run `make generate` and commit it");
    }
}

#[test]
fn every_route_is_described() {
    let openapi = serde_json::to_value(amend_web::openapi()).expect("JSON");
    let paths = openapi["paths"].as_object().expect("paths");
    for form in amend_events::Form::ALL {
        assert!(paths.contains_key(&format!("/events/{}", form.as_str())), "{}", form.as_str());
    }
    for path in
        ["/", "/healthz", "/readyz", "/api/v1/problems", "/api/v1/problems/{id}/explain", "/api/v1/backlog/release"]
    {
        assert!(paths.contains_key(path), "{path}");
    }
}

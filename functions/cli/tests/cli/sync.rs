//! What systems are told, on the command line: shown before, done by a sweep, listed after.

use amend_tests::clouds::Served;
use serde_json::{Value, json};

use super::{Place, code, text};

#[test]
fn what_defender_would_be_told_is_shown_then_told_and_listed() {
    let (served, resource, report, environment) = amend_tests::functions::account();
    let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let place = Place::new();
    let config = |sync: &str| place.write("amend.yaml", &format!("version: 1\nrules: rules.yaml\n{sync}"));
    config("");
    let rule = "{ id: all, priority: 1, owner: ann@example.org, due: 7d, ticket: true }";
    place.write("rules.yaml", &format!("version: 1\nrules: [{rule}]\n"));
    place.write("event.json", &report.to_string());
    let amend = |arguments: &[&str]| {
        let done = place.amend_in(arguments, "", &environment);
        let all = format!("{}{}", text(&done.stdout), text(&done.stderr));
        (code(&done), all.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    for (sync, arguments, status, said) in [
        ("", vec!["sync"], 1, "say which under `sync` in amend.yaml: docs/sync.md"),
        ("sync: { defender: { authority: me } }", vec!["sync"], 3, "`me` is not known here"),
        ("sync: { defender: { override: true } }", vec!["sync"], 3, "say `authority: amend`, or take it out"),
        ("sync: { defender: { authority: amend } }", vec!["sync"], 1, "there is no store"),
        ("sync: { defender: { authority: amend } }", vec!["import", "event.json"], 0, ""),
        ("sync: { defender: { authority: amend } }", vec!["sync"], 0, "nothing was told yet"),
        ("sync: { defender: { authority: amend } }", vec!["sync", "plan"], 0, "0 problems looked at, 0 to be told"),
        (
            "sync: { defender: { authority: amend } }",
            vec!["backlog", "release", "--rule", "all", "--limit", "9"],
            0,
            "",
        ),
        ("sync: { defender: { authority: amend } }", vec!["sync", "plan", "p-zz"], 1, "names 0 problems"),
        ("sync: { defender: { authority: amend } }", vec!["sync", "plan"], 0, "owner: ann@example.org"),
        (
            "sync: { defender: { authority: amend } }",
            vec!["roles", "--cloud", "azure"],
            0,
            "governanceAssignments/write",
        ),
        (
            "sync: { security_hub: { findings: true } }",
            vec!["roles", "--cloud", "aws"],
            0,
            "securityhub:BatchUpdateFindings",
        ),
        (
            "sync: { scc: { marks: true } }",
            vec!["roles", "--cloud", "gcp"],
            0,
            "securitycenter.findingsecuritymarks.update",
        ),
    ] {
        config(sync);
        let (code, all) = amend(&arguments);
        assert!(code == status && all.contains(said), "{sync} {arguments:?}: {code} {all}");
    }
    let path = format!("{}.*governanceAssignments/", resource.rsplit('/').next().expect("a name").to_lowercase());
    let writes = || {
        let seen = served.ask(&json!({ "do": "requests", "path": path, "after": 0 }));
        seen["requests"].as_array().map(Vec::len)
    };
    assert_eq!(writes(), Some(0), "a plan writes nothing");
    config("sync: { defender: { authority: amend } }\n");
    let planned = place.amend_in(&["sync", "plan", "--format", "json"], "", &environment);
    let planned: Value = serde_json::from_slice(&planned.stdout).expect("JSON");
    assert_eq!((&planned[0]["system"], &planned[0]["taken_over"]), (&json!("defender"), &Value::Null));
    assert_eq!(planned[0]["changes"][1], json!({ "path": "owner", "from": null, "to": "ann@example.org" }));
    let plain = text(&place.amend_in(&["sync", "plan", "--format", "plain"], "", &environment).stdout);
    let owner = plain.lines().find(|line| line.contains("\towner\t")).expect("a line");
    assert!(plain.starts_with("system\tproblem\t") && owner.ends_with("\t-\tann@example.org"), "{plain}");
    let (swept, all) = amend(&["sweep"]);
    assert_eq!((swept, writes()), (0, Some(1)), "{all}");
    for (arguments, said) in [
        (vec!["sync"], "owners, dates and tickets are written where it says nothing"),
        (vec!["sync"], "ticketStatus: Active"),
        (vec!["sync", "plan"], "1 problem looked at, 0 to be told; nothing was written"),
        (vec!["sync", "--format", "plain"], "system problem resource looked at (UTC) told"),
        (vec!["audit", "list"], "sync.defender"),
        (vec!["work"], "there is nothing to do"),
    ] {
        let (code, all) = amend(&arguments);
        assert!(code == 0 && all.contains(said), "{arguments:?}: {code} {all}");
    }
    // Where it may not be read, that is said, and what to grant.
    let denied = json!({ "status": 403, "code": "AuthorizationFailed", "message": "no", "times": 9 });
    served.ask(&json!({ "do": "fail", "match": { "path": path.trim_end_matches('/') }, "with": denied }));
    let (refused, all) = amend(&["sync", "plan"]);
    assert!(refused == 1 && all.contains("AuthorizationFailed") && all.contains("`amend roles` shows"), "{all}");
    served.ask(&json!({ "do": "unspent", "path": path.trim_end_matches('/') }));
    assert_eq!(Served::azure().ask(&json!({ "do": "wrong" })), json!([]));
}

//! Owners and dates on the command line: a file that says who is who, and dates that people set.

use amend_domain::ports::Clock as _;
use amend_pipeline::system::SystemClock;
use serde_json::Value;

use super::{Place, code, text};

const RULES: &str = "version: 1\nrules: [{ id: all, priority: 1, owner: Web squad, due: 7d }]\n";

fn place(config: &str) -> Place {
    let place = Place::new();
    place.write("rules.yaml", RULES);
    place.write("amend.yaml", &format!("version: 1\nrules: rules.yaml\n{config}"));
    let event = amend_tests::filing::account("st1").text();
    place.write("event.json", &event);
    place
}

fn release(place: &Place) {
    for arguments in [vec!["import", "event.json"], vec!["backlog", "release", "--rule", "all", "--limit", "10"]] {
        let done = place.amend(&arguments);
        assert_eq!(code(&done), 0, "{}", text(&done.stderr));
    }
}

#[test]
fn a_file_says_who_is_who() {
    let place = place("owners: owners.csv\n");
    let missing = place.amend(&["import", "event.json"]);
    assert!(code(&missing) == 1 && text(&missing.stderr).contains("owners.csv"), "{}", text(&missing.stderr));
    place.write("owners.csv", "name,owner,manager\n# who left\nWeb squad,web@example.org,Mara\n");
    let wrong = place.amend(&["import", "event.json"]);
    let said = text(&wrong.stderr);
    assert!(code(&wrong) != 0 && said.contains("`Mara` is no address") && said.contains("owners.csv:3"), "{said}");
    place.write("owners.csv", "\u{feff}Name;Owner;Manager\r\n\"Web squad\";web@example.org;mara@example.org\r\n");
    release(&place);
    let listed: Value = serde_json::from_slice(&place.amend(&["list", "--format", "json"]).stdout).expect("JSON");
    let listed = &listed.as_array().or(listed["problems"].as_array()).expect("a list")[0];
    assert_eq!(listed["owner"], "web@example.org");
    assert_eq!(listed["owner_from"], "named by the rule: Web squad, who is this in owners.csv");
}

#[test]
fn a_date_is_moved_with_a_reason_by_whoever_may() {
    let place = place("");
    let none = place.amend(&["due", "p-1", "2035-12-15", "--why", "x"]);
    assert!(code(&none) == 1 && text(&none.stderr).contains("there is no store"), "{}", text(&none.stderr));
    release(&place);
    let id = text(&place.amend(&["list", "--format", "plain"]).stdout);
    let id = id.lines().nth(1).and_then(|line| line.split('\t').next()).expect("an id").to_owned();
    for (arguments, status, said) in [
        (vec!["due", &id, "2035-12-15"], 2, "--why"),
        (vec!["due", &id, "15.12.2035", "--why", "x"], 1, "`15.12.2035` is no day"),
        (vec!["due", &id, "2020-01-01", "--why", "x"], 1, "that day is over"),
        (vec!["due", "p-zz", "2035-12-15", "--why", "x"], 1, "names 0 problems"),
        (vec!["due", &id, "2035-12-15", "--why", "a release"], 0, "is due on 2035-12-15"),
        (vec!["eta", &id, "2035-11-01", "--why", "after the freeze"], 0, "its due date stands"),
        (vec!["explain", &id], 0, "2035-12-15, moved by the local user: a release"),
        (vec!["explain", &id], 0, "eta 2035-11-01, as the local user says (\"after the freeze\")"),
        (vec!["digest"], 0, "Web squad"),
        (vec!["eta", &id], 2, "required"),
        (vec!["eta", &id, "--none"], 0, "nobody says any more"),
        (vec!["announced"], 0, "no fix is announced"),
        (vec!["announced", &id], 0, "no fix is announced"),
        (vec!["announced", &id, "--now"], 1, "no fix of it is announced"),
        (vec!["announced", &id, "--object"], 2, "--why"),
        (vec!["announced", &id, "--postpone", "soon", "--why", "x"], 1, "`soon` is no day"),
        (vec!["announced", "--now"], 2, "<PROBLEM>"),
        (vec!["audit", "list"], 0, "problem.due"),
    ] {
        let done = place.amend(&arguments);
        let all = format!("{}{}", text(&done.stdout), text(&done.stderr));
        let all = all.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(code(&done) == status && all.contains(said), "{arguments:?}: {} {all}", code(&done));
    }
    // Where people have names, only some may.
    let token = |name: &str| -> (String, String) {
        let value: Value =
            serde_json::from_slice(&place.amend(&["token", name, "--format", "json"]).stdout).expect("JSON");
        let text = |member: &str| value[member].as_str().expect("text").to_owned();
        (text("token"), text("digest"))
    };
    let ((ann, ann_digest), (pat, pat_digest)) = (token("ann"), token("pat"));
    place.write(
        "amend.yaml",
        &format!("version: 1\nrules: rules.yaml\npeople:\n  - {{ name: ann, token: '{ann_digest}' }}\n  - {{ name: pat, token: '{pat_digest}', may: dates }}\n"),
    );
    let due = ["due", &*id, "2035-12-16", "--why", "x"];
    for (token, status, said) in [
        ("", 1, "nobody knows who you are"),
        (&*ann, 1, "ann may not move due dates"),
        (&*pat, 0, "is due on 2035-12-16"),
    ] {
        let environment: &[(&str, &str)] = if token.is_empty() { &[] } else { &[("AMEND__TOKEN", token)] };
        let done = place.amend_in(&due, "", environment);
        let all = format!("{}{}", text(&done.stdout), text(&done.stderr));
        assert!(code(&done) == status && all.contains(said), "{said}: {} {all}", code(&done));
    }
}

#[test]
fn an_announced_fix_is_listed_and_answered() {
    let (_, resource, report, environment) = amend_tests::functions::account();
    let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let place = Place::new();
    place.write("amend.yaml", "version: 1\nrules: rules.yaml\nremediate: { most: enforce }\nguards: { new_for: 0d }\n");
    let fix = "{ mode: enforce, announce: 3d }";
    place.write(
        "rules.yaml",
        &format!("version: 1\nrules: [{{ id: all, priority: 1, owner: ann, due: 7d, fix: {fix} }}]\n"),
    );
    place.write("event.json", &report.to_string());
    let amend = |arguments: &[&str]| {
        let done = place.amend_in(arguments, "", &environment);
        let all = format!("{}{}", text(&done.stdout), text(&done.stderr));
        (code(&done), all.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    for arguments in
        [vec!["import", "event.json"], vec!["backlog", "release", "--rule", "all", "--limit", "10"], vec!["sweep"]]
    {
        let (code, said) = amend(&arguments);
        assert_eq!(code, 0, "{said}");
    }
    let listed = place.amend_in(&["announced", "--format", "json"], "", &environment);
    let listed: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    assert_eq!(listed[0]["announced"]["fix"], "azure.storage.secure-transfer");
    assert_eq!(listed[0]["announced"]["begins"], Value::Null, "nobody was told yet");
    assert_eq!(listed[0]["problem"]["resource_id"], resource.to_lowercase());
    let id = listed[0]["problem"]["id"].as_str().expect("an id").to_owned();
    let day = |days: i64| {
        let now = SystemClock.now();
        now.saturating_add(jiff::SignedDuration::from_hours(24 * days)).expect("a day").strftime("%Y-%m-%d").to_string()
    };
    let (past, later) = (day(-1), day(10));
    for (arguments, status, said) in [
        (vec!["announced", &id, "--postpone", &past, "--why", "x"], 1, "postponed to a later day, by 30 days at most"),
        (vec!["announced", &id, "--postpone", &later, "--why", "a freeze"], 0, "and not before"),
        (vec!["announced", &id, "--postpone", &later, "--why", "a freeze"], 1, "which is done once"),
        (vec!["explain", &id], 0, "the local user postponed it (\"a freeze\")"),
        (vec!["announced", &id, "--object", "--why", "on purpose"], 0, "its ticket says so"),
        (vec!["explain", &id], 0, "does not begin; the local user objects (\"on purpose\")"),
        (vec!["announced"], 0, "never"),
        (vec!["announced", &id, "--now"], 1, "`--withdraw` ends the objection"),
        (vec!["sweep"], 0, "done"),
        (vec!["tickets", "show", "1"], 0, "the local user objects to its fix: on purpose"),
        (vec!["remediations"], 0, "nothing was fixed"),
        (vec!["announced", &id, "--withdraw"], 0, "that is announced anew"),
    ] {
        let (code, all) = amend(&arguments);
        assert!(code == status && all.contains(said), "{arguments:?}: {code} {all}");
    }
}

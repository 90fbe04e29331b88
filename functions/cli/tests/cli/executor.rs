//! Executors on the command line: their keys are made, their policy is shown, and the hub asks them.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use serde_json::Value;

use super::{Place, code, text};

const POLICY: &str = "version: 1
most: enforce
accounts: [aws:111122223333]
fixes: { only: [aws.s3.require-tls, aws.kms.rotation, aws.s3.block-public-access], never: aws.s3.block-public-access }
spare: [\"arn:aws:s3:::prod-*\"]
";

#[test]
fn a_policy_is_shown_as_what_it_lets_be_done() {
    let place = Place::new();
    place.write("policy.yaml", POLICY);
    let shown = place.amend(&["executor", "policy", "policy.yaml"]);
    assert_eq!(code(&shown), 0, "{}", text(&shown.stderr));
    let lines: Vec<String> = text(&shown.stdout).lines().take(14).map(|line| line.trim_end().to_owned()).collect();
    insta::assert_snapshot!(lines.join("\n"));
    let json = text(&place.amend(&["executor", "policy", "policy.yaml", "--format", "json"]).stdout);
    let json: Value = serde_json::from_str(&json).expect("JSON");
    let fix = |id: &str| json["fixes"].as_array().and_then(|all| all.iter().find(|fix| fix["fix"] == id)).cloned();
    let tls = fix("aws.s3.require-tls").expect("there");
    assert_eq!((&tls["rule"], &tls["person"]), (&Value::Bool(true), &Value::Bool(true)));
    assert_eq!(fix("gcp.sql.backups"), None, "no account of its policy is there");
    let none = place.amend(&["executor", "policy"]);
    assert_eq!(code(&none), 1);
    assert!(text(&none.stderr).contains("amend executor policy FILE"), "{}", text(&none.stderr));
}

#[test]
fn a_hub_asks_its_executors_with_the_keys_that_the_command_made() {
    let made = Place::new().amend(&["executor", "key", "--format", "json"]);
    let keys: Value = serde_json::from_str(&text(&made.stdout)).expect("JSON");
    let key = |name: &str| keys[name].as_str().expect("a key").to_owned();
    let far = Place::new();
    far.write("policy.yaml", POLICY);
    let public = key("hub_public");
    far.write(
        "amend.yaml",
        &format!("version: 1\nexecutor: {{ name: aws-prod, hubs: '{public}', policy: policy.yaml }}\n"),
    );
    let mut serving = Command::new(env!("CARGO_BIN_EXE_amend"))
        .args(["serve", "--port", "0"])
        .current_dir(far.folder.path())
        .env_clear()
        .env("AMEND__EXECUTOR__KEYS", key("executor_key"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("amend starts");
    let mut line = String::new();
    let mut said = BufReader::new(serving.stderr.take().expect("a pipe"));
    said.read_line(&mut line).expect("a line");
    let url = line.trim().rsplit(' ').next().expect("an address").to_owned();
    assert!(line.starts_with("the executor aws-prod listens on http://127.0.0.1:"), "{line}");

    let hub = Place::new();
    hub.write(
        "amend.yaml",
        &format!(
            "version: 1
hub:
  executors:
    - {{ name: aws-prod, url: '{url}', accounts: 'aws:111122223333' }}
    - {{ name: aws-other, url: '{url}', accounts: ['aws:111122224444'] }}
"
        ),
    );
    let secret = key("hub_key");
    let asked = hub.amend_in(&["executor"], "", &[("AMEND__HUB__KEY", &secret)]);
    let shown = text(&asked.stdout).replace(&url, "http://127.0.0.1:PORT0");
    let lines: Vec<&str> = shown.lines().map(str::trim_end).filter(|line| !line.starts_with(['─', '═'])).collect();
    let words: Vec<String> = lines.iter().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    insta::assert_snapshot!(words.join("\n"));
    assert_eq!(code(&asked), 3, "one of them is another");
    // Its team stops it.
    far.write("policy.yaml", &format!("{POLICY}stopped: an incident\n"));
    let asked = hub.amend_in(&["executor", "--format", "json"], "", &[("AMEND__HUB__KEY", &secret)]);
    let rows: Value = serde_json::from_str(&text(&asked.stdout)).expect("JSON");
    assert_eq!(rows[0]["wrong"][0], "it does nothing: an incident", "{rows}");
    // Another hub is not known.
    let other = Place::new().amend(&["executor", "key", "--format", "json"]);
    let other: Value = serde_json::from_str(&text(&other.stdout)).expect("JSON");
    let other = other["hub_key"].as_str().expect("a key");
    let asked = hub.amend_in(&["executor", "--format", "plain"], "", &[("AMEND__HUB__KEY", other)]);
    assert!(text(&asked.stdout).contains("no key in its `executor.hubs` signed this"), "{}", text(&asked.stdout));
    assert!(!text(&asked.stderr).contains("whsk_"));
    serving.kill().expect("it ends");
    let _ = serving.wait();
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut said, &mut rest).expect("text");
    assert!(rest.contains("this task is for `aws-other`"), "{rest}");
}

//! The command as people use it: what it prints, where, and how it ends.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
};

use amend_tests::{clouds::Served, places::Fresh};
use serde_json::json;

#[path = "cli/audit.rs"]
mod audit;
#[path = "cli/crash.rs"]
mod crash;
#[path = "cli/dates.rs"]
mod dates;
#[path = "cli/executor.rs"]
mod executor;
#[path = "cli/sync.rs"]
mod sync;
#[path = "cli/tickets.rs"]
mod tickets;

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).expect("written");
    }

    fn amend(&self, arguments: &[&str]) -> Output {
        self.amend_with(arguments, "")
    }

    fn amend_with(&self, arguments: &[&str], input: &str) -> Output {
        self.amend_in(arguments, input, &[])
    }

    fn amend_in(&self, arguments: &[&str], input: &str, environment: &[(&str, &str)]) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_amend"))
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("NO_COLOR", "1")
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("amend starts");
        child.stdin.take().expect("standard input").write_all(input.as_bytes()).expect("written");
        child.wait_with_output().expect("amend ends")
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("an exit code")
}

/// A finding with a date, so that the table does not depend on the day.
fn finding(name: &str, severity: &str, risk: &str) -> String {
    format!(
        r#"{{"type":"Microsoft.Security/assessments","name":"51fd8bb1-0db4-bbf1-7e2b-cfcba7eb66a6",
        "id":"/subscriptions/8f2c6f0a-41d7-4c8e-9b1f-2a3d5e7f9011/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/{name}/providers/Microsoft.Security/assessments/51fd8bb1-0db4-bbf1-7e2b-cfcba7eb66a6",
        "properties":{{"displayName":"Storage account public access should be disallowed","resourceDetails":{{"source":"Azure","id":"/subscriptions/8f2c6f0a-41d7-4c8e-9b1f-2a3d5e7f9011/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/{name}"}},
        "status":{{"code":"Unhealthy","statusChangeDate":"2026-11-18T07:41:09.1234567Z"}},"metadata":{{"severity":"{severity}"}}{risk}}}}}"#
    )
}

const RULES: &str = "version: 1
rules:
  - { id: public, name: Public, priority: 1, when: [{ risk: { in: [critical, high], when_absent: severity } }], owner: desk@example.org, fix: approve, ticket: true }
  - { id: rest, priority: 2, owner: desk@example.org }
";

fn place() -> Place {
    let place = Place::new();
    place.write("rules.yaml", RULES);
    place.write("amend.yaml", "version: 1\nrules: rules.yaml\n");
    place
}

#[test]
fn the_decision_table_is_most_risky_first_and_says_why() {
    let place = place();
    let list = [
        finding("low1", "Low", ""),
        finding("high1", "High", ""),
        finding("crit1", "Medium", r#","risk":{"level":"Critical","riskFactors":[]}"#),
    ];
    let output = place.amend_with(&["decide", "-"], &format!("[{}]", list.join(",")));
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    insta::assert_snapshot!(text(&output.stdout));
}

#[test]
fn mistakes_are_shown_with_their_place_and_end_with_three() {
    let place = Place::new();
    place.write(
        "rules.yaml",
        "version: 1\nrules:\n  - id: a\n    priority: 1\n    when: [{ sevrity: high, expr: \"tag.env == 'prod'\" }]\n",
    );
    let output = place.amend(&["rules", "check", "rules.yaml"]);
    assert_eq!(code(&output), 3);
    insta::assert_snapshot!(text(&output.stderr));
    let plain = place.amend(&["rules", "check", "rules.yaml", "--format", "plain"]);
    assert!(
        text(&plain.stderr).contains("rules.yaml:5:14: error: `sevrity` is not a member"),
        "{}",
        text(&plain.stderr)
    );
    let json = place.amend(&["rules", "check", "rules.yaml", "--format", "json"]);
    assert_eq!(code(&json), 3);
    assert!(text(&json.stdout).contains("\"line\": 5"), "{}", text(&json.stdout));
}

#[test]
fn bad_input_is_an_error_in_words_and_never_a_panic() {
    let place = place();
    place.write("broken.yaml", "version: 9\nlistn: x\n");
    place.write("words.txt", "hello");
    place.write("bytes.bin", "x");
    std::fs::write(place.folder.path().join("bytes.bin"), [0xff, 0xfe, 0x00]).expect("written");
    for (arguments, exit, words) in [
        (vec!["list", "--config", "nowhere.yaml"], 1, "cannot read nowhere.yaml"),
        (vec!["list", "--config", "broken.yaml"], 3, "did you mean `listen`?"),
        (vec!["decide", "nowhere.json"], 1, "cannot read nowhere.json"),
        (vec!["decide", "words.txt"], 3, "not JSON"),
        (vec!["decide", "bytes.bin"], 3, "not UTF-8"),
        (vec!["import", "words.txt"], 3, ""),
        (vec!["explain", "p-00000000"], 1, "`amend list` shows the ids"),
        (vec!["explain", ""], 1, "is not known"),
        (vec!["backlog", "release", "--rule", "nobody", "--limit", "1"], 1, "the rule `nobody` is not known"),
        (vec!["backlog", "release", "--rule", "rest", "--limit", "1", "--scope", "prod"], 1, "`prod` names no scope"),
        (vec!["backlog", "release", "--rule", "rest", "--limit", "many"], 2, "invalid value"),
        (vec!["unreadable", "show", "nothing"], 1, "`amend unreadable list` shows them"),
        (vec!["rules", "check", "words.txt"], 3, "expected a rule file"),
        (vec!["rules", "check", "bytes.bin"], 1, "not UTF-8"),
        (vec!["rules", "import", "words.txt"], 3, "not JSON"),
        (vec!["rules", "check", "--against", "nowhere.json"], 1, "cannot read nowhere.json"),
        (vec!["demo", "--port", "1"], 1, "is `amend serve` running?"),
        (vec!["serve", "--port", "99999"], 2, "invalid value"),
        (vec!["frobnicate"], 2, "unrecognized subcommand"),
    ] {
        let output = place.amend(&arguments);
        let errors = text(&output.stderr);
        assert_eq!(code(&output), exit, "{arguments:?}: {errors}");
        assert!(errors.contains(words), "{arguments:?}: {errors}");
        assert!(!errors.contains("panicked") && !errors.contains("RUST_BACKTRACE"), "{arguments:?}: {errors}");
    }
}

#[test]
fn the_demo_serves_posts_and_a_second_time_nothing_changes() {
    let place = Place::new();
    // Port 0 lets the system choose a free one.
    let run = || place.amend(&["demo", "--serve", "--once", "--port", "0"]);
    let first = run();
    let out = text(&first.stdout);
    assert_eq!(code(&first), 0, "{}", text(&first.stderr));
    assert!(out.contains("24 open problems, most risky first"), "{out}");
    assert!(out.contains("30 new, 8 changed, 1 known already, 1 out of date"), "{out}");
    let second = text(&run().stdout);
    assert!(second.contains("0 new, 0 changed, 40 known already"), "{second}");
    assert!(second.contains("Nothing changed"), "{second}");

    // What it remembers can be asked about.
    let list = text(&place.amend(&["list", "--format", "plain"]).stdout);
    let line = list.lines().find(|line| line.contains("nw-orders-dev")).expect("listed");
    let id = line.split('\t').next().expect("an id");
    let explained = text(&place.amend(&["explain", &id[..8]]).stdout);
    assert!(explained.contains("sandbox: might govern: the walk stops here"), "{explained}");
    assert!(explained.contains("management scopes     not known"), "{explained}");
    let backlog = text(&place.amend(&["backlog"]).stdout);
    assert!(backlog.contains("in the backlog: 1 problem"), "{backlog}");
    let kept = text(&place.amend(&["unreadable", "list", "--format", "plain"]).stdout);
    assert!(kept.contains("records[3].properties.status"), "{kept}");
    let retried = place.amend(&["unreadable", "retry"]);
    assert_eq!(code(&retried), 3);
    assert!(text(&retried.stdout).contains("still unreadable"), "{}", text(&retried.stdout));
}

#[test]
fn a_port_that_is_taken_is_said_so() {
    let place = place();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    for arguments in [vec!["serve", "--port", &port], vec!["demo", "--serve", "--once", "--port", &port]] {
        let output = place.amend(&arguments);
        let errors = text(&output.stderr);
        assert_eq!(code(&output), 1);
        assert!(
            errors.contains("cannot listen on 127.0.0.1") && errors.contains("another program has this port"),
            "{errors}"
        );
    }
}

#[test]
fn an_import_waits_in_the_backlog_until_it_is_released() {
    let place = place();
    let list: Vec<String> =
        (0..7).map(|n| finding(&format!("st{n}"), if n % 2 == 0 { "High" } else { "Low" }, "")).collect();
    place.write("export.json", &format!("{{\"value\": [{}]}}", list.join(",")));
    let imported = place.amend(&["import", "export.json"]);
    assert_eq!(code(&imported), 0, "{}", text(&imported.stderr));
    assert!(text(&imported.stdout).contains("7 new"), "{}", text(&imported.stdout));
    assert_eq!(text(&imported.stderr), "", "an import says nothing of each finding");
    let json = text(&place.amend(&["backlog", "--format", "json"]).stdout);
    assert!(json.contains("\"public\": 4") && json.contains("\"total\": 7"), "{json}");
    let released = text(&place.amend(&["backlog", "release", "--rule", "public", "--limit", "3"]).stdout);
    assert!(released.contains("3 released"), "{released}");
    let left = text(&place.amend(&["backlog", "--format", "json"]).stdout);
    assert!(left.contains("\"total\": 4"), "{left}");
    let checked = place.amend(&["rules", "check", "--against", "store"]);
    assert!(text(&checked.stdout).contains("no mistakes: 2 rules, 0 tests"), "{}", text(&checked.stderr));
}

#[test]
fn rules_that_ask_for_what_nothing_has_are_warned_of() {
    let place = Place::new();
    place.write("rules.yaml", "version: 1\nrules: [{ id: a, priority: 1, when: [{ risk: critical }] }, { id: b, priority: 2, scope: { in: /subscriptions/none } }]\n");
    place.write("export.json", &finding("st", "High", ""));
    let output = place.amend(&["rules", "check", "rules.yaml", "--against", "export.json"]);
    let errors = text(&output.stderr);
    assert!(errors.contains("rule `a`: no assessment in its scope (1) has the risk level"), "{errors}");
    assert!(errors.contains("rule `b`: no assessment lies in its scope"), "{errors}");
}

#[test]
fn the_configuration_is_checked_with_all_that_it_names() {
    let place = place();
    assert!(text(&place.amend(&["config", "check"]).stdout).contains("is fine"));
    let explained = text(&place.amend(&["config", "explain", "--format", "plain"]).stdout);
    assert!(explained.contains("rules\trules.yaml\tamend.yaml:2"), "{explained}");
    place.write("rules.yaml", "version: 1\nrules: [{ id: a, priority: 1, notify: '#ops' }]\n");
    let output = place.amend(&["config", "check"]);
    assert!(code(&output) == 0 && text(&output.stderr).contains("rules notify #ops, and there is no such channel"));
    place.write("rules.yaml", "version: 1\nrules: [{ id: a }]\n");
    let output = place.amend(&["config", "check"]);
    assert_eq!(code(&output), 3);
    assert!(text(&output.stderr).contains("a rule lacks `priority`"), "{}", text(&output.stderr));
    for schema in [["config", "schema"], ["rules", "schema"]] {
        assert!(text(&place.amend(&schema).stdout).contains("json-schema.org"), "{schema:?}");
    }
}

#[test]
fn the_fixes_have_no_mistakes_and_their_tests_hold() {
    let place = Place::new();
    let checked = place.amend(&["catalog", "check"]);
    assert_eq!((code(&checked), text(&checked.stderr)), (0, String::new()));
    let tested = place.amend(&["catalog", "test", "--format", "json"]);
    let results: Vec<serde_json::Value> = serde_json::from_slice(&tested.stdout).expect("JSON");
    assert!(code(&tested) == 0 && results.len() > 150 && results.iter().all(|result| result["wrong"].is_null()));
    let listed = place.amend(&["catalog", "list", "--format", "plain"]);
    assert_eq!(text(&listed.stdout).lines().filter(|line| line.contains(".no-public-")).count(), 6);
}

#[test]
fn a_plan_shows_what_where_why_and_the_diff() {
    let place = Place::new();
    let mut shown = String::new();
    for fix in ["azure.nsg.management-ports", "aws.ec2.no-public-ssh", "gcp.storage.uniform-access"] {
        shown.push_str(&text(&place.amend(&["catalog", "show", fix, "--example"]).stdout));
        shown.push('\n');
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn mistakes_in_a_fix_are_all_shown_with_what_to_do() {
    let place = Place::new();
    let shipped = text(&place.amend(&["catalog", "show", "aws.ec2.imdsv2"]).stdout);
    let broken = shipped
        .replace("ec2:DescribeInstances, with: { InstanceIds:", "ec2:DescribeInstance, with: { InstanceIds:")
        .replace("disruption: medium", "disruption: middle")
        .replace("      HttpTokens: =then.HttpTokens", "      HttpToken: =then.HttpTokens");
    place.write("broken.yaml", &broken);
    let one = place.amend(&["catalog", "check", "broken.yaml"]);
    place.write("broken.yaml", &broken.replace("disruption: middle", "disruption: medium"));
    let two = place.amend(&["catalog", "check", "broken.yaml", "--format", "plain"]);
    assert_eq!((code(&one), code(&two)), (3, 3));
    insta::assert_snapshot!(format!("{}\n{}", text(&one.stderr), text(&two.stderr)));
}

#[test]
fn a_plan_that_cannot_be_made_says_why_and_what_to_do() {
    let place = Place::new();
    place.write("plan.json", "{}");
    place.write("broken.json", "[{");
    place.write("empty.json", "[]");
    let bucket = "arn:aws:s3:::acme";
    let mut shown = String::new();
    for arguments in [
        &["plan", "aws.s3.block-public-acces", "--resource", bucket][..],
        &["plan", "aws.s3.block-public-access"],
        &["plan", "aws.s3.block-public-access", "--resource", "arn:aws:sns:eu-west-1:111122223333:topic"],
        &["plan", "aws.s3.block-public-access", "--resource", bucket, "--param", "x"],
        &[
            "plan",
            "azure.key-vault.diagnostic-logs",
            "--resource",
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/v",
        ],
        &["plan", "aws.s3.block-public-access", "--resource", bucket],
        &["plan", "aws.s3.block-public-access", "--resource", bucket, "--account", "111122223333"],
        &[
            "plan",
            "aws.s3.block-public-access",
            "--resource",
            bucket,
            "--account",
            "111122223333",
            "--region",
            "eu-west-1.evil.example/",
        ],
        &[
            "plan",
            "aws.s3.block-public-access",
            "--resource",
            bucket,
            "--account",
            "111122223333",
            "--region",
            "eu-west-1",
            "--param",
            "workspace=w",
        ],
        &[
            "plan",
            "aws.sqs.encryption",
            "--resource",
            "arn:aws:sqs:eu-west-1:111122223333:orders",
            "--account",
            "999999999999",
        ],
        &["plan", "p-000"],
        &["fix", "--plan", "empty.json"],
        &["remediations", "--state", "finished"],
        &["fix", "--plan", "plan.json"],
        &["fix", "--plan", "broken.json"],
        &["fix", "--plan", "absent.json"],
        &["undo", "r-000"],
        &["catalog", "show", "aws.s3.nothing"],
        &["catalog", "new", "s3"],
        &["roles", "--cloud", "oracle"],
    ] {
        let output = place.amend(arguments);
        assert_ne!(code(&output), 0, "{arguments:?}");
        shown.push_str(&format!("$ amend {}\n{}\n", arguments.join(" "), text(&output.stderr).trim_end()));
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn the_readme_shows_the_plans_that_the_command_prints() {
    let readme = include_str!("../../../README.md");
    let place = Place::new();
    let shown: Vec<&str> = readme.split("$ ./target/debug/amend ").skip(1).collect();
    assert!(!shown.is_empty(), "README.md shows no command");
    for example in shown {
        let (command, rest) = example.split_once('\n').expect("a line");
        let output = place.amend(&command.split(' ').collect::<Vec<_>>());
        let shown = rest.split("\n\n$ ").next().and_then(|text| text.split("\n```").next());
        assert_eq!(shown.map(str::trim), Some(text(&output.stdout).trim()), "README.md: {command}");
    }
}

/// The whole way: a managed identity's token, Defender's list from Resource Graph, facts for the rules.
#[test]
fn defenders_own_list_is_imported_with_a_managed_identity() {
    let azure = Served::azure();
    let subscription = "8f2c6f0a-41d7-4c8e-9b1f-2a3d5e7f9011";
    let group = format!("/subscriptions/{subscription}/resourceGroups/rg");
    let mut rows: Vec<serde_json::Value> = [finding("st1", "High", ""), finding("st2", "Low", "")]
        .iter()
        .map(|row| serde_json::from_str(row).expect("JSON"))
        .collect();
    azure.ask(&json!({ "do": "graph", "table": "securityresources", "rows": rows }));
    rows.truncate(1);
    let account = format!("{group}/providers/Microsoft.Storage/storageAccounts/st1");
    azure.ask(&json!({ "do": "graph", "table": "resources", "rows": [{ "id": account, "name": "st1", "tags": { "owner": "ana@example.org" } }] }));
    let chain = json!({ "managementGroupAncestorsChain": [{ "name": "prod" }, { "name": "root" }] });
    azure.ask(&json!({ "do": "graph", "table": "resourcecontainers", "rows": [
        { "id": format!("/subscriptions/{subscription}"), "name": "payments", "type": "microsoft.resources/subscriptions", "tags": {}, "properties": chain },
    ] }));
    let place = Place::new();
    place.write("amend.yaml", "version: 1\nrules: rules.yaml\nfacts: { clouds: azure }\n");
    place.write("rules.yaml", "version: 1\nrules: [{ id: prod, priority: 1, scope: { in: /providers/Microsoft.Management/managementGroups/prod }, owner: { tag: owner }, due: 14d, fix: observe }]\n");
    let (url, token) = (azure.url(), format!("{}/msi/token", azure.url()));
    let environment = [
        ("AMEND__CLOUDS__AZURE__DANGEROUS_ENDPOINT", url.as_str()),
        ("IDENTITY_ENDPOINT", token.as_str()),
        ("IDENTITY_HEADER", "the-header-of-the-tests"),
    ];
    let amend = |arguments: &[&str]| place.amend_in(arguments, "", &environment);
    let first = amend(&["import", "--live", "--scope", subscription]);
    assert_eq!(
        text(&first.stdout),
        "1 subscription read\n\
         findings: 2 new, 0 changed, 0 known already, 0 out of date; records: 0 set aside, 0 unreadable and kept\n\
         1 problem lacks facts: `amend explain` says which, and why.\n\
         Nothing was started: `amend backlog` counts what waits.\n",
        "{}",
        text(&first.stderr)
    );
    assert_eq!(code(&first), 0);
    let list = text(&amend(&["list", "--format", "plain"]).stdout);
    assert!(list.contains("ana@example.org"), "{list}");
    let explained = text(&amend(&["explain", &account.replace("st1", "st2")]).stdout);
    assert!(
        explained.contains("not known  (Azure Resource Graph does not know it, or may not show it)"),
        "{explained}"
    );
    assert!(
        explained.contains(
            "managementgroups/root > /providers/microsoft.management/managementgroups/prod  (Azure Resource Graph, "
        ),
        "{explained}"
    );
    // In JSON, and again: nothing is new.
    let again: serde_json::Value =
        serde_json::from_slice(&amend(&["import", "--live", "--scope", subscription, "--format", "json"]).stdout)
            .expect("JSON");
    assert_eq!((&again["duplicate"], &again["subscriptions"], &again["failed"]), (&json!(2), &json!(1), &json!([])));
    let hidden = amend(&["import", "--live", "--scope", "00000000-0000-4000-8000-00000000dead"]);
    assert_eq!(code(&hidden), 1);
    assert!(
        text(&hidden.stderr).contains("hint: give the identity the role Reader or Security Reader"),
        "{}",
        text(&hidden.stderr)
    );
    let roles: serde_json::Value =
        serde_json::from_slice(&amend(&["roles", "--cloud", "azure", "--format", "json"]).stdout).expect("JSON");
    assert_eq!(roles["azure"]["facts"]["Actions"], json!(["*/read"]));
    assert_eq!(azure.ask(&json!({ "do": "wrong" })), json!([]));
}

#[test]
fn an_import_says_what_it_lacks() {
    let place = place();
    for (arguments, expected) in [
        (&["import"][..], "<FILE|--live>"),
        (&["import", "x.json", "--live"], "cannot be used with"),
        (&["import", "x.json", "--restart"], "cannot be used with"),
        (&["import", "--live", "--scope", "nonsense"], "write `/subscriptions/<id>` or"),
        (&["import", "--live", "--scope", "aws:123456789012"], "come with the subscription of their connector"),
    ] {
        let output = place.amend(arguments);
        assert!(
            code(&output) != 0 && text(&output.stderr).contains(expected),
            "{arguments:?}: {}",
            text(&output.stderr)
        );
    }
}

/// The statements of the manual, in order.
fn statements(manual: &str) -> Vec<String> {
    let blocks = manual.split("```sql\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.flat_map(|block| block.split(";\n")).map(|one| one.trim().to_owned()).filter(|one| !one.is_empty()).collect()
}

/// On a server, set up as the manual says, with the rights that it names and no others.
#[test]
fn a_server_is_set_up_as_the_manual_says_and_keeps_it_all() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let fresh = runtime.block_on(Fresh::empty());
    let database = fresh.database();
    let manual = statements(include_str!("../../../docs/store.md"));
    let (roles, rights) = manual.split_at(3);
    assert!(roles[2].starts_with("CREATE DATABASE") && rights.len() == 3, "{manual:?}");
    for role in &roles[..2] {
        // Roles are the whole server's: another run may have made them.
        let once = format!("DO $do$ BEGIN {role}; EXCEPTION WHEN duplicate_object THEN NULL; END $do$");
        runtime.block_on(fresh.tamper(&once));
    }
    runtime.block_on(fresh.tamper(&format!("ALTER DATABASE {database} OWNER TO amend_owner")));
    let place = place();
    let as_role = |role: &str, password: &str, arguments: &[&str]| {
        let url = amend_tests::places::url_as(role, &database);
        place.amend_in(arguments, "", &[("AMEND__STORE__URL", &url), ("PGPASSWORD", password)])
    };
    let app = |arguments: &[&str]| as_role("amend_app", "another one", arguments);
    let refused = app(&["list"]);
    assert!(code(&refused) == 1 && text(&refused.stderr).contains("has no tables"), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("amend store migrate"));
    assert_eq!(code(&app(&["store"])), 3);
    for said in ["made the tables in postgres://amend_owner@", "are those of this version already"] {
        let made = as_role("amend_owner", "one of your choice", &["store", "migrate"]);
        assert!(text(&made.stdout).contains(said), "{}{}", text(&made.stdout), text(&made.stderr));
    }
    for right in rights {
        runtime.block_on(fresh.tamper(right));
    }
    runtime.block_on(async { audit::stopped_long_ago(&fresh.open().await).await });
    let status = app(&["store"]);
    assert!(code(&status) == 0 && text(&status.stdout).contains("PostgreSQL 1"), "{}", text(&status.stdout));
    let list: Vec<String> = (0..7).map(|n| finding(&format!("st{n}"), "High", "")).collect();
    place.write("export.json", &format!("{{\"value\": [{}]}}", list.join(",")));
    for (arguments, said) in [
        (vec!["import", "export.json"], "7 new"),
        (vec!["backlog", "release", "--rule", "public", "--limit", "3"], "3 released"),
        (vec!["list", "--format", "json"], "storageaccounts/st6"),
        (vec!["hold", "arn:aws:s3:::acme", "--for", "3d", "--why", "a launch"], "h-"),
        (vec!["stop", "--why", "a drill"], "by the local user: a drill"),
        (vec!["resume"], "everything goes on"),
        (vec!["work", "retry"], "0 to be tried again"),
        (vec!["sweep"], ""),
        (vec!["audit", "verify"], "the audit trail is whole: 9 records"),
    ] {
        let done = app(&arguments);
        assert_eq!(code(&done), 0, "{arguments:?}: {}", text(&done.stderr));
        assert!(text(&done.stdout).contains(said), "{arguments:?}: {}", text(&done.stdout));
    }
    // What is fixed there is sealed, or not begun.
    place.write("amend.yaml", "version: 1\nrules: rules.yaml\nremediate: { most: approve }\n");
    let keyless = app(&["sweep"]);
    assert!(code(&keyless) == 3 && text(&keyless.stderr).contains("`store.keys` names none"));
    place.write(
        "amend.yaml",
        "version: 1\nrules: rules.yaml\nremediate: { most: approve }\nstore: { url: 'postgres://h/x' }\n",
    );
    assert_eq!(code(&place.amend(&["store", "key"])), 0, "whatever the configuration lacks");
    place.write("amend.yaml", "version: 1\nrules: rules.yaml\nremediate: { most: approve }\n");
    let keys = [text(&place.amend(&["store", "key"]).stdout), text(&place.amend(&["store", "key"]).stdout)];
    assert_ne!(keys[0], keys[1]);
    let joined = format!("{},{}", keys[0].trim(), keys[1].trim());
    let url = amend_tests::places::url_as("amend_app", &database);
    let environment =
        [("AMEND__STORE__URL", url.as_str()), ("PGPASSWORD", "another one"), ("AMEND__STORE__KEYS", joined.as_str())];
    let swept = place.amend_in(&["sweep"], "", &environment);
    assert_eq!(code(&swept), 0, "{}", text(&swept.stderr));
    let sealed = place.amend_in(&["store", "seal"], "", &environment);
    assert!(text(&sealed.stdout).starts_with("every remediation is sealed with key "), "{}", text(&sealed.stderr));
    let explained = text(&place.amend_in(&["config", "explain", "--format", "plain"], "", &environment).stdout);
    assert!(explained.contains("store.keys\t(those named ") && !explained.contains(keys[0].trim()), "{explained}");
    let short = place.amend_in(&["list"], "", &[("AMEND__STORE__KEYS", "c2hvcnQ=")]);
    assert!(code(&short) == 3 && text(&short.stderr).contains("key 1 has 5 bytes and needs 32"));
    assert!(text(&app(&["store", "seal"]).stderr).contains("`store.keys` names none"));

    // It cannot rewrite what it did.
    let rewriting = runtime.block_on(fresh.try_as("amend_app", "another one", "UPDATE audit SET body = ''"));
    assert!(rewriting.expect_err("refused").contains("permission denied"));
    place.write("amend.yaml", "version: 1\n");
    let purge = ["audit", "purge", "--older", "400d", "--to"];
    let refused = app(&[&purge[..], &["1.jsonl"]].concat());
    assert!(
        code(&refused) == 1 && text(&refused.stderr).contains("this role lacks rights"),
        "{}",
        text(&refused.stderr)
    );
    let purged = as_role("amend_owner", "one of your choice", &[&purge[..], &["2.jsonl"]].concat());
    assert!(text(&purged.stdout).starts_with("2 records up to number 2 went to 2.jsonl"), "{}", text(&purged.stderr));
    let whole = app(&["audit", "verify", "--earlier", "2.jsonl"]);
    assert!(text(&whole.stdout).contains("after the 2 that were purged, which are whole, too"));
}

#[test]
fn a_store_that_is_not_there_is_said_so_without_the_password() {
    let place = place();
    for (url, said) in [
        ("postgres://ann:s3cret@127.0.0.1:1/amend", "Connection refused"),
        ("postgres://ann:s3cret@127.0.0.1:1", "it names no database"),
        ("mysql://ann:s3cret@127.0.0.1/amend", "does not begin with `postgres://`"),
    ] {
        for format in ["human", "json"] {
            let failed = place.amend_in(&["list", "--format", format], "", &[("AMEND__STORE__URL", url)]);
            let all = text(&failed.stderr) + &text(&failed.stdout);
            assert_ne!(code(&failed), 0);
            assert!(all.contains(said) && !all.contains("s3cret"), "{all}");
        }
    }
    let url = [("AMEND__STORE__URL", "postgres://ann:s3cret@db.example.org/amend")];
    let explained = text(&place.amend_in(&["config", "explain", "--format", "json"], "", &url).stdout);
    assert!(explained.contains("postgres://ann@db.example.org:5432/amend") && !explained.contains("s3cret"));
    place.write("amend.yaml", "version: 1\nstore: { path: a.db }\n");
    let key = "QW1lbmQncyB0ZXN0cyBhcmUgbm90IGEgc2VjcmV0ISE=";
    place.write(
        "bad.yaml",
        &format!("version: 1\nstore: {{ url: 'postgres://ann:s3cret@h/x', keys: '{key}' }}\nremdiate: {{}}\n"),
    );
    for format in ["human", "json"] {
        let shown = place.amend(&["--config", "bad.yaml", "list", "--format", format]);
        let all = text(&shown.stderr) + &text(&shown.stdout);
        assert!(all.contains("remdiate") && !all.contains("s3cret") && !all.contains(key), "{all}");
    }
    let both = place.amend_in(&["list"], "", &url);
    assert!(text(&both.stderr).contains("both `store.path` and `store.url`"), "{}", text(&both.stderr));
}

#[test]
fn a_hold_is_said_listed_and_ended() {
    let place = place();
    // In a store that is made by mistake nothing is held that anybody does.
    let nowhere = place.amend(&["hold", "aws:111122223333", "--for", "14d", "--why", "migration"]);
    assert!(code(&nowhere) == 1 && text(&nowhere.stderr).contains("there is no store at .amend/amend.db"));
    place.amend(&["list"]);
    assert_eq!(text(&place.amend(&["hold", "--list"]).stdout), "nothing is held\n");
    let held = text(&place.amend(&["hold", "aws:111122223333", "--for", "14d", "--why", "migration"]).stdout);
    assert!(held.starts_with("aws:111122223333 is held until "), "{held}");
    let id = held.trim().rsplit(' ').next().expect("an id").to_owned();
    let list = text(&place.amend(&["hold", "--list", "--format", "plain"]).stdout);
    assert!(list.contains(&id) && list.contains("the local user: migration"), "{list}");
    assert_eq!(text(&place.amend(&["hold", "--end", &id]).stdout), "aws:111122223333 is not held any more\n");
    for (arguments, expected) in [
        (&["hold", "--end", "h-none"][..], "there is no hold `h-none`"),
        (&["hold", "payments", "--for", "14d", "--why", "x"], "is no resource and no account"),
        (&["hold", "tag:", "--for", "14d", "--why", "x"], "`tag:` names no tag"),
        (&["hold", "tag:team=", "--for", "14d", "--why", "x"], "`tag:team=` names no tag"),
        (&["hold", "aws:111122223333", "--for", "soon", "--why", "x"], "is no length of time"),
        (&["hold", "aws:111122223333", "--for", "14d"], "--why"),
        (&["hold", "aws:111122223333", "--for", "14d", "--why", "one\ttwo"], "say it in one line"),
        (&["hold", "aws:111122223333", "--for", "0d", "--why", "x"], "a hold of no time holds nothing"),
        (&["hold", "aws:111122223333", "--for", "14d", "--why", " "], "say it in a few words"),
        (&["hold"], "<ID"),
    ] {
        let output = place.amend(arguments);
        assert!(
            code(&output) != 0 && text(&output.stderr).contains(expected),
            "{arguments:?}: {}",
            text(&output.stderr)
        );
    }
    let trail = text(&place.amend(&["audit", "list", "--format", "plain"]).stdout);
    assert!(trail.contains("\thold\t") && trail.contains("\trelease\t"), "{trail}");
    let recent = text(&place.amend(&["recent", "aws:111122223333", "--format", "plain"]).stdout);
    assert!(recent.contains("\thold\taws:111122223333\t"), "{recent}");
    place.write("amend.yaml", "version: 1\nremediate: { most: approve, approve_within: 0h, confirm_within: 30m }\nguards: { managed_tags: ['=x'], freezes: [{ begins: 0 16 * * FRI Europe/Vienna, lasts: 0m, why: x }] }\n");
    let check = text(&place.amend(&["config", "check"]).stderr);
    for expected in
        ["`0h` is less than an hour", "`30m` is less", "without a name matches nothing", "a minute at least"]
    {
        assert!(check.contains(expected), "{expected}: {check}");
    }
    place.write("amend.yaml", "version: 1\nremediate: { most: observe }\n");
    let roles = text(&place.amend(&["roles", "--cloud", "azure", "--format", "json"]).stdout);
    for action in ["Microsoft.Authorization/policyExemptions/read", "Microsoft.Authorization/locks/read"] {
        assert!(roles.contains(action), "{action}: {roles}");
    }
    for (cloud, needed) in [("aws", "securityhub:GetFindings"), ("gcp", "securitycenter.findings.list")] {
        let roles = text(&place.amend(&["roles", "--cloud", cloud, "--format", "json"]).stdout);
        assert!(roles.contains(needed), "{needed}: {roles}");
    }
    let yaml = "version: 1\nguards: { settle: soon, surge: many, freezes: [{ begins: friday, lasts: 64h, why: x }] }\n";
    place.write("amend.yaml", yaml);
    let check = text(&place.amend(&["config", "check"]).stderr);
    for expected in ["`friday` is no time that comes again", "expected a duration", "surge"] {
        assert!(check.contains(expected), "{expected}: {check}");
    }
}

#[test]
fn two_people_exempt_something_for_a_while() {
    let place = place();
    let new = |name: &str| {
        let output = place.amend(&["token", name, "--format", "json"]);
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let text = |member: &str| value[member].as_str().expect("text").to_owned();
        (text("token"), text("digest"))
    };
    let ((ann, ann_digest), (bob, bob_digest)) = (new("ann@contoso.com"), new("bob@contoso.com"));
    let account = "aws:111122223333";
    let ask = &[
        "exempt",
        account,
        "--of",
        "securityhub:S3.8",
        "--category",
        "risk-accepted",
        "--for",
        "90d",
        "--why",
        "a public site",
    ];
    let nobody = place.amend(ask);
    assert_ne!(code(&nobody), 0);
    assert!(text(&nobody.stderr).contains("nobody knows who you are"), "{}", text(&nobody.stderr));
    place.write("amend.yaml", &format!(
        "version: 1\nrules: rules.yaml\npeople:\n  - {{ name: ann@contoso.com, token: '{ann_digest}' }}\n  - {{ name: bob@contoso.com, token: '{bob_digest}' }}\n"
    ));
    let by = |token: &str, arguments: &[&str]| place.amend_in(arguments, "", &[("AMEND__TOKEN", token)]);
    let asked = by(&ann, ask);
    assert_eq!(code(&asked), 0, "{}", text(&asked.stderr));
    let asked = text(&asked.stdout);
    let id = asked.split(' ').next().expect("an id").to_owned();
    assert!(asked.contains(&format!("`amend exempt --approve {id}`")), "{asked}");
    let own = by(&ann, &["exempt", "--approve", &id]);
    assert_ne!(code(&own), 0);
    assert!(text(&own.stderr).contains("whoever asked for an exemption cannot approve it"), "{}", text(&own.stderr));
    let approved = text(&by(&bob, &["exempt", "--approve", &id]).stdout);
    assert!(approved.starts_with("aws:111122223333 is exempted until "), "{approved}");
    let list = text(&place.amend(&["exempt", "--list", "--format", "plain"]).stdout);
    for expected in [
        &*id,
        "aws.s3.block-public-access",
        "approved by bob@contoso.com",
        "ann@contoso.com (risk-accepted): a public site",
    ] {
        assert!(list.contains(expected), "{expected}: {list}");
    }
    let recent = text(&place.amend(&["recent", account, "--format", "plain"]).stdout);
    assert!(recent.contains("\texemption.approved\t"), "{recent}");
    // A token that is nobody's, or nobody's any more, keeps nobody from stopping.
    place.amend(&["list"]);
    let stopped = by("amend_nobody", &["stop", "--why", "an incident"]);
    assert_eq!(code(&stopped), 0, "{}", text(&stopped.stderr));
    assert!(text(&stopped.stderr).contains("the token is nobody's"), "{}", text(&stopped.stderr));
    let held = text(&by("amend_nobody", &["hold", account, "--for", "3d", "--why", "x", "--format", "json"]).stdout);
    let hold: serde_json::Value = serde_json::from_str(&held).expect("JSON");
    let hold = hold["id"].as_str().expect("a hold");
    // What protects is not taken away by nobody.
    for taken in [&["resume"][..], &["hold", "--end", hold]] {
        let refused = by("amend_nobody", taken);
        assert!(code(&refused) == 1 && text(&refused.stderr).contains("only people with names can say this"));
    }
    assert_eq!(text(&by(&ann, &["hold", "--end", hold]).stdout), format!("{account} is not held any more\n"));
    assert!(text(&by(&ann, &["resume"]).stdout).contains("it was stopped by the local user"));
    let trail = text(&place.amend(&["audit", "list", "--format", "plain"]).stdout);
    assert!(trail.contains("ann@contoso.com\tresume\t"), "{trail}");
    let options = text(&by(&ann, &["config", "explain", "--format", "plain"]).stdout);
    assert!(options.contains("(that of ann@contoso.com)") && !options.contains(&ann), "{options}");
    assert_eq!(
        text(&by(&bob, &["exempt", "--end", &id]).stdout),
        format!("{account} is not exempted any more by {id}\n")
    );
    for (arguments, expected) in [
        (&["exempt", "--approve", "x-none"][..], "exemption `x-none` is not known"),
        (&["exempt", account, "--category", "mitigated", "--for", "2000d", "--why", "x"], "it may last up to 180 days"),
        (&["exempt", account, "--category", "mitigated", "--for", "soon", "--why", "x"], "is no length of time"),
        (
            &["exempt", account, "--of", "aws.s3.nothing", "--category", "mitigated", "--for", "9d", "--why", "x"],
            "aws.s3.nothing",
        ),
        (
            &["exempt", "p-nothing", "--category", "mitigated", "--for", "9d", "--why", "x"],
            "`p-nothing` names 0 problems",
        ),
        (&["exempt", account, "--for", "9d", "--why", "x"], "--category"),
        (&["exempt"], "ON"),
        (&["token", "amend"], "`amend` is no name of a person"),
    ] {
        let output = by(&ann, arguments);
        assert!(
            code(&output) != 0 && text(&output.stderr).contains(expected),
            "{arguments:?}: {}",
            text(&output.stderr)
        );
    }
}

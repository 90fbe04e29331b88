//! Tickets on the command line: Amend's own tracker, and connectors as the manual sets them up.

use amend_tests::clouds::Served;
use serde_json::{Value, json};

use super::{Place, code, text};

const RULES: &str = "version: 1\nrules: [{ id: all, priority: 1, owner: ann@example.org, due: 7d, ticket: true }]\n";

fn finding(name: &str, code: &str, at: &str) -> String {
    let export = amend_tests::harness::Export {
        code: code.into(),
        changed: Some(at.into()),
        ..amend_tests::filing::account(name)
    };
    export.text()
}

/// A place with a rule that asks for tickets.
fn place(config: &str) -> Place {
    let place = Place::new();
    place.write("rules.yaml", RULES);
    place.write("amend.yaml", &format!("version: 1\nrules: rules.yaml\n{config}"));
    place
}

/// Reports a finding, as the service would.
fn report(place: &Place, name: &str, status: &str, at: &str, environment: &[(&str, &str)]) {
    place.write("event.json", &finding(name, status, at));
    // Whatever is recorded waits, as an import does; released, it is worked on.
    let done = place.amend_in(&["import", "event.json"], "", environment);
    assert_eq!(code(&done), 0, "{}", text(&done.stderr));
    let done = place.amend_in(&["backlog", "release", "--rule", "all", "--limit", "10"], "", environment);
    assert_eq!(code(&done), 0, "{}", text(&done.stderr));
    let done = place.amend_in(&["sweep"], "", environment);
    assert_eq!(code(&done), 0, "{}{}", text(&done.stdout), text(&done.stderr));
}

#[test]
fn tickets_are_listed_shown_and_answered() {
    let place = place("");
    let none = place.amend(&["tickets"]);
    assert!(code(&none) == 1 && text(&none.stderr).contains("there is no store"), "{}", text(&none.stderr));
    report(&place, "st1", "Unhealthy", "2026-11-18T07:41:09Z", &[]);
    let preview = text(&place.amend(&["tickets", "preview", "--format", "plain"]).stdout);
    assert_eq!(preview.lines().nth(1), Some("all\t1\t1\t0\t1"), "{preview}");
    let listed: Value =
        serde_json::from_str(&text(&place.amend(&["tickets", "--format", "json"]).stdout)).expect("JSON");
    assert_eq!((&listed[0]["key"], &listed[0]["open"], &listed[0]["problems"]), (&json!("1"), &json!(true), &json!(1)));
    let shown = text(&place.amend(&["tickets", "show", "1"]).stdout);
    assert!(shown.contains("**Owner:** ann@example.org") && shown.contains("### What to do"), "{shown}");
    for (arguments, status, said) in [
        (vec!["tickets", "comment", "1", "it waits for the release"], 0, "said in ticket 1"),
        (vec!["tickets", "comment", "1", ""], 2, ""),
        (vec!["tickets", "close", "#1", "--why", "accepted"], 0, "ticket 1 is closed"),
        (vec!["tickets", "close", "1", "--why", "again"], 1, "ticket 1 is closed already"),
        (vec!["tickets"], 0, "no ticket is open"),
        (vec!["tickets", "--all"], 0, "closed"),
        (vec!["tickets", "reopen", "1", "--why", "not yet"], 0, "ticket 1 is reopened"),
        (vec!["tickets", "show", "7"], 1, "there is no ticket `7`"),
        (vec!["tickets", "close", "SEC-1", "--why", "x"], 1, "others are answered where they stand"),
    ] {
        let done = place.amend(&arguments);
        let all = format!("{}{}", text(&done.stdout), text(&done.stderr));
        assert!(code(&done) == status && all.contains(said), "{arguments:?}: {all}");
    }
    let shown = text(&place.amend(&["tickets", "show", "1"]).stdout);
    assert!(shown.contains("it waits for the release") && shown.contains("reopened by "), "{shown}");
}

#[test]
fn a_connector_is_set_up_tried_and_used() {
    let site = "cli-site";
    let url = format!("{}/{site}/jira", Served::trackers().url());
    let place = place(&format!(
        "connect:\n  sec:\n    jira: {{ url: \"{url}\", user: amend@example.org, project: SEC, fields: {{ duedate: =ticket.due }} }}\ntickets: {{ to: sec }}\n"
    ));
    let lacks = place.amend(&["connect"]);
    let said = text(&lacks.stderr);
    assert!(
        code(&lacks) == 3 && said.contains("it lacks `token`") && said.contains("AMEND__CONNECT__SEC__JIRA__TOKEN"),
        "{said}"
    );
    let token = [("AMEND__CONNECT__SEC__JIRA__TOKEN", "jira-token")];
    let listed = text(&place.amend_in(&["connect", "--format", "plain"], "", &token).stdout);
    assert_eq!(listed.lines().nth(1), Some(format!("sec\tjira\t{url}\ttickets that no route takes").as_str()));
    let explained = text(&place.amend_in(&["config", "explain"], "", &token).stdout);
    assert!(!explained.contains("jira-token") && explained.contains("connect.sec.jira.token"), "{explained}");
    let tried = place.amend_in(&["connect", "test", "sec"], "", &token);
    let said = text(&tried.stdout);
    assert!(code(&tried) == 0 && said.contains("✓ signed in as Amend") && said.contains("✓ field duedate"), "{said}");
    let ask = |mut command: Value| {
        (command["site"], command["tracker"]) = (site.into(), "jira".into());
        Served::trackers().ask(&command)["ok"].clone()
    };
    assert_eq!(ask(json!({ "do": "tickets" })), json!([]), "nothing was written");
    for said in ["✓ opened SEC-1", "✓ opened SEC-2"] {
        let tried = place.amend_in(&["connect", "test", "sec", "--open"], "", &token);
        let all = text(&tried.stdout);
        assert!(code(&tried) == 0 && all.contains(said) && all.contains("✓ closed it"), "{all}");
    }
    let wrong = place.amend_in(&["connect", "test", "sec"], "", &[("AMEND__CONNECT__SEC__JIRA__TOKEN", "x")]);
    let said = text(&wrong.stdout);
    assert!(code(&wrong) == 3 && said.contains("sec does not let amend in: status 401"), "{said}");
    let unknown = place.amend_in(&["connect", "test", "sek"], "", &token);
    assert!(code(&unknown) == 1 && text(&unknown.stderr).contains("there are local, sec"), "{}", text(&unknown.stderr));
    // Used: opened, and closed when the cloud says that it is healthy.
    report(&place, "st1", "Unhealthy", "2026-11-18T07:41:09Z", &token);
    let listed: Value =
        serde_json::from_str(&text(&place.amend_in(&["tickets", "--format", "json"], "", &token).stdout))
            .expect("JSON");
    assert_eq!(
        (&listed[0]["tracker"], &listed[0]["key"], &listed[0]["open"]),
        (&json!("sec"), &json!("SEC-3"), &json!(true))
    );
    let shown = text(&place.amend_in(&["tickets", "show", "SEC-3"], "", &token).stdout);
    assert!(shown.contains("/browse/SEC-3") && shown.contains("st1"), "{shown}");
    assert_eq!(ask(json!({ "do": "tickets" }))[2]["open"], true);
    assert_eq!(Served::trackers().ask(&json!({ "do": "wrong" }))["ok"], json!([]));
}

#[test]
fn what_owners_have_to_do_is_listed_written_and_mailed() {
    let smtp = &Served::trackers().hello["smtp"];
    let place = place(&format!(
        "notices: {{ mail: {{ url: 'smtp://127.0.0.1:{smtp}', from: amend@northwind.example }}, digest: '0 8 * * MON UTC' }}\n"
    ));
    assert_eq!(code(&place.amend(&["digest"])), 1, "there is no store");
    report(&place, "st1", "Unhealthy", "2026-11-18T07:41:09Z", &[]);
    let listed = text(&place.amend(&["digest", "--format", "plain"]).stdout);
    assert_eq!(listed.lines().nth(1), Some("ann@example.org\t0\t1\t0\t"), "{listed}");
    let written = text(&place.amend(&["digest", "--out", "mails"]).stdout);
    assert_eq!(written.trim(), "mails/ann@example.org.html");
    let page = std::fs::read_to_string(place.folder.path().join("mails/ann@example.org.html")).expect("a page");
    assert!(page.contains("1 finding is open, 1 due within a week") && page.contains("#1"), "{page}");
    for (arguments, status, said) in [
        (vec!["digest", "--owner", "bob@example.org"], 1, "bob@example.org owns nothing that is open"),
        (vec!["digest", "--send"], 2, "--owner"),
        (vec!["digest", "--owner", "ann@example.org", "--send"], 0, "sent to ann@example.org"),
    ] {
        let done = place.amend(&arguments);
        let all = format!("{}{}", text(&done.stdout), text(&done.stderr));
        assert!(code(&done) == status && all.contains(said), "{arguments:?}: {all}");
    }
    let mails = Served::trackers().ask(&json!({ "do": "mails", "to": "ann@example.org" }));
    assert_eq!(mails["ok"][0]["subject"], "Amend: 1 finding is open, 1 due within a week");
    place.write(
        "amend.yaml",
        "version: 1\nrules: rules.yaml\nnotices: { digest: '0 8 * * MON', mail: { url: 'http://x', from: x } }\n",
    );
    let wrong = place.amend(&["digest"]);
    let said = text(&wrong.stderr);
    assert!(
        code(&wrong) == 3 && said.contains("is no time that comes again") && said.contains("is no address of mail"),
        "{said}"
    );
}

#[test]
fn a_channel_is_set_up_and_tried_and_what_it_gets_is_shown() {
    let site = "cli-channels";
    let url = |chat: &str| format!("{}/{site}/{chat}", Served::trackers().url());
    let place = place("notices: { channels: { sec_ops: { slack: 'https://hooks.example.org/T0/secret' } } }\n");
    let channels = [
        ("AMEND__NOTICES__CHANNELS__SEC_OPS__SLACK", &*url("slack")),
        ("AMEND__NOTICES__CHANNELS__DESK__TEAMS", &url("teams")),
    ];
    let listed = text(&place.amend_in(&["connect", "--format", "plain"], "", &channels).stdout);
    assert!(
        listed.contains("desk\tteams\t\twhat rules `notify` it of") && listed.contains("sec_ops\tslack"),
        "{listed}"
    );
    let explained = text(&place.amend_in(&["config", "explain", "--format", "plain"], "", &channels).stdout);
    assert!(explained.contains("notices.channels.desk.teams\t(not shown)") && !explained.contains(site), "{explained}");
    for (name, chat) in [("sec_ops", "slack"), ("desk", "teams")] {
        let messages =
            || Served::trackers().ask(&json!({ "do": "tickets", "site": site, "tracker": chat }))["ok"].clone();
        let tried = place.amend_in(&["connect", "test", name], "", &channels);
        assert!(
            code(&tried) == 0 && text(&tried.stderr).contains("--open` posts a message"),
            "{}",
            text(&tried.stderr)
        );
        assert_eq!(messages(), json!([]), "nothing was posted");
        let tried = place.amend_in(&["connect", "test", name, "--open"], "", &channels);
        assert!(code(&tried) == 0 && text(&tried.stdout).contains("✓ a message was posted"), "{}", text(&tried.stdout));
        assert!(messages()[0].to_string().contains("Amend can post here"), "{}", messages());
    }
    let named = place.amend_in(&["connect", "test", "#Sec-Ops"], "", &channels);
    assert_eq!(code(&named), 0, "{}", text(&named.stderr));
    let unknown = place.amend_in(&["connect", "test", "sec"], "", &channels);
    assert!(text(&unknown.stderr).contains("there are local, desk, sec_ops"), "{}", text(&unknown.stderr));
    let gone =
        json!({ "do": "fail", "site": site, "tracker": "slack", "with": { "status": 404, "text": "no_service" } });
    Served::trackers().ask(&gone);
    let tried = place.amend_in(&["connect", "test", "sec_ops", "--open"], "", &channels);
    assert!(
        code(&tried) == 3 && text(&tried.stdout).contains("no_service; is the address right?"),
        "{}",
        text(&tried.stdout)
    );
    // What is wrong in the file is said without what it holds.
    for (channels, said) in [
        ("{ sec: { slack: 'http://hooks.example.org/secret' } }", "no address that is reached by TLS"),
        (
            "{ sec: { slack: 'https://x.example/secret', teams: 'https://x.example/secret' } }",
            "one channel of one service",
        ),
        ("{ sec: {} }", "one channel of one service"),
        ("{ 'Sec Ops': { slack: 'https://x.example/secret' } }", "a channel cannot be called `Sec Ops`"),
        ("{ sec: { slakc: 'https://hooks.slack.com/secret' } }", "slakc"),
    ] {
        place.write("amend.yaml", &format!("version: 1\nrules: rules.yaml\nnotices: {{ channels: {channels} }}\n"));
        let wrong = place.amend(&["connect"]);
        let all = text(&wrong.stderr);
        assert!(code(&wrong) == 3 && all.contains(said), "{channels}: {all}");
        assert!(!all.contains("/secret"), "{channels}: {all}");
    }
    place.write("amend.yaml", "version: 1\nrules: rules.yaml\nnotices: { quiet: '20:00-07:00' }\n");
    let wrong = place.amend(&["connect"]);
    assert!(code(&wrong) == 3 && text(&wrong.stderr).contains("are no hours of a day"), "{}", text(&wrong.stderr));
    assert_eq!(Served::trackers().ask(&json!({ "do": "wrong" }))["ok"], json!([]));
}

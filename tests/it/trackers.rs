//! Trackers of other makers: each against one that has state and asserts every request, in everything that can go
//! wrong on the way.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use amend_connect::{Fields, GitHub, Jira, Secret, ServiceNow, Tracker, Webhook, github, jira, servicenow, webhook};
use amend_domain::{Cloud, pattern::Pattern, work::After};
use amend_pipeline::{
    audit::verify,
    tickets::{Route, Routes},
};
use amend_store::{Store as _, Tickets as _};
use amend_tests::{
    clouds::Served,
    filing::{Filing, account},
    harness::{Export, long},
};
use serde_json::{Value, json};

const RULES: &str = "version: 1\nrules: [{ id: all, priority: 1, owner: ann@example.org, due: 7d, ticket: true }]";
const KINDS: [&str; 4] = ["jira", "github", "servicenow", "webhook"];

/// A tracker of its own for a test.
struct Site {
    kind: &'static str,
    name: String,
    filing: Filing,
    tracker: Arc<dyn Tracker>,
}

fn fields(of: &[(&str, Value)]) -> Fields {
    let mut fields = Fields::default();
    for (name, value) in of {
        fields.add(name, value.clone()).expect("a field");
    }
    fields
}

/// The settings of a Jira Cloud site of a test.
fn jira_at(url: String, fields: Fields) -> jira::Settings {
    let token = Secret::new("jira-token");
    let (user, project, kind) = ("amend@example.org".into(), "SEC".into(), "Task".into());
    jira::Settings { url, user, token, project, kind, close: None, reopen: None, fields }
}

fn tracker(kind: &str, url: String) -> Arc<dyn Tracker> {
    match kind {
        "jira" => {
            let priority = "={'name': ticket.severity == 'high' ? 'High' : 'Medium'}";
            let fields = fields(&[
                ("duedate", json!("=ticket.due")),
                ("customfield_10020", json!("=ticket.severity")),
                ("priority", json!(priority)),
            ]);
            Arc::new(Jira::new("sec", jira_at(url, fields)).expect("a tracker"))
        }
        "github" => {
            let fields = fields(&[("labels", json!(["security"])), ("assignees", json!("=['ann']"))]);
            let (repository, token) = ("acme/findings".into(), Secret::new("github-token"));
            Arc::new(GitHub::new("sec", github::Settings { url, repository, token, fields }).expect("a tracker"))
        }
        "servicenow" => {
            let fields = fields(&[("urgency", json!("=ticket.severity == 'high' ? '1' : '2'"))]);
            let (user, password) = ("amend".into(), Secret::new("snow-password"));
            let close_code = "Resolved by request".into();
            let settings = servicenow::Settings { url, user, password, close_code, fields };
            Arc::new(ServiceNow::new("sec", settings).expect("a tracker"))
        }
        _ => {
            let secret = Secret::new(Served::trackers().hello["secret"].as_str().expect("a secret"));
            Arc::new(Webhook::new("sec", &webhook::Settings { url, secret }).expect("a tracker"))
        }
    }
}

impl Site {
    async fn new(kind: &'static str) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("site{}", COUNT.fetch_add(1, Ordering::SeqCst));
        let tracker = tracker(kind, format!("{}/{name}/{kind}", Served::trackers().url()));
        let filing = Filing::new(RULES, "sec", |_| Arc::clone(&tracker)).await;
        Self { kind, name, filing, tracker }
    }

    fn ask(&self, mut command: Value) -> Value {
        command["site"] = self.name.as_str().into();
        command["tracker"] = self.kind.into();
        Served::trackers().ask(&command)["ok"].clone()
    }

    fn tickets(&self) -> Vec<Value> {
        self.ask(json!({ "do": "tickets" })).as_array().expect("a list").clone()
    }

    fn one(&self) -> Value {
        let mut all = self.tickets();
        assert_eq!(all.len(), 1, "{}: {all:?}", self.kind);
        all.remove(0)
    }

    fn person(&self, what: &str) {
        let key = self.one()["key"].clone();
        self.ask(json!({ "do": "person", "key": key, "what": what }));
    }

    fn fail(&self, failure: Value) {
        let mut command = failure;
        command["do"] = "fail".into();
        self.ask(command);
    }

    /// Reports what is wrong with a storage account, or that nothing is, and does what follows.
    async fn says(&self, name: &str, code: &str, at: &str) -> Vec<After> {
        self.filing.report(&account(name), code, at).await;
        self.filing.work(&later(at, 1)).await;
        self.filing.work(&later(at, 10)).await
    }

    /// Nothing is left to be done, and nothing that was asserted failed.
    async fn ends(&self) {
        assert!(self.filing.bench.store.work(10).await.expect("listed").is_empty(), "{}", self.kind);
        verify(&self.filing.bench.store, None, &[]).await.expect("whole");
        assert_eq!(Served::trackers().ask(&json!({ "do": "wrong" }))["ok"], json!([]));
    }
}

fn later(at: &str, minutes: i64) -> String {
    let at: jiff::Timestamp = at.parse().expect(at);
    (at + jiff::SignedDuration::from_mins(minutes)).to_string()
}

fn comments(ticket: &Value) -> Vec<String> {
    ticket["comments"].as_array().expect("a list").iter().map(|one| one.as_str().expect("text").to_owned()).collect()
}

#[tokio::test]
async fn a_ticket_is_opened_once_told_of_changes_closed_and_opened_again() {
    for kind in KINDS {
        let site = Site::new(kind).await;
        for minute in 0..5 {
            site.filing.report(&account("st1"), "Unhealthy", "2026-11-18T07:41:09Z").await;
            site.filing.work(&format!("2026-11-20T12:0{minute}:00Z")).await;
        }
        let ticket = site.one();
        assert_eq!((&ticket["open"], comments(&ticket).len()), (&json!(true), 0), "{kind}");
        assert_eq!(ticket["title"], "Storage account public access should be disallowed");
        let body = ticket["body"].as_str().expect("a body");
        for said in [
            "ann@example.org",
            "2026-11-27",
            "st1",
            "not evaluated (severity high)",
            "What to do",
            "amend plan p-",
            "(t-",
        ] {
            assert!(body.contains(said), "{kind}: {said}: {body}");
        }
        let field = match kind {
            "jira" => {
                assert_eq!(ticket["fields"]["duedate"], "2026-11-27");
                assert_eq!(ticket["fields"]["priority"]["name"], "High");
                assert_eq!(ticket["fields"]["assignee"]["accountId"], "acc-ann");
                ("customfield_10020", json!("high"))
            }
            "github" => {
                assert_eq!(ticket["fields"]["assignees"], json!(["ann"]));
                ("labels", json!(["security", "amend"]))
            }
            "servicenow" => {
                assert_eq!(ticket["fields"]["due_date"], "2026-11-27 12:00:00");
                ("urgency", json!("1"))
            }
            _ => ("cloud", json!("azure")),
        };
        assert_eq!(ticket["fields"][field.0], field.1, "{kind}");
        site.says("st2", "Unhealthy", "2026-11-20T13:00:00Z").await;
        assert!(comments(&site.one())[0].starts_with("Also there:"), "{kind}: {}", site.one());
        site.says("st1", "Healthy", "2026-11-20T14:00:00Z").await;
        site.says("st2", "Healthy", "2026-11-20T15:00:00Z").await;
        let ticket = site.one();
        assert_eq!((&ticket["open"], comments(&ticket).len()), (&json!(false), 3), "{kind}: {ticket}");
        site.says("st1", "Unhealthy", "2026-11-20T16:00:00Z").await;
        let ticket = site.one();
        assert_eq!((&ticket["open"], comments(&ticket).len()), (&json!(true), 4), "{kind}: {ticket}");
        site.ends().await;
    }
}

#[tokio::test]
async fn what_a_person_closed_stands_until_something_comes_back() {
    for kind in ["jira", "github", "servicenow"] {
        let site = Site::new(kind).await;
        site.says("st1", "Unhealthy", "2026-11-20T12:00:00Z").await;
        site.person("close");
        site.says("st1", "Unhealthy", "2026-11-20T13:00:00Z").await;
        assert_eq!((&site.one()["open"], comments(&site.one()).len()), (&json!(false), 0), "{kind}");
        site.says("st1", "Healthy", "2026-11-20T14:00:00Z").await;
        assert_eq!((&site.one()["open"], comments(&site.one()).len()), (&json!(false), 0), "{kind}");
        site.says("st1", "Unhealthy", "2026-11-20T15:00:00Z").await;
        assert_eq!((&site.one()["open"], comments(&site.one()).len()), (&json!(true), 1), "{kind}");
        // It went away, Amend closed it, a person opened it again: theirs.
        site.says("st1", "Healthy", "2026-11-20T16:00:00Z").await;
        assert_eq!(site.one()["open"], false, "{kind}");
        site.person("reopen");
        site.says("st1", "Healthy", "2026-11-20T17:00:00Z").await;
        assert_eq!(site.one()["open"], true, "{kind}");
        // Deleted: a new one, when it comes back.
        site.says("st1", "Unhealthy", "2026-11-20T17:20:00Z").await;
        site.person("delete");
        site.says("st1", "Healthy", "2026-11-20T17:40:00Z").await;
        let known = site.filing.bench.store.tickets(10).await.expect("listed");
        assert!(known[0].told.entry.as_ref().is_some_and(|entry| !entry.open), "{kind}: it is gone");
        site.says("st1", "Unhealthy", "2026-11-20T18:00:00Z").await;
        assert_eq!(site.one()["open"], true, "{kind}");
        site.ends().await;
    }
}

/// Every way in which a request can fail, on every request of opening, commenting and closing.
#[tokio::test]
async fn whatever_fails_on_the_way_there_is_one_ticket_that_says_everything_once() {
    let all = [
        json!({ "status": 401 }),
        json!({ "status": 403 }),
        json!({ "status": 409 }),
        json!({ "status": 429, "headers": { "retry-after": "60" } }),
        json!({ "status": 500 }),
        json!({ "status": 503, "headers": { "retry-after": "Wed, 21 Oct 2026 07:28:00 GMT" } }),
        json!({ "status": 502, "html": true }),
        json!({ "status": 200, "html": true }),
        json!({ "drop": true, "applied": false }),
        json!({ "drop": true, "applied": true }),
    ];
    // At full size each of them at each request.
    let step = if long() { 1 } else { 5 };
    for (turn, kind) in KINDS.into_iter().enumerate() {
        for (number, with) in all.iter().enumerate() {
            for skip in 0..6 {
                // Whoever takes webhooks has heard what they answer with 200, whatever they say.
                let heard = kind == "webhook" && with["status"] == 200;
                if heard || (turn + number + skip) % step != 0 {
                    continue;
                }
                let site = Site::new(kind).await;
                site.fail(json!({ "with": with, "skip": skip }));
                site.says("st1", "Unhealthy", "2026-11-20T12:00:00Z").await;
                site.filing.work("2026-11-20T12:40:00Z").await;
                site.says("st2", "Unhealthy", "2026-11-20T13:00:00Z").await;
                site.filing.work("2026-11-20T13:40:00Z").await;
                site.says("st1", "Healthy", "2026-11-20T14:00:00Z").await;
                site.says("st2", "Healthy", "2026-11-20T14:30:00Z").await;
                site.filing.work("2026-11-20T15:40:00Z").await;
                let what = format!("{kind} {with} at {skip}: {}", json!(site.tickets()));
                let ticket = site.one();
                assert_eq!(ticket["open"], false, "{what}");
                let comments = comments(&ticket);
                // Neither is anything left out, nor told twice.
                assert!(!comments.iter().any(|one| one.starts_with("Also") && one.contains("st1")), "{what}");
                let whole = format!("{}{}", ticket["body"], comments.concat());
                assert!(whole.contains("st1") && whole.contains("st2"), "{what}");
                let said: Vec<&str> = comments.iter().map(|one| one.split("(t-").next().unwrap_or(one)).collect();
                let once: std::collections::BTreeSet<&str> = said.iter().copied().collect();
                assert_eq!(once.len(), said.len(), "{what}");
                site.ends().await;
            }
        }
    }
}

/// A tracker that does not answer keeps nobody for long, and hears of it later.
#[tokio::test]
async fn a_tracker_that_hangs_is_asked_again() {
    let site = Site::new("servicenow").await;
    site.fail(json!({ "method": "POST", "with": { "hang": 40 } }));
    site.filing.report(&account("st1"), "Unhealthy", "2026-11-20T11:00:00Z").await;
    let begun = std::time::Instant::now();
    let done = site.filing.work("2026-11-20T12:00:00Z").await;
    assert!(begun.elapsed() < std::time::Duration::from_secs(35), "{:?}", begun.elapsed());
    let again = done.iter().any(|after| matches!(after, After::Again { why, .. } if why.contains("does not answer")));
    assert!(again, "{done:?}");
    site.filing.work("2026-11-20T12:10:00Z").await;
    site.one();
    site.ends().await;
}

/// Where tickets go is said by cloud, account and owner; the first route that fits counts.
#[test]
fn routes_are_taken_in_order() {
    let route = |cloud, accounts: &[&str], owners: &[&str], to: &str| Route {
        cloud,
        accounts: accounts.iter().map(|one| (*one).to_owned()).collect(),
        owners: owners.iter().map(|one| Pattern::new(one)).collect(),
        to: to.to_owned(),
    };
    let azure = "2F6C1A5E-0B7D-4F7E-8A39-51C0DE9B7A11";
    let routes = Routes::new(
        vec![
            route(Some(Cloud::Aws), &[], &[], "aws"),
            route(None, &["other"], &[], "account"),
            route(None, &[], &["bob@*"], "bob"),
            route(Some(Cloud::Azure), &[azure], &["*@Example.org"], "all three"),
            route(None, &[], &[], "any"),
        ],
        "usual",
    );
    let problem = problem_of(&account("st1"));
    assert_eq!(routes.of(&problem), "all three");
    assert_eq!(Routes::default().of(&problem), "local");
    let nobody = Routes::new(vec![route(None, &[], &["?*"], "somebody")], "usual");
    assert_eq!(nobody.of(&problem), "usual");
}

/// The problem that a report makes, owned by Ann.
fn problem_of(export: &Export) -> amend_domain::Problem {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let bench = amend_tests::harness::bench(RULES, "version: 1").await;
        bench.accept(amend_events::Form::Plain, &export.text()).await;
        let mut all = bench.store.problems(&amend_store::Filter::default()).await.expect("listed");
        all.remove(0)
    })
}

/// A tracker that did what it was asked, and whose answer was lost, does it once.
#[tokio::test]
async fn what_was_done_without_an_answer_is_not_done_again() {
    for (kind, method, path) in [
        ("jira", "POST", "/issue$"),
        ("jira", "POST", "/comment$"),
        ("jira", "POST", "/transitions$"),
        ("github", "POST", "/issues$"),
        ("github", "POST", "/comments$"),
        ("github", "PATCH", ""),
        ("servicenow", "POST", ""),
        ("servicenow", "PATCH", ""),
        ("webhook", "POST", ""),
    ] {
        let site = Site::new(kind).await;
        for (said, code, at, open) in [
            (0, "Unhealthy", "2026-11-20T12:00:00Z", true),
            (1, "Healthy", "2026-11-20T13:00:00Z", false),
            (2, "Unhealthy", "2026-11-20T14:00:00Z", true),
        ] {
            site.fail(json!({ "method": method, "path": path, "with": { "drop": true, "applied": true } }));
            site.says("st1", code, at).await;
            site.filing.work(&later(at, 30)).await;
            let ticket = site.one();
            let what = format!("{kind} {method} {path}: {ticket}");
            assert_eq!((&ticket["open"], comments(&ticket).len()), (&json!(open), said), "{what}");
            // What was to fail on this step's way and did not, fails no other.
            site.ask(json!({ "do": "mend" }));
        }
        // A comment alone, too.
        site.fail(json!({ "method": method, "path": path, "with": { "drop": true, "applied": true } }));
        site.says("st2", "Unhealthy", "2026-11-20T15:00:00Z").await;
        site.filing.work("2026-11-20T15:30:00Z").await;
        assert_eq!(comments(&site.one()).len(), 3, "{kind} {method} {path}: {}", site.one());
        site.ends().await;
    }
}

/// An answer that was lost, and more to say by then: all of it is told.
#[tokio::test]
async fn what_changes_while_an_answer_is_lost_is_told_too() {
    for kind in KINDS {
        let site = Site::new(kind).await;
        let lost = |method: &str| site.fail(json!({ "method": method, "with": { "drop": true, "applied": true } }));
        lost("POST");
        site.filing.report(&account("st1"), "Unhealthy", "2026-11-20T11:00:00Z").await;
        site.filing.work("2026-11-20T12:00:00Z").await;
        site.filing.report(&account("st2"), "Unhealthy", "2026-11-20T12:00:05Z").await;
        for minute in [1, 5, 10, 20] {
            site.filing.work(&format!("2026-11-20T12:{minute:02}:00Z")).await;
        }
        assert!(site.one().to_string().contains("st2"), "{kind}: {}", site.one());
        lost(if kind == "servicenow" { "PATCH" } else { "POST" });
        site.says("st3", "Unhealthy", "2026-11-20T13:00:00Z").await;
        site.filing.report(&account("st4"), "Unhealthy", "2026-11-20T13:10:10Z").await;
        for minute in [11, 20, 30, 40] {
            site.filing.work(&format!("2026-11-20T13:{minute:02}:00Z")).await;
        }
        let said = comments(&site.one()).concat();
        assert!(said.contains("st3") && said.contains("st4"), "{kind}: {said}");
        site.ends().await;
    }
}

/// What cannot be seen any more is not taken for deleted: no second one is opened for it.
#[tokio::test]
async fn a_token_that_lost_its_rights_opens_nothing_twice() {
    for kind in ["jira", "github"] {
        let site = Site::new(kind).await;
        site.says("st1", "Unhealthy", "2026-11-20T12:00:00Z").await;
        site.ask(json!({ "do": "set", "to": { "visible": false } }));
        let done = site.says("st2", "Unhealthy", "2026-11-20T13:00:00Z").await;
        let denied = |after: &After| matches!(after, After::Again { why, .. } if why.contains("does not let amend in"));
        assert!(done.iter().any(denied), "{kind}: {done:?}");
        site.ask(json!({ "do": "set", "to": { "visible": true } }));
        site.filing.work("2026-11-20T14:00:00Z").await;
        assert_eq!(comments(&site.one()).len(), 1, "{kind}");
        site.ends().await;
    }
}

/// A tracker that wants to be left alone is, with all of its tickets.
#[tokio::test]
async fn a_tracker_that_has_enough_is_left_alone() {
    let site = Site::new("github").await;
    let asked = || site.ask(json!({ "do": "seen" })).as_array().expect("a list").len();
    site.fail(json!({ "with": { "status": 429, "headers": { "retry-after": "3600" } } }));
    for (name, risk) in [("st1", "Critical"), ("st2", "Critical")] {
        let export = Export { risk: Some(risk.into()), ..account(name) };
        site.filing.report(&export, "Unhealthy", "2026-11-20T11:00:00Z").await;
    }
    site.filing.work("2026-11-20T12:00:00Z").await;
    site.filing.work("2026-11-20T12:50:00Z").await;
    assert_eq!((asked(), site.tickets().len()), (1, 0));
    site.filing.work("2026-11-20T13:01:00Z").await;
    assert_eq!(site.tickets().len(), 2);
    site.ends().await;
}

/// One that is away holds up nobody: it is tried with one ticket, not with each.
#[tokio::test]
async fn a_tracker_that_is_away_is_tried_now_and_then() {
    let site = Site::new("jira").await;
    site.fail(json!({ "times": 100, "with": { "status": 503 } }));
    for n in 0..10 {
        let export = Export { risk: Some("Critical".into()), ..account(&format!("st{n}")) };
        site.filing.report(&export, "Unhealthy", "2026-11-20T11:00:00Z").await;
    }
    for second in [0, 31, 40] {
        site.filing.work(&format!("2026-11-20T12:00:{second:02}Z")).await;
    }
    let asked = site.ask(json!({ "do": "seen" })).as_array().expect("a list").len();
    assert_eq!(asked, 2);
    site.ask(json!({ "do": "mend" }));
    for minute in [5, 10, 20] {
        site.filing.work(&format!("2026-11-20T12:{minute:02}:00Z")).await;
    }
    assert_eq!(site.tickets().len(), 10);
    site.ends().await;
}

/// What goes away and comes back before its tracker was told of it is no news.
#[tokio::test]
async fn what_comes_and_goes_in_minutes_is_not_told() {
    for kind in KINDS {
        let site = Site::new(kind).await;
        site.says("st1", "Unhealthy", "2026-11-20T12:00:00Z").await;
        for (code, at) in [("Healthy", "2026-11-20T13:00:00Z"), ("Unhealthy", "2026-11-20T13:01:00Z")] {
            site.filing.report(&account("st1"), code, at).await;
            site.filing.work(&later(at, 0)).await;
        }
        site.filing.work("2026-11-20T13:10:00Z").await;
        assert_eq!((&site.one()["open"], comments(&site.one())), (&json!(true), vec![]), "{kind}");
        if kind != "webhook" {
            // What somebody closes after that is not opened again for it.
            site.person("close");
            let milder = Export { severity: "Low".into(), ..account("st1") };
            site.filing.report(&milder, "Unhealthy", "2026-11-20T13:20:00Z").await;
            site.filing.work("2026-11-20T13:21:00Z").await;
            site.filing.work("2026-11-20T13:31:00Z").await;
            assert_eq!((&site.one()["open"], comments(&site.one())), (&json!(false), vec![]), "{kind}");
            site.person("reopen");
            site.filing
                .report(&Export { severity: "Medium".into(), ..milder }, "Unhealthy", "2026-11-20T13:40:00Z")
                .await;
            site.filing.work("2026-11-20T13:41:00Z").await;
            site.filing.work("2026-11-20T13:51:00Z").await;
        }
        site.says("st1", "Healthy", "2026-11-20T14:00:00Z").await;
        assert_eq!((&site.one()["open"], comments(&site.one()).len()), (&json!(false), 1), "{kind}");
        site.ends().await;
    }
}

/// A search that knows of nothing new does not lead to a second ticket.
#[tokio::test]
async fn what_a_search_does_not_find_yet_is_waited_for() {
    let site = Site::new("jira").await;
    site.ask(json!({ "do": "set", "to": { "search_sees": false } }));
    site.fail(json!({ "path": "/rest/api/3/issue$", "with": { "drop": true, "applied": true } }));
    site.filing.report(&account("st1"), "Unhealthy", "2026-11-20T11:00:00Z").await;
    site.filing.work("2026-11-20T12:00:00Z").await;
    site.filing.work("2026-11-20T12:01:00Z").await;
    site.one();
    site.ask(json!({ "do": "set", "to": { "search_sees": true } }));
    for minute in [3, 5, 30] {
        site.filing.work(&format!("2026-11-20T12:{minute:02}:00Z")).await;
    }
    site.one();
    site.ends().await;
}

#[tokio::test]
async fn what_is_refused_for_good_is_parked_and_says_why() {
    let why = |done: &[After]| {
        let parked = done.iter().find_map(|after| match after {
            After::Parked { why } => Some(why.clone()),
            _ => None,
        });
        parked.unwrap_or_else(|| panic!("{done:?}"))
    };
    // A field that the project does not have.
    let site = Site::new("jira").await;
    let url = format!("{}/{}/jira", Served::trackers().url(), site.name);
    let wrong = Jira::new("sec", jira_at(url.clone(), fields(&[("customfield_1", json!("x"))]))).expect("a tracker");
    let filing = Filing::new(RULES, "sec", |_| Arc::new(wrong)).await;
    filing.report(&account("st1"), "Unhealthy", "2026-11-20T11:00:00Z").await;
    let said = why(&filing.work("2026-11-20T12:00:00Z").await);
    assert!(said.contains("sec refuses: status 400") && said.contains("customfield_1"), "{said}");
    // A workflow without a way back.
    let site = Site::new("jira").await;
    site.says("st1", "Unhealthy", "2026-11-20T12:00:00Z").await;
    site.ask(json!({ "do": "set", "to": { "unreachable": ["Done"] } }));
    let done = site.says("st1", "Healthy", "2026-11-20T13:00:00Z").await;
    let said = why(&done);
    assert!(said.contains("no transition of SEC-1 closes it; there are: Move to In Progress."), "{said}");
    assert!(comments(&site.one()).is_empty(), "nothing is announced that cannot be done");
    // A user who may not write what it is found by: not one after the other.
    let site = Site::new("servicenow").await;
    site.ask(json!({ "do": "set", "to": { "hidden": ["correlation_id"] } }));
    site.filing.report(&account("st1"), "Unhealthy", "2026-11-20T11:00:00Z").await;
    let said = why(&site.filing.work("2026-11-20T12:00:00Z").await);
    assert!(said.contains("INC0000001 was opened without its `correlation_id`"), "{said}");
    site.filing.work("2026-11-20T13:00:00Z").await;
    site.one();
}

/// An incident that is closed for good cannot be opened again.
#[tokio::test]
async fn what_comes_back_after_an_incident_was_closed_for_good_is_a_new_one() {
    let site = Site::new("servicenow").await;
    site.says("st1", "Unhealthy", "2026-11-20T12:00:00Z").await;
    site.person("close-for-good");
    site.says("st1", "Healthy", "2026-11-20T13:00:00Z").await;
    assert_eq!(site.one()["open"], false);
    site.says("st1", "Unhealthy", "2026-11-20T14:00:00Z").await;
    let open: Vec<bool> = site.tickets().iter().map(|one| one["open"] == true).collect();
    assert_eq!(open, [false, true]);
    site.ends().await;
}

/// A receiver that says `ok`, or nothing, heard it.
#[tokio::test]
async fn a_webhook_may_answer_what_it_likes() {
    for says in ["text", "nothing"] {
        let site = Site::new("webhook").await;
        site.ask(json!({ "do": "set", "to": { "says": says } }));
        site.says("st1", "Unhealthy", "2026-11-20T12:00:00Z").await;
        site.says("st1", "Healthy", "2026-11-20T13:00:00Z").await;
        assert_eq!(site.one()["open"], false);
        site.ends().await;
    }
}

/// What resources and recommendations are called calls nobody, and is no Markdown.
#[tokio::test]
async fn names_do_no_harm() {
    let title = "Fix @everyone <img src=x> [x](javascript:y) #1 `code` *a* _b_";
    for kind in KINDS {
        let site = Site::new(kind).await;
        let export =
            Export { title: title.into(), key: "7a1c0000-0000-0000-0000-000000000001".into(), ..account("st`@all`1") };
        site.filing.report(&export, "Unhealthy", "2026-11-20T11:00:00Z").await;
        site.filing.work("2026-11-20T12:00:00Z").await;
        let ticket = site.one();
        let body = ticket["body"].as_str().expect("a body");
        match kind {
            "github" => {
                assert!(!body.contains(" @everyone") && body.contains("\\<img") && body.contains("\\[x\\]"), "{body}")
            }
            // A document holds it as a text.
            "jira" => assert!(body.contains("Fix @everyone <img src=x> [x](javascript:y)"), "{body}"),
            _ => assert!(body.contains("\\[x\\](javascript:y)"), "{body}"),
        }
        site.ends().await;
    }
}

#[tokio::test]
async fn a_check_says_what_is_missing() {
    for kind in KINDS {
        let site = Site::new(kind).await;
        let checks = site.tracker.check().await.expect("it answers");
        let missing: Vec<_> = checks.iter().filter_map(|one| one.missing.clone()).collect();
        assert!(!checks.is_empty() && missing.is_empty(), "{kind}: {checks:?}");
    }
    let missing =
        |checks: Vec<amend_connect::Check>| checks.into_iter().find_map(|one| one.missing).expect("something");
    let site = Site::new("jira").await;
    site.ask(json!({ "do": "set", "to": { "granted": false } }));
    assert_eq!(
        missing(site.tracker.check().await.expect("it answers")),
        "give the account TRANSITION_ISSUES in the project SEC"
    );
    site.ask(json!({ "do": "set", "to": { "granted": true, "required": ["labels", "assignee"] } }));
    let said = missing(site.tracker.check().await.expect("it answers"));
    assert_eq!(said, "the issue type requires it: give `assignee` under `fields`");
    let site = Site::new("github").await;
    site.ask(json!({ "do": "set", "to": { "writes": false } }));
    let said = missing(site.tracker.check().await.expect("it answers"));
    assert!(said.starts_with("give the token `Issues: read and write`"), "{said}");
    let site = Site::new("servicenow").await;
    site.ask(json!({ "do": "set", "to": { "readable": false } }));
    let said = missing(site.tracker.check().await.expect("it answers"));
    assert!(said.contains("the role `itil`"), "{said}");
    for kind in ["jira", "github", "servicenow"] {
        let site = Site::new(kind).await;
        site.fail(json!({ "with": { "status": 401 } }));
        let error = site.tracker.check().await.expect_err("nobody").to_string();
        assert!(error.starts_with("sec does not let amend in: status 401"), "{error}");
    }
}

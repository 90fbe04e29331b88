//! Channels: what a rule names hears once of what happens, in Slack's words and in Teams', held against what both
//! publish.

use std::{collections::BTreeMap, sync::Arc};

use amend_connect::{Channel, Chat, Mailer, Secret};
use amend_domain::{
    notice::{News, Notice, Whom},
    ports::Clock as _,
    rule::Mode,
    work::After,
};
use amend_events::Form;
use amend_pipeline::{
    approve::Answered,
    notices::{Herald, Times, Ways, quiet::Quiet},
    people::Person,
};
use amend_store::{Database, Notices as _, Store as _};
use amend_tests::{
    clouds::Served,
    filing::account,
    harness::{Bench, CountedIds, Export, StillClock, bench, moment},
};
use serde_json::{Value, json};

use crate::{
    notices::{mails, settings},
    work,
};

struct Channels {
    site: &'static str,
    bench: Bench,
    herald: Herald,
}

/// A herald with a channel `sec_ops` in Slack and another, `desk`, in Teams.
pub(crate) fn herald(site: &str, store: &Database, clock: Arc<StillClock>, quiet: Option<&str>) -> Herald {
    let channel = |name: &str, chat: Chat| {
        let url = Secret::new(format!("{}/{site}/{}", Served::trackers().url(), chat.as_str()));
        (name.to_owned(), Channel::new(name, chat, &url).expect("a channel"))
    };
    let channels = BTreeMap::from([channel("sec_ops", Chat::Slack), channel("desk", Chat::Teams)]);
    let mailer = Some(Mailer::new(&settings("mail-password")).expect("settings"));
    let ways = Ways { mailer, channels: Arc::new(channels) };
    let times = Times { quiet: quiet.map(|text| Quiet::parse(text).expect("hours")), ..Times::default() };
    let store = Arc::new(store.clone());
    Herald::new(store.clone(), store.clone(), store, ways, times, clock, &CountedIds::default())
}

async fn channels(site: &'static str, notify: &str, quiet: Option<&str>) -> Channels {
    let rules = format!(
        "version: 1\nrules: [{{ id: all, priority: 1, owner: ann@{site}.example, due: 7d, notify: {notify} }}]"
    );
    let bench = bench(&rules, "version: 1").await;
    let herald = herald(site, &bench.store, bench.clock.clone(), quiet);
    Channels { site, bench, herald }
}

impl Channels {
    async fn report(&self, export: &Export, code: &str, at: &str) {
        self.bench.clock.set(at);
        let export = Export { code: code.into(), changed: Some(at.into()), ..export.clone() };
        self.bench.accept(Form::Plain, &export.text()).await;
    }

    async fn work(&self, at: &str) -> Vec<After> {
        self.bench.clock.set(at);
        let mut done = Vec::new();
        while let Some((_, after)) = self.herald.work().await.expect("the store answers") {
            done.push(after);
            assert!(done.len() < 100, "work does not end");
        }
        done
    }

    /// The messages that came.
    fn messages(&self, chat: Chat) -> Vec<Value> {
        let seen = Served::trackers().ask(&json!({ "do": "tickets", "site": self.site, "tracker": chat.as_str() }));
        seen["ok"].as_array().expect("a list").clone()
    }

    /// What stands in them, one line for each message.
    fn told(&self, chat: Chat) -> Vec<String> {
        self.messages(chat).iter().map(|message| texts(message).join(" | ")).collect()
    }

    fn fail(&self, chat: Chat, with: Value) {
        let tracker = chat.as_str();
        Served::trackers().ask(&json!({ "do": "fail", "site": self.site, "tracker": tracker, "with": with }));
    }
}

/// The texts in a message, in order.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Object(map) => map
            .iter()
            .flat_map(|(name, value)| match value {
                Value::String(text) if name == "text" => vec![text.clone()],
                _ => texts(value),
            })
            .collect(),
        Value::Array(list) => list.iter().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

fn right() {
    assert_eq!(Served::trackers().ask(&json!({ "do": "wrong" }))["ok"], json!([]));
}

#[tokio::test]
async fn a_channel_hears_once_of_what_its_rule_notifies_it_of() {
    let sec = channels("hears", "['#sec-ops', '#Desk', ines@hears.example]", None).await;
    let risky = Export { risk: Some("Critical".into()), ..account("st2") };
    for _ in 0..5 {
        sec.report(&account("st1"), "Unhealthy", "2026-11-20T12:00:00Z").await;
        sec.report(&risky, "Unhealthy", "2026-11-20T12:00:20Z").await;
    }
    // What a snapshot brings is told to nobody.
    let listed = Export { snapshot: true, ..account("st3") };
    sec.report(&listed, "Unhealthy", "2026-11-20T12:00:30Z").await;
    assert_eq!(sec.work("2026-11-20T12:00:59Z").await, [], "it is gathered for a minute");
    assert_eq!(sec.work("2026-11-20T12:01:00Z").await, [After::Done, After::Done]);
    assert_eq!(sec.work("2026-11-20T12:02:00Z").await, []);
    for chat in [Chat::Slack, Chat::Teams] {
        let told = sec.told(chat);
        assert!(told.len() == 1 && told[0].contains("2 new findings") && !told[0].contains("st3"), "{told:?}");
        assert!(told[0].find("st2") < told[0].find("st1"), "the riskier first: {told:?}");
    }
    insta::assert_snapshot!("channel_slack", format!("{:#}", sec.messages(Chat::Slack)[0]));
    insta::assert_snapshot!("channel_teams", format!("{:#}", sec.messages(Chat::Teams)[0]));
    // A person is told of the same by mail, which is gathered for longer.
    assert_eq!(sec.work("2026-11-20T12:05:00Z").await, [After::Done]);
    let mail = &mails("ines@hears.example")[0];
    assert_eq!(mail["subject"], "Amend: 2 new findings");
    insta::assert_snapshot!(
        "channel_mail",
        mail["text"].as_str().expect("a text").replace("hears.example", "example.org")
    );
    assert!(mails("ann@hears.example").is_empty(), "an owner has a ticket, and a digest");
    // It is healthy, and comes back.
    sec.report(&account("st1"), "Healthy", "2026-11-21T12:00:00Z").await;
    sec.work("2026-11-21T12:05:00Z").await;
    sec.report(&account("st1"), "Unhealthy", "2026-11-22T12:00:00Z").await;
    sec.work("2026-11-22T12:05:00Z").await;
    let told = sec.told(Chat::Slack);
    assert!(told.len() == 3 && told[1].contains("1 healthy") && told[2].contains("1 came back"), "{told:?}");
    // Of what comes and goes before anybody was told, only that it went is left to say.
    sec.report(&account("st4"), "Unhealthy", "2026-11-23T12:00:00Z").await;
    let gone = Export { cause: Some("Exempt".into()), ..account("st4") };
    sec.report(&gone, "NotApplicable", "2026-11-23T12:00:30Z").await;
    sec.work("2026-11-23T12:05:00Z").await;
    let last = sec.told(Chat::Slack).pop().expect("a message");
    assert!(last.contains("1 closed") && last.contains("exempted") && !last.contains("New"), "{last}");
    // Another process tells nothing twice.
    let other = herald(sec.site, &sec.bench.store, sec.bench.clock.clone(), None);
    assert!(other.work().await.expect("the store answers").is_none());
    right();
}

#[tokio::test]
async fn a_message_holds_what_its_service_takes_whatever_things_are_called() {
    let sec = channels("names", "['#sec-ops', '#desk']", None).await;
    let title = "<!channel> *all* `code` <https://x.example|here> & [a](https://x.example) ".repeat(12);
    for n in 0..30 {
        let name = format!("st{n}-{}", "<@U1>`x`*b*_i_~".repeat(20));
        let key = format!("51fd8bb1-0db4-bbf1-7e2b-{n:012}");
        let export = Export { title: title.clone(), key, ..account(&name) };
        sec.report(&export, "Unhealthy", "2026-11-20T12:00:00Z").await;
    }
    sec.work("2026-11-20T12:01:00Z").await;
    let (slack, teams) = (sec.messages(Chat::Slack), sec.messages(Chat::Teams));
    assert_eq!((slack.len(), teams.len()), (1, 1), "{:?}", sec.bench.store.work(10).await);
    let slack = texts(&slack[0]).join("\n");
    assert!(!slack.contains("<!channel>") && !slack.contains("<@U1>") && slack.contains("&lt;!channel&gt;"), "{slack}");
    assert!(slack.contains("*and 10 more*"), "{slack}");
    let teams = texts(&teams[0]);
    let shown = teams.iter().filter(|text| text.starts_with("New ")).count();
    let more = format!("and {} more", 30 - shown);
    assert!((1..20).contains(&shown) && teams.last().is_some_and(|text| text.contains(&more)), "{shown}: {teams:?}");
    right();
}

#[tokio::test]
async fn what_a_channel_did_not_take_is_told_later_or_shown() {
    let sec = channels("away", "'#sec-ops'", None).await;
    sec.report(&account("st1"), "Unhealthy", "2026-11-20T12:00:00Z").await;
    let wait = json!({ "status": 429, "headers": { "retry-after": "1800" }, "text": "rate_limited" });
    sec.fail(Chat::Slack, wait);
    let done = sec.work("2026-11-20T12:01:00Z").await;
    let later = moment("2026-11-20T12:31:00Z");
    assert!(
        matches!(&done[..], [After::Again { at, why }] if *at == later && why.contains("rate_limited")),
        "{done:?}"
    );
    // What happens meanwhile is told with it.
    sec.report(&account("st2"), "Unhealthy", "2026-11-20T12:10:00Z").await;
    assert_eq!(sec.work("2026-11-20T12:30:00Z").await, []);
    for (with, why) in [
        (json!({ "status": 500, "text": "rollup_error" }), "rollup_error"),
        (json!({ "status": 403, "text": "action_prohibited" }), "does not let amend in"),
        (json!({ "status": 404, "text": "no_service" }), "status 404: no_service; is the address right?"),
        (json!({ "status": 410, "text": "channel_is_archived" }), "status 410: channel_is_archived"),
        (json!({ "status": 502, "html": true }), "what it says is not shown"),
        // Whoever knows the address can post there: what repeats it is not shown.
        (json!({ "status": 500, "text": "upstream /away/slack failed" }), "what it says is not shown"),
        (json!({ "status": 500, "text": "away" }), "what it says is not shown"),
        (json!({ "status": 403, "body": { "error": { "code": "Disabled", "message": "/away/slack" } } }), "Disabled"),
        (json!({ "status": 301, "headers": { "location": "/away/slack/" } }), "it sends us somewhere else"),
        // A page to sign in on, or another service.
        (json!({ "status": 200, "html": true }), "it does not answer as Slack does"),
        (json!({ "status": 202, "text": "" }), "it does not answer as Slack does"),
        (json!({ "drop": true, "applied": false }), "does not answer"),
    ] {
        sec.fail(Chat::Slack, with);
        // Whatever it was put off for, it is tried again at once here.
        let at = sec.bench.clock.now();
        let key = sec.bench.store.work(10).await.expect("listed").remove(0).key;
        sec.bench.store.retry_work(Some(&key), at).await.expect("retried");
        let done = sec.work(&at.to_string()).await;
        assert!(
            matches!(&done[..], [After::Again { why: said, .. }] if said.contains(why) && !said.contains("away/")),
            "{why}: {done:?}"
        );
    }
    let work = sec.bench.store.work(10).await.expect("listed").remove(0);
    assert_eq!(sec.work(&work.due.to_string()).await, [After::Done]);
    let told = sec.told(Chat::Slack);
    assert!(told.len() == 1 && told[0].contains("2 new findings"), "{told:?}");
    // What it refuses for good waits for a person, and is not lost.
    sec.report(&account("st3"), "Unhealthy", "2026-11-21T12:00:00Z").await;
    sec.fail(Chat::Slack, json!({ "status": 400, "text": "invalid_payload" }));
    let done = sec.work("2026-11-21T12:05:00Z").await;
    assert!(matches!(&done[..], [After::Parked { why }] if why.contains("invalid_payload")), "{done:?}");
    sec.report(&account("st4"), "Unhealthy", "2026-11-21T13:00:00Z").await;
    assert_eq!(sec.work("2026-11-21T14:00:00Z").await, [], "it waits for a person");
    sec.bench.store.retry_work(None, moment("2026-11-21T14:00:00Z")).await.expect("retried");
    assert_eq!(sec.work("2026-11-21T14:00:00Z").await, [After::Done]);
    assert!(sec.told(Chat::Slack)[1].contains("2 new findings"));
    // While everything is stopped nobody is told anything.
    let at = moment("2026-11-22T12:00:00Z");
    let stop = amend_domain::work::Stop { by: "a test".into(), at, why: "a drill".into() };
    sec.bench.store.stop(&stop).await.expect("stopped");
    sec.report(&account("st5"), "Unhealthy", "2026-11-22T12:00:00Z").await;
    assert_eq!(sec.work("2026-11-22T13:00:00Z").await, []);
    right();
}

#[tokio::test]
async fn a_channel_that_is_not_there_is_shown_and_an_owner_without_an_address_is_not_told() {
    let sec = channels("nobody", "['#gone']", None).await;
    sec.report(&account("st1"), "Unhealthy", "2026-11-20T12:00:00Z").await;
    let done = sec.work("2026-11-20T12:01:00Z").await;
    assert!(matches!(&done[..], [After::Parked { why }] if why == "no channel is called `gone`"), "{done:?}");
    let work = sec.bench.store.work(10).await.expect("listed");
    assert_eq!(work[0].key, "send:news/#gone");
}

#[tokio::test]
async fn a_message_is_as_things_are_when_it_is_sent() {
    let sec = channels("fresh", "'#sec-ops'", None).await;
    sec.report(&account("st1"), "Unhealthy", "2026-11-20T12:00:00Z").await;
    let next = sec.herald.untold().await.expect("the store answers").remove(0);
    assert_eq!((next.due, next.parked), (moment("2026-11-20T12:01:00Z"), false));
    let problem = sec.bench.store.problems(&amend_store::Filter::default()).await.expect("listed").remove(0);
    let (to, now) = (moment("2026-12-24T23:59:59Z"), moment("2026-11-20T12:00:30Z"));
    amend_pipeline::dates::move_due(&sec.bench.store, &problem, to, "x", &Person::local(), now).await.expect("moved");
    sec.work("2026-11-20T12:01:00Z").await;
    let told = sec.told(Chat::Slack);
    assert!(told[0].contains("due 2026-12-24") && told[0].contains("1 new finding"), "{told:?}");
}

#[tokio::test]
async fn who_owns_something_is_not_told_before_it_is_known() {
    let rules = "version: 1\nrules: [{ id: all, priority: 1, owner: { tag: owner }, due: 7d, due_from: first_unhealthy, notify: '#sec-ops' }]";
    let bench = bench(rules, "version: 1").await;
    let herald = herald("unknown", &bench.store, bench.clock.clone(), None);
    let export = Export { title: "Two\nlines".into(), changed: Some("2026-11-01T12:00:00Z".into()), ..account("st1") };
    bench.accept(Form::Plain, &export.text()).await;
    let next = herald.untold().await.expect("the store answers").remove(0);
    let item = &next.message.items[0];
    assert_eq!(item.title, "Two lines");
    assert_eq!(item.lines, ["its owner is not known yet: resource tags not known, due 2026-11-08, which is over"]);
    assert_eq!(herald.digests().await.expect("the store answers"), [], "it may be another's");
}

#[tokio::test]
async fn quiet_hours_hold_back_what_can_wait() {
    let sec = channels("quiet", "'#sec-ops'", Some("20:00-07:00 Europe/Vienna")).await;
    // 20:30 in Vienna.
    sec.report(&account("st1"), "Unhealthy", "2026-11-20T19:30:00Z").await;
    assert_eq!(sec.work("2026-11-20T19:40:00Z").await, []);
    assert_eq!(sec.work("2026-11-21T05:59:59Z").await, []);
    assert_eq!(sec.work("2026-11-21T06:00:00Z").await, [After::Done]);
    assert_eq!(sec.told(Chat::Slack).len(), 1);
    sec.report(&account("st2"), "Unhealthy", "2026-11-21T18:59:30Z").await;
    assert_eq!(sec.work("2026-11-21T19:00:30Z").await, [], "they began before it was told");
    // What failed does not wait, and takes the rest with it.
    let problem = sec.bench.store.problems(&amend_store::Filter::default()).await.expect("listed").remove(0);
    let failed = Notice { news: News::Failed, ..Notice::overdue(&problem, moment("2026-11-21T22:00:00Z")) };
    sec.bench.store.tell(&[(Whom::named("#sec-ops"), failed)]).await.expect("kept");
    assert_eq!(sec.work("2026-11-21T22:01:00Z").await, [After::Done]);
    assert_eq!(sec.told(Chat::Slack).len(), 2);
}

#[tokio::test]
async fn that_something_was_told_is_kept_for_two_months_and_what_was_not_for_ever() {
    let sec = channels("kept", "'#sec-ops'", None).await;
    sec.report(&account("st1"), "Unhealthy", "2026-11-20T12:00:00Z").await;
    let whom = Whom::named("#sec-ops");
    let store = &sec.bench.store;
    let (name, notice) = store.news(&whom).await.expect("read").remove(0);
    let count = async || store.untold().await.expect("read").iter().map(|untold| untold.count).sum::<u64>();
    store.told(&[], moment("2027-06-01T00:00:00Z")).await.expect("kept");
    assert_eq!(count().await, 1);
    store.told(&[name], moment("2026-11-20T12:01:00Z")).await.expect("kept");
    for (at, left) in [("2027-01-19T12:00:00Z", 0), ("2027-01-19T12:00:01Z", 1)] {
        store.told(&[], moment(at)).await.expect("kept");
        store.tell(&[(whom.clone(), notice.clone())]).await.expect("kept");
        assert_eq!(count().await, left, "{at}");
    }
}

#[tokio::test]
async fn those_concerned_hear_of_each_write_before_and_after() {
    let (asked, fixed) = (work::storage(), work::storage());
    let bench = work::bench("{ mode: approve }, notify: '#sec-ops'", Mode::Enforce).await;
    for subject in [&asked, &fixed] {
        bench.report(subject, "Unhealthy", "2026-11-20T11:00:00Z").await;
    }
    bench.work().await;
    let news = async |whom: Whom| {
        let all = bench.store().news(&whom).await.expect("read");
        let mut all: Vec<(News, String)> = all.into_iter().map(|(_, one)| (one.news, one.name.to_string())).collect();
        all.sort();
        all
    };
    let owner = || Whom::Owner("a@example.org".into());
    let channel = || Whom::named("#sec-ops");
    assert_eq!(news(owner()).await, [], "an owner is not asked by everybody's leave");
    assert_eq!(news(channel()).await.iter().filter(|(news, _)| *news == News::Asked).count(), 2);
    let r = bench.remediations(&fixed).await.remove(0);
    let says = Answered { by: Person::named("ann"), why_not: None, batch: None };
    bench.fixer.answer(&r.id, &r.plan.digest, &says).await.expect("approved");
    bench.work().await;
    let name = r.plan.at.resource.as_str().rsplit('/').next().expect("a name").to_owned();
    let of = |news: News| (news, name.clone());
    assert_eq!(news(owner()).await, [of(News::Changing), of(News::Changed)]);
    bench.report(&fixed, "Healthy", "2026-11-20T13:00:00Z").await;
    assert_eq!(news(owner()).await, [of(News::Changing), of(News::Changed), of(News::Healthy)]);
    // All of it is one line of one message, and one mail.
    let herald = herald("writes", bench.store(), bench.inner.clock.clone(), None);
    bench.inner.clock.set("2026-11-20T14:00:00Z");
    while herald.work().await.expect("the store answers").is_some() {}
    let told = Served::trackers().ask(&json!({ "do": "tickets", "site": "writes", "tracker": "slack" }))["ok"].clone();
    let told = texts(&told).join("\n");
    for said in ["1 fix awaits approval, 1 healthy", "amend approvals r-", "amend undo r-", "by ann"] {
        assert!(told.contains(said), "{said}: {told}");
    }
    let mail = mails("a@example.org").pop().expect("a mail");
    assert_eq!(mail["subject"], "Amend: 1 healthy");
    // Somebody undoes it.
    let mut r = bench.remediations(&fixed).await.remove(0);
    bench.fixer.undo(&mut r, "ada", None).await.expect("undone");
    assert_eq!(news(owner()).await, [of(News::Undoing), of(News::Undone)]);
    right();
}

#[test]
fn quiet_hours_end_at_a_time_of_the_day() {
    let end = |hours: &str, at: &str| {
        let at = moment(at);
        let end = Quiet::parse(hours).expect("hours").end(at);
        (end != at).then(|| end.to_string())
    };
    let at = |text: &str| Some(text.to_owned());
    assert_eq!(end("20:00-07:00 UTC", "2026-11-20T19:59:59Z"), None);
    assert_eq!(end("20:00-07:00 UTC", "2026-11-20T20:00:00Z"), at("2026-11-21T07:00:00Z"));
    assert_eq!(end("20:00-07:00 UTC", "2026-11-21T06:59:59Z"), at("2026-11-21T07:00:00Z"));
    assert_eq!(end("20:00-07:00 UTC", "2026-11-21T07:00:00Z"), None);
    assert_eq!(end("12:00-13:00 UTC", "2026-11-21T12:30:00Z"), at("2026-11-21T13:00:00Z"));
    assert_eq!(end("12:00-13:00 UTC", "2026-11-21T11:30:00Z"), None);
    // The clocks go back in this night, and forward in that.
    assert_eq!(end("22:00-07:00 Europe/Vienna", "2026-10-24T21:00:00Z"), at("2026-10-25T06:00:00Z"));
    assert_eq!(end("22:00-02:30 Europe/Vienna", "2026-03-28T22:00:00Z"), at("2026-03-29T01:30:00Z"));
    for wrong in ["", "20:00", "20:00-07:00", "20:00-25:00 UTC", "7-8 UTC", "07:00-07:00 UTC", "20:00-07:00 Nowhere/X"]
    {
        assert!(Quiet::parse(wrong).is_err(), "{wrong}");
    }
}

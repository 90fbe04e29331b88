//! Notices: one for a person, sent once, to a real mail server.

use std::sync::Arc;

use amend_connect::{Mailer, Secret, mail};
use amend_domain::work::After;
use amend_events::Form;
use amend_pipeline::notices::{Herald, Times, Ways};
use amend_store::{Notices as _, Store as _};
use amend_tests::{
    clouds::Served,
    filing::account,
    harness::{Bench, CountedIds, Export, bench, moment},
};
use serde_json::{Value, json};

/// Mondays at eight in Vienna: seven in UTC. The clock of a bench stands on a Friday.
const MONDAYS: &str = "0 8 * * MON Europe/Vienna";

struct Sending {
    bench: Bench,
    herald: Herald,
    ann: String,
}

pub(crate) fn settings(password: &str) -> mail::Settings {
    mail::Settings {
        url: format!("smtp://127.0.0.1:{}", Served::trackers().hello["smtp"]),
        user: Some("amend".into()),
        password: Some(Secret::new(password)),
        from: "Amend <amend@northwind.example>".into(),
    }
}

/// A herald whose owner has an address of a test.
async fn sending(test: &str, password: &str) -> Sending {
    let ann = format!("ann@{test}.example");
    let rules = format!(
        "version: 1\nrules:\n  - {{ id: web, priority: 1, when: [{{ name: 'Web*' }}], owner: Web squad, due: 7d }}\n  - {{ id: all, priority: 2, owner: {ann}, due: 7d, ticket: true }}"
    );
    let bench = bench(&rules, "version: 1").await;
    let store = Arc::new(bench.store.clone());
    let mailer = Mailer::new(&settings(password)).expect("settings");
    let orphans = Some(format!("desk@{test}.example"));
    let times = Times { digest: Some(MONDAYS.into()), orphans, quiet: None };
    let clock = bench.clock.clone();
    let ways = Ways { mailer: Some(mailer), ..Ways::default() };
    let herald = Herald::new(store.clone(), store.clone(), store, ways, times, clock, &CountedIds::default());
    Sending { bench, herald, ann }
}

impl Sending {
    async fn report(&self, export: &Export, at: &str) {
        self.bench.clock.set(at);
        let export = Export { changed: Some(at.into()), ..export.clone() };
        self.bench.accept(Form::Plain, &export.text()).await;
    }

    async fn work(&self, at: &str) -> Vec<After> {
        self.bench.clock.set(at);
        let mut done = Vec::new();
        while let Some((_, after)) = self.herald.work().await.expect("the store answers") {
            done.push(after);
        }
        done
    }
}

pub(crate) fn mails(to: &str) -> Vec<Value> {
    let mails = Served::trackers().ask(&json!({ "do": "mails", "to": to }))["ok"].clone();
    mails.as_array().expect("a list").clone()
}

#[tokio::test]
async fn each_owner_gets_one_mail_a_week_about_all_that_is_open() {
    let sending = sending("weekly", "mail-password").await;
    for (name, at, risk) in [
        ("st-late", "2026-11-10T10:00:00Z", Some("Low")),
        ("st-soon", "2026-11-20T10:00:00Z", None),
        ("st-risky", "2026-11-20T11:00:00Z", Some("Critical")),
    ] {
        sending.report(&Export { risk: risk.map(Into::into), ..account(name) }, at).await;
    }
    let web = Export {
        title: "Web <b>apps</b> should".into(),
        key: "7a1c0000-0000-0000-0000-000000000001".into(),
        ..account("web1")
    };
    sending.report(&web, "2026-11-20T12:00:00Z").await;
    // What came with a snapshot tells nobody anything.
    sending.report(&Export { snapshot: true, ..account("st-old") }, "2026-11-20T12:00:00Z").await;
    assert_eq!(sending.work("2026-11-20T13:00:00Z").await, [], "it is not Monday");
    assert_eq!(sending.work("2026-11-23T06:59:00Z").await, [], "it is not eight");
    assert_eq!(sending.work("2026-11-23T07:00:30Z").await, [After::Done, After::Done]);
    assert_eq!(sending.work("2026-11-23T07:10:00Z").await, []);
    let all = mails(&sending.ann);
    assert_eq!(all.len(), 1);
    let mail = &all[0];
    assert_eq!(mail["subject"], "Amend: 3 findings are open, 1 overdue");
    assert_eq!(
        (&mail["from"], &mail["auto"], &mail["user"]),
        (&json!("Amend <amend@northwind.example>"), &json!("auto-generated"), &json!("amend"))
    );
    let text = mail["text"].as_str().expect("a text").replace("weekly.example", "example.org");
    insta::assert_snapshot!(text);
    let html = mail["html"].as_str().expect("a page");
    for said in [
        "3 findings are open, 1 overdue",
        "st-late",
        "6 days late",
        "in 4 days",
        "critical risk",
        "risk not evaluated, high severity",
    ] {
        assert!(html.contains(said), "{said}: {html}");
    }
    assert!(!html.contains("st-old"));
    let desk = mails("desk@weekly.example");
    assert!(
        desk.len() == 1
            && desk[0]["html"]
                .as_str()
                .is_some_and(|page| page.contains("Web &#60;b&#62;apps") && !page.contains("<b>apps")),
        "{desk:?}"
    );
    // Another process sends nothing twice; the next week is another mail.
    let store = Arc::new(sending.bench.store.clone());
    let times = Times { digest: Some(MONDAYS.into()), ..Times::default() };
    let mailer = Some(Mailer::new(&settings("mail-password")).expect("settings"));
    let clock = sending.bench.clock.clone();
    let ways = Ways { mailer, ..Ways::default() };
    let other = Herald::new(store.clone(), store.clone(), store, ways, times, clock, &CountedIds::default());
    assert!(other.work().await.expect("the store answers").is_none());
    // What is missed for longer than a day is not caught up with.
    assert_eq!(sending.work("2026-12-01T12:00:00Z").await, []);
    assert_eq!(sending.work("2026-12-07T08:00:00Z").await.len(), 2);
    let ids: Vec<String> = mails(&sending.ann).iter().map(|mail| mail["id"].to_string()).collect();
    assert!(ids.len() == 2 && ids[0] != ids[1], "{ids:?}");
    assert!(sending.bench.store.work(10).await.expect("listed").iter().all(|work| !work.key.starts_with("send:")));
}

#[tokio::test]
async fn what_a_mail_server_does_not_take_is_sent_later_or_shown() {
    let sending = sending("bounce", "mail-password").await;
    sending.report(&account("st1"), "2026-11-20T10:00:00Z").await;
    let bounce = |says: &str| {
        Served::trackers().ask(&json!({ "do": "bounce", "to": sending.ann, "says": says }));
    };
    bounce("451 4.3.0 later");
    let done = sending.work("2026-11-23T07:00:30Z").await;
    assert!(
        matches!(&done[..], [After::Again { why, .. }] if why.contains("the mail server does not answer")),
        "{done:?}"
    );
    assert_eq!(sending.work("2026-11-23T07:10:00Z").await, [After::Done]);
    assert_eq!(mails(&sending.ann).len(), 1);
    bounce("550 5.1.1 no such user");
    let done = sending.work("2026-11-30T07:00:30Z").await;
    assert!(
        matches!(&done[..], [After::Parked { why }] if why.contains("refuses") && why.contains("no such user")),
        "{done:?}"
    );
    // A wrong password.
    let wrong = self::sending("denied", "x").await;
    wrong.report(&account("st1"), "2026-11-20T10:00:00Z").await;
    let done = wrong.work("2026-11-23T07:00:30Z").await;
    assert!(matches!(&done[..], [After::Again { why, .. }] if why.contains("does not let amend in")), "{done:?}");
    assert!(mails(&wrong.ann).is_empty());
}

#[tokio::test]
async fn nothing_is_sent_while_everything_is_stopped_or_of_what_went_away() {
    let sending = sending("stopped", "mail-password").await;
    sending.report(&account("st1"), "2026-11-20T10:00:00Z").await;
    let stop =
        amend_domain::work::Stop { by: "a test".into(), at: moment("2026-11-20T12:00:00Z"), why: "a drill".into() };
    sending.bench.store.stop(&stop).await.expect("stopped");
    assert_eq!(sending.work("2026-11-23T07:00:30Z").await, []);
    sending.bench.store.resume("a test", stop.at).await.expect("resumed");
    sending.bench.store.announce(&["digest/x/ann@gone.example".to_owned()], stop.at).await.expect("kept");
    assert_eq!(sending.work("2026-11-23T07:01:00Z").await.len(), 2);
    assert!(mails("ann@gone.example").is_empty() && mails(&sending.ann).len() == 1);
}

//! Notices: one for a person, sent once, to a real mail server.

use std::sync::Arc;

use amend_catalog::{SourceText, owners_file};
use amend_connect::{Mailer, Secret, mail};
use amend_domain::{owners::Owners, work::After};
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
    let times = Times { digest: Some(MONDAYS.into()), orphans, ..Times::default() };
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

/// Ann and the web squad, whom Mara manages; what nobody else owns in the account is Pat's.
const OWNERS: &str = "name;owner;account;manager\n\
    Web squad;web@TEST.example;;mara@TEST.example\n\
    ann@TEST.example;;;mara@TEST.example\n\
    ;pat@TEST.example;2f6c1a5e-0b7d-4f7e-8a39-51c0de9b7a11;\n";

fn owners(test: &str) -> Arc<Owners> {
    let file = SourceText::new("owners.csv", OWNERS.replace("TEST", test));
    Arc::new(owners_file::load(&file).expect("owners without mistakes"))
}

#[tokio::test]
async fn a_manager_hears_what_those_whom_they_manage_are_late_with() {
    let mut sending = sending("managed", "mail-password").await;
    sending.herald = sending.herald.with_owners(owners("managed"));
    let web = Export {
        title: "Web apps should".into(),
        key: "7a1c0000-0000-0000-0000-000000000001".into(),
        ..account("web1")
    };
    sending.report(&web, "2026-11-10T10:00:00Z").await;
    sending.report(&account("st1"), "2026-11-11T10:00:00Z").await;
    sending.report(&account("st2"), "2026-11-21T10:00:00Z").await;
    assert_eq!(sending.work("2026-11-23T07:00:30Z").await.len(), 3);
    // What rules call an owner stands for an address by now.
    assert_eq!(mails("web@managed.example").len(), 1);
    assert!(mails("desk@managed.example").is_empty());
    let told = mails("mara@managed.example");
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["subject"], "Amend: 2 findings are overdue");
    insta::assert_snapshot!(told[0]["text"].as_str().expect("a text").replace("managed.example", "example.org"));
    let html = told[0]["html"].as_str().expect("a page");
    assert!(
        html.contains("of 2 owners whom you manage") && html.contains("Web squad") && !html.contains("st2"),
        "{html}"
    );
    // Or only what is late for long.
    let store = Arc::new(sending.bench.store.clone());
    let times = Times { escalate: jiff::SignedDuration::from_hours(5 * 24), ..Times::default() };
    let clock = sending.bench.clock.clone();
    let other = Herald::new(store.clone(), store.clone(), store, Ways::default(), times, clock, &CountedIds::default());
    let digests = other.with_owners(owners("managed")).digests().await.expect("the store answers");
    let late: Vec<_> = digests.iter().filter(|digest| digest.of_others).map(|digest| digest.overdue.len()).collect();
    assert_eq!(late, [1]);
}

#[tokio::test]
async fn an_owner_hears_once_on_the_day_after_something_was_due() {
    let sending = sending("late", "mail-password").await;
    sending.report(&account("st1"), "2026-11-12T10:00:00Z").await;
    sending.report(&account("st2"), "2026-11-12T23:59:59Z").await;
    sending.report(&account("st3"), "2026-11-13T00:00:00Z").await;
    assert_eq!(sending.work("2026-11-19T23:59:59Z").await, []);
    assert_eq!(sending.work("2026-11-20T00:00:00Z").await, [], "it is gathered");
    assert_eq!(sending.work("2026-11-20T00:05:00Z").await, [After::Done]);
    let told = mails(&sending.ann);
    assert_eq!((told.len(), &told[0]["subject"]), (1, &json!("Amend: 2 overdue")));
    assert_eq!(sending.work("2026-11-20T23:00:00Z").await, []);
    assert_eq!(sending.work("2026-11-21T00:06:00Z").await, []);
    assert_eq!(sending.work("2026-11-21T00:11:00Z").await, [After::Done]);
    assert_eq!(mails(&sending.ann)[1]["subject"], "Amend: 1 overdue");
    // A day on which nothing ran is caught up with.
    sending.report(&account("st4"), "2026-11-20T10:00:00Z").await;
    assert_eq!(sending.work("2026-11-29T00:00:00Z").await, []);
    assert_eq!(sending.work("2026-11-29T00:05:00Z").await, [After::Done]);
    assert_eq!(mails(&sending.ann)[2]["subject"], "Amend: 1 overdue");
}

#[test]
fn owners_are_who_a_file_says_they_are() {
    let owners = owners("x");
    assert_eq!(owners.called("WEB Squad ", None), Some("web@x.example"));
    assert_eq!((owners.called("nobody", None), owners.called("ann@x.example", None)), (None, None));
    assert_eq!(owners.of("2F6C1A5E-0b7d-4f7e-8a39-51c0de9b7a11"), Some("pat@x.example"));
    assert_eq!((owners.of("another"), owners.manager("pat@x.example")), (None, None));
    assert_eq!(owners.manager("web@x.example"), Some("mara@x.example"));
    assert_eq!(owners.manager("ANN@x.example"), Some("mara@x.example"));
    // The same as YAML, which knows patterns and places, too.
    let text = "version: 1\nowners:\n  - { name: web-*, account: 'aws:111122223333', owner: web@x.example }\n  - { name: web-*, owner: other@x.example }\n";
    let owners = owners_file::load(&SourceText::new("owners.yaml", text)).expect("no mistakes");
    assert_eq!(owners.called("web-1", Some("111122223333")), Some("web@x.example"));
    assert_eq!(owners.called("web-1", Some("4")), Some("other@x.example"));
    for (name, text, said) in [
        ("o.csv", "name,boss\nx,y", "there is no column `boss` here"),
        ("o.csv", "name,name\nx,y", "the column `name` stands here twice"),
        ("o.csv", "name,owner,\nx,y@z.example,", "column 3 has no name"),
        ("o.csv", "name\towner\nx\ty", "separated by `,` or by `;`"),
        ("o.csv", "name,owner\n\"x,y@z.example\nb,c@z.example\n", "is a double quote not closed in it?"),
        ("o.csv", "account,owner\njunk junk,a@x.example\n", "`junk junk` is no account"),
        (
            "o.csv",
            "account,owner\n/subscriptions/2f6c1a5e-0b7d-4f7e-8a39-51c0de9b7a11/resourceGroups/rg,a@x.example\n",
            "is no account",
        ),
        ("o.csv", "name,owner\nx,a@@x.example\n", "`a@@x.example` is no address"),
        ("o.csv", "name,manager\nx,a@x.example b@x.example\n", "is no address"),
        ("o.csv", "name,owner\nx,Web\u{1b}squad\n", "holds what cannot be seen"),
        ("o.csv", "name,owner\n", "there are no owners in it"),
        ("o.csv", "name,owner\nx,a@b,c", "this row has 3 columns"),
        ("o.csv", "name,owner\nü,\n", "this row says nothing"),
        ("o.csv", "account,manager\n111122223333,m@x.example\n", "this row is about nobody"),
        ("o.csv", "name,manager\nx,Mara\n", "`Mara` is no address"),
        ("o.csv", "name,owner\n\"x,a@b", "this row has 1 column"),
        ("o.csv", "", "there are no owners in it"),
        ("o.yaml", "version: 1\nowners: [{ nam: x }]", "`nam`"),
        ("o.yaml", "version: 1", "owners"),
    ] {
        match owners_file::load(&SourceText::new(name, text)) {
            Ok(owners) => panic!("{text}: {owners:?}"),
            Err(mistakes) => {
                let all = format!("{mistakes:?}");
                assert!(all.contains(said), "{text}: {all}");
            }
        }
    }
}

#[tokio::test]
async fn an_owner_is_found_by_tag_by_account_and_by_what_a_file_calls_them() {
    let file = SourceText::new("owners.csv", OWNERS.replace("TEST", "x"));
    let owners = owners_file::load(&file).expect("owners without mistakes");
    for (rule, tags, name, from) in [
        (
            "{ tag: owner }",
            "{ owner: web squad }",
            Some("web@x.example"),
            "tag owner of the resource: web squad, who is this in owners.csv",
        ),
        (
            "{ tag: owner, fallback: b@x.example }",
            "{}",
            Some("pat@x.example"),
            "subscription 2f6c1a5e-0b7d-4f7e-8a39-51c0de9b7a11, in owners.csv",
        ),
        ("Web squad", "{}", Some("web@x.example"), "named by the rule: Web squad, who is this in owners.csv"),
        ("c@x.example", "{}", Some("c@x.example"), "named by the rule"),
    ] {
        let rules = format!("version: 1\nrules: [{{ id: all, priority: 1, owner: {rule} }}]");
        let group = "/subscriptions/2f6c1a5e-0b7d-4f7e-8a39-51c0de9b7a11";
        let st1 = format!("{group}/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/st1");
        let facts = format!(
            "version: 1\naccounts: [{{ id: {group}, tags: {{}} }}]\ngroups: [{{ id: {group}/resourceGroups/rg, tags: {{}} }}]\nresources: [{{ id: {st1}, tags: {tags} }}]"
        );
        let bench = amend_tests::harness::bench_owned(&rules, &facts, owners.clone()).await;
        bench.accept(Form::Plain, &account("st1").text()).await;
        let problem = bench.store.problems(&amend_store::Filter::default()).await.expect("listed").remove(0);
        let owner = &problem.decision.owner;
        assert_eq!((owner.name.as_deref(), &*owner.from), (name, from), "{rule} {tags}");
    }
}

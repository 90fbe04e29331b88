//! Announced fixes: told before, answered by their owner, done as announced or not at all.

use amend_domain::{
    Problem,
    notice::{News, Whom},
    plan::State,
    rule::Mode,
    said::{Announced, Said, Unheard, end_of},
    work::After,
};
use amend_pipeline::tickets::Desk;
use amend_pipeline::{
    PipelineError,
    announce::{Answer, announced, answer},
    fixer::Limits,
    guard,
    notices::digest::digests,
    people::{Person, Right},
};
use amend_store::{Filter, Notices as _, Store as _, Tickets as _};
use amend_tests::{harness::moment, subject::Subject};
use jiff::Timestamp;

use crate::work::{Bench, bench, bench_with, is_secure, mild, storage};

/// Due on the 27th at noon; told three days before.
const AT_DUE: &str = "{ mode: enforce, when: at_due, announce: 3d }";

async fn one(bench: &Bench) -> Problem {
    bench.store().problems(&Filter::default()).await.expect("listed").remove(0)
}

async fn told(bench: &Bench) -> Option<Announced> {
    one(bench).await.announced
}

async fn says(bench: &Bench, what: Answer, why: Option<&str>, at: &str) -> Result<Problem, PipelineError> {
    bench.inner.clock.set(at);
    answer(bench.store(), &one(bench).await, &what, why, &Person::named("a@example.org"), moment(at)).await
}

/// Whoever is to know is told, as a herald does.
async fn tell(bench: &Bench) {
    let problem = one(bench).await;
    let said = Said::Told(problem.announced.as_ref().expect("it is announced").at);
    bench
        .store()
        .hear(problem.id.as_str(), &said, bench.fixer.now())
        .await
        .expect("kept")
        .expect("known")
        .expect("heard");
}

/// When it begins, as it stands.
async fn begins(bench: &Bench) -> Option<Timestamp> {
    told(bench).await.and_then(|told| told.begins)
}

fn unheard(result: Result<Problem, PipelineError>) -> Option<Unheard> {
    match result {
        Err(PipelineError::Unheard { why, .. }) => Some(why),
        _ => None,
    }
}

fn day(text: &str) -> Timestamp {
    end_of(text.parse().expect("a day")).expect("it ends")
}

/// A problem whose fix was announced on the 24th.
async fn told_of(fix: &str) -> (Subject, Bench) {
    let subject = storage();
    let bench = bench(fix, Mode::Enforce).await;
    bench.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    bench.inner.clock.set("2026-11-24T12:00:00Z");
    bench.work().await;
    tell(&bench).await;
    (subject, bench)
}

#[tokio::test]
async fn an_owner_is_told_and_then_it_is_fixed() {
    let subject = storage();
    let bench = bench(AT_DUE, Mode::Enforce).await;
    bench.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    bench.inner.clock.set("2026-11-24T11:59:59Z");
    assert_eq!(bench.work().await, [], "not yet");
    bench.inner.clock.set("2026-11-24T12:00:00Z");
    bench.work().await;
    let announced_ = told(&bench).await.expect("it is announced");
    assert_eq!((announced_.begins, &*announced_.fix), (None, "azure.storage.secure-transfer"));
    assert_eq!((bench.states(&subject).await, bench.writes(&subject)), (vec![], 0));
    assert_eq!(announced(bench.store(), bench.fixer.now()).await.expect("listed").len(), 1);
    let news = bench.store().news(&Whom::Owner("a@example.org".into())).await.expect("read");
    let news: Vec<_> = news.iter().map(|(_, one)| (one.news, one.why.as_deref().unwrap_or_default())).collect();
    let why = "Amend is going to change it with azure.storage.secure-transfer, once its owner was told";
    assert_eq!(news, [(News::Announced, why)]);
    tell(&bench).await;
    let announced_ = told(&bench).await.expect("it is announced");
    assert_eq!(announced_.begins, Some(moment("2026-11-27T12:00:00Z")));
    // Their digest tells them, too.
    let digest = digests(&[one(&bench).await], &[], bench.fixer.now()).remove("a@example.org").expect("there is one");
    let said = "Amend changes it with azure.storage.secure-transfer on 2026-11-27 12:00 UTC, unless somebody objects";
    let written = [digest.text().expect("written"), digest.html().expect("written")];
    assert!(written.iter().all(|text| text.contains(&format!("{said}: "))), "{}", written[0]);
    // The same again says nothing, and changes nothing.
    bench.report(&subject, "Unhealthy", "2026-11-19T07:00:00Z").await;
    bench.inner.clock.set("2026-11-27T11:59:59Z");
    bench.work().await;
    assert_eq!(told(&bench).await, Some(announced_));
    assert!(!is_secure(&subject));
    bench.inner.clock.set("2026-11-27T12:00:00Z");
    bench.work().await;
    assert_eq!((bench.states(&subject).await, is_secure(&subject)), (vec![State::Set], true));
    assert_eq!(announced(bench.store(), bench.fixer.now()).await.expect("listed").len(), 0);
    assert_eq!(bench.told(|entry| entry.what.starts_with("fix.")).await, ["amend fix.announced", "amend fix.told"]);
}

#[tokio::test]
async fn the_time_of_an_owner_counts_from_when_they_were_told() {
    let subject = storage();
    let bench = bench("{ mode: enforce, announce: 1d }, notify: '#sec-ops'", Mode::Enforce).await;
    let herald =
        crate::channels::herald("announced", bench.store(), bench.inner.clock.clone(), Some("13:00-15:00 UTC"));
    let herald = async |at: &str| {
        bench.inner.clock.set(at);
        while herald.work().await.expect("the store answers").is_some() {}
    };
    bench.inner.clock.set("2026-11-20T12:58:00Z");
    bench.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    bench.work().await;
    // The channel hears of it, which counts for nothing where the owner can be told themselves.
    herald("2026-11-20T12:59:30Z").await;
    assert_eq!(begins(&bench).await, None);
    herald("2026-11-20T14:59:59Z").await;
    bench.inner.clock.set("2026-11-22T14:00:00Z");
    assert_eq!((bench.work().await, begins(&bench).await), (vec![], None), "nobody was told");
    let mails = || {
        crate::notices::mails("a@example.org").into_iter().filter(|mail| mail["subject"] == "Amend: 1 fix announced")
    };
    let before = mails().count();
    herald("2026-11-22T15:00:00Z").await;
    assert_eq!(begins(&bench).await, Some(moment("2026-11-23T15:00:00Z")));
    let mail = mails().nth(before).expect("a mail");
    let text = mail["text"].as_str().expect("a text");
    assert!(text.contains("on 2026-11-23 15:00 UTC, unless somebody objects") && text.contains("--object"), "{text}");
    bench.inner.clock.set("2026-11-23T15:00:00Z");
    bench.work().await;
    assert_eq!(bench.states(&subject).await, [State::Set]);
}

#[tokio::test]
async fn each_of_many_is_told_before_its_time_counts_and_what_is_answered_is_not_told() {
    let bench = bench("{ mode: enforce, announce: 1d }", Mode::Enforce).await;
    let subjects: Vec<Subject> = (0..22).map(|_| storage()).collect();
    for subject in &subjects {
        bench.report(subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    }
    bench.work().await;
    let all = async || bench.store().problems(&Filter::default()).await.expect("listed");
    let first = all().await.remove(0);
    let ann = Person::named("a@example.org");
    answer(bench.store(), &first, &Answer::Object, Some("x"), &ann, bench.fixer.now()).await.expect("heard");
    let herald = crate::channels::herald("many", bench.store(), bench.inner.clock.clone(), None);
    let count = async || {
        all().await.iter().filter(|one| one.announced.as_ref().is_some_and(|one| one.begins.is_some())).count()
    };
    let once = async |at: &str| {
        bench.inner.clock.set(at);
        herald.work().await.expect("the store answers").is_some()
    };
    assert!(!once("2026-11-20T12:04:59Z").await);
    assert_eq!((once("2026-11-20T12:05:00Z").await, count().await), (true, 20), "a message tells of twenty");
    assert_eq!((once("2026-11-20T12:05:00Z").await, count().await), (true, 21), "the next of the rest");
    assert!(!once("2026-11-20T12:30:00Z").await);
    assert_eq!(bench.store().untold().await.expect("read"), []);
}

#[tokio::test]
async fn an_owner_has_the_whole_time_however_late_it_is_announced() {
    let subject = storage();
    let bench = bench(AT_DUE, Mode::Enforce).await;
    bench.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    // Nobody worked for a week.
    bench.inner.clock.set("2026-11-28T12:00:00Z");
    bench.work().await;
    tell(&bench).await;
    assert_eq!(begins(&bench).await, Some(moment("2026-12-01T12:00:00Z")));
    bench.inner.clock.set("2026-12-01T11:59:59Z");
    assert_eq!((bench.work().await.len(), bench.writes(&subject)), (0, 0));
    bench.inner.clock.set("2026-12-01T12:00:00Z");
    bench.work().await;
    assert_eq!(bench.states(&subject).await, [State::Set]);
    // What need not wait for a date waits for its announcement.
    let (subject, bench) = (storage(), self::bench("{ mode: enforce, announce: 1d }", Mode::Enforce).await);
    bench.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    bench.work().await;
    tell(&bench).await;
    assert_eq!(begins(&bench).await, Some(moment("2026-11-21T12:00:00Z")));
    // What could not be done for a day after its time, as what is stopped, is told anew.
    let stop = amend_domain::work::Stop { by: "ada".into(), at: bench.fixer.now(), why: "a drill".into() };
    bench.store().stop(&stop).await.expect("stopped");
    bench.inner.clock.set("2026-11-22T12:00:01Z");
    bench.store().resume("ada", stop.at).await.expect("resumed");
    bench.work().await;
    assert_eq!((begins(&bench).await, bench.writes(&subject)), (None, 0));
    tell(&bench).await;
    assert_eq!(begins(&bench).await, Some(moment("2026-11-23T12:00:01Z")));
    bench.inner.clock.set("2026-11-24T12:00:01Z");
    bench.work().await;
    assert_eq!(bench.states(&subject).await, [State::Set], "a day after its time it holds");
    // So is what was undone.
    let mut r = bench.remediations(&subject).await.remove(0);
    bench.fixer.undo(&mut r, "ada", None).await.expect("undone");
    bench.inner.clock.set("2026-12-30T12:00:00Z");
    bench.report(&subject, "Unhealthy", "2026-12-29T07:00:00Z").await;
    bench.store().retry_work(None, bench.fixer.now()).await.expect("retried");
    bench.work().await;
    assert_eq!((bench.writes(&subject), begins(&bench).await), (2, None), "the fix and its undoing");
}

#[tokio::test]
async fn who_is_asked_anyway_is_not_told_before() {
    let subject = storage();
    let bench = bench(AT_DUE, Mode::Approve).await;
    bench.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    bench.inner.clock.set("2026-11-24T12:00:00Z");
    bench.work().await;
    assert_eq!((told(&bench).await, bench.states(&subject).await), (None, vec![]), "nor asked before its time");
    bench.inner.clock.set("2026-11-27T12:00:00Z");
    bench.work().await;
    assert_eq!((told(&bench).await, bench.states(&subject).await), (None, vec![State::AwaitingApproval]));
}

#[tokio::test]
async fn an_owner_has_it_done_at_once() {
    let (subject, bench) = told_of(AT_DUE).await;
    says(&bench, Answer::Now, None, "2026-11-25T09:00:00Z").await.expect("heard");
    bench.work().await;
    assert_eq!((bench.states(&subject).await, is_secure(&subject)), (vec![State::Set], true));
    let again = says(&bench, Answer::Now, None, "2026-11-25T09:10:00Z").await;
    assert_eq!(unheard(again), Some(Unheard::Begun));
}

#[tokio::test]
async fn what_was_undone_is_announced_anew() {
    let (subject, bench) = told_of(AT_DUE).await;
    says(&bench, Answer::Now, None, "2026-11-25T09:00:00Z").await.expect("heard");
    bench.work().await;
    let mut r = bench.remediations(&subject).await.remove(0);
    bench.fixer.undo(&mut r, "ada", None).await.expect("undone");
    assert_eq!((bench.states(&subject).await, bench.writes(&subject)), (vec![State::Undone], 2));
    // Within the day in which it holds, where nothing else keeps it back.
    let guards = guard::Settings { undone: jiff::SignedDuration::ZERO, ..mild() };
    let eager = bench.fixer.clone().with_limits(Limits { most: Some(Mode::Enforce), guards, ..Limits::default() });
    bench.report(&subject, "Unhealthy", "2026-11-25T09:30:00Z").await;
    bench.inner.clock.set("2026-11-25T12:00:00Z");
    while eager.work(None).await.expect("the store answers").is_some() {}
    assert_eq!((begins(&bench).await, bench.writes(&subject)), (None, 2));
    assert!(told(&bench).await.is_some_and(|told| told.at == moment("2026-11-25T12:00:00Z")));
}

#[tokio::test]
async fn an_owner_postpones_it_once() {
    let (subject, bench) = told_of(AT_DUE).await;
    let at = "2026-11-25T09:00:00Z";
    for (to, why) in [("2026-11-26", Unheard::NoLater), ("2027-01-15", Unheard::NoLater)] {
        assert_eq!(unheard(says(&bench, Answer::Postpone(day(to)), Some("x"), at).await), Some(why), "{to}");
    }
    says(&bench, Answer::Postpone(day("2026-12-05")), Some("a release"), at).await.expect("heard");
    let again = says(&bench, Answer::Postpone(day("2026-12-10")), Some("another"), at).await;
    assert_eq!(unheard(again), Some(Unheard::PostponedBefore));
    bench.inner.clock.set("2026-12-05T23:59:58Z");
    bench.work().await;
    assert_eq!(bench.writes(&subject), 0);
    bench.inner.clock.set("2026-12-05T23:59:59Z");
    bench.work().await;
    assert_eq!(bench.states(&subject).await, [State::Set]);
    assert_eq!(
        bench.told(|entry| entry.what.starts_with("fix.")).await,
        ["amend fix.announced", "amend fix.told", "a@example.org fix.postponed"]
    );
}

#[tokio::test]
async fn what_somebody_objects_to_is_not_fixed_and_has_a_ticket() {
    let (subject, bench) = told_of(AT_DUE).await;
    assert!(!one(&bench).await.wants_ticket());
    says(&bench, Answer::Object, Some("we serve it in plain"), "2026-11-25T09:00:00Z").await.expect("heard");
    assert!(one(&bench).await.wants_ticket());
    // Who planned it just before does not overhear that.
    let mut again = told(&bench).await.expect("it is announced");
    again.objected = None;
    let said = Said::Announced(again);
    let heard = bench.store().hear(one(&bench).await.id.as_str(), &said, bench.fixer.now()).await;
    assert_eq!(heard.expect("kept").expect("known").err(), Some(Unheard::ObjectedTo));
    let work = bench.store_work().await;
    assert!(work.iter().any(|work| work.key.starts_with("file:")), "{work:?}");
    assert!(work.iter().all(|work| !work.key.starts_with("remedy:")), "{work:?}");
    bench.inner.clock.set("2027-01-15T12:00:00Z");
    bench.report(&subject, "Unhealthy", "2026-11-26T07:00:00Z").await;
    bench.work().await;
    assert_eq!((bench.states(&subject).await, bench.writes(&subject)), (vec![], 0));
    let at = "2027-01-16T12:00:00Z";
    assert_eq!(unheard(says(&bench, Answer::Now, None, at).await), Some(Unheard::ObjectedTo));
    // It may be done, after all: told of anew, with the whole time.
    says(&bench, Answer::Withdraw, None, at).await.expect("heard");
    // Also before it is told of.
    says(&bench, Answer::Object, Some("no"), at).await.expect("heard");
    says(&bench, Answer::Withdraw, None, at).await.expect("heard");
    bench.work().await;
    tell(&bench).await;
    assert_eq!(begins(&bench).await, Some(moment("2027-01-19T12:00:00Z")));
    assert_eq!(unheard(says(&bench, Answer::Withdraw, None, at).await), Some(Unheard::NotObjectedTo));
}

#[tokio::test]
async fn what_guards_hold_back_can_be_objected_to_after_its_time() {
    let (subject, bench) = told_of(AT_DUE).await;
    let hold = amend_domain::guard::Hold {
        id: "h-1".into(),
        on: subject.resource.to_lowercase().into(),
        until: moment("2026-11-29T12:00:00Z"),
        by: "ada".into(),
        at: bench.fixer.now(),
        why: "a test".into(),
    };
    bench.store().hold(&hold).await.expect("held");
    bench.inner.clock.set("2026-11-28T12:00:00Z");
    bench.work().await;
    assert_eq!(bench.writes(&subject), 0);
    let late = says(&bench, Answer::Postpone(day("2026-12-05")), Some("x"), "2026-11-28T12:00:00Z").await;
    assert_eq!(unheard(late), Some(Unheard::Begun));
    says(&bench, Answer::Object, Some("x"), "2026-11-28T12:00:00Z").await.expect("heard");
    bench.inner.clock.set("2026-12-30T12:00:00Z");
    bench.work().await;
    assert_eq!((bench.states(&subject).await, bench.writes(&subject)), (vec![], 0));
}

#[tokio::test]
async fn a_ticket_hears_of_an_objection() {
    let subject = storage();
    let bench = bench(&format!("{AT_DUE}, ticket: true"), Mode::Enforce).await;
    let store = std::sync::Arc::new(bench.store().clone());
    let local: std::sync::Arc<dyn amend_connect::Tracker> =
        std::sync::Arc::new(amend_connect::Local::new(store.clone()));
    let trackers = std::collections::BTreeMap::from([("local".to_owned(), local)]);
    let ids = amend_tests::harness::CountedIds::default();
    let desk = Desk::new(
        store.clone(),
        store.clone(),
        trackers,
        amend_tests::harness::catalogue(),
        bench.inner.clock.clone(),
        &ids,
    );
    bench.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    let file = async |at: &str| {
        bench.inner.clock.set(at);
        while desk.work().await.expect("the store answers").is_some() {}
        store.local_tickets(None, 10).await.expect("listed").remove(0)
    };
    file("2026-11-20T12:10:00Z").await;
    bench.inner.clock.set("2026-11-24T12:00:00Z");
    bench.work().await;
    tell(&bench).await;
    file("2026-11-24T12:10:00Z").await;
    let ticket = file("2026-11-24T12:20:00Z").await;
    let last = ticket.notes.last().map(|note| note.text.to_string()).unwrap_or_default();
    assert!(last.contains("Amend changes it with azure.storage.secure-transfer on 2026-11-27 12:00 UTC"), "{last}");
    says(&bench, Answer::Object, Some("we *serve* it"), "2026-11-24T12:20:00Z").await.expect("heard");
    file("2026-11-24T12:30:00Z").await;
    let ticket = file("2026-11-24T12:40:00Z").await;
    let last = ticket.notes.last().map(|note| note.text.to_string()).unwrap_or_default();
    assert!(last.contains("a@example.org objects to its fix: we \\*serve\\* it"), "{:?}", ticket.notes);
    assert!(ticket.open);
}

#[tokio::test]
async fn what_is_healthy_meanwhile_is_withdrawn_and_another_plan_is_announced_anew() {
    let (subject, bench) = told_of(AT_DUE).await;
    bench.report(&subject, "Healthy", "2026-11-25T07:00:00Z").await;
    bench.inner.clock.set("2026-11-28T12:00:00Z");
    bench.work().await;
    assert_eq!((bench.states(&subject).await, bench.writes(&subject)), (vec![], 0));
    let late = says(&bench, Answer::Now, None, "2026-11-28T12:00:00Z").await;
    assert_eq!(unheard(late), Some(Unheard::Closed));
    bench.report(&subject, "Unhealthy", "2026-11-28T13:00:00Z").await;
    assert_eq!(told(&bench).await, None, "a regression has an announcement of its own");
    // The announcement of another plan counts for nothing.
    let (subject, bench) = told_of(AT_DUE).await;
    let mut other = told(&bench).await.expect("it is announced");
    other.plan = "sha256:another".into();
    let said = Said::Announced(other);
    bench
        .store()
        .hear(one(&bench).await.id.as_str(), &said, bench.fixer.now())
        .await
        .expect("kept")
        .expect("known")
        .expect("heard");
    bench.inner.clock.set("2026-11-27T12:00:00Z");
    bench.work().await;
    assert_eq!(bench.writes(&subject), 0);
    tell(&bench).await;
    assert_eq!(begins(&bench).await, Some(moment("2026-11-30T12:00:00Z")));
    // With the due date the announcement moves, too.
    let pat = Person::named("pat").with(&[Right::Dates]);
    let to = day("2026-12-20");
    amend_pipeline::dates::move_due(bench.store(), &one(&bench).await, to, "x", &pat, bench.fixer.now())
        .await
        .expect("moved");
    bench.inner.clock.set("2026-12-17T23:59:59Z");
    bench.work().await;
    tell(&bench).await;
    assert_eq!(begins(&bench).await, Some(to));
    // What was postponed begins no sooner for another due date.
    says(&bench, Answer::Postpone(day("2026-12-28")), Some("x"), "2026-12-18T12:00:00Z").await.expect("heard");
    for (to, then) in [("2026-12-19", "2026-12-28"), ("2026-12-30", "2026-12-30")] {
        let (problem, now) = (one(&bench).await, bench.fixer.now());
        amend_pipeline::dates::move_due(bench.store(), &problem, day(to), "x", &pat, now).await.expect("moved");
        assert_eq!(begins(&bench).await, Some(day(then)), "{to}");
    }
    // Who objected still does when it comes back.
    says(&bench, Answer::Object, Some("on purpose"), "2026-12-18T12:00:00Z").await.expect("heard");
    bench.report(&subject, "Healthy", "2026-12-18T13:00:00Z").await;
    bench.report(&subject, "Unhealthy", "2026-12-18T14:00:00Z").await;
    bench.inner.clock.set("2027-02-01T12:00:00Z");
    bench.work().await;
    assert_eq!(bench.writes(&subject), 0);
    assert!(told(&bench).await.is_some_and(|told| told.objected.is_some()));
    // Nor is it fixed by hand.
    let plan = bench.fixer.plan_problem(&one(&bench).await, &serde_json::Map::new()).await.expect("planned");
    let no = bench.fixer.begin(plan, "ada").await.expect_err("somebody objects");
    assert_eq!((no.code(), no.hint().is_some()), ("remediation.opposed", true), "{no}");
}

#[tokio::test]
async fn what_nobody_can_hear_of_is_not_written() {
    let subject = storage();
    let rules = format!("version: 1\nrules: [{{ id: all, priority: 1, due: 7d, fix: {AT_DUE} }}]");
    let bench = bench_with(&rules).await;
    bench.report(&subject, "Unhealthy", "2026-11-18T07:00:00Z").await;
    bench.inner.clock.set("2026-12-24T12:00:00Z");
    let done = bench.work().await;
    assert!(matches!(&done[..], [(_, After::Parked { why })] if why.contains("there is nobody to tell")), "{done:?}");
    assert_eq!((told(&bench).await, bench.writes(&subject)), (None, 0));
}

#[tokio::test]
async fn only_an_owner_and_who_may_answer() {
    let (_, bench) = told_of(AT_DUE).await;
    let at = moment("2026-11-25T09:00:00Z");
    for (who, right) in [
        (Person::named("b@example.org"), false),
        (Person::named("b@example.org").with(&[Right::Dates]), false),
        (Person::named("b@example.org").with(&[Right::Fixes]), true),
    ] {
        let done = answer(bench.store(), &one(&bench).await, &Answer::Object, Some("x"), &who, at).await;
        match done {
            Ok(_) => assert!(right),
            Err(error) => assert!(!right && error.code() == "not-allowed" && error.hint().is_some(), "{error}"),
        }
    }
}

#[test]
fn only_what_is_written_without_asking_is_announced() {
    let rule = |fix: &str| {
        let text = format!("version: 1\nrules: [{{ id: all, priority: 1, due: 7d, fix: {fix} }}]");
        match amend_catalog::rule_file::load(&[amend_catalog::SourceText::new("rules.yaml", text)]) {
            Ok((loaded, _)) => {
                Ok(loaded.rules.rules()[0].fix.and_then(|fix| fix.announce).map(|time| time.to_string()))
            }
            Err(mistakes) => Err(format!("{mistakes:?}")),
        }
    };
    assert_eq!(rule(AT_DUE), Ok(Some("3d".to_owned())));
    for (fix, said) in [
        ("{ mode: approve, announce: 3d }", "only what is written without asking is announced"),
        ("{ announce: 3d }", "only what is written without asking is announced"),
        ("{ mode: enforce, announce: 0d }", "an announcement of no time is none"),
        ("{ mode: enforce, announce: soon }", "is no duration"),
    ] {
        let wrong = rule(fix).expect_err(fix);
        assert!(wrong.contains(said), "{fix}: {wrong}");
    }
}

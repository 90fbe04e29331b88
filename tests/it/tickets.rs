//! Tickets: one for what one person handles together, whatever happens in between; what people do there stands.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use amend_connect::{Check, Local, Tracker, TrackerError, local};
use amend_domain::{
    ticket::{About, Budget, Change, Draft, Entry, LocalTicket, Note, Ticket},
    work::After,
};
use amend_events::Form;
use amend_pipeline::audit::verify;
use amend_store::{Store as _, Tickets as _};
use amend_tests::{
    filing::{Filing, account},
    harness::{Export, long, moment},
};
use async_trait::async_trait;
use jiff::Timestamp;

const RULES: &str = "version: 1\nrules: [{ id: all, priority: 1, owner: ann@example.org, due: 7d, ticket: true }]";

/// A tracker that loses what it is asked so often: before it does it, or after.
struct Unreliable {
    inner: Local,
    before: AtomicUsize,
    after: AtomicUsize,
}

impl Unreliable {
    fn fails(counter: &AtomicUsize) -> Result<(), TrackerError> {
        let left = counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        match left {
            Ok(_) => Err(TrackerError::Busy { tracker: "the tracker".into(), why: "it is down".into(), wait: None }),
            Err(_) => Ok(()),
        }
    }
}

#[async_trait]
impl Tracker for Unreliable {
    async fn find(&self, ticket: &Ticket) -> Result<Option<Entry>, TrackerError> {
        self.inner.find(ticket).await
    }

    async fn check(&self) -> Result<Vec<Check>, TrackerError> {
        self.inner.check().await
    }

    async fn open(&self, ticket: &Ticket, draft: &Draft, now: Timestamp) -> Result<Entry, TrackerError> {
        Self::fails(&self.before)?;
        let told = self.inner.open(ticket, draft, now).await?;
        Self::fails(&self.after)?;
        Ok(told)
    }

    async fn change(
        &self,
        ticket: &Ticket,
        entry: &Entry,
        change: &Change,
        now: Timestamp,
    ) -> Result<Entry, TrackerError> {
        Self::fails(&self.before)?;
        let told = self.inner.change(ticket, entry, change, now).await?;
        Self::fails(&self.after)?;
        Ok(told)
    }
}

struct Filed {
    inner: Filing,
    tracker: Arc<Unreliable>,
}

async fn filing(rules: &str) -> Filed {
    let mut made = None;
    let inner = Filing::new(rules, local::NAME, |tickets| {
        let (before, after) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let tracker = Arc::new(Unreliable { inner: Local::new(tickets), before, after });
        made = Some(Arc::clone(&tracker));
        tracker
    })
    .await;
    Filed { inner, tracker: made.expect("made") }
}

impl std::ops::Deref for Filed {
    type Target = Filing;
    fn deref(&self) -> &Filing {
        &self.inner
    }
}

impl Filed {
    async fn all(&self) -> Vec<LocalTicket> {
        self.bench.store.local_tickets(None, 10_000).await.expect("listed")
    }

    async fn one(&self) -> LocalTicket {
        let mut all = self.all().await;
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    /// A person closes or opens a ticket.
    async fn person(&self, open: bool) {
        let id = self.one().await.id;
        let note = Note { at: self.desk.now(), by: "ann".into(), what: "by hand".into(), text: "x".into(), id: None };
        self.bench.store.note_local_ticket(&id, note, Some(open)).await.expect("kept");
    }
}

fn notes(ticket: &LocalTicket) -> Vec<String> {
    ticket.notes.iter().map(|note| format!("{} {}", note.by, note.what)).collect()
}

#[tokio::test]
async fn a_ticket_is_opened_once_told_of_changes_and_closed_when_all_is_healthy() {
    let filing = filing(RULES).await;
    let (one, two) = (account("st1"), account("st2"));
    for minute in 0..5 {
        filing.report(&one, "Unhealthy", "2026-11-18T07:41:09Z").await;
        filing.work(&format!("2026-11-20T12:0{minute}:00Z")).await;
    }
    let ticket = filing.one().await;
    assert_eq!((ticket.number, ticket.open, notes(&ticket)), (1, true, vec![]));
    assert_eq!(&*ticket.title, "Storage account public access should be disallowed");
    assert_eq!(ticket.owner.as_deref(), Some("ann@example.org"));
    for expected in [
        "**Owner:** ann@example.org",
        "**Due:** 2026-11-27",
        "st1",
        "risk not evaluated (severity high)",
        "### What to do",
        "`amend plan p-",
    ] {
        assert!(ticket.body.contains(expected), "{expected}: {}", ticket.body);
    }
    // The same of another resource belongs to it; what changes is gathered.
    filing.report(&two, "Unhealthy", "2026-11-20T12:05:00Z").await;
    filing.work("2026-11-20T12:06:00Z").await;
    assert_eq!(notes(&filing.one().await), Vec::<String>::new());
    filing.work("2026-11-20T12:11:00Z").await;
    let ticket = filing.one().await;
    assert_eq!(notes(&ticket), ["amend comment"]);
    assert!(ticket.notes[0].text.starts_with("Also there:\n\n- `st2`: "), "{}", ticket.notes[0].text);
    filing.report(&one, "Healthy", "2026-11-20T13:00:00Z").await;
    filing.work("2026-11-20T13:10:00Z").await;
    filing.work("2026-11-20T13:20:00Z").await;
    let ticket = filing.one().await;
    assert_eq!((ticket.open, notes(&ticket).len()), (true, 2), "{ticket:?}");
    assert_eq!(&*ticket.notes[1].text, "Not there any more:\n\n- `st1`: healthy");
    filing.report(&two, "Healthy", "2026-11-20T14:00:00Z").await;
    filing.work("2026-11-20T14:10:00Z").await;
    filing.work("2026-11-20T14:20:00Z").await;
    let ticket = filing.one().await;
    assert_eq!((ticket.open, notes(&ticket).last().map(String::as_str)), (false, Some("amend closed")));
    // All of it stands in the trail, and nothing is left to do.
    let trail = filing.bench.store.audit(0, 100).await.expect("read");
    let what: Vec<&str> = trail.iter().map(|record| &*record.entry.what).collect();
    assert_eq!(what, ["ticket.opened", "ticket.commented", "ticket.commented", "ticket.closed"]);
    verify(&filing.bench.store, None, &[]).await.expect("whole");
    assert_eq!(filing.work("2026-11-21T12:00:00Z").await, []);
    assert!(filing.bench.store.work(10).await.expect("listed").is_empty());
}

#[tokio::test]
async fn what_a_person_closed_or_opened_stands_until_something_comes_back() {
    let filing = filing(RULES).await;
    let one = account("st1");
    filing.report(&one, "Unhealthy", "2026-11-18T07:41:09Z").await;
    filing.work("2026-11-20T12:00:00Z").await;
    filing.person(false).await;
    // The same again is no news.
    filing.report(&one, "Unhealthy", "2026-11-18T07:41:09Z").await;
    filing.report(&one, "Unhealthy", "2026-11-20T12:30:00Z").await;
    for at in ["2026-11-20T13:00:00Z", "2026-11-20T13:10:00Z"] {
        filing.work(at).await;
        assert_eq!((filing.one().await.open, notes(&filing.one().await)), (false, vec!["ann by hand".to_owned()]));
    }
    // What people do in it stands in the trail, in their name, and that Amend saw it.
    let trail = filing.bench.store.audit(0, 100).await.expect("read");
    let what: Vec<_> = trail.iter().map(|record| (&*record.entry.who, &*record.entry.what)).collect();
    assert_eq!(what, [("amend", "ticket.opened"), ("ann", "ticket.closed")]);
    // It went away, and came back: that is news.
    filing.report(&one, "Healthy", "2026-11-20T14:00:00Z").await;
    filing.work("2026-11-20T14:10:00Z").await;
    filing.report(&one, "Unhealthy", "2026-11-20T15:00:00Z").await;
    for at in ["2026-11-20T15:10:00Z", "2026-11-20T15:20:00Z"] {
        filing.work(at).await;
    }
    let ticket = filing.one().await;
    assert_eq!((ticket.open, notes(&ticket)), (true, vec!["ann by hand".to_owned(), "amend reopened".to_owned()]));
    let trail = filing.bench.store.audit(0, 100).await.expect("read");
    let what: Vec<_> = trail.iter().skip(2).map(|record| &*record.entry.what).collect();
    assert_eq!(what, ["ticket.found", "ticket.reopened"]);
    assert!(ticket.notes[1].text.starts_with("It is there again, or somewhere else, too:\n\n- `st1`"), "{ticket:?}");
    // Closed by Amend, and opened by a person: theirs, too.
    filing.report(&one, "Healthy", "2026-11-20T16:00:00Z").await;
    filing.work("2026-11-20T16:10:00Z").await;
    filing.work("2026-11-20T16:20:00Z").await;
    assert!(!filing.one().await.open);
    filing.person(true).await;
    filing.report(&one, "Healthy", "2026-11-20T17:00:00Z").await;
    filing.work("2026-11-20T17:10:00Z").await;
    filing.work("2026-11-20T17:20:00Z").await;
    assert!(filing.one().await.open);
}

/// An outage loses nothing, and opens none twice: before it was opened, and after.
#[tokio::test]
async fn an_outage_ends_in_one_ticket() {
    for (before, after) in [(3, 0), (0, 3), (1, 1)] {
        let filing = filing(RULES).await;
        filing.tracker.before.store(before, Ordering::SeqCst);
        filing.tracker.after.store(after, Ordering::SeqCst);
        for name in ["st1", "st2", "st3"] {
            filing.report(&account(name), "Unhealthy", "2026-11-18T07:41:09Z").await;
        }
        let done = filing.work("2026-11-20T12:00:00Z").await;
        let down = |after: &After| matches!(after, After::Again { why, .. } if why == "the tracker does not answer: it is down");
        assert!(done.iter().any(down), "{done:?}");
        for minute in [10, 20, 30, 40, 50] {
            filing.work(&format!("2026-11-20T12:{minute}:00Z")).await;
        }
        let ticket = filing.one().await;
        let text = format!("{}{:?}", ticket.body, ticket.notes);
        assert!(["st1", "st2", "st3"].iter().all(|name| text.contains(name)), "{text}");
        assert!(filing.bench.store.work(10).await.expect("listed").is_empty());
    }
}

/// Many at once do not become many tickets.
#[tokio::test]
async fn a_new_recommendation_on_many_resources_stays_within_the_budget() {
    let many = if long() { 2_000 } else { 200 };
    // Each is critical, so each would be a ticket of its own.
    let filing = filing(RULES).await;
    let all: Vec<_> =
        (0..many).map(|n| Export { risk: Some("Critical".into()), ..account(&format!("st{n}")) }.json()).collect();
    for part in all.chunks(100) {
        filing.bench.accept(Form::Plain, &serde_json::Value::from(part.to_vec()).to_string()).await;
    }
    filing.work("2026-11-20T12:00:00Z").await;
    filing.work("2026-11-20T12:10:00Z").await;
    filing.work("2026-11-20T12:20:00Z").await;
    let tickets = filing.all().await;
    assert_eq!(tickets.len(), 21);
    let rest = tickets
        .iter()
        .find(|ticket| ticket.title.starts_with("More findings of 2026-11-20"))
        .expect("one for the rest");
    assert!(rest.body.contains("and ") && rest.owner.as_deref() == Some("ann@example.org"), "{}", rest.body);
    let held: usize =
        filing.bench.store.tickets(100).await.expect("listed").iter().map(|ticket| ticket.members.len()).sum();
    assert_eq!(held, many, "each is in one");
    // The next day has a budget of its own.
    let at = moment("2026-11-21T12:00:00Z");
    filing.bench.clock.set(&at.to_string());
    let next = Export { risk: Some("Critical".into()), ..account("next") };
    filing.report(&next, "Unhealthy", "2026-11-21T11:00:00Z").await;
    filing.work("2026-11-21T12:00:00Z").await;
    assert_eq!(filing.all().await.len(), 22);
}

/// The steps of a recommendation that no fix is known for are those of its source: as Markdown that does no harm.
#[tokio::test]
async fn the_steps_of_the_source_become_markdown_without_harm() {
    for (given, expected) in [
        ("1. Open it.<br>2. Change it.", "1\\. Open it.  \n2\\. Change it."),
        (
            "<ol><li>Open <b>it</b></li><li>See <a href=\"https://learn.microsoft.com/x\">this</a></li></ol>",
            "1.  Open **it**\n2.  See [this](https://learn.microsoft.com/x)",
        ),
        ("<script>alert(1)</script><img src=x onerror=alert(1)><p onclick=x>Go</p>", "Go"),
        ("<a href=\"javascript:alert(1)\">here</a>", "here"),
        ("line one\nline *two* ``` <", "line one  \nline \\*two\\* \\`\\`\\` <"),
        ("<script>x</script>", "Its source gives no steps, and no fix is known."),
    ] {
        let filing = filing(RULES).await;
        let mut export = Export { key: "7a1c0000-0000-0000-0000-000000000001".into(), ..account("st`1") }.json();
        export["properties"]["metadata"]["remediationDescription"] = given.into();
        filing.bench.accept(Form::Plain, &export.to_string()).await;
        filing.work("2026-11-20T12:00:00Z").await;
        let body = filing.one().await.body;
        let steps = body.split("### What to do\n\n").nth(1).expect("steps").split("\n\nWhat Amend").next();
        assert_eq!(steps, Some(expected), "{given}");
        assert!(body.contains("- ``st`1``: "), "{body}");
    }
}

/// A rule has a budget, too, whoever owns what it governs.
#[tokio::test]
async fn a_rule_opens_no_more_than_its_budget() {
    let filing = filing(RULES).await;
    let desk = filing.desk.clone().with_budget(Budget { per_owner: 100, per_rule: 3 });
    for n in 0..8 {
        let export = Export { risk: Some("Critical".into()), ..account(&format!("st{n}")) };
        filing.report(&export, "Unhealthy", "2026-11-20T11:00:00Z").await;
    }
    while desk.work().await.expect("the store answers").is_some() {}
    let mut all = filing.all().await;
    all.sort_by_key(|ticket| ticket.number);
    assert_eq!(all.len(), 4);
    assert!(all.iter().any(|one| &*one.title == "More findings of 2026-11-20 for all"), "{all:?}");
}

/// A problem whose owner is known later, or is another one now, is theirs: in a ticket of theirs.
#[tokio::test]
async fn what_has_another_owner_moves_to_a_ticket_of_theirs() {
    let rules = "version: 1\nrules: [{ id: all, priority: 1, owner: { tag: owner }, due: 7d, ticket: true }]";
    let filing = filing(rules).await;
    for name in ["st1", "st2"] {
        filing.report(&account(name), "Unhealthy", "2026-11-18T07:41:09Z").await;
    }
    filing.work("2026-11-20T12:00:00Z").await;
    filing.work("2026-11-20T12:10:00Z").await;
    let nobody = filing.one().await;
    assert_eq!((nobody.owner.as_deref(), nobody.open), (None, true));
    let owned = |problem: &mut amend_domain::Problem, owner: &str| problem.decision.owner.name = Some(owner.into());
    let store = &filing.bench.store;
    let category = None;
    for (at, name, owner) in [
        ("2026-11-20T13:00:00Z", "st1", "ann@example.org"),
        ("2026-11-20T14:00:00Z", "st2", "bob@example.org"),
        ("2026-11-20T15:00:00Z", "st1", "bob@example.org"),
    ] {
        let mut found = store.find(&account(name).resource.to_lowercase()).await.expect("an answer");
        let mut problem = found.remove(0);
        owned(&mut problem, owner);
        let about = About::of(&problem, category);
        store.file(&problem, &about, local::NAME, &Budget::default(), moment(at)).await.expect("filed");
        filing.work(at).await;
        let later = moment(at) + jiff::SignedDuration::from_mins(10);
        filing.work(&later.to_string()).await;
    }
    let mut all = filing.all().await;
    all.sort_by_key(|ticket| ticket.number);
    let stand: Vec<_> = all.iter().map(|one| (one.owner.as_deref(), one.open)).collect();
    let (ann, bob) = (Some("ann@example.org"), Some("bob@example.org"));
    assert_eq!(stand, [(None, false), (ann, false), (bob, true)]);
    let said = "`st1`: it has another owner now, and a ticket there";
    assert_eq!(&*all[0].notes[0].text, format!("Not here any more:\n\n- {said}"));
    assert_eq!(&*all[0].notes[1].text, format!("Nothing of it is left here:\n\n- {}", said.replace("st1", "st2")));
    assert_eq!(&*all[1].notes[0].text, format!("Nothing of it is left here:\n\n- {said}"));
    assert!(all[2].body.contains("st2") && all[2].notes[0].text.contains("`st1`"), "{:?}", all[2]);
    let held: Vec<usize> = store.tickets(10).await.expect("listed").iter().map(|one| one.members.len()).collect();
    assert_eq!(held.iter().sum::<usize>(), 2);
}

//! Tickets: which one a problem belongs to, and what its tracker is to be told. What is wanted is kept first; the
//! tracker is told of it by whoever takes that up, as often as it takes: an outage loses nothing and opens none twice.

mod details;
mod routes;
mod steps;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use amend_catalog::Catalogue;
use amend_connect::{Tracker, TrackerError};
use amend_domain::{
    Problem,
    ports::{Clock, Ids},
    sync::System,
    ticket::{About, Budget, Entry, Step, Ticket},
    work::{After, Lease, Work, WorkKind},
};
use amend_store::{Store, StoreError, Tickets};
use jiff::{SignedDuration, Timestamp};
use tracing::{info, warn};

pub use self::routes::{LOCAL, Route, Routes};
use crate::{
    PipelineError,
    advance::{add, put_off},
};

/// So long a ticket is one worker's.
const LEASE: SignedDuration = SignedDuration::from_secs(150);
/// So long a tracker may take for one step.
const STEP: Duration = Duration::from_secs(100);
/// The first wait after a tracker did not answer; each doubles the last, up to the longest.
const FIRST_WAIT: SignedDuration = SignedDuration::from_secs(30);
const LONGEST_WAIT: SignedDuration = SignedDuration::from_mins(15);
/// So long a tracker is left alone at most, whatever it asks for.
const LONGEST_ASKED: SignedDuration = SignedDuration::from_hours(6);
/// So long Defender is waited for before it is asked again whether it spoke.
const ASKED: SignedDuration = SignedDuration::from_secs(5);
/// What still has more to say after so many steps is looked at again later.
const MOST_STEPS: usize = 8;

/// Whoever files problems in tickets, and tells trackers of them.
#[derive(Clone)]
pub struct Desk {
    store: Arc<dyn Store>,
    tickets: Arc<dyn Tickets>,
    trackers: Arc<BTreeMap<String, Arc<dyn Tracker>>>,
    /// Where new tickets go.
    routes: Arc<Routes>,
    budget: Budget,
    catalogue: Arc<Catalogue>,
    clock: Arc<dyn Clock>,
    holder: Arc<str>,
    /// Whether Defender says whose a problem is before it is filed.
    asks_defender: bool,
    /// Trackers that do not answer, or want to be left alone, and until when.
    quiet: Arc<Mutex<BTreeMap<String, Timestamp>>>,
}

impl Desk {
    /// Puts the parts together. New tickets go to Amend's own tracker.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        tickets: Arc<dyn Tickets>,
        trackers: BTreeMap<String, Arc<dyn Tracker>>,
        catalogue: Arc<Catalogue>,
        clock: Arc<dyn Clock>,
        ids: &dyn Ids,
    ) -> Self {
        let holder = ids.next(clock.now()).into();
        let trackers = Arc::new(trackers);
        Self {
            store,
            tickets,
            trackers,
            routes: Arc::default(),
            budget: Budget::default(),
            catalogue,
            clock,
            holder,
            asks_defender: false,
            quiet: Arc::default(),
        }
    }

    /// The same, where Defender says whose a problem is.
    #[must_use]
    pub fn asking_defender(self) -> Self {
        Self { asks_defender: true, ..self }
    }

    /// With new tickets going there.
    #[must_use]
    pub fn with_routes(self, routes: Routes) -> Self {
        Self { routes: Arc::new(routes), ..self }
    }

    /// With this many tickets in a day.
    #[must_use]
    pub fn with_budget(self, budget: Budget) -> Self {
        Self { budget, ..self }
    }

    /// Does the most urgent piece of work about tickets that is due. Nothing, where nothing is.
    ///
    /// # Errors
    /// When the store does not answer; whatever was begun goes on later.
    pub async fn work(&self) -> Result<Option<(Work, After)>, PipelineError> {
        if self.store.stopped().await?.is_some() {
            return Ok(None);
        }
        let now = self.clock.now();
        let Some((work, lease)) = self.store.claim(WorkKind::TICKETS, &self.holder, now, add(now, LEASE)).await? else {
            return Ok(None);
        };
        let done = match work.kind {
            WorkKind::File => self.file(&work).await.map(Some),
            _ => self.tell(&work, &lease).await,
        };
        let after = match done {
            // It ended with what was kept last.
            Ok(None) => return Ok(Some((work, After::Done))),
            Ok(Some(after)) => after,
            // The lease is somebody else's by now, and so is the work.
            Err(PipelineError::Store(StoreError::Overtaken { .. })) => return Ok(Some((work, After::Done))),
            Err(error) => self.later(&work, &error),
        };
        self.store.leave(&lease, &after, self.clock.now()).await?;
        info!(work = work.key, ?after, "work");
        Ok(Some((work, after)))
    }

    /// Puts a problem, as it is now, into its ticket.
    async fn file(&self, work: &Work) -> Result<After, PipelineError> {
        let found = self.store.find(&work.subject).await?;
        let Some(problem) = found.into_iter().find(|problem| problem.id.as_str() == work.subject) else {
            return Ok(After::Done);
        };
        if let Some(after) = self.wait_for_defender(&problem).await? {
            return Ok(after);
        }
        let decisions = self.store.decisions(&work.subject).await?;
        let category = decisions.iter().find_map(|one| one.assessment.recommendation.category.as_deref());
        let about = About::of(&problem, category);
        self.tickets.file(&problem, &about, self.routes.of(&problem), &self.budget, self.clock.now()).await?;
        Ok(After::Done)
    }

    /// Where Defender's word counts and was not asked for yet, a ticket would go to the wrong person. Whoever does not
    /// answer is not waited for.
    async fn wait_for_defender(&self, problem: &Problem) -> Result<Option<After>, PipelineError> {
        if !self.asks_defender || !problem.is_open() || !System::Defender.knows(problem) {
            return Ok(None);
        }
        let asking = self.store.one_work(&WorkKind::Sync.key(&System::Defender.subject(&problem.id))).await?;
        let waits = asking.is_some_and(|work| work.parked.is_none() && work.attempts <= 1 && work.why.is_none());
        Ok(waits.then(|| After::Later { at: add(self.clock.now(), ASKED) }))
    }

    /// Tells a tracker what changed about a ticket, one step after the other. Each is kept before the next.
    async fn tell(&self, work: &Work, lease: &Lease) -> Result<Option<After>, PipelineError> {
        for _ in 0..MOST_STEPS {
            let Some(mut ticket) = self.tickets.ticket(&work.subject).await? else {
                return Ok(Some(After::Done));
            };
            let tracker = self.tracker(&ticket.tracker)?;
            if let Some(at) = self.left_alone(&ticket.tracker) {
                let why = format!("{} does not answer, or wants to be left alone until then", ticket.tracker);
                return Ok(Some(After::Again { at, why }));
            }
            let seen = within(&ticket, tracker.find(&ticket)).await?;
            let Some(step) = ticket.next(seen.as_ref()) else {
                self.tickets.end_telling(lease, &ticket.id, ticket.wanted, self.clock.now()).await?;
                return Ok(None);
            };
            let now = self.clock.now();
            let found_by = ticket.told.telling.as_ref().map(|telling| add(telling.at, tracker.settles()));
            if let (Step::Open, Some(at)) = (&step, found_by)
                && at > now
            {
                let why = format!("{} may have opened it already, and does not find it yet", ticket.tracker);
                return Ok(Some(After::Again { at, why }));
            }
            // INVARIANT: whoever has lost the lease tells nothing.
            self.tickets.renew(lease, add(now, LEASE)).await?;
            match (&step, seen) {
                (Step::Adopt, Some(entry)) => ticket.adopt(entry, now),
                (Step::Gone | Step::Adopt, _) => ticket.is_gone(now),
                (Step::Same | Step::Done { .. }, seen) => match seen.or_else(|| ticket.told.entry.clone()) {
                    Some(entry) => ticket.tell(entry, now),
                    None => ticket.is_gone(now),
                },
                (step, seen) => {
                    if *step == Step::Open
                        || ticket.told.telling.as_ref().is_none_or(|telling| telling.wanted != ticket.wanted)
                    {
                        let mut begun = ticket.clone();
                        begun.begin(step, now);
                        self.tickets.begin_telling(&begun).await?;
                    }
                    match self.take(&**tracker, &ticket, seen.as_ref(), step, now).await {
                        Ok(entry) => ticket.tell(entry, now),
                        Err(error) => return Err(self.not_told(ticket, step, error).await?),
                    }
                }
            }
            let entry = ticket.told.entry.as_ref().map_or("", |entry| &entry.key);
            info!(ticket = %ticket.id, tracker = &*ticket.tracker, entry, step = ?step.word(), "ticket");
            self.tickets.keep_told(&ticket, step.word(), now).await?;
        }
        Ok(Some(After::Later { at: add(self.clock.now(), LEASE) }))
    }

    /// Notes what follows from a tracker that was not told. Returns why.
    async fn not_told(
        &self,
        mut ticket: Ticket,
        step: &Step,
        error: PipelineError,
    ) -> Result<PipelineError, PipelineError> {
        let said_no =
            matches!(error, PipelineError::Tracker(TrackerError::Refused { .. } | TrackerError::Denied { .. }));
        if said_no && *step == Step::Open {
            // Nothing was opened: there is nothing to wait for.
            ticket.refused();
            self.tickets.begin_telling(&ticket).await?;
        }
        Ok(error)
    }

    /// Until when a tracker is left alone.
    fn left_alone(&self, tracker: &str) -> Option<Timestamp> {
        let quiet = self.quiet.lock().unwrap_or_else(PoisonError::into_inner);
        quiet.get(tracker).copied().filter(|until| *until > self.clock.now())
    }

    /// Takes a step with a tracker.
    async fn take(
        &self,
        tracker: &dyn Tracker,
        ticket: &Ticket,
        seen: Option<&Entry>,
        step: &Step,
        now: Timestamp,
    ) -> Result<Entry, PipelineError> {
        match (step, seen) {
            (Step::Change(change), Some(entry)) => within(ticket, tracker.change(ticket, entry, change, now)).await,
            _ => {
                let draft = ticket.draft(&self.details(ticket).await?);
                within(ticket, tracker.open(ticket, &draft, now)).await
            }
        }
    }

    /// What becomes of telling that did not get on. A tracker that is away for a day is told afterwards.
    fn later(&self, work: &Work, error: &PipelineError) -> After {
        let now = self.clock.now();
        match error {
            PipelineError::Tracker(tracker) if tracker.may_pass() => {
                let doublings = work.attempts.saturating_sub(1).min(8);
                let wait =
                    FIRST_WAIT.saturating_mul(1_i32.checked_shl(doublings).unwrap_or(i32::MAX)).min(LONGEST_WAIT);
                // What else is to be told there is not tried one by one, while it holds up all the rest.
                let asked = tracker.wait().unwrap_or(FIRST_WAIT).clamp(FIRST_WAIT, LONGEST_ASKED);
                let mut quiet = self.quiet.lock().unwrap_or_else(PoisonError::into_inner);
                quiet.insert(tracker.tracker().to_owned(), add(now, asked));
                let wait = asked.max(wait);
                warn!(work = work.key, why = %error, "work did not get on");
                After::Again { at: add(now, wait), why: error.to_string() }
            }
            _ => put_off(work, error, now),
        }
    }

    fn tracker(&self, name: &str) -> Result<&Arc<dyn Tracker>, PipelineError> {
        self.trackers.get(name).ok_or_else(|| PipelineError::NoTracker { name: name.to_owned() })
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// What a tracker answers in time.
async fn within<T>(ticket: &Ticket, asked: impl Future<Output = Result<T, TrackerError>>) -> Result<T, PipelineError> {
    match tokio::time::timeout(STEP, asked).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(PipelineError::Tracker(TrackerError::Busy {
            tracker: ticket.tracker.to_string(),
            why: format!("no answer in {} s", STEP.as_secs()),
            wait: None,
        })),
    }
}

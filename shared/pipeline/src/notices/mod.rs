//! Notices to people: one for a person, not one for a finding. That one is to be sent is kept first; whoever takes
//! that up sends it, as often as it takes. There are digests of all that is open ([`digest`]), and news of what
//! happens ([`news`]), which are gathered for a while.

pub mod digest;
pub mod news;
pub mod quiet;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use amend_connect::{Channel, Mail, Mailer, Message};
use amend_domain::{
    Problem, ProblemId,
    digest::digest_bytes,
    notice::{News, Notice, Whom},
    owners::Owners,
    ports::{Clock, Ids},
    said::Said,
    work::{After, Work, WorkKind},
};
use amend_store::{Filter, Notices, Store, StoreError, Tickets, Untold};
use cronexpr::parse_crontab;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tracing::info;

use self::{
    digest::{Digest, digests, of_managers},
    quiet::Quiet,
};
use crate::{
    PipelineError,
    advance::{add, put_off},
};

/// So long a notice is one worker's.
const LEASE: SignedDuration = SignedDuration::from_secs(150);
/// A time that was missed by longer than that is not caught up with.
const CAUGHT_UP: SignedDuration = SignedDuration::from_hours(24);
/// What a digest tells of.
const MOST: u32 = 100_000;
/// So long news are gathered for a channel.
const FOR_CHANNEL: SignedDuration = SignedDuration::from_mins(1);
/// And for a mail.
const FOR_MAIL: SignedDuration = SignedDuration::from_mins(5);

/// When notices are sent, and to whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// When owners get their digest: cron with a time zone.
    pub digest: Option<String>,
    /// Who gets what nobody owns, or nobody with an address.
    pub orphans: Option<String>,
    /// How long something is overdue before a manager hears of it.
    pub escalate: SignedDuration,
    /// When nobody is told what can wait.
    pub quiet: Option<Quiet>,
}

/// The ways in which people are told.
#[derive(Clone, Default)]
pub struct Ways {
    /// Mail, where somebody sends it.
    pub mailer: Option<Mailer>,
    /// Channels, by name.
    pub channels: Arc<BTreeMap<String, Channel>>,
}

/// What somebody is told next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Next {
    /// Who.
    #[serde(rename = "to")]
    pub whom: Whom,
    /// What, were it told now.
    pub message: Message,
    /// When.
    pub due: Timestamp,
    /// Whether that waits for a person.
    pub parked: bool,
    /// Why it was put off, or waits for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What somebody is told at once.
struct Told {
    /// The names of it.
    names: Vec<String>,
    /// The problems whose fix is announced in it, and when that was wanted.
    announced: Vec<(ProblemId, Timestamp)>,
    /// The message.
    message: Option<Message>,
}

/// So much of a title or a name is told.
const LINE: usize = 300;

/// What somebody else wrote, on one line that ends.
fn one_line(text: &str) -> String {
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LINE).collect();
    if text.chars().nth(LINE).is_some() {
        line.push('…');
    }
    line
}

/// Whoever sends notices.
#[derive(Clone)]
pub struct Herald {
    store: Arc<dyn Store>,
    tickets: Arc<dyn Tickets>,
    notices: Arc<dyn Notices>,
    ways: Ways,
    times: Arc<Times>,
    owners: Arc<Owners>,
    clock: Arc<dyn Clock>,
    holder: Arc<str>,
    /// The last time for which digests were announced by this process.
    announced: Arc<Mutex<Option<Timestamp>>>,
    /// The last day on which this process kept what is overdue.
    reminded: Arc<Mutex<Option<Timestamp>>>,
    /// The digests of all owners, and as of when: a hundred mails are sent from one look at the store.
    looked: Arc<Mutex<Option<Looked>>>,
}

/// The digests of all owners, and as of when.
type Looked = (Timestamp, Arc<Vec<Digest>>);

impl Herald {
    /// Puts the parts together.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        tickets: Arc<dyn Tickets>,
        notices: Arc<dyn Notices>,
        ways: Ways,
        times: Times,
        clock: Arc<dyn Clock>,
        ids: &dyn Ids,
    ) -> Self {
        let holder = ids.next(clock.now()).into();
        let (times, announced, reminded, looked) = (Arc::new(times), Arc::default(), Arc::default(), Arc::default());
        Self {
            store,
            tickets,
            notices,
            ways,
            times,
            owners: Arc::default(),
            clock,
            holder,
            announced,
            reminded,
            looked,
        }
    }

    /// The same, where it is known who is who.
    #[must_use]
    pub fn with_owners(self, owners: Arc<Owners>) -> Self {
        Self { owners, ..self }
    }

    /// The digests of all owners, then those of managers, as things are now.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn digests(&self) -> Result<Vec<Digest>, PipelineError> {
        let filter = Filter { open: Some(true), backlog: Some(false), ..Filter::default() };
        let problems = self.store.problems(&filter).await?;
        let tickets = self.tickets.tickets(MOST).await?;
        let own = digests(&problems, &tickets, self.clock.now());
        let managers = of_managers(&own, &self.owners, self.times.escalate);
        Ok(own.into_values().chain(managers).collect())
    }

    /// Who gets a digest: its owner, where that is an address, or stands for one.
    #[must_use]
    pub fn recipient<'a>(&'a self, owner: &'a str) -> Option<&'a str> {
        self.address(owner).or(self.times.orphans.as_deref())
    }

    /// The address of an owner.
    fn address<'a>(&'a self, owner: &'a str) -> Option<&'a str> {
        self.owners.address(owner)
    }

    /// Sends a digest at once.
    ///
    /// # Errors
    /// When nobody sends mail, or the server does not take it.
    pub async fn send(&self, digest: &Digest, name: &str) -> Result<(), PipelineError> {
        if let Some(stop) = self.store.stopped().await? {
            return Err(StoreError::Stopped(stop).into());
        }
        let (Some(_), Some(to)) = (&self.ways.mailer, self.recipient(&digest.owner)) else {
            return Err(PipelineError::NoMail { owner: digest.owner.to_string() });
        };
        let pages = (digest.html(), digest.text());
        self.mail(to, digest.subject(), pages, name).await
    }

    /// Sends a mail of this name.
    async fn mail(
        &self,
        to: &str,
        subject: String,
        (html, text): (Result<String, askama::Error>, Result<String, askama::Error>),
        name: &str,
    ) -> Result<(), PipelineError> {
        let Some(mailer) = &self.ways.mailer else { return Err(PipelineError::NoMailer { to: to.to_owned() }) };
        let unwritten = |error: askama::Error| PipelineError::Unwritten { what: "a mail", why: error.to_string() };
        let id = digest_bytes(name.as_bytes()).replace("sha256:", "amend.");
        let (html, text) = (html.map_err(unwritten)?, text.map_err(unwritten)?);
        mailer.send(&Mail { to: to.to_owned(), subject, html, text, id }).await?;
        info!(to, name, "mail");
        Ok(())
    }

    /// What people were not told yet.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn untold(&self) -> Result<Vec<Next>, PipelineError> {
        let mut all = Vec::new();
        for untold in self.notices.untold().await? {
            let message = self.news(&untold.whom).await?.message;
            let work = self.store.one_work(&WorkKind::Send.key(&untold.subject())).await?;
            let due = work.as_ref().map_or_else(|| self.due(&untold), |work| work.due);
            let parked = work.as_ref().is_some_and(|work| work.parked.is_some());
            let why = work.and_then(|work| work.why);
            all.extend(message.map(|message| Next { whom: untold.whom, message, due, parked, why }));
        }
        Ok(all)
    }

    /// When somebody is told: a while after the first of it, or when quiet hours end.
    fn due(&self, untold: &Untold) -> Timestamp {
        let gathered = if matches!(untold.whom, Whom::Channel(_)) { FOR_CHANNEL } else { FOR_MAIL };
        let due = add(untold.since, gathered);
        match &self.times.quiet {
            Some(quiet) if !untold.urgent => quiet.end(due.max(self.clock.now())),
            _ => due,
        }
    }

    /// What somebody was not told yet, as it is now.
    async fn news(&self, whom: &Whom) -> Result<Told, PipelineError> {
        let mut all = self.notices.news(whom).await?;
        let mut problems: BTreeMap<ProblemId, Problem> = BTreeMap::new();
        let (mut names, mut current) = (Vec::new(), Vec::new());
        // What was announced and is not so any more is told to nobody.
        for (name, notice) in all.drain(..) {
            if notice.news == News::Announced {
                let problem = self.problem(&notice.problem).await?;
                let is_current = problem.as_ref().is_some_and(|problem| notice.is_current(problem));
                problems.extend(problem.map(|problem| (problem.id.clone(), problem)));
                if !is_current {
                    names.push(name);
                    continue;
                }
            }
            current.push((name, notice));
        }
        let notices: Vec<Notice> = current.iter().map(|(_, notice)| notice.clone()).collect();
        let mut latest = news::latest(&notices);
        let (mut announced, mut left) = (Vec::new(), BTreeSet::new());
        for (place, notice) in latest.iter_mut().enumerate() {
            if place >= news::MOST {
                // An announcement counts only where it was read: it is told with the next message.
                if notice.news == News::Announced {
                    left.insert(notice.problem.clone());
                }
                continue;
            }
            let problem = match problems.get(&notice.problem) {
                Some(problem) => Some(problem.clone()),
                None => self.problem(&notice.problem).await?,
            };
            if let Some(problem) = problem {
                // It may have another owner, or date, since.
                notice.refresh(&problem, self.clock.now());
                if notice.news == News::Announced && self.counts(whom, &problem) {
                    announced.push((notice.problem.clone(), notice.at));
                }
            }
        }
        names.extend(
            current
                .into_iter()
                .filter(|(_, notice)| notice.news != News::Announced || !left.contains(&notice.problem))
                .map(|(name, _)| name),
        );
        Ok(Told { names, announced, message: news::message(&latest) })
    }

    /// Whether an owner was told where somebody was: they were themselves, or cannot be and those were whom their rule
    /// notifies.
    fn counts(&self, whom: &Whom, problem: &Problem) -> bool {
        let owner = problem.decision.owner.name.as_deref();
        let address = owner.and_then(|owner| self.address(owner)).filter(|_| self.ways.mailer.is_some());
        match (whom, address) {
            (Whom::Owner(name), Some(_)) => Some(&**name) == owner,
            (Whom::Owner(_), None) => false,
            (Whom::Address(to), Some(address)) => to.eq_ignore_ascii_case(address),
            (Whom::Channel(_), Some(_)) => false,
            (Whom::Address(_) | Whom::Channel(_), None) => true,
        }
    }

    async fn problem(&self, id: &ProblemId) -> Result<Option<Problem>, PipelineError> {
        Ok(self.store.find(id.as_str()).await?.into_iter().find(|problem| problem.id == *id))
    }

    /// Sends one notice that is due. Nothing, where none is.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn work(&self) -> Result<Option<(Work, After)>, PipelineError> {
        if self.store.stopped().await?.is_some() {
            return Ok(None);
        }
        self.announce().await?;
        self.remind().await?;
        self.gather().await?;
        let now = self.clock.now();
        let Some((work, lease)) = self.store.claim(WorkKind::NOTICES, &self.holder, now, add(now, LEASE)).await? else {
            return Ok(None);
        };
        let delivered = match Untold::whom_of(&work.subject) {
            Some(whom) => self.tell(&whom).await,
            None => self.deliver(&work).await,
        };
        let after = match delivered {
            Ok(()) => After::Done,
            Err(PipelineError::Store(StoreError::Overtaken { .. })) => return Ok(Some((work, After::Done))),
            Err(error) => {
                let wait = if let PipelineError::Tracker(error) = &error { error.wait() } else { None };
                match (put_off(&work, &error, self.clock.now()), wait) {
                    (After::Again { at, why }, Some(wait)) => {
                        After::Again { at: at.max(add(self.clock.now(), wait)), why }
                    }
                    (after, _) => after,
                }
            }
        };
        self.store.leave(&lease, &after, self.clock.now()).await?;
        Ok(Some((work, after)))
    }

    /// Has the digests sent whose time has come.
    async fn announce(&self) -> Result<(), PipelineError> {
        let Some(time) = self.times.digest.as_deref().and_then(|cron| last(cron, self.clock.now())) else {
            return Ok(());
        };
        if *self.announced.lock().unwrap_or_else(PoisonError::into_inner) == Some(time) {
            return Ok(());
        }
        let all = self.digests().await?;
        let reached = all.iter().filter(|digest| self.recipient(&digest.owner).is_some());
        let names: Vec<String> = reached.map(|digest| digest.name(time)).collect();
        let new = self.notices.announce(&names, self.clock.now()).await?;
        info!(%time, owners = all.len(), new, "digests");
        *self.announced.lock().unwrap_or_else(PoisonError::into_inner) = Some(time);
        Ok(())
    }

    /// Keeps once a day, in UTC, what became overdue on the day before, so that those concerned are told. A day on which
    /// nobody did so is caught up with: what was told is not told again.
    async fn remind(&self) -> Result<(), PipelineError> {
        let day = SignedDuration::from_hours(24);
        let now = self.clock.now();
        let second = now.as_second();
        let today = second.saturating_sub(second.rem_euclid(day.as_secs()));
        let today = Timestamp::from_second(today).unwrap_or(now);
        if *self.reminded.lock().unwrap_or_else(PoisonError::into_inner) == Some(today) {
            return Ok(());
        }
        let from = today.saturating_sub(day).and_then(|day_before| day_before.saturating_sub(CAUGHT_UP));
        let due = Some((from.unwrap_or(today), today));
        let filter = Filter { open: Some(true), backlog: Some(false), due, ..Filter::default() };
        let news: Vec<(Whom, Notice)> = self
            .store
            .problems(&filter)
            .await?
            .iter()
            .flat_map(|problem| {
                let notice = Notice::overdue(problem, now);
                notice.for_whom(problem).map(move |whom| (whom, notice.clone())).collect::<Vec<_>>()
            })
            .collect();
        self.notices.tell(&news).await?;
        *self.reminded.lock().unwrap_or_else(PoisonError::into_inner) = Some(today);
        Ok(())
    }

    /// Has those told for whom something is kept.
    async fn gather(&self) -> Result<(), PipelineError> {
        for untold in self.notices.untold().await? {
            self.notices.gather(&untold, self.due(&untold)).await?;
        }
        Ok(())
    }

    /// Tells somebody what they were not told yet. An owner who cannot be told is not.
    async fn tell(&self, whom: &Whom) -> Result<(), PipelineError> {
        let Told { names, announced, message } = self.news(whom).await?;
        let Some(message) = message else { return Ok(self.notices.told(&names, self.clock.now()).await?) };
        match whom {
            Whom::Channel(name) => {
                let channel = self.ways.channels.get(&**name);
                let channel = channel.ok_or_else(|| PipelineError::NoChannel { name: name.to_string() })?;
                channel.post(&message).await?;
                info!(channel = &**name, message.title, "message");
            }
            Whom::Address(to) => self.mail_news(to, &message, &names).await?,
            Whom::Owner(name) => {
                if let Some(to) = self.address(name).filter(|_| self.ways.mailer.is_some()) {
                    self.mail_news(to, &message, &names).await?;
                }
            }
        }
        // The time of those who were told counts from now on. Told twice, where this breaks off, is told.
        let now = self.clock.now();
        for (problem, at) in announced {
            if let Some(Ok(problem)) = self.store.hear(problem.as_str(), &Said::Told(at), now).await? {
                info!(problem = %problem.id, "announced");
            }
        }
        Ok(self.notices.told(&names, now).await?)
    }

    async fn mail_news(&self, to: &str, message: &Message, names: &[String]) -> Result<(), PipelineError> {
        let pages = (news::html(message), news::text(message));
        self.mail(to, format!("Amend: {}", message.title), pages, &names.concat()).await
    }

    /// Sends what a name stands for, as things are now. What there is nothing to say of is not sent.
    async fn deliver(&self, work: &Work) -> Result<(), PipelineError> {
        match self.recent().await?.iter().find(|digest| digest.is_called(&work.subject)) {
            Some(digest) => self.send(digest, &work.subject).await,
            None => Ok(()),
        }
    }

    /// The digests of all owners, as things were a minute ago at most.
    async fn recent(&self) -> Result<Arc<Vec<Digest>>, PipelineError> {
        let now = self.clock.now();
        let looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((at, digests)) = looked
            && now.duration_since(at).abs() <= SignedDuration::from_mins(1)
        {
            return Ok(digests);
        }
        let digests = Arc::new(self.digests().await?);
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, Arc::clone(&digests)));
        Ok(digests)
    }
}

/// The last time that a cron names, where it is not too long ago.
fn last(cron: &str, now: Timestamp) -> Option<Timestamp> {
    let cron = parse_crontab(cron).ok()?;
    let mut at = now.saturating_sub(CAUGHT_UP).ok()?;
    let mut found = None;
    // As often as once a minute.
    for _ in 0..1_500 {
        let next = cron.find_next(at).ok()?.timestamp();
        if next > now {
            break;
        }
        (at, found) = (next, Some(next));
    }
    found
}

//! A service, put together: it receives, and does what is due until its time is over.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use amend_cloud::{Cloud, Clouds};
use amend_domain::{
    exemption::Exemption,
    ports::Clock as _,
    work::{After, Stop},
};
use amend_pipeline::{
    Config, Pipeline, PipelineError,
    audit::{self, AuditError},
    backlog::Deaf,
    fixer::Fixer,
    notices::Herald,
    sync::{Authority, Syncer},
    system::SystemClock,
    tickets::Desk,
};
use amend_store::Database;
use serde::Serialize;
use tokio::sync::Mutex;
use tracing::warn;

use crate::{Deadline, SetupError, Tell, files, parts};

/// Everything, put together as it is configured. All of it shares one store.
pub struct Service {
    config: Config,
    store: Arc<Database>,
    pipeline: Arc<Pipeline>,
    fixer: Fixer,
    desk: Desk,
    syncer: Syncer,
    herald: Herald,
    router: OnceLock<axum::Router>,
    advancing: Mutex<()>,
}

/// What was done of what was due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Advanced {
    /// Pieces of work that got on.
    pub done: usize,
    /// Those that must wait for something, or are tried again.
    pub put_off: usize,
    /// Those that a person must look at.
    pub parked: usize,
    /// Whether the time was over before everything was done.
    pub more: bool,
}

impl Advanced {
    fn count(&mut self, after: &After) {
        let count = match after {
            // What got on may have to wait for something else by now.
            After::Done | After::Later { .. } | After::Afresh { parked: None, .. } => &mut self.done,
            After::Held { .. } | After::Again { .. } => &mut self.put_off,
            After::Parked { .. } | After::Afresh { .. } => &mut self.parked,
        };
        *count = count.saturating_add(1);
    }

    fn plus(self, other: Self) -> Self {
        Self {
            done: self.done.saturating_add(other.done),
            put_off: self.put_off.saturating_add(other.put_off),
            parked: self.parked.saturating_add(other.parked),
            more: self.more || other.more,
        }
    }
}

/// What came of a sweep.
#[derive(Debug)]
pub struct Swept {
    /// How much was decided with facts that came since.
    pub decided: usize,
    /// What was done of what was due.
    pub advanced: Advanced,
    /// Who stopped everything, where somebody did.
    pub stopped: Option<Stop>,
    /// Exemptions that end soon.
    pub ending: Vec<Exemption>,
    /// Accounts that have gone quiet.
    pub deaf: Vec<Deaf>,
    /// Whether the end of the audit trail was written to its second place, where it has one.
    pub noted: Result<(), AuditError>,
}

impl Swept {
    /// Writes into the log what a person should know.
    pub fn log(&self) {
        for exemption in &self.ending {
            warn!(exemption = &*exemption.id, until = %exemption.until, "an exemption ends soon");
        }
        if !self.deaf.is_empty() {
            warn!(accounts = self.deaf.len(), "accounts have gone quiet");
        }
        if let Some(stop) = &self.stopped {
            warn!(by = &*stop.by, why = &*stop.why, "everything is stopped");
        }
        if let Err(error) = &self.noted {
            warn!("the end of the audit trail was not noted: {}", crate::whole(error));
        }
    }
}

impl Service {
    /// Puts everything together, and connects to the store.
    ///
    /// # Errors
    /// Whatever keeps it from working, with what to do about it.
    pub async fn start(config: Config, tell: &dyn Tell) -> Result<Self, SetupError> {
        let store = Arc::new(parts::store(&config).await?);
        let read = files::Read::of(&config)?;
        Self::of(config, &read, store, tell).await
    }

    /// The same, with files that were read and a store that is open.
    ///
    /// # Errors
    /// Whatever keeps it from working.
    pub async fn of(
        config: Config,
        read: &files::Read,
        store: Arc<Database>,
        tell: &dyn Tell,
    ) -> Result<Self, SetupError> {
        let catalogue = files::catalogue(&config, tell)?;
        let facts = files::facts(&config)?;
        let decider = parts::decider(&config, read.rules().to_vec(), facts, Arc::clone(&catalogue), tell)?;
        parts::warn_of_unheard(decider.rules(), &config, tell);
        let all: Arc<Clouds> = parts::clouds(&config, tell);
        let clouds: Arc<dyn Cloud> = parts::reached(&config, Arc::clone(&all) as Arc<dyn Cloud>)?;
        let pipeline = parts::pipeline(decider, Arc::clone(&store)).await?;
        let pipeline = match parts::lookup(&config, &clouds) {
            Some(lookup) => pipeline.with_lookup(lookup),
            None => pipeline,
        };
        Ok(Self {
            pipeline: Arc::new(pipeline),
            desk: parts::desk(&config, Arc::clone(&store), Arc::clone(&catalogue))?,
            syncer: parts::syncer(&config, Arc::clone(&store), all, &catalogue)?,
            herald: parts::herald(&config, Arc::clone(&store))?,
            fixer: parts::fixer(&config, Arc::clone(&store), clouds, catalogue),
            config,
            store,
            router: OnceLock::new(),
            advancing: Mutex::new(()),
        })
    }

    /// The configuration that it was put together by.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where it remembers.
    #[must_use]
    pub fn store(&self) -> &Arc<Database> {
        &self.store
    }

    /// What receives, decides and answers.
    #[must_use]
    pub fn pipeline(&self) -> &Arc<Pipeline> {
        &self.pipeline
    }

    /// Every route, for callers from elsewhere.
    pub fn router(&self) -> axum::Router {
        let made = || amend_web::outside(amend_web::App::new(Arc::clone(&self.pipeline), &self.config));
        self.router.get_or_init(made).clone()
    }

    /// What plans and fixes.
    #[must_use]
    pub fn fixer(&self) -> &Fixer {
        &self.fixer
    }

    /// What files tickets.
    #[must_use]
    pub fn desk(&self) -> &Desk {
        &self.desk
    }

    /// What tells the systems that problems come from.
    #[must_use]
    pub fn syncer(&self) -> &Syncer {
        &self.syncer
    }

    /// What sends notices.
    #[must_use]
    pub fn herald(&self) -> &Herald {
        &self.herald
    }

    /// Does what is due. Without a deadline, fixes first, then what others are told of them; with one, at once, as
    /// none of it may wait for the other for ever. Where this process is at it already, that goes on.
    ///
    /// # Errors
    /// When the store does not answer; whatever was begun goes on later.
    pub async fn advance(&self, deadline: Deadline) -> Result<Advanced, PipelineError> {
        let Ok(_advancing) = self.advancing.try_lock() else {
            return Ok(Advanced { more: true, ..Advanced::default() });
        };
        let fixing = async {
            let fix = || self.fix(self.fixer.another(), deadline);
            let all = tokio::join!(fix(), fix(), fix(), fix());
            plus(plus(all.0, all.1), plus(all.2, all.3))
        };
        let telling = async { plus(self.tell(deadline).await, self.notify(deadline).await) };
        if deadline.at().is_none() {
            let fixed = fixing.await?;
            return Ok(fixed.plus(telling.await?));
        }
        if !deadline.has_time() {
            warn!("the platform gives less than ten seconds: nothing is taken up");
        }
        let (fixed, told) = tokio::join!(fixing, telling);
        plus(fixed, told)
    }

    /// Fixes what is due.
    async fn fix(&self, fixer: Fixer, deadline: Deadline) -> Result<Advanced, PipelineError> {
        let mut done = Advanced::default();
        loop {
            if !deadline.has_time() {
                done.more = true;
                return Ok(done);
            }
            match deadline.within(fixer.work(deadline.at())).await {
                Ok(Ok(Some((_, after)))) => done.count(&after),
                Ok(Ok(None)) => return Ok(done),
                Ok(Err(error)) => return Err(error),
                Err(_) => done.more = true,
            }
        }
    }

    /// Files tickets, tells trackers, and tells the systems that problems come from.
    async fn tell(&self, deadline: Deadline) -> Result<Advanced, PipelineError> {
        // Where Defender says whose a problem is, it is asked before anything is filed; else it is told of the ticket.
        let first = self.config.systems.defender == Some(Authority::Defender);
        let one = async || {
            let mut told = if first { self.syncer.work().await? } else { None };
            if told.is_none() {
                told = self.desk.work().await?;
            }
            if told.is_none() && !first {
                told = self.syncer.work().await?;
            }
            Ok(told.map(|(_, after)| after))
        };
        until_none(one, deadline).await
    }

    /// Sends the notices that are due, digests among them.
    ///
    /// # Errors
    /// When the store does not answer; what was not sent is sent later.
    pub async fn notify(&self, deadline: Deadline) -> Result<Advanced, PipelineError> {
        until_none(async || Ok(self.herald.work().await?.map(|(_, after)| after)), deadline).await
    }

    /// Decides what lacked facts, does what is due, and looks after what nobody else does.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn sweep(&self, deadline: Deadline) -> Result<Swept, PipelineError> {
        let known =
            async { Ok::<_, PipelineError>((self.pipeline.deaf().await?, self.fixer.store().stopped().await?)) };
        let (deaf, stopped) = deadline.within(known).await.unwrap_or_else(|_| Ok(Default::default()))?;
        let patience = deadline.left().map_or(Duration::MAX, |left| left.checked_div(3).unwrap_or_default());
        let decided = match deadline.within(self.pipeline.retry_undetermined_within(patience)).await {
            Ok(retried) => retried?.settled,
            Err(_) => 0,
        };
        let advanced = self.advance(deadline).await?;
        let ending = deadline.within(self.fixer.remind_of_exemptions()).await;
        let ending = ending.unwrap_or_else(|_| Ok(Vec::new()))?;
        // What was done is said in any case.
        let noted = deadline.within(self.note_head()).await.unwrap_or(Ok(()));
        Ok(Swept { decided, advanced, stopped, ending, deaf, noted })
    }

    /// Writes the end of the audit trail to its second place, where it has one.
    ///
    /// # Errors
    /// When that cannot be written, or does not fit.
    pub async fn note_head(&self) -> Result<(), AuditError> {
        match &self.config.audit_heads {
            Some(path) => audit::note_head(self.fixer.store(), path, SystemClock.now()).await.map(|_| ()),
            None => Ok(()),
        }
    }
}

/// Both, or why not.
fn plus(
    one: Result<Advanced, PipelineError>,
    other: Result<Advanced, PipelineError>,
) -> Result<Advanced, PipelineError> {
    Ok(one?.plus(other?))
}

/// Does one piece of work after the other, until there is none or the time is over.
async fn until_none<F>(mut one: impl FnMut() -> F, deadline: Deadline) -> Result<Advanced, PipelineError>
where
    F: Future<Output = Result<Option<After>, PipelineError>>,
{
    let mut done = Advanced::default();
    while deadline.has_time() {
        match deadline.within(one()).await {
            Ok(Ok(Some(after))) => done.count(&after),
            Ok(Ok(None)) => return Ok(done),
            Ok(Err(error)) => return Err(error),
            Err(_) => break,
        }
    }
    done.more = true;
    Ok(done)
}

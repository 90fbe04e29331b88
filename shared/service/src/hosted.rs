//! A service inside a function app: started when it is first needed, and made anew when what it has read is too
//! old, so that rules, facts, owners and secrets change without a deployment.

use std::{path::PathBuf, sync::Arc, time::Duration};

use amend_pipeline::{Config, config::Does};
use amend_store::{Database, Place};
use tokio::{
    sync::{Mutex, RwLock},
    time::Instant,
};
use tracing::{error, info};

use crate::{HostedExecutor, Service, SetupError, Tell as _, ToLog, files, parts};

/// How much longer than it should a service is used that cannot be made anew: a mistake in a file must not stop
/// everything at once, and what was taken back must not hold for ever.
const GRACE: Duration = Duration::from_secs(3_600);
/// When it is tried again to make it anew, where that was not for a mistake in a file.
const AGAIN: Duration = Duration::from_secs(60);
/// When it is tried again to start it: whoever asks meanwhile hears why it did not.
const START_AGAIN: Duration = Duration::from_secs(5);

/// The service of a function app.
pub struct Hosted {
    file: Option<PathBuf>,
    current: RwLock<Option<Current>>,
    /// Held by whoever starts it, or makes it anew; with when and why it did not start last.
    making: Mutex<Option<(Instant, String)>>,
}

#[derive(Clone)]
struct Current {
    service: Arc<Service>,
    /// What it was made from.
    files: Arc<files::Read>,
    read: Instant,
    /// When it is tried again, after it failed.
    again: Instant,
    /// What it does not do, as it is not what is configured now.
    held: Vec<Does>,
}

impl Hosted {
    /// The service that `amend.yaml` in this folder configures, and the environment.
    ///
    /// # Errors
    /// When it cannot be told whether there is such a file.
    pub fn new() -> Result<Self, SetupError> {
        let file = PathBuf::from("amend.yaml");
        let there = file.try_exists().map_err(|error| {
            SetupError::new("amend.yaml cannot be read", Some(Box::new(error)), Some("check the rights on it"))
        })?;
        Ok(Self { file: there.then_some(file), current: RwLock::default(), making: Mutex::default() })
    }

    /// Its configuration, to begin with.
    ///
    /// # Errors
    /// When it cannot be read, and every mistake in it.
    pub fn config(&self) -> Result<Config, SetupError> {
        files::config(self.file.as_deref(), &ToLog)
    }

    /// What it is where it is an executor.
    #[must_use]
    pub fn executor(&self) -> HostedExecutor {
        HostedExecutor::new(self.file.clone())
    }

    /// Says what is odd about how it is set up.
    pub fn warn(&self, config: &Config) {
        if self.file.is_none() && config.rules.is_empty() && config.executor.is_none() {
            ToLog.warn("there is no amend.yaml here, and AMEND__RULES names no rules: the starter rules decide");
        }
        if config.callers.names().next().is_some() && !config.functions.does.contains(&Does::Requests) {
            ToLog.warn("`callers` call nobody: add `requests` to `functions.does`, or leave that out");
        }
    }

    /// The service, as it is configured now, or was not long ago, to do something.
    ///
    /// # Errors
    /// Whatever keeps it from starting, or from doing that.
    pub async fn service(&self, does: Does) -> Result<Arc<Service>, SetupError> {
        let current = self.current.read().await.clone();
        let Some(mut current) = current else { return self.first().await };
        let (age, most) = current.age();
        if age > most && Instant::now() >= current.again {
            // One makes it anew; the others go on with what there is.
            if let Ok(_making) = self.making.try_lock() {
                current = self.anew(current).await?;
            } else if age > most.saturating_add(GRACE) {
                return Err(SetupError::new("what was configured before is too old to go on with", None, None));
            }
        }
        if current.held.contains(&does) {
            let message = "what is configured now cannot be used, and what was before may do more than that";
            return Err(SetupError::new(message, None, Some("the log says what to mend")));
        }
        Ok(current.service)
    }

    /// Starts it.
    async fn first(&self) -> Result<Arc<Service>, SetupError> {
        let mut failed = self.making.lock().await;
        // Somebody else may have started it meanwhile.
        if let Some(current) = &*self.current.read().await {
            return Ok(Arc::clone(&current.service));
        }
        if let Some((_, why)) = failed.as_ref().filter(|(at, _)| at.elapsed() < START_AGAIN) {
            return Err(SetupError::new(why.clone(), None, None));
        }
        let read =
            files::config(self.file.as_deref(), &ToLog).and_then(|config| Ok((files::Read::of(&config)?, config)));
        let made = match read {
            Ok((read, config)) => self.make(config, read, None).await,
            Err(error) => Err(error),
        };
        match made {
            Ok(current) => {
                let service = Arc::clone(&current.service);
                info!(rules = service.pipeline().rules().rules().len(), "the service is there");
                *self.current.write().await = Some(current);
                Ok(service)
            }
            Err(error) => {
                *failed = Some((Instant::now(), error.to_string()));
                Err(error)
            }
        }
    }

    /// Makes it anew.
    async fn anew(&self, before: Current) -> Result<Current, SetupError> {
        let (age, most) = before.age();
        let again = Instant::now().checked_add(AGAIN).unwrap_or(before.again);
        let config = files::config(self.file.as_deref(), &ToLog);
        let held = held_back(before.service.config(), config.as_ref().ok());
        let read = config.and_then(|config| Ok((files::Read::of(&config)?, config)));
        let made = match read {
            // A mended file counts at once.
            Err(failed) => Err((failed, before.again)),
            Ok((read, config)) => {
                // Whoever is cut off while making it has tried, too.
                *self.current.write().await = Some(Current { again, held: held.clone(), ..before.clone() });
                let made = self.make(config, read, Some(&before)).await;
                made.map_err(|failed| if failed.mistakes.is_some() { (failed, before.again) } else { (failed, again) })
            }
        };
        let current = match made {
            Ok(current) => current,
            Err((failed, again)) if age <= most.saturating_add(GRACE) => {
                error!("what is configured now cannot be used, and what was before is for {GRACE:?}: {failed}");
                Current { again, held, ..before }
            }
            Err((failed, _)) => return Err(failed),
        };
        *self.current.write().await = Some(current.clone());
        Ok(current)
    }

    async fn make(&self, config: Config, read: files::Read, before: Option<&Current>) -> Result<Current, SetupError> {
        let now = Instant::now();
        if let Some(same) = before.filter(|before| *before.service.config() == config && *before.files == read) {
            // What it has learned since, such as who asks to be left alone, is kept.
            return Ok(Current { read: now, again: now, held: Vec::new(), ..same.clone() });
        }
        let store = match before.map(|before| &before.service).filter(|before| before.config().store == config.store) {
            Some(before) => parts::dressed((**before.store()).clone(), &config),
            None => open(&config).await?,
        };
        let service = Service::of(config, &read, Arc::new(store), &ToLog).await?;
        Ok(Current { service: Arc::new(service), files: Arc::new(read), read: now, again: now, held: Vec::new() })
    }
}

/// What is not done while what is configured now cannot be used: whatever it might have taken back. Events are recorded
/// in any case.
///
/// INVARIANT: a mistake, wherever it is, does not make a stop wait, nor a token hold that was taken out.
fn held_back(before: &Config, now: Option<&Config>) -> Vec<Does> {
    let Some(now) = now else { return vec![Does::Requests, Does::Work] };
    let less = now.stopped && !before.stopped || now.remediate.most < before.remediate.most;
    let work = less.then_some(Does::Work);
    let requests = (now.callers != before.callers).then_some(Does::Requests);
    work.into_iter().chain(requests).collect()
}

impl Current {
    /// How old what it has read is, and how old it may be.
    fn age(&self) -> (Duration, Duration) {
        (self.read.elapsed(), self.service.config().functions.refresh.unsigned_abs())
    }
}

/// Opens the store. All copies of the app together must find room there.
async fn open(config: &Config) -> Result<Database, SetupError> {
    let Place::Server(server) = &config.store else {
        let hint =
            "name a PostgreSQL server as AMEND__STORE__URL: what stands in a file of a function app is gone with it";
        return Err(SetupError::new("a function app keeps nothing in a file", None, Some(hint)));
    };
    let store = parts::store(config).await?;
    if !server.is_pooled() {
        let wanted = u64::from(server.connections()).saturating_mul(u64::from(config.functions.instances));
        let room = store.room().await?;
        if wanted > room {
            let message = format!(
                "{} copies with {} connections each are {wanted}, and the server has room for {room}",
                config.functions.instances,
                server.connections()
            );
            let hint = "lower `functions.instances` (and what the platform starts at most) or `store.connections`, or put a pooler before the server and set `store.pooler`";
            return Err(SetupError::new(message, None, Some(hint)));
        }
    }
    Ok(store)
}

//! A service inside a function app: started when it is first needed, and made anew when what it has read is too
//! old, so that rules, facts, owners and secrets change without a deployment.

use std::{path::PathBuf, sync::Arc, time::Duration};

use amend_pipeline::Config;
use amend_store::{Database, Place};
use tokio::{
    sync::{Mutex, RwLock},
    time::Instant,
};
use tracing::{error, info};

use crate::{Service, SetupError, Tell as _, ToLog, files, parts};

/// How much longer than it should a service is used that cannot be made anew: a mistake in a file must not stop
/// everything at once, and what was taken back must not hold for ever.
const GRACE: Duration = Duration::from_secs(3_600);
/// When it is tried again to make it anew.
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
    /// Whether it may do more than is configured now: then it does nothing.
    held: bool,
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

    /// Says what is odd about how it is set up.
    pub fn warn(&self, config: &Config) {
        if self.file.is_none() && config.rules.is_empty() {
            ToLog.warn("there is no amend.yaml here, and AMEND__RULES names no rules: the starter rules decide");
        }
    }

    /// The service, as it is configured now, or was not long ago.
    ///
    /// # Errors
    /// Whatever keeps it from starting.
    pub async fn service(&self) -> Result<Arc<Service>, SetupError> {
        let current = self.current.read().await.clone();
        let Some(current) = current else { return self.first().await };
        let (age, most) = current.age();
        if !current.held && (age <= most || Instant::now() < current.again) {
            return Ok(current.service);
        }
        // One makes it anew; the others go on with what there is.
        match self.making.try_lock() {
            Ok(_making) => self.anew(current).await,
            Err(_) if !current.held && age <= most.saturating_add(GRACE) => Ok(current.service),
            Err(_) => Err(SetupError::new(
                "what is configured now cannot be used, and what was before is too old",
                None,
                None,
            )),
        }
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
        match self.make(None).await {
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
    async fn anew(&self, before: Current) -> Result<Arc<Service>, SetupError> {
        let (age, most) = before.age();
        let again = Instant::now().checked_add(AGAIN).unwrap_or(before.again);
        // Whoever is cut off while making it has tried, too.
        *self.current.write().await = Some(Current { again, ..before.clone() });
        match self.make(Some(&before)).await {
            Ok(current) => {
                let service = Arc::clone(&current.service);
                *self.current.write().await = Some(current);
                Ok(service)
            }
            Err(failed) if self.is_held_back(&before) => {
                *self.current.write().await = Some(Current { held: true, ..before });
                Err(failed)
            }
            Err(failed) if age <= most.saturating_add(GRACE) => {
                error!("what is configured now cannot be used, and what was before is for {GRACE:?}: {failed}");
                *self.current.write().await = Some(Current { again, held: false, ..before.clone() });
                Ok(before.service)
            }
            Err(failed) => Err(failed),
        }
    }

    /// Whether less may be done now than before.
    ///
    /// INVARIANT: a mistake in another file does not make a stop wait.
    fn is_held_back(&self, before: &Current) -> bool {
        let before = before.service.config();
        let Ok(now) = files::config(self.file.as_deref(), &ToLog) else { return false };
        now.stopped && !before.stopped || now.remediate.most < before.remediate.most
    }

    async fn make(&self, before: Option<&Current>) -> Result<Current, SetupError> {
        let now = Instant::now();
        let config = files::config(self.file.as_deref(), &ToLog)?;
        let read = files::Read::of(&config)?;
        if let Some(same) = before.filter(|before| *before.service.config() == config && *before.files == read) {
            // What it has learned since, such as who asks to be left alone, is kept.
            return Ok(Current { read: now, again: now, held: false, ..same.clone() });
        }
        let store = match before.map(|before| &before.service).filter(|before| before.config().store == config.store) {
            Some(before) => parts::dressed((**before.store()).clone(), &config),
            None => open(&config).await?,
        };
        let service = Service::of(config, &read, Arc::new(store), &ToLog).await?;
        Ok(Current { service: Arc::new(service), files: Arc::new(read), read: now, again: now, held: false })
    }
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

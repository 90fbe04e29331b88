//! A service inside a function app: started when it is first needed, and made anew when what it has read is too
//! old, so that rules, facts, owners and secrets change without a deployment.

use std::{path::PathBuf, sync::Arc, time::Duration};

use amend_pipeline::Config;
use amend_store::{Database, Place};
use tokio::{sync::Mutex, time::Instant};
use tracing::{error, info};

use crate::{Service, SetupError, ToLog, files, parts};

/// How much longer than it should a service is used that cannot be made anew: a mistake in a file must not stop
/// everything at once, and a token that was taken back must not hold for ever.
const GRACE: Duration = Duration::from_secs(3_600);

/// The service of a function app.
pub struct Hosted {
    file: Option<PathBuf>,
    current: Mutex<Option<Current>>,
}

struct Current {
    service: Arc<Service>,
    read: Instant,
    /// When it is tried again, after it failed.
    again: Instant,
}

impl Hosted {
    /// The service that `amend.yaml` in this folder configures, and the environment.
    #[must_use]
    pub fn new() -> Self {
        let file = PathBuf::from("amend.yaml");
        Self { file: file.exists().then_some(file), current: Mutex::new(None) }
    }

    /// Its configuration, to begin with.
    ///
    /// # Errors
    /// When it cannot be read, and every mistake in it.
    pub fn config(&self) -> Result<Config, SetupError> {
        files::config(self.file.as_deref(), &ToLog)
    }

    /// The service, as it is configured now, or was not long ago.
    ///
    /// # Errors
    /// Whatever keeps it from starting.
    pub async fn service(&self) -> Result<Arc<Service>, SetupError> {
        let mut current = self.current.lock().await;
        let now = Instant::now();
        let Some(known) = &mut *current else {
            let service = Arc::new(self.start(None).await?);
            info!(rules = service.pipeline().rules().rules().len(), "the service is there");
            *current = Some(Current { service: Arc::clone(&service), read: now, again: now });
            return Ok(service);
        };
        let age = now.saturating_duration_since(known.read);
        let most = known.service.config().functions.refresh.unsigned_abs();
        if age <= most || now < known.again {
            return Ok(Arc::clone(&known.service));
        }
        match self.start(Some(&known.service)).await {
            Ok(service) => {
                let service = Arc::new(service);
                *known = Current { service: Arc::clone(&service), read: now, again: now };
                Ok(service)
            }
            Err(failed) if age <= most.saturating_add(GRACE) => {
                error!("what is configured now cannot be used, and what was before is for {GRACE:?}: {failed}");
                known.again = now.checked_add(Duration::from_secs(60)).unwrap_or(now);
                Ok(Arc::clone(&known.service))
            }
            Err(failed) => Err(failed),
        }
    }

    async fn start(&self, before: Option<&Service>) -> Result<Service, SetupError> {
        let config = files::config(self.file.as_deref(), &ToLog)?;
        let store = match before.filter(|before| same_store(before.config(), &config)) {
            Some(before) => Arc::clone(before.store()),
            None => open(&config).await?,
        };
        Service::with_store(config, store, &ToLog).await
    }
}

impl Default for Hosted {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether connections of the one serve the other.
fn same_store(one: &Config, other: &Config) -> bool {
    (&one.store, &one.store_keys, one.stopped, &one.systems)
        == (&other.store, &other.store_keys, other.stopped, &other.systems)
}

/// Opens the store. All copies of the app together must find room there.
async fn open(config: &Config) -> Result<Arc<Database>, SetupError> {
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
    Ok(Arc::new(store))
}

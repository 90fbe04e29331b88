//! An executor inside a function app: made when it is first needed, and anew when what it has read is too old. It has
//! no store. Its policy is read for every task.

use std::{path::PathBuf, sync::Arc};

use amend_catalog::policy_file;
use amend_domain::{policy::Policy, ports::Clock};
use amend_pipeline::{
    Config,
    config::executors::ExecutorIs,
    executor::{Executor, Parts, Seen},
    system::SystemClock,
};
use amend_web::tasks::Door;
use axum::Router;
use tokio::{sync::Mutex, time::Instant};

use crate::{Deadline, SetupError, ToLog, files, parts};

/// The executor of a function app.
pub struct HostedExecutor {
    file: Option<PathBuf>,
    current: Mutex<Option<Current>>,
    seen: Arc<Seen>,
}

struct Current {
    door: Arc<Door>,
    made: Instant,
    config: Config,
}

impl HostedExecutor {
    /// The executor that this file configures, and the environment.
    #[must_use]
    pub fn new(file: Option<PathBuf>) -> Self {
        Self { file, current: Mutex::default(), seen: Arc::default() }
    }

    /// Its routes, until the platform's time is over.
    ///
    /// # Errors
    /// When what is configured cannot be used. INVARIANT: nothing is done by what was configured before.
    pub async fn router(&self, deadline: Deadline) -> Result<Router, SetupError> {
        let door = self.door().await?;
        Ok(amend_web::tasks::router(door, deadline.at()))
    }

    async fn door(&self) -> Result<Arc<Door>, SetupError> {
        let mut current = self.current.lock().await;
        if let Some(made) = &*current
            && made.made.elapsed() < made.config.functions.refresh.unsigned_abs()
        {
            return Ok(Arc::clone(&made.door));
        }
        let config = files::config(self.file.as_deref(), &ToLog)?;
        let Some(is) = config.executor.clone() else {
            return Err(SetupError::new("this was an executor, and is none any more", None, Some("start it again")));
        };
        let made = Instant::now();
        // Where nothing changed, credentials that were got are kept.
        if let Some(same) = current.as_mut().filter(|same| same.config == config && config.fix_folder.is_none()) {
            same.made = made;
            return Ok(Arc::clone(&same.door));
        }
        let door = Arc::new(door(&config, is, Arc::clone(&self.seen))?);
        *current = Some(Current { door: Arc::clone(&door), made, config });
        Ok(door)
    }
}

/// What answers the tasks of an executor.
///
/// # Errors
/// When its fixes or its policy cannot be used.
pub fn door(config: &Config, is: ExecutorIs, seen: Arc<Seen>) -> Result<Door, SetupError> {
    let catalogue = files::catalogue(config, &ToLog)?;
    // What is wrong with it is said at once, and not with the first task.
    policy(&is.policy, &catalogue)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let path = is.policy;
    let known = Arc::clone(&catalogue);
    let executor = Executor::new(Parts {
        name: is.name,
        catalogue,
        cloud: parts::clouds(config, &ToLog),
        policy: Box::new(move || policy(&path, &known).map_err(|error| error.to_string())),
        keys: is.keys,
        clock: Arc::clone(&clock),
        seen,
    });
    Ok(Door { executor, hubs: is.hubs, clock })
}

/// A policy as it is on disk now.
fn policy(path: &std::path::Path, catalogue: &amend_catalog::Catalogue) -> Result<Policy, SetupError> {
    let text = files::read_text(path).map_err(|mut error| {
        error.hint = error.hint.or(Some("`executor.policy` names it: what may be done in the accounts".into()));
        error
    })?;
    policy_file::load(&text, catalogue).map_err(|mistakes| SetupError::mistakes("the policy cannot be used", mistakes))
}

//! Until when a platform waits for an answer.

use std::time::Duration;

use amend_domain::ports::Clock;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::stop;

/// What is kept back of the time that a platform gives: for the answer, and for what the store has to undo.
const RESERVE: Duration = Duration::from_secs(1);
/// Nothing is taken up with less than this left: a call and its record must fit.
const LEAST: Duration = Duration::from_secs(10);

/// Until when a platform waits for an answer. On none at all, nothing waits.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    ends: Option<(Instant, Timestamp)>,
}

/// The time that the platform gives is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the time that the platform gives was over before it was done")]
pub struct OutOfTime;

impl Deadline {
    /// There is all the time in the world.
    #[must_use]
    pub fn none() -> Self {
        Self { ends: None }
    }

    /// The platform waits for this long from now.
    #[must_use]
    pub fn after(time: Duration, clock: &dyn Clock) -> Self {
        let time = time.saturating_sub(RESERVE);
        let at = SignedDuration::try_from(time).ok().and_then(|time| clock.now().checked_add(time).ok());
        let instant = Instant::now().checked_add(time);
        Self { ends: instant.zip(at) }
    }

    /// When it ends, by the clock on the wall.
    #[must_use]
    pub fn at(self) -> Option<Timestamp> {
        self.ends.map(|(_, at)| at)
    }

    /// How long that is.
    #[must_use]
    pub fn left(self) -> Option<Duration> {
        self.ends.map(|(instant, _)| instant.saturating_duration_since(Instant::now()))
    }

    /// Whether there is the time to take something up: none, where this process was asked to end.
    #[must_use]
    pub fn has_time(self) -> bool {
        !stop::was_asked()
            && self.ends.is_none_or(|(instant, _)| instant.saturating_duration_since(Instant::now()) >= LEAST)
    }

    /// Does something until the time is over. What is not done by then is dropped where it stands, as by a crash:
    /// what was begun goes on later.
    ///
    /// # Errors
    /// When the time is over.
    pub async fn within<T>(self, work: impl Future<Output = T>) -> Result<T, OutOfTime> {
        match self.ends {
            None => Ok(work.await),
            Some((instant, _)) => tokio::time::timeout_at(instant, work).await.map_err(|_| OutOfTime),
        }
    }
}

//! The real clock and the real names.

use amend_domain::ports::{Clock, Ids};
use jiff::Timestamp;
use std::{
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use ulid::Generator;

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// ULIDs, lower-cased: they fit role session names, URLs and labels. Those of one millisecond keep
/// their order.
#[derive(Debug, Default)]
pub struct UlidIds(Mutex<Generator>);

impl Ids for UlidIds {
    fn next(&self, now: Timestamp) -> String {
        let mut generator = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = SystemTime::from(now);
        let id = generator.generate_from_datetime(at).unwrap_or_else(|overflow| overflow.commit_overflow_increment());
        id.to_string().to_lowercase()
    }
}

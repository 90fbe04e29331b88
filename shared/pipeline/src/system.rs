//! The real clock and the real names.

use amend_domain::ports::{Clock, Ids};
use jiff::Timestamp;
use ulid::Ulid;

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// ULIDs, lower-cased: they fit role session names, URLs and labels.
#[derive(Clone, Copy, Debug, Default)]
pub struct UlidIds;

impl Ids for UlidIds {
    fn next(&self, now: Timestamp) -> String {
        let millis = u64::try_from(now.as_millisecond()).unwrap_or(0);
        Ulid::from_parts(millis, Ulid::generate().random()).to_string().to_lowercase()
    }
}

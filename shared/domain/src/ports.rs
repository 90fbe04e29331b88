//! What the core asks of the world: the time, and names for new things.

use jiff::Timestamp;

/// Tells the time. Only the outermost layer knows a real one.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// Makes names for new things.
pub trait Ids: Send + Sync {
    /// 26 lower-case characters that sort by the time they were made (ULID).
    fn next(&self, now: Timestamp) -> String;
}

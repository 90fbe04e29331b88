//! A panic takes nobody else's events with it.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;

/// Waits for something that may panic. What it shares with others must be whole between its awaits: here it is the
/// store, whose transactions end with it.
///
/// # Errors
/// What it said when it panicked.
pub(crate) async fn caught<T>(work: impl Future<Output = T>) -> Result<T, String> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        format!("the program failed on it: {}", text.as_deref().unwrap_or("it did not say why"))
    })
}

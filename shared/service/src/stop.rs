//! When a process is asked to end.

use std::sync::atomic::{AtomicBool, Ordering};

static ASKED: AtomicBool = AtomicBool::new(false);

/// Whether this process was asked to end. Nothing new is taken up then.
#[must_use]
pub fn was_asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}

/// Waits until whoever started this process asks it to end: Ctrl-C, or SIGTERM.
pub async fn asked() {
    signalled().await;
    ASKED.store(true, Ordering::Relaxed);
}

async fn signalled() {
    let interrupt = async {
        // Without a signal handler only a kill ends the process, as it would without this line.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                () = interrupt => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    interrupt.await;
}

//! When a process is asked to end.

/// Waits until whoever started this process asks it to end: Ctrl-C, or SIGTERM.
pub async fn asked() {
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

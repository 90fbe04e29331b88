//! `amend serve`: receives events over HTTP, until Ctrl-C.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use amend_pipeline::{
    Config, Pipeline, PipelineError, accept::Retried, config::executors::ExecutorIs, fixer::Fixer, notices::Herald,
    sync::Syncer, tickets::Desk,
};
use amend_service::{Service, stop};
use amend_web::App;
use tokio::{net::TcpListener, sync::watch, task::JoinSet, time::MissedTickBehavior};
use tracing::{info, warn};

use crate::{
    args::Serve,
    failure::{Exit, Failure},
    output::Output,
    setup,
};

/// Runs the command.
pub async fn run(serve: &Serve, mut config: Config, output: Output) -> Result<Exit, Failure> {
    if let Some(port) = serve.port {
        config.listen = format!("127.0.0.1:{port}");
    }
    let listener = listen(&config.listen).await?;
    if let Some(is) = config.executor.clone() {
        return execute(listener, &config, is, output).await;
    }
    let service = Arc::new(Service::start(config, &output).await?);
    let pipeline = Arc::clone(service.pipeline());
    output.note(&format!("amend listens on http://{}", address(&listener)?));
    let retries = tokio::spawn(retry_now_and_then(Arc::clone(&pipeline)));
    let (end, ended) = watch::channel(false);
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        workers.spawn(fix(service.fixer().another(), ended.clone()));
    }
    workers.spawn(file(service.desk().clone(), ended.clone()));
    // While one waits for a service that does not answer, the other tells the rest.
    for _ in 0..HERALDS {
        workers.spawn(send(service.herald().clone(), ended.clone()));
    }
    if !service.config().systems.in_use().is_empty() {
        for _ in 0..SYNCERS {
            workers.spawn(sync(service.syncer().clone(), ended.clone()));
        }
    }
    let noting = tokio::spawn(note_each_minute(Arc::clone(&service)));
    let served = serve_until_stopped(listener, pipeline, service.config()).await;
    retries.abort();
    noting.abort();
    // What is being done is done; nothing new is taken up.
    let _ = end.send(true);
    while workers.join_next().await.is_some() {}
    served.map(|()| Exit::Ok)
}

/// Takes the tasks of a hub, and does nothing else.
async fn execute(listener: TcpListener, config: &Config, is: ExecutorIs, output: Output) -> Result<Exit, Failure> {
    let name = is.name.clone();
    let door = amend_service::executor::door(config, is, Arc::default())?;
    output.note(&format!("the executor {name} listens on http://{}", address(&listener)?));
    let app = amend_web::tasks::router(Arc::new(door), None);
    let served = axum::serve(listener, app).with_graceful_shutdown(stop::asked()).await;
    served.map(|()| Exit::Ok).map_err(|error| Failure::new("the executor stopped", Some(Box::new(error)), None))
}

/// How many pieces of work are done at once.
const WORKERS: usize = 4;
/// How many problems are looked at where they come from at once.
const SYNCERS: usize = 2;
/// How many notices are sent at once.
const HERALDS: usize = 2;
/// How often it is looked for work. The stop switch works as fast.
const LOOK: Duration = Duration::from_secs(1);

/// Does one piece of work after the other, and looks for more now and then, until the service ends.
async fn keep_at<W, F>(what: &'static str, look: Duration, mut ended: watch::Receiver<bool>, work: impl Fn() -> F)
where
    F: Future<Output = Result<Option<W>, PipelineError>>,
{
    while !*ended.borrow() {
        let wait = match work().await {
            Ok(Some(_)) => continue,
            Ok(None) => look,
            Err(error) => {
                warn!(error = setup::whole(&error), "{what} cannot be done");
                LOOK.saturating_mul(10)
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = ended.changed() => {}
        }
    }
}

/// Fixes what is due, until the service ends.
async fn fix(fixer: Fixer, ended: watch::Receiver<bool>) {
    keep_at("work", LOOK, ended, || fixer.work(None)).await;
}

/// Files what needs a ticket and tells trackers, until the service ends.
pub(super) async fn file(desk: Desk, ended: watch::Receiver<bool>) {
    keep_at("work about tickets", LOOK, ended, || desk.work()).await;
}

/// Tells systems what became of the problems that come from them, until the service ends.
async fn sync(syncer: Syncer, ended: watch::Receiver<bool>) {
    keep_at("work with the systems that problems come from", LOOK, ended, || syncer.work()).await;
}

/// Sends notices that are due, until the service ends.
async fn send(herald: Herald, ended: watch::Receiver<bool>) {
    keep_at("work about notices", LOOK.saturating_mul(10), ended, || herald.work()).await;
}

/// Writes the end of the audit trail to its second place, and says which exemptions are about to end.
async fn note_each_minute(service: Arc<Service>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(60));
    loop {
        ticks.tick().await;
        if let Err(error) = service.note_head().await {
            warn!(error = setup::whole(&error), "the end of the audit trail was not noted");
        }
        match service.fixer().remind_of_exemptions().await {
            Ok(ending) => ending.iter().for_each(|one| warn!(exemption = &*one.id, "{}", super::work::ends_soon(one))),
            Err(error) => warn!(error = setup::whole(&error), "exemptions that are about to end cannot be read"),
        }
    }
}

/// How often what lacks facts is decided again.
const RETRY: Duration = Duration::from_secs(300);

/// Decides again what lacked facts: they may have come, now and later.
async fn retry_now_and_then(pipeline: Arc<Pipeline>) {
    let mut ticks = tokio::time::interval(RETRY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match pipeline.retry_undetermined().await {
            Ok(Retried { settled: 0, .. }) => {}
            Ok(Retried { settled, waiting }) => info!(settled, waiting, "decided with facts that came since"),
            Err(error) => warn!(error = setup::whole(&error), "what lacks facts cannot be decided again"),
        }
    }
}

/// Takes the address, which must be this machine's.
pub async fn listen(address: &str) -> Result<TcpListener, Failure> {
    let parsed: SocketAddr = address.parse().map_err(|error| {
        Failure::new(
            format!("`{address}` is no address with a port"),
            Some(Box::new(error)),
            Some("write it as 127.0.0.1:8080"),
        )
    })?;
    if !parsed.ip().is_loopback() {
        let hint = "there is no authentication yet, so amend listens on 127.0.0.1 or [::1] only";
        return Err(Failure::new(format!("`{address}` is not a loopback address"), None, Some(hint)));
    }
    TcpListener::bind(parsed).await.map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                Some("another program has this port; choose one with `--port`, or `make run PORT=8081`")
            }
            std::io::ErrorKind::PermissionDenied => {
                Some("ports below 1024 need rights; choose a higher one with `--port`")
            }
            _ => None,
        };
        Failure::new(format!("cannot listen on {address}"), Some(Box::new(error)), hint)
    })
}

/// The address that was taken.
pub fn address(listener: &TcpListener) -> Result<SocketAddr, Failure> {
    listener.local_addr().map_err(|error| Failure::new("cannot tell the address", Some(Box::new(error)), None))
}

/// Answers until Ctrl-C or SIGTERM, and finishes what was begun.
pub async fn serve_until_stopped(
    listener: TcpListener,
    pipeline: Arc<Pipeline>,
    config: &Config,
) -> Result<(), Failure> {
    let router = amend_web::router(App::new(pipeline, config));
    axum::serve(listener, router)
        .with_graceful_shutdown(stop::asked())
        .await
        .map_err(|error| Failure::new("the service stopped", Some(Box::new(error)), None))
}

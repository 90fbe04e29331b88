//! `amend demo`: posts the bundled notifications over HTTP, as the platforms would, and shows what
//! was decided.

use std::{path::Path, sync::Arc};

use amend_catalog::{SourceText, facts_file, mistakes::Collector, yaml};
use amend_domain::{notice::Whom, ports::Clock as _};
use amend_http::Client;
use amend_pipeline::system::SystemClock;
use amend_pipeline::{Config, accept::Counts, config, rows::ProblemRow};
use include_dir::{Dir, include_dir};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;

use crate::{
    args::{Demo, Format},
    commands::{digest, notices, serve, tickets},
    failure::{Exit, Failure},
    output::{Output, Tone, counted},
    setup,
};

static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/demo");

struct Notification {
    file: String,
    to: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// Runs the command.
pub async fn run(demo: &Demo, output: Output) -> Result<Exit, Failure> {
    if !demo.serve {
        let url = format!("http://127.0.0.1:{}", demo.port);
        post_and_show(&url, output).await?.show(output);
        return Ok(Exit::Ok);
    }
    let config = demo_config(demo)?;
    setup::start_log(&config);
    let listener = serve::listen(&config.listen).await?;
    let url = format!("http://{}", serve::address(&listener)?);
    let facts = facts_file::load(&bundled("facts.yaml")?, SystemClock.now())
        .map_err(|mistakes| Failure::mistakes("the demo's facts cannot be used", mistakes))?;
    let decider = setup::decider_of(&config, vec![bundled("rules.yaml")?], facts, output)?;
    let pipeline = Arc::new(setup::pipeline_of(&config, decider).await?);
    let desk = setup::desk(&config, output).await?;
    let serving = serve::serve_until_stopped(listener, pipeline, &config);
    tokio::pin!(serving);
    let shown = async {
        let rest = post_and_show(&url, output).await?;
        while desk.work().await?.is_some() {}
        show_tickets(demo, &config, output).await?;
        rest.show(output);
        Ok::<(), Failure>(())
    };
    tokio::select! {
        ended = &mut serving => { ended?; return Ok(Exit::Ok); }
        shown = shown => shown?,
    }
    if demo.once {
        return Ok(Exit::Ok);
    }
    output.note(&format!("\namend goes on listening on {url}; Ctrl-C ends it"));
    let (end, ended) = tokio::sync::watch::channel(false);
    let filing = tokio::spawn(serve::file(desk, ended));
    let served = serving.await;
    let _ = end.send(true);
    let _ = filing.await;
    served.map(|()| Exit::Ok)
}

/// The tickets that are open now.
async fn show_tickets(demo: &Demo, config: &Config, output: Output) -> Result<(), Failure> {
    let tickets = tickets::rows(false, &setup::existing_store(config).await?).await?;
    if output.format() != Format::Json && !tickets.is_empty() {
        output.heading(&format!("\n{}", counted(tickets.len(), "open ticket")));
        tickets::table(&tickets, output);
        let folder = demo.store.with_file_name("digest");
        let all = setup::herald(config).await?.digests().await?;
        let pages = digest::write(&all, &folder)?;
        output.say(&format!(
            "\nWhat each of {} gets by mail stands in {}/",
            counted(pages.len(), "owner"),
            folder.display()
        ));
        let folder = demo.store.with_file_name("notices");
        let news = setup::herald(config).await?.untold().await?;
        let channels: Vec<_> = news.into_iter().filter(|next| matches!(next.whom, Whom::Channel(_))).collect();
        for page in notices::write(&channels, &folder)? {
            output.say(&format!("What Slack and Teams get of it stands in {}", page.display()));
        }
    }
    Ok(())
}

fn demo_config(demo: &Demo) -> Result<Config, Failure> {
    let (mut config, _) =
        config::load(Some(&bundled("amend.yaml")?), Path::new(""), &config::environment(), setup::now())
            .map_err(|mistakes| Failure::mistakes("the demo's configuration cannot be used", mistakes))?;
    config.listen = format!("127.0.0.1:{}", demo.port);
    config.store = demo.store.clone().into();
    Ok(config)
}

fn bundled(name: &str) -> Result<SourceText, Failure> {
    let text = FILES.get_file(name).and_then(|file| file.contents_utf8());
    text.map(|text| SourceText::new(format!("(demo) {name}"), text))
        .ok_or_else(|| Failure::new(format!("the demo lacks {name}"), None, None))
}

/// The notifications, in the order of the manifest.
fn notifications() -> Result<Vec<Notification>, Failure> {
    let source = bundled("manifest.yaml")?;
    let mut mistakes = Collector::new(&source);
    let root = yaml::parse(&source, &mut mistakes);
    let damaged = || Failure::new("the demo's manifest is damaged", None, None);
    let root = root.ok_or_else(damaged)?;
    let mut list = Vec::new();
    for node in root.get("notifications").map(yaml::Node::elements).unwrap_or_default() {
        let text = |member: &str| node.get(member).map(|node| mistakes.text(node));
        let headers = node.get("headers").map(yaml::Node::entries).unwrap_or_default();
        let file = text("file").ok_or_else(damaged)?;
        list.push(Notification {
            to: text("to").ok_or_else(damaged)?,
            headers: headers.iter().map(|(name, value)| (mistakes.text(name), mistakes.text(value))).collect(),
            body: bundled(&file)?.text.into_bytes(),
            file,
        });
    }
    Ok(list)
}

/// Posts the notifications, and shows the problems. What is to be said last is returned.
async fn post_and_show(url: &str, output: Output) -> Result<Summary, Failure> {
    #[derive(Deserialize)]
    struct List {
        problems: Vec<ProblemRow>,
    }
    let client = Client::loopback()?;
    let notifications = notifications()?;
    let bar = progress(output, notifications.len());
    let mut counts = Counts::default();
    for notification in &notifications {
        let mut headers = notification.headers.clone();
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            headers.push(("content-type".into(), "application/json".into()));
        }
        let answer = client.post(&format!("{url}{}", notification.to), &headers, notification.body.clone()).await?;
        if answer.status != 200 {
            let message = format!("{} was answered {}", notification.file, answer.status);
            return Err(Failure::new(message, Some(answer.body.into()), Some("is it amend that listens there?")));
        }
        let receipt: Counts = serde_json::from_str(&answer.body).map_err(|error| {
            Failure::new("the answer is not amend's", Some(Box::new(error)), Some("is it amend that listens there?"))
        })?;
        counts = counts.plus(receipt);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let answer = client.get(&format!("{url}/api/v1/problems?state=all")).await?;
    let list: List = serde_json::from_str(&answer.body)
        .map_err(|error| Failure::new("the answer is not amend's", Some(Box::new(error)), None))?;
    if output.format() == Format::Json {
        output
            .json(&serde_json::json!({ "posted": notifications.len(), "counts": counts, "problems": list.problems }))?;
        return Ok(Summary { posted: notifications.len(), counts });
    }
    let now = SystemClock.now();
    let (open, closed): (Vec<ProblemRow>, Vec<ProblemRow>) =
        list.problems.into_iter().partition(|problem| problem.state == "open");
    output.heading(&format!("{}, most risky first", counted(open.len(), "open problem")));
    output.problems(&open, now)?;
    if !closed.is_empty() {
        output.heading(&format!("\n{} closed", closed.len()));
        output.problems(&closed, now)?;
    }
    Ok(Summary { posted: notifications.len(), counts })
}

/// What became of what was posted.
struct Summary {
    posted: usize,
    counts: Counts,
}

impl Summary {
    fn show(&self, output: Output) {
        let Self { posted, counts } = self;
        let Counts { new, updated, duplicate, stale, set_aside, unreadable, missed } = *counts;
        if output.format() == Format::Json {
            return;
        }
        output.say(&format!(
        "\n{posted} notifications posted. Findings: {new} new, {updated} changed, {duplicate} known already, {stale} out of date. \
         Records: {set_aside} set aside, {unreadable} unreadable and kept."
    ));
        if new == 0 && updated == 0 {
            output.say(&output.toned(Tone::Good, "Nothing changed: delivering the same again has no effect."));
        }
        if missed > 0 {
            output.say(&format!("Only a snapshot told of {}; see `amend backlog`.", counted(missed, "finding")));
        }
        output.say("Try `amend explain ID`, `amend tickets show 1`, `amend backlog`, `amend unreadable list`.");
    }
}

fn progress(output: Output, length: usize) -> ProgressBar {
    let bar = match output.format() {
        Format::Human => ProgressBar::new(u64::try_from(length).unwrap_or(u64::MAX)),
        Format::Plain | Format::Json => ProgressBar::hidden(),
    };
    if let Ok(style) = ProgressStyle::with_template("posting {bar:30} {pos}/{len}") {
        bar.set_style(style);
    }
    bar
}

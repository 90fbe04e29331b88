//! `amend notices`: what people are told next, and how that looks.

use std::path::{Path, PathBuf};

use amend_connect::Chat;
use amend_domain::notice::Whom;
use amend_pipeline::{
    Config,
    notices::{Next, news},
};
use serde_json::json;

use crate::{
    args::Format,
    failure::{Exit, Failure},
    output::{Output, Tone, counted},
    setup,
};

/// Runs the command.
pub async fn run(out: Option<&Path>, config: &Config, output: Output) -> Result<Exit, Failure> {
    setup::existing_store(config).await?.close().await;
    let all = setup::herald(config).await?.untold().await?;
    if let Some(folder) = out {
        for path in write(&all, folder)? {
            output.say(&path.display().to_string());
        }
        return Ok(Exit::Ok);
    }
    if output.format() == Format::Json {
        let mut rows = Vec::new();
        for next in &all {
            let mut row = serde_json::to_value(next)
                .map_err(|error| Failure::new("a message cannot be written", Some(Box::new(error)), None))?;
            if let Some(row) = row.as_object_mut() {
                row.insert("by".into(), json!(way(&next.whom, config)));
            }
            rows.push(row);
        }
        output.json(&rows)?;
        return Ok(Exit::Ok);
    }
    if all.is_empty() {
        output.say("nobody is to be told anything now");
        return Ok(Exit::Ok);
    }
    let rows: Vec<_> = all
        .iter()
        .map(|Next { whom, message, due, parked, why }| {
            let by = way(whom, config).map_or(("not configured", Tone::Warn), |by| (by, Tone::Plain));
            let whom = whom.to_string();
            let whom = whom.strip_prefix("owner:").unwrap_or(&whom);
            let when = match parked {
                true => ("parked".to_owned(), Tone::Alarm),
                false => (due.strftime("%Y-%m-%d %H:%M").to_string(), Tone::Dim),
            };
            let what = why.as_ref().map_or_else(|| message.title.clone(), |why| format!("{}; {why}", message.title));
            vec![(whom.to_owned(), Tone::Plain), (by.0.to_owned(), by.1), when, (what, Tone::Plain)]
        })
        .collect();
    output.table(&[("to", 16, 48), ("by", 16, 16), ("when (UTC)", 18, 18), ("what", 24, 80)], &rows);
    output.note(&format!("{}; `--out FOLDER` writes each as it will look", counted(all.len(), "message")));
    Ok(Exit::Ok)
}

/// How somebody is told; nothing, where they cannot be.
fn way(whom: &Whom, config: &Config) -> Option<&'static str> {
    match whom {
        Whom::Channel(name) => {
            let channel = config.channels.iter().find(|one| *one.name == **name)?;
            Some(channel.chat.as_str())
        }
        Whom::Address(_) => config.mail.as_ref().map(|_| "mail"),
        Whom::Owner(name) => config.mail.as_ref().filter(|_| name.contains('@')).map(|_| "mail"),
    }
}

/// Writes messages as files: those of channels as Slack and Teams get them, and as they look there; those of people as
/// mails look. Returns the pages.
pub fn write(all: &[Next], folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let fail = |path: &Path, error: std::io::Error| {
        Failure::new(format!("cannot write {}", path.display()), Some(Box::new(error)), None)
    };
    let unwritten = |error: news::Unwritten| Failure::new("a message cannot be written", Some(Box::new(error)), None);
    std::fs::create_dir_all(folder).map_err(|error| fail(folder, error))?;
    let mut pages = Vec::new();
    for Next { whom, message, .. } in all {
        let name = super::digest::file_name(&whom.to_string());
        let page = match whom {
            Whom::Channel(_) => news::preview(&whom.to_string(), message),
            Whom::Address(_) | Whom::Owner(_) => news::html(message),
        };
        let path = folder.join(format!("{name}.html"));
        std::fs::write(&path, page.map_err(unwritten)?).map_err(|error| fail(&path, error))?;
        pages.push(path);
        if let Whom::Channel(_) = whom {
            for chat in [Chat::Slack, Chat::Teams] {
                let path = folder.join(format!("{name}.{}.json", chat.as_str()));
                let text = format!("{:#}\n", message.written(chat));
                std::fs::write(&path, text).map_err(|error| fail(&path, error))?;
            }
        }
    }
    Ok(pages)
}

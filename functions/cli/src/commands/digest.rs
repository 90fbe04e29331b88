//! `amend digest`: what each owner has to do, as the weekly mail tells them.

use std::path::{Path, PathBuf};

use amend_pipeline::{
    Config,
    notices::digest::{Digest, NOBODY},
};

use crate::{
    args::{DigestArguments, Format},
    failure::{Exit, Failure},
    output::{Output, Tone, counted},
    setup,
};

/// Runs the command.
pub async fn run(arguments: &DigestArguments, config: &Config, output: Output) -> Result<Exit, Failure> {
    // A store that is not there is not made: it would say that nobody has anything to do.
    setup::existing_store(config).await?.close().await;
    let herald = setup::herald(config).await?;
    let mut all = herald.digests().await?;
    if let Some(owner) = &arguments.owner {
        all.retain(|digest| digest.owner.eq_ignore_ascii_case(owner));
        if all.is_empty() {
            let nothing = match owner.eq_ignore_ascii_case(NOBODY) {
                true => "somebody owns each finding that is open".to_owned(),
                false => format!("{owner} owns nothing that is open"),
            };
            return Err(Failure::new(nothing, None, Some("`amend digest` lists the owners")));
        }
    }
    if arguments.send {
        for digest in &all {
            herald.send(digest, &digest.name(setup::now())).await?;
            output.say(&format!("sent to {}", herald.recipient(&digest.owner).unwrap_or_default()));
        }
        return Ok(Exit::Ok);
    }
    if let Some(folder) = &arguments.out {
        for path in write(&all, folder)? {
            output.say(&path.display().to_string());
        }
        return Ok(Exit::Ok);
    }
    if output.format() == Format::Json {
        output.json(&all)?;
        return Ok(Exit::Ok);
    }
    if all.is_empty() {
        output.say("nobody has anything to do");
        return Ok(Exit::Ok);
    }
    let number = |items: usize, tone: Tone| (items.to_string(), if items == 0 { Tone::Dim } else { tone });
    let rows: Vec<_> = all
        .iter()
        .map(|digest| {
            let to = herald.recipient(&digest.owner);
            let to = match to {
                Some(to) if *to == *digest.owner => (String::new(), Tone::Plain),
                Some(to) => (to.to_owned(), Tone::Plain),
                None => ("nobody".to_owned(), Tone::Warn),
            };
            vec![
                (whose(digest), Tone::Plain),
                number(digest.overdue.len(), Tone::Alarm),
                number(digest.soon.len(), Tone::Warn),
                number(digest.later.len(), Tone::Plain),
                to,
            ]
        })
        .collect();
    output.table(
        &[("owner", 16, 48), ("overdue", 9, 10), ("in a week", 11, 12), ("later", 7, 8), ("mail to", 10, 40)],
        &rows,
    );
    if config.notices.digest.is_none() {
        output
            .note(&format!("{}; no mail is sent by itself: `notices.digest` is not set", counted(all.len(), "owner")));
    }
    Ok(Exit::Ok)
}

/// Who it is for, and that they manage others where it tells of those.
fn whose(digest: &Digest) -> String {
    if digest.of_others { format!("{} (manager)", digest.owner) } else { digest.owner.to_string() }
}

/// The name of a file about somebody.
pub fn file_name(whom: &str) -> String {
    let plain = whom.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.@".contains(c) { c } else { '-' });
    plain.collect::<String>().trim_start_matches(['-', '.']).trim_end_matches('-').to_owned()
}

/// Writes digests as files, each as a page and as a text. Returns the pages.
pub fn write(all: &[Digest], folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let fail = |path: &Path, error: std::io::Error| {
        Failure::new(format!("cannot write {}", path.display()), Some(Box::new(error)), None)
    };
    let unwritten = |error: amend_pipeline::notices::digest::Unwritten| {
        Failure::new("a digest cannot be written", Some(Box::new(error)), None)
    };
    std::fs::create_dir_all(folder).map_err(|error| fail(folder, error))?;
    let mut pages = Vec::new();
    for digest in all {
        let name = file_name(&whose(digest));
        let page = folder.join(format!("{name}.html"));
        std::fs::write(&page, digest.html().map_err(unwritten)?).map_err(|error| fail(&page, error))?;
        let text = folder.join(format!("{name}.txt"));
        std::fs::write(&text, digest.text().map_err(unwritten)?).map_err(|error| fail(&text, error))?;
        pages.push(page);
    }
    Ok(pages)
}

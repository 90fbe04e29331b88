//! `amend due` and `amend eta`: dates that people set.

use amend_domain::{Problem, said::end_of};
use amend_pipeline::{Config, dates, rows::ProblemRow};
use amend_store::{Database, Store as _};
use jiff::{Timestamp, civil::Date};

use crate::{
    args::Format,
    failure::{Exit, Failure},
    output::{Output, counted},
    setup,
};

/// Runs `amend due`.
pub async fn due(id: &str, on: &str, why: &str, config: &Config, output: Output) -> Result<Exit, Failure> {
    config.somebody()?;
    let store = setup::existing_store(config).await?;
    let problem = one(&store, id).await?;
    let problem = dates::move_due(&store, &problem, day(on)?, why, &config.who, setup::now()).await?;
    show(&problem, &format!("{} is due on {on}", problem.id), output)
}

/// Runs `amend eta`.
pub async fn eta(
    id: &str,
    on: Option<&str>,
    why: Option<&str>,
    config: &Config,
    output: Output,
) -> Result<Exit, Failure> {
    config.somebody()?;
    let store = setup::existing_store(config).await?;
    let problem = one(&store, id).await?;
    let eta = on.map(|on| day(on).map(|day| (day, why))).transpose()?;
    let problem = dates::set_eta(&store, &problem, eta, &config.who, setup::now()).await?;
    let said = match on {
        Some(on) => format!("{} will be done on {on}, as {} says; its due date stands", problem.id, config.who.name()),
        None => format!("nobody says any more when {} will be done", problem.id),
    };
    show(&problem, &said, output)
}

/// The end of a day, in UTC.
pub fn day(text: &str) -> Result<Timestamp, Failure> {
    let end = text.trim().parse::<Date>().ok().and_then(end_of);
    end.ok_or_else(|| Failure::new(format!("`{text}` is no day"), None, Some("write it as 2026-12-15")))
}

/// The problem that an id, or the start of one, names.
pub async fn one(store: &Database, id: &str) -> Result<Problem, Failure> {
    let found = store.find(id).await?;
    match <[Problem; 1]>::try_from(found) {
        Ok([problem]) => Ok(problem),
        Err(found) => {
            let message = format!("`{id}` names {}", counted(found.len(), "problem"));
            Err(Failure::new(
                message,
                None,
                Some(
                    "`amend list` shows the ids; name one by `p-` and two characters at least, more where that is not enough",
                ),
            ))
        }
    }
}

fn show(problem: &Problem, text: &str, output: Output) -> Result<Exit, Failure> {
    match output.format() {
        Format::Json => output.json(&ProblemRow::new(problem, setup::now()))?,
        _ => output.say(text),
    }
    Ok(Exit::Ok)
}

//! `amend list`: problems, most urgent first.

use amend_pipeline::{Config, rows::ProblemRow};
use amend_store::Filter;

use crate::{
    args::{Format, List, ListState},
    failure::{Exit, Failure},
    output::Output,
    setup,
};

/// Runs the command.
pub async fn run(list: List, config: &Config, output: Output) -> Result<Exit, Failure> {
    let pipeline = setup::pipeline(config, output).await?;
    let open = match list.state {
        ListState::Open => Some(true),
        ListState::Closed => Some(false),
        ListState::All => None,
    };
    // One more than asked for tells whether there are more.
    let limit = Some(list.limit.saturating_add(1));
    let filter = Filter { open, backlog: None, rule: list.rule, account: list.account, limit, due: None };
    let found = pipeline.store().problems(&filter).await?;
    let now = pipeline.now();
    let most = usize::try_from(list.limit).unwrap_or(usize::MAX);
    let rows: Vec<ProblemRow> = found.iter().take(most).map(|problem| ProblemRow::new(problem, now)).collect();
    match output.format() {
        Format::Json => output.json(&rows)?,
        Format::Plain => plain(&rows, output),
        Format::Human if rows.is_empty() => output.say("no problems"),
        Format::Human => output.problems(&rows, now)?,
    }
    if found.len() > most {
        output.note(&format!("the first {most}; more with --limit"));
    }
    Ok(Exit::Ok)
}

/// For shells: the id first.
fn plain(rows: &[ProblemRow], output: Output) {
    let columns = [
        "id",
        "cloud",
        "account",
        "resource",
        "recommendation",
        "risk",
        "severity",
        "rule",
        "owner",
        "due",
        "state",
        "place",
        "action",
    ];
    output.line(&columns.join("\t"));
    for row in rows {
        let none = String::new;
        let cells = [
            row.id.clone(),
            row.cloud.clone(),
            row.account.clone().unwrap_or_else(none),
            row.resource.clone(),
            row.recommendation.clone(),
            row.risk.clone().unwrap_or_else(none),
            row.severity.clone().unwrap_or_else(none),
            row.rule.clone(),
            row.owner.clone().unwrap_or_else(none),
            row.due.map_or_else(none, |due| due.to_string()),
            row.state.clone(),
            row.place.clone(),
            row.action.clone(),
        ];
        output.line(&cells.map(|cell| cell.replace(['\t', '\n'], " ")).join("\t"));
    }
}

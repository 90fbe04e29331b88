//! `amend backlog`: what imports and snapshots brought, counted and let go.

use std::collections::BTreeMap;

use amend_domain::ScopeId;
use amend_pipeline::{Config, backlog::Slice, rows::ProblemRow};

use crate::{
    args::{BacklogCommand, Format},
    failure::{Exit, Failure},
    output::{Output, Tone, counted},
    setup,
};

/// Runs the command.
pub async fn run(command: Option<BacklogCommand>, config: &Config, output: Output) -> Result<Exit, Failure> {
    let pipeline = setup::pipeline(config, output).await?;
    let Some(BacklogCommand::Release { rule, limit, scope }) = command else {
        let backlog = pipeline.backlog().await?;
        let deaf = pipeline.deaf().await?;
        if output.format() == Format::Json {
            output.json(&serde_json::json!({ "backlog": backlog, "deaf": deaf }))?;
            return Ok(Exit::Ok);
        }
        output.heading(&format!("in the backlog: {}", counted(backlog.total, "problem")));
        for (name, table) in [
            ("rule", &backlog.by_rule),
            ("owner", &backlog.by_owner),
            ("account", &backlog.by_account),
            ("risk", &backlog.by_risk),
        ] {
            if !table.is_empty() {
                output.table(&[(name, 20, 90), ("problems", 8, 10)], &count_rows(table));
            }
        }
        if backlog.total > 0 {
            output.say("Let a slice go with `amend backlog release --rule RULE --limit N`.");
        }
        for one in &deaf {
            let last = one.last_heard.map_or_else(|| "never".to_owned(), |at| at.strftime("%Y-%m-%d").to_string());
            output.note(&format!(
                "{} {} (last heard {last})",
                output.toned(Tone::Warn, "deaf: no snapshot for 8 days from"),
                one.account
            ));
        }
        return Ok(Exit::Ok);
    };
    let scope = scope.as_deref().map(ScopeId::parse).transpose().map_err(|error| {
        Failure::new(
            error.to_string(),
            None,
            Some("an ARM id (`/subscriptions/…`), `aws:<account>`, `aws:ou-…`, `gcp:projects/…`, `gcp:folders/…`"),
        )
    })?;
    let released = pipeline.release(&Slice { rule, limit, scope }, config.who.name()).await?;
    let now = pipeline.now();
    let rows: Vec<ProblemRow> = released.iter().map(|problem| ProblemRow::new(problem, now)).collect();
    if output.format() == Format::Json {
        output.json(&rows)?;
    } else {
        output.heading(&format!("{} released; their dates are set", rows.len()));
        if !rows.is_empty() {
            output.problems(&rows, now)?;
        }
    }
    Ok(Exit::Ok)
}

fn count_rows(table: &BTreeMap<String, usize>) -> Vec<Vec<(String, Tone)>> {
    let mut rows: Vec<_> = table.iter().collect();
    rows.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    rows.into_iter().map(|(name, count)| vec![(name.clone(), Tone::Plain), (count.to_string(), Tone::Plain)]).collect()
}

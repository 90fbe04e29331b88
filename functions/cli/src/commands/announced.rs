//! `amend announced`: fixes that their owners were told of before they begin, and what is answered to that.

use amend_domain::Problem;
use amend_pipeline::{Config, announce, announce::Answer, rows::ProblemRow};
use serde_json::json;

use crate::{
    args::{Announced, Format},
    failure::{Exit, Failure},
    output::{Output, Tone},
    setup,
};

/// Runs the command.
pub async fn run(asked: &Announced, config: &Config, output: Output) -> Result<Exit, Failure> {
    let store = setup::existing_store(config).await?;
    let Some(id) = &asked.problem else {
        return list(&announce::announced(&store, setup::now()).await?, output);
    };
    config.somebody()?;
    let answer = match (asked.now, &asked.postpone, asked.object, asked.withdraw) {
        (true, ..) => Answer::Now,
        (_, Some(day), ..) => Answer::Postpone(super::date::day(day)?),
        (_, _, true, _) => Answer::Object,
        (_, _, _, true) => Answer::Withdraw,
        _ => return list(&[super::date::one(&store, id).await?], output),
    };
    let problem = super::date::one(&store, id).await?;
    let why = asked.why.as_deref();
    let problem = announce::answer(&store, &problem, &answer, why, &config.who, setup::now()).await?;
    if output.format() == Format::Json {
        output.json(&ProblemRow::new(&problem, setup::now()))?;
        return Ok(Exit::Ok);
    }
    let id = &problem.id;
    output.say(&match answer {
        Answer::Now => format!("{id} is fixed as soon as its guards let it"),
        Answer::Postpone(_) => {
            format!("{id} is fixed when {} is over, and not before", asked.postpone.as_deref().unwrap_or_default())
        }
        Answer::Object => format!("{id} is not fixed by amend; its ticket says so"),
        Answer::Withdraw => format!("{id} may be fixed; that is announced anew"),
    });
    Ok(Exit::Ok)
}

fn list(all: &[Problem], output: Output) -> Result<Exit, Failure> {
    let all: Vec<_> = all.iter().filter_map(|problem| Some((problem, problem.announced.as_ref()?))).collect();
    if output.format() == Format::Json {
        let rows: Vec<_> = all
            .iter()
            .map(|(problem, announced)| json!({ "problem": ProblemRow::new(problem, setup::now()), "announced": announced }))
            .collect();
        output.json(&rows)?;
        return Ok(Exit::Ok);
    }
    if all.is_empty() {
        output.say("no fix is announced");
        return Ok(Exit::Ok);
    }
    let rows: Vec<_> = all
        .iter()
        .map(|(problem, announced)| {
            let said = |what: &str, word: &amend_domain::said::Word| {
                let why = word.why.as_ref().map_or_else(String::new, |why| format!(": {why}"));
                format!("{} {what}{why}", word.by)
            };
            let (state, tone) = match (&announced.objected, &announced.postponed, &announced.hastened) {
                (Some(word), ..) => (said("objects", word), Tone::Alarm),
                (_, _, Some(word)) => (said("had it done", word), Tone::Good),
                (_, Some(word), _) => (said("postponed it", word), Tone::Warn),
                _ => (String::new(), Tone::Plain),
            };
            let begins = match (&announced.objected, announced.begins) {
                (Some(_), _) => "never".to_owned(),
                (None, Some(begins)) => begins.strftime("%Y-%m-%d %H:%M").to_string(),
                (None, None) => "not told yet".to_owned(),
            };
            let owner = problem.decision.owner.name.as_deref().unwrap_or("nobody");
            vec![
                (problem.id.to_string(), Tone::Plain),
                (begins, Tone::Plain),
                (problem.resource.name.to_string(), Tone::Plain),
                (announced.fix.to_string(), Tone::Plain),
                (owner.to_owned(), Tone::Plain),
                (state, tone),
            ]
        })
        .collect();
    output.table(
        &[
            ("problem", 24, 24),
            ("begins (UTC)", 18, 18),
            ("resource", 12, 32),
            ("fix", 16, 40),
            ("owner", 12, 32),
            ("answer", 10, 60),
        ],
        &rows,
    );
    Ok(Exit::Ok)
}

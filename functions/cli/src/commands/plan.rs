//! `amend plan`: what a fix would change, in full. Writes nothing.

use std::path::Path;

use amend_domain::{
    Problem,
    plan::{Plan, Verdict},
};
use amend_pipeline::{
    Config,
    fixer::{Fixer, Where},
    remedy::show::{Mark, plan_lines, shown},
};
use serde_json::{Map, Value, json};

use crate::{
    args::{self, Format},
    failure::{Exit, Failure},
    output::{Output, Tone, clean, counted},
    setup,
};

/// Runs the command.
pub async fn run(arguments: &args::Plan, config: &Config, output: Output) -> Result<Exit, Failure> {
    let params = params(&arguments.params)?;
    let fixer = setup::fixer(config, output).await?;
    let plans = if arguments.what.starts_with("p-") {
        vec![of_problem(&fixer, &arguments.what, &params).await?]
    } else {
        let file = fixer.fix(&arguments.what)?;
        match (&arguments.resource, arguments.open) {
            (Some(resource), _) => {
                let place = Where {
                    resource: resource.clone(),
                    account: arguments.account.clone(),
                    region: arguments.region.clone(),
                };
                let plan = fixer.plan(file, fixer.at(file, &place)?, &params).await?;
                vec![(plan, String::new())]
            }
            (None, true) => return open_ones(&fixer, arguments, &params, output).await,
            (None, false) => {
                let hint = "say which with `--resource ID`, or all that are open with `--open`";
                return Err(Failure::new(format!("`{}` names no resource", arguments.what), None, Some(hint)));
            }
        }
    };
    keep(arguments.out.as_deref(), &plans, output)?;
    if output.format() == Format::Json {
        output.json(&plans.iter().map(|(plan, why)| json!({ "plan": plan, "why": why })).collect::<Vec<_>>())?;
    } else {
        plans.iter().for_each(|(plan, why)| print(plan, why, arguments.calls, output));
    }
    Ok(Exit::Ok)
}

/// The problem with an id, or the start of one.
pub async fn one_problem(fixer: &Fixer, id: &str) -> Result<Problem, Failure> {
    match <[Problem; 1]>::try_from(fixer.store().find(id).await?) {
        Ok([problem]) => Ok(problem),
        Err(found) => {
            let message = format!("`{id}` names {}", counted(found.len(), "problem"));
            Err(Failure::new(message, None, Some("`amend list` shows the ids")))
        }
    }
}

async fn of_problem(fixer: &Fixer, id: &str, params: &Map<String, Value>) -> Result<(Plan, String), Failure> {
    let problem = &one_problem(fixer, id).await?;
    let plan = fixer.plan_problem(problem, params).await?;
    let risk = problem.risk.map_or_else(|| "risk not evaluated".to_owned(), |risk| format!("risk {}", risk.as_str()));
    let rule = problem.decision.rule.as_ref().map_or_else(String::new, |rule| format!(", rule {rule}"));
    Ok((plan, format!("{}, {risk}{rule}", problem.title)))
}

/// Every open problem of a fix: a table, as nobody reads a hundred diffs.
async fn open_ones(
    fixer: &Fixer,
    arguments: &args::Plan,
    params: &Map<String, Value>,
    output: Output,
) -> Result<Exit, Failure> {
    let file = fixer.fix(&arguments.what)?;
    let problems = fixer.open_problems(file).await?;
    let mut plans = Vec::new();
    let mut rows = Vec::new();
    let progress = output.progress(problems.len(), "planning");
    for problem in &problems {
        let name = problem.resource.id.to_string();
        match fixer.plan_problem(problem, params).await {
            Ok(plan) => {
                let (word, tone) = verdict(&plan);
                rows.push(vec![(name, Tone::Plain), (word, tone)]);
                plans.push((plan, problem.title.to_string()));
            }
            Err(error) => rows.push(vec![(name, Tone::Plain), (setup::whole(&error), Tone::Alarm)]),
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    plans.retain(|(plan, _)| plan.verdict == Verdict::Write);
    keep(arguments.out.as_deref(), &plans, output)?;
    if output.format() == Format::Json {
        output.json(&plans.iter().map(|(plan, why)| json!({ "plan": plan, "why": why })).collect::<Vec<_>>())?;
    } else if rows.is_empty() {
        output.say(&format!("no open problem that {} would close", file.fix.id));
    } else {
        output.table(&[("resource", 30, 80), ("plan", 20, 70)], &rows);
        output.say(&format!("{} of {} to write", plans.len(), counted(problems.len(), "open problem")));
    }
    Ok(Exit::Ok)
}

fn verdict(plan: &Plan) -> (String, Tone) {
    match &plan.verdict {
        Verdict::Compliant => ("nothing to do".into(), Tone::Good),
        Verdict::Refused { why } => (format!("nothing is written: {why}"), Tone::Warn),
        Verdict::Write => (counted(plan.calls.len(), "call"), Tone::Plain),
    }
}

/// Keeps the plans that write something.
fn keep(path: Option<&Path>, plans: &[(Plan, String)], output: Output) -> Result<(), Failure> {
    let Some(path) = path else { return Ok(()) };
    let kept: Vec<&Plan> = plans.iter().map(|(plan, _)| plan).filter(|plan| plan.verdict == Verdict::Write).collect();
    let text = serde_json::to_string_pretty(&kept)
        .map_err(|error| Failure::new("the plan cannot be written as JSON", Some(Box::new(error)), None))?;
    // An older plan must not stand there in its stead, so an empty list is written, too.
    setup::write_private(path, &format!("{text}\n"))?;
    if kept.is_empty() {
        output.note(&output.toned(Tone::Warn, &format!("nothing to write, so {} holds no plan", path.display())));
        return Ok(());
    }
    output.note(&format!(
        "{} kept in {}: `amend fix --plan {}`",
        counted(kept.len(), "plan"),
        path.display(),
        path.display()
    ));
    Ok(())
}

/// One plan: its header, its diff, and the calls where they are asked for.
pub fn print(plan: &Plan, why: &str, calls: bool, output: Output) {
    for line in plan_lines(plan, why) {
        let tone = match line.mark {
            Mark::Head | Mark::Plain => Tone::Plain,
            Mark::Warn => Tone::Warn,
            Mark::Good | Mark::Plus => Tone::Good,
            Mark::Minus => Tone::Alarm,
        };
        match line.label {
            "" => output.say(&format!("  {}", output.toned(tone, &clean(&line.text)))),
            label => output.say(&format!(
                "{} {}",
                output.toned(Tone::Dim, &format!("{label:<8}")),
                output.toned(tone, &clean(&line.text))
            )),
        }
    }
    if calls {
        for call in &plan.calls {
            let with = if call.sensitive { "(kept from view)".to_owned() } else { shown(&call.with) };
            output.say(&format!("{} {} {with}", output.toned(Tone::Dim, "call    "), call.call));
        }
    }
    if plan.verdict == Verdict::Write {
        output.say(&format!("{} {}", output.toned(Tone::Dim, "digest  "), plan.digest));
    }
}

pub fn params(list: &[String]) -> Result<Map<String, Value>, Failure> {
    let one = |text: &String| {
        let (name, value) = text.split_once('=').ok_or_else(|| {
            Failure::new(format!("`{text}` is no parameter"), None, Some("write it as `--param NAME=VALUE`"))
        })?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        Ok((name.to_owned(), value))
    };
    list.iter().map(one).collect()
}

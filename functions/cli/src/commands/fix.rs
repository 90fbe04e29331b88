//! `amend fix` and `amend undo`: do what a plan says, and go back.

use std::{path::Path, time::Duration};

use amend_domain::plan::{Plan, Remediation, State};
use amend_pipeline::{
    Config,
    bulk::{Bulk, Pace},
    fixer::Fixer,
    remedy::{Next, show::shown},
};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::{
    args::{FixArguments, Format},
    failure::{Exit, Failure},
    output::{Output, Tone},
    setup,
};

/// Runs `amend fix`: one plan, or many in waves.
pub async fn run(arguments: &FixArguments, config: &Config, output: Output) -> Result<Exit, Failure> {
    let plans = read(&arguments.plan)?;
    let fixer = setup::fixer(config, output).await?;
    if plans.is_empty() {
        let hint = "`amend plan` had nothing to write when it made this file";
        return Err(Failure::new(format!("{} holds no plan", arguments.plan.display()), None, Some(hint)));
    }
    // All of them are looked at before the first is carried out.
    for plan in &plans {
        fixer.checked(plan)?;
    }
    let mut todo = Vec::new();
    for plan in plans {
        match done_before(&fixer, &plan).await?.filter(|_| !arguments.again) {
            Some(State::Undone) => {
                let text = "was undone; `--again` carries it out again";
                output.note(&format!("{}: the same plan {text}", plan.at.resource));
            }
            Some(_) => output.note(&format!("{}: done before, by the same plan", plan.at.resource)),
            None => todo.push(plan),
        }
    }
    let pace =
        Pace { per_account: usize::from(arguments.per_account), stop_percent: arguments.stop_at, ..Pace::default() };
    let account = |plan: &Plan| plan.at.account.as_ref().map(ToString::to_string).unwrap_or_default();
    let mut bulk = Bulk::new(todo.iter().map(account), pace);
    let progress = if todo.len() > 1 { output.progress(todo.len(), "fixing") } else { output.progress(0, "fixing") };
    let mut running = JoinSet::new();
    let mut done = Vec::new();
    let mut broken = Vec::new();
    while !bulk.is_over() {
        for index in bulk.begin() {
            let Some(plan) = todo.get(index).cloned() else { continue };
            let (fixer, who) = (fixer.clone(), config.who.clone());
            running.spawn(async move {
                let resource = plan.at.resource.clone();
                (index, resource, one(&fixer, plan, who.name()).await)
            });
        }
        let Some(ended) = running.join_next().await else { break };
        let (index, resource, result) =
            ended.map_err(|error| Failure::new("a fix broke off", Some(Box::new(error)), None))?;
        match result {
            Ok(remediation) => {
                bulk.end(index, remediation.state == State::Set);
                done.push(remediation);
            }
            Err(failure) => {
                bulk.end(index, false);
                broken.push((resource, failure));
            }
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    let stopped = bulk.stopped();
    if let (None, [(_, _)], true) = (&stopped, broken.as_slice(), done.is_empty())
        && let Some((_, failure)) = broken.pop()
    {
        return Err(failure);
    }
    for (resource, failure) in &broken {
        output.note(&format!("{resource}:"));
        output.failure(failure);
    }
    if let Some(why) = &stopped {
        let text = format!("stopped: {why}; {} not begun. The same command goes on", bulk.waiting());
        output.note(&output.toned(Tone::Alarm, &text));
    }
    let exit = finish(&done, output)?;
    Ok(if broken.is_empty() && stopped.is_none() { exit } else { Exit::No })
}

async fn one(fixer: &Fixer, plan: Plan, by: &str) -> Result<Remediation, Failure> {
    let mut remediation = fixer.begin(plan, by).await?;
    go_on(fixer, &mut remediation).await?;
    Ok(remediation)
}

/// How the same plan ended before, where it was carried out: a run that was stopped goes on where it was,
/// and what was undone stays undone.
async fn done_before(fixer: &Fixer, plan: &Plan) -> Result<Option<State>, Failure> {
    let before = fixer.store().remediations(Some(plan.at.resource.as_str()), None, 100).await?;
    let last = before.iter().find(|remediation| {
        remediation.plan.digest == plan.digest && matches!(remediation.state, State::Set | State::Undone)
    });
    Ok(last.map(|remediation| remediation.state))
}

/// Runs `amend undo`.
pub async fn undo(id: &str, config: &Config, output: Output) -> Result<Exit, Failure> {
    let fixer = setup::fixer(config, output).await?;
    let mut remediation = fixer.remediation(id).await?;
    let next = fixer.undo(&mut remediation, config.who.name(), None).await?;
    if next != Next::Done {
        go_on(&fixer, &mut remediation).await?;
    }
    finish(&[remediation], output)
}

/// Takes a remediation to its end; waits where it has to.
pub async fn go_on(fixer: &Fixer, remediation: &mut Remediation) -> Result<(), Failure> {
    loop {
        // What was begun is not over with an error.
        let next = fixer.advance(remediation, None).await.map_err(|error| {
            let mut failure = Failure::from(error);
            let hint = format!("`{}` has not ended: `amend remediations --resume` goes on with it", remediation.id);
            failure.hint = Some(failure.hint.map_or(hint.clone(), |first| format!("{first}; {hint}")));
            failure
        })?;
        match next {
            Next::Done => return Ok(()),
            Next::Again { at } => {
                let wait = Duration::try_from(at.duration_since(fixer.now())).unwrap_or_default();
                tokio::time::sleep(wait.clamp(Duration::from_millis(100), Duration::from_secs(5))).await;
            }
        }
    }
}

/// The plans of a file.
pub fn read(path: &Path) -> Result<Vec<Plan>, Failure> {
    let file = setup::read_text(path)?;
    let fail = |error: serde_json::Error| {
        let hint = "a plan is what `amend plan … --out FILE` keeps";
        Failure::new(format!("{} holds no plan", file.name), Some(Box::new(error)), Some(hint))
    };
    let value: Value = serde_json::from_str(&file.text).map_err(fail)?;
    let list = if value.is_array() { value } else { Value::Array(vec![value]) };
    serde_json::from_value(list).map_err(fail)
}

/// Says how each ended. The command fails where one did not end as it was meant to.
pub fn finish(done: &[Remediation], output: Output) -> Result<Exit, Failure> {
    if output.format() == Format::Json {
        output.json(&done)?;
    } else {
        done.iter().for_each(|remediation| tell(remediation, output));
    }
    let well = |remediation: &&Remediation| matches!(remediation.state, State::Set | State::Undone);
    Ok(if done.iter().all(|one| well(&one)) { Exit::Ok } else { Exit::No })
}

/// One remediation in a few lines.
fn tell(r: &Remediation, output: Output) {
    let (tone, text) = match r.state {
        State::Set => (Tone::Good, "set: the settings read back as planned".to_owned()),
        State::Undone => (Tone::Good, "undone: the settings read back as they were".to_owned()),
        State::Failed => (Tone::Alarm, "failed: nothing of it is left".to_owned()),
        State::Superseded => (Tone::Warn, "nothing was written".to_owned()),
        State::Parked => (Tone::Alarm, "parked: a person must look".to_owned()),
        state => (Tone::Warn, state.as_str().to_owned()),
    };
    output.say(&format!("{}  {}  {}  {}", r.id, r.plan.fix, r.plan.at.resource, output.toned(tone, &text)));
    if let Some(why) = &r.why {
        output.say(&format!("    {why}"));
    }
    for change in r.plan.changes.iter().filter(|change| r.found.contains_key(&*change.setting) && !change.sensitive) {
        let found = r.found.get(&*change.setting).unwrap_or(&Value::Null);
        output.say(&format!("    {}", change.setting));
        for (name, value) in [("before", &change.before), ("ours", &change.then), ("found", found)] {
            output.say(&format!("      {} {}", output.toned(Tone::Dim, &format!("{name:<6}")), shown(value)));
        }
    }
    if r.state == State::Set && r.plan.impact.reversible != amend_domain::fix::Reversible::No {
        output.say(&output.toned(Tone::Dim, &format!("    amend undo {}", r.id)));
    }
}

//! `amend fix` and `amend undo`: do what a plan says, and go back.

use std::{path::Path, time::Duration};

use amend_domain::plan::{Plan, Remediation, State};
use amend_pipeline::{
    Config,
    fixer::Fixer,
    remedy::{Next, show::shown},
};
use serde_json::Value;

use crate::{
    args::{FixArguments, Format},
    failure::{Exit, Failure},
    output::{Output, Tone},
    setup,
};

/// Runs `amend fix`.
pub async fn run(arguments: &FixArguments, config: &Config, output: Output) -> Result<Exit, Failure> {
    let plans = read(&arguments.plan)?;
    let fixer = setup::fixer(config, output).await?;
    let mut done = Vec::new();
    for plan in plans {
        let mut remediation = fixer.begin(plan, "the local user").await?;
        go_on(&fixer, &mut remediation, output).await?;
        done.push(remediation);
    }
    finish(&done, output)
}

/// Runs `amend undo`.
pub async fn undo(id: &str, config: &Config, output: Output) -> Result<Exit, Failure> {
    let fixer = setup::fixer(config, output).await?;
    let mut remediation = fixer.remediation(id).await?;
    let next = fixer.undo(&mut remediation, None).await?;
    if next != Next::Done {
        go_on(&fixer, &mut remediation, output).await?;
    }
    finish(&[remediation], output)
}

/// Takes a remediation to its end; waits where it has to.
pub async fn go_on(fixer: &Fixer, remediation: &mut Remediation, output: Output) -> Result<(), Failure> {
    let progress = output.spinner(&format!("{} on {}", remediation.plan.fix, remediation.plan.at.resource));
    loop {
        match fixer.advance(remediation, None).await? {
            Next::Done => break,
            Next::Again { at } => {
                let wait = Duration::try_from(at.duration_since(fixer.now())).unwrap_or_default();
                tokio::time::sleep(wait.clamp(Duration::from_millis(100), Duration::from_secs(5))).await;
            }
        }
    }
    progress.finish_and_clear();
    Ok(())
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

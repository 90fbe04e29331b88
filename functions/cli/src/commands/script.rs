//! `amend script`: a plan as a script for the clouds' own command lines.

use amend_catalog::script;
use amend_domain::plan::Verdict;
use amend_pipeline::{Config, fixer::Where};

use crate::{
    args::{self, Format},
    commands::{fix, plan},
    failure::{Exit, Failure},
    output::Output,
    setup,
};

/// Runs the command.
pub async fn run(arguments: &args::Script, config: &Config, output: Output) -> Result<Exit, Failure> {
    let fixer = setup::fixer(config, output).await?;
    let plans = match (&arguments.plan, &arguments.fix, &arguments.resource) {
        (Some(path), _, _) => {
            let plans = fix::read(path)?;
            for plan in &plans {
                fixer.checked(plan)?;
            }
            plans
        }
        (None, Some(name), Some(resource)) => {
            let file = fixer.fix(name)?;
            let place = Where {
                resource: resource.clone(),
                account: arguments.account.clone(),
                region: arguments.region.clone(),
            };
            vec![fixer.plan(file, fixer.at(file, &place)?, &plan::params(&arguments.params)?).await?]
        }
        _ => {
            return Err(Failure::new(
                "nothing to write a script for",
                None,
                Some("name a fix and its `--resource`, or a `--plan`"),
            ));
        }
    };
    if !plans.iter().any(|plan| plan.verdict == Verdict::Write) {
        plans.iter().for_each(|one| plan::print(one, "", false, output));
        return Ok(Exit::Ok);
    }
    let text = script::render(&plans).map_err(|error| {
        let hint = error.hint().to_owned();
        Failure::new("the plan cannot be written as a script", Some(Box::new(error)), Some(&hint))
    })?;
    if output.format() == Format::Json {
        output.json(&serde_json::json!({ "script": text }))?;
    } else {
        output.line(text.trim_end());
    }
    Ok(Exit::Ok)
}

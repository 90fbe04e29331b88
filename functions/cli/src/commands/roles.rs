//! `amend roles`: the least that the fixes need to be allowed.

use amend_catalog::permissions::{PermissionError, role, role_of_calls};
use amend_domain::{
    Cloud,
    fix::{Fix, Step},
};
use amend_pipeline::{Config, guard};
use serde_json::{Map, Value};

use crate::{
    args::{self, Format},
    failure::{Exit, Failure},
    output::{Output, counted},
    setup,
};

/// Runs the command.
pub fn run(arguments: &args::Roles, config: &Config, output: Output) -> Result<Exit, Failure> {
    let catalogue = setup::catalogue(config, output)?;
    let mut fixes: Vec<&Fix> = Vec::new();
    for name in &arguments.fixes {
        let Some(file) = catalogue.get(name) else {
            let near = amend_domain::settings::nearest(name, catalogue.iter().map(|file| &*file.fix.id));
            let hint = near
                .map_or_else(|| "`amend catalog list` shows them".to_owned(), |near| format!("did you mean `{near}`?"));
            return Err(Failure::new(format!("fix `{name}` is not known"), None, Some(&hint)));
        };
        fixes.push(&file.fix);
    }
    if arguments.fixes.is_empty() {
        fixes = catalogue.iter().map(|file| &file.fix).collect();
    }
    let clouds = match &arguments.cloud {
        None => vec![Cloud::Azure, Cloud::Aws, Cloud::Gcp],
        Some(word) => match Cloud::parse(word).filter(|cloud| *cloud != Cloud::Other) {
            Some(cloud) => vec![cloud],
            None => return Err(Failure::new(format!("`{word}` is no cloud"), None, Some("one of azure, aws, gcp"))),
        },
    };
    let mut all = Map::new();
    for cloud in clouds {
        let underived =
            |error: PermissionError| Failure::new("the roles cannot be derived", Some(Box::new(error)), None);
        let mut steps = Map::new();
        if config.fact_clouds.contains(&cloud) {
            let what = "Reads what the rules of Amend want to know: hierarchy, tags, Defender's own list.";
            let made = role_of_calls(amend_cloud::facts::calls(cloud), cloud, "facts", what).map_err(underived)?;
            steps.insert("facts".to_owned(), made);
        }
        if config.remediate.most.is_some() {
            let what = "Reads what the guards of Amend look at: exemptions, locks, tags, who wrote last.";
            let made = role_of_calls(&guard::calls(cloud), cloud, "guards", what).map_err(underived)?;
            steps.insert("guards".to_owned(), made);
        }
        let told = config.systems.calls(cloud);
        if !told.is_empty() {
            let what = "Tells the systems that problems come from what became of them.";
            let made = role_of_calls(&told, cloud, "sync", what).map_err(underived)?;
            steps.insert("sync".to_owned(), made);
        }
        for step in [Step::Read, Step::Write, Step::Undo] {
            if let Some(made) = role(&fixes, cloud, step).map_err(underived)? {
                steps.insert(step.as_str().to_owned(), made);
            }
        }
        if !steps.is_empty() {
            all.insert(cloud.to_string(), Value::Object(steps));
        }
    }
    if output.format() == Format::Json {
        output.json(&all)?;
        return Ok(Exit::Ok);
    }
    if all.is_empty() {
        output.say("these fixes make no calls in that cloud: nothing has to be granted");
    }
    for (cloud, steps) in &all {
        for (step, role) in steps.as_object().into_iter().flatten() {
            let kind = match cloud.as_str() {
                "azure" => "Azure role definition",
                "aws" => "IAM policy",
                _ => "Google Cloud custom role",
            };
            let many = fixes.iter().filter(|fix| fix.cloud().as_str() == cloud).count();
            output.heading(&match step.as_str() {
                "facts" => format!("{kind}, to look facts up"),
                "guards" => format!("{kind}, for the guards to look at what is there"),
                "sync" => format!("{kind}, to tell the systems that problems come from what became of them"),
                step => format!("{kind}, to {step} ({})", counted(many, "enabled fix")),
            });
            output.json(role)?;
        }
    }
    Ok(Exit::Ok)
}

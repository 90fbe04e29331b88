//! `amend hold`: nothing is done about a resource, an account, or all with a tag, until a day.

use amend_domain::{
    Resource, ResourceId, ScopeId, Timeframe,
    guard::{Hold, TAG},
    ports::Ids as _,
};
use amend_pipeline::{Config, system::UlidIds};
use amend_store::{Filter, Store as _};
use serde_json::json;

use crate::{
    args::Format,
    failure::{Exit, Failure},
    output::{Output, Tone, counted},
    setup,
};

/// Runs the command: adds a hold on something for some time and a reason, ends one, or lists them.
pub async fn run(
    new: Option<((&str, &str), &str)>,
    end: Option<&str>,
    config: &Config,
    output: Output,
) -> Result<Exit, Failure> {
    let store = setup::existing_store(config).await?;
    let now = setup::now();
    if let Some(id) = end {
        let Some(hold) = store.end_hold(id, config.somebody()?, now).await? else {
            let hint = "`amend hold --list` shows them";
            return Err(Failure::new(format!("there is no hold `{id}`"), None, Some(hint)));
        };
        if output.format() == Format::Json {
            output.json(&hold)?;
        } else {
            output.say(&format!("{} is not held any more", hold.on));
        }
        return Ok(Exit::Ok);
    }
    if let Some(((on, lasts), why)) = new {
        let time = Timeframe::parse(lasts).map_err(|error| {
            Failure::new(
                format!("`{lasts}` is no length of time"),
                Some(Box::new(error)),
                Some("write it as `14d` or `36h`"),
            )
        })?;
        if time.seconds() == 0 {
            return Err(Failure::new("a hold of no time holds nothing", None, Some("write it as `14d` or `36h`")));
        }
        let hold = Hold {
            id: format!("h-{}", UlidIds::default().next(now)).into(),
            on: if on.starts_with(TAG) { tag(on)? } else { canonical(on)? }.into(),
            until: time.after(now),
            by: config.who.name().into(),
            at: now,
            why: why.into(),
        };
        store.hold(&hold).await?;
        if output.format() == Format::Json {
            output.json(&hold)?;
        } else {
            let until = hold.until.strftime("%Y-%m-%d %H:%M UTC");
            output.say(&format!("{} is held until {until}: {}", hold.on, hold.id));
            if hold.tag().is_none() {
                let open = Filter { open: Some(true), ..Filter::default() };
                let all = store.problems(&open).await?;
                let covered = all.iter().filter(|problem| covers(&hold.on, &problem.resource)).count();
                match covered {
                    0 => output.note("no open problem that is known is about it: is that the id?"),
                    some => output.note(&format!("{} about it", counted(some, "open problem"))),
                }
            }
        }
        return Ok(Exit::Ok);
    }
    let all = store.holds(now).await?;
    if output.format() == Format::Json {
        output.json(&json!({ "holds": all }))?;
    } else if all.is_empty() {
        output.say("nothing is held");
    } else {
        let rows: Vec<_> = all
            .iter()
            .map(|hold| {
                vec![
                    (hold.id.to_string(), Tone::Plain),
                    (hold.on.to_string(), Tone::Plain),
                    (hold.until.strftime("%Y-%m-%d %H:%M").to_string(), Tone::Plain),
                    (format!("{}: {}", hold.by, hold.why), Tone::Plain),
                ]
            })
            .collect();
        output.table(&[("hold", 30, 30), ("on", 24, 60), ("until (UTC)", 18, 18), ("why", 20, 60)], &rows);
    }
    Ok(Exit::Ok)
}

/// Whether a hold on this is about a resource.
fn covers(on: &str, resource: &Resource) -> bool {
    let id = resource.id.as_str();
    let within = id.strip_prefix(on).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    within || resource.account.as_ref().is_some_and(|account| account.as_str() == on)
}

/// `tag:key` or `tag:key=value`, as it was written.
fn tag(text: &str) -> Result<String, Failure> {
    let tag = text.strip_prefix(TAG).unwrap_or(text);
    let (key, value) = tag.split_once('=').unwrap_or((tag, "any"));
    if key.is_empty() || value.is_empty() || [key, value].iter().any(|part| part.trim() != *part) {
        let hint = "write `tag:team`, or `tag:team=payments` where only that value counts";
        return Err(Failure::new(format!("`{text}` names no tag"), None, Some(hint)));
    }
    Ok(text.to_owned())
}

/// The one form of a resource's or an account's id.
pub fn canonical(text: &str) -> Result<String, Failure> {
    if let Some(scope) = ScopeId::parse(text).ok().filter(|scope| scope.account() == Some(scope.as_str())) {
        return Ok(scope.as_str().to_owned());
    }
    let id = ResourceId::new(text);
    if id.cloud() == amend_domain::Cloud::Other || id.as_str().starts_with("/providers/") {
        let hint = "the full id of a resource or a resource group, `/subscriptions/<id>`, `aws:<account>` or `gcp:projects/<id>`; of `amend hold`, also `tag:<key>`";
        return Err(Failure::new(format!("`{text}` is no resource and no account"), None, Some(hint)));
    }
    Ok(id.as_str().to_owned())
}

//! `amend exempt`: what two people let be for a while. `amend token`: how a person is known.

use amend_domain::{RecommendationKey, Setting, Timeframe, exemption::Exemption};
use amend_pipeline::{Config, PipelineError, exempt::Wanted, fixer::Fixer, people};
use serde_json::json;

use crate::{
    args::{Exempt, Format},
    failure::{Exit, Failure},
    output::{Output, Tone},
    setup,
};

/// Runs `amend exempt`.
pub async fn run(asked: &Exempt, config: &Config, output: Output) -> Result<Exit, Failure> {
    let fixer = setup::fixer(config, output).await?;
    if let Some(id) = &asked.approve {
        let exemption = fixer.approve_exemption(id, &config.who).await?;
        let until = exemption.until.strftime("%Y-%m-%d %H:%M UTC");
        return say(&exemption, &format!("{} is exempted until {until}", exemption.on), output);
    }
    if let Some(id) = &asked.end {
        let exemption = fixer.end_exemption(id, &config.who).await?;
        return say(&exemption, &format!("{} is not exempted any more by {}", exemption.on, exemption.id), output);
    }
    let (Some(on), Some(lasts), Some(category), Some(why)) = (&asked.on, &asked.lasts, asked.category, &asked.why)
    else {
        return list(&fixer, output).await;
    };
    let (on, setting) = about(on, asked.of.as_deref(), &fixer).await?;
    let time = Timeframe::parse(lasts).map_err(|error| {
        let hint = "write it as `90d` or `36h`";
        Failure::new(format!("`{lasts}` is no length of time"), Some(Box::new(error)), Some(hint))
    })?;
    let wanted = Wanted { on, setting, category: category.into(), why: why.clone(), until: time.after(fixer.now()) };
    let exemption = fixer.exempt(wanted, &config.who).await?;
    let id = &exemption.id;
    say(
        &exemption,
        &format!("{id} was asked for; it counts when another person runs `amend exempt --approve {id}`"),
        output,
    )
}

fn say(exemption: &Exemption, text: &str, output: Output) -> Result<Exit, Failure> {
    match output.format() {
        Format::Json => output.json(exemption)?,
        _ => output.say(text),
    }
    Ok(Exit::Ok)
}

/// What an exemption is about: a problem tells both; of a resource or account, anything, or what is named.
async fn about(on: &str, of: Option<&str>, fixer: &Fixer) -> Result<(String, Option<Setting>), Failure> {
    if on.starts_with("p-") {
        if of.is_some() {
            return Err(Failure::new("a problem says itself what is wrong", None, Some("leave out `--of`")));
        }
        let problem = super::plan::one_problem(fixer, on).await?;
        return Ok((problem.resource.id.as_str().to_owned(), Some(problem.setting)));
    }
    let setting = of.map(|name| setting(name, fixer)).transpose()?;
    Ok((super::hold::canonical(on)?, setting))
}

/// What a fix or a recommendation is about.
fn setting(name: &str, fixer: &Fixer) -> Result<Setting, PipelineError> {
    match RecommendationKey::parse(name) {
        // Also one that no fix closes.
        Some(key) => fixer.catalogue().settings().map(|all| all.of(&key)).map_err(PipelineError::Rules),
        None => fixer.fix(name).map(|file| Setting::new(&file.fix.id)),
    }
}

async fn list(fixer: &Fixer, output: Output) -> Result<Exit, Failure> {
    let all = fixer.store().exemptions(fixer.now()).await?;
    if output.format() == Format::Json {
        output.json(&json!({ "exemptions": all }))?;
        return Ok(Exit::Ok);
    }
    if all.is_empty() {
        output.say("nothing is exempted");
        return Ok(Exit::Ok);
    }
    let rows: Vec<_> = all
        .iter()
        .map(|one| {
            let (state, tone) = match &one.approved {
                Some(approval) => (format!("approved by {}", approval.by), Tone::Good),
                None => ("awaits a second person".to_owned(), Tone::Warn),
            };
            let setting = one.setting.as_ref().map_or("(anything)", Setting::as_str);
            vec![
                (one.id.to_string(), Tone::Plain),
                (one.on.to_string(), Tone::Plain),
                (setting.to_owned(), Tone::Plain),
                (one.until.strftime("%Y-%m-%d %H:%M").to_string(), Tone::Dim),
                (state, tone),
                (format!("{} ({}): {}", one.by, one.category.as_str(), one.why), Tone::Plain),
            ]
        })
        .collect();
    output.table(
        &[
            ("exemption", 30, 30),
            ("on", 24, 60),
            ("of", 12, 40),
            ("until (UTC)", 18, 18),
            ("state", 12, 30),
            ("asked by", 20, 60),
        ],
        &rows,
    );
    Ok(Exit::Ok)
}

/// Runs `amend token`: makes a token for a person, and says what to write where.
pub fn token(name: &str, output: Output) -> Result<Exit, Failure> {
    let (token, digest) = people::new_token().map_err(|why| Failure::new(why, None, None))?;
    let checked = people::People::default().add(name, &digest, None, Vec::new());
    checked.map_err(|why| Failure::new(why, None, Some("name a person, best by their address, or a tool")))?;
    if output.format() == Format::Json {
        output.json(&json!({ "name": name, "token": token, "digest": digest }))?;
        return Ok(Exit::Ok);
    }
    output.line(&token);
    output.note("\nThat is the token: it is shown once. It is for its person alone, as AMEND__TOKEN. In amend.yaml:\n");
    output.note(&format!("people:\n  - {{ name: {}, token: {digest} }}", json!(name)));
    output.note("\nOr it is a tool's, which calls a function app with `Authorization: Bearer …`:\n");
    output.note(&format!("callers:\n  - {{ name: {}, token: {digest}, may: [ingest] }}", json!(name)));
    Ok(Exit::Ok)
}

//! `amend approvals`, `amend approve`, `amend deny`: plans that a person is asked about.

use amend_domain::{
    RuleId,
    guard::Says,
    plan::{Remediation, State, diff},
};
use amend_pipeline::{
    Config,
    approve::{Answered, Batch, Of},
    fixer::Fixer,
};
use amend_store::Store as _;
use serde_json::json;

use crate::{
    args::{Answer, Format, Plans},
    commands::{explain, plan},
    failure::{Exit, Failure},
    output::{Output, Tone},
    setup,
};

/// Runs `amend approvals`.
pub async fn run(plans: &Plans, config: &Config, output: Output) -> Result<Exit, Failure> {
    if let Some(of) = batch_of(plans)? {
        let batch = setup::fixer(config, output).await?.batch(&of).await?;
        return together(&batch, plans, output);
    }
    let store = setup::store(config).await?;
    let mut all = store.remediations(None, Some(State::AwaitingApproval.as_str()), 1_000).await?;
    if let Some(id) = &plans.id {
        all.retain(|r| r.id.starts_with(id));
        if all.is_empty() {
            let hint = "`amend approvals` lists them";
            return Err(Failure::new(format!("no plan `{id}` awaits approval"), None, Some(hint)));
        }
    }
    if output.format() == Format::Json {
        output.json(&all)?;
        return Ok(Exit::Ok);
    }
    if all.is_empty() {
        output.say("nothing awaits approval");
        return Ok(Exit::Ok);
    }
    if plans.id.is_some() {
        all.iter().for_each(|r| show(r, output));
        return Ok(Exit::Ok);
    }
    list(&all, output);
    output
        .say("`amend approvals ID` shows a plan in full, `amend approvals --rule RULE` what can be answered together.");
    Ok(Exit::Ok)
}

/// Which plans are meant together, if any are.
fn batch_of(plans: &Plans) -> Result<Option<Of>, Failure> {
    Ok(match (&plans.rule, &plans.fix) {
        (Some(rule), _) => {
            let id = RuleId::parse(rule);
            let fail = || Failure::new(format!("`{rule}` is no id of a rule"), None, Some("`amend list` shows them"));
            Some(Of::Rule(id.ok_or_else(fail)?))
        }
        (None, Some(fix)) => Some(Of::Fix(fix.clone())),
        (None, None) => None,
    })
}

fn list(all: &[Remediation], output: Output) {
    let rows: Vec<_> = all
        .iter()
        .map(|r| {
            let until = r.until.map_or_else(String::new, |until| until.strftime("%Y-%m-%d %H:%M").to_string());
            let rule = r.rule.as_ref().map(ToString::to_string).unwrap_or_default();
            vec![
                (r.id.to_string(), Tone::Plain),
                (r.plan.title.to_string(), Tone::Plain),
                (r.plan.at.resource.short_name().to_owned(), Tone::Plain),
                (rule, Tone::Plain),
                (short(&r.plan.digest), Tone::Plain),
                (until, Tone::Dim),
            ]
        })
        .collect();
    output.table(
        &[
            ("id", 30, 30),
            ("what", 24, 60),
            ("resource", 16, 40),
            ("rule", 8, 24),
            ("plan", 14, 14),
            ("until (UTC)", 18, 18),
        ],
        &rows,
    );
}

/// A batch, what each of it changes, and how to answer.
fn together(batch: &Batch, plans: &Plans, output: Output) -> Result<Exit, Failure> {
    if output.format() == Format::Json {
        output.json(batch)?;
        return Ok(Exit::Ok);
    }
    if batch.remediations.is_empty() {
        output.say("nothing of it awaits approval");
        return Ok(Exit::Ok);
    }
    list(&batch.remediations, output);
    for r in &batch.remediations {
        in_short(r, output);
    }
    let option = plans.rule.as_ref().map_or("--fix", |_| "--rule");
    let name = plans.rule.as_ref().or(plans.fix.as_ref()).map_or("", String::as_str);
    output.say(&format!(
        "\napprove these {} with `amend approve {option} {name} --plan {digest}`, deny them with `amend deny {option} {name} --plan {digest} --why …`; `--except ID` leaves one waiting",
        batch.remediations.len(),
        digest = short(&batch.digest)
    ));
    Ok(Exit::Ok)
}

/// So many changes of a plan are shown where it is one of many.
const FEW: usize = 6;

/// What a plan changes, what it sends, and what guards ask about.
fn in_short(r: &Remediation, output: Output) {
    output.line(&format!("\n{}  {}", r.plan.at.resource, output.toned(Tone::Dim, &r.id)));
    let lines = r.plan.changes.iter().flat_map(|change| match change.sensitive {
        true => vec![format!("{}: (sensitive)", change.setting)],
        false => diff(&change.setting, &change.before, &change.then)
            .iter()
            .map(|line| format!("{}: {} → {}", line.path, said(line.before.as_ref()), said(line.then.as_ref())))
            .collect(),
    });
    let lines: Vec<String> = lines.collect();
    for line in lines.iter().take(FEW) {
        output.line(&format!("  {line}"));
    }
    if lines.len() > FEW {
        output.line(&format!("  and {} more: `amend approvals {}`", lines.len().saturating_sub(FEW), r.id));
    }
    for planned in &r.plan.calls {
        output.line(&output.toned(Tone::Dim, &format!("  sends {}", planned.call)));
    }
    for check in r.checks.iter().filter(|check| check.says != Says::Pass && &*check.guard != "budget") {
        output.line(&output.toned(Tone::Warn, &format!("  {} asks: {}", check.guard, check.why)));
    }
}

/// A value, in one line.
fn said(value: Option<&serde_json::Value>) -> String {
    value.map_or_else(|| "nothing".to_owned(), ToString::to_string)
}

/// As much of a plan's digest as an answer needs to name, and some more.
fn short(digest: &str) -> String {
    digest.trim_start_matches("sha256:").chars().take(12).collect()
}

/// A plan, and how to answer.
fn show(r: &Remediation, output: Output) {
    let rule = r.rule.as_ref().map_or_else(String::new, |rule| format!("rule {rule}"));
    plan::print(&r.plan, &rule, true, output);
    explain::checks(&r.checks, output);
    let short = short(&r.plan.digest);
    output.say(&format!(
        "approve it with `amend approve {} --plan {short}`, deny it with `amend deny {} --plan {short} --why …`",
        r.id, r.id
    ));
}

/// Runs `amend approve` and `amend deny`.
pub async fn answer(answer: &Answer, why_not: Option<&str>, config: &Config, output: Output) -> Result<Exit, Failure> {
    let fixer = setup::fixer(config, output).await?;
    let answered = match (batch_of(&answer.plans)?, &answer.plans.id) {
        (Some(of), _) => fixer.answer_batch(&of, &answer.plan, &answer.except, &config.who, why_not).await?,
        (None, Some(id)) => {
            let said = Answered { why_not: why_not.map(ToOwned::to_owned), ..Answered::yes(config.who.clone()) };
            vec![(id.clone(), Ok(fixer.answer(id, &answer.plan, &said).await?))]
        }
        (None, None) => Vec::new(),
    };
    let (mut done, mut refused) = (Vec::new(), Vec::new());
    for (id, result) in answered {
        match result {
            Ok(r) => done.push(r),
            Err(error) => refused.push((id, Failure::from(error))),
        }
    }
    if output.format() == Format::Json {
        match (&answer.plans.id, done.as_slice()) {
            (Some(_), [one]) => output.json(one)?,
            _ => {
                let refused: Vec<_> =
                    refused.iter().map(|(id, failure)| json!({ "id": id, "why": failure.message })).collect();
                output.json(&json!({ "answered": done, "refused": refused }))?;
            }
        }
    } else {
        tell(&done, &fixer, config, output).await?;
        for (id, failure) in &refused {
            output.note(&format!("{id}:"));
            output.failure(failure);
        }
    }
    Ok(if refused.is_empty() { Exit::Ok } else { Exit::No })
}

/// Says what follows from an answer.
async fn tell(done: &[Remediation], fixer: &Fixer, config: &Config, output: Output) -> Result<(), Failure> {
    let stopped = fixer.store().stopped().await?;
    for r in done {
        output.say(&match (&stopped, r.state) {
            (Some(stop), State::Planned) => format!(
                "{} is approved. Everything is stopped by {} ({}): it is done as soon as that ends",
                r.id, stop.by, stop.why
            ),
            (None, State::Planned) => {
                format!(
                    "{} is approved; a running `amend serve`, or `amend sweep`, does it as soon as guards let it",
                    r.id
                )
            }
            _ => format!("{} is denied; nothing is done", r.id),
        });
    }
    if done.iter().any(|r| r.state == State::Planned) && config.remediate.most.is_none() {
        output.note(&output.toned(Tone::Warn, "nothing is done by itself here: `remediate.most` is off"));
    }
    Ok(())
}

//! `amend explain`: why a problem was decided as it was.

use amend_domain::{
    Truth,
    explain::StepResult,
    guard::{Check, Says},
    said::Word,
    work::WorkKind,
};
use amend_pipeline::{
    Config,
    explain::{Explained, FactLine},
    rows::ProblemRow,
};

use crate::{
    args::Format,
    failure::{Exit, Failure},
    output::{Output, Tone, date, level_tone},
    setup,
};

/// Runs the command.
pub async fn run(id: &str, config: &Config, output: Output) -> Result<Exit, Failure> {
    let pipeline = setup::pipeline(config, output).await?;
    let explanation = pipeline.explain(id).await?;
    if output.format() == Format::Json {
        output.json(&explanation)?;
        return Ok(Exit::Ok);
    }
    let row = ProblemRow::new(&explanation.problem, pipeline.now());
    output.heading(&format!("{} on {}", row.recommendation, row.resource));
    let account = row.account.as_deref().unwrap_or("not known");
    let word = explanation.problem.resource.cloud.account_word();
    let risk = match (&row.risk, &row.severity) {
        (Some(risk), _) => output.toned(level_tone(Some(risk)), risk),
        (None, Some(severity)) => format!("not evaluated; severity {severity}"),
        (None, None) => "not evaluated; no severity".to_owned(),
    };
    let due = match (row.due, row.place.as_str()) {
        (None, _) => "none".to_owned(),
        (Some(due), "backlog") => format!("{} if released now", date(due)),
        (Some(due), _) if row.overdue => output.toned(Tone::Alarm, &format!("{} (overdue)", date(due))),
        (Some(due), _) => date(due),
    };
    let due = match &row.due_moved {
        Some(moved) => format!("{due}, moved by {moved}"),
        None => due,
    };
    let owner = row.owner.as_deref().unwrap_or("nobody");
    for (name, value) in [
        ("problem", row.id.clone()),
        ("resource", row.resource_id.clone()),
        (word, account.to_owned()),
        ("setting", row.setting.clone()),
        ("risk", risk),
        (
            "state",
            format!(
                "{}, {}{}",
                row.state,
                row.place,
                if row.period > 1 { format!(", came back {}×", row.period.saturating_sub(1)) } else { String::new() }
            ),
        ),
        (
            "sources",
            format!("{}{}", row.sources.join("; "), if row.sources_agree { "" } else { " (they do not agree)" }),
        ),
        ("rule", row.rule.clone()),
        ("owner", format!("{owner} ({})", row.owner_from)),
        ("due", due),
        ("action", row.action.clone()),
    ] {
        output.line(&format!("  {name:<13}{value}"));
    }
    if let Some(eta) = explanation.problem.eta.as_ref().filter(|_| row.eta.is_some()) {
        let why = eta.why.as_ref().map_or_else(String::new, |why| format!(" (\"{why}\")"));
        output.line(&format!("  {:<13}{}, as {} says{why}", "eta", date(eta.on), eta.by));
    }
    if let Some(announced) = explanation.problem.announced.as_ref().filter(|_| row.state == "open") {
        let begins = match announced.begins {
            Some(begins) => begins.strftime("begins %Y-%m-%d %H:%M UTC").to_string(),
            None => "begins when its owner was told, and had their time".to_owned(),
        };
        let by = |what: &str, word: &Word| {
            let why = word.why.as_ref().map_or_else(String::new, |why| format!(" (\"{why}\")"));
            format!("; {} {what}{why}", word.by)
        };
        let said = match (&announced.objected, &announced.hastened, &announced.postponed) {
            (Some(word), ..) => format!(" does not begin{}", by("objects", word)),
            (_, Some(word), _) => format!(" {begins}{}", by("has it done", word)),
            (_, _, Some(word)) => format!(" {begins}{}", by("postponed it", word)),
            _ => format!(" {begins}"),
        };
        output.line(&format!("  {:<13}{}{said}", "announced", announced.fix));
    }
    if let Some(work) = &explanation.work {
        let when = work.due.strftime("%Y-%m-%d %H:%M UTC");
        let text = match (&work.why, work.parked) {
            (Some(why), Some(_)) => output.toned(Tone::Alarm, &format!("waits for a person: {why}")),
            (Some(why), None) => output.toned(Tone::Warn, &format!("put off until {when}: {why}")),
            (None, _) if work.kind == WorkKind::Advance => format!("looked at again {when}"),
            (None, _) => format!("begins {when}, as far as `remediate.most` and the guards let it"),
        };
        output.line(&format!("  {:<13}{text}", "next"));
    }
    for r in &explanation.remediations {
        let why = r.why.as_ref().map_or_else(String::new, |why| format!(": {why}"));
        let when = r.changed.strftime("%Y-%m-%d %H:%M UTC");
        output.line(&format!("  {:<13}{} since {when}, {}{why}", "done", r.state.as_str(), r.id));
    }
    if let Some(last) = explanation.remediations.first() {
        checks(&last.checks, output);
    }
    let assigned_by = &explanation.problem.decision.rule_set;
    if explanation.decisions.first().is_some_and(|last| last.stored.decision.rule_set != *assigned_by) {
        output.say(&format!("\nThis was assigned under rule set {assigned_by}, and stands: edited rules change nothing already assigned."));
    }
    for explained in &explanation.decisions {
        decision(explained, output);
    }
    if explanation.rules_changed {
        output.say("\nThe rules have changed since: this is what the rules said then.");
    }
    Ok(Exit::Ok)
}

fn decision(explained: &Explained, output: Output) {
    let stored = &explained.stored;
    let assessment = &stored.assessment;
    output.line("");
    let when = stored.at.strftime("%Y-%m-%d %H:%M UTC");
    output.heading(&format!("{} said {}, decided {when}", assessment.source, assessment.status.code.as_str()));
    output.line(&format!("  {:<13}{}", "assessment", assessment.id));
    output.line(&format!("  {:<13}{}", "why", stored.decision.why));
    if explained.walk.is_empty() {
        return;
    }
    output.line(&format!("  {:<13}{}", "rule set", stored.decision.rule_set));
    output.line("  facts");
    for FactLine { fact, value, source, age_seconds, unread } in &explained.facts {
        let from = match (source, age_seconds, unread) {
            (Some(source), Some(age), _) => output.toned(Tone::Dim, &format!("  ({source}, {} old)", words(*age))),
            (_, _, Some(why)) => output.toned(Tone::Dim, &format!("  ({why})")),
            _ => String::new(),
        };
        let value = value.clone().unwrap_or_else(|| output.toned(Tone::Warn, "not known"));
        output.line(&format!("    {fact:<22}{value}{from}"));
    }
    output.line("  rules, in order");
    for step in &explained.walk {
        let (mark, tone, word) = match step.result {
            StepResult::Governs => ("=>", Tone::Good, "governs"),
            StepResult::Undetermined => ("=?", Tone::Warn, "might govern: the walk stops here"),
            StepResult::DoesNotHold => ("  ", Tone::Dim, "does not hold"),
            StepResult::ComesLater => ("  ", Tone::Plain, "would hold, but comes later"),
            StepResult::Disabled => ("  ", Tone::Dim, "disabled"),
        };
        output
            .line(&format!("  {mark} {}", output.toned(tone, &format!("{:>4}  {}: {word}", step.priority, step.rule))));
        for reason in &step.reasons {
            let (answer, tone) = match reason.truth {
                Truth::True => ("yes", Tone::Good),
                Truth::False => ("no", Tone::Plain),
                Truth::Unknown => ("not known", Tone::Warn),
            };
            let missing = match (&reason.error, reason.needs.is_empty()) {
                (Some(error), _) => format!(" ({error})"),
                (None, false) => format!(" (needs {})", reason.needs),
                (None, true) => String::new(),
            };
            output.line(&format!(
                "              {} {}{missing}",
                output.toned(tone, &format!("{answer:<9}")),
                reason.asked
            ));
        }
    }
}

/// What the guards said.
pub fn checks(checks: &[Check], output: Output) {
    if checks.is_empty() {
        return;
    }
    output.line("  guards");
    for check in checks {
        let (word, tone) = match check.says {
            Says::Pass => ("pass".to_owned(), Tone::Good),
            Says::Ask => ("ask".to_owned(), Tone::Warn),
            Says::Wait { until } => (format!("wait until {}", until.strftime("%Y-%m-%d %H:%M")), Tone::Warn),
            Says::No => ("no".to_owned(), Tone::Alarm),
        };
        output.line(&format!("    {:<19}{}  {}", check.guard, output.toned(tone, &format!("{word:<5}")), check.why));
    }
}

/// A length of time in its largest unit.
fn words(seconds: i64) -> String {
    for (unit, name) in [(86_400_i64, "days"), (3_600, "hours"), (60, "minutes")] {
        if seconds >= unit.saturating_mul(2) {
            return format!("{} {name}", seconds.checked_div(unit).unwrap_or(0));
        }
    }
    format!("{seconds} s")
}

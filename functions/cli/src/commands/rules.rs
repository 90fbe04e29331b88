//! `amend rules`: checks, tests, imports and exports rules.

use std::path::{Path, PathBuf};

use amend_catalog::{SourceText, governance, rule_file, rule_test::TestResult};
use amend_domain::{Assessment, Facts, Needs, ScopeId, Truth};
use amend_events::{Context, Form, Item, Limits};
use serde_json::json;

use crate::{
    args::{Format, RulesCommand},
    failure::{Exit, Failure},
    output::{Output, Tone, counted},
    setup,
};

/// Runs the command.
pub async fn run(command: RulesCommand, config: Option<&Path>, output: Output) -> Result<Exit, Failure> {
    match command {
        RulesCommand::Check { files, against } => check(&files, against.as_deref(), config, output).await,
        RulesCommand::Test { files } => test(&files, config, output),
        RulesCommand::Import { file, scope } => import(&file, scope.as_deref(), output),
        RulesCommand::Export { files } => export(&files, config, output),
        RulesCommand::Schema => {
            output.json(&rule_file::json_schema())?;
            Ok(Exit::Ok)
        }
    }
}

/// The files named, else those of the configuration.
fn sources(files: &[PathBuf], config: Option<&Path>, output: Output) -> Result<Vec<SourceText>, Failure> {
    if files.is_empty() {
        return setup::rule_files(&setup::config(config, output)?);
    }
    files.iter().map(|path| setup::read_text(path)).collect()
}

async fn check(
    files: &[PathBuf],
    against: Option<&str>,
    config: Option<&Path>,
    output: Output,
) -> Result<Exit, Failure> {
    let files = sources(files, config, output)?;
    let (loaded, warnings) = match rule_file::load(&files) {
        Ok(loaded) => loaded,
        Err(mistakes) => {
            if output.format() == Format::Json {
                output.json(&json!({ "ok": false, "mistakes": mistakes.list() }))?;
            }
            output.mistakes(&mistakes);
            let count = mistakes.list().len();
            output.say(&output.toned(Tone::Alarm, &format!("{count} mistake{}", if count == 1 { "" } else { "s" })));
            return Ok(Exit::No);
        }
    };
    output.mistakes(&warnings);
    let rules = &loaded.rules;
    let mut lacking = Vec::new();
    if let Some(against) = against {
        let (facts, assessments) = assessments(against, config, output).await?;
        lacking = rules
            .rules()
            .iter()
            .filter(|rule| rule.enabled)
            .flat_map(|rule| lacks(rule, &assessments, &facts))
            .collect();
    }
    if output.format() == Format::Json {
        let lacking: Vec<_> = lacking.iter().map(|(rule, what)| json!({ "rule": rule, "lacks": what })).collect();
        output.json(&json!({
            "ok": true, "rules": rules.rules().len(), "tests": loaded.tests.len(), "digest": rules.digest(),
            "unindexed": rules.unindexed(), "mistakes": warnings.list(), "lacking": lacking,
        }))?;
    } else {
        for (rule, what) in &lacking {
            output.note(&format!("{} rule `{rule}`: {what}", output.toned(Tone::Warn, "warning:")));
        }
        output.say(&format!(
            "no mistakes: {}, {} ({})",
            counted(rules.rules().len(), "rule"),
            counted(loaded.tests.len(), "test"),
            rules.digest()
        ));
    }
    Ok(Exit::Ok)
}

/// The assessments of a saved export, or of the store, each with what is known of it.
async fn assessments(
    against: &str,
    config: Option<&Path>,
    output: Output,
) -> Result<(Vec<Facts>, Vec<Assessment>), Failure> {
    let config = setup::config(config, output)?;
    let facts = setup::facts(&config)?;
    let now = amend_domain::ports::Clock::now(&amend_pipeline::system::SystemClock);
    let assessments = if against == "store" {
        let store = setup::store(&config).await?;
        amend_store::Store::assessments(&store, 1_000_000).await?
    } else {
        let path = Path::new(against);
        let limits = Limits { bytes: usize::MAX, records: usize::MAX, ..Limits::default() };
        let context = Context { snapshot: true, ..Context::new(config.tenant.clone()) };
        let items = amend_events::read(Form::Plain, &setup::read_bytes(path)?, &context, &limits)
            .map_err(|refused| Failure::new(format!("{against} is refused"), Some(Box::new(refused)), None))?;
        items
            .into_iter()
            .filter_map(|item| match item {
                Item::Assessment(one) => Some(*one),
                _ => None,
            })
            .collect()
    };
    if assessments.is_empty() {
        return Err(Failure::new(
            format!("there is no assessment in {against}"),
            None,
            Some("name a saved export, or `store`"),
        ));
    }
    Ok((assessments.iter().map(|assessment| facts.about(assessment, now)).collect(), assessments))
}

/// What a rule asks for that no assessment in its scope has.
fn lacks(rule: &amend_domain::Rule, assessments: &[Assessment], facts: &[Facts]) -> Option<(String, String)> {
    let mut everywhere = rule.clone();
    everywhere.when.clear();
    let inside: Vec<_> =
        assessments.iter().zip(facts).filter(|(a, f)| everywhere.answer(a, f).truth == Truth::True).collect();
    if inside.is_empty() {
        return Some((rule.id.to_string(), "no assessment lies in its scope".into()));
    }
    // What every one of them lacks, the rule can never know.
    let mut never = Needs::all();
    for (assessment, facts) in &inside {
        let mut needs = Needs::NONE;
        for condition in rule.when.iter().flat_map(|set| &set.0) {
            let _ = condition.holds(assessment, facts, &mut needs);
        }
        never = never.shared_with(needs);
    }
    (!never.is_empty())
        .then(|| (rule.id.to_string(), format!("no assessment in its scope ({}) has {never}", inside.len())))
}

fn test(files: &[PathBuf], config: Option<&Path>, output: Output) -> Result<Exit, Failure> {
    let files = sources(files, config, output)?;
    let (loaded, warnings) =
        rule_file::load(&files).map_err(|mistakes| Failure::mistakes("the rules cannot be used", mistakes))?;
    output.mistakes(&warnings);
    let results: Vec<TestResult> = loaded.tests.iter().map(|test| test.run(&loaded.rules)).collect();
    let failed = results.iter().filter(|result| !result.wrong.is_empty()).count();
    if output.format() == Format::Json {
        output.json(&json!({ "passed": results.len().saturating_sub(failed), "failed": failed, "tests": results }))?;
    } else {
        for result in &results {
            let mark = if result.wrong.is_empty() {
                output.toned(Tone::Good, "passed")
            } else {
                output.toned(Tone::Alarm, "FAILED")
            };
            output.line(&format!("{mark}  {}", result.name));
            for wrong in &result.wrong {
                output.line(&format!("          {}: expected {}, found {}", wrong.what, wrong.expected, wrong.found));
            }
        }
        output.say(&format!("{} passed, {failed} failed", results.len().saturating_sub(failed)));
    }
    if results.is_empty() {
        output.note("the rule files hold no tests; docs/rules.md shows how to write one");
    }
    Ok(if failed == 0 { Exit::Ok } else { Exit::No })
}

fn import(file: &Path, scope: Option<&str>, output: Output) -> Result<Exit, Failure> {
    let scope = scope
        .map(ScopeId::parse)
        .transpose()
        .map_err(|error| Failure::new(error.to_string(), None, Some("such as /subscriptions/<id>")))?;
    let text = setup::read_text(file)?;
    let imported = governance::import(&text.text, scope.as_ref()).map_err(|error| {
        let hint = match &error {
            governance::GovernanceError::Missing { member, .. } if member == "id" => {
                Some("name the rule's scope with --scope")
            }
            _ => None,
        };
        Failure { exit: Exit::No, ..Failure::new(format!("cannot import {}: {error}", text.name), None, hint) }
    })?;
    // What was made must be readable, whatever the sender wrote.
    let made = SourceText::new("(imported)", imported.yaml.clone());
    let (_, warnings) = rule_file::load(&[made])
        .map_err(|mistakes| Failure::mistakes("the imported rules cannot be used", mistakes))?;
    output.mistakes(&warnings);
    if output.format() == Format::Json {
        output.json(
            &json!({ "rules": imported.rules, "yaml": imported.yaml, "not_evaluable": imported.not_evaluable, "no_effect": imported.no_effect }),
        )?;
    } else {
        output.line(imported.yaml.trim_end());
    }
    for (rule, what) in &imported.no_effect {
        output.note(&format!("{} rule `{rule}`: {what}; it is kept for export", output.toned(Tone::Warn, "warning:")));
    }
    for (rule, what) in &imported.not_evaluable {
        output.note(&format!(
            "{} rule `{rule}` governs as unknown: amend cannot evaluate `{what}`; it is kept for export",
            output.toned(Tone::Warn, "warning:")
        ));
    }
    Ok(Exit::Ok)
}

fn export(files: &[PathBuf], config: Option<&Path>, output: Output) -> Result<Exit, Failure> {
    let files = sources(files, config, output)?;
    let (loaded, _) =
        rule_file::load(&files).map_err(|mistakes| Failure::mistakes("the rules cannot be used", mistakes))?;
    let exported = governance::export(loaded.rules.rules());
    output.json(&exported.json)?;
    for (rule, what) in &exported.not_carried {
        output.note(&format!("{} rule `{rule}`: Defender does not carry {what}", output.toned(Tone::Dim, "note:")));
    }
    for (rule, why) in &exported.left_out {
        output.note(&format!("{} rule `{rule}` is left out: {why}", output.toned(Tone::Warn, "warning:")));
    }
    Ok(if exported.left_out.is_empty() { Exit::Ok } else { Exit::No })
}

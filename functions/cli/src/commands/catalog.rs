//! `amend catalog`: lists, checks and tests the fixes.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use amend_catalog::{
    Catalogue, Mistakes, SourceText,
    fix_file::{self, FixFile},
};
use amend_domain::fix::Level;
use amend_pipeline::remedy::rehearse::{Rehearsed, example, rehearse};
use serde_json::json;

use crate::{
    args::{CatalogCommand, Format},
    commands::plan,
    failure::{Exit, Failure},
    output::{Output, Tone, counted},
    setup,
};

/// Runs the command.
pub async fn run(command: CatalogCommand, config: Option<&Path>, output: Output) -> Result<Exit, Failure> {
    match command {
        CatalogCommand::List => list(config, output),
        CatalogCommand::Show { fix, example } => show(&fix, example, config, output).await,
        CatalogCommand::New { id } => new(&id, output),
        CatalogCommand::Check { files } => check(&files, config, output),
        CatalogCommand::Test { files } => test(&files, config, output).await,
        CatalogCommand::Schema => {
            output.json(&fix_file::json_schema())?;
            Ok(Exit::Ok)
        }
    }
}

fn list(config: Option<&Path>, output: Output) -> Result<Exit, Failure> {
    let catalogue = setup::catalogue(&setup::config(config, output)?, output)?;
    if output.format() == Format::Json {
        let fixes: Vec<_> = catalogue
            .iter()
            .map(|file| {
                let fix = &file.fix;
                json!({
                    "id": fix.id, "title": fix.title, "cloud": fix.cloud(), "impact": fix.impact, "most": fix.most(),
                    "closes": fix.closes, "digest": fix.digest, "docs": fix.docs, "file": file.source.name,
                })
            })
            .collect();
        output.json(&json!({ "digest": catalogue.digest(), "fixes": fixes }))?;
        return Ok(Exit::Ok);
    }
    let rows: Vec<_> = catalogue.iter().map(|file| row(file)).collect();
    output.table(
        &[
            ("fix", 20, 36),
            ("what it does", 24, 60),
            ("disruption", 12, 12),
            ("undo", 8, 8),
            ("reach", 10, 14),
            ("at most", 9, 9),
        ],
        &rows,
    );
    output.say(&format!("{}, {}", counted(catalogue.iter().len(), "fix"), catalogue.digest()));
    Ok(Exit::Ok)
}

fn row(file: &FixFile) -> Vec<(String, Tone)> {
    let fix = &file.fix;
    let tone = match fix.impact.disruption {
        Level::None | Level::Low => Tone::Plain,
        Level::Medium => Tone::Warn,
        Level::High => Tone::Alarm,
    };
    vec![
        (fix.id.to_string(), Tone::Plain),
        (fix.title.to_string(), Tone::Plain),
        (fix.impact.disruption.as_str().to_owned(), tone),
        (fix.impact.reversible.as_str().to_owned(), Tone::Plain),
        (fix.impact.reach.as_str().to_owned(), Tone::Plain),
        (fix.most().as_str().to_owned(), Tone::Plain),
    ]
}

async fn show(name: &str, by_example: bool, config: Option<&Path>, output: Output) -> Result<Exit, Failure> {
    let catalogue = setup::catalogue(&setup::config(config, output)?, output)?;
    let closing = || amend_domain::RecommendationKey::parse(name).and_then(|key| catalogue.closing(&key));
    let Some(file) = catalogue.get(name).or_else(closing) else {
        let near = amend_domain::settings::nearest(name, catalogue.iter().map(|file| &*file.fix.id));
        let hint =
            near.map_or_else(|| "`amend catalog list` shows them".to_owned(), |near| format!("did you mean `{near}`?"));
        return Err(Failure::new(format!("fix `{name}` is not known"), None, Some(&hint)));
    };
    if by_example {
        let plan =
            example(file).await.map_err(|why| Failure::new(why, None, Some("`amend catalog test` says more")))?;
        if output.format() == Format::Json {
            output.json(&plan)?;
        } else {
            plan::print(&plan, "an example, from the tests of the fix", true, output);
        }
        return Ok(Exit::Ok);
    }
    if output.format() == Format::Json {
        output.json(&json!({ "id": file.fix.id, "digest": file.fix.digest, "file": file.source.name, "text": file.source.text }))?;
    } else {
        output.line(file.source.text.trim_end());
    }
    Ok(Exit::Ok)
}

/// The frame of a fix file: it has every part, and each says what belongs there.
fn new(id: &str, output: Output) -> Result<Exit, Failure> {
    let (target, read, write, example) = match id.split('.').next() {
        Some("azure") => (
            "/subscriptions/{subscription}/resourcegroups/{group}/providers/microsoft.storage/storageaccounts/{name}",
            "{ call: GET Microsoft.Storage/storageAccounts@2026-09-01, with: { id: =target.id } }",
            "{ call: PATCH Microsoft.Storage/storageAccounts@2026-09-01, with: { id: =target.id, body: { properties: {} } } }",
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/acme",
        ),
        Some("aws") => (
            "arn:{partition}:s3:::{name}",
            "{ call: s3:GetPublicAccessBlock, with: { Bucket: =target.name }, absent_on: NoSuchPublicAccessBlockConfiguration }",
            "{ call: s3:PutPublicAccessBlock, with: { Bucket: =target.name, PublicAccessBlockConfiguration: =then.SETTING } }",
            "arn:aws:s3:::acme",
        ),
        Some("gcp") => (
            "//storage.googleapis.com/{name}",
            "{ call: storage.buckets.get, with: { bucket: =target.name } }",
            "{ call: storage.buckets.patch, with: { bucket: =target.name, body: {} } }",
            "//storage.googleapis.com/acme",
        ),
        _ => {
            let hint = "such as `aws.sns.encryption`: azure, aws or gcp first";
            return Err(Failure::new(format!("`{id}` is no id of a fix"), None, Some(hint)));
        }
    };
    output.line(&format!(
        "version: 1
id: {id}
title: WHAT IT DOES, in the imperative
closes: [] # Defender GUIDs, policy:..., securityhub:..., scc:...
target: {target}
docs: https://THE-VENDORS-PAGE
impact: {{ disruption: high, cost: none, reversible: yes, reach: resource, why: WHAT MAY STOP WORKING }}
ceiling: approve
reads:
  found: {read}
compliant: =found.MEMBER == true
settings:
  SETTING: {{ now: =found.MEMBER, then: true }}
writes:
  - {write}
verify: {{ within: 60s }}
undo: [] # the calls that bring before.SETTING back
manual: |
  1. THE STEPS FOR A PERSON
tests:
  - name: THE BAD CASE, from a rich state
    target: {example}
    given: {{ found: null }}
    sends: []
    then: {{ found: null }}
    undo: []
  - name: THE GOOD CASE is left alone
    target: {example}
    given: {{ found: null }}"
    ));
    Ok(Exit::Ok)
}

/// The fixes of the files named, else all.
fn load(
    files: &[PathBuf],
    config: Option<&Path>,
    output: Output,
) -> Result<Result<(Catalogue, Mistakes), Mistakes>, Failure> {
    if files.is_empty() {
        let own = setup::own_fixes(&setup::config(config, output)?)?;
        return Ok(Catalogue::load(&Catalogue::shipped(), &own));
    }
    let own: Vec<SourceText> = files.iter().map(|path| setup::read_text(path)).collect::<Result<_, _>>()?;
    Ok(Catalogue::load(&[], &own))
}

fn check(files: &[PathBuf], config: Option<&Path>, output: Output) -> Result<Exit, Failure> {
    match load(files, config, output)? {
        Ok((catalogue, warnings)) => {
            output.mistakes(&warnings);
            if output.format() == Format::Json {
                output.json(&json!({ "ok": true, "fixes": catalogue.iter().len(), "digest": catalogue.digest(), "mistakes": warnings.list() }))?;
            }
            output.say(&format!("no mistakes: {} ({})", counted(catalogue.iter().len(), "fix"), catalogue.digest()));
            Ok(Exit::Ok)
        }
        Err(mistakes) => {
            if output.format() == Format::Json {
                output.json(&json!({ "ok": false, "mistakes": mistakes.list() }))?;
            }
            output.mistakes(&mistakes);
            output.say(&output.toned(Tone::Alarm, &counted(mistakes.list().len(), "mistake")));
            Ok(Exit::No)
        }
    }
}

async fn test(files: &[PathBuf], config: Option<&Path>, output: Output) -> Result<Exit, Failure> {
    let loaded = load(files, config, output)?;
    let (catalogue, _) = loaded.map_err(|mistakes| Failure::mistakes("the fixes cannot be used", mistakes))?;
    let mut results: Vec<Rehearsed> = Vec::new();
    for file in catalogue.iter() {
        results.extend(rehearse(&Arc::clone(file)).await);
    }
    let failed = results.iter().filter(|result| result.wrong.is_some()).count();
    if output.format() == Format::Json {
        output.json(&results)?;
    } else {
        for result in &results {
            match &result.wrong {
                None => output.say(&format!("{} {}: {}", output.toned(Tone::Good, "ok    "), result.fix, result.name)),
                Some(wrong) => {
                    output.say(&format!("{} {}: {}", output.toned(Tone::Alarm, "failed"), result.fix, result.name));
                    output.say(&format!("       {}: {wrong}", result.place));
                }
            }
        }
        output.say(&format!("{} passed, {failed} failed", results.len().saturating_sub(failed)));
    }
    Ok(if failed == 0 { Exit::Ok } else { Exit::No })
}

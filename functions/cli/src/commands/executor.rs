//! `amend executor`: who makes the calls in accounts that this Amend has no rights in, and what their policies let be
//! done.

use std::path::Path;

use amend_catalog::{Catalogue, policy_file};
use amend_cloud::{
    CallError,
    remote::{Remote, Signer},
};
use amend_domain::{
    AccountId,
    fix::Fix,
    plan::At,
    policy::Policy,
    task::{Hello, Word},
};
use amend_pipeline::Config;
use amend_service::{files, parts};
use amend_store::Keys;
use serde::Serialize;
use serde_json::json;

use crate::{
    args::{ExecutorCommand, Format},
    failure::{Exit, Failure},
    output::{Output, Tone, counted},
    setup,
};

/// Runs the command.
pub async fn run(command: Option<&ExecutorCommand>, config: &Config, output: Output) -> Result<Exit, Failure> {
    match command {
        None => list(config, output).await,
        Some(ExecutorCommand::Key) => key(output),
        Some(ExecutorCommand::Policy { file }) => policy(file.as_deref(), config, output),
    }
}

/// Prints new keys, and where each of them stands.
pub fn key(output: Output) -> Result<Exit, Failure> {
    let (secret, public) = Signer::generate().map_err(|error| Failure::new(error.to_string(), None, None))?;
    let own = Keys::generate()?;
    if output.format() == Format::Json {
        output.json(&json!({ "hub_key": secret, "hub_public": public, "executor_key": own }))?;
        return Ok(Exit::Ok);
    }
    // A table would break them, and they are copied.
    output.line(&format!("AMEND__HUB__KEY={secret}"));
    output.line(&format!("executor.hubs: {public}"));
    output.line(&format!("AMEND__EXECUTOR__KEYS={own}"));
    output.note("\nthe first signs tasks and never leaves the hub; the second checks them, and is no secret;\nthe third is the executor's alone: each executor has one of its own");
    Ok(Exit::Ok)
}

fn plain(text: &str) -> (String, Tone) {
    (text.to_owned(), Tone::Plain)
}

/// An executor, as the hub finds it.
#[derive(Serialize)]
struct Row {
    name: String,
    url: String,
    accounts: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hello: Option<Hello>,
    /// What is not as it should be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    wrong: Vec<String>,
}

/// Asks every executor who it is. The answer is no, where one does not say, or could not do what it is for.
async fn list(config: &Config, output: Output) -> Result<Exit, Failure> {
    let remotes = parts::remotes(config)?;
    if let (true, Some(is)) = (remotes.is_empty(), &config.executor) {
        output.say(&format!("this is the executor {}: its hub asks it who it is, by `amend executor` there", is.name));
        return Ok(Exit::Ok);
    }
    if remotes.is_empty() && output.format() != Format::Json {
        output.say("there are no executors; docs/executors.md shows how to add one");
        return Ok(Exit::Ok);
    }
    let catalogue = setup::catalogue(config, output)?;
    let asked = remotes.iter().map(|remote| ask(remote, &catalogue));
    let rows = futures_util::future::join_all(asked).await;
    let fine = rows.iter().all(|row| row.wrong.is_empty());
    if output.format() == Format::Json {
        output.json(&rows)?;
    } else {
        let shown = |row: &Row| {
            let (state, tone) = match (&row.hello, row.wrong.is_empty()) {
                (_, false) => (row.wrong.join("; "), Tone::Warn),
                (_, true) => ("ready".to_owned(), Tone::Good),
            };
            let most = row.hello.as_ref().map_or("", |hello| hello.most.as_str());
            let accounts = counted(row.accounts.len(), "account");
            vec![plain(&row.name), plain(&row.url), plain(&accounts), plain(most), (state, tone)]
        };
        let rows: Vec<_> = rows.iter().map(shown).collect();
        let columns = [("executor", 8, 24), ("url", 16, 60), ("for", 10, 14), ("most", 9, 9), ("state", 16, 80)];
        output.table(&columns, &rows);
        if let (false, Some(public)) = (fine, config.hub.key.as_ref().and_then(Signer::public)) {
            output.note(&format!("\nthis hub signs with the key that {public} checks"));
        }
    }
    Ok(if fine { Exit::Ok } else { Exit::No })
}

async fn ask(remote: &Remote, catalogue: &Catalogue) -> Row {
    let at = remote.at();
    let mut wrong = Vec::new();
    let hello = match remote.hello().await {
        Ok(hello) => Some(hello),
        Err(error) => {
            wrong.push(match error {
                CallError::Declined { why, .. } => why,
                CallError::NoAnswer { reason, .. } | CallError::Unreadable { reason, .. } => reason,
                error => error.to_string(),
            });
            None
        }
    };
    if let Some(hello) = &hello {
        wrong.extend(hello.stopped.as_ref().map(|why| format!("it does nothing: {why}")));
        if *hello.fixes != *catalogue.digest() {
            wrong.push("its fixes are not the hub's: what differs is declined".into());
        }
        let not = at.accounts.iter().filter(|account| hello.stopped.is_none() && !hello.accounts.contains(account));
        let not: Vec<&str> = not.map(|account| account.as_str()).collect();
        if !not.is_empty() {
            wrong.push(format!("its policy does not name {}", not.join(", ")));
        }
    }
    let accounts = at.accounts.iter().map(|account| account.as_str().to_owned()).collect();
    Row { name: at.name.clone(), url: at.url.clone(), accounts, hello, wrong }
}

/// Says of each fix on whose word a policy lets it be done.
fn policy(file: Option<&Path>, config: &Config, output: Output) -> Result<Exit, Failure> {
    let configured = config.executor.as_ref().map(|executor| executor.policy.as_path());
    let Some(file) = file.or(configured) else {
        let hint = "name the file: `amend executor policy FILE`";
        return Err(Failure::new("there is no policy: this is no executor", None, Some(hint)));
    };
    let catalogue = setup::catalogue(config, output)?;
    let policy = policy_file::load(&files::read_text(file)?, &catalogue).map_err(|mistakes| {
        Failure::from(amend_service::SetupError::mistakes("the policy cannot be used", mistakes))
    })?;
    let person = Word::Person { name: "somebody".into() };
    let lets = |fix: &Fix, word: &Word| {
        // One resource of the first account that the fix is for: what is spared is asked about by name.
        let account = policy.accounts.iter().find(|account| account_is_of(account.as_str(), fix))?;
        let resource = amend_domain::ResourceId::new("(any)");
        let at = At { resource, cloud: fix.cloud(), account: Some(account.clone()), region: None, via: None };
        Some(policy.lets_write(fix, &at, word, None).map_err(|not| not.to_string()))
    };
    let mut rows = Vec::new();
    for file in catalogue.iter() {
        let fix = &file.fix;
        let (Some(rule), Some(person)) = (lets(fix, &Word::Rule), lets(fix, &person)) else { continue };
        rows.push((fix.id.to_string(), rule, person));
    }
    // Whatever is done first.
    rows.sort_by_key(|(_, rule, person)| (rule.is_err(), person.is_err()));
    if output.format() == Format::Json {
        let shown = |(id, rule, person): &(String, Result<(), String>, Result<(), String>)| json!({ "fix": id, "rule": rule.is_ok(), "person": person.is_ok(), "why": rule.as_ref().err() });
        let fixes: Vec<_> = rows.iter().map(shown).collect();
        let accounts: Vec<_> = policy.accounts.iter().map(|account| account.as_str()).collect();
        output
            .json(&json!({ "accounts": accounts, "most": policy.most, "stopped": policy.stopped, "fixes": fixes }))?;
        return Ok(Exit::Ok);
    }
    let shown = |(id, rule, person): &(String, Result<(), String>, Result<(), String>)| {
        let (whose, why) = match (rule, person) {
            (Ok(()), _) => (("rules and people".to_owned(), Tone::Good), ""),
            (Err(why), Ok(())) => (("people".to_owned(), Tone::Plain), why.as_str()),
            (Err(_), Err(why)) => (("nobody".to_owned(), Tone::Dim), why.as_str()),
        };
        vec![plain(id), whose, (why.to_owned(), Tone::Dim)]
    };
    let shown: Vec<_> = rows.iter().map(shown).collect();
    output.table(&[("fix", 20, 44), ("done for", 18, 18), ("why not", 24, 90)], &shown);
    output.note(&format!("\n{}", policy_in_a_line(&policy)));
    Ok(Exit::Ok)
}

fn account_is_of(account: &str, fix: &Fix) -> bool {
    match fix.cloud() {
        amend_domain::Cloud::Aws => account.starts_with("aws:"),
        amend_domain::Cloud::Azure => account.starts_with("/subscriptions/"),
        _ => account.starts_with("gcp:"),
    }
}

fn policy_in_a_line(policy: &Policy) -> String {
    let accounts: Vec<&str> = policy.accounts.iter().map(AccountId::as_str).collect();
    let spared: Vec<String> = policy.spare.iter().map(ToString::to_string).collect();
    let most = match &policy.stopped {
        Some(why) => format!("everything is stopped ({why})"),
        None => format!("at most `{}`", policy.most.as_str()),
    };
    let but = if spared.is_empty() { String::new() } else { format!(", but for {}", spared.join(", ")) };
    format!("{most} in {}{but}", accounts.join(", "))
}

//! Where executors are, and what one is: `hub` and `executor` in amend.yaml.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use amend_catalog::{policy_file, yaml::Node};
use amend_cloud::remote::{self, Checker, ExecutorAt, Signer};
use amend_domain::AccountId;

use super::reader::Reader;
use crate::executor::AttestKeys;

/// What the hub knows of its executors.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hub {
    /// What signs tasks.
    pub key: Option<Signer>,
    /// The executors.
    pub executors: Vec<ExecutorAt>,
}

/// What this executor is.
#[derive(Clone, Debug, PartialEq)]
pub struct ExecutorIs {
    /// Its name.
    pub name: String,
    /// The keys of hubs whose tasks it takes.
    pub hubs: Checker,
    /// The file with its policy.
    pub policy: PathBuf,
    /// What it knows its own word by.
    pub keys: AttestKeys,
}

const NAMED: &str = "lower-case letters, digits and `-`, at most 64 of them";
const MAKES_KEYS: &str = "`amend executor key` makes keys, and says where each of them stands";

fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=64).contains(&name.len()) && name.chars().all(plain)
}

/// Reads `hub`.
pub(super) fn hub(reader: &mut Reader) -> Hub {
    let key = reader.parse("hub.key", MAKES_KEYS, |text| match Signer::read(text) {
        // What only checks is handed out: a key that both have must not be.
        Ok(signer) if signer.public().is_some() => Ok(signer),
        _ if text.trim().starts_with("whpk_") => {
            Err("`hub.key` signs, and this key only checks: the one that signs begins with `whsk_`".to_owned())
        }
        Ok(_) => Err("`hub.key` is not the secret key of a pair (`whsk_…`)".to_owned()),
        Err(error) => Err(format!("`hub.key` cannot be used: {error}")),
    });
    if key.is_some() {
        reader.show_as("(not shown)".into());
    }
    let list = reader.root.get("hub").and_then(|hub| hub.get("executors"));
    let list: Vec<Node> = list.map(Node::elements).unwrap_or_default().to_vec();
    let mut hub = Hub { key, executors: Vec::new() };
    let mut known = BTreeSet::new();
    for node in &list {
        executor_at(reader, node, &mut hub, &mut known);
    }
    if !list.is_empty() && hub.key.is_none() && !reader.has("hub.key") {
        let message = "no executor takes tasks that nobody signed: `hub.key` is missing";
        reader.wrong_at("hub.executors", message, "`amend executor key` makes one: give it as AMEND__HUB__KEY");
    }
    let names: Vec<&str> = hub.executors.iter().map(|executor| executor.name.as_str()).collect();
    let names = if names.is_empty() { "(none)".into() } else { names.join(", ") };
    reader.show_before("executor.name", "hub.executors", names);
    hub
}

fn executor_at(reader: &mut Reader, node: &Node, hub: &mut Hub, known: &mut BTreeSet<AccountId>) {
    let (Some(name_at), Some(url_at), Some(accounts_at)) = (node.get("name"), node.get("url"), node.get("accounts"))
    else {
        return;
    };
    let (name, url) = (reader.mistakes.text(name_at), reader.mistakes.text(url_at));
    if !is_name(&name) {
        reader.mistakes.error(name_at, format!("`{name}` is no name of an executor"), Some(NAMED.into()));
    }
    if hub.executors.iter().any(|other| other.name == name) {
        reader.mistakes.error(name_at, format!("there are two executors `{name}`"), None);
    }
    if let Err(why) = remote::address(&url) {
        let hint = "write it as `https://HOST`: without TLS nobody knows who answers";
        reader.mistakes.error(url_at, why, Some(hint.into()));
    }
    let each =
        if accounts_at.elements().is_empty() { vec![accounts_at.clone()] } else { accounts_at.elements().to_vec() };
    let mut accounts = Vec::new();
    for node in &each {
        let text = reader.mistakes.text(node);
        match policy_file::account(&text) {
            None => {
                let hint = "write `aws:111122223333` or `gcp:projects/NAME`";
                reader.mistakes.error(node, format!("`{text}` is no account"), Some(hint.into()));
            }
            // What Resource Graph tells is asked for by the hub itself, for all subscriptions at once.
            Some(account) if account.as_str().starts_with('/') => {
                let hint = "give the hub's identity a role there";
                reader.mistakes.error(node, "subscriptions are not reached through executors", Some(hint.into()));
            }
            Some(account) if !known.insert(account.clone()) => {
                reader.mistakes.error(node, format!("`{text}` has an executor already"), None);
            }
            Some(account) => accounts.push(account),
        }
    }
    hub.executors.push(ExecutorAt { name, url, accounts });
}

/// Reads `executor`.
pub(super) fn executor(reader: &mut Reader, folder: &Path) -> Option<ExecutorIs> {
    let there = reader.has("executor");
    let name = reader.parse("executor.name", NAMED, |name| {
        if is_name(name) { Ok(name.to_owned()) } else { Err(format!("`{name}` is no name of an executor")) }
    });
    let hubs = reader.parse_whole("executor.hubs", MAKES_KEYS, |texts| {
        // INVARIANT: an executor has nothing that signs for a hub.
        if texts.iter().any(|text| !text.trim().starts_with("whpk_")) {
            return Err("the key of a hub begins with `whpk_`".to_owned());
        }
        Checker::read(texts).map_err(|error| format!("`executor.hubs` cannot be used: {error}"))
    });
    let policy = reader.text("executor.policy").map(|path| folder.join(path));
    let keys = reader.parse_whole("executor.keys", MAKES_KEYS, |texts| {
        AttestKeys::read(texts).map_err(|why| format!("`executor.keys` cannot be used: {why}"))
    });
    if keys.is_some() {
        reader.show_as("(not shown)".into());
    }
    if !there {
        return None;
    }
    let lacks = [
        ("name", name.is_some(), "what the hub calls it"),
        ("hubs", hubs.is_some(), "the `whpk_…` key of the hub"),
        ("policy", policy.is_some(), "the file that says what may be done in its accounts"),
        (
            "keys",
            keys.as_ref().is_some_and(|keys| !keys.is_empty()),
            "`amend executor key` makes one: give it as AMEND__EXECUTOR__KEYS",
        ),
    ];
    for (member, is_there, what) in lacks {
        let path = format!("executor.{member}");
        if !is_there && !reader.has(&path) {
            reader.wrong_at("executor", &format!("an executor needs `{path}`"), what);
        }
    }
    Some(ExecutorIs { name: name?, hubs: hubs?, policy: policy?, keys: keys.filter(|keys| !keys.is_empty())? })
}

//! Connectors, and which tickets go where: `connect` and `tickets` of amend.yaml.

use std::collections::BTreeSet;

use amend_catalog::yaml::Node;
use amend_connect::{Fields, Secret, github, jira, servicenow, webhook};
use amend_domain::{Cloud, pattern::Pattern, ticket::Budget};

use super::{members::CONNECTOR, reader::Reader};
use crate::tickets::{LOCAL, Route, Routes};

/// A connector, as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct Connector {
    /// What it is called.
    pub name: String,
    /// What it connects to.
    pub to: To,
}

/// What a connector connects to.
#[derive(Clone, Debug, PartialEq)]
pub enum To {
    /// Jira Cloud.
    Jira(jira::Settings),
    /// ServiceNow.
    ServiceNow(servicenow::Settings),
    /// GitHub Issues.
    GitHub(github::Settings),
    /// Any other system.
    Webhook(webhook::Settings),
}

impl To {
    /// The word for it in amend.yaml.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Jira(_) => "jira",
            Self::ServiceNow(_) => "servicenow",
            Self::GitHub(_) => "github",
            Self::Webhook(_) => "webhook",
        }
    }

    /// Where it is. Of a webhook only the host: the rest of its address may be a secret.
    #[must_use]
    pub fn place(&self) -> &str {
        match self {
            Self::Jira(settings) => &settings.url,
            Self::ServiceNow(settings) => &settings.url,
            Self::GitHub(settings) => &settings.url,
            Self::Webhook(settings) => amend_connect::host_of(&settings.url).unwrap_or_default(),
        }
    }
}

/// The connectors.
pub(super) fn read(reader: &mut Reader) -> Vec<Connector> {
    let names = named(reader, "connect", "a connector");
    names.into_iter().filter_map(|name| connector(reader, name)).collect()
}

/// The names that stand in a table, in the file or in the environment.
pub(super) fn named(reader: &mut Reader, path: &str, what: &str) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = reader.overridden(&format!("{path}.")).into_iter().collect();
    let table = path.split('.').try_fold(&reader.root, |node, part| node.get(part));
    let entries = table.map(Node::entries).unwrap_or_default().to_vec();
    for (name, _) in &entries {
        let text = reader.mistakes.text(name);
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if text == LOCAL || text.is_empty() || !text.chars().all(plain) {
            let hint = "lower-case letters, digits and `_`, and not `local`: the environment names it, too";
            reader.mistakes.error(name, format!("{what} cannot be called `{text}`"), Some(hint.into()));
        } else {
            names.insert(text);
        }
    }
    names
}

fn connector(reader: &mut Reader, name: String) -> Option<Connector> {
    let path = format!("connect.{name}");
    let kinds: Vec<&str> =
        CONNECTOR.fields.iter().map(|field| field.name).filter(|kind| reader.has(&format!("{path}.{kind}"))).collect();
    let [kind] = kinds.as_slice() else {
        let hint = "one of jira, servicenow, github, webhook";
        reader.wrong_at(&path, &format!("the connector `{name}` must name one thing that it connects to"), hint);
        return None;
    };
    let path = format!("{path}.{kind}");
    let to = match *kind {
        "jira" => jira_of(reader, &path).map(To::Jira),
        "servicenow" => servicenow_of(reader, &path).map(To::ServiceNow),
        "github" => github_of(reader, &path).map(To::GitHub),
        _ => webhook_of(reader, &path).map(To::Webhook),
    };
    to.map(|to| Connector { name, to })
}

fn jira_of(reader: &mut Reader, path: &str) -> Option<jira::Settings> {
    let url = address(reader, path, None);
    let user = needed(reader, path, "user");
    let token = secret(reader, path, "token");
    let project = needed(reader, path, "project").filter(|key| {
        let fits = key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !fits {
            reader.wrong_at(&format!("{path}.project"), "this is no key of a project", "write it as `SEC`");
        }
        fits
    });
    let kind = reader.text(&format!("{path}.type")).unwrap_or_else(|| "Task".into());
    let close = reader.text(&format!("{path}.close"));
    let reopen = reader.text(&format!("{path}.reopen"));
    let fields = fields(reader, path);
    Some(jira::Settings { url: url?, user: user?, token: token?, project: project?, kind, close, reopen, fields })
}

fn servicenow_of(reader: &mut Reader, path: &str) -> Option<servicenow::Settings> {
    let url = address(reader, path, None);
    let user = needed(reader, path, "user");
    let password = secret(reader, path, "password");
    let close_code = reader.text(&format!("{path}.close_code")).unwrap_or_else(|| "Resolved by request".into());
    let fields = fields(reader, path);
    Some(servicenow::Settings { url: url?, user: user?, password: password?, close_code, fields })
}

fn github_of(reader: &mut Reader, path: &str) -> Option<github::Settings> {
    let url = address(reader, path, Some("https://api.github.com"));
    let token = secret(reader, path, "token");
    let repository = needed(reader, path, "repository").filter(|name| {
        let word = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let parts: Vec<&str> = name.split('/').collect();
        let fits = parts.len() == 2 && parts.iter().all(|part| !part.is_empty() && part.chars().all(word));
        if !fits {
            reader.wrong_at(&format!("{path}.repository"), "this is no repository", "write it as `owner/name`");
        }
        fits
    });
    let fields = fields(reader, path);
    Some(github::Settings { url: url?, repository: repository?, token: token?, fields })
}

fn webhook_of(reader: &mut Reader, path: &str) -> Option<webhook::Settings> {
    let url = address(reader, path, None);
    let name = format!("{path}.secret");
    let secret = secret(reader, path, "secret").filter(|secret| {
        let key = webhook::signer(secret).map_err(|error| error.to_string());
        if let Err(why) = &key {
            reader.wrong_at(&name, why, "write it as `whsec_` and base64 of 24 bytes or more");
        }
        key.is_ok()
    });
    Some(webhook::Settings { url: url?, secret: secret? })
}

/// What must be there.
fn needed(reader: &mut Reader, path: &str, member: &str) -> Option<String> {
    let name = format!("{path}.{member}");
    let text = reader.text(&name).filter(|text| !text.trim().is_empty());
    if text.is_none() {
        let variable = format!("AMEND__{}", name.to_uppercase().replace('.', "__"));
        reader.wrong_at(path, &format!("it lacks `{member}`"), &format!("add `{member}`, or give it as {variable}"));
    }
    text
}

fn secret(reader: &mut Reader, path: &str, member: &str) -> Option<Secret> {
    let text = needed(reader, path, member)?;
    reader.show_as("(not shown)".into());
    let secret = Secret::new(text);
    if !secret.is_plain() {
        let name = format!("{path}.{member}");
        reader.wrong_at(&name, "it holds a line break, or a letter that no token has", "take it from its source again");
        return None;
    }
    Some(secret)
}

fn address(reader: &mut Reader, path: &str, usual: Option<&str>) -> Option<String> {
    let url = match usual {
        Some(usual) => reader.text(&format!("{path}.url")).unwrap_or_else(|| usual.to_owned()),
        None => needed(reader, path, "url")?,
    };
    let is_base = !path.ends_with("webhook");
    let host = amend_connect::host_of(&url).and_then(|host| match url.contains(['?', '#']) && is_base {
        true => Err("an address ends before `?` and `#`".to_owned()),
        false => Ok(host),
    });
    if !is_base && let Ok(host) = &host {
        // The rest may be a secret, as with many services.
        let scheme = url.split("://").next().unwrap_or_default();
        reader.show_as(format!("{scheme}://{host}/…"));
    }
    match host {
        Ok(_) => Some(url),
        Err(why) => {
            let hint = "write it as `https://host`; without TLS only this machine is reached";
            reader.wrong_at(&format!("{path}.url"), &why, hint);
            None
        }
    }
}

fn fields(reader: &mut Reader, path: &str) -> Fields {
    let mut fields = Fields::default();
    let node = path.split('.').try_fold(&reader.root, |node, part| node.get(part));
    let entries = node.and_then(|node| node.get("fields")).map(Node::entries).unwrap_or_default().to_vec();
    for (name, value) in &entries {
        if let Err(message) = fields.add(&reader.mistakes.text(name), value.to_json()) {
            let hint = "an expression over `ticket`: `=ticket.due`; docs/connectors lists its members";
            reader.mistakes.error(value, message, Some(hint.into()));
        }
    }
    fields
}

/// Where tickets go, and how many.
pub(super) fn routes(reader: &mut Reader, connectors: &[Connector]) -> (Routes, Budget) {
    let mut budget = Budget::default();
    reader.whole("tickets.per_owner", &mut budget.per_owner);
    reader.whole("tickets.per_rule", &mut budget.per_rule);
    // One that has a mistake is said to have that, and not to be missing.
    let entries = reader.root.get("connect").map(Node::entries).unwrap_or_default();
    let mut names: BTreeSet<String> = entries.iter().map(|(name, _)| reader.mistakes.text(name)).collect();
    names.extend(connectors.iter().map(|one| one.name.clone()));
    let known = |name: &str| name == LOCAL || names.contains(name);
    let hint = match names.is_empty() {
        true => "`local`; there are no connectors".to_owned(),
        false => format!("`local`, or a connector: {}", names.iter().cloned().collect::<Vec<_>>().join(", ")),
    };
    let to = reader.parse("tickets.to", &hint, |name| match known(name) {
        true => Ok(name.to_owned()),
        false => Err(format!("no connector is called `{name}`")),
    });
    let nodes = reader.root.get("tickets").and_then(|node| node.get("routes")).map(Node::elements).unwrap_or_default();
    let nodes = nodes.to_vec();
    let mut list = Vec::new();
    for node in &nodes {
        let text = |member: &str, reader: &Reader| node.get(member).map(|node| reader.mistakes.text(node));
        let Some(to) = text("to", reader) else { continue };
        if !known(&to) {
            let node = node.get("to").unwrap_or(node);
            reader.mistakes.error(node, format!("no connector is called `{to}`"), Some(hint.clone()));
        }
        let cloud = text("cloud", reader).and_then(|word| match word.as_str() {
            "azure" => Some(Cloud::Azure),
            "aws" => Some(Cloud::Aws),
            "gcp" => Some(Cloud::Gcp),
            _ => None,
        });
        let accounts = node.get("account").map(|node| reader.mistakes.texts(Some(node))).unwrap_or_default();
        // As lists show them, too: `/subscriptions/…`, `aws:…`, `gcp:…`.
        let native = |text: &String| text.trim().rsplit(['/', ':']).next().unwrap_or_default().to_owned();
        let accounts: Vec<String> = accounts.iter().map(native).collect();
        let owners = node.get("owner").map(|node| reader.mistakes.texts(Some(node))).unwrap_or_default();
        for member in ["account", "owner"] {
            let node = node.get(member).unwrap_or(node);
            let all = if member == "account" { &accounts } else { &owners };
            if all.iter().any(|text| text.trim().is_empty()) {
                let hint = Some("leave it out where any will do".to_owned());
                reader.mistakes.error(node, format!("an empty `{member}` fits nothing"), hint);
            }
        }
        let owners = owners.iter().map(|text| Pattern::new(text)).collect();
        list.push(Route { cloud, accounts, owners, to });
    }
    let shown = match list.is_empty() {
        true => "(none)".to_owned(),
        false => list.iter().map(|route| route.to.as_str()).collect::<Vec<_>>().join(", "),
    };
    reader.show_before("tickets.per_owner", "tickets.routes", shown);
    (Routes::new(list, to.as_deref().unwrap_or(LOCAL)), budget)
}

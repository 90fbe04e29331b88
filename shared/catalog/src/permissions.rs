//! The least that the fixes need to be allowed: derived from their calls, split by what they are for.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};

use amend_domain::{
    Cloud,
    fix::{Fix, Step},
    target::TargetForm,
};
use amend_models::{Api, Call, ModelError};
use serde_json::{Value, json};

use crate::{
    Mistakes, SourceText,
    mistakes::Collector,
    shape::{self, Kind, Shape, must},
    yaml::{self, Node},
};

static FILE: Shape = Shape {
    name: "a table of permissions",
    fields: &[
        must("version", Kind::Whole(1, 1), "The version of the format: 1."),
        must("permissions", Kind::Table(&Kind::List(&Kind::Text)), "Per call, what it needs."),
    ],
};

type Table = BTreeMap<String, Vec<String>>;

/// The table that ships with Amend.
///
/// # Errors
/// Never for the shipped file, which a test reads.
pub fn table() -> Result<Table, Mistakes> {
    let file = SourceText::new("(built in) permissions.yaml", include_str!("../permissions.yaml"));
    let mut mistakes = Collector::new(&file);
    let mut table = None;
    if let Some(root) = yaml::parse(&file, &mut mistakes)
        && shape::check(&root, Kind::Map(&FILE), &mut mistakes)
    {
        let entries = root.get("permissions").map(Node::entries).unwrap_or_default();
        table = Some(entries.iter().map(|(call, list)| (mistakes.text(call), mistakes.texts(Some(list)))).collect());
    }
    mistakes.finish().into_result(table).map(|(table, _)| table)
}

fn known() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| table().unwrap_or_default())
}

/// Why permissions cannot be derived.
#[derive(Debug, thiserror::Error)]
pub enum PermissionError {
    /// A fix names a call that is not known.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Nobody says what a call needs.
    #[error("nothing says which permissions `{0}` needs")]
    Unknown(String),
}

/// What a call needs to be allowed.
///
/// # Errors
/// When the call is not known, or nobody says what it needs.
pub fn of_call(name: &str) -> Result<Vec<String>, PermissionError> {
    if let Some(list) = known().get(name) {
        return Ok(list.clone());
    }
    match Call::find(name)?.api {
        Api::Aws { .. } => Ok(vec![name.to_owned()]),
        Api::Azure(arm) => Ok(vec![match &*arm.method {
            "GET" => format!("{}/read", arm.kind),
            "PUT" | "PATCH" => format!("{}/write", arm.kind),
            "DELETE" => format!("{}/delete", arm.kind),
            _ => format!("{}/action", arm.kind),
        }]),
        Api::Gcp { .. } => Err(PermissionError::Unknown(name.to_owned())),
    }
}

/// Permissions, with the resources they are needed on.
type Needed = BTreeMap<String, BTreeSet<String>>;

/// A role for what fixes do in one cloud at one step: reading, writing or undoing. Nothing, where they
/// do nothing there.
///
/// # Errors
/// When the permissions of a call are not known.
pub fn role(fixes: &[&Fix], cloud: Cloud, step: Step) -> Result<Option<Value>, PermissionError> {
    let mut needed = Needed::new();
    for fix in fixes.iter().filter(|fix| fix.cloud() == cloud) {
        for (call, of) in fix.calls().filter(|(_, of)| *of == step) {
            for permission in of_call(call)? {
                let places = needed.entry(permission).or_default();
                places.extend(places_of(fix, of));
            }
        }
    }
    if needed.is_empty() {
        return Ok(None);
    }
    let what = match step {
        Step::Read => "Reads what the enabled fixes of Amend look at.",
        Step::Write => "Writes what the enabled fixes of Amend change.",
        Step::Undo => "Brings back what the enabled fixes of Amend changed.",
    };
    Ok(Some(definition(cloud, &needed, step.as_str(), what)))
}

/// A role for the calls in one cloud that tell facts, and which assessments there are.
///
/// # Errors
/// When the permissions of a call are not known.
pub fn role_of_calls(calls: &[&str], cloud: Cloud, name: &str, what: &str) -> Result<Value, PermissionError> {
    let mut needed = Needed::new();
    for call in calls {
        needed.extend(of_call(call)?.into_iter().map(|permission| (permission, BTreeSet::from(["*".to_owned()]))));
    }
    Ok(definition(cloud, &needed, name, what))
}

/// A role as its cloud takes it.
fn definition(cloud: Cloud, needed: &Needed, name: &str, what: &str) -> Value {
    let names: Vec<&String> = needed.keys().collect();
    let title = format!("Amend {name}");
    match cloud {
        Cloud::Aws => policy(needed, name),
        Cloud::Azure => json!({
            "Name": title,
            "IsCustom": true,
            "Description": what,
            "Actions": names,
            "NotActions": [],
            "AssignableScopes": ["/providers/Microsoft.Management/managementGroups/YOUR-GROUP"],
        }),
        _ => json!({ "title": title, "description": what, "stage": "GA", "includedPermissions": names }),
    }
}

/// Where a step of a fix needs its permissions: reading is allowed everywhere, as most calls that
/// describe things know no resources; what changes things, on the fix's kind of resource.
fn places_of(fix: &Fix, step: Step) -> Vec<String> {
    let arns = fix.target.iter().map(pattern).collect::<Option<Vec<_>>>();
    match (fix.cloud(), step, arns) {
        (Cloud::Aws, Step::Write | Step::Undo, Some(arns)) => arns,
        _ => vec!["*".to_owned()],
    }
}

/// The ARNs of a form: `arn:*:s3:::*`. Nothing, where it is no form of ARNs.
fn pattern(form: &TargetForm) -> Option<String> {
    let mut text = form.to_string();
    for part in form.parts() {
        text = text.replace(&format!("{{{part}}}"), "*");
    }
    text.starts_with("arn:").then_some(text)
}

fn policy(needed: &Needed, name: &str) -> Value {
    // Permissions on the same resources stand together.
    let mut by_places: BTreeMap<&BTreeSet<String>, Vec<&String>> = BTreeMap::new();
    for (permission, places) in needed {
        by_places.entry(places).or_default().push(permission);
    }
    let statements: Vec<Value> = by_places
        .iter()
        .enumerate()
        .map(|(at, (places, permissions))| {
            json!({ "Sid": format!("Amend{}{at}", capital(name)), "Effect": "Allow", "Action": permissions, "Resource": places })
        })
        .collect();
    json!({ "Version": "2012-10-17", "Statement": statements })
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

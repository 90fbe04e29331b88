//! Google Cloud: Resource Manager knows projects and folders, Cloud Asset Inventory the labels of
//! resources.
//!
//! Source: <https://cloud.google.com/resource-manager/reference/rest/v3/projects/get> and
//! <https://cloud.google.com/asset-inventory/docs/search-query-syntax>.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use amend_domain::{
    AccountId, ScopeId, Tags,
    thing::{Read, Thing, ThingKind},
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{call, why};
use crate::{
    CallError, Cloud, Place,
    graph::{text, texts},
};

/// The calls made here.
pub(super) const CALLS: [&str; 3] =
    ["cloudasset.searchAllResources", "cloudresourcemanager.folders.get", "cloudresourcemanager.projects.get"];

/// The most comparisons in one query, and the most characters: the API allows no more.
const BATCH: usize = 10;
const LONGEST: usize = 2_000;
/// No hierarchy nests deeper: ten levels of folders.
const DEEPEST: usize = 12;

const MANAGER: &str = "Google Cloud Resource Manager";
const INVENTORY: &str = "Cloud Asset Inventory";

pub(super) async fn read(cloud: &dyn Cloud, things: Vec<&Thing>, now: Timestamp) -> Vec<Read> {
    let mut reads: HashMap<&str, Read> = HashMap::new();
    let mut parents = Parents::new();
    let mut by_project: BTreeMap<&AccountId, Vec<&Thing>> = BTreeMap::new();
    for thing in &things {
        match (&thing.account, thing.kind) {
            (None, _) => {
                reads.insert(&thing.id, Read::failed("its project is not known"));
            }
            (Some(project), ThingKind::Account) => {
                reads.insert(&thing.id, account(cloud, project, &mut parents, now).await);
            }
            (Some(project), _) => by_project.entry(project).or_default().push(thing),
        }
    }
    for (project, things) in by_project {
        for batch in batches(&things) {
            reads.extend(labels(cloud, project, batch, now).await);
        }
    }
    let unread = || Read::failed("it was not asked about");
    things.iter().map(|thing| reads.remove(&*thing.id).unwrap_or_else(unread)).collect()
}

/// The comparison that finds a resource by its full name. Nothing for what is no full name.
fn comparison(id: &str) -> Option<String> {
    let plain = id.starts_with("//") && !id.contains(['"', '\\', '\n', '\r']);
    plain.then(|| format!("name=\"{id}\""))
}

/// Cuts a list so that each part fits into one query.
fn batches<'l, 't>(things: &'l [&'t Thing]) -> Vec<&'l [&'t Thing]> {
    let (mut batches, mut rest) = (Vec::new(), things);
    while !rest.is_empty() {
        let mut length = 0_usize;
        let fits = |thing: &&&Thing| {
            length = length.saturating_add(thing.id.len()).saturating_add(" OR name=\"\"".len());
            length <= LONGEST
        };
        let many = rest.iter().take(BATCH).take_while(fits).count().max(1);
        let (batch, later) = rest.split_at_checked(many).unwrap_or((rest, &[]));
        batches.push(batch);
        rest = later;
    }
    batches
}

async fn labels<'t>(
    cloud: &dyn Cloud,
    project: &AccountId,
    things: &[&'t Thing],
    now: Timestamp,
) -> Vec<(&'t str, Read)> {
    let source: Arc<str> = INVENTORY.into();
    let found = search(cloud, project, things).await;
    let one = |thing: &&'t Thing| {
        let read = match &found {
            Err(error) => Read::failed(why(error)),
            Ok(found) => match found.get(&*thing.id) {
                None => Read::failed(format!("{INVENTORY} does not know it, or may not show it")),
                Some(labels) => {
                    let mut read = Read::default();
                    read.put_tags(labels.clone(), &source, now);
                    read
                }
            },
        };
        (&*thing.id, read)
    };
    things.iter().map(one).collect()
}

async fn search(cloud: &dyn Cloud, project: &AccountId, things: &[&Thing]) -> Result<HashMap<String, Tags>, CallError> {
    let mut found = HashMap::new();
    let comparisons: Vec<String> = things.iter().filter_map(|thing| comparison(&thing.id)).collect();
    if comparisons.is_empty() {
        return Ok(found);
    }
    let place = Place { account: Some(project.clone()), ..Place::default() };
    let mut page = Value::Null;
    loop {
        let args = json!({
            "scope": format!("projects/{}", project.native()),
            "query": comparisons.join(" OR "),
            "readMask": "name,labels",
            "pageSize": 500,
            "pageToken": page,
        });
        let answer = call(cloud, &place, "cloudasset.searchAllResources", &args).await?;
        for result in answer.get("results").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default() {
            if let Some(name) = text(result, "name") {
                found.insert(name.to_owned(), Tags(texts(result.get("labels"))));
            }
        }
        match text(&answer, "nextPageToken").filter(|token| !token.is_empty()) {
            Some(token) => page = token.into(),
            None => return Ok(found),
        }
    }
}

/// What is above a folder, as far as it was asked before.
type Parents = HashMap<String, String>;

/// A project: its place in the organization, its labels, its name.
async fn account(cloud: &dyn Cloud, project: &AccountId, parents: &mut Parents, now: Timestamp) -> Read {
    let source: Arc<str> = MANAGER.into();
    let place = Place { account: Some(project.clone()), ..Place::default() };
    let args = json!({ "name": format!("projects/{}", project.native()) });
    let described = match call(cloud, &place, "cloudresourcemanager.projects.get", &args).await {
        Ok(described) => described,
        Err(error) => return Read::failed(why(&error)),
    };
    let mut read = Read { name: text(&described, "displayName").map(Into::into), ..Read::default() };
    read.put_tags(Tags(texts(described.get("labels"))), &source, now);
    match ancestors(cloud, text(&described, "parent").unwrap_or_default(), parents).await {
        Ok(scopes) => read.put_ancestors(scopes, &source, now),
        Err(error) => read.failed = Some(why(&error)),
    }
    read
}

/// The organization and the folders down to the project. A project without a parent is in none.
async fn ancestors(cloud: &dyn Cloud, parent: &str, parents: &mut Parents) -> Result<Vec<ScopeId>, CallError> {
    const FOLDERS: &str = "cloudresourcemanager.folders.get";
    let unreadable = |reason: String| CallError::Unreadable { call: FOLDERS.to_owned(), reason };
    let mut chain = Vec::new();
    let mut above = parent.to_owned();
    while !above.is_empty() {
        if chain.len() > DEEPEST {
            return Err(unreadable(format!("{DEEPEST} folders above the project, and no organization")));
        }
        chain.push(ScopeId::parse(&format!("gcp:{above}")).map_err(|error| unreadable(error.to_string()))?);
        if !above.starts_with("folders/") {
            break;
        }
        above = match parents.get(&above) {
            Some(known) => known.clone(),
            None => {
                let folder = call(cloud, &Place::default(), FOLDERS, &json!({ "name": above })).await?;
                let Some(parent) = text(&folder, "parent") else {
                    return Err(unreadable(format!("`{above}` has no parent")));
                };
                parents.insert(above, parent.to_owned());
                parent.to_owned()
            }
        };
    }
    chain.reverse();
    Ok(chain)
}

//! Azure: Resource Graph knows subscriptions with their management groups, resource groups and resources.
//!
//! Source: <https://learn.microsoft.com/azure/governance/resource-graph/reference/supported-tables-resources>
//! (`resourcecontainers`, `resources`); a subscription's `managementGroupAncestorsChain` begins with the
//! group that it is in:
//! <https://learn.microsoft.com/azure/governance/management-groups/resource-graph-samples>.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use amend_domain::{
    ScopeId, Tags,
    resource::canonical_arm,
    thing::{Read, Thing, ThingKind},
};
use jiff::Timestamp;
use serde_json::Value;

use super::why;
use crate::{
    CallError, Cloud,
    graph::{self, Within, text, texts},
};

/// The most ids in one query.
const BATCH: usize = 100;

const SOURCE: &str = "Azure Resource Graph";

pub(super) async fn read(cloud: &dyn Cloud, things: Vec<&Thing>, now: Timestamp) -> Vec<Read> {
    let mut rows: HashMap<String, Result<Value, Arc<str>>> = HashMap::new();
    let (resources, containers): (Vec<&Thing>, Vec<&Thing>) =
        things.iter().copied().partition(|thing| thing.kind == ThingKind::Resource);
    for (table, things) in [("resourcecontainers", containers), ("resources", resources)] {
        for batch in things.chunks(BATCH) {
            match ask(cloud, table, batch).await {
                Ok(found) => {
                    rows.extend(found.into_iter().filter_map(|row| Some((canonical_arm(text(&row, "id")?), Ok(row)))));
                }
                Err(error) => rows.extend(batch.iter().map(|thing| (thing.id.to_string(), Err(why(&error))))),
            }
        }
    }
    let source: Arc<str> = SOURCE.into();
    things.iter().map(|thing| answer(thing, rows.get(&*thing.id), &source, now)).collect()
}

async fn ask(cloud: &dyn Cloud, table: &str, things: &[&Thing]) -> Result<Vec<Value>, CallError> {
    let ids: Vec<String> = things.iter().filter_map(|thing| graph::literal(&thing.id)).collect();
    let subscriptions: BTreeSet<String> =
        things.iter().filter_map(|thing| Some(thing.account.as_ref()?.native().to_owned())).collect();
    if ids.is_empty() || subscriptions.is_empty() {
        return Ok(Vec::new());
    }
    let chain = if table == "resourcecontainers" { ", chain = properties.managementGroupAncestorsChain" } else { "" };
    let kql = format!("{table} | where id in~ ({}) | project id, name, tags{chain} | order by id asc", ids.join(", "));
    graph::ask_all(cloud, &kql, &Within::Subscriptions(subscriptions.into_iter().collect())).await
}

fn answer(thing: &Thing, row: Option<&Result<Value, Arc<str>>>, source: &Arc<str>, now: Timestamp) -> Read {
    let row = match row {
        Some(Ok(row)) => row,
        Some(Err(why)) => return Read::failed(Arc::clone(why)),
        None => return Read::failed(format!("{SOURCE} does not know it, or may not show it")),
    };
    let mut read = Read::default();
    read.put_tags(Tags(texts(row.get("tags"))), source, now);
    if thing.kind == ThingKind::Account {
        read.name = text(row, "name").map(Into::into);
        match ancestors(row) {
            Some(scopes) => read.put_ancestors(scopes, source, now),
            None => read.failed = Some(format!("{SOURCE} does not say which management groups it is in").into()),
        }
    }
    read
}

/// The management groups, outermost first. Every subscription is at least in the root group: no chain
/// means that it may not be seen.
fn ancestors(row: &Value) -> Option<Vec<ScopeId>> {
    let chain = row.get("chain")?.as_array().filter(|chain| !chain.is_empty())?;
    let scope = |group: &Value| {
        ScopeId::parse(&format!("/providers/Microsoft.Management/managementGroups/{}", text(group, "name")?)).ok()
    };
    chain.iter().rev().map(scope).collect()
}

//! AWS: Organizations knows accounts, the Resource Groups Tagging API the tags of resources.
//!
//! Source: <https://docs.aws.amazon.com/organizations/latest/APIReference/API_ListParents.html> and
//! <https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html>.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use amend_domain::{
    AccountId, ScopeId, Tags,
    thing::{Read, Thing, ThingKind},
};
use amend_models::aws_partitions;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{call, why};
use crate::{CallError, Cloud, Place, graph::text};

/// The calls made here.
pub(super) const CALLS: [&str; 4] = [
    "organizations:DescribeAccount",
    "organizations:ListParents",
    "organizations:ListTagsForResource",
    "resourcegroupstaggingapi:GetResources",
];

/// The most ARNs in one question.
const BATCH: usize = 100;
/// No organization nests deeper: five levels of units below the root.
const DEEPEST: usize = 10;

const ORGANIZATIONS: &str = "AWS Organizations";
const TAGGING: &str = "AWS Resource Groups Tagging API";

/// Services that the tagging API says nothing about: <https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/supported-services.html>.
const UNKNOWN_TO_TAGGING: [&str; 2] = ["iam", "autoscaling"];

pub(super) async fn read(
    cloud: &dyn Cloud,
    organization: Option<&AccountId>,
    things: Vec<&Thing>,
    now: Timestamp,
) -> Vec<Read> {
    let mut reads: HashMap<&str, Read> = HashMap::new();
    let mut parents = HashMap::new();
    let mut by_place: BTreeMap<(Option<&AccountId>, String), Vec<&Thing>> = BTreeMap::new();
    for thing in &things {
        if thing.kind == ThingKind::Account {
            reads.insert(&thing.id, account(cloud, organization, thing, &mut parents, now).await);
            continue;
        }
        match region_of(thing) {
            Ok(region) => by_place.entry((thing.account.as_ref(), region)).or_default().push(thing),
            Err(why) => {
                reads.insert(&thing.id, Read::failed(why));
            }
        }
    }
    for ((account, region), things) in by_place {
        let place = Place { account: account.cloned(), region: Some(region.into()), ..Place::default() };
        for batch in things.chunks(BATCH) {
            reads.extend(tags(cloud, &place, batch, now).await);
        }
    }
    let unread = || Read::failed("it was not asked about");
    things.iter().map(|thing| reads.remove(&*thing.id).unwrap_or_else(unread)).collect()
}

/// The region whose tagging API knows a resource.
fn region_of(thing: &Thing) -> Result<String, String> {
    let mut parts = thing.id.split(':');
    let (Some("arn"), Some(partition), Some(service), Some(region)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("it has no ARN".into());
    };
    if thing.account.is_none() {
        return Err("its account is not known".into());
    }
    if UNKNOWN_TO_TAGGING.contains(&service) {
        return Err(format!("the {TAGGING} says nothing about {service}"));
    }
    if !region.is_empty() {
        return Ok(region.to_owned());
    }
    // A bucket is in a region that its name does not tell; what is global is in one region.
    match (&thing.region, service) {
        (Some(region), _) => Ok(region.to_string()),
        (None, "s3") => Err("its region is not known".into()),
        (None, _) => home_region(partition).ok_or_else(|| format!("`{partition}` is no partition of AWS")),
    }
}

/// The region that answers for a partition's global services.
fn home_region(partition: &str) -> Option<String> {
    aws_partitions().ok().flatten()?.home_region(partition).map(ToOwned::to_owned)
}

async fn tags<'t>(cloud: &dyn Cloud, place: &Place, things: &[&'t Thing], now: Timestamp) -> Vec<(&'t str, Read)> {
    let source: Arc<str> = TAGGING.into();
    let found = tagged(cloud, place, things).await;
    let one = |thing: &&'t Thing| {
        let read = match &found {
            Err(error) => Read::failed(why(error)),
            // What has no tags, and never had one, is not in the answer.
            Ok(found) => {
                let mut read = Read::default();
                read.put_tags(found.get(&*thing.id).cloned().unwrap_or_default(), &source, now);
                read
            }
        };
        (&*thing.id, read)
    };
    things.iter().map(one).collect()
}

async fn tagged(cloud: &dyn Cloud, place: &Place, things: &[&Thing]) -> Result<HashMap<String, Tags>, CallError> {
    let arns: Vec<&str> = things.iter().map(|thing| &*thing.id).collect();
    let args = json!({ "ResourceARNList": arns });
    let answer = call(cloud, place, "resourcegroupstaggingapi:GetResources", &args).await?;
    // A list of ARNs is answered at once; a page that is missing would look like resources without tags.
    if text(&answer, "PaginationToken").is_some_and(|token| !token.is_empty()) {
        let reason = "the answer has more pages than it should".to_owned();
        return Err(CallError::Unreadable { call: "resourcegroupstaggingapi:GetResources".into(), reason });
    }
    let list = answer.get("ResourceTagMappingList").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    Ok(list.iter().filter_map(|one| Some((text(one, "ResourceARN")?.to_owned(), tags_of(one.get("Tags"))))).collect())
}

fn tags_of(list: Option<&Value>) -> Tags {
    let list = list.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let pair = |tag: &Value| Some((text(tag, "Key")?.to_owned(), text(tag, "Value").unwrap_or_default().to_owned()));
    Tags(list.iter().filter_map(pair).collect())
}

/// What is above a unit or an account, as far as it was asked before.
type Parents = HashMap<String, Option<String>>;

/// An account: its place in the organization, its tags, its name. Each may fail by itself.
async fn account(
    cloud: &dyn Cloud,
    organization: Option<&AccountId>,
    thing: &Thing,
    parents: &mut Parents,
    now: Timestamp,
) -> Read {
    let Some(account) = &thing.account else { return Read::failed("its account is not known") };
    let partition = thing.partition.as_deref().unwrap_or("aws");
    let Some(region) = home_region(partition) else {
        return Read::failed(format!("`{partition}` is no partition of AWS"));
    };
    let place = Place { account: organization.cloned(), region: Some(region.into()), ..Place::default() };
    let source: Arc<str> = ORGANIZATIONS.into();
    let mut read = Read::default();
    let (scopes, tags) = tokio::join!(
        ancestors(cloud, &place, account, parents, &mut read.name),
        tags_of_account(cloud, &place, account)
    );
    match scopes {
        Ok(scopes) => read.put_ancestors(scopes, &source, now),
        Err(error) => read.failed = Some(why(&error)),
    }
    match tags {
        Ok(tags) => read.put_tags(tags, &source, now),
        Err(error) => read.failed = read.failed.or_else(|| Some(why(&error))),
    }
    read
}

async fn tags_of_account(cloud: &dyn Cloud, place: &Place, account: &AccountId) -> Result<Tags, CallError> {
    let mut tags = Tags::default();
    let mut token = Value::Null;
    loop {
        let args = json!({ "ResourceId": account.native(), "NextToken": token });
        let answer = call(cloud, place, "organizations:ListTagsForResource", &args).await?;
        tags.0.extend(tags_of(answer.get("Tags")).0);
        token = answer.get("NextToken").cloned().unwrap_or(Value::Null);
        if token.is_null() {
            return Ok(tags);
        }
    }
}

/// The organization, its root, and the units down to the account. The account's name comes with it.
async fn ancestors(
    cloud: &dyn Cloud,
    place: &Place,
    account: &AccountId,
    parents: &mut Parents,
    name: &mut Option<Arc<str>>,
) -> Result<Vec<ScopeId>, CallError> {
    let unreadable = |call: &str, reason: String| CallError::Unreadable { call: call.to_owned(), reason };
    let args = json!({ "AccountId": account.native() });
    let described = call(cloud, place, "organizations:DescribeAccount", &args).await?;
    let described = described.get("Account").unwrap_or(&Value::Null);
    *name = text(described, "Name").map(Into::into);
    // arn:aws:organizations::<management account>:account/<organization>/<account>
    let organization = text(described, "Arn").and_then(|arn| arn.split('/').nth(1)).unwrap_or_default();
    let mut chain = Vec::new();
    let mut child = account.native().to_owned();
    for _ in 0..DEEPEST {
        let parent = match parents.get(&child) {
            Some(known) => known.clone(),
            None => {
                let answer = call(cloud, place, "organizations:ListParents", &json!({ "ChildId": child })).await?;
                let first = answer.get("Parents").and_then(|list| list.get(0)?.get("Id")?.as_str());
                parents.insert(child.clone(), first.map(ToOwned::to_owned));
                first.map(ToOwned::to_owned)
            }
        };
        let Some(parent) = parent else {
            return Err(unreadable("organizations:ListParents", format!("`{child}` has no parent")));
        };
        let is_root = parent.starts_with("r-");
        chain.push(parent.clone());
        if is_root {
            chain.push(organization.to_owned());
            let scopes: Result<Vec<ScopeId>, _> =
                chain.iter().rev().map(|id| ScopeId::parse(&format!("aws:{id}"))).collect();
            return scopes.map_err(|error| unreadable("organizations:ListParents", error.to_string()));
        }
        child = parent;
    }
    Err(unreadable("organizations:ListParents", format!("{DEEPEST} units above {account}, and no root")))
}

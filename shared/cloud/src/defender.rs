//! Defender for Cloud's own list of assessments, as Resource Graph holds it: of Azure, and of AWS and
//! Google Cloud through their connectors.
//!
//! Source: <https://learn.microsoft.com/azure/governance/resource-graph/reference/supported-tables-resources#securityresources>.

use amend_domain::AccountId;
use amend_domain::resource::canonical_arm;

use crate::{
    CallError, Cloud,
    graph::{self, Page, Within, text},
};

/// A subscription that can be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Its id.
    pub id: AccountId,
    /// What people call it.
    pub name: Box<str>,
}

/// The subscriptions that the credentials can see, in the order of their ids.
///
/// # Errors
/// When Resource Graph does not tell.
pub async fn subscriptions(cloud: &dyn Cloud, within: &Within) -> Result<Vec<Subscription>, CallError> {
    let kql =
        "resourcecontainers | where type =~ 'microsoft.resources/subscriptions' | project id, name | order by id asc";
    let rows = graph::ask_all(cloud, kql, within).await?;
    let subscription = |row: &serde_json::Value| {
        let id = AccountId::azure(&canonical_arm(text(row, "id")?))?;
        Some(Subscription { id, name: text(row, "name").unwrap_or_default().into() })
    };
    Ok(rows.iter().filter_map(subscription).collect())
}

/// A page of the assessments of a subscription.
///
/// # Errors
/// When Resource Graph does not tell.
pub async fn assessments(cloud: &dyn Cloud, subscription: &AccountId, next: Option<&str>) -> Result<Page, CallError> {
    let kql = "securityresources | where type =~ 'microsoft.security/assessments' | project id, name, type, tenantId, properties | order by id asc";
    graph::ask(cloud, kql, &Within::Subscriptions(vec![subscription.native().to_owned()]), next).await
}

//! Facts that events do not carry, read from the clouds in batches: the management scopes above an
//! account, and the tags of accounts, resource groups and resources.

mod aws;
mod azure;
mod gcp;

use std::sync::Arc;

use amend_domain::{
    AccountId, Cloud as CloudName,
    thing::{Read, Thing},
};
use amend_models::Call;
use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

use crate::{CallError, Cloud, Place};

/// The calls that read facts of a cloud, for the roles.
#[must_use]
pub fn calls(cloud: CloudName) -> &'static [&'static str] {
    match cloud {
        CloudName::Azure => &[crate::graph::QUERY],
        CloudName::Aws => &aws::CALLS,
        CloudName::Gcp => &gcp::CALLS,
        CloudName::Other => &[],
    }
}

/// Tells facts about things.
#[async_trait]
pub trait FactSource: Send + Sync {
    /// Reads what there is to know of each of `things`, in their order; `now` is when. What cannot be
    /// read is absent, with the reason.
    async fn read(&self, things: &[Thing], now: Timestamp) -> Vec<Read>;
}

/// The clouds themselves.
pub struct CloudFacts {
    cloud: Arc<dyn Cloud>,
    /// The account that the AWS organization is read from: its management account, or one that it
    /// delegated that to. The account of the credentials at hand, if absent.
    organization: Option<AccountId>,
}

impl CloudFacts {
    /// Reads facts by calling `cloud`.
    #[must_use]
    pub fn new(cloud: Arc<dyn Cloud>, organization: Option<AccountId>) -> Self {
        Self { cloud, organization }
    }
}

#[async_trait]
impl FactSource for CloudFacts {
    async fn read(&self, things: &[Thing], now: Timestamp) -> Vec<Read> {
        let of = |cloud: CloudName| things.iter().filter(|thing| thing.cloud == cloud).collect::<Vec<_>>();
        let (azure, aws, gcp) = tokio::join!(
            azure::read(&*self.cloud, of(CloudName::Azure), now),
            aws::read(&*self.cloud, self.organization.as_ref(), of(CloudName::Aws), now),
            gcp::read(&*self.cloud, of(CloudName::Gcp), now),
        );
        let (mut azure, mut aws, mut gcp) = (azure.into_iter(), aws.into_iter(), gcp.into_iter());
        let next = |thing: &Thing| match thing.cloud {
            CloudName::Azure => azure.next(),
            CloudName::Aws => aws.next(),
            CloudName::Gcp => gcp.next(),
            CloudName::Other => None,
        };
        things.iter().map(next).map(|read| read.unwrap_or_else(|| Read::failed("no cloud can be asked"))).collect()
    }
}

/// Makes a call by its name.
async fn call(cloud: &dyn Cloud, place: &Place, name: &str, args: &Value) -> Result<Value, CallError> {
    let found =
        Call::find(name).map_err(|error| CallError::NotReached { call: name.to_owned(), reason: error.to_string() })?;
    cloud.call(place, &found, args).await
}

/// A failed call, in one line, for people.
fn why(error: &CallError) -> Arc<str> {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().into()
}

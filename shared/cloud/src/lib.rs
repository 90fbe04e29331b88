//! Everything that calls a cloud: one method, for every call that the API descriptions know.
//!
//! A call is named (`s3:PutPublicAccessBlock`, `PATCH Microsoft.Storage/storageAccounts@…`,
//! `storage.buckets.patch`) and takes JSON in the API's own names. It is checked against the published
//! description before it is sent, and its answer is completed from it. What to call, and whether that
//! is allowed, is decided elsewhere.

pub mod aws;
pub mod azure;
pub mod defender;
mod error;
pub mod facts;
pub mod gcp;
pub mod governance;
pub mod graph;
pub mod last_write;
pub mod let_be;
pub mod marks;
pub mod remote;
mod rest;

use amend_domain::{
    AccountId, Cloud as CloudName,
    task::{Order, Step},
};
use amend_models::{Call, Texts};
use async_trait::async_trait;
use serde_json::Value;

pub use error::{CallError, Effect, Lasts};
pub use facts::{CloudFacts, FactSource};

/// Where a call is made, and for what.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// The account that the call is about. Calls go there or nowhere.
    pub account: Option<AccountId>,
    /// Of AWS: the region. It comes from the resource, never from this machine.
    pub region: Option<Box<str>>,
    /// The remediation that makes the call: it names the session in the cloud's own audit log.
    pub remediation: Option<Box<str>>,
    /// Makes repeated requests one, where the API has something for it.
    pub token: Box<str>,
}

/// Calls clouds.
#[async_trait]
pub trait Cloud: Send + Sync {
    /// Makes a call and returns its answer, completed from its description.
    ///
    /// # Errors
    /// When `args` do not fit, nobody may make the call, or the cloud did not do it.
    /// [`CallError::effect`] tells what is known about what it did.
    async fn call(&self, place: &Place, call: &Call, args: &Value) -> Result<Value, CallError>;

    /// Makes a call that writes: one step of what a remediation is to do. Whoever does it elsewhere is told what for.
    ///
    /// # Errors
    /// As for [`Self::call`].
    async fn write(&self, place: &Place, call: &Call, order: &Order, step: &Step) -> Result<Value, CallError> {
        let _ = order;
        self.call(place, call, &step.call.with).await
    }

    /// Has whoever will write look whether the resource is as the plan says, and say so in a way that they know again.
    /// Nothing, where writing needs nobody else.
    ///
    /// # Errors
    /// When it is not, or they would not do it.
    async fn attest(&self, place: &Place, order: &Order) -> Result<Option<Box<str>>, CallError> {
        let _ = (place, order);
        Ok(None)
    }
}

/// All clouds, as configured.
pub struct Clouds {
    /// Amazon Web Services.
    pub aws: aws::Aws,
    /// Microsoft Azure.
    pub azure: azure::Azure,
    /// Google Cloud.
    pub gcp: gcp::Gcp,
}

#[async_trait]
impl Cloud for Clouds {
    async fn call(&self, place: &Place, call: &Call, args: &Value) -> Result<Value, CallError> {
        // INVARIANT: nothing is sent that its API's description does not allow.
        let wrong = call.check(args, Texts::Final);
        if !wrong.is_empty() {
            return Err(CallError::Args { call: call.name(), wrong });
        }
        let mut answer = match call.cloud() {
            CloudName::Aws => self.aws.call(place, call, args).await?,
            CloudName::Azure => self.azure.call(place, call, args).await?,
            CloudName::Gcp => self.gcp.call(place, call, args).await?,
            cloud @ CloudName::Other => {
                return Err(CallError::NotReached {
                    call: call.name(),
                    reason: format!("{cloud} is no cloud that can be called"),
                });
            }
        };
        call.complete(&mut answer);
        Ok(answer)
    }
}

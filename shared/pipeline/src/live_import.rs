//! Defender's own list of assessments, subscription by subscription: recorded and decided, and nothing
//! started. What was read to its end is remembered until the whole import has ended, so that one that
//! was stopped goes on.

use std::collections::BTreeSet;

use amend_cloud::{
    CallError, Cloud,
    defender::{self, Subscription},
    graph::Within,
};
use amend_domain::ScopeId;
use jiff::SignedDuration;
use serde::Serialize;
use serde_json::json;
use tracing::warn;

use crate::{Pipeline, PipelineError, accept::Counts, import::ImportError};

/// After this an import that was stopped begins anew: too much may have changed.
const STALE: SignedDuration = SignedDuration::from_hours(24);

/// How far an import is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// The subscription that is read.
    pub subscription: &'a Subscription,
    /// How many subscriptions are done.
    pub done: usize,
    /// Of how many.
    pub of: usize,
    /// How many records were read so far, of all subscriptions.
    pub records: u64,
}

/// What an import did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Imported {
    /// What became of the records.
    #[serde(flatten)]
    pub counts: Counts,
    /// How many subscriptions were read.
    pub subscriptions: usize,
    /// How many had been read before, by an import that was stopped.
    pub read_before: usize,
    /// Subscriptions that could not be read.
    pub failed: Vec<Failed>,
}

/// A subscription that could not be read.
#[derive(Clone, Debug, Serialize)]
pub struct Failed {
    /// Its id.
    pub subscription: String,
    /// What people call it.
    pub name: String,
    /// Why.
    pub why: String,
}

/// Why an import stopped. What was recorded before stays.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// A scope of another cloud.
    #[error("`{0}` is neither a subscription nor a management group")]
    Scope(ScopeId),
    /// There is nothing to read.
    #[error("no subscription can be seen")]
    Nothing,
    /// A subscription that was asked for cannot be seen.
    #[error("subscription `{0}` cannot be seen")]
    Hidden(String),
    /// Azure cannot be asked.
    #[error("Azure Resource Graph cannot be asked")]
    Call(#[source] CallError),
    /// Azure stopped answering.
    #[error("the import stopped at subscription {done} of {of}")]
    Stopped {
        /// How many were done.
        done: usize,
        /// Of how many.
        of: usize,
        /// Why.
        #[source]
        source: CallError,
    },
    /// A page cannot be recorded.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The store does not answer.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
}

impl LiveError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Scope(_) => {
                Some("AWS accounts and Google Cloud projects come with the subscription of their connector")
            }
            Self::Nothing | Self::Hidden(_) => {
                Some("give the identity the role Reader or Security Reader on it, or name another with `--scope`")
            }
            Self::Stopped { .. } => Some("run it again: it goes on where it stopped"),
            Self::Call(CallError::NotReached { .. }) => {
                Some("sign in with `az login`, or run it where there is a managed or workload identity")
            }
            Self::Call(_) | Self::Import(_) | Self::Pipeline(_) => None,
        }
    }
}

/// Reading one subscription went wrong.
enum Broken {
    /// It cannot be read; others may.
    Here(String),
    /// Nothing more can be.
    Everywhere(LiveError),
}

impl Pipeline {
    /// Imports all assessments of `scopes`, subscriptions and management groups; of everything that the
    /// credentials can see, if there are none. Goes on with an import that was stopped less than a day
    /// ago, unless it is to `restart`.
    ///
    /// # Errors
    /// When Azure does not answer, the store does not, or there is nothing to read. Subscriptions that
    /// cannot be read while others can are in the result.
    pub async fn import_live(
        &self,
        cloud: &dyn Cloud,
        scopes: &[ScopeId],
        restart: bool,
        mut progress: impl FnMut(Progress<'_>),
    ) -> Result<Imported, LiveError> {
        let subscriptions = subscriptions(cloud, scopes).await?;
        let of = subscriptions.len();
        let since = self.now().saturating_sub(STALE).unwrap_or(jiff::Timestamp::MIN);
        let earlier = if restart { Vec::new() } else { self.store.imported().await.map_err(PipelineError::from)? };
        let read: BTreeSet<String> =
            earlier.into_iter().filter(|(_, at)| *at > since).map(|(subscription, _)| subscription).collect();
        let mut imported = Imported::default();
        let mut records = 0_u64;
        for (done, subscription) in subscriptions.iter().enumerate() {
            progress(Progress { subscription, done, of, records });
            if read.contains(subscription.id.as_str()) {
                imported.read_before = imported.read_before.saturating_add(1);
                continue;
            }
            let mut page = |more: u64| {
                records = records.saturating_add(more);
                progress(Progress { subscription, done, of, records });
            };
            match self.import_subscription(cloud, subscription, &mut imported.counts, &mut page).await {
                Ok(()) => {
                    let id = subscription.id.as_str();
                    self.store.add_imported(id, self.now()).await.map_err(PipelineError::from)?;
                    imported.subscriptions = imported.subscriptions.saturating_add(1);
                }
                Err(Broken::Here(why)) => {
                    warn!(subscription = subscription.id.as_str(), why, "a subscription cannot be read");
                    let (id, name) = (subscription.id.native().to_owned(), subscription.name.to_string());
                    imported.failed.push(Failed { subscription: id, name, why });
                }
                Err(Broken::Everywhere(LiveError::Call(source))) => {
                    return Err(LiveError::Stopped { done, of, source });
                }
                Err(Broken::Everywhere(error)) => return Err(error),
            }
        }
        if imported.failed.is_empty() {
            let all: Vec<String> = subscriptions.iter().map(|one| one.id.to_string()).collect();
            self.store.forget_imported(&all).await.map_err(PipelineError::from)?;
        }
        Ok(imported)
    }

    /// Records all pages of a subscription.
    async fn import_subscription(
        &self,
        cloud: &dyn Cloud,
        subscription: &Subscription,
        counts: &mut Counts,
        progress: &mut impl FnMut(u64),
    ) -> Result<(), Broken> {
        let mut next = None;
        let mut came = 0_u64;
        loop {
            let page =
                defender::assessments(cloud, &subscription.id, next.as_deref()).await.map_err(
                    |error| match &error {
                        CallError::Refused { status: 400 | 403 | 404, .. } | CallError::Unreadable { .. } => {
                            Broken::Here(error.to_string())
                        }
                        _ => Broken::Everywhere(LiveError::Call(error)),
                    },
                )?;
            let rows = u64::try_from(page.rows.len()).unwrap_or(u64::MAX);
            came = came.saturating_add(rows);
            if rows > 0 {
                let body = json!({ "data": page.rows }).to_string();
                let recorded = self.import(body.as_bytes(), |_, _| {}).await;
                *counts = counts.plus(recorded.map_err(|error| Broken::Everywhere(error.into()))?);
            }
            progress(rows);
            match page.next {
                Some(token) if rows > 0 => next = Some(token),
                // INVARIANT: a list that ended early is not remembered as read.
                None if came >= page.total => return Ok(()),
                _ => return Err(Broken::Here(format!("the list ended early: {came} of {} records", page.total))),
            }
        }
    }
}

/// The subscriptions in these scopes.
async fn subscriptions(cloud: &dyn Cloud, scopes: &[ScopeId]) -> Result<Vec<Subscription>, LiveError> {
    let (mut ids, mut groups) = (Vec::new(), Vec::new());
    for scope in scopes {
        let name = scope.short_name().to_owned();
        if scope.account() == Some(scope.as_str()) && scope.as_str().starts_with("/subscriptions/") {
            ids.push(name);
        } else if scope.as_str().starts_with("/providers/microsoft.management/managementgroups/") {
            groups.push(name);
        } else {
            return Err(LiveError::Scope(scope.clone()));
        }
    }
    let mut found = Vec::new();
    for within in [
        scopes.is_empty().then_some(Within::Tenant),
        (!ids.is_empty()).then(|| Within::Subscriptions(ids.clone())),
        (!groups.is_empty()).then_some(Within::ManagementGroups(groups)),
    ]
    .into_iter()
    .flatten()
    {
        found.extend(defender::subscriptions(cloud, &within).await.map_err(LiveError::Call)?);
    }
    found.sort_by(|a, b| a.id.cmp(&b.id));
    found.dedup_by(|a, b| a.id == b.id);
    if let Some(hidden) = ids.iter().find(|id| !found.iter().any(|one| one.id.native() == **id)) {
        return Err(LiveError::Hidden(hidden.clone()));
    }
    if found.is_empty() { Err(LiveError::Nothing) } else { Ok(found) }
}

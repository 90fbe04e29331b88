//! What facts are read of: an account, a resource group, a resource; and what was read.

use std::sync::Arc;

use jiff::Timestamp;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::{
    facts::{Fact, Facts, Known, Need, Tags},
    resource::{AccountId, Cloud, Resource, arm_account, arm_group},
    scope::ScopeId,
};

/// Something that a cloud can be asked about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Thing {
    /// The cloud that knows it.
    pub cloud: Cloud,
    /// What it is.
    pub kind: ThingKind,
    /// The subscription, account or project that it is or lies in.
    pub account: Option<AccountId>,
    /// Of AWS: where it lies, if that is known.
    pub region: Option<Box<str>>,
    /// Of AWS: the partition, if that is known.
    pub partition: Option<Box<str>>,
    /// Its canonical id.
    pub id: Box<str>,
}

/// What a [`Thing`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ThingKind {
    /// A subscription, account or project: it has ancestors, tags and a name.
    Account,
    /// A resource group of Azure: it has tags.
    Group,
    /// A resource: it has tags.
    Resource,
}

impl Thing {
    /// What would have to be asked about to know what a decision about `resource` lacks. Nothing where
    /// no cloud can tell.
    #[must_use]
    pub fn behind(need: Need, resource: &Resource) -> Option<Self> {
        let (cloud, id) = (resource.cloud, resource.id.as_str());
        if cloud == Cloud::Other {
            return None;
        }
        let (kind, id) = match need {
            Need::Ancestors | Need::AccountTags => (ThingKind::Account, resource.account.as_ref()?.as_str()),
            Need::GroupTags => (ThingKind::Group, resource.group()?),
            // Defender assesses subscriptions and resource groups, too.
            Need::Tags if cloud == Cloud::Azure && arm_account(id) == Some(id) => (ThingKind::Account, id),
            Need::Tags if cloud == Cloud::Azure && arm_group(id) == Some(id) => (ThingKind::Group, id),
            Need::Tags => (ThingKind::Resource, id),
            _ => return None,
        };
        let partition = resource.id.as_str().strip_prefix("arn:").and_then(|arn| arn.split(':').next());
        let region = resource.region.clone().filter(|_| cloud == Cloud::Aws && kind == ThingKind::Resource);
        let account = resource.account.clone();
        Some(Self { cloud, kind, account, region, partition: partition.map(Into::into), id: id.into() })
    }
}

/// What a cloud told of a [`Thing`]. What is absent is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// Of an account: the management scopes above it, outermost first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ancestors: Fact<Vec<ScopeId>>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Fact<Tags>,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Arc<str>>,
    /// Why something is absent that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Arc<str>>,
}

impl Read {
    /// Nothing, and why.
    #[must_use]
    pub fn failed(why: impl Into<Arc<str>>) -> Self {
        Self { failed: Some(why.into()), ..Self::default() }
    }

    /// Adds the tags.
    pub fn put_tags(&mut self, tags: Tags, source: &Arc<str>, read: Timestamp) {
        self.tags = Some(Arc::new(Known { value: tags, source: Arc::clone(source), read }));
    }

    /// Adds the ancestors.
    pub fn put_ancestors(&mut self, scopes: Vec<ScopeId>, source: &Arc<str>, read: Timestamp) {
        self.ancestors = Some(Arc::new(Known { value: scopes, source: Arc::clone(source), read }));
    }

    /// Without what was read before `oldest`: that may have changed since.
    #[must_use]
    pub fn since(mut self, oldest: Timestamp) -> Self {
        self.ancestors = self.ancestors.filter(|known| known.read >= oldest);
        self.tags = self.tags.filter(|known| known.read >= oldest);
        self
    }

    /// With what an earlier reading knew and this one does not.
    #[must_use]
    pub fn or(self, earlier: Self) -> Self {
        Self {
            ancestors: self.ancestors.or(earlier.ancestors),
            tags: self.tags.or(earlier.tags),
            name: self.name.or(earlier.name),
            failed: self.failed,
        }
    }

    /// Whether it tells what a decision lacks.
    #[must_use]
    pub fn tells(&self, need: Need) -> bool {
        match need {
            Need::Ancestors => self.ancestors.is_some(),
            _ => self.tags.is_some(),
        }
    }
}

/// What was read, by the ids of things.
#[derive(Clone, Debug, Default)]
pub struct Reads(FxHashMap<Box<str>, Read>);

impl Reads {
    /// What was read of the thing with this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Read> {
        self.0.get(id)
    }

    /// Adds what was read of a thing.
    pub fn put(&mut self, id: Box<str>, read: Read) {
        self.0.insert(id, read);
    }

    /// Fills in what `facts` about `resource` do not hold.
    pub fn fill(&self, facts: &mut Facts, resource: &Resource) {
        if self.0.is_empty() {
            return;
        }
        let of = |need| Thing::behind(need, resource).and_then(|thing| self.get(&thing.id));
        for (need, tags) in [
            (Need::Tags, &mut facts.tags),
            (Need::GroupTags, &mut facts.group_tags),
            (Need::AccountTags, &mut facts.account_tags),
        ] {
            if let (None, Some(read)) = (&tags, of(need)) {
                tags.clone_from(&read.tags);
                facts.unread.extend(read.failed.clone().filter(|_| tags.is_none()).map(|why| (need, why)));
            }
        }
        if let Some(read) = of(Need::Ancestors) {
            if facts.ancestors.is_none() {
                facts.ancestors.clone_from(&read.ancestors);
                let unread = read.failed.clone().filter(|_| facts.ancestors.is_none());
                facts.unread.extend(unread.map(|why| (Need::Ancestors, why)));
            }
            facts.account_name = facts.account_name.take().or_else(|| read.name.clone());
        }
    }
}

//! The assessment and the facts as an expression sees them: borrowed, read on demand.

use std::{
    collections::HashMap,
    sync::{
        LazyLock,
        atomic::{AtomicU16, Ordering},
    },
};

use cel::{
    common::{
        types::{CelInt, CelList, CelMap, CelMapKey, CelNull, CelString},
        value::{CowVal, Val},
    },
    context::VariableResolver,
};
use rustc_hash::FxHashMap;

use super::{MAX_LIST, MAX_TEXT, Name};
use crate::{
    assessment::Assessment,
    facts::{Fact, Facts, Need, Tags},
};

/// What an expression sees: the assessment and the facts, borrowed, read on demand.
pub(super) struct View<'a> {
    pub(super) assessment: &'a Assessment,
    pub(super) facts: &'a Facts,
    pub(super) needs: AtomicU16,
}

impl View<'_> {
    fn missing<'b>(&self, need: Need) -> Option<CowVal<'b, 'b>> {
        self.needs.fetch_or(need.bit(), Ordering::Relaxed);
        None
    }

    fn tag<'b>(&'b self, fact: &'b Fact<Tags>, need: Need, key: &str) -> Option<CowVal<'b, 'b>> {
        match fact {
            Some(known) => self.optional(known.value.get(key)),
            None => self.missing(need),
        }
    }

    /// A text; one over the limit is as good as not known, never cut.
    fn text<'b>(&self, value: &'b str) -> Option<CowVal<'b, 'b>> {
        if value.len() > MAX_TEXT {
            return self.missing(Need::Expression);
        }
        Some(CowVal::owned(CelString::from(value)))
    }

    fn optional<'b>(&self, value: Option<&'b str>) -> Option<CowVal<'b, 'b>> {
        value.map_or_else(|| Some(CowVal::owned(CelNull)), |value| self.text(value))
    }

    /// A list; one over the limits is as good as not known, never cut.
    fn list<'b>(&self, values: impl ExactSizeIterator<Item = &'b str>) -> Option<CowVal<'b, 'b>> {
        if values.len() > MAX_LIST {
            return self.missing(Need::Expression);
        }
        let mut list = Vec::with_capacity(values.len());
        for value in values {
            if value.len() > MAX_TEXT {
                return self.missing(Need::Expression);
            }
            list.push(Box::new(CelString::from(value)) as Box<dyn Val + 'b>);
        }
        Some(CowVal::owned(CelList::from(list)))
    }

    fn tag_map<'b>(&'b self, fact: &'b Fact<Tags>, need: Need) -> Option<CowVal<'b, 'b>> {
        let Some(known) = fact else { return self.missing(need) };
        if known.value.0.len() > MAX_LIST || known.value.0.values().any(|value| value.len() > MAX_TEXT) {
            return self.missing(Need::Expression);
        }
        let entries = known.value.0.iter().map(|(key, value)| {
            (CelMapKey::from(key.to_ascii_lowercase()), Box::new(CelString::from(value.as_str())) as Box<dyn Val + 'b>)
        });
        Some(CowVal::owned(CelMap::from(entries.collect::<HashMap<_, _>>())))
    }

    fn group_tags(&self) -> Option<&Fact<Tags>> {
        // What has no resource group has no tags of one: known, and empty.
        self.assessment.resource.group().is_some().then_some(&self.facts.group_tags)
    }
}

static NAMES: LazyLock<FxHashMap<&'static str, Name>> =
    LazyLock::new(|| Name::ALL.iter().map(|name| (name.as_str(), *name)).collect());

impl VariableResolver for View<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let Some(name) = NAMES.get(variable).copied() else {
            // A tag, `tags.env`: answered whole, so that no map is built.
            let (scope, key) = variable.split_once('.')?;
            return match NAMES.get(scope)? {
                Name::Tags => self.tag(&self.facts.tags, Need::Tags, key),
                Name::GroupTags => match self.group_tags() {
                    Some(fact) => self.tag(fact, Need::GroupTags, key),
                    None => Some(CowVal::owned(CelNull)),
                },
                Name::AccountTags => self.tag(&self.facts.account_tags, Need::AccountTags, key),
                _ => None,
            };
        };
        let a = self.assessment;
        if let Some(text) = name.text(a) {
            return self.optional(text);
        }
        match name {
            Name::Severity => self.missing(Need::Severity),
            Name::Risk => self.missing(Need::Risk),
            Name::Account => self.missing(Need::Account),
            Name::Areas => self.list(a.recommendation.areas.iter().map(|area| &**area)),
            Name::RiskFactors => match &a.risk {
                Some(risk) => self.list(risk.factors.iter().map(|factor| &**factor)),
                None => self.missing(Need::Risk),
            },
            Name::AttackPaths => match &a.risk {
                Some(risk) => Some(CowVal::owned(CelInt::from(i64::from(risk.attack_paths)))),
                None => self.missing(Need::Risk),
            },
            Name::AgeDays => match crate::rule::age(a, self.facts) {
                Some(age) => Some(CowVal::owned(CelInt::from(age.as_hours().checked_div(24).unwrap_or(0)))),
                None => self.missing(Need::Time),
            },
            Name::Ancestors => match &self.facts.ancestors {
                Some(known) => self.list(known.value.iter().map(crate::scope::ScopeId::as_str)),
                None => self.missing(Need::Ancestors),
            },
            Name::Tags => self.tag_map(&self.facts.tags, Need::Tags),
            Name::GroupTags => match self.group_tags() {
                Some(fact) => self.tag_map(fact, Need::GroupTags),
                None => Some(CowVal::owned(CelMap::default())),
            },
            Name::AccountTags => self.tag_map(&self.facts.account_tags, Need::AccountTags),
            // All of these are texts: known or null, unless over the limit.
            Name::Key
            | Name::Title
            | Name::Category
            | Name::Policy
            | Name::Source
            | Name::Cloud
            | Name::Kind
            | Name::Region
            | Name::Group
            | Name::Resource
            | Name::ResourceName
            | Name::Connector => self.missing(Need::Expression),
        }
    }
}

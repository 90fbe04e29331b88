//! Which recommendations of which sources speak of the same setting.
//!
//! A problem is a wrong setting on a resource. The setting is named by the id of the fix that would
//! close it; a recommendation that no fix closes is a setting of its own.

use std::{collections::BTreeMap, fmt};

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::ids::RecommendationKey;

/// What would have to change for a recommendation to be satisfied.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Setting(Box<str>);

impl Setting {
    /// A setting by its name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// Its name: `aws.s3.block-public-access`, or a recommendation's key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The table from recommendation to setting.
#[derive(Clone, Debug, Default)]
pub struct Settings(FxHashMap<RecommendationKey, Setting>);

impl Settings {
    /// Builds the table from settings and the recommendations that speak of each.
    ///
    /// # Errors
    /// Names a recommendation that is listed under two settings.
    pub fn new(settings: BTreeMap<String, Vec<RecommendationKey>>) -> Result<Self, String> {
        let mut table = Self::default();
        settings.iter().try_for_each(|(name, keys)| table.add(name, keys))?;
        Ok(table)
    }

    /// Adds a setting and the recommendations that speak of it.
    ///
    /// # Errors
    /// Names a recommendation that is listed under another setting.
    pub fn add(&mut self, name: &str, keys: &[RecommendationKey]) -> Result<(), String> {
        for key in keys {
            if let Some(other) = self.0.insert(key.clone(), Setting::new(name))
                && other.as_str() != name
            {
                return Err(format!("`{key}` is listed under `{other}` and `{name}`"));
            }
        }
        Ok(())
    }

    /// The names of the settings that more than one recommendation may speak of.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.values().map(Setting::as_str)
    }

    /// The setting that a recommendation speaks of; its own key where no other shares it.
    #[must_use]
    pub fn of(&self, key: &RecommendationKey) -> Setting {
        self.0.get(key).cloned().unwrap_or_else(|| Setting::new(key.as_str()))
    }
}

/// The candidate that a misspelled word most likely meant: close enough, and closest.
pub fn nearest<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let word = word.to_lowercase();
    candidates
        .map(|candidate| (strsim::jaro_winkler(&word, &candidate.to_lowercase()), candidate))
        .filter(|(score, candidate)| {
            *score >= 0.75 && strsim::normalized_damerau_levenshtein(&word, &candidate.to_lowercase()) >= 0.6
        })
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

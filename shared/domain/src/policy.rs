//! What an executor may do: the word of the account's own team, which no message can lift.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use crate::{
    fix::{Ceiling, Cost, Fix, Level, Reach, Reversible},
    pattern::Pattern,
    plan::{At, same},
    resource::{AccountId, ResourceId},
    rule::Mode,
    task::Word,
};

/// A policy. What it does not name is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Why nothing is done at all, where that is so.
    pub stopped: Option<Box<str>>,
    /// The most that is done: `observe` writes nothing, `approve` writes on a person's word.
    pub most: Mode,
    /// The accounts.
    pub accounts: Vec<AccountId>,
    /// The fixes that may be done; all, if absent.
    pub only: Option<Vec<Box<str>>>,
    /// Those that may not.
    pub never: Vec<Box<str>>,
    /// The most that a fix may cost, on each axis.
    pub impact: Most,
    /// Names of resources that are let alone.
    pub spare: Vec<Pattern>,
    /// How old what is undone may be.
    pub undo_within: SignedDuration,
    /// The values that parameters of fixes may have beside their own defaults: by fix, by parameter.
    pub parameters: BTreeMap<Box<str>, BTreeMap<Box<str>, Vec<Value>>>,
}

/// The most that a fix may cost, on four axes; anything, where one is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Most {
    /// What may stop working.
    pub disruption: Option<Level>,
    /// What it may cost.
    pub cost: Option<Cost>,
    /// How far it must be possible to undo it.
    pub reversible: Option<Reversible>,
    /// Whom it may reach.
    pub reach: Option<Reach>,
}

/// What a policy does not let be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct NotAllowed {
    /// Why, in words for the hub.
    pub why: String,
    /// Whether that is so because everything is stopped.
    pub stopped: bool,
}

fn no(why: String) -> NotAllowed {
    NotAllowed { why, stopped: false }
}

impl Policy {
    /// Whether anything may be done in an account, reading included.
    ///
    /// # Errors
    /// When everything is stopped, or the account is not named.
    pub fn lets_in(&self, account: Option<&AccountId>) -> Result<(), NotAllowed> {
        if let Some(why) = &self.stopped {
            return Err(NotAllowed { why: format!("its policy stops everything: {why}"), stopped: true });
        }
        match account {
            Some(account) if self.accounts.contains(account) => Ok(()),
            Some(account) => Err(no(format!("its policy does not name the account `{account}`"))),
            None => Err(no("an account must be named".into())),
        }
    }

    /// Whether a fix may write to a resource, on somebody's word, with these values of its parameters; with any that
    /// this policy gives, where none are told.
    ///
    /// # Errors
    /// When it may not.
    pub fn lets_write(
        &self,
        fix: &Fix,
        at: &At,
        word: &Word,
        params: Option<&Map<String, Value>>,
    ) -> Result<(), NotAllowed> {
        self.lets_in(at.account.as_ref())?;
        let id = &fix.id;
        if fix.most() == Ceiling::Ticket {
            return Err(no("this fix is only ever a ticket".into()));
        }
        if self.most < word.needs() {
            return Err(no(match word {
                Word::Rule => {
                    format!("its policy lets at most `{}` be done: a person must say yes", self.most.as_str())
                }
                Word::Person { .. } => format!("its policy lets at most `{}` be done", self.most.as_str()),
            }));
        }
        // What the fix itself leaves to people is not the hub's to lift.
        if *word == Word::Rule && fix.most() < Ceiling::Enforce {
            return Err(no("this fix is not done on the word of a rule alone".into()));
        }
        if self.only.as_ref().is_some_and(|only| !only.contains(id)) || self.never.contains(id) {
            return Err(no("its policy does not let this fix be done".into()));
        }
        let impact = &fix.impact;
        let within = [
            (self.impact.disruption.is_none_or(|most| impact.disruption <= most), "disruption"),
            (self.impact.cost.is_none_or(|most| impact.cost <= most), "cost"),
            (self.impact.reversible.is_none_or(|least| impact.reversible <= least), "reversible"),
            (self.impact.reach.is_none_or(|most| impact.reach <= most), "reach"),
        ];
        if let Some((_, axis)) = within.iter().find(|(within, _)| !within) {
            return Err(no(format!("its policy lets no such impact be done (`{axis}`)")));
        }
        // A value is as much as the fix itself: who names the ranges that may come in lets them in.
        for parameter in &fix.parameters {
            let name = &parameter.name;
            let given = self.parameters.get(id).and_then(|given| given.get(name));
            let mut may = parameter.default.iter().chain(given.into_iter().flatten());
            let fits = match params {
                Some(params) => params.get(&**name).is_some_and(|value| may.any(|may| same(may, value))),
                None => may.next().is_some(),
            };
            if !fits {
                return Err(no(format!("its policy does not give the parameter `{name}` of this fix such a value")));
            }
        }
        self.spares(std::iter::once(at.resource.as_str()).chain(at.via.as_ref().map(ResourceId::as_str)))
    }

    /// Whether what a fix wrote may be brought back. That takes less than to write it: what was half done when the
    /// policy changed is not left half done.
    ///
    /// # Errors
    /// When it may not.
    pub fn lets_undo(&self, at: &At, attested: Timestamp, now: Timestamp) -> Result<(), NotAllowed> {
        self.lets_in(at.account.as_ref())?;
        if self.most < Mode::Approve {
            return Err(no(format!("its policy lets at most `{}` be done", self.most.as_str())));
        }
        let since = now.duration_since(attested);
        if since > self.undo_within {
            let (since, most) = (said(since), said(self.undo_within));
            return Err(no(format!(
                "it was attested {since} ago, and its policy lets be undone what is no older than {most}"
            )));
        }
        self.spares(std::iter::once(at.resource.as_str()).chain(at.via.as_ref().map(ResourceId::as_str)))
    }

    /// Whether something of this is let alone: by its name, by that of what it is in, or by its short name.
    ///
    /// # Errors
    /// When it is.
    pub fn spares<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Result<(), NotAllowed> {
        if self.spare.is_empty() {
            return Ok(());
        }
        for name in names {
            let lower = without_host(&name.to_lowercase()).to_owned();
            let short = ResourceId::new(name).short_name().to_lowercase();
            let above = lower.match_indices('/').filter_map(|(at, _)| lower.get(..at));
            let mut all = above.chain([lower.as_str(), short.as_str()]);
            if all.any(|name| self.spare.iter().any(|spared| spared.fits(name))) {
                return Err(no(format!("its policy lets `{name}` alone")));
            }
        }
        Ok(())
    }

    /// A pattern of what is let alone, as names are compared.
    #[must_use]
    pub fn spare(text: &str) -> Pattern {
        let text = text.trim();
        // A name without `*` is written as resources are named here.
        let text = if text.contains('*') { text.to_owned() } else { ResourceId::new(text).as_str().to_owned() };
        Pattern::new(without_host(&text))
    }
}

/// A length of time in the largest unit of which it has two.
fn said(time: SignedDuration) -> String {
    match time.as_secs() {
        seconds if seconds < 120 => format!("{seconds} seconds"),
        seconds if seconds < 7_200 => format!("{} minutes", seconds / 60),
        seconds if seconds < 172_800 => format!("{} hours", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// A name of Google's without the service that it was told by: there may be several for one resource.
fn without_host(name: &str) -> &str {
    name.strip_prefix("//").and_then(|rest| rest.find('/').and_then(|at| rest.get(at..))).unwrap_or(name)
}

/// All texts in a value.
#[must_use]
pub fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(list) => list.iter().flat_map(texts).collect(),
        Value::Object(members) => members.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

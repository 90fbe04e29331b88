//! What follows for one assessment: who owns it, how long they have, and what happens.

use serde::{Deserialize, Serialize};

use crate::{
    assessment::Assessment,
    facts::{Facts, Need, Needs},
    ids::RuleId,
    owners::Owners,
    resource::AccountId,
    rule::{DueFrom, FixPolicy, FixWhen, Grace, Mode, OwnerSource, Rule},
    ruleset::Verdict,
    timeframe::Timeframe,
};

/// How the rules answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum Outcome {
    /// A rule governs.
    Governed,
    /// A rule might govern; nothing is done until it is known.
    Undetermined {
        /// What would have to be known.
        needs: Needs,
    },
    /// No rule governs.
    Ungoverned,
    /// Nothing is wrong, or it does not count.
    NothingToDo,
}

/// Who owns a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The person or group; absent where there is none, or it cannot be known yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Box<str>>,
    /// How that was found, in words.
    pub from: Box<str>,
    /// What would have to be known to tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lacks: Option<Need>,
}

impl Owner {
    /// Nobody, and why.
    fn nobody(from: impl Into<Box<str>>) -> Self {
        Self { name: None, from: from.into(), lacks: None }
    }
}

/// What was decided for one assessment, to be stored and shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// How the rules answered.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// The rule that governs or might.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleId>,
    /// The digest of the rule set that was asked.
    pub rule_set: Box<str>,
    /// Who owns it.
    pub owner: Owner,
    /// How long the owner has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timeframe>,
    /// What that counts from.
    #[serde(default)]
    pub due_from: DueFrom,
    /// How long it is spared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace: Option<Grace>,
    /// Whether and how it is fixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<FixPolicy>,
    /// Whether a ticket is opened.
    #[serde(default)]
    pub ticket: bool,
    /// Who is told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<Box<str>>,
    /// Why, in one line.
    pub why: Box<str>,
}

impl Serialize for Grace {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::UntilDue => serializer.serialize_str("until_due"),
            Self::AfterDue(more) => more.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Grace {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "until_due" => Ok(Self::UntilDue),
            _ => Timeframe::parse(&text).map(Self::AfterDue).map_err(serde::de::Error::custom),
        }
    }
}

impl Decision {
    /// What follows from `verdict` for `assessment`.
    #[must_use]
    pub fn new(verdict: Verdict<'_>, assessment: &Assessment, facts: &Facts, owners: &Owners, rule_set: &str) -> Self {
        let none = Self {
            outcome: Outcome::NothingToDo,
            rule: None,
            rule_set: rule_set.into(),
            owner: Owner::nobody("no rule names an owner"),
            due: None,
            due_from: DueFrom::default(),
            grace: None,
            fix: None,
            ticket: false,
            notify: Vec::new(),
            why: "".into(),
        };
        match verdict {
            Verdict::Ungoverned => Self { outcome: Outcome::Ungoverned, why: "no rule holds".into(), ..none },
            Verdict::Undetermined { rule, needs } => Self {
                outcome: Outcome::Undetermined { needs },
                rule: Some(rule.id.clone()),
                why: format!("not known: {needs}").into(),
                owner: Owner::nobody("not decided"),
                ..none
            },
            Verdict::Governed { rule, set } => Self {
                outcome: Outcome::Governed,
                rule: Some(rule.id.clone()),
                owner: owner(&rule.owner, assessment, facts, owners),
                due: rule.due,
                due_from: rule.due_from,
                grace: rule.grace,
                fix: rule.fix,
                ticket: rule.ticket,
                notify: rule.notify.clone(),
                why: why(rule, set, assessment).into(),
                ..none
            },
        }
    }

    /// The decision on an assessment that asks for nothing.
    #[must_use]
    pub fn nothing(why: &str, rule_set: &str, assessment: &Assessment, facts: &Facts) -> Self {
        let outcome = Outcome::NothingToDo;
        Self {
            outcome,
            why: why.into(),
            ..Self::new(Verdict::Ungoverned, assessment, facts, &Owners::default(), rule_set)
        }
    }

    /// What would have to be known for it to say more.
    #[must_use]
    pub fn lacks(&self) -> Needs {
        match &self.outcome {
            Outcome::Undetermined { needs } => *needs,
            Outcome::Governed => self.owner.lacks.map_or(Needs::NONE, |need| vec![need].into()),
            Outcome::Ungoverned | Outcome::NothingToDo => Needs::NONE,
        }
    }

    /// The strongest thing that it lets happen to the resource: nothing, or how far a fix may go.
    #[must_use]
    pub fn strength(&self) -> Option<Mode> {
        self.fix.map(|fix| fix.mode)
    }

    /// What happens, in a few words.
    #[must_use]
    pub fn action(&self) -> String {
        let mut parts = Vec::new();
        match (&self.outcome, self.fix.map(|fix| fix.mode)) {
            (Outcome::Undetermined { .. }, _) => parts.push("observe, until known".to_owned()),
            (_, Some(mode)) => {
                let how = match mode {
                    Mode::Observe => "observe",
                    Mode::Approve => "ask first",
                    Mode::Enforce => "enforce",
                };
                let when = match self.fix.map(|fix| fix.when) {
                    Some(FixWhen::AtDue) => " when due",
                    Some(FixWhen::AfterGrace) => " after grace",
                    Some(FixWhen::Now) | None => "",
                };
                let announced = match self.fix.and_then(|fix| fix.announce) {
                    Some(before) => format!(", announced {before} before"),
                    None => String::new(),
                };
                parts.push(format!("fix: {how}{when}{announced}"));
            }
            (_, None) => {}
        }
        if self.ticket {
            parts.push("ticket".to_owned());
        }
        if !self.notify.is_empty() {
            parts.push("notice".to_owned());
        }
        if parts.is_empty() { "nothing".to_owned() } else { parts.join(" + ") }
    }
}

/// Why a rule governs: what of the assessment fitted, and the scope.
fn why(rule: &Rule, set: Option<usize>, assessment: &Assessment) -> String {
    let conditions = set.and_then(|at| rule.when.get(at)).map(|set| set.0.as_slice()).unwrap_or_default();
    let mut parts: Vec<String> = conditions.iter().map(|condition| condition.because(assessment)).collect();
    match rule.scope.within.as_slice() {
        [] => {}
        [one] => parts.push(format!("in {}", one.short_name())),
        [one, rest @ ..] => parts.push(format!("in {} or {} more", one.short_name(), rest.len())),
    }
    if parts.is_empty() { "it holds for everything".to_owned() } else { parts.join("; ") }
}

/// Looks the owner up: by name, else by tag on the resource, its group, its account, else by the account in the file of
/// owners. That also says whom a name stands for.
///
/// A place whose tags are not known ends the search: the tag might stand there.
fn owner(source: &OwnerSource, assessment: &Assessment, facts: &Facts, owners: &Owners) -> Owner {
    let account = assessment.resource.account.as_ref().map(AccountId::native);
    let found = |name: &str, from: String| {
        let (name, from) = match owners.called(name, account) {
            Some(owner) => (owner, format!("{from}: {name}, who is this in {}", owners.source())),
            None => (name, from),
        };
        Owner { name: Some(name.into()), from: from.into(), lacks: None }
    };
    if let Some(name) = &source.manual {
        return found(name, "named by the rule".into());
    }
    let of_account = || {
        let name = owners.of(account?)?;
        let from = format!("{} {}, in {}", assessment.resource.cloud.account_word(), account?, owners.source());
        Some(Owner { name: Some(name.into()), from: from.into(), lacks: None })
    };
    let Some(tag) = &source.tag else {
        return of_account().unwrap_or_else(|| Owner::nobody("the rule names no owner"));
    };
    let group = assessment.resource.group().map(|_| (&facts.group_tags, Need::GroupTags, "resource group"));
    let word = assessment.resource.cloud.account_word();
    let own = (&facts.tags, Need::Tags, "resource");
    let places = [Some(own), group, Some((&facts.account_tags, Need::AccountTags, word))];
    for (fact, need, place) in places.into_iter().flatten() {
        match fact {
            None => return Owner { lacks: Some(need), ..Owner::nobody(format!("{place} tags not known")) },
            Some(known) => {
                if let Some(name) = known.value.get(tag).filter(|name| !name.trim().is_empty()) {
                    return found(name.trim(), format!("tag {tag} of the {place}"));
                }
            }
        }
    }
    if let Some(owner) = of_account() {
        return owner;
    }
    match &source.fallback {
        Some(name) => found(name, format!("fallback: no tag {tag}")),
        None => Owner::nobody(format!("no tag {tag}, and no fallback")),
    }
}

//! A fix: how one setting is read, when it is compliant, what to write, how to verify and how to
//! undo. A fix is data, read from one YAML file; the engine in `pipeline/remedy` carries it out.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    expr::formula::{Formula, FormulaError, Scope},
    ids::RecommendationKey,
    resource::{Cloud, ResourceId},
    target::{Target, TargetForm},
};

/// A fix.
#[derive(Clone, Debug)]
pub struct Fix {
    /// Its id: `aws.s3.block-public-access`. Also the id of the setting that it is about.
    pub id: Box<str>,
    /// What it does, for people.
    pub title: Box<str>,
    /// The digest of its file.
    pub digest: Box<str>,
    /// The recommendations that it closes.
    pub closes: Vec<RecommendationKey>,
    /// The forms of the names of the resources that it is for.
    pub target: Vec<TargetForm>,
    /// Ways to such a resource from others that are assessed in its stead.
    pub locate: Vec<Locate>,
    /// What it may cost its owner.
    pub impact: Impact,
    /// The most that any rule may have it do.
    pub ceiling: Ceiling,
    /// The vendor's page about the setting.
    pub docs: Box<str>,
    /// Values that differ from place to place.
    pub parameters: Vec<Parameter>,
    /// What is read, in order.
    pub reads: Vec<Read>,
    /// Values with a name, in order.
    pub lets: Vec<(Box<str>, Formula)>,
    /// What must hold before anything is written.
    pub preconditions: Vec<Precondition>,
    /// When the resource is as it should be: the condition of the source.
    pub compliant: Formula,
    /// What is changed.
    pub settings: Vec<SettingChange>,
    /// The calls that change it, in order.
    pub writes: Vec<Write>,
    /// How long verifying may take.
    pub verify_within: Duration,
    /// The calls that undo it, in order; none, where it cannot be undone.
    pub undo: Vec<Write>,
    /// What undoing does not bring back.
    pub undo_loses: Option<Box<str>>,
    /// What else uses the setting: a list of names, from what was read.
    pub affected: Option<Formula>,
    /// Forms of names of other resources that its writes may touch.
    pub also_touches: Vec<TargetForm>,
    /// The steps for a person.
    pub manual: Box<str>,
}

/// What a fix may cost, on four axes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Impact {
    /// What may stop working.
    pub disruption: Level,
    /// What it costs.
    pub cost: Cost,
    /// Whether it can be undone.
    pub reversible: Reversible,
    /// Whom it reaches.
    pub reach: Reach,
    /// Why, for people.
    pub why: Box<str>,
}

/// How much may stop working.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing.
    None,
    /// What nobody should rely on.
    Low,
    /// What somebody may rely on.
    Medium,
    /// What somebody does rely on.
    High,
}

/// What a fix costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cost {
    /// Nothing.
    None,
    /// By use.
    Usage,
    /// A plan that is paid for.
    Plan,
}

/// Whether a fix can be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reversible {
    /// Wholly.
    Yes,
    /// But for what `undo_loses` says.
    Partly,
    /// Not at all.
    No,
}

/// Whom a fix reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reach {
    /// The resource alone.
    Resource,
    /// Resources that share the setting.
    Shared,
    /// The account.
    Account,
    /// The organization.
    Organization,
}

/// The most that any rule may have a fix do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ceiling {
    /// A ticket.
    Ticket,
    /// A plan that a person approves.
    Approve,
    /// Writing by itself.
    Enforce,
}

/// A value that differs from place to place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: Box<str>,
    /// What it is for.
    pub doc: Box<str>,
    /// Its value where nobody gave one; without it, there is no fix.
    pub default: Option<Value>,
}

/// The way from an assessed resource to the one that is changed: from a trail to its bucket.
#[derive(Clone, Debug)]
pub struct Locate {
    /// The form of the name of the assessed resource.
    pub from: TargetForm,
    /// What is read on the way, in order.
    pub reads: Vec<Read>,
    /// The native name of the resource that is changed.
    pub to: Formula,
    /// Its region; that of the assessed resource, if absent.
    pub region: Option<Formula>,
}

/// Something that is read.
#[derive(Clone, Debug)]
pub struct Read {
    /// What expressions call it.
    pub name: Box<str>,
    /// The call.
    pub call: Box<str>,
    /// Its arguments.
    pub with: Template,
    /// The cloud's error codes that mean "there is none": the value is null then.
    pub absent_on: Vec<Box<str>>,
    /// When it is read; the value is null otherwise.
    pub when: Option<Formula>,
}

/// What must hold before anything is written.
#[derive(Clone, Debug)]
pub struct Precondition {
    /// It.
    pub check: Formula,
    /// What to say where it does not.
    pub message: Box<str>,
}

/// Something that is changed: the unit of plan, verification and undo.
#[derive(Clone, Debug)]
pub struct SettingChange {
    /// Its name, as the cloud's documentation has it.
    pub name: Box<str>,
    /// What it is, from what was read.
    pub now: Formula,
    /// What it shall be.
    pub then: Template,
    /// Whether its values are kept from eyes and logs.
    pub sensitive: bool,
}

/// A call that writes.
#[derive(Clone, Debug)]
pub struct Write {
    /// When it is made.
    pub when: Option<Formula>,
    /// A list: it is made once for each element, named `item`.
    pub for_each: Option<Formula>,
    /// The call.
    pub call: Box<str>,
    /// Its arguments.
    pub with: Template,
    /// The settings that it changes; all of them, if empty.
    pub changes: Vec<Box<str>>,
    /// What must hold before the next call, and how long that may take.
    pub wait_until: Option<(Formula, Duration)>,
    /// Whether its arguments are kept from eyes and logs.
    pub sensitive: bool,
}

/// A value with expressions in it.
#[derive(Clone, Debug, PartialEq)]
pub enum Template {
    /// A value as it stands.
    Literal(Value),
    /// The value of an expression.
    Formula(Formula),
    /// A list of such.
    List(Vec<Self>),
    /// Members by name.
    Map(Vec<(Box<str>, Self)>),
}

/// The most elements of a `for_each`.
pub const MAX_EACH: usize = 64;

impl Template {
    /// Its value.
    ///
    /// # Errors
    /// When one of its expressions has none.
    pub fn evaluate(&self, scope: &Scope) -> Result<Value, FormulaError> {
        Ok(match self {
            Self::Literal(value) => value.clone(),
            Self::Formula(formula) => formula.evaluate(scope)?,
            Self::List(list) => list.iter().map(|one| one.evaluate(scope)).collect::<Result<Vec<_>, _>>()?.into(),
            Self::Map(members) => {
                let mut map = Map::new();
                for (name, one) in members {
                    map.insert(name.to_string(), one.evaluate(scope)?);
                }
                Value::Object(map)
            }
        })
    }

    /// Every expression in it.
    #[must_use]
    pub fn formulas(&self) -> Vec<&Formula> {
        match self {
            Self::Literal(_) => Vec::new(),
            Self::Formula(formula) => vec![formula],
            Self::List(list) => list.iter().flat_map(Self::formulas).collect(),
            Self::Map(members) => members.iter().flat_map(|(_, one)| one.formulas()).collect(),
        }
    }

    /// As JSON, with the source of an expression after a `=`: what a check of its form sees.
    #[must_use]
    pub fn sketch(&self) -> Value {
        match self {
            Self::Literal(value) => value.clone(),
            Self::Formula(formula) => format!("={}", formula.source()).into(),
            Self::List(list) => list.iter().map(Self::sketch).collect(),
            Self::Map(members) => {
                Value::Object(members.iter().map(|(name, one)| (name.to_string(), one.sketch())).collect())
            }
        }
    }
}

impl Write {
    /// Every expression in it.
    #[must_use]
    pub fn formulas(&self) -> Vec<&Formula> {
        self.when.iter().chain(&self.for_each).chain(self.with.formulas()).collect()
    }
}

impl Fix {
    /// The cloud that it is for.
    #[must_use]
    pub fn cloud(&self) -> Cloud {
        self.target.first().map_or(Cloud::Other, TargetForm::cloud)
    }

    /// The target that `id` names, where the fix is for such resources.
    #[must_use]
    pub fn target_of(&self, id: &ResourceId) -> Option<Target> {
        self.target.iter().find_map(|form| form.read(id))
    }

    /// The way that begins at a resource that is assessed instead of its target.
    #[must_use]
    pub fn way_from(&self, id: &ResourceId) -> Option<(&Locate, Target)> {
        self.locate.iter().find_map(|way| Some((way, way.from.read(id)?)))
    }

    /// What the name of `id` tells, where the fix is for such resources or finds its way from them.
    #[must_use]
    pub fn assessed(&self, id: &ResourceId) -> Option<Target> {
        self.target_of(id).or_else(|| self.way_from(id).map(|(_, target)| target))
    }

    /// Every read that it may make: on the way, and of the target.
    pub fn all_reads(&self) -> impl Iterator<Item = &Read> {
        self.locate.iter().flat_map(|way| &way.reads).chain(&self.reads)
    }

    /// Every call that it may make, with whether it is one of its undo.
    pub fn calls(&self) -> impl Iterator<Item = (&str, Step)> {
        let reads = self.all_reads().map(|read| (&*read.call, Step::Read));
        let writes = self.writes.iter().map(|write| (&*write.call, Step::Write));
        reads.chain(writes).chain(self.undo.iter().map(|undo| (&*undo.call, Step::Undo)))
    }

    /// The most that may be done by itself, by its impact and its ceiling.
    ///
    /// Writing by itself needs little disruption, no cost, a way back and no reach beyond the resource.
    #[must_use]
    pub fn most(&self) -> Ceiling {
        let harmless = self.impact.disruption <= Level::Low
            && self.impact.cost == Cost::None
            && self.impact.reversible == Reversible::Yes
            && self.impact.reach == Reach::Resource;
        self.ceiling.min(if harmless { Ceiling::Enforce } else { Ceiling::Approve })
    }
}

/// What a call of a fix is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// It reads.
    Read,
    /// It writes.
    Write,
    /// It undoes.
    Undo,
}

macro_rules! words {
    ($($kind:ident: $($word:literal => $variant:ident),+;)+) => {$(
        impl $kind {
            /// Its words, in order.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// Reads a word.
            #[must_use]
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }

            /// Its word.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    )+};
}

words! {
    Level: "none" => None, "low" => Low, "medium" => Medium, "high" => High;
    Cost: "none" => None, "usage" => Usage, "plan" => Plan;
    Reversible: "yes" => Yes, "partly" => Partly, "no" => No;
    Reach: "resource" => Resource, "shared" => Shared, "account" => Account, "organization" => Organization;
    Ceiling: "ticket" => Ticket, "approve" => Approve, "enforce" => Enforce;
    Step: "read" => Read, "write" => Write, "undo" => Undo;
}

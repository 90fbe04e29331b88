//! A task: what the hub has an executor do, in an account that the hub itself has no rights in. An executor keeps
//! nothing: a task says all, and what it may do follows from the executor's own fixes, its own policy, and the
//! resource as it is.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    plan::{Plan, PlannedCall, Remediation},
    resource::AccountId,
    rule::Mode,
};

/// A task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// The version of the format: 1.
    pub version: u32,
    /// Its id: `t-` and lower-case letters and digits.
    pub id: Box<str>,
    /// The executor that it is for, by its name.
    pub to: Box<str>,
    /// After this it is not begun any more.
    pub expires: Timestamp,
    /// After this nobody waits for it: what is under way then is broken off.
    pub ends: Timestamp,
    /// What is to be done.
    pub what: What,
}

/// What an executor is to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum What {
    /// Say who it is, and what it may.
    Hello,
    /// Make a call that reads.
    Read {
        /// The account.
        account: AccountId,
        /// The region, where the call needs one.
        #[serde(default)]
        region: Option<Box<str>>,
        /// The call.
        call: Box<str>,
        /// Its arguments.
        with: Value,
    },
    /// Look whether the resource is as a plan says, and say so in a way that it knows again.
    Attest {
        /// What is to be attested.
        order: Box<Order>,
    },
    /// Make one call of a plan.
    Write {
        /// What for.
        order: Box<Order>,
        /// The call.
        step: Box<Step>,
    },
}

impl What {
    /// The call that it is about, or what stands for it; nothing, where it is about none.
    #[must_use]
    pub fn call(&self) -> Option<&str> {
        match self {
            Self::Hello => None,
            Self::Read { call, .. } => Some(call),
            Self::Attest { order } => Some(order.first_call()),
            Self::Write { step, .. } => Some(&step.call.call),
        }
    }

    /// What it is done for; nothing, where nothing is written.
    #[must_use]
    pub fn order(&self) -> Option<&Order> {
        match self {
            Self::Hello | Self::Read { .. } => None,
            Self::Attest { order } | Self::Write { order, .. } => Some(order),
        }
    }
}

/// What a remediation was asked for, and what it is to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// The remediation.
    pub remediation: Box<str>,
    /// Counts the changes of its record: for the executor's log. (A hub whose record is older could not keep what it was
    /// about to do, and so sent nothing.)
    pub revision: u64,
    /// On whose word.
    pub word: Word,
    /// The plan, with what was there before.
    pub plan: Plan,
}

/// On whose word something is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Word {
    /// A rule's, and nobody was asked.
    Rule,
    /// A person's, who was asked, or asked for it.
    Person {
        /// Who.
        name: Box<str>,
    },
}

impl Word {
    /// How far a policy must let it go.
    #[must_use]
    pub fn needs(&self) -> Mode {
        match self {
            Self::Rule => Mode::Enforce,
            Self::Person { .. } => Mode::Approve,
        }
    }
}

/// One call of a plan, or of its undo.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The call.
    pub call: PlannedCall,
    /// Which of them it is.
    pub index: usize,
    /// Whether it is one of the undo.
    pub undo: bool,
    /// What the executor said when it looked.
    #[serde(default)]
    pub attest: Option<Box<str>>,
}

impl Order {
    /// The first call of its plan; its fix, where there is none.
    #[must_use]
    pub fn first_call(&self) -> &str {
        self.plan.calls.first().map_or(&self.plan.fix, |planned| &planned.call)
    }

    /// What a remediation is about, on whose word it goes on.
    #[must_use]
    pub fn of(r: &Remediation) -> Self {
        let asked = match (&r.undo_by, r.answer.as_ref().filter(|answer| answer.approved), r.mode) {
            (Some(by), ..) => Some(by),
            (None, Some(answer), _) => Some(&answer.by),
            // By hand.
            (None, None, None) => Some(&r.by),
            (None, None, Some(_)) => None,
        };
        let word = asked.map_or(Word::Rule, |name| Word::Person { name: name.clone() });
        Self { remediation: r.id.clone(), revision: r.revision, word, plan: r.plan.clone() }
    }
}

/// Who an executor is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Its name.
    pub name: Box<str>,
    /// The version of its program.
    pub version: Box<str>,
    /// The digest of all fixes that it knows.
    pub fixes: Box<str>,
    /// The accounts that it works in.
    pub accounts: Vec<AccountId>,
    /// The most that its policy lets be done.
    pub most: Mode,
    /// Why it does nothing now, where that is so.
    pub stopped: Option<Box<str>>,
}

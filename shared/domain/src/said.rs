//! What is said of a problem: another due date, the day on which an owner means to be done, that a fix is announced,
//! and what people answer to that.

use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::{
    decision::Outcome,
    problem::{Place, Problem, State},
    rule::FixWhen,
};

/// So long a fix can be postponed.
pub const LONGEST: SignedDuration = SignedDuration::from_hours(30 * 24);

/// No date is farther away, as no rule's is.
const FARTHEST: SignedDuration = SignedDuration::from_hours(3_650 * 24);

/// Who moved a due date, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// From when; nothing, where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Who.
    pub by: Box<str>,
    /// When they did.
    pub at: Timestamp,
    /// Why.
    pub why: Box<str>,
}

/// When an owner means to be done. It moves no due date.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Eta {
    /// The end of that day, in UTC.
    pub on: Timestamp,
    /// Who said so.
    pub by: Box<str>,
    /// When they did.
    pub at: Timestamp,
    /// What they said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Box<str>>,
}

/// What Defender's governance assignment says of it, where Defender is whose word counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assigned {
    /// Who owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Box<str>>,
    /// When it is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    /// When its owner means to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta: Option<Timestamp>,
    /// What they said of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Box<str>>,
}

/// Who says what Defender's assignments say.
pub const DEFENDER: &str = "Defender for Cloud";

/// A fix that its owner is told of before it begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announced {
    /// When that was wanted.
    pub at: Timestamp,
    /// When it begins; not known, until somebody was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begins: Option<Timestamp>,
    /// The fix.
    pub fix: Box<str>,
    /// The digest of the plan: another plan is announced anew.
    pub plan: Box<str>,
    /// Who postponed it, which is done once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postponed: Option<Word>,
    /// Who had it done at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hastened: Option<Word>,
    /// Who objects: it does not begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objected: Option<Word>,
}

/// What somebody said, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    /// Who.
    pub by: Box<str>,
    /// When.
    pub at: Timestamp,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Box<str>>,
}

/// What is said of a problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It is due then.
    Due(Timestamp, Moved),
    /// It will be done then.
    Eta(Eta),
    /// Somebody takes that back.
    NoEta {
        /// Who.
        by: Box<str>,
    },
    /// It is going to be fixed.
    Announced(Announced),
    /// Whoever is to know of the announcement of that time was told: their time counts from now on.
    Told(Timestamp),
    /// That may begin at once.
    Now(Word),
    /// That may begin later, once.
    Postponed(Timestamp, Word),
    /// That may not begin.
    Objected(Word),
    /// It may, after all: it is announced anew.
    Withdrawn(Word),
    /// Defender says whose it is, and when it is due.
    Assigned(Assigned),
}

/// Why something cannot be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unheard {
    /// The problem is closed.
    #[error("it is not there any more")]
    Closed,
    /// It is in the backlog.
    #[error("it is in the backlog: its dates are set when it is released")]
    Backlog,
    /// No rule governs it.
    #[error("no rule governs it, so nothing is due")]
    Ungoverned,
    /// The day is over.
    #[error("that day is over")]
    Past,
    /// The day is too far away.
    #[error("that day is more than ten years away")]
    Far,
    /// It is as it would be.
    #[error("that is what was said already")]
    Same,
    /// No fix is announced.
    #[error("no fix of it is announced")]
    NotAnnounced,
    /// The fix begins, or began.
    #[error("its fix begins by now, or began")]
    Begun,
    /// It was postponed before.
    #[error("its fix was postponed before, which is done once")]
    PostponedBefore,
    /// That is no later than it begins anyway, or too late.
    #[error("it is postponed to a later day, by 30 days at most")]
    NoLater,
    /// Somebody objects.
    #[error("somebody objects to its fix")]
    ObjectedTo,
    /// Nobody objects.
    #[error("nobody objects to its fix")]
    NotObjectedTo,
}

impl Announced {
    /// One of nothing yet.
    fn none(at: Timestamp) -> Self {
        let (fix, plan) = ("its fix".into(), "".into());
        Self { at, begins: None, fix, plan, postponed: None, hastened: None, objected: None }
    }

    /// What is going to happen, in words.
    #[must_use]
    pub fn words(&self) -> String {
        match &self.objected {
            Some(word) => {
                let why = word.why.as_ref().map_or_else(String::new, |why| format!(": {why}"));
                format!("{} objects to its fix{why}", word.by)
            }
            None => match self.begins {
                Some(begins) => {
                    let begins = begins.strftime("%Y-%m-%d %H:%M UTC");
                    format!("Amend changes it with {} on {begins}, unless somebody objects", self.fix)
                }
                None => format!("Amend is going to change it with {}, once its owner was told", self.fix),
            },
        }
    }
}

impl Said {
    /// The word of the audit trail for it.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Due(..) => "problem.due",
            Self::Eta(_) | Self::NoEta { .. } => "problem.eta",
            Self::Announced(_) => "fix.announced",
            Self::Told(_) => "fix.told",
            Self::Now(_) => "fix.hastened",
            Self::Postponed(..) => "fix.postponed",
            Self::Objected(_) => "fix.objected",
            Self::Withdrawn(_) => "fix.objection-withdrawn",
            Self::Assigned(_) => "problem.assigned",
        }
    }

    /// Who says it.
    #[must_use]
    pub fn by(&self) -> &str {
        match self {
            Self::Due(_, Moved { by, .. })
            | Self::Eta(Eta { by, .. })
            | Self::NoEta { by }
            | Self::Now(Word { by, .. })
            | Self::Postponed(_, Word { by, .. })
            | Self::Objected(Word { by, .. })
            | Self::Withdrawn(Word { by, .. }) => by,
            Self::Announced(_) | Self::Told(_) => "amend",
            Self::Assigned(_) => DEFENDER,
        }
    }
}

/// The end of a day: a date holds as long as that day does, in UTC.
#[must_use]
pub fn end_of(day: Date) -> Option<Timestamp> {
    let next = day.tomorrow().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp();
    next.checked_sub(SignedDuration::from_secs(1)).ok()
}

impl Problem {
    /// Takes what is said of it.
    ///
    /// # Errors
    /// When that cannot be said of it now.
    pub fn hear(&mut self, said: &Said, now: Timestamp) -> Result<(), Unheard> {
        match (self.state, self.place) {
            (State::Closed(_), _) => return Err(Unheard::Closed),
            (State::Open, Place::Backlog) => return Err(Unheard::Backlog),
            _ if self.decision.outcome != Outcome::Governed => return Err(Unheard::Ungoverned),
            _ => {}
        }
        match said {
            Said::Due(on, _) | Said::Eta(Eta { on, .. }) if *on < now => Err(Unheard::Past),
            Said::Due(on, _) | Said::Eta(Eta { on, .. }) if on.duration_since(now) > FARTHEST => Err(Unheard::Far),
            Said::Due(on, _) if self.due == Some(*on) => Err(Unheard::Same),
            Said::NoEta { .. } if self.eta.is_none() => Err(Unheard::Same),
            Said::Due(on, moved) => {
                self.moved = Some(Moved { from: self.due, ..moved.clone() });
                self.set_due(Some(*on));
                self.announce_for_date();
                Ok(())
            }
            Said::Eta(eta) => {
                self.eta = Some(eta.clone());
                Ok(())
            }
            Said::NoEta { .. } => {
                self.eta = None;
                Ok(())
            }
            // INVARIANT: who objects while it is planned is not overheard.
            Said::Announced(announced) => match self.unopposed() {
                Err(Unheard::ObjectedTo) => Err(Unheard::ObjectedTo),
                _ => {
                    self.announced = Some(announced.clone());
                    Ok(())
                }
            },
            Said::Told(at) => self.told(*at, now),
            Said::Assigned(assigned) => self.assign(assigned, now),
            Said::Now(word) => self.answerable(now).map(|announced| {
                announced.begins = Some(now);
                announced.hastened = Some(word.clone());
            }),
            Said::Postponed(to, word) => {
                let announced = self.answerable(now)?;
                if announced.postponed.is_some() {
                    return Err(Unheard::PostponedBefore);
                }
                let begins = announced.begins.unwrap_or(now);
                if *to <= begins || to.duration_since(begins) > LONGEST {
                    return Err(Unheard::NoLater);
                }
                announced.begins = Some(*to);
                announced.postponed = Some(word.clone());
                Ok(())
            }
            // Guards may hold it back for long after its time: that it may not begin can be said until it did.
            Said::Objected(word) => {
                if self.announced.is_none() && self.decision.fix.is_some_and(|fix| fix.announce.is_some()) {
                    // Also of what is going to be announced.
                    self.announced = Some(Announced::none(now));
                }
                self.unopposed().map(|announced| announced.objected = Some(word.clone()))
            }
            Said::Withdrawn(_) => match self.announced.take() {
                Some(Announced { objected: Some(_), .. }) => Ok(()),
                other => {
                    self.announced = other;
                    Err(Unheard::NotObjectedTo)
                }
            },
        }
    }

    /// What Defender says of owner and dates counts; what it says nothing of stays.
    fn assign(&mut self, assigned: &Assigned, now: Timestamp) -> Result<(), Unheard> {
        let before = (self.decision.owner.clone(), self.due, self.eta.clone());
        if assigned.owner.is_some() {
            self.assigned.clone_from(&assigned.owner);
            self.keep_assigned();
        }
        if let Some(due) = assigned.due.filter(|due| self.due != Some(*due)) {
            let why = "as it is assigned there".into();
            self.moved = Some(Moved { from: self.due, by: DEFENDER.into(), at: now, why });
            self.set_due(Some(due));
            self.announce_for_date();
        }
        if let Some(on) = assigned.eta.filter(|on| self.eta.as_ref().is_none_or(|eta| eta.on != *on)) {
            self.eta = Some(Eta { on, by: DEFENDER.into(), at: now, why: assigned.why.clone() });
        }
        let after = (&self.decision.owner, self.due, &self.eta);
        if after == (&before.0, before.1, &before.2) { Err(Unheard::Same) } else { Ok(()) }
    }

    /// The announcement, where nobody objects to it.
    fn unopposed(&mut self) -> Result<&mut Announced, Unheard> {
        match &mut self.announced {
            None => Err(Unheard::NotAnnounced),
            Some(announced) if announced.objected.is_some() => Err(Unheard::ObjectedTo),
            Some(announced) => Ok(announced),
        }
    }

    /// The same, where its time has not come.
    fn answerable(&mut self, now: Timestamp) -> Result<&mut Announced, Unheard> {
        let announced = self.unopposed()?;
        match announced.begins {
            Some(begins) if begins <= now => Err(Unheard::Begun),
            _ => Ok(announced),
        }
    }

    /// Whoever is to know was told: it begins after the whole time that the rule gives them, or when the rule says,
    /// whichever is later. What people answered before stands.
    fn told(&mut self, at: Timestamp, now: Timestamp) -> Result<(), Unheard> {
        let wanted = self.fix_is_wanted();
        let before = self.decision.fix.and_then(|fix| fix.announce);
        match (&mut self.announced, before) {
            (Some(announced), Some(before)) if announced.at == at && announced.begins.is_none() => {
                announced.begins = Some(before.after(now).max(wanted.unwrap_or(now)));
                Ok(())
            }
            _ => Err(Unheard::NotAnnounced),
        }
    }

    /// Another due date: what waits for it is announced for that. What was postponed begins no sooner for it, and an
    /// objection stands.
    fn announce_for_date(&mut self) {
        let wanted = self.fix_is_wanted();
        let waits_for_date = self.decision.fix.is_some_and(|fix| fix.when != FixWhen::Now);
        match &mut self.announced {
            Some(announced) if announced.objected.is_some() => {}
            Some(announced) if announced.postponed.is_some() => announced.begins = announced.begins.max(wanted),
            announced if waits_for_date => *announced = None,
            _ => {}
        }
    }
}

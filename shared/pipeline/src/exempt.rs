//! Exemptions of Amend's own: asked for by one person, approved by another, for a while.

use amend_domain::{
    Setting,
    exemption::{Category, Disagreed, Exemption},
};
use jiff::{SignedDuration, Timestamp};

use crate::{PipelineError, advance::add, fixer::Fixer, people::Person};

/// How long exemptions last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The longest.
    pub longest: SignedDuration,
    /// So long before one ends it is said.
    pub remind: SignedDuration,
}

impl Default for Terms {
    fn default() -> Self {
        Self { longest: SignedDuration::from_hours(180 * 24), remind: SignedDuration::from_hours(14 * 24) }
    }
}

impl Terms {
    /// When it is said that something ends which begins now; of what is short, after half of it.
    fn remind_at(&self, now: Timestamp, until: Timestamp) -> Timestamp {
        let half = until.duration_since(now).as_secs().saturating_div(2);
        let before = self.remind.min(SignedDuration::from_secs(half));
        until.saturating_sub(before).unwrap_or(until)
    }
}

/// What a person asks for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The resource, resource group or account, by its canonical id.
    pub on: String,
    /// What may be wrong there; anything, if absent.
    pub setting: Option<Setting>,
    /// What is said of it.
    pub category: Category,
    /// Why.
    pub why: String,
    /// Until when.
    pub until: Timestamp,
}

impl Fixer {
    /// Asks for an exemption. It counts for nothing until a second person approves it, except that what it
    /// is about is not done without a person's word.
    ///
    /// # Errors
    /// When it is too long, or nobody knows who asks.
    pub async fn exempt(&self, wanted: Wanted, by: &Person) -> Result<Exemption, PipelineError> {
        self.must_be_named(by)?;
        let now = self.now();
        let longest = add(now, self.limits.exemptions.longest);
        if wanted.until <= now {
            return Err(PipelineError::NotExempted { why: "one of no time exempts nothing".into() });
        }
        if wanted.until > longest {
            let days = self.limits.exemptions.longest.as_hours().saturating_div(24);
            return Err(PipelineError::NotExempted {
                why: format!("it may last up to {days} days (`exemptions.longest`)"),
            });
        }
        let exemption = Exemption {
            id: self.next_id_of("x").into(),
            on: wanted.on.into(),
            setting: wanted.setting,
            category: wanted.category,
            why: wanted.why.into(),
            by: by.name().into(),
            at: now,
            until: wanted.until,
            remind: self.limits.exemptions.remind_at(now, wanted.until),
            approved: None,
        };
        self.store().ask_exemption(&exemption).await?;
        Ok(exemption)
    }

    /// Approves an exemption: a second person does.
    ///
    /// # Errors
    /// When it is not there, it was approved before, has ended, or nobody knows who approves, or it is
    /// whoever asked.
    pub async fn approve_exemption(&self, id: &str, by: &Person) -> Result<Exemption, PipelineError> {
        self.must_be_named(by)?;
        let refuse = |why: Disagreed| PipelineError::NotExempted { why: why.to_string() };
        let mut exemption = self.find_exemption(id).await?;
        exemption.approve(by.name(), self.now()).map_err(refuse)?;
        let kept = match &exemption.approved {
            Some(approval) => self.store().approve_exemption(&exemption, approval).await?,
            None => false,
        };
        if kept { Ok(exemption) } else { Err(refuse(Disagreed::Approved)) }
    }

    /// Ends an exemption before its time, or takes back that it was asked for. What it held back is due.
    ///
    /// # Errors
    /// When it is not there, or people have names and it is not known who ends it.
    pub async fn end_exemption(&self, id: &str, by: &Person) -> Result<Exemption, PipelineError> {
        if self.limits.named {
            self.must_be_named(by)?;
        }
        let exemption = self.find_exemption(id).await?;
        self.store().end_exemption(&exemption.id, by.name(), self.now()).await?.ok_or_else(|| missing(id))
    }

    /// The approved exemptions that are about to end, each once.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn remind_of_exemptions(&self) -> Result<Vec<Exemption>, PipelineError> {
        Ok(self.store().remind_exemptions(self.now()).await?)
    }

    async fn find_exemption(&self, id: &str) -> Result<Exemption, PipelineError> {
        let all = self.store().exemptions(self.now()).await?;
        let mut found = all.into_iter().filter(|one| one.id.starts_with(id));
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one),
            _ => Err(missing(id)),
        }
    }

    /// INVARIANT: where two are needed, or people are named, it is known who speaks.
    pub(crate) fn must_be_named(&self, who: &Person) -> Result<(), PipelineError> {
        if who.is_named() { Ok(()) } else { Err(PipelineError::NoName) }
    }
}

fn missing(id: &str) -> PipelineError {
    let hint = "`amend exempt --list` shows those that have not ended; name one by its id";
    PipelineError::NotFound { what: "exemption", name: id.to_owned(), hint }
}

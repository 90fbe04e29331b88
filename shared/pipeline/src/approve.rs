//! What people say of plans: of one, or of all of a rule or a fix together.

use amend_domain::{
    RuleId, digest,
    plan::{self, Remediation, State},
    work::After,
};

use crate::{PipelineError, fixer::Fixer, people::Person};

/// What a person says of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Who.
    pub by: Person,
    /// Why it may not be done; it may, if absent.
    pub why_not: Option<String>,
    /// The digest of the batch that they saw it in, if in one.
    pub batch: Option<String>,
}

impl Answered {
    /// It may be done.
    #[must_use]
    pub fn yes(by: Person) -> Self {
        Self { by, why_not: None, batch: None }
    }
}

/// Which plans are answered together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Of {
    /// Those of a rule.
    Rule(RuleId),
    /// Those of a fix, by its id.
    Fix(String),
}

impl std::fmt::Display for Of {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rule(rule) => write!(f, "the plans of rule `{rule}`"),
            Self::Fix(fix) => write!(f, "the plans of fix `{fix}`"),
        }
    }
}

/// Plans that await an answer together.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Batch {
    /// Names all of them, as they are: `sha256:` and 64 digits.
    pub digest: String,
    /// Their remediations, by id.
    pub remediations: Vec<Remediation>,
}

/// No more plans are answered at once.
const MOST: u32 = 10_000;

impl Fixer {
    /// The plans of a rule or a fix that await an answer, together.
    ///
    /// # Errors
    /// When the store does not answer, or there are too many.
    pub async fn batch(&self, of: &Of) -> Result<Batch, PipelineError> {
        let waiting = State::AwaitingApproval.as_str();
        let mut all = self.store().remediations(None, Some(waiting), MOST).await?;
        if u32::try_from(all.len()).is_ok_and(|count| count >= MOST) {
            let why = format!("{MOST} plans await an answer: answer some by their ids, or by a fix");
            return Err(PipelineError::NotAsked { of: of.to_string(), why });
        }
        all.retain(|r| match of {
            Of::Rule(rule) => r.rule.as_ref() == Some(rule),
            Of::Fix(fix) => *r.plan.fix == **fix,
        });
        all.sort_by(|a, b| a.id.cmp(&b.id));
        let covered: Vec<(&str, &str)> = all.iter().map(|r| (&*r.id, &*r.plan.digest)).collect();
        let digest = digest::digest(&covered)
            .map_err(|source| PipelineError::Damaged { what: "a batch of plans".into(), source })?;
        Ok(Batch { digest, remediations: all })
    }

    /// Says what a person decided about a batch, but for some of its remediations, which go on waiting.
    /// `seen` is the digest of the batch that they saw, or its start. Each is answered by itself: what
    /// became of it stands beside its id.
    ///
    /// # Errors
    /// When the batch is another by now, or holds not all that is to be left out: then nothing was said.
    pub async fn answer_batch(
        &self,
        of: &Of,
        seen: &str,
        except: &[String],
        by: &Person,
        why_not: Option<&str>,
    ) -> Result<Vec<(String, Result<Remediation, PipelineError>)>, PipelineError> {
        let batch = self.batch(of).await?;
        let refuse = |why: String| PipelineError::NotAsked { of: of.to_string(), why };
        if batch.remediations.is_empty() {
            return Err(refuse("no plan of it awaits an answer".into()));
        }
        // INVARIANT: what is approved is what was seen: no row more, none less, none another.
        fits(&batch.digest, seen).map_err(refuse)?;
        let mut left_out = Vec::new();
        for id in except {
            match batch.remediations.iter().filter(|r| r.id.starts_with(id)).collect::<Vec<_>>().as_slice() {
                [one] => left_out.push(&one.id),
                [] => return Err(refuse(format!("`{id}` is not in it"))),
                _ => return Err(refuse(format!("`{id}` names several"))),
            }
        }
        let answer =
            Answered { by: by.clone(), why_not: why_not.map(ToOwned::to_owned), batch: Some(batch.digest.clone()) };
        let mut answered = Vec::new();
        for r in batch.remediations.iter().filter(|r| !left_out.contains(&&r.id)) {
            answered.push((r.id.to_string(), self.answer(&r.id, &r.plan.digest, &answer).await));
        }
        Ok(answered)
    }

    /// Says what a person decided about a plan that awaits it. `plan` is the digest that they saw, or its
    /// start.
    ///
    /// # Errors
    /// When nobody is asked about this remediation, the digest is another, somebody else is at it, or people
    /// have names and it is not known who speaks.
    pub async fn answer(&self, id: &str, plan: &str, answer: &Answered) -> Result<Remediation, PipelineError> {
        if self.limits.named {
            self.must_be_named(&answer.by)?;
        }
        let mut r = self.remediation(id).await?;
        let refuse = |why: String| PipelineError::NotAsked { of: format!("remediation `{}`", r.id), why };
        if r.state != State::AwaitingApproval {
            return Err(refuse(format!("it is {}", r.state.as_str())));
        }
        if r.until.is_some_and(|until| until <= self.now()) {
            return Err(refuse("the time to answer is over".into()));
        }
        // INVARIANT: what is approved is what was seen.
        fits(&r.plan.digest, plan).map_err(|why| refuse(format!("of its plan, {why}")))?;
        let lease = self.take_up(&r.id, r.plan.at.resource.as_str()).await?;
        let now = self.now();
        r.answer = Some(plan::Answer {
            approved: answer.why_not.is_none(),
            by: answer.by.name().into(),
            at: now,
            plan: r.plan.digest.clone(),
            batch: answer.batch.as_deref().map(Into::into),
            revision: r.revision.saturating_add(1),
            why: answer.why_not.as_deref().map(Into::into),
        });
        let (state, why, after) = match &answer.why_not {
            None => (State::Planned, None, Some(After::Later { at: now })),
            Some(why) => (State::Superseded, Some(format!("denied by {}: {why}", answer.by.name())), None),
        };
        let until = r.until.take().unwrap_or(now);
        let kept = self.keep_step(&mut r, state, why, &lease, now).await;
        let after = match kept {
            Ok(()) => after.unwrap_or_else(|| self.after(&r)),
            Err(_) => After::Later { at: until },
        };
        self.store().leave(&lease, &after, now).await?;
        kept.map(|()| r)
    }
}

/// Whether what was seen names this.
fn fits(digest: &str, seen: &str) -> Result<(), String> {
    let short = seen.strip_prefix("sha256:").unwrap_or(seen);
    if short.len() < 8 {
        return Err(format!("`{seen}` is too short: name eight digits of the digest, at least"));
    }
    match digest.strip_prefix("sha256:").is_some_and(|digest| digest.starts_with(short)) {
        true => Ok(()),
        // Not which: what is approved is to be looked at.
        false => Err(format!("it is another by now than `{seen}`: look at it again")),
    }
}

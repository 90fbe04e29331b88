//! Announced fixes: an owner hears what is going to be written, when and why, and can have it done at once, postpone it
//! once, or object. What becomes healthy meanwhile is not written at all.

use amend_domain::{
    Problem,
    plan::{Plan, Remediation},
    said::{Announced, Said, Unheard, Word},
    work::After,
};
use amend_store::{Filter, Store};
use jiff::{SignedDuration, Timestamp};

use crate::{
    PipelineError,
    advance::add,
    fixer::Fixer,
    people::{Person, Right},
};

/// So long after its time an announcement holds.
const HOLDS: SignedDuration = SignedDuration::from_hours(24);

/// What somebody answers to an announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It may be done at once.
    Now,
    /// It may be done at another time, later.
    Postpone(Timestamp),
    /// It may not be done.
    Object,
    /// It may, after all.
    Withdraw,
}

impl Fixer {
    /// Announces what a plan would write, unless that was done: the owner has the whole time that the rule gives them,
    /// from when they were told on. What was done or asked about since, or could not be done for a day after its time, is
    /// announced anew. Returns what becomes of the work; nothing, where it may begin now.
    pub(crate) async fn announce(
        &self,
        problem: &Problem,
        plan: &Plan,
        ours: &[Remediation],
    ) -> Result<Option<After>, PipelineError> {
        if problem.decision.fix.is_none_or(|fix| fix.announce.is_none()) {
            return Ok(None);
        }
        let now = self.now();
        let holds = |announced: &Announced| {
            let in_time = announced.begins.is_some_and(|begins| begins <= now && now <= add(begins, HOLDS));
            in_time && announced.plan == plan.digest && !ours.iter().any(|r| r.begun >= announced.at)
        };
        if problem.announced.as_ref().is_some_and(holds) {
            return Ok(None);
        }
        // INVARIANT: what nobody can hear of is not written.
        if problem.decision.owner.name.is_none() && problem.decision.notify.is_empty() {
            let why = "its fix is to be announced, and there is nobody to tell: nobody is known to own it, and its rule notifies nobody";
            return Ok(Some(After::Parked { why: why.into() }));
        }
        let announced = Announced {
            at: now,
            begins: None,
            fix: plan.fix.clone(),
            plan: plan.digest.clone(),
            postponed: None,
            hastened: None,
            objected: None,
        };
        match say(self.store(), problem, &Said::Announced(announced), now).await {
            // Who tells it has it go on; and who objected meanwhile, or what went away, ends it.
            Ok(_) | Err(PipelineError::Unheard { .. }) => Ok(Some(After::Done)),
            Err(error) => Err(error),
        }
    }
}

/// The problems whose fix is announced and did not begin, the next first.
///
/// # Errors
/// When the store does not answer.
pub async fn announced(store: &dyn Store, now: Timestamp) -> Result<Vec<Problem>, PipelineError> {
    let mut all = store.problems(&Filter { open: Some(true), backlog: Some(false), ..Filter::default() }).await?;
    all.retain(|problem| problem.announced.is_some() && problem.fix_is_wanted().is_some());
    let mut waiting = Vec::new();
    for problem in all {
        let Some(announced) = &problem.announced else { continue };
        let over = announced.begins.is_some_and(|begins| begins <= now) && announced.objected.is_none();
        let ours = if over { store.remediations_of(problem.id.as_str()).await? } else { Vec::new() };
        if !ours.iter().any(|r| r.begun >= announced.at) {
            waiting.push(problem);
        }
    }
    waiting
        .sort_by_key(|problem| problem.announced.as_ref().map(|announced| announced.begins.unwrap_or(Timestamp::MAX)));
    Ok(waiting)
}

/// Answers an announcement.
///
/// # Errors
/// When whoever answers neither owns the problem nor may speak for others, or it cannot be answered so.
pub async fn answer(
    store: &dyn Store,
    problem: &Problem,
    answer: &Answer,
    why: Option<&str>,
    by: &Person,
    now: Timestamp,
) -> Result<Problem, PipelineError> {
    let owner = problem.decision.owner.name.as_deref();
    if !by.may(Right::Fixes) && !owner.is_some_and(|owner| owner.eq_ignore_ascii_case(by.name())) {
        let hint = "its owner may, and whoever has `may: fixes` under `people` in amend.yaml";
        let what = "answer what was announced to another";
        return Err(PipelineError::NotAllowed { who: by.name().to_owned(), what, hint });
    }
    let word = Word { by: by.name().into(), at: now, why: why.map(Into::into) };
    let said = match answer {
        Answer::Now => Said::Now(word),
        Answer::Postpone(to) => Said::Postponed(*to, word),
        Answer::Object => Said::Objected(word),
        Answer::Withdraw => Said::Withdrawn(word),
    };
    say(store, problem, &said, now).await
}

/// Keeps what is said of a problem.
pub(crate) async fn say(
    store: &dyn Store,
    problem: &Problem,
    said: &Said,
    now: Timestamp,
) -> Result<Problem, PipelineError> {
    let unheard = |why: Unheard| PipelineError::Unheard { problem: problem.id.to_string(), why };
    match store.hear(problem.id.as_str(), said, now).await? {
        Some(heard) => heard.map_err(unheard),
        None => {
            let hint = "`amend list` shows the ids";
            Err(PipelineError::NotFound { what: "the problem", name: problem.id.to_string(), hint })
        }
    }
}

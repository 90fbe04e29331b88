//! What a fix would do, in full.

use amend_domain::{
    expr::formula::{Formula, Scope},
    fix::{MAX_EACH, Write},
    plan::{Change, Plan, PlannedCall, Verdict, contains},
};
use serde_json::{Map, Value};

use super::{Observed, Remedy, RemedyError};

impl Remedy {
    /// Looks at the resource and says what would be written. Writes nothing.
    ///
    /// # Errors
    /// When the resource cannot be read, or an expression has no value: then nothing may be written.
    pub async fn plan(&self) -> Result<Plan, RemedyError> {
        let observed = self.observe().await?;
        self.plan_for(&observed)
    }

    /// What would be written to a resource that looks like this.
    pub(super) fn plan_for(&self, observed: &Observed) -> Result<Plan, RemedyError> {
        let fix = &self.fix;
        let mut plan = Plan {
            version: 1,
            fix: fix.id.clone(),
            fix_digest: fix.digest.clone(),
            title: fix.title.clone(),
            at: self.at.clone(),
            made: self.now(),
            verdict: Verdict::Compliant,
            changes: Vec::new(),
            calls: Vec::new(),
            reads: observed.reads.clone(),
            undo: Vec::new(),
            affected: observed.affected.clone(),
            impact: fix.impact.clone(),
            undo_loses: fix.undo_loses.clone(),
            params: self.params.clone(),
            digest: "".into(),
        };
        if !observed.compliant {
            plan.verdict = match &observed.unmet {
                Some(why) => Verdict::Refused { why: why.clone() },
                None => {
                    plan.changes = self.changes(observed)?;
                    let scope = write_scope(observed, &plan.then());
                    plan.calls = self.calls(&fix.writes, "writes", &scope)?;
                    // A state that the fix does not know is not written to.
                    if plan.calls.is_empty() || !plan.changes.iter().any(Change::is_real) {
                        let why =
                            "the resource is not as it should be, but this fix has nothing to write in this state";
                        Verdict::Refused { why: why.to_owned() }
                    } else {
                        Verdict::Write
                    }
                }
            };
        }
        if plan.verdict == Verdict::Write {
            // Only shown: what is undone is read again then. A way back that cannot be told yet is no
            // reason not to go.
            plan.undo = self.calls_back(&plan, observed).unwrap_or_default();
        } else {
            plan.calls.clear();
        }
        plan.digest = plan.digest_of()?.into();
        Ok(plan)
    }

    fn changes(&self, observed: &Observed) -> Result<Vec<Change>, RemedyError> {
        let scope = observed.scope.clone().with("now", observed.now.clone().into());
        let change = |setting: &amend_domain::fix::SettingChange| {
            let then = setting.then.evaluate(&scope);
            Ok(Change {
                setting: setting.name.clone(),
                before: observed.now.get(&*setting.name).cloned().unwrap_or(Value::Null),
                then: then.map_err(|error| self.formula(&format!("settings.{}.then", setting.name), error))?,
                sensitive: setting.sensitive,
            })
        };
        self.fix.settings.iter().map(change).collect()
    }

    /// The calls that `writes` stand for in `scope`.
    pub(super) fn calls(&self, writes: &[Write], place: &str, scope: &Scope) -> Result<Vec<PlannedCall>, RemedyError> {
        let mut calls = Vec::new();
        for (step, write) in writes.iter().enumerate() {
            let place = format!("{place}[{step}]");
            let fails = |error| self.formula(&place, error);
            if let Some(when) = &write.when
                && !when.holds(scope).map_err(fails)?
            {
                continue;
            }
            let items = match &write.for_each {
                None => vec![None],
                Some(list) => match list.evaluate(scope).map_err(fails)? {
                    Value::Array(items) if items.len() <= MAX_EACH => {
                        let there = still_there(list, scope);
                        items.into_iter().filter(|item| !contains(&there, item)).map(Some).collect()
                    }
                    list => {
                        let count = list.as_array().map_or(1, Vec::len);
                        return Err(RemedyError::TooMany {
                            fix: self.fix.id.to_string(),
                            place,
                            count,
                            most: MAX_EACH,
                        });
                    }
                },
            };
            let all = || self.fix.settings.iter().map(|setting| setting.name.clone()).collect();
            let changes: Vec<Box<str>> = if write.changes.is_empty() { all() } else { write.changes.clone() };
            for item in items {
                let with = match item {
                    Some(item) => write.with.evaluate(&scope.clone().with("item", item)).map_err(fails)?,
                    None => write.with.evaluate(scope).map_err(fails)?,
                };
                let with = if with.is_null() { Value::Object(Map::new()) } else { with };
                calls.push(PlannedCall {
                    call: write.call.clone(),
                    with,
                    changes: changes.clone(),
                    step,
                    sensitive: write.sensitive,
                });
            }
        }
        Ok(calls)
    }
}

/// The elements of the settings of before that `list` brings back one by one, and that are there
/// (again): they are not brought back twice. Empty where `list` is not about what was before.
fn still_there(list: &Formula, scope: &Scope) -> Vec<Value> {
    let now = |name: &str| scope.get("now").and_then(|now| now.get(name)?.as_array().cloned()).unwrap_or_default();
    list.members_of("before").flat_map(now).collect()
}

/// What the expressions of writes see.
fn write_scope(observed: &Observed, then: &Map<String, Value>) -> Scope {
    observed.scope.clone().with("now", observed.now.clone().into()).with("then", then.clone().into())
}

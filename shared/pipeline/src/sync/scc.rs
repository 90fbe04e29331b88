//! Security Command Center: marks of findings say what became of them. All of Amend's begin with `amend`, and are one
//! word in small letters: what a mask of fields makes of others is not the same everywhere.

use std::collections::BTreeMap;

use amend_domain::{
    problem::{Closed, State},
    sync::{Changed, System},
};
use serde_json::Value;

use super::{Act, Look, Sight};

/// The most characters of a mark.
const LONGEST: usize = 4_096;

/// What comes of looking at the findings of a problem. What they are marked with is not read: the marks are Amend's own.
pub(super) fn looks(sight: &Sight<'_>) -> Vec<Look> {
    let wanted = marks(sight);
    let look = |target: &str| {
        let told = sight.told(target);
        let mut changes = Vec::new();
        for (key, to) in &wanted {
            let from = told.values.get(*key).cloned().unwrap_or(Value::Null);
            let to = to.as_deref().map_or(Value::Null, Value::from);
            // Whether what was being told was heard is not known: it is told again.
            let unknown = told.telling.as_ref().is_some_and(|values| values.contains_key(*key));
            if from != to || unknown {
                changes.push(Changed { path: (*key).into(), from, to });
            }
        }
        let marks = changes.iter().filter_map(|change| wanted.get_key_value(&*change.path));
        let act = Act::Mark(marks.map(|(key, value)| (*key, value.clone())).collect());
        let act = (!changes.is_empty()).then_some(act);
        Look { system: System::Scc, target: target.into(), changes, told, heard: Vec::new(), act }
    };
    System::Scc.findings(sight.problem).map(|id| look(id.as_str())).collect()
}

/// What a finding is marked with; what has no value is taken away.
fn marks(sight: &Sight<'_>) -> BTreeMap<&'static str, Option<String>> {
    let problem = sight.problem;
    let state = match (problem.state, sight.set_by(), &sight.ticket) {
        (State::Closed(Closed::Healthy), _, _) => "healthy",
        (State::Closed(_), _, _) => "closed",
        (State::Open, Some(_), _) => "set",
        (State::Open, None, Some(entry)) if entry.open => "ticket",
        (State::Open, None, _) => "open",
    };
    let open = problem.state == State::Open;
    let link = sight.ticket.as_ref().map(|entry| entry.url.as_deref().unwrap_or(&entry.key).to_owned());
    let text = |text: String| text.trim().chars().take(LONGEST).collect::<String>();
    [
        ("amend", Some(state.to_owned())),
        ("amenddue", problem.due.filter(|_| open).map(|due| due.strftime("%Y-%m-%d").to_string())),
        ("amendowner", problem.decision.owner.name.as_deref().filter(|_| open).map(ToOwned::to_owned)),
        ("amendremediation", sight.set_by().map(|r| r.id.to_string())),
        ("amendticket", link),
    ]
    .into_iter()
    .map(|(key, value)| (key, value.map(text).filter(|text| !text.is_empty())))
    .collect()
}

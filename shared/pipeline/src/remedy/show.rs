//! A plan as people read it: what, where, why, who is affected, what it may cost; then the diff. Lines
//! with a mark each, so that a terminal, a mail and a ticket can all show them.

use amend_domain::{
    fix::{Cost, Level, Reach, Reversible},
    plan::{Change, DiffLine, Plan, Verdict, diff, without_nulls},
};
use serde::Serialize;
use serde_json::Value;

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// A line of the header.
    Head,
    /// Something to look at.
    Warn,
    /// All is well.
    Good,
    /// What goes.
    Minus,
    /// What comes.
    Plus,
    /// The rest.
    Plain,
}

/// A line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What it is.
    pub mark: Mark,
    /// What stands before it: `where`, in the header.
    pub label: &'static str,
    /// Its text.
    pub text: String,
}

fn line(mark: Mark, label: &'static str, text: impl Into<String>) -> Line {
    Line { mark, label, text: text.into() }
}

/// The plan: its header, then its diff.
#[must_use]
pub fn plan_lines(plan: &Plan, why: &str) -> Vec<Line> {
    let mut lines = vec![
        line(Mark::Head, "what", format!("{} ({})", plan.title, plan.fix)),
        line(Mark::Head, "where", place(plan)),
        line(Mark::Head, "why", if why.is_empty() { "asked for by hand".to_owned() } else { why.to_owned() }),
        line(Mark::Head, "affects", affected(plan)),
        line(if plan.impact.disruption > Level::Low { Mark::Warn } else { Mark::Head }, "impact", impact(plan)),
        line(Mark::Head, "undo", undo(plan)),
    ];
    match &plan.verdict {
        Verdict::Compliant => lines.push(line(Mark::Good, "", "nothing to do: it is as it should be")),
        Verdict::Refused { why } => lines.push(line(Mark::Warn, "", format!("nothing is written: {why}"))),
        Verdict::Write => {
            plan.changes.iter().filter(|change| change.is_real()).for_each(|change| lines.extend(diff_lines(change)))
        }
    }
    lines
}

fn place(plan: &Plan) -> String {
    let at = &plan.at;
    let account = at
        .account
        .as_ref()
        .map_or_else(String::new, |account| format!(", {} {}", at.cloud.account_word(), account.native()));
    // Only in AWS does the name leave it open.
    let region = at
        .region
        .as_ref()
        .filter(|_| at.cloud == amend_domain::Cloud::Aws)
        .map_or_else(String::new, |region| format!(", {region}"));
    let via = at.via.as_ref().map_or_else(String::new, |via| format!(", which {via} is about"));
    format!("{}{account}{region}{via}", at.resource)
}

fn affected(plan: &Plan) -> String {
    let reach = match plan.impact.reach {
        Reach::Resource => "this resource",
        Reach::Shared => "every resource that shares the setting",
        Reach::Account => "everything in the account",
        Reach::Organization => "everything in the organization",
    };
    match &plan.affected {
        None => reach.to_owned(),
        Some(list) if list.is_empty() => format!("{reach}; nothing uses it now"),
        Some(list) => {
            let shown: Vec<&str> = list.iter().take(8).map(String::as_str).collect();
            let more = list.len().saturating_sub(shown.len());
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("{reach}; used by {}{more}", shown.join(", "))
        }
    }
}

fn impact(plan: &Plan) -> String {
    let impact = &plan.impact;
    let cost = match impact.cost {
        Cost::None => "no cost",
        Cost::Usage => "costs by use",
        Cost::Plan => "starts a paid plan",
    };
    format!("disruption {}, {cost}: {}", impact.disruption.as_str(), impact.why)
}

fn undo(plan: &Plan) -> String {
    let loses = plan.undo_loses.as_deref().unwrap_or_default();
    match plan.impact.reversible {
        Reversible::Yes => "yes, to what it was".to_owned(),
        Reversible::Partly => format!("in part; lost: {loses}"),
        Reversible::No => "no".to_owned(),
    }
}

/// The diff of one setting, as texts that begin with `-`, `+` or `~`.
#[must_use]
pub fn change_lines(change: &Change) -> Vec<String> {
    diff_lines(change).into_iter().map(|line| line.text).collect()
}

/// The diff of one setting.
fn diff_lines(change: &Change) -> Vec<Line> {
    let mut lines = Vec::new();
    for DiffLine { path, before, then } in diff(&change.setting, &change.before, &change.then) {
        let show = |value: &Value| if change.sensitive { "(kept from view)".to_owned() } else { shown(value) };
        match (before, then) {
            (Some(before), Some(then))
                if before.is_object() || then.is_object() || before.is_array() || then.is_array() =>
            {
                lines.push(line(Mark::Minus, "", format!("- {path}: {}", show(&before))));
                lines.push(line(Mark::Plus, "", format!("+ {path}: {}", show(&then))));
            }
            (Some(before), Some(then)) => {
                lines.push(line(Mark::Plain, "", format!("~ {path}: {} -> {}", show(&before), show(&then))));
            }
            (Some(before), None) => lines.push(line(Mark::Minus, "", format!("- {path}: {}", show(&before)))),
            (None, Some(then)) => lines.push(line(Mark::Plus, "", format!("+ {path}: {}", show(&then)))),
            (None, None) => {}
        }
    }
    lines
}

/// A value on one line, without what is null.
#[must_use]
pub fn shown(value: &Value) -> String {
    without_nulls(value).to_string()
}

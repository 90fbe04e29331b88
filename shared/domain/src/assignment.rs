//! Defender's governance assignments: who owns an assessment there, until when, and which ticket is about it. Two
//! masters write them, Defender (its rules, and people in its portal) and Amend: here is said who may write what.
//!
//! Source: `Microsoft.Security/assessments/governanceAssignments`, version 2022-01-01-preview,
//! <https://learn.microsoft.com/rest/api/defenderforcloud/governance-assignments/create-or-update>.

use jiff::{Timestamp, Unit};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    ids::AssessmentId,
    problem::Problem,
    said::Assigned,
    sync::{Changed, Told, Values, is_open, same},
    ticket::Entry,
};

const OWNER: &str = "owner";
const DUE: &str = "remediationDueDate";
const ETA: &str = "remediationEta";
const GRACE: &str = "isGracePeriod";
const OWNER_MAIL_OFF: &str = "governanceEmailNotification.disableOwnerEmailNotification";
const MANAGER_MAIL_OFF: &str = "governanceEmailNotification.disableManagerEmailNotification";
const TICKET_NUMBER: &str = "additionalData.ticketNumber";
const TICKET_LINK: &str = "additionalData.ticketLink";
const TICKET_STATUS: &str = "additionalData.ticketStatus";

/// What the names of assignments are made of, in this namespace: any GUID would do, but it must stay the same.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f0c_3a52_1c0b_5f0e_9a5d_0d8c_2b7e_4a11);

/// The name of Amend's assignment of an assessment: the same each time.
#[must_use]
pub fn key(assessment: &AssessmentId) -> String {
    Uuid::new_v5(&NAMESPACE, assessment.as_str().as_bytes()).to_string()
}

/// Who else sends mail, so that Defender need not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mails {
    /// The owner gets Amend's digest.
    pub owner: bool,
    /// Their manager does.
    pub manager: bool,
}

/// What an assignment of a problem is to say, as far as anything is known of it.
///
/// `owner` is the owner's address: Defender writes to whom it names, so a name alone is of no use there. `ticket` is
/// what stands in the tracker. Of a problem that is not there any more only the state of its ticket is told.
#[must_use]
pub fn wanted(problem: &Problem, owner: Option<&str>, ticket: Option<&Entry>, mails: Mails) -> Values {
    let mut values = Values::new();
    let mut put = |path: &str, value: Value| drop(values.insert(path.into(), value));
    if let Some(entry) = ticket {
        put(TICKET_STATUS, if entry.open { "Active".into() } else { "Closed".into() });
    }
    if !is_open(problem) {
        return values;
    }
    if let Some(entry) = ticket {
        // Defender's number is one: `INC0010023` is not, and stands in the link, or for it.
        let number = entry.key.parse::<u32>().ok().filter(|number| i32::try_from(*number).is_ok());
        if let Some(number) = number {
            put(TICKET_NUMBER, number.into());
        }
        let link = entry.url.as_deref().or_else(|| number.is_none().then_some(&*entry.key));
        if let Some(link) = link {
            put(TICKET_LINK, link.into());
        }
    }
    if let Some(owner) = owner {
        put(OWNER, owner.into());
    }
    if let Some(due) = problem.due {
        put(DUE, time(due).into());
    }
    if let Some(eta) = &problem.eta {
        let why = eta.why.as_deref().filter(|why| !why.is_empty()).unwrap_or("said in Amend");
        put(ETA, json!({ "eta": time(eta.on), "justification": why }));
    }
    if problem.decision.grace.is_some() {
        put(GRACE, true.into());
    }
    if mails.owner && owner.is_some() {
        put(OWNER_MAIL_OFF, true.into());
    }
    if mails.manager {
        put(MANAGER_MAIL_OFF, true.into());
    }
    values
}

/// A time in whole seconds, as Defender keeps it.
fn time(at: Timestamp) -> String {
    at.round(Unit::Second).unwrap_or(at).to_string()
}

/// What to write over an assignment.
#[derive(Clone, Debug, PartialEq)]
pub struct Fill {
    /// All that it says then: a write leaves nothing as it was.
    pub properties: Value,
    /// What of that is new.
    pub changes: Vec<Changed>,
    /// What it was told then, of what it is told.
    pub values: Values,
}

/// What stands in Defender.
#[derive(Clone, Copy, Debug)]
pub struct Found<'v> {
    /// What it says.
    pub properties: &'v Value,
    /// Whether a machine wrote it last: a rule of Defender, a pipeline. What is not known to be a machine's is a
    /// person's.
    pub by_machine: bool,
}

/// What to write into an assignment that says `found`, was told `told` and is to say `wanted`. Nothing, where there is
/// nothing to write, or it may not be.
///
/// Gaps are filled, and what Amend wrote is brought up to date. What somebody else wrote stays, unless `overrides`, and
/// a person's stays in any case.
#[must_use]
pub fn fill(found: Option<Found<'_>>, told: &Told, wanted: &Values, overrides: bool) -> Option<Fill> {
    let mut properties = found.map_or_else(|| json!({}), |found| found.properties.clone());
    let may_override = overrides && found.is_some_and(|found| found.by_machine);
    let (mut changes, mut values) = (Vec::new(), Values::new());
    // The date first: grace is asked for until Amend's own, not until somebody else's.
    let is_due = |path: &str| path == DUE;
    let first = wanted.iter().filter(|(path, _)| is_due(path));
    for (path, to) in first.chain(wanted.iter().filter(|(path, _)| !is_due(path))) {
        let others_date =
            |properties: &Value| wanted.get(DUE).zip(at(properties, DUE)).is_none_or(|(to, is)| !same(to, is));
        if &**path == GRACE && others_date(&properties) {
            continue;
        }
        let from = at(&properties, path).cloned().unwrap_or(Value::Null);
        let ours = told.is_ours(path, &from);
        if same(&from, to) {
            // What was told, or is so by chance: only the first is Amend's.
            if ours {
                values.insert(path.clone(), to.clone());
            }
            continue;
        }
        if ours || is_gap(path, &from, told) || may_override {
            put(&mut properties, path, to.clone());
            values.insert(path.clone(), to.clone());
            changes.push(Changed { path: path.clone(), from, to: to.clone() });
        }
    }
    if let Some(due) = told.values.get(DUE).filter(|_| !wanted.contains_key(DUE)) {
        values.insert(DUE.into(), due.clone());
    }
    // What was told and is not wanted any more is taken back: an ETA, a ticket.
    for path in told.values.keys().filter(|path| !wanted.contains_key(*path) && &***path != DUE) {
        let from = at(&properties, path).cloned().unwrap_or(Value::Null);
        if !from.is_null() && told.is_ours(path, &from) {
            take(&mut properties, path);
            changes.push(Changed { path: path.clone(), from, to: Value::Null });
        }
    }
    // Defender takes none without a date.
    let has_due = at(&properties, DUE).is_some_and(|due| !due.is_null());
    (has_due && !changes.is_empty()).then_some(Fill { properties, changes, values })
}

/// Whether nothing stands there. A mail that is not switched off is as nobody left it, unless Amend had switched it off.
fn is_gap(path: &str, value: &Value, told: &Told) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Bool(false) => [OWNER_MAIL_OFF, MANAGER_MAIL_OFF].contains(&path) && !told.values.contains_key(path),
        _ => false,
    }
}

/// Who owns an assessment there, and until when.
#[must_use]
pub fn assigned(properties: &Value) -> Assigned {
    let text = |path: &str| at(properties, path).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty());
    let time = |path: &str| text(path).and_then(|text| text.parse::<Timestamp>().ok());
    Assigned {
        owner: text(OWNER).map(Into::into),
        due: time(DUE),
        eta: time("remediationEta.eta"),
        why: text("remediationEta.justification").map(Into::into),
    }
}

/// What of an assignment is taken over, to know later what is new in it.
#[must_use]
pub fn taken_over(properties: &Value) -> Values {
    let known = |path: &&str| at(properties, path).is_some_and(|value| !value.is_null());
    let value = |path: &str| (path.into(), at(properties, path).cloned().unwrap_or(Value::Null));
    [OWNER, DUE, ETA].into_iter().filter(known).map(value).collect()
}

/// A value by its path. The answers of Azure are not of one mind about the case of names.
fn at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(value, |value, name| {
        let members = value.as_object()?;
        members
            .get(name)
            .or_else(|| members.iter().find(|(member, _)| member.eq_ignore_ascii_case(name)).map(|(_, value)| value))
    })
}

/// The name of a member, as the object writes it.
fn named(object: &Map<String, Value>, name: &str) -> String {
    let known = object.keys().find(|member| member.eq_ignore_ascii_case(name));
    known.cloned().unwrap_or_else(|| name.to_owned())
}

fn put(value: &mut Value, path: &str, to: Value) {
    if !value.is_object() {
        *value = json!({});
    }
    let Some(object) = value.as_object_mut() else { return };
    match path.split_once('.') {
        None => drop(object.insert(named(object, path), to)),
        Some((name, rest)) => put(object.entry(named(object, name)).or_insert_with(|| json!({})), rest, to),
    }
}

fn take(value: &mut Value, path: &str) {
    let Some(object) = value.as_object_mut() else { return };
    match path.split_once('.') {
        None => drop(object.remove(&named(object, path))),
        Some((name, rest)) => {
            if let Some(inner) = object.get_mut(&named(object, name)) {
                take(inner, rest);
            }
        }
    }
}

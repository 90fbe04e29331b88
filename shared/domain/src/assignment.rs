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
    sync::{Changed, Told, Values, same},
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
    if !problem.is_open() {
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

/// What follows from looking at an assignment.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// What it was told, as far as that stands there yet.
    pub told: Told,
    /// What it was being told, and heard.
    pub heard: Vec<Changed>,
    /// What to write, where anything is to be written.
    pub write: Option<Write>,
}

/// What to write over an assignment.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// All that it says then: a write leaves nothing as it was.
    pub properties: Value,
    /// What of that is new.
    pub changes: Vec<Changed>,
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

/// What to write into an assignment that says `found`, was told `told` and is to say `wanted` in this period.
///
/// Gaps are filled, and what Amend wrote is brought up to date. What somebody else wrote stays, or took away, unless
/// `overrides`: then Amend's first write also covers what a machine wrote before.
#[must_use]
pub fn look(found: Option<Found<'_>>, told: &Told, wanted: &Values, overrides: bool, period: u32) -> Look {
    let mut properties = found.map_or_else(|| json!({}), |found| found.properties.clone());
    let (told, heard) = told.seen(period, |path| at(&properties, path).cloned().unwrap_or(Value::Null));
    // Once Amend wrote it, it was a machine in any case.
    let may_override =
        overrides && told.at.is_none() && heard.is_empty() && found.is_some_and(|found| found.by_machine);
    let mut changes = Vec::new();
    let mut change = |properties: &mut Value, path: &str, to: &Value| {
        let from = at(properties, path).cloned().unwrap_or(Value::Null);
        if to.is_null() {
            take(properties, path)
        } else {
            put(properties, path, to.clone())
        }
        changes.push(Changed { path: path.into(), from, to: to.clone() });
    };
    // The date first: grace is asked for until Amend's own, not until somebody else's.
    let first = wanted.iter().filter(|(path, _)| &***path == DUE);
    let mut spared = told.values.contains_key(DUE);
    for (path, to) in first.chain(wanted.iter().filter(|(path, _)| &***path != DUE)) {
        let is = at(&properties, path).cloned().unwrap_or(Value::Null);
        let mut may =
            !told.theirs.contains(path) && (told.values.contains_key(path) || is_gap(path, &is) || may_override);
        if &**path == GRACE {
            may = may && spared;
        }
        if may && !same(&is, to) {
            change(&mut properties, path, to);
            spared = spared || &**path == DUE;
        }
    }
    // What was told and is not wanted any more is taken back: an ETA, a ticket.
    for path in told.values.keys() {
        let wanted = wanted.contains_key(path) && (&**path != GRACE || spared);
        if !wanted && &**path != DUE {
            change(&mut properties, path, &Value::Null);
        }
    }
    // Defender takes none without a date.
    let has_due = at(&properties, DUE).is_some_and(|due| !due.is_null());
    let write = (has_due && !changes.is_empty()).then_some(Write { properties, changes });
    Look { told, heard, write }
}

/// Whether nothing stands there. A mail that is not switched off is as nobody left it.
fn is_gap(path: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Bool(false) => [OWNER_MAIL_OFF, MANAGER_MAIL_OFF].contains(&path),
        _ => false,
    }
}

/// What is told of what is over: that its ticket is.
#[must_use]
pub fn over(wanted: &Values, told: &Told) -> Values {
    let mut over = told.values.clone();
    if let Some((path, status)) = wanted.get_key_value(TICKET_STATUS).filter(|(path, _)| over.contains_key(*path)) {
        over.insert(path.clone(), status.clone());
    }
    over
}

/// What of an assignment is new since it was read last: whose it is, and until when.
#[must_use]
pub fn news(properties: &Value, read: &Values) -> Assigned {
    let is_new =
        |path: &str| !same(at(properties, path).unwrap_or(&Value::Null), read.get(path).unwrap_or(&Value::Null));
    let all = assigned(properties);
    let eta = is_new(ETA);
    Assigned {
        owner: all.owner.filter(|_| is_new(OWNER)),
        due: all.due.filter(|_| is_new(DUE)),
        eta: all.eta.filter(|_| eta),
        why: all.why.filter(|_| eta),
    }
}

/// Who owns an assessment there, and until when.
fn assigned(properties: &Value) -> Assigned {
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

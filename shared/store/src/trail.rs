//! The audit trail, inside the transactions that its records belong to.

use amend_domain::{
    AccountId, Problem, ResourceId,
    audit::{Entry, Head, Record},
    exemption::Exemption,
    guard::Hold,
    said::Said,
};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    StoreError,
    body::write,
    database::{Tx, values},
    postgres::Lock,
    sql,
};

/// Adds records to the end of the trail. A transaction does so last: from then on others wait for it.
pub(crate) async fn add(tx: &mut Tx, entries: Vec<Entry>) -> Result<(), StoreError> {
    add_after(tx, Head::default(), entries).await
}

/// The same; `gone` is the end of what was taken out: there may be nothing after it.
pub(crate) async fn add_after(tx: &mut Tx, gone: Head, entries: Vec<Entry>) -> Result<(), StoreError> {
    if entries.is_empty() {
        return Ok(());
    }
    tx.lock(Lock::Trail).await?;
    let last = head(tx).await?;
    let mut head = if last.seq < gone.seq { gone } else { last };
    let mut rows = Vec::new();
    for entry in entries {
        let record =
            Record::after(&head, entry).map_err(|source| StoreError::Damaged { what: "the audit trail", source })?;
        rows.extend(values![
            i64::try_from(record.seq).unwrap_or(i64::MAX),
            record.entry.at,
            record.entry.subject.to_string(),
            record.entry.resource.as_ref().map(|resource| resource.as_str().to_owned()),
            record.entry.account.as_ref().map(|account| account.as_str().to_owned()),
            record.digest.to_string(),
            write("the audit trail", &record)?,
        ]);
        head = Head { seq: record.seq, digest: record.digest };
    }
    tx.insert(&sql::ADD_AUDIT, &rows).await.map(drop)
}

/// The end of the trail.
pub(crate) async fn head(tx: &mut Tx) -> Result<Head, StoreError> {
    let Some(last) = tx.row(sql::LAST_AUDIT, &[]).await? else { return Ok(Head::default()) };
    Ok(Head { seq: u64::try_from(last.get::<i64>(0)?).unwrap_or_default(), digest: last.get::<&str>(1)?.into() })
}

/// Somebody holds something, or lets it go.
pub(crate) fn held(at: Timestamp, who: &str, what: &str, hold: &Hold) -> Entry {
    let detail = json!({ "on": hold.on, "until": hold.until, "why": hold.why });
    about(&hold.on, Entry { detail, ..bare(at, who, what, &hold.id) })
}

/// Somebody asks for an exemption, approves it, or ends it; or it is going to end.
pub(crate) fn exempted(at: Timestamp, who: &str, what: &str, exemption: &Exemption) -> Entry {
    let detail = json!({
        "on": exemption.on,
        "setting": exemption.setting,
        "category": exemption.category,
        "until": exemption.until,
        "why": exemption.why,
        "asked_by": exemption.by,
        "approved_by": exemption.approved.as_ref().map(|approval| &approval.by),
    });
    about(&exemption.on, Entry { detail, ..bare(at, who, what, &exemption.id) })
}

fn bare(at: Timestamp, who: &str, what: &str, subject: &str) -> Entry {
    let detail = Value::Null;
    Entry { at, who: who.into(), what: what.into(), subject: subject.into(), resource: None, account: None, detail }
}

/// With the resource or account that it is about.
fn about(on: &str, entry: Entry) -> Entry {
    let id = ResourceId::new(on);
    Entry {
        resource: (id.cloud() != amend_domain::Cloud::Other).then_some(id),
        account: AccountId::azure(on)
            .or_else(|| AccountId::aws(on.strip_prefix("aws:")?))
            .or_else(|| AccountId::gcp(on.strip_prefix("gcp:projects/")?)),
        ..entry
    }
}

/// Somebody lets a problem leave the backlog.
pub(crate) fn let_go(at: Timestamp, by: &str, problem: &Problem) -> Entry {
    Entry {
        resource: Some(problem.resource.id.clone()),
        account: problem.resource.account.clone(),
        detail: json!({ "setting": problem.setting, "rule": problem.decision.rule }),
        ..bare(at, by, "backlog.release", problem.id.as_str())
    }
}

/// Something is said of a problem, as it was before and is now.
pub(crate) fn said(was: &Problem, problem: &Problem, said: &Said, now: Timestamp) -> Entry {
    let before = was.eta.as_ref().map(|eta| eta.on);
    let detail = match said {
        Said::Due(on, moved) => json!({ "from": was.due, "to": on, "why": moved.why }),
        Said::Eta(eta) => json!({ "from": before, "to": eta.on, "why": eta.why }),
        Said::NoEta { .. } => json!({ "from": before, "to": null }),
        Said::Announced(announced) => {
            json!({ "fix": announced.fix, "plan": announced.plan })
        }
        Said::Assigned(assigned) => json!({
            "owner": { "from": was.decision.owner.name, "to": problem.decision.owner.name },
            "due": { "from": was.due, "to": problem.due },
            "eta": assigned.eta, "why": assigned.why,
        }),
        Said::Told(_) => json!({ "begins": problem.announced.as_ref().and_then(|announced| announced.begins) }),
        Said::Postponed(to, word) => json!({ "to": to, "why": word.why }),
        Said::Now(word) | Said::Objected(word) | Said::Withdrawn(word) => json!({ "why": word.why }),
    };
    Entry {
        resource: Some(problem.resource.id.clone()),
        account: problem.resource.account.clone(),
        detail,
        ..bare(now, said.by(), said.as_str(), problem.id.as_str())
    }
}

/// Somebody used the stop switch.
pub(crate) fn switched(at: Timestamp, by: &str, what: &str, why: &str) -> Entry {
    let detail = if why.is_empty() { Value::Null } else { json!({ "why": why }) };
    Entry { detail, ..bare(at, by, what, "everything") }
}

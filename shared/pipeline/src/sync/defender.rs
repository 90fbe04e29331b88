//! Defender for Cloud: owners and dates are taken over from its governance assignments, or written into them.

use amend_cloud::governance;
use amend_domain::{
    assignment::{self, Found, Mails},
    problem::FindingState,
    resource::arm_account,
    said::Assigned,
    sync::{System, Told, Values},
};
use serde_json::Value;

use super::{Act, Authority, Look, Sight, Syncer, failed};
use crate::PipelineError;

/// In the canonical id of an assessment, after what was assessed.
const ASSESSMENTS: &str = "/providers/microsoft.security/assessments/";

impl Syncer {
    /// What comes of looking at the assessments of a problem.
    pub(super) async fn defender(&self, sight: &Sight<'_>) -> Result<Vec<Look>, PipelineError> {
        let (problem, Some(authority)) = (sight.problem, self.systems.defender) else { return Ok(Vec::new()) };
        let owner = problem.decision.owner.name.as_deref();
        let mails = Mails {
            owner: self.systems.mails,
            manager: self.systems.mails
                && owner.and_then(|owner| self.owners.manager(owner)).is_some_and(|manager| manager.contains('@')),
        };
        let address = owner.and_then(|owner| self.owners.address(owner)).map(bare);
        let all = assignment::wanted(problem, address, sight.ticket.as_ref(), mails);
        let mut looks = Vec::new();
        // The assessment that it was decided about speaks first.
        let mut ids: Vec<_> = System::Defender.findings(problem).collect();
        ids.sort_by_key(|id| **id != problem.decided_by);
        for id in ids {
            // Older exports name an assessment otherwise: nothing can be said of it there.
            if !id.as_str().contains(ASSESSMENTS) || arm_account(id.as_str()).is_none() {
                continue;
            }
            let told = sight.told(id.as_str());
            let unhealthy = problem.findings.get(id).is_some_and(|finding| finding.state == FindingState::Unhealthy);
            let is_over = !problem.is_open() || !unhealthy;
            // What is over is told no more than that its ticket is.
            let was_told = !told.values.is_empty() || told.telling.is_some();
            if is_over && (authority == Authority::Defender || !was_told) {
                continue;
            }
            let wanted = if is_over { assignment::over(&all, &told) } else { all.clone() };
            let fails = |source| failed(System::Defender, problem, source);
            let mut look = Look {
                system: System::Defender,
                target: id.as_str().into(),
                changes: Vec::new(),
                // Where nothing can be told any more, nothing is being told.
                told: Told { telling: None, ..told.clone() },
                heard: Vec::new(),
                act: None,
            };
            let Some(found) = governance::list(&*self.clouds, id.as_str()).await.map_err(fails)? else {
                looks.push(look);
                continue;
            };
            let found = match found.as_slice() {
                [] => None,
                [one] => Some(one),
                // Which of them Defender goes by is not known.
                several => {
                    return Err(PipelineError::Several { assessment: id.to_string(), count: several.len() });
                }
            };
            if is_over && found.is_none() {
                looks.push(look);
                continue;
            }
            look.told = told;
            let nothing = Value::Null;
            let properties = found.map(|one| one.get("properties").unwrap_or(&nothing));
            match authority {
                Authority::Defender => {
                    // In a new period all of it counts again.
                    let mut known =
                        if look.told.period == problem.period { look.told.read.clone() } else { Values::new() };
                    look.told.period = problem.period;
                    if let Some(properties) = properties {
                        let read = assignment::taken_over(properties);
                        look.told.read.clone_from(&known);
                        // What Amend itself wrote there, before Defender's word counted, is no word of Defender's.
                        known.extend(look.told.values.clone());
                        let assigned = assignment::news(properties, &known);
                        let is_news = assigned != Assigned::default();
                        look.act = is_news.then_some(Act::TakeOver { assigned, read });
                    }
                }
                Authority::Amend { overrides } => {
                    let found_there = found
                        .zip(properties)
                        .map(|(one, properties)| Found { properties, by_machine: by_machine(one) });
                    let seen = assignment::look(found_there, &look.told, &wanted, overrides, problem.period);
                    (look.told, look.heard) = (seen.told, seen.heard);
                    if let Some(write) = seen.write {
                        let theirs = found.and_then(|one| one.get("name")).and_then(Value::as_str);
                        let name = theirs.map_or_else(|| assignment::key(id), ToOwned::to_owned);
                        look.changes = write.changes;
                        look.act = Some(Act::Assign { name, properties: write.properties });
                    }
                }
            }
            looks.push(look);
            // Of several that say something, one counts: else each would be taken over from the other, again and again.
            if authority == Authority::Defender && found.is_some() {
                break;
            }
        }
        Ok(looks)
    }
}

/// `ann@example.org` of `Ann <ann@example.org>`: Defender writes mail to what it is given.
fn bare(address: &str) -> &str {
    let inside = address.rsplit_once('<').and_then(|(_, rest)| rest.trim().strip_suffix('>'));
    inside.unwrap_or(address).trim()
}

/// Whether a machine wrote an assignment last, as Azure says. Where it says nothing, a person may have.
///
/// Source: <https://learn.microsoft.com/rest/api/defenderforcloud/governance-assignments/get#createdbytype>.
fn by_machine(assignment: &Value) -> bool {
    let kind = assignment.get("systemData").and_then(|data| data.get("lastModifiedByType")).and_then(Value::as_str);
    kind.is_some_and(|kind| ["Application", "ManagedIdentity", "Key"].contains(&kind))
}

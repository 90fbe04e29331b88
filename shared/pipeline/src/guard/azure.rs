//! What Azure itself says against a write: locks, just-in-time access that is open, policies that own the
//! setting.
//!
//! Sources: <https://learn.microsoft.com/azure/azure-resource-manager/management/lock-resources>,
//! <https://learn.microsoft.com/rest/api/defenderforcloud/jit-network-access-policies/list> and
//! <https://learn.microsoft.com/azure/governance/policy/samples/resource-graph-samples>.

use amend_cloud::graph::{self, Within};
use amend_domain::RecommendationKey;

use super::{
    Arc, CallError, Check, Cloud, CloudName, Says, Sight, Timestamp, UNREAD, Value, add, list, pass, unreadable,
};

pub(super) const LOCKS: &str = "LIST Microsoft.Authorization/locks@2016-09-01";
pub(super) const JIT: &str = "LIST Microsoft.Security/jitNetworkAccessPolicies@2020-01-01";

/// A member of an object, as text.
fn text<'v>(value: &'v Value, path: &[&str]) -> Option<&'v str> {
    path.iter().try_fold(value, |value, name| value.get(name))?.as_str()
}

pub(super) async fn lock(sight: &Sight<'_>, cloud: &Arc<dyn Cloud>) -> Check {
    if sight.plan.at.cloud != CloudName::Azure {
        return pass("lock", "only Azure has locks; others refuse the call");
    }
    let on = format!("{}/providers/Microsoft.Authorization/locks", sight.plan.at.resource);
    let all = match list(sight.plan.at.account.as_ref(), cloud, LOCKS, &on).await {
        Ok(all) => all,
        Err(error) => return unreadable("lock", "locks", &error, sight.now),
    };
    let deletes = sight.plan.calls.iter().any(|planned| planned.call.starts_with("DELETE "));
    match all.iter().find(|one| deletes || text(one, &["properties", "level"]) != Some("CanNotDelete")) {
        Some(one) => {
            let name = text(one, &["name"]).unwrap_or("without a name");
            Check::new("lock", Says::No, format!("the lock `{name}` forbids it"))
        }
        None => pass("lock", "no lock forbids it"),
    }
}

/// Defender opens and closes rules by itself while somebody has access.
pub(super) async fn just_in_time(sight: &Sight<'_>, cloud: &Arc<dyn Cloud>) -> Check {
    let guard = "just-in-time";
    let (Some(account), id) = (&sight.plan.at.account, sight.plan.at.resource.as_str()) else {
        return pass(guard, "it is in no subscription");
    };
    let network = id.contains("/providers/microsoft.network/");
    if !network && !id.contains("/providers/microsoft.compute/virtualmachines/") {
        return pass(guard, "just-in-time access opens nothing of this kind");
    }
    let on = format!("{}/providers/Microsoft.Security/jitNetworkAccessPolicies", account.as_str());
    let all = match list(Some(account), cloud, JIT, &on).await {
        Ok(all) => all,
        // Without Defender there is no such access.
        Err(error) if error.refused_code() == Some("MissingSubscriptionRegistration") => Vec::new(),
        Err(error) => return unreadable(guard, "just-in-time policies", &error, sight.now),
    };
    let none = Vec::new();
    let each = |value: &Value, name: &str| value.get(name).and_then(Value::as_array).unwrap_or(&none).clone();
    let machines = all
        .iter()
        .filter_map(|policy| policy.get("properties"))
        .flat_map(|properties| each(properties, "requests"))
        .flat_map(|request| each(&request, "virtualMachines"));
    // Which machines a rule or a network interface serves is not known: any machine of the subscription counts.
    let open = machines
        .filter(|machine| network || text(machine, &["id"]).is_none_or(|other| lies_in(id, other)))
        .flat_map(|machine| each(&machine, "ports"))
        .filter(|port| text(port, &["status"]) != Some("Revoked"))
        // One whose end cannot be read has not ended.
        .map(|port| text(&port, &["endTimeUtc"]).and_then(|end| end.parse().ok()).unwrap_or(add(sight.now, UNREAD)))
        .filter(|end: &Timestamp| *end > sight.now)
        .max();
    match open {
        Some(until) => Check::new(guard, Says::Wait { until }, "somebody has just-in-time access now"),
        None => pass(guard, "nobody has just-in-time access"),
    }
}

/// Whether a resource is another, or a part of it.
pub(super) fn lies_in(id: &str, whole: &str) -> bool {
    let whole = whole.to_ascii_lowercase();
    id.strip_prefix(&*whole).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A policy that changes what does not comply is the one to do it.
pub(super) async fn policy(sight: &Sight<'_>, cloud: &Arc<dyn Cloud>) -> Check {
    if sight.plan.at.cloud != CloudName::Azure {
        return pass("policy", "only Azure has policies that change settings; others refuse the call");
    }
    let rows = match about(
        sight,
        cloud,
        "policyresources | where type =~ 'microsoft.policyinsights/policystates' | where properties.resourceId =~ ",
        "complianceState = properties.complianceState, action = properties.policyDefinitionAction, \
         definition = properties.policyDefinitionId, assignment = properties.policyAssignmentName",
    )
    .await
    {
        Ok(rows) => rows,
        Err(error) => return unreadable("policy", "policy states", &error, sight.now),
    };
    let changes = |row: &&Value| {
        let is = |name: &str, words: &[&str]| {
            text(row, &[name]).is_some_and(|text| words.iter().any(|word| word.eq_ignore_ascii_case(text)))
        };
        is("complianceState", &["NonCompliant"]) && is("action", &["modify", "deployIfNotExists", "append"])
    };
    let changing: Vec<&Value> = rows.iter().filter(changes).collect();
    let owns = |row: &&&Value| {
        let definition = text(row, &["definition"]).unwrap_or_default();
        sight.closes.contains(&RecommendationKey::new("policy", definition))
    };
    let name = |row: &Value| text(row, &["assignment"]).unwrap_or("without a name").to_owned();
    match changing.iter().find(owns).or(changing.first()) {
        // Resource Graph leaves out what may not be seen. Where there is nothing at all, that may be why.
        None if rows.is_empty() => Check::new("policy", Says::Ask, "no policy state of it is known, or may be seen"),
        None => pass("policy", "no policy changes it"),
        Some(row) if owns(&row) => {
            let why = format!("the policy assignment `{}` changes this setting: start its remediation task", name(row));
            Check::new("policy", Says::No, why)
        }
        Some(row) => {
            let why = format!("the policy assignment `{}` changes this resource, perhaps this setting", name(row));
            Check::new("policy", Says::Ask, why)
        }
    }
}

/// What Resource Graph says about the resource.
async fn about(sight: &Sight<'_>, cloud: &Arc<dyn Cloud>, table: &str, columns: &str) -> Result<Vec<Value>, CallError> {
    let at = &sight.plan.at;
    let fails = |reason: &str| CallError::NotReached { call: graph::QUERY.to_owned(), reason: reason.to_owned() };
    let id = graph::literal(at.resource.as_str()).ok_or_else(|| fails("it has no name that can be asked about"))?;
    let account = at.account.as_ref().ok_or_else(|| fails("it is in no subscription"))?;
    let kql = format!("{table}{id} | project id, {columns} | order by id asc");
    graph::ask_all(&**cloud, &kql, &Within::Subscriptions(vec![account.native().to_owned()])).await
}

//! What people let be where the clouds keep it: policy exemptions of Azure, exemptions of Defender, findings that
//! are suppressed in Security Hub or muted in Security Command Center. Read live, as an assessment may lag a day.

use amend_cloud::{Place, let_be};
use amend_domain::{
    AccountId, Assessment, RecommendationKey, Source, StatusCode, TenantId,
    resource::{arm_account, arm_connector, arm_group},
};
use amend_events::{Context, Form, Item, Limits};

use super::{Arc, CallError, Check, Cloud, CloudName, Says, Sight, Timestamp, Value, azure, list, pass, unreadable};

pub(super) const EXEMPTIONS: &str = "LIST Microsoft.Authorization/policyExemptions@2022-07-01-preview";

/// <https://learn.microsoft.com/rest/api/defenderforcloud/standard-assignments/list>
pub(super) const ASSIGNMENTS: &str = "LIST Microsoft.Security/standardAssignments@2024-08-01";
const ASSIGNED: &str = "/providers/Microsoft.Security/standardAssignments";
/// In the canonical id of an assessment, after what was assessed.
const ASSESSMENTS: &str = "/providers/microsoft.security/assessments/";

/// Whether anybody let it be.
pub(super) async fn ask(sight: &Sight<'_>, cloud: &Arc<dyn Cloud>) -> Check {
    match sight.plan.at.cloud {
        CloudName::Azure => of_azure(sight, cloud).await,
        CloudName::Aws => findings(sight, cloud, "security-hub", "Security Hub", "suppressed").await,
        CloudName::Gcp => findings(sight, cloud, "scc", "Security Command Center", "muted").await,
        CloudName::Other => Check::new("exemption", Says::Ask, "exemptions of this cloud cannot be read"),
    }
}

async fn of_azure(sight: &Sight<'_>, cloud: &Arc<dyn Cloud>) -> Check {
    let on = format!("{}/providers/Microsoft.Authorization/policyExemptions", sight.plan.at.resource);
    let all = match list(sight.plan.at.account.as_ref(), cloud, EXEMPTIONS, &on).await {
        Ok(all) => all,
        Err(error) => return unreadable("exemption", "exemptions", &error, sight.now),
    };
    let active = |one: &&Value| {
        let ends = one.get("properties").and_then(|properties| properties.get("expiresOn")?.as_str());
        // One whose end cannot be read has not ended.
        ends.and_then(|ends| ends.parse::<Timestamp>().ok()).is_none_or(|ends| ends > sight.now)
    };
    let active: Vec<&Value> = all.iter().filter(active).collect();
    let partial = |one: &&&Value| {
        let references = one.get("properties").and_then(|properties| properties.get("policyDefinitionReferenceIds"));
        references.and_then(Value::as_array).is_some_and(|list| !list.is_empty())
    };
    match active.iter().find(|one| !partial(one)).or(active.first()) {
        None => pass("exemption", "no exemption covers it"),
        // Which recommendation a part of an initiative belongs to is not known.
        Some(one) if partial(&one) => {
            Check::new("exemption", Says::Ask, format!("the exemption `{}` may cover it", name(one)))
        }
        Some(one) => Check::new("exemption", Says::No, format!("the exemption `{}` covers it", name(one))),
    }
}

/// What people call an exemption.
fn name(one: &Value) -> &str {
    let title = one.get("properties").and_then(|properties| properties.get("displayName")?.as_str());
    title.or(one.get("name").and_then(Value::as_str)).unwrap_or("without a name")
}

/// Whether somebody exempted it in Defender itself, which knows a resource of another cloud by a name of its own.
pub(super) async fn of_defender(sight: &Sight<'_>, cloud: &Arc<dyn Cloud>) -> Check {
    let guard = "defender-exemption";
    let at = &sight.plan.at;
    if at.cloud == CloudName::Azure {
        return match exempted(sight, cloud, at.resource.as_str()).await {
            Ok(check) => check,
            Err(error) => unreadable(guard, "standard assignments", &error, sight.now),
        };
    }
    let findings = sight.problem.findings.iter().filter(|(_, finding)| finding.source == Source::Defender);
    let mut said = pass(guard, "Defender does not speak of it");
    for (id, _) in findings {
        let entity = id.as_str().rsplit_once(ASSESSMENTS).map(|(entity, _)| entity);
        let Some(entity) = entity.filter(|entity| arm_account(entity).is_some()) else {
            return Check::new(guard, Says::Ask, format!("the assessment `{id}` does not tell what Defender calls it"));
        };
        let check = match exempted(sight, cloud, entity).await {
            Ok(check) => check,
            // Whoever works in another cloud need not be let into Azure: then a person is asked.
            Err(error) if !error.may_pass() => {
                Check::new(guard, Says::Ask, format!("standard assignments cannot be read: {error}"))
            }
            Err(error) => unreadable(guard, "standard assignments", &error, sight.now),
        };
        said = if check.says >= said.says { check } else { said };
    }
    said
}

/// What exemptions of Defender say of a resource that is known by this name in Azure.
async fn exempted(sight: &Sight<'_>, cloud: &Arc<dyn Cloud>, resource: &str) -> Result<Check, CallError> {
    let guard = "defender-exemption";
    // What a list of a resource says of the scopes above it is not written down: they are asked, too.
    let account = AccountId::azure(resource);
    let scopes = [Some(resource), arm_connector(resource), arm_group(resource), arm_account(resource)];
    let mut all = Vec::new();
    for scope in scopes.into_iter().flatten() {
        all.extend(list(account.as_ref(), cloud, ASSIGNMENTS, &format!("{scope}{ASSIGNED}")).await?);
    }
    let covers = |one: &&Value| {
        let properties = one.get("properties").unwrap_or(&Value::Null);
        let text = |name: &str| properties.get(name).and_then(Value::as_str);
        let excluded = properties.get("excludedScopes").and_then(Value::as_array);
        let mut excluded = excluded.into_iter().flatten().filter_map(Value::as_str);
        let scope = one.get("id").and_then(Value::as_str).and_then(|id| id.rsplit_once(ASSIGNED));
        text("effect").is_none_or(|effect| effect.eq_ignore_ascii_case("Exempt"))
            && text("expiresOn").and_then(|end| end.parse::<Timestamp>().ok()).is_none_or(|end| end > sight.now)
            && !excluded.any(|scope| azure::lies_in(resource, scope))
            // Of a management group, and of what has no name, it is above.
            && scope.is_none_or(|(scope, _)| !scope.starts_with("/subscriptions/") || azure::lies_in(resource, scope))
    };
    let assessment = |one: &Value| {
        let key =
            one.get("properties")?.get("exemptionData")?.get("assignedAssessment")?.get("assessmentKey")?.as_str()?;
        Some(RecommendationKey::new("defender", key))
    };
    let covering: Vec<(&Value, Option<RecommendationKey>)> =
        all.iter().filter(covers).map(|one| (one, assessment(one))).collect();
    if let Some((one, _)) = covering.iter().find(|(_, key)| key.as_ref().is_some_and(|key| sight.is_about(key))) {
        return Ok(Check::new(guard, Says::No, format!("the exemption `{}` of Defender covers it", name(one))));
    }
    // Which recommendations a standard holds is not known here.
    if let Some((one, _)) = covering.iter().find(|(_, key)| key.is_none()) {
        return Ok(Check::new(guard, Says::Ask, format!("the exemption `{}` of Defender may cover it", name(one))));
    }
    Ok(pass(guard, "nobody exempted it in Defender"))
}

/// Whether a finding about this setting of this resource was let be.
async fn findings(sight: &Sight<'_>, cloud: &Arc<dyn Cloud>, word: &str, source: &str, state: &str) -> Check {
    if sight.settings.not_used.iter().any(|other| other == word) {
        return pass("exemption", format!("{source} is not in use (`guards.not_used`)"));
    }
    let at = &sight.plan.at;
    let mut resources = vec![at.resource.as_str(), sight.problem.resource.id.as_str()];
    resources.dedup();
    let place = Place { account: at.account.clone(), region: at.region.clone(), ..Place::default() };
    let found = match let_be::read(&**cloud, at.cloud, &place, &resources).await {
        Ok(Some(found)) => found,
        Ok(None) => return pass("exemption", format!("{source} is off there: nothing is {state}")),
        Err(error) => return unreadable("exemption", &format!("{state} findings"), &error, sight.now),
    };
    // They are read as they are when they come as events: one way to tell what a finding is about.
    let context = Context::new(TenantId::new(""));
    let read =
        amend_events::read(Form::Plain, Value::Array(found).to_string().as_bytes(), &context, &Limits::default());
    let Ok(items) = read else {
        return Check::new("exemption", Says::No, format!("what {source} says cannot be read"));
    };
    let ours = |one: &Assessment| {
        let exempted = one.status.code == StatusCode::NotApplicable;
        exempted && resources.contains(&one.resource.id.as_str()) && sight.is_about(&one.recommendation.key)
    };
    for item in &items {
        match item {
            Item::Assessment(one) if ours(one) => {
                let why = format!("`{}` is {state} in {source}", one.recommendation.key);
                return Check::new("exemption", Says::No, why);
            }
            // It might be about this.
            Item::Unreadable(one) => {
                let why = format!("a finding that is {state} in {source} cannot be read: {}", one.problem);
                return Check::new("exemption", Says::No, why);
            }
            Item::Assessment(_) | Item::SetAside(_) | Item::Validation { .. } => {}
        }
    }
    pass("exemption", format!("nothing about it is {state} in {source}"))
}

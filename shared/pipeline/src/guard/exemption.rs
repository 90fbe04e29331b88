//! What people let be where the clouds keep it: policy exemptions of Azure, exemptions of Defender, findings that
//! are suppressed in Security Hub or muted in Security Command Center. Read live, as an assessment may lag a day.

use amend_cloud::{Place, let_be};
use amend_domain::{AccountId, Assessment, RecommendationKey, Source, StatusCode, TenantId};
use amend_events::{Context, Form, Item, Limits};

use super::{Arc, Check, Cloud, CloudName, Says, Sight, Timestamp, Value, azure, list, pass, unreadable};

pub(super) const EXEMPTIONS: &str = "LIST Microsoft.Authorization/policyExemptions@2022-07-01-preview";

/// <https://learn.microsoft.com/rest/api/defenderforcloud/standard-assignments/list>
pub(super) const ASSIGNMENTS: &str = "LIST Microsoft.Security/standardAssignments@2024-08-01";
const ASSIGNED: &str = "/providers/Microsoft.Security/standardAssignments";

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
    let all = match list(sight, cloud, EXEMPTIONS, &on).await {
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

/// Whether somebody exempted it in Defender itself.
pub(super) async fn of_defender(sight: &Sight<'_>, cloud: &Arc<dyn Cloud>) -> Check {
    let guard = "defender-exemption";
    let at = &sight.plan.at;
    if at.cloud != CloudName::Azure {
        let mut findings = sight.problem.findings.values();
        return match findings.any(|finding| finding.source == Source::Defender) {
            true => Check::new(guard, Says::Ask, "what Defender exempts in other clouds is not read live"),
            false => pass(guard, "Defender does not speak of it"),
        };
    }
    // What a list of a resource says of the scopes above it is not written down: they are asked, too.
    let resource = at.resource.as_str();
    let group = amend_domain::resource::arm_group(resource);
    let scopes = [Some(resource), group, at.account.as_ref().map(AccountId::as_str)];
    let mut all = Vec::new();
    for scope in scopes.into_iter().flatten() {
        match list(sight, cloud, ASSIGNMENTS, &format!("{scope}{ASSIGNED}")).await {
            Ok(found) => all.extend(found),
            Err(error) => return unreadable(guard, "standard assignments", &error, sight.now),
        }
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
        return Check::new(guard, Says::No, format!("the exemption `{}` of Defender covers it", name(one)));
    }
    // Which recommendations a standard holds is not known here.
    if let Some((one, _)) = covering.iter().find(|(_, key)| key.is_none()) {
        return Check::new(guard, Says::Ask, format!("the exemption `{}` of Defender may cover it", name(one)));
    }
    pass(guard, "nobody exempted it in Defender")
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

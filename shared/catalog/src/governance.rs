//! Defender's own governance rules (`Microsoft.Security/governanceRules`, 2022-01-01-preview): made
//! into rules, and made from rules.
//!
//! An imported rule keeps the original whole under `defender`. On export, what was not edited is
//! written exactly as it came; so nothing is lost that Amend does not know, and a condition that
//! cannot be evaluated survives, governing as unknown meanwhile.

use amend_domain::{
    Rule, RuleId, ScopeId, Severity, Timeframe, digest,
    ids::is_guid,
    rule::{Condition, DueFrom, Grace, OwnerSource, Set},
};
use serde_json::{Map, Value as Json, json};

use crate::{SourceText, rule_file};

const TYPE: &str = "Microsoft.Security/governanceRules";
const MARK: &str = "/providers/microsoft.security/governancerules/";
const SHORT_MARK: &str = "/governancerules/";

/// Why governance rules cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GovernanceError {
    /// The text is not JSON.
    #[error("not JSON: {0}")]
    Json(String),
    /// It holds no governance rule.
    #[error("no governance rule found: expected one, a list of them, or `{{\"value\": […]}}` as the API answers")]
    Nothing,
    /// A rule lacks a member.
    #[error("governance rule {at}: `{member}` is missing or of another type")]
    Missing {
        /// Its name, or its place in the list.
        at: String,
        /// The member.
        member: String,
    },
    /// The rules made from it cannot be read: a mistake of ours.
    #[error("the imported rules cannot be read: {0}")]
    Unreadable(String),
}

/// What an import made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// A rule file.
    pub yaml: String,
    /// How many rules it holds.
    pub rules: usize,
    /// What governs as unknown, per rule.
    pub not_evaluable: Vec<(String, String)>,
    /// What is kept for export and has no effect here, per rule.
    pub no_effect: Vec<(String, String)>,
}

/// Makes a rule file of governance rules: one, a list, or a page of the API.
///
/// `scope` is where a rule holds that has no `id` of its own, such as the body of a `PUT`.
///
/// # Errors
/// When the text is not JSON, or a rule lacks what every rule has.
pub fn import(text: &str, scope: Option<&ScopeId>) -> Result<Imported, GovernanceError> {
    let json: Json = serde_json::from_str(text).map_err(|error| GovernanceError::Json(error.to_string()))?;
    let list: Vec<&Json> = match &json {
        Json::Array(list) => list.iter().collect(),
        Json::Object(members) => match members.get("value").and_then(Json::as_array) {
            Some(list) => list.iter().collect(),
            None => vec![&json],
        },
        _ => Vec::new(),
    };
    if list.is_empty() {
        return Err(GovernanceError::Nothing);
    }
    let mut rules: Vec<Map<String, Json>> = Vec::new();
    let mut not_evaluable = Vec::new();
    let mut no_effect = Vec::new();
    for (at, original) in list.iter().enumerate() {
        let mut rule = import_one(original, at, scope)?;
        let mut id = rule.get("id").and_then(Json::as_str).unwrap_or_default().to_owned();
        if rules.iter().any(|other| other.get("id").and_then(Json::as_str) == Some(&id)) {
            // One GUID may name rules at several scopes.
            let scope = rule.get("scope").map(Json::to_string).unwrap_or_default();
            let tail: String = digest::digest_bytes(scope.as_bytes()).chars().skip(7).take(8).collect();
            id = format!("{id}-{tail}");
            rule.insert("id".into(), id.clone().into());
        }
        for set in rule.get("when").and_then(Json::as_array).into_iter().flatten() {
            for what in set.get("not_evaluable").and_then(Json::as_array).into_iter().flatten() {
                not_evaluable.push((id.clone(), what.as_str().unwrap_or_default().to_owned()));
            }
        }
        if original.pointer("/properties/includeMemberScopes").and_then(Json::as_bool) == Some(true) {
            no_effect.push((id.clone(), "includeMemberScopes: the rule holds for its own scope alone".to_owned()));
        }
        rules.push(rule);
    }
    let count = rules.len();
    let yaml = serde_saphyr::to_string(&json!({ "version": 1, "rules": rules }))
        .map_err(|error| GovernanceError::Unreadable(error.to_string()))?;
    Ok(Imported { yaml, rules: count, not_evaluable, no_effect })
}

/// The members of a rule file's rule, made from one governance rule.
fn import_one(original: &Json, at: usize, scope: Option<&ScopeId>) -> Result<Map<String, Json>, GovernanceError> {
    let name = original.get("name").and_then(Json::as_str);
    let missing = |member: &str| GovernanceError::Missing {
        at: name.map_or_else(|| format!("number {}", at.saturating_add(1)), |name| format!("`{name}`")),
        member: member.to_owned(),
    };
    let properties = original.get("properties").and_then(Json::as_object).ok_or_else(|| missing("properties"))?;
    let text = |member: &str| properties.get(member).and_then(Json::as_str);
    let scope = match (original.get("id").and_then(Json::as_str).and_then(scope_of), scope) {
        (Some(scope), _) => scope,
        (None, Some(scope)) => scope.as_str().to_owned(),
        (None, None) => return Err(missing("id")),
    };
    let priority =
        properties.get("rulePriority").and_then(Json::as_u64).ok_or_else(|| missing("properties.rulePriority"))?;
    let display = text("displayName").ok_or_else(|| missing("properties.displayName"))?;
    let sets =
        properties.get("conditionSets").and_then(Json::as_array).ok_or_else(|| missing("properties.conditionSets"))?;

    let mut strange: Vec<String> = Vec::new();
    let mut except = Vec::new();
    for excluded in properties.get("excludedScopes").and_then(Json::as_array).into_iter().flatten() {
        match excluded.as_str().filter(|text| ScopeId::parse(text).is_ok()) {
            Some(text) => except.push(text),
            None => strange.push(format!("excluded scope {excluded}")),
        }
    }
    if let Some(kind) = text("sourceResourceType").filter(|kind| !kind.eq_ignore_ascii_case("Assessments")) {
        strange.push(format!("source resource type {kind}"));
    }
    let mut due = None;
    match text("remediationTimeframe").map(|frame| (frame, Timeframe::parse(frame))) {
        Some((frame, Ok(_))) => due = Some(frame),
        Some((frame, Err(_))) => strange.push(format!("remediation timeframe {frame}")),
        None => {}
    }
    let mut when: Vec<Map<String, Json>> = sets.iter().map(import_set).collect();
    if when.is_empty() && !strange.is_empty() {
        when.push(Map::new());
    }
    for set in &mut when {
        if !strange.is_empty() {
            let list = set.entry("not_evaluable").or_insert_with(|| json!([]));
            if let Some(list) = list.as_array_mut() {
                list.extend(strange.iter().map(|what| Json::from(what.as_str())));
            }
        }
    }

    let short = name.map_or_else(
        || digest::digest_bytes(original.to_string().as_bytes()).chars().skip(7).take(12).collect(),
        str::to_owned,
    );
    let id: String = format!("defender-{short}")
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' })
        .take(120)
        .collect();
    let mut rule = Map::new();
    rule.insert("id".into(), id.into());
    rule.insert("name".into(), display.into());
    if properties.get("isDisabled").and_then(Json::as_bool) == Some(true) {
        rule.insert("enabled".into(), false.into());
    }
    rule.insert("priority".into(), priority.into());
    let mut place = Map::new();
    place.insert("in".into(), json!([scope]));
    if !except.is_empty() {
        place.insert("except".into(), except.into());
    }
    rule.insert("scope".into(), place.into());
    if !when.is_empty() {
        rule.insert("when".into(), when.into());
    }
    let owner = properties.get("ownerSource");
    let owner_text =
        |member: &str| owner.and_then(|o| o.get(member)).and_then(Json::as_str).filter(|text| !text.is_empty());
    match (owner_text("type").map(str::to_ascii_lowercase).as_deref(), owner_text("value")) {
        (Some("bytag"), Some(tag)) => {
            rule.insert("owner".into(), json!({ "tag": tag }));
        }
        (Some("manually"), Some(name)) => {
            rule.insert("owner".into(), json!({ "manual": name }));
        }
        _ => {}
    }
    if let Some(due) = due {
        rule.insert("due".into(), due.into());
        if properties.get("isGracePeriod").and_then(Json::as_bool) == Some(true) {
            rule.insert("grace".into(), true.into());
        }
    }
    if text("ruleType").is_some_and(|kind| kind.eq_ignore_ascii_case("ServiceNow")) {
        rule.insert("ticket".into(), true.into());
    }
    rule.insert("defender".into(), original.clone());
    Ok(rule)
}

/// The scope in the id of a governance rule, with or without the provider before the type.
fn scope_of(id: &str) -> Option<String> {
    let lower = id.to_ascii_lowercase();
    let end = lower.rfind(MARK).or_else(|| lower.rfind(SHORT_MARK))?;
    let scope = id.get(..end)?;
    ScopeId::parse(scope).ok()?;
    Some(if scope.starts_with('/') { scope.to_owned() } else { format!("/{scope}") })
}

/// One set of conditions; the API's own description of the type is wrong in that it lacks the
/// `conditions` around the list, so both are read.
fn import_set(set: &Json) -> Map<String, Json> {
    let conditions = set.get("conditions").and_then(Json::as_array).or_else(|| set.as_array());
    let mut members: Map<String, Json> = Map::new();
    let mut strange = Vec::new();
    if conditions.is_none() {
        strange.push(format!("condition set {set}"));
    }
    for condition in conditions.into_iter().flatten() {
        match import_condition(condition) {
            // The same member twice would have to hold twice; a map cannot say that.
            Some((member, values)) if !members.contains_key(member) => {
                members.insert(member.into(), values.into());
            }
            _ => strange.push(describe(condition)),
        }
    }
    if !strange.is_empty() {
        members.insert("not_evaluable".into(), strange.into());
    }
    members
}

fn describe(condition: &Json) -> String {
    let text = |member: &str| match condition.get(member) {
        Some(Json::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => "?".into(),
    };
    format!("{} {} {}", text("property"), text("operator"), text("value"))
}

/// The member and values of a condition; nothing where we cannot evaluate it.
fn import_condition(condition: &Json) -> Option<(&'static str, Vec<String>)> {
    let property = condition.get("property")?.as_str()?.to_ascii_lowercase();
    let property = property.strip_prefix("$.").unwrap_or(&property);
    let property = property.strip_prefix("properties.").unwrap_or(property);
    let operator = condition.get("operator")?.as_str()?;
    let value = condition.get("value")?;
    let values: Vec<String> = if operator.eq_ignore_ascii_case("In") {
        // The value is a text that holds a JSON array.
        match value {
            Json::String(text) => serde_json::from_str(text).ok()?,
            other => serde_json::from_value(other.clone()).ok()?,
        }
    } else if operator.eq_ignore_ascii_case("Equals") {
        vec![value.as_str()?.to_owned()]
    } else {
        return None;
    };
    if values.is_empty() {
        return None;
    }
    let all = |fine: fn(&str) -> bool| values.iter().all(|value| fine(value));
    let lower = |values: Vec<String>| values.into_iter().map(|value| value.to_ascii_lowercase()).collect();
    match property {
        "assessmentkey" | "name" if all(is_guid) => Some(("key", values)),
        "metadata.severity" | "severity" if all(|v| Severity::parse(v).is_some()) => Some(("severity", lower(values))),
        "risk.level" | "risklevel" if all(|v| amend_domain::RiskLevel::parse(v).is_some()) => {
            Some(("risk", lower(values)))
        }
        "metadata.recommendationcategory" | "recommendationcategory" if all(plain) => Some(("category", values)),
        "displayname" | "metadata.displayname" if all(plain) => Some(("name", values)),
        _ => None,
    }
}

/// Whether a text means the same where `*` stands for anything.
fn plain(text: &str) -> bool {
    !text.contains('*') && !text.trim().is_empty()
}

/// What an export made.
#[derive(Clone, Debug, PartialEq)]
pub struct Exported {
    /// The governance rules, as `{"value": […]}`.
    pub json: Json,
    /// Rules that a governance rule cannot express, and why.
    pub left_out: Vec<(String, String)>,
    /// What of an exported rule a governance rule does not carry.
    pub not_carried: Vec<(String, String)>,
}

/// Makes governance rules of rules.
#[must_use]
pub fn export(rules: &[Rule]) -> Exported {
    let mut exported = Exported { json: Json::Null, left_out: Vec::new(), not_carried: Vec::new() };
    let mut list = Vec::new();
    for rule in rules {
        match export_one(rule) {
            Ok(json) => {
                list.push(json);
                let mut lost = Vec::new();
                if rule.fix.is_some() {
                    lost.push("fix");
                }
                if !rule.notify.is_empty() {
                    lost.push("notify");
                }
                if rule.due_from != DueFrom::Identified {
                    lost.push("due_from");
                }
                if rule.owner.fallback.is_some() {
                    lost.push("the owner's fallback");
                }
                if !lost.is_empty() {
                    exported.not_carried.push((rule.id.to_string(), lost.join(", ")));
                }
            }
            Err(why) => exported.left_out.push((rule.id.to_string(), why)),
        }
    }
    exported.json = json!({ "value": list });
    exported
}

fn export_one(rule: &Rule) -> Result<Json, String> {
    // What the original says already, so that what was not edited is not written anew.
    let before = rule.defender.as_deref().and_then(|original| {
        let scope = rule.scope.within.first();
        let imported = import(&original.to_string(), scope).ok()?;
        let (loaded, _) = rule_file::load(&[SourceText::new("original", imported.yaml)]).ok()?;
        loaded.rules.rules().first().cloned().map(|rule| (original.clone(), rule))
    });
    let (mut resource, old) = match before {
        Some((original, old)) => (original, Some(old)),
        None => (
            json!({ "type": TYPE, "properties": { "ruleType": "Integrated", "sourceResourceType": "Assessments" } }),
            None,
        ),
    };
    let changed = |same: fn(&Rule, &Rule) -> bool| old.as_ref().is_none_or(|old| !same(old, rule));
    let root = resource.as_object_mut().ok_or("the original is not an object")?;
    if changed(|a, b| a.scope.within == b.scope.within) {
        let [scope] = rule.scope.within.as_slice() else {
            return Err("a Defender governance rule has exactly one scope (`scope.in`)".into());
        };
        if scope.as_str().contains(':') {
            return Err(format!("the scope `{scope}` is not in Azure: name its security connector"));
        }
        let name = root.get("name").and_then(Json::as_str).map_or_else(|| guid_of(&rule.id), str::to_owned);
        let path = scope.as_str().trim_start_matches('/');
        root.insert("id".into(), format!("{path}/providers/{TYPE}/{name}").into());
        root.insert("name".into(), name.into());
    }
    let properties =
        root.get_mut("properties").and_then(Json::as_object_mut).ok_or("the original has no `properties`")?;
    if changed(|a, b| a.name == b.name) {
        properties.insert("displayName".into(), rule.name.to_string().into());
    }
    if changed(|a, b| a.priority == b.priority) {
        if rule.priority > 1_000 {
            return Err(format!("priority {} is above 1000, Defender's highest", rule.priority));
        }
        properties.insert("rulePriority".into(), rule.priority.into());
    }
    if changed(|a, b| a.enabled == b.enabled) {
        properties.insert("isDisabled".into(), (!rule.enabled).into());
    }
    if changed(|a, b| a.due == b.due) {
        match rule.due {
            Some(due) => properties.insert("remediationTimeframe".into(), due.defender().into()),
            None => properties.remove("remediationTimeframe"),
        };
    }
    if changed(|a, b| a.grace == b.grace) {
        if let Some(Grace::AfterDue(more)) = rule.grace {
            return Err(format!("a grace period of {more} after the due date; Defender's ends with it"));
        }
        properties.insert("isGracePeriod".into(), rule.grace.is_some().into());
    }
    if changed(|a, b| a.ticket == b.ticket) {
        properties.insert("ruleType".into(), if rule.ticket { "ServiceNow" } else { "Integrated" }.into());
    }
    if changed(|a, b| (&a.owner.manual, &a.owner.tag) == (&b.owner.manual, &b.owner.tag)) {
        let owner = match &rule.owner {
            OwnerSource { tag: Some(tag), .. } => json!({ "type": "ByTag", "value": tag }),
            OwnerSource { manual: Some(name), .. } => json!({ "type": "Manually", "value": name }),
            OwnerSource { .. } => return Err("a Defender governance rule needs an owner, by name or by tag".into()),
        };
        properties.insert("ownerSource".into(), owner);
    }
    if changed(|a, b| a.scope.except == b.scope.except) {
        let except: Vec<&str> = rule.scope.except.iter().map(ScopeId::as_str).collect();
        if let Some(other) = except.iter().find(|scope| scope.contains(':')) {
            return Err(format!("the exclusion `{other}` is not in Azure"));
        }
        properties.insert("excludedScopes".into(), except.into());
    }
    if changed(|a, b| a.when == b.when) {
        let sets: Result<Vec<Json>, String> = rule.when.iter().map(export_set).collect();
        let sets = sets?;
        if sets.is_empty() {
            return Err("a Defender governance rule needs conditions".into());
        }
        properties.insert("conditionSets".into(), sets.into());
    }
    Ok(resource)
}

/// A name that is a GUID, always the same for one rule id: the API wants one.
fn guid_of(id: &RuleId) -> String {
    let hex: Vec<char> = digest::digest_bytes(id.as_str().as_bytes()).chars().skip(7).collect();
    let part = |from: usize, length: usize| hex.iter().skip(from).take(length).collect::<String>();
    // The digits of version 8 (custom) and the usual variant.
    format!("{}-{}-8{}-a{}-{}", part(0, 8), part(8, 4), part(12, 3), part(15, 3), part(18, 12))
}

fn export_set(set: &Set) -> Result<Json, String> {
    let conditions: Result<Vec<Json>, String> = set.0.iter().map(export_condition).collect();
    Ok(json!({ "conditions": conditions? }))
}

fn export_condition(condition: &Condition) -> Result<Json, String> {
    let (property, values): (&str, Vec<String>) = match condition {
        Condition::Key(keys) => {
            let guids: Option<Vec<String>> =
                keys.iter().map(|key| key.as_str().strip_prefix("defender:").map(str::to_owned)).collect();
            ("$.AssessmentKey", guids.ok_or_else(|| format!("`{condition}`: only Defender's own keys can be named"))?)
        }
        Condition::Severity(levels) => {
            let title = |level: &Severity| {
                let mut chars = level.as_str().chars();
                chars.next().map(|c| c.to_ascii_uppercase()).into_iter().chain(chars).collect()
            };
            ("$.Metadata.Severity", levels.iter().map(title).collect())
        }
        other => return Err(format!("`{other}` has no known form in a Defender governance rule")),
    };
    Ok(match values.as_slice() {
        [one] => json!({ "property": property, "value": one, "operator": "Equals" }),
        many => json!({ "property": property, "value": json!(many).to_string(), "operator": "In" }),
    })
}

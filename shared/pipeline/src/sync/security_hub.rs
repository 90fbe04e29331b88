//! AWS Security Hub: workflow and note of the findings about a problem, and a finding of Amend's own where only Defender
//! speaks of it. `NOTIFIED` says that somebody has a ticket, `RESOLVED` that Amend set it and read it back. What is
//! suppressed is let be, and so is whatever a person said there.

use amend_cloud::{
    CallError, Place,
    aws::security_hub::{AMEND, Finding, Import, OURS, SecurityHub},
};
use amend_domain::{
    Problem, RecommendationKey, Severity, Source,
    plan::State as Step_,
    problem::{Closed, State},
    sync::{Changed, System, Told, Values},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{Act, Look, Sight, Syncer, failed};
use crate::PipelineError;

const NEW: &str = "NEW";
const NOTIFIED: &str = "NOTIFIED";
const RESOLVED: &str = "RESOLVED";
const SUPPRESSED: &str = "SUPPRESSED";

/// What is told of a finding.
const WORKFLOW: &str = "workflow";
const NOTED: &str = "note";

/// The most characters of a note, a title and a description.
/// <https://docs.aws.amazon.com/securityhub/latest/userguide/securityhub-findings-format-syntax.html>
const NOTE: usize = 512;
const TITLE: usize = 256;
const DESCRIPTION: usize = 1_024;

/// Security Hub drops what was not brought up to date for 90 days.
const REFRESHED: SignedDuration = SignedDuration::from_hours(30 * 24);

/// A finding of Amend's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ours {
    id: String,
    generator: String,
    title: String,
    description: String,
    severity: &'static str,
    resource: String,
    kind: &'static str,
    created: Timestamp,
    passed: bool,
    archived: bool,
    link: Option<String>,
    fields: Vec<(&'static str, String)>,
}

impl Ours {
    pub(super) fn import(&self, now: Timestamp) -> Import<'_> {
        Import {
            id: &self.id,
            generator: &self.generator,
            title: &self.title,
            description: &self.description,
            severity: self.severity,
            resource: &self.resource,
            kind: self.kind,
            created: self.created,
            updated: now,
            passed: self.passed,
            archived: self.archived,
            advice: self.link.is_some().then_some("See the recommendation in Defender for Cloud."),
            link: self.link.as_deref(),
            fields: self.fields.clone(),
        }
    }
}

impl Syncer {
    /// Security Hub where the resource of a problem is.
    pub(super) async fn hub_of(&self, problem: &Problem) -> Result<SecurityHub, CallError> {
        let resource = &problem.resource;
        let place =
            Place { account: resource.account.clone(), region: Some(region(problem).into()), ..Place::default() };
        self.clouds.aws.security_hub(&place).await
    }

    /// What comes of looking at the findings of a problem.
    pub(super) async fn security_hub(&self, sight: &Sight<'_>) -> Result<Vec<Look>, PipelineError> {
        let problem = sight.problem;
        // What is over, and was never told, is none of its business.
        if !problem.is_open() && sight.synced.targets.is_empty() && sight.set_by().is_none() {
            return Ok(Vec::new());
        }
        let found = async { self.hub_of(problem).await?.findings(problem.resource.id.as_str()).await };
        let fails = |source| failed(System::SecurityHub, problem, source);
        // Where it is off, there is nobody to tell.
        let Some(found) = found.await.map_err(fails)? else { return Ok(Vec::new()) };
        let theirs: Vec<&Finding> = found.iter().filter(|one| !one.is_ours && self.is_about(problem, one)).collect();
        let mut looks = Vec::new();
        if self.systems.hub.findings {
            let own = format!("{OURS}{}", problem.id);
            let ours = found.iter().filter(|one| self.systems.hub.import && one.id == own);
            looks.extend(theirs.iter().copied().chain(ours).filter_map(|finding| update(sight, finding)));
        }
        if self.systems.hub.import {
            looks.extend(self.import(sight, theirs.is_empty()).await?);
        }
        Ok(looks)
    }

    /// Whether a finding is about the setting of a problem.
    fn is_about(&self, problem: &Problem, finding: &Finding) -> bool {
        let control = amend_events::security_hub::control(
            finding.control.as_deref(),
            finding.product_control.as_deref(),
            &finding.generator,
        );
        let key = RecommendationKey::new("securityhub", &control);
        self.settings.of(&key) == problem.setting || problem.findings.values().any(|one| one.key == key)
    }

    /// The finding of Amend's own, where only Defender speaks of a problem; one that is there is brought up to date.
    async fn import(&self, sight: &Sight<'_>, alone: bool) -> Result<Option<Look>, PipelineError> {
        let problem = sight.problem;
        let id = format!("{OURS}{}", problem.id);
        let told = sight.told(&id);
        let active = |values: &Values| values.get("record").is_some_and(|record| record == "ACTIVE");
        let imported = active(&told.values) || told.telling.as_ref().is_some_and(active);
        let mut spoken = problem.findings.values().filter(|finding| finding.source == Source::Defender);
        let Some(finding) = spoken.next() else { return Ok(None) };
        let key = &finding.key;
        let wanted = alone && problem.is_open();
        if !wanted && !imported {
            return Ok(None);
        }
        let decisions = self.store.decisions(problem.id.as_str()).await?;
        let link = decisions.iter().find_map(|one| one.assessment.link.as_deref());
        let link = link.map(|link| if link.contains("://") { link.to_owned() } else { format!("https://{link}") });
        let ours = Ours {
            id: id.clone(),
            generator: key.to_string(),
            title: cut(&problem.title, TITLE),
            description: cut(&format!("Defender for Cloud: {}", problem.title), DESCRIPTION),
            severity: label(problem),
            resource: problem.resource.id.to_string(),
            kind: kind(problem),
            created: finding.since.unwrap_or(problem.opened),
            passed: problem.state == State::Closed(Closed::Healthy),
            archived: !alone || matches!(problem.state, State::Closed(how) if how != Closed::Healthy),
            link,
            fields: vec![
                ("amend/problem", problem.id.to_string()),
                ("amend/recommendation", key.to_string()),
                ("amend/rule", problem.decision.rule.as_ref().map_or_else(String::new, ToString::to_string)),
            ],
        };
        let values: Values = [
            ("compliance", if ours.passed { "PASSED" } else { "FAILED" }),
            ("record", if ours.archived { "ARCHIVED" } else { "ACTIVE" }),
            ("severity", ours.severity),
            ("title", &ours.title),
        ]
        .into_iter()
        .map(|(name, value)| (name.into(), Value::from(value)))
        .collect();
        let fresh = told.at.is_some_and(|at| sight.now.duration_since(at) < REFRESHED);
        if told.telling.is_none() && told.values == values && (fresh || !problem.is_open()) {
            return Ok(None);
        }
        // All of it is said again: what is no later than what is there is ignored, and does no harm.
        let change = |(name, to): (Box<str>, Value)| {
            let from = told.values.get(&name).cloned().unwrap_or(Value::Null);
            Changed { path: name, from, to }
        };
        let changes = values.into_iter().map(change).collect();
        let act = Some(Act::Import(Box::new(ours)));
        Ok(Some(Look { system: System::SecurityHub, target: id.into(), changes, told, heard: Vec::new(), act }))
    }
}

/// What comes of looking at a finding.
fn update(sight: &Sight<'_>, finding: &Finding) -> Option<Look> {
    // What is so of one resource need not be of another.
    if finding.resources > 1 {
        return None;
    }
    let target: Box<str> = format!("{}|{}", finding.product, finding.id).into();
    let mut told = sight.told(&target);
    if told.period != sight.problem.period && told.values.get(WORKFLOW).is_some_and(|is| *is != *finding.workflow) {
        // Security Hub makes it new by itself where it is there again: what it was told before counts no more.
        told.values.remove(WORKFLOW);
    }
    let old = finding.note.as_ref();
    let (told, heard) = told.seen(sight.problem.period, |path| match path {
        WORKFLOW => finding.workflow.as_str().into(),
        _ => old.map_or(Value::Null, |(text, _)| text.as_str().into()),
    });
    // Who suppressed it wants to hear no more of it.
    let may = |path: &str| finding.workflow != SUPPRESSED && !told.theirs.contains(path);
    let workflow = workflow(sight, finding, &told).filter(|to| may(WORKFLOW) && *to != finding.workflow);
    let note = note(sight, &told).filter(|to| may(NOTED) && old.is_none_or(|(is, by)| by == AMEND && is != to));
    let mut changes = Vec::new();
    let mut change = |path: &str, from: Value, to: Option<&str>| {
        changes.extend(to.map(|to| Changed { path: path.into(), from, to: to.into() }));
    };
    change(WORKFLOW, finding.workflow.as_str().into(), workflow);
    change(NOTED, old.map_or(Value::Null, |(is, _)| is.as_str().into()), note.as_deref());
    let act = Act::Update { finding: Box::new(finding.clone()), workflow: workflow.map(Into::into), note };
    let act = (!changes.is_empty()).then_some(act);
    Some(Look { system: System::SecurityHub, target, changes, told, heard, act })
}

/// Which workflow a finding is to have; nothing, where what it has is right, or somebody else's.
fn workflow(sight: &Sight<'_>, finding: &Finding, told: &Told) -> Option<&'static str> {
    let has_ticket = sight.ticket.as_ref().is_some_and(|entry| entry.open);
    if sight.set_by().is_some() {
        return Some(RESOLVED);
    }
    // Whether it is set is not known: a person looks.
    if !sight.problem.is_open() || sight.last.as_ref().is_some_and(|r| r.state == Step_::Parked) {
        return None;
    }
    match finding.workflow.as_str() {
        RESOLVED if told.values.get(WORKFLOW).is_some_and(|ours| ours == RESOLVED) => {
            Some(if has_ticket { NOTIFIED } else { NEW })
        }
        NEW if has_ticket => Some(NOTIFIED),
        _ => None,
    }
}

/// What the note of a finding says; nothing, where there is nothing to say.
fn note(sight: &Sight<'_>, told: &Told) -> Option<String> {
    let problem = sight.problem;
    let undone = sight.last.as_ref().filter(|r| matches!(r.state, Step_::Undone | Step_::Failed));
    let text = match (sight.set_by(), &sight.ticket, undone) {
        (Some(r), _, _) => format!("Set by Amend with {} and read back; remediation {}.", r.plan.fix, r.id),
        (None, Some(entry), _) if problem.is_open() => {
            let due = problem.due.map(|due| format!(" Due {}.", due.strftime("%Y-%m-%d"))).unwrap_or_default();
            let owner = problem.decision.owner.name.as_deref();
            let owner = owner.map(|owner| format!(" Owner {owner}.")).unwrap_or_default();
            let link = entry.url.as_deref().map(|url| format!(" {url}")).unwrap_or_default();
            format!("Ticket {}.{owner}{due}{link}", entry.key)
        }
        // What was said before is not so any more.
        (None, _, Some(r)) if told.values.contains_key(NOTED) => {
            format!("What Amend set with {} is not so any more; remediation {}.", r.plan.fix, r.id)
        }
        (None, _, None) if problem.is_open() && sight.last.is_none() && told.values.contains_key(NOTED) => {
            "It is there again.".to_owned()
        }
        _ => return None,
    };
    Some(cut(&text, NOTE))
}

/// Where the findings about a resource are.
fn region(problem: &Problem) -> &str {
    let id = problem.resource.id.as_str();
    let mut parts = id.split(':');
    let partition = parts.nth(1).unwrap_or_default();
    let named = problem.resource.region.as_deref().or_else(|| parts.nth(1));
    let whole = match partition {
        "aws-cn" => "cn-north-1",
        "aws-us-gov" => "us-gov-west-1",
        _ => "us-east-1",
    };
    // What is in no region is looked after there.
    named.filter(|region| !region.is_empty() && !region.eq_ignore_ascii_case("global")).unwrap_or(whole)
}

fn label(problem: &Problem) -> &'static str {
    match problem.severity {
        Some(Severity::Critical) => "CRITICAL",
        Some(Severity::High) => "HIGH",
        Some(Severity::Medium) | None => "MEDIUM",
        Some(Severity::Low) => "LOW",
    }
}

/// What Security Hub calls a type of resource, where Amend writes it otherwise.
/// <https://docs.aws.amazon.com/securityhub/latest/userguide/asff-resources.html>
const KINDS: [&str; 14] = [
    "AwsAccount",
    "AwsCloudTrailTrail",
    "AwsEc2Instance",
    "AwsEc2SecurityGroup",
    "AwsEc2Volume",
    "AwsEc2Vpc",
    "AwsEcrRepository",
    "AwsIamUser",
    "AwsKmsKey",
    "AwsLambdaFunction",
    "AwsRdsDbInstance",
    "AwsS3Bucket",
    "AwsSnsTopic",
    "AwsSqsQueue",
];

fn kind(problem: &Problem) -> &'static str {
    let ours = problem.resource.kind.as_deref().unwrap_or_default();
    let known = KINDS.into_iter().find(|kind| *amend_events::security_hub::resource_type(kind) == *ours);
    known.unwrap_or("Other")
}

/// The start of a text.
fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

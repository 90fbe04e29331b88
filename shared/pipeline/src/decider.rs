//! What the rules say of an assessment: everything that deciding needs, and nothing that remembers.

use std::sync::Arc;

use amend_catalog::{Catalogue, Mistakes, SourceText, facts_file::FactsFile, rule_file, rule_test::RuleTest};
use amend_domain::{
    Assessment, Cloud, Decision, RuleSet, Settings, StatusCode, TenantId, assessment::Action, owners::Owners,
    ports::Clock, problem::SourceOfTruth, thing::Reads,
};
use amend_events::{Context, Form, Item, Limits, Refused};
use amend_store::Change;

/// What deciding is made of.
pub struct Parts {
    /// The rule files.
    pub rule_files: Vec<SourceText>,
    /// What is known beside the events.
    pub facts: FactsFile,
    /// Who is who.
    pub owners: Arc<Owners>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The fixes; they say which recommendations speak of one setting.
    pub catalogue: Arc<Catalogue>,
    /// The tenant of sources that name none.
    pub tenant: TenantId,
    /// Whose word counts, where it is not Defender's.
    pub truths: Vec<(Cloud, SourceOfTruth)>,
    /// How much a delivery may hold.
    pub limits: Limits,
}

/// Rules, settings and facts, put together.
#[derive(Clone)]
pub struct Decider {
    rules: Arc<RuleSet>,
    tests: Arc<[RuleTest]>,
    files: Arc<[SourceText]>,
    settings: Arc<Settings>,
    catalogue: Arc<Catalogue>,
    facts: Arc<FactsFile>,
    owners: Arc<Owners>,
    clock: Arc<dyn Clock>,
    tenant: TenantId,
    truths: Arc<[(Cloud, SourceOfTruth)]>,
    limits: Limits,
}

impl Decider {
    /// Puts the parts together. Warnings about the rules come with the result.
    ///
    /// # Errors
    /// Every mistake in the rules.
    pub fn new(parts: Parts) -> Result<(Self, Mistakes), Mistakes> {
        let (loaded, warnings) = rule_file::load(&parts.rule_files)?;
        let decider = Self {
            rules: Arc::new(loaded.rules),
            tests: loaded.tests.into(),
            files: parts.rule_files.into(),
            settings: Arc::new(parts.catalogue.settings()?),
            catalogue: parts.catalogue,
            facts: Arc::new(parts.facts),
            owners: parts.owners,
            clock: parts.clock,
            tenant: parts.tenant,
            truths: parts.truths.into(),
            limits: parts.limits,
        };
        Ok((decider, warnings))
    }

    /// The rules in force.
    #[must_use]
    pub fn rules(&self) -> &RuleSet {
        &self.rules
    }

    /// The fixes.
    #[must_use]
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// The cases that stand in the rule files.
    #[must_use]
    pub fn tests(&self) -> &[RuleTest] {
        &self.tests
    }

    /// The files that the rules were read from.
    #[must_use]
    pub fn files(&self) -> &[SourceText] {
        &self.files
    }

    /// What is known beside the events.
    #[must_use]
    pub fn facts(&self) -> &FactsFile {
        &self.facts
    }

    /// How much a delivery may hold.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> jiff::Timestamp {
        self.clock.now()
    }

    /// Takes a delivery apart.
    ///
    /// # Errors
    /// When it is over a limit as a whole.
    pub fn read(
        &self,
        form: Form,
        body: &[u8],
        attributes: &[(String, String)],
        snapshot: bool,
        limits: &Limits,
    ) -> Result<Vec<Item>, Refused> {
        let context = Context { snapshot, attributes: attributes.to_vec(), ..Context::new(self.tenant.clone()) };
        amend_events::read(form, body, &context, limits)
    }

    /// What the rules say of one assessment, given what the facts file knows of its resource, and what
    /// was read of it.
    #[must_use]
    pub fn decide(&self, assessment: Assessment, reads: &Reads) -> Change {
        let mut facts = self.facts.about(&assessment, self.clock.now());
        reads.fill(&mut facts, &assessment.resource);
        let digest = self.rules.digest();
        let nothing = |why| Decision::nothing(why, digest, &assessment, &facts);
        let decision = match (assessment.action, assessment.status.code) {
            (Action::Report, StatusCode::Unhealthy) => {
                Decision::new(self.rules.decide(&assessment, &facts), &assessment, &facts, &self.owners, digest)
            }
            (Action::Delete, _) => nothing("the source deleted the finding"),
            (Action::Unknown, _) => nothing("the source did something this version does not know"),
            (_, StatusCode::Healthy) => nothing("healthy"),
            (_, StatusCode::NotApplicable) if assessment.is_exempt() => nothing("exempt"),
            (_, StatusCode::NotApplicable) => nothing("not applicable"),
            (_, StatusCode::Other) => nothing("the source could not tell"),
        };
        let setting = self.settings.of(&assessment.recommendation.key);
        let truth = self.truth(assessment.resource.cloud);
        Change { assessment, setting, decision, facts, truth }
    }

    /// Whose word counts for resources of a cloud: Defender's, unless the configuration says otherwise.
    fn truth(&self, cloud: Cloud) -> SourceOfTruth {
        self.truths.iter().find(|(of, _)| *of == cloud).map_or_else(SourceOfTruth::default, |(_, truth)| *truth)
    }
}

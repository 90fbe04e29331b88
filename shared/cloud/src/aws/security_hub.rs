//! AWS Security Hub, by its typed client over our own HTTP client and credentials: findings about a resource, their
//! workflow and note, and findings of our own.
//!
//! Source: <https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_GetFindings.html>, `API_BatchUpdateFindings.html`
//! and `API_BatchImportFindings.html` beside it.

use std::{
    collections::HashMap,
    pin::Pin,
    task::{Context, Poll},
};

use amend_domain::AccountId;
use amend_models::Call;
use aws_sdk_securityhub::{
    Client,
    config::{BehaviorVersion, Builder, Region},
    types::{
        AwsSecurityFinding, AwsSecurityFindingFilters, AwsSecurityFindingIdentifier, Compliance, ComplianceStatus,
        NoteUpdate, Recommendation, RecordState, Remediation, Resource, Severity, SeverityLabel, StringFilter,
        StringFilterComparison, WorkflowStatus, WorkflowUpdate,
    },
};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::{error::metadata::ProvideErrorMetadata, retry::RetryConfig, timeout::TimeoutConfig};

use super::{Aws, CALL, OverOurs, ServiceError, failed, partition};
use crate::{CallError, Place};

const GET: &str = "securityhub:GetFindings";
const UPDATE: &str = "securityhub:BatchUpdateFindings";
const IMPORT: &str = "securityhub:BatchImportFindings";

/// The calls made here to find and update findings, for the roles.
pub const UPDATES: &[&str] = &[GET, UPDATE];
/// Those made to import findings.
pub const IMPORTS: &[&str] = &[GET, IMPORT];

/// Who says so, in a note.
pub const AMEND: &str = "amend";

/// No resource has more pages of findings.
const MOST_PAGES: usize = 100;

/// Security Hub in one account and region.
#[derive(Debug)]
pub struct SecurityHub {
    client: Client,
    account: AccountId,
    region: String,
}

/// A finding, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its id.
    pub id: String,
    /// The product that found it; with the id, its name.
    pub product: String,
    /// Whether it is one of Amend's own.
    pub is_ours: bool,
    /// The control that failed: `S3.8`; empty, where it names none.
    pub control: Option<String>,
    /// The control as products without a member for it name it.
    pub product_control: Option<String>,
    /// What found it.
    pub generator: String,
    /// `NEW`, `NOTIFIED`, `RESOLVED`, `SUPPRESSED`.
    pub workflow: String,
    /// How many resources it is about.
    pub resources: usize,
    /// Its note, and who wrote that.
    pub note: Option<(String, String)>,
}

/// A finding of Amend's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import<'i> {
    /// Its id, the same each time.
    pub id: &'i str,
    /// The recommendation.
    pub generator: &'i str,
    /// What is wrong, in up to 256 characters.
    pub title: &'i str,
    /// The same at length, in up to 1,024 characters.
    pub description: &'i str,
    /// `LOW`, `MEDIUM`, `HIGH`, `CRITICAL`.
    pub severity: &'i str,
    /// The ARN of the resource.
    pub resource: &'i str,
    /// Its type, as Security Hub calls it: `AwsS3Bucket`; `Other`, where that is not known.
    pub kind: &'i str,
    /// Since when it is so.
    pub created: jiff::Timestamp,
    /// Since when it is as it is said here. What is no later than what is there is ignored.
    pub updated: jiff::Timestamp,
    /// Whether it is as it should be.
    pub passed: bool,
    /// Whether it is not spoken of any more.
    pub archived: bool,
    /// What to do.
    pub advice: Option<&'i str>,
    /// Where there is more about that.
    pub link: Option<&'i str>,
    /// What else Amend knows.
    pub fields: Vec<(&'static str, String)>,
}

/// The start of the ids of Amend's own findings.
pub const OURS: &str = "amend/";

impl Aws {
    /// Security Hub in the account and region of a place.
    ///
    /// # Errors
    /// When nobody may call it there.
    pub async fn security_hub(&self, place: &Place) -> Result<SecurityHub, CallError> {
        let not_reached = |reason: String| CallError::NotReached { call: GET.to_owned(), reason };
        let region = place.region.as_deref().ok_or_else(|| not_reached("the resource's region is not known".into()))?;
        let account = place.account.clone().ok_or_else(|| not_reached("its account is not known".into()))?;
        let call = Call::find(GET).map_err(|error| not_reached(error.to_string()))?;
        let credentials = self.credentials(place, &call, region).await?;
        let client = self.client(region, false).map_err(|error| not_reached(error.to_string()))?;
        let endpoint = self.settings.dangerous_endpoint.clone();
        let config = Builder::new()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .credentials_provider(credentials)
            .http_client(OverOurs(client))
            .sleep_impl(TokioSleep::new())
            .use_fips(self.settings.fips && endpoint.is_none())
            .use_dual_stack(self.settings.dual_stack && endpoint.is_none())
            .timeout_config(TimeoutConfig::builder().operation_timeout(CALL).build())
            // All that is written here may be written twice.
            .retry_config(RetryConfig::standard().with_max_attempts(3));
        let config = match endpoint {
            Some(endpoint) => config.endpoint_url(endpoint),
            None => config,
        };
        Ok(SecurityHub { client: Client::from_conf(config.build()), account, region: region.to_owned() })
    }
}

impl SecurityHub {
    /// The findings about a resource that are there now. Nothing, where Security Hub is off.
    ///
    /// # Errors
    /// When they cannot be read, or their pages do not end.
    pub async fn findings(&self, resource: &str) -> Result<Option<Vec<Finding>>, CallError> {
        let is = |value: &str| StringFilter::builder().value(value).comparison(StringFilterComparison::Equals).build();
        let filters = AwsSecurityFindingFilters::builder().resource_id(is(resource)).record_state(is("ACTIVE")).build();
        let (mut all, mut next) = (Vec::new(), None);
        for _ in 0..MOST_PAGES {
            let asked = self.client.get_findings().filters(filters.clone()).max_results(100).set_next_token(next);
            let answer = match Roomy::new(asked.send()).await {
                Ok(answer) => answer,
                Err(error) => match typed(GET, error) {
                    // It has one code for that and for what a caller may not do.
                    CallError::Refused { code, message, .. }
                        if code == "InvalidAccessException" && message.contains("not subscribed") =>
                    {
                        return Ok(None);
                    }
                    error => return Err(error),
                },
            };
            all.extend(answer.findings.unwrap_or_default().into_iter().filter_map(finding));
            next = answer.next_token.filter(|token| !token.is_empty());
            if next.is_none() {
                return Ok(Some(all));
            }
        }
        Err(CallError::Unreadable { call: GET.to_owned(), reason: "its pages do not end".into() })
    }

    /// Sets the workflow or the note of a finding, or both.
    ///
    /// # Errors
    /// When it is not done.
    pub async fn update(&self, finding: &Finding, workflow: Option<&str>, note: Option<&str>) -> Result<(), CallError> {
        let id = AwsSecurityFindingIdentifier::builder().id(&finding.id).product_arn(&finding.product);
        let note = note.map(|text| NoteUpdate::builder().text(text).updated_by(AMEND).build());
        let workflow = workflow.map(|status| WorkflowUpdate::builder().status(WorkflowStatus::from(status)).build());
        let asked = self.client.batch_update_findings().finding_identifiers(id.build());
        let asked = asked.set_note(note).set_workflow(workflow);
        let answer = Roomy::new(asked.send()).await.map_err(|error| typed(UPDATE, error))?;
        match answer.unprocessed_findings.unwrap_or_default().into_iter().next() {
            None => Ok(()),
            Some(one) => {
                let (code, message) = (one.error_code.unwrap_or_default(), one.error_message.unwrap_or_default());
                Err(left(UPDATE, code, message))
            }
        }
    }

    /// Imports a finding of Amend's own, or brings it up to date.
    ///
    /// # Errors
    /// When it is not taken.
    pub async fn import(&self, import: &Import<'_>) -> Result<(), CallError> {
        let fails = |reason: String| CallError::NotReached { call: IMPORT.to_owned(), reason };
        let partition = partition(&self.region).map_err(fails)?;
        let account = self.account.native();
        let product = format!("arn:{partition}:securityhub:{}:{account}:product/{account}/default", self.region);
        let resource = Resource::builder().id(import.resource).r#type(import.kind).region(&self.region);
        let status = if import.passed { ComplianceStatus::Passed } else { ComplianceStatus::Failed };
        let state = if import.archived { RecordState::Archived } else { RecordState::Active };
        let advice = (import.advice.is_some() || import.link.is_some()).then(|| {
            let advice = Recommendation::builder().set_text(import.advice.map(Into::into));
            Remediation::builder().recommendation(advice.set_url(import.link.map(Into::into)).build()).build()
        });
        let fields: HashMap<String, String> =
            import.fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let finding = AwsSecurityFinding::builder()
            .schema_version("2018-10-08")
            .id(import.id)
            .product_arn(product)
            .generator_id(import.generator)
            .aws_account_id(account)
            .types("Software and Configuration Checks")
            .created_at(millis(import.created))
            .updated_at(millis(import.updated))
            .severity(Severity::builder().label(SeverityLabel::from(import.severity)).build())
            .title(import.title)
            .description(import.description)
            .set_remediation(advice)
            .set_product_fields(Some(fields))
            .resources(resource.build())
            .compliance(Compliance::builder().status(status).build())
            .record_state(state)
            .build();
        let answer = Roomy::new(self.client.batch_import_findings().findings(finding).send()).await;
        let answer = answer.map_err(|error| typed(IMPORT, error))?;
        match answer.failed_findings.unwrap_or_default().into_iter().next() {
            None => Ok(()),
            Some(one) => Err(left(IMPORT, one.error_code.unwrap_or_default(), one.error_message.unwrap_or_default())),
        }
    }
}

/// A future that is polled on a stack of its own, where there is little of the thread's left: a finding has a member
/// for each type of resource in AWS, and reading one takes more than the 2 MiB that threads have.
struct Roomy<F>(Pin<Box<F>>);

impl<F: Future> Roomy<F> {
    /// So much must be left.
    const LEFT: usize = 8 << 20;
    /// So large is the other.
    const SIZE: usize = 16 << 20;

    fn new(inner: F) -> Self {
        Self(Box::pin(inner))
    }
}

impl<F: Future> Future for Roomy<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        stacker::maybe_grow(Self::LEFT, Self::SIZE, || self.0.as_mut().poll(context))
    }
}

/// A time as Security Hub takes it.
fn millis(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

fn finding(finding: AwsSecurityFinding) -> Option<Finding> {
    let id = finding.id?;
    let workflow = finding.workflow.and_then(|workflow| workflow.status);
    let note = finding.note.and_then(|note| Some((note.text?, note.updated_by.unwrap_or_default())));
    Some(Finding {
        is_ours: id.starts_with(OURS),
        id,
        product: finding.product_arn?,
        control: finding.compliance.and_then(|compliance| compliance.security_control_id),
        product_control: finding.product_fields.and_then(|mut fields| fields.remove("ControlId")),
        generator: finding.generator_id.unwrap_or_default(),
        resources: finding.resources.map_or(0, |resources| resources.len()),
        workflow: workflow.map_or_else(|| "NEW".to_owned(), |status| status.as_str().to_owned()),
        note,
    })
}

/// What was left of a batch. What is Security Hub's own failure may pass, as if all of it had failed.
fn left(call: &str, code: String, message: String) -> CallError {
    let passes = ["InternalFailure", "ConcurrentUpdateError", "Throttling"].contains(&code.as_str());
    let status = if passes { 500 } else { 400 };
    CallError::Refused { call: call.to_owned(), code, message, status, request_id: None }
}

/// A failure of the typed client, as those of all other calls are.
fn typed<E: ProvideErrorMetadata>(call: &str, error: SdkError<E, HttpResponse>) -> CallError {
    let response = error.raw_response();
    let status = response.map_or(0, |response| response.status().as_u16());
    let request_id = response.and_then(|response| response.headers().get("x-amzn-requestid")).map(ToOwned::to_owned);
    let known = |error: E| ServiceError { metadata: Box::new(error.meta().clone()), status, request_id };
    failed(call.to_owned(), error.map_service_error(known))
}

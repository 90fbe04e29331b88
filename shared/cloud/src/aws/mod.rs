//! AWS: any operation of any service that the descriptions hold, in the target account and region.
//!
//! The published description says what a request looks like, the published endpoint rules say where it
//! goes and how it is signed, and the SDK's runtime signs, sends and repeats it. Reads are repeated as
//! the SDK does; a write is repeated only where AWS says that it did nothing.

mod http;
mod protocol;
mod schema;
pub mod security_hub;
mod value;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use amend_domain::AccountId;
use amend_http::{Client, Hosts, HttpError};
use amend_models::{Api, Call, aws_endpoints, aws_partitions, endpoints::Endpoint};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials as _, SharedCredentialsProvider},
};
use aws_runtime::{
    auth::{
        SigV4OperationSigningConfig, SigningOptions,
        sigv4::{SCHEME_ID, SigV4AuthScheme},
    },
    retries::classifiers::AwsErrorCodeClassifier,
};
use aws_smithy_async::{rt::sleep::TokioSleep, time::SystemTimeSource};
use aws_smithy_runtime::client::{
    orchestrator::operation::Operation,
    retries::classifiers::{HttpStatusCodeClassifier, TransientErrorClassifier},
};
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        auth::{
            AuthSchemeOptionResolverParams, SharedAuthScheme, SharedAuthSchemeOptionResolver,
            static_resolver::StaticAuthSchemeOptionResolver,
        },
        behavior_version::BehaviorVersion,
        interceptors::context::InterceptorContext,
        orchestrator::{HttpRequest, HttpResponse, OrchestratorError},
        result::SdkError,
        retries::classifiers::{ClassifyRetry, RetryAction, RetryReason},
        runtime_components::RuntimeComponentsBuilder,
        runtime_plugin::StaticRuntimePlugin,
        stalled_stream_protection::StalledStreamProtectionConfig,
    },
};
use aws_smithy_types::{
    config_bag::Layer,
    error::{ErrorMetadata, metadata::ProvideErrorMetadata},
    retry::{ErrorKind, RetryConfig},
    timeout::TimeoutConfig,
};
use aws_types::{
    SigningName,
    region::{Region, SigningRegion},
};
use serde_json::{Map, Value, json};
use tokio::sync::OnceCell;

use self::{http::OverOurs, protocol::Wire};
use crate::{CallError, Place};

/// How AWS is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AwsSettings {
    /// The role to take on in each account, by name: `amend-remediation`. Without one, only the
    /// account of the credentials at hand can be reached.
    pub role: Option<String>,
    /// What the role asks callers of other organizations for.
    pub external_id: Option<String>,
    /// Whether only FIPS endpoints are used.
    pub fips: bool,
    /// Whether dual-stack endpoints are used.
    pub dual_stack: bool,
    /// An address that every call goes to, whatever the rules say: for tests.
    pub dangerous_endpoint: Option<String>,
}

/// AWS.
pub struct Aws {
    settings: AwsSettings,
    /// One client for each partition: hosts of another one are refused.
    clients: Mutex<HashMap<String, Client>>,
    own: OnceCell<SharedCredentialsProvider>,
    own_account: OnceCell<AccountId>,
    taken_on: Mutex<HashMap<AccountId, Credentials>>,
}

/// Where the SDK finds the credentials of an instance, a task or a pod.
/// Source: <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html> and
/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-imds-credentials.html>.
const METADATA: [&str; 5] = ["169.254.169.254", "[fd00:ec2::254]", "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"];

/// The longest wait for a call with all its repetitions.
const CALL: Duration = Duration::from_secs(100);
/// Credentials of a role that are valid for less than this are replaced.
const MARGIN: Duration = Duration::from_secs(300);

/// What AWS said instead of doing it.
#[derive(Debug, thiserror::Error)]
#[error("{}", metadata.code().unwrap_or("an error"))]
struct ServiceError {
    metadata: Box<ErrorMetadata>,
    status: u16,
    request_id: Option<String>,
}

impl ProvideErrorMetadata for ServiceError {
    fn meta(&self) -> &ErrorMetadata {
        &self.metadata
    }
}

impl Aws {
    /// AWS, as `settings` say. Nothing is read yet.
    #[must_use]
    pub fn new(settings: AwsSettings) -> Self {
        Self {
            settings,
            clients: Mutex::default(),
            own: OnceCell::new(),
            own_account: OnceCell::new(),
            taken_on: Mutex::default(),
        }
    }

    /// AWS with these credentials instead of those at hand.
    #[must_use]
    pub fn with_credentials(settings: AwsSettings, key: &str, secret: &str, token: Option<String>) -> Self {
        let credentials = Credentials::new(key, secret, token, None, "given");
        Self { own: OnceCell::new_with(Some(SharedCredentialsProvider::new(credentials))), ..Self::new(settings) }
    }

    pub(crate) async fn call(&self, place: &Place, call: &Call, args: &Value) -> Result<Value, CallError> {
        let not_reached = |reason: String| CallError::NotReached { call: call.name(), reason };
        let region = place.region.as_deref().ok_or_else(|| not_reached("the resource's region is not known".into()))?;
        let credentials = self.credentials(place, call, region).await?;
        self.send(place, call, args, region, credentials).await
    }

    /// The account that the credentials at hand belong to.
    ///
    /// # Errors
    /// When there are none, or AWS does not say.
    pub async fn own_account(&self, region: &str) -> Result<AccountId, CallError> {
        let ask = async || {
            let call = sts("sts:GetCallerIdentity")?;
            let credentials = self.own(&call, region).await?;
            let place = Place { region: Some(region.into()), ..Place::default() };
            let answer = self.send(&place, &call, &json!({}), region, credentials).await?;
            answer
                .get("Account")
                .and_then(Value::as_str)
                .and_then(AccountId::aws)
                .ok_or_else(|| CallError::Unreadable { call: call.name(), reason: "it names no account".into() })
        };
        self.own_account.get_or_try_init(ask).await.cloned()
    }

    /// Credentials for the account that the call is about, or none.
    async fn credentials(
        &self,
        place: &Place,
        call: &Call,
        region: &str,
    ) -> Result<SharedCredentialsProvider, CallError> {
        let Some(account) = &place.account else { return self.own(call, region).await };
        if self.settings.role.is_none() {
            let own = self.own_account(region).await?;
            // INVARIANT: a call about one account is never made in another.
            if own != *account {
                let reason = format!(
                    "the credentials at hand are of account {}, the call is about account {}; set `clouds.aws.role` to the role that is taken on there",
                    own.native(),
                    account.native()
                );
                return Err(CallError::NotReached { call: call.name(), reason });
            }
            return self.own(call, region).await;
        }
        self.taken_on(place, account, region).await.map(SharedCredentialsProvider::new)
    }

    /// Takes on the role in `account`, or goes on with it. A session that writes is named by its
    /// remediation, so that CloudTrail tells which one it was.
    async fn taken_on(&self, place: &Place, account: &AccountId, region: &str) -> Result<Credentials, CallError> {
        let call = sts("sts:AssumeRole")?;
        let fails = |reason: &str| CallError::NotReached { call: call.name(), reason: reason.to_owned() };
        let fresh = |credentials: &Credentials| {
            let end = SystemTime::now().checked_add(MARGIN);
            credentials.expiry().zip(end).is_some_and(|(expiry, end)| expiry > end)
        };
        if place.remediation.is_none() {
            let known = self.taken_on.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(credentials) = known.get(account).filter(|credentials| fresh(credentials)) {
                return Ok(credentials.clone());
            }
        }
        let partition = partition(region).map_err(|reason| fails(&reason))?;
        let role = self.settings.role.as_deref().unwrap_or_default();
        let session = place.remediation.as_deref().map_or_else(|| "amend".to_owned(), |id| format!("amend-{id}"));
        let args = json!({
            "RoleArn": format!("arn:{partition}:iam::{}:role/{role}", account.native()),
            "RoleSessionName": session,
            "ExternalId": self.settings.external_id,
        });
        let own = self.own(&call, region).await?;
        let here = Place { region: Some(region.into()), ..Place::default() };
        let answer = self.send(&here, &call, &args, region, own).await?;
        let found = answer.get("Credentials").unwrap_or(&Value::Null);
        let text = |name: &str| found.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
        let (Some(key), Some(secret), Some(token)) =
            (text("AccessKeyId"), text("SecretAccessKey"), text("SessionToken"))
        else {
            return Err(fails("the answer holds no credentials"));
        };
        let expiry = text("Expiration").and_then(|at| at.parse::<jiff::Timestamp>().ok()).map(SystemTime::from);
        let credentials = Credentials::new(key, secret, Some(token), expiry, "amend");
        if place.remediation.is_none() {
            let mut known = self.taken_on.lock().unwrap_or_else(PoisonError::into_inner);
            known.insert(account.clone(), credentials.clone());
        }
        Ok(credentials)
    }

    /// The credentials at hand: environment, profile, single sign-on, web identity, container, instance.
    async fn own(&self, call: &Call, region: &str) -> Result<SharedCredentialsProvider, CallError> {
        let fails = |reason: String| CallError::NotReached { call: call.name(), reason };
        let client = self.client(region, true).map_err(|error| fails(error.to_string()))?;
        let load = async || {
            let config = aws_config::defaults(BehaviorVersion::latest())
                .http_client(OverOurs(client))
                .region(Region::new(region.to_owned()))
                .load()
                .await;
            config.credentials_provider().ok_or_else(|| fails("no source of AWS credentials is configured".into()))
        };
        let provider = self.own.get_or_try_init(load).await?;
        // Asked here, so that "no credentials" is said in plain words.
        if let Err(error) = provider.provide_credentials().await {
            let why = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            return Err(fails(format!("no AWS credentials: {error}{}{why}", if why.is_empty() { "" } else { ": " })));
        }
        Ok(provider.clone())
    }

    /// The client for the partition of a region; for credentials, with the local metadata services.
    fn client(&self, region: &str, metadata: bool) -> Result<Client, HttpError> {
        let partition = aws_partitions().ok().flatten().and_then(|partitions| partitions.of(region));
        let name = partition.and_then(|partition| partition.attributes.get("name")?.as_str()).unwrap_or_default();
        let key = format!("{name} {metadata}");
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let ends =
            ["dnsSuffix", "dualStackDnsSuffix"].iter().filter_map(|name| partition?.attributes.get(*name)?.as_str());
        let ends: Vec<String> = ends.map(|end| format!(".{end}")).collect();
        let mut hosts = Hosts::of(ends.iter().map(String::as_str));
        if metadata {
            hosts = hosts.and_plain(METADATA);
        }
        let dangerous = self.settings.dangerous_endpoint.as_deref().and_then(|url| url.parse::<::http::Uri>().ok());
        if let Some(host) = dangerous.as_ref().and_then(::http::Uri::host) {
            hosts = hosts.and_plain([host]);
        }
        let client = Client::new(hosts)?;
        clients.insert(key, client.clone());
        Ok(client)
    }

    async fn send(
        &self,
        place: &Place,
        call: &Call,
        args: &Value,
        region: &str,
        credentials: SharedCredentialsProvider,
    ) -> Result<Value, CallError> {
        let name = call.name();
        let not_reached = |reason: String| CallError::NotReached { call: name.clone(), reason };
        let Api::Aws { service, .. } = call.api else { return Err(not_reached("not an operation of AWS".into())) };
        let wire = Wire::of(call).map_err(|error| not_reached(error.to_string()))?;
        let request = wire.request(args, &place.token).map_err(|error| not_reached(error.to_string()))?;
        let endpoint = self.endpoint(call, args, region).map_err(not_reached)?;
        let url = self.url(&endpoint, &wire, args);
        let client = self.client(region, false).map_err(|error| not_reached(error.to_string()))?;
        let operation = Operation::builder()
            .service_name(&*service.name)
            .operation_name(name.clone())
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(&url)
            .http_client(OverOurs(client))
            .sleep_impl(TokioSleep::new())
            .time_source(SystemTimeSource::new())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .timeout_config(TimeoutConfig::builder().operation_timeout(CALL).build())
            .standard_retry(&RetryConfig::standard().with_max_attempts(3))
            .retry_classifier(Classifier { reads: call.only_reads() })
            .runtime_plugin(signing(service.signing_name(), region, &endpoint, credentials))
            .serializer(move |(): ()| -> Result<HttpRequest, BoxError> {
                request.try_clone().ok_or_else(|| "the request cannot be repeated".into())
            })
            .deserializer({
                let wire = Arc::clone(&wire);
                move |response: &HttpResponse| answer(&wire, response)
            })
            .build();
        operation.invoke(()).await.map_err(|error| failed(name, error))
    }

    /// Where the call goes, by the service's own rules.
    fn endpoint(&self, call: &Call, args: &Value, region: &str) -> Result<Endpoint, String> {
        let Api::Aws { service, operation, .. } = call.api else { return Err("not an operation of AWS".into()) };
        let rules = aws_endpoints(&service.name).map_err(|error| error.to_string())?;
        let rules = rules.ok_or_else(|| format!("no endpoint rules for `{}`", service.name))?;
        let partitions = aws_partitions().map_err(|error| error.to_string())?.ok_or("no partitions")?;
        let mut parameters = Map::new();
        for (name, built_in) in rules.parameters() {
            let value: Value = match built_in {
                Some("AWS::Region") => region.into(),
                // Most rules refuse these together with an address of one's own.
                Some("AWS::UseFIPS") => (self.settings.fips && self.settings.dangerous_endpoint.is_none()).into(),
                Some("AWS::UseDualStack") => {
                    (self.settings.dual_stack && self.settings.dangerous_endpoint.is_none()).into()
                }
                Some("SDK::Endpoint") => self.settings.dangerous_endpoint.clone().into(),
                Some("AWS::S3::ForcePathStyle") => self.settings.dangerous_endpoint.is_some().into(),
                _ => continue,
            };
            parameters.insert(name.to_owned(), value);
        }
        for (name, value) in &operation.static_context_params {
            parameters.insert(name.to_string(), value.value.clone());
        }
        let wire = operation.input.as_ref().and_then(|target| service.wire.get(&target.shape));
        for (member, how) in wire.map(|wire| &wire.members).into_iter().flatten() {
            let name = how.get("contextParam").and_then(|param| param.get("name")?.as_str());
            if let (Some(name), Some(value)) = (name, args.get(member)) {
                parameters.insert(name.to_owned(), value.clone());
            }
        }
        let endpoint = rules.resolve(&parameters, partitions).map_err(|error| error.to_string())?;
        match endpoint.auth_scheme.as_deref() {
            None | Some("sigv4") => Ok(endpoint),
            Some(scheme) => Err(format!("the endpoint asks for `{scheme}` signatures, which Amend does not make")),
        }
    }

    fn url(&self, endpoint: &Endpoint, wire: &Wire, args: &Value) -> String {
        match wire.host_prefix(args) {
            // The rules of some services write the prefix themselves.
            Some(prefix)
                if self.settings.dangerous_endpoint.is_none() && !endpoint.url.contains(&format!("//{prefix}")) =>
            {
                endpoint.url.replacen("://", &format!("://{prefix}"), 1)
            }
            _ => endpoint.url.clone(),
        }
    }
}

/// A request as it would be sent, without its host and signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsigned {
    /// The method.
    pub method: String,
    /// Path and query.
    pub uri: String,
    /// The headers, in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// What a call of AWS looks like on the wire.
///
/// # Errors
/// When the arguments are not what the operation takes.
pub fn unsigned(call: &Call, args: &Value, token: &str) -> Result<Unsigned, CallError> {
    let fails = |error: &dyn std::fmt::Display| CallError::NotReached { call: call.name(), reason: error.to_string() };
    let request = Wire::of(call).and_then(|wire| wire.request(args, token)).map_err(|error| fails(&error))?;
    Ok(Unsigned {
        method: request.method().to_owned(),
        uri: request.uri().to_owned(),
        headers: request.headers().iter().map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect(),
        body: request.body().bytes().unwrap_or_default().to_vec(),
    })
}

/// What a response of AWS says.
///
/// # Errors
/// When the status is no success, or it is not what the operation answers.
pub fn parsed(call: &Call, status: u16, headers: &[(String, String)], body: &[u8]) -> Result<Value, CallError> {
    let fails = |error: &dyn std::fmt::Display| CallError::Unreadable { call: call.name(), reason: error.to_string() };
    let wire = Wire::of(call).map_err(|error| fails(&error))?;
    let response = amend_http::Response { status, headers: headers.to_vec(), body: body.to_vec() };
    let response = http::theirs(response).map_err(|error| fails(&error))?;
    match answer(&wire, &response) {
        Ok(value) => Ok(value),
        Err(OrchestratorError { .. }) if !response.status().is_success() => {
            let metadata = wire.error(&response);
            Err(CallError::Refused {
                call: call.name(),
                code: metadata.code().unwrap_or_default().to_owned(),
                message: metadata.message().unwrap_or_default().to_owned(),
                status,
                request_id: None,
            })
        }
        Err(error) => Err(fails(&format!("{error:?}"))),
    }
}

fn sts(name: &str) -> Result<Call, CallError> {
    Call::find(name).map_err(|error| CallError::NotReached { call: name.to_owned(), reason: error.to_string() })
}

fn partition(region: &str) -> Result<&'static str, String> {
    let partitions = aws_partitions().map_err(|error| error.to_string())?;
    let name = partitions
        .and_then(|partitions| partitions.of(region))
        .and_then(|partition| partition.attributes.get("name")?.as_str());
    name.ok_or_else(|| format!("`{region}` is in no partition"))
}

/// Signature version 4, with the name and region that the endpoint rules or the description give.
fn signing(
    name: &str,
    region: &str,
    endpoint: &Endpoint,
    credentials: SharedCredentialsProvider,
) -> StaticRuntimePlugin {
    let name = endpoint.signing_name.as_deref().unwrap_or(name).to_owned();
    let region = endpoint.signing_region.as_deref().unwrap_or(region).to_owned();
    let s3 = name.starts_with("s3");
    let mut options = SigningOptions::default();
    options.double_uri_encode = !(s3 || endpoint.disable_double_encoding);
    options.normalize_uri_path = !(s3 || endpoint.disable_normalize_path);
    options.content_sha256_header = s3;
    let mut layer = Layer::new("signing");
    layer.store_put(AuthSchemeOptionResolverParams::new(()));
    layer.store_put(SigV4OperationSigningConfig {
        region: Some(SigningRegion::from(Region::new(region))),
        name: Some(SigningName::from(name)),
        region_set: None,
        signing_options: options,
    });
    let options = StaticAuthSchemeOptionResolver::new(vec![SCHEME_ID]);
    StaticRuntimePlugin::new().with_config(layer.freeze()).with_runtime_components(
        RuntimeComponentsBuilder::new("signing")
            .with_auth_scheme(SharedAuthScheme::new(SigV4AuthScheme::new()))
            .with_auth_scheme_option_resolver(Some(SharedAuthSchemeOptionResolver::new(options)))
            .with_identity_resolver(SCHEME_ID, credentials),
    )
}

fn answer(wire: &Wire, response: &HttpResponse) -> Result<Value, OrchestratorError<ServiceError>> {
    if response.status().is_success() {
        return wire.response(response).map_err(|error| OrchestratorError::response(error.into()));
    }
    let id = ["x-amzn-requestid", "x-amz-request-id"].iter().find_map(|name| response.headers().get(*name));
    Err(OrchestratorError::operation(ServiceError {
        metadata: Box::new(wire.error(response)),
        status: response.status().as_u16(),
        request_id: id.map(ToOwned::to_owned),
    }))
}

fn failed(call: String, error: SdkError<ServiceError, HttpResponse>) -> CallError {
    match error {
        SdkError::ServiceError(context) => {
            let ServiceError { metadata, status, request_id } = context.into_err();
            CallError::Refused {
                call,
                code: metadata.code().unwrap_or("Unknown").to_owned(),
                message: metadata.message().unwrap_or_default().to_owned(),
                status,
                request_id,
            }
        }
        SdkError::ResponseError(context) => {
            let status = context.raw().status().as_u16();
            CallError::Unreadable { call, reason: format!("status {status}, and not the form that is described") }
        }
        SdkError::DispatchFailure(failure) => {
            let ours = failure
                .as_connector_error()
                .and_then(|error| std::error::Error::source(error)?.downcast_ref::<HttpError>());
            match ours {
                Some(HttpError::Unreachable { unsent, .. }) => CallError::NoAnswer {
                    call,
                    reason: ours.map(ToString::to_string).unwrap_or_default(),
                    unsent: *unsent,
                },
                Some(error @ HttpError::TooLong { .. }) => CallError::Unreadable { call, reason: error.to_string() },
                Some(error) => CallError::NotReached { call, reason: error.to_string() },
                None => CallError::NoAnswer { call, reason: "the connection failed".into(), unsent: false },
            }
        }
        SdkError::TimeoutError(_) => {
            CallError::NoAnswer { call, reason: format!("not within {} s", CALL.as_secs()), unsent: false }
        }
        SdkError::ConstructionFailure(_) => CallError::NotReached { call, reason: "it cannot be signed".into() },
        _ => CallError::NoAnswer { call, reason: "the SDK failed".into(), unsent: false },
    }
}

/// What is repeated: reads as the SDK does; writes only where AWS says that it did nothing.
#[derive(Debug)]
struct Classifier {
    reads: bool,
}

impl ClassifyRetry for Classifier {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let by_code = AwsErrorCodeClassifier::<ServiceError>::new().classify_retry(context);
        if !self.reads {
            let throttled = RetryReason::RetryableError { kind: ErrorKind::ThrottlingError, retry_after: None };
            let refused = matches!(&by_code, RetryAction::RetryIndicated(RetryReason::RetryableError { kind, .. }) if *kind == ErrorKind::ThrottlingError);
            return if refused { RetryAction::RetryIndicated(throttled) } else { RetryAction::RetryForbidden };
        }
        let or = |action: RetryAction, next: &dyn ClassifyRetry| match action {
            RetryAction::NoActionIndicated => next.classify_retry(context),
            action => action,
        };
        let action = or(by_code, &TransientErrorClassifier::<ServiceError>::new());
        or(action, &HttpStatusCodeClassifier::default())
    }

    fn name(&self) -> &'static str {
        "amend"
    }
}

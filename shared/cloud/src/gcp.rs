//! Google Cloud: methods of the discovery documents, by id.

use std::{sync::Arc, time::Duration};

use amend_domain::AccountId;
use amend_http::{Client, Hosts, Request, Response};
use amend_models::{
    Api, Call,
    discovery::{Method, Service},
};
use async_trait::async_trait;
use google_cloud_auth::credentials::{AccessTokenCredentials, Builder, impersonated};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::{
    CallError, Place,
    rest::{self, Given, OPERATION, Tokens, send},
};

/// How Google Cloud is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GcpSettings {
    /// The service account to act as; the credentials' own identity, if absent.
    pub impersonate: Option<String>,
    /// An address that every call goes to, with the real host's name as the first part of the path: for
    /// tests.
    pub dangerous_endpoint: Option<String>,
}

/// Google Cloud.
pub struct Gcp {
    settings: GcpSettings,
    tokens: Box<dyn Tokens>,
    client: OnceCell<Client>,
}

const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

impl Gcp {
    /// Google Cloud, as `settings` say. Nothing is asked yet.
    #[must_use]
    pub fn new(settings: GcpSettings) -> Self {
        let tokens = Box::new(Adc { impersonate: settings.impersonate.clone(), found: OnceCell::new() });
        Self { settings, tokens, client: OnceCell::new() }
    }

    /// Google Cloud with this token.
    #[must_use]
    pub fn with_token(settings: GcpSettings, token: &str) -> Self {
        Self { settings, tokens: Box::new(Given(token.to_owned())), client: OnceCell::new() }
    }

    pub(crate) async fn call(&self, place: &Place, call: &Call, args: &Value) -> Result<Value, CallError> {
        let name = call.name();
        let fails = |reason: String| CallError::NotReached { call: name.clone(), reason };
        let Api::Gcp { api, method } = call.api else { return Err(fails("not a method of Google Cloud".into())) };
        let reads = call.only_reads();
        let answer = self.send(place, api, method, args, reads).await?;
        // Writes to Compute Engine and Cloud SQL answer with an operation that goes on.
        if !reads && method.response.as_deref() == Some("Operation") {
            return self.wait(place, &name, args, answer).await.map_err(CallError::begun);
        }
        Ok(answer)
    }

    async fn send(
        &self,
        place: &Place,
        api: &Service,
        method: &Method,
        args: &Value,
        reads: bool,
    ) -> Result<Value, CallError> {
        let name = method.id.to_string();
        let fails = |reason: String| CallError::NotReached { call: name.clone(), reason };
        let url = self.url(api, method, args, place.account.as_ref()).map_err(&fails)?;
        let by = place.remediation.as_deref().map_or_else(String::new, |id| format!(" ({id})"));
        let mut headers = vec![
            ("accept".to_owned(), "application/json".to_owned()),
            ("user-agent".to_owned(), format!("amend/{}{by}", env!("CARGO_PKG_VERSION"))),
        ];
        if let Some(version) = &method.api_version {
            headers.push(("x-goog-api-version".to_owned(), version.to_string()));
        }
        if let Some(etag) = args.get("if_match").and_then(Value::as_str) {
            headers.push(("if-match".to_owned(), etag.to_owned()));
        }
        let body = rest::body(args, &mut headers).map_err(&fails)?;
        let request = Request { method: method.http_method.to_string(), url, headers, body };
        let client = self.client().await.map_err(&fails)?;
        let response = send(client, &*self.tokens, &name, request, reads).await?;
        rest::json(&name, &success(&name, response)?)
    }

    async fn client(&self) -> Result<&Client, String> {
        let make = async || {
            let mut hosts = Hosts::of([".googleapis.com"]);
            let dangerous = self.settings.dangerous_endpoint.as_deref().and_then(|url| url.parse::<http::Uri>().ok());
            if let Some(host) = dangerous.as_ref().and_then(http::Uri::host) {
                hosts = hosts.and_plain([host]);
            }
            Client::new(hosts).map_err(|error| error.to_string())
        };
        self.client.get_or_try_init(make).await
    }

    /// The address of a call, in the project that it is about.
    fn url(&self, api: &Service, method: &Method, args: &Value, account: Option<&AccountId>) -> Result<String, String> {
        for (name, value) in args.as_object().into_iter().flatten() {
            in_account(name, value.as_str().unwrap_or_default(), account)?;
        }
        let url = api.url(method, args)?;
        Ok(match &self.settings.dangerous_endpoint {
            Some(endpoint) => format!("{endpoint}/{}", url.trim_start_matches("https://")),
            None => url,
        })
    }

    /// Waits for an operation of Compute Engine or Cloud SQL.
    async fn wait(&self, place: &Place, call: &str, args: &Value, mut operation: Value) -> Result<Value, CallError> {
        let begun = tokio::time::Instant::now();
        let fails = |reason: String| CallError::Unreadable { call: call.to_owned(), reason };
        let mut wait = Duration::from_millis(100);
        loop {
            if operation.get("status").and_then(Value::as_str) == Some("DONE") {
                return finished(call, operation);
            }
            if begun.elapsed() > OPERATION {
                let reason = format!("it was begun, and is not done after {} s", OPERATION.as_secs());
                return Err(CallError::NoAnswer { call: call.to_owned(), reason, unsent: false });
            }
            tokio::time::sleep(wait).await;
            wait = wait.saturating_mul(2).min(Duration::from_secs(5));
            let last = |name: &str| {
                operation
                    .get(name)
                    .and_then(Value::as_str)
                    .and_then(|url| url.rsplit('/').next())
                    .map(ToOwned::to_owned)
            };
            let project = args.get("project").cloned().unwrap_or(Value::Null);
            let id = last("name").ok_or_else(|| fails("the operation has no name".into()))?;
            let (method, args) = match (call.starts_with("sql."), last("zone"), last("region")) {
                (true, _, _) => ("sql.operations.get", json!({ "project": project, "operation": id })),
                (_, Some(zone), _) => {
                    ("compute.zoneOperations.get", json!({ "project": project, "zone": zone, "operation": id }))
                }
                (_, _, Some(region)) => {
                    ("compute.regionOperations.get", json!({ "project": project, "region": region, "operation": id }))
                }
                _ => ("compute.globalOperations.get", json!({ "project": project, "operation": id })),
            };
            let found = Call::find(method).map_err(|error| fails(error.to_string()))?;
            let Api::Gcp { api, method } = found.api else { return Err(fails("no operation".into())) };
            operation = self.send(place, api, method, &args, true).await?;
        }
    }
}

/// INVARIANT: a call about one project is never made in another.
fn in_account(name: &str, text: &str, account: Option<&AccountId>) -> Result<(), String> {
    let Some(account) = account else { return Ok(()) };
    let project = match name {
        "project" | "projectId" => text,
        "name" | "resource" | "parent" | "scope" => {
            match text.strip_prefix("projects/").and_then(|rest| rest.split('/').next()) {
                Some(project) => project,
                None => return Ok(()),
            }
        }
        _ => return Ok(()),
    };
    if account.native().eq_ignore_ascii_case(project) {
        return Ok(());
    }
    Err(format!("the call is about project {}, and `{text}` is elsewhere", account.native()))
}

fn finished(call: &str, operation: Value) -> Result<Value, CallError> {
    let first = operation.get("error").and_then(|error| error.get("errors")?.as_array()?.first());
    let Some(first) = first else { return Ok(operation) };
    let text = |name: &str| first.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    // It ran, and may have done a part: only reading tells.
    Err(CallError::Refused {
        call: call.to_owned(),
        code: text("code"),
        message: text("message"),
        status: 500,
        request_id: operation.get("name").and_then(Value::as_str).map(ToOwned::to_owned),
    })
}

fn success(call: &str, response: Response) -> Result<Response, CallError> {
    if (200..300).contains(&response.status) {
        return Ok(response);
    }
    let body = rest::json(call, &response).unwrap_or(Value::Null);
    let error = body.get("error").unwrap_or(&Value::Null);
    let reason = error.get("errors").and_then(|errors| errors.get(0)?.get("reason")?.as_str());
    let code = error.get("status").and_then(Value::as_str).or(reason);
    Err(CallError::Refused {
        call: call.to_owned(),
        code: code.map_or_else(|| format!("Http{}", response.status), ToOwned::to_owned),
        message: error.get("message").and_then(Value::as_str).unwrap_or_default().to_owned(),
        status: response.status,
        request_id: None,
    })
}

/// Application default credentials, federated ones among them; as another service account, if asked.
struct Adc {
    impersonate: Option<String>,
    found: OnceCell<Arc<AccessTokenCredentials>>,
}

#[async_trait]
impl Tokens for Adc {
    async fn token(&self) -> Result<String, String> {
        let make = async || {
            let fails = |error: &dyn std::fmt::Display| format!("no Google Cloud credentials: {error}");
            let made = match &self.impersonate {
                None => Builder::default().with_scopes([SCOPE]).build_access_token_credentials(),
                Some(account) => {
                    let own = Builder::default().with_scopes([SCOPE]).build().map_err(|error| fails(&error))?;
                    impersonated::Builder::from_source_credentials(own)
                        .with_target_principal(account.as_str())
                        .with_scopes([SCOPE])
                        .build_access_token_credentials()
                }
            };
            made.map(Arc::new).map_err(|error| fails(&error))
        };
        let found = self.found.get_or_try_init(make).await?;
        found.access_token().await.map(|token| token.token).map_err(|error| format!("no Google Cloud token: {error}"))
    }
}

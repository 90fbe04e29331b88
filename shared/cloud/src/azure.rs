//! Azure: the Resource Manager's one form of REST. Method and type come from the call, the path is the
//! resource's id, the version is the description's.

use std::{collections::HashMap, sync::Arc, time::Duration};

use amend_domain::{
    AccountId,
    resource::{arm_account, arm_type, canonical_arm},
};
use amend_http::{Client, Hosts, Request, Response};
use amend_models::{
    Api, Call,
    arm::ArmCall,
    uri::{encoded, encoded_path},
};
use async_trait::async_trait;
use azure_core::{
    credentials::TokenCredential,
    http::{AsyncRawResponse, Body, ClientOptions, HttpClient, Transport, headers::Headers},
};
use azure_identity::{
    ClientAssertionCredentialOptions, DeveloperToolsCredential, ManagedIdentityCredential,
    ManagedIdentityCredentialOptions, UserAssignedId, WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::{
    CallError, Place, graph,
    rest::{Given, OPERATION, Tokens, body, json, retry_after, send},
};

/// How Azure is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AzureSettings {
    /// Which Azure.
    pub cloud: AzureCloud,
    /// The user-assigned identity of the machine, by client id; its own one, if absent.
    pub client_id: Option<String>,
    /// An address that every call goes to: for tests.
    pub dangerous_endpoint: Option<String>,
}

/// The clouds of Azure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AzureCloud {
    /// For everybody.
    #[default]
    Public,
    /// For the government of the United States.
    UsGovernment,
    /// In China.
    China,
}

/// What differs between the clouds of Azure.
struct Addresses {
    word: &'static str,
    management: &'static str,
    login: &'static str,
}

impl AzureCloud {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Public, Self::UsGovernment, Self::China];

    /// Source: <https://learn.microsoft.com/azure/developer/identity/azure-cloud-endpoints> and
    /// `az cloud list`.
    fn addresses(self) -> Addresses {
        let [word, management, login] = match self {
            Self::Public => ["public", "management.azure.com", "login.microsoftonline.com"],
            Self::UsGovernment => ["us-government", "management.usgovcloudapi.net", "login.microsoftonline.us"],
            Self::China => ["china", "management.chinacloudapi.cn", "login.chinacloudapi.cn"],
        };
        Addresses { word, management, login }
    }

    /// Its word in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.addresses().word
    }

    /// Reads a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cloud| cloud.as_str() == word)
    }
}

/// Where the platforms of Azure give out tokens of managed identities.
/// Source: <https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference>
const IDENTITY: [&str; 4] = ["169.254.", "127.0.0.1", "localhost", "172."];

/// Azure.
pub struct Azure {
    settings: AzureSettings,
    tokens: Box<dyn Tokens>,
    client: OnceCell<Client>,
    quota: graph::Quota,
}

impl Azure {
    /// Azure, as `settings` say. Nothing is asked yet.
    #[must_use]
    pub fn new(settings: AzureSettings) -> Self {
        let tokens = Box::new(Chain { settings: settings.clone(), found: OnceCell::new() });
        Self { settings, tokens, client: OnceCell::new(), quota: graph::Quota::default() }
    }

    /// Azure with this token.
    #[must_use]
    pub fn with_token(settings: AzureSettings, token: &str) -> Self {
        let tokens = Box::new(Given(token.to_owned()));
        Self { settings, tokens, client: OnceCell::new(), quota: graph::Quota::default() }
    }

    pub(crate) async fn call(&self, place: &Place, call: &Call, args: &Value) -> Result<Value, CallError> {
        let name = call.name();
        let fails = |reason: String| CallError::NotReached { call: name.clone(), reason };
        let Api::Azure(arm) = call.api else { return Err(fails("not a call of Azure".into())) };
        let id = args.get("id").and_then(Value::as_str).unwrap_or_default();
        let path = path(arm, id, place.account.as_ref()).map_err(&fails)?;
        let management = self.settings.cloud.addresses().management;
        let base = self.settings.dangerous_endpoint.clone().unwrap_or_else(|| format!("https://{management}"));
        let url = format!("{base}{path}?api-version={}", encoded(&arm.version));
        let mut headers = vec![("accept".to_owned(), "application/json".to_owned())];
        // The remediation's name stands in the user agent: Azure's activity log keeps no other text.
        let by = place.remediation.as_deref().map_or_else(String::new, |id| format!(" ({id})"));
        headers.push(("user-agent".to_owned(), format!("amend/{}{by}", env!("CARGO_PKG_VERSION"))));
        if let Some(etag) = args.get("if_match").and_then(Value::as_str) {
            headers.push(("if-match".to_owned(), etag.to_owned()));
        }
        let body = body(args, &mut headers).map_err(&fails)?;
        let request = Request { method: arm.method.to_string(), url, headers, body };
        let client = self.client().await.map_err(&fails)?;
        let reads = call.only_reads();
        self.quota.wait().await;
        let response = success(&name, send(client, &*self.tokens, &name, request, reads).await?)?;
        self.quota.note(&response);
        graph::is_whole(&name, &response)?;
        if arm.list {
            return self.pages(client, &name, json(&name, &response)?).await;
        }
        if !reads {
            self.wait(client, &name, &response).await.map_err(CallError::begun)?;
        }
        json(&name, &response)
    }

    async fn client(&self) -> Result<&Client, String> {
        let make = async || {
            let addresses = self.settings.cloud.addresses();
            let mut hosts = Hosts::of([addresses.management]);
            let dangerous = self.settings.dangerous_endpoint.as_deref().and_then(|url| url.parse::<http::Uri>().ok());
            if let Some(host) = dangerous.as_ref().and_then(http::Uri::host) {
                hosts = hosts.and_plain([host]);
            }
            Client::new(hosts).map_err(|error| error.to_string())
        };
        self.client.get_or_try_init(make).await
    }

    async fn get(&self, client: &Client, call: &str, url: &str) -> Result<Response, CallError> {
        let headers = vec![("accept".to_owned(), "application/json".to_owned())];
        let request = Request { method: "GET".to_owned(), url: url.to_owned(), headers, body: Vec::new() };
        send(client, &*self.tokens, call, request, true).await
    }

    /// A list with all its pages.
    async fn pages(&self, client: &Client, call: &str, mut first: Value) -> Result<Value, CallError> {
        let mut next = first.get("nextLink").and_then(Value::as_str).map(ToOwned::to_owned);
        let mut pages = 1_usize;
        while let Some(url) = next.take() {
            pages = pages.saturating_add(1);
            if pages > 1_000 {
                return Err(CallError::Unreadable { call: call.to_owned(), reason: "the list does not end".into() });
            }
            let mut page = json(call, &success(call, self.get(client, call, &url).await?)?)?;
            next = page.get("nextLink").and_then(Value::as_str).map(ToOwned::to_owned);
            if let (Some(all), Some(more)) = (
                first.get_mut("value").and_then(Value::as_array_mut),
                page.get_mut("value").and_then(Value::as_array_mut),
            ) {
                all.append(more);
            }
        }
        if let Some(first) = first.as_object_mut() {
            first.shift_remove("nextLink");
        }
        Ok(first)
    }

    /// Waits for what goes on after the answer: by `Azure-AsyncOperation`, else by `Location`.
    /// Source: <https://learn.microsoft.com/azure/azure-resource-manager/management/async-operations>
    async fn wait(&self, client: &Client, call: &str, first: &Response) -> Result<(), CallError> {
        let operation = first.header("azure-asyncoperation").map(ToOwned::to_owned);
        let location = first.header("location").filter(|_| first.status == 202).map(ToOwned::to_owned);
        let Some(url) = operation.clone().or(location) else { return Ok(()) };
        let begun = tokio::time::Instant::now();
        let mut wait = retry_after(first).unwrap_or(Duration::from_secs(2));
        loop {
            if begun.elapsed() > OPERATION {
                let reason = format!("it was begun, and is not done after {} s", OPERATION.as_secs());
                return Err(CallError::NoAnswer { call: call.to_owned(), reason, unsent: false });
            }
            tokio::time::sleep(wait.clamp(Duration::from_millis(200), Duration::from_secs(15))).await;
            let response = self.get(client, call, &url).await?;
            wait = retry_after(&response).unwrap_or(Duration::from_secs(2));
            if operation.is_none() {
                match response.status {
                    202 => continue,
                    _ => return success(call, response).map(|_| ()),
                }
            }
            let body = json(call, &success(call, response)?)?;
            match body.get("status").and_then(Value::as_str) {
                Some(status) if status.eq_ignore_ascii_case("Succeeded") => return Ok(()),
                Some(status) if ["Failed", "Canceled"].iter().any(|word| status.eq_ignore_ascii_case(word)) => {
                    let (code, message) = error_of(&body);
                    // It ran, and may have done a part: only reading tells.
                    return Err(CallError::Refused {
                        call: call.to_owned(),
                        code: code.unwrap_or_else(|| status.to_owned()),
                        message,
                        status: 500,
                        request_id: None,
                    });
                }
                _ => {}
            }
        }
    }
}

/// The path of a call: the resource's id, which must be of the call's type and in the place's account.
fn path(arm: &ArmCall, id: &str, account: Option<&AccountId>) -> Result<String, String> {
    let canonical = canonical_arm(id);
    // The collection of a type has no name at its end.
    let named = if arm.list { format!("{canonical}/x") } else { canonical.clone() };
    let kind = arm_type(&named).unwrap_or_default();
    // INVARIANT: a call named for one type never reaches another, nor another account.
    if kind != arm.kind.to_ascii_lowercase() {
        return Err(format!("`{id}` is no id of a `{}`", arm.kind));
    }
    if let (Some(expected), Some(found)) = (account, arm_account(&canonical))
        && expected.as_str() != found
    {
        return Err(format!("the call is about {}, and `{id}` is elsewhere", expected.as_str()));
    }
    // Azure keeps the case that names are written with.
    encoded_path(&format!("/{}", id.trim().trim_matches('/')))
}

fn success(call: &str, response: Response) -> Result<Response, CallError> {
    if (200..300).contains(&response.status) {
        return Ok(response);
    }
    let body = json(call, &response).unwrap_or(Value::Null);
    let (code, message) = error_of(&body);
    Err(CallError::Refused {
        call: call.to_owned(),
        code: code.unwrap_or_else(|| format!("Http{}", response.status)),
        message,
        status: response.status,
        request_id: response.header("x-ms-request-id").map(ToOwned::to_owned),
    })
}

fn error_of(body: &Value) -> (Option<String>, String) {
    let error = body.get("error").unwrap_or(body);
    let text = |name: &str| error.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
    (text("code"), text("message").unwrap_or_default())
}

/// Sends what the identity library wants to send by our one client.
#[derive(Debug)]
struct OverOurs(Client);

#[async_trait]
impl HttpClient for OverOurs {
    async fn execute_request(&self, request: &azure_core::http::Request) -> azure_core::Result<AsyncRawResponse> {
        let fails = |message: String| azure_core::Error::with_message(azure_core::error::ErrorKind::Io, message);
        let Body::Bytes(body) = request.body() else { return Err(fails("a streaming body is not supported".into())) };
        let headers = request.headers().iter();
        let ours = Request {
            method: request.method().as_ref().to_owned(),
            url: request.url().to_string(),
            headers: headers.map(|(name, value)| (name.as_str().to_owned(), value.as_str().to_owned())).collect(),
            body: body.to_vec(),
        };
        let response = self.0.send(ours).await.map_err(|error| fails(error.to_string()))?;
        let headers: HashMap<_, _> =
            response.headers.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Ok(AsyncRawResponse::from_bytes(response.status.into(), Headers::from(headers), response.body))
    }
}

/// Looks for a source of tokens once: workload identity, the tools of a developer, the machine's
/// identity.
struct Chain {
    settings: AzureSettings,
    found: OnceCell<Arc<dyn TokenCredential>>,
}

#[async_trait]
impl Tokens for Chain {
    async fn token(&self) -> Result<String, String> {
        let addresses = self.settings.cloud.addresses();
        let scope = format!("https://{}/.default", addresses.management);
        if let Some(found) = self.found.get() {
            return token_of(&**found, &scope).await;
        }
        let client =
            Client::new(Hosts::of([addresses.login]).and_plain(IDENTITY)).map_err(|error| error.to_string())?;
        let options =
            ClientOptions { transport: Some(Transport::new(Arc::new(OverOurs(client)))), ..ClientOptions::default() };
        let mut why = Vec::new();
        for (name, credential) in self.sources(&options) {
            match credential {
                Err(error) => why.push(format!("{name}: {error}")),
                Ok(credential) => match token_of(&*credential, &scope).await {
                    Ok(token) => {
                        // Another task may have found one meanwhile; either will do.
                        let _ = self.found.set(credential);
                        return Ok(token);
                    }
                    Err(error) => why.push(format!("{name}: {error}")),
                },
            }
        }
        let lines: Vec<String> = why.iter().map(|line| line.lines().next().unwrap_or_default().to_owned()).collect();
        Err(format!("no Azure credentials ({})", lines.join("; ")))
    }
}

type Source = (&'static str, azure_core::Result<Arc<dyn TokenCredential>>);

impl Chain {
    fn sources(&self, options: &ClientOptions) -> Vec<Source> {
        let client_id = self.settings.client_id.clone();
        let workload = WorkloadIdentityCredential::new(Some(WorkloadIdentityCredentialOptions {
            credential_options: ClientAssertionCredentialOptions { client_options: options.clone() },
            client_id: client_id.clone(),
            ..Default::default()
        }));
        let machine = ManagedIdentityCredential::new(Some(ManagedIdentityCredentialOptions {
            user_assigned_id: client_id.map(UserAssignedId::ClientId),
            client_options: options.clone(),
        }));
        vec![
            ("workload identity", workload.map(|one| one as Arc<dyn TokenCredential>)),
            ("developer tools", DeveloperToolsCredential::new(None).map(|one| one as Arc<dyn TokenCredential>)),
            ("managed identity", machine.map(|one| one as Arc<dyn TokenCredential>)),
        ]
    }
}

async fn token_of(credential: &dyn TokenCredential, scope: &str) -> Result<String, String> {
    let token = credential.get_token(&[scope], None).await.map_err(|error| error.to_string())?;
    Ok(token.token.secret().to_owned())
}

//! The one outbound HTTP client: hosts from a list, TLS everywhere but on this machine, time-outs, no
//! redirects, bodies and headers never logged.
//!
//! Nothing else in the workspace builds an HTTP client (`clippy.toml` holds that). It does not repeat
//! requests: who calls knows whether that is safe.

pub mod signed;

use std::{fmt, time::Duration};

/// A client that talks to the hosts it was made for, and to no others.
#[derive(Clone, Debug)]
pub struct Client {
    inner: reqwest::Client,
    hosts: Hosts,
    longest: Option<Duration>,
}

/// The hosts that a client may talk to.
#[derive(Clone, Debug, Default)]
pub struct Hosts(Vec<Host>);

#[derive(Clone, Debug)]
struct Host {
    /// Its name; the end of its name, where it starts with a dot, and its start, where it ends with one.
    name: String,
    /// Whether it may be reached without TLS and at any port.
    plain: bool,
}

impl Hosts {
    /// The hosts with these names, and those whose names end with an entry that starts with a dot:
    /// by TLS, at its usual port.
    #[must_use]
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self::default().and(names, false)
    }

    /// This machine, without TLS.
    #[must_use]
    pub fn loopback() -> Self {
        Self::default().and_plain(["127.0.0.1", "[::1]", "localhost"])
    }

    /// And these, without TLS and at any port: addresses that only this machine answers, such as a
    /// cloud's metadata service, and what configuration named `dangerous_…` adds.
    #[must_use]
    pub fn and_plain<'a>(self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.and(names, true)
    }

    fn and<'a>(mut self, names: impl IntoIterator<Item = &'a str>, plain: bool) -> Self {
        self.0.extend(names.into_iter().map(|name| Host { name: name.to_ascii_lowercase(), plain }));
        self
    }

    fn allow(&self, url: &reqwest::Url, host: &str) -> bool {
        let tls = url.scheme() == "https" && url.port().is_none();
        self.0.iter().any(|entry| {
            (tls || entry.plain && matches!(url.scheme(), "http" | "https"))
                && (entry.name == host
                    || entry.name.starts_with('.') && host.ends_with(&entry.name)
                    || entry.name.ends_with('.') && host.starts_with(&entry.name))
        })
    }

    fn only_plain(&self) -> bool {
        self.0.iter().all(|entry| entry.plain)
    }
}

/// A request.
#[derive(Clone, Default)]
pub struct Request {
    /// The method: `GET`, `PATCH`.
    pub method: String,
    /// The whole address.
    pub url: String,
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

// INVARIANT: neither headers nor bodies reach a log: they hold tokens and settings.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("method", &self.method).field("url", &self.url).finish_non_exhaustive()
    }
}

/// What came back: every status is an answer.
#[derive(Clone)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// The header `name`, which is written in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response").field("status", &self.status).finish_non_exhaustive()
    }
}

/// An answer whose body is text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The client cannot be made.
    #[error("cannot make an HTTP client")]
    Client(#[source] reqwest::Error),
    /// The address is no URL, or has no host.
    #[error("`{0}` is no URL")]
    Url(String),
    /// The host is not on the list, or would be reached without TLS.
    #[error("`{host}` is not an address that this client may talk to")]
    Host {
        /// The scheme, host and port.
        host: String,
    },
    /// The answer is longer than [`MAX_BODY`].
    #[error("the answer of {host} is longer than {MAX_BODY} bytes")]
    TooLong {
        /// The host and port.
        host: String,
    },
    /// Nobody answered, or not in time.
    #[error("no answer from {host}")]
    Unreachable {
        /// The host and port.
        host: String,
        /// Whether the request was certainly not received: the connection was never made.
        unsent: bool,
        /// Why.
        source: reqwest::Error,
    },
}

impl HttpError {
    /// A stable name for logs and metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Client(_) => "http.client",
            Self::Url(_) => "http.url",
            Self::Host { .. } => "http.host",
            Self::TooLong { .. } => "http.too-long",
            Self::Unreachable { .. } => "http.unreachable",
        }
    }
}

/// The longest wait for a connection.
pub const CONNECT: Duration = Duration::from_secs(5);
/// The longest wait for an answer.
pub const ANSWER: Duration = Duration::from_secs(60);
/// The longest answer, in bytes.
pub const MAX_BODY: usize = 32 << 20;

impl Client {
    /// A client for `hosts`.
    ///
    /// # Errors
    /// When the system does not allow one.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that builds HTTP clients")]
    pub fn new(hosts: Hosts) -> Result<Self, HttpError> {
        let builder = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .timeout(ANSWER)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never());
        let builder = if hosts.only_plain() { builder.no_proxy() } else { builder };
        Ok(Self { inner: builder.build().map_err(HttpError::Client)?, hosts, longest: None })
    }

    /// The same, with this longest wait for an answer.
    #[must_use]
    pub fn waiting(self, longest: Duration) -> Self {
        Self { longest: Some(longest), ..self }
    }

    /// A client for this machine alone.
    ///
    /// # Errors
    /// When the system does not allow one.
    pub fn loopback() -> Result<Self, HttpError> {
        Self::new(Hosts::loopback())
    }

    /// Gets `url` as text.
    ///
    /// # Errors
    /// When the URL is wrong, its host not on the list, or nobody answers in time.
    pub async fn get(&self, url: &str) -> Result<Answer, HttpError> {
        self.text(Request { method: "GET".into(), url: url.into(), ..Request::default() }).await
    }

    /// Posts `body` with `headers` to `url`.
    ///
    /// # Errors
    /// When the URL is wrong, its host not on the list, or nobody answers in time.
    pub async fn post(&self, url: &str, headers: &[(String, String)], body: Vec<u8>) -> Result<Answer, HttpError> {
        self.text(Request { method: "POST".into(), url: url.into(), headers: headers.to_vec(), body }).await
    }

    async fn text(&self, request: Request) -> Result<Answer, HttpError> {
        let Response { status, body, .. } = self.send(request).await?;
        Ok(Answer { status, body: String::from_utf8_lossy(&body).into_owned() })
    }

    /// Sends `request`, once.
    ///
    /// # Errors
    /// When the URL is wrong, its host not on the list, or nobody answers in time. Every status is an
    /// answer, redirects included: they are not followed.
    pub async fn send(&self, request: Request) -> Result<Response, HttpError> {
        let wrong = || HttpError::Url(request.url.clone());
        let url = reqwest::Url::parse(&request.url).map_err(|_| wrong())?;
        let host = url.host_str().ok_or_else(wrong)?.to_ascii_lowercase();
        let address = url.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        if !self.hosts.allow(&url, &host) {
            return Err(HttpError::Host { host: format!("{}://{address}", url.scheme()) });
        }
        let fail = |source: reqwest::Error| HttpError::Unreachable {
            host: address.clone(),
            unsent: source.is_connect(),
            source: source.without_url(),
        };
        let method = reqwest::Method::from_bytes(request.method.as_bytes()).map_err(|_| wrong())?;
        let mut sending = self.inner.request(method, url);
        for (name, value) in &request.headers {
            sending = sending.header(name, value);
        }
        if let Some(longest) = self.longest {
            sending = sending.timeout(longest);
        }
        let mut response = sending.body(request.body).send().await.map_err(fail)?;
        let headers = response
            .headers()
            .iter()
            .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
            .collect();
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(fail)? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_BODY {
                return Err(HttpError::TooLong { host: address });
            }
        }
        Ok(Response { status, headers, body })
    }
}

//! The one outbound HTTP client: hosts from a list, time-outs, no redirects to elsewhere, bodies and
//! headers never logged.
//!
//! Nothing else in the workspace builds an HTTP client (`clippy.toml` holds that).

use std::time::Duration;

/// A client that talks to the hosts it was made for, and to no others.
#[derive(Clone)]
pub struct Client {
    inner: reqwest::Client,
    hosts: Vec<String>,
}

/// An answer: its status and its body as text.
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
    /// The host is not on the list.
    #[error("the host `{host}` is not one that this client may talk to")]
    Host {
        /// The host.
        host: String,
    },
    /// Nobody answered, or not in time.
    #[error("no answer from {host}")]
    Unreachable {
        /// The host and port.
        host: String,
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
            Self::Unreachable { .. } => "http.unreachable",
        }
    }
}

impl Client {
    /// A client for this machine alone.
    ///
    /// # Errors
    /// When the system does not allow one.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that builds HTTP clients")]
    pub fn loopback() -> Result<Self, HttpError> {
        let inner = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(60))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(HttpError::Client)?;
        Ok(Self { inner, hosts: vec!["127.0.0.1".into(), "[::1]".into(), "localhost".into()] })
    }

    /// Gets `url`.
    ///
    /// # Errors
    /// When the URL is wrong, its host not on the list, or nobody answers in time.
    pub async fn get(&self, url: &str) -> Result<Answer, HttpError> {
        self.send(reqwest::Method::GET, url, &[], Vec::new()).await
    }

    /// Posts `body` with `headers` to `url`.
    ///
    /// # Errors
    /// When the URL is wrong, its host not on the list, or nobody answers in time.
    pub async fn post(&self, url: &str, headers: &[(String, String)], body: Vec<u8>) -> Result<Answer, HttpError> {
        self.send(reqwest::Method::POST, url, headers, body).await
    }

    async fn send(
        &self,
        method: reqwest::Method,
        url: &str,
        headers: &[(String, String)],
        body: Vec<u8>,
    ) -> Result<Answer, HttpError> {
        let parsed = reqwest::Url::parse(url).map_err(|_| HttpError::Url(url.to_owned()))?;
        let host = parsed.host_str().ok_or_else(|| HttpError::Url(url.to_owned()))?.to_owned();
        if !self.hosts.contains(&host) {
            return Err(HttpError::Host { host });
        }
        let address = parsed.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        let fail = |source| HttpError::Unreachable { host: address.clone(), source };
        let mut request = self.inner.request(method, parsed);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let response = request.body(body).send().await.map_err(fail)?;
        let status = response.status().as_u16();
        let body = response.text().await.map_err(fail)?;
        Ok(Answer { status, body })
    }
}

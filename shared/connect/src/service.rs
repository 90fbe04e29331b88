//! A tracker's API over HTTP: one host, JSON, and what its statuses mean. The same for all of them.

use std::{fmt, time::Duration};

use amend_domain::{
    expr::formula::{Formula, Scope},
    settings::nearest,
    ticket::Ticket,
};
use amend_http::{Client, Hosts, Request, Response};
use jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use serde_json::{Map, Value};

use crate::TrackerError;

/// So long a tracker may take for one answer: a step is made of some.
const ANSWER: Duration = Duration::from_secs(20);
/// So much of what a tracker says about an error is shown.
const SHOWN: usize = 300;
/// So much text that is not JSON is a sentence, and no page.
const WORDS: usize = 120;

/// A text that is not shown: a token, a password, a key.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A text that is not shown.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into().trim().to_owned())
    }

    /// Whether it can stand in a header.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        !self.0.is_empty() && self.0.chars().all(|c| c.is_ascii_graphic() || c == ' ')
    }

    /// What is not shown.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Fields of trackers that Amend writes itself.
const OURS: [&str; 13] = [
    "project",
    "issuetype",
    "summary",
    "description",
    "title",
    "body",
    "short_description",
    "correlation_id",
    "correlation_display",
    "state",
    "work_notes",
    "close_code",
    "close_notes",
];

/// Labels: those that a configuration adds, and ours.
pub(crate) fn add_labels(into: &mut Map<String, Value>, ours: &[&str]) {
    let mut labels: Vec<Value> = match into.remove("labels") {
        Some(Value::Array(labels)) => labels,
        Some(Value::Null) | None => Vec::new(),
        Some(one) => vec![one],
    };
    for label in ours {
        if !labels.iter().any(|one| one == label) {
            labels.push(Value::from(*label));
        }
    }
    into.insert("labels".into(), Value::Array(labels));
}

/// Fields that a configuration adds to new tickets: values, or expressions over `ticket`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields(Vec<(String, Field)>);

#[derive(Clone, Debug)]
enum Field {
    Value(Value),
    Asked(Formula),
}

impl PartialEq for Field {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Value(one), Self::Value(other)) => one == other,
            (Self::Asked(one), Self::Asked(other)) => one.source() == other.source(),
            _ => false,
        }
    }
}

impl Fields {
    /// Adds a field: an expression where `value` is a text that begins with `=`.
    ///
    /// # Errors
    /// When the expression has a mistake.
    pub fn add(&mut self, name: &str, value: Value) -> Result<(), String> {
        if OURS.contains(&name) {
            return Err(format!("`{name}` is written by amend"));
        }
        let field = match value.as_str().and_then(|text| text.strip_prefix('=')) {
            Some(source) => {
                let formula = Formula::compile(source.trim(), &["ticket"]).map_err(|error| error.to_string())?;
                if let Some(member) = formula.members_of("ticket").find(|member| !Ticket::FACTS.contains(member)) {
                    let near = nearest(member, Ticket::FACTS.iter().copied());
                    let near = near.map_or_else(String::new, |near| format!(" (did you mean `{near}`?)"));
                    return Err(format!("a ticket has no member `{member}`{near}"));
                }
                Field::Asked(formula)
            }
            None => Field::Value(value),
        };
        self.0.push((name.to_owned(), field));
        Ok(())
    }

    /// Their names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Puts them into a map; what is null is left out.
    pub(crate) fn put(
        &self,
        ticket: &Ticket,
        tracker: &str,
        into: &mut Map<String, Value>,
    ) -> Result<(), TrackerError> {
        let scope = Scope::default().with("ticket", ticket.facts());
        for (name, field) in &self.0 {
            let value = match field {
                Field::Value(value) => value.clone(),
                Field::Asked(formula) => formula.evaluate(&scope).map_err(|error| TrackerError::Refused {
                    tracker: tracker.to_owned(),
                    why: format!("its field `{name}` in amend.yaml: {error}"),
                })?,
            };
            if !value.is_null() {
                into.insert(name.clone(), value);
            }
        }
        Ok(())
    }
}

/// A tracker's API.
pub(crate) struct Service {
    pub name: String,
    base: String,
    headers: Vec<(String, String)>,
    client: Client,
    /// Whether its address is a secret.
    secret: bool,
}

/// What came back.
pub(crate) struct Reply {
    pub body: Value,
    pub headers: Vec<(String, String)>,
}

impl Service {
    /// The API at `base`, an address without a path of its own to speak of, with these headers on each request.
    pub fn new(name: &str, base: &str, headers: Vec<(String, String)>) -> Result<Self, String> {
        let host = host_of(base)?;
        let hosts = if base.starts_with("http://") { Hosts::loopback() } else { Hosts::of([host]) };
        let client = Client::new(hosts).map_err(|error| error.to_string())?.waiting(ANSWER);
        Ok(Self { name: name.to_owned(), base: base.trim_end_matches('/').to_owned(), headers, client, secret: false })
    }

    /// The same, where whoever knows the address may use it, and any text is an answer.
    pub fn at_secret_address(self) -> Self {
        Self { secret: true, ..self }
    }

    /// The address below the base.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Asks. Nothing, where it is not there.
    pub async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Option<Reply>, TrackerError> {
        let mut headers = self.headers.clone();
        headers.push(("accept".into(), "application/json".into()));
        let mut bytes = Vec::new();
        if let Some(body) = body {
            headers.push(("content-type".into(), "application/json".into()));
            bytes = body.to_string().into_bytes();
        }
        self.send_bytes(method, path, headers, bytes).await
    }

    /// The same with a body as it is.
    pub async fn send_bytes(
        &self,
        method: &str,
        path: &str,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    ) -> Result<Option<Reply>, TrackerError> {
        let request = Request { method: method.to_owned(), url: self.url(path), headers, body };
        let response = self.client.send(request).await.map_err(|error| {
            let causes = std::iter::successors(std::error::Error::source(&error), |error| error.source());
            let why = std::iter::once(error.to_string()).chain(causes.map(ToString::to_string)).collect::<Vec<_>>();
            self.busy(why.join(": "), None)
        })?;
        self.judge(response)
    }

    fn judge(&self, response: Response) -> Result<Option<Reply>, TrackerError> {
        let status = response.status;
        let is_json = response.header("content-type").is_some_and(|kind| kind.contains("json"));
        let body = match response.body.is_empty() {
            true => Ok(Value::Null),
            false => serde_json::from_slice(&response.body),
        };
        let said = || match self.secret {
            true => self.code(body.as_ref().ok(), &response.body),
            false => said(body.as_ref().ok(), &response.body, is_json),
        };
        match status {
            200..=299 => match body {
                Ok(body) => Ok(Some(Reply { body, headers: response.headers })),
                Err(_) if self.secret => {
                    let text = response.body.get(..WORDS.min(response.body.len())).unwrap_or_default();
                    let body = String::from_utf8_lossy(text).trim().into();
                    Ok(Some(Reply { body, headers: response.headers }))
                }
                // A page to sign in on, or of a proxy: whether anything was done is not known.
                Err(_) => Err(self.busy(format!("status {status} without JSON ({})", said()), None)),
            },
            404 | 410 if self.secret => Err(self.denied(format!("status {status}: {}; is the address right?", said()))),
            404 | 410 => Ok(None),
            403 if asks_to_wait(&response) => Err(self.busy(said(), wait(&response))),
            401 | 403 => Err(self.denied(format!("status {status}: {}", said()))),
            300..=399 if self.secret => {
                Err(self.denied(format!("status {status}: it sends us somewhere else; is the address right?")))
            }
            300..=399 => {
                let to = response.header("location").unwrap_or("somewhere else");
                Err(self.denied(format!("status {status}: it sends us to {to}; is the address right?")))
            }
            408 | 409 | 423 | 425 | 429 | 500..=599 => {
                Err(self.busy(format!("status {status}: {}", said()), wait(&response)))
            }
            _ => Err(self.refused(format!("status {status}: {}", said()))),
        }
    }

    /// The same where it must be there.
    pub async fn get(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Reply, TrackerError> {
        let answer = self.send(method, path, body).await?;
        answer.ok_or_else(|| {
            self.denied(format!("{method} {} finds nothing, or may not see it", path.split('?').next().unwrap_or(path)))
        })
    }

    /// The word by which an answer says what is wrong.
    ///
    /// INVARIANT: of what is answered by a secret address nothing else is shown: it may repeat the address.
    fn code(&self, body: Option<&Value>, bytes: &[u8]) -> String {
        let plain = std::str::from_utf8(bytes).unwrap_or_default().trim();
        let named = ["/error/code", "/code", "/error"].iter().find_map(|path| body?.pointer(path)?.as_str());
        let is_code = |word: &&str| {
            (3..=48).contains(&word.len())
                && word.chars().all(|c| c.is_ascii_alphabetic() || c == '_')
                && !self.base.contains(*word)
        };
        match named.or(Some(plain)).filter(is_code) {
            Some(code) => code.to_owned(),
            None if bytes.is_empty() => "an empty answer".to_owned(),
            None => "what it says is not shown".to_owned(),
        }
    }

    pub fn busy(&self, why: impl Into<String>, wait: Option<SignedDuration>) -> TrackerError {
        TrackerError::Busy { tracker: self.name.clone(), why: why.into(), wait }
    }

    pub fn denied(&self, why: impl Into<String>) -> TrackerError {
        TrackerError::Denied { tracker: self.name.clone(), why: why.into() }
    }

    pub fn refused(&self, why: impl Into<String>) -> TrackerError {
        TrackerError::Refused { tracker: self.name.clone(), why: why.into() }
    }

    /// A member of an answer that must be a text.
    pub fn text(&self, answer: &Value, pointer: &str) -> Result<String, TrackerError> {
        let text = match answer.pointer(pointer) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        text.ok_or_else(|| self.busy(format!("its answer lacks {pointer}: is the address right?"), None))
    }
}

/// The host of an address: TLS, but on this machine.
///
/// # Errors
/// When it is none, or is not reached by TLS at its usual port.
pub fn host_of(base: &str) -> Result<&str, String> {
    let (scheme, rest) = base.split_once("://").ok_or_else(|| format!("`{base}` is no address"))?;
    let host = rest.split('/').next().unwrap_or_default();
    let local = ["127.0.0.1", "localhost"].contains(&host.split(':').next().unwrap_or_default());
    match scheme {
        // INVARIANT: what may be a password is not shown.
        _ if host.contains('@') => {
            Err("an address holds no user and no password: they are members of their own".to_owned())
        }
        _ if host.is_empty() => Err(format!("`{base}` is no address")),
        // Some write the usual port out.
        "https" if !host.trim_end_matches(":443").contains(':') => Ok(host.trim_end_matches(":443")),
        "http" if local => Ok(host),
        _ => Err(format!("`{base}` is not reached by TLS at its usual port")),
    }
}

/// What a tracker says about an error, on one line.
fn said(body: Option<&Value>, bytes: &[u8], is_json: bool) -> String {
    let mut words: Vec<String> = Vec::new();
    if let Some(body) = body {
        for pointer in
            ["/message", "/error/message", "/error/detail", "/errorMessages", "/errors", "/error_description"]
        {
            match body.pointer(pointer) {
                Some(Value::String(text)) if !text.is_empty() => words.push(text.clone()),
                Some(Value::Array(list)) if !list.is_empty() => words.push(Value::Array(list.clone()).to_string()),
                Some(Value::Object(map)) if !map.is_empty() => words.push(Value::Object(map.clone()).to_string()),
                _ => {}
            }
        }
    }
    let text = match words.is_empty() {
        false => words.join("; "),
        true if is_json || body.is_some() => "it does not say why".to_owned(),
        true if bytes.is_empty() => "an empty answer".to_owned(),
        true if bytes.len() <= WORDS && !bytes.contains(&b'<') => String::from_utf8_lossy(bytes).trim().to_owned(),
        true => "an answer that is not JSON".to_owned(),
    };
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let end = text.floor_char_boundary(SHOWN);
    text.get(..end).unwrap_or_default().to_owned()
}

/// GitHub says 403 where too much was asked for.
/// <https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api>
fn asks_to_wait(response: &Response) -> bool {
    response.header("retry-after").is_some() || response.header("x-ratelimit-remaining") == Some("0")
}

/// How long a tracker wants to be left alone: `Retry-After` as seconds or a date, or GitHub's own header.
fn wait(response: &Response) -> Option<SignedDuration> {
    let now = || response.header("date").and_then(|date| rfc2822::parse(date).ok()).map(|date| date.timestamp());
    let until = |at: Timestamp| now().map(|now| at.duration_since(now).max(SignedDuration::ZERO));
    if let Some(after) = response.header("retry-after") {
        return match after.trim().parse::<u32>() {
            Ok(seconds) => Some(SignedDuration::from_secs(i64::from(seconds))),
            Err(_) => rfc2822::parse(after.trim()).ok().and_then(|date| until(date.timestamp())),
        };
    }
    if response.header("x-ratelimit-remaining") != Some("0") {
        return None;
    }
    let resets: i64 = response.header("x-ratelimit-reset")?.trim().parse().ok()?;
    until(Timestamp::from_second(resets).ok()?)
}

/// A text that is not longer than a tracker takes.
pub(crate) fn cut(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    const MORE: &str = "\n\n(It goes on; `amend tickets` and `amend explain` tell all of it.)";
    let keep = longest.saturating_sub(MORE.len());
    let mut kept: String = text.chars().take(keep).collect();
    // A fence of code that was cut is ended.
    let open = kept.lines().filter(|line| line.starts_with("```")).count() % 2 == 1;
    if open {
        kept = kept.chars().take(keep.saturating_sub(4)).collect();
        kept.push_str("\n```");
    }
    kept.push_str(MORE);
    kept
}

/// One line that is not longer than a tracker takes.
pub(crate) fn title(text: &str, longest: usize) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.chars().count() <= longest {
        return line;
    }
    let mut line: String = line.chars().take(longest.saturating_sub(1)).collect();
    line.push('…');
    line
}

/// A value in a query.
pub(crate) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            byte => {
                use fmt::Write as _;
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

/// A header of basic authentication.
pub(crate) fn basic(user: &str, password: &Secret) -> (String, String) {
    use base64::Engine as _;
    let both = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{}", password.reveal()));
    ("authorization".into(), format!("Basic {both}"))
}

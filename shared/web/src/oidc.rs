//! Bearer tokens of OpenID Connect: whose they are, whom they are for, and whether they hold.
//!
//! Sources: OpenID Connect Core 1.0, sections 2 and 3.1.3.7; RFC 8725 (one algorithm, no key from the token itself).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use amend_domain::ports::Clock;
use amend_http::{Client, Hosts, HttpError, Request};
use axum::http::{HeaderMap, header};
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;

/// How long keys are used before they are asked for again.
const FRESH: SignedDuration = SignedDuration::from_hours(1);
/// How long they are used while their server does not answer.
const STALE: SignedDuration = SignedDuration::from_hours(24);
/// How soon they are asked for again, for a key that is not among them: whoever makes up names of keys must not make
/// this service ask each time.
const AGAIN: SignedDuration = SignedDuration::from_secs(60);
/// How long is waited for them: others wait, too.
const PATIENCE: Duration = Duration::from_secs(5);
/// By how much clocks may differ.
const LEEWAY: SignedDuration = SignedDuration::from_secs(60);
/// The longest token that is looked at.
const LONGEST: usize = 16 << 10;

/// Who makes tokens, and where its keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// What it calls itself in tokens: any of these.
    pub names: Vec<String>,
    /// Where its keys are.
    pub keys: String,
}

impl Issuer {
    /// Google: for Pub/Sub, Eventarc and Cloud Scheduler
    /// (<https://accounts.google.com/.well-known/openid-configuration>), or what stands in for it at an address.
    #[must_use]
    pub fn google(instead: Option<&str>) -> Self {
        let names = ["https://accounts.google.com", "accounts.google.com"].map(str::to_owned).to_vec();
        let server = instead.unwrap_or("https://www.googleapis.com");
        Self { names, keys: format!("{}/oauth2/v3/certs", server.trim_end_matches('/')) }
    }
}

/// Looks at tokens.
pub struct Verifier {
    issuer: Issuer,
    audience: String,
    http: Client,
    clock: Arc<dyn Clock>,
    keys: Mutex<Keys>,
}

/// The keys of an issuer, as they were read last.
#[derive(Default)]
struct Keys {
    known: BTreeMap<String, DecodingKey>,
    /// When they were read.
    read: Option<Timestamp>,
    /// When they were asked for, whatever came of it.
    asked: Option<Timestamp>,
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Whom it is about, as the issuer calls them.
    pub subject: String,
    /// Their address, where the issuer made sure of it.
    pub email: Option<String>,
}

/// Why a token does not count.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// There is none.
    #[error("there is no bearer token")]
    Missing,
    /// It is no token, or not signed as its issuer signs.
    #[error("the bearer token is not one that its issuer signed: {0}")]
    Forged(String),
    /// It is somebody else's.
    #[error("the bearer token's `{0}` is not the one that counts here")]
    NotForHere(&'static str),
    /// It has ended, or not begun.
    #[error("the bearer token does not hold now")]
    NotNow,
    /// The issuer's keys cannot be read.
    #[error("the keys of who makes the tokens cannot be read")]
    NoKeys(#[source] Option<HttpError>),
}

impl Refused {
    /// Whether the same token may count a little later.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::NoKeys(_))
    }
}

#[derive(Deserialize)]
struct Payload {
    iss: Option<String>,
    aud: Option<Value>,
    sub: Option<String>,
    exp: Option<i64>,
    nbf: Option<i64>,
    iat: Option<i64>,
    email: Option<String>,
    email_verified: Option<Value>,
}

impl Verifier {
    /// One for tokens of an issuer that are made for an audience.
    ///
    /// # Errors
    /// When the address of its keys is none, or there can be no client.
    pub fn new(issuer: Issuer, audience: &str, clock: Arc<dyn Clock>) -> Result<Self, HttpError> {
        let host = issuer.keys.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
        let name = host.split(':').next().unwrap_or_default();
        // Only on this machine without TLS.
        let hosts = if issuer.keys.starts_with("http://") { Hosts::loopback() } else { Hosts::of([name]) };
        let http = Client::new(hosts)?.waiting(PATIENCE);
        Ok(Self { audience: audience.to_owned(), issuer, http, clock, keys: Mutex::default() })
    }

    /// What the bearer token of a request says.
    ///
    /// # Errors
    /// Why it does not count.
    pub async fn bearer(&self, headers: &HeaderMap) -> Result<Claims, Refused> {
        let mut all = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (all.next(), all.next()) else { return Err(Refused::Missing) };
        let text = value.to_str().map_err(|_| Refused::Missing)?;
        let (scheme, token) = text.split_once(' ').ok_or(Refused::Missing)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Refused::Missing);
        }
        self.verify(token.trim()).await
    }

    /// What a token says.
    ///
    /// # Errors
    /// Why it does not count.
    pub async fn verify(&self, token: &str) -> Result<Claims, Refused> {
        let forged = |why: &str| Refused::Forged(why.to_owned());
        if token.len() > LONGEST {
            return Err(forged("it is too long"));
        }
        let header = jsonwebtoken::decode_header(token).map_err(|error| Refused::Forged(error.to_string()))?;
        // INVARIANT: how it is signed is ours to say, and the key is one that the issuer publishes.
        if header.alg != Algorithm::RS256 {
            return Err(forged("it is not signed with RS256"));
        }
        let key = self.key(&header.kid.ok_or_else(|| forged("it names no key"))?).await?;
        let mut validation = Validation::new(Algorithm::RS256);
        // What it says is looked at below, by a clock that is handed in.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let decoded = jsonwebtoken::decode::<Payload>(token, &key, &validation);
        let said = decoded.map_err(|error| Refused::Forged(error.to_string()))?.claims;
        self.holds(&said)?;
        let verified = match &said.email_verified {
            Some(Value::Bool(verified)) => *verified,
            Some(Value::String(text)) => text == "true",
            _ => false,
        };
        Ok(Claims { subject: said.sub.unwrap_or_default(), email: said.email.filter(|_| verified) })
    }

    fn holds(&self, said: &Payload) -> Result<(), Refused> {
        if !said.iss.as_ref().is_some_and(|iss| self.issuer.names.contains(iss)) {
            return Err(Refused::NotForHere("iss"));
        }
        let for_here = match &said.aud {
            Some(Value::String(one)) => *one == self.audience,
            Some(Value::Array(all)) => all.iter().any(|one| one.as_str() == Some(&self.audience)),
            _ => false,
        };
        if !for_here {
            return Err(Refused::NotForHere("aud"));
        }
        let (now, leeway) = (self.clock.now().as_second(), LEEWAY.as_secs());
        let begun = |from: Option<i64>| from.is_none_or(|from| from <= now.saturating_add(leeway));
        let ends = said.exp.is_some_and(|exp| exp > now.saturating_sub(leeway));
        if ends && begun(said.nbf) && begun(said.iat) { Ok(()) } else { Err(Refused::NotNow) }
    }

    /// A key of the issuer, by its name.
    async fn key(&self, name: &str) -> Result<DecodingKey, Refused> {
        let mut keys = self.keys.lock().await;
        let now = self.clock.now();
        let within = |at: Option<Timestamp>, time: SignedDuration| {
            at.and_then(|at| at.checked_add(time).ok()).is_some_and(|until| now < until)
        };
        let known = keys.known.contains_key(name);
        let mut failed = None;
        let fresh = known && within(keys.read, FRESH);
        // Until there are any, they are asked for each time: whoever asked may have been cut off.
        if !fresh && (keys.read.is_none() || !within(keys.asked, AGAIN)) {
            keys.asked = Some(now);
            let read = self.read().await;
            // Others who waited do not ask once more.
            keys.asked = Some(self.clock.now());
            match read {
                Ok(read) => {
                    keys.known = read;
                    keys.read = Some(now);
                }
                Err(error) => failed = Some(error),
            }
        }
        match keys.known.get(name) {
            Some(key) if within(keys.read, STALE) => Ok(key.clone()),
            Some(_) => Err(Refused::NoKeys(failed)),
            None if failed.is_some() || keys.read.is_none() => Err(Refused::NoKeys(failed)),
            None => Err(Refused::Forged("its issuer has no such key".into())),
        }
    }

    /// Asks for the keys. Those of another kind are left out.
    async fn read(&self) -> Result<BTreeMap<String, DecodingKey>, HttpError> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Key>,
        }
        #[derive(Deserialize)]
        struct Key {
            kid: Option<String>,
            n: Option<String>,
            e: Option<String>,
            #[serde(rename = "use")]
            purpose: Option<String>,
        }
        let request = Request { method: "GET".into(), url: self.issuer.keys.clone(), ..Request::default() };
        let answer = self.http.send(request).await?;
        let set: Result<Set, _> = serde_json::from_slice(&answer.body);
        let Some(set) = set.ok().filter(|_| answer.status == 200) else {
            return Err(HttpError::Url(format!("{} (answered {}, not with keys)", self.issuer.keys, answer.status)));
        };
        let keys = set.keys.into_iter().filter(|key| key.purpose.as_deref().is_none_or(|purpose| purpose == "sig"));
        let keys = keys.filter_map(|key| {
            let made = DecodingKey::from_rsa_components(&key.n?, &key.e?).ok()?;
            Some((key.kid?, made))
        });
        Ok(keys.collect())
    }
}

//! Standard Webhooks: how a message is signed, and how that is checked. The time is told, the body is raw.
//!
//! Source: <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>. `v1` is
//! HMAC-SHA256 with a key that both have (`whsec_…`), `v1a` is Ed25519 with a pair of keys (`whsk_…` signs, `whpk_…`
//! checks), all in base64. What is signed is `ID.TIMESTAMP.BODY`.

use std::{fmt, sync::Arc};

use aws_lc_rs::{digest, hmac, rand};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{SECRET_KEY_LENGTH, Signature, Signer as _, SigningKey, VerifyingKey};
use jiff::{SignedDuration, Timestamp};

/// The header with the name of the message.
pub const ID: &str = "webhook-id";
/// The header with the time of this attempt to send it, in seconds since 1970.
pub const TIMESTAMP: &str = "webhook-timestamp";
/// The header with its signatures, separated by spaces.
pub const SIGNATURE: &str = "webhook-signature";

/// How long a message may have been under way, and how far two clocks may be apart.
pub const TOLERANCE: SignedDuration = SignedDuration::from_mins(5);
/// More signatures of one message than this are not looked at.
const MOST: usize = 4;
/// A key that both have is this long, in bytes, at least, and at most.
const SHARED: std::ops::RangeInclusive<usize> = 24..=64;

/// Signs messages.
#[derive(Clone)]
pub struct Signer(Arc<Way>);

enum Way {
    Shared(Arc<hmac::Key>, Digest),
    Pair(SigningKey),
}

/// Tells a key from others.
type Digest = [u8; 32];

/// Checks messages: one of its keys must have signed them. Several are there while one replaces another.
#[derive(Clone, Default, PartialEq)]
pub struct Checker(Vec<Key>);

#[derive(Clone)]
enum Key {
    Shared(Arc<hmac::Key>, Digest),
    Pair(VerifyingKey),
}

/// A text is no key. It is not repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoKey(String);

/// Why a message does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    /// A header is not there, or cannot be read.
    #[error("the header `{0}` is not there, or cannot be read")]
    Header(&'static str),
    /// It was sent too long ago, or is of a time to come.
    #[error("its time is more than {} minutes from ours", TOLERANCE.as_mins())]
    Time,
    /// No key that is known signed it.
    #[error("no key that is known here signed it")]
    Signature,
}

// INVARIANT: a key is not shown.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(…)")
    }
}

impl fmt::Debug for Checker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Checker({} keys)", self.0.len())
    }
}

impl PartialEq for Signer {
    fn eq(&self, other: &Self) -> bool {
        match (&*self.0, &*other.0) {
            (Way::Shared(_, one), Way::Shared(_, other)) => one == other,
            (Way::Pair(one), Way::Pair(other)) => one == other,
            _ => false,
        }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Shared(_, one), Self::Shared(_, other)) => one == other,
            (Self::Pair(one), Self::Pair(other)) => one == other,
            _ => false,
        }
    }
}

impl Signer {
    /// Reads a key: `whsec_…`, which both have, or `whsk_…`, the secret one of a pair.
    ///
    /// # Errors
    /// When it is neither.
    pub fn read(text: &str) -> Result<Self, NoKey> {
        match text.trim().strip_prefix("whsk_") {
            Some(encoded) => pair(encoded).map(|key| Self(Arc::new(Way::Pair(key)))),
            None => shared(text).map(|(key, name)| Self(Arc::new(Way::Shared(key, name)))),
        }
    }

    /// Makes a pair of keys. Returns the secret one, and the one that checks.
    ///
    /// # Errors
    /// When this machine has no random numbers.
    pub fn generate() -> Result<(String, String), NoKey> {
        let mut seed = [0_u8; SECRET_KEY_LENGTH];
        rand::fill(&mut seed).map_err(|_| NoKey("this machine has no random numbers".into()))?;
        let key = SigningKey::from_bytes(&seed);
        Ok((format!("whsk_{}", STANDARD.encode(key.to_keypair_bytes())), public(&key)))
    }

    /// The key that checks what this one signs, where it is one of a pair.
    #[must_use]
    pub fn public(&self) -> Option<String> {
        match &*self.0 {
            Way::Shared(..) => None,
            Way::Pair(key) => Some(public(key)),
        }
    }

    /// The three headers of a message that is sent now.
    #[must_use]
    pub fn headers(&self, id: &str, now: Timestamp, body: &[u8]) -> Vec<(String, String)> {
        let second = now.as_second().to_string();
        let content = content(id, &second, body);
        let signature = match &*self.0 {
            Way::Shared(key, _) => format!("v1,{}", STANDARD.encode(hmac::sign(key, &content))),
            Way::Pair(key) => format!("v1a,{}", STANDARD.encode(key.sign(&content).to_bytes())),
        };
        vec![(ID.into(), id.to_owned()), (TIMESTAMP.into(), second), (SIGNATURE.into(), signature)]
    }
}

impl Checker {
    /// Reads keys: `whsec_…`, or `whpk_…`, the one of a pair that checks.
    ///
    /// # Errors
    /// When one of them is neither.
    pub fn read(texts: &[String]) -> Result<Self, NoKey> {
        let key = |text: &String| match text.trim() {
            text if text.starts_with("whsk_") => {
                Err(NoKey("a key that begins with `whsk_` signs: what checks begins with `whpk_`".into()))
            }
            text => match text.strip_prefix("whpk_") {
                Some(encoded) => checking(encoded).map(Key::Pair),
                None => shared(text).map(|(key, name)| Key::Shared(key, name)),
            },
        };
        texts.iter().map(key).collect::<Result<_, _>>().map(Self)
    }

    /// Whether a message is of somebody who is known, and of now. `header` tells the value of one of its headers.
    ///
    /// # Errors
    /// When it is not.
    pub fn check<'a>(
        &self,
        header: impl Fn(&'static str) -> Option<&'a str>,
        body: &[u8],
        now: Timestamp,
    ) -> Result<&'a str, Unsigned> {
        let read = |name: &'static str| header(name).filter(|text| !text.is_empty()).ok_or(Unsigned::Header(name));
        let (id, second, signatures) = (read(ID)?, read(TIMESTAMP)?, read(SIGNATURE)?);
        let plain = second.bytes().all(|byte| byte.is_ascii_digit());
        let sent = second.parse().ok().filter(|_| plain).and_then(|second| Timestamp::from_second(second).ok());
        let sent = sent.ok_or(Unsigned::Header(TIMESTAMP))?;
        if now.duration_since(sent).abs() > TOLERANCE {
            return Err(Unsigned::Time);
        }
        let content = content(id, second, body);
        let counts = |signature: &str| self.0.iter().any(|key| key.signed(signature, &content));
        if signatures.split(' ').take(MOST).any(counts) { Ok(id) } else { Err(Unsigned::Signature) }
    }
}

impl Key {
    /// Whether it made this signature of `content`.
    ///
    /// INVARIANT: each kind of key checks its own kind of signature alone: what everybody may know is never a key
    /// that both have.
    fn signed(&self, signature: &str, content: &[u8]) -> bool {
        let Some((version, encoded)) = signature.split_once(',') else { return false };
        let Ok(bytes) = STANDARD.decode(encoded) else { return false };
        match (self, version) {
            (Self::Shared(key, _), "v1") => hmac::verify(key, content, &bytes).is_ok(),
            (Self::Pair(key), "v1a") => {
                Signature::from_slice(&bytes).is_ok_and(|signature| key.verify_strict(content, &signature).is_ok())
            }
            _ => false,
        }
    }
}

fn content(id: &str, second: &str, body: &[u8]) -> Vec<u8> {
    [id.as_bytes(), b".", second.as_bytes(), b".", body].concat()
}

fn public(key: &SigningKey) -> String {
    format!("whpk_{}", STANDARD.encode(key.verifying_key().to_bytes()))
}

fn shared(text: &str) -> Result<(Arc<hmac::Key>, Digest), NoKey> {
    let text = text.trim();
    let encoded = text.strip_prefix("whsec_").unwrap_or(text);
    let bytes = STANDARD.decode(encoded).map_err(|_| NoKey("the secret is not `whsec_` and base64".into()))?;
    if bytes.len() < *SHARED.start() {
        return Err(NoKey(format!("the secret is shorter than {} bytes", SHARED.start())));
    }
    if bytes.len() > *SHARED.end() {
        return Err(NoKey(format!("the secret is longer than {} bytes", SHARED.end())));
    }
    let mut name = Digest::default();
    name.copy_from_slice(digest::digest(&digest::SHA256, &bytes).as_ref());
    Ok((Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &bytes)), name))
}

/// The secret key of a pair: its 32 bytes, or those and the 32 of the other.
fn pair(encoded: &str) -> Result<SigningKey, NoKey> {
    let none = || NoKey("the key is not `whsk_` and 32 or 64 bytes in base64".into());
    let bytes = STANDARD.decode(encoded).map_err(|_| none())?;
    if let Ok(seed) = <[u8; 32]>::try_from(bytes.as_slice()) {
        return Ok(SigningKey::from_bytes(&seed));
    }
    let both = <[u8; 64]>::try_from(bytes.as_slice()).map_err(|_| none())?;
    SigningKey::from_keypair_bytes(&both).map_err(|_| NoKey("the two halves of the key are not of one pair".into()))
}

fn checking(encoded: &str) -> Result<VerifyingKey, NoKey> {
    let none = || NoKey("the key is not `whpk_` and 32 bytes in base64".into());
    let bytes = STANDARD.decode(encoded).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()).ok_or_else(none)?;
    let key = VerifyingKey::from_bytes(&bytes).map_err(|_| none())?;
    // Anybody can sign for a weak one.
    if key.is_weak() { Err(NoKey("the key is weak: it is none that was made by chance".into())) } else { Ok(key) }
}

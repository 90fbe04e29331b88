//! Sealing: what was there before a fix may hold secrets of a resource, and is kept encrypted and bound to
//! its remediation (AES-256-GCM with a random nonce; the id is authenticated with it).

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    rand,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::StoreError;

/// What begins a sealed body. A plain one begins with a brace.
const SEALED: &str = "sealed-1:";

/// A key's length in bytes.
const LENGTH: usize = 32;

/// The keys of a store: the first seals, each opens what it sealed.
#[derive(Clone, Default)]
pub struct Keys(Arc<[Key]>);

struct Key {
    /// Names it without telling it: the start of its digest.
    name: String,
    key: RandomizedNonceKey,
}

impl Keys {
    /// Reads keys: 32 bytes in base64 each.
    ///
    /// # Errors
    /// Says what is wrong with which of them, without repeating it.
    pub fn read(texts: &[String]) -> Result<Self, String> {
        let read = |(at, text): (usize, &String)| {
            let fail = |why: &str| format!("key {} {why}", at.saturating_add(1));
            let bytes = STANDARD.decode(text.trim()).map_err(|_| fail("is not in base64"))?;
            if bytes.len() != LENGTH {
                return Err(fail(&format!("has {} bytes and needs {LENGTH}", bytes.len())));
            }
            let key = RandomizedNonceKey::new(&AES_256_GCM, &bytes).map_err(|_| fail("is none"))?;
            let digest = amend_domain::digest::digest_bytes(&bytes);
            let name = digest.trim_start_matches("sha256:").chars().take(8).collect();
            Ok(Key { name, key })
        };
        texts.iter().enumerate().map(read).collect::<Result<Vec<_>, _>>().map(|keys| Self(keys.into()))
    }

    /// Makes a new key, as [`Keys::read`] reads it.
    ///
    /// # Errors
    /// When this machine has no random numbers.
    pub fn generate() -> Result<String, StoreError> {
        let mut bytes = [0_u8; LENGTH];
        rand::fill(&mut bytes).map_err(|_| StoreError::Sealed { why: "this machine has no random numbers".into() })?;
        Ok(STANDARD.encode(bytes))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their names, which tell nothing of them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|key| key.name.as_str())
    }

    /// Seals the body of a remediation, where there is a key.
    pub(crate) fn seal(&self, id: &str, body: String) -> Result<String, StoreError> {
        let Some(Key { name, key }) = self.0.first() else { return Ok(body) };
        let mut bytes = body.into_bytes();
        let nonce = key
            .seal_in_place_append_tag(Aad::from(id.as_bytes()), &mut bytes)
            .map_err(|_| StoreError::Sealed { why: format!("remediation {id} cannot be sealed with key {name}") })?;
        let whole = [nonce.as_ref().as_slice(), &bytes].concat();
        Ok(format!("{SEALED}{name}:{}", STANDARD.encode(whole)))
    }

    /// Opens the body of a remediation; a plain one is as it is, or refused.
    pub(crate) fn open(&self, id: &str, body: &str, only_sealed: bool) -> Result<String, StoreError> {
        let fail = |why: String| StoreError::Sealed { why };
        let Some((name, text)) = body.strip_prefix(SEALED).and_then(|rest| rest.split_once(':')) else {
            return match only_sealed {
                true => Err(fail(format!("the record of remediation {id} is not sealed: amend did not write it"))),
                false => Ok(body.to_owned()),
            };
        };
        let key = self.0.iter().find(|key| key.name == name);
        let Key { key, .. } = key
            .ok_or_else(|| fail(format!("remediation {id} is sealed with key {name}, which is not in `store.keys`")))?;
        let damaged = || fail(format!("the sealed record of remediation {id} was changed or moved"));
        let mut whole = STANDARD.decode(text).map_err(|_| damaged())?;
        let (nonce, bytes) = whole.split_at_mut_checked(NONCE_LEN).ok_or_else(damaged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| damaged())?;
        let plain = key.open_in_place(nonce, Aad::from(id.as_bytes()), bytes).map_err(|_| damaged())?;
        String::from_utf8(plain.to_vec()).map_err(|_| damaged())
    }

    /// Whether a body is as the first key seals it.
    pub(crate) fn is_current(&self, body: &str) -> bool {
        match self.0.first() {
            None => true,
            Some(Key { name, .. }) => {
                body.strip_prefix(SEALED).and_then(|rest| rest.split_once(':')).is_some_and(|(by, _)| by == name)
            }
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keys").field(&self.names().collect::<Vec<_>>()).finish()
    }
}

impl PartialEq for Keys {
    fn eq(&self, other: &Self) -> bool {
        self.names().eq(other.names())
    }
}

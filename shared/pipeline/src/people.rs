//! People with names: who may answer for what, and how they are told from others.
//!
//! A person is known by a token, of which only the digest is kept. That stands for one's word until the
//! service knows people by their directory.

use amend_domain::digest::digest_bytes;
use aws_lc_rs::{constant_time::verify_slices_are_equal, rand};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;

/// Who asks, where nobody said their name: whoever may use the store, or the loopback address.
pub const LOCAL_USER: &str = "the local user";

/// What a token begins with, so that it is found where it should not be.
const BEGINS: &str = "amend_";

/// Names that stand for no person.
const RESERVED: [&str; 4] = [LOCAL_USER, "amend", amend_store::BY_CONFIGURATION, ""];

/// Somebody who acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    name: Box<str>,
    named: bool,
    rights: Vec<Right>,
}

/// What not everybody with a name may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Move due dates, and say when others will be done.
    Dates,
    /// Answer fixes that are announced to others.
    Fixes,
}

impl Right {
    /// Reads a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "dates" => Some(Self::Dates),
            "fixes" => Some(Self::Fixes),
            _ => None,
        }
    }
}

impl Person {
    /// Somebody who was recognised by this name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { name: name.into(), named: true, rights: Vec::new() }
    }

    /// Whoever uses this machine.
    #[must_use]
    pub fn local() -> Self {
        Self { name: LOCAL_USER.into(), named: false, rights: Vec::new() }
    }

    /// As the audit trail names them.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether they may do something that not everybody may. Where nobody has a name, whoever uses this machine may.
    #[must_use]
    pub fn may(&self, right: Right) -> bool {
        !self.named || self.rights.contains(&right)
    }

    /// The same, who may do these things, too.
    #[must_use]
    pub fn with(self, rights: &[Right]) -> Self {
        Self { rights: rights.to_vec(), ..self }
    }

    /// Whether they were recognised.
    #[must_use]
    pub fn is_named(&self) -> bool {
        self.named
    }
}

/// The people that the configuration names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct People(Tokens<Right>);

/// Names, the digests of their tokens, and what each may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tokens<R>(Vec<Known<R>>);

impl<R> Default for Tokens<R> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Known<R> {
    name: Box<str>,
    /// The digest of their token.
    digest: Box<str>,
    /// When that ends.
    until: Option<Timestamp>,
    rights: Vec<R>,
}

/// Why a token tells nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// It is nobody's.
    #[error("the token is nobody's")]
    Nobody,
    /// It has ended.
    #[error("the token ended at {0}")]
    Ended(Timestamp),
}

impl<R> Tokens<R> {
    /// Adds a name, or another token of it.
    pub(crate) fn add(
        &mut self,
        name: &str,
        digest: &str,
        until: Option<Timestamp>,
        rights: Vec<R>,
    ) -> Result<(), String> {
        let name = name.trim();
        if RESERVED.iter().any(|other| other.eq_ignore_ascii_case(name)) {
            return Err(format!("`{name}` is no name of a person or a tool"));
        }
        if name.chars().any(char::is_control) || name.chars().count() > 200 {
            return Err("a name has up to 200 characters, and none that cannot be seen".into());
        }
        if digest.starts_with(BEGINS) {
            return Err("that is the token itself: it is its owner's alone, its digest stands here".into());
        }
        let hex = digest.strip_prefix("sha256:").filter(|hex| {
            hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        });
        if hex.is_none() {
            return Err("it is no digest of a token: `sha256:` and 64 digits".into());
        }
        if let Some(other) = self.0.iter().find(|known| *known.digest == *digest) {
            return Err(format!("it is the token of {}, too", other.name));
        }
        self.0.push(Known { name: name.into(), digest: digest.into(), until, rights });
        Ok(())
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|known| &*known.name)
    }

    /// Whose token it is, and what they may. How long a comparison takes tells nothing of the token.
    pub(crate) fn who(&self, token: &str, now: Timestamp) -> Result<(&str, &[R]), Unknown> {
        let digest = digest_bytes(token.trim().as_bytes());
        let same = |known: &&Known<R>| verify_slices_are_equal(known.digest.as_bytes(), digest.as_bytes()).is_ok();
        let known = self.0.iter().find(same).ok_or(Unknown::Nobody)?;
        match known.until {
            Some(until) if until <= now => Err(Unknown::Ended(until)),
            _ => Ok((&known.name, &known.rights)),
        }
    }
}

impl People {
    /// Adds a person, or another token of theirs.
    ///
    /// # Errors
    /// Says what is wrong with the name or the digest.
    pub fn add(
        &mut self,
        name: &str,
        digest: &str,
        until: Option<Timestamp>,
        rights: Vec<Right>,
    ) -> Result<(), String> {
        self.0.add(name, digest, until, rights)
    }

    /// Whether nobody is named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.0.is_empty()
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.names()
    }

    /// Whose token it is.
    ///
    /// # Errors
    /// When it is nobody's, or has ended.
    pub fn who(&self, token: &str, now: Timestamp) -> Result<Person, Unknown> {
        let (name, rights) = self.0.who(token, now)?;
        Ok(Person::named(name).with(rights))
    }
}

/// A new token, and its digest.
///
/// # Errors
/// When this machine has no random numbers.
pub fn new_token() -> Result<(String, String), String> {
    let mut bytes = [0_u8; 32];
    rand::fill(&mut bytes).map_err(|_| "this machine has no random numbers".to_owned())?;
    let token = format!("{BEGINS}{}", URL_SAFE_NO_PAD.encode(bytes));
    let digest = digest_bytes(token.as_bytes());
    Ok((token, digest))
}

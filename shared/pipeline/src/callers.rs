//! Tools that call over HTTP from elsewhere: who they are, and what they may. Each is known by a token, of which
//! only the digest is kept.

use jiff::Timestamp;

use crate::people::{Tokens, Unknown};

/// What a tool may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Deliver events.
    Ingest,
    /// Read what is known.
    Read,
    /// Release a slice of the backlog, stop everything.
    Operate,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ingest, Self::Read, Self::Operate];

    /// The word for it under `callers`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Read => "read",
            Self::Operate => "operate",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word)
    }
}

/// A tool that was recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// As the configuration and the audit trail name it.
    pub name: Box<str>,
    /// What it may.
    pub scopes: Vec<Scope>,
}

/// The tools that the configuration names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Callers(pub(crate) Tokens<Scope>);

impl Callers {
    /// Whose token it is.
    ///
    /// # Errors
    /// When it is nobody's, or has ended.
    pub fn who(&self, token: &str, now: Timestamp) -> Result<Caller, Unknown> {
        let (name, scopes) = self.0.who(token, now)?;
        Ok(Caller { name: name.into(), scopes: scopes.to_vec() })
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.names()
    }
}

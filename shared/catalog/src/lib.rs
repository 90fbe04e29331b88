//! Files that people write: rules with their tests, facts, and the table of settings; read with every
//! mistake shown at once, where it stands and what to do about it.
//!
//! A file is read in three steps: text to a tree that remembers where each value stood
//! ([`yaml`]), the tree against the table of its members ([`shape`], from which the JSON Schema for
//! editors comes too), and the tree to types, here per kind of file. No I/O: callers read files.

pub mod catalogue;
pub mod facts_file;
pub mod fix_file;
pub mod fix_test;
pub mod governance;
pub mod mistakes;
pub mod owners_file;
pub mod permissions;
pub mod policy_file;
pub mod rule_file;
pub mod rule_test;
pub mod script;
pub mod settings_file;
pub mod shape;
pub mod yaml;

pub use catalogue::Catalogue;
pub use mistakes::{Level, Mistake, Mistakes};

/// A text and the name under which a person knows it, such as its path.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SourceText {
    /// The path, or what stands for it.
    pub name: String,
    /// The text.
    pub text: String,
}

impl SourceText {
    /// A text under a name.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into() }
    }
}

/// The rules that `amend` starts with when a user has none: everything is observed, nothing is
/// changed.
#[must_use]
pub fn starter_rules() -> SourceText {
    SourceText::new("(built in) starter.yaml", include_str!("../rules/starter.yaml"))
}

//! Names of things, in the one form in which they are compared.

use std::{borrow::Borrow, fmt};

use serde::{Deserialize, Serialize};

/// Implements the parts that every text-backed id shares.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Box<str>);

        impl $name {
            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

text_id! {
    /// The Entra tenant that an assessment belongs to, lower-cased; `-` where the source names none.
    TenantId
}

impl TenantId {
    /// Lower-cases `text`; an empty one becomes `-`.
    #[must_use]
    pub fn new(text: &str) -> Self {
        if text.is_empty() { Self("-".into()) } else { Self(text.to_ascii_lowercase().into()) }
    }
}

text_id! {
    /// The lower-cased full id of an assessment or finding: unique, where its last part (the
    /// recommendation's key) is not.
    AssessmentId
}

impl AssessmentId {
    /// Lower-cases `text` and removes the spaces that some of Defender's own ids contain.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(lower_without_spaces(text).into())
    }
}

text_id! {
    /// The kind of an assessment: `defender:<guid>`, `category:<name>`, `policy:<definition id>`,
    /// `securityhub:<control>` or `scc:<category>`, lower-cased.
    RecommendationKey
}

impl RecommendationKey {
    /// A key of one source, lower-cased: `RecommendationKey::new("securityhub", "S3.8")`.
    #[must_use]
    pub fn new(source: &str, name: &str) -> Self {
        let mut key = String::with_capacity(source.len().saturating_add(name.len()).saturating_add(1));
        key.push_str(source);
        key.push(':');
        key.push_str(name);
        key.make_ascii_lowercase();
        Self(key.into())
    }

    /// Reads a key as people write it: with a source prefix, or a bare Defender GUID.
    ///
    /// Returns nothing where the text has neither.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some((source, name)) = text.split_once(':') {
            let source = source.to_ascii_lowercase();
            let known = ["defender", "category", "policy", "securityhub", "scc"].contains(&source.as_str());
            return (known && !name.is_empty()).then(|| Self::new(&source, name));
        }
        is_guid(text).then(|| Self::new("defender", text))
    }
}

text_id! {
    /// A rule's id: letters, digits, `.`, `_` and `-`, at most 128.
    RuleId
}

impl RuleId {
    /// Reads an id.
    ///
    /// Returns nothing where the text is empty, too long or has other characters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fine = !text.is_empty()
            && text.len() <= 128
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
        fine.then(|| Self(text.into()))
    }
}

text_id! {
    /// Names a problem: `p-` and the first 20 hexadecimal digits of the digest of its tenant,
    /// resource and setting. Short enough to type, stable across sources.
    ProblemId
}

impl ProblemId {
    /// The id of the problem that `setting` is wrong on `resource`.
    #[must_use]
    pub fn new(tenant: &TenantId, resource: &str, setting: &str) -> Self {
        let whole = crate::digest::digest_bytes(format!("{tenant}\n{resource}\n{setting}").as_bytes());
        let short: String = whole.chars().skip("sha256:".len()).take(20).collect();
        Self(format!("p-{short}").into())
    }
}

text_id! {
    /// Names a ticket: `t-` and the first 20 hexadecimal digits of the digest of its tenant, its tracker and what it
    /// is about. It is the key by which it is found in the tracker.
    TicketId
}

impl TicketId {
    /// The id of the ticket about this, in this tracker.
    #[must_use]
    pub fn new(tenant: &TenantId, tracker: &str, about: &crate::ticket::About) -> Self {
        let about = serde_json::to_string(about).unwrap_or_default();
        let whole = crate::digest::digest_bytes(format!("{tenant}\n{tracker}\n{about}").as_bytes());
        let short: String = whole.chars().skip("sha256:".len()).take(20).collect();
        Self(format!("t-{short}").into())
    }

    /// Reads an id. Returns nothing where the text is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("t-")?;
        (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_hexdigit())).then(|| Self(text.into()))
    }
}

/// `text` lower-cased (ASCII), without white space.
#[must_use]
pub fn lower_without_spaces(text: &str) -> String {
    let mut lower = text.to_ascii_lowercase();
    // Almost no id has any. Without a branch per byte the compiler looks at many bytes at a time.
    if lower.bytes().fold(false, |odd, byte| odd | (byte <= b' ') | (byte >= 0x80)) {
        lower.retain(|c| !c.is_whitespace());
    }
    lower
}

/// Whether `text` looks like `8-4-4-4-12` hexadecimal digits.
#[must_use]
pub fn is_guid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_people_write_them() {
        let key = |text: &str| RecommendationKey::parse(text).map(|key| key.to_string());
        assert_eq!(
            key("83F16376-e2dd-487d-b5ee-ba67fef4c5c0").as_deref(),
            Some("defender:83f16376-e2dd-487d-b5ee-ba67fef4c5c0")
        );
        assert_eq!(key("SecurityHub:S3.8").as_deref(), Some("securityhub:s3.8"));
        assert_eq!(key("jira:1"), None);
        assert_eq!(key("public storage"), None);
    }

    #[test]
    fn an_assessment_id_survives_defenders_stray_spaces_and_case() {
        assert_eq!(
            AssessmentId::new("/Subscriptions/A/providers/ microsoft.security/x"),
            AssessmentId::new("/subscriptions/a/providers/microsoft.security/x")
        );
    }
}

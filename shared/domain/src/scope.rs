//! Where a rule holds: a management scope (group, organization, unit, folder) or a single one
//! (subscription, account, project, connector, resource group, resource).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::resource::canonical_arm;

/// The canonical name of a scope.
///
/// - Azure: ARM ids, lower-cased: `/providers/microsoft.management/managementgroups/prod`,
///   `/subscriptions/…`, and everything below a subscription, security connectors included
/// - AWS: `aws:o-…`, `aws:r-…`, `aws:ou-…`, and `aws:<12 digits>` for an account
/// - Google Cloud: `gcp:organizations/…`, `gcp:folders/…`, and `gcp:projects/…`
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ScopeId(Box<str>);

/// Text that names no scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no scope")]
pub struct NotAScope(pub String);

/// What a scope covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ScopeClass {
    /// Covers many accounts; which ones is a fact (the account's ancestry).
    Management,
    /// One account or less; the assessment says by itself whether it is inside.
    Single,
}

const MANAGEMENT_GROUP: &str = "/providers/microsoft.management/managementgroups/";

impl ScopeId {
    /// Reads a scope as people and Defender write it; case and a missing first `/` do not matter.
    ///
    /// # Errors
    /// When the text has none of the forms above.
    pub fn parse(text: &str) -> Result<Self, NotAScope> {
        let refuse = || NotAScope(text.trim().to_owned());
        let trimmed = text.trim();
        let id = match trimmed.split_once(':') {
            Some((cloud, rest)) => {
                let id = format!("{}:{}", cloud.to_ascii_lowercase(), rest.trim_matches('/').to_ascii_lowercase());
                let rest = id.split_once(':').map_or("", |(_, rest)| rest);
                let fine = match cloud.to_ascii_lowercase().as_str() {
                    "aws" => {
                        rest.len() == 12 && rest.bytes().all(|b| b.is_ascii_digit())
                            || ["o-", "r-", "ou-"]
                                .iter()
                                .any(|unit| rest.strip_prefix(unit).is_some_and(|n| !n.is_empty()))
                    }
                    "gcp" => ["organizations/", "folders/", "projects/"]
                        .iter()
                        .any(|kind| rest.strip_prefix(kind).is_some_and(|n| !n.is_empty() && !n.contains('/'))),
                    _ => false,
                };
                if !fine {
                    return Err(refuse());
                }
                id
            }
            None => canonical_arm(trimmed),
        };
        let fine = id.contains(':')
            || id.strip_prefix(MANAGEMENT_GROUP).is_some_and(|name| !name.is_empty() && !name.contains('/'))
            || id.strip_prefix("/subscriptions/").is_some_and(|rest| !rest.starts_with('/') && !rest.is_empty());
        if fine { Ok(Self(id.into())) } else { Err(refuse()) }
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it covers many accounts or at most one.
    #[must_use]
    pub fn class(&self) -> ScopeClass {
        let management = self.0.starts_with(MANAGEMENT_GROUP)
            || self.0.strip_prefix("aws:").is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
            || self.0.starts_with("gcp:organizations/")
            || self.0.starts_with("gcp:folders/");
        if management { ScopeClass::Management } else { ScopeClass::Single }
    }

    /// Its last part: what people call it.
    #[must_use]
    pub fn short_name(&self) -> &str {
        self.0.rsplit(['/', ':']).next().unwrap_or(&self.0)
    }

    /// The account (subscription, AWS account, project) that a single scope is or lies in.
    ///
    /// Nothing for a management scope and for a security connector, which stands for accounts of
    /// another cloud.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        if self.class() == ScopeClass::Management || self.is_connector() {
            return None;
        }
        Some(crate::resource::arm_account(&self.0).unwrap_or(&self.0))
    }

    /// Whether it is a Defender security connector: the door to an AWS or Google Cloud account.
    #[must_use]
    pub fn is_connector(&self) -> bool {
        self.0.contains("/providers/microsoft.security/securityconnectors/")
    }

    /// Whether `id` (canonical, lower-cased) is this scope or lies below it.
    #[must_use]
    pub fn holds(&self, id: &str) -> bool {
        id.strip_prefix(&*self.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl fmt::Display for ScopeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for ScopeId {
    type Error = NotAScope;
    fn try_from(text: String) -> Result<Self, NotAScope> {
        Self::parse(&text)
    }
}

impl From<ScopeId> for String {
    fn from(scope: ScopeId) -> Self {
        scope.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_of_three_clouds_are_told_apart() {
        let check = |text: &str, id: &str, class: ScopeClass, account: Option<&str>| {
            let scope = ScopeId::parse(text).expect(text);
            assert_eq!((scope.as_str(), scope.class(), scope.account()), (id, class, account));
        };
        use ScopeClass::{Management, Single};
        check(
            "providers/Microsoft.Management/managementGroups/Prod",
            "/providers/microsoft.management/managementgroups/prod",
            Management,
            None,
        );
        check("/subscriptions/AB", "/subscriptions/ab", Single, Some("/subscriptions/ab"));
        check(
            "subscriptions/ab/resourceGroups/RG",
            "/subscriptions/ab/resourcegroups/rg",
            Single,
            Some("/subscriptions/ab"),
        );
        check(
            "subscriptions/a/resourcegroups/g/providers/Microsoft.Security/securityConnectors/aws",
            "/subscriptions/a/resourcegroups/g/providers/microsoft.security/securityconnectors/aws",
            Single,
            None,
        );
        check("aws:210987654321", "aws:210987654321", Single, Some("aws:210987654321"));
        check("AWS:ou-ab12-prod", "aws:ou-ab12-prod", Management, None);
        check("gcp:projects/734", "gcp:projects/734", Single, Some("gcp:projects/734"));
        check("gcp:folders/11", "gcp:folders/11", Management, None);
        for wrong in ["", "prod", "aws:123", "gcp:734", "/providers/Microsoft.Management/managementGroups/", "azure:x"]
        {
            assert!(ScopeId::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_scope_holds_what_lies_below_it_by_whole_segments() {
        let scope = ScopeId::parse("/subscriptions/a/resourceGroups/rg").expect("scope");
        assert!(scope.holds("/subscriptions/a/resourcegroups/rg/providers/x"));
        assert!(scope.holds("/subscriptions/a/resourcegroups/rg"));
        assert!(!scope.holds("/subscriptions/a/resourcegroups/rg2"));
    }
}

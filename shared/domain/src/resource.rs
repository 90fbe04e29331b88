//! What an assessment is about: one resource in one cloud, named the way that cloud names it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The cloud that a resource lives in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cloud {
    /// Microsoft Azure.
    Azure,
    /// Amazon Web Services, any partition.
    Aws,
    /// Google Cloud.
    Gcp,
    /// On premises, GitHub, and whatever Defender adds next.
    Other,
}

impl Cloud {
    /// All of them, in the order in which they are printed.
    pub const ALL: [Self; 4] = [Self::Azure, Self::Aws, Self::Gcp, Self::Other];

    /// The word used in rules, JSON and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Azure => "azure",
            Self::Aws => "aws",
            Self::Gcp => "gcp",
            Self::Other => "other",
        }
    }

    /// Reads the word, in any case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cloud| cloud.as_str().eq_ignore_ascii_case(text))
    }

    /// What this cloud calls an account.
    #[must_use]
    pub fn account_word(self) -> &'static str {
        match self {
            Self::Azure => "subscription",
            Self::Gcp => "project",
            Self::Aws | Self::Other => "account",
        }
    }
}

impl fmt::Display for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A resource's native name in the one form in which it is compared: a lower-cased ARM id, an ARN
/// of any partition as AWS writes it, or a Google Cloud full resource name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ResourceId(Box<str>);

impl ResourceId {
    /// Canonical form of `text`.
    ///
    /// ARM ids lose their case and stray spaces and gain a first `/`. A Cloud Storage bucket has one
    /// name, `//storage.googleapis.com/BUCKET`, also where a source writes
    /// `//storage.googleapis.com/projects/_/buckets/BUCKET`.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let text = text.trim();
        if text.starts_with("//") {
            let bucket = text.strip_prefix("//storage.googleapis.com/projects/_/buckets/");
            return Self(bucket.map_or_else(|| text.into(), |b| format!("//storage.googleapis.com/{b}").into()));
        }
        let head = text.get(..15).unwrap_or(text).trim_start_matches('/');
        let arm = ["subscriptions/", "providers/"]
            .iter()
            .any(|start| head.get(..start.len()).is_some_and(|h| h.eq_ignore_ascii_case(start)));
        Self(if arm { canonical_arm(text).into() } else { text.into() })
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The cloud that this form of name belongs to; `other` where it cannot be told.
    #[must_use]
    pub fn cloud(&self) -> Cloud {
        if self.0.starts_with("/subscriptions/") || self.0.starts_with("/providers/") {
            Cloud::Azure
        } else if self.0.starts_with("arn:") {
            Cloud::Aws
        } else if self.0.starts_with("//") || self.0.starts_with("projects/") {
            Cloud::Gcp
        } else {
            Cloud::Other
        }
    }

    /// The last part of the name: what people call the resource when nothing better is known.
    #[must_use]
    pub fn short_name(&self) -> &str {
        let part = self.0.rsplit('/').next().unwrap_or(&self.0);
        if self.cloud() == Cloud::Aws { part.rsplit(':').next().unwrap_or(part) } else { part }
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Lower-cases an ARM id, drops white space, and gives it exactly one leading and no trailing `/`.
#[must_use]
pub fn canonical_arm(text: &str) -> String {
    let inner = text.trim().trim_matches('/');
    // The usual case first: it has its one slash already.
    let mut id = match text.strip_prefix('/').filter(|rest| *rest == inner) {
        Some(_) => crate::ids::lower_without_spaces(text),
        None => crate::ids::lower_without_spaces(&format!("/{inner}")),
    };
    id.truncate(id.trim_end_matches('/').len().max(1));
    id
}

/// The `/subscriptions/<id>` that a canonical ARM id starts with.
#[must_use]
pub fn arm_account(id: &str) -> Option<&str> {
    let rest = id.strip_prefix("/subscriptions/")?;
    let name = rest.split('/').next().filter(|name| !name.is_empty())?;
    id.get(.."/subscriptions/".len().saturating_add(name.len()))
}

/// The `/subscriptions/<id>/resourcegroups/<name>` that a canonical ARM id starts with.
#[must_use]
pub fn arm_group(id: &str) -> Option<&str> {
    let account = arm_account(id)?;
    let rest = id.get(account.len()..)?.strip_prefix("/resourcegroups/")?;
    let name = rest.split('/').next().filter(|name| !name.is_empty())?;
    id.get(..account.len().saturating_add("/resourcegroups/".len()).saturating_add(name.len()))
}

/// The type of the resource that a canonical ARM id names: `microsoft.storage/storageaccounts`.
#[must_use]
pub fn arm_type(id: &str) -> Option<String> {
    let Some(after) = after_last_provider(id) else {
        return Some(match (arm_group(id), arm_account(id)) {
            (Some(_), _) => "microsoft.resources/resourcegroups".into(),
            (None, Some(_)) => "microsoft.resources/subscriptions".into(),
            (None, None) => return None,
        });
    };
    let mut parts = after.split('/');
    if let (Some(provider), Some(kind), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) {
        // The usual case: one type, one name.
        return after.get(..provider.len().saturating_add(1).saturating_add(kind.len())).map(str::to_owned);
    }
    // After the provider, names and types take turns: type, name, type, name.
    let mut parts = after.split('/');
    let mut kind = parts.next()?.to_owned();
    for part in parts.step_by(2) {
        kind.push('/');
        kind.push_str(part);
    }
    Some(kind)
}

/// What stands after the last `/providers/`, found from the end: that is where it is.
fn after_last_provider(id: &str) -> Option<&str> {
    let mut end = id.len();
    for part in id.rsplit('/') {
        if part == "providers" && end < id.len() {
            return id.get(end.saturating_add(1)..);
        }
        end = end.saturating_sub(part.len()).saturating_sub(1);
    }
    None
}

/// The security connector in a canonical ARM id of an AWS or Google Cloud entity.
#[must_use]
pub fn arm_connector(id: &str) -> Option<&str> {
    const MARK: &str = "/providers/microsoft.security/securityconnectors/";
    let start = id.find(MARK)?.saturating_add(MARK.len());
    let name = id.get(start..)?.split('/').next().filter(|name| !name.is_empty())?;
    id.get(..start.saturating_add(name.len()))
}

/// An account: `/subscriptions/<id>`, `aws:<12 digits>` or `gcp:projects/<number or id>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AccountId(Box<str>);

impl AccountId {
    /// An Azure subscription, from any ARM id in it.
    #[must_use]
    pub fn azure(canonical_id: &str) -> Option<Self> {
        arm_account(canonical_id).map(|account| Self(account.into()))
    }

    /// An AWS account number.
    ///
    /// Returns nothing unless it has twelve digits.
    #[must_use]
    pub fn aws(number: &str) -> Option<Self> {
        (number.len() == 12 && number.bytes().all(|b| b.is_ascii_digit())).then(|| Self(format!("aws:{number}").into()))
    }

    /// A Google Cloud project, by number or id.
    ///
    /// Returns nothing where the text is empty or holds a `/`.
    #[must_use]
    pub fn gcp(project: &str) -> Option<Self> {
        (!project.is_empty() && !project.contains('/'))
            .then(|| Self(format!("gcp:projects/{}", project.to_ascii_lowercase()).into()))
    }

    /// The canonical text, the same as that of the account's [`crate::ScopeId`].
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The account's own id without our prefix, as its cloud prints it.
    #[must_use]
    pub fn native(&self) -> &str {
        self.0.rsplit(['/', ':']).next().unwrap_or(&self.0)
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// One resource, as far as an event tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// Its native name.
    pub id: ResourceId,
    /// Where it lives.
    pub cloud: Cloud,
    /// Its type, lower-cased: `microsoft.storage/storageaccounts`, `s3.bucket`, `storage.bucket`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Box<str>>,
    /// What people call it.
    pub name: Box<str>,
    /// The subscription, account or project it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// The region, lower-cased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Box<str>>,
    /// The Defender security connector through which an AWS or Google Cloud resource is seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connector: Option<Box<str>>,
}

impl Resource {
    /// The Azure resource group that it is in.
    #[must_use]
    pub fn group(&self) -> Option<&str> {
        arm_group(self.id.as_str())
    }
}

/// The account in an ARN; S3 buckets and other global names carry none.
#[must_use]
pub fn arn_account(arn: &str) -> Option<AccountId> {
    AccountId::aws(arn.split(':').nth(4)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_three_clouds_have_one_form() {
        let check = |text: &str, id: &str, cloud: Cloud, short: &str| {
            let read = ResourceId::new(text);
            assert_eq!((read.as_str(), read.cloud(), read.short_name()), (id, cloud, short));
        };
        check(
            "/Subscriptions/A/resourceGroups/RG/providers/ Microsoft.Compute/virtualMachines/VM-1",
            "/subscriptions/a/resourcegroups/rg/providers/microsoft.compute/virtualmachines/vm-1",
            Cloud::Azure,
            "vm-1",
        );
        check("subscriptions/a", "/subscriptions/a", Cloud::Azure, "a");
        check("arn:aws-us-gov:s3:::Invoices", "arn:aws-us-gov:s3:::Invoices", Cloud::Aws, "Invoices");
        check(
            "arn:aws-cn:ec2:cn-north-1:111122223333:instance/i-1",
            "arn:aws-cn:ec2:cn-north-1:111122223333:instance/i-1",
            Cloud::Aws,
            "i-1",
        );
        check("//storage.googleapis.com/projects/_/buckets/acme", "//storage.googleapis.com/acme", Cloud::Gcp, "acme");
        check("projects/p/locations/l/repositories/r", "projects/p/locations/l/repositories/r", Cloud::Gcp, "r");
        check("vm-on-prem", "vm-on-prem", Cloud::Other, "vm-on-prem");
    }

    #[test]
    fn an_arm_id_tells_its_account_group_type_and_connector() {
        let id = "/subscriptions/a/resourcegroups/rg/providers/microsoft.sql/servers/s/databases/d";
        assert_eq!(arm_account(id), Some("/subscriptions/a"));
        assert_eq!(arm_group(id), Some("/subscriptions/a/resourcegroups/rg"));
        assert_eq!(arm_type(id).as_deref(), Some("microsoft.sql/servers/databases"));
        assert_eq!(arm_type("/subscriptions/a").as_deref(), Some("microsoft.resources/subscriptions"));
        let entity = "/subscriptions/a/resourcegroups/g/providers/microsoft.security/securityconnectors/aws-prod/securityentitydata/aws-s3-x-eu-west-1";
        assert_eq!(
            arm_connector(entity),
            Some("/subscriptions/a/resourcegroups/g/providers/microsoft.security/securityconnectors/aws-prod")
        );
        assert_eq!(arm_account("/subscriptions/"), None);
    }
}

//! What a fix is about: which resources, by the form of their names, and what their names tell.

use std::fmt;

use serde_json::{Map, Value};

use crate::resource::{Cloud, ResourceId};

/// The form of a resource's name: `arn:{partition}:s3:::{name}`,
/// `/subscriptions/{subscription}/resourcegroups/{group}/providers/microsoft.storage/storageaccounts/{name}`,
/// `//compute.googleapis.com/projects/{project}/zones/{zone}/instances/{name}`.
///
/// A `{part}` is any text without `/` and `:`; everything else is itself, without regard to case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetForm {
    source: Box<str>,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(Box<str>),
    Part(Box<str>),
}

/// Why a text is no form of names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FormError(String);

/// The resource that a fix is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its native name.
    pub id: ResourceId,
    /// Where it lives.
    pub cloud: Cloud,
    /// What its name tells: the parts of the form.
    pub parts: Map<String, Value>,
}

impl TargetForm {
    /// Reads a form.
    ///
    /// # Errors
    /// When a brace is left open, a part has no name, or two parts touch.
    pub fn parse(source: &str) -> Result<Self, FormError> {
        let mut pieces = Vec::new();
        let mut rest = source;
        while let Some((literal, after)) = rest.split_once('{') {
            let Some((part, after)) = after.split_once('}') else {
                return Err(FormError("a `{` is not closed".into()));
            };
            if part.is_empty() || !part.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
                return Err(FormError(format!("`{part}` names no part: write lower-case letters")));
            }
            if literal.is_empty() && !pieces.is_empty() {
                return Err(FormError(format!("nothing stands before `{{{part}}}`")));
            }
            if !literal.is_empty() {
                pieces.push(Piece::Literal(literal.to_ascii_lowercase().into()));
            }
            pieces.push(Piece::Part(part.into()));
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Literal(rest.to_ascii_lowercase().into()));
        }
        let form = Self { source: source.into(), pieces };
        if form.cloud() == Cloud::Other {
            return Err(FormError("it is no ARN, ARM id or Google Cloud name".into()));
        }
        Ok(form)
    }

    /// The cloud whose names look like this.
    #[must_use]
    pub fn cloud(&self) -> Cloud {
        let head = self.source.to_ascii_lowercase();
        if head.starts_with("/subscriptions/") {
            Cloud::Azure
        } else if head.starts_with("arn:") || head.starts_with("aws") {
            Cloud::Aws
        } else if head.starts_with("//") {
            Cloud::Gcp
        } else {
            Cloud::Other
        }
    }

    /// The names of its parts.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Part(name) => Some(&**name),
            Piece::Literal(_) => None,
        })
    }

    /// What the name of `id` tells, where it has this form.
    #[must_use]
    pub fn read(&self, id: &ResourceId) -> Option<Target> {
        let mut parts = Map::new();
        let mut rest = id.as_str();
        let mut pieces = self.pieces.iter().peekable();
        while let Some(piece) = pieces.next() {
            match piece {
                Piece::Literal(literal) => {
                    let head = rest.get(..literal.len()).filter(|head| head.eq_ignore_ascii_case(literal))?;
                    rest = rest.get(head.len()..)?;
                }
                Piece::Part(name) => {
                    let end = rest.find(['/', ':']).unwrap_or(rest.len());
                    let (value, after) = rest.split_at_checked(end)?;
                    // What is left must be what the form has next, or nothing.
                    if pieces.peek().is_none() && !after.is_empty() {
                        return None;
                    }
                    // Regions and accounts are empty in some ARNs.
                    parts.insert(name.to_string(), value.into());
                    rest = after;
                }
            }
        }
        let named = parts.iter().all(|(name, value)| value != "" || matches!(name.as_str(), "region" | "account"));
        let partition = parts.get("partition").and_then(Value::as_str).unwrap_or_default();
        let lower = partition.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        (rest.is_empty() && named && lower).then(|| Target { id: id.clone(), cloud: self.cloud(), parts })
    }
}

impl Target {
    /// A part of its name; nothing, where it is empty.
    #[must_use]
    pub fn part(&self, name: &str) -> Option<&str> {
        self.parts.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }
}

impl fmt::Display for TargetForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(form: &str, id: &str, expected: Option<&[(&str, &str)]>) {
        let form = TargetForm::parse(form).expect("a form");
        let read = form.read(&ResourceId::new(id));
        let parts: Option<Vec<(String, String)>> = read.map(|target| {
            target.parts.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap_or("?").to_owned())).collect()
        });
        let expected =
            expected.map(|list| list.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<Vec<_>>());
        assert_eq!(parts, expected, "{id}");
    }

    #[test]
    fn names_tell_what_their_form_says() {
        check(
            "arn:{partition}:s3:::{name}",
            "arn:aws:s3:::acme-logs",
            Some(&[("partition", "aws"), ("name", "acme-logs")]),
        );
        check("arn:{partition}:s3:::{name}", "arn:aws:s3:::acme-logs/key", None);
        check(
            "arn:{partition}:ec2:{region}:{account}:snapshot/{name}",
            "arn:aws-cn:ec2:cn-north-1::snapshot/snap-1",
            Some(&[("partition", "aws-cn"), ("region", "cn-north-1"), ("account", ""), ("name", "snap-1")]),
        );
        check("arn:{partition}:ec2:{region}:{account}:snapshot/{name}", "arn:aws:ec2:eu-west-1:1:instance/i-1", None);
        check(
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Sql/servers/{name}",
            "/subscriptions/S/resourceGroups/G/providers/Microsoft.Sql/servers/N",
            Some(&[("subscription", "s"), ("group", "g"), ("name", "n")]),
        );
        check(
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Sql/servers/{name}",
            "/subscriptions/S/resourceGroups/G/providers/Microsoft.Sql/servers/N/databases/D",
            None,
        );
        check(
            "//storage.googleapis.com/{name}",
            "//storage.googleapis.com/projects/_/buckets/b",
            Some(&[("name", "b")]),
        );
    }

    #[test]
    fn what_is_no_form_is_refused() {
        let refused = |form: &str| TargetForm::parse(form).map(|_| ()).map_err(|error| error.to_string());
        assert_eq!(refused("arn:{partition"), Err("a `{` is not closed".into()));
        assert_eq!(refused("arn:{a}{b}"), Err("nothing stands before `{b}`".into()));
        assert_eq!(refused("s3 bucket"), Err("it is no ARN, ARM id or Google Cloud name".into()));
    }
}

//! AWS service descriptions as botocore publishes them, cut down to the operations in use.
//!
//! Source: `botocore/data/<service>/<version>/service-2.json`, Apache-2.0; see `data/NOTICE.md`.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::shape::{Kind, Member, ShapeRef, Shapes};

/// One service.
#[derive(Debug)]
pub struct Service {
    /// Its name in botocore's folders: `s3`, `lambda`.
    pub name: Box<str>,
    /// How it is called.
    pub metadata: Metadata,
    /// Its operations by name.
    pub operations: HashMap<Box<str>, Operation>,
    /// What their arguments and results may be.
    pub shapes: Shapes,
    /// How each shape looks on the wire: by name.
    pub wire: HashMap<Box<str>, WireShape>,
}

/// How a service is called.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// Its version, a date.
    pub api_version: Box<str>,
    /// The first part of its host names.
    pub endpoint_prefix: Box<str>,
    /// `1.0` or `1.1`.
    pub json_version: Option<Box<str>>,
    /// Its wire format.
    pub protocol: Protocol,
    /// Its id: `S3`, `CloudTrail`.
    pub service_id: Box<str>,
    /// What stands in signatures, where it is not the endpoint prefix.
    pub signing_name: Option<Box<str>>,
    /// What stands before the operation in `X-Amz-Target`.
    pub target_prefix: Option<Box<str>>,
    /// The default name space of its XML.
    pub xml_namespace: Option<XmlNamespace>,
    /// Whether errors are named as the query protocol named them.
    pub aws_query_compatible: Option<Value>,
}

/// The wire formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// awsJson 1.0 and 1.1.
    Json,
    /// restJson1.
    RestJson,
    /// restXml.
    RestXml,
    /// awsQuery.
    Query,
    /// ec2Query.
    Ec2,
}

/// A name space of XML: botocore writes a text or a map.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum XmlNamespace {
    /// Its address.
    Uri(Box<str>),
    /// Its address and what it is called.
    Prefixed {
        /// Its address.
        uri: Box<str>,
        /// What it is called.
        prefix: Option<Box<str>>,
    },
}

impl XmlNamespace {
    /// Its address, and what it is called.
    #[must_use]
    pub fn parts(&self) -> (&str, Option<&str>) {
        match self {
            Self::Uri(uri) => (uri, None),
            Self::Prefixed { uri, prefix } => (uri, prefix.as_deref()),
        }
    }
}

/// One operation.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// Method and path.
    pub http: Http,
    /// What it takes.
    pub input: Option<Target>,
    /// What it answers.
    pub output: Option<Target>,
    /// Checksums that requests must carry.
    pub http_checksum: Option<HttpChecksum>,
    /// The older form of the same.
    #[serde(default)]
    pub http_checksum_required: bool,
    /// What stands before the host's name.
    pub endpoint: Option<HostPrefix>,
    /// What the endpoint depends on, fixed.
    #[serde(default)]
    pub static_context_params: HashMap<Box<str>, ContextValue>,
}

/// Method and path of an operation.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Http {
    /// The method.
    pub method: Box<str>,
    /// The path, with labels and query.
    pub request_uri: Box<str>,
    /// The status of success.
    pub response_code: Option<u16>,
}

/// A reference to a shape.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Its name.
    pub shape: Box<str>,
    /// What the root element is called, where the shape's name is not it.
    pub location_name: Option<Box<str>>,
    /// Where the result is not wrapped as usual, or its element has a name of its own.
    pub result_wrapper: Option<Box<str>>,
    /// The name space of the root element.
    pub xml_namespace: Option<XmlNamespace>,
}

/// Which checksums a request carries.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpChecksum {
    /// Whether there must be one.
    #[serde(default)]
    pub request_checksum_required: bool,
}

/// What stands before a host's name.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostPrefix {
    /// With labels.
    pub host_prefix: Option<Box<str>>,
}

/// A value that an endpoint depends on.
#[derive(Debug, Deserialize)]
pub struct ContextValue {
    /// It.
    pub value: Value,
}

/// How a shape looks on the wire.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WireShape {
    /// Its type in botocore's words.
    #[serde(rename = "type")]
    pub kind: Box<str>,
    /// Of a structure: how its members look.
    pub members: Map<String, Value>,
    /// Of a structure: which must be there.
    pub required: Vec<Box<str>>,
    /// Of a list: its elements.
    pub member: Option<Box<WireMember>>,
    /// Of a map: its keys.
    pub key: Option<Box<WireMember>>,
    /// Of a map: its values.
    pub value: Option<Box<WireMember>>,
    /// Of a text: its words.
    #[serde(rename = "enum")]
    pub words: Vec<Box<str>>,
    /// Of a list or map: without an element around it.
    pub flattened: bool,
    /// Of a structure: whether exactly one member is there.
    pub union: bool,
    /// Of a structure: the member that is the body.
    pub payload: Option<Box<str>>,
    /// Its name on the wire.
    pub location_name: Option<Box<str>>,
    /// The name space of its element.
    pub xml_namespace: Option<XmlNamespace>,
    /// How a time is written.
    pub timestamp_format: Option<Box<str>>,
    /// Whether it is a document of any form.
    pub document: bool,
}

/// How a member looks on the wire.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WireMember {
    /// The name of its shape.
    pub shape: Box<str>,
    /// `uri`, `querystring`, `header`, `headers`, `statusCode`; the body, if absent.
    pub location: Option<Box<str>>,
    /// Its name there.
    pub location_name: Option<Box<str>>,
    /// Its name in ec2Query requests.
    pub query_name: Option<Box<str>>,
    /// Without an element around it.
    pub flattened: bool,
    /// An attribute of the element around it.
    pub xml_attribute: bool,
    /// The name space of its element.
    pub xml_namespace: Option<XmlNamespace>,
    /// How a time is written.
    pub timestamp_format: Option<Box<str>>,
    /// A text that makes repeated requests one.
    pub idempotency_token: bool,
    /// JSON, in Base64, in a header.
    pub jsonvalue: bool,
    /// What the endpoint calls it, where it depends on it.
    pub context_param: Option<ContextParam>,
    /// Part of the host's name.
    pub host_label: bool,
}

/// What an endpoint calls a member.
#[derive(Debug, Deserialize)]
pub struct ContextParam {
    /// That name.
    pub name: Box<str>,
}

#[derive(Deserialize)]
struct File {
    metadata: Metadata,
    operations: HashMap<Box<str>, Operation>,
    shapes: HashMap<Box<str>, WireShape>,
}

impl Service {
    /// Reads a description.
    pub(crate) fn parse(name: &str, json: &str) -> Result<Self, serde_json::Error> {
        let File { metadata, operations, shapes: wire } = serde_json::from_str(json)?;
        let mut shapes = Shapes::default();
        let mut names: Vec<&str> = wire.keys().map(|name| &**name).collect();
        names.sort_unstable();
        let refs: HashMap<&str, ShapeRef> = names.iter().map(|name| (*name, shapes.add(name, Kind::Any))).collect();
        let find = |name: &str| refs.get(name).copied();
        for name in names {
            let Some((shape, at)) = wire.get(name).zip(find(name)) else { continue };
            shapes.set(at, kind(shape, &find));
        }
        Ok(Self { name: name.into(), metadata, operations, shapes, wire })
    }

    /// The members of a structure as they look on the wire, in order.
    ///
    /// # Errors
    /// When the description is not as botocore writes them.
    pub fn wire_members(shape: &WireShape) -> Result<Vec<(&str, WireMember)>, serde_json::Error> {
        shape.members.iter().map(|(name, member)| Ok((name.as_str(), WireMember::deserialize(member)?))).collect()
    }

    /// What stands in signatures.
    #[must_use]
    pub fn signing_name(&self) -> &str {
        self.metadata.signing_name.as_deref().unwrap_or(&self.metadata.endpoint_prefix)
    }
}

fn kind(shape: &WireShape, find: &dyn Fn(&str) -> Option<ShapeRef>) -> Kind {
    let target = |member: &Option<Box<WireMember>>| member.as_ref().and_then(|member| find(&member.shape));
    match &*shape.kind {
        "structure" if shape.document => Kind::Any,
        "structure" => Kind::Structure {
            members: shape
                .members
                .iter()
                .filter_map(|(name, member)| {
                    Some(Member {
                        name: name.as_str().into(),
                        shape: find(member.get("shape")?.as_str()?)?,
                        // What makes repeated requests one is filled in for the caller.
                        required: shape.required.iter().any(|required| **required == **name)
                            && member.get("idempotencyToken").is_none(),
                        read_only: false,
                    })
                })
                .collect(),
            union: shape.union,
            open: false,
        },
        "list" => target(&shape.member).map_or(Kind::Any, Kind::List),
        "map" => target(&shape.value).map_or(Kind::Any, Kind::Map),
        "string" => Kind::Text { words: shape.words.clone(), open: false },
        "integer" | "long" => Kind::Whole,
        "float" | "double" => Kind::Number,
        "boolean" => Kind::Bool,
        "blob" => Kind::Blob,
        "timestamp" => Kind::Time,
        _ => Kind::Any,
    }
}

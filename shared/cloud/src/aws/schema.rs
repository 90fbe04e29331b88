//! The schemas of the SDK's runtime, made from a published service description.
//!
//! A schema of the runtime says how a value looks on the wire: names, places, forms. They are made
//! once for each service and direction and live as long as the program, as the descriptions do. A
//! member's schema does not point at its target's, so shapes that refer to themselves make no circle;
//! [`Entry`] is where the way goes on.

use std::collections::HashMap;

use amend_models::aws::{Metadata, Operation, Protocol, Service, Target, WireMember, WireShape};
use aws_smithy_schema::{
    Schema, ShapeId, ShapeType, intern_header_name,
    traits::{HttpTrait, TimestampFormat},
};

/// Which way values go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// To the cloud.
    Request,
    /// From the cloud.
    Response,
}

/// The schemas of one service in one direction, by the names of its shapes.
#[derive(Debug)]
pub(super) struct Schemas {
    entries: HashMap<&'static str, Entry>,
}

/// One shape: its schema and where the way goes on below it.
#[derive(Debug)]
pub(super) struct Entry {
    /// The schema, with no member's name: for roots and for elements of lists and maps.
    pub schema: &'static Schema<'static>,
    /// Of a structure: its members in order, and the names of their shapes.
    pub members: Vec<Link>,
    /// Of a list: its elements; of a map: its values.
    pub element: Option<Link>,
    /// Of a map: its keys.
    pub key: Option<Link>,
}

/// The way to another shape.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    /// The name of the member; empty for elements.
    pub name: &'static str,
    /// The name of the shape.
    pub shape: &'static str,
    /// The schema, as the member has it.
    pub schema: &'static Schema<'static>,
    /// Whether a missing value is made up, so that repeated requests are one.
    pub idempotency_token: bool,
    /// Whether it is JSON in Base64 in a header.
    pub json_in_header: bool,
    /// Whether it is a structure that is the body: written with its own schema.
    pub whole_body: bool,
}

impl Schemas {
    /// Makes them.
    ///
    /// # Errors
    /// When the description is not as botocore writes them.
    pub fn of(service: &'static Service, direction: Direction) -> Result<Self, serde_json::Error> {
        let maker = Maker { service, direction };
        let mut entries = HashMap::new();
        for (name, shape) in &service.wire {
            entries.insert(&**name, maker.entry(name, shape)?);
        }
        Ok(Self { entries })
    }

    /// The entry of a shape.
    pub fn get(&self, shape: &str) -> Option<&Entry> {
        self.entries.get(shape)
    }

    /// The schema of an operation's arguments: those of the shape, and method and path.
    pub fn input(&self, service: &Service, operation: &'static Operation, shape: Option<&Entry>) -> Schema<'static> {
        let members: &'static [&'static Schema<'static>] =
            Vec::leak(shape.map(|entry| entry.members.iter().map(|link| link.schema).collect()).unwrap_or_default());
        let id =
            shape.map_or(ShapeId::from_parts("amend#Nothing", "amend", "Nothing"), |e| e.schema.shape_id().clone());
        let path = path(service, operation, shape);
        let mut schema = Schema::new_struct(id, ShapeType::Structure, members).with_http(HttpTrait::new(
            &operation.http.method,
            keep_text(&path),
            operation.http.response_code,
        ));
        if let Some(Target { location_name, xml_namespace, .. }) = &operation.input {
            if let Some(name) = location_name {
                schema = schema.with_xml_name(name);
            }
            if let Some(namespace) = xml_namespace {
                let (uri, prefix) = namespace.parts();
                schema = schema.with_xml_namespace(uri, prefix);
            }
        }
        schema
    }
}

/// The path of an operation, with labels named as its members are. In S3 the endpoint holds the bucket.
fn path(service: &Service, operation: &'static Operation, shape: Option<&Entry>) -> String {
    let mut path = operation.http.request_uri.to_string();
    if &*service.name == "s3" {
        path = path.replacen("/{Bucket}", "", 1);
    }
    let wire = operation.input.as_ref().and_then(|target| service.wire.get(&target.shape));
    for link in shape.map(|entry| entry.members.as_slice()).unwrap_or_default() {
        let label = wire.and_then(|wire| wire.members.get(link.name)?.get("locationName")?.as_str());
        if let Some(label) = label.filter(|label| *label != link.name) {
            path = path
                .replace(&format!("{{{label}}}"), &format!("{{{}}}", link.name))
                .replace(&format!("{{{label}+}}"), &format!("{{{}+}}", link.name));
        }
    }
    if path.starts_with('/') { path } else { format!("/{path}") }
}

struct Maker {
    service: &'static Service,
    direction: Direction,
}

impl Maker {
    fn entry(&self, name: &'static str, shape: &'static WireShape) -> Result<Entry, serde_json::Error> {
        let id = id(self.service, name, None);
        let mut entry =
            Entry { schema: keep(Schema::new(id.clone(), kind(shape))), members: vec![], element: None, key: None };
        let schema = match &*shape.kind {
            "structure" if !shape.document => {
                for (index, (member_name, member)) in Service::wire_members(shape)?.into_iter().enumerate() {
                    let Some((target_name, target)) = self.service.wire.get_key_value(&member.shape) else { continue };
                    let member: &'static WireMember = keep(member);
                    let payload = shape.payload.as_deref() == Some(member_name);
                    entry.members.push(Link {
                        name: keep_text(member_name),
                        shape: target_name,
                        schema: keep(self.member(name, keep_text(member_name), index, member, target, payload)),
                        idempotency_token: member.idempotency_token,
                        json_in_header: member.jsonvalue && member.location.as_deref() == Some("header"),
                        whole_body: payload && &*target.kind == "structure",
                    });
                }
                let members: Vec<&'static Schema<'static>> = entry.members.iter().map(|link| link.schema).collect();
                let kind = if shape.union { ShapeType::Union } else { ShapeType::Structure };
                Schema::new_struct(id, kind, Vec::leak(members))
            }
            "list" => {
                entry.element = self.element(shape.member.as_deref(), "member");
                entry.element.map_or_else(
                    || Schema::new(id.clone(), ShapeType::List),
                    |link| Schema::new_list(id.clone(), link.schema),
                )
            }
            "map" => {
                entry.key = self.element(shape.key.as_deref(), "key");
                entry.element = self.element(shape.value.as_deref(), "value");
                match entry.key.zip(entry.element) {
                    Some((key, value)) => Schema::new_map(id, key.schema, value.schema),
                    None => Schema::new(id, ShapeType::Map),
                }
            }
            _ => Schema::new(id, kind(shape)),
        };
        let mut schema = with_time(schema, None, shape);
        if let Some(name) = &shape.location_name {
            schema = schema.with_xml_name(name);
        }
        if let Some(namespace) = &shape.xml_namespace {
            let (uri, prefix) = namespace.parts();
            schema = schema.with_xml_namespace(uri, prefix);
        }
        entry.schema = keep(schema);
        Ok(entry)
    }

    /// The elements of a list or map: named on the wire, but members of nothing.
    fn element(&self, member: Option<&'static WireMember>, usual: &'static str) -> Option<Link> {
        let member = member?;
        let (shape, target) = self.service.wire.get_key_value(&member.shape)?;
        let id = id(self.service, shape, Some(usual));
        let schema = Schema::new_member(id, kind(target), usual, 0);
        let schema = self.with_elements(schema, target);
        let schema =
            with_time(schema.with_xml_name(member.location_name.as_deref().unwrap_or(usual)), Some(member), target);
        Some(Link {
            name: "",
            shape,
            schema: keep(schema),
            idempotency_token: false,
            json_in_header: false,
            whole_body: false,
        })
    }

    fn member(
        &self,
        of: &'static str,
        name: &'static str,
        index: usize,
        member: &'static WireMember,
        target: &'static WireShape,
        payload: bool,
    ) -> Schema<'static> {
        let Metadata { protocol, .. } = &self.service.metadata;
        let mut schema = Schema::new_member(id(self.service, of, Some(name)), kind(target), name, index);
        schema = with_time(self.with_elements(schema, target), Some(member), target);
        if member.xml_attribute {
            schema = schema.with_xml_attribute();
        }
        // In botocore a name space stands with the member, or with its shape.
        if let Some(namespace) = member.xml_namespace.as_ref().or(target.xml_namespace.as_ref()) {
            let (uri, prefix) = namespace.parts();
            schema = schema.with_xml_namespace(uri, prefix);
        }
        let ec2_request = *protocol == Protocol::Ec2 && self.direction == Direction::Request;
        let flattened = member.flattened || target.flattened || ec2_request && &*target.kind == "list";
        if flattened {
            schema = schema.with_xml_flattened();
        }
        // A flattened list is named by its elements, where they have a name.
        let of_elements = target.member.as_ref().and_then(|element| element.location_name.as_deref());
        let plain = member.location_name.as_deref();
        let wire_name = if ec2_request {
            member.query_name.as_deref().or_else(|| plain.map(capitalised))
        } else if flattened && &*target.kind == "list" {
            of_elements.or(plain)
        } else {
            plain
        };
        if let Some(wire_name) = wire_name {
            schema = match protocol {
                Protocol::Json => schema,
                Protocol::RestJson => schema.with_json_name(wire_name),
                _ => schema.with_xml_name(wire_name),
            };
        }
        let place = member.location_name.as_deref().unwrap_or(name);
        match member.location.as_deref() {
            Some("uri") => schema = schema.with_http_label(),
            Some("querystring") if &*target.kind == "map" => schema = schema.with_http_query_params(),
            Some("querystring") => schema = schema.with_http_query(place),
            Some("header") => schema = schema.with_http_header(intern_header_name(place)),
            Some("headers") => schema = schema.with_http_prefix_headers(place),
            Some("statusCode") => schema = schema.with_http_response_code(),
            _ => {}
        }
        if payload {
            schema = schema.with_http_payload();
        }
        schema
    }

    /// Gives the schema of a member the elements of its list or map.
    fn with_elements(&self, schema: Schema<'static>, target: &'static WireShape) -> Schema<'static> {
        // One level is enough: what is below is written with the elements' own schemas.
        let shallow = |member: &'static WireMember, usual: &'static str| -> Option<&'static Schema<'static>> {
            let (shape, target) = self.service.wire.get_key_value(&member.shape)?;
            let schema = Schema::new_member(id(self.service, shape, Some(usual)), kind(target), usual, 0);
            Some(keep(with_time(
                schema.with_xml_name(member.location_name.as_deref().unwrap_or(usual)),
                Some(member),
                target,
            )))
        };
        match &*target.kind {
            "list" => match target.member.as_deref().and_then(|member| shallow(member, "member")) {
                Some(element) => schema.with_list_member(element),
                None => schema,
            },
            "map" => {
                let key = target.key.as_deref().and_then(|member| shallow(member, "key"));
                let value = target.value.as_deref().and_then(|member| shallow(member, "value"));
                match key.zip(value) {
                    Some((key, value)) => schema.with_map_members(key, value),
                    None => schema,
                }
            }
            _ => schema,
        }
    }
}

fn kind(shape: &WireShape) -> ShapeType {
    match &*shape.kind {
        "structure" if shape.document => ShapeType::Document,
        "structure" if shape.union => ShapeType::Union,
        "structure" => ShapeType::Structure,
        "list" => ShapeType::List,
        "map" => ShapeType::Map,
        "integer" => ShapeType::Integer,
        "long" => ShapeType::Long,
        "float" => ShapeType::Float,
        "double" => ShapeType::Double,
        "boolean" => ShapeType::Boolean,
        "blob" => ShapeType::Blob,
        "timestamp" => ShapeType::Timestamp,
        _ => ShapeType::String,
    }
}

fn with_time(schema: Schema<'static>, member: Option<&WireMember>, target: &WireShape) -> Schema<'static> {
    let format = member.and_then(|member| member.timestamp_format.as_deref()).or(target.timestamp_format.as_deref());
    match format {
        Some("iso8601") => schema.with_timestamp_format(TimestampFormat::DateTime),
        Some("unixTimestamp") => schema.with_timestamp_format(TimestampFormat::EpochSeconds),
        Some("rfc822") => schema.with_timestamp_format(TimestampFormat::HttpDate),
        _ => schema,
    }
}

fn id(service: &Service, shape: &str, member: Option<&str>) -> ShapeId<'static> {
    let namespace = keep_text(&format!("com.amazonaws.{}", service.name));
    match member {
        None => ShapeId::from_parts(keep_text(&format!("{namespace}#{shape}")), namespace, keep_text(shape)),
        Some(member) => {
            let whole = keep_text(&format!("{namespace}#{shape}${member}"));
            ShapeId::from_parts_with_member(whole, namespace, keep_text(shape), keep_text(member))
        }
    }
}

fn capitalised(name: &'static str) -> &'static str {
    let mut letters = name.chars();
    match letters.next() {
        Some(first) if first.is_lowercase() => keep_text(&first.to_uppercase().chain(letters).collect::<String>()),
        _ => name,
    }
}

/// Keeps a value for the life of the program. Only descriptions come here, once each.
fn keep<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

fn keep_text(text: &str) -> &'static str {
    Box::leak(Box::from(text))
}

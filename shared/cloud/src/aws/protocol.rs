//! Requests to bytes and bytes to responses, in the five wire formats of AWS: four of the SDK's
//! runtime, and ec2Query from the parts of two of them.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use amend_models::{
    Api, Call,
    aws::{Metadata, Operation, Protocol, Service},
};
use aws_smithy_json::protocol::{aws_json_rpc::AwsJsonRpcProtocol, aws_rest_json_1::AwsRestJsonProtocol};
use aws_smithy_query::{codec::QueryShapeSerializer, protocol::AwsQueryProtocol};
use aws_smithy_runtime_api::{
    client::orchestrator::{HttpRequest, HttpResponse, Metadata as OperationName},
    http::{Request, StatusCode},
};
use aws_smithy_schema::{
    Schema,
    codec::{Codec as _, FinishSerializer as _},
    protocol::ClientProtocol,
    serde::{SerdeError, ShapeSerializer as _},
};
use aws_smithy_types::{
    body::SdkBody,
    config_bag::{ConfigBag, Layer},
    date_time::Format,
    error::{ErrorMetadata, metadata::Builder},
};
use aws_smithy_xml::{
    codec::{XmlCodec, XmlCodecSettings},
    decode::{Document, try_data},
    protocol::aws_rest_xml::AwsRestXmlProtocol,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{
    schema::{Direction, Link, Schemas},
    value::{Sent, read},
};

/// One operation, ready to be written and read.
pub(super) struct Wire {
    service: &'static Service,
    name: &'static str,
    operation: &'static Operation,
    requests: Arc<Schemas>,
    responses: Arc<Schemas>,
    input: &'static Schema<'static>,
    form: Form,
    names: ConfigBag,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("service", &self.service.name).field("name", &self.name).finish_non_exhaustive()
    }
}

enum Form {
    Sdk { protocol: Box<dyn ClientProtocol>, errors: Option<AwsRestXmlProtocol> },
    Ec2 { version: String },
}

type Known<K, V> = OnceLock<Mutex<HashMap<K, V>>>;

impl Wire {
    /// What is needed for `call`, made when it is first asked for.
    ///
    /// # Errors
    /// When the call is not one of AWS, or its description is not as botocore writes them.
    pub fn of(call: &Call) -> Result<Arc<Self>, SerdeError> {
        static KNOWN: Known<(usize, &'static str), Arc<Wire>> = OnceLock::new();
        let Api::Aws { service, name, operation } = call.api else {
            return Err(SerdeError::invalid_input("not an operation of AWS"));
        };
        let key = (std::ptr::from_ref(service).addr(), name);
        let known = || KNOWN.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(wire) = known().get(&key) {
            return Ok(Arc::clone(wire));
        }
        let wire = Arc::new(Self::make(service, name, operation)?);
        known().insert(key, Arc::clone(&wire));
        Ok(wire)
    }

    fn make(service: &'static Service, name: &'static str, operation: &'static Operation) -> Result<Self, SerdeError> {
        let requests = schemas(service, Direction::Request)?;
        let shape = operation.input.as_ref().and_then(|target| requests.get(&target.shape));
        let input = Box::leak(Box::new(requests.input(service, operation, shape)));
        let mut layer = Layer::new("names");
        layer.store_put(OperationName::new(name, &*service.name));
        Ok(Self {
            service,
            name,
            operation,
            responses: schemas(service, Direction::Response)?,
            input,
            form: form(&service.metadata, input),
            names: ConfigBag::of_layers(vec![layer]),
            requests,
        })
    }

    /// The request, without its host. `token` is made up for members that make repeated requests one.
    ///
    /// # Errors
    /// When `args` are not what the operation takes.
    pub fn request(&self, args: &Value, token: &str) -> Result<HttpRequest, SerdeError> {
        let entry = self.operation.input.as_ref().and_then(|target| self.requests.get(&target.shape));
        let skips_empty = matches!(self.form, Form::Ec2 { .. });
        let sent = Sent { schemas: &self.requests, entry, schema: self.input, value: args, skips_empty, token };
        let mut request = match &self.form {
            Form::Sdk { protocol, .. } => protocol.serialize_request(&sent, self.input, "", &self.names)?,
            Form::Ec2 { version } => ec2_request(self.name, version, &sent)?,
        };
        self.finish(&mut request, args)?;
        Ok(request)
    }

    /// What the formats leave to whoever calls.
    fn finish(&self, request: &mut HttpRequest, args: &Value) -> Result<(), SerdeError> {
        let wire = self.operation.input.as_ref().and_then(|target| self.service.wire.get(&target.shape));
        let payload = wire.and_then(|wire| Some((wire, wire.payload.as_deref()?)));
        if let Some((wire, payload)) = payload {
            let shape = wire.members.get(payload).and_then(|member| member.get("shape")?.as_str());
            let kind = shape.and_then(|shape| Some(&*self.service.wire.get(shape)?.kind));
            let absent = args.get(payload).is_none_or(Value::is_null);
            match kind {
                Some("structure") if absent && self.service.metadata.protocol == Protocol::RestJson => {
                    *request.body_mut() = SdkBody::from("{}");
                }
                Some("string") if !absent && request.headers().get("Content-Type").is_none() => {
                    request.headers_mut().insert("Content-Type", "text/plain");
                }
                Some("blob") if !absent && request.headers().get("Content-Type").is_none() => {
                    request.headers_mut().insert("Content-Type", "application/octet-stream");
                }
                _ => {}
            }
        }
        let checksum = self.operation.http_checksum.as_ref().is_some_and(|checksum| checksum.request_checksum_required);
        if checksum || self.operation.http_checksum_required {
            let body = request.body().bytes().unwrap_or_default();
            let sum = STANDARD.encode(crc32fast::hash(body).to_be_bytes());
            request.headers_mut().insert("x-amz-sdk-checksum-algorithm", "CRC32");
            request.headers_mut().insert("x-amz-checksum-crc32", sum);
        }
        if self.service.metadata.aws_query_compatible.is_some() {
            request.headers_mut().insert("x-amzn-query-mode", "true");
        }
        Ok(())
    }

    /// What stands before the name of the host, where the operation asks for it.
    pub fn host_prefix(&self, args: &Value) -> Option<String> {
        let mut prefix = self.operation.endpoint.as_ref()?.host_prefix.as_deref()?.to_owned();
        for (name, value) in args.as_object()? {
            prefix = prefix.replace(&format!("{{{name}}}"), value.as_str().unwrap_or_default());
        }
        Some(prefix)
    }

    /// What a successful response says.
    ///
    /// # Errors
    /// When it is not what the operation answers.
    pub fn response(&self, response: &HttpResponse) -> Result<Value, SerdeError> {
        let Some(target) = &self.operation.output else { return Ok(Value::Null) };
        let Some(entry) = self.responses.get(&target.shape) else { return Ok(Value::Null) };
        let text_payload = entry.members.iter().any(|link| link.schema.http_payload().is_some() && !link.whole_body);
        let in_body = |link: &Link| link.schema.http_header().is_none() && link.schema.http_response_code().is_none();
        if !matches!(self.service.metadata.protocol, Protocol::Json | Protocol::RestJson)
            && !text_payload
            && entry.members.iter().any(in_body)
        {
            whole_xml(self.name, self.service.metadata.protocol, response.body().bytes().unwrap_or_default())?;
        }
        let wrapped;
        let response = if self.is_unwrapped() {
            wrapped = in_its_structure(response, &target.shape)?;
            &wrapped
        } else {
            response
        };
        match &self.form {
            Form::Sdk { protocol, .. } => {
                let mut from = protocol.deserialize_response(response, entry.schema, &self.names)?;
                read(&self.responses, entry, entry.schema, &mut *from)
            }
            Form::Ec2 { .. } => {
                let codec = xml();
                let mut from = codec.create_deserializer(response.body().bytes().unwrap_or_default());
                read(&self.responses, entry, entry.schema, &mut from)
            }
        }
    }

    /// Whether the root of an answer is not the output's structure, but its only member: the trait
    /// `aws.customizations#s3UnwrappedXmlOutput`, which the description does not tell.
    /// Source: <https://smithy.io/2.0/aws/customizations/s3-customizations.html>.
    fn is_unwrapped(&self) -> bool {
        &*self.service.metadata.service_id == "S3" && self.name == "GetBucketLocation"
    }

    /// What an unsuccessful response says: the error's code and message, as far as they can be read.
    pub fn error(&self, response: &HttpResponse) -> ErrorMetadata {
        let read = match &self.form {
            Form::Sdk { errors: Some(xml), .. } => ClientProtocol::parse_error_metadata(xml, response, &self.names),
            Form::Sdk { protocol, .. } => protocol.parse_error_metadata(response, &self.names),
            Form::Ec2 { .. } => ec2_error(response),
        };
        let read = read.unwrap_or_default().build();
        // Services that once spoke the query protocol keep its codes: `Code;Sender`.
        let old = response.headers().get("x-amzn-query-error").and_then(|value| value.split(';').next());
        let old = old.filter(|_| self.service.metadata.aws_query_compatible.is_some());
        let code = old.or(read.code()).map_or_else(|| http_code(response.status()), ToOwned::to_owned);
        ErrorMetadata::builder().code(code).message(read.message().unwrap_or_default()).build()
    }
}

/// Whether a body is one whole XML document of the operation. What is not, such as a proxy's page, says
/// nothing about the resource; the runtime's reader would find nothing in it, and take that for an answer.
fn whole_xml(operation: &str, protocol: Protocol, body: &[u8]) -> Result<(), SerdeError> {
    let wrong = |what: &str| SerdeError::invalid_input(format!("the answer is {what}"));
    let text = std::str::from_utf8(body).map_err(|_| wrong("no text"))?;
    let (mut open, mut root, mut name) = (Vec::new(), None, "");
    for token in xmlparser::Tokenizer::from(text) {
        match token.map_err(|_| wrong("no whole XML"))? {
            xmlparser::Token::ElementStart { local, .. } => {
                name = local.as_str();
                if open.is_empty() && root.replace(name).is_some() {
                    return Err(wrong("no single XML document"));
                }
            }
            xmlparser::Token::ElementEnd { end, .. } => match end {
                xmlparser::ElementEnd::Open => open.push(name),
                xmlparser::ElementEnd::Empty => {}
                xmlparser::ElementEnd::Close(_, local) if open.pop() == Some(local.as_str()) => {}
                xmlparser::ElementEnd::Close(..) => return Err(wrong("no whole XML")),
            },
            xmlparser::Token::DtdStart { .. } | xmlparser::Token::EmptyDtd { .. } => {
                return Err(wrong("XML with a document type"));
            }
            _ => {}
        }
    }
    let root = root.filter(|_| open.is_empty()).ok_or_else(|| wrong("no whole XML"))?;
    let expected = match protocol {
        Protocol::Ec2 | Protocol::Query => root == format!("{operation}Response"),
        _ => !root.eq_ignore_ascii_case("html"),
    };
    if expected { Ok(()) } else { Err(wrong(&format!("of another kind: `{root}`"))) }
}

/// The same answer, its root within the structure that it is a member of.
fn in_its_structure(response: &HttpResponse, structure: &str) -> Result<HttpResponse, SerdeError> {
    let text = std::str::from_utf8(response.body().bytes().unwrap_or_default());
    let text = text.map_err(|_| SerdeError::invalid_input("the answer is no text"))?;
    let root = match text.trim_start().strip_prefix("<?") {
        Some(declared) => declared.split_once("?>").map_or("", |(_, root)| root),
        None => text,
    };
    let mut wrapped = HttpResponse::new(response.status(), format!("<{structure}>{root}</{structure}>").into());
    *wrapped.headers_mut() = response.headers().clone();
    Ok(wrapped)
}

/// HEAD requests and intermediaries answer without a body.
fn http_code(status: StatusCode) -> String {
    match status.as_u16() {
        301 | 302 | 307 | 308 => "Redirect".to_owned(),
        404 => "NotFound".to_owned(),
        status => format!("Http{status}"),
    }
}

fn schemas(service: &'static Service, direction: Direction) -> Result<Arc<Schemas>, SerdeError> {
    static KNOWN: Known<(usize, bool), Arc<Schemas>> = OnceLock::new();
    let key = (std::ptr::from_ref(service).addr(), direction == Direction::Request);
    let known = || KNOWN.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(schemas) = known().get(&key) {
        return Ok(Arc::clone(schemas));
    }
    let made = Schemas::of(service, direction).map_err(|error| SerdeError::invalid_input(error.to_string()))?;
    let made = Arc::new(made);
    known().insert(key, Arc::clone(&made));
    Ok(made)
}

fn form(metadata: &Metadata, input: &Schema<'static>) -> Form {
    let sdk = |protocol: Box<dyn ClientProtocol>| Form::Sdk { protocol, errors: None };
    match metadata.protocol {
        Protocol::Json => {
            let one_one = metadata.json_version.as_deref() == Some("1.1");
            let protocol =
                if one_one { AwsJsonRpcProtocol::aws_json_1_1() } else { AwsJsonRpcProtocol::aws_json_1_0() };
            sdk(Box::new(protocol.with_target_prefix(metadata.target_prefix.as_deref().unwrap_or_default())))
        }
        Protocol::RestJson => sdk(Box::new(AwsRestJsonProtocol::new())),
        Protocol::RestXml => {
            // S3 sends its errors bare.
            let mut protocol = AwsRestXmlProtocol::new().with_no_error_wrapping(&*metadata.service_id == "S3");
            let payload = input.members().iter().find(|member| member.http_payload().is_some());
            let of_payload = payload.and_then(|member| member.xml_namespace());
            let of_service = metadata.xml_namespace.as_ref().map(amend_models::aws::XmlNamespace::parts);
            let namespace = of_payload.map(|namespace| (namespace.uri(), namespace.prefix())).or(of_service);
            if let Some((uri, prefix)) = namespace {
                protocol = protocol.with_service_xml_namespace(uri, prefix.map(ToOwned::to_owned));
            }
            sdk(Box::new(protocol))
        }
        // The runtime's awsQuery does not read errors; they look as those of restXml do.
        Protocol::Query => Form::Sdk {
            protocol: Box::new(AwsQueryProtocol::new().with_service_version(&*metadata.api_version)),
            errors: Some(AwsRestXmlProtocol::new()),
        },
        Protocol::Ec2 => Form::Ec2 { version: metadata.api_version.to_string() },
    }
}

fn xml() -> XmlCodec {
    XmlCodec::new(XmlCodecSettings::builder().default_timestamp_format(Format::DateTime).build())
}

/// ec2Query is awsQuery with every list flattened and other names; its schemas say both.
fn ec2_request(action: &str, version: &str, sent: &Sent<'_>) -> Result<HttpRequest, SerdeError> {
    let mut out = QueryShapeSerializer::new(action, version);
    out.write_struct(sent.schema, sent)?;
    let failed = |error: &dyn fmt::Display| SerdeError::custom(error.to_string());
    let mut request = Request::new(SdkBody::from(out.finish()));
    request.set_method("POST").map_err(|error| failed(&error))?;
    request.set_uri("/").map_err(|error| failed(&error))?;
    request.headers_mut().insert("Content-Type", "application/x-www-form-urlencoded");
    Ok(request)
}

/// `<Response><Errors><Error><Code>…</Code><Message>…</Message></Error></Errors></Response>`
fn ec2_error(response: &HttpResponse) -> Result<Builder, SerdeError> {
    let failed = |error: &dyn fmt::Display| SerdeError::invalid_input(error.to_string());
    let text = std::str::from_utf8(response.body().bytes().unwrap_or_default()).map_err(|error| failed(&error))?;
    let mut found = ErrorMetadata::builder();
    let mut document = Document::new(text);
    let mut root = document.root_element().map_err(|error| failed(&error))?;
    while let Some(mut errors) = root.next_tag() {
        if errors.start_el().local() != "Errors" {
            continue;
        }
        while let Some(mut error) = errors.next_tag() {
            while let Some(mut member) = error.next_tag() {
                let name = member.start_el().local().to_owned();
                let text = try_data(&mut member).map_err(|error| failed(&error))?;
                match name.as_str() {
                    "Code" => found = found.code(text.as_ref()),
                    "Message" => found = found.message(text.as_ref()),
                    _ => {}
                }
            }
        }
    }
    Ok(found)
}

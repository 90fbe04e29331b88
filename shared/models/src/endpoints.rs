//! Interprets the endpoint rule sets that AWS publishes for its services.
//!
//! A [`RuleSet`] turns parameters such as `Region`, `UseFIPS` or `Bucket` into an [`Endpoint`]. Where botocore and the
//! Smithy specification differ, rules mean what they mean to botocore.

use regex::Regex;
use serde_json::{Map, Value, json};
use std::{error, fmt, net::Ipv6Addr};

/// The authentication schemes to take before any other that an endpoint offers.
const SIGNERS: [&str; 2] = ["sigv4", "sigv4-s3express"];

/// Why there is no endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointError {
    /// The partitions or the rules do not follow their format.
    Malformed(String),
    /// The parameter is required, but not set.
    Missing(String),
    /// The parameter has a value of another type than declared.
    Mistyped(String),
    /// A rule refuses the parameters, with this message.
    Refused(String),
    /// No rule matches the parameters.
    NoMatch,
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(reason) => write!(f, "malformed endpoint rules: {reason}"),
            Self::Missing(name) => write!(f, "endpoint parameter `{name}` is required but not set"),
            Self::Mistyped(name) => write!(f, "endpoint parameter `{name}` has a value of the wrong type"),
            Self::Refused(message) => write!(f, "no endpoint for these parameters: {message}"),
            Self::NoMatch => f.write_str("no endpoint rule matches the parameters"),
        }
    }
}

impl error::Error for EndpointError {}

type Result<T> = std::result::Result<T, EndpointError>;

/// Where a call goes and how it is signed. What is `None` is up to the service's model and the client's region.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// The base URL, which the operation's path is appended to.
    pub url: String,
    /// The scheme to sign with: `sigv4`, `sigv4-s3express`, or another if the endpoint takes neither.
    pub auth_scheme: Option<String>,
    /// The service name to sign for.
    pub signing_name: Option<String>,
    /// The region to sign for; for `sigv4a`, a comma-separated set.
    pub signing_region: Option<String>,
    /// Whether signing must not encode the path a second time.
    pub disable_double_encoding: bool,
    /// Whether signing must not normalize the path.
    pub disable_normalize_path: bool,
    /// Headers to add to the request.
    pub headers: Vec<(String, String)>,
}

/// A group of regions.
#[derive(Clone, Debug)]
pub struct Partition {
    /// `name`, `dnsSuffix`, `dualStackDnsSuffix`, `supportsFIPS`, `supportsDualStack` and `implicitGlobalRegion`.
    pub attributes: Map<String, Value>,
    regions: Map<String, Value>,
    pattern: Regex,
}

/// All partitions.
#[derive(Clone, Debug)]
pub struct Partitions(Vec<Partition>);

impl Partitions {
    /// Reads a `partitions.json`.
    pub fn parse(json: &str) -> Result<Self> {
        let document = serde_json::from_str(json).map_err(malformed)?;
        let mut partitions = Vec::new();
        for partition in get(&document, "partitions", Value::as_array)? {
            let mut attributes = get(partition, "outputs", Value::as_object)?.clone();
            attributes.insert("name".to_owned(), get(partition, "id", Some)?.clone());
            let regions = get(partition, "regions", Value::as_object)?.clone();
            let pattern = Regex::new(get(partition, "regionRegex", Value::as_str)?).map_err(malformed)?;
            partitions.push(Partition { attributes, regions, pattern });
        }
        Ok(Self(partitions))
    }

    /// The partition that lists the region or whose pattern matches it, else the first one.
    pub fn of(&self, region: &str) -> Option<&Partition> {
        let has = |it: &&Partition| it.regions.contains_key(region) || it.pattern.is_match(region);
        self.0.iter().find(has).or(self.0.first())
    }

    /// The region that answers for the global services of a partition.
    pub fn home_region(&self, partition: &str) -> Option<&str> {
        let named = |it: &&Partition| it.attributes.get("name").and_then(Value::as_str) == Some(partition);
        self.0.iter().find(named)?.attributes.get("implicitGlobalRegion")?.as_str()
    }
}

/// The endpoint rules of one service.
#[derive(Clone, Debug)]
pub struct RuleSet {
    parameters: Map<String, Value>,
    rules: Vec<Value>,
}

impl RuleSet {
    /// Reads an `endpoint-rule-set-1.json`. Its rules are checked as they are used. They nest no deeper than the 128
    /// levels that `serde_json` reads, which bounds the recursion of [`resolve`](Self::resolve).
    pub fn parse(json: &str) -> Result<Self> {
        let document = serde_json::from_str(json).map_err(malformed)?;
        let parameters = get(&document, "parameters", Value::as_object)?.clone();
        let rules = get(&document, "rules", Value::as_array)?.clone();
        Ok(Self { parameters, rules })
    }

    /// The parameters, each with the setting that it defaults to, such as `AWS::Region` or `SDK::Endpoint`.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let parameters = self.parameters.iter();
        parameters.map(|(name, declared)| (name.as_str(), string_at(declared, "builtIn")))
    }

    /// Finds the endpoint. Declared parameters that are not given have their default, undeclared ones are ignored.
    pub fn resolve(&self, parameters: &Map<String, Value>, partitions: &Partitions) -> Result<Endpoint> {
        let mut scope = Scope { partitions, variables: Vec::new() };
        for (name, declared) in &self.parameters {
            let given = parameters.get(name).filter(|value| !value.is_null());
            let Some(value) = given.or(declared.get("default")) else {
                if is_true_at(declared, "required") {
                    return Err(EndpointError::Missing(name.clone()));
                }
                continue;
            };
            let fits = match get(declared, "type", Value::as_str)? {
                "string" | "String" => value.is_string(),
                "boolean" | "Boolean" => value.is_boolean(),
                _ => value.is_array(),
            };
            if !fits {
                return Err(EndpointError::Mistyped(name.clone()));
            }
            scope.variables.push((name, value.clone()));
        }
        scope.rules(&self.rules)?.ok_or(EndpointError::NoMatch)
    }
}

/// What rules are evaluated with.
struct Scope<'a> {
    partitions: &'a Partitions,
    variables: Vec<(&'a str, Value)>,
}

impl<'a> Scope<'a> {
    /// The endpoint of the first rule that has one. What a rule assigns is gone after it.
    fn rules(&mut self, rules: &'a [Value]) -> Result<Option<Endpoint>> {
        let outer = self.variables.len();
        for rule in rules {
            if let Some(endpoint) = self.rule(rule)? {
                return Ok(Some(endpoint));
            }
            self.variables.truncate(outer);
        }
        Ok(None)
    }

    fn rule(&mut self, rule: &'a Value) -> Result<Option<Endpoint>> {
        for condition in get(rule, "conditions", Value::as_array)? {
            if !is_met(&self.value(condition)?) {
                return Ok(None);
            }
        }
        match get(rule, "type", Value::as_str)? {
            "tree" => self.rules(get(rule, "rules", Value::as_array)?),
            "endpoint" => self.endpoint(get(rule, "endpoint", Some)?).map(Some),
            "error" => Err(EndpointError::Refused(self.string(get(rule, "error", Some)?)?)),
            other => Err(malformed(format!("`{other}` is not a type of rule"))),
        }
    }

    fn endpoint(&mut self, rule: &'a Value) -> Result<Endpoint> {
        let mut endpoint = Endpoint { url: self.string(get(rule, "url", Some)?)?, ..Endpoint::default() };
        for (name, values) in rule.get("headers").and_then(Value::as_object).into_iter().flatten() {
            for value in values.as_array().into_iter().flatten() {
                endpoint.headers.push((name.clone(), self.string(value)?));
            }
        }
        let schemes = rule.pointer("/properties/authSchemes").and_then(Value::as_array);
        let schemes = schemes.map(Vec::as_slice).unwrap_or_default();
        let preferred = |scheme: &&Value| string_at(scheme, "name").is_some_and(|name| SIGNERS.contains(&name));
        let Some(scheme) = schemes.iter().find(preferred).or(schemes.first()) else {
            return Ok(endpoint);
        };
        let mut string = |key| scheme.get(key).map(|value| self.string(value)).transpose();
        endpoint.auth_scheme = string("name")?;
        endpoint.signing_name = string("signingName")?;
        endpoint.signing_region = string("signingRegion")?;
        if let Some(regions) = scheme.get("signingRegionSet").and_then(Value::as_array) {
            let regions = regions.iter().map(|region| self.string(region));
            endpoint.signing_region = Some(regions.collect::<Result<Vec<_>>>()?.join(","));
        }
        endpoint.disable_double_encoding = is_true_at(scheme, "disableDoubleEncoding");
        endpoint.disable_normalize_path = is_true_at(scheme, "disableNormalizePath");
        Ok(endpoint)
    }

    fn string(&mut self, expression: &'a Value) -> Result<String> {
        match self.value(expression)? {
            Value::String(string) => Ok(string),
            other => Err(malformed(format!("{expression} is {other}, not a string"))),
        }
    }

    /// The value of a template, a reference, a function call or a literal.
    fn value(&mut self, expression: &'a Value) -> Result<Value> {
        match (expression, string_at(expression, "ref")) {
            (Value::String(template), _) => self.expand(template).map(Value::String),
            (Value::Object(_), Some(name)) => Ok(self.variable(name).cloned().unwrap_or_default()),
            (Value::Object(_), None) => self.call(expression),
            _ => Ok(expression.clone()),
        }
    }

    fn variable(&self, name: &str) -> Option<&Value> {
        self.variables.iter().find(|it| it.0 == name).map(|it| &it.1)
    }

    /// Replaces `{name}` and `{name#attribute}`. A doubled brace stands for itself.
    fn expand(&self, template: &str) -> Result<String> {
        let mut expanded = String::new();
        for (index, piece) in template.split_inclusive(['{', '}']).enumerate() {
            let inner = piece.trim_end_matches(['{', '}']);
            if index % 2 == 0 || inner.is_empty() {
                expanded.push_str(if index % 2 == 0 { inner } else { piece });
                continue;
            }
            let (name, path) = inner.split_once('#').unwrap_or((inner, ""));
            let value = self.variable(name).and_then(|value| attribute(value, path));
            let string = value.and_then(Value::as_str);
            expanded.push_str(string.ok_or_else(|| malformed(format!("`{inner}` is no string for a template")))?);
        }
        Ok(expanded)
    }

    fn call(&mut self, call: &'a Value) -> Result<Value> {
        use Value::{Bool, String as Text};
        let arguments = get(call, "argv", Value::as_array)?.iter();
        let arguments = arguments.map(|it| self.value(it)).collect::<Result<Vec<_>>>()?;
        let string = arguments.first().and_then(Value::as_str);
        let result = match (get(call, "fn", Value::as_str)?, arguments.as_slice()) {
            ("isSet", [value]) => Bool(!value.is_null()),
            ("not", [value]) => Bool(!is_met(value)),
            ("booleanEquals", [Bool(left), Bool(right)]) => Bool(left == right),
            ("stringEquals", [Text(left), Text(right)]) => Bool(left == right),
            ("getAttr", [value, Text(path)]) => attribute(value, path).cloned().unwrap_or_default(),
            ("substring", [Text(text), start, stop, Bool(reverse)]) => substring(text, start, stop, *reverse).into(),
            ("uriEncode", [_]) => string.map(encode).into(),
            ("parseURL", [_]) => string.and_then(parse_url).into(),
            ("isValidHostLabel", [_, Bool(dots)]) => Bool(string.is_some_and(|it| is_label(it, *dots))),
            ("aws.parseArn", [_]) => string.and_then(parse_arn).into(),
            ("aws.partition", [_]) => {
                let partition = self.partitions.of(string.unwrap_or_default());
                partition.map(|partition| partition.attributes.clone()).into()
            }
            ("aws.isVirtualHostableS3Bucket", [_, Bool(dots)]) => Bool(string.is_some_and(|it| is_hostable(it, *dots))),
            (name, _) => return Err(malformed(format!("`{name}` is not a function of {arguments:?}"))),
        };
        if let Some(name) = string_at(call, "assign") {
            if self.variable(name).is_some() {
                return Err(malformed(format!("`{name}` is assigned twice")));
            }
            self.variables.push((name, result.clone()));
        }
        Ok(result)
    }
}

fn malformed(reason: impl fmt::Display) -> EndpointError {
    EndpointError::Malformed(reason.to_string())
}

/// Reads a required field.
fn get<'v, T>(value: &'v Value, key: &str, read: fn(&'v Value) -> Option<T>) -> Result<T> {
    let field = value.get(key).and_then(read);
    field.ok_or_else(|| malformed(format!("`{key}` is missing or has the wrong type")))
}

fn string_at<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key)?.as_str()
}

fn is_true_at(value: &Value, key: &str) -> bool {
    value.get(key) == Some(&Value::Bool(true))
}

/// Whether a condition with this result is met.
fn is_met(result: &Value) -> bool {
    !matches!(result, Value::Null | Value::Bool(false))
}

/// The part of a value at a path such as `name`, `[0]` or `outer.name[0]`.
fn attribute<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    let mut steps = path.split(['.', '[']).filter(|step| !step.is_empty());
    steps.try_fold(value, |value, step| match step.strip_suffix(']') {
        Some(index) => value.get(index.parse::<usize>().ok()?),
        None => value.get(step),
    })
}

fn substring(text: &str, start: &Value, stop: &Value, reverse: bool) -> Option<String> {
    let index = |value: &Value| usize::try_from(value.as_u64()?).ok();
    let (mut start, mut stop) = (index(start)?, index(stop)?);
    if start >= stop || !text.is_ascii() {
        return None;
    }
    if reverse {
        (start, stop) = (text.len().checked_sub(stop)?, text.len().checked_sub(start)?);
    }
    text.get(start..stop).map(str::to_owned)
}

fn encode(text: &str) -> String {
    let encode = |byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

fn parse_arn(text: &str) -> Option<Value> {
    let parts = text.splitn(6, ':').collect::<Vec<_>>();
    let ["arn", partition, service, region, account, resource] = *parts.as_slice() else {
        return None;
    };
    if partition.is_empty() || service.is_empty() || resource.is_empty() {
        return None;
    }
    let resource = resource.split([':', '/']).collect::<Vec<_>>();
    Some(json!({
        "partition": partition,
        "service": service,
        "region": region,
        "accountId": account,
        "resourceId": resource,
    }))
}

fn parse_url(text: &str) -> Option<Value> {
    let (scheme, rest) = text.split('#').next()?.split_once("://")?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit('@').next()?;
    let (host, port) = match host.strip_prefix('[') {
        Some(host) => host.split_once(']')?,
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let (scheme, port) = (scheme.to_ascii_lowercase(), port.strip_prefix(':').unwrap_or(port));
    let known = matches!(scheme.as_str(), "http" | "https") && query.is_empty() && !host.is_empty();
    if !known || port.starts_with('+') || !port.is_empty() && port.parse::<u16>().is_err() {
        return None;
    }
    let mut segments = Vec::new();
    for segment in path.split('/').filter(|segment| !matches!(*segment, "" | ".")) {
        if segment == ".." {
            segments.pop();
        } else {
            segments.push(encode(segment) + "/");
        }
    }
    Some(json!({
        "scheme": scheme,
        "authority": authority,
        "path": path,
        "normalizedPath": format!("/{}", segments.concat()),
        "isIp": is_ipv4(host) || host.split('%').next()?.parse::<Ipv6Addr>().is_ok(),
    }))
}

/// Whether the text looks like an IPv4 address, even one with too large numbers.
fn is_ipv4(text: &str) -> bool {
    let is_number = |part: &str| matches!(part.len(), 1..=3) && part.bytes().all(|byte| byte.is_ascii_digit());
    text.split('.').count() == 4 && text.split('.').all(is_number)
}

fn is_label(text: &str, dots: bool) -> bool {
    let is_label = |label: &str| {
        let fits = matches!(label.len(), 1..=63) && !label.starts_with('-') && !label.ends_with('-');
        fits && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    (dots || !text.contains('.')) && text.split('.').all(is_label)
}

/// Whether a bucket name can be a part of the host name.
fn is_hostable(bucket: &str, dots: bool) -> bool {
    let lowercase = !bucket.bytes().any(|byte| byte.is_ascii_uppercase());
    bucket.len() >= 3 && lowercase && !is_ipv4(bucket) && is_label(bucket, dots)
}

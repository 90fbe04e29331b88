//! Methods of Google's APIs, as their discovery documents describe them.
//!
//! Source: google-api-python-client on PyPI, Apache-2.0; see `data/NOTICE.md`.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    Api, Cache, Call, ModelError, ShapeRef, Shapes, extend_hint, names_in, object, schema,
    uri::{encoded, encoded_path, plain},
};

/// One API.
#[derive(Debug)]
pub struct Service {
    /// Its address: `https://storage.googleapis.com/storage/v1/`.
    pub base_url: Box<str>,
    methods: HashMap<Box<str>, (Method, Option<ShapeRef>, Option<ShapeRef>)>,
    shapes: Shapes,
}

/// One method.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Method {
    /// `storage.buckets.patch`.
    #[serde(default)]
    pub id: Box<str>,
    /// The HTTP method.
    pub http_method: Box<str>,
    /// The path below the base address, with labels.
    pub path: Box<str>,
    /// What stands in path and query.
    #[serde(default)]
    pub parameters: HashMap<Box<str>, Parameter>,
    /// The schema of the body.
    pub request: Option<Box<str>>,
    /// The schema of the answer.
    pub response: Option<Box<str>>,
    /// The version that requests ask for by name.
    pub api_version: Option<Box<str>>,
}

/// A parameter of a method.
#[derive(Debug, Deserialize)]
pub struct Parameter {
    /// `path` or `query`.
    pub location: Box<str>,
    /// Whether it must be there.
    #[serde(default)]
    pub required: bool,
    /// Of path parameters: what they must match.
    pub pattern: Option<Box<str>>,
    /// Everything else about it.
    #[serde(flatten)]
    pub schema: Map<String, Value>,
}

static SERVICES: Cache<Service> = Cache::new();

/// Finds a method by its id.
pub(crate) fn find(id: &str) -> Result<Call, ModelError> {
    let unknown = |hint: Option<&str>| ModelError::Unknown {
        call: id.to_owned(),
        hint: hint.map_or_else(extend_hint, |near| format!("did you mean `{near}`?")),
    };
    let prefix = id.split('.').next().unwrap_or_default();
    // The one API whose methods have another name than itself.
    let name = if prefix == "sql" { "sqladmin" } else { prefix };
    let Some(api) = SERVICES.get(&format!("gcp/{name}.json"), Service::parse)? else {
        return Err(unknown(amend_domain::settings::nearest(prefix, names_in("gcp"))));
    };
    let Some((method, input, output)) = api.methods.get(id) else {
        return Err(unknown(amend_domain::settings::nearest(id, api.methods.keys().map(|name| &**name))));
    };
    Ok(Call { api: Api::Gcp { api, method }, shapes: &api.shapes, input: *input, output: *output })
}

impl Service {
    /// The address of a call: the path's template filled in, and the query.
    ///
    /// # Errors
    /// When a part of the path is missing, or leads elsewhere.
    pub fn url(&self, method: &Method, args: &Value) -> Result<String, String> {
        let mut path = method.path.to_string();
        let mut query = Vec::new();
        let mut names: Vec<_> = method.parameters.iter().collect();
        names.sort_by(|a, b| a.0.cmp(b.0));
        for (name, parameter) in names {
            let Some(value) = args.get(&**name).filter(|value| !value.is_null()) else { continue };
            let texts: Vec<String> = match value {
                Value::Array(list) => list.iter().filter_map(plain).collect(),
                value => plain(value).into_iter().collect(),
            };
            if &*parameter.location == "path" {
                let text = texts.into_iter().next().unwrap_or_default();
                path = path.replace(&format!("{{{name}}}"), &encoded(&text));
                path = path.replace(&format!("{{+{name}}}"), &encoded_path(&text)?);
            } else {
                query.extend(texts.iter().map(|text| format!("{}={}", encoded(name), encoded(text))));
            }
        }
        if path.contains('{') {
            return Err(format!("a part of the path `{}` is missing", method.path));
        }
        let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
        Ok(format!("{}{path}{query}", self.base_url))
    }

    fn parse(json: &str) -> Result<Self, serde_json::Error> {
        let file: Value = serde_json::from_str(json)?;
        let text = |name: &str| file.get(name).and_then(Value::as_str).unwrap_or_default();
        let base_url = format!("{}{}", text("rootUrl"), text("servicePath")).into();
        let mut shapes = Shapes::default();
        schema::add_all(&mut shapes, &object(file.get("schemas")));
        let mut methods = HashMap::new();
        for (id, method) in object(file.get("methods")) {
            let mut method = Method::deserialize(method)?;
            method.id = id.as_str().into();
            // Every method takes the version that something was read at.
            let mut members = Map::from_iter([("if_match".to_owned(), json!({ "type": "string" }))]);
            let mut required = Vec::new();
            for (name, parameter) in &method.parameters {
                let one = Value::Object(parameter.schema.clone());
                let repeated = parameter.schema.get("repeated").and_then(Value::as_bool).unwrap_or(false);
                members.insert(name.to_string(), if repeated { json!({ "type": "array", "items": one }) } else { one });
                required.extend(parameter.required.then(|| name.to_string()));
            }
            if let Some(request) = &method.request {
                members.insert("body".to_owned(), json!({ "$ref": request }));
                required.push("body".to_owned());
            }
            let input = json!({ "type": "object", "properties": members, "required": required });
            let input = schema::inner(&mut shapes, &id, &input);
            let output = method.response.as_deref().and_then(|name| shapes.find(name));
            methods.insert(id.as_str().into(), (method, Some(input), output));
        }
        Ok(Self { base_url, methods, shapes })
    }
}

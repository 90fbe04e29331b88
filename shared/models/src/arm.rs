//! Calls of the Azure Resource Manager, as the azure-mgmt packages describe them.
//!
//! Source: the azure-mgmt packages on PyPI, MIT; see `data/NOTICE.md`.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::{Api, Cache, Call, ModelError, ShapeRef, Shapes, extend_hint, names_in, object, schema};

/// One method on one type in one version.
#[derive(Debug)]
pub struct ArmCall {
    /// `PATCH Microsoft.Storage/storageAccounts@2024-01-01`.
    pub name: Box<str>,
    /// The method.
    pub method: Box<str>,
    /// The type: `Microsoft.Storage/storageAccounts`.
    pub kind: Box<str>,
    /// The version.
    pub version: Box<str>,
    /// Whether it lists a collection, which may come in pages.
    pub list: bool,
    /// Whether the answer may come later.
    pub long_running: bool,
    input: Option<ShapeRef>,
    output: Option<ShapeRef>,
}

/// The calls of one resource provider.
#[derive(Debug)]
pub struct Provider {
    calls: HashMap<String, ArmCall>,
    shapes: Shapes,
}

static PROVIDERS: Cache<Provider> = Cache::new();

/// Finds a call by its name.
pub(crate) fn find(name: &str) -> Result<Call, ModelError> {
    let unknown = |hint: Option<&str>| ModelError::Unknown {
        call: name.to_owned(),
        hint: hint.map_or_else(extend_hint, |near| format!("did you mean `{near}`?")),
    };
    let namespace = name.split_once(' ').and_then(|(_, kind)| kind.split('/').next()).unwrap_or_default();
    let file = format!("azure/{}.json", namespace.to_ascii_lowercase());
    let Some(provider) = PROVIDERS.get(&file, Provider::parse)? else {
        return Err(unknown(amend_domain::settings::nearest(namespace, names_in("azure"))));
    };
    let Some(call) = provider.calls.get(name) else {
        return Err(unknown(amend_domain::settings::nearest(name, provider.calls.keys().map(String::as_str))));
    };
    Ok(Call { api: Api::Azure(call), shapes: &provider.shapes, input: call.input, output: call.output })
}

impl Provider {
    fn parse(json: &str) -> Result<Self, serde_json::Error> {
        let file: Value = serde_json::from_str(json)?;
        let mut shapes = Shapes::default();
        schema::add_all(&mut shapes, &object(file.get("schemas")));
        let calls = object(file.get("calls"))
            .into_iter()
            .filter_map(|(name, call)| {
                let (method, rest) = name.split_once(' ')?;
                let (kind, version) = rest.split_once('@')?;
                let list = method == "LIST";
                let (method, kind, version) = (if list { "GET" } else { method }.into(), kind.into(), version.into());
                let known = |member: &str| call.get(member).and_then(Value::as_str).and_then(|name| shapes.find(name));
                let (request, output) = (known("request"), known("response"));
                // What every ARM call takes: which resource, the body, the version it was read at.
                let mut members = json!({ "id": { "type": "string" }, "if_match": { "type": "string" } });
                if let (Some(members), Some(request)) = (members.as_object_mut(), request) {
                    members.insert("body".to_owned(), json!({ "$ref": shapes.name(request) }));
                }
                let required: &[&str] = if request.is_some() { &["body"] } else { &[] };
                let input = json!({ "type": "object", "properties": members, "required": required });
                let input = Some(schema::inner(&mut shapes, &name, &input));
                let long_running = call.get("longRunning").and_then(Value::as_bool).unwrap_or(false);
                let call =
                    ArmCall { name: name.as_str().into(), method, kind, version, list, long_running, input, output };
                Some((name, call))
            })
            .collect();
        Ok(Self { calls, shapes })
    }
}

//! The schemas of Azure and Google Cloud, in the one JSON dialect that the extraction writes:
//! `type`, `properties`, `items`, `additionalProperties`, `$ref`, `enum`, `readOnly`, `required`.

use serde_json::{Map, Value};

use crate::shape::{Kind, Member, ShapeRef, Shapes};

/// Adds the schemas of a file to `shapes`, by name.
pub(crate) fn add_all(shapes: &mut Shapes, schemas: &Map<String, Value>) {
    // First the names, as schemas refer to each other in circles.
    let named: Vec<(ShapeRef, &Value)> =
        schemas.iter().map(|(name, schema)| (shapes.add(name, Kind::Any), schema)).collect();
    for (at, schema) in named {
        let kind = kind(shapes, schema);
        shapes.set(at, kind);
    }
}

/// The shape of a value that stands inside another, or of a parameter.
pub(crate) fn inner(shapes: &mut Shapes, name: &str, schema: &Value) -> ShapeRef {
    if let Some(known) = schema.get("$ref").and_then(Value::as_str).and_then(|name| shapes.find(name)) {
        return known;
    }
    let kind = kind(shapes, schema);
    shapes.add_unnamed(name, kind)
}

fn kind(shapes: &mut Shapes, schema: &Value) -> Kind {
    let text = |name: &str| schema.get(name).and_then(Value::as_str);
    let flag = |of: &Value, name: &str| of.get(name).and_then(Value::as_bool).unwrap_or(false);
    let words = |of: &Value| -> Vec<Box<str>> {
        of.get("enum")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(Into::into)
            .collect()
    };
    match text("type") {
        Some("object") => {
            if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
                let required: Vec<&str> = schema
                    .get("required")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .collect();
                let members = properties
                    .iter()
                    .map(|(name, property)| Member {
                        name: name.as_str().into(),
                        shape: inner(shapes, name, property),
                        required: required.contains(&name.as_str()),
                        read_only: flag(property, "readOnly"),
                    })
                    .collect();
                return Kind::Structure { members, union: false, open: schema.get("additionalProperties").is_some() };
            }
            match schema.get("additionalProperties") {
                Some(value @ Value::Object(_)) => Kind::Map(inner(shapes, "value", value)),
                _ => Kind::Any,
            }
        }
        Some("array") => schema.get("items").map_or(Kind::Any, |items| Kind::List(inner(shapes, "element", items))),
        // Google writes 64-bit numbers as texts.
        Some("string") => match text("format") {
            Some("date-time" | "google-datetime") => Kind::Time,
            Some("byte") => Kind::Blob,
            _ => Kind::Text { words: words(schema), open: flag(schema, "open") },
        },
        Some("integer") => Kind::Whole,
        Some("number") => Kind::Number,
        Some("boolean") => Kind::Bool,
        _ => Kind::Any,
    }
}

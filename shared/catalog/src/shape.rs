//! What a file may hold, as a table: checked with all mistakes at once, and turned into the JSON
//! Schema for editors. The one place where a file's members are named.

use amend_domain::settings::nearest;
use serde_json::{Map, Value as Json, json};

use crate::{
    mistakes::Collector,
    yaml::{Node, Value},
};

/// What a value may be.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A text; numbers count as theirs.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// True or false.
    Bool,
    /// A whole number in a range.
    Whole(u32, u32),
    /// A list.
    List(&'static Kind),
    /// A value, or a list of such.
    OneOrMany(&'static Kind),
    /// A map with the members of a shape.
    Map(&'static Shape),
    /// A map from any text to a value.
    Table(&'static Kind),
    /// One of several, told apart by whether they are scalars, lists or maps.
    Either(&'static [Kind]),
    /// Anything.
    Any,
}

/// The members of a map.
#[derive(Debug)]
pub struct Shape {
    /// What such a map is called.
    pub name: &'static str,
    /// Its members.
    pub fields: &'static [Field],
}

/// One member.
#[derive(Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// Whether it must be there.
    pub required: bool,
    /// What it is for: the manual's sentence.
    pub doc: &'static str,
}

/// An optional member.
#[must_use]
pub const fn may(name: &'static str, kind: Kind, doc: &'static str) -> Field {
    Field { name, kind, required: false, doc }
}

/// A required member.
#[must_use]
pub const fn must(name: &'static str, kind: Kind, doc: &'static str) -> Field {
    Field { name, kind, required: true, doc }
}

/// Checks `node` against `kind`. Says everything that is wrong.
///
/// Returns whether nothing was.
pub fn check(node: &Node, kind: Kind, mistakes: &mut Collector) -> bool {
    match (kind, &node.value) {
        (Kind::Any, _)
        | (Kind::Text, Value::Text(_) | Value::Number(_) | Value::Bool(_))
        | (Kind::Bool, Value::Bool(_)) => true,
        // `yes` and `no` are truth values to YAML; what counts is what people wrote.
        (Kind::Word(words), Value::Text(_) | Value::Bool(_)) => {
            let text = &mistakes.text(node);
            if words.contains(&text.as_str()) {
                return true;
            }
            let folded = words.iter().find(|word| word.eq_ignore_ascii_case(text)).copied();
            let hint = folded
                .or_else(|| nearest(text, words.iter().copied()))
                .map_or_else(|| format!("one of {}", words.join(", ")), |near| format!("did you mean `{near}`?"));
            mistakes.error(node, format!("`{text}` is not known here"), Some(hint));
            false
        }
        (Kind::Whole(least, most), Value::Number(n)) => {
            let fine = n.fract() == 0.0 && *n >= f64::from(least) && *n <= f64::from(most);
            if !fine {
                mistakes.error(node, format!("expected a whole number from {least} to {most}"), None);
            }
            fine
        }
        (Kind::List(of), Value::List(list)) | (Kind::OneOrMany(of), Value::List(list)) => {
            // Not `all`: every element is checked.
            list.iter().filter(|element| !check(element, *of, mistakes)).count() == 0
        }
        (Kind::OneOrMany(of), _) if !matches!(node.value, Value::Null) => check(node, *of, mistakes),
        (Kind::Table(of), Value::Map(entries)) => {
            entries.iter().filter(|(_, value)| !check(value, *of, mistakes)).count() == 0
        }
        (Kind::Map(shape), Value::Map(entries)) => check_map(node, entries, shape, mistakes),
        (Kind::Either(kinds), _) => match kinds.iter().find(|kind| fits(**kind, &node.value)) {
            Some(kind) => check(node, *kind, mistakes),
            None => expected(node, kind, mistakes),
        },
        _ => expected(node, kind, mistakes),
    }
}

fn expected(node: &Node, kind: Kind, mistakes: &mut Collector) -> bool {
    mistakes.error(node, format!("expected {}, found {}", words(kind), node.what()), None);
    false
}

fn check_map(node: &Node, entries: &[(Node, Node)], shape: &'static Shape, mistakes: &mut Collector) -> bool {
    let mut fine = true;
    let mut seen: Vec<&'static str> = Vec::new();
    for (key, value) in entries {
        // `on` and `y` are truth values to YAML; what stands there is what people wrote.
        let written = mistakes.text(key);
        let name = written.as_str();
        let Some(field) = shape.fields.iter().find(|field| field.name == name) else {
            let hint = nearest(name, shape.fields.iter().map(|field| field.name)).map_or_else(
                || format!("{} has {}", shape.name, names(shape)),
                |near| format!("did you mean `{near}`?"),
            );
            mistakes.error(key, format!("`{name}` is not a member of {}", shape.name), Some(hint));
            fine = false;
            continue;
        };
        if seen.contains(&field.name) {
            mistakes.error(key, format!("`{name}` stands here twice"), None);
            fine = false;
        }
        seen.push(field.name);
        fine &= check(value, field.kind, mistakes);
    }
    for field in shape.fields.iter().filter(|field| field.required && !seen.contains(&field.name)) {
        // Pointing at a whole map would underline a page: its first member will do.
        let at = entries.first().map_or(node, |(key, _)| key);
        mistakes.error(at, format!("{} lacks `{}`", shape.name, field.name), Some(field.doc.to_owned()));
        fine = false;
    }
    fine
}

fn names(shape: &Shape) -> String {
    shape.fields.iter().map(|field| field.name).collect::<Vec<_>>().join(", ")
}

/// Whether a value has the outer form of a kind.
fn fits(kind: Kind, value: &Value) -> bool {
    match kind {
        Kind::Any => true,
        Kind::Text => matches!(value, Value::Text(_) | Value::Number(_) | Value::Bool(_)),
        Kind::Word(_) => matches!(value, Value::Text(_)),
        Kind::Bool => matches!(value, Value::Bool(_)),
        Kind::Whole(..) => matches!(value, Value::Number(_)),
        Kind::List(_) => matches!(value, Value::List(_)),
        Kind::OneOrMany(of) => matches!(value, Value::List(_)) || fits(*of, value),
        Kind::Map(_) | Kind::Table(_) => matches!(value, Value::Map(_)),
        Kind::Either(kinds) => kinds.iter().any(|kind| fits(*kind, value)),
    }
}

fn words(kind: Kind) -> String {
    match kind {
        Kind::Text => "a text".into(),
        Kind::Word(words) => format!("one of {}", words.join(", ")),
        Kind::Bool => "true or false".into(),
        Kind::Whole(least, most) => format!("a whole number from {least} to {most}"),
        Kind::List(of) => format!("a list, each {}", self::words(*of)),
        Kind::OneOrMany(of) => format!("{} or a list of such", self::words(*of)),
        Kind::Map(shape) => format!("{} ({})", shape.name, names(shape)),
        Kind::Table(_) => "a map".into(),
        Kind::Either(kinds) => kinds.iter().map(|kind| self::words(*kind)).collect::<Vec<_>>().join(", or "),
        Kind::Any => "anything".into(),
    }
}

/// The JSON Schema (2020-12) of files of this shape.
#[must_use]
pub fn json_schema(shape: &'static Shape, title: &str) -> Json {
    let mut root = schema_of_map(shape);
    if let Some(members) = root.as_object_mut() {
        members.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
        members.insert("title".into(), title.into());
    }
    root
}

fn schema_of_map(shape: &'static Shape) -> Json {
    let mut properties = Map::new();
    for field in shape.fields {
        let mut schema = schema(field.kind);
        if let Some(members) = schema.as_object_mut() {
            members.insert("description".into(), field.doc.into());
        }
        properties.insert(field.name.into(), schema);
    }
    let required: Vec<&str> = shape.fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    json!({ "type": "object", "additionalProperties": false, "properties": properties, "required": required })
}

fn schema(kind: Kind) -> Json {
    match kind {
        Kind::Text => json!({ "type": ["string", "number", "boolean"] }),
        Kind::Word(words) => json!({ "enum": words }),
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Whole(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Kind::List(of) => json!({ "type": "array", "items": schema(*of) }),
        Kind::OneOrMany(of) => json!({ "anyOf": [schema(*of), { "type": "array", "items": schema(*of) }] }),
        Kind::Map(shape) => schema_of_map(shape),
        Kind::Table(of) => json!({ "type": "object", "additionalProperties": schema(*of) }),
        Kind::Either(kinds) => json!({ "anyOf": kinds.iter().map(|kind| schema(*kind)).collect::<Vec<_>>() }),
        Kind::Any => json!({}),
    }
}

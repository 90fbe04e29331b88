//! YAML as a tree whose values know where they stand in the file.

use std::{fmt, ops::Range};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::Spanned;

use crate::{SourceText, mistakes::Collector};

/// The largest file, in bytes.
pub const MAX_BYTES: usize = 32 << 20;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Its bytes in the file.
    pub span: Range<usize>,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A number; its text is what stands in the file.
    Number(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the file.
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// The member `name` of a map.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(key, _)| key.as_text() == Some(name)).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The text, where it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The elements of a list; a single value counts as a list of one.
    #[must_use]
    pub fn elements(&self) -> &[Self] {
        match &self.value {
            Value::List(list) => list,
            Value::Null => &[],
            _ => std::slice::from_ref(self),
        }
    }

    /// The members of a map.
    #[must_use]
    pub fn entries(&self) -> &[(Self, Self)] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// What it is, in words.
    #[must_use]
    pub fn what(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// The same as JSON.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(b) => (*b).into(),
            #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and small enough")]
            Value::Number(n) if n.fract() == 0.0 && n.abs() < 9.0e15 => (*n as i64).into(),
            Value::Number(n) => (*n).into(),
            Value::Text(text) => text.as_str().into(),
            Value::List(list) => list.iter().map(Self::to_json).collect(),
            Value::Map(entries) => {
                let members =
                    entries.iter().filter_map(|(key, value)| Some((key.as_text()?.to_owned(), value.to_json())));
                serde_json::Value::Object(members.collect())
            }
        }
    }
}

/// Reads `source` as one YAML document (JSON is YAML, too).
///
/// Returns nothing, and says why in `mistakes`, where the text is no YAML or too large.
#[must_use]
pub fn parse(source: &SourceText, mistakes: &mut Collector) -> Option<Node> {
    if source.text.len() > MAX_BYTES {
        mistakes.error_at(
            0..0,
            format!("the file has {} bytes; at most {MAX_BYTES} are read", source.text.len()),
            None,
        );
        return None;
    }
    let mut options = serde_saphyr::Options::default();
    if let Some(budget) = options.budget.as_mut() {
        // Ten thousand rules are a million nodes; aliases stay few, as they multiply.
        (budget.max_events, budget.max_nodes) = (20_000_000, 10_000_000);
        (budget.max_aliases, budget.max_anchors, budget.max_depth) = (100, 100, 32);
    }
    match serde_saphyr::from_str_with_options::<Spanned<Value>>(&source.text, options) {
        Ok(root) => Some(node(root)),
        Err(error) => {
            let at = error.location().map_or(0, |location| {
                let line = usize::try_from(location.line()).unwrap_or(1).saturating_sub(1);
                let column = usize::try_from(location.column()).unwrap_or(1).saturating_sub(1);
                let start: usize =
                    source.text.split_inclusive('\n').take(line).map(str::len).fold(0, usize::saturating_add);
                let rest = source.text.get(start..).unwrap_or_default();
                start.saturating_add(rest.char_indices().nth(column).map_or(0, |(at, _)| at))
            });
            let message = error.without_snippet().to_string();
            let message = message.split(" at line ").next().unwrap_or(&message).trim().to_owned();
            // The crate's words are for programmers.
            let message = match message.split_once("duplicate mapping key: ") {
                Some((_, key)) => format!("`{}` stands here twice", key.split([',', ' ']).next().unwrap_or(key)),
                None => format!("not YAML: {message}"),
            };
            mistakes.error_at(at..at.saturating_add(1), message, None);
            None
        }
    }
}

fn node(spanned: Spanned<Value>) -> Node {
    let span = spanned.referenced.span();
    let start = span.byte_offset().and_then(|at| usize::try_from(at).ok()).unwrap_or(0);
    let length = span.byte_len().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    Node { value: spanned.value, span: start..start.saturating_add(length) }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Spanned::<Value>::deserialize(deserializer).map(node)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ValueVisitor;
        impl<'de> Visitor<'de> for ValueVisitor {
            type Value = Value;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }
            fn visit_none<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }
            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
                Value::deserialize(deserializer)
            }
            fn visit_bool<E>(self, b: bool) -> Result<Value, E> {
                Ok(Value::Bool(b))
            }
            #[expect(clippy::cast_precision_loss, reason = "numbers in these files are small; their text is kept")]
            fn visit_i64<E>(self, n: i64) -> Result<Value, E> {
                Ok(Value::Number(n as f64))
            }
            #[expect(clippy::cast_precision_loss, reason = "numbers in these files are small; their text is kept")]
            fn visit_u64<E>(self, n: u64) -> Result<Value, E> {
                Ok(Value::Number(n as f64))
            }
            fn visit_f64<E>(self, n: f64) -> Result<Value, E> {
                Ok(Value::Number(n))
            }
            fn visit_str<E>(self, text: &str) -> Result<Value, E> {
                Ok(Value::Text(text.to_owned()))
            }
            fn visit_string<E>(self, text: String) -> Result<Value, E> {
                Ok(Value::Text(text))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
                let mut list = Vec::new();
                while let Some(element) = seq.next_element()? {
                    list.push(element);
                }
                Ok(Value::List(list))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(key) = map.next_key()? {
                    entries.push((key, map.next_value()?));
                }
                Ok(Value::Map(entries))
            }
        }
        deserializer.deserialize_any(ValueVisitor)
    }
}

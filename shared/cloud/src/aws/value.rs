//! JSON values, in the names of the API, to and from the SDK's runtime.

use aws_smithy_schema::{
    Schema, ShapeType,
    serde::{SerdeError, SerializableStruct, ShapeDeserializer, ShapeSerializer},
};
use aws_smithy_types::{Blob, DateTime, Document, Number, date_time::Format};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

use super::schema::{Entry, Link, Schemas};

/// A structure to be sent: its value, and what says how.
pub(super) struct Sent<'a> {
    /// The schemas of the service's requests.
    pub schemas: &'a Schemas,
    /// Its shape; nothing, where there is nothing to send.
    pub entry: Option<&'a Entry>,
    /// Its schema: the shape's own, or an operation's.
    pub schema: &'a Schema<'static>,
    /// Its value.
    pub value: &'a Value,
    /// Whether empty lists are left out, as ec2Query has no way to say them.
    pub skips_empty: bool,
    /// Made up for members that make repeated requests one.
    pub token: &'a str,
}

impl SerializableStruct for Sent<'_> {
    fn schema(&self) -> &Schema<'_> {
        self.schema
    }

    fn serialize_members(&self, out: &mut dyn ShapeSerializer) -> Result<(), SerdeError> {
        let Some(entry) = self.entry else { return Ok(()) };
        let token = Value::from(self.token);
        for link in &entry.members {
            let value = match self.value.get(link.name) {
                None | Some(Value::Null) if link.idempotency_token => &token,
                None | Some(Value::Null) => continue,
                Some(Value::Array(list)) if self.skips_empty && list.is_empty() => continue,
                Some(value) => value,
            };
            if link.json_in_header {
                let text = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
                out.write_string(link.schema, &STANDARD.encode(text))?;
                continue;
            }
            let target = self.schemas.get(link.shape).map(|entry| entry.schema);
            let schema = if link.whole_body { target.unwrap_or(link.schema) } else { link.schema };
            self.write(out, link.shape, schema, value)?;
        }
        Ok(())
    }
}

impl Sent<'_> {
    fn write(
        &self,
        out: &mut dyn ShapeSerializer,
        shape: &str,
        schema: &Schema<'static>,
        value: &Value,
    ) -> Result<(), SerdeError> {
        let wrong = |what: &str| SerdeError::invalid_input(format!("expected {what}"));
        let entry = self.schemas.get(shape).ok_or_else(|| wrong("a shape of the description"))?;
        match (schema.shape_type(), value) {
            (ShapeType::Structure | ShapeType::Union, Value::Object(_)) => {
                let inner = Sent { entry: Some(entry), schema: entry.schema, value, ..*self };
                out.write_struct(schema, &inner)
            }
            (ShapeType::List, Value::Array(list)) => {
                let element = entry.element.ok_or_else(|| wrong("a list of something"))?;
                out.write_list_with_length(schema, list.len(), &|out| {
                    list.iter().try_for_each(|value| self.write_element(out, element, value))
                })
            }
            (ShapeType::Map, Value::Object(map)) => {
                let (key, element) = entry.key.zip(entry.element).ok_or_else(|| wrong("a map to something"))?;
                out.write_map_with_length(schema, map.len(), &|out| {
                    map.iter().try_for_each(|(name, value)| {
                        self.write_element(out, key, &Value::from(name.as_str()))?;
                        self.write_element(out, element, value)
                    })
                })
            }
            (ShapeType::Boolean, Value::Bool(b)) => out.write_boolean(schema, *b),
            (ShapeType::Integer, value) => {
                let n = value.as_i64().and_then(|n| i32::try_from(n).ok()).ok_or_else(|| wrong("a 32-bit number"))?;
                out.write_integer(schema, n)
            }
            (ShapeType::Long, value) => out.write_long(schema, value.as_i64().ok_or_else(|| wrong("a whole number"))?),
            #[expect(clippy::cast_possible_truncation, reason = "the API takes a number of this size")]
            (ShapeType::Float, value) => {
                out.write_float(schema, value.as_f64().ok_or_else(|| wrong("a number"))? as f32)
            }
            (ShapeType::Double, value) => out.write_double(schema, value.as_f64().ok_or_else(|| wrong("a number"))?),
            (ShapeType::Blob, Value::String(text)) => {
                out.write_blob(schema, Blob::new(STANDARD.decode(text).map_err(|_| wrong("Base64"))?))
            }
            (ShapeType::Timestamp, value) => out.write_timestamp(schema, &time(value).ok_or_else(|| wrong("a time"))?),
            (ShapeType::Document, value) => out.write_document(schema, &document(value)),
            (ShapeType::String, Value::String(text)) => out.write_string(schema, text),
            _ => Err(wrong("another kind of value")),
        }
    }

    /// Elements are written with the schema of their own shape: it has no member's name.
    fn write_element(&self, out: &mut dyn ShapeSerializer, link: Link, value: &Value) -> Result<(), SerdeError> {
        let schema = self.schemas.get(link.shape).map_or(link.schema, |entry| entry.schema);
        self.write(out, link.shape, schema, value)
    }
}

/// Reads a structure. Members that the description does not know are left out.
pub(super) fn read(
    schemas: &Schemas,
    entry: &Entry,
    schema: &Schema<'static>,
    from: &mut dyn ShapeDeserializer,
) -> Result<Value, SerdeError> {
    let mut object = Map::new();
    from.read_struct(schema, &mut |member, from| {
        let link = member.member_index().and_then(|index| entry.members.get(index));
        let Some(link) = link else { return from.skip_value() };
        if from.is_null() {
            return from.read_null();
        }
        let value = if link.json_in_header {
            from.read_string(link.schema)?.into()
        } else {
            read_value(schemas, link.shape, link.schema, from)?
        };
        object.insert(link.name.to_owned(), value);
        Ok(())
    })?;
    Ok(Value::Object(object))
}

fn read_value(
    schemas: &Schemas,
    shape: &str,
    schema: &Schema<'static>,
    from: &mut dyn ShapeDeserializer,
) -> Result<Value, SerdeError> {
    let entry = schemas.get(shape).ok_or_else(|| SerdeError::invalid_input("a shape of the description is missing"))?;
    Ok(match schema.shape_type() {
        // Members of members are found by the schema of their own shape.
        ShapeType::Structure | ShapeType::Union => read(schemas, entry, entry.schema, from)?,
        ShapeType::List => {
            let mut list = Vec::new();
            from.read_list(schema, &mut |from| {
                if from.is_null() {
                    list.push(Value::Null);
                    return from.read_null();
                }
                list.push(read_element(schemas, entry.element, from)?);
                Ok(())
            })?;
            Value::Array(list)
        }
        ShapeType::Map => {
            let mut map = Map::new();
            from.read_map(schema, &mut |key, from| {
                if from.is_null() {
                    map.insert(key, Value::Null);
                    return from.read_null();
                }
                map.insert(key, read_element(schemas, entry.element, from)?);
                Ok(())
            })?;
            Value::Object(map)
        }
        ShapeType::Boolean => from.read_boolean(schema)?.into(),
        ShapeType::Integer => from.read_integer(schema)?.into(),
        ShapeType::Long => from.read_long(schema)?.into(),
        ShapeType::Float => from.read_float(schema)?.into(),
        ShapeType::Double => from.read_double(schema)?.into(),
        ShapeType::Blob => STANDARD.encode(from.read_blob(schema)?).into(),
        ShapeType::Timestamp => from.read_timestamp(schema)?.fmt(Format::DateTime).unwrap_or_default().into(),
        ShapeType::Document => json(&from.read_document(schema)?),
        _ => from.read_string(schema)?.into(),
    })
}

fn read_element(
    schemas: &Schemas,
    element: Option<Link>,
    from: &mut dyn ShapeDeserializer,
) -> Result<Value, SerdeError> {
    let link = element.ok_or_else(|| SerdeError::invalid_input("the description has no elements here"))?;
    let schema = schemas.get(link.shape).map_or(link.schema, |entry| entry.schema);
    read_value(schemas, link.shape, schema, from)
}

fn time(value: &Value) -> Option<DateTime> {
    match value {
        Value::String(text) => DateTime::from_str(text, Format::DateTimeWithOffset).ok(),
        value => value.as_f64().map(DateTime::from_secs_f64),
    }
}

fn document(value: &Value) -> Document {
    match value {
        Value::Null => Document::Null,
        Value::Bool(b) => Document::Bool(*b),
        Value::Number(n) => Document::Number(match (n.as_u64(), n.as_i64()) {
            (Some(n), _) => Number::PosInt(n),
            (None, Some(n)) => Number::NegInt(n),
            (None, None) => Number::Float(n.as_f64().unwrap_or_default()),
        }),
        Value::String(text) => Document::String(text.clone()),
        Value::Array(list) => Document::Array(list.iter().map(document).collect()),
        Value::Object(map) => Document::Object(map.iter().map(|(key, value)| (key.clone(), document(value))).collect()),
    }
}

fn json(value: &Document) -> Value {
    match value {
        Document::Null => Value::Null,
        Document::Bool(b) => (*b).into(),
        Document::Number(Number::PosInt(n)) => (*n).into(),
        Document::Number(Number::NegInt(n)) => (*n).into(),
        Document::Number(Number::Float(n)) => (*n).into(),
        Document::String(text) => text.as_str().into(),
        Document::Array(list) => list.iter().map(json).collect(),
        Document::Object(map) => Value::Object(map.iter().map(|(key, value)| (key.clone(), json(value))).collect()),
    }
}

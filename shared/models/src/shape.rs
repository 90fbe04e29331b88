//! What a value of an API may be: one form for AWS, Azure and Google Cloud, so that checking a
//! request and completing a response are written once.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// A shape's place in its [`Shapes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ShapeRef(usize);

/// The shapes of one API description; they refer to each other, also in circles.
#[derive(Debug, Default)]
pub struct Shapes {
    all: Vec<Shape>,
    by_name: HashMap<Box<str>, ShapeRef>,
}

/// What a value may be.
#[derive(Debug)]
pub struct Shape {
    /// Its name in the description.
    pub name: Box<str>,
    /// What it is.
    pub kind: Kind,
}

/// The kinds of values.
#[derive(Debug)]
pub enum Kind {
    /// Members by name.
    Structure {
        /// In the order of the description.
        members: Vec<Member>,
        /// Whether exactly one of them is there.
        union: bool,
        /// Whether members that the description does not name are allowed.
        open: bool,
    },
    /// Elements of one shape.
    List(ShapeRef),
    /// Values of one shape by any text.
    Map(ShapeRef),
    /// A text; one of some words, where there are any.
    Text {
        /// The words of the description.
        words: Vec<Box<str>>,
        /// Whether other words are allowed.
        open: bool,
    },
    /// A whole number.
    Whole,
    /// A number.
    Number,
    /// True or false.
    Bool,
    /// Bytes, as Base64.
    Blob,
    /// A point in time, as RFC 3339.
    Time,
    /// Anything.
    Any,
}

/// A member of a structure.
#[derive(Debug)]
pub struct Member {
    /// Its name, as the API's documentation has it.
    pub name: Box<str>,
    /// What it may be.
    pub shape: ShapeRef,
    /// Whether a request must carry it.
    pub required: bool,
    /// Whether only responses carry it.
    pub read_only: bool,
}

impl Shapes {
    /// Adds one.
    pub(crate) fn add(&mut self, name: &str, kind: Kind) -> ShapeRef {
        let at = self.add_unnamed(name, kind);
        self.by_name.insert(name.into(), at);
        at
    }

    /// Adds one that nothing finds by name.
    pub(crate) fn add_unnamed(&mut self, name: &str, kind: Kind) -> ShapeRef {
        let at = ShapeRef(self.all.len());
        self.all.push(Shape { name: name.into(), kind });
        at
    }

    /// The shape named `name`.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<ShapeRef> {
        self.by_name.get(name).copied()
    }

    /// Says what a shape that was added before is, once that is known: shapes refer to each other in
    /// circles.
    pub(crate) fn set(&mut self, at: ShapeRef, kind: Kind) {
        if let Some(shape) = self.all.get_mut(at.0) {
            shape.kind = kind;
        }
    }

    /// What stands at `at`; anything, should it be of other shapes.
    #[must_use]
    pub fn kind(&self, at: ShapeRef) -> &Kind {
        self.all.get(at.0).map_or(&Kind::Any, |shape| &shape.kind)
    }

    /// The name of the shape at `at`.
    #[must_use]
    pub fn name(&self, at: ShapeRef) -> &str {
        self.all.get(at.0).map_or("", |shape| &shape.name)
    }

    /// The shape of the member `name` of a structure, or of any value of a map.
    #[must_use]
    pub fn member(&self, of: ShapeRef, name: &str) -> Option<ShapeRef> {
        match self.kind(of) {
            Kind::Structure { members, .. } => members.iter().find(|m| *m.name == *name).map(|m| m.shape),
            Kind::Map(value) => Some(*value),
            _ => None,
        }
    }

    /// A response as expressions see it: every member of the description is there, `null` where the
    /// cloud left it out, at every level that is there; whole numbers are whole. What the description
    /// does not know stays.
    pub fn complete(&self, of: ShapeRef, value: &mut Value) {
        match (self.kind(of), value) {
            (Kind::Structure { members, .. }, Value::Object(object)) => {
                let mut rest = std::mem::take(object);
                let mut full = Map::with_capacity(members.len());
                for member in members {
                    let mut value = rest.shift_remove(&*member.name).unwrap_or(Value::Null);
                    self.complete(member.shape, &mut value);
                    full.insert(member.name.to_string(), value);
                }
                full.extend(rest);
                *object = full;
            }
            (Kind::List(element), Value::Array(list)) => {
                list.iter_mut().for_each(|value| self.complete(*element, value));
            }
            (Kind::Map(of), Value::Object(object)) => {
                object.values_mut().for_each(|value| self.complete(*of, value));
            }
            #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and small enough")]
            (Kind::Whole, value) => {
                if let Some(n) = value.as_f64().filter(|n| n.fract() == 0.0 && n.abs() < 9.0e15)
                    && value.is_f64()
                {
                    *value = Value::from(n as i64);
                }
            }
            _ => {}
        }
    }
}

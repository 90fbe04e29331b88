//! How foreign JSON is read: member names in any case, members twice, numbers where text belongs,
//! `null` where nothing belongs; texts borrowed from the body where they can be.

use std::{borrow::Cow, fmt, marker::PhantomData, ops::Deref};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};

/// A text that borrows from the body unless it has escapes. Numbers and truth values are read as
/// their text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text<'a>(pub Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }
    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Borrowed(text)))
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }
    fn visit_string<E: Error>(self, text: String) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(text)))
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Borrowed(if value { "true" } else { "false" })))
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(value.to_string())))
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(value.to_string())))
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(value.to_string())))
    }
}

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

/// The name of a member, compared without regard to case.
pub(crate) struct Key<'a>(Cow<'a, str>);

impl Key<'_> {
    #[inline]
    pub(crate) fn is(&self, name: &str) -> bool {
        self.0.len() == name.len() && (self.0 == name || self.0.eq_ignore_ascii_case(name))
    }
}

struct KeyVisitor;

impl<'de> Visitor<'de> for KeyVisitor {
    type Value = Key<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member name")
    }
    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Borrowed(text)))
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Owned(text.to_owned())))
    }
}

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(KeyVisitor)
    }
}

/// A list; a single value counts as a list of one, as some senders write it.
#[derive(Clone, Debug, PartialEq)]
pub struct Many<T>(pub Vec<T>);

impl<T> Default for Many<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Many<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ManyVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for ManyVisitor<T> {
            type Value = Many<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Many<T>, A::Error> {
                let mut list = Vec::new();
                while let Some(value) = seq.next_element::<Option<T>>()? {
                    list.extend(value);
                }
                Ok(Many(list))
            }
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Many<T>, E> {
                T::deserialize(serde::de::value::BorrowedStrDeserializer::new(text)).map(|one| Many(vec![one]))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Many<T>, A::Error> {
                T::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(|one| Many(vec![one]))
            }
        }
        deserializer.deserialize_any(ManyVisitor(PhantomData))
    }
}

/// Declares an object of which every member is optional and may be written in any case. Of a member
/// that comes twice, the first that is not null counts.
macro_rules! wire {
    ($(#[$doc:meta])* $vis:vis struct $name:ident<$life:lifetime> {
        $($(#[$fdoc:meta])* $field:ident: $ty:ty = $($wire:literal)|+),+ $(,)?
    }) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        $vis struct $name<$life> {
            $($(#[$fdoc])* pub(crate) $field: Option<$ty>,)+
        }

        impl<'de: $life, $life> serde::Deserialize<'de> for $name<$life> {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct ObjectVisitor<$life>(std::marker::PhantomData<&$life ()>);
                impl<'de: $life, $life> serde::de::Visitor<'de> for ObjectVisitor<$life> {
                    type Value = $name<$life>;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }
                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                        let mut object = $name::default();
                        while let Some(key) = map.next_key::<crate::wire::Key<'de>>()? {
                            $(
                                if $(key.is($wire))||+ {
                                    if object.$field.is_none() {
                                        object.$field = map.next_value()?;
                                    } else {
                                        map.next_value::<serde::de::IgnoredAny>()?;
                                    }
                                    continue;
                                }
                            )+
                            map.next_value::<serde::de::IgnoredAny>()?;
                        }
                        Ok(object)
                    }
                }
                deserializer.deserialize_map(ObjectVisitor(std::marker::PhantomData))
            }
        }
    };
}
pub(crate) use wire;

/// Reads `text`; on failure says where and what, at the cost of reading it again.
pub(crate) fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Failed> {
    serde_json::from_str(text).map_err(|plain| {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
            Err(error) => {
                let path = error.path().to_string();
                // `?` is the crate's word for "before any member".
                let path = if path == "." || path == "?" { String::new() } else { path };
                Failed { path, problem: plain_words(&error.into_inner()) }
            }
            Ok(_) => Failed { path: String::new(), problem: plain_words(&plain) },
        }
    })
}

/// Where a text stopped being what it should be.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) path: String,
    pub(crate) problem: String,
}

fn plain_words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match error.classify() {
        // serde quotes the value it found; a record's content is not for messages and logs.
        serde_json::error::Category::Data => match text.split_once(", expected ") {
            Some((found, expected)) => {
                let expected = expected.split(" at line ").next().unwrap_or(expected);
                let found = found.trim_start_matches("invalid type: ").trim_start_matches("invalid value: ");
                let kind = match found.split([' ', '`']).next().unwrap_or_default() {
                    "string" => "a text",
                    "integer" | "floating" => "a number",
                    "boolean" => "true or false",
                    "null" | "unit" => "null",
                    "map" => "an object",
                    "sequence" => "a list",
                    _ => "something else",
                };
                format!("expected {expected}, found {kind}")
            }
            None => text,
        },
        _ => format!("not JSON: {text}"),
    }
}

/// Two steps of a JSON path, put together.
pub(crate) fn join(path: &str, more: &str) -> String {
    match (path.is_empty(), more.is_empty() || more.starts_with('[')) {
        (true, _) => more.to_owned(),
        (false, true) => format!("{path}{more}"),
        (false, false) => format!("{path}.{more}"),
    }
}

/// A time stamp as RFC 3339; absent or unreadable is nothing.
pub(crate) fn time(text: Option<&Text<'_>>) -> Option<jiff::Timestamp> {
    text.and_then(|text| text.parse().ok())
}

/// A text that is neither absent nor empty.
pub(crate) fn given<'t>(text: Option<&'t Text<'_>>) -> Option<&'t str> {
    text.map(|text| text.trim()).filter(|text| !text.is_empty())
}

/// A text, boxed and lower-cased.
pub(crate) fn lower(text: &str) -> Box<str> {
    text.to_ascii_lowercase().into()
}

//! Whether the arguments of a call are what its API expects: before anything is sent, and when a
//! fix is loaded.

use std::fmt::Write as _;

use amend_domain::settings::nearest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::shape::{Kind, Member, ShapeRef, Shapes};

/// One thing that is wrong with the arguments of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wrong {
    /// Where: `PublicAccessBlockConfiguration.BlockPublicAcls`, `IpPermissions[0].FromPort`.
    pub path: String,
    /// What.
    pub message: String,
    /// What to do about it, where we know.
    pub hint: Option<String>,
}

/// What is checked of a value whose content is not known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Texts<'a> {
    /// Every value is final.
    Final,
    /// A text that starts with this stands for a value of any kind, known later.
    Later(&'a str),
}

/// Everything that is wrong with `value`, held against the shape `of`.
#[must_use]
pub fn check(shapes: &Shapes, of: ShapeRef, value: &Value, texts: Texts<'_>) -> Vec<Wrong> {
    let mut checker = Checker { shapes, texts, answer: false, path: String::new(), wrong: Vec::new() };
    checker.check(of, value, 0);
    checker.wrong
}

/// The same of an answer: it may lack anything, and hold what is only ever read.
#[must_use]
pub(crate) fn check_answer(shapes: &Shapes, of: ShapeRef, value: &Value) -> Vec<Wrong> {
    let mut checker = Checker { shapes, texts: Texts::Final, answer: true, path: String::new(), wrong: Vec::new() };
    checker.check(of, value, 0);
    checker.wrong
}

/// Deeper values than this are refused.
const MAX_DEPTH: usize = 64;

struct Checker<'a> {
    shapes: &'a Shapes,
    texts: Texts<'a>,
    answer: bool,
    path: String,
    wrong: Vec<Wrong>,
}

impl Checker<'_> {
    fn add(&mut self, message: String, hint: Option<String>) {
        self.wrong.push(Wrong { path: self.path.clone(), message, hint });
    }

    fn under(&mut self, part: &str, work: impl FnOnce(&mut Self)) {
        let before = self.path.len();
        if !part.starts_with('[') && !self.path.is_empty() {
            self.path.push('.');
        }
        self.path.push_str(part);
        work(self);
        self.path.truncate(before);
    }

    fn check(&mut self, of: ShapeRef, value: &Value, depth: usize) {
        if depth > MAX_DEPTH {
            return self.add(format!("nests deeper than {MAX_DEPTH}"), None);
        }
        if let (Texts::Later(mark), Value::String(text)) = (self.texts, value)
            && text.starts_with(mark)
        {
            return;
        }
        let next = depth.saturating_add(1);
        match (self.shapes.kind(of), value) {
            (Kind::Structure { members, union, open }, Value::Object(object)) => {
                let names = || members.iter().map(|member| &*member.name);
                for (name, value) in object {
                    match members.iter().find(|member| *member.name == **name) {
                        // What was read and is null says nothing.
                        Some(member) if member.read_only && !self.answer && !value.is_null() => {
                            self.under(name, |c| c.add("is only ever read".into(), None));
                        }
                        Some(_) if value.is_null() => {}
                        Some(member) => self.under(name, |c| c.check(member.shape, value, next)),
                        None if *open => {}
                        None => {
                            let hint = unknown_member(name, members);
                            let of = self.shapes.name(of).to_owned();
                            let hint = hint.or_else(|| nearest(name, names()).map(|n| format!("did you mean `{n}`?")));
                            self.under(name, |c| c.add(format!("`{of}` has no member of this name"), hint));
                        }
                    }
                }
                let demanding = !self.answer;
                for member in members.iter().filter(|m| m.required && !m.read_only && demanding) {
                    if object.get(&*member.name).is_none_or(Value::is_null) {
                        self.under(&member.name, |c| c.add("is required and not there".into(), None));
                    }
                }
                let present = object.values().filter(|value| !value.is_null()).count();
                if *union && present != 1 {
                    let hint = format!("one of {}", names().collect::<Vec<_>>().join(", "));
                    self.add(format!("exactly one member is needed, found {present}"), Some(hint));
                }
            }
            (Kind::List(element), Value::Array(list)) => {
                for (at, value) in list.iter().enumerate() {
                    let mut part = String::new();
                    let _ = write!(part, "[{at}]");
                    self.under(&part, |c| c.check(*element, value, next));
                }
            }
            (Kind::Map(of), Value::Object(object)) => {
                for (name, value) in object {
                    self.under(name, |c| c.check(*of, value, next));
                }
            }
            (Kind::Text { words, open: false }, Value::String(text)) if !words.is_empty() => {
                if !words.iter().any(|word| **word == **text) {
                    let hint = words
                        .iter()
                        .find(|word| word.eq_ignore_ascii_case(text))
                        .map(|word| &**word)
                        .or_else(|| nearest(text, words.iter().map(|word| &**word)))
                        .map_or_else(|| format!("one of {}", words.join(", ")), |n| format!("did you mean `{n}`?"));
                    self.add(format!("`{text}` is not one of its values"), Some(hint));
                }
            }
            (Kind::Text { .. } | Kind::Blob | Kind::Time, Value::String(_))
            | (Kind::Bool, Value::Bool(_))
            | (Kind::Any, _)
            | (_, Value::Null) => {}
            (Kind::Whole, Value::Number(n)) if n.is_i64() || n.is_u64() => {}
            (Kind::Number | Kind::Time, Value::Number(_)) => {}
            (kind, value) => self.add(format!("expected {}, found {}", words(kind), found(value)), None),
        }
    }
}

/// The usual slip: the right name in another case.
fn unknown_member(name: &str, members: &[Member]) -> Option<String> {
    let member = members.iter().find(|member| member.name.eq_ignore_ascii_case(name))?;
    Some(format!("did you mean `{}`?", member.name))
}

fn words(kind: &Kind) -> &'static str {
    match kind {
        Kind::Structure { .. } | Kind::Map(_) => "a map",
        Kind::List(_) => "a list",
        Kind::Text { .. } => "a text",
        Kind::Whole => "a whole number",
        Kind::Number => "a number",
        Kind::Bool => "true or false",
        Kind::Blob => "Base64",
        Kind::Time => "a time",
        Kind::Any => "anything",
    }
}

fn found(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

//! The tests inside a fix file: what is read, and what must be sent then. No cloud is asked;
//! `pipeline/remedy` runs them with the engine itself.

use amend_domain::ResourceId;
use serde_json::{Map, Value};

use crate::{
    mistakes::Collector,
    shape::{Kind, Shape, may, must},
    yaml::Node,
};

static SENT: Shape = Shape {
    name: "a sent call",
    fields: &[must("call", Kind::Text, "The call."), may("with", Kind::Any, "Its arguments.")],
};

/// One test.
pub static TEST: Shape = Shape {
    name: "a test",
    fields: &[
        must("name", Kind::Text, "What is shown, as a sentence."),
        must("target", Kind::Text, "The native id of the resource."),
        may("params", Kind::Table(&Kind::Any), "The values of parameters."),
        must("given", Kind::Table(&Kind::Any), "Per read, what the cloud answers; null where there is none."),
        may("refused", Kind::Text, "Part of the message with which nothing is written."),
        may(
            "sends",
            Kind::List(&Kind::Map(&SENT)),
            "The calls that are made; none, if absent: the resource is compliant.",
        ),
        may(
            "then",
            Kind::Table(&Kind::Any),
            "What the reads that changed answer afterwards: the second run must send nothing.",
        ),
        may("undo", Kind::List(&Kind::Map(&SENT)), "The calls that undo it, from there."),
    ],
};

/// One test of a fix.
#[derive(Clone, Debug)]
pub struct FixTest {
    /// What it shows.
    pub name: String,
    /// Its line in the file.
    pub line: usize,
    /// The resource.
    pub target: ResourceId,
    /// The values of parameters.
    pub params: Map<String, Value>,
    /// Per read, what the cloud answers.
    pub given: Map<String, Value>,
    /// What must come of it.
    pub expect: Expect,
}

/// What must come of a test.
#[derive(Clone, Debug)]
pub enum Expect {
    /// The resource is compliant: nothing is sent.
    Nothing,
    /// Nothing is written, with a message that has this part.
    Refused(String),
    /// These calls are made.
    Sends {
        /// They.
        calls: Vec<Sent>,
        /// What the reads that changed answer afterwards.
        then: Map<String, Value>,
        /// The calls that undo it.
        undo: Vec<Sent>,
    },
}

/// A call with its arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    /// The call.
    pub call: String,
    /// Its arguments.
    pub with: Value,
}

/// Reads the tests of a fix.
pub(crate) fn load(node: Option<&Node>, mistakes: &mut Collector) -> Vec<FixTest> {
    let mut tests = Vec::new();
    for node in node.map(Node::elements).unwrap_or_default() {
        let map = |name: &str| match node.get(name).map(Node::to_json) {
            Some(Value::Object(map)) => map,
            _ => Map::new(),
        };
        let expect = match (node.get("refused"), node.get("sends")) {
            (Some(at), Some(_)) => {
                mistakes.error(at, "a test is refused or sends something, not both", None);
                continue;
            }
            (Some(message), None) => Expect::Refused(mistakes.text(message)),
            (None, None) => Expect::Nothing,
            (None, Some(_)) => Expect::Sends {
                calls: sent(node.get("sends"), mistakes),
                then: map("then"),
                undo: sent(node.get("undo"), mistakes),
            },
        };
        if let (Expect::Nothing | Expect::Refused(_), Some(at)) = (&expect, node.get("then").or(node.get("undo"))) {
            mistakes.error(at, "nothing is sent in this test, so nothing follows", None);
        }
        tests.push(FixTest {
            name: node.get("name").map(|name| mistakes.text(name)).unwrap_or_default(),
            line: mistakes.line_of(node),
            target: ResourceId::new(&node.get("target").map(|id| mistakes.text(id)).unwrap_or_default()),
            params: map("params"),
            given: map("given"),
            expect,
        });
    }
    let bad = tests.iter().any(|test| matches!(test.expect, Expect::Sends { .. }));
    let good = tests.iter().any(|test| matches!(test.expect, Expect::Nothing));
    if let Some(node) = node.filter(|_| !(bad && good)) {
        let hint = "at least one test sends something, and one finds nothing to do";
        mistakes.error(node, "the tests of a fix show the bad and the good case", Some(hint.into()));
    }
    tests
}

fn sent(node: Option<&Node>, mistakes: &Collector) -> Vec<Sent> {
    node.map(Node::elements)
        .unwrap_or_default()
        .iter()
        .map(|node| Sent {
            call: node.get("call").map(|call| mistakes.text(call)).unwrap_or_default(),
            with: node.get("with").map_or(Value::Object(Map::new()), Node::to_json),
        })
        .collect()
}

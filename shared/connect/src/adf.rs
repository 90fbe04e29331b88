//! Markdown in the Atlassian Document Format, which Jira Cloud's API (v3) takes for rich text.
//! <https://developer.atlassian.com/cloud/jira/platform/apis/document/structure/>

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use serde_json::{Map, Value, json};

/// A document that says what `markdown` says.
pub(crate) fn document(markdown: &str) -> Value {
    let mut writer = Writer { open: vec![Node::new("doc")], marks: Vec::new() };
    for event in Parser::new_ext(markdown, Options::empty()) {
        writer.take(event);
    }
    while writer.open.len() > 1 {
        writer.end();
    }
    let content = writer.open.pop().map(|doc| doc.content).unwrap_or_default();
    json!({ "type": "doc", "version": 1, "content": content })
}

struct Node {
    kind: &'static str,
    attrs: Option<Value>,
    content: Vec<Value>,
}

impl Node {
    fn new(kind: &'static str) -> Self {
        Self { kind, attrs: None, content: Vec::new() }
    }

    fn with(kind: &'static str, attrs: Value) -> Self {
        Self { kind, attrs: Some(attrs), content: Vec::new() }
    }
}

struct Writer {
    open: Vec<Node>,
    marks: Vec<Value>,
}

impl Writer {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(TagEnd::Strong | TagEnd::Emphasis | TagEnd::Link) => {
                self.marks.pop();
            }
            Event::End(TagEnd::Item) => {
                // A tight item holds its text without a paragraph around it.
                if self.kind() == "paragraph" {
                    self.end();
                }
                self.end();
            }
            Event::End(
                TagEnd::Paragraph | TagEnd::Heading(_) | TagEnd::List(_) | TagEnd::CodeBlock | TagEnd::BlockQuote(_),
            ) => self.end(),
            Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => self.text(&text, None),
            Event::Code(text) => self.text(&text, Some(json!({ "type": "code" }))),
            Event::SoftBreak => self.text(" ", None),
            Event::HardBreak => self.inline(json!({ "type": "hardBreak" })),
            Event::Rule => self.push(json!({ "type": "rule" })),
            _ => {}
        }
    }

    fn kind(&self) -> &'static str {
        self.open.last().map_or("doc", |node| node.kind)
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Paragraph => self.open.push(Node::new("paragraph")),
            Tag::Heading { level, .. } => self.open.push(Node::with("heading", json!({ "level": level as u8 }))),
            Tag::List(None) => self.list("bulletList"),
            Tag::List(Some(_)) => self.list("orderedList"),
            Tag::Item => self.open.push(Node::new("listItem")),
            Tag::CodeBlock(kind) => {
                let language = match kind {
                    pulldown_cmark::CodeBlockKind::Fenced(language) if !language.is_empty() => language.to_string(),
                    _ => "text".to_owned(),
                };
                self.open.push(Node::with("codeBlock", json!({ "language": language })));
            }
            Tag::BlockQuote(_) => self.open.push(Node::new("blockquote")),
            Tag::Strong => self.marks.push(json!({ "type": "strong" })),
            Tag::Emphasis => self.marks.push(json!({ "type": "em" })),
            Tag::Link { dest_url, .. } => {
                self.marks.push(json!({ "type": "link", "attrs": { "href": dest_url.as_ref() } }));
            }
            _ => {}
        }
    }

    fn list(&mut self, kind: &'static str) {
        if self.kind() == "paragraph" {
            self.end();
        }
        self.open.push(Node::new(kind));
    }

    fn text(&mut self, text: &str, mark: Option<Value>) {
        if text.is_empty() {
            return;
        }
        if self.kind() == "codeBlock" {
            self.push(json!({ "type": "text", "text": text }));
            return;
        }
        // Code may be a link, and nothing else.
        let code = mark.is_some();
        let marks: Vec<Value> = self
            .marks
            .iter()
            .filter(|mark| !code || mark.get("type") == Some(&json!("link")))
            .cloned()
            .chain(mark)
            .collect();
        let mut node = Map::from_iter([("type".to_owned(), json!("text")), ("text".to_owned(), json!(text))]);
        if !marks.is_empty() {
            node.insert("marks".into(), Value::Array(marks));
        }
        self.inline(Value::Object(node));
    }

    /// Adds what stands in a line: in a paragraph, where none is open.
    fn inline(&mut self, node: Value) {
        if !["paragraph", "heading", "codeBlock"].contains(&self.kind()) {
            self.open.push(Node::new("paragraph"));
        }
        self.push(node);
    }

    fn push(&mut self, node: Value) {
        if let Some(open) = self.open.last_mut() {
            open.content.push(node);
        }
    }

    /// Ends the block that is open.
    fn end(&mut self) {
        let Some(node) = (self.open.len() > 1).then(|| self.open.pop()).flatten() else { return };
        // Lists and items must hold something.
        if node.content.is_empty() && node.kind != "paragraph" {
            return;
        }
        let mut value = Map::from_iter([("type".to_owned(), json!(node.kind))]);
        if let Some(attrs) = node.attrs {
            value.insert("attrs".into(), attrs);
        }
        value.insert("content".into(), Value::Array(node.content));
        self.push(Value::Object(value));
    }
}

//! What is wrong with a file: all of it, each with its place, the text there, and what to do.

use std::{
    fmt,
    ops::Range,
    sync::{Arc, LazyLock},
};

use miette::{Diagnostic, LabeledSpan, NamedSource, Severity};
use regex::Regex;
use serde::Serialize;

use crate::{SourceText, yaml::Node};

/// How bad a mistake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The file is used; something in it is probably not meant.
    Warning,
    /// The file is not used.
    Error,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mistake {
    /// How bad it is.
    pub level: Level,
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// The offending text, shortened.
    pub text: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it, where we know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The bytes of the file that it is about.
    #[serde(skip)]
    pub span: Range<usize>,
    #[serde(skip)]
    source: Arc<NamedSource<String>>,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Mistake {}

impl Diagnostic for Mistake {
    fn severity(&self) -> Option<Severity> {
        Some(match self.level {
            Level::Warning => Severity::Warning,
            Level::Error => Severity::Error,
        })
    }
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.hint.as_ref().map(|hint| Box::new(hint) as Box<dyn fmt::Display>)
    }
    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        Some(&*self.source)
    }
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(std::iter::once(LabeledSpan::underline(self.span.clone()))))
    }
}

/// All that is wrong with some files.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes {
    list: Vec<Mistake>,
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, mistake) in self.list.iter().enumerate() {
            let Mistake { file, line, column, message, .. } = mistake;
            write!(f, "{}{file}:{line}:{column}: {message}", if at == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl Mistakes {
    /// Them, in the order of the file.
    #[must_use]
    pub fn list(&self) -> &[Mistake] {
        &self.list
    }

    /// Whether one of them keeps the file from being used.
    #[must_use]
    pub fn fatal(&self) -> bool {
        self.list.iter().any(|mistake| mistake.level == Level::Error)
    }

    /// Adds an error about a file as a whole.
    pub fn add_to(&mut self, source: &SourceText, message: impl Into<String>) {
        let mut collector = Collector::new(source);
        collector.error_at(0..0, message, None);
        self.extend(collector.finish());
    }

    /// Adds those of another file.
    pub fn extend(&mut self, other: Self) {
        self.list.extend(other.list);
    }

    /// The result of reading: `value` with the warnings, or the errors.
    ///
    /// # Errors
    /// When one of them is fatal, or there is no value.
    pub fn into_result<T>(mut self, value: Option<T>) -> Result<(T, Self), Self> {
        self.list.sort_by(|a, b| (&a.file, a.span.start).cmp(&(&b.file, b.span.start)));
        match value {
            Some(value) if !self.fatal() => Ok((value, self)),
            _ => Err(self),
        }
    }
}

/// What is not shown: passwords in URLs, keys of webhooks and of hubs, other keys of 32 bytes or more in base64, paths
/// of addresses, and whatever stands after a name that looks like that of a secret, a misspelt one included. What a key
/// is checked with is no secret.
const SECRETS: &str = r#"(?xi)
    ://[^:/@\s"']*:(?<password>[^\s"']+)@
    | whpk_[A-Za-z0-9+/]{43}=
    | (?<hook>wh(?:sec|sk)_[A-Za-z0-9+/=_-]+)
    | (?<key>[A-Za-z0-9+/]{42,}=)
    | https?://[^/\s"']+(?<path>/[^\s"']{4,})
    | \b\w*(?:tok|pass|secret|slack|teams)\w*["']?\ *:\ *
      (?<value> "[^"\n]*" | '[^'\n]*' | \[[^\]]*\] | [|>][-+]?\ *\n\ +\S+ | [^\s,}\]\[{\#|>][^,}\]\n]* )
"#;

/// A text of the same length, with stars for what looks like a secret: an excerpt shows the lines around a mistake,
/// whatever stands there.
fn without_secrets(text: &str) -> String {
    static PATTERN: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(SECRETS).ok());
    // Without the pattern nothing is shown at all.
    let Some(secrets) = &*PATTERN else { return "*".repeat(text.len()) };
    let mut shown = text.to_owned();
    for found in secrets.captures_iter(text) {
        let secret = ["password", "key", "hook", "path", "value"].into_iter().find_map(|name| found.name(name));
        if let Some(secret) = secret {
            let stars: String = secret.as_str().bytes().map(|byte| if byte == b'\n' { '\n' } else { '*' }).collect();
            shown.replace_range(secret.range(), &stars);
        }
    }
    shown
}

/// Collects the mistakes of one file.
pub struct Collector {
    source: Arc<NamedSource<String>>,
    name: String,
    text: String,
    /// The same, byte for byte, without secrets: it is shown.
    shown: String,
    /// Where the lines end: a file may have many mistakes.
    ends: Vec<usize>,
    found: Mistakes,
}

impl Collector {
    /// For the file `source`.
    #[must_use]
    pub fn new(source: &SourceText) -> Self {
        let shown = without_secrets(&source.text);
        Self {
            source: Arc::new(NamedSource::new(&source.name, shown.clone()).with_language("yaml")),
            shown,
            name: source.name.clone(),
            text: source.text.clone(),
            ends: source.text.match_indices('\n').map(|(at, _)| at).collect(),
            found: Mistakes::default(),
        }
    }

    /// The text of a scalar, as it stands in the file where it is a number.
    #[must_use]
    pub fn text(&self, node: &Node) -> String {
        match node.as_text() {
            Some(text) => text.to_owned(),
            None => self.text.get(node.span.clone()).unwrap_or_default().trim().to_owned(),
        }
    }

    /// What stands at some bytes of the file.
    #[must_use]
    pub fn raw(&self, span: Range<usize>) -> &str {
        self.text.get(span).unwrap_or_default()
    }

    /// The texts of one scalar or a list of such.
    #[must_use]
    pub fn texts(&self, node: Option<&Node>) -> Vec<String> {
        node.map(Node::elements).unwrap_or_default().iter().map(|element| self.text(element)).collect()
    }

    /// The line of `node`, from 1.
    #[must_use]
    pub fn line_of(&self, node: &Node) -> usize {
        self.line_at(node.span.start)
    }

    /// The line of a byte, from 1.
    fn line_at(&self, byte: usize) -> usize {
        self.ends.partition_point(|end| *end < byte).saturating_add(1)
    }

    /// Whether an error was already said of `node`.
    #[must_use]
    pub fn has_error_at(&self, node: &Node) -> bool {
        self.found.list.iter().any(|mistake| mistake.level == Level::Error && mistake.span == node.span)
    }

    /// Whether an error was said of anything.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.found.fatal()
    }

    /// An error at `node`.
    pub fn error(&mut self, node: &Node, message: impl Into<String>, hint: Option<String>) {
        self.add(Level::Error, node.span.clone(), message.into(), hint);
    }

    /// A warning at `node`.
    pub fn warn(&mut self, node: &Node, message: impl Into<String>, hint: Option<String>) {
        self.add(Level::Warning, node.span.clone(), message.into(), hint);
    }

    /// An error at some bytes of the file.
    pub fn error_at(&mut self, span: Range<usize>, message: impl Into<String>, hint: Option<String>) {
        self.add(Level::Error, span, message.into(), hint);
    }

    /// A warning at some bytes of the file.
    pub fn warn_at(&mut self, span: Range<usize>, message: impl Into<String>, hint: Option<String>) {
        self.add(Level::Warning, span, message.into(), hint);
    }

    fn add(&mut self, level: Level, span: Range<usize>, message: String, hint: Option<String>) {
        let start = span.start.min(self.text.len());
        let line = self.line_at(start);
        let line_start =
            line.checked_sub(2).and_then(|above| self.ends.get(above)).map_or(0, |end| end.saturating_add(1));
        let text: String = self.shown.get(span.clone()).unwrap_or_default().chars().take(80).collect();
        self.found.list.push(Mistake {
            level,
            file: self.name.clone(),
            line,
            column: self.text.get(line_start..start).unwrap_or_default().chars().count().saturating_add(1),
            text: text.lines().next().unwrap_or_default().to_owned(),
            message,
            hint,
            span: start..span.end.clamp(start, self.text.len()),
            source: Arc::clone(&self.source),
        });
    }

    /// All of them.
    #[must_use]
    pub fn finish(self) -> Mistakes {
        self.found
    }
}

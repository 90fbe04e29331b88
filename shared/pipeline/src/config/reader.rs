//! Options, from the file and the environment: each with its value, and where that comes from.

use std::path::Path;

use amend_catalog::{
    Mistakes, SourceText,
    mistakes::Collector,
    shape::{self, Kind},
    yaml::{self, Node, Value},
};
use amend_domain::Timeframe;
use jiff::SignedDuration;

use super::{
    ConfigOption,
    members::{DEFAULTS, FILE, doc_of, field},
};

/// Reads options, and collects what is wrong with them.
pub(super) struct Reader {
    pub root: Node,
    name: String,
    pub mistakes: Collector,
    found: Mistakes,
    overrides: Vec<Override>,
    options: Vec<ConfigOption>,
}

/// A variable of the environment that overrides an option.
struct Override {
    path: String,
    variable: String,
    text: String,
}

impl Reader {
    /// Looks at the file, if there is one, and the environment.
    pub fn new(file: Option<&SourceText>, environment: &[(String, String)]) -> Self {
        let empty = SourceText::new("(no amend.yaml)", "{}");
        let source = file.unwrap_or(&empty);
        let mut mistakes = Collector::new(source);
        let root = yaml::parse(source, &mut mistakes);
        if let Some(root) = &root {
            shape::check(root, Kind::Map(&FILE), &mut mistakes);
            if file.is_some() && root.get("version").is_none() {
                mistakes.error(root, "amend.yaml lacks `version`", Some("add `version: 1`".into()));
            }
        }
        let mut found = Mistakes::default();
        Self {
            root: root.unwrap_or(Node { value: Value::Map(Vec::new()), span: 0..0 }),
            name: source.name.clone(),
            mistakes,
            overrides: overrides(environment, &mut found),
            found,
            options: Vec::new(),
        }
    }

    fn node(&self, name: &str) -> Option<&Node> {
        name.split('.').try_fold(&self.root, |node, part| node.get(part))
    }

    /// The values of an option, and where they come from; nothing, where it has its default.
    fn values(&mut self, name: &str) -> Option<(Vec<String>, String)> {
        let (texts, from) = match self.overrides.iter().find(|one| one.path == name) {
            Some(one) => (split(name, &one.text), one.variable.clone()),
            None => match name.split('.').try_fold(&self.root, |node, part| node.get(part)) {
                Some(node) => {
                    (self.mistakes.texts(Some(node)), format!("{}:{}", self.name, self.mistakes.line_of(node)))
                }
                None => {
                    let value = DEFAULTS.iter().find(|(path, _)| *path == name).map_or("", |(_, value)| value);
                    self.note(name, value, "default");
                    return None;
                }
            },
        };
        self.note(name, &texts.join(", "), &from);
        Some((texts, from))
    }

    fn note(&mut self, name: &str, value: &str, from: &str) {
        let (value, from) = (value.to_owned(), from.to_owned());
        self.options.push(ConfigOption { name: name.to_owned(), value, from, doc: doc_of(name) });
    }

    /// What is shown as the value of an option that was read last: it may hold a secret.
    pub fn show_as(&mut self, value: String) {
        if let Some(option) = self.options.last_mut() {
            option.value = value;
        }
    }

    /// Shows an option that only the file can hold, before another.
    pub fn show_before(&mut self, other: &str, name: &str, value: String) {
        let from = self.node(name).map(|node| format!("{}:{}", self.name, self.mistakes.line_of(node)));
        let at = self.options.iter().position(|option| option.name == other).unwrap_or(self.options.len());
        let from = from.unwrap_or_else(|| "default".into());
        self.options.insert(at, ConfigOption { name: name.to_owned(), value, from, doc: doc_of(name) });
    }

    /// The texts of an option.
    pub fn texts(&mut self, name: &str) -> Option<Vec<String>> {
        self.values(name).map(|(texts, _)| texts)
    }

    /// The text of an option.
    pub fn text(&mut self, name: &str) -> Option<String> {
        self.values(name).and_then(|(texts, _)| texts.into_iter().next())
    }

    /// What an option says, or that it says nothing of use, and what to do about it.
    pub fn parse<T>(&mut self, name: &str, hint: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        self.parse_all(name, hint, parse).and_then(|all| all.into_iter().next())
    }

    /// The same of each of its values.
    pub fn parse_all<T>(
        &mut self,
        name: &str,
        hint: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let (texts, from) = self.values(name)?;
        let mut parsed = Vec::with_capacity(texts.len());
        for text in texts {
            match parse(&text) {
                Ok(value) => parsed.push(value),
                Err(message) => self.wrong(name, &from, message, hint),
            }
        }
        Some(parsed)
    }

    /// The same of all its values together. They are not shown.
    pub fn parse_whole<T>(
        &mut self,
        name: &str,
        hint: &str,
        parse: impl Fn(&[String]) -> Result<T, String>,
    ) -> Option<T> {
        let (texts, from) = self.values(name)?;
        self.show_as("(not shown)".into());
        parse(&texts).map_err(|message| self.wrong(name, &from, message, hint)).ok()
    }

    /// Has a number in a slot, where an option gives one.
    pub fn whole<N: TryFrom<u32>>(&mut self, name: &str, slot: &mut N) {
        let (least, most) = match field(name).map(|field| &field.kind) {
            Some(Kind::Whole(least, most)) => (*least, *most),
            _ => (0, u32::MAX),
        };
        let number = |text: &str| {
            let number: u32 = text.replace('_', "").parse().map_err(|_| format!("`{text}` is no whole number"))?;
            let fits = (least..=most).contains(&number);
            let number = N::try_from(number).ok().filter(|_| fits);
            number.ok_or_else(|| format!("`{text}` is not between {least} and {most}"))
        };
        if let Some(number) = self.parse(name, "write it in digits", number) {
            *slot = number;
        }
    }

    /// Has a flag in a slot, where an option gives one.
    pub fn flag(&mut self, name: &str, slot: &mut bool) {
        let flag = |text: &str| text.parse().map_err(|_| format!("`{text}` is neither true nor false"));
        if let Some(flag) = self.parse(name, "write `true` or `false`", flag) {
            *slot = flag;
        }
    }

    /// Has a duration in a slot, where an option gives one that is not too short.
    pub fn duration(&mut self, name: &str, least: SignedDuration, hint: &str, slot: &mut SignedDuration) {
        let duration = |text: &str| {
            let time = Timeframe::parse(text).map_err(|error| error.to_string())?;
            let time = SignedDuration::from_secs(time.seconds());
            let words = match least.as_secs() {
                60 => "a minute".to_owned(),
                3_600 => "an hour".to_owned(),
                _ => format!("{least:#}"),
            };
            if time >= least { Ok(time) } else { Err(format!("`{text}` is less than {words}")) }
        };
        if let Some(time) = self.parse(name, hint, duration) {
            *slot = time;
        }
    }

    /// Whether anything is said at a path or below it, in the file or in the environment.
    pub fn has(&self, path: &str) -> bool {
        let below = format!("{path}.");
        self.node(path).is_some() || self.overrides.iter().any(|one| one.path == path || one.path.starts_with(&below))
    }

    /// The names that stand after the start of a path, in the environment.
    pub fn overridden(&self, start: &str) -> Vec<String> {
        let names = self.overrides.iter().filter_map(|one| one.path.strip_prefix(start));
        names.filter_map(|rest| rest.split('.').next()).map(ToOwned::to_owned).collect()
    }

    /// Says that something is wrong, at a path of the file; at the part of it that is there, else.
    pub fn wrong_at(&mut self, path: &str, message: &str, hint: &str) {
        if let Some(one) = self.overrides.iter().find(|one| one.path == path) {
            let variable = one.variable.clone();
            self.found.extend(in_environment(&variable, message.to_owned(), hint));
            return;
        }
        let mut node = &self.root;
        for part in path.split('.') {
            let Some(below) = node.get(part) else { break };
            node = below;
        }
        self.mistakes.error(node, message.to_owned(), Some(hint.to_owned()));
    }

    /// Says that an option does not go with others, where it stands.
    pub fn error_at(&mut self, name: &str, message: &str, hint: &str) {
        let from = self.options.iter().find(|option| option.name == name).map(|option| option.from.clone());
        self.wrong(name, &from.unwrap_or_default(), message.to_owned(), hint);
    }

    /// Warns of a variable of the environment.
    pub fn warn_of(&mut self, variable: &str, message: String, hint: &str) {
        let mut collector = Collector::new(&SourceText::new("(environment)", variable));
        collector.warn_at(0..variable.len(), message, Some(hint.to_owned()));
        self.found.extend(collector.finish());
    }

    /// Says that a value is wrong, where it stands: in the file, or in the environment.
    fn wrong(&mut self, name: &str, from: &str, message: String, hint: &str) {
        let node = name.split('.').try_fold(&self.root, |node, part| node.get(part));
        match node.filter(|_| !from.starts_with("AMEND__")) {
            // The shape may have said so already, in other words.
            Some(node) if self.mistakes.has_error_at(node) => {}
            Some(node) => self.mistakes.error(node, message, Some(hint.to_owned())),
            None => self.found.extend(in_environment(from, message, hint)),
        }
    }

    /// The options that were read, and what is wrong.
    pub fn finish(self) -> (Vec<ConfigOption>, Mistakes) {
        let mut found = self.found;
        found.extend(self.mistakes.finish());
        (self.options, found)
    }
}

/// The value that a file has, without the end of its line.
fn value_in(path: &Path) -> Result<String, String> {
    const LONGEST: u64 = 64 << 10;
    let about = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if about.len() > LONGEST {
        return Err(format!("it has more than {LONGEST} bytes"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Lists are separated by commas in the environment; anything else is one text.
fn split(name: &str, text: &str) -> Vec<String> {
    match field(name).map(|field| &field.kind) {
        Some(Kind::OneOrMany(_) | Kind::List(_)) => text.split(',').map(|text| text.trim().to_owned()).collect(),
        _ => vec![text.trim().to_owned()],
    }
}

fn in_environment(variable: &str, message: String, hint: &str) -> Mistakes {
    let source = SourceText::new("(environment)", variable);
    let mut collector = Collector::new(&source);
    collector.error_at(0..variable.len(), message, Some(hint.to_owned()));
    collector.finish()
}

/// `connect.sec.jira.token`, `notices.channels.sec.slack`: a member of a connector, or of a channel, that is a text.
fn is_of_connector(path: &str) -> bool {
    let parts: Vec<&str> = path.split('.').collect();
    matches!(parts.as_slice(), ["connect", _, _, _] | ["notices", "channels", _, _])
        && field(path).is_some_and(|field| matches!(field.kind, Kind::Text))
}

/// `AMEND__LIMITS__BYTES=…`; or `AMEND__STORE__KEYS_FILE=…`, where a file has the value.
fn overrides(environment: &[(String, String)], found: &mut Mistakes) -> Vec<Override> {
    let known = |path: &str| DEFAULTS.iter().any(|(name, _)| *name == path) || is_of_connector(path);
    let mut overrides: Vec<Override> = Vec::new();
    for (variable, text) in environment {
        let path = variable.trim_start_matches("AMEND__").to_lowercase().replace("__", ".");
        let in_file = path.strip_suffix("_file").filter(|option| !known(&path) && known(option));
        let (path, text) = match in_file {
            None => (path.clone(), text.clone()),
            Some(option) => match value_in(Path::new(text)) {
                Ok(value) => (option.to_owned(), value),
                Err(why) => {
                    let message = format!("the file `{text}`, which has the value, cannot be used: {why}");
                    let hint = "name a file with the value and nothing else, which this process may read";
                    found.extend(in_environment(variable, message, hint));
                    continue;
                }
            },
        };
        if let Some(other) = overrides.iter().find(|other| other.path == path) {
            let message = format!("`{variable}` and `{}` give the same option", other.variable);
            found.extend(in_environment(variable, message, "leave out one of them"));
        } else if known(&path) {
            overrides.push(Override { path, variable: variable.clone(), text });
        } else {
            let near = amend_domain::settings::nearest(&path, DEFAULTS.iter().map(|(name, _)| *name));
            let hint = near.map_or_else(
                || "`amend config explain` lists the options".to_owned(),
                |near| format!("did you mean `AMEND__{}`?", near.to_uppercase().replace('.', "__")),
            );
            found.extend(in_environment(variable, format!("`{variable}` names no option"), &hint));
        }
    }
    overrides
}

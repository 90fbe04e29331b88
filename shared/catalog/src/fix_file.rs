//! Fix files: YAML to [`Fix`]es. The members stand in the tables below; docs/writing-a-fix.md explains
//! them.

use std::time::Duration;

use amend_domain::{
    Cloud, RecommendationKey, digest,
    expr::formula::Formula,
    fix::{
        Ceiling, Cost, Fix, Impact, Level, Locate, Parameter, Precondition, Reach, Read, Reversible, SettingChange,
        Template, Write,
    },
    target::TargetForm,
};
use amend_models::{Call, Texts};

use crate::{
    Mistakes, SourceText,
    fix_test::{self, FixTest},
    mistakes::Collector,
    shape::{self, Kind, Shape, may, must},
    yaml::{self, Node, Value},
};

static IMPACT: Shape = Shape {
    name: "an impact",
    fields: &[
        must("disruption", Kind::Word(Level::WORDS), "What may stop working: none, low, medium, high."),
        must("cost", Kind::Word(Cost::WORDS), "What it costs: none, by usage, a plan."),
        must(
            "reversible",
            Kind::Word(Reversible::WORDS),
            "Whether it can be undone: yes, partly (say what not under `undo_loses`), no.",
        ),
        must(
            "reach",
            Kind::Word(Reach::WORDS),
            "Whom it reaches: the resource, those that share it, the account, the organization.",
        ),
        must("why", Kind::Text, "What may stop working, and for whom, in one sentence."),
    ],
};

static PARAMETER: Shape = Shape {
    name: "a parameter",
    fields: &[
        must("doc", Kind::Text, "What it is for."),
        may("default", Kind::Any, "Its value where nobody gives one; without it, there is a ticket instead of a fix."),
    ],
};

static READ: Shape = Shape {
    name: "a read",
    fields: &[
        must(
            "call",
            Kind::Text,
            "The call: `s3:GetPublicAccessBlock`, `GET Microsoft.Storage/storageAccounts@…`, `storage.buckets.get`.",
        ),
        may("with", Kind::Any, "Its arguments, in the API's own names; a text that starts with `=` is CEL."),
        may(
            "absent_on",
            Kind::OneOrMany(&Kind::Text),
            "Error codes of the cloud that mean \"there is none\": the value is null then.",
        ),
        may("when", Kind::Text, "CEL; where it does not hold, nothing is read and the value is null."),
    ],
};

static LOCATE: Shape = Shape {
    name: "a way to the target",
    fields: &[
        must("from", Kind::Text, "The form of the name of the assessed resource; on the way its parts are `target`."),
        must("reads", Kind::Table(&Kind::Map(&READ)), "What is read on the way, in order."),
        must("to", Kind::Text, "CEL: the native name of the resource that is changed."),
        may("region", Kind::Text, "CEL: the region of that; where the assessed resource is, if absent."),
    ],
};

static PRECONDITION: Shape = Shape {
    name: "a precondition",
    fields: &[
        must("check", Kind::Text, "CEL that must hold before anything is written."),
        must("message", Kind::Text, "What to say where it does not."),
    ],
};

static SETTING: Shape = Shape {
    name: "a setting",
    fields: &[
        must("now", Kind::Text, "CEL: what it is, from what was read."),
        must("then", Kind::Any, "What it shall be."),
        may("sensitive", Kind::Bool, "Whether its values are kept from eyes and logs."),
    ],
};

static WAIT: Shape = Shape {
    name: "a wait",
    fields: &[
        must("check", Kind::Text, "CEL over what is read again; the next call is made when it holds."),
        must("within", Kind::Text, "How long it may take: `10m`."),
    ],
};

/// A call that writes.
static WRITE: Shape = Shape {
    name: "a write",
    fields: &[
        must("call", Kind::Text, "The call."),
        may("with", Kind::Any, "Its arguments, in the API's own names; a text that starts with `=` is CEL."),
        may("when", Kind::Text, "CEL; where it does not hold, the call is not made."),
        may("for_each", Kind::Text, "CEL, a list: the call is made once for each element, named `item`."),
        may("changes", Kind::OneOrMany(&Kind::Text), "The settings that it changes; all, if absent."),
        may("wait_until", Kind::Map(&WAIT), "What must hold before the next call."),
        may("sensitive", Kind::Bool, "Whether its arguments are kept from eyes and logs."),
        may("undo_literal", Kind::Text, "Under `undo`: why a value stands here that does not come from `before`."),
    ],
};

static VERIFY: Shape = Shape {
    name: "a verification",
    fields: &[must("within", Kind::Text, "How long it may take until the settings read back as they shall be: `60s`.")],
};

/// A fix file.
pub static FILE: Shape = Shape {
    name: "a fix",
    fields: &[
        must("version", Kind::Whole(1, 1), "The version of the format: 1."),
        must("id", Kind::Text, "`<cloud>.<service>.<what becomes true>`: `aws.s3.block-public-access`."),
        must("title", Kind::Text, "What it does, in the imperative, under 70 letters."),
        must(
            "closes",
            Kind::List(&Kind::Text),
            "The recommendations that it closes: Defender GUIDs, `policy:…`, `securityhub:…`, `scc:…`.",
        ),
        must(
            "target",
            Kind::OneOrMany(&Kind::Text),
            "The form of the resource's name: `arn:{partition}:s3:::{name}`. Its parts are `target.name` and so on.",
        ),
        may(
            "locate",
            Kind::List(&Kind::Map(&LOCATE)),
            "Ways to the target from resources that are assessed in its stead: from a trail to its bucket.",
        ),
        must("docs", Kind::Text, "The vendor's page about the setting."),
        must("impact", Kind::Map(&IMPACT), "What it may cost its owner."),
        may(
            "ceiling",
            Kind::Word(Ceiling::WORDS),
            "The most that any rule may have it do: ticket, approve, enforce (the default).",
        ),
        may(
            "parameters",
            Kind::Table(&Kind::Map(&PARAMETER)),
            "Values that differ from place to place: `params.NAME`.",
        ),
        must("reads", Kind::Table(&Kind::Map(&READ)), "What is read, in order; expressions use the names."),
        may("let", Kind::Table(&Kind::Text), "Values with a name, in order."),
        may("preconditions", Kind::List(&Kind::Map(&PRECONDITION)), "What must hold before anything is written."),
        must("compliant", Kind::Text, "CEL: when the resource is as it should be, by the source's own condition."),
        must(
            "settings",
            Kind::Table(&Kind::Map(&SETTING)),
            "What is changed: the unit of plan, verification and undo. `now.NAME`, `then.NAME`, and under `undo` `before.NAME`.",
        ),
        must("writes", Kind::List(&Kind::Map(&WRITE)), "The calls that change it, in order."),
        may("verify", Kind::Map(&VERIFY), "How long verifying may take; 60 s if absent."),
        may("undo", Kind::List(&Kind::Map(&WRITE)), "The calls that bring `before` back, in order."),
        may("undo_loses", Kind::Text, "What undoing does not bring back."),
        may("affected", Kind::Text, "CEL, a list of names: what else uses the setting."),
        may("also_touches", Kind::OneOrMany(&Kind::Text), "Forms of names of other resources that the writes touch."),
        must("manual", Kind::Text, "The steps for a person."),
        must("tests", Kind::List(&Kind::Map(&fix_test::TEST)), "The bad case, the good case, a refusal."),
    ],
};

/// A fix with its tests and its source.
#[derive(Clone, Debug)]
pub struct FixFile {
    /// The fix.
    pub fix: Fix,
    /// Its tests.
    pub tests: Vec<FixTest>,
    /// The file.
    pub source: SourceText,
}

/// The JSON Schema of fix files.
#[must_use]
pub fn json_schema() -> serde_json::Value {
    shape::json_schema(&FILE, "Amend fix file")
}

/// Reads a fix file.
///
/// # Errors
/// Every mistake in it.
pub fn load(source: &SourceText) -> Result<(FixFile, Mistakes), Mistakes> {
    let mut mistakes = Collector::new(source);
    let mut read = None;
    if let Some(root) = yaml::parse(source, &mut mistakes)
        && shape::check(&root, Kind::Map(&FILE), &mut mistakes)
    {
        read = Loader::new(&root, &mut mistakes).fix(source);
    }
    mistakes.finish().into_result(read)
}

struct Loader<'a> {
    root: &'a Node,
    mistakes: &'a mut Collector,
    cloud: Cloud,
}

impl<'a> Loader<'a> {
    fn new(root: &'a Node, mistakes: &'a mut Collector) -> Self {
        Self { root, mistakes, cloud: Cloud::Other }
    }

    fn fix(mut self, source: &SourceText) -> Option<FixFile> {
        let root = self.root;
        let target = self.forms("target");
        self.cloud = target.first().map_or(Cloud::Other, TargetForm::cloud);
        let id = self.id()?;
        let parameters = self.parameters();
        let base = vec!["target", "params"];
        let locate = self.locate(&base);
        let reads = self.reads(root.get("reads"), &base);
        // Names count as known where what they stand for has a mistake: one mistake is shown once.
        let read_names = self.names("reads");
        let mut known: Vec<&str> = base.iter().copied().chain(read_names.iter().map(String::as_str)).collect();
        let let_names = self.names("let");
        let mut lets: Vec<(Box<str>, Formula)> = Vec::new();
        for (at, (name, node)) in entries(root.get("let")).iter().enumerate() {
            let text = self.mistakes.text(name);
            let before = let_names.get(..at).unwrap_or_default();
            let names: Vec<&str> = known.iter().copied().chain(before.iter().map(String::as_str)).collect();
            if names.contains(&text.as_str()) {
                self.mistakes.error(name, format!("`{text}` stands for something else already"), None);
            }
            if let Some(formula) = self.formula(node, &names) {
                lets.push((text.into(), formula));
            }
        }
        known.extend(let_names.iter().map(String::as_str));
        let preconditions = list(root.get("preconditions"))
            .iter()
            .filter_map(|node| {
                let check = self.formula(node.get("check")?, &known)?;
                Some(Precondition { check, message: self.text(node.get("message")).into() })
            })
            .collect();
        let compliant = self.formula(root.get("compliant")?, &known);
        let affected = root.get("affected").and_then(|node| self.formula(node, &known));
        let settings = self.settings(&known);
        let names: Vec<String> = settings.iter().map(|setting| setting.name.to_string()).collect();
        let with = |more: &[&'static str]| -> Vec<&str> { known.iter().copied().chain(more.iter().copied()).collect() };
        let writes = self.writes("writes", &with(&["now", "then"]), &names);
        let undo = self.writes("undo", &with(&["now", "then", "before"]), &names);
        let impact = self.impact();
        self.check_undo(&impact, &undo);
        let tests = fix_test::load(root.get("tests"), self.mistakes);
        let verify_within = match root.get("verify").and_then(|verify| verify.get("within")) {
            Some(node) => self.duration(node)?,
            None => Duration::from_secs(60),
        };
        let also_touches = self.forms("also_touches");
        let fix = Fix {
            id: id.into(),
            title: self.text(root.get("title")).into(),
            digest: digest::digest_bytes(source.text.as_bytes()).into(),
            closes: self.closes(),
            target,
            locate,
            impact,
            ceiling: self.word(root.get("ceiling"), Ceiling::parse).unwrap_or(Ceiling::Enforce),
            docs: self.text(root.get("docs")).into(),
            parameters,
            reads,
            lets,
            preconditions,
            compliant: compliant?,
            settings,
            writes,
            verify_within,
            undo,
            undo_loses: root.get("undo_loses").map(|node| self.mistakes.text(node).trim().into()),
            affected,
            also_touches,
            manual: self.text(root.get("manual")).into(),
        };
        Some(FixFile { fix, tests, source: source.clone() })
    }

    fn text(&self, node: Option<&Node>) -> String {
        node.map(|node| self.mistakes.text(node).trim().to_owned()).unwrap_or_default()
    }

    /// The names that stand in a table, in order.
    fn names(&self, member: &str) -> Vec<String> {
        entries(self.root.get(member)).iter().map(|(name, _)| self.mistakes.text(name)).collect()
    }

    fn word<T>(&self, node: Option<&Node>, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        parse(&self.mistakes.text(node?))
    }

    fn id(&mut self) -> Option<String> {
        let node = self.root.get("id")?;
        let id = self.mistakes.text(node);
        let parts: Vec<&str> = id.split('.').collect();
        let fine = |part: &&str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        let [cloud, _, _] = parts.as_slice() else {
            self.mistakes.error(
                node,
                format!("`{id}` has not three parts"),
                Some("write `<cloud>.<service>.<what becomes true>`".into()),
            );
            return None;
        };
        if !parts.iter().all(fine) {
            self.mistakes.error(node, format!("`{id}` is not written in lower-case letters, digits and `-`"), None);
        }
        if Cloud::parse(cloud) != Some(self.cloud) {
            let message = format!("`{id}` does not start with the cloud of its target, `{}`", self.cloud);
            self.mistakes.error(node, message, None);
        }
        Some(id)
    }

    fn closes(&mut self) -> Vec<RecommendationKey> {
        let mut keys = Vec::new();
        for node in list(self.root.get("closes")) {
            let text = self.mistakes.text(node);
            match RecommendationKey::parse(&text) {
                Some(key) => keys.push(key),
                None => {
                    let hint = "a Defender GUID, `policy:…`, `securityhub:…` or `scc:…`";
                    self.mistakes.error(node, format!("`{text}` is no recommendation key"), Some(hint.into()));
                }
            }
        }
        keys
    }

    fn forms(&mut self, member: &str) -> Vec<TargetForm> {
        let mut forms: Vec<TargetForm> = Vec::new();
        for node in list(self.root.get(member)) {
            let Some(form) = self.form(node) else { continue };
            if forms.first().is_none_or(|first| first.cloud() == form.cloud()) {
                forms.push(form);
            } else {
                self.mistakes.error(node, "this is of another cloud than the first", None);
            }
        }
        forms
    }

    fn form(&mut self, node: &Node) -> Option<TargetForm> {
        match TargetForm::parse(&self.mistakes.text(node)) {
            Ok(form) => Some(form),
            Err(error) => {
                let hint = "such as `arn:{partition}:s3:::{name}`";
                self.mistakes.error(node, format!("no form of names: {error}"), Some(hint.into()));
                None
            }
        }
    }

    fn impact(&self) -> Impact {
        let node = self.root.get("impact");
        let member = |name: &str| node.and_then(|node| node.get(name));
        Impact {
            disruption: self.word(member("disruption"), Level::parse).unwrap_or(Level::High),
            cost: self.word(member("cost"), Cost::parse).unwrap_or(Cost::Plan),
            reversible: self.word(member("reversible"), Reversible::parse).unwrap_or(Reversible::No),
            reach: self.word(member("reach"), Reach::parse).unwrap_or(Reach::Organization),
            why: self.text(member("why")).into(),
        }
    }

    fn parameters(&mut self) -> Vec<Parameter> {
        entries(self.root.get("parameters"))
            .iter()
            .map(|(name, node)| Parameter {
                name: self.mistakes.text(name).into(),
                doc: self.text(node.get("doc")).into(),
                default: node.get("default").map(Node::to_json),
            })
            .collect()
    }

    fn locate(&mut self, base: &[&str]) -> Vec<Locate> {
        let mut ways: Vec<Locate> = Vec::new();
        let mut taken = self.names("reads");
        for node in list(self.root.get("locate")) {
            // Tests give answers to reads by their names.
            for (name, _) in entries(node.get("reads")) {
                let text = self.mistakes.text(name);
                if taken.contains(&text) {
                    let message = format!("`{text}` stands for something else already");
                    self.mistakes.error(name, message, Some("a read on the way has a name of its own".into()));
                }
                taken.push(text);
            }
            let reads = self.reads(node.get("reads"), base);
            let all: Vec<String> =
                entries(node.get("reads")).iter().map(|(name, _)| self.mistakes.text(name)).collect();
            let names: Vec<&str> = base.iter().copied().chain(all.iter().map(String::as_str)).collect();
            let to = node.get("to").and_then(|node| self.formula(node, &names));
            let region = node.get("region").and_then(|node| self.formula(node, &names));
            let Some(from) = node.get("from").and_then(|node| self.form(node)) else { continue };
            if from.cloud() != self.cloud
                && let Some(node) = node.get("from")
            {
                self.mistakes.error(node, "this is of another cloud than the target", None);
            }
            let Some(to) = to else { continue };
            ways.push(Locate { from, reads, to, region });
        }
        ways
    }

    fn reads(&mut self, table: Option<&Node>, base: &[&str]) -> Vec<Read> {
        let mut reads: Vec<Read> = Vec::new();
        let all: Vec<String> = entries(table).iter().map(|(name, _)| self.mistakes.text(name)).collect();
        for (at, (name, node)) in entries(table).iter().enumerate() {
            let text = self.mistakes.text(name);
            let reserved = ["target", "params", "now", "then", "before", "item"].contains(&text.as_str());
            if reserved || !is_name(&text) {
                self.mistakes.error(
                    name,
                    format!("a read cannot be called `{text}`"),
                    Some("use a name of your own, in letters, digits and `_`".into()),
                );
                continue;
            }
            let before = all.get(..at).unwrap_or_default();
            let names: Vec<&str> = base.iter().copied().chain(before.iter().map(String::as_str)).collect();
            let with = self.template(node.get("with"), &names);
            let when = node.get("when").and_then(|node| self.formula(node, &names));
            let Some(call) = self.call(node, &with, true) else { continue };
            let absent_on = self.mistakes.texts(node.get("absent_on")).into_iter().map(Into::into).collect();
            reads.push(Read { name: text.into(), call, with, absent_on, when });
        }
        reads
    }

    fn settings(&mut self, known: &[&str]) -> Vec<SettingChange> {
        let mut settings = Vec::new();
        let with_now: Vec<&str> = known.iter().copied().chain(["now"]).collect();
        for (name, node) in entries(self.root.get("settings")) {
            let now = node.get("now").and_then(|node| self.formula(node, known));
            let then = self.template(node.get("then"), &with_now);
            let sensitive = node.get("sensitive").is_some_and(|node| node.value == Value::Bool(true));
            let Some(now) = now else { continue };
            settings.push(SettingChange { name: self.mistakes.text(name).into(), now, then, sensitive });
        }
        if settings.is_empty()
            && let Some(node) = self.root.get("settings")
            && !self.mistakes.has_errors()
        {
            self.mistakes.error(node, "a fix changes at least one setting", None);
        }
        settings
    }

    fn writes(&mut self, member: &str, known: &[&str], settings: &[String]) -> Vec<Write> {
        let undo = member == "undo";
        let mut writes = Vec::new();
        for node in list(self.root.get(member)) {
            let each = node.get("for_each").and_then(|node| self.formula(node, known));
            let names: Vec<&str> = known.iter().copied().chain(each.is_some().then_some("item")).collect();
            let with = self.template(node.get("with"), &names);
            let when = node.get("when").and_then(|node| self.formula(node, known));
            let wait_until = node.get("wait_until").and_then(|wait| {
                let check = self.formula(wait.get("check")?, known)?;
                Some((check, self.duration(wait.get("within")?)?))
            });
            let mut changes: Vec<Box<str>> = Vec::new();
            for name in list(node.get("changes")) {
                let text = self.mistakes.text(name);
                if !settings.contains(&text) {
                    let near = amend_domain::settings::nearest(&text, settings.iter().map(String::as_str));
                    let hint = near.map(|near| format!("did you mean `{near}`?"));
                    self.mistakes.error(name, format!("`{text}` is no setting of this fix"), hint);
                }
                changes.push(text.into());
            }
            let Some(call) = self.call(node, &with, false) else { continue };
            let sensitive = node.get("sensitive").is_some_and(|node| node.value == Value::Bool(true));
            let write = Write { when, for_each: each, call, with, changes, wait_until, sensitive };
            if undo {
                self.check_undo_values(node, &write);
            } else if let Some(why) = node.get("undo_literal") {
                self.mistakes.error(why, "`undo_literal` has a meaning under `undo` alone", None);
            }
            writes.push(write);
        }
        writes
    }

    /// The call, where its API has it and takes such arguments.
    fn call(&mut self, node: &Node, with: &Template, reads: bool) -> Option<Box<str>> {
        let at = node.get("call")?;
        let name = self.mistakes.text(at);
        let call = match Call::find(&name) {
            Ok(call) => call,
            Err(error) => {
                self.mistakes.error(at, error.to_string(), Some(error.hint().to_owned()));
                return None;
            }
        };
        if call.cloud() != self.cloud {
            self.mistakes.error(
                at,
                format!("`{name}` is a call of {}, the target is of {}", call.cloud(), self.cloud),
                None,
            );
        }
        if reads && !call.only_reads() {
            self.mistakes.error(at, format!("`{name}` writes, and stands under `reads`"), None);
        }
        if !reads && call.only_reads() {
            self.mistakes.error(at, format!("`{name}` only reads"), Some("reads stand under `reads`".into()));
        }
        let empty = Template::Literal(serde_json::Value::Null);
        let sketch = if *with == empty { serde_json::json!({}) } else { with.sketch() };
        for wrong in call.check(&sketch, Texts::Later("=")) {
            let mut place = node.get("with").unwrap_or(at);
            for part in wrong.path.split('.') {
                let Some(inner) = place.get(part) else { break };
                place = inner;
            }
            let message =
                if wrong.path.is_empty() { wrong.message } else { format!("`{}` {}", wrong.path, wrong.message) };
            self.mistakes.error(place, message, wrong.hint);
        }
        Some(name.into())
    }

    /// INVARIANT: what undoing writes comes from `before`, or the file says why not.
    fn check_undo_values(&mut self, node: &Node, write: &Write) {
        let from_before = write.formulas().iter().any(|formula| formula.uses("before"));
        if !from_before {
            let hint = "name the setting: `when: =before.NAME == null`, or a value of it under `with`";
            self.mistakes.error(
                node.get("call").unwrap_or(node),
                "this call does not depend on `before`",
                Some(hint.into()),
            );
        }
        if node.get("undo_literal").is_some() {
            return;
        }
        if let Some(with) = node.get("with")
            && let Some(literal) = first_literal(with)
        {
            let hint = "take it from `before`, or say why not under `undo_literal`";
            self.mistakes.error(literal, "undoing writes a value that does not come from `before`", Some(hint.into()));
        }
    }

    fn check_undo(&mut self, impact: &Impact, undo: &[Write]) {
        let root = self.root;
        let at = root.get("impact").and_then(|impact| impact.get("reversible")).unwrap_or(root);
        let loses = root.get("undo_loses").is_some();
        match impact.reversible {
            Reversible::No if !undo.is_empty() => {
                self.mistakes.error(at, "`reversible: no`, and there is an `undo`", None)
            }
            Reversible::Yes | Reversible::Partly if undo.is_empty() && !self.mistakes.has_errors() => {
                self.mistakes.error(at, "it can be undone, and there is no `undo`", None);
            }
            Reversible::Partly if !loses => {
                self.mistakes.error(
                    at,
                    "`reversible: partly`, and nothing says what is lost",
                    Some("say it under `undo_loses`".into()),
                );
            }
            Reversible::Yes if loses => {
                self.mistakes.error(
                    at,
                    "`reversible: yes`, and `undo_loses` says something",
                    Some("write `reversible: partly`".into()),
                );
            }
            _ => {}
        }
    }

    fn duration(&mut self, node: &Node) -> Option<Duration> {
        let text = self.mistakes.text(node);
        let read = text.parse::<jiff::SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok());
        if read.is_none_or(|duration| duration.is_zero()) {
            self.mistakes.error(node, format!("`{text}` is no length of time"), Some("such as `60s` or `10m`".into()));
        }
        read
    }

    /// An expression: the text of a node that must be one.
    fn formula(&mut self, node: &Node, names: &[&str]) -> Option<Formula> {
        let text = self.mistakes.text(node);
        let Some(source) = text.strip_prefix('=') else {
            let message = "expected an expression, found a text";
            self.mistakes.error(node, message, Some(format!("an expression starts with `=`: `={}`", text.trim())));
            return None;
        };
        match Formula::compile(source, names) {
            Ok(formula) => Some(formula),
            Err(error) => {
                // The place within the expression, where the text stands in the file as it is.
                let raw = self.mistakes.raw(node.span.clone());
                let start = raw.find(source).map(|at| node.span.start.saturating_add(at));
                let span = start.map_or(node.span.clone(), |start| {
                    start.saturating_add(error.span.start)..start.saturating_add(error.span.end)
                });
                self.mistakes.error_at(span, error.message, error.hint);
                None
            }
        }
    }

    fn template(&mut self, node: Option<&Node>, names: &[&str]) -> Template {
        let Some(node) = node else { return Template::Literal(serde_json::Value::Null) };
        match &node.value {
            Value::Text(text) if text.starts_with('=') => {
                self.formula(node, names).map_or(Template::Literal(serde_json::Value::Null), Template::Formula)
            }
            Value::List(list) => Template::List(list.iter().map(|node| self.template(Some(node), names)).collect()),
            Value::Map(entries) => {
                let members = entries.iter().map(|(key, node)| {
                    let name = self.mistakes.text(key).into();
                    (name, self.template(Some(node), names))
                });
                Template::Map(members.collect())
            }
            _ => Template::Literal(node.to_json()),
        }
    }
}

/// A name that expressions can use.
fn is_name(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|c| c.is_ascii_alphabetic()) && letters.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The first value in `node` that is no expression. Ids of the target are expressions, too.
fn first_literal(node: &Node) -> Option<&Node> {
    match &node.value {
        Value::Text(text) if text.starts_with('=') => None,
        Value::List(list) => list.iter().find_map(first_literal),
        Value::Map(entries) => entries.iter().find_map(|(_, value)| first_literal(value)),
        _ => Some(node),
    }
}

fn entries(node: Option<&Node>) -> &[(Node, Node)] {
    node.map(Node::entries).unwrap_or_default()
}

fn list(node: Option<&Node>) -> &[Node] {
    node.map(Node::elements).unwrap_or_default()
}

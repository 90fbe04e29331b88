//! The policy of an executor: what the team of its accounts lets be done there.

use std::collections::BTreeMap;

use amend_domain::{
    AccountId, ScopeId, Timeframe,
    fix::{Cost, Level, Reach, Reversible},
    policy::{Most, Policy},
    rule::Mode,
    settings::nearest,
};

use jiff::SignedDuration;

use crate::{
    Catalogue, Mistakes, SourceText,
    mistakes::Collector,
    shape::{self, Kind, Shape, may, must},
    yaml::{self, Node, Value},
};

/// By fix, by parameter.
type Parameters = BTreeMap<Box<str>, BTreeMap<Box<str>, Vec<serde_json::Value>>>;

const TEXTS: Kind = Kind::OneOrMany(&Kind::Text);

static FIXES: Shape = Shape {
    name: "the fixes",
    fields: &[
        may("only", TEXTS, "The fixes that may be done; all, if absent."),
        may("never", TEXTS, "Fixes that may not be done."),
    ],
};

static IMPACT: Shape = Shape {
    name: "the impact",
    fields: &[
        may("disruption", Kind::Word(Level::WORDS), "What may stop working at most: none, low, medium, high."),
        may("cost", Kind::Word(Cost::WORDS), "What it may cost at most: none, by usage, a plan."),
        may("reversible", Kind::Word(Reversible::WORDS), "How far it must be possible to undo it: yes, partly, no."),
        may(
            "reach",
            Kind::Word(Reach::WORDS),
            "Whom it may reach at most: the resource, those that share it, the account, the organization.",
        ),
    ],
};

/// A policy.
pub static FILE: Shape = Shape {
    name: "a policy",
    fields: &[
        must("version", Kind::Whole(1, 1), "The version of the format: 1."),
        may("stopped", Kind::Text, "Why nothing is done, reading included. While this is there, nothing is."),
        must(
            "most",
            Kind::Word(&["observe", "approve", "enforce"]),
            "The most that is done: `observe` writes nothing, `approve` writes on a person's word, `enforce` on a rule's, too.",
        ),
        must("accounts", TEXTS, "The accounts: `aws:111122223333`, `gcp:projects/NAME`."),
        may("fixes", Kind::Map(&FIXES), "Which fixes."),
        may("impact", Kind::Map(&IMPACT), "The most that a fix may cost, on each axis; anything, where one is absent."),
        may("spare", TEXTS, "Names of resources that are let alone; `*` stands for anything."),
        may("undo_within", Kind::Text, "How old what is undone may be; 30 days, if absent."),
        may(
            "parameters",
            Kind::Table(&Kind::Table(&Kind::Any)),
            "The values that parameters of fixes may have, by fix and parameter; their defaults alone, if absent. A list stands for several values; where a value is a list itself, it stands in one.",
        ),
    ],
};

/// The JSON Schema of such files.
#[must_use]
pub fn json_schema() -> serde_json::Value {
    shape::json_schema(&FILE, "Amend executor policy")
}

/// Reads a policy. The fixes that it names are among those of `catalogue`.
///
/// # Errors
/// Every mistake in it.
pub fn load(file: &SourceText, catalogue: &Catalogue) -> Result<Policy, Mistakes> {
    let mut mistakes = Collector::new(file);
    let mut policy = None;
    if let Some(root) = yaml::parse(file, &mut mistakes)
        && shape::check(&root, Kind::Map(&FILE), &mut mistakes)
    {
        policy = Some(read(&root, catalogue, &mut mistakes));
    }
    mistakes.finish().into_result(policy).map(|(policy, _)| policy)
}

fn read(root: &Node, catalogue: &Catalogue, mistakes: &mut Collector) -> Policy {
    let member = |of: &str, name: &str| root.get(of).and_then(|node| node.get(name));
    let each = |node: Option<&Node>| match node.map(|node| (&node.value, node)) {
        Some((Value::List(list), _)) => list.clone(),
        Some((_, node)) => vec![node.clone()],
        None => Vec::new(),
    };
    let mut accounts = Vec::new();
    for node in each(root.get("accounts")) {
        let text = mistakes.text(&node);
        match account(&text) {
            Some(account) if account.as_str().starts_with('/') => {
                mistakes.error(&node, "subscriptions are not reached through executors", None);
            }
            Some(account) => accounts.push(account),
            None => {
                let hint = "write `aws:111122223333` or `gcp:projects/NAME`";
                mistakes.error(&node, format!("`{text}` is no account"), Some(hint.into()));
            }
        }
    }
    if accounts.is_empty() && !mistakes.has_errors() {
        mistakes.error(root.get("accounts").unwrap_or(root), "a policy without an account lets nothing be done", None);
    }
    let mut fixes = |name: &str| -> Option<Vec<Box<str>>> {
        let list = member("fixes", name)?;
        let mut names = Vec::new();
        for node in each(Some(list)) {
            let text = mistakes.text(&node);
            // INVARIANT: a slip in a name must not let be done what was to be forbidden.
            if catalogue.get(&text).is_none() {
                let near = nearest(&text, catalogue.iter().map(|file| &*file.fix.id));
                let hint = near.map(|near| format!("did you mean `{near}`?"));
                mistakes.error(&node, format!("there is no fix `{text}`"), hint);
            }
            names.push(text.into());
        }
        Some(names)
    };
    let (only, never) = (fixes("only"), fixes("never").unwrap_or_default());
    let mut spare = Vec::new();
    for node in each(root.get("spare")) {
        let text = mistakes.text(&node);
        if text.trim().is_empty() {
            mistakes.error(&node, "an empty name spares nothing", None);
        }
        spare.push(Policy::spare(&text));
    }
    let word = |name: &str| member("impact", name).map(|node| mistakes.text(node));
    let impact = Most {
        disruption: word("disruption").and_then(|word| Level::parse(&word)),
        cost: word("cost").and_then(|word| Cost::parse(&word)),
        reversible: word("reversible").and_then(|word| Reversible::parse(&word)),
        reach: word("reach").and_then(|word| Reach::parse(&word)),
    };
    let most = root.get("most").and_then(|node| Mode::parse(&mistakes.text(node))).unwrap_or_default();
    // `stopped: false` is what people write beside `stopped: true`.
    let stopped = root.get("stopped").map(|node| mistakes.text(node)).filter(|why| why != "false").map(Into::into);
    let parameters = parameters(root, catalogue, mistakes);
    let mut undo_within = SignedDuration::from_hours(30 * 24);
    if let Some(node) = root.get("undo_within") {
        match Timeframe::parse(&mistakes.text(node)) {
            Ok(time) => undo_within = SignedDuration::from_secs(time.seconds()),
            Err(error) => mistakes.error(node, error.to_string(), Some("write it as `30d` or `12h`".into())),
        }
    }
    Policy { stopped, most, accounts, only, never, impact, spare, undo_within, parameters }
}

/// The values that parameters may have.
fn parameters(root: &Node, catalogue: &Catalogue, mistakes: &mut Collector) -> Parameters {
    let mut all = Parameters::new();
    for (fix_at, given) in root.get("parameters").map(Node::entries).unwrap_or_default() {
        let fix = mistakes.text(fix_at);
        let Some(file) = catalogue.get(&fix) else {
            let near = nearest(&fix, catalogue.iter().map(|file| &*file.fix.id));
            mistakes.error(
                fix_at,
                format!("there is no fix `{fix}`"),
                near.map(|near| format!("did you mean `{near}`?")),
            );
            continue;
        };
        let values = all.entry(fix.into()).or_default();
        for (name_at, value) in given.entries() {
            let name = mistakes.text(name_at);
            let known = file.fix.parameters.iter().map(|parameter| &*parameter.name);
            if !known.clone().any(|known| known == name) {
                let near = nearest(&name, known).map(|near| format!("did you mean `{near}`?"));
                mistakes.error(name_at, format!("this fix has no parameter `{name}`"), near);
            }
            let list = match value.to_json() {
                serde_json::Value::Array(list) => list,
                one => vec![one],
            };
            values.insert(name.into(), list);
        }
    }
    all
}

/// An account, however people write it.
#[must_use]
pub fn account(text: &str) -> Option<AccountId> {
    let scope = ScopeId::parse(text).ok()?;
    let id = scope.as_str();
    if let Some(number) = id.strip_prefix("aws:") {
        return AccountId::aws(number);
    }
    if let Some(project) = id.strip_prefix("gcp:projects/") {
        return AccountId::gcp(project);
    }
    AccountId::azure(id).filter(|account| account.as_str() == id)
}

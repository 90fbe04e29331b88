//! Rule files: YAML to [`Rule`]s. The members stand in the tables below; docs/rules.md explains them.

use std::{collections::BTreeMap, ops::Range};

use amend_domain::{
    Cloud, RecommendationKey, RiskLevel, Rule, RuleId, RuleSet, ScopeId, Severity, Source, Timeframe, digest,
    expr::Program,
    notice::{Whom, is_address},
    pattern::Pattern,
    rule::{Condition, DueFrom, FixPolicy, FixWhen, Grace, Mode, OwnerSource, RiskAbsent, Scope, Set, TagOn, TagTest},
    scope::ScopeClass,
};

use crate::{
    Mistakes, SourceText,
    mistakes::Collector,
    rule_test::{self, RuleTest},
    shape::{self, Kind, Shape, may, must},
    yaml::{self, Node, Value},
};

const LEVELS: Kind = Kind::Word(&["low", "medium", "high", "critical"]);
const CLOUDS: Kind = Kind::Word(&["azure", "aws", "gcp", "other"]);
const SOURCES: Kind = Kind::Word(&["defender", "policy-state", "security-hub", "scc"]);
const MODES: Kind = Kind::Word(&["observe", "approve", "enforce"]);
const TEXTS: Kind = Kind::OneOrMany(&Kind::Text);

/// A condition on a list of values: the values, or `{ in: …, not_in: … }`.
macro_rules! among {
    ($name:ident, $shape:ident, $one:expr, $of:expr) => {
        static $shape: Shape = Shape {
            name: concat!("a condition on ", $of),
            fields: &[
                may("in", Kind::OneOrMany(&$one), "One of these."),
                may("not_in", Kind::OneOrMany(&$one), "None of these."),
            ],
        };
        const $name: Kind = Kind::Either(&[Kind::OneOrMany(&$one), Kind::Map(&$shape)]);
    };
}
among!(AMONG_LEVELS, SEVERITY, LEVELS, "severity");
among!(AMONG_CLOUDS, CLOUD, CLOUDS, "clouds");
among!(AMONG_SOURCES, SOURCE, SOURCES, "sources");
among!(AMONG_TEXTS, NAMES, Kind::Text, "names");

static RISK: Shape = Shape {
    name: "a condition on risk",
    fields: &[
        may("in", Kind::OneOrMany(&LEVELS), "One of these levels."),
        may("not_in", Kind::OneOrMany(&LEVELS), "None of these levels."),
        may(
            "when_absent",
            Kind::Word(&["unknown", "severity"]),
            "What to say where Defender CSPM did not evaluate risk: `unknown` (the default), or let the severity stand in.",
        ),
    ],
};

static TAG: Shape = Shape {
    name: "a condition on a tag",
    fields: &[
        must("key", Kind::Text, "The tag's key; its case does not matter."),
        may(
            "of",
            Kind::Word(&["resource", "group", "account"]),
            "Whose tag: the resource's (the default), its resource group's, its account's.",
        ),
        may("in", TEXTS, "Its value is one of these; `*` stands for anything. A missing tag is none of them."),
        may("not_in", TEXTS, "Its value is none of these. A missing tag is none of them, so this holds."),
        may("exists", Kind::Bool, "Whether it is there."),
    ],
};

static AGE: Shape = Shape {
    name: "a condition on age",
    fields: &[
        may("at_least", Kind::Text, "The finding has been there at least this long."),
        may("at_most", Kind::Text, "The finding has been there at most this long."),
    ],
};

/// Conditions that must all hold.
pub static SET: Shape = Shape {
    name: "a condition set",
    fields: &[
        may("severity", AMONG_LEVELS, "The recommendation's severity: low, medium, high, critical."),
        may(
            "risk",
            Kind::Either(&[Kind::OneOrMany(&LEVELS), Kind::Map(&RISK)]),
            "The risk level that Defender CSPM evaluated: low, medium, high, critical.",
        ),
        may("risk_factor", AMONG_TEXTS, "A risk factor, such as `exposure to the internet`; `*` stands for anything."),
        may(
            "key",
            AMONG_TEXTS,
            "The recommendation: a Defender GUID, or `defender:…`, `category:…`, `policy:…`, `securityhub:S3.8`, `scc:PUBLIC_BUCKET_ACL`.",
        ),
        may("name", AMONG_TEXTS, "The recommendation's title; `*` stands for anything."),
        may("category", AMONG_TEXTS, "Defender's recommendation category (`SoftwareUpdate`) or area (`Data`)."),
        may("cloud", AMONG_CLOUDS, "The cloud: azure, aws, gcp, other."),
        may(
            "type",
            AMONG_TEXTS,
            "The resource's type: `microsoft.storage/storageaccounts`, `s3.bucket`; `*` stands for anything.",
        ),
        may("region", AMONG_TEXTS, "The resource's region; `*` stands for anything."),
        may("source", AMONG_SOURCES, "Who reports it: defender, policy-state, security-hub, scc."),
        may("tag", Kind::OneOrMany(&Kind::Map(&TAG)), "A tag, or several that must all fit."),
        may("age", Kind::Map(&AGE), "How long the finding has been as it is."),
        may("expr", Kind::OneOrMany(&Kind::Text), "A CEL expression, or several that must all hold."),
        may(
            "not_evaluable",
            Kind::OneOrMany(&Kind::Text),
            "Conditions of an imported Defender rule that Amend cannot evaluate: always unknown.",
        ),
    ],
};

static SCOPE: Shape = Shape {
    name: "a scope",
    fields: &[
        may(
            "in",
            TEXTS,
            "Where the rule holds: management groups, subscriptions, resource groups, resources, security connectors (ARM ids); `aws:o-…`, `aws:ou-…`, `aws:<account>`; `gcp:organizations/…`, `gcp:folders/…`, `gcp:projects/…`. Without it: everywhere.",
        ),
        may(
            "except",
            TEXTS,
            "Where it does not, in the same words. What cannot be known to lie outside is treated as excluded.",
        ),
    ],
};

static OWNER: Shape = Shape {
    name: "an owner",
    fields: &[
        may("manual", Kind::Text, "This person or group."),
        may("tag", Kind::Text, "The value of this tag: of the resource, else its resource group, else its account."),
        may("fallback", Kind::Text, "Who it is where the tag is missing."),
    ],
};

static FIX: Shape = Shape {
    name: "a fix",
    fields: &[
        may(
            "mode",
            MODES,
            "How far it may go: `observe` (the default) shows the change and writes nothing, `approve` asks a person first, `enforce` writes.",
        ),
        may(
            "when",
            Kind::Word(&["now", "at_due", "after_grace"]),
            "When it begins: now (the default), on the due date, or when the grace period has ended.",
        ),
        may(
            "announce",
            Kind::Text,
            "How long before that its owner is told, and can have it done at once, postpone it once, or object: `3d`.",
        ),
    ],
};

/// One rule.
pub static RULE: Shape = Shape {
    name: "a rule",
    fields: &[
        must("id", Kind::Text, "A short unique name: letters, digits, `.`, `_`, `-`."),
        may("name", Kind::Text, "What people call it; the id, if absent."),
        may("enabled", Kind::Bool, "Whether it takes part; true, if absent."),
        must(
            "priority",
            Kind::Whole(0, 1_000_000),
            "Lower goes first. Rules of management scopes go before all others.",
        ),
        may("scope", Kind::Map(&SCOPE), "Where it holds; everywhere, if absent."),
        may("when", Kind::OneOrMany(&Kind::Map(&SET)), "Condition sets of which one must hold; always, if absent."),
        may(
            "owner",
            Kind::Either(&[Kind::Text, Kind::Map(&OWNER)]),
            "Who owns what it governs: an address, or `{ tag: owner, fallback: … }`.",
        ),
        may("due", Kind::Text, "How long the owner has: `14d`, `36h`, or Defender's `d.hh:mm:ss`."),
        may(
            "due_from",
            Kind::Word(&["identified", "first_unhealthy", "released"]),
            "What that counts from: when a rule first governed the finding (the default), when it was first unhealthy, or when it left the backlog.",
        ),
        may(
            "grace",
            Kind::Either(&[Kind::Bool, Kind::Text]),
            "`true`: spared until it is due, as Defender's grace period. A duration: spared that much longer.",
        ),
        may("fix", Kind::Either(&[MODES, Kind::Map(&FIX)]), "Whether and how it is fixed; not, if absent."),
        may("ticket", Kind::Bool, "Whether a ticket is opened; not, if absent."),
        may("notify", TEXTS, "Who is told: addresses or channel names."),
        may("defender", Kind::Any, "The Defender governance rule that this was imported from, kept whole for export."),
    ],
};

/// A rule file.
pub static FILE: Shape = Shape {
    name: "a rule file",
    fields: &[
        must("version", Kind::Whole(1, 1), "The version of the format: 1."),
        may("rules", Kind::List(&Kind::Map(&RULE)), "The rules."),
        may("tests", Kind::List(&Kind::Map(&rule_test::TEST)), "Cases that `amend rules test` runs."),
    ],
};

/// What rule files hold.
#[derive(Debug)]
pub struct Loaded {
    /// The rules, in order, indexed.
    pub rules: RuleSet,
    /// The cases that stand in the files.
    pub tests: Vec<RuleTest>,
}

/// Reads rule files together: they make one rule set.
///
/// # Errors
/// Every mistake in all of them, if one is fatal. Warnings come with the result.
pub fn load(files: &[SourceText]) -> Result<(Loaded, Mistakes), Mistakes> {
    // Once for all expressions, not for each.
    amend_domain::expr::on_a_large_stack(|| load_here(files))
}

fn load_here(files: &[SourceText]) -> Result<(Loaded, Mistakes), Mistakes> {
    let mut mistakes = Mistakes::default();
    let (mut rules, mut tests) = (Vec::new(), Vec::new());
    let mut ids: BTreeMap<String, String> = BTreeMap::new();
    let mut places: BTreeMap<String, (usize, Range<usize>)> = BTreeMap::new();
    let mut same: BTreeMap<(u32, Vec<ScopeId>), String> = BTreeMap::new();
    for (nth, file) in files.iter().enumerate() {
        let mut here = Collector::new(file);
        if let Some(root) = yaml::parse(file, &mut here) {
            // A file with a wrong member still has others to look at.
            shape::check(&root, Kind::Map(&FILE), &mut here);
            for node in root.get("rules").map(Node::elements).unwrap_or_default() {
                let Some(rule) = read_rule(node, &mut here).filter(|rule| rule.id.as_str() != NAMELESS) else {
                    continue;
                };
                let at = node.get("id").unwrap_or(node);
                if let Some(other) = ids.insert(rule.id.to_string(), file.name.clone()) {
                    here.error(
                        at,
                        format!("another rule has the id `{}` (in {other})", rule.id),
                        Some("ids are unique over all rule files".into()),
                    );
                }
                places.insert(rule.id.to_string(), (nth, at.span.clone()));
                if rule.enabled {
                    let mut within = rule.scope.within.clone();
                    within.sort();
                    if let Some(other) = same.insert((rule.priority, within), rule.id.to_string()) {
                        let message =
                            format!("rule `{other}` has the same scope and priority; the id decides which goes first");
                        here.warn(
                            node.get("priority").unwrap_or(at),
                            message,
                            Some("Defender refuses this; give one of them another priority".into()),
                        );
                    }
                }
                rules.push(rule);
            }
            for node in root.get("tests").map(Node::elements).unwrap_or_default() {
                tests.extend(rule_test::read(node, &mut here));
            }
        }
        mistakes.extend(here.finish());
    }
    // The texts alone: the same rules are the same rule set from wherever they are read.
    let texts: Vec<&str> = files.iter().map(|file| file.text.as_str()).collect();
    let digest = digest::digest(&texts).unwrap_or_default();
    let rules = RuleSet::new(rules, digest);
    if !mistakes.fatal() {
        warn_of_unreachable(&rules, files, &places, &mut mistakes);
    }
    mistakes.into_result(Some(Loaded { rules, tests }))
}

/// Says which rules can never govern, as one before them holds for everything.
fn warn_of_unreachable(
    rules: &RuleSet,
    files: &[SourceText],
    places: &BTreeMap<String, (usize, Range<usize>)>,
    mistakes: &mut Mistakes,
) {
    let all = |rule: &&Rule| {
        rule.enabled && rule.when.is_empty() && rule.scope.within.is_empty() && rule.scope.except.is_empty()
    };
    let Some(first) = rules.rules().iter().find(all) else { return };
    let mut collectors: Vec<Collector> = files.iter().map(Collector::new).collect();
    let after = rules.rules().iter().skip_while(|rule| rule.id != first.id).skip(1);
    for rule in after.filter(|rule| rule.enabled) {
        let message =
            format!("rule `{}` can never govern: `{}` goes before it and holds for everything", rule.id, first.id);
        let hint = if rule.class() == ScopeClass::Single {
            "management scopes go before single scopes, and a rule without a scope is as wide as can be; give it conditions or a scope"
        } else {
            "give it a lower priority number, or the other conditions"
        };
        let place = places.get(rule.id.as_str());
        if let Some((here, span)) = place.and_then(|(nth, span)| Some((collectors.get_mut(*nth)?, span))) {
            here.warn_at(span.clone(), message, Some(hint.to_owned()));
        }
    }
    collectors.into_iter().for_each(|here| mistakes.extend(here.finish()));
}

/// The JSON Schema of rule files.
#[must_use]
pub fn json_schema() -> serde_json::Value {
    shape::json_schema(&FILE, "Amend rule file")
}

fn word<T>(node: Option<&Node>, read: impl Fn(&str) -> Option<T>) -> Option<T> {
    node.and_then(Node::as_text).and_then(read)
}

/// Stands in for an id that cannot be used; such a rule is an error, and never kept.
const NAMELESS: &str = "-nameless-";

fn read_rule(node: &Node, mistakes: &mut Collector) -> Option<Rule> {
    // A rule without a usable id or priority is still read on: its other mistakes are shown, too.
    let nameless = RuleId::parse(NAMELESS)?;
    let id_node = node.get("id").unwrap_or(node);
    let text = node.get("id").map(|id| mistakes.text(id)).unwrap_or_default();
    let id = RuleId::parse(&text).filter(|id| *id != nameless);
    if id.is_none() && node.get("id").is_some() {
        mistakes.error(
            id_node,
            format!("`{text}` is no id"),
            Some("letters, digits, `.`, `_` and `-`, at most 128".into()),
        );
    }
    let priority = match node.get("priority").map(|n| &n.value) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the shape limits it to 0..=1,000,000"
        )]
        Some(Value::Number(n)) if *n >= 0.0 && *n <= 1e6 => *n as u32,
        _ => 0,
    };
    let flag = |name: &str, otherwise: bool| match node.get(name).map(|n| &n.value) {
        Some(Value::Bool(b)) => *b,
        _ => otherwise,
    };
    let timeframe = |node: &Node, mistakes: &mut Collector| {
        let text = mistakes.text(node);
        Timeframe::parse(&text)
            .map_err(|error| mistakes.error(node, format!("`{text}` is no duration"), Some(error.to_string())))
            .ok()
    };
    let due = node.get("due").and_then(|due| timeframe(due, mistakes));
    let grace = node.get("grace").and_then(|grace| match &grace.value {
        Value::Bool(true) => Some(Grace::UntilDue),
        Value::Bool(false) => None,
        _ if grace.as_text() == Some("until_due") => Some(Grace::UntilDue),
        _ => timeframe(grace, mistakes).map(Grace::AfterDue),
    });
    if let (Some(grace), None) = (node.get("grace").filter(|_| grace.is_some()), node.get("due")) {
        mistakes.error(grace, "a grace period needs a due date", Some("add `due: 14d`".into()));
    }
    let fix = node.get("fix").map(|fix| {
        let mode = |text: &str| [Mode::Observe, Mode::Approve, Mode::Enforce].into_iter().find(|m| m.as_str() == text);
        FixPolicy {
            mode: word(Some(fix), mode).or_else(|| word(fix.get("mode"), mode)).unwrap_or_default(),
            when: word(fix.get("when"), |text| match text {
                "at_due" => Some(FixWhen::AtDue),
                "after_grace" => Some(FixWhen::AfterGrace),
                _ => None,
            })
            .unwrap_or_default(),
            announce: fix.get("announce").and_then(|announce| timeframe(announce, mistakes)),
        }
    });
    let announce = node.get("fix").and_then(|fix| fix.get("announce"));
    if let Some(at) = announce.filter(|_| fix.is_some_and(|fix| fix.announce.is_some_and(|time| time.seconds() == 0))) {
        mistakes.error(at, "an announcement of no time is none", Some("write it as `3d`, or leave it out".into()));
    }
    if let Some(at) = announce.filter(|_| fix.is_some_and(|fix| fix.mode != Mode::Enforce)) {
        let hint = "add `mode: enforce`; whoever is asked by `approve` needs no announcement";
        mistakes.error(at, "only what is written without asking is announced", Some(hint.into()));
    }
    if let (Some(FixPolicy { when: FixWhen::AtDue | FixWhen::AfterGrace, .. }), None) = (fix, node.get("due")) {
        let at = node.get("fix").and_then(|fix| fix.get("when")).unwrap_or(id_node);
        mistakes.error(
            at,
            "a fix that waits for the due date needs one",
            Some("add `due: 14d`, or `when: now`".into()),
        );
    }
    refuse_empty("when", node.get("when"), mistakes);
    Some(Rule {
        name: node.get("name").map_or_else(|| text.as_str().into(), |name| mistakes.text(name).into()),
        id: id.unwrap_or(nameless),
        enabled: flag("enabled", true),
        priority,
        scope: node.get("scope").map(|scope| read_scope(scope, mistakes)).unwrap_or_default(),
        when: node
            .get("when")
            .map(Node::elements)
            .unwrap_or_default()
            .iter()
            .map(|set| read_set(set, mistakes))
            .collect(),
        owner: read_owner(node.get("owner"), mistakes),
        due,
        due_from: word(node.get("due_from"), |text| match text {
            "first_unhealthy" => Some(DueFrom::FirstUnhealthy),
            "released" => Some(DueFrom::Released),
            _ => None,
        })
        .unwrap_or_default(),
        grace,
        fix,
        ticket: flag("ticket", false),
        notify: read_notify(node.get("notify"), mistakes),
        defender: node.get("defender").map(|original| Box::new(original.to_json())),
    })
}

fn read_scope(node: &Node, mistakes: &mut Collector) -> Scope {
    let mut list = |name: &str| {
        let mut scopes = Vec::new();
        refuse_empty(name, node.get(name), mistakes);
        for element in node.get(name).map(Node::elements).unwrap_or_default() {
            match ScopeId::parse(&mistakes.text(element)) {
                Ok(scope) => scopes.push(scope),
                Err(error) => mistakes.error(
                    element,
                    error.to_string(),
                    Some("an ARM id (`/subscriptions/…`), `aws:<account>`, `aws:ou-…`, `gcp:projects/…`, `gcp:folders/…`; docs/rules.md lists them".into()),
                ),
            }
        }
        scopes
    };
    let scope = Scope { within: list("in"), except: list("except") };
    let classes: Vec<ScopeClass> = scope.within.iter().map(ScopeId::class).collect();
    if classes.contains(&ScopeClass::Management) && classes.contains(&ScopeClass::Single) {
        let at = node.get("in").unwrap_or(node);
        mistakes.error(
            at,
            "management scopes and single scopes do not mix: they take different places in the order",
            Some("write two rules".into()),
        );
    }
    scope
}

/// An empty list says nothing, where its author meant something: it would hold for everything.
fn refuse_empty(name: &str, node: Option<&Node>, mistakes: &mut Collector) {
    if let Some(node) = node
        && node.elements().is_empty()
        && !mistakes.has_error_at(node)
    {
        mistakes.error(node, format!("`{name}` lists nothing"), Some("remove it, or list a value".into()));
    }
}

fn read_notify(node: Option<&Node>, mistakes: &mut Collector) -> Vec<Box<str>> {
    let mut all = Vec::new();
    for element in node.map(Node::elements).unwrap_or_default() {
        let text = mistakes.text(element);
        let fits = match Whom::named(&text) {
            Whom::Address(address) => is_address(&address),
            Whom::Channel(name) => {
                !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            }
            Whom::Owner(_) => false,
        };
        if fits {
            all.push(text.trim().into());
        } else {
            let hint = "a channel of amend.yaml, as `#cloud-security`; or an address, as `ines@example.org`";
            mistakes.error(element, format!("`{text}` is neither a channel nor an address"), Some(hint.into()));
        }
    }
    all
}

fn read_owner(node: Option<&Node>, mistakes: &mut Collector) -> OwnerSource {
    let Some(node) = node else { return OwnerSource { manual: None, tag: None, fallback: None } };
    let text = |node: Option<&Node>| node.map(|n| mistakes.text(n).into());
    let owner = match &node.value {
        Value::Map(_) => OwnerSource {
            manual: text(node.get("manual")),
            tag: text(node.get("tag")),
            fallback: text(node.get("fallback")),
        },
        _ => OwnerSource { manual: text(Some(node)), tag: None, fallback: None },
    };
    if owner.manual.is_some() && owner.tag.is_some() {
        mistakes.error(
            node,
            "an owner is named (`manual`) or found by `tag`, not both",
            Some("keep `tag`, with the name as `fallback`".into()),
        );
    }
    if owner.fallback.is_some() && owner.tag.is_none() {
        mistakes.error(node, "`fallback` needs `tag`", Some("write the name as `manual`".into()));
    }
    owner
}

fn read_set(node: &Node, mistakes: &mut Collector) -> Set {
    if matches!(&node.value, Value::Map(entries) if entries.is_empty()) {
        let hint = "remove it, or give a condition";
        mistakes.error(node, "a set without conditions holds for everything", Some(hint.into()));
    }
    let mut set = Vec::new();
    let mut expressions = Vec::new();
    for (key, value) in node.entries() {
        let member = key.as_text().unwrap_or_default();
        if matches!(member, "tag" | "expr" | "not_evaluable") {
            refuse_empty(member, Some(value), mistakes);
        }
        match member {
            "tag" => set.extend(value.elements().iter().filter_map(|tag| read_tag(tag, mistakes))),
            "age" => {
                let mut limit = |name: &str| {
                    let node = value.get(name)?;
                    let text = mistakes.text(node);
                    Timeframe::parse(&text)
                        .map_err(|error| {
                            mistakes.error(node, format!("`{text}` is no duration"), Some(error.to_string()))
                        })
                        .ok()
                };
                let (at_least, at_most) = (limit("at_least"), limit("at_most"));
                if value.entries().is_empty() {
                    mistakes.error(value, "`age` asks nothing", Some("give `at_least` or `at_most`".into()));
                }
                set.push(Condition::Age { at_least, at_most });
            }
            "expr" => {
                for expression in value.elements() {
                    expressions.extend(read_expression(expression, mistakes));
                }
            }
            "not_evaluable" => {
                set.extend(mistakes.texts(Some(value)).into_iter().map(|text| Condition::NotEvaluable(text.into())));
            }
            _ => {
                let (plain, negated) = match &value.value {
                    Value::Map(_) => (value.get("in"), value.get("not_in")),
                    _ => (Some(value), None),
                };
                if plain.is_none() && negated.is_none() {
                    mistakes.error(value, format!("`{member}` asks nothing"), Some("give `in` or `not_in`".into()));
                }
                let when_absent = match value.get("when_absent").and_then(Node::as_text) {
                    Some("severity") => RiskAbsent::Severity,
                    _ => RiskAbsent::Unknown,
                };
                set.extend(plain.and_then(|list| condition(member, list, when_absent, mistakes)));
                let not = negated.and_then(|list| condition(member, list, when_absent, mistakes));
                set.extend(not.map(|condition| Condition::Not(Box::new(condition))));
            }
        }
    }
    // What costs most is asked last.
    set.extend(expressions.into_iter().map(Condition::Expr));
    Set(set)
}

fn condition(member: &str, list: &Node, when_absent: RiskAbsent, mistakes: &mut Collector) -> Option<Condition> {
    if list.elements().is_empty() {
        mistakes.error(
            list,
            format!("`{member}` lists nothing, so it never holds"),
            Some("remove it, or list a value".into()),
        );
        return None;
    }
    let texts = mistakes.texts(Some(list));
    let words = texts.iter().map(String::as_str);
    let patterns = || texts.iter().map(|text| Pattern::new(text)).collect();
    Some(match member {
        "severity" => Condition::Severity(words.filter_map(Severity::parse).collect()),
        "risk" => Condition::Risk { levels: words.filter_map(RiskLevel::parse).collect(), when_absent },
        "risk_factor" => Condition::RiskFactor(patterns()),
        "key" => {
            let mut keys = Vec::new();
            for (element, text) in list.elements().iter().zip(&texts) {
                match RecommendationKey::parse(text) {
                    Some(key) => keys.push(key),
                    None => mistakes.error(
                        element,
                        format!("`{text}` is no recommendation key"),
                        Some("a Defender GUID, or `category:…`, `policy:…`, `securityhub:…`, `scc:…`; for titles use `name`".into()),
                    ),
                }
            }
            keys.sort();
            Condition::Key(keys)
        }
        "name" => Condition::Title(patterns()),
        "category" => Condition::Category(patterns()),
        "cloud" => Condition::Cloud(words.filter_map(Cloud::parse).collect()),
        "type" => Condition::Type(patterns()),
        "region" => Condition::Region(patterns()),
        "source" => Condition::Source(
            words
                .filter_map(|word| {
                    let all = [Source::Defender, Source::PolicyState, Source::SecurityHub, Source::Scc];
                    all.into_iter().find(|source| source.as_str() == word)
                })
                .collect(),
        ),
        _ => return None,
    })
}

fn read_tag(node: &Node, mistakes: &mut Collector) -> Option<Condition> {
    let key: Box<str> = mistakes.text(node.get("key")?).into();
    let on = match node.get("of").and_then(Node::as_text) {
        Some("group") => TagOn::Group,
        Some("account") => TagOn::Account,
        _ => TagOn::Resource,
    };
    refuse_empty("in", node.get("in"), mistakes);
    refuse_empty("not_in", node.get("not_in"), mistakes);
    let tests = [node.get("in"), node.get("not_in"), node.get("exists")];
    if tests.iter().flatten().count() != 1 {
        mistakes.error(node, "a tag is asked one thing", Some("give one of `in`, `not_in`, `exists`".into()));
        return None;
    }
    let patterns =
        |list: &Node, mistakes: &Collector| mistakes.texts(Some(list)).iter().map(|text| Pattern::new(text)).collect();
    let [within, without, exists] = tests;
    if let Some(list) = within {
        return Some(Condition::Tag { on, key, test: TagTest::In(patterns(list, mistakes)) });
    }
    if let Some(list) = without {
        let test = TagTest::In(patterns(list, mistakes));
        return Some(Condition::Not(Box::new(Condition::Tag { on, key, test })));
    }
    let wanted = matches!(exists.map(|n| &n.value), Some(Value::Bool(true)));
    Some(Condition::Tag { on, key, test: TagTest::Present(wanted) })
}

fn read_expression(node: &Node, mistakes: &mut Collector) -> Option<Program> {
    let text = mistakes.text(node);
    match Program::compile(&text) {
        Ok(program) => Some(program),
        Err(error) => {
            // The place inside the file is exact where the expression stands there as written.
            let written = mistakes.raw(node.span.clone());
            let span = match written.find(text.as_str()) {
                Some(at) => {
                    let start = node.span.start.saturating_add(at);
                    start.saturating_add(error.span.start)..start.saturating_add(error.span.end)
                }
                None => node.span.clone(),
            };
            mistakes.error_at(span, error.message, error.hint);
            None
        }
    }
}

//! Facts in a file: hierarchy and tags that events do not carry, until they are read from the clouds.

use std::{collections::BTreeMap, sync::Arc};

use amend_domain::{Assessment, Fact, Facts, ResourceId, ScopeId, Tags, facts::Known};
use jiff::Timestamp;

use crate::{
    Mistakes, SourceText,
    mistakes::Collector,
    shape::{self, Kind, Shape, may, must},
    yaml::{self, Node},
};

const TAGS: Kind = Kind::Table(&Kind::Text);

static ACCOUNT: Shape = Shape {
    name: "an account",
    fields: &[
        must("id", Kind::Text, "`/subscriptions/…`, `aws:<account>`, `gcp:projects/<number>`."),
        may("name", Kind::Text, "What people call it."),
        may(
            "ancestors",
            Kind::List(&Kind::Text),
            "The management scopes above it, outermost first; not known, if absent.",
        ),
        may("tags", TAGS, "Its tags; not known, if absent."),
    ],
};

static TAGGED: Shape = Shape {
    name: "a tagged thing",
    fields: &[must("id", Kind::Text, "Its native id."), must("tags", TAGS, "Its tags; `{}` where it has none.")],
};

/// A facts file.
pub static FILE: Shape = Shape {
    name: "a facts file",
    fields: &[
        must("version", Kind::Whole(1, 1), "The version of the format: 1."),
        may("accounts", Kind::List(&Kind::Map(&ACCOUNT)), "Subscriptions, accounts and projects."),
        may("groups", Kind::List(&Kind::Map(&TAGGED)), "Resource groups and their tags."),
        may("resources", Kind::List(&Kind::Map(&TAGGED)), "Resources and their tags."),
    ],
};

/// What a facts file says.
#[derive(Clone, Debug, Default)]
pub struct FactsFile {
    ancestors: BTreeMap<Box<str>, Arc<Known<Vec<ScopeId>>>>,
    names: BTreeMap<Box<str>, Arc<str>>,
    tags: BTreeMap<Box<str>, Arc<Known<Tags>>>,
}

/// The JSON Schema of facts files.
#[must_use]
pub fn json_schema() -> serde_json::Value {
    shape::json_schema(&FILE, "Amend facts file")
}

/// Reads a facts file. `read` is when it was written, or read: what the facts' age counts from.
///
/// # Errors
/// Every mistake in it.
pub fn load(file: &SourceText, read: Timestamp) -> Result<FactsFile, Mistakes> {
    let mut mistakes = Collector::new(file);
    let mut facts = FactsFile::default();
    let source: Arc<str> = file.name.as_str().into();
    if let Some(root) = yaml::parse(file, &mut mistakes) {
        shape::check(&root, Kind::Map(&FILE), &mut mistakes);
        for account in root.get("accounts").map(Node::elements).unwrap_or_default() {
            let Some(id_node) = account.get("id") else { continue };
            let id: Box<str> = match ScopeId::parse(&mistakes.text(id_node)) {
                Ok(scope) if scope.account() == Some(scope.as_str()) => scope.as_str().into(),
                _ => {
                    let hint = "`/subscriptions/…`, `aws:<12 digits>` or `gcp:projects/<number or id>`";
                    mistakes.error(id_node, format!("`{}` is no account", mistakes.text(id_node)), Some(hint.into()));
                    continue;
                }
            };
            if let Some(name) = account.get("name") {
                facts.names.insert(id.clone(), mistakes.text(name).into());
            }
            if let Some(list) = account.get("ancestors") {
                let mut scopes = Vec::new();
                for element in list.elements() {
                    match ScopeId::parse(&mistakes.text(element)) {
                        Ok(scope) => scopes.push(scope),
                        Err(error) => mistakes.error(element, error.to_string(), None),
                    }
                }
                let known = Known { value: scopes, source: Arc::clone(&source), read };
                facts.ancestors.insert(id.clone(), Arc::new(known));
            }
            if let Some(tags) = account.get("tags") {
                add_tags(&mut facts, id_node, id, tags, &source, read, &mut mistakes);
            }
        }
        for list in ["groups", "resources"] {
            for tagged in root.get(list).map(Node::elements).unwrap_or_default() {
                if let (Some(id_node), Some(tags)) = (tagged.get("id"), tagged.get("tags")) {
                    let id = ResourceId::new(&mistakes.text(id_node)).as_str().into();
                    add_tags(&mut facts, id_node, id, tags, &source, read, &mut mistakes);
                }
            }
        }
    }
    mistakes.finish().into_result(Some(facts)).map(|(facts, _)| facts)
}

fn add_tags(
    facts: &mut FactsFile,
    at: &Node,
    id: Box<str>,
    tags: &Node,
    source: &Arc<str>,
    read: Timestamp,
    mistakes: &mut Collector,
) {
    let value = Tags(tags.entries().iter().map(|(key, value)| (mistakes.text(key), mistakes.text(value))).collect());
    let known = Arc::new(Known { value, source: Arc::clone(source), read });
    if let Some(before) = facts.tags.insert(id.clone(), Arc::clone(&known))
        && before.value != known.value
    {
        mistakes.error(at, format!("`{id}` stands here twice, with different tags"), None);
    }
}

impl FactsFile {
    /// The management scopes above an account; none where they are not known.
    #[must_use]
    pub fn ancestors_of(&self, account: &str) -> &[ScopeId] {
        self.ancestors.get(account).map(|known| known.value.as_slice()).unwrap_or_default()
    }

    /// What the file says about an assessed resource.
    #[must_use]
    pub fn about(&self, assessment: &Assessment, now: Timestamp) -> Facts {
        let resource = &assessment.resource;
        let account = resource.account.as_ref().map(amend_domain::AccountId::as_str);
        let tags = |id: Option<&str>| -> Fact<Tags> { id.and_then(|id| self.tags.get(id)).cloned() };
        Facts {
            now,
            ancestors: account.and_then(|id| self.ancestors.get(id)).cloned(),
            tags: tags(Some(resource.id.as_str())),
            group_tags: tags(resource.group()),
            account_tags: tags(account),
            account_name: account.and_then(|id| self.names.get(id)).cloned(),
            unread: Vec::new(),
        }
    }
}

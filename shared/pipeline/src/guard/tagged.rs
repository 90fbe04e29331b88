//! What tags say against a write: that code manages the resource, or that somebody holds all that bear such a tag.
//! They are read once for both, of what would be changed and of what was assessed.

use amend_cloud::FactSource;
use amend_domain::{
    Resource, ResourceId,
    facts::Need,
    guard::Hold,
    plan::At,
    thing::{Read, Thing},
};
use jiff::Timestamp;

use super::{Check, Says, Sight, pass};

/// The tags of a resource, and of the one that was assessed.
#[derive(Default)]
pub(crate) struct Tagged(Vec<Read>);

impl Tagged {
    /// Reads them. `assessed` is the resource that led here.
    pub(crate) async fn read(at: &At, assessed: Option<&Resource>, facts: &dyn FactSource, now: Timestamp) -> Self {
        let named = |id: &ResourceId| Resource {
            id: id.clone(),
            cloud: at.cloud,
            kind: None,
            name: "".into(),
            account: at.account.clone(),
            region: at.region.clone(),
            connector: None,
        };
        let (changed, via) = (named(&at.resource), at.via.as_ref().map(named));
        let all = [Some(&changed), assessed.or(via.as_ref())];
        let mut things: Vec<Thing> =
            all.into_iter().flatten().filter_map(|one| Thing::behind(Need::Tags, one)).collect();
        things.dedup_by(|a, b| a.id == b.id);
        Self(facts.read(&things, now).await)
    }

    /// Each tag, with its value.
    fn each(&self) -> impl Iterator<Item = (&str, &str)> {
        let tags = self.0.iter().filter_map(|read| read.tags.as_ref()).flat_map(|tags| &tags.value.0);
        tags.map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Why there may be others.
    fn unread(&self) -> Option<&str> {
        match self.0.iter().find(|read| read.tags.is_none()) {
            Some(read) => Some(read.failed.as_deref().unwrap_or("nobody knows them")),
            None if self.0.is_empty() => Some("this kind of resource has none that can be read"),
            None => None,
        }
    }
}

/// A hold on what bears these tags; or one that may be, and why that is not known.
pub(crate) fn holding<'h>(holds: &'h [Hold], tagged: &Tagged) -> Option<(&'h Hold, Option<String>)> {
    let covers = |hold: &Hold| {
        let Some((key, value)) = hold.tag() else { return true };
        tagged.each().any(|(k, v)| k.eq_ignore_ascii_case(key) && value.is_none_or(|value| value == v))
    };
    let (covering, others): (Vec<&Hold>, Vec<&Hold>) = holds.iter().partition(|hold| covers(hold));
    if let Some(hold) = covering.into_iter().max_by_key(|hold| hold.until) {
        return Some((hold, None));
    }
    let may = others.into_iter().max_by_key(|hold| hold.until)?;
    Some((may, Some(format!("its tags cannot be read: {}", tagged.unread()?))))
}

/// Whether somebody holds it.
pub(super) fn hold(sight: &Sight<'_>, tagged: &Tagged) -> Check {
    match holding(&sight.tally.holds, tagged) {
        Some((hold, None)) => {
            let why = format!("{} holds {}: {}", hold.by, hold.on, hold.why);
            Check::new("hold", Says::Wait { until: hold.until }, why)
        }
        Some((hold, Some(unread))) => {
            Check::new("hold", Says::Ask, format!("{} holds {}, and {unread}", hold.by, hold.on))
        }
        None => pass("hold", "nobody holds it"),
    }
}

/// Tags that tools put on what they manage, with the values that say otherwise.
/// (Config Connector's: <https://cloud.google.com/config-connector/docs/concepts/managing-conflicts>.)
const MANAGED: [&str; 9] = [
    "aws:cloudformation:stack-id",
    "cnrm-lease-holder-id",
    "goog-terraform-provisioned",
    "iac",
    "managed-by",
    "managed-by-cnrm",
    "managed_by",
    "managedby",
    "terraform",
];
const NOT_MANAGED: [&str; 6] = ["", "false", "no", "none", "manual", "portal"];

/// Whether code manages it.
pub(super) fn managed(sight: &Sight<'_>, tagged: &Tagged) -> Check {
    let own = |key: &str, value: &str| {
        sight.settings.managed_tags.iter().any(|tag| match tag.split_once('=') {
            Some((name, wanted)) => name.eq_ignore_ascii_case(key) && wanted == value,
            None => tag.eq_ignore_ascii_case(key),
        })
    };
    let known = |key: &str, value: &str| {
        MANAGED.iter().any(|name| name.eq_ignore_ascii_case(key))
            && !NOT_MANAGED.iter().any(|word| word.eq_ignore_ascii_case(value.trim()))
    };
    if let Some((key, value)) = tagged.each().find(|(key, value)| own(key, value) || known(key, value)) {
        return Check::new("managed", Says::No, format!("code manages it (tag {key}={value}): change it there"));
    }
    match tagged.unread() {
        Some(why) => Check::new("managed", Says::Ask, format!("its tags cannot be read: {why}")),
        None => pass("managed", "no tag says that code manages it"),
    }
}

//! The table of settings: which recommendations of which sources speak of the same one.

use std::collections::BTreeMap;

use amend_domain::{RecommendationKey, Settings};

use crate::{
    Mistakes, SourceText,
    mistakes::Collector,
    shape::{self, Kind, Shape, must},
    yaml::{self, Node},
};

static FILE: Shape = Shape {
    name: "a table of settings",
    fields: &[
        must("version", Kind::Whole(1, 1), "The version of the format: 1."),
        must("settings", Kind::Table(&Kind::List(&Kind::Text)), "Per setting, the recommendations that speak of it."),
    ],
};

/// Reads a table.
///
/// # Errors
/// Every mistake in it.
pub fn load(file: &SourceText) -> Result<Settings, Mistakes> {
    let mut mistakes = Collector::new(file);
    let mut table: BTreeMap<String, Vec<RecommendationKey>> = BTreeMap::new();
    let mut settings = None;
    if let Some(root) = yaml::parse(file, &mut mistakes)
        && shape::check(&root, Kind::Map(&FILE), &mut mistakes)
    {
        for (name, list) in root.get("settings").map(Node::entries).unwrap_or_default() {
            for element in list.elements() {
                let text = mistakes.text(element);
                match RecommendationKey::parse(&text) {
                    Some(key) => table.entry(mistakes.text(name)).or_default().push(key),
                    None => mistakes.error(element, format!("`{text}` is no recommendation key"), None),
                }
            }
        }
        match Settings::new(table) {
            Ok(read) => settings = Some(read),
            Err(message) => mistakes.error(&root, message, None),
        }
    }
    mistakes.finish().into_result(settings).map(|(settings, _)| settings)
}

/// The table that ships with Amend.
///
/// # Errors
/// Never for the shipped file, which a test reads.
pub fn built_in() -> Result<Settings, Mistakes> {
    load(&SourceText::new("(built in) settings.yaml", include_str!("../settings.yaml")))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_shipped_table_is_read() {
        super::built_in().expect("no mistake in settings.yaml");
    }
}

//! All fixes: those that ship with Amend, and those of a user's folder.

use std::{collections::BTreeMap, sync::Arc};

use amend_domain::{RecommendationKey, Setting, Settings, digest, fix::Fix};
use include_dir::{Dir, include_dir};

use crate::{
    Mistakes, SourceText,
    fix_file::{self, FixFile},
    settings_file,
};

static SHIPPED: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/fixes");

/// All fixes, by id.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    files: BTreeMap<Box<str>, Arc<FixFile>>,
    digest: String,
}

impl Catalogue {
    /// The files that ship with Amend.
    #[must_use]
    pub fn shipped() -> Vec<SourceText> {
        let mut files = Vec::new();
        for cloud in SHIPPED.dirs() {
            for file in cloud.files() {
                let name = format!("(built in) {}", file.path().display());
                files.extend(file.contents_utf8().map(|text| SourceText::new(name, text)));
            }
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        files
    }

    /// Reads fix files. One with the id of a shipped one takes its place.
    ///
    /// # Errors
    /// Every mistake in all of them.
    pub fn load(shipped: &[SourceText], own: &[SourceText]) -> Result<(Self, Mistakes), Mistakes> {
        let mut files: BTreeMap<Box<str>, Arc<FixFile>> = BTreeMap::new();
        let mut mistakes = Mistakes::default();
        for (source, replaces) in shipped.iter().map(|file| (file, false)).chain(own.iter().map(|file| (file, true))) {
            match fix_file::load(source) {
                Ok((file, warnings)) => {
                    mistakes.extend(warnings);
                    let known = files.get(&file.fix.id).filter(|known| !replaces || own.contains(&known.source));
                    if let Some(known) = known {
                        let message = format!("the fix `{}` stands in {}, too", file.fix.id, known.source.name);
                        mistakes.add_to(source, message);
                    }
                    files.insert(file.fix.id.clone(), Arc::new(file));
                }
                Err(found) => mistakes.extend(found),
            }
        }
        let mut closed: BTreeMap<&RecommendationKey, &FixFile> = BTreeMap::new();
        for file in files.values() {
            for key in &file.fix.closes {
                if let Some(other) = closed.insert(key, file) {
                    mistakes.add_to(&file.source, format!("`{key}` is closed by `{}`, too", other.fix.id));
                }
            }
        }
        let digests: BTreeMap<&str, &str> = files.iter().map(|(id, file)| (&**id, &*file.fix.digest)).collect();
        let digest = digest::digest(&digests).unwrap_or_default();
        mistakes.into_result(Some(Self { files, digest }))
    }

    /// The fix with an id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Arc<FixFile>> {
        self.files.get(id)
    }

    /// The fix that closes a recommendation.
    #[must_use]
    pub fn closing(&self, key: &RecommendationKey) -> Option<&Arc<FixFile>> {
        self.files.values().find(|file| file.fix.closes.contains(key))
    }

    /// The fix of a setting.
    #[must_use]
    pub fn of_setting(&self, setting: &Setting) -> Option<&Arc<FixFile>> {
        self.files.get(setting.as_str())
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<FixFile>> {
        self.files.values()
    }

    /// Names what all files say.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Which recommendations speak of the same setting: what fixes close, and the table of those that
    /// have no fix yet.
    ///
    /// # Errors
    /// When the table cannot be read, or a recommendation stands in both.
    pub fn settings(&self) -> Result<Settings, Mistakes> {
        let mut table = settings_file::built_in()?;
        for file in self.files.values() {
            let fix: &Fix = &file.fix;
            if let Err(message) = table.add(&fix.id, &fix.closes) {
                let mut mistakes = Mistakes::default();
                mistakes.add_to(&file.source, message);
                return Err(mistakes);
            }
        }
        Ok(table)
    }
}

//! What a configuration names on disk: the configuration itself, rules, facts, owners, fixes.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use amend_catalog::{Catalogue, SourceText, facts_file, facts_file::FactsFile, owners_file, starter_rules};
use amend_domain::{owners::Owners, ports::Clock as _};
use amend_pipeline::{Config, config, system::SystemClock};

use crate::{SetupError, Tell};

/// Reads a text file.
///
/// # Errors
/// When it cannot be read, or is not UTF-8.
pub fn read_text(path: &Path) -> Result<SourceText, SetupError> {
    let name = path.display().to_string();
    let fail = |error: std::io::Error| SetupError::new(format!("cannot read {name}"), Some(Box::new(error)), None);
    text_of(&name, std::fs::read(path).map_err(fail)?)
}

/// A text with a name, of bytes.
///
/// # Errors
/// When it is not UTF-8.
pub fn text_of(name: &str, bytes: Vec<u8>) -> Result<SourceText, SetupError> {
    String::from_utf8(bytes).map(|text| SourceText::new(name, text)).map_err(|error| {
        let message = format!("cannot read {name}: it is not UTF-8");
        SetupError::new(message, Some(Box::new(error.utf8_error())), Some("amend reads UTF-8"))
    })
}

/// Reads a configuration: a file, where there is one, and the environment.
///
/// # Errors
/// When the file cannot be read, and every mistake in it.
pub fn config(path: Option<&Path>, tell: &dyn Tell) -> Result<Config, SetupError> {
    let file = path.map(read_text).transpose()?;
    let folder = path.and_then(Path::parent).map_or_else(PathBuf::new, Path::to_path_buf);
    let (config, warnings) = config::load(file.as_ref(), &folder, &config::environment(), SystemClock.now())
        .map_err(|mistakes| SetupError::mistakes("the configuration cannot be used", mistakes))?;
    tell.mistakes(&warnings);
    Ok(config)
}

/// What a service is made of beside its configuration, as it is on disk now.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    rules: Vec<SourceText>,
    facts: Option<(SourceText, Option<SystemTime>)>,
    owners: Option<SourceText>,
    fixes: Vec<SourceText>,
}

impl Read {
    /// Reads it.
    ///
    /// # Errors
    /// When something cannot be read.
    pub fn of(config: &Config) -> Result<Self, SetupError> {
        let facts = config.facts.as_deref().map(|path| Ok::<_, SetupError>((read_text(path)?, written(path))));
        Ok(Self {
            rules: rule_files(config)?,
            facts: facts.transpose()?,
            owners: config.owners.as_deref().map(read_text).transpose()?,
            fixes: own_fixes(config)?,
        })
    }

    /// The rule files.
    #[must_use]
    pub fn rules(&self) -> &[SourceText] {
        &self.rules
    }
}

/// When a file was written.
fn written(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|about| about.modified()).ok()
}

/// The rule files of a configuration; the starter rules where it names none.
///
/// # Errors
/// When one cannot be read.
pub fn rule_files(config: &Config) -> Result<Vec<SourceText>, SetupError> {
    if config.rules.is_empty() {
        return Ok(vec![starter_rules()]);
    }
    config.rules.iter().map(|path| read_text(path)).collect()
}

/// The facts of a configuration.
///
/// # Errors
/// When they cannot be read, and every mistake in them.
pub fn facts(config: &Config) -> Result<FactsFile, SetupError> {
    let Some(path) = &config.facts else { return Ok(FactsFile::default()) };
    let file = read_text(path)?;
    // The facts are as old as the file.
    let read = written(path).and_then(|time| jiff::Timestamp::try_from(time).ok()).unwrap_or_else(|| SystemClock.now());
    facts_file::load(&file, read).map_err(|mistakes| SetupError::mistakes("the facts cannot be used", mistakes))
}

/// Who is who, as configured.
///
/// # Errors
/// When the file cannot be read, and every mistake in it.
pub fn owners(config: &Config) -> Result<Arc<Owners>, SetupError> {
    let Some(path) = &config.owners else { return Ok(Arc::default()) };
    let file = read_text(path)
        .map_err(|failure| SetupError { hint: Some("amend.yaml names it as `owners`".into()), ..failure })?;
    // It is named in decisions: by its name, not by where it is on this machine.
    let name = path.file_name().map_or(file.name, |name| name.to_string_lossy().into_owned());
    let owners = owners_file::load(&SourceText::new(name, file.text));
    owners.map(Arc::new).map_err(|mistakes| SetupError::mistakes("the file of owners cannot be used", mistakes))
}

/// The files of a user's own fixes.
///
/// # Errors
/// When the folder or a file in it cannot be read.
pub fn own_fixes(config: &Config) -> Result<Vec<SourceText>, SetupError> {
    let Some(folder) = &config.fix_folder else { return Ok(Vec::new()) };
    let fail = |error: std::io::Error| {
        let hint = "check `fixes.folder` in amend.yaml";
        SetupError::new(format!("cannot read the folder {}", folder.display()), Some(Box::new(error)), Some(hint))
    };
    let mut paths = Vec::new();
    let mut folders = vec![folder.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            let about = std::fs::metadata(&path).map_err(fail)?;
            if about.is_dir() {
                folders.push(path);
            } else if about.is_file() && path.extension().is_some_and(|end| end == "yaml" || end == "yml") {
                paths.push(path);
            }
        }
    }
    paths.sort();
    paths.iter().map(|path| read_text(path)).collect()
}

/// The fixes: those that ship with Amend, and those of the configuration.
///
/// # Errors
/// Every mistake in them; and where they are not those that are pinned.
pub fn catalogue(config: &Config, tell: &dyn Tell) -> Result<Arc<Catalogue>, SetupError> {
    let loaded = Catalogue::load(&Catalogue::shipped(), &own_fixes(config)?);
    let (catalogue, warnings) =
        loaded.map_err(|mistakes| SetupError::mistakes("the fixes cannot be used", mistakes))?;
    tell.mistakes(&warnings);
    match &config.fix_digest {
        // INVARIANT: a pinned catalogue is used as it was pinned, or not at all.
        Some(pinned) if pinned != catalogue.digest() => {
            let message = format!("the fixes are not those that are pinned: their digest is {}", catalogue.digest());
            Err(SetupError::new(
                message,
                None,
                Some("look at what changed, then set `fixes.digest` in amend.yaml to it"),
            ))
        }
        _ => Ok(Arc::new(catalogue)),
    }
}

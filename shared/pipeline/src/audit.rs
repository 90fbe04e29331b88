//! The audit trail: checked from its first record to its last, and against what was noted of its ends
//! in a second place.

use std::path::Path;

use amend_domain::audit::{Broken, Head, Verifier};
use amend_store::{Store, StoreError};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How many records are looked at together.
const PAGE: u32 = 1_000;

/// What came of checking the trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// How many records there are.
    pub records: u64,
    /// The digest of the last.
    pub head: String,
    /// How many ends were noted in the second place; all fit.
    pub noted: usize,
}

/// Why the trail cannot be trusted, or looked at.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// It is broken.
    #[error("the audit trail is broken: {0}")]
    Broken(#[from] Broken),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The second place cannot be read or written.
    #[error("cannot use {path}, the second place of the audit trail")]
    Place {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A line of it is damaged.
    #[error("line {line} of {path} is no end of an audit trail")]
    Line {
        /// The file.
        path: String,
        /// The line.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
}

/// An end of the trail, as it was noted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Noted {
    at: Timestamp,
    #[serde(flatten)]
    head: Head,
}

/// Adds the end of the trail to the second place, where it is not the last one there. Returns whether it
/// was added.
///
/// # Errors
/// When the store or the file cannot be used.
pub async fn note_head(store: &dyn Store, path: &Path, now: Timestamp) -> Result<bool, AuditError> {
    let head = store.audit_head().await?;
    let noted = read(path)?;
    if head.seq == 0 || noted.last().is_some_and(|last| last.head == head) {
        return Ok(false);
    }
    let place = |source| AuditError::Place { path: path.display().to_string(), source };
    let line = serde_json::to_string(&Noted { at: now, head }).map_err(|error| place(error.into()))?;
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(place)?;
    std::io::Write::write_all(&mut file, format!("{line}\n").as_bytes()).map_err(place)?;
    file.sync_all().map_err(place)?;
    Ok(true)
}

fn read(path: &Path) -> Result<Vec<Noted>, AuditError> {
    let name = || path.display().to_string();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(AuditError::Place { path: name(), source }),
    };
    let one = |(at, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|source| AuditError::Line {
            path: name(),
            line: at.saturating_add(1),
            source,
        })
    };
    text.lines().enumerate().map(one).collect()
}

/// Checks every record, and every end that was noted.
///
/// # Errors
/// Where the trail is broken, by its first record that does not fit; or when something cannot be read.
pub async fn verify(store: &dyn Store, heads: Option<&Path>) -> Result<Verified, AuditError> {
    let noted = heads.map(read).transpose()?.unwrap_or_default();
    let mut open: Vec<&Head> = noted.iter().map(|noted| &noted.head).collect();
    let mut verifier = Verifier::default();
    loop {
        let records = store.audit(verifier.head().seq, PAGE).await?;
        if records.is_empty() {
            break;
        }
        for record in &records {
            verifier.next(record)?;
            if open.iter().any(|head| head.seq == record.seq && head.digest != record.digest) {
                return Err(Broken::NotAsNoted(record.seq).into());
            }
            open.retain(|head| head.seq != record.seq);
        }
    }
    // What was noted and is not there was cut off.
    if let Some(missing) = open.iter().map(|head| head.seq).min() {
        return Err(Broken::Missing(missing.min(verifier.head().seq.saturating_add(1))).into());
    }
    let head = verifier.head();
    Ok(Verified { records: head.seq, head: head.digest.to_string(), noted: noted.len() })
}

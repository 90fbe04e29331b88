//! The audit trail: checked from its first record to its last, and against what was noted of its ends
//! in a second place; and old records, taken out of the store into a file.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, BufWriter, Write as _},
    path::{Path, PathBuf},
};

use amend_domain::audit::{Broken, Entry, Head, NOTED, Record, Verifier};
use amend_store::{Store, StoreError};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How many records are looked at together.
const PAGE: u32 = 1_000;

/// What came of checking the trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// How many records there are in the store.
    pub records: u64,
    /// How many were purged before them.
    pub purged: u64,
    /// How many of those were read from files.
    pub earlier: u64,
    /// The digest of the last.
    pub head: String,
    /// How many ends were noted in the second place, of what is there; all fit.
    pub noted: usize,
}

/// What came of purging the trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Purged {
    /// How many records were taken out.
    pub records: u64,
    /// The last of them.
    pub through: Head,
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
    /// A file of earlier records cannot be read or written.
    #[error("cannot use {path}, a file of records of the audit trail")]
    File {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Earlier records do not lead to those in the store.
    #[error("the files end with record {files}, and the store begins after record {store}")]
    Apart {
        /// The last record of the files.
        files: u64,
        /// The last record that was purged.
        store: u64,
    },
    /// Somebody else purged it meanwhile.
    #[error("the trail was changed while it was written out: nothing was taken out of it")]
    Changed,
    /// Ends of the trail were noted before, and are not there any more.
    #[error("{path}, the second place of the audit trail, is empty or gone, and was not at {since}")]
    Gone {
        /// The file.
        path: String,
        /// When it was used first.
        since: Timestamp,
    },
    /// A file holds no record.
    #[error("{path} holds no record of an audit trail")]
    Empty {
        /// The file.
        path: String,
    },
    /// A line of a file is damaged.
    #[error("line {line} of {path} is no {what} of an audit trail")]
    Line {
        /// The file.
        path: String,
        /// What it should be.
        what: &'static str,
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
/// When the store or the file cannot be used; when the trail does not lead from the end that was noted last to the
/// one that it has; or when ends were noted there before, and are gone.
pub async fn note_head(store: &dyn Store, path: &Path, now: Timestamp) -> Result<bool, AuditError> {
    if store.audit_head().await?.seq == 0 {
        return Ok(false);
    }
    let noted = read(path)?;
    // The same place has the same name, wherever this runs.
    let name = std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string();
    let was = store.audit_about(&name).await?.filter(|record| &*record.entry.what == NOTED);
    if let (None, Some(was)) = (noted.last(), &was) {
        return Err(AuditError::Gone { path: name, since: was.entry.at });
    }
    // INVARIANT: nothing is noted after what does not fit: a later end would hide it.
    if let Some(last) = noted.last().map(|noted| &noted.head) {
        let found = store.audit(last.seq.saturating_sub(1), 1).await?;
        match found.first() {
            Some(record) if record.seq == last.seq && record.digest != last.digest => {
                return Err(Broken::NotAsNoted(last.seq).into());
            }
            // A later one is the first that is there: others were purged.
            Some(_) => {}
            None => return Err(Broken::Missing(last.seq).into()),
        }
    }
    let head = store.audit_head().await?;
    let new = noted.last().is_none_or(|last| last.head != head);
    if new {
        append(path, head, now)?;
    }
    if was.is_none() {
        // The trail itself tells that there is such a place, so that it cannot go unseen. It does so when there is.
        store.audit_add(Entry::noted(now, &name)).await?;
        append(path, store.audit_head().await?, now)?;
    }
    Ok(new || was.is_none())
}

/// Adds an end to the second place.
fn append(path: &Path, head: Head, now: Timestamp) -> Result<(), AuditError> {
    let place = |source| AuditError::Place { path: path.display().to_string(), source };
    let line = serde_json::to_string(&Noted { at: now, head }).map_err(|error| place(error.into()))?;
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(place)?;
    std::io::Write::write_all(&mut file, format!("{line}\n").as_bytes()).map_err(place)?;
    file.sync_all().map_err(place)
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
            what: "end",
            line: at.saturating_add(1),
            source,
        })
    };
    text.lines().enumerate().map(one).collect()
}

/// Checks every record, and every end that was noted. `earlier` are files with the records that were purged, in
/// order: all of them, or the last ones.
///
/// # Errors
/// Where the trail is broken, by its first record that does not fit; or when something cannot be read.
pub async fn verify(store: &dyn Store, heads: Option<&Path>, earlier: &[PathBuf]) -> Result<Verified, AuditError> {
    let noted = heads.map(read).transpose()?.unwrap_or_default();
    let mut files = Look::new(&noted);
    for path in earlier {
        let before = files.verifier.head().seq;
        for record in records(path)? {
            files.next(&record?)?;
        }
        if files.verifier.head().seq == before {
            return Err(AuditError::Empty { path: path.display().to_string() });
        }
    }
    let (files, open) = (files.verifier, files.open);
    let mut look = Look { verifier: Verifier::default(), open };
    loop {
        let records = store.audit(look.verifier.head().seq, PAGE).await?;
        if records.is_empty() {
            break;
        }
        for record in &records {
            look.next(record)?;
        }
    }
    look.verifier.begins_whole(&look.verifier)?;
    files.begins_whole(&look.verifier)?;
    let (begins, last) = (look.verifier.begins(), files.head());
    if !earlier.is_empty() && begins.seq != last.seq {
        return Err(AuditError::Apart { files: last.seq, store: begins.seq });
    }
    if !earlier.is_empty() && begins != last {
        return Err(Broken::Unchained(begins.seq.saturating_add(1)).into());
    }
    // What was noted of what was purged can be held against its files alone, but for its end.
    if look.open.iter().any(|head| head.seq == begins.seq && *head != begins) {
        return Err(Broken::NotAsNoted(begins.seq).into());
    }
    let all = look.open.len();
    look.open.retain(|head| head.seq > begins.seq);
    let unseen = all.saturating_sub(look.open.len());
    // What was noted and is not there was cut off.
    let head = look.verifier.head();
    if let Some(missing) = look.open.iter().map(|head| head.seq).min() {
        return Err(Broken::Missing(missing.min(head.seq.saturating_add(1))).into());
    }
    Ok(Verified {
        records: head.seq.saturating_sub(begins.seq),
        purged: begins.seq,
        earlier: last.seq.saturating_sub(files.begins().seq),
        head: head.digest.to_string(),
        noted: noted.len().saturating_sub(unseen),
    })
}

/// Checks records against each other, and against ends that were noted.
struct Look<'n> {
    verifier: Verifier,
    open: Vec<&'n Head>,
}

impl<'n> Look<'n> {
    fn new(noted: &'n [Noted]) -> Self {
        Self { verifier: Verifier::default(), open: noted.iter().map(|noted| &noted.head).collect() }
    }

    fn next(&mut self, record: &Record) -> Result<(), Broken> {
        self.verifier.next(record)?;
        if self.open.iter().any(|head| head.seq == record.seq && head.digest != record.digest) {
            return Err(Broken::NotAsNoted(record.seq));
        }
        self.open.retain(|head| head.seq != record.seq);
        Ok(())
    }
}

/// The records in a file, as `amend audit export` and [`purge`] write them.
fn records(path: &Path) -> Result<impl Iterator<Item = Result<Record, AuditError>>, AuditError> {
    let name = path.display().to_string();
    let failed = move |source, name: &str| AuditError::File { path: name.to_owned(), source };
    let file = File::open(path).map_err(|error| failed(error, &name))?;
    Ok(BufReader::new(file).lines().enumerate().map(move |(at, line)| {
        let line = line.map_err(|error| failed(error, &name))?;
        let (path, what, line_no) = (name.clone(), "record", at.saturating_add(1));
        serde_json::from_str(&line).map_err(|source| AuditError::Line { path, what, line: line_no, source })
    }))
}

/// Takes the records from before a time out of the store: checks the whole trail, writes them to a new file, and
/// only then leaves a checkpoint at the end of the trail in their place. Nothing, where none is that old.
///
/// # Errors
/// When the trail is broken, which is no time to lose any of it, the file is there already, or the store or the file
/// cannot be used. Then nothing is taken out.
pub async fn purge(
    store: &dyn Store,
    heads: Option<&Path>,
    before: Timestamp,
    path: &Path,
    (by, now): (&str, Timestamp),
) -> Result<Option<Purged>, AuditError> {
    let whole = verify(store, heads, &[]).await?;
    let is_old = |record: &Record| record.entry.at < before;
    let first = store.audit(whole.purged, 1).await?;
    if !first.first().is_some_and(is_old) {
        return Ok(None);
    }
    let failed = |source| AuditError::File { path: path.display().to_string(), source };
    let mut options = File::options();
    options.create_new(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = BufWriter::new(options.open(path).map_err(failed)?);
    let mut through = Head { seq: whole.purged, ..Head::default() };
    'pages: loop {
        let page = store.audit(through.seq, PAGE).await?;
        if page.is_empty() {
            break;
        }
        for record in &page {
            if !is_old(record) {
                break 'pages;
            }
            serde_json::to_writer(&mut file, record).map_err(|error| failed(error.into()))?;
            file.write_all(b"\n").map_err(failed)?;
            through = record.head();
        }
    }
    let file = file.into_inner().map_err(|error| failed(error.into_error()))?;
    // INVARIANT: what is taken out is on the disk before.
    file.sync_all().map_err(failed)?;
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    }
    let records = store.purge_audit(&through, by, now).await?.ok_or(AuditError::Changed)?;
    Ok(Some(Purged { records, through }))
}

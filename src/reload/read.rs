//! A policy folder or another file as it stands, and as it comes to rest.
//!
//! Decides which files of a folder are policies, and when what was read is whole. Does not know what
//! a policy may say.

use crate::document::{self, Diagnostic};
use crate::policy::Source;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// Silence after which a burst of changes counts as over.
pub(super) const QUIET: Duration = Duration::from_millis(100);
/// Most readings of what does not come to rest.
const READINGS: usize = 6;

/// Why a policy file or folder could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is absent, forbidden, or no file.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// What was to be read.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It was read and is not text.
    #[error("{} files are not text", .0.len())]
    NotText(Vec<Diagnostic>),
}

impl ReadError {
    /// The same, as faults of files.
    #[must_use]
    pub fn into_diagnostics(self) -> Vec<Diagnostic> {
        match self {
            Self::NotText(faults) => faults,
            Self::Unreadable { path, source } => {
                let message = format!("the policies cannot be read: {source}");
                vec![Diagnostic::whole(&path.display().to_string(), message, None)]
            }
        }
    }
}

/// What a folder holds: its policies, or why they cannot be read.
pub(super) type Content = Result<Vec<Source>, Vec<Diagnostic>>;

/// Reads a folder.
pub(super) fn content(folder: &Path) -> Content {
    read_folder(folder).map_err(ReadError::into_diagnostics)
}

/// Reads until two readings, `gap` apart, agree: a file that is being written and a set that is being
/// replaced are not taken for whole. What `known` recognises needs no second reading.
/// Answers `None` when what is read does not come to rest. Blocks.
pub(super) fn settled<T: PartialEq>(read: impl Fn() -> T, gap: Duration, known: impl Fn(&T) -> bool) -> Option<T> {
    let mut last = read();
    for _ in 1..READINGS {
        if known(&last) {
            return Some(last);
        }
        thread::sleep(gap);
        let next = read();
        if next == last {
            return Some(next);
        }
        last = next;
    }
    None
}

/// Reads the policies of a folder: its `*.toml`, in the order of their names.
///
/// Names that begin with a dot are passed over: a mounted `ConfigMap` keeps its versions in such
/// folders and links to them, and editors their drafts.
///
/// # Errors
/// [`ReadError::Unreadable`] at the first file that cannot be read, else [`ReadError::NotText`] with
/// every file that is not UTF-8.
pub fn read_folder(folder: &Path) -> Result<Vec<Source>, ReadError> {
    let unreadable = |source| ReadError::Unreadable { path: folder.to_owned(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        if is_policy(&name) {
            names.push(name);
        }
    }
    names.sort();
    let (mut sources, mut faults) = (Vec::new(), Vec::new());
    for name in names {
        match read_file(&folder.join(name)) {
            Ok(source) => sources.push(source),
            Err(ReadError::NotText(more)) => faults.extend(more),
            Err(error) => return Err(error),
        }
    }
    if faults.is_empty() { Ok(sources) } else { Err(ReadError::NotText(faults)) }
}

/// Where the source of this name is among those of a folder, which are in the order of their names.
pub(super) fn position(sources: &[Source], name: &str) -> Option<usize> {
    sources.binary_search_by(|source| (*source.name).cmp(name)).ok()
}

/// Whether a file of this name is a policy.
pub(super) fn is_policy(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.ends_with(b".toml") && !name.starts_with(b".")
}

/// Reads one policy file.
///
/// # Errors
/// As [`read_folder`].
pub fn read_file(path: &Path) -> Result<Source, ReadError> {
    let name = path.display().to_string();
    let bytes = read_bytes(path).map_err(|source| ReadError::Unreadable { path: path.to_owned(), source })?;
    let text = document::decode(&name, bytes).map_err(ReadError::NotText)?;
    Ok(Source { name, text })
}

/// Reads a regular file: opening a pipe would wait for whoever writes to it.
pub(super) fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let kind = fs::metadata(path)?;
    if !kind.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
    }
    if kind.len() > document::MAX_BYTES as u64 {
        let message = format!("it holds {} bytes, at most {} are read", kind.len(), document::MAX_BYTES);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    fs::read(path)
}

#[cfg(test)]
mod tests;

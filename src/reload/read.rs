//! A policy folder or another file as it stands, and as it comes to rest.
//!
//! Decides which files of a folder are policies or scripts, and when what was read is whole. Does not know
//! what they may say.

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

/// Reads a folder: its policies (`*.toml`) and scripts (`*.rhai`), in the order of their names.
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
        if belongs(&name) {
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

/// Whether a file of this name is a policy or a script.
pub(super) fn belongs(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    (name.ends_with(b".toml") || is_script(name)) && !name.starts_with(b".")
}

fn is_script(name: &[u8]) -> bool {
    name.ends_with(b".rhai")
}

/// Reads one policy file, and after it the scripts of its folder, which it may name.
///
/// # Errors
/// As [`read_folder`].
pub fn read_policy(path: &Path) -> Result<Vec<Source>, ReadError> {
    let mut sources = vec![read_file(path)?];
    let Some(folder) = path.parent() else { return Ok(sources) };
    // An empty parent is the folder the program is in.
    let listed = fs::read_dir(if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
    let names = listed.into_iter().flatten().flatten().map(|entry| entry.file_name());
    let mut scripts: Vec<_> = names.filter(|name| belongs(name) && is_script(name.as_encoded_bytes())).collect();
    scripts.sort();
    // The path may be a script's own.
    for script in scripts.into_iter().map(|name| folder.join(name)).filter(|script| script != path) {
        sources.push(read_file(&script)?);
    }
    Ok(sources)
}

/// Reads one file.
///
/// # Errors
/// As [`read_folder`].
fn read_file(path: &Path) -> Result<Source, ReadError> {
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

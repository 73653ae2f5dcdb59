//! A model folder on disk: which files it has, and what those that are not the graph say.
//!
//! Decides where the graph is and which file's word is kept for later. Does not know the graph's
//! inputs and outputs: what the files' words mean for them is `resolve`.

use super::hub::{self, Hints};
use super::settings::{Settings, Variant};
use crate::text::Tokenizer;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

#[cfg(test)]
mod tests;

/// A model folder, opened: every small file in it is read and understood.
#[derive(Debug, Default)]
pub struct Folder {
    pub(super) root: PathBuf,
    pub(super) onnx: PathBuf,
    pub(super) has_tokenizer: bool,
    pub(super) settings: Settings,
    pub(super) hints: Hints,
}

/// What an operator says about stacking.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stacking {
    /// `stack = false`: never, whatever is found.
    pub forbidden: bool,
    /// `variant = "allow"`: also where a row's answer depends on the rows beside it.
    pub forced: bool,
}

/// Why a model folder cannot be served. Names the file, the field and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FolderError {
    /// Nothing has this path.
    #[error("model folder {} does not exist", .0.display())]
    Missing(PathBuf),
    /// The path is a file's.
    #[error("{} is not a folder: name the folder that holds model.onnx", .0.display())]
    NotAFolder(PathBuf),
    /// There is no graph.
    #[error("{} holds neither model.onnx nor onnx/model.onnx", .0.display())]
    NoModel(PathBuf),
    /// A file is there and cannot be read as text or at all.
    #[error("cannot read {}: {reason}", file.display())]
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// What happened.
        reason: String,
    },
    /// A file does not parse.
    #[error("{}: {message}", file.display())]
    Syntax {
        /// Which file.
        file: PathBuf,
        /// With line and column.
        message: String,
    },
    /// A value that is not allowed.
    #[error("{}: {field}: {message}", file.display())]
    Field {
        /// Which file.
        file: PathBuf,
        /// Which field of it.
        field: String,
        /// What it is and what is allowed.
        message: String,
    },
}

impl Folder {
    /// Opens the folder and reads everything in it but the graph and the vocabulary.
    ///
    /// # Errors
    /// Any [`FolderError`]: one bad file is enough, even an optional one.
    pub fn open(root: impl AsRef<Path>) -> Result<Self, FolderError> {
        let root = root.as_ref();
        match fs::metadata(root) {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => return Err(FolderError::NotAFolder(root.into())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(FolderError::Missing(root.into())),
            Err(e) => return Err(unreadable(root, &e)),
        }
        let onnx = match (file(root, "model.onnx")?, file(root, "onnx/model.onnx")?) {
            (Some(path), _) | (None, Some(path)) => path,
            (None, None) => return Err(FolderError::NoModel(root.into())),
        };
        let settings = match read(root, "model.toml")? {
            Some((path, text)) => Settings::parse(&text, &path)?,
            None => Settings::default(),
        };
        let has_tokenizer = file(root, "tokenizer.json")?.is_some();
        Ok(Self { root: root.into(), onnx, has_tokenizer, settings, hints: hub::read_hints(root)? })
    }

    /// Path of the graph.
    #[must_use]
    pub fn onnx(&self) -> &Path {
        &self.onnx
    }

    /// What the operator says about stacking.
    #[must_use]
    pub fn stacking(&self) -> Stacking {
        let batching = &self.settings.batching;
        Stacking { forbidden: batching.stack == Some(false), forced: batching.variant == Variant::Allow }
    }

    /// Path of a file of the folder, whether or not it is there.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Loads the tokenizer; `None` where the folder has no `tokenizer.json`. May take a second.
    ///
    /// # Errors
    /// [`FolderError`] when the file cannot be read or is no tokenizer.
    pub fn tokenizer(&self) -> Result<Option<Tokenizer>, FolderError> {
        if !self.has_tokenizer {
            return Ok(None);
        }
        let file = self.path("tokenizer.json");
        let json = fs::read(&file).map_err(|e| unreadable(&file, &e))?;
        match Tokenizer::from_bytes(&json) {
            Ok(tokenizer) => Ok(Some(tokenizer)),
            Err(e) => Err(FolderError::Syntax { file, message: e.to_string() }),
        }
    }

    /// A fault in `model.toml`.
    pub(super) fn fault(&self, field: impl Into<String>, message: impl Into<String>) -> FolderError {
        FolderError::Field { file: self.path("model.toml"), field: field.into(), message: message.into() }
    }
}

/// The path of a file of the folder, `None` when there is none.
fn file(root: &Path, name: &str) -> Result<Option<PathBuf>, FolderError> {
    let path = root.join(name);
    match fs::metadata(&path) {
        Ok(meta) if meta.is_file() => Ok(Some(path)),
        Ok(_) => Err(FolderError::Unreadable { file: path, reason: "not a regular file".into() }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(unreadable(&path, &e)),
    }
}

/// The path and text of a file of the folder, `None` when there is none.
pub(super) fn read(root: &Path, name: &str) -> Result<Option<(PathBuf, String)>, FolderError> {
    let Some(path) = file(root, name)? else { return Ok(None) };
    let bytes = fs::read(&path).map_err(|e| unreadable(&path, &e))?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some((path, text))),
        Err(e) => {
            let reason = format!("not UTF-8 at byte {}", e.utf8_error().valid_up_to());
            Err(FolderError::Unreadable { file: path, reason })
        }
    }
}

fn unreadable(file: &Path, error: &io::Error) -> FolderError {
    FolderError::Unreadable { file: file.into(), reason: error.to_string() }
}

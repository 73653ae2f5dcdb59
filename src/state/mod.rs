//! What survives a restart: one JSON file a model, with what it was learned on.
//!
//! Decides what is believed of an earlier life: only what was learned of the same model on the same machine.
//! Knows neither what was learned nor when it is worth keeping.

mod file;
mod fingerprint;

pub use file::{ReadError, read, write};
pub use fingerprint::{Fingerprint, ModelPrint, model_print, processor};

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The layout of the file; one of another is of no use.
pub const FORMAT: u32 = 1;

/// A model's file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Kept<T> {
    /// Always [`FORMAT`].
    pub format: u32,
    /// One for each device that something is known of.
    pub devices: Vec<Learned<T>>,
}

/// What was learned on one device.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Learned<T> {
    /// On what it was learned.
    pub on: Fingerprint,
    /// It.
    pub learned: T,
}

/// The file of a model in a folder for all models.
#[must_use]
pub fn in_folder(folder: &Path, model: &str) -> PathBuf {
    folder.join(format!("{model}.costs.json"))
}

/// The file of a model in its own folder.
#[must_use]
pub fn beside(model_folder: &Path) -> PathBuf {
    model_folder.join(".inferneo").join("costs.json")
}

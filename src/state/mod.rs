//! What survives a restart: JSON files a model, of its costs and of its sessions, with what they were measured on.
//!
//! Decides what is believed of an earlier life: only what was learned of the same model on the same machine.
//! Knows neither what was learned nor when it is worth keeping.

mod file;
mod fingerprint;
mod tuning;

pub use file::{ReadError, check, read, write};
pub use fingerprint::{Fingerprint, Machine, ModelPrint, model_print, processor};
pub use tuning::{Tuned, TunedBy, Tunings, tuning_beside, tuning_in_folder};

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

//! `model.toml`: what an operator says about a model that its graph does not.
//!
//! Decides which keys there are. Whether a named dimension or input exists is `resolve`'s to say.

use super::FolderError;
use crate::text::Pooling;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::Path;

/// The whole file; every key is optional.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Settings {
    pub(super) batching: Batching,
    pub(super) inputs: BTreeMap<String, Input>,
    pub(super) text: Text,
}

/// `[batching]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Batching {
    /// The symbolic dimension that stacks requests.
    pub(super) batch_dim: Option<String>,
    /// The symbolic dimension that is padded.
    pub(super) length_dim: Option<String>,
    /// Never pad: only equal lengths share a batch.
    pub(super) exact: bool,
    /// `false`: never stack, whatever was found.
    pub(super) stack: Option<bool>,
    /// What becomes of a model whose answers depend on what shares its batch.
    pub(super) variant: Variant,
}

/// What becomes of a model whose answers depend on what shares its batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Variant {
    /// It is served one request at a time.
    #[default]
    Solo,
    /// It is stacked all the same.
    Allow,
}

/// `[inputs.NAME]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Input {
    /// The value that fills padded positions.
    pub(super) pad: Option<f64>,
    /// The whole shape of made-up input.
    pub(super) sample: Option<Vec<usize>>,
}

/// `[text]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Text {
    pub(super) pooling: Option<Pooling>,
    pub(super) normalize: Option<bool>,
    pub(super) max_length: Option<NonZeroU32>,
}

impl Settings {
    /// Reads the text of the file at `path`.
    ///
    /// # Errors
    /// [`FolderError::Syntax`] with line, column, the line itself and what is allowed.
    pub(super) fn parse(text: &str, path: &Path) -> Result<Self, FolderError> {
        toml::from_str(text)
            .map_err(|e| FolderError::Syntax { file: path.into(), message: e.to_string().trim_end().into() })
    }
}

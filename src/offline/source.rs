//! A model to measure: its graph, what its tensors mean, and the runtime.
//!
//! Decides nothing.

use super::Error;
use crate::clock;
use crate::exec::{self, ModelFile, OnnxBackend, Runtime, SessionSettings};
use crate::model::{Folder, Model, ModelSpec};
use crate::types::ModelId;
use std::path::Path;
use std::sync::Arc;

/// A model that can be run.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its graph.
    pub file: Arc<ModelFile>,
    /// What its tensors mean, and its tokenizer.
    pub model: Arc<Model>,
}

impl Source {
    /// Opens a model folder as a server does. Blocks.
    ///
    /// # Errors
    /// When the folder, or a file in it, is not what a server takes.
    pub fn open(runtime: &Arc<Runtime>, name: &str, folder: &Path) -> Result<Self, Error> {
        let fault = |error: &dyn std::error::Error| Error::Folder(error.to_string());
        let folder = Folder::open(folder).map_err(|e| fault(&e))?;
        let io = exec::probe(runtime, folder.onnx()).map_err(|e| fault(&e))?;
        let spec = ModelSpec::resolve(&io, &folder).map_err(|e| fault(&e))?;
        let tokenizer = folder.tokenizer().map_err(|e| fault(&e))?;
        let model = Model::new(ModelId::default(), name, spec, tokenizer, clock::unix_seconds());
        let file = ModelFile::new(runtime, folder.onnx());
        let make = |spec: &ModelSpec| Ok(Box::new(OnnxBackend::new(&file, spec, &SessionSettings::cpu(1))?) as _);
        let model = exec::settle(model, folder.stacking(), &file, &make)?;
        Ok(Self { file: Arc::new(ModelFile::shared(runtime, folder.onnx())), model: Arc::new(model) })
    }
}

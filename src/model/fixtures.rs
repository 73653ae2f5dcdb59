//! Declared tensors and folders for the tests of this room, written as a reader would.

use super::settings::Settings;
use super::{Datatype, Folder, ModelSpec, RawDim, RawIo, RawTensor};
use std::path::Path;

/// A tensor from `name TYPE dim,dim,…`: a number is a fixed size, `?` a nameless dimension, no third
/// word a scalar.
pub(super) fn tensor(text: &str) -> RawTensor {
    let mut words = text.split(' ');
    let (name, datatype) = (words.next().unwrap(), Datatype::from_name(words.next().unwrap()).unwrap());
    let dim = |d: &str| d.parse().map_or_else(|_| RawDim::Symbol(d.replace('?', "")), RawDim::Fixed);
    let dims = words.next().map_or_else(Vec::new, |dims| dims.split(',').map(dim).collect());
    RawTensor { name: name.into(), datatype, dims, open: false, labels: Vec::new() }
}

/// Declared tensors, inputs and outputs each in one line with `;` between.
pub(super) fn io(inputs: &str, outputs: &str) -> RawIo {
    let tensors = |line: &str| line.split("; ").map(tensor).collect();
    RawIo { inputs: tensors(inputs), outputs: tensors(outputs), left_out: Vec::new() }
}

/// A BERT-like model whose batch and length dimensions have these symbols.
pub(super) fn bert(batch: &str, length: &str, outputs: &str) -> RawIo {
    let input = |name: &str| format!("{name} INT64 {batch},{length}");
    io(&["input_ids", "attention_mask", "token_type_ids"].map(input).join("; "), outputs)
}

/// A folder with this `model.toml` and no other file.
pub(super) fn folder(model_toml: &str) -> Folder {
    let settings = Settings::parse(model_toml, Path::new("model.toml")).unwrap();
    Folder { settings, ..Folder::default() }
}

/// A folder with this `model.toml` and a tokenizer.
pub(super) fn text_folder(model_toml: &str) -> Folder {
    Folder { has_tokenizer: true, ..folder(model_toml) }
}

/// The spec of these tensors in this folder.
pub(super) fn spec(io: &RawIo, folder: &Folder) -> ModelSpec {
    ModelSpec::resolve(io, folder).unwrap()
}

/// The message of what does not resolve.
pub(super) fn fault(io: &RawIo, folder: &Folder) -> String {
    ModelSpec::resolve(io, folder).unwrap_err().to_string()
}

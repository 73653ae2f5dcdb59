//! What a model can do for text.
//!
//! Decides between embedding, classification and bare tensors, and which output holds the answer.
//! Does not pool or score.

use super::{Datatype, Dim, Folder, FolderError, ModelSpec, Task, TensorSpec, TextInput};
use crate::text::Pooling;

#[cfg(test)]
mod tests;

/// Outputs that hold token vectors, the best first.
const TOKEN_OUTPUTS: [&str; 2] = ["last_hidden_state", "token_embeddings"];
/// Outputs that hold a finished vector a text, the best first.
const SENTENCE_OUTPUTS: [&str; 3] = ["sentence_embedding", "sentence_embeddings", "pooler_output"];
/// The output that holds scores, whatever its rank.
const SCORES: &str = "logits";

/// Finds the task of a model whose dimensions are known.
pub(super) fn infer(spec: &ModelSpec, folder: &Folder) -> Result<Task, FolderError> {
    if !folder.has_tokenizer || !takes_token_rows(spec) {
        return Ok(Task::Tensors);
    }
    if let Some(output) = scores(spec, folder) {
        return Ok(Task::Classifier { output, labels: folder.hints.labels.clone() });
    }
    embedding(spec, folder)
}

/// Whether the inputs are all ones that a tokenised text can fill.
fn takes_token_rows(spec: &ModelSpec) -> bool {
    let fillable = |i: &TensorSpec| {
        matches!(i.text_input(), Some(TextInput::Ids | TextInput::Mask | TextInput::TypeIds))
            && matches!(i.datatype, Datatype::Int64 | Datatype::Int32)
            && matches!(i.dims.as_slice(), [Dim::Batch | Dim::Free(_) | Dim::Fixed(1), Dim::Length])
    };
    spec.inputs.iter().any(|i| i.text_input() == Some(TextInput::Ids)) && spec.inputs.iter().all(fillable)
}

fn scores(spec: &ModelSpec, folder: &Folder) -> Option<usize> {
    let is_row = |o: &TensorSpec| is_float(o) && o.dims.len() == 2 && o.dims[1] != Dim::Length;
    let named = spec.outputs.iter().position(|o| o.name == SCORES && is_row(o));
    let classifies = folder.hints.architectures.iter().any(|a| a.ends_with("ForSequenceClassification"));
    named.or_else(|| if classifies { spec.outputs.iter().position(is_row) } else { None })
}

fn embedding(spec: &ModelSpec, folder: &Folder) -> Result<Task, FolderError> {
    let named = folder.settings.text.pooling;
    let tokens = token_vectors(spec, folder);
    let sentence = sentence_vector(spec, folder, named == Some(Pooling::None), tokens.is_some());
    let ((output, dimensions), pooling) = match (named, tokens, sentence) {
        (Some(Pooling::None), _, Some(found)) | (None, _, Some(found)) => (found, Pooling::None),
        (Some(pooling), Some(found), _) if pooling != Pooling::None => (found, pooling),
        (None, Some(found), None) => (found, folder.hints.pooling.clone().unwrap_or(Ok(Pooling::Mean))?),
        (None, None, None) => return Ok(Task::Tensors),
        (Some(_), _, _) => return Err(folder.fault("[text] pooling", no_output(named))),
    };
    let normalize = folder.settings.text.normalize.unwrap_or(folder.hints.normalize);
    Ok(Task::Embedding { output, pooling, normalize, dimensions })
}

fn no_output(named: Option<Pooling>) -> &'static str {
    match named {
        Some(Pooling::None) => "\"none\" needs an output of the form [batch, size]; the model has none",
        _ => "this pooling needs an output of the form [batch, length, size]; the model has none (allowed: \"none\")",
    }
}

/// The output with one vector a token, and the vectors' width.
fn token_vectors(spec: &ModelSpec, folder: &Folder) -> Option<(usize, usize)> {
    let width = |o: &TensorSpec| match o.dims.as_slice() {
        [_, Dim::Length, width] => size(width, folder),
        // Where nothing is padded, a row's output has the row's length under whatever name.
        [_, Dim::Free(_), width] if !spec.pads => size(width, folder),
        _ => None,
    };
    best(spec, &TOKEN_OUTPUTS, width).or_else(|| {
        let fits = |(i, o): (usize, &TensorSpec)| Some((i, width(o).filter(|_| is_float(o) && o.name != SCORES)?));
        spec.outputs.iter().enumerate().find_map(fits)
    })
}

/// The output with one vector a text, and the vector's width. BERT's `pooler_output` is trained for
/// something else, so it is taken only where it is asked for or there is nothing to pool.
fn sentence_vector(spec: &ModelSpec, folder: &Folder, asked: bool, has_tokens: bool) -> Option<(usize, usize)> {
    let width = |o: &TensorSpec| match o.dims.as_slice() {
        [_, Dim::Length] => None,
        [_, width] => size(width, folder),
        _ => None,
    };
    let names = if asked || !has_tokens { &SENTENCE_OUTPUTS[..] } else { &SENTENCE_OUTPUTS[..2] };
    best(spec, names, width).or_else(|| {
        let fits = |(i, o): (usize, &TensorSpec)| Some((i, width(o).filter(|_| is_float(o))?));
        if asked { spec.outputs.iter().enumerate().find_map(fits) } else { None }
    })
}

fn best(spec: &ModelSpec, names: &[&str], width: impl Fn(&TensorSpec) -> Option<usize>) -> Option<(usize, usize)> {
    names.iter().find_map(|name| {
        let (index, output) = spec.output(name)?;
        Some((index, width(output).filter(|_| is_float(output))?))
    })
}

fn size(dim: &Dim, folder: &Folder) -> Option<usize> {
    match dim {
        Dim::Fixed(size) => Some(*size),
        Dim::Free(_) => folder.hints.hidden,
        Dim::Batch | Dim::Length => None,
    }
}

fn is_float(output: &TensorSpec) -> bool {
    matches!(output.datatype, Datatype::Fp32 | Datatype::Fp16)
}

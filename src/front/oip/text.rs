//! The `text` input: texts in, vectors or scores out, on the same queue as everything else.

use super::answer::Kind;
use super::infer::Input;
use super::params::{Name, Params};
use super::{EMBEDDING, LOGITS, TEXT};
use crate::error::{Error, Reason};
use crate::front::tokens;
use crate::model::{Datatype, Model, Task};
use crate::request::{self, Payload, Want};
use crate::text::Overflow;

/// Whether a request's only input means text: a tensor of the model's own by that name goes first.
pub(super) fn is_text(model: &Model, input: &Input) -> bool {
    let is_own = model.spec.inputs.iter().any(|own| own.name == TEXT);
    input.name == TEXT && !is_own && model.tokenizer.is_some()
}

/// The name and the wish that answer text; `None` where the model has no text task.
pub(super) fn output(task: &Task) -> Option<(&'static str, Want)> {
    match task {
        Task::Embedding { .. } => Some((EMBEDDING, Want::Embedding)),
        Task::Classifier { output, .. } => Some((LOGITS, Want::Outputs(vec![*output]))),
        Task::Tensors => None,
    }
}

/// One item for each text.
///
/// # Errors
/// `invalid_request` naming the text; `unsupported` where the model has no text task; `too_large` for more
/// texts than `max_rows`.
pub(super) fn items(
    model: &Model,
    input: &Input,
    parameters: &Params,
    max_rows: u32,
) -> Result<(Vec<Payload>, Kind), Error> {
    let tokenizer = tokens::tokenizer(model)?;
    let no_task = || Error::new(Reason::Unsupported, format!("model `{}` has no text task", &*model.name));
    let (name, want) = output(&model.spec.task).ok_or_else(no_task)?;
    let tensor = &input.tensor;
    if tensor.datatype != Datatype::Bytes {
        return Err(Error::invalid(format!("input `text`: datatype is {}, it takes BYTES", tensor.datatype.name())));
    }
    if !matches!(&*tensor.shape, [n] | [n, 1] if *n > 0) {
        let shape = &tensor.shape;
        return Err(Error::invalid(format!("input `text`: shape is {shape:?}, it takes [n] or [n,1], n at least 1")));
    }
    let count = tensor.shape.first().copied().unwrap_or_default();
    tokens::check_count(count, max_rows)?;
    let overflow = if parameters.bool(Name::Truncate)?.unwrap_or(true) { Overflow::Truncate } else { Overflow::Error };
    let mut items = Vec::with_capacity(count);
    for (index, text) in request::elements(&tensor.data).enumerate() {
        let name = || format!("input `text`, element {index}");
        let text = text.map_err(Error::invalid)?;
        let text = std::str::from_utf8(text).map_err(|_| Error::invalid(format!("{} is not UTF-8", name())))?;
        items.push(tokens::encode(tokenizer, model, text, overflow, name)?);
    }
    Ok((items, Kind::Text { name, want }))
}

//! Texts and token arrays to the rows a model runs.
//!
//! Decides which are refused; the messages count from zero and name the offender.

use crate::error::{Error, Reason};
use crate::model::{Model, Task};
use crate::request::{Payload, Tokens};
use crate::text::{Overflow, TextError, Tokenizer};

/// The model's tokenizer.
///
/// # Errors
/// `unsupported` when it has none.
pub(super) fn tokenizer(model: &Model) -> Result<&Tokenizer, Error> {
    let missing = || Error::new(Reason::Unsupported, format!("model `{}` takes tensors, not text", &*model.name));
    model.tokenizer.as_ref().ok_or_else(missing)
}

/// Whether a model answers text.
pub(super) fn is_text_model(model: &Model) -> bool {
    model.tokenizer.is_some() && model.spec.task != Task::Tensors
}

/// Refuses more texts than any queue takes, before the first is looked at.
///
/// # Errors
/// `too_large` with both numbers.
pub(super) fn check_count(count: usize, most: u32) -> Result<(), Error> {
    if count <= most as usize {
        return Ok(());
    }
    Err(Error::new(
        Reason::TooLarge,
        format!("the request has {count} rows; a queue takes at most {most} (queue.max_rows)"),
    ))
}

/// Encodes one text; `name` is what messages call it.
///
/// # Errors
/// `invalid_request` when it is too long to be used whole, or has no tokens.
pub(super) fn encode(
    tokenizer: &Tokenizer,
    model: &Model,
    text: &str,
    overflow: Overflow,
    name: impl FnOnce() -> String,
) -> Result<Payload, Error> {
    tokenizer.encode(text, overflow, model.spec.max_length).map(Payload::Tokens).map_err(|error| {
        let reason = match error {
            TextError::Failed(_) | TextError::BadFile(_) => Reason::ExecutionFailed,
            TextError::TooLong { .. }
            | TextError::TooManyBytes { .. }
            | TextError::Empty
            | TextError::NoRoom { .. } => Reason::InvalidRequest,
        };
        Error::new(reason, format!("{}: {error}", name()))
    })
}

/// Takes token ids as they are.
///
/// # Errors
/// `invalid_request` when there are none, too many, or one is outside the vocabulary.
pub(super) fn take(
    tokenizer: &Tokenizer,
    model: &Model,
    ids: Vec<u32>,
    name: impl FnOnce() -> String,
) -> Result<Payload, Error> {
    let vocabulary = tokenizer.vocab_size();
    if ids.is_empty() {
        return Err(Error::invalid(format!("{} is empty", name())));
    }
    if let Some(max) = model.spec.max_length.filter(|&max| ids.len() > max as usize) {
        let count = ids.len();
        return Err(Error::invalid(format!("{} has {count} tokens, the model takes at most {max}", name())));
    }
    if let Some(id) = ids.iter().find(|&&id| id >= vocabulary) {
        return Err(Error::invalid(format!(
            "{} holds token id {id}, the vocabulary has ids below {vocabulary}",
            name()
        )));
    }
    Ok(Payload::Tokens(Tokens { ids, type_ids: Vec::new() }))
}

//! What an answer holds: a model's tensors as they came, or one row a text, stacked.

use crate::error::{Error, Reason};
use crate::model::Datatype;
use crate::request::{Answer, Tensor, Want, floats};

/// How a request wants to be answered.
#[derive(Debug)]
pub(super) struct Plan {
    /// Echoed.
    pub(super) id: Option<String>,
    /// In the order of the answer.
    pub(super) outputs: Vec<Wanted>,
    pub(super) kind: Kind,
}

/// One output of the answer.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) name: String,
    /// As bytes behind the JSON, rather than in it.
    pub(super) binary: bool,
}

/// What was asked.
#[derive(Debug)]
pub(super) enum Kind {
    /// Tensors: one item.
    Tensors,
    /// Texts: one item each.
    Text {
        /// The output's name.
        name: &'static str,
        /// What each item is answered with.
        want: Want,
    },
}

/// The answer's tensors, in the plan's order.
///
/// # Errors
/// `execution_failed` when the answers are not what was asked for: a mistake elsewhere, or a model
/// whose scores differ in shape from text to text.
pub(super) fn tensors(kind: &Kind, mut answers: Vec<Answer>) -> Result<Vec<Tensor>, Error> {
    match kind {
        Kind::Tensors => match (answers.pop(), answers.len()) {
            (Some(Answer::Outputs(tensors)), 0) => Ok(tensors),
            _ => Err(unexpected()),
        },
        Kind::Text { want: Want::Embedding, .. } => Ok(vec![vectors(&answers)?]),
        Kind::Text { want: Want::Outputs(_), .. } => Ok(vec![scores(&answers)?]),
    }
}

/// Embeddings as one `FP32 [n,d]`.
fn vectors(answers: &[Answer]) -> Result<Tensor, Error> {
    let mut data = Vec::new();
    let mut width = None;
    for answer in answers {
        let Answer::Embedding(vector) = answer else {
            return Err(unexpected());
        };
        if *width.get_or_insert(vector.len()) != vector.len() {
            return Err(unexpected());
        }
        data.extend_from_slice(bytemuck::cast_slice(vector));
    }
    let shape = vec![answers.len(), width.unwrap_or_default()];
    Ok(Tensor { datatype: Datatype::Fp32, shape, data: data.into() })
}

/// Scores as one `FP32 [n,k]`.
fn scores(answers: &[Answer]) -> Result<Tensor, Error> {
    let mut data = Vec::new();
    let mut width = None;
    for answer in answers {
        let Answer::Outputs(tensors) = answer else {
            return Err(unexpected());
        };
        let [tensor] = &**tensors else { return Err(unexpected()) };
        let values = floats(tensor.datatype, &tensor.data).ok_or_else(|| no_scores(tensor.datatype))?;
        data.extend_from_slice(bytemuck::cast_slice(&values));
        if *width.get_or_insert(values.len()) != values.len() {
            return Err(Error::new(Reason::Unsupported, "the model's scores differ in shape from text to text"));
        }
    }
    let shape = vec![answers.len(), width.unwrap_or_default()];
    Ok(Tensor { datatype: Datatype::Fp32, shape, data: data.into() })
}

fn no_scores(datatype: Datatype) -> Error {
    let name = datatype.name();
    Error::new(Reason::Unsupported, format!("the model's scores are {name}, not floating point"))
}

fn unexpected() -> Error {
    Error::new(Reason::ExecutionFailed, "the model's answer is not in the form that was asked for")
}

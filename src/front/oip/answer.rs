//! What an answer holds: a model's tensors as they came, or one row a text, stacked.

use crate::error::{Error, Reason};
use crate::model::Datatype;
use crate::request::{Answer, Tensor, Want};
use half::{bf16, f16};

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
        Kind::Text {
            want: Want::Embedding, ..
        } => Ok(vec![vectors(&answers)?]),
        Kind::Text {
            want: Want::Outputs(_), ..
        } => Ok(vec![scores(&answers)?]),
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
        data.extend(vector.iter().flat_map(|value| value.to_le_bytes()));
    }
    let shape = vec![answers.len(), width.unwrap_or_default()];
    Ok(Tensor {
        datatype: Datatype::Fp32,
        shape,
        data: data.into(),
    })
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
        let before = data.len();
        append_f32(tensor, &mut data)?;
        let added = (data.len() - before) / size_of::<f32>();
        if *width.get_or_insert(added) != added {
            return Err(Error::new(
                Reason::Unsupported,
                "the model's scores differ in shape from text to text",
            ));
        }
    }
    let shape = vec![answers.len(), width.unwrap_or_default()];
    Ok(Tensor {
        datatype: Datatype::Fp32,
        shape,
        data: data.into(),
    })
}

fn append_f32(tensor: &Tensor, out: &mut Vec<u8>) -> Result<(), Error> {
    fn each<const N: usize>(data: &[u8], out: &mut Vec<u8>, value: impl Fn([u8; N]) -> f32) {
        out.extend(
            data.as_chunks::<N>()
                .0
                .iter()
                .flat_map(|bytes| value(*bytes).to_le_bytes()),
        );
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounding to the nearest f32 is the purpose"
    )]
    let narrow = |bytes| f64::from_le_bytes(bytes) as f32;
    match tensor.datatype {
        Datatype::Fp32 => out.extend_from_slice(&tensor.data),
        Datatype::Fp64 => each(&tensor.data, out, narrow),
        Datatype::Fp16 => each(&tensor.data, out, |b| f16::from_le_bytes(b).to_f32()),
        Datatype::Bf16 => each(&tensor.data, out, |b| bf16::from_le_bytes(b).to_f32()),
        other => {
            let name = other.name();
            return Err(Error::new(
                Reason::Unsupported,
                format!("the model's scores are {name}, not floating point"),
            ));
        }
    }
    Ok(())
}

fn unexpected() -> Error {
    Error::new(
        Reason::ExecutionFailed,
        "the model's answer is not in the form that was asked for",
    )
}

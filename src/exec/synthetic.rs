//! Made-up batches of a given shape, for warm-up and diagnosis.
//!
//! Decides what stands in for real input. Knows a model's description only.

use super::warmup::Cell;
use super::{Failure, Job, JobItem, block, elements};
use crate::model::{Datatype, Dim, Model, Task, TensorSpec};
use crate::request::{InferRequest, Payload, Tensor, TensorItem, Tokens, Want};
use crate::types::{BatchId, Priority, ShapeClass};
use bytes::Bytes;
use std::sync::Arc;

/// A batch of `cell`'s shape: texts for a text model, zeros for any other.
///
/// # Errors
/// [`Failure::Failed`] when the shape is too large to exist.
pub(super) fn job(model: &Arc<Model>, cell: Cell) -> Result<Job, Failure> {
    let items = match model.spec.task {
        Task::Tensors => vec![Payload::Tensors(zeros(model, cell)?)],
        _ => (0..cell.rows).map(|_| Payload::Tokens(text(cell.len))).collect(),
    };
    let want = match &model.spec.task {
        Task::Embedding { .. } => Want::Embedding,
        Task::Classifier { output, .. } => Want::Outputs(vec![*output]),
        Task::Tensors => Want::Outputs((0..model.spec.outputs.len()).collect()),
    };
    let count = items.len();
    let request = Arc::new(InferRequest {
        id: "warm-up".into(),
        model: model.clone(),
        tenant: "".into(),
        priority: Priority::default(),
        deadline: None,
        items,
        want,
    });
    let items = (0..count).map(|index| JobItem { request: request.clone(), index }).collect();
    Ok(Job { batch: BatchId::default(), padded_len: cell.len, items })
}

/// A text of `len` tokens. The id is one that every vocabulary has; time does not depend on it.
fn text(len: u32) -> Tokens {
    Tokens { ids: vec![1; len as usize], type_ids: Vec::new() }
}

fn zeros(model: &Arc<Model>, cell: Cell) -> Result<TensorItem, Failure> {
    let tensors = model.spec.inputs.iter().map(|input| zero(input, cell)).collect::<Result<_, _>>()?;
    Ok(TensorItem { rows: cell.rows, len: cell.len, class: ShapeClass::default(), tensors })
}

fn zero(input: &TensorSpec, cell: Cell) -> Result<Tensor, Failure> {
    let size = |dim: &Dim| match dim {
        Dim::Batch => cell.rows as usize,
        Dim::Length => cell.len as usize,
        Dim::Fixed(n) => *n,
        Dim::Free(_) => 1,
    };
    let shape: Vec<usize> = input.dims.iter().map(size).collect();
    let too_large = || Failure::Failed(format!("input `{}` is too large at {shape:?}", input.name));
    let count = block::volume(&shape).ok_or_else(too_large)?;
    let data = match input.datatype {
        Datatype::Bytes => elements::encode(&vec![Bytes::new(); count]),
        // A row whose mask is all zero has no mean.
        Datatype::Int64 if input.name == "attention_mask" => 1_i64.to_le_bytes().repeat(count).into(),
        other => vec![0; other.size().unwrap_or(0).checked_mul(count).ok_or_else(too_large)?].into(),
    };
    Ok(Tensor { datatype: input.datatype, shape, data })
}

//! Hand-made models and batches for this room's tests.

use super::{Failure, Job, JobItem};
use crate::model::{Datatype, Dim, Model, ModelSpec, Task, TensorSpec};
use crate::request::{InferRequest, Payload, Tensor, TensorItem, Tokens, Want};
use crate::text::Pooling;
use crate::types::{BatchId, ModelId, Priority, ShapeClass};
use std::sync::Arc;

pub(super) fn tensor_spec(name: &str, datatype: Datatype, dims: &[Dim]) -> TensorSpec {
    TensorSpec::new(name, datatype, dims.to_vec())
}

/// A text model whose token vectors have two equal values: the token id.
pub(super) fn text_spec() -> ModelSpec {
    let input = |name| tensor_spec(name, Datatype::Int64, &[Dim::Batch, Dim::Length]);
    ModelSpec {
        inputs: ["input_ids", "attention_mask", "token_type_ids"].map(input).to_vec(),
        outputs: vec![tensor_spec("hidden", Datatype::Fp32, &[Dim::Batch, Dim::Length, Dim::Fixed(2)])],
        batchable: true,
        pads: true,
        task: Task::Embedding { output: 0, pooling: Pooling::Mean, normalize: false, dimensions: 2 },
        max_length: Some(16),
        ..ModelSpec::default()
    }
}

/// A model that answers its only input, `[batch, dims…]`.
pub(super) fn identity_spec(datatype: Datatype, dims: &[Dim]) -> ModelSpec {
    let dims = [&[Dim::Batch], dims].concat();
    ModelSpec {
        inputs: vec![tensor_spec("x", datatype, &dims)],
        outputs: vec![tensor_spec("y", datatype, &dims)],
        batchable: true,
        pads: dims.contains(&Dim::Length),
        task: Task::Tensors,
        max_length: None,
        ..ModelSpec::default()
    }
}

pub(super) fn model(spec: ModelSpec) -> Arc<Model> {
    Arc::new(Model::new(ModelId(0), "m", spec, None, 0))
}

pub(super) fn tokens(ids: &[u32]) -> Payload {
    Payload::Tokens(Tokens { ids: ids.to_vec(), type_ids: Vec::new() })
}

pub(super) fn tensors(rows: u32, len: u32, tensors: Vec<Tensor>) -> Payload {
    Payload::Tensors(TensorItem { rows, len, class: ShapeClass(0), irregular: None, tensors })
}

pub(super) fn int64(shape: &[usize], values: &[i64]) -> Tensor {
    let data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    Tensor { datatype: Datatype::Int64, shape: shape.to_vec(), data }
}

/// A batch of one request an item.
pub(super) fn job(model: &Arc<Model>, padded_len: u32, items: Vec<(Payload, Want)>) -> Job {
    job_of(model, padded_len, items.into_iter().map(|(payload, want)| ("", payload, want)).collect())
}

/// The same, of these tenants.
pub(super) fn job_of(model: &Arc<Model>, padded_len: u32, items: Vec<(&str, Payload, Want)>) -> Job {
    let item = |(tenant, payload, want): (&str, _, _)| {
        let request = InferRequest {
            id: "r".into(),
            model: model.clone(),
            tenant: tenant.into(),
            priority: Priority(0),
            deadline: None,
            items: vec![payload],
            want,
        };
        JobItem { request: Arc::new(request), index: 0 }
    };
    Job { batch: BatchId(7), padded_len, reuse: false, items: items.into_iter().map(item).collect() }
}

pub(super) fn message(failure: Failure) -> String {
    match failure {
        Failure::Failed(message) | Failure::Inseparable(message) => message,
        other => panic!("{other}"),
    }
}

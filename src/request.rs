//! A request between its protocol and its batch: what `front` builds, `dispatch` carries, `exec` runs.
//!
//! Decides nothing. Knows tensors and token ids, not HTTP, and not how batches are formed.

use crate::model::Model;
use crate::types::{BatchId, Priority, ShapeClass, Time};
use std::sync::Arc;
use std::time::Duration;

mod tensor;

pub use crate::text::Tokens;
pub use tensor::{BadElement, Tensor, elements, floats, join_elements, push_element, split_elements};

/// One caller's request, decoded and tokenised; its items may run in different batches.
#[derive(Debug)]
pub struct InferRequest {
    /// The caller's request id, for logs.
    pub id: Arc<str>,
    /// The model to run.
    pub model: Arc<Model>,
    /// The tenant's name; empty when none was given.
    pub tenant: Arc<str>,
    /// Urgency level.
    pub priority: Priority,
    /// When the answer is no longer wanted.
    pub deadline: Option<Time>,
    /// Indivisible parts, in the order of the answer.
    pub items: Vec<Payload>,
    /// What to answer with.
    pub want: Want,
}

/// One indivisible part of a request: it runs in one batch, at one length.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Payload {
    /// One tokenised text: one row.
    Tokens(Tokens),
    /// One tensor request: one or more rows of one length.
    Tensors(TensorItem),
}

impl Payload {
    /// Bytes of what was sent, tokens counted as the INT64 that a model takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Tokens(tokens) => tokens.ids.len() * 8,
            Self::Tensors(item) => item.tensors.iter().map(|tensor| tensor.data.len()).sum(),
        }
    }

    /// Why it is not rows of one length, if it is not.
    #[must_use]
    pub fn irregular(&self) -> Option<&str> {
        match self {
            Self::Tokens(_) => None,
            Self::Tensors(item) => item.irregular.as_deref(),
        }
    }
}

/// Input tensors of one v2 request, checked against the model's inputs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TensorItem {
    /// Size of the batch dimension, ≥ 1 (1 where the model has none); the largest where inputs disagree.
    pub rows: u32,
    /// Size of the length dimension, likewise.
    pub len: u32,
    /// Everything else about the shapes.
    pub class: ShapeClass,
    /// Why its tensors are not rows of one length: then it runs as it is, alone. `None` where they are.
    pub irregular: Option<Arc<str>>,
    /// One tensor for each model input, in the model's order.
    pub tensors: Vec<Tensor>,
}

/// What the caller wants back for each item.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Want {
    /// The pooled (and, where the model says so, normalised) vector of each row.
    Embedding,
    /// The output tensors with these indices in the model's order, trimmed to the item's own length.
    Outputs(Vec<usize>),
}

/// The answer to one item.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// One pooled vector.
    Embedding(Vec<f32>),
    /// One tensor for each wanted output, in the order wanted; the batch dimension is the item's rows.
    Outputs(Vec<Tensor>),
}

/// The answer to a whole request.
#[derive(Debug)]
pub struct InferReply {
    /// One answer an item, in the request's order.
    pub answers: Vec<Answer>,
    /// Where the time went, for the batch that finished last.
    pub timing: Timing,
    /// The batch that finished last.
    pub batch: BatchSummary,
}

/// Where a request's time went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timing {
    /// From arrival at the scheduler to dispatch.
    pub queue: Duration,
    /// Padding and copying the batch's inputs.
    pub assemble: Duration,
    /// The run itself, outputs split.
    pub compute: Duration,
}

/// What `x-inferneo-batch` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BatchSummary {
    /// Its number.
    pub id: BatchId,
    /// Rows that shared the batch.
    pub rows: u32,
    /// Sum of the rows' own lengths.
    pub tokens: u64,
    /// Rows × padded length.
    pub padded: u64,
    /// Name of the policy that formed it.
    pub policy: Arc<str>,
    /// Generation of the policy set.
    pub generation: u64,
    /// Batches the request's items ran in.
    pub batches: u32,
}

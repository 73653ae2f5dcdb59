//! What the server and its models say about themselves.

use super::{TEXT, VERSION, text};
use crate::front::tokens;
use crate::model::{Dim, Model, Task, TensorSpec};
use serde::Serialize;

/// The answer to `GET /v2`.
#[derive(Debug, Serialize)]
pub(super) struct Server {
    name: &'static str,
    version: &'static str,
    extensions: [&'static str; 1],
}

/// What this server says.
pub(super) const SERVER: Server = Server {
    name: "inferneo",
    version: env!("CARGO_PKG_VERSION"),
    extensions: ["binary_tensor_data"],
};

/// The answer to `GET /v2/models/M`.
#[derive(Debug, Serialize)]
pub(super) struct Metadata<'a> {
    name: &'a str,
    versions: [&'static str; 1],
    platform: &'static str,
    inputs: Vec<Described<'a>>,
    outputs: Vec<Described<'a>>,
    /// The other way in: not among `inputs`, because a request holds one or the other.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Text<'a>>,
}

#[derive(Debug, Serialize)]
struct Text<'a> {
    inputs: [Described<'a>; 1],
    outputs: [Described<'a>; 1],
}

#[derive(Debug, Serialize)]
struct Described<'a> {
    name: &'a str,
    datatype: &'static str,
    /// −1 where any size goes.
    shape: Vec<i64>,
}

/// Describes `model`.
pub(super) fn describe(model: &Model) -> Metadata<'_> {
    Metadata {
        name: &model.name,
        versions: [VERSION],
        platform: "onnxruntime_onnx",
        inputs: model.spec.inputs.iter().map(tensor).collect(),
        outputs: model.spec.outputs.iter().map(tensor).collect(),
        text: describe_text(model),
    }
}

fn tensor(spec: &TensorSpec) -> Described<'_> {
    let size = |dim: &Dim| match dim {
        Dim::Fixed(size) => i64::try_from(*size).unwrap_or(i64::MAX),
        Dim::Batch | Dim::Length | Dim::Free(_) => -1,
    };
    Described {
        name: &spec.name,
        datatype: spec.datatype.name(),
        shape: spec.dims.iter().map(size).collect(),
    }
}

fn describe_text(model: &Model) -> Option<Text<'static>> {
    let (name, _) = text::output(&model.spec.task).filter(|_| tokens::is_text_model(model))?;
    let width = match &model.spec.task {
        Task::Embedding { dimensions, .. } => i64::try_from(*dimensions).unwrap_or(-1),
        Task::Classifier { labels, .. } if !labels.is_empty() => i64::try_from(labels.len()).unwrap_or(-1),
        Task::Classifier { .. } | Task::Tensors => -1,
    };
    Some(Text {
        inputs: [Described {
            name: TEXT,
            datatype: "BYTES",
            shape: vec![-1],
        }],
        outputs: [Described {
            name,
            datatype: "FP32",
            shape: vec![-1, width],
        }],
    })
}
